#include "cli/wallet.h"

#include "core/amount.h"
#include "core/chainparams.h"
#include "core/error.h"
#include "os/rpc.h"
#include "wire/hex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CODE_WALLET_ERROR = -4, /* "Insufficient funds" is one of them */
	CODE_NO_WALLET = -18,
	CODE_LOCKED = -13,
	CODE_IN_CHAIN = -27,
	OWN_COINS_MAX = 32,
	RATE_BLOCKS = 6,     /* the estimate is for this many blocks */
	RATE_DEFAULT = 1000, /* what most nodes relay, base units per 1000 virtual bytes */
};

static enum cli_exit exit_of(const struct rpc_error *error)
{
	switch (error->kind) {
	case RPC_DOWN:
	case RPC_TIMEOUT:
	case RPC_AUTH:
	case RPC_GARBAGE:
	case RPC_WARMUP:
	case RPC_CONFIG:
		return CLI_UNREACHABLE;
	case RPC_OK:
	case RPC_NODE:
	case RPC_CANCELLED:
		break;
	}
	return CLI_FAILED;
}

static const char *next_of(const struct rpc_error *error)
{
	if (error->kind != RPC_NODE)
		return error->kind == RPC_DOWN
			       ? "start the chain node, or set `rpc-url` in dnet.conf"
			       : NULL;
	if (error->code == CODE_NO_WALLET)
		return "load a wallet in the chain node (loadwallet), or put wallet/NAME behind "
		       "the URL in `rpc-url`";
	if (error->code == CODE_LOCKED)
		return "unlock the chain node's wallet (walletpassphrase)";
	return NULL;
}

static int rpc_failed(struct cli *cli, const char *what)
{
	const struct rpc_error *error = rpc_error(cli->rpc);

	return cli_error(cli, exit_of(error), next_of(error), "%s: %s", what, error->text);
}

static int odd_answer(struct cli *cli, const char *method)
{
	return cli_error(cli, CLI_FAILED, "is `rpc-url` the URL of a chain node?",
			 "the chain node's answer to %s is not as expected", method);
}

/* JSON has amounts as decimals of 8 places; a double keeps every one of them below 90 million coins
 * exactly, and printing it with 8 places gives it back. */
static bool to_amount(const json_t *value, uint64_t *ret_sat)
{
	char text[64];

	if (json_is_string(value))
		return amount_parse(json_string_value(value), ret_sat);
	if (!json_is_number(value))
		return false;
	snprintf(text, sizeof(text), "%.8f", json_number_value(value));
	return amount_parse(text, ret_sat);
}

int wallet_check(struct cli *cli)
{
	struct hash256 genesis;
	json_t *hash = NULL;
	bool ok;
	int r = cli_rpc(cli);

	if (r)
		return r;
	if (rpc_callf(cli->rpc, &hash, "getblockhash", "[i]", 0))
		return rpc_failed(cli, "the chain node does not answer");
	ok = json_is_string(hash) && hash_parse(json_string_value(hash), &genesis);
	json_decref(hash);
	if (!ok)
		return odd_answer(cli, "getblockhash");
	if (memcmp(genesis.bytes, cli->params->genesis.bytes, HASH_LEN) != 0)
		return cli_error(cli, CLI_USAGE, "set `chain` or `rpc-url` in dnet.conf",
				 "the chain node is not on %s: another genesis block",
				 cli->params->name);
	return 0;
}

/* "1.5" base units a virtual byte → 1500 per 1000. */
static bool parse_rate(const char *text, uint64_t *ret_rate)
{
	uint64_t sat;

	if (!amount_parse(text, &sat) || sat % 100000 || sat / 100000 > AMOUNT_COIN || !sat)
		return false;
	*ret_rate = sat / 100000;
	return true;
}

static bool rate_field(struct cli *cli, const char *method, const char *field, uint64_t *ret_rate)
{
	json_t *answer = NULL;
	bool ok;

	if (rpc_call(cli->rpc, method, NULL, &answer))
		return false;
	ok = to_amount(json_object_get(answer, field), ret_rate);
	json_decref(answer);
	return ok;
}

int wallet_fee_rate(struct cli *cli, uint64_t *ret_rate)
{
	uint64_t relay = RATE_DEFAULT, least = RATE_DEFAULT, rate = 0;
	json_t *answer = NULL;

	if (!rate_field(cli, "getnetworkinfo", "relayfee", &relay) ||
	    !rate_field(cli, "getmempoolinfo", "mempoolminfee", &least))
		return rpc_failed(cli, "cannot ask the chain node for its fees");
	least = relay > least ? relay : least;
	if (*cli->conf.fee_rate) {
		if (!parse_rate(cli->conf.fee_rate, &rate))
			return cli_error(cli, CLI_USAGE, "for example --fee-rate 1.5",
					 "\"%s\" is not a fee rate (base units a virtual byte)",
					 cli->conf.fee_rate);
		if (rate < least)
			return cli_error(cli, CLI_USAGE, "give a higher --fee-rate",
					 "the node relays nothing below %llu.%03llu base units a "
					 "virtual byte",
					 (unsigned long long)(least / 1000),
					 (unsigned long long)(least % 1000));
		*ret_rate = rate;
		return 0;
	}
	if (!rpc_callf(cli->rpc, &answer, "estimatesmartfee", "[i]", RATE_BLOCKS)) {
		to_amount(json_object_get(answer, "feerate"), &rate);
		json_decref(answer);
	}
	/* A node that has seen too little to estimate: twice what it relays. */
	if (rate < least)
		rate = 2 * least;
	/* One that relays for nothing funds nothing for nothing. */
	if (!rate)
		rate = RATE_DEFAULT;
	*ret_rate = rate < AMOUNT_COIN ? rate : AMOUNT_COIN;
	return 0;
}

char *wallet_hex(const struct txbuild *tx)
{
	uint8_t *raw = malloc(TXBUILD_RAW_MAX);
	char *hex = malloc(2 * TXBUILD_RAW_MAX + 1);
	size_t len = raw && hex ? txbuild_write(tx, true, raw, TXBUILD_RAW_MAX) : 0;

	if (len) {
		hex_format(raw, len, hex);
	} else {
		free(hex);
		hex = NULL;
	}
	free(raw);
	return hex;
}

static int from_hex(struct cli *cli, const char *method, const json_t *hex, uint8_t *ret_raw,
		    struct txbuild *ret_tx)
{
	const char *text = json_string_value(hex);
	size_t len;
	int r;

	if (!text || !hex_parse_any(text, ret_raw, TXBUILD_RAW_MAX, &len))
		return odd_answer(cli, method);
	r = txbuild_parse(ret_raw, len, ret_tx);
	if (r == -E2BIG)
		return cli_error(cli, CLI_FUNDS, "join the wallet's small coins into one first",
				 "the wallet would need more than %d coins", TXBUILD_INPUTS_MAX);
	if (r == -EOPNOTSUPP)
		return cli_error(
			cli, CLI_FUNDS, "send coins to an ordinary address of the wallet",
			"the wallet would pay from MWEB coins, which cannot carry records");
	return r ? odd_answer(cli, method) : 0;
}

struct own_coin {
	struct outpoint outpoint;
	uint64_t value;
};

static int by_value(const void *a, const void *b)
{
	const struct own_coin *left = a, *right = b;

	return left->value < right->value ? 1 : left->value > right->value ? -1 : 0;
}

/* The wallet paid for the transaction: nobody else can take the coin back. */
static bool is_from_wallet(struct cli *cli, const char *txid)
{
	json_t *answer = NULL;
	bool ok;

	if (rpc_callf(cli->rpc, &answer, "gettransaction", "[s]", txid))
		return false;
	ok = json_object_get(answer, "fee");
	json_decref(answer);
	return ok;
}

/* Unconfirmed change of our own transactions. The wallet does not trust it, because the seal beside
 * it is not the wallet's. */
static size_t own_unconfirmed(struct cli *cli, struct own_coin coins[static OWN_COINS_MAX])
{
	json_t *answer = NULL, *value;
	size_t i, count = 0;

	if (rpc_callf(cli->rpc, &answer, "listunspent", "[ii[]b]", 0, 0, 1))
		return 0;
	json_array_foreach(answer, i, value)
	{
		const char *txid = json_string_value(json_object_get(value, "txid"));
		struct own_coin *coin = &coins[count];

		if (count == OWN_COINS_MAX || json_is_true(json_object_get(value, "safe")) ||
		    !json_is_true(json_object_get(value, "spendable")) || !txid ||
		    !hash_parse(txid, &coin->outpoint.txid) ||
		    !to_amount(json_object_get(value, "amount"), &coin->value) ||
		    !is_from_wallet(cli, txid))
			continue;
		coin->outpoint.vout = (uint32_t)json_integer_value(json_object_get(value, "vout"));
		count++;
	}
	json_decref(answer);
	qsort(coins, count, sizeof(*coins), by_value);
	return count;
}

static int call_fund(struct cli *cli, const struct txbuild *tx, uint64_t rate, bool lock,
		     json_t **ret_answer)
{
	_cleanup_(freep) char *hex = wallet_hex(tx);
	char text[AMOUNT_TEXT_MAX];

	amount_format(rate, text);
	if (!hex)
		return -ENOMEM;
	return rpc_callf(cli->rpc, ret_answer, "fundrawtransaction", "[s{s:i, s:s, s:b, s:b}b]",
			 hex, "changePosition", 2, "feeRate", text, "lockUnspents", (int)lock,
			 "replaceable", 1, 0);
}

/* Again with own unconfirmed coins chosen by us, the largest first. */
static int fund_from_own(struct cli *cli, struct txbuild *tx, uint64_t rate, bool lock,
			 json_t **ret_answer)
{
	struct own_coin coins[OWN_COINS_MAX];
	size_t count = own_unconfirmed(cli, coins);
	int r = -EREMOTEIO;

	for (size_t i = 0; r && i < count; i++) {
		tx->inputs[tx->input_count++] = (struct txbuild_input){
			.prev = coins[i].outpoint,
			.sequence = 0xfffffffd,
		};
		r = call_fund(cli, tx, rate, lock, ret_answer);
	}
	return r;
}

static bool is_poor(const struct rpc_error *error)
{
	return error->kind == RPC_NODE && error->code == CODE_WALLET_ERROR &&
	       strstr(error->text, "nsufficient funds");
}

void wallet_unlock(struct cli *cli, const struct txbuild *tx, const struct outpoint *except)
{
	/* Each by itself: one that is not locked any more, or spent, is no harm. */
	for (size_t i = 0; i < tx->input_count; i++) {
		const struct outpoint *coin = &tx->inputs[i].prev;
		char txid[HASH_TEXT_SIZE];
		json_t *answer = NULL;

		if (except && outpoint_equal(coin, except))
			continue;
		hash_format(&coin->txid, txid);
		if (!rpc_callf(cli->rpc, &answer, "lockunspent", "[b[{s:s, s:I}]]", 1, "txid", txid,
			       "vout", (json_int_t)coin->vout))
			json_decref(answer);
	}
}

int wallet_fund(struct cli *cli, const struct txbuild *carrier, uint64_t rate, bool lock,
		uint8_t *ret_raw, struct txbuild *ret_tx, uint64_t *ret_fee)
{
	struct txbuild *tx = malloc(sizeof(*tx));
	json_t *answer = NULL;
	uint64_t fee = 0;
	int r;

	if (!tx)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	*tx = *carrier;
	r = call_fund(cli, tx, rate, lock, &answer);
	if (r && is_poor(rpc_error(cli->rpc)))
		r = fund_from_own(cli, tx, rate, lock, &answer);
	free(tx);
	if (r && (is_poor(rpc_error(cli->rpc)) || rpc_error(cli->rpc)->kind == RPC_OK))
		return cli_error(cli, CLI_FUNDS,
				 "send coins to an address of it (getnewaddress), and wait for a "
				 "block",
				 "the chain node's wallet has not enough coins");
	if (r)
		return rpc_failed(cli, "the chain node's wallet does not pay");
	r = from_hex(cli, "fundrawtransaction", json_object_get(answer, "hex"), ret_raw, ret_tx);
	if (!r && !to_amount(json_object_get(answer, "fee"), &fee))
		r = odd_answer(cli, "fundrawtransaction");
	json_decref(answer);
	if (!r && !txbuild_carries(ret_tx, carrier))
		r = cli_error(cli, CLI_FAILED, "use another chain node",
			      "the chain node changed the record; nothing was signed");
	if (!r)
		*ret_fee = fee;
	return r;
}

/* The same coins, sequences and outputs. */
static bool same_body(const struct txbuild *a, const struct txbuild *b)
{
	if (a->version != b->version || a->locktime != b->locktime ||
	    a->input_count != b->input_count || a->output_count != b->output_count)
		return false;
	for (size_t i = 0; i < a->input_count; i++) {
		if (!outpoint_equal(&a->inputs[i].prev, &b->inputs[i].prev) ||
		    a->inputs[i].sequence != b->inputs[i].sequence)
			return false;
	}
	for (size_t i = 0; i < a->output_count; i++) {
		const struct txbuild_output *x = &a->outputs[i], *y = &b->outputs[i];

		if (x->value != y->value || x->script_len != y->script_len ||
		    memcmp(x->script, y->script, x->script_len) != 0)
			return false;
	}
	return true;
}

int wallet_sign(struct cli *cli, struct txbuild *tx, size_t foreign, uint8_t *ret_raw)
{
	_cleanup_(freep) struct txbuild *before = malloc(sizeof(*before));
	_cleanup_(freep) char *hex = wallet_hex(tx);
	json_t *answer = NULL;
	int r;

	if (!before || !hex)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	if (rpc_callf(cli->rpc, &answer, "signrawtransactionwithwallet", "[s]", hex))
		return rpc_failed(cli, "the chain node's wallet does not sign");
	*before = *tx;
	r = from_hex(cli, "signrawtransactionwithwallet", json_object_get(answer, "hex"), ret_raw,
		     tx);
	json_decref(answer);
	if (r)
		return r;
	if (!same_body(before, tx))
		return cli_error(cli, CLI_FAILED, "use another chain node",
				 "the chain node changed the transaction; nothing was sent");
	for (size_t i = 0; i < tx->input_count; i++) {
		if (i != foreign && !tx->inputs[i].witness && !tx->inputs[i].script_len)
			return cli_error(cli, CLI_FAILED, "is it a watch-only wallet?",
					 "the chain node's wallet did not sign its input %zu", i);
	}
	return 0;
}

enum wallet_verdict wallet_verdict(const char *why)
{
	static const struct {
		const char *text;
		enum wallet_verdict verdict;
	} table[] = {
		{"too-long-mempool-chain", WALLET_CHAIN_FULL},
		{"too-large-cluster", WALLET_CHAIN_FULL},
		{"txn-mempool-conflict", WALLET_CONFLICT},
		{"missing-inputs", WALLET_CONFLICT},
		{"missingorspent", WALLET_CONFLICT},
		{"bad-txns-spends-conflicting-tx", WALLET_CONFLICT},
		{"insufficient fee", WALLET_FEE_LOW},
		{"mempool min fee not met", WALLET_FEE_LOW},
		{"min relay fee not met", WALLET_FEE_LOW},
		{"mempool full", WALLET_FEE_LOW},
		{"multi-op-return", WALLET_POLICY},
		{"scriptpubkey", WALLET_POLICY},
		{"datacarrier", WALLET_POLICY},
		{"tx-size", WALLET_POLICY},
	};

	if (!*why)
		return WALLET_TAKES;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (strstr(why, table[i].text))
			return table[i].verdict;
	}
	return WALLET_REFUSES;
}

int wallet_test_hex(struct cli *cli, const char *hex, char ret_why[static 128])
{
	json_t *answer = NULL, *first;
	const char *why;

	ret_why[0] = '\0';
	if (rpc_callf(cli->rpc, &answer, "testmempoolaccept", "[[s]]", hex))
		return rpc_failed(cli, "the chain node does not test the transaction");
	first = json_array_get(answer, 0);
	if (!json_is_true(json_object_get(first, "allowed"))) {
		why = json_string_value(json_object_get(first, "reject-reason"));
		snprintf(ret_why, 128, "%s", why ? why : "not said why");
	}
	json_decref(answer);
	return 0;
}

int wallet_test(struct cli *cli, const struct txbuild *tx, char ret_why[static 128])
{
	_cleanup_(freep) char *hex = wallet_hex(tx);

	ret_why[0] = '\0';
	if (!hex)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	return wallet_test_hex(cli, hex, ret_why);
}

int wallet_send_hex(struct cli *cli, const char *hex, char ret_why[static 128])
{
	const struct rpc_error *error;
	json_t *answer = NULL;

	ret_why[0] = '\0';
	if (!rpc_callf(cli->rpc, &answer, "sendrawtransaction", "[s]", hex)) {
		json_decref(answer);
		return 0;
	}
	error = rpc_error(cli->rpc);
	if (error->kind == RPC_NODE && error->code == CODE_IN_CHAIN)
		return 0;
	if (error->kind != RPC_NODE)
		return rpc_failed(cli, "the chain node does not say whether it took the "
				       "transaction (dnet pending shows it)");
	snprintf(ret_why, 128, "%.127s", *error->text ? error->text : "not said why");
	return 0;
}

int wallet_send(struct cli *cli, const struct txbuild *tx, char ret_why[static 128])
{
	_cleanup_(freep) char *hex = wallet_hex(tx);

	ret_why[0] = '\0';
	if (!hex)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	return wallet_send_hex(cli, hex, ret_why);
}

int wallet_refused(struct cli *cli, const char *why)
{
	switch (wallet_verdict(why)) {
	case WALLET_CHAIN_FULL:
		return cli_error(cli, CLI_FAILED, "wait for a block, then run it again",
				 "too many of your transactions wait for a block");
	case WALLET_CONFLICT:
		return cli_error(cli, CLI_FAILED, "look at dnet pending, and run it again",
				 "another transaction spends a coin of this one: %s", why);
	case WALLET_FEE_LOW:
		return cli_error(cli, CLI_FUNDS, "give a higher --fee-rate",
				 "the fee is too low for the chain node: %s", why);
	case WALLET_TAKES:
	case WALLET_POLICY:
	case WALLET_REFUSES:
		break;
	}
	if (strstr(why, "txn-already-"))
		return cli_error(cli, CLI_FAILED, "dnet pending and dnet history show it",
				 "it was sent before: %s", why);
	return cli_error(cli, CLI_FAILED, NULL, "the chain node would refuse the transaction: %s",
			 why);
}

int wallet_depth(struct cli *cli, const struct hash256 *txid, int *ret_depth)
{
	json_t *answer = NULL, *depth;
	char text[HASH_TEXT_SIZE];
	bool ok;

	hash_format(txid, text);
	*ret_depth = WALLET_DEPTH_UNKNOWN;
	if (rpc_callf(cli->rpc, &answer, "gettransaction", "[s]", text))
		return rpc_error(cli->rpc)->kind == RPC_NODE &&
				       rpc_error(cli->rpc)->code == RPC_CODE_NOT_FOUND
			       ? 0
			       : rpc_failed(cli, "the chain node's wallet does not answer");
	depth = json_object_get(answer, "confirmations");
	ok = json_is_integer(depth) && json_integer_value(depth) > INT32_MIN &&
	     json_integer_value(depth) <= INT32_MAX;
	if (ok)
		*ret_depth = (int)json_integer_value(depth);
	json_decref(answer);
	return ok ? 0 : odd_answer(cli, "gettransaction");
}

int wallet_height(struct cli *cli, uint32_t *ret_height)
{
	json_t *answer = NULL;
	json_int_t height;

	if (rpc_callf(cli->rpc, &answer, "getblockcount", "[]"))
		return rpc_failed(cli, "the chain node does not say its height");
	height = json_is_integer(answer) ? json_integer_value(answer) : -1;
	json_decref(answer);
	if (height < 0 || height > UINT32_MAX)
		return odd_answer(cli, "getblockcount");
	*ret_height = (uint32_t)height;
	return 0;
}

static int get_coin(struct cli *cli, const struct outpoint *outpoint, bool mempool,
		    struct wallet_coin *ret_coin)
{
	struct wallet_coin coin = {0};
	char txid[HASH_TEXT_SIZE];
	json_t *answer = NULL;
	const char *script;
	bool ok = true;

	hash_format(&outpoint->txid, txid);
	if (rpc_callf(cli->rpc, &answer, "gettxout", "[sib]", txid, (int)outpoint->vout,
		      (int)mempool))
		return rpc_failed(cli, "the chain node does not show the seal");
	coin.unspent = json_is_object(answer);
	if (coin.unspent) {
		script = json_string_value(
			json_object_get(json_object_get(answer, "scriptPubKey"), "hex"));
		ok = to_amount(json_object_get(answer, "value"), &coin.value) && script &&
		     hex_parse_any(script, coin.script, sizeof(coin.script), &coin.script_len);
	}
	json_decref(answer);
	if (!ok)
		return odd_answer(cli, "gettxout");
	*ret_coin = coin;
	return 0;
}

int wallet_coin(struct cli *cli, const struct outpoint *outpoint, struct wallet_coin *ret_coin)
{
	return get_coin(cli, outpoint, true, ret_coin);
}

int wallet_coin_below(struct cli *cli, const struct outpoint *outpoint,
		      struct wallet_coin *ret_coin)
{
	return get_coin(cli, outpoint, false, ret_coin);
}

int wallet_spare_coin(struct cli *cli, uint64_t least, struct outpoint *ret_outpoint,
		      uint64_t *ret_value)
{
	json_t *answer = NULL, *value;
	uint64_t best = 0, amount;
	struct outpoint coin;
	size_t i;

	if (rpc_callf(cli->rpc, &answer, "listunspent", "[i]", 1))
		return rpc_failed(cli, "the chain node's wallet does not list its coins");
	json_array_foreach(answer, i, value)
	{
		const char *txid = json_string_value(json_object_get(value, "txid"));

		if (!json_is_true(json_object_get(value, "spendable")) || !txid ||
		    !hash_parse(txid, &coin.txid) ||
		    !to_amount(json_object_get(value, "amount"), &amount) || amount <= best)
			continue;
		coin.vout = (uint32_t)json_integer_value(json_object_get(value, "vout"));
		*ret_outpoint = coin;
		best = amount;
	}
	json_decref(answer);
	*ret_value = best;
	if (best >= least && best)
		return 0;
	return cli_error(cli, CLI_FUNDS, "send coins to an address of it, and wait for a block",
			 "the change is too small for the fee, and the wallet has no other coin "
			 "in a block");
}

int wallet_waiting(struct cli *cli, const struct hash256 *txid, struct wallet_waiting *ret)
{
	json_t *answer = NULL;
	char text[HASH_TEXT_SIZE];
	bool ok;

	*ret = (struct wallet_waiting){0};
	hash_format(txid, text);
	if (rpc_callf(cli->rpc, &answer, "getmempoolentry", "[s]", text))
		return rpc_error(cli->rpc)->kind == RPC_NODE
			       ? 0
			       : rpc_failed(cli, "the chain node does not show its mempool");
	ret->there = true;
	ok = to_amount(json_object_get(json_object_get(answer, "fees"), "base"), &ret->fee);
	json_decref(answer);
	if (!ok)
		return odd_answer(cli, "getmempoolentry");
	if (rpc_callf(cli->rpc, &ret->children, "getmempooldescendants", "[s]", text))
		ret->children = NULL;
	return 0;
}

int wallet_increment(struct cli *cli, uint64_t *ret_rate)
{
	if (rate_field(cli, "getnetworkinfo", "incrementalfee", ret_rate) ||
	    rate_field(cli, "getmempoolinfo", "incrementalrelayfee", ret_rate))
		return 0;
	*ret_rate = RATE_DEFAULT;
	return 0;
}

static int take_text(struct cli *cli, const char *method, json_t *answer, const char *field,
		     char **ret_text)
{
	const char *text = json_string_value(json_object_get(answer, field));
	char *copy = text ? strdup(text) : NULL;

	json_decref(answer);
	if (!copy)
		return odd_answer(cli, method);
	*ret_text = copy;
	return 0;
}

int wallet_process_psbt(struct cli *cli, const char *text, bool sign, char **ret_text)
{
	json_t *answer = NULL;

	if (rpc_callf(cli->rpc, &answer, "walletprocesspsbt", "[sb]", text, (int)sign))
		return rpc_failed(cli, "the chain node's wallet does not take the PSBT");
	return take_text(cli, "walletprocesspsbt", answer, "psbt", ret_text);
}

int wallet_finish_psbt(struct cli *cli, const char *text, char **ret_hex)
{
	json_t *answer = NULL;

	if (rpc_callf(cli->rpc, &answer, "finalizepsbt", "[s]", text))
		return rpc_failed(cli, "the chain node does not finish the PSBT");
	if (!json_is_true(json_object_get(answer, "complete"))) {
		json_decref(answer);
		return cli_error(cli, CLI_FAILED, "dnet psbt show says whose are missing",
				 "signatures are missing");
	}
	return take_text(cli, "finalizepsbt", answer, "hex", ret_hex);
}

int wallet_address_script(struct cli *cli, const char *address, uint8_t ret_script[static 34],
			  size_t *ret_len)
{
	json_t *answer = NULL;
	const char *script;
	size_t len;
	bool ok;

	if (rpc_callf(cli->rpc, &answer, "validateaddress", "[s]", address))
		return rpc_failed(cli, "the chain node does not check the address");
	script = json_string_value(json_object_get(answer, "scriptPubKey"));
	ok = json_is_true(json_object_get(answer, "isvalid")) && script &&
	     hex_parse_any(script, ret_script, 34, &len);
	json_decref(answer);
	if (!ok)
		return cli_error(cli, CLI_USAGE, "the new owner gets one with `dnet receive`",
				 "\"%s\" is not an address of %s", address, cli->params->name);
	*ret_len = len;
	return 0;
}

int wallet_new_script(struct cli *cli, uint8_t ret_script[static 34], size_t *ret_len)
{
	json_t *answer = NULL;
	int r;

	if (rpc_callf(cli->rpc, &answer, "getrawchangeaddress", "[s]", "bech32"))
		return rpc_failed(cli, "the chain node's wallet gives no address");
	r = json_is_string(answer)
		    ? wallet_address_script(cli, json_string_value(answer), ret_script, ret_len)
		    : odd_answer(cli, "getrawchangeaddress");
	json_decref(answer);
	return r;
}
