#include "cli/names.h"

#include "cli/keys.h"
#include "core/chainparams.h"
#include "core/id.h"
#include "os/chaindb.h"
#include "wire/base58.h"
#include "wire/hex.h"
#include "wire/tx.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	PREFIX_MIN = 4, /* characters of an id behind its "dnet1" */
};

const char *names_kind(enum object_kind kind)
{
	switch (kind) {
	case OBJECT_DNET:
		return "dnet";
	case OBJECT_OVC:
		return "OVC";
	case OBJECT_OVR:
		return "OVR";
	}
	return "object";
}

void names_script(const struct cli *cli, const uint8_t *script, size_t len,
		  char ret[static NAMES_SCRIPT_SIZE])
{
	const struct chainparams *params = cli->params;
	uint8_t versioned[1 + HASH160_LEN];
	struct span hash;
	enum script_kind kind = script_classify((struct span){script, len}, &hash);
	bool ok = false;

	switch (kind) {
	case SCRIPT_P2PKH:
	case SCRIPT_P2SH:
		versioned[0] =
			kind == SCRIPT_P2PKH ? params->pubkey_prefix : params->script_prefix2;
		memcpy(versioned + 1, hash.data, HASH160_LEN);
		ok = base58check_encode(versioned, sizeof(versioned), ret, NAMES_SCRIPT_SIZE);
		break;
	case SCRIPT_P2WPKH:
	case SCRIPT_P2WSH:
		ok = segwit_format(params->hrp, 0, hash.data, hash.len, ret);
		break;
	case SCRIPT_P2TR:
		ok = segwit_format(params->hrp, 1, hash.data, hash.len, ret);
		break;
	case SCRIPT_OTHER:
	case SCRIPT_OP_RETURN:
		break;
	}
	if (!ok)
		snprintf(ret, NAMES_SCRIPT_SIZE, "a script of %zu bytes", len);
}

void names_fill_text(struct cli_object *object)
{
	object_id_format(object->kind, &object->id, object->text);
}

static const char *article(enum object_kind kind)
{
	return kind == OBJECT_DNET ? "a" : "an";
}

struct search {
	const char *text;
	enum object_kind kind; /* 0: any */
	struct cli_object exact, begins;
	unsigned exact_count, begins_count;
};

static bool begins_id(const char *id, const char *text)
{
	size_t head = strcspn(id, "1") + 1, len = strlen(text);

	return len >= head + PREFIX_MIN && !strncmp(id, text, len);
}

static bool look_at_known(void *arg, const struct known_seal *known)
{
	struct search *search = arg;
	struct cli_object object = {.kind = known->kind, .id = known->id};

	if (search->kind && known->kind != search->kind)
		return false;
	snprintf(object.label, sizeof(object.label), "%s", known->label);
	names_fill_text(&object);
	if (!strcmp(object.text, search->text) ||
	    (!known->closed && !strcmp(known->label, search->text))) {
		search->exact = object;
		search->exact_count++;
	} else if (begins_id(object.text, search->text)) {
		search->begins = object;
		search->begins_count++;
	}
	return false;
}

static int resolve_in_db(struct cli *cli, enum object_kind kind, const char *text,
			 struct cli_object *ret_object)
{
	struct chaindb_object found;
	struct cli_object object = {0};
	int r = cli_db(cli);

	if (r)
		return r;
	r = chaindb_resolve(cli->db, kind, text, &found);
	if (r == -ENOENT)
		return cli_error(cli, CLI_NOT_FOUND, "dnet list shows what chainwatch knows",
				 "no %s is called \"%s\"", names_kind(kind), text);
	if (r == -ENOTUNIQ)
		return cli_error(cli, CLI_NOT_FOUND, "give the id", "\"%s\" means several: %s",
				 text, chaindb_error(cli->db));
	if (r)
		return cli_error(cli, CLI_FAILED, NULL, "%s", chaindb_error(cli->db));
	object.kind = found.kind;
	object.id = found.id;
	snprintf(object.label, sizeof(object.label), "%s", found.name);
	names_fill_text(&object);
	*ret_object = object;
	return 0;
}

int names_resolve(struct cli *cli, enum object_kind kind, const char *text,
		  struct cli_object *ret_object)
{
	struct search search = {.text = text, .kind = kind};
	struct cli_object object = {0};
	int r;

	/* What is ours comes first: it is known before any block has it. */
	r = known_visit(cli, look_at_known, &search);
	if (r)
		return r;
	if (search.exact_count == 1) {
		*ret_object = search.exact;
		return 0;
	}
	if (search.exact_count > 1)
		return cli_error(cli, CLI_NOT_FOUND, "give the id (dnet list)",
				 "you have several with the label \"%s\"", text);
	if (object_id_parse(text, &object.kind, &object.id)) {
		if (kind && object.kind != kind)
			return cli_error(
				cli, CLI_USAGE, "dnet list shows the ids and what they are of",
				"%s is the id of %s %s, not of %s %s", text, article(object.kind),
				names_kind(object.kind), article(kind), names_kind(kind));
		names_fill_text(&object);
		*ret_object = object;
		return 0;
	}
	if (search.begins_count == 1) {
		*ret_object = search.begins;
		return 0;
	}
	return resolve_in_db(cli, kind, text, ret_object);
}

int names_key(struct cli *cli, const char *text, struct node_key *ret_key)
{
	int r = cli_id(cli);
	struct node_key key;
	bool well_formed;

	if (r)
		return r;
	well_formed = hex_parse(text, key.bytes, PUBKEY_LEN) && node_key_well_formed(&key);
	if (well_formed && id_key_valid(cli->id, &key)) {
		*ret_key = key;
		return 0;
	}
	return cli_error(cli, CLI_USAGE,
			 "66 hex digits beginning with 02 or 03; `dnet id` on the node prints it, "
			 "ovcd and ovrd --show-key theirs",
			 well_formed ? "%s is not a key: no point of the curve"
				     : "\"%s\" is not a key",
			 text);
}
