/* What very many members cost one engine and mesh, without I/O: memory, a change of the netmap,
 * timers, policies, handshakes, and a crowd that comes back at once (in virtual time).
 *
 *     tests/bench/scale [--json] [MEMBERS]
 *
 * CPU time of this process; --json: one object a line. */

#include "core/aead.h"
#include "core/id.h"
#include "core/mesh.h"
#include "core/timers.h"
#include "wire/buf.h"
#include "wire/units.h"

#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

enum { MEMBERS = 10000, HUB = 0, FRIEND = 1, HUB_PORT = 7000 };

static bool json;

static void say(const char *name, double value, const char *unit, const char *target)
{
	if (json)
		printf("{\"name\": \"%s\", \"value\": %.4g, \"unit\": \"%s\", \"target\": "
		       "\"%s\"}\n",
		       name, value, unit, target);
	else
		printf("%-58s %10.1f %-9s %s%s\n", name, value, unit, *target ? "target " : "",
		       target);
	fflush(stdout);
}

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return (double)(info.uordblks + info.hblkhd);
}

static void *need(void *p)
{
	if (!p)
		abort();
	return p;
}

/* ---- A world of one hub, one friend, and a crowd whose members share an engine ---- */

struct datagram {
	STAILQ_ENTRY(datagram) entry;
	struct endpoint src, dst;
	size_t len;
	uint8_t bytes[2048];
};

struct side {
	struct world *w;
	struct engine *engine;
	struct mesh *mesh; /* NULL: the crowd */
	struct endpoint at;
};

struct world {
	struct id *id;
	struct object_id dnet;
	size_t count; /* of members, hub and friend among them */
	struct identity *identities;
	uint64_t now, chance, delivered;
	STAILQ_HEAD(, datagram) wire;
	struct side hub, friend, crowd;
	struct endpoint *places; /* of the crowd, by number */
	struct peer **to_hub;	 /* of its realms */
	uint64_t ups;
	double hub_ms; /* CPU time of the hub's engine */
};

static struct endpoint endpoint_of(size_t number)
{
	struct endpoint e = {{ADDR_V4, {100}}, HUB_PORT};

	store_u32be(e.addr.bytes, 0x64000001 + (uint32_t)number);
	return e;
}

static struct address address_of(size_t number)
{
	struct address a = {ADDR_V4, {10}};

	store_u32be(a.bytes, 0x0a000001 + (uint32_t)number);
	return a;
}

static void io_send(void *ctx, const struct endpoint *dst, const uint8_t *bytes, size_t len,
		    size_t segment)
{
	struct side *s = ctx;

	for (size_t at = 0; at < len; at += segment) {
		struct datagram *d = need(malloc(sizeof(*d)));

		d->src = s->at;
		d->dst = *dst;
		d->len = len - at < segment ? len - at : segment;
		memcpy(d->bytes, bytes + at, d->len);
		STAILQ_INSERT_TAIL(&s->w->wire, d, entry);
	}
}

static void io_random(void *ctx, void *dst, size_t len)
{
	struct side *s = ctx;
	uint8_t *p = dst;

	for (size_t i = 0; i < len; i++) {
		uint64_t z = s->w->chance += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		p[i] = (uint8_t)(z >> 32);
	}
}

static void io_timestamp(void *ctx, uint8_t dst[12])
{
	const struct side *s = ctx;

	store_u32be(dst, 0x40000000);
	store_u32be(dst + 4, (uint32_t)(s->w->now / NS_PER_S));
	store_u32be(dst + 8, (uint32_t)(s->w->now % NS_PER_S));
}

static void on_deliver(void *ctx, struct packet *packet)
{
	struct side *s = ctx;

	s->w->delivered += packet->len > 0;
}

static void make_engine(struct world *w, struct side *s, size_t number)
{
	struct engine_io io = {s, io_send, io_random, io_timestamp};
	struct mesh_io out = {.ctx = s, .deliver = on_deliver};

	s->w = w;
	s->at = endpoint_of(number);
	s->engine = need(engine_new(&io, w->id, AEAD_CHACHA20_POLY1305, w->now));
	if (s != &w->crowd)
		s->mesh = need(mesh_new(s->engine, &io, &out, &w->dnet, &w->identities[number],
					1u << GSO_TCP4));
}

static struct netmap *make_map(const struct world *w, size_t count, const struct acl_rule *rules,
			       size_t rule_count)
{
	struct record_row *rows = need(calloc(count + 1, sizeof(*rows)));
	struct netmap_input in = {
		.id = w->dnet, .rows = rows, .row_count = count + 1, .tip_height = 9, .confirm = 1};
	struct netmap *map;

	for (size_t i = 0; i <= count; i++) {
		struct record *r = &rows[i].record;

		rows[i].object = w->dnet;
		rows[i].from_height = 1;
		rows[i].to_height = UINT32_MAX;
		rows[i].pos = (uint32_t)i;
		r->type = i < count ? RECORD_NODE_PUT : RECORD_DNET_CREATE;
		if (i == count) {
			prefix_parse("10.0.0.0/8", &r->dnet_create.ipv4);
			continue;
		}
		r->node_put.key = w->identities[i].key;
		r->node_put.ipv4 = address_of(i);
		snprintf(r->node_put.name, sizeof(r->node_put.name), "member-%zu", i);
	}
	if (netmap_build(&in, &map))
		abort();
	free(rows);
	map->has_policy = true;
	map->rule_count = rule_count;
	map->rules = need(calloc(rule_count + 1, sizeof(*rules)));
	for (size_t i = 0; i < rule_count; i++)
		map->rules[i] = rules[i];
	return map;
}

static void world_init(struct world *w, size_t count)
{
	const uint8_t seed[ID_SEED_LEN] = {1};

	*w = (struct world){.dnet = {{7}}, .count = count, .now = 1000 * NS_PER_S};
	STAILQ_INIT(&w->wire);
	w->id = need(id_new(seed));
	w->identities = need(calloc(count, sizeof(*w->identities)));
	for (size_t i = 0; i < count; i++) {
		struct secret secret = {.bytes = {1}};

		store_u32be(secret.bytes + 8, (uint32_t)i + 1);
		if (id_from_secret(w->id, &secret, &w->identities[i]))
			abort();
	}
	make_engine(w, &w->hub, HUB);
	make_engine(w, &w->friend, FRIEND);
}

static void set_map(struct side *s, struct netmap *map)
{
	if (mesh_set_netmap(s->mesh, map, s->w->now))
		abort();
}

static void world_done(struct world *w)
{
	mesh_free(w->hub.mesh);
	mesh_free(w->friend.mesh);
	engine_free(w->hub.engine);
	engine_free(w->friend.engine);
	engine_free(w->crowd.engine);
	while (!STAILQ_EMPTY(&w->wire)) {
		struct datagram *d = STAILQ_FIRST(&w->wire);

		STAILQ_REMOVE_HEAD(&w->wire, entry);
		free(d);
	}
	free(w->places);
	free(w->to_hub);
	free(w->identities);
	id_free(w->id);
}

static struct side *side_at(struct world *w, const struct endpoint *at)
{
	if (endpoint_equal(at, &w->hub.at))
		return &w->hub;
	if (endpoint_equal(at, &w->friend.at))
		return &w->friend;
	w->crowd.at = *at;
	return &w->crowd;
}

/* Everything that is on the wire, and what follows from it. */
static void pump(struct world *w)
{
	struct datagram *d;

	while ((d = STAILQ_FIRST(&w->wire))) {
		struct side *to = side_at(w, &d->dst);
		struct via via = {.endpoint = d->src};

		STAILQ_REMOVE_HEAD(&w->wire, entry);
		double start = cpu_ms();

		engine_input(to->engine, &via, d->bytes, d->len, w->now);
		if (to->mesh)
			mesh_flush(to->mesh, w->now);
		if (to == &w->hub)
			w->hub_ms += cpu_ms() - start;
		free(d);
	}
}

static void tick(struct world *w, struct side *s)
{
	if (!s->engine)
		return;
	if (engine_deadline(s->engine) <= w->now)
		engine_tick(s->engine, w->now);
	if (s->mesh && mesh_deadline(s->mesh) <= w->now)
		mesh_tick(s->mesh, w->now);
}

static void run(struct world *w, uint64_t ns)
{
	for (uint64_t end = w->now + ns; w->now < end; w->now += NS_PER_MS) {
		tick(w, &w->hub);
		tick(w, &w->friend);
		tick(w, &w->crowd);
		pump(w);
	}
}

/* ---- Packets from the friend to the hub ---- */

static uint8_t bytes[UINT16_MAX];

/* UDP of len bytes; or a super-packet of TCP. */
static struct packet make_packet(size_t len, bool super)
{
	struct packet p = {.data = bytes, .len = len};

	memset(bytes, 0, sizeof(bytes));
	bytes[0] = 0x45;
	store_u16be(bytes + 2, (uint16_t)len);
	bytes[8] = 64;
	bytes[9] = super ? IP_PROTO_TCP : IP_PROTO_UDP;
	memcpy(bytes + 12, address_of(FRIEND).bytes, 4);
	memcpy(bytes + 16, address_of(HUB).bytes, 4);
	store_u16be(bytes + 20, 40000);
	store_u16be(bytes + 22, 5201);
	if (!super) {
		store_u16be(bytes + 24, (uint16_t)(len - 20));
		return p;
	}
	bytes[32] = 0x50;
	bytes[33] = 0x10;
	p.gso = GSO_TCP4;
	p.gso_size = 1360;
	p.partial_checksum = true;
	p.csum_start = 20;
	p.csum_offset = 16;
	return p;
}

static void send_packet(struct world *w, size_t len, bool super)
{
	struct packet p = make_packet(len, super);

	mesh_input_packet(w->friend.mesh, &p, w->now);
	mesh_flush(w->friend.mesh, w->now);
}

static void connect(struct world *w)
{
	mesh_add_endpoint(w->friend.mesh, &w->identities[HUB].key, &w->hub.at, w->now);
	for (int i = 0; i < 500 && !w->delivered; i++) {
		send_packet(w, 100, false);
		run(w, 10 * NS_PER_MS);
	}
	if (!w->delivered)
		abort();
	run(w, NS_PER_S);
}

/* ---- The measures ---- */

/* Bytes of an idle member. */
static double measure_memory(size_t count)
{
	struct world w;
	double before, with_map, with_mesh, start;

	world_init(&w, count);
	before = heap_bytes();
	struct netmap *map = make_map(&w, count, NULL, 0);

	with_map = heap_bytes();
	start = cpu_ms();
	set_map(&w.hub, map);
	say("CPU to take over a netmap of so many", cpu_ms() - start, "ms", "");
	with_mesh = (heap_bytes() - with_map) / (double)count;
	say("bytes of an idle member in engine, mesh and routes", with_mesh, "bytes", "<= 700");
	say("bytes of a member in the netmap", (with_map - before) / (double)count, "bytes", "");
	world_done(&w);
	return with_mesh;
}

/* Another name for one of them. */
static void measure_change(size_t count)
{
	enum { RUNS = 5 };
	struct world w;
	double best = 1e9;

	world_init(&w, count);
	set_map(&w.hub, make_map(&w, count, NULL, 0));
	for (int i = 0; i < RUNS; i++) {
		struct netmap *map = make_map(&w, count, NULL, 0);
		double start;

		snprintf(map->nodes[count / 2].name, sizeof(map->nodes[0].name), "other-%d", i);
		start = cpu_ms();
		set_map(&w.hub, map);
		if (cpu_ms() - start < best)
			best = cpu_ms() - start;
	}
	say("CPU of a netmap in which one member differs", best, "ms", "< 5");
	world_done(&w);
}

static void measure_timers(void)
{
	static const size_t counts[] = {1000, 10000, 100000};
	enum { CHANGES = 1000000 };

	for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
		struct timer *timers = need(calloc(counts[k], sizeof(*timers)));
		struct timer_heap heap = {0};
		uint64_t x = 88172645463325252u;
		char name[80];
		double start;

		if (timer_heap_reserve(&heap, counts[k]))
			abort();
		for (size_t i = 0; i < counts[k]; i++)
			timer_heap_set(&heap, &timers[i], i * 7919 % 1000003);
		start = cpu_ms();
		for (size_t i = 0; i < CHANGES; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			timer_heap_set(&heap, &timers[x % counts[k]], x >> 40);
		}
		snprintf(name, sizeof(name), "a timer set anew among %zu", counts[k]);
		say(name, (cpu_ms() - start) * 1e6 / CHANGES, "ns", "");
		timer_heap_done(&heap);
		free(timers);
	}
}

/* The last of them allows what is sent; the others are about everybody and other ports, the worst
 * case: no part of the packet but the port tells them apart. */
static struct acl_rule *make_rules(size_t count)
{
	struct acl_rule *rules = need(calloc(count + 1, sizeof(*rules)));

	for (size_t i = 0; i < count; i++) {
		rules[i].protocol = i + 1 < count ? IP_PROTO_UDP : ACL_ALL_PROTOCOLS;
		rules[i].port_low = rules[i].port_high = (uint16_t)(10000 + i);
		if (i + 1 < count)
			continue;
		rules[i].port_low = 0;
		rules[i].port_high = UINT16_MAX;
	}
	return rules;
}

static double packet_cost(struct world *w, size_t len, bool super, unsigned times)
{
	struct packet p = make_packet(len, super);
	double best = 1e9;

	for (int round = 0; round < 5; round++) {
		double start = cpu_ms(), took;

		for (unsigned i = 0; i < times; i++) {
			struct packet one = p;

			mesh_input_packet(w->friend.mesh, &one, w->now);
			if (i % 64 == 63)
				mesh_flush(w->friend.mesh, w->now);
		}
		mesh_flush(w->friend.mesh, w->now);
		took = (cpu_ms() - start) * 1e6 / times;
		if (took < best)
			best = took;
		while (!STAILQ_EMPTY(&w->wire)) {
			struct datagram *d = STAILQ_FIRST(&w->wire);

			STAILQ_REMOVE_HEAD(&w->wire, entry);
			free(d);
		}
	}
	return best;
}

static void measure_policy(void)
{
	static const size_t counts[] = {0, 1, 10, 10000};
	double first[2] = {0, 0};

	for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
		struct acl_rule *rules = make_rules(counts[k]);
		struct world w;

		world_init(&w, 10);
		set_map(&w.hub, make_map(&w, 10, rules, counts[k]));
		set_map(&w.friend, make_map(&w, 10, rules, counts[k]));
		connect(&w);
		for (int super = 0; super < 2; super++) {
			size_t len = super ? 60000 : 64;
			double cost = packet_cost(&w, len, super, super ? 300 : 4000);
			char name[80];

			if (!k)
				first[super] = cost;
			snprintf(name, sizeof(name), "a packet of %zu bytes out, %zu rules", len,
				 counts[k]);
			say(name, cost, "ns", "");
			snprintf(name, sizeof(name), "  more than without rules");
			if (k)
				say(name, (cost / first[super] - 1) * 100, "%", "<= 10");
		}
		world_done(&w);
		free(rules);
	}
}

static void crowd_transmit(void *ctx, struct peer *peer, const uint8_t *msg, size_t len)
{
	struct world *w = ctx;

	w->crowd.at = *(const struct endpoint *)peer_ctx(peer);
	engine_send_via(w->crowd.engine, &(struct via){.endpoint = w->hub.at}, msg, len);
}

static void crowd_changed(void *ctx, struct peer *peer, bool up)
{
	struct world *w = ctx;

	(void)peer;
	w->ups += up;
}

static const struct realm_ops crowd_ops = {
	.transmit_handshake = crowd_transmit,
	.session_changed = crowd_changed,
};

static void make_crowd(struct world *w)
{
	make_engine(w, &w->crowd, FRIEND + 1);
	w->places = need(calloc(w->count, sizeof(*w->places)));
	w->to_hub = need(calloc(w->count, sizeof(*w->to_hub)));
	for (size_t i = FRIEND + 1; i < w->count; i++) {
		struct realm *realm = need(engine_add_realm(w->crowd.engine, REALM_DNET, &w->dnet,
							    &w->identities[i], &crowd_ops, w));

		w->places[i] = endpoint_of(i);
		w->to_hub[i] = need(realm_add_peer(realm, &w->identities[HUB].key, NULL));
		peer_set_ctx(w->to_hub[i], &w->places[i]);
	}
}

struct storm {
	uint64_t connected, lost;
};

/* The hub was started anew: all come within a second, while a flow of a packet each ms goes on. */
static struct storm measure_storm(size_t count)
{
	const uint64_t patience = 60 * NS_PER_S;
	uint64_t sent = 0, delivered, begin;
	size_t next = FRIEND + 1;
	struct storm result;
	struct world w;

	world_init(&w, count);
	set_map(&w.hub, make_map(&w, count, NULL, 0));
	set_map(&w.friend, make_map(&w, 2, NULL, 0));
	connect(&w);
	make_crowd(&w);
	delivered = w.delivered;
	begin = w.now;
	w.hub_ms = 0;
	while (w.ups < count - 2 && w.now - begin < patience) {
		uint64_t due = FRIEND + 1 + (w.now - begin) * (count - 2) / NS_PER_S;

		for (; next < count && next <= due; next++)
			peer_connect(w.to_hub[next], w.now);
		send_packet(&w, 200, false);
		sent++;
		run(&w, NS_PER_MS);
	}
	run(&w, NS_PER_MS);
	result = (struct storm){w.ups, sent - (w.delivered - delivered)};
	say("members of the crowd that have a session", (double)result.connected, "", "all");
	say("until the last one has it, virtual time", (double)(w.now - begin) / 1e6, "ms", "");
	say("packets of a flow that goes on that were lost", (double)result.lost, "", "0");
	say("handshakes answered by one core", (double)w.ups / w.hub_ms * 1e3, "per s", "");
	world_done(&w);
	return result;
}

int main(int argc, char **argv)
{
	size_t count = MEMBERS;

	if (argc > 1 && !strcmp(argv[1], "--json")) {
		json = true;
		argc--;
		argv++;
	}
	if (argc > 1)
		count = strtoul(argv[1], NULL, 10);
	if (sodium_init() < 0 || count < 10)
		return 2;
	(void)measure_memory(count);
	measure_change(count);
	measure_timers();
	measure_policy();
	(void)measure_storm(count);
	return 0;
}
