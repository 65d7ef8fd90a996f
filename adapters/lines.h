#ifndef ADAPTERS_LINES_H
#define ADAPTERS_LINES_H

/* Lines that another program writes into a pipe or socket: read as they come, of bounded length,
 * and never so many at a time that the loop waits for a program that does not stop. */

#include <stdbool.h>
#include <stddef.h>

struct lines;
struct loop;

struct lines_io {
	void *ctx;
	/* One line without its end; a NUL follows, and there may be others in it. cut: it was
	 * longer, and this is its beginning. The bytes may be changed. */
	void (*line)(void *ctx, char *line, size_t len, bool cut);
};

/* fd: taken. max: bytes of a line. NULL and errno: it cannot be watched, and is closed. */
struct lines *lines_new(struct loop *loop, int fd, size_t max, const struct lines_io *io);
/* Not in its own callback. */
void lines_free(struct lines *lines);
/* What is there now, up to some 1 MiB, and a last line without its end: for when the writer has
 * gone. */
void lines_drain(struct lines *lines);

/* In place: bytes that are not printable ASCII become '?', for logs and status. */
void lines_make_printable(char *line, size_t len);

#endif
