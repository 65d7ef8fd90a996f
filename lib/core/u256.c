#include "core/u256.h"

#include "wire/buf.h"

#include <assert.h>
#include <string.h>

enum { WORDS = 4, BITS = 256 };

struct u256 u256_from(uint64_t v)
{
	return (struct u256){{v}};
}

struct u256 u256_from_hash(const struct hash256 *hash)
{
	struct u256 ret;

	for (size_t i = 0; i < WORDS; i++)
		ret.w[i] = load_u64(hash->bytes + 8 * i);
	return ret;
}

int u256_compare(const struct u256 *a, const struct u256 *b)
{
	for (size_t i = WORDS; i-- > 0;)
		if (a->w[i] != b->w[i])
			return a->w[i] < b->w[i] ? -1 : 1;
	return 0;
}

bool u256_is_zero(const struct u256 *a)
{
	return !(a->w[0] | a->w[1] | a->w[2] | a->w[3]);
}

unsigned u256_bits(const struct u256 *a)
{
	for (unsigned i = WORDS; i-- > 0;)
		if (a->w[i])
			return 64 * i + 64 - (unsigned)__builtin_clzll(a->w[i]);
	return 0;
}

struct u256 u256_add(const struct u256 *a, const struct u256 *b)
{
	unsigned __int128 sum = 0;
	struct u256 ret;

	for (size_t i = 0; i < WORDS; i++) {
		sum += (unsigned __int128)a->w[i] + b->w[i];
		ret.w[i] = (uint64_t)sum;
		sum >>= 64;
	}
	return ret;
}

struct u256 u256_sub(const struct u256 *a, const struct u256 *b)
{
	struct u256 ret;
	uint64_t borrow = 0;

	for (size_t i = 0; i < WORDS; i++) {
		uint64_t less = a->w[i] - b->w[i];
		uint64_t next = a->w[i] < b->w[i] || less < borrow;

		ret.w[i] = less - borrow;
		borrow = next;
	}
	return ret;
}

struct u256 u256_shift_left(const struct u256 *a, unsigned bits)
{
	struct u256 ret = {{0}};
	unsigned words = bits / 64, rest = bits % 64;

	for (unsigned i = words; i < WORDS; i++) {
		ret.w[i] = a->w[i - words] << rest;
		if (rest && i > words)
			ret.w[i] |= a->w[i - words - 1] >> (64 - rest);
	}
	return ret;
}

struct u256 u256_shift_right(const struct u256 *a, unsigned bits)
{
	struct u256 ret = {{0}};
	unsigned words = bits / 64, rest = bits % 64;

	for (unsigned i = 0; i + words < WORDS; i++) {
		ret.w[i] = a->w[i + words] >> rest;
		if (rest && i + words + 1 < WORDS)
			ret.w[i] |= a->w[i + words + 1] << (64 - rest);
	}
	return ret;
}

struct u256 u256_mul32(const struct u256 *a, uint32_t b)
{
	unsigned __int128 product = 0;
	struct u256 ret;

	for (size_t i = 0; i < WORDS; i++) {
		product += (unsigned __int128)a->w[i] * b;
		ret.w[i] = (uint64_t)product;
		product >>= 64;
	}
	return ret;
}

/* Bit by bit: once for a change of difficulty, not for each header. */
struct u256 u256_div(const struct u256 *a, const struct u256 *b)
{
	struct u256 left = *a, ret = {{0}}, part;
	unsigned a_bits = u256_bits(a), b_bits = u256_bits(b);

	assert(b_bits);
	if (a_bits < b_bits)
		return ret;
	for (unsigned shift = a_bits - b_bits + 1; shift-- > 0;) {
		part = u256_shift_left(b, shift);
		if (u256_compare(&left, &part) < 0)
			continue;
		left = u256_sub(&left, &part);
		ret.w[shift / 64] |= (uint64_t)1 << shift % 64;
	}
	return ret;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool u256_parse(const char *text, struct u256 *ret)
{
	struct u256 v = {{0}};
	size_t len = strlen(text);

	if (!len || len > BITS / 4)
		return false;
	for (size_t i = 0; i < len; i++) {
		int d = digit(text[i]);

		if (d < 0)
			return false;
		v = u256_shift_left(&v, 4);
		v.w[0] |= (uint64_t)d;
	}
	*ret = v;
	return true;
}

char *u256_format(const struct u256 *a, char text[static U256_TEXT_SIZE])
{
	for (unsigned i = 0; i < BITS / 4; i++)
		text[BITS / 4 - 1 - i] = "0123456789abcdef"[a->w[i / 16] >> 4 * (i % 16) & 15];
	text[BITS / 4] = 0;
	return text;
}

bool u256_from_compact(uint32_t bits, struct u256 *ret)
{
	unsigned size = bits >> 24;
	struct u256 v = u256_from(bits & 0x7fffff);

	if (size <= 3)
		v = u256_shift_right(&v, 8 * (3 - size));
	if (u256_is_zero(&v) || bits & 0x800000)
		return false;
	if (size > 3) {
		if (u256_bits(&v) + 8 * (size - 3) > BITS)
			return false;
		v = u256_shift_left(&v, 8 * (size - 3));
	}
	*ret = v;
	return true;
}

uint32_t u256_to_compact(const struct u256 *a)
{
	uint32_t size = (u256_bits(a) + 7) / 8;
	struct u256 v;

	v = size <= 3 ? u256_shift_left(a, 8 * (3 - size)) : u256_shift_right(a, 8 * (size - 3));
	/* The highest bit of the three bytes is a sign. */
	if (v.w[0] & 0x800000) {
		v.w[0] >>= 8;
		size++;
	}
	return (uint32_t)v.w[0] | size << 24;
}

struct u256 u256_work(const struct u256 *target)
{
	const struct u256 one = u256_from(1);
	struct u256 inverse, next = u256_add(target, &one);

	/* 2^256 does not fit: 2^256 / (t + 1) = (2^256 - 1 - t) / (t + 1) + 1 */
	if (u256_is_zero(&next))
		return one;
	for (size_t i = 0; i < WORDS; i++)
		inverse.w[i] = ~target->w[i];
	inverse = u256_div(&inverse, &next);
	return u256_add(&inverse, &one);
}
