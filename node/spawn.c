#include "node/spawn.h"

#include "node/ifname.h"
#include "os/base.h"
#include "os/log.h"
#include "os/proc.h"
#include "os/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum spawn_op { SPAWN_START = 1, SPAWN_SIGNAL, SPAWN_REAP };

enum {
	SPAWN_TIMEOUT_MS = 10000,
	ARGUMENTS_MAX = 32,
	FIRST_PASSED_FD = 3, /* behind stdin, stdout, stderr: systemd's and wireguard-go's custom */
};

/* Numbers are between two processes of one build. */
struct spawn_request {
	uint32_t op;
	uint32_t program;
	int32_t pid, signal;
	char interface[IF_NAMESIZE];
};

struct spawn_reply {
	int32_t result;
	int32_t pid, status;
	char error[SPAWN_ERROR_MAX];
};

static const char uapi_folder[] = "/var/run/wireguard";

static const struct program {
	const char *package; /* of Debian, for who has it not */
	size_t fds;	     /* that the engine gives */
	bool network;	     /* keeps CAP_NET_ADMIN: it makes its interface itself */
} programs[PROGRAM_COUNT] = {
	[PROGRAM_WIREGUARD_GO] = {"wireguard-go", 2, false},
	[PROGRAM_TINCD] = {"tinc", 1, true},
	[PROGRAM_EXEC] = {NULL, 3, true},
};

/* ---- The process that starts them ---- */

struct child {
	pid_t pid; /* 0: free */
	bool ended;
	int status;
	char uapi[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "" or to be unlinked */
};

struct spawner {
	int fd;
	const struct spawn_config *config;
	struct child children[SPAWN_CHILDREN_MAX];
};

static _printf_(2, 3) int refuse(struct spawn_reply *reply, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(reply->error, sizeof(reply->error), format, args);
	va_end(args);
	return -EPERM;
}

static int failed(struct spawn_reply *reply, const char *what, int result)
{
	snprintf(reply->error, sizeof(reply->error), "%s: %s", what, strerror(-result));
	return result;
}

void spawn_folder(const char *state_folder, const char *interface, char *dst, size_t size)
{
	snprintf(dst, size, "%s/backend/%s", state_folder, interface);
}

/* wireguard-go's configuration socket, where wg(8) looks for it: made here, as the program may
 * write nowhere. */
static int open_uapi(struct spawner *s, const char *interface, struct child *child,
		     struct spawn_reply *reply)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	unsigned uid, gid;
	(void)mkdir(uapi_folder, 0755);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s.sock", uapi_folder, interface);
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return failed(reply, "cannot make a socket", -errno);
	(void)unlink(address.sun_path);
	mode_t mask = umask(077);
	int r = bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	umask(mask);
	if (r == 0 && listen(fd, 8))
		r = -errno;
	if (r == 0 && s->config->user[0] && sandbox_user_find(s->config->user, &uid, &gid) == 0 &&
	    geteuid() == 0 && chown(address.sun_path, uid, gid))
		r = -errno;
	if (r < 0)
		return failed(reply, address.sun_path, r);
	memcpy(child->uapi, address.sun_path, sizeof(child->uapi));
	int listening = fd;
	fd = -1;
	return listening;
}

/* ---- What runs in the child up to its program ---- */

struct launch {
	const struct spawner *spawner;
	enum adapter_program program;
	const char *interface;
	char folder[256];
	int fds[ADAPTER_CHILD_FDS + 1]; /* of the engine, then ours */
	size_t fds_count;
	int failure; /* a pipe for errno, closed by the program's start */
};

/* Descriptors become 0, 1, 2, 3, …; -1: /dev/null. */
static int place_fds(const int *wanted, size_t count)
{
	int high[FIRST_PASSED_FD + ADAPTER_CHILD_FDS];
	assert(count <= ARRAY_SIZE(high));
	for (size_t i = 0; i < count; i++) {
		int fd = wanted[i] >= 0 ? wanted[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
		high[i] = fcntl(fd, F_DUPFD_CLOEXEC, 32);
		if (high[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < count; i++) {
		if (dup2(high[i], (int)i) < 0)
			return -errno;
	}
	return 0;
}

static int place_all(const struct launch *l)
{
	switch (l->program) {
	case PROGRAM_WIREGUARD_GO: {
		const int fds[] = {-1, l->fds[1], l->fds[1], l->fds[0], l->fds[2]};
		return place_fds(fds, ARRAY_SIZE(fds));
	}
	case PROGRAM_TINCD: {
		const int fds[] = {-1, l->fds[0], l->fds[0]};
		return place_fds(fds, ARRAY_SIZE(fds));
	}
	case PROGRAM_EXEC:
		return place_fds(l->fds, 3);
	case PROGRAM_COUNT:
		break;
	}
	return -EINVAL;
}

/* The words of the configuration's line; no shell, no quoting. */
static void split(char *line, const char **argv, size_t size)
{
	size_t n = 0;
	char *rest = NULL;
	for (char *word = strtok_r(line, " \t", &rest); word && n + 1 < size;
	     word = strtok_r(NULL, " \t", &rest))
		argv[n++] = word;
	argv[n] = NULL;
}

static void fill_arguments(const struct launch *l, char *line, const char *argv[ARGUMENTS_MAX])
{
	size_t n = 0;
	split(line, argv, ARGUMENTS_MAX);
	while (argv[n])
		n++;
	switch (l->program) {
	case PROGRAM_WIREGUARD_GO:
		argv[n++] = "-f";
		argv[n++] = l->interface;
		break;
	case PROGRAM_TINCD:
		argv[n++] = "-D";
		argv[n++] = "-d1";
		argv[n++] = "-c";
		argv[n++] = l->folder;
		argv[n++] = "--pidfile=pid";
		break;
	case PROGRAM_EXEC:
	case PROGRAM_COUNT:
		break;
	}
	argv[n] = NULL;
}

static int give_up_rights(const struct launch *l)
{
	const struct sandbox_role role = {
		.name = "program of a backend",
		.capabilities = {CAP_NET_ADMIN},
		.capabilities_count = programs[l->program].network ? 1 : 0,
	};
	const struct sandbox sandbox = {
		.role = &role,
		.user = l->spawner->config->user,
		.inherited = true,
		.no_filters = true, /* another program: what it opens and calls is its own */
	};
	int r = sandbox_enter(&sandbox);
	/* It sets an MTU of its own, for which it has no right: the node keeps ours. */
	if (r == 0 && l->program == PROGRAM_WIREGUARD_GO)
		r = sandbox_ignore_ioctl(SIOCSIFMTU);
	return r;
}

/* What is ignored here would stay ignored in the program. */
static void default_signals(void)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_DFL);
}

static _noreturn_ void launch_child(const struct launch *l)
{
	char interface[32], line[1024];
	const char *argv[ARGUMENTS_MAX + 8];
	const char *const environment[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		interface,
		"WG_TUN_FD=3",
		"WG_UAPI_FD=4",
		"WG_PROCESS_FOREGROUND=1",
		"LOG_LEVEL=error",
		NULL,
	};
	snprintf(interface, sizeof(interface), "DNET_INTERFACE=%s", l->interface);
	snprintf(line, sizeof(line), "%s", l->spawner->config->programs[l->program]);
	fill_arguments(l, line, argv);
	int failure = fcntl(l->failure, F_DUPFD_CLOEXEC, 64);
	int r = setpgid(0, 0) ? -errno : give_up_rights(l);
	if (r == 0 && chdir(l->folder))
		r = -errno;
	if (r == 0)
		r = argv[0] ? place_all(l) : -ENOENT; /* a line of blanks */
	if (r == 0) {
		size_t count = l->program == PROGRAM_WIREGUARD_GO ? 5 : 3;
		close_range((unsigned)count, (unsigned)failure - 1, 0);
		close_range((unsigned)failure + 1, ~0U, 0);
		umask(077);
		default_signals();
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execve(argv[0], (char *const *)argv, (char *const *)environment);
		r = -errno;
	}
	(void)!write(failure, &r, sizeof(r));
	_exit(127);
}

/* ---- Operations ---- */

static struct child *find_child(struct spawner *s, pid_t pid)
{
	for (size_t i = 0; i < SPAWN_CHILDREN_MAX; i++) {
		if (s->children[i].pid == pid)
			return &s->children[i];
	}
	return NULL;
}

static void free_child(struct child *child)
{
	if (child->uapi[0])
		(void)unlink(child->uapi);
	memset(child, 0, sizeof(*child));
}

/* Forks, and waits until the program runs or could not. */
static int launch(struct launch *l, struct child *child, struct spawn_reply *reply)
{
	int ends[2], r = 0;
	if (pipe2(ends, O_CLOEXEC))
		return failed(reply, "no pipe", -errno);
	l->failure = ends[1];
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		r = -errno;
	if (pid == 0)
		launch_child(l);
	close(ends[1]);
	if (pid > 0 && read(ends[0], &r, sizeof(r)) == sizeof(r))
		(void)waitpid(pid, &(int){0}, 0);
	close(ends[0]);
	if (r < 0) {
		const struct program *p = &programs[l->program];
		failed(reply, l->spawner->config->programs[l->program], r);
		size_t n = strlen(reply->error);
		if (r == -ENOENT && p->package)
			snprintf(reply->error + n, sizeof(reply->error) - n,
				 ": install it (apt install %s)", p->package);
		return r;
	}
	child->pid = pid;
	return 0;
}

static int do_start(struct spawner *s, const struct spawn_request *request, const int *fds,
		    size_t fds_count, struct spawn_reply *reply, int *ret_pidfd)
{
	if (request->program >= PROGRAM_COUNT || !s->config->programs[request->program])
		return refuse(reply, "refused: no such program in the configuration");
	if (!ifname_parse(request->interface, s->config->interface_prefix, NULL))
		return refuse(reply, "refused: interface names are %s and a number",
			      s->config->interface_prefix);
	if (fds_count != programs[request->program].fds)
		return refuse(reply, "refused: not the descriptors of that program");
	struct child *child = find_child(s, 0);
	if (!child)
		return refuse(reply, "at most %d programs", SPAWN_CHILDREN_MAX);
	struct launch l = {.spawner = s,
			   .program = (enum adapter_program)request->program,
			   .interface = request->interface};
	spawn_folder(s->config->state_folder, request->interface, l.folder, sizeof(l.folder));
	memcpy(l.fds, fds, fds_count * sizeof(*fds));
	l.fds[fds_count] = -1;
	if (l.program == PROGRAM_WIREGUARD_GO) {
		l.fds[2] = open_uapi(s, request->interface, child, reply);
		if (l.fds[2] < 0)
			return l.fds[2];
	}
	int r = launch(&l, child, reply);
	if (l.program == PROGRAM_WIREGUARD_GO)
		close(l.fds[2]);
	if (r == 0) {
		*ret_pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
		reply->pid = child->pid;
		return 0;
	}
	free_child(child);
	return r;
}

static void reap(struct spawner *s)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *child = find_child(s, pid);
		if (!child)
			continue;	   /* of a child that ended before it */
		(void)kill(-pid, SIGKILL); /* what it left behind */
		child->ended = true;
		child->status = status;
	}
}

static int do_signal(struct spawner *s, const struct spawn_request *request,
		     struct spawn_reply *reply)
{
	/* What ends it ends what it started, too; what it is told is not meant for its scripts,
	 * which would die of it. */
	static const struct {
		int number;
		bool group;
	} allowed[] = {
		{SIGTERM, true},  {SIGKILL, true},  {SIGINT, true},   {SIGHUP, false},
		{SIGUSR1, false}, {SIGUSR2, false}, {SIGALRM, false},
	};
	const struct child *child = request->pid > 0 ? find_child(s, request->pid) : NULL;
	if (!child)
		return refuse(reply, "refused: %d was not started here", request->pid);
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		if (allowed[i].number != request->signal)
			continue;
		/* Not one that ended: its number may be another's by now. */
		if (child->ended)
			return 0;
		return kill(allowed[i].group ? -child->pid : child->pid, request->signal) ? -errno
											  : 0;
	}
	return refuse(reply, "refused: signal %d", request->signal);
}

static int do_reap(struct spawner *s, const struct spawn_request *request,
		   struct spawn_reply *reply)
{
	struct child *child = request->pid > 0 ? find_child(s, request->pid) : NULL;
	if (!child)
		return refuse(reply, "refused: %d was not started here", request->pid);
	reap(s);
	if (!child->ended)
		return -EAGAIN;
	reply->status = child->status;
	free_child(child);
	return 0;
}

static int serve(struct spawner *s, const struct spawn_request *request, const int *fds,
		 size_t fds_count, struct spawn_reply *reply, int *ret_pidfd)
{
	if (request->op != SPAWN_START && fds_count != 0)
		return refuse(reply, "refused: descriptors that nobody asked for");
	switch ((enum spawn_op)request->op) {
	case SPAWN_START:
		return do_start(s, request, fds, fds_count, reply, ret_pidfd);
	case SPAWN_SIGNAL:
		return do_signal(s, request, reply);
	case SPAWN_REAP:
		return do_reap(s, request, reply);
	}
	return refuse(reply, "refused: no operation %u", request->op);
}

static bool serve_one(struct spawner *s)
{
	struct spawn_request request;
	struct spawn_reply reply = {0};
	int fds[ADAPTER_CHILD_FDS], pidfd = -1;
	size_t fds_count = 0;
	ssize_t n =
		proc_receive(s->fd, &request, sizeof(request), fds, ARRAY_SIZE(fds), &fds_count);
	if (n == 0)
		return false; /* the engine has gone */
	if (n != sizeof(request)) {
		reply.result = refuse(&reply, "refused: a request of another form");
	} else {
		request.interface[IF_NAMESIZE - 1] = '\0';
		reply.result = serve(s, &request, fds, fds_count, &reply, &pidfd);
	}
	for (size_t i = 0; n > 0 && i < fds_count; i++)
		close(fds[i]);
	int r = proc_send(s->fd, &reply, sizeof(reply), &pidfd, pidfd >= 0 ? 1 : 0);
	closep(&pidfd);
	return r == 0;
}

static void on_child_signal(int number)
{
	(void)number; /* wakes poll() */
}

static void stop_children(struct spawner *s)
{
	for (size_t i = 0; i < SPAWN_CHILDREN_MAX; i++) {
		struct child *child = &s->children[i];
		if (!child->pid)
			continue;
		if (!child->ended)
			kill(-child->pid, SIGKILL);
		free_child(child);
	}
}

static int spawner_main(int fd, void *arg)
{
	struct spawner s = {.fd = fd, .config = arg};
	struct sigaction action = {.sa_handler = on_child_signal};
	log_set_prefix("dnetd[spawn]: ");
	/* Not killed with the engine: the closed socket says the same, and there are sockets to
	 * take back. */
	prctl(PR_SET_PDEATHSIG, 0);
	prctl(PR_SET_DUMPABLE, 0);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigaction(SIGCHLD, &action, NULL);
	for (bool more = true; more;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int n = poll(&p, 1, -1);
		reap(&s);
		if (n > 0)
			more = serve_one(&s);
	}
	stop_children(&s);
	return 0;
}

/* ---- The engine's side ---- */

struct spawn {
	struct proc_child process;
	bool lost; /* an answer did not come: a later one may not be taken for it */
	char error[SPAWN_ERROR_MAX];
};

int spawn_start(const struct spawn_config *config, struct spawn **ret_spawn)
{
	bool any = false;
	for (size_t i = 0; i < PROGRAM_COUNT; i++)
		any = any || config->programs[i];
	*ret_spawn = NULL;
	if (!any)
		return 0;
	struct spawn *spawn = xcalloc(1, sizeof(*spawn));
	void *arg = (void *)config;
	int r = proc_fork_contained("dnetd-spawn", spawner_main, arg, NULL, &spawn->process);
	if (r == -EPERM) {
		log_notice("no PID namespace can be made here: a backend's program that leaves its "
			   "process group may outlive a killed dnetd where no service manager "
			   "ends it");
		r = proc_fork("dnetd-spawn", spawner_main, arg, NULL, &spawn->process);
	}
	if (r < 0) {
		log_error("cannot start the process for programs of backends: %s", strerror(-r));
		free(spawn);
		return r;
	}
	*ret_spawn = spawn;
	return 0;
}

void spawn_stop(struct spawn *spawn)
{
	int status;
	if (!spawn)
		return;
	close(spawn->process.fd);
	(void)proc_wait(spawn->process.pid, &status);
	free(spawn);
}

int spawn_fd(const struct spawn *spawn)
{
	return spawn ? spawn->process.fd : -1;
}

const char *spawn_error(const struct spawn *spawn)
{
	return spawn ? spawn->error : "no program of a backend is in the configuration";
}

static int call(struct spawn *spawn, const struct spawn_request *request, const int *fds,
		size_t fds_count, struct spawn_reply *ret_reply, int *ret_pidfd)
{
	if (!spawn)
		return -ENOENT;
	if (!spawn->lost)
		spawn->lost =
			proc_ask(spawn->process.fd, request, sizeof(*request), fds, fds_count,
				 ret_reply, sizeof(*ret_reply), SPAWN_TIMEOUT_MS, ret_pidfd) < 0;
	if (spawn->lost) {
		snprintf(spawn->error, sizeof(spawn->error),
			 "the process that starts programs does not answer: restart dnetd");
		return -EPIPE;
	}
	if (ret_reply->result < 0)
		memcpy(spawn->error, ret_reply->error, sizeof(spawn->error));
	return ret_reply->result;
}

int spawn_child(struct spawn *spawn, enum adapter_program program, const char *interface,
		const int *fds, size_t fds_count, int *ret_pidfd, int *ret_pid)
{
	struct spawn_request request = {.op = SPAWN_START, .program = program};
	struct spawn_reply reply;
	int pidfd = -1;
	snprintf(request.interface, sizeof(request.interface), "%s", interface);
	int r = call(spawn, &request, fds, fds_count, &reply, &pidfd);
	if (r < 0)
		return r;
	*ret_pidfd = pidfd;
	*ret_pid = reply.pid;
	return 0;
}

int spawn_signal(struct spawn *spawn, int pid, int signal)
{
	struct spawn_request request = {.op = SPAWN_SIGNAL, .pid = pid, .signal = signal};
	struct spawn_reply reply;
	return call(spawn, &request, NULL, 0, &reply, NULL);
}

int spawn_reap(struct spawn *spawn, int pid, int *ret_status)
{
	struct spawn_request request = {.op = SPAWN_REAP, .pid = pid};
	struct spawn_reply reply;
	int r = call(spawn, &request, NULL, 0, &reply, NULL);
	if (r == 0)
		*ret_status = reply.status;
	return r;
}
