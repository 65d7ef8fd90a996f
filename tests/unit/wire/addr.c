#include "fixture/test.h"

#include "wire/addr.h"

#include <string.h>

static void addresses_have_one_spelling(void **state)
{
	static const char *const good[] = {"0.0.0.0", "10.1.2.3",	    "255.255.255.255", "::",
					   "::1",     "fd00:1:2:3:4:5:6:7", "fe80::1"};
	static const char *const bad[] = {
		"",	      " 1.2.3.4",      "1.2.3.4 ",  "1.2.3",
		"1.2.3.256",  "01.2.3.4",      "1.2.3.4.5", "::ffff:1.2.3.4",
		"fe80::1%lo", "1:2:3:4:5:6:7", "::1::",	    "[::1]"};
	char text[ADDRESS_TEXT_MAX];
	struct address a;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(address_parse(good[i], &a));
		assert_string_equal(address_format(&a, text), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&a, 7, sizeof(a));
		assert_false(address_parse(bad[i], &a));
		assert_int_equal(a.family, 7);
	}
}

static void the_longest_texts_fit(void **state)
{
	const char *six = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
	char e_text[ENDPOINT_TEXT_MAX], p_text[PREFIX_TEXT_MAX];
	struct endpoint e = {.port = 65535};
	struct prefix p = {.bits = 128};

	assert_true(address_parse(six, &e.addr));
	p.addr = e.addr;
	assert_string_equal(endpoint_format(&e, e_text),
			    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
	assert_string_equal(prefix_format(&p, p_text),
			    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
}

static void endpoints_have_one_spelling(void **state)
{
	static const char *const good[] = {"1.2.3.4:5", "0.0.0.0:0", "1.2.3.4:65535", "[::1]:5",
					   "[fd00::2]:51820"};
	static const char *const bad[] = {
		"",	      "1.2.3.4",    "1.2.3.4:",	    "1.2.3.4:65536",
		"1.2.3.4:05", "1.2.3.4:+5", "1.2.3.4:5 ",   "::1:5",
		"[::1]",      "[::1]5",	    "[::1:5",	    "[1.2.3.4]:5",
		":5",	      "[]:5",	    "[::1]:100000", "]:5"};
	char text[ENDPOINT_TEXT_MAX];
	struct endpoint e;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(endpoint_parse(good[i], &e));
		assert_string_equal(endpoint_format(&e, text), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(endpoint_parse(bad[i], &e));
}

static void prefixes_have_one_spelling(void **state)
{
	static const char *const good[] = {"0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/32",
					   "::/0",	"fd00::/8",   "fd00::1/128"};
	static const char *const bad[] = {"10.0.0.0",	 "10.0.0.0/",  "10.0.0.0/33", "10.0.0.1/24",
					  "10.0.0.0/08", "::/129",     "fd00::1/64",  "/8",
					  "10.0.0.0/-1", "10.0.0.0/8/"};
	char text[PREFIX_TEXT_MAX];
	struct prefix p;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(prefix_parse(good[i], &p));
		assert_string_equal(prefix_format(&p, text), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(prefix_parse(bad[i], &p));
}

static void a_prefix_contains_its_addresses_and_no_other(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool inside;
	} table[] = {
		{"10.0.0.0/8", "10.255.255.255", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.1.2.0/23", "10.1.3.9", true},
		{"10.1.2.0/23", "10.1.4.0", false},
		{"10.1.2.3/32", "10.1.2.3", true},
		{"10.1.2.3/32", "10.1.2.2", false},
		{"0.0.0.0/0", "1.2.3.4", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "1.2.3.4", false},
		{"fd00::/8", "fdff::1", true},
		{"fd00::/8", "fe00::1", false},
		{"fd00::1/128", "fd00::1", true},
		{"fd00::/127", "fd00::2", false},
	};
	struct prefix p;
	struct address a;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_true(prefix_parse(table[i].prefix, &p));
		assert_true(address_parse(table[i].address, &a));
		assert_int_equal(prefix_contains(&p, &a), table[i].inside);
	}
}

static void masking_clears_the_host_bits_only(void **state)
{
	struct prefix p = {.bits = 23}, want;

	assert_true(address_parse("10.1.3.9", &p.addr));
	prefix_mask(&p);
	assert_true(prefix_parse("10.1.2.0/23", &want));
	assert_true(prefix_equal(&p, &want));
}

static void equality_ignores_unused_bytes_and_sees_the_rest(void **state)
{
	struct endpoint a, b;

	assert_true(endpoint_parse("1.2.3.4:5", &a));
	b = a;
	b.addr.bytes[9] = 1;
	assert_true(endpoint_equal(&a, &b));
	b.port = 6;
	assert_false(endpoint_equal(&a, &b));
	b = a;
	b.addr.bytes[3] = 5;
	assert_false(endpoint_equal(&a, &b));
	b = a;
	b.addr.family = ADDR_V6;
	assert_false(endpoint_equal(&a, &b));
}

static void an_order_of_prefixes_agrees_with_equality(void **state)
{
	static const char *const sorted[] = {"0.0.0.0/0",   "10.0.0.0/8",     "10.0.0.0/24",
					     "10.0.1.0/24", "::/0",	      "fd00::/8",
					     "fd00::/64",   "fd00:0:0:1::/64"};
	enum { COUNT = sizeof(sorted) / sizeof(sorted[0]) };
	struct prefix p[COUNT];

	for (int i = 0; i < COUNT; i++)
		assert_true(prefix_parse(sorted[i], &p[i]));
	for (int i = 0; i < COUNT; i++) {
		for (int j = 0; j < COUNT; j++) {
			int order = prefix_compare(&p[i], &p[j]);

			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
			assert_int_equal(order == 0, prefix_equal(&p[i], &p[j]));
		}
	}
	/* Bytes that the family does not use say nothing. */
	p[1] = p[0];
	p[1].addr.bytes[9] = 1;
	assert_int_equal(prefix_compare(&p[0], &p[1]), 0);
}

static void ports_are_numbers_from_1_to_65535(void **state)
{
	static const char *const wrong[] = {
		"", "0", "65536", "00", "01", "+1", "-1", " 1", "1 ", "1x", "99999999999999999999"};
	uint16_t port = 7;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (port_parse(wrong[i], &port))
			fail_msg("%s", wrong[i]);
	assert_int_equal(port, 7);
	assert_true(port_parse("1", &port));
	assert_int_equal(port, 1);
	assert_true(port_parse("65535", &port));
	assert_int_equal(port, 65535);
}

static void hosts_are_told_from_groups_and_from_this_machine(void **state)
{
	static const struct {
		const char *text;
		bool host, link_local;
	} table[] = {
		{"0.0.0.0", false, false},    {"0.255.255.255", false, false},
		{"1.0.0.0", true, false},     {"126.255.255.255", true, false},
		{"127.0.0.0", false, false},  {"127.255.255.255", false, false},
		{"128.0.0.0", true, false},   {"169.253.255.255", true, false},
		{"169.254.0.0", true, true},  {"169.254.255.255", true, true},
		{"169.255.0.0", true, false}, {"223.255.255.255", true, false},
		{"224.0.0.0", false, false},  {"255.255.255.255", false, false},
		{"::", false, false},	      {"::1", false, false},
		{"::ff", false, false},	      {"::100", true, false},
		{"fe7f::1", true, false},     {"fe80::1", true, true},
		{"febf:ffff::1", true, true}, {"fec0::1", true, false},
		{"feff::1", true, false},     {"ff00::1", false, false},
	};
	const struct address none = {0};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct address a;

		assert_true(address_parse(table[i].text, &a));
		if (address_is_host(&a) != table[i].host ||
		    address_is_link_local(&a) != table[i].link_local)
			fail_msg("%s", table[i].text);
	}
	assert_false(address_is_host(&none));
	assert_false(address_is_link_local(&none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_have_one_spelling),
		cmocka_unit_test(the_longest_texts_fit),
		cmocka_unit_test(endpoints_have_one_spelling),
		cmocka_unit_test(prefixes_have_one_spelling),
		cmocka_unit_test(a_prefix_contains_its_addresses_and_no_other),
		cmocka_unit_test(masking_clears_the_host_bits_only),
		cmocka_unit_test(equality_ignores_unused_bytes_and_sees_the_rest),
		cmocka_unit_test(an_order_of_prefixes_agrees_with_equality),
		cmocka_unit_test(ports_are_numbers_from_1_to_65535),
		cmocka_unit_test(hosts_are_told_from_groups_and_from_this_machine),
	};

	return cmocka_run_group_tests_name("wire/addr", tests, NULL, NULL);
}
