#include "service/inputcopy.h"

#include "os/base.h"
#include "service/chain.h"
#include "wire/hex.h"
#include "wire/record.h"

#include <stdlib.h>
#include <string.h>

enum { FORMAT = 2, RECORD_TEXT_SIZE = 2 * (RECORD_HEADER_LEN + RECORD_BODY_MAX) + 1 };

static json_t *row_to_json(const struct record_row *row)
{
	uint8_t bytes[RECORD_HEADER_LEN + RECORD_BODY_MAX];
	char record[RECORD_TEXT_SIZE], object[2 * OBJECT_ID_LEN + 1];
	struct writer w;
	writer_init(&w, bytes, sizeof(bytes));
	record_write(&w, &row->record);
	if (w.failed)
		return NULL;
	hex_format(bytes, writer_len(&w), record);
	hex_format(row->object.bytes, OBJECT_ID_LEN, object);
	return json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "record", record,
			 "object", object, "kind", (int)row->kind, "from",
			 (json_int_t)row->from_height, "to", (json_int_t)row->to_height, "sequence",
			 (json_int_t)row->sequence, "tx", (json_int_t)row->tx_index, "out",
			 (json_int_t)row->out_index, "pos", (json_int_t)row->pos);
}

static json_t *revocation_to_json(const struct netmap_revocation *r)
{
	char subject[2 * RECORD_KEY_MAX + 1], object[2 * OBJECT_ID_LEN + 1];
	char txid[2 * HASH_LEN + 1];
	hex_format(r->subject, r->subject_len, subject);
	hex_format(r->object.bytes, OBJECT_ID_LEN, object);
	hex_format(r->txid.bytes, HASH_LEN, txid);
	return json_pack("{s:s, s:i, s:s, s:I, s:I, s:s}", "object", object, "type", (int)r->type,
			 "subject", subject, "sequence", (json_int_t)r->sequence, "position",
			 (json_int_t)r->position, "txid", txid);
}

json_t *input_to_json(const struct netmap_input *input)
{
	char id[2 * OBJECT_ID_LEN + 1];
	hex_format(input->id.bytes, OBJECT_ID_LEN, id);
	json_t *rows = json_array(), *revocations = json_array();
	bool good = rows && revocations;
	for (size_t i = 0; i < input->row_count && good; i++)
		good = json_array_append_new(rows, row_to_json(&input->rows[i])) == 0;
	for (size_t i = 0; i < input->revocation_count && good; i++)
		good = json_array_append_new(revocations,
					     revocation_to_json(&input->revocations[i])) == 0;
	if (!good) {
		json_decref(rows);
		json_decref(revocations);
		return NULL;
	}
	return json_pack("{s:i, s:s, s:I, s:I, s:o, s:o}", "format", FORMAT, "dnet", id, "height",
			 (json_int_t)input->tip_height, "confirm", (json_int_t)input->confirm,
			 "rows", rows, "revocations", revocations);
}

static bool get_u32(const json_t *object, const char *name, uint32_t *ret)
{
	const json_t *value = json_object_get(object, name);
	if (!json_is_integer(value))
		return false;
	json_int_t number = json_integer_value(value);
	if (number < 0 || number > UINT32_MAX)
		return false;
	*ret = (uint32_t)number;
	return true;
}

static bool get_id(const json_t *object, const char *name, struct object_id *ret)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text && hex_parse(text, ret->bytes, OBJECT_ID_LEN);
}

static bool get_record(const json_t *object, struct record *ret)
{
	const char *text = json_string_value(json_object_get(object, "record"));
	uint8_t bytes[RECORD_HEADER_LEN + RECORD_BODY_MAX];
	size_t len;
	if (!text || !hex_parse_any(text, bytes, sizeof(bytes), &len) || len < RECORD_HEADER_LEN ||
	    bytes[1] != len - RECORD_HEADER_LEN)
		return false;
	return record_parse(bytes[0], bytes + RECORD_HEADER_LEN, bytes[1], ret) == RECORD_OK;
}

static bool row_from_json(const json_t *json, struct record_row *ret)
{
	struct record_row row = {0};
	uint32_t kind;
	if (!get_record(json, &row.record) || !get_id(json, "object", &row.object) ||
	    !get_u32(json, "kind", &kind) || kind < OBJECT_DNET || kind > OBJECT_OVR ||
	    !get_u32(json, "from", &row.from_height) || !get_u32(json, "to", &row.to_height) ||
	    !get_u32(json, "sequence", &row.sequence) || !get_u32(json, "tx", &row.tx_index) ||
	    !get_u32(json, "out", &row.out_index) || !get_u32(json, "pos", &row.pos))
		return false;
	row.kind = (uint8_t)kind;
	*ret = row;
	return true;
}

static bool revocation_from_json(const json_t *json, struct netmap_revocation *ret)
{
	struct netmap_revocation r = {0};
	uint32_t type;
	const char *subject = json_string_value(json_object_get(json, "subject"));
	const char *txid = json_string_value(json_object_get(json, "txid"));
	if (!get_id(json, "object", &r.object) || !get_u32(json, "type", &type) || type > 255 ||
	    !record_is_revocation((uint8_t)type) || !subject ||
	    !hex_parse_any(subject, r.subject, sizeof(r.subject), &r.subject_len) ||
	    !get_u32(json, "sequence", &r.sequence) || !get_u32(json, "position", &r.position) ||
	    !txid || !hex_parse(txid, r.txid.bytes, HASH_LEN))
		return false;
	r.type = (uint8_t)type;
	*ret = r;
	return true;
}

bool input_from_json(const json_t *json, struct netmap_input *ret_input)
{
	const json_t *rows = json_object_get(json, "rows");
	const json_t *revocations = json_object_get(json, "revocations");
	struct netmap_input input = {0};
	uint32_t format;
	if (!get_u32(json, "format", &format) || format != FORMAT ||
	    !get_id(json, "dnet", &input.id) || !get_u32(json, "height", &input.tip_height) ||
	    !get_u32(json, "confirm", &input.confirm) || input.confirm == 0 ||
	    !json_is_array(rows) || !json_is_array(revocations) ||
	    json_array_size(rows) > INPUT_ROWS_MAX ||
	    json_array_size(revocations) > INPUT_REVOCATIONS_MAX)
		return false;
	input.row_count = json_array_size(rows);
	input.revocation_count = json_array_size(revocations);
	struct record_row *row = xcalloc(input.row_count, sizeof(*row));
	struct netmap_revocation *revocation = xcalloc(input.revocation_count, sizeof(*revocation));
	input.rows = row;
	input.revocations = revocation;
	bool good = true;
	for (size_t i = 0; i < input.row_count && good; i++)
		good = row_from_json(json_array_get(rows, i), &row[i]);
	for (size_t i = 0; i < input.revocation_count && good; i++)
		good = revocation_from_json(json_array_get(revocations, i), &revocation[i]);
	if (!good) {
		input_free(&input);
		return false;
	}
	*ret_input = input;
	return true;
}
