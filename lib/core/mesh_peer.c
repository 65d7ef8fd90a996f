#include "core/mesh_parts.h"

#include "core/session.h"
#include "wire/ip.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

/* A peer's way to be reached (PROTOCOL 7, 8):
 *
 *	somebody wants it → handshake to every candidate and lane; INTRODUCE, LANE_OPEN
 *	INTRODUCTION, LANE, CANDIDATES → more candidates; the handshake is tried again at once
 *	session up → what waited goes out; PINGs find the best path
 *	no direct path while packets flow → the helpers are asked again now and then */

#define ASK_CONNECTING (2 * NS_PER_S)
#define ASK_RELAYED    (5 * NS_PER_S) /* PROTOCOL 7.4 */
#define CANDIDATES_MIN (1 * NS_PER_S) /* between two that are accepted */
#define PING_AGAIN     (2 * NS_PER_S)

#define MTU_AGAIN (1 * NS_PER_S) /* between two looks at the path's */

/* PROTOCOL 7.5: introductions to a peer are believed at 2 a second, burst 10 */
enum { INTRODUCTION_RATE = 2, INTRODUCTION_BURST = 10 };

/* PROTOCOL 8.2: three punches to each endpoint (at 0, 100 and 300 ms) */
static const uint64_t punch_pause[PUNCH_ROUNDS] = {0, 100 * NS_PER_MS, 200 * NS_PER_MS};

/* Something waits that is to be sent to it. */
static bool waits(const struct mesh_peer *p)
{
	return p->stage.packets || p->pings || p->wanted_until;
}

bool mesh_peer_is_awaited(const struct mesh_peer *p)
{
	return waits(p) || p->seek_until;
}

/* It is to be reached, or to be reached better. */
static bool in_need(const struct mesh_peer *p, uint64_t now)
{
	if (!p->up)
		return waits(p);
	return path_wanting(&p->paths) && (waits(p) || path_flows(&p->paths, now));
}

void mesh_peer_schedule(struct mesh_peer *p, uint64_t now)
{
	uint64_t deadline = path_deadline(&p->paths, now);

	if (in_need(p, now) && p->next_ask < deadline)
		deadline = p->next_ask;
	if (p->punch_round < PUNCH_ROUNDS && p->punch_at < deadline)
		deadline = p->punch_at;
	if (offer_deadline(p) < deadline)
		deadline = offer_deadline(p);
	if (mesh_peer_rests_at(p, now) < deadline)
		deadline = mesh_peer_rests_at(p, now);
	timer_heap_set(&p->mesh->timers, &p->timer, deadline);
}

static void ask_helpers(struct mesh_peer *p, uint64_t now)
{
	if (now < p->next_ask || !in_need(p, now))
		return;
	/* Without a helper it is asked as soon as one comes: mesh_peer_on_helper(). */
	helpers_ask(p->mesh, peer_key(p->peer), now);
	p->next_ask = now + (p->up ? ASK_RELAYED : ASK_CONNECTING);
	if (p->up)
		mesh_peer_tell_candidates(p, now);
}

void mesh_peer_want(struct mesh_peer *p, uint64_t now)
{
	if (!peer_session(p->peer, now))
		peer_connect(p->peer, now);
	ask_helpers(p, now);
	mesh_peer_schedule(p, now);
}

void mesh_peer_on_helper(struct mesh_member *m, uint64_t now)
{
	struct mesh_peer *p = m->active;

	offer_seek_soon(m);
	if (!p)
		return;
	p->next_ask = 0;
	if (in_need(p, now))
		mesh_peer_want(p, now);
}

/* What a stranger may not make us send to: ourselves, everybody, and the overlay itself (a tunnel
 * through the tunnel). */
static bool is_usable(const struct mesh *mesh, const struct endpoint *e)
{
	const struct address *a = &e->addr;

	/* Of IPv6 such an address is none without the link that it is on. */
	if (a->family == ADDR_V6 && address_is_link_local(a))
		return false;
	return e->port && address_is_host(a) && !route_lookup(mesh->routes, a->family, a->bytes);
}

void mesh_peer_add_candidates(struct mesh_peer *p, const struct frame_endpoints *list, uint64_t now)
{
	for (size_t i = 0; i < list->count; i++)
		if (is_usable(p->mesh, &list->list[i]))
			path_add_endpoint(&p->paths, &list->list[i], PATH_INTRODUCED, now);
	mesh_peer_schedule(p, now);
}

bool mesh_peer_take_introduction(struct mesh_peer *p, uint64_t now)
{
	return ratelimit_take_one(&p->introductions, INTRODUCTION_RATE, INTRODUCTION_BURST, now);
}

/* PROTOCOL 7.5: an endpoint is somebody's word, until whoever is there has answered. */
static bool may_try(struct mesh_peer *p, const struct address *at, uint64_t now)
{
	if (ratelimit_take(p->mesh->unproven, at, now))
		return true;
	mesh_count(p->mesh, MESH_path_limited);
	return false;
}

void mesh_peer_punch(struct mesh_peer *p, const struct frame_endpoints *list, uint64_t now)
{
	/* One round at a time, however often a lying OVC introduces. */
	if (p->punch_round < PUNCH_ROUNDS)
		return;
	p->punches = *list;
	p->punch_round = 0;
	p->punch_at = now;
	mesh_peer_schedule(p, now);
}

static void punch(struct mesh_peer *p, uint64_t now)
{
	uint8_t msg[PUNCH_LEN];
	struct writer w;

	if (p->punch_round >= PUNCH_ROUNDS || now < p->punch_at)
		return;
	writer_init(&w, msg, sizeof(msg));
	message_punch_write(&w);
	for (size_t i = 0; i < p->punches.count; i++) {
		struct via via = {.endpoint = p->punches.list[i]};

		if (is_usable(p->mesh, &via.endpoint) && may_try(p, &via.endpoint.addr, now))
			engine_send_via(p->mesh->engine, &via, msg, writer_len(&w));
	}
	if (++p->punch_round < PUNCH_ROUNDS)
		p->punch_at = now + punch_pause[p->punch_round];
}

void mesh_peer_drop_lane(struct mesh_peer *p, struct mesh_lane *lane, uint64_t now)
{
	HASH_DEL(p->mesh->lanes, lane);
	path_remove_lane(&p->paths, &lane->via, now);
	memset(lane, 0, sizeof(*lane));
	mesh_peer_schedule(p, now);
}

/* One of each OVR: a new one replaces it. */
void mesh_peer_add_lane(struct mesh_peer *p, const struct helper *helper, uint64_t id, uint64_t now)
{
	struct via via = {peer_via(helper->peer)->endpoint, id};
	struct mesh_lane *lane = NULL, *other;

	for (unsigned i = 0; i < PATH_LANES; i++)
		if (p->lanes[i].helper == helper || (!lane && !p->lanes[i].id))
			lane = &p->lanes[i];
	HASH_FIND(hh, p->mesh->lanes, &id, sizeof(id), other);
	p->lane_refused = 0;
	if (!lane || !id || (other && other != lane))
		return;
	if (lane->id == id && endpoint_equal(&lane->via.endpoint, &via.endpoint))
		return;
	if (lane->id)
		mesh_peer_drop_lane(p, lane, now);
	lane->id = id;
	lane->via = via;
	lane->helper = helper;
	lane->peer = p;
	HASH_ADD(hh, p->mesh->lanes, id, sizeof(lane->id), lane);
	if (!lane->hh.tbl) {
		memset(lane, 0, sizeof(*lane));
		return;
	}
	path_add_lane(&p->paths, &via, now);
	if (!p->up && mesh_peer_is_awaited(p))
		peer_reconnect(p->peer, now);
	mesh_peer_schedule(p, now);
}

static void add_own(struct mesh *mesh, struct frame_endpoints *list, const struct endpoint *e)
{
	if (list->count >= FRAME_CANDIDATES_MAX || e->addr.family == ADDR_NONE || !e->port)
		return;
	for (size_t i = 0; i < list->count; i++)
		if (endpoint_equal(&list->list[i], e))
			return;
	list->list[list->count++] = *e;
}

void mesh_peer_tell_candidates(struct mesh_peer *p, uint64_t now)
{
	struct frame frame = {.type = FRAME_CANDIDATES};
	const struct path *path = path_current(&p->paths);
	uint8_t bytes[FRAME_MAX];
	const struct helper *h;
	struct writer w;

	if (!p->up || !path)
		return;
	LIST_FOREACH(h, &p->mesh->helpers, entry)
	add_own(p->mesh, &frame.candidates, &h->observed);
	for (size_t i = 0; i < p->mesh->local_count; i++)
		add_own(p->mesh, &frame.candidates, &p->mesh->local[i]);
	if (!frame.candidates.count)
		return;
	p->told_at = now;
	writer_init(&w, bytes, sizeof(bytes));
	frame_write(&w, &frame);
	if (!w.failed)
		peer_send_frame(p->peer, &path->via, bytes, writer_len(&w), now);
}

static bool send_ping(struct mesh_peer *p, const struct via *via, uint64_t *ret_id, uint64_t now)
{
	struct frame frame = {.type = FRAME_PING};
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	/* Not to be guessed: a PONG proves that the PING arrived. */
	p->mesh->io.random(p->mesh->io.ctx, &frame.ping.id, sizeof(frame.ping.id));
	writer_init(&w, bytes, sizeof(bytes));
	frame_write(&w, &frame);
	*ret_id = frame.ping.id;
	return !w.failed && !peer_send_frame(p->peer, via, bytes, writer_len(&w), now);
}

static void probe(struct mesh_peer *p, uint64_t now)
{
	struct path *path;
	uint64_t id;

	while (path_due(&p->paths, now, &path)) {
		/* Asked too often it counts as asked: the next one is due in time. */
		if (!path_is_proven(path, now) && !may_try(p, &path->via.endpoint.addr, now)) {
			p->mesh->io.random(p->mesh->io.ctx, &id, sizeof(id));
		} else if (!send_ping(p, &path->via, &id, now)) {
			path_set_up(&p->paths, false, now);
			return;
		}
		path_sent(&p->paths, path, id, now);
	}
}

/* What a datagram that goes that way in one piece leaves to the packet inside. Less than every link
 * takes (RFC 8200, 5) is nothing to ask of our host: then there are fragments below us. */
static size_t room_inside(const struct mesh_peer *p, const struct via *via)
{
	const struct engine_io *io = &p->mesh->io;
	size_t mtu = io->path_mtu ? io->path_mtu(io->ctx, &via->endpoint) : 0;
	size_t headers = UDP_HEADER_LEN + SESSION_OVERHEAD + (via->lane ? LANE_HEADER_LEN : 0) +
			 (via->endpoint.addr.family == ADDR_V4 ? IPV4_HEADER_MIN : IPV6_HEADER_LEN);

	if (!mtu)
		return UINT16_MAX;
	return mtu < headers + IPV6_MTU_MIN ? IPV6_MTU_MIN : mtu - headers;
}

static void learn_mtu(struct mesh_peer *p, uint64_t now)
{
	const struct path *path = path_current(&p->paths);
	size_t room;

	if (!p->up || !path || (p->mtu_at && now - p->mtu_at < MTU_AGAIN))
		return;
	room = room_inside(p, &path->via);
	p->mtu = room < p->takes ? (uint16_t)room : p->takes;
	p->mtu_at = now;
}

static void tell_change(struct mesh_peer *p, uint64_t now)
{
	if (p->changes == p->paths.changes)
		return;
	p->changes = p->paths.changes;
	p->mtu_at = 0;
	learn_mtu(p, now);
	mesh_count(p->mesh, MESH_path_changed);
	/* No direct path any more: the helpers may know better at once. */
	if (path_wanting(&p->paths))
		p->next_ask = 0;
	data_unstage(p, now);
	mesh_tell(p->mesh, peer_key(p->peer), path_reason(&p->paths));
}

void mesh_peer_ping(struct mesh_peer *p, uint64_t now)
{
	const struct path *path = path_current(&p->paths);
	struct ping *ping;

	LIST_FOREACH(ping, &p->mesh->pings, entry)
	{
		if (ping->peer != p || !p->up || !path ||
		    (ping->sent && now - ping->sent < PING_AGAIN))
			continue;
		if (!send_ping(p, &path->via, &ping->id, now))
			return;
		ping->sent = now;
		ping->via = path->via;
	}
}

void mesh_peer_tick(struct mesh_peer *p, uint64_t now)
{
	learn_mtu(p, now);
	punch(p, now);
	probe(p, now);
	tell_change(p, now);
	offer_tick(p, now);
	ask_helpers(p, now);
	/* What a newly doubted path asks for may be due already. */
	probe(p, now);
	mesh_peer_schedule(p, now);
	mesh_peer_rest(p, now);
}

static void on_session_changed(void *ctx, struct peer *peer, bool up)
{
	struct mesh_member *m = peer_ctx(peer);
	uint64_t now = engine_now(m->mesh->engine);
	struct mesh_peer *p = up ? mesh_member_activate(m, now) : m->active;
	struct peer_stats stats;
	bool was_up;

	m->gave_up = !up;
	/* Down, it has nothing to say; up, the next message of it finds memory: on_heard(). */
	if (!p)
		return;
	was_up = p->up;
	p->up = up;
	p->tries = 0;
	path_set_up(&p->paths, up, now);
	if (up) {
		peer_get_stats(peer, &stats);
		p->takes = p->mtu = stats.mtu;
		p->mtu_at = 0;
		learn_mtu(p, now);
		mesh_peer_tell_candidates(p, now);
		data_unstage(p, now);
		data_flush_boxes(p->mesh, p, now);
		mesh_peer_ping(p, now);
		p->next_ask = 0;
	} else {
		data_drop_staged(p, now);
	}
	offer_on_session(p, up, now);
	if (up != was_up)
		mesh_tell(p->mesh, peer_key(peer), up ? "connected" : "disconnected");
	mesh_peer_schedule(p, now);
}

static void on_heard(void *ctx, struct peer *peer, const struct via *via)
{
	struct mesh_member *m = peer_ctx(peer);
	uint64_t now = engine_now(m->mesh->engine);
	struct mesh_peer *p = mesh_member_activate(m, now);
	struct peer_stats stats;

	if (!p)
		return;
	if (path_heard(&p->paths, via, now))
		mesh_peer_schedule(p, now);
	if (p->up)
		return;
	peer_get_stats(peer, &stats);
	if (stats.up)
		on_session_changed(ctx, peer, true);
}

/* PROTOCOL 7.3: while no path has been confirmed, handshakes go to every candidate and lane at
 * once. Only the first copy is answered, the way it came; in case that way is open in one direction
 * only, every third try goes over lanes alone. */
static void on_transmit(void *ctx, struct peer *peer, const uint8_t *msg, size_t len)
{
	struct mesh_member *m = peer_ctx(peer);
	uint64_t now = engine_now(m->mesh->engine);
	struct mesh_peer *p = mesh_member_activate(m, now);
	const struct path *path = p ? path_current(&p->paths) : NULL;
	bool lanes_only;

	if (!p)
		return;
	lanes_only = p->tries++ % 3 == 2 && p->paths.list[PATH_ENDPOINTS].used;
	if (path && path->confirmed && !path->unanswered) {
		p->tries = 0;
		engine_send_via(p->mesh->engine, &path->via, msg, len);
		return;
	}
	for (int i = lanes_only ? PATH_ENDPOINTS : 0; i < PATH_ENTRIES; i++) {
		const struct path *way = &p->paths.list[i];

		if (way->used &&
		    (path_is_proven(way, now) || may_try(p, &way->via.endpoint.addr, now)))
			engine_send_via(p->mesh->engine, &way->via, msg, len);
	}
}

static void take_pong(struct mesh_peer *p, uint64_t id, uint64_t now)
{
	struct ping *ping;

	if (path_pong(&p->paths, id, now)) {
		tell_change(p, now);
		data_unstage(p, now);
		mesh_peer_ping(p, now);
		mesh_peer_schedule(p, now);
		return;
	}
	LIST_FOREACH(ping, &p->mesh->pings, entry)
	{
		struct mesh_pong pong = {.found = true, .via = ping->via};
		struct mesh_lane *lane;

		if (ping->peer != p || !ping->sent || ping->id != id)
			continue;
		pong.rtt_ns = now - ping->sent;
		HASH_FIND(hh, p->mesh->lanes, &ping->via.lane, sizeof(ping->via.lane), lane);
		if (ping->via.lane && lane)
			pong.relay = lane->helper->row.id;
		pong.reason = path_reason(&p->paths);
		LIST_REMOVE(ping, entry);
		p->pings--;
		ping->done(ping->ctx, &pong);
		free(ping);
		return;
	}
}

static void on_frame(void *ctx, struct peer *peer, const struct via *via, const uint8_t *bytes,
		     size_t len)
{
	const struct mesh_member *m = peer_ctx(peer);
	uint64_t now = engine_now(m->mesh->engine);
	struct mesh_peer *p = m->active;
	struct frame frame;

	if (!frame_parse(bytes, len, &frame)) {
		mesh_count(m->mesh, MESH_frame_malformed);
		return;
	}
	if (!p)
		return;
	switch (frame.type) {
	case FRAME_PONG:
		take_pong(p, frame.ping.id, now);
		return;
	case FRAME_CANDIDATES:
		if (p->candidates_at && now - p->candidates_at < CANDIDATES_MIN) {
			mesh_count(p->mesh, MESH_frame_too_often);
			return;
		}
		p->candidates_at = now;
		mesh_peer_add_candidates(p, &frame.candidates, now);
		return;
	case FRAME_OFFER:
	case FRAME_OFFER_ACK:
	case FRAME_CARRY:
		offer_on_frame(p, &frame, bytes, len, now);
		return;
	}
}

const struct realm_ops mesh_peer_ops = {
	.transmit_handshake = on_transmit,
	.session_changed = on_session_changed,
	.frame = on_frame,
	.packet = data_on_packet,
	.heard = on_heard,
};

static const char *ovc_reason(const struct mesh *mesh)
{
	const struct helper *h;
	bool any = false;

	LIST_FOREACH(h, &mesh->helpers, entry)
	{
		if (h->row.kind != OBJECT_OVC)
			continue;
		if (h->registered)
			return NULL;
		any = true;
	}
	return any ? "not registered at any OVC" : "the dnet has no OVC";
}

const char *mesh_peer_waiting_reason(const struct mesh_member *m)
{
	const char *reason = ovc_reason(m->mesh);
	const struct mesh_peer *p = m->active;

	if (!p || !mesh_peer_is_awaited(p))
		return "no packets to or from it";
	if (reason)
		return reason;
	switch (p->not_here) {
	case 1:
		return "the OVC does not know it as a member";
	case 2:
		return "it is not registered at the OVC";
	case 3:
		return "the OVC was asked too often";
	}
	return "no answer from any candidate or lane";
}
