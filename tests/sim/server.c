#include "sim/server.h"

#include "core/book.h"
#include "ovc/ovc.h"
#include "ovr/ovr.h"
#include "sim/heap.h"
#include "sim/parts.h"
#include "wire/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ovcd and ovrd without their sockets: what they decide is the daemons' own code. */

#define TICK (5 * SIM_SECOND)

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
	struct ovc *ovc; /* one of the two */
	struct ovr *ovr;
	struct heap_account heap;
	uint64_t next_tick;
	server_tap *tap;
	void *tap_ctx;
	const struct realm_ops *ops; /* NULL: its own */
	void *ops_ctx;
};

static void io_send(void *ctx, const struct endpoint *dst, const uint8_t *bytes, size_t len,
		    size_t segment)
{
	struct server *s = ctx;
	struct heap_account *before = heap_charge(NULL);
	uint8_t copy[2048];

	for (size_t at = 0; at < len; at += segment) {
		size_t n = len - at < segment ? len - at : segment;

		assert(n <= sizeof(copy));
		memcpy(copy, bytes + at, n);
		if (!s->tap || !s->tap(s->tap_ctx, false, dst, copy, n))
			sim_send(s->host, dst, copy, n);
	}
	heap_charge(before);
}

static void io_random(void *ctx, void *dst, size_t len)
{
	sim_random_bytes(((struct server *)ctx)->net, dst, len);
}

static void io_timestamp(void *ctx, uint8_t dst[12])
{
	uint64_t now = sim_now(((struct server *)ctx)->net);

	store_u32be(dst, 0x40000000);
	store_u32be(dst + 4, (uint32_t)(now / SIM_SECOND));
	store_u32be(dst + 8, (uint32_t)(now % SIM_SECOND));
}

static void receive(void *ctx, const struct endpoint *src, uint8_t *bytes, size_t len)
{
	struct server *s = ctx;
	struct via via = {.endpoint = *src};
	uint64_t now = sim_now(s->net);
	struct heap_account *before;

	if (s->tap && s->tap(s->tap_ctx, true, src, bytes, len))
		return;
	before = heap_charge(&s->heap);
	if (!(s->ovr && ovr_input_lanes(s->ovr, src, bytes, len, len, now)) &&
	    !(s->ovc && ovc_input_stun(s->ovc, src, bytes, len, now)))
		engine_input(s->engine, &via, bytes, len, now);
	heap_charge(before);
}

static void start(struct server *s)
{
	struct engine_io io = {s, io_send, io_random, io_timestamp, NULL};
	struct heap_account *before = heap_charge(&s->heap);

	s->engine = engine_new(&io, s->id, AEAD_CHACHA20_POLY1305, sim_now(s->net));
	assert(s->engine);
	if (s->kind == REALM_OVC)
		s->ovc = ovc_new(s->engine, s->hub, &io);
	else
		s->ovr = ovr_new(s->engine, s->hub, &io);
	assert(s->ovc || s->ovr);
	s->realm = engine_add_realm(s->engine, s->kind, &s->object, &s->identity,
				    s->ops   ? s->ops
				    : s->ovc ? &ovc_realm_ops
					     : &ovr_realm_ops,
				    s->ops   ? s->ops_ctx
				    : s->ovc ? (void *)s->ovc
					     : (void *)s->ovr);
	assert(s->realm);
	if (s->ovc)
		ovc_set_realm(s->ovc, s->realm);
	else
		ovr_set_realm(s->ovr, s->realm);
	s->next_tick = sim_now(s->net) + TICK;
	heap_charge(before);
}

static void stop(struct server *s)
{
	struct heap_account *before = heap_charge(&s->heap);

	realm_remove(s->realm);
	ovc_free(s->ovc);
	ovr_free(s->ovr);
	engine_free(s->engine);
	heap_charge(before);
	s->ovc = NULL;
	s->ovr = NULL;
}

struct server *server_new(struct sim_net *net, const struct id *id, enum realm_kind kind,
			  const struct object_id *object)
{
	struct server *s = calloc(1, sizeof(*s));
	struct heap_account *before;
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
	before = heap_charge(&s->heap);
	s->hub = hub_new(kind, object);
	heap_charge(before);
	assert(s->hub);
	start(s);
	return s;
}

void server_free(struct server *s)
{
	struct heap_account *before;

	stop(s);
	before = heap_charge(&s->heap);
	hub_free(s->hub);
	heap_charge(before);
	/* All of it came back. */
	assert(s->heap.bytes == 0);
	free(s);
}

void server_restart(struct server *s)
{
	/* No goodbye: killed. */
	bool off = sim_host_is_off(s->host);

	sim_set_host_off(s->host, true);
	stop(s);
	sim_set_host_off(s->host, off);
	start(s);
}

void server_set_tap(struct server *s, server_tap *tap, void *ctx)
{
	s->tap = tap;
	s->tap_ctx = ctx;
}

void server_become(struct server *s, const struct realm_ops *ops, void *ctx)
{
	s->ops = ops;
	s->ops_ctx = ctx;
	server_restart(s);
}

struct peer *server_peer(struct server *s, const struct member *m)
{
	return realm_find_peer(s->realm, member_key(m), &m->dnet->id);
}

uint64_t server_engine_counter(const struct server *s, enum engine_counter counter)
{
	return engine_counter(s->engine, counter);
}

const struct ovc *server_ovc(const struct server *s)
{
	return s->ovc;
}

const struct ovr *server_ovr(const struct server *s)
{
	return s->ovr;
}

void server_sign(const struct server *s, struct statement *statement)
{
	static const uint8_t aux[32];

	statement->signer = s->identity.key;
	book_sign(s->id, &s->identity, aux, statement);
}

void server_add_hub(struct server *s, const struct object_id *dnet, uint16_t port,
		    const struct statement *statement)
{
	struct heap_account *before = heap_charge(&s->heap);
	int r = ovc_add_hub(s->ovc, dnet, port, statement);

	heap_charge(before);
	assert(!r);
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

enum realm_kind server_kind(const struct server *s)
{
	return s->kind;
}

void server_publish(struct server *s, const struct dnet *d)
{
	hub_removed *removed = s->ovc ? ovc_member_removed : ovr_member_removed;
	void *ctx = s->ovc ? (void *)s->ovc : (void *)s->ovr;
	struct heap_account *before = heap_charge(&s->heap);

	assert(!hub_set_netmap(s->hub, dnet_netmap(d, NULL), removed, ctx));
	heap_charge(before);
}

uint64_t server_deadline(const struct server *s)
{
	uint64_t deadline = engine_deadline(s->engine);

	return s->ovr && s->next_tick < deadline ? s->next_tick : deadline;
}

void server_tick(struct server *s)
{
	struct heap_account *before = heap_charge(&s->heap);
	uint64_t now = sim_now(s->net);

	engine_tick(s->engine, now);
	if (s->ovr && now >= s->next_tick) {
		ovr_tick(s->ovr, now);
		s->next_tick = now + TICK;
	}
	heap_charge(before);
}
