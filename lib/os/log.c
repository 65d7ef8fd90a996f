#include "os/log.h"

#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum sink { SINK_UNKNOWN, SINK_PLAIN, SINK_TERMINAL, SINK_JOURNAL };

static struct {
	enum log_level level;
	enum sink sink; /* what stderr is; found out at the first line */
	int file;	/* -1: none */
	char prefix[64];
	void (*hook)(void *arg, enum log_level level, const char *line);
	void *hook_arg;
} state = {.level = LOG_LEVEL_INFO, .file = -1};

static const struct {
	const char *name;
	const char *colour;
	int priority; /* of syslog(3) */
} levels[] = {
	/* clang-format off */
	[LOG_LEVEL_ERROR]  = {"error",  "\033[1;31m", 3},
	[LOG_LEVEL_WARN]   = {"warn",   "\033[33m",   4},
	[LOG_LEVEL_NOTICE] = {"notice", "\033[1m",    5},
	[LOG_LEVEL_INFO]   = {"info",   "",           6},
	[LOG_LEVEL_DEBUG]  = {"debug",  "\033[2m",    7},
	/* clang-format on */
};

/* sd-daemon(3): JOURNAL_STREAM is "DEVICE:INODE" of the stream that the journal reads. */
static enum sink find_sink(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	    !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode)
		return SINK_JOURNAL;
	return isatty(STDERR_FILENO) ? SINK_TERMINAL : SINK_PLAIN;
}

static void write_line(int fd, const char *line, size_t len)
{
	while (len) {
		ssize_t n = write(fd, line, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* where should a log complain? */
		line += n;
		len -= (size_t)n;
	}
}

/* Copies text and shows control bytes, so that nobody's name or error text forges a line. */
static size_t sanitize(char *dst, size_t size, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p && len + 5 < size; p++) {
		if (*p >= 32 && *p != 127) {
			dst[len++] = (char)*p;
			continue;
		}
		dst[len++] = '\\';
		dst[len++] = 'x';
		dst[len++] = hex[*p >> 4];
		dst[len++] = hex[*p & 15];
	}
	dst[len] = 0;
	return len;
}

static void format_time(char *dst, size_t size, const char *format)
{
	uint64_t now = clock_wall_ns();
	time_t seconds = (time_t)(now / NS_PER_S);
	struct tm tm;
	size_t len;

	gmtime_r(&seconds, &tm);
	len = strftime(dst, size, format, &tm);
	snprintf(dst + len, size - len, ".%03uZ", (unsigned)(now / NS_PER_MS % 1000));
}

static void emit(int fd, enum sink sink, enum log_level level, const char *message)
{
	char line[LOG_LINE_MAX + 256], when[40];
	int len = 0;

	switch (sink) {
	case SINK_JOURNAL:
		len = snprintf(line, sizeof(line), "<%d>%s%s\n", levels[level].priority,
			       state.prefix, message);
		break;
	case SINK_TERMINAL:
		format_time(when, sizeof(when), "%H:%M:%S");
		len = snprintf(line, sizeof(line), "%s %s%-6s %s%s%s\n", when, levels[level].colour,
			       levels[level].name, state.prefix, message,
			       levels[level].colour[0] ? "\033[0m" : "");
		break;
	case SINK_UNKNOWN:
	case SINK_PLAIN:
		format_time(when, sizeof(when), "%Y-%m-%dT%H:%M:%S");
		len = snprintf(line, sizeof(line), "%s %-6s %s%s\n", when, levels[level].name,
			       state.prefix, message);
		break;
	}
	if (len > 0)
		write_line(fd, line, MIN((size_t)len, sizeof(line) - 1));
}

static void hand_to_hook(enum log_level level, const char *message)
{
	char line[LOG_LINE_MAX + 128];

	snprintf(line, sizeof(line), "%s%s", state.prefix, message);
	state.hook(state.hook_arg, level, line);
}

void log_write(enum log_level level, const char *format, ...)
{
	char text[LOG_LINE_MAX], message[LOG_LINE_MAX];
	int saved = errno;
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sanitize(message, sizeof(message), text);
	if (state.sink == SINK_UNKNOWN)
		state.sink = find_sink();
	emit(STDERR_FILENO, state.sink, level, message);
	if (state.file >= 0)
		emit(state.file, SINK_PLAIN, level, message);
	if (state.hook)
		hand_to_hook(level, message);
	errno = saved;
}

bool log_enabled(enum log_level level)
{
	return level <= state.level;
}

void log_set_level(enum log_level level)
{
	state.level = level;
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(levels[i].name, text))
			continue;
		*ret_level = (enum log_level)i;
		return true;
	}
	return false;
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

void log_set_prefix(const char *prefix)
{
	snprintf(state.prefix, sizeof(state.prefix), "%s", prefix ? prefix : "");
}

int log_set_file(const char *path)
{
	int fd = -1;

	if (path) {
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
		if (fd < 0)
			return -errno;
	}
	if (state.file >= 0)
		close(state.file);
	state.file = fd;
	return 0;
}

int log_file_fd(void)
{
	return state.file;
}

bool log_limit_pass(struct log_limit *limit, unsigned per_minute, unsigned *ret_left_out)
{
	uint64_t now = clock_monotonic_ns();

	if (!limit->window_ns || now - limit->window_ns >= 60 * NS_PER_S) {
		*ret_left_out = limit->left_out;
		*limit = (struct log_limit){.window_ns = now, .passed = 1};
		return true;
	}
	if (limit->passed >= per_minute) {
		limit->left_out++;
		return false;
	}
	limit->passed++;
	*ret_left_out = 0;
	return true;
}

void log_set_hook(void (*hook)(void *arg, enum log_level level, const char *line), void *arg)
{
	state.hook = hook;
	state.hook_arg = arg;
}
