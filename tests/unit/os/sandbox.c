#include "fixture/test.h"

#include "os/base.h"
#include "os/log.h"
#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each test is played in a child: there is no way back out of a sandbox. The child's exit status is
 * the number of the line that failed, 0 when all was as expected. */
#define expect(fact)                                                                               \
	do {                                                                                       \
		if (!(fact))                                                                       \
			_exit((__LINE__ - 1) % 255 + 1);                                           \
	} while (0)

static void play(void (*scene)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		scene();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static const struct sandbox_role plain = {.name = "test"};
static const struct sandbox_role binds = {.name = "test",
					  .capabilities = {CAP_NET_BIND_SERVICE},
					  .capabilities_count = 1,
					  .calls = {"bind"},
					  .families = {AF_INET}};

static bool refused(long result)
{
	return result < 0 && errno == EPERM;
}

static void try_system_calls(void)
{
	const struct sandbox_role role = {.name = "test", .calls = {"connect"}};
	const struct sandbox_path null = {"/dev/null", SANDBOX_READ};
	const struct sandbox box = {.role = &role, .paths = &null, .paths_count = 1};
	char *const argv[] = {"/bin/true", NULL};
	int fds[2];

	expect(!sandbox_enter(&box));
	/* What a daemon needs goes on working. */
	expect(!pipe(fds));
	expect(write(fds[1], "x", 1) == 1);
	expect(open("/dev/null", O_RDONLY) >= 0);
	expect(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	expect(connect(fds[0], (struct sockaddr *)fds, 2) < 0 && errno == ENOTSOCK);
	/* What it does not need is refused, as for a stranger who took it over. */
	expect(refused(socket(AF_INET, SOCK_STREAM, 0)));
	expect(refused(execv("/bin/true", argv)));
	expect(refused(listen(fds[0], 1)));
	expect(refused(kill(getppid(), 0)));
	expect(refused(setuid(getuid())));
	expect(refused(chroot("/")));
}

static void system_calls_outside_the_list_are_refused(void **state)
{
	play(try_system_calls);
}

static int gate[2]; /* the thread goes on when something is written */

static void *try_in_thread(void *arg)
{
	char byte;

	(void)arg;
	expect(read(gate[0], &byte, 1) == 1);
	expect(refused(socket(AF_INET, SOCK_STREAM, 0)));
	return NULL;
}

static void try_older_thread(void)
{
	const struct sandbox box = {.role = &plain};
	pthread_t thread;

	expect(!pipe(gate));
	expect(!pthread_create(&thread, NULL, try_in_thread, NULL));
	expect(!sandbox_enter(&box));
	expect(write(gate[1], "x", 1) == 1);
	expect(!pthread_join(thread, NULL));
}

static void a_thread_that_runs_already_is_refused_too(void **state)
{
	play(try_older_thread);
}

static void try_limits(void)
{
	const struct sandbox box = {.role = &plain, .no_filters = true};
	struct rlimit limit;

	expect(!sandbox_enter(&box));
	expect(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	expect(prctl(PR_GET_DUMPABLE) == 0);
	expect(!getrlimit(RLIMIT_CORE, &limit) && limit.rlim_max == 0);
}

static void there_are_no_cores_and_no_new_privileges(void **state)
{
	play(try_limits);
}

static void try_user(void)
{
	const struct sandbox box = {.role = &binds, .user = "nobody"};
	int death = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	expect(!sandbox_enter(&box));
	expect(getuid() == 65534 && geteuid() == 65534 && getgid() != 0);
	expect(getgroups(0, NULL) <= 1);
	expect(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 0);
	expect(prctl(PR_CAPBSET_READ, CAP_NET_BIND_SERVICE) == 1);
	expect(open("/etc/shadow", O_RDONLY) < 0);
	/* Asked for before, and still so: the kernel forgets it with the user. */
	expect(!prctl(PR_GET_PDEATHSIG, &death) && death == SIGKILL);
}

static void root_becomes_the_user_and_keeps_only_the_capabilities_named(void **state)
{
	if (geteuid() || sandbox_user_possible("nobody"))
		skip();
	play(try_user);
}

static void try_bind(void)
{
	const struct sandbox box = {.role = &binds, .user = "65534"};
	struct sandbox_role without = binds;
	const struct sandbox none = {.role = &without, .user = "65534"};
	struct sockaddr_storage any = {.ss_family = AF_INET};
	pid_t pid;
	int status;

	((uint8_t *)&any)[3] = 1; /* port 1 of all addresses */
	without.capabilities_count = 0;
	pid = fork();
	if (!pid) {
		expect(!sandbox_enter(&none));
		expect(bind(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&any, 16) < 0);
		_exit(errno == EACCES ? 0 : 1);
	}
	expect(waitpid(pid, &status, 0) == pid && !status);
	expect(!sandbox_enter(&box));
	expect(!bind(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&any, 16) ||
	       errno == EADDRINUSE);
}

static void a_kept_capability_works_and_a_dropped_one_does_not(void **state)
{
	if (geteuid() || sandbox_user_possible("65534"))
		skip();
	play(try_bind);
}

static void try_wrong_names(void)
{
	const struct sandbox_role role = {.name = "test", .calls = {"no_such_call"}};
	const struct sandbox call = {.role = &role};
	const struct sandbox user = {.role = &plain, .user = "no such user"};

	log_set_hook(NULL, NULL);
	expect(sandbox_enter(&user) == -ENOENT);
	expect(sandbox_enter(&call) == -ENOENT);
}

static void wrong_names_are_errors(void **state)
{
	assert_int_equal(sandbox_user_possible("no such user"), -ENOENT);
	assert_int_equal(sandbox_user_possible(""), 0);
	assert_int_equal(sandbox_user_possible(NULL), 0);
	play(try_wrong_names);
}

static void try_unmapped(void)
{
	const struct sandbox box = {.role = &plain, .user = "65534", .no_filters = true};
	unsigned uid = geteuid();
	char map[64];
	int fd;

	if (unshare(CLONE_NEWUSER))
		_exit(77);
	fd = open("/proc/self/uid_map", O_WRONLY);
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (fd < 0 || write(fd, map, strlen(map)) < 0)
		_exit(77);
	expect(sandbox_user_possible("65534") == -EPERM);
	expect(!sandbox_enter(&box));
	expect(geteuid() == 0);
}

static void a_user_that_is_not_mapped_is_a_notice_and_the_rest_is_done(void **state)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		try_unmapped();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77) {
		print_message("no user namespaces here\n");
		skip();
	}
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_calls_outside_the_list_are_refused),
		cmocka_unit_test(a_thread_that_runs_already_is_refused_too),
		cmocka_unit_test(there_are_no_cores_and_no_new_privileges),
		cmocka_unit_test(root_becomes_the_user_and_keeps_only_the_capabilities_named),
		cmocka_unit_test(a_kept_capability_works_and_a_dropped_one_does_not),
		cmocka_unit_test(wrong_names_are_errors),
		cmocka_unit_test(a_user_that_is_not_mapped_is_a_notice_and_the_rest_is_done),
	};

	return cmocka_run_group_tests_name("os/sandbox", tests, NULL, NULL);
}
