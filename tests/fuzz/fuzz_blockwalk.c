#include "chainwatch/blockwalk.h"
#include "fuzz/fuzz.h"

#include <string.h>

/* The first byte chooses: bit 0: the file grows; bit 1: the next 8 bytes are its XOR key; bit 2:
 * what is found after garbage is plausible if its nonce is even. */

struct file {
	const uint8_t *data;
	size_t len;
	bool choosy;
};

static ssize_t read_file(void *arg, void *buffer, size_t len, uint64_t pos)
{
	const struct file *f = arg;
	size_t have = pos < f->len ? f->len - (size_t)pos : 0;

	len = len < have ? len : have;
	memcpy(buffer, f->data + (pos < f->len ? pos : 0), len);
	return (ssize_t)len;
}

static bool plausible(void *arg, const uint8_t header[BLOCK_HEADER_LEN])
{
	const struct file *f = arg;

	return !f->choosy || header[76] % 2 == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct blockwalk walk;
	uint8_t flags = len ? data[0] : 0, head[BLOCKWALK_HEAD_LEN];
	size_t key = len && flags & 2 && len > BLOCKWALK_KEY_LEN ? BLOCKWALK_KEY_LEN : 0;
	struct file file = {.choosy = flags & 4};
	struct blockwalk_record record;
	uint64_t end = 0, records = 0;

	if (!len)
		return 0;
	file.data = data + 1 + key;
	file.len = len - 1 - key;
	memset(&walk, 0, offsetof(struct blockwalk, window));
	walk.window_pos = 0;
	walk.window_len = walk.window_want = 0;
	memcpy(walk.magic, "\xfa\xbf\xb5\xda", 4);
	memcpy(walk.key, data + 1, key);
	walk.read = read_file;
	walk.plausible = plausible;
	walk.arg = &file;
	walk.grows = flags & 1;
	while (blockwalk_next(&walk, &record) == 1) {
		/* in the file, behind the one before, and what it says is there */
		FUZZ_CHECK(record.offset >= end + BLOCKWALK_HEAD_LEN);
		FUZZ_CHECK(record.offset + record.len <= file.len);
		memcpy(head, file.data + record.offset - BLOCKWALK_HEAD_LEN, sizeof(head));
		blockwalk_xor(walk.key, record.offset - BLOCKWALK_HEAD_LEN, head, sizeof(head));
		FUZZ_CHECK(memcmp(head, walk.magic, 4) == 0 && load_u32(head + 4) == record.len);
		end = record.offset + record.len;
		FUZZ_CHECK(walk.pos == end && walk.good == end);
		records++;
	}
	FUZZ_CHECK(walk.pos == end && walk.skipped <= file.len);
	/* nothing new: the same answer */
	blockwalk_forget(&walk);
	FUZZ_CHECK(!walk.grows || blockwalk_next(&walk, &record) == 0);
	return records > file.len;
}
