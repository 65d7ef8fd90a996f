#ifndef WIRE_BECH32_H
#define WIRE_BECH32_H

/* Bech32 (BIP173), bech32m (BIP350), segwit addresses, and the text form of object ids. */

#include "wire/key.h"

enum {
	BECH32_TEXT_SIZE = 91,	/* 90 chars and the NUL */
	BECH32_HRP_SIZE = 84,	/* 83 chars and the NUL */
	BECH32_VALUES_MAX = 82, /* 5-bit values, without the checksum */
	SEGWIT_PROGRAM_MAX = 40,
	OBJECT_ID_TEXT_SIZE = 44, /* dnet1…: 43 chars and the NUL */
};

enum bech32_form {
	BECH32_FORM_1 = 1,	    /* BIP173 */
	BECH32_FORM_M = 0x2bc830a3, /* BIP350 */
};

/* values: 5 bits each. False when the text would be longer than 90 chars or hrp is not lower-case
 * printable ASCII. */
bool bech32_encode(const char *hrp, const uint8_t *values, size_t count, enum bech32_form form,
		   char ret[BECH32_TEXT_SIZE]);
/* Either case, not mixed; ret_hrp comes back in lower case. Outputs are untouched on failure. */
bool bech32_decode(const char *text, char ret_hrp[BECH32_HRP_SIZE],
		   uint8_t ret_values[BECH32_VALUES_MAX], size_t *ret_count,
		   enum bech32_form *ret_form);
/* 5-bit values for bytes, zero-padded: count is (8 * len + 4) / 5. */
size_t bech32_from_bytes(const uint8_t *data, size_t len, uint8_t *ret_values);
/* Bytes for 5-bit values; false when the padding is not zero or 5 bits and more. */
bool bech32_to_bytes(const uint8_t *values, size_t count, uint8_t *ret, size_t size,
		     size_t *ret_len);

/* A witness program as an address: version 0 in bech32, 1 to 16 in bech32m. hrp: "bc", "ltc"… */
bool segwit_format(const char *hrp, unsigned version, const uint8_t *program, size_t len,
		   char ret[BECH32_TEXT_SIZE]);
bool segwit_parse(const char *hrp, const char *text, unsigned *ret_version,
		  uint8_t ret_program[SEGWIT_PROGRAM_MAX], size_t *ret_len);

/* "dnet", "ovc", "ovr"; also the hrp. NULL for another number. */
const char *object_kind_name(enum object_kind kind);
void object_id_format(enum object_kind kind, const struct object_id *id,
		      char ret[OBJECT_ID_TEXT_SIZE]);
bool object_id_parse(const char *text, enum object_kind *ret_kind, struct object_id *ret_id);

#endif
