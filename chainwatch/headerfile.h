#ifndef CHAINWATCH_HEADERFILE_H
#define CHAINWATCH_HEADERFILE_H

/* The headers that were accepted, in the order in which they were, so that a restart downloads
 * nothing anew and scrypt is not done twice. A file that only grows:
 *
 *	"dnethdr1", genesis hash 32, checksum 8
 *	groups: u32 count (1 to HEADERFILE_GROUP_MAX), count headers of 80 bytes, checksum 8
 *
 * A checksum is the first 8 bytes of the SHA-256 of the checksum before it and of all bytes since
 * then (of the first: of the bytes). What a killed process or a power cut left half written does
 * not fit its checksum and is cut off when the file is opened.
 */

#include "wire/key.h"

#include <stddef.h>
#include <stdint.h>

struct headerfile;

enum {
	HEADERFILE_GROUP_MAX = 2000,
	HEADERFILE_LATE_MAX = 100000, /* that could not be written and wait */
};

/* count headers of 80 bytes, each the parent of the next as far as they were told together;
 * borrowed for the call. A return below 0 ends headerfile_open() with it. */
typedef int (*headerfile_cb)(void *arg, const uint8_t *raw, size_t count);

/* Opens the file or makes it, and hands out what is in it. *ret_cut: bytes at its end that did not
 * fit their checksum and were cut off. 0, -EBUSY (another process has it), -EBADMSG (the file is
 * something else, or of another chain; it is left as it is), or -errno. */
int headerfile_open(const char *path, const struct hash256 *genesis, headerfile_cb cb, void *arg,
		    struct headerfile **ret, uint64_t *ret_cut);
/* Headers at raw + i * stride. 0 or -errno, and then the file is as before; it may be tried
 * again. */
int headerfile_append(struct headerfile *f, const uint8_t *raw, size_t stride, size_t count);
/* The same for headers that will not be told again: what cannot be written waits in memory and goes
 * before the next, so that the file has no gap, after which nothing in it would lead anywhere. When
 * HEADERFILE_LATE_MAX wait, the file ends there until it is opened again, and the rest is
 * downloaded anew then. 0, or -errno: something waits. */
int headerfile_keep(struct headerfile *f, const uint8_t *raw, size_t stride, size_t count);
/* What was appended is on the disk. */
int headerfile_sync(struct headerfile *f);
void headerfile_close(struct headerfile *f);

#endif
