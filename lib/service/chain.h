#ifndef SERVICE_CHAIN_H
#define SERVICE_CHAIN_H

/* What the chain says: reads chain.db when chainwatch's control socket tells of a change, and once
 * a second beside it. */

#include "core/netmap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chain;
struct loop;

struct chain_config {
	const char *path;    /* of chain.db */
	const char *control; /* chainwatch's control socket; "": none */
	uint32_t confirm;    /* depth of additions; 0: what the chain's profile says */
};

enum { CHAIN_ERROR_MAX = 640, CHAIN_POLL_MS = 1000 };

struct chain_status {
	bool readable;	   /* chain.db was read just now */
	uint32_t height;   /* of the last state read; 0: none */
	uint64_t time_s;   /* of that block, seconds since 1970 */
	const char *error; /* NULL: none; why it cannot be read, that chainwatch does not answer, or
			      what it says is wrong with the chain node; borrowed */
};

/* changed: rows, revocations or the height are other than before; called from the loop. Strings are
 * borrowed for the chain's life. */
struct chain *chain_new(struct loop *loop, const struct chain_config *config,
			void (*changed)(void *arg), void *arg);
void chain_free(struct chain *chain);
struct chain_status chain_status(const struct chain *chain);

/* Some seconds from now changed() is called, whether anything did: there is work left of this time.
 */
void chain_look_again(struct chain *chain);

/* Bounds of what is read for one dnet; beyond them chain_read() gives -EFBIG. */
enum { INPUT_ROWS_MAX = 100000, INPUT_REVOCATIONS_MAX = 100000 };

/* All that netmap_build() needs for one dnet. 0, or -errno when chain.db cannot be read now
 * (chain_status() says why). Rows and revocations are the caller's: input_free(). */
int chain_read(struct chain *chain, const struct object_id *dnet, struct netmap_input *ret_input);
void input_free(struct netmap_input *input);
/* The dnets that this OVC or OVR ever granted, whatever came of it: the caller's (free()). 0 or
 * -errno as above. */
int chain_read_granted(struct chain *chain, const struct object_id *helper,
		       struct object_id **ret_dnets, size_t *ret_count);
/* Grows when rows or revocations changed, and not with the height alone. */
uint64_t chain_change(const struct chain *chain);

#endif
