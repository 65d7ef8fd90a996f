#include "chainwatch/store.h"

#include "chainwatch/schema.h"
#include "chainwatch/store_private.h"
#include "os/base.h"
#include "os/chaindb.h"
#include "wire/hex.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUSY_MS = 5000 };

#define STATE_VALUES "?, ?, NULL, ?, ?, ?, ?)"
/* The row is where it was put, unless somebody laid the file anew; then it is looked for. */
#define END_ROW(table) STORE_END_ROW_BY_KEY(table) " AND rowid = ?"

/* The columns in the order in which store_rows.c binds them. */
#define PUT_ROW(table, columns, values)                                                            \
	"INSERT INTO " table " (object, " columns ", subject, record, sequence, from_height,"      \
	" to_height, txid, tx_index, vout, pos) VALUES (?, " values ", ?, ?, " STATE_VALUES

static const char *const statement_sql[STORE_STATEMENTS] = {
	[STORE_ADD_BLOCK] = "INSERT INTO block (height, hash, time) VALUES (?, ?, ?)",
	[STORE_DROP_BLOCKS] = "DELETE FROM block WHERE height <= ?",
	[STORE_TIP] = "SELECT height, hash, time FROM block ORDER BY height DESC LIMIT 1",
	[STORE_HASH_AT] = "SELECT hash FROM block WHERE height = ?",
	[STORE_LOWEST] = "SELECT min(height) FROM block",
	[STORE_CHANGE] = "UPDATE meta SET value = value + 1 WHERE name = 'change'",
	[STORE_LOG] = "INSERT INTO record_log (height, tx_index, vout, pos, txid, time, object,"
		      " sequence, type, text, refused, raw)"
		      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[STORE_OBJECT] = "INSERT INTO object (id, kind, name, key, ipv4_prefix, record, sequence,"
			 " from_height, to_height, txid, tx_index, vout, pos)"
			 " VALUES (?, ?, ?, ?, ?, ?, " STATE_VALUES,
	[STORE_OBJECT_END] = "UPDATE object SET to_height = ? WHERE id = ?",
	[STORE_SEAL] = "INSERT INTO seal (object, txid, vout, value, script, sequence, tx_index,"
		       " from_height) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
	[STORE_SEAL_SPENT] = STORE_SEAL_SPENT_BY_KEY " AND rowid = ?",
	[STORE_REVOCATION] = "INSERT OR IGNORE INTO revocation (object, type, subject, sequence,"
			     " txid, vout, pos, seen, height, source, text)"
			     " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[STORE_PENDING] = "INSERT INTO pending (txid, object, kind, sequence, spent_txid,"
			  " spent_vout, name, record, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[STORE_PENDING_SEAL] = "UPDATE pending SET seal_txid = ?2, seal_vout = ?3, value = ?4,"
			       " script = ?5 WHERE txid = ?2 AND object = ?1",
	[STORE_PENDING_LOG] = "INSERT INTO pending_log (vout, pos, txid, seen, object, sequence,"
			      " type, text, refused, raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[STORE_NODE] = PUT_ROW("node", "key, name, ipv4, ipv6, flags", "?, ?, ?, ?, ?"),
	[STORE_LINK] = PUT_ROW("link", "kind, helper, priority, weight", "?, ?, ?, ?"),
	[STORE_ROSTER] = PUT_ROW("roster", "number, root", "?, ?"),
	[STORE_ENDPOINT] = PUT_ROW("endpoint", "transport, port, host", "?, ?, ?"),
	[STORE_GRANT] = PUT_ROW("grant_", "dnet, expiry, rate_kbit, volume_mib", "?, ?, ?, ?"),
	[STORE_TRANSFER] = PUT_ROW("transfer", "admin_key", "?"),
	[STORE_NODE_END] = END_ROW("node"),
	[STORE_LINK_END] = END_ROW("link"),
	[STORE_ROSTER_END] = END_ROW("roster"),
	[STORE_ENDPOINT_END] = END_ROW("endpoint"),
	[STORE_GRANT_END] = END_ROW("grant_"),
	[STORE_TRANSFER_END] = END_ROW("transfer"),
};

/* SQLite's codes as the few that callers tell apart. */
static int errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	}
	return -EIO;
}

int store_fail(struct store *store, const char *what)
{
	int code = store->db ? sqlite3_extended_errcode(store->db) : SQLITE_NOMEM;

	snprintf(store->error, sizeof(store->error), "chain.db: %s: %s (SQLite %d)", what,
		 store->db ? sqlite3_errmsg(store->db) : "out of memory", code);
	return errno_of(code);
}

sqlite3_stmt *store_statement(struct store *store, enum store_statement which)
{
	sqlite3_stmt *statement = store->statements[which];

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return statement;
}

int store_step(struct store *store, sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);

	sqlite3_reset(statement);
	store->dirty = true;
	return code == SQLITE_DONE ? 0 : store_fail(store, "cannot write");
}

static int execute(struct store *store, const char *sql)
{
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_fail(store, "cannot write");
	return 0;
}

int store_read_meta(struct store *store, const char *name, char **ret_text)
{
	sqlite3_stmt *statement;
	int code;

	if (sqlite3_prepare_v2(store->db, "SELECT value FROM meta WHERE name = ?", -1, &statement,
			       NULL) != SQLITE_OK)
		return store_fail(store, "cannot read");
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
	code = sqlite3_step(statement);
	*ret_text = code == SQLITE_ROW ? sqlite3_mprintf("%s", sqlite3_column_text(statement, 0))
				       : NULL;
	sqlite3_finalize(statement);
	if (code == SQLITE_ROW || code == SQLITE_DONE)
		return 0;
	return store_fail(store, "cannot read");
}

int store_write_meta(struct store *store, const char *name, const char *format, ...)
{
	sqlite3_stmt *statement;
	va_list args;
	char *text;
	int result;

	va_start(args, format);
	text = sqlite3_vmprintf(format, args);
	va_end(args);
	if (sqlite3_prepare_v2(store->db, "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)",
			       -1, &statement, NULL) != SQLITE_OK) {
		sqlite3_free(text);
		return store_fail(store, "cannot write");
	}
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, text, -1, sqlite3_free);
	result = store_step(store, statement);
	sqlite3_finalize(statement);
	return result;
}

static int create(struct store *store, const struct store_config *config)
{
	char genesis[HASH_TEXT_SIZE];
	int result = execute(store, "BEGIN IMMEDIATE");

	hash_format(&config->genesis, genesis);
	if (!result)
		result = execute(store, schema_tables_sql);
	if (!result)
		result = execute(store, schema_views_sql);
	if (!result)
		result = store_write_meta(store, "schema", "%d", CHAINDB_SCHEMA);
	if (!result)
		result = store_write_meta(store, "chain", "%s", config->chain);
	if (!result)
		result = store_write_meta(store, "genesis", "%s", genesis);
	if (!result)
		result = store_write_meta(store, "birth_height", "%u", config->birth_height);
	if (!result)
		result = execute(store, "INSERT INTO meta VALUES ('change', 0)");
	if (!result)
		/* "dnet": what file(1) and others tell the database by */
		result = execute(store, "PRAGMA application_id = 0x646e6574");
	if (!result)
		result = execute(store, "COMMIT");
	if (result)
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	return result;
}

int store_refuse(struct store *store, int result, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(store->error, sizeof(store->error), format, args);
	va_end(args);
	return result;
}

void sqlite3_freep(char **text)
{
	sqlite3_free(*text);
}

/* The database belongs to this program, chain and birth height. */
static int check(struct store *store, const struct store_config *config)
{
	_cleanup_(sqlite3_freep) char *schema = NULL, *chain = NULL, *genesis = NULL, *birth = NULL;
	char wanted[HASH_TEXT_SIZE];
	int result = store_read_meta(store, "schema", &schema);

	if (!result)
		result = store_read_meta(store, "chain", &chain);
	if (!result)
		result = store_read_meta(store, "genesis", &genesis);
	if (!result)
		result = store_read_meta(store, "birth_height", &birth);
	if (result)
		return result;
	if (!schema || !chain || !genesis || !birth)
		return store_refuse(store, -EBADMSG,
				    "%s is not a chain.db: it says no schema or chain",
				    config->path);
	if (strtol(schema, NULL, 10) < 1)
		return store_refuse(store, -EBADMSG, "%s is not a chain.db: it says schema '%.16s'",
				    config->path, schema);
	if (strtol(schema, NULL, 10) > CHAINDB_SCHEMA)
		return store_refuse(store, -EPROTONOSUPPORT,
				    "%s has schema %s, this program knows up to %d: update dnet",
				    config->path, schema, CHAINDB_SCHEMA);
	hash_format(&config->genesis, wanted);
	if (strcmp(chain, config->chain) != 0 || strcmp(genesis, wanted) != 0)
		return store_refuse(
			store, -EINVAL,
			"%s is of the chain %s (genesis %.16s…), not of %s (%.16s…): use "
			"another db file, or set chain back",
			config->path, chain, genesis, config->chain, wanted);
	if (strtoul(birth, NULL, 10) > config->birth_height)
		return store_refuse(
			store, -EINVAL,
			"%s begins at height %s, after birth-height %u: remove the file to "
			"read the chain anew",
			config->path, birth, config->birth_height);
	return 0;
}

static int prepare(struct store *store)
{
	for (size_t i = 0; i < STORE_STATEMENTS; i++)
		if (sqlite3_prepare_v3(store->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &store->statements[i], NULL) != SQLITE_OK)
			return store_fail(store, statement_sql[i]);
	return 0;
}

static int read_tip(struct store *store)
{
	sqlite3_stmt *statement = store_statement(store, STORE_TIP);
	int code = sqlite3_step(statement);
	bool ok = code == SQLITE_DONE;

	store->has_tip = code == SQLITE_ROW;
	if (code == SQLITE_ROW) {
		const char *hash = (const char *)sqlite3_column_text(statement, 1);

		store->tip.height = (uint32_t)sqlite3_column_int64(statement, 0);
		store->tip.time = (uint32_t)sqlite3_column_int64(statement, 2);
		ok = hash && hash_parse(hash, &store->tip.hash);
	}
	sqlite3_reset(statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return store_fail(store, "cannot read the tip");
	if (!ok)
		return store_refuse(store, -EBADMSG, "chain.db: the tip is not a block hash");
	return 0;
}

/* A page that is damaged now would else be found when it is written to: a disk that loses one block
 * loses others. Reads the whole file, which is small: rows of dnets and the kept headers. */
static int check_pages(struct store *store, const struct store_config *config)
{
	sqlite3_stmt *statement;
	int result = 0;

	if (sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &statement, NULL) !=
	    SQLITE_OK)
		return store_fail(store, "cannot read");
	if (sqlite3_step(statement) != SQLITE_ROW)
		result = store_fail(store, "cannot read");
	else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0)
		result = store_refuse(
			store, -EBADMSG,
			"chain.db: %s is damaged (%.100s): remove it to read the chain "
			"anew",
			config->path, sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	return result;
}

static int remember_file(struct store *store)
{
	struct stat st;

	if (strcmp(store->path, STORE_IN_MEMORY) == 0)
		return 0;
	if (stat(store->path, &st))
		return store_refuse(store, -errno, "chain.db: %s: %s", store->path,
				    strerror(errno));
	store->device = st.st_dev;
	store->inode = st.st_ino;
	return 0;
}

static bool is_empty(struct store *store, int *ret_result)
{
	sqlite3_stmt *statement;
	bool empty = false;
	int code;

	if (sqlite3_prepare_v2(store->db, "SELECT count(*) FROM sqlite_master", -1, &statement,
			       NULL) != SQLITE_OK) {
		*ret_result = store_fail(store, "cannot read");
		return false;
	}
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		empty = sqlite3_column_int(statement, 0) == 0;
	else
		*ret_result = store_fail(store, "cannot read");
	sqlite3_finalize(statement);
	return empty;
}

/* When -shm could not be opened for writing (an I/O error, no descriptors), SQLite goes on without,
 * and every write of this connection is refused for as long as it lives. Another program's lock is
 * waited for later. */
static int check_writable(struct store *store)
{
	int result = execute(store, "BEGIN IMMEDIATE");

	if (result)
		return result == -EBUSY ? 0 : result;
	return execute(store, "ROLLBACK");
}

/* The log of the database stays when nobody is there: readers that may not write in the folder
 * could not open it otherwise. */
static int set_up(struct store *store, const struct store_config *config)
{
	int one = 1, result = 0;

	/* URIs: for store_attach(); a path of our own is absolute, so it is none. No mutex: a store
	 * is used by one thread at a time. */
	if (sqlite3_open_v2(config->path, &store->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI |
				    SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK)
		return store_fail(store, config->path);
	sqlite3_extended_result_codes(store->db, 1);
	if (sqlite3_db_readonly(store->db, "main") == 1)
		return access(config->path, W_OK) == 0
			       ? store_refuse(
					 store, -EIO,
					 "chain.db: %s could be opened for reading only: start "
					 "chainwatch again, and see to the disk when that does "
					 "not help",
					 config->path)
			       : store_refuse(store, -EROFS,
					      "chain.db: %s cannot be written: its file system is "
					      "read-only, or it belongs to somebody else",
					      config->path);
	sqlite3_busy_timeout(store->db, BUSY_MS);
	if (is_empty(store, &result))
		result = execute(store, "PRAGMA journal_mode = WAL");
	if (!result && is_empty(store, &result))
		result = create(store, config);
	if (!result)
		result = check(store, config);
	if (!result)
		result = check_pages(store, config);
	if (!result)
		result = store_migrate(store);
	if (!result)
		result = execute(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
					" PRAGMA temp_store = MEMORY;"
					/* KiB: what is written while the chain is read anew
					 * fits, and nothing of a transaction goes out twice */
					" PRAGMA cache_size = -32768;"
					/* pages, and bytes that a long one leaves behind */
					" PRAGMA wal_autocheckpoint = 4000;"
					" PRAGMA journal_size_limit = 67108864");
	sqlite3_file_control(store->db, "main", SQLITE_FCNTL_PERSIST_WAL, &one);
	if (!result)
		result = check_writable(store);
	if (!result)
		result = prepare(store);
	if (!result)
		result = read_tip(store);
	if (!result)
		result = store_look_for_indexes(store);
	if (!result)
		result = remember_file(store);
	store->committed = store->tip;
	return result;
}

int store_open(const struct store_config *config, struct store **ret_store,
	       char error[static STORE_ERROR_MAX])
{
	struct store *store = calloc(1, sizeof(*store));
	int result;

	if (!store) {
		snprintf(error, STORE_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	store->keep = config->keep;
	store->path = strdup(config->path);
	store_init_sink(store);
	result = store->path ? set_up(store, config) : store_fail(store, "open");
	if (result) {
		snprintf(error, STORE_ERROR_MAX, "%s", store->error);
		store_close(store);
		return result;
	}
	*ret_store = store;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < STORE_STATEMENTS; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->db);
	free(store->path);
	free(store);
}

int store_check_file(struct store *store)
{
	struct stat st;

	if (strcmp(store->path, STORE_IN_MEMORY) == 0)
		return 0;
	if (stat(store->path, &st) == 0 && st.st_dev == store->device && st.st_ino == store->inode)
		return 0;
	return store_refuse(
		store, -ESTALE,
		"%s is not there any more, or another file: put it back, or start chainwatch "
		"again to read the chain anew",
		store->path);
}

const char *store_error(const struct store *store)
{
	return store->error;
}

bool store_tip(const struct store *store, struct store_tip *ret_tip)
{
	if (store->has_tip)
		*ret_tip = store->tip;
	return store->has_tip;
}

int store_hash_at(struct store *store, uint32_t height, struct hash256 *ret_hash)
{
	sqlite3_stmt *statement = store_statement(store, STORE_HASH_AT);
	const char *text;
	int code, result = -ENOENT;

	sqlite3_bind_int64(statement, 1, height);
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(statement, 0);
		result = text && hash_parse(text, ret_hash) ? 0 : -EBADMSG;
	} else if (code != SQLITE_DONE) {
		result = store_fail(store, "cannot read a header");
	}
	sqlite3_reset(statement);
	return result;
}

int store_lowest(struct store *store, uint32_t *ret_height)
{
	sqlite3_stmt *statement = store_statement(store, STORE_LOWEST);
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW)
		*ret_height = (uint32_t)sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return code == SQLITE_ROW ? 0 : store_fail(store, "cannot read the lowest header");
}

int store_begin(struct store *store)
{
	store->dirty = false;
	return execute(store, "BEGIN IMMEDIATE");
}

int store_commit(struct store *store)
{
	int result = 0;

	if (store->dirty)
		result = store_step(store, store_statement(store, STORE_CHANGE));
	if (!result)
		result = execute(store, "COMMIT");
	if (!result)
		store->committed = store->tip;
	return result;
}

void store_rollback(struct store *store)
{
	if (!sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	store->tip = store->committed;
}

int store_add_block(struct store *store, const struct store_tip *block)
{
	sqlite3_stmt *statement = store_statement(store, STORE_ADD_BLOCK);
	bool was_dirty = store->dirty;
	char hash[HASH_TEXT_SIZE];
	int result;

	hash_format(&block->hash, hash);
	sqlite3_bind_int64(statement, 1, block->height);
	sqlite3_bind_text(statement, 2, hash, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 3, block->time);
	result = store_step(store, statement);
	if (!result && block->height > store->keep) {
		statement = store_statement(store, STORE_DROP_BLOCKS);
		sqlite3_bind_int64(statement, 1, block->height - store->keep - 1);
		result = store_step(store, statement);
	}
	store->dirty = was_dirty; /* a block alone changes nothing but the tip */
	if (!result)
		store->tip = *block;
	return result;
}

int store_set_base(struct store *store, const struct store_tip *base)
{
	int result = store_begin(store);

	assert(!store->has_tip);
	if (!result)
		result = store_add_block(store, base);
	if (!result)
		result = store_commit(store);
	if (result)
		store_rollback(store);
	else
		store->has_tip = true;
	return result;
}

/* Rows of a table stand in the order of the chain: those above a height are its last ones. */
#define ABOVE(table, column)                                                                       \
	" rowid > coalesce((SELECT rowid FROM " table " WHERE " column                             \
	" <= %u ORDER BY rowid DESC LIMIT 1), 0)"

/* Objects that changed above a height. Their transactions spent the seals of the sequence before.
 */
#define TOUCHED(columns)                                                                           \
	"(SELECT " columns " FROM record_log WHERE object NOT NULL AND" ABOVE(                     \
		"record_log", "height") " UNION SELECT " columns                                   \
					" FROM seal WHERE" ABOVE("seal", "from_height") ")"

static int revive_rows(struct store *store, const char *table, uint32_t height)
{
	const char *these = "object IN " TOUCHED("object");
	char sql[768];
	size_t len;

	if (strcmp(table, "object") == 0)
		these = "id IN " TOUCHED("object");
	else if (strcmp(table, "seal") == 0)
		these = "(object, sequence) IN " TOUCHED("object, sequence - 1");
	len = (size_t)snprintf(sql, sizeof(sql),
			       "UPDATE %s SET to_height = NULL WHERE to_height > %u AND ", table,
			       height);
	snprintf(sql + len, sizeof(sql) - len, these, height, height);
	return execute(store, sql);
}

static int delete_above(struct store *store, const char *table, const char *column, uint32_t height)
{
	char sql[256];

	snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE" ABOVE("%s", "%s"), table, table, column,
		 height);
	return execute(store, sql);
}

/* Doing it in one place is what keeps undo honest: each table, the same two statements. What was
 * touched is read from the rows that go, so these go last. */
int store_undo(struct store *store, uint32_t height)
{
	const char *const *table;
	int result = 0;

	for (table = schema_state_tables; !result && *table; table++)
		result = revive_rows(store, *table, height);
	for (table = schema_state_tables; !result && *table; table++)
		result = delete_above(store, *table, "from_height", height);
	if (!result)
		result = delete_above(store, "record_log", "height", height);
	if (!result)
		result = delete_above(store, "block", "height", height);
	store->dirty = true;
	return result ? result : read_tip(store);
}

int store_clear_pending(struct store *store)
{
	store->dirty = true;
	store->counts.pending = 0;
	return execute(store, "DELETE FROM pending; DELETE FROM pending_log");
}

const struct registry_sink *store_sink(struct store *store)
{
	return &store->sink;
}

void store_set_now(struct store *store, uint64_t now_s)
{
	store->now_s = now_s;
}

void store_count(const struct store *store, struct store_counts *ret_counts)
{
	*ret_counts = store->counts;
}
