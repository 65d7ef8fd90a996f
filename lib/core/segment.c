#include "core/segment.h"

#include "wire/buf.h"

#include <assert.h>
#include <string.h>

enum { TCP_CHECKSUM = 16, UDP_CHECKSUM = 6 };

bool segment_parse(const uint8_t *ip, size_t len, struct ip_view *ret_view)
{
	return len <= UINT16_MAX && ip_parse(ip, len, ret_view) == IP_OK &&
	       ret_view->total_len == len;
}

unsigned transport_checksum_offset(uint8_t protocol)
{
	return protocol == IP_PROTO_TCP	  ? TCP_CHECKSUM
	       : protocol == IP_PROTO_UDP ? UDP_CHECKSUM
					  : 0;
}

uint16_t transport_pseudo_sum(const struct ip_view *view, size_t len)
{
	return (uint16_t)~checksum_fold(checksum_pseudo(view, view->protocol, (uint32_t)len));
}

bool checksum_finish(uint8_t *ip, size_t len, size_t csum_start, size_t csum_offset)
{
	uint16_t checksum;

	if (csum_start > len || len - csum_start < sizeof(checksum) ||
	    csum_offset > len - csum_start - sizeof(checksum))
		return false;
	/* The field holds the pseudo header's sum and is summed with the rest. */
	checksum = checksum_fold(checksum_add(0, ip + csum_start, len - csum_start));
	/* RFC 768: "If the computed checksum is zero, it is transmitted as all ones"; to TCP both
	 * are the same. */
	store_u16be(ip + csum_start + csum_offset, checksum ? checksum : UINT16_MAX);
	return true;
}

static bool gso_fits(const struct packet *packet, const struct ip_view *v)
{
	switch (packet->gso) {
	case GSO_TCP4:
		return v->version == 4 && v->protocol == IP_PROTO_TCP;
	case GSO_TCP6:
		return v->version == 6 && v->protocol == IP_PROTO_TCP;
	case GSO_UDP:
		return v->protocol == IP_PROTO_UDP;
	case GSO_NONE:
		return false;
	}
	return false;
}

bool cutter_init(struct cutter *cutter, const struct packet *packet)
{
	const uint8_t *ip = packet->data;
	struct cutter c = {.data = ip, .step = packet->gso_size};
	struct ip_view *v = &c.view;

	if (!packet->gso_size || !segment_parse(ip, packet->len, v) || v->fragment || v->routed ||
	    !gso_fits(packet, v))
		return false;
	if (!packet->partial_checksum || packet->csum_start != v->upper ||
	    packet->csum_offset != transport_checksum_offset(v->protocol))
		return false;
	c.header_len = v->payload;
	if (c.header_len == packet->len)
		return false;
	c.payload_len = packet->len - c.header_len;
	c.pseudo_sum = transport_pseudo_sum(v, 0);
	if (v->version == 4) {
		c.id = load_u16be(ip + 4);
		c.header_sum = checksum_add(0, ip, 2) + checksum_add(0, ip + 6, 4) +
			       checksum_add(0, ip + 12, v->upper - 12u);
	}
	if (v->protocol == IP_PROTO_TCP) {
		c.seq = load_u32be(ip + v->upper + 4);
		c.flags = ip[v->upper + 13];
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

void cutter_write(const struct cutter *cutter, size_t offset, uint8_t *out)
{
	const struct ip_view *v = &cutter->view;
	size_t size = cutter_size(cutter, offset), payload = size - cutter->header_len;
	uint16_t transport_len = (uint16_t)(size - v->upper), id;
	uint8_t *header = out + v->upper;

	memcpy(out, cutter->data, cutter->header_len);
	memcpy(out + cutter->header_len, cutter->data + cutter->header_len + offset, payload);
	if (v->version == 4) {
		id = (uint16_t)(cutter->id + offset / cutter->step);
		store_u16be(out + 2, (uint16_t)size);
		store_u16be(out + 4, id);
		store_u16be(out + 10, checksum_fold(cutter->header_sum + size + id));
	} else {
		store_u16be(out + 4, (uint16_t)(size - IPV6_HEADER_LEN));
	}
	store_u16be(header + transport_checksum_offset(v->protocol),
		    (uint16_t)~checksum_fold((uint64_t)cutter->pseudo_sum + transport_len));
	if (v->protocol == IP_PROTO_UDP) {
		store_u16be(header + 4, transport_len);
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
