#ifndef ADAPTERS_WG_DIRECT_H
#define ADAPTERS_WG_DIRECT_H

/* Direct paths of a WireGuard device, kernel or program: core/direct.h at work on raw sockets of
 * the device's own port, which nobody else has to know of. */

#include "adapters/adapter.h"
#include "adapters/wg_config.h"

struct wg_direct;

struct wg_direct_io {
	void *ctx;
	/* Packets of this peer go there from now on; NULL: over the bridge. */
	void (*choose)(void *ctx, const struct node_key *key, const struct endpoint *endpoint);
};

/* host and what io has are borrowed until wg_direct_free(). Without raw sockets nothing is ever
 * direct, and wg_direct_error() says why. */
struct wg_direct *wg_direct_new(const struct adapter_host *host, const struct wg_direct_io *io,
				const uint8_t private_key[static WG_KEY_LEN], uint16_t port);
void wg_direct_free(struct wg_direct *direct);
/* NULL: none; static or borrowed. */
const char *wg_direct_error(const struct wg_direct *direct);

/* One member that the device carries. */
void wg_direct_set_peer(struct wg_direct *direct, const struct node_key *node,
			const uint8_t key[static WG_KEY_LEN], const struct endpoint *endpoints,
			size_t count);
void wg_direct_remove_peer(struct wg_direct *direct, const struct node_key *node);
/* After all peers of a plan: whom to ask where our port is seen. plan is borrowed for the call. */
void wg_direct_planned(struct wg_direct *direct, const struct adapter_plan *plan);

/* What the device says of a peer, and what it said the time before (zeros: nothing). */
void wg_direct_seen(struct wg_direct *direct, const struct node_key *node,
		    const struct wg_peer *before, const struct wg_peer *seen, bool bridged);

/* Where our port is seen from outside, for the offer. */
size_t wg_direct_mapped(const struct wg_direct *direct, const struct endpoint **ret_endpoints);
/* Of the direct path: false when there is none. reason: static, why. */
bool wg_direct_path(const struct wg_direct *direct, const struct node_key *node,
		    const char **ret_reason);

#endif
