#ifndef ADAPTERS_WG_BRIDGE_H
#define ADAPTERS_WG_BRIDGE_H

/* The way of one peer's WireGuard datagrams through the control plane: a UDP socket on the loopback
 * that WireGuard takes for the peer. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct wg_bridge;

/* A datagram that WireGuard sent to the peer; borrowed. */
typedef void wg_bridge_cb(void *ctx, const uint8_t *bytes, size_t len);

/* On a free port of 127.0.0.1; nothing is taken but from wireguard_port there. 0 or -errno. */
int wg_bridge_new(struct loop *loop, uint16_t wireguard_port, wg_bridge_cb *cb, void *ctx,
		  struct wg_bridge **ret_bridge);
void wg_bridge_free(struct wg_bridge *bridge);
uint16_t wg_bridge_port(const struct wg_bridge *bridge);
/* A datagram of the peer to WireGuard. False: it was not taken. */
bool wg_bridge_send(struct wg_bridge *bridge, const uint8_t *bytes, size_t len);

#endif
