#include "chainwatch/store_private.h"

#include "wire/bech32.h"
#include "wire/describe.h"
#include "wire/hex.h"

#include <stdio.h>
#include <string.h>

/* Binds the columns of a row one after the other; the order is that of the statement. */
struct binder {
	sqlite3_stmt *statement;
	int next;
};

static void bind_int(struct binder *b, int64_t value)
{
	sqlite3_bind_int64(b->statement, b->next++, value);
}

static void bind_text(struct binder *b, const char *text)
{
	sqlite3_bind_text(b->statement, b->next++, text, -1, SQLITE_TRANSIENT);
}

static void bind_null(struct binder *b)
{
	sqlite3_bind_null(b->statement, b->next++);
}

/* Empty is an empty blob, not NULL. */
static void bind_blob(struct binder *b, const void *data, size_t len)
{
	sqlite3_bind_blob64(b->statement, b->next++, len ? data : "", len, SQLITE_TRANSIENT);
}

static void bind_hash(struct binder *b, const struct hash256 *hash)
{
	char text[HASH_TEXT_SIZE];

	hash_format(hash, text);
	bind_text(b, text);
}

static void bind_hex(struct binder *b, const uint8_t *data, size_t len)
{
	char text[2 * PUBKEY_LEN + 1];

	hex_format(data, len, text);
	bind_text(b, text);
}

static void bind_id(struct binder *b, enum object_kind kind, const struct object_id *id)
{
	char text[OBJECT_ID_TEXT_SIZE];

	object_id_format(kind, id, text);
	bind_text(b, text);
}

static void bind_address(struct binder *b, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX];

	if (address->family == ADDR_NONE)
		bind_null(b);
	else
		bind_text(b, address_format(address, text));
}

/* The record as it stood in the payload. */
static void bind_record(struct binder *b, const struct record *record)
{
	uint8_t mem[RECORD_HEADER_LEN + RECORD_BODY_MAX];
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	record_write(&w, record);
	bind_blob(b, mem, writer_len(&w));
}

static struct binder binder_of(struct store *store, enum store_statement which)
{
	return (struct binder){.statement = store_statement(store, which), .next = 1};
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
	struct binder b = binder_of(store, STORE_PENDING);
	const struct registry_seal *known = seal ? seal : spent;
	const struct record *record = create ? &create->record : NULL;
	enum object_kind kind = create ? (enum object_kind)create->kind : known->kind;

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
	b = binder_of(store, STORE_OBJECT);
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
} row_statements[] = {
	{RECORD_NODE_PUT, STORE_NODE, STORE_NODE_END},
	{RECORD_LINK, STORE_LINK, STORE_LINK_END},
	{RECORD_ROSTER, STORE_ROSTER, STORE_ROSTER_END},
	{RECORD_ENDPOINT_PUT, STORE_ENDPOINT, STORE_ENDPOINT_END},
	{RECORD_GRANT, STORE_GRANT, STORE_GRANT_END},
	{RECORD_TRANSFER, STORE_TRANSFER, STORE_TRANSFER_END},
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
	int result;

	if (is_pending(place))
		return 0;
	b = binder_of(store, STORE_OBJECT_END);
	bind_int(&b, place->height);
	bind_id(&b, kind, object);
	result = store_step(store, b.statement);
	/* a NULL subject means all of the object */
	for (size_t i = 0; !result && i < ROW_STATEMENTS; i++) {
		b = binder_of(store, row_statements[i].end);
		bind_int(&b, place->height);
		bind_id(&b, kind, object);
		bind_null(&b);
		result = store_step(store, b.statement);
	}
	return result;
}

static int on_seal(void *arg, const struct registry_place *place, const struct registry_seal *seal)
{
	bool pending = is_pending(place);
	struct store *store = arg;
	struct binder b = binder_of(store, pending ? STORE_PENDING_SEAL : STORE_SEAL);

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
	return store_step(store, b.statement);
}

static int on_seal_spent(void *arg, const struct registry_place *place,
			 const struct registry_seal *seal)
{
	struct store *store = arg;
	struct binder b;

	if (is_pending(place))
		return add_pending(store, place, NULL, seal, NULL);
	b = binder_of(store, STORE_SEAL_SPENT);
	bind_int(&b, place->height);
	bind_hash(&b, &seal->outpoint.txid);
	bind_int(&b, seal->outpoint.vout);
	return store_step(store, b.statement);
}

static void bind_columns(struct binder *b, const struct record *record)
{
	char text[RECORD_TEXT_SIZE];

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
			bind_text(b, address_format(&record->endpoint.address, text));
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

static int on_row(void *arg, const struct registry_place *place, const struct record_row *row)
{
	uint8_t key[RECORD_KEY_MAX];
	struct store *store = arg;
	struct binder b;

	if (is_pending(place))
		return 0;
	b = binder_of(store, row_statements[row_index(row->record.type)].put);
	bind_id(&b, (enum object_kind)row->kind, &row->object);
	bind_columns(&b, &row->record);
	bind_blob(&b, key, record_key(&row->record, key));
	bind_record(&b, &row->record);
	bind_place(&b, place, row);
	return store_step(store, b.statement);
}

static int on_row_end(void *arg, const struct registry_place *place, enum object_kind kind,
		      const struct object_id *object, uint8_t type, const uint8_t *key,
		      size_t key_len)
{
	struct store *store = arg;
	struct binder b;

	if (is_pending(place))
		return 0;
	b = binder_of(store, row_statements[row_index(type)].end);
	bind_int(&b, place->height);
	bind_id(&b, kind, object);
	bind_blob(&b, key, key_len);
	return store_step(store, b.statement);
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
	struct binder b = binder_of(store, is_pending(place) ? STORE_PENDING_LOG : STORE_LOG);
	char type[32], text[RECORD_TEXT_SIZE];

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
	struct binder b = binder_of(store, STORE_REVOCATION);
	char text[RECORD_TEXT_SIZE];
	struct record record;
	int result;

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
