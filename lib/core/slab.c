#include "core/slab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256 }; /* things */

struct chunk {
	struct chunk *next;
	unsigned char things[];
};

struct free_thing {
	struct free_thing *next;
};

void slab_init(struct slab *s, size_t size)
{
	assert(size >= sizeof(struct free_thing) && size % sizeof(void *) == 0);
	*s = (struct slab){.size = size};
}

void slab_done(struct slab *s)
{
	struct chunk *chunk, *next;

	for (chunk = s->chunks; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
}

void *slab_take(struct slab *s)
{
	struct free_thing *given = s->free;
	struct chunk *chunk = s->chunks;

	if (given) {
		s->free = given->next;
		return memset(given, 0, s->size);
	}
	if (s->unused == 0) {
		chunk = malloc(sizeof(*chunk) + CHUNK * s->size);
		if (!chunk)
			return NULL;
		chunk->next = s->chunks;
		s->chunks = chunk;
		s->unused = CHUNK;
	}
	return memset(chunk->things + --s->unused * s->size, 0, s->size);
}

void slab_give(struct slab *s, void *thing)
{
	struct free_thing *given = thing;

	given->next = s->free;
	s->free = given;
}
