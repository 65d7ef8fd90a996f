#include "chainwatch/store_private.h"

#include "os/base.h"
#include "os/chaindb_private.h"

#include <errno.h>
#include <stdio.h>

/* What ended and can still be undone, then what is live; that order is the registry's wish. */
#define WANTED                                                                                     \
	" WHERE to_height IS NULL OR to_height > (SELECT min(height) FROM block)"                  \
	" ORDER BY to_height IS NULL, from_height"

static int load_object(struct registry *registry, sqlite3_stmt *statement)
{
	struct record_row row;

	if (!chaindb_read_row(statement, 0, &row))
		return -EINVAL;
	return registry_load_object(registry, (enum object_kind)row.kind, &row.object,
				    row.from_height, row.to_height);
}

static int load_row(struct registry *registry, sqlite3_stmt *statement)
{
	struct record_row row;

	return chaindb_read_row(statement, 0, &row) ? registry_load_row(registry, &row) : -EINVAL;
}

static int load_seal(struct registry *registry, sqlite3_stmt *statement)
{
	uint32_t from_height, to_height = REGISTRY_LIVE;
	struct registry_seal seal = {.sequence = 0};

	if (!chaindb_read_id(statement, 0, &seal.kind, &seal.object) ||
	    !chaindb_read_hash(statement, 1, &seal.outpoint.txid) ||
	    !chaindb_read_u32(statement, 2, &seal.outpoint.vout) ||
	    !chaindb_read_u32(statement, 3, &seal.sequence) ||
	    !chaindb_read_u32(statement, 4, &from_height) ||
	    (sqlite3_column_type(statement, 5) != SQLITE_NULL &&
	     !chaindb_read_u32(statement, 5, &to_height)))
		return -EINVAL;
	return registry_load_seal(registry, &seal, from_height, to_height);
}

static int load(struct store *store, struct registry *registry, const char *sql,
		int (*read)(struct registry *, sqlite3_stmt *))
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = NULL;
	int code, result = 0;

	if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, "cannot read");
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

#define ROWS(table) "SELECT " CHAINDB_ROW_COLUMNS " FROM " table WANTED

int store_load(struct store *store, struct registry *registry)
{
	static const char *const rows[] = {ROWS("node"),     ROWS("link"),   ROWS("roster"),
					   ROWS("endpoint"), ROWS("grant_"), ROWS("transfer")};
	int result =
		load(store, registry, ROWS("(SELECT id AS object, * FROM object)"), load_object);

	if (!result)
		result = load(store, registry,
			      "SELECT object, txid, vout, sequence, from_height, to_height"
			      " FROM seal" WANTED,
			      load_seal);
	for (size_t i = 0; !result && i < ARRAY_SIZE(rows); i++)
		result = load(store, registry, rows[i], load_row);
	return result;
}
