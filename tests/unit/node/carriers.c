#include "fixture/test.h"

#include "fixture/temp.h"

#include "adapters/adapter.h"
#include "core/acl.h"
#include "core/filter.h"
#include "core/mesh.h"
#include "node/carriers.h"
#include "node/slot.h"
#include "os/clock.h"
#include "sim/pair.h"
#include "sim/parts.h"
#include "wire/hex.h"

#include <errno.h>
#include <string.h>

/* Who carries whom, with members of tests/sim that really tell each other, and backends that note
 * what they are given. */

uint64_t __wrap_clock_wall_s(void);
const struct adapter_ops *__wrap_adapter_find_backend(enum backend backend);

static struct world *world_of_test;

/* Dates of statements are of the same time as the members' clocks. */
uint64_t __wrap_clock_wall_s(void)
{
	return world_now(world_of_test) / SIM_SECOND;
}

/* ---- Backends that note ---- */

enum { KINDS = 5, NOTED_PEERS = 4 };

struct noted_peer {
	struct node_key node;
	uint8_t key[ADAPTER_KEY_MAX];
	size_t key_len;
	struct endpoint endpoints[ADAPTER_ENDPOINTS_MAX];
	size_t endpoint_count;
};

struct adapter {
	unsigned kind;
};

/* Of one backend of the member under test. */
struct noted {
	bool fails; /* to start */
	uint8_t key[ADAPTER_KEY_MAX];
	size_t key_len; /* 0: it needs none */
	uint16_t port;
	struct endpoint endpoints[ADAPTER_ENDPOINTS_MAX];
	size_t endpoint_count;
	unsigned applied;
	struct noted_peer peers[NOTED_PEERS];
	size_t peer_count;
	struct adapter_hub hubs[ADAPTER_HUBS_MAX];
	struct endpoint hub_endpoint;
	uint8_t hub_key[ADAPTER_KEY_MAX];
	size_t hub_count;
	unsigned stored; /* keys of peers that stood on the disk when they were applied */
};

static struct noted noted[KINDS + 1]; /* by enum backend */
static struct temp temp;

static bool is_on_disk(const uint8_t *key, size_t len)
{
	char name[64], path[256], dnet[2 * OBJECT_ID_LEN + 1], hex[2 * ADAPTER_KEY_MAX + 1];
	static char text[65536];
	size_t n = 0;
	FILE *f;

	hex_format(world_dnet(world_of_test)->bytes, OBJECT_ID_LEN, dnet);
	hex_format(key, len, hex);
	snprintf(name, sizeof(name), "statements-%s.json", dnet);
	f = fopen(temp_file(&temp, name, path), "r");
	if (f) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[n] = '\0';
	return strstr(text, hex) != NULL;
}

/* As a disk that takes nothing; or it is back. */
static void folder_goes(bool away)
{
	char there[sizeof(temp.path) + 8];

	snprintf(there, sizeof(there), "%s.away", temp.path);
	assert_int_equal(rename(away ? temp.path : there, away ? there : temp.path), 0);
}

static int fake_probe(const char *program, enum adapter_device *ret_device,
		      char error[static ADAPTER_ERROR_MAX])
{
	*ret_device = ADAPTER_DEVICE_NONE;
	return 0;
}

static int start_kind(unsigned kind, struct adapter **ret_adapter)
{
	if (noted[kind].fails)
		return -ENOSYS;
	*ret_adapter = calloc(1, sizeof(**ret_adapter));
	(*ret_adapter)->kind = kind;
	return 0;
}

static int fake_apply(struct adapter *a, const struct adapter_plan *plan, uint64_t now)
{
	struct noted *n = &noted[a->kind];

	n->applied++;
	n->peer_count = plan->peer_count;
	assert_true(plan->peer_count <= NOTED_PEERS);
	for (size_t i = 0; i < plan->peer_count; i++) {
		const struct adapter_peer *p = &plan->peers[i];
		struct noted_peer *mine = &n->peers[i];

		assert_true(!i || memcmp(&p[-1].node->key, &p->node->key, PUBKEY_LEN) < 0);
		memset(mine, 0, sizeof(*mine));
		mine->node = p->node->key;
		mine->key_len = p->key ? p->key_len : 0;
		if (p->key) {
			memcpy(mine->key, p->key, p->key_len);
			n->stored += is_on_disk(p->key, p->key_len);
		}
		assert_true(p->endpoint_count <= ADAPTER_ENDPOINTS_MAX);
		mine->endpoint_count = p->endpoint_count;
		for (size_t e = 0; e < p->endpoint_count; e++)
			mine->endpoints[e] = p->endpoints[e];
	}
	n->hub_count = plan->hub_count;
	for (size_t i = 0; i < plan->hub_count; i++) {
		n->hubs[i] = plan->hubs[i];
		memcpy(n->hub_key, plan->hubs[i].key, plan->hubs[i].key_len);
		if (plan->hubs[i].endpoint_count)
			n->hub_endpoint = plan->hubs[i].endpoints[0];
	}
	return 0;
}

static void fake_offer(const struct adapter *a, struct adapter_offer *ret_offer)
{
	const struct noted *n = &noted[a->kind];

	*ret_offer = (struct adapter_offer){.key = n->key_len ? n->key : NULL,
					    .key_len = n->key_len,
					    .port = n->port,
					    .endpoints = n->endpoints,
					    .endpoint_count = n->endpoint_count};
}

static void fake_status(const struct adapter *a, struct adapter_status *ret_status)
{
	*ret_status = (struct adapter_status){.applied = true};
}

static void fake_teardown(struct adapter *a)
{
	free(a);
}

#define KIND(number)                                                                               \
	static int start_##number(const struct adapter_host *host, struct adapter **ret_adapter)   \
	{                                                                                          \
		return start_kind(number, ret_adapter);                                            \
	}
KIND(1)
KIND(2)
KIND(3)
KIND(4)
KIND(5)
#undef KIND

#define OPS(number, text)                                                                          \
	{                                                                                          \
		.name = text, .summary = text, .backend = (enum backend)(number),                  \
		.program = PROGRAM_COUNT, .probe = fake_probe, .start = start_##number,            \
		.apply = fake_apply, .offer = fake_offer, .status = fake_status,                   \
		.teardown = fake_teardown                                                          \
	}
static const struct adapter_ops kinds[KINDS + 1] = {
	[1] = OPS(1, "native"), [2] = OPS(2, "wireguard"), [3] = OPS(3, "tinc"),
	[4] = OPS(4, "exec"),	[5] = OPS(5, "fifth"),
};
#undef OPS

/* Names are of these, whatever is built in. */
const struct adapter_ops *__wrap_adapter_find_backend(enum backend backend)
{
	return (int)backend <= (int)KINDS ? &kinds[backend] : NULL;
}

/* ---- The member under test, and another one ---- */

struct test {
	struct pair p;
	struct member *me, *other; /* me has the smaller key when that was asked for */
	struct carriers *carriers;
	struct slot *slots[SLOTS_MAX];
	size_t slot_count;
	bool stored; /* as carriers_apply() said last */
};

static const struct netmap_node *node_of(const struct test *t, const struct member *m)
{
	return netmap_find_node(mesh_netmap(member_mesh(t->me)), member_key(m));
}

/* list: enum backend, 0 ends it. */
static void begin(struct test *t, bool smaller, const unsigned *list)
{

	memset(t, 0, sizeof(*t));
	pair_make(&t->p, 500, NO_NAT, NO_NAT);
	world_of_test = t->p.w;
	bool alice_first = memcmp(member_key(t->p.alice), member_key(t->p.bob), PUBKEY_LEN) < 0;
	t->me = alice_first == smaller ? t->p.alice : t->p.bob;
	t->other = t->me == t->p.alice ? t->p.bob : t->p.alice;
	struct slot_env env = {.state_folder = temp.path, .identity = &t->me->identity};
	struct slot_io io = {0};
	for (; list[t->slot_count]; t->slot_count++)
		t->slots[t->slot_count] = slot_new(&env, &io, &kinds[list[t->slot_count]], "test",
						   (uint32_t)t->slot_count);
	t->carriers = carriers_new(&(struct carriers_env){.curve = t->p.w->id,
							  .identity = &t->me->identity,
							  .dnet = *world_dnet(t->p.w),
							  .state_folder = temp.path,
							  .slots = t->slots,
							  .slot_count = t->slot_count});
	carriers_set_mesh(t->carriers, member_mesh(t->me), member_now(t->me));
	member_set_control_persistent(t->me, true);
}

/* As node/overlay does after news: the slots started, the plan made. */
static void plan(struct test *t)
{
	const struct member_news *news = member_news(t->me);

	for (size_t i = 0; i < t->slot_count; i++)
		slot_start(t->slots[i], member_mesh(t->me));
	if (news->statements)
		carriers_take_statement(t->carriers, &news->statement);
	t->stored = carriers_apply(t->carriers, mesh_netmap(member_mesh(t->me)), member_now(t->me));
	machine_schedule(t->me->machine);
}

static void end(struct test *t)
{

	carriers_set_mesh(t->carriers, NULL, 0);
	for (size_t i = 0; i < t->slot_count; i++)
		slot_free(t->slots[i]);
	carriers_free(t->carriers);
	world_free(t->p.w);
}

static struct statement key_of(struct test *t, struct member *m, uint8_t backend, uint64_t date,
			       uint8_t fill)
{
	struct statement s = {.backend = backend,
			      .kind = OBJECT_DNET,
			      .object = *world_dnet(t->p.w),
			      .date = date,
			      .key_len = 32};

	memset(s.key, fill, s.key_len);
	member_sign(m, &s);
	return s;
}

/* What the other offers, in this order; key: of those that are not native. */
static void others_offer(struct test *t, const unsigned *list, const struct statement *key)
{
	struct mesh_offer o = {0};

	for (; list[o.count]; o.count++) {
		o.list[o.count].backend = (uint8_t)list[o.count];
		o.list[o.count].port = (uint16_t)(7000 + list[o.count]);
		if (key && key->backend == list[o.count])
			o.list[o.count].statement = key;
	}
	member_set_offer(t->other, &o);
	world_run(t->p.w, 10 * SIM_SECOND);
}

static struct mesh_offer seen_by_other(const struct test *t)
{
	struct mesh_offer o = {0};

	assert_true(mesh_peer_offer(member_mesh(t->other), member_key(t->me), &o));
	return o;
}

/* One of them makes a service for each direction and family. */
static void set_rules(struct test *t, size_t count)
{
	struct acl_rule *rules = calloc(count, sizeof(*rules));

	for (size_t i = 0; i < count; i++) {
		rules[i].protocol = 6;
		rules[i].port_low = rules[i].port_high = (uint16_t)(1 + i);
	}
	assert_int_equal(member_set_policy(t->me, rules, count), 0);
	free(rules);
}

#define LIST(...)                                                                                  \
	(const unsigned[])                                                                         \
	{                                                                                          \
		__VA_ARGS__, 0                                                                     \
	}

static const char *name_of_pair(const struct test *t)
{
	int slot = carriers_slot(t->carriers, node_of(t, t->other));

	return slot < 0 ? "none" : slot_ops(t->slots[slot])->name;
}

/* ---- Tests ---- */

static void a_policy_that_is_too_large_for_the_filter_is_said(void **state)
{
	const char *error = NULL;
	struct test t;

	begin(&t, true, LIST(BACKEND_TINC));
	set_rules(&t, FILTER_SERVICES_MAX / 4);
	plan(&t);
	(void)slot_filter_is_good(t.slots[0], &error);
	assert_null(error);
	set_rules(&t, FILTER_SERVICES_MAX / 4 + 1);
	plan(&t);
	assert_false(slot_filter_is_good(t.slots[0], &error));
	assert_string_equal(error, "no packet passes: the policy is too large (at most 256 "
				   "services, 65536 addresses): it needs fewer rules");
	set_rules(&t, 1);
	plan(&t);
	(void)slot_filter_is_good(t.slots[0], &error);
	assert_null(error);
	end(&t);
}

static void a_member_that_says_nothing_is_carried_natively(void **state)
{
	char text[CARRIERS_TEXT_MAX];
	struct test t;

	begin(&t, true, LIST(BACKEND_TINC, BACKEND_NATIVE));
	plan(&t);
	assert_string_equal(name_of_pair(&t), "native");
	assert_string_equal(carriers_reason(t.carriers, node_of(&t, t.other), text), "");
	assert_string_equal(carriers_choice(t.carriers, node_of(&t, t.other), text),
			    "native is the first that this node would rather have (tinc, native) "
			    "and it offers too (native): of a pair, the one with the smaller key "
			    "chooses");
	/* It needs no plan of its peers, however many there are. */
	assert_int_equal(noted[BACKEND_NATIVE].peer_count, 0);
	assert_int_equal(noted[BACKEND_NATIVE].applied, 1);
	assert_int_equal(noted[BACKEND_TINC].peer_count, 0);
	assert_int_equal(noted[BACKEND_TINC].applied, 1);
	end(&t);
}

static void the_order_of_the_smaller_key_decides(void **state)
{
	static const struct {
		bool smaller;
		unsigned mine[4], theirs[4];
		const char *want;
	} rows[] = {
		{true, {2, 3, 0}, {3, 2, 0}, "wireguard"},
		{false, {2, 3, 0}, {3, 2, 0}, "tinc"},
		{true, {3, 1, 0}, {2, 1, 0}, "native"},
		{false, {4, 2, 1, 0}, {1, 4, 0}, "native"},
		{true, {4, 2, 1, 0}, {1, 4, 0}, "exec"},
		{true, {2, 0}, {1, 3, 0}, "none"},
		{false, {1, 0}, {2, 0}, "none"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[CARRIERS_TEXT_MAX];
		struct test t;

		begin(&t, rows[i].smaller, rows[i].mine);
		plan(&t);
		others_offer(&t, rows[i].theirs, NULL);
		plan(&t);
		assert_string_equal(name_of_pair(&t), rows[i].want);
		carriers_choice(t.carriers, node_of(&t, t.other), text);
		assert_true(!strcmp(rows[i].want, "none") ||
			    !strncmp(text, rows[i].want, strlen(rows[i].want)));
		assert_int_equal(strstr(text, "that this node would rather") != NULL,
				 rows[i].smaller && strcmp(rows[i].want, "none") != 0);
		end(&t);
	}
}

static void without_one_in_common_the_reason_names_both_offers(void **state)
{
	char text[CARRIERS_TEXT_MAX];
	struct test t;

	begin(&t, true, LIST(BACKEND_WIREGUARD, BACKEND_EXEC));
	plan(&t);
	others_offer(&t, LIST(BACKEND_NATIVE, 77), NULL);
	plan(&t);
	assert_string_equal(carriers_reason(t.carriers, node_of(&t, t.other), text),
			    "no backend in common: it offers native, another, this node offers "
			    "wireguard, exec");
	assert_int_equal(noted[BACKEND_WIREGUARD].peer_count, 0);
	assert_int_equal(noted[BACKEND_EXEC].peer_count, 0);
	end(&t);
}

static void what_does_not_start_is_not_offered(void **state)
{
	struct test t;
	char text[CARRIERS_TEXT_MAX];

	noted[BACKEND_WIREGUARD].fails = true;
	begin(&t, true, LIST(BACKEND_WIREGUARD, BACKEND_NATIVE));
	plan(&t);
	others_offer(&t, LIST(BACKEND_WIREGUARD, BACKEND_NATIVE), NULL);
	plan(&t);
	assert_string_equal(name_of_pair(&t), "native");
	assert_int_equal(seen_by_other(&t).count, 1);
	assert_int_equal(seen_by_other(&t).list[0].backend, BACKEND_NATIVE);
	others_offer(&t, LIST(BACKEND_WIREGUARD), NULL);
	plan(&t);
	assert_string_equal(carriers_reason(t.carriers, node_of(&t, t.other), text),
			    "no backend in common: it offers wireguard, this node offers native");
	/* It starts later: offered then, and taken. */
	noted[BACKEND_WIREGUARD].fails = false;
	plan(&t);
	world_run(t.p.w, 10 * SIM_SECOND);
	assert_int_equal(seen_by_other(&t).count, 2);
	assert_string_equal(name_of_pair(&t), "wireguard");
	end(&t);
}

static void four_backends_are_offered_in_order(void **state)
{
	struct mesh_offer seen;
	struct test t;

	for (unsigned kind = 2; kind <= KINDS; kind++) {
		noted[kind].key_len = kind == BACKEND_TINC ? ADAPTER_KEY_MAX : 32;
		memset(noted[kind].key, (int)(0x30 + kind), noted[kind].key_len);
		noted[kind].port = (uint16_t)(6000 + kind);
		noted[kind].endpoint_count = ADAPTER_ENDPOINTS_MAX;
		for (size_t i = 0; i < ADAPTER_ENDPOINTS_MAX; i++)
			noted[kind].endpoints[i] = (struct endpoint){
				{ADDR_V4, {192, 0, 2, (uint8_t)i}}, (uint16_t)(100 + kind)};
	}
	begin(&t, true, LIST(5, BACKEND_EXEC, BACKEND_TINC, BACKEND_WIREGUARD));
	plan(&t);
	world_run(t.p.w, 10 * SIM_SECOND);
	seen = seen_by_other(&t);
	assert_int_equal(seen.count, SLOTS_MAX);
	for (unsigned i = 0; i < seen.count; i++) {
		const struct mesh_backend *b = &seen.list[i];
		const struct noted *n = &noted[5 - i];

		assert_int_equal(b->backend, 5 - i);
		assert_int_equal(b->port, n->port);
		assert_int_equal(b->endpoint_count, MESH_BACKEND_ENDPOINTS);
		assert_non_null(b->statement);
		assert_int_equal(b->statement->key_len, n->key_len);
		assert_memory_equal(b->statement->key, n->key, n->key_len);
	}
	end(&t);
}

static void an_offer_that_changes_moves_the_pair(void **state)
{
	struct statement key;
	struct test t;

	begin(&t, true, LIST(BACKEND_WIREGUARD, BACKEND_TINC));
	key = key_of(&t, t.other, BACKEND_WIREGUARD, 5, 0x77);
	plan(&t);
	others_offer(&t, LIST(BACKEND_TINC, BACKEND_WIREGUARD), &key);
	plan(&t);
	assert_int_equal(noted[BACKEND_WIREGUARD].peer_count, 1);
	assert_int_equal(noted[BACKEND_TINC].peer_count, 0);
	assert_int_equal(noted[BACKEND_WIREGUARD].peers[0].key[0], 0x77);
	others_offer(&t, LIST(BACKEND_TINC), NULL);
	plan(&t);
	assert_int_equal(noted[BACKEND_WIREGUARD].peer_count, 0);
	assert_int_equal(noted[BACKEND_TINC].peer_count, 1);
	/* No key of it has been said. */
	assert_int_equal(noted[BACKEND_TINC].peers[0].key_len, 0);
	end(&t);
}

static void a_removed_member_is_in_no_plan(void **state)
{
	struct statement key;
	struct test t;

	begin(&t, true, LIST(BACKEND_WIREGUARD));
	key = key_of(&t, t.other, BACKEND_WIREGUARD, 5, 0x77);
	plan(&t);
	others_offer(&t, LIST(BACKEND_WIREGUARD), &key);
	plan(&t);
	assert_int_equal(noted[BACKEND_WIREGUARD].peer_count, 1);
	world_revoke(t.p.w, t.other);
	member_publish(t.me);
	plan(&t);
	assert_int_equal(noted[BACKEND_WIREGUARD].peer_count, 0);
	assert_false(is_on_disk(key.key, key.key_len));
	end(&t);
}

static void a_key_is_stored_before_it_is_applied(void **state)
{
	struct statement key;
	struct test t;

	begin(&t, true, LIST(BACKEND_WIREGUARD));
	key = key_of(&t, t.other, BACKEND_WIREGUARD, 5, 0x5a);
	plan(&t);
	others_offer(&t, LIST(BACKEND_WIREGUARD), &key);
	assert_false(is_on_disk(key.key, key.key_len));
	plan(&t);
	assert_int_equal(noted[BACKEND_WIREGUARD].peers[0].key_len, 32);
	assert_int_equal(noted[BACKEND_WIREGUARD].stored, 1);
	end(&t);
}

static void a_key_that_cannot_be_stored_is_not_applied(void **state)
{
	struct statement key;
	struct test t;

	begin(&t, true, LIST(BACKEND_WIREGUARD));
	key = key_of(&t, t.other, BACKEND_WIREGUARD, 5, 0x5b);
	plan(&t);
	others_offer(&t, LIST(BACKEND_WIREGUARD), &key);
	folder_goes(true);
	plan(&t);
	assert_false(t.stored);
	assert_int_equal(noted[BACKEND_WIREGUARD].peer_count, 1);
	assert_int_equal(noted[BACKEND_WIREGUARD].peers[0].key_len, 0);
	folder_goes(false);
	plan(&t);
	assert_true(t.stored);
	assert_int_equal(noted[BACKEND_WIREGUARD].peers[0].key[0], 0x5b);
	assert_int_equal(noted[BACKEND_WIREGUARD].stored, 1);
	end(&t);
}

/* A key of our own that could not be stored is said to nobody: a later one might get an older date.
 */
static void a_key_of_our_own_that_cannot_be_stored_is_not_offered(void **state)
{
	struct test t;

	noted[BACKEND_WIREGUARD].key_len = 32;
	noted[BACKEND_WIREGUARD].key[0] = 9;
	begin(&t, true, LIST(BACKEND_WIREGUARD, BACKEND_NATIVE));
	folder_goes(true);
	plan(&t);
	assert_false(t.stored);
	world_run(t.p.w, 10 * SIM_SECOND);
	assert_int_equal(seen_by_other(&t).count, 1);
	folder_goes(false);
	plan(&t);
	world_run(t.p.w, 10 * SIM_SECOND);
	assert_int_equal(seen_by_other(&t).count, 2);
	end(&t);
}

static void the_way_of_the_mesh_is_tried_first_and_nothing_twice(void **state)
{
	const struct noted_peer *peer = &noted[BACKEND_WIREGUARD].peers[0];
	struct endpoint path = {0};
	struct mesh_offer o = {.count = 1};
	struct test t;

	begin(&t, true, LIST(BACKEND_WIREGUARD));
	plan(&t);
	path = sim_host_endpoint(member_host(t.other));
	o.list[0] = (struct mesh_backend){.backend = BACKEND_WIREGUARD, .port = 51820};
	o.list[0].endpoint_count = MESH_BACKEND_ENDPOINTS;
	for (size_t i = 0; i < MESH_BACKEND_ENDPOINTS; i++)
		o.list[0].endpoints[i] =
			(struct endpoint){{ADDR_V4, {192, 0, 2, (uint8_t)i}}, 51820};
	o.list[0].endpoints[3] = (struct endpoint){path.addr, 51820};
	member_set_offer(t.other, &o);
	world_run(t.p.w, 10 * SIM_SECOND);
	plan(&t);
	assert_int_equal(noted[BACKEND_WIREGUARD].peer_count, 1);
	assert_true(address_equal(&peer->endpoints[0].addr, &path.addr));
	assert_int_equal(peer->endpoints[0].port, 51820);
	assert_true(peer->endpoint_count >= MESH_BACKEND_ENDPOINTS);
	for (size_t i = 0; i < peer->endpoint_count; i++)
		for (size_t j = 0; j < i; j++)
			assert_false(endpoint_equal(&peer->endpoints[i], &peer->endpoints[j]));
	end(&t);
}

static void the_hub_of_an_ovc_is_in_the_plan_of_its_backend(void **state)
{
	struct statement s = {
		.backend = BACKEND_TINC, .kind = OBJECT_OVC, .date = 3, .key_len = 270};
	struct test t;

	begin(&t, true, LIST(BACKEND_TINC, BACKEND_WIREGUARD));
	s.object = *server_object(t.p.ovc);
	memset(s.key, 0x48, s.key_len);
	server_sign(t.p.ovc, &s);
	server_add_hub(t.p.ovc, world_dnet(t.p.w), 1655, &s);
	world_run(t.p.w, 20 * SIM_SECOND);
	plan(&t);
	assert_int_equal(noted[BACKEND_WIREGUARD].hub_count, 0);
	assert_int_equal(noted[BACKEND_TINC].hub_count, 1);
	assert_int_equal(noted[BACKEND_TINC].hubs[0].key_len, 270);
	assert_memory_equal(noted[BACKEND_TINC].hub_key, s.key, s.key_len);
	assert_int_equal(noted[BACKEND_TINC].hub_endpoint.port, 1655);
	end(&t);
}

static void each_slot_has_the_routes_of_those_that_it_carries(void **state)
{
	struct netcfg_route routes[8];
	const struct netmap_node *self;
	const struct netmap *map;
	struct test t;

	begin(&t, true, LIST(BACKEND_WIREGUARD, BACKEND_NATIVE));
	plan(&t);
	others_offer(&t, LIST(BACKEND_NATIVE), NULL);
	plan(&t);
	map = mesh_netmap(member_mesh(t.me));
	self = netmap_find_node(map, member_key(t.me));
	assert_int_equal(carriers_routes(t.carriers, map, self, 0, routes, 8), 0);
	size_t count = carriers_routes(t.carriers, map, self, 1, routes, 8);
	assert_true(count >= 1 && count <= 3);
	for (size_t i = 0; i < count; i++) {
		bool v4 = routes[i].destination.addr.family == ADDR_V4;

		assert_int_equal(routes[i].destination.bits, v4 ? 32 : 128);
		assert_true(address_equal(&routes[i].source, v4 ? &self->ipv4 : &self->ipv6));
	}
	assert_true(address_equal(&routes[0].destination.addr, &node_of(&t, t.other)->ipv6));
	/* No room for all of them. */
	assert_int_equal(carriers_routes(t.carriers, map, self, 1, routes, 1), 1);
	others_offer(&t, LIST(BACKEND_TINC), NULL);
	plan(&t);
	for (int slot = 0; slot < 2; slot++)
		assert_int_equal(carriers_routes(t.carriers, map, self, slot, routes, 8), 0);
	end(&t);
}

static int setup(void **state)
{
	memset(noted, 0, sizeof(noted));
	temp_make(&temp);
	return 0;
}

static int teardown(void **state)
{
	temp_remove(&temp);
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_member_that_says_nothing_is_carried_natively),
		TEST(a_policy_that_is_too_large_for_the_filter_is_said),
		TEST(the_order_of_the_smaller_key_decides),
		TEST(without_one_in_common_the_reason_names_both_offers),
		TEST(what_does_not_start_is_not_offered),
		TEST(four_backends_are_offered_in_order),
		TEST(an_offer_that_changes_moves_the_pair),
		TEST(a_removed_member_is_in_no_plan),
		TEST(a_key_is_stored_before_it_is_applied),
		TEST(a_key_that_cannot_be_stored_is_not_applied),
		TEST(a_key_of_our_own_that_cannot_be_stored_is_not_offered),
		TEST(the_way_of_the_mesh_is_tried_first_and_nothing_twice),
		TEST(the_hub_of_an_ovc_is_in_the_plan_of_its_backend),
		TEST(each_slot_has_the_routes_of_those_that_it_carries),
	};
#undef TEST

	return cmocka_run_group_tests_name("node/carriers", tests, NULL, NULL);
}
