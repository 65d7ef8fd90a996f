#ifndef NODE_LOCAL_H
#define NODE_LOCAL_H

/* The addresses that this machine can be reached at outside the overlay. */

#include "wire/addr.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netlink;

enum { LOCAL_ENDPOINTS_MAX = 7 };

/* Addresses of links that are up, without loopback, link-local ones and overlay interfaces (TUN
 * and WireGuard devices whose name begins with prefix), with these ports; global ones before
 * private ones. A port of 0 leaves its family out. 0 or -errno. */
int local_endpoints(struct netlink *nl, const char *prefix, uint16_t port4, uint16_t port6,
		    struct endpoint ret_endpoints[static LOCAL_ENDPOINTS_MAX], size_t *ret_count);

/* Whether another link of this machine is in that range, or around it; then which. */
bool local_overlaps(struct netlink *nl, const char *prefix, const struct prefix *range,
		    struct prefix *ret_network, char ret_link[static IF_NAMESIZE]);

/* Whether others could use this address at all. */
bool local_address_usable(const struct address *address);

#endif
