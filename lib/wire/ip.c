#include "wire/ip.h"

#include "wire/buf.h"

#include <assert.h>
#include <string.h>

enum {
	IPV4_MORE_FRAGMENTS = 0x2000,
	IPV4_OFFSET = 0x1fff,
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_LOOSE_ROUTE = 131,
	OPTION_STRICT_ROUTE = 137,
	ICMP_ECHO_REPLY = 0,
	ICMP_ECHO = 8,
	ICMPV6_ECHO = 128,
	ICMPV6_ECHO_REPLY = 129,
	DATAGRAM_MAX = 65535,
};

/* The longest chain keeps offsets inside 16 bits. */
static_assert(IPV6_HEADER_LEN + IPV6_EXTENSIONS_MAX * 256 * 8 + 60 <= UINT16_MAX, "offsets");
static_assert(sizeof(struct ip_flow) == 40, "no padding: it is hashed and compared as bytes");

const char *ip_reason_text(enum ip_reason reason)
{
	switch (reason) {
#define X(name, text)                                                                              \
	case name:                                                                                 \
		return text;
		IP_REASONS(X)
#undef X
	}
	return "unknown reason";
}

static enum ip_reason parse_tcp(const uint8_t *h, size_t left, struct ip_view *v)
{
	size_t header;

	if (left < TCP_HEADER_MIN)
		return IP_TRUNCATED;
	header = (size_t)(h[12] >> 4) * 4;
	if (header < TCP_HEADER_MIN)
		return IP_UPPER;
	if (header > left)
		return IP_TRUNCATED;
	v->has_ports = true;
	v->src_port = load_u16be(h);
	v->dst_port = load_u16be(h + 2);
	v->tcp_flags = h[13];
	v->payload = (uint16_t)(v->upper + header);
	return IP_OK;
}

static enum ip_reason parse_udp(const uint8_t *h, size_t left, struct ip_view *v)
{
	uint16_t len;

	if (left < UDP_HEADER_LEN)
		return IP_TRUNCATED;
	len = load_u16be(h + 4);
	if (len < UDP_HEADER_LEN)
		return IP_UPPER;
	if (len > left && v->fragment == IP_FRAGMENT_NONE)
		return IP_TRUNCATED;
	v->has_ports = true;
	v->src_port = load_u16be(h);
	v->dst_port = load_u16be(h + 2);
	v->payload = v->upper + UDP_HEADER_LEN;
	return IP_OK;
}

static enum ip_reason parse_icmp(const uint8_t *h, size_t left, struct ip_view *v)
{
	bool echo;

	if (left < ICMP_HEADER_LEN)
		return IP_TRUNCATED;
	v->icmp_type = h[0];
	v->icmp_code = h[1];
	echo = v->version == 4 ? h[0] == ICMP_ECHO || h[0] == ICMP_ECHO_REPLY
			       : h[0] == ICMPV6_ECHO || h[0] == ICMPV6_ECHO_REPLY;
	if (echo)
		v->src_port = v->dst_port = load_u16be(h + 4);
	v->payload = v->upper + ICMP_HEADER_LEN;
	return IP_OK;
}

/* The upper header at v->upper. Only what is known to be TCP, UDP or the ICMP of this version of IP
 * is read; every other protocol keeps its number and has no ports. */
static enum ip_reason parse_upper(const uint8_t *packet, struct ip_view *v)
{
	const uint8_t *h = packet + v->upper;
	size_t left = v->total_len - v->upper;
	enum ip_reason reason = IP_OK;

	v->payload = v->upper;
	if (v->fragment == IP_FRAGMENT_LATER)
		return IP_OK;
	if (v->protocol == IP_PROTO_TCP)
		reason = parse_tcp(h, left, v);
	else if (v->protocol == IP_PROTO_UDP)
		reason = parse_udp(h, left, v);
	else if (v->protocol == (v->version == 4 ? IP_PROTO_ICMP : IP_PROTO_ICMPV6))
		reason = parse_icmp(h, left, v);
	/* A first fragment that ends inside the upper header hides ports or flags from a filter. */
	return reason == IP_TRUNCATED && v->fragment ? IP_FRAGMENT : reason;
}

/* offset and more as the header says; len: bytes of this fragment behind its headers. */
static enum ip_reason set_fragment(struct ip_view *v, uint16_t offset, bool more, size_t len)
{
	if (!offset && !more)
		return IP_OK;
	if ((more && len % 8) || !len || offset * 8u + len > DATAGRAM_MAX)
		return IP_FRAGMENT;
	v->fragment = offset ? IP_FRAGMENT_LATER : IP_FRAGMENT_FIRST;
	/* RFC 3128: a later fragment that would overwrite the ports or flags of the first. */
	if (offset && v->protocol == IP_PROTO_TCP && offset * 8u < TCP_HEADER_MIN)
		return IP_FRAGMENT;
	return IP_OK;
}

/* Source routes lead packets past the addresses that policy has looked at. */
static enum ip_reason check_options(const uint8_t *option, const uint8_t *end)
{
	while (option < end) {
		if (*option == OPTION_END)
			return IP_OK;
		if (*option == OPTION_NOP) {
			option++;
			continue;
		}
		if (*option == OPTION_LOOSE_ROUTE || *option == OPTION_STRICT_ROUTE)
			return IP_ROUTING;
		if (end - option < 2 || option[1] < 2 || option[1] > end - option)
			return IP_HEADER;
		option += option[1];
	}
	return IP_OK;
}

static enum ip_reason parse_ipv4(const uint8_t *packet, size_t len, struct ip_view *v)
{
	enum ip_reason reason;
	uint16_t fragment;
	size_t header;

	if (len < IPV4_HEADER_MIN)
		return IP_TRUNCATED;
	header = (size_t)(packet[0] & 15) * 4;
	v->total_len = load_u16be(packet + 2);
	if (header < IPV4_HEADER_MIN || header > v->total_len)
		return IP_HEADER;
	if (v->total_len > len)
		return IP_TRUNCATED;
	v->addr_len = 4;
	v->src = packet + 12;
	v->dst = packet + 16;
	v->protocol = packet[9];
	v->upper = (uint16_t)header;
	if (header > IPV4_HEADER_MIN) {
		reason = check_options(packet + IPV4_HEADER_MIN, packet + header);
		if (reason != IP_OK)
			return reason;
	}
	fragment = load_u16be(packet + 6);
	if (fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET)) {
		reason = set_fragment(v, fragment & IPV4_OFFSET, fragment & IPV4_MORE_FRAGMENTS,
				      v->total_len - header);
		if (reason != IP_OK)
			return reason;
	}
	return IP_OK;
}

/* One header of the chain at v->upper, of the type v->protocol, which is then the next one's. Sets
 * *ret_stop when what follows is not a header to walk. */
static enum ip_reason step_header(const uint8_t *packet, struct ip_view *v, unsigned index,
				  bool *ret_stop)
{
	const uint8_t *h = packet + v->upper;
	size_t left = v->total_len - v->upper, len;
	uint8_t type = v->protocol;

	*ret_stop = type != IP_PROTO_AH &&
		    (v->version == 4 || (type != IP_PROTO_HOPOPTS && type != IP_PROTO_ROUTING &&
					 type != IP_PROTO_FRAGMENT && type != IP_PROTO_DSTOPTS));
	if (*ret_stop)
		return IP_OK;
	/* RFC 7112: the whole chain is in the first fragment. */
	if (left < 8)
		return v->fragment ? IP_FRAGMENT : IP_TRUNCATED;
	if (index == IPV6_EXTENSIONS_MAX || (type == IP_PROTO_HOPOPTS && index))
		return IP_CHAIN;
	if (type == IP_PROTO_FRAGMENT)
		len = 8;
	else
		len = type == IP_PROTO_AH ? (h[1] + 2u) * 4 : (h[1] + 1u) * 8;
	if (len > left)
		return v->fragment ? IP_FRAGMENT : IP_TRUNCATED;
	if (type == IP_PROTO_AH && len < 12)
		return IP_HEADER;
	if (type == IP_PROTO_ROUTING && h[2] == 0) /* RFC 5095 */
		return IP_ROUTING;
	v->routed |= type == IP_PROTO_ROUTING;
	v->protocol = h[0];
	v->upper = (uint16_t)(v->upper + len);
	if (type == IP_PROTO_FRAGMENT) {
		/* One, also when it says that this is no fragment (RFC 6946). */
		if (v->fragment_header)
			return IP_CHAIN;
		v->fragment_header = true;
		*ret_stop = load_u16be(h + 2) >> 3;
		return set_fragment(v, load_u16be(h + 2) >> 3, h[3] & 1, left - len);
	}
	return IP_OK;
}

static enum ip_reason walk_headers(const uint8_t *packet, struct ip_view *v)
{
	enum ip_reason reason = IP_OK;
	bool stop = v->fragment == IP_FRAGMENT_LATER;

	for (unsigned i = 0; !stop && reason == IP_OK; i++)
		reason = step_header(packet, v, i, &stop);
	return reason;
}

static enum ip_reason parse_ipv6(const uint8_t *packet, size_t len, struct ip_view *v)
{
	if (len < IPV6_HEADER_LEN)
		return IP_TRUNCATED;
	v->total_len = IPV6_HEADER_LEN + load_u16be(packet + 4);
	v->protocol = packet[6];
	if (v->total_len == IPV6_HEADER_LEN && v->protocol == IP_PROTO_HOPOPTS)
		return IP_JUMBO;
	if (v->total_len > len)
		return IP_TRUNCATED;
	v->addr_len = 16;
	v->src = packet + 8;
	v->dst = packet + 24;
	v->upper = IPV6_HEADER_LEN;
	return IP_OK;
}

enum ip_reason ip_parse(const void *packet, size_t len, struct ip_view *ret)
{
	const uint8_t *p = packet;
	enum ip_reason reason;

	if (!len)
		return IP_TRUNCATED;
	*ret = (struct ip_view){.version = p[0] >> 4};
	if (ret->version == 4)
		reason = parse_ipv4(p, len, ret);
	else if (ret->version == 6)
		reason = parse_ipv6(p, len, ret);
	else
		return IP_VERSION;
	if (reason == IP_OK && ret->protocol != IP_PROTO_TCP && ret->protocol != IP_PROTO_UDP)
		reason = walk_headers(p, ret);
	if (reason == IP_OK)
		reason = parse_upper(p, ret);
	return reason;
}

void ip_flow_of(const struct ip_view *ip, struct ip_flow *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->src, ip->src, ip->addr_len);
	memcpy(ret->dst, ip->dst, ip->addr_len);
	ret->src_port = ip->src_port;
	ret->dst_port = ip->dst_port;
	ret->version = ip->version;
	ret->protocol = ip->protocol;
}

void ip_flow_reverse(const struct ip_flow *flow, struct ip_flow *ret)
{
	struct ip_flow back = *flow;

	memcpy(back.src, flow->dst, sizeof(back.src));
	memcpy(back.dst, flow->src, sizeof(back.dst));
	back.src_port = flow->dst_port;
	back.dst_port = flow->src_port;
	*ret = back;
}

static uint16_t fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t last[2] = {0};
	uint64_t words = 0, word;
	uint32_t half;
	uint16_t quarter;

	/* Summed as the machine reads them and swapped at the end: RFC 1071, 2.B. */
	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&word, p, 8);
		words += (word & 0xffffffff) + (word >> 32);
	}
	if (len & 4) {
		memcpy(&half, p, 4);
		words += half;
		p += 4;
	}
	if (len & 2) {
		memcpy(&quarter, p, 2);
		words += quarter;
		p += 2;
	}
	if (len & 1) {
		last[0] = *p;
		memcpy(&quarter, last, 2);
		words += quarter;
	}
	words = (words & 0xffffffff) + (words >> 32);
	words = (words & 0xffffffff) + (words >> 32);
	/* Two words, each of them swapped. */
	half = (uint32_t)words;
	return sum + load_u32be((const uint8_t *)&half);
}

uint16_t checksum_fold(uint64_t sum)
{
	return (uint16_t)~fold(sum);
}

uint64_t checksum_pseudo(const struct ip_view *ip, uint8_t protocol, uint32_t len)
{
	uint64_t sum = (uint64_t)protocol + (len >> 16) + (len & 0xffff);

	sum = checksum_add(sum, ip->src, ip->addr_len);
	return checksum_add(sum, ip->dst, ip->addr_len);
}

uint16_t ipv4_header_checksum(const uint8_t *header, size_t header_len)
{
	assert(header_len >= IPV4_HEADER_MIN);
	return checksum_fold(
		checksum_add(checksum_add(0, header, 10), header + 12, header_len - 12));
}

uint16_t ip_upper_checksum(const void *packet, const struct ip_view *ip)
{
	uint32_t len = ip->total_len - ip->upper;
	uint64_t sum = 0;

	if (ip->protocol == IP_PROTO_UDP)
		len = load_u16be((const uint8_t *)packet + ip->upper + 4);
	if (ip->protocol != IP_PROTO_ICMP)
		sum = checksum_pseudo(ip, ip->protocol, len);
	return checksum_fold(checksum_add(sum, (const uint8_t *)packet + ip->upper, len));
}

uint16_t checksum_update(uint16_t checksum, uint16_t from, uint16_t to)
{
	/* RFC 1624: HC' = ~(~HC + ~m + m') */
	return checksum_fold((uint64_t)(uint16_t)~checksum + (uint16_t)~from + to);
}
