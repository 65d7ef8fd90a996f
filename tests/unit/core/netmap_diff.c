#include "fixture/test.h"

#include "core/netmap.h"

#include <stdio.h>
#include <string.h>

/* Two maps that differ in one field of one thing: one step, of the kind that says so. */

struct pair {
	struct netmap map;
	struct netmap_node nodes[2];
	struct netmap_helper helpers[2];
};

static void begin(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	p->map.nodes = p->nodes;
	p->map.helpers = p->helpers;
	p->map.node_count = p->map.helper_count = 2;
	p->map.exists = true;
	strcpy(p->map.name, "office");
	for (uint8_t i = 0; i < 2; i++) {
		p->nodes[i].key.bytes[0] = 2;
		p->nodes[i].key.bytes[1] = i;
		p->nodes[i].name[0] = (char)('a' + i);
		p->nodes[i].ipv6 = (struct address){ADDR_V6, {0xfd, i}};
		p->nodes[i].ipv4 = (struct address){ADDR_V4, {10, i}};
		p->nodes[i].extra_ipv6 = (struct address){ADDR_V6, {0xfd, 9, i}};
		p->helpers[i].kind = OBJECT_OVC;
		p->helpers[i].id.bytes[0] = i;
		p->helpers[i].endpoint_count = 1;
		p->helpers[i].endpoints[0].port = 1;
		p->helpers[i].endpoints[0].address = (struct address){ADDR_V4, {192, 0, 2, i}};
	}
}

/* The second node and helper are changed. */
#define NODE(name, statement)                                                                      \
	static void name(struct pair *p)                                                           \
	{                                                                                          \
		struct netmap_node *n = &p->nodes[1];                                              \
		statement;                                                                         \
	}
#define HELPER(name, statement)                                                                    \
	static void name(struct pair *p)                                                           \
	{                                                                                          \
		struct netmap_helper *h = &p->helpers[1];                                          \
		statement;                                                                         \
	}
#define MAP(name, statement)                                                                       \
	static void name(struct pair *p)                                                           \
	{                                                                                          \
		struct netmap *m = &p->map;                                                        \
		statement;                                                                         \
	}

NODE(node_name, n->name[0] = 'x')
NODE(node_ipv6, n->ipv6.bytes[15] = 1)
NODE(node_ipv4, n->ipv4.bytes[3] = 1)
NODE(node_without_ipv4, n->ipv4.family = ADDR_NONE)
NODE(node_extra_ipv6, n->extra_ipv6.bytes[15] = 1)
NODE(node_flags, n->flags = NODE_FLAG_GATEWAY)
NODE(node_remark, n->remark = "its name is held")
HELPER(helper_key, h->key.bytes[0] = 3)
HELPER(helper_name, h->name[0] = 'x')
HELPER(helper_priority, h->priority = 1)
HELPER(helper_weight, h->weight = 1)
HELPER(helper_expiry, h->grant_expiry = 1)
HELPER(helper_rate, h->rate_kbit = 1)
HELPER(helper_volume, h->volume_mib = 1)
HELPER(helper_endpoints, h->endpoint_count = 0)
HELPER(endpoint_transport, h->endpoints[0].transport = TRANSPORT_TLS)
HELPER(endpoint_port, h->endpoints[0].port = 2)
HELPER(endpoint_address, h->endpoints[0].address.bytes[3] = 7)
HELPER(endpoint_host, strcpy(h->endpoints[0].host, "h.x"))
MAP(dnet_exists, m->exists = false)
MAP(dnet_name, m->name[0] = 'x')
MAP(dnet_admin_key, m->admin_key[31] = 1)
MAP(dnet_prefix, m->ipv4_prefix = ((struct prefix){{ADDR_V4, {10}}, 8}))
MAP(dnet_has_roster, m->has_roster = true)
MAP(dnet_roster_sequence, m->roster_sequence = 1)
MAP(dnet_roster_root, m->roster_root.bytes[31] = 1)
MAP(node_gone, m->node_count = 1)
MAP(helper_gone, m->helper_count = 1)
NODE(other_node, n->key.bytes[32] = 1)
HELPER(other_helper, h->id.bytes[19] = 1)
HELPER(helper_of_other_kind, h->kind = OBJECT_OVR)

static void say_step(void *ctx, const struct netmap_step *step)
{
	char *text = ctx;

	sprintf(text + strlen(text), "%d ", step->kind);
}

static const struct {
	const char *name;
	void (*change)(struct pair *p);
	enum netmap_step_kind kinds[2];
	size_t count;
} rows[] = {
#define ROW(change, kind)                                                                          \
	{                                                                                          \
#change, change, {kind }, 1                                                        \
	}
#define TWO(change, kind, other)                                                                   \
	{                                                                                          \
#change, change, {kind, other }, 2                                                 \
	}
	ROW(node_name, NODE_CHANGED),
	ROW(node_ipv6, NODE_CHANGED),
	ROW(node_ipv4, NODE_CHANGED),
	ROW(node_without_ipv4, NODE_CHANGED),
	ROW(node_extra_ipv6, NODE_CHANGED),
	ROW(node_flags, NODE_CHANGED),
	ROW(node_remark, NODE_CHANGED),
	ROW(helper_key, HELPER_CHANGED),
	ROW(helper_name, HELPER_CHANGED),
	ROW(helper_priority, HELPER_CHANGED),
	ROW(helper_weight, HELPER_CHANGED),
	ROW(helper_expiry, HELPER_CHANGED),
	ROW(helper_rate, HELPER_CHANGED),
	ROW(helper_volume, HELPER_CHANGED),
	ROW(helper_endpoints, HELPER_CHANGED),
	ROW(endpoint_transport, HELPER_CHANGED),
	ROW(endpoint_port, HELPER_CHANGED),
	ROW(endpoint_address, HELPER_CHANGED),
	ROW(endpoint_host, HELPER_CHANGED),
	ROW(dnet_exists, DNET_CHANGED),
	ROW(dnet_name, DNET_CHANGED),
	ROW(dnet_admin_key, DNET_CHANGED),
	ROW(dnet_prefix, DNET_CHANGED),
	ROW(dnet_has_roster, DNET_CHANGED),
	ROW(dnet_roster_sequence, DNET_CHANGED),
	ROW(dnet_roster_root, DNET_CHANGED),
	ROW(node_gone, NODE_REMOVED),
	ROW(helper_gone, HELPER_REMOVED),
	TWO(other_node, NODE_REMOVED, NODE_ADDED),
	TWO(other_helper, HELPER_REMOVED, HELPER_ADDED),
	TWO(helper_of_other_kind, HELPER_REMOVED, HELPER_ADDED),
};

static void each_field_that_changes_is_one_step(void **state)
{
	struct pair before, after;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char want[32] = "", have[32] = "";

		begin(&before);
		begin(&after);
		rows[i].change(&after);
		for (size_t k = 0; k < rows[i].count; k++)
			say_step(want, &(struct netmap_step){.kind = rows[i].kinds[k]});
		netmap_diff(&before.map, &after.map, say_step, have);
		if (strcmp(have, want) != 0)
			fail_msg("%s: steps %sand not %s", rows[i].name, have, want);
	}
}

static void maps_that_are_equal_give_no_step(void **state)
{
	struct pair before, after;
	char have[32] = "";

	(void)state;
	begin(&before);
	begin(&after);
	after.map.height = 7;
	netmap_diff(&before.map, &after.map, say_step, have);
	assert_string_equal(have, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_field_that_changes_is_one_step),
		cmocka_unit_test(maps_that_are_equal_give_no_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
