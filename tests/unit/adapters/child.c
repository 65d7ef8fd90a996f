#include "fixture/test.h"

#include "adapters/child.h"
#include "fixture/program.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A real program by a real spawner: the script that each test writes. */

enum { PAUSE_MS = 40, GONE_MS = 30 };

struct world {
	struct program_world p;
	struct child *child;
	char lines[32][CHILD_LINE_MAX + 1];
	size_t line_count;
	unsigned ends, starts;
	int status;
};

static int give_descriptors(void *ctx, int output, int fds[static ADAPTER_CHILD_FDS])
{
	(void)ctx;
	fds[0] = STDIN_FILENO;
	fds[1] = output;
	fds[2] = output;
	return 3;
}

static void on_started(void *ctx, bool running)
{
	struct world *w = ctx;
	w->starts += running;
}

static void on_line(void *ctx, const char *line)
{
	struct world *w = ctx;
	size_t at = w->line_count++ % ARRAY_SIZE(w->lines);
	snprintf(w->lines[at], sizeof(w->lines[at]), "%s", line);
}

static void on_ended(void *ctx, int status)
{
	struct world *w = ctx;
	w->ends++;
	w->status = status;
}

static struct child *new_child(struct world *w, uint64_t pause_max_ms, uint64_t settled_ms)
{
	const struct child_config config = {.loop = w->p.loop,
					    .os = &w->p.os,
					    .program = PROGRAM_EXEC,
					    .name = "dtst5: program",
					    .pause_ms = PAUSE_MS,
					    .pause_max_ms = pause_max_ms,
					    .settled_ms = settled_ms,
					    .gone_ms = GONE_MS};
	const struct child_io io = {w, give_descriptors, on_started, on_line, on_ended};
	return child_new(&config, &io);
}

static int begin(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	program_world_open(&w->p);
	w->child = new_child(w, 4 * PAUSE_MS, 60000);
	*state = w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;
	child_free(w->child);
	program_world_close(&w->p);
	free(w);
	return 0;
}

static void its_lines_come_and_its_end_is_told(void **state)
{
	struct world *w = *state;
	program_write("printf 'one\\ntwo\\033\\377\\nlast'\nexit 3\n");
	assert_int_equal(child_start(w->child), 0);
	assert_int_equal(child_start(w->child), 0); /* does so already */
	assert_true(child_is_running(w->child));
	assert_string_equal(child_text(w->child), "running");
	program_wait(&w->p, w->ends == 1);
	assert_int_equal(w->starts, 1);
	assert_int_equal(w->line_count, 3);
	assert_string_equal(w->lines[0], "one");
	assert_string_equal(w->lines[1], "two??");
	assert_string_equal(w->lines[2], "last");
	assert_int_equal(WEXITSTATUS(w->status), 3);
	assert_non_null(strstr(child_text(w->child), "ended with status 3, again in "));
}

static void it_is_started_again_each_time_later(void **state)
{
	struct world *w = *state;
	program_write("exit 0\n");
	uint64_t began = clock_monotonic_ns();
	child_start(w->child);
	program_wait(&w->p, w->starts == 5);
	/* Pauses of 1, 2, 4 and 4. */
	assert_true(clock_monotonic_ns() - began >= 11 * PAUSE_MS * NS_PER_MS);
}

static void without_the_interface_that_it_had_it_is_killed(void **state)
{
	struct world *w = *state;
	program_write("exec sleep 1000\n");
	child_start(w->child);
	child_set_interface(w->child, 0); /* it has not made it yet */
	child_set_interface(w->child, 7);
	child_set_interface(w->child, 0);
	child_set_interface(w->child, 8); /* another one in time */
	assert_int_equal(w->ends, 0);
	child_set_interface(w->child, 0);
	program_wait(&w->p, w->ends == 1);
	assert_int_equal(WTERMSIG(w->status), SIGKILL);
	/* The next one is not killed for what the one before it had. */
	child_set_interface(w->child, 9);
	child_set_interface(w->child, 0);
	program_wait(&w->p, w->starts == 2);
	struct loop_timer *later =
		loop_timer_new(w->p.loop, program_on_late, &(struct program_world){0});
	loop_timer_start(later, 3 * GONE_MS);
	program_wait(&w->p, !loop_timer_active(later));
	loop_timer_free(later);
	assert_true(child_is_running(w->child));
}

/* Doubled each time, the twentieth would be started in half a day. */
static void after_a_long_run_the_pause_is_the_first(void **state)
{
	struct world *w = *state;
	child_free(w->child);
	w->child = new_child(w, 3600000, 1);
	program_write("sleep 0.01\n");
	child_start(w->child);
	program_wait(&w->p, w->starts == 20);
}

static void killed_it_comes_back(void **state)
{
	struct world *w = *state;
	program_write("echo here\nexec sleep 1000\n");
	child_start(w->child);
	program_wait(&w->p, w->line_count == 1);
	child_kill(w->child, "for the test");
	program_wait(&w->p, w->line_count == 2);
	assert_int_equal(w->ends, 1);
	assert_int_equal(WTERMSIG(w->status), SIGKILL);
}

static void stopped_it_stays_stopped(void **state)
{
	struct world *w = *state;
	program_write("trap 'echo bye; exit 0' TERM\necho here\n"
		      "while :; do sleep 0.02; done\n");
	child_start(w->child);
	program_wait(&w->p, w->line_count == 1);
	child_stop(w->child, PROGRAM_PATIENCE_S * 1000);
	assert_false(child_is_running(w->child));
	assert_string_equal(child_text(w->child), "stopped");
	assert_string_equal(w->lines[w->line_count - 1], "bye"); /* its sleep ends first */
	assert_int_equal(w->ends, 0);
	assert_int_equal(child_signal(w->child, SIGHUP), -ESRCH);
	assert_false(loop_step(w->p.loop, false)); /* nothing is left to wait for */
}

static void what_does_not_end_is_killed(void **state)
{
	struct world *w = *state;
	program_write("trap '' TERM\necho here\nwhile :; do sleep 1000; done\n");
	child_start(w->child);
	program_wait(&w->p, w->line_count == 1);
	child_stop(w->child, 50);
	assert_false(child_is_running(w->child));
	assert_int_equal(w->line_count, 1);
}

static void a_program_that_is_not_there_is_tried_again(void **state)
{
	struct world *w = *state;
	assert_int_equal(child_start(w->child), -ENOENT);
	assert_false(child_is_running(w->child));
	assert_non_null(strstr(child_text(w->child), "cannot run: "));
	assert_non_null(strstr(child_text(w->child), "/program: No such file or directory"));
	assert_non_null(strstr(child_text(w->child), ", again in "));
	program_write("echo here\nexec sleep 1000\n");
	program_wait(&w->p, w->line_count == 1);
	assert_int_equal(w->starts, 1);
}

static int start_unseen(void *ctx, enum adapter_program program, const int *fds, size_t count,
			int *ret_pidfd, int *ret_pid)
{
	int r = program_os_start(ctx, program, fds, count, ret_pidfd, ret_pid);
	if (r == 0)
		closep(ret_pidfd);
	*ret_pidfd = -1;
	return r;
}

static void one_whose_end_cannot_be_seen_is_not_left_running(void **state)
{
	struct world *w = *state;
	program_write("exec sleep 1000\n");
	w->p.os.child_start = start_unseen;
	assert_true(child_start(w->child) < 0);
	assert_false(child_is_running(w->child));
	assert_int_equal(w->starts, 1);
	assert_int_equal(w->ends, 1);
	assert_int_equal(WTERMSIG(w->status), SIGKILL);
	w->p.os.child_start = program_os_start;
	program_wait(&w->p, child_is_running(w->child));
}

static void a_long_line_is_cut_and_the_next_is_whole(void **state)
{
	struct world *w = *state;
	program_write("head -c 300000 /dev/zero | tr '\\0' x\necho\necho next\nexec sleep 1000\n");
	child_start(w->child);
	program_wait(&w->p, w->line_count == 2);
	assert_int_equal(strlen(w->lines[0]), CHILD_LINE_MAX);
	assert_string_equal(w->lines[1], "next");
}

static void a_program_that_never_stops_writing_leaves_time_for_others(void **state)
{
	struct world *w = *state;
	program_write("exec yes\n");
	child_start(w->child);
	program_wait(&w->p, w->line_count > 100000);
	child_stop(w->child, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(its_lines_come_and_its_end_is_told, begin, end),
		cmocka_unit_test_setup_teardown(without_the_interface_that_it_had_it_is_killed,
						begin, end),
		cmocka_unit_test_setup_teardown(it_is_started_again_each_time_later, begin, end),
		cmocka_unit_test_setup_teardown(after_a_long_run_the_pause_is_the_first, begin,
						end),
		cmocka_unit_test_setup_teardown(killed_it_comes_back, begin, end),
		cmocka_unit_test_setup_teardown(stopped_it_stays_stopped, begin, end),
		cmocka_unit_test_setup_teardown(what_does_not_end_is_killed, begin, end),
		cmocka_unit_test_setup_teardown(a_program_that_is_not_there_is_tried_again, begin,
						end),
		cmocka_unit_test_setup_teardown(one_whose_end_cannot_be_seen_is_not_left_running,
						begin, end),
		cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_the_next_is_whole, begin,
						end),
		cmocka_unit_test_setup_teardown(
			a_program_that_never_stops_writing_leaves_time_for_others, begin, end),
	};
	return cmocka_run_group_tests(tests, program_open_group, program_close_group);
}
