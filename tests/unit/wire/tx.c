#include "fixture/test.h"

#include "fixture/vectors.h"
#include "wire/hash.h"
#include "wire/hex.h"
#include "wire/tx.h"

enum { RAW_MAX = 16384 };

static const struct hash256 some_hash = {{7, 8, 9}};

static const char *reason_name(enum tx_reason reason)
{
	switch (reason) {
#define X(name, text)                                                                              \
	case name:                                                                                 \
		return #name;
		TX_REASONS(X)
#undef X
	}
	return "?";
}

static void check_views(const struct tx_view *tx)
{
	struct tx_iter in = tx_inputs(tx), out = tx_outputs(tx);
	struct tx_output output, again;
	struct tx_input input;
	uint32_t inputs = 0, outputs = 0;

	for (; tx_next_input(&in, &input); inputs++) {
		struct outpoint at = tx_input_outpoint(&input), first = tx_first_outpoint(tx);

		if (!inputs)
			assert_true(outpoint_equal(&at, &first));
	}
	assert_int_equal(inputs, tx->input_count);
	for (; tx_next_output(&out, &output); outputs++) {
		assert_true(tx_output_at(tx, outputs, &again));
		assert_ptr_equal(again.script.data, output.script.data);
	}
	assert_int_equal(outputs, tx->output_count);
	assert_false(tx_output_at(tx, outputs, &again));
	assert_ptr_equal(out.pos, tx->body.data + tx->body.len);
	assert_true(tx_stripped_size(tx) <= tx->raw.len);
}

static void real_blocks_give_the_ids_that_their_node_names(void **state)
{
	static uint8_t raw[RAW_MAX];
	static char line[3 * RAW_MAX], data[2 * RAW_MAX];
	FILE *f = vectors_open("blocks.txt");
	struct block_view block = {0};
	char word[128], text[HASH_TEXT_SIZE];
	struct tx_view tx;
	struct hash256 hash;
	unsigned mweb = 0, checked = 0;
	size_t len;

	while (vectors_line(f, line, sizeof(line))) {
		if (sscanf(line, "block %127s %u %32767s", word, &mweb, data) == 3) {
			assert_true(hex_parse_any(data, raw, sizeof(raw), &len));
			assert_true(block_merkle_ok(raw, len));
			assert_int_equal(block_open(&block, raw, len), TX_OK);
		} else if (sscanf(line, "hash %127s", word) == 1) {
			block_hash(raw, &hash);
			hash_format(&hash, text);
			assert_string_equal(text, word);
		} else if (sscanf(line, "txid %127s", word) == 1) {
			assert_true(block_next(&block, &tx));
			check_views(&tx);
			tx_txid(&tx, &hash);
			hash_format(&hash, text);
			assert_string_equal(text, word);
			assert_int_equal(block.extension.len > 0,
					 mweb && block.visited == block.tx_count);
			checked++;
		} else if (sscanf(line, "tx %32767s %127s", data, word) == 2) {
			assert_true(hex_parse_any(data, raw, sizeof(raw), &len));
			assert_int_equal(tx_parse(raw, len, &tx), TX_OK);
			check_views(&tx);
			tx_txid(&tx, &hash);
			hash_format(&hash, text);
			assert_string_equal(text, word);
		} else if (sscanf(line, "refused %32767s %127s", data, word) == 2) {
			assert_true(hex_parse_any(data, raw, sizeof(raw), &len));
			assert_string_equal(reason_name(tx_parse(raw, len, &tx)), word);
		}
	}
	assert_int_equal(block.visited, block.tx_count);
	assert_true(checked >= 9);
}

static size_t read_block(const char *name, uint8_t raw[RAW_MAX])
{
	static char line[3 * RAW_MAX], data[2 * RAW_MAX];
	FILE *f = vectors_open("blocks.txt");
	char word[128];
	unsigned mweb;
	size_t len = 0;

	while (vectors_line(f, line, sizeof(line))) {
		if (sscanf(line, "block %127s %u %32767s", word, &mweb, data) == 3 &&
		    !strcmp(word, name))
			assert_true(hex_parse_any(data, raw, RAW_MAX, &len));
	}
	assert_true(len > 0);
	return len;
}

static enum tx_reason visit(const uint8_t *raw, size_t len)
{
	struct block_view block;
	struct tx_view tx;

	block_open(&block, raw, len);
	while (block_next(&block, &tx))
		;
	return block.reason;
}

static void a_cut_block_is_refused_at_every_byte(void **state)
{
	static uint8_t raw[RAW_MAX];
	size_t len = read_block("segwit", raw), last;

	for (size_t cut = 0; cut < len; cut++) {
		/* by itself, so that a sanitizer sees a read past the end */
		uint8_t *copy = malloc(cut ? cut : 1);

		memcpy(copy, raw, cut);
		assert_int_not_equal(visit(copy, cut), TX_OK);
		free(copy);
	}
	raw[len] = 0;
	assert_int_equal(visit(raw, len + 1), TX_TRAILING);
	/* the extension block is opaque: only its being there is checked */
	len = read_block("mweb1", raw);
	for (last = 0; visit(raw, last) != TX_OK && last < len; last++)
		;
	assert_true(last > 200 && last < len);
	assert_int_equal(visit(raw, last - 2), TX_TRUNCATED);
	assert_int_equal(visit(raw, len), TX_OK);
}

static void the_merkle_root_sees_a_flipped_bit(void **state)
{
	static uint8_t raw[RAW_MAX];
	size_t len = read_block("segwit", raw);

	assert_true(block_merkle_ok(raw, len));
	raw[len - 1] ^= 1; /* a locktime */
	assert_false(block_merkle_ok(raw, len));
	assert_false(block_merkle_ok(raw, len - 1));
}

static void headers_come_back_as_written(void **state)
{
	static uint8_t raw[RAW_MAX];
	struct block_header header;
	uint8_t again[BLOCK_HEADER_LEN];

	read_block("genesis", raw);
	block_header_parse(raw, &header);
	assert_int_equal(header.version, 1);
	assert_int_equal(header.time, 1231006505);
	assert_int_equal(header.bits, 0x1d00ffff);
	assert_int_equal(header.nonce, 2083236893);
	block_header_write(&header, again);
	assert_memory_equal(raw, again, sizeof(again));
}

/* The plain definition, level by level. */
static void plain_root(struct hash256 *level, size_t n, struct hash256 *ret)
{
	for (; n > 1; n = (n + 1) / 2) {
		for (size_t i = 0; i < n; i += 2) {
			struct hash256 pair[2] = {level[i], level[i + 1 < n ? i + 1 : i]};

			hash_sha256d(pair, sizeof(pair), &level[i / 2]);
		}
	}
	*ret = level[0];
}

static void merkle_roots_agree_with_the_definition(void **state)
{
	struct hash256 level[40], want, got;

	for (size_t n = 1; n <= 40; n++) {
		struct merkle m;

		merkle_init(&m);
		for (size_t i = 0; i < n; i++) {
			hash_sha256(&i, sizeof(i), &level[i]);
			merkle_add(&m, &level[i]);
		}
		merkle_root(&m, &got);
		plain_root(level, n, &want);
		assert_memory_equal(&want, &got, sizeof(want));
		assert_false(m.mutated);
	}
}

/* CVE-2012-2459: leaves 1 2 3 and 1 2 3 3 have the same root. */
static void a_doubled_leaf_is_seen(void **state)
{
	struct hash256 leaf[3] = {{{1}}, {{2}}, {{3}}}, three, four;
	struct merkle m;

	merkle_init(&m);
	for (int i = 0; i < 3; i++)
		merkle_add(&m, &leaf[i]);
	merkle_root(&m, &three);
	assert_false(m.mutated);
	merkle_init(&m);
	for (int i = 0; i < 4; i++)
		merkle_add(&m, &leaf[i < 3 ? i : 2]);
	merkle_root(&m, &four);
	assert_memory_equal(&three, &four, sizeof(three));
	assert_true(m.mutated);
}

/* One input, one output, as said; what is put in place of a part breaks it. */
struct parts {
	const char *flags, *in_count, *in_script, *out_count, *out_script, *witness, *mweb, *tail;
};

static enum tx_reason parse_parts(const struct parts *p, bool in_block)
{
	static char text[4096];
	static uint8_t raw[2048];
	struct tx_view tx;
	size_t len;

	snprintf(text, sizeof(text),
		 "02000000%s%s%064d00000000%sffffffff%s8813000000000000%s%s%s%s", p->flags,
		 p->in_count, 1, p->in_script, p->out_count, p->out_script, p->witness, p->mweb,
		 p->tail);
	assert_true(hex_parse_any(text, raw, sizeof(raw), &len));
	if (!in_block)
		return tx_parse(raw, len, &tx);
	/* behind a coinbase */
	memmove(raw + 81 + 60, raw, len);
	memset(raw, 0, 81 + 60);
	raw[80] = 2;
	raw[81 + 4] = 1;
	memset(raw + 81 + 5 + 32, 0xff, 4);
	raw[81 + 5 + 36 + 1 + 4] = 1;
	return visit(raw, 81 + 60 + len);
}

static void malformed_transactions_have_their_reason(void **state)
{
	static const struct {
		struct parts parts;
		enum tx_reason alone, in_block;
	} table[] = {
		{{"", "01", "00", "01", "00", "", "", "00000000"}, TX_OK, TX_OK},
		{{"", "01", "025151", "01", "0151", "", "", "00000000"}, TX_OK, TX_OK},
		{{"0001", "01", "00", "01", "00", "0101aa", "", "00000000"}, TX_OK, TX_OK},
		{{"0001", "01", "00", "01", "00", "00", "", "00000000"},
		 TX_EMPTY_WITNESS,
		 TX_EMPTY_WITNESS},
		{{"0001", "01", "00", "01", "00", "0102aa", "", "00000000"},
		 TX_TRUNCATED,
		 TX_TRUNCATED},
		{{"0002", "01", "00", "01", "00", "0101aa", "", "00000000"}, TX_FLAGS, TX_FLAGS},
		{{"0008", "01", "00", "01", "00", "", "00", "00000000"}, TX_OK, TX_TRUNCATED},
		{{"0008", "01", "00", "01", "00", "", "00", "0000000001ff"}, TX_TRAILING, TX_OK},
		{{"0008", "01", "00", "01", "00", "", "01aabb", "00000000"}, TX_OK, TX_MWEB},
		{{"0008", "01", "00", "01", "00", "", "02", "00000000"}, TX_MWEB, TX_MWEB},
		{{"0009", "01", "00", "01", "00", "0101aa", "00", "0000000001ff"},
		 TX_TRAILING,
		 TX_OK},
		{{"", "00", "00", "01", "00", "", "", "00000000"}, TX_NO_INPUTS, TX_NO_INPUTS},
		{{"", "01", "00", "00", "00", "", "", "00000000"}, TX_NO_OUTPUTS, TX_NO_OUTPUTS},
		{{"", "02", "00", "01", "00", "", "", "00000000"}, TX_COUNT, TX_COUNT},
		{{"", "fd0100", "00", "01", "00", "", "", "00000000"}, TX_COUNT, TX_COUNT},
		{{"", "ffffffffffffffffff", "00", "01", "00", "", "", "00000000"},
		 TX_COUNT,
		 TX_COUNT},
		{{"", "01", "fdffff", "01", "00", "", "", "00000000"}, TX_TRUNCATED, TX_TRUNCATED},
		{{"", "01", "ffffffffffffffffff", "01", "00", "", "", "00000000"},
		 TX_TRUNCATED,
		 TX_TRUNCATED},
		{{"", "01", "00", "01", "09", "", "", "00000000"}, TX_TRUNCATED, TX_TRUNCATED},
		{{"", "01", "00", "01", "05", "", "", "00000000"}, TX_TRUNCATED, TX_TRUNCATED},
		{{"", "01", "00", "01", "00", "", "", "000000"}, TX_TRUNCATED, TX_COUNT},
		{{"", "01", "00", "01", "00", "", "", "0000000000"}, TX_TRAILING, TX_TRAILING},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_string_equal(reason_name(parse_parts(&table[i].parts, false)),
				    reason_name(table[i].alone));
		assert_string_equal(reason_name(parse_parts(&table[i].parts, true)),
				    reason_name(table[i].in_block));
	}
	assert_string_not_equal(tx_reason_text(TX_MWEB), tx_reason_text(TX_OK));
}

static void a_block_has_one_coinbase_and_it_is_first(void **state)
{
	static uint8_t raw[RAW_MAX];
	size_t len = read_block("genesis", raw);

	assert_int_equal(visit(raw, len), TX_OK);
	raw[85] = 1; /* the txid that the coinbase spends */
	raw[86] = 1;
	assert_int_equal(visit(raw, len), TX_COINBASE);
	len = read_block("genesis", raw);
	memcpy(raw + len, raw + 81, len - 81);
	raw[80] = 2;
	assert_int_equal(visit(raw, 2 * len - 81), TX_COINBASE);
	raw[80] = 0;
	assert_int_equal(visit(raw, len), TX_NO_TXS);
	raw[80] = 5;
	assert_int_equal(visit(raw, len), TX_COUNT);
	assert_int_equal(visit(raw, 79), TX_TRUNCATED);
	assert_int_equal(visit(raw, 80), TX_COUNT);
}

static void scripts_are_read_opcode_by_opcode(void **state)
{
	/* 0, push of 1, PUSHDATA1 of 2, PUSHDATA2 of 1, PUSHDATA4 of 1, OP_1, OP_RETURN */
	static const char text[] = "0001aa4c02bbcc4d0100dd4e01000000ee516a";
	static const struct {
		uint8_t opcode;
		bool is_push;
		size_t len;
	} want[] = {{0, true, 0},    {1, true, 1},     {0x4c, true, 2}, {0x4d, true, 1},
		    {0x4e, true, 1}, {0x51, false, 0}, {0x6a, false, 0}};
	uint8_t raw[32];
	struct script_op op;
	struct reader r;
	size_t len;

	assert_true(hex_parse_any(text, raw, sizeof(raw), &len));
	reader_init(&r, raw, len);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_true(script_next(&r, &op));
		assert_int_equal(op.opcode, want[i].opcode);
		assert_int_equal(op.is_push, want[i].is_push);
		assert_int_equal(op.push.len, want[i].len);
	}
	assert_false(script_next(&r, &op));
	assert_true(reader_done(&r));
	for (size_t cut = 1; cut < len; cut++) {
		reader_init(&r, raw, cut);
		while (script_next(&r, &op))
			;
	}
	reader_init(&r, "\x4d\xff\xff\x00", 4);
	assert_false(script_next(&r, &op));
	assert_true(r.failed);
}

static void standard_scripts_are_written_and_known_again(void **state)
{
	static const struct {
		enum script_kind kind;
		size_t len, hash_len;
	} table[] = {
		{SCRIPT_P2PKH, 25, 20}, {SCRIPT_P2SH, 23, 20}, {SCRIPT_P2WPKH, 22, 20},
		{SCRIPT_P2WSH, 34, 32}, {SCRIPT_P2TR, 34, 32},
	};
	uint8_t mem[64];
	struct span hash;
	struct writer w;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		writer_init(&w, mem, sizeof(mem));
		script_write(&w, table[i].kind, some_hash.bytes);
		assert_int_equal(writer_len(&w), table[i].len);
		assert_int_equal(script_classify((struct span){mem, table[i].len}, &hash),
				 table[i].kind);
		assert_int_equal(hash.len, table[i].hash_len);
		assert_memory_equal(hash.data, some_hash.bytes, hash.len);
		assert_int_equal(script_classify((struct span){mem, table[i].len - 1}, NULL),
				 SCRIPT_OTHER);
		assert_int_equal(script_classify((struct span){mem, table[i].len + 1}, NULL),
				 SCRIPT_OTHER);
	}
	assert_int_equal(script_classify((struct span){(const uint8_t *)"\x6a", 1}, NULL),
			 SCRIPT_OP_RETURN);
	assert_int_equal(script_classify((struct span){mem, 0}, NULL), SCRIPT_OTHER);
}

static void pushes_take_the_shortest_form(void **state)
{
	static const struct {
		size_t len, want;
	} table[] = {{1, 2}, {75, 76}, {76, 78}, {255, 257}, {256, 259}, {65535, 65538}};
	static uint8_t data[65536], mem[65600];
	struct script_op op;
	struct reader r;
	struct writer w;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		writer_init(&w, mem, sizeof(mem));
		script_write_push(&w, data, table[i].len);
		assert_int_equal(writer_len(&w), table[i].want);
		reader_init(&r, mem, table[i].want);
		assert_true(script_next(&r, &op) && op.is_push && reader_done(&r));
		assert_int_equal(op.push.len, table[i].len);
	}
	writer_init(&w, mem, sizeof(mem));
	script_write_push(&w, data, 65536);
	assert_true(w.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_blocks_give_the_ids_that_their_node_names),
		cmocka_unit_test(a_cut_block_is_refused_at_every_byte),
		cmocka_unit_test(the_merkle_root_sees_a_flipped_bit),
		cmocka_unit_test(headers_come_back_as_written),
		cmocka_unit_test(merkle_roots_agree_with_the_definition),
		cmocka_unit_test(a_doubled_leaf_is_seen),
		cmocka_unit_test(malformed_transactions_have_their_reason),
		cmocka_unit_test(a_block_has_one_coinbase_and_it_is_first),
		cmocka_unit_test(scripts_are_read_opcode_by_opcode),
		cmocka_unit_test(standard_scripts_are_written_and_known_again),
		cmocka_unit_test(pushes_take_the_shortest_form),
	};

	return cmocka_run_group_tests_name("wire/tx", tests, NULL, NULL);
}
