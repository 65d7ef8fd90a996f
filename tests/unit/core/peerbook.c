#include "fixture/test.h"

#include "core/peerbook.h"
#include "fixture/rng.h"
#include "wire/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOW = 1700000000, FILTERS = 0x40 };

static const struct address teller = {.family = ADDR_V4, .bytes = {8, 8, 8, 8}};

static struct endpoint at(const char *text)
{
	struct endpoint e;

	assert_true(endpoint_parse(text, &e));
	return e;
}

static struct endpoint number(unsigned group, unsigned host)
{
	return (struct endpoint){
		.addr = {.family = ADDR_V4,
			 .bytes = {(uint8_t)(11 + group / 200), (uint8_t)(group % 200),
				   (uint8_t)(host / 200), (uint8_t)(1 + host % 200)}},
		.port = 8333};
}

static struct address source(unsigned n)
{
	return number(n, 0).addr;
}

static struct peerbook *make(void)
{
	struct peerbook *book = peerbook_new(false);

	assert_non_null(book);
	return book;
}

static void what_nobody_else_can_have_is_no_peer(void **state)
{
	static const char *const unusable[] = {
		"10.1.2.3:8333",	"127.0.0.1:8333",     "192.168.0.1:8333", "0.0.0.0:8333",
		"255.255.255.255:8333", "1.2.3.4:0",	      "[::1]:8333",	  "[fe80::1]:8333",
		"[fd00::1]:8333",	"[2001:db8::1]:8333",
	};
	struct peerbook *book = make(), *any = peerbook_new(true);
	struct endpoint e = at("1.2.3.4:8333");

	for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++) {
		struct endpoint bad = at(unusable[i]);

		assert_int_equal(peerbook_add(book, &bad, 0, &teller, 0), PEERBOOK_UNUSABLE);
	}
	assert_int_equal(peerbook_add(book, &e, 0, &teller, 0), PEERBOOK_ADDED);
	assert_int_equal(peerbook_add(book, &e, 0, &teller, 0), PEERBOOK_KNOWN);
	e = at("127.0.0.1:18444");
	assert_int_equal(peerbook_add(any, &e, 0, &teller, 0), PEERBOOK_ADDED);
	peerbook_free(book);
	peerbook_free(any);
}

static void no_group_and_no_teller_fills_the_book(void **state)
{
	struct peerbook *book = make();
	struct peerbook_counts counts;
	struct endpoint e;

	for (unsigned i = 0; i < PEERBOOK_GROUP_MAX; i++) {
		e = number(0, i);
		assert_int_equal(peerbook_add(book, &e, 0, &teller, 0), PEERBOOK_ADDED);
	}
	e = number(0, PEERBOOK_GROUP_MAX);
	assert_int_equal(peerbook_add(book, &e, 0, &teller, 0), PEERBOOK_CROWDED);
	for (unsigned i = PEERBOOK_GROUP_MAX; i < PEERBOOK_SOURCE_MAX; i++) {
		e = number(i, 0);
		assert_int_equal(peerbook_add(book, &e, 0, &teller, 0), PEERBOOK_ADDED);
	}
	e = number(PEERBOOK_SOURCE_MAX, 0);
	assert_int_equal(peerbook_add(book, &e, 0, &teller, 0), PEERBOOK_CROWDED);
	/* who answered is not counted: it is there by its own merit */
	e = number(0, 0);
	peerbook_on_success(book, &e, FILTERS, NOW);
	e = number(0, PEERBOOK_GROUP_MAX);
	assert_int_equal(peerbook_add(book, &e, 0, &teller, 0), PEERBOOK_ADDED);
	peerbook_count(book, &counts);
	assert_int_equal(counts.tried, 1);
	assert_int_equal(counts.fresh, PEERBOOK_SOURCE_MAX);
	peerbook_free(book);
}

static void a_flood_of_addresses_drives_out_none_that_answered(void **state)
{
	struct peerbook *book = make();
	struct peerbook_counts counts;
	struct rng rng = rng_new("peerbook");
	struct endpoint e;

	for (unsigned i = 0; i < 10; i++) {
		e = number(i, 0);
		peerbook_on_success(book, &e, FILTERS, NOW);
	}
	for (unsigned i = 0; i < 3 * PEERBOOK_MAX; i++) {
		struct address from = source(10 + i % 100);

		e = number(100 + i % 4000, i / 4000);
		peerbook_add(book, &e, FILTERS, &from, rng_next(&rng));
	}
	peerbook_count(book, &counts);
	assert_int_equal(counts.tried, 10);
	assert_int_equal(counts.fresh, PEERBOOK_MAX - 10);
	peerbook_free(book);
}

static void a_picked_one_is_of_a_new_group_and_has_what_is_wanted(void **state)
{
	struct peerbook *book = make();
	struct endpoint used[4], e;
	size_t count = 0;

	for (unsigned i = 0; i < 40; i++) {
		e = number(i % 8, i);
		/* groups 0 to 3 serve filters */
		peerbook_add(book, &e, i % 8 < 4 ? FILTERS : 0, &teller, 0);
	}
	for (; count < 4; count++) {
		assert_true(
			peerbook_pick(book, used, count, FILTERS, NOW, 7919 * count, &used[count]));
		assert_true(used[count].addr.bytes[1] < 4);
		for (size_t i = 0; i < count; i++)
			assert_false(peerbook_same_group(&used[i].addr, &used[count].addr));
	}
	/* none is left that has it: another group is better than nobody */
	assert_true(peerbook_pick(book, used, count, FILTERS, NOW, 1, &e));
	assert_true(e.addr.bytes[1] >= 4);
	peerbook_free(book);
}

static void who_fails_rests_twice_as_long_each_time_and_is_forgotten(void **state)
{
	struct peerbook *book = make();
	struct endpoint e = at("1.2.3.4:8333"), got;
	struct peerbook_counts counts;
	uint64_t now = NOW;

	peerbook_add(book, &e, 0, &teller, 0);
	for (unsigned i = 1; i < PEERBOOK_FAILURES_MAX; i++) {
		peerbook_on_failure(book, &e, now);
		now += 60u << (i - 1);
		assert_false(peerbook_pick(book, NULL, 0, 0, now - 1, i, &got));
		assert_true(peerbook_pick(book, NULL, 0, 0, now, i, &got));
	}
	peerbook_on_failure(book, &e, now);
	peerbook_count(book, &counts);
	assert_int_equal(counts.fresh, 0);
	/* who answered once is kept, however long it is away */
	peerbook_on_success(book, &e, 0, now);
	for (unsigned i = 0; i < 100; i++)
		peerbook_on_failure(book, &e, now);
	assert_false(peerbook_pick(book, NULL, 0, 0, now + 30000, 0, &got));
	assert_true(peerbook_pick(book, NULL, 0, 0, now + 31000, 0, &got));
	assert_true(peerbook_pick(book, NULL, 0, 0, now - 100, 0, &got));
	peerbook_free(book);
}

static void a_ban_has_a_reason_and_an_end(void **state)
{
	struct peerbook *book = make();
	struct endpoint e = at("1.2.3.4:8333"), got;
	char name[2 * PEERBOOK_NAME_SIZE];

	peerbook_add(book, &e, 0, &teller, 0);
	peerbook_ban(book, "1.2.3.4:8333", "a block that was not asked for", NOW, NOW + 100);
	assert_string_equal(peerbook_is_banned(book, "1.2.3.4:8333", NOW),
			    "a block that was not asked for");
	assert_null(peerbook_is_banned(book, "1.2.3.4:8334", NOW));
	assert_false(peerbook_pick(book, NULL, 0, 0, NOW + 99, 0, &got));
	assert_true(peerbook_pick(book, NULL, 0, 0, NOW + 100, 0, &got));
	/* the one that ends first makes room */
	for (unsigned i = 1; i <= PEERBOOK_BANS_MAX; i++) {
		snprintf(name, sizeof(name), "host%u:1", i);
		peerbook_ban(book, name, "x", NOW, NOW + 100 + i);
	}
	assert_null(peerbook_is_banned(book, "1.2.3.4:8333", NOW));
	assert_non_null(peerbook_is_banned(book, "host1:1", NOW));
	assert_null(peerbook_ban_at(book, PEERBOOK_BANS_MAX));
	/* a long name is one name however it is asked for */
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	peerbook_ban(book, name, name, NOW, NOW + 1000);
	assert_non_null(peerbook_is_banned(book, name, NOW));
	peerbook_free(book);
}

static void fill(struct peerbook *book)
{
	struct endpoint e;

	for (unsigned i = 0; i < 300; i++) {
		struct address from = source(i % 20);

		e = number(i % 50, i);
		peerbook_add(book, &e, i, &from, i);
		if (i % 7 == 0)
			peerbook_on_success(book, &e, i, NOW + i);
		if (i % 5 == 0)
			peerbook_on_failure(book, &e, NOW + i);
	}
	e = at("[2a00:1450:4001::1]:8333");
	peerbook_add(book, &e, 9, &teller, 0);
	peerbook_ban(book, "seed.example:8333", "lied", NOW, NOW + 5);
	peerbook_ban(book, "1.2.3.4:1", "", NOW, NOW + 6);
}

static void a_book_is_the_same_after_a_restart(void **state)
{
	static uint8_t mem[PEERBOOK_FILE_MAX], again[PEERBOOK_FILE_MAX];
	struct peerbook *book = make(), *other = make();
	struct endpoint a, b;
	struct writer w, w2;

	fill(book);
	writer_init(&w, mem, sizeof(mem));
	peerbook_write(book, &w);
	assert_false(w.failed);
	assert_true(peerbook_read(other, mem, writer_len(&w)));
	writer_init(&w2, again, sizeof(again));
	peerbook_write(other, &w2);
	assert_int_equal(writer_len(&w), writer_len(&w2));
	assert_memory_equal(mem, again, writer_len(&w));
	assert_string_equal(peerbook_is_banned(other, "seed.example:8333", NOW), "lied");
	for (unsigned i = 0; i < 100; i++) {
		assert_true(peerbook_pick(book, NULL, 0, 8, NOW + 1000, i * 77, &a));
		assert_true(peerbook_pick(other, NULL, 0, 8, NOW + 1000, i * 77, &b));
		assert_true(endpoint_equal(&a, &b));
	}
	peerbook_free(book);
	peerbook_free(other);
}

static void a_full_book_fits_its_file(void **state)
{
	static uint8_t mem[PEERBOOK_FILE_MAX];
	char name[PEERBOOK_NAME_SIZE + 10], reason[300];
	struct peerbook *book = make();
	struct writer w;

	for (unsigned i = 0; i < PEERBOOK_MAX; i++) {
		struct endpoint e = number(i, 0);

		peerbook_on_success(book, &e, UINT64_MAX, NOW);
	}
	memset(reason, 'r', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	for (unsigned i = 0; i < PEERBOOK_BANS_MAX; i++) {
		snprintf(name, sizeof(name), "%0140u", i);
		memmove(name, name + 140 - PEERBOOK_NAME_SIZE + 1, PEERBOOK_NAME_SIZE);
		peerbook_ban(book, name, reason, NOW, NOW + i + 1);
	}
	writer_init(&w, mem, sizeof(mem));
	peerbook_write(book, &w);
	assert_false(w.failed);
	peerbook_free(book);
}

static void a_damaged_file_leaves_the_book_empty(void **state)
{
	static uint8_t mem[PEERBOOK_FILE_MAX];
	struct peerbook *book = make(), *other = make();
	struct peerbook_counts counts;
	struct hash256 sum;
	struct writer w;
	size_t len;

	fill(book);
	writer_init(&w, mem, sizeof(mem));
	peerbook_write(book, &w);
	len = writer_len(&w);
	for (size_t cut = 0; cut < len; cut += 1 + len / 500)
		assert_false(peerbook_read(other, mem, cut));
	for (size_t i = 0; i < len; i += 1 + len / 500) {
		mem[i] ^= 4;
		assert_false(peerbook_read(other, mem, len));
		mem[i] ^= 4;
	}
	/* right sums do not make a wrong file right: a count that is too large, another version */
	for (size_t i = 4; i < 9; i++) {
		mem[i] ^= 0x40;
		hash_sha256d(mem, len - HASH_LEN, &sum);
		memcpy(mem + len - HASH_LEN, sum.bytes, HASH_LEN);
		assert_false(peerbook_read(other, mem, len));
		mem[i] ^= 0x40;
	}
	peerbook_count(other, &counts);
	assert_int_equal(counts.tried + counts.fresh + counts.bans, 0);
	peerbook_free(book);
	peerbook_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nobody_else_can_have_is_no_peer),
		cmocka_unit_test(no_group_and_no_teller_fills_the_book),
		cmocka_unit_test(a_flood_of_addresses_drives_out_none_that_answered),
		cmocka_unit_test(a_picked_one_is_of_a_new_group_and_has_what_is_wanted),
		cmocka_unit_test(who_fails_rests_twice_as_long_each_time_and_is_forgotten),
		cmocka_unit_test(a_ban_has_a_reason_and_an_end),
		cmocka_unit_test(a_book_is_the_same_after_a_restart),
		cmocka_unit_test(a_full_book_fits_its_file),
		cmocka_unit_test(a_damaged_file_leaves_the_book_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
