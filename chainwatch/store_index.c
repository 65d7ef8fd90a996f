#include "chainwatch/schema.h"
#include "chainwatch/store_private.h"
#include "os/chaindb_private.h"
#include "os/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What rows are found by: by readers, and by store_undo(). Not a part of the schema: a chain.db
 * without one says the same. */
static const struct {
	const char *name, *what;
} indexes[] = {
	{"object_name", "object (name)"},
	{"seal_object", "seal (object, sequence)"},
	{"seal_live", "seal (txid, vout) WHERE to_height IS NULL"},
	{"node_object", "node (object, subject)"},
	{"link_object", "link (object, subject)"},
	{"roster_object", "roster (object, subject)"},
	{"endpoint_object", "endpoint (object, subject)"},
	{"grant__object", "grant_ (object, subject)"},
	{"transfer_object", "transfer (object, subject)"},
	{"grant_dnet", "grant_ (dnet)"},
	{"record_log_object", "record_log (object)"},
	{"record_log_txid", "record_log (txid)"},
};

/* That nothing is looked up in any more, made by former versions. */
static const char *const old_indexes[] = {
	"object_from",	 "object_to",	      "seal_from",   "seal_to",	    "node_from",
	"node_to",	 "link_from",	      "link_to",     "roster_from", "roster_to",
	"endpoint_from", "endpoint_to",	      "grant__from", "grant__to",   "transfer_from",
	"transfer_to",	 "record_log_height",
};

enum { PROGRESS = 100000 /* instructions of SQLite's machine between two looks at *stop */ };

static int has_index(struct store *store, const char *name, bool *ret_has)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = NULL;
	int code;

	if (sqlite3_prepare_v2(store->db,
			       "SELECT 1 FROM main.sqlite_master WHERE type = 'index' AND name = ?",
			       -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, "cannot read");
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
	code = sqlite3_step(statement);
	*ret_has = code == SQLITE_ROW;
	return *ret_has || code == SQLITE_DONE ? 0 : store_fail(store, "cannot read");
}

/* The next thing to do, "" when there is none. */
static int next_change(struct store *store, char sql[static 160])
{
	bool has = true;
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(indexes); i++) {
		result = has_index(store, indexes[i].name, &has);
		snprintf(sql, 160, "CREATE INDEX %s ON %s", indexes[i].name, indexes[i].what);
		if (result || !has)
			return result;
	}
	for (size_t i = 0; i < ARRAY_SIZE(old_indexes); i++) {
		result = has_index(store, old_indexes[i], &has);
		snprintf(sql, 160, "DROP INDEX %s", old_indexes[i]);
		if (result || has)
			return result;
	}
	sql[0] = '\0';
	return 0;
}

int store_look_for_indexes(struct store *store)
{
	char sql[160];
	int result = next_change(store, sql);

	store->indexed = !result && !sql[0];
	return result;
}

bool store_is_indexed(const struct store *store)
{
	return store->indexed;
}

static int on_progress(void *stop)
{
	return atomic_load((const atomic_bool *)stop);
}

/* What is sorted for an index may be larger than memory: it goes to files beside the database, the
 * only folder that is ours. */
static int set_temp_store(struct store *store, bool in_files)
{
	char *folder = strcmp(store->path, STORE_IN_MEMORY) == 0 ? NULL : strdup(store->path), *sql;
	int code;

	if (!folder || !in_files) {
		free(folder);
		return sqlite3_exec(store->db, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL);
	}
	strrchr(folder, '/')[0] = '\0';
	sql = sqlite3_mprintf("PRAGMA temp_store_directory = %Q; PRAGMA temp_store = FILE", folder);
	free(folder);
	code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
	sqlite3_free(sql);
	return code;
}

int store_index(struct store *store, const atomic_bool *stop)
{
	char sql[160];
	int code, result = next_change(store, sql);

	if (result || !sql[0]) {
		store->indexed = !result;
		return result;
	}
	log_debug("chain.db: %s", sql);
	if (set_temp_store(store, true) != SQLITE_OK)
		return store_fail(store, "cannot sort");
	sqlite3_progress_handler(store->db, PROGRESS, on_progress, (void *)stop);
	code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
	result = code == SQLITE_OK ? 0 : store_fail(store, sql);
	sqlite3_progress_handler(store->db, 0, NULL, NULL);
	set_temp_store(store, false);
	if (code == SQLITE_INTERRUPT)
		return store_refuse(store, -ECANCELED, "chain.db: stopping");
	return result;
}

int store_drop_indexes(struct store *store)
{
	char sql[96];
	int result = 0;

	for (size_t i = 0; !result && i < ARRAY_SIZE(indexes); i++) {
		snprintf(sql, sizeof(sql), "DROP INDEX IF EXISTS %s", indexes[i].name);
		if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
			result = store_fail(store, sql);
	}
	store->indexed = false;
	return result;
}
