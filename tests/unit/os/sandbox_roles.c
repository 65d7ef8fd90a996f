#include "fixture/test.h"

#include "fixture/temp.h"
#include "os/base.h"
#include "os/daemon.h"
#include "os/landlock.h"
#include "os/sandbox.h"
#include "unit/os/sandbox_attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/landlock.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
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
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* Each process of sandbox_roles is entered as its daemon does it, in a child, and everything that
 * whoever took it over might want is tried from inside. The kernel is asked with arguments that
 * change nothing should it let them pass. The folders stand open to everybody, so that it is not
 * their modes that refuse. */

#define NOBODY "65534"

enum {
	ENGINE = 1 << SANDBOX_ENGINE,
	RAW_HELPER = 1 << SANDBOX_ROOT_HELPER_WIREGUARD,
	HELPERS = 1 << SANDBOX_ROOT_HELPER | RAW_HELPER,
	SERVICE = 1 << SANDBOX_SERVICE,
	WATCH = 1 << SANDBOX_CHAINWATCH
};

static struct temp base;
static pid_t tester;
static int listener; /* a stream socket of the tester */
static char abstract[32];

static char *at(const char *name)
{
	static char path[4][256];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", base.path, name);
	return p;
}

static long opens(const char *path, int flags)
{
	return open(path, flags | O_CLOEXEC, 0600);
}

static long connects(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	/* Nobody listens there: that it was tried is what counts. */
	return connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno != ECONNREFUSED ? -1 : 0;
}

static long binds(int type)
{
	struct sockaddr_in any = {.sin_family = AF_INET};

	return bind(socket(AF_INET, type, 0), (struct sockaddr *)&any, sizeof(any));
}

static long connects_abstract(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	size_t len = strlen(abstract);

	if (fd < 0)
		return -1;
	memcpy(to.sun_path + 1, abstract, len);
	return connect(fd, (struct sockaddr *)&to,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len));
}

static long sets_limit(void)
{
	const struct rlimit limit = {0, 0};

	return syscall(SYS_prlimit64, 0, RLIMIT_CORE, &limit, NULL);
}

static long sets_capabilities(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{0}};

	return syscall(SYS_capset, &head, data);
}

static void *nothing(void *arg)
{
	return arg;
}

static long makes_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL) ? -1 : 0;
}

static long resolves(void)
{
	struct addrinfo *list = NULL;
	int result = getaddrinfo("localhost", "53", NULL, &list);

	if (list)
		freeaddrinfo(list);
	errno = EACCES; /* it says no more than that it did not work */
	return result ? -1 : 0;
}

static long keeps_files(void)
{
	int fd = open(at("state/new"), O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);

	return fd < 0 || write(fd, "x", 1) != 1 || rename(at("state/new"), at("state/kept")) ||
			       opens(at("state/kept"), O_RDONLY) < 0 || unlink(at("state/kept"))
		       ? -1
		       : 0;
}

static long replaces(const char *path, const char *victim)
{
	if (opens(path, O_CREAT | O_WRONLY) < 0)
		return -1;
	if (!rename(path, victim))
		return 0;
	/* Between folders with different rules it is not even a matter of rights. */
	errno = errno == EXDEV ? EACCES : errno;
	return -1;
}

static long asks_device(unsigned long request)
{
	struct ifreq ask = {.ifr_flags = 0};

	/* Not a descriptor: the filter looks first. */
	return ioctl(-1, request, &ask) && errno != EBADF ? -1 : 0;
}

/* On no descriptor: the filter looks first. */
static long writes_headers(int level, int option)
{
	int on = 1;

	return setsockopt(-1, level, option, &on, sizeof(on)) && errno != EBADF ? -1 : 0;
}

/* What is tried, and who may. As in doc/threat-model.md, "Privilege". */
#define FUNCTION(what, may, call)                                                                  \
	static long what(void)                                                                     \
	{                                                                                          \
		return call;                                                                       \
	}
#define ROW(what, may, call) {#what, may, what},

ATTEMPTS(FUNCTION)

static const struct {
	const char *what;
	unsigned may;
	long (*call)(void);
} attempts[] = {ATTEMPTS(ROW)};

/* As the daemon does it. */
static int enter(enum sandbox_role_id role)
{
	const struct sandbox helper = {.role = &sandbox_roles[role]};
	const bool root = !geteuid() && !sandbox_user_possible(NOBODY);
	const struct daemon_options options = {
		.state_folder = at("state"),
		.control = at("run/control.sock"),
		.log_file = at("log/log"),
		.user = root ? NOBODY : "",
		.sandbox = true,
	};
	const struct sandbox_path chain = {at("chain"), DAEMON_READS_CHAINDB};

	if (1 << role & HELPERS)
		return sandbox_enter(&helper);
	return daemon_give_up_rights(&options, role, &chain, 1);
}

static int play(enum sandbox_role_id role)
{
	int wrong = 0;

	if (enter(role))
		return 255;
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		bool may = attempts[i].may & 1u << role;
		long result;

		errno = 0;
		result = attempts[i].call();
		if (may ? result >= 0 : result < 0 && (errno == EPERM || errno == EACCES))
			continue;
		dprintf(2, "%s: %s %s (%s)\n", sandbox_roles[role].name, attempts[i].what,
			may ? "should work" : "should be refused", strerror(errno));
		wrong++;
	}
	return wrong;
}

static void make_file(const char *name, mode_t mode)
{
	int fd = open(at(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void each_role_does_what_its_table_says_and_nothing_else(void **state)
{
	if (landlock_version() < 6) {
		print_message("the kernel has Landlock %d\n", landlock_version());
		skip();
	}
	for (int role = 0; role < SANDBOX_ROLES; role++) {
		pid_t pid;
		int status;

		if (geteuid() && sandbox_roles[role].capabilities_count) {
			print_message("%s needs root\n", sandbox_roles[role].name);
			continue;
		}
		make_file("run/control.sock", 0666); /* the one before has removed it */
		pid = fork();
		if (!pid)
			_exit(play((enum sandbox_role_id)role));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status)
			print_message("%s: status %x\n", sandbox_roles[role].name, status);
		assert_int_equal(status, 0);
	}
}

/* What an older kernel does not know is not asked of it. */
static void each_version_of_landlock_gets_what_it_knows(void **state)
{
	static const struct {
		int version;
		struct landlock_rights known;
	} table[] = {
		{0, {0, 0, 0}},	     {1, {0x1fff, 0, 0}}, {2, {0x3fff, 0, 0}}, {3, {0x7fff, 0, 0}},
		{4, {0x7fff, 3, 0}}, {5, {0xffff, 3, 0}}, {6, {0xffff, 3, 3}}, {99, {0xffff, 3, 3}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct landlock_rights known = landlock_known(table[i].version);

		assert_memory_equal(&known, &table[i].known, sizeof(known));
	}
	assert_int_equal(landlock_file_bits(SANDBOX_READ, true, 0xffff),
			 LANDLOCK_ACCESS_FS_READ_FILE);
	assert_int_equal(landlock_file_bits(SANDBOX_WRITE, false, 0x1fff),
			 LANDLOCK_ACCESS_FS_WRITE_FILE);
	assert_int_equal(landlock_file_bits(SANDBOX_WRITE, false, 0x7fff),
			 LANDLOCK_ACCESS_FS_WRITE_FILE | 1 << 14);
	/* The kernel refuses rules about a file that only a folder can have. */
	assert_int_equal(
		landlock_file_bits(SANDBOX_LIST | SANDBOX_MAKE | SANDBOX_REMOVE, false, 0xffff), 0);
	assert_int_equal(landlock_file_bits(~0u, true, 0), 0);
}

static bool can_read(const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0;
}

static int play_later(void)
{
	const struct sandbox_path own[] = {{at("none/chain"), SANDBOX_READ | SANDBOX_WRITE},
					   {"/dnet-none/chain", SANDBOX_READ}};
	const struct sandbox_role role = {.name = "test", .calls = {"connect"}};
	const struct sandbox box = {.role = &role, .paths = own, .paths_count = 2};
	const char *other = at("other/service.key");

	if (sandbox_enter(&box))
		return 1;
	/* Both are beneath the folder that is there; what is elsewhere is not. */
	if (!can_read(other) || can_read("/etc/passwd"))
		return 2;
	return open(other, O_WRONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 3;
}

static void a_folder_that_is_not_there_yet_may_be_read_when_it_comes(void **state)
{
	pid_t pid;
	int status;

	if (!landlock_version())
		skip();
	pid = fork();
	if (!pid)
		_exit(play_later());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int setup(void **state)
{
	static const char *const folders[] = {"state", "other", "chain", "run", "log"};
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int len;

	tester = getpid();
	temp_make(&base);
	if (chmod(base.path, 0755))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		if (mkdir(at(folders[i]), 0700) || chmod(at(folders[i]), 0777))
			return -1;
	}
	make_file("other/service.key", 0666);
	make_file("chain/chain.db", 0444); /* of another user, that is */
	make_file("run/other.sock", 0666);
	len = snprintf(abstract, sizeof(abstract), "dnet-roles-%d", (int)tester);
	memcpy(name.sun_path + 1, abstract, (size_t)len);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(listener, (struct sockaddr *)&name,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) ||
	       listen(listener, 8);
}

static int teardown(void **state)
{
	close(listener);
	temp_remove(&base);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_role_does_what_its_table_says_and_nothing_else),
		cmocka_unit_test(each_version_of_landlock_gets_what_it_knows),
		cmocka_unit_test(a_folder_that_is_not_there_yet_may_be_read_when_it_comes),
	};

	return cmocka_run_group_tests_name("os/sandbox_roles", tests, setup, teardown);
}
