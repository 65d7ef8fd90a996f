#include "fixture/test.h"

#include "core/book.h"
#include "core/id.h"
#include "fixture/hex.h"
#include "fixture/vectors.h"

#include <stdlib.h>
#include <string.h>

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

/* One of the allocations can be made to fail. */
static long allocations, failing_allocation = -1;

void *__wrap_calloc(size_t count, size_t size)
{
	return allocations++ == failing_allocation ? NULL : __real_calloc(count, size);
}

void *__wrap_malloc(size_t size)
{
	return allocations++ == failing_allocation ? NULL : __real_malloc(size);
}

enum { NOW_S = 1700000000, DAY_S = 86400 };

struct world {
	struct id *id;
	struct identity alice, bob;
	struct object_id dnet, other;
	struct book *book;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	uint8_t seed[ID_SEED_LEN] = {9};
	struct secret secret;

	failing_allocation = -1;
	w->id = id_new(seed);
	memset(&secret, 1, sizeof(secret));
	assert_int_equal(id_from_secret(w->id, &secret, &w->alice), 0);
	memset(&secret, 2, sizeof(secret));
	assert_int_equal(id_from_secret(w->id, &secret, &w->bob), 0);
	memset(&w->dnet, 0xd0, sizeof(w->dnet));
	memset(&w->other, 0xd1, sizeof(w->other));
	w->book = book_new(w->id);
	*state = w;
	return !w->book;
}

static int teardown(void **state)
{
	struct world *w = *state;

	failing_allocation = -1;
	book_free(w->book);
	id_free(w->id);
	free(w);
	return 0;
}

static struct book_owner owner_of(const struct world *w, const struct identity *who)
{
	return (struct book_owner){OBJECT_DNET, w->dnet, who->key};
}

static struct statement make(const struct world *w, const struct identity *who, uint8_t backend,
			     uint64_t date, uint8_t fill)
{
	static const uint8_t aux[32];
	struct statement s = {.backend = backend,
			      .kind = OBJECT_DNET,
			      .object = w->dnet,
			      .signer = who->key,
			      .date = date,
			      .key_len = 32};

	memset(s.key, fill, s.key_len);
	book_sign(w->id, who, aux, &s);
	return s;
}

static size_t bytes_of(const struct statement *s, uint8_t bytes[static STATEMENT_MAX])
{
	struct writer w;

	writer_init(&w, bytes, STATEMENT_MAX);
	statement_write(&w, s);
	assert_false(w.failed);
	return writer_len(&w);
}

static enum book_verdict take(struct world *w, const struct identity *owner,
			      const struct statement *s)
{
	struct book_owner who = owner_of(w, owner);
	uint8_t bytes[STATEMENT_MAX];
	size_t len = bytes_of(s, bytes);

	return book_take(w->book, &who, bytes, len, NOW_S, NULL);
}

/* What is in the book: its first key byte, 0: nothing. */
static uint8_t held(const struct world *w, const struct identity *who, uint8_t backend)
{
	const struct statement *s = book_find(w->book, &who->key, backend);

	return s ? s->key[0] : 0;
}

static void the_vectors_are_taken_or_refused_as_they_say(void **state)
{
	struct world *w = *state;
	FILE *f = vectors_open("statements.txt");
	unsigned good = 0, unsigned_ = 0;
	char line[4096];

	while (vectors_line(f, line, sizeof(line))) {
		uint8_t bytes[STATEMENT_MAX + 2];
		struct book_owner owner;
		size_t len = unhex(line + 10, bytes, sizeof(bytes));
		struct statement s;
		enum book_verdict verdict;

		assert_true(vectors_line(f, line, sizeof(line)));
		if (!statement_parse(bytes, len, &s)) {
			assert_string_equal(line, "malformed");
			continue;
		}
		owner = (struct book_owner){s.kind, s.object, s.signer};
		book_remove(w->book, &s.signer);
		verdict = book_take(w->book, &owner, bytes, len, UINT64_MAX, NULL);
		assert_int_equal(verdict, line[0] == 'g' ? BOOK_NEW : BOOK_SIGNATURE);
		good += line[0] == 'g';
		unsigned_ += line[0] == 'u';
	}
	assert_true(good >= 5 && unsigned_ >= 9);
}

/* PROTOCOL 9.2 */
static void the_latest_date_counts_whatever_comes_after(void **state)
{
	struct world *w = *state;
	struct statement first = make(w, &w->alice, BACKEND_WIREGUARD, NOW_S - 100, 1);
	struct statement later = make(w, &w->alice, BACKEND_WIREGUARD, NOW_S - 99, 2);
	struct statement other = make(w, &w->alice, BACKEND_WIREGUARD, NOW_S - 99, 3);

	assert_int_equal(take(w, &w->alice, &first), BOOK_NEW);
	assert_int_equal(take(w, &w->alice, &first), BOOK_SAME);
	assert_int_equal(held(w, &w->alice, BACKEND_WIREGUARD), 1);
	assert_int_equal(take(w, &w->alice, &later), BOOK_NEW);
	assert_int_equal(take(w, &w->alice, &first), BOOK_OLD);
	assert_int_equal(take(w, &w->alice, &other), BOOK_CONFLICT);
	assert_int_equal(held(w, &w->alice, BACKEND_WIREGUARD), 2);
	assert_int_equal(held(w, &w->alice, BACKEND_TINC), 0);
}

static void who_it_is_for_and_who_signed_it_are_checked(void **state)
{
	struct world *w = *state;
	struct statement s = make(w, &w->bob, BACKEND_WIREGUARD, NOW_S, 1);
	struct book_owner service = owner_of(w, &w->bob);
	uint8_t bytes[STATEMENT_MAX];
	size_t len;

	/* Somebody else's under his name. */
	assert_int_equal(take(w, &w->alice, &s), BOOK_SIGNER);
	/* His own name under somebody else's signature. */
	s.signer = w->alice.key;
	assert_int_equal(take(w, &w->alice, &s), BOOK_SIGNATURE);
	s = make(w, &w->alice, BACKEND_WIREGUARD, NOW_S, 1);
	s.key[31] ^= 1;
	assert_int_equal(take(w, &w->alice, &s), BOOK_SIGNATURE);
	s = make(w, &w->alice, BACKEND_WIREGUARD, NOW_S, 1);
	s.date++;
	assert_int_equal(take(w, &w->alice, &s), BOOK_SIGNATURE);
	s = make(w, &w->alice, BACKEND_WIREGUARD, NOW_S, 1);
	s.backend = BACKEND_TINC;
	assert_int_equal(take(w, &w->alice, &s), BOOK_SIGNATURE);
	s.object = w->other;
	assert_int_equal(take(w, &w->alice, &s), BOOK_OBJECT);
	/* The key of a node is not that of a service of the same id. */
	s = make(w, &w->bob, BACKEND_TINC, NOW_S, 1);
	len = bytes_of(&s, bytes);
	service.kind = OBJECT_OVC;
	assert_int_equal(book_take(w->book, &service, bytes, len, NOW_S, NULL), BOOK_OBJECT);
	assert_int_equal(book_take(w->book, &service, bytes, len - 1, NOW_S, NULL), BOOK_MALFORMED);
	assert_null(book_find(w->book, &w->alice.key, BACKEND_WIREGUARD));
	assert_null(book_find(w->book, &w->bob.key, BACKEND_TINC));
	/* The other y of the same x verifies, and is another key. */
	s = make(w, &w->alice, BACKEND_TINC, NOW_S, 1);
	s.signer.bytes[0] ^= 1;
	assert_int_equal(take(w, &w->alice, &s), BOOK_SIGNER);
}

static void a_date_may_be_a_day_ahead_and_no_second_more(void **state)
{
	struct world *w = *state;
	struct statement s = make(w, &w->alice, BACKEND_TINC, NOW_S + DAY_S + 1, 1);

	assert_int_equal(take(w, &w->alice, &s), BOOK_FUTURE);
	s = make(w, &w->alice, BACKEND_TINC, UINT64_MAX, 1);
	assert_int_equal(take(w, &w->alice, &s), BOOK_FUTURE);
	assert_int_equal(held(w, &w->alice, BACKEND_TINC), 0);
	s = make(w, &w->alice, BACKEND_TINC, NOW_S + DAY_S, 2);
	assert_int_equal(take(w, &w->alice, &s), BOOK_NEW);
	s = make(w, &w->bob, BACKEND_TINC, 0, 3);
	assert_int_equal(take(w, &w->bob, &s), BOOK_NEW);
}

static void a_signer_has_at_most_four(void **state)
{
	struct world *w = *state;

	for (uint8_t i = 0; i <= BOOK_BACKENDS; i++) {
		struct statement s =
			make(w, &w->alice, (uint8_t)(BACKEND_TINC + i), NOW_S, (uint8_t)(i + 1));

		assert_int_equal(take(w, &w->alice, &s), i < BOOK_BACKENDS ? BOOK_NEW : BOOK_FULL);
		s = make(w, &w->alice, (uint8_t)(BACKEND_TINC + i), NOW_S + 1, (uint8_t)(i + 11));
		assert_int_equal(take(w, &w->alice, &s), i < BOOK_BACKENDS ? BOOK_NEW : BOOK_FULL);
	}
	assert_int_equal(held(w, &w->alice, BACKEND_TINC), 11);
}

static void who_is_removed_takes_his_with_him(void **state)
{
	struct world *w = *state;
	struct statement a = make(w, &w->alice, BACKEND_WIREGUARD, NOW_S, 1);
	struct statement b = make(w, &w->alice, BACKEND_TINC, NOW_S, 2);
	struct statement c = make(w, &w->bob, BACKEND_TINC, NOW_S, 3);

	assert_int_equal(take(w, &w->alice, &a), BOOK_NEW);
	assert_int_equal(take(w, &w->alice, &b), BOOK_NEW);
	assert_int_equal(take(w, &w->bob, &c), BOOK_NEW);
	assert_int_equal(book_remove(w->book, &w->alice.key), 2);
	assert_int_equal(book_remove(w->book, &w->alice.key), 0);
	assert_int_equal(held(w, &w->alice, BACKEND_WIREGUARD), 0);
	assert_int_equal(held(w, &w->bob, BACKEND_TINC), 3);
}

static void each_failing_allocation_refuses_one_and_changes_nothing(void **state)
{
	struct world *w = *state;
	struct statement a = make(w, &w->alice, BACKEND_TINC, NOW_S, 1);
	unsigned rounds = 0;

	for (failing_allocation = 0;; failing_allocation++, rounds++) {
		allocations = 0;
		if (take(w, &w->alice, &a) == BOOK_NEW)
			break;
		assert_null(book_find(w->book, &w->alice.key, BACKEND_TINC));
		assert_int_equal(book_remove(w->book, &w->alice.key), 0);
	}
	failing_allocation = -1;
	assert_true(rounds >= 4);
	assert_int_equal(held(w, &w->alice, BACKEND_TINC), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(the_vectors_are_taken_or_refused_as_they_say),
		T(the_latest_date_counts_whatever_comes_after),
		T(who_it_is_for_and_who_signed_it_are_checked),
		T(a_date_may_be_a_day_ahead_and_no_second_more),
		T(a_signer_has_at_most_four),
		T(who_is_removed_takes_his_with_him),
		T(each_failing_allocation_refuses_one_and_changes_nothing),
#undef T
	};

	return cmocka_run_group_tests_name("core/book", tests, NULL, NULL);
}
