#ifndef WIRE_WORDS_H
#define WIRE_WORDS_H

/* Bytes as words that can be written on paper: BIP39's English list and checksum. Of BIP39 only the
 * encoding is used: the words are the bytes themselves, no passphrase is mixed in. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	WORDS_LIST_LEN = 2048,
	WORDS_WORD_SIZE = 9, /* the longest one, with its NUL */
	WORDS_BYTES_MIN = 16,
	WORDS_BYTES_MAX = 32,
	WORDS_MAX = 24,
	WORDS_TEXT_SIZE = WORDS_MAX * WORDS_WORD_SIZE, /* with a space behind each, and the NUL */
};

extern const char words_list[WORDS_LIST_LEN][WORDS_WORD_SIZE];

enum words_result {
	WORDS_OK,
	WORDS_UNKNOWN,	/* one of them is not in the list */
	WORDS_COUNT,	/* not 12, 15, 18, 21 or 24 */
	WORDS_CHECKSUM, /* a wrong word, or two in the wrong order */
};

/* len is a multiple of 4 from WORDS_BYTES_MIN to WORDS_BYTES_MAX: 3 words for each 4 bytes. */
void words_format(const uint8_t *bytes, size_t len, char ret_text[static WORDS_TEXT_SIZE]);
/* Words of either case with white space between them; the first four letters of one are enough.
 * *ret_bad is the number (from 1) of the one that is not known, with WORDS_COUNT how many there
 * are. ret_bytes is secret, and wiped when the result is not WORDS_OK. */
enum words_result words_parse(const char *text, uint8_t ret_bytes[static WORDS_BYTES_MAX],
			      size_t *ret_len, size_t *ret_bad);

#endif
