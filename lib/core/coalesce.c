#include "core/coalesce.h"

#include "core/segment.h"
#include "wire/buf.h"

#include <string.h>

/* The kernel takes no more segments of UDP in one packet (UDP_MAX_SEGMENTS of older ones). */
enum { UDP_SEGMENTS_MAX = 64, IP_LEN_MAX = 65535 };

enum { IPV4_DF = 0x4000 };

/* One packet, looked at. */
struct piece {
	uint8_t *ip;
	size_t len;
	struct ip_view view; /* version 0: malformed */
	size_t header_len;   /* 0: not TCP or UDP, or a fragment */
	bool joinable;
};

void coalesce_init(struct coalescer *c, uint8_t *bytes)
{
	memset(c, 0, sizeof(*c));
	c->bytes = bytes;
}

static enum gso_type gso_kind(uint8_t version, bool udp)
{
	return udp ? GSO_UDP : version == 4 ? GSO_TCP4 : GSO_TCP6;
}

/* Can this packet be a part of a super-packet at all? */
static bool joinable(const struct piece *p, unsigned usable_gso)
{
	const uint8_t *ip = p->ip, *header = ip + p->view.upper;
	bool udp = p->view.protocol == IP_PROTO_UDP;

	if (p->view.upper != (p->view.version == 4 ? IPV4_HEADER_MIN : IPV6_HEADER_LEN) ||
	    p->header_len == p->len || !(usable_gso & 1u << gso_kind(p->view.version, udp)))
		return false;
	if (p->view.version == 4) {
		/* Joining works the header's checksum out anew, and must not mend a wrong one. */
		if (ipv4_header_checksum(ip, IPV4_HEADER_MIN) != load_u16be(ip + 10) ||
		    (load_u16be(ip + 6) & ~IPV4_DF))
			return false;
	}
	if (udp)
		return load_u16be(header + 4) == p->len - p->view.upper;
	/* Anything but data of an established connection has a meaning of its own. */
	return (header[13] & ~TCP_PSH) == TCP_ACK && !(header[12] & 15);
}

static bool same_flow(const struct coalescer *c, const struct piece *p)
{
	const uint8_t *held = c->bytes + COALESCE_HEADROOM;
	size_t at = p->view.version == 4 ? 12 : 8, len = p->view.version == 4 ? 8 : 32;

	/* What has no ports may belong to anything between the same addresses. */
	if (held[0] >> 4 != p->view.version || memcmp(held + at, p->ip + at, len))
		return false;
	return !p->header_len || ((p->view.protocol == IP_PROTO_UDP) == c->udp &&
				  !memcmp(held + c->ip_len, p->ip + p->view.upper, 4));
}

static bool same_ip_header(const struct coalescer *c, const struct piece *p)
{
	const uint8_t *held = c->bytes + COALESCE_HEADROOM, *ip = p->ip;
	uint16_t id, first;

	if (p->view.version == 6)
		/* All but the length. */
		return !memcmp(held, ip, 4) && !memcmp(held + 6, ip + 6, 34);
	if (memcmp(held, ip, 2) || memcmp(held + 6, ip + 6, 4) || memcmp(held + 12, ip + 12, 8))
		return false;
	/* RFC 6864: the id of a packet that may not be fragmented means nothing; senders count or
	 * leave it. */
	id = load_u16be(ip + 4);
	first = load_u16be(held + 4);
	return id == (uint16_t)(first + c->count) ||
	       ((load_u16be(ip + 6) & IPV4_DF) && id == first);
}

static bool same_transport_header(const struct coalescer *c, const struct piece *p)
{
	const uint8_t *a = c->bytes + COALESCE_HEADROOM + c->ip_len, *b = p->ip + c->ip_len;

	if (memcmp(a, b, 4))
		return false;
	if (c->udp)
		return c->count < UDP_SEGMENTS_MAX;
	/* Sequence; acknowledgement; offset; window; urgent pointer and options. */
	return load_u32be(b + 4) == c->next_seq && !memcmp(a + 8, b + 8, 4) && a[12] == b[12] &&
	       !memcmp(a + 14, b + 14, 2) &&
	       !memcmp(a + 18, b + 18, c->header_len - c->ip_len - 18);
}

static bool joins(const struct coalescer *c, const struct piece *p)
{
	size_t payload = p->len - p->header_len;

	return c->len && !c->closed && c->header_len == p->header_len &&
	       c->ip_len == p->view.upper && c->udp == (p->view.protocol == IP_PROTO_UDP) &&
	       payload <= c->gso_size && c->len + payload <= IP_LEN_MAX &&
	       c->bytes[COALESCE_HEADROOM] == p->ip[0] && same_ip_header(c, p) &&
	       same_transport_header(c, p);
}

/* Nothing follows a shorter one, nor one that says: push. */
static void note(struct coalescer *c, const struct piece *p)
{
	bool push = !c->udp && (p->ip[p->view.upper + 13] & TCP_PSH);
	size_t payload = p->len - p->header_len;

	c->next_seq += (uint32_t)payload;
	c->closed = payload < c->gso_size || push;
	c->count++;
}

static void join(struct coalescer *c, const struct piece *p)
{
	uint8_t *held = c->bytes + COALESCE_HEADROOM;
	size_t payload = p->len - p->header_len;

	memcpy(held + c->len, p->ip + p->header_len, payload);
	c->len += payload;
	if (!c->udp)
		held[c->ip_len + 13] |= p->ip[c->ip_len + 13] & TCP_PSH;
	note(c, p);
}

static void start(struct coalescer *c, const struct piece *p)
{
	memcpy(c->bytes + COALESCE_HEADROOM, p->ip, p->len);
	c->len = p->len;
	c->header_len = p->header_len;
	c->ip_len = p->view.upper;
	c->gso_size = (uint16_t)(p->len - p->header_len);
	c->udp = p->view.protocol == IP_PROTO_UDP;
	c->next_seq = load_u32be(p->ip + c->ip_len + 4);
	c->count = 0;
	note(c, p);
}

/* The fields that say how long it is, after joining. */
static void finish(struct coalescer *c)
{
	uint8_t *ip = c->bytes + COALESCE_HEADROOM;
	struct ip_view view = {
		.version = ip[0] >> 4,
		.addr_len = ip[0] >> 4 == 4 ? 4 : 16,
		.src = ip + (ip[0] >> 4 == 4 ? 12 : 8),
		.dst = ip + (ip[0] >> 4 == 4 ? 16 : 24),
		.protocol = c->udp ? IP_PROTO_UDP : IP_PROTO_TCP,
	};
	size_t len = c->len - c->ip_len;

	store_u16be(ip + c->ip_len + transport_checksum_offset(view.protocol),
		    transport_pseudo_sum(&view, len));
	if (c->udp)
		store_u16be(ip + c->ip_len + 4, (uint16_t)len);
	if (view.version == 4) {
		store_u16be(ip + 2, (uint16_t)c->len);
		store_u16be(ip + 10, ipv4_header_checksum(ip, c->ip_len));
	} else {
		store_u16be(ip + 4, (uint16_t)len);
	}
}

void coalesce_flush(struct coalescer *c, coalesce_deliver *deliver, void *ctx)
{
	struct packet packet = {
		.data = c->bytes + COALESCE_HEADROOM,
		.len = c->len,
		.partial_checksum = true,
		.csum_start = (uint16_t)c->ip_len,
	};

	if (!c->len)
		return;
	packet.csum_offset =
		(uint16_t)transport_checksum_offset(c->udp ? IP_PROTO_UDP : IP_PROTO_TCP);
	if (c->count > 1) {
		finish(c);
		packet.gso = gso_kind(packet.data[0] >> 4, c->udp);
		packet.gso_size = c->gso_size;
	}
	c->len = 0;
	deliver(ctx, &packet);
}

/* Fills piece; false: refused. */
static bool look(struct piece *p, uint8_t *bytes, size_t len, bool partial, unsigned usable_gso)
{
	p->ip = bytes;
	p->len = len;
	p->header_len = 0;
	p->joinable = false;
	if (!segment_parse(bytes, len, &p->view)) {
		p->view.version = 0;
		return !partial;
	}
	if (p->view.has_ports && !p->view.fragment)
		p->header_len = p->view.payload;
	if (!partial)
		return true;
	if (!p->header_len)
		return false;
	if (!p->view.routed)
		store_u16be(bytes + p->view.upper + transport_checksum_offset(p->view.protocol),
			    transport_pseudo_sum(&p->view, len - p->view.upper));
	p->joinable = joinable(p, usable_gso);
	return true;
}

bool coalesce_add(struct coalescer *c, uint8_t *bytes, size_t len, bool partial,
		  unsigned usable_gso, coalesce_deliver *deliver, void *ctx)
{
	struct packet packet = {.data = bytes, .len = len, .partial_checksum = partial};
	struct piece p;

	if (!look(&p, bytes, len, partial, usable_gso))
		return false;
	if (p.joinable && joins(c, &p)) {
		join(c, &p);
		return true;
	}
	/* Packets of one flow stay in order; what is of another may pass by. */
	if (c->len && (p.joinable || !p.view.version || same_flow(c, &p)))
		coalesce_flush(c, deliver, ctx);
	if (p.joinable) {
		start(c, &p);
		return true;
	}
	if (partial) {
		packet.csum_start = (uint16_t)p.view.upper;
		packet.csum_offset = (uint16_t)transport_checksum_offset(p.view.protocol);
	}
	deliver(ctx, &packet);
	return true;
}
