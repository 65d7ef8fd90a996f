#include "fixture/test.h"
#include "fixture/vectors.h"

#include "wire/hex.h"
#include "wire/psbt.h"

#include <string.h>

enum {
	LINE_MAX = 16384,
	BYTES_MAX = 8192,
};

static size_t take(char **line, uint8_t *ret)
{
	char *word = strsep(line, " ");
	size_t len = 0;

	assert_non_null(word);
	assert_true(hex_parse_any(word, ret, BYTES_MAX, &len));
	return len;
}

static void what_is_put_is_found(const struct psbt *psbt)
{
	static const uint8_t value[] = {1, 2, 3};
	uint8_t mem[BYTES_MAX + 64];
	struct span found;
	struct writer w;
	struct psbt back;

	writer_init(&w, mem, sizeof(mem));
	psbt_put(&w, psbt, psbt_input(0), 0xf0, "key", 3, value, sizeof(value));
	assert_false(w.failed);
	assert_int_equal(psbt_parse(mem, writer_len(&w), &back), PSBT_OK);
	assert_true(psbt_same(psbt, &back));
	assert_true(psbt_find(&back, psbt_input(0), 0xf0, "key", 3, &found));
	assert_int_equal(found.len, sizeof(value));
	assert_false(psbt_find(&back, psbt_input(0), 0xf0, "kez", 3, &found));
	assert_int_equal(writer_len(&w), psbt->raw.len + 1 + 4 + 1 + 3);
}

static void a_combination_has_the_pairs_of_both(char *line)
{
	static uint8_t a[BYTES_MAX], b[BYTES_MAX], c[BYTES_MAX], mem[2 * BYTES_MAX];
	static struct psbt psbts[3], back;
	size_t lens[3] = {take(&line, a), take(&line, b), take(&line, c)};
	struct psbt_pair pair;
	struct span value;
	struct reader r;
	struct writer w;

	assert_int_equal(psbt_parse(a, lens[0], &psbts[0]), PSBT_OK);
	assert_int_equal(psbt_parse(b, lens[1], &psbts[1]), PSBT_OK);
	assert_int_equal(psbt_parse(c, lens[2], &psbts[2]), PSBT_OK);
	writer_init(&w, mem, sizeof(mem));
	psbt_combine(&w, &psbts[0], &psbts[1]);
	assert_int_equal(writer_len(&w), lens[2]);
	assert_int_equal(psbt_parse(mem, writer_len(&w), &back), PSBT_OK);
	for (size_t i = 0; i < 1 + back.input_count + back.output_count; i++) {
		reader_init(&r, back.maps[i].data, back.maps[i].len);
		while (psbt_next(&r, &pair)) {
			assert_true(psbt_find(&psbts[2], i, pair.type, pair.key.data, pair.key.len,
					      &value));
			assert_int_equal(value.len, pair.value.len);
			assert_memory_equal(value.data, pair.value.data, value.len);
		}
	}
}

static void the_vectors_of_the_bip_are_read_or_refused(void **state)
{
	static uint8_t bytes[BYTES_MAX];
	static struct psbt psbt;
	FILE *f = vectors_open("psbt.txt");
	static char mem[LINE_MAX];
	unsigned count = 0;

	while (vectors_line(f, mem, sizeof(mem))) {
		char *line = mem, *kind = strsep(&line, " ");
		enum psbt_reason reason;
		size_t len;

		count++;
		if (!strcmp(kind, "combine")) {
			a_combination_has_the_pairs_of_both(line);
			continue;
		}
		len = take(&line, bytes);
		reason = psbt_parse(bytes, len, &psbt);
		assert_true(*psbt_reason_text(reason));
		if (!strcmp(kind, "valid")) {
			assert_int_equal(reason, PSBT_OK);
			what_is_put_is_found(&psbt);
			for (size_t cut = 0; cut < len; cut++)
				assert_int_not_equal(psbt_parse(bytes, cut, &psbt), PSBT_OK);
		} else {
			assert_int_not_equal(reason, PSBT_OK);
			assert_true(strcmp(kind, "bare") != 0 || reason == PSBT_TX);
		}
	}
	assert_int_equal(count, 43);
}

/* One input, one output, nothing else. */
static const uint8_t tx[] = {2,	   0,	 0,    0, 1,	    [5] = 7, [41] = 0, 0xff,
			     0xff, 0xff, 0xff, 1, [55] = 1, 0x6a,    [60] = 0};

static void each_way_to_be_wrong_has_its_reason(void **state)
{
	static const struct {
		uint8_t pair[8];
		size_t len;
		enum psbt_reason reason;
	} table[] = {
		{{2, 0xfb, 0, 4}, 4, PSBT_TRUNCATED},
		{{1, 0xfb, 4, 0, 0, 0, 0}, 7, PSBT_OK},
		{{1, 0xfb, 4, 1, 0, 0, 0}, 7, PSBT_VERSION},
		{{1, 0xfb, 3, 0, 0, 0}, 6, PSBT_VALUE},
		{{2, 0xfb, 0, 1, 0}, 5, PSBT_KEY},
		{{1, 1, 0}, 3, PSBT_KEY},
		{{1, 0, 0}, 3, PSBT_DUPLICATE},
		{{1, 0xf0, 1, 9}, 4, PSBT_OK},
	};
	uint8_t plain[256], mem[256];
	struct psbt psbt;
	struct writer w;
	size_t len;

	writer_init(&w, plain, sizeof(plain));
	psbt_create(&w, tx, sizeof(tx), 1, 1);
	len = writer_len(&w);
	assert_int_equal(psbt_parse(plain, len, &psbt), PSBT_OK);
	plain[len] = 0;
	assert_int_equal(psbt_parse(plain, len + 1, &psbt), PSBT_TRAILING);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		writer_init(&w, mem, sizeof(mem));
		writer_copy(&w, plain, len - 3);
		writer_copy(&w, table[i].pair, table[i].len);
		writer_zero(&w, 3);
		assert_int_equal(psbt_parse(mem, writer_len(&w), &psbt), table[i].reason);
	}
	writer_init(&w, mem, 20);
	assert_int_equal(psbt_parse(plain, len, &psbt), PSBT_OK);
	psbt_put(&w, &psbt, 0, 0xf0, NULL, 0, "x", 1);
	assert_true(w.failed);
}

static void a_map_has_at_most_so_many_pairs(void **state)
{
	static uint8_t mem[4096];
	struct psbt psbt;

	for (unsigned count = PSBT_PAIRS_MAX - 1; count <= PSBT_PAIRS_MAX; count++) {
		struct writer w;

		writer_init(&w, mem, sizeof(mem));
		psbt_create(&w, tx, sizeof(tx), 1, 1);
		w.pos -= 3;
		for (unsigned i = 0; i < count; i++) {
			writer_compact(&w, 3);
			writer_u8(&w, 0xf0);
			writer_u8(&w, (uint8_t)i);
			writer_u8(&w, (uint8_t)(i >> 8));
			writer_compact(&w, 0);
		}
		writer_zero(&w, 3);
		assert_false(w.failed);
		assert_int_equal(psbt_parse(mem, writer_len(&w), &psbt),
				 count < PSBT_PAIRS_MAX ? PSBT_OK : PSBT_LARGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_the_bip_are_read_or_refused),
		cmocka_unit_test(each_way_to_be_wrong_has_its_reason),
		cmocka_unit_test(a_map_has_at_most_so_many_pairs),
	};

	return cmocka_run_group_tests_name("wire/psbt", tests, NULL, NULL);
}
