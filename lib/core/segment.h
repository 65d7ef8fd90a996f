#ifndef CORE_SEGMENT_H
#define CORE_SEGMENT_H

/* Cutting of TSO and USO super-packets into the packets that they stand for, and what joining
 * (core/coalesce) needs besides wire/ip. RFC 791, 8200, 9293, 768, 1071. */

#include "core/packet.h"
#include "wire/ip.h"

enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_ACK = 0x10, TCP_CWR = 0x80 };

/* A packet that fills len; false: ip_parse() refuses it, or its length field does not say len; the
 * view is then not to be used. */
bool segment_parse(const uint8_t *ip, size_t len, struct ip_view *ret_view);
/* Of the checksum in the header of TCP or UDP, else 0. */
unsigned transport_checksum_offset(uint8_t protocol);
/* The pseudo header's sum for len bytes of transport header and payload, as it stands in the field
 * of a partial checksum; host order. */
uint16_t transport_pseudo_sum(const struct ip_view *view, size_t len);
/* Works out a partial checksum. False: csum_start or csum_offset points out of the packet. */
bool checksum_finish(uint8_t *ip, size_t len, size_t csum_start, size_t csum_offset);

/* A super-packet about to be cut. */
struct cutter {
	const uint8_t *data;
	size_t header_len;
	size_t payload_len;
	size_t step; /* payload bytes of each segment but the last */
	struct ip_view view;
	uint32_t pseudo_sum; /* without the length */
	uint64_t header_sum; /* IPv4: without length, id and checksum */
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
