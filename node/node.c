#include "node/node.h"

#include "node/ciphers.h"
#include "node/cmds.h"
#include "node/datapath.h"
#include "node/ping.h"
#include "node/privops.h"
#include "node/settings.h"
#include "node/spawn.h"
#include "node/state.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/ctl.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/netlink.h"
#include "os/rand.h"
#include "os/sandbox.h"
#include "service/chain.h"
#include "wire/hex.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	LOCAL_WAIT_MS = 100, /* address changes come in bursts */
	/* The kept time runs ahead of the clock by this much, so that it need not be written often.
	 */
	TIME_AHEAD_S = 3600,
	TIME_KEEP_MS = 1800 * 1000,
};

/* ---- The machine around us ---- */

static void look_at_addresses(struct node *n, bool routes_changed)
{
	struct endpoint found[LOCAL_ENDPOINTS_MAX];
	struct endpoint bound;
	size_t count = 0;
	uint16_t port4 = 0, port6 = 0;
	if (n->udp4.fd >= 0 && udp_local_endpoint(&n->udp4, &bound) == 0)
		port4 = bound.port;
	if (n->udp6.fd >= 0 && udp_local_endpoint(&n->udp6, &bound) == 0)
		port6 = bound.port;
	memset(found, 0, sizeof(found));
	int r = local_endpoints(n->nl, n->config->interface_prefix, port4, port6, found, &count);
	if (r < 0) {
		log_warn("cannot list this machine's addresses: %s", strerror(-r));
		return;
	}
	bool changed = routes_changed || count != n->local_count ||
		       memcmp(found, n->local, count * sizeof(found[0])) != 0;
	if (!changed)
		return;
	memcpy(n->local, found, sizeof(found));
	n->local_count = count;
	struct overlay *o;
	TAILQ_FOREACH(o, &n->overlays, entry)
	overlay_set_local(o, found, count, true);
	datapath_wake(n->datapath);
}

/* What was lost may have been the way out. */
static void on_local_timer(void *arg)
{
	struct node *n = arg;
	bool lost = n->events_lost;
	n->look_waits = n->events_lost = false;
	look_at_addresses(n, lost);
}

/* Changes without end do not put it off. */
static void look_soon(struct node *n)
{
	if (n->look_waits)
		return;
	n->look_waits = true;
	loop_timer_start(n->local_timer, LOCAL_WAIT_MS);
}

static bool is_overlay_link(const struct node *n, uint32_t index)
{
	const struct overlay *o;
	TAILQ_FOREACH(o, &n->overlays, entry)
	{
		if (overlay_has_interface(o, index))
			return true;
	}
	return false;
}

static void on_netlink(void *arg, const struct netlink_event *event)
{
	struct node *n = arg;
	struct overlay *o;
	TAILQ_FOREACH(o, &n->overlays, entry)
	overlay_on_netlink(o, event);
	bool others = !is_overlay_link(n, event->index);
	if (event->kind == NETLINK_EVENT_LOST)
		n->events_lost = true;
	if (others && event->kind == NETLINK_EVENT_ROUTE && event->route.destination.bits == 0)
		look_at_addresses(n, true); /* the way out is another one now */
	else if (others && event->kind != NETLINK_EVENT_ROUTE && event->kind != NETLINK_EVENT_RULE)
		look_soon(n);
}

static void on_monitor(void *arg, int fd, unsigned events)
{
	struct node *n = arg;
	(void)fd;
	(void)events;
	int r = netlink_monitor_read(n->monitor);
	if (r < 0)
		log_limited(LOG_LEVEL_WARN, 6, "cannot read changes of the network: %s",
			    strerror(-r));
}

/* It answers only while we wait in a call: anything else is its end. */
static void on_priv(void *arg, int fd, unsigned events)
{
	struct node *n = arg;
	(void)fd;
	(void)events;
	log_error("the root helper has ended: stopping; the service manager should start dnetd "
		  "again");
	n->failed = true;
	loop_stop(n->loop);
}

static void on_spawn(void *arg, int fd, unsigned events)
{
	struct node *n = arg;
	(void)fd;
	(void)events;
	log_error("the process that starts programs of backends has ended: stopping; the service "
		  "manager should start dnetd again");
	n->failed = true;
	loop_stop(n->loop);
}

static void on_chain(void *arg)
{
	struct node *n = arg;
	struct overlay *o;
	if (!n->env.chain)
		return; /* from within chain_new() */
	TAILQ_FOREACH(o, &n->overlays, entry)
	overlay_refresh(o);
	datapath_wake(n->datapath);
}

static void on_overlay_event(void *arg, struct overlay *o, const struct node_key *key,
			     const char *text)
{
	struct node *n = arg;
	json_t *event = json_pack("{s:s, s:s}", "dnet", o->id_text, "text", text);
	if (key) {
		char hex[2 * PUBKEY_LEN + 1];
		const struct netmap_node *node =
			o->netmap ? netmap_find_node(o->netmap, key) : NULL;
		hex_format(key->bytes, PUBKEY_LEN, hex);
		json_object_set_new(event, "key", json_string(hex));
		if (node && node->name[0])
			json_object_set_new(event, "name", json_string(node->name));
		log_info("%s: %s: %s", overlay_interface(o),
			 node && node->name[0] ? node->name : hex, text);
	}
	if (n->ctl)
		ctl_publish(n->ctl, "events", event);
	else
		json_decref(event);
}

/* ---- Joined dnets ---- */

struct overlay *node_find(const struct node *n, const char *text)
{
	struct overlay *o, *found = NULL;
	if (!text) {
		o = TAILQ_FIRST(&n->overlays);
		return o && !TAILQ_NEXT(o, entry) ? o : NULL;
	}
	TAILQ_FOREACH(o, &n->overlays, entry)
	{
		if (strcmp(o->id_text, text) == 0 || strcmp(overlay_interface(o), text) == 0)
			return o;
		/* A name is a label: two dnets may have the same one. */
		if (o->netmap && strcmp(o->netmap->name, text) == 0) {
			if (found)
				return NULL;
			found = o;
		}
	}
	return found;
}

static struct overlay *add_overlay(struct node *n, const struct state_dnet *stored)
{
	struct overlay *o = overlay_new(&n->env, &stored->id, stored->number);
	TAILQ_INSERT_TAIL(&n->overlays, o, entry);
	overlay_set_local(o, n->local, n->local_count, false);
	return o;
}

static bool is_joined(void *arg, uint32_t number)
{
	const struct node *n = arg;
	for (size_t i = 0; i < state_dnet_count(n->state); i++) {
		if (state_dnet_at(n->state, i)->number == number)
			return true;
	}
	return false;
}

int node_join(struct node *n, const struct object_id *id, const char *roster,
	      struct overlay **ret_overlay)
{
	int r = state_add(n->state, id, roster);
	if (r < 0)
		return r;
	struct overlay *o = add_overlay(n, state_find(n->state, id));
	log_notice("joined %s", o->id_text);
	overlay_refresh(o);
	datapath_wake(n->datapath);
	*ret_overlay = o;
	return 0;
}

int node_leave(struct node *n, struct overlay *o)
{
	int r = state_remove(n->state, &o->id);
	if (r < 0)
		return r;
	log_notice("left %s", o->id_text);
	TAILQ_REMOVE(&n->overlays, o, entry);
	overlay_leave(o);
	datapath_wake(n->datapath);
	return 0;
}

int node_set_down(struct node *n, struct overlay *o, bool down)
{
	int r = state_set_down(n->state, &o->id, down);
	if (r < 0)
		return r;
	overlay_refresh(o);
	datapath_wake(n->datapath);
	return 0;
}

/* ---- Life ---- */

/* Once for both families: the kernel is the same. */
static void say_missing(const struct udp_socket *s)
{
	if (udp_lacks(s->gso_off))
		log_notice("UDP segmentation offload is off: %s; sending one by one", s->gso_off);
	if (udp_lacks(s->gro_off))
		log_notice("UDP receive offload is off: %s; receiving one by one", s->gro_off);
}

static int open_sockets(struct node *n)
{
	struct udp_options options = {.receive_buffer = (size_t)n->config->udp_buffer,
				      .send_buffer = (size_t)n->config->udp_buffer,
				      .no_gso = !n->config->udp_gso,
				      .no_gro = !n->config->udp_gro};
	uint16_t kept = state_port(n->state);
	uint16_t port = n->config->port ? (uint16_t)n->config->port : kept;
	int r = udp_open_pair(port, &options, &n->udp4, &n->udp6);
	if (r == -EADDRINUSE && !n->config->port && kept) {
		log_notice("UDP port %u of last time is taken: taking another one", kept);
		r = udp_open_pair(0, &options, &n->udp4, &n->udp6);
	}
	if (r < 0)
		return r;
	say_missing(n->udp4.fd >= 0 ? &n->udp4 : &n->udp6);
	struct endpoint bound;
	r = udp_local_endpoint(n->udp4.fd >= 0 ? &n->udp4 : &n->udp6, &bound);
	if (r == 0 && !n->config->port)
		r = state_set_port(n->state, bound.port);
	if (r < 0)
		log_error("cannot keep the UDP port: %s", strerror(-r));
	return r;
}

static int open_engine(struct node *n)
{
	uint8_t seed[ID_SEED_LEN];
	rand_bytes(seed, sizeof(seed));
	n->id = id_new(seed);
	n->datapath = datapath_new(n->loop, &n->udp4, &n->udp6);
	datapath_engine_io(n->datapath, &n->engine_io);
	ciphers_choose(settings_aead(n->config));
	n->engine =
		engine_new(&n->engine_io, n->id, settings_ciphers(n->config), clock_boottime_ns());
	if (!n->id || !n->engine) {
		log_error("out of memory");
		return -ENOMEM;
	}
	datapath_set_engine(n->datapath, n->engine);
	return 0;
}

/* A later run begins with what is kept, so that its timestamps are behind those of this one, also
 * when the clock was ahead meanwhile and has been set right (PROTOCOL 3.7). */
static uint64_t keep_time(void *arg, uint64_t wall_ns)
{
	struct node *n = arg;
	n->time_used_s = MAX(n->time_used_s, wall_ns / NS_PER_S + 1);
	uint64_t kept_s = n->time_used_s + TIME_AHEAD_S;
	int r = state_set_time(n->state, kept_s);
	if (r < 0)
		log_limited(LOG_LEVEL_WARN, 6,
			    "cannot keep the time in the state folder: %s; if the clock is set "
			    "back before a "
			    "restart, peers refuse this node for as long",
			    strerror(-r));
	return kept_s * NS_PER_S;
}

static void on_time_timer(void *arg)
{
	struct node *n = arg;
	datapath_keep_time(n->datapath);
}

static void start_time(struct node *n)
{
	n->time_used_s = state_time(n->state);
	datapath_set_time(n->datapath, n->time_used_s * NS_PER_S, keep_time, n);
	n->time_timer = loop_timer_new(n->loop, on_time_timer, n);
	loop_timer_every(n->time_timer, TIME_KEEP_MS);
}

static int open_netlink(struct node *n)
{
	int r = netlink_open(&n->nl);
	if (r == 0)
		r = netlink_monitor_new(on_netlink, n, &n->monitor);
	if (r < 0) {
		log_error("cannot open netlink: %s", strerror(-r));
		return r;
	}
	n->monitor_watch =
		loop_fd_new(n->loop, netlink_monitor_fd(n->monitor), LOOP_READ, on_monitor, n);
	n->priv_watch = loop_fd_new(n->loop, priv_fd(n->priv), LOOP_READ, on_priv, n);
	if (spawn_fd(n->spawn) >= 0)
		n->spawn_watch = loop_fd_new(n->loop, spawn_fd(n->spawn), LOOP_READ, on_spawn, n);
	n->local_timer = loop_timer_new(n->loop, on_local_timer, n);
	return 0;
}

int node_start(struct node *n, const struct dnetd_config *config, struct loop *loop,
	       struct priv *priv, struct spawn *spawn)
{
	char error[STATE_ERROR_MAX];
	*n = (struct node){.config = config, .loop = loop, .priv = priv, .spawn = spawn};
	n->udp4.fd = n->udp6.fd = -1;
	TAILQ_INIT(&n->overlays);
	int r = sandbox_protect_memory("dnetd engine");
	if (r < 0)
		return r;
	r = state_open(config->daemon.state_folder, &n->state, error);
	if (r < 0) {
		log_error("%s", error);
		return r;
	}
	r = open_sockets(n);
	if (r == 0)
		r = open_netlink(n);
	if (r == 0)
		r = open_engine(n);
	if (r < 0)
		return r;
	start_time(n);
	n->pings = pings_new();
	return cmds_start(n);
}

void node_run(struct node *n)
{
	struct chain_config chain = {.path = n->config->chain_db,
				     .control = n->config->chainwatch,
				     .confirm = (uint32_t)n->config->confirm};
	n->chain = chain_new(n->loop, &chain, on_chain, n);
	n->env = (struct overlay_env){.config = n->config,
				      .loop = n->loop,
				      .priv = n->priv,
				      .spawn = n->spawn,
				      .nl = n->nl,
				      .state = n->state,
				      .chain = n->chain,
				      .engine = n->engine,
				      .engine_io = &n->engine_io,
				      .datapath = n->datapath,
				      .pings = n->pings,
				      .id = n->id,
				      .event = on_overlay_event,
				      .arg = n};
	if (priv_rules_sweep(n->priv) < 0)
		log_warn("cannot look for rules that an earlier dnetd left: %s",
			 priv_error(n->priv));
	if (n->spawn) /* else no backend has a folder, and there is no right to remove one */
		slot_sweep(state_folder(n->state), n->config->interface_prefix, is_joined, n);
	look_at_addresses(n, false);
	for (size_t i = 0; i < state_dnet_count(n->state); i++)
		overlay_refresh(add_overlay(n, state_dnet_at(n->state, i)));
	datapath_wake(n->datapath);
	log_info("serving %zu dnets, UDP port %u", state_dnet_count(n->state),
		 n->config->port ? (unsigned)n->config->port : state_port(n->state));
}

void node_stop(struct node *n)
{
	struct overlay *o, *next;
	ctl_server_free(n->ctl);
	n->ctl = NULL;
	TAILQ_FOREACH_SAFE(o, &n->overlays, entry, next)
	{
		TAILQ_REMOVE(&n->overlays, o, entry);
		overlay_free(o);
	}
	pings_free(n->pings);
	chain_free(n->chain);
	if (n->datapath)
		datapath_set_engine(n->datapath, NULL);
	engine_free(n->engine);
	datapath_free(n->datapath);
	loop_timer_free(n->time_timer);
	loop_timer_free(n->local_timer);
	loop_fd_free(n->priv_watch);
	loop_fd_free(n->spawn_watch);
	loop_fd_free(n->monitor_watch);
	netlink_monitor_free(n->monitor);
	netlink_free(n->nl);
	udp_close(&n->udp4);
	udp_close(&n->udp6);
	id_free(n->id);
	state_close(n->state);
}
