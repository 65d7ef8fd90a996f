#include "core/mesh_parts.h"

#include "wire/ovr.h"

#include <assert.h>

static void fill_path(const struct mesh *mesh, const struct mesh_peer *p,
		      struct mesh_peer_status *s)
{
	const struct path *path = p && p->up ? path_current(&p->paths) : NULL;
	struct mesh_lane *lane;

	if (!path)
		return;
	s->path = path->via.lane ? PATH_RELAY : PATH_DIRECT;
	s->endpoint = path->via.endpoint;
	s->rtt_ns = path->rtt_ns;
	HASH_FIND(hh, mesh->lanes, &path->via.lane, sizeof(path->via.lane), lane);
	if (path->via.lane && lane)
		s->relay = lane->helper->row.id;
}

void mesh_visit_peers(const struct mesh *mesh, mesh_visit_peer *visit, void *ctx)
{
	for (size_t i = 0; i < mesh->member_count; i++) {
		const struct mesh_member *m = mesh->members[i];
		const struct mesh_peer *p = m ? m->active : NULL;
		struct mesh_peer_status s = {.node = m ? m->node : NULL};
		bool up = p && p->up;

		if (!m)
			continue;
		peer_get_stats(m->peer, &s.stats);
		s.mtu = p ? p->mtu : 0;
		s.stats.rx_bytes = m->rx_bytes;
		s.stats.tx_bytes = m->tx_bytes;
		s.stats.rx_packets = m->rx_packets;
		s.stats.tx_packets = m->tx_packets;
		fill_path(mesh, p, &s);
		s.state = up ? "connected" : "idle";
		if (!up && p && (p->stage.packets || p->pings))
			s.state = "connecting";
		s.reason = up ? path_reason(&p->paths) : mesh_peer_waiting_reason(m);
		s.native = !m->foreign;
		s.refused = m->refused;
		visit(ctx, &s);
	}
}

static void visit_one(const struct mesh *mesh, const struct path *path, bool current,
		      mesh_visit_path *visit, void *ctx)
{
	struct mesh_path_status s = {
		.via = path->via,
		.current = current,
		.confirmed = path->confirmed,
		.introduced = path->origin == PATH_INTRODUCED,
		.unanswered = path->confirmed ? path->unanswered : path->tries,
		.last_ping = path->last_ping,
		.last_pong = path->last_pong,
		.rtt_ns = path->rtt_ns,
	};
	struct mesh_lane *lane;

	HASH_FIND(hh, mesh->lanes, &path->via.lane, sizeof(path->via.lane), lane);
	if (path->via.lane && lane)
		s.relay = lane->helper->row.id;
	visit(ctx, &s);
}

/* Where one was found that is idle now. */
static void visit_known(const struct known_places *known, mesh_visit_path *visit, void *ctx)
{
	for (size_t i = 0; known && i < known->count; i++) {
		const struct mesh_path_status s = {
			.via = {.endpoint = known->list[i].endpoint},
			.introduced = known->list[i].origin == PATH_INTRODUCED,
		};

		visit(ctx, &s);
	}
}

bool mesh_visit_paths(const struct mesh *mesh, const struct node_key *key, mesh_visit_path *visit,
		      void *ctx)
{
	const struct mesh_member *m = mesh_member_find(mesh, key);
	const struct mesh_peer *p = m ? m->active : NULL;
	const struct path *current;

	if (!p) {
		if (m)
			visit_known(m->known, visit, ctx);
		return m;
	}
	current = p->up ? path_current(&p->paths) : NULL;
	for (size_t i = 0; i < PATH_ENTRIES; i++) {
		const struct path *path = &p->paths.list[i];

		if (path->used)
			visit_one(mesh, path, path == current, visit, ctx);
	}
	return true;
}

const struct endpoint *mesh_local_endpoints(const struct mesh *mesh, size_t *ret_count)
{
	*ret_count = mesh->local_count;
	return mesh->local;
}

static const char *helper_state(const struct helper *h)
{
	struct endpoint list[2 * HELPER_ENDPOINTS];

	if (h->up && h->registered)
		return h->row.kind == OBJECT_OVC ? "registered" : "connected";
	return helper_endpoints(h, list) ? "connecting" : "no endpoint";
}

enum { TRIES_IN_VAIN = 3 };

static bool is_up(const struct mesh_member *m)
{
	return m->active && m->active->up;
}

static bool is_in_vain(const struct mesh_member *m)
{
	return !is_up(m) && (m->gave_up || (m->active && m->active->tries >= TRIES_IN_VAIN));
}

/* Whether a lane of it to this member works (1), does not (-1), or nobody knows (0). */
static int lane_works(const struct helper *h, const struct mesh_member *m)
{
	const struct mesh_peer *p = m->active;

	for (unsigned i = 0; p && i < PATH_LANES; i++) {
		const struct path *path = &p->paths.list[PATH_ENDPOINTS + i];
		const struct mesh_lane *lane;

		HASH_FIND(hh, h->mesh->lanes, &path->via.lane, sizeof(path->via.lane), lane);
		if (!path->used || !lane || lane->helper != h)
			continue;
		if (path->confirmed)
			return 1;
		return path->tries >= TRIES_IN_VAIN || is_in_vain(m) ? -1 : 0;
	}
	return 0;
}

/* As lane_works(), of who was introduced. Who is connected was not lied about, or it did no harm.
 */
static int introduction_works(const struct helper *h, const struct mesh_member *m)
{
	if (m->introducer != h)
		return 0;
	return is_up(m) ? 1 : is_in_vain(m) ? -1 : 0;
}

/* What it does leads nowhere, for anybody. */
static bool is_of_no_use(const struct helper *h)
{
	bool ovc = h->row.kind == OBJECT_OVC, any = false;

	for (size_t i = 0; i < h->mesh->member_count; i++) {
		const struct mesh_member *m = h->mesh->members[i];
		int works = !m ? 0 : ovc ? introduction_works(h, m) : lane_works(h, m);

		if (works > 0)
			return false;
		any |= works < 0;
	}
	return any;
}

static const char *refusal(const struct helper *h)
{
	switch (h->lane_refused) {
	case LANE_REFUSED_NOT_MEMBER:
		return "it refuses lanes: it does not know a member as one";
	case LANE_REFUSED_TOO_MANY:
		return "it refuses lanes: there are too many";
	case LANE_REFUSED_QUOTA:
		return "it refuses lanes: the volume of the grant is used up";
	}
	return ""; /* who is not there is not its fault */
}

static const char *helper_reason(const struct helper *h)
{
	struct endpoint list[2 * HELPER_ENDPOINTS];
	bool ovc = h->row.kind == OBJECT_OVC;

	if (!helper_endpoints(h, list))
		return "no endpoint of it is known";
	if (!h->up)
		return "it does not answer handshakes";
	if (h->garbled)
		return "what it says cannot be read";
	if (!h->registered)
		return "it answers handshakes and nothing else";
	if (h->silent)
		return "it has stopped answering";
	if (is_of_no_use(h))
		return ovc ? "nobody answers where it says that members are"
			   : "nothing comes through its lanes";
	return refusal(h);
}

void mesh_visit_helpers(const struct mesh *mesh, mesh_visit_helper *visit, void *ctx)
{
	const struct helper *h;
	struct endpoint list[2 * HELPER_ENDPOINTS];

	LIST_FOREACH(h, &mesh->helpers, entry)
	{
		struct mesh_helper_status s = {.helper = &h->row,
					       .observed = h->observed,
					       .up = h->up,
					       .rtt_ns = h->rtt_ns,
					       .state = helper_state(h),
					       .reason = helper_reason(h),
					       .hub_port = h->hub_port,
					       .refused = h->refused};

		if (h->hub_backend)
			s.hub = book_find(mesh->book, &h->row.key, h->hub_backend);
		if (h->up)
			s.endpoint = peer_via(h->peer)->endpoint;
		else if (helper_endpoints(h, list))
			s.endpoint = list[0];
		visit(ctx, &s);
	}
}

uint64_t mesh_counter(const struct mesh *mesh, enum mesh_counter counter)
{
	assert(counter < MESH_COUNTER_COUNT);
	if (counter == MESH_flow_evicted)
		return flow_evicted(mesh->flows);
	return mesh->counters[counter];
}

const char *mesh_counter_name(enum mesh_counter counter)
{
	static const char *const names[] = {
#define X(name) #name,
		MESH_COUNTERS(X)
#undef X
	};

	assert(counter < MESH_COUNTER_COUNT);
	return names[counter];
}
