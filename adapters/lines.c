#include "adapters/lines.h"

#include "os/base.h"
#include "os/loop.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum {
	CHUNK = 4096,	       /* of a read, and of a buffer at its start */
	CHUNKS_PER_WAKE = 16,  /* then others have their turn */
	CHUNKS_OF_DRAIN = 256, /* a pipe holds 16 */
};

struct lines {
	struct loop_fd *watch; /* NULL: the writer closed it */
	struct lines_io io;
	int fd;
	char *buf; /* of the line that is under way; size: with room for a NUL */
	size_t len, size, max;
	bool cut; /* the rest up to the next end is left out */
};

static void deliver(struct lines *l)
{
	bool cut = l->cut;
	l->buf[l->len] = '\0';
	size_t len = l->len;
	l->len = 0;
	l->cut = false;
	l->io.line(l->io.ctx, l->buf, len, cut);
}

static void append(struct lines *l, const char *bytes, size_t len)
{
	size_t room = l->max - l->len;
	if (len > room)
		l->cut = true;
	len = MIN(len, room);
	if (l->len + len + 1 > l->size) {
		while (l->len + len + 1 > l->size)
			l->size *= 2;
		l->buf = xrealloc(l->buf, l->size);
	}
	memcpy(&l->buf[l->len], bytes, len);
	l->len += len;
}

/* False: nothing more, for now or for ever. */
static bool read_chunk(struct lines *l)
{
	char chunk[CHUNK];
	ssize_t n;
	do {
		n = read(l->fd, chunk, sizeof(chunk));
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	if (n <= 0) {
		loop_fd_free(steal(l->watch));
		return false;
	}
	for (size_t at = 0; at < (size_t)n;) {
		const char *end = memchr(&chunk[at], '\n', (size_t)n - at);
		size_t stop = end ? (size_t)(end - chunk) : (size_t)n;
		append(l, &chunk[at], stop - at);
		if (end)
			deliver(l);
		at = stop + 1;
	}
	return true;
}

static void on_readable(void *arg, int fd, unsigned events)
{
	struct lines *l = arg;
	(void)fd;
	(void)events;
	for (unsigned i = 0; i < CHUNKS_PER_WAKE; i++) {
		if (!read_chunk(l))
			return;
	}
}

struct lines *lines_new(struct loop *loop, int fd, size_t max, const struct lines_io *io)
{
	struct lines *l = xcalloc(1, sizeof(*l));
	l->io = *io;
	l->fd = fd;
	l->max = max;
	l->size = CHUNK;
	l->buf = xmalloc(l->size);
	l->watch = loop_fd_new(loop, fd, LOOP_READ, on_readable, l);
	if (!l->watch) {
		int error = errno;
		lines_free(l);
		errno = error;
		return NULL;
	}
	return l;
}

void lines_free(struct lines *l)
{
	if (!l)
		return;
	loop_fd_free(l->watch);
	close(l->fd);
	free(l->buf);
	free(l);
}

void lines_drain(struct lines *l)
{
	for (unsigned i = 0; l->watch && i < CHUNKS_OF_DRAIN; i++) {
		if (!read_chunk(l))
			break;
	}
	if (l->len > 0 || l->cut)
		deliver(l);
}

void lines_make_printable(char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (line[i] < ' ' || line[i] > '~')
			line[i] = '?';
	}
}
