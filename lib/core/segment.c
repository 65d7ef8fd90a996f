#include "core/segment.h"

#include "wire/buf.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

enum {
	TCP_CHECKSUM = 16,
	UDP_CHECKSUM = 6,
};

/* IPv6 extension headers that may stand before the transport header (RFC 8200, 4). */
enum { EXT_HOP_BY_HOP = 0, EXT_ROUTING = 43, EXT_FRAGMENT = 44, EXT_DESTINATION = 60 };

/* IPv4 options that change the destination on the way (RFC 791, 3.1). */
enum { OPTION_END = 0, OPTION_NOP = 1, OPTION_LSRR = 131, OPTION_SSRR = 137 };

/* Sums are of 16-bit words in memory order: ones' complement does not mind the byte order (RFC
 * 1071, 2 B). */
static uint64_t sum_add(const uint8_t *bytes, size_t len, uint64_t sum)
{
	uint32_t word;
	uint8_t rest[4] = {0};

	for (; len >= sizeof(word); len -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		sum += word;
	}
	if (len) {
		memcpy(rest, bytes, len);
		memcpy(&word, rest, sizeof(word));
		sum += word;
	}
	return sum;
}

static uint16_t sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static bool ipv4_source_routed(const uint8_t *option, const uint8_t *end)
{
	while (option < end && *option != OPTION_END) {
		if (*option == OPTION_LSRR || *option == OPTION_SSRR)
			return true;
		if (*option == OPTION_NOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2)
			return false;
		option += option[1] < end - option ? option[1] : end - option;
	}
	return false;
}

static bool find_ipv4(const uint8_t *ip, size_t len, struct transport *t)
{
	size_t header_len = (size_t)(ip[0] & 15) * 4;

	if (len < IPV4_HEADER_MIN || header_len < IPV4_HEADER_MIN || header_len > len ||
	    load_u16be(ip + 2) != len)
		return false;
	t->offset = header_len;
	t->protocol = ip[9];
	t->fragment = load_u16be(ip + 6) & 0x3fff;
	t->extended = header_len > IPV4_HEADER_MIN;
	t->routed = ipv4_source_routed(ip + IPV4_HEADER_MIN, ip + header_len);
	return true;
}

static bool find_ipv6(const uint8_t *ip, size_t len, struct transport *t)
{
	size_t at = IPV6_HEADER_LEN;
	uint8_t next = ip[6];

	if (len < IPV6_HEADER_LEN || load_u16be(ip + 4) != len - IPV6_HEADER_LEN)
		return false;
	while (next == EXT_HOP_BY_HOP || next == EXT_ROUTING || next == EXT_FRAGMENT ||
	       next == EXT_DESTINATION) {
		if (len - at < 8)
			return false;
		t->extended = true;
		t->routed |= next == EXT_ROUTING;
		if (next == EXT_FRAGMENT) {
			t->fragment = true;
			next = ip[at];
			at += 8;
			break;
		}
		next = ip[at];
		if (len - at < ((size_t)ip[at + 1] + 1) * 8)
			return false;
		at += ((size_t)ip[at + 1] + 1) * 8;
	}
	t->offset = at;
	t->protocol = next;
	return true;
}

bool transport_find(const uint8_t *ip, size_t len, struct transport *ret_transport)
{
	struct transport t = {0};

	if (len < IPV4_HEADER_MIN || len > UINT16_MAX)
		return false;
	t.version = ip[0] >> 4;
	if (!(t.version == 4 && find_ipv4(ip, len, &t)) &&
	    !(t.version == 6 && find_ipv6(ip, len, &t)))
		return false;
	*ret_transport = t;
	return true;
}

size_t transport_payload(const uint8_t *ip, size_t len, const struct transport *t)
{
	size_t left = len - t->offset, header_len;

	if (t->protocol == IP_PROTO_UDP)
		return left >= UDP_HEADER_LEN ? t->offset + UDP_HEADER_LEN : 0;
	if (t->protocol != IP_PROTO_TCP || left < TCP_HEADER_MIN)
		return 0;
	header_len = (size_t)(ip[t->offset + 12] >> 4) * 4;
	return header_len >= TCP_HEADER_MIN && header_len <= left ? t->offset + header_len : 0;
}

unsigned transport_checksum_offset(uint8_t protocol)
{
	return protocol == IP_PROTO_TCP	  ? TCP_CHECKSUM
	       : protocol == IP_PROTO_UDP ? UDP_CHECKSUM
					  : 0;
}

/* Addresses and protocol. */
static uint64_t pseudo_sum(const uint8_t *ip, const struct transport *t)
{
	if (t->version == 4)
		return sum_add(ip + 12, 8, htons(t->protocol));
	return sum_add(ip + 8, 32, htons(t->protocol));
}

uint16_t transport_pseudo_sum(const uint8_t *ip, const struct transport *t, size_t len)
{
	return sum_fold(pseudo_sum(ip, t) + htons((uint16_t)len));
}

uint16_t segment_ipv4_checksum(const uint8_t *ip)
{
	size_t header_len = (size_t)(ip[0] & 15) * 4;
	uint64_t sum = sum_add(ip, 8, 0);
	uint16_t word;

	memcpy(&word, ip + 8, sizeof(word));
	return (uint16_t)~sum_fold(sum_add(ip + 12, header_len - 12, sum + word));
}

bool checksum_finish(uint8_t *ip, size_t len, size_t csum_start, size_t csum_offset)
{
	uint16_t checksum;

	if (csum_start > len || len - csum_start < sizeof(checksum) ||
	    csum_offset > len - csum_start - sizeof(checksum))
		return false;
	/* The field holds the pseudo header's sum and is summed with the rest. */
	checksum = (uint16_t)~sum_fold(sum_add(ip + csum_start, len - csum_start, 0));
	/* RFC 768: "If the computed checksum is zero, it is transmitted as all ones"; to TCP both
	 * are the same. */
	if (!checksum)
		checksum = 0xffff;
	memcpy(ip + csum_start + csum_offset, &checksum, sizeof(checksum));
	return true;
}

static bool gso_fits(const struct packet *packet, const struct transport *t)
{
	switch (packet->gso) {
	case GSO_TCP4:
		return t->version == 4 && t->protocol == IP_PROTO_TCP;
	case GSO_TCP6:
		return t->version == 6 && t->protocol == IP_PROTO_TCP;
	case GSO_UDP:
		return t->protocol == IP_PROTO_UDP;
	case GSO_NONE:
		return false;
	}
	return false;
}

bool cutter_init(struct cutter *cutter, const struct packet *packet)
{
	const uint8_t *ip = packet->data;
	struct cutter c = {.data = ip, .step = packet->gso_size};
	struct transport *t = &c.transport;

	if (!packet->gso_size || !transport_find(ip, packet->len, t) || t->fragment || t->routed ||
	    !gso_fits(packet, t))
		return false;
	if (!packet->partial_checksum || packet->csum_start != t->offset ||
	    packet->csum_offset != transport_checksum_offset(t->protocol))
		return false;
	c.header_len = transport_payload(ip, packet->len, t);
	if (!c.header_len || c.header_len == packet->len)
		return false;
	c.payload_len = packet->len - c.header_len;
	c.pseudo_sum = sum_fold(pseudo_sum(ip, t));
	if (t->version == 4) {
		uint16_t word;

		c.id = load_u16be(ip + 4);
		memcpy(&word, ip + 8, sizeof(word));
		c.header_sum = sum_fold(sum_add(ip, 2, 0) + sum_add(ip + 6, 2, 0) + word +
					sum_add(ip + 12, t->offset - 12, 0));
	}
	if (t->protocol == IP_PROTO_TCP) {
		c.seq = load_u32be(ip + t->offset + 4);
		c.flags = ip[t->offset + 13];
	}
	*cutter = c;
	return true;
}

size_t cutter_size(const struct cutter *cutter, size_t offset)
{
	size_t left = cutter->payload_len - offset;

	assert(offset < cutter->payload_len);
	return cutter->header_len + (left < cutter->step ? left : cutter->step);
}

static void put(uint8_t *at, uint16_t word)
{
	memcpy(at, &word, sizeof(word));
}

void cutter_write(const struct cutter *cutter, size_t offset, uint8_t *out)
{
	const struct transport *t = &cutter->transport;
	size_t size = cutter_size(cutter, offset), payload = size - cutter->header_len;
	uint16_t transport_len = htons((uint16_t)(size - t->offset));
	uint8_t *header = out + t->offset;

	memcpy(out, cutter->data, cutter->header_len);
	memcpy(out + cutter->header_len, cutter->data + cutter->header_len + offset, payload);
	if (t->version == 4) {
		uint16_t len = htons((uint16_t)size);
		uint16_t id = htons((uint16_t)(cutter->id + offset / cutter->step));

		put(out + 2, len);
		put(out + 4, id);
		put(out + 10, (uint16_t)~sum_fold((uint64_t)cutter->header_sum + len + id));
	} else {
		store_u16be(out + 4, (uint16_t)(size - IPV6_HEADER_LEN));
	}
	put(header + transport_checksum_offset(t->protocol),
	    sum_fold((uint64_t)cutter->pseudo_sum + transport_len));
	if (t->protocol == IP_PROTO_UDP) {
		put(header + 4, transport_len);
		return;
	}
	store_u32be(header + 4, cutter->seq + (uint32_t)offset);
	/* The end of the data is in the last segment, the sender's answer to ECN in the first. */
	header[13] = cutter->flags;
	if (offset + payload < cutter->payload_len)
		header[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (offset)
		header[13] &= (uint8_t)~TCP_CWR;
}
