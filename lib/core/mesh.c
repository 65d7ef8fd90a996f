#include "core/mesh_parts.h"

#include "core/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Putting a netmap into force: everything that can fail is made first, beside what is in use; then
 * the old parts are cut and the new ones take their places, which cannot fail. */

void mesh_tell(struct mesh *mesh, const struct node_key *key, const char *text)
{
	if (mesh->out.event)
		mesh->out.event(mesh->out.ctx, key, text);
}

void mesh_wake(struct mesh *mesh, uint64_t at)
{
	if (at < mesh->deadline)
		mesh->deadline = at;
}

static bool take_memory(struct mesh *mesh)
{
	size_t boxes = (size_t)MESH_BOXES * OUTBOX_SIZE;
	uint8_t seed[FLOW_SEED_LEN], limit_seed[RATELIMIT_SEED_LEN];
	int err;

	mesh->io.random(mesh->io.ctx, seed, sizeof(seed));
	mesh->buffer = malloc(boxes + COALESCE_ROOM + STAGE_PACKET_MAX);
	mesh->pool = stage_pool_new(MESH_STAGE);
	mesh->flows = flow_table_new(FLOW_LIMIT, seed);
	mesh->routes = route_table_new(NULL, 0);
	mesh->io.random(mesh->io.ctx, limit_seed, sizeof(limit_seed));
	mesh->unproven =
		ratelimit_new(UNPROVEN_ADDRESSES, UNPROVEN_RATE, UNPROVEN_BURST, limit_seed);
	err = acl_new(NULL, 0, &(struct netmap){0}, &mesh->acl);
	mesh->book = book_new(engine_curve(mesh->engine));
	if (!mesh->book || !mesh->buffer || !mesh->pool || !mesh->flows || !mesh->routes ||
	    !mesh->unproven || err)
		return false;
	for (unsigned i = 0; i < MESH_BOXES; i++)
		mesh->boxes[i].box.bytes = mesh->buffer + i * (size_t)OUTBOX_SIZE;
	coalesce_init(&mesh->coalescer, mesh->buffer + boxes);
	mesh->unstaged = mesh->buffer + boxes + COALESCE_ROOM;
	return true;
}

struct mesh *mesh_new(struct engine *engine, const struct engine_io *engine_io,
		      const struct mesh_io *io, const struct object_id *dnet,
		      const struct identity *pair, unsigned gso_usable)
{
	struct mesh *mesh = calloc(1, sizeof(*mesh));

	if (!mesh)
		return NULL;
	mesh->engine = engine;
	mesh->io = *engine_io;
	mesh->out = *io;
	mesh->dnet = *dnet;
	mesh->pair = pair;
	mesh->gso_usable = gso_usable;
	mesh->deadline = UINT64_MAX;
	mesh->self.mesh = mesh;
	LIST_INIT(&mesh->helpers);
	LIST_INIT(&mesh->pings);
	if (take_memory(mesh))
		mesh->realm =
			engine_add_realm(engine, REALM_DNET, dnet, pair, &mesh_peer_ops, mesh);
	if (!mesh->realm) {
		mesh_free(mesh);
		return NULL;
	}
	return mesh;
}

static void end_ping(struct ping *ping, const char *reason)
{
	struct mesh_pong pong = {.reason = reason};

	LIST_REMOVE(ping, entry);
	if (ping->peer)
		ping->peer->pings--;
	ping->done(ping->ctx, &pong);
	free(ping);
}

static void end_pings_of(struct mesh *mesh, const struct mesh_peer *p, const char *reason)
{
	struct ping *ping = LIST_FIRST(&mesh->pings), *next;

	for (; ping; ping = next) {
		next = LIST_NEXT(ping, entry);
		if (!p || ping->peer == p)
			end_ping(ping, reason);
	}
}

static void cut(struct mesh_member *m, uint8_t bye, uint64_t now)
{
	if (m->active)
		end_pings_of(m->mesh, m->active, "the node was removed from the dnet");
	mesh_member_free(m, bye, now);
}

void mesh_set_gso_usable(struct mesh *mesh, unsigned gso_usable)
{
	mesh->gso_usable = gso_usable;
}

void mesh_set_mtu(struct mesh *mesh, uint16_t mtu)
{
	realm_set_mtu(mesh->realm, mtu);
}

void mesh_free(struct mesh *mesh)
{
	struct helper *h;

	if (!mesh)
		return;
	end_pings_of(mesh, NULL, "the dnet is being left");
	while ((h = LIST_FIRST(&mesh->helpers))) {
		LIST_REMOVE(h, entry);
		helper_free(h, engine_now(mesh->engine));
	}
	for (size_t i = 0; i < mesh->member_count; i++)
		if (mesh->members[i])
			cut(mesh->members[i], BYE_SHUTDOWN, engine_now(mesh->engine));
	if (mesh->realm)
		realm_remove(mesh->realm);
	free(mesh->members);
	timer_heap_done(&mesh->timers);
	netmap_free(mesh->netmap);
	route_table_free(mesh->routes);
	acl_free(mesh->acl);
	free(mesh->rules);
	flow_table_free(mesh->flows);
	stage_pool_free(mesh->pool);
	book_free(mesh->book);
	ratelimit_free(mesh->unproven);
	free(mesh->buffer);
	free(mesh);
}

/* What a new netmap needs, made before anything is changed. */
struct change {
	struct netmap *netmap;
	const struct netmap_node *self; /* NULL: we are no member */
	struct mesh_member **members;	/* by index; those that stay and new ones */
	size_t member_count;
	struct helper **helpers; /* new ones, by index in the netmap; NULL: is there */
	size_t helper_count;
	struct route_table *routes;
	struct acl *acl;
	struct acl_rule *rules; /* those of the netmap; NULL: it says nothing of the policy */
};

static int prepare_members(struct mesh *mesh, struct change *c)
{
	size_t count = c->self ? c->netmap->node_count : 0, at = 0;

	c->members = calloc(count + 1, sizeof(struct mesh_member *));
	if (!c->members)
		return -ENOMEM;
	c->member_count = count;
	for (size_t i = 0; i < count; i++) {
		const struct netmap_node *node = &c->netmap->nodes[i], *old;

		if (node == c->self)
			continue;
		old = mesh->member_count ? netmap_next_node(mesh->netmap, &at, &node->key) : NULL;
		if (old)
			c->members[i] = mesh->members[old - mesh->netmap->nodes];
		if (!c->members[i])
			c->members[i] = mesh_member_new(mesh, &node->key);
		if (!c->members[i])
			return -ENOMEM;
	}
	return 0;
}

static int prepare_helpers(struct mesh *mesh, struct change *c)
{
	size_t count = c->self ? c->netmap->helper_count : 0;

	c->helpers = calloc(count + 1, sizeof(struct helper *));
	if (!c->helpers)
		return -ENOMEM;
	c->helper_count = count;
	for (size_t i = 0; i < count; i++) {
		const struct netmap_helper *row = &c->netmap->helpers[i];
		const struct helper *h = helper_find(mesh, row->kind, &row->id);

		if (h && node_key_equal(&h->row.key, &row->key))
			continue;
		c->helpers[i] = helper_new(mesh, row);
		if (!c->helpers[i])
			return -ENOMEM;
	}
	return 0;
}

static size_t routes_of(const struct netmap_node *node, struct mesh_member *m, struct route *routes)
{
	const struct address *const addresses[] = {&node->ipv6, &node->ipv4, &node->extra_ipv6};
	size_t n = 0;

	for (unsigned i = 0; i < 3; i++) {
		unsigned bits = address_bits(addresses[i]);

		if (bits)
			routes[n++] = (struct route){{*addresses[i], (uint8_t)bits}, m};
	}
	return n;
}

static int prepare_routes(struct mesh *mesh, struct change *c)
{
	struct route *routes = calloc(3 * c->member_count + 1, sizeof(*routes));
	size_t n = 0;

	if (!routes)
		return -ENOMEM;
	for (size_t i = 0; i < c->member_count; i++)
		n += routes_of(&c->netmap->nodes[i], c->members[i] ? c->members[i] : &mesh->self,
			       routes + n);
	c->routes = route_table_new(routes, n);
	free(routes);
	return c->routes ? 0 : -ENOMEM;
}

static int copy_rules(const struct acl_rule *rules, size_t count, struct acl_rule **ret_copy)
{
	struct acl_rule *copy = calloc(count + 1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	if (count)
		memcpy(copy, rules, count * sizeof(*rules));
	*ret_copy = copy;
	return 0;
}

static int prepare(struct mesh *mesh, struct change *c)
{
	int err = prepare_members(mesh, c);

	if (!err)
		err = prepare_helpers(mesh, c);
	if (!err)
		err = prepare_routes(mesh, c);
	if (!err && c->netmap->has_policy)
		err = copy_rules(c->netmap->rules, c->netmap->rule_count, &c->rules);
	if (!err)
		err = acl_new(c->rules ? c->rules : mesh->rules,
			      c->rules ? c->netmap->rule_count : mesh->rule_count, c->netmap,
			      &c->acl);
	return err;
}

static void abandon(struct mesh *mesh, struct change *c, uint64_t now)
{
	/* Those that were there before have a node. */
	for (size_t i = 0; c->members && i < c->member_count; i++)
		if (c->members[i] && !c->members[i]->node)
			mesh_member_free(c->members[i], 0, now);
	for (size_t i = 0; c->helpers && i < c->helper_count; i++)
		helper_free(c->helpers[i], now);
	free(c->members);
	free(c->helpers);
	free(c->rules);
	route_table_free(c->routes);
}

static void cut_removed(struct mesh *mesh, const struct change *c, uint64_t now)
{
	size_t at = 0;

	for (size_t i = 0; i < mesh->member_count; i++) {
		struct mesh_member *m = mesh->members[i];
		const struct netmap_node *node =
			m && c->self ? netmap_next_node(c->netmap, &at, &m->node->key) : NULL;

		if (!m || (node && node != c->self))
			continue;
		mesh->members[i] = NULL;
		mesh_tell(mesh, &m->node->key, "removed from the dnet");
		cut(m, BYE_REMOVED, now);
	}
}

static bool helper_stays(const struct helper *h, const struct change *c)
{
	for (size_t i = 0; i < c->helper_count; i++) {
		const struct netmap_helper *row = &c->netmap->helpers[i];

		if (h->row.kind == row->kind && object_id_equal(&h->row.id, &row->id) &&
		    node_key_equal(&h->row.key, &row->key))
			return true;
	}
	return false;
}

static void swap_helpers(struct mesh *mesh, struct change *c, uint64_t now)
{
	struct helper *h = LIST_FIRST(&mesh->helpers), *next;

	for (; h; h = next) {
		next = LIST_NEXT(h, entry);
		if (helper_stays(h, c))
			continue;
		LIST_REMOVE(h, entry);
		helper_free(h, now);
	}
	for (size_t i = 0; i < c->helper_count; i++) {
		const struct netmap_helper *row = &c->netmap->helpers[i];

		if (c->helpers[i])
			LIST_INSERT_HEAD(&mesh->helpers, c->helpers[i], entry);
		helper_update(helper_find(mesh, row->kind, &row->id), row, now);
	}
}

static void put_in_force(struct mesh *mesh, struct change *c, uint64_t now)
{
	cut_removed(mesh, c, now);
	free(mesh->members);
	mesh->members = c->members;
	mesh->member_count = c->member_count;
	for (size_t i = 0; i < c->member_count; i++) {
		struct mesh_member *m = c->members[i] ? c->members[i] : &mesh->self;

		m->node = &c->netmap->nodes[i];
		m->index = (uint32_t)i;
		if (m->active)
			m->active->in_version = 0;
	}
	netmap_free(mesh->netmap);
	mesh->netmap = c->netmap;
	mesh->member = c->self;
	route_table_free(mesh->routes);
	mesh->routes = c->routes;
	acl_free(mesh->acl);
	mesh->acl = c->acl;
	if (c->rules) {
		free(mesh->rules);
		mesh->rules = c->rules;
		mesh->rule_count = c->netmap->rule_count;
	}
	realm_set_epoch(mesh->realm, &mesh->netmap->epoch,
			mesh->netmap->rolls_over ? &mesh->netmap->before : NULL);
	mesh->seek_at = now;
	data_filter_flows(mesh);
	swap_helpers(mesh, c, now);
	free(c->helpers);
}

int mesh_set_netmap(struct mesh *mesh, struct netmap *netmap, uint64_t now)
{
	struct change c = {.netmap = netmap};
	int err;

	/* What was opened before belongs to the time before. */
	mesh_flush(mesh, now);
	if (netmap->exists)
		c.self = netmap_find_node(netmap, &mesh->pair->key);
	err = prepare(mesh, &c);
	if (err)
		abandon(mesh, &c, now);
	else
		put_in_force(mesh, &c, now);
	mesh_wake(mesh, now);
	return err;
}

const struct netmap *mesh_netmap(const struct mesh *mesh)
{
	return mesh->netmap;
}

static bool same_local(const struct mesh *mesh, const struct endpoint *list, size_t count)
{
	if (count != mesh->local_count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!endpoint_equal(&list[i], &mesh->local[i]))
			return false;
	return true;
}

void mesh_set_local_endpoints(struct mesh *mesh, const struct endpoint *endpoints, size_t count,
			      uint64_t now)
{
	struct endpoint list[MESH_LOCAL];
	size_t n = 0;

	for (size_t i = 0; i < count && n < MESH_LOCAL; i++)
		/* The overlay's own addresses lead nowhere outside. */
		if (!route_lookup(mesh->routes, endpoints[i].addr.family, endpoints[i].addr.bytes))
			list[n++] = endpoints[i];
	if (same_local(mesh, list, n))
		return;
	memcpy(mesh->local, list, n * sizeof(*list));
	mesh->local_count = n;
	helpers_refresh(mesh, now);
	for (size_t i = 0; i < mesh->member_count; i++)
		if (mesh->members[i] && mesh->members[i]->active)
			mesh_peer_tell_candidates(mesh->members[i]->active, now);
}

bool mesh_set_helper_endpoints(struct mesh *mesh, const struct object_id *id,
			       const struct endpoint *endpoints, size_t count)
{
	struct helper *h = helper_find(mesh, OBJECT_OVC, id);

	if (!h)
		h = helper_find(mesh, OBJECT_OVR, id);
	if (!h)
		return false;
	h->resolved_count = count < HELPER_ENDPOINTS ? count : HELPER_ENDPOINTS;
	memcpy(h->resolved, endpoints, h->resolved_count * sizeof(*endpoints));
	return true;
}

bool mesh_add_endpoint(struct mesh *mesh, const struct node_key *key,
		       const struct endpoint *endpoint, uint64_t now)
{
	const struct frame_endpoints one = {.count = 1, .list = {*endpoint}};
	struct mesh_member *m = mesh_member_find(mesh, key);
	struct mesh_peer *p = m ? mesh_member_activate(m, now) : NULL;

	if (p)
		mesh_peer_add_candidates(p, &one, now);
	return m;
}

int mesh_set_policy(struct mesh *mesh, const struct acl_rule *rules, size_t count, uint64_t now)
{
	static const struct netmap nobody;
	struct acl_rule *copy = calloc(count + 1, sizeof(*copy));
	struct acl *acl;
	int err =
		copy ? acl_new(rules, count, mesh->netmap ? mesh->netmap : &nobody, &acl) : -ENOMEM;

	if (err) {
		free(copy);
		return err;
	}
	mesh_flush(mesh, now);
	if (count)
		memcpy(copy, rules, count * sizeof(*rules));
	free(mesh->rules);
	mesh->rules = copy;
	mesh->rule_count = count;
	acl_free(mesh->acl);
	mesh->acl = acl;
	data_filter_flows(mesh);
	return 0;
}

const struct acl_rule *mesh_policy(const struct mesh *mesh, size_t *ret_count)
{
	*ret_count = mesh->rule_count;
	return mesh->rules;
}

int mesh_explain(const struct mesh *mesh, const struct ip_flow *flow,
		 struct acl_verdict *ret_verdict)
{
	const struct mesh_member *src = route_lookup(mesh->routes, flow->version, flow->src);
	const struct mesh_member *dst = route_lookup(mesh->routes, flow->version, flow->dst);

	if (!src || !dst)
		return -DNET_ENOROUTE;
	acl_allows(mesh->acl, src->index, dst->index, flow, ret_verdict);
	return 0;
}

bool mesh_owns_lane(const struct mesh *mesh, const struct endpoint *relay, uint64_t lane)
{
	struct mesh_lane *found;

	HASH_FIND(hh, mesh->lanes, &lane, sizeof(lane), found);
	return found && endpoint_equal(&found->via.endpoint, relay);
}

static void tick_pings(struct mesh *mesh, uint64_t now)
{
	struct ping *ping = LIST_FIRST(&mesh->pings), *next;

	for (; ping; ping = next) {
		next = LIST_NEXT(ping, entry);
		if (ping->deadline <= now)
			end_ping(ping, ping->peer->up
					       ? path_reason(&ping->peer->paths)
					       : mesh_peer_waiting_reason(ping->peer->member));
		else
			mesh_wake(mesh, ping->deadline);
	}
}

/* NULL: nobody has anything to do. */
static struct mesh_peer *first_due(const struct mesh *mesh, uint64_t now)
{
	struct timer *first = timer_heap_first(&mesh->timers);

	if (!first || first->deadline > now)
		return NULL;
	return (struct mesh_peer *)((char *)first - offsetof(struct mesh_peer, timer));
}

uint64_t mesh_tick(struct mesh *mesh, uint64_t now)
{
	struct mesh_peer *p;
	struct helper *h;

	mesh->deadline = UINT64_MAX;
	LIST_FOREACH(h, &mesh->helpers, entry)
	{
		helper_tick(h, now);
		mesh_wake(mesh, helper_deadline(h));
	}
	/* As often as there are peers at most: who is due again at once has another turn. */
	for (size_t i = mesh->timers.count; i && (p = first_due(mesh, now)); i--)
		mesh_peer_tick(p, now);
	offer_seek(mesh, now);
	tick_pings(mesh, now);
	mesh_flush(mesh, now);
	return mesh_deadline(mesh);
}

uint64_t mesh_deadline(const struct mesh *mesh)
{
	const struct timer *first = timer_heap_first(&mesh->timers);

	return first && first->deadline < mesh->deadline ? first->deadline : mesh->deadline;
}

void mesh_network_changed(struct mesh *mesh, uint64_t now)
{
	struct helper *h;

	mesh_flush(mesh, now);
	LIST_FOREACH(h, &mesh->helpers, entry)
	peer_reconnect(h->peer, now);
	helpers_refresh(mesh, now);
	for (size_t i = 0; i < mesh->member_count; i++) {
		struct mesh_peer *p = mesh->members[i] ? mesh->members[i]->active : NULL;

		if (!p)
			continue;
		path_doubt(&p->paths, now);
		p->next_ask = 0;
		mesh_peer_schedule(p, now);
	}
}

int mesh_ping(struct mesh *mesh, const struct node_key *key, uint64_t now, uint64_t deadline_ns,
	      mesh_ping_done *done, void *ctx)
{
	struct mesh_member *m = mesh_member_find(mesh, key);
	struct mesh_pong pong = {.reason = "the key is not a member of the dnet"};
	struct mesh_peer *p;
	struct ping *ping;

	if (!m) {
		if (node_key_equal(key, &mesh->pair->key))
			pong.reason = "that is this node itself";
		done(ctx, &pong);
		return 0;
	}
	p = mesh_member_activate(m, now);
	ping = p ? calloc(1, sizeof(*ping)) : NULL;
	if (!ping)
		return -ENOMEM;
	*ping = (struct ping){.peer = p, .deadline = deadline_ns, .done = done, .ctx = ctx};
	LIST_INSERT_HEAD(&mesh->pings, ping, entry);
	p->pings++;
	mesh_wake(mesh, deadline_ns);
	mesh_peer_want(p, now);
	mesh_peer_ping(p, now);
	return 0;
}
