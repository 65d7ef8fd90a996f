#include "adapters/child.h"

#include "adapters/lines.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PAUSE_MS = 1000,
	PAUSE_MAX_MS = 60000,
	SETTLED_MS = 60000,
	KILL_WAIT_MS = 5000, /* a killed program that is not gone by then hangs in the kernel */
	REAP_AGAIN_MS = 20,
	LOG_PER_MINUTE = 120,
};

struct child {
	struct child_config config;
	struct child_io io;
	char *name; /* owned */
	bool wanted;
	struct loop_timer *again; /* next start; or next try to reap */
	uint64_t again_at_ns;
	uint64_t pause_ms; /* before the next start */
	int pid;	   /* 0: not running */
	int pidfd;
	struct loop_fd *watch; /* of pidfd */
	uint64_t since_ns;
	uint32_t index; /* of the program's interface; 0: it has none */
	struct loop_timer *gone;
	struct lines *output;
	struct log_limit limit;
	char last[ADAPTER_ERROR_MAX + 32]; /* how it ended, or why it did not start; "": neither */
	char text[CHILD_TEXT_MAX];
};

static void on_line(void *ctx, char *line, size_t len, bool cut)
{
	struct child *c = ctx;
	unsigned left_out = 0;
	lines_make_printable(line, len);
	if (log_limit_pass(&c->limit, LOG_PER_MINUTE, &left_out)) {
		if (left_out > 0)
			log_info("%s: %u lines are not shown", c->name, left_out);
		log_info("%s: %s%s", c->name, line, cut ? " …" : "");
	}
	if (c->io.line)
		c->io.line(c->io.ctx, line);
}

/* ---- Again, later ---- */

static void schedule(struct child *c)
{
	if (!c->wanted)
		return;
	loop_timer_start(c->again, c->pause_ms);
	c->again_at_ns = clock_monotonic_ns() + c->pause_ms * NS_PER_MS;
	c->pause_ms = MIN(2 * c->pause_ms, c->config.pause_max_ms);
}

static void forget(struct child *c)
{
	loop_fd_free(steal(c->watch));
	closep(&c->pidfd);
	if (c->output)
		lines_drain(c->output);
	lines_free(steal(c->output));
	loop_timer_stop(c->gone);
	c->pid = 0;
}

static void describe_end(struct child *c, int status)
{
	if (WIFSIGNALED(status))
		snprintf(c->last, sizeof(c->last), "killed by signal %d", WTERMSIG(status));
	else
		snprintf(c->last, sizeof(c->last), "ended with status %d", WEXITSTATUS(status));
}

static void reap(struct child *c)
{
	int status = 0;
	int r = c->config.os->child_reap(c->config.os->ctx, c->pid, &status);
	if (r == -EAGAIN) {
		/* Its end is known to the kernel before its parent. */
		loop_fd_set(c->watch, 0);
		loop_timer_start(c->again, REAP_AGAIN_MS);
		return;
	}
	uint64_t ran_ns = clock_monotonic_ns() - c->since_ns;
	forget(c);
	describe_end(c, status);
	if (ran_ns >= c->config.settled_ms * NS_PER_MS)
		c->pause_ms = c->config.pause_ms;
	schedule(c);
	log_warn("%s: %s", c->name, child_text(c));
	if (c->io.ended)
		c->io.ended(c->io.ctx, status);
}

static void on_end(void *arg, int fd, unsigned events)
{
	(void)fd;
	(void)events;
	reap(arg);
}

/* ---- Start ---- */

static int failed(struct child *c, int result, const char *why)
{
	char before[sizeof(c->last)];
	memcpy(before, c->last, sizeof(before));
	snprintf(c->last, sizeof(c->last), "cannot run: %s", why);
	if (strcmp(before, c->last) != 0)
		log_error("%s: %s", c->name, c->last);
	schedule(c);
	return result;
}

/* The program runs, but nobody would see its end. */
static int give_up_unseen(struct child *c, int result)
{
	const struct adapter_os *os = c->config.os;
	int status = 0;
	(void)os->child_signal(os->ctx, c->pid, SIGKILL);
	for (int i = 0; i < KILL_WAIT_MS / REAP_AGAIN_MS; i++) {
		if (os->child_reap(os->ctx, c->pid, &status) != -EAGAIN)
			break;
		(void)poll(NULL, 0, REAP_AGAIN_MS);
	}
	forget(c);
	(void)failed(c, result, strerror(-result));
	if (c->io.ended)
		c->io.ended(c->io.ctx, status);
	return result;
}

static int launch(struct child *c, int output)
{
	const struct adapter_os *os = c->config.os;
	int fds[ADAPTER_CHILD_FDS];
	int count = c->io.descriptors(c->io.ctx, output, fds);
	if (count < 0)
		return failed(c, count, strerror(-count));
	int r = os->child_start(os->ctx, c->config.program, fds, (size_t)count, &c->pidfd, &c->pid);
	if (c->io.started)
		c->io.started(c->io.ctx, r == 0);
	return r < 0 ? failed(c, r, os->error(os->ctx)) : 0;
}

static int start(struct child *c)
{
	const struct lines_io lines_io = {c, on_line};
	int ends[2];
	if (pipe2(ends, O_CLOEXEC))
		return failed(c, -errno, strerror(errno));
	int r = launch(c, ends[1]);
	close(ends[1]);
	if (r < 0) {
		c->pid = 0;
		close(ends[0]);
		return r;
	}
	c->since_ns = clock_monotonic_ns();
	c->output = lines_new(c->config.loop, ends[0], CHILD_LINE_MAX, &lines_io);
	if (c->pidfd >= 0)
		c->watch = loop_fd_new(c->config.loop, c->pidfd, LOOP_READ, on_end, c);
	if (!c->watch || !c->output)
		return give_up_unseen(c, -EMFILE);
	c->last[0] = '\0';
	log_info("%s: started", c->name);
	return 0;
}

static void on_again(void *arg)
{
	struct child *c = arg;
	if (c->pid)
		reap(c);
	else if (c->wanted)
		(void)start(c);
}

int child_start(struct child *c)
{
	if (c->wanted)
		return 0;
	c->wanted = true;
	c->pause_ms = c->config.pause_ms;
	return start(c);
}

/* ---- Stop ---- */

/* False: it was still there after that time. */
static bool wait_for_end(struct child *c, int wait_ms)
{
	uint64_t until = clock_monotonic_ns() + (uint64_t)wait_ms * NS_PER_MS;
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
	int status;
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		int left_ms = now < until ? (int)((until - now) / NS_PER_MS) + 1 : 0;
		if (poll(&p, 1, left_ms) > 0) {
			if (c->config.os->child_reap(c->config.os->ctx, c->pid, &status) != -EAGAIN)
				return true;
			(void)poll(NULL, 0, 1); /* known to the kernel, not to its parent yet */
		}
		if (left_ms == 0)
			return false;
	}
}

void child_stop(struct child *c, unsigned wait_ms)
{
	const struct adapter_os *os = c->config.os;
	c->wanted = false;
	loop_timer_stop(c->again);
	c->last[0] = '\0';
	if (!c->pid)
		return;
	bool gone = wait_ms > 0 && os->child_signal(os->ctx, c->pid, SIGTERM) == 0 &&
		    wait_for_end(c, (int)MIN(wait_ms, 60000U));
	if (!gone) {
		(void)os->child_signal(os->ctx, c->pid, SIGKILL);
		if (!wait_for_end(c, KILL_WAIT_MS))
			log_error("%s: does not end", c->name);
	}
	forget(c);
	log_info("%s: stopped", c->name);
}

void child_kill(struct child *c, const char *reason)
{
	if (!c->pid)
		return;
	log_warn("%s: killed: %s", c->name, reason);
	(void)child_signal(c, SIGKILL);
}

static void on_gone(void *arg)
{
	child_kill(arg, "its interface has gone");
}

void child_set_interface(struct child *c, uint32_t index)
{
	if (index != 0)
		loop_timer_stop(c->gone);
	else if (c->index != 0 && c->pid)
		loop_timer_start(c->gone,
				 c->config.gone_ms); /* not while all of it is being stopped */
	c->index = index;
}

int child_signal(struct child *c, int signal)
{
	const struct adapter_os *os = c->config.os;
	return c->pid ? os->child_signal(os->ctx, c->pid, signal) : -ESRCH;
}

/* ---- Life and views ---- */

struct child *child_new(const struct child_config *config, const struct child_io *io)
{
	struct child *c = xcalloc(1, sizeof(*c));
	c->config = *config;
	if (!c->config.pause_ms)
		c->config.pause_ms = PAUSE_MS;
	if (!c->config.pause_max_ms)
		c->config.pause_max_ms = PAUSE_MAX_MS;
	if (!c->config.settled_ms)
		c->config.settled_ms = SETTLED_MS;
	c->io = *io;
	c->name = xstrdup(config->name);
	c->pidfd = -1;
	c->again = loop_timer_new(config->loop, on_again, c);
	c->gone = loop_timer_new(config->loop, on_gone, c);
	return c;
}

void child_free(struct child *c)
{
	if (!c)
		return;
	child_stop(c, 0);
	loop_timer_free(c->again);
	loop_timer_free(c->gone);
	free(c->name);
	free(c);
}

bool child_is_running(const struct child *c)
{
	return c->pid != 0;
}

const char *child_text(struct child *c)
{
	uint64_t now = clock_monotonic_ns();
	if (c->pid)
		return "running";
	if (!c->wanted)
		return "stopped";
	uint64_t left_ns = c->again_at_ns > now ? c->again_at_ns - now : 0;
	snprintf(c->text, sizeof(c->text), "%s, again in %u s", c->last,
		 (unsigned)((left_ns + NS_PER_S - 1) / NS_PER_S));
	return c->text;
}
