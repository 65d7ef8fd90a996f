#ifndef CORE_HASHTABLE_H
#define CORE_HASHTABLE_H

/* A hash table of things that lie elsewhere and have a link in them. It grows by one bucket at a
 * time (linear hashing), so that nothing ever waits for all of it to be laid anew, and adding
 * cannot fail: without memory for another bucket the chains become longer. Against chosen
 * collisions the hash has to be keyed by a secret. Two pointers for each thing in all. */

#include <stddef.h>
#include <stdint.h>

/* First in the thing, so that one is the other's address. */
struct hash_link {
	struct hash_link *next;
};

/* The hash by which the thing was added. */
typedef uint64_t (*hashtable_hash_cb)(const void *arg, const struct hash_link *link);

struct hashtable {
	hashtable_hash_cb hash;
	const void *arg;	      /* borrowed, for hash */
	struct hash_link ***segments; /* owned, and each; as many as `buckets` need */
	size_t segments_size;	      /* that `segments` has room for */
	size_t buckets;		      /* in use; 0 before the first thing */
	size_t low;		      /* a power of two: low < buckets <= 2 low; 1 with one */
	size_t count;
	struct hash_link *spill; /* the only chain while there is no memory for any bucket */
};

void hashtable_init(struct hashtable *t, hashtable_hash_cb hash, const void *arg);
/* The things are the caller's. */
void hashtable_done(struct hashtable *t);
/* Not there yet. */
void hashtable_add(struct hashtable *t, struct hash_link *link, uint64_t hash);
/* Is there. */
void hashtable_remove(struct hashtable *t, struct hash_link *link, uint64_t hash);
/* The first of those among which a thing with this hash is, the others by ->next; NULL: none. */
struct hash_link *hashtable_first(const struct hashtable *t, uint64_t hash);

/* All things, in no order; the table stays as it is meanwhile. NULL: that was the last one. */
struct hashtable_walk {
	size_t bucket;
	struct hash_link *next;
};
struct hash_link *hashtable_next(const struct hashtable *t, struct hashtable_walk *walk);

#endif
