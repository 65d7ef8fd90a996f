#include "chainwatch/light.h"

#include "core/spend.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/rand.h"
#include "wire/hash.h"
#include "wire/hex.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

/* Every announced transaction is fetched, looked at and forgotten unless it spends a live seal, or
 * what such a one made: no peer learns which are ours. No node of ours has checked it, so its
 * signature is (core/spend.h): what is not signed by the owner revokes nothing, and who sends it is
 * banned. */

enum {
	ROUND_MS = 50,
	ASKED_MAX = 500,       /* transactions that a peer may owe */
	GETDATA_MAX = 100,     /* in a message */
	STANDARD_MAX = 400000, /* bytes of a transaction that nodes pass on */
	EXPIRY_S = 14 * 24 * 3600,
	/* Bitcoin Core asks a peer that connected to it for a transaction after 2 or 4 seconds */
	SUBMIT_MS = 15000,
};

struct entry {
	struct hash256 txid;
	uint8_t *raw; /* owned */
	size_t len;
	uint64_t since_s;
	uint64_t number; /* order of arrival: parents before children */
	bool own;	 /* handed in here: told to each new peer until it is mined */
	unsigned taken;	 /* peers that fetched it, or told it */
	UT_hash_handle hh;
};

struct light_pool {
	struct light *light; /* borrowed */
	struct entry *entries;
	size_t bytes;
	uint64_t number;
	uint8_t key[crypto_shorthash_KEYBYTES];
	uint64_t seen[LIGHT_SEEN]; /* of announced txids; 0: free */
};

struct light_pool *light_pool_new(struct light *l)
{
	struct light_pool *pool = xcalloc(1, sizeof(*pool));

	pool->light = l;
	rand_bytes(pool->key, sizeof(pool->key));
	return pool;
}

static void drop(struct light_pool *pool, struct entry *entry)
{
	HASH_DEL(pool->entries, entry);
	pool->bytes -= entry->len;
	free(entry->raw);
	free(entry);
}

void light_pool_free(struct light_pool *pool)
{
	struct entry *entry, *next;

	if (!pool)
		return;
	HASH_ITER(hh, pool->entries, entry, next)
	{
		drop(pool, entry);
	}
	free(pool);
}

static struct entry *find(struct light_pool *pool, const uint8_t txid[HASH_LEN])
{
	struct entry *entry;

	HASH_FIND(hh, pool->entries, txid, HASH_LEN, entry);
	return entry;
}

/* Whether it was announced before; one in 2^48 is taken for another. */
static bool was_seen(struct light_pool *pool, const struct hash256 *txid)
{
	uint8_t hash[crypto_shorthash_BYTES];
	uint64_t value;
	bool seen;

	crypto_shorthash(hash, txid->bytes, HASH_LEN, pool->key);
	value = load_u64(hash) | 1;
	seen = pool->seen[value >> 48] == value;
	pool->seen[value >> 48] = value;
	return seen;
}

static void forget_seen(struct light_pool *pool, const struct hash256 *txid)
{
	uint8_t hash[crypto_shorthash_BYTES];
	uint64_t value;

	crypto_shorthash(hash, txid->bytes, HASH_LEN, pool->key);
	value = load_u64(hash) | 1;
	if (pool->seen[value >> 48] == value)
		pool->seen[value >> 48] = 0;
}

static void send_invs(struct light_pool *pool, struct p2p_peer *peer, enum p2p_type type,
		      const struct p2p_inv *invs, uint32_t count)
{
	uint8_t mem[3 + GETDATA_MAX * P2P_INV_LEN];
	struct writer w;

	if (count == 0)
		return;
	writer_init(&w, mem, sizeof(mem));
	p2p_invs_write(&w, invs, count);
	p2p_net_send(pool->light->net, peer, type, mem, writer_len(&w));
}

/* Well formed: its caller has parsed it. */
void light_pool_on_inv(struct light_pool *pool, struct p2p_peer *peer, struct span payload)
{
	struct light_peer *lp = peer->user;
	struct p2p_inv wanted[GETDATA_MAX], inv;
	struct p2p_invs invs;
	struct entry *entry;
	uint32_t count = 0;

	if (peer->gone || !p2p_invs_parse(payload.data, payload.len, &invs))
		return;
	for (uint32_t i = 0; i < invs.count; i++) {
		inv = p2p_invs_at(&invs, i);
		if (inv.type != P2P_INV_TX)
			continue;
		entry = find(pool, inv.hash.bytes);
		if (entry)
			entry->taken++;
		if (entry || !pool->light->config.mempool || lp->asked_txs >= ASKED_MAX ||
		    was_seen(pool, &inv.hash))
			continue;
		lp->asked_txs++;
		wanted[count++] = (struct p2p_inv){.type = P2P_INV_WITNESS_TX, .hash = inv.hash};
		if (count == GETDATA_MAX) {
			send_invs(pool, peer, P2P_GETDATA, wanted, count);
			count = 0;
		}
	}
	send_invs(pool, peer, P2P_GETDATA, wanted, count);
}

/* What it spends of ours: SPEND_UNKNOWN and no seal: nothing. */
struct spends {
	bool seal;  /* a live seal */
	bool child; /* an output of one in the pool */
	bool unknown;
	bool forged;
};

static struct spends look_at(struct light_pool *pool, const struct tx_view *tx)
{
	struct spends found = {.seal = false};
	struct tx_iter it = tx_inputs(tx);
	const struct source_seal *seal;
	struct tx_input input;

	for (uint32_t i = 0; tx_next_input(&it, &input); i++) {
		found.child |= find(pool, input.outpoint) != NULL;
		seal = light_find_seal(pool->light, input.outpoint);
		if (!seal)
			continue;
		found.seal = true;
		switch (spend_check(pool->light->id, tx, i, seal->script, seal->value)) {
		case SPEND_VALID:
			break;
		case SPEND_INVALID:
			found.forged = true;
			break;
		case SPEND_UNKNOWN:
			found.unknown = true;
			break;
		}
	}
	return found;
}

static bool spends_same(const struct tx_view *a, const struct tx_view *b)
{
	struct tx_iter i = tx_inputs(a), k;
	struct tx_input x, y;

	while (tx_next_input(&i, &x)) {
		k = tx_inputs(b);
		while (tx_next_input(&k, &y))
			if (memcmp(x.outpoint, y.outpoint, OUTPOINT_LEN) == 0)
				return true;
	}
	return false;
}

/* Two cannot both be mined: the later one replaced the earlier, as nodes have it. */
static void drop_conflicts(struct light_pool *pool, const struct tx_view *tx)
{
	struct entry *entry, *next;
	struct tx_view other;

	HASH_ITER(hh, pool->entries, entry, next)
	{
		if (tx_parse(entry->raw, entry->len, &other) == TX_OK && spends_same(tx, &other))
			drop(pool, entry);
	}
}

static struct entry *keep(struct light_pool *pool, const struct hash256 *txid, const uint8_t *raw,
			  size_t len, bool own)
{
	struct entry *entry;

	if (HASH_COUNT(pool->entries) >= LIGHT_POOL_MAX || pool->bytes + len > LIGHT_POOL_BYTES) {
		log_limited(LOG_LEVEL_WARN, 1,
			    "light: more transactions spend our seals than "
			    "are kept; the rest waits for a block");
		return NULL;
	}
	entry = xcalloc(1, sizeof(*entry));
	entry->raw = xmalloc(len);
	memcpy(entry->raw, raw, len);
	entry->len = len;
	entry->txid = *txid;
	entry->since_s = clock_wall_s();
	entry->number = pool->number++;
	entry->own = own;
	pool->bytes += len;
	HASH_ADD(hh, pool->entries, txid, sizeof(entry->txid), entry);
	return entry;
}

void light_pool_on_tx(struct light_pool *pool, struct p2p_peer *peer, struct span payload)
{
	struct light *l = pool->light;
	struct light_peer *lp = peer->user;
	struct spends spends;
	struct hash256 txid;
	struct tx_view tx;

	if (lp->asked_txs == 0)
		return; /* nobody asked */
	lp->asked_txs--;
	l->counts.transactions++;
	if (payload.len > STANDARD_MAX)
		return;
	if (tx_parse(payload.data, payload.len, &tx) != TX_OK) {
		p2p_net_ban(l->net, peer, "it sent a malformed transaction");
		return;
	}
	tx_txid(&tx, &txid);
	if (find(pool, txid.bytes))
		return;
	spends = look_at(pool, &tx);
	if (spends.forged) {
		l->counts.forged++;
		/* the right one may have the same txid: its witness is not in it */
		forget_seen(pool, &txid);
		p2p_net_ban(l->net, peer,
			    "it sent a transaction that spends a seal without its "
			    "owner's signature");
		return;
	}
	if (spends.unknown) {
		log_limited(LOG_LEVEL_NOTICE, 5,
			    "light: a transaction spends a seal by a script whose signatures are "
			    "not checked here: it counts when it is mined");
		return;
	}
	if (!spends.seal && !spends.child)
		return;
	if (spends.seal)
		drop_conflicts(pool, &tx);
	keep(pool, &txid, payload.data, payload.len, false);
}

void light_pool_on_getdata(struct light_pool *pool, struct p2p_peer *peer, struct span payload)
{
	struct p2p_invs invs;
	struct entry *entry;
	struct p2p_inv inv;

	if (!p2p_invs_parse(payload.data, payload.len, &invs))
		return;
	for (uint32_t i = 0; i < invs.count && i < GETDATA_MAX; i++) {
		inv = p2p_invs_at(&invs, i);
		entry = inv.type == P2P_INV_TX || inv.type == P2P_INV_WITNESS_TX
				? find(pool, inv.hash.bytes)
				: NULL;
		if (!entry || !entry->own)
			continue; /* what others made is theirs to pass on */
		if (p2p_net_send(pool->light->net, peer, P2P_TX, entry->raw, entry->len))
			entry->taken++;
	}
}

void light_pool_on_ready(struct light_pool *pool, struct p2p_peer *peer)
{
	const struct entry *entry;
	struct p2p_inv inv;

	for (entry = pool->entries; entry; entry = entry->hh.next) {
		inv = (struct p2p_inv){.type = P2P_INV_TX, .hash = entry->txid};
		if (entry->own)
			send_invs(pool, peer, P2P_INV, &inv, 1);
	}
}

/* Children of what went go with it, in as many rounds as they are deep. */
void light_pool_check(struct light_pool *pool)
{
	uint64_t now_s = clock_wall_s();
	struct entry *entry, *next;
	struct tx_view tx;
	struct spends spends;
	bool again = true;

	while (again) {
		again = false;
		HASH_ITER(hh, pool->entries, entry, next)
		{
			spends = (struct spends){.seal = false};
			if (tx_parse(entry->raw, entry->len, &tx) == TX_OK)
				spends = look_at(pool, &tx);
			/* what was handed in here may be somebody else's business */
			if ((spends.seal || spends.child || entry->own) &&
			    now_s < entry->since_s + EXPIRY_S)
				continue;
			drop(pool, entry);
			again = true;
		}
	}
}

static int by_number(const struct entry *a, const struct entry *b)
{
	return a->number < b->number ? -1 : a->number > b->number;
}

int light_pool_list(struct light_pool *pool, struct hash256 **ret_txids, size_t *ret_count)
{
	size_t count = HASH_COUNT(pool->entries), n = 0;
	struct hash256 *txids = calloc(count + 1, sizeof(*txids));

	if (!txids)
		return -ENOMEM;
	HASH_SORT(pool->entries, by_number);
	for (const struct entry *e = pool->entries; e; e = e->hh.next)
		txids[n++] = e->txid;
	*ret_txids = txids;
	*ret_count = n;
	return 0;
}

int light_pool_visit(struct light_pool *pool, const struct hash256 *txids, size_t count,
		     source_bytes_cb cb, void *arg)
{
	const struct entry *entry;
	int result = 0;

	for (size_t i = 0; !result && i < count; i++) {
		entry = find(pool, txids[i].bytes);
		if (entry)
			result = cb(arg, i, entry->raw, entry->len);
	}
	return result;
}

size_t light_pool_size(const struct light_pool *pool)
{
	return HASH_COUNT(pool->entries);
}

/* ------------------------------------------------------------------ handing in */

/* All but one are told: who has it from the others tells us. */
static size_t announce(struct light_pool *pool, const struct hash256 *txid)
{
	const struct p2p_inv inv = {.type = P2P_INV_TX, .hash = *txid};
	struct light *l = pool->light;
	struct p2p_counts counts;
	size_t told = 0;

	p2p_net_count(l->net, &counts);
	for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p)) {
		if (counts.ready > 1 && told + 1 == counts.ready)
			break;
		send_invs(pool, p, P2P_INV, &inv, 1);
		told++;
	}
	return told;
}

int light_pool_submit(struct light_pool *pool, const uint8_t *raw, size_t len,
		      struct hash256 *ret_txid)
{
	struct light *l = pool->light;
	uint64_t until =
		clock_monotonic_ns() + MAX(l->config.timeout_ms, (uint64_t)SUBMIT_MS) * NS_PER_MS;
	struct hash256 txid;
	struct entry *entry;
	struct tx_view tx;
	int result = 0;

	if (len > STANDARD_MAX || tx_parse(raw, len, &tx) != TX_OK)
		return light_fail(l, -EINVAL, SOURCE_ERROR,
				  "this is no transaction that nodes take: give it whole and "
				  "signed, in hexadecimal");
	tx_txid(&tx, &txid);
	*ret_txid = txid;
	if (look_at(pool, &tx).forged)
		return light_fail(l, -EINVAL, SOURCE_ERROR,
				  "the transaction spends a seal and is not signed by its owner");
	entry = find(pool, txid.bytes);
	if (!entry) {
		drop_conflicts(pool, &tx);
		entry = keep(pool, &txid, raw, len, true);
	}
	if (!entry)
		return light_fail(l, -ENOSPC, SOURCE_ERROR, "too many transactions wait already");
	entry->own = true;
	if (announce(pool, &txid) == 0)
		return light_fail(l, -ENOTCONN, SOURCE_DOWN,
				  "no peer is there to take the transaction: it is sent as soon as "
				  "one is");
	while (!result && entry && entry->taken == 0 && clock_monotonic_ns() < until) {
		result = light_run(l, ROUND_MS);
		entry = find(pool, txid.bytes);
	}
	if (result || (entry && entry->taken > 0))
		return result;
	return light_fail(l, -ETIMEDOUT, SOURCE_DOWN,
			  "no peer asked for the transaction: they know it, or refuse it; it is "
			  "offered to new peers until it is mined");
}
