#include "fixture/test.h"

#include "wire/base58.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <ctype.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void hex_takes_whole_bytes_of_either_case(void **state)
{
	uint8_t mem[2] = {7, 7};
	size_t len = 9;
	char text[5];

	assert_true(hex_parse("aBFf", mem, 2));
	hex_format(mem, 2, text);
	assert_string_equal(text, "abff");
	assert_false(hex_parse("abf", mem, 2));
	assert_false(hex_parse("abff0", mem, 2));
	assert_false(hex_parse("0000ff", mem, 2));
	assert_false(hex_parse("00g0", mem, 2));
	assert_false(hex_parse("0x00", mem, 2));
	assert_memory_equal(mem, "\xab\xff", 2);
	assert_true(hex_parse_any("", mem, 2, &len));
	assert_int_equal(len, 0);
	assert_false(hex_parse_any("001122", mem, 2, &len));
}

static void hashes_are_shown_reversed(void **state)
{
	const char *shown = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
	struct hash256 hash;
	char text[HASH_TEXT_SIZE];

	assert_true(hash_parse(shown, &hash));
	assert_int_equal(hash.bytes[0], 0x6f);
	assert_int_equal(hash.bytes[31], 0);
	hash_format(&hash, text);
	assert_string_equal(text, shown);
	assert_false(hash_parse(shown + 1, &hash));
}

/* Bitcoin's wiki on addresses, WIF and BIP32's first test vector (78 bytes). */
static void base58check_vectors_both_ways(void **state)
{
	static const struct {
		const char *hex, *text;
	} table[] = {
		{"00010966776006953d5567439e5e39f86a0d273bee", "16UwLL9Risc3QfPqBUvKofHmBQ7wMtjvM"},
		{"800c28fca386c7a227600b2fe50b7cae11ec86d3bf1fbe471be89827e19d72aa1d",
		 "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"},
		{"000000000000000000000000000000000000000000", "1111111111111111111114oLvT2"},
		{"0488ade4000000000000000000873dff81c02f525623fd1fe5167eac3a55a049de3d314bb42ee227f"
		 "fed37d5"
		 "0800e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35",
		 "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5"
		 "kejMR"
		 "NNU3TGtRBeJgk33yuGBxrMPHi"},
		{"", "3QJmnh"},
	};
	uint8_t mem[BASE58CHECK_MAX], back[BASE58CHECK_MAX];
	char text[BASE58CHECK_TEXT_SIZE];
	size_t len, back_len;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_true(hex_parse_any(table[i].hex, mem, sizeof(mem), &len));
		assert_true(base58check_encode(mem, len, text, sizeof(text)));
		assert_string_equal(text, table[i].text);
		assert_false(base58check_encode(mem, len, text, strlen(text)));
		assert_true(base58check_decode(table[i].text, back, sizeof(back), &back_len));
		assert_int_equal(back_len, len);
		assert_memory_equal(back, mem, len);
		assert_true(base58check_decode(table[i].text, back, len, &back_len));
		if (len)
			assert_false(base58check_decode(table[i].text, back, len - 1, &back_len));
	}
}

static void base58check_refuses_what_is_not_right(void **state)
{
	static const char *const table[] = {
		"",
		"1",
		"16UwLL9Risc3QfPqBUvKofHmBQ7wMtjvN", /* checksum */
		"16UwLL9Risc3QfPqBUvKofHmBQ7wMtjv0", /* 0, O, I and l are not in the alphabet */
		"16UwLL9Risc3QfPqBUvKofHmBQ7wMtjvO",
		"16UwLL9Risc3QfPqBUvKofHmBQ7wMtjvl",
		" 16UwLL9Risc3QfPqBUvKofHmBQ7wMtjvM",
		"6UwLL9Risc3QfPqBUvKofHmBQ7wMtjvM",
	};
	uint8_t mem[BASE58CHECK_MAX + 1] = {0};
	char text[BASE58CHECK_TEXT_SIZE], ones[400];
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_false(base58check_decode(table[i], mem, sizeof(mem), &len));
	memset(ones, '1', sizeof(ones) - 1);
	ones[sizeof(ones) - 1] = '\0';
	assert_false(base58check_decode(ones, mem, sizeof(mem), &len));
	memset(ones, 'z', sizeof(ones) - 1);
	assert_false(base58check_decode(ones, mem, sizeof(mem), &len));
	memset(mem, 0xff, sizeof(mem));
	assert_true(base58check_encode(mem, BASE58CHECK_MAX, text, sizeof(text)));
	assert_true(base58check_decode(text, mem, BASE58CHECK_MAX, &len));
	assert_int_equal(len, BASE58CHECK_MAX);
	assert_false(base58check_encode(mem, BASE58CHECK_MAX + 1, text, sizeof(text)));
}

/* BIP173 and BIP350, valid strings: decoded and encoded again. */
static void bech32_strings_of_the_bips_come_back(void **state)
{
	static const struct {
		enum bech32_form form;
		const char *text;
	} table[] = {
		{BECH32_FORM_1, "A12UEL5L"},
		{BECH32_FORM_1, "a12uel5l"},
		{BECH32_FORM_1,
		 "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedchara"
		 "ctersbio1tt5tgs"},
		{BECH32_FORM_1, "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"},
		{BECH32_FORM_1, "11qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"
				"qqqqqqqqqqqqqqqqqqqqqqqqc8247j"},
		{BECH32_FORM_1, "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w"},
		{BECH32_FORM_1, "?1ezyfcl"},
		{BECH32_FORM_M, "A1LQFN3A"},
		{BECH32_FORM_M, "a1lqfn3a"},
		{BECH32_FORM_M,
		 "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioand"
		 "number11sg7hg6"},
		{BECH32_FORM_M, "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx"},
		{BECH32_FORM_M, "11llllllllllllllllllllllllllllllllllllllllllllllllllllllllll"
				"llllllllllllllllllllllllludsr8"},
		{BECH32_FORM_M, "split1checkupstagehandshakeupstreamerranterredcaperredlc445v"},
		{BECH32_FORM_M, "?1v759aa"},
	};
	char hrp[BECH32_HRP_SIZE], text[BECH32_TEXT_SIZE];
	uint8_t values[BECH32_VALUES_MAX];
	enum bech32_form form;
	size_t count;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_true(bech32_decode(table[i].text, hrp, values, &count, &form));
		assert_int_equal(form, table[i].form);
		assert_true(bech32_encode(hrp, values, count, form, text));
		for (size_t k = 0; k <= strlen(text); k++)
			assert_int_equal(text[k], tolower(table[i].text[k]));
	}
}

/* BIP173 and BIP350, strings that are not valid. */
static void bech32_strings_that_the_bips_refuse_are_refused(void **state)
{
	static const char *const table[] = {
		"\x20"
		"1nwldj5",
		"\x7f"
		"1axkwrx",
		"\x80"
		"1eym55h",
		"an84characterslonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersb"
		"io1569"
		"pvx",
		"pzry9x0s0muk",
		"1pzry9x0s0muk",
		"x1b4n0q5v",
		"li1dgmt3",
		"de1lg7wt\xff",
		"A1G7SGD8",
		"10a06t8",
		"1qzzfhee",
		"\x20"
		"1xj0phk",
		"\x7f"
		"1g6xzxy",
		"\x80"
		"1vctc34",
		"an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumbe"
		"r11d6p"
		"ts4",
		"qyrz8wqd2c9m",
		"1qyrz8wqd2c9m",
		"y1b0jsk6g",
		"lt1igcx5c0",
		"in1muywd",
		"mm1crxm3i",
		"au1s5cgom",
		"M1VUXWEZ",
		"16plkw9",
		"1p2gdwpf",
		"",
		"1",
		"a12UEL5L",
	};
	char hrp[BECH32_HRP_SIZE];
	uint8_t values[BECH32_VALUES_MAX];
	enum bech32_form form;
	size_t count;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_false(bech32_decode(table[i], hrp, values, &count, &form));
}

/* BIP350, addresses and their scripts. */
static void segwit_addresses_of_the_bips_both_ways(void **state)
{
	static const struct {
		const char *hrp, *text;
		unsigned version;
		const char *program;
	} table[] = {
		{"bc", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", 0,
		 "751e76e8199196d454941c45d1b3a323f1433bd6"},
		{"tb", "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", 0,
		 "1863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262"},
		{"bc", "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
		 1,
		 "751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd"
		 "6"},
		{"bc", "BC1SW50QGDZ25J", 16, "751e"},
		{"bc", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", 2,
		 "751e76e8199196d454941c45d1b3a323"},
		{"tb", "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy", 0,
		 "000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"},
		{"tb", "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c", 1,
		 "000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"},
		{"bc", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", 1,
		 "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"},
	};
	uint8_t program[SEGWIT_PROGRAM_MAX];
	char text[BECH32_TEXT_SIZE], shown[2 * SEGWIT_PROGRAM_MAX + 1];
	unsigned version;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_true(segwit_parse(table[i].hrp, table[i].text, &version, program, &len));
		assert_int_equal(version, table[i].version);
		hex_format(program, len, shown);
		assert_string_equal(shown, table[i].program);
		assert_true(segwit_format(table[i].hrp, version, program, len, text));
		for (size_t k = 0; k <= strlen(text); k++)
			assert_int_equal(text[k], tolower(table[i].text[k]));
	}
}

static void segwit_addresses_that_the_bips_refuse_are_refused(void **state)
{
	static const char *const table[] = {
		"tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut",
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
		"tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf",
		"BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL",
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh",
		"tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47",
		"bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
		"BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
		"bc1pw5dgrnzv",
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
		"BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
		"tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq",
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
		"tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j",
		"bc1gmk9yu",
	};
	uint8_t program[SEGWIT_PROGRAM_MAX + 1] = {0};
	char text[BECH32_TEXT_SIZE];
	unsigned version;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_false(segwit_parse("bc", table[i], &version, program, &len));
		assert_false(segwit_parse("tb", table[i], &version, program, &len));
	}
	assert_false(segwit_format("bc", 0, program, 21, text));
	assert_false(segwit_format("bc", 1, program, 1, text));
	assert_false(segwit_format("bc", 1, program, 41, text));
	assert_false(segwit_format("bc", 17, program, 20, text));
	assert_true(segwit_format("bc", 16, program, 40, text));
}

static void object_ids_name_their_kind(void **state)
{
	struct object_id id = {{1, 2, 3}}, back;
	char text[OBJECT_ID_TEXT_SIZE];
	enum object_kind kind;

	for (enum object_kind k = OBJECT_DNET; k <= OBJECT_OVR; k++) {
		object_id_format(k, &id, text);
		assert_int_equal(strncmp(text, object_kind_name(k), 3), 0);
		assert_true(object_id_parse(text, &kind, &back));
		assert_int_equal(kind, k);
		assert_true(object_id_equal(&id, &back));
		text[strlen(text) - 1] ^= 1;
		assert_false(object_id_parse(text, &kind, &back));
	}
	assert_null(object_kind_name((enum object_kind)4));
	/* another hrp, bech32 in place of bech32m, another length */
	assert_false(object_id_parse("a1lqfn3a", &kind, &back));
	assert_false(object_id_parse("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", &kind, &back));
	assert_false(object_id_parse("", &kind, &back));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_takes_whole_bytes_of_either_case),
		cmocka_unit_test(hashes_are_shown_reversed),
		cmocka_unit_test(base58check_vectors_both_ways),
		cmocka_unit_test(base58check_refuses_what_is_not_right),
		cmocka_unit_test(bech32_strings_of_the_bips_come_back),
		cmocka_unit_test(bech32_strings_that_the_bips_refuse_are_refused),
		cmocka_unit_test(segwit_addresses_of_the_bips_both_ways),
		cmocka_unit_test(segwit_addresses_that_the_bips_refuse_are_refused),
		cmocka_unit_test(object_ids_name_their_kind),
	};

	return cmocka_run_group_tests_name("wire/text", tests, NULL, NULL);
}
