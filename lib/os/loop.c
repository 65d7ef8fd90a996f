#include "os/loop.h"

#include "os/base.h"
#include "os/log.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <uv.h>

/* In each watcher the uv handle comes first: closing frees the whole by the handle's address. */

TAILQ_HEAD(child_list, loop_child);

struct loop {
	uv_loop_t uv;
	struct child_list children;
	struct loop_signal *child_signal; /* NULL: no child was ever watched */
	struct loop_task *child_task; /* looks for children that ended before they were watched */
	unsigned watchers;
};

struct loop_fd {
	uv_poll_t handle;
	struct loop *loop;
	loop_fd_cb cb;
	void *arg;
	int fd;
	unsigned events;
};

struct loop_timer {
	uv_timer_t handle;
	struct loop *loop;
	loop_cb cb;
	void *arg;
};

struct loop_signal {
	uv_signal_t handle;
	struct loop *loop;
	loop_signal_cb cb;
	void *arg;
};

struct loop_child {
	TAILQ_ENTRY(loop_child) entry;
	struct loop *loop;
	loop_child_cb cb;
	void *arg;
	pid_t pid;
};

/* An event loop has them, and the next few things that are opened. */
enum { DESCRIPTORS = 8 };

struct loop_task {
	uv_idle_t handle;
	struct loop *loop;
	loop_cb cb;
	void *arg;
};

static void must(int result, const char *what)
{
	if (!result)
		return;
	log_error("%s: %s", what, uv_strerror(result));
	abort();
}

static void free_closed(uv_handle_t *handle)
{
	free(handle);
}

static void close_watcher(struct loop *loop, void *handle)
{
	loop->watchers--;
	uv_close(handle, free_closed);
}

/* libuv aborts without a word when the pipes of its signals cannot be made. */
static bool has_descriptors(void)
{
	int ends[DESCRIPTORS / 2][2];
	size_t made = 0;

	while (made < ARRAY_SIZE(ends) && !pipe2(ends[made], O_CLOEXEC))
		made++;
	for (size_t i = 0; i < made; i++) {
		close(ends[i][0]);
		close(ends[i][1]);
	}
	return made == ARRAY_SIZE(ends);
}

struct loop *loop_new(void)
{
	struct loop *loop = xcalloc(1, sizeof(*loop));
	int result = has_descriptors() ? uv_loop_init(&loop->uv) : UV_EMFILE;

	/* The machine's limits, and no mistake of ours. */
	if (result) {
		log_error("cannot make an event loop: %s; raise the limit (LimitNOFILE in a unit, "
			  "ulimit -n)",
			  uv_strerror(result));
		exit(1);
	}
	TAILQ_INIT(&loop->children);
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	assert(TAILQ_EMPTY(&loop->children));
	loop_signal_free(loop->child_signal);
	loop_task_free(loop->child_task);
	assert(!loop->watchers);
	while (uv_loop_close(&loop->uv) == UV_EBUSY)
		uv_run(&loop->uv, UV_RUN_NOWAIT);
	free(loop);
}

void loop_run(struct loop *loop)
{
	uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
	uv_stop(&loop->uv);
}

bool loop_step(struct loop *loop, bool wait)
{
	return uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

struct uv_loop_s *loop_uv(struct loop *loop)
{
	return &loop->uv;
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct loop_fd *watch = (struct loop_fd *)handle;
	unsigned seen = 0;

	if (events & UV_READABLE)
		seen |= LOOP_READ;
	if (events & UV_WRITABLE)
		seen |= LOOP_WRITE;
	if (status < 0) {
		/* libuv stopped watching; the owner finds the error by reading or writing. */
		seen = watch->events;
		loop_fd_set(watch, watch->events);
	}
	watch->cb(watch->arg, watch->fd, seen);
}

struct loop_fd *loop_fd_new(struct loop *loop, int fd, unsigned events, loop_fd_cb cb, void *arg)
{
	struct loop_fd *watch = xcalloc(1, sizeof(*watch));
	int result = uv_poll_init(&loop->uv, &watch->handle, fd);

	if (result) {
		free(watch);
		errno = -result;
		return NULL;
	}
	loop->watchers++;
	watch->loop = loop;
	watch->cb = cb;
	watch->arg = arg;
	watch->fd = fd;
	loop_fd_set(watch, events);
	return watch;
}

void loop_fd_set(struct loop_fd *watch, unsigned events)
{
	int wanted = 0;

	watch->events = events;
	if (events & LOOP_READ)
		wanted |= UV_READABLE;
	if (events & LOOP_WRITE)
		wanted |= UV_WRITABLE;
	if (wanted)
		must(uv_poll_start(&watch->handle, wanted, on_poll), "uv_poll_start");
	else
		must(uv_poll_stop(&watch->handle), "uv_poll_stop");
}

void loop_fd_free(struct loop_fd *watch)
{
	if (watch)
		close_watcher(watch->loop, watch);
}

static void on_timer(uv_timer_t *handle)
{
	struct loop_timer *timer = (struct loop_timer *)handle;

	timer->cb(timer->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_cb cb, void *arg)
{
	struct loop_timer *timer = xcalloc(1, sizeof(*timer));

	must(uv_timer_init(&loop->uv, &timer->handle), "uv_timer_init");
	loop->watchers++;
	timer->loop = loop;
	timer->cb = cb;
	timer->arg = arg;
	return timer;
}

void loop_timer_start(struct loop_timer *timer, uint64_t in_ms)
{
	must(uv_timer_start(&timer->handle, on_timer, in_ms, 0), "uv_timer_start");
}

void loop_timer_every(struct loop_timer *timer, uint64_t period_ms)
{
	assert(period_ms);
	must(uv_timer_start(&timer->handle, on_timer, period_ms, period_ms), "uv_timer_start");
}

void loop_timer_stop(struct loop_timer *timer)
{
	uv_timer_stop(&timer->handle);
}

bool loop_timer_active(const struct loop_timer *timer)
{
	return uv_is_active((const uv_handle_t *)&timer->handle);
}

void loop_timer_free(struct loop_timer *timer)
{
	if (timer)
		close_watcher(timer->loop, timer);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct loop_signal *watch = (struct loop_signal *)handle;

	watch->cb(watch->arg, number);
}

struct loop_signal *loop_signal_new(struct loop *loop, int number, loop_signal_cb cb, void *arg)
{
	struct loop_signal *watch = xcalloc(1, sizeof(*watch));

	must(uv_signal_init(&loop->uv, &watch->handle), "uv_signal_init");
	must(uv_signal_start(&watch->handle, on_signal, number), "uv_signal_start");
	loop->watchers++;
	watch->loop = loop;
	watch->cb = cb;
	watch->arg = arg;
	return watch;
}

void loop_signal_free(struct loop_signal *watch)
{
	if (watch)
		close_watcher(watch->loop, watch);
}

/* The signal keeps the loop waiting only while there are children to wait for. */
static void hold_loop_for_children(struct loop *loop)
{
	uv_handle_t *handle = (uv_handle_t *)&loop->child_signal->handle;

	if (TAILQ_EMPTY(&loop->children))
		uv_unref(handle);
	else
		uv_ref(handle);
}

static struct loop_child *find_ended(struct loop *loop, int *ret_status)
{
	struct loop_child *watch;

	TAILQ_FOREACH(watch, &loop->children, entry)
	{
		pid_t pid = waitpid(watch->pid, ret_status, WNOHANG);

		if (pid == watch->pid)
			return watch;
		if (pid < 0 && errno == ECHILD) {
			*ret_status = 255 << 8; /* somebody else has reaped it */
			return watch;
		}
	}
	return NULL;
}

static void reap_children(void *arg)
{
	struct loop *loop = arg;
	struct loop_child *watch;
	int status;

	/* From the start each time: a callback may free any watcher. */
	while ((watch = find_ended(loop, &status))) {
		struct loop_child ended = *watch;

		loop_child_free(watch);
		ended.cb(ended.arg, ended.pid, status);
	}
}

static void on_child_signal(void *arg, int number)
{
	reap_children(arg);
}

struct loop_child *loop_child_new(struct loop *loop, pid_t pid, loop_child_cb cb, void *arg)
{
	struct loop_child *watch = xcalloc(1, sizeof(*watch));

	if (!loop->child_signal) {
		loop->child_signal = loop_signal_new(loop, SIGCHLD, on_child_signal, loop);
		loop->child_task = loop_task_new(loop, reap_children, loop);
	}
	watch->loop = loop;
	watch->cb = cb;
	watch->arg = arg;
	watch->pid = pid;
	TAILQ_INSERT_TAIL(&loop->children, watch, entry);
	hold_loop_for_children(loop);
	loop_task_schedule(loop->child_task);
	return watch;
}

void loop_child_free(struct loop_child *watch)
{
	if (!watch)
		return;
	TAILQ_REMOVE(&watch->loop->children, watch, entry);
	hold_loop_for_children(watch->loop);
	free(watch);
}

static void on_idle(uv_idle_t *handle)
{
	struct loop_task *task = (struct loop_task *)handle;

	uv_idle_stop(handle);
	task->cb(task->arg);
}

struct loop_task *loop_task_new(struct loop *loop, loop_cb cb, void *arg)
{
	struct loop_task *task = xcalloc(1, sizeof(*task));

	must(uv_idle_init(&loop->uv, &task->handle), "uv_idle_init");
	loop->watchers++;
	task->loop = loop;
	task->cb = cb;
	task->arg = arg;
	return task;
}

void loop_task_schedule(struct loop_task *task)
{
	must(uv_idle_start(&task->handle, on_idle), "uv_idle_start");
}

void loop_task_free(struct loop_task *task)
{
	if (task)
		close_watcher(task->loop, task);
}
