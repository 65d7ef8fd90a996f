#include "adapters/wireguard.h"
#include "os/base.h"
#include "os/log.h"
#include "os/wglink.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The kernel's WireGuard: the node makes and keeps the link, the root helper asks and sets. All
 * answers come at once. */

struct wg_device {
	const struct adapter_host *host;
	struct wg_device_io io;
	uint32_t index; /* 0: no link */
	char error[ADAPTER_ERROR_MAX];
};

/* Looked at once, by who chooses a device before the daemon gives up its rights: later the socket
 * for the question cannot be had. */
static bool kernel_has_it(void)
{
	static enum { UNKNOWN, NO, YES } known;
	struct wglink *wl = NULL;
	if (known == UNKNOWN) {
		known = wglink_open(&wl) == 0 ? YES : NO;
		wglink_free(wl);
	}
	return known == YES;
}

static int kernel_probe(const char *program, char error[static ADAPTER_ERROR_MAX])
{
	(void)program;
	if (kernel_has_it())
		return 0;
	snprintf(error, ADAPTER_ERROR_MAX,
		 "this kernel has no WireGuard: take wireguard = go, or a kernel with the module "
		 "wireguard");
	return -ENOENT;
}

static int kernel_open(const struct adapter_host *host, const struct wg_device_io *io,
		       struct wg_device **ret_device)
{
	struct wg_device *d = xcalloc(1, sizeof(*d));
	d->host = host;
	d->io = *io;
	*ret_device = d;
	return 0;
}

static void kernel_interface(struct wg_device *d, uint32_t index, int fd)
{
	(void)fd;
	bool had = d->index != 0;
	d->index = index;
	if (index != 0)
		d->io.ready(d->io.ctx);
	else if (had)
		d->io.gone(d->io.ctx, "the interface has gone");
}

static struct wglink_peer peer_of_change(const struct wg_change *change)
{
	static_assert((int)WG_ALLOWED_MAX <= (int)WGLINK_ALLOWED_MAX, "room");
	const struct wg_peer *from = change->peer;
	struct wglink_peer peer = {.flags = WGLINK_REMOVE};
	memcpy(peer.key, from->key, WG_KEY_LEN);
	if (change->remove)
		return peer;
	peer.flags = 0;
	if (change->add || change->allowed) {
		peer.flags |= WGLINK_REPLACE_ALLOWED;
		peer.allowed_count = (uint32_t)MIN(from->allowed_count, (size_t)WG_ALLOWED_MAX);
		memcpy(peer.allowed, from->allowed, peer.allowed_count * sizeof(*peer.allowed));
	}
	if (change->keepalive || (change->add && from->keepalive_s)) {
		peer.flags |= WGLINK_KEEPALIVE;
		peer.keepalive_s = from->keepalive_s;
	}
	if (change->endpoint || (change->add && from->endpoint.addr.family != ADDR_NONE)) {
		peer.flags |= WGLINK_ENDPOINT;
		peer.endpoint = from->endpoint;
	}
	return peer;
}

static int kernel_set(struct wg_device *d, const struct wg_set *set)
{
	const struct adapter_os *os = d->host->os;
	if (d->index == 0)
		return -ENODEV;
	struct wglink_peer *peers = xcalloc(MAX(set->count, (size_t)1), sizeof(*peers));
	for (size_t i = 0; i < set->count; i++)
		peers[i] = peer_of_change(&set->changes[i]);
	int r = os->wireguard_set(os->ctx, d->index, set->private_key, set->port, peers,
				  set->count);
	free(peers);
	if (r < 0)
		log_limited(LOG_LEVEL_WARN, 6, "%s: %s", d->host->interface,
			    os->helper_error(os->ctx));
	return r;
}

static void take_peer(void *ctx, const struct wglink_peer *from)
{
	struct wg_config *config = ctx;
	struct wg_peer peer = {.allowed_count = from->allowed_count,
			       .endpoint = from->endpoint,
			       .keepalive_s = from->keepalive_s,
			       .rx_bytes = from->rx_bytes,
			       .tx_bytes = from->tx_bytes,
			       .handshake_s = from->handshake_s};
	memcpy(peer.key, from->key, WG_KEY_LEN);
	for (size_t i = 0; i < WG_ALLOWED_MAX && i < from->allowed_count; i++)
		peer.allowed[i] = from->allowed[i];
	wg_config_add(config, &peer);
}

static int kernel_get(struct wg_device *d)
{
	const struct adapter_os *os = d->host->os;
	struct wg_config state = {0};
	struct wglink_device device;
	if (d->index == 0)
		return -ENODEV;
	int r = os->wireguard_get(os->ctx, d->index, &device, take_peer, &state);
	if (r == 0) {
		state.port = device.port;
		memcpy(state.private_key, device.private_key, WG_KEY_LEN);
		secret_wipe(&device, sizeof(device));
		wg_config_sort(&state);
		d->io.got(d->io.ctx, &state);
	}
	wg_config_done(&state);
	return r;
}

static const char *kernel_text(struct wg_device *d)
{
	(void)d;
	return "kernel";
}

static void kernel_close(struct wg_device *d)
{
	free(d);
}

const struct wg_device_ops wg_device_kernel = {
	.name = "the kernel's WireGuard",
	.device = ADAPTER_DEVICE_WIREGUARD,
	.probe = kernel_probe,
	.open = kernel_open,
	.interface = kernel_interface,
	.set = kernel_set,
	.get = kernel_get,
	.text = kernel_text,
	.close = kernel_close,
};
