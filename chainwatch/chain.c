#include "chainwatch/chain.h"

#include "chainwatch/agreement.h"
#include "chainwatch/cover.h"
#include "core/error.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "wire/hex.h"
#include "wire/tx.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	BATCH = 64, /* blocks asked for at once */
	NEAR = 6,   /* blocks behind that still count as following */
	FAR = 20,   /* so many behind, a step is one transaction of the store */
	CHANGES_MAX = 100000,
	ENOUGH = 1,	     /* ends a walk over blocks, and is no failure */
	ERROR_BEHIND = 2000, /* the source's chain is shorter, and it does not know our tip */
	ERROR_MOVED,	     /* the source changed its mind meanwhile: step again */
	ERROR_BLOCK,	     /* a block that cannot be read */
	ERROR_BIRTH,	     /* the source has not come to the birth height */
};

/*	STARTING ──► SYNCING ◄──► FOLLOWING
 *	    │            │            │
 *	    └────────────┴──► WAITING ◄┘   the source fails, or is behind; the next good step leaves
 *	                 │                 it again
 *	                 └──► STOPPED      another network, a reorganisation past what is kept; left
 *	                                   only if the source comes back to what is known
 */
struct chain {
	struct chain_config config;
	struct source *source;	   /* borrowed */
	struct store *store;	   /* borrowed */
	struct registry *registry; /* owned */
	struct mempool *mempool;   /* owned */
	bool network_ok;	   /* the genesis was compared since the source last failed */
	bool tip_moved;		   /* since the mempool was last judged */
	bool lost;		   /* the registry is not what the store has: load it anew */
	uint32_t careful_until; /* below this height each block is committed alone: one of them was
				   not to be had or read when many were committed together */
	uint64_t logged_ns;	/* when progress was logged last */
	struct light_follow *follows; /* owned */
	size_t follow_count;
	uint32_t told_below;	    /* up to this height it was said which of them were not made */
	bool uncovered;		    /* whether all of follows has been read is to be looked up */
	struct cover *cover;	    /* owned; NULL: nothing is read for who follows late */
	struct agreement agreement; /* with the source, on our tip */
	struct chain_report report;
};

/* The source has to know what to look for before the next block. */
static int tell_seals(struct chain *c)
{
	if (!c->source->ops->watch)
		return 0;
	return store_tell_seals(c->store, c->source, c->config.beside);
}

/* The registry as the store has it, in place of the one there is. */
static int reload(struct chain *c)
{
	struct registry *registry;
	int result = registry_new(c->config.params.op_node, c->config.seed, &registry);

	if (!result)
		result = store_load(c->store, registry);
	if (!result)
		result = store_imported(c->store, &c->report.imported);
	if (result) {
		registry_free(registry);
		return result;
	}
	mempool_free(c->mempool);
	registry_free(c->registry);
	c->registry = registry;
	c->mempool = mempool_new(c->source, c->store, registry);
	c->lost = c->mempool == NULL;
	return c->mempool ? tell_seals(c) : -ENOMEM;
}

int chain_follow(struct chain *c, const struct light_follow *follows, size_t count)
{
	struct light_follow *copy = calloc(count + 1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	if (count > 0)
		memcpy(copy, follows, count * sizeof(*copy));
	free(c->follows);
	c->follows = copy;
	c->follow_count = count;
	c->told_below = 0;
	c->uncovered = true;
	return source_light_follow(c->source, follows, count);
}

json_t *chain_source_status(struct chain *c)
{
	return c->source->ops->status ? c->source->ops->status(c->source) : NULL;
}

/* A database that knows only what was followed is none for those who read everything. */
static int check_coverage(struct chain *c, char error[static STORE_ERROR_MAX])
{
	bool partial = false;
	int result = store_is_partial(c->store, &partial);

	if (result)
		return result;
	if (partial && !c->source->ops->watch) {
		snprintf(error, STORE_ERROR_MAX,
			 "the db was filled by source = light and knows only what was followed: "
			 "remove it to read the chain anew, or use another db file");
		return -EINVAL;
	}
	return 0;
}

int chain_new(const struct chain_config *config, struct chain **ret_chain,
	      char ret_error[static STORE_ERROR_MAX])
{
	struct chain *c = calloc(1, sizeof(*c));
	int result = -ENOMEM;

	if (c) {
		c->config = *config;
		c->source = config->source;
		c->store = config->store;
		result = check_coverage(c, ret_error);
		if (result == -EINVAL) {
			chain_free(c);
			return result;
		}
		if (!result && c->source->ops->watch && !config->beside)
			result = chain_follow(c, config->follows, config->follow_count);
		if (!result)
			result = reload(c);
		if (!result)
			result = store_read_agreement(c->store, &c->agreement);
	}
	if (result) {
		snprintf(ret_error, STORE_ERROR_MAX, "%s",
			 result == -ENOMEM ? "out of memory" : store_error(config->store));
		chain_free(c);
		return result;
	}
	*ret_chain = c;
	return 0;
}

void chain_free(struct chain *c)
{
	if (!c)
		return;
	cover_free(c->cover);
	mempool_free(c->mempool);
	registry_free(c->registry);
	free(c->follows);
	free(c);
}

_printf_(3, 4) static int fail(struct chain *c, int result, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->report.error, sizeof(c->report.error), format, args);
	va_end(args);
	return result;
}

static int fail_source(struct chain *c, int result)
{
	c->network_ok = false;
	c->report.trouble = c->source->ops->trouble(c->source);
	return fail(c, result, "%s", c->source->ops->error(c->source));
}

static int fail_store(struct chain *c, int result)
{
	return fail(c, result, "%s", store_error(c->store));
}

/* Asked anew after each failure: another node may stand there now. */
static int check_network(struct chain *c)
{
	char theirs[HASH_TEXT_SIZE], ours[HASH_TEXT_SIZE];
	struct hash256 genesis;
	int result = c->source->ops->genesis(c->source, &genesis);

	if (result)
		return fail_source(c, result);
	if (memcmp(&genesis, &c->config.params.genesis, sizeof(genesis)) != 0) {
		hash_format(&genesis, theirs);
		hash_format(&c->config.params.genesis, ours);
		return fail(c, -DNET_ENETWORK,
			    "the chain node is on another network: its genesis block is %.16s…, "
			    "that of %s is %.16s…: check chain and rpc-url",
			    theirs, c->config.params.name, ours);
	}
	c->network_ok = true;
	return 0;
}

/* The block below the first one that is read. */
static int set_base(struct chain *c)
{
	struct store_tip base = {.height = c->config.birth_height - 1};
	size_t count;
	int result = c->source->ops->tip(c->source, &base.hash);

	if (result == -EINPROGRESS)
		return result;
	if (!result)
		result = c->source->ops->hashes(c->source, base.height, 1, &base.hash, &count);
	if (result)
		return fail_source(c, result);
	if (count == 0)
		return fail(c, -ERROR_BIRTH,
			    "the chain node has not come to height %u yet, where records begin "
			    "(birth-height): waiting",
			    c->config.birth_height);
	result = store_set_base(c->store, &base);
	return result ? fail_store(c, result) : 0;
}

/* A block that holds nothing of ours, by its header; inside a transaction. */
static int pass_block(struct chain *c, const struct hash256 *hash)
{
	struct source_header header = {.active = false};
	struct store_tip tip, next;
	int result = c->source->ops->header(c->source, hash, &header);

	store_tip(c->store, &tip);
	if (result || !header.active || memcmp(&header.prev, &tip.hash, sizeof(tip.hash)) != 0)
		return -ERROR_MOVED;
	next = (struct store_tip){.height = tip.height + 1, .hash = *hash, .time = header.time};
	result = store_add_block(c->store, &next);
	if (result)
		return fail_store(c, result);
	c->report.blocks_read++;
	return 0;
}

/* Judges all transactions of a raw block that stands on the tip; inside a transaction. */
static int apply_block(struct chain *c, const struct hash256 *hash, const uint8_t *raw, size_t len)
{
	struct block_view block;
	struct store_tip tip, next;
	struct hash256 found;
	int result;

	store_tip(c->store, &tip);
	if (block_open(&block, raw, len) != TX_OK)
		return fail(c, -ERROR_BLOCK, "block %u cannot be read: %s", tip.height + 1,
			    tx_reason_text(block.reason));
	block_hash(raw, &found);
	if (memcmp(&found, hash, sizeof(found)) != 0)
		return fail(c, -ERROR_BLOCK,
			    "the chain node gave another block than asked for at height %u",
			    tip.height + 1);
	if (memcmp(&block.header.prev, &tip.hash, sizeof(tip.hash)) != 0)
		return -ERROR_MOVED;
	next = (struct store_tip){
		.height = tip.height + 1, .hash = *hash, .time = block.header.time};
	result = store_add_block(c->store, &next);
	if (!result)
		result = registry_apply_block(c->registry, next.height, &block,
					      store_sink(c->store));
	if (result)
		return result == -ENOMEM ? fail(c, result, "out of memory") : fail_store(c, result);
	if (block.reason != TX_OK)
		return fail(c, -ERROR_BLOCK, "block %u cannot be read: %s", next.height,
			    tx_reason_text(block.reason));
	c->report.blocks_read++;
	c->report.bytes_read += len;
	return 0;
}

/* Back to the committed state after a failure half way. */
static void take_back(struct chain *c)
{
	struct store_tip tip;

	store_rollback(c->store);
	if (store_tip(c->store, &tip))
		registry_undo(c->registry, tip.height);
	else
		c->lost = true;
}

static void commit_done(struct chain *c)
{
	struct store_tip tip;
	uint32_t lowest;

	c->report.blocks = true;
	c->tip_moved = true;
	if (store_lowest(c->store, &lowest) == 0)
		registry_prune(c->registry, lowest);
	if (store_tip(c->store, &tip))
		registry_bound(c->registry,
			       c->config.changes_max ? c->config.changes_max : CHANGES_MAX,
			       tip.height);
}

/* Blocks that the source hands out. */
struct forward {
	struct chain *chain;
	const struct hash256 *hashes;
	uint64_t until_ns;
	bool one_commit; /* the caller commits */
	bool out_of_time;
};

static int on_block(void *arg, size_t index, const uint8_t *raw, size_t len)
{
	struct forward *f = arg;
	struct chain *c = f->chain;
	int result;

	result = f->one_commit ? 0 : store_begin(c->store);
	if (result)
		return fail_store(c, result);
	if (raw)
		result = apply_block(c, &f->hashes[index], raw, len);
	else
		result = pass_block(c, &f->hashes[index]);
	if (!result && raw) {
		result = tell_seals(c);
		if (result)
			fail_store(c, result);
	}
	if (!result && !f->one_commit) {
		result = store_commit(c->store);
		if (result)
			fail_store(c, result);
	}
	if (result && !f->one_commit)
		take_back(c);
	if (result)
		return result;
	if (!f->one_commit)
		commit_done(c);
	f->out_of_time = clock_monotonic_ns() >= f->until_ns || atomic_load(c->config.stop);
	return f->out_of_time ? ENOUGH : 0;
}

/* Up to BATCH blocks on top of the tip. *ret_count: how many the source had. */
static int go_forward(struct chain *c, uint64_t until_ns, bool one_commit, bool *ret_out_of_time,
		      size_t *ret_count)
{
	struct hash256 hashes[BATCH];
	struct forward f = {
		.chain = c, .hashes = hashes, .until_ns = until_ns, .one_commit = one_commit};
	struct store_tip tip;
	int result;

	store_tip(c->store, &tip);
	result = c->source->ops->hashes(c->source, tip.height + 1, BATCH, hashes, ret_count);
	if (!result && *ret_count > 0) {
		c->report.error[0] = '\0';
		result = c->source->ops->blocks(c->source, hashes, *ret_count, on_block, &f);
	}
	if (result == ENOUGH)
		result = 0;
	*ret_out_of_time = f.out_of_time;
	if (result == -ESTALE && c->report.error[0] == '\0')
		return -ERROR_MOVED;
	if (result && result != -ERROR_MOVED && c->report.error[0] == '\0')
		return fail_source(c, result);
	c->report.more = f.out_of_time || *ret_count == BATCH;
	return result;
}

/* Far behind the tip: as many blocks as the time allows become one transaction of the store, the
 * cursor with them. What a reader would see of each of them alone is history. */
static int go_far_forward(struct chain *c, uint64_t until_ns)
{
	size_t count = BATCH;
	bool out_of_time = false;
	struct store_tip tip;
	int result = store_begin(c->store);

	if (result)
		return fail_store(c, result);
	while (!result && count == BATCH && !out_of_time) {
		result = go_forward(c, until_ns, true, &out_of_time, &count);
		out_of_time |= clock_monotonic_ns() >= until_ns || atomic_load(c->config.stop);
	}
	if (!result) {
		result = store_commit(c->store);
		if (result)
			fail_store(c, result);
	}
	if (result) {
		store_tip(c->store, &tip);
		c->careful_until = tip.height + 1;
		take_back(c);
		return result;
	}
	commit_done(c);
	return 0;
}

/* The highest block of ours that is on the source's best chain. */
static int find_fork(struct chain *c, uint32_t *ret_height)
{
	struct source_header header;
	struct store_tip tip;
	struct hash256 hash;
	uint32_t lowest;
	int result;

	store_tip(c->store, &tip);
	result = store_lowest(c->store, &lowest);
	if (result)
		return fail_store(c, result);
	for (uint32_t height = tip.height; height-- > lowest;) {
		result = store_hash_at(c->store, height, &hash);
		if (result)
			return fail_store(c, result);
		result = c->source->ops->header(c->source, &hash, &header);
		if (result && result != -ENOENT)
			return fail_source(c, result);
		if (!result && header.active) {
			*ret_height = height;
			return 0;
		}
	}
	return fail(c, -DNET_EREORG,
		    "the chain node's chain shares none of the %u blocks that are kept (back to "
		    "height %u): check that the node is right; to follow it, stop chainwatch and "
		    "read all anew: chainwatch --rescan %u",
		    tip.height - lowest + 1, lowest, c->config.birth_height);
}

/* In memory too; further down than that remembers, what is left is loaded. */
static int undo_registry(struct chain *c, uint32_t fork)
{
	if (fork >= registry_floor(c->registry)) {
		registry_undo(c->registry, fork);
		return tell_seals(c);
	}
	if (reload(c)) {
		c->lost = true;
		return fail(c, -ENOMEM, "out of memory");
	}
	return 0;
}

/* Undoes down to the fork and applies what the source has above it, all in one transaction: readers
 * see the old chain or the new one, never the hole between them. */
static int replace_above(struct chain *c, uint32_t fork)
{
	struct store_tip before, now = {.height = fork};
	size_t count = BATCH;
	bool out_of_time;
	int result;

	store_tip(c->store, &before);
	result = store_begin(c->store);
	if (!result)
		result = store_undo(c->store, fork);
	if (result)
		fail_store(c, result);
	if (!result)
		result = undo_registry(c, fork);
	while (!result && now.height < before.height && count == BATCH) {
		result = go_forward(c, UINT64_MAX, true, &out_of_time, &count);
		store_tip(c->store, &now);
		if (!result && atomic_load(c->config.stop))
			result = fail(c, -ECANCELED, "stopping");
	}
	if (!result) {
		result = store_commit(c->store);
		if (result)
			fail_store(c, result);
	}
	if (result) {
		/* what was undone in memory cannot be redone: it comes from the store again */
		store_rollback(c->store);
		c->lost = true;
		return result;
	}
	c->report.more = true;
	commit_done(c);
	return 0;
}

static int reorganise(struct chain *c, uint32_t fork)
{
	struct store_tip before;
	int result;

	store_tip(c->store, &before);
	log_notice("chain: blocks %u to %u are no longer on the best chain", fork + 1,
		   before.height);
	result = replace_above(c, fork);
	if (result)
		return result;
	c->report.reorg = true;
	c->report.reorgs++;
	c->report.blocks_undone += before.height - fork;
	return 0;
}

/* What is followed since its block was passed is read beside, a piece at each step. */
static int cover(struct chain *c, uint64_t budget_ms)
{
	struct chain_report report = {.has_tip = false};
	char error[STORE_ERROR_MAX];
	bool done = false;
	int result = 0;

	if (!c->cover)
		result = cover_new(&c->config, c->follows, c->follow_count, &c->cover, error);
	if (result)
		return fail(c, result, "%s", error);
	result = cover_step(c->cover, budget_ms, &report, &done);
	c->report.more = true;
	if (done || report.state == CHAIN_STOPPED) {
		cover_free(c->cover);
		c->cover = NULL;
	}
	if (done)
		c->lost = c->tip_moved = c->report.blocks = true;
	c->report.trouble = report.trouble;
	return result ? fail(c, result, "%s", report.error) : 0;
}

/* Our tip is not on the source's best chain. */
static int change_branch(struct chain *c, const struct hash256 *best, bool tip_is_known)
{
	struct source_header header = {.height = 0};
	struct store_tip tip;
	uint32_t fork = 0;
	int result = check_network(c);

	if (result)
		return result;
	store_tip(c->store, &tip);
	result = c->source->ops->header(c->source, best, &header);
	if (result)
		return result == -ENOENT ? -ERROR_MOVED : fail_source(c, result);
	/* A node that was wiped or is reading its chain anew proves nothing by not knowing it. */
	if (!tip_is_known && header.height <= tip.height)
		return fail(c, -ERROR_BEHIND,
			    "the chain node is at height %u and does not know our tip at %u: it is "
			    "probably still reading its chain; waiting",
			    header.height, tip.height);
	if (agreement_stands(&c->agreement, c->source, &header, &tip.hash, tip_is_known))
		return fail(c, -ERROR_BEHIND,
			    "the chain node holds another chain best, at height %u, with no more "
			    "work than ours at height %u: waiting",
			    header.height, tip.height);
	result = find_fork(c, &fork);
	return result ? result : reorganise(c, fork);
}

static void log_progress(struct chain *c, const struct store_tip *tip)
{
	uint64_t now = clock_monotonic_ns();
	uint32_t first = c->config.birth_height;

	if (now - c->logged_ns < 5 * NS_PER_S || c->report.source_height <= tip->height)
		return;
	c->logged_ns = now;
	log_info("chain: read up to height %u of %u (%.1f %%)", tip->height,
		 c->report.source_height,
		 100.0 * (tip->height - first + 1) / (c->report.source_height - first + 1));
}

/* One of the indexes that were left out while everything was read. */
static int build_index(struct chain *c)
{
	int result = store_index(c->store, c->config.stop);

	c->report.more = true;
	return result ? fail_store(c, result) : 0;
}

/* Brings the tip nearer to the source's. *ret_at_tip: it is there. */
static int follow(struct chain *c, uint64_t budget_ms, bool *ret_at_tip)
{
	struct source_header header = {.active = false};
	struct store_tip tip;
	struct hash256 best;
	uint64_t until_ns;
	bool out_of_time, far;
	size_t count;
	int result = c->source->ops->tip(c->source, &best);

	if (result == -EINPROGRESS)
		return result;
	if (result)
		return fail_source(c, result);
	store_tip(c->store, &tip);
	*ret_at_tip = memcmp(&best, &tip.hash, sizeof(best)) == 0;
	if (*ret_at_tip) {
		c->report.source_height = tip.height;
		*ret_at_tip = store_is_indexed(c->store);
		if (!*ret_at_tip)
			return build_index(c);
		if (!agreement_note(&c->agreement, c->source, &tip.hash))
			return 0;
		return store_put_agreement(c->store, &c->agreement) ? fail_store(c, -EIO) : 0;
	}
	result = c->source->ops->header(c->source, &tip.hash, &header);
	if (result && result != -ENOENT)
		return fail_source(c, result);
	if (result == -ENOENT || !header.active)
		return change_branch(c, &best, result != -ENOENT);
	result = c->source->ops->header(c->source, &best, &header);
	if (result && result != -ENOENT)
		return fail_source(c, result);
	if (!result)
		c->report.source_height = header.height;
	until_ns = clock_monotonic_ns() + budget_ms * NS_PER_MS;
	far = tip.height + FAR < c->report.source_height;
	if (far && tip.height >= c->careful_until)
		result = go_far_forward(c, until_ns);
	else if (!far && !store_is_indexed(c->store))
		result = build_index(c);
	else
		result = go_forward(c, until_ns, false, &out_of_time, &count);
	c->report.more = true;
	store_tip(c->store, &tip);
	log_progress(c, &tip);
	return result;
}

static int watch_mempool(struct chain *c)
{
	struct store_tip tip;
	int result;

	store_tip(c->store, &tip);
	result = mempool_step(c->mempool, &tip.hash, tip.height, c->tip_moved, clock_wall_s(),
			      &c->report.pool);
	if (result) {
		c->lost = result == -ENOMEM;
		c->report.error[0] = '\0';
		if (c->source->ops->trouble(c->source) != SOURCE_FINE)
			return fail_source(c, result);
		return fail_store(c, result);
	}
	c->report.mempool = c->report.pool.changed;
	c->report.more = c->report.pool.more;
	c->tip_moved = c->tip_moved && c->report.pool.more && !c->report.pool.changed;
	return 0;
}

static int tell_unmade(struct chain *c)
{
	struct store_tip tip;
	int result;

	store_tip(c->store, &tip);
	if (tip.height <= c->told_below)
		return 0;
	result =
		store_tell_unmade(c->store, c->follows, c->follow_count, c->told_below, tip.height);
	c->told_below = tip.height;
	return result ? fail_store(c, result) : 0;
}

static int step(struct chain *c, uint64_t budget_ms, bool *ret_at_tip)
{
	bool behind = false;
	struct store_tip tip;
	int result = c->lost ? reload(c) : 0;

	if (result)
		return result == -ENOMEM ? fail(c, result, "out of memory") : fail_store(c, result);
	if (store_check_file(c->store))
		return fail_store(c, -ESTALE);
	if (c->source->ops->stands) {
		bool has_tip = store_tip(c->store, &tip);

		c->source->ops->stands(c->source, has_tip ? &tip.hash : NULL,
				       has_tip ? tip.height : c->config.birth_height - 1);
	}
	if (!c->network_ok)
		result = check_network(c);
	if (!result && !store_tip(c->store, &tip)) {
		store_set_now(c->store, clock_wall_s());
		result = set_base(c);
	}
	if (!result && c->uncovered) {
		result = cover_note_ahead(&c->config, c->follows, c->follow_count, &behind);
		c->uncovered = behind;
		if (result)
			fail_store(c, result);
	}
	if (!result) {
		store_set_now(c->store, clock_wall_s());
		result = follow(c, budget_ms, ret_at_tip);
	}
	if (c->config.beside)
		return result;
	if (!result && *ret_at_tip && !c->uncovered)
		result = tell_unmade(c);
	if (!result && *ret_at_tip)
		result = watch_mempool(c);
	if (!result && *ret_at_tip && behind)
		result = cover(c, budget_ms);
	return result;
}

/* A few blocks more do not make a follower one that has to catch up. */
static enum chain_state state_of(const struct chain *c, int result, bool at_tip)
{
	const struct chain_report *r = &c->report;
	bool near = r->state == CHAIN_FOLLOWING && r->tip.height + NEAR >= r->source_height;

	switch (result) {
	case 0:
		return at_tip || near ? CHAIN_FOLLOWING : CHAIN_SYNCING;
	case -DNET_ENETWORK:
	case -DNET_EREORG:
		return CHAIN_STOPPED;
	}
	return CHAIN_WAITING;
}

/* Whether to step again with another source, and for now to say what was said before. */
static bool try_another(struct chain *c, int result)
{
	const struct source_ops *ops = c->source->ops;

	switch (result) {
	case -ERROR_BEHIND:
	case -ERROR_BIRTH:
	case -ERROR_BLOCK:
	case -DNET_ENETWORK:
	case -DNET_EREORG:
		return ops->reject && ops->reject(c->source, result, c->report.error);
	}
	/* it failed in the middle, and another one has taken its place */
	return result == -EINPROGRESS && c->report.error[0];
}

void chain_step(struct chain *c, uint64_t budget_ms, struct chain_report *ret_report)
{
	const struct source_ops *ops = c->source->ops;
	struct chain_report *report = &c->report;
	char before[sizeof(report->error)];
	bool at_tip = false, another;
	int result;

	snprintf(before, sizeof(before), "%s", report->error);
	report->blocks = report->reorg = report->mempool = report->more = false;
	report->trouble = SOURCE_FINE;
	report->error[0] = '\0';
	result = step(c, budget_ms, &at_tip);
	another = try_another(c, result);
	if (another || result == -ERROR_MOVED || result == -EINPROGRESS) {
		snprintf(report->error, sizeof(report->error), "%s", another ? before : "");
		report->more = true;
		result = 0;
	}
	snprintf(report->doing, sizeof(report->doing), "%s",
		 c->cover     ? cover_doing(c->cover)
		 : ops->doing ? ops->doing(c->source)
			      : "");
	snprintf(report->how, sizeof(report->how), "%s", ops->how ? ops->how(c->source) : "");
	report->parts_count = ops->parts ? ops->parts(c->source, report->parts) : 0;
	report->failures += result != 0 || another;
	report->more &= result == 0;
	report->has_tip = store_tip(c->store, &report->tip);
	if (!another)
		report->state = state_of(c, result, at_tip);
	report->requests = ops->requests(c->source);
	store_count(c->store, &report->counts);
	registry_count(c->registry, &report->live);
	*ret_report = *report;
}

int chain_submit(struct chain *c, const uint8_t *raw, size_t len, struct hash256 *ret_txid,
		 char error[static 512])
{
	int result = c->source->ops->submit(c->source, raw, len, ret_txid);

	if (result)
		snprintf(error, 512, "%s", c->source->ops->error(c->source));
	return result;
}
