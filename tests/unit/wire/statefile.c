#include "fixture/test.h"

#include "wire/hash.h"
#include "wire/statefile.h"

#include <stdlib.h>
#include <string.h>

enum {
	TXS = 40,
	TX_SIZE = 64 + 16,
	FILE_SIZE = 1 << 17,
};

/* A block of transactions that nobody signed, and a file of some of them. */
struct bench {
	uint8_t raw[TXS][TX_SIZE];
	struct tx_view tx[TXS];
	struct hash256 txid[TXS];
	uint8_t header[BLOCK_HEADER_LEN];
	uint8_t times[4 * 3];
	uint8_t file[FILE_SIZE];
	size_t len;
};

static void make_tx(struct bench *b, unsigned n)
{
	struct writer w;

	writer_init(&w, b->raw[n], TX_SIZE);
	writer_u32(&w, 2);
	writer_u8(&w, 1);
	writer_zero(&w, 31);
	writer_u8(&w, n ? (uint8_t)n : 0);
	writer_u32(&w, n ? 7 : UINT32_MAX);
	writer_u8(&w, 0);
	writer_u32(&w, UINT32_MAX);
	writer_u8(&w, 1);
	writer_u64(&w, 5000 + n);
	writer_u8(&w, 1);
	writer_u8(&w, 0x51);
	writer_u32(&w, 0);
	assert_false(w.failed);
	assert_int_equal(tx_parse(b->raw[n], writer_len(&w), &b->tx[n]), TX_OK);
	tx_txid(&b->tx[n], &b->txid[n]);
}

static void make_block(struct bench *b, unsigned count)
{
	struct block_header header = {.version = 1, .time = 77};
	struct merkle m;

	merkle_init(&m);
	for (unsigned i = 0; i < count; i++) {
		make_tx(b, i);
		merkle_add(&m, &b->txid[i]);
	}
	merkle_root(&m, &header.merkle_root);
	block_header_write(&header, b->header);
}

static void seal(struct bench *b)
{
	struct hash256 sum;

	hash_sha256(b->file, b->len - HASH_LEN, &sum);
	memcpy(b->file + b->len - HASH_LEN, sum.bytes, HASH_LEN);
}

/* One block with the coinbase and transaction `index`; where its first byte stands. */
static size_t make_file(struct bench *b, unsigned count, unsigned index)
{
	struct statefile head = {.chain = "litecoin-regtest",
				 .op_node = 0xb9,
				 .birth_height = 5,
				 .height = 9,
				 .times = b->times,
				 .time_count = 3,
				 .block_count = 1};
	struct hash256 txids[TXS], branch[STATEFILE_DEPTH_MAX];
	struct writer w;
	uint8_t depth;
	size_t at;

	for (unsigned i = 0; i < 3; i++)
		store_u32(b->times + 4 * (size_t)i, 100 + i);
	writer_init(&w, b->file, sizeof(b->file) - HASH_LEN);
	statefile_write_head(&w, &head);
	at = writer_len(&w);
	statefile_write_block(&w, 8, b->header, index ? 2 : 1);
	for (unsigned which = 0; which <= index; which += index ? index : 1) {
		size_t before = writer_len(&w);

		memcpy(txids, b->txid, sizeof(txids));
		depth = statefile_branch(txids, count, which, branch);
		statefile_write_tx(&w, which, branch, depth, &b->tx[which]);
		assert_int_equal(writer_len(&w) - before, statefile_tx_size(depth, &b->tx[which]));
	}
	assert_false(w.failed);
	b->len = writer_len(&w) + HASH_LEN;
	seal(b);
	return at;
}

/* Reads all of it; how many transactions were proven. */
static enum statefile_reason read_file(const struct bench *b, unsigned *ret_txs)
{
	struct statefile_block block;
	struct statefile_tx tx;
	struct statefile file;

	*ret_txs = 0;
	if (statefile_open(&file, b->file, b->len) != STATEFILE_OK)
		return file.reason;
	while (statefile_next_block(&file, &block))
		while (statefile_next_tx(&file, &block, &tx))
			++*ret_txs;
	return file.reason;
}

static int begin(void **state)
{
	*state = calloc(1, sizeof(struct bench));
	return *state ? 0 : -1;
}

static int end(void **state)
{
	free(*state);
	return 0;
}

static void every_transaction_of_every_block_is_proven(void **state)
{
	struct bench *b = *state;
	struct statefile_block block;
	struct statefile_tx tx;
	struct statefile file;

	for (unsigned count = 1; count <= TXS; count++) {
		make_block(b, count);
		for (unsigned index = 0; index < count; index++) {
			make_file(b, count, index);
			assert_int_equal(statefile_open(&file, b->file, b->len), STATEFILE_OK);
			assert_string_equal(file.chain, "litecoin-regtest");
			assert_int_equal(file.op_node, 0xb9);
			assert_int_equal(file.birth_height, 5);
			assert_int_equal(file.height, 9);
			assert_int_equal(statefile_time(&file, 2), 102);
			assert_true(statefile_next_block(&file, &block));
			assert_int_equal(block.height, 8);
			assert_int_equal(block.header.time, 77);
			assert_true(statefile_next_tx(&file, &block, &tx));
			assert_int_equal(tx.index, 0);
			if (index) {
				assert_true(statefile_next_tx(&file, &block, &tx));
				assert_int_equal(tx.index, index);
				assert_int_equal(tx.tx.raw.len, b->tx[index].raw.len);
				assert_memory_equal(tx.tx.raw.data, b->raw[index], tx.tx.raw.len);
			}
			assert_false(statefile_next_tx(&file, &block, &tx));
			assert_false(statefile_next_block(&file, &block));
			assert_int_equal(file.reason, STATEFILE_OK);
		}
	}
}

static void no_changed_bit_of_a_block_is_taken(void **state)
{
	struct bench *b = *state;
	unsigned txs, taken = 0;
	size_t at;

	make_block(b, 11);
	at = make_file(b, 11, 10);
	for (size_t i = 0; i < b->len - HASH_LEN; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			b->file[i] ^= (uint8_t)(1 << bit);
			assert_int_equal(read_file(b, &txs) == STATEFILE_OK, false);
			seal(b);
			/* With its checksum put right: what the root does not hold is the rest of
			 * the header and the height, which the block's hash and the source say. */
			if (read_file(b, &txs) == STATEFILE_OK && i >= at + 4 + BLOCK_HEADER_LEN) {
				printf("# bit %u of byte %zu was changed and taken\n", bit, i - at);
				taken++;
			}
			b->file[i] ^= (uint8_t)(1 << bit);
			seal(b);
		}
	}
	assert_int_equal(taken, 0);
	assert_int_equal(read_file(b, &txs), STATEFILE_OK);
	assert_int_equal(txs, 2);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
	struct bench *b = *state;
	size_t len;
	unsigned txs;

	make_block(b, 5);
	make_file(b, 5, 3);
	len = b->len;
	for (b->len = 0; b->len < len; b->len++) {
		assert_int_not_equal(read_file(b, &txs), STATEFILE_OK);
		if (b->len >= STATEFILE_MAGIC_LEN + 2 + HASH_LEN) {
			uint8_t kept[HASH_LEN];

			memcpy(kept, b->file + b->len - HASH_LEN, HASH_LEN);
			seal(b);
			assert_int_not_equal(read_file(b, &txs), STATEFILE_OK);
			memcpy(b->file + b->len - HASH_LEN, kept, HASH_LEN);
		}
	}
}

/* Two hashes passed off as a transaction, and a transaction as two hashes, have another depth than
 * the coinbase. */
static void a_leaf_of_another_depth_is_no_leaf(void **state)
{
	struct hash256 txids[TXS], branch[STATEFILE_DEPTH_MAX];
	struct bench *b = *state;
	struct writer w;
	unsigned txs;
	uint8_t depth;
	size_t at;

	make_block(b, 4);
	at = make_file(b, 4, 0);
	writer_init(&w, b->file + at, sizeof(b->file) - at - HASH_LEN);
	statefile_write_block(&w, 8, b->header, 2);
	memcpy(txids, b->txid, sizeof(txids));
	depth = statefile_branch(txids, 4, 0, branch);
	statefile_write_tx(&w, 0, branch, depth, &b->tx[0]);
	memcpy(txids, b->txid, sizeof(txids));
	depth = statefile_branch(txids, 4, 2, branch);
	statefile_write_tx(&w, 2, branch, (uint8_t)(depth + 1), &b->tx[2]);
	b->len = at + writer_len(&w) + HASH_LEN;
	seal(b);
	assert_int_equal(read_file(b, &txs), STATEFILE_DEPTH);
	/* and without its coinbase nothing says how deep the tree is */
	writer_init(&w, b->file + at, sizeof(b->file) - at - HASH_LEN);
	statefile_write_block(&w, 8, b->header, 1);
	memcpy(txids, b->txid, sizeof(txids));
	depth = statefile_branch(txids, 4, 2, branch);
	statefile_write_tx(&w, 2, branch, depth, &b->tx[2]);
	b->len = at + writer_len(&w) + HASH_LEN;
	seal(b);
	assert_int_equal(read_file(b, &txs), STATEFILE_COINBASE);
}

/* CVE-2012-2459: the last leaf of an odd level stands twice. */
static void a_leaf_that_fills_a_level_has_no_second_place(void **state)
{
	struct hash256 txids[TXS], branch[STATEFILE_DEPTH_MAX];
	struct bench *b = *state;
	struct writer w;
	unsigned txs;
	uint8_t depth;
	size_t at;

	make_block(b, 3);
	at = make_file(b, 3, 0);
	writer_init(&w, b->file + at, sizeof(b->file) - at - HASH_LEN);
	statefile_write_block(&w, 8, b->header, 2);
	memcpy(txids, b->txid, sizeof(txids));
	depth = statefile_branch(txids, 3, 0, branch);
	statefile_write_tx(&w, 0, branch, depth, &b->tx[0]);
	memcpy(txids, b->txid, sizeof(txids));
	depth = statefile_branch(txids, 3, 2, branch);
	statefile_write_tx(&w, 3, branch, depth, &b->tx[2]);
	b->len = at + writer_len(&w) + HASH_LEN;
	seal(b);
	assert_int_equal(read_file(b, &txs), STATEFILE_PROOF);
}

static void a_head_at_its_limits_is_read_and_one_past_is_not(void **state)
{
	static const struct {
		size_t name_len;
		uint32_t birth, height, times;
		enum statefile_reason reason;
	} cases[] = {
		{1, 0, 0, 1, STATEFILE_OK},
		{STATEFILE_CHAIN_MAX, 5, 9, 3, STATEFILE_OK},
		{STATEFILE_CHAIN_MAX + 1, 5, 9, 3, STATEFILE_HEAD},
		{0, 5, 9, 3, STATEFILE_HEAD},
		{4, 10, 9, 3, STATEFILE_OK},
		{4, 11, 9, 3, STATEFILE_HEAD},
		{4, 5, INT32_MAX, 3, STATEFILE_OK},
		{4, 5, (uint32_t)INT32_MAX + 1, 3, STATEFILE_HEAD},
		{4, 5, 9, 0, STATEFILE_HEAD},
		{4, 0, 1, 2, STATEFILE_OK},
		{4, 0, 1, 3, STATEFILE_HEAD},
		{4, 5, 1000000, STATEFILE_TIMES_MAX, STATEFILE_OK},
		{4, 5, 1000000, STATEFILE_TIMES_MAX + 1, STATEFILE_HEAD},
	};
	struct bench *b = *state;
	uint8_t *times = calloc(STATEFILE_TIMES_MAX + 1, 4), *file = malloc(1 << 20);
	struct statefile read;
	struct hash256 sum;
	struct writer w;

	assert_true(times && file);
	(void)b;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		writer_init(&w, file, 1 << 20);
		writer_copy(&w, "DNETSTAT", STATEFILE_MAGIC_LEN);
		writer_u16(&w, STATEFILE_VERSION);
		writer_u8(&w, (uint8_t)cases[i].name_len);
		for (size_t k = 0; k < cases[i].name_len; k++)
			writer_u8(&w, 'x');
		writer_zero(&w, HASH_LEN + 1);
		writer_u32(&w, cases[i].birth);
		writer_u32(&w, cases[i].height);
		writer_zero(&w, HASH_LEN);
		writer_u32(&w, cases[i].times);
		writer_copy(&w, times, 4 * (size_t)cases[i].times);
		writer_u32(&w, 0);
		hash_sha256(file, writer_len(&w), &sum);
		writer_copy(&w, sum.bytes, HASH_LEN);
		assert_false(w.failed);
		if (statefile_open(&read, file, writer_len(&w)) != cases[i].reason)
			fail_msg("case %zu: %s", i, statefile_reason_text(read.reason));
	}
	free(times);
	free(file);
}

static void more_blocks_than_the_file_can_hold_are_no_head(void **state)
{
	struct bench *b = *state;
	unsigned txs;
	size_t at;

	make_block(b, 1);
	at = make_file(b, 1, 0);
	store_u32(b->file + at - 4, UINT32_MAX);
	seal(b);
	assert_int_equal(read_file(b, &txs), STATEFILE_HEAD);
	store_u32(b->file + at - 4, 2);
	seal(b);
	assert_int_equal(read_file(b, &txs), STATEFILE_HEAD);
	store_u32(b->file + at - 4, 0);
	seal(b);
	assert_int_equal(read_file(b, &txs), STATEFILE_SHORT);
}

#define IN_BENCH(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BENCH(every_transaction_of_every_block_is_proven),
		IN_BENCH(no_changed_bit_of_a_block_is_taken),
		IN_BENCH(a_file_cut_anywhere_is_refused),
		IN_BENCH(a_leaf_of_another_depth_is_no_leaf),
		IN_BENCH(a_leaf_that_fills_a_level_has_no_second_place),
		IN_BENCH(a_head_at_its_limits_is_read_and_one_past_is_not),
		IN_BENCH(more_blocks_than_the_file_can_hold_are_no_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
