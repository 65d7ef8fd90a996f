#ifndef NODE_PRIVOPS_H
#define NODE_PRIVOPS_H

/* The root helper: a process with a closed list of operations on interfaces that it made itself. It
 * holds no key and reads nothing from the network; each operation checks its arguments again, so
 * whoever takes over the engine process gets no more than these. Calls block until the helper has
 * answered. */

#include "core/filter.h"
#include "node/tun.h"
#include "os/wglink.h"
#include "wire/addr.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	PRIV_ERROR_MAX = 256,
	PRIV_INTERFACES_MAX = 64,
	PRIV_TIMEOUT_MS = 10000,
	PRIV_MTU_MIN = 1280,	/* RFC 8200, 5 */
	PRIV_NUMBER_MAX = 9999, /* of an interface */
	/* of table_base: above the numbers that distributions give, with room for all interfaces */
	PRIV_TABLE_MIN = 1000,
	PRIV_TABLE_MAX = 2000000000,
	/* of a link as it is wanted, IFF_… */
	PRIV_LINK_FLAGS = IFF_UP | IFF_NOARP | IFF_MULTICAST,
	PRIV_LINK_FLAGS_MASK = PRIV_LINK_FLAGS | IFF_PROMISC | IFF_ALLMULTI,
	/* Of a dnet's first interface; of its others just before it. All behind "local" and before
	 * "main". */
	PRIV_RULE_PRIORITY = 15700,
	PRIV_RULE_RANKS = 4,
};

struct priv;

/* prefix: beginning of the interfaces' names, 1 to 10 characters of a-z 0-9 -; a number follows.
 * Borrowed until priv_start() returns. */
struct priv_config {
	const char *prefix;
	uint32_t table_base; /* the interface with number N has the table table_base + N */
	bool adopt;	     /* programs of backends make interfaces too */
	bool filter;	     /* the kernel filters packets of interfaces: nftables */
	bool wireguard;	     /* that backend is configured: raw UDP sockets, and kernel devices */
	bool sandbox;	     /* seccomp */
};

/* Forks the helper: before the first thread and loop. 0 or -errno, logged. */
int priv_start(const struct priv_config *config, struct priv **ret_priv);
/* Ends the helper, also when the caller dies: it takes the rules back; interfaces and their routes
 * go with the descriptors that the caller has. */
void priv_stop(struct priv *priv);
/* Readable when the helper has died. */
int priv_fd(const struct priv *priv);

/* All return 0 or -errno; priv_error() then has a text. -EPERM with "refused: …" is the helper's
 * own refusal. */
const char *priv_error(const struct priv *priv);

/* Makes the interface (tun_open()). ipv4: the prefix that its IPv4 addresses and routes have to be
 * inside; ADDR_NONE: it gets none. Only private ranges are taken: an owner may not draw public
 * addresses or the loopback to itself. */
int priv_tun_open(struct priv *priv, const char *name, const struct prefix *ipv4,
		  enum tun_offload offload, int *ret_fd, uint32_t *ret_index,
		  enum tun_offload *ret_offload);
/* One that another program reads and writes: no virtio header, no offload. */
int priv_tun_open_plain(struct priv *priv, const char *name, const struct prefix *ipv4, int *ret_fd,
			uint32_t *ret_index);
/* One of our names that a backend's program has made: a TUN from now on treated as if it had been
 * made here. -ENODEV: it is not there. */
int priv_link_adopt(struct priv *priv, const char *name, const struct prefix *ipv4,
		    uint32_t *ret_index);
/* The kernel's WireGuard, as a new link; one that an earlier helper of ours left is made anew.
 * -EOPNOTSUPP: this kernel has none. */
int priv_link_wireguard(struct priv *priv, const char *name, const struct prefix *ipv4,
			uint32_t *ret_index);
/* As wglink_set() and wglink_get() of such a link. Refused: AllowedIPs outside the ranges of the
 * interface, endpoints that are none, ports below 1024. */
int priv_wireguard_set(struct priv *priv, uint32_t index, const uint8_t *private_key, uint16_t port,
		       const struct wglink_peer *peers, size_t count);
int priv_wireguard_get(struct priv *priv, uint32_t index, struct wglink_device *ret_device,
		       wglink_visit_peer *visit, void *ctx);
/* The caller has closed the descriptor, or wants the interface gone anyway. */
int priv_tun_close(struct priv *priv, uint32_t index);

/* Up, with PRIV_LINK_FLAGS and a carrier. */
int priv_link_up(struct priv *priv, uint32_t index);
/* IPv6 on, and no addresses and routes that nobody gave: the kernel's own settings of the link. */
int priv_link_quieten(struct priv *priv, uint32_t index);
/* Gives it back the name that it was made with. */
int priv_link_rename(struct priv *priv, uint32_t index);
int priv_link_mtu(struct priv *priv, uint32_t index, uint32_t mtu);
int priv_link_txqlen(struct priv *priv, uint32_t index, uint32_t txqlen);
/* For ever, also one that is there and would expire. */
int priv_address_add(struct priv *priv, uint32_t index, const struct address *address,
		     uint8_t bits);
int priv_address_delete(struct priv *priv, uint32_t index, const struct address *address,
			uint8_t bits);
/* Routes on the link with our protocol number; table: main, or the interface's own. source:
 * preferred, or ADDR_NONE. -EEXIST: there is one of that destination and metric, which may be
 * of somebody else: it stays. */
int priv_route_add(struct priv *priv, uint32_t index, uint32_t table,
		   const struct prefix *destination, uint32_t metric, const struct address *source);
int priv_route_delete(struct priv *priv, uint32_t index, uint32_t table,
		      const struct prefix *destination, uint32_t metric);
/* What is sent from this address looks into the interface's own table first. priority: from
 * PRIV_RULE_PRIORITY down, PRIV_RULE_RANKS of them. -EEXIST: there is such a rule, whoever made it.
 */
int priv_rule_add(struct priv *priv, uint32_t index, const struct address *from, uint32_t priority);
/* Any rule with our protocol number that leads to the interface's own table. from: without bits,
 * the family's rule without source. -ENOENT when there is none. */
int priv_rule_delete(struct priv *priv, uint32_t index, const struct prefix *from,
		     uint32_t priority);
/* Takes away what an earlier helper left, when it was killed: rules with our protocol number to
 * tables of our numbers that have no interface here and no route. */
int priv_rules_sweep(struct priv *priv);

/* A raw socket to send probes from a UDP port of a backend, and to get what comes to it as such
 * (os/rawudp.h). family: ADDR_V4 or ADDR_V6. Refused unless wireguard is configured, and for ports
 * below 1024. -EAFNOSUPPORT: this machine has no such family. */
int priv_raw_open(struct priv *priv, uint8_t family, uint16_t port, int *ret_fd);

/* Puts a filter of the interface in force, at once and as a whole. old: the one that is in force,
 * then just what differs is touched; NULL: none, or not known. One that is in force stays when it
 * fails, and goes with the interface and with the helper. Refused unless filter is configured. */
int priv_filter_set(struct priv *priv, uint32_t index, const struct filter *old,
		    const struct filter *filter);
/* Packets that it refused. -ENOENT: none is in force. */
int priv_filter_get(struct priv *priv, uint32_t index, uint64_t ret_packets[FILTER_COUNTER_COUNT]);
int priv_filter_clear(struct priv *priv, uint32_t index);

/* The ranges that overlay prefixes may come from. */
bool priv_ipv4_prefix_ok(const struct prefix *prefix);

#endif
