#include "fixture/test.h"

#include "core/acl.h"
#include "core/netmap.h"
#include "fixture/rule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Nodes 0 to 3 with keys 1 to 4; node n has the address 10.0.0.(n + 1). */
static struct netmap_node nodes[4];
static const struct netmap netmap = {.exists = true, .nodes = nodes, .node_count = 4};

static struct node_key key(uint8_t n)
{
	struct node_key k = {.bytes = {2, n}};

	return k;
}

static struct acl_subject node(uint8_t n)
{
	return (struct acl_subject){.kind = ACL_NODE, .node = key(n)};
}

static struct acl_rule rule(struct acl_subject src, struct acl_subject dst, uint16_t protocol,
			    uint16_t low, uint16_t high)
{
	return rule_of(src, dst, protocol, low, high, "");
}

static struct ip_flow flow(uint32_t src, uint32_t dst, uint8_t protocol, uint16_t port)
{
	struct ip_flow f = {.version = 4,
			    .src = {10, 0, 0, (uint8_t)(src + 1)},
			    .dst = {10, 0, 0, (uint8_t)(dst + 1)},
			    .protocol = protocol,
			    .src_port = 50000,
			    .dst_port = port};

	return f;
}

static bool allowed(const struct acl *acl, uint32_t src, uint32_t dst, uint8_t protocol,
		    uint16_t port)
{
	struct ip_flow f = flow(src, dst, protocol, port);

	return acl_allows(acl, src, dst, &f, NULL);
}

static void without_rules_members_may_talk_to_members(void **state)
{
	struct acl_verdict verdict;
	struct ip_flow f = flow(0, 1, 47, 0);
	struct acl *acl;

	assert_int_equal(acl_new(NULL, 0, &netmap, &acl), 0);
	assert_true(acl_allows_all(acl));
	assert_true(acl_allows(acl, 0, 1, &f, &verdict));
	assert_true(verdict.allowed);
	assert_true(verdict.rule == SIZE_MAX);
	assert_non_null(strstr(verdict.explanation, "members may talk to members"));
	assert_true(acl_allows_blindly(acl, 0, 1, &f));
	acl_free(acl);
	acl_free(NULL);
}

static void a_rule_allows_one_way_and_nothing_else(void **state)
{
	struct acl_rule rules[] = {rule(node(1), node(2), IP_PROTO_TCP, 22, 80)};
	struct acl *acl;

	assert_int_equal(acl_new(rules, 1, &netmap, &acl), 0);
	assert_false(acl_allows_all(acl));
	assert_true(allowed(acl, 0, 1, IP_PROTO_TCP, 22));
	assert_true(allowed(acl, 0, 1, IP_PROTO_TCP, 80));
	assert_false(allowed(acl, 0, 1, IP_PROTO_TCP, 21));
	assert_false(allowed(acl, 0, 1, IP_PROTO_TCP, 81));
	assert_false(allowed(acl, 0, 1, IP_PROTO_UDP, 22));
	assert_false(allowed(acl, 1, 0, IP_PROTO_TCP, 22));
	assert_false(allowed(acl, 0, 2, IP_PROTO_TCP, 22));
	assert_false(allowed(acl, 2, 1, IP_PROTO_TCP, 22));
	acl_free(acl);
}

/* nebula #1840: SCTP, GRE or IPIP with bytes that look like port 22 passed a port rule. */
static void a_protocol_without_parsed_ports_passes_no_port_rule(void **state)
{
	static const uint8_t protocols[] = {4, 47, 132, 50, 1, 58, 0, 255};
	struct acl_rule ports[] = {rule(any(), any(), ACL_ALL_PROTOCOLS, 22, 22)};
	struct acl_rule wide[] = {rule(any(), any(), 132, 0, 65535)};
	struct acl *acl;

	assert_int_equal(acl_new(ports, 1, &netmap, &acl), 0);
	assert_true(allowed(acl, 0, 1, IP_PROTO_TCP, 22));
	for (size_t i = 0; i < sizeof(protocols); i++)
		assert_false(allowed(acl, 0, 1, protocols[i], 22));
	acl_free(acl);
	assert_int_equal(acl_new(wide, 1, &netmap, &acl), 0);
	assert_true(allowed(acl, 0, 1, 132, 0));
	assert_false(allowed(acl, 0, 1, IP_PROTO_TCP, 0));
	acl_free(acl);
}

static void subjects_are_nodes_prefixes_or_anyone(void **state)
{
	struct acl_rule rules[] = {
		rule(prefix("10.0.0.1/32"), any(), IP_PROTO_TCP, 1, 1),
		rule(any(), prefix("10.0.0.2/31"), IP_PROTO_TCP, 2, 2),
		rule(node(4), prefix("10.0.0.0/8"), IP_PROTO_TCP, 3, 3),
		rule(prefix("fd00::/8"), any(), IP_PROTO_TCP, 4, 4),
		rule(any(), node(3), IP_PROTO_TCP, 5, 5),
	};
	struct acl *acl;

	assert_int_equal(acl_new(rules, 5, &netmap, &acl), 0);
	assert_true(allowed(acl, 0, 3, IP_PROTO_TCP, 1));
	assert_false(allowed(acl, 1, 3, IP_PROTO_TCP, 1));
	assert_true(allowed(acl, 0, 1, IP_PROTO_TCP, 2));
	assert_true(allowed(acl, 0, 2, IP_PROTO_TCP, 2));
	assert_false(allowed(acl, 0, 3, IP_PROTO_TCP, 2));
	assert_true(allowed(acl, 3, 0, IP_PROTO_TCP, 3));
	assert_false(allowed(acl, 2, 0, IP_PROTO_TCP, 3));
	assert_false(allowed(acl, 0, 1, IP_PROTO_TCP, 4));
	assert_true(allowed(acl, 0, 2, IP_PROTO_TCP, 5));
	assert_true(allowed(acl, ACL_NO_NODE, 2, IP_PROTO_TCP, 5));
	assert_false(allowed(acl, ACL_NO_NODE, ACL_NO_NODE, IP_PROTO_TCP, 5));
	acl_free(acl);
}

static void a_rule_about_a_stranger_matches_nobody(void **state)
{
	struct acl_rule rules[] = {rule(node(9), any(), ACL_ALL_PROTOCOLS, 0, 65535),
				   rule(any(), node(9), ACL_ALL_PROTOCOLS, 0, 65535)};
	struct acl *acl;

	assert_int_equal(acl_new(rules, 2, &netmap, &acl), 0);
	assert_false(acl_allows_all(acl));
	for (uint32_t i = 0; i < 4; i++)
		assert_false(allowed(acl, i, 3 - i, IP_PROTO_TCP, 1));
	acl_free(acl);
}

static void the_verdict_names_the_first_rule_that_allows(void **state)
{
	struct acl_rule rules[] = {
		rule(node(2), node(1), ACL_ALL_PROTOCOLS, 0, 65535),
		rule(any(), node(2), IP_PROTO_TCP, 0, 65535),
		rule(node(1), node(2), IP_PROTO_TCP, 22, 22),
		rule(any(), any(), IP_PROTO_UDP, 53, 53),
	};
	struct ip_flow ssh = flow(0, 1, IP_PROTO_TCP, 22), dns = flow(0, 1, IP_PROTO_UDP, 53),
		       ping = flow(0, 1, IP_PROTO_ICMP, 22);
	struct acl_verdict verdict;
	struct acl *acl;

	strcpy(rules[3].label, "name service");
	assert_int_equal(acl_new(rules, 4, &netmap, &acl), 0);
	assert_true(acl_allows(acl, 0, 1, &ssh, &verdict));
	assert_int_equal(verdict.rule, 1);
	assert_true(acl_allows(acl, 0, 1, &dns, &verdict));
	assert_int_equal(verdict.rule, 3);
	assert_string_equal(verdict.explanation, "name service");
	assert_false(acl_allows(acl, 0, 1, &ping, &verdict));
	assert_false(verdict.allowed);
	assert_true(verdict.rule == SIZE_MAX);
	assert_string_equal(verdict.explanation, "no rule allows it");
	acl_free(acl);
}

static void blind_packets_pass_only_rules_for_everything(void **state)
{
	struct acl_rule rules[] = {rule(node(1), node(2), IP_PROTO_UDP, 0, 65535),
				   rule(node(1), node(3), ACL_ALL_PROTOCOLS, 0, 65534),
				   rule(node(1), node(4), ACL_ALL_PROTOCOLS, 0, 65535)};
	struct acl *acl;
	struct ip_flow f;

	assert_int_equal(acl_new(rules, 3, &netmap, &acl), 0);
	f = flow(0, 1, IP_PROTO_UDP, 0);
	assert_false(acl_allows_blindly(acl, 0, 1, &f));
	f = flow(0, 2, IP_PROTO_UDP, 0);
	assert_false(acl_allows_blindly(acl, 0, 2, &f));
	f = flow(0, 3, IP_PROTO_UDP, 0);
	assert_true(acl_allows_blindly(acl, 0, 3, &f));
	acl_free(acl);
}

static void impossible_rules_are_refused(void **state)
{
	struct acl_rule r = rule(any(), any(), ACL_ALL_PROTOCOLS, 0, 65535);
	struct acl *acl = NULL;

	r.protocol = ACL_ALL_PROTOCOLS + 1;
	assert_int_equal(acl_new(&r, 1, &netmap, &acl), -EINVAL);
	r.protocol = IP_PROTO_TCP;
	r.port_low = 2;
	r.port_high = 1;
	assert_int_equal(acl_new(&r, 1, &netmap, &acl), -EINVAL);
	assert_null(acl);
	r.port_high = 2;
	assert_int_equal(acl_new(&r, 1, &netmap, &acl), 0);
	assert_true(allowed(acl, 0, 1, IP_PROTO_TCP, 2));
	acl_free(acl);
}

/* Nodes 1 and 2 are in group 5, node 3 in 5 and 6. */
static void rules_about_groups_go_for_their_nodes_in_one_direction(void **state)
{
	static const uint16_t both[] = {5, 6};
	struct acl_rule rules[] = {
		rule((struct acl_subject){.kind = ACL_GROUP, .group = 5},
		     (struct acl_subject){.kind = ACL_GROUP, .group = 6}, IP_PROTO_TCP, 80, 80),
		rule(node(4), (struct acl_subject){.kind = ACL_GROUP, .group = 7},
		     ACL_ALL_PROTOCOLS, 0, 65535)};
	struct acl *acl;

	for (int i = 0; i < 3; i++) {
		nodes[i].groups = both;
		nodes[i].group_count = i == 2 ? 2 : 1;
	}
	assert_int_equal(acl_new(rules, 2, &netmap, &acl), 0);
	for (uint32_t src = 0; src < 4; src++)
		for (uint32_t dst = 0; dst < 4; dst++)
			assert_int_equal(allowed(acl, src, dst, IP_PROTO_TCP, 80),
					 src < 3 && dst == 2);
	assert_false(allowed(acl, 0, 2, IP_PROTO_TCP, 81));
	assert_false(allowed(acl, ACL_NO_NODE, 2, IP_PROTO_TCP, 80));
	assert_false(allowed(acl, 0, ACL_NO_NODE, IP_PROTO_TCP, 80));
	acl_free(acl);
	for (int i = 0; i < 3; i++)
		nodes[i].group_count = 0;
}

/* Every flow that has self at an end gets the same verdict from rules without groups. */
static void without_groups_the_verdicts_about_oneself_are_the_same(void **state)
{
	static const uint16_t numbers[] = {0, 1, 2};
	const struct netmap_node *peers[3];
	struct acl_rule rules[5 * 5];
	size_t rule_count = 0;

	for (size_t i = 0; i < 4; i++) {
		nodes[i].groups = numbers + i % 2;
		nodes[i].group_count = (uint8_t)(i % 3);
	}
	const struct acl_subject subjects[] = {
		any(), node(1), node(3), {.kind = ACL_GROUP}, {.kind = ACL_GROUP, .group = 1}};
	for (size_t i = 0; i < 25; i++, rule_count++)
		rules[i] = rule(subjects[i / 5], subjects[i % 5], IP_PROTO_TCP, (uint16_t)i,
				(uint16_t)i);
	for (uint32_t self = 0; self < 4; self++) {
		struct acl *with, *without;
		struct acl_rule *expanded;
		size_t count;

		for (size_t i = 0, n = 0; i < 4; i++)
			if (i != self)
				peers[n++] = &nodes[i];
		assert_int_equal(acl_without_groups(rules, rule_count, &nodes[self], peers, 3,
						    &expanded, &count),
				 0);
		assert_int_equal(acl_new(rules, rule_count, &netmap, &with), 0);
		assert_int_equal(acl_new(expanded, count, &netmap, &without), 0);
		for (size_t i = 0; i < count; i++)
			assert_true(expanded[i].src.kind != ACL_GROUP &&
				    expanded[i].dst.kind != ACL_GROUP);
		for (uint32_t other = 0; other < 4; other++)
			if (other != self)
				for (uint16_t port = 0; port < 25; port++) {
					assert_int_equal(
						allowed(with, self, other, IP_PROTO_TCP, port),
						allowed(without, self, other, IP_PROTO_TCP, port));
					assert_int_equal(
						allowed(with, other, self, IP_PROTO_TCP, port),
						allowed(without, other, self, IP_PROTO_TCP, port));
				}
		acl_free(with);
		acl_free(without);
		free(expanded);
	}
	for (int i = 0; i < 4; i++)
		nodes[i].group_count = 0;
}

static void a_group_that_concerns_nobody_here_leaves_a_policy_that_allows_nothing(void **state)
{
	struct acl_rule rules[] = {rule((struct acl_subject){.kind = ACL_GROUP, .group = 5},
					(struct acl_subject){.kind = ACL_GROUP, .group = 6},
					ACL_ALL_PROTOCOLS, 0, 65535)};
	struct acl_rule *expanded;
	struct acl *acl;
	size_t count;

	assert_int_equal(acl_without_groups(rules, 1, &nodes[0], NULL, 0, &expanded, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(acl_new(expanded, count, &netmap, &acl), 0);
	assert_false(acl_allows_all(acl));
	assert_false(allowed(acl, 0, 1, IP_PROTO_TCP, 80));
	acl_free(acl);
	free(expanded);
	assert_int_equal(acl_without_groups(NULL, 0, &nodes[0], NULL, 0, &expanded, &count), 0);
	assert_int_equal(count, 0);
	free(expanded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_members_may_talk_to_members),
		cmocka_unit_test(a_rule_allows_one_way_and_nothing_else),
		cmocka_unit_test(a_protocol_without_parsed_ports_passes_no_port_rule),
		cmocka_unit_test(subjects_are_nodes_prefixes_or_anyone),
		cmocka_unit_test(a_rule_about_a_stranger_matches_nobody),
		cmocka_unit_test(the_verdict_names_the_first_rule_that_allows),
		cmocka_unit_test(blind_packets_pass_only_rules_for_everything),
		cmocka_unit_test(impossible_rules_are_refused),
		cmocka_unit_test(rules_about_groups_go_for_their_nodes_in_one_direction),
		cmocka_unit_test(without_groups_the_verdicts_about_oneself_are_the_same),
		cmocka_unit_test(
			a_group_that_concerns_nobody_here_leaves_a_policy_that_allows_nothing),
	};

	for (uint8_t i = 0; i < 4; i++)
		nodes[i].key = key((uint8_t)(i + 1));
	return cmocka_run_group_tests_name("core/acl", tests, NULL, NULL);
}
