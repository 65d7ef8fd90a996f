/* A filter of anybody, and filters of scripts that are cut out of the input: what was put in is
 * found. Input: a byte, the hash of the block, the filter. */

#include "fuzz/fuzz.h"
#include "wire/gcs.h"

#include <string.h>

enum { SCRIPTS_MAX = 64, SCRIPT_LEN = 4 };

static void read_filter(const struct hash256 *block, const uint8_t *data, size_t len)
{
	uint64_t values[2];
	struct gcs gcs;

	if (!gcs_open(&gcs, block, data, len))
		return;
	FUZZ_CHECK((uint64_t)gcs.count * (GCS_P + 1) <= (uint64_t)len * 8);
	values[0] = gcs_value(&gcs, (struct span){.data = data, .len = len});
	values[1] = gcs_value(&gcs, (struct span){.data = block->bytes, .len = HASH_LEN});
	FUZZ_CHECK(gcs.count == 0 || (values[0] < gcs.range && values[1] < gcs.range));
	FUZZ_CHECK(gcs_match(&gcs, values, 2) != GCS_MATCH || gcs.count > 0);
	FUZZ_CHECK(values[0] <= values[1]);
}

static void make_filter(const struct hash256 *block, const uint8_t *data, size_t len)
{
	uint8_t mem[8 + SCRIPTS_MAX * (GCS_P + 1 + 64) / 8];
	struct span scripts[SCRIPTS_MAX];
	uint64_t values[SCRIPTS_MAX];
	size_t count = 0;
	struct writer w;
	struct gcs gcs;

	for (; len >= SCRIPT_LEN && count < SCRIPTS_MAX; data += SCRIPT_LEN, len -= SCRIPT_LEN)
		scripts[count++] = (struct span){.data = data, .len = SCRIPT_LEN};
	writer_init(&w, mem, sizeof(mem));
	gcs_write(&w, block, scripts, count, values);
	FUZZ_CHECK(!w.failed);
	FUZZ_CHECK(gcs_open(&gcs, block, mem, writer_len(&w)) && gcs.count == count);
	for (size_t i = 0; i < count; i++) {
		values[0] = gcs_value(&gcs, scripts[i]);
		FUZZ_CHECK(gcs_match(&gcs, values, 1) == GCS_MATCH);
	}
	FUZZ_CHECK(gcs_match(&gcs, NULL, 0) == GCS_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct hash256 block;

	if (len < 1 + sizeof(block))
		return 0;
	memcpy(&block, data + 1, sizeof(block));
	if (data[0] & 1)
		make_filter(&block, data + 1 + sizeof(block), len - 1 - sizeof(block));
	else
		read_filter(&block, data + 1 + sizeof(block), len - 1 - sizeof(block));
	return 0;
}
