#include "sim/parts.h"

#include "core/book.h"
#include "core/mesh_parts.h"
#include "wire/buf.h"
#include "wire/message.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INSTANT_TURNS = 1000 };

/* ---- Its clock ---- */

/* By how much it is ahead after so long; the clock itself never goes back. */
static int64_t drift(const struct machine *mc, uint64_t elapsed)
{
	return (int64_t)(elapsed / 1000000) * mc->ppm +
	       (int64_t)(elapsed % 1000000) * mc->ppm / 1000000;
}

static uint64_t clock_of(const struct machine *mc)
{
	uint64_t now = sim_now(mc->w->net);

	return mc->offset + mc->set_at + now - mc->set_at + (uint64_t)drift(mc, now - mc->set_at);
}

/* When its clock shows that. */
static uint64_t time_of(const struct machine *mc, uint64_t deadline)
{
	uint64_t base = mc->offset + mc->set_at, elapsed, shown;

	if (deadline == UINT64_MAX || deadline <= base)
		return deadline == UINT64_MAX ? UINT64_MAX : 0;
	elapsed = deadline - base - (uint64_t)drift(mc, deadline - base);
	while ((shown = base + elapsed + (uint64_t)drift(mc, elapsed)) < deadline)
		elapsed += deadline - shown;
	return mc->set_at + elapsed;
}

uint64_t member_now(const struct member *m)
{
	return clock_of(m->machine);
}

void member_set_drift(struct member *m, int ppm)
{
	struct machine *mc = m->machine;
	uint64_t shown = clock_of(mc);

	mc->set_at = sim_now(mc->w->net);
	mc->offset = shown - mc->set_at;
	mc->ppm = ppm;
	machine_schedule(mc);
}

/* ---- Its engine ---- */

static struct heap_account *enter(struct machine *mc)
{
	return heap_charge(&mc->heap);
}

static void leave(struct machine *mc, struct heap_account *before)
{
	heap_charge(before);
	machine_schedule(mc);
}

void machine_schedule(struct machine *mc)
{
	uint64_t deadline = engine_deadline(mc->engine);
	struct member *m;

	LIST_FOREACH(m, &mc->members, entry)
	if (mesh_deadline(m->mesh) < deadline)
		deadline = mesh_deadline(m->mesh);
	deadline = mc->asleep ? UINT64_MAX : time_of(mc, deadline);
	world_set_turn(mc->w, &mc->turn, deadline);
}

static void count_second(struct machine *mc)
{
	uint64_t second = sim_now(mc->w->net) / SIM_SECOND;

	if (second == mc->second)
		return;
	mc->second = second;
	mc->turns = mc->sent = 0;
}

static void take_turn(struct turn *turn)
{
	struct machine *mc = (struct machine *)turn;
	struct heap_account *before = enter(mc);
	uint64_t now = clock_of(mc);
	struct member *m;

	/* A deadline that does not move on would stop the world. */
	if (mc->instant != now)
		mc->at_once = 0;
	mc->instant = now;
	assert(mc->at_once++ < INSTANT_TURNS);
	count_second(mc);
	if (++mc->turns > mc->load.turns_per_second)
		mc->load.turns_per_second = mc->turns;
	mc->load.turns++;
	if (engine_deadline(mc->engine) <= now)
		engine_tick(mc->engine, now);
	LIST_FOREACH(m, &mc->members, entry)
	{
		if (mesh_deadline(m->mesh) <= now)
			mesh_tick(m->mesh, now);
		mesh_flush(m->mesh, now);
	}
	leave(mc, before);
}

static void io_send(void *ctx, const struct endpoint *dst, const uint8_t *bytes, size_t len,
		    size_t segment)
{
	struct machine *mc = ctx;

	count_second(mc);
	for (size_t at = 0; at < len; at += segment) {
		if (++mc->sent > mc->load.sent_per_second)
			mc->load.sent_per_second = mc->sent;
		mc->load.sent++;
		sim_send(mc->host, dst, bytes + at, len - at < segment ? len - at : segment);
	}
}

static void io_random(void *ctx, void *dst, size_t len)
{
	sim_random_bytes(((struct machine *)ctx)->w->net, dst, len);
}

static void io_timestamp(void *ctx, uint8_t dst[12])
{
	uint64_t now = clock_of(ctx);

	store_u32be(dst, 0x40000000);
	store_u32be(dst + 4, (uint32_t)(now / SIM_SECOND));
	store_u32be(dst + 8, (uint32_t)(now % SIM_SECOND));
}

static void io_deliver(void *ctx, struct packet *packet)
{
	struct heap_account *before = heap_charge(NULL);

	flow_arrived(ctx, packet->data, packet->len);
	heap_charge(before);
}

/* The mesh whose lane it is; false: nobody's. */
static bool owns_lane(const struct machine *mc, const struct endpoint *src, uint64_t lane)
{
	const struct member *m;

	LIST_FOREACH(m, &mc->members, entry)
	if (mesh_owns_lane(m->mesh, src, lane))
		return true;
	return false;
}

static void receive(void *ctx, const struct endpoint *src, uint8_t *bytes, size_t len)
{
	struct machine *mc = ctx;
	struct via via = {.endpoint = *src};
	uint64_t now = clock_of(mc);
	struct span inner = {bytes, len};
	struct heap_account *before;
	struct member *m;

	if (message_classify(bytes, len) == MESSAGE_LANE) {
		if (!message_lane_parse(bytes, len, &via.lane, &inner) ||
		    !owns_lane(mc, src, via.lane))
			return;
		bytes += LANE_HEADER_LEN;
	}
	before = enter(mc);
	engine_input(mc->engine, &via, bytes, inner.len, now);
	LIST_FOREACH(m, &mc->members, entry)
	mesh_flush(m->mesh, now);
	leave(mc, before);
}

static void io_event(void *ctx, const struct node_key *key, const char *text)
{
	struct member *m = ctx;

	if (strncmp(text, "gave", 4) != 0)
		return;
	snprintf(m->news.refused, sizeof(m->news.refused), "%s", text);
	m->news.refused_by = *key;
}

static void io_offer_changed(void *ctx, const struct node_key *key)
{
	((struct member *)ctx)->news.offers++;
}

static void io_statement(void *ctx, const struct statement *statement)
{
	struct member *m = ctx;

	m->news.statements++;
	m->news.statement = *statement;
}

static void io_carried(void *ctx, const struct node_key *key, uint8_t backend, const uint8_t *bytes,
		       size_t len)
{
	struct member *m = ctx;

	assert(len <= sizeof(m->news.carried_bytes));
	m->news.carried++;
	m->news.carried_backend = backend;
	m->news.carried_len = len;
	memcpy(m->news.carried_bytes, bytes, len);
}

static void start_mesh(struct member *m)
{
	struct machine *mc = m->machine;
	struct engine_io io = {mc, io_send, io_random, io_timestamp, NULL};
	struct mesh_io out = {.ctx = m,
			      .deliver = io_deliver,
			      .event = io_event,
			      .offer_changed = io_offer_changed,
			      .statement = io_statement,
			      .carried = io_carried};
	struct endpoint local = sim_host_endpoint(mc->host);

	m->delivered = 0;
	memset(&m->news, 0, sizeof(m->news));
	m->mesh = mesh_new(mc->engine, &io, &out, &m->dnet->id, &m->identity, 0);
	assert(m->mesh);
	mesh_set_local_endpoints(m->mesh, &local, 1, clock_of(mc));
}

static void start(struct machine *mc)
{
	struct engine_io io = {mc, io_send, io_random, io_timestamp, NULL};
	struct heap_account *before = enter(mc);
	struct member *m;

	mc->engine = engine_new(&io, mc->w->id, AEAD_CHACHA20_POLY1305, clock_of(mc));
	assert(mc->engine);
	LIST_FOREACH(m, &mc->members, entry)
	start_mesh(m);
	leave(mc, before);
}

static void stop(struct machine *mc)
{
	struct heap_account *before = enter(mc);
	struct member *m;

	LIST_FOREACH(m, &mc->members, entry)
	mesh_free(m->mesh);
	engine_free(mc->engine);
	heap_charge(before);
	/* All of it came back. */
	assert(mc->heap.bytes == 0);
}

/* ---- Members ---- */

static struct machine *machine_new(struct world *w, struct sim_nat *nat)
{
	struct machine *mc = calloc(1, sizeof(*mc));

	assert(mc);
	mc->w = w;
	mc->set_at = sim_now(w->net);
	LIST_INIT(&mc->members);
	mc->host = sim_add_host(w->net, nat, receive, mc);
	world_add_turn(w, &mc->turn, take_turn);
	return mc;
}

static struct member *member_new(struct dnet *d, struct machine *mc, bool stranger)
{
	struct world *w = d->w;
	struct member *m = calloc(1, sizeof(*m));
	struct secret secret;
	unsigned host;

	assert(m);
	m->machine = mc;
	m->dnet = d;
	m->number = d->member_count++;
	host = m->number + 1;
	do
		sim_random_bytes(w->net, &secret, sizeof(secret));
	while (id_from_secret(w->id, &secret, &m->identity));
	m->row = (struct record_row){.object = d->id,
				     .kind = OBJECT_DNET,
				     .from_height = 2,
				     .to_height = UINT32_MAX,
				     .record.type = RECORD_NODE_PUT};
	m->row.record.node_put.key = m->identity.key;
	m->row.record.node_put.ipv4 =
		(struct address){ADDR_V4, {10, 99, (uint8_t)(host >> 8), (uint8_t)host}};
	m->stranger = stranger;
	if (!stranger)
		dnet_put_row(d, &m->row);
	w->members = sim_grow(w->members, w->member_count, sizeof(*w->members));
	w->members[w->member_count++] = m;
	LIST_INSERT_HEAD(&mc->members, m, entry);
	return m;
}

struct member *dnet_add_member(struct dnet *d, struct sim_nat *nat)
{
	struct member *m = member_new(d, machine_new(d->w, nat), false);

	start(m->machine);
	return m;
}

struct member *dnet_add_member_at(struct dnet *d, struct member *other)
{
	struct machine *mc = other->machine;
	struct member *m = member_new(d, mc, false);
	struct heap_account *before = enter(mc);

	start_mesh(m);
	leave(mc, before);
	return m;
}

struct member *world_add_member(struct world *w, struct sim_nat *nat)
{
	return dnet_add_member(w->dnets[0], nat);
}

struct member *world_add_stranger(struct world *w)
{
	struct member *m = member_new(w->dnets[0], machine_new(w, NULL), true);

	start(m->machine);
	return m;
}

void member_free_all(struct world *w)
{
	for (size_t i = 0; i < w->member_count; i++) {
		struct member *m = w->members[i];

		if (LIST_NEXT(m, entry))
			continue;
		/* The first of its machine is the last of the list. */
		stop(m->machine);
		free(m->machine);
	}
	for (size_t i = 0; i < w->member_count; i++)
		free(w->members[i]);
	free(w->members);
}

void member_publish(struct member *m)
{
	struct heap_account *before = enter(m->machine);

	m->revision = m->dnet->revision;
	assert(!mesh_set_netmap(m->mesh, dnet_netmap(m->dnet, m), member_now(m)));
	leave(m->machine, before);
}

void member_restart(struct member *m)
{
	struct machine *mc = m->machine;

	/* No goodbye: killed. */
	sim_set_host_off(mc->host, true);
	stop(mc);
	sim_set_host_off(mc->host, false);
	mc->asleep = false;
	start(mc);
	LIST_FOREACH(m, &mc->members, entry)
	member_publish(m);
}

void member_sleep(struct member *m, bool on)
{
	m->machine->asleep = on;
	sim_set_host_off(m->machine->host, on);
	machine_schedule(m->machine);
}

bool member_is_asleep(const struct member *m)
{
	return m->machine->asleep;
}

struct sim_host *member_host(struct member *m)
{
	return m->machine->host;
}

struct mesh *member_mesh(struct member *m)
{
	return m->mesh;
}

struct mesh_peer *member_peer(struct member *m, const struct member *other)
{
	struct heap_account *before = enter(m->machine);
	struct mesh_peer *p = mesh_member_activate(mesh_member_find(m->mesh, &other->identity.key),
						   member_now(m));

	leave(m->machine, before);
	assert(p);
	return p;
}

struct engine *member_engine(struct member *m)
{
	return m->machine->engine;
}

const struct node_key *member_key(const struct member *m)
{
	return &m->identity.key;
}

struct address member_address(const struct member *m)
{
	struct address a;

	node_address_derive(&m->dnet->id, &m->identity.key, &a);
	return a;
}

struct member_load member_load(const struct member *m)
{
	struct member_load load = m->machine->load;

	load.heap = m->machine->heap.bytes;
	load.heap_peak = m->machine->heap.peak;
	return load;
}

void member_clear_load(struct member *m)
{
	struct machine *mc = m->machine;

	mc->load = (struct member_load){0};
	mc->heap.peak = mc->heap.bytes;
}

uint64_t member_delivered(const struct member *m)
{
	return m->delivered;
}

void member_network_changed(struct member *m)
{
	struct machine *mc = m->machine;
	struct endpoint local = sim_host_endpoint(mc->host);
	struct heap_account *before = enter(mc);

	LIST_FOREACH(m, &mc->members, entry)
	{
		mesh_set_local_endpoints(m->mesh, &local, 1, clock_of(mc));
		mesh_network_changed(m->mesh, clock_of(mc));
	}
	leave(mc, before);
}

void member_move(struct member *m, struct sim_nat *nat)
{
	sim_move_host(m->machine->host, nat);
	member_network_changed(m);
}

void member_send_raw(struct member *m, const uint8_t *bytes, size_t len)
{
	struct heap_account *before = enter(m->machine);
	uint64_t now = member_now(m);
	uint8_t copy[2048];
	struct packet packet = {.data = copy, .len = len};

	assert(len <= sizeof(copy));
	memcpy(copy, bytes, len);
	mesh_input_packet(m->mesh, &packet, now);
	mesh_flush(m->mesh, now);
	leave(m->machine, before);
}

int member_set_policy(struct member *m, const struct acl_rule *rules, size_t count)
{
	struct heap_account *before = enter(m->machine);
	int err = mesh_set_policy(m->mesh, rules, count, member_now(m));

	leave(m->machine, before);
	return err;
}

int member_ping(struct member *m, const struct node_key *key, uint64_t patience,
		mesh_ping_done *done, void *ctx)
{
	struct heap_account *before = enter(m->machine);
	uint64_t now = member_now(m);
	int err = mesh_ping(m->mesh, key, now, now + patience, done, ctx);

	leave(m->machine, before);
	return err;
}

const struct member_news *member_news(const struct member *m)
{
	return &m->news;
}

void member_set_offer(struct member *m, const struct mesh_offer *offer)
{
	struct heap_account *before = enter(m->machine);

	mesh_set_offer(m->mesh, offer, member_now(m));
	leave(m->machine, before);
}

void member_set_control_persistent(struct member *m, bool on)
{
	struct heap_account *before = enter(m->machine);

	mesh_set_control_persistent(m->mesh, on, member_now(m));
	leave(m->machine, before);
}

bool member_carry(struct member *m, const struct member *to, uint8_t backend, const void *bytes,
		  size_t len)
{
	struct heap_account *before = enter(m->machine);
	bool carried = mesh_carry(m->mesh, member_key(to), backend, bytes, len, member_now(m));

	leave(m->machine, before);
	return carried;
}

void member_set_carrier(struct member *m, const struct member *other, bool native)
{
	struct heap_account *before = enter(m->machine);

	mesh_set_carrier(m->mesh, member_key(other), native);
	leave(m->machine, before);
}

bool member_load_statement(struct member *m, const struct statement *statement)
{
	struct heap_account *before = enter(m->machine);
	bool counts = mesh_load_statement(m->mesh, statement);

	leave(m->machine, before);
	return counts;
}

void member_sign(const struct member *m, struct statement *statement)
{
	static const uint8_t aux[32];

	statement->signer = m->identity.key;
	book_sign(m->machine->w->id, &m->identity, aux, statement);
}

struct lookup {
	const struct node_key *key;
	struct mesh_peer_status status;
};

static void find_status(void *ctx, const struct mesh_peer_status *status)
{
	struct lookup *l = ctx;

	if (node_key_equal(&status->node->key, l->key))
		l->status = *status;
}

static struct mesh_peer_status status_between(const struct member *from, const struct member *to)
{
	struct lookup l = {.key = &to->identity.key};

	mesh_visit_peers(from->mesh, find_status, &l);
	return l.status;
}

enum path_kind path_between(const struct member *from, const struct member *to)
{
	return status_between(from, to).path;
}

const char *reason_between(const struct member *from, const struct member *to)
{
	const char *reason = status_between(from, to).reason;

	return reason ? reason : "not a peer";
}

struct trouble {
	const struct object_id *id;
	const char *reason;
};

static void find_trouble(void *ctx, const struct mesh_helper_status *status)
{
	struct trouble *t = ctx;

	if (object_id_equal(&status->helper->id, t->id))
		t->reason = status->reason;
}

const char *trouble_with(const struct member *m, const struct server *s)
{
	struct trouble t = {server_object(s), "not a helper"};

	mesh_visit_helpers(m->mesh, find_trouble, &t);
	return t.reason;
}

bool both_direct(const struct member *a, const struct member *b)
{
	return path_between(a, b) == PATH_DIRECT && path_between(b, a) == PATH_DIRECT;
}
