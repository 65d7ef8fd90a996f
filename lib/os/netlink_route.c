#include "os/netlink.h"

#include "os/netlink_parse.h"
#include "os/netlink_talk.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <sys/socket.h>

static int fill_route(union netlink_request *q, struct rtmsg *m, const struct netlink_route *r)
{
	uint32_t table = r->table ? r->table : NETLINK_TABLE_MAIN;

	if (r->destination.addr.family == ADDR_NONE ||
	    r->destination.bits > address_bits(&r->destination.addr))
		return -EINVAL;
	m->rtm_family = netlink_kernel_family(r->destination.addr.family);
	m->rtm_dst_len = r->destination.bits;
	m->rtm_protocol = DNET_RTPROT;
	m->rtm_type = r->unreachable ? RTN_UNREACHABLE : RTN_UNICAST;
	m->rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC;
	mnl_attr_put_u32(&q->header, RTA_TABLE, table);
	netlink_put_address(q, RTA_DST, &r->destination.addr);
	if (r->gateway.family != ADDR_NONE)
		netlink_put_address(q, RTA_GATEWAY, &r->gateway);
	if (r->source.family != ADDR_NONE)
		netlink_put_address(q, RTA_PREFSRC, &r->source);
	if (r->index && !r->unreachable)
		mnl_attr_put_u32(&q->header, RTA_OIF, r->index);
	if (r->metric)
		mnl_attr_put_u32(&q->header, RTA_PRIORITY, r->metric);
	return 0;
}

int netlink_route_add(struct netlink *nl, const struct netlink_route *route)
{
	union netlink_request q;
	struct rtmsg *m = netlink_begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m));
	bool on_link = route->gateway.family == ADDR_NONE && !route->unreachable;
	int result = fill_route(&q, m, route);

	if (result)
		return result;
	m->rtm_scope = on_link && route->destination.addr.family == ADDR_V4 ? RT_SCOPE_LINK
									    : RT_SCOPE_UNIVERSE;
	return netlink_do(nl, &q);
}

int netlink_route_delete(struct netlink *nl, const struct netlink_route *route)
{
	union netlink_request q;
	struct rtmsg *m = netlink_begin(&q, RTM_DELROUTE, 0, sizeof(*m));
	int result = fill_route(&q, m, route);

	if (result)
		return result;
	m->rtm_scope = RT_SCOPE_NOWHERE; /* any */
	return netlink_do(nl, &q);
}

struct route_walk {
	netlink_route_cb cb;
	void *arg;
	uint32_t table;
	uint8_t protocol;
};

static int visit_route(const struct nlmsghdr *h, void *arg)
{
	const struct route_walk *walk = arg;
	struct netlink_route route;

	if (h->nlmsg_type == RTM_NEWROUTE && netlink_parse_route(h, &route) &&
	    (!walk->table || walk->table == route.table) &&
	    (!walk->protocol || walk->protocol == route.protocol))
		walk->cb(walk->arg, &route);
	return MNL_CB_OK;
}

int netlink_route_list(struct netlink *nl, uint32_t table, uint8_t protocol, netlink_route_cb cb,
		       void *arg)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct route_walk walk = {cb, arg, table, protocol};
	int result = 0;

	for (size_t i = 0; i < sizeof(families) && !result; i++) {
		union netlink_request q;
		struct rtmsg *m = netlink_begin(&q, RTM_GETROUTE, NLM_F_DUMP, sizeof(*m));

		m->rtm_family = families[i];
		result = netlink_ask(nl, &q, visit_route, &walk);
	}
	return result;
}

static int change_rule(struct netlink *nl, uint16_t type, uint16_t flags,
		       const struct netlink_rule *r)
{
	union netlink_request q;
	struct fib_rule_hdr *m = netlink_begin(&q, type, flags, sizeof(*m));

	if (r->family != ADDR_V4 && r->family != ADDR_V6)
		return -EINVAL;
	m->family = netlink_kernel_family(r->family);
	m->action = FR_ACT_TO_TBL;
	m->table = r->table < 256 ? (uint8_t)r->table : RT_TABLE_UNSPEC;
	m->flags = r->invert ? FIB_RULE_INVERT : 0;
	mnl_attr_put_u32(&q.header, FRA_TABLE, r->table);
	mnl_attr_put_u32(&q.header, FRA_PRIORITY, r->priority);
	mnl_attr_put_u8(&q.header, FRA_PROTOCOL, DNET_RTPROT);
	if (r->from.addr.family != ADDR_NONE) {
		m->src_len = r->from.bits;
		netlink_put_address(&q, FRA_SRC, &r->from.addr);
	}
	if (r->to.addr.family != ADDR_NONE) {
		m->dst_len = r->to.bits;
		netlink_put_address(&q, FRA_DST, &r->to.addr);
	}
	if (r->mask) {
		mnl_attr_put_u32(&q.header, FRA_FWMARK, r->mark);
		mnl_attr_put_u32(&q.header, FRA_FWMASK, r->mask);
	}
	if (r->in_link[0])
		mnl_attr_put_strz(&q.header, FRA_IIFNAME, r->in_link);
	if (r->suppress_default)
		mnl_attr_put_u32(&q.header, FRA_SUPPRESS_PREFIXLEN, 0);
	return netlink_do(nl, &q);
}

int netlink_rule_add(struct netlink *nl, const struct netlink_rule *rule)
{
	return change_rule(nl, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule);
}

int netlink_rule_delete(struct netlink *nl, const struct netlink_rule *rule)
{
	return change_rule(nl, RTM_DELRULE, 0, rule);
}

struct rule_walk {
	netlink_rule_cb cb;
	void *arg;
	uint8_t protocol;
};

static int visit_rule(const struct nlmsghdr *h, void *arg)
{
	const struct rule_walk *walk = arg;
	struct netlink_rule rule;

	if (h->nlmsg_type == RTM_NEWRULE && netlink_parse_rule(h, &rule) &&
	    (!walk->protocol || walk->protocol == rule.protocol))
		walk->cb(walk->arg, &rule);
	return MNL_CB_OK;
}

int netlink_rule_list(struct netlink *nl, uint8_t protocol, netlink_rule_cb cb, void *arg)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct rule_walk walk = {cb, arg, protocol};
	int result = 0;

	for (size_t i = 0; i < sizeof(families) && !result; i++) {
		union netlink_request q;
		struct fib_rule_hdr *m = netlink_begin(&q, RTM_GETRULE, NLM_F_DUMP, sizeof(*m));

		m->family = families[i];
		result = netlink_ask(nl, &q, visit_rule, &walk);
	}
	return result;
}
