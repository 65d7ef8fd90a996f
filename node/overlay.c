#include "node/overlay.h"

#include "adapters/adapter.h"
#include "core/error.h"
#include "core/mesh.h"
#include "core/secret.h"
#include "node/carriers.h"
#include "node/datapath.h"
#include "node/local.h"
#include "node/names.h"
#include "node/netcfg.h"
#include "node/ping.h"
#include "node/privops.h"
#include "node/rosters.h"
#include "node/settings.h"
#include "node/state.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/netlink.h"
#include "service/chain.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	DRIFT_WAIT_MS = 50,
	PLAN_WAIT_MS = 50, /* changes come in bursts */
	PLAN_AGAIN_MS = 5000,
};

static void set_state(struct overlay *o, enum overlay_state state)
{
	char text[OVERLAY_TEXT_MAX];
	if (o->state == state)
		return;
	o->state = state;
	overlay_state_text(o, text);
	log_notice("%s: %s", o->id_text, text);
	o->env->event(o->env->arg, o, NULL, text);
}

const char *overlay_interface(const struct overlay *o)
{
	return slot_interface(o->slots[0]);
}

bool overlay_has_interface(const struct overlay *o, uint32_t index)
{
	for (size_t i = 0; i < o->slot_count && index != 0; i++) {
		if (netcfg_index(slot_netcfg(o->slots[i])) == index)
			return true;
	}
	return false;
}

bool overlay_is_good(const struct overlay *o)
{
	for (size_t i = 0; i < o->slot_count; i++) {
		if (!slot_is_good(o->slots[i]))
			return false;
	}
	return true;
}

/* ---- The mesh ---- */

static void on_deliver(void *ctx, struct packet *packet)
{
	struct overlay *o = ctx;
	datapath_deliver(o->port, packet);
}

/* Not at once: what says so calls from inside the mesh, and changes come in bursts. */
static void plan_soon(struct overlay *o)
{
	if (!loop_timer_active(o->plan_timer))
		loop_timer_start(o->plan_timer, PLAN_WAIT_MS);
}

/* Only who has other backends than the mesh has to know where it finds its peers. */
static void on_event(void *ctx, const struct node_key *key, const char *text)
{
	struct overlay *o = ctx;
	o->env->event(o->env->arg, o, key, text);
	if (o->slot_count > 1 || slot_ops(o->slots[0])->backend != BACKEND_NATIVE)
		plan_soon(o);
}

static void on_offer_changed(void *ctx, const struct node_key *key)
{
	(void)key;
	plan_soon(ctx);
}

static void on_statement(void *ctx, const struct statement *statement)
{
	struct overlay *o = ctx;
	carriers_take_statement(o->carriers, statement);
}

static void on_carried(void *ctx, const struct node_key *key, uint8_t backend, const uint8_t *bytes,
		       size_t len)
{
	struct overlay *o = ctx;
	for (size_t i = 0; i < o->slot_count; i++) {
		if (slot_ops(o->slots[i])->backend == backend)
			slot_carried(o->slots[i], key, bytes, len);
	}
}

static void on_slot_event(void *ctx, const struct node_key *key, const char *text)
{
	struct overlay *o = ctx;
	o->env->event(o->env->arg, o, key, text);
}

static void drop_netmap(struct overlay *o)
{
	if (!o->mesh_has_netmap)
		netmap_free(o->netmap);
	o->netmap = NULL;
	o->mesh_has_netmap = false;
}

/* Endpoints that the configuration knows: the mesh forgets them with their peers. */
static void add_known_endpoints(const struct overlay *o)
{
	const struct dnetd_config *config = o->env->config;
	for (size_t i = 0; i < config->peer_endpoints.count; i++) {
		struct node_key key;
		struct endpoint endpoint;
		settings_peer_endpoint(config, i, &key, &endpoint);
		mesh_add_endpoint(o->mesh, &key, &endpoint, clock_boottime_ns());
	}
}

static void start_mesh(struct overlay *o)
{
	struct mesh_io io = {.ctx = o,
			     .deliver = on_deliver,
			     .event = on_event,
			     .offer_changed = on_offer_changed,
			     .statement = on_statement,
			     .carried = on_carried};
	o->mesh = mesh_new(o->env->engine, o->env->engine_io, &io, &o->id, &o->identity, 0);
	if (!o->mesh) {
		log_error("%s: out of memory for the mesh", o->id_text);
		return;
	}
	mesh_set_mtu(o->mesh, (uint16_t)o->env->config->mtu);
	mesh_set_local_endpoints(o->mesh, o->local, o->local_count, clock_boottime_ns());
	datapath_port_set_mesh(o->port, o->mesh);
}

static void stop_mesh(struct overlay *o)
{
	if (!o->mesh)
		return;
	datapath_port_set_mesh(o->port, NULL);
	names_set(o->names, NULL, NULL);
	carriers_set_mesh(o->carriers, NULL, 0);
	loop_timer_stop(o->plan_timer);
	if (o->mesh_has_netmap)
		drop_netmap(o);
	pings_abort(o->env->pings, o);
	mesh_free(steal(o->mesh));
	pings_forget(o->env->pings, o);
}

/* Takes over. False: the one before stays in force, as the mesh cannot take this one. */
static bool take_netmap(struct overlay *o, struct netmap *netmap)
{
	bool first = o->mesh && !o->mesh_has_netmap;
	if (o->mesh) {
		int r = mesh_set_netmap(o->mesh, netmap, clock_boottime_ns());
		if (r < 0) {
			log_error("%s: cannot take the netmap: %s", o->id_text, error_text(r));
			netmap_free(netmap);
			return false;
		}
	}
	if (!o->mesh_has_netmap)
		netmap_free(o->netmap);
	o->netmap = netmap;
	o->mesh_has_netmap = o->mesh != NULL;
	if (first)
		carriers_set_mesh(o->carriers, o->mesh, clock_boottime_ns());
	return true;
}

/* ---- Backends ---- */

static void on_slot_tun(void *ctx, int fd, enum tun_offload offload)
{
	struct overlay *o = ctx;
	datapath_port_set_tun(o->port, fd, offload);
	if (fd >= 0 && o->mesh)
		mesh_set_gso_usable(o->mesh, tun_offload_gso(offload));
}

static bool on_slot_carry(void *ctx, enum backend backend, const struct node_key *key,
			  const void *bytes, size_t len)
{
	struct overlay *o = ctx;
	bool sent = o->mesh &&
		    mesh_carry(o->mesh, key, (uint8_t)backend, bytes, len, clock_boottime_ns());
	datapath_wake(o->env->datapath);
	return sent;
}

static void on_slot_changed(void *ctx)
{
	plan_soon(ctx);
}

static void pass(struct overlay *o)
{
	uint64_t wait_ms = UINT64_MAX;
	o->drifted = false;
	for (size_t i = 0; i < o->slot_count; i++)
		wait_ms = MIN(wait_ms, slot_pass(o->slots[i], clock_monotonic_ns() / NS_PER_MS));
	bool active = o->state == OVERLAY_STARTING || o->state == OVERLAY_UP;
	if (!active)
		return;
	if (slot_is_up(o->slots[0]))
		set_state(o, OVERLAY_UP);
	loop_timer_start(o->timer, wait_ms);
	datapath_wake(o->env->datapath);
}

static void on_pass_timer(void *ctx)
{
	pass(ctx);
}

/* Changes without end do not put it off. */
static void pass_soon(struct overlay *o)
{
	if (o->drifted)
		return;
	o->drifted = true;
	loop_timer_start(o->timer, DRIFT_WAIT_MS);
}

/* What no event tells of. */
static void on_look_timer(void *ctx)
{
	struct overlay *o = ctx;
	for (size_t i = 0; i < o->slot_count; i++) {
		if (!netcfg_link_good(slot_netcfg(o->slots[i])))
			pass_soon(o);
	}
}

static void on_tun_lost(void *ctx)
{
	struct overlay *o = ctx;
	for (size_t i = 0; i < o->slot_count; i++) {
		struct slot *s = o->slots[i];
		if (slot_ops(s)->backend != BACKEND_NATIVE)
			continue;
		log_limited(LOG_LEVEL_WARN, 60, "%s: the interface %s was deleted from outside",
			    o->id_text, slot_interface(s));
		netcfg_device_lost(slot_netcfg(s));
	}
	pass_soon(o);
}

void overlay_on_netlink(struct overlay *o, const struct netlink_event *event)
{
	for (size_t i = 0; i < o->slot_count; i++) {
		if (netcfg_concerns(slot_netcfg(o->slots[i]), event))
			pass_soon(o);
	}
}

static void add_address(struct netcfg_wanted *w, const struct address *address)
{
	if (address->family == ADDR_NONE)
		return;
	struct prefix *p = &w->addresses[w->address_count++];
	p->addr = *address;
	p->bits = (uint8_t)address_bits(address);
}

static void add_route(struct netcfg_route *routes, size_t *count, const struct prefix *destination,
		      const struct address *source)
{
	routes[*count].destination = *destination;
	routes[*count].source = *source;
	(*count)++;
}

/* The dnet's prefixes, and each further address of others that lies outside them (RECORDS 6.2):
 * room for two more than there are nodes. */
static size_t want_routes(const struct overlay *o, const struct netmap_node *self, bool ipv4,
			  struct netcfg_route *routes)
{
	const struct netmap *map = o->netmap;
	size_t count = 0;
	add_route(routes, &count, &map->ipv6_prefix, &self->ipv6);
	if (ipv4)
		add_route(routes, &count, &map->ipv4_prefix, &self->ipv4);
	for (size_t i = 0; i < map->node_count; i++) {
		const struct netmap_node *node = &map->nodes[i];
		if (node == self || node->extra_ipv6.family == ADDR_NONE)
			continue;
		struct prefix one = {node->extra_ipv6, 128};
		add_route(routes, &count, &one, &self->ipv6);
	}
	return count;
}

static void set_ipv4_error(struct overlay *o, const char *error)
{
	if (*error && strcmp(o->ipv4_error, error) != 0)
		log_warn("%s: ipv4: %s", overlay_interface(o), error);
	snprintf(o->ipv4_error, sizeof(o->ipv4_error), "%s", error);
}

/* The dnet has one, we have an address in it, and it may be taken at all. */
static bool has_ipv4(struct overlay *o, const struct netmap_node *self)
{
	set_ipv4_error(o, "");
	if (o->netmap->ipv4_prefix.addr.family == ADDR_NONE || self->ipv4.family == ADDR_NONE)
		return false;
	if (priv_ipv4_prefix_ok(&o->netmap->ipv4_prefix))
		return true;
	set_ipv4_error(o, "the dnet's IPv4 prefix is not inside a private range (10/8, 172.16/12, "
			  "192.168/16, 100.64/10, 198.18/15) and is not used: ask the owner");
	return false;
}

/* A network that this machine is in comes first: an owner's choice of numbers takes nobody off his
 * LAN. */
static bool ipv4_is_free(struct overlay *o)
{
	const struct prefix *range = &o->netmap->ipv4_prefix;
	struct prefix network;
	char link[IF_NAMESIZE], error[sizeof(o->ipv4_error)];
	char range_text[PREFIX_TEXT_MAX], network_text[PREFIX_TEXT_MAX];
	if (!local_overlaps(o->env->nl, o->env->config->interface_prefix, range, &network, link))
		return true;
	snprintf(error, sizeof(error),
		 "%s of the dnet overlaps with %s on %s and is not used: IPv6 works; for IPv4 "
		 "another "
		 "network is needed there",
		 prefix_format(range, range_text), prefix_format(&network, network_text), link);
	set_ipv4_error(o, error);
	return false;
}

/* One that carries just some of the members, from the addresses that the first one has. */
static void want_second(struct overlay *o, int i, const struct netmap_node *self,
			struct netcfg_wanted w)
{
	size_t room = 3 * o->netmap->node_count; /* addresses of a node */
	struct netcfg_route *routes = xcalloc(room, sizeof(*routes));
	for (size_t a = 0; a < w.address_count; a++)
		w.sources[w.source_count++] = w.addresses[a].addr;
	memset(w.addresses, 0, sizeof(w.addresses));
	w.address_count = 0;
	w.rank = (uint32_t)i;
	w.routes = routes;
	w.route_count = carriers_routes(o->carriers, o->netmap, self, i, routes, room);
	slot_set_wanted(o->slots[i], &w, (uint32_t)o->env->config->table_base);
	free(routes);
}

/* The first backend's interface has the addresses and prefixes. */
static void want_interfaces(struct overlay *o, const struct netmap_node *self)
{
	bool bound = has_ipv4(o, self), ipv4 = bound && ipv4_is_free(o);
	struct netcfg_route *routes = xcalloc(o->netmap->node_count + 2, sizeof(*routes));
	struct netmap_node usable = *self;
	struct netcfg_wanted w;
	memset(&w, 0, sizeof(w));
	w.offload = settings_offload(o->env->config);
	w.mtu = (uint32_t)o->env->config->mtu;
	w.txqlen = (uint32_t)o->env->config->txqueuelen;
	if (bound)
		w.ipv4 = o->netmap->ipv4_prefix;
	if (!ipv4)
		usable.ipv4 = (struct address){0};
	add_address(&w, &self->ipv6);
	add_address(&w, &usable.ipv4);
	add_address(&w, &self->extra_ipv6);
	for (size_t i = 1; i < o->slot_count; i++)
		want_second(o, (int)i, &usable, w);
	w.route_count = want_routes(o, self, ipv4, routes);
	w.routes = routes;
	slot_set_wanted(o->slots[0], &w, (uint32_t)o->env->config->table_base);
	free(routes);
}

/* Who carries whom, and what that means for the interfaces. */
static void apply_plan(struct overlay *o)
{
	const struct netmap_node *self = netmap_find_node(o->netmap, &o->identity.key);
	if (!self)
		return;
	if (!carriers_apply(o->carriers, o->netmap, clock_boottime_ns()))
		loop_timer_start(o->plan_timer, PLAN_AGAIN_MS);
	want_interfaces(o, self);
}

static void on_plan_timer(void *ctx)
{
	struct overlay *o = ctx;
	if (!o->mesh || !o->netmap)
		return;
	apply_plan(o);
	pass(o);
}

/* ---- What the chain says ---- */

static bool is_closed(const struct overlay *o)
{
	const struct netmap_input *input = &o->lastgood.input;
	for (size_t i = 0; i < input->revocation_count; i++) {
		if (input->revocations[i].type == RECORD_CLOSE &&
		    object_id_equal(&input->revocations[i].object, &o->id))
			return true;
	}
	return false;
}

/* Nothing of it is left on the machine. The mesh first: peers hear that we go. */
static void stop(struct overlay *o)
{
	stop_mesh(o);
	for (size_t i = 0; i < o->slot_count; i++)
		slot_stop(o->slots[i]);
	o->drifted = false;
	loop_timer_stop(o->timer);
}

static void start(struct overlay *o)
{
	if (!o->mesh)
		start_mesh(o);
	for (size_t i = 0; i < o->slot_count && o->mesh; i++)
		slot_start(o->slots[i], o->mesh);
}

void overlay_refresh(struct overlay *o)
{
	const struct state_dnet *stored = state_find(o->env->state, &o->id);
	if (stored && stored->down) {
		stop(o);
		rosters_stop(o->rosters);
		drop_netmap(o);
		set_state(o, OVERLAY_DOWN);
		return;
	}
	struct netmap *netmap;
	int r = lastgood_build(&o->lastgood, o->env->chain, &netmap);
	if (r == 0) {
		r = rosters_apply(o->rosters, netmap, &o->lastgood.input);
		if (r < 0)
			netmap_free(netmap);
	}
	if (r < 0) {
		if (r != -ENOENT)
			log_error("%s: cannot build the netmap: %s", o->id_text, error_text(r));
		if (!o->netmap)
			set_state(o, OVERLAY_WAITING);
		return;
	}
	if (!netmap->exists || !netmap_find_node(netmap, &o->identity.key)) {
		stop(o);
		(void)take_netmap(o, netmap);
		set_state(o, is_closed(o) ? OVERLAY_CLOSED : OVERLAY_WAITING);
		return;
	}
	start(o);
	if (!take_netmap(o, netmap))
		return;
	if (o->mesh) {
		add_known_endpoints(o);
		names_set(o->names, o->mesh, o->netmap);
	}
	apply_plan(o);
	if (o->state != OVERLAY_UP)
		set_state(o, OVERLAY_STARTING);
	pass(o);
}

void overlay_set_local(struct overlay *o, const struct endpoint *endpoints, size_t count,
		       bool changed)
{
	assert(count <= ARRAY_SIZE(o->local));
	memcpy(o->local, endpoints, count * sizeof(*endpoints));
	o->local_count = count;
	const struct netmap_node *self =
		o->netmap ? netmap_find_node(o->netmap, &o->identity.key) : NULL;
	if (changed && self && (o->state == OVERLAY_UP || o->state == OVERLAY_STARTING)) {
		want_interfaces(o, self);
		pass(o);
	}
	if (!o->mesh)
		return;
	uint64_t now = clock_boottime_ns();
	mesh_set_local_endpoints(o->mesh, endpoints, count, now);
	if (!changed)
		return;
	mesh_network_changed(o->mesh, now);
	names_refresh(o->names);
}

static const char *waiting_text(const struct overlay *o, char text[static OVERLAY_TEXT_MAX])
{
	if (!o->netmap) {
		snprintf(text, OVERLAY_TEXT_MAX,
			 "waiting: nothing is known of this dnet yet (is chainwatch running?)");
	} else if (!o->netmap->exists) {
		snprintf(text, OVERLAY_TEXT_MAX,
			 "waiting: the chain has no such dnet up to block %u, or not deep enough",
			 o->netmap->height);
	} else {
		snprintf(text, OVERLAY_TEXT_MAX,
			 "waiting: the owner has not added this node's key (dnet id %s)",
			 o->id_text);
	}
	return text;
}

const char *overlay_state_text(const struct overlay *o, char text[static OVERLAY_TEXT_MAX])
{
	switch (o->state) {
	case OVERLAY_DOWN:
		snprintf(text, OVERLAY_TEXT_MAX, "down");
		return text;
	case OVERLAY_WAITING:
		return waiting_text(o, text);
	case OVERLAY_CLOSED:
		snprintf(text, OVERLAY_TEXT_MAX, "closed: the owner has ended this dnet");
		return text;
	case OVERLAY_STARTING:
		snprintf(text, OVERLAY_TEXT_MAX, "starting: the interface is not there yet");
		return text;
	case OVERLAY_UP:
		snprintf(text, OVERLAY_TEXT_MAX, "up");
		return text;
	}
	return "";
}

/* ---- Life ---- */

static void on_roster(void *arg)
{
	struct overlay *o = arg;
	overlay_refresh(o);
	datapath_wake(o->env->datapath);
}

/* Where the configuration says, or else where the join link said. */
static const char *roster_location(const struct overlay *o)
{
	const char *location = settings_roster(o->env->config, &o->id);
	const struct state_dnet *stored = state_find(o->env->state, &o->id);
	return location ? location : stored ? stored->roster : "";
}

static struct rosters *make_rosters(struct overlay *o)
{
	return rosters_new(&(struct rosters_env){.loop = o->env->loop,
						 .id = o->env->id,
						 .node = &o->identity,
						 .dnet = o->id,
						 .state_folder = state_folder(o->env->state),
						 .location = roster_location(o),
						 .ca_file = o->env->config->roster_ca,
						 .poll_ms = o->env->config->roster_poll_ms,
						 .changed = on_roster,
						 .arg = o});
}

static void make_slots(struct overlay *o)
{
	const struct overlay_env *env = o->env;
	const struct adapter_ops *backends[SETTINGS_BACKENDS_MAX];
	struct slot_io io = {.ctx = o,
			     .tun = on_slot_tun,
			     .event = on_slot_event,
			     .carry = on_slot_carry,
			     .changed = on_slot_changed};
	struct slot_env slot = {.loop = env->loop,
				.priv = env->priv,
				.nl = env->nl,
				.spawn = env->spawn,
				.state_folder = state_folder(env->state),
				.mtu = (uint16_t)env->config->mtu,
				.use_hubs = env->config->tinc_hub,
				.identity = &o->identity,
				.dnet = o->id};
	for (size_t i = 0; i < PROGRAM_COUNT; i++)
		slot.programs[i] = env->config->programs[i];
	static_assert((int)SETTINGS_BACKENDS_MAX <= (int)SLOTS_MAX, "a slot for each");
	o->slot_count = settings_backends(env->config, &o->id, backends);
	for (size_t i = 0; i < o->slot_count; i++)
		o->slots[i] = slot_new(&slot, &io, backends[i], env->config->interface_prefix,
				       o->number + (uint32_t)i * SLOT_NUMBER_STEP);
}

struct overlay *overlay_new(const struct overlay_env *env, const struct object_id *id,
			    uint32_t number)
{
	struct overlay *o = xcalloc(1, sizeof(*o));
	o->env = env;
	o->id = *id;
	o->number = number;
	o->state = OVERLAY_WAITING;
	object_id_format(OBJECT_DNET, id, o->id_text);
	secret_lock(&o->identity, sizeof(o->identity));
	id_node_identity(env->id, state_master(env->state), id, &o->identity);
	lastgood_init(&o->lastgood, id, state_folder(env->state));
	o->rosters = make_rosters(o);
	o->port = datapath_port_new(env->datapath, on_tun_lost, o);
	o->names = names_new(env->loop);
	o->timer = loop_timer_new(env->loop, on_pass_timer, o);
	o->look_timer = loop_timer_new(env->loop, on_look_timer, o);
	loop_timer_every(o->look_timer, NETCFG_LOOK_MS);
	o->plan_timer = loop_timer_new(env->loop, on_plan_timer, o);
	make_slots(o);
	o->carriers = carriers_new(&(struct carriers_env){.curve = env->id,
							  .identity = &o->identity,
							  .dnet = o->id,
							  .state_folder = state_folder(env->state),
							  .slots = o->slots,
							  .slot_count = o->slot_count});
	return o;
}

void overlay_free(struct overlay *o)
{
	if (!o)
		return;
	stop_mesh(o);
	for (size_t i = 0; i < o->slot_count; i++)
		slot_free(o->slots[i]);
	drop_netmap(o);
	carriers_free(o->carriers);
	loop_timer_free(o->plan_timer);
	datapath_port_free(o->port);
	names_free(o->names);
	loop_timer_free(o->timer);
	loop_timer_free(o->look_timer);
	rosters_free(o->rosters);
	lastgood_done(&o->lastgood);
	secret_wipe(&o->identity, sizeof(o->identity));
	free(o);
}

void overlay_leave(struct overlay *o)
{
	stop_mesh(o);
	for (size_t i = 0; i < o->slot_count; i++)
		slot_leave(o->slots[i]);
	overlay_free(o);
}
