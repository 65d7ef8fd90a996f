#include "sim/world.h"

#include "core/id.h"
#include "core/netmap.h"
#include "sim/server.h"
#include "wire/buf.h"
#include "wire/message.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMBERS = 16, SERVERS = 4, FLOWS = 32, ROWS = 64, FLOW_PORT = 4242 };
enum { SEQUENCE_MAX = 1 << 16 };

struct member {
	struct world *w;
	unsigned number;
	struct identity identity;
	struct sim_host *host;
	struct engine *engine;
	struct mesh *mesh;
	struct record_row row;
	bool revoked;
	bool stranger; /* only he himself thinks that he is a member */
};

struct flow {
	struct world *w;
	unsigned number;
	struct member *from, *to;
	uint64_t interval, next, began, last, gap, first;
	size_t len;
	uint64_t sent, arrived; /* of those since the mark */
	uint8_t *seen;		/* by sequence number */
	uint64_t sequence, mark;
	bool stopped;
};

struct world {
	struct sim_net *net;
	struct id *id;
	struct object_id dnet;
	struct member members[MEMBERS];
	unsigned member_count;
	struct server *servers[SERVERS];
	unsigned server_count;
	struct flow flows[FLOWS];
	unsigned flow_count;
	struct record_row rows[ROWS];
	size_t row_count;
	struct netmap_revocation revocations[MEMBERS];
	size_t revocation_count;
	uint32_t sequence;
	uint64_t stray; /* packets that are of no flow */
};

struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *text = getenv("DNET_SIM_SEED");
	uint8_t context[ID_SEED_LEN] = {1};
	struct record_row *row;

	assert(w);
	if (text)
		seed = strtoull(text, NULL, 0);
	printf("# seed %" PRIu64 "\n", seed);
	w->net = sim_net_new(seed);
	w->id = id_new(context);
	memset(&w->dnet, 0xd1, sizeof(w->dnet));
	row = &w->rows[w->row_count++];
	*row = (struct record_row){.object = w->dnet,
				   .kind = OBJECT_DNET,
				   .from_height = 1,
				   .to_height = UINT32_MAX,
				   .record.type = RECORD_DNET_CREATE};
	strcpy(row->record.dnet_create.name, "sim");
	assert(prefix_parse("10.99.0.0/16", &row->record.dnet_create.ipv4));
	return w;
}

void world_free(struct world *w)
{
	for (unsigned i = 0; i < w->member_count; i++) {
		mesh_free(w->members[i].mesh);
		engine_free(w->members[i].engine);
	}
	for (unsigned i = 0; i < w->server_count; i++)
		server_free(w->servers[i]);
	for (unsigned i = 0; i < w->flow_count; i++)
		free(w->flows[i].seen);
	sim_net_free(w->net);
	id_free(w->id);
	free(w);
}

struct sim_net *world_net(struct world *w)
{
	return w->net;
}

uint64_t world_now(const struct world *w)
{
	return sim_now(w->net);
}

const struct object_id *world_dnet(const struct world *w)
{
	return &w->dnet;
}

static struct record_row *add_row(struct world *w, const struct object_id *object, uint8_t kind,
				  uint8_t type)
{
	struct record_row *row = &w->rows[w->row_count++];

	assert(w->row_count <= ROWS);
	*row = (struct record_row){.object = *object,
				   .kind = kind,
				   .from_height = 2,
				   .to_height = UINT32_MAX,
				   .sequence = ++w->sequence,
				   .pos = (uint32_t)w->row_count,
				   .record.type = type};
	return row;
}

/* As `who` sees it; NULL: as everybody does. */
static struct netmap *netmap_of(const struct world *w, const struct member *who)
{
	struct record_row rows[ROWS + 1];
	struct netmap_input in = {.id = w->dnet,
				  .rows = rows,
				  .row_count = w->row_count,
				  .revocations = w->revocations,
				  .revocation_count = w->revocation_count,
				  .tip_height = 10,
				  .confirm = 1};
	struct netmap *map = NULL;

	memcpy(rows, w->rows, w->row_count * sizeof(*rows));
	if (who && who->stranger)
		rows[in.row_count++] = who->row;
	assert(!netmap_build(&in, &map));
	return map;
}

void world_publish_except(struct world *w, const struct member *unaware)
{
	for (unsigned i = 0; i < w->member_count; i++) {
		struct member *m = &w->members[i];

		if (m != unaware)
			assert(!mesh_set_netmap(m->mesh, netmap_of(w, m), sim_now(w->net)));
	}
	for (unsigned i = 0; i < w->server_count; i++)
		server_set_netmap(w->servers[i], netmap_of(w, NULL));
}

void world_publish(struct world *w)
{
	world_publish_except(w, NULL);
}

void world_revoke(struct world *w, const struct member *m)
{
	struct netmap_revocation *r = &w->revocations[w->revocation_count++];

	*r = (struct netmap_revocation){.object = w->dnet,
					.type = RECORD_NODE_DEL,
					.subject_len = PUBKEY_LEN,
					.sequence = ++w->sequence};
	memcpy(r->subject, m->identity.key.bytes, PUBKEY_LEN);
	w->members[m->number].revoked = true;
}

void world_unrevoke(struct world *w, const struct member *m)
{
	struct record_row *row = add_row(w, &w->dnet, OBJECT_DNET, RECORD_NODE_PUT);

	row->record = m->row.record;
	w->members[m->number].revoked = false;
}

void world_revoke_grant(struct world *w, const struct server *s)
{
	struct netmap_revocation *r = &w->revocations[w->revocation_count++];

	*r = (struct netmap_revocation){.object = *server_object(s),
					.type = RECORD_REVOKE,
					.subject_len = OBJECT_ID_LEN,
					.sequence = ++w->sequence};
	memcpy(r->subject, w->dnet.bytes, OBJECT_ID_LEN);
}

static void io_send(void *ctx, const struct endpoint *dst, const uint8_t *bytes, size_t len,
		    size_t segment)
{
	struct member *m = ctx;

	for (size_t at = 0; at < len; at += segment)
		sim_send(m->host, dst, bytes + at, len - at < segment ? len - at : segment);
}

static void io_random(void *ctx, void *dst, size_t len)
{
	sim_random_bytes(((struct member *)ctx)->w->net, dst, len);
}

static void io_timestamp(void *ctx, uint8_t dst[12])
{
	uint64_t now = sim_now(((struct member *)ctx)->w->net);

	store_u32be(dst, 0x40000000);
	store_u32be(dst + 4, (uint32_t)(now / SIM_SECOND));
	store_u32be(dst + 8, (uint32_t)(now % SIM_SECOND));
}

/* Flows with an odd number are IPv4. */
static size_t headers_of(const uint8_t *b)
{
	return (b[0] >> 4 == 4 ? 20 : 40) + 8;
}

/* Every packet that comes out of a TUN is of a flow, for this member, from a member, and the first
 * of its number. */
static void io_deliver(void *ctx, struct packet *packet)
{
	struct member *m = ctx;
	struct world *w = m->w;
	const uint8_t *b = packet->data;
	size_t headers = headers_of(b);
	uint64_t now = sim_now(w->net), sequence;
	struct flow *f;

	if (packet->len < headers + 12 || b[b[0] >> 4 == 4 ? 9 : 6] != 17 ||
	    load_u16be(b + headers - 6) != FLOW_PORT) {
		w->stray++;
		return;
	}
	f = &w->flows[load_u32(b + headers)];
	sequence = load_u64(b + headers + 4);
	assert(f->number < w->flow_count && f->to == m && packet->len == f->len);
	assert(!f->from->revoked);
	assert(!f->from->stranger && !m->stranger);
	assert(sequence < f->sequence && !f->seen[sequence]);
	f->seen[sequence] = 1;
	for (size_t i = headers + 12; i < packet->len; i++)
		assert(b[i] == (uint8_t)(sequence + i));
	f->arrived += sequence >= f->mark;
	if (f->first == UINT64_MAX)
		f->first = now - f->began;
	else if (now - f->last > f->gap)
		f->gap = now - f->last;
	f->last = now;
}

static void receive(void *ctx, const struct endpoint *src, uint8_t *bytes, size_t len)
{
	struct member *m = ctx;
	struct via via = {.endpoint = *src};
	uint64_t now = sim_now(m->w->net);
	struct span inner = {bytes, len};

	if (message_classify(bytes, len) == MESSAGE_LANE) {
		if (!message_lane_parse(bytes, len, &via.lane, &inner) ||
		    !mesh_owns_lane(m->mesh, src, via.lane))
			return;
		bytes += LANE_HEADER_LEN;
	}
	engine_input(m->engine, &via, bytes, inner.len, now);
	mesh_flush(m->mesh, now);
}

static void start(struct member *m)
{
	struct engine_io io = {m, io_send, io_random, io_timestamp};
	struct mesh_io out = {.ctx = m, .deliver = io_deliver};
	struct endpoint local = sim_host_endpoint(m->host);
	uint64_t now = sim_now(m->w->net);

	m->engine = engine_new(&io, m->w->id, AEAD_CHACHA20_POLY1305, now);
	assert(m->engine);
	m->mesh = mesh_new(m->engine, &io, &out, &m->w->dnet, &m->identity, 0);
	assert(m->mesh);
	mesh_set_local_endpoints(m->mesh, &local, 1, now);
}

static struct member *add_member(struct world *w, struct sim_nat *nat, bool stranger)
{
	struct member *m = &w->members[w->member_count];
	struct secret secret;
	struct record_row *row;

	assert(w->member_count < MEMBERS);
	m->w = w;
	m->number = w->member_count++;
	do
		sim_random_bytes(w->net, &secret, sizeof(secret));
	while (id_from_secret(w->id, &secret, &m->identity));
	m->host = sim_add_host(w->net, nat, receive, m);
	row = add_row(w, &w->dnet, OBJECT_DNET, RECORD_NODE_PUT);
	row->record.node_put.key = m->identity.key;
	row->record.node_put.ipv4 =
		(struct address){ADDR_V4, {10, 99, 0, (uint8_t)(m->number + 1)}};
	m->row = *row;
	m->stranger = stranger;
	if (stranger)
		w->row_count--;
	start(m);
	return m;
}

struct member *world_add_member(struct world *w, struct sim_nat *nat)
{
	return add_member(w, nat, false);
}

struct member *world_add_stranger(struct world *w)
{
	return add_member(w, NULL, true);
}

void member_restart(struct member *m)
{
	/* No goodbye: killed. */
	sim_set_host_off(m->host, true);
	mesh_free(m->mesh);
	engine_free(m->engine);
	sim_set_host_off(m->host, false);
	start(m);
	assert(!mesh_set_netmap(m->mesh, netmap_of(m->w, m), sim_now(m->w->net)));
}

struct server *world_add_server(struct world *w, enum realm_kind kind)
{
	struct record_row *row;
	struct object_id object;
	struct server *s;
	struct endpoint at;

	assert(w->server_count < SERVERS);
	memset(&object, 0x30 + (int)w->server_count, sizeof(object));
	s = server_new(w->net, w->id, kind, &object, &w->dnet);
	w->servers[w->server_count++] = s;
	at = sim_host_endpoint(server_host(s));
	row = add_row(w, &object, (uint8_t)kind,
		      kind == REALM_OVC ? RECORD_OVC_CREATE : RECORD_OVR_CREATE);
	row->record.service_create.service_key = *server_key(s);
	strcpy(row->record.service_create.name, "helper");
	row = add_row(w, &object, (uint8_t)kind, RECORD_ENDPOINT_PUT);
	row->record.endpoint.transport = TRANSPORT_UDP;
	row->record.endpoint.address = at.addr;
	row->record.endpoint.port = at.port;
	row = add_row(w, &object, (uint8_t)kind, RECORD_GRANT);
	row->record.grant.dnet = w->dnet;
	row = add_row(w, &w->dnet, OBJECT_DNET, RECORD_LINK);
	row->record.link.kind = (uint8_t)kind;
	row->record.link.id = object;
	return s;
}

struct sim_host *member_host(struct member *m)
{
	return m->host;
}

uint64_t world_stray(const struct world *w)
{
	return w->stray;
}

struct mesh *member_mesh(struct member *m)
{
	return m->mesh;
}

struct engine *member_engine(struct member *m)
{
	return m->engine;
}

const struct node_key *member_key(const struct member *m)
{
	return &m->identity.key;
}

struct address member_address(const struct member *m)
{
	struct address a;

	node_address_derive(&m->w->dnet, &m->identity.key, &a);
	return a;
}

void member_move(struct member *m, struct sim_nat *nat)
{
	struct endpoint local;

	sim_move_host(m->host, nat);
	local = sim_host_endpoint(m->host);
	mesh_set_local_endpoints(m->mesh, &local, 1, sim_now(m->w->net));
	mesh_network_changed(m->mesh, sim_now(m->w->net));
}

void member_send_raw(struct member *m, const uint8_t *bytes, size_t len)
{
	uint8_t copy[2048];
	struct packet packet = {.data = copy, .len = len};

	assert(len <= sizeof(copy));
	memcpy(copy, bytes, len);
	mesh_input_packet(m->mesh, &packet, sim_now(m->w->net));
	mesh_flush(m->mesh, sim_now(m->w->net));
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

bool both_direct(const struct member *a, const struct member *b)
{
	return path_between(a, b) == PATH_DIRECT && path_between(b, a) == PATH_DIRECT;
}

struct flow *world_add_flow(struct world *w, struct member *from, struct member *to,
			    uint64_t interval, size_t len)
{
	struct flow *f = &w->flows[w->flow_count];

	assert(w->flow_count < FLOWS && len >= 48 + 12);
	*f = (struct flow){.w = w,
			   .number = w->flow_count++,
			   .from = from,
			   .to = to,
			   .interval = interval,
			   .next = sim_now(w->net),
			   .began = sim_now(w->net),
			   .first = UINT64_MAX,
			   .len = len,
			   .seen = calloc(SEQUENCE_MAX, 1)};
	assert(f->seen);
	return f;
}

void flow_stop(struct flow *f)
{
	f->stopped = true;
}

struct flow_stats flow_stats(const struct flow *f)
{
	struct flow_stats s = {f->sent, f->arrived, f->first, f->gap};
	uint64_t since = sim_now(f->w->net) - f->last;

	if (f->first != UINT64_MAX && !f->stopped && since > s.longest_gap)
		s.longest_gap = since;
	return s;
}

void flow_mark(struct flow *f)
{
	f->sent = f->arrived = f->gap = 0;
	f->mark = f->sequence;
	f->began = f->last = sim_now(f->w->net);
}

static void write_headers(const struct flow *f, uint8_t *b)
{
	struct address src = member_address(f->from), dst = member_address(f->to);
	uint8_t *udp = b + (f->number % 2 ? 20 : 40);

	if (f->number % 2) {
		b[0] = 0x45;
		store_u16be(b + 2, (uint16_t)f->len);
		b[8] = 64;
		b[9] = 17;
		memcpy(b + 12, f->from->row.record.node_put.ipv4.bytes, 4);
		memcpy(b + 16, f->to->row.record.node_put.ipv4.bytes, 4);
	} else {
		b[0] = 0x60;
		store_u16be(b + 4, (uint16_t)(f->len - 40));
		b[6] = 17;
		b[7] = 64;
		memcpy(b + 8, src.bytes, 16);
		memcpy(b + 24, dst.bytes, 16);
	}
	store_u16be(udp, 1000);
	store_u16be(udp + 2, FLOW_PORT);
	store_u16be(udp + 4, (uint16_t)(b + f->len - udp));
}

static void send_next(struct flow *f)
{
	uint8_t bytes[2048] = {0};
	size_t headers;

	write_headers(f, bytes);
	headers = headers_of(bytes);
	store_u32(bytes + headers, f->number);
	store_u64(bytes + headers + 4, f->sequence);
	for (size_t i = headers + 12; i < f->len; i++)
		bytes[i] = (uint8_t)(f->sequence + i);
	assert(f->sequence < SEQUENCE_MAX);
	f->sequence++;
	f->sent++;
	f->next += f->interval;
	member_send_raw(f->from, bytes, f->len);
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_event(struct world *w)
{
	uint64_t next = sim_next(w->net);

	for (unsigned i = 0; i < w->member_count; i++) {
		next = min(next, engine_deadline(w->members[i].engine));
		next = min(next, mesh_deadline(w->members[i].mesh));
	}
	for (unsigned i = 0; i < w->server_count; i++)
		next = min(next, server_deadline(w->servers[i]));
	for (unsigned i = 0; i < w->flow_count; i++)
		if (!w->flows[i].stopped)
			next = min(next, w->flows[i].next);
	return next;
}

static void tick_member(struct member *m, uint64_t now)
{
	if (engine_deadline(m->engine) <= now)
		engine_tick(m->engine, now);
	if (mesh_deadline(m->mesh) <= now)
		mesh_tick(m->mesh, now);
	mesh_flush(m->mesh, now);
}

/* Goes to the next event, at most to end. A deadline that does not move on would stop the world. */
static void step(struct world *w, uint64_t end)
{
	uint64_t now = min(next_event(w), end);
	unsigned rounds = 0;

	if (now > sim_now(w->net))
		sim_advance(w->net, now);
	now = sim_now(w->net);
	do {
		assert(rounds++ < 1000);
		sim_deliver(w->net);
		for (unsigned i = 0; i < w->flow_count; i++)
			if (!w->flows[i].stopped && w->flows[i].next <= now)
				send_next(&w->flows[i]);
		for (unsigned i = 0; i < w->member_count; i++)
			tick_member(&w->members[i], now);
		for (unsigned i = 0; i < w->server_count; i++)
			if (server_deadline(w->servers[i]) <= now)
				server_tick(w->servers[i]);
	} while (next_event(w) <= now && now < end);
}

void world_run(struct world *w, uint64_t ns)
{
	uint64_t end = sim_now(w->net) + ns;

	while (sim_now(w->net) < end)
		step(w, end);
}

uint64_t world_run_until(struct world *w, world_fact *fact, void *ctx, uint64_t limit)
{
	uint64_t began = sim_now(w->net), end = began + limit;

	while (!fact(w, ctx)) {
		if (sim_now(w->net) >= end)
			return UINT64_MAX;
		step(w, end);
	}
	return sim_now(w->net) - began;
}
