#include "fixture/test.h"

#include "os/rand.h"

#include <string.h>

static void bytes_are_filled_to_the_end_and_no_further(void **state)
{
	uint8_t a[1000] = {0}, b[1000] = {0};

	a[999] = b[999] = 0x5a;
	rand_bytes(a, 999);
	rand_bytes(b, 999);
	assert_memory_not_equal(a, b, 999);
	assert_memory_not_equal(a + 983, b + 983, 16);
	assert_int_equal(a[999], 0x5a);
	assert_true(rand_u64() != rand_u64());
}

static void numbers_below_a_bound_reach_each_value(void **state)
{
	unsigned count[7] = {0};

	for (int i = 0; i < 7000; i++) {
		uint32_t v = rand_below(7);

		assert_true(v < 7);
		count[v]++;
	}
	/* The chance that a fair draw fails this is below 10^-20. */
	for (int i = 0; i < 7; i++)
		assert_true(count[i] > 650 && count[i] < 1350);
	assert_int_equal(rand_below(1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_filled_to_the_end_and_no_further),
		cmocka_unit_test(numbers_below_a_bound_reach_each_value),
	};

	return cmocka_run_group_tests_name("os/rand", tests, NULL, NULL);
}
