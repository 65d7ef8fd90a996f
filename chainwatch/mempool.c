#include "chainwatch/mempool.h"

#include "chainwatch/source.h"
#include "chainwatch/store.h"
#include "core/registry.h"
#include "os/base.h"
#include "os/log.h"
#include "wire/hex.h"
#include "wire/record.h"
#include "wire/tx.h"

#include <errno.h>
#include <string.h>
#include <uthash.h>

enum {
	CHUNK = 100,	/* transactions asked at once */
	DEPTH_MAX = 64, /* of parents that are followed; the source allows 25 */
};

/* A transaction that concerns us. */
struct candidate {
	struct hash256 txid;
	uint8_t *raw; /* owned */
	size_t len;
	uint64_t seen_s;
	bool stranger; /* spends no seal: counted against the limit */
	bool present;  /* in the mempool that was listed last */
	bool done;     /* judged in this round */
	UT_hash_handle hh;
};

struct mempool {
	struct source *source;
	struct store *store;
	struct registry *registry;
	struct hash256 *known; /* owned; sorted: those that have been looked at */
	size_t known_count;
	struct candidate *candidates; /* owned, in order of arrival */
	size_t strangers;
	uint64_t left_out;
	bool stale; /* what is in chain.db is not what the candidates say */
};

struct mempool *mempool_new(struct source *source, struct store *store, struct registry *registry)
{
	struct mempool *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->source = source;
	m->store = store;
	m->registry = registry;
	m->stale = true; /* what a former run left */
	return m;
}

static void drop(struct mempool *m, struct candidate *candidate)
{
	HASH_DEL(m->candidates, candidate);
	m->strangers -= candidate->stranger;
	free(candidate->raw);
	free(candidate);
}

void mempool_free(struct mempool *m)
{
	struct candidate *candidate, *next;

	if (!m)
		return;
	HASH_ITER(hh, m->candidates, candidate, next)
	{
		drop(m, candidate);
	}
	free(m->known);
	free(m);
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hash256));
}

static bool is_known(const struct mempool *m, const struct hash256 *txid)
{
	return m->known_count > 0 &&
	       bsearch(txid, m->known, m->known_count, sizeof(*txid), compare);
}

static struct candidate *find(const struct mempool *m, const uint8_t txid[HASH_LEN])
{
	struct candidate *candidate;

	HASH_FIND(hh, m->candidates, txid, HASH_LEN, candidate);
	return candidate;
}

static bool spends_candidate(const struct mempool *m, const struct tx_view *tx)
{
	struct tx_iter it = tx_inputs(tx);
	struct tx_input input;

	while (m->candidates && tx_next_input(&it, &input))
		if (find(m, input.outpoint))
			return true;
	return false;
}

static int keep(struct mempool *m, const struct hash256 *txid, const uint8_t *raw, size_t len,
		bool stranger, uint64_t now_s)
{
	struct candidate *candidate;

	if (stranger && m->strangers >= MEMPOOL_STRANGERS_MAX) {
		m->left_out++;
		log_limited(LOG_LEVEL_WARN, 1,
			    "mempool: more than %d transactions with our magic that spend no seal; "
			    "the rest waits for a block",
			    MEMPOOL_STRANGERS_MAX);
		return 0;
	}
	candidate = calloc(1, sizeof(*candidate));
	if (candidate)
		candidate->raw = malloc(len);
	if (!candidate || !candidate->raw) {
		free(candidate);
		return -ENOMEM;
	}
	memcpy(candidate->raw, raw, len);
	candidate->len = len;
	candidate->txid = *txid;
	candidate->seen_s = now_s;
	candidate->stranger = stranger;
	candidate->present = true;
	m->strangers += stranger;
	m->stale = true;
	HASH_ADD(hh, m->candidates, txid, sizeof(candidate->txid), candidate);
	return 0;
}

struct look {
	struct mempool *mempool;
	const struct hash256 *txids; /* those that were asked for */
	uint64_t now_s;
};

static int on_transaction(void *arg, size_t index, const uint8_t *raw, size_t len)
{
	struct look *look = arg;
	struct mempool *m = look->mempool;
	enum tx_reason reason;
	struct hash256 txid;
	struct carrier carrier;
	struct tx_view tx;
	bool ours;

	reason = tx_parse(raw, len, &tx);
	if (reason != TX_OK) {
		log_limited(LOG_LEVEL_WARN, 10, "mempool: a transaction is left out: %s",
			    tx_reason_text(reason));
		return 0;
	}
	tx_txid(&tx, &txid);
	if (memcmp(&txid, &look->txids[index], sizeof(txid)) != 0) {
		log_limited(LOG_LEVEL_WARN, 10,
			    "mempool: the chain node gave another transaction than asked for");
		return 0;
	}
	if (find(m, txid.bytes))
		return 0;
	ours = registry_spends_seal(m->registry, &tx) || spends_candidate(m, &tx);
	if (!ours && !carrier_find(&tx, registry_op_node(m->registry), &carrier))
		return 0;
	return keep(m, &txid, raw, len, !ours, look->now_s);
}

/* Fetches what is new, at most MEMPOOL_STEP_MAX. The source lists parents before children, so a
 * child finds its parent among the candidates. *ret_looked: how far it came in txids. */
static int look_at_new(struct mempool *m, const struct hash256 *txids, size_t count, uint64_t now_s,
		       size_t *ret_looked)
{
	struct hash256 chunk[CHUNK];
	struct look look = {.mempool = m, .txids = chunk, .now_s = now_s};
	size_t filled = 0, fetched = 0, i;
	int result = 0;

	for (i = 0; !result && i < count && fetched < MEMPOOL_STEP_MAX; i++) {
		if (!is_known(m, &txids[i]))
			chunk[filled++] = txids[i];
		if (filled > 0 && (filled == CHUNK || i + 1 == count)) {
			result = m->source->ops->transactions(m->source, chunk, filled,
							      on_transaction, &look);
			fetched += filled;
			filled = 0;
		}
	}
	/* looked at: all before i but what still waits in the chunk */
	*ret_looked = i - filled;
	return result;
}

/* Those that have left, by a block or otherwise. */
static void drop_gone(struct mempool *m, const struct hash256 *txids, size_t count)
{
	struct candidate *candidate, *next;

	HASH_ITER(hh, m->candidates, candidate, next)
	{
		candidate->present = false;
	}
	for (size_t i = 0; i < count; i++) {
		candidate = find(m, txids[i].bytes);
		if (candidate)
			candidate->present = true;
	}
	HASH_ITER(hh, m->candidates, candidate, next)
	{
		if (!candidate->present) {
			drop(m, candidate);
			m->stale = true;
		}
	}
}

/* After its parents. */
static int judge(struct mempool *m, struct candidate *candidate, unsigned depth, uint32_t *index)
{
	struct tx_view tx;
	struct tx_iter it;
	struct tx_input input;
	struct candidate *parent;
	int result = 0;

	if (candidate->done || tx_parse(candidate->raw, candidate->len, &tx) != TX_OK)
		return 0;
	candidate->done = true;
	it = tx_inputs(&tx);
	while (!result && depth < DEPTH_MAX && tx_next_input(&it, &input)) {
		parent = find(m, input.outpoint);
		if (parent)
			result = judge(m, parent, depth + 1, index);
	}
	if (result)
		return result;
	store_set_now(m->store, candidate->seen_s);
	return registry_apply_tx(m->registry, REGISTRY_PENDING, (*index)++, &tx,
				 store_sink(m->store));
}

/* Applies all candidates above the confirmed state, writes what comes of it, and takes it back. */
static int evaluate(struct mempool *m, uint32_t height)
{
	struct candidate *candidate, *next;
	uint32_t index = 0;
	int result = store_begin(m->store);

	if (!result)
		result = store_clear_pending(m->store);
	HASH_ITER(hh, m->candidates, candidate, next)
	{
		candidate->done = false;
	}
	HASH_ITER(hh, m->candidates, candidate, next)
	{
		if (!result)
			result = judge(m, candidate, 0, &index);
	}
	registry_undo(m->registry, height);
	if (!result)
		result = store_commit(m->store);
	if (result)
		store_rollback(m->store);
	return result;
}

/* Remembers those that have been looked at: known ones and the first `looked`. */
static void remember(struct mempool *m, struct hash256 *txids, size_t count, size_t looked)
{
	size_t kept = looked;

	for (size_t i = looked; i < count; i++)
		if (is_known(m, &txids[i]))
			txids[kept++] = txids[i];
	qsort(txids, kept, sizeof(*txids), compare);
	free(m->known);
	m->known = txids;
	m->known_count = kept;
}

int mempool_step(struct mempool *m, const struct hash256 *tip, uint32_t height, bool tip_moved,
		 uint64_t now_s, struct mempool_result *ret_result)
{
	_cleanup_(freep) struct hash256 *txids = NULL;
	struct hash256 source_tip;
	size_t count, looked = 0;
	int result = m->source->ops->mempool(m->source, &txids, &count);

	m->stale |= tip_moved && m->candidates;
	if (!result)
		result = look_at_new(m, txids, count, now_s, &looked);
	if (!result)
		result = m->source->ops->tip(m->source, &source_tip);
	if (result)
		return result;
	ret_result->size = count;
	ret_result->more = looked < count;
	ret_result->changed = false;
	/* A block came in between: a seal that it made was not known when the spend was looked at.
	 */
	if (memcmp(&source_tip, tip, sizeof(*tip)) != 0) {
		ret_result->more = true;
		return 0;
	}
	drop_gone(m, txids, count);
	remember(m, steal(txids), count, looked);
	if (m->stale) {
		result = evaluate(m, height);
		if (result)
			return result;
		m->stale = false;
		ret_result->changed = true;
	}
	ret_result->watched = HASH_COUNT(m->candidates);
	ret_result->left_out = m->left_out;
	return 0;
}
