#include "wire/bech32.h"

#include <assert.h>
#include <string.h>

enum {
	TEXT_MAX = 90,
	CHECKSUM_LEN = 6,
	ID_VALUES = OBJECT_ID_LEN * 8 / 5,
};

static_assert(OBJECT_ID_TEXT_SIZE == 4 + 1 + ID_VALUES + CHECKSUM_LEN + 1, "dnet1, data, checksum");

static const char charset[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t polymod_step(uint32_t chk, uint8_t value)
{
	static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
					      0x2a1462b3};
	uint8_t top = (uint8_t)(chk >> 25);

	chk = (chk & 0x1ffffff) << 5 ^ value;
	for (int i = 0; i < 5; i++) {
		if (top >> i & 1)
			chk ^= generator[i];
	}
	return chk;
}

/* After the expanded human-readable part. */
static uint32_t polymod_hrp(const char *hrp, size_t len)
{
	uint32_t chk = 1;

	for (size_t i = 0; i < len; i++)
		chk = polymod_step(chk, (uint8_t)(hrp[i] >> 5));
	chk = polymod_step(chk, 0);
	for (size_t i = 0; i < len; i++)
		chk = polymod_step(chk, hrp[i] & 31);
	return chk;
}

bool bech32_encode(const char *hrp, const uint8_t *values, size_t count, enum bech32_form form,
		   char ret[BECH32_TEXT_SIZE])
{
	size_t hrp_len = strlen(hrp);
	uint32_t chk;

	if (!hrp_len || hrp_len > TEXT_MAX || hrp_len + 1 + count + CHECKSUM_LEN > TEXT_MAX)
		return false;
	for (size_t i = 0; i < hrp_len; i++) {
		if (hrp[i] < 33 || hrp[i] > 126 || (hrp[i] >= 'A' && hrp[i] <= 'Z'))
			return false;
	}
	chk = polymod_hrp(hrp, hrp_len);
	memcpy(ret, hrp, hrp_len);
	ret += hrp_len;
	*ret++ = '1';
	for (size_t i = 0; i < count; i++) {
		assert(values[i] < 32);
		chk = polymod_step(chk, values[i]);
		*ret++ = charset[values[i]];
	}
	for (int i = 0; i < CHECKSUM_LEN; i++)
		chk = polymod_step(chk, 0);
	chk ^= form;
	for (int i = 0; i < CHECKSUM_LEN; i++)
		*ret++ = charset[chk >> 5 * (CHECKSUM_LEN - 1 - i) & 31];
	*ret = '\0';
	return true;
}

/* Copies text in lower case; false when it is not printable, of both cases or too long. */
static bool fold_case(const char *text, char ret[BECH32_TEXT_SIZE], size_t *ret_len)
{
	bool lower = false, upper = false;
	size_t len = strnlen(text, BECH32_TEXT_SIZE);

	if (len > TEXT_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c < 33 || c > 126)
			return false;
		if (c >= 'A' && c <= 'Z') {
			upper = true;
			c = (char)(c - 'A' + 'a');
		} else if (c >= 'a' && c <= 'z') {
			lower = true;
		}
		ret[i] = c;
	}
	ret[len] = '\0';
	*ret_len = len;
	return !(lower && upper);
}

bool bech32_decode(const char *text, char ret_hrp[BECH32_HRP_SIZE],
		   uint8_t ret_values[BECH32_VALUES_MAX], size_t *ret_count,
		   enum bech32_form *ret_form)
{
	char folded[BECH32_TEXT_SIZE];
	uint8_t values[TEXT_MAX];
	size_t len, hrp_len, count = 0;
	const char *one;
	uint32_t chk;

	if (!fold_case(text, folded, &len))
		return false;
	one = strrchr(folded, '1');
	if (!one)
		return false;
	hrp_len = (size_t)(one - folded);
	if (!hrp_len || len - hrp_len - 1 < CHECKSUM_LEN)
		return false;
	chk = polymod_hrp(folded, hrp_len);
	for (const char *c = one + 1; *c; c++) {
		const char *found = strchr(charset, *c);

		if (!found)
			return false;
		values[count] = (uint8_t)(found - charset);
		chk = polymod_step(chk, values[count++]);
	}
	if (chk != BECH32_FORM_1 && chk != BECH32_FORM_M)
		return false;
	memcpy(ret_hrp, folded, hrp_len);
	ret_hrp[hrp_len] = '\0';
	*ret_count = count - CHECKSUM_LEN;
	memcpy(ret_values, values, *ret_count);
	*ret_form = (enum bech32_form)chk;
	return true;
}

size_t bech32_from_bytes(const uint8_t *data, size_t len, uint8_t *ret_values)
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t count = 0;

	for (size_t i = 0; i < len; i++) {
		bits = (bits << 8 | data[i]) & 0xfff;
		for (held += 8; held >= 5; held -= 5)
			ret_values[count++] = bits >> (held - 5) & 31;
	}
	if (held)
		ret_values[count++] = (uint8_t)(bits << (5 - held) & 31);
	return count;
}

bool bech32_to_bytes(const uint8_t *values, size_t count, uint8_t *ret, size_t size,
		     size_t *ret_len)
{
	size_t len = count * 5 / 8;
	unsigned spare = (unsigned)(count * 5 % 8), held = 0;
	uint32_t bits = 0;

	if (len > size || spare >= 5 || (spare && values[count - 1] & ((1u << spare) - 1)))
		return false;
	for (size_t i = 0, k = 0; k < len; i++) {
		bits = (bits << 5 | values[i]) & 0xfff;
		held += 5;
		if (held >= 8) {
			held -= 8;
			ret[k++] = (uint8_t)(bits >> held);
		}
	}
	*ret_len = len;
	return true;
}

/* BIP141: what a witness program may be. */
static bool program_ok(unsigned version, size_t len)
{
	return version <= 16 && len >= 2 && len <= SEGWIT_PROGRAM_MAX &&
	       (version || len == 20 || len == 32);
}

bool segwit_format(const char *hrp, unsigned version, const uint8_t *program, size_t len,
		   char ret[BECH32_TEXT_SIZE])
{
	uint8_t values[1 + (SEGWIT_PROGRAM_MAX * 8 + 4) / 5];
	size_t count;

	if (!program_ok(version, len))
		return false;
	values[0] = (uint8_t)version;
	count = 1 + bech32_from_bytes(program, len, values + 1);
	return bech32_encode(hrp, values, count, version ? BECH32_FORM_M : BECH32_FORM_1, ret);
}

bool segwit_parse(const char *hrp, const char *text, unsigned *ret_version,
		  uint8_t ret_program[SEGWIT_PROGRAM_MAX], size_t *ret_len)
{
	char got_hrp[BECH32_HRP_SIZE];
	uint8_t values[BECH32_VALUES_MAX], program[SEGWIT_PROGRAM_MAX];
	enum bech32_form form;
	size_t count, len;

	if (!bech32_decode(text, got_hrp, values, &count, &form) || strcmp(got_hrp, hrp) ||
	    !count || form != (values[0] ? BECH32_FORM_M : BECH32_FORM_1) ||
	    !bech32_to_bytes(values + 1, count - 1, program, sizeof(program), &len) ||
	    !program_ok(values[0], len))
		return false;
	*ret_version = values[0];
	memcpy(ret_program, program, len);
	*ret_len = len;
	return true;
}

const char *object_kind_name(enum object_kind kind)
{
	switch (kind) {
	case OBJECT_DNET:
		return "dnet";
	case OBJECT_OVC:
		return "ovc";
	case OBJECT_OVR:
		return "ovr";
	}
	return NULL;
}

void object_id_format(enum object_kind kind, const struct object_id *id,
		      char ret[OBJECT_ID_TEXT_SIZE])
{
	const char *hrp = object_kind_name(kind);
	char text[BECH32_TEXT_SIZE];
	uint8_t values[ID_VALUES];
	bool ok;

	assert(hrp);
	bech32_from_bytes(id->bytes, OBJECT_ID_LEN, values);
	ok = bech32_encode(hrp, values, ID_VALUES, BECH32_FORM_M, text);
	assert(ok);
	memcpy(ret, text, strlen(text) + 1);
}

bool object_id_parse(const char *text, enum object_kind *ret_kind, struct object_id *ret_id)
{
	char hrp[BECH32_HRP_SIZE];
	uint8_t values[BECH32_VALUES_MAX];
	enum bech32_form form;
	size_t count, len;

	if (!bech32_decode(text, hrp, values, &count, &form) || form != BECH32_FORM_M ||
	    count != ID_VALUES)
		return false;
	for (enum object_kind kind = OBJECT_DNET; kind <= OBJECT_OVR; kind++) {
		if (strcmp(hrp, object_kind_name(kind)))
			continue;
		bech32_to_bytes(values, count, ret_id->bytes, OBJECT_ID_LEN, &len);
		*ret_kind = kind;
		return true;
	}
	return false;
}
