#include "fuzz/fuzz.h"

#include "os/ctl_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A line that is taken is written as one that is taken for the same. */
static void check_line(const char *line, size_t len)
{
	const char *why = NULL;
	json_t *json = ctl_line_parse(line, len, &why), *again;
	char *text;

	if (!json) {
		if (!why)
			abort();
		return;
	}
	text = json_dumps(json, JSON_COMPACT);
	if (text) {
		again = ctl_line_parse(text, strlen(text), &why);
		if (!again || !json_equal(json, again) || strchr(text, '\n'))
			abort();
		json_decref(again);
	}
	free(text);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl_stream stream;
	const char *line;
	size_t len, sent = 0, seen = 0;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds))
		abort();
	ctl_stream_init(&stream, fds[0]);
	while (!stream.eof) {
		ssize_t n = sent < size ? write(fds[1], data + sent, MIN(size - sent, 997)) : 0;

		sent += n > 0 ? (size_t)n : 0;
		if (sent == size)
			shutdown(fds[1], SHUT_WR);
		if (ctl_stream_fill(&stream) == -EMSGSIZE)
			break;
		while ((line = ctl_stream_line(&stream, &len))) {
			if (memcmp(line, data + seen, len) || data[seen + len] != '\n')
				abort();
			seen += len + 1;
			check_line(line, len);
		}
	}
	ctl_stream_done(&stream);
	close(fds[1]);
	return 0;
}
