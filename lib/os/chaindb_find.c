#include "os/chaindb_private.h"

#include "wire/bech32.h"
#include "wire/hex.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define THIS "IN (?1, ?2, ?3)"

enum {
	RESOLVE_LIST_MAX = 8, /* objects that an "ambiguous" error names */
	ID_PREFIX_MIN = 4,    /* characters after the "1" */
};

/* Confirmed objects, then those whose CREATE is in the mempool. The admin key is that of the newest
 * TRANSFER. */
#define OBJECTS                                                                                    \
	"SELECT id, name, record, coalesce((SELECT max(sequence) FROM seal s WHERE s.object = "    \
	"o.id), 0)"                                                                                \
	", from_height, to_height, (SELECT admin_key FROM transfer t WHERE t.object = o.id"        \
	" ORDER BY sequence DESC, vout DESC, pos DESC LIMIT 1), to_height IS NOT NULL OR"          \
	" EXISTS (SELECT 1 FROM revocation r WHERE r.object = o.id AND r.type = 'CLOSE')"          \
	" FROM object o WHERE %s"                                                                  \
	" UNION ALL SELECT object, name, record, 0, 0, NULL, NULL, 0 FROM pending p"               \
	" WHERE record IS NOT NULL AND NOT EXISTS (SELECT 1 FROM object x WHERE x.id = p.object)"  \
	" AND %s"

static bool read_object(sqlite3_stmt *statement, struct chaindb_object *ret)
{
	const uint8_t *raw = sqlite3_column_blob(statement, 2);
	size_t len = (size_t)sqlite3_column_bytes(statement, 2);
	const char *admin = (const char *)sqlite3_column_text(statement, 6);
	struct chaindb_object object = {.to_height = UINT32_MAX};
	struct record record;

	if (!chaindb_read_id(statement, 0, &object.kind, &object.id) || len < RECORD_HEADER_LEN ||
	    record_parse(raw[0], raw + RECORD_HEADER_LEN, len - RECORD_HEADER_LEN, &record) !=
		    RECORD_OK ||
	    record_creates(record.type) != object.kind ||
	    !chaindb_read_u32(statement, 3, &object.sequence) ||
	    !chaindb_read_u32(statement, 4, &object.from_height) ||
	    (sqlite3_column_type(statement, 5) != SQLITE_NULL &&
	     !chaindb_read_u32(statement, 5, &object.to_height)))
		return false;
	object.closed = sqlite3_column_int(statement, 7) != 0;
	chaindb_read_text(statement, 1, object.name, sizeof(object.name));
	if (object.kind == OBJECT_DNET) {
		object.key_len = XONLY_LEN;
		memcpy(object.key, record.dnet_create.admin_key, XONLY_LEN);
		if (admin && !hex_parse(admin, object.key, XONLY_LEN))
			return false;
	} else {
		object.key_len = PUBKEY_LEN;
		memcpy(object.key, record.service_create.service_key.bytes, PUBKEY_LEN);
	}
	*ret = object;
	return true;
}

/* Steps through a statement of OBJECTS; kind 0: any. */
static int visit_objects(struct chaindb *db, sqlite3_stmt *statement, enum object_kind kind,
			 chaindb_object_cb cb, void *arg)
{
	struct chaindb_object object;
	int code, result;

	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!read_object(statement, &object) || (kind && object.kind != kind))
			return chaindb_damaged(db, "an object");
		result = cb(arg, &object);
		if (result)
			return result;
	}
	return code == SQLITE_DONE ? 0 : chaindb_fail(db);
}

/* The condition for the confirmed and the pending half. */
static sqlite3_stmt *prepare_objects(struct chaindb *db, const char *confirmed, const char *pending,
				     const char *order)
{
	char sql[1536];

	snprintf(sql, sizeof(sql), "SELECT * FROM (" OBJECTS ")%s", confirmed, pending, order);
	return chaindb_prepare(db, sql);
}

struct found {
	struct chaindb_object *object;
	size_t count;
	char list[RESOLVE_LIST_MAX * (OBJECT_ID_TEXT_SIZE + 2)];
};

static int on_found(void *arg, const struct chaindb_object *object)
{
	struct found *found = arg;
	char id[OBJECT_ID_TEXT_SIZE];
	size_t len = strlen(found->list);

	if (object->to_height != UINT32_MAX)
		return 0;
	if (found->count++ == 0)
		*found->object = *object;
	if (found->count <= RESOLVE_LIST_MAX) {
		object_id_format(object->kind, &object->id, id);
		snprintf(found->list + len, sizeof(found->list) - len, " %s", id);
	}
	return 0;
}

static int on_first(void *arg, const struct chaindb_object *object)
{
	struct found *found = arg;

	if (found->count++ == 0)
		*found->object = *object;
	return 0;
}

int chaindb_find_object(struct chaindb *db, const struct object_id *id,
			struct chaindb_object *ret_object)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement =
		prepare_objects(db, "id " THIS, "object " THIS, "");
	struct chaindb_object object;
	struct found found = {.object = &object};
	int result;

	if (!statement)
		return chaindb_fail(db);
	chaindb_bind_id(statement, id);
	result = visit_objects(db, statement, 0, on_first, &found);
	if (!result && found.count == 0) {
		snprintf(db->error, sizeof(db->error), "no such object on this chain");
		result = -ENOENT;
	}
	if (!result)
		*ret_object = object;
	return result;
}

/* Binds text as ?1 and the kind's name as ?2; 0: any. */
static void bind_search(sqlite3_stmt *statement, enum object_kind kind, const char *text)
{
	sqlite3_bind_text(statement, 1, text, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(statement, 2, kind ? object_kind_name(kind) : "", -1, SQLITE_STATIC);
}

#define OF_KIND "(?2 = '' OR kind = ?2)"

int chaindb_search(struct chaindb *db, enum object_kind kind, const char *text,
		   chaindb_object_cb cb, void *arg)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = prepare_objects(
		db,
		OF_KIND " AND (substr(id, 1, length(?1)) = ?1 OR substr(name, 1, length(?1)) = ?1)",
		OF_KIND
		" AND (substr(object, 1, length(?1)) = ?1 OR substr(name, 1, length(?1)) = ?1)",
		" ORDER BY name <> ?1, name, id");

	if (!statement)
		return chaindb_fail(db);
	bind_search(statement, kind, text);
	return visit_objects(db, statement, kind, cb, arg);
}

static int resolve_by(struct chaindb *db, const char *confirmed, const char *pending,
		      enum object_kind kind, const char *text, struct found *found)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement =
		prepare_objects(db, confirmed, pending, "");

	if (!statement)
		return chaindb_fail(db);
	bind_search(statement, kind, text);
	return visit_objects(db, statement, kind, on_found, found);
}

static bool is_id_prefix(const char *text)
{
	const char *data = strchr(text, '1');

	return data &&
	       (strncmp(text, "dnet1", 5) == 0 || strncmp(text, "ovc1", 4) == 0 ||
		strncmp(text, "ovr1", 4) == 0) &&
	       strlen(data + 1) >= ID_PREFIX_MIN;
}

int chaindb_resolve(struct chaindb *db, enum object_kind kind, const char *text,
		    struct chaindb_object *ret_object)
{
	struct chaindb_object object;
	struct found found = {.object = &object};
	int result = resolve_by(db, OF_KIND " AND id = ?1", OF_KIND " AND object = ?1", kind, text,
				&found);

	if (!result && found.count == 0)
		result = resolve_by(db, OF_KIND " AND name = ?1", OF_KIND " AND name = ?1", kind,
				    text, &found);
	if (!result && found.count == 0 && is_id_prefix(text))
		result = resolve_by(db, OF_KIND " AND substr(id, 1, length(?1)) = ?1",
				    OF_KIND " AND substr(object, 1, length(?1)) = ?1", kind, text,
				    &found);
	if (result)
		return result;
	if (found.count == 0) {
		snprintf(db->error, sizeof(db->error), "no open %s is called \"%.64s\"",
			 kind ? object_kind_name(kind) : "dnet, ovc or ovr", text);
		return -ENOENT;
	}
	if (found.count > 1) {
		snprintf(db->error, sizeof(db->error), "\"%.64s\" is %zu objects; give the id:%s",
			 text, found.count, found.list);
		return -ENOTUNIQ;
	}
	*ret_object = object;
	return 0;
}

/* Columns: txid, vout, value, script, sequence, height. */
static bool read_seal(sqlite3_stmt *statement, struct chaindb_seal *ret)
{
	size_t len = (size_t)sqlite3_column_bytes(statement, 3);
	sqlite3_int64 value = sqlite3_column_int64(statement, 2);

	if (!chaindb_read_hash(statement, 0, &ret->outpoint.txid) ||
	    !chaindb_read_u32(statement, 1, &ret->outpoint.vout) || value < 0 ||
	    len > sizeof(ret->script) || !chaindb_read_u32(statement, 4, &ret->sequence) ||
	    !chaindb_read_u32(statement, 5, &ret->height))
		return false;
	ret->value = (uint64_t)value;
	if (len > 0)
		memcpy(ret->script, sqlite3_column_blob(statement, 3), len);
	ret->script_len = len;
	return true;
}

/* 1: found, 0: none. */
static int confirmed_seal(struct chaindb *db, const struct object_id *object,
			  struct chaindb_seal *ret_seal)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = chaindb_prepare(
		db, "SELECT txid, vout, value, script, sequence, from_height FROM seal"
		    " WHERE object " THIS " AND to_height IS NULL");
	int code;

	if (!statement)
		return chaindb_fail(db);
	chaindb_bind_id(statement, object);
	code = sqlite3_step(statement);
	if (code == SQLITE_DONE)
		return 0;
	if (code != SQLITE_ROW)
		return chaindb_fail(db);
	return read_seal(statement, ret_seal) ? 1 : chaindb_damaged(db, "a seal");
}

/* The newest pending transaction past the confirmed sequence: 1 with its seal, 0: there is none,
 * -ENOLINK: it makes no seal. */
static int pending_seal(struct chaindb *db, const struct object_id *object, int64_t after,
			struct chaindb_seal *ret_seal)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement =
		chaindb_prepare(db, "SELECT seal_txid, seal_vout, value, script, sequence, 0,"
				    " (SELECT count(*) FROM pending q WHERE q.object = p.object"
				    " AND q.sequence > ?4) FROM pending p WHERE object " THIS
				    " AND sequence > ?4 ORDER BY sequence DESC LIMIT 1");
	int code;

	if (!statement)
		return chaindb_fail(db);
	chaindb_bind_id(statement, object);
	sqlite3_bind_int64(statement, 4, after);
	code = sqlite3_step(statement);
	if (code == SQLITE_DONE)
		return 0;
	if (code != SQLITE_ROW)
		return chaindb_fail(db);
	if (sqlite3_column_type(statement, 0) == SQLITE_NULL)
		return -ENOLINK;
	if (!read_seal(statement, ret_seal) || !chaindb_read_u32(statement, 6, &ret_seal->pending))
		return chaindb_damaged(db, "a pending seal");
	return 1;
}

int chaindb_find_seal(struct chaindb *db, const struct object_id *object, bool follow_pending,
		      struct chaindb_seal *ret_seal)
{
	struct chaindb_seal seal;
	struct chaindb_object known;
	int result, confirmed;

	memset(&seal, 0, sizeof(seal));
	confirmed = result = confirmed_seal(db, object, &seal);
	if (result >= 0 && follow_pending) {
		result = pending_seal(db, object, confirmed ? (int64_t)seal.sequence : -1, &seal);
		if (result == 0)
			result = confirmed;
	}
	if (result == 0) {
		result = chaindb_find_object(db, object, &known);
		result = result ? result : -ENOLINK;
	}
	if (result == -ENOLINK)
		snprintf(db->error, sizeof(db->error),
			 "the object is closed, or its seal was spent without a record");
	if (result < 0)
		return result;
	*ret_seal = seal;
	return 0;
}

int chaindb_visit_seals(struct chaindb *db, const struct object_id *object, chaindb_seal_cb cb,
			void *arg)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = chaindb_prepare(
		db, "SELECT txid, vout, value, iif(length(script) > 10000, x'', script), sequence,"
		    " from_height, 0 FROM seal WHERE object " THIS
		    " UNION ALL SELECT seal_txid, seal_vout, value,"
		    " iif(length(script) > 10000, x'', script), sequence, 0, 1 FROM pending"
		    " WHERE object " THIS " AND seal_txid IS NOT NULL ORDER BY 7, 5");
	struct chaindb_seal seal;
	int code, result;

	static_assert(CHAINDB_SCRIPT_MAX == 10000, "the query says the same");
	if (!statement)
		return chaindb_fail(db);
	chaindb_bind_id(statement, object);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		memset(&seal, 0, sizeof(seal));
		if (!read_seal(statement, &seal))
			return chaindb_damaged(db, "a seal");
		result = cb(arg, &seal);
		if (result)
			return result;
	}
	return code == SQLITE_DONE ? 0 : chaindb_fail(db);
}

int chaindb_find_seal_owner(struct chaindb *db, const struct outpoint *outpoint,
			    struct object_id *ret_object)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = chaindb_prepare(
		db,
		"SELECT object FROM seal WHERE txid = ?1 AND vout = ?2 AND to_height IS NULL"
		" UNION ALL SELECT object FROM pending WHERE seal_txid = ?1 AND seal_vout = ?2");
	char txid[HASH_TEXT_SIZE];
	enum object_kind kind;
	int code;

	if (!statement)
		return chaindb_fail(db);
	hash_format(&outpoint->txid, txid);
	sqlite3_bind_text(statement, 1, txid, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, outpoint->vout);
	code = sqlite3_step(statement);
	if (code == SQLITE_DONE) {
		snprintf(db->error, sizeof(db->error), "not a seal");
		return -ENOENT;
	}
	if (code != SQLITE_ROW)
		return chaindb_fail(db);
	return chaindb_read_id(statement, 0, &kind, ret_object) ? 0 : chaindb_damaged(db, "a seal");
}

#define EVENTS                                                                                     \
	"SELECT height, time, tx_index, vout, pos, sequence, txid, type, text, refused, n, raw"    \
	" FROM record_log WHERE %s UNION ALL"                                                      \
	" SELECT 0, seen, 0, vout, pos, sequence, txid, type, text, refused, n + (1 << 60), raw"   \
	" FROM pending_log WHERE %s ORDER BY 11"

/* False: not what chainwatch writes. */
static bool read_event(sqlite3_stmt *statement, struct chaindb_event *ret)
{
	struct chaindb_event event = {
		.type = (const char *)sqlite3_column_text(statement, 7),
		.text = (const char *)sqlite3_column_text(statement, 8),
		.refused = (const char *)sqlite3_column_text(statement, 9),
		.raw = sqlite3_column_blob(statement, 11),
		.raw_len = (size_t)sqlite3_column_bytes(statement, 11),
	};

	if (!chaindb_read_u32(statement, 0, &event.height) ||
	    !chaindb_read_u32(statement, 1, &event.time) ||
	    !chaindb_read_u32(statement, 2, &event.tx_index) ||
	    !chaindb_read_u32(statement, 3, &event.out_index) ||
	    !chaindb_read_u32(statement, 4, &event.pos) ||
	    (sqlite3_column_type(statement, 5) != SQLITE_NULL &&
	     !chaindb_read_u32(statement, 5, &event.sequence)) ||
	    !chaindb_read_hash(statement, 6, &event.txid) || !event.type || !event.text)
		return false;
	*ret = event;
	return true;
}

/* *ret_count: how many. */
static int visit_events(struct chaindb *db, sqlite3_stmt *statement, chaindb_event_cb cb, void *arg,
			size_t *ret_count)
{
	struct chaindb_event event;
	int code, result;

	*ret_count = 0;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!read_event(statement, &event))
			return chaindb_damaged(db, "an event");
		(*ret_count)++;
		result = cb(arg, &event);
		if (result)
			return result;
	}
	return code == SQLITE_DONE ? 0 : chaindb_fail(db);
}

int chaindb_visit_history(struct chaindb *db, const struct object_id *object, chaindb_event_cb cb,
			  void *arg)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = NULL;
	char sql[768];
	size_t count;

	snprintf(sql, sizeof(sql), EVENTS, "object " THIS, "object " THIS);
	statement = chaindb_prepare(db, sql);
	if (!statement)
		return chaindb_fail(db);
	chaindb_bind_id(statement, object);
	return visit_events(db, statement, cb, arg, &count);
}

int chaindb_visit_transaction(struct chaindb *db, const struct hash256 *txid, chaindb_event_cb cb,
			      void *arg)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = NULL;
	char sql[768], text[HASH_TEXT_SIZE];
	size_t count;
	int result;

	snprintf(sql, sizeof(sql), EVENTS, "txid = ?1", "txid = ?1");
	statement = chaindb_prepare(db, sql);
	if (!statement)
		return chaindb_fail(db);
	hash_format(txid, text);
	sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
	result = visit_events(db, statement, cb, arg, &count);
	if (!result && count == 0) {
		snprintf(db->error, sizeof(db->error), "no such transaction of ours");
		return -ENOENT;
	}
	return result;
}
