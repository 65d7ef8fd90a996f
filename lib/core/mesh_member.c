#include "core/mesh_parts.h"

#include <stdlib.h>

/* Members and what they hold:
 *
 *	in the netmap      → a member, known by key and addresses
 *	wanted, heard of   → active: paths, lanes, what waits
 *	MESH_PEER_LASTS after the last use → idle again; where it was found is kept
 *
 * Ten thousand members of whom nobody talks to more than a few cost little so. */

/* As long as a PONG proves an address (PROTOCOL 6): nothing of what is forgotten counts then. */
#define MESH_PEER_LASTS (300 * NS_PER_S)

struct mesh_member *mesh_member_find(const struct mesh *mesh, const struct node_key *key)
{
	const struct netmap_node *node;

	/* Without us in the netmap there are no members. */
	if (!mesh->member_count)
		return NULL;
	node = netmap_find_node(mesh->netmap, key);
	return node ? mesh->members[node - mesh->netmap->nodes] : NULL;
}

struct mesh_member *mesh_member_new(struct mesh *mesh, const struct node_key *key)
{
	struct mesh_member *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->mesh = mesh;
	m->peer = realm_add_peer(mesh->realm, key, NULL);
	if (!m->peer) {
		free(m);
		return NULL;
	}
	peer_set_ctx(m->peer, m);
	return m;
}

static void recall_places(struct mesh_peer *p, uint64_t now)
{
	struct known_places *known = p->member->known;

	for (size_t i = 0; known && i < known->count; i++)
		path_add_endpoint(&p->paths, &known->list[i].endpoint,
				  (enum path_origin)known->list[i].origin, now);
	free(known);
	p->member->known = NULL;
}

struct mesh_peer *mesh_member_activate(struct mesh_member *m, uint64_t now)
{
	struct mesh *mesh = m->mesh;
	struct mesh_peer *p = m->active;

	if (p)
		return p;
	if (timer_heap_reserve(&mesh->timers, mesh->active_count + 1))
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->member = m;
	p->mesh = mesh;
	p->peer = m->peer;
	p->punch_round = PUNCH_ROUNDS;
	p->offer_at = p->unsaid_at = UINT64_MAX;
	path_set_init(&p->paths);
	path_keep(&p->paths, mesh->persistent);
	recall_places(p, now);
	m->active = p;
	mesh->active_count++;
	mesh_peer_schedule(p, now);
	return p;
}

/* Where it was is kept by the member. False: out of memory. */
static bool keep_places(const struct mesh_peer *p)
{
	const struct path *list = p->paths.list;
	struct known_places *known;
	size_t count = 0;

	for (size_t i = 0; i < PATH_ENDPOINTS; i++)
		count += list[i].used;
	if (!count)
		return true;
	known = malloc(sizeof(*known) + count * sizeof(known->list[0]));
	if (!known)
		return false;
	known->count = 0;
	for (size_t i = 0; i < PATH_ENDPOINTS; i++) {
		if (!list[i].used)
			continue;
		known->list[known->count].endpoint = list[i].via.endpoint;
		known->list[known->count++].origin = (uint8_t)list[i].origin;
	}
	p->member->known = known;
	return true;
}

static void peer_free(struct mesh_peer *p, uint64_t now)
{
	struct mesh *mesh = p->mesh;

	data_drop_boxes(mesh, p);
	stage_clear(mesh->pool, &p->stage);
	for (unsigned i = 0; i < PATH_LANES; i++)
		if (p->lanes[i].id)
			mesh_peer_drop_lane(p, &p->lanes[i], now);
	timer_heap_set(&mesh->timers, &p->timer, TIMERS_NEVER);
	free(p->pending);
	p->member->active = NULL;
	mesh->active_count--;
	free(p);
}

static bool is_idle(const struct mesh_peer *p)
{
	for (unsigned i = 0; i < PATH_LANES; i++)
		if (p->lanes[i].id)
			return false;
	return !p->up && !mesh_peer_is_awaited(p) && p->punch_round >= PUNCH_ROUNDS;
}

uint64_t mesh_peer_rests_at(struct mesh_peer *p, uint64_t now)
{
	if (!is_idle(p))
		p->idle_since = 0;
	else if (!p->idle_since)
		p->idle_since = now;
	return p->idle_since ? p->idle_since + MESH_PEER_LASTS : UINT64_MAX;
}

void mesh_peer_rest(struct mesh_peer *p, uint64_t now)
{
	if (mesh_peer_rests_at(p, now) > now)
		return;
	if (keep_places(p))
		peer_free(p, now);
	else
		p->idle_since = now;
}

void mesh_member_free(struct mesh_member *m, uint8_t bye, uint64_t now)
{
	if (m->active)
		peer_free(m->active, now);
	offer_forget(m);
	peer_remove(m->peer, bye);
	free(m->known);
	free(m);
}
