#ifndef CLI_WALLET_H
#define CLI_WALLET_H

/* What the chain node and its wallet do for a transaction: fund it, sign their inputs, take it. All
 * return an exit code after the error was printed. */

#include "cli/cli.h"
#include "core/txbuild.h"

/* The node answers and is of the configured chain. */
int wallet_check(struct cli *cli);
/* Base units per 1000 virtual bytes: as configured, else what the node estimates, at least what it
 * relays. */
int wallet_fee_rate(struct cli *cli, uint64_t *ret_rate);
/* Adds the wallet's inputs and its change behind vout[1]. ret_raw (TXBUILD_RAW_MAX bytes) holds
 * what ret_tx borrows. */
int wallet_fund(struct cli *cli, const struct txbuild *carrier, uint64_t rate, uint8_t *ret_raw,
		struct txbuild *ret_tx, uint64_t *ret_fee);
/* Signs the inputs that are the wallet's: all but input number foreign (SIZE_MAX: none). tx borrows
 * from ret_raw afterwards. A node that changed anything else is refused. */
int wallet_sign(struct cli *cli, struct txbuild *tx, size_t foreign, uint8_t *ret_raw);
/* Whether the node would take it; *ret_why is empty, or the node's reason. */
int wallet_test(struct cli *cli, const struct txbuild *tx, char ret_why[static 128]);
int wallet_send(struct cli *cli, const struct txbuild *tx);

struct wallet_coin {
	bool unspent;
	uint64_t value;
	uint8_t script[TXBUILD_SCRIPT_MAX];
	size_t script_len;
};

/* An output, mempool included. */
int wallet_coin(struct cli *cli, const struct outpoint *outpoint, struct wallet_coin *ret_coin);
/* A fresh address of the wallet as script. */
int wallet_new_script(struct cli *cli, uint8_t ret_script[static 34], size_t *ret_len);
/* The script of somebody's address. */
int wallet_address_script(struct cli *cli, const char *address, uint8_t ret_script[static 34],
			  size_t *ret_len);

#endif
