#include "chainwatch/store_private.h"

#include "chainwatch/schema.h"
#include "os/base.h"
#include "os/chaindb_private.h"

#include <stdio.h>
#include <string.h>

/* Objects that another database knows and this one does not, with all that is of them. What both
 * know both have read whole. */

enum { COLUMNS_MAX = 512 };

/* Of a table, in the order of this database, without n, which numbers rows. */
static int read_columns(struct store *store, const char *table, char columns[static COLUMNS_MAX])
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(store->db,
			       "SELECT group_concat(name, ', ') FROM pragma_table_info(?)"
			       " WHERE name <> 'n'",
			       -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, "cannot read");
	sqlite3_bind_text(statement, 1, table, -1, SQLITE_STATIC);
	if (sqlite3_step(statement) != SQLITE_ROW || !sqlite3_column_text(statement, 0))
		return store_fail(store, "cannot read");
	snprintf(columns, COLUMNS_MAX, "%s", sqlite3_column_text(statement, 0));
	return 0;
}

static int run(struct store *store, const char *sql)
{
	return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : store_fail(store, "cannot write");
}

/* Rows of the new objects; column: which names the object. */
static int copy_rows(struct store *store, const char *table, const char *column)
{
	char columns[COLUMNS_MAX], sql[3 * COLUMNS_MAX];
	int result = read_columns(store, table, columns);

	if (result)
		return result;
	snprintf(sql, sizeof(sql),
		 "INSERT OR IGNORE INTO main.%s (%s) SELECT %s FROM other.%s"
		 " WHERE %s IN (SELECT id FROM new_object)",
		 table, columns, columns, table, column);
	return run(store, sql);
}

/* Rows stand in the order of the chain: store_undo() relies on it. */
static int sort_rows(struct store *store, const char *table)
{
	char columns[COLUMNS_MAX], sql[5 * COLUMNS_MAX];
	int result = read_columns(store, table, columns);

	if (result)
		return result;
	snprintf(sql, sizeof(sql),
		 "CREATE TEMP TABLE sorted AS SELECT %s FROM main.%s ORDER BY from_height,"
		 " tx_index, rowid; DELETE FROM main.%s;"
		 "INSERT INTO main.%s (%s) SELECT * FROM temp.sorted ORDER BY rowid;"
		 "DROP TABLE temp.sorted",
		 columns, table, table, table, columns);
	return run(store, sql);
}

/* What was refused because its object was not known is not, and the order is that of the chain. */
static int copy_log(struct store *store)
{
	char columns[COLUMNS_MAX], sql[5 * COLUMNS_MAX];
	int result = read_columns(store, "record_log", columns);

	if (result)
		return result;
	snprintf(sql, sizeof(sql),
		 "DELETE FROM main.record_log WHERE (txid, vout, pos) IN (SELECT txid, vout, pos"
		 " FROM other.record_log WHERE object IN (SELECT id FROM new_object));"
		 "CREATE TEMP TABLE log AS SELECT %s FROM main.record_log UNION ALL"
		 " SELECT %s FROM other.record_log o WHERE NOT EXISTS (SELECT 1 FROM"
		 " main.record_log m WHERE m.txid = o.txid AND m.vout = o.vout AND m.pos = o.pos);"
		 "DELETE FROM main.record_log;"
		 "INSERT INTO main.record_log (%s) SELECT %s FROM temp.log"
		 " ORDER BY height, tx_index, vout, pos;"
		 "DROP TABLE temp.log",
		 columns, columns, columns, columns);
	return run(store, sql);
}

static int copy_all(struct store *store)
{
	int result = run(store, "CREATE TEMP TABLE new_object AS SELECT id FROM other.object"
				" WHERE id NOT IN (SELECT id FROM main.object)");

	for (const char *const *table = schema_state_tables; !result && *table; table++) {
		result = copy_rows(store, *table, strcmp(*table, "object") == 0 ? "id" : "object");
		if (!result)
			result = sort_rows(store, *table);
	}
	if (!result)
		result = copy_rows(store, "revocation", "object");
	if (!result)
		result = copy_log(store);
	return result ? result : run(store, "DROP TABLE temp.new_object");
}

int store_merge(struct store *store, const char *path, const struct light_follow *follows,
		size_t count)
{
	int result = store_attach(store, path);

	if (result)
		return result;
	result = store_begin(store);
	if (!result)
		result = copy_all(store);
	if (!result)
		result = store_put_coverage(store, follows, count);
	store->dirty = true;
	if (!result)
		result = store_commit(store);
	if (result)
		store_rollback(store);
	sqlite3_exec(store->db, "DETACH other", NULL, NULL, NULL);
	return result;
}
