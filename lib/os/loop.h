#ifndef OS_LOOP_H
#define OS_LOOP_H

/* The event loop of a process: a thin layer on libuv in which every watcher is closed and freed in
 * one call. A watcher may be freed anywhere, also in its own callback; its callback does not come
 * any more. One thread. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct loop_fd;
struct loop_timer;
struct loop_signal;
struct loop_child;
struct loop_task;
struct uv_loop_s;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

typedef void (*loop_fd_cb)(void *arg, int fd, unsigned events);
typedef void (*loop_cb)(void *arg);
typedef void (*loop_signal_cb)(void *arg, int signal);
/* status as of waitpid(): WIFEXITED, WEXITSTATUS, … */
typedef void (*loop_child_cb)(void *arg, pid_t pid, int status);

/* Dies when the machine gives no epoll instance. */
struct loop *loop_new(void);
/* After all its watchers are freed (asserted). */
void loop_free(struct loop *loop);
/* Returns when loop_stop() was called, or nothing is left to wait for. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* One round; wait: sleeps until something happens. False when nothing is left to wait for. */
bool loop_step(struct loop *loop, bool wait);
/* For libraries that want libuv itself. */
struct uv_loop_s *loop_uv(struct loop *loop);

/* Watches a descriptor that can be polled; errors and hang-ups are reported as the events
 * that are watched. It becomes non-blocking, and stays the caller's: free the watcher before
 * closing it. NULL and errno on failure. */
struct loop_fd *loop_fd_new(struct loop *loop, int fd, unsigned events, loop_fd_cb cb, void *arg);
/* 0 pauses. */
void loop_fd_set(struct loop_fd *watch, unsigned events);
void loop_fd_free(struct loop_fd *watch);

/* Not running yet. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_cb cb, void *arg);
/* Once, in this many milliseconds; again moves it. */
void loop_timer_start(struct loop_timer *timer, uint64_t in_ms);
void loop_timer_every(struct loop_timer *timer, uint64_t period_ms);
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_active(const struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

struct loop_signal *loop_signal_new(struct loop *loop, int signal, loop_signal_cb cb, void *arg);
void loop_signal_free(struct loop_signal *watch);

/* Waits for a child of this process that something else made, and reaps it. The callback comes
 * once; by then the watcher is freed. Freeing it earlier leaves the child alone. */
struct loop_child *loop_child_new(struct loop *loop, pid_t pid, loop_child_cb cb, void *arg);
void loop_child_free(struct loop_child *watch);

/* A call to be made soon, from the loop: in the next round, before it sleeps. Scheduling allocates
 * nothing, and twice is once. For "flush when this batch is done". */
struct loop_task *loop_task_new(struct loop *loop, loop_cb cb, void *arg);
void loop_task_schedule(struct loop_task *task);
void loop_task_free(struct loop_task *task);

#endif
