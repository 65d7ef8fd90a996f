#include "node/overlay.h"

#include "adapters/adapter.h"
#include "core/error.h"
#include "core/mesh.h"
#include "node/datapath.h"
#include "node/local.h"
#include "node/names.h"
#include "node/netcfg.h"
#include "node/ping.h"
#include "node/privops.h"
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
	DRIFT_WAIT_MS = 50, /* changes come in bursts */
	ROUTE_METRIC = 512, /* + number of the interface */
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

struct mesh *overlay_mesh(const struct overlay *o)
{
	return o->adapter && o->ops->mesh ? o->ops->mesh(o->adapter) : NULL;
}

uint32_t overlay_interface_index(const struct overlay *o)
{
	return netcfg_index(o->netcfg);
}

/* ---- The backend ---- */

static void on_deliver(void *ctx, struct packet *packet)
{
	struct overlay *o = ctx;
	datapath_deliver(o->port, packet);
}

static void on_adapter_event(void *ctx, const struct node_key *key, const char *text)
{
	struct overlay *o = ctx;
	o->env->event(o->env->arg, o, key, text);
}

static void set_adapter_error(struct overlay *o, const char *what, int result)
{
	snprintf(o->adapter_error, sizeof(o->adapter_error), "%s: %s: %s", o->ops->name, what,
		 error_text(result));
	log_error("%s: %s", o->id_text, o->adapter_error);
}

static void drop_netmap(struct overlay *o)
{
	if (!o->adapter_has_netmap)
		netmap_free(o->netmap);
	o->netmap = NULL;
	o->adapter_has_netmap = false;
}

/* Endpoints that the configuration knows: the mesh forgets them with their peers. */
static void add_known_endpoints(const struct overlay *o)
{
	const struct dnetd_config *config = o->env->config;
	struct mesh *mesh = overlay_mesh(o);
	for (size_t i = 0; mesh && i < config->peer_endpoints.count; i++) {
		struct node_key key;
		struct endpoint endpoint;
		settings_peer_endpoint(config, i, &key, &endpoint);
		mesh_add_endpoint(mesh, &key, &endpoint, clock_boottime_ns());
	}
}

/* The one before stays in force when the backend cannot take this one. */
static void take_netmap(struct overlay *o, struct netmap *netmap)
{
	if (o->adapter) {
		int r = o->ops->apply(o->adapter, netmap, clock_boottime_ns());
		if (r < 0) {
			set_adapter_error(o, "cannot take the netmap", r);
			netmap_free(netmap);
			return;
		}
		o->adapter_error[0] = '\0';
	}
	if (!o->adapter_has_netmap)
		netmap_free(o->netmap);
	o->netmap = netmap;
	o->adapter_has_netmap = o->adapter != NULL;
	add_known_endpoints(o);
	names_set(o->names, overlay_mesh(o), netmap);
}

static void start_adapter(struct overlay *o, enum tun_offload offload)
{
	struct adapter_host host = {.ctx = o,
				    .engine = o->env->engine,
				    .engine_io = o->env->engine_io,
				    .identity = &o->identity,
				    .dnet = o->id,
				    .gso_usable = tun_offload_gso(offload),
				    .deliver = on_deliver,
				    .event = on_adapter_event};
	int r = o->ops->start(&host, &o->adapter);
	if (r < 0) {
		o->adapter = NULL;
		set_adapter_error(o, "cannot start", r);
		return;
	}
	struct netmap *netmap = o->netmap;
	o->netmap = NULL;
	take_netmap(o, netmap);
	struct mesh *mesh = overlay_mesh(o);
	if (!mesh)
		return;
	mesh_set_local_endpoints(mesh, o->local, o->local_count, clock_boottime_ns());
	datapath_port_set_mesh(o->port, mesh);
}

static void stop_adapter(struct overlay *o)
{
	if (!o->adapter)
		return;
	datapath_port_set_mesh(o->port, NULL);
	names_set(o->names, NULL, NULL);
	if (o->adapter_has_netmap)
		drop_netmap(o);
	pings_abort(o->env->pings, o);
	o->ops->teardown(o->adapter);
	pings_forget(o->env->pings, o);
	o->adapter = NULL;
	o->adapter_error[0] = '\0';
}

/* ---- The interface ---- */

static void on_tun_opened(void *ctx, int fd, enum tun_offload offload)
{
	struct overlay *o = ctx;
	datapath_port_set_tun(o->port, fd);
	log_info("%s: interface %s, offload %s", o->id_text, o->interface,
		 tun_offload_name(offload));
	if (!o->adapter)
		start_adapter(o, offload);
}

static void on_tun_closed(void *ctx)
{
	struct overlay *o = ctx;
	datapath_port_set_tun(o->port, -1);
}

static void pass(struct overlay *o)
{
	o->drifted = false;
	uint64_t wait_ms = netcfg_pass(o->netcfg, clock_monotonic_ns() / NS_PER_MS);
	bool active = o->state == OVERLAY_STARTING || o->state == OVERLAY_UP;
	if (!active)
		return;
	set_state(o, o->adapter ? OVERLAY_UP : OVERLAY_STARTING);
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
	if (!netcfg_link_good(o->netcfg))
		pass_soon(o);
}

static void on_tun_lost(void *ctx)
{
	struct overlay *o = ctx;
	log_limited(LOG_LEVEL_WARN, 60, "%s: the interface %s was deleted from outside", o->id_text,
		    o->interface);
	netcfg_device_lost(o->netcfg);
	pass_soon(o);
}

void overlay_on_netlink(struct overlay *o, const struct netlink_event *event)
{
	if (netcfg_concerns(o->netcfg, event))
		pass_soon(o);
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

/* The dnet's prefixes, and each further address of others that lies outside them (RECORDS 6.2). */
static size_t want_routes(const struct overlay *o, const struct netmap_node *self, bool ipv4,
			  struct netcfg_route *routes)
{
	const struct netmap *map = o->netmap;
	size_t count = 0;
	add_route(routes, &count, &map->ipv6_prefix, &self->ipv6);
	if (ipv4)
		add_route(routes, &count, &map->ipv4_prefix, &self->ipv4);
	for (size_t i = 0; i < map->node_count && count < NETCFG_ROUTES_MAX; i++) {
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
		log_warn("%s: ipv4: %s", o->interface, error);
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

static void want_interface(struct overlay *o, const struct netmap_node *self)
{
	bool bound = has_ipv4(o, self), ipv4 = bound && ipv4_is_free(o);
	struct netcfg_route *routes = xcalloc(NETCFG_ROUTES_MAX, sizeof(*routes));
	struct netcfg_wanted w;
	memset(&w, 0, sizeof(w));
	memcpy(w.name, o->interface, strlen(o->interface) + 1);
	w.offload = settings_offload(o->env->config);
	w.mtu = (uint32_t)o->env->config->mtu;
	w.txqlen = (uint32_t)o->env->config->txqueuelen;
	w.metric = ROUTE_METRIC + o->number;
	w.table = (uint32_t)o->env->config->table_base + o->number;
	if (bound)
		w.ipv4 = o->netmap->ipv4_prefix;
	add_address(&w, &self->ipv6);
	if (ipv4)
		add_address(&w, &self->ipv4);
	add_address(&w, &self->extra_ipv6);
	w.route_count = want_routes(o, self, ipv4, routes);
	w.routes = routes;
	netcfg_set_wanted(o->netcfg, &w);
	free(routes);
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

/* Nothing of it is left on the machine. The backend first: its peers hear that we go. */
static void stop(struct overlay *o)
{
	stop_adapter(o);
	netcfg_set_wanted(o->netcfg, NULL);
	o->drifted = false;
	loop_timer_stop(o->timer);
}

void overlay_refresh(struct overlay *o)
{
	const struct state_dnet *stored = state_find(o->env->state, &o->id);
	if (stored && stored->down) {
		stop(o);
		drop_netmap(o);
		set_state(o, OVERLAY_DOWN);
		return;
	}
	struct netmap *netmap;
	int r = lastgood_build(&o->lastgood, o->env->chain, &netmap);
	if (r < 0) {
		if (r != -ENOENT)
			log_error("%s: cannot build the netmap: %s", o->id_text, error_text(r));
		if (!o->netmap)
			set_state(o, OVERLAY_WAITING);
		return;
	}
	if (!netmap->exists || !netmap_find_node(netmap, &o->identity.key)) {
		stop(o);
		take_netmap(o, netmap);
		set_state(o, is_closed(o) ? OVERLAY_CLOSED : OVERLAY_WAITING);
		return;
	}
	take_netmap(o, netmap);
	want_interface(o, netmap_find_node(o->netmap, &o->identity.key));
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
		want_interface(o, self);
		pass(o);
	}
	struct mesh *mesh = overlay_mesh(o);
	if (!mesh)
		return;
	uint64_t now = clock_boottime_ns();
	mesh_set_local_endpoints(mesh, endpoints, count, now);
	if (!changed)
		return;
	mesh_network_changed(mesh, now);
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

struct overlay *overlay_new(const struct overlay_env *env, const struct object_id *id,
			    uint32_t number)
{
	struct overlay *o = xcalloc(1, sizeof(*o));
	struct netcfg_io io = {.ctx = o, .opened = on_tun_opened, .closed = on_tun_closed};
	o->env = env;
	o->id = *id;
	o->number = number;
	o->state = OVERLAY_WAITING;
	object_id_format(OBJECT_DNET, id, o->id_text);
	snprintf(o->interface, sizeof(o->interface), "%s%u", env->config->interface_prefix, number);
	id_node_identity(env->id, state_master(env->state), id, &o->identity);
	o->ops = adapter_find(settings_backend(env->config, id));
	assert(o->ops); /* settings_check() */
	lastgood_init(&o->lastgood, id, state_folder(env->state));
	o->netcfg = netcfg_new(env->priv, env->nl, &io);
	o->port = datapath_port_new(env->datapath, on_tun_lost, o);
	o->names = names_new(env->loop);
	o->timer = loop_timer_new(env->loop, on_pass_timer, o);
	o->look_timer = loop_timer_new(env->loop, on_look_timer, o);
	loop_timer_every(o->look_timer, NETCFG_LOOK_MS);
	return o;
}

void overlay_free(struct overlay *o)
{
	if (!o)
		return;
	stop_adapter(o);
	drop_netmap(o);
	netcfg_free(o->netcfg);
	datapath_port_free(o->port);
	names_free(o->names);
	loop_timer_free(o->timer);
	loop_timer_free(o->look_timer);
	lastgood_done(&o->lastgood);
	secret_wipe(&o->identity, sizeof(o->identity));
	free(o);
}
