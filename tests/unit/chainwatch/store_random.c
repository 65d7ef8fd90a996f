#include "fixture/owner_world.h"

#include "chainwatch/store.h"
#include "fixture/temp.h"
#include "os/base.h"
#include "os/chaindb.h"
#include "os/log.h"
#include "service/inputcopy.h"
#include "service/lastgood.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The random histories of tests/unit/core/registry_random.c through chain.db: what os/chaindb reads
 * of what the store wrote gives the map that the model gives, and so do its views, and so does the
 * last known state of a daemon that reads it, is restarted, and reads a chain.db made anew.
 * DNET_HISTORIES and DNET_TEST_SEED as there. */

enum { HISTORIES = 100, KEEP = BLOCKS + 1, FOLLOWERS = 64 };

/* A daemon's last known state of one dnet, and all revocations that it was ever told. */
struct follower {
	struct lastgood last;
	struct netmap_revocation told[ROWS];
	size_t told_count;
};

struct bench {
	struct world w;
	struct temp folder;
	struct store *store;
	struct chaindb *db;
	sqlite3 *views;
	struct record_row rows[ROWS];
	size_t row_count;
	struct temp state; /* of the daemon that reads */
	struct follower *followers[FOLLOWERS];
	size_t follower_count;
	bool rebuilt;
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
	assert_int_equal(chaindb_open(path, CHAINDB_WAIT_MS, &b->db, db_error), 0);
	assert_int_equal(sqlite3_open_v2(path, &b->views, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	new_registry(b);
}

static void end(struct bench *b)
{
	registry_free(b->w.registry);
	b->w.registry = NULL;
	chaindb_close(b->db);
	sqlite3_close(b->views);
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
	registry_undo(w->registry, w->height);
}

static void reorganise(struct bench *b)
{
	struct world *w = &b->w;

	w->height -= world_depth(w);
	assert_int_equal(store_begin(b->store), 0);
	assert_int_equal(store_undo(b->store, w->height), 0);
	assert_int_equal(store_commit(b->store), 0);
	registry_undo(w->registry, w->height);
	world_read_model(w, &w->model, w->height);
}

static void restart(struct bench *b)
{
	new_registry(b);
	assert_int_equal(store_load(b->store, b->w.registry), 0);
}

/* chain.db is made anew: what was seen in the mempool or in other branches only is forgotten. */
static void rebuild(struct bench *b)
{
	struct world *w = &b->w;

	end(b);
	begin(b);
	for (uint32_t at = 0; at < w->height; at++) {
		struct store_tip block = block_at(at + 1);

		assert_int_equal(store_begin(b->store), 0);
		assert_int_equal(store_add_block(b->store, &block), 0);
		for (size_t i = 0; i < w->blocks[at].count; i++)
			apply(b, at + 1, (uint32_t)i, w->blocks[at].tx[i]);
		assert_int_equal(store_commit(b->store), 0);
	}
	w->seen_count = 0;
	world_remember(w, &w->model);
	b->rebuilt = true;
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

/* ---- The views, at depth 1 ---- */

/* Rows of a view of this object, with that text in the other column; "": all. */
static int64_t count_view(struct bench *b, const char *view, const char *owner,
			  const struct object_id *id, enum object_kind kind, const char *column,
			  const char *text)
{
	char sql[256], owner_text[OBJECT_ID_TEXT_SIZE];
	sqlite3_stmt *statement;
	int64_t count;

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s WHERE %s = ?1 AND ?2 IN ('', %s)", view,
		 owner, column);
	object_id_format(kind, id, owner_text);
	assert_int_equal(sqlite3_prepare_v2(b->views, sql, -1, &statement, NULL), SQLITE_OK);
	sqlite3_bind_text(statement, 1, owner_text, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, text, -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	count = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return count;
}

static void same_count(struct bench *b, const char *view, int64_t have, size_t want)
{
	if (have == (int64_t)want)
		return;
	printf("# DNET_TEST_SEED=%llu DNET_HISTORIES=1\n", (unsigned long long)b->w.seed);
	fail_msg("%s at height %u: %lld rows, the model has %zu", view, b->w.height,
		 (long long)have, want);
}

static void compare_helper(struct bench *b, const struct object_id *dnet,
			   const struct model_helper *h)
{
	char text[OBJECT_ID_TEXT_SIZE];
	struct object_id id;

	memcpy(id.bytes, h->link->body + 1, OBJECT_ID_LEN);
	object_id_format(h->link->body[0], &id, text);
	same_count(b, "helper_in_use",
		   count_view(b, "helper_in_use", "dnet", dnet, OBJECT_DNET, "helper", text), 1);
	same_count(b, "endpoint_in_force",
		   count_view(b, "endpoint_in_force", "helper", &id, h->link->body[0], "''", ""),
		   h->endpoint_count);
}

static void compare_views(struct bench *b, const struct model_object *o)
{
	struct world *w = &b->w;
	const struct model_view view = {.chain = &w->model,
					.seen = w->seen,
					.seen_count = w->seen_count,
					.tip = w->height,
					.confirm = 1};
	const struct model_row *create, *transfer;
	char key[2 * PUBKEY_LEN + 1] = "";
	struct object_id id;

	memcpy(id.bytes, o->id, OBJECT_ID_LEN);
	model_read_map(&view, o->id, &w->map);
	create = w->map.create;
	transfer = create ? w->map.transfer : NULL;
	if (create)
		hex_format(transfer ? transfer->body : create->body, XONLY_LEN, key);
	same_count(b, "dnet_in_force",
		   count_view(b, "dnet_in_force", "id", &id, OBJECT_DNET, "admin_key", key),
		   create != NULL);
	same_count(b, "node_in_force",
		   count_view(b, "node_in_force", "dnet", &id, OBJECT_DNET, "''", ""),
		   w->map.node_count);
	for (size_t i = 0; i < w->map.node_count; i++) {
		hex_format(w->map.nodes[i].put->body, PUBKEY_LEN, key);
		same_count(b, "node_in_force",
			   count_view(b, "node_in_force", "dnet", &id, OBJECT_DNET, "key", key), 1);
	}
	same_count(b, "roster_in_force",
		   count_view(b, "roster_in_force", "dnet", &id, OBJECT_DNET, "''", ""),
		   create && w->map.roster);
	same_count(b, "helper_in_use",
		   count_view(b, "helper_in_use", "dnet", &id, OBJECT_DNET, "''", ""),
		   w->map.helper_count);
	for (size_t i = 0; i < w->map.helper_count; i++)
		compare_helper(b, &id, &w->map.helpers[i]);
}

/* ---- The last known state ---- */

static struct follower *follower_of(struct bench *b, const struct object_id *id)
{
	struct follower *r;

	for (size_t i = 0; i < b->follower_count; i++) {
		if (object_id_equal(&b->followers[i]->last.id, id))
			return b->followers[i];
	}
	assert_true(b->follower_count < FOLLOWERS);
	r = b->followers[b->follower_count++] = xcalloc(1, sizeof(*r));
	lastgood_init(&r->last, id, b->state.path);
	lastgood_load(&r->last);
	return r;
}

/* Where it was mined changes; what it revokes does not. */
static bool same_revocation(const struct netmap_revocation *a, const struct netmap_revocation *b)
{
	return object_id_equal(&a->object, &b->object) && a->type == b->type &&
	       a->sequence == b->sequence && a->subject_len == b->subject_len &&
	       !memcmp(a->subject, b->subject, a->subject_len) &&
	       !memcmp(&a->txid, &b->txid, sizeof(a->txid));
}

static bool was_told(const struct netmap_revocation *list, size_t count,
		     const struct netmap_revocation *r)
{
	for (size_t i = 0; i < count; i++) {
		if (same_revocation(&list[i], r))
			return true;
	}
	return false;
}

static void tell(struct bench *b, struct follower *r, uint32_t confirm)
{
	struct world *w = &b->w;
	struct netmap_input input = {.id = r->last.id,
				     .row_count = b->row_count,
				     .revocation_count = w->revocation_count,
				     .tip_height = w->height,
				     .confirm = confirm};
	struct netmap_revocation *revocations = xcalloc(ROWS, sizeof(*revocations));
	struct record_row *rows = xcalloc(ROWS, sizeof(*rows));

	memcpy(rows, b->rows, b->row_count * sizeof(*rows));
	memcpy(revocations, w->revocations, w->revocation_count * sizeof(*revocations));
	input.rows = rows;
	input.revocations = revocations;
	for (size_t i = 0; i < w->revocation_count; i++) {
		if (!was_told(r->told, r->told_count, &revocations[i]))
			r->told[r->told_count++] = revocations[i];
	}
	lastgood_take(&r->last, &input);
}

static void restart_follower(struct follower *r)
{
	const struct object_id id = r->last.id;
	const char *folder = r->last.folder;

	r->last.rows_unsaved = true;
	lastgood_save(&r->last);
	lastgood_done(&r->last);
	lastgood_init(&r->last, &id, folder);
	lastgood_load(&r->last);
	assert_true(r->last.loaded);
}

/* Nothing that it was told is forgotten; and while chain.db itself forgot nothing, what it makes of
 * the newest one is what the model has. */
static void compare_last(struct bench *b, const struct model_object *o, uint32_t confirm)
{
	struct object_id id;
	struct follower *r;
	struct world *w = &b->w;
	size_t count = w->revocation_count;

	memcpy(id.bytes, o->id, sizeof(id.bytes));
	r = follower_of(b, &id);
	tell(b, r, confirm);
	if (world_chance(w, 5))
		restart_follower(r);
	for (size_t i = 0; i < r->told_count; i++)
		assert_true(was_told(r->last.input.revocations, r->last.input.revocation_count,
				     &r->told[i]));
	if (b->rebuilt || r->last.input.tip_height != w->height)
		return;
	w->revocation_count = r->last.input.revocation_count;
	world_compare_map(w, o, confirm, r->last.input.rows, r->last.input.row_count,
			  r->last.input.revocations);
	w->revocation_count = count;
}

static void end_followers(struct bench *b)
{
	for (size_t i = 0; i < b->follower_count; i++) {
		lastgood_done(&b->followers[i]->last);
		free(b->followers[i]);
	}
	temp_remove(&b->state);
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
		compare_views(b, &w->model.objects[i]);
		compare_last(b, &w->model.objects[i], confirm);
	}
}

static void one_history(struct bench *b, uint64_t seed)
{
	size_t steps;

	memset(b, 0, sizeof(*b));
	b->w.seed = seed;
	b->w.rng = (struct rng){seed};
	temp_make(&b->state);
	begin(b);
	steps = 4 + rng_below(&b->w.rng, 30);
	for (size_t i = 0; i < steps; i++) {
		if (world_chance(&b->w, 10) && b->w.height)
			reorganise(b);
		else if (world_chance(&b->w, 25))
			look_at_mempool(b);
		else if (world_chance(&b->w, 6))
			restart(b);
		else if (world_chance(&b->w, 2))
			rebuild(b);
		else
			mine(b);
		compare(b);
	}
	end(b);
	end_followers(b);
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
	log_set_level(LOG_LEVEL_WARN); /* a chain.db that is behind is said each time */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
