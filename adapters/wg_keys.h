#ifndef ADAPTERS_WG_KEYS_H
#define ADAPTERS_WG_KEYS_H

/* What a WireGuard device keeps over restarts, in the adapter's folder: its private key (one for
 * each dnet, in the form of wg genkey, mode 0600) and its UDP port. */

#include "adapters/wg_config.h"

struct object_id;

struct wg_keys {
	uint8_t private_key[WG_KEY_LEN];
	uint8_t public_key[WG_KEY_LEN];
	uint16_t port;
};

/* Reads, or makes and stores what is not there yet; a port that another program has meanwhile is
 * exchanged for a free one. 0 or -errno, logged; what cannot be read is never replaced. */
int wg_keys_load(const char *folder, const struct object_id *dnet, struct wg_keys *ret_keys);
/* Another free port, stored. 0 or -errno, logged. */
int wg_keys_change_port(const char *folder, struct wg_keys *keys);
void wg_keys_wipe(struct wg_keys *keys);

#endif
