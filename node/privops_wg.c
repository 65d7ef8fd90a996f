#include "node/privops_parts.h"
#include "os/netlink.h"
#include "os/rawudp.h"
#include "wire/key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- The privileged side ---- */

int privwg_raw_open(const struct priv_request *request, struct priv_reply *reply, int *ret_fd)
{
	uint8_t family = request->prefix.addr.family;
	if (request->number < RAWUDP_PORT_MIN || request->number > UINT16_MAX)
		return priv_refuse(reply, "a raw socket for port %u", request->number);
	if (family != ADDR_V4 && family != ADDR_V6)
		return priv_refuse(reply, "a raw socket of no address family");
	int r = rawudp_open(family, (uint16_t)request->number, ret_fd);
	if (r < 0)
		snprintf(reply->error, sizeof(reply->error), "no raw socket for port %u: %s%s",
			 request->number, strerror(-r),
			 r == -EPERM ? ": dnetd needs the capability CAP_NET_RAW" : "");
	return r;
}

/* Marks the links that were made here: kernel devices stay when a helper is killed. */
static const char alias[] = "dnetd";
static const char kind[] = "wireguard";

int privwg_link_make(struct helper *h, const struct priv_request *request, struct priv_reply *reply)
{
	struct netlink_link link;
	if (!h->wireguard)
		return priv_refuse(reply, "wireguard is not configured");
	int r = netlink_link_add(h->nl, request->name, kind, alias);
	if (r != -EEXIST || netlink_link_find(h->nl, request->name, &link) < 0)
		return r;
	for (size_t i = 0; i < PRIV_INTERFACES_MAX; i++) {
		if (h->interfaces[i].index == link.index)
			return priv_refuse(reply, "%s is there already", request->name);
	}
	if (strcmp(link.kind, kind) != 0 || strcmp(link.alias, alias) != 0)
		return priv_refuse(reply, "%s is another program's", request->name);
	r = netlink_link_delete(h->nl, link.index);
	return r < 0 ? r : netlink_link_add(h->nl, request->name, kind, alias);
}

bool privwg_is_kernel(const struct interface *i)
{
	return strcmp(i->kind, kind) == 0;
}

static int check_peer(const struct interface *i, const struct wglink_peer *peer,
		      struct priv_reply *reply)
{
	char text[PREFIX_TEXT_MAX];
	uint8_t family = peer->endpoint.addr.family;
	if (peer->flags & ~(uint32_t)WGLINK_FLAGS || peer->allowed_count > WGLINK_ALLOWED_MAX)
		return priv_refuse(reply, "a change of another form");
	if (peer->flags & WGLINK_ENDPOINT &&
	    ((family != ADDR_V4 && family != ADDR_V6) || peer->endpoint.port == 0))
		return priv_refuse(reply, "an endpoint that is none");
	for (size_t n = 0; n < peer->allowed_count; n++) {
		if (!priv_range_is_ours(i, &peer->allowed[n]))
			return priv_refuse(reply, "AllowedIPs %s are outside the ranges of %s",
					   prefix_format(&peer->allowed[n], text), i->name);
	}
	return 0;
}

static int link_result(struct helper *h, struct priv_reply *reply, int result)
{
	if (result < 0)
		snprintf(reply->error, sizeof(reply->error), "%s", wglink_error_text(h->wglink));
	return result;
}

int privwg_set(struct helper *h, const struct interface *i, const struct priv_request *request,
	       struct priv_reply *reply)
{
	struct priv_shared copy;
	int r = 0;
	if (!h->wglink || !privwg_is_kernel(i))
		return priv_refuse(reply, "%s is no WireGuard of the kernel", i->name);
	if (request->number > PRIV_PEERS_AT_ONCE)
		return priv_refuse(reply, "%u peers at once", request->number);
	memcpy(&copy, h->shared, sizeof(copy));
	if (copy.port != 0 && copy.port < RAWUDP_PORT_MIN)
		r = priv_refuse(reply, "port %u", copy.port);
	for (size_t n = 0; n < request->number && r == 0; n++)
		r = check_peer(i, &copy.peers[n], reply);
	if (r == 0)
		r = link_result(h, reply,
				wglink_set(h->wglink, i->index,
					   copy.set_key ? copy.private_key : NULL, copy.port,
					   copy.peers, request->number));
	secret_wipe(&copy, sizeof(copy));
	return r;
}

static void take_peer(void *ctx, const struct wglink_peer *peer)
{
	struct helper *h = ctx;
	if (h->peer_count == h->peer_room) {
		h->peer_room = MAX(h->peer_room * 2, (size_t)PRIV_PEERS_AT_ONCE);
		h->peers = xrealloc(h->peers, h->peer_room * sizeof(*h->peers));
	}
	h->peers[h->peer_count++] = *peer;
}

/* The whole of it is read with the first call, and handed out in parts. */
int privwg_get(struct helper *h, const struct interface *i, const struct priv_request *request,
	       struct priv_reply *reply)
{
	struct wglink_device device;
	size_t first = request->number;
	if (!h->wglink || !privwg_is_kernel(i))
		return priv_refuse(reply, "%s is no WireGuard of the kernel", i->name);
	if (first == 0) {
		h->peer_count = 0;
		int r = wglink_get(h->wglink, i->index, &device, take_peer, h);
		if (r < 0)
			return link_result(h, reply, r);
		h->shared->port = device.port;
		memcpy(h->shared->private_key, device.private_key, WGLINK_KEY_LEN);
		secret_wipe(&device, sizeof(device));
	}
	if (first > h->peer_count)
		return priv_refuse(reply, "there are %zu peers", h->peer_count);
	reply->total = (uint32_t)h->peer_count;
	reply->count = (uint32_t)MIN(h->peer_count - first, (size_t)PRIV_PEERS_AT_ONCE);
	if (reply->count > 0)
		memcpy(h->shared->peers, h->peers + first, reply->count * sizeof(*h->peers));
	return 0;
}

void privwg_done(struct helper *h)
{
	wglink_free(h->wglink);
	free(h->peers);
}

/* ---- Both ---- */

int privwg_share(struct priv_shared **ret_shared)
{
	void *memory = mmap(NULL, sizeof(struct priv_shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*ret_shared = memory;
	return 0;
}

void privwg_unshare(struct priv_shared *shared)
{
	if (!shared)
		return;
	secret_wipe(shared, sizeof(*shared));
	munmap(shared, sizeof(*shared));
}

/* ---- The engine's side ---- */

int priv_wireguard_set(struct priv *priv, uint32_t index, const uint8_t *private_key, uint16_t port,
		       const struct wglink_peer *peers, size_t count)
{
	struct priv_shared *shared = priv->shared;
	struct priv_request request = {.op = PRIV_WIREGUARD_SET, .index = index};
	struct priv_reply reply;
	int r;
	shared->set_key = private_key != NULL;
	if (private_key)
		memcpy(shared->private_key, private_key, WGLINK_KEY_LEN);
	shared->port = port;
	do {
		size_t n = MIN(count, (size_t)PRIV_PEERS_AT_ONCE);
		if (n > 0)
			memcpy(shared->peers, peers, n * sizeof(*peers));
		request.number = (uint32_t)n;
		r = priv_call(priv, &request, &reply, NULL);
		shared->set_key = 0;
		shared->port = 0;
		secret_wipe(shared->private_key, WGLINK_KEY_LEN);
		peers += n;
		count -= n;
	} while (r == 0 && count > 0);
	return r;
}

int priv_wireguard_get(struct priv *priv, uint32_t index, struct wglink_device *ret_device,
		       wglink_visit_peer *visit, void *ctx)
{
	struct priv_shared *shared = priv->shared;
	struct priv_request request = {.op = PRIV_WIREGUARD_GET, .index = index};
	struct priv_reply reply;
	do {
		int r = priv_call(priv, &request, &reply, NULL);
		if (r < 0)
			return r;
		if (request.number == 0) {
			*ret_device = (struct wglink_device){.index = index, .port = shared->port};
			memcpy(ret_device->private_key, shared->private_key, WGLINK_KEY_LEN);
			secret_wipe(shared->private_key, WGLINK_KEY_LEN);
		}
		for (uint32_t i = 0; i < reply.count && i < PRIV_PEERS_AT_ONCE; i++)
			visit(ctx, &shared->peers[i]);
		request.number += reply.count;
	} while (reply.count > 0 && request.number < reply.total);
	return 0;
}

int priv_raw_open(struct priv *priv, uint8_t family, uint16_t port, int *ret_fd)
{
	struct priv_reply reply;
	const struct priv_request request = {
		.op = PRIV_RAW_OPEN, .number = port, .prefix = {.addr = {.family = family}}};
	return priv_call(priv, &request, &reply, ret_fd);
}
