#include "fixture/test.h"

#include "core/book.h"
#include "core/id.h"
#include "fixture/temp.h"
#include "os/file.h"
#include "service/statements.h"
#include "wire/buf.h"
#include "wire/hex.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOW_S = 1700000000, DAY_S = 86400 };

static struct temp folder;
static struct object_id dnet;
static struct id *curve;
static struct identity alice, bob;

static int setup(void **state)
{
	static const uint8_t seed[ID_SEED_LEN] = {4};
	struct secret secret;

	(void)state;
	temp_make(&folder);
	memset(&dnet, 0xd0, sizeof(dnet));
	curve = id_new(seed);
	memset(&secret, 1, sizeof(secret));
	assert_int_equal(id_from_secret(curve, &secret, &alice), 0);
	memset(&secret, 2, sizeof(secret));
	assert_int_equal(id_from_secret(curve, &secret, &bob), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	id_free(curve);
	temp_remove(&folder);
	return 0;
}

static char *file_name(char path[static 256])
{
	char hex[2 * OBJECT_ID_LEN + 1], name[128];

	hex_format(dnet.bytes, OBJECT_ID_LEN, hex);
	snprintf(name, sizeof(name), "statements-%s.json", hex);
	return temp_file(&folder, name, path);
}

static struct statement make(const struct identity *who, uint8_t backend, uint64_t date)
{
	static const uint8_t aux[32];
	struct statement s = {.backend = backend,
			      .kind = OBJECT_DNET,
			      .object = dnet,
			      .signer = who->key,
			      .date = date,
			      .key_len = 32};

	memset(s.key, (int)date, s.key_len);
	book_sign(curve, who, aux, &s);
	return s;
}

static struct statements *open_again(struct statements *s)
{
	statements_close(s);
	return statements_open(folder.path, &dnet);
}

static uint64_t date_of(const struct statements *s, const struct identity *who, uint8_t backend)
{
	for (size_t i = 0; i < statements_count(s); i++) {
		const struct statement *here = statements_at(s, i);

		if (here->backend == backend && node_key_equal(&here->signer, &who->key))
			return here->date;
	}
	return 0;
}

static void what_was_saved_is_there_after_a_restart_and_verifies(void **state)
{
	struct statement a = make(&alice, BACKEND_TINC, 10), b = make(&bob, BACKEND_WIREGUARD, 20);
	struct statements *s = statements_open(folder.path, &dnet);
	struct stat st;
	char path[256];

	(void)state;
	assert_int_equal(statements_count(s), 0);
	assert_int_equal(statements_save(s), 0);
	assert_int_equal(stat(file_name(path), &st), -1);
	statements_put(s, &a);
	statements_put(s, &b);
	assert_int_equal(statements_save(s), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	s = open_again(s);
	assert_int_equal(statements_count(s), 2);
	assert_int_equal(date_of(s, &alice, BACKEND_TINC), 10);
	assert_int_equal(date_of(s, &bob, BACKEND_WIREGUARD), 20);
	for (size_t i = 0; i < 2; i++)
		assert_true(book_is_signed(curve, statements_at(s, i)));
	statements_close(s);
	statements_remove(folder.path, &dnet);
	assert_int_equal(stat(path, &st), -1);
}

static void an_older_one_never_replaces_a_later_one(void **state)
{
	struct statement early = make(&alice, BACKEND_TINC, 10),
			 late = make(&alice, BACKEND_TINC, 11);
	struct statements *s = statements_open(folder.path, &dnet);

	(void)state;
	statements_put(s, &late);
	statements_put(s, &early);
	assert_int_equal(date_of(s, &alice, BACKEND_TINC), 11);
	assert_int_equal(statements_save(s), 0);
	s = open_again(s);
	statements_put(s, &early);
	assert_int_equal(date_of(s, &alice, BACKEND_TINC), 11);
	assert_int_equal(statements_count(s), 1);
	statements_close(s);
}

/* What the store gives back to a new book after a restart makes it refuse what is older. */
static void an_older_one_stays_refused_after_a_restart(void **state)
{
	struct statement early = make(&alice, BACKEND_TINC, NOW_S - 5);
	struct statement late = make(&alice, BACKEND_TINC, NOW_S - 4);
	struct book_owner owner = {OBJECT_DNET, dnet, alice.key};
	struct statements *s = statements_open(folder.path, &dnet);
	struct book *book = book_new(curve);
	uint8_t bytes[STATEMENT_MAX];
	struct writer w;

	(void)state;
	statements_put(s, &late);
	assert_int_equal(statements_save(s), 0);
	s = open_again(s);
	writer_init(&w, bytes, sizeof(bytes));
	statement_write(&w, statements_at(s, 0));
	assert_int_equal(book_take(book, &owner, bytes, writer_len(&w), NOW_S, NULL), BOOK_NEW);
	writer_init(&w, bytes, sizeof(bytes));
	statement_write(&w, &early);
	assert_int_equal(book_take(book, &owner, bytes, writer_len(&w), NOW_S, NULL), BOOK_OLD);
	book_free(book);
	statements_close(s);
}

static void our_own_one_stays_while_its_key_stays(void **state)
{
	struct statements *s = statements_open(folder.path, &dnet);
	struct statement first, again, next;
	uint8_t key[32] = {1};

	(void)state;
	assert_int_equal(
		statements_own(s, curve, &alice, BACKEND_WIREGUARD, key, 32, NOW_S, &first), 0);
	assert_int_equal(first.date, NOW_S);
	assert_true(book_is_signed(curve, &first));
	s = open_again(s);
	assert_int_equal(
		statements_own(s, curve, &alice, BACKEND_WIREGUARD, key, 32, NOW_S + 500, &again),
		0);
	assert_memory_equal(&first, &again, sizeof(first));
	/* Another key is dated later, also when the clock went back. */
	key[0] = 2;
	assert_int_equal(
		statements_own(s, curve, &alice, BACKEND_WIREGUARD, key, 32, NOW_S - 900, &next),
		0);
	assert_int_equal(next.date, NOW_S + 1);
	assert_memory_equal(next.key, key, 32);
	s = open_again(s);
	assert_int_equal(date_of(s, &alice, BACKEND_WIREGUARD), NOW_S + 1);
	assert_int_equal(statements_count(s), 1);
	statements_close(s);
}

static void a_date_of_a_wrong_clock_is_left_behind(void **state)
{
	struct statements *s = statements_open(folder.path, &dnet);
	uint8_t key[32] = {1};
	struct statement one;

	(void)state;
	assert_int_equal(statements_own(s, curve, &alice, BACKEND_TINC, key, 32,
					NOW_S + 1000ull * DAY_S, &one),
			 0);
	assert_int_equal(statements_own(s, curve, &alice, BACKEND_TINC, key, 32, NOW_S, &one), 0);
	assert_int_equal(one.date, NOW_S);
	assert_true(book_is_signed(curve, &one));
	statements_close(s);
}

static void what_cannot_be_stored_is_not_given_out(void **state)
{
	struct statements *s = statements_open(folder.path, &dnet);
	uint8_t key[32] = {1};
	struct statement one = {0};
	char moved[128];

	(void)state;
	snprintf(moved, sizeof(moved), "%s-away", folder.path);
	assert_int_equal(rename(folder.path, moved), 0);
	assert_true(statements_own(s, curve, &alice, BACKEND_TINC, key, 32, NOW_S, &one) < 0);
	assert_true(statements_own(s, curve, &alice, BACKEND_TINC, key, 32, NOW_S, &one) < 0);
	assert_int_equal(one.date, 0);
	assert_int_equal(rename(moved, folder.path), 0);
	assert_int_equal(statements_own(s, curve, &alice, BACKEND_TINC, key, 32, NOW_S, &one), 0);
	assert_int_equal(one.date, NOW_S);
	s = open_again(s);
	assert_int_equal(date_of(s, &alice, BACKEND_TINC), NOW_S);
	statements_close(s);
}

static void who_left_the_dnet_is_forgotten(void **state)
{
	struct statement a = make(&alice, BACKEND_TINC, 10), b = make(&bob, BACKEND_TINC, 20);
	struct statement hub = make(&bob, BACKEND_TINC, 30);
	struct netmap_node node = {.key = alice.key};
	struct netmap_helper helper = {.kind = OBJECT_OVC, .id = {{7}}, .key = bob.key};
	struct netmap map = {
		.nodes = &node, .node_count = 1, .helpers = &helper, .helper_count = 1};
	struct statements *s = statements_open(folder.path, &dnet);

	(void)state;
	hub.kind = OBJECT_OVC;
	hub.object = helper.id;
	statements_put(s, &a);
	statements_put(s, &b);
	statements_put(s, &hub);
	assert_int_equal(statements_count(s), 3);
	statements_prune(s, &map);
	assert_int_equal(statements_save(s), 0);
	s = open_again(s);
	assert_int_equal(statements_count(s), 2);
	assert_int_equal(date_of(s, &alice, BACKEND_TINC), 10);
	assert_int_equal(date_of(s, &bob, BACKEND_TINC), 30);
	map.helper_count = 0;
	statements_prune(s, &map);
	assert_int_equal(statements_count(s), 1);
	statements_close(s);
}

static void damage_is_kept_aside_and_begun_anew(void **state)
{
	struct statement a = make(&alice, BACKEND_TINC, 10);
	struct statements *s = statements_open(folder.path, &dnet);
	char path[256], aside[300], *whole;
	struct stat st;
	size_t len;

	(void)state;
	statements_put(s, &a);
	assert_int_equal(statements_save(s), 0);
	assert_int_equal(file_read(file_name(path), 1 << 20, &whole, &len), 0);
	snprintf(aside, sizeof(aside), "%s.bad", path);
	/* Cut anywhere, or another character in the place of one. */
	for (size_t at = 0; at < len; at += 7) {
		char was = whole[at];

		assert_int_equal(file_replace(path, whole, at, 0600), 0);
		s = open_again(s);
		assert_int_equal(statements_count(s), 0);
		assert_int_equal(stat(aside, &st), 0);
		assert_int_equal(unlink(aside), 0);
		whole[at] = '\x01';
		assert_int_equal(file_replace(path, whole, len, 0600), 0);
		whole[at] = was;
		s = open_again(s);
		(void)unlink(aside); /* a space of the layout may be anything */
	}
	/* It goes on. */
	statements_put(s, &a);
	assert_int_equal(statements_save(s), 0);
	s = open_again(s);
	assert_int_equal(statements_count(s), 1);
	/* The file of another dnet is none of this one. */
	statements_close(s);
	dnet.bytes[0] ^= 1;
	assert_int_equal(file_replace(file_name(path), whole, len, 0600), 0);
	s = statements_open(folder.path, &dnet);
	assert_int_equal(statements_count(s), 0);
	statements_close(s);
	free(whole);
}

/* The child saves later and later dates, and says each that is saved. */
static _Noreturn void save_for_ever(int said)
{
	struct statements *s = statements_open(folder.path, &dnet);

	for (uint64_t date = date_of(s, &alice, BACKEND_TINC) + 1;; date++) {
		struct statement one = make(&alice, BACKEND_TINC, date);

		statements_put(s, &one);
		if (statements_save(s) < 0 || write(said, &date, sizeof(date)) != sizeof(date))
			_exit(1);
	}
}

static void a_kill_at_any_instant_loses_nothing_that_was_saved(void **state)
{
	uint64_t last = 0, kills = 12;

	(void)state;
	for (uint64_t i = 0; i < kills; i++) {
		struct statements *s;
		int pipe_fds[2], status;
		uint64_t date, saved;
		pid_t child;

		assert_int_equal(pipe(pipe_fds), 0);
		child = fork();
		assert_true(child >= 0);
		if (!child) {
			close(pipe_fds[0]);
			save_for_ever(pipe_fds[1]);
		}
		close(pipe_fds[1]);
		for (uint64_t k = 0; k < 3 + i % 4; k++) {
			assert_int_equal(read(pipe_fds[0], &date, sizeof(date)), sizeof(date));
			last = date;
		}
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		while (read(pipe_fds[0], &date, sizeof(date)) == sizeof(date))
			last = date;
		close(pipe_fds[0]);
		s = statements_open(folder.path, &dnet);
		saved = date_of(s, &alice, BACKEND_TINC);
		assert_true(saved == last || saved == last + 1);
		assert_int_equal(statements_count(s), 1);
		assert_true(book_is_signed(curve, statements_at(s, 0)));
		statements_close(s);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_was_saved_is_there_after_a_restart_and_verifies),
		TEST(an_older_one_never_replaces_a_later_one),
		TEST(an_older_one_stays_refused_after_a_restart),
		TEST(our_own_one_stays_while_its_key_stays),
		TEST(a_date_of_a_wrong_clock_is_left_behind),
		TEST(what_cannot_be_stored_is_not_given_out),
		TEST(who_left_the_dnet_is_forgotten),
		TEST(damage_is_kept_aside_and_begun_anew),
		TEST(a_kill_at_any_instant_loses_nothing_that_was_saved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
