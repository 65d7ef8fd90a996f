#include "fixture/test.h"

#include "fixture/hex.h"
#include "fixture/vectors.h"
#include "wire/hash.h"
#include "wire/hex.h"
#include "wire/statement.h"

#include <inttypes.h>
#include <string.h>

/* The line that the vectors have for a good one. */
static void describe(const struct statement *s, char *text, size_t size)
{
	char object[2 * OBJECT_ID_LEN + 1], signer[2 * PUBKEY_LEN + 1], digest[2 * HASH_LEN + 1];
	char key[2 * STATEMENT_KEY_MAX + 1];
	struct hash256 hash;

	statement_digest(s, &hash);
	hex_format(s->object.bytes, OBJECT_ID_LEN, object);
	hex_format(s->signer.bytes, PUBKEY_LEN, signer);
	hex_format(s->key, s->key_len, key);
	hex_format(hash.bytes, HASH_LEN, digest);
	snprintf(text, size,
		 "good backend=%u kind=%u object=%s signer=%s date=%" PRIu64 " key=%s digest=%s",
		 s->backend, s->kind, object, signer, s->date, key, digest);
}

static void statements_say_what_the_vectors_say(void **state)
{
	FILE *f = vectors_open("statements.txt");
	char line[4096], said[4096];
	unsigned good = 0, malformed = 0;

	while (vectors_line(f, line, sizeof(line))) {
		uint8_t bytes[STATEMENT_MAX + 2], again[STATEMENT_MAX];
		struct statement s;
		struct writer w;
		size_t len;

		assert_memory_equal(line, "statement ", 10);
		len = unhex(line + 10, bytes, sizeof(bytes));
		assert_true(vectors_line(f, line, sizeof(line)));
		if (!strcmp(line, "malformed")) {
			assert_false(statement_parse(bytes, len, &s));
			malformed++;
			continue;
		}
		assert_true(statement_parse(bytes, len, &s));
		writer_init(&w, again, sizeof(again));
		statement_write(&w, &s);
		assert_false(w.failed);
		assert_int_equal(writer_len(&w), len);
		assert_memory_equal(again, bytes, len);
		describe(&s, said, sizeof(said));
		if (strcmp(line, "unsigned") != 0) {
			assert_string_equal(said, line);
			good++;
		}
	}
	assert_true(good >= 5 && malformed >= 12);
}

static struct statement some(uint8_t backend, uint16_t key_len)
{
	struct statement s = {.backend = backend,
			      .kind = OBJECT_DNET,
			      .signer = {{2}},
			      .date = 5,
			      .key_len = key_len};

	return s;
}

static bool writes(const struct statement *s)
{
	uint8_t bytes[STATEMENT_MAX + 1];
	struct statement back;
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	statement_write(&w, s);
	assert_true(w.failed || statement_parse(bytes, writer_len(&w), &back));
	return !w.failed;
}

static void what_would_be_refused_is_not_written(void **state)
{
	static const struct {
		uint8_t backend;
		uint16_t key_len;
		bool good;
	} table[] = {
		{0, 1, false},
		{BACKEND_NATIVE, 1, false},
		{BACKEND_WIREGUARD, 31, false},
		{BACKEND_WIREGUARD, 32, true},
		{BACKEND_WIREGUARD, 33, false},
		{BACKEND_TINC, 0, false},
		{BACKEND_TINC, 1, true},
		{BACKEND_TINC, STATEMENT_KEY_MAX, true},
		{BACKEND_TINC, STATEMENT_KEY_MAX + 1, false},
		{BACKEND_EXEC, STATEMENT_KEY_MAX, true},
		{255, 1, true},
	};
	struct statement s;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		s = some(table[i].backend, table[i].key_len);
		assert_int_equal(writes(&s), table[i].good);
	}
	s = some(BACKEND_TINC, 4);
	for (unsigned kind = 0; kind < 256; kind++) {
		s.kind = (uint8_t)kind;
		assert_int_equal(writes(&s), kind == OBJECT_DNET || kind == OBJECT_OVC);
	}
	s.kind = OBJECT_OVC;
	for (unsigned first = 0; first < 256; first++) {
		s.signer.bytes[0] = (uint8_t)first;
		assert_int_equal(writes(&s), first == 2 || first == 3);
	}
}

static void a_statement_is_taken_at_its_length_only(void **state)
{
	struct statement s = some(BACKEND_TINC, STATEMENT_KEY_MAX), back;
	uint8_t bytes[STATEMENT_MAX + 1] = {0};
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	statement_write(&w, &s);
	assert_int_equal(writer_len(&w), STATEMENT_MAX);
	for (size_t len = 0; len <= STATEMENT_MAX + 1; len++)
		assert_int_equal(statement_parse(bytes, len, &back), len == STATEMENT_MAX);
	writer_init(&w, bytes, STATEMENT_MAX - 1);
	statement_write(&w, &s);
	assert_true(w.failed);
	s = some(BACKEND_EXEC, 1);
	writer_init(&w, bytes, sizeof(bytes));
	statement_write(&w, &s);
	assert_int_equal(writer_len(&w), STATEMENT_MIN);
	assert_true(statement_parse(bytes, STATEMENT_MIN, &back));
	assert_false(statement_parse(bytes, STATEMENT_MIN - 1, &back));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_say_what_the_vectors_say),
		cmocka_unit_test(what_would_be_refused_is_not_written),
		cmocka_unit_test(a_statement_is_taken_at_its_length_only),
	};

	return cmocka_run_group_tests_name("wire/statement", tests, NULL, NULL);
}
