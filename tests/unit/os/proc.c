#include "fixture/test.h"

#include "os/base.h"
#include "os/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void a_message_arrives_whole_with_its_descriptors(void **state)
{
	int pair[2], pipe_fds[2], got[2] = {-1, -1};
	char buffer[16];
	size_t count = 0;

	assert_int_equal(proc_pair(pair), 0);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(proc_send(pair[0], "first", 5, pipe_fds, 2), 0);
	assert_int_equal(proc_send(pair[0], "second", 6, NULL, 0), 0);
	assert_int_equal(proc_receive(pair[1], buffer, sizeof(buffer), got, 2, &count), 5);
	assert_memory_equal(buffer, "first", 5);
	assert_int_equal(count, 2);
	assert_int_equal(write(got[1], "x", 1), 1);
	assert_int_equal(read(pipe_fds[0], buffer, 1), 1);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(proc_receive(pair[1], buffer, 6, NULL, 0, &count), 6);
	assert_int_equal(count, 0);
	close(pair[0]);
	assert_int_equal(proc_receive(pair[1], buffer, sizeof(buffer), NULL, 0, NULL), 0);
	assert_int_equal(proc_send(pair[1], "x", 1, NULL, 0), -EPIPE);
	for (int i = 0; i < 2; i++) {
		close(got[i]);
		close(pipe_fds[i]);
	}
	close(pair[1]);
}

static void what_is_too_long_or_too_many_is_refused_and_closed(void **state)
{
	static char big[PROC_MESSAGE_MAX + 1], buffer[PROC_MESSAGE_MAX];
	int pair[2], fds[PROC_FDS_MAX + 1], got[PROC_FDS_MAX], before;
	size_t count;

	assert_int_equal(proc_pair(pair), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = STDERR_FILENO;
	assert_int_equal(proc_send(pair[0], big, sizeof(big), NULL, 0), -EMSGSIZE);
	assert_int_equal(proc_send(pair[0], big, 1, fds, PROC_FDS_MAX + 1), -EMSGSIZE);
	assert_int_equal(proc_send(pair[0], big, PROC_MESSAGE_MAX, fds, PROC_FDS_MAX), 0);
	assert_int_equal(proc_receive(pair[1], buffer, sizeof(buffer), got, PROC_FDS_MAX, &count),
			 PROC_MESSAGE_MAX);
	assert_int_equal(count, PROC_FDS_MAX);
	for (size_t i = 0; i < count; i++)
		close(got[i]);
	before = got[0];
	/* One byte, then one descriptor more than the receiver takes. */
	assert_int_equal(proc_send(pair[0], big, 11, fds, 1), 0);
	assert_int_equal(proc_receive(pair[1], buffer, 10, got, 1, &count), -EMSGSIZE);
	assert_false(is_open(before));
	assert_int_equal(proc_send(pair[0], big, 10, fds, 3), 0);
	assert_int_equal(proc_receive(pair[1], buffer, 10, got, 2, &count), -EMSGSIZE);
	assert_false(is_open(before));
	close(pair[0]);
	close(pair[1]);
}

static void an_answer_is_taken_in_its_form_only(void **state)
{
	uint32_t answer = 0;
	int pair[2], got = -1, after;
	char longer[5] = "";

	assert_int_equal(proc_pair(pair), 0);
	after = dup(0);
	close(after);
	assert_int_equal(proc_send(pair[1], "here", 4, (int[]){STDERR_FILENO}, 1), 0);
	assert_int_equal(proc_ask(pair[0], "who", 3, NULL, 0, &answer, 4, 1000, &got), 0);
	assert_memory_equal(&answer, "here", 4);
	assert_true(is_open(got));
	close(got);
	got = -1;
	assert_int_equal(proc_send(pair[1], "none", 4, NULL, 0), 0);
	assert_int_equal(proc_ask(pair[0], "who", 3, NULL, 0, &answer, 4, 1000, &got), 0);
	assert_int_equal(got, -1);
	/* Nobody takes the descriptor; one byte less, one more; none at all. */
	assert_int_equal(proc_send(pair[1], "here", 4, (int[]){STDERR_FILENO}, 1), 0);
	assert_int_equal(proc_ask(pair[0], "who", 3, NULL, 0, &answer, 4, 1000, NULL), 0);
	assert_int_equal(proc_send(pair[1], "her", 3, (int[]){STDERR_FILENO}, 1), 0);
	assert_int_equal(proc_ask(pair[0], "who", 3, NULL, 0, &answer, 4, 1000, &got), -EPIPE);
	assert_int_equal(proc_send(pair[1], longer, 5, (int[]){STDERR_FILENO}, 1), 0);
	assert_int_equal(proc_ask(pair[0], "who", 3, NULL, 0, &answer, 4, 1000, &got), -EMSGSIZE);
	assert_int_equal(proc_ask(pair[0], "who", 3, NULL, 0, &answer, 4, 1, &got), -ETIMEDOUT);
	assert_int_equal(got, -1);
	assert_false(is_open(after));
	shutdown(pair[1], SHUT_WR);
	assert_int_equal(proc_ask(pair[0], "who", 3, NULL, 0, &answer, 4, 1000, &got), -EPIPE);
	close(pair[1]);
	assert_true(proc_ask(pair[0], "who", 3, NULL, 0, &answer, 4, 1000, &got) < 0);
	close(pair[0]);
}

struct expected {
	int kept, lost;
};

static int check_surroundings(int fd, void *arg)
{
	const struct expected *e = arg;
	char name[16], go;
	int death = 0;
	struct sigaction action;
	bool good = true;

	prctl(PR_GET_NAME, name);
	prctl(PR_GET_PDEATHSIG, &death);
	sigaction(SIGUSR1, NULL, &action);
	good = good && !strcmp(name, "test role") && death == SIGKILL;
	good = good && is_open(fd) && is_open(e->kept) && !is_open(e->lost);
	good = good && action.sa_handler == SIG_DFL;
	if (proc_receive(fd, &go, 1, NULL, 0, NULL) != 1)
		good = false;
	return good ? 42 : 1;
}

static void a_child_gets_its_channel_and_nothing_it_should_not_have(void **state)
{
	struct expected e = {.kept = dup(0), .lost = dup(0)};
	const int keep[] = {e.kept, -1};
	struct proc_child child;
	int status;

	signal(SIGUSR1, SIG_IGN);
	assert_int_equal(proc_fork("test role", check_surroundings, &e, keep, &child), 0);
	signal(SIGUSR1, SIG_DFL);
	assert_int_equal(proc_send(child.fd, "g", 1, NULL, 0), 0);
	assert_int_equal(proc_wait(child.pid, &status), 0);
	assert_int_equal(WEXITSTATUS(status), 42);
	close(child.fd);
	close(e.kept);
	close(e.lost);
}

static int wait_for_ever(int fd, void *arg)
{
	for (;;)
		pause();
	return 0;
}

/* Forks a grandchild, tells its pid to the test, and dies. */
static int die_with_a_child(int fd, void *arg)
{
	struct proc_child child;

	if (proc_fork("grandchild", wait_for_ever, NULL, NULL, &child))
		return 1;
	/* Its end of this pair closes when it dies; ours goes with us. */
	return proc_send(fd, &child.pid, sizeof(child.pid), &child.fd, 1) ? 1 : 0;
}

static void a_child_dies_with_its_parent(void **state)
{
	struct proc_child child;
	int status, channel;
	size_t count;
	pid_t pid;
	char byte;

	assert_int_equal(proc_fork("parent", die_with_a_child, NULL, NULL, &child), 0);
	assert_int_equal(proc_receive(child.fd, &pid, sizeof(pid), &channel, 1, &count),
			 sizeof(pid));
	assert_int_equal(proc_wait(child.pid, &status), 0);
	assert_int_equal(status, 0);
	/* Blocks until the grandchild's end is closed: the kernel killed it. */
	assert_int_equal(proc_receive(channel, &byte, 1, NULL, 0, NULL), 0);
	close(channel);
	close(child.fd);
}

static void ps_shows_the_title(void **state)
{
	static char area[] = "program\0--option\0value";
	char *argv[] = {area, area + 8, area + 17, NULL};
	char name[16];

	proc_set_title(argv, "dnetd: engine");
	assert_memory_equal(area, "dnetd: engine\0\0\0\0\0\0\0\0\0", sizeof(area));
	prctl(PR_GET_NAME, name);
	assert_string_equal(name, "dnetd: engine");
	proc_set_title(NULL, "a title of more than fifteen bytes");
	prctl(PR_GET_NAME, name);
	assert_string_equal(name, "a title of more");
}

static void a_program_runs_to_its_end(void **state)
{
	int status;

	assert_int_equal(proc_run((const char *const[]){"/bin/sh", "-c", "exit 9", NULL}, &status),
			 0);
	assert_int_equal(WEXITSTATUS(status), 9);
	assert_int_equal(proc_run((const char *const[]){"/bin/no-such-program", NULL}, &status),
			 -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_taken_in_its_form_only),
		cmocka_unit_test(a_message_arrives_whole_with_its_descriptors),
		cmocka_unit_test(what_is_too_long_or_too_many_is_refused_and_closed),
		cmocka_unit_test(a_child_gets_its_channel_and_nothing_it_should_not_have),
		cmocka_unit_test(a_child_dies_with_its_parent),
		cmocka_unit_test(ps_shows_the_title),
		cmocka_unit_test(a_program_runs_to_its_end),
	};

	return cmocka_run_group_tests_name("os/proc", tests, NULL, NULL);
}
