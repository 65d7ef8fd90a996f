#ifndef CORE_HEADERS_TREE_H
#define CORE_HEADERS_TREE_H

/* The headers that are held: the best chain, branches beside it, and how one becomes the other.
 * Private to lib/core/headers*.c; nothing here judges a header. */

#include "core/headers_rules.h"

/* Headers beside the best chain. */
struct headers_branch {
	struct header_entry *entries; /* from fork + 1 on */
	struct u256 work;	      /* of the whole chain up to the last of them */
	uint32_t fork;		      /* height on the best chain of the parent of the first */
	uint32_t count;
	uint32_t cap;
};

struct headers {
	struct chainparams params;
	struct header_entry *main; /* the best chain, by height */
	struct u256 *marks;	   /* work up to height i * MARK_EVERY */
	uint32_t *index;	   /* height + 1 by hash, open addressing; 0: free */
	uint32_t count;		   /* at least 1 */
	uint32_t cap;
	uint32_t index_mask;
	struct u256 work;
	struct headers_branch *branches[HEADERS_BRANCHES_MAX]; /* owned */
	uint32_t branch_count;
	uint32_t side;	    /* headers in all branches */
	uint32_t pow_every; /* as configured; 1: of each */
	uint8_t seed[16];   /* crypto_shorthash() */
	struct header_memo memo;
	uint64_t dropped;
	uint64_t refused[HEADER_FULL + 1];
};

/* A header that is held: on a branch, or on the best chain. */
struct header_place {
	struct headers_branch *branch; /* NULL: the best chain; borrowed */
	uint32_t height;
};

/* Room for a best chain of count headers. 0 or -ENOMEM. */
int headers_tree_reserve(struct headers *h, uint32_t count);
/* The next of the best chain; there is room. */
void headers_tree_push(struct headers *h, const struct header_entry *entry);
void headers_tree_done(struct headers *h);

/* The chain that ends with a header. */
struct header_line headers_tree_line(const struct headers *h, const struct header_place *at);
const struct header_entry *headers_tree_entry(const struct headers *h,
					      const struct header_place *at);
bool headers_tree_find(const struct headers *h, const struct hash256 *hash,
		       struct header_place *ret);
/* The child of `at` with that hash, if it is held. */
bool headers_tree_find_child(const struct headers *h, const struct header_place *at,
			     const struct hash256 *hash, struct header_place *ret);
/* Height of the last of the profile's checkpoints that the best chain has; 0: none. */
uint32_t headers_tree_checkpoint(const struct headers *h);
/* A header that was checked goes behind *at, which moves to it. When its chain becomes the best,
 * *fork is lowered to where that leaves the old one. 0 with a reason (HEADER_OK, HEADER_FULL), or
 * -ENOMEM. */
int headers_tree_append(struct headers *h, struct header_place *at,
			const struct header_entry *entry, uint32_t *fork,
			enum header_reason *reason);

#endif
