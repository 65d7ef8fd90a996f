#include "os/sandbox_roles.h"

#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>

/* Not here: bind, listen, connect, execve, fork, ptrace, mount, setuid, kill and all the rest.
 * What is looked at more closely is in sandbox.c: clone (threads only), clone3, ioctl, prctl,
 * prlimit64, socket, socketpair, tgkill. */
const char *const sandbox_common_calls[] = {
	/* memory */
	"brk",
	"madvise",
	"mmap",
	"mprotect",
	"mremap",
	"munmap",
	"membarrier",
	"mlock",
	/* files */
	"access",
	"close",
	"close_range",
	"dup",
	"dup2",
	"dup3",
	"faccessat",
	"faccessat2",
	"fadvise64",
	"fcntl",
	"fstat",
	"fstatfs",
	"getcwd",
	"getdents64",
	"lseek",
	"lstat",
	"newfstatat",
	"open",
	"openat",
	"pipe",
	"pipe2",
	"read",
	"readlink",
	"readlinkat",
	"readv",
	"stat",
	"statfs",
	"statx",
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
	"uname",
	"wait4",
	"waitid",
	NULL,
};

const char *const sandbox_state_calls[] = {
	"fallocate", "fchmod",	  "fchown", "fdatasync", "flock",    "fsync",
	"ftruncate", "pread64",	  "preadv", "pwrite64",	 "pwritev",  "rename",
	"renameat",  "renameat2", "umask",  "unlink",	 "unlinkat", NULL,
};

/* What libuv and libc ask of any descriptor. */
const unsigned long sandbox_common_ioctls[] = {FIONBIO, FIOCLEX, FIONCLEX, FIONREAD, TCGETS, 0};

/* Names of threads and of memory, and questions. Not: dumpable, keeping capabilities, tracers. */
const int sandbox_common_prctls[] = {
	PR_SET_NAME,	  PR_GET_NAME,	       PR_GET_DUMPABLE,
	PR_GET_PDEATHSIG, PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP,
	PR_CAPBSET_READ,  PR_SET_VMA,	       0,
};

/* getaddrinfo(3) reads files of /etc, or what takes their place, that are replaced while we run,
 * and loads its modules; TLS the authorities. Folders that this machine does not have are left out.
 */
/* clang-format off */
#define RESOLVER \
	{"/etc", SANDBOX_READ}, \
	{"/run/NetworkManager", SANDBOX_READ}, \
	{"/run/resolvconf", SANDBOX_READ}, \
	{"/run/systemd/resolve", SANDBOX_READ}, \
	{"/lib", SANDBOX_READ}, \
	{"/lib64", SANDBOX_READ}, \
	{"/usr", SANDBOX_READ}
/* clang-format on */

/* doc/threat-model.md, 5, has the same table; tests/source/roles.sh compares them. */
const struct sandbox_role sandbox_roles[SANDBOX_ROLES] = {
	[SANDBOX_ENGINE] =
		{
			.name = "dnetd engine",
			.has_state = true,
			/* mkdirat: folders of backends' programs */
			.calls = {"bind", "connect", "mkdirat"},
			.families = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK},
			/* rosters by URL */
			.tcp = SANDBOX_TCP_CONNECT,
			.paths = {RESOLVER},
		},
	[SANDBOX_ROOT_HELPER] =
		{
			.name = "dnetd root helper",
			.capabilities = {CAP_NET_ADMIN},
			.capabilities_count = 1,
			.ioctls = {TUNSETIFF, TUNSETOFFLOAD},
			.tcp = SANDBOX_TCP_NONE,
			.paths = {{"/dev/net/tun", SANDBOX_READ | SANDBOX_WRITE | SANDBOX_IOCTL},
				  {"/proc/sys/net/ipv6/conf", SANDBOX_WRITE}},
		},
	[SANDBOX_ROOT_HELPER_WIREGUARD] =
		{
			.name = "dnetd root helper with WireGuard",
			.capabilities = {CAP_NET_ADMIN, CAP_NET_RAW},
			.capabilities_count = 2,
			.raw_udp = true,
			.ioctls = {TUNSETIFF, TUNSETOFFLOAD},
			.tcp = SANDBOX_TCP_NONE,
			.paths = {{"/dev/net/tun", SANDBOX_READ | SANDBOX_WRITE | SANDBOX_IOCTL},
				  {"/proc/sys/net/ipv6/conf", SANDBOX_WRITE}},
		},
	[SANDBOX_SERVICE] =
		{
			.name = "ovcd/ovrd",
			.has_state = true,
			.calls = {"connect"},
			.families = {AF_UNIX},
			.tcp = SANDBOX_TCP_NONE,
		},
	[SANDBOX_CHAINWATCH] =
		{
			.name = "chainwatch",
			.has_state = true,
			/* threads of libzmq look at their scheduling */
			.calls = {"bind", "connect", "sched_get_priority_max",
				  "sched_get_priority_min", "sched_getparam", "sched_getscheduler",
				  "sched_setscheduler"},
			.families = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK},
			.tcp = SANDBOX_TCP_CONNECT,
			.paths = {RESOLVER},
		},
};
