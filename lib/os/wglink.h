#ifndef OS_WGLINK_H
#define OS_WGLINK_H

/* The kernel's WireGuard devices over generic netlink (linux/wireguard.h). Needs CAP_NET_ADMIN. All
 * functions return 0 or a negative errno; wglink_error_text() then has what the kernel said. */

#include "wire/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nlmsghdr;

enum {
	WGLINK_KEY_LEN = 32,
	WGLINK_ALLOWED_MAX = 4, /* AllowedIPs that are told or set at once */
	WGLINK_MESSAGE_MAX = 16384,
};

enum wglink_flag {
	WGLINK_REMOVE = 1,	    /* and nothing else */
	WGLINK_REPLACE_ALLOWED = 2, /* those that it has go first */
	WGLINK_KEEPALIVE = 4,	    /* keepalive_s is to be set */
	WGLINK_ENDPOINT = 8,	    /* endpoint is to be set */
	WGLINK_FLAGS = 15,
};

/* Between processes of one build, too: no pointers. */
struct wglink_peer {
	uint8_t key[WGLINK_KEY_LEN];
	uint32_t flags; /* of a change: enum wglink_flag */
	uint16_t keepalive_s;
	struct endpoint endpoint; /* ADDR_NONE: none */
	/* Above WGLINK_ALLOWED_MAX: it has more than are told here. */
	uint32_t allowed_count;
	struct prefix allowed[WGLINK_ALLOWED_MAX];
	/* Only of an answer. */
	uint64_t rx_bytes, tx_bytes;
	uint64_t handshake_s; /* seconds since 1970; 0: never */
};

struct wglink_device {
	uint32_t index;
	uint16_t port;
	uint8_t private_key[WGLINK_KEY_LEN]; /* zeros: none. Wipe it */
};

struct wglink;

/* -ENOENT when the kernel has no WireGuard, also no module that it can load; the socket is kept:
 * wglink_find_family() tries again. */
int wglink_open(struct wglink **ret_wglink);
int wglink_find_family(struct wglink *wl);
void wglink_free(struct wglink *wl);
const char *wglink_error_text(const struct wglink *wl);

/* private_key NULL and port 0: stay. Peers that are not named stay as they are. In as many messages
 * as it takes; after an error those before it are in force. */
int wglink_set(struct wglink *wl, uint32_t index, const uint8_t *private_key, uint16_t port,
	       const struct wglink_peer *peers, size_t count);
/* One that comes in several parts (many AllowedIPs) is told once. */
typedef void wglink_visit_peer(void *ctx, const struct wglink_peer *peer);
int wglink_get(struct wglink *wl, uint32_t index, struct wglink_device *ret_device,
	       wglink_visit_peer *visit, void *ctx);

/* ---- The messages; inside of wglink, and for tests ---- */

/* Fills message (WGLINK_MESSAGE_MAX bytes, aligned as struct nlmsghdr) with the device and as many
 * of the peers as fit; returns how many did. Keys stand in it: wipe it. */
size_t wglink_encode(void *message, uint16_t family, uint32_t index, const uint8_t *private_key,
		     uint16_t port, const struct wglink_peer *peers, size_t count);

struct wglink_answer {
	struct wglink_device device;
	wglink_visit_peer *visit;
	void *ctx;
	bool has_peer; /* not told yet: the next message may go on with it */
	struct wglink_peer peer;
};
/* One message of an answer; wglink_finish() when all came. False: malformed, nothing of it counts
 * but peers that were told before. */
bool wglink_parse(const struct nlmsghdr *message, struct wglink_answer *answer);
void wglink_finish(struct wglink_answer *answer);

#endif
