#include "fixture/test.h"

#include "fixture/temp.h"
#include "node/spawn.h"
#include "os/base.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Real children: the program of "exec" is a script of the test. */

static struct temp temp;
static struct spawn *spawn;

static void write_script(const char *name, const char *text)
{
	char path[256];
	FILE *f = fopen(temp_file(&temp, name, path), "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, 0755), 0);
}

static int start(void **state)
{
	char program[256], path[256];
	struct spawn_config config = {
		.interface_prefix = "dtst", .state_folder = temp.path, .user = ""};
	(void)state;
	temp_make(&temp);
	write_script("program", "#!/bin/sh\n"
				"echo \"$DNET_INTERFACE $1 $(pwd)\"\n"
				"read line\n"
				"exit 7\n");
	snprintf(program, sizeof(program), "%s/program argument", temp.path);
	config.programs[PROGRAM_EXEC] = program;
	config.programs[PROGRAM_TINCD] = "/nowhere/tincd";
	assert_int_equal(mkdir(temp_file(&temp, "backend", path), 0700), 0);
	spawn_folder(temp.path, "dtst5", path, sizeof(path));
	assert_int_equal(mkdir(path, 0700), 0);
	return spawn_start(&config, &spawn);
}

static int stop(void **state)
{
	(void)state;
	spawn_stop(spawn);
	spawn = NULL;
	temp_remove(&temp);
	return 0;
}

struct running {
	int in, out; /* ours: what it reads, what it writes */
	int pidfd, pid;
};

static void begin(struct running *r)
{
	int in[2], out[2];
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	const int fds[] = {in[0], out[1], STDERR_FILENO};
	assert_int_equal(spawn_child(spawn, PROGRAM_EXEC, "dtst5", fds, 3, &r->pidfd, &r->pid), 0);
	close(in[0]);
	close(out[1]);
	r->in = in[1];
	r->out = out[0];
}

static void finish(struct running *r)
{
	close(r->in);
	close(r->out);
	close(r->pidfd);
}

static bool has_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	return poll(&p, 1, 20000) == 1;
}

static void read_line(int fd, char *dst, size_t size)
{
	size_t n = 0;
	while (n + 1 < size && read(fd, &dst[n], 1) == 1 && dst[n] != '\n')
		n++;
	dst[n] = '\0';
}

static void a_program_runs_in_its_folder_and_its_end_is_known(void **state)
{
	struct running r;
	char line[512], want[512], path[256];
	int status = 0;
	(void)state;
	begin(&r);
	spawn_folder(temp.path, "dtst5", path, sizeof(path));
	snprintf(want, sizeof(want), "dtst5 argument %s", path);
	read_line(r.out, line, sizeof(line));
	assert_string_equal(line, want);
	assert_int_equal(spawn_reap(spawn, r.pid, &status), -EAGAIN);
	assert_int_equal(write(r.in, "x\n", 2), 2);
	assert_true(has_ended(r.pidfd));
	assert_int_equal(spawn_reap(spawn, r.pid, &status), 0);
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_int_equal(spawn_reap(spawn, r.pid, &status), -EPERM);
	finish(&r);
}

/* That the background process is gone is seen in the pipe whose other end it inherited. */
static void what_a_program_left_behind_ends_with_it(void **state)
{
	struct running r;
	int in[2], out[2], status;
	char c;
	(void)state;
	write_script("program", "#!/bin/sh\n(sleep 1000) &\nread line\n");
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	const int fds[] = {in[0], out[1], STDERR_FILENO};
	assert_int_equal(spawn_child(spawn, PROGRAM_EXEC, "dtst5", fds, 3, &r.pidfd, &r.pid), 0);
	close(in[0]);
	close(out[1]);
	close(in[1]); /* the program ends */
	assert_true(has_ended(r.pidfd));
	assert_int_equal(spawn_reap(spawn, r.pid, &status), 0);
	struct pollfd p = {.fd = out[0], .events = POLLIN};
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(read(out[0], &c, 1), 0);
	close(out[0]);
	close(r.pidfd);
}

static void all_end_with_the_one_who_started_them(void **state)
{
	struct running r;
	(void)state;
	begin(&r);
	spawn_stop(steal(spawn));
	assert_true(has_ended(r.pidfd));
	finish(&r);
}

static void a_signal_is_of_the_list_and_for_a_child(void **state)
{
	struct running r;
	int status;
	(void)state;
	begin(&r);
	assert_int_equal(spawn_signal(spawn, r.pid, SIGSTOP), -EPERM);
	assert_int_equal(spawn_signal(spawn, 1, SIGTERM), -EPERM);
	assert_int_equal(spawn_signal(spawn, -1, SIGTERM), -EPERM);
	assert_int_equal(spawn_signal(spawn, 0, SIGTERM), -EPERM);
	assert_int_equal(spawn_signal(spawn, r.pid, SIGTERM), 0);
	assert_true(has_ended(r.pidfd));
	assert_int_equal(spawn_reap(spawn, r.pid, &status), 0);
	assert_int_equal(WTERMSIG(status), SIGTERM);
	finish(&r);
}

/* tincd's host-up died of the SIGHUP that tincd was to read its files at, and nobody heard of the
 * host. */
static void what_a_program_is_told_does_not_end_its_scripts(void **state)
{
	struct running r;
	char line[512];
	(void)state;
	write_script("program",
		     "#!/bin/sh\ntrap : HUP\n"
		     "sh -c 'echo ready; read line; echo script $line'\necho \"end $?\"\n");
	begin(&r);
	read_line(r.out, line, sizeof(line));
	assert_string_equal(line, "ready");
	assert_int_equal(spawn_signal(spawn, r.pid, SIGHUP), 0);
	assert_int_equal(write(r.in, "x\n", 2), 2);
	read_line(r.out, line, sizeof(line));
	assert_string_equal(line, "script x");
	finish(&r);
}

static void what_the_configuration_does_not_name_is_refused(void **state)
{
	const int two[] = {STDERR_FILENO, STDERR_FILENO};
	static const char *const names[] = {"eth0", "dtst", "dtst0x", "dtst00000", "../dtst0", ""};
	int pidfd, pid;
	(void)state;
	assert_int_equal(spawn_child(spawn, PROGRAM_WIREGUARD_GO, "dtst5", two, 2, &pidfd, &pid),
			 -EPERM);
	assert_int_equal(spawn_child(spawn, PROGRAM_COUNT, "dtst5", two, 2, &pidfd, &pid), -EPERM);
	assert_int_equal(spawn_child(spawn, PROGRAM_EXEC, "dtst5", two, 2, &pidfd, &pid), -EPERM);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(spawn_child(spawn, PROGRAM_TINCD, names[i], two, 1, &pidfd, &pid),
				 -EPERM);
}

static void a_program_that_is_not_there_is_named_with_its_package(void **state)
{
	const int fds[] = {STDERR_FILENO};
	int pidfd, pid;
	(void)state;
	assert_int_equal(spawn_child(spawn, PROGRAM_TINCD, "dtst5", fds, 1, &pidfd, &pid), -ENOENT);
	assert_non_null(strstr(spawn_error(spawn), "/nowhere/tincd"));
	assert_non_null(strstr(spawn_error(spawn), "apt install tinc"));
}

static void without_programs_there_is_no_process(void **state)
{
	struct spawn_config config = {.interface_prefix = "dtst", .state_folder = "/", .user = ""};
	struct spawn *none;
	int pid;
	(void)state;
	assert_int_equal(spawn_start(&config, &none), 0);
	assert_null(none);
	assert_int_equal(spawn_fd(none), -1);
	assert_int_equal(spawn_child(none, PROGRAM_EXEC, "dtst5", NULL, 0, &pid, &pid), -ENOENT);
	spawn_stop(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_program_runs_in_its_folder_and_its_end_is_known,
						start, stop),
		cmocka_unit_test_setup_teardown(what_a_program_left_behind_ends_with_it, start,
						stop),
		cmocka_unit_test_setup_teardown(all_end_with_the_one_who_started_them, start, stop),
		cmocka_unit_test_setup_teardown(a_signal_is_of_the_list_and_for_a_child, start,
						stop),
		cmocka_unit_test_setup_teardown(what_a_program_is_told_does_not_end_its_scripts,
						start, stop),
		cmocka_unit_test_setup_teardown(what_the_configuration_does_not_name_is_refused,
						start, stop),
		cmocka_unit_test_setup_teardown(
			a_program_that_is_not_there_is_named_with_its_package, start, stop),
		cmocka_unit_test(without_programs_there_is_no_process),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
