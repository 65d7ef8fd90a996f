#include "fixture/test.h"

#include "fixture/temp.h"
#include "os/file.h"
#include "service/usage.h"
#include "wire/bech32.h"

#include <errno.h>
#include <sys/stat.h>

static struct temp folder;
static struct object_id dnets[2];
static uint64_t bytes[2];
static unsigned sets;

static int setup(void **state)
{
	(void)state;
	temp_make(&folder);
	memset(bytes, 0, sizeof(bytes));
	sets = 0;
	for (int i = 0; i < 2; i++)
		memset(dnets[i].bytes, 0xd0 + i, sizeof(dnets[i].bytes));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	temp_remove(&folder);
	return 0;
}

static uint64_t get(void *arg, const struct object_id *dnet)
{
	(void)arg;
	return bytes[object_id_equal(dnet, &dnets[1])];
}

static int set(void *arg, const struct object_id *dnet, uint64_t n)
{
	(void)arg;
	sets++;
	bytes[object_id_equal(dnet, &dnets[1])] = n;
	return 0;
}

static struct usage *open_usage(void)
{
	return usage_open(folder.path, get, set, NULL);
}

static void write_file(const char *text)
{
	char path[256];

	assert_int_equal(
		file_replace(temp_file(&folder, "usage.json", path), text, strlen(text), 0600), 0);
}

static bool there_is(const char *name)
{
	char path[256];
	struct stat st;

	return stat(temp_file(&folder, name, path), &st) == 0;
}

static void what_was_used_is_there_after_a_restart(void **state)
{
	struct usage *usage = open_usage();

	(void)state;
	usage_load(usage, &dnets[0]);
	usage_load(usage, &dnets[1]);
	assert_int_equal(sets, 0); /* nothing is known */
	bytes[0] = 5000;
	bytes[1] = (uint64_t)1 << 52;
	usage_save(usage);
	usage_close(usage);
	bytes[0] = bytes[1] = 0;
	usage = open_usage();
	usage_load(usage, &dnets[0]);
	usage_load(usage, &dnets[1]);
	assert_int_equal(bytes[0], 5000);
	assert_true(bytes[1] == (uint64_t)1 << 52);
	usage_close(usage);
}

static void a_tenant_is_told_once_in_a_run(void **state)
{
	struct usage *usage;

	(void)state;
	bytes[0] = 7;
	usage = open_usage();
	usage_load(usage, &dnets[0]);
	usage_save(usage);
	usage_close(usage);
	usage = open_usage();
	usage_load(usage, &dnets[0]);
	bytes[0] = 100;
	usage_load(usage, &dnets[0]); /* the records changed */
	assert_int_equal(sets, 1);
	assert_int_equal(bytes[0], 100);
	usage_close(usage);
}

static void who_is_not_served_now_keeps_what_the_file_has(void **state)
{
	struct usage *usage = open_usage();

	(void)state;
	usage_load(usage, &dnets[0]);
	bytes[0] = 42;
	usage_save(usage);
	usage_close(usage);
	usage = open_usage();
	usage_load(usage, &dnets[1]);
	bytes[1] = 43;
	usage_save(usage);
	usage_close(usage);
	bytes[0] = 0;
	usage = open_usage();
	usage_load(usage, &dnets[0]);
	assert_int_equal(bytes[0], 42);
	usage_close(usage);
}

static void a_file_is_written_only_when_a_number_changed(void **state)
{
	struct usage *usage = open_usage();
	char path[256];

	(void)state;
	usage_load(usage, &dnets[0]);
	usage_save(usage);
	assert_false(there_is("usage.json"));
	bytes[0] = 1;
	usage_save(usage);
	assert_true(there_is("usage.json"));
	assert_int_equal(unlink(temp_file(&folder, "usage.json", path)), 0);
	usage_save(usage);
	assert_false(there_is("usage.json"));
	usage_close(usage);
}

static void what_could_not_be_written_is_written_later(void **state)
{
	struct usage *usage = open_usage();
	char moved[128];

	(void)state;
	usage_load(usage, &dnets[0]);
	bytes[0] = 99;
	snprintf(moved, sizeof(moved), "%s-away", folder.path);
	assert_int_equal(rename(folder.path, moved), 0);
	usage_save(usage);
	assert_int_equal(rename(moved, folder.path), 0);
	assert_false(there_is("usage.json"));
	usage_save(usage); /* nothing moved since */
	assert_true(there_is("usage.json"));
	usage_close(usage);
}

static void a_damaged_file_is_kept_aside(void **state)
{
	static const char *const bad[] = {"", "{", "[]", "{\"a\": 1} x", "5"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct usage *usage;
		char path[256];

		write_file(bad[i]);
		usage = open_usage();
		usage_load(usage, &dnets[0]);
		assert_int_equal(sets, 0);
		assert_true(there_is("usage.json.bad"));
		assert_false(there_is("usage.json"));
		assert_int_equal(unlink(temp_file(&folder, "usage.json.bad", path)), 0);
		usage_close(usage);
	}
}

static void entries_that_are_no_numbers_count_as_nothing(void **state)
{
	static const char *const bad[] = {"-1", "\"5\"", "1.5", "null", "{}"};
	char id[OBJECT_ID_TEXT_SIZE], text[256];

	(void)state;
	object_id_format(OBJECT_DNET, &dnets[0], id);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct usage *usage;

		snprintf(text, sizeof(text), "{\"%s\": %s, \"dnet1x\": 7}", id, bad[i]);
		write_file(text);
		usage = open_usage();
		usage_load(usage, &dnets[0]);
		assert_int_equal(sets, 0);
		usage_close(usage);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_was_used_is_there_after_a_restart),
		TEST(a_tenant_is_told_once_in_a_run),
		TEST(who_is_not_served_now_keeps_what_the_file_has),
		TEST(a_file_is_written_only_when_a_number_changed),
		TEST(what_could_not_be_written_is_written_later),
		TEST(a_damaged_file_is_kept_aside),
		TEST(entries_that_are_no_numbers_count_as_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
