#ifndef ADAPTERS_CHILD_H
#define ADAPTERS_CHILD_H

/* One program beside dnetd, kept running: started through struct adapter_os with descriptors that
 * its owner gives, its output read by lines, and started again when it ends, each time later up to
 * a bound. */

#include "adapters/adapter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct child;

enum {
	CHILD_LINE_MAX = 1000, /* bytes of a line of output; the rest of it is left out */
	CHILD_TEXT_MAX = ADAPTER_ERROR_MAX + 64,
};

struct child_io {
	void *ctx;
	/* Before each start: fills in the program's descriptors in the order of child_start().
	 * output: what the program writes there comes as lines. All stay the owner's but output.
	 * Returns how many, or -errno: tried again later. */
	int (*descriptors)(void *ctx, int output, int fds[static ADAPTER_CHILD_FDS]);
	/* It runs now (or could not be started): descriptors that the owner made only for it can be
	 * closed. NULL: nothing to do. */
	void (*started)(void *ctx, bool running);
	/* A line of output, printable, in the log already. NULL: the log is all. */
	void (*line)(void *ctx, const char *line);
	/* After its last line; status as of waitpid(). child_text() says what comes next. NULL:
	 * nothing to do. */
	void (*ended)(void *ctx, int status);
};

struct child_config {
	struct loop *loop;	     /* borrowed */
	const struct adapter_os *os; /* borrowed */
	enum adapter_program program;
	const char *name; /* for the log, as "dnet0: tincd"; copied */
	/* Milliseconds before it is started again: at first, at most (doubled each time), and how
	 * long it has to run for the next pause to be the first again. 0: 1 s, 60 s, 60 s. */
	uint64_t pause_ms, pause_max_ms, settled_ms;
	unsigned gone_ms; /* see child_set_interface() */
};

/* Not running yet. */
struct child *child_new(const struct child_config *config, const struct child_io *io);
/* Kills it if it runs. Not in one of its callbacks. */
void child_free(struct child *child);

/* Starts it, and from then on whenever it is not running; 0, or -errno of the first attempt, which
 * is repeated. Nothing happens when that is so already. */
int child_start(struct child *child);
/* Ends it for good: TERM, up to wait_ms milliseconds for its end, KILL. Blocks so long; returns
 * when it is gone. ended() does not come. Not in one of its callbacks. */
void child_stop(struct child *child, unsigned wait_ms);
/* KILL; it is started again as after any end. reason: for the log. */
void child_kill(struct child *child, const char *reason);
/* The interface that the program makes is there, or has gone (0). Without one that it had for
 * longer than gone_ms it is killed: it may not notice, and goes on with an interface that is no
 * more. */
void child_set_interface(struct child *child, uint32_t index);
/* 0 or -errno; -ESRCH: it does not run. */
int child_signal(struct child *child, int signal);

bool child_is_running(const struct child *child);
/* For status: "running", "ended with status 3, again in 4 s", "cannot run: …, again in 60 s",
 * "stopped". Borrowed until the next call. */
const char *child_text(struct child *child);

#endif
