#ifndef CORE_SEGMENT_H
#define CORE_SEGMENT_H

/* Cutting of TSO and USO super-packets into the packets that they stand for, and what cutting and
 * joining (core/coalesce) need to know of IP headers. RFC 791, 8200, 9293, 768, 1071. */

#include "core/packet.h"
#include "wire/ip.h"

enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_ACK = 0x10, TCP_CWR = 0x80 };

/* Where the transport header of an IP packet stands. */
struct transport {
	size_t offset;
	uint8_t version;  /* 4 or 6 */
	uint8_t protocol; /* of the header at offset */
	bool fragment;	  /* only a part of a packet, the first one included */
	bool extended;	  /* IPv4 options or IPv6 extension headers stand before it */
	bool routed;	  /* by a routing header or source route: the pseudo header may have another
			     destination */
};

/* False: no IP packet, cut short, or its length field does not say len. */
bool transport_find(const uint8_t *ip, size_t len, struct transport *ret_transport);
/* All headers up to the payload of TCP or UDP; 0: cut short, malformed or another protocol. */
size_t transport_payload(const uint8_t *ip, size_t len, const struct transport *t);
/* Of the checksum in the header of TCP or UDP, else 0. */
unsigned transport_checksum_offset(uint8_t protocol);
/* The pseudo header's sum for len bytes of transport header and payload, as it stands in the field
 * of a partial checksum: put it there with memcpy(). */
uint16_t transport_pseudo_sum(const uint8_t *ip, const struct transport *t, size_t len);
/* What the checksum field of a right IPv4 header has; put it there with memcpy(). ip's own field is
 * not looked at. */
uint16_t segment_ipv4_checksum(const uint8_t *ip);
/* Works out a partial checksum. False: csum_start or csum_offset points out of the packet. */
bool checksum_finish(uint8_t *ip, size_t len, size_t csum_start, size_t csum_offset);

/* A super-packet about to be cut. */
struct cutter {
	const uint8_t *data;
	size_t header_len;
	size_t payload_len;
	size_t step; /* payload bytes of each segment but the last */
	struct transport transport;
	uint32_t pseudo_sum; /* without the length */
	uint32_t header_sum; /* IPv4: without length, id and checksum */
	uint32_t seq;	     /* TCP */
	uint16_t id;	     /* IPv4 */
	uint8_t flags;	     /* TCP */
};

/* packet must outlive cutter. False: its headers do not agree with its GSO fields. */
bool cutter_init(struct cutter *cutter, const struct packet *packet);
/* Length of the segment whose payload begins at offset. */
size_t cutter_size(const struct cutter *cutter, size_t offset);
/* Writes it to out: a packet with a partial checksum. */
void cutter_write(const struct cutter *cutter, size_t offset, uint8_t *out);

#endif
