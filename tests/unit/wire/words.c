#include "fixture/test.h"
#include "fixture/vectors.h"

#include "wire/hex.h"
#include "wire/words.h"

#include <string.h>

static void words_are_those_of_the_bips_vectors(void **state)
{
	FILE *f = vectors_open("words.txt");
	char line[512], text[WORDS_TEXT_SIZE];
	uint8_t bytes[WORDS_BYTES_MAX], back[WORDS_BYTES_MAX];
	size_t len, back_len, bad;
	unsigned count = 0;

	while (vectors_line(f, line, sizeof(line))) {
		char *words = strchr(line, ' ');

		assert_non_null(words);
		*words++ = '\0';
		assert_true(hex_parse_any(line, bytes, sizeof(bytes), &len));
		words_format(bytes, len, text);
		assert_string_equal(text, words);
		assert_int_equal(words_parse(words, back, &back_len, &bad), WORDS_OK);
		assert_int_equal(back_len, len);
		assert_memory_equal(back, bytes, len);
		count++;
	}
	assert_int_equal(count, 24);
}

static void the_list_is_sorted_and_four_letters_are_enough(void **state)
{
	for (size_t i = 1; i < WORDS_LIST_LEN; i++) {
		assert_true(strcmp(words_list[i - 1], words_list[i]) < 0);
		assert_true(strncmp(words_list[i - 1], words_list[i], 4) < 0);
		assert_true(strlen(words_list[i]) < WORDS_WORD_SIZE);
	}
}

#define ELEVEN "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon "

static void each_way_to_be_wrong_is_named(void **state)
{
	static const struct {
		const char *text;
		enum words_result result;
		size_t bad;
	} table[] = {
		{ELEVEN "abandon about", WORDS_OK, 12},
		{"  " ELEVEN "\n\tABAN\r abou ", WORDS_OK, 12},
		{ELEVEN "abandon abandon", WORDS_CHECKSUM, 12},
		{ELEVEN "about abandon", WORDS_CHECKSUM, 12},
		{ELEVEN "abandon", WORDS_COUNT, 11},
		{ELEVEN "abandon about abandon", WORDS_COUNT, 13},
		{ELEVEN ELEVEN "abandon abandon abandon abandon abandon abandon abandon",
		 WORDS_COUNT, 27},
		{"", WORDS_COUNT, 0},
		{ELEVEN "aba about", WORDS_UNKNOWN, 11},
		{ELEVEN "abandons about", WORDS_UNKNOWN, 11},
		{"abandon b\xc3\xa4ndon", WORDS_UNKNOWN, 2},
	};
	static const uint8_t zeros[WORDS_BYTES_MAX];
	uint8_t bytes[WORDS_BYTES_MAX];
	size_t len, bad;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memset(bytes, 7, sizeof(bytes));
		assert_int_equal(words_parse(table[i].text, bytes, &len, &bad), table[i].result);
		assert_int_equal(bad, table[i].bad);
		assert_memory_equal(bytes, zeros, sizeof(zeros));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_those_of_the_bips_vectors),
		cmocka_unit_test(the_list_is_sorted_and_four_letters_are_enough),
		cmocka_unit_test(each_way_to_be_wrong_is_named),
	};

	return cmocka_run_group_tests_name("wire/words", tests, NULL, NULL);
}
