#ifndef CORE_FAIRQ_H
#define CORE_FAIRQ_H

/* Packets that wait to be sealed, by flows: FQ-CoDel (RFC 8290) over memory of a fixed size, into
 * which packets are read and from which they are sealed without a copy in between. A flow that
 * begins to speak is served before those that always do, these by turns with equal bytes. A flow
 * whose packets wait too long is told so by a mark (ECN) or a loss (CoDel, RFC 8289). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/packet.h"

enum {
	FAIRQ_ROOM = 65664,   /* what fairq_room() gives: a packet and what stands before it */
	FAIRQ_PACKETS = 2048, /* that wait at the same time */
	FAIRQ_QUANTUM = 1514, /* bytes of a turn (RFC 8290, 5.2.4) */
	FAIRQ_BYTES_MIN = 2 * FAIRQ_ROOM,
};
#define FAIRQ_TARGET_NS	  UINT64_C(5000000)   /* RFC 8290, 5.2.2 */
#define FAIRQ_INTERVAL_NS UINT64_C(100000000) /* 5.2.3 */

struct fairq;

/* What fairq_init() wants for so many bytes of packets. */
size_t fairq_size(size_t bytes);
/* memory: fairq_size(bytes), aligned as malloc() does, for as long as the queue is used; there is
 * nothing to undo. bytes: FAIRQ_BYTES_MIN at least. seed: unknown to who sends the packets, so that
 * nobody chooses whose flow his own shares a queue with. */
struct fairq *fairq_init(void *memory, size_t bytes, uint64_t seed);

/* Where the next packet is to be written: FAIRQ_ROOM bytes, the same until fairq_push(). Where
 * there is no room the oldest packet gives way: as all flows are served alike, it is of the one
 * that sends the most. Packets of fairq_pop() end here. */
uint8_t *fairq_room(struct fairq *q);
/* Takes the packet that was written there, data and len within the room. owner is given back with
 * it; flows of different owners are different. now: ns, never going back. */
void fairq_push(struct fairq *q, const struct packet *packet, void *owner, uint64_t now);
/* The next one to send; it lasts until fairq_room(). False: empty. */
bool fairq_pop(struct fairq *q, uint64_t now, struct packet *ret_packet, void **ret_owner);
/* Drops what waits of this owner, who goes. */
void fairq_forget(struct fairq *q, const void *owner);

struct fairq_stats {
	size_t packets;	     /* that wait */
	uint64_t marked;     /* by CoDel, of flows that do ECN */
	uint64_t dropped;    /* by CoDel */
	uint64_t overflowed; /* gave way in fairq_room() */
};
const struct fairq_stats *fairq_stats(const struct fairq *q);

#endif
