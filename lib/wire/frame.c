#include "wire/frame.h"

#include <assert.h>
#include <string.h>

static_assert(FRAME_MAX == 1 + PUBKEY_LEN + 2 + FRAME_INTRODUCED_MAX * FRAME_ENDPOINT_LEN,
	      "INTRODUCTION, PROTOCOL 5");

/* RECORDS 1.5: A public key of 33 bytes begins with 02 or 03, and is otherwise malformed. */
void frame_read_key(struct reader *r, struct node_key *ret)
{
	reader_copy(r, ret->bytes, PUBKEY_LEN);
	if ((ret->bytes[0] | 1) != 3)
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
	default:
		w->failed = true;
	}
}
