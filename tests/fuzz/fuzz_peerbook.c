/* The file of peers in the state folder, whoever wrote it: what is taken is written as it was. The
 * checksum is put right here, so that what is behind it is reached. */

#include "core/peerbook.h"
#include "fuzz/fuzz.h"
#include "wire/hash.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t file[PEERBOOK_FILE_MAX], again[PEERBOOK_FILE_MAX];
	struct peerbook *book = peerbook_new(false);
	struct endpoint picked;
	struct hash256 sum;
	struct writer w;

	if (!book || len > sizeof(file) - HASH_LEN)
		goto out;
	FUZZ_CHECK(len < HASH_LEN || !peerbook_read(book, data, len));
	memcpy(file, data, len);
	hash_sha256d(data, len, &sum);
	memcpy(file + len, sum.bytes, HASH_LEN);
	if (!peerbook_read(book, file, len + HASH_LEN))
		goto out;
	writer_init(&w, again, sizeof(again));
	peerbook_write(book, &w);
	FUZZ_CHECK(!w.failed && writer_len(&w) == len + HASH_LEN);
	FUZZ_CHECK(!memcmp(file, again, len + HASH_LEN));
	if (peerbook_pick(book, NULL, 0, 8, 1700000000, 3, &picked)) {
		FUZZ_CHECK(picked.port);
		peerbook_on_failure(book, &picked, 1700000000);
	}
out:
	peerbook_free(book);
	return 0;
}
