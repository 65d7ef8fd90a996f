#include "wire/tx.h"

#include "wire/hash.h"

#include <assert.h>
#include <string.h>

enum {
	INPUT_MIN = OUTPOINT_LEN + 1 + 4, /* outpoint, script length, sequence */
	OUTPUT_MIN = 8 + 1,		  /* value, script length */
	TX_MIN = 4 + 1 + INPUT_MIN + 1 + OUTPUT_MIN + 4,
};

const char *tx_reason_text(enum tx_reason reason)
{
	switch (reason) {
#define X(name, text)                                                                              \
	case name:                                                                                 \
		return text;
		TX_REASONS(X)
#undef X
	}
	return "unknown reason";
}

/* The hot path: a pointer that only moves forward and never past end. */
struct cursor {
	const uint8_t *pos;
	const uint8_t *end;
};

static inline size_t left(const struct cursor *c)
{
	return (size_t)(c->end - c->pos);
}

static bool compact_long(struct cursor *c, uint64_t *ret)
{
	struct reader r;

	reader_init(&r, c->pos, left(c));
	*ret = reader_compact(&r);
	c->pos = r.pos;
	return !r.failed;
}

/* CompactSize that says how many of at least min bytes each follow. */
static inline bool take_count(struct cursor *c, size_t min, uint64_t *ret)
{
	if (c->pos == c->end)
		return false;
	if (*c->pos < 0xfd)
		*ret = *c->pos++;
	else if (!compact_long(c, ret))
		return false;
	return *ret <= left(c) / min;
}

/* CompactSize and that many bytes, of which `before` come in front of it and `after` behind. */
static inline bool skip_counted(struct cursor *c, size_t before, size_t after)
{
	uint64_t len;

	if (left(c) < before + 1 + after)
		return false;
	c->pos += before;
	if (!take_count(c, 1, &len) || left(c) - len < after)
		return false;
	c->pos += len + after;
	return true;
}

static enum tx_reason skip_inputs(struct cursor *c, struct tx_view *tx)
{
	uint64_t count;

	if (!take_count(c, INPUT_MIN, &count) || count > UINT32_MAX)
		return TX_COUNT;
	if (!count)
		return TX_NO_INPUTS;
	tx->input_count = (uint32_t)count;
	tx->inputs = c->pos;
	for (uint32_t i = 0; i < tx->input_count; i++) {
		if (!skip_counted(c, OUTPOINT_LEN, 4))
			return TX_TRUNCATED;
	}
	return TX_OK;
}

static enum tx_reason skip_outputs(struct cursor *c, struct tx_view *tx)
{
	uint64_t count;

	if (!take_count(c, OUTPUT_MIN, &count) || count > UINT32_MAX)
		return TX_COUNT;
	if (!count)
		return TX_NO_OUTPUTS;
	tx->output_count = (uint32_t)count;
	tx->outputs = c->pos;
	for (uint32_t i = 0; i < tx->output_count; i++) {
		if (!skip_counted(c, 8, 0))
			return TX_TRUNCATED;
	}
	return TX_OK;
}

static enum tx_reason skip_witness(struct cursor *c, struct tx_view *tx)
{
	uint64_t any = 0, items;

	tx->witness.data = c->pos;
	for (uint32_t i = 0; i < tx->input_count; i++) {
		if (!take_count(c, 1, &items))
			return TX_COUNT;
		any |= items;
		for (; items; items--) {
			if (!skip_counted(c, 0, 0))
				return TX_TRUNCATED;
		}
	}
	tx->witness.len = (size_t)(c->pos - tx->witness.data);
	return any ? TX_OK : TX_EMPTY_WITNESS;
}

/* Litecoin's optional MWEB part: a byte 0 in the block's last transaction; byte 1 and data, whose
 * end is known only where nothing follows but the locktime, in a transaction outside of a block. */
static enum tx_reason skip_mweb(struct cursor *c, bool in_block)
{
	if (left(c) < 1 + 4)
		return TX_TRUNCATED;
	switch (*c->pos++) {
	case 0:
		return TX_OK;
	case 1:
		if (in_block)
			return TX_MWEB;
		c->pos = c->end - 4;
		return TX_OK;
	default:
		return TX_MWEB;
	}
}

static enum tx_reason skip_parts(struct cursor *c, bool in_block, struct tx_view *tx)
{
	enum tx_reason reason;

	if (left(c) < TX_MIN)
		return TX_TRUNCATED;
	tx->version = load_u32(c->pos);
	c->pos += 4;
	tx->flags = 0;
	if (!c->pos[0] && c->pos[1]) { /* BIP144: marker and flags */
		tx->flags = c->pos[1];
		c->pos += 2;
		if (tx->flags & ~(TX_FLAG_WITNESS | TX_FLAG_MWEB))
			return TX_FLAGS;
	}
	tx->body.data = c->pos;
	reason = skip_inputs(c, tx);
	if (reason != TX_OK)
		return reason;
	reason = skip_outputs(c, tx);
	if (reason != TX_OK)
		return reason;
	tx->body.len = (size_t)(c->pos - tx->body.data);
	tx->witness = (struct span){c->pos, 0};
	if (tx->flags & TX_FLAG_WITNESS)
		reason = skip_witness(c, tx);
	if (reason == TX_OK && tx->flags & TX_FLAG_MWEB)
		reason = skip_mweb(c, in_block);
	if (reason != TX_OK)
		return reason;
	if (left(c) < 4)
		return TX_TRUNCATED;
	tx->locktime = load_u32(c->pos);
	c->pos += 4;
	return TX_OK;
}

static enum tx_reason take_tx(struct cursor *c, bool in_block, struct tx_view *tx)
{
	const uint8_t *start = c->pos;
	enum tx_reason reason = skip_parts(c, in_block, tx);

	tx->raw = (struct span){start, (size_t)(c->pos - start)};
	return reason;
}

enum tx_reason tx_parse(const void *data, size_t len, struct tx_view *ret)
{
	struct cursor c = {data, (const uint8_t *)data + len};
	struct tx_view tx;
	enum tx_reason reason = take_tx(&c, false, &tx);

	if (reason == TX_OK && c.pos != c.end)
		reason = TX_TRAILING;
	if (reason == TX_OK)
		*ret = tx;
	return reason;
}

struct tx_iter tx_inputs(const struct tx_view *tx)
{
	return (struct tx_iter){tx->inputs, tx->input_count};
}

struct tx_iter tx_outputs(const struct tx_view *tx)
{
	return (struct tx_iter){tx->outputs, tx->output_count};
}

/* A script with its length, in a transaction that was walked before. */
static inline struct span script_at(const uint8_t *pos)
{
	switch (*pos) {
	case 0xfd:
		return (struct span){pos + 3, load_u16(pos + 1)};
	case 0xfe:
		return (struct span){pos + 5, load_u32(pos + 1)};
	case 0xff:
		return (struct span){pos + 9, (size_t)load_u64(pos + 1)};
	default:
		return (struct span){pos + 1, *pos};
	}
}

bool tx_next_input(struct tx_iter *it, struct tx_input *ret)
{
	if (!it->left)
		return false;
	it->left--;
	ret->outpoint = it->pos;
	ret->script = script_at(it->pos + OUTPOINT_LEN);
	it->pos = ret->script.data + ret->script.len;
	ret->sequence = load_u32(it->pos);
	it->pos += 4;
	return true;
}

bool tx_next_output(struct tx_iter *it, struct tx_output *ret)
{
	if (!it->left)
		return false;
	it->left--;
	ret->value = load_u64(it->pos);
	ret->script = script_at(it->pos + 8);
	it->pos = ret->script.data + ret->script.len;
	return true;
}

bool tx_output_at(const struct tx_view *tx, uint32_t index, struct tx_output *ret)
{
	struct tx_iter it = tx_outputs(tx);

	if (index >= tx->output_count)
		return false;
	for (uint32_t i = 0; i <= index; i++)
		tx_next_output(&it, ret);
	return true;
}

static struct outpoint outpoint_at(const uint8_t *raw)
{
	struct outpoint ret;

	memcpy(ret.txid.bytes, raw, HASH_LEN);
	ret.vout = load_u32(raw + HASH_LEN);
	return ret;
}

struct outpoint tx_first_outpoint(const struct tx_view *tx)
{
	return outpoint_at(tx->inputs);
}

struct outpoint tx_input_outpoint(const struct tx_input *input)
{
	return outpoint_at(input->outpoint);
}

bool tx_is_coinbase(const struct tx_view *tx)
{
	static const uint8_t zeros[HASH_LEN];

	return tx->input_count == 1 && load_u32(tx->inputs + HASH_LEN) == UINT32_MAX &&
	       !memcmp(tx->inputs, zeros, HASH_LEN);
}

size_t tx_stripped_size(const struct tx_view *tx)
{
	return 4 + tx->body.len + 4;
}

void tx_txid(const struct tx_view *tx, struct hash256 *ret)
{
	struct sha256 h;

	if (!tx->flags) {
		hash_sha256d(tx->raw.data, tx->raw.len, ret);
		return;
	}
	sha256_init(&h);
	sha256_update(&h, tx->raw.data, 4);
	sha256_update(&h, tx->body.data, tx->body.len);
	sha256_update(&h, tx->raw.data + tx->raw.len - 4, 4);
	sha256_final_double(&h, ret);
}

void tx_wtxid(const struct tx_view *tx, struct hash256 *ret)
{
	static const uint8_t marker[2] = {0, TX_FLAG_WITNESS};
	struct sha256 h;

	if (!(tx->flags & TX_FLAG_WITNESS)) {
		tx_txid(tx, ret);
		return;
	}
	sha256_init(&h);
	sha256_update(&h, tx->raw.data, 4);
	sha256_update(&h, marker, sizeof(marker));
	sha256_update(&h, tx->body.data, tx->body.len);
	sha256_update(&h, tx->witness.data, tx->witness.len);
	sha256_update(&h, tx->raw.data + tx->raw.len - 4, 4);
	sha256_final_double(&h, ret);
}

void block_header_parse(const uint8_t raw[BLOCK_HEADER_LEN], struct block_header *ret)
{
	struct reader r;

	reader_init(&r, raw, BLOCK_HEADER_LEN);
	ret->version = reader_u32(&r);
	reader_copy(&r, ret->prev.bytes, HASH_LEN);
	reader_copy(&r, ret->merkle_root.bytes, HASH_LEN);
	ret->time = reader_u32(&r);
	ret->bits = reader_u32(&r);
	ret->nonce = reader_u32(&r);
	assert(reader_done(&r));
}

void block_header_write(const struct block_header *header, uint8_t ret[BLOCK_HEADER_LEN])
{
	struct writer w;

	writer_init(&w, ret, BLOCK_HEADER_LEN);
	writer_u32(&w, header->version);
	writer_copy(&w, header->prev.bytes, HASH_LEN);
	writer_copy(&w, header->merkle_root.bytes, HASH_LEN);
	writer_u32(&w, header->time);
	writer_u32(&w, header->bits);
	writer_u32(&w, header->nonce);
	assert(!w.failed && w.pos == w.end);
}

void block_hash(const uint8_t raw[BLOCK_HEADER_LEN], struct hash256 *ret)
{
	hash_sha256d(raw, BLOCK_HEADER_LEN, ret);
}

enum tx_reason block_open(struct block_view *ret, const void *data, size_t len)
{
	struct cursor c = {data, (const uint8_t *)data + len};
	uint64_t count;

	memset(ret, 0, sizeof(*ret));
	ret->raw = (struct span){data, len};
	ret->pos = c.end;
	ret->reason = TX_TRUNCATED;
	if (len < BLOCK_HEADER_LEN)
		return ret->reason;
	block_header_parse(data, &ret->header);
	c.pos += BLOCK_HEADER_LEN;
	ret->reason = TX_COUNT;
	if (!take_count(&c, TX_MIN, &count) || count > UINT32_MAX)
		return ret->reason;
	ret->reason = TX_NO_TXS;
	if (!count)
		return ret->reason;
	ret->tx_count = (uint32_t)count;
	ret->pos = c.pos;
	ret->reason = TX_OK;
	return TX_OK;
}

/* What stands behind the last transaction: nothing, or Litecoin's extension block. */
static enum tx_reason check_tail(struct block_view *block)
{
	const uint8_t *end = block->raw.data + block->raw.len;
	size_t rest = (size_t)(end - block->pos);

	if (!block->last_is_mweb)
		return rest ? TX_TRAILING : TX_OK;
	if (!rest)
		return TX_TRUNCATED;
	if (*block->pos > 1 || (*block->pos == 0 && rest != 1) || (*block->pos == 1 && rest == 1))
		return TX_MWEB;
	block->extension = (struct span){block->pos, rest};
	return TX_OK;
}

bool block_next(struct block_view *block, struct tx_view *ret)
{
	struct cursor c = {block->pos, block->raw.data + block->raw.len};

	if (block->reason != TX_OK || block->visited == block->tx_count)
		return false;
	block->reason = take_tx(&c, true, ret);
	if (block->reason == TX_OK && tx_is_coinbase(ret) != (block->visited == 0))
		block->reason = TX_COINBASE;
	if (block->reason != TX_OK)
		return false;
	block->pos = c.pos;
	block->tx_index = block->visited++;
	if (block->visited == block->tx_count) {
		block->last_is_mweb = ret->flags & TX_FLAG_MWEB;
		block->reason = check_tail(block);
	}
	return block->reason == TX_OK;
}

static void hash_pair(const struct hash256 *a, const struct hash256 *b, struct hash256 *ret)
{
	struct hash256 pair[2] = {*a, *b};

	hash_sha256d(pair, sizeof(pair), ret);
}

void merkle_init(struct merkle *m)
{
	memset(m, 0, sizeof(*m));
}

void merkle_add(struct merkle *m, const struct hash256 *leaf)
{
	struct hash256 hash = *leaf;
	unsigned i = 0;

	for (; m->count >> i & 1; i++) {
		if (!memcmp(&m->level[i], &hash, sizeof(hash)))
			m->mutated = true;
		hash_pair(&m->level[i], &hash, &hash);
	}
	m->level[i] = hash;
	m->count++;
}

void merkle_root(struct merkle *m, struct hash256 *ret)
{
	uint64_t count = m->count;
	struct hash256 hash;
	unsigned i = 0;

	assert(count);
	while (!(count >> i & 1))
		i++;
	hash = m->level[i];
	/* A node without a sibling is its own. */
	while (count != (uint64_t)1 << i) {
		hash_pair(&hash, &hash, &hash);
		count += (uint64_t)1 << i;
		for (i++; !(count >> i & 1); i++)
			hash_pair(&m->level[i], &hash, &hash);
	}
	*ret = hash;
}

bool block_merkle_ok(const void *data, size_t len)
{
	struct block_view block;
	struct tx_view tx;
	struct merkle m;
	struct hash256 hash;

	if (block_open(&block, data, len) != TX_OK)
		return false;
	merkle_init(&m);
	while (block_next(&block, &tx)) {
		tx_txid(&tx, &hash);
		merkle_add(&m, &hash);
	}
	if (block.reason != TX_OK)
		return false;
	merkle_root(&m, &hash);
	return !m.mutated && !memcmp(&hash, &block.header.merkle_root, sizeof(hash));
}

/* BIP141: what the coinbase commits to, in the last output that has this form; NULL: nothing. */
static const uint8_t *witness_commitment(const struct tx_view *coinbase)
{
	static const uint8_t head[] = {OP_RETURN, 0x24, 0xaa, 0x21, 0xa9, 0xed};
	struct tx_iter it = tx_outputs(coinbase);
	const uint8_t *found = NULL;
	struct tx_output output;

	while (tx_next_output(&it, &output)) {
		if (output.script.len >= sizeof(head) + HASH_LEN &&
		    !memcmp(output.script.data, head, sizeof(head)))
			found = output.script.data + sizeof(head);
	}
	return found;
}

bool block_witness_ok(const void *data, size_t len)
{
	static const struct hash256 zeros;
	struct hash256 root_and_nonce[2], hash;
	const uint8_t *commitment = NULL;
	struct block_view block;
	bool witness = false;
	struct tx_view tx;
	struct merkle m;

	if (block_open(&block, data, len) != TX_OK)
		return false;
	merkle_init(&m);
	while (block_next(&block, &tx)) {
		hash = zeros; /* of the coinbase */
		if (block.tx_index == 0) {
			commitment = witness_commitment(&tx);
			/* its witness is one item of 32 bytes, which is hashed with the root */
			if (commitment &&
			    (tx.witness.len != 2 + HASH_LEN || tx.witness.data[0] != 1 ||
			     tx.witness.data[1] != HASH_LEN))
				return false;
			if (commitment)
				memcpy(&root_and_nonce[1], tx.witness.data + 2, HASH_LEN);
		} else {
			tx_wtxid(&tx, &hash);
		}
		witness |= (tx.flags & TX_FLAG_WITNESS) != 0;
		merkle_add(&m, &hash);
	}
	if (block.reason != TX_OK)
		return false;
	if (!commitment)
		return !witness;
	merkle_root(&m, &root_and_nonce[0]);
	hash_sha256d(root_and_nonce, sizeof(root_and_nonce), &hash);
	return !memcmp(commitment, &hash, sizeof(hash));
}
