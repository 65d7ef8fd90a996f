#include "core/mesh_parts.h"

#include "wire/ovc.h"
#include "wire/ovr.h"

#include <stdlib.h>

/* PROTOCOL 8 from the member's side: a session with each OVC and OVR that is for ever kept up,
 * REGISTER or PING over it now and then, and questions about peers. The engine's own rule starts a
 * handshake when questions stay unanswered for 5 s; a helper that was restarted shall be found
 * sooner, so the first question without an answer is watched here. */

#define HELPER_KEEPALIVE (15 * NS_PER_S)
#define HELPER_ANSWERS	 (1500 * NS_PER_MS)
#define HELPER_DOUBT	 (3 * NS_PER_S) /* between two doubts */

static bool is_ovc(const struct helper *h)
{
	return h->row.kind == OBJECT_OVC;
}

size_t helper_endpoints(const struct helper *h, struct endpoint ret[static 2 * HELPER_ENDPOINTS])
{
	size_t n = 0;

	for (size_t i = 0; i < h->row.endpoint_count; i++) {
		const struct record_endpoint *e = &h->row.endpoints[i];

		if (e->transport == TRANSPORT_UDP && e->address.family)
			ret[n++] = (struct endpoint){e->address, e->port};
	}
	for (size_t i = 0; i < h->resolved_count; i++)
		ret[n++] = h->resolved[i];
	return n;
}

static bool send_frame(struct helper *h, const struct writer *w, bool question, uint64_t now)
{
	if (w->failed || peer_send_frame(h->peer, peer_via(h->peer), w->start, writer_len(w), now))
		return false;
	if (question && !h->asked) {
		h->asked = now;
		mesh_wake(h->mesh, now + HELPER_ANSWERS);
	}
	return true;
}

static void send_register(struct helper *h, uint64_t now)
{
	struct ovc_frame frame = {.type = FRAME_REGISTER};
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	for (size_t i = 0; i < h->mesh->local_count; i++)
		frame.local.list[frame.local.count++] = h->mesh->local[i];
	writer_init(&w, bytes, sizeof(bytes));
	ovc_frame_write(&w, &frame);
	if (send_frame(h, &w, true, now))
		h->ping_sent = now;
}

static void send_ping(struct helper *h, uint64_t now)
{
	struct frame frame = {.type = FRAME_PING};
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	h->mesh->io.random(h->mesh->io.ctx, &h->ping_id, sizeof(h->ping_id));
	frame.ping.id = h->ping_id;
	writer_init(&w, bytes, sizeof(bytes));
	frame_write(&w, &frame);
	if (send_frame(h, &w, true, now))
		h->ping_sent = now;
}

/* What nothing but our own question can have led to: a LANE, or an INTRODUCTION that is to be
 * answered, is sent when somebody else asks. */
static void answered(struct helper *h)
{
	h->asked = 0;
	h->silent = false;
}

/* PROTOCOL 9.7: A member sends PUBLISH with each of its statements after each REGISTER */
static void publish(struct helper *h, uint64_t now)
{
	const struct own_offer *own = &h->mesh->own;

	for (size_t i = 0; i < own->count; i++) {
		struct ovc_frame frame = {.type = FRAME_PUBLISH};
		uint8_t bytes[FRAME_STATEMENT_MAX];
		struct writer w;

		frame.publish = own->frames[i].statement;
		if (!frame.publish.len)
			continue;
		writer_init(&w, bytes, sizeof(bytes));
		ovc_frame_write(&w, &frame);
		send_frame(h, &w, false, now);
	}
}

static void keep_alive(struct helper *h, uint64_t now)
{
	h->wake |= h->refresh;
	h->refresh = false;
	h->next_at = now + HELPER_KEEPALIVE;
	if (is_ovc(h)) {
		send_register(h, now);
		publish(h, now);
	} else {
		send_ping(h, now);
	}
}

static bool ask(struct helper *h, const struct node_key *key, uint64_t now)
{
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	if (is_ovc(h)) {
		struct ovc_frame frame = {.type = FRAME_INTRODUCE, .introduce = *key};

		ovc_frame_write(&w, &frame);
		return send_frame(h, &w, true, now);
	}
	struct ovr_frame frame = {.type = FRAME_LANE_OPEN, .key = *key};

	ovr_frame_write(&w, &frame);
	if (!send_frame(h, &w, false, now))
		return false;
	/* Of a LANE nobody can tell who of the two asked; of a PONG it can be told. */
	if (!h->asked)
		send_ping(h, now);
	return true;
}

bool helpers_ask(struct mesh *mesh, const struct node_key *key, uint64_t now)
{
	struct helper *h;
	bool any = false;

	LIST_FOREACH(h, &mesh->helpers, entry)
	if (h->up && ask(h, key, now))
		any = true;
	return any;
}

/* Those who wait ask at once. */
static void wake_peers(struct mesh *mesh, uint64_t now)
{
	for (size_t i = 0; i < mesh->member_count; i++)
		if (mesh->members[i])
			mesh_peer_on_helper(mesh->members[i], now);
}

static void take_introduction(const struct helper *h, struct mesh_member *m,
			      const struct ovc_frame *f, uint64_t now)
{
	struct mesh_peer *p = mesh_member_activate(m, now);

	m->introducer = h;
	if (!p)
		return;
	p->not_here = 0;
	/* Each makes us send to where the OVC says: not as often as it likes. */
	if (!mesh_peer_take_introduction(p, now)) {
		mesh_count(h->mesh, MESH_frame_too_often);
		return;
	}
	mesh_peer_add_candidates(p, &f->introduction.endpoints, now);
	if (f->introduction.role == INTRODUCTION_ANSWER)
		mesh_peer_punch(p, &f->introduction.endpoints, now);
	else if (!p->up && mesh_peer_is_awaited(p))
		peer_reconnect(p->peer, now);
}

static void take_ovc_frame(struct helper *h, const struct ovc_frame *f, uint64_t now)
{
	struct mesh *mesh = h->mesh;
	struct mesh_member *m;

	switch (f->type) {
	case FRAME_REGISTERED:
		answered(h);
		if (h->ping_sent)
			h->rtt_ns = now - h->ping_sent;
		h->ping_sent = 0;
		h->garbled = false;
		h->observed = f->registered.observed;
		h->members = f->registered.members;
		if (!h->registered) {
			h->registered = true;
			mesh_tell(mesh, &h->row.key, "registered at the OVC");
		}
		if (h->wake)
			wake_peers(mesh, now);
		h->wake = false;
		return;
	case FRAME_INTRODUCTION:
		if (f->introduction.role == INTRODUCTION_INITIATE)
			answered(h);
		m = mesh_member_find(mesh, &f->introduction.key);
		if (!m)
			break;
		take_introduction(h, m, f, now);
		return;
	case FRAME_STATEMENT:
		offer_on_statement(h, &f->statement.key, f->statement.port, &f->statement.statement,
				   now);
		return;
	case FRAME_NOT_HERE:
		answered(h);
		m = mesh_member_find(mesh, &f->not_here.key);
		if (!m)
			break;
		if (m->active)
			m->active->not_here = f->not_here.reason;
		return;
	}
	mesh_count(mesh, MESH_frame_unexpected);
}

static void close_lane(struct helper *h, uint64_t id, uint64_t now)
{
	struct mesh_lane *lane;

	HASH_FIND(hh, h->mesh->lanes, &id, sizeof(id), lane);
	if (lane && lane->helper == h)
		mesh_peer_drop_lane(lane->peer, lane, now);
}

static void take_ovr_frame(struct helper *h, const struct ovr_frame *f, uint64_t now)
{
	struct mesh_member *m = NULL;
	struct mesh_peer *p;

	if (f->type == FRAME_LANE_CLOSED) {
		close_lane(h, f->lane, now);
		return;
	}
	if (f->type == FRAME_LANE_REFUSED)
		answered(h);
	if (f->type == FRAME_LANE || f->type == FRAME_LANE_REFUSED)
		m = mesh_member_find(h->mesh, &f->key);
	if (!m) {
		mesh_count(h->mesh, MESH_frame_unexpected);
		return;
	}
	p = f->type == FRAME_LANE ? mesh_member_activate(m, now) : m->active;
	if (p && f->type == FRAME_LANE)
		mesh_peer_add_lane(p, h, f->lane, now);
	else if (p)
		p->lane_refused = f->reason;
	h->lane_refused = f->type == FRAME_LANE ? 0 : f->reason;
}

static void take_common_frame(struct helper *h, const struct frame *f, uint64_t now)
{
	if (f->type != FRAME_PONG || !h->ping_sent || f->ping.id != h->ping_id)
		return;
	answered(h);
	h->rtt_ns = now - h->ping_sent;
	h->ping_sent = 0;
	h->garbled = false;
	h->observed = f->ping.observed;
	if (!h->registered) {
		h->registered = true;
		mesh_tell(h->mesh, &h->row.key, "connected to the OVR");
	}
	if (h->wake)
		wake_peers(h->mesh, now);
	h->wake = false;
}

static void on_frame(void *ctx, struct peer *peer, const struct via *via, const uint8_t *bytes,
		     size_t len)
{
	struct helper *h = ctx;
	uint64_t now = engine_now(h->mesh->engine);
	struct ovc_frame ovc;
	struct ovr_frame ovr;
	struct frame frame;

	if (frame_parse(bytes, len, &frame))
		take_common_frame(h, &frame, now);
	else if (is_ovc(h) && ovc_frame_parse(bytes, len, &ovc))
		take_ovc_frame(h, &ovc, now);
	else if (!is_ovc(h) && ovr_frame_parse(bytes, len, &ovr))
		take_ovr_frame(h, &ovr, now);
	else {
		mesh_count(h->mesh, MESH_frame_malformed);
		h->garbled = true;
	}
}

/* Every address of it at once: the answer says which one works. */
static void on_transmit(void *ctx, struct peer *peer, const uint8_t *msg, size_t len)
{
	struct helper *h = ctx;
	struct endpoint list[2 * HELPER_ENDPOINTS];
	size_t n = helper_endpoints(h, list);

	for (size_t i = 0; i < n; i++)
		engine_send_via(h->mesh->engine, &(struct via){.endpoint = list[i]}, msg, len);
}

static void drop_lanes(struct helper *h, uint64_t now)
{
	for (size_t i = 0; i < h->mesh->member_count; i++) {
		struct mesh_peer *p = h->mesh->members[i] ? h->mesh->members[i]->active : NULL;

		for (unsigned k = 0; p && k < PATH_LANES; k++)
			if (p->lanes[k].id && p->lanes[k].helper == h)
				mesh_peer_drop_lane(p, &p->lanes[k], now);
	}
}

static void on_session_changed(void *ctx, struct peer *peer, bool up)
{
	struct helper *h = ctx;
	uint64_t now = engine_now(h->mesh->engine);

	if (!up && h->up) {
		h->registered = false;
		drop_lanes(h, now);
		mesh_tell(h->mesh, &h->row.key,
			  is_ovc(h) ? "the OVC does not answer" : "the OVR does not answer");
	}
	h->up = up;
	h->asked = 0;
	if (!up)
		return;
	h->refresh = true;
	mesh_wake(h->mesh, now);
}

/* Also a new session in place of the old one: the helper may have been restarted, and then it knows
 * nothing of us. */
static void on_heard(void *ctx, struct peer *peer, const struct via *via)
{
	struct helper *h = ctx;
	struct peer_stats stats;

	peer_get_stats(peer, &stats);
	if (stats.last_handshake == h->last_handshake)
		return;
	h->last_handshake = stats.last_handshake;
	h->refresh = true;
	mesh_wake(h->mesh, engine_now(h->mesh->engine));
}

static const struct realm_ops helper_ops = {
	.transmit_handshake = on_transmit,
	.session_changed = on_session_changed,
	.frame = on_frame,
	.heard = on_heard,
};

struct helper *helper_new(struct mesh *mesh, const struct netmap_helper *row)
{
	struct helper *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->mesh = mesh;
	h->row = *row;
	h->realm = engine_add_realm(mesh->engine, row->kind == OBJECT_OVC ? REALM_OVC : REALM_OVR,
				    &row->id, mesh->pair, &helper_ops, h);
	if (h->realm)
		h->peer = realm_add_peer(h->realm, &row->key, &mesh->dnet);
	if (!h->peer) {
		if (h->realm)
			realm_remove(h->realm);
		free(h);
		return NULL;
	}
	return h;
}

void helper_free(struct helper *h, uint64_t now)
{
	if (!h)
		return;
	drop_lanes(h, now);
	book_remove(h->mesh->book, &h->row.key);
	h->up = false; /* it says nothing about itself any more */
	realm_remove(h->realm);
	free(h);
}

void helper_update(struct helper *h, const struct netmap_helper *row, uint64_t now)
{
	h->row = *row;
	peer_set_persistent(h->peer, true);
	if (!h->up)
		peer_reconnect(h->peer, now);
}

struct helper *helper_find(const struct mesh *mesh, uint8_t kind, const struct object_id *id)
{
	struct helper *h;

	LIST_FOREACH(h, &mesh->helpers, entry)
	if (h->row.kind == kind && object_id_equal(&h->row.id, id))
		return h;
	return NULL;
}

void helper_tick(struct helper *h, uint64_t now)
{
	if (!h->up)
		return;
	if (h->refresh || now >= h->next_at)
		keep_alive(h, now);
	if (!h->asked || now - h->asked < HELPER_ANSWERS)
		return;
	h->asked = 0;
	h->silent = true;
	if (h->doubted && now - h->doubted < HELPER_DOUBT)
		return;
	h->doubted = now;
	peer_reconnect(h->peer, now);
}

uint64_t helper_deadline(const struct helper *h)
{
	uint64_t deadline = h->next_at;

	if (!h->up)
		return UINT64_MAX;
	if (h->refresh)
		return 0;
	if (h->asked && h->asked + HELPER_ANSWERS < deadline)
		deadline = h->asked + HELPER_ANSWERS;
	return deadline;
}

void helpers_refresh(struct mesh *mesh, uint64_t now)
{
	struct helper *h;

	LIST_FOREACH(h, &mesh->helpers, entry)
	h->refresh = true;
	mesh_wake(mesh, now);
}

void helpers_publish(struct mesh *mesh, uint64_t now)
{
	struct helper *h;

	LIST_FOREACH(h, &mesh->helpers, entry)
	if (is_ovc(h) && h->registered)
		publish(h, now);
}
