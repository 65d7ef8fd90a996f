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

/* The object of that name, made where there is none; NULL: no memory. */
static json_t *part_of(json_t *all, const char *name)
{
	json_t *part = json_object_get(all, name);

	if (json_is_object(part))
		return part;
	return json_object_set_new(all, name, json_object()) ? NULL : json_object_get(all, name);
}

bool seals_put(json_t *all, const char *name, const struct known_seal *known)
{
	char id[OBJECT_ID_TEXT_SIZE], txid[HASH_TEXT_SIZE];
	json_t *chain = part_of(all, name);

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
	return !json_object_set_new(part_of(all, "scripts"), script, json_string(witness_script));
}

bool seals_put_denied(json_t *all, const char *dnet, const char *key, bool denied)
{
	json_t *keys = part_of(part_of(all, "denied"), dnet);

	if (denied)
		return !json_object_set_new(keys, key, json_true());
	(void)json_object_del(keys, key);
	return keys;
}

bool seals_is_denied(const json_t *all, const char *dnet, const char *key)
{
	return json_object_get(json_object_get(json_object_get(all, "denied"), dnet), key);
}

const char *seals_find_script(const json_t *all, const char *script)
{
	return json_string_value(json_object_get(json_object_get(all, "scripts"), script));
}
