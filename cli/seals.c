#include "cli/seals.h"

#include "wire/hex.h"

#include <stdio.h>
#include <string.h>

json_t *seals_parse(const char *text, size_t len)
{
	json_t *all = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(all))
		return all;
	json_decref(all);
	return NULL;
}

static bool is_label(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return len < KEYSTORE_TEXT_SIZE && !text[len];
}

bool seals_read(const json_t *value, struct known_seal *ret_known)
{
	json_int_t vout, amount, sequence;
	struct known_seal known = {0};
	const char *id, *label, *txid;
	int closed;

	if (json_unpack((json_t *)value, "{s:s, s:s, s:s, s:I, s:I, s:I, s:b}", "id", &id, "label",
			&label, "txid", &txid, "vout", &vout, "value", &amount, "sequence",
			&sequence, "closed", &closed))
		return false;
	if (!object_id_parse(id, &known.kind, &known.id) ||
	    !hash_parse(txid, &known.outpoint.txid) || !is_label(label) || vout < 0 ||
	    vout > UINT32_MAX || amount < 0 || sequence < 0 || sequence > UINT32_MAX)
		return false;
	snprintf(known.label, sizeof(known.label), "%s", label);
	known.outpoint.vout = (uint32_t)vout;
	known.value = (uint64_t)amount;
	known.sequence = (uint32_t)sequence;
	known.closed = closed;
	*ret_known = known;
	return true;
}

bool seals_put(json_t *all, const char *name, const struct known_seal *known)
{
	char id[OBJECT_ID_TEXT_SIZE], txid[HASH_TEXT_SIZE];
	json_t *chain = json_object_get(all, name);

	if (!json_is_object(chain)) {
		if (json_object_set_new(all, name, json_object()))
			return false;
		chain = json_object_get(all, name);
	}
	object_id_format(known->kind, &known->id, id);
	hash_format(&known->outpoint.txid, txid);
	return !json_object_set_new(
		chain, id,
		json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:b}", "id", id, "label", known->label,
			  "txid", txid, "vout", (json_int_t)known->outpoint.vout, "value",
			  (json_int_t)known->value, "sequence", (json_int_t)known->sequence,
			  "closed", (int)known->closed));
}

bool seals_put_script(json_t *all, const char *script, const char *witness_script)
{
	json_t *scripts = json_object_get(all, "scripts");

	if (!json_is_object(scripts)) {
		if (json_object_set_new(all, "scripts", json_object()))
			return false;
		scripts = json_object_get(all, "scripts");
	}
	return !json_object_set_new(scripts, script, json_string(witness_script));
}

const char *seals_find_script(const json_t *all, const char *script)
{
	return json_string_value(json_object_get(json_object_get(all, "scripts"), script));
}
