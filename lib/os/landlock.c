#include "os/landlock.h"

#include "os/base.h"
#include "os/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than Debian's header, which ends at version 2. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* version 3 */
#endif
#ifndef LANDLOCK_ACCESS_NET_CONNECT_TCP
#define LANDLOCK_ACCESS_NET_BIND_TCP	(1ULL << 0) /* version 4 */
#define LANDLOCK_ACCESS_NET_CONNECT_TCP (1ULL << 1)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15) /* version 5 */
#endif
#ifndef LANDLOCK_SCOPE_SIGNAL
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0) /* version 6 */
#define LANDLOCK_SCOPE_SIGNAL		    (1ULL << 1)
#endif

enum { RULE_PATH = 1, RULE_PORT = 2, PORT_DNS = 53 };

/* struct landlock_net_port_attr of version 4. */
struct port_rule {
	uint64_t allowed;
	uint64_t port; /* host byte order */
};

static_assert(sizeof(struct landlock_rights) == 24, "struct landlock_ruleset_attr of version 6");

/* What can be said of a file that is no folder. */
#define FILE_BITS                                                                                  \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |                              \
	 LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |                              \
	 LANDLOCK_ACCESS_FS_IOCTL_DEV)

int landlock_version(void)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version > 0 ? (int)version : 0;
}

struct landlock_rights landlock_known(int version)
{
	struct landlock_rights known = {0};

	if (version >= 1)
		known.files = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
	if (version >= 2)
		known.files |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		known.files |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (version >= 4)
		known.net = LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP;
	if (version >= 5)
		known.files |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (version >= 6)
		known.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
	return known;
}

uint64_t landlock_file_bits(unsigned access, bool folder, uint64_t known)
{
	static const struct {
		unsigned access;
		uint64_t bits;
	} table[] = {
		{SANDBOX_READ, LANDLOCK_ACCESS_FS_READ_FILE},
		{SANDBOX_LIST, LANDLOCK_ACCESS_FS_READ_DIR},
		{SANDBOX_WRITE, LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE},
		{SANDBOX_MAKE, LANDLOCK_ACCESS_FS_MAKE_REG},
		{SANDBOX_REMOVE, LANDLOCK_ACCESS_FS_REMOVE_FILE},
		{SANDBOX_IOCTL, LANDLOCK_ACCESS_FS_IOCTL_DEV},
		{SANDBOX_FOLDER, LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR},
	};
	uint64_t bits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (access & table[i].access)
			bits |= table[i].bits;
	}
	return bits & known & (folder ? UINT64_MAX : FILE_BITS);
}

static int allow_path(int rules, const char *path, unsigned access, uint64_t known)
{
	_cleanup_(closep) int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = {.parent_fd = fd};
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	rule.allowed_access = landlock_file_bits(access, S_ISDIR(st.st_mode), known);
	if (!rule.allowed_access)
		return 0;
	return syscall(SYS_landlock_add_rule, rules, RULE_PATH, &rule, 0) ? -errno : 0;
}

/* Of what is not there yet: what is above it may be read, so that it is seen when it comes. The
 * root folder is too much for that. */
static int allow_above(const char *role, int rules, const char *path, uint64_t known)
{
	_cleanup_(freep) char *above = xstrdup(path);
	int result = -ENOENT;
	char *slash;

	while (result == -ENOENT && (slash = strrchr(above, '/')) && slash != above) {
		*slash = '\0';
		result = allow_path(rules, above, SANDBOX_READ | SANDBOX_LIST, known);
	}
	if (!result)
		log_notice("%s: %s is not there: until the next start all of %s may be read", role,
			   path, above);
	else if (result == -ENOENT)
		log_warn("%s: %s is not there, and cannot be used before the next start", role,
			 path);
	return result == -ENOENT ? 0 : result;
}

static int allow_paths(const char *role, int rules, const struct sandbox_path *machine,
		       const struct sandbox_path *own, size_t own_count, uint64_t known)
{
	int result = 0;

	for (; machine->path && !result; machine++) {
		result = allow_path(rules, machine->path, machine->access, known);
		if (result == -ENOENT || result == -EACCES || result == -ENOTDIR)
			result = 0;
	}
	for (size_t i = 0; i < own_count && !result; i++) {
		result = allow_path(rules, own[i].path, own[i].access, known);
		if (result == -ENOENT)
			result = allow_above(role, rules, own[i].path, known);
		if (result) {
			log_warn("%s: %s cannot be used: %s", role, own[i].path, strerror(-result));
			result = 0;
		}
	}
	return result;
}

/* An abstract notify socket is outside (sd_notify(3)). */
static bool notifies_abstract(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path && path[0] == '@';
}

static struct landlock_rights taken_away(int version, enum sandbox_tcp tcp)
{
	struct landlock_rights rights = landlock_known(version);

	if (tcp == SANDBOX_TCP_CONNECT)
		rights.net &= ~LANDLOCK_ACCESS_NET_CONNECT_TCP;
	if (notifies_abstract())
		rights.scoped &= ~LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET;
	return rights;
}

static int allow_dns(int rules)
{
	const struct port_rule rule = {LANDLOCK_ACCESS_NET_CONNECT_TCP, PORT_DNS};

	return syscall(SYS_landlock_add_rule, rules, RULE_PORT, &rule, 0) ? -errno : 0;
}

int landlock_enter(const char *role, enum sandbox_tcp tcp, const struct sandbox_path *machine,
		   const struct sandbox_path *own, size_t own_count)
{
	int version = landlock_version();
	struct landlock_rights rights = taken_away(version, tcp);
	_cleanup_(closep) int rules = -1;
	int result;

	if (!version) {
		log_notice("%s: this kernel has no Landlock: all files that its user may use stay "
			   "within reach",
			   role);
		return 0;
	}
	/* Older kernels take a longer struct when what they do not know is zero. */
	rules = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof(rights), 0);
	if (rules < 0)
		return -errno;
	result = allow_paths(role, rules, machine, own, own_count, rights.files);
	if (!result && tcp == SANDBOX_TCP_DNS && rights.net)
		result = allow_dns(rules);
	if (!result && syscall(SYS_landlock_restrict_self, rules, 0))
		result = -errno;
	if (!result)
		log_debug("%s: Landlock version %d", role, version);
	return result;
}
