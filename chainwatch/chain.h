#ifndef CHAINWATCH_CHAIN_H
#define CHAINWATCH_CHAIN_H

/* Follows the best chain of a source, block by block, and its mempool. The cursor is (height, hash)
 * in chain.db; everything else is looked up again. */

#include "chainwatch/mempool.h"
#include "chainwatch/source.h"
#include "chainwatch/store.h"

#include "core/chainparams.h"
#include "core/registry.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct chain;

enum chain_state {
	CHAIN_STARTING,	 /* nothing heard from the source yet */
	CHAIN_SYNCING,	 /* blocks are left to be read */
	CHAIN_FOLLOWING, /* at the source's tip */
	CHAIN_WAITING,	 /* the source is away or says nothing useful; what is known stays */
	CHAIN_STOPPED,	 /* only a person can help; what is known stays */
};

const char *chain_state_name(enum chain_state state);

struct chain_config {
	struct chainparams params;
	struct source *source;	 /* borrowed */
	struct store *store;	 /* borrowed */
	const atomic_bool *stop; /* borrowed; true: come back soon */
	uint32_t birth_height;
	uint32_t keep;
	/* Beginnings and ends that are remembered for a reorganisation; of one that goes further
	 * back the registry is loaded anew. 0: 100,000 */
	size_t changes_max;
	uint8_t seed[16]; /* random */
	/* For a source that is given the seals: what it follows; copied. */
	const struct light_follow *follows;
	size_t follow_count;
	const char *cover_path; /* borrowed; where to read what is followed late; NULL: never */
	/* Another chain of this source, which tells it what to follow; the mempool is not looked
	 * at. */
	bool beside;
};

/* What a step did and what is known after it; a value, so that another thread may have a copy. */
struct chain_report {
	enum chain_state state;
	char error[512]; /* "" when nothing is wrong */
	char doing[128]; /* what the source prepares; "": nothing */
	enum source_trouble trouble;
	struct store_tip tip;
	bool has_tip;
	uint32_t source_height; /* as far as it is known; 0: not yet */
	uint32_t imported;	/* the state up to there came from a file; 0: no */
	bool blocks;		/* this step: the tip moved */
	bool reorg;		/* this step: and blocks were taken back */
	bool mempool;		/* this step: what is pending or revoked changed */
	bool more;		/* step again at once */
	uint64_t blocks_read;	/* since the start… */
	uint64_t bytes_read;
	uint64_t reorgs;
	uint64_t blocks_undone;
	uint64_t failures;
	uint64_t requests;
	struct store_counts counts;
	struct registry_counts live;
	struct mempool_result pool;
	struct source_part parts[SOURCE_PARTS_MAX];
	size_t parts_count; /* 0: there is one source… */
	char how[160];	    /* …and this is its source_ops.how() */
};

/* Loads what the store has. 0, -ENOMEM, or the store's error with text in ret_error. */
int chain_new(const struct chain_config *config, struct chain **ret_chain,
	      char ret_error[static STORE_ERROR_MAX]);
void chain_free(struct chain *chain);

/* Follows these from now on, whose blocks may have been passed already: the next step reads from
 * there again. 0 or -ENOMEM. */
int chain_follow(struct chain *chain, const struct light_follow *follows, size_t count);
/* What the source says of itself for status; NULL: nothing. */
json_t *chain_source_status(struct chain *chain);

/* One step: some blocks (about budget_ms of them) or, at the tip, the mempool. Blocks while it
 * talks to the source. */
void chain_step(struct chain *chain, uint64_t budget_ms, struct chain_report *ret_report);

/* Hands a raw transaction to the source. 0 or a negative errno with the source's words in error. */
int chain_submit(struct chain *chain, const uint8_t *raw, size_t len, struct hash256 *ret_txid,
		 char error[static 512]);

#endif
