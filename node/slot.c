#include "node/slot.h"

#include "core/error.h"
#include "core/filter.h"
#include "node/guard.h"
#include "node/ifname.h"
#include "node/privops.h"
#include "node/spawn.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROUTE_METRIC = 512 /* + number of the interface */ };

struct slot {
	struct slot_env env;
	struct slot_io io;
	const struct adapter_ops *ops;
	struct adapter *adapter; /* owned; NULL: not running */
	enum adapter_device device;
	enum tun_offload offload;
	struct netcfg *netcfg; /* owned */
	struct guard *guard;   /* owned; NULL: the data path does it */
	char interface[IF_NAMESIZE];
	uint32_t number;
	char folder[256];
	char error[ADAPTER_ERROR_MAX];
	char closed[128]; /* why the filter lets nothing through; "": it does what the policy says
			   */
	struct adapter_os os;
};

/* ---- What the adapter is given ---- */

static const char *os_error(void *ctx)
{
	const struct slot *s = ctx;
	return spawn_error(s->env.spawn);
}

static int os_child_start(void *ctx, enum adapter_program program, const int *fds, size_t fds_count,
			  int *ret_pidfd, int *ret_pid)
{
	const struct slot *s = ctx;
	return spawn_child(s->env.spawn, program, s->interface, fds, fds_count, ret_pidfd, ret_pid);
}

static int os_child_signal(void *ctx, int pid, int signal)
{
	const struct slot *s = ctx;
	return spawn_signal(s->env.spawn, pid, signal);
}

static int os_child_reap(void *ctx, int pid, int *ret_status)
{
	const struct slot *s = ctx;
	return spawn_reap(s->env.spawn, pid, ret_status);
}

static int os_raw_open(void *ctx, uint8_t family, uint16_t port, int *ret_fd)
{
	const struct slot *s = ctx;
	return priv_raw_open(s->env.priv, family, port, ret_fd);
}

static int os_wireguard_set(void *ctx, uint32_t index, const uint8_t *private_key, uint16_t port,
			    const struct wglink_peer *peers, size_t count)
{
	const struct slot *s = ctx;
	return priv_wireguard_set(s->env.priv, index, private_key, port, peers, count);
}

static int os_wireguard_get(void *ctx, uint32_t index, struct wglink_device *ret_device,
			    wglink_visit_peer *visit, void *visit_ctx)
{
	const struct slot *s = ctx;
	return priv_wireguard_get(s->env.priv, index, ret_device, visit, visit_ctx);
}

static const char *os_helper_error(void *ctx)
{
	const struct slot *s = ctx;
	return priv_error(s->env.priv);
}

static void on_event(void *ctx, const struct node_key *key, const char *text)
{
	const struct slot *s = ctx;
	s->io.event(s->io.ctx, key, text);
}

static bool on_carry(void *ctx, const struct node_key *key, const void *bytes, size_t len)
{
	const struct slot *s = ctx;
	return s->io.carry(s->io.ctx, s->ops->backend, key, bytes, len);
}

enum tun_offload slot_offload(const struct slot *slot)
{
	return slot->offload;
}

static void on_changed(void *ctx)
{
	const struct slot *s = ctx;
	s->io.changed(s->io.ctx);
}

/* ---- The interface ---- */

/* The filter first: nothing passes before it is in force. */
static bool on_opened(void *ctx, int fd, enum tun_offload offload)
{
	struct slot *s = ctx;
	if (s->guard) {
		guard_set_index(s->guard, netcfg_index(s->netcfg));
		guard_pass(s->guard, clock_monotonic_ns() / NS_PER_MS);
		if (!guard_is_wanted(s->guard) || !guard_is_good(s->guard))
			return false;
	}
	log_info("interface %s, %s, offload %s", s->interface, s->ops->name,
		 tun_offload_name(offload));
	s->offload = offload;
	if (s->device == ADAPTER_DEVICE_MESH)
		s->io.tun(s->io.ctx, fd, offload);
	if (s->adapter && s->ops->device)
		s->ops->device(s->adapter, netcfg_index(s->netcfg), fd);
	return true;
}

static void on_closed(void *ctx)
{
	struct slot *s = ctx;
	if (s->device == ADAPTER_DEVICE_MESH)
		s->io.tun(s->io.ctx, -1, TUN_OFFLOAD_NONE);
	if (s->adapter && s->ops->device)
		s->ops->device(s->adapter, 0, -1);
	if (s->guard)
		guard_set_index(s->guard, 0);
}

void slot_set_wanted(struct slot *s, const struct netcfg_wanted *wanted, uint32_t table_base)
{
	struct netcfg_wanted w;
	if (!wanted || !slot_has_interface(s)) {
		netcfg_set_wanted(s->netcfg, NULL);
		return;
	}
	w = *wanted;
	memcpy(w.name, s->interface, sizeof(w.name));
	w.device = s->device == ADAPTER_DEVICE_MESH	   ? NETCFG_DEVICE_MESH
		   : s->device == ADAPTER_DEVICE_TUN	   ? NETCFG_DEVICE_PLAIN
		   : s->device == ADAPTER_DEVICE_WIREGUARD ? NETCFG_DEVICE_WIREGUARD
							   : NETCFG_DEVICE_PROGRAM;
	w.metric = ROUTE_METRIC + s->number;
	w.table = table_base + s->number;
	netcfg_set_wanted(s->netcfg, &w);
}

bool slot_has_interface(const struct slot *s)
{
	return s->adapter && s->device != ADAPTER_DEVICE_NONE;
}

/* ---- Life ---- */

struct slot *slot_new(const struct slot_env *env, const struct slot_io *io,
		      const struct adapter_ops *ops, const char *interface_prefix, uint32_t number)
{
	struct slot *s = xcalloc(1, sizeof(*s));
	struct netcfg_io netcfg_io = {.ctx = s, .opened = on_opened, .closed = on_closed};
	s->env = *env;
	s->io = *io;
	s->ops = ops;
	s->number = number;
	snprintf(s->interface, sizeof(s->interface), "%s%u", interface_prefix, number);
	spawn_folder(env->state_folder, s->interface, s->folder, sizeof(s->folder));
	if (ops->backend != BACKEND_NATIVE)
		s->guard = guard_new(env->priv, s->interface);
	s->netcfg = netcfg_new(env->priv, env->nl, &netcfg_io);
	s->os = (struct adapter_os){.ctx = s,
				    .error = os_error,
				    .child_start = os_child_start,
				    .child_signal = os_child_signal,
				    .child_reap = os_child_reap,
				    .raw_open = os_raw_open,
				    .wireguard_set = os_wireguard_set,
				    .wireguard_get = os_wireguard_get,
				    .helper_error = os_helper_error};
	return s;
}

void slot_free(struct slot *s)
{
	if (!s)
		return;
	slot_stop(s);
	netcfg_free(s->netcfg);
	guard_free(s->guard);
	free(s);
}

static _printf_(2, 3) void set_error(struct slot *s, const char *format, ...)
{
	char text[sizeof(s->error)];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (strcmp(s->error, text) != 0)
		log_error("%s: %s: %s", s->interface, s->ops->name, text);
	memcpy(s->error, text, sizeof(text));
}

/* state/backend/INTERFACE, for nobody but us. */
static int make_folder(struct slot *s)
{
	char parent[sizeof(s->folder)];
	snprintf(parent, sizeof(parent), "%s/backend", s->env.state_folder);
	if (mkdirat(AT_FDCWD, parent, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (mkdirat(AT_FDCWD, s->folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

/* The number of the dnet's first interface: UINT32_MAX when the name is no interface of ours. */
static uint32_t number_of(const char *name, const char *interface_prefix)
{
	uint32_t number;
	if (!ifname_parse(name, interface_prefix, &number) ||
	    number >= SLOTS_MAX * SLOT_NUMBER_STEP)
		return UINT32_MAX;
	return number % SLOT_NUMBER_STEP;
}

void slot_sweep(const char *state_folder, const char *interface_prefix,
		bool (*is_joined)(void *ctx, uint32_t number), void *ctx)
{
	_cleanup_(freep) char *parent = xasprintf("%s/backend", state_folder);
	DIR *dir = opendir(parent);
	const struct dirent *entry;
	if (!dir)
		return; /* no backend has had a folder */
	while ((entry = readdir(dir))) {
		_cleanup_(freep) char *path = xasprintf("%s/%s", parent, entry->d_name);
		uint32_t number = number_of(entry->d_name, interface_prefix);
		bool dots = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
		if (dots || (number != UINT32_MAX && is_joined(ctx, number)))
			continue;
		int r = file_remove_folder(path);
		if (r < 0)
			log_error("cannot remove %s: %s", path, strerror(-r));
	}
	closedir(dir);
	(void)unlinkat(AT_FDCWD, parent, AT_REMOVEDIR); /* when it is empty now */
}

void slot_start(struct slot *s, struct mesh *mesh)
{
	char error[ADAPTER_ERROR_MAX] = "";
	if (s->adapter)
		return;
	bool program = s->ops->program != PROGRAM_COUNT;
	int r = program ? make_folder(s) : 0;
	if (r < 0) {
		set_error(s, "cannot make the folder %s: %s", s->folder, strerror(-r));
		return;
	}
	r = s->ops->probe(program ? s->env.programs[s->ops->program] : NULL, &s->device, error);
	if (r < 0) {
		set_error(s, "%s", error[0] ? error : error_text(r));
		return;
	}
	struct adapter_host host = {.ctx = s,
				    .loop = s->env.loop,
				    .os = &s->os,
				    .identity = s->env.identity,
				    .dnet = s->env.dnet,
				    .use_hubs = s->env.use_hubs,
				    .interface = s->interface,
				    .folder = s->folder,
				    .mesh = mesh,
				    .mtu = s->env.mtu,
				    .event = on_event,
				    .carry = on_carry,
				    .changed = on_changed};
	r = s->ops->start(&host, &s->adapter);
	if (r < 0) {
		s->adapter = NULL;
		set_error(s, "cannot start: %s", error_text(r));
		return;
	}
	s->error[0] = '\0';
}

void slot_stop(struct slot *s)
{
	netcfg_set_wanted(s->netcfg, NULL);
	if (s->adapter)
		s->ops->teardown(steal(s->adapter));
	if (s->guard)
		guard_set_wanted(s->guard, NULL);
	s->error[0] = s->closed[0] = '\0';
}

void slot_leave(struct slot *s)
{
	slot_stop(s);
	if (s->ops->program == PROGRAM_COUNT)
		return;
	int r = file_remove_folder(s->folder);
	_cleanup_(freep) char *parent = file_folder_of(s->folder);
	(void)unlinkat(AT_FDCWD, parent, AT_REMOVEDIR); /* if it was the last one */
	if (r < 0)
		log_error("%s: cannot remove the folder %s: %s", s->interface, s->folder,
			  strerror(-r));
}

/* result: of filter_new(). */
static void set_closed(struct slot *s, int result)
{
	char text[sizeof(s->closed)] = "";
	if (result == -E2BIG)
		snprintf(text, sizeof(text),
			 "no packet passes: the policy is too large (at most %d services, %d "
			 "addresses): it needs fewer rules",
			 FILTER_SERVICES_MAX, FILTER_ELEMENTS_MAX);
	else if (result < 0)
		snprintf(text, sizeof(text), "no packet passes: %s", error_text(result));
	if (text[0] && strcmp(text, s->closed) != 0)
		log_error("%s: filter: %s", s->interface, text);
	memcpy(s->closed, text, sizeof(text));
}

/* Who is no peer any more is out before the backend hears of it. Where there is no such list nobody
 * is let through. */
static void set_filter(struct slot *s, const struct adapter_plan *plan)
{
	const struct netmap_node **peers = xcalloc(plan->peer_count, sizeof(*peers));
	struct filter *filter;
	for (size_t i = 0; i < plan->peer_count; i++)
		peers[i] = plan->peers[i].node;
	int r = filter_new(plan->rules, plan->rule_count, plan->self, peers, plan->peer_count,
			   priv_ipv4_prefix_ok(&plan->netmap->ipv4_prefix), &filter);
	free(peers);
	set_closed(s, r);
	if (r < 0)
		filter = xcalloc(1, sizeof(*filter));
	if (guard_set_wanted(s->guard, filter))
		guard_pass(s->guard, clock_monotonic_ns() / NS_PER_MS);
}

void slot_apply(struct slot *s, const struct adapter_plan *plan, uint64_t now)
{
	if (!s->adapter)
		return;
	if (s->guard)
		set_filter(s, plan);
	int r = s->ops->apply(s->adapter, plan, now);
	if (r < 0)
		set_error(s, "cannot apply the netmap: %s", error_text(r));
	else
		s->error[0] = '\0';
}

void slot_carried(struct slot *s, const struct node_key *key, const uint8_t *bytes, size_t len)
{
	if (s->adapter && s->ops->carried)
		s->ops->carried(s->adapter, key, bytes, len);
}

uint64_t slot_pass(struct slot *s, uint64_t now_ms)
{
	uint64_t wait_ms = netcfg_pass(s->netcfg, now_ms);
	return s->guard ? MIN(wait_ms, guard_pass(s->guard, now_ms)) : wait_ms;
}

/* ---- Views ---- */

bool slot_is_good(const struct slot *s)
{
	if (!slot_has_interface(s))
		return slot_is_up(s);
	return netcfg_good(s->netcfg) && (!s->guard || guard_is_good(s->guard)) && !s->closed[0];
}

bool slot_filter_is_good(const struct slot *s, const char **ret_error)
{
	*ret_error = s->closed[0] ? s->closed : guard_error(s->guard);
	return guard_is_wanted(s->guard) && guard_is_good(s->guard) && !s->closed[0];
}

struct guard *slot_guard(const struct slot *s)
{
	return s->guard;
}

const struct adapter_ops *slot_ops(const struct slot *s)
{
	return s->ops;
}

struct netcfg *slot_netcfg(const struct slot *s)
{
	return s->netcfg;
}

const char *slot_interface(const struct slot *s)
{
	return s->interface;
}

bool slot_runs(const struct slot *s)
{
	return s->adapter != NULL;
}

bool slot_is_up(const struct slot *s)
{
	return s->adapter && (s->device == ADAPTER_DEVICE_NONE || netcfg_index(s->netcfg) != 0);
}

void slot_status(const struct slot *s, struct adapter_status *ret_status)
{
	*ret_status = (struct adapter_status){0};
	if (s->adapter)
		s->ops->status(s->adapter, ret_status);
	if (s->error[0])
		*ret_status = (struct adapter_status){.error = s->error,
						      .limits = ret_status->limits,
						      .program = ret_status->program};
}

bool slot_visit_peers(const struct slot *s, adapter_visit_peer *visit, void *ctx)
{
	if (!s->adapter || !s->ops->visit_peers)
		return false;
	s->ops->visit_peers(s->adapter, visit, ctx);
	return true;
}

void slot_offer(const struct slot *s, struct adapter_offer *ret_offer)
{
	*ret_offer = (struct adapter_offer){0};
	if (s->adapter && s->ops->offer)
		s->ops->offer(s->adapter, ret_offer);
}
