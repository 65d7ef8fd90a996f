#include "fixture/test.h"

#include "os/clock.h"
#include "wire/buf.h"

#include <time.h>

static void clocks_do_not_go_back(void **state)
{
	uint64_t mono = clock_monotonic_ns(), boot = clock_boottime_ns();

	for (int i = 0; i < 1000; i++) {
		uint64_t mono_now = clock_monotonic_ns(), boot_now = clock_boottime_ns();

		assert_true(mono_now >= mono && boot_now >= boot);
		mono = mono_now;
		boot = boot_now;
	}
	assert_true(clock_boottime_ns() + NS_PER_MS >= clock_monotonic_ns());
}

static void the_wall_clock_is_the_one_of_libc(void **state)
{
	uint64_t before = (uint64_t)time(NULL), now = clock_wall_s();

	assert_true(now + 1 >= before && now <= (uint64_t)time(NULL) + 1);
}

static void tai64n_is_the_wall_clock_with_its_offset(void **state)
{
	uint8_t stamp[CLOCK_TAI64N_LEN];
	uint64_t before = clock_wall_s(), seconds;

	clock_tai64n(clock_wall_ns(), stamp);
	seconds = ((uint64_t)load_u32be(stamp) << 32 | load_u32be(stamp + 4)) - 10;
	assert_int_equal(stamp[0], 0x40);
	seconds -= 1ULL << 62;
	assert_true(seconds >= before && seconds <= clock_wall_s());
	assert_true(load_u32be(stamp + 8) < 1000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clocks_do_not_go_back),
		cmocka_unit_test(the_wall_clock_is_the_one_of_libc),
		cmocka_unit_test(tai64n_is_the_wall_clock_with_its_offset),
	};

	return cmocka_run_group_tests_name("os/clock", tests, NULL, NULL);
}
