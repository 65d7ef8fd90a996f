#include "os/ctl_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_CHUNK = 65536, FIRST_SIZE = 4096 };

void ctl_stream_init(struct ctl_stream *s, int fd)
{
	*s = (struct ctl_stream){.fd = fd};
}

void ctl_stream_done(struct ctl_stream *s)
{
	free(s->in);
	free(s->out);
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct ctl_stream){.fd = -1};
}

/* Moves the begun line to the front and makes room behind it, up to a line of CTL_LINE_MAX. */
static bool make_room(struct ctl_stream *s)
{
	size_t len = s->in_end - s->in_start;

	if (s->in_start) {
		memmove(s->in, s->in + s->in_start, len);
		s->in_scanned -= s->in_start;
		s->in_start = 0;
		s->in_end = len;
	}
	if (s->in_end < s->in_size)
		return true;
	if (s->in_size >= CTL_LINE_MAX)
		return false;
	s->in_size = s->in_size ? MIN(s->in_size * 4, (size_t)CTL_LINE_MAX) : FIRST_SIZE;
	s->in = xrealloc(s->in, s->in_size);
	return true;
}

int ctl_stream_fill(struct ctl_stream *s)
{
	ssize_t n;

	if (!make_room(s))
		return -EMSGSIZE;
	do
		n = recv(s->fd, s->in + s->in_end, MIN(s->in_size - s->in_end, (size_t)READ_CHUNK),
			 MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	s->eof = !n;
	s->in_end += (size_t)n;
	return 0;
}

const char *ctl_stream_line(struct ctl_stream *s, size_t *ret_len)
{
	const char *line, *newline;

	if (s->in_scanned == s->in_end)
		return NULL;
	line = s->in + s->in_start;
	newline = memchr(s->in + s->in_scanned, '\n', s->in_end - s->in_scanned);
	if (!newline) {
		s->in_scanned = s->in_end;
		return NULL;
	}
	*ret_len = (size_t)(newline - line);
	s->in_start = s->in_scanned = (size_t)(newline + 1 - s->in);
	return line;
}

bool ctl_stream_half_line(const struct ctl_stream *s)
{
	return s->in_end > s->in_start;
}

bool ctl_stream_unserved(const struct ctl_stream *s)
{
	return s->in_scanned < s->in_end;
}

static void reserve_out(struct ctl_stream *s, size_t len)
{
	size_t queued = s->out_end - s->out_start;

	if (s->out_start) {
		memmove(s->out, s->out + s->out_start, queued);
		s->out_start = 0;
		s->out_end = queued;
	}
	if (s->out_size - queued >= len)
		return;
	s->out_size = MAX(s->out_size * 2, queued + len);
	s->out = xrealloc(s->out, s->out_size);
}

int ctl_stream_put(struct ctl_stream *s, const json_t *object)
{
	size_t len = json_dumpb(object, NULL, 0, JSON_COMPACT);

	if (!len || len + 1 > CTL_LINE_MAX)
		return -EMSGSIZE;
	reserve_out(s, len + 1);
	json_dumpb(object, s->out + s->out_end, len, JSON_COMPACT);
	s->out[s->out_end + len] = '\n';
	s->out_end += len + 1;
	return 0;
}

int ctl_stream_flush(struct ctl_stream *s)
{
	while (s->out_start < s->out_end) {
		ssize_t n = send(s->fd, s->out + s->out_start, s->out_end - s->out_start,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s->out_start += (size_t)n;
	}
	return 0;
}

size_t ctl_stream_queued(const struct ctl_stream *s)
{
	return s->out_end - s->out_start;
}

/* The parser and the freeing of what it made recurse: bound it before. */
static bool nested_too_deep(const char *line, size_t len)
{
	unsigned depth = 0;
	bool string = false;

	for (size_t i = 0; i < len; i++) {
		if (string && line[i] == '\\')
			i++;
		else if (line[i] == '"')
			string = !string;
		else if (!string && (line[i] == '{' || line[i] == '[') && ++depth > CTL_NESTING_MAX)
			return true;
		else if (!string && (line[i] == '}' || line[i] == ']') && depth)
			depth--;
	}
	return false;
}

json_t *ctl_line_parse(const char *line, size_t len, const char **ret_why)
{
	json_error_t error;
	json_t *json;

	if (nested_too_deep(line, len)) {
		*ret_why = "nested too deep";
		return NULL;
	}
	json = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!json) {
		*ret_why = "not JSON";
		return NULL;
	}
	if (json_is_object(json))
		return json;
	*ret_why =
		json_is_array(json) ? "batches are not served; one object a line" : "not an object";
	json_decref(json);
	return NULL;
}

json_t *ctl_message_new(json_t *id)
{
	json_t *message = json_object();

	json_object_set_new(message, "jsonrpc", json_string("2.0"));
	if (id)
		json_object_set_new(message, "id", id);
	return message;
}

int ctl_connect(const char *path, unsigned timeout_ms, int *ret_fd)
{
	struct timeval wait = {timeout_ms / 1000, (timeout_ms % 1000) * 1000};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	_cleanup_(closep) int fd = -1;

	if (strlen(path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	memcpy(to.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (timeout_ms ? 0 : SOCK_NONBLOCK), 0);
	if (fd < 0)
		return -errno;
	if (timeout_ms && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)))
		return -errno;
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return -errno;
	if (fcntl(fd, F_SETFL, O_NONBLOCK))
		return -errno;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

void ctl_error_set(struct ctl_error *error, int code, const char *next, const char *format, ...)
{
	va_list args;

	error->code = code;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	snprintf(error->next, sizeof(error->next), "%s", next ? next : "");
}

/* "/run/dnet/dnetd.sock" → "dnetd". */
static void program_of(const char *path, char *dst, size_t size)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;

	snprintf(dst, size, "%.*s", (int)strcspn(base, "."), base);
}

void ctl_connect_error(const char *path, int result, struct ctl_error *ret_error)
{
	char program[64], next[160];

	program_of(path, program, sizeof(program));
	snprintf(next, sizeof(next), "systemctl status %s", program);
	switch (-result) {
	case ENOENT:
	case ENOTDIR:
		ctl_error_set(ret_error, CTL_ECONNECT, next, "no socket %s: is %s running?", path,
			      program);
		break;
	case ECONNREFUSED:
		ctl_error_set(ret_error, CTL_ECONNECT, next,
			      "nobody serves %s any more: is %s running?", path, program);
		break;
	case EACCES:
	case EPERM:
		ctl_error_set(ret_error, CTL_EDENIED,
			      "run this as root, or join the group that owns the socket",
			      "you may not use %s", path);
		break;
	case EAGAIN:
		ctl_error_set(ret_error, CTL_ETIMEOUT, next, "%s does not take connections on %s",
			      program, path);
		break;
	default:
		ctl_error_set(ret_error, CTL_ECONNECT, next, "%s: %s", path, strerror(-result));
		break;
	}
}

void ctl_error_from_json(const json_t *json, struct ctl_error *ret_error)
{
	const json_t *code = json_object_get(json, "code");
	const char *message = json_string_value(json_object_get(json, "message"));
	const char *next =
		json_string_value(json_object_get(json_object_get(json, "data"), "next"));

	ctl_error_set(ret_error,
		      json_is_integer(code) ? (int)json_integer_value(code) : CTL_EINTERNAL, next,
		      "%s", message ? message : "an error without a text");
}
