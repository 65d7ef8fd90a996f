#include "wire/buf.h"

#include <assert.h>
#include <string.h>

void reader_init(struct reader *r, const void *data, size_t len)
{
	assert(data || !len);
	r->pos = data;
	r->end = r->pos + len;
	r->failed = false;
}

size_t reader_left(const struct reader *r)
{
	return r->failed ? 0 : (size_t)(r->end - r->pos);
}

bool reader_done(const struct reader *r)
{
	return !r->failed && r->pos == r->end;
}

const uint8_t *reader_bytes(struct reader *r, size_t len)
{
	const uint8_t *bytes = r->pos;

	if (r->failed || len > (size_t)(r->end - r->pos)) {
		r->failed = true;
		return NULL;
	}
	r->pos += len;
	return bytes;
}

void reader_copy(struct reader *r, void *dst, size_t len)
{
	const uint8_t *bytes = reader_bytes(r, len);

	if (bytes && len)
		memcpy(dst, bytes, len);
	else if (len)
		memset(dst, 0, len);
}

uint8_t reader_u8(struct reader *r)
{
	const uint8_t *bytes = reader_bytes(r, 1);

	return bytes ? *bytes : 0;
}

uint16_t reader_u16(struct reader *r)
{
	const uint8_t *bytes = reader_bytes(r, 2);

	return bytes ? load_u16(bytes) : 0;
}

uint32_t reader_u32(struct reader *r)
{
	const uint8_t *bytes = reader_bytes(r, 4);

	return bytes ? load_u32(bytes) : 0;
}

uint64_t reader_u64(struct reader *r)
{
	const uint8_t *bytes = reader_bytes(r, 8);

	return bytes ? load_u64(bytes) : 0;
}

uint16_t reader_u16be(struct reader *r)
{
	const uint8_t *bytes = reader_bytes(r, 2);

	return bytes ? load_u16be(bytes) : 0;
}

uint32_t reader_u32be(struct reader *r)
{
	const uint8_t *bytes = reader_bytes(r, 4);

	return bytes ? load_u32be(bytes) : 0;
}

uint64_t reader_compact(struct reader *r)
{
	uint8_t first = reader_u8(r);
	uint64_t value = first, least = 0;

	if (first == 0xfd) {
		value = reader_u16(r);
		least = 0xfd;
	} else if (first == 0xfe) {
		value = reader_u32(r);
		least = 0x10000;
	} else if (first == 0xff) {
		value = reader_u64(r);
		least = 0x100000000;
	}
	if (value < least)
		r->failed = true;
	return r->failed ? 0 : value;
}

void writer_init(struct writer *w, void *data, size_t size)
{
	assert(data || !size);
	w->start = w->pos = data;
	w->end = w->start + size;
	w->failed = false;
}

size_t writer_len(const struct writer *w)
{
	return (size_t)(w->pos - w->start);
}

/* Room for len bytes, or NULL. */
static uint8_t *take(struct writer *w, size_t len)
{
	uint8_t *room = w->pos;

	if (w->failed || len > (size_t)(w->end - w->pos)) {
		w->failed = true;
		return NULL;
	}
	w->pos += len;
	return room;
}

void writer_copy(struct writer *w, const void *src, size_t len)
{
	uint8_t *room = take(w, len);

	if (room && len)
		memcpy(room, src, len);
}

void writer_zero(struct writer *w, size_t len)
{
	uint8_t *room = take(w, len);

	if (room && len)
		memset(room, 0, len);
}

void writer_u8(struct writer *w, uint8_t v)
{
	writer_copy(w, &v, 1);
}

void writer_u16(struct writer *w, uint16_t v)
{
	uint8_t *room = take(w, 2);

	if (room)
		store_u16(room, v);
}

void writer_u32(struct writer *w, uint32_t v)
{
	uint8_t *room = take(w, 4);

	if (room)
		store_u32(room, v);
}

void writer_u64(struct writer *w, uint64_t v)
{
	uint8_t *room = take(w, 8);

	if (room)
		store_u64(room, v);
}

void writer_u16be(struct writer *w, uint16_t v)
{
	uint8_t *room = take(w, 2);

	if (room)
		store_u16be(room, v);
}

void writer_u32be(struct writer *w, uint32_t v)
{
	uint8_t *room = take(w, 4);

	if (room)
		store_u32be(room, v);
}

void writer_compact(struct writer *w, uint64_t v)
{
	if (v < 0xfd) {
		writer_u8(w, (uint8_t)v);
	} else if (v <= 0xffff) {
		writer_u8(w, 0xfd);
		writer_u16(w, (uint16_t)v);
	} else if (v <= 0xffffffff) {
		writer_u8(w, 0xfe);
		writer_u32(w, (uint32_t)v);
	} else {
		writer_u8(w, 0xff);
		writer_u64(w, v);
	}
}
