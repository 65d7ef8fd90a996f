#ifndef OS_LOG_H
#define OS_LOG_H

/* The log of a process: one line an event to stderr, and to a file when one is set. It is the only
 * global state of a daemon. On a terminal lines have colour, under journald a <N> priority. */

#include "os/base.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,  /* something that should work does not, and a person must look */
	LOG_LEVEL_WARN,	  /* it goes on, but not as wanted */
	LOG_LEVEL_NOTICE, /* rare and worth knowing: started, joined, revoked */
	LOG_LEVEL_INFO,	  /* the default: normal events */
	LOG_LEVEL_DEBUG,
};

/* At most this many bytes of a line are kept; the rest is cut. */
enum { LOG_LINE_MAX = 1024 };

#define log_error(...)	log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)	log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)	log_write(LOG_LEVEL_INFO, __VA_ARGS__)
/* Arguments are not evaluated when debug is off. */
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                  \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                   \
	} while (0)

/* For what a stranger can cause: at most per_minute lines from this place, then one that says how
 * many were left out. The format must be a string literal. */
#define log_limited(level, per_minute, format, ...)                                                \
	do {                                                                                       \
		static struct log_limit limit_;                                                    \
		unsigned left_out_;                                                                \
		if (!log_enabled(level) || !log_limit_pass(&limit_, per_minute, &left_out_))       \
			break;                                                                     \
		if (left_out_)                                                                     \
			log_write(level, format " (and %u more like this)", ##__VA_ARGS__,         \
				  left_out_);                                                      \
		else                                                                               \
			log_write(level, format, ##__VA_ARGS__);                                   \
	} while (0)

struct log_limit {
	uint64_t window_ns; /* start of the minute that is counted; monotonic */
	unsigned passed;
	unsigned left_out;
};

/* errno is kept. Bytes below 32 and 127 are written as \xNN: nobody forges a line. */
void log_write(enum log_level level, const char *format, ...) _printf_(2, 3);
bool log_enabled(enum log_level level);
void log_set_level(enum log_level level);
/* "error", "warn", "notice", "info", "debug". */
bool log_level_parse(const char *text, enum log_level *ret_level);
const char *log_level_name(enum log_level level);
/* Goes in front of each message, as "dnetd: "; copied; NULL or "" for none. */
void log_set_prefix(const char *prefix);
/* Appends to this file from now on, beside stderr; again with the same path after rotation. NULL
 * closes it. Returns 0 or -errno, and then the former file stays. */
int log_set_file(const char *path);
/* Its descriptor, for a child that must not close it; -1: none. */
int log_file_fd(void);
/* Whether this event of a limited kind may be logged now. */
bool log_limit_pass(struct log_limit *limit, unsigned per_minute, unsigned *ret_left_out);
/* For tests: every line also goes here (without time, with prefix). NULL stops it. */
void log_set_hook(void (*hook)(void *arg, enum log_level level, const char *line), void *arg);

#endif
