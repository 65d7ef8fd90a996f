#include "cli/cli.h"
#include "cli/names.h"
#include "cli/out.h"
#include "os/base.h"
#include "os/chaindb.h"
#include "os/ctl.h"
#include "wire/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The member's commands: each is one call of dnetd's control socket (dnetd(8)). */

enum {
	CALL_MS = 10000,
	FOLLOW_MS = 5000,
	PING_COUNT = 4,
	PING_DIRECT_COUNT = 10, /* with --until-direct: punching takes a few tries */
	PING_COUNT_MAX = 1000000,
	PING_TIMEOUT_MS = 5000,
	PING_INTERVAL_MS = 1000,
	NUMBER_SIZE = 32,
};

static const struct arg_option ping_options[] = {
	{"count", 'c', "N", "how many (4; with --until-direct at most 10)"},
	{"until-direct", 0, NULL, "stop at the first answer on a direct path; fail without one"},
	{"dnet", 'd', "DNET", "in this dnet, when several are joined"},
	{0},
};

static const struct arg_option request_options[] = {
	{"name", 0, "NAME", "what the node would like to be called"},
	{0},
};

static const struct arg_option why_options[] = {
	{"dnet", 'd', "DNET", "in this dnet, when several are joined"},
	{0},
};

static enum cli_exit exit_of(int code)
{
	switch (code) {
	case CTL_ECONNECT:
		return CLI_UNREACHABLE;
	case CTL_ENOTFOUND:
		return CLI_NOT_FOUND;
	case CTL_EPARAMS:
		return CLI_USAGE;
	case CTL_EDENIED:
		return CLI_DENIED;
	case CTL_ETIMEOUT:
		return CLI_TIMEOUT;
	}
	return CLI_FAILED;
}

static int call_failed(struct cli *cli, const struct ctl_error *error)
{
	char next[sizeof(error->next)];

	snprintf(next, sizeof(next), "%s",
		 error->code == CTL_ECONNECT ? "start dnetd, or name its socket with --socket"
					     : error->next);
	out_clean_text(next);
	return cli_error(cli, exit_of(error->code), *next ? next : NULL, "%s", error->message);
}

/* params is taken. */
static int call(struct cli *cli, const char *method, json_t *params, json_t **ret_result)
{
	struct ctl_error error = {0};
	int r = ctl_client_call(cli->conf.socket, method, params, CALL_MS, ret_result, &error);

	json_decref(params);
	if (r)
		return call_failed(cli, &error);
	if (!cli->json)
		*ret_result = out_clean(*ret_result);
	return 0;
}

static const char *string_of(const json_t *value)
{
	const char *text = json_string_value(value);

	return text ? text : "";
}

static const char *text_of(const json_t *object, const char *name)
{
	return string_of(json_object_get(object, name));
}

static const char *number_of(const json_t *object, const char *name, const char *unit,
			     char ret[static NUMBER_SIZE])
{
	const json_t *value = json_object_get(object, name);

	ret[0] = '\0';
	if (json_is_integer(value))
		snprintf(ret, NUMBER_SIZE, "%lld%s", (long long)json_integer_value(value), unit);
	else if (json_is_real(value))
		snprintf(ret, NUMBER_SIZE, "%.1f%s", json_real_value(value), unit);
	return ret;
}

/* A label or name becomes an id where it can; else dnetd says what is wrong with it. */
static int name_to_id(struct cli *cli, const char *text, struct cli_object *ret)
{
	enum object_kind kind;

	if (object_id_parse(text, &kind, &ret->id) || !strncmp(text, "dnet:", 5) ||
	    access(cli->conf.chain_db, R_OK))
		return 0;
	return names_resolve(cli, OBJECT_DNET, text, ret);
}

/* ID@HEIGHT: the block that made the dnet, for a chainwatch without a chain node (chainwatch(8),
 * LIGHT). False: the word says none. */
static bool take_height(char *word, uint32_t *ret_height)
{
	char *value = strchr(word, '@'), *end;
	long height;

	if (!value)
		return false;
	*value++ = '\0';
	if (*value < '1' || *value > '9')
		return false;
	height = strtol(value, &end, 10);
	if (*end || height > INT32_MAX)
		return false;
	*ret_height = (uint32_t)height;
	return true;
}

/* Others know every dnet: what they say of it is not the member's business. */
static void tell_chainwatch(struct cli *cli, const char *id, uint32_t height)
{
	struct ctl_error error = {0};
	json_t *result = NULL;

	if (ctl_client_call(cli->conf.chainwatch, "follow",
			    json_pack("{s:s, s:I}", "id", id, "height", (json_int_t)height),
			    FOLLOW_MS, &result, &error))
		fprintf(stderr,
			"dnet: chainwatch was not told of block %u: %s\n"
			"      with source = light it needs the line: follow = %s@%u\n",
			height, error.message, id, height);
	json_decref(result);
}

/* Only where chain.db says which chain there is. */
static int check_chain(struct cli *cli, const struct link *link)
{
	char error[CHAINDB_ERROR_MAX];
	struct chaindb_tip tip;
	struct chaindb *db;
	bool known;

	if (!link->chain[0] || access(cli->conf.chain_db, R_OK) ||
	    chaindb_open(cli->conf.chain_db, CHAINDB_WAIT_MS, &db, error))
		return 0;
	known = !chaindb_tip(db, &tip);
	chaindb_close(db);
	if (!known || !strcmp(tip.chain, link->chain))
		return 0;
	return cli_error(cli, CLI_USAGE, "let chainwatch follow that chain, then join",
			 "the link is of chain %s, and %s is of chain %s", link->chain,
			 cli->conf.chain_db, tip.chain);
}

/* The hints of a join link; the link itself goes to dnetd, which reads it for itself. */
static int use_link(struct cli *cli, const char *text)
{
	char id[OBJECT_ID_TEXT_SIZE];
	struct link link;
	const char *why = link_parse(text, &link);
	int r;

	if (why)
		return cli_error(cli, CLI_USAGE, "copy the whole link, in quotes",
				 "this is not a join link: %s", why);
	r = check_chain(cli, &link);
	if (r)
		return r;
	if (link.unknown)
		cli_note(cli, "passed over in the link: %s%s", link.first_unknown,
			 link.unknown > 1 ? ", and more" : "");
	object_id_format(OBJECT_DNET, &link.dnet, id);
	if (link.height)
		tell_chainwatch(cli, id, link.height);
	for (size_t i = 0; i < link.helper_count; i++) {
		object_id_format((enum object_kind)link.helpers[i].kind, &link.helpers[i].id, id);
		if (link.helpers[i].height)
			tell_chainwatch(cli, id, link.helpers[i].height);
	}
	return 0;
}

static int run_join(struct cli *cli, const struct args *args)
{
	_cleanup_(freep) char *word = xstrdup(args->words[0]);
	bool is_link = !strncmp(word, "dnet:", 5);
	struct cli_object object = {0};
	json_t *result;
	uint32_t height = 0;
	bool hint = !is_link && take_height(word, &height);
	int r = is_link ? use_link(cli, word) : name_to_id(cli, word, &object);

	if (!r && hint)
		tell_chainwatch(cli, *object.text ? object.text : word, height);
	if (!r)
		r = call(cli, "join", json_pack("{s:s}", "id", *object.text ? object.text : word),
			 &result);
	if (r)
		return r;
	if (cli->json) {
		out_json(result);
		return 0;
	}
	printf("joined %s on %s: %s\n  key   %s\n  IPv6  %s\n", text_of(result, "dnet"),
	       text_of(result, "interface"), text_of(result, "state"), text_of(result, "key"),
	       text_of(result, "ipv6"));
	json_decref(result);
	return 0;
}

static int run_request(struct cli *cli, const struct args *args)
{
	json_t *result;
	int r = call(
		cli, "request",
		json_pack("{s:s, s:s*}", "dnet", args->words[0], "name", args_get(args, "name")),
		&result);

	if (r)
		return r;
	if (cli->json) {
		out_json(result);
		return 0;
	}
	puts(text_of(result, "request"));
	cli_note(cli, "hand this line to the owner, who lets the node in with: dnet approve LINE");
	json_decref(result);
	return 0;
}

static int simple(struct cli *cli, const struct args *args, const char *method, const char *done)
{
	json_t *result, *params = args->count ? json_pack("{s:s}", "id", args->words[0]) : NULL;
	int r = call(cli, method, params, &result);

	if (r)
		return r;
	if (cli->json) {
		out_json(result);
		return 0;
	}
	puts(done);
	json_decref(result);
	return 0;
}

static int run_leave(struct cli *cli, const struct args *args)
{
	return simple(cli, args, "leave", "left");
}

static int run_up(struct cli *cli, const struct args *args)
{
	return simple(cli, args, "up", "up");
}

static int run_down(struct cli *cli, const struct args *args)
{
	return simple(cli, args, "down", "down");
}

static int run_id(struct cli *cli, const struct args *args)
{
	json_t *params = args->count ? json_pack("{s:s}", "dnet", args->words[0]) : NULL, *result;
	int r = call(cli, "id", params, &result);

	if (r)
		return r;
	if (cli->json) {
		out_json(result);
		return 0;
	}
	printf("dnet  %s\nkey   %s\nIPv6  %s\n", text_of(result, "dnet"), text_of(result, "key"),
	       text_of(result, "ipv6"));
	json_decref(result);
	return 0;
}

static void print_helpers(const struct cli *cli, const json_t *helpers)
{
	struct table table;
	const json_t *value;
	size_t i;

	if (!json_array_size(helpers))
		return;
	table_init(&table, "KIND", "NAME", "STATE", "ENDPOINT", "RTT", "SEES US AS", "TROUBLE",
		   NULL);
	json_array_foreach(helpers, i, value)
	{
		char rtt[NUMBER_SIZE];

		table_row(&table, text_of(value, "kind"), text_of(value, "name"),
			  text_of(value, "state"), text_of(value, "endpoint"),
			  number_of(value, "rtt_ms", " ms", rtt), text_of(value, "observed"),
			  text_of(value, "reason"));
	}
	table_print(cli, &table, "  ");
	table_done(&table);
	json_array_foreach(helpers, i, value)
	{
		if (*text_of(value, "error"))
			printf("  %s%s%s: %s\n", out_on(cli, OUT_RED), text_of(value, "name"),
			       out_off(cli), text_of(value, "error"));
		if (*text_of(value, "refused"))
			printf("  %s%s%s %s\n", out_on(cli, OUT_RED), text_of(value, "name"),
			       out_off(cli), text_of(value, "refused"));
	}
}

/* Nothing where the mesh alone carries: that goes without saying. */
static void print_backends(const json_t *backends)
{
	const json_t *value;
	size_t i;

	if (json_array_size(backends) == 1 &&
	    !strcmp(text_of(json_array_get(backends, 0), "name"), "native"))
		return;
	json_array_foreach(backends, i, value)
	{
		const char *program = text_of(value, "program"), *limits = text_of(value, "limits");

		printf("  backend    %s (%s)%s%s\n", text_of(value, "name"),
		       text_of(value, "interface"), *program ? ": " : "", program);
		if (*limits)
			printf("             not kept by it: %s\n", limits);
	}
}

static void print_roster(const struct cli *cli, const json_t *roster)
{
	const json_t *in_force = json_object_get(roster, "in_force");
	char sequence[NUMBER_SIZE], rules[NUMBER_SIZE];
	const char *error = text_of(roster, "error");

	if (json_is_object(in_force))
		printf("  roster     sequence %s, %s\n",
		       number_of(in_force, "sequence", "", sequence),
		       number_of(in_force, "rules", " rules", rules));
	if (*error)
		printf("  %sroster     %s%s\n", out_on(cli, OUT_RED), error, out_off(cli));
}

static void print_dnet(const struct cli *cli, const json_t *dnet)
{
	const json_t *value;
	char height[NUMBER_SIZE], total[NUMBER_SIZE], connected[NUMBER_SIZE];
	size_t i;

	printf("\n%s%s%s  %s\n", out_on(cli, OUT_BOLD), text_of(dnet, "name"), out_off(cli),
	       text_of(dnet, "id"));
	printf("  state      %s\n  interface  %s\n  key        %s\n", text_of(dnet, "state"),
	       text_of(dnet, "interface"), text_of(dnet, "key"));
	json_array_foreach(json_object_get(dnet, "addresses"), i, value)
		printf("  address    %s\n", string_of(value));
	printf("  height     %s\n", number_of(dnet, "height", "", height));
	printf("  peers      %s of %s connected\n",
	       number_of(dnet, "peers_connected", "", connected),
	       number_of(dnet, "peers_total", "", total));
	if (*text_of(dnet, "remark"))
		printf("  remark     %s\n", text_of(dnet, "remark"));
	print_roster(cli, json_object_get(dnet, "roster"));
	print_backends(json_object_get(dnet, "backends"));
	json_array_foreach(json_object_get(dnet, "parts"), i, value)
	{
		if (*text_of(value, "error"))
			printf("  %s%-10s %s%s\n", out_on(cli, OUT_RED), text_of(value, "part"),
			       text_of(value, "error"), out_off(cli));
	}
	json_array_foreach(json_object_get(dnet, "unreachable"), i, value)
		printf("  %s%-10s %s%s\n", out_on(cli, OUT_RED), text_of(value, "name"),
		       text_of(value, "reason"), out_off(cli));
	print_helpers(cli, json_object_get(dnet, "helpers"));
}

/* Who seals, and what of the kernel's help is missing. */
static void print_datapath(const json_t *datapath)
{
	static const char *const offloads[][2] = {{"udp_gso_off", "UDP segmentation offload"},
						  {"udp_gro_off", "UDP receive offload"}};
	const json_t *cipher;
	size_t i;

	json_array_foreach(json_object_get(datapath, "ciphers"), i, cipher)
		printf("%s by %s%s", text_of(cipher, "name"), text_of(cipher, "by"),
		       i + 1 < json_array_size(json_object_get(datapath, "ciphers")) ? ", " : "\n");
	for (i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++)
		if (*text_of(datapath, offloads[i][0]))
			printf("no %s: %s\n", offloads[i][1], text_of(datapath, offloads[i][0]));
}

static int run_status(struct cli *cli, const struct args *args)
{
	json_t *result, *chain, *value;
	char height[NUMBER_SIZE], age[NUMBER_SIZE], port[NUMBER_SIZE];
	size_t i;
	int r = call(cli, "status", NULL, &result);

	(void)args;
	if (r)
		return r;
	if (cli->json) {
		out_json(result);
		return 0;
	}
	chain = json_object_get(result, "chain");
	printf("dnetd %s, port %s: %s\n", text_of(result, "version"),
	       number_of(result, "port", "", port), text_of(result, "state"));
	if (json_is_integer(json_object_get(chain, "age_s")))
		printf("chain at height %s, block %s old", number_of(chain, "height", "", height),
		       number_of(chain, "age_s", " s", age));
	else
		printf("no block of the chain is known");
	printf("%s%s\n", *text_of(chain, "error") ? ": " : "", text_of(chain, "error"));
	print_datapath(json_object_get(result, "datapath"));
	json_array_foreach(json_object_get(result, "dnets"), i, value) print_dnet(cli, value);
	json_decref(result);
	return 0;
}

/* "-" when the backend does not count them. */
static void bytes_of(const json_t *peer, const char *name, char ret[static OUT_BYTES_MAX])
{
	const json_t *value = json_object_get(peer, name);

	if (json_is_integer(value))
		out_bytes((uint64_t)json_integer_value(value), ret);
	else
		snprintf(ret, OUT_BYTES_MAX, "-");
}

static void peer_row(struct table *table, const json_t *peer)
{
	const json_t *age = json_object_get(peer, "last_handshake_s");
	char rtt[NUMBER_SIZE], in[OUT_BYTES_MAX], out[OUT_BYTES_MAX], ago[OUT_AGE_MAX] = "";
	const char *name = text_of(peer, "name"), *why = text_of(peer, "reason");
	const char *backend = text_of(peer, "backend");
	const char *via =
		*text_of(peer, "relay") ? text_of(peer, "relay") : text_of(peer, "endpoint");

	if (json_is_integer(age))
		out_age((uint64_t)json_integer_value(age), ago);
	bytes_of(peer, "rx_bytes", in);
	bytes_of(peer, "tx_bytes", out);
	table_row(table, *name ? name : text_of(peer, "key"),
		  json_string_value(json_array_get(json_object_get(peer, "addresses"), 0)),
		  text_of(peer, "state"), *backend ? backend : "none", text_of(peer, "path"), via,
		  number_of(peer, "rtt_ms", " ms", rtt), in, out, ago, why);
}

static int run_peers(struct cli *cli, const struct args *args)
{
	json_t *params = args->count ? json_pack("{s:s}", "dnet", args->words[0]) : NULL;
	json_t *result, *value;
	struct table table;
	size_t i;
	int r = call(cli, "peers", params, &result);

	if (r)
		return r;
	if (cli->json) {
		out_json(result);
		return 0;
	}
	table_init(&table, "NAME", "ADDRESS", "STATE", "BACKEND", "PATH", "VIA", "RTT", "IN", "OUT",
		   "HANDSHAKE", "REASON", NULL);
	json_array_foreach(result, i, value) peer_row(&table, value);
	table_print(cli, &table, "");
	table_done(&table);
	json_decref(result);
	return 0;
}

static int run_counters(struct cli *cli, const struct args *args)
{
	json_t *params = args->count ? json_pack("{s:s}", "dnet", args->words[0]) : NULL;
	json_t *result, *value;
	struct table table;
	const char *name;
	int r = call(cli, "counters", params, &result);

	if (r)
		return r;
	if (cli->json) {
		out_json(result);
		return 0;
	}
	table_init(&table, "COUNTER", "VALUE", NULL);
	json_object_foreach(result, name, value)
	{
		char number[NUMBER_SIZE];

		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
		table_row(&table, name, number);
	}
	table_print(cli, &table, "");
	table_done(&table);
	json_decref(result);
	return 0;
}

struct ping_run {
	const char *node;
	json_t *replies;
	unsigned sent;
	bool direct;
	int failed; /* exit code of the last one that got no answer */
};

/* An error that will not change with the next try ends the run. */
static int ping_once(struct cli *cli, struct ping_run *run, json_t *params)
{
	struct ctl_error error = {0};
	char rtt[NUMBER_SIZE];
	json_t *reply;

	run->sent++;
	if (ctl_client_call(cli->conf.socket, "ping", params, CALL_MS, &reply, &error)) {
		if (error.code != CTL_ETIMEOUT && error.code != CTL_EBUSY)
			return call_failed(cli, &error);
		run->failed = CLI_TIMEOUT;
		cli_note(cli, "%s: %s", run->node, error.message);
		return 0;
	}
	if (!cli->json)
		reply = out_clean(reply);
	run->direct = !strcmp(text_of(reply, "path"), "direct");
	if (!cli->json)
		printf("answer from %s in %s, %s via %s\n", text_of(reply, "node"),
		       number_of(reply, "rtt_ms", " ms", rtt), text_of(reply, "path"),
		       *text_of(reply, "relay") ? text_of(reply, "relay")
						: text_of(reply, "endpoint"));
	fflush(stdout);
	json_array_append_new(run->replies, reply);
	return 0;
}

static int ping_result(struct cli *cli, struct ping_run *run, bool until_direct)
{
	size_t received = json_array_size(run->replies);
	bool ok = received && (!until_direct || run->direct);

	if (cli->json)
		out_json(json_pack("{s:s, s:i, s:i, s:b, s:O}", "node", run->node, "sent",
				   (int)run->sent, "received", (int)received, "direct",
				   (int)run->direct, "replies", run->replies));
	else
		printf("%u sent, %zu answered\n", run->sent, received);
	if (ok)
		return 0;
	if (!cli->json && received)
		cli_error(cli, CLI_FAILED, "dnet why says what was tried",
			  "no direct path to %s yet", run->node);
	return received ? CLI_FAILED : CLI_TIMEOUT;
}

static int run_ping(struct cli *cli, const struct args *args)
{
	const struct timespec pause = {.tv_sec = PING_INTERVAL_MS / 1000};
	const char *count = args_get(args, "count"), *dnet = args_get(args, "dnet");
	bool until_direct = args_has(args, "until-direct");
	long tries =
		count ? strtol(count, NULL, 10) : (until_direct ? PING_DIRECT_COUNT : PING_COUNT);
	struct ping_run run = {.node = args->words[0], .replies = json_array()};
	json_t *params;
	int r = 0;

	if (tries < 1 || tries > PING_COUNT_MAX) {
		json_decref(run.replies);
		return cli_error(cli, CLI_USAGE, NULL, "--count is 1 to %d", PING_COUNT_MAX);
	}
	params = json_pack("{s:s, s:i, s:s*}", "node", run.node, "timeout_ms", PING_TIMEOUT_MS,
			   "dnet", dnet);
	for (long i = 0; !r && i < tries && !(until_direct && run.direct); i++) {
		if (i)
			nanosleep(&pause, NULL);
		r = ping_once(cli, &run, params);
	}
	if (!r)
		r = ping_result(cli, &run, until_direct);
	json_decref(params);
	json_decref(run.replies);
	return r;
}

static const char *seconds_ago(const json_t *object, const char *name, char ret[static OUT_AGE_MAX])
{
	const json_t *value = json_object_get(object, name);

	ret[0] = '\0';
	return json_is_integer(value) ? out_age((uint64_t)json_integer_value(value), ret) : ret;
}

static void print_candidates(const struct cli *cli, const json_t *candidates)
{
	struct table table;
	const json_t *value;
	size_t i;

	if (!json_array_size(candidates)) {
		puts("candidates: none is known");
		return;
	}
	puts("candidates:");
	table_init(&table, " ", "WAY", "ENDPOINT", "FROM", "RESULT", "RTT", "LAST PING",
		   "LAST ANSWER", NULL);
	json_array_foreach(candidates, i, value)
	{
		char rtt[NUMBER_SIZE], ping[OUT_AGE_MAX], answer[OUT_AGE_MAX];

		table_row(&table, json_is_true(json_object_get(value, "current")) ? "*" : " ",
			  text_of(value, "kind"), text_of(value, "endpoint"),
			  text_of(value, "origin"), text_of(value, "result"),
			  number_of(value, "rtt_ms", " ms", rtt),
			  seconds_ago(value, "last_ping_s", ping),
			  seconds_ago(value, "last_answer_s", answer));
	}
	table_print(cli, &table, "  ");
	table_done(&table);
}

static void print_verdict(const struct cli *cli, const char *what, const json_t *verdict)
{
	bool allowed = json_is_true(json_object_get(verdict, "allowed"));
	char rule[NUMBER_SIZE];

	if (!verdict)
		return;
	number_of(verdict, "rule", "", rule);
	printf("%s: %s%s%s%s%s: %s\n", what, out_on(cli, allowed ? OUT_GREEN : OUT_RED),
	       allowed ? "allowed" : "denied", out_off(cli), *rule ? " by rule " : "", rule,
	       text_of(verdict, "explanation"));
}

/* With another backend than native, the candidates are those of the session beside it. */
static void print_carrier(const json_t *result)
{
	const char *backend = text_of(result, "backend"), *control = text_of(result, "control");

	if (*text_of(result, "choice"))
		printf("backend: %s: %s\n", *backend ? backend : "none", text_of(result, "choice"));
	if (*control)
		printf("what follows is of the session that the two tell each other their backends "
		       "in: path %s\n",
		       control);
}

static void print_why(const struct cli *cli, const json_t *result)
{
	const json_t *policy = json_object_get(result, "policy"), *value;
	size_t i;

	printf("%s%s%s %s, path %s\n  %s\n", out_on(cli, OUT_BOLD),
	       *text_of(result, "name") ? text_of(result, "name") : text_of(result, "key"),
	       out_off(cli), text_of(result, "state"), text_of(result, "path"),
	       text_of(result, "reason"));
	print_carrier(result);
	print_candidates(cli, json_object_get(result, "candidates"));
	printf("told to peers as ours:");
	json_array_foreach(json_object_get(result, "own"), i, value)
		printf(" %s", string_of(value));
	puts(json_array_size(json_object_get(result, "own")) ? "" : " nothing");
	puts(json_array_size(json_object_get(result, "helpers"))
		     ? "helpers:"
		     : "helpers: none is linked and granted");
	print_helpers(cli, json_object_get(result, "helpers"));
	print_verdict(cli, "policy, ping to it", json_object_get(policy, "ping_to"));
	print_verdict(cli, "policy, ping from it", json_object_get(policy, "ping_from"));
}

static void format_end(const json_t *end, char *ret, size_t size)
{
	const char *name = text_of(end, "name"), *address = text_of(end, "address");

	snprintf(ret, size, *name ? "%s (%s)" : "%s%s", *name ? name : address,
		 *name ? address : "");
}

/* NULL: the error was printed. */
static json_t *why_params(struct cli *cli, const struct args *args, const char *dnet)
{
	const char *port = args->count > 3 ? args->words[3] : NULL;
	json_t *params;
	char *end = NULL;
	long number = 0;

	if (args->count == 1)
		return json_pack("{s:s, s:s*}", "node", args->words[0], "dnet", dnet);
	if (port)
		number = *port >= '0' && *port <= '9' ? strtol(port, &end, 10) : -1;
	if (args->count == 2 || number < 0 || number > UINT16_MAX || (end && *end)) {
		cli_error(cli, CLI_USAGE, "dnet why NODE, or dnet why alice bob tcp 443",
			  args->count == 2 ? "PROTO is missing" : "\"%s\" is not a port", port);
		return NULL;
	}
	params = json_pack("{s:s, s:s, s:s, s:s*}", "src", args->words[0], "dst", args->words[1],
			   "protocol", args->words[2], "dnet", dnet);
	if (port)
		json_object_set_new(params, "port", json_integer(number));
	return params;
}

static int run_why(struct cli *cli, const struct args *args)
{
	json_t *params = why_params(cli, args, args_get(args, "dnet")), *result;
	char src[128], dst[128], what[320];
	int r = params ? call(cli, "why", params, &result) : CLI_USAGE;

	if (r)
		return r;
	if (cli->json) {
		out_json(result);
		return 0;
	}
	if (args->count == 1) {
		print_why(cli, result);
	} else {
		format_end(json_object_get(result, "src"), src, sizeof(src));
		format_end(json_object_get(result, "dst"), dst, sizeof(dst));
		snprintf(what, sizeof(what), "%s to %s, %s%s%s", src, dst, args->words[2],
			 args->count > 3 ? " " : "", args->count > 3 ? args->words[3] : "");
		print_verdict(cli, what, result);
	}
	json_decref(result);
	return 0;
}

const struct cli_command cli_commands_member[] = {
	{"join", "ID[@HEIGHT]", "takes this machine into a dnet", NULL, 1, 1, false, run_join},
	{"leave", "ID", "takes it out", NULL, 1, 1, false, run_leave},
	{"up", "[ID]", "brings a dnet up that was taken down", NULL, 0, 1, false, run_up},
	{"down", "[ID]", "takes a dnet down without leaving it", NULL, 0, 1, false, run_down},
	{"id", "[DNET]", "this machine's key and address in a dnet", NULL, 0, 1, false, run_id},
	{"status", NULL, "what is joined, and how it is", NULL, 0, 0, false, run_status},
	{"peers", "[DNET]", "the other nodes, and how they are reached", NULL, 0, 1, false,
	 run_peers},
	{"ping", "NODE", "asks a node for an answer through the overlay", ping_options, 1, 1, false,
	 run_ping},
	{"why", "NODE | SRC DST PROTO [PORT]",
	 "why a node is reached as it is; what the policy says of a flow", why_options, 1, 4, false,
	 run_why},
	{"counters", "[DNET]", "counters of packets and refusals", NULL, 0, 1, false, run_counters},
	{"request", "DNET", "prints a signed request to be let in, for the owner", request_options,
	 1, 1, false, run_request},
	{0},
};
