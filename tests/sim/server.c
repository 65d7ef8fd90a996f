#include "sim/server.h"

#include "wire/buf.h"
#include "wire/message.h"
#include "wire/ovc.h"
#include "wire/ovr.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { GUESTS = 32, LANES = 64 };

struct guest {
	struct peer *peer; /* NULL: free */
	struct frame_endpoints local;
	bool registered;
};

/* What comes from `from` with id `in` goes to `to` with id `out`. */
struct lane {
	struct peer *from, *to;
	uint64_t in, out;
};

struct server {
	struct sim_net *net;
	const struct id *id;
	enum realm_kind kind;
	struct object_id object;
	struct identity identity;
	struct sim_host *host;
	struct engine *engine;
	struct realm *realm;
	struct hub *hub;
	struct guest guests[GUESTS];
	struct lane lanes[LANES];
	unsigned lane_count;
};

static void io_send(void *ctx, const struct endpoint *dst, const uint8_t *bytes, size_t len,
		    size_t segment)
{
	sim_send(((struct server *)ctx)->host, dst, bytes, len);
}

static void io_random(void *ctx, void *dst, size_t len)
{
	sim_random_bytes(((struct server *)ctx)->net, dst, len);
}

static void io_timestamp(void *ctx, uint8_t dst[12])
{
	memset(dst, 0, 12);
}

static struct guest *guest_of(struct server *s, const struct node_key *key)
{
	for (unsigned i = 0; i < GUESTS; i++)
		if (s->guests[i].peer && node_key_equal(peer_key(s->guests[i].peer), key))
			return &s->guests[i];
	return NULL;
}

static struct peer *authorize(void *ctx, struct realm *realm, const struct node_key *key,
			      const struct object_id *dnet)
{
	struct server *s = ctx;

	if (!hub_is_member(s->hub, dnet, key))
		return NULL;
	for (unsigned i = 0; i < GUESTS; i++) {
		struct guest *g = &s->guests[i];

		if (g->peer)
			continue;
		*g = (struct guest){.peer = realm_add_peer(realm, key, dnet)};
		return g->peer;
	}
	return NULL;
}

static void reply(struct server *s, struct peer *peer, const struct writer *w)
{
	assert(!w->failed);
	peer_send_frame(peer, peer_via(peer), w->start, writer_len(w), sim_now(s->net));
}

static void introduce(struct server *s, struct guest *to, struct guest *about, uint8_t role)
{
	struct ovc_frame f = {.type = FRAME_INTRODUCTION};
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	f.introduction.key = *peer_key(about->peer);
	f.introduction.role = role;
	f.introduction.endpoints = about->local;
	f.introduction.endpoints.list[f.introduction.endpoints.count++] =
		peer_via(about->peer)->endpoint;
	writer_init(&w, bytes, sizeof(bytes));
	ovc_frame_write(&w, &f);
	reply(s, to->peer, &w);
}

static void on_ovc_frame(struct server *s, struct guest *g, const struct ovc_frame *f)
{
	struct ovc_frame answer = {.type = FRAME_NOT_HERE};
	uint8_t bytes[FRAME_MAX];
	struct guest *other;
	struct writer w;

	if (f->type == FRAME_REGISTER) {
		g->local = f->local;
		g->registered = true;
		answer.type = FRAME_REGISTERED;
		answer.registered.observed = peer_via(g->peer)->endpoint;
	} else {
		assert(f->type == FRAME_INTRODUCE);
		other = guest_of(s, &f->introduce);
		if (other && other->registered) {
			introduce(s, g, other, INTRODUCTION_INITIATE);
			introduce(s, other, g, INTRODUCTION_ANSWER);
			return;
		}
		answer.not_here.key = f->introduce;
		answer.not_here.reason = NOT_HERE_NOT_REGISTERED;
	}
	writer_init(&w, bytes, sizeof(bytes));
	ovc_frame_write(&w, &answer);
	reply(s, g->peer, &w);
}

static struct lane *lane_between(struct server *s, struct peer *from, struct peer *to)
{
	for (unsigned i = 0; i < s->lane_count; i++)
		if (s->lanes[i].from == from && s->lanes[i].to == to)
			return &s->lanes[i];
	return NULL;
}

static void open_lanes(struct server *s, struct peer *a, struct peer *b)
{
	uint64_t x = sim_random(s->net), y = sim_random(s->net);

	if (lane_between(s, a, b))
		return;
	assert(s->lane_count + 2 <= LANES);
	s->lanes[s->lane_count++] = (struct lane){a, b, x, y};
	s->lanes[s->lane_count++] = (struct lane){b, a, y, x};
}

static void tell_lane(struct server *s, struct peer *to, struct peer *about)
{
	struct ovr_frame f = {.type = FRAME_LANE,
			      .key = *peer_key(about),
			      .lane = lane_between(s, to, about)->in};
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	ovr_frame_write(&w, &f);
	reply(s, to, &w);
}

static void on_ovr_frame(struct server *s, struct guest *g, const struct ovr_frame *f)
{
	struct guest *other = guest_of(s, &f->key);
	struct ovr_frame answer = {
		.type = FRAME_LANE_REFUSED, .key = f->key, .reason = LANE_REFUSED_NOT_HERE};
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	assert(f->type == FRAME_LANE_OPEN);
	if (other && peer_session(other->peer, sim_now(s->net))) {
		open_lanes(s, g->peer, other->peer);
		tell_lane(s, g->peer, other->peer);
		tell_lane(s, other->peer, g->peer);
		return;
	}
	writer_init(&w, bytes, sizeof(bytes));
	ovr_frame_write(&w, &answer);
	reply(s, g->peer, &w);
}

static void on_frame(void *ctx, struct peer *peer, const struct via *via, const uint8_t *bytes,
		     size_t len)
{
	struct server *s = ctx;
	struct guest *g = guest_of(s, peer_key(peer));
	struct ovc_frame ovc;
	struct ovr_frame ovr;

	if (s->kind == REALM_OVC && ovc_frame_parse(bytes, len, &ovc))
		on_ovc_frame(s, g, &ovc);
	else if (s->kind == REALM_OVR && ovr_frame_parse(bytes, len, &ovr))
		on_ovr_frame(s, g, &ovr);
}

static const struct realm_ops server_ops = {.authorize = authorize, .frame = on_frame};

static void forward(struct server *s, const struct endpoint *src, uint8_t *bytes, size_t len)
{
	struct writer w;
	struct span inner;
	uint64_t id;

	if (!message_lane_parse(bytes, len, &id, &inner))
		return;
	for (unsigned i = 0; i < s->lane_count; i++) {
		const struct lane *l = &s->lanes[i];

		if (l->in != id || !endpoint_equal(&peer_via(l->from)->endpoint, src))
			continue;
		writer_init(&w, bytes, len);
		message_lane_write(&w, l->out);
		sim_send(s->host, &peer_via(l->to)->endpoint, bytes, len);
	}
}

static void receive(void *ctx, const struct endpoint *src, uint8_t *bytes, size_t len)
{
	struct server *s = ctx;
	struct via via = {.endpoint = *src};

	if (s->kind == REALM_OVR && len && bytes[0] == MESSAGE_LANE)
		forward(s, src, bytes, len);
	else
		engine_input(s->engine, &via, bytes, len, sim_now(s->net));
}

static void start(struct server *s)
{
	struct engine_io io = {s, io_send, io_random, io_timestamp};

	s->engine = engine_new(&io, s->id, AEAD_CHACHA20_POLY1305, sim_now(s->net));
	assert(s->engine);
	s->realm = engine_add_realm(s->engine, s->kind, &s->object, &s->identity, &server_ops, s);
	assert(s->realm);
}

struct server *server_new(struct sim_net *net, const struct id *id, enum realm_kind kind,
			  const struct object_id *object)
{
	struct server *s = calloc(1, sizeof(*s));
	struct secret secret;

	assert(s);
	s->net = net;
	s->id = id;
	s->kind = kind;
	s->object = *object;
	do
		sim_random_bytes(net, &secret, sizeof(secret));
	while (id_from_secret(id, &secret, &s->identity));
	s->host = sim_add_host(net, NULL, receive, s);
	s->hub = hub_new(kind, object);
	assert(s->hub);
	start(s);
	return s;
}

void server_free(struct server *s)
{
	engine_free(s->engine);
	hub_free(s->hub);
	free(s);
}

void server_restart(struct server *s)
{
	engine_free(s->engine);
	memset(s->guests, 0, sizeof(s->guests));
	s->lane_count = 0;
	start(s);
}

void server_set_off(struct server *s, bool off)
{
	sim_set_host_off(s->host, off);
}

struct sim_host *server_host(struct server *s)
{
	return s->host;
}

const struct node_key *server_key(const struct server *s)
{
	return &s->identity.key;
}

const struct object_id *server_object(const struct server *s)
{
	return &s->object;
}

static void cut_lanes(struct server *s, const struct peer *peer)
{
	for (unsigned i = 0; i < s->lane_count;) {
		if (s->lanes[i].from == peer || s->lanes[i].to == peer)
			s->lanes[i] = s->lanes[--s->lane_count];
		else
			i++;
	}
}

static void removed(void *ctx, const struct object_id *dnet, const struct node_key *key)
{
	struct server *s = ctx;
	struct guest *g = guest_of(s, key);

	if (!g)
		return;
	cut_lanes(s, g->peer);
	peer_remove(g->peer, BYE_REMOVED);
	g->peer = NULL;
}

void server_set_netmap(struct server *s, struct netmap *netmap)
{
	assert(!hub_set_netmap(s->hub, netmap, removed, s));
}

uint64_t server_deadline(const struct server *s)
{
	return engine_deadline(s->engine);
}

void server_tick(struct server *s)
{
	engine_tick(s->engine, sim_now(s->net));
}
