#ifndef CLI_WALLET_H
#define CLI_WALLET_H

/* What the chain node and its wallet do for a transaction: fund it, sign their inputs, take it. All
 * return an exit code after the error was printed. */

#include "cli/cli.h"
#include "core/txbuild.h"

#include <jansson.h>
#include <stdint.h>

/* The node answers and is of the configured chain. */
int wallet_check(struct cli *cli);
/* Base units per 1000 virtual bytes: as configured, else what the node estimates, at least what it
 * relays. */
int wallet_fee_rate(struct cli *cli, uint64_t *ret_rate);
/* Adds the wallet's inputs and its change behind vout[1] (before further payloads). ret_raw
 * (TXBUILD_RAW_MAX bytes) holds what ret_tx borrows. */
int wallet_fund(struct cli *cli, const struct txbuild *carrier, uint64_t rate, bool lock,
		uint8_t *ret_raw, struct txbuild *ret_tx, uint64_t *ret_fee);
/* lock: nobody else who funds from this wallet gets the coins, until this. Inputs other than except
 * are meant. */
void wallet_unlock(struct cli *cli, const struct txbuild *tx, const struct outpoint *except);
/* Signs the inputs that are the wallet's: all but input number foreign (SIZE_MAX: none). tx borrows
 * from ret_raw afterwards. A node that changed anything else is refused. */
int wallet_sign(struct cli *cli, struct txbuild *tx, size_t foreign, uint8_t *ret_raw);
/* What became of a try to send, as far as one can do something about it. */
enum wallet_verdict {
	WALLET_TAKES,
	WALLET_CHAIN_FULL, /* too many unconfirmed ones hang together: wait for a block */
	WALLET_CONFLICT,   /* a coin of it is spent, or gone */
	WALLET_FEE_LOW,	   /* below what the node keeps now, or what it asks for a replacement */
	WALLET_POLICY,	   /* the node relays no such transaction */
	WALLET_REFUSES,	   /* anything else */
};

/* Of the reason that a node gives; "" is none. */
enum wallet_verdict wallet_verdict(const char *why);
/* Whether the node would take it; *ret_why is empty, or the node's reason. */
int wallet_test(struct cli *cli, const struct txbuild *tx, char ret_why[static 128]);
/* *ret_why is empty when the node has it now (or has it in a block), else its reason. */
int wallet_send(struct cli *cli, const struct txbuild *tx, char ret_why[static 128]);
/* A raw transaction as text. */
int wallet_send_hex(struct cli *cli, const char *hex, char ret_why[static 128]);
int wallet_test_hex(struct cli *cli, const char *hex, char ret_why[static 128]);
/* The caller's (free); NULL: no memory. */
char *wallet_hex(const struct txbuild *tx);
/* Prints why a transaction was refused, with what to do. Returns CLI_FAILED or CLI_FUNDS. */
int wallet_refused(struct cli *cli, const char *why);

enum {
	WALLET_DEPTH_UNKNOWN = INT32_MIN, /* the wallet has never seen it */
};

/* Blocks on a transaction that the wallet paid for: 0 in none, below 0 when a block has one that
 * excludes it. */
int wallet_depth(struct cli *cli, const struct hash256 *txid, int *ret_depth);
int wallet_height(struct cli *cli, uint32_t *ret_height);

struct wallet_coin {
	bool unspent;
	uint64_t value;
	uint8_t script[TXBUILD_SCRIPT_MAX];
	size_t script_len;
};

/* An output, mempool included. */
int wallet_coin(struct cli *cli, const struct outpoint *outpoint, struct wallet_coin *ret_coin);
/* In a block; what the mempool does with it is no matter. */
int wallet_coin_below(struct cli *cli, const struct outpoint *outpoint,
		      struct wallet_coin *ret_coin);
/* The largest coin of the wallet that is in a block and free, of at least this value. */
int wallet_spare_coin(struct cli *cli, uint64_t least, struct outpoint *ret_outpoint,
		      uint64_t *ret_value);

/* A PSBT as Base64 with what the wallet knows of its inputs, and with sign their signatures. The
 * caller's (free). */
int wallet_process_psbt(struct cli *cli, const char *text, bool sign, char **ret_text);
/* The transaction in hex when all signatures are there, else an error that says that they are not.
 */
int wallet_finish_psbt(struct cli *cli, const char *text, char **ret_hex);

struct wallet_waiting {
	bool there; /* the mempool has it */
	uint64_t fee;
	json_t *children; /* txids of all that hang on it; the caller's */
};

int wallet_waiting(struct cli *cli, const struct hash256 *txid, struct wallet_waiting *ret);
/* What a replacement has to pay more than what it replaces, base units per 1000 virtual bytes. */
int wallet_increment(struct cli *cli, uint64_t *ret_rate);
/* A fresh address of the wallet as script. */
int wallet_new_script(struct cli *cli, uint8_t ret_script[static 34], size_t *ret_len);
/* The script of somebody's address. */
int wallet_address_script(struct cli *cli, const char *address, uint8_t ret_script[static 34],
			  size_t *ret_len);

#endif
