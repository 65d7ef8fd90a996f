#ifndef CORE_SLAB_H
#define CORE_SLAB_H

/* Things of one size, allocated many at once and never moved: malloc() would add 8 to 23 bytes to
 * each. What is freed is given out again; memory goes back only with slab_done(). */

#include <stddef.h>

struct slab {
	size_t size;   /* of a thing */
	void *chunks;  /* owned, all; linked by their first pointer */
	size_t unused; /* things at the end of the newest chunk that were not given out yet */
	void *free;    /* given back; linked by their first pointer */
};

/* size: a multiple of that of a pointer. */
void slab_init(struct slab *s, size_t size);
/* With all that was given out. */
void slab_done(struct slab *s);
/* Zeroed; NULL without memory. */
void *slab_take(struct slab *s);
void slab_give(struct slab *s, void *thing);

#endif
