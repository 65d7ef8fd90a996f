#include "core/book.h"
#include "core/id.h"
#include "fuzz/fuzz.h"

#include <string.h>

/* There is one way to write a statement, and whatever comes, the book takes it only with the
 * signature of its owner. */

enum { NOW_S = 1700000000 };

static const struct id *curve(void)
{
	static const uint8_t seed[ID_SEED_LEN] = {1};
	static struct id *id;

	if (!id)
		id = id_new(seed);
	FUZZ_CHECK(id);
	return id;
}

static void check_book(const struct statement *s, const uint8_t *data, size_t len)
{
	const struct book_owner owner = {s->kind, s->object, s->signer};
	struct book *book = book_new(curve());
	const struct statement *taken = NULL;
	enum book_verdict verdict;
	uint8_t xonly[XONLY_LEN];
	struct hash256 digest;
	bool right;

	FUZZ_CHECK(book);
	verdict = book_take(book, &owner, data, len, NOW_S, &taken);
	statement_digest(s, &digest);
	id_xonly(&s->signer, xonly);
	right = id_verify(curve(), xonly, digest.bytes, HASH_LEN, s->signature);
	FUZZ_CHECK((verdict == BOOK_NEW) == (taken != NULL));
	FUZZ_CHECK(right || verdict == BOOK_SIGNATURE || verdict == BOOK_FUTURE);
	if (taken) {
		FUZZ_CHECK(right && taken == book_find(book, &s->signer, s->backend));
		FUZZ_CHECK(book_take(book, &owner, data, len, NOW_S, NULL) == BOOK_SAME);
		FUZZ_CHECK(book_remove(book, &s->signer) == 1);
	}
	FUZZ_CHECK(!book_find(book, &s->signer, s->backend));
	book_free(book);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t mem[STATEMENT_MAX];
	struct statement s;
	struct writer w;

	if (!statement_parse(data, len, &s))
		return 0;
	FUZZ_CHECK(len >= STATEMENT_MIN && len <= STATEMENT_MAX);
	writer_init(&w, mem, sizeof(mem));
	statement_write(&w, &s);
	FUZZ_CHECK(!w.failed && writer_len(&w) == len && !memcmp(mem, data, len));
	check_book(&s, data, len);
	return 0;
}
