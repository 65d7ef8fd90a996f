#include "os/chaindb_private.h"

#include "wire/bech32.h"
#include "wire/hex.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ?1, ?2, ?3: one id as dnet, ovc and ovr. */
#define THIS "IN (?1, ?2, ?3)"

static int errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_READONLY: /* to read in WAL mode takes -shm, which has to be made */
		return -EACCES;
	}
	return -EIO;
}

int chaindb_fail(struct chaindb *db)
{
	int result = errno_of(sqlite3_errcode(db->db));
	const char *hint = "";

	if (result == -EBADMSG)
		hint = ": damaged; stop chainwatch, remove it, start chainwatch";
	else if (result == -EACCES)
		hint = ": its -wal and -shm are not beside it, and this user cannot make them: "
		       "start chainwatch";
	else if (result == -EBUSY)
		hint = ": another program has it to itself";
	snprintf(db->error, sizeof(db->error), "%s: %s%s", db->path, sqlite3_errmsg(db->db), hint);
	return result;
}

int chaindb_damaged(struct chaindb *db, const char *what)
{
	snprintf(db->error, sizeof(db->error),
		 "%s: damaged (%s): stop chainwatch, remove it, start chainwatch", db->path, what);
	return -EBADMSG;
}

const char *chaindb_error(const struct chaindb *db)
{
	return db->error;
}

sqlite3_stmt *chaindb_prepare(struct chaindb *db, const char *sql)
{
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(db->db, sql, -1, &statement, NULL) != SQLITE_OK)
		return NULL;
	return statement;
}

void chaindb_finalizep(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

void chaindb_bind_id(sqlite3_stmt *statement, const struct object_id *id)
{
	static const enum object_kind kinds[] = {OBJECT_DNET, OBJECT_OVC, OBJECT_OVR};
	char text[OBJECT_ID_TEXT_SIZE];

	for (int i = 0; i < 3; i++) {
		object_id_format(kinds[i], id, text);
		sqlite3_bind_text(statement, i + 1, text, -1, SQLITE_TRANSIENT);
	}
}

bool chaindb_read_u32(sqlite3_stmt *statement, int column, uint32_t *ret_number)
{
	sqlite3_int64 number = sqlite3_column_int64(statement, column);

	if (sqlite3_column_type(statement, column) != SQLITE_INTEGER || number < 0 ||
	    number > UINT32_MAX)
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

void chaindb_read_text(sqlite3_stmt *statement, int column, char *ret_text, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	snprintf(ret_text, size, "%s", text ? text : "");
}

bool chaindb_read_hash(sqlite3_stmt *statement, int column, struct hash256 *ret_hash)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return text && hash_parse(text, ret_hash);
}

bool chaindb_read_id(sqlite3_stmt *statement, int column, enum object_kind *ret_kind,
		     struct object_id *ret_id)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return text && object_id_parse(text, ret_kind, ret_id);
}

/* Such a record makes or changes an object of that kind. */
static bool is_about(const struct record *record, enum object_kind kind)
{
	return record_is_create(record->type) ? record_creates(record->type) == kind
					      : record_fits_kind(record, kind);
}

bool chaindb_read_row(sqlite3_stmt *statement, int column, struct record_row *ret_row)
{
	const uint8_t *raw = sqlite3_column_blob(statement, column + 1);
	size_t len = (size_t)sqlite3_column_bytes(statement, column + 1);
	struct record_row row = {.to_height = UINT32_MAX};
	enum object_kind kind;

	if (!chaindb_read_id(statement, column, &kind, &row.object) || len < RECORD_HEADER_LEN ||
	    raw[1] != len - RECORD_HEADER_LEN ||
	    record_parse(raw[0], raw + RECORD_HEADER_LEN, len - RECORD_HEADER_LEN, &row.record) !=
		    RECORD_OK)
		return false;
	row.kind = (uint8_t)kind;
	if (!is_about(&row.record, kind) ||
	    !chaindb_read_u32(statement, column + 2, &row.sequence) ||
	    !chaindb_read_u32(statement, column + 3, &row.from_height) ||
	    (sqlite3_column_type(statement, column + 4) != SQLITE_NULL &&
	     !chaindb_read_u32(statement, column + 4, &row.to_height)) ||
	    !chaindb_read_u32(statement, column + 5, &row.tx_index) ||
	    !chaindb_read_u32(statement, column + 6, &row.out_index) ||
	    !chaindb_read_u32(statement, column + 7, &row.pos))
		return false;
	*ret_row = row;
	return true;
}

_printf_(3, 4) static int refuse(char error[static CHAINDB_ERROR_MAX], int result,
				 const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CHAINDB_ERROR_MAX, format, args);
	va_end(args);
	return result;
}

static int check_schema(struct chaindb *db, char error[static CHAINDB_ERROR_MAX])
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement =
		chaindb_prepare(db, "SELECT value FROM meta WHERE name = 'schema'");
	int code, result;

	if (!statement && sqlite3_errcode(db->db) == SQLITE_ERROR)
		return refuse(error, -ENOENT,
			      "%s has no tables yet: is chainwatch running, and is this its db?",
			      db->path);
	code = statement ? sqlite3_step(statement) : SQLITE_ERROR;
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		result = chaindb_fail(db);
		return refuse(error, result == -EIO ? -EBADMSG : result, "%s", db->error);
	}
	if (code == SQLITE_DONE || sqlite3_column_int(statement, 0) < 1)
		return refuse(error, -EBADMSG, "%s is not a chain.db: it says no schema", db->path);
	if (sqlite3_column_int(statement, 0) < CHAINDB_SCHEMA_OLDEST)
		return refuse(error, -EPROTONOSUPPORT,
			      "%s has schema %d, this program reads %d to %d: start chainwatch of "
			      "this version, which brings it up to date",
			      db->path, sqlite3_column_int(statement, 0), CHAINDB_SCHEMA_OLDEST,
			      CHAINDB_SCHEMA);
	if (sqlite3_column_int(statement, 0) > CHAINDB_SCHEMA)
		return refuse(error, -EPROTONOSUPPORT,
			      "%s has schema %d, this program knows up to %d: update dnet",
			      db->path, sqlite3_column_int(statement, 0), CHAINDB_SCHEMA);
	return 0;
}

/* Landlock knows the folder that was there when rights were given up, whatever has its name now. */
static const char *folder_hint(const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 && errno == EACCES && access(path, R_OK) == 0
		       ? ": its folder is not the one that was there at the start; start this "
			 "program again"
		       : "";
}

static int open_file(struct chaindb *db, unsigned wait_ms, char error[static CHAINDB_ERROR_MAX])
{
	if (access(db->path, F_OK) != 0 && errno == ENOENT)
		return refuse(error, -ENOENT,
			      "%s is not there yet: start chainwatch, or check the option chain-db",
			      db->path);
	if (access(db->path, R_OK) != 0)
		return refuse(error, -EACCES, "cannot read %s: %s", db->path, strerror(errno));
	if (sqlite3_open_v2(db->path, &db->db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
		return refuse(error, -EIO, "cannot open %s: %s%s", db->path, sqlite3_errmsg(db->db),
			      folder_hint(db->path));
	sqlite3_busy_timeout(db->db, (int)wait_ms);
	/* Sorting more than the cache holds would need a file in a folder that is not ours. */
	if (sqlite3_exec(db->db, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL) != SQLITE_OK)
		return refuse(error, -EIO, "cannot open %s: %s", db->path, sqlite3_errmsg(db->db));
	return check_schema(db, error);
}

int chaindb_open(const char *path, unsigned wait_ms, struct chaindb **ret_db,
		 char error[static CHAINDB_ERROR_MAX])
{
	struct chaindb *db = calloc(1, sizeof(*db));
	int result = -ENOMEM;

	if (db)
		db->path = strdup(path);
	if (!db || !db->path)
		snprintf(error, CHAINDB_ERROR_MAX, "out of memory");
	else
		result = open_file(db, wait_ms, error);
	if (result) {
		chaindb_close(db);
		return result;
	}
	*ret_db = db;
	return 0;
}

void chaindb_close(struct chaindb *db)
{
	if (!db)
		return;
	sqlite3_close(db->db);
	free(db->path);
	free(db);
}

int chaindb_begin(struct chaindb *db)
{
	/* the second statement takes the snapshot: BEGIN alone is lazy */
	if (sqlite3_exec(db->db, "BEGIN; SELECT value FROM meta WHERE name = 'schema'", NULL, NULL,
			 NULL) != SQLITE_OK) {
		int result = chaindb_fail(db);

		chaindb_end(db);
		return result;
	}
	return 0;
}

void chaindb_end(struct chaindb *db)
{
	if (!sqlite3_get_autocommit(db->db))
		sqlite3_exec(db->db, "COMMIT", NULL, NULL, NULL);
}

int chaindb_tip(struct chaindb *db, struct chaindb_tip *ret_tip)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = chaindb_prepare(
		db, "SELECT (SELECT value FROM meta WHERE name = 'chain'), height, hash, time,"
		    " (SELECT value FROM meta WHERE name = 'change'),"
		    " (SELECT value FROM meta WHERE name = 'schema')"
		    " FROM block ORDER BY height DESC LIMIT 1");
	struct chaindb_tip tip;
	int code;

	if (!statement)
		return chaindb_fail(db);
	code = sqlite3_step(statement);
	if (code == SQLITE_DONE) {
		snprintf(db->error, sizeof(db->error), "%s: chainwatch has read no block yet",
			 db->path);
		return -ENOENT;
	}
	if (code != SQLITE_ROW)
		return chaindb_fail(db);
	chaindb_read_text(statement, 0, tip.chain, sizeof(tip.chain));
	if (!chaindb_read_u32(statement, 1, &tip.height) ||
	    !chaindb_read_hash(statement, 2, &tip.hash) ||
	    !chaindb_read_u32(statement, 3, &tip.time))
		return chaindb_damaged(db, "block");
	tip.change = (uint64_t)sqlite3_column_int64(statement, 4);
	tip.schema = (uint32_t)sqlite3_column_int64(statement, 5);
	*ret_tip = tip;
	return 0;
}

/* type: of all rows; 0: of any. */
static int visit_rows(struct chaindb *db, const char *sql, const struct object_id *id, uint8_t type,
		      chaindb_row_cb cb, void *arg)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = chaindb_prepare(db, sql);
	struct record_row row;
	int code, result;

	if (!statement)
		return chaindb_fail(db);
	chaindb_bind_id(statement, id);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!chaindb_read_row(statement, 0, &row) || (type && row.record.type != type))
			return chaindb_damaged(db, "a record");
		result = cb(arg, &row);
		if (result)
			return result;
	}
	return code == SQLITE_DONE ? 0 : chaindb_fail(db);
}

/* Depth is counted from the tip, so what ended a while ago still matters (CHAINDB_DEPTH_MAX). */
#define RECENT	     " AND (to_height IS NULL OR to_height > (SELECT max(height) FROM block) - 1000)"
#define FROM(table)  "SELECT " CHAINDB_ROW_COLUMNS " FROM " table " WHERE "
#define FROM_OBJECTS FROM("(SELECT id AS object, * FROM object)")
#define IN_ORDER     " ORDER BY from_height, tx_index, vout, pos"

int chaindb_visit_dnet(struct chaindb *db, const struct object_id *dnet, chaindb_row_cb cb,
		       void *arg)
{
	static_assert(CHAINDB_DEPTH_MAX == 1000, "RECENT says the same");
	/* clang-format off */
	return visit_rows(
		db,
		"WITH helpers AS (SELECT helper FROM link WHERE object = ?1)"
		FROM_OBJECTS "(object = ?1 OR object IN helpers)" RECENT " UNION ALL "
		FROM("transfer") "object = ?1" RECENT " UNION ALL "
		FROM("node") "object = ?1" RECENT " UNION ALL "
		FROM("link") "object = ?1" RECENT " UNION ALL "
		FROM("roster") "object = ?1" RECENT " UNION ALL "
		FROM("endpoint") "object IN helpers" RECENT " UNION ALL "
		FROM("grant_") "object IN helpers AND dnet = ?1" RECENT
		IN_ORDER,
		dnet, 0, cb, arg);
	/* clang-format on */
}

int chaindb_visit_grants(struct chaindb *db, const struct object_id *ovx, chaindb_row_cb cb,
			 void *arg)
{
	return visit_rows(db, FROM("grant_") "object " THIS RECENT IN_ORDER, ovx, RECORD_GRANT, cb,
			  arg);
}

int chaindb_visit_object(struct chaindb *db, const struct object_id *object, chaindb_row_cb cb,
			 void *arg)
{
	/* clang-format off */
	return visit_rows(
		db,
		FROM_OBJECTS "object " THIS RECENT " UNION ALL "
		FROM("transfer") "object " THIS RECENT " UNION ALL "
		FROM("node") "object " THIS RECENT " UNION ALL "
		FROM("link") "object " THIS RECENT " UNION ALL "
		FROM("roster") "object " THIS RECENT " UNION ALL "
		FROM("endpoint") "object " THIS RECENT " UNION ALL "
		FROM("grant_") "object " THIS RECENT
		IN_ORDER,
		object, 0, cb, arg);
	/* clang-format on */
}

static const struct {
	const char *name;
	uint8_t type;
} revocation_types[] = {
	{"NODE_DEL", RECORD_NODE_DEL},
	{"UNLINK", RECORD_UNLINK},
	{"ENDPOINT_DEL", RECORD_ENDPOINT_DEL},
	{"REVOKE", RECORD_REVOKE},
	{"CLOSE", RECORD_CLOSE},
};

#define REVOCATIONS                                                                                \
	"SELECT object, type, subject, sequence, txid, vout, pos, height, seen,"                   \
	" EXISTS (SELECT 1 FROM seal s WHERE s.object = r.object AND s.sequence = r.sequence"      \
	" AND s.txid <> r.txid) FROM revocation r WHERE "

static bool read_revocation(sqlite3_stmt *statement, struct chaindb_revocation *ret)
{
	const char *type = (const char *)sqlite3_column_text(statement, 1);
	struct chaindb_revocation r = {.type = 0};
	uint32_t vout, pos;
	enum object_kind kind;

	for (size_t i = 0; type && i < ARRAY_SIZE(revocation_types); i++)
		if (strcmp(revocation_types[i].name, type) == 0)
			r.type = revocation_types[i].type;
	r.subject_len = (size_t)sqlite3_column_bytes(statement, 2);
	if (r.type == 0 || r.subject_len > sizeof(r.subject) ||
	    !chaindb_read_id(statement, 0, &kind, &r.object) ||
	    !chaindb_read_u32(statement, 3, &r.sequence) ||
	    !chaindb_read_hash(statement, 4, &r.txid) || !chaindb_read_u32(statement, 5, &vout) ||
	    !chaindb_read_u32(statement, 6, &pos) ||
	    (sqlite3_column_type(statement, 7) != SQLITE_NULL &&
	     !chaindb_read_u32(statement, 7, &r.height)))
		return false;
	if (r.subject_len > 0)
		memcpy(r.subject, sqlite3_column_blob(statement, 2), r.subject_len);
	/* RECORDS 5.3: An addition of sequence `s` (by another transaction) is hidden too */
	r.position = sqlite3_column_int(statement, 9) ? UINT32_MAX : vout * 64 + pos;
	r.seen_s = (uint64_t)sqlite3_column_int64(statement, 8);
	*ret = r;
	return true;
}

static int visit_revocations(struct chaindb *db, const char *sql, const struct object_id *id,
			     chaindb_revocation_cb cb, void *arg)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = chaindb_prepare(db, sql);
	struct chaindb_revocation revocation;
	int code, result;

	if (!statement)
		return chaindb_fail(db);
	chaindb_bind_id(statement, id);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!read_revocation(statement, &revocation))
			return chaindb_damaged(db, "a revocation");
		result = cb(arg, &revocation);
		if (result)
			return result;
	}
	return code == SQLITE_DONE ? 0 : chaindb_fail(db);
}

int chaindb_visit_revocations(struct chaindb *db, const struct object_id *dnet,
			      chaindb_revocation_cb cb, void *arg)
{
	return visit_revocations(db,
				 REVOCATIONS "object = ?1 OR object IN"
					     " (SELECT helper FROM link WHERE object = ?1)",
				 dnet, cb, arg);
}

int chaindb_visit_object_revocations(struct chaindb *db, const struct object_id *object,
				     chaindb_revocation_cb cb, void *arg)
{
	return visit_revocations(db, REVOCATIONS "object " THIS, object, cb, arg);
}
