#ifndef WIRE_HEX_H
#define WIRE_HEX_H

/* Hexadecimal text. */

#include "wire/key.h"

enum {
	HASH_TEXT_SIZE = 2 * HASH_LEN + 1,
};

/* Lower case, with the final NUL: ret holds 2 * len + 1 chars. */
void hex_format(const void *data, size_t len, char *ret);
/* Exactly 2 * len digits of either case; ret is untouched when false. */
bool hex_parse(const char *text, void *ret, size_t len);
/* Any even number of digits up to 2 * size. */
bool hex_parse_any(const char *text, void *ret, size_t size, size_t *ret_len);
/* Hashes and txids as chain nodes show them: reversed. */
void hash_format(const struct hash256 *hash, char ret[HASH_TEXT_SIZE]);
bool hash_parse(const char *text, struct hash256 *ret);

#endif
