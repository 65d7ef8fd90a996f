#include "fixture/test.h"

#include "node/state.h"
#include "os/base.h"
#include "os/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/dnet-state-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static void path_in(const char *name, char path[static 128])
{
	snprintf(path, 128, "%s/%s", folder, name);
}

static int remove_folder(void **state)
{
	static const char *const names[] = {"master.key", "node.json"};
	char path[128];
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		path_in(names[i], path);
		unlink(path);
	}
	return rmdir(folder);
}

static struct state *reopen(struct state *s)
{
	char error[STATE_ERROR_MAX];
	state_close(s);
	assert_int_equal(state_open(folder, &s, error), 0);
	return s;
}

static struct object_id id_of(uint8_t n)
{
	return (struct object_id){{n}};
}

static void the_master_secret_is_made_once_and_only_ours_to_read(void **state)
{
	char path[128];
	struct stat st;
	struct secret first;
	(void)state;
	struct state *s = reopen(NULL);
	first = *state_master(s);
	path_in("master.key", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, SECRET_LEN);
	s = reopen(s);
	assert_memory_equal(state_master(s)->bytes, first.bytes, SECRET_LEN);
	state_close(s);
}

static void a_damaged_master_secret_is_never_replaced(void **state)
{
	char path[128], error[STATE_ERROR_MAX], *data;
	static const size_t sizes[] = {0, SECRET_LEN - 1, SECRET_LEN + 1};
	struct state *s;
	size_t len;
	(void)state;
	path_in("master.key", path);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_int_equal(
			file_replace(path, "0123456789012345678901234567890123", sizes[i], 0600),
			0);
		assert_int_equal(state_open(folder, &s, error), -EBADMSG);
		assert_non_null(strstr(error, "master.key"));
		assert_int_equal(file_read(path, 100, &data, &len), 0);
		assert_int_equal(len, sizes[i]);
		free(data);
	}
}

static void joined_dnets_and_port_survive(void **state)
{
	struct object_id a = id_of(1), b = id_of(2);
	(void)state;
	struct state *s = reopen(NULL);
	assert_int_equal(state_port(s), 0);
	assert_int_equal(state_add(s, &a, ""), 0);
	assert_int_equal(state_add(s, &b, ""), 0);
	assert_int_equal(state_add(s, &b, ""), -EEXIST);
	assert_int_equal(state_set_port(s, 4242), 0);
	assert_int_equal(state_time(s), 0);
	assert_int_equal(state_set_time(s, 5000000000), 0);
	assert_int_equal(state_set_down(s, &b, true), 0);
	s = reopen(s);
	assert_int_equal(state_port(s), 4242);
	assert_true(state_time(s) == 5000000000);
	assert_int_equal(state_dnet_count(s), 2);
	assert_int_equal(state_find(s, &a)->number, 0);
	assert_int_equal(state_find(s, &b)->number, 1);
	assert_false(state_find(s, &a)->down);
	assert_true(state_find(s, &b)->down);
	state_close(s);
}

static void interface_numbers_stay_and_free_ones_are_taken_again(void **state)
{
	struct object_id a = id_of(1), b = id_of(2), c = id_of(3);
	(void)state;
	struct state *s = reopen(NULL);
	state_add(s, &a, "");
	state_add(s, &b, "");
	assert_int_equal(state_remove(s, &a), 0);
	assert_int_equal(state_remove(s, &a), -ENOENT);
	s = reopen(s);
	assert_int_equal(state_find(s, &b)->number, 1);
	state_add(s, &c, "");
	assert_int_equal(state_find(s, &c)->number, 0);
	state_close(s);
}

static void the_number_of_dnets_is_limited(void **state)
{
	(void)state;
	struct state *s = reopen(NULL);
	for (unsigned i = 0; i < STATE_DNETS_MAX; i++) {
		struct object_id id = id_of((uint8_t)(i + 1));
		assert_int_equal(state_add(s, &id, ""), 0);
	}
	struct object_id more = id_of(200);
	assert_int_equal(state_add(s, &more, ""), -EUSERS);
	s = reopen(s);
	assert_int_equal(state_dnet_count(s), STATE_DNETS_MAX);
	state_close(s);
}

static void a_damaged_file_is_named_and_stays(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{\"format\": 2, \"port\": 1, \"dnets\": []}",
		"{\"format\": 1, \"port\": 70000, \"dnets\": []}",
		"{\"format\": 1, \"port\": 1, \"time\": -1, \"dnets\": []}",
		"{\"format\": 1, \"port\": 1, \"dnets\": [{\"id\": \"dnet1x\", \"number\": 0}]}",
	};
	char path[128], error[STATE_ERROR_MAX];
	struct state *s;
	(void)state;
	path_in("node.json", path);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(file_replace(path, texts[i], strlen(texts[i]), 0600), 0);
		assert_int_equal(state_open(folder, &s, error), -EBADMSG);
		assert_non_null(strstr(error, "node.json:"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_master_secret_is_made_once_and_only_ours_to_read, make_folder,
			remove_folder),
		cmocka_unit_test_setup_teardown(a_damaged_master_secret_is_never_replaced,
						make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(joined_dnets_and_port_survive, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(
			interface_numbers_stay_and_free_ones_are_taken_again, make_folder,
			remove_folder),
		cmocka_unit_test_setup_teardown(the_number_of_dnets_is_limited, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_named_and_stays, make_folder,
						remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
