#include "cli/bump.h"

#include "cli/input.h"
#include "cli/out.h"
#include "cli/psbt_file.h"
#include "cli/rebuild.h"
#include "cli/seal.h"
#include "cli/summary.h"
#include "cli/wallet.h"
#include "core/amount.h"
#include "core/chainparams.h"
#include "wire/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RECORDS_MAX = 1024, /* of one transaction: 256 payloads of at most 4 of any use */
	SEQUENCE_RBF = 0xfffffffd,
	CHILD_VSIZE = 150, /* one input, one output, of any kind that a wallet has */
	COIN_VSIZE = 148,  /* the largest input that a wallet makes, P2PKH */
	RAISE_NUM = 5,	   /* without --fee-rate at least five quarters of the rate before */
	RAISE_DEN = 4,
};

struct bump {
	struct rebuild rebuild;
	struct cli *cli;
	struct outbox_item *item;
	struct draft draft;
	struct identity owner;
	uint8_t *raw;		       /* owned; what the old transaction borrows */
	struct outbox_item **children; /* owned; of the journal, to be built again */
	size_t child_count;
	const char *psbt; /* file for an unsigned one; NULL */
	struct seal seal; /* that it spends */
	struct multisig multisig;
	bool child;	/* another transaction pays */
	uint64_t least; /* fee below which nodes do not replace it */
};

static void bump_done(struct bump *bump)
{
	secret_wipe(&bump->owner, sizeof(bump->owner));
	draft_done(&bump->draft);
	free(bump->raw);
	free(bump->children);
	rebuild_done(&bump->rebuild);
}

static int no_memory(struct cli *cli)
{
	return cli_error(cli, CLI_FAILED, NULL, "out of memory");
}

/* The id of a CREATE comes from its first coin: that must not be one that goes away. */
static int check_child(struct bump *bump, const struct outbox_item *child, const char *txid)
{
	struct cli *cli = bump->cli;

	if (!child || child->state == OUTBOX_GONE)
		return cli_error(cli, CLI_FAILED,
				 "bump that one instead: its fee counts for both; or wait",
				 "the transaction %s, which is not of this keystore, spends its "
				 "change and would be lost",
				 txid);
	if (!child->sequence)
		return cli_error(cli, CLI_FAILED,
				 "bump that one instead: its fee counts for both; or wait",
				 "\"%s\" spends its change, and would get another id", child->what);
	if (child->foreign)
		return cli_error(cli, CLI_FAILED,
				 "bump that one instead: its fee counts for both; or wait",
				 "\"%s\" hangs on it, and others would have to sign that again",
				 child->what);
	return 0;
}

/* What hangs on it in the mempool: built again, or the reason why that cannot be. */
static int find_children(struct bump *bump)
{
	struct wallet_waiting waiting;
	struct cli *cli = bump->cli;
	json_t *value;
	size_t i;
	int depth, r = wallet_depth(cli, &bump->item->txid, &depth);

	if (r)
		return r;
	if (depth > 0)
		return cli_error(cli, CLI_FAILED, NULL, "it is in a block already");
	r = wallet_waiting(cli, &bump->item->txid, &waiting);
	if (r)
		return r;
	bump->least = waiting.there ? bump->item->fee : 0;
	bump->children = calloc(json_array_size(waiting.children) + 1, sizeof(*bump->children));
	if (!bump->children)
		r = no_memory(cli);
	json_array_foreach(waiting.children, i, value)
	{
		const char *txid = json_string_value(value);
		struct outbox_item *child = NULL;
		struct hash256 hash;

		if (r || !txid || !hash_parse(txid, &hash))
			continue;
		child = outbox_find(&bump->rebuild.outbox, &hash);
		r = check_child(bump, child, txid);
		if (!r) {
			bump->children[bump->child_count++] = child;
			bump->least += child->fee;
		}
	}
	json_decref(waiting.children);
	return r;
}

static int find_owner(struct bump *bump)
{
	struct cli *cli = bump->cli;
	struct txbuild_output seal;
	int r;

	bump->draft.spends = bump->item->sequence != 0;
	if (bump->psbt && (!bump->draft.spends || bump->child_count))
		return cli_error(cli, CLI_USAGE,
				 "leave --psbt out, or bump the newest of what hangs on it",
				 "with --psbt only an update that nothing hangs on is bumped");
	if (!bump->draft.spends)
		return 0;
	r = bump->psbt ? 0 : rebuild_keys(&bump->rebuild);
	if (r)
		return r;
	if (!rebuild_seal(&bump->rebuild, &bump->draft.tx, &seal))
		return cli_error(cli, CLI_FAILED, "wait until it is in a block",
				 "the seal that it spends is not to be found");
	bump->draft.seal = bump->draft.tx.inputs[0].prev;
	bump->draft.seal_value = seal.value;
	bump->seal.outpoint = bump->draft.seal;
	bump->seal.value = seal.value;
	bump->seal.script_len = seal.script_len;
	memcpy(bump->seal.script, seal.script, seal.script_len);
	known_multisig(cli, seal.script, seal.script_len, &bump->multisig);
	if (bump->psbt)
		return 0;
	bump->draft.owner = &bump->owner;
	if (seal_owner(cli, &bump->rebuild.keystore, &bump->item->id, seal.script, seal.script_len,
		       &bump->owner))
		return 0;
	return cli_error(cli, CLI_DENIED, "give --psbt FILE for its signers, or --child",
			 "the keystore %s alone cannot sign it again", cli->conf.keystore);
}

/* More to pay than the change has: one more coin, which has to be in a block (BIP125, rule 2). */
static int add_coin(struct bump *bump, uint64_t missing)
{
	struct draft *draft = &bump->draft;
	struct txbuild *tx = &draft->tx;
	struct cli *cli = bump->cli;
	uint64_t own_fee = amount_fee(COIN_VSIZE, draft->rate), value;
	size_t change = txbuild_change(tx);
	struct outpoint coin;
	int r;

	if (tx->input_count == TXBUILD_INPUTS_MAX || tx->output_count == TXBUILD_OUTPUTS_MAX)
		return cli_error(cli, CLI_FUNDS, NULL, "there is no room for another coin in it");
	r = wallet_spare_coin(cli, missing + own_fee + cli->params->dust, &coin, &value);
	if (r)
		return r;
	if (!change) {
		change = tx->output_count;
		r = wallet_new_script(cli, tx->outputs[change].script,
				      &tx->outputs[change].script_len);
		if (r)
			return r;
		tx->outputs[change].value = 0;
		tx->output_count++;
	}
	tx->inputs[tx->input_count++] =
		(struct txbuild_input){.prev = coin, .sequence = SEQUENCE_RBF};
	tx->outputs[change].value += value - missing - own_fee;
	draft->fee += missing + own_fee;
	return 0;
}

static int pay_more(struct bump *bump)
{
	struct draft *draft = &bump->draft;
	struct txbuild *tx = &draft->tx;
	struct cli *cli = bump->cli;
	bool given = *cli->conf.fee_rate;
	uint64_t vsize = txbuild_vsize(tx), increment, wanted, before, missing;
	size_t change = txbuild_change(tx);
	char text[AMOUNT_TEXT_MAX];
	int r = wallet_increment(cli, &increment);

	if (r)
		return r;
	before = bump->item->fee * 1000 / vsize;
	if (!given && draft->rate < before * RAISE_NUM / RAISE_DEN)
		draft->rate = before * RAISE_NUM / RAISE_DEN + 1;
	/* BIP125, rules 3 and 4: more than all that it replaces, by what its own relay costs. */
	if (bump->least)
		bump->least += amount_fee(vsize, increment);
	wanted = amount_fee(vsize, draft->rate);
	amount_format(bump->least, text);
	if (given && wanted < bump->least)
		return cli_error(cli, CLI_USAGE, "give a higher --fee-rate, or none",
				 "nodes replace it for a fee of at least %s coins", text);
	wanted = wanted < bump->least ? bump->least : wanted;
	if (wanted <= bump->item->fee)
		return cli_error(cli, CLI_USAGE, "give a higher --fee-rate",
				 "it pays as much already");
	missing = wanted - bump->item->fee;
	draft->fee = bump->item->fee;
	if (change && tx->outputs[change].value >= missing + cli->params->dust) {
		tx->outputs[change].value -= missing;
		draft->fee += missing;
	} else {
		r = add_coin(bump, missing);
	}
	return r ? r : draft_check_fee(cli, draft);
}

static void unsign(struct txbuild *tx)
{
	for (size_t i = 0; i < tx->input_count; i++) {
		tx->inputs[i].script = NULL;
		tx->inputs[i].script_len = 0;
		tx->inputs[i].witness = NULL;
		tx->inputs[i].witness_len = 0;
	}
}

static int no_replacement(struct bump *bump, const char *why)
{
	if (wallet_verdict(why) != WALLET_CONFLICT || !bump->least)
		return wallet_refused(bump->cli, why);
	return cli_error(bump->cli, CLI_FAILED,
			 "dnet bump TXID --child lets another transaction pay for it",
			 "the chain node replaces no transactions (Litecoin's do only with "
			 "-mempoolreplacement=1)");
}

/* The change goes back to the wallet, for a fee that is enough for both: a miner who wants it has
 * to take what it hangs on. */
static int build_child(struct bump *bump)
{
	struct txbuild *tx = &bump->draft.tx;
	struct outpoint change = {.txid = bump->item->txid};
	struct wallet_coin coin = {0};
	struct cli *cli = bump->cli;
	uint64_t fee;
	int r;

	fee = amount_fee(txbuild_vsize(tx) + CHILD_VSIZE, bump->draft.rate);
	change.vout = (uint32_t)txbuild_change(tx);
	if (fee <= bump->item->fee)
		return cli_error(cli, CLI_USAGE, "give a higher --fee-rate",
				 "it pays as much already");
	fee -= bump->item->fee;
	r = wallet_coin(cli, &change, &coin);
	if (!r && (!coin.unspent || !change.vout || coin.value < fee + cli->params->dust))
		r = cli_error(cli, CLI_FUNDS, "bump the newest of those that hang on it",
			      "its change is spent already, or too small to pay for it");
	if (r)
		return r;
	memset(tx, 0, sizeof(*tx));
	tx->version = 2;
	tx->input_count = tx->output_count = 1;
	tx->inputs[0] = (struct txbuild_input){.prev = change, .sequence = SEQUENCE_RBF};
	tx->outputs[0].value = coin.value - fee;
	bump->draft.fee = fee;
	r = wallet_new_script(cli, tx->outputs[0].script, &tx->outputs[0].script_len);
	if (!r)
		r = draft_check_fee(cli, &bump->draft);
	return r;
}

static int build(struct bump *bump)
{
	struct cli *cli = bump->cli;
	char why[128];
	int r;

	bump->raw = malloc(TXBUILD_RAW_MAX);
	if (!bump->raw)
		return no_memory(cli);
	bump->draft.rate = bump->rebuild.rate;
	bump->draft.max_fee = bump->rebuild.max_fee;
	r = rebuild_parse(cli, bump->item, bump->raw, &bump->draft.tx);
	if (!r && bump->child) {
		r = build_child(bump);
	} else if (!r) {
		r = find_children(bump);
		if (!r)
			r = find_owner(bump);
		if (!r)
			r = pay_more(bump);
		if (!r)
			unsign(&bump->draft.tx);
	}
	if (r || bump->psbt) {
		txbuild_txid(&bump->draft.tx, &bump->draft.txid);
		return r;
	}
	r = draft_sign(cli, &bump->draft);
	if (!r)
		r = wallet_test(cli, &bump->draft.tx, why);
	return !r && *why ? no_replacement(bump, why) : r;
}

static int ask(struct bump *bump, bool dry)
{
	struct record *records = calloc(RECORDS_MAX, sizeof(*records));
	struct cli *cli = bump->cli;
	char amount[AMOUNT_TEXT_MAX];
	size_t count;
	int r = 0;

	if (!records)
		return no_memory(cli);
	count = rebuild_records(&bump->draft.tx, records, RECORDS_MAX);
	count = count < RECORDS_MAX ? count : RECORDS_MAX;
	amount_format(bump->item->fee, amount);
	if (dry && cli->json) {
		out_json(json_pack("{s:b, s:[o], s:I}", "dry_run", 1, "transactions",
				   summary_json(&bump->draft, records, 0, count), "again",
				   (json_int_t)bump->child_count));
	} else if (dry || !cli->yes) {
		summary_print(cli, &bump->draft, records, 0, count, bump->item->close);
		printf("  it was  %s coins, for \"%s\"\n", amount, bump->item->what);
		if (bump->child_count)
			printf("  %zu transactions that hang on it are built and paid again\n",
			       bump->child_count);
	}
	free(records);
	if (dry || cli->yes)
		return 0;
	r = input_can_ask(cli, "give --yes, or --dry-run to look first", "nothing was sent");
	return r ? r : input_ask(cli, "bump it", "nothing was sent");
}

static int send(struct bump *bump, size_t *ret_built)
{
	struct cli *cli = bump->cli;
	char why[128] = "";
	int r = 0;

	if (bump->child) {
		r = wallet_send(cli, &bump->draft.tx, why);
		return !r && *why ? wallet_refused(cli, why) : r;
	}
	/* First said that they have to be built again: whatever happens behind it, that is known.
	 */
	for (size_t i = 0; !r && i < bump->child_count; i++)
		r = journal_mark(cli, &bump->children[i]->txid, OUTBOX_AGAIN, "");
	if (!r)
		r = rebuild_replace(&bump->rebuild, bump->item, &bump->draft, why);
	if (!r && *why) {
		for (size_t i = 0; i < bump->child_count; i++)
			journal_mark(cli, &bump->children[i]->txid, OUTBOX_SENT, "");
		return wallet_refused(cli, why);
	}
	if (r)
		return r;
	outbox_done(&bump->rebuild.outbox);
	r = journal_load(cli, &bump->rebuild.outbox);
	if (!r)
		r = rebuild_all(&bump->rebuild, ret_built);
	if (r)
		cli_note(cli,
			 "it was replaced; %zu of %zu behind it were built again, dnet "
			 "pending --resend builds the others",
			 *ret_built, bump->child_count);
	return r;
}

/* What is in the journal stays until dnet psbt send has sent the other one. */
static int write_psbt(struct bump *bump)
{
	struct cli *cli = bump->cli;
	int r = psbt_file_new(cli, bump->psbt, &bump->draft, &bump->seal, &bump->multisig);

	if (r)
		return r;
	if (cli->json)
		out_json(json_pack("{s:s, s:I}", "psbt", bump->psbt, "fee",
				   (json_int_t)bump->draft.fee));
	else
		printf("written to %s: dnet psbt sign, then dnet psbt send\n", bump->psbt);
	return 0;
}

int bump_run(struct cli *cli, const struct args *args)
{
	struct bump *bump = calloc(1, sizeof(*bump));
	bool dry = args_has(args, "dry-run");
	char txid[HASH_TEXT_SIZE], amount[AMOUNT_TEXT_MAX];
	size_t built = 0;
	int r = bump ? keys_lock(cli) : no_memory(cli);

	if (!bump)
		return r;
	bump->cli = cli;
	bump->child = args_has(args, "child");
	bump->psbt = args_get(args, "psbt");
	if (!r && bump->child && bump->psbt)
		r = cli_error(cli, CLI_USAGE, "a child needs no signers: leave --psbt out",
			      "--child and --psbt exclude each other");
	if (!r)
		r = rebuild_open(cli, &bump->rebuild);
	if (!r) {
		bump->item = rebuild_find(&bump->rebuild, args->words[0]);
		r = bump->item ? build(bump) : CLI_NOT_FOUND;
	}
	if (!r && bump->psbt && !dry)
		r = write_psbt(bump);
	else if (!r)
		r = ask(bump, dry);
	if (!r && !dry && !bump->psbt)
		r = send(bump, &built);
	keys_unlock(cli);
	if (!r && !dry && !bump->psbt) {
		hash_format(&bump->draft.txid, txid);
		amount_format(bump->draft.fee, amount);
		if (cli->json)
			out_json(json_pack("{s:s, s:I, s:I}", "txid", txid, "fee",
					   (json_int_t)bump->draft.fee, "again",
					   (json_int_t)built));
		else
			printf("sent as %s, for %s coins; %zu behind it built again\n", txid,
			       amount, built);
	}
	bump_done(bump);
	free(bump);
	return r;
}
