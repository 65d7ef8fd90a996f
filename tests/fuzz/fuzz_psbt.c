#include "core/psbtsign.h"
#include "fuzz/fuzz.h"

#include <string.h>

/* A parsed PSBT is copied with a pair more and combined with itself, and is read again as it was;
 * nothing in it makes a signer read beyond it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct psbt psbt, again;
	size_t size = 3 * len + 64;
	struct multisig multisig;
	struct node_key key = {{2}};
	struct psbt_coin coin;
	struct span value;
	struct writer w;
	uint8_t *mem;

	if (psbt_parse(data, len, &psbt) != PSBT_OK)
		return 0;
	mem = malloc(size);
	FUZZ_CHECK(mem);
	for (size_t i = 0; i < psbt.input_count; i++) {
		if (psbtsign_coin(&psbt, i, &coin) && coin.script.len)
			FUZZ_CHECK(coin.script.data >= data && coin.script.data < data + len);
		if (psbtsign_multisig(&psbt, i, &multisig))
			FUZZ_CHECK(psbtsign_count(&psbt, i) <= multisig.count);
		psbtsign_wants(&psbt, i, &key);
	}
	writer_init(&w, mem, size);
	psbt_put(&w, &psbt, 0, 0xf1, "k", 1, "v", 1);
	FUZZ_CHECK(!w.failed);
	/* That pair may be one too many. */
	if (psbt_parse(mem, writer_len(&w), &again) == PSBT_OK) {
		FUZZ_CHECK(psbt_same(&psbt, &again));
		FUZZ_CHECK(psbt_find(&again, 0, 0xf1, "k", 1, &value) && value.len == 1);
	}
	writer_init(&w, mem, size);
	psbt_combine(&w, &psbt, &psbt);
	FUZZ_CHECK(!w.failed && writer_len(&w) == len && !memcmp(mem, data, len));
	free(mem);
	return 0;
}
