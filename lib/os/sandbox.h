#ifndef OS_SANDBOX_H
#define OS_SANDBOX_H

/* What a daemon gives up once it has opened what it needs: its user, capabilities, new privileges,
 * core dumps, system calls. */

#include <stdbool.h>
#include <stddef.h>

struct sandbox {
	const char *role; /* for the log: "dnetd engine" */
	const char *user; /* name or number; NULL or "": stay. Its group and supplementary groups
			     come along */
	/* CAP_… that are kept; all others go, also from the bounding set. */
	const int *capabilities;
	size_t capabilities_count;
	/* System calls by name beside the common ones (files, sockets that are open, memory, time,
	 * polling, threads): "bind", "execve", … NULL-terminated; unknown names are an error. */
	const char *const *syscalls;
	bool inherited;	 /* capabilities stay over execve(): for who starts another program */
	bool no_seccomp; /* for debuggers and sanitizers */
	bool log_denied; /* the kernel logs what is refused (audit) */
};

/* In this order: limits (no core), not dumpable, user and capabilities, no_new_privs, seccomp: any
 * other system call is EPERM from then on. 0 or -errno, and then the process must end: it may be
 * half way. What the machine cannot do, because the user is not mapped in this user namespace or
 * there is no right to change it, is a notice in the log and left out; whether it could is in the
 * return of sandbox_user_possible(). */
int sandbox_enter(const struct sandbox *sandbox);
/* Whether this process may become that user: the answer of -n. 0, -ENOENT (no such user), -EPERM.
 */
int sandbox_user_possible(const char *user);

/* Number of the user, for chown of state folders and sockets before dropping. -ENOENT. */
int sandbox_user_find(const char *user, unsigned *ret_uid, unsigned *ret_gid);

#endif
