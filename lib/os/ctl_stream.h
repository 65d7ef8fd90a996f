#ifndef OS_CTL_STREAM_H
#define OS_CTL_STREAM_H

/* Lines of JSON in and out of a non-blocking stream socket, bounded. Inside of ctl only. */

#include "os/ctl.h"

struct ctl_stream {
	int fd; /* owned; -1: closed */
	char *in;
	size_t in_start, in_scanned, in_end, in_size; /* [in_start, in_end) is not consumed */
	char *out;
	size_t out_start, out_end, out_size; /* [out_start, out_end) is not sent */
	bool eof;
};

void ctl_stream_init(struct ctl_stream *s, int fd);
void ctl_stream_done(struct ctl_stream *s);
/* Reads once what is there. 0; -EAGAIN; -EMSGSIZE when a line has no end within CTL_LINE_MAX; at
 * the end 0 and s->eof. */
int ctl_stream_fill(struct ctl_stream *s);
/* The next whole line without its newline, borrowed until the next fill; NULL when there is none.
 */
const char *ctl_stream_line(struct ctl_stream *s, size_t *ret_len);
/* A line is begun and not ended. */
bool ctl_stream_half_line(const struct ctl_stream *s);
/* There is something in which ctl_stream_line() has not looked for a line yet. */
bool ctl_stream_unserved(const struct ctl_stream *s);
/* Queues one object as a line; -EMSGSIZE when it is longer than CTL_LINE_MAX. */
int ctl_stream_put(struct ctl_stream *s, const json_t *object);
/* Sends what is queued: 0 when all is out, -EAGAIN, or -errno. */
int ctl_stream_flush(struct ctl_stream *s);
size_t ctl_stream_queued(const struct ctl_stream *s);

/* One line as a JSON object, or NULL and why (static). */
json_t *ctl_line_parse(const char *line, size_t len, const char **ret_why);
/* {"jsonrpc": "2.0", "id": id, …}; takes id, NULL leaves it out. */
json_t *ctl_message_new(json_t *id);
/* Connects; the socket is non-blocking. timeout_ms 0: does not wait for a busy server. */
int ctl_connect(const char *path, unsigned timeout_ms, int *ret_fd);
/* What a failure of ctl_connect() means for a person. */
void ctl_connect_error(const char *path, int result, struct ctl_error *ret_error);
void ctl_error_set(struct ctl_error *error, int code, const char *next, const char *format, ...)
	_printf_(4, 5);
/* error from the "error" member of a reply, whatever it is. */
void ctl_error_from_json(const json_t *json, struct ctl_error *ret_error);

#endif
