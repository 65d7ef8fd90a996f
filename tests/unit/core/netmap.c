#include "fixture/test.h"

#include "wire/record.h"

#include <stdlib.h>
#include <string.h>

/* Allocations of the module under test, of which one can be made to fail. */
static int allocations, failing_allocation = -1;

static void *counted_calloc(size_t count, size_t size)
{
	return allocations++ == failing_allocation ? NULL : calloc(count, size);
}

static void derive(const struct object_id *dnet, const struct node_key *key,
		   struct address *ret_address);

#define calloc		    counted_calloc
#define node_address_derive derive
#include "core/netmap.c"
#undef calloc
#undef node_address_derive

enum { MAX = 32, DNET = 1, OVC = 2, OVR = 3, OTHER = 4 };

struct world {
	struct record_row rows[MAX];
	size_t row_count;
	struct netmap_revocation revocations[MAX];
	size_t revocation_count;
	struct netmap *map;
};

static struct object_id object(uint8_t n)
{
	struct object_id id;

	memset(id.bytes, n, sizeof(id.bytes));
	return id;
}

static struct node_key key(uint8_t n)
{
	struct node_key k = {.bytes = {2}};

	memset(k.bytes + 1, n, sizeof(k.bytes) - 1);
	return k;
}

enum { SAME_ADDRESS = 0xee };

/* Two keys with one address (RECORDS 6.2) take 2^32 tries to find; here key 0xee has that of key 1.
 */
static void derive(const struct object_id *dnet, const struct node_key *of,
		   struct address *ret_address)
{
	struct node_key other = key(1);

	node_address_derive(dnet, of->bytes[1] == SAME_ADDRESS ? &other : of, ret_address);
}

static struct address address(const char *text)
{
	struct address a = {0};

	if (text)
		assert_true(address_parse(text, &a));
	return a;
}

static struct record_row *add_row(struct world *w, uint8_t who, uint32_t height, uint32_t sequence,
				  uint8_t type)
{
	struct record_row *row = &w->rows[w->row_count++];

	assert_true(w->row_count <= MAX);
	row->object = object(who);
	row->kind = who == OTHER ? DNET : who;
	row->from_height = height;
	row->to_height = UINT32_MAX;
	row->sequence = sequence;
	row->tx_index = 1;
	row->record.type = type;
	return row;
}

static struct record_row *add_dnet(struct world *w, uint32_t height, const char *prefix)
{
	struct record_row *row = add_row(w, DNET, height, 0, RECORD_DNET_CREATE);

	strcpy(row->record.dnet_create.name, "office");
	if (prefix)
		assert_true(prefix_parse(prefix, &row->record.dnet_create.ipv4));
	return row;
}

static struct record_row *add_node(struct world *w, uint8_t n, uint32_t height, uint32_t sequence,
				   const char *name, const char *ipv4)
{
	struct record_row *row = add_row(w, DNET, height, sequence, RECORD_NODE_PUT);

	row->record.node_put.key = key(n);
	strcpy(row->record.node_put.name, name);
	row->record.node_put.ipv4 = address(ipv4);
	return row;
}

static struct record_row *add_helper(struct world *w, uint8_t who, uint32_t height)
{
	struct record_row *row =
		add_row(w, who, height, 0, who == OVC ? RECORD_OVC_CREATE : RECORD_OVR_CREATE);

	row->record.service_create.service_key = key((uint8_t)(100 + who));
	strcpy(row->record.service_create.name, "helper");
	return row;
}

static struct record_row *add_link(struct world *w, uint8_t who, uint32_t height, uint32_t sequence)
{
	struct record_row *row = add_row(w, DNET, height, sequence, RECORD_LINK);

	row->record.link.kind = who;
	row->record.link.id = object(who);
	return row;
}

static struct record_row *add_grant(struct world *w, uint8_t who, uint32_t height,
				    uint32_t sequence, uint32_t expiry)
{
	struct record_row *row = add_row(w, who, height, sequence, RECORD_GRANT);

	row->record.grant.dnet = object(DNET);
	row->record.grant.expiry = expiry;
	return row;
}

static void revoke(struct world *w, const struct record_row *what, uint8_t type, uint32_t sequence,
		   uint32_t position)
{
	struct netmap_revocation *r = &w->revocations[w->revocation_count++];

	r->object = what->object;
	r->type = type;
	if (type != RECORD_CLOSE)
		r->subject_len = record_key(&what->record, r->subject);
	r->sequence = sequence;
	r->position = position;
}

static const struct netmap *build_at(struct world *w, uint32_t tip, uint32_t confirm)
{
	struct netmap_input in = {.id = object(DNET),
				  .rows = w->rows,
				  .row_count = w->row_count,
				  .revocations = w->revocations,
				  .revocation_count = w->revocation_count,
				  .tip_height = tip,
				  .confirm = confirm};

	netmap_free(w->map);
	assert_int_equal(netmap_build(&in, &w->map), 0);
	return w->map;
}

static const struct netmap_node *node_at(struct world *w, uint8_t n, uint32_t tip)
{
	struct node_key k = key(n);

	return netmap_find_node(build_at(w, tip, 1), &k);
}

static struct netmap *steal_map(struct world *w)
{
	struct netmap *map = w->map;

	w->map = NULL;
	return map;
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct world));
	return !*state;
}

static int teardown(void **state)
{
	struct world *w = *state;

	netmap_free(w->map);
	free(w);
	return 0;
}

static void an_addition_counts_from_its_depth_on(void **state)
{
	static const struct {
		uint32_t tip, confirm;
		size_t nodes;
	} table[] = {{9, 1, 0},	 {10, 1, 1},	      {11, 1, 1},
		     {10, 2, 0}, {11, 2, 1},	      {14, 6, 0},
		     {15, 6, 1}, {10, UINT32_MAX, 0}, {UINT32_MAX - 1, 6, 1}};
	struct world *w = *state;

	add_dnet(w, 1, NULL);
	add_node(w, 1, 10, 1, "a", NULL);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(build_at(w, table[i].tip, table[i].confirm)->node_count,
				 table[i].nodes);
}

static void a_dnet_without_a_create_in_force_has_no_nodes(void **state)
{
	struct world *w = *state;

	add_node(w, 1, 10, 1, "a", NULL);
	assert_false(build_at(w, 20, 1)->exists);
	assert_int_equal(w->map->node_count, 0);
	add_dnet(w, 30, NULL);
	assert_false(build_at(w, 29, 1)->exists);
	assert_true(build_at(w, 30, 1)->exists);
	assert_int_equal(w->map->node_count, 1);
	assert_string_equal(w->map->name, "office");
}

static void what_is_replaced_counts_until_its_successor_is_deep_enough(void **state)
{
	struct world *w = *state;

	add_dnet(w, 1, "10.0.0.0/24");
	add_node(w, 1, 10, 1, "old", NULL)->to_height = 20;
	add_node(w, 1, 20, 2, "new", NULL);
	assert_string_equal(build_at(w, 24, 6)->nodes[0].name, "old");
	assert_int_equal(w->map->node_count, 1);
	assert_string_equal(build_at(w, 25, 6)->nodes[0].name, "new");
	assert_int_equal(w->map->node_count, 1);
}

static void a_revocation_counts_at_depth_zero_and_whatever_happens_to_it(void **state)
{
	struct world *w = *state;
	struct record_row *row;

	add_dnet(w, 1, NULL);
	row = add_node(w, 1, 10, 1, "a", NULL);
	add_node(w, 2, 10, 1, "b", NULL)->pos = 1;
	assert_non_null(node_at(w, 1, 10));
	revoke(w, row, RECORD_NODE_DEL, 2, 0);
	assert_null(node_at(w, 1, 10));
	/* Mined, and then not mined any more: the row ends, and is as before. */
	row->to_height = 11;
	assert_null(node_at(w, 1, 11));
	row->to_height = UINT32_MAX;
	assert_null(node_at(w, 1, 11));
	assert_null(node_at(w, 1, 1000));
	assert_non_null(node_at(w, 2, 11));
}

static void only_a_higher_sequence_adds_again(void **state)
{
	static const struct {
		uint32_t sequence, out_index, pos, position;
		bool there;
	} table[] = {
		{1, 0, 0, 3, false}, /* of a lower sequence */
		{1, 9, 9, 3, false}, /* wherever it stands */
		{2, 0, 2, 3, false}, /* before it in its transaction */
		{2, 0, 3, 3, true},  /* itself or after it */
		{2, 0, 4, 3, true},
		{2, 1, 0, 3, true}, /* in a further output */
		{2, 0, 2, 64, false},
		{2, 9, 9, UINT32_MAX, false}, /* another transaction was mined in its place */
		{3, 0, 0, UINT32_MAX, true},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct world w = {0};
		struct record_row *row;

		add_dnet(&w, 1, NULL);
		row = add_node(&w, 1, 10, table[i].sequence, "a", NULL);
		row->out_index = table[i].out_index;
		row->pos = table[i].pos;
		revoke(&w, row, RECORD_NODE_DEL, 2, table[i].position);
		assert_int_equal(!!node_at(&w, 1, 10), table[i].there);
		netmap_free(w.map);
	}
}

static void a_revocation_hides_only_what_it_names(void **state)
{
	struct world *w = *state;
	struct record_row *row, *link;

	add_dnet(w, 1, NULL);
	row = add_node(w, 1, 10, 1, "a", NULL);
	revoke(w, row, RECORD_REVOKE, 2, 0);
	w->revocations[0].object = object(OTHER);
	w->revocations[0].type = RECORD_NODE_DEL;
	assert_non_null(node_at(w, 1, 10));
	add_helper(w, OVC, 5);
	add_grant(w, OVC, 6, 1, 0);
	link = add_link(w, OVC, 7, 1);
	assert_int_equal(build_at(w, 10, 1)->helper_count, 1);
	revoke(w, row, RECORD_NODE_DEL, 2, 0);
	assert_int_equal(build_at(w, 10, 1)->helper_count, 1);
	assert_int_equal(w->map->node_count, 0);
	revoke(w, link, RECORD_UNLINK, 2, 0);
	assert_int_equal(build_at(w, 10, 1)->helper_count, 0);
}

static void an_endpoint_is_revoked_by_the_whole_of_it(void **state)
{
	static const char *const hosts[] = {"a.b", "a.bc", "a.bcd"};
	struct world *w = *state;
	struct record_row *row;

	add_dnet(w, 1, NULL);
	add_helper(w, OVC, 1);
	add_link(w, OVC, 1, 1);
	add_grant(w, OVC, 1, 1, 0);
	for (int i = 0; i < 3; i++) {
		row = add_row(w, OVC, 1, 1, RECORD_ENDPOINT_PUT);
		row->pos = (uint32_t)i;
		row->record.endpoint.port = 1;
		row->record.endpoint.transport = TRANSPORT_UDP;
		strcpy(row->record.endpoint.host, hosts[i]);
	}
	revoke(w, row - 1, RECORD_ENDPOINT_DEL, 2, UINT32_MAX);
	build_at(w, 2, 1);
	assert_int_equal(w->map->helpers[0].endpoint_count, 2);
	assert_string_equal(w->map->helpers[0].endpoints[0].host, "a.b");
	assert_string_equal(w->map->helpers[0].endpoints[1].host, "a.bcd");
}

static void a_close_ends_the_dnet_for_ever(void **state)
{
	struct world *w = *state;

	revoke(w, add_dnet(w, 1, NULL), RECORD_CLOSE, 5, 0);
	add_node(w, 1, 10, 1, "a", NULL);
	add_node(w, 2, 20, 6, "b", NULL);
	assert_false(build_at(w, 30, 1)->exists);
	assert_int_equal(w->map->node_count, 0);
}

static void the_last_transfer_and_roster_in_force_count(void **state)
{
	struct world *w = *state;
	struct record_row *row;

	memset(add_dnet(w, 1, NULL)->record.dnet_create.admin_key, 1, XONLY_LEN);
	row = add_row(w, DNET, 12, 2, RECORD_TRANSFER);
	row->record.transfer.has_admin_key = true;
	memset(row->record.transfer.admin_key, 3, XONLY_LEN);
	row = add_row(w, DNET, 11, 1, RECORD_TRANSFER);
	row->record.transfer.has_admin_key = true;
	memset(row->record.transfer.admin_key, 2, XONLY_LEN);
	add_row(w, DNET, 13, 3, RECORD_TRANSFER);
	row = add_row(w, DNET, 13, 3, RECORD_ROSTER);
	row->record.roster.sequence = 7;
	assert_int_equal(build_at(w, 10, 1)->admin_key[0], 1);
	assert_int_equal(build_at(w, 11, 1)->admin_key[0], 2);
	assert_int_equal(build_at(w, 12, 1)->admin_key[0], 3);
	assert_false(w->map->has_roster);
	assert_int_equal(build_at(w, 13, 1)->admin_key[0], 3);
	assert_true(w->map->has_roster);
	assert_int_equal(w->map->roster_sequence, 7);
}

static void an_ipv4_address_is_a_host_of_the_prefix(void **state)
{
	static const struct {
		const char *prefix, *ipv4;
		bool given;
	} table[] = {
		{"10.1.0.0/16", "10.1.0.1", true},	{"10.1.0.0/16", "10.1.255.254", true},
		{"10.1.0.0/16", "10.1.0.0", false},	{"10.1.0.0/16", "10.1.255.255", false},
		{"10.1.0.0/16", "10.2.0.1", false},	{NULL, "10.1.0.1", false},
		{"10.0.0.0/8", "10.255.255.254", true}, {"10.0.0.4/30", "10.0.0.6", true},
		{"10.0.0.4/30", "10.0.0.7", false},	{"10.0.0.4/30", "10.0.0.8", false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct world w = {0};
		const struct netmap_node *node;

		add_dnet(&w, 1, table[i].prefix);
		add_node(&w, 1, 10, 1, "a", table[i].ipv4);
		node = node_at(&w, 1, 10);
		assert_int_equal(node->ipv4.family != ADDR_NONE, table[i].given);
		assert_int_equal(node->remark == NULL, table[i].given);
		netmap_free(w.map);
	}
}

static void names_and_addresses_belong_to_the_earlier_node(void **state)
{
	struct world *w = *state;
	struct record_row *first, *second;

	add_dnet(w, 1, "10.0.0.0/24");
	/* Height decides before anything else, then the index in the block; keys do not. */
	second = add_node(w, 1, 11, 2, "a", "10.0.0.1");
	second->record.node_put.ipv6 = address("fd01::1");
	first = add_node(w, 2, 10, 1, "a", "10.0.0.1");
	first->record.node_put.ipv6 = address("fd01::1");
	assert_string_equal(node_at(w, 2, 11)->name, "a");
	assert_int_equal(node_at(w, 2, 11)->ipv4.family, ADDR_V4);
	assert_int_equal(node_at(w, 2, 11)->extra_ipv6.family, ADDR_V6);
	assert_null(node_at(w, 2, 11)->remark);
	assert_string_equal(node_at(w, 1, 11)->name, "");
	assert_int_equal(node_at(w, 1, 11)->ipv4.family, ADDR_NONE);
	assert_int_equal(node_at(w, 1, 11)->extra_ipv6.family, ADDR_NONE);
	assert_non_null(node_at(w, 1, 11)->remark);
	assert_int_equal(node_at(w, 1, 11)->ipv6.family, ADDR_V6);
	/* As long as that one is in force. */
	revoke(w, first, RECORD_NODE_DEL, 3, 0);
	assert_string_equal(node_at(w, 1, 11)->name, "a");
	assert_int_equal(node_at(w, 1, 11)->ipv4.family, ADDR_V4);
	assert_null(node_at(w, 1, 11)->remark);
}

static void names_differ_by_their_last_character(void **state)
{
	struct world *w = *state;

	add_dnet(w, 1, NULL);
	add_node(w, 1, 2, 1, "a-name-of-two-and-thirty-letters", NULL);
	add_node(w, 2, 2, 2, "a-name-of-two-and-thirty-letter5", NULL);
	add_node(w, 3, 2, 3, "a-name-of-two-and-thirty-letter", NULL);
	for (uint8_t n = 1; n <= 3; n++)
		assert_null(node_at(w, n, 2)->remark);
}

static void an_address_that_two_keys_give_belongs_to_the_earlier_one(void **state)
{
	struct world *w = *state;

	add_dnet(w, 1, NULL);
	add_node(w, SAME_ADDRESS, 2, 1, "", NULL);
	add_node(w, 1, 3, 2, "", NULL);
	assert_int_equal(node_at(w, SAME_ADDRESS, 3)->ipv6.family, ADDR_V6);
	assert_null(node_at(w, SAME_ADDRESS, 3)->remark);
	assert_int_equal(node_at(w, 1, 3)->ipv6.family, ADDR_NONE);
	assert_non_null(node_at(w, 1, 3)->remark);
}

static void order_is_height_then_place_in_the_block(void **state)
{
	static const uint32_t places[][3] = {{1, 0, 1}, {1, 1, 0},   {2, 0, 0},
					     {1, 0, 8}, {1, 256, 0}, {65537, 0, 0}};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct world w = {0};
		struct record_row *late;

		add_dnet(&w, 1, NULL);
		late = add_node(&w, 1, 10, 1, "a", NULL);
		late->tx_index = places[i][0];
		late->out_index = places[i][1];
		late->pos = places[i][2];
		add_node(&w, 2, 10, 1, "a", NULL);
		assert_string_equal(node_at(&w, 2, 10)->name, "a");
		assert_string_equal(node_at(&w, 1, 10)->name, "");
		netmap_free(w.map);
	}
}

static void a_further_ipv6_inside_the_own_prefix_is_not_given(void **state)
{
	struct world *w = *state;
	struct record_row *row;
	struct node_key k = key(9);

	add_dnet(w, 1, NULL);
	row = add_node(w, 1, 10, 1, "a", NULL);
	node_address_derive(&row->object, &k, &row->record.node_put.ipv6);
	assert_int_equal(node_at(w, 1, 10)->extra_ipv6.family, ADDR_NONE);
	assert_non_null(node_at(w, 1, 10)->remark);
}

static void a_helper_needs_link_and_grant_and_both_objects(void **state)
{
	struct world *w = *state;
	struct record_row *link, *grant, *create;

	add_dnet(w, 1, NULL);
	create = add_helper(w, OVC, 5);
	assert_int_equal(build_at(w, 20, 1)->helper_count, 0);
	link = add_link(w, OVC, 6, 1);
	assert_int_equal(build_at(w, 20, 1)->helper_count, 0);
	grant = add_grant(w, OVC, 7, 1, 0);
	assert_int_equal(build_at(w, 20, 1)->helper_count, 1);
	assert_int_equal(build_at(w, 6, 1)->helper_count, 0);
	grant->record.grant.dnet = object(OTHER);
	assert_int_equal(build_at(w, 20, 1)->helper_count, 0);
	grant->record.grant.dnet = object(DNET);
	link->record.link.kind = OVR;
	assert_int_equal(build_at(w, 20, 1)->helper_count, 0);
	link->record.link.kind = OVC;
	revoke(w, grant, RECORD_REVOKE, 2, 0);
	assert_int_equal(build_at(w, 20, 1)->helper_count, 0);
	add_grant(w, OVC, 21, 3, 0);
	assert_int_equal(build_at(w, 21, 1)->helper_count, 1);
	revoke(w, create, RECORD_CLOSE, 4, 0);
	assert_int_equal(build_at(w, 21, 1)->helper_count, 0);
}

static void a_grant_ends_after_its_expiry_height(void **state)
{
	struct world *w = *state;

	add_dnet(w, 1, NULL);
	add_helper(w, OVR, 5);
	add_link(w, OVR, 6, 1);
	add_grant(w, OVR, 7, 1, 30);
	assert_int_equal(build_at(w, 29, 1)->helper_count, 1);
	assert_int_equal(build_at(w, 30, 1)->helper_count, 1);
	assert_int_equal(build_at(w, 31, 1)->helper_count, 0);
}

static void helpers_are_sorted_and_take_eight_endpoints(void **state)
{
	struct world *w = *state;
	struct record_row *row;

	add_dnet(w, 1, NULL);
	add_helper(w, OVR, 5);
	add_helper(w, OVC, 5);
	add_link(w, OVR, 6, 1);
	add_link(w, OVC, 6, 1);
	add_grant(w, OVR, 7, 1, 0);
	add_grant(w, OVC, 7, 1, 0);
	for (uint32_t i = NETMAP_ENDPOINTS; i-- > 0;) {
		row = add_row(w, OVC, 10 + i, 2, RECORD_ENDPOINT_PUT);
		row->record.endpoint.port = (uint16_t)(1000 + i);
	}
	build_at(w, 50, 1);
	assert_int_equal(w->map->helper_count, 2);
	assert_int_equal(w->map->helpers[0].kind, OVC);
	assert_int_equal(w->map->helpers[1].kind, OVR);
	assert_int_equal(w->map->helpers[0].endpoint_count, NETMAP_ENDPOINTS);
	row = add_row(w, OVC, 30, 2, RECORD_ENDPOINT_PUT);
	row->record.endpoint.port = 2000;
	build_at(w, 50, 1);
	assert_int_equal(w->map->helpers[0].endpoint_count, NETMAP_ENDPOINTS);
	for (uint16_t i = 0; i < NETMAP_ENDPOINTS; i++)
		assert_int_equal(w->map->helpers[0].endpoints[i].port, 1000 + i);
	row->record.endpoint.port = 1003;
	revoke(w, row, RECORD_ENDPOINT_DEL, 3, 0);
	assert_int_equal(build_at(w, 50, 1)->helpers[0].endpoint_count, NETMAP_ENDPOINTS - 1);
}

static void helpers_of_one_kind_are_sorted_by_priority(void **state)
{
	struct world *w = *state;
	struct record_row *row;

	add_dnet(w, 1, NULL);
	for (uint8_t n = 0; n < 3; n++) {
		row = add_helper(w, OVC, 5);
		row->object = object((uint8_t)(50 + n));
		row = add_link(w, OVC, 6, 1);
		row->record.link.id = object((uint8_t)(50 + n));
		row->record.link.priority = n ? (uint8_t)(3 - n) : 2;
		row = add_grant(w, OVC, 7, 1, 0);
		row->object = object((uint8_t)(50 + n));
	}
	build_at(w, 10, 1);
	assert_int_equal(w->map->helper_count, 3);
	assert_int_equal(w->map->helpers[0].id.bytes[0], 52);
	assert_int_equal(w->map->helpers[1].id.bytes[0], 50);
	assert_int_equal(w->map->helpers[2].id.bytes[0], 51);
}

static void nodes_are_found_by_key_and_name(void **state)
{
	struct world *w = *state;
	struct node_key absent = key(40);

	add_dnet(w, 1, NULL);
	assert_null(netmap_find_node(build_at(w, 10, 1), &absent));
	for (uint8_t n = 20; n > 0; n--) {
		char name[2] = {(char)('a' + n), 0};

		add_node(w, n, 10, 1, name, NULL)->pos = n;
	}
	add_node(w, 21, 10, 1, "", NULL);
	build_at(w, 10, 1);
	for (uint8_t n = 1; n <= 20; n++) {
		char name[2] = {(char)('a' + n), 0};
		struct node_key k = key(n);

		assert_ptr_equal(netmap_find_node(w->map, &k), &w->map->nodes[n - 1]);
		assert_ptr_equal(netmap_find_name(w->map, name), &w->map->nodes[n - 1]);
	}
	assert_null(netmap_find_node(w->map, &absent));
	assert_null(netmap_find_name(w->map, "nobody"));
	assert_null(netmap_find_name(w->map, ""));
}

static void each_failing_allocation_is_reported(void **state)
{
	struct world *w = *state;
	struct netmap_input in = {.id = object(DNET), .tip_height = 20, .confirm = 1};
	struct netmap *map = NULL;
	int err = -ENOMEM;

	add_dnet(w, 1, NULL);
	add_node(w, 1, 10, 1, "a", NULL);
	in.rows = w->rows;
	in.row_count = w->row_count;
	for (failing_allocation = 0; err == -ENOMEM; failing_allocation++) {
		allocations = 0;
		assert_null(map);
		err = netmap_build(&in, &map);
	}
	failing_allocation = -1;
	assert_int_equal(err, 0);
	assert_int_equal(allocations, 7);
	assert_non_null(map);
	netmap_free(map);
	netmap_free(NULL);
}

struct steps {
	unsigned count[DNET_CHANGED + 1];
	bool added_before_removed;
};

static void count_step(void *ctx, const struct netmap_step *step)
{
	struct steps *s = ctx;

	s->count[step->kind]++;
	if ((step->kind == NODE_REMOVED || step->kind == HELPER_REMOVED) &&
	    (s->count[NODE_ADDED] || s->count[HELPER_ADDED]))
		s->added_before_removed = true;
}

static struct steps diff(const struct netmap *old, const struct netmap *new)
{
	struct steps s = {{0}};

	netmap_diff(old, new, count_step, &s);
	assert_false(s.added_before_removed);
	return s;
}

static void a_difference_names_each_change_once(void **state)
{
	struct world *w = *state;
	struct record_row *row;
	struct netmap *old;
	struct steps s;

	add_dnet(w, 1, "10.0.0.0/24");
	add_node(w, 1, 10, 1, "a", NULL);
	row = add_node(w, 2, 10, 1, "b", "10.0.0.2");
	add_helper(w, OVC, 5);
	add_link(w, OVC, 6, 1);
	add_grant(w, OVC, 7, 1, 0);
	build_at(w, 10, 1);
	s = diff(NULL, w->map);
	assert_int_equal(s.count[DNET_CHANGED], 1);
	assert_int_equal(s.count[NODE_ADDED], 2);
	assert_int_equal(s.count[HELPER_ADDED], 1);
	old = steal_map(w);
	build_at(w, 11, 1);
	s = diff(old, w->map);
	for (int i = 0; i <= DNET_CHANGED; i++)
		assert_int_equal(s.count[i], 0);
	row->record.node_put.ipv4.bytes[3] = 3;
	row = add_row(w, OVC, 11, 2, RECORD_ENDPOINT_PUT);
	row->record.endpoint.port = 1;
	add_node(w, 3, 11, 2, "c", NULL);
	w->rows[1].to_height = 11;
	build_at(w, 11, 1);
	s = diff(old, w->map);
	assert_int_equal(s.count[DNET_CHANGED], 0);
	assert_int_equal(s.count[NODE_REMOVED], 1);
	assert_int_equal(s.count[NODE_CHANGED], 1);
	assert_int_equal(s.count[NODE_ADDED], 1);
	assert_int_equal(s.count[HELPER_CHANGED], 1);
	s = diff(w->map, old);
	assert_int_equal(s.count[NODE_REMOVED], 1);
	assert_int_equal(s.count[NODE_ADDED], 1);
	netmap_free(old);
}

static void a_node_is_found_by_its_key_wherever_the_key_stands(void **state)
{
	static const uint8_t numbers[] = {1, 2, 4, 7, 9};
	struct world *w = *state;
	const struct netmap *map;
	size_t at = 0;

	add_dnet(w, 1, "10.0.0.0/24");
	for (size_t i = 0; i < sizeof(numbers); i++)
		add_node(w, numbers[i], 10, 0, "", "10.0.0.9");
	map = build_at(w, 20, 1);
	assert_int_equal(map->node_count, sizeof(numbers));
	for (size_t i = 0; i < map->node_count; i++) {
		struct node_key copy = map->nodes[i].key;

		assert_ptr_equal(netmap_find_node(map, &copy), &map->nodes[i]);
		assert_ptr_equal(netmap_find_node(map, &map->nodes[i].key), &map->nodes[i]);
	}
	/* In rising order, those that are not there in between. */
	for (uint8_t n = 0; n < 12; n++) {
		struct node_key k = key(n);

		assert_ptr_equal(netmap_next_node(map, &at, &k), netmap_find_node(map, &k));
	}
	assert_int_equal(at, map->node_count);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(an_addition_counts_from_its_depth_on),
		T(a_node_is_found_by_its_key_wherever_the_key_stands),
		T(a_dnet_without_a_create_in_force_has_no_nodes),
		T(what_is_replaced_counts_until_its_successor_is_deep_enough),
		T(a_revocation_counts_at_depth_zero_and_whatever_happens_to_it),
		T(only_a_higher_sequence_adds_again),
		T(a_revocation_hides_only_what_it_names),
		T(an_endpoint_is_revoked_by_the_whole_of_it),
		T(a_close_ends_the_dnet_for_ever),
		T(the_last_transfer_and_roster_in_force_count),
		T(an_ipv4_address_is_a_host_of_the_prefix),
		T(names_and_addresses_belong_to_the_earlier_node),
		T(names_differ_by_their_last_character),
		T(an_address_that_two_keys_give_belongs_to_the_earlier_one),
		T(order_is_height_then_place_in_the_block),
		T(a_further_ipv6_inside_the_own_prefix_is_not_given),
		T(a_helper_needs_link_and_grant_and_both_objects),
		T(a_grant_ends_after_its_expiry_height),
		T(helpers_are_sorted_and_take_eight_endpoints),
		T(helpers_of_one_kind_are_sorted_by_priority),
		T(nodes_are_found_by_key_and_name),
		T(each_failing_allocation_is_reported),
		T(a_difference_names_each_change_once),
	};

	return cmocka_run_group_tests_name("core/netmap", tests, NULL, NULL);
}
