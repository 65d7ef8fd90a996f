#include "fuzz/fuzz.h"
#include "wire/hash.h"
#include "wire/statefile.h"

#include <string.h>

/* The first byte: 0, a file without its checksum, which is put behind it; 1, a raw block, of which
 * a file is made that has to be read as it was. */

static void read_all(const uint8_t *data, size_t len)
{
	struct statefile_block block;
	struct statefile_tx tx;
	struct statefile file;
	uint32_t blocks = 0, last = 0;

	if (statefile_open(&file, data, len) != STATEFILE_OK) {
		FUZZ_CHECK(statefile_reason_text(file.reason)[0]);
		return;
	}
	FUZZ_CHECK(strlen(file.chain) > 0 && file.time_count > 0);
	statefile_time(&file, file.time_count - 1);
	while (statefile_next_block(&file, &block)) {
		uint32_t count = 0;

		FUZZ_CHECK(block.height <= file.height && (!blocks++ || block.height > last));
		last = block.height;
		while (statefile_next_tx(&file, &block, &tx)) {
			FUZZ_CHECK(tx.tx.raw.data >= data &&
				   tx.tx.raw.data + tx.tx.raw.len <= data + len);
			FUZZ_CHECK(tx.tx.flags == 0 && (count++ || tx_is_coinbase(&tx.tx)));
		}
		FUZZ_CHECK(file.reason != STATEFILE_OK || count == block.tx_count);
	}
	FUZZ_CHECK(file.reason != STATEFILE_OK || blocks == file.block_count);
}

static void round_trip(const uint8_t *data, size_t len)
{
	enum { TXS = 64, SIZE = 1 << 18 };
	struct statefile head = {.chain = "x", .time_count = 1, .block_count = 1, .times = data};
	struct hash256 txids[TXS], copy[TXS], branch[STATEFILE_DEPTH_MAX], sum;
	struct statefile_block read_block;
	struct statefile_tx read_tx;
	struct statefile file;
	struct tx_view views[TXS];
	struct block_view block;
	struct writer w;
	uint32_t count = 0;
	uint8_t *mem;

	if (!block_merkle_ok(data, len) || block_open(&block, data, len) != TX_OK ||
	    block.tx_count > TXS || len > SIZE / 2)
		return;
	while (block_next(&block, &views[count])) {
		tx_txid(&views[count], &txids[count]);
		count++;
	}
	mem = malloc(SIZE);
	FUZZ_CHECK(mem);
	writer_init(&w, mem, SIZE);
	statefile_write_head(&w, &head);
	statefile_write_block(&w, 0, data, count);
	for (uint32_t i = 0; i < count; i++) {
		memcpy(copy, txids, sizeof(copy));
		statefile_write_tx(&w, i, branch, statefile_branch(copy, count, i, branch),
				   &views[i]);
	}
	FUZZ_CHECK(!w.failed);
	hash_sha256(mem, writer_len(&w), &sum);
	writer_copy(&w, sum.bytes, HASH_LEN);
	FUZZ_CHECK(statefile_open(&file, mem, writer_len(&w)) == STATEFILE_OK);
	FUZZ_CHECK(statefile_next_block(&file, &read_block));
	for (uint32_t i = 0; i < count; i++) {
		FUZZ_CHECK(statefile_next_tx(&file, &read_block, &read_tx));
		FUZZ_CHECK(read_tx.index == i && read_tx.tx.body.len == views[i].body.len &&
			   !memcmp(read_tx.tx.body.data, views[i].body.data, views[i].body.len));
	}
	FUZZ_CHECK(!statefile_next_block(&file, &read_block) && file.reason == STATEFILE_OK);
	free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct hash256 sum;
	uint8_t *mem;

	if (len < 5)
		return 0;
	read_all(data + 1, len - 1);
	if (data[0] == 1) {
		round_trip(data + 1, len - 1);
		return 0;
	}
	mem = malloc(len - 1 + HASH_LEN);
	FUZZ_CHECK(mem);
	memcpy(mem, data + 1, len - 1);
	hash_sha256(mem, len - 1, &sum);
	memcpy(mem + len - 1, sum.bytes, HASH_LEN);
	read_all(mem, len - 1 + HASH_LEN);
	free(mem);
	return 0;
}
