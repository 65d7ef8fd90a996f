#include "fixture/test.h"

#include "fixture/temp.h"
#include "os/base.h"
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct temp folder;

static int make_folder(void **state)
{
	temp_make(&folder);
	return 0;
}

static int remove_folder(void **state)
{
	temp_remove(&folder);
	return 0;
}

static unsigned entries(void)
{
	DIR *dir = opendir(folder.path);
	unsigned count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

static void replacing_leaves_the_new_content_and_nothing_else(void **state)
{
	char path[256], *text;
	struct stat st;
	size_t len;

	temp_file(&folder, "state", path);
	assert_int_equal(file_replace(path, "old", 3, 0644), 0);
	assert_int_equal(file_replace(path, "new\0x", 5, 0600), 0);
	assert_int_equal(file_read(path, 5, &text, &len), 0);
	assert_int_equal(len, 5);
	assert_memory_equal(text, "new\0x", 6);
	free(text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(entries(), 1);
}

static void a_failed_replacement_leaves_nothing(void **state)
{
	char path[256];

	temp_file(&folder, "taken", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(file_replace(path, "x", 1, 0600), -EISDIR);
	assert_int_equal(entries(), 1);
	assert_int_equal(file_replace("/nowhere/at/all", "x", 1, 0600), -ENOENT);
}

/* As after SIGKILL between the writing beside the file and the renaming. */
static void what_a_killed_replacement_left_is_swept_and_nothing_else(void **state)
{
	static const char *const names[] = {"a.new-",	   "a.new-x1Y2z",  "a.new-x1Y2z34",
					    ".new-x1Y2z3", "a.old-x1Y2z3", "new-x1Y2z3"};
	char path[256], *text = NULL;
	pid_t pid;
	int status;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		temp_file(&folder, names[i], path);
		assert_int_equal(file_replace(path, "x", 1, 0600), 0);
	}
	temp_file(&folder, "state", path);
	assert_int_equal(file_replace(path, "old", 3, 0600), 0);
	pid = fork();
	if (pid == 0) {
		/* a limit on files makes write() fatal: SIGXFSZ, in the middle of it */
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 1, .rlim_max = 1});
		(void)file_replace(path, "new", 3, 0600);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(entries(), ARRAY_SIZE(names) + 2);
	assert_int_equal(file_sweep(folder.path), 0);
	assert_int_equal(entries(), ARRAY_SIZE(names) + 1);
	assert_int_equal(file_read(path, 3, &text, NULL), 0);
	assert_string_equal(text, "old");
	free(text);
	assert_int_equal(file_sweep("/nowhere/at/all"), -ENOENT);
}

static void what_was_left_of_one_file_is_swept_and_of_no_other(void **state)
{
	static const char *const names[] = {"a.new-x1Y2z3",  "a.new-x1Y2z4",   "a.new-x1Y2z34",
					    "aa.new-x1Y2z3", "a.b.new-x1Y2z3", "a"};
	char path[256];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(file_replace(temp_file(&folder, names[i], path), "x", 1, 0600), 0);
	assert_int_equal(file_sweep_one(path), 0);
	assert_int_equal(entries(), ARRAY_SIZE(names) - 2);
	assert_int_equal(access(temp_file(&folder, names[1], path), F_OK), -1);
	assert_int_equal(file_sweep_one("/nowhere/at/all"), -ENOENT);
}

static void reading_stops_at_the_limit(void **state)
{
	char path[256], big[10000], *text = NULL;
	size_t len;

	memset(big, 'x', sizeof(big));
	temp_file(&folder, "big", path);
	assert_int_equal(file_replace(path, big, sizeof(big), 0600), 0);
	assert_int_equal(file_read(path, sizeof(big) - 1, &text, &len), -EFBIG);
	assert_null(text);
	assert_int_equal(file_read(path, sizeof(big), &text, &len), 0);
	assert_int_equal(len, sizeof(big));
	free(text);
	assert_int_equal(file_replace(path, "", 0, 0600), 0);
	assert_int_equal(file_read(path, 0, &text, &len), 0);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(file_read("/dev/zero", 1000, &text, &len), -EFBIG);
	assert_int_equal(file_read("/nowhere", 10, &text, &len), -ENOENT);
}

static void a_buffer_of_the_caller_is_filled_up_to_its_last_byte_but_one(void **state)
{
	int fds[2];
	size_t len = 99;
	char dst[5];

	(void)state;
	for (size_t count = 0; count <= sizeof(dst); count++) {
		assert_int_equal(pipe(fds), 0);
		assert_int_equal(write(fds[1], "abcde", count), count);
		close(fds[1]);
		if (count < sizeof(dst)) {
			assert_int_equal(file_read_into(fds[0], dst, sizeof(dst), &len), 0);
			assert_int_equal(len, count);
			assert_memory_equal(dst, "abcd", count);
			assert_int_equal(dst[count], 0);
		} else {
			assert_int_equal(file_read_into(fds[0], dst, sizeof(dst), &len), -EFBIG);
			assert_int_equal(len, count - 1);
		}
		close(fds[0]);
	}
	assert_int_equal(file_read_into(fds[0], dst, sizeof(dst), NULL), -EBADF);
}

static void folders_are_made_with_all_above_them(void **state)
{
	char path[256], file[256];
	struct stat st;

	temp_file(&folder, "a/b/c", path);
	assert_int_equal(file_make_folder(path, 0750), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(file_make_folder(path, 0700), 0);
	temp_file(&folder, "file", file);
	assert_int_equal(file_replace(file, "", 0, 0600), 0);
	assert_int_equal(file_make_folder(file, 0700), -ENOTDIR);
	temp_file(&folder, "file/below", path);
	assert_int_equal(file_make_folder(path, 0700), -ENOTDIR);
}

static void a_folder_is_given_with_its_files_and_not_what_links_mean(void **state)
{
	enum { OTHER = 65534 };
	char file[256], link[256], target[256];
	struct stat st;

	if (geteuid() != 0) {
		print_message("only root gives files away\n");
		skip();
	}
	temp_file(&folder, "given", file);
	assert_int_equal(file_make_folder(file, 0700), 0);
	temp_file(&folder, "target", target);
	assert_int_equal(file_replace(target, "", 0, 0600), 0);
	temp_file(&folder, "given/link", link);
	assert_int_equal(symlink(target, link), 0);
	assert_int_equal(file_give_folder(file, OTHER, OTHER), 0);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_uid, OTHER);
	assert_int_equal(lstat(link, &st), 0);
	assert_int_equal(st.st_uid, OTHER);
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(file_give_folder("/nowhere", OTHER, OTHER), -ENOENT);
}

static void the_second_process_learns_who_has_the_lock(void **state)
{
	char path[256];
	pid_t child, owner = 0;
	int fd, status;

	temp_file(&folder, "lock", path);
	assert_int_equal(file_lock(path, &fd, NULL), 0);
	child = fork();
	if (!child) {
		int result = file_lock(path, &fd, &owner);

		_exit(result == -EBUSY && owner == getppid() ? 7 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 7);
	file_unlock(fd);
	assert_int_equal(file_lock(path, &fd, &owner), 0);
	file_unlock(fd);
}

static void a_folder_is_removed_with_all_in_it_and_not_what_links_mean(void **state)
{
	char path[256], kept[256];

	temp_file(&folder, "kept", kept);
	assert_int_equal(file_make_folder(kept, 0700), 0);
	temp_file(&folder, "kept/file", path);
	assert_int_equal(file_replace(path, "x", 1, 0600), 0);
	temp_file(&folder, "gone/deeper", path);
	assert_int_equal(file_make_folder(path, 0700), 0);
	temp_file(&folder, "gone/deeper/file", path);
	assert_int_equal(file_replace(path, "x", 1, 0600), 0);
	temp_file(&folder, "gone/link", path);
	assert_int_equal(symlink(kept, path), 0);
	temp_file(&folder, "gone", path);
	assert_int_equal(file_remove_folder(path), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(temp_file(&folder, "kept/file", path), F_OK), 0);
	assert_int_equal(file_remove_folder(temp_file(&folder, "gone", path)), 0);
	assert_int_equal(file_remove_folder(temp_file(&folder, "kept/file", path)), -ENOTDIR);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		test(replacing_leaves_the_new_content_and_nothing_else),
		test(a_failed_replacement_leaves_nothing),
		test(what_a_killed_replacement_left_is_swept_and_nothing_else),
		test(what_was_left_of_one_file_is_swept_and_of_no_other),
		test(reading_stops_at_the_limit),
		test(a_buffer_of_the_caller_is_filled_up_to_its_last_byte_but_one),
		test(folders_are_made_with_all_above_them),
		test(a_folder_is_given_with_its_files_and_not_what_links_mean),
		test(a_folder_is_removed_with_all_in_it_and_not_what_links_mean),
		test(the_second_process_learns_who_has_the_lock),
	};

	return cmocka_run_group_tests_name("os/file", tests, NULL, NULL);
}
