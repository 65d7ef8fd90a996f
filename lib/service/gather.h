#ifndef SERVICE_GATHER_H
#define SERVICE_GATHER_H

/* Datagrams on their way out that wait for their neighbours: those to one destination and of one
 * size leave in one send, from where they lie. Order is kept for each destination. No I/O, nothing
 * is copied or allocated. */

#include "wire/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

enum {
	GATHER_HEAPS = 8,  /* destinations at a time */
	GATHER_PARTS = 32, /* of one send */
	GATHER_BYTES = 65000,
};

/* Parts as udp_send_parts() wants them: each but the last of whole segments. */
typedef void gather_send(void *ctx, const struct endpoint *to, const struct iovec *parts,
			 unsigned count, size_t segment);

struct gather_heap {
	struct endpoint to;
	struct iovec parts[GATHER_PARTS];
	unsigned count; /* 0: free */
	size_t segment, len;
	bool closed; /* a shorter one stands at the end: nothing may follow */
};

struct gather {
	gather_send *send;
	void *ctx;
	struct gather_heap heaps[GATHER_HEAPS];
	unsigned next; /* the heap that makes room when all are taken */
};

void gather_init(struct gather *gather, gather_send *send, void *ctx);
/* Datagrams of segment bytes (the last may be shorter), len > 0. The bytes stay the caller's and
 * have to stay as they are until gather_flush(). Sends what they cannot wait with. */
void gather_add(struct gather *gather, const struct endpoint *to, const void *bytes, size_t len,
		size_t segment);
/* Sends all. */
void gather_flush(struct gather *gather);

#endif
