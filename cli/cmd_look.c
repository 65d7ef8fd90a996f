#include "cli/cli.h"
#include "cli/history.h"
#include "cli/keys.h"
#include "cli/names.h"
#include "cli/out.h"
#include "cli/records.h"
#include "core/amount.h"
#include "core/chainparams.h"
#include "os/base.h"
#include "os/chaindb.h"
#include "os/ctl.h"
#include "wire/describe.h"
#include "wire/hex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Looking at what chainwatch found, without changing anything. */

enum {
	STATUS_MS = 1000,
};

static const struct arg_option list_options[] = {
	{"own", 0, NULL, "only those that this tool made or got"},
	{"closed", 0, NULL, "those that are closed, too"},
	{0},
};

static int db_failed(struct cli *cli)
{
	return cli_error(cli, CLI_FAILED, NULL, "%s", chaindb_error(cli->db));
}

/* ---- chain ---- */

static json_t *tip_json(const struct chaindb_tip *tip, bool have, const char *chain)
{
	char hash[HASH_TEXT_SIZE];

	if (!have)
		return json_pack("{s:s, s:n, s:n, s:n}", "chain", chain, "height", "hash", "time");
	hash_format(&tip->hash, hash);
	return json_pack("{s:s, s:I, s:s, s:I, s:I}", "chain", tip->chain, "height",
			 (json_int_t)tip->height, "hash", hash, "time", (json_int_t)tip->time,
			 "schema", (json_int_t)tip->schema);
}

static void print_chainwatch(const struct cli *cli, const json_t *status,
			     const struct ctl_error *error)
{
	const char *state = json_string_value(json_object_get(status, "state"));
	const char *trouble = json_string_value(json_object_get(status, "error"));

	if (!status)
		printf("chainwatch  %snot reached%s: %s\n", out_on(cli, OUT_YELLOW), out_off(cli),
		       error->message);
	else
		printf("chainwatch  %s%s%s\n", state ? state : "?", trouble ? ": " : "",
		       trouble ? trouble : "");
	if (json_integer_value(json_object_get(status, "imported")) > 0)
		printf("state       up to height %lld from a file, which cannot show that nothing "
		       "was left out: chainwatch --verify\n",
		       (long long)json_integer_value(json_object_get(status, "imported")));
}

/* Of a chainwatch without a chain node: its peers, and those that lied. */
static void print_peers(const struct cli *cli, const json_t *light)
{
	const json_t *ban;
	size_t i;

	if (!json_is_object(light))
		return;
	printf("peers       %lld, %lld with filters; headers up to %lld\n",
	       (long long)json_integer_value(json_object_get(light, "ready")),
	       (long long)json_integer_value(json_object_get(light, "with_filters")),
	       (long long)json_integer_value(json_object_get(light, "headers")));
	json_array_foreach(json_object_get(light, "bans"), i, ban)
	{
		printf("banned      %s%s%s: %s\n", out_on(cli, OUT_YELLOW),
		       json_string_value(json_object_get(ban, "peer")), out_off(cli),
		       json_string_value(json_object_get(ban, "reason")));
	}
}

static int run_chain(struct cli *cli, const struct args *args)
{
	struct ctl_error error = {0};
	struct chaindb_tip tip;
	json_t *status = NULL, *result;
	char hash[HASH_TEXT_SIZE], when[OUT_TIME_MAX];
	bool have;
	int r = cli_db(cli);

	(void)args;
	if (r)
		return r;
	r = chaindb_tip(cli->db, &tip);
	if (r && r != -ENOENT)
		return db_failed(cli);
	have = !r;
	if (ctl_client_call(cli->conf.chainwatch, "status", NULL, STATUS_MS, &status, &error))
		status = NULL;
	if (cli->json) {
		result = tip_json(&tip, have, cli->params->name);
		json_object_set_new(result, "chainwatch", status ? status : json_null());
		out_json(result);
		return 0;
	}
	printf("chain       %s\n", have ? tip.chain : cli->params->name);
	if (have) {
		hash_format(&tip.hash, hash);
		printf("height      %u\nhash        %s\ntime        %s\n", tip.height, hash,
		       out_time(tip.time, when));
		if (tip.schema < CHAINDB_SCHEMA)
			printf("schema      %u, older than this program's %d: start chainwatch of "
			       "this version, which brings it up to date\n",
			       tip.schema, CHAINDB_SCHEMA);
	} else {
		puts("height      no block yet");
	}
	print_chainwatch(cli, status, &error);
	print_peers(cli, json_object_get(status, "light"));
	json_decref(status);
	return 0;
}

/* ---- list ---- */

struct listing {
	struct cli *cli;
	bool own_only, closed_too;
	json_t *objects;
};

static int on_object(void *arg, const struct chaindb_object *object)
{
	struct listing *listing = arg;
	struct known_seal known;
	bool own = known_find(listing->cli, &object->id, &known);
	char id[OBJECT_ID_TEXT_SIZE];
	json_t *value;

	if ((listing->own_only && !own) || (!listing->closed_too && object->closed))
		return 0;
	object_id_format(object->kind, &object->id, id);
	value = json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:b}", "id", id, "kind",
			  object_kind_name(object->kind), "name", object->name, "sequence",
			  (json_int_t)object->sequence, "height", (json_int_t)object->from_height,
			  "closed", (int)object->closed, "own", (int)own);
	json_array_append_new(listing->objects, value);
	return 0;
}

static void print_list(const struct cli *cli, const json_t *objects)
{
	struct table table;
	const json_t *value;
	size_t i;

	table_init(&table, "KIND", "NAME", "ID", "HEIGHT", "UPDATES", "STATE", NULL);
	json_array_foreach(objects, i, value)
	{
		json_int_t from = json_integer_value(json_object_get(value, "height"));
		bool closed = json_is_true(json_object_get(value, "closed"));
		bool own = json_is_true(json_object_get(value, "own"));
		char height[24] = "mempool", updates[24];

		if (from)
			snprintf(height, sizeof(height), "%lld", (long long)from);
		snprintf(updates, sizeof(updates), "%lld",
			 (long long)json_integer_value(json_object_get(value, "sequence")));
		table_row(&table, json_string_value(json_object_get(value, "kind")),
			  json_string_value(json_object_get(value, "name")),
			  json_string_value(json_object_get(value, "id")), height, updates,
			  closed ? "closed"
			  : own	 ? "own"
				 : " ");
	}
	table_print(cli, &table, "");
	table_done(&table);
}

static int run_list(struct cli *cli, const struct args *args)
{
	struct listing listing = {
		.cli = cli,
		.own_only = args_has(args, "own"),
		.closed_too = args_has(args, "closed"),
	};
	int r = cli_db(cli);

	if (r)
		return r;
	listing.objects = json_array();
	if (chaindb_search(cli->db, 0, args->count ? args->words[0] : "", on_object, &listing)) {
		json_decref(listing.objects);
		return db_failed(cli);
	}
	if (cli->json) {
		out_json(json_pack("{s:o}", "objects", listing.objects));
		return 0;
	}
	print_list(cli, listing.objects);
	json_decref(listing.objects);
	return 0;
}

/* ---- show ---- */

struct showing {
	struct prefix ipv4; /* of the DNET_CREATE, once it is in a block */
	struct cli *cli;
	struct chaindb_tip tip;
	struct chaindb_object object;
	uint32_t confirm;
	struct chaindb_revocation *revoked; /* owned */
	size_t revoked_count, revoked_size;
	json_t *nodes, *links, *endpoints, *grants;
};

static int on_revocation(void *arg, const struct chaindb_revocation *revocation)
{
	struct showing *showing = arg;

	if (showing->revoked_count == showing->revoked_size) {
		showing->revoked_size = MAX(2 * showing->revoked_size, 64u);
		showing->revoked = xrealloc(showing->revoked,
					    showing->revoked_size * sizeof(*showing->revoked));
	}
	showing->revoked[showing->revoked_count++] = *revocation;
	return 0;
}

/* By what they revoke, so that those of a row are found among many. */
static int compare_subjects(const void *a, const void *b)
{
	const struct chaindb_revocation *x = a, *y = b;

	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	if (x->subject_len != y->subject_len)
		return x->subject_len < y->subject_len ? -1 : 1;
	return memcmp(x->subject, y->subject, x->subject_len);
}

/* The first one of that type and subject, or what comes after it. */
static size_t first_revocation(const struct showing *showing, const struct chaindb_revocation *like)
{
	size_t low = 0, high = showing->revoked_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare_subjects(&showing->revoked[middle], like) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* RECORDS 5.3 */
static bool is_revoked(const struct showing *showing, const struct record_row *row)
{
	uint32_t position = row->out_index * 64 + row->pos;
	/* What each revokes: NODE_DEL is NODE_PUT + 1, and so with the other pairs. */
	struct chaindb_revocation like = {.type = (uint8_t)(row->record.type + 1)};

	like.subject_len = record_key(&row->record, like.subject);
	for (size_t i = first_revocation(showing, &like);
	     i < showing->revoked_count && !compare_subjects(&showing->revoked[i], &like); i++) {
		const struct chaindb_revocation *r = &showing->revoked[i];

		if (row->sequence < r->sequence ||
		    (row->sequence == r->sequence && position < r->position))
			return true;
	}
	/* A CLOSE that was seen hides the CREATE for ever, and so everything of the object,
	 * whatever branch goes on without it. */
	return showing->object.closed;
}

/* RECORDS 5.4, the grant is not expired (expiry height 0 or not below the tip height) */
static bool is_expired(const struct showing *showing, const struct record *record)
{
	return record->type == RECORD_GRANT && record->grant.expiry &&
	       record->grant.expiry < showing->tip.height;
}

static json_t *array_of(struct showing *showing, uint8_t type)
{
	switch ((enum record_type)type) {
	case RECORD_NODE_PUT:
		return showing->nodes;
	case RECORD_LINK:
		return showing->links;
	case RECORD_ENDPOINT_PUT:
		return showing->endpoints;
	case RECORD_GRANT:
		return showing->grants;
	case RECORD_DNET_CREATE:
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
	case RECORD_NODE_DEL:
	case RECORD_UNLINK:
	case RECORD_ROSTER:
	case RECORD_ENDPOINT_DEL:
	case RECORD_REVOKE:
	case RECORD_TRANSFER:
	case RECORD_CLOSE:
		break;
	}
	return NULL;
}

static int on_row(void *arg, const struct record_row *row)
{
	struct showing *showing = arg;
	json_t *array = array_of(showing, row->record.type), *value;
	uint32_t depth = showing->tip.height - row->from_height + 1;
	char text[ADDRESS_TEXT_MAX];
	struct address ipv6;
	bool revoked, expired = is_expired(showing, &row->record);

	if (row->record.type == RECORD_DNET_CREATE)
		showing->ipv4 = row->record.dnet_create.ipv4;
	if (!array || row->to_height != UINT32_MAX)
		return 0;
	revoked = is_revoked(showing, row);
	value = record_json(&row->record);
	json_object_del(value, "type");
	json_object_set_new(value, "height", json_integer(row->from_height));
	json_object_set_new(value, "depth", json_integer(depth));
	json_object_set_new(value, "revoked", json_boolean(revoked));
	if (row->record.type == RECORD_GRANT)
		json_object_set_new(value, "expired", json_boolean(expired));
	json_object_set_new(value, "in_force",
			    json_boolean(!revoked && !expired && depth >= showing->confirm));
	if (row->record.type == RECORD_NODE_PUT) {
		node_address_derive(&row->object, &row->record.node_put.key, &ipv6);
		json_object_set_new(value, "address", json_string(address_format(&ipv6, text)));
	}
	json_array_append_new(array, value);
	return 0;
}

static json_t *seal_json(struct cli *cli, const struct object_id *id)
{
	_cleanup_(freep) struct chaindb_seal *seal = malloc(sizeof(*seal));
	char txid[HASH_TEXT_SIZE];

	if (!seal || chaindb_find_seal(cli->db, id, true, seal))
		return json_null();
	hash_format(&seal->outpoint.txid, txid);
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "txid", txid, "vout",
			 (json_int_t)seal->outpoint.vout, "value", (json_int_t)seal->value,
			 "sequence", (json_int_t)seal->sequence, "height", (json_int_t)seal->height,
			 "pending", (json_int_t)seal->pending);
}

static json_t *show_json(struct showing *showing)
{
	const struct chaindb_object *object = &showing->object;
	char id[OBJECT_ID_TEXT_SIZE], key[2 * PUBKEY_LEN + 1], prefix[PREFIX_TEXT_MAX];
	struct prefix net;
	json_t *value;

	object_id_format(object->kind, &object->id, id);
	hex_format(object->key, object->key_len, key);
	value = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:I, s:I}", "id", id, "kind",
			  object_kind_name(object->kind), "name", object->name, "key", key,
			  "sequence", (json_int_t)object->sequence, "height",
			  (json_int_t)object->from_height, "closed", (int)object->closed, "confirm",
			  (json_int_t)showing->confirm, "tip", (json_int_t)showing->tip.height);
	json_object_set_new(value, "seal", seal_json(showing->cli, &object->id));
	if (object->kind == OBJECT_DNET) {
		dnet_prefix_derive(&object->id, &net);
		json_object_set_new(value, "ipv6", json_string(prefix_format(&net, prefix)));
		if (showing->ipv4.addr.family != ADDR_NONE)
			json_object_set_new(value, "ipv4",
					    json_string(prefix_format(&showing->ipv4, prefix)));
		json_object_set(value, "nodes", showing->nodes);
		json_object_set(value, "links", showing->links);
	} else {
		json_object_set(value, "endpoints", showing->endpoints);
		json_object_set(value, "grants", showing->grants);
	}
	return value;
}

static const char *state_of(const json_t *row)
{
	if (json_is_true(json_object_get(row, "revoked")))
		return "revoked";
	if (json_is_true(json_object_get(row, "expired")))
		return "expired";
	return json_is_true(json_object_get(row, "in_force")) ? "in force" : "waits for blocks";
}

/* columns: the fields of each row, by their JSON names; NULL ends them. */
static void print_rows(const struct cli *cli, const char *title, const json_t *rows,
		       const char *const columns[static 4])
{
	struct table table;
	const json_t *row;
	size_t i;

	if (!json_array_size(rows))
		return;
	printf("\n%s%s%s\n", out_on(cli, OUT_BOLD), title, out_off(cli));
	table_init(&table, columns[0], columns[1], columns[2], columns[3], "state", NULL);
	json_array_foreach(rows, i, row)
	{
		char text[4][ENDPOINT_URL_MAX];

		for (size_t c = 0; c < 4; c++) {
			const json_t *value = json_object_get(row, columns[c]);

			if (json_is_integer(value))
				snprintf(text[c], sizeof(text[c]), "%lld",
					 (long long)json_integer_value(value));
			else
				snprintf(text[c], sizeof(text[c]), "%s",
					 json_is_string(value)	? json_string_value(value)
					 : json_is_true(value)	? "yes"
					 : json_is_false(value) ? "no"
								: "");
		}
		table_row(&table, text[0], text[1], text[2], text[3], state_of(row));
	}
	table_print(cli, &table, "  ");
	table_done(&table);
}

static void print_object(const struct cli *cli, const json_t *object)
{
	static const char *const node[] = {"name", "ipv4", "address", "key"};
	static const char *const link[] = {"id", "priority", "weight", "height"};
	static const char *const endpoint[] = {"endpoint", "height", "depth", "revoked"};
	static const char *const grant[] = {"dnet", "expires", "rate_kbit", "volume_mib"};
	const json_t *seal = json_object_get(object, "seal");
	const char *ipv6 = json_string_value(json_object_get(object, "ipv6"));
	const char *ipv4 = json_string_value(json_object_get(object, "ipv4"));
	json_int_t height = json_integer_value(json_object_get(object, "height"));
	char amount[AMOUNT_TEXT_MAX];

	printf("%s%s %s%s%s\n", out_on(cli, OUT_BOLD),
	       json_string_value(json_object_get(object, "kind")),
	       json_string_value(json_object_get(object, "name")), out_off(cli),
	       json_is_true(json_object_get(object, "closed")) ? "  closed" : "");
	printf("  id      %s\n  key     %s\n", json_string_value(json_object_get(object, "id")),
	       json_string_value(json_object_get(object, "key")));
	if (ipv4)
		printf("  IPv4    %s\n", ipv4);
	if (ipv6)
		printf("  IPv6    %s\n", ipv6);
	if (height)
		printf("  since   height %lld\n", (long long)height);
	else
		puts("  since   in the mempool only");
	if (json_is_object(seal)) {
		amount_format((uint64_t)json_integer_value(json_object_get(seal, "value")), amount);
		printf("  seal    %s:%lld, %s coins\n  update  %lld, %lld not in a block yet\n",
		       json_string_value(json_object_get(seal, "txid")),
		       (long long)json_integer_value(json_object_get(seal, "vout")), amount,
		       (long long)json_integer_value(json_object_get(seal, "sequence")),
		       (long long)json_integer_value(json_object_get(seal, "pending")));
	}
	print_rows(cli, "nodes", json_object_get(object, "nodes"), node);
	print_rows(cli, "links", json_object_get(object, "links"), link);
	print_rows(cli, "endpoints", json_object_get(object, "endpoints"), endpoint);
	print_rows(cli, "grants", json_object_get(object, "grants"), grant);
}

static int read_object(struct showing *showing, const struct cli_object *object)
{
	struct cli *cli = showing->cli;
	int r = chaindb_find_object(cli->db, &object->id, &showing->object);

	if (r == -ENOENT)
		return cli_error(cli, CLI_NOT_FOUND, "is chainwatch up to date? See dnet chain",
				 "chain.db has no %s", object->text);
	if (!r)
		r = chaindb_tip(cli->db, &showing->tip);
	if (!r)
		r = chaindb_visit_object_revocations(cli->db, &object->id, on_revocation, showing);
	if (showing->revoked_count > 1)
		qsort(showing->revoked, showing->revoked_count, sizeof(*showing->revoked),
		      compare_subjects);
	if (!r)
		r = chaindb_visit_object(cli->db, &object->id, on_row, showing);
	return r ? db_failed(cli) : 0;
}

static int run_show(struct cli *cli, const struct args *args)
{
	struct showing showing = {.cli = cli};
	struct cli_object object;
	json_t *value;
	int r = names_resolve(cli, 0, args->words[0], &object);

	if (!r)
		r = cli_db(cli);
	if (r)
		return r;
	showing.confirm = cli->conf.confirm ? (uint32_t)cli->conf.confirm : cli->params->confirm;
	showing.nodes = json_array();
	showing.links = json_array();
	showing.endpoints = json_array();
	showing.grants = json_array();
	r = read_object(&showing, &object);
	if (!r) {
		value = show_json(&showing);
		if (cli->json) {
			out_json(value);
		} else {
			print_object(cli, value);
			json_decref(value);
		}
	}
	json_decref(showing.nodes);
	json_decref(showing.links);
	json_decref(showing.endpoints);
	json_decref(showing.grants);
	free(showing.revoked);
	return r;
}

const struct cli_command cli_commands_look[] = {
	{"show", "ID", "one object and what is in force of it", NULL, 1, 1, false, run_show},
	{"history", "ID", "everything that its owner wrote, newest first", history_options, 1, 1,
	 false, run_history},
	{"list", "[TEXT]", "objects whose id or name begins with TEXT", list_options, 0, 1, false,
	 run_list},
	{"chain", NULL, "how far chainwatch has followed the chain", NULL, 0, 0, false, run_chain},
	{0},
};
