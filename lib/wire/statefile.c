#include "wire/statefile.h"

#include "wire/hash.h"

#include <string.h>

static const char magic[STATEFILE_MAGIC_LEN + 1] = "DNETSTAT";

const char *statefile_reason_text(enum statefile_reason reason)
{
	switch (reason) {
#define X(name, text)                                                                              \
	case name:                                                                                 \
		return text;
		STATEFILE_REASONS(X)
#undef X
	}
	return "?";
}

static void hash_pair(const struct hash256 *left, const struct hash256 *right, struct hash256 *ret)
{
	struct sha256 h;

	sha256_init(&h);
	sha256_update(&h, left->bytes, HASH_LEN);
	sha256_update(&h, right->bytes, HASH_LEN);
	sha256_final_double(&h, ret);
}

/* ---- Reading ---- */

static bool fail(struct statefile *file, enum statefile_reason reason)
{
	file->reason = reason;
	return false;
}

/* What only a longer file could hold is refused before it is believed. */
static bool read_head(struct statefile *file)
{
	struct reader *r = &file->r;
	size_t name_len = reader_u8(r);
	const uint8_t *name;

	if (name_len == 0 || name_len > STATEFILE_CHAIN_MAX)
		return fail(file, STATEFILE_HEAD);
	name = reader_bytes(r, name_len);
	if (!name)
		return fail(file, STATEFILE_SHORT);
	memcpy(file->chain, name, name_len);
	for (size_t i = 0; i < name_len; i++)
		if (file->chain[i] <= ' ' || file->chain[i] > '~')
			return fail(file, STATEFILE_HEAD);
	reader_copy(r, file->genesis.bytes, HASH_LEN);
	file->op_node = reader_u8(r);
	file->birth_height = reader_u32(r);
	file->height = reader_u32(r);
	reader_copy(r, file->hash.bytes, HASH_LEN);
	file->time_count = reader_u32(r);
	if (r->failed)
		return fail(file, STATEFILE_SHORT);
	if (file->height > INT32_MAX || file->birth_height > file->height + 1 ||
	    file->time_count == 0 || file->time_count > STATEFILE_TIMES_MAX ||
	    file->time_count > file->height + 1)
		return fail(file, STATEFILE_HEAD);
	file->times = reader_bytes(r, 4 * (size_t)file->time_count);
	file->block_count = reader_u32(r);
	if (r->failed)
		return fail(file, STATEFILE_SHORT);
	if (file->block_count > reader_left(r) / STATEFILE_BLOCK_LEN)
		return fail(file, STATEFILE_HEAD);
	return true;
}

enum statefile_reason statefile_open(struct statefile *ret, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	struct hash256 sum;
	uint16_t version;

	memset(ret, 0, sizeof(*ret));
	if (len < STATEFILE_MAGIC_LEN || memcmp(bytes, magic, STATEFILE_MAGIC_LEN) != 0)
		return ret->reason = STATEFILE_MAGIC;
	if (len < STATEFILE_MAGIC_LEN + 2 + HASH_LEN)
		return ret->reason = STATEFILE_SHORT;
	reader_init(&ret->r, bytes + STATEFILE_MAGIC_LEN, len - STATEFILE_MAGIC_LEN - HASH_LEN);
	version = reader_u16(&ret->r);
	if (version != STATEFILE_VERSION)
		return ret->reason = STATEFILE_NEWER;
	hash_sha256(bytes, len - HASH_LEN, &sum);
	if (memcmp(sum.bytes, bytes + len - HASH_LEN, HASH_LEN) != 0)
		return ret->reason = STATEFILE_CHECKSUM;
	read_head(ret);
	return ret->reason;
}

uint32_t statefile_time(const struct statefile *file, uint32_t i)
{
	return load_u32(file->times + 4 * (size_t)i);
}

bool statefile_next_block(struct statefile *file, struct statefile_block *ret)
{
	struct statefile_block block = {.tx_count = 0};
	const uint8_t *header;

	if (file->reason != STATEFILE_OK)
		return false;
	if (file->blocks_read == file->block_count)
		return reader_done(&file->r) ? false : fail(file, STATEFILE_SHORT);
	block.height = reader_u32(&file->r);
	header = reader_bytes(&file->r, BLOCK_HEADER_LEN);
	block.tx_count = reader_u32(&file->r);
	if (file->r.failed)
		return fail(file, STATEFILE_SHORT);
	if (block.height < file->birth_height || block.height > file->height ||
	    block.tx_count == 0 || (file->blocks_read > 0 && block.height <= file->last_height))
		return fail(file, STATEFILE_ORDER);
	block_hash(header, &block.hash);
	block_header_parse(header, &block.header);
	file->last_height = block.height;
	file->blocks_read++;
	*ret = block;
	return true;
}

/* The root that the branch leads to. False where the index is none of such a tree, or the branch is
 * that of a leaf which is only there to make a level even (CVE-2012-2459). */
static bool follow_branch(const struct hash256 *leaf, uint32_t index, const uint8_t *branch,
			  uint8_t depth, struct hash256 *ret_root)
{
	struct hash256 sibling, root = *leaf;

	if (index >> depth)
		return false;
	for (uint8_t i = 0; i < depth; i++) {
		memcpy(sibling.bytes, branch + (size_t)HASH_LEN * i, HASH_LEN);
		if (index >> i & 1) {
			if (memcmp(&sibling, &root, sizeof(root)) == 0)
				return false;
			hash_pair(&sibling, &root, &root);
		} else {
			hash_pair(&root, &sibling, &root);
		}
	}
	*ret_root = root;
	return true;
}

bool statefile_next_tx(struct statefile *file, struct statefile_block *block,
		       struct statefile_tx *ret)
{
	struct statefile_tx tx;
	struct reader *r = &file->r;
	struct hash256 txid, root;
	const uint8_t *branch, *raw;
	uint8_t depth;
	uint32_t len;

	if (file->reason != STATEFILE_OK || block->txs_read == block->tx_count)
		return false;
	tx.index = reader_u32(r);
	depth = reader_u8(r);
	branch = reader_bytes(r, (size_t)HASH_LEN * depth);
	len = reader_u32(r);
	raw = reader_bytes(r, len);
	if (r->failed)
		return fail(file, STATEFILE_SHORT);
	if (block->txs_read > 0 && tx.index <= block->last_index)
		return fail(file, STATEFILE_ORDER);
	if (depth > STATEFILE_DEPTH_MAX || (block->txs_read > 0 && depth != block->depth))
		return fail(file, STATEFILE_DEPTH);
	if (len > STATEFILE_TX_MAX || tx_parse(raw, len, &tx.tx) != TX_OK || tx.tx.flags != 0)
		return fail(file, STATEFILE_TX);
	tx_txid(&tx.tx, &txid);
	if (!follow_branch(&txid, tx.index, branch, depth, &root) ||
	    memcmp(&root, &block->header.merkle_root, sizeof(root)) != 0)
		return fail(file, STATEFILE_PROOF);
	/* A coinbase names 32 bytes of zeros where an inner node has a hash: it is a leaf, and
	 * shows how deep leaves are. Else a transaction could be passed off as two hashes, or two
	 * hashes as a transaction. */
	if (block->txs_read == 0 && (tx.index != 0 || !tx_is_coinbase(&tx.tx)))
		return fail(file, STATEFILE_COINBASE);
	block->last_index = tx.index;
	block->depth = depth;
	block->txs_read++;
	*ret = tx;
	return true;
}

/* ---- Writing ---- */

void statefile_write_head(struct writer *w, const struct statefile *head)
{
	size_t name_len = strlen(head->chain);

	writer_copy(w, magic, STATEFILE_MAGIC_LEN);
	writer_u16(w, STATEFILE_VERSION);
	writer_u8(w, (uint8_t)name_len);
	writer_copy(w, head->chain, name_len);
	writer_copy(w, head->genesis.bytes, HASH_LEN);
	writer_u8(w, head->op_node);
	writer_u32(w, head->birth_height);
	writer_u32(w, head->height);
	writer_copy(w, head->hash.bytes, HASH_LEN);
	writer_u32(w, head->time_count);
	writer_copy(w, head->times, 4 * (size_t)head->time_count);
	writer_u32(w, head->block_count);
}

void statefile_write_block(struct writer *w, uint32_t height,
			   const uint8_t header[BLOCK_HEADER_LEN], uint32_t tx_count)
{
	writer_u32(w, height);
	writer_copy(w, header, BLOCK_HEADER_LEN);
	writer_u32(w, tx_count);
}

size_t statefile_tx_size(uint8_t depth, const struct tx_view *tx)
{
	return 4 + 1 + (size_t)HASH_LEN * depth + 4 + tx_stripped_size(tx);
}

void statefile_write_tx(struct writer *w, uint32_t index, const struct hash256 *branch,
			uint8_t depth, const struct tx_view *tx)
{
	writer_u32(w, index);
	writer_u8(w, depth);
	for (uint8_t i = 0; i < depth; i++)
		writer_copy(w, branch[i].bytes, HASH_LEN);
	writer_u32(w, (uint32_t)tx_stripped_size(tx));
	writer_u32(w, tx->version);
	writer_copy(w, tx->body.data, tx->body.len);
	writer_u32(w, tx->locktime);
}

uint8_t statefile_branch(struct hash256 *txids, size_t count, size_t index,
			 struct hash256 ret_branch[STATEFILE_DEPTH_MAX])
{
	uint8_t depth = 0;

	while (count > 1 && depth < STATEFILE_DEPTH_MAX) {
		size_t sibling = index ^ 1;

		ret_branch[depth++] = txids[sibling < count ? sibling : index];
		for (size_t i = 0; i < count; i += 2)
			hash_pair(&txids[i], &txids[i + 1 < count ? i + 1 : i], &txids[i / 2]);
		count = (count + 1) / 2;
		index /= 2;
	}
	return depth;
}
