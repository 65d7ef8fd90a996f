#include "fuzz/fuzz.h"
#include "wire/tx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct block_view block;
	struct tx_view tx, again;
	size_t size = 0;

	if (block_open(&block, data, len) == TX_OK) {
		while (block_next(&block, &tx)) {
			size += tx.raw.len;
			FUZZ_CHECK(tx.raw.data + tx.raw.len <= data + len);
			/* what stands in a block also stands alone */
			FUZZ_CHECK(tx_parse(tx.raw.data, tx.raw.len, &again) == TX_OK);
			FUZZ_CHECK(again.body.len == tx.body.len && again.flags == tx.flags);
		}
		FUZZ_CHECK(size + block.extension.len < len);
		FUZZ_CHECK(block.reason != TX_OK || block.visited == block.tx_count);
	}
	block_merkle_ok(data, len);
	return 0;
}
