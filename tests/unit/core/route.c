#include "fixture/test.h"

#include "core/route.h"

#include <stdlib.h>
#include <string.h>

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_true(prefix_parse(text, &p));
	return p;
}

static void *lookup(const struct route_table *t, const char *text)
{
	struct address a;

	assert_true(address_parse(text, &a));
	return route_lookup(t, a.family, a.bytes);
}

static void an_empty_table_has_no_route(void **state)
{
	struct route_table *t = route_table_new(NULL, 0);

	assert_non_null(t);
	assert_null(lookup(t, "10.0.0.1"));
	assert_null(lookup(t, "fd00::1"));
	route_table_free(t);
	route_table_free(NULL);
}

static void the_longest_match_of_either_family_is_taken(void **state)
{
	static const struct {
		const char *address;
		int target; /* index of the prefix, -1: none */
	} table[] = {
		{"10.1.2.3", 3},	 {"10.1.2.4", 2},   {"10.1.3.4", 1},
		{"10.2.0.0", 1},	 {"11.0.0.0", 0},   {"0.0.0.0", 0},
		{"fd00::1", 6},		 {"fd00::2", 5},    {"fd00:0:0:1::1", 4},
		{"fe00::1", -1},	 {"::a01:203", -1}, {"fd00::8000:0:0:0", 7},
		{"fd00::7fff:0:0:1", 5},
	};
	const char *const prefixes[] = {"0.0.0.0/0",   "10.0.0.0/8",	     "10.1.2.0/24",
					"10.1.2.3/32", "fd00::/8",	     "fd00::/64",
					"fd00::1/128", "fd00::8000:0:0:0/65"};
	struct route routes[8];
	struct route_table *t;

	for (size_t i = 0; i < 8; i++)
		routes[i] = (struct route){prefix(prefixes[i]), &routes[i]};
	t = route_table_new(routes, 8);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_ptr_equal(lookup(t, table[i].address),
				 table[i].target < 0 ? NULL : (void *)&routes[table[i].target]);
	route_table_free(t);
}

static void of_equal_prefixes_the_first_counts_and_host_bits_do_not(void **state)
{
	int a, b;
	struct route routes[] = {{prefix("10.0.0.0/8"), &a}, {prefix("10.0.0.0/8"), &b}};
	struct route_table *t;

	routes[0].prefix.addr.bytes[3] = 9;
	t = route_table_new(routes, 2);
	assert_ptr_equal(lookup(t, "10.0.0.9"), &a);
	assert_ptr_equal(lookup(t, "10.9.9.9"), &a);
	route_table_free(t);
}

/* Against a plain search through all prefixes. */
static void ten_thousand_prefixes_are_found_as_by_search(void **state)
{
	enum { COUNT = 10000, LOOKUPS = 2000 };
	struct route *routes = calloc(COUNT, sizeof(*routes));
	struct route_table *t;
	unsigned seed = 20261121;

	print_message("seed %u\n", seed);
	srand(seed);
	for (size_t i = 0; i < COUNT; i++) {
		struct prefix *p = &routes[i].prefix;

		p->addr.family = i % 2 ? ADDR_V4 : ADDR_V6;
		for (size_t k = 0; k < 16; k++)
			p->addr.bytes[k] = (uint8_t)(k < 2 ? rand() % 4 : rand());
		p->bits = (uint8_t)(8 + rand() % (i % 2 ? 25 : 121));
		routes[i].target = &routes[i];
	}
	t = route_table_new(routes, COUNT);
	for (size_t i = 0; i < LOOKUPS; i++) {
		struct address a = routes[(size_t)rand() % COUNT].prefix.addr;
		const struct route *want = NULL, *got;

		a.bytes[rand() % 4] ^= (uint8_t)(1 << rand() % 8);
		for (size_t k = 0; k < COUNT; k++)
			if (prefix_contains(&routes[k].prefix, &a) &&
			    (!want || routes[k].prefix.bits > want->prefix.bits))
				want = &routes[k];
		got = route_lookup(t, a.family, a.bytes);
		assert_ptr_equal(got, want);
	}
	route_table_free(t);
	free(routes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_table_has_no_route),
		cmocka_unit_test(the_longest_match_of_either_family_is_taken),
		cmocka_unit_test(of_equal_prefixes_the_first_counts_and_host_bits_do_not),
		cmocka_unit_test(ten_thousand_prefixes_are_found_as_by_search),
	};

	return cmocka_run_group_tests_name("core/route", tests, NULL, NULL);
}
