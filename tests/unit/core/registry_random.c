#include "fixture/owner_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Random histories of several owners, with everything that others may try, read by registry and
 * netmap and by the model that was written from the document: the same after each block, each
 * reorganisation, each look at the mempool and each restart. DNET_HISTORIES says how many. A
 * history of its own: DNET_TEST_SEED as it was printed, DNET_HISTORIES=1. */

enum { HISTORIES = 2000 };

/* ---- The sink ---- */

static int on_object(void *arg, const struct registry_place *place, const struct record_row *row)
{
	struct world *w = arg;

	if (place->height != REGISTRY_PENDING) {
		assert_true(w->object_count < SEALS);
		w->objects[w->object_count++] = *row;
	}
	return 0;
}

static int on_object_end(void *arg, const struct registry_place *place, enum object_kind kind,
			 const struct object_id *object)
{
	struct world *w = arg;

	if (place->height == REGISTRY_PENDING)
		return 0;
	for (size_t i = 0; i < w->object_count; i++)
		if (object_id_equal(&w->objects[i].object, object) &&
		    w->objects[i].to_height == REGISTRY_LIVE)
			w->objects[i].to_height = place->height;
	for (size_t i = 0; i < w->row_count; i++)
		if (object_id_equal(&w->rows[i].object, object) &&
		    w->rows[i].to_height == REGISTRY_LIVE)
			w->rows[i].to_height = place->height;
	return 0;
}

static int on_seal(void *arg, const struct registry_place *place, const struct registry_seal *seal,
		   uint64_t *ref)
{
	struct world *w = arg;

	if (place->height == REGISTRY_PENDING)
		return 0;
	assert_true(w->seal_count < SEALS);
	w->seals[w->seal_count++] =
		(struct known_seal){seal->outpoint, seal->object,  seal->kind, seal->sequence,
				    place->height,  REGISTRY_LIVE, place->txid};
	return 0;
}

static int on_seal_spent(void *arg, const struct registry_place *place,
			 const struct registry_seal *seal)
{
	struct world *w = arg;

	for (size_t i = 0; place->height != REGISTRY_PENDING && i < w->seal_count; i++)
		if (outpoint_equal(&w->seals[i].outpoint, &seal->outpoint))
			w->seals[i].to = place->height;
	return 0;
}

static int on_row(void *arg, const struct registry_place *place, const struct record_row *row,
		  uint64_t *ref)
{
	struct world *w = arg;

	if (place->height != REGISTRY_PENDING) {
		assert_true(w->row_count < ROWS);
		w->rows[w->row_count++] = *row;
	}
	return 0;
}

static int on_row_end(void *arg, const struct registry_place *place,
		      const struct registry_row_end *end)
{
	struct world *w = arg;
	uint8_t have[RECORD_KEY_MAX];
	size_t ended = 0;

	if (place->height == REGISTRY_PENDING)
		return 0;
	for (size_t i = 0; i < w->row_count; i++) {
		struct record_row *r = &w->rows[i];

		if (r->record.type != end->type || r->to_height != REGISTRY_LIVE ||
		    !object_id_equal(&r->object, end->object) ||
		    record_key(&r->record, have) != end->key_len ||
		    memcmp(have, end->key, end->key_len) != 0)
			continue;
		r->to_height = place->height;
		ended++;
	}
	assert_int_equal(ended, 1);
	return 0;
}

static int on_event(void *arg, const struct registry_place *place,
		    const struct registry_event *event)
{
	return 0;
}

static int on_revocation(void *arg, const struct registry_place *place,
			 const struct registry_revocation *revocation)
{
	struct world *w = arg;
	struct netmap_revocation r = {.object = revocation->object,
				      .type = revocation->type,
				      .subject_len = revocation->key_len,
				      .sequence = revocation->sequence,
				      .txid = place->txid};

	memcpy(r.subject, revocation->key, revocation->key_len);
	r.position = netmap_position(revocation->out_index, revocation->pos);
	for (size_t i = 0; i < w->revocation_count; i++)
		if (memcmp(&w->revocations[i], &r, sizeof(r)) == 0)
			return 0;
	assert_true(w->revocation_count < ROWS);
	w->revocations[w->revocation_count++] = r;
	return 0;
}

static void undo_tables(struct world *w, uint32_t height)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->object_count; i++)
		if (w->objects[i].from_height <= height)
			w->objects[kept++] = w->objects[i];
	w->object_count = kept;
	kept = 0;
	for (size_t i = 0; i < w->row_count; i++)
		if (w->rows[i].from_height <= height)
			w->rows[kept++] = w->rows[i];
	w->row_count = kept;
	kept = 0;
	for (size_t i = 0; i < w->seal_count; i++)
		if (w->seals[i].from <= height)
			w->seals[kept++] = w->seals[i];
	w->seal_count = kept;
	for (size_t i = 0; i < w->object_count; i++)
		if (w->objects[i].to_height > height)
			w->objects[i].to_height = REGISTRY_LIVE;
	for (size_t i = 0; i < w->row_count; i++)
		if (w->rows[i].to_height > height)
			w->rows[i].to_height = REGISTRY_LIVE;
	for (size_t i = 0; i < w->seal_count; i++)
		if (w->seals[i].to > height)
			w->seals[i].to = REGISTRY_LIVE;
}

/* ---- A restart ---- */

static void new_registry(struct world *w)
{
	uint8_t seed[16];

	rng_fill(&w->rng, seed, sizeof(seed));
	registry_free(w->registry);
	assert_int_equal(registry_new(MODEL_OP_NODE, seed, &w->registry), 0);
}

static void load(struct world *w, bool live)
{
	for (size_t i = 0; i < w->object_count; i++) {
		const struct record_row *o = &w->objects[i];

		if ((o->to_height == REGISTRY_LIVE) == live)
			assert_int_equal(registry_load_object(w->registry, o->kind, &o->object,
							      o->from_height, o->to_height),
					 0);
	}
}

static void load_seals(struct world *w, bool live)
{
	for (size_t i = 0; i < w->seal_count; i++) {
		const struct known_seal *s = &w->seals[i];
		struct registry_seal seal = {.outpoint = s->outpoint,
					     .object = s->object,
					     .kind = s->kind,
					     .sequence = s->sequence};

		if ((s->to == REGISTRY_LIVE) == live)
			assert_int_equal(registry_load_seal(w->registry, &seal, s->from, s->to), 0);
	}
}

static void load_rows(struct world *w, bool live)
{
	for (size_t i = 0; i < w->row_count; i++)
		if ((w->rows[i].to_height == REGISTRY_LIVE) == live)
			assert_int_equal(registry_load_row(w->registry, &w->rows[i], 0), 0);
}

static void restart(struct world *w)
{
	new_registry(w);
	load(w, false);
	load(w, true);
	load_seals(w, false);
	load_seals(w, true);
	load_rows(w, false);
	load_rows(w, true);
}

/* ---- The chain ---- */

static void apply(struct world *w, uint32_t height, uint32_t index, size_t number)
{
	const struct registry_sink sink = {w,	       on_object,     on_object_end,
					   on_seal,    on_seal_spent, on_row,
					   on_row_end, on_event,      on_revocation};
	uint8_t raw[RAW_MAX];
	struct tx_view view;

	world_view_tx(&w->txs[number], raw, &view);
	assert_int_equal(registry_apply_tx(w->registry, height, index, &view, &sink), 0);
}

static void mine(struct world *w)
{
	size_t want = 1 + rng_below(&w->rng, BLOCK_TXS - 1), number;
	struct order order;
	uint32_t b = w->height;

	world_order(w, &order);
	w->blocks[b].count = 0;
	w->height++;
	for (size_t i = 0; i < want; i++) {
		if (i == 0 && world_chance(w, 5) && world_make_tx(w, true) &&
		    world_can_mine(w, &order, w->tx_count - 1))
			number = w->tx_count - 1;
		else
			number = world_next_tx(w, &order);
		if (number == TXS)
			continue;
		order.tx[order.count++] = number;
		apply(w, w->height, (uint32_t)w->blocks[b].count, number);
		w->blocks[b].tx[w->blocks[b].count++] = number;
		/* So that the next one may spend what this one made. */
		world_read_model(w, &w->model, w->height);
	}
	world_read_model(w, &w->model, w->height);
	world_remember(w, &w->model);
}

static void look_at_mempool(struct world *w)
{
	size_t count = 1 + rng_below(&w->rng, 3);
	struct order order;

	world_order(w, &order);
	for (size_t i = 0; i < count; i++) {
		size_t number = world_next_tx(w, &order);

		if (number == TXS)
			break;
		order.tx[order.count++] = number;
		apply(w, REGISTRY_PENDING, (uint32_t)i, number);
		model_apply(&w->model, REGISTRY_PENDING, (uint32_t)i, &w->txs[number]);
	}
	world_remember(w, &w->model);
	world_read_model(w, &w->model, w->height);
	registry_undo(w->registry, w->height);
}

static void reorganise(struct world *w)
{
	w->height -= world_depth(w);
	registry_undo(w->registry, w->height);
	undo_tables(w, w->height);
	world_read_model(w, &w->model, w->height);
}

/* ---- Histories ---- */

static void count_history(const struct world *w)
{
	const struct model_view view = {.seen = w->seen, .seen_count = w->seen_count};

	world_total.transactions += w->tx_count;
	world_total.blocks += w->height;
	world_total.objects += w->model.object_count;
	world_total.revocations += w->seen_count;
	for (size_t i = 0; i < w->model.row_count; i++) {
		const struct model_row *r = &w->model.rows[i];

		world_total.rows++;
		world_total.ended += r->to != UINT32_MAX;
		world_total.hidden += r->to == UINT32_MAX && model_hidden(&view, r);
	}
}

static void one_history(struct world *w, uint64_t seed)
{
	size_t steps, tall;

	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->rng = (struct rng){seed};
	new_registry(w);
	/* Some begin with many blocks, for branches of 30. */
	tall = world_chance(w, 8) ? 31 : 0;
	steps = tall + 4 + rng_below(&w->rng, 30);
	for (size_t i = 0; i < steps; i++) {
		if (i < tall)
			mine(w);
		else if (w->height == BLOCKS || (world_chance(w, tall ? 30 : 10) && w->height))
			reorganise(w);
		else if (world_chance(w, 25))
			look_at_mempool(w);
		else if (world_chance(w, 6))
			restart(w), world_total.restarts++;
		else
			mine(w);
		world_compare(w);
	}
	count_history(w);
	registry_free(w->registry);
	w->registry = NULL;
}

static void random_histories_are_read_as_the_document_says(void **state)
{
	struct rng first = rng_new("random_histories");
	const char *text = getenv("DNET_HISTORIES");
	unsigned long count = text ? strtoul(text, NULL, 0) : HISTORIES;
	struct world *w = malloc(sizeof(*w));
	uint64_t seed = first.state;

	(void)state;
	assert_non_null(w);
	for (unsigned long i = 0; i < count; i++, seed++)
		one_history(w, seed);
	free(w);
	printf("# %lu histories: %lu transactions, %lu blocks in the end and %lu undone, by up to "
	       "%u; "
	       "%lu objects, %lu records of which %lu ended, %lu live but revoked; %lu "
	       "revocations, "
	       "%lu restarts; compared: %lu nodes, of %lu something is withheld, %lu helpers; %lu "
	       "links without a grant, %lu with one that expired\n",
	       count, world_total.transactions, world_total.blocks, world_total.undone_blocks,
	       world_total.deepest, world_total.objects, world_total.rows, world_total.ended,
	       world_total.hidden, world_total.revocations, world_total.restarts, world_total.nodes,
	       world_total.withheld, world_total.helpers, world_total.without_grant,
	       world_total.expired);
	/* That there was something to compare. */
	assert_true(count < 100 ||
		    (world_total.nodes > count && world_total.helpers > count / 2 &&
		     world_total.hidden > count / 10 && world_total.withheld > count / 10 &&
		     world_total.without_grant > count / 2 && world_total.expired > count / 10));
	/* At 30, one run of a hundred or so would have none. */
	assert_true(count < 1000 || world_total.deepest >= 25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_histories_are_read_as_the_document_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
