#ifndef ADAPTERS_WG_CONFIG_H
#define ADAPTERS_WG_CONFIG_H

/* What a WireGuard device has, or is to have, and the difference between the two: as small as what
 * changed, so that no peer feels the change of another. */

#include "wire/addr.h"
#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct adapter_peer;

enum {
	WG_KEY_LEN = 32,    /* Curve25519, private and public */
	WG_ALLOWED_MAX = 3, /* the addresses that the records give to a node */
	WG_KEEPALIVE_S = 25,
};

struct wg_peer {
	uint8_t key[WG_KEY_LEN];
	struct prefix allowed[WG_ALLOWED_MAX];
	/* Above WG_ALLOWED_MAX: a device has more, or others, than we would ever give it. */
	size_t allowed_count;
	struct endpoint endpoint; /* ADDR_NONE: none */
	uint16_t keepalive_s;	  /* 0: none */
	/* Only of a device's answer. */
	uint64_t rx_bytes, tx_bytes;
	uint64_t handshake_s; /* seconds since 1970; 0: never */
};

struct wg_config {
	uint8_t private_key[WG_KEY_LEN]; /* zeros: none */
	uint16_t port;
	struct wg_peer *peers; /* sorted by key; owned */
	size_t peer_count, room;
};

void wg_config_done(struct wg_config *config); /* wipes */
/* Appends; wg_config_sort() when all are there. */
void wg_config_add(struct wg_config *config, const struct wg_peer *peer);
void wg_config_sort(struct wg_config *config);
void wg_config_copy(struct wg_config *dst, const struct wg_config *src); /* dst: done or zeros */
/* NULL: none of that key. */
struct wg_peer *wg_config_find(const struct wg_config *config, const uint8_t key[WG_KEY_LEN]);

/* A member as a peer: key and the node's addresses as AllowedIPs; no endpoint, no keepalive. False:
 * its key is none. */
bool wg_peer_of(const struct adapter_peer *member, struct wg_peer *ret_peer);

/* One step from what a device has to what it is to have. */
struct wg_change {
	bool remove;		    /* and nothing else */
	const struct wg_peer *peer; /* as it is to be; or the one to be removed */
	bool add;		    /* it is not there yet */
	bool allowed, keepalive;    /* differ: AllowedIPs are replaced whole */
	bool endpoint;		    /* differs, and there is one to set */
};
typedef void wg_visit_change(void *ctx, const struct wg_change *change);
/* Removals first: an address moves from one to another. Returns how many. visit may be NULL. */
size_t wg_config_diff(const struct wg_config *have, const struct wg_config *want,
		      wg_visit_change *visit, void *ctx);

#endif
