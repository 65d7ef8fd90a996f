#include "fixture/test.h"

#include "core/filter.h"
#include "core/netmap.h"
#include "fixture/rule.h"
#include "wire/ip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Node 0 is ourselves, 1 to 3 are others; node n has the key n + 1 and the addresses 10.0.0.(n + 1)
 * and fd00::(n + 1). */
static struct netmap_node nodes[4];
static const struct netmap_node *const peers[] = {&nodes[3], &nodes[1], &nodes[2]};

static int make_nodes(void **state)
{
	for (uint8_t n = 0; n < 4; n++) {
		nodes[n] = (struct netmap_node){.key = {.bytes = {2, (uint8_t)(n + 1)}},
						.ipv4 = {ADDR_V4, {10, 0, 0, (uint8_t)(n + 1)}},
						.ipv6 = {ADDR_V6, {0xfd}}};
		nodes[n].ipv6.bytes[15] = (uint8_t)(n + 1);
	}
	return 0;
}

static struct acl_subject node(unsigned n)
{
	return (struct acl_subject){.kind = ACL_NODE, .node = {.bytes = {2, (uint8_t)(n + 1)}}};
}

static struct acl_rule rule(struct acl_subject src, struct acl_subject dst, uint16_t protocol,
			    uint16_t low, uint16_t high)
{
	return rule_of(src, dst, protocol, low, high, "label");
}

static struct filter *make(const struct acl_rule *rules, size_t count)
{
	struct filter *f;

	assert_int_equal(filter_new(rules, count, &nodes[0], peers, 3, true, &f), 0);
	return f;
}

static size_t elements_of(const struct filter *f, uint16_t set)
{
	size_t count = 0;

	for (size_t i = 0; i < f->element_count; i++)
		count += f->elements[i].set == set;
	return count;
}

static void without_rules_it_is_open_to_peers_alone(void **state)
{
	struct filter *f = make(NULL, 0);

	assert_true(f->open);
	assert_int_equal(f->service_count, 0);
	assert_int_equal(elements_of(f, FILTER_SET_OURS), 2);
	assert_int_equal(elements_of(f, FILTER_SET_PEERS), 6);
	assert_int_equal(f->element_count, 8);
	for (size_t i = 0; i < f->element_count; i++)
		if (f->elements[i].set == FILTER_SET_OURS)
			assert_int_equal(
				f->elements[i]
					.address
					.bytes[f->elements[i].address.family == ADDR_V4 ? 3 : 15],
				1);
	filter_free(f);
	filter_free(NULL);
}

static void without_ipv4_only_ipv6_addresses_are_in_it(void **state)
{
	struct acl_rule r = rule(node(1), node(0), IP_PROTO_TCP, 22, 22);
	struct filter *f;

	assert_int_equal(filter_new(&r, 1, &nodes[0], peers, 3, false, &f), 0);
	assert_int_equal(f->element_count, 4 + 1);
	for (size_t i = 0; i < f->element_count; i++)
		assert_int_equal(f->elements[i].address.family, ADDR_V6);
	filter_free(f);
}

static void the_same_is_equal_and_nothing_else_is(void **state)
{
	static const struct netmap_node *const fewer[] = {&nodes[1], &nodes[2]};
	struct acl_rule r = rule(node(1), node(0), IP_PROTO_TCP, 22, 22);
	struct filter *a = make(&r, 1), *b = make(&r, 1), *open = make(NULL, 0), *less;

	assert_int_equal(filter_new(&r, 1, &nodes[0], fewer, 2, true, &less), 0);
	assert_true(filter_equal(a, b));
	assert_false(filter_equal(a, open));
	assert_false(filter_equal(a, less));
	filter_free(a);
	filter_free(b);
	filter_free(open);
	filter_free(less);
}

static void each_side_gets_its_own_direction_of_a_rule(void **state)
{
	struct acl_rule in = rule(node(1), node(0), IP_PROTO_TCP, 22, 80);
	struct acl_rule out = rule(node(0), node(1), IP_PROTO_TCP, 22, 80);
	struct acl_rule others = rule(node(1), node(2), IP_PROTO_TCP, 22, 80);
	struct acl_rule self = rule(node(0), node(0), IP_PROTO_TCP, 22, 80);
	struct filter *f = make(&in, 1);

	assert_false(f->open);
	assert_int_equal(f->service_count, 2); /* IPv4, IPv6 */
	for (size_t i = 0; i < 2; i++) {
		const struct filter_service *s = &f->services[i];

		assert_int_equal(s->direction, FILTER_IN);
		assert_int_equal(s->family, i ? ADDR_V6 : ADDR_V4);
		assert_int_equal(s->nodes, 1);
		assert_int_equal(s->protocol, IP_PROTO_TCP);
		assert_int_equal(s->port_low, 22);
		assert_int_equal(s->port_high, 80);
		assert_string_equal(s->label, "label");
		assert_int_equal(elements_of(f, (uint16_t)(FILTER_SET_SERVICES + i)), 1);
	}
	filter_free(f);
	f = make(&out, 1);
	assert_int_equal(f->service_count, 2);
	assert_int_equal(f->services[0].direction, FILTER_OUT);
	filter_free(f);
	f = make(&others, 1);
	assert_false(f->open);
	assert_int_equal(f->service_count, 0);
	filter_free(f);
	f = make(&self, 1);
	assert_int_equal(f->service_count, 0);
	filter_free(f);
}

static void any_to_any_goes_both_ways_and_for_all(void **state)
{
	struct acl_rule r = rule(any(), any(), ACL_ALL_PROTOCOLS, 0, 65535);
	struct filter *f = make(&r, 1);

	assert_int_equal(f->service_count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(f->services[i].nodes, 0);
		assert_int_equal(f->services[i].peer.bits, 0);
		assert_int_equal(f->services[i].protocol, ACL_ALL_PROTOCOLS);
	}
	filter_free(f);
}

static void a_prefix_is_of_one_family_and_without_host_bits(void **state)
{
	struct acl_rule r[] = {
		rule(prefix("10.0.0.0/31"), any(), ACL_ALL_PROTOCOLS, 0, 65535),
		rule(prefix("::/0"), prefix("10.0.0.0/8"), ACL_ALL_PROTOCOLS, 0, 65535)};
	struct filter *f;

	r[0].src.prefix.addr.bytes[3] = 1;
	f = make(&r[0], 1);
	/* In from there; out only for who has an address there, which the own prefix says. */
	assert_int_equal(f->service_count, 2);
	assert_int_equal(f->services[0].direction, FILTER_IN);
	assert_int_equal(f->services[0].family, ADDR_V4);
	assert_int_equal(f->services[0].peer.bits, 31);
	assert_int_equal(f->services[0].peer.addr.bytes[3], 0);
	assert_int_equal(f->services[1].direction, FILTER_OUT);
	assert_int_equal(f->services[1].own.bits, 31);
	filter_free(f);
	f = make(&r[1], 1);
	assert_int_equal(f->service_count, 0);
	filter_free(f);
}

static void ports_without_a_protocol_are_tcp_and_udp(void **state)
{
	struct acl_rule r[] = {rule(any(), node(0), ACL_ALL_PROTOCOLS, 53, 53),
			       rule(any(), node(0), 132, 53, 53),
			       rule(any(), node(0), 132, 0, 65535)};
	struct filter *f = make(&r[0], 1);

	assert_int_equal(f->service_count, 4);
	assert_int_equal(f->services[0].protocol, IP_PROTO_TCP);
	assert_int_equal(f->services[1].protocol, IP_PROTO_UDP);
	filter_free(f);
	f = make(&r[1], 1); /* SCTP has none that are looked at */
	assert_int_equal(f->service_count, 0);
	filter_free(f);
	f = make(&r[2], 1);
	assert_int_equal(f->service_count, 2);
	filter_free(f);
}

static void nodes_of_a_service_share_a_set(void **state)
{
	struct acl_rule r[] = {rule(node(1), node(0), IP_PROTO_TCP, 22, 22),
			       rule(node(2), node(0), IP_PROTO_TCP, 22, 22),
			       rule(node(2), node(0), IP_PROTO_TCP, 22, 22),
			       rule(node(9), node(0), IP_PROTO_TCP, 22, 22)};
	struct filter *f = make(r, 4);

	assert_int_equal(f->service_count, 2);
	assert_int_equal(elements_of(f, FILTER_SET_SERVICES), 2);
	assert_int_equal(elements_of(f, FILTER_SET_SERVICES + 1), 2);
	filter_free(f);
}

static void bad_rules_are_refused(void **state)
{
	struct acl_rule r[] = {rule(any(), any(), ACL_ALL_PROTOCOLS + 1, 0, 65535),
			       rule(any(), any(), IP_PROTO_TCP, 2, 1)};
	struct filter *f;

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(filter_new(&r[i], 1, &nodes[0], peers, 3, true, &f), -EINVAL);
}

static int of_ports(size_t count)
{
	struct acl_rule *rules = calloc(count, sizeof(*rules));
	struct filter *f;
	int r;

	assert_non_null(rules);
	for (size_t i = 0; i < count; i++) /* four ways and families: one service each */
		rules[i] = rule(prefix("10.0.0.2/32"), prefix("10.0.0.1/32"), IP_PROTO_TCP,
				(uint16_t)i, (uint16_t)i);
	for (size_t i = 0; i < count; i++)
		rules[i].dst = node(0);
	r = filter_new(rules, count, &nodes[0], peers, 3, true, &f);
	if (r == 0) {
		assert_int_equal(f->service_count, count);
		filter_free(f);
	}
	free(rules);
	return r;
}

static void services_are_bounded(void **state)
{
	assert_int_equal(of_ports(FILTER_SERVICES_MAX), 0);
	assert_int_equal(of_ports(FILTER_SERVICES_MAX + 1), -E2BIG);
}

static int of_members(size_t count)
{
	struct netmap_node *many = calloc(count, sizeof(*many));
	const struct netmap_node **pointers = calloc(count, sizeof(const struct netmap_node *));
	struct filter *f;
	int r;

	assert_non_null(many);
	assert_non_null(pointers);
	for (size_t i = 0; i < count; i++) {
		many[i].key.bytes[0] = 2;
		memcpy(many[i].key.bytes + 1, &i, sizeof(i));
		many[i].ipv6 = (struct address){ADDR_V6, {0xfd, 1}};
		memcpy(many[i].ipv6.bytes + 8, &i, sizeof(i));
		pointers[i] = &many[i];
	}
	r = filter_new(NULL, 0, &nodes[0], pointers, count, true, &f);
	if (r == 0) {
		assert_int_equal(f->element_count, count + 2);
		filter_free(f);
	}
	free(pointers);
	free(many);
	return r;
}

static void addresses_are_bounded(void **state)
{
	assert_int_equal(of_members(FILTER_ELEMENTS_MAX - 2), 0); /* and two of ours */
	assert_int_equal(of_members(FILTER_ELEMENTS_MAX - 1), -E2BIG);
}

struct changes {
	size_t added, removed;
	bool removed_after_added;
};

static void on_change(void *ctx, const struct filter_element *e)
{
	struct changes *c = ctx;

	c->removed_after_added |= e->removed && c->added;
	c->added += !e->removed;
	c->removed += e->removed;
}

static void a_member_that_goes_or_comes_is_its_addresses_and_no_more(void **state)
{
	static const struct netmap_node *const fewer[] = {&nodes[1], &nodes[2]};
	static const struct netmap_node *const other[] = {&nodes[1], &nodes[3]};
	struct acl_rule r = rule(node(3), node(0), IP_PROTO_TCP, 22, 22);
	struct filter *all = make(&r, 1), *less, *swapped;
	struct changes c = {0};

	assert_int_equal(filter_new(&r, 1, &nodes[0], fewer, 2, true, &less), 0);
	assert_int_equal(filter_new(&r, 1, &nodes[0], other, 2, true, &swapped), 0);
	assert_true(filter_same_services(all, less));
	filter_diff(all, less, on_change, &c);
	assert_int_equal(c.removed, 4); /* of the peers and of the service, IPv4 and IPv6 */
	assert_int_equal(c.added, 0);
	c = (struct changes){0};
	filter_diff(less, swapped, on_change, &c);
	assert_int_equal(c.removed, 2);
	assert_int_equal(c.added, 4);
	assert_false(c.removed_after_added);
	c = (struct changes){0};
	filter_diff(all, all, on_change, &c);
	assert_int_equal(c.added + c.removed, 0);
	filter_free(all);
	filter_free(less);
	filter_free(swapped);
}

static void another_policy_is_no_change_of_elements(void **state)
{
	struct acl_rule a = rule(any(), any(), IP_PROTO_TCP, 22, 22);
	struct acl_rule b = rule(any(), any(), IP_PROTO_TCP, 22, 23);
	struct filter *open = make(NULL, 0), *one = make(&a, 1), *two = make(&b, 1);

	assert_false(filter_same_services(open, one));
	assert_false(filter_same_services(one, two));
	filter_free(open);
	filter_free(one);
	filter_free(two);
}

static void every_counter_has_a_name(void **state)
{
	for (int i = 0; i < FILTER_COUNTERS_OF_DIRECTION; i++) {
		assert_memory_equal(filter_counter_name((enum filter_counter)i), "in_", 3);
		assert_memory_equal(filter_counter_name((enum filter_counter)(
					    i + FILTER_COUNTERS_OF_DIRECTION)),
				    "out_", 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_it_is_open_to_peers_alone),
		cmocka_unit_test(without_ipv4_only_ipv6_addresses_are_in_it),
		cmocka_unit_test(the_same_is_equal_and_nothing_else_is),
		cmocka_unit_test(each_side_gets_its_own_direction_of_a_rule),
		cmocka_unit_test(any_to_any_goes_both_ways_and_for_all),
		cmocka_unit_test(a_prefix_is_of_one_family_and_without_host_bits),
		cmocka_unit_test(ports_without_a_protocol_are_tcp_and_udp),
		cmocka_unit_test(nodes_of_a_service_share_a_set),
		cmocka_unit_test(bad_rules_are_refused),
		cmocka_unit_test(services_are_bounded),
		cmocka_unit_test(addresses_are_bounded),
		cmocka_unit_test(a_member_that_goes_or_comes_is_its_addresses_and_no_more),
		cmocka_unit_test(another_policy_is_no_change_of_elements),
		cmocka_unit_test(every_counter_has_a_name),
	};
	return cmocka_run_group_tests(tests, make_nodes, NULL);
}
