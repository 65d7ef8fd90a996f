#include "fixture/test.h"

#include "os/priority.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void names_are_parsed(void **state)
{
	enum priority got = PRIORITY_HIGH;

	assert_true(priority_parse("normal", &got));
	assert_int_equal(got, PRIORITY_NORMAL);
	assert_true(priority_parse("high", &got));
	assert_int_equal(got, PRIORITY_HIGH);
	assert_true(priority_parse("realtime", &got));
	assert_int_equal(got, PRIORITY_REALTIME);
	assert_false(priority_parse("real", &got));
	assert_false(priority_parse("", &got));
	assert_int_equal(got, PRIORITY_REALTIME);
}

/* What it took, and what a child of it has. */
struct taken {
	int result, policy, nice, child_policy, child_nice;
};

static struct taken look_in_child(enum priority priority)
{
	struct taken t = {.result = priority_take(priority)};
	int status;
	pid_t pid;

	t.policy = sched_getscheduler(0);
	t.nice = getpriority(PRIO_PROCESS, 0);
	pid = fork();
	if (pid == 0)
		_exit(sched_getscheduler(0) * 64 + getpriority(PRIO_PROCESS, 0) + 20);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	t.child_policy = WEXITSTATUS(status) / 64;
	t.child_nice = WEXITSTATUS(status) % 64 - 20;
	return t;
}

/* In a process of its own: there is no way back. */
static struct taken take(enum priority priority)
{
	struct taken t;
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setpriority(PRIO_PROCESS, 0, 0);
		t = look_in_child(priority);
		_exit(write(ends[1], &t, sizeof(t)) == sizeof(t) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(ends[0], &t, sizeof(t)), sizeof(t));
	close(ends[0]);
	close(ends[1]);
	return t;
}

static void normal_changes_nothing(void **state)
{
	struct taken t = take(PRIORITY_NORMAL);

	assert_int_equal(t.result, 0);
	assert_int_equal(t.policy, sched_getscheduler(0));
}

static void a_priority_is_taken_and_not_handed_on(void **state)
{
	struct taken high = take(PRIORITY_HIGH), realtime = take(PRIORITY_REALTIME);

	if (high.result == -EPERM || realtime.result == -EPERM)
		skip();
	assert_int_equal(high.result, 0);
	assert_int_equal(high.policy, SCHED_OTHER | SCHED_RESET_ON_FORK);
	assert_int_equal(high.nice, -10);
	assert_int_equal(realtime.result, 0);
	assert_int_equal(realtime.policy, SCHED_RR | SCHED_RESET_ON_FORK);
	assert_int_equal(high.child_policy, SCHED_OTHER);
	assert_int_equal(high.child_nice, 0);
	assert_int_equal(realtime.child_policy, SCHED_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_parsed),
		cmocka_unit_test(normal_changes_nothing),
		cmocka_unit_test(a_priority_is_taken_and_not_handed_on),
	};

	return cmocka_run_group_tests_name("os/priority", tests, NULL, NULL);
}
