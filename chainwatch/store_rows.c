#include "chainwatch/store_private.h"

#include "wire/bech32.h"
#include "wire/describe.h"
#include "wire/hex.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Binds the columns of a row one after the other; the order is that of the statement. What it makes
 * for that lives as long as it does: until the statement was stepped. */
struct binder {
	struct store *store;
	sqlite3_stmt *statement;
	int next;
	size_t used;
	char made[1024];
};

static void bind_int(struct binder *b, int64_t value)
{
	sqlite3_bind_int64(b->statement, b->next++, value);
}

/* Borrowed until the statement was stepped. */
static void bind_text(struct binder *b, const char *text)
{
	sqlite3_bind_text(b->statement, b->next++, text, -1, SQLITE_STATIC);
}

static void bind_null(struct binder *b)
{
	sqlite3_bind_null(b->statement, b->next++);
}

/* Borrowed too. Empty is an empty blob, not NULL. */
static void bind_blob(struct binder *b, const void *data, size_t len)
{
	sqlite3_bind_blob64(b->statement, b->next++, len ? data : "", len, SQLITE_STATIC);
}

static char *room(struct binder *b, size_t size)
{
	char *made = b->made + b->used;

	assert(size <= sizeof(b->made) - b->used);
	b->used += size;
	return made;
}

static void bind_copy(struct binder *b, const char *text, size_t size)
{
	bind_text(b, memcpy(room(b, size), text, size));
}

static void bind_hash(struct binder *b, const struct hash256 *hash)
{
	struct store_memo *memo = &b->store->memo;

	if (!memo->hash_text[0] || memcmp(&memo->hash, hash, sizeof(*hash)) != 0) {
		memo->hash = *hash;
		hash_format(hash, memo->hash_text);
	}
	bind_copy(b, memo->hash_text, sizeof(memo->hash_text));
}

static void bind_hex(struct binder *b, const uint8_t *data, size_t len)
{
	char *text = room(b, 2 * len + 1);

	hex_format(data, len, text);
	bind_text(b, text);
}

static void bind_id(struct binder *b, enum object_kind kind, const struct object_id *id)
{
	struct store_memo *memo = &b->store->memo;

	if (memo->kind != kind || !object_id_equal(&memo->id, id)) {
		memo->kind = kind;
		memo->id = *id;
		object_id_format(kind, id, memo->id_text);
	}
	bind_copy(b, memo->id_text, sizeof(memo->id_text));
}

static void bind_address(struct binder *b, const struct address *address)
{
	if (address->family == ADDR_NONE)
		bind_null(b);
	else
		bind_text(b, address_format(address, room(b, ADDRESS_TEXT_MAX)));
}

/* The record as it stood in the payload. */
static void bind_record(struct binder *b, const struct record *record)
{
	char *mem = room(b, RECORD_HEADER_LEN + RECORD_BODY_MAX);
	struct writer w;

	writer_init(&w, mem, RECORD_HEADER_LEN + RECORD_BODY_MAX);
	record_write(&w, record);
	bind_blob(b, mem, writer_len(&w));
}

static void begin(struct binder *b, struct store *store, enum store_statement which)
{
	b->store = store;
	b->statement = store_statement(store, which);
	b->next = 1;
	b->used = 0;
}

static bool is_pending(const struct registry_place *place)
{
	return place->height == REGISTRY_PENDING;
}

static void bind_place(struct binder *b, const struct registry_place *place,
		       const struct record_row *row)
{
	bind_int(b, row->sequence);
	bind_int(b, place->height);
	bind_hash(b, &place->txid);
	bind_int(b, place->tx_index);
	bind_int(b, row->out_index);
	bind_int(b, row->pos);
}

/* A transaction of ours that is not in a block; seal NULL: it makes none. */
static int add_pending(struct store *store, const struct registry_place *place,
		       const struct registry_seal *seal, const struct registry_seal *spent,
		       const struct record_row *create)
{
	const struct registry_seal *known = seal ? seal : spent;
	const struct record *record = create ? &create->record : NULL;
	enum object_kind kind = create ? (enum object_kind)create->kind : known->kind;
	struct binder b;

	begin(&b, store, STORE_PENDING);
	bind_hash(&b, &place->txid);
	bind_id(&b, kind, create ? &create->object : &known->object);
	bind_text(&b, object_kind_name(kind));
	bind_int(&b, create ? 0 : known->sequence + (spent ? 1 : 0));
	if (spent) {
		bind_hash(&b, &spent->outpoint.txid);
		bind_int(&b, spent->outpoint.vout);
	} else {
		bind_null(&b);
		bind_null(&b);
	}
	if (record) {
		bind_text(&b, kind == OBJECT_DNET ? record->dnet_create.name
						  : record->service_create.name);
		bind_record(&b, record);
	} else {
		bind_null(&b);
		bind_null(&b);
	}
	bind_int(&b, (int64_t)store->now_s);
	store->counts.pending++;
	return store_step(store, b.statement);
}

static int on_object(void *arg, const struct registry_place *place, const struct record_row *row)
{
	const struct record *record = &row->record;
	enum object_kind kind = (enum object_kind)row->kind;
	struct store *store = arg;
	struct binder b;
	char prefix[PREFIX_TEXT_MAX];

	if (is_pending(place))
		return add_pending(store, place, NULL, NULL, row);
	begin(&b, store, STORE_OBJECT);
	bind_id(&b, kind, &row->object);
	bind_text(&b, object_kind_name(kind));
	if (kind == OBJECT_DNET) {
		bind_text(&b, record->dnet_create.name);
		bind_hex(&b, record->dnet_create.admin_key, XONLY_LEN);
	} else {
		bind_text(&b, record->service_create.name);
		bind_hex(&b, record->service_create.service_key.bytes, PUBKEY_LEN);
	}
	if (kind == OBJECT_DNET && record->dnet_create.ipv4.addr.family != ADDR_NONE)
		bind_text(&b, prefix_format(&record->dnet_create.ipv4, prefix));
	else
		bind_null(&b);
	bind_record(&b, record);
	bind_place(&b, place, row);
	return store_step(store, b.statement);
}

static const struct {
	uint8_t type;
	enum store_statement put, end;
	const char *end_by_key;
} row_statements[] = {
	{RECORD_NODE_PUT, STORE_NODE, STORE_NODE_END, STORE_END_ROW_BY_KEY("node")},
	{RECORD_LINK, STORE_LINK, STORE_LINK_END, STORE_END_ROW_BY_KEY("link")},
	{RECORD_ROSTER, STORE_ROSTER, STORE_ROSTER_END, STORE_END_ROW_BY_KEY("roster")},
	{RECORD_ENDPOINT_PUT, STORE_ENDPOINT, STORE_ENDPOINT_END, STORE_END_ROW_BY_KEY("endpoint")},
	{RECORD_GRANT, STORE_GRANT, STORE_GRANT_END, STORE_END_ROW_BY_KEY("grant_")},
	{RECORD_TRANSFER, STORE_TRANSFER, STORE_TRANSFER_END, STORE_END_ROW_BY_KEY("transfer")},
};

enum { ROW_STATEMENTS = sizeof(row_statements) / sizeof(row_statements[0]) };

static size_t row_index(uint8_t type)
{
	size_t i = 0;

	while (i < ROW_STATEMENTS - 1 && row_statements[i].type != type)
		i++;
	return i;
}

static int on_object_end(void *arg, const struct registry_place *place, enum object_kind kind,
			 const struct object_id *object)
{
	struct store *store = arg;
	struct binder b;

	if (is_pending(place))
		return 0;
	begin(&b, store, STORE_OBJECT_END);
	bind_int(&b, place->height);
	bind_id(&b, kind, object);
	return store_step(store, b.statement);
}

static int on_seal(void *arg, const struct registry_place *place, const struct registry_seal *seal,
		   uint64_t *ref)
{
	bool pending = is_pending(place);
	struct store *store = arg;
	struct binder b;
	int result;

	begin(&b, store, pending ? STORE_PENDING_SEAL : STORE_SEAL);
	bind_id(&b, seal->kind, &seal->object);
	bind_hash(&b, &seal->outpoint.txid);
	bind_int(&b, seal->outpoint.vout);
	bind_int(&b, (int64_t)seal->value);
	bind_blob(&b, seal->script.data, seal->script.len);
	if (!pending) {
		bind_int(&b, seal->sequence);
		bind_int(&b, place->tx_index);
		bind_int(&b, place->height);
	}
	result = store_step(store, b.statement);
	*ref = result || pending ? 0 : (uint64_t)sqlite3_last_insert_rowid(store->db);
	return result;
}

/* Ends a seal or row where it was put. *ret_found: it was there. */
static int end_at(struct binder *b, uint64_t ref, bool *ret_found)
{
	int result;

	bind_int(b, (int64_t)ref);
	result = store_step(b->store, b->statement);
	*ret_found = !result && sqlite3_changes(b->store->db) == 1;
	return result;
}

/* The same by its key: a VACUUM by somebody else numbers rows anew. */
static int begin_look(struct binder *b, struct store *store, const char *sql)
{
	if (sqlite3_prepare_v2(store->db, sql, -1, &b->statement, NULL) != SQLITE_OK)
		return store_fail(store, "cannot write");
	b->store = store;
	b->next = 1;
	b->used = 0;
	return 0;
}

static int end_look(struct binder *b)
{
	int result = store_step(b->store, b->statement);

	sqlite3_finalize(b->statement);
	return result;
}

static void bind_seal_spent(struct binder *b, const struct registry_place *place,
			    const struct registry_seal *seal)
{
	bind_int(b, place->height);
	bind_hash(b, &seal->outpoint.txid);
	bind_int(b, seal->outpoint.vout);
}

static int on_seal_spent(void *arg, const struct registry_place *place,
			 const struct registry_seal *seal)
{
	struct store *store = arg;
	struct binder b;
	bool found;
	int result;

	if (is_pending(place))
		return add_pending(store, place, NULL, seal, NULL);
	begin(&b, store, STORE_SEAL_SPENT);
	bind_seal_spent(&b, place, seal);
	result = end_at(&b, seal->ref, &found);
	if (result || found)
		return result;
	result = begin_look(&b, store, STORE_SEAL_SPENT_BY_KEY);
	if (result)
		return result;
	bind_seal_spent(&b, place, seal);
	return end_look(&b);
}

static void bind_columns(struct binder *b, const struct record *record)
{
	switch ((enum record_type)record->type) {
	case RECORD_NODE_PUT:
		bind_hex(b, record->node_put.key.bytes, PUBKEY_LEN);
		bind_text(b, record->node_put.name);
		bind_address(b, &record->node_put.ipv4);
		bind_address(b, &record->node_put.ipv6);
		bind_int(b, record->node_put.flags);
		break;
	case RECORD_LINK:
		bind_text(b, object_kind_name((enum object_kind)record->link.kind));
		bind_id(b, (enum object_kind)record->link.kind, &record->link.id);
		bind_int(b, record->link.priority);
		bind_int(b, record->link.weight);
		break;
	case RECORD_ROSTER:
		bind_int(b, record->roster.sequence);
		bind_hex(b, record->roster.root.bytes, HASH_LEN);
		break;
	case RECORD_ENDPOINT_PUT:
		bind_text(b, record_transport_name(record->endpoint.transport));
		bind_int(b, record->endpoint.port);
		if (record->endpoint.address.family == ADDR_NONE)
			bind_text(b, record->endpoint.host);
		else
			bind_address(b, &record->endpoint.address);
		break;
	case RECORD_GRANT:
		bind_id(b, OBJECT_DNET, &record->grant.dnet);
		bind_int(b, record->grant.expiry);
		bind_int(b, record->grant.rate_kbit);
		bind_int(b, record->grant.volume_mib);
		break;
	case RECORD_TRANSFER:
		bind_hex(b, record->transfer.admin_key, XONLY_LEN);
		break;
	case RECORD_DNET_CREATE:
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
	case RECORD_NODE_DEL:
	case RECORD_UNLINK:
	case RECORD_ENDPOINT_DEL:
	case RECORD_REVOKE:
	case RECORD_CLOSE:
		break;
	}
}

static int on_row(void *arg, const struct registry_place *place, const struct record_row *row,
		  uint64_t *ref)
{
	uint8_t key[RECORD_KEY_MAX];
	struct store *store = arg;
	struct binder b;
	int result;

	if (is_pending(place))
		return 0;
	begin(&b, store, row_statements[row_index(row->record.type)].put);
	bind_id(&b, (enum object_kind)row->kind, &row->object);
	bind_columns(&b, &row->record);
	bind_blob(&b, key, record_key(&row->record, key));
	bind_record(&b, &row->record);
	bind_place(&b, place, row);
	result = store_step(store, b.statement);
	*ref = result ? 0 : (uint64_t)sqlite3_last_insert_rowid(store->db);
	return result;
}

static void bind_row_end(struct binder *b, const struct registry_place *place,
			 const struct registry_row_end *end)
{
	bind_int(b, place->height);
	bind_id(b, end->kind, end->object);
	bind_blob(b, end->key, end->key_len);
}

static int on_row_end(void *arg, const struct registry_place *place,
		      const struct registry_row_end *end)
{
	size_t which = row_index(end->type);
	struct binder b;
	bool found;
	int result;

	if (is_pending(place))
		return 0;
	begin(&b, arg, row_statements[which].end);
	bind_row_end(&b, place, end);
	result = end_at(&b, end->ref, &found);
	if (result || found)
		return result;
	result = begin_look(&b, arg, row_statements[which].end_by_key);
	if (result)
		return result;
	bind_row_end(&b, place, end);
	return end_look(&b);
}

static void event_text(const struct registry_event *event, char type[static 32],
		       char text[static RECORD_TEXT_SIZE])
{
	const char *name = record_type_name(event->type);

	if (event->seal_lost) {
		snprintf(type, 32, "SEAL_LOST");
		snprintf(text, RECORD_TEXT_SIZE, "the seal was spent without a record");
	} else if (event->type == 0) {
		snprintf(type, 32, "PAYLOAD");
		snprintf(text, RECORD_TEXT_SIZE, "%zu bytes", event->raw.len);
	} else if (!name) {
		snprintf(type, 32, "TYPE_%02x", event->type);
		snprintf(text, RECORD_TEXT_SIZE, "%zu bytes", event->raw.len);
	} else {
		snprintf(type, 32, "%s", name);
		if (event->record)
			record_describe(event->record, text);
		else
			snprintf(text, RECORD_TEXT_SIZE, "%s, malformed", name);
	}
}

static int on_event(void *arg, const struct registry_place *place,
		    const struct registry_event *event)
{
	struct store *store = arg;
	char type[32], text[RECORD_TEXT_SIZE];
	struct binder b;

	begin(&b, store, is_pending(place) ? STORE_PENDING_LOG : STORE_LOG);
	event_text(event, type, text);
	if (!is_pending(place)) {
		bind_int(&b, place->height);
		bind_int(&b, place->tx_index);
		store->counts.records += event->reason == RECORD_OK;
		store->counts.refused += event->reason != RECORD_OK;
	}
	bind_int(&b, event->out_index);
	bind_int(&b, event->pos);
	bind_hash(&b, &place->txid);
	bind_int(&b, is_pending(place) ? (int64_t)store->now_s : store->tip.time);
	if (event->has_object) {
		bind_id(&b, event->kind, &event->object);
		bind_int(&b, event->sequence);
	} else {
		bind_null(&b);
		bind_null(&b);
	}
	bind_text(&b, type);
	bind_text(&b, text);
	if (event->reason == RECORD_OK)
		bind_null(&b);
	else
		bind_text(&b, record_reason_text(event->reason));
	bind_blob(&b, event->raw.data, event->raw.len);
	return store_step(store, b.statement);
}

static int on_revocation(void *arg, const struct registry_place *place,
			 const struct registry_revocation *revocation)
{
	struct store *store = arg;
	char text[RECORD_TEXT_SIZE];
	struct record record;
	struct binder b;
	int result;

	begin(&b, store, STORE_REVOCATION);
	bind_id(&b, revocation->kind, &revocation->object);
	bind_text(&b, record_type_name(revocation->type));
	bind_blob(&b, revocation->key, revocation->key_len);
	bind_int(&b, revocation->sequence);
	bind_hash(&b, &place->txid);
	bind_int(&b, revocation->out_index);
	bind_int(&b, revocation->pos);
	bind_int(&b, (int64_t)store->now_s);
	if (is_pending(place))
		bind_null(&b);
	else
		bind_int(&b, place->height);
	bind_text(&b, is_pending(place) ? "mempool" : "block");
	/* the key is the body of a DEL, UNLINK or REVOKE */
	if (record_parse(revocation->type, revocation->key, revocation->key_len, &record) ==
	    RECORD_OK)
		bind_text(&b, record_describe(&record, text));
	else
		bind_text(&b, record_type_name(revocation->type));
	result = store_step(store, b.statement);
	store->counts.revocations += result == 0 && sqlite3_changes(store->db) > 0;
	return result;
}

void store_init_sink(struct store *store)
{
	store->sink = (struct registry_sink){
		.arg = store,
		.on_object = on_object,
		.on_object_end = on_object_end,
		.on_seal = on_seal,
		.on_seal_spent = on_seal_spent,
		.on_row = on_row,
		.on_row_end = on_row_end,
		.on_event = on_event,
		.on_revocation = on_revocation,
	};
}
