#include "fixture/test.h"

#include "node/ifname.h"

static void only_the_prefix_and_a_number_are_ours(void **state)
{
	static const struct {
		const char *name;
		int number; /* -1: another's */
	} table[] = {
		{"dnet0", 0},	   {"dnet7", 7},   {"dnet9999", 9999}, {"dnet0012", 12},
		{"dnet10000", -1}, {"dnet", -1},   {"dne", -1},	       {"", -1},
		{"dnet-1", -1},	   {"dnet+1", -1}, {"dnet 1", -1},     {"dnet1a", -1},
		{"dnet1 ", -1},	   {"Dnet1", -1},  {"xdnet1", -1},     {"dnet1/../lo", -1},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint32_t number = 77;
		bool ours = ifname_parse(table[i].name, "dnet", &number);

		if (ours != (table[i].number >= 0) ||
		    number != (ours ? (uint32_t)table[i].number : 77))
			fail_msg("%s", table[i].name);
		assert_int_equal(ifname_parse(table[i].name, "dnet", NULL), ours);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_prefix_and_a_number_are_ours),
	};

	return cmocka_run_group_tests_name("node/ifname", tests, NULL, NULL);
}
