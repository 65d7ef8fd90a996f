#include "core/keystore.h"
#include "fuzz/fuzz.h"

#include <string.h>

/* Both layers of the file; the cryptography between them would let nothing through. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct keystore keystore, again;
	struct keystore_cost cost;
	uint8_t *plain;

	if (!keystore_read_header(data, len, &cost))
		FUZZ_CHECK(cost.ops <= KEYSTORE_OPS_MAX &&
			   cost.memory_kib <= KEYSTORE_MEMORY_KIB_MAX);
	if (keystore_read_entries(data, len, &keystore))
		return 0;
	plain = malloc(len);
	FUZZ_CHECK(plain && keystore_write_entries(&keystore, plain, len) == len);
	FUZZ_CHECK(!memcmp(plain, data, len));
	FUZZ_CHECK(!keystore_read_entries(plain, len, &again));
	FUZZ_CHECK(again.count == keystore.count);
	keystore_done(&keystore);
	keystore_done(&again);
	free(plain);
	return 0;
}
