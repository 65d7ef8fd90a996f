#include "core/keystore.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void check_again(const struct keystore *keystore, const uint8_t *data, size_t len)
{
	struct keystore again;
	uint8_t *plain = malloc(KEYSTORE_FILE_MAX);
	char *text = malloc(KEYSTORE_COPY_MAX);
	size_t plain_len;

	FUZZ_CHECK(plain && text);
	plain_len = keystore_write_entries(keystore, plain, KEYSTORE_FILE_MAX);
	FUZZ_CHECK(plain_len && (!data || (plain_len == len && !memcmp(plain, data, len))));
	FUZZ_CHECK(!keystore_read_entries(plain, plain_len, KEYSTORE_VERSION, &again));
	FUZZ_CHECK(again.count == keystore->count && again.has_seed == keystore->has_seed);
	keystore_done(&again);
	FUZZ_CHECK(!keystore_format_copy(keystore, text));
	FUZZ_CHECK(!keystore_parse_copy(text, &again));
	FUZZ_CHECK(again.count == keystore->count);
	keystore_done(&again);
	free(plain);
	free(text);
}

/* Both layers of the file, of either version; the cryptography between them would let nothing
 * through. And the copy as text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct keystore keystore;
	struct keystore_cost cost;
	uint8_t version;
	char *text;

	if (!keystore_read_header(data, len, &cost, &version))
		FUZZ_CHECK(cost.ops <= KEYSTORE_OPS_MAX &&
			   cost.memory_kib <= KEYSTORE_MEMORY_KIB_MAX);
	if (!keystore_read_entries(data, len, 1, &keystore)) {
		check_again(&keystore, NULL, 0);
		keystore_done(&keystore);
	}
	if (!keystore_read_entries(data, len, KEYSTORE_VERSION, &keystore)) {
		check_again(&keystore, data, len);
		keystore_done(&keystore);
	}
	text = malloc(len + 1);
	FUZZ_CHECK(text);
	if (len)
		memcpy(text, data, len);
	text[len] = '\0';
	if (!keystore_parse_copy(text, &keystore))
		keystore_done(&keystore);
	free(text);
	return 0;
}
