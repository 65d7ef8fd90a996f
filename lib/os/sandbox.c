#include "os/sandbox.h"

#include "os/base.h"
#include "os/file.h"
#include "os/landlock.h"
#include "os/log.h"

#include <assert.h>
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36 /* linux/in6.h, since 4.19 */
#endif

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

int sandbox_forbid_dumps(void)
{
	struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0))
		return -errno;
	return 0;
}

static bool wanted(const struct sandbox *s, int capability)
{
	for (size_t i = 0; i < s->role->capabilities_count; i++) {
		if (s->role->capabilities[i] == capability)
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
			   s->role->name, (unsigned)geteuid(), s->user);
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

static int keep_capabilities(const struct sandbox_role *role)
{
	bool permitted[SANDBOX_LIST_MAX] = {0};

	assert(role->capabilities_count <= ARRAY_SIZE(permitted));
	capng_get_caps_process();
	for (size_t i = 0; i < role->capabilities_count; i++)
		permitted[i] = have_capability(CAPNG_PERMITTED, (unsigned)role->capabilities[i]);
	capng_clear(CAPNG_SELECT_CAPS);
	for (size_t i = 0; i < role->capabilities_count; i++) {
		unsigned capability = (unsigned)role->capabilities[i];

		if (permitted[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, capability);
		else
			log_notice("%s does not have the capability %s", role->name,
				   capng_capability_to_name(capability));
	}
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

/* Another user's program keeps what is ambient, which has to be inheritable first. */
static int pass_on_capabilities(const struct sandbox *s)
{
	for (size_t i = 0; i < s->role->capabilities_count; i++) {
		unsigned capability = (unsigned)s->role->capabilities[i];

		if (!have_capability(CAPNG_PERMITTED, capability))
			continue;
		capng_update(CAPNG_ADD, CAPNG_INHERITABLE, capability);
		if (capng_apply(CAPNG_SELECT_CAPS) ||
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))
			return -EPERM;
	}
	return 0;
}

/* ---- System calls ---- */

#define WHEN(argument, value)	     SCMP_CMP64(argument, SCMP_CMP_EQ, (scmp_datum_t)(value))
#define WHEN_BITS(argument, mask, v) SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, v)
/* The upper half of a register says nothing about an int. */
#define WHEN_INT(argument, value) WHEN_BITS(argument, UINT32_MAX, (uint32_t)(value))

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

static int allow_calls(scmp_filter_ctx filter, const char *const *names, bool must_exist)
{
	int result = 0;

	for (; *names && !result; names++)
		result = allow_call(filter, *names, must_exist);
	return result;
}

static int allow_ioctls(scmp_filter_ctx filter, const unsigned long *ioctls)
{
	int result = 0;

	for (; *ioctls && !result; ioctls++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
					  WHEN_INT(1, *ioctls));
	return result;
}

/* New sockets: no raw ones, and of netlink what getaddrinfo() asks. */
static int allow_family(scmp_filter_ctx filter, int family)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
	int result = 0;

	if (family == AF_NETLINK)
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
					WHEN_INT(0, family), WHEN_INT(2, 0));
	for (size_t i = 0; i < ARRAY_SIZE(types) && !result; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
					  WHEN_INT(0, family), WHEN_BITS(1, 0xf, types[i]));
	return result;
}

static int allow_raw_udp(scmp_filter_ctx filter)
{
	static const int families[] = {AF_INET, AF_INET6};
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(families) && !result; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3,
					  WHEN_INT(0, families[i]), WHEN_BITS(1, 0xf, SOCK_RAW),
					  WHEN_INT(2, IPPROTO_UDP));
	return result;
}

/* Threads, but no processes. What clone3() is asked for is behind a pointer that a filter cannot
 * follow: libc takes clone() when there is none. */
static int allow_threads(scmp_filter_ctx filter)
{
	int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				      WHEN_BITS(0, CLONE_THREAD, CLONE_THREAD));

	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* pthread_kill(), raise(), abort() */
	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
					  WHEN_INT(0, getpid()));
	return result;
}

/* Of this process, and to look at only. */
static int allow_self(scmp_filter_ctx filter)
{
	int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
				      WHEN_INT(0, 0), WHEN(2, 0));

	for (const int *p = sandbox_common_prctls; *p && !result; p++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
					  WHEN_INT(0, *p));
	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
					  WHEN_INT(0, AF_UNIX));
	return result;
}

static int fill_filter(scmp_filter_ctx filter, const struct sandbox_role *role)
{
	int result = allow_threads(filter);

	if (!result)
		result = allow_self(filter);
	if (!result)
		result = allow_ioctls(filter, sandbox_common_ioctls);
	if (!result)
		result = allow_ioctls(filter, role->ioctls);
	for (size_t i = 0; role->families[i] && !result; i++)
		result = allow_family(filter, role->families[i]);
	if (!result && role->raw_udp)
		result = allow_raw_udp(filter);
	if (!result)
		result = allow_calls(filter, sandbox_common_calls, false);
	if (!result && role->has_state)
		result = allow_calls(filter, sandbox_state_calls, false);
	/* futimens(): of a file that is open, none by its name */
	if (!result && role->has_state)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(utimensat), 1,
					  WHEN(1, 0));
	if (!result)
		result = allow_calls(filter, role->calls, true);
	return result;
}

/* Who has a raw socket of another process writes no IP header of its own: no other source address
 * and no other protocol. */
static int forbid_headers(scmp_filter_ctx filter, const struct sandbox_role *role)
{
	static const int options[][2] = {{IPPROTO_IP, IP_HDRINCL}, {IPPROTO_IPV6, IPV6_HDRINCL}};
	int result = 0;

	(void)role;
	for (size_t i = 0; i < ARRAY_SIZE(options) && !result; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setsockopt), 2,
					  WHEN_INT(1, options[i][0]), WHEN_INT(2, options[i][1]));
	return result;
}

static int load_filter(const struct sandbox_role *role, uint32_t otherwise,
		       int (*fill)(scmp_filter_ctx filter, const struct sandbox_role *role))
{
	scmp_filter_ctx filter = seccomp_init(otherwise);
	int result;

	if (!filter)
		return -ENOMEM;
	/* Threads that a library has started are not left out. */
	result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!result)
		result = fill(filter, role);
	if (!result)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result;
}

/* ---- All of it ---- */

static int enter(const struct sandbox *s, const char **ret_step)
{
	int result;

	*ret_step = "limits";
	result = sandbox_forbid_dumps();
	if (result)
		return result;
	drop_bounding(s);
	*ret_step = "user";
	result = change_user(s);
	if (result)
		return result;
	*ret_step = "capabilities";
	result = keep_capabilities(s->role);
	if (!result && s->inherited)
		result = pass_on_capabilities(s);
	if (result)
		return result;
	/* Changing the user made it dumpable as /proc/sys/fs/suid_dumpable says. */
	*ret_step = "no_new_privs";
	if (prctl(PR_SET_DUMPABLE, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	if (s->no_filters)
		return 0;
	*ret_step = "Landlock";
	result = landlock_enter(s->role->name, s->role->tcp, s->role->paths, s->paths,
				s->paths_count);
	if (result)
		return result;
	*ret_step = "seccomp";
	/* Two of them: the kernel takes the stricter answer. */
	result = load_filter(s->role, SCMP_ACT_ALLOW, forbid_headers);
	return result ? result : load_filter(s->role, SCMP_ACT_ERRNO(EPERM), fill_filter);
}

int sandbox_enter(const struct sandbox *s)
{
	const char *step;
	int result = enter(s, &step);

	if (result == -ENOENT && !strcmp(step, "user"))
		log_error("%s: there is no user '%s'; adduser --system %s makes it", s->role->name,
			  s->user, s->user);
	else if (result)
		log_error("%s: cannot give up privileges (%s): %s", s->role->name, step,
			  strerror(-result));
	return result;
}

int sandbox_ignore_ioctl(unsigned long request)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int result;

	if (!filter)
		return -ENOMEM;
	result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), SCMP_SYS(ioctl), 1,
				  SCMP_A1(SCMP_CMP_EQ, request));
	if (!result)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result;
}

/* Raised as far as we may: root to infinity, others to their hard limit. */
static bool memory_may_be_locked(struct rlimit *ret_limit)
{
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	if (setrlimit(RLIMIT_MEMLOCK, &all) && !getrlimit(RLIMIT_MEMLOCK, ret_limit)) {
		ret_limit->rlim_cur = ret_limit->rlim_max;
		setrlimit(RLIMIT_MEMLOCK, ret_limit);
	}
	return !getrlimit(RLIMIT_MEMLOCK, ret_limit) && ret_limit->rlim_cur == RLIM_INFINITY;
}

int sandbox_protect_memory(const char *role)
{
	struct rlimit limit = {0};
	int result = sandbox_forbid_dumps();

	if (result)
		return result;
	/* Under a finite limit all later memory would come off it, and be refused one day. */
	if (!memory_may_be_locked(&limit))
		log_info("%s: of its memory only keys are kept from being swapped out, and of "
			 "these up "
			 "to %llu KiB (RLIMIT_MEMLOCK; LimitMEMLOCK=infinity in a unit: all)",
			 role, (unsigned long long)limit.rlim_cur / 1024);
	else if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		log_notice("%s: its memory may be swapped out: %s", role, strerror(errno));
	return 0;
}
