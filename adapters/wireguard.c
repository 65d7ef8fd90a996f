#include "adapters/wireguard.h"

#include "adapters/wg_bridge.h"
#include "adapters/wg_direct.h"
#include "adapters/wg_keys.h"
#include "core/mesh.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The WireGuard backend. What is wanted comes from plans; what the device has it says itself, asked
 * now and then, so that what others do to it is seen and taken back. Only the difference is set.
 *
 * Each peer has a bridge (a UDP socket on the loopback), which is its endpoint until a direct path
 * is known: its datagrams travel through the control plane then. */

enum {
	POLL_MS = 3000,
	POLL_ASKED_MS = 1000, /* while somebody looks at peers */
	ASKED_S = 10,
	SESSION_S = 180, /* without a new handshake a session ends: Reject-After-Time */
};

struct member {
	struct adapter *adapter;
	struct node_key node;
	struct wg_peer peer; /* as it is to be, but for the endpoint */
	bool has_key;
	const char *refused;	  /* why it is no peer of the device; NULL: it is one */
	struct wg_bridge *bridge; /* owned; NULL: not made yet, or it could not be */
	bool reachable;
	struct endpoint direct; /* ADDR_NONE: over the bridge */
	struct wg_peer seen;	/* what the device said last; zeros: nothing */
};

struct adapter {
	struct adapter_host host;
	const struct wg_device_ops *ops;
	struct wg_device *device; /* owned */
	struct wg_direct *direct; /* owned */
	struct wg_keys keys;
	struct member **members; /* owned, sorted by node key */
	size_t member_count;
	struct wg_config want;
	struct wg_config have; /* only while it is known */
	bool ready, known;
	bool asked;	/* get() is under way */
	bool set_since; /* and something was set behind it */
	bool nat;	/* our address is another one outside */
	bool planned;
	struct loop_timer *poll;
	uint64_t *looked_ns; /* owned: when somebody looked at peers */
	char error[ADAPTER_ERROR_MAX];
};

/* ---- Members ---- */

static int compare_nodes(const void *a, const void *b)
{
	const struct member *const *x = a, *const *y = b;
	return node_key_compare(&(*x)->node, &(*y)->node);
}

static struct member *find_member(const struct adapter *a, const struct node_key *key)
{
	struct member wanted = {.node = *key}, *pointer = &wanted;
	if (a->member_count == 0)
		return NULL;
	struct member **found = bsearch(&pointer, a->members, a->member_count,
					sizeof(struct member *), compare_nodes);
	return found ? *found : NULL;
}

static void free_member(struct member *m)
{
	if (!m)
		return;
	wg_bridge_free(m->bridge);
	free(m);
}

static void on_bridge(void *ctx, const uint8_t *bytes, size_t len)
{
	const struct member *m = ctx;
	const struct adapter_host *host = &m->adapter->host;
	if (!m->refused)
		(void)host->carry(host->ctx, &m->node, bytes, len);
}

static void open_bridge(struct member *m)
{
	const struct adapter *a = m->adapter;
	if (m->bridge)
		return;
	int r = wg_bridge_new(a->host.loop, a->keys.port, on_bridge, m, &m->bridge);
	if (r < 0)
		log_limited(LOG_LEVEL_WARN, 6, "%s: no socket for the bridge of a peer: %s",
			    a->host.interface, strerror(-r));
}

/* The same member with the same key keeps all that belongs to it. */
static struct member *take_member(struct adapter *a, const struct adapter_peer *planned)
{
	struct member *old = find_member(a, &planned->node->key);
	struct wg_peer peer = {0};
	bool has_key = wg_peer_of(planned, &peer);
	if (old && old->has_key == has_key && memcmp(old->peer.key, peer.key, WG_KEY_LEN) == 0) {
		old->peer = peer;
		old->reachable = planned->reachable;
		return old;
	}
	struct member *m = xcalloc(1, sizeof(*m));
	m->adapter = a;
	m->node = planned->node->key;
	m->peer = peer;
	m->has_key = has_key;
	m->reachable = planned->reachable;
	m->refused = "new"; /* until it is looked at below: who was there comes first */
	return m;
}

static int compare_claims(const void *a, const void *b)
{
	const struct member *const *x = a, *const *y = b;
	int order = memcmp((*x)->peer.key, (*y)->peer.key, WG_KEY_LEN);
	if (order == 0)
		order = !!(*x)->refused - !!(*y)->refused;
	return order ? order : compare_nodes(a, b);
}

/* A key that two say is theirs stays with the one that had it; nobody takes over another's packets
 * by naming his key. */
static void settle_claims(struct adapter *a)
{
	size_t n = a->member_count;
	struct member **order = xcalloc(n ? n : 1, sizeof(struct member *));
	if (n > 0) {
		memcpy(order, a->members, n * sizeof(struct member *));
		qsort(order, n, sizeof(struct member *), compare_claims);
	}
	for (size_t i = 0; i < n; i++) {
		struct member *m = order[i];
		const char *before = m->refused;
		m->refused = NULL;
		if (!m->has_key)
			m->refused = "its WireGuard key is not known yet";
		else if (memcmp(m->peer.key, a->keys.public_key, WG_KEY_LEN) == 0)
			m->refused = "refused: it says that our WireGuard key is its own";
		else if (i > 0 && memcmp(m->peer.key, order[i - 1]->peer.key, WG_KEY_LEN) == 0)
			m->refused = "refused: another member has that WireGuard key";
		if (m->refused && m->has_key && m->refused != before)
			a->host.event(a->host.ctx, &m->node, m->refused);
	}
	free(order);
}

/* ---- What is wanted ---- */

static void see_helper(void *ctx, const struct mesh_helper_status *s)
{
	struct adapter *a = ctx;
	size_t count;
	if (s->observed.addr.family == ADDR_NONE)
		return;
	const struct endpoint *local = mesh_local_endpoints(a->host.mesh, &count);
	for (size_t i = 0; i < count; i++) {
		if (address_equal(&local[i].addr, &s->observed.addr))
			return;
	}
	a->nat = true;
}

static void look_for_nat(struct adapter *a)
{
	a->nat = false;
	if (a->host.mesh)
		mesh_visit_helpers(a->host.mesh, see_helper, a);
}

static struct wg_peer wanted_peer(const struct adapter *a, struct member *m)
{
	struct wg_peer peer = m->peer;
	open_bridge(m);
	if (m->direct.addr.family != ADDR_NONE) {
		peer.endpoint = m->direct;
		peer.keepalive_s = a->nat ? WG_KEEPALIVE_S : 0;
	} else if (m->bridge) {
		peer.endpoint.addr = (struct address){ADDR_V4, {127, 0, 0, 1}};
		peer.endpoint.port = wg_bridge_port(m->bridge);
	}
	return peer;
}

static void build_wanted(struct adapter *a)
{
	wg_config_done(&a->want);
	for (size_t i = 0; i < a->member_count; i++) {
		if (a->members[i]->refused)
			continue;
		struct wg_peer peer = wanted_peer(a, a->members[i]);
		wg_config_add(&a->want, &peer);
	}
	wg_config_sort(&a->want);
}

/* ---- Device ---- */

struct changes {
	struct wg_change *list;
	size_t count;
};

static void collect(void *ctx, const struct wg_change *change)
{
	struct changes *changes = ctx;
	changes->list[changes->count++] = *change;
}

static void forget_device(struct adapter *a)
{
	a->known = false;
	wg_config_done(&a->have);
}

static void ask(struct adapter *a)
{
	if (!a->ready || a->asked)
		return;
	a->asked = true;
	a->set_since = false;
	if (a->ops->get(a->device) < 0)
		a->asked = false;
}

static int push_with(struct adapter *a, const uint8_t *private_key, uint16_t port)
{
	struct changes changes = {0};
	if (!a->ready || !a->known)
		return 0; /* all of it, when the device is there */
	size_t count = wg_config_diff(&a->have, &a->want, NULL, NULL);
	if (count == 0 && !private_key && !port)
		return 0;
	changes.list = xcalloc(count ? count : 1, sizeof(*changes.list));
	wg_config_diff(&a->have, &a->want, collect, &changes);
	struct wg_set set = {private_key, port, changes.list, changes.count};
	int r = a->ops->set(a->device, &set);
	a->set_since = true;
	free(changes.list);
	wg_config_done(&a->have);
	if (r == 0) {
		wg_config_copy(&a->have, &a->want);
		return 0;
	}
	forget_device(a);
	ask(a);
	return r;
}

static int push(struct adapter *a)
{
	return push_with(a, NULL, 0);
}

static void on_ready(void *ctx)
{
	struct adapter *a = ctx;
	a->ready = true;
	a->asked = false;
	forget_device(a);
	ask(a);
}

static void on_gone(void *ctx, const char *why)
{
	struct adapter *a = ctx;
	a->ready = false;
	a->asked = false;
	forget_device(a);
	for (size_t i = 0; i < a->member_count; i++)
		memset(&a->members[i]->seen, 0, sizeof(a->members[i]->seen));
	snprintf(a->error, sizeof(a->error), "%s", why);
}

static void on_refused(void *ctx, const char *why)
{
	struct adapter *a = ctx;
	forget_device(a);
	snprintf(a->error, sizeof(a->error), "%s", why);
	log_limited(LOG_LEVEL_WARN, 6, "%s: %s", a->host.interface, why);
	ask(a);
}

/* What we told it is what counts, not where it roamed to since. */
static void keep_endpoints(struct wg_config *state, const struct wg_config *told)
{
	for (size_t i = 0; i < state->peer_count; i++) {
		struct wg_peer *peer = &state->peers[i];
		const struct wg_peer *before = wg_config_find(told, peer->key);
		if (before && peer->endpoint.addr.family != ADDR_NONE)
			peer->endpoint = before->endpoint;
	}
}

static bool is_bridged(const struct member *m)
{
	const struct endpoint *e =
		m->seen.endpoint.addr.family != ADDR_NONE ? &m->seen.endpoint : NULL;
	if (!e)
		return m->direct.addr.family == ADDR_NONE;
	return m->bridge && e->port == wg_bridge_port(m->bridge) && e->addr.family == ADDR_V4 &&
	       e->addr.bytes[0] == 127;
}

static void on_got(void *ctx, const struct wg_config *state)
{
	struct adapter *a = ctx;
	struct wg_config fresh;
	a->asked = false;
	for (size_t i = 0; i < a->member_count; i++) {
		struct member *m = a->members[i];
		const struct wg_peer *peer = wg_config_find(state, m->peer.key), before = m->seen;
		memset(&m->seen, 0, sizeof(m->seen));
		if (!peer || m->refused)
			continue;
		m->seen = *peer;
		if (!a->set_since)
			wg_direct_seen(a->direct, &m->node, &before, &m->seen, is_bridged(m));
	}
	if (a->set_since && a->known)
		return; /* older than what we know */
	wg_config_copy(&fresh, state);
	keep_endpoints(&fresh, &a->have);
	bool key = secret_bytes_equal(state->private_key, a->keys.private_key, WG_KEY_LEN);
	bool port = state->port == a->keys.port;
	size_t drift = wg_config_diff(&fresh, &a->want, NULL, NULL);
	if (a->known && (drift > 0 || !key || !port))
		log_warn("%s: changed from outside, repaired: %zu peers%s%s", a->host.interface,
			 drift, key ? "" : ", private key", port ? "" : ", port");
	wg_config_done(&a->have);
	a->have = fresh;
	secret_wipe(a->have.private_key, WG_KEY_LEN);
	a->known = true;
	a->error[0] = '\0';
	(void)push_with(a, key ? NULL : a->keys.private_key, port ? 0 : a->keys.port);
}

static void on_poll(void *arg)
{
	struct adapter *a = arg;
	bool looked = clock_monotonic_ns() - *a->looked_ns < ASKED_S * NS_PER_S;
	ask(a);
	loop_timer_start(a->poll, looked ? POLL_ASKED_MS : POLL_MS);
}

/* ---- Paths ---- */

void wireguard_set_endpoint(struct adapter *a, const struct node_key *key,
			    const struct endpoint *endpoint)
{
	struct member *m = find_member(a, key);
	struct wg_peer *wanted = m && !m->refused ? wg_config_find(&a->want, m->peer.key) : NULL;
	if (!wanted)
		return;
	m->direct = endpoint ? *endpoint : (struct endpoint){0};
	*wanted = wanted_peer(a, m);
	/* Set in any case: the device may have roamed away from what it was told before. */
	struct wg_peer *told = a->known ? wg_config_find(&a->have, m->peer.key) : NULL;
	if (told)
		told->endpoint = (struct endpoint){0};
	(void)push(a);
}

static void on_choose(void *ctx, const struct node_key *key, const struct endpoint *endpoint)
{
	wireguard_set_endpoint(ctx, key, endpoint);
}

/* Where its port may be reached, for the probes. */
static void look_for_path(struct adapter *a, const struct member *m,
			  const struct adapter_peer *planned)
{
	if (m->refused)
		wg_direct_remove_peer(a->direct, &m->node);
	else
		wg_direct_set_peer(a->direct, &m->node, m->peer.key, planned->endpoints,
				   planned->endpoint_count);
}

/* ---- Operations ---- */

static const struct wg_device_ops *const devices[] = {
	&wg_device_kernel,
	&wg_device_go,
};

/* Of those that may be taken, the first that this machine has. NULL: error says why. */
static const struct wg_device_ops *find_device(const struct wg_device_ops *only,
					       const char *program,
					       char error[static ADAPTER_ERROR_MAX])
{
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		if ((!only || devices[i] == only) && devices[i]->probe(program, error) == 0)
			return devices[i];
	}
	return NULL;
}

static int probe_with(const struct wg_device_ops *only, const char *program,
		      enum adapter_device *ret_device, char error[static ADAPTER_ERROR_MAX])
{
	const struct wg_device_ops *ops = find_device(only, program, error);
	if (!ops)
		return -ENOENT;
	*ret_device = ops->device;
	return 0;
}

static int probe_auto(const char *program, enum adapter_device *ret_device,
		      char error[static ADAPTER_ERROR_MAX])
{
	return probe_with(NULL, program, ret_device, error);
}

static int probe_kernel(const char *program, enum adapter_device *ret_device,
			char error[static ADAPTER_ERROR_MAX])
{
	return probe_with(&wg_device_kernel, program, ret_device, error);
}

static int probe_go(const char *program, enum adapter_device *ret_device,
		    char error[static ADAPTER_ERROR_MAX])
{
	return probe_with(&wg_device_go, program, ret_device, error);
}

static int start_with(const struct adapter_host *host, const struct wg_device_ops *ops,
		      struct adapter **ret_adapter)
{
	struct adapter *a = xcalloc(1, sizeof(*a));
	struct wg_device_io io = {a, on_ready, on_gone, on_got, on_refused};
	a->host = *host;
	a->ops = ops;
	int r = wg_keys_load(host->folder, &host->dnet, &a->keys);
	const struct wg_direct_io direct_io = {a, on_choose};
	if (r == 0)
		a->direct = wg_direct_new(&a->host, &direct_io, a->keys.private_key, a->keys.port);
	if (r == 0 && !a->direct)
		r = -ENOMEM;
	if (r == 0)
		r = ops->open(&a->host, &io, &a->device);
	if (r < 0) {
		wg_direct_free(a->direct);
		wg_keys_wipe(&a->keys);
		free(a);
		return r;
	}
	a->looked_ns = xcalloc(1, sizeof(*a->looked_ns));
	a->poll = loop_timer_new(host->loop, on_poll, a);
	loop_timer_start(a->poll, POLL_MS);
	snprintf(a->error, sizeof(a->error), "%s is starting", ops->name);
	*ret_adapter = a;
	return 0;
}

static int start_kernel(const struct adapter_host *host, struct adapter **ret_adapter)
{
	return start_with(host, &wg_device_kernel, ret_adapter);
}

static int start_go(const struct adapter_host *host, struct adapter **ret_adapter)
{
	return start_with(host, &wg_device_go, ret_adapter);
}

/* As probe_auto() found it. */
static int start_auto(const struct adapter_host *host, struct adapter **ret_adapter)
{
	char error[ADAPTER_ERROR_MAX];
	bool kernel = wg_device_kernel.probe(NULL, error) == 0;
	return start_with(host, kernel ? &wg_device_kernel : &wg_device_go, ret_adapter);
}

static void wireguard_device(struct adapter *a, uint32_t index, int fd)
{
	a->ops->interface(a->device, index, fd);
}

static int wireguard_apply(struct adapter *a, const struct adapter_plan *plan, uint64_t now)
{
	struct member **members = xcalloc(MAX(plan->peer_count, (size_t)1), sizeof(*members));
	(void)now;
	for (size_t i = 0; i < plan->peer_count; i++)
		members[i] = take_member(a, &plan->peers[i]);
	for (size_t i = 0, j = 0; i < a->member_count; i++) {
		struct member *old = a->members[i];
		while (j < plan->peer_count && node_key_compare(&members[j]->node, &old->node) < 0)
			j++;
		bool stays = j < plan->peer_count && node_key_equal(&members[j]->node, &old->node);
		if (!stays)
			wg_direct_remove_peer(a->direct, &old->node);
		if (!stays || members[j] != old)
			free_member(old);
	}
	free(a->members);
	a->members = members;
	a->member_count = plan->peer_count;
	a->planned = true;
	settle_claims(a);
	look_for_nat(a);
	build_wanted(a);
	int r = push(a);
	for (size_t i = 0; i < plan->peer_count; i++)
		look_for_path(a, members[i], &plan->peers[i]);
	wg_direct_planned(a->direct, plan);
	return r;
}

static void wireguard_offer(const struct adapter *a, struct adapter_offer *ret_offer)
{
	*ret_offer = (struct adapter_offer){
		.key = a->keys.public_key, .key_len = WG_KEY_LEN, .port = a->keys.port};
	ret_offer->endpoint_count = wg_direct_mapped(a->direct, &ret_offer->endpoints);
}

static void wireguard_carried(struct adapter *a, const struct node_key *key, const uint8_t *bytes,
			      size_t len)
{
	struct member *m = find_member(a, key);
	if (m && !m->refused && m->bridge)
		(void)wg_bridge_send(m->bridge, bytes, len);
}

/* ---- Views ---- */

static const char *reason_of(const struct member *m, bool connected, bool bridged)
{
	if (m->refused)
		return m->refused;
	if (!m->adapter->ready)
		return "WireGuard does not run";
	if (!m->bridge && bridged)
		return "no socket is left for its bridge: raise the limit of open files";
	if (bridged && !m->reachable)
		return "no direct path, and the control plane does not reach it";
	if (bridged && !connected)
		return "no handshake yet, through the control plane";
	const char *path;
	(void)wg_direct_path(m->adapter->direct, &m->node, &path);
	if (bridged)
		return path;
	return connected ? "direct" : "direct, no handshake yet";
}

static void wireguard_visit_peers(const struct adapter *a, adapter_visit_peer *visit, void *ctx)
{
	uint64_t now_s = clock_wall_s(), now = clock_monotonic_ns();
	if (now - *a->looked_ns > POLL_ASKED_MS * NS_PER_MS)
		loop_timer_start(a->poll, 0); /* who looks again gets what is true now */
	*a->looked_ns = now;
	for (size_t i = 0; i < a->member_count; i++) {
		const struct member *m = a->members[i];
		uint64_t at = m->seen.handshake_s;
		struct adapter_peer_status s = {.key = m->node,
						.rx_bytes = m->seen.rx_bytes,
						.tx_bytes = m->seen.tx_bytes,
						.last_handshake_s = UINT64_MAX};
		if (at > 0)
			s.last_handshake_s = now_s > at ? now_s - at : 0;
		s.connected = s.last_handshake_s < SESSION_S;
		s.bridged = is_bridged(m);
		if (!s.bridged)
			s.endpoint = m->seen.endpoint;
		s.reason = reason_of(m, s.connected, s.bridged);
		visit(ctx, &s);
	}
}

static void wireguard_status(const struct adapter *a, struct adapter_status *ret_status)
{
	*ret_status = (struct adapter_status){
		.applied = a->planned && a->ready && a->known,
		.error = a->error[0] ? a->error : NULL,
		.program = a->ops->text(a->device),
	};
}

static void wireguard_teardown(struct adapter *a)
{
	wg_direct_free(a->direct);
	a->ops->close(a->device);
	loop_timer_free(a->poll);
	for (size_t i = 0; i < a->member_count; i++)
		free_member(a->members[i]);
	free(a->members);
	wg_config_done(&a->want);
	wg_config_done(&a->have);
	wg_keys_wipe(&a->keys);
	free(a->looked_ns);
	free(a);
}

#define WIREGUARD_OPS(probe_op, start_op)                                                          \
	{                                                                                          \
		.name = "wireguard", .summary = "WireGuard, of the kernel or wireguard-go",        \
		.backend = BACKEND_WIREGUARD, .program = PROGRAM_WIREGUARD_GO,                     \
		.probe = (probe_op), .start = (start_op), .device = wireguard_device,              \
		.apply = wireguard_apply, .offer = wireguard_offer, .carried = wireguard_carried,  \
		.status = wireguard_status, .visit_peers = wireguard_visit_peers,                  \
		.teardown = wireguard_teardown,                                                    \
	}

const struct adapter_ops adapter_wireguard = WIREGUARD_OPS(probe_auto, start_auto);
const struct adapter_ops adapter_wireguard_kernel = WIREGUARD_OPS(probe_kernel, start_kernel);
const struct adapter_ops adapter_wireguard_go = WIREGUARD_OPS(probe_go, start_go);

const struct adapter_ops *adapter_choose_wireguard(const char *choice)
{
	static const struct {
		const char *name;
		const struct adapter_ops *ops;
	} choices[] = {{"auto", &adapter_wireguard},
		       {"kernel", &adapter_wireguard_kernel},
		       {"go", &adapter_wireguard_go}};
	char error[ADAPTER_ERROR_MAX];
	/* Whether the kernel has it can be asked only as long as the daemon has its rights. */
	(void)wg_device_kernel.probe(NULL, error);
	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		if (strcmp(choices[i].name, choice) == 0)
			return choices[i].ops;
	}
	return NULL;
}
