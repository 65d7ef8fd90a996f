#ifndef CORE_U256_H
#define CORE_U256_H

/* Unsigned numbers of 256 bits: targets, and the work of chains. Arithmetic is modulo 2^256. */

#include "wire/key.h"

#include <stdbool.h>
#include <stdint.h>

struct u256 {
	uint64_t w[4]; /* least significant first */
};

enum { U256_TEXT_SIZE = 65 };

struct u256 u256_from(uint64_t v);
/* A hash as its chain reads it: least significant byte first. */
struct u256 u256_from_hash(const struct hash256 *hash);
int u256_compare(const struct u256 *a, const struct u256 *b);
bool u256_is_zero(const struct u256 *a);
/* Number of bits without leading zeros; 0 for 0. */
unsigned u256_bits(const struct u256 *a);
struct u256 u256_add(const struct u256 *a, const struct u256 *b);
struct u256 u256_sub(const struct u256 *a, const struct u256 *b);
struct u256 u256_shift_left(const struct u256 *a, unsigned bits);
struct u256 u256_shift_right(const struct u256 *a, unsigned bits);
struct u256 u256_mul32(const struct u256 *a, uint32_t b);
/* b is not 0. */
struct u256 u256_div(const struct u256 *a, const struct u256 *b);
/* 1 to 64 hex digits, most significant first; false leaves ret untouched. */
bool u256_parse(const char *text, struct u256 *ret);
/* 64 hex digits. */
char *u256_format(const struct u256 *a, char text[static U256_TEXT_SIZE]);

/* The compact form of a target in a header: a floating-point number with base 256. False: negative,
 * zero, or it does not fit (ret is untouched). */
bool u256_from_compact(uint32_t bits, struct u256 *ret);
/* The largest compact number that is not above a. */
uint32_t u256_to_compact(const struct u256 *a);
/* Tries that a hash not above the target takes: floor(2^256 / (target + 1)). */
struct u256 u256_work(const struct u256 *target);

#endif
