#ifndef CORE_COALESCE_H
#define CORE_COALESCE_H

/* Opened packets on their way to the TUN: runs of one TCP or UDP flow become one super-packet, as
 * GRO does. Only packets with a partial checksum are joined (the tag vouches for them); all others
 * pass alone and unchanged. */

#include "core/packet.h"

struct coalescer {
	uint8_t *bytes; /* room for COALESCE_ROOM, the owner's; the packet begins at
			   COALESCE_HEADROOM */
	size_t len;	/* of the packet under way, 0: none */
	size_t header_len, ip_len;
	uint16_t gso_size;
	unsigned count;
	uint32_t next_seq;
	bool udp, closed;
};
enum { COALESCE_HEADROOM = 64, COALESCE_ROOM = COALESCE_HEADROOM + 65536 };

/* Called with a finished packet; its data has COALESCE_HEADROOM writable bytes before it where it
 * comes from the coalescer's buffer, and the same where the caller promised so for the input (a
 * data message has 16 header bytes: enough for virtio_net_hdr). */
typedef void coalesce_deliver(void *ctx, struct packet *packet);

void coalesce_init(struct coalescer *c, uint8_t *bytes);
/* Takes one opened IP packet; bytes need to last only during the call. partial: PROTOCOL 5.2's
 * flag. usable_gso: kinds that the TUN takes (bit 1 << enum gso_type). False: refused, nothing was
 * delivered for it (the flag is set on what has no TCP or UDP checksum to finish). */
bool coalesce_add(struct coalescer *c, uint8_t *bytes, size_t len, bool partial,
		  unsigned usable_gso, coalesce_deliver *deliver, void *ctx);
void coalesce_flush(struct coalescer *c, coalesce_deliver *deliver, void *ctx);

#endif
