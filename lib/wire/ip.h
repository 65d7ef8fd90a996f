#ifndef WIRE_IP_H
#define WIRE_IP_H

/* Views of IP packets: addresses, the upper protocol behind all extension headers, ports; and
 * Internet checksums. A protocol that is not parsed never has ports. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	IP_PROTO_HOPOPTS = 0,
	IP_PROTO_ICMP = 1,
	IP_PROTO_TCP = 6,
	IP_PROTO_UDP = 17,
	IP_PROTO_ROUTING = 43,
	IP_PROTO_FRAGMENT = 44,
	IP_PROTO_ESP = 50,
	IP_PROTO_AH = 51,
	IP_PROTO_ICMPV6 = 58,
	IP_PROTO_NONE = 59,
	IP_PROTO_DSTOPTS = 60,
	IPV4_HEADER_MIN = 20,
	IPV6_HEADER_LEN = 40,
	IPV6_MTU_MIN = 1280, /* RFC 8200, 5: every link takes this much */
	TCP_HEADER_MIN = 20,
	UDP_HEADER_LEN = 8,
	ICMP_HEADER_LEN = 8,
	IPV6_EXTENSIONS_MAX = 8, /* more headers in a chain than this: refused */
};

#define IP_REASONS(X)                                                                              \
	X(IP_OK, "well formed")                                                                    \
	X(IP_TRUNCATED, "shorter than its headers say")                                            \
	X(IP_VERSION, "neither IPv4 nor IPv6")                                                     \
	X(IP_HEADER, "an impossible header length")                                                \
	X(IP_JUMBO, "an IPv6 jumbogram")                                                           \
	X(IP_CHAIN, "extension headers out of order or too many")                                  \
	X(IP_ROUTING, "a source route (IPv4 option or IPv6 routing type 0)")                       \
	X(IP_FRAGMENT, "a fragment that cuts or overlaps the upper header")                        \
	X(IP_UPPER, "an impossible upper header")

enum ip_reason {
#define X(name, text) name,
	IP_REASONS(X)
#undef X
};

const char *ip_reason_text(enum ip_reason reason);

enum ip_fragment {
	IP_FRAGMENT_NONE,
	IP_FRAGMENT_FIRST, /* has the upper header */
	IP_FRAGMENT_LATER, /* has not: upper is where its payload begins */
};

struct ip_view {
	const uint8_t *src; /* addr_len bytes, borrowed from the packet */
	const uint8_t *dst;
	uint32_t total_len;   /* as the IP header says; not more than what is there */
	uint16_t upper;	      /* offset of the upper header */
	uint16_t payload;     /* offset past it, of TCP, UDP and ICMP; upper for the others */
	uint8_t version;      /* 4 or 6 */
	uint8_t addr_len;     /* 4 or 16 */
	uint8_t protocol;     /* upper protocol, behind all extension headers */
	uint8_t fragment;     /* enum ip_fragment */
	bool routed;	      /* a routing header: the pseudo header has another destination */
	bool fragment_header; /* of IPv6, also an atomic one */
	bool has_ports;	      /* TCP or UDP, not a later fragment */
	uint8_t tcp_flags;
	uint8_t icmp_type; /* ICMP and ICMPv6, not a later fragment */
	uint8_t icmp_code;
	uint16_t src_port; /* host order; 0 without has_ports; the identifier of an ICMP echo */
	uint16_t dst_port;
};

/* One packet. Bytes after its total length are no error. Checksums are not looked at. ret is
 * written while it is parsed and says nothing unless IP_OK is returned: a copy would cost as much
 * as the parsing. */
enum ip_reason ip_parse(const void *packet, size_t len, struct ip_view *ret);

/* Who talks to whom; compare and hash it as bytes (no padding, unused bytes zero). */
struct ip_flow {
	uint8_t src[16]; /* IPv4 in the first 4, rest zero */
	uint8_t dst[16];
	uint16_t src_port; /* host order; ICMP echo: the identifier in both */
	uint16_t dst_port;
	uint8_t version;
	uint8_t protocol;
	uint8_t zero[2];
};

void ip_flow_of(const struct ip_view *ip, struct ip_flow *ret);
/* The flow of the replies. */
void ip_flow_reverse(const struct ip_flow *flow, struct ip_flow *ret);

/* Sum of 16-bit words, to be handed on from part to part (every part but the last of even length)
 * and folded at the end. Words are summed in network order. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len);
/* The one's complement of the folded sum, host order: store it with store_u16be(). */
uint16_t checksum_fold(uint64_t sum);
/* Sum of the pseudo header. len: bytes of upper header and payload. */
uint64_t checksum_pseudo(const struct ip_view *ip, uint8_t protocol, uint32_t len);
/* Of the header with its checksum field read as zero. */
uint16_t ipv4_header_checksum(const uint8_t *header, size_t header_len);
/* Right when 0. For TCP, UDP, ICMP and ICMPv6 of a packet that is no fragment. */
uint16_t ip_upper_checksum(const void *packet, const struct ip_view *ip);
/* Checksum after the word `from` became `to` (RFC 1624, eqn. 3); all in host order. */
uint16_t checksum_update(uint16_t checksum, uint16_t from, uint16_t to);

#endif
