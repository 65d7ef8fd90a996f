#include "config.h"

#include "cli/cli.h"
#include "cli/help.h"
#include "cli/keys.h"
#include "cli/out.h"
#include "cli/settings.h"
#include "core/chainparams.h"
#include "core/id.h"
#include "os/chaindb.h"
#include "os/rand.h"
#include "os/rpc.h"
#include "os/sandbox.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* dnet: finds the command in the tables, reads options and configuration, runs it.
 *
 * Reading order: cli.h (what commands share), help.c (the tables as help), args in this file, then
 * a command: cmd_owner.c and what it calls, publish.c. */

/* A text with bytes that are no UTF-8 is no JSON string. */
static json_t *error_json(enum cli_exit code, char *message, const char *next)
{
	json_t *error = json_pack("{s:{s:i, s:s, s:s*}}", "error", "code", (int)code, "message",
				  message, "next", next);

	if (error)
		return error;
	for (char *c = message; *c; c++)
		if ((uint8_t)*c >= 0x80)
			*c = '?';
	return json_pack("{s:{s:i, s:s, s:s*}}", "error", "code", (int)code, "message", message,
			 "next", next);
}

int cli_error(struct cli *cli, enum cli_exit code, const char *next, const char *format, ...)
{
	char message[1024];
	va_list args;
	int len;

	if (cli->quiet)
		return code;
	len = snprintf(message, sizeof(message), "%s", cli->where);
	va_start(args, format);
	vsnprintf(message + len, sizeof(message) - (size_t)len, format, args);
	va_end(args);
	if (cli->json) {
		out_json(error_json(code, message, next));
		return code;
	}
	out_clean_text(message);
	fprintf(stderr, "%sdnet: %s%s\n", cli->color_err ? "\033[31m" : "", message,
		cli->color_err ? "\033[0m" : "");
	if (next)
		fprintf(stderr, "      next: %s\n", next);
	return code;
}

void cli_note(struct cli *cli, const char *format, ...)
{
	char message[1024];
	va_list args;

	if (cli->json)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	out_clean_text(message);
	fprintf(stderr, "%s\n", message);
}

int cli_params(struct cli *cli)
{
	if (!cli->params)
		cli->params = chainparams_find(cli->conf.chain);
	if (cli->params)
		return 0;
	return cli_error(cli, CLI_USAGE, "see `chain` in dnet.conf(5)", "no chain is called \"%s\"",
			 cli->conf.chain);
}

int cli_rpc(struct cli *cli)
{
	struct rpc_config config = {
		.url = cli->conf.rpc,
		.user = cli->conf.rpc_user,
		.password = cli->conf.rpc_password,
		.cookie_file = *cli->conf.rpc_cookie ? cli->conf.rpc_cookie : NULL,
	};
	char url[64];
	int r = cli_params(cli);

	if (r || cli->rpc)
		return r;
	if (!*cli->conf.rpc) {
		snprintf(url, sizeof(url), "http://127.0.0.1:%u/", cli->params->rpc_port);
		config.url = url;
	}
	r = rpc_new(&config, &cli->rpc);
	if (r)
		return cli_error(cli, CLI_USAGE, "set `rpc-url` in dnet.conf", "not a URL: %s",
				 config.url);
	return 0;
}

static const char *db_next(int r)
{
	switch (-r) {
	case EBUSY:
		return "somebody else has locked it: try again";
	case EPROTONOSUPPORT:
		return "use the dnet that came with that chainwatch";
	case EACCES:
		return "let this user read it (its group), or run as another user";
	default:
		return "start chainwatch, or name its file: `chain-db` in dnet.conf";
	}
}

int cli_db(struct cli *cli)
{
	char error[CHAINDB_ERROR_MAX];
	struct chaindb_tip tip;
	int r = cli_params(cli);

	if (r || cli->db)
		return r;
	r = chaindb_open(cli->conf.chain_db, CHAINDB_WAIT_MS, &cli->db, error);
	if (r)
		return cli_error(cli, CLI_UNREACHABLE, db_next(r), "%s", error);
	if (!chaindb_tip(cli->db, &tip) && strcmp(tip.chain, cli->params->name)) {
		r = cli_error(cli, CLI_USAGE, "set `chain` or `chain-db` in dnet.conf",
			      "%s is of chain %s, and the configuration says %s",
			      cli->conf.chain_db, tip.chain, cli->params->name);
		chaindb_close(cli->db);
		cli->db = NULL;
	}
	return r;
}

int cli_id(struct cli *cli)
{
	uint8_t seed[ID_SEED_LEN];

	if (cli->id)
		return 0;
	rand_bytes(seed, sizeof(seed));
	cli->id = id_new(seed);
	return cli->id ? 0 : cli_error(cli, CLI_FAILED, NULL, "out of memory");
}

const char *args_get(const struct args *args, const char *name)
{
	for (size_t i = args->option_count; i > 0; i--) {
		if (!strcmp(args->options[i - 1]->name, name))
			return args->values[i - 1];
	}
	return NULL;
}

bool args_has(const struct args *args, const char *name)
{
	return args_get(args, name);
}

struct parse {
	struct cli *cli;
	int argc;
	char **argv;
	int pos;
	const struct cli_command *command; /* NULL: not found yet */
	const char *config;
	bool help, version, print_man;
	/* Options of the configuration, set after the files were read. */
	const char *names[ARGS_MAX], *values[ARGS_MAX];
	size_t count;
	struct args args;
};

/* The row for --name (len letters of it) or -letter, in the command's own tables. */
static const struct arg_option *find_option(const struct cli_command *command, const char *name,
					    size_t len, char letter)
{
	for (int part = 0; command && part < 2; part++) {
		const struct arg_option *row = help_options(command, part);

		for (; row && row->name; row++) {
			if (letter ? row->letter == letter
				   : strlen(row->name) == len && !strncmp(row->name, name, len))
				return row;
		}
	}
	return NULL;
}

static int usage(struct parse *parse, const char *format, const char *what)
{
	char next[64];

	snprintf(next, sizeof(next), "dnet %s%s--help", parse->command ? parse->command->name : "",
		 parse->command ? " " : "");
	return cli_error(parse->cli, CLI_USAGE, next, format, what);
}

/* inline_value: behind the '='; NULL: the next word. */
static const char *take_value(struct parse *parse, const char *inline_value)
{
	if (inline_value)
		return inline_value;
	return parse->pos < parse->argc ? parse->argv[parse->pos++] : NULL;
}

static int take_command_option(struct parse *parse, const struct arg_option *row, const char *word,
			       const char *inline_value)
{
	struct args *args = &parse->args;
	const char *value = "";

	if (row->value) {
		value = take_value(parse, inline_value);
		if (!value)
			return usage(parse, "%s needs a value", word);
	} else if (inline_value) {
		return usage(parse, "%s takes no value", word);
	}
	if (args->option_count == ARG_OPTIONS_MAX)
		return usage(parse, "too many options at %s", word);
	args->options[args->option_count] = row;
	args->values[args->option_count++] = value;
	return 0;
}

static bool is_setting(const char *name, size_t len)
{
	if (len == 6 && !strncmp(name, "socket", len))
		return true;
	for (size_t i = 0; i < settings_program.options_count; i++) {
		const char *row = settings_program.options[i].name;

		if (strlen(row) == len && !strncmp(row, name, len))
			return true;
	}
	return false;
}

static int take_setting(struct parse *parse, char *word, const char *inline_value)
{
	const char *value = take_value(parse, inline_value);

	if (!value)
		return usage(parse, "%s needs a value", word);
	if (parse->count == ARGS_MAX)
		return usage(parse, "too many options at %s", word);
	if (inline_value)
		word[inline_value - word - 1] = '\0';
	parse->names[parse->count] = strcmp(word, "--socket") ? word + 2 : "dnetd";
	parse->values[parse->count++] = value;
	return 0;
}

/* Those that every command has. -ENOENT: none of them. */
static int take_global(struct parse *parse, const char *word, const char *inline_value)
{
	if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
		parse->help = true;
	} else if (!strcmp(word, "--version")) {
		parse->version = true;
	} else if (!strcmp(word, "--print-man")) {
		parse->print_man = true;
	} else if (!strcmp(word, "--json")) {
		parse->cli->json = true;
	} else if (!strcmp(word, "-y") || !strcmp(word, "--yes")) {
		parse->cli->yes = true;
	} else if (!strcmp(word, "-c") || !strcmp(word, "--config") ||
		   !strncmp(word, "--config=", 9)) {
		parse->config = take_value(parse, inline_value);
		if (!parse->config)
			return usage(parse, "%s needs a value", word);
	} else {
		return -ENOENT;
	}
	return 0;
}

static int take_option(struct parse *parse, char *word)
{
	bool is_long = word[1] == '-';
	const char *value = is_long ? strchr(word, '=') : NULL;
	size_t len = value ? (size_t)(value - word - 2) : strlen(word) - (is_long ? 2 : 1);
	const struct arg_option *row;
	int r;

	if (value)
		value++;
	if (!is_long && len != 1)
		return usage(parse, "short options stand alone: %s", word);
	row = find_option(parse->command, word + 2, len, is_long ? 0 : word[1]);
	if (row)
		return take_command_option(parse, row, word, value);
	r = take_global(parse, word, value);
	if (r != -ENOENT)
		return r;
	if (is_long && is_setting(word + 2, len))
		return take_setting(parse, word, value);
	return usage(parse, "unknown option %s", word);
}

/* Words up to here, then perhaps the next, as far as they are a command. */
static int take_word(struct parse *parse, const char *word)
{
	struct args *args = &parse->args;

	if (args->count == ARGS_MAX)
		return usage(parse, "too many words at %s", word);
	args->words[args->count++] = word;
	if (!parse->command) {
		parse->command = help_find(args->words, args->count);
		if (parse->command)
			args->count = 0;
	}
	return 0;
}

static int parse_line(struct parse *parse)
{
	bool only_words = false;
	int r = 0;

	for (parse->pos = 1; !r && parse->pos < parse->argc;) {
		char *word = parse->argv[parse->pos++];

		if (!only_words && !strcmp(word, "--"))
			only_words = true;
		else if (!only_words && word[0] == '-' && word[1])
			r = take_option(parse, word);
		else
			r = take_word(parse, word);
	}
	parse->args.words[parse->args.count] = NULL;
	return r;
}

static int apply_settings(struct parse *parse)
{
	char error[CONF_ERROR_MAX] = "";
	struct cli *cli = parse->cli;
	int r = settings_load(cli, parse->config);

	for (size_t i = 0; !r && i < parse->count; i++) {
		if (conf_set(&settings_program, parse->names[i], parse->values[i], &cli->conf,
			     error))
			r = cli_error(cli, CLI_USAGE, "see dnet.conf(5)", "--%s: %s",
				      parse->names[i], error);
	}
	return r;
}

static int run(struct parse *parse)
{
	const struct cli_command *command;
	struct args *args = &parse->args;
	int r = parse_line(parse);

	command = parse->command;
	if (r)
		return r;
	if (parse->version) {
		puts("dnet " PACKAGE_VERSION);
		return 0;
	}
	if (parse->print_man) {
		conf_print_man(&settings_program, stdout);
		return 0;
	}
	if (parse->help && (command || !args->count || help_is_group(args->words, args->count))) {
		help_print(command, args->words, args->count);
		return 0;
	}
	if (!command)
		return help_unknown(parse->cli, args->words, args->count);
	if (args->count < command->words_min)
		return usage(parse, "`dnet %s` needs more words behind it", command->name);
	if (args->count > command->words_max)
		return usage(parse, "one word too many: %s", args->words[command->words_max]);
	r = apply_settings(parse);
	return r ? r : command->run(parse->cli, args);
}

static void cli_done(struct cli *cli)
{
	rpc_free(cli->rpc);
	chaindb_close(cli->db);
	id_free(cli->id);
	if (cli->passphrase)
		sodium_free(cli->passphrase);
	keys_unlock(cli);
	settings_free(cli);
}

int main(int argc, char **argv)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool color = !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
	struct cli cli = {
		.color_out = color && isatty(STDOUT_FILENO),
		.color_err = color && isatty(STDERR_FILENO),
		.lock = -1,
	};
	struct parse parse = {.cli = &cli, .argc = argc, .argv = argv};
	int r;

	if (sandbox_forbid_dumps())
		fputs("dnet: a crash may leave keys in a core file\n", stderr);
	if (sodium_init() < 0) {
		fputs("dnet: libsodium does not start\n", stderr);
		return CLI_FAILED;
	}
	/* Errors of the command line come as JSON too, wherever --json stands. */
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		cli.json |= !strcmp(argv[i], "--json");
	r = run(&parse);
	cli_done(&cli);
	if (fflush(stdout) && !r)
		r = CLI_FAILED;
	return r;
}
