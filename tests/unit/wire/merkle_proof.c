#include "fixture/test.h"

#include "fixture/rng.h"
#include "fixture/vectors.h"
#include "wire/hash.h"
#include "wire/hex.h"
#include "wire/merkle_proof.h"
#include "wire/tx.h"

#include <string.h>

enum { LEAVES_MAX = 70 };

/* gettxoutproof of bitcoind 31.1 on regtest: transaction 2 of the 5 of block
 * 14def6e8c1439e598ff68f9b5ea418107d6d04ed9f4de6c6685d428860fbed02. */
static const char proof_hex[] =
	"000000201ddb3853357906255e4578e3f77876b862a47a6ca7afd48db794cb82724d666d12ccd4b3c430f64d8b"
	"b8"
	"29ac57ac110ac9a8615068da88ef4b435c0f089b180b19cd006bffff7f2001000000"
	"05000000"
	"04"
	"1786f65cf3b2a7eecbe820a170d2bfa4b921c4d685a6e5ee39922c191152e20a"
	"3d50bccdef6158bdc75f36710876440ca2a510314c349e683953619ae5cf390f"
	"d6fd96def9af5558eb3ef8c14fafe5f9ccb1dd1d4c34da886a158ccc7e95a955"
	"2e5d77bd416e14efe7ef857ea317427159ea09a3e7ee943bfe7015e85e7f7a0a"
	"0117";
enum {
	PROOF_LEN = 215,
	COUNT_AT = 80,
	HASHES_AT = 84,
	FLAGS_AT = PROOF_LEN - 1,
};

static void proof(uint8_t raw[PROOF_LEN + 1])
{
	assert_true(hex_parse(proof_hex, raw, PROOF_LEN));
	raw[PROOF_LEN] = 0;
}

static enum merkle_reason check(const uint8_t *raw, size_t len, struct merkle_match *match,
				size_t *count)
{
	struct merkle_block m;
	enum merkle_reason reason = merkle_block_parse(raw, len, &m);

	return reason == MERKLE_OK ? merkle_block_check(&m, match, 1, count) : reason;
}

static void a_proof_of_a_real_node_names_its_transaction(void **state)
{
	uint8_t raw[PROOF_LEN + 1], back[PROOF_LEN];
	struct merkle_match match;
	struct merkle_block m;
	char text[HASH_TEXT_SIZE];
	struct writer w;
	size_t count = 0;

	proof(raw);
	assert_int_equal(check(raw, PROOF_LEN, &match, &count), MERKLE_OK);
	assert_int_equal(count, 1);
	hash_format(&match.txid, text);
	assert_string_equal(text,
			    "0f39cfe59a615339689e344c3110a5a20c44760871365fc7bd5861efcdbc503d");
	assert_int_equal(match.index, 1);
	assert_int_equal(merkle_block_parse(raw, PROOF_LEN, &m), MERKLE_OK);
	writer_init(&w, back, sizeof(back));
	merkle_block_write(&w, &m);
	assert_true(!w.failed && writer_len(&w) == PROOF_LEN);
	assert_memory_equal(back, raw, PROOF_LEN);
}

static void proofs_of_the_main_chain_name_their_places(void **state)
{
	static char line[4096], hex[4096], places[128];
	FILE *f = vectors_open("merkle_proofs.txt");
	struct merkle_match matches[8];
	struct merkle_block m;
	unsigned proofs = 0;
	uint8_t raw[2048];
	size_t len, count;

	while (vectors_line(f, line, sizeof(line))) {
		char *place = places;

		assert_int_equal(sscanf(line, "proof %*s %127s %4095s", places, hex), 2);
		assert_true(hex_parse_any(hex, raw, sizeof(raw), &len));
		assert_int_equal(merkle_block_parse(raw, len, &m), MERKLE_OK);
		assert_int_equal(merkle_block_check(&m, matches, 8, &count), MERKLE_OK);
		for (size_t i = 0; i < count; i++, place++)
			assert_int_equal(matches[i].index, strtoul(place, &place, 10));
		assert_int_equal(place[-1], '\0');
		proofs++;
	}
	assert_int_equal(proofs, 3);
}

static void what_is_not_quite_that_proof_is_refused(void **state)
{
	uint8_t raw[PROOF_LEN + 1], copy[PROOF_LEN + 1];
	struct merkle_match match;
	size_t count = 0;

	proof(raw);
	for (size_t len = 0; len < PROOF_LEN; len++)
		assert_int_not_equal(check(raw, len, &match, &count), MERKLE_OK);
	assert_int_equal(check(raw, PROOF_LEN + 1, &match, &count), MERKLE_FORM);
	/* every bit of the root, the number of hashes and the hashes */
	for (size_t bit = 36 * 8; bit < 8 * FLAGS_AT - 8; bit++) {
		if (bit / 8 >= 68 && bit / 8 < HASHES_AT)
			continue;
		memcpy(copy, raw, sizeof(copy));
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(check(copy, PROOF_LEN, &match, &count), MERKLE_OK);
	}
	/* another shape of the tree, or other marks: this transaction at this place, or none */
	for (size_t bit = 8 * COUNT_AT; bit < 8 * PROOF_LEN; bit++) {
		if (bit / 8 >= HASHES_AT && bit / 8 < FLAGS_AT)
			continue;
		memcpy(copy, raw, sizeof(copy));
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		match.index = 1;
		if (check(copy, PROOF_LEN, &match, &count) == MERKLE_OK && count == 1)
			assert_int_equal(match.index, 1);
	}
	memcpy(copy, raw, sizeof(copy));
	copy[FLAGS_AT] |= 0x80;
	assert_int_equal(check(copy, PROOF_LEN, &match, &count), MERKLE_UNUSED);
}

static void counts_that_no_block_has_are_refused(void **state)
{
	uint8_t raw[PROOF_LEN + 1];
	struct merkle_block m;

	proof(raw);
	store_u32(raw + COUNT_AT, 0);
	assert_int_equal(merkle_block_parse(raw, PROOF_LEN, &m), MERKLE_COUNT);
	store_u32(raw + COUNT_AT, MERKLE_TXS_MAX);
	assert_int_equal(merkle_block_parse(raw, PROOF_LEN, &m), MERKLE_OK);
	store_u32(raw + COUNT_AT, MERKLE_TXS_MAX + 1);
	assert_int_equal(merkle_block_parse(raw, PROOF_LEN, &m), MERKLE_COUNT);
	store_u32(raw + COUNT_AT, 4);
	assert_int_equal(merkle_block_parse(raw, PROOF_LEN, &m), MERKLE_OK);
	store_u32(raw + COUNT_AT, 3);
	assert_int_equal(merkle_block_parse(raw, PROOF_LEN, &m), MERKLE_COUNT);
	store_u32(raw + COUNT_AT, 5);
	raw[HASHES_AT] = 0;
	assert_int_equal(merkle_block_parse(raw, PROOF_LEN, &m), MERKLE_COUNT);
}

static void root_of(const struct hash256 *leaves, uint32_t count, struct hash256 *ret)
{
	struct merkle m;

	merkle_init(&m);
	for (uint32_t i = 0; i < count; i++)
		merkle_add(&m, &leaves[i]);
	merkle_root(&m, ret);
}

/* CVE-2012-2459: of three transactions the last stands for a fourth. */
static void a_doubled_node_is_no_transaction_of_its_own(void **state)
{
	struct hash256 leaves[4] = {{{1}}, {{2}}, {{3}}, {{3}}}, scratch[4], hashes[15], root, got;
	uint8_t raw[300] = {0};
	struct merkle_match match[4];
	struct merkle_branch branch;
	struct merkle_block m;
	size_t count = 0;

	root_of(leaves, 3, &root);
	root_of(leaves, 4, &got);
	assert_memory_equal(&root, &got, sizeof(root));
	memcpy(scratch, leaves, sizeof(leaves));
	branch = merkle_branch_make(scratch, 3, 2, hashes);
	assert_int_equal(merkle_branch_root(&branch, &leaves[2], &got), MERKLE_OK);
	assert_memory_equal(&root, &got, sizeof(root));
	branch.index = 3;
	assert_int_equal(merkle_branch_root(&branch, &leaves[2], &got), MERKLE_DUPLICATE);
	/* the same as a partial tree with all its leaves */
	memcpy(raw + 36, &root, HASH_LEN);
	m = (struct merkle_block){raw, 4, leaves, 4, {(const uint8_t *)"\x7f", 1}};
	assert_int_equal(merkle_block_check(&m, match, 4, &count), MERKLE_DUPLICATE);
	m = (struct merkle_block){raw, 3, leaves, 3, {(const uint8_t *)"\x3f", 1}};
	assert_int_equal(merkle_block_check(&m, match, 4, &count), MERKLE_OK);
	assert_int_equal(count, 3);
	assert_int_equal(match[2].index, 2);
	/* a hash too many */
	m.hash_count = 4;
	m.tx_count = 4;
	m.flags.data = (const uint8_t *)"\x00";
	assert_int_equal(merkle_block_check(&m, match, 4, &count), MERKLE_UNUSED);
}

static void each_leaf_of_each_tree_has_a_branch_of_its_own(void **state)
{
	struct hash256 leaves[LEAVES_MAX], scratch[LEAVES_MAX], hashes[15], root, got;
	struct rng rng = rng_new("merkle_proof");
	struct merkle_branch branch, back;
	uint8_t raw[5 + 15 * HASH_LEN];
	struct writer w;
	struct reader r;

	rng_fill(&rng, leaves, sizeof(leaves));
	for (uint32_t count = 1; count <= LEAVES_MAX; count++) {
		root_of(leaves, count, &root);
		for (uint32_t i = 0; i < count; i++) {
			memcpy(scratch, leaves, sizeof(leaves));
			branch = merkle_branch_make(scratch, count, i, hashes);
			writer_init(&w, raw, sizeof(raw));
			merkle_branch_write(&w, &branch);
			reader_init(&r, raw, writer_len(&w));
			assert_true(merkle_branch_read(&r, &back) && reader_done(&r));
			assert_int_equal(merkle_branch_root(&back, &leaves[i], &got), MERKLE_OK);
			assert_memory_equal(&got, &root, sizeof(root));
			/* another place is another root, or none */
			back.index ^= 1;
			if (merkle_branch_root(&back, &leaves[i], &got) == MERKLE_OK &&
			    (i ^ 1) < count)
				assert_memory_not_equal(&got, &root, sizeof(root));
		}
	}
}

static void a_branch_is_as_deep_as_a_block_can_be_and_no_deeper(void **state)
{
	static struct hash256 leaves[MERKLE_TXS_MAX];
	struct hash256 hashes[16] = {{{0}}}, leaf = {{7}}, root;
	struct merkle_branch branch = {hashes, MERKLE_DEPTH_MAX, (1 << MERKLE_DEPTH_MAX) - 1};
	uint8_t raw[5 + 16 * HASH_LEN] = {0};
	struct reader r;

	assert_int_equal(merkle_branch_root(&branch, &leaf, &root), MERKLE_OK);
	branch.index++;
	assert_int_equal(merkle_branch_root(&branch, &leaf, &root), MERKLE_DEEP);
	branch = (struct merkle_branch){hashes, MERKLE_DEPTH_MAX + 1, 0};
	assert_int_equal(merkle_branch_root(&branch, &leaf, &root), MERKLE_DEEP);
	raw[4] = MERKLE_DEPTH_MAX;
	reader_init(&r, raw, sizeof(raw));
	assert_true(merkle_branch_read(&r, &branch));
	raw[4]++;
	reader_init(&r, raw, sizeof(raw));
	assert_false(merkle_branch_read(&r, &branch));
	for (uint32_t i = 0; i < MERKLE_TXS_MAX; i++)
		store_u32(leaves[i].bytes, i);
	branch = merkle_branch_make(leaves, MERKLE_TXS_MAX, MERKLE_TXS_MAX - 1, hashes);
	assert_int_equal(branch.depth, MERKLE_DEPTH_MAX);
}

/* A coinbase or a spend with an output script of so many bytes. */
static size_t make_tx(uint8_t *raw, bool coinbase, uint8_t salt, uint8_t script)
{
	struct writer w;

	writer_init(&w, raw, 256);
	writer_u32(&w, 2);
	writer_u8(&w, 1);
	for (size_t i = 0; i < HASH_LEN; i++)
		writer_u8(&w, coinbase ? 0 : salt);
	writer_u32(&w, coinbase ? UINT32_MAX : 0);
	writer_u8(&w, 0);
	writer_u32(&w, UINT32_MAX);
	writer_u8(&w, 1);
	writer_u64(&w, salt);
	writer_u8(&w, script);
	writer_zero(&w, script);
	writer_u32(&w, 0);
	assert_false(w.failed);
	return writer_len(&w);
}

struct block {
	uint8_t raw[8][256];
	size_t len[8];
	struct hash256 ids[8], root;
	struct hash256 hashes[2][MERKLE_DEPTH_MAX];
};

static void make_block(struct block *b, uint8_t script)
{
	struct tx_view tx;

	for (uint8_t i = 0; i < 8; i++) {
		b->len[i] = make_tx(b->raw[i], !i, i, i == 5 ? script : 20);
		assert_int_equal(tx_parse(b->raw[i], b->len[i], &tx), TX_OK);
		tx_txid(&tx, &b->ids[i]);
	}
	root_of(b->ids, 8, &b->root);
}

static struct merkle_proof prove(struct block *b, uint32_t index)
{
	struct merkle_proof p = {.tx = {b->raw[index], b->len[index]},
				 .coinbase = {b->raw[0], b->len[0]}};
	struct hash256 scratch[8];

	memcpy(scratch, b->ids, sizeof(scratch));
	p.branch = merkle_branch_make(scratch, 8, index, b->hashes[0]);
	memcpy(scratch, b->ids, sizeof(scratch));
	p.coinbase_branch = merkle_branch_make(scratch, 8, 0, b->hashes[1]);
	return p;
}

static void a_transaction_and_its_coinbase_prove_each_other(void **state)
{
	struct hash256 other;
	struct merkle_proof p;
	struct block b;

	make_block(&b, 20);
	for (uint32_t i = 0; i < 8; i++) {
		p = prove(&b, i);
		assert_int_equal(merkle_proof_check(&p, &b.root), MERKLE_OK);
	}
	other = b.root;
	other.bytes[31] ^= 1;
	assert_int_equal(merkle_proof_check(&p, &other), MERKLE_ROOT);
	p.tx.len--;
	assert_int_equal(merkle_proof_check(&p, &b.root), MERKLE_TX);
	p = prove(&b, 3);
	p.branch.index = 2;
	assert_int_equal(merkle_proof_check(&p, &b.root), MERKLE_ROOT);
	/* somebody else's first transaction */
	p = prove(&b, 3);
	p.coinbase = p.tx;
	p.coinbase_branch = p.branch;
	assert_int_equal(merkle_proof_check(&p, &b.root), MERKLE_COINBASE);
}

/* CVE-2017-12842 from above: two hashes of the tree are 64 bytes that parse as a transaction. Here
 * the bytes are chosen and the tree is made around them. */
static void an_inner_node_is_no_transaction(void **state)
{
	struct hash256 node, pair[2], hashes[2], root;
	uint8_t raw[256], coinbase[256];
	struct merkle_proof p;
	struct tx_view tx;
	size_t len = make_tx(raw, false, 9, 4), coinbase_len = make_tx(coinbase, true, 1, 20);

	/* as a leaf it would be one level up */
	assert_int_equal(len, MERKLE_TX_AMBIGUOUS);
	assert_int_equal(tx_parse(coinbase, coinbase_len, &tx), TX_OK);
	memcpy(pair, raw, sizeof(pair));
	hash_sha256d(pair, sizeof(pair), &node);
	tx_txid(&tx, &hashes[0]);
	pair[0] = hashes[0];
	pair[1] = node;
	hash_sha256d(pair, sizeof(pair), &root);
	p = (struct merkle_proof){
		.tx = {raw, len},
		.branch = {&hashes[0], 1, 1},
		.coinbase = {coinbase, coinbase_len},
		.coinbase_branch = {&node, 1, 0},
	};
	assert_int_equal(merkle_proof_check(&p, &root), MERKLE_TX_64);
	/* a byte more is a transaction like others */
	len = make_tx(raw, false, 9, 5);
	hash_sha256d(raw, len, &node);
	pair[1] = node;
	hash_sha256d(pair, sizeof(pair), &root);
	p.tx.len = len;
	assert_int_equal(merkle_proof_check(&p, &root), MERKLE_OK);
}

/* …and from below: a transaction of 64 bytes is read as two hashes, of which the second is the id
 * of a transaction that is in no block. */
static void a_branch_deeper_than_the_coinbase_is_refused(void **state)
{
	struct hash256 leaf, hashes[2][2], pair[2], root, coinbase_id;
	uint8_t raw[256], coinbase[256];
	struct merkle_proof p;
	size_t len = make_tx(raw, false, 3, 20), coinbase_len = make_tx(coinbase, true, 1, 20);

	hash_sha256d(raw, len, &leaf);
	hash_sha256d(coinbase, coinbase_len, &coinbase_id);
	pair[0] = (struct hash256){{2, 0, 0, 0, 1}}; /* the first half of what is a transaction */
	pair[1] = leaf;
	hashes[0][0] = pair[0];
	hash_sha256d(pair, sizeof(pair), &hashes[1][0]);
	hashes[0][1] = coinbase_id;
	pair[0] = coinbase_id;
	pair[1] = hashes[1][0];
	hash_sha256d(pair, sizeof(pair), &root);
	p = (struct merkle_proof){
		.tx = {raw, len},
		.branch = {hashes[0], 2, 3},
		.coinbase = {coinbase, coinbase_len},
		.coinbase_branch = {hashes[1], 1, 0},
	};
	assert_int_equal(merkle_proof_check(&p, &root), MERKLE_COINBASE);
}

static void witnesses_are_those_that_the_coinbase_commits_to(void **state)
{
	static uint8_t raw[16384];
	static char line[3 * 16384], data[2 * 16384];
	FILE *f = vectors_open("blocks.txt");
	unsigned blocks = 0, committed = 0;
	char word[128];
	size_t len;

	while (vectors_line(f, line, sizeof(line))) {
		struct block_view block;
		struct tx_view tx = {0};

		if (sscanf(line, "block %127s %*s %32767s", word, data) != 2)
			continue;
		assert_true(hex_parse_any(data, raw, sizeof(raw), &len));
		assert_true(block_witness_ok(raw, len));
		blocks++;
		assert_int_equal(block_open(&block, raw, len), TX_OK);
		assert_true(block_next(&block, &tx));
		if (tx.flags & TX_FLAG_WITNESS) {
			/* the nonce, a witness, and another count of items */
			uint8_t *witness = raw + (tx.witness.data - raw);

			committed++;
			witness[5] ^= 1;
			assert_true(block_merkle_ok(raw, len));
			assert_false(block_witness_ok(raw, len));
			witness[5] ^= 1;
		}
		while (block_next(&block, &tx)) {
			uint8_t *witness = raw + (tx.witness.data - raw);

			if (!(tx.flags & TX_FLAG_WITNESS))
				continue;
			witness[tx.witness.len - 1] ^= 1;
			assert_true(block_merkle_ok(raw, len));
			assert_false(block_witness_ok(raw, len));
			witness[tx.witness.len - 1] ^= 1;
		}
		assert_true(block_witness_ok(raw, len));
		assert_false(block_witness_ok(raw, BLOCK_HEADER_LEN + 9));
	}
	assert_true(blocks >= 4 && committed >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_proof_of_a_real_node_names_its_transaction),
		cmocka_unit_test(proofs_of_the_main_chain_name_their_places),
		cmocka_unit_test(what_is_not_quite_that_proof_is_refused),
		cmocka_unit_test(counts_that_no_block_has_are_refused),
		cmocka_unit_test(a_doubled_node_is_no_transaction_of_its_own),
		cmocka_unit_test(each_leaf_of_each_tree_has_a_branch_of_its_own),
		cmocka_unit_test(a_branch_is_as_deep_as_a_block_can_be_and_no_deeper),
		cmocka_unit_test(a_transaction_and_its_coinbase_prove_each_other),
		cmocka_unit_test(an_inner_node_is_no_transaction),
		cmocka_unit_test(a_branch_deeper_than_the_coinbase_is_refused),
		cmocka_unit_test(witnesses_are_those_that_the_coinbase_commits_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
