#include "wire/base58.h"

#include "wire/hash.h"

#include <assert.h>
#include <string.h>

enum {
	CHECKSUM_LEN = 4,
	BYTES_MAX = BASE58CHECK_MAX + CHECKSUM_LEN,
};

/* log(256) / log(58) < 1.366 */
static_assert(BASE58CHECK_TEXT_SIZE > BYTES_MAX * 1366 / 1000 + 1, "text of the longest data fits");

static const char alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

static void checksum(const uint8_t *data, size_t len, uint8_t ret[CHECKSUM_LEN])
{
	struct hash256 hash;

	hash_sha256d(data, len, &hash);
	memcpy(ret, hash.bytes, CHECKSUM_LEN);
}

bool base58check_encode(const void *data, size_t len, char *ret, size_t size)
{
	uint8_t bytes[BYTES_MAX], digits[BASE58CHECK_TEXT_SIZE];
	size_t zeros = 0, count = 0;

	if (len > BASE58CHECK_MAX)
		return false;
	if (len)
		memcpy(bytes, data, len);
	checksum(bytes, len, bytes + len);
	len += CHECKSUM_LEN;
	while (zeros < len && !bytes[zeros])
		zeros++;
	for (size_t i = zeros; i < len; i++) {
		uint32_t carry = bytes[i];

		for (size_t k = 0; k < count; k++) {
			carry += (uint32_t)digits[k] << 8;
			digits[k] = (uint8_t)(carry % 58);
			carry /= 58;
		}
		for (; carry; carry /= 58)
			digits[count++] = (uint8_t)(carry % 58);
	}
	if (zeros + count + 1 > size)
		return false;
	memset(ret, alphabet[0], zeros);
	for (size_t i = 0; i < count; i++)
		ret[zeros + i] = alphabet[digits[count - 1 - i]];
	ret[zeros + count] = '\0';
	return true;
}

bool base58check_decode(const char *text, void *ret, size_t size, size_t *ret_len)
{
	uint8_t bytes[BYTES_MAX], sum[CHECKSUM_LEN]; /* bytes: little-endian at its start */
	size_t zeros = 0, count = 0, len;

	while (text[zeros] == alphabet[0])
		zeros++;
	if (zeros > BYTES_MAX)
		return false;
	for (const char *c = text + zeros; *c; c++) {
		const char *found = strchr(alphabet, *c);
		uint32_t carry;

		if (!found)
			return false;
		carry = (uint32_t)(found - alphabet);
		for (size_t k = 0; k < count; k++) {
			carry += 58u * bytes[k];
			bytes[k] = (uint8_t)carry;
			carry >>= 8;
		}
		if (carry) {
			if (zeros + count == BYTES_MAX)
				return false;
			bytes[count++] = (uint8_t)carry;
		}
	}
	len = zeros + count;
	if (len < CHECKSUM_LEN || len - CHECKSUM_LEN > size)
		return false;
	for (size_t i = 0; i < count / 2; i++) {
		uint8_t byte = bytes[i];

		bytes[i] = bytes[count - 1 - i];
		bytes[count - 1 - i] = byte;
	}
	memmove(bytes + zeros, bytes, count);
	memset(bytes, 0, zeros);
	len -= CHECKSUM_LEN;
	checksum(bytes, len, sum);
	if (memcmp(sum, bytes + len, CHECKSUM_LEN))
		return false;
	if (len)
		memcpy(ret, bytes, len);
	*ret_len = len;
	return true;
}
