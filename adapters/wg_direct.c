#include "adapters/wg_direct.h"

#include "core/direct.h"
#include "core/mesh.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/rand.h"
#include "os/rawudp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	LOOK_MS = 1000,	    /* at our addresses, and at the helpers */
	READ_AT_ONCE = 64,  /* datagrams */
	OPEN_AGAIN_S = 30,  /* after raw sockets could not be had */
	HANDSHAKE_BLUR = 1, /* s: the device says it in whole seconds */
};

struct wg_direct {
	struct adapter_host host;
	struct wg_direct_io io;
	struct direct *direct; /* owned */
	uint16_t port;
	struct rawudp raw;
	bool open;
	struct loop_fd *watch4, *watch6;
	struct loop_timer *timer; /* direct_tick() */
	struct loop_timer *look;
	uint64_t open_at;
	char error[ADAPTER_ERROR_MAX];
	struct prefix overlay[2]; /* what lies in there is no way to a peer */
	struct endpoint local[MESH_BACKEND_ENDPOINTS];
	size_t local_count;
	struct endpoint mapped[DIRECT_MAPPED_MAX];
	size_t mapped_count;
};

/* ---- Datagrams ---- */

static void on_send(void *ctx, const struct endpoint *to, const void *bytes, size_t len)
{
	struct wg_direct *d = ctx;
	if (d->open)
		(void)rawudp_send(&d->raw, to, bytes, len); /* lost: it is asked again */
}

static void on_choose(void *ctx, const struct node_key *key, const struct endpoint *endpoint)
{
	struct wg_direct *d = ctx;
	char text[ENDPOINT_TEXT_MAX], line[ENDPOINT_TEXT_MAX + 32];
	snprintf(line, sizeof(line), "wireguard path: %s",
		 endpoint ? endpoint_format(endpoint, text) : "through the control plane");
	d->io.choose(d->io.ctx, key, endpoint);
	d->host.event(d->host.ctx, key, line);
}

static void on_mapped(void *ctx)
{
	struct wg_direct *d = ctx;
	d->mapped_count = direct_mapped(d->direct, d->mapped);
	d->host.changed(d->host.ctx);
}

static bool on_allowed(void *ctx, const struct endpoint *endpoint)
{
	const struct wg_direct *d = ctx;
	for (size_t i = 0; i < ARRAY_SIZE(d->overlay); i++) {
		if (d->overlay[i].addr.family != ADDR_NONE &&
		    prefix_contains(&d->overlay[i], &endpoint->addr))
			return false;
	}
	return true;
}

static void on_random(void *ctx, void *dst, size_t len)
{
	(void)ctx;
	rand_bytes(dst, len);
}

/* ---- Time ---- */

static void schedule(struct wg_direct *d)
{
	uint64_t now = clock_monotonic_ns(), at = direct_deadline(d->direct);
	if (at == UINT64_MAX)
		loop_timer_stop(d->timer);
	else
		loop_timer_start(d->timer, at > now ? (at - now) / NS_PER_MS + 1 : 0);
}

static void on_timer(void *arg)
{
	struct wg_direct *d = arg;
	direct_tick(d->direct, clock_monotonic_ns());
	schedule(d);
}

static void on_readable(void *arg, int fd, unsigned events)
{
	struct wg_direct *d = arg;
	uint8_t bytes[RAWUDP_PAYLOAD_MAX];
	struct endpoint source;
	(void)events;
	for (int i = 0; i < READ_AT_ONCE; i++) {
		ssize_t n = rawudp_receive(&d->raw, fd, &source, bytes);
		if (n < 0 && n != -EBADMSG)
			break;
		if (n > 0)
			direct_input(d->direct, &source, bytes, (size_t)n, clock_monotonic_ns());
	}
	schedule(d);
}

/* ---- Sockets ---- */

static void close_sockets(struct wg_direct *d)
{
	loop_fd_free(steal(d->watch4));
	loop_fd_free(steal(d->watch6));
	if (d->open)
		rawudp_close(&d->raw);
	d->open = false;
}

static int open_one(struct wg_direct *d, uint8_t family)
{
	int fd = -1;
	int r = d->host.os->raw_open(d->host.os->ctx, family, d->port, &fd);
	if (r < 0 && r != -EAFNOSUPPORT)
		snprintf(d->error, sizeof(d->error), "no direct paths: %s",
			 d->host.os->helper_error(d->host.os->ctx));
	return r < 0 ? -1 : fd;
}

static void open_sockets(struct wg_direct *d)
{
	d->error[0] = '\0';
	int fd4 = open_one(d, ADDR_V4), fd6 = open_one(d, ADDR_V6);
	if (fd4 < 0 && fd6 < 0) {
		log_limited(LOG_LEVEL_WARN, 2, "%s: %s", d->host.interface, d->error);
		return;
	}
	if (rawudp_init(&d->raw, d->port, fd4, fd6) < 0)
		return;
	d->open = true;
	if (fd4 >= 0)
		d->watch4 = loop_fd_new(d->host.loop, fd4, LOOP_READ, on_readable, d);
	if (fd6 >= 0)
		d->watch6 = loop_fd_new(d->host.loop, fd6, LOOP_READ, on_readable, d);
}

/* ---- The world around ---- */

struct search {
	struct endpoint servers[DIRECT_SERVERS_MAX];
	size_t count;
};

static void see_helper(void *ctx, const struct mesh_helper_status *s)
{
	struct search *search = ctx;
	if (s->helper->kind == OBJECT_OVC && s->endpoint.addr.family != ADDR_NONE &&
	    search->count < DIRECT_SERVERS_MAX)
		search->servers[search->count++] = s->endpoint;
}

static void look_at_servers(struct wg_direct *d)
{
	struct search search = {.count = 0};
	mesh_visit_helpers(d->host.mesh, see_helper, &search);
	direct_set_servers(d->direct, search.servers, search.count, clock_monotonic_ns());
}

/* Our addresses are others: whatever was found may be over. */
static void look_at_addresses(struct wg_direct *d)
{
	size_t count;
	const struct endpoint *local = mesh_local_endpoints(d->host.mesh, &count);
	bool same = true;
	count = MIN(count, ARRAY_SIZE(d->local));
	for (size_t i = 0; i < count && count == d->local_count; i++)
		same = same && endpoint_equal(&local[i], &d->local[i]);
	if (same && count == d->local_count)
		return;
	memcpy(d->local, local, count * sizeof(*local));
	d->local_count = count;
	direct_network_changed(d->direct, clock_monotonic_ns());
}

static void on_look(void *arg)
{
	struct wg_direct *d = arg;
	if (!d->open && clock_monotonic_ns() >= d->open_at) {
		d->open_at = clock_monotonic_ns() + OPEN_AGAIN_S * NS_PER_S;
		open_sockets(d);
	}
	if (d->host.mesh) {
		look_at_servers(d);
		look_at_addresses(d);
	}
	schedule(d);
}

/* ---- What the adapter calls ---- */

void wg_direct_set_peer(struct wg_direct *d, const struct node_key *node,
			const uint8_t key[static WG_KEY_LEN], const struct endpoint *endpoints,
			size_t count)
{
	if (direct_set_peer(d->direct, node, key, endpoints, count, clock_monotonic_ns()) < 0)
		log_debug("%s: a peer's key is none to probe with", d->host.interface);
}

void wg_direct_remove_peer(struct wg_direct *d, const struct node_key *node)
{
	direct_remove_peer(d->direct, node);
}

void wg_direct_planned(struct wg_direct *d, const struct adapter_plan *plan)
{
	d->overlay[0] = plan->netmap->ipv6_prefix;
	d->overlay[1] = plan->netmap->ipv4_prefix;
	on_look(d);
}

void wg_direct_seen(struct wg_direct *d, const struct node_key *node, const struct wg_peer *before,
		    const struct wg_peer *seen, bool bridged)
{
	uint64_t now = clock_monotonic_ns(), wall = clock_wall_s(), ago, handshake = 0;
	if (seen->endpoint.addr.family == ADDR_NONE)
		return;
	ago = wall > seen->handshake_s ? wall - seen->handshake_s : 0;
	if (seen->handshake_s > 0 && now > (ago + HANDSHAKE_BLUR) * NS_PER_S)
		handshake = now - (ago + HANDSHAKE_BLUR) * NS_PER_S;
	direct_observe(d->direct, node, bridged ? NULL : &seen->endpoint, handshake, now);
	if (seen->tx_bytes > before->tx_bytes && seen->rx_bytes == before->rx_bytes)
		direct_doubt(d->direct, node, now);
	schedule(d);
}

size_t wg_direct_mapped(const struct wg_direct *d, const struct endpoint **ret_endpoints)
{
	*ret_endpoints = d->mapped;
	return d->mapped_count;
}

bool wg_direct_path(const struct wg_direct *d, const struct node_key *node, const char **ret_reason)
{
	struct direct_status status;
	if (d->error[0] && !d->open) {
		*ret_reason = "through the control plane, as raw sockets cannot be had";
		return false;
	}
	if (!direct_status(d->direct, node, &status)) {
		*ret_reason = "through the control plane";
		return false;
	}
	*ret_reason = status.reason;
	return status.direct;
}

const char *wg_direct_error(const struct wg_direct *d)
{
	return d->error[0] ? d->error : NULL;
}

struct wg_direct *wg_direct_new(const struct adapter_host *host, const struct wg_direct_io *io,
				const uint8_t private_key[static WG_KEY_LEN], uint16_t port)
{
	struct wg_direct *d = xcalloc(1, sizeof(*d));
	const struct direct_io direct_io = {.ctx = d,
					    .send = on_send,
					    .choose = on_choose,
					    .mapped = on_mapped,
					    .allowed = on_allowed,
					    .random = on_random};
	d->host = *host;
	d->io = *io;
	d->port = port;
	d->direct = direct_new(&direct_io, private_key);
	if (!d->direct) {
		free(d);
		return NULL;
	}
	d->timer = loop_timer_new(host->loop, on_timer, d);
	d->look = loop_timer_new(host->loop, on_look, d);
	loop_timer_every(d->look, LOOK_MS);
	return d;
}

void wg_direct_free(struct wg_direct *d)
{
	if (!d)
		return;
	close_sockets(d);
	loop_timer_free(d->timer);
	loop_timer_free(d->look);
	direct_free(d->direct);
	free(d);
}
