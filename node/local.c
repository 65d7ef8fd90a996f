#include "node/local.h"

#include "os/base.h"
#include "os/netlink.h"

#include <string.h>

enum { LINKS_MAX = 256, CANDIDATES_MAX = 64 };

struct search {
	const char *prefix;
	uint32_t links[LINKS_MAX]; /* that count */
	size_t link_count;
	uint16_t port4, port6;
	struct endpoint found[CANDIDATES_MAX];
	size_t count;
};

static void take_link(void *arg, const struct netlink_link *link)
{
	struct search *s = arg;
	bool overlay = (strcmp(link->kind, "tun") == 0 || strcmp(link->kind, "wireguard") == 0) &&
		       strncmp(link->name, s->prefix, strlen(s->prefix)) == 0;
	if (!(link->flags & IFF_UP) || (link->flags & IFF_LOOPBACK) || overlay ||
	    s->link_count == LINKS_MAX)
		return;
	s->links[s->link_count++] = link->index;
}

static bool link_counts(const struct search *s, uint32_t index)
{
	for (size_t i = 0; i < s->link_count; i++) {
		if (s->links[i] == index)
			return true;
	}
	return false;
}

bool local_address_usable(const struct address *a)
{
	const uint8_t *b = a->bytes;
	if (a->family == ADDR_V6) /* global, or unique local */
		return (b[0] & 0xe0) == 0x20 || (b[0] & 0xfe) == 0xfc;
	return address_is_host(a) && !address_is_link_local(a);
}

static void take_address(void *arg, const struct netlink_address *address)
{
	struct search *s = arg;
	uint16_t port = address->address.family == ADDR_V4 ? s->port4 : s->port6;
	if (port == 0 || s->count == CANDIDATES_MAX || !link_counts(s, address->index) ||
	    !local_address_usable(&address->address))
		return;
	s->found[s->count++] = (struct endpoint){.addr = address->address, .port = port};
}

struct overlap_search {
	struct search links;
	const struct prefix *range;
	uint32_t index; /* of the link; 0: none found */
	struct prefix network;
};

static void look_for_overlap(void *arg, const struct netlink_address *address)
{
	struct overlap_search *s = arg;
	struct prefix network = {address->address, address->bits};
	if (s->index || !link_counts(&s->links, address->index) ||
	    (!prefix_contains(s->range, &network.addr) &&
	     !prefix_contains(&network, &s->range->addr)))
		return;
	prefix_mask(&network);
	s->index = address->index;
	s->network = network;
}

bool local_overlaps(struct netlink *nl, const char *prefix, const struct prefix *range,
		    struct prefix *ret_network, char ret_link[static IF_NAMESIZE])
{
	struct overlap_search s = {.links = {.prefix = prefix}, .range = range};
	struct netlink_link link;
	if (netlink_link_list(nl, take_link, &s.links) < 0 ||
	    netlink_address_list(nl, 0, look_for_overlap, &s) < 0 || s.index == 0)
		return false;
	if (netlink_link_get(nl, s.index, &link) < 0)
		return false; /* it has just gone */
	*ret_network = s.network;
	memcpy(ret_link, link.name, IF_NAMESIZE);
	return true;
}

/* RFC 1918, RFC 6598 and RFC 4193 addresses reach only neighbours. */
static bool is_private(const struct address *a)
{
	static const struct prefix ranges[] = {
		{{ADDR_V4, {10}}, 8},	    {{ADDR_V4, {172, 16}}, 12}, {{ADDR_V4, {192, 168}}, 16},
		{{ADDR_V4, {100, 64}}, 10}, {{ADDR_V6, {0xfc}}, 7},
	};
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (prefix_contains(&ranges[i], a))
			return true;
	}
	return false;
}

int local_endpoints(struct netlink *nl, const char *prefix, uint16_t port4, uint16_t port6,
		    struct endpoint ret_endpoints[static LOCAL_ENDPOINTS_MAX], size_t *ret_count)
{
	struct search s = {.prefix = prefix, .port4 = port4, .port6 = port6};
	int r = netlink_link_list(nl, take_link, &s);
	if (r == 0)
		r = netlink_address_list(nl, 0, take_address, &s);
	if (r < 0)
		return r;
	size_t count = 0;
	for (int private = 0; private < 2; private ++) {
		for (size_t i = 0; i < s.count && count < LOCAL_ENDPOINTS_MAX; i++) {
			if (is_private(&s.found[i].addr) == (private == 1))
				ret_endpoints[count++] = s.found[i];
		}
	}
	*ret_count = count;
	return 0;
}
