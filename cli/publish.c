#include "cli/publish.h"

#include "cli/batch.h"
#include "cli/checks.h"
#include "cli/draft.h"
#include "cli/input.h"
#include "cli/journal.h"
#include "cli/keys.h"
#include "cli/out.h"
#include "cli/psbt_file.h"
#include "cli/seal.h"
#include "cli/summary.h"
#include "cli/wallet.h"
#include "cli/watch.h"
#include "core/amount.h"
#include "core/chainparams.h"
#include "os/rand.h"
#include "wire/hex.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One command may need several transactions: payloads hold 80 bytes, and most nodes relay one
 * payload a transaction. Each spends the seal that the one before made, and may be paid from its
 * change, so each is built when the one before is sent; the first is built, and shown, before
 * anything is. What is signed is in the journal before it is sent: a process may end anywhere. */

enum {
	TRANSACTIONS_MAX = 16, /* of what is no batch */
	CONFLICTS_MAX = 5,     /* in a row: somebody spends our coins faster than we do */
	BLOCK_POLL_MS = 200,
};

const struct arg_option publish_options[] = {
	{"dry-run", 'n', NULL, "show records, inputs, outputs, fee and size, and send nothing"},
	{"psbt", 0, "FILE", "write it unsigned for others to sign (BIP174), and send nothing"},
	{0},
};

struct plan {
	struct cli *cli;
	struct publish *publish;
	bool dry;
	const char *psbt;	  /* file for an unsigned one; NULL: it is signed and sent */
	struct multisig multisig; /* of the seal; count 0: one key */
	struct keystore keystore;
	struct keystore_entry entry;	       /* of a CREATE: its new key */
	struct identity owner;		       /* key of the seal */
	uint8_t seal_script[DRAFT_SCRIPT_MAX]; /* of the seals until the last */
	size_t seal_script_len;
	uint64_t rate, max_fee;
	uint32_t height;
	struct draft_payload *payloads; /* owned */
	size_t payload_count;
	size_t per_tx; /* payloads that the node relays in one transaction */

	/* The transaction that is built, from payload next on. */
	struct draft draft;
	size_t next;
	uint32_t sequence; /* that it makes */
	bool spends;	   /* a seal */
	struct seal seal;

	size_t sent_count;
	uint64_t sent_fee;
	json_t *sent;  /* owned; as summary_json() */
	json_t *txids; /* owned */
	struct hash256 last;
};

static void plan_done(struct plan *plan)
{
	draft_done(&plan->draft);
	free(plan->payloads);
	keystore_done(&plan->keystore);
	secret_wipe(&plan->owner, sizeof(plan->owner));
	secret_wipe(&plan->entry, sizeof(plan->entry));
	json_decref(plan->sent);
	json_decref(plan->txids);
}

static bool is_batch(const struct plan *plan)
{
	return *plan->publish->batch;
}

/* As many records as fit go into one payload; those of a batch that are done are left out. */
static int split_records(struct plan *plan)
{
	const struct publish *publish = plan->publish;
	size_t next = 0;

	plan->payloads = calloc(publish->count ? publish->count : 1, sizeof(*plan->payloads));
	if (!plan->payloads)
		return cli_error(plan->cli, CLI_FAILED, NULL, "out of memory");
	while (next < publish->count) {
		struct draft_payload *payload = &plan->payloads[plan->payload_count];
		struct writer w;

		if (publish->done[next]) {
			next++;
			continue;
		}
		payload->first = next;
		payload_begin(&w, payload->bytes);
		while (next < publish->count && !publish->done[next]) {
			struct writer before = w;

			record_write(&w, &publish->records[next]);
			if (w.failed) {
				w = before;
				break;
			}
			next++;
		}
		payload->count = next - payload->first;
		payload->len = (uint8_t)payload_finish(&w);
		if (!payload->count || !payload->len)
			return cli_error(plan->cli, CLI_FAILED, NULL,
					 "a record that cannot be written (%s)",
					 record_type_name(publish->records[next].type));
		plan->payload_count++;
	}
	plan->per_tx = plan->payload_count < TXBUILD_PAYLOADS_MAX ? plan->payload_count
								  : TXBUILD_PAYLOADS_MAX;
	/* Unsigned, the node cannot be asked whether it relays several. */
	if (plan->psbt)
		plan->per_tx = 1;
	return 0;
}

/* ---- who signs what */

/* One key of ours, or nobody's yet: others sign (--psbt). */
static int check_owner(struct plan *plan)
{
	const struct cli_object *object = &plan->publish->object;
	const struct seal *seal = &plan->seal;
	struct cli *cli = plan->cli;

	if (seal->script_len > DRAFT_SCRIPT_MAX)
		return cli_error(cli, CLI_DENIED, NULL,
				 "the seal of %s has a script of another kind", object->text);
	if (known_multisig(cli, seal->script, seal->script_len, &plan->multisig)) {
		if (plan->psbt)
			return 0;
		return cli_error(cli, CLI_DENIED,
				 "give --psbt FILE, and dnet psbt sign where they are",
				 "%s belongs to %zu owners, of whom %u have to sign", object->text,
				 plan->multisig.count, plan->multisig.need);
	}
	if (plan->psbt && seal->script_len == P2WPKH_LEN)
		return 0;
	if (plan->psbt)
		return cli_error(cli, CLI_DENIED, "dnet receive ID --multisig M KEY... says which",
				 "the owners of %s are not known here", object->text);
	return seal_owner(cli, &plan->keystore, &object->id, seal->script, seal->script_len,
			  &plan->owner)
		       ? 0
		       : seal_of_another(cli, object);
}

static int load_owner(struct plan *plan)
{
	const struct cli_object *object = &plan->publish->object;
	struct cli *cli = plan->cli;
	int r = plan->psbt ? 0 : keys_load(cli, &plan->keystore);

	if (r)
		return r;
	if (!plan->psbt && !keystore_find(&plan->keystore, cli->params->name, &object->id))
		return seal_not_owner(cli, object);
	r = seal_choose(cli, object, &plan->seal);
	if (!r)
		r = check_owner(plan);
	if (r)
		return r;
	plan->spends = true;
	plan->sequence = plan->seal.sequence + 1;
	memcpy(plan->seal_script, plan->seal.script, plan->seal.script_len);
	plan->seal_script_len = plan->seal.script_len;
	return 0;
}

/* Of a CREATE. What is only shown (dry) needs no keystore. */
static int new_owner(struct plan *plan)
{
	struct record *create = &plan->publish->records[0];
	struct cli *cli = plan->cli;
	struct identity admin;
	struct secret secret;
	int r = 0;

	if (plan->dry) {
		rand_bytes(secret.bytes, SECRET_LEN);
		secret.bytes[0] = 1; /* below the order of the curve */
	} else {
		plan->entry.kind = plan->publish->object.kind;
		r = keys_load(cli, &plan->keystore);
		if (!r)
			r = keys_add(cli, &plan->keystore, &plan->entry);
		if (r)
			return r;
		secret = plan->entry.secret;
	}
	r = id_from_secret(cli->id, &secret, &plan->owner);
	assert(!r);
	secret_wipe(&secret, sizeof(secret));
	txbuild_p2wpkh(&plan->owner.key, plan->seal_script);
	plan->seal_script_len = P2WPKH_LEN;
	if (create->type != RECORD_DNET_CREATE)
		return 0;
	id_admin_identity(cli->id, &plan->owner.secret, &admin);
	id_xonly(&admin.key, create->dnet_create.admin_key);
	secret_wipe(&admin, sizeof(admin));
	return 0;
}

static bool any_known(void *arg, const struct known_seal *known)
{
	(void)arg;
	(void)known;
	return true;
}

static int prepare(struct plan *plan)
{
	struct cli *cli = plan->cli;
	int r = cli_id(cli);

	/* What is written behind a transaction has to be readable before it goes out. */
	if (!r)
		r = known_visit(cli, any_known, NULL);
	if (!r)
		r = wallet_check(cli);
	if (!r)
		r = batch_resume(cli, plan->publish, plan->dry);
	if (!r && (!amount_parse(cli->conf.max_fee, &plan->max_fee)))
		r = cli_error(cli, CLI_USAGE, "for example --max-fee 0.001",
			      "\"%s\" is not an amount in coins", cli->conf.max_fee);
	if (!r)
		r = wallet_fee_rate(cli, &plan->rate);
	if (!r)
		r = wallet_height(cli, &plan->height);
	if (!r)
		r = plan->publish->create ? new_owner(plan) : load_owner(plan);
	return r;
}

/* ---- building */

static size_t group_size(const struct plan *plan)
{
	size_t size = 1;

	/* One that begins a new row of records begins a transaction, so that the journal says with
	 * two numbers what is in one. */
	while (size < plan->per_tx && plan->next + size < plan->payload_count) {
		const struct draft_payload *before = &plan->payloads[plan->next + size - 1];

		if (before->first + before->count != before[1].first)
			break;
		size++;
	}
	return size;
}

static size_t first_record(const struct plan *plan)
{
	return plan->payloads[plan->next].first;
}

static size_t count_records(const struct plan *plan)
{
	const struct draft_payload *last =
		&plan->payloads[plan->next + plan->draft.payload_count - 1];

	return last->first + last->count - first_record(plan);
}

static bool is_last(const struct plan *plan)
{
	return plan->next + plan->draft.payload_count == plan->payload_count;
}

static int new_seal_script(struct plan *plan)
{
	const struct publish *publish = plan->publish;
	struct draft *draft = &plan->draft;

	if (is_last(plan) && publish->close)
		return wallet_new_script(plan->cli, draft->script, &draft->script_len);
	if (is_last(plan) && publish->seal_script_len) {
		memcpy(draft->script, publish->seal_script, publish->seal_script_len);
		draft->script_len = publish->seal_script_len;
		return 0;
	}
	memcpy(draft->script, plan->seal_script, plan->seal_script_len);
	draft->script_len = plan->seal_script_len;
	return 0;
}

static int set_draft(struct plan *plan)
{
	struct draft *draft = &plan->draft;

	draft->payloads = &plan->payloads[plan->next];
	draft->payload_count = group_size(plan);
	draft->spends = plan->spends;
	draft->seal = plan->seal.outpoint;
	draft->seal_value = plan->seal.value;
	draft->seal_vsize = plan->multisig.count ? multisig_input_vsize(&plan->multisig)
						 : TXBUILD_SEAL_INPUT_VSIZE;
	draft->owner = plan->psbt ? NULL : &plan->owner;
	draft->rate = plan->rate;
	draft->max_fee = plan->max_fee;
	draft->lock = !plan->dry;
	return new_seal_script(plan);
}

static int wait_block(struct plan *plan)
{
	const struct timespec pause = {.tv_nsec = BLOCK_POLL_MS * 1000000L};
	struct cli *cli = plan->cli;
	uint32_t height = plan->height;
	int r = 0;

	cli_note(cli, "%zu of %zu records sent; the chain node takes no more until the next block",
		 first_record(plan), plan->publish->count);
	while (!r && plan->height == height) {
		nanosleep(&pause, NULL);
		r = wallet_height(cli, &plan->height);
	}
	return r;
}

/* The seal that was to be spent is gone: another one, or an error that says so. */
static int look_again(struct plan *plan)
{
	struct wallet_coin coin;
	int r = plan->spends ? wallet_coin(plan->cli, &plan->seal.outpoint, &coin) : 0;

	if (r || !plan->spends || coin.unspent)
		return r;
	r = seal_choose(plan->cli, &plan->publish->object, &plan->seal);
	if (!r)
		plan->sequence = plan->seal.sequence + 1;
	return r;
}

/* With a coin less than before the wallet may be too poor until its change is in a block. */
static int build_once(struct plan *plan)
{
	struct cli *cli = plan->cli;
	int r = set_draft(plan);

	if (r)
		return r;
	cli->quiet = is_batch(plan) && plan->sent_count;
	r = draft_build(cli, &plan->draft);
	if (!cli->quiet)
		return r;
	cli->quiet = false;
	if (r == CLI_FUNDS && plan->draft.fee <= plan->max_fee) {
		r = wait_block(plan);
		return r ? r : draft_build(cli, &plan->draft);
	}
	return r ? draft_build(cli, &plan->draft) : 0;
}

/* Until the node would take it; what is not signed cannot be asked about. */
static int build(struct plan *plan)
{
	struct cli *cli = plan->cli;
	unsigned conflicts = 0;
	char why[128];
	int r;

	for (;;) {
		r = build_once(plan);
		if (r || plan->psbt)
			return r;
		r = wallet_test(cli, &plan->draft.tx, why);
		if (r || !*why)
			return r;
		draft_unlock(cli, &plan->draft);
		switch (wallet_verdict(why)) {
		case WALLET_CHAIN_FULL:
			if (!is_batch(plan) || plan->dry)
				return wallet_refused(cli, why);
			r = wait_block(plan);
			break;
		case WALLET_POLICY:
			if (plan->draft.payload_count == 1)
				return wallet_refused(cli, why);
			plan->per_tx =
				strstr(why, "multi") ? 1 : (plan->draft.payload_count + 1) / 2;
			break;
		case WALLET_CONFLICT:
			if (++conflicts == CONFLICTS_MAX)
				return wallet_refused(cli, why);
			r = look_again(plan);
			break;
		case WALLET_TAKES:
		case WALLET_FEE_LOW:
		case WALLET_REFUSES:
			return wallet_refused(cli, why);
		}
		if (r)
			return r;
	}
}

/* How many transactions there will be from here on. */
static size_t transactions_left(const struct plan *plan)
{
	struct plan ahead = *plan;
	size_t count = 0;

	for (; ahead.next < ahead.payload_count; ahead.next += group_size(&ahead))
		count++;
	return count;
}

static int check_count(struct plan *plan)
{
	if (is_batch(plan) || transactions_left(plan) <= TRANSACTIONS_MAX)
		return 0;
	return cli_error(plan->cli, CLI_USAGE, "give fewer at once, or node add --from FILE",
			 "that would be more than %d transactions", TRANSACTIONS_MAX);
}

static void set_id(struct plan *plan)
{
	struct cli_object *object = &plan->publish->object;

	if (plan->spends)
		return;
	object_id_derive(object->kind, &plan->draft.tx.inputs[0].prev, &object->id);
	names_fill_text(object);
}

/* ---- showing */

/* The one that is built, and what comes after it. */
static void print_plan(const struct plan *plan)
{
	const struct record *records = plan->publish->records;
	char amount[AMOUNT_TEXT_MAX];
	struct plan ahead = *plan;
	size_t left = transactions_left(plan);

	summary_print(plan->cli, &plan->draft, records, first_record(plan), count_records(plan),
		      plan->publish->close && is_last(plan));
	if (left > TRANSACTIONS_MAX) {
		amount_format(plan->draft.fee * left, amount);
		printf("and %zu transactions like it after that: about %s coins for %zu records\n",
		       left - 1, amount, plan->publish->count);
		return;
	}
	for (ahead.next += ahead.draft.payload_count; ahead.next < ahead.payload_count;
	     ahead.next += ahead.draft.payload_count) {
		ahead.draft.payload_count = group_size(&ahead);
		summary_later_print(plan->cli, records, first_record(&ahead),
				    count_records(&ahead));
	}
}

static int dry_run(struct plan *plan)
{
	const struct record *records = plan->publish->records;
	struct plan ahead = *plan;
	json_t *transactions;

	if (!plan->cli->json) {
		print_plan(plan);
		puts("dry run: nothing was sent");
		return 0;
	}
	transactions = json_array();
	json_array_append_new(transactions, summary_json(&plan->draft, records, first_record(plan),
							 count_records(plan)));
	for (ahead.next += ahead.draft.payload_count; ahead.next < ahead.payload_count;
	     ahead.next += ahead.draft.payload_count) {
		ahead.draft.payload_count = group_size(&ahead);
		json_array_append_new(
			transactions,
			summary_later_json(records, first_record(&ahead), count_records(&ahead)));
	}
	out_json(json_pack("{s:s, s:s, s:b, s:o}", "id", plan->publish->object.text, "kind",
			   object_kind_name(plan->publish->object.kind), "dry_run", 1,
			   "transactions", transactions));
	return 0;
}

static int ask(struct plan *plan)
{
	int r;

	if (plan->cli->yes)
		return 0;
	r = input_can_ask(plan->cli, "give --yes, or --dry-run to look first", "nothing was sent");
	if (r)
		return r;
	print_plan(plan);
	return input_ask(plan->cli, plan->publish->what, "nothing was sent");
}

/* ---- sending */

/* The new key is on the disk before a transaction needs it. It was put when the id was not known.
 */
static int save_new_key(struct plan *plan)
{
	const struct publish *publish = plan->publish;
	struct keystore_entry *entry = &plan->keystore.entries[plan->keystore.count - 1];

	entry->id = publish->object.id;
	snprintf(entry->label, sizeof(entry->label), "%s", publish->object.label);
	return keys_save(plan->cli, &plan->keystore);
}

static int put_known(struct plan *plan, const struct outbox_item *item)
{
	struct known_seal known = {
		.kind = item->kind,
		.id = item->id,
		.outpoint = {.txid = item->txid, .vout = 1},
		.value = plan->draft.tx.outputs[1].value,
		.sequence = item->sequence,
		.closed = item->close,
	};

	memcpy(known.label, item->label, sizeof(known.label));
	return known_put(plan->cli, &known);
}

static void set_item(const struct plan *plan, struct outbox_item *item)
{
	const struct publish *publish = plan->publish;

	*item = (struct outbox_item){
		.kind = publish->object.kind,
		.id = publish->object.id,
		.txid = plan->draft.txid,
		.fee = plan->draft.fee,
		.value = plan->spends ? plan->seal.value : 0,
		.sequence = plan->sequence,
		.height = plan->height,
		.close = publish->close && is_last(plan),
		.first = (uint32_t)first_record(plan),
		.count = (uint32_t)count_records(plan),
		.of = (uint32_t)publish->count,
	};
	snprintf(item->chain, sizeof(item->chain), "%s", plan->cli->params->name);
	snprintf(item->label, sizeof(item->label), "%s", publish->object.label);
	snprintf(item->what, sizeof(item->what), "%s", publish->what);
	snprintf(item->batch, sizeof(item->batch), "%s", publish->batch);
}

/* Signed, on the disk, sent. *ret_why: the node refused it. */
static int send_built(struct plan *plan, char ret_why[static 128])
{
	_cleanup_(freep) char *hex = wallet_hex(&plan->draft.tx);
	struct outbox_item item;
	struct cli *cli = plan->cli;
	int r;

	set_item(plan, &item);
	item.raw = hex;
	r = hex ? journal_add(cli, &item) : cli_error(cli, CLI_FAILED, NULL, "out of memory");
	if (!r)
		r = wallet_send_hex(cli, hex, ret_why);
	if (r)
		return r;
	draft_unlock(cli, &plan->draft);
	if (*ret_why)
		return journal_mark(cli, &item.txid, OUTBOX_GONE, "refused");
	r = put_known(plan, &item);
	return r ? r : journal_mark(cli, &item.txid, OUTBOX_SENT, "");
}

/* From a sent transaction to what the next one spends. */
static void advance(struct plan *plan)
{
	const struct draft *draft = &plan->draft;
	char txid[HASH_TEXT_SIZE];

	hash_format(&draft->txid, txid);
	json_array_append_new(plan->txids, json_string(txid));
	json_array_append_new(plan->sent, summary_json(draft, plan->publish->records,
						       first_record(plan), count_records(plan)));
	plan->sent_count++;
	plan->sent_fee += draft->fee;
	plan->last = draft->txid;
	plan->seal.outpoint = (struct outpoint){.txid = draft->txid, .vout = 1};
	plan->seal.value = draft->tx.outputs[1].value;
	plan->spends = true;
	plan->sequence++;
	plan->next += draft->payload_count;
}

/* While the question was open another one may have spent a coin of it. */
static int send_one(struct plan *plan)
{
	struct cli *cli = plan->cli;
	unsigned conflicts = 0;
	char why[128];
	int r;

	for (;;) {
		r = plan->spends ? 0 : save_new_key(plan);
		if (!r)
			r = send_built(plan, why);
		if (r || !*why)
			return r;
		if (wallet_verdict(why) != WALLET_CONFLICT || ++conflicts == CONFLICTS_MAX)
			return wallet_refused(cli, why);
		cli_note(cli, "a coin of it was spent meanwhile; another one pays");
		r = look_again(plan);
		if (!r)
			r = build(plan);
		if (r)
			return r;
		set_id(plan);
	}
}

/* The first one is built already. */
static int send_all(struct plan *plan)
{
	int r = send_one(plan);

	if (!r)
		advance(plan);
	while (!r && plan->next < plan->payload_count) {
		r = build(plan);
		if (!r)
			r = send_one(plan);
		if (!r)
			advance(plan);
	}
	if (r && plan->sent_count)
		cli_note(plan->cli, "%zu transactions were sent, up to record %zu of %zu",
			 plan->sent_count, first_record(plan), plan->publish->count);
	return r;
}

static void print_result(struct plan *plan, bool seen)
{
	const struct publish *publish = plan->publish;
	char txid[HASH_TEXT_SIZE], amount[AMOUNT_TEXT_MAX];

	hash_format(&plan->last, txid);
	if (!plan->cli->json) {
		amount_format(plan->sent_fee, amount);
		printf("%s%s%s: sent%s\n", out_on(plan->cli, OUT_GREEN), publish->what,
		       out_off(plan->cli), seen ? ", and seen by chainwatch" : "");
		printf("  id    %s\n  txid  %s\n  fee   %s\n", publish->object.text, txid, amount);
		return;
	}
	out_json(json_pack("{s:s, s:s, s:s, s:s, s:O, s:I, s:b, s:b, s:O}", "id",
			   publish->object.text, "kind", object_kind_name(publish->object.kind),
			   "name", publish->object.label, "txid", txid, "txids", plan->txids, "fee",
			   (json_int_t)plan->sent_fee, "dry_run", 0, "seen", seen, "transactions",
			   plan->sent));
}

static int before_send(const struct publish *publish)
{
	return publish->before_send ? publish->before_send(publish->before_send_arg) : 0;
}

static int send_and_wait(struct plan *plan)
{
	bool seen = false;
	int r = ask(plan);

	if (!r)
		r = known_check(plan->cli);
	if (!r)
		r = before_send(plan->publish);
	if (r)
		draft_unlock(plan->cli, &plan->draft);
	else
		r = send_all(plan);
	keys_unlock(plan->cli);
	if (r)
		return r;
	r = watch_seen(plan->cli, &plan->last, &seen);
	print_result(plan, seen);
	if (r && !plan->cli->json)
		cli_error(plan->cli, r,
			  "it stays in the node's mempool; look with dnet pending and dnet history",
			  "chainwatch has not seen the transaction in time");
	return r;
}

/* One transaction, for who has the keys; of what it makes the key is in the keystore. The wallet's
 * coins stay locked until it is sent or dropped, or the node ends. */
static int write_psbt(struct plan *plan)
{
	const struct draft *draft = &plan->draft;
	struct cli *cli = plan->cli;
	json_t *transaction;
	int r;

	if (!is_last(plan)) {
		draft_unlock(cli, draft);
		return cli_error(cli, CLI_USAGE, "give fewer at once",
				 "that would be %zu transactions, and a PSBT is one",
				 transactions_left(plan));
	}
	r = plan->spends ? 0 : save_new_key(plan);
	if (!r)
		r = before_send(plan->publish);
	if (!r)
		r = psbt_file_new(cli, plan->psbt, draft, plan->spends ? &plan->seal : NULL,
				  &plan->multisig);
	if (r) {
		draft_unlock(cli, draft);
		return r;
	}
	if (!cli->json) {
		print_plan(plan);
		printf("written to %s: dnet psbt %s, then dnet psbt send\n", plan->psbt,
		       plan->spends ? "sign" : "finish where the coins are");
		return 0;
	}
	transaction = summary_json(draft, plan->publish->records, first_record(plan),
				   count_records(plan));
	out_json(json_pack("{s:s, s:s, s:s, s:[o]}", "id", plan->publish->object.text, "kind",
			   object_kind_name(plan->publish->object.kind), "psbt", plan->psbt,
			   "transactions", transaction));
	return 0;
}

static int nothing_left(struct plan *plan)
{
	keys_unlock(plan->cli);
	if (plan->cli->json)
		out_json(json_pack("{s:s, s:s, s:s, s:[], s:I, s:b, s:b, s:[]}", "id",
				   plan->publish->object.text, "kind",
				   object_kind_name(plan->publish->object.kind), "name",
				   plan->publish->object.label, "txids", "fee", (json_int_t)0,
				   "dry_run", (int)plan->dry, "seen", 1, "transactions"));
	else
		puts("all of it was sent before, or is in force: nothing to do");
	return 0;
}

int publish_run(struct cli *cli, const struct args *args, struct publish *publish)
{
	bool dry = args_has(args, "dry-run");
	struct plan plan = {.cli = cli,
			    .publish = publish,
			    .dry = dry,
			    .psbt = args_get(args, "psbt"),
			    .sent = json_array(),
			    .txids = json_array()};
	int r = checks_run(cli, publish);

	if (!r && !dry)
		r = keys_lock(cli);
	if (!r)
		r = prepare(&plan);
	if (!r)
		r = split_records(&plan);
	if (!r && !plan.payload_count) {
		r = nothing_left(&plan);
	} else if (!r) {
		r = build(&plan);
		if (!r)
			r = check_count(&plan);
		if (!r) {
			set_id(&plan);
			r = dry		? dry_run(&plan)
			    : plan.psbt ? write_psbt(&plan)
					: send_and_wait(&plan);
		}
	}
	plan_done(&plan);
	return r;
}
