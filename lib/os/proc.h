#ifndef OS_PROC_H
#define OS_PROC_H

/* Processes of one daemon: a forked child with a role, and messages with descriptors between parent
 * and child over a SOCK_SEQPACKET pair. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	PROC_MESSAGE_MAX = 65536, /* bytes in one message */
	PROC_FDS_MAX = 16,	  /* descriptors in one message */
};

/* Both ends close-on-exec, blocking. 0 or -errno. */
int proc_pair(int ret_fds[2]);

/* One message with up to PROC_FDS_MAX descriptors, which stay open here. 0; -EMSGSIZE (too long, or
 * too many); -EAGAIN on a full non-blocking socket; -EPIPE when the other end has gone. */
int proc_send(int fd, const void *data, size_t len, const int *fds, size_t fds_count);

/* The next message. Returns its bytes (> 0), 0 when the other end has closed, or -errno: -EAGAIN on
 * an empty non-blocking socket; -EMSGSIZE, and the message is gone and its descriptors closed, when
 * it has more than size bytes or more than fds_size descriptors. The descriptors are the caller's,
 * close-on-exec. fds may be NULL when fds_size is 0. */
ssize_t proc_receive(int fd, void *data, size_t size, int *fds, size_t fds_size,
		     size_t *ret_fds_count);

/* Sends a request as proc_send(), and waits for its answer of just size bytes; the descriptor may
 * be non-blocking. One that comes along is *ret_fd and the caller's (NULL: it is closed); with none
 * that stays as it is. 0; -errno, and an answer may come late: ask no more there. */
int proc_ask(int fd, const void *request, size_t len, const int *fds, size_t fds_count,
	     void *ret_answer, size_t size, int timeout_ms, int *ret_fd);

struct proc_child {
	pid_t pid;
	int fd; /* the parent's end */
};

/* The child's whole life; its return value is the exit status. */
typedef int (*proc_role)(int fd, void *arg);

/* Forks: before the first thread and the first loop of the process. The child gets the other end, a
 * name of 15 bytes for ps, SIGKILL when the parent dies, default signal handlers, and no other
 * descriptor of ours but stdin, stdout, stderr and keep_fds (-1-terminated, or NULL). 0 or -errno.
 */
int proc_fork(const char *name, proc_role role, void *arg, const int *keep_fds,
	      struct proc_child *ret_child);

/* As proc_fork(), in a PID namespace of its own where the machine allows that: whatever it starts
 * ends with it, also what changed its user or its parent. -EPERM where it is not allowed. */
int proc_fork_contained(const char *name, proc_role role, void *arg, const int *keep_fds,
			struct proc_child *ret_child);

/* Waits for its end: *ret_status as waitpid() has it. */
int proc_wait(pid_t pid, int *ret_status);

/* What ps shows: the first 15 bytes of title as the thread's name, and as much of it as fits over
 * the arguments. argv is main()'s and unusable after that. NULL: only the name. */
void proc_set_title(char **argv, const char *title);

/* Runs a program to its end without a shell: 0 and *ret_status, or -errno when it could not start.
 * argv is NULL-terminated; no PATH search; stdin is /dev/null; blocking. */
int proc_run(const char *const *argv, int *ret_status);

#endif
