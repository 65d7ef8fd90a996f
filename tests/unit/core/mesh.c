#include "fixture/test.h"

#include "core/id.h"
#include "core/mesh_parts.h"
#include "wire/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One mesh without a network: what it takes over, refuses and answers by itself. That it speaks
 * with others is tested in tests/sim. */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

/* All allocations of core go through calloc(); one of them can be made to fail. */
static long allocations, failing_allocation = -1;

void *__wrap_calloc(size_t count, size_t size)
{
	return allocations++ == failing_allocation ? NULL : __real_calloc(count, size);
}

enum { NODES = 6 };

struct world {
	struct id *id;
	struct identity identities[NODES];
	struct engine *engine;
	struct mesh *mesh;
	struct object_id dnet;
	uint64_t now;
	unsigned sent, delivered;
	uint16_t path_mtu;
	uint8_t last[2000];
	size_t last_len;
	uint8_t chance;
};

static void io_send(void *ctx, const struct endpoint *dst, const uint8_t *bytes, size_t len,
		    size_t segment)
{
	((struct world *)ctx)->sent++;
}

static void io_random(void *ctx, void *dst, size_t len)
{
	struct world *w = ctx;
	uint8_t *bytes = dst;

	while (len--)
		*bytes++ = w->chance = (uint8_t)(w->chance * 5 + 7);
}

static void io_timestamp(void *ctx, uint8_t dst[12])
{
	memset(dst, 0, 12);
}

static uint16_t io_path_mtu(void *ctx, const struct endpoint *dst)
{
	return ((struct world *)ctx)->path_mtu;
}

static void io_deliver(void *ctx, struct packet *packet)
{
	struct world *w = ctx;

	assert_true(packet->len <= sizeof(w->last));
	memcpy(w->last, packet->data, packet->len);
	w->last_len = packet->len;
	w->delivered++;
}

/* Members are the identities whose bit is set; with helpers, an OVC and an OVR. */
static struct netmap *netmap(struct world *w, unsigned members, bool helpers)
{
	struct record_row rows[NODES + 8] = {0};
	struct netmap_input in = {.id = w->dnet, .rows = rows, .tip_height = 10, .confirm = 1};
	struct netmap *map = NULL;
	size_t n = 0;

	rows[n].record.type = RECORD_DNET_CREATE;
	assert_true(prefix_parse("10.9.0.0/24", &rows[n++].record.dnet_create.ipv4));
	for (unsigned i = 0; i < NODES; i++) {
		if (!(members & 1u << i))
			continue;
		rows[n].record.type = RECORD_NODE_PUT;
		rows[n].record.node_put.key = w->identities[i].key;
		rows[n++].record.node_put.ipv4 =
			(struct address){ADDR_V4, {10, 9, 0, (uint8_t)(i + 1)}};
	}
	for (uint8_t kind = OBJECT_OVC; helpers && kind <= OBJECT_OVR; kind++) {
		struct object_id id = {{kind}};

		rows[n].record.type = RECORD_LINK;
		rows[n].record.link.kind = kind;
		rows[n++].record.link.id = id;
		rows[n].object = id;
		rows[n].record.type = kind == OBJECT_OVC ? RECORD_OVC_CREATE : RECORD_OVR_CREATE;
		rows[n++].record.service_create.service_key = w->identities[5].key;
		rows[n].object = id;
		rows[n].record.type = RECORD_GRANT;
		rows[n++].record.grant.dnet = w->dnet;
	}
	for (size_t i = 0; i < n; i++) {
		if (!rows[i].object.bytes[0])
			rows[i].object = w->dnet;
		rows[i].from_height = 1;
		rows[i].to_height = UINT32_MAX;
		rows[i].pos = (uint32_t)i;
	}
	in.row_count = n;
	assert_int_equal(netmap_build(&in, &map), 0);
	return map;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	uint8_t seed[ID_SEED_LEN] = {3};
	struct engine_io io = {w, io_send, io_random, io_timestamp, io_path_mtu};
	struct mesh_io out = {.ctx = w, .deliver = io_deliver};

	memset(&w->dnet, 0xd0, sizeof(w->dnet));
	w->now = 1000 * NS_PER_S;
	w->id = id_new(seed);
	for (unsigned i = 0; i < NODES; i++) {
		struct secret secret;

		memset(&secret, (int)i + 1, sizeof(secret));
		if (id_from_secret(w->id, &secret, &w->identities[i]))
			return 1;
	}
	w->engine = engine_new(&io, w->id, AEAD_CHACHA20_POLY1305, w->now);
	w->mesh = mesh_new(w->engine, &io, &out, &w->dnet, &w->identities[0], 0);
	*state = w;
	return !w->mesh;
}

static int teardown(void **state)
{
	struct world *w = *state;

	failing_allocation = -1;
	mesh_free(w->mesh);
	engine_free(w->engine);
	id_free(w->id);
	free(w);
	return 0;
}

static void send4(struct world *w, uint8_t src, uint8_t dst, size_t len)
{
	uint8_t bytes[2000] = {0x45};
	struct packet p = {.data = bytes, .len = len};

	store_u16be(bytes + 2, (uint16_t)len);
	bytes[8] = 64;
	bytes[9] = IP_PROTO_UDP;
	memcpy(bytes + 12, (uint8_t[]){10, 9, 0, src, 10, 9, 0, dst}, 8);
	store_u16be(bytes + 24, (uint16_t)(len - 20));
	mesh_input_packet(w->mesh, &p, w->now);
	mesh_flush(w->mesh, w->now);
}

static void count_peer(void *ctx, const struct mesh_peer_status *status)
{
	++*(unsigned *)ctx;
}

static unsigned peers(struct world *w)
{
	unsigned n = 0;

	mesh_visit_peers(w->mesh, count_peer, &n);
	return n;
}

static void count_helper(void *ctx, const struct mesh_helper_status *status)
{
	++*(unsigned *)ctx;
}

static unsigned helpers(struct world *w)
{
	unsigned n = 0;

	mesh_visit_helpers(w->mesh, count_helper, &n);
	return n;
}

static void peers_and_helpers_follow_the_netmap(void **state)
{
	static const struct {
		unsigned members;
		bool helpers;
		unsigned peer_count, helper_count;
	} table[] = {{0x1, false, 0, 0},  {0x1f, true, 4, 2}, {0x07, true, 2, 2},
		     {0x0d, false, 2, 0}, {0x1e, true, 0, 0}, {0x1f, true, 4, 2}};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct netmap *map = netmap(w, table[i].members, table[i].helpers);

		assert_int_equal(mesh_set_netmap(w->mesh, map, w->now), 0);
		assert_ptr_equal(mesh_netmap(w->mesh), map);
		assert_int_equal(peers(w), table[i].peer_count);
		assert_int_equal(helpers(w), table[i].helper_count);
		for (unsigned k = 1; k < NODES; k++)
			assert_int_equal(!!mesh_member_find(w->mesh, &w->identities[k].key),
					 table[i].members & 1 && table[i].members & 1u << k);
	}
}

static void each_failing_allocation_leaves_the_old_netmap_in_force(void **state)
{
	struct world *w = *state;
	struct netmap *first = netmap(w, 0x07, false), *second = netmap(w, 0x1d, true);
	int err = -ENOMEM;
	unsigned rounds = 0;

	assert_int_equal(mesh_set_netmap(w->mesh, first, w->now), 0);
	for (failing_allocation = 0; err == -ENOMEM; failing_allocation++, rounds++) {
		assert_ptr_equal(mesh_netmap(w->mesh), first);
		assert_int_equal(peers(w), 2);
		assert_int_equal(helpers(w), 0);
		assert_non_null(mesh_member_find(w->mesh, &w->identities[1].key));
		allocations = 0;
		err = mesh_set_netmap(w->mesh, second, w->now);
	}
	failing_allocation = -1;
	assert_int_equal(err, 0);
	assert_true(rounds > 8);
	assert_ptr_equal(mesh_netmap(w->mesh), second);
	assert_int_equal(peers(w), 3);
	assert_int_equal(helpers(w), 2);
}

static void before_a_netmap_nothing_is_let_through(void **state)
{
	struct world *w = *state;

	send4(w, 1, 2, 100);
	assert_int_equal(mesh_counter(w->mesh, MESH_out_no_route), 1);
	assert_int_equal(mesh_tick(w->mesh, w->now), UINT64_MAX);
	assert_int_equal(w->sent, 0);
}

static void the_host_is_told_why_but_not_too_often(void **state)
{
	struct world *w = *state;
	struct ip_view ip;

	assert_int_equal(mesh_set_netmap(w->mesh, netmap(w, 0x3, false), w->now), 0);
	send4(w, 1, 77, 100);
	assert_int_equal(w->delivered, 1);
	assert_int_equal(ip_parse(w->last, w->last_len, &ip), IP_OK);
	assert_int_equal(ip.icmp_type, 3);
	assert_int_equal(ip.icmp_code, 0);
	for (unsigned i = 0; i < 1000; i++)
		send4(w, 1, 77, 100);
	assert_int_equal(w->delivered, 50);
	assert_int_equal(mesh_counter(w->mesh, MESH_icmp_limited), 951);
	w->now += NS_PER_S;
	for (unsigned i = 0; i < 1000; i++)
		send4(w, 1, 77, 100);
	assert_int_equal(w->delivered, 100);
	/* Foreign sources are not answered at all. */
	w->now += NS_PER_S;
	send4(w, 3, 2, 100);
	assert_int_equal(mesh_counter(w->mesh, MESH_out_source_not_ours), 1);
	assert_int_equal(w->delivered, 100);
}

static void a_foreign_source_is_told_nothing(void **state)
{
	struct world *w = *state;

	/* It would go to who never asked, if this machine forwards. */
	assert_int_equal(mesh_set_netmap(w->mesh, netmap(w, 0x3, false), w->now), 0);
	send4(w, 99, 77, 100);
	send4(w, 2, 77, 100);
	assert_int_equal(mesh_counter(w->mesh, MESH_out_no_route), 2);
	assert_int_equal(w->delivered, 0);
	send4(w, 1, 77, 100);
	assert_int_equal(w->delivered, 1);
}

static struct mesh_peer *activate(struct world *w, unsigned i)
{
	struct mesh_peer *p =
		mesh_member_activate(mesh_member_find(w->mesh, &w->identities[i].key), w->now);

	assert_non_null(p);
	return p;
}

static void what_waits_is_bounded(void **state)
{
	struct world *w = *state;
	struct mesh_peer *p;

	assert_int_equal(mesh_set_netmap(w->mesh, netmap(w, 0x3, false), w->now), 0);
	p = activate(w, 1);
	for (unsigned i = 0; i < STAGE_PACKETS; i++)
		send4(w, 1, 2, 100);
	assert_int_equal(mesh_counter(w->mesh, MESH_out_stage_full), 0);
	send4(w, 1, 2, 100);
	assert_int_equal(mesh_counter(w->mesh, MESH_out_stage_full), 1);
	assert_int_equal(p->stage.packets, STAGE_PACKETS);
	assert_string_equal(mesh_peer_waiting_reason(p->member), "the dnet has no OVC");
}

static void packets_larger_than_the_peer_takes_are_answered(void **state)
{
	struct world *w = *state;
	struct mesh_peer *p;
	struct ip_view ip;

	assert_int_equal(mesh_set_netmap(w->mesh, netmap(w, 0x3, false), w->now), 0);
	p = activate(w, 1);
	p->up = true;
	p->mtu = 1000;
	send4(w, 1, 2, 1000);
	assert_int_equal(mesh_counter(w->mesh, MESH_out_too_big), 0);
	send4(w, 1, 2, 1001);
	assert_int_equal(mesh_counter(w->mesh, MESH_out_too_big), 1);
	assert_int_equal(w->delivered, 1);
	assert_int_equal(ip_parse(w->last, w->last_len, &ip), IP_OK);
	assert_int_equal(ip.icmp_code, 4);
	assert_int_equal(load_u16be(w->last + 26), 1000);
	p->up = false;
}

static void a_narrow_path_lets_shorter_packets_through(void **state)
{
	static const struct {
		uint16_t path, takes, mtu;
		uint8_t family;
		uint64_t lane;
	} table[] = {
		{0, 1400, 1400, ADDR_V4, 0},	{1460, 1400, 1400, ADDR_V4, 0},
		{1459, 1400, 1399, ADDR_V4, 0}, {1480, 1400, 1400, ADDR_V6, 0},
		{1479, 1400, 1399, ADDR_V6, 0}, {1472, 1400, 1400, ADDR_V4, 1},
		{1471, 1400, 1399, ADDR_V4, 1}, {1341, 1400, 1281, ADDR_V4, 0},
		{1340, 1400, 1280, ADDR_V4, 0}, {1339, 1400, 1280, ADDR_V4, 0},
		{68, 1400, 1280, ADDR_V4, 0},	{UINT16_MAX, UINT16_MAX, 65475, ADDR_V4, 0},
		{1500, 1281, 1281, ADDR_V4, 0},
	};
	struct world *w = *state;
	struct mesh_peer *p;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct via via = {{{table[i].family, {9, 9, 9, 9}}, 9}, table[i].lane};

		assert_int_equal(mesh_set_netmap(w->mesh, netmap(w, 0x3, false), w->now), 0);
		p = activate(w, 1);
		p->up = true;
		p->takes = table[i].takes;
		path_set_up(&p->paths, true, w->now);
		w->path_mtu = table[i].path;
		if (via.lane)
			path_add_lane(&p->paths, &via, w->now);
		path_heard(&p->paths, &via, w->now);
		mesh_peer_tick(p, w->now);
		assert_int_equal(p->mtu, table[i].mtu);
		/* What changes is seen within a second. */
		w->path_mtu = 1400;
		mesh_peer_tick(p, w->now + NS_PER_S - 1);
		assert_int_equal(p->mtu, table[i].mtu);
		p->up = false;
		assert_int_equal(mesh_set_netmap(w->mesh, netmap(w, 0x1, false), w->now), 0);
	}
}

static void one_super_packet_is_judged_by_its_segments(void **state)
{
	struct world *w = *state;
	uint8_t bytes[2000] = {0x45};
	struct packet p = {.data = bytes,
			   .len = 1900,
			   .gso = GSO_UDP,
			   .gso_size = 972,
			   .partial_checksum = true,
			   .csum_start = 20,
			   .csum_offset = 6};
	struct mesh_peer *peer;

	assert_int_equal(mesh_set_netmap(w->mesh, netmap(w, 0x3, false), w->now), 0);
	peer = activate(w, 1);
	peer->up = true;
	peer->mtu = 1000;
	store_u16be(bytes + 2, 1900);
	bytes[9] = IP_PROTO_UDP;
	memcpy(bytes + 12, (uint8_t[]){10, 9, 0, 1, 10, 9, 0, 2}, 8);
	mesh_input_packet(w->mesh, &p, w->now);
	assert_int_equal(mesh_counter(w->mesh, MESH_out_too_big), 0);
	p.gso_size++;
	mesh_input_packet(w->mesh, &p, w->now);
	assert_int_equal(mesh_counter(w->mesh, MESH_out_too_big), 1);
	peer->up = false;
}

static void count_path(void *ctx, const struct mesh_path_status *s)
{
	unsigned *count = ctx;

	assert_true(s->introduced && s->via.endpoint.port == 500);
	(*count)++;
}

static void wait_for(struct world *w, uint64_t ns)
{
	for (uint64_t end = w->now + ns; w->now < end; w->now += NS_PER_S) {
		engine_tick(w->engine, w->now);
		mesh_tick(w->mesh, w->now);
	}
}

static void an_idle_member_keeps_where_it_was_and_nothing_else(void **state)
{
	const struct endpoint endpoint = {{ADDR_V4, {192, 0, 2, 9}}, 500};
	struct world *w = *state;
	struct mesh_member *m;
	unsigned paths = 0;

	assert_int_equal(mesh_set_netmap(w->mesh, netmap(w, 0x3, false), w->now), 0);
	m = mesh_member_find(w->mesh, &w->identities[1].key);
	assert_null(m->active);
	assert_true(mesh_add_endpoint(w->mesh, &w->identities[1].key, &endpoint, w->now));
	assert_int_equal(w->sent, 0);
	for (unsigned round = 0; round < 2; round++) {
		send4(w, 1, 2, 100);
		assert_non_null(m->active);
		assert_int_equal(w->sent, 1);
		/* Given up after 20 s; what is known of it is kept as long as it may be tried. */
		wait_for(w, 200 * NS_PER_S);
		assert_non_null(m->active);
		assert_int_equal(m->active->stage.packets, 0);
		wait_for(w, 200 * NS_PER_S);
		assert_null(m->active);
		assert_int_equal(w->mesh->active_count, 0);
		assert_true(mesh_visit_paths(w->mesh, &w->identities[1].key, count_path, &paths));
		assert_int_equal(paths, round + 1);
		assert_true(mesh_deadline(w->mesh) == UINT64_MAX);
		assert_true(engine_deadline(w->engine) == UINT64_MAX);
		w->sent = 0;
	}
}

static void without_memory_for_a_peer_packets_are_lost_and_counted(void **state)
{
	struct world *w = *state;
	struct mesh_member *m;

	assert_int_equal(mesh_set_netmap(w->mesh, netmap(w, 0x3, false), w->now), 0);
	m = mesh_member_find(w->mesh, &w->identities[1].key);
	failing_allocation = allocations;
	send4(w, 1, 2, 100);
	failing_allocation = -1;
	assert_int_equal(mesh_counter(w->mesh, MESH_out_stage_full), 1);
	assert_null(m->active);
	/* The engine's part of it: the packet waits, and the next one tries again. */
	failing_allocation = allocations + 1;
	send4(w, 1, 2, 100);
	failing_allocation = -1;
	assert_int_equal(m->active->stage.packets, 1);
	assert_int_equal(engine_counter(w->engine, ENGINE_handshake_initiation_out), 0);
	send4(w, 1, 2, 100);
	assert_int_equal(m->active->stage.packets, 2);
	assert_int_equal(engine_counter(w->engine, ENGINE_handshake_initiation_out), 1);
}

static void counters_have_names(void **state)
{
	assert_string_equal(mesh_counter_name(MESH_out_packets), "out_packets");
	for (int i = 0; i < MESH_COUNTER_COUNT; i++)
		assert_non_null(mesh_counter_name((enum mesh_counter)i));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(peers_and_helpers_follow_the_netmap),
		T(each_failing_allocation_leaves_the_old_netmap_in_force),
		T(before_a_netmap_nothing_is_let_through),
		T(the_host_is_told_why_but_not_too_often),
		T(a_foreign_source_is_told_nothing),
		T(what_waits_is_bounded),
		T(packets_larger_than_the_peer_takes_are_answered),
		T(a_narrow_path_lets_shorter_packets_through),
		T(one_super_packet_is_judged_by_its_segments),
		T(an_idle_member_keeps_where_it_was_and_nothing_else),
		T(without_memory_for_a_peer_packets_are_lost_and_counted),
		cmocka_unit_test(counters_have_names),
	};

	return cmocka_run_group_tests_name("core/mesh", tests, NULL, NULL);
}
