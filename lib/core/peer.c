#include "core/peer.h"

#include "core/error.h"
#include "core/handshake.h"
#include "core/replay.h"
#include "core/secret.h"
#include "wire/buf.h"
#include "wire/frame.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

uint32_t index_draw(struct engine *engine)
{
	uint32_t index;

	do
		engine->io.random(engine->io.ctx, &index, sizeof(index));
	while (index_find(&engine->index, index));
	return index;
}

struct slot *peer_slot(struct peer *peer, enum slot_role role)
{
	struct active *active = peer->active;

	for (unsigned i = 0; active && i < PEER_SLOTS; i++)
		if (active->slots[i].role == role)
			return &active->slots[i];
	return NULL;
}

void peer_drop_slot(struct peer *peer, struct slot *slot)
{
	if (!slot)
		return;
	assert(slot->role != SLOT_FREE && slot->peer == peer);
	index_remove(&peer->realm->engine->index, slot);
	if (slot->role == SLOT_HANDSHAKE)
		noise_wipe(&peer->active->noise);
	session_free(slot->session);
	slot->session = NULL;
	slot->role = SLOT_FREE;
}

struct slot *peer_take_slot(struct peer *peer, enum slot_role role, uint32_t index,
			    struct session *session)
{
	struct slot *slot;

	peer_drop_slot(peer, peer_slot(peer, role));
	slot = peer_slot(peer, SLOT_FREE);
	assert(slot);
	*slot = (struct slot){.role = role, .index = index, .peer = peer, .session = session};
	index_add(&peer->realm->engine->index, slot);
	return slot;
}

void peer_promote(struct peer *peer, struct slot *slot)
{
	struct slot *current = peer_slot(peer, SLOT_CURRENT);

	peer_drop_slot(peer, peer_slot(peer, SLOT_PREVIOUS));
	slot->role = SLOT_CURRENT;
	if (current)
		current->role = SLOT_PREVIOUS;
	peer_drop_slot(peer, peer_slot(peer, SLOT_HANDSHAKE));
	timers_stop_trying(&peer->active->timers);
}

/* Peers of helpers are few, and in use as long as they are there. */
static bool is_idle(const struct peer *peer)
{
	const struct active *active = peer->active;

	for (unsigned i = 0; i < PEER_SLOTS; i++)
		if (active->slots[i].role != SLOT_FREE)
			return false;
	return timers_idle(&active->timers) && peer->realm->kind == REALM_DNET &&
	       (!active->has_via || peer->realm->ops->transmit_handshake);
}

void peer_schedule(struct peer *peer)
{
	struct active *active = peer->active;
	struct engine *engine = peer->realm->engine;

	if (peer->dead || !active)
		return;
	timer_heap_set(&engine->heap, &active->timer, timers_deadline(&active->timers));
	if (active->idle || !is_idle(peer))
		return;
	active->idle = true;
	LIST_INSERT_HEAD(&engine->idle, active, entry);
}

static void tell_session(struct peer *peer)
{
	const struct realm *realm = peer->realm;

	if (realm->ops->session_changed)
		realm->ops->session_changed(realm->ctx, peer, peer->up);
}

/* PROTOCOL 3.6: Both sides may begin at once; each then holds two sessions. */
static bool is_crossed(const struct slot *current, const struct slot *previous)
{
	uint64_t a, b;

	if (!current || !previous ||
	    session_is_initiator(current->session) == session_is_initiator(previous->session))
		return false;
	a = session_created(current->session);
	b = session_created(previous->session);
	return (a > b ? a - b : b - a) < TIMERS_RETRY_MAX;
}

/* Returns whether there is any. */
static bool update_timers(struct peer *peer)
{
	const struct slot *current = peer_slot(peer, SLOT_CURRENT);
	bool crossed = is_crossed(current, peer_slot(peer, SLOT_PREVIOUS)), any = false;
	uint64_t oldest = UINT64_MAX, since = current ? session_created(current->session) : 0;

	if (!peer->active)
		return false;
	for (unsigned i = 0; i < PEER_SLOTS; i++) {
		const struct session *session = peer->active->slots[i].session;

		if (!session)
			continue;
		any = true;
		if (session_created(session) < oldest)
			oldest = session_created(session);
	}
	if (crossed && node_key_compare(&peer->realm->pair->key, &peer->id.key) > 0)
		since += TIMERS_RETRY_MAX;
	timers_set_sessions(&peer->active->timers, any, any ? oldest : 0, current != NULL,
			    crossed || (current && session_is_initiator(current->session)), since);
	return any;
}

void peer_sessions_changed(struct peer *peer)
{
	bool any = update_timers(peer), up = peer_slot(peer, SLOT_CURRENT) != NULL;
	bool was_up = peer->up;

	peer->up = up;
	if (up != was_up || !any)
		tell_session(peer);
}

/* Wipes sessions that are at least age old. */
static void drop_sessions(struct peer *peer, uint64_t age)
{
	uint64_t now = peer->realm->engine->now;

	for (unsigned i = 0; i < PEER_SLOTS; i++) {
		struct slot *slot = &peer->active->slots[i];

		if (slot->session && now - session_created(slot->session) >= age)
			peer_drop_slot(peer, slot);
	}
}

static void give_up(struct peer *peer)
{
	struct timers *timers = &peer->active->timers;
	bool silent = timers_silent(timers);

	timers_gave_up(timers, peer->realm->engine->now);
	if (!timers->trying)
		peer_drop_slot(peer, peer_slot(peer, SLOT_HANDSHAKE));
	if (!silent)
		return;
	drop_sessions(peer, 0);
	peer_sessions_changed(peer);
}

void peer_run(struct peer *peer)
{
	struct timers *timers = &peer->active->timers;
	uint64_t now = peer->realm->engine->now;
	unsigned due = timers_due(timers, now);

	if (due & TIMERS_ACTION_EXPIRE) {
		drop_sessions(peer, TIMERS_REJECT_AFTER);
		peer_sessions_changed(peer);
	}
	if (!peer->dead && (due & TIMERS_ACTION_GIVE_UP))
		give_up(peer);
	if (!peer->dead && (due & TIMERS_ACTION_CONNECT))
		timers_connect(timers, now);
	if (!peer->dead && (due & TIMERS_ACTION_KEEPALIVE) &&
	    peer_send_content(peer, peer_via(peer), NULL, 0, TIMERS_EMPTY))
		timers_sent(timers, TIMERS_EMPTY, now); /* out of counters: no more of them */
	if (!peer->dead && (due & TIMERS_ACTION_FORGET))
		timers_forget(timers);
	if (!peer->dead && (timers_due(timers, now) & TIMERS_ACTION_TRY))
		handshake_begin(peer);
	peer_schedule(peer);
}

int peer_send_content(struct peer *peer, const struct via *via, const uint8_t *content, size_t len,
		      enum timers_content kind)
{
	struct engine *engine = peer->realm->engine;
	struct session *session = peer_session(peer, engine->now);
	uint8_t msg[ENGINE_FRAME_MAX + SESSION_OVERHEAD];
	size_t n;

	if (!session)
		return -DNET_ENOSESSION;
	n = session_seal(session, 0, content, len, msg, sizeof(msg));
	if (!n)
		return -DNET_ENOSESSION;
	timers_sent(&peer->active->timers, kind, engine->now);
	peer->stats.tx_packets++;
	peer->stats.tx_bytes += n;
	engine_send_via(engine, via, msg, n);
	return 0;
}

static unsigned hash_peer(const struct engine *engine, const struct peer_id *id)
{
	uint8_t hash[crypto_shorthash_BYTES];

	crypto_shorthash(hash, (const uint8_t *)id, sizeof(*id), engine->hash_key);
	return load_u32(hash);
}

static struct peer *find_peer(struct realm *realm, const struct peer_id *id)
{
	struct peer *peer;
	unsigned hash = hash_peer(realm->engine, id);

	HASH_FIND_BYHASHVALUE(hh, realm->peers, id, sizeof(*id), hash, peer);
	return peer;
}

struct peer *realm_find_peer(struct realm *realm, const struct node_key *key,
			     const struct object_id *dnet)
{
	struct peer_id id = {.key = *key, .dnet = dnet ? *dnet : realm->id};

	return find_peer(realm, &id);
}

bool peer_activate(struct peer *peer)
{
	struct engine *engine = peer->realm->engine;
	size_t count = engine->active_count + 1;
	struct active *active;

	if (peer->active)
		return true;
	if (timer_heap_reserve(&engine->heap, count) ||
	    index_reserve(&engine->index, count * PEER_SLOTS))
		return false;
	active = calloc(1, sizeof(*active));
	if (!active)
		return false;
	secret_lock(active, sizeof(*active));
	active->peer = peer;
	cookie_keys_init(&active->keys, &peer->id.key);
	timers_init(&active->timers);
	peer->active = active;
	engine->active_count = count;
	return true;
}

/* Neither index nor timer leads to it any more. */
static void detach(struct peer *peer)
{
	struct active *active = peer->active;

	for (unsigned i = 0; active && i < PEER_SLOTS; i++)
		if (active->slots[i].role != SLOT_FREE)
			peer_drop_slot(peer, &active->slots[i]);
	if (active)
		timer_heap_set(&peer->realm->engine->heap, &active->timer, TIMERS_NEVER);
}

static void deactivate(struct peer *peer)
{
	struct active *active = peer->active;

	if (!active)
		return;
	detach(peer);
	if (active->idle)
		LIST_REMOVE(active, entry);
	if (active->timers.any_heard)
		peer->stats.last_heard = active->timers.heard;
	peer->active = NULL;
	peer->realm->engine->active_count--;
	secret_wipe(active, sizeof(*active));
	free(active);
}

static void peer_free(struct peer *peer)
{
	deactivate(peer);
	free(peer);
}

void peer_bury(struct peer *peer)
{
	struct realm *realm = peer->realm;
	struct engine *engine = realm->engine;

	if (peer->dead)
		return;
	detach(peer);
	HASH_DELETE(hh, realm->peers, peer);
	peer->dead = true;
	peer->up = false;
	/* A caller further up the stack may still look at it. */
	if (engine->depth)
		SLIST_INSERT_HEAD(&engine->graves, peer, grave);
	else
		peer_free(peer);
}

struct peer *realm_add_peer(struct realm *realm, const struct node_key *key,
			    const struct object_id *dnet)
{
	struct engine *engine = realm->engine;
	struct peer_id id = {.key = *key, .dnet = dnet ? *dnet : realm->id};
	struct peer *peer = find_peer(realm, &id);

	static_assert(sizeof(struct peer_id) == PUBKEY_LEN + OBJECT_ID_LEN, "hashed as bytes");
	if (peer)
		return peer;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return NULL;
	peer->realm = realm;
	peer->id = id;
	HASH_ADD_BYHASHVALUE(hh, realm->peers, id, sizeof(id), hash_peer(engine, &id), peer);
	if (!peer->hh.tbl) {
		free(peer);
		return NULL;
	}
	if (realm->kind != REALM_DNET && !peer_activate(peer)) {
		peer_bury(peer);
		return NULL;
	}
	return peer;
}

void engine_enter(struct engine *engine, uint64_t now)
{
	engine->now = now;
	engine->depth++;
}

/* It may be in use again. */
static void end_idleness(struct active *active)
{
	LIST_REMOVE(active, entry);
	active->idle = false;
	if (is_idle(active->peer))
		deactivate(active->peer);
}

void engine_leave(struct engine *engine)
{
	assert(engine->depth);
	if (--engine->depth)
		return;
	while (!LIST_EMPTY(&engine->idle))
		end_idleness(LIST_FIRST(&engine->idle));
	while (!SLIST_EMPTY(&engine->graves)) {
		struct peer *peer = SLIST_FIRST(&engine->graves);

		SLIST_REMOVE_HEAD(&engine->graves, grave);
		peer_free(peer);
	}
}

void peer_remove(struct peer *peer, uint8_t bye)
{
	uint8_t frame[] = {FRAME_BYE, bye};

	if (peer->dead)
		return;
	if (bye)
		peer_send_content(peer, peer_via(peer), frame, sizeof(frame), TIMERS_FRAME);
	peer_bury(peer);
}

void peer_set_ctx(struct peer *peer, void *ctx)
{
	peer->ctx = ctx;
}

void *peer_ctx(const struct peer *peer)
{
	return peer->ctx;
}

const struct node_key *peer_key(const struct peer *peer)
{
	return &peer->id.key;
}

const struct object_id *peer_dnet(const struct peer *peer)
{
	return &peer->id.dnet;
}

void peer_set_persistent(struct peer *peer, bool on)
{
	if (on && !peer_activate(peer))
		return;
	if (peer->active)
		timers_set_persistent(&peer->active->timers, on);
	peer_schedule(peer);
}

void peer_set_via(struct peer *peer, const struct via *via)
{
	if (!peer_activate(peer))
		return;
	peer->active->via = *via;
	peer->active->has_via = true;
}

const struct via *peer_via(const struct peer *peer)
{
	static const struct via nowhere;

	return peer->active ? &peer->active->via : &nowhere;
}

void peer_connect(struct peer *peer, uint64_t now)
{
	struct engine *engine = peer->realm->engine;

	engine_enter(engine, now);
	if (!peer->dead && !peer_session(peer, now) && peer_activate(peer)) {
		timers_connect(&peer->active->timers, now);
		peer_run(peer);
	}
	engine_leave(engine);
}

void peer_reconnect(struct peer *peer, uint64_t now)
{
	struct engine *engine = peer->realm->engine;

	engine_enter(engine, now);
	if (!peer->dead && peer_activate(peer)) {
		timers_retry(&peer->active->timers, now);
		peer_run(peer);
	}
	engine_leave(engine);
}

struct session *peer_session(struct peer *peer, uint64_t now)
{
	const struct slot *slot = peer_slot(peer, SLOT_CURRENT);

	/* PROTOCOL 6, REJECT_AFTER: also by the number of messages. */
	if (!slot || now - session_created(slot->session) >= TIMERS_REJECT_AFTER ||
	    session_sent(slot->session) >= REPLAY_LIMIT)
		return NULL;
	return slot->session;
}

void peer_data_sent(struct peer *peer, size_t packets, size_t bytes, uint64_t now)
{
	if (peer->dead || !peer->active)
		return;
	peer->stats.tx_packets += packets;
	peer->stats.tx_bytes += bytes;
	timers_sent(&peer->active->timers, TIMERS_PACKET, now);
	peer_schedule(peer);
}

static enum timers_content frame_kind(const uint8_t *frame, size_t len)
{
	if (!len)
		return TIMERS_EMPTY;
	switch (frame[0]) {
	case FRAME_PING:
	case FRAME_REGISTER:
	case FRAME_INTRODUCE:
	case FRAME_LANE_OPEN:
		return TIMERS_ASK;
	}
	return TIMERS_FRAME;
}

int peer_send_frame(struct peer *peer, const struct via *via, const uint8_t *frame, size_t len,
		    uint64_t now)
{
	int r;

	if (len > ENGINE_FRAME_MAX)
		return -EMSGSIZE;
	if (peer->dead)
		return -DNET_ENOSESSION;
	peer->realm->engine->now = now;
	r = peer_send_content(peer, via, frame, len, frame_kind(frame, len));
	peer_schedule(peer);
	return r;
}

void peer_get_stats(const struct peer *peer, struct peer_stats *ret_stats)
{
	*ret_stats = peer->stats;
	ret_stats->up = peer->up;
	if (peer->active && peer->active->timers.any_heard)
		ret_stats->last_heard = peer->active->timers.heard;
}
