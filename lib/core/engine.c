#include "core/engine.h"

#include "core/error.h"
#include "core/handshake.h"
#include "core/id.h"
#include "core/peer.h"
#include "core/secret.h"
#include "wire/buf.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <assert.h>
#include <stdlib.h>

/* PROTOCOL 4.2 */
enum { LIMIT_SOURCES = 4096, LIMIT_RATE = 20, LIMIT_BURST = 5 };

struct engine *engine_new(const struct engine_io *io, const struct id *id, uint8_t aead_mask,
			  uint64_t now)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	uint8_t secret[COOKIE_SECRET_LEN], seed[RATELIMIT_SEED_LEN];

	assert(aead_mask & AEAD_CHACHA20_POLY1305);
	if (!engine)
		return NULL;
	secret_lock(engine, sizeof(*engine));
	engine->io = *io;
	engine->curve = id;
	engine->dh = noise_dh_secp256k1(id);
	engine->aead_mask = aead_mask;
	engine->now = now;
	LIST_INIT(&engine->realms);
	SLIST_INIT(&engine->graves);
	LIST_INIT(&engine->idle);
	io->random(io->ctx, engine->hash_key, sizeof(engine->hash_key));
	io->random(io->ctx, secret, sizeof(secret));
	cookie_baker_init(&engine->baker, secret, now);
	secret_wipe(secret, sizeof(secret));
	io->random(io->ctx, seed, sizeof(seed));
	engine->limit = ratelimit_new(LIMIT_SOURCES, LIMIT_RATE, LIMIT_BURST, seed);
	if (!engine->limit) {
		engine_free(engine);
		return NULL;
	}
	return engine;
}

static void realm_free(struct realm *realm)
{
	struct peer *peer, *next;

	HASH_ITER(hh, realm->peers, peer, next)
	peer_bury(peer);
	LIST_REMOVE(realm, entry);
	secret_wipe(realm, sizeof(*realm));
	free(realm);
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	assert(!engine->depth);
	while (!LIST_EMPTY(&engine->realms))
		realm_free(LIST_FIRST(&engine->realms));
	free(engine->index.cells);
	timer_heap_done(&engine->heap);
	ratelimit_free(engine->limit);
	cookie_baker_wipe(&engine->baker);
	free(engine);
}

static void set_epoch(const struct realm *realm, const struct epoch *epoch, struct realm_epoch *ret)
{
	struct writer w;

	/* PROTOCOL 3.2, without the header, which comes with each message. */
	writer_init(&w, ret->prologue, sizeof(ret->prologue));
	writer_copy(&w, "dnet/1", 6);
	writer_u8(&w, (uint8_t)realm->kind);
	writer_copy(&w, realm->id.bytes, OBJECT_ID_LEN);
	writer_u32(&w, epoch->number);
	assert(!w.failed && writer_len(&w) == PROLOGUE_LEN);
	ret->psk = epoch->psk;
}

void realm_set_epoch(struct realm *realm, const struct epoch *epoch, const struct epoch *before)
{
	set_epoch(realm, epoch, &realm->epochs[0]);
	if (before)
		set_epoch(realm, before, &realm->epochs[1]);
	else
		secret_wipe(&realm->epochs[1], sizeof(realm->epochs[1]));
	realm->epoch_count = before ? 2 : 1;
}

const struct node_key *realm_key(const struct realm *realm)
{
	return &realm->pair->key;
}

void realm_set_mtu(struct realm *realm, uint16_t mtu)
{
	realm->mtu = mtu;
}

struct realm *engine_add_realm(struct engine *engine, enum realm_kind kind,
			       const struct object_id *id, const struct identity *pair,
			       const struct realm_ops *ops, void *ctx)
{
	static const struct epoch none;
	struct realm *realm = calloc(1, sizeof(*realm));

	if (!realm)
		return NULL;
	secret_lock(realm, sizeof(*realm));
	realm->engine = engine;
	realm->kind = kind;
	realm->id = *id;
	realm->pair = pair;
	realm->ops = ops;
	realm->ctx = ctx;
	realm->mtu = UINT16_MAX;
	cookie_keys_init(&realm->keys, &pair->key);
	realm_set_epoch(realm, &none, NULL);
	LIST_INSERT_HEAD(&engine->realms, realm, entry);
	return realm;
}

void realm_remove(struct realm *realm)
{
	struct peer *peer, *next;

	assert(!realm->engine->depth);
	HASH_ITER(hh, realm->peers, peer, next)
	peer_remove(peer, BYE_SHUTDOWN);
	realm_free(realm);
}

void engine_send_via(struct engine *engine, const struct via *via, const uint8_t *msg, size_t len)
{
	struct writer w;

	if (!via->lane) {
		engine->io.send(engine->io.ctx, &via->endpoint, msg, len, len);
		return;
	}
	writer_init(&w, engine->scratch, sizeof(engine->scratch));
	message_lane_write(&w, via->lane);
	writer_copy(&w, msg, len);
	if (!w.failed)
		engine->io.send(engine->io.ctx, &via->endpoint, engine->scratch, writer_len(&w),
				writer_len(&w));
}

/* The inside of a data message. */
struct content {
	enum timers_content kind;
	uint8_t flags;
	uint8_t *bytes;
	size_t len;
	struct frame frame; /* when parsed */
	bool parsed;	    /* PING, PONG or BYE */
};

static bool packet_length_matches(const uint8_t *bytes, size_t len)
{
	if (bytes[0] >> 4 == 4)
		return len >= 20 && load_u16be(bytes + 2) == len;
	return len >= 40 && (size_t)load_u16be(bytes + 4) + 40 == len;
}

/* PROTOCOL 5.2: The opened content is empty (keepalive), an IP packet (first nibble 4 or 6) whose
 * length field equals the content's length, or one frame. */
static bool content_classify(struct content *c)
{
	if (c->len && (c->bytes[0] >> 4 == 4 || c->bytes[0] >> 4 == 6)) {
		c->kind = TIMERS_PACKET;
		return packet_length_matches(c->bytes, c->len);
	}
	if (c->flags)
		return false;
	c->kind = c->len ? TIMERS_FRAME : TIMERS_EMPTY;
	if (!c->len)
		return true;
	switch (c->bytes[0]) {
	case FRAME_PING:
	case FRAME_PONG:
	case FRAME_BYE:
		c->parsed = true;
		return frame_parse(c->bytes, c->len, &c->frame);
	}
	return true;
}

/* PROTOCOL 5.3: PING is answered with PONG to where it came from, over the same path. */
static void answer_ping(struct peer *peer, const struct via *via, uint64_t id)
{
	struct frame pong = {.type = FRAME_PONG, .ping = {.id = id}};
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	if (!via->lane)
		pong.ping.observed = via->endpoint;
	writer_init(&w, bytes, sizeof(bytes));
	frame_write(&w, &pong);
	assert(!w.failed);
	peer_send_content(peer, via, bytes, writer_len(&w), TIMERS_FRAME);
}

/* PROTOCOL 5.6: BYE ends the session that it came in and those that are older; one of a former life
 * that arrives late does not end the new session. */
static void accept_bye(struct peer *peer, uint64_t created)
{
	for (unsigned i = 0; i < PEER_SLOTS; i++) {
		struct slot *slot = &peer->active->slots[i];

		if (slot->session && session_created(slot->session) <= created)
			peer_drop_slot(peer, slot);
	}
	peer_sessions_changed(peer);
}

static void hand_on(struct peer *peer, const struct via *via, const struct content *c,
		    uint64_t created)
{
	struct realm *realm = peer->realm;
	struct engine *engine = realm->engine;

	switch (c->kind) {
	case TIMERS_EMPTY:
		return;
	case TIMERS_PACKET:
		if (realm->ops->packet)
			realm->ops->packet(realm->ctx, peer, via, c->flags, c->bytes, c->len);
		else
			engine_count(engine, ENGINE_data_unexpected);
		return;
	case TIMERS_FRAME:
	case TIMERS_ASK:
		break;
	}
	if (c->parsed && c->frame.type == FRAME_PING)
		answer_ping(peer, via, c->frame.ping.id);
	if (realm->ops->frame)
		realm->ops->frame(realm->ctx, peer, via, c->bytes, c->len);
	else if (!c->parsed)
		engine_count(engine, ENGINE_data_unexpected);
	if (!peer->dead && c->parsed && c->frame.type == FRAME_BYE)
		accept_bye(peer, created);
}

static void accept_data(struct slot *slot, const struct via *via, const struct content *c,
			size_t len)
{
	struct peer *peer = slot->peer;
	struct realm *realm = peer->realm;
	uint64_t created = session_created(slot->session);
	bool promoted = slot->role == SLOT_NEXT;

	/* PROTOCOL 3.5, now the other side is known to have the keys. */
	if (promoted)
		peer_promote(peer, slot);
	peer_set_via(peer, via);
	peer->stats.rx_packets++;
	peer->stats.rx_bytes += len;
	timers_received(&peer->active->timers, c->kind, realm->engine->now);
	if (realm->ops->heard)
		realm->ops->heard(realm->ctx, peer, via);
	if (!peer->dead && promoted)
		peer_sessions_changed(peer);
	if (!peer->dead)
		hand_on(peer, via, c, created);
	peer_schedule(peer);
}

static void input_data(struct engine *engine, const struct via *via, uint8_t *bytes, size_t len)
{
	struct slot *slot = index_find(&engine->index, load_u32(bytes + DATA_RECEIVER_AT));
	struct content content = {.flags = bytes[DATA_FLAGS_AT]};
	int n;

	/* PROTOCOL 6, REJECT_AFTER: the session opens nothing any more. */
	if (!slot || !slot->session ||
	    engine->now - session_created(slot->session) >= TIMERS_REJECT_AFTER) {
		engine_count(engine, ENGINE_data_no_session);
		return;
	}
	n = session_open(slot->session, bytes, len, &content.bytes);
	if (n < 0) {
		engine_count(engine,
			     n == -DNET_EREPLAY ? ENGINE_data_replayed : ENGINE_data_invalid);
		return;
	}
	content.len = (size_t)n;
	if (!content_classify(&content)) {
		engine_count(engine, ENGINE_data_malformed);
		return;
	}
	accept_data(slot, via, &content, len);
}

/* A first byte of ours with a wrong length or a set reserved bit, or something else. */
static void count_refused(struct engine *engine, const uint8_t *bytes, size_t len)
{
	bool ours = len && bytes[0] >= MESSAGE_INITIATION && bytes[0] <= MESSAGE_PUNCH;

	engine_count(engine, ours ? ENGINE_datagram_truncated : ENGINE_datagram_unknown);
}

void engine_input(struct engine *engine, const struct via *via, uint8_t *bytes, size_t len,
		  uint64_t now)
{
	engine_enter(engine, now);
	switch (message_classify(bytes, len)) {
	case MESSAGE_INITIATION:
		handshake_input_initiation(engine, via, bytes, len);
		break;
	case MESSAGE_RESPONSE:
		handshake_input_response(engine, via, bytes, len);
		break;
	case MESSAGE_COOKIE:
		handshake_input_cookie(engine, via, bytes, len);
		break;
	case MESSAGE_DATA:
		input_data(engine, via, bytes, len);
		break;
	case MESSAGE_PUNCH: /* it was for the NATs on its way */
		break;
	case MESSAGE_NONE:
		count_refused(engine, bytes, len);
		break;
	case MESSAGE_LANE: /* the caller strips them */
	case MESSAGE_STUN:
		engine_count(engine, ENGINE_datagram_unknown);
		break;
	}
	engine_leave(engine);
}

static struct peer *peer_of(const struct timer *timer)
{
	return ((const struct active *)((const char *)timer - offsetof(struct active, timer)))
		->peer;
}

uint64_t engine_tick(struct engine *engine, uint64_t now)
{
	struct timer *timer;

	engine_enter(engine, now);
	while ((timer = timer_heap_first(&engine->heap)) && timer->deadline <= now)
		peer_run(peer_of(timer));
	engine_leave(engine);
	return engine_deadline(engine);
}

uint64_t engine_deadline(const struct engine *engine)
{
	const struct timer *timer = timer_heap_first(&engine->heap);

	return timer ? timer->deadline : TIMERS_NEVER;
}

const struct id *engine_curve(const struct engine *engine)
{
	return engine->curve;
}

uint64_t engine_now(const struct engine *engine)
{
	return engine->now;
}

uint64_t engine_counter(const struct engine *engine, enum engine_counter counter)
{
	assert(counter < ENGINE_COUNTER_COUNT);
	return engine->counters[counter];
}

const char *engine_counter_name(enum engine_counter counter)
{
	static const char *const names[] = {
#define X(name) #name,
		ENGINE_COUNTERS(X)
#undef X
	};

	assert(counter < ENGINE_COUNTER_COUNT);
	return names[counter];
}
