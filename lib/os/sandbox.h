#ifndef OS_SANDBOX_H
#define OS_SANDBOX_H

/* What a daemon gives up once it has opened what it needs: its user, capabilities, new privileges,
 * core dumps, files, system calls. */

#include "os/sandbox_roles.h"

#include <stdbool.h>
#include <stddef.h>

struct sandbox {
	const struct sandbox_role *role; /* borrowed; mostly a row of sandbox_roles */
	const char *user; /* name or number; NULL or "": stay. Its group and supplementary groups
			     come along */
	/* Beside those of the role: what the configuration names. One that is not there yet: what
	 * is above it may be read, and the log says so. */
	const struct sandbox_path *paths;
	size_t paths_count;
	bool inherited;	 /* capabilities stay over execve(): for who starts another program */
	bool no_filters; /* neither files nor system calls: for debuggers and sanitizers */
};

/* In this order: limits (no core), not dumpable, user and capabilities, no_new_privs, Landlock, and
 * seccomp: any other system call is EPERM from then on, any other file EACCES. 0 or -errno, and
 * then the process must end: it may be half way. What the machine cannot do, because the user is
 * not mapped in this user namespace, there is no right to change it, or the kernel has no Landlock,
 * is a notice in the log and left out. */
int sandbox_enter(const struct sandbox *sandbox);
/* From now on this ioctl succeeds and does nothing, here and in what this process starts: for
 * another program that insists on something that is done for it. After sandbox_enter(). 0 or
 * -errno. */
int sandbox_ignore_ioctl(unsigned long request);
/* Whether this process may become that user: the answer of -n. 0, -ENOENT (no such user), -EPERM.
 */
int sandbox_user_possible(const char *user);

/* Number of the user, for chown of state folders and sockets before dropping. -ENOENT. */
int sandbox_user_find(const char *user, unsigned *ret_uid, unsigned *ret_gid);

/* No core dump, and nobody of the same user reads this process's memory. 0 or -errno. */
int sandbox_forbid_dumps(void);
/* That, and none of the memory is swapped out
 * where RLIMIT_MEMLOCK is, or can be made, infinite: before a key is read. Under a lower limit,
 * which the log names, memory that comes later would be refused; then the keys alone are locked
 * (secret_lock()). 0 or -errno. */
int sandbox_protect_memory(const char *role);

#endif
