#include "fixture/test.h"

/* What of contrib/bench scale depends on no machine, with DNET_MEMBERS members (1000). */
#define main bench_main
int bench_main(int argc, char **argv);
#include "bench/scale.c"
#undef main

static size_t member_count(void)
{
	const char *text = getenv("DNET_MEMBERS");

	return text ? strtoul(text, NULL, 10) : 1000;
}

/* Under sanitizers nothing is counted. */
static void an_idle_member_takes_700_bytes_at_most(void **state)
{
	assert_true(measure_memory(member_count()) <= 700);
}

static void a_crowd_that_comes_back_is_answered_and_harms_no_flow(void **state)
{
	struct storm result = measure_storm(member_count());

	assert_int_equal(result.connected, member_count() - 2);
	assert_int_equal(result.lost, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_member_takes_700_bytes_at_most),
		cmocka_unit_test(a_crowd_that_comes_back_is_answered_and_harms_no_flow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
