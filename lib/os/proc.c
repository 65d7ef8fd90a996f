#include "os/proc.h"

#include "os/base.h"
#include "os/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

union fds_control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(int) * PROC_FDS_MAX)];
};

int proc_pair(int ret_fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) ? -errno : 0;
}

int proc_send(int fd, const void *data, size_t len, const int *fds, size_t fds_count)
{
	union fds_control control = {0};
	struct iovec iov = {(void *)data, len};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	assert(len);
	if (len > PROC_MESSAGE_MAX || fds_count > PROC_FDS_MAX)
		return -EMSGSIZE;
	if (fds_count) {
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * fds_count);
		c = CMSG_FIRSTHDR(&header);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fds_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fds_count);
	}
	while (sendmsg(fd, &header, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* Takes the descriptors out of a message; what does not fit is closed. */
static size_t take_fds(struct msghdr *header, int *fds, size_t size, bool *ret_fits)
{
	size_t taken = 0;

	*ret_fits = !(header->msg_flags & (MSG_CTRUNC | MSG_TRUNC));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (taken < size) {
				fds[taken++] = fd;
			} else {
				close(fd);
				*ret_fits = false;
			}
		}
	}
	return taken;
}

ssize_t proc_receive(int fd, void *data, size_t size, int *fds, size_t fds_size,
		     size_t *ret_fds_count)
{
	union fds_control control;
	struct iovec iov = {data, size};
	struct msghdr header = {.msg_iov = &iov,
				.msg_iovlen = 1,
				.msg_control = &control,
				.msg_controllen = sizeof(control)};
	size_t count;
	ssize_t n;
	bool fits;

	do
		n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	count = take_fds(&header, fds, fds_size, &fits);
	if (!fits) {
		while (count)
			close(fds[--count]);
		return -EMSGSIZE;
	}
	if (ret_fds_count)
		*ret_fds_count = count;
	return n;
}

int proc_ask(int fd, const void *request, size_t len, const int *fds, size_t fds_count,
	     void *ret_answer, size_t size, int timeout_ms, int *ret_fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	_cleanup_(closep) int got = -1;
	size_t got_count = 0;
	ssize_t n;
	int r = proc_send(fd, request, len, fds, fds_count);

	if (r < 0)
		return r;
	do {
		r = poll(&p, 1, timeout_ms);
	} while (r < 0 && errno == EINTR);
	if (r <= 0)
		return r < 0 ? -errno : -ETIMEDOUT;
	n = proc_receive(fd, ret_answer, size, &got, 1, &got_count);
	if (n != (ssize_t)size)
		return n < 0 ? (int)n : -EPIPE;
	if (got_count > 0 && ret_fd) {
		*ret_fd = got;
		got = -1;
	}
	return 0;
}

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* All but stdin, stdout, stderr, the log, the channel and keep. */
static void close_others(int channel, const int *keep)
{
	int kept[64];
	size_t count = 0;
	unsigned from = 3;

	kept[count++] = channel;
	kept[count++] = log_file_fd();
	for (size_t i = 0; keep && keep[i] >= 0; i++) {
		assert(count < ARRAY_SIZE(kept));
		kept[count++] = keep[i];
	}
	qsort(kept, count, sizeof(kept[0]), compare_fds);
	for (size_t i = 0; i < count; i++) {
		if (kept[i] < (int)from)
			continue;
		if (kept[i] > (int)from)
			close_range(from, (unsigned)kept[i] - 1, 0);
		from = (unsigned)kept[i] + 1;
	}
	close_range(from, ~0U, 0);
}

static void reset_signals(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _noreturn_ void run_child(const char *name, proc_role role, void *arg, const int *keep_fds,
				 int fd, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* 0: it is in another PID namespace; the closed channel will say it. */
	if (getppid() != parent && getppid() != 0)
		_exit(1); /* it died before we asked to be told */
	reset_signals();
	close_others(fd, keep_fds);
	prctl(PR_SET_NAME, name);
	_exit(role(fd, arg));
}

/* clone() by hand where fork() cannot: one thread, nothing of libc's is to be told. */
static pid_t fork_in(int namespaces)
{
	return namespaces ? (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, NULL, NULL, NULL, NULL)
			  : fork();
}

static int fork_role(int namespaces, const char *name, proc_role role, void *arg,
		     const int *keep_fds, struct proc_child *ret_child)
{
	pid_t parent = getpid(), pid;
	int fds[2], result = proc_pair(fds);

	if (result)
		return result;
	fflush(NULL);
	pid = fork_in(namespaces);
	if (pid < 0) {
		result = -errno;
		close(fds[0]);
		close(fds[1]);
		return result;
	}
	if (!pid)
		run_child(name, role, arg, keep_fds, fds[1], parent);
	close(fds[1]);
	*ret_child = (struct proc_child){pid, fds[0]};
	return 0;
}

int proc_fork(const char *name, proc_role role, void *arg, const int *keep_fds,
	      struct proc_child *ret_child)
{
	return fork_role(0, name, role, arg, keep_fds, ret_child);
}

int proc_fork_contained(const char *name, proc_role role, void *arg, const int *keep_fds,
			struct proc_child *ret_child)
{
	return fork_role(CLONE_NEWPID, name, role, arg, keep_fds, ret_child);
}

int proc_wait(pid_t pid, int *ret_status)
{
	while (waitpid(pid, ret_status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

void proc_set_title(char **argv, const char *title)
{
	char *end;
	size_t room, len = strlen(title);

	prctl(PR_SET_NAME, title);
	if (!argv || !argv[0])
		return;
	/* The arguments lie one behind the other; ps reads that memory. */
	end = argv[0] + strlen(argv[0]) + 1;
	for (size_t i = 1; argv[i] && argv[i] == end; i++)
		end = argv[i] + strlen(argv[i]) + 1;
	room = (size_t)(end - argv[0]);
	len = MIN(len, room - 1);
	memcpy(argv[0], title, len);
	memset(argv[0] + len, 0, room - len);
	argv[1] = NULL;
}

int proc_run(const char *const *argv, int *ret_status)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int result;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	result = posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return result ? -result : proc_wait(pid, ret_status);
}
