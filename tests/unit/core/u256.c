#include "fixture/test.h"

#include "core/u256.h"
#include "fixture/rng.h"
#include "wire/hex.h"

#include <string.h>

static struct u256 hex(const char *text)
{
	struct u256 ret = {{0}};

	assert_true(u256_parse(text, &ret));
	return ret;
}

static void assert_is(const struct u256 *a, const char *want)
{
	char text[U256_TEXT_SIZE];
	struct u256 w = hex(want), v = *a;

	if (u256_compare(&v, &w) != 0)
		fail_msg("%s is not %s", u256_format(a, text), want);
}

static void numbers_carry_and_borrow_through_all_words(void **state)
{
	struct u256 max = hex("ffffffffffffffffffffffffffffffff"
			      "ffffffffffffffffffffffffffffffff");
	struct u256 one = u256_from(1), zero = u256_from(0), r;

	r = u256_add(&max, &one);
	assert_true(u256_is_zero(&r));
	r = u256_sub(&zero, &one);
	assert_int_equal(u256_compare(&r, &max), 0);
	assert_int_equal(u256_bits(&max), 256);
	assert_int_equal(u256_bits(&one), 1);
	assert_int_equal(u256_bits(&zero), 0);
	r = u256_shift_left(&one, 255);
	assert_is(&r, "8000000000000000000000000000000000000000000000000000000000000000");
	r = u256_shift_right(&r, 191);
	assert_is(&r, "10000000000000000");
	r = u256_mul32(&max, UINT32_MAX);
	assert_is(&r, "ffffffffffffffffffffffffffffffffffffffffffffffffffffffff00000001");
	r = u256_div(&max, &max);
	assert_is(&r, "1");
	r = u256_div(&one, &max);
	assert_is(&r, "0");
	r = u256_sub(&max, &max);
	assert_true(u256_is_zero(&r));
}

static void what_is_no_number_is_refused(void **state)
{
	struct u256 r = u256_from(7);

	assert_false(u256_parse("", &r));
	assert_false(u256_parse("0x1", &r));
	assert_false(u256_parse("g", &r));
	assert_false(u256_parse("00000000000000000000000000000000000000000000000000000000000000001",
				&r));
	assert_is(&r, "7");
}

static struct u256 some(struct rng *rng)
{
	struct u256 r;

	for (size_t i = 0; i < 4; i++)
		r.w[i] = rng_below(rng, 4) ? rng_next(rng) : 0;
	return u256_shift_right(&r, (unsigned)rng_below(rng, 256));
}

static void quotient_times_divisor_and_rest_is_the_dividend(void **state)
{
	struct rng rng = rng_new("u256");

	for (int i = 0; i < 20000; i++) {
		struct u256 a = some(&rng), b = u256_from(1 + rng_below(&rng, UINT32_MAX)), q, back;
		struct u256 rest;

		q = u256_div(&a, &b);
		back = u256_mul32(&q, (uint32_t)b.w[0]);
		rest = u256_sub(&a, &back);
		assert_true(u256_compare(&rest, &b) < 0);
		back = u256_add(&back, &rest);
		assert_int_equal(u256_compare(&a, &back), 0);
	}
}

/* Bitcoin's src/test/arith_uint256_tests.cpp, bignum_SetCompact, and its serialization of compact
 * numbers; the last two rows are genesis blocks. */
static const struct {
	uint32_t bits;
	const char *target; /* NULL: refused */
	uint32_t back;
} compacts[] = {
	{0x00000000, NULL, 0},
	{0x00123456, NULL, 0},
	{0x01003456, NULL, 0},
	{0x02000056, NULL, 0},
	{0x03000000, NULL, 0},
	{0x04000000, NULL, 0},
	{0x00923456, NULL, 0},
	{0x01803456, NULL, 0},
	{0x02800056, NULL, 0},
	{0x03800000, NULL, 0},
	{0x04800000, NULL, 0},
	{0x01123456, "12", 0x01120000},
	{0x01fedcba, NULL, 0}, /* -7e */
	{0x02123456, "1234", 0x02123400},
	{0x03123456, "123456", 0x03123456},
	{0x04123456, "12345600", 0x04123456},
	{0x04923456, NULL, 0}, /* -12345600 */
	{0x05009234, "92340000", 0x05009234},
	{0x20123456, "1234560000000000000000000000000000000000000000000000000000000000",
	 0x20123456},
	{0xff123456, NULL, 0}, /* too large */
	{0x21010000, NULL, 0}, /* 2^256 and one below */
	{0x2100ffff, "ffff000000000000000000000000000000000000000000000000000000000000",
	 0x2100ffff},
	{0x220000ff, "ff00000000000000000000000000000000000000000000000000000000000000",
	 0x2100ff00},
	{0x22000100, NULL, 0},
	{0x23000001, NULL, 0},
	{0x207fffff, "7fffff0000000000000000000000000000000000000000000000000000000000",
	 0x207fffff},
	{0x1d00ffff, "ffff0000000000000000000000000000000000000000000000000000", 0x1d00ffff},
};

static void compact_targets_are_read_as_nodes_read_them(void **state)
{
	for (size_t i = 0; i < sizeof(compacts) / sizeof(compacts[0]); i++) {
		struct u256 target = u256_from(42);

		if (!compacts[i].target) {
			assert_false(u256_from_compact(compacts[i].bits, &target));
			assert_is(&target, "2a");
			continue;
		}
		assert_true(u256_from_compact(compacts[i].bits, &target));
		assert_is(&target, compacts[i].target);
		assert_int_equal(u256_to_compact(&target), compacts[i].back);
	}
}

static void the_sign_bit_moves_a_number_to_the_next_size(void **state)
{
	struct u256 a = u256_from(0x80);

	assert_int_equal(u256_to_compact(&a), 0x02008000);
	a = u256_from(0);
	assert_int_equal(u256_to_compact(&a), 0);
}

/* The work of Bitcoin's first block is what `getblockheader` says of its chainwork. */
static void work_is_the_number_of_tries(void **state)
{
	struct u256 target = {{0}}, work;

	assert_true(u256_from_compact(0x1d00ffff, &target));
	work = u256_work(&target);
	assert_is(&work, "100010001");
	assert_true(u256_from_compact(0x207fffff, &target));
	work = u256_work(&target);
	assert_is(&work, "2");
	target = u256_from(0);
	target = u256_sub(&target, &(struct u256){{1}});
	work = u256_work(&target);
	assert_is(&work, "1");
	target = u256_from(1);
	work = u256_work(&target);
	assert_is(&work, "8000000000000000000000000000000000000000000000000000000000000000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_carry_and_borrow_through_all_words),
		cmocka_unit_test(what_is_no_number_is_refused),
		cmocka_unit_test(quotient_times_divisor_and_rest_is_the_dividend),
		cmocka_unit_test(compact_targets_are_read_as_nodes_read_them),
		cmocka_unit_test(the_sign_bit_moves_a_number_to_the_next_size),
		cmocka_unit_test(work_is_the_number_of_tries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
