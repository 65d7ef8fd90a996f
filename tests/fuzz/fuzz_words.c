#include "fuzz/fuzz.h"
#include "wire/words.h"

#include <string.h>

/* What is read is written as words that are read the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t bytes[WORDS_BYTES_MAX], again[WORDS_BYTES_MAX];
	char *text = malloc(len + 1), formatted[WORDS_TEXT_SIZE];
	size_t bytes_len, again_len, bad;

	FUZZ_CHECK(text);
	if (len)
		memcpy(text, data, len);
	text[len] = '\0';
	if (words_parse(text, bytes, &bytes_len, &bad) == WORDS_OK) {
		words_format(bytes, bytes_len, formatted);
		FUZZ_CHECK(strlen(formatted) < sizeof(formatted));
		FUZZ_CHECK(words_parse(formatted, again, &again_len, &bad) == WORDS_OK);
		FUZZ_CHECK(again_len == bytes_len && !memcmp(again, bytes, bytes_len));
	}
	free(text);
	return 0;
}
