#include "fuzz/fuzz.h"

#include "chainwatch/store_private.h"
#include "core/netmap.h"
#include "os/chaindb_private.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <errno.h>
#include <string.h>

/* A chain.db that somebody else wrote: tables with the names that readers ask for, without any
 * constraint, and rows of any types. The input is a byte that chooses who reads, then rows: a byte
 * that chooses the table, then for each column a byte of kind and one of choice: what chainwatch
 * would write there, or NULL, a number, a text, a blob of the input. Readers, and chainwatch at its
 * start, take it or say that it is damaged. */

enum { OBJECTS = 4, TXIDS = 3, ROWS_MAX = 64 };

enum { READ_DNET = 1, READ_OBJECT = 2, READ_NAMES = 4, READ_TRANSACTIONS = 8, LOAD = 16 };

/* What stands in a column: i id, r record, t txid, h a small number, k kind, n name, T type of a
 * revocation, m name in meta, s text, x hex of a key, d id of a dnet. */
static const struct table {
	const char *name, *columns, *kinds;
} tables[] = {
#define STATE	   "sequence, from_height, to_height, tx_index, vout, pos"
#define STATE_KIND "hhhhhh"
	{"meta", "name, value", "mh"},
	{"block", "height, hash, time", "hth"},
	{"object", "id, kind, name, record, txid, " STATE, "iknrt" STATE_KIND},
	{"seal", "object, txid, vout, value, script, sequence, tx_index, from_height, to_height",
	 "ithhshhhh"},
	{"node", "object, subject, record, txid, " STATE, "isrt" STATE_KIND},
	{"link", "object, helper, record, txid, " STATE, "iirt" STATE_KIND},
	{"roster", "object, record, " STATE, "ir" STATE_KIND},
	{"endpoint", "object, record, " STATE, "ir" STATE_KIND},
	{"grant_", "object, dnet, record, " STATE, "idr" STATE_KIND},
	{"transfer", "object, admin_key, record, " STATE, "ixr" STATE_KIND},
	{"revocation", "object, type, subject, sequence, txid, vout, pos, height, seen",
	 "iTshthhhh"},
	{"pending",
	 "object, kind, sequence, seal_txid, seal_vout, value, script, name, record, txid",
	 "ikhthhsnrt"},
	{"record_log",
	 "n, height, time, tx_index, vout, pos, sequence, txid, object, type, text, refused",
	 "hhhhhhhtisss"},
	{"pending_log", "n, seen, vout, pos, sequence, txid, object, type, text, refused",
	 "hhhhhtisss"},
};

static sqlite3 *db;
static sqlite3_stmt *inserts[ARRAY_SIZE(tables)], *deletes[ARRAY_SIZE(tables)];
static struct object_id ids[OBJECTS];
static const enum object_kind kinds[OBJECTS] = {OBJECT_DNET, OBJECT_OVC, OBJECT_OVR, OBJECT_DNET};

/* ---- The database ---- */

static sqlite3_stmt *prepare(const char *format, const struct table *table, const char *values)
{
	char sql[512];
	sqlite3_stmt *statement;

	snprintf(sql, sizeof(sql), format, table->name, table->columns, values);
	FUZZ_CHECK(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
	return statement;
}

static void make_tables(void)
{
	char sql[512], values[64];

	FUZZ_CHECK(sqlite3_open(":memory:", &db) == SQLITE_OK);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		snprintf(sql, sizeof(sql), "CREATE TABLE %s (%s)", tables[i].name,
			 tables[i].columns);
		FUZZ_CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
		values[0] = '\0';
		for (size_t n = strlen(tables[i].kinds); n > 0; n--)
			strcat(values, n > 1 ? "?, " : "?");
		inserts[i] = prepare("INSERT INTO %s (%s) VALUES (%s)", &tables[i], values);
		deletes[i] = prepare("DELETE FROM %s", &tables[i], "");
	}
	for (size_t i = 0; i < OBJECTS; i++)
		memset(ids[i].bytes, 0x10 + (int)i, OBJECT_ID_LEN);
}

static void run(sqlite3_stmt *statement)
{
	sqlite3_step(statement);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
}

/* A record as chainwatch would write it, of the type that a byte chooses. */
static void bind_record(sqlite3_stmt *statement, int column, uint8_t choice)
{
	static const uint8_t types[] = {0x01, 0x02, 0x03, 0x10, 0x11, 0x12, 0x13, 0x14,
					0x20, 0x21, 0x22, 0x23, 0x30, 0x31, 0x10, 0x12};
	struct record record = {.type = types[choice % 16]};
	uint8_t mem[RECORD_HEADER_LEN + RECORD_BODY_MAX], more = choice / 16;
	struct writer w;

	switch ((enum record_type)record.type) {
	case RECORD_DNET_CREATE:
		memset(record.dnet_create.admin_key, 5, XONLY_LEN);
		strcpy(record.dnet_create.name, "home");
		break;
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
		memset(record.service_create.service_key.bytes, 2, PUBKEY_LEN);
		strcpy(record.service_create.name, "help");
		break;
	case RECORD_NODE_PUT:
		memset(record.node_put.key.bytes, 2 + (more & 1), PUBKEY_LEN);
		break;
	case RECORD_NODE_DEL:
		memset(record.node_del.key.bytes, 2 + (more & 1), PUBKEY_LEN);
		break;
	case RECORD_LINK:
	case RECORD_UNLINK:
		record.link.kind = (uint8_t)kinds[1 + more % 2];
		record.link.id = ids[1 + more % 2];
		break;
	case RECORD_ROSTER:
		record.roster.sequence = more;
		break;
	case RECORD_ENDPOINT_PUT:
	case RECORD_ENDPOINT_DEL:
		record.endpoint.transport = TRANSPORT_UDP;
		record.endpoint.port = (uint16_t)(more + 1);
		strcpy(record.endpoint.host, "a.example");
		break;
	case RECORD_GRANT:
	case RECORD_REVOKE:
		record.grant.dnet = ids[more % 2 * 3];
		break;
	case RECORD_TRANSFER:
	case RECORD_CLOSE:
		break;
	}
	writer_init(&w, mem, sizeof(mem));
	record_write(&w, &record);
	FUZZ_CHECK(!w.failed);
	sqlite3_bind_blob(statement, column, mem, (int)writer_len(&w), SQLITE_TRANSIENT);
}

static void bind_right(sqlite3_stmt *statement, int column, char kind, uint8_t choice)
{
	static const char *const meta[] = {"schema", "chain", "change", "genesis"};
	static const char *const revocations[] = {"NODE_DEL", "UNLINK", "ENDPOINT_DEL", "REVOKE",
						  "CLOSE"};
	char text[OBJECT_ID_TEXT_SIZE + HASH_TEXT_SIZE] = "home";
	unsigned object = kind == 'd' ? choice % 2 * 3 : choice % OBJECTS;
	struct hash256 hash;

	switch (kind) {
	case 'h':
		sqlite3_bind_int64(statement, column, choice);
		return;
	case 'r':
		bind_record(statement, column, choice);
		return;
	case 'i':
	case 'd':
		object_id_format(kinds[object], &ids[object], text);
		break;
	case 't':
		memset(hash.bytes, choice % TXIDS, HASH_LEN);
		hash_format(&hash, text);
		break;
	case 'x':
		memset(text, 'a' + choice % 8, 2 * XONLY_LEN);
		text[2 * XONLY_LEN] = '\0';
		break;
	case 'k':
		strcpy(text, object_kind_name(kinds[object]));
		break;
	case 'T':
		strcpy(text, revocations[choice % ARRAY_SIZE(revocations)]);
		break;
	case 'm':
		strcpy(text, meta[choice % ARRAY_SIZE(meta)]);
		break;
	default:
		break;
	}
	sqlite3_bind_text(statement, column, text, -1, SQLITE_TRANSIENT);
}

static void bind_value(sqlite3_stmt *statement, int column, char kind, struct reader *r)
{
	uint8_t how = reader_u8(r), choice = reader_u8(r);
	size_t len = MIN((size_t)choice, reader_left(r));
	union {
		uint64_t bits;
		double real;
	} number = {0};
	const uint8_t *bytes;

	switch (how % 16) {
	case 0:
		sqlite3_bind_null(statement, column);
		break;
	case 1:
		sqlite3_bind_int64(statement, column, (int64_t)reader_u64(r));
		break;
	case 2:
		number.bits = reader_u64(r);
		sqlite3_bind_double(statement, column, number.real);
		break;
	case 3:
		bytes = reader_bytes(r, len);
		sqlite3_bind_text(statement, column, (const char *)bytes, (int)len,
				  SQLITE_TRANSIENT);
		break;
	case 4:
		bytes = reader_bytes(r, len);
		sqlite3_bind_blob(statement, column, bytes, (int)len, SQLITE_TRANSIENT);
		break;
	case 5: /* more than any program wants */
		sqlite3_bind_zeroblob(statement, column, choice * 64);
		break;
	default:
		bind_right(statement, column, kind, choice);
		break;
	}
}

static void fill(struct reader *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		run(deletes[i]);
	for (unsigned row = 0; row < ROWS_MAX && reader_left(r); row++) {
		size_t i = reader_u8(r) % ARRAY_SIZE(tables);

		for (size_t n = 0; tables[i].kinds[n]; n++)
			bind_value(inserts[i], (int)n + 1, tables[i].kinds[n], r);
		run(inserts[i]);
	}
}

/* ---- The readers ---- */

struct seen {
	struct record_row rows[ROWS_MAX];
	size_t row_count;
	struct netmap_revocation revocations[ROWS_MAX];
	size_t revocation_count;
	uint8_t only; /* type; 0: any */
};

static int on_row(void *arg, const struct record_row *row)
{
	struct seen *seen = arg;

	FUZZ_CHECK(row->kind >= OBJECT_DNET && row->kind <= OBJECT_OVR);
	FUZZ_CHECK(record_is_create(row->record.type)
			   ? record_creates(row->record.type) == row->kind
			   : record_fits_kind(&row->record, (enum object_kind)row->kind));
	FUZZ_CHECK(!seen->only || row->record.type == seen->only);
	if (seen->row_count < ROWS_MAX)
		seen->rows[seen->row_count++] = *row;
	return 0;
}

static int on_revocation(void *arg, const struct chaindb_revocation *from)
{
	struct seen *seen = arg;
	struct netmap_revocation to = {.object = from->object,
				       .type = from->type,
				       .subject_len = from->subject_len,
				       .sequence = from->sequence,
				       .position = from->position,
				       .txid = from->txid};

	FUZZ_CHECK(record_is_revocation(from->type) && from->subject_len <= RECORD_KEY_MAX);
	memcpy(to.subject, from->subject, sizeof(to.subject));
	if (seen->revocation_count < ROWS_MAX)
		seen->revocations[seen->revocation_count++] = to;
	return 0;
}

static int on_object(void *arg, const struct chaindb_object *object)
{
	const enum object_kind *kind = arg;

	FUZZ_CHECK(!*kind || object->kind == *kind);
	FUZZ_CHECK(strlen(object->name) < sizeof(object->name));
	FUZZ_CHECK(object->key_len == (object->kind == OBJECT_DNET ? XONLY_LEN : PUBKEY_LEN));
	return 0;
}

static int on_event(void *arg, const struct chaindb_event *event)
{
	size_t *len = arg;

	FUZZ_CHECK(event->type && event->text);
	*len += strlen(event->type) + strlen(event->text);
	*len += event->refused ? strlen(event->refused) : 0;
	return 0;
}

/* What was not read has a reason. */
static int check(struct chaindb *reader, int result)
{
	FUZZ_CHECK(result <= 0);
	FUZZ_CHECK(!result || reader->error[0]);
	reader->error[0] = '\0';
	return result;
}

static void read_dnet(struct chaindb *reader, const struct object_id *id)
{
	static struct seen seen;
	struct chaindb_tip tip = {0};
	struct netmap *netmap;

	seen.row_count = seen.revocation_count = 0;
	seen.only = 0;
	check(reader, chaindb_tip(reader, &tip));
	FUZZ_CHECK(memchr(tip.chain, '\0', sizeof(tip.chain)));
	if (!check(reader, chaindb_visit_dnet(reader, id, on_row, &seen)) &&
	    !check(reader, chaindb_visit_revocations(reader, id, on_revocation, &seen))) {
		struct netmap_input input = {.id = *id,
					     .rows = seen.rows,
					     .row_count = seen.row_count,
					     .revocations = seen.revocations,
					     .revocation_count = seen.revocation_count,
					     .tip_height = tip.height,
					     .confirm = 1};

		FUZZ_CHECK(!netmap_build(&input, &netmap));
		FUZZ_CHECK(netmap->node_count <= seen.row_count);
		netmap_free(netmap);
	}
}

static int on_seal(void *arg, const struct chaindb_seal *seal)
{
	*(size_t *)arg += seal->script_len;
	FUZZ_CHECK(seal->script_len <= sizeof(seal->script));
	return 0;
}

static void read_object(struct chaindb *reader, unsigned i)
{
	static struct seen seen;
	static struct chaindb_seal seal;
	char text[OBJECT_ID_TEXT_SIZE];
	struct chaindb_object object;
	enum object_kind any = 0;
	struct object_id owner;
	size_t len = 0;

	object_id_format(kinds[i], &ids[i], text);
	if (!check(reader, chaindb_find_object(reader, &ids[i], &object)))
		on_object(&any, &object);
	if (!check(reader, chaindb_resolve(reader, kinds[i], text, &object)))
		FUZZ_CHECK(object.kind == kinds[i] && object_id_equal(&object.id, &ids[i]));
	text[12] = '\0';
	check(reader, chaindb_resolve(reader, 0, text, &object));
	seen.only = 0;
	check(reader, chaindb_visit_object(reader, &ids[i], on_row, &seen));
	check(reader, chaindb_visit_object_revocations(reader, &ids[i], on_revocation, &seen));
	seen.only = RECORD_GRANT;
	check(reader, chaindb_visit_grants(reader, &ids[i], on_row, &seen));
	check(reader, chaindb_visit_history(reader, &ids[i], on_event, &len));
	check(reader, chaindb_visit_seals(reader, &ids[i], on_seal, &len));
	for (int pending = 0; pending < 2; pending++) {
		if (check(reader, chaindb_find_seal(reader, &ids[i], pending, &seal)))
			continue;
		FUZZ_CHECK(seal.script_len <= sizeof(seal.script));
		check(reader, chaindb_find_seal_owner(reader, &seal.outpoint, &owner));
	}
}

static void read_names(struct chaindb *reader)
{
	struct chaindb_object object;

	for (int kind = 0; kind <= OBJECT_OVR; kind++) {
		enum object_kind wanted = (enum object_kind)kind;

		check(reader, chaindb_search(reader, wanted, "", on_object, &wanted));
		if (!check(reader, chaindb_resolve(reader, wanted, "home", &object)))
			on_object(&wanted, &object);
	}
}

static void read_transactions(struct chaindb *reader)
{
	struct hash256 txid;
	size_t len = 0;

	for (int i = 0; i < TXIDS; i++) {
		memset(txid.bytes, i, HASH_LEN);
		check(reader, chaindb_visit_transaction(reader, &txid, on_event, &len));
	}
}

/* What chainwatch takes over at its start can be undone to its beginning. */
static void load(void)
{
	static const uint8_t seed[16] = {1};
	struct store store = {.db = db};
	struct registry_counts counts;
	struct registry *registry;

	FUZZ_CHECK(!registry_new(0, seed, &registry));
	if (store_load(&store, registry)) {
		FUZZ_CHECK(store.error[0]);
	} else {
		registry_undo(registry, 0);
		registry_count(registry, &counts);
		FUZZ_CHECK(counts.objects <= OBJECTS);
		registry_prune(registry, REGISTRY_PENDING);
	}
	registry_free(registry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct chaindb reader = {.path = (char *)"chain.db"};
	struct reader r;
	uint8_t who;

	if (!db)
		make_tables();
	reader_init(&r, data, len);
	who = reader_u8(&r);
	fill(&r);
	reader.db = db;
	FUZZ_CHECK(!chaindb_begin(&reader));
	if (who & READ_DNET)
		read_dnet(&reader, &ids[0]);
	for (unsigned i = 0; who & READ_OBJECT && i < OBJECTS; i++)
		read_object(&reader, i);
	if (who & READ_NAMES)
		read_names(&reader);
	if (who & READ_TRANSACTIONS)
		read_transactions(&reader);
	chaindb_end(&reader);
	if (who & LOAD)
		load();
	return 0;
}
