#ifndef CORE_STAGE_H
#define CORE_STAGE_H

/* Packets that wait for a session: copies in blocks of one pool that is taken at the start, in a
 * queue for each peer. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/packet.h"

enum { STAGE_PACKETS = 128, STAGE_BYTES = 256 * 1024, STAGE_PACKET_MAX = 65535 };

struct stage_pool;

/* NULL: out of memory. */
struct stage_pool *stage_pool_new(size_t bytes);
void stage_pool_free(struct stage_pool *pool);

/* A queue; zeroed memory is an empty one. */
struct stage {
	uint32_t first, last; /* blocks, plus 1; 0: none */
	unsigned packets;
	size_t bytes;
};

/* Copies the packet to the end of the queue. Older ones of the queue give way when it is at a limit
 * (STAGE_PACKETS, STAGE_BYTES) or the pool is empty. Returns how many packets were lost by that,
 * the new one included when it does not fit at all. */
unsigned stage_push(struct stage_pool *pool, struct stage *stage, const struct packet *packet);
/* The oldest one; its data is in bytes, with room for STAGE_PACKET_MAX. False: empty. */
bool stage_pop(struct stage_pool *pool, struct stage *stage, uint8_t *bytes,
	       struct packet *ret_packet);
/* Returns how many there were. */
unsigned stage_clear(struct stage_pool *pool, struct stage *stage);

#endif
