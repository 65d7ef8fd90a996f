#include "fixture/test.h"

#include "cli/roster_ini.h"
#include "wire/hex.h"

#include <stdlib.h>
#include <string.h>

#define KEY_A "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
#define KEY_B "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"

static bool find_member(void *arg, const char *name, struct node_key *ret_key)
{
	(void)arg;
	if (strcmp(name, "onchain") != 0)
		return false;
	memset(ret_key, 7, sizeof(*ret_key));
	ret_key->bytes[0] = 3;
	return true;
}

static bool key_valid(void *arg, const struct node_key *key)
{
	(void)arg;
	return key->bytes[1] != 0;
}

static const struct roster_ini_env env = {.header = {.dnet = {{1}}, .sequence = 4, .issued = 1000},
					  .find_member = find_member,
					  .key_valid = key_valid};

static uint8_t *body;
static struct roster roster;

static const char *compile(const char *text)
{
	static char error[CONF_ERROR_MAX];
	size_t len;

	free(body);
	body = NULL;
	error[0] = '\0';
	if (roster_ini_compile(&env, "policy.ini", text, strlen(text), &body, &len, error))
		return error;
	assert_null(roster_parse(body, len, &roster));
	return "";
}

static const char full[] = "[dnet]\nexpires = 90d\n"
			   "[node alice]\nkey = " KEY_A "\nipv4 = 10.77.0.2\nipv6 = fd00:77::2\n"
			   "groups = staff, admin\nflags = gateway\nexpires = 2d\n"
			   "[node bob]\nkey = " KEY_B "\n"
			   "[group staff]\nmembers = bob onchain\n"
			   "[policy web]\nfrom = @staff, 10.9.0.0/16\nto = bob\nto = all\n"
			   "allow = tcp/80, udp/53-54\nallow = icmp\n"
			   "from = alice\nto = " KEY_B "\nallow = all 47 all/7\n"
			   "[route 10.9.0.0/24]\nvia = bob\npriority = 10\n"
			   "[name www]\nto = bob, 10.77.0.9\n";

static void a_text_says_what_it_says(void **state)
{
	struct roster_rule rule;
	struct roster_node node;
	struct reader r;
	unsigned pairs = 0, in_staff = 0;

	assert_string_equal(compile(full), "");
	assert_int_equal(roster.header.sequence, 4);
	assert_int_equal(roster.header.expires, 1000 + 90 * 86400);
	assert_int_equal(roster.counts[ROSTER_GROUPS], 2);
	assert_int_equal(roster.counts[ROSTER_NODES], 3); /* onchain is in a group */
	assert_int_equal(roster.counts[ROSTER_RULES], 2 * 2 * 4 + 3);
	assert_int_equal(roster.counts[ROSTER_ROUTES], 1);
	assert_int_equal(roster.counts[ROSTER_NAMES], 2);
	reader_init(&r, roster.lists[ROSTER_RULES].data, roster.lists[ROSTER_RULES].len);
	while (roster_next_rule(&r, &rule))
		pairs += rule.src.kind == ROSTER_GROUP && rule.dst.kind == ROSTER_NODE &&
			 rule.protocol == 6 && rule.port_low == 80 && rule.port_high == 80;
	assert_int_equal(pairs, 1);
	reader_init(&r, roster.lists[ROSTER_NODES].data, roster.lists[ROSTER_NODES].len);
	while (roster_next_node(&r, &node)) {
		for (unsigned i = 0; i < node.group_count; i++)
			in_staff += node.groups[i] == 1 || node.groups[i] == 0;
		if (!strcmp(node.name, "alice"))
			assert_int_equal(node.flags, NODE_FLAG_GATEWAY | NODE_FLAG_IPV4 |
							     NODE_FLAG_IPV6 | ROSTER_FLAG_EXPIRES);
	}
	assert_int_equal(in_staff, 4);
}

static void what_is_printed_compiles_to_the_same(void **state)
{
	char *text = NULL, *again = NULL;
	size_t len;
	FILE *f;

	assert_string_equal(compile(full), "");
	f = open_memstream(&text, &len);
	roster_ini_print(&roster, f);
	fclose(f);
	/* its id is that of the header, and its expiry a date */
	assert_string_equal(compile(text), "");
	f = open_memstream(&again, &len);
	roster_ini_print(&roster, f);
	fclose(f);
	assert_string_equal(text, again);
	assert_int_equal(roster.counts[ROSTER_RULES], 2 * 2 * 4 + 3);
	free(text);
	free(again);
}

static void mistakes_are_named_with_their_line(void **state)
{
	static const struct {
		const char *text, *says;
	} table[] = {
		{"[policy p]\nfrom = all\nto = all\n", "policy.ini:2: policy \"p\" needs from, to"},
		{"[policy p]\nfrom = @no\nto = all\nallow = all\n",
		 "policy.ini:2: there is no group"},
		{"[policy p]\nfrom = nobody\nto = all\nallow = all\n",
		 "policy.ini:2: there is no node"},
		{"[policy p]\nfrom = all\nto = all\nallow = tcp/0-70000\n", "ports are 80"},
		{"[policy p]\nfrom = all\nto = all\nallow = icmp/8\n",
		 "only tcp, udp and all have"},
		{"[policy p]\nfrom = all\nto = all\nallow = http\n", "is no service"},
		{"[policy p]\nfrom = 10.0.0.1/8\nto = all\nallow = all\n",
		 "neither address nor prefix"},
		{"[policy P]\nfrom = all\n", "policy.ini:2: \"P\" is not a name"},
		{"[node x]\ngroups = a\n", "policy.ini:2: node \"x\" has no key"},
		{"[node x]\nkey = 02ab\n", "is not a key"},
		{"[node x]\nkey = " KEY_A "\nkey = " KEY_A "\n",
		 "policy.ini:3: key is given twice"},
		{"[node x]\nkey = " KEY_A "\n[node y]\nkey = " KEY_A "\n",
		 "two nodes have the key"},
		{"[node x]\nkey = " KEY_A "\nipv4 = fd00::1\n", "is not an IPv4 address"},
		{"[node x]\nkey = " KEY_A "\nipv6 = fe80::1\n", "is not inside fd00::/8"},
		{"[node x]\nkey = " KEY_A "\ncolour = red\n", "not \"colour\""},
		{"[node all]\nkey = " KEY_A "\n", "cannot be called all"},
		{"[nodes x]\nkey = 1\n", "there is no section [nodes x]"},
		{"[dnet]\nexpires = 1970-01-01\n", "has passed already"},
		{"[dnet]\nexpires = soon\n", "is no time"},
		{"[dnet]\nid = dnet1x\n", "is not the id of a dnet"},
		{"[route 10.9.0.0/24]\npriority = 1\n", "needs via"},
		{"[route 10.9.0.1/24]\nvia = onchain\n", "is not a prefix"},
		{"[group g]\nmembers = ghost\n", "there is no node \"ghost\""},
		{"garbage\n", "policy.ini:1: neither [section]"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *said = compile(table[i].text);

		if (!strstr(said, table[i].says))
			fail_msg("%s: \"%s\", not \"%s\"", table[i].text, said, table[i].says);
	}
	assert_string_equal(compile(""), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_says_what_it_says),
		cmocka_unit_test(what_is_printed_compiles_to_the_same),
		cmocka_unit_test(mistakes_are_named_with_their_line),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(body);
	return failed;
}
