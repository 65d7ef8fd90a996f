#ifndef NODE_NETCFG_H
#define NODE_NETCFG_H

/* One dnet's interface as wanted and as it is: link, MTU, addresses, routes, rules. netcfg_pass()
 * compares and repairs; what the kernel tells in between only says when to look again. Each part
 * has its own state, error and back-off.
 *
 * What is ours, and so is put right or taken away: the interface with its name, flags, carrier,
 * MTU, queue length and IPv6 settings; every address on it, whoever put it there, as only the
 * records give addresses here; the routes with our protocol number on it in the main table and in
 * the table of its own; the rules with our protocol number that lead to that table. Everything else
 * stays: routes of others on the interface, routes with our protocol number elsewhere or in other
 * tables, other rules, qdiscs, rp_filter and forwarding, links of others that have the name we
 * want, routes of others that have the destination and metric we want or that come before ours in
 * the main table or in ours (the last three are errors of their part until they go). */

#include "node/tun.h"
#include "wire/addr.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netcfg;
struct netlink;
struct netlink_event;
struct priv;

enum { NETCFG_ADDRESSES_MAX = 4, NETCFG_FULL_PASS_MS = 30000, NETCFG_LOOK_MS = 500 };

struct netcfg_route {
	struct prefix destination;
	struct address source; /* preferred; ADDR_NONE: the kernel's choice */
};

enum netcfg_device {
	NETCFG_DEVICE_MESH,	 /* a TUN with virtio headers, for the data path */
	NETCFG_DEVICE_PLAIN,	 /* a TUN without, for a program that gets its descriptor */
	NETCFG_DEVICE_WIREGUARD, /* of the kernel */
	NETCFG_DEVICE_PROGRAM,	 /* a program makes it: waited for, then kept as the others are */
};

struct netcfg_wanted {
	char name[IF_NAMESIZE];
	enum netcfg_device device;
	enum tun_offload offload;
	uint32_t mtu, txqlen;
	uint32_t metric; /* of the routes; differs between interfaces, so that equal prefixes do not
			    replace each other */
	uint32_t table;	 /* of its own, with the same routes: for what is sent from its addresses */
	struct prefix ipv4;			       /* of the dnet; ADDR_NONE: none */
	struct prefix addresses[NETCFG_ADDRESSES_MAX]; /* with host bits */
	size_t address_count;
	/* Addresses of this machine, beside its own, that the table is for too, and how far before
	 * PRIV_RULE_PRIORITY its rules stand: so a dnet's second interface takes what it has routes
	 * for before the first one does. */
	struct address sources[NETCFG_ADDRESSES_MAX];
	size_t source_count;
	uint32_t rank;			   /* below PRIV_RULE_RANKS */
	const struct netcfg_route *routes; /* copied */
	size_t route_count;
};

enum netcfg_part {
	NETCFG_LINK,
	NETCFG_MTU,
	NETCFG_ADDRESSES,
	NETCFG_ROUTES, /* of the main table */
	NETCFG_RULES,  /* and the table that they lead to */
	NETCFG_PART_COUNT
};
enum { NETCFG_ERROR_MAX = 320 };

struct netcfg_status {
	const char *part;
	bool applied;
	const char *error; /* NULL: none; borrowed */
};

struct netcfg_io {
	void *ctx;
	/* The interface is there. The descriptor is netcfg's; valid until closed(). -1: a program
	 * has it. False: it may not come up yet, and is closed again. */
	bool (*opened)(void *ctx, int fd, enum tun_offload offload);
	/* It is about to be closed, or was deleted by somebody. */
	void (*closed)(void *ctx);
};

/* priv, nl and io's ctx are borrowed until netcfg_free(). */
struct netcfg *netcfg_new(struct priv *priv, struct netlink *nl, const struct netcfg_io *io);
/* Takes everything back that was made here. */
void netcfg_free(struct netcfg *netcfg);
/* NULL: nothing is wanted, the interface goes. Otherwise zeroed before it was filled in. Call
 * netcfg_pass() then. */
void netcfg_set_wanted(struct netcfg *netcfg, const struct netcfg_wanted *wanted);
/* Compares and repairs now. Returns in how many ms to call again at the latest. */
uint64_t netcfg_pass(struct netcfg *netcfg, uint64_t now_ms);
/* Whether this change may be drift of ours, or the end of what was in our way: then netcfg_pass()
 * soon, which tries again what failed. */
bool netcfg_concerns(struct netcfg *netcfg, const struct netlink_event *event);
/* Whether the link is as it should be. To be asked each NETCFG_LOOK_MS: the kernel tells of some
 * changes to nobody. If not, netcfg_pass(). */
bool netcfg_link_good(const struct netcfg *netcfg);
/* The device's read failed: it has gone. */
void netcfg_device_lost(struct netcfg *netcfg);

/* 0 when there is none. */
uint32_t netcfg_index(const struct netcfg *netcfg);
/* All parts are applied. */
bool netcfg_good(const struct netcfg *netcfg);
struct netcfg_status netcfg_status(const struct netcfg *netcfg, enum netcfg_part part);

#endif
