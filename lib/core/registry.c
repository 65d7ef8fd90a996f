#include "core/registry_state.h"

#include <errno.h>
#include <string.h>

/* What one transaction does, while it is applied. */
struct apply {
	struct registry *registry;
	const struct registry_sink *sink;
	const struct tx_view *tx;
	struct registry_place place;
	struct object *object; /* that vin[0] or a CREATE speaks for; NULL: nobody */
	uint32_t sequence;
	bool closed; /* by a CLOSE in this transaction */
};

/* The additions that the type replaces or removes (RECORDS 4.1, 4.2); 0: none. */
static uint8_t addition_of(uint8_t type)
{
	switch ((enum record_type)type) {
	case RECORD_NODE_PUT:
	case RECORD_NODE_DEL:
		return RECORD_NODE_PUT;
	case RECORD_LINK:
	case RECORD_UNLINK:
		return RECORD_LINK;
	case RECORD_ROSTER:
		return RECORD_ROSTER;
	case RECORD_ENDPOINT_PUT:
	case RECORD_ENDPOINT_DEL:
		return RECORD_ENDPOINT_PUT;
	case RECORD_GRANT:
	case RECORD_REVOKE:
		return RECORD_GRANT;
	case RECORD_TRANSFER:
		return RECORD_TRANSFER;
	case RECORD_DNET_CREATE:
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
	case RECORD_CLOSE:
		break;
	}
	return 0;
}

void registry_row_key(const struct object_id *object, const struct record *record,
		      struct row_key *ret_key)
{
	memset(ret_key, 0, sizeof(*ret_key));
	ret_key->object = *object;
	ret_key->type = addition_of(record->type);
	ret_key->len = (uint8_t)record_key(record, ret_key->bytes);
}

static uint32_t roster_sequence(const struct record *record)
{
	return record->type == RECORD_ROSTER ? record->roster.sequence : 0;
}

static int tell_event(const struct apply *a, uint32_t out_index, const struct payload_item *item,
		      enum record_reason reason)
{
	struct registry_event event = {
		.has_object = a->object != NULL,
		.sequence = a->sequence,
		.out_index = out_index,
		.pos = item->pos,
		.type = item->type,
		.raw = item->raw,
		.record = item->reason == RECORD_OK ? &item->record : NULL,
		.reason = reason,
	};

	if (a->object) {
		event.kind = a->object->kind;
		event.object = a->object->id;
	}
	return a->sink->on_event ? a->sink->on_event(a->sink->arg, &a->place, &event) : 0;
}

static int tell_revocation(const struct apply *a, const struct object *object, uint32_t sequence,
			   uint32_t out_index, uint32_t pos, const struct record *record)
{
	struct registry_revocation revocation = {
		.object = object->id,
		.kind = object->kind,
		.type = record ? record->type : RECORD_CLOSE,
		.sequence = sequence,
		.out_index = out_index,
		.pos = pos,
	};

	if (record)
		revocation.key_len = record_key(record, revocation.key);
	if (!a->sink->on_revocation)
		return 0;
	return a->sink->on_revocation(a->sink->arg, &a->place, &revocation);
}

static int tell_object_end(const struct apply *a, const struct object *object)
{
	if (!a->sink->on_object_end)
		return 0;
	return a->sink->on_object_end(a->sink->arg, &a->place, (enum object_kind)object->kind,
				      &object->id);
}

static int tell_seal_spent(const struct apply *a, const struct seal *spent)
{
	struct registry_seal seal = {
		.outpoint = spent->outpoint,
		.object = spent->object->id,
		.kind = spent->object->kind,
		.sequence = spent->sequence,
		.ref = spent->ref,
	};

	if (!a->sink->on_seal_spent)
		return 0;
	return a->sink->on_seal_spent(a->sink->arg, &a->place, &seal);
}

static int end_row(struct apply *a, struct row *row)
{
	const struct registry_row_end end = {
		.object = &row->object->id,
		.kind = (enum object_kind)row->object->kind,
		.type = row->type,
		.key = row->bytes,
		.key_len = row->len,
		.ref = row->ref,
	};
	int result = registry_end_row(a->registry, row, a->place.height);

	if (result || !a->sink->on_row_end)
		return result;
	return a->sink->on_row_end(a->sink->arg, &a->place, &end);
}

/* With everything that it has in force. */
static int end_object(struct apply *a, struct object *object)
{
	int result = 0;

	while (!result && object->rows)
		result = end_row(a, object->rows);
	if (!result)
		result = registry_end_object(a->registry, object, a->place.height);
	return result ? result : tell_object_end(a, object);
}

/* RECORDS 3.4: A transaction that spends a live seal in any other way (no carrier, no seal output,
 * or at another input than `vin[0]`) ends the object, as CLOSE does. */
static int lose_seal(struct apply *a, struct seal *seal)
{
	struct object *object = seal->object;
	uint32_t sequence = seal->sequence + 1;
	struct registry_event event = {
		.has_object = true,
		.kind = object->kind,
		.object = object->id,
		.sequence = sequence,
		.seal_lost = true,
		.reason = RECORD_OK,
	};
	int result = tell_seal_spent(a, seal);

	if (!result)
		result = registry_end_seal(a->registry, seal, a->place.height);
	if (!result)
		result = end_object(a, object);
	if (!result && a->sink->on_event)
		result = a->sink->on_event(a->sink->arg, &a->place, &event);
	if (!result)
		result = tell_revocation(a, object, sequence, 0, 0, NULL);
	return result;
}

static int new_seal(struct apply *a, uint32_t seal_index)
{
	struct registry_seal seal = {
		.outpoint = {.txid = a->place.txid, .vout = seal_index},
		.object = a->object->id,
		.kind = a->object->kind,
		.sequence = a->sequence,
	};
	struct tx_output output;
	struct seal *begun;
	int result;

	if (!tx_output_at(a->tx, seal_index, &output))
		return -EINVAL;
	seal.value = output.value;
	seal.script = output.script;
	result = registry_begin_seal(a->registry, a->object, &seal.outpoint, a->sequence,
				     a->place.height, &begun);
	if (result || !a->sink->on_seal)
		return result;
	return a->sink->on_seal(a->sink->arg, &a->place, &seal, &begun->ref);
}

static int put_row(struct apply *a, uint32_t out_index, const struct payload_item *item)
{
	struct record_row told = {
		.record = item->record,
		.object = a->object->id,
		.kind = (uint8_t)a->object->kind,
		.from_height = a->place.height,
		.to_height = REGISTRY_LIVE,
		.sequence = a->sequence,
		.tx_index = a->place.tx_index,
		.out_index = out_index,
		.pos = item->pos,
	};
	struct row_key key;
	struct row *row;
	int result = 0;

	registry_row_key(&a->object->id, &item->record, &key);
	row = registry_find_row(a->registry, &key);
	/* RECORDS 4.1: A PUT, LINK, GRANT or ROSTER replaces the one before it with the same key */
	if (row)
		result = end_row(a, row);
	if (!result)
		result = registry_begin_row(a->registry, a->object, &key,
					    roster_sequence(&item->record), a->place.height, &row);
	if (result || !a->sink->on_row)
		return result;
	return a->sink->on_row(a->sink->arg, &a->place, &told, &row->ref);
}

static enum record_reason judge_record(const struct apply *a, const struct record *record)
{
	struct row_key key;
	struct row *row;

	/* RECORDS 4.4: After CLOSE nothing counts for the object any more. */
	if (a->closed)
		return RECORD_CLOSED;
	/* RECORDS 3.3: A CREATE record in it is refused and the rest counts. */
	if (record_is_create(record->type))
		return RECORD_CREATE_AGAIN;
	if (!record_fits_kind(record, a->object->kind))
		return RECORD_WRONG_KIND;
	registry_row_key(&a->object->id, record, &key);
	row = registry_find_row(a->registry, &key);
	/* RECORDS 4.2: A DEL, UNLINK or REVOKE of what is not there is refused with the reason */
	if (record_is_revocation(record->type) && record->type != RECORD_CLOSE && !row)
		return RECORD_NOT_THERE;
	/* RECORDS 4.3: A ROSTER whose sequence is not greater than the one in force is refused. */
	if (record->type == RECORD_ROSTER && row && record->roster.sequence <= row->roster_sequence)
		return RECORD_OLD_SEQUENCE;
	return RECORD_OK;
}

static int close_object(struct apply *a)
{
	a->closed = true;
	return end_object(a, a->object);
}

static int carry_out(struct apply *a, uint32_t out_index, const struct payload_item *item)
{
	const struct record *record = &item->record;
	struct row_key key;
	int result = 0;

	if (record->type == RECORD_CLOSE) {
		result = close_object(a);
	} else if (record_is_revocation(record->type)) {
		registry_row_key(&a->object->id, record, &key);
		result = end_row(a, registry_find_row(a->registry, &key));
	} else if (record->type != RECORD_TRANSFER || record->transfer.has_admin_key) {
		result = put_row(a, out_index, item);
	}
	if (!result && record_is_revocation(record->type))
		result = tell_revocation(a, a->object, a->sequence, out_index, item->pos, record);
	return result;
}

/* One record of a transaction that speaks for a->object. */
static int apply_record(struct apply *a, const struct carrier *carrier,
			const struct payload_item *item)
{
	enum record_reason reason = item->reason;
	int result;

	/* RECORDS 2 (b'): A dnet_id that is not the object whose seal is spent makes it malformed.
	 */
	if (reason == RECORD_OK && carrier->kind == CARRIER_NODE &&
	    !object_id_equal(&carrier->dnet, &a->object->id))
		reason = RECORD_OTHER_OBJECT;
	if (reason == RECORD_OK)
		reason = judge_record(a, &item->record);
	if (reason == RECORD_OK) {
		result = carry_out(a, carrier->out_index, item);
		if (result)
			return result;
	}
	return tell_event(a, carrier->out_index, item, reason);
}

/* Every record of every payload of the transaction, which speaks for a->object. */
static int apply_payloads(struct apply *a, struct carrier *carrier)
{
	struct payload payload;
	struct payload_item item;
	int result;

	do {
		payload_open(&payload, carrier->payload, carrier->len);
		while (payload_next(&payload, &item)) {
			result = apply_record(a, carrier, &item);
			if (result)
				return result;
		}
	} while (carrier_next(a->tx, carrier));
	return 0;
}

/* Nothing of it counts: says so for each record. */
static int refuse_payloads(struct apply *a, struct carrier *carrier, enum record_reason reason)
{
	struct payload payload;
	struct payload_item item;
	int result;

	do {
		payload_open(&payload, carrier->payload, carrier->len);
		while (payload_next(&payload, &item)) {
			result = tell_event(a, carrier->out_index, &item,
					    item.reason == RECORD_OK ? reason : item.reason);
			if (result)
				return result;
		}
	} while (carrier_next(a->tx, carrier));
	return 0;
}

/* RECORDS 3.3: A transaction whose `vin[0]` spends the live seal of an object, and that has a
 * carrier with our magic, updates that object: its records apply in order, and the carrier's seal
 * output is the new seal. */
static int update_object(struct apply *a, struct seal *seal, struct carrier *carrier)
{
	uint32_t seal_index = carrier->seal_index;
	int result = tell_seal_spent(a, seal);

	a->object = seal->object;
	a->sequence = seal->sequence + 1;
	if (!result)
		result = registry_end_seal(a->registry, seal, a->place.height);
	if (!result)
		result = apply_payloads(a, carrier);
	if (!result && !a->closed)
		result = new_seal(a, seal_index);
	return result;
}

/* RECORDS 3.4 with a payload: there is no output to be the new seal. */
static int refuse_update(struct apply *a, struct seal *seal, struct carrier *carrier)
{
	int result;

	a->object = seal->object;
	a->sequence = seal->sequence + 1;
	result = refuse_payloads(a, carrier, RECORD_NO_SEAL);
	return result ? result : lose_seal(a, seal);
}

/* Makes the object of a CREATE that stands first in its transaction. */
static int make_object(struct apply *a, const struct carrier *carrier,
		       const struct payload_item *item)
{
	struct record_row row = {
		.record = item->record,
		.kind = (uint8_t)record_creates(item->type),
		.from_height = a->place.height,
		.to_height = REGISTRY_LIVE,
		.tx_index = a->place.tx_index,
		.out_index = carrier->out_index,
		.pos = item->pos,
	};
	struct outpoint first = tx_first_outpoint(a->tx);
	int result;

	object_id_derive((enum object_kind)row.kind, &first, &row.object);
	result = registry_begin_object(a->registry, (enum object_kind)row.kind, &row.object,
				       a->place.height, &a->object);
	if (!result && a->sink->on_object)
		result = a->sink->on_object(a->sink->arg, &a->place, &row);
	return result ? result : tell_event(a, carrier->out_index, item, RECORD_OK);
}

/* RECORDS 3.2: The first record of a transaction whose `vin[0]` spends no live seal has to be a
 * CREATE record; it makes the object, and the carrier's seal output is its first seal. */
static int create_object(struct apply *a, struct carrier *carrier)
{
	uint32_t seal_index = carrier->seal_index;
	struct payload payload;
	struct payload_item item;
	int result;

	payload_open(&payload, carrier->payload, carrier->len);
	/* The outpoint of a coinbase is that of every coinbase: no id can come from it. */
	if (tx_is_coinbase(a->tx) || carrier->kind == CARRIER_NODE ||
	    !payload_next(&payload, &item) || item.reason != RECORD_OK ||
	    !record_is_create(item.type))
		return refuse_payloads(a, carrier, RECORD_NOT_OWNER);
	if (seal_index == CARRIER_NO_SEAL)
		return refuse_payloads(a, carrier, RECORD_NO_SEAL);
	result = make_object(a, carrier, &item);
	while (!result && payload_next(&payload, &item))
		result = apply_record(a, carrier, &item);
	if (!result && carrier_next(a->tx, carrier))
		result = apply_payloads(a, carrier);
	if (!result && !a->closed)
		result = new_seal(a, seal_index);
	return result;
}

/* Ends the objects whose seals are spent at inputs from first on. */
static int lose_seals(struct apply *a, uint32_t first)
{
	struct tx_iter it = tx_inputs(a->tx);
	struct tx_input input;
	struct seal *seal;
	int result = 0;

	for (uint32_t i = 0; !result && tx_next_input(&it, &input); i++) {
		seal = i >= first ? registry_find_seal(a->registry, input.outpoint) : NULL;
		if (seal)
			result = lose_seal(a, seal);
	}
	return result;
}

bool registry_spends_seal(const struct registry *registry, const struct tx_view *tx)
{
	struct tx_iter it = tx_inputs(tx);
	struct tx_input input;

	while (registry->seals.count && tx_next_input(&it, &input))
		if (registry_find_seal(registry, input.outpoint))
			return true;
	return false;
}

int registry_apply_tx(struct registry *registry, uint32_t height, uint32_t tx_index,
		      const struct tx_view *tx, const struct registry_sink *sink)
{
	struct apply a = {
		.registry = registry,
		.sink = sink,
		.tx = tx,
		.place = {.height = height, .tx_index = tx_index},
	};
	bool spends = registry_spends_seal(registry, tx);
	struct carrier carrier;
	struct tx_input input;
	struct tx_iter it;
	struct seal *seal = NULL;
	bool carries = carrier_find(tx, registry->op_node, &carrier);
	int result;

	if (!spends && !carries)
		return 0;
	tx_txid(tx, &a.place.txid);
	it = tx_inputs(tx);
	if (tx_next_input(&it, &input))
		seal = registry_find_seal(registry, input.outpoint);
	if (seal && carries && carrier.seal_index != CARRIER_NO_SEAL)
		result = update_object(&a, seal, &carrier);
	else if (seal && carries)
		result = refuse_update(&a, seal, &carrier);
	else if (seal)
		result = lose_seal(&a, seal);
	else
		result = carries ? create_object(&a, &carrier) : 0;
	return result ? result : lose_seals(&a, 1);
}

/* What a transaction spends is looked up in tables that do not fit in the nearest cache: memory is
 * asked for them some transactions ahead. */
int registry_apply_block(struct registry *registry, uint32_t height, struct block_view *block,
			 const struct registry_sink *sink)
{
	enum { AHEAD = 8 };
	struct tx_view txs[AHEAD];
	uint32_t read = 0, applied = 0;
	int result = 0;

	while (!result) {
		while (read - applied < AHEAD && block_next(block, &txs[read % AHEAD]))
			registry_prefetch(registry, &txs[read++ % AHEAD]);
		if (applied == read)
			break;
		result = registry_apply_tx(registry, height, applied, &txs[applied % AHEAD], sink);
		applied++;
	}
	return result;
}
