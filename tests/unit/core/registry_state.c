#include "fixture/registry_world.h"

#include "fixture/rng.h"

/* All that is live, in an order that does not depend on how it came to be. */
static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *dump(const struct registry *registry)
{
	struct hashtable_walk objects = {.bucket = 0}, seals = objects, rows = objects;
	char *lines[512], *text = calloc(1, 512 * 80);
	const struct object *object;
	const struct seal *seal;
	const struct row *row;
	size_t count = 0;

	while ((object = (struct object *)hashtable_next(&registry->objects, &objects)))
		assert_true(asprintf(&lines[count++], "o %08x %u\n", load_u32(object->id.bytes),
				     object->from_height) > 0);
	while ((seal = (struct seal *)hashtable_next(&registry->seals, &seals)))
		assert_true(asprintf(&lines[count++], "s %08x %u %u\n",
				     load_u32(seal->outpoint.txid.bytes), seal->sequence,
				     seal->from_height) > 0);
	while ((row = (struct row *)hashtable_next(&registry->rows, &rows))) {
		assert_true(asprintf(&lines[count++], "r %08x %02x %02x %u %u\n",
				     load_u32(row->object->id.bytes), row->type,
				     row->len ? row->bytes[row->len - 1] : 0, row->roster_sequence,
				     row->from_height) > 0);
		assert_int_equal(row->to_height, REGISTRY_LIVE);
	}
	assert_true(count < 512);
	qsort(lines, count, sizeof(lines[0]), compare_lines);
	for (size_t i = 0; i < count; i++) {
		strcat(text, lines[i]);
		free(lines[i]);
	}
	return text;
}

static struct rng chance;

static uint32_t rng(uint32_t bound)
{
	return (uint32_t)rng_below(&chance, bound);
}

enum { OBJECTS = 4, BLOCKS = 60 };

/* One random transaction; seals[] are the objects' newest ones, vout UINT32_MAX: none. */
static void random_tx(struct world *w, uint32_t height, struct outpoint seals[OBJECTS])
{
	struct record put = node_record((uint8_t)rng(6), "n"),
		      del = node_del_record((uint8_t)rng(6));
	struct record roster = roster_record(rng(50)), close = bare_record(RECORD_CLOSE);
	struct outpoint *seal = &seals[rng(OBJECTS)];
	struct made m;

	if (seal->vout == UINT32_MAX) {
		*seal = make_dnet(w, height, "random");
	} else if (rng(12) == 0) {
		write_records(w, height, *seal, &close, NULL);
		seal->vout = UINT32_MAX;
	} else if (rng(12) == 0) {
		begin_tx(&m, seal, 1);
		add_output(&m, owner_script, sizeof(owner_script));
		end_tx(&m);
		assert_int_equal(apply(w, height, &m), 0);
		seal->vout = UINT32_MAX;
	} else if (rng(3) == 0) {
		*seal = write_records(w, height, *seal, &roster, NULL);
	} else {
		*seal = write_records(w, height, *seal, rng(2) ? &put : &del, NULL);
	}
}

static void random_block(struct world *w, uint32_t height, struct outpoint seals[OBJECTS])
{
	for (uint32_t n = rng(5); n > 0; n--)
		random_tx(w, height, seals);
}

static void undo_brings_back_every_earlier_state(void **state)
{
	struct outpoint seals[BLOCKS + 1][OBJECTS];
	struct world *w = *state;
	char *states[BLOCKS + 1], *now;
	uint32_t height = 0;

	chance = rng_new("undo");
	memset(seals, 0xff, sizeof(seals));
	states[0] = dump(w->registry);
	for (int round = 0; round < 40; round++) {
		uint32_t to = height + 1 + rng(BLOCKS + 1 - height);

		while (height < to && height < BLOCKS) {
			height++;
			memcpy(seals[height], seals[height - 1], sizeof(seals[0]));
			random_block(w, height, seals[height]);
			states[height] = dump(w->registry);
		}
		to = rng(height + 1);
		registry_undo(w->registry, to);
		now = dump(w->registry);
		assert_string_equal(now, states[to]);
		free(now);
		while (height > to)
			free(states[height--]);
	}
	while (height > 0)
		free(states[height--]);
	free(states[0]);
}

static void what_is_pending_leaves_no_trace(void **state)
{
	struct record put = node_record(1, "a"), del = node_del_record(1);
	struct record close = bare_record(RECORD_CLOSE);
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office"), pending;
	char *before = dump(w->registry), *after;

	pending = write_records(w, REGISTRY_PENDING, seal, &put, NULL);
	pending = write_records(w, REGISTRY_PENDING, pending, &del, NULL);
	assert_string_equal(w->trace, "spent1 gone:NODE_PUT revoke:NODE_DEL@2.0 seal2:1 ");
	write_records(w, REGISTRY_PENDING, pending, &close, NULL);
	make_dnet(w, REGISTRY_PENDING, "new");
	registry_undo(w->registry, 5);
	after = dump(w->registry);
	assert_string_equal(after, before);
	free(before);
	free(after);
	write_records(w, 6, seal, &put, NULL);
	assert_string_equal(w->trace, "spent0 put:NODE_PUT seal1:1 ");
}

static void what_is_pruned_cannot_be_undone_and_the_rest_can(void **state)
{
	struct record put = node_record(1, "a");
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 1, "office");
	char *at3, *again;

	seal = write_records(w, 2, seal, &put, NULL);
	seal = write_records(w, 3, seal, &put, NULL);
	at3 = dump(w->registry);
	write_records(w, 4, seal, &put, NULL);
	registry_prune(w->registry, 3);
	registry_undo(w->registry, 3);
	again = dump(w->registry);
	assert_string_equal(again, at3);
	free(at3);
	free(again);
}

static void a_loaded_registry_goes_on_as_the_one_that_was_saved(void **state)
{
	struct record put = node_record(1, "a"), del = node_del_record(1);
	struct world *w = *state, other = {.next_coin = 500};
	struct object_id id;
	struct registry_seal live = {.kind = OBJECT_DNET, .sequence = 1, .ref = REF_OF(1)},
			     old = live;
	struct record_row row = {.record = put, .from_height = 6, .to_height = REGISTRY_LIVE};
	struct outpoint seal = make_dnet(w, 5, "office");
	char *ours, *theirs;

	id = w->last;
	old.outpoint = seal;
	old.sequence = 0;
	old.ref = REF_OF(0);
	old.object = live.object = row.object = id;
	live.outpoint = write_records(w, 6, seal, &put, NULL);
	assert_int_equal(registry_new(OP_NODE, test_seed, &other.registry), 0);
	assert_int_equal(registry_load_object(other.registry, OBJECT_DNET, &id, 5, REGISTRY_LIVE),
			 0);
	assert_int_equal(registry_load_object(other.registry, OBJECT_DNET, &id, 5, REGISTRY_LIVE),
			 -EINVAL);
	assert_int_equal(registry_load_seal(other.registry, &old, 5, 6), 0);
	assert_int_equal(registry_load_seal(other.registry, &live, 6, REGISTRY_LIVE), 0);
	assert_int_equal(registry_load_seal(other.registry, &live, 6, REGISTRY_LIVE), -EINVAL);
	assert_int_equal(registry_load_row(other.registry, &row, REF_OF(RECORD_NODE_PUT)), 0);
	assert_int_equal(registry_load_row(other.registry, &row, REF_OF(RECORD_NODE_PUT)), -EINVAL);
	row.object.bytes[0] ^= 1;
	assert_int_equal(registry_load_row(other.registry, &row, REF_OF(RECORD_NODE_PUT)), -EINVAL);
	for (uint32_t to = 6; to >= 5; to--) {
		registry_undo(w->registry, to);
		registry_undo(other.registry, to);
		ours = dump(w->registry);
		theirs = dump(other.registry);
		assert_string_equal(ours, theirs);
		free(ours);
		free(theirs);
	}
	write_records(&other, 6, seal, &del, NULL);
	assert_string_equal(other.trace, "spent0 refused36 seal1:1 ");
	registry_free(other.registry);
}

/* A short life with everything in it; the first failure ends it. */
static int life(struct world *w)
{
	struct registry_sink sink = sink_of(w);
	struct record records[] = {node_record(1, "a"), roster_record(1), node_del_record(1),
				   bare_record(RECORD_CLOSE)};
	struct record create = dnet_record("l");
	struct outpoint spend = coin(w);
	uint8_t payload[PAYLOAD_MAX];
	struct writer writer;
	struct made m;
	int result = 0;

	for (size_t i = 0; !result && i <= 4; i++) {
		payload_begin(&writer, payload);
		record_write(&writer, i ? &records[i - 1] : &create);
		begin_tx(&m, &spend, 1);
		add_payload(&m, payload, payload_finish(&writer));
		add_output(&m, owner_script, sizeof(owner_script));
		end_tx(&m);
		result = registry_apply_tx(w->registry, (uint32_t)i + 1, 1, &m.view, &sink);
		spend = (struct outpoint){.txid = m.txid, .vout = 1};
	}
	return result;
}

static void each_allocation_may_fail_and_is_reported(void **state)
{
	struct world *w = *state;
	size_t needed, spared = 0;

	allocations = 0;
	assert_int_equal(life(w), 0);
	needed = allocations;
	assert_true(needed > 8);
	for (size_t i = 0; i < needed; i++) {
		struct world fresh = {.next_coin = 0};
		int made;

		allocations = 0;
		fail_at = i;
		made = registry_new(OP_NODE, test_seed, &fresh.registry);
		if (made == 0) {
			int result = life(&fresh);

			/* without buckets, or bits that tell seals apart, it is only slower */
			spared += result == 0;
			assert_true(result == 0 || result == -ENOMEM);
			/* and can be taken back, or says that it cannot */
			fail_at = SIZE_MAX;
			registry_undo(fresh.registry, 0);
			assert_int_equal(counts(&fresh).objects, 0);
			assert_int_equal(counts(&fresh).seals, 0);
			assert_int_equal(counts(&fresh).rows, 0);
			registry_free(fresh.registry);
		} else {
			assert_int_equal(made, -ENOMEM);
		}
	}
	assert_in_range(spared, 1, 7);
}

static void what_the_sink_says_ends_the_transaction(void **state)
{
	struct world *w = *state;

	for (int at = 1; at < 30; at++) {
		struct world fresh = {.sink_fails = at};
		int result;

		assert_int_equal(registry_new(OP_NODE, test_seed, &fresh.registry), 0);
		result = life(&fresh);
		assert_int_equal(result, fresh.sink_fails == 0 ? -EIO : 0);
		registry_undo(fresh.registry, 0);
		assert_int_equal(counts(&fresh).objects, 0);
		registry_free(fresh.registry);
	}
	(void)w;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(undo_brings_back_every_earlier_state),
		TEST(what_is_pending_leaves_no_trace),
		TEST(what_is_pruned_cannot_be_undone_and_the_rest_can),
		TEST(a_loaded_registry_goes_on_as_the_one_that_was_saved),
		TEST(each_allocation_may_fail_and_is_reported),
		TEST(what_the_sink_says_ends_the_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
