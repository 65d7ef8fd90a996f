#ifndef WIRE_BASE58_H
#define WIRE_BASE58_H

/* Base58Check: version and payload with the first 4 bytes of their sha256d, in base 58. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BASE58CHECK_MAX = 128,	     /* bytes before the checksum */
	BASE58CHECK_TEXT_SIZE = 184, /* chars for BASE58CHECK_MAX bytes, with the NUL */
};

/* data: version byte(s) and payload. False when it is longer than BASE58CHECK_MAX or the text does
 * not fit size. */
bool base58check_encode(const void *data, size_t len, char *ret, size_t size);
/* False: a character not of the alphabet, a wrong checksum, too long for size. ret is untouched
 * then. */
bool base58check_decode(const char *text, void *ret, size_t size, size_t *ret_len);

#endif
