#include "node/carriers.h"

#include "core/id.h"
#include "core/mesh.h"
#include "node/slot.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "service/statements.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct carriers {
	struct carriers_env env;
	struct mesh *mesh;	       /* borrowed; NULL: none */
	struct statements *statements; /* owned; NULL without a mesh */
	struct mesh_offer own;
	struct statement own_statements[MESH_BACKENDS];
};

struct carriers *carriers_new(const struct carriers_env *env)
{
	struct carriers *c = xcalloc(1, sizeof(*c));
	c->env = *env;
	return c;
}

void carriers_free(struct carriers *c)
{
	if (!c)
		return;
	statements_close(c->statements);
	free(c);
}

/* ---- What this node offers ---- */

static bool needs_control(const struct carriers *c)
{
	for (size_t i = 0; i < c->env.slot_count; i++) {
		if (slot_ops(c->env.slots[i])->backend != BACKEND_NATIVE)
			return true;
	}
	return false;
}

void carriers_set_mesh(struct carriers *c, struct mesh *mesh, uint64_t now)
{
	statements_close(steal(c->statements));
	c->mesh = mesh;
	memset(&c->own, 0, sizeof(c->own));
	if (!mesh)
		return;
	c->statements = statements_open(c->env.state_folder, &c->env.dnet);
	for (size_t i = 0; i < statements_count(c->statements); i++)
		(void)mesh_load_statement(mesh, statements_at(c->statements, i));
	mesh_set_control_persistent(mesh, needs_control(c), now);
}

void carriers_take_statement(struct carriers *c, const struct statement *statement)
{
	if (c->statements)
		statements_put(c->statements, statement);
}

/* Our own statement of what the slot has: false when it has a key that cannot be said to anybody,
 * as it could not be stored. */
static bool state_key(struct carriers *c, enum backend backend, const struct adapter_offer *offer,
		      struct mesh_backend *b, struct statement *ret_statement)
{
	b->statement = NULL;
	if (!offer->key)
		return true;
	if (statements_own(c->statements, c->env.curve, c->env.identity, (uint8_t)backend,
			   offer->key, offer->key_len, clock_wall_s(), ret_statement) < 0)
		return false;
	b->statement = ret_statement;
	return true;
}

/* One that does not run is not offered: another of the list may do. False: its key could not be
 * stored. */
static bool offer_slot(struct carriers *c, const struct slot *slot)
{
	enum backend backend = slot_ops(slot)->backend;
	struct mesh_backend *b = &c->own.list[c->own.count];
	struct adapter_offer offer;
	if (!slot_runs(slot))
		return true;
	slot_offer(slot, &offer);
	memset(b, 0, sizeof(*b));
	b->backend = (uint8_t)backend;
	b->port = offer.port;
	b->endpoint_count = MIN(offer.endpoint_count, (size_t)MESH_BACKEND_ENDPOINTS);
	for (size_t i = 0; i < b->endpoint_count; i++)
		b->endpoints[i] = offer.endpoints[i];
	bool stored = state_key(c, backend, &offer, b, &c->own_statements[c->own.count]);
	c->own.count += stored;
	return stored;
}

static bool tell_offer(struct carriers *c, uint64_t now)
{
	bool all = true;
	static_assert((int)SLOTS_MAX <= (int)MESH_BACKENDS, "an offer has room for all");
	c->own.count = 0;
	for (size_t i = 0; i < c->env.slot_count; i++)
		all = offer_slot(c, c->env.slots[i]) && all;
	mesh_set_offer(c->mesh, &c->own, now);
	return all;
}

/* ---- Who carries whom ---- */

static int choose(const struct carriers *c, const struct netmap_node *node,
		  struct mesh_offer *ret_theirs)
{
	if (!c->mesh || !mesh_peer_offer(c->mesh, &node->key, ret_theirs))
		return -1;
	uint8_t backend =
		mesh_choose_backend(&c->env.identity->key, &c->own, &node->key, ret_theirs);
	for (size_t i = 0; i < c->env.slot_count; i++) {
		if (slot_ops(c->env.slots[i])->backend == backend)
			return (int)i;
	}
	return -1;
}

int carriers_slot(const struct carriers *c, const struct netmap_node *node)
{
	struct mesh_offer theirs;
	return choose(c, node, &theirs);
}

static size_t append_backends(const struct mesh_offer *offer, char *dst, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < offer->count && n < size; i++) {
		const struct adapter_ops *ops =
			adapter_find_backend((enum backend)offer->list[i].backend);
		n += (size_t)snprintf(dst + n, size - n, "%s%s", i ? ", " : "",
				      ops ? ops->name : "another");
	}
	if (offer->count == 0)
		n = (size_t)snprintf(dst, size, "none");
	return MIN(n, size);
}

const char *carriers_reason(const struct carriers *c, const struct netmap_node *node,
			    char text[static CARRIERS_TEXT_MAX])
{
	struct mesh_offer theirs = {0};
	char of_them[64], ours[64];
	text[0] = '\0';
	if (choose(c, node, &theirs) >= 0)
		return text;
	append_backends(&theirs, of_them, sizeof(of_them));
	append_backends(&c->own, ours, sizeof(ours));
	snprintf(text, CARRIERS_TEXT_MAX, "no backend in common: it offers %s, this node offers %s",
		 of_them, ours);
	return text;
}

const char *carriers_choice(const struct carriers *c, const struct netmap_node *node,
			    char text[static CARRIERS_TEXT_MAX])
{
	struct mesh_offer theirs = {0};
	char of_them[64], ours[64];
	int slot = choose(c, node, &theirs);
	if (slot < 0)
		return carriers_reason(c, node, text);
	bool we_choose = node_key_compare(&c->env.identity->key, &node->key) < 0;
	append_backends(&theirs, of_them, sizeof(of_them));
	append_backends(&c->own, ours, sizeof(ours));
	snprintf(text, CARRIERS_TEXT_MAX,
		 "%s is the first that %s would rather have (%s) and %s offers too (%s): of a "
		 "pair, the one with the smaller key chooses",
		 slot_ops(c->env.slots[slot])->name, we_choose ? "this node" : "it",
		 we_choose ? ours : of_them, we_choose ? "it" : "this node",
		 we_choose ? of_them : ours);
	return text;
}

/* ---- Plans ---- */

struct planned {
	struct adapter_peer peer;
	struct endpoint endpoints[ADAPTER_ENDPOINTS_MAX];
	uint8_t *key; /* owned: the mesh's own may move while the plan is applied */
};

static void add_endpoint(struct planned *p, const struct endpoint *endpoint, uint16_t port)
{
	struct endpoint e = *endpoint;
	if (port)
		e.port = port;
	for (size_t i = 0; i < p->peer.endpoint_count; i++) {
		if (endpoint_equal(&p->endpoints[i], &e))
			return;
	}
	if (p->peer.endpoint_count < ARRAY_SIZE(p->endpoints))
		p->endpoints[p->peer.endpoint_count++] = e;
}

struct path_search {
	struct planned *planned;
	uint16_t port;
	bool current; /* the path in use, then the others */
};

static void visit_path(void *ctx, const struct mesh_path_status *s)
{
	const struct path_search *search = ctx;
	if (s->via.lane == 0 && s->current == search->current)
		add_endpoint(search->planned, &s->via.endpoint, search->port);
}

/* Where the packets of the mesh get through those of the backend may too; then what the member
 * itself says, then where else it may be. */
static void plan_endpoints(const struct carriers *c, struct planned *p,
			   const struct mesh_backend *theirs)
{
	struct path_search search = {p, theirs->port, true};
	if (theirs->port)
		mesh_visit_paths(c->mesh, &p->peer.node->key, visit_path, &search);
	for (size_t i = 0; i < theirs->endpoint_count; i++)
		add_endpoint(p, &theirs->endpoints[i], 0);
	search.current = false;
	if (theirs->port)
		mesh_visit_paths(c->mesh, &p->peer.node->key, visit_path, &search);
	p->peer.endpoints = p->endpoints;
}

static void see_path(void *ctx, const struct mesh_path_status *s)
{
	struct planned *p = ctx;
	p->peer.reachable = p->peer.reachable || (s->current && s->confirmed);
}

static void plan_peer(const struct carriers *c, const struct netmap_node *node,
		      const struct mesh_backend *theirs, struct planned *p)
{
	memset(p, 0, sizeof(*p));
	p->peer.node = node;
	if (theirs->statement && statements_is_stored(c->statements, theirs->statement)) {
		p->peer.key_len = theirs->statement->key_len;
		p->key = xmalloc(p->peer.key_len);
		memcpy(p->key, theirs->statement->key, p->peer.key_len);
		p->peer.key = p->key;
	}
	plan_endpoints(c, p, theirs);
	mesh_visit_paths(c->mesh, &node->key, see_path, p);
}

struct hub_search {
	const struct statements *statements;
	enum backend backend;
	struct adapter_hub hubs[ADAPTER_HUBS_MAX];
	struct endpoint endpoints[ADAPTER_HUBS_MAX];
	uint8_t *keys[ADAPTER_HUBS_MAX];
	size_t count;
};

static void visit_helper(void *ctx, const struct mesh_helper_status *s)
{
	struct hub_search *search = ctx;
	size_t i = search->count;
	if (!s->hub || s->hub->backend != search->backend || i == ADAPTER_HUBS_MAX ||
	    s->endpoint.addr.family == ADDR_NONE ||
	    !statements_is_stored(search->statements, s->hub))
		return;
	search->keys[i] = xmalloc(s->hub->key_len);
	memcpy(search->keys[i], s->hub->key, s->hub->key_len);
	search->endpoints[i] = s->endpoint;
	search->endpoints[i].port = s->hub_port;
	search->hubs[i] = (struct adapter_hub){.ovc = s->helper->id,
					       .key = search->keys[i],
					       .key_len = s->hub->key_len,
					       .endpoints = &search->endpoints[i],
					       .endpoint_count = s->hub_port ? 1 : 0};
	search->count++;
}

/* Rules about groups become rules about the peers that the backend has. The caller's. */
static struct acl_rule *policy_for(const struct carriers *c, struct adapter_plan *plan)
{
	const struct netmap_node **peers = xcalloc(plan->peer_count + 1, sizeof(*peers));
	struct acl_rule *rules = NULL;
	size_t count;
	const struct acl_rule *all = mesh_policy(c->mesh, &count);
	for (size_t i = 0; i < plan->peer_count; i++)
		peers[i] = plan->peers[i].node;
	if (acl_without_groups(all, count, plan->self, peers, plan->peer_count, &rules,
			       &plan->rule_count) < 0) {
		log_error("out of memory");
		abort(); /* no rules would be a policy that allows everything */
	}
	free(peers);
	plan->rules = rules;
	return rules;
}

static void apply_slot(const struct carriers *c, size_t slot, const struct netmap *netmap,
		       const int *choices, uint64_t now)
{
	struct slot *s = c->env.slots[slot];
	const struct netmap_node *self = netmap_find_node(netmap, &c->env.identity->key);
	struct hub_search hubs = {.statements = c->statements, .backend = slot_ops(s)->backend};
	/* The mesh has netmap and policy, and knows whom others carry: plans grow with members. */
	if (hubs.backend == BACKEND_NATIVE) {
		slot_apply(s, &(struct adapter_plan){.netmap = netmap, .self = self}, now);
		return;
	}
	struct planned *planned = xcalloc(netmap->node_count, sizeof(*planned));
	struct adapter_peer *peers = xcalloc(netmap->node_count, sizeof(*peers));
	struct mesh_offer theirs;
	size_t count = 0;
	for (size_t i = 0; i < netmap->node_count; i++) {
		if (choices[i] != (int)slot ||
		    !mesh_peer_offer(c->mesh, &netmap->nodes[i].key, &theirs))
			continue;
		for (size_t j = 0; j < theirs.count; j++) {
			if (theirs.list[j].backend != hubs.backend)
				continue;
			plan_peer(c, &netmap->nodes[i], &theirs.list[j], &planned[count]);
			peers[count] = planned[count].peer;
			count++;
		}
	}
	mesh_visit_helpers(c->mesh, visit_helper, &hubs);
	struct adapter_plan plan = {.netmap = netmap,
				    .self = self,
				    .peers = peers,
				    .peer_count = count,
				    .hubs = hubs.hubs,
				    .hub_count = hubs.count};
	struct acl_rule *rules = policy_for(c, &plan);
	slot_apply(s, &plan, now);
	free(rules);
	for (size_t i = 0; i < count; i++)
		free(planned[i].key);
	for (size_t i = 0; i < hubs.count; i++)
		free(hubs.keys[i]);
	free(planned);
	free(peers);
}

bool carriers_apply(struct carriers *c, const struct netmap *netmap, uint64_t now)
{
	struct mesh_offer theirs;
	if (!c->mesh)
		return true;
	bool told = tell_offer(c, now);
	statements_prune(c->statements, netmap);
	bool stored = statements_save(c->statements) == 0;
	int *choices = xcalloc(netmap->node_count, sizeof(*choices));
	for (size_t i = 0; i < netmap->node_count; i++) {
		const struct netmap_node *node = &netmap->nodes[i];
		choices[i] = choose(c, node, &theirs);
		bool native = choices[i] >= 0 &&
			      slot_ops(c->env.slots[choices[i]])->backend == BACKEND_NATIVE;
		mesh_set_carrier(c->mesh, &node->key, native);
	}
	for (size_t i = 0; i < c->env.slot_count; i++)
		apply_slot(c, i, netmap, choices, now);
	free(choices);
	return told && stored;
}

/* ---- Routes ---- */

static size_t add_host(struct netcfg_route *routes, size_t count, size_t room,
		       const struct address *address, const struct address *source)
{
	if (address->family == ADDR_NONE || source->family == ADDR_NONE || count == room)
		return count;
	routes[count].destination = (struct prefix){*address, (uint8_t)address_bits(address)};
	routes[count].source = *source;
	return count + 1;
}

size_t carriers_routes(const struct carriers *c, const struct netmap *netmap,
		       const struct netmap_node *self, int slot, struct netcfg_route *routes,
		       size_t room)
{
	size_t count = 0;
	for (size_t i = 0; i < netmap->node_count; i++) {
		const struct netmap_node *node = &netmap->nodes[i];
		if (node_key_equal(&node->key, &self->key) || carriers_slot(c, node) != slot)
			continue;
		count = add_host(routes, count, room, &node->ipv6, &self->ipv6);
		count = add_host(routes, count, room, &node->ipv4, &self->ipv4);
		count = add_host(routes, count, room, &node->extra_ipv6, &self->ipv6);
	}
	return count;
}
