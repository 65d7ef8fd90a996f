#include "core/stage.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_DATA = 2032 };

struct block {
	uint32_t next;	      /* of the same packet, or free; plus 1; 0: none */
	uint32_t next_packet; /* in the first block of a packet; plus 1; 0: none */
	uint8_t data[BLOCK_DATA];
};

struct stage_pool {
	struct block *blocks;
	uint32_t free;	/* plus 1; 0: none */
	uint32_t fresh; /* from here on none was ever used: its memory is not touched before */
	size_t free_count;
};

static size_t blocks_for(size_t len)
{
	return (sizeof(struct packet) + len + BLOCK_DATA - 1) / BLOCK_DATA;
}

struct stage_pool *stage_pool_new(size_t bytes)
{
	struct stage_pool *pool = calloc(1, sizeof(*pool));
	size_t count = bytes / sizeof(struct block);

	if (!pool)
		return NULL;
	pool->blocks = calloc(count + 1, sizeof(*pool->blocks));
	if (!pool->blocks) {
		free(pool);
		return NULL;
	}
	pool->free_count = count;
	return pool;
}

void stage_pool_free(struct stage_pool *pool)
{
	if (!pool)
		return;
	free(pool->blocks);
	free(pool);
}

/* There is one. Returns it plus 1. */
static uint32_t take(struct stage_pool *pool)
{
	uint32_t i = pool->free;

	if (i)
		pool->free = pool->blocks[i - 1].next;
	else
		i = ++pool->fresh;
	pool->free_count--;
	pool->blocks[i - 1].next = 0;
	pool->blocks[i - 1].next_packet = 0;
	return i;
}

static void release(struct stage_pool *pool, uint32_t first)
{
	while (first) {
		struct block *b = &pool->blocks[first - 1];
		uint32_t next = b->next;

		b->next = pool->free;
		pool->free = first;
		pool->free_count++;
		first = next;
	}
}

/* Bytes go through the chain of blocks; the packet's description stands first. */
static uint32_t *append(struct stage_pool *pool, uint32_t *link, size_t *at, const void *src,
			size_t len)
{
	const uint8_t *bytes = src;

	while (len) {
		size_t n;

		if (*at == BLOCK_DATA) {
			*link = take(pool);
			*at = 0;
		}
		n = len < BLOCK_DATA - *at ? len : BLOCK_DATA - *at;
		memcpy(pool->blocks[*link - 1].data + *at, bytes, n);
		*at += n;
		bytes += n;
		len -= n;
		if (*at == BLOCK_DATA)
			link = &pool->blocks[*link - 1].next;
	}
	return link;
}

static struct packet description_of(const struct stage_pool *pool, uint32_t first)
{
	struct packet p;

	memcpy(&p, pool->blocks[first - 1].data, sizeof(p));
	return p;
}

static bool drop_oldest(struct stage_pool *pool, struct stage *stage)
{
	uint32_t first = stage->first;

	if (!first)
		return false;
	stage->bytes -= description_of(pool, first).len;
	stage->packets--;
	stage->first = pool->blocks[first - 1].next_packet;
	if (!stage->first)
		stage->last = 0;
	release(pool, first);
	return true;
}

unsigned stage_push(struct stage_pool *pool, struct stage *stage, const struct packet *packet)
{
	size_t at = BLOCK_DATA, need = blocks_for(packet->len);
	uint32_t first = 0, *link = &first;
	unsigned lost = 0;

	if (packet->len > STAGE_PACKET_MAX)
		return 1;
	while (stage->packets >= STAGE_PACKETS || stage->bytes + packet->len > STAGE_BYTES ||
	       pool->free_count < need) {
		if (!drop_oldest(pool, stage))
			return lost + 1;
		lost++;
	}
	link = append(pool, link, &at, packet, sizeof(*packet));
	append(pool, link, &at, packet->data, packet->len);
	if (stage->last)
		pool->blocks[stage->last - 1].next_packet = first;
	else
		stage->first = first;
	stage->last = first;
	stage->packets++;
	stage->bytes += packet->len;
	return lost;
}

bool stage_pop(struct stage_pool *pool, struct stage *stage, uint8_t *bytes,
	       struct packet *ret_packet)
{
	size_t at = sizeof(struct packet), left;
	uint32_t i = stage->first;
	struct packet p;

	if (!i)
		return false;
	p = description_of(pool, i);
	p.data = bytes;
	for (left = p.len; left; at = 0, i = pool->blocks[i - 1].next) {
		size_t n = left < BLOCK_DATA - at ? left : BLOCK_DATA - at;

		memcpy(bytes, pool->blocks[i - 1].data + at, n);
		bytes += n;
		left -= n;
	}
	drop_oldest(pool, stage);
	*ret_packet = p;
	return true;
}

unsigned stage_clear(struct stage_pool *pool, struct stage *stage)
{
	unsigned n = 0;

	while (drop_oldest(pool, stage))
		n++;
	return n;
}
