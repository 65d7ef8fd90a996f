#include "cli/input.h"
#include "cli/keys.h"
#include "cli/names.h"
#include "cli/out.h"
#include "cli/publish.h"
#include "cli/qr.h"
#include "cli/roster_members.h"
#include "core/chainparams.h"
#include "core/id.h"
#include "os/chaindb.h"
#include "os/clock.h"
#include "os/fetch.h"
#include "wire/hex.h"
#include "wire/link.h"
#include "wire/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How a node comes into a dnet: the owner gives a join link away, gets a request back, and approves
 * it or not. */

enum { REQUESTS_MAX = 64, REQUESTS_BYTES_MAX = 1 << 20 };

static const struct arg_option invite_options[] = {
	{"roster", 0, "URL", "where members find the roster (http or https)"},
	{"qr", 0, NULL, "as a QR code on the terminal too"},
	{0},
};

static const struct arg_option approve_options[] = {
	{"name", 0, "NAME", "another name than the wished one"},
	{"ipv4", '4', "ADDRESS", "IPv4 address of the node, inside the dnet's network"},
	{0},
};

static const struct arg_option deny_options[] = {
	{"forget", 0, NULL, "takes back that it was denied, and nothing else"},
	{0},
};

/* ---- invite ---- */

struct invite {
	struct cli *cli;
	struct link link;
};

static int on_link_row(void *arg, const struct record_row *row)
{
	struct invite *invite = arg;
	struct link *link = &invite->link;
	const struct record *r = &row->record;
	struct link_helper *h;

	if (r->type == RECORD_DNET_CREATE)
		link->height = row->from_height;
	if (r->type != RECORD_LINK || row->to_height != UINT32_MAX ||
	    link->helper_count == LINK_HELPERS_MAX)
		return 0;
	h = &link->helpers[link->helper_count++];
	h->kind = r->link.kind;
	h->id = r->link.id;
	return 0;
}

static void find_heights(struct invite *invite)
{
	struct chaindb_object object;

	for (size_t i = 0; i < invite->link.helper_count; i++) {
		struct link_helper *h = &invite->link.helpers[i];

		if (!chaindb_find_object(invite->cli->db, &h->id, &object))
			h->height = object.from_height;
	}
}

static int run_invite(struct cli *cli, const struct args *args)
{
	struct invite invite = {.cli = cli};
	const char *roster = args_get(args, "roster");
	char text[LINK_TEXT_MAX + 1];
	struct cli_object dnet;
	int r = names_resolve(cli, OBJECT_DNET, args->words[0], &dnet);

	if (!r)
		r = cli_db(cli);
	if (r)
		return r;
	if (roster &&
	    (roster[0] == '/' || !fetch_location_ok(roster) || strlen(roster) > LINK_ROSTER_MAX))
		return cli_error(cli, CLI_USAGE, "for example https://example.org/office.roster",
				 "\"%s\" is not an http or https URL", roster);
	invite.link.dnet = dnet.id;
	snprintf(invite.link.chain, sizeof(invite.link.chain), "%s", cli->params->name);
	snprintf(invite.link.roster, sizeof(invite.link.roster), "%s", roster ? roster : "");
	if (chaindb_visit_object(cli->db, &dnet.id, on_link_row, &invite))
		return cli_error(cli, CLI_FAILED, NULL, "%s", chaindb_error(cli->db));
	find_heights(&invite);
	if (!invite.link.height)
		cli_note(cli, "%s is in no block yet: the link has no height", dnet.text);
	if (!link_format(&invite.link, text))
		return cli_error(cli, CLI_FAILED, "use a shorter URL",
				 "the link would be too long");
	if (cli->json) {
		out_json(json_pack("{s:s, s:s}", "id", dnet.text, "link", text));
		return 0;
	}
	puts(text);
	return args_has(args, "qr") ? qr_print(cli, text) : 0;
}

/* ---- requests ---- */

struct requests {
	struct request list[REQUESTS_MAX];
	size_t count;
};

static int take_line(struct cli *cli, const char *line, const char *where, struct requests *to)
{
	struct request *r = &to->list[to->count];
	uint8_t xonly[XONLY_LEN];
	struct hash256 digest;

	if (to->count == REQUESTS_MAX)
		return cli_error(cli, CLI_USAGE, "give fewer at once", "more than %d requests",
				 REQUESTS_MAX);
	if (!request_parse_text(line, r) || !id_key_valid(cli->id, &r->key))
		return cli_error(cli, CLI_USAGE, "copy the whole line that dnet request printed",
				 "%s: \"%.60s\" is not a request", where, line);
	request_digest(r, &digest);
	id_xonly(&r->key, xonly);
	if (!id_verify(cli->id, xonly, digest.bytes, HASH_LEN, r->signature))
		return cli_error(cli, CLI_DENIED,
				 "somebody has changed it, or asks for a key that is not his",
				 "%s: the signature of a request is wrong", where);
	to->count++;
	return 0;
}

static int take_text(struct cli *cli, char *text, const char *where, struct requests *to)
{
	char *rest = NULL;
	int r = 0;

	for (char *line = strtok_r(text, " \t\r\n", &rest); !r && line;
	     line = strtok_r(NULL, " \t\r\n", &rest))
		r = take_line(cli, line, where, to);
	return r;
}

/* A request, a file of them, or - for standard input. */
static int take_word(struct cli *cli, const char *word, struct requests *to)
{
	_cleanup_(freep) char *text = NULL;
	int r = cli_id(cli);

	if (r)
		return r;
	if (!strncmp(word, "dnet-request:", 13))
		return take_line(cli, word, "command line", to);
	text = xmalloc(REQUESTS_BYTES_MAX);
	r = input_read(cli, word, "give a request (dnet-request:…), a file of them, or -", text,
		       REQUESTS_BYTES_MAX, NULL);
	return r ? r : take_text(cli, text, strcmp(word, "-") ? word : "standard input", to);
}

static int take_words(struct cli *cli, const struct args *args, struct requests *to)
{
	int r = args->count ? 0 : take_word(cli, "-", to);

	for (size_t i = 0; !r && i < args->count; i++)
		r = take_word(cli, args->words[i], to);
	if (!r && !to->count)
		r = cli_error(cli, CLI_NOT_FOUND, "dnet request DNET makes one, on the member",
			      "there is no request in it");
	return r;
}

/* "member", "denied", "new", or why it is none of these. */
static const char *state_of(struct cli *cli, const struct request *request)
{
	struct roster_members members = {0};
	const struct member *by_name;
	const char *state = "new";

	if (roster_members_load(cli, &request->dnet, &members))
		return "unknown";
	by_name = roster_members_find_name(&members, request->name);
	if (roster_members_find(&members, &request->key))
		state = "member";
	else if (known_denied(cli, &request->dnet, &request->key))
		state = "denied";
	else if (by_name)
		state = "another node has the name";
	else if (roster_members_revoked(&members, &request->key))
		state = "was removed";
	roster_members_done(&members);
	return state;
}

static json_t *request_json(struct cli *cli, const struct request *request)
{
	char key[2 * PUBKEY_LEN + 1], id[OBJECT_ID_TEXT_SIZE];

	hex_format(request->key.bytes, PUBKEY_LEN, key);
	object_id_format(OBJECT_DNET, &request->dnet, id);
	return json_pack("{s:s, s:s, s:s, s:I, s:s}", "dnet", id, "key", key, "name", request->name,
			 "date", (json_int_t)request->date, "state", state_of(cli, request));
}

static void print_requests(struct cli *cli, const json_t *list)
{
	uint64_t now = clock_wall_s();
	struct table table;
	const json_t *value;
	size_t i;

	table_init(&table, "NAME", "KEY", "DNET", "AGE", "STATE", NULL);
	json_array_foreach(list, i, value)
	{
		uint64_t date = (uint64_t)json_integer_value(json_object_get(value, "date"));
		const char *name = json_string_value(json_object_get(value, "name"));
		char age[OUT_AGE_MAX];

		table_row(&table, *name ? name : NULL,
			  json_string_value(json_object_get(value, "key")),
			  json_string_value(json_object_get(value, "dnet")),
			  out_age(now > date ? now - date : 0, age),
			  json_string_value(json_object_get(value, "state")));
	}
	table_print(cli, &table, "");
	table_done(&table);
}

static int run_requests(struct cli *cli, const struct args *args)
{
	struct requests *requests = xcalloc(1, sizeof(*requests));
	json_t *list = json_array();
	int r = take_words(cli, args, requests);

	if (!r)
		r = cli_db(cli);
	for (size_t i = 0; !r && i < requests->count; i++)
		json_array_append_new(list, request_json(cli, &requests->list[i]));
	if (!r && cli->json)
		out_json(json_incref(list));
	else if (!r)
		print_requests(cli, list);
	json_decref(list);
	free(requests);
	return r;
}

/* ---- approve, deny ---- */

/* All of one dnet, which *ret_dnet is. */
static int same_dnet(struct cli *cli, const struct requests *requests, struct cli_object *ret_dnet)
{
	char id[OBJECT_ID_TEXT_SIZE];

	for (size_t i = 1; i < requests->count; i++)
		if (!object_id_equal(&requests->list[i].dnet, &requests->list[0].dnet))
			return cli_error(cli, CLI_USAGE, "one dnet at a time",
					 "these requests are of several dnets");
	object_id_format(OBJECT_DNET, &requests->list[0].dnet, id);
	return names_resolve(cli, OBJECT_DNET, id, ret_dnet);
}

static int fill_put(struct cli *cli, const struct args *args, const struct request *request,
		    struct record *record)
{
	const char *name = args_get(args, "name"), *ipv4 = args_get(args, "ipv4");

	if (name && !record_name_ok(name))
		return cli_error(cli, CLI_USAGE, "1 to 32 of a-z, 0-9 and -, with no - at an end",
				 "\"%s\" is not a name", name);
	record->node_put.key = request->key;
	snprintf(record->node_put.name, sizeof(record->node_put.name), "%s",
		 name ? name : request->name);
	if (!ipv4)
		return 0;
	if (!address_parse(ipv4, &record->node_put.ipv4) || record->node_put.ipv4.family != ADDR_V4)
		return cli_error(cli, CLI_USAGE, "for example --ipv4 10.77.0.2",
				 "\"%s\" is not an IPv4 address", ipv4);
	record->node_put.flags |= NODE_FLAG_IPV4;
	return 0;
}

static int fill_records(struct cli *cli, const struct args *args, const struct requests *requests,
			bool approve, struct publish *publish)
{
	int r = 0;

	if (requests->count > 1 && (args_has(args, "name") || args_has(args, "ipv4")))
		return cli_error(cli, CLI_USAGE, "approve them one by one",
				 "--name and --ipv4 go for one request");
	for (size_t i = 0; !r && i < requests->count; i++) {
		const struct request *request = &requests->list[i];
		char key[2 * PUBKEY_LEN + 1];
		struct record *record;

		hex_format(request->key.bytes, PUBKEY_LEN, key);
		cli_note(cli, "%s  %s", key, request->name[0] ? request->name : "(no name)");
		if (approve && known_denied(cli, &request->dnet, &request->key))
			return cli_error(cli, CLI_DENIED,
					 "dnet deny --forget with the same request takes that back",
					 "%s was denied", key);
		if (!approve && strcmp(state_of(cli, request), "member") != 0)
			continue; /* who is not in needs no record to stay out */
		record = publish_add(publish, approve ? RECORD_NODE_PUT : RECORD_NODE_DEL);
		if (!record)
			return cli_error(cli, CLI_USAGE, "give fewer at once", "too many requests");
		if (approve)
			r = fill_put(cli, args, request, record);
		else
			record->node_del.key = request->key;
	}
	return r;
}

static int remember(struct cli *cli, const struct requests *requests, bool denied)
{
	int r = keys_lock(cli);

	for (size_t i = 0; !r && i < requests->count; i++)
		r = known_put_denied(cli, &requests->list[i].dnet, &requests->list[i].key, denied);
	keys_unlock(cli);
	return r;
}

static int forget(struct cli *cli, const struct args *args)
{
	struct requests *requests = xcalloc(1, sizeof(*requests));
	int r = take_words(cli, args, requests);

	if (!r)
		r = remember(cli, requests, false);
	if (!r && cli->json)
		out_json(json_pack("{s:I}", "forgotten", (json_int_t)requests->count));
	free(requests);
	return r;
}

static int decide(struct cli *cli, const struct args *args, bool approve)
{
	struct requests *requests = xcalloc(1, sizeof(*requests));
	_cleanup_(freep) struct publish *publish =
		publish_new(cli, "%s", approve ? "let in who asked" : "shut out who asked");
	int r = publish ? take_words(cli, args, requests) : CLI_FAILED;

	if (!r)
		r = same_dnet(cli, requests, &publish->object);
	if (!r)
		r = fill_records(cli, args, requests, approve, publish);
	if (!r && publish->count)
		r = publish_run(cli, args, publish);
	if (!r && !approve && !args_has(args, "dry-run"))
		r = remember(cli, requests, true);
	free(requests);
	if (r || publish->count)
		return r;
	if (cli->json)
		out_json(json_pack("{s:s, s:b}", "id", publish->object.text, "sent", 0));
	else
		puts("none of them is a member: nothing has to be written");
	return 0;
}

static int run_approve(struct cli *cli, const struct args *args)
{
	return decide(cli, args, true);
}

static int run_deny(struct cli *cli, const struct args *args)
{
	return args_has(args, "forget") ? forget(cli, args) : decide(cli, args, false);
}

const struct cli_command cli_commands_invite[] = {
	{"invite", "DNET", "prints a join link, with what helps who joins", invite_options, 1, 1,
	 false, run_invite},
	{"requests", "[REQUEST|FILE|-]...", "checks requests of nodes, and shows who asks", NULL, 0,
	 ARGS_MAX, false, run_requests},
	{"approve", "REQUEST|FILE|-...", "lets in who asked", approve_options, 1, ARGS_MAX, true,
	 run_approve},
	{"deny", "REQUEST|FILE|-...", "shuts out who asked, where he is a member, and remembers it",
	 deny_options, 1, ARGS_MAX, true, run_deny},
	{0},
};
