#include "fixture/owner_world.h"

#include "chainwatch/store.h"
#include "fixture/temp.h"
#include "os/chaindb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The random histories of tests/unit/core/registry_random.c through chain.db: what os/chaindb reads
 * of what the store wrote gives the map that the model gives. DNET_HISTORIES and DNET_TEST_SEED as
 * there. */

enum { HISTORIES = 100, KEEP = BLOCKS + 1 };

struct bench {
	struct world w;
	struct temp folder;
	struct store *store;
	struct chaindb *db;
	struct record_row rows[ROWS];
	size_t row_count;
};

static struct store_tip block_at(uint32_t height)
{
	struct store_tip tip = {.height = height, .time = 1000 + height};

	store_u32(tip.hash.bytes, height);
	return tip;
}

static void new_registry(struct bench *b)
{
	uint8_t seed[16];

	rng_fill(&b->w.rng, seed, sizeof(seed));
	registry_free(b->w.registry);
	assert_int_equal(registry_new(MODEL_OP_NODE, seed, &b->w.registry), 0);
}

static void begin(struct bench *b)
{
	char path[256], error[STORE_ERROR_MAX] = "", db_error[CHAINDB_ERROR_MAX] = "";
	struct store_config config = {
		.chain = "litecoin-regtest", .genesis = {{1}}, .birth_height = 1, .keep = KEEP};
	struct store_tip base = block_at(0);

	temp_make(&b->folder);
	config.path = temp_file(&b->folder, "chain.db", path);
	assert_int_equal(store_open(&config, &b->store, error), 0);
	assert_int_equal(store_set_base(b->store, &base), 0);
	assert_int_equal(chaindb_open(path, &b->db, db_error), 0);
	new_registry(b);
}

static void end(struct bench *b)
{
	registry_free(b->w.registry);
	chaindb_close(b->db);
	store_close(b->store);
	temp_remove(&b->folder);
}

static void apply(struct bench *b, uint32_t height, uint32_t index, size_t number)
{
	uint8_t raw[RAW_MAX];
	struct tx_view view;

	world_view_tx(&b->w.txs[number], raw, &view);
	assert_int_equal(
		registry_apply_tx(b->w.registry, height, index, &view, store_sink(b->store)), 0);
}

static void mine(struct bench *b)
{
	struct world *w = &b->w;
	size_t want = 1 + rng_below(&w->rng, BLOCK_TXS - 1), number;
	uint32_t at = w->height;
	struct store_tip block = block_at(++w->height);
	struct order order;

	w->blocks[at].count = 0;
	assert_int_equal(store_begin(b->store), 0);
	assert_int_equal(store_add_block(b->store, &block), 0);
	for (size_t i = 0; i < want; i++) {
		world_order(w, &order);
		number = world_next_tx(w, &order);
		if (number == TXS)
			continue;
		apply(b, w->height, (uint32_t)w->blocks[at].count, number);
		w->blocks[at].tx[w->blocks[at].count++] = number;
		world_read_model(w, &w->model, w->height);
	}
	assert_int_equal(store_commit(b->store), 0);
	world_read_model(w, &w->model, w->height);
	world_remember(w, &w->model);
}

static void look_at_mempool(struct bench *b)
{
	struct world *w = &b->w;
	size_t count = 1 + rng_below(&w->rng, 3);
	struct order order;

	world_order(w, &order);
	assert_int_equal(store_begin(b->store), 0);
	assert_int_equal(store_clear_pending(b->store), 0);
	for (size_t i = 0; i < count; i++) {
		size_t number = world_next_tx(w, &order);

		if (number == TXS)
			break;
		order.tx[order.count++] = number;
		apply(b, REGISTRY_PENDING, (uint32_t)i, number);
		model_apply(&w->model, REGISTRY_PENDING, (uint32_t)i, &w->txs[number]);
	}
	assert_int_equal(store_commit(b->store), 0);
	world_remember(w, &w->model);
	world_read_model(w, &w->model, w->height);
	assert_int_equal(registry_undo(w->registry, w->height), 0);
}

static void reorganise(struct bench *b)
{
	struct world *w = &b->w;

	w->height -= world_depth(w);
	assert_int_equal(store_begin(b->store), 0);
	assert_int_equal(store_undo(b->store, w->height), 0);
	assert_int_equal(store_commit(b->store), 0);
	assert_int_equal(registry_undo(w->registry, w->height), 0);
	world_read_model(w, &w->model, w->height);
}

static void restart(struct bench *b)
{
	new_registry(b);
	assert_int_equal(store_load(b->store, b->w.registry), 0);
}

static int take_row(void *arg, const struct record_row *row)
{
	struct bench *b = arg;

	assert_true(b->row_count < ROWS);
	b->rows[b->row_count++] = *row;
	return 0;
}

static int take_revocation(void *arg, const struct chaindb_revocation *r)
{
	struct world *w = &((struct bench *)arg)->w;
	struct netmap_revocation *to = &w->revocations[w->revocation_count++];

	assert_true(w->revocation_count < ROWS);
	*to = (struct netmap_revocation){.object = r->object,
					 .type = r->type,
					 .subject_len = r->subject_len,
					 .sequence = r->sequence,
					 .position = r->position,
					 .txid = r->txid};
	memcpy(to->subject, r->subject, sizeof(to->subject));
	return 0;
}

static void compare(struct bench *b)
{
	struct world *w = &b->w;
	uint32_t confirm = world_confirm(w);
	struct object_id id;

	for (size_t i = 0; i < w->model.object_count; i++) {
		if (w->model.objects[i].kind != OBJECT_DNET)
			continue;
		memcpy(id.bytes, w->model.objects[i].id, OBJECT_ID_LEN);
		b->row_count = w->revocation_count = 0;
		assert_int_equal(chaindb_visit_dnet(b->db, &id, take_row, b), 0);
		assert_int_equal(chaindb_visit_revocations(b->db, &id, take_revocation, b), 0);
		world_compare_map(w, &w->model.objects[i], confirm, b->rows, b->row_count,
				  w->revocations);
	}
}

static void one_history(struct bench *b, uint64_t seed)
{
	size_t steps;

	memset(b, 0, sizeof(*b));
	b->w.seed = seed;
	b->w.rng = (struct rng){seed};
	begin(b);
	steps = 4 + rng_below(&b->w.rng, 30);
	for (size_t i = 0; i < steps; i++) {
		if (world_chance(&b->w, 10) && b->w.height)
			reorganise(b);
		else if (world_chance(&b->w, 25))
			look_at_mempool(b);
		else if (world_chance(&b->w, 6))
			restart(b);
		else
			mine(b);
		compare(b);
	}
	end(b);
}

static void chain_db_holds_what_the_document_says(void **state)
{
	struct rng first = rng_new("store_random");
	const char *text = getenv("DNET_HISTORIES");
	unsigned long count = text ? strtoul(text, NULL, 0) : HISTORIES;
	struct bench *b = malloc(sizeof(*b));

	assert_non_null(b);
	for (unsigned long i = 0; i < count; i++)
		one_history(b, first.state + i);
	free(b);
	printf("# %lu histories: %lu nodes and %lu helpers compared\n", count, world_total.nodes,
	       world_total.helpers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chain_db_holds_what_the_document_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
