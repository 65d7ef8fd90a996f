#include "chainwatch/store_private.h"

#include "os/base.h"
#include "os/chaindb_private.h"

#include <errno.h>
#include <stdio.h>

/* What ended and can still be undone, then what is live; that order is the registry's wish. In the
 * order of the chain, which is that of the rows. */
static const char *const wanted[] = {
	"to_height > ?",
	"to_height IS NULL AND ? NOT NULL",
};

enum { UNDO_MAX = 100 /* blocks; of more the registry is loaded anew when it comes to that */ };

static int load_object(struct registry *registry, sqlite3_stmt *statement)
{
	struct record_row row;

	if (!chaindb_read_row(statement, 1, &row))
		return -EINVAL;
	return registry_load_object(registry, (enum object_kind)row.kind, &row.object,
				    row.from_height, row.to_height);
}

static int load_row(struct registry *registry, sqlite3_stmt *statement)
{
	struct record_row row;

	if (!chaindb_read_row(statement, 1, &row))
		return -EINVAL;
	return registry_load_row(registry, &row, (uint64_t)sqlite3_column_int64(statement, 0));
}

static int load_seal(struct registry *registry, sqlite3_stmt *statement)
{
	uint32_t from_height, to_height = REGISTRY_LIVE;
	struct registry_seal seal = {.ref = (uint64_t)sqlite3_column_int64(statement, 0)};

	if (!chaindb_read_id(statement, 1, &seal.kind, &seal.object) ||
	    !chaindb_read_hash(statement, 2, &seal.outpoint.txid) ||
	    !chaindb_read_u32(statement, 3, &seal.outpoint.vout) ||
	    !chaindb_read_u32(statement, 4, &seal.sequence) ||
	    !chaindb_read_u32(statement, 5, &from_height) ||
	    (sqlite3_column_type(statement, 6) != SQLITE_NULL &&
	     !chaindb_read_u32(statement, 6, &to_height)))
		return -EINVAL;
	return registry_load_seal(registry, &seal, from_height, to_height);
}

static int load_some(struct store *store, struct registry *registry, const char *sql,
		     uint32_t above, int (*read)(struct registry *, sqlite3_stmt *))
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = NULL;
	int code, result = 0;

	if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, "cannot read");
	sqlite3_bind_int64(statement, 1, above);
	while (!result && (code = sqlite3_step(statement)) == SQLITE_ROW)
		result = read(registry, statement);
	if (result == -EINVAL) {
		snprintf(store->error, sizeof(store->error),
			 "chain.db: damaged: its rows contradict each other; remove it to read the "
			 "chain anew");
		return -EBADMSG;
	}
	if (result)
		return result;
	return code == SQLITE_DONE ? 0 : store_fail(store, "cannot read");
}

static int load(struct store *store, struct registry *registry, const char *columns,
		const char *table, int (*read)(struct registry *, sqlite3_stmt *))
{
	char sql[256];
	int result = 0;

	for (size_t i = 0; !result && i < ARRAY_SIZE(wanted); i++) {
		snprintf(sql, sizeof(sql), "SELECT rowid, %s FROM %s WHERE %s ORDER BY rowid",
			 columns, table, wanted[i]);
		result = load_some(store, registry, sql, registry_floor(registry), read);
	}
	return result;
}

int store_load(struct store *store, struct registry *registry)
{
	static const char *const tables[] = {"node",	 "link",   "roster",
					     "endpoint", "grant_", "transfer"};
	uint32_t lowest = 0;
	int result = store->has_tip ? store_lowest(store, &lowest) : 0;

	if (store->has_tip && store->tip.height > lowest + UNDO_MAX)
		lowest = store->tip.height - UNDO_MAX;
	registry_prune(registry, lowest);
	if (!result)
		result = load(store, registry, "id AS " CHAINDB_ROW_COLUMNS, "object", load_object);
	if (!result)
		result = load(store, registry,
			      "object, txid, vout, sequence, from_height, to_height", "seal",
			      load_seal);
	for (size_t i = 0; !result && i < ARRAY_SIZE(tables); i++)
		result = load(store, registry, CHAINDB_ROW_COLUMNS, tables[i], load_row);
	return result;
}
