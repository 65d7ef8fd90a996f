#ifndef CORE_FLOW_H
#define CORE_FLOW_H

/* What began and may be answered: a bounded table of flows that the policy let through, so that
 * replies, ICMP errors about them, and later fragments pass where rules are one-way. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/ip.h"

enum { FLOW_LIMIT = 16384 };

struct flow_table;

enum { FLOW_SEED_LEN = 16 };

/* All memory is taken here; at the limit the flow that was quiet for longest goes. seed: random, so
 * that nobody can choose flows that share a bucket. NULL: out of memory. */
struct flow_table *flow_table_new(size_t limit, const uint8_t seed[static FLOW_SEED_LEN]);
void flow_table_free(struct flow_table *table);

/* A packet in the direction that the policy allows: makes the flow or keeps it. ip belongs to the
 * packet. A first fragment also lets the later ones of its datagram through. */
void flow_note(struct flow_table *table, const uint8_t *packet, const struct ip_view *ip,
	       uint64_t now);
/* Whether this packet goes on with a flow that was noted, in its direction; keeps it. Then the
 * policy need not be asked again: flow_filter() cuts what it no longer allows. */
bool flow_goes_on(struct flow_table *table, const uint8_t *packet, const struct ip_view *ip,
		  uint64_t now);
/* Whether this packet is part of what began: a reply of a known flow, an ICMP error that quotes a
 * known flow in either direction, or a later fragment of a datagram whose first one passed. Keeps
 * it alive. */
bool flow_passes(struct flow_table *table, const uint8_t *packet, const struct ip_view *ip,
		 uint64_t now);

/* Whether an ICMP message speaks about another packet (an error, a redirect) or about a link
 * (neighbours, routers, groups). *ret: addresses and protocol of the other packet, all zero when
 * there is none or the quote does not show them. */
bool flow_icmp_about(const uint8_t *packet, const struct ip_view *ip, struct ip_flow *ret);

/* Cuts the flows for which keep() is false (the policy changed). */
void flow_filter(struct flow_table *table, bool (*keep)(void *ctx, const struct ip_flow *flow),
		 void *ctx);

size_t flow_count(const struct flow_table *table);
uint64_t flow_evicted(const struct flow_table *table); /* how often the limit was met */

#endif
