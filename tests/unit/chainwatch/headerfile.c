#include "fixture/test.h"

#include "chainwatch/headerfile.h"
#include "fixture/rng.h"
#include "fixture/temp.h"
#include "wire/buf.h"
#include "wire/tx.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
	RAW = BLOCK_HEADER_LEN,
	STRIDE = 81,
	HEAD_LEN = 48,
	MANY = HEADERFILE_GROUP_MAX + 1,
};

static const struct hash256 genesis = {{1, 2, 3}};
static uint8_t raw[MANY * STRIDE];

/* Header i is its number, all over. */
static void fill(void)
{
	for (uint32_t i = 0; i < MANY; i++)
		for (uint32_t k = 0; k < RAW; k += 4)
			store_u32(raw + (size_t)i * STRIDE + k, i);
}

struct seen {
	size_t count;
	size_t groups;
};

static int look(void *arg, const uint8_t *data, size_t count)
{
	struct seen *seen = arg;

	for (size_t i = 0; i < count; i++, seen->count++)
		assert_memory_equal(data + i * RAW, raw + seen->count % MANY * STRIDE, RAW);
	seen->groups++;
	return 0;
}

/* The file of a test, and what its last opening said. */
static struct temp folder;
static char path[256];
static struct seen seen;
static uint64_t cut;

static struct headerfile *open_file(void)
{
	struct headerfile *f = NULL;

	seen = (struct seen){0};
	cut = 1234;
	assert_int_equal(headerfile_open(path, &genesis, look, &seen, &f, &cut), 0);
	return f;
}

/* A new one with so many groups of one header. */
static void make_file(uint32_t groups)
{
	struct headerfile *f = open_file();

	for (uint32_t i = 0; i < groups; i++)
		assert_int_equal(headerfile_append(f, raw + i * STRIDE, STRIDE, 1), 0);
	headerfile_close(f);
}

static uint64_t size_now(void)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static int begin(void **state)
{
	fill();
	temp_make(&folder);
	temp_file(&folder, "headers", path);
	return 0;
}

static int end(void **state)
{
	temp_remove(&folder);
	return 0;
}

static void what_was_appended_is_there_after_a_restart(void **state)
{
	struct headerfile *f;

	f = open_file();
	assert_true(!seen.count && !cut);
	assert_int_equal(headerfile_append(f, raw, STRIDE, 1), 0);
	assert_int_equal(headerfile_append(f, raw + STRIDE, STRIDE, 0), 0);
	assert_int_equal(headerfile_append(f, raw + STRIDE, STRIDE, MANY - 1), 0);
	assert_int_equal(headerfile_sync(f), 0);
	headerfile_close(f);
	f = open_file();
	assert_true(seen.count == MANY && seen.groups == 2 && !cut);
	/* one more than a group has */
	assert_int_equal(headerfile_append(f, raw, STRIDE, MANY), 0);
	headerfile_close(f);
	f = open_file();
	assert_true(seen.count == 2 * MANY && seen.groups == 4 && !cut);
	headerfile_close(f);
	headerfile_close(NULL);
}

static void a_cut_tail_is_dropped_and_the_file_goes_on(void **state)
{
	struct headerfile *f;
	uint64_t size;

	make_file(3);
	size = size_now();
	for (uint64_t len = size - 1; len > 0; len--) {
		uint64_t groups = len < HEAD_LEN ? 0 : (len - HEAD_LEN) / 92;

		assert_int_equal(truncate(path, (off_t)len), 0);
		f = open_file();
		assert_int_equal(seen.count, groups);
		assert_int_equal(cut, len < HEAD_LEN ? 0 : (len - HEAD_LEN) % 92);
		/* …and the file is whole again */
		while (seen.count < 3) {
			assert_int_equal(headerfile_append(f, raw + seen.count * STRIDE, STRIDE, 1),
					 0);
			seen.count++;
		}
		headerfile_close(f);
		assert_int_equal(size_now(), size);
	}
}

static void a_flipped_bit_drops_what_follows_and_nothing_else(void **state)
{
	struct headerfile *f;
	uint8_t copy[HEAD_LEN + 3 * 92];
	int fd;

	make_file(3);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, copy, sizeof(copy), 0), sizeof(copy));
	for (size_t bit = 0; bit < 8 * sizeof(copy); bit++) {
		uint8_t flipped = copy[bit / 8] ^ (uint8_t)(1 << bit % 8);
		int r;

		assert_int_equal(pwrite(fd, copy, sizeof(copy), 0), sizeof(copy));
		assert_int_equal(pwrite(fd, &flipped, 1, (off_t)bit / 8), 1);
		seen = (struct seen){0};
		f = NULL;
		r = headerfile_open(path, &genesis, look, &seen, &f, &cut);
		if (bit / 8 < HEAD_LEN) {
			assert_int_equal(r, -EBADMSG);
			assert_int_equal(size_now(), sizeof(copy));
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(seen.count, (bit / 8 - HEAD_LEN) / 92);
		assert_int_equal(cut, sizeof(copy) - HEAD_LEN - seen.count * 92);
		headerfile_close(f);
	}
	close(fd);
}

static void another_file_another_chain_and_another_process_are_refused(void **state)
{
	const struct hash256 other = {{9}};
	struct headerfile *f, *second = NULL;
	int fd;

	f = open_file();
	assert_int_equal(headerfile_open(path, &genesis, look, &seen, &second, &cut), -EBUSY);
	headerfile_close(f);
	assert_int_equal(headerfile_open(path, &other, look, &seen, &second, &cut), -EBADMSG);
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "my diary", 8), 8);
	close(fd);
	assert_int_equal(headerfile_open(path, &genesis, look, &seen, &second, &cut), -EBADMSG);
	assert_int_equal(size_now(), 8);
	assert_null(second);
}

static int refuse(void *arg, const uint8_t *data, size_t count)
{
	return -ENOMEM;
}

static void who_cannot_take_the_headers_gets_no_file(void **state)
{
	struct headerfile *f = NULL;

	make_file(1);
	assert_int_equal(headerfile_open(path, &genesis, refuse, NULL, &f, &cut), -ENOMEM);
	assert_null(f);
}

static void limit_size(uint64_t size, struct rlimit *ret_before)
{
	struct rlimit small;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, ret_before), 0);
	small = *ret_before;
	small.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
}

/* A limit of the file's size stands for a full disk: the write stops in the middle. */
static void a_full_disk_leaves_the_file_as_it_was(void **state)
{
	struct rlimit before;
	struct headerfile *f;

	f = open_file();
	assert_int_equal(headerfile_append(f, raw, STRIDE, 1), 0);
	limit_size(HEADERFILE_GROUP_MAX * RAW + 100, &before);
	assert_int_equal(headerfile_append(f, raw + STRIDE, STRIDE, MANY - 1), -EFBIG);
	assert_int_equal(headerfile_append(f, raw + STRIDE, STRIDE, 1), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(headerfile_append(f, raw + 2 * STRIDE, STRIDE, MANY - 2), 0);
	headerfile_close(f);
	f = open_file();
	assert_true(seen.count == MANY && !cut);
	headerfile_close(f);
}

static void what_the_disk_did_not_take_goes_before_the_next(void **state)
{
	struct headerfile *f = open_file();
	struct rlimit before;

	assert_int_equal(headerfile_keep(f, raw, STRIDE, 2), 0);
	limit_size(size_now(), &before);
	assert_int_equal(headerfile_keep(f, raw + 2 * STRIDE, STRIDE, 3), -EFBIG);
	assert_int_equal(headerfile_keep(f, raw + 5 * STRIDE, STRIDE, 1), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(headerfile_keep(f, raw + 6 * STRIDE, STRIDE, MANY - 6), 0);
	headerfile_close(f);
	f = open_file();
	assert_true(seen.count == MANY && !cut);
	headerfile_close(f);
}

static int count_only(void *arg, const uint8_t *data, size_t count)
{
	*(size_t *)arg += count;
	return 0;
}

/* So many wait; then the disk has room again. */
static void wait_and_write(size_t waiting, int result, int next)
{
	struct headerfile *f = open_file();
	struct rlimit before;

	assert_int_equal(headerfile_keep(f, raw, STRIDE, 1), 0);
	limit_size(size_now(), &before);
	for (size_t part; waiting > 1; waiting -= part) {
		part = waiting - 1 < HEADERFILE_GROUP_MAX ? waiting - 1 : HEADERFILE_GROUP_MAX;
		assert_int_equal(headerfile_keep(f, raw, STRIDE, part), -EFBIG);
	}
	assert_int_equal(headerfile_keep(f, raw, STRIDE, 1), result);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(headerfile_keep(f, raw, STRIDE, 1), next);
	headerfile_close(f);
}

static size_t count_now(void)
{
	struct headerfile *f = NULL;
	size_t count = 0;

	assert_int_equal(headerfile_open(path, &genesis, count_only, &count, &f, &cut), 0);
	headerfile_close(f);
	return count;
}

static void as_many_as_may_wait_are_written(void **state)
{
	wait_and_write(HEADERFILE_LATE_MAX, -EFBIG, 0);
	assert_int_equal(count_now(), HEADERFILE_LATE_MAX + 2);
}

/* There is no gap: the rest is downloaded again. */
static void one_more_than_may_wait_ends_the_file(void **state)
{
	wait_and_write(HEADERFILE_LATE_MAX + 1, -ENOSPC, -ENOSPC);
	assert_int_equal(count_now(), 1);
}

static void append_for_ever(void)
{
	struct headerfile *f;

	f = open_file();
	for (size_t i = seen.count;; i++)
		if (headerfile_append(f, raw + i % MANY * STRIDE, STRIDE, 1) < 0)
			_exit(1);
}

static void a_kill_at_any_instant_loses_no_header_before_it(void **state)
{
	struct rng rng = rng_new("headerfile");
	struct headerfile *f;
	size_t before = 0;

	headerfile_close(open_file());
	for (int i = 0; i < 40; i++) {
		uint64_t goal = size_now() + 92 * (1 + rng_below(&rng, 400));
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (!pid)
			append_for_ever();
		/* it is killed when it has written so much, in whatever it does then */
		while (size_now() < goal)
			;
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		f = open_file();
		assert_true(cut < 92 && seen.count > before);
		before = seen.count;
		headerfile_close(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
		TEST(what_was_appended_is_there_after_a_restart),
		TEST(a_cut_tail_is_dropped_and_the_file_goes_on),
		TEST(a_flipped_bit_drops_what_follows_and_nothing_else),
		TEST(another_file_another_chain_and_another_process_are_refused),
		TEST(who_cannot_take_the_headers_gets_no_file),
		TEST(a_full_disk_leaves_the_file_as_it_was),
		TEST(what_the_disk_did_not_take_goes_before_the_next),
		TEST(as_many_as_may_wait_are_written),
		TEST(one_more_than_may_wait_ends_the_file),
		TEST(a_kill_at_any_instant_loses_no_header_before_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
