#include "wire/words.h"

#include "wire/hash.h"
#include "wire/key.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

/* BIP39: the bytes and behind them the first bits of their SHA-256, one for each four bytes, are
 * cut into groups of 11 bits; each is the number of a word. */

enum {
	BITS = 11,
	PREFIX = 4, /* letters that tell each word from all others */
};

static void put_checksum(uint8_t *bytes, size_t len)
{
	struct hash256 hash;

	hash_sha256(bytes, len, &hash);
	bytes[len] = hash.bytes[0];
	secret_wipe(&hash, sizeof(hash));
}

static unsigned get_bits(const uint8_t *bytes, size_t at)
{
	unsigned value = 0;

	for (size_t i = at; i < at + BITS; i++)
		value = value << 1 | (bytes[i / 8] >> (7 - i % 8) & 1);
	return value;
}

static void put_bits(uint8_t *bytes, size_t at, unsigned value)
{
	for (size_t i = 0; i < BITS; i++) {
		unsigned bit = value >> (BITS - 1 - i) & 1;

		bytes[(at + i) / 8] |= (uint8_t)(bit << (7 - (at + i) % 8));
	}
}

void words_format(const uint8_t *bytes, size_t len, char ret_text[static WORDS_TEXT_SIZE])
{
	uint8_t mem[WORDS_BYTES_MAX + 1];
	size_t count = len / 4 * 3;
	char *to = ret_text;

	assert(len >= WORDS_BYTES_MIN && len <= WORDS_BYTES_MAX && !(len % 4));
	memcpy(mem, bytes, len);
	put_checksum(mem, len);
	for (size_t i = 0; i < count; i++) {
		const char *word = words_list[get_bits(mem, i * BITS)];
		size_t word_len = strlen(word);

		memcpy(to, word, word_len);
		to += word_len;
		*to++ = i + 1 < count ? ' ' : '\0';
	}
	secret_wipe(mem, sizeof(mem));
}

/* A whole word, or its first letters. */
static bool same_word(const char *text, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	if (len != word_len && (len < PREFIX || len > word_len))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (tolower((unsigned char)text[i]) != word[i])
			return false;
	}
	return true;
}

/* -1: not in the list. Every word is looked at, so that the time says nothing about which it is. */
static int find_word(const char *text, size_t len)
{
	int found = -1;

	for (int i = 0; i < WORDS_LIST_LEN; i++) {
		if (same_word(text, len, words_list[i]))
			found = i;
	}
	return found;
}

static enum words_result read_words(const char *text, uint8_t *mem, size_t *ret_count)
{
	static const char space[] = " \t\r\n";
	size_t count = 0;

	for (text += strspn(text, space); *text; text += strspn(text, space)) {
		size_t len = strcspn(text, space);
		int word = find_word(text, len);

		if (word < 0) {
			*ret_count = count + 1;
			return WORDS_UNKNOWN;
		}
		if (count < WORDS_MAX)
			put_bits(mem, count * BITS, (unsigned)word);
		count++;
		text += len;
	}
	*ret_count = count;
	return count < 12 || count > WORDS_MAX || count % 3 ? WORDS_COUNT : WORDS_OK;
}

enum words_result words_parse(const char *text, uint8_t ret_bytes[static WORDS_BYTES_MAX],
			      size_t *ret_len, size_t *ret_bad)
{
	uint8_t mem[WORDS_BYTES_MAX + 1] = {0};
	enum words_result result = read_words(text, mem, ret_bad);
	uint8_t mask, sum;
	size_t len;

	memset(ret_bytes, 0, WORDS_BYTES_MAX);
	if (result == WORDS_OK) {
		len = *ret_bad / 3 * 4;
		mask = (uint8_t)(0xff << (8 - len / 4));
		sum = mem[len];
		put_checksum(mem, len);
		if ((mem[len] & mask) == sum) {
			memcpy(ret_bytes, mem, len);
			*ret_len = len;
		} else {
			result = WORDS_CHECKSUM;
		}
	}
	secret_wipe(mem, sizeof(mem));
	return result;
}
