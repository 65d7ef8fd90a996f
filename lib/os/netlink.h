#ifndef OS_NETLINK_H
#define OS_NETLINK_H

/* Links, addresses, routes and rules of the machine over rtnetlink (libmnl). All functions return 0
 * or a negative errno; netlink_error_text() then has what the kernel said. Prefixes and addresses
 * carry their family. */

#include "wire/addr.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who made a route or a rule: ours are recognised by it, listed and removed; others are left alone.
 */
enum { DNET_RTPROT = 157 };

enum { NETLINK_TABLE_MAIN = 254 };

struct netlink;

/* What the kernel does about IPv6 on a link by itself. */
struct netlink_ipv6 {
	bool known; /* false: no IPv6 on this link, or a kernel that does not say */
	bool disabled;
	bool accept_ra;
	bool link_local;       /* makes addresses of its own */
	bool solicits_routers; /* when the link comes up */
};

struct netlink_link {
	uint32_t index;
	char name[IF_NAMESIZE];
	char kind[16];	/* "tun", "wireguard", …; "" when the kernel names none */
	char alias[16]; /* its beginning; "": none */
	uint32_t mtu;
	uint32_t txqlen;
	uint32_t gso_max;
	uint32_t flags; /* IFF_… */
	bool carrier;
	struct netlink_ipv6 ipv6;
};

struct netlink_address {
	uint32_t index; /* of the link */
	struct address address;
	uint8_t bits;
	bool expires; /* filled by lists: it ends by itself, or is not to be used any more */
};

struct netlink_route {
	struct prefix
		destination;	/* host bits zero; "0.0.0.0/0" and "::/0" are the default routes */
	struct address gateway; /* ADDR_NONE: on the link */
	struct address source;	/* preferred source; ADDR_NONE: the kernel's choice */
	uint32_t index;		/* of the link; 0 for an unreachable route */
	uint32_t table;		/* 0: main */
	uint32_t metric;	/* 0: the kernel's default (IPv6: 1024) */
	uint8_t protocol;	/* filled by lists; what we add has DNET_RTPROT */
	bool unreachable;	/* refuses the destination; in lists also what drops it silently */
	bool special;		/* filled by lists: has metrics, a preference, a type of service, an
				   encapsulation or several next hops, none of which we ever set */
};

struct netlink_rule {
	uint8_t family; /* ADDR_V4 or ADDR_V6 */
	uint32_t priority;
	uint32_t table;
	struct prefix from, to;	   /* family ADDR_NONE: any */
	uint32_t mark, mask;	   /* mask 0: any */
	char in_link[IF_NAMESIZE]; /* "": any */
	bool invert;		   /* "not": applies to what does not match */
	bool suppress_default;	   /* suppress_prefixlength 0 */
	uint8_t protocol;	   /* as for routes */
};

/* The socket stays good in the network namespace in which it was opened. */
int netlink_open(struct netlink **ret_netlink);
void netlink_free(struct netlink *nl);
/* Of the last failure: the kernel's extended text, or the name of the errno; never NULL. */
const char *netlink_error_text(const struct netlink *nl);

/* -ENODEV when there is none. */
int netlink_link_find(struct netlink *nl, const char *name, struct netlink_link *ret_link);
int netlink_link_get(struct netlink *nl, uint32_t index, struct netlink_link *ret_link);
int netlink_link_set_up(struct netlink *nl, uint32_t index, bool up);
/* IFF_… of mask become those of flags. */
int netlink_link_set_flags(struct netlink *nl, uint32_t index, uint32_t flags, uint32_t mask);
/* -EOPNOTSUPP: not of this kind of link, or an old kernel. */
int netlink_link_set_carrier(struct netlink *nl, uint32_t index, bool carrier);
/* -EBUSY: this kernel renames only what is down. */
int netlink_link_set_name(struct netlink *nl, uint32_t index, const char *name);
int netlink_link_set_mtu(struct netlink *nl, uint32_t index, uint32_t mtu);
int netlink_link_set_txqlen(struct netlink *nl, uint32_t index, uint32_t txqlen);
/* The largest super-packet that the kernel makes for this link. */
int netlink_link_set_gso_max(struct netlink *nl, uint32_t index, uint32_t bytes);
/* name and alias: shorter than IF_NAMESIZE. -EEXIST: the name is taken; -EOPNOTSUPP: this kernel
 * has no such kind. */
int netlink_link_add(struct netlink *nl, const char *name, const char *kind, const char *alias);
int netlink_link_delete(struct netlink *nl, uint32_t index);

/* For ever, also one that is there and would expire. IPv6 addresses are added without duplicate
 * detection: usable at once. */
int netlink_address_add(struct netlink *nl, const struct netlink_address *address);
/* -EADDRNOTAVAIL when it is not there. */
int netlink_address_delete(struct netlink *nl, const struct netlink_address *address);

/* -EEXIST: there is one of the same destination, table and metric, whoever made it. */
int netlink_route_add(struct netlink *nl, const struct netlink_route *route);
/* Only one with DNET_RTPROT; -ESRCH when there is none. */
int netlink_route_delete(struct netlink *nl, const struct netlink_route *route);

/* -EEXIST when there. */
int netlink_rule_add(struct netlink *nl, const struct netlink_rule *rule);
/* Only one with DNET_RTPROT; -ENOENT when there is none. */
int netlink_rule_delete(struct netlink *nl, const struct netlink_rule *rule);

/* Lists call back for each entry while they read the kernel's answer: the callback must not use nl.
 * -EINTR: the tables changed meanwhile, and the list may lack something; list again.
 * What is of no use here (multicast, cached, other address families) is left out. */
typedef void (*netlink_link_cb)(void *arg, const struct netlink_link *link);
typedef void (*netlink_address_cb)(void *arg, const struct netlink_address *address);
typedef void (*netlink_route_cb)(void *arg, const struct netlink_route *route);
typedef void (*netlink_rule_cb)(void *arg, const struct netlink_rule *rule);
int netlink_link_list(struct netlink *nl, netlink_link_cb cb, void *arg);
/* index 0: of all links. */
int netlink_address_list(struct netlink *nl, uint32_t index, netlink_address_cb cb, void *arg);
/* Unicast routes and those that refuse; table 0: of all tables; protocol 0: of everybody. */
int netlink_route_list(struct netlink *nl, uint32_t table, uint8_t protocol, netlink_route_cb cb,
		       void *arg);
int netlink_rule_list(struct netlink *nl, uint8_t protocol, netlink_rule_cb cb, void *arg);

/* Changes of others, as they happen. */
enum netlink_event_kind {
	NETLINK_EVENT_LINK,
	NETLINK_EVENT_ADDRESS,
	NETLINK_EVENT_ROUTE,
	NETLINK_EVENT_RULE,
	NETLINK_EVENT_LOST, /* the kernel dropped events: look at everything */
};

struct netlink_event {
	enum netlink_event_kind kind;
	bool gone;			/* deleted; else new or changed */
	uint32_t index;			/* of the link, 0 when none */
	struct netlink_link link;	/* of NETLINK_EVENT_LINK */
	struct netlink_address address; /* of NETLINK_EVENT_ADDRESS */
	struct netlink_route route;	/* of NETLINK_EVENT_ROUTE */
	struct netlink_rule rule;	/* of NETLINK_EVENT_RULE; zeros: it leads to no table */
};

typedef void (*netlink_event_cb)(void *arg, const struct netlink_event *event);

struct netlink_monitor;
int netlink_monitor_new(netlink_event_cb cb, void *arg, struct netlink_monitor **ret_monitor);
/* Watch it for LOOP_READ, then call netlink_monitor_read(). */
int netlink_monitor_fd(const struct netlink_monitor *monitor);
/* Reports all that is there; 0 or -errno of a broken socket. */
int netlink_monitor_read(struct netlink_monitor *monitor);
void netlink_monitor_free(struct netlink_monitor *monitor);

#endif
