#ifndef WIRE_BUF_H
#define WIRE_BUF_H

/* Reading and writing cursors over memory of the caller. An error sticks: read or write the whole
 * message, then ask once. All integers are little-endian unless the name says be. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of somebody else; borrowed. */
struct span {
	const uint8_t *data;
	size_t len;
};

struct reader {
	const uint8_t *pos;
	const uint8_t *end;
	bool failed; /* something was asked for that is not there; all later reads give zeros */
};

struct writer {
	uint8_t *start;
	uint8_t *pos;
	uint8_t *end;
	bool failed; /* it did not fit; nothing was written past the end */
};

void reader_init(struct reader *r, const void *data, size_t len);
size_t reader_left(const struct reader *r);
/* No error so far, and every byte was read. */
bool reader_done(const struct reader *r);
/* The next len bytes, borrowed from the message; NULL (and failed) when there are fewer. */
const uint8_t *reader_bytes(struct reader *r, size_t len);
/* Copies len bytes to dst; zeros when there are fewer. */
void reader_copy(struct reader *r, void *dst, size_t len);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint16_t reader_u16be(struct reader *r);
uint32_t reader_u32be(struct reader *r);
/* Bitcoin's CompactSize; refuses forms longer than needed. */
uint64_t reader_compact(struct reader *r);

void writer_init(struct writer *w, void *data, size_t size);
size_t writer_len(const struct writer *w);
void writer_copy(struct writer *w, const void *src, size_t len);
void writer_zero(struct writer *w, size_t len);
void writer_u8(struct writer *w, uint8_t v);
void writer_u16(struct writer *w, uint16_t v);
void writer_u32(struct writer *w, uint32_t v);
void writer_u64(struct writer *w, uint64_t v);
void writer_u16be(struct writer *w, uint16_t v);
void writer_u32be(struct writer *w, uint32_t v);
void writer_compact(struct writer *w, uint64_t v);

static inline uint16_t load_u16(const void *p)
{
	const uint8_t *b = p;
	return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t load_u32(const void *p)
{
	const uint8_t *b = p;
	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t load_u64(const void *p)
{
	return load_u32(p) | (uint64_t)load_u32((const uint8_t *)p + 4) << 32;
}

static inline uint16_t load_u16be(const void *p)
{
	const uint8_t *b = p;
	return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t load_u32be(const void *p)
{
	return (uint32_t)load_u16be(p) << 16 | load_u16be((const uint8_t *)p + 2);
}

static inline void store_u16(void *p, uint16_t v)
{
	uint8_t *b = p;
	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
}

static inline void store_u32(void *p, uint32_t v)
{
	store_u16(p, (uint16_t)v);
	store_u16((uint8_t *)p + 2, (uint16_t)(v >> 16));
}

static inline void store_u64(void *p, uint64_t v)
{
	store_u32(p, (uint32_t)v);
	store_u32((uint8_t *)p + 4, (uint32_t)(v >> 32));
}

static inline void store_u16be(void *p, uint16_t v)
{
	uint8_t *b = p;
	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

static inline void store_u32be(void *p, uint32_t v)
{
	store_u16be(p, (uint16_t)(v >> 16));
	store_u16be((uint8_t *)p + 2, (uint16_t)v);
}

#endif
