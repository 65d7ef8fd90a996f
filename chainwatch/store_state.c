#include "chainwatch/schema.h"
#include "chainwatch/store_private.h"
#include "os/base.h"
#include "wire/hex.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The whole state at once: taken back, filled from a file, compared with another. */

static int run(struct store *store, const char *sql)
{
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_fail(store, "cannot write");
	return 0;
}

/* A number that the query gives; 0 when it gives none. */
static int ask_number(struct store *store, const char *sql, int64_t *ret_number)
{
	sqlite3_stmt *statement;
	int code;

	if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, "cannot read");
	code = sqlite3_step(statement);
	*ret_number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	sqlite3_finalize(statement);
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : store_fail(store, "cannot read");
}

/* ---- Rescan ---- */

/* Revocations stay here too: what was seen in the mempool or on another branch is on no chain. */
static int forget_all(struct store *store, uint32_t birth_height)
{
	char sql[96];
	int result = store_begin(store);

	for (const char *const *table = schema_state_tables; !result && *table; table++) {
		snprintf(sql, sizeof(sql), "DELETE FROM %s", *table);
		result = run(store, sql);
	}
	if (!result)
		result = run(store, "DELETE FROM record_log; DELETE FROM pending; DELETE FROM "
				    "pending_log; DELETE FROM block;"
				    "DELETE FROM meta WHERE name IN ('imported', 'partial')"
				    " OR name LIKE 'follow %'");
	snprintf(sql, sizeof(sql), "UPDATE meta SET value = '%u' WHERE name = 'birth_height'",
		 birth_height);
	if (!result)
		result = run(store, sql);
	if (!result)
		result = store_drop_indexes(store);
	store->dirty = true;
	if (!result)
		result = store_commit(store);
	if (result)
		store_rollback(store);
	else
		store->has_tip = false;
	return result ? result : store_look_for_indexes(store);
}

int store_rescan(struct store *store, uint32_t from, uint32_t birth_height)
{
	uint32_t lowest;
	int result;

	if (!store->has_tip)
		return store_refuse(store, -EINVAL,
				    "chain.db has no block yet: there is nothing to take back");
	if (from <= birth_height)
		return forget_all(store, birth_height);
	if (from > store->tip.height)
		return store_refuse(
			store, -EINVAL,
			"chain.db has come to height %u: there is nothing to take back from "
			"%u on",
			store->tip.height, from);
	result = store_lowest(store, &lowest);
	if (result)
		return result;
	if (from <= lowest)
		return store_refuse(
			store, -ERANGE,
			"only blocks from height %u on can be taken back (keep-headers); to "
			"read all anew give the height where records begin: --rescan %u",
			lowest + 1, birth_height);
	result = store_begin(store);
	if (!result)
		result = store_undo(store, from - 1);
	if (!result)
		result = store_commit(store);
	if (result)
		store_rollback(store);
	return result;
}

/* ---- Import ---- */

void store_stand_on(struct store *store, const struct store_tip *block)
{
	assert(!store->has_tip);
	store->tip = *block;
}

int store_end_import(struct store *store)
{
	char sql[96];
	int result;

	assert(!store->has_tip);
	snprintf(sql, sizeof(sql), "INSERT OR REPLACE INTO meta VALUES ('imported', %u)",
		 store->tip.height);
	store->dirty = true;
	result = run(store, sql);
	if (!result)
		result = store_commit(store);
	if (result)
		store_rollback(store);
	else
		store->has_tip = true;
	return result;
}

int store_imported(struct store *store, uint32_t *ret_height)
{
	int64_t height;
	int result = ask_number(store, "SELECT value FROM meta WHERE name = 'imported'", &height);

	if (!result)
		*ret_height = (uint32_t)height;
	return result;
}

/* ---- Comparing ---- */

#define PLACE	     " sequence, from_height, to_height, txid, tx_index, vout, pos"
#define ROW(columns) "object, " columns ", hex(subject) AS subject, hex(record) AS record," PLACE

/* What has to be the same, however chainwatch got there. */
static const struct {
	const char *table, *columns;
} compared[] = {
	{"object", "id, kind, name, key, ipv4_prefix, hex(record) AS record," PLACE},
	{"seal", "object, txid, vout, value, hex(script) AS script, sequence, tx_index,"
		 " from_height, to_height"},
	{"node", ROW("key, name, ipv4, ipv6, flags")},
	{"link", ROW("kind, helper, priority, weight")},
	{"roster", ROW("number, root")},
	{"endpoint", ROW("transport, port, host")},
	{"grant_", ROW("dnet, expiry, rate_kbit, volume_mib")},
	{"transfer", ROW("admin_key")},
	{"record_log", "height, tx_index, vout, pos, txid, time, object, sequence, type, text,"
		       " refused, hex(raw) AS raw"},
};

#define REVOCATION                                                                                 \
	"object, type, hex(subject) AS subject, sequence, txid, vout, pos, text FROM "             \
	"%s.revocation"

#define OF_BLOCKS " WHERE txid IN (SELECT txid FROM main.record_log)"

int store_attach(struct store *store, const char *path)
{
	size_t size = 3 * strlen(path) + 32, len;
	_cleanup_(freep) char *uri = xmalloc(size);
	sqlite3_stmt *statement;
	int code;

	len = (size_t)snprintf(uri, size, "file:");
	for (const char *c = path; *c; c++)
		len += (size_t)snprintf(uri + len, size - len, strchr("?#%", *c) ? "%%%02x" : "%c",
					(unsigned char)*c);
	snprintf(uri + len, size - len, "?mode=ro");
	if (sqlite3_prepare_v2(store->db, "ATTACH ?1 AS other", -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, path);
	sqlite3_bind_text(statement, 1, uri, -1, SQLITE_STATIC);
	code = sqlite3_step(statement);
	sqlite3_finalize(statement);
	return code == SQLITE_DONE ? 0 : store_fail(store, path);
}

int store_other_tip(struct store *store, struct store_tip *ret_tip)
{
	struct store_tip tip;
	sqlite3_stmt *statement;
	const char *hash;
	int code, result = 0;

	if (sqlite3_prepare_v2(store->db,
			       "SELECT height, hash, time FROM other.block"
			       " ORDER BY height DESC LIMIT 1",
			       -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, "cannot read the tip");
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		tip.height = (uint32_t)sqlite3_column_int64(statement, 0);
		tip.time = (uint32_t)sqlite3_column_int64(statement, 2);
		hash = (const char *)sqlite3_column_text(statement, 1);
		if (!hash || !hash_parse(hash, &tip.hash))
			result = store_refuse(store, -EBADMSG,
					      "chain.db: the tip is not a block hash");
	} else {
		result = code == SQLITE_DONE ? store_refuse(store, -ENOENT,
							    "chain.db: no block has been read yet")
					     : store_fail(store, "cannot read the tip");
	}
	sqlite3_finalize(statement);
	if (!result)
		*ret_tip = tip;
	return result;
}

/* The row of a statement as "column=value …"; its first column is left out. */
static void row_text(sqlite3_stmt *statement, char *text, size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	for (int i = 1; i < sqlite3_column_count(statement) && len < size; i++) {
		const char *value = (const char *)sqlite3_column_text(statement, i);

		len += (size_t)snprintf(text + len, size - len, "%s%s=%s", i > 1 ? " " : "",
					sqlite3_column_name(statement, i), value ? value : "-");
	}
}

/* Tells each row of the query; its first column is true where `other` lacks it. */
static int tell_rows(struct store *store, const char *table, const char *sql,
		     store_difference_cb cb, void *arg, size_t *ret_count)
{
	char text[STORE_ROW_TEXT_MAX];
	sqlite3_stmt *statement;
	int code;

	if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, table);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		row_text(statement, text, sizeof(text));
		cb(arg, table, sqlite3_column_int(statement, 0) != 0, text);
		++*ret_count;
	}
	sqlite3_finalize(statement);
	return code == SQLITE_DONE ? 0 : store_fail(store, table);
}

/* Rows of one side that the other has not, and how many there are twice. */
static int compare_rows(struct store *store, const char *table, const char *columns,
			const char *where_main, const char *where_other, store_difference_cb cb,
			void *arg, size_t *ret_count)
{
	char sql[2048], text[96];
	size_t told = 0;
	int64_t more;
	int result;

	snprintf(sql, sizeof(sql),
		 "SELECT 1, * FROM (SELECT %s FROM main.%s %s EXCEPT SELECT %s FROM other.%s)"
		 " UNION ALL "
		 "SELECT 0, * FROM (SELECT %s FROM other.%s %s EXCEPT SELECT %s FROM main.%s)",
		 columns, table, where_main, columns, table, columns, table, where_other, columns,
		 table);
	result = tell_rows(store, table, sql, cb, arg, &told);
	*ret_count += told;
	if (result || told > 0)
		return result;
	snprintf(sql, sizeof(sql),
		 "SELECT (SELECT count(*) FROM other.%s %s) - (SELECT count(*) FROM main.%s %s)",
		 table, where_other, table, where_main);
	result = ask_number(store, sql, &more);
	if (!result && more != 0) {
		snprintf(text, sizeof(text), "%lld rows that are there already",
			 (long long)(more > 0 ? more : -more));
		cb(arg, table, more < 0, text);
		++*ret_count;
	}
	return result;
}

static int compare_revocations(struct store *store, store_difference_cb cb, void *arg,
			       struct store_comparison *ret)
{
	char sql[1024];
	int64_t unproven;
	int result;

	/* Of ours those of the blocks up to the tip: what was seen here in the mempool, above it,
	 * or on a branch that went, the other one need not have seen. */
	snprintf(sql, sizeof(sql),
		 "SELECT 1, * FROM (SELECT " REVOCATION OF_BLOCKS " EXCEPT SELECT " REVOCATION ")",
		 "main", "other");
	result = tell_rows(store, "revocation", sql, cb, arg, &ret->differences);
	snprintf(sql, sizeof(sql),
		 "SELECT count(*) FROM (SELECT " REVOCATION " EXCEPT SELECT " REVOCATION OF_BLOCKS
		 ")",
		 "other", "main");
	if (!result)
		result = ask_number(store, sql, &unproven);
	if (!result)
		ret->unproven = (size_t)unproven;
	return result;
}

int store_compare(struct store *store, store_difference_cb cb, void *arg,
		  struct store_comparison *ret_comparison)
{
	struct store_comparison ret = {.differences = 0};
	int64_t rows;
	int result = compare_rows(store, "block", "height, hash, time",
				  "WHERE height >= (SELECT min(height) FROM other.block)",
				  "WHERE height >= (SELECT min(height) FROM main.block)", cb, arg,
				  &ret.differences);

	for (size_t i = 0; !result && i < ARRAY_SIZE(compared); i++) {
		char sql[64];

		result = compare_rows(store, compared[i].table, compared[i].columns, "", "", cb,
				      arg, &ret.differences);
		snprintf(sql, sizeof(sql), "SELECT count(*) FROM main.%s", compared[i].table);
		if (!result)
			result = ask_number(store, sql, &rows);
		ret.rows += (size_t)rows;
	}
	if (!result)
		result = compare_revocations(store, cb, arg, &ret);
	if (!result)
		*ret_comparison = ret;
	return result;
}
