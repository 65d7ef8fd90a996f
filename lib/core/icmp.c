#include "core/icmp.h"

#include "wire/buf.h"
#include "wire/ip.h"

#include <stdbool.h>
#include <string.h>

/* RFC 792: the header and 8 bytes are enough; more is allowed (RFC 1812 says up to 576). RFC 4443:
 * as much as fits into 1280. */
enum { QUOTE4_MAX = 576 - IPV4_HEADER_MIN - ICMP_HEADER_LEN };
enum { QUOTE6_MAX = ICMP_ERROR_MAX - IPV6_HEADER_LEN - ICMP_HEADER_LEN };

/* Type and code for each problem. */
static const uint8_t codes4[][2] = {
	[ICMP_NO_ROUTE] = {3, 0},
	[ICMP_PROHIBITED] = {3, 13},
	[ICMP_UNREACHABLE] = {3, 1},
	[ICMP_TOO_BIG] = {3, 4},
};

static const uint8_t codes6[][2] = {
	[ICMP_NO_ROUTE] = {1, 0},
	[ICMP_PROHIBITED] = {1, 1},
	[ICMP_UNREACHABLE] = {1, 3},
	[ICMP_TOO_BIG] = {2, 0},
};

static bool is_error(const struct ip_view *ip)
{
	if (ip->protocol == IP_PROTO_ICMP)
		return ip->icmp_type != 0 && ip->icmp_type != 8;
	return ip->protocol == IP_PROTO_ICMPV6 && ip->icmp_type < 128;
}

static bool is_multicast(uint8_t version, const uint8_t *a)
{
	return version == 4 ? a[0] >= 224 : a[0] == 0xff;
}

static bool is_unspecified(uint8_t version, const uint8_t *a)
{
	static const uint8_t zero[16];

	return !memcmp(a, zero, version == 4 ? 4 : 16);
}

static size_t error4(enum icmp_problem problem, uint16_t mtu, const struct ip_view *ip,
		     const uint8_t *packet, size_t len, uint8_t *out)
{
	size_t quote = len < QUOTE4_MAX ? len : QUOTE4_MAX, total = 28 + quote;
	uint8_t *icmp = out + IPV4_HEADER_MIN;

	memset(out, 0, 28);
	out[0] = 0x45;
	store_u16be(out + 2, (uint16_t)total);
	out[8] = 64;
	out[9] = IP_PROTO_ICMP;
	memcpy(out + 12, ip->dst, 4);
	memcpy(out + 16, ip->src, 4);
	store_u16be(out + 10, ipv4_header_checksum(out, IPV4_HEADER_MIN));
	icmp[0] = codes4[problem][0];
	icmp[1] = codes4[problem][1];
	if (problem == ICMP_TOO_BIG)
		store_u16be(icmp + 6, mtu);
	memcpy(icmp + ICMP_HEADER_LEN, packet, quote);
	store_u16be(icmp + 2, checksum_fold(checksum_add(0, icmp, ICMP_HEADER_LEN + quote)));
	return total;
}

static size_t error6(enum icmp_problem problem, uint16_t mtu, const struct ip_view *ip,
		     const uint8_t *packet, size_t len, uint8_t *out)
{
	size_t quote = len < QUOTE6_MAX ? len : QUOTE6_MAX, upper = ICMP_HEADER_LEN + quote;
	uint8_t *icmp = out + IPV6_HEADER_LEN;
	struct ip_view view = {.src = ip->dst, .dst = ip->src, .addr_len = 16, .version = 6};

	memset(out, 0, IPV6_HEADER_LEN + ICMP_HEADER_LEN);
	out[0] = 0x60;
	store_u16be(out + 4, (uint16_t)upper);
	out[6] = IP_PROTO_ICMPV6;
	out[7] = 64;
	memcpy(out + 8, ip->dst, 16);
	memcpy(out + 24, ip->src, 16);
	icmp[0] = codes6[problem][0];
	icmp[1] = codes6[problem][1];
	if (problem == ICMP_TOO_BIG)
		store_u32be(icmp + 4, mtu);
	memcpy(icmp + ICMP_HEADER_LEN, packet, quote);
	store_u16be(icmp + 2, checksum_fold(checksum_add(
				      checksum_pseudo(&view, IP_PROTO_ICMPV6, (uint32_t)upper),
				      icmp, upper)));
	return IPV6_HEADER_LEN + upper;
}

size_t icmp_error(enum icmp_problem problem, uint16_t mtu, const uint8_t *packet, size_t len,
		  uint8_t out[static ICMP_ERROR_MAX])
{
	struct ip_view ip;

	if (ip_parse(packet, len, &ip) != IP_OK || ip.fragment == IP_FRAGMENT_LATER ||
	    is_error(&ip) || is_multicast(ip.version, ip.dst) || is_multicast(ip.version, ip.src) ||
	    is_unspecified(ip.version, ip.src))
		return 0;
	return ip.version == 4 ? error4(problem, mtu, &ip, packet, len, out)
			       : error6(problem, mtu, &ip, packet, len, out);
}
