#include "fixture/test.h"

#include "chainwatch/blockindex.h"
#include "fixture/rng.h"

#include <stdlib.h>
#include <string.h>

enum { EASY = 0x207fffff, HARD = 0x1f7fffff /* 256 times the work */ };

static struct hash256 make(const struct hash256 *prev, uint32_t nonce, uint32_t bits,
			   uint8_t raw[BLOCK_HEADER_LEN])
{
	struct block_header header = {.version = 1, .bits = bits, .nonce = nonce};
	struct hash256 hash;

	if (prev)
		header.prev = *prev;
	block_header_write(&header, raw);
	block_hash(raw, &hash);
	return hash;
}

static struct hash256 add(struct blockindex *x, const struct hash256 *prev, uint32_t nonce,
			  uint32_t bits)
{
	uint8_t raw[BLOCK_HEADER_LEN];
	struct hash256 hash = make(prev, nonce, bits, raw);

	assert_int_equal(blockindex_add(x, raw, nonce, nonce, 100), 1);
	return hash;
}

static struct blockindex *begin(struct hash256 *ret_genesis)
{
	uint8_t raw[BLOCK_HEADER_LEN];
	struct blockindex *x;

	*ret_genesis = make(NULL, 0, EASY, raw);
	assert_int_equal(blockindex_new(ret_genesis, &x), 0);
	assert_null(blockindex_tip(x));
	return x;
}

static void assert_tip(struct blockindex *x, const struct hash256 *hash, uint32_t height)
{
	assert_int_equal(blockindex_link(x), 0);
	assert_non_null(blockindex_tip(x));
	assert_memory_equal(&blockindex_tip(x)->hash, hash, sizeof(*hash));
	assert_int_equal(blockindex_tip(x)->height, height);
	for (uint32_t i = 0; i <= height; i++)
		assert_true(!blockindex_at(x, i) || blockindex_at(x, i)->height == i);
	assert_null(blockindex_at(x, height + 1));
}

static void most_work_wins_and_the_first_of_equals(void **state)
{
	struct hash256 g, a1, a2, b1, b2, b3, c1;
	struct blockindex *x = begin(&g);

	add(x, NULL, 0, EASY);
	a1 = add(x, &g, 1, EASY);
	a2 = add(x, &a1, 2, EASY);
	b1 = add(x, &g, 3, EASY);
	b2 = add(x, &b1, 4, EASY);
	assert_tip(x, &a2, 2);
	b3 = add(x, &b2, 5, EASY);
	assert_tip(x, &b3, 3);
	assert_false(blockindex_is_best(x, blockindex_find(x, &a1)));
	assert_true(blockindex_is_best(x, blockindex_find(x, &b1)));
	c1 = add(x, &g, 6, HARD);
	assert_tip(x, &c1, 1);
	assert_null(blockindex_at(x, 2));
	assert_int_equal(blockindex_count(x), 7);
	blockindex_free(x);
}

static void what_no_root_is_known_of_waits(void **state)
{
	struct hash256 g, a1, a2, a3;
	uint8_t raw[BLOCK_HEADER_LEN];
	struct blockindex *x = begin(&g);
	uint32_t number = 0;

	add(x, NULL, 0, EASY);
	a1 = make(&g, 1, EASY, raw);
	a2 = make(&a1, 2, EASY, raw);
	a3 = add(x, &a2, 3, EASY);
	a2 = add(x, &a1, 2, EASY);
	assert_tip(x, &g, 0);
	assert_memory_equal(&blockindex_next_root(x, &number)->hash, &a2, sizeof(a2));
	assert_null(blockindex_next_root(x, &number));
	assert_null(blockindex_find(x, &a1));
	add(x, &g, 1, EASY);
	assert_tip(x, &a3, 3);
	/* the first place counts */
	make(&g, 1, EASY, raw);
	assert_int_equal(blockindex_add(x, raw, 9, 9, 200), 0);
	assert_int_equal(blockindex_find(x, &a1)->file, 1);
	blockindex_free(x);
}

static void a_pruned_chain_is_anchored(void **state)
{
	struct hash256 g, lost, a1, a2, far;
	uint8_t raw[BLOCK_HEADER_LEN];
	struct blockindex *x = begin(&g);
	uint32_t number = 0;

	lost = make(&g, 99, EASY, raw);
	a1 = add(x, &lost, 1, EASY);
	a2 = add(x, &a1, 2, EASY);
	far = make(&a2, 98, EASY, raw);
	add(x, &far, 3, EASY);
	assert_int_equal(blockindex_link(x), 0);
	assert_null(blockindex_tip(x));
	assert_memory_equal(&blockindex_next_root(x, &number)->hash, &a1, sizeof(a1));
	blockindex_anchor(x, &a1, 500);
	assert_tip(x, &a2, 501);
	assert_null(blockindex_at(x, 499));
	assert_memory_equal(&blockindex_at(x, 500)->hash, &a1, sizeof(a1));
	blockindex_free(x);
}

/* Against a tree whose heights are known, added in any order, linked now and then. */
static void random_trees(void **state)
{
	enum { BLOCKS = 3000 };
	struct node {
		struct hash256 hash;
		uint8_t raw[BLOCK_HEADER_LEN];
		uint32_t height, parent;
		bool added;
	} *nodes = calloc(BLOCKS, sizeof(*nodes));
	uint32_t *order = calloc(BLOCKS, sizeof(*order)), best = 0;
	struct rng rng = rng_new("random_trees");
	struct hash256 g;
	struct blockindex *x = begin(&g);

	nodes[0].hash = make(NULL, 0, EASY, nodes[0].raw);
	for (uint32_t i = 1; i < BLOCKS; i++) {
		struct node *n = &nodes[i];

		n->parent = rng_below(&rng, 10) ? i - 1 : (uint32_t)rng_below(&rng, i);
		n->height = nodes[n->parent].height + 1;
		n->hash = make(&nodes[n->parent].hash, i, EASY, n->raw);
	}
	for (uint32_t i = 0; i < BLOCKS; i++) {
		uint32_t other = (uint32_t)rng_below(&rng, i + 1);

		order[i] = order[other];
		order[other] = i;
	}
	for (uint32_t i = 0; i < BLOCKS; i++) {
		assert_int_equal(blockindex_add(x, nodes[order[i]].raw, 0, i, 100), 1);
		nodes[order[i]].added = true;
		if (rng_below(&rng, 50) && i != BLOCKS - 1)
			continue;
		assert_int_equal(blockindex_link(x), 0);
		best = 0;
		for (uint32_t k = 1; nodes[0].added && k < BLOCKS; k++) {
			uint32_t at = k;

			while (at && nodes[at].added)
				at = nodes[at].parent;
			if (!at && nodes[k].height > best)
				best = nodes[k].height;
		}
		if (best)
			assert_int_equal(blockindex_tip(x)->height, best);
		for (uint32_t h = best; best && h > 0; h--)
			assert_int_equal(blockindex_at(x, h)->height, h);
	}
	blockindex_free(x);
	free(nodes);
	free(order);
}

static void work_is_what_the_target_says(void **state)
{
	assert_true(block_work(EASY) == 2.0 ||
		    (block_work(EASY) > 1.99 && block_work(EASY) < 2.01));
	assert_true(block_work(0x1d00ffff) > 4.29e9 && block_work(0x1d00ffff) < 4.30e9);
	assert_true(block_work(0) == 0);
	assert_true(block_work(0x21000001) == 0);
	assert_true(block_work(0x20800000) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(most_work_wins_and_the_first_of_equals),
		cmocka_unit_test(what_no_root_is_known_of_waits),
		cmocka_unit_test(a_pruned_chain_is_anchored),
		cmocka_unit_test(random_trees),
		cmocka_unit_test(work_is_what_the_target_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
