#include "fixture/test.h"

#include "os/base.h"
#include "os/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct seen {
	struct loop *loop;
	unsigned calls;
	unsigned events;
	int status;
	struct loop_timer *timer;
	struct loop_fd *fd;
	struct loop_task *task;
	struct loop_signal *signal;
};

static void stop_after_one(void *arg)
{
	struct seen *s = arg;

	s->calls++;
	loop_stop(s->loop);
}

static void a_loop_with_nothing_to_wait_for_returns(void **state)
{
	struct loop *loop = loop_new();

	loop_run(loop);
	assert_false(loop_step(loop, true));
	loop_free(loop);
	loop_free(NULL);
}

static void a_timer_fires_once_or_again_and_again(void **state)
{
	struct seen s = {.loop = loop_new()};

	s.timer = loop_timer_new(s.loop, stop_after_one, &s);
	assert_false(loop_timer_active(s.timer));
	loop_timer_start(s.timer, 1);
	assert_true(loop_timer_active(s.timer));
	loop_run(s.loop);
	assert_int_equal(s.calls, 1);
	assert_false(loop_timer_active(s.timer));
	loop_timer_every(s.timer, 1);
	loop_run(s.loop);
	loop_run(s.loop);
	assert_int_equal(s.calls, 3);
	loop_timer_stop(s.timer);
	loop_run(s.loop);
	assert_int_equal(s.calls, 3);
	loop_timer_free(s.timer);
	loop_free(s.loop);
}

static void free_own_timer(void *arg)
{
	struct seen *s = arg;

	s->calls++;
	loop_timer_free(s->timer);
}

static void a_watcher_may_be_freed_in_its_callback(void **state)
{
	struct seen s = {.loop = loop_new()};

	s.timer = loop_timer_new(s.loop, free_own_timer, &s);
	loop_timer_every(s.timer, 1);
	loop_run(s.loop);
	assert_int_equal(s.calls, 1);
	loop_free(s.loop);
}

static void note_events(void *arg, int fd, unsigned events)
{
	struct seen *s = arg;
	char byte;

	s->calls++;
	s->events |= events;
	if (events & LOOP_READ && read(fd, &byte, 1) == 0)
		loop_fd_set(s->fd, 0);
	if (events & LOOP_WRITE)
		loop_fd_set(s->fd, LOOP_READ);
}

static void descriptors_are_reported_as_watched(void **state)
{
	struct seen s = {.loop = loop_new()};
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	s.fd = loop_fd_new(s.loop, fds[0], LOOP_WRITE, note_events, &s);
	assert_non_null(s.fd);
	loop_step(s.loop, true);
	assert_int_equal(s.events, LOOP_WRITE);
	s.events = 0;
	assert_int_equal(write(fds[1], "x", 1), 1);
	loop_step(s.loop, true);
	assert_int_equal(s.events, LOOP_READ);
	loop_fd_set(s.fd, 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_false(loop_step(s.loop, false));
	assert_int_equal(s.calls, 2);
	loop_fd_set(s.fd, LOOP_READ);
	close(fds[1]);
	loop_run(s.loop); /* ends when the callback sees the end of file and pauses */
	assert_int_equal(s.calls, 4);
	loop_fd_free(s.fd);
	close(fds[0]);
	loop_free(s.loop);
}

static void what_cannot_be_polled_is_an_error(void **state)
{
	struct loop *loop = loop_new();
	int fd = open("/proc/self/exe", O_RDONLY);

	assert_null(loop_fd_new(loop, fd, LOOP_READ, note_events, NULL));
	assert_int_equal(errno, EPERM);
	close(fd);
	loop_free(loop);
}

static void on_signal(void *arg, int number)
{
	struct seen *s = arg;

	s->calls += (unsigned)number;
	loop_stop(s->loop);
}

static void signals_arrive_in_the_loop(void **state)
{
	struct seen s = {.loop = loop_new()};

	s.signal = loop_signal_new(s.loop, SIGUSR1, on_signal, &s);
	kill(getpid(), SIGUSR1);
	loop_run(s.loop);
	assert_int_equal(s.calls, SIGUSR1);
	loop_signal_free(s.signal);
	loop_free(s.loop);
}

static void on_child(void *arg, pid_t pid, int status)
{
	struct seen *s = arg;

	s->calls++;
	s->status = status;
}

static pid_t child_that_exits(int status)
{
	pid_t pid = fork();

	if (!pid)
		_exit(status);
	return pid;
}

static void a_child_is_reaped_also_when_it_ended_before(void **state)
{
	struct seen s = {.loop = loop_new()}, other = {.loop = s.loop};
	siginfo_t info;
	pid_t early = child_that_exits(3), late;

	assert_int_equal(waitid(P_PID, (id_t)early, &info, WEXITED | WNOWAIT), 0);
	loop_child_new(s.loop, early, on_child, &s);
	late = child_that_exits(4);
	loop_child_new(s.loop, late, on_child, &other);
	loop_run(s.loop);
	assert_int_equal(s.calls, 1);
	assert_int_equal(WEXITSTATUS(s.status), 3);
	assert_int_equal(other.calls, 1);
	assert_int_equal(WEXITSTATUS(other.status), 4);
	assert_int_equal(waitpid(early, NULL, WNOHANG), -1);
	loop_free(s.loop);
}

static void a_child_that_is_not_watched_any_more_is_left_alone(void **state)
{
	struct seen s = {.loop = loop_new()};
	pid_t pid = child_that_exits(0);
	struct loop_child *watch = loop_child_new(s.loop, pid, on_child, &s);

	loop_child_free(watch);
	loop_run(s.loop);
	assert_int_equal(s.calls, 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	loop_free(s.loop);
}

static void count(void *arg)
{
	((struct seen *)arg)->calls++;
}

static void a_task_scheduled_twice_runs_once_in_the_next_round(void **state)
{
	struct seen s = {.loop = loop_new()};

	s.task = loop_task_new(s.loop, count, &s);
	loop_task_schedule(s.task);
	loop_task_schedule(s.task);
	assert_int_equal(s.calls, 0);
	loop_step(s.loop, false);
	loop_step(s.loop, false);
	assert_int_equal(s.calls, 1);
	loop_task_schedule(s.task);
	loop_task_free(s.task);
	loop_run(s.loop);
	assert_int_equal(s.calls, 1);
	loop_free(s.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_loop_with_nothing_to_wait_for_returns),
		cmocka_unit_test(a_timer_fires_once_or_again_and_again),
		cmocka_unit_test(a_watcher_may_be_freed_in_its_callback),
		cmocka_unit_test(descriptors_are_reported_as_watched),
		cmocka_unit_test(what_cannot_be_polled_is_an_error),
		cmocka_unit_test(signals_arrive_in_the_loop),
		cmocka_unit_test(a_child_is_reaped_also_when_it_ended_before),
		cmocka_unit_test(a_child_that_is_not_watched_any_more_is_left_alone),
		cmocka_unit_test(a_task_scheduled_twice_runs_once_in_the_next_round),
	};

	return cmocka_run_group_tests_name("os/loop", tests, NULL, NULL);
}
