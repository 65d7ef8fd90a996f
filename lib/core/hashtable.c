#include "core/hashtable.h"

#include <assert.h>
#include <stdlib.h>

enum {
	SEGMENT_BITS = 9, /* 512 buckets, 4 KiB: what is allocated at once, and never moved */
	SEGMENT = 1 << SEGMENT_BITS,
};

static struct hash_link **bucket_at(const struct hashtable *t, size_t number)
{
	return &t->segments[number >> SEGMENT_BITS][number & (SEGMENT - 1)];
}

/* Of the buckets from `low` on as many are there as were split off those below. */
static struct hash_link **bucket_of(struct hashtable *t, uint64_t hash)
{
	size_t number;

	if (t->buckets == 0)
		return &t->spill;
	number = hash & (2 * t->low - 1);
	return bucket_at(t, number < t->buckets ? number : number - t->low);
}

/* Room for bucket number t->buckets. */
static struct hash_link **reserve_bucket(struct hashtable *t)
{
	size_t segment = t->buckets >> SEGMENT_BITS;

	if ((t->buckets & (SEGMENT - 1)) != 0)
		return bucket_at(t, t->buckets);
	if (segment == t->segments_size) {
		size_t size = segment ? 2 * segment : 8;
		struct hash_link ***grown = realloc(t->segments, size * sizeof(*grown));

		if (!grown)
			return NULL;
		t->segments = grown;
		t->segments_size = size;
	}
	t->segments[segment] = calloc(SEGMENT, sizeof(**t->segments));
	return t->segments[segment];
}

/* The next bucket takes from the one that it is split off what belongs there now. */
static void split(struct hashtable *t)
{
	struct hash_link **to = reserve_bucket(t), **from;

	if (!to)
		return;
	if (t->buckets == 0) {
		*to = t->spill;
		t->spill = NULL;
		t->buckets = t->low = 1;
		return;
	}
	if (t->buckets == 2 * t->low)
		t->low *= 2;
	from = bucket_at(t, t->buckets - t->low);
	while (*from) {
		struct hash_link *link = *from;

		if ((t->hash(t->arg, link) & (2 * t->low - 1)) != t->buckets) {
			from = &link->next;
			continue;
		}
		*from = link->next;
		link->next = *to;
		*to = link;
	}
	t->buckets++;
}

void hashtable_init(struct hashtable *t, hashtable_hash_cb hash, const void *arg)
{
	*t = (struct hashtable){.hash = hash, .arg = arg};
}

void hashtable_done(struct hashtable *t)
{
	for (size_t i = 0; i < t->buckets; i += SEGMENT)
		free(t->segments[i >> SEGMENT_BITS]);
	free(t->segments);
}

void hashtable_add(struct hashtable *t, struct hash_link *link, uint64_t hash)
{
	struct hash_link **bucket;

	if (t->count >= t->buckets)
		split(t);
	bucket = bucket_of(t, hash);
	link->next = *bucket;
	*bucket = link;
	t->count++;
}

void hashtable_remove(struct hashtable *t, struct hash_link *link, uint64_t hash)
{
	struct hash_link **at = bucket_of(t, hash);

	for (; *at != link; at = &(*at)->next)
		assert(*at);
	*at = link->next;
	t->count--;
}

struct hash_link *hashtable_first(const struct hashtable *t, uint64_t hash)
{
	return *bucket_of((struct hashtable *)t, hash);
}

struct hash_link *hashtable_next(const struct hashtable *t, struct hashtable_walk *walk)
{
	struct hash_link *link = walk->next;

	if (t->buckets == 0 && walk->bucket++ == 0)
		link = t->spill;
	while (!link && walk->bucket < t->buckets)
		link = *bucket_at(t, walk->bucket++);
	walk->next = link ? link->next : NULL;
	return link;
}
