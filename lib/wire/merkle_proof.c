#include "wire/merkle_proof.h"

#include "wire/hash.h"
#include "wire/tx.h"

#include <assert.h>
#include <string.h>

const char *merkle_reason_text(enum merkle_reason reason)
{
	switch (reason) {
#define X(name, text)                                                                              \
	case name:                                                                                 \
		return text;
		MERKLE_REASONS(X)
#undef X
	}
	return "unknown reason";
}

static void hash_pair(const struct hash256 *a, const struct hash256 *b, struct hash256 *ret)
{
	struct hash256 pair[2] = {*a, *b};

	hash_sha256d(pair, sizeof(pair), ret);
}

static bool equal(const struct hash256 *a, const struct hash256 *b)
{
	return !memcmp(a, b, sizeof(*a));
}

enum merkle_reason merkle_block_parse(const void *data, size_t len, struct merkle_block *ret)
{
	struct merkle_block m;
	struct reader r;
	uint64_t count;

	reader_init(&r, data, len);
	m.header = reader_bytes(&r, BLOCK_HEADER_LEN);
	m.tx_count = reader_u32(&r);
	count = reader_compact(&r);
	if (r.failed)
		return MERKLE_FORM;
	/* each hash is of a node with a transaction of its own below it */
	if (!m.tx_count || m.tx_count > MERKLE_TXS_MAX || !count || count > m.tx_count)
		return MERKLE_COUNT;
	m.hash_count = (uint32_t)count;
	m.hashes = (const struct hash256 *)reader_bytes(&r, (size_t)count * HASH_LEN);
	count = reader_compact(&r);
	if (r.failed || count > reader_left(&r))
		return MERKLE_FORM;
	m.flags.len = (size_t)count;
	m.flags.data = reader_bytes(&r, m.flags.len);
	if (!reader_done(&r))
		return MERKLE_FORM;
	*ret = m;
	return MERKLE_OK;
}

void merkle_block_write(struct writer *w, const struct merkle_block *m)
{
	writer_copy(w, m->header, BLOCK_HEADER_LEN);
	writer_u32(w, m->tx_count);
	writer_compact(w, m->hash_count);
	writer_copy(w, m->hashes, (size_t)m->hash_count * HASH_LEN);
	writer_compact(w, m->flags.len);
	writer_copy(w, m->flags.data, m->flags.len);
}

struct walk {
	const struct merkle_block *m;
	size_t bits; /* used so far */
	uint32_t hashes;
	struct merkle_match *matches;
	size_t max;
	size_t count;
	enum merkle_reason reason;
};

/* Nodes of a level; level 0 are the transactions. */
static uint32_t width(const struct walk *w, unsigned level)
{
	return (w->m->tx_count + (1U << level) - 1) >> level;
}

static bool next_bit(struct walk *w)
{
	size_t at = w->bits++;

	if (at / 8 >= w->m->flags.len) {
		w->reason = MERKLE_FORM;
		return false;
	}
	return w->m->flags.data[at / 8] >> at % 8 & 1;
}

static struct hash256 next_hash(struct walk *w)
{
	if (w->hashes >= w->m->hash_count) {
		w->reason = MERKLE_FORM;
		return (struct hash256){{0}};
	}
	return w->m->hashes[w->hashes++];
}

/* The hash of a node; as deep as the tree, which is at most MERKLE_DEPTH_MAX. */
static struct hash256 visit(struct walk *w, unsigned level, uint32_t index)
{
	bool marked = next_bit(w);
	struct hash256 left, right;

	if (w->reason != MERKLE_OK)
		return (struct hash256){{0}};
	if (!level || !marked) {
		left = next_hash(w);
		if (!level && marked && w->count++ < w->max)
			w->matches[w->count - 1] = (struct merkle_match){left, index};
		return left;
	}
	right = left = visit(w, level - 1, 2 * index);
	if (2 * index + 1 < width(w, level - 1)) {
		right = visit(w, level - 1, 2 * index + 1);
		if (w->reason == MERKLE_OK && equal(&left, &right))
			w->reason = MERKLE_DUPLICATE;
	}
	hash_pair(&left, &right, &left);
	return left;
}

enum merkle_reason merkle_block_check(const struct merkle_block *m, struct merkle_match *ret,
				      size_t max, size_t *ret_count)
{
	struct walk w = {.m = m, .matches = ret, .max = max};
	struct block_header header;
	struct hash256 root;
	unsigned top = 0;

	if (!m->tx_count || m->tx_count > MERKLE_TXS_MAX || m->hash_count > m->tx_count)
		return MERKLE_COUNT;
	while (width(&w, top) > 1)
		top++;
	root = visit(&w, top, 0);
	if (w.reason != MERKLE_OK)
		return w.reason;
	if (w.hashes != m->hash_count || (w.bits + 7) / 8 != m->flags.len ||
	    (w.bits % 8 && m->flags.data[w.bits / 8] >> w.bits % 8))
		return MERKLE_UNUSED;
	block_header_parse(m->header, &header);
	if (!equal(&root, &header.merkle_root))
		return MERKLE_ROOT;
	*ret_count = w.count;
	return MERKLE_OK;
}

bool merkle_branch_read(struct reader *r, struct merkle_branch *ret)
{
	struct merkle_branch branch;

	branch.index = reader_u32(r);
	branch.depth = reader_u8(r);
	if (branch.depth > MERKLE_DEPTH_MAX || branch.index >> branch.depth)
		r->failed = true;
	branch.hashes =
		(const struct hash256 *)reader_bytes(r, r->failed ? 0 : branch.depth * HASH_LEN);
	if (r->failed)
		return false;
	*ret = branch;
	return true;
}

void merkle_branch_write(struct writer *w, const struct merkle_branch *branch)
{
	if (branch->depth > MERKLE_DEPTH_MAX || branch->index >> branch->depth)
		w->failed = true;
	writer_u32(w, branch->index);
	writer_u8(w, (uint8_t)branch->depth);
	writer_copy(w, branch->hashes, branch->depth * HASH_LEN);
}

enum merkle_reason merkle_branch_root(const struct merkle_branch *branch,
				      const struct hash256 *leaf, struct hash256 *ret)
{
	uint32_t index = branch->index;
	struct hash256 hash = *leaf;

	if (branch->depth > MERKLE_DEPTH_MAX || index >> branch->depth)
		return MERKLE_DEEP;
	for (uint32_t i = 0; i < branch->depth; i++, index >>= 1) {
		const struct hash256 *beside = &branch->hashes[i];

		if (index & 1) {
			/* A node is doubled only for want of one to its right. */
			if (equal(beside, &hash))
				return MERKLE_DUPLICATE;
			hash_pair(beside, &hash, &hash);
		} else {
			hash_pair(&hash, beside, &hash);
		}
	}
	*ret = hash;
	return MERKLE_OK;
}

struct merkle_branch merkle_branch_make(struct hash256 *leaves, uint32_t count, uint32_t index,
					struct hash256 ret_hashes[static MERKLE_DEPTH_MAX])
{
	struct merkle_branch ret = {ret_hashes, 0, index};

	assert(count && count <= MERKLE_TXS_MAX && index < count);
	for (; count > 1; count = (count + 1) / 2, index /= 2) {
		uint32_t beside = index ^ 1;

		ret_hashes[ret.depth++] = leaves[beside < count ? beside : index];
		for (uint32_t i = 0; i < count; i += 2)
			hash_pair(&leaves[i], &leaves[i + 1 < count ? i + 1 : i], &leaves[i / 2]);
	}
	return ret;
}

/* The txid, if these bytes can be a transaction of a block. */
static enum merkle_reason read_tx(const struct span *raw, struct tx_view *tx, struct hash256 *ret)
{
	if (tx_parse(raw->data, raw->len, tx) != TX_OK)
		return MERKLE_TX;
	if (tx_stripped_size(tx) == MERKLE_TX_AMBIGUOUS)
		return MERKLE_TX_64;
	tx_txid(tx, ret);
	return MERKLE_OK;
}

static enum merkle_reason check_leaf(const struct merkle_branch *branch, const struct hash256 *leaf,
				     const struct hash256 *root)
{
	struct hash256 got;
	enum merkle_reason reason = merkle_branch_root(branch, leaf, &got);

	if (reason != MERKLE_OK)
		return reason;
	return equal(&got, root) ? MERKLE_OK : MERKLE_ROOT;
}

enum merkle_reason merkle_proof_check(const struct merkle_proof *proof, const struct hash256 *root)
{
	struct hash256 txid, coinbase_txid;
	struct tx_view tx, coinbase;
	enum merkle_reason reason;

	reason = read_tx(&proof->tx, &tx, &txid);
	if (reason == MERKLE_OK)
		reason = read_tx(&proof->coinbase, &coinbase, &coinbase_txid);
	if (reason == MERKLE_OK)
		reason = check_leaf(&proof->branch, &txid, root);
	if (reason == MERKLE_OK)
		reason = check_leaf(&proof->coinbase_branch, &coinbase_txid, root);
	if (reason != MERKLE_OK)
		return reason;
	/* An inner node passed off as a transaction is nearer to the root than the transactions,
	 * a transaction passed off as two of them farther; of the coinbase neither can be made,
	 * for it begins with hashes of zeros. */
	if (!tx_is_coinbase(&coinbase) || proof->coinbase_branch.index ||
	    proof->coinbase_branch.depth != proof->branch.depth)
		return MERKLE_COINBASE;
	return tx_is_coinbase(&tx) == !proof->branch.index ? MERKLE_OK : MERKLE_COINBASE;
}
