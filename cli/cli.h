#ifndef CLI_CLI_H
#define CLI_CLI_H

/* What every command of dnet shares: configuration, the connections that are opened when a command
 * first needs them, and how results and errors come out. */

#include "os/base.h"
#include "os/conf.h"
#include "wire/key.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chaindb;
struct chainparams;
struct id;
struct rpc;

/* Exit codes, in the man page. A number never changes its meaning. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_FOUND = 3,
	CLI_UNREACHABLE = 4, /* daemon, chain node or chain.db */
	CLI_DENIED = 5,	     /* wrong passphrase, no key for the object, control socket */
	CLI_FUNDS = 6,	     /* the node's wallet has not enough, or the fee is over the cap */
	CLI_TIMEOUT = 7,     /* it was sent, and not seen in time */
	CLI_ABORTED = 8,     /* the user said no */
};

struct cli_conf {
	char *chain;
	char *rpc;
	char *rpc_user;
	char *rpc_password;
	char *rpc_cookie;
	char *chain_db;
	char *chainwatch;
	char *socket;
	char *keystore;
	char *keyfile;
	char *fee_rate;
	char *max_fee;
	int64_t confirm; /* 0: the chain's own */
	uint64_t wait_ms;
};

struct cli {
	struct cli_conf conf;
	bool json;
	bool yes;
	bool quiet;	 /* cli_error() prints nothing: the caller tries something else */
	char where[512]; /* "members.csv:12: " before errors; "" */
	bool color_out;
	bool color_err;

	/* Opened by cli_params(), cli_rpc(), cli_db(), cli_id(); owned. */
	const struct chainparams *params;
	struct rpc *rpc;
	struct chaindb *db;
	struct id *id;
	/* The passphrase of the keystore, once it was asked for. */
	char *passphrase;
	size_t passphrase_len;
	int lock; /* of the keystore; -1: not locked */
};

enum {
	ARGS_MAX = 64,
	ARG_OPTIONS_MAX = 16,
};

/* An option of a command; a row of zeros ends the list. */
struct arg_option {
	const char *name;
	char letter;	   /* 0: only the long form */
	const char *value; /* "N" in help; NULL: it takes none */
	const char *help;
};

struct args {
	const char *words[ARGS_MAX + 1]; /* what is neither command nor option; NULL at the end */
	size_t count;
	const struct arg_option *options[ARG_OPTIONS_MAX]; /* given ones */
	const char *values[ARG_OPTIONS_MAX];
	size_t option_count;
};

struct cli_command {
	const char *name;   /* its words: "node add" */
	const char *params; /* "DNET KEY…" */
	const char *help;   /* one sentence, no full stop */
	const struct arg_option *options;
	size_t words_min, words_max;
	bool writes; /* to the chain: has the options of publish_options too */
	int (*run)(struct cli *cli, const struct args *args);
};

/* One table a noun; the last row is zeros. */
extern const struct cli_command cli_commands_owner[];
extern const struct cli_command cli_commands_invite[];
extern const struct cli_command cli_commands_policy[];
extern const struct cli_command cli_commands_service[];
extern const struct cli_command cli_commands_look[];
extern const struct cli_command cli_commands_member[];
extern const struct cli_command cli_commands_keystore[];
extern const struct cli_command cli_commands_pending[];
extern const struct cli_command cli_commands_psbt[];

/* NULL when it was not given; "" for one that takes no value. The last one given wins. */
const char *args_get(const struct args *args, const char *name);
bool args_has(const struct args *args, const char *name);

/* 0, or an exit code after the error was printed. */
int cli_params(struct cli *cli);
int cli_rpc(struct cli *cli);
int cli_db(struct cli *cli);
int cli_id(struct cli *cli);

/* Prints "dnet: message", and next on a line of its own (NULL: none); with --json an object.
 * Returns code. */
int cli_error(struct cli *cli, enum cli_exit code, const char *next, const char *format, ...)
	_printf_(4, 5);
/* Warnings and progress for people, to stderr; nothing with --json. */
void cli_note(struct cli *cli, const char *format, ...) _printf_(2, 3);

#endif
