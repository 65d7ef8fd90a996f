#include "core/txbuild.h"
#include "fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct txbuild tx, again;
	uint8_t *raw;
	size_t written;

	if (txbuild_parse(data, len, &tx))
		return 0;
	raw = malloc(len);
	written = raw ? txbuild_write(&tx, true, raw, len) : 0;
	/* The marker without any witness is not written again. */
	FUZZ_CHECK(written == len || written + 2 + tx.input_count == len);
	FUZZ_CHECK(written < len || !memcmp(raw, data, len));
	FUZZ_CHECK(!txbuild_parse(raw, written, &again));
	FUZZ_CHECK(again.input_count == tx.input_count && again.output_count == tx.output_count);
	FUZZ_CHECK(txbuild_vsize(&tx) <= len);
	free(raw);
	return 0;
}
