#include "fixture/test.h"

#include "core/amount.h"

static void decimals_are_exact(void **state)
{
	static const struct {
		const char *text;
		uint64_t sat;
		const char *again;
	} table[] = {
		{"0", 0, "0.00000000"},
		{"0.00000001", 1, "0.00000001"},
		{"0.1", 10000000, "0.10000000"},
		{"0.29", 29000000, "0.29000000"},
		{"50.00000000", 5000000000, "50.00000000"},
		{"20999999.97690000", 2099999997690000, "20999999.97690000"},
		{"84000000", AMOUNT_MAX, "84000000.00000000"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[AMOUNT_TEXT_MAX];
		uint64_t sat;

		assert_true(amount_parse(table[i].text, &sat));
		assert_true(sat == table[i].sat);
		amount_format(sat, text);
		assert_string_equal(text, table[i].again);
	}
}

static void what_is_not_a_decimal_is_refused(void **state)
{
	static const char *const table[] = {
		"",
		"-1",
		"+1",
		"1.",
		".5",
		"1e3",
		"1,5",
		"1.5 ",
		" 1",
		"0.000000001",
		"0x10",
		"1.2.3",
		"nan",
		"infinity",
		"84000000.00000001",
		"100000000",
		"184467440737.09551616",
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t sat = 77;

		assert_false(amount_parse(table[i], &sat));
		assert_int_equal(sat, 77);
	}
}

static void a_fee_is_rounded_up(void **state)
{
	assert_true(amount_fee(0, 1000) == 0);
	assert_true(amount_fee(141, 1000) == 141);
	assert_true(amount_fee(141, 1001) == 142);
	assert_true(amount_fee(1, 1) == 1);
	assert_true(amount_fee(4000000, AMOUNT_COIN) == 4000 * AMOUNT_COIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decimals_are_exact),
		cmocka_unit_test(what_is_not_a_decimal_is_refused),
		cmocka_unit_test(a_fee_is_rounded_up),
	};

	return cmocka_run_group_tests_name("core/amount", tests, NULL, NULL);
}
