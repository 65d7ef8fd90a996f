#include "wire/frame.h"

#include <assert.h>
#include <string.h>

static_assert(FRAME_MAX == 1 + PUBKEY_LEN + 2 + FRAME_INTRODUCED_MAX * FRAME_ENDPOINT_LEN,
	      "INTRODUCTION, PROTOCOL 5");
static_assert(FRAME_OFFER_MAX <= 1200 && FRAME_STATEMENT_MAX <= 1200, "they fit any path");

enum { OFFER_PART_AT = 1 + FRAME_DIGEST_LEN + 2 };

void frame_read_key(struct reader *r, struct node_key *ret)
{
	reader_copy(r, ret->bytes, PUBKEY_LEN);
	if (!node_key_well_formed(ret))
		r->failed = true;
}

void frame_read_endpoint(struct reader *r, struct endpoint *ret)
{
	static const uint8_t zeros[16];
	uint8_t family = reader_u8(r), bytes[16];
	uint16_t port;
	size_t used = family == ADDR_V6 ? 16 : family == ADDR_V4 ? 4 : 0;

	reader_copy(r, bytes, sizeof(bytes));
	port = reader_u16(r);
	if (memcmp(bytes + used, zeros, sizeof(bytes) - used) || (family && !used) ||
	    (!family && port))
		r->failed = true;
	memset(ret, 0, sizeof(*ret));
	if (r->failed)
		return;
	ret->addr.family = family;
	memcpy(ret->addr.bytes, bytes, sizeof(bytes));
	ret->port = port;
}

void frame_write_endpoint(struct writer *w, const struct endpoint *e)
{
	size_t used = address_bits(&e->addr) / 8;

	writer_u8(w, used ? e->addr.family : ADDR_NONE);
	writer_copy(w, e->addr.bytes, used);
	writer_zero(w, 16 - used);
	writer_u16(w, used ? e->port : 0);
}

/* PROTOCOL 5.5: An endpoint in a list is never unknown, and its port is not 0. */
static bool usable(const struct endpoint *e)
{
	return e->addr.family != ADDR_NONE && e->port;
}

void frame_read_endpoints(struct reader *r, unsigned max, struct frame_endpoints *ret)
{
	uint8_t count = reader_u8(r);

	memset(ret, 0, sizeof(*ret));
	if (count > max)
		r->failed = true;
	for (unsigned i = 0; i < count && !r->failed; i++) {
		frame_read_endpoint(r, &ret->list[i]);
		if (!usable(&ret->list[i]))
			r->failed = true;
	}
	ret->count = r->failed ? 0 : count;
}

void frame_write_endpoints(struct writer *w, unsigned max, const struct frame_endpoints *list)
{
	if (list->count > max)
		w->failed = true;
	writer_u8(w, list->count);
	for (unsigned i = 0; i < list->count && !w->failed; i++) {
		if (!usable(&list->list[i]))
			w->failed = true;
		frame_write_endpoint(w, &list->list[i]);
	}
}

/* PROTOCOL 9.3: index is below count, count is 1 to 4, … */
static void read_offer(struct reader *r, struct frame_offer *ret)
{
	reader_copy(r, ret->digest, FRAME_DIGEST_LEN);
	ret->index = reader_u8(r);
	ret->count = reader_u8(r);
	ret->backend = reader_u8(r);
	ret->port = reader_u16(r);
	frame_read_endpoints(r, FRAME_CANDIDATES_MAX, &ret->endpoints);
	ret->statement.len = reader_u16(r);
	ret->statement.data = reader_bytes(r, ret->statement.len);
	if (ret->count > FRAME_OFFERS || ret->index >= ret->count || !ret->backend ||
	    ret->statement.len > STATEMENT_MAX)
		r->failed = true;
}

static void write_offer(struct writer *w, const struct frame_offer *o)
{
	if (o->count > FRAME_OFFERS || o->index >= o->count || !o->backend ||
	    o->statement.len > STATEMENT_MAX)
		w->failed = true;
	writer_copy(w, o->digest, FRAME_DIGEST_LEN);
	writer_u8(w, o->index);
	writer_u8(w, o->count);
	writer_u8(w, o->backend);
	writer_u16(w, o->port);
	frame_write_endpoints(w, FRAME_CANDIDATES_MAX, &o->endpoints);
	writer_u16(w, (uint16_t)o->statement.len);
	writer_copy(w, o->statement.data, o->statement.len);
}

struct span frame_offer_part(const void *data, size_t len)
{
	assert(len > OFFER_PART_AT);
	return (struct span){(const uint8_t *)data + OFFER_PART_AT, len - OFFER_PART_AT};
}

static void read_carry(struct reader *r, struct frame_carry *ret)
{
	ret->backend = reader_u8(r);
	ret->datagram.len = reader_left(r);
	ret->datagram.data = reader_bytes(r, ret->datagram.len);
	if (!ret->backend || !ret->datagram.len || ret->datagram.len > FRAME_CARRY_MAX)
		r->failed = true;
}

static void write_carry(struct writer *w, const struct frame_carry *c)
{
	if (!c->backend || !c->datagram.len || c->datagram.len > FRAME_CARRY_MAX)
		w->failed = true;
	writer_u8(w, c->backend);
	writer_copy(w, c->datagram.data, c->datagram.len);
}

bool frame_parse(const void *data, size_t len, struct frame *ret)
{
	struct frame frame = {0};
	struct reader r;

	reader_init(&r, data, len);
	frame.type = reader_u8(&r);
	switch (frame.type) {
	case FRAME_PING:
		frame.ping.id = reader_u64(&r);
		break;
	case FRAME_PONG:
		frame.ping.id = reader_u64(&r);
		frame_read_endpoint(&r, &frame.ping.observed);
		break;
	case FRAME_CANDIDATES:
		frame_read_endpoints(&r, FRAME_CANDIDATES_MAX, &frame.candidates);
		break;
	case FRAME_BYE:
		frame.bye = reader_u8(&r);
		if (frame.bye < BYE_SHUTDOWN || frame.bye > BYE_MOVED)
			return false;
		break;
	case FRAME_OFFER:
		read_offer(&r, &frame.offer);
		break;
	case FRAME_OFFER_ACK:
		reader_copy(&r, frame.offer_ack, FRAME_DIGEST_LEN);
		break;
	case FRAME_CARRY:
		read_carry(&r, &frame.carry);
		break;
	default:
		return false;
	}
	if (!reader_done(&r))
		return false;
	*ret = frame;
	return true;
}

void frame_write(struct writer *w, const struct frame *frame)
{
	writer_u8(w, frame->type);
	switch (frame->type) {
	case FRAME_PING:
		writer_u64(w, frame->ping.id);
		break;
	case FRAME_PONG:
		writer_u64(w, frame->ping.id);
		frame_write_endpoint(w, &frame->ping.observed);
		break;
	case FRAME_CANDIDATES:
		frame_write_endpoints(w, FRAME_CANDIDATES_MAX, &frame->candidates);
		break;
	case FRAME_BYE:
		writer_u8(w, frame->bye);
		break;
	case FRAME_OFFER:
		write_offer(w, &frame->offer);
		break;
	case FRAME_OFFER_ACK:
		writer_copy(w, frame->offer_ack, FRAME_DIGEST_LEN);
		break;
	case FRAME_CARRY:
		write_carry(w, &frame->carry);
		break;
	default:
		w->failed = true;
	}
}
