#include "wire/gcs.h"

#include "wire/hash.h"
#include "wire/tx.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static_assert(crypto_shorthash_KEYBYTES == GCS_KEY_LEN && crypto_shorthash_BYTES == 8,
	      "SipHash-2-4");

struct bits {
	const uint8_t *data;
	uint64_t at, end; /* in bits, the highest of a byte first */
};

static bool take_bit(struct bits *b, unsigned *ret)
{
	if (b->at >= b->end)
		return false;
	*ret = b->data[b->at / 8] >> (7 - b->at % 8) & 1;
	b->at++;
	return true;
}

/* BIP158: the quotient as ones and a zero, then P bits of remainder. */
static bool take_delta(struct bits *b, uint64_t *ret)
{
	uint64_t quotient = 0, remainder = 0;
	unsigned bit;

	for (;;) {
		if (!take_bit(b, &bit))
			return false;
		if (!bit)
			break;
		quotient++;
	}
	for (unsigned i = 0; i < GCS_P; i++) {
		if (!take_bit(b, &bit))
			return false;
		remainder = remainder << 1 | bit;
	}
	*ret = quotient << GCS_P | remainder;
	return true;
}

bool gcs_open(struct gcs *ret, const struct hash256 *block, const void *data, size_t len)
{
	struct reader r;
	uint64_t count;

	reader_init(&r, data, len);
	count = reader_compact(&r);
	/* an element takes P bits and the end of its quotient */
	if (r.failed || count > reader_left(&r) * 8 / (GCS_P + 1) || count > UINT32_MAX)
		return false;
	memcpy(ret->key, block->bytes, GCS_KEY_LEN);
	ret->count = (uint32_t)count;
	ret->range = count * GCS_M;
	ret->bits = (struct span){.data = r.pos, .len = reader_left(&r)};
	return true;
}

static uint64_t value_of(const uint8_t key[static GCS_KEY_LEN], uint64_t range, struct span script)
{
	uint8_t hash[crypto_shorthash_BYTES];

	crypto_shorthash(hash, script.data, script.len, key);
	return (uint64_t)((unsigned __int128)load_u64(hash) * range >> 64);
}

uint64_t gcs_value(const struct gcs *gcs, struct span script)
{
	return value_of(gcs->key, gcs->range, script);
}

static void sift(uint64_t *heap, size_t at, size_t count)
{
	uint64_t value = heap[at];
	size_t child;

	while ((child = 2 * at + 1) < count) {
		if (child + 1 < count && heap[child + 1] > heap[child])
			child++;
		if (heap[child] <= value)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = value;
}

/* In place, in n log n also for values that somebody chose. */
static void sort(uint64_t *values, size_t count)
{
	uint64_t last;

	for (size_t i = count / 2; i-- > 0;)
		sift(values, i, count);
	for (size_t end = count; end-- > 1;) {
		last = values[end];
		values[end] = values[0];
		values[0] = last;
		sift(values, 0, end);
	}
}

static bool rest_is_padding(struct bits *b)
{
	unsigned bit;

	if (b->end - b->at >= 8)
		return false;
	while (take_bit(b, &bit))
		if (bit)
			return false;
	return true;
}

/* The next value above the last one; false: the filter is malformed. */
static bool take_value(const struct gcs *gcs, struct bits *b, uint64_t *value)
{
	uint64_t delta;

	if (!take_delta(b, &delta) || delta >= gcs->range - *value)
		return false;
	*value += delta;
	return true;
}

enum gcs_verdict gcs_match(const struct gcs *gcs, uint64_t *values, size_t count)
{
	struct bits b = {.data = gcs->bits.data, .end = (uint64_t)gcs->bits.len * 8};
	uint64_t value = 0;
	bool found = false;
	size_t at = 0;

	sort(values, count);
	for (uint32_t i = 0; i < gcs->count; i++) {
		if (!take_value(gcs, &b, &value))
			return GCS_BAD;
		while (at < count && values[at] < value)
			at++;
		found |= at < count && values[at] == value;
	}
	if (!rest_is_padding(&b))
		return GCS_BAD;
	return found ? GCS_MATCH : GCS_NONE;
}

bool gcs_values(const struct gcs *gcs, uint64_t *ret_values)
{
	struct bits b = {.data = gcs->bits.data, .end = (uint64_t)gcs->bits.len * 8};
	uint64_t value = 0;

	for (uint32_t i = 0; i < gcs->count; i++) {
		if (!take_value(gcs, &b, &value))
			return false;
		ret_values[i] = value;
	}
	return rest_is_padding(&b);
}

bool gcs_has_output(struct span script)
{
	return script.len > 0 && script.data[0] != OP_RETURN;
}

struct bit_writer {
	struct writer *w;
	unsigned byte, used;
};

static void put_bit(struct bit_writer *b, unsigned bit)
{
	b->byte = b->byte << 1 | bit;
	if (++b->used < 8)
		return;
	writer_u8(b->w, (uint8_t)b->byte);
	b->byte = b->used = 0;
}

void gcs_write(struct writer *w, const struct hash256 *block, const struct span *scripts,
	       size_t count, uint64_t *values)
{
	struct bit_writer b = {.w = w};
	uint64_t last = 0, delta;

	for (size_t i = 0; i < count; i++)
		values[i] = value_of(block->bytes, (uint64_t)count * GCS_M, scripts[i]);
	sort(values, count);
	writer_compact(w, count);
	for (size_t i = 0; i < count; i++) {
		delta = values[i] - last;
		last = values[i];
		for (uint64_t ones = delta >> GCS_P; ones > 0; ones--)
			put_bit(&b, 1);
		put_bit(&b, 0);
		for (unsigned bit = GCS_P; bit-- > 0;)
			put_bit(&b, delta >> bit & 1);
	}
	while (b.used > 0)
		put_bit(&b, 0);
}

void gcs_hash(const void *data, size_t len, struct hash256 *ret_hash)
{
	hash_sha256d(data, len, ret_hash);
}

void gcs_header(const struct hash256 *filter_hash, const struct hash256 *prev,
		struct hash256 *ret_header)
{
	struct sha256 h;

	sha256_init(&h);
	sha256_update(&h, filter_hash->bytes, HASH_LEN);
	sha256_update(&h, prev->bytes, HASH_LEN);
	sha256_final_double(&h, ret_header);
}
