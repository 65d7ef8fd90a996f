#include "chainwatch/headerfile.h"
#include "fuzz/fuzz.h"
#include "wire/tx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A header file with any bytes in it: refused and left as it is, or cut to what fits its checksums,
 * and then it takes more and says the same when it is opened again. Checksums are SHA-256: the
 * corpus has files that were written, and what is around them is what a fuzzer finds. */

enum { SEEN_MAX = 8 * HEADERFILE_GROUP_MAX };

struct seen {
	size_t count;
	uint32_t sum; /* of all bytes, in their order */
};

static int on_headers(void *arg, const uint8_t *raw, size_t count)
{
	struct seen *seen = arg;

	FUZZ_CHECK(count > 0 && count <= HEADERFILE_GROUP_MAX);
	for (size_t i = 0; i < count * BLOCK_HEADER_LEN; i++)
		seen->sum = seen->sum * 31 + raw[i];
	seen->count += count;
	return seen->count > SEEN_MAX ? -E2BIG : 0;
}

static size_t size_of(int fd)
{
	struct stat st;

	FUZZ_CHECK(fstat(fd, &st) == 0);
	return (size_t)st.st_size;
}

static void open_again(const char *path, const struct hash256 *genesis, const struct seen *want)
{
	struct seen seen = {.count = 0};
	struct headerfile *f = NULL;
	uint64_t cut = 1;

	FUZZ_CHECK(headerfile_open(path, genesis, on_headers, &seen, &f, &cut) == 0);
	FUZZ_CHECK(cut == 0 && seen.count == want->count && seen.sum == want->sum);
	headerfile_close(f);
}

static void take(const char *path, int fd, const uint8_t *data, size_t len)
{
	static const struct hash256 genesis = {{1, 2, 3}};
	uint8_t more[2 * BLOCK_HEADER_LEN] = {7};
	struct seen seen = {.count = 0};
	struct headerfile *f = NULL;
	uint64_t cut = 0;
	int result = headerfile_open(path, &genesis, on_headers, &seen, &f, &cut);

	FUZZ_CHECK(result == 0 || result == -EBADMSG || result == -E2BIG);
	if (result) {
		uint8_t byte;

		FUZZ_CHECK(!f && size_of(fd) == len);
		for (size_t i = 0; i < len; i++)
			FUZZ_CHECK(pread(fd, &byte, 1, (off_t)i) == 1 && byte == data[i]);
		return;
	}
	FUZZ_CHECK(cut <= len);
	FUZZ_CHECK(headerfile_keep(f, more, BLOCK_HEADER_LEN, 2) == 0);
	FUZZ_CHECK(on_headers(&seen, more, 2) == 0);
	headerfile_close(f);
	open_again(path, &genesis, &seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char path[] = "/dev/shm/fuzz-headerfile-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || (len && write(fd, data, len) != (ssize_t)len))
		abort();
	take(path, fd, data, len);
	close(fd);
	unlink(path);
	return 0;
}
