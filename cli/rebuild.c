#include "cli/rebuild.h"

#include "cli/seal.h"
#include "cli/wallet.h"
#include "core/amount.h"
#include "core/chainparams.h"
#include "wire/hex.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TXID_TEXT_MIN = 6,
};

int rebuild_open(struct cli *cli, struct rebuild *ret_rebuild)
{
	struct rebuild rebuild = {.cli = cli};
	int r = cli_id(cli);

	if (!r)
		r = journal_load(cli, &rebuild.outbox);
	if (!r)
		r = wallet_check(cli);
	if (!r && !amount_parse(cli->conf.max_fee, &rebuild.max_fee))
		r = cli_error(cli, CLI_USAGE, "for example --max-fee 0.001",
			      "\"%s\" is not an amount in coins", cli->conf.max_fee);
	if (!r)
		r = wallet_fee_rate(cli, &rebuild.rate);
	if (!r)
		r = wallet_height(cli, &rebuild.height);
	*ret_rebuild = rebuild;
	return r;
}

void rebuild_done(struct rebuild *rebuild)
{
	outbox_done(&rebuild->outbox);
	keystore_done(&rebuild->keystore);
}

int rebuild_keys(struct rebuild *rebuild)
{
	int r = rebuild->opened ? 0 : keys_load(rebuild->cli, &rebuild->keystore);

	rebuild->opened = !r;
	return r;
}

bool rebuild_waits(const struct rebuild *rebuild, const struct outbox_item *item)
{
	return item->state != OUTBOX_GONE && !strcmp(item->chain, rebuild->cli->params->name);
}

struct outbox_item *rebuild_find(struct rebuild *rebuild, const char *text)
{
	struct outbox_item *found = NULL;
	char txid[HASH_TEXT_SIZE];

	for (size_t i = 0; strlen(text) >= TXID_TEXT_MIN && i < rebuild->outbox.count; i++) {
		struct outbox_item *item = &rebuild->outbox.items[i];

		hash_format(&item->txid, txid);
		if (rebuild_waits(rebuild, item) && !strncmp(txid, text, strlen(text)))
			found = item;
	}
	if (!found)
		cli_error(rebuild->cli, CLI_NOT_FOUND, "dnet pending lists them",
			  "no transaction of this keystore that waits is called %s", text);
	return found;
}

int rebuild_parse(struct cli *cli, const struct outbox_item *item, uint8_t *ret_raw,
		  struct txbuild *ret_tx)
{
	size_t len;

	if (hex_parse_any(item->raw, ret_raw, TXBUILD_RAW_MAX, &len) &&
	    !txbuild_parse(ret_raw, len, ret_tx) && ret_tx->output_count >= 2)
		return 0;
	return cli_error(cli, CLI_FAILED, "move the journal away: chain.db has what was sent",
			 "%s.outbox has a transaction that is none", cli->conf.keystore);
}

size_t rebuild_records(const struct txbuild *tx, struct record *ret_records, size_t size)
{
	struct payload_item item;
	struct payload payload;
	const uint8_t *bytes;
	size_t len, count = 0;

	for (size_t i = 0; i < tx->output_count; i++) {
		if (!txbuild_payload(tx, i, &bytes, &len) || !payload_has_magic(bytes, len))
			continue;
		payload_open(&payload, bytes, len);
		while (payload_next(&payload, &item)) {
			if (item.reason != RECORD_OK)
				continue;
			if (count < size)
				ret_records[count] = item.record;
			count++;
		}
	}
	return count;
}

bool rebuild_seal(struct rebuild *rebuild, const struct txbuild *tx, struct txbuild_output *ret)
{
	const struct outpoint *prev = &tx->inputs[0].prev;
	const struct outbox_item *item = outbox_find(&rebuild->outbox, &prev->txid);
	_cleanup_(freep) struct txbuild *parent = malloc(sizeof(*parent));
	_cleanup_(freep) uint8_t *raw = malloc(TXBUILD_RAW_MAX);
	struct wallet_coin coin = {0};

	if (!parent || !raw)
		return false;
	if (item && !rebuild_parse(rebuild->cli, item, raw, parent) &&
	    prev->vout < parent->output_count) {
		*ret = parent->outputs[prev->vout];
		return true;
	}
	/* In a block; that the mempool has it spent is no matter. */
	if (wallet_coin_below(rebuild->cli, prev, &coin) || !coin.unspent)
		return false;
	ret->value = coin.value;
	ret->script_len = coin.script_len;
	memcpy(ret->script, coin.script, coin.script_len);
	return true;
}

/* No later one of the same object is on its way, and ours is the newest that this tool made. */
static bool is_newest(struct rebuild *rebuild, const struct outbox_item *item)
{
	struct known_seal known;

	return !known_find(rebuild->cli, &item->id, &known) || known.sequence <= item->sequence;
}

int rebuild_replace(struct rebuild *rebuild, const struct outbox_item *old, struct draft *draft,
		    char ret_why[static 128])
{
	_cleanup_(freep) char *hex = wallet_hex(&draft->tx);
	struct cli *cli = rebuild->cli;
	struct outbox_item item = *old;
	char txid[HASH_TEXT_SIZE];
	struct known_seal known;
	int r;

	item.raw = hex;
	item.txid = draft->txid;
	item.fee = draft->fee;
	item.height = rebuild->height;
	hash_format(&item.txid, txid);
	r = hex ? journal_add(cli, &item) : cli_error(cli, CLI_FAILED, NULL, "out of memory");
	if (!r)
		r = wallet_send_hex(cli, hex, ret_why);
	if (r)
		return r;
	if (*ret_why)
		return journal_mark(cli, &item.txid, OUTBOX_GONE, "refused");
	r = journal_mark(cli, &item.txid, OUTBOX_SENT, "");
	if (!r)
		r = journal_mark(cli, &old->txid, OUTBOX_GONE, txid);
	if (r || !is_newest(rebuild, &item))
		return r;
	known = (struct known_seal){.kind = item.kind,
				    .id = item.id,
				    .outpoint = {.txid = item.txid, .vout = 1},
				    .value = draft->tx.outputs[1].value,
				    .sequence = item.sequence,
				    .closed = item.close};
	memcpy(known.label, item.label, sizeof(known.label));
	return known_put(cli, &known);
}

/* Where the transaction of an outpoint was replaced, the same output of what replaced it. */
static struct outpoint follow(const struct outbox *outbox, struct outpoint prev)
{
	struct hash256 next;
	/* Not more often than there are items: a journal may lead in a circle. */
	for (size_t i = 0; i < outbox->count; i++) {
		const struct outbox_item *item = outbox_find(outbox, &prev.txid);

		if (!item || item->state != OUTBOX_GONE || !hash_parse(item->why, &next))
			break;
		prev.txid = next;
	}
	return prev;
}

static int set_payloads(struct cli *cli, const struct txbuild *tx, struct draft_payload *payloads,
			size_t *ret_count)
{
	const uint8_t *bytes;
	size_t len, count = 0;

	for (size_t i = 0; i < tx->output_count; i++) {
		if (!txbuild_payload(tx, i, &bytes, &len) || len > PAYLOAD_MAX ||
		    count == TXBUILD_PAYLOADS_MAX)
			continue;
		payloads[count].len = (uint8_t)len;
		memcpy(payloads[count++].bytes, bytes, len);
	}
	*ret_count = count;
	return count ? 0
		     : cli_error(cli, CLI_FAILED, NULL,
				 "a transaction of the journal has no record");
}

static int set_seal(struct rebuild *rebuild, const struct outbox_item *old,
		    const struct txbuild *tx, struct draft *draft, struct identity *ret_owner)
{
	struct cli *cli = rebuild->cli;
	struct wallet_coin coin = {0};
	int r;

	draft->spends = true;
	draft->seal = follow(&rebuild->outbox, tx->inputs[0].prev);
	r = wallet_coin(cli, &draft->seal, &coin);
	if (!r && !coin.unspent)
		r = cli_error(cli, CLI_FAILED,
			      "see what did with dnet history; dnet pending --forget drops it",
			      "another transaction has spent the seal for \"%s\"", old->what);
	if (!r)
		r = rebuild_keys(rebuild);
	if (r)
		return r;
	draft->seal_value = coin.value;
	draft->seal_vsize = TXBUILD_SEAL_INPUT_VSIZE;
	draft->owner = ret_owner;
	if (seal_owner(cli, &rebuild->keystore, &old->id, coin.script, coin.script_len, ret_owner))
		return 0;
	return cli_error(cli, CLI_DENIED, "make it again with its signers (--psbt)",
			 "the keystore %s alone cannot sign \"%s\" again", cli->conf.keystore,
			 old->what);
}

static int build_and_send(struct rebuild *rebuild, const struct outbox_item *old,
			  struct draft *draft)
{
	struct cli *cli = rebuild->cli;
	char why[128] = "";
	int r = draft_build(cli, draft);

	if (!r)
		r = wallet_test(cli, &draft->tx, why);
	if (!r && !*why)
		r = rebuild_replace(rebuild, old, draft, why);
	draft_unlock(cli, draft);
	return !r && *why ? wallet_refused(cli, why) : r;
}

int rebuild_item(struct rebuild *rebuild, const struct outbox_item *old)
{
	struct draft_payload *payloads = calloc(TXBUILD_PAYLOADS_MAX, sizeof(*payloads));
	struct draft *draft = calloc(1, sizeof(*draft));
	struct txbuild *tx = malloc(sizeof(*tx));
	uint8_t *raw = malloc(TXBUILD_RAW_MAX);
	struct cli *cli = rebuild->cli;
	struct identity owner = {0};
	int r;

	if (!payloads || !draft || !tx || !raw) {
		r = cli_error(cli, CLI_FAILED, NULL, "out of memory");
		goto out;
	}
	r = rebuild_parse(cli, old, raw, tx);
	if (!r)
		r = set_payloads(cli, tx, payloads, &draft->payload_count);
	if (!r)
		r = set_seal(rebuild, old, tx, draft, &owner);
	if (!r && tx->outputs[1].script_len > sizeof(draft->script))
		r = cli_error(cli, CLI_FAILED, NULL, "a seal with a script that is too long");
	if (!r) {
		draft->payloads = payloads;
		draft->script_len = tx->outputs[1].script_len;
		memcpy(draft->script, tx->outputs[1].script, draft->script_len);
		draft->rate = rebuild->rate;
		draft->max_fee = rebuild->max_fee;
		draft->lock = true;
		r = build_and_send(rebuild, old, draft);
	}
out:
	secret_wipe(&owner, sizeof(owner));
	if (draft)
		draft_done(draft);
	free(draft);
	free(payloads);
	free(raw);
	free(tx);
	return r;
}

int rebuild_all(struct rebuild *rebuild, size_t *ret_count)
{
	int r = 0;

	*ret_count = 0;
	for (size_t i = 0; !r && i < rebuild->outbox.count; i++) {
		if (rebuild->outbox.items[i].state != OUTBOX_AGAIN ||
		    strcmp(rebuild->outbox.items[i].chain, rebuild->cli->params->name) != 0)
			continue;
		r = rebuild_item(rebuild, &rebuild->outbox.items[i]);
		if (r)
			break;
		/* What was just written says where its output is now. */
		outbox_done(&rebuild->outbox);
		r = journal_load(rebuild->cli, &rebuild->outbox);
		(*ret_count)++;
	}
	return r;
}

int rebuild_send(struct rebuild *rebuild, struct outbox_item *item, char ret_why[static 128])
{
	struct cli *cli = rebuild->cli;
	_cleanup_(freep) struct txbuild *tx = malloc(sizeof(*tx));
	_cleanup_(freep) uint8_t *raw = malloc(TXBUILD_RAW_MAX);
	struct known_seal known;
	int r = tx && raw ? rebuild_parse(cli, item, raw, tx)
			  : cli_error(cli, CLI_FAILED, NULL, "out of memory");

	if (!r)
		r = wallet_send_hex(cli, item->raw, ret_why);
	if (r || *ret_why)
		return r;
	wallet_unlock(cli, tx, &tx->inputs[0].prev);
	if (item->state != OUTBOX_SENT)
		r = journal_mark(cli, &item->txid, OUTBOX_SENT, "");
	item->state = OUTBOX_SENT;
	if (r || !is_newest(rebuild, item))
		return r;
	known = (struct known_seal){.kind = item->kind,
				    .id = item->id,
				    .outpoint = {.txid = item->txid, .vout = 1},
				    .value = tx->outputs[1].value,
				    .sequence = item->sequence,
				    .closed = item->close};
	memcpy(known.label, item->label, sizeof(known.label));
	return known_put(cli, &known);
}
