#include "os/netlink_parse.h"

#include "os/base.h"

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

/* Numbers of attributes that are of use here all fit. */
enum { ATTRIBUTES = 64 };

struct attributes {
	const struct nlattr *at[ATTRIBUTES]; /* NULL: not there */
};

bool netlink_datagram_ok(const void *datagram, size_t len)
{
	const char *pos = datagram;
	struct nlmsghdr h;

	while (len >= sizeof(h)) {
		memcpy(&h, pos, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len)
			return false;
		if (MNL_ALIGN(h.nlmsg_len) > len)
			return false;
		pos += MNL_ALIGN(h.nlmsg_len);
		len -= MNL_ALIGN(h.nlmsg_len);
	}
	return true;
}

static int take_attribute(const struct nlattr *attr, void *data)
{
	struct attributes *a = data;
	unsigned type = mnl_attr_get_type(attr);

	if (type < ATTRIBUTES)
		a->at[type] = attr;
	return MNL_CB_OK;
}

/* The family header of this size, with the attributes behind it; NULL when it is cut. */
static const void *open_message(const struct nlmsghdr *h, size_t size, struct attributes *a)
{
	memset(a, 0, sizeof(*a));
	if (mnl_nlmsg_get_payload_len(h) < size || h->nlmsg_len < mnl_nlmsg_size(0) + size)
		return NULL;
	mnl_attr_parse(h, (unsigned)size, take_attribute, a);
	return mnl_nlmsg_get_payload(h);
}

static bool has_payload(const struct nlattr *attr, size_t len)
{
	return attr && mnl_attr_get_payload_len(attr) >= len;
}

static uint32_t get_u32(const struct attributes *a, unsigned type, uint32_t fallback)
{
	uint32_t value;

	if (!has_payload(a->at[type], sizeof(value)))
		return fallback;
	memcpy(&value, mnl_attr_get_payload(a->at[type]), sizeof(value));
	return value;
}

static uint8_t get_u8(const struct attributes *a, unsigned type)
{
	return has_payload(a->at[type], 1) ? *(uint8_t *)mnl_attr_get_payload(a->at[type]) : 0;
}

/* Up to size - 1 bytes, and always an end. */
static void get_string(const struct nlattr *attr, char *dst, size_t size)
{
	size_t len = attr ? mnl_attr_get_payload_len(attr) : 0;

	len = MIN(len, size - 1);
	if (len)
		memcpy(dst, mnl_attr_get_payload(attr), len);
	dst[len] = 0;
}

static uint8_t family_of(uint8_t kernel_family)
{
	if (kernel_family == AF_INET)
		return ADDR_V4;
	return kernel_family == AF_INET6 ? ADDR_V6 : ADDR_NONE;
}

/* False when there is an attribute of another length than the family's. */
static bool get_address(const struct nlattr *attr, uint8_t family, struct address *ret)
{
	size_t len = family == ADDR_V4 ? 4 : 16;

	memset(ret, 0, sizeof(*ret));
	if (!attr)
		return true;
	if (mnl_attr_get_payload_len(attr) != len)
		return false;
	ret->family = family;
	memcpy(ret->bytes, mnl_attr_get_payload(attr), len);
	return true;
}

/* An attribute that is not there is all zeros: the default route. */
static bool get_prefix(const struct nlattr *attr, uint8_t family, uint8_t bits, struct prefix *ret)
{
	if (!get_address(attr, family, &ret->addr))
		return false;
	ret->addr.family = family;
	ret->bits = bits;
	return bits <= address_bits(&ret->addr);
}

static int take_kind(const struct nlattr *attr, void *data)
{
	struct netlink_link *link = data;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
		get_string(attr, link->kind, sizeof(link->kind));
	return MNL_CB_OK;
}

static int take_ipv6_settings(const struct nlattr *attr, void *data)
{
	const uint8_t *values = mnl_attr_get_payload(attr);
	size_t count = mnl_attr_get_payload_len(attr) / sizeof(int32_t);
	struct netlink_ipv6 *ipv6 = data;
	const struct {
		size_t index;
		bool *ret;
	} wanted[] = {
		{DEVCONF_DISABLE_IPV6, &ipv6->disabled},
		{DEVCONF_ACCEPT_RA, &ipv6->accept_ra},
		{DEVCONF_RTR_SOLICITS, &ipv6->solicits_routers},
	};
	int32_t value;

	if (mnl_attr_get_type(attr) == IFLA_INET6_ADDR_GEN_MODE && has_payload(attr, 1))
		ipv6->link_local = values[0] != IN6_ADDR_GEN_MODE_NONE;
	if (mnl_attr_get_type(attr) != IFLA_INET6_CONF || count <= DEVCONF_DISABLE_IPV6)
		return MNL_CB_OK;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		memcpy(&value, values + wanted[i].index * sizeof(value), sizeof(value));
		*wanted[i].ret = value != 0;
	}
	ipv6->known = true;
	return MNL_CB_OK;
}

static int take_family(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == AF_INET6)
		mnl_attr_parse_nested(attr, take_ipv6_settings, data);
	return MNL_CB_OK;
}

bool netlink_parse_link(const struct nlmsghdr *h, struct netlink_link *ret_link)
{
	struct attributes a;
	const struct ifinfomsg *m = open_message(h, sizeof(*m), &a);
	struct netlink_link link = {0};

	/* Other families speak of their own part of a link, as bridges do. */
	if (!m || m->ifi_family != AF_UNSPEC || m->ifi_index <= 0)
		return false;
	link.index = (uint32_t)m->ifi_index;
	link.flags = m->ifi_flags;
	link.mtu = get_u32(&a, IFLA_MTU, 0);
	link.txqlen = get_u32(&a, IFLA_TXQLEN, 0);
	link.gso_max = get_u32(&a, IFLA_GSO_MAX_SIZE, 0);
	get_string(a.at[IFLA_IFNAME], link.name, sizeof(link.name));
	get_string(a.at[IFLA_IFALIAS], link.alias, sizeof(link.alias));
	link.carrier = get_u8(&a, IFLA_CARRIER);
	if (a.at[IFLA_AF_SPEC])
		mnl_attr_parse_nested(a.at[IFLA_AF_SPEC], take_family, &link.ipv6);
	if (a.at[IFLA_LINKINFO])
		mnl_attr_parse_nested(a.at[IFLA_LINKINFO], take_kind, &link);
	*ret_link = link;
	return true;
}

static bool has_finite_lifetime(const struct nlattr *attr)
{
	struct ifa_cacheinfo info;

	if (!has_payload(attr, sizeof(info)))
		return false;
	memcpy(&info, mnl_attr_get_payload(attr), sizeof(info));
	return info.ifa_valid != UINT32_MAX || info.ifa_prefered != UINT32_MAX;
}

bool netlink_parse_address(const struct nlmsghdr *h, struct netlink_address *ret_address)
{
	struct attributes a;
	const struct ifaddrmsg *m = open_message(h, sizeof(*m), &a);
	struct netlink_address result = {0};
	const struct nlattr *attr;
	uint8_t family = m ? family_of(m->ifa_family) : ADDR_NONE;

	if (family == ADDR_NONE)
		return false;
	/* IFA_ADDRESS is the peer's on a point-to-point link of IPv4. */
	attr = a.at[IFA_LOCAL] ? a.at[IFA_LOCAL] : a.at[IFA_ADDRESS];
	if (!attr || !get_address(attr, family, &result.address))
		return false;
	result.index = m->ifa_index;
	result.bits = m->ifa_prefixlen;
	/* IPv4 tells of no lifetime when only the preferred one is over. */
	result.expires =
		m->ifa_flags & IFA_F_DEPRECATED || has_finite_lifetime(a.at[IFA_CACHEINFO]);
	if (result.bits > address_bits(&result.address))
		return false;
	*ret_address = result;
	return true;
}

bool netlink_parse_route(const struct nlmsghdr *h, struct netlink_route *ret_route)
{
	struct attributes a;
	const struct rtmsg *m = open_message(h, sizeof(*m), &a);
	uint8_t family = m ? family_of(m->rtm_family) : ADDR_NONE;
	struct netlink_route r = {0};

	if (family == ADDR_NONE || m->rtm_flags & RTM_F_CLONED)
		return false;
	r.unreachable = m->rtm_type == RTN_UNREACHABLE || m->rtm_type == RTN_BLACKHOLE ||
			m->rtm_type == RTN_PROHIBIT;
	if (m->rtm_type != RTN_UNICAST && !r.unreachable)
		return false;
	if (!get_prefix(a.at[RTA_DST], family, m->rtm_dst_len, &r.destination) ||
	    !get_address(a.at[RTA_GATEWAY], family, &r.gateway) ||
	    !get_address(a.at[RTA_PREFSRC], family, &r.source))
		return false;
	/* The kernel hangs unreachable IPv6 routes on lo. */
	r.index = r.unreachable ? 0 : get_u32(&a, RTA_OIF, 0);
	r.table = get_u32(&a, RTA_TABLE, m->rtm_table);
	r.metric = get_u32(&a, RTA_PRIORITY, 0);
	r.protocol = m->rtm_protocol;
	r.special = a.at[RTA_METRICS] || a.at[RTA_MULTIPATH] || a.at[RTA_ENCAP] || m->rtm_tos ||
		    get_u8(&a, RTA_PREF) != 0;
	*ret_route = r;
	return true;
}

bool netlink_parse_rule(const struct nlmsghdr *h, struct netlink_rule *ret_rule)
{
	struct attributes a;
	const struct fib_rule_hdr *m = open_message(h, sizeof(*m), &a);
	struct netlink_rule r = {0};

	if (!m || m->action != FR_ACT_TO_TBL)
		return false;
	r.family = family_of(m->family);
	if (r.family == ADDR_NONE)
		return false;
	if (a.at[FRA_SRC] && !get_prefix(a.at[FRA_SRC], r.family, m->src_len, &r.from))
		return false;
	if (a.at[FRA_DST] && !get_prefix(a.at[FRA_DST], r.family, m->dst_len, &r.to))
		return false;
	r.table = get_u32(&a, FRA_TABLE, m->table);
	r.priority = get_u32(&a, FRA_PRIORITY, 0);
	r.mark = get_u32(&a, FRA_FWMARK, 0);
	r.mask = get_u32(&a, FRA_FWMASK, 0);
	r.suppress_default = get_u32(&a, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX) == 0;
	r.invert = m->flags & FIB_RULE_INVERT;
	r.protocol = get_u8(&a, FRA_PROTOCOL);
	get_string(a.at[FRA_IIFNAME], r.in_link, sizeof(r.in_link));
	*ret_rule = r;
	return true;
}

bool netlink_parse_event(const struct nlmsghdr *h, struct netlink_event *ret_event)
{
	struct netlink_event e = {0};
	bool good = false;

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		e.kind = NETLINK_EVENT_LINK;
		e.gone = h->nlmsg_type == RTM_DELLINK;
		good = netlink_parse_link(h, &e.link);
		e.index = e.link.index;
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		e.kind = NETLINK_EVENT_ADDRESS;
		e.gone = h->nlmsg_type == RTM_DELADDR;
		good = netlink_parse_address(h, &e.address);
		e.index = e.address.index;
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		e.kind = NETLINK_EVENT_ROUTE;
		e.gone = h->nlmsg_type == RTM_DELROUTE;
		good = netlink_parse_route(h, &e.route);
		e.index = e.route.index;
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		e.kind = NETLINK_EVENT_RULE;
		e.gone = h->nlmsg_type == RTM_DELRULE;
		(void)netlink_parse_rule(h, &e.rule);
		good = true;
		break;
	}
	if (good)
		*ret_event = e;
	return good;
}

static int take_text(const struct nlattr *attr, void *data)
{
	const struct nlattr **text = data;

	if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
		*text = attr;
	return MNL_CB_OK;
}

bool netlink_parse_error(const struct nlmsghdr *h, int *ret_result, char *text, size_t text_size)
{
	const struct nlmsgerr *m = mnl_nlmsg_get_payload(h);
	size_t offset = sizeof(*m);
	const struct nlattr *attr = NULL;

	if (h->nlmsg_len < mnl_nlmsg_size(sizeof(*m)) || m->error > 0 || m->error < -4095)
		return false;
	/* The request follows whole, unless it is capped; the attributes come behind. */
	if (!(h->nlmsg_flags & NLM_F_CAPPED) && m->msg.nlmsg_len > sizeof(m->msg))
		offset += m->msg.nlmsg_len - sizeof(m->msg);
	if (h->nlmsg_flags & NLM_F_ACK_TLVS && offset < h->nlmsg_len - mnl_nlmsg_size(0))
		mnl_attr_parse(h, (unsigned)offset, take_text, &attr);
	get_string(attr, text, text_size);
	*ret_result = m->error;
	return true;
}
