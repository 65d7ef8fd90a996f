#include "wire/hex.h"

#include <string.h>

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

void hex_format(const void *data, size_t len, char *ret)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		*ret++ = "0123456789abcdef"[bytes[i] >> 4];
		*ret++ = "0123456789abcdef"[bytes[i] & 15];
	}
	*ret = '\0';
}

bool hex_parse_any(const char *text, void *ret, size_t size, size_t *ret_len)
{
	size_t digits = strlen(text);
	uint8_t *out = ret;

	if (digits % 2 || digits / 2 > size)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (digit_value(text[i]) < 0)
			return false;
	}
	for (size_t i = 0; i < digits / 2; i++)
		out[i] = (uint8_t)(digit_value(text[2 * i]) << 4 | digit_value(text[2 * i + 1]));
	*ret_len = digits / 2;
	return true;
}

bool hex_parse(const char *text, void *ret, size_t len)
{
	size_t got;

	return strlen(text) == 2 * len && hex_parse_any(text, ret, len, &got);
}

static void reverse(struct hash256 *hash)
{
	for (size_t i = 0; i < HASH_LEN / 2; i++) {
		uint8_t byte = hash->bytes[i];

		hash->bytes[i] = hash->bytes[HASH_LEN - 1 - i];
		hash->bytes[HASH_LEN - 1 - i] = byte;
	}
}

void hash_format(const struct hash256 *hash, char ret[HASH_TEXT_SIZE])
{
	struct hash256 shown = *hash;

	reverse(&shown);
	hex_format(shown.bytes, HASH_LEN, ret);
}

bool hash_parse(const char *text, struct hash256 *ret)
{
	if (!hex_parse(text, ret->bytes, HASH_LEN))
		return false;
	reverse(ret);
	return true;
}
