#include "core/handshake.h"

#include "core/aead.h"
#include "core/peer.h"
#include "wire/buf.h"

#include <assert.h>
#include <string.h>

/* PROTOCOL 3.4 */
#define INITIATION_SPACING (20 * NS_PER_MS)

static void send_cookie(struct engine *engine, const struct realm *realm, const struct via *via,
			const uint8_t *msg, size_t len, uint32_t sender)
{
	uint8_t nonce[COOKIE_NONCE_LEN], sealed[COOKIE_SEALED_LEN], reply[COOKIE_REPLY_LEN];
	struct message_cookie fields = {.receiver = sender, .nonce = nonce, .sealed = sealed};
	struct writer w;

	engine->io.random(engine->io.ctx, nonce, sizeof(nonce));
	cookie_make_reply(&engine->baker, &realm->keys, &via->endpoint, msg, len, nonce, sealed);
	writer_init(&w, reply, sizeof(reply));
	message_cookie_write(&w, &fields);
	assert(!w.failed);
	engine_count(engine, ENGINE_cookie_sent);
	engine_send_via(engine, via, reply, sizeof(reply));
}

/* PROTOCOL 4.2, Under load a message without a right mac2 gets a cookie reply and nothing else;
 * with one it is let through at 20 a second, burst 5, per IPv4 address or IPv6 /64. */
static bool admit(struct engine *engine, const struct realm *realm, const struct via *via,
		  const uint8_t *msg, size_t len, uint32_t sender, bool high)
{
	uint8_t secret[COOKIE_SECRET_LEN];

	if (!high)
		return true;
	if (cookie_baker_due(&engine->baker, engine->now)) {
		engine->io.random(engine->io.ctx, secret, sizeof(secret));
		cookie_baker_renew(&engine->baker, secret, engine->now);
		secret_wipe(secret, sizeof(secret));
	}
	if (!cookie_mac2_valid(&engine->baker, &via->endpoint, msg, len, engine->now)) {
		send_cookie(engine, realm, via, msg, len, sender);
		return false;
	}
	if (!ratelimit_take(engine->limit, &via->endpoint.addr, engine->now)) {
		engine_count(engine, ENGINE_handshake_too_often);
		return false;
	}
	return true;
}

/* An initiation on its way through the responder: nothing of it is anybody's yet. */
struct answer {
	struct peer *peer;
	struct session *session; /* owned until the commit */
	uint32_t index;
	struct initiation_payload asked;
	uint8_t msg[RESPONSE_LEN];
};

/* PROTOCOL 3.3 */
static enum aead_kind choose_aead(const struct engine *engine, uint8_t offered)
{
	if (offered & engine->aead_mask & AEAD_AES256_GCM)
		return AEAD_AES256_GCM;
	return AEAD_CHACHA20_POLY1305;
}

/* PROTOCOL 1.1: The responder accepts only a key that the records give. */
static struct peer *authorize(struct realm *realm, const struct node_key *key,
			      const struct object_id *dnet)
{
	struct peer *peer = realm_find_peer(realm, key, dnet);

	if (peer || !realm->ops->authorize)
		return peer;
	peer = realm->ops->authorize(realm->ctx, realm, key, dnet);
	assert(!peer ||
	       (!peer->dead && peer->realm == realm && node_key_equal(&peer->id.key, key)));
	return peer;
}

/* PROTOCOL 3.4, newer than the last one, and not within 20 ms of it. */
static bool is_fresh(struct peer *peer, const struct initiation_payload *asked)
{
	struct engine *engine = peer->realm->engine;

	if (!peer->has_initiation)
		return true;
	if (memcmp(asked->timestamp, peer->last_timestamp, TIMESTAMP_LEN) <= 0) {
		engine_count(engine, ENGINE_handshake_replayed);
		return false;
	}
	if (peer->active && peer->active->last_initiation &&
	    engine->now - peer->active->last_initiation < INITIATION_SPACING) {
		engine_count(engine, ENGINE_handshake_too_often);
		return false;
	}
	return true;
}

/* For what Noise and the MACs fill in. */
static const uint8_t no_body[PUBKEY_LEN + MESSAGE_TAG_LEN + INITIATION_PAYLOAD_LEN];

/* The response, without its MACs, and the session that follows. False: out of memory, or (chance
 * 2^-127) a bad draw. */
static bool make_answer(struct peer *peer, struct noise *noise, const struct realm_epoch *epoch,
			uint32_t remote, struct answer *ret)
{
	struct engine *engine = peer->realm->engine;
	uint8_t ephemeral[NOISE_KEY_LEN], payload[RESPONSE_PAYLOAD_LEN];
	uint8_t send[NOISE_KEY_LEN], receive[NOISE_KEY_LEN];
	enum aead_kind aead = choose_aead(engine, ret->asked.aead);
	struct response_payload fields = {.aead = (uint8_t)aead, .mtu = peer->realm->mtu};
	struct message_response msg = {.receiver = remote,
				       .ephemeral = no_body,
				       .payload_sealed = no_body,
				       .mac1 = no_body,
				       .mac2 = no_body};
	struct writer w;
	bool ok = false;

	if (!peer_activate(peer))
		return false;
	writer_init(&w, payload, sizeof(payload));
	response_payload_write(&w, &fields);
	engine->io.random(engine->io.ctx, ephemeral, sizeof(ephemeral));
	ret->index = index_draw(engine);
	msg.sender = ret->index;
	writer_init(&w, ret->msg, sizeof(ret->msg));
	message_response_write(&w, &msg);
	assert(!w.failed);
	noise_add_data(noise, ret->msg, RESPONSE_EPHEMERAL_AT);
	if (noise_create_response(noise, epoch->psk.bytes, ephemeral, payload, sizeof(payload),
				  ret->msg + RESPONSE_EPHEMERAL_AT))
		goto out;
	noise_split(noise, send, receive);
	ret->session = session_new(aead, send, receive, ret->index, remote, false, engine->now);
	ok = ret->session != NULL;
out:
	secret_wipe(ephemeral, sizeof(ephemeral));
	secret_wipe(send, sizeof(send));
	secret_wipe(receive, sizeof(receive));
	return ok;
}

/* A wrong or refused initiation has changed nothing up to here. */
static void commit_answer(struct answer *answer, const struct via *via, size_t len)
{
	struct peer *peer = answer->peer;
	struct active *active = peer->active;
	struct realm *realm = peer->realm;
	struct engine *engine = realm->engine;

	memcpy(peer->last_timestamp, answer->asked.timestamp, TIMESTAMP_LEN);
	active->last_initiation = engine->now;
	peer->has_initiation = true;
	peer_take_slot(peer, SLOT_NEXT, answer->index, answer->session);
	peer->stats.rx_bytes += len;
	peer->stats.tx_bytes += RESPONSE_LEN;
	peer->stats.last_handshake = engine->now;
	peer->stats.mtu = answer->asked.mtu;
	peer->stats.aead = (uint8_t)choose_aead(engine, answer->asked.aead);
	timers_heard(&active->timers, engine->now);
	/* An initiation may have been held back and be sent from elsewhere: it moves nobody who has
	 * a session. */
	if (!peer_slot(peer, SLOT_CURRENT))
		peer_set_via(peer, via);
	cookie_add_macs(&active->jar, &active->keys, answer->msg, RESPONSE_LEN, engine->now);
	engine_count(engine, ENGINE_handshake_response_out);
	engine_send_via(engine, via, answer->msg, RESPONSE_LEN);
	if (realm->ops->heard)
		realm->ops->heard(realm->ctx, peer, via);
	if (!peer->dead)
		peer_sessions_changed(peer);
}

/* PROTOCOL 3.2: The prologue is "dnet/1" || kind 1 || id 20 || epoch 4 || header of the initiation
 * 8. */
struct prologue {
	uint8_t bytes[PROLOGUE_LEN + INITIATION_EPHEMERAL_AT];
};

static struct noise_local noise_side(const struct realm *realm, const struct realm_epoch *epoch,
				     const uint8_t *initiation, struct prologue *prologue)
{
	memcpy(prologue->bytes, epoch->prologue, PROLOGUE_LEN);
	memcpy(prologue->bytes + PROLOGUE_LEN, initiation, INITIATION_EPHEMERAL_AT);
	return (struct noise_local){
		.dh = &realm->engine->dh,
		.secret = realm->pair->secret.bytes,
		.pub = realm->pair->key.bytes,
		.prologue = prologue->bytes,
		.prologue_len = sizeof(prologue->bytes),
	};
}

/* False: it was not meant for this realm, or is in another epoch. */
static bool consume_initiation(struct realm *realm, const struct realm_epoch *epoch,
			       const struct via *via, const uint8_t *msg, size_t len,
			       uint32_t sender)
{
	struct engine *engine = realm->engine;
	struct prologue prologue;
	struct noise_local local = noise_side(realm, epoch, msg, &prologue);
	uint8_t payload[INITIATION_PAYLOAD_LEN];
	struct answer answer = {0};
	struct noise noise = {0};
	struct node_key key;

	if (noise_consume_initiation(&noise, &local, msg + INITIATION_EPHEMERAL_AT,
				     INITIATION_MAC1_AT - INITIATION_EPHEMERAL_AT, payload,
				     sizeof(payload)) ||
	    !initiation_payload_parse(payload, &answer.asked) ||
	    (realm->kind == REALM_DNET && !object_id_equal(&answer.asked.dnet, &realm->id))) {
		noise_wipe(&noise);
		return false;
	}
	memcpy(key.bytes, noise.remote_static, PUBKEY_LEN);
	answer.peer = authorize(realm, &key, &answer.asked.dnet);
	if (!answer.peer)
		engine_count(engine, ENGINE_handshake_not_member);
	else if (is_fresh(answer.peer, &answer.asked) &&
		 make_answer(answer.peer, &noise, epoch, sender, &answer))
		commit_answer(&answer, via, len);
	else if (!answer.peer->has_initiation)
		peer_sessions_changed(answer.peer); /* made for nothing: the owner may remove it */
	if (answer.peer)
		peer_schedule(answer.peer);
	noise_wipe(&noise);
	secret_wipe(&answer, sizeof(answer));
	return true;
}

/* The prologue says which epoch it is in. */
static bool consume_in_any_epoch(struct realm *realm, const struct via *via, const uint8_t *msg,
				 size_t len, uint32_t sender)
{
	for (unsigned i = 0; i < realm->epoch_count; i++)
		if (consume_initiation(realm, &realm->epochs[i], via, msg, len, sender))
			return true;
	return false;
}

/* A member's realm of a helper is for going there, not for being called. */
static bool realm_answers(const struct realm *realm)
{
	return realm->kind == REALM_DNET || realm->ops->authorize;
}

void handshake_input_initiation(struct engine *engine, const struct via *via, const uint8_t *msg,
				size_t len)
{
	struct message_initiation fields;
	struct realm *realm, *next;
	bool counted = false, high = false;

	if (!message_initiation_parse(msg, len, &fields)) {
		engine_count(engine, ENGINE_datagram_truncated);
		return;
	}
	engine_count(engine, ENGINE_handshake_initiation_in);
	for (realm = LIST_FIRST(&engine->realms); realm; realm = next) {
		next = LIST_NEXT(realm, entry);
		if (!realm_answers(realm) || !cookie_mac1_valid(&realm->keys, msg, len))
			continue;
		if (!counted) {
			counted = true;
			high = cookie_load_add(&engine->load, engine->now);
			if (!admit(engine, realm, via, msg, len, fields.sender, high))
				return;
		}
		/* The same key may stand in several realms: the prologue says which one. */
		if (consume_in_any_epoch(realm, via, msg, len, fields.sender))
			return;
	}
	engine_count(engine, counted ? ENGINE_handshake_invalid : ENGINE_handshake_mac1_wrong);
}

/* The session of a right response; NULL: wrong, or out of memory. */
static struct session *open_response(struct slot *slot, const uint8_t *msg, uint32_t remote,
				     struct response_payload *ret_payload)
{
	struct peer *peer = slot->peer;
	struct engine *engine = peer->realm->engine;
	struct noise noise = peer->active->noise;
	uint8_t payload[RESPONSE_PAYLOAD_LEN], send[NOISE_KEY_LEN], receive[NOISE_KEY_LEN];
	struct session *session = NULL;

	noise_add_data(&noise, msg, RESPONSE_EPHEMERAL_AT);
	if (noise_consume_response(&noise, peer->realm->epochs[peer->active->epoch].psk.bytes,
				   msg + RESPONSE_EPHEMERAL_AT,
				   RESPONSE_MAC1_AT - RESPONSE_EPHEMERAL_AT, payload,
				   sizeof(payload)) ||
	    !response_payload_parse(payload, ret_payload))
		goto out;
	/* One of those that we offered. */
	if ((ret_payload->aead != AEAD_CHACHA20_POLY1305 && ret_payload->aead != AEAD_AES256_GCM) ||
	    !(ret_payload->aead & engine->aead_mask))
		goto out;
	noise_split(&noise, send, receive);
	session = session_new(ret_payload->aead, send, receive, slot->index, remote, true,
			      engine->now);
	secret_wipe(send, sizeof(send));
	secret_wipe(receive, sizeof(receive));
out:
	noise_wipe(&noise);
	return session;
}

static void commit_response(struct slot *slot, struct session *session, const struct via *via,
			    const struct response_payload *payload)
{
	struct peer *peer = slot->peer;
	struct realm *realm = peer->realm;
	struct engine *engine = realm->engine;

	slot->session = session;
	noise_wipe(&peer->active->noise);
	peer_promote(peer, slot);
	peer->stats.rx_bytes += RESPONSE_LEN;
	peer->stats.last_handshake = engine->now;
	peer->stats.mtu = payload->mtu;
	peer->stats.aead = payload->aead;
	peer_set_via(peer, via);
	timers_heard(&peer->active->timers, engine->now);
	if (realm->ops->heard)
		realm->ops->heard(realm->ctx, peer, via);
	if (!peer->dead)
		peer_sessions_changed(peer);
	/* PROTOCOL 3.5, the responder may send only after it has opened something under the new
	 * keys. */
	if (!peer->dead && slot->role == SLOT_CURRENT && !session_sent(slot->session))
		peer_send_content(peer, via, NULL, 0, TIMERS_EMPTY);
	peer_schedule(peer);
}

void handshake_input_response(struct engine *engine, const struct via *via, const uint8_t *msg,
			      size_t len)
{
	struct message_response fields;
	struct response_payload payload;
	struct session *session;
	struct slot *slot;

	if (!message_response_parse(msg, len, &fields)) {
		engine_count(engine, ENGINE_datagram_truncated);
		return;
	}
	engine_count(engine, ENGINE_handshake_response_in);
	slot = index_find(&engine->index, fields.receiver);
	if (!slot || slot->role != SLOT_HANDSHAKE) {
		engine_count(engine, ENGINE_handshake_invalid);
		return;
	}
	if (!cookie_mac1_valid(&slot->peer->realm->keys, msg, len)) {
		engine_count(engine, ENGINE_handshake_mac1_wrong);
		return;
	}
	if (!admit(engine, slot->peer->realm, via, msg, len, fields.sender,
		   cookie_load_high(&engine->load, engine->now)))
		return;
	session = open_response(slot, msg, fields.sender, &payload);
	if (session)
		commit_response(slot, session, via, &payload);
	else
		engine_count(engine, ENGINE_handshake_invalid);
}

void handshake_input_cookie(struct engine *engine, const struct via *via, const uint8_t *msg,
			    size_t len)
{
	struct message_cookie fields;
	struct active *active;
	struct slot *slot;

	(void)via; /* the seal proves it, not the address */
	if (!message_cookie_parse(msg, len, &fields)) {
		engine_count(engine, ENGINE_datagram_truncated);
		return;
	}
	slot = index_find(&engine->index, fields.receiver);
	active = slot ? slot->peer->active : NULL;
	if (!active || !cookie_consume_reply(&active->jar, &active->keys, fields.nonce,
					     fields.sealed, engine->now)) {
		engine_count(engine, ENGINE_cookie_invalid);
		return;
	}
	engine_count(engine, ENGINE_cookie_received);
}

/* The wall clock, but never the same or an earlier time than before (PROTOCOL 3.4 would refuse us).
 */
static void next_timestamp(struct engine *engine, uint8_t ret[static TIMESTAMP_LEN])
{
	uint8_t now[TIMESTAMP_LEN];

	engine->io.timestamp(engine->io.ctx, now);
	if (memcmp(now, engine->last_timestamp, TIMESTAMP_LEN) > 0)
		memcpy(engine->last_timestamp, now, TIMESTAMP_LEN);
	else
		for (int i = TIMESTAMP_LEN - 1; i >= 0 && !++engine->last_timestamp[i]; i--)
			;
	memcpy(ret, engine->last_timestamp, TIMESTAMP_LEN);
}

/* False: the key from the records is no point of the curve. */
static bool make_initiation(struct peer *peer, struct noise *noise, uint32_t index,
			    uint8_t ret_msg[static INITIATION_LEN])
{
	struct realm *realm = peer->realm;
	struct engine *engine = realm->engine;
	struct initiation_payload asked = {
		.aead = engine->aead_mask, .mtu = realm->mtu, .dnet = peer->id.dnet};
	uint8_t payload[INITIATION_PAYLOAD_LEN], ephemeral[NOISE_KEY_LEN];
	struct message_initiation msg = {.sender = index,
					 .ephemeral = no_body,
					 .static_sealed = no_body,
					 .payload_sealed = no_body,
					 .mac1 = no_body,
					 .mac2 = no_body};
	struct noise_local local;
	struct prologue prologue;
	struct writer w;
	int r;

	next_timestamp(engine, asked.timestamp);
	writer_init(&w, payload, sizeof(payload));
	initiation_payload_write(&w, &asked);
	assert(!w.failed);
	engine->io.random(engine->io.ctx, ephemeral, sizeof(ephemeral));
	writer_init(&w, ret_msg, INITIATION_LEN);
	message_initiation_write(&w, &msg);
	assert(!w.failed);
	local = noise_side(realm, &realm->epochs[peer->active->epoch], ret_msg, &prologue);
	r = noise_create_initiation(noise, &local, peer->id.key.bytes, ephemeral, payload,
				    sizeof(payload), ret_msg + INITIATION_EPHEMERAL_AT);
	secret_wipe(ephemeral, sizeof(ephemeral));
	if (r)
		return false;
	cookie_add_macs(&peer->active->jar, &peer->active->keys, ret_msg, INITIATION_LEN,
			engine->now);
	return true;
}

void handshake_begin(struct peer *peer)
{
	struct active *active = peer->active;
	struct realm *realm = peer->realm;
	struct engine *engine = realm->engine;
	uint8_t msg[INITIATION_LEN];
	struct noise noise = {0};
	uint32_t index = index_draw(engine), jitter;

	engine->io.random(engine->io.ctx, &jitter, sizeof(jitter));
	timers_tried(&active->timers, jitter, engine->now);
	/* PROTOCOL 3.8: the first is in the epoch in force, and every second one in the epoch
	 * before */
	active->epoch = peer_slot(peer, SLOT_HANDSHAKE)
				? (uint8_t)((active->epoch + 1u) % realm->epoch_count)
				: 0;
	if (!make_initiation(peer, &noise, index, msg)) {
		noise_wipe(&noise);
		return;
	}
	peer_take_slot(peer, SLOT_HANDSHAKE, index, NULL);
	active->noise = noise;
	noise_wipe(&noise);
	peer->stats.tx_bytes += INITIATION_LEN;
	engine_count(engine, ENGINE_handshake_initiation_out);
	if (realm->ops->transmit_handshake)
		realm->ops->transmit_handshake(realm->ctx, peer, msg, INITIATION_LEN);
	else if (active->has_via)
		engine_send_via(engine, &active->via, msg, INITIATION_LEN);
}
