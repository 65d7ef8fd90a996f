#include "fixture/registry_world.h"

#include "chainwatch/store_private.h"
#include "fixture/temp.h"
#include "os/chaindb.h"
#include "wire/bech32.h"
#include "wire/tx.h"

#include <errno.h>
#include <sqlite3.h>

/* What the store writes and os/chaindb reads: the two sides of chain.db. */

enum { KEEP = 20 };

struct bench {
	struct world w;
	struct temp folder;
	char path[256];
	struct store *store;
	struct chaindb *db;
};

static struct store_config config_of(struct bench *b)
{
	return (struct store_config){.path = b->path,
				     .chain = "litecoin-regtest",
				     .genesis = {{1}},
				     .birth_height = 1,
				     .keep = KEEP};
}

static struct store_tip block_at(uint32_t height)
{
	struct store_tip tip = {.height = height, .time = 1000 + height};

	store_u32(tip.hash.bytes, height);
	return tip;
}

static void open_store(struct bench *b)
{
	struct store_config config = config_of(b);
	char error[STORE_ERROR_MAX] = "";
	int result = store_open(&config, &b->store, error);

	assert_string_equal(error, "");
	assert_int_equal(result, 0);
	b->w.sink = store_sink(b->store);
}

static void open_db(struct bench *b)
{
	char error[CHAINDB_ERROR_MAX] = "";
	int result = chaindb_open(b->path, CHAINDB_WAIT_MS, &b->db, error);

	assert_string_equal(error, "");
	assert_int_equal(result, 0);
}

static int begin(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct store_tip base = block_at(0);

	assert_non_null(b);
	temp_make(&b->folder);
	temp_file(&b->folder, "chain.db", b->path);
	assert_int_equal(registry_new(OP_NODE, test_seed, &b->w.registry), 0);
	open_store(b);
	open_db(b);
	assert_int_equal(store_set_base(b->store, &base), 0);
	*state = b;
	return 0;
}

static int end(void **state)
{
	struct bench *b = *state;

	registry_free(b->w.registry);
	chaindb_close(b->db);
	store_close(b->store);
	temp_remove(&b->folder);
	free(b);
	return 0;
}

static void begin_block(struct bench *b, uint32_t height)
{
	struct store_tip block = block_at(height);

	assert_int_equal(store_begin(b->store), 0);
	assert_int_equal(store_add_block(b->store, &block), 0);
}

static void commit(struct bench *b)
{
	assert_int_equal(store_commit(b->store), 0);
}

static void begin_mempool(struct bench *b)
{
	assert_int_equal(store_begin(b->store), 0);
	assert_int_equal(store_clear_pending(b->store), 0);
}

static void end_mempool(struct bench *b, uint32_t height)
{
	commit(b);
	registry_undo(b->w.registry, height);
}

static void undo(struct bench *b, uint32_t height)
{
	assert_int_equal(store_begin(b->store), 0);
	assert_int_equal(store_undo(b->store, height), 0);
	commit(b);
	registry_undo(b->w.registry, height);
}

static struct outpoint make_ovc(struct bench *b, uint32_t height, const char *name)
{
	struct record create = service_record(RECORD_OVC_CREATE, name);

	return write_records(&b->w, height, coin(&b->w), &create, NULL);
}

/* The id of the one object of that name. */
static struct object_id id_of(struct bench *b, enum object_kind kind, const char *name)
{
	struct chaindb_object object;

	assert_int_equal(chaindb_resolve(b->db, kind, name, &object), 0);
	return object.id;
}

static struct record link_record(const struct object_id *ovc)
{
	struct record r = {.type = RECORD_LINK};

	r.link.kind = OBJECT_OVC;
	r.link.id = *ovc;
	return r;
}

static struct record grant_record(const struct object_id *dnet)
{
	struct record r = {.type = RECORD_GRANT};

	r.grant.dnet = *dnet;
	r.grant.rate_kbit = 500;
	return r;
}

static struct record endpoint_record(uint16_t port)
{
	struct record r = {.type = RECORD_ENDPOINT_PUT};

	r.endpoint.transport = TRANSPORT_UDP;
	r.endpoint.port = port;
	r.endpoint.address = (struct address){.family = ADDR_V4, .bytes = {192, 0, 2, 1}};
	return r;
}

struct rows {
	char text[1024]; /* "NODE_PUT@3-9" an entry: type, from, to ("" when live) */
	size_t count;
};

static int on_visited(void *arg, const struct record_row *row)
{
	struct rows *rows = arg;
	size_t len = strlen(rows->text);

	rows->count++;
	snprintf(rows->text + len, sizeof(rows->text) - len, "%s@%u-",
		 record_type_name(row->record.type), row->from_height);
	len = strlen(rows->text);
	if (row->to_height != UINT32_MAX)
		snprintf(rows->text + len, sizeof(rows->text) - len, "%u ", row->to_height);
	else
		snprintf(rows->text + len, sizeof(rows->text) - len, " ");
	return 0;
}

static void a_dnet_is_read_with_its_helpers_in_order(void **state)
{
	struct record node = node_record(1, "a"), endpoint = endpoint_record(7000), grant, link;
	struct bench *b = *state;
	struct outpoint dnet, ovc, other;
	struct object_id dnet_id, ovc_id, none = {{9}};
	struct rows rows = {.count = 0};

	begin_block(b, 1);
	dnet = make_dnet(&b->w, 1, "office");
	ovc = make_ovc(b, 1, "meet");
	commit(b);
	dnet_id = id_of(b, OBJECT_DNET, "office");
	ovc_id = id_of(b, OBJECT_OVC, "meet");
	grant = grant_record(&dnet_id);
	link = link_record(&ovc_id);
	begin_block(b, 2);
	dnet = write_records(&b->w, 2, dnet, &node, NULL);
	ovc = write_records(&b->w, 2, ovc, &grant, &endpoint, NULL);
	commit(b);
	begin_block(b, 3);
	write_records(&b->w, 3, dnet, &link, NULL);
	/* of another dnet and another OVC: not ours */
	other = make_dnet(&b->w, 3, "other");
	write_records(&b->w, 3, other, &node, NULL);
	make_ovc(b, 3, "elsewhere");
	commit(b);
	assert_int_equal(chaindb_visit_dnet(b->db, &dnet_id, on_visited, &rows), 0);
	assert_string_equal(rows.text, "DNET_CREATE@1- OVC_CREATE@1- NODE_PUT@2- GRANT@2- "
				       "ENDPOINT_PUT@2- LINK@3- ");
	rows = (struct rows){.count = 0};
	assert_int_equal(chaindb_visit_grants(b->db, &ovc_id, on_visited, &rows), 0);
	assert_string_equal(rows.text, "GRANT@2- ");
	rows = (struct rows){.count = 0};
	assert_int_equal(chaindb_visit_object(b->db, &ovc_id, on_visited, &rows), 0);
	assert_string_equal(rows.text, "OVC_CREATE@1- GRANT@2- ENDPOINT_PUT@2- ");
	rows = (struct rows){.count = 0};
	assert_int_equal(chaindb_visit_dnet(b->db, &none, on_visited, &rows), 0);
	assert_int_equal(rows.count, 0);
}

static void ended_rows_are_read_as_long_as_depth_may_want_them(void **state)
{
	struct record node = node_record(1, "a"), again = node_record(1, "b");
	struct bench *b = *state;
	struct rows rows = {.count = 0};
	struct outpoint seal;
	struct object_id id;

	begin_block(b, 1);
	seal = make_dnet(&b->w, 1, "office");
	seal = write_records(&b->w, 1, seal, &node, NULL);
	commit(b);
	begin_block(b, 2);
	write_records(&b->w, 2, seal, &again, NULL);
	commit(b);
	id = id_of(b, OBJECT_DNET, "office");
	assert_int_equal(chaindb_visit_dnet(b->db, &id, on_visited, &rows), 0);
	assert_string_equal(rows.text, "DNET_CREATE@1- NODE_PUT@1-2 NODE_PUT@2- ");
	for (uint32_t height = 3; height <= CHAINDB_DEPTH_MAX + 1; height++) {
		begin_block(b, height);
		commit(b);
	}
	rows = (struct rows){.count = 0};
	assert_int_equal(chaindb_visit_dnet(b->db, &id, on_visited, &rows), 0);
	assert_string_equal(rows.text, "DNET_CREATE@1- NODE_PUT@1-2 NODE_PUT@2- ");
	begin_block(b, CHAINDB_DEPTH_MAX + 2);
	commit(b);
	rows = (struct rows){.count = 0};
	assert_int_equal(chaindb_visit_dnet(b->db, &id, on_visited, &rows), 0);
	assert_string_equal(rows.text, "DNET_CREATE@1- NODE_PUT@2- ");
}

static int on_revoked(void *arg, const struct chaindb_revocation *r)
{
	struct rows *rows = arg;
	size_t len = strlen(rows->text);

	rows->count++;
	snprintf(rows->text + len, sizeof(rows->text) - len, "%s/%u/%d/%u ",
		 record_type_name(r->type), r->sequence, (int)r->position, r->height);
	return 0;
}

static void revocations_stay_whatever_happens_to_their_transaction(void **state)
{
	struct record node = node_record(1, "a"), del = node_del_record(1);
	struct bench *b = *state;
	struct rows rows = {.count = 0};
	struct outpoint seal;
	struct object_id id;

	begin_block(b, 1);
	seal = make_dnet(&b->w, 1, "office");
	seal = write_records(&b->w, 1, seal, &node, NULL);
	commit(b);
	id = id_of(b, OBJECT_DNET, "office");
	/* in the mempool */
	begin_mempool(b);
	write_records(&b->w, REGISTRY_PENDING, seal, &del, NULL);
	end_mempool(b, 1);
	/* gone from it; another transaction of the same sequence is mined */
	begin_mempool(b);
	end_mempool(b, 1);
	assert_int_equal(chaindb_visit_revocations(b->db, &id, on_revoked, &rows), 0);
	assert_string_equal(rows.text, "NODE_DEL/2/0/0 ");
	begin_block(b, 2);
	write_records(&b->w, 2, seal, &node, NULL);
	commit(b);
	rows = (struct rows){.count = 0};
	assert_int_equal(chaindb_visit_revocations(b->db, &id, on_revoked, &rows), 0);
	assert_string_equal(rows.text, "NODE_DEL/2/-1/0 ");
	undo(b, 1);
	begin_block(b, 2);
	write_records(&b->w, 2, seal, &node, &del, NULL);
	commit(b);
	undo(b, 1);
	rows = (struct rows){.count = 0};
	assert_int_equal(chaindb_visit_object_revocations(b->db, &id, on_revoked, &rows), 0);
	assert_int_equal(rows.count, 2);
	assert_non_null(strstr(rows.text, "NODE_DEL/2/1/2 "));
}

static void the_newest_seal_is_found_also_in_the_mempool(void **state)
{
	struct record node = node_record(1, "a"), close = bare_record(RECORD_CLOSE);
	struct object_id unknown = {{7}}, id, owner;
	static struct chaindb_seal seal;
	struct bench *b = *state;
	struct outpoint mined, first, second;

	begin_block(b, 1);
	mined = make_dnet(&b->w, 1, "office");
	commit(b);
	id = id_of(b, OBJECT_DNET, "office");
	begin_mempool(b);
	first = write_records(&b->w, REGISTRY_PENDING, mined, &node, NULL);
	second = write_records(&b->w, REGISTRY_PENDING, first, &node, NULL);
	end_mempool(b, 1);
	assert_int_equal(chaindb_find_seal(b->db, &id, false, &seal), 0);
	assert_true(outpoint_equal(&seal.outpoint, &mined));
	assert_int_equal(seal.pending, 0);
	assert_int_equal(seal.height, 1);
	assert_int_equal(chaindb_find_seal(b->db, &id, true, &seal), 0);
	assert_true(outpoint_equal(&seal.outpoint, &second));
	assert_int_equal(seal.pending, 2);
	assert_int_equal(seal.sequence, 2);
	assert_int_equal(seal.value, 10000);
	assert_int_equal(seal.script_len, sizeof(owner_script));
	assert_int_equal(chaindb_find_seal_owner(b->db, &second, &owner), 0);
	assert_memory_equal(&owner, &id, sizeof(id));
	assert_int_equal(chaindb_find_seal_owner(b->db, &(struct outpoint){.vout = 3}, &owner),
			 -ENOENT);
	/* the second one closes it instead */
	begin_mempool(b);
	first = write_records(&b->w, REGISTRY_PENDING, mined, &close, NULL);
	end_mempool(b, 1);
	assert_int_equal(chaindb_find_seal(b->db, &id, true, &seal), -ENOLINK);
	assert_int_equal(chaindb_find_seal(b->db, &id, false, &seal), 0);
	assert_int_equal(chaindb_find_seal(b->db, &unknown, true, &seal), -ENOENT);
}

static void an_object_in_the_mempool_is_found(void **state)
{
	struct bench *b = *state;
	static struct chaindb_seal seal;
	struct chaindb_object object;

	begin_mempool(b);
	make_dnet(&b->w, REGISTRY_PENDING, "soon");
	end_mempool(b, 0);
	assert_int_equal(chaindb_resolve(b->db, OBJECT_DNET, "soon", &object), 0);
	assert_int_equal(object.from_height, 0);
	assert_int_equal(object.key_len, XONLY_LEN);
	assert_int_equal(chaindb_find_seal(b->db, &object.id, true, &seal), 0);
	assert_int_equal(seal.pending, 1);
	assert_int_equal(chaindb_find_seal(b->db, &object.id, false, &seal), -ENOLINK);
}

static int on_object_found(void *arg, const struct chaindb_object *object)
{
	struct rows *rows = arg;

	rows->count++;
	strcat(strcat(rows->text, object->name), " ");
	return 0;
}

static void a_text_means_one_object_or_says_which(void **state)
{
	struct record close = bare_record(RECORD_CLOSE);
	struct bench *b = *state;
	struct chaindb_object object;
	struct rows rows = {.count = 0};
	char id[OBJECT_ID_TEXT_SIZE];
	struct outpoint seal;

	begin_block(b, 1);
	make_dnet(&b->w, 1, "office");
	make_dnet(&b->w, 1, "twice");
	make_dnet(&b->w, 1, "twice");
	make_ovc(b, 1, "office");
	seal = make_dnet(&b->w, 1, "closed");
	commit(b);
	assert_int_equal(chaindb_resolve(b->db, 0, "office", &object), -ENOTUNIQ);
	assert_non_null(strstr(chaindb_error(b->db), "dnet1"));
	assert_non_null(strstr(chaindb_error(b->db), "ovc1"));
	assert_int_equal(chaindb_resolve(b->db, OBJECT_DNET, "twice", &object), -ENOTUNIQ);
	assert_int_equal(chaindb_resolve(b->db, OBJECT_OVC, "office", &object), 0);
	object_id_format(object.kind, &object.id, id);
	assert_int_equal(chaindb_resolve(b->db, 0, id, &object), 0);
	id[4 + 4] = '\0'; /* ovc1 and four more */
	assert_int_equal(chaindb_resolve(b->db, 0, id, &object), 0);
	id[4 + 3] = '\0';
	assert_int_equal(chaindb_resolve(b->db, 0, id, &object), -ENOENT);
	assert_int_equal(chaindb_resolve(b->db, 0, "", &object), -ENOENT);
	assert_int_equal(chaindb_resolve(b->db, 0, "offi", &object), -ENOENT);
	assert_int_equal(chaindb_search(b->db, OBJECT_DNET, "", on_object_found, &rows), 0);
	assert_int_equal(rows.count, 4);
	rows = (struct rows){.count = 0};
	assert_int_equal(chaindb_search(b->db, 0, "offi", on_object_found, &rows), 0);
	assert_int_equal(rows.count, 2);
	assert_int_equal(chaindb_resolve(b->db, 0, "closed", &object), 0);
	begin_block(b, 2);
	write_records(&b->w, 2, seal, &close, NULL);
	commit(b);
	assert_int_equal(chaindb_resolve(b->db, 0, "closed", &object), -ENOENT);
	assert_int_equal(chaindb_find_object(b->db, &object.id, &object), 0);
	assert_int_equal(object.to_height, 2);
}

static int on_event_seen(void *arg, const struct chaindb_event *event)
{
	struct rows *rows = arg;
	size_t len = strlen(rows->text);

	rows->count++;
	snprintf(rows->text + len, sizeof(rows->text) - len, "%u:%s%s ", event->height, event->type,
		 event->refused ? "!" : "");
	return 0;
}

static void history_is_what_was_seen_in_order(void **state)
{
	struct record node = node_record(1, "a"), del = node_del_record(2);
	struct bench *b = *state;
	struct rows rows = {.count = 0};
	struct hash256 unknown = {{1}};
	struct outpoint seal;
	struct object_id id;

	begin_block(b, 1);
	seal = make_dnet(&b->w, 1, "office");
	seal = write_records(&b->w, 1, seal, &node, &del, NULL);
	commit(b);
	begin_mempool(b);
	seal = write_records(&b->w, REGISTRY_PENDING, seal, &node, NULL);
	end_mempool(b, 1);
	id = id_of(b, OBJECT_DNET, "office");
	assert_int_equal(chaindb_visit_history(b->db, &id, on_event_seen, &rows), 0);
	assert_string_equal(rows.text, "1:DNET_CREATE 1:NODE_PUT 1:NODE_DEL! 0:NODE_PUT ");
	rows = (struct rows){.count = 0};
	assert_int_equal(chaindb_visit_transaction(b->db, &seal.txid, on_event_seen, &rows), 0);
	assert_string_equal(rows.text, "0:NODE_PUT ");
	assert_int_equal(chaindb_visit_transaction(b->db, &unknown, on_event_seen, &rows), -ENOENT);
}

static void the_tip_and_the_change_count_move(void **state)
{
	struct bench *b = *state;
	struct chaindb_tip first, second;

	assert_int_equal(chaindb_tip(b->db, &first), 0);
	assert_int_equal(first.height, 0);
	assert_string_equal(first.chain, "litecoin-regtest");
	begin_block(b, 1);
	commit(b);
	assert_int_equal(chaindb_tip(b->db, &second), 0);
	assert_int_equal(second.height, 1);
	assert_int_equal(second.time, 1001);
	assert_int_equal(second.change, first.change);
	begin_block(b, 2);
	make_dnet(&b->w, 2, "office");
	/* not before the commit, and one state between begin and end */
	assert_int_equal(chaindb_begin(b->db), 0);
	commit(b);
	assert_int_equal(chaindb_tip(b->db, &second), 0);
	assert_int_equal(second.height, 1);
	chaindb_end(b->db);
	assert_int_equal(chaindb_tip(b->db, &second), 0);
	assert_int_equal(second.height, 2);
	assert_true(second.change > first.change);
}

static void a_rolled_back_block_was_never_there(void **state)
{
	struct bench *b = *state;
	struct store_tip tip;
	struct chaindb_object object;

	begin_block(b, 1);
	make_dnet(&b->w, 1, "never");
	store_rollback(b->store);
	assert_true(store_tip(b->store, &tip));
	assert_int_equal(tip.height, 0);
	assert_int_equal(chaindb_resolve(b->db, 0, "never", &object), -ENOENT);
	registry_undo(b->w.registry, 0);
	begin_block(b, 1);
	commit(b);
}

static void headers_are_kept_as_many_as_wished(void **state)
{
	struct bench *b = *state;
	struct hash256 hash;
	uint32_t lowest;

	for (uint32_t height = 1; height <= KEEP + 1; height++) {
		begin_block(b, height);
		commit(b);
	}
	assert_int_equal(store_lowest(b->store, &lowest), 0);
	assert_int_equal(lowest, 1);
	assert_int_equal(store_hash_at(b->store, 0, &hash), -ENOENT);
	assert_int_equal(store_hash_at(b->store, 1, &hash), 0);
	assert_int_equal(load_u32(hash.bytes), 1);
}

static void a_registry_that_is_loaded_goes_on_and_can_undo(void **state)
{
	struct record node = node_record(1, "a"), close = bare_record(RECORD_CLOSE);
	struct registry_counts before, after;
	struct bench *b = *state;
	struct outpoint seal, other;

	begin_block(b, 1);
	seal = make_dnet(&b->w, 1, "office");
	other = make_dnet(&b->w, 1, "other");
	commit(b);
	begin_block(b, 2);
	seal = write_records(&b->w, 2, seal, &node, NULL);
	write_records(&b->w, 2, other, &node, &close, NULL);
	commit(b);
	before = counts(&b->w);
	registry_free(b->w.registry);
	store_close(b->store);
	open_store(b);
	assert_int_equal(registry_new(OP_NODE, test_seed, &b->w.registry), 0);
	assert_int_equal(store_load(b->store, b->w.registry), 0);
	after = counts(&b->w);
	assert_memory_equal(&before, &after, sizeof(before));
	undo(b, 1);
	after = counts(&b->w);
	assert_int_equal(after.objects, 2);
	assert_int_equal(after.seals, 2);
	assert_int_equal(after.rows, 0);
	begin_block(b, 2);
	write_records(&b->w, 2, other, &node, NULL);
	commit(b);
	assert_int_equal(counts(&b->w).rows, 1);
}

/* Runs SQL on the file as a careless person would. */
static void damage(struct bench *b, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(b->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static int64_t ask(struct bench *b, const char *sql)
{
	sqlite3_stmt *statement;
	int64_t value;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(b->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return value;
}

static void rows_that_somebody_numbered_anew_are_found(void **state)
{
	struct record node = node_record(1, "a"), close = bare_record(RECORD_CLOSE);
	struct bench *b = *state;
	struct outpoint seal;

	begin_block(b, 1);
	seal = make_dnet(&b->w, 1, "office");
	seal = write_records(&b->w, 1, seal, &node, NULL);
	commit(b);
	/* as a VACUUM may */
	damage(b, "UPDATE node SET rowid = rowid + 50; UPDATE seal SET rowid = rowid + 50");
	begin_block(b, 2);
	seal = write_records(&b->w, 2, seal, &node, NULL);
	commit(b);
	assert_int_equal(ask(b, "SELECT group_concat(to_height) = '2' FROM node"), 1);
	assert_int_equal(ask(b, "SELECT count(*) FROM node WHERE to_height IS NULL"), 1);
	assert_int_equal(ask(b, "SELECT count(*) FROM seal WHERE to_height IS NULL"), 1);
	begin_block(b, 3);
	write_records(&b->w, 3, seal, &close, NULL);
	commit(b);
	assert_int_equal(ask(b, "SELECT count(*) FROM node WHERE to_height IS NULL"), 0);
	assert_int_equal(ask(b, "SELECT count(*) FROM seal WHERE to_height IS NULL"), 0);
}

/* Instructions of SQLite's machine since the last time, of all statements that write rows. */
static unsigned long steps_since(struct bench *b)
{
	unsigned long steps = 0;

	for (size_t i = 0; i < STORE_STATEMENTS; i++)
		steps += (unsigned long)sqlite3_stmt_status(b->store->statements[i],
							    SQLITE_STMTSTATUS_VM_STEP, 1);
	return steps;
}

static unsigned long steps_of_a_change(struct bench *b, uint32_t height, struct outpoint *seal)
{
	struct record node = node_record(1, "again");

	begin_block(b, height);
	steps_since(b);
	*seal = write_records(&b->w, height, *seal, &node, NULL);
	commit(b);
	return steps_since(b);
}

/* It was once a look at every member for each change of one. */
static void a_change_costs_the_same_however_much_there_is(void **state)
{
	static const atomic_bool stop;
	struct bench *b = *state;
	unsigned long few, many;
	struct outpoint seal;

	begin_block(b, 1);
	seal = make_dnet(&b->w, 1, "office");
	commit(b);
	steps_of_a_change(b, 2, &seal);
	few = steps_of_a_change(b, 3, &seal);
	begin_block(b, 4);
	for (int i = 0; i < 200; i++) {
		struct record node = node_record((uint8_t)i, "n");

		seal = write_records(&b->w, 4, seal, &node, NULL);
	}
	commit(b);
	many = steps_of_a_change(b, 5, &seal);
	assert_in_range(many, few / 2, few + few / 4);
	/* and with indexes each of them adds the same, too */
	while (!store_is_indexed(b->store))
		assert_int_equal(store_index(b->store, &stop), 0);
	many = steps_of_a_change(b, 6, &seal);
	assert_in_range(many, few, 3 * few);
}

static void indexes_are_made_at_the_end_one_by_one_and_may_be_stopped(void **state)
{
	static const char count[] =
		"SELECT count(*) FROM sqlite_master WHERE type = 'index' AND sql NOT NULL";
	static atomic_bool stop;
	struct bench *b = *state;
	int64_t before = 0, made = 0;

	begin_block(b, 1);
	make_dnet(&b->w, 1, "office");
	commit(b);
	assert_int_equal(ask(b, count), 0);
	/* as one that an older chainwatch made */
	damage(b, "CREATE INDEX node_to ON node (to_height) WHERE to_height NOT NULL");
	damage(b,
	       "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)"
	       " INSERT INTO object SELECT 'x' || i, 'dnet', 'x', 'x', NULL, x'', 0, 1, 1, 'x', 0,"
	       " 0, 0 FROM n");
	assert_false(store_is_indexed(b->store));
	atomic_store(&stop, true);
	assert_int_equal(store_index(b->store, &stop), -ECANCELED);
	assert_int_equal(ask(b, count), 1);
	atomic_store(&stop, false);
	while (!store_is_indexed(b->store)) {
		before = ask(b, count);
		assert_int_equal(store_index(b->store, &stop), 0);
		made = ask(b, count);
		assert_in_range(made, before - 1, before + 1);
	}
	assert_int_equal(made, 12);
	assert_int_equal(ask(b, "SELECT count(*) FROM sqlite_master WHERE name = 'node_to'"), 0);
	store_close(b->store);
	open_store(b);
	assert_true(store_is_indexed(b->store));
	/* all anew: without them again */
	assert_int_equal(store_rescan(b->store, 1, 1), 0);
	assert_false(store_is_indexed(b->store));
	assert_int_equal(ask(b, count), 0);
}

static void what_is_not_a_chain_db_is_named(void **state)
{
	struct store_config config;
	struct bench *b = *state;
	struct chaindb *db = NULL;
	struct store *store;
	char error[CHAINDB_ERROR_MAX];
	FILE *f;

	config = config_of(b);
	config.chain = "bitcoin";
	assert_int_equal(store_open(&config, &store, error), -EINVAL);
	assert_non_null(strstr(error, "is of the chain litecoin-regtest"));
	config = config_of(b);
	config.birth_height = 0;
	assert_int_equal(store_open(&config, &store, error), -EINVAL);
	assert_non_null(strstr(error, "birth-height 0"));
	damage(b, "UPDATE meta SET value = 99 WHERE name = 'schema'");
	config = config_of(b);
	assert_int_equal(store_open(&config, &store, error), -EPROTONOSUPPORT);
	assert_int_equal(chaindb_open(b->path, CHAINDB_WAIT_MS, &db, error), -EPROTONOSUPPORT);
	assert_non_null(strstr(error, "update dnet"));
	damage(b, "DELETE FROM meta WHERE name = 'schema'");
	assert_int_equal(store_open(&config, &store, error), -EBADMSG);
	assert_int_equal(chaindb_open(b->path, CHAINDB_WAIT_MS, &db, error), -EBADMSG);
	assert_int_equal(chaindb_open("/nonexistent/chain.db", CHAINDB_WAIT_MS, &db, error),
			 -ENOENT);
	assert_non_null(strstr(error, "start chainwatch"));
	temp_file(&b->folder, "text.db", b->path);
	f = fopen(b->path, "w");
	assert_non_null(f);
	for (int i = 0; i < 1000; i++)
		fputs("no database at all\n", f);
	fclose(f);
	assert_int_equal(chaindb_open(b->path, CHAINDB_WAIT_MS, &db, error), -EBADMSG);
	assert_int_equal(store_open(&config, &store, error), -EBADMSG);
	temp_file(&b->folder, "empty.db", b->path);
	f = fopen(b->path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(chaindb_open(b->path, CHAINDB_WAIT_MS, &db, error), -ENOENT);
	assert_null(db);
}

static void rows_that_nobody_can_have_written_are_damage(void **state)
{
	struct bench *b = *state;
	struct rows rows = {.count = 0};
	struct chaindb_tip tip;
	struct object_id id;

	begin_block(b, 1);
	make_dnet(&b->w, 1, "office");
	commit(b);
	id = id_of(b, OBJECT_DNET, "office");
	damage(b, "UPDATE object SET record = x'0102'");
	assert_int_equal(chaindb_visit_dnet(b->db, &id, on_visited, &rows), -EBADMSG);
	assert_non_null(strstr(chaindb_error(b->db), "damaged"));
	registry_free(b->w.registry);
	assert_int_equal(registry_new(OP_NODE, test_seed, &b->w.registry), 0);
	assert_int_equal(store_load(b->store, b->w.registry), -EBADMSG);
	damage(b, "UPDATE block SET hash = 'none'");
	assert_int_equal(chaindb_tip(b->db, &tip), -EBADMSG);
	damage(b, "DELETE FROM block");
	assert_int_equal(chaindb_tip(b->db, &tip), -ENOENT);
}

#define IN_BENCH(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BENCH(a_dnet_is_read_with_its_helpers_in_order),
		IN_BENCH(ended_rows_are_read_as_long_as_depth_may_want_them),
		IN_BENCH(revocations_stay_whatever_happens_to_their_transaction),
		IN_BENCH(the_newest_seal_is_found_also_in_the_mempool),
		IN_BENCH(an_object_in_the_mempool_is_found),
		IN_BENCH(a_text_means_one_object_or_says_which),
		IN_BENCH(history_is_what_was_seen_in_order),
		IN_BENCH(the_tip_and_the_change_count_move),
		IN_BENCH(a_rolled_back_block_was_never_there),
		IN_BENCH(headers_are_kept_as_many_as_wished),
		IN_BENCH(a_registry_that_is_loaded_goes_on_and_can_undo),
		IN_BENCH(rows_that_somebody_numbered_anew_are_found),
		IN_BENCH(a_change_costs_the_same_however_much_there_is),
		IN_BENCH(indexes_are_made_at_the_end_one_by_one_and_may_be_stopped),
		IN_BENCH(what_is_not_a_chain_db_is_named),
		IN_BENCH(rows_that_nobody_can_have_written_are_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
