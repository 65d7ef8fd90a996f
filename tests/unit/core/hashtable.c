#include "fixture/test.h"

#include "fixture/rng.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Memory that is refused from a given allocation on. */
static size_t allocations, refused_from = SIZE_MAX;

static void *test_allocate(void *old, size_t size)
{
	return allocations++ >= refused_from ? NULL : realloc(old, size);
}

static void *test_calloc_(size_t count, size_t size)
{
	void *p = test_allocate(NULL, count * size);

	return p ? memset(p, 0, count * size) : NULL;
}

#define malloc(size)	    test_allocate(NULL, size)
#define calloc(count, size) test_calloc_(count, size)
#define realloc(old, size)  test_allocate(old, size)
#include "core/hashtable.c"
#include "core/slab.c"
#undef malloc
#undef calloc
#undef realloc

enum { THINGS = 5000, STEPS = 60000 };

struct thing {
	struct hash_link link;
	uint64_t hash;
	bool there, visited;
};

static uint64_t hash_of(const void *arg, const struct hash_link *link)
{
	assert_ptr_equal(arg, &refused_from);
	return ((const struct thing *)link)->hash;
}

static bool finds(const struct hashtable *t, const struct thing *thing)
{
	const struct hash_link *link = hashtable_first(t, thing->hash);

	while (link && link != &thing->link)
		link = link->next;
	return link;
}

static void visits_what_is_there(struct hashtable *t, struct thing *things)
{
	struct hashtable_walk walk = {.bucket = 0};
	struct hash_link *link;
	size_t count = 0;

	for (size_t i = 0; i < THINGS; i++)
		things[i].visited = false;
	while ((link = hashtable_next(t, &walk))) {
		struct thing *thing = (struct thing *)link;

		assert_true(thing->there && !thing->visited);
		thing->visited = true;
		count++;
	}
	assert_int_equal(count, t->count);
}

/* Against a list of what is there; hashes of few bits collide, of many do not. */
static void random_changes(struct rng *rng, uint64_t mask)
{
	struct thing *things = calloc(THINGS, sizeof(*things));
	size_t want = THINGS / 2, count = 0;
	struct hashtable t;

	hashtable_init(&t, hash_of, &refused_from);
	for (size_t i = 0; i < THINGS; i++)
		things[i].hash = rng_next(rng) & mask;
	for (size_t step = 0; step < STEPS; step++) {
		struct thing *thing = &things[rng_below(rng, THINGS)];

		assert_int_equal(finds(&t, thing), thing->there);
		if (rng_below(rng, STEPS / 8) == 0)
			want = rng_below(rng, THINGS);
		if (thing->there && (count > want || rng_below(rng, 2) == 0)) {
			hashtable_remove(&t, &thing->link, thing->hash);
			thing->there = false;
			count--;
		} else if (!thing->there && (count < want || rng_below(rng, 2) == 0)) {
			hashtable_add(&t, &thing->link, thing->hash);
			thing->there = true;
			count++;
		}
		assert_int_equal(t.count, count);
		if (step % 4096 == 0)
			visits_what_is_there(&t, things);
	}
	visits_what_is_there(&t, things);
	for (size_t i = 0; i < THINGS; i++)
		assert_int_equal(finds(&t, &things[i]), things[i].there);
	hashtable_done(&t);
	free(things);
}

static void it_has_what_was_added_and_not_removed(void **state)
{
	struct rng rng = rng_new("hashtable");

	(void)state;
	random_changes(&rng, UINT64_MAX);
	random_changes(&rng, 0xff);
	random_changes(&rng, 0);
}

static void without_memory_it_is_slower_and_has_the_same(void **state)
{
	struct rng rng = rng_new("hashtable without memory");

	(void)state;
	for (size_t from = 0; from < 12; from++) {
		allocations = 0;
		refused_from = from;
		random_changes(&rng, 0xfff);
	}
	refused_from = SIZE_MAX;
}

/* No insertion moves more than the chain of one bucket. */
static void chains_stay_short_while_it_grows(void **state)
{
	struct thing *things = calloc(THINGS, sizeof(*things));
	struct rng rng = rng_new("hashtable chains");
	struct hashtable t;

	(void)state;
	hashtable_init(&t, hash_of, &refused_from);
	for (size_t i = 0; i < THINGS; i++) {
		size_t before = t.buckets, longest = 0;

		things[i].hash = rng_next(&rng);
		hashtable_add(&t, &things[i].link, things[i].hash);
		assert_in_range(t.buckets - before, 0, 1);
		assert_int_equal(t.buckets, i + 1);
		for (size_t b = 0; i % 512 == 0 && b < t.buckets; b++) {
			size_t len = 0;

			for (struct hash_link *l = *bucket_at(&t, b); l; l = l->next)
				len++;
			longest = len > longest ? len : longest;
		}
		assert_in_range(longest, 0, 24);
	}
	hashtable_done(&t);
	free(things);
}

static void a_slab_gives_zeroed_things_that_do_not_overlap(void **state)
{
	enum { SIZE = 24 };
	uint8_t *taken[1000] = {NULL}, zeros[SIZE] = {0};
	struct rng rng = rng_new("slab");
	struct slab s;

	(void)state;
	slab_init(&s, SIZE);
	for (size_t step = 0; step < 20000; step++) {
		size_t i = rng_below(&rng, sizeof(taken) / sizeof(taken[0]));

		if (taken[i]) {
			for (size_t k = 0; k < SIZE; k++)
				assert_int_equal(taken[i][k], (uint8_t)i);
			slab_give(&s, taken[i]);
			taken[i] = NULL;
		} else {
			taken[i] = slab_take(&s);
			assert_memory_equal(taken[i], zeros, SIZE);
			memset(taken[i], (int)i, SIZE);
		}
	}
	slab_done(&s);
}

static void a_slab_without_memory_says_so(void **state)
{
	struct slab s;

	(void)state;
	slab_init(&s, 64);
	allocations = 0;
	refused_from = 0;
	assert_null(slab_take(&s));
	refused_from = SIZE_MAX;
	assert_non_null(slab_take(&s));
	slab_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_has_what_was_added_and_not_removed),
		cmocka_unit_test(without_memory_it_is_slower_and_has_the_same),
		cmocka_unit_test(chains_stay_short_while_it_grows),
		cmocka_unit_test(a_slab_gives_zeroed_things_that_do_not_overlap),
		cmocka_unit_test(a_slab_without_memory_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
