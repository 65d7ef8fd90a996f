#include "cli/bump.h"
#include "cli/keys.h"
#include "cli/out.h"
#include "cli/rebuild.h"
#include "cli/wallet.h"
#include "core/chainparams.h"
#include "wire/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was sent and is in no block yet, and what to do where it does not come along. */

enum {
	SLOW_BLOCKS = 6, /* the default fee is an estimate for so many */
};

static const struct arg_option pending_options[] = {
	{"resend", 0, NULL,
	 "send again what the node has not, build again what was replaced below"},
	{"forget", 0, "TXID", "give one up that will never be in a block"},
	{0},
};

static const struct arg_option bump_options[] = {
	{"child", 0, NULL,
	 "a transaction that spends its change pays, where nodes replace nothing"},
	{0},
};

struct verdict {
	const char *state;
	const char *next; /* NULL: wait */
	char why[128];
};

/* As the wallet and the mempool have it. ret->state NULL: not of interest any more. */
static int judge(struct rebuild *rebuild, const struct outbox_item *item, struct verdict *ret)
{
	struct wallet_waiting waiting;
	struct cli *cli = rebuild->cli;
	int depth, r = wallet_depth(cli, &item->txid, &depth);

	*ret = (struct verdict){0};
	if (r || depth > 0)
		return r;
	if (item->state == OUTBOX_AGAIN) {
		ret->state = "replaced below";
		ret->next = "dnet pending --resend builds it again upon what replaced its parent";
		return 0;
	}
	if (depth < 0 && depth != WALLET_DEPTH_UNKNOWN) {
		ret->state = "conflict";
		ret->next = "a block has another transaction in its place (dnet history): run the "
			    "command again if it is still wanted, and dnet pending --forget TXID";
		return 0;
	}
	r = wallet_waiting(cli, &item->txid, &waiting);
	json_decref(waiting.children);
	if (r)
		return r;
	if (waiting.there) {
		bool slow = rebuild->height >= item->height + SLOW_BLOCKS;

		ret->state = slow ? "slow" : "waiting";
		ret->next = slow ? "dnet bump TXID pays more" : NULL;
		return 0;
	}
	r = wallet_test_hex(cli, item->raw, ret->why);
	if (r)
		return r;
	switch (wallet_verdict(ret->why)) {
	case WALLET_TAKES:
		ret->state = "missing";
		ret->next = "the node has lost it: dnet pending --resend";
		break;
	case WALLET_CHAIN_FULL:
		ret->state = "held";
		ret->next = "wait for a block, then dnet pending --resend";
		break;
	case WALLET_CONFLICT:
		ret->state = "conflict";
		ret->next = "send those before it first (dnet pending --resend); if it stays, "
			    "another transaction has its coin or seal (dnet history): dnet pending "
			    "--forget TXID, and run the command again if it is still wanted";
		break;
	case WALLET_FEE_LOW:
		ret->state = "stuck";
		ret->next = "the node keeps nothing at this fee now: dnet bump TXID";
		break;
	case WALLET_POLICY:
	case WALLET_REFUSES:
		ret->state = "refused";
		ret->next = "the node does not take it: dnet pending --forget TXID";
		break;
	}
	return 0;
}

static json_t *item_json(const struct rebuild *rebuild, const struct outbox_item *item,
			 const struct verdict *verdict)
{
	char id[OBJECT_ID_TEXT_SIZE], txid[HASH_TEXT_SIZE];

	object_id_format(item->kind, &item->id, id);
	hash_format(&item->txid, txid);
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s*, s:s}", "txid", txid, "id", id,
		"kind", object_kind_name(item->kind), "label", item->label, "what", item->what,
		"state", verdict->state, "fee", (json_int_t)item->fee, "blocks",
		(json_int_t)(rebuild->height > item->height ? rebuild->height - item->height : 0),
		"next", verdict->next, "why", verdict->why);
}

static void print_items(const struct cli *cli, const json_t *items)
{
	struct table table;
	json_t *row;
	size_t i;

	if (!json_array_size(items)) {
		puts("nothing waits for a block");
		return;
	}
	table_init(&table, "STATE", "OBJECT", "WHAT", "TXID", NULL);
	json_array_foreach(items, i, row)
	{
		table_row(&table, json_string_value(json_object_get(row, "state")),
			  json_string_value(json_object_get(row, "label")),
			  json_string_value(json_object_get(row, "what")),
			  json_string_value(json_object_get(row, "txid")));
	}
	table_print(cli, &table, "");
	table_done(&table);
	json_array_foreach(items, i, row)
	{
		const char *next = json_string_value(json_object_get(row, "next"));
		const char *why = json_string_value(json_object_get(row, "why"));

		if (next)
			printf("%.8s  %s%s%s\n", json_string_value(json_object_get(row, "txid")),
			       why, why && *why ? ": " : "", next);
	}
}

static int show(struct rebuild *rebuild)
{
	json_t *items = json_array();
	struct verdict verdict;
	int r = 0;

	for (size_t i = 0; !r && i < rebuild->outbox.count; i++) {
		const struct outbox_item *item = &rebuild->outbox.items[i];

		if (!rebuild_waits(rebuild, item))
			continue;
		r = judge(rebuild, item, &verdict);
		if (!r && verdict.state)
			json_array_append_new(items, item_json(rebuild, item, &verdict));
	}
	if (!r && rebuild->cli->json)
		out_json(json_pack("{s:O}", "pending", items));
	else if (!r)
		print_items(rebuild->cli, items);
	json_decref(items);
	return r;
}

/* Those that the node has not, in their order; then those that are to be built again. */
static int resend(struct rebuild *rebuild)
{
	struct cli *cli = rebuild->cli;
	size_t sent = 0, built = 0;
	struct verdict verdict;
	char why[128];
	int r = 0;

	for (size_t i = 0; !r && i < rebuild->outbox.count; i++) {
		struct outbox_item *item = &rebuild->outbox.items[i];

		if (!rebuild_waits(rebuild, item) || item->state == OUTBOX_AGAIN)
			continue;
		r = judge(rebuild, item, &verdict);
		if (r || !verdict.state || strcmp(verdict.state, "missing") != 0)
			continue;
		r = rebuild_send(rebuild, item, why);
		sent += !r && !*why;
	}
	if (!r)
		r = rebuild_all(rebuild, &built);
	if (!r)
		cli_note(cli, "%zu sent again, %zu built again", sent, built);
	return r;
}

static int forget(struct rebuild *rebuild, const char *text)
{
	struct outbox_item *item = rebuild_find(rebuild, text);
	_cleanup_(freep) struct txbuild *tx = malloc(sizeof(*tx));
	_cleanup_(freep) uint8_t *raw = malloc(TXBUILD_RAW_MAX);
	struct cli *cli = rebuild->cli;
	struct wallet_waiting waiting;
	int r;

	if (!item || !tx || !raw)
		return item ? CLI_FAILED : CLI_NOT_FOUND;
	r = wallet_waiting(cli, &item->txid, &waiting);
	json_decref(waiting.children);
	if (!r && waiting.there)
		r = cli_error(cli, CLI_FAILED, "dnet bump pays more for it",
			      "the chain node has it, and it may be in the next block");
	if (!r)
		r = rebuild_parse(cli, item, raw, tx);
	if (r)
		return r;
	wallet_unlock(cli, tx, &tx->inputs[0].prev);
	item->state = OUTBOX_GONE;
	return journal_mark(cli, &item->txid, OUTBOX_GONE, "given up");
}

static int run_pending(struct cli *cli, const struct args *args)
{
	const char *text = args_get(args, "forget");
	bool again = args_has(args, "resend");
	struct rebuild rebuild = {0};
	/* What only looks does not wait for one that writes. */
	int r = again || text ? keys_lock(cli) : cli_params(cli);

	if (!r)
		r = rebuild_open(cli, &rebuild);
	if (!r && text)
		r = forget(&rebuild, text);
	if (!r && again)
		r = resend(&rebuild);
	if (!r)
		r = show(&rebuild);
	keys_unlock(cli);
	rebuild_done(&rebuild);
	return r;
}

const struct cli_command cli_commands_pending[] = {
	{"pending", "", "shows what was sent and is in no block, and what to do", pending_options,
	 0, 0, false, run_pending},
	{"bump", "TXID", "pays more for a transaction that waits", bump_options, 1, 1, true,
	 bump_run},
	{0},
};
