#ifndef CHAINWATCH_MEMPOOL_H
#define CHAINWATCH_MEMPOOL_H

/* What waits in the source's mempool and concerns us. It is judged above the confirmed state each
 * time either changes, and taken back; revocations stay in chain.db (RECORDS 5.2). */

#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mempool;
struct registry;
struct source;
struct store;

enum {
	/* Transactions that have our magic and spend no seal of ours: more are not watched. What
	 * spends a seal always is; the source's own limit of 25 in a chain bounds that. */
	MEMPOOL_STRANGERS_MAX = 10000,
	MEMPOOL_STEP_MAX = 2000, /* transactions fetched in one step */
};

/* All borrowed. NULL: out of memory. */
struct mempool *mempool_new(struct source *source, struct store *store, struct registry *registry);
void mempool_free(struct mempool *mempool);

struct mempool_result {
	bool changed;	   /* chain.db says something else now */
	bool more;	   /* not all has been looked at: step again soon */
	size_t watched;	   /* transactions of ours */
	size_t size;	   /* of the source's mempool */
	uint64_t left_out; /* strangers past the limit, since the start */
};

/* Looks once. tip is the block that confirmed state is of: when the source has moved on meanwhile,
 * nothing is concluded and *more is set. tip_moved: since the last step. 0, or a negative errno of
 * the source or the store, and then the step has to come again. */
int mempool_step(struct mempool *mempool, const struct hash256 *tip, uint32_t height,
		 bool tip_moved, uint64_t now_s, struct mempool_result *ret_result);

#endif
