#include "fixture/test.h"

#include "core/netmap.h"
#include "wire/roster.h"

#include <string.h>

/* A dnet 10.77.0.0/24 whose records have the nodes 1 and 3; rosters are written entry by entry. */
static const struct object_id dnet = {{7}};
static struct record_row rows[3];
static struct netmap_revocation revocations[1];
static struct netmap_input input = {
	.rows = rows, .row_count = 3, .tip_height = 10, .confirm = 1, .revocations = revocations};
static uint8_t body[4096];
static struct writer w;

static struct node_key key(uint8_t n)
{
	return (struct node_key){.bytes = {2, n}};
}

static struct record_row row(uint8_t type)
{
	return (struct record_row){.object = dnet,
				   .record = {.type = type},
				   .from_height = 1,
				   .to_height = UINT32_MAX};
}

/* Of the next roster. */
static struct roster_header header;

static int start(void **state)
{
	input.id = dnet;
	rows[0] = row(RECORD_DNET_CREATE);
	strcpy(rows[0].record.dnet_create.name, "office");
	assert_true(prefix_parse("10.77.0.0/24", &rows[0].record.dnet_create.ipv4));
	for (uint8_t i = 1; i < 3; i++) {
		rows[i] = row(RECORD_NODE_PUT);
		rows[i].record.node_put.key = key((uint8_t)(2 * i - 1));
		rows[i].tx_index = i;
	}
	strcpy(rows[1].record.node_put.name, "one");
	rows[1].record.node_put.ipv4 = (struct address){ADDR_V4, {10, 77, 0, 1}};
	rows[1].record.node_put.flags = NODE_FLAG_IPV4;
	revocations[0] = (struct netmap_revocation){
		.object = dnet, .type = RECORD_NODE_DEL, .subject_len = PUBKEY_LEN, .sequence = 5};
	memcpy(revocations[0].subject, key(9).bytes, PUBKEY_LEN);
	input.revocation_count = 1;
	header = (struct roster_header){.dnet = dnet, .sequence = 1};
	return 0;
}

static void begin(size_t groups, size_t nodes)
{
	writer_init(&w, body, sizeof(body));
	roster_write_header(&w, &header);
	roster_write_count(&w, ROSTER_GROUPS, groups);
	for (size_t i = 0; i < groups; i++)
		roster_write_group(&w, i ? "b" : "a");
	roster_write_count(&w, ROSTER_NODES, nodes);
}

static void add(uint8_t n, const char *name, uint8_t ipv4, uint64_t expires, uint8_t groups)
{
	struct roster_node node = {.key = key(n), .expires = expires, .group_count = groups};

	for (uint8_t i = 0; i < groups; i++)
		node.groups[i] = i;
	strcpy(node.name, name);
	if (expires)
		node.flags |= ROSTER_FLAG_EXPIRES;
	if (ipv4) {
		node.flags |= NODE_FLAG_IPV4;
		node.ipv4 = (struct address){ADDR_V4, {10, 77, 0, ipv4}};
	}
	roster_write_node(&w, &node);
}

static struct netmap *finish(const struct roster_rule *rule, uint64_t now_s)
{
	struct netmap *map;
	struct roster roster;

	roster_write_count(&w, ROSTER_ROUTES, 0);
	roster_write_count(&w, ROSTER_RULES, rule != NULL);
	if (rule)
		roster_write_rule(&w, rule);
	roster_write_count(&w, ROSTER_NAMES, 0);
	assert_false(w.failed);
	assert_null(roster_parse(body, writer_len(&w), &roster));
	assert_int_equal(netmap_build(&input, &map), 0);
	assert_int_equal(netmap_add_roster(map, &input, &roster, now_s), 0);
	return map;
}

static const struct netmap_node *node(const struct netmap *map, uint8_t n)
{
	struct node_key k = key(n);

	return netmap_find_node(map, &k);
}

static void records_come_first_and_the_roster_adds(void **state)
{
	struct roster_rule rule = {.name = "web",
				   .src = {.kind = ROSTER_GROUP, .group = 1},
				   .protocol = 6,
				   .port_low = 80,
				   .port_high = 80};
	struct netmap *map;

	begin(2, 3);
	add(1, "other", 8, 0, 1);
	add(2, "two", 2, 0, 2);
	add(3, "three", 3, 0, 0);
	map = finish(&rule, 100);
	assert_int_equal(map->node_count, 3);
	assert_string_equal(node(map, 1)->name, "one");
	assert_int_equal(node(map, 1)->ipv4.bytes[3], 1);
	assert_int_equal(node(map, 1)->group_count, 1);
	assert_false(node(map, 1)->by_roster);
	assert_true(node(map, 2)->by_roster);
	assert_string_equal(node(map, 2)->name, "two");
	assert_int_equal(node(map, 2)->ipv4.bytes[3], 2);
	assert_int_equal(node(map, 2)->ipv6.family, ADDR_V6);
	assert_int_equal(node(map, 2)->groups[1], 1);
	assert_string_equal(node(map, 3)->name, "three");
	assert_int_equal(node(map, 3)->ipv4.bytes[3], 3);
	assert_true(map->has_policy);
	assert_int_equal(map->rule_count, 1);
	assert_int_equal(map->rules[0].src.kind, ACL_GROUP);
	assert_int_equal(map->rules[0].src.group, 1);
	assert_int_equal(map->rules[0].dst.kind, ACL_ANY);
	assert_string_equal(map->rules[0].label, "web");
	netmap_free(map);
}

static void a_name_or_address_has_one_holder(void **state)
{
	struct netmap *map;

	begin(0, 4);
	add(2, "one", 1, 0, 0); /* both are node 1's by its record */
	add(4, "same", 4, 0, 0);
	add(5, "same", 4, 0, 0);
	add(6, "net", 0, 0, 0);
	map = finish(NULL, 100);
	assert_string_equal(node(map, 1)->name, "one");
	assert_string_equal(node(map, 2)->name, "");
	assert_int_equal(node(map, 2)->ipv4.family, ADDR_NONE);
	assert_non_null(node(map, 2)->remark);
	assert_string_equal(node(map, 4)->name, "same");
	assert_int_equal(node(map, 4)->ipv4.family, ADDR_V4);
	assert_string_equal(node(map, 5)->name, "");
	assert_int_equal(node(map, 5)->ipv4.family, ADDR_NONE);
	assert_true(map->has_policy);
	assert_int_equal(map->rule_count, 0); /* members may talk to members */
	netmap_free(map);
}

static void who_was_revoked_comes_back_by_no_roster(void **state)
{
	struct netmap *map;

	begin(0, 2);
	add(8, "", 0, 0, 0);
	add(9, "nine", 9, 0, 0);
	map = finish(NULL, 100);
	assert_non_null(node(map, 8));
	assert_null(node(map, 9));
	netmap_free(map);
}

static void an_entry_that_has_expired_is_not_there(void **state)
{
	for (uint64_t now = 199; now < 202; now++) {
		struct netmap *map;

		begin(2, 3);
		add(2, "two", 2, 200, 1);
		add(3, "three", 3, 200, 1);
		add(4, "four", 4, 300, 1);
		map = finish(NULL, now);
		assert_int_equal(node(map, 2) != NULL, now < 200);
		assert_int_equal(node(map, 3)->group_count, now < 200);
		assert_int_equal(node(map, 4)->group_count, 1);
		assert_int_equal(map->next_expiry, now < 200 ? 200 : 300);
		netmap_free(map);
	}
}

static void addresses_outside_of_the_prefix_are_not_given(void **state)
{
	struct roster_node odd = {.key = key(2), .flags = NODE_FLAG_IPV4 | NODE_FLAG_IPV6};
	struct netmap *map;

	odd.ipv4 = (struct address){ADDR_V4, {10, 78, 0, 2}};
	begin(0, 1);
	assert_int_equal(netmap_build(&input, &map), 0);
	odd.ipv6 = map->ipv6_prefix.addr; /* inside the dnet's own */
	netmap_free(map);
	roster_write_node(&w, &odd);
	map = finish(NULL, 100);
	assert_int_equal(node(map, 2)->ipv4.family, ADDR_NONE);
	assert_int_equal(node(map, 2)->extra_ipv6.family, ADDR_NONE);
	assert_non_null(node(map, 2)->remark);
	netmap_free(map);
}

static void a_closed_policy_allows_nothing(void **state)
{
	struct netmap *map;
	struct acl *acl;

	assert_int_equal(netmap_build(&input, &map), 0);
	assert_false(map->has_policy);
	assert_int_equal(netmap_close_policy(map), 0);
	assert_true(map->has_policy);
	assert_int_equal(acl_new(map->rules, map->rule_count, map, &acl), 0);
	assert_false(acl_allows_all(acl));
	assert_false(acl_allows(acl, 0, 1, &(struct ip_flow){.version = 4}, NULL));
	acl_free(acl);
	netmap_free(map);
}

static void the_epoch_before_counts_for_a_day(void **state)
{
	const struct {
		uint64_t now_s;
		bool both;
	} table[] = {{0, true}, {1000, true}, {87399, true}, {87400, false}, {UINT64_MAX, false}};

	(void)state;
	header.epoch = (struct epoch){7, {{1}}};
	header.before = (struct epoch){3, {{2}}};
	header.epoch_since = 1000;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct netmap *map;

		begin(0, 0);
		map = finish(NULL, table[i].now_s);
		assert_int_equal(map->epoch.number, 7);
		assert_memory_equal(&map->epoch.psk, &header.epoch.psk, SECRET_LEN);
		assert_int_equal(map->rolls_over, table[i].both);
		assert_int_equal(map->before.number, table[i].both ? 3 : 0);
		assert_int_equal(map->next_expiry, table[i].both ? 87400 : 0);
		netmap_free(map);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_first_and_the_roster_adds),
		cmocka_unit_test(the_epoch_before_counts_for_a_day),
		cmocka_unit_test(a_name_or_address_has_one_holder),
		cmocka_unit_test(who_was_revoked_comes_back_by_no_roster),
		cmocka_unit_test(an_entry_that_has_expired_is_not_there),
		cmocka_unit_test(addresses_outside_of_the_prefix_are_not_given),
		cmocka_unit_test(a_closed_policy_allows_nothing),
	};
	return cmocka_run_group_tests(tests, start, NULL);
}
