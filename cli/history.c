#include "cli/history.h"

#include "cli/names.h"
#include "cli/out.h"
#include "cli/records.h"
#include "os/base.h"
#include "os/chaindb.h"
#include "wire/hex.h"
#include "wire/tx.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SUBJECT_SIZE = 2 * RECORD_KEY_MAX + 8,
	KEY_PREFIX_MIN = 4, /* characters of a node's key that name it */
	SHORT_TXID = 12,
};

const struct arg_option history_options[] = {
	{"oneline", 0, NULL, "a line a transaction"},
	{"number", 'n', "N", "the newest N transactions only"},
	{"since", 0, "HEIGHT", "from this height on, and what waits"},
	{"node", 0, "NODE", "what is about the node of this name, or whose key begins so"},
	{0},
};

struct history {
	struct cli *cli;
	json_t *events; /* oldest first */
	json_t *state;	/* what was in force last, by type and subject */
	json_t *owners; /* who held the seal that a sequence made, by that sequence */
	json_t *nodes;	/* keys that --node means; NULL: all */
	bool oneline;
	uint32_t number; /* 0: all */
	uint32_t since;
};

/* ---- Who ---- */

static const char *sequence_key(uint32_t sequence, char ret[static 16])
{
	snprintf(ret, 16, "%u", sequence);
	return ret;
}

static int on_seal(void *arg, const struct chaindb_seal *seal)
{
	struct history *h = arg;
	char key[16], owner[NAMES_SCRIPT_SIZE];

	names_script(h->cli, seal->script, seal->script_len, owner);
	json_object_set_new(h->owners, sequence_key(seal->sequence, key), json_string(owner));
	return 0;
}

/* Who held the seal of that sequence; NULL: nobody, or nobody knows. */
static const char *owner_at(const struct history *h, int64_t sequence)
{
	char key[16];

	if (sequence < 0)
		return NULL;
	return json_string_value(json_object_get(h->owners, sequence_key((uint32_t)sequence, key)));
}

/* ---- What changed ---- */

/* The type of the addition that a record is about, with what it is found by. */
static void subject_of(const struct record *record, char ret[static SUBJECT_SIZE])
{
	uint8_t key[RECORD_KEY_MAX];
	char hex[2 * RECORD_KEY_MAX + 1];
	uint8_t type = record->type;

	switch ((enum record_type)record->type) {
	case RECORD_NODE_DEL:
		type = RECORD_NODE_PUT;
		break;
	case RECORD_UNLINK:
		type = RECORD_LINK;
		break;
	case RECORD_ENDPOINT_DEL:
		type = RECORD_ENDPOINT_PUT;
		break;
	case RECORD_REVOKE:
		type = RECORD_GRANT;
		break;
	case RECORD_DNET_CREATE:
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
	case RECORD_TRANSFER: /* changes the admin key that the CREATE said */
		snprintf(ret, SUBJECT_SIZE, "object");
		return;
	case RECORD_NODE_PUT:
	case RECORD_LINK:
	case RECORD_ROSTER:
	case RECORD_ENDPOINT_PUT:
	case RECORD_GRANT:
	case RECORD_CLOSE:
		break;
	}
	hex_format(key, record_key(record, key), hex);
	snprintf(ret, SUBJECT_SIZE, "%02x%s", type, hex);
}

static void add_change(json_t *changes, const char *field, const json_t *old, const json_t *new)
{
	json_array_append_new(
		changes, json_pack("{s:s, s:O?, s:O?}", "field", field, "old", old, "new", new));
}

/* Fields of the one that are another in the other. */
static void compare_fields(json_t *changes, json_t *old, json_t *new, bool is_transfer)
{
	const char *field;
	json_t *value;

	json_object_foreach(new, field, value)
	{
		if (strcmp(field, "type") != 0 && !json_equal(json_object_get(old, field), value))
			add_change(changes, field, json_object_get(old, field), value);
	}
	json_object_foreach(old, field, value)
	{
		if (strcmp(field, "type") != 0 && !is_transfer && !json_object_get(new, field))
			add_change(changes, field, value, NULL);
	}
}

static bool is_removal(const struct record *record)
{
	return record->type == RECORD_NODE_DEL || record->type == RECORD_UNLINK ||
	       record->type == RECORD_ENDPOINT_DEL || record->type == RECORD_REVOKE;
}

/* What the record changes of what was in force before; NULL: nothing was. */
static json_t *changes_of(struct history *h, const struct record *record, json_t *fields)
{
	char subject[SUBJECT_SIZE];
	bool transfer = record->type == RECORD_TRANSFER;
	json_t *old, *changes = NULL;

	subject_of(record, subject);
	old = json_object_get(h->state, subject);
	if (old) {
		changes = json_array();
		if (!is_removal(record))
			compare_fields(changes, old, fields, transfer);
		else if (json_object_get(old, "name"))
			add_change(changes, "name", json_object_get(old, "name"), NULL);
	}
	if (is_removal(record))
		json_object_del(h->state, subject);
	else if (transfer && old)
		json_object_update(old, fields);
	else if (record->type != RECORD_CLOSE)
		json_object_set(h->state, subject, fields);
	return changes;
}

/* ---- Which ---- */

/* The key of the node that an event is about; NULL: of none. */
static const char *node_key_of(const json_t *event)
{
	const json_t *record = json_object_get(event, "record");
	const char *type = json_string_value(json_object_get(event, "type"));

	if (!type || (strcmp(type, "NODE_PUT") != 0 && strcmp(type, "NODE_DEL") != 0))
		return NULL;
	return json_string_value(json_object_get(record, "key"));
}

/* All keys that ever had the name, or begin so. */
static void find_nodes(struct history *h, const char *text)
{
	const json_t *event;
	size_t i;

	h->nodes = json_object();
	json_array_foreach(h->events, i, event)
	{
		const char *key = node_key_of(event);
		const char *name = json_string_value(
			json_object_get(json_object_get(event, "record"), "name"));

		if (key &&
		    ((name && strcmp(name, text) == 0) ||
		     (strlen(text) >= KEY_PREFIX_MIN && strncmp(key, text, strlen(text)) == 0)))
			json_object_set_new(h->nodes, key, json_true());
	}
}

static bool is_wanted(const struct history *h, const json_t *event)
{
	json_int_t height = json_integer_value(json_object_get(event, "height"));
	const char *key = h->nodes ? node_key_of(event) : NULL;

	if (height > 0 && height < h->since)
		return false;
	return !h->nodes || (key && json_object_get(h->nodes, key));
}

/* Leaves what is wanted of them: the newest transactions, still oldest first. */
static void choose(struct history *h)
{
	json_t *chosen = json_array();
	const char *last = "";
	uint32_t count = 0;

	for (size_t i = json_array_size(h->events); i > 0; i--) {
		json_t *event = json_array_get(h->events, i - 1);
		const char *txid = json_string_value(json_object_get(event, "txid"));

		if (!is_wanted(h, event))
			continue;
		count += strcmp(txid, last) != 0;
		last = txid;
		if (h->number && count > h->number)
			break;
		json_array_append(chosen, event);
	}
	json_array_clear(h->events);
	for (size_t i = json_array_size(chosen); i > 0; i--)
		json_array_append(h->events, json_array_get(chosen, i - 1));
	json_decref(chosen);
}

/* ---- Reading ---- */

static bool read_record(const struct chaindb_event *event, struct record *ret)
{
	const char *name;

	if (event->raw_len < RECORD_HEADER_LEN ||
	    event->raw[1] != event->raw_len - RECORD_HEADER_LEN ||
	    record_parse(event->raw[0], event->raw + RECORD_HEADER_LEN,
			 event->raw_len - RECORD_HEADER_LEN, ret) != RECORD_OK)
		return false;
	name = record_type_name(ret->type);
	return name && strcmp(name, event->type) == 0;
}

static int on_event(void *arg, const struct chaindb_event *event)
{
	struct history *h = arg;
	const char *before = owner_at(h, (int64_t)event->sequence - 1);
	const char *after = owner_at(h, event->sequence);
	char txid[HASH_TEXT_SIZE];
	struct record record;
	json_t *value, *fields, *changes = NULL;

	hash_format(&event->txid, txid);
	value = json_pack("{s:I, s:I, s:I, s:s, s:s, s:s, s:s?, s:s?}", "height",
			  (json_int_t)event->height, "time", (json_int_t)event->time, "sequence",
			  (json_int_t)event->sequence, "txid", txid, "type", event->type, "text",
			  event->text, "refused", event->refused, "owner",
			  event->sequence ? before : after);
	if (read_record(event, &record)) {
		fields = record_json(&record);
		if (!event->refused)
			changes = changes_of(h, &record, fields);
		if (!event->refused && record.type == RECORD_TRANSFER && before && after) {
			changes = changes ? changes : json_array();
			json_array_append_new(changes,
					      json_pack("{s:s, s:s, s:s}", "field", "owner", "old",
							before, "new", after));
		}
		json_object_set_new(value, "record", fields);
	}
	json_object_set_new(value, "changes", changes ? changes : json_array());
	json_array_append_new(h->events, value);
	return 0;
}

/* ---- Printing ---- */

static const char *field_text(const json_t *value, char ret[static 24])
{
	if (json_is_integer(value))
		snprintf(ret, 24, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		snprintf(ret, 24, "%s", json_is_true(value) ? "yes" : "no");
	else if (json_is_string(value))
		return json_string_value(value);
	else
		snprintf(ret, 24, "none");
	return ret;
}

/* "name alice → bob" for each: behind first, the others behind next, and end behind all. */
static void print_changes(const struct cli *cli, const json_t *event, const char *first,
			  const char *next, const char *end)
{
	const json_t *changes = json_object_get(event, "changes"), *change;
	size_t i;

	json_array_foreach(changes, i, change)
	{
		const json_t *old = json_object_get(change, "old");
		const json_t *new = json_object_get(change, "new");
		char old_text[24], new_text[24];

		printf("%s%s %s%s%s → %s%s%s", i ? next : first,
		       json_string_value(json_object_get(change, "field")), out_on(cli, OUT_RED),
		       field_text(old, old_text), out_off(cli), out_on(cli, OUT_GREEN),
		       field_text(new, new_text), out_off(cli));
	}
	if (json_array_size(changes) > 0)
		fputs(end, stdout);
}

static const char *text_of(const json_t *event)
{
	const char *text = json_string_value(json_object_get(event, "text"));

	return *text ? text : json_string_value(json_object_get(event, "type"));
}

static void print_head(const struct cli *cli, const json_t *event, bool first)
{
	const char *owner = json_string_value(json_object_get(event, "owner"));
	json_int_t height = json_integer_value(json_object_get(event, "height"));
	char when[OUT_TIME_MAX];

	out_time((uint32_t)json_integer_value(json_object_get(event, "time")), when);
	printf("%s%stransaction %s%s\n", first ? "" : "\n", out_on(cli, OUT_YELLOW),
	       json_string_value(json_object_get(event, "txid")), out_off(cli));
	if (height)
		printf("height   %lld\ndate     %s\n", (long long)height, when);
	else
		printf("height   none yet: in the mempool since %s\n", when);
	if (owner)
		printf("owner    %s\n", owner);
	puts("");
}

static void print_paragraphs(const struct history *h)
{
	const struct cli *cli = h->cli;
	const char *last = "";

	for (size_t i = json_array_size(h->events); i > 0; i--) {
		const json_t *event = json_array_get(h->events, i - 1);
		const char *txid = json_string_value(json_object_get(event, "txid"));
		const char *refused = json_string_value(json_object_get(event, "refused"));

		if (strcmp(txid, last) != 0)
			print_head(cli, event, !*last);
		last = txid;
		printf("    %s\n", text_of(event));
		print_changes(cli, event, "        ", "\n        ", "\n");
		if (refused)
			printf("    %srefused: %s%s\n", out_on(cli, OUT_RED), refused,
			       out_off(cli));
	}
}

static void print_lines(const struct history *h)
{
	const struct cli *cli = h->cli;
	const char *last = "";

	for (size_t i = json_array_size(h->events); i > 0; i--) {
		const json_t *event = json_array_get(h->events, i - 1);
		const char *txid = json_string_value(json_object_get(event, "txid"));
		json_int_t height = json_integer_value(json_object_get(event, "height"));
		char place[24] = "pending";

		if (height)
			snprintf(place, sizeof(place), "%lld", (long long)height);
		if (strcmp(txid, last) == 0)
			printf("; %s", text_of(event));
		else
			printf("%s%s%.*s%s %7s %s", *last ? "\n" : "", out_on(cli, OUT_YELLOW),
			       SHORT_TXID, txid, out_off(cli), place, text_of(event));
		last = txid;
		print_changes(cli, event, " (", ", ", ")");
		if (json_object_get(event, "refused") &&
		    !json_is_null(json_object_get(event, "refused")))
			printf(" %srefused%s", out_on(cli, OUT_RED), out_off(cli));
	}
	if (*last)
		puts("");
}

/* ---- The command ---- */

static bool read_number(const struct args *args, const char *name, uint32_t min, uint32_t *ret)
{
	const char *text = args_get(args, name);
	unsigned long number;
	char *end;

	if (!text)
		return true;
	number = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || number < min || number > INT32_MAX)
		return false;
	*ret = (uint32_t)number;
	return true;
}

static int read_args(struct history *h, const struct args *args)
{
	h->oneline = args_has(args, "oneline");
	if (!read_number(args, "number", 1, &h->number))
		return cli_error(h->cli, CLI_USAGE, NULL, "-n takes a number from 1 on, not '%s'",
				 args_get(args, "number"));
	if (!read_number(args, "since", 0, &h->since))
		return cli_error(h->cli, CLI_USAGE, NULL, "--since takes a height, not '%s'",
				 args_get(args, "since"));
	return 0;
}

static int read_history(struct history *h, const struct cli_object *object)
{
	struct cli *cli = h->cli;
	int r = chaindb_begin(cli->db);

	if (!r) {
		r = chaindb_visit_seals(cli->db, &object->id, on_seal, h);
		if (!r)
			r = chaindb_visit_history(cli->db, &object->id, on_event, h);
		chaindb_end(cli->db);
	}
	if (r)
		return cli_error(cli, CLI_FAILED, NULL, "%s", chaindb_error(cli->db));
	if (!json_array_size(h->events))
		return cli_error(cli, CLI_NOT_FOUND, "is chainwatch up to date? See dnet chain",
				 "nothing was seen of %s", object->text);
	return 0;
}

static int show_history(struct history *h, const struct args *args, const struct cli_object *object)
{
	const char *node = args_get(args, "node");

	if (node) {
		find_nodes(h, node);
		if (!json_object_size(h->nodes))
			return cli_error(h->cli, CLI_NOT_FOUND, NULL,
					 "%s never had a node called \"%.64s\", nor one whose key "
					 "begins so",
					 object->text, node);
	}
	choose(h);
	if (h->cli->json)
		out_json(json_pack("{s:s, s:s, s:O}", "id", object->text, "kind",
				   object_kind_name(object->kind), "events", h->events));
	else if (h->oneline)
		print_lines(h);
	else
		print_paragraphs(h);
	return 0;
}

int run_history(struct cli *cli, const struct args *args)
{
	struct history h = {.cli = cli};
	struct cli_object object;
	int r = read_args(&h, args);

	if (!r)
		r = names_resolve(cli, 0, args->words[0], &object);
	if (!r)
		r = cli_db(cli);
	if (!r)
		r = cli_params(cli);
	if (r)
		return r;
	h.events = json_array();
	h.state = json_object();
	h.owners = json_object();
	r = read_history(&h, &object);
	if (!r)
		r = show_history(&h, args, &object);
	json_decref(h.events);
	json_decref(h.state);
	json_decref(h.owners);
	json_decref(h.nodes);
	return r;
}
