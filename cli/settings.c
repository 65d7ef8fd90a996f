#include "cli/settings.h"

#include "config.h"
#include "os/chaindb.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* clang-format off */
#define ROW(name, type, fallback, min, max, field, help) \
	{"", name, type, fallback, min, max, offsetof(struct cli_conf, field), help}
/* clang-format on */

static const struct conf_option options[] = {
	ROW("chain", CONF_STRING, "bitcoin", 1, 31, chain,
	    "chain profile: bitcoin, bitcoin-testnet4, bitcoin-signet, bitcoin-regtest, litecoin, "
	    "litecoin-testnet or litecoin-regtest"),
	ROW("rpc-url", CONF_STRING, "", 0, 0, rpc,
	    "URL of the chain node whose wallet pays, http://HOST:PORT/ or with wallet/NAME "
	    "behind; empty: the chain's port on 127.0.0.1"),
	ROW("rpc-user", CONF_STRING, "", 0, 0, rpc_user, "user name at the chain node"),
	ROW("rpc-password", CONF_STRING, "", 0, 0, rpc_password, "password at the chain node"),
	ROW("rpc-cookie", CONF_PATH, "", 0, 0, rpc_cookie,
	    "the chain node's cookie file, in place of user and password"),
	ROW("chain-db", CONF_PATH, CHAINDB_PATH, 0, 0, chain_db, "what chainwatch writes"),
	ROW("chainwatch", CONF_PATH, DNET_RUNDIR "/chainwatch.sock", 0, 0, chainwatch,
	    "control socket of chainwatch"),
	ROW("dnetd", CONF_PATH, DNET_RUNDIR "/dnetd.sock", 0, 0, socket, "control socket of dnetd"),
	ROW("keystore", CONF_PATH, "", 0, 0, keystore,
	    "file of the owner's keys; empty: dnet/keystore in the user's configuration folder"),
	ROW("keyfile", CONF_PATH, "", 0, 0, keyfile,
	    "file with the passphrase of the keystore; empty: ask on the terminal"),
	ROW("fee-rate", CONF_STRING, "", 0, 0, fee_rate,
	    "fee in base units per virtual byte, up to 3 decimals; empty: what the node estimates"),
	ROW("max-fee", CONF_STRING, "0.001", 1, 20, max_fee,
	    "highest fee of one transaction, in coins"),
	ROW("confirm", CONF_INT, "0", 0, 1000, confirm,
	    "depth at which additions count; 0: the chain's own"),
	ROW("wait", CONF_DURATION, "10s", 0, 3600000, wait_ms,
	    "how long to wait until chainwatch has seen a transaction; 0: not at all"),
};

const struct conf_program settings_program = {
	.name = "dnet",
	.version = PACKAGE_VERSION,
	.summary = "owner's and member's tool of a chain-anchored private overlay network",
	.options = options,
	.options_count = ARRAY_SIZE(options),
};

static char *user_path(const char *file)
{
	const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *path = NULL;
	int r = -1;

	if (base && *base == '/')
		r = asprintf(&path, "%s/dnet/%s", base, file);
	else if (home && *home == '/')
		r = asprintf(&path, "%s/.config/dnet/%s", home, file);
	return r < 0 ? NULL : path;
}

/* A file that is not there is fine when nobody named it. */
static int read_file(struct cli *cli, const char *path, bool named)
{
	char error[CONF_ERROR_MAX] = "";
	int r;

	if (!path || (!named && access(path, F_OK)))
		return 0;
	r = conf_read_file(&settings_program, path, &cli->conf, error);
	if (!r)
		return 0;
	return cli_error(cli, CLI_USAGE, "see dnet.conf(5)", "%s", error);
}

/* DNET_RPC_USER for rpc-user; DNET_SOCKET for dnetd, which the command line has as --socket. */
static int read_environment(struct cli *cli)
{
	char error[CONF_ERROR_MAX] = "", name[64];

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const char *value;
		size_t len = (size_t)snprintf(name, sizeof(name), "DNET_%s", options[i].name);

		for (size_t j = 5; j < len; j++)
			name[j] = name[j] == '-' ? '_' : (char)toupper((unsigned char)name[j]);
		value = getenv(strcmp(name, "DNET_DNETD") ? name : "DNET_SOCKET");
		if (value && conf_set(&settings_program, options[i].name, value, &cli->conf, error))
			return cli_error(cli, CLI_USAGE, "unset it, or see dnet.conf(5)",
					 "environment %s: %s", name, error);
	}
	return 0;
}

int settings_load(struct cli *cli, const char *file)
{
	_cleanup_(freep) char *user = user_path("dnet.conf");
	const char *named = file ? file : getenv("DNET_CONF");
	int r;

	if (conf_set_defaults(&settings_program, &cli->conf))
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	if (named) {
		r = read_file(cli, named, true);
	} else {
		r = read_file(cli, DNET_SYSCONFDIR "/dnet.conf", false);
		if (!r)
			r = read_file(cli, user, false);
	}
	if (!r)
		r = read_environment(cli);
	if (!r && !*cli->conf.keystore) {
		free(cli->conf.keystore);
		cli->conf.keystore = user_path("keystore");
		if (!cli->conf.keystore)
			cli->conf.keystore = strdup("");
	}
	return r;
}

void settings_free(struct cli *cli)
{
	conf_free(&settings_program, &cli->conf);
}
