#include "os/sandbox.h"

#include "os/base.h"
#include "os/file.h"
#include "os/log.h"

#include <assert.h>
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

/* What every daemon does after its start: its loop, its log, its state folder, its open sockets.
 * Not here: socket, bind, listen, connect, execve, ptrace, mount, setuid and all the rest. */
static const char *const common_calls[] = {
	/* memory */
	"brk",
	"madvise",
	"mmap",
	"mprotect",
	"mremap",
	"munmap",
	"membarrier",
	/* files */
	"access",
	"chmod",
	"close",
	"close_range",
	"dup",
	"dup2",
	"dup3",
	"faccessat",
	"faccessat2",
	"fadvise64",
	"fallocate",
	"fchmod",
	"fchmodat",
	"fchown",
	"fcntl",
	"fdatasync",
	"flock",
	"fstat",
	"fstatfs",
	"fsync",
	"ftruncate",
	"getcwd",
	"getdents64",
	"lseek",
	"lstat",
	"mkdir",
	"mkdirat",
	"newfstatat",
	"open",
	"openat",
	"pipe",
	"pipe2",
	"pread64",
	"preadv",
	"pwrite64",
	"pwritev",
	"read",
	"readlink",
	"readlinkat",
	"readv",
	"rename",
	"renameat",
	"renameat2",
	"rmdir",
	"stat",
	"statfs",
	"statx",
	"umask",
	"unlink",
	"unlinkat",
	"utimensat",
	"write",
	"writev",
	/* sockets that are open */
	"accept",
	"accept4",
	"getpeername",
	"getsockname",
	"getsockopt",
	"recvfrom",
	"recvmmsg",
	"recvmsg",
	"sendmmsg",
	"sendmsg",
	"sendto",
	"setsockopt",
	"shutdown",
	"socketpair",
	/* waiting and time */
	"clock_getres",
	"clock_gettime",
	"clock_nanosleep",
	"epoll_create1",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_pwait2",
	"epoll_wait",
	"eventfd2",
	"gettimeofday",
	"nanosleep",
	"poll",
	"ppoll",
	"pselect6",
	"select",
	"time",
	"timerfd_create",
	"timerfd_settime",
	/* threads, signals, self */
	"clone",
	"clone3",
	"exit",
	"exit_group",
	"futex",
	"get_robust_list",
	"getcpu",
	"getegid",
	"geteuid",
	"getgid",
	"getgroups",
	"getpid",
	"getppid",
	"getrandom",
	"getrlimit",
	"getrusage",
	"gettid",
	"getuid",
	"prctl",
	"prlimit64",
	"restart_syscall",
	"rseq",
	"rt_sigaction",
	"rt_sigpending",
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigtimedwait",
	"sched_getaffinity",
	"sched_yield",
	"set_robust_list",
	"set_tid_address",
	"sigaltstack",
	"sysinfo",
	"tgkill",
	"uname",
	"wait4",
	"waitid",
	NULL,
};

/* The requests of ioctl that libuv and libc make; a daemon that needs more names "ioctl". */
static const unsigned long common_ioctls[] = {FIONBIO, FIOCLEX, FIONCLEX, FIONREAD, TCGETS};

static bool parse_id(const char *text, unsigned *ret_id)
{
	char *end;
	unsigned long id;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	id = strtoul(text, &end, 10);
	if (errno || *end || id >= UINT32_MAX)
		return false;
	*ret_id = (unsigned)id;
	return true;
}

int sandbox_user_find(const char *user, unsigned *ret_uid, unsigned *ret_gid)
{
	struct passwd *entry = getpwnam(user);
	unsigned id;

	if (entry) {
		*ret_uid = entry->pw_uid;
		*ret_gid = entry->pw_gid;
		return 0;
	}
	if (!parse_id(user, &id))
		return -ENOENT;
	entry = getpwuid(id);
	*ret_uid = id;
	*ret_gid = entry ? entry->pw_gid : id;
	return 0;
}

/* Whether the user namespace has a number for it (user_namespaces(7)). */
static bool id_mapped(const char *map, unsigned id)
{
	_cleanup_(freep) char *text = NULL;
	uint32_t inside, outside, count;
	int used;

	if (file_read(map, 65536, &text, NULL))
		return true; /* no /proc: trying will show it */
	for (char *p = text; sscanf(p, "%" SCNu32 "%" SCNu32 "%" SCNu32 "%n", &inside, &outside,
				    &count, &used) == 3;
	     p += used) {
		if (id >= inside && id - inside < count)
			return true;
	}
	return false;
}

static bool setgroups_denied(void)
{
	_cleanup_(freep) char *text = NULL;

	return !file_read("/proc/self/setgroups", 64, &text, NULL) && !strncmp(text, "deny", 4);
}

static bool have_capability(capng_type_t type, unsigned capability)
{
	return capng_have_capability(type, capability);
}

int sandbox_user_possible(const char *user)
{
	unsigned uid, gid;

	if (!user || !user[0])
		return 0;
	if (sandbox_user_find(user, &uid, &gid))
		return -ENOENT;
	if (uid == geteuid() && gid == getegid())
		return 0;
	capng_get_caps_process();
	if (!have_capability(CAPNG_EFFECTIVE, CAP_SETUID) ||
	    !have_capability(CAPNG_EFFECTIVE, CAP_SETGID))
		return -EPERM;
	if (!id_mapped("/proc/self/uid_map", uid) || !id_mapped("/proc/self/gid_map", gid) ||
	    setgroups_denied())
		return -EPERM;
	return 0;
}

static int set_limits(void)
{
	struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0))
		return -errno;
	return 0;
}

static bool wanted(const struct sandbox *s, int capability)
{
	for (size_t i = 0; i < s->capabilities_count; i++) {
		if (s->capabilities[i] == capability)
			return true;
	}
	return false;
}

/* While CAP_SETPCAP is still there. Without it there is nothing to drop for a child to gain: after
 * no_new_privs no program adds any. */
static void drop_bounding(const struct sandbox *s)
{
	for (int c = 0; prctl(PR_CAPBSET_READ, c) >= 0; c++) {
		if (!wanted(s, c))
			prctl(PR_CAPBSET_DROP, c);
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static int become_user(const char *user)
{
	unsigned uid, gid;
	struct passwd *entry;
	int result = sandbox_user_find(user, &uid, &gid);

	if (result)
		return result;
	entry = getpwuid(uid);
	if (entry ? initgroups(entry->pw_name, gid) : setgroups(0, NULL))
		return -errno;
	if (setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

static int change_user(const struct sandbox *s)
{
	int result, death_signal = 0;

	if (!s->user || !s->user[0])
		return 0;
	result = sandbox_user_possible(s->user);
	if (result == -EPERM) {
		log_notice("%s stays user %u: '%s' cannot be had here (not root, or not mapped in "
			   "this user namespace)",
			   s->role, (unsigned)geteuid(), s->user);
		return 0;
	}
	if (result)
		return result;
	/* Changing the user forgets both: which signal ends us with our parent, and, but for
	 * KEEPCAPS, all capabilities. */
	prctl(PR_GET_PDEATHSIG, &death_signal);
	if (prctl(PR_SET_KEEPCAPS, 1))
		return -errno;
	result = become_user(s->user);
	if (!result && death_signal)
		prctl(PR_SET_PDEATHSIG, death_signal);
	prctl(PR_SET_KEEPCAPS, 0);
	return result;
}

static int keep_capabilities(const struct sandbox *s)
{
	bool permitted[64] = {0};

	assert(s->capabilities_count <= ARRAY_SIZE(permitted));
	capng_get_caps_process();
	for (size_t i = 0; i < s->capabilities_count; i++)
		permitted[i] = have_capability(CAPNG_PERMITTED, (unsigned)s->capabilities[i]);
	capng_clear(CAPNG_SELECT_CAPS);
	for (size_t i = 0; i < s->capabilities_count; i++) {
		unsigned capability = (unsigned)s->capabilities[i];

		if (permitted[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, capability);
		else
			log_notice("%s does not have the capability %s", s->role,
				   capng_capability_to_name(capability));
	}
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

/* Another user's program keeps what is ambient, which has to be inheritable first. */
static int pass_on_capabilities(const struct sandbox *s)
{
	for (size_t i = 0; i < s->capabilities_count; i++) {
		unsigned capability = (unsigned)s->capabilities[i];

		if (!have_capability(CAPNG_PERMITTED, capability))
			continue;
		capng_update(CAPNG_ADD, CAPNG_INHERITABLE, capability);
		if (capng_apply(CAPNG_SELECT_CAPS) ||
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))
			return -EPERM;
	}
	return 0;
}

static int allow_call(scmp_filter_ctx filter, const char *name, bool must_exist)
{
	int number = seccomp_syscall_resolve_name(name);
	int result;

	if (number == __NR_SCMP_ERROR) {
		if (!must_exist)
			return 0;
		log_error("there is no system call '%s' to allow", name);
		return -ENOENT;
	}
	result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
	/* Some names of the list are no calls of this machine's kind. */
	return result == -EDOM || result == -EEXIST ? 0 : result;
}

static int fill_filter(scmp_filter_ctx filter, const struct sandbox *s)
{
	int result = 0;

	for (size_t i = 0; common_calls[i] && !result; i++)
		result = allow_call(filter, common_calls[i], false);
	for (size_t i = 0; i < ARRAY_SIZE(common_ioctls) && !result; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
					  SCMP_A1_32(SCMP_CMP_EQ, (uint32_t)common_ioctls[i]));
	for (size_t i = 0; s->syscalls && s->syscalls[i] && !result; i++)
		result = allow_call(filter, s->syscalls[i], true);
	return result;
}

static int load_filter(const struct sandbox *s)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int result;

	if (!filter)
		return -ENOMEM;
	if (s->log_denied)
		seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
	/* Threads that a library has started are not left out. */
	result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!result)
		result = fill_filter(filter, s);
	if (!result)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result;
}

static int enter(const struct sandbox *s, const char **ret_step)
{
	int result;

	*ret_step = "limits";
	result = set_limits();
	if (result)
		return result;
	drop_bounding(s);
	*ret_step = "user";
	result = change_user(s);
	if (result)
		return result;
	*ret_step = "capabilities";
	result = keep_capabilities(s);
	if (!result && s->inherited)
		result = pass_on_capabilities(s);
	if (result)
		return result;
	/* Changing the user made it dumpable as /proc/sys/fs/suid_dumpable says. */
	*ret_step = "no_new_privs";
	if (prctl(PR_SET_DUMPABLE, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	*ret_step = "seccomp";
	return s->no_seccomp ? 0 : load_filter(s);
}

int sandbox_enter(const struct sandbox *s)
{
	const char *step;
	int result = enter(s, &step);

	if (result == -ENOENT && !strcmp(step, "user"))
		log_error("%s: there is no user '%s'; adduser --system %s makes it", s->role,
			  s->user, s->user);
	else if (result)
		log_error("%s: cannot give up privileges (%s): %s", s->role, step,
			  strerror(-result));
	return result;
}
