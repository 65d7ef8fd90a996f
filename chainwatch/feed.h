#ifndef CHAINWATCH_FEED_H
#define CHAINWATCH_FEED_H

/* The chain node's ZMQ publisher, as a hint to look: messages are lost, reorganisations skip
 * hashes, and nobody is authenticated. What a message says is never believed. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct feed;
struct loop;

/* Anything came, or a publisher went away. */
typedef void (*feed_cb)(void *arg);

/* Connects to all endpoints ("tcp://127.0.0.1:28332") in the background and for ever. 0, -EINVAL
 * (an endpoint that is none; *ret_bad is its index) or -ENOMEM. */
int feed_new(struct loop *loop, char *const *endpoints, size_t count, feed_cb cb, void *arg,
	     struct feed **ret_feed, size_t *ret_bad);
void feed_free(struct feed *feed);

/* Whether the publisher is there and tells of transactions too: else the mempool has to be polled.
 * A publisher that went away does not, until one has told of a transaction again. */
bool feed_tells_transactions(const struct feed *feed);

struct feed_counts {
	uint64_t messages;
	uint64_t lost; /* by gaps in the publisher's counters */
	uint64_t odd;  /* not of the form topic, body, counter */
};

void feed_count(const struct feed *feed, struct feed_counts *ret_counts);

#endif
