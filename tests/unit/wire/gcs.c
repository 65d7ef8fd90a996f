#include "fixture/test.h"

#include "fixture/rng.h"
#include "fixture/vectors.h"
#include "wire/gcs.h"
#include "wire/hex.h"
#include "wire/tx.h"

#include <string.h>

enum { RAW_MAX = 4096, SCRIPTS_MAX = 64 };

static const struct hash256 some_block = {{7, 8, 9}};

struct scripts {
	struct span list[SCRIPTS_MAX];
	size_t count;
};

/* The set of BIP158: no empty one, each once. */
static void add(struct scripts *s, struct span script)
{
	if (script.len == 0)
		return;
	for (size_t i = 0; i < s->count; i++)
		if (s->list[i].len == script.len &&
		    memcmp(s->list[i].data, script.data, script.len) == 0)
			return;
	assert_true(s->count < SCRIPTS_MAX);
	s->list[s->count++] = script;
}

static void add_outputs(struct scripts *s, const uint8_t *raw, size_t len)
{
	struct block_view block;
	struct tx_output output;
	struct tx_iter it;
	struct tx_view tx;

	assert_int_equal(block_open(&block, raw, len), TX_OK);
	while (block_next(&block, &tx)) {
		it = tx_outputs(&tx);
		while (tx_next_output(&it, &output))
			if (gcs_has_output(output.script))
				add(s, output.script);
	}
	assert_int_equal(block.reason, TX_OK);
}

/* hex with commas; bytes go to mem. */
static void add_spent(struct scripts *s, char *text, uint8_t *mem, size_t size)
{
	size_t len;

	for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
		if (strcmp(word, "-") == 0 || strcmp(word, "_") == 0)
			continue;
		assert_true(hex_parse_any(word, mem, size, &len));
		add(s, (struct span){.data = mem, .len = len});
		mem += len;
		size -= len;
	}
}

static void check_filter(const struct hash256 *block, const uint8_t *filter, size_t len,
			 const struct scripts *s)
{
	static const uint8_t stranger[] = "a script of nobody";
	uint8_t again[RAW_MAX];
	uint64_t values[SCRIPTS_MAX], value;
	struct writer w;
	struct gcs gcs;

	assert_true(gcs_open(&gcs, block, filter, len));
	assert_int_equal(gcs.count, s->count);
	for (size_t i = 0; i < s->count; i++) {
		value = gcs_value(&gcs, s->list[i]);
		assert_int_equal(gcs_match(&gcs, &value, 1), GCS_MATCH);
	}
	assert_int_equal(gcs_match(&gcs, NULL, 0), GCS_NONE);
	value = gcs_value(&gcs, (struct span){.data = stranger, .len = sizeof(stranger)});
	assert_int_equal(gcs_match(&gcs, &value, 1), GCS_NONE);
	assert_true(gcs_values(&gcs, values));
	for (size_t i = 1; i < s->count; i++)
		assert_true(values[i - 1] <= values[i]);
	writer_init(&w, again, sizeof(again));
	gcs_write(&w, block, s->list, s->count, values);
	assert_false(w.failed);
	assert_int_equal(writer_len(&w), len);
	assert_memory_equal(again, filter, len);
}

static void the_filters_of_bip_158_are_read_and_made(void **state)
{
	static char line[2 * RAW_MAX], block_text[2 * RAW_MAX];
	static uint8_t raw[RAW_MAX], spent[RAW_MAX], filter[RAW_MAX];
	char block_id[80], prev_text[80], filter_text[512], header_text[80], spent_text[1024];
	FILE *f = vectors_open("filters.txt");
	struct hash256 block, prev, want, hash, header;
	size_t raw_len, len;
	unsigned height, rows = 0;

	for (; vectors_line(f, line, sizeof(line)); rows++) {
		struct scripts s = {.count = 0};

		assert_int_equal(sscanf(line, "%u %79s %8191s %1023s %79s %511s %79s", &height,
					block_id, block_text, spent_text, prev_text, filter_text,
					header_text),
				 7);
		assert_true(hash_parse(block_id, &block) && hash_parse(prev_text, &prev) &&
			    hash_parse(header_text, &want));
		assert_true(hex_parse_any(block_text, raw, sizeof(raw), &raw_len));
		assert_true(hex_parse_any(filter_text, filter, sizeof(filter), &len));
		add_outputs(&s, raw, raw_len);
		add_spent(&s, spent_text, spent, sizeof(spent));
		check_filter(&block, filter, len, &s);
		gcs_hash(filter, len, &hash);
		gcs_header(&hash, &prev, &header);
		assert_memory_equal(&header, &want, sizeof(header));
	}
	assert_int_equal(rows, 10);
}

static void a_filter_of_random_scripts_finds_each_and_hardly_any_other(void **state)
{
	enum { COUNT = 2000, STRANGERS = 20000 };
	static uint8_t bytes[COUNT + STRANGERS][8], mem[COUNT * 4];
	static struct span scripts[COUNT];
	static uint64_t values[COUNT];
	struct rng rng = rng_new("gcs");
	unsigned found = 0;
	struct writer w;
	struct gcs gcs;
	uint64_t value;

	for (size_t i = 0; i < COUNT + STRANGERS; i++)
		store_u64(bytes[i], rng_next(&rng));
	for (size_t i = 0; i < COUNT; i++)
		scripts[i] = (struct span){.data = bytes[i], .len = 8};
	writer_init(&w, mem, sizeof(mem));
	gcs_write(&w, &some_block, scripts, COUNT, values);
	assert_false(w.failed);
	assert_true(gcs_open(&gcs, &some_block, mem, writer_len(&w)));
	for (size_t i = 0; i < COUNT + STRANGERS; i++) {
		value = gcs_value(&gcs, (struct span){.data = bytes[i], .len = 8});
		if (i < COUNT)
			assert_int_equal(gcs_match(&gcs, &value, 1), GCS_MATCH);
		else if (i % 20 == 0)
			found += gcs_match(&gcs, &value, 1) == GCS_MATCH;
	}
	/* 1000 strangers, one of 784931 by chance */
	assert_true(found <= 2);
	for (size_t i = 0; i < COUNT; i++)
		values[i] = gcs_value(&gcs, (struct span){.data = bytes[COUNT + i], .len = 8});
	values[0] = gcs_value(&gcs, scripts[17]);
	assert_int_equal(gcs_match(&gcs, values, COUNT), GCS_MATCH);
}

static void no_count_is_believed_that_the_bytes_cannot_hold(void **state)
{
	/* 5 bytes: 40 bits, two elements of 20 */
	static const uint8_t two[] = {2, 0, 0, 0, 0, 0}, three[] = {3, 0, 0, 0, 0, 0};
	static const uint8_t huge[] = {0xff, 255, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3};
	static const uint8_t long_form[] = {0xfd, 2, 0, 0, 0, 0, 0, 0};
	struct gcs gcs;

	assert_true(gcs_open(&gcs, &some_block, two, sizeof(two)));
	assert_int_equal(gcs_match(&gcs, NULL, 0), GCS_NONE);
	assert_false(gcs_open(&gcs, &some_block, three, sizeof(three)));
	assert_false(gcs_open(&gcs, &some_block, huge, sizeof(huge)));
	assert_false(gcs_open(&gcs, &some_block, long_form, sizeof(long_form)));
	assert_false(gcs_open(&gcs, &some_block, two, 0));
}

static void a_filter_that_nobody_can_have_made_is_bad(void **state)
{
	static const struct {
		const char *what;
		uint8_t bytes[8];
		size_t len;
		enum gcs_verdict want;
	} table[] = {
		{"none", {0}, 1, GCS_NONE},
		{"none and padding", {0, 0}, 2, GCS_BAD},
		{"one", {1, 0, 0, 0}, 4, GCS_NONE},
		{"one, padding not zero", {1, 0, 0, 1}, 4, GCS_BAD},
		{"one and a byte", {1, 0, 0, 0, 0}, 5, GCS_BAD},
		{"ends in its quotient", {1, 255, 255, 255}, 4, GCS_BAD},
		/* quotient 1: 524288 and 260642 is the last value of one element */
		{"the highest value", {1, 0x8f, 0xe8, 0x88}, 4, GCS_NONE},
		{"one past it", {1, 0x8f, 0xe8, 0x8c}, 4, GCS_BAD},
	};
	struct gcs gcs;
	uint64_t value;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_true(gcs_open(&gcs, &some_block, table[i].bytes, table[i].len));
		if (gcs_match(&gcs, NULL, 0) != table[i].want ||
		    gcs_values(&gcs, &value) != (table[i].want != GCS_BAD))
			fail_msg("%s", table[i].what);
	}
}

static void data_carriers_are_not_in_filters(void **state)
{
	static const uint8_t carrier[] = {OP_RETURN, 1, 2}, other[] = {OP_1};

	assert_false(gcs_has_output((struct span){.data = carrier, .len = sizeof(carrier)}));
	assert_false(gcs_has_output((struct span){.data = other, .len = 0}));
	assert_true(gcs_has_output((struct span){.data = other, .len = 1}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_filters_of_bip_158_are_read_and_made),
		cmocka_unit_test(a_filter_of_random_scripts_finds_each_and_hardly_any_other),
		cmocka_unit_test(no_count_is_believed_that_the_bytes_cannot_hold),
		cmocka_unit_test(a_filter_that_nobody_can_have_made_is_bad),
		cmocka_unit_test(data_carriers_are_not_in_filters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
