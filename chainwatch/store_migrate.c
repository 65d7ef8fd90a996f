#include "chainwatch/schema.h"
#include "chainwatch/store_private.h"
#include "os/base.h"
#include "os/chaindb.h"
#include "os/log.h"

#include <assert.h>
#include <stdio.h>

/* What brings schema i + 1 to i + 2, besides the views, which are made anew in any case.
 *
 *	1 → 2	only views: what is in force heeds a CLOSE of another branch and expired grants,
 *		`served_dnet`, `n` in `history`
 */
static const char *const steps[] = {
	"",
};

static_assert(sizeof(steps) / sizeof(steps[0]) == CHAINDB_SCHEMA - 1,
	      "one step for each schema but the first");

static int read_schema(struct store *store, int *ret_schema)
{
	sqlite3_stmt *statement;
	int code;

	if (sqlite3_prepare_v2(store->db,
			       "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'schema'", -1,
			       &statement, NULL) != SQLITE_OK)
		return store_fail(store, "cannot read");
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*ret_schema = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return code == SQLITE_ROW ? 0 : store_fail(store, "cannot read");
}

static int run(struct store *store, const char *sql)
{
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_fail(store, "cannot bring it to the new schema");
	return 0;
}

/* Readers see the old one or the new one, and so does the next start after a kill. */
int store_migrate(struct store *store)
{
	char sql[128];
	int from = CHAINDB_SCHEMA, result = read_schema(store, &from);

	if (result || from == CHAINDB_SCHEMA)
		return result;
	result = run(store, "BEGIN IMMEDIATE");
	for (int i = from; !result && i < CHAINDB_SCHEMA; i++)
		result = run(store, steps[i - 1]);
	if (!result)
		result = run(store, schema_views_sql);
	snprintf(sql, sizeof(sql),
		 "UPDATE meta SET value = '%d' WHERE name = 'schema';"
		 "UPDATE meta SET value = value + 1 WHERE name = 'change'",
		 CHAINDB_SCHEMA);
	if (!result)
		result = run(store, sql);
	if (!result)
		result = run(store, "COMMIT");
	if (result) {
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
		return result;
	}
	log_notice("chain.db: brought from schema %d to %d", from, CHAINDB_SCHEMA);
	return 0;
}
