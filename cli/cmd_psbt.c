#include "cli/input.h"
#include "cli/journal.h"
#include "cli/keys.h"
#include "cli/names.h"
#include "cli/out.h"
#include "cli/psbt_file.h"
#include "cli/rebuild.h"
#include "cli/summary.h"
#include "cli/wallet.h"
#include "cli/watch.h"
#include "core/amount.h"
#include "core/chainparams.h"
#include "os/chaindb.h"
#include "wire/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Transactions that several sign, or that are made where no key is: BIP174 in a file. */

enum {
	RECORDS_MAX = 1024,
	SIGNATURE_PAIR_MAX = 1 + 1 + PUBKEY_LEN + 1 + ECDSA_DER_MAX + 1,
};

static const struct arg_option sign_options[] = {
	{"out", 'o', "FILE", "write it there, and leave FILE as it is; - is standard output"},
	{0},
};

struct view {
	struct cli *cli;
	struct psbt_file file;
	struct draft draft; /* for the summary; fee: when known */
	bool fee_known;
	struct cli_object object; /* whose seal it spends, or that it makes; kind 0: not known */
	bool creates;
	uint32_t sequence;	/* of that seal */
	char trap[320];		/* why who signs it loses more than the records say; "": not so */
	struct record *records; /* owned */
	size_t record_count;
};

static void view_done(struct view *view)
{
	psbt_file_done(&view->file);
	free(view->records);
	free(view);
}

struct search {
	const struct outpoint *prev;
	struct cli_object *object; /* borrowed */
	uint32_t *sequence;
};

static bool known_outpoint(void *arg, const struct known_seal *known)
{
	struct search *search = arg;

	if (!outpoint_equal(&known->outpoint, search->prev))
		return false;
	search->object->kind = known->kind;
	search->object->id = known->id;
	*search->sequence = known->sequence;
	snprintf(search->object->label, sizeof(search->object->label), "%s", known->label);
	return true;
}

/* The one that is spent: in a block, or the newest. */
static int find_seal(struct cli *cli, const struct object_id *id, const struct outpoint *prev,
		     struct chaindb_seal *ret_seal)
{
	int r = chaindb_find_seal(cli->db, id, false, ret_seal);

	return !r && outpoint_equal(&ret_seal->outpoint, prev)
		       ? 0
		       : chaindb_find_seal(cli->db, id, true, ret_seal);
}

/* Whose seal an input spends; kind 0: nobody's that is known here. */
static int find_object(struct cli *cli, const struct outpoint *prev, struct cli_object *ret_object,
		       uint32_t *ret_sequence)
{
	_cleanup_(freep) struct chaindb_seal *seal = malloc(sizeof(*seal));
	struct search search = {prev, ret_object, ret_sequence};
	struct chaindb_object found;
	struct object_id id;
	int r = known_visit(cli, known_outpoint, &search);

	if (!r && !ret_object->kind && seal && !access(cli->conf.chain_db, F_OK)) {
		r = cli_db(cli);
		if (!r && !chaindb_find_seal_owner(cli->db, prev, &id) &&
		    !chaindb_find_object(cli->db, &id, &found) &&
		    !find_seal(cli, &id, prev, seal)) {
			ret_object->kind = found.kind;
			ret_object->id = id;
			*ret_sequence = seal->sequence;
			snprintf(ret_object->label, sizeof(ret_object->label), "%s", found.name);
		}
	}
	if (ret_object->kind)
		names_fill_text(ret_object);
	return r;
}

/* What it makes, where it spends nobody's seal. */
static void find_created(struct view *view)
{
	const struct record *first = &view->records[0];
	struct cli_object *object = &view->object;

	view->creates = view->record_count && !object->kind && record_is_create(first->type);
	if (!view->creates)
		return;
	object->kind = record_creates(first->type);
	object_id_derive(object->kind, &view->file.tx.inputs[0].prev, &object->id);
	snprintf(object->label, sizeof(object->label), "%s",
		 object->kind == OBJECT_DNET ? first->dnet_create.name
					     : first->service_create.name);
	names_fill_text(object);
}

static bool has_record(const struct view *view, enum record_type type)
{
	for (size_t i = 0; i < view->record_count; i++)
		if (view->records[i].type == type)
			return true;
	return false;
}

/* The chain asks for no record when a seal changes hands (RECORDS 3.3), or ends its object
 * (RECORDS 3.4): so who hands a PSBT round could hide that behind a harmless one. */
static int find_trap(struct view *view)
{
	const struct txbuild *tx = &view->file.tx;
	char address[NAMES_SCRIPT_SIZE];
	struct psbt_coin coin;
	int r = 0;

	for (size_t i = 1; !r && i < tx->input_count; i++) {
		struct cli_object other = {0};
		uint32_t sequence;

		r = find_object(view->cli, &tx->inputs[i].prev, &other, &sequence);
		if (!r && other.kind) {
			snprintf(view->trap, sizeof(view->trap),
				 "input %zu spends the seal of %s %s, which ends it for good", i,
				 names_kind(other.kind), other.text);
			return 0;
		}
	}
	if (r || view->creates || has_record(view, RECORD_CLOSE) ||
	    has_record(view, RECORD_TRANSFER))
		return r;
	names_script(view->cli, tx->outputs[1].script, tx->outputs[1].script_len, address);
	if (!view->record_count || tx->output_count < 2)
		snprintf(view->trap, sizeof(view->trap),
			 "it has no record: an object whose seal it spends ends for good");
	else if (psbtsign_coin(&view->file.psbt, 0, &coin) &&
		 (coin.script.len != tx->outputs[1].script_len ||
		  memcmp(coin.script.data, tx->outputs[1].script, coin.script.len) != 0))
		snprintf(view->trap, sizeof(view->trap),
			 "it gives the seal to %s, and no record says so", address);
	return 0;
}

static void find_fee(struct view *view)
{
	uint64_t sum = 0, out = txbuild_output_sum(&view->file.tx);
	struct psbt_coin coin;

	view->fee_known = true;
	for (size_t i = 0; i < view->file.tx.input_count; i++) {
		if (!psbtsign_coin(&view->file.psbt, i, &coin) || coin.value > AMOUNT_MAX) {
			view->fee_known = false;
			return;
		}
		sum += coin.value;
	}
	view->fee_known = sum >= out;
	view->draft.fee = view->fee_known ? sum - out : 0;
}

static int refresh(struct view *view)
{
	view->draft.tx = view->file.tx;
	view->draft.spends = view->object.kind && !view->creates;
	txbuild_txid(&view->file.tx, &view->draft.txid);
	find_fee(view);
	return 0;
}

static int open_view(struct cli *cli, const char *path, struct view **ret_view)
{
	struct view *view = calloc(1, sizeof(*view));
	int r;

	*ret_view = view;
	if (!view || !(view->records = calloc(RECORDS_MAX, sizeof(*view->records))))
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	view->cli = cli;
	r = cli_params(cli);
	if (!r)
		r = cli_id(cli);
	if (!r)
		r = psbt_file_read(cli, path, &view->file);
	if (r)
		return r;
	view->record_count = rebuild_records(&view->file.tx, view->records, RECORDS_MAX);
	if (view->record_count > RECORDS_MAX)
		view->record_count = RECORDS_MAX;
	r = find_object(cli, &view->file.tx.inputs[0].prev, &view->object, &view->sequence);
	if (!r) {
		find_created(view);
		r = find_trap(view);
	}
	return r ? r : refresh(view);
}

static bool is_finished(const struct view *view, size_t i)
{
	struct span value;

	return psbt_find(&view->file.psbt, psbt_input(i), PSBT_IN_FINAL_WITNESS, NULL, 0, &value) ||
	       psbt_find(&view->file.psbt, psbt_input(i), PSBT_IN_FINAL_SCRIPT, NULL, 0, &value);
}

/* "1 of 2 signatures"; ret is for what is no constant. */
static const char *input_state(const struct view *view, size_t i, char ret[static 48])
{
	const struct psbt *psbt = &view->file.psbt;
	struct multisig multisig;
	struct psbt_pair pair;
	size_t count = 0;
	struct reader r;

	if (is_finished(view, i))
		return "signed";
	if (psbtsign_multisig(psbt, i, &multisig)) {
		snprintf(ret, 48, "%zu of %u signatures", psbtsign_count(psbt, i), multisig.need);
		return ret;
	}
	reader_init(&r, psbt->maps[psbt_input(i)].data, psbt->maps[psbt_input(i)].len);
	while (psbt_next(&r, &pair))
		count += pair.type == PSBT_IN_SIGNATURE;
	return count ? "signed" : "not signed";
}

static json_t *view_json(const struct view *view, const char *path)
{
	json_t *inputs = json_array();
	char state[48], txid[HASH_TEXT_SIZE];

	for (size_t i = 0; i < view->file.tx.input_count; i++) {
		struct psbt_coin coin = {0};
		bool known = psbtsign_coin(&view->file.psbt, i, &coin);

		hash_format(&view->file.tx.inputs[i].prev.txid, txid);
		json_array_append_new(
			inputs,
			json_pack("{s:s, s:I, s:o, s:s}", "txid", txid, "vout",
				  (json_int_t)view->file.tx.inputs[i].prev.vout, "value",
				  known ? json_integer((json_int_t)coin.value) : json_null(),
				  "state", input_state(view, i, state)));
	}
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "psbt", path, "warning", view->trap,
			 "id", view->object.kind ? view->object.text : "", "fee",
			 view->fee_known ? json_integer((json_int_t)view->draft.fee) : json_null(),
			 "inputs", inputs, "transaction",
			 summary_json(&view->draft, view->records, 0, view->record_count));
}

static void print_outputs(const struct view *view)
{
	const struct txbuild *tx = &view->file.tx;
	char address[NAMES_SCRIPT_SIZE];

	for (size_t i = 0; i < tx->output_count; i++) {
		if (tx->outputs[i].script_len && tx->outputs[i].script[0] == OP_RETURN)
			continue;
		names_script(view->cli, tx->outputs[i].script, tx->outputs[i].script_len, address);
		printf("  output %zu  to %s\n", i, address);
	}
}

static void print_view(const struct view *view)
{
	char state[48], amount[AMOUNT_TEXT_MAX];

	if (view->object.kind)
		printf("%s%s %s %s\n", view->creates ? "makes " : "", names_kind(view->object.kind),
		       view->object.text, view->object.label);
	else
		puts("it spends no seal that is known here");
	summary_print(view->cli, &view->draft, view->records, 0, view->record_count, false);
	for (size_t i = 0; i < view->file.tx.input_count; i++) {
		struct psbt_coin coin;

		if (psbtsign_coin(&view->file.psbt, i, &coin) && coin.value <= AMOUNT_MAX)
			amount_format(coin.value, amount);
		else
			snprintf(amount, sizeof(amount), "not known");
		printf("  input %zu  %s  %s\n", i, amount, input_state(view, i, state));
	}
	print_outputs(view);
	if (view->trap[0])
		printf("%sbeware: %s%s\n", out_on(view->cli, OUT_YELLOW), view->trap,
		       out_off(view->cli));
	if (!view->fee_known)
		puts("  the fee is not known: dnet psbt finish asks the node for what its inputs "
		     "have");
}

static int run_show(struct cli *cli, const struct args *args)
{
	struct view *view;
	int r = open_view(cli, args->words[0], &view);

	if (!r && cli->json)
		out_json(view_json(view, args->words[0]));
	else if (!r)
		print_view(view);
	if (view)
		view_done(view);
	return r;
}

static int ask(struct view *view, const char *question)
{
	struct cli *cli = view->cli;
	int r;

	if (cli->yes)
		return 0;
	r = input_can_ask(cli, "give --yes, or dnet psbt show to look first", "nothing was done");
	if (r)
		return r;
	print_view(view);
	return input_ask(cli, question, "nothing was done");
}

/* All inputs that a key of the keystore may sign. */
static int sign_with(struct view *view, const struct identity *identity, size_t *signatures)
{
	struct cli *cli = view->cli;

	for (size_t i = 0; i < view->file.tx.input_count; i++) {
		size_t size = view->file.len + SIGNATURE_PAIR_MAX;
		uint8_t *bytes;
		struct writer w;
		int r;

		if (!psbtsign_wants(&view->file.psbt, i, &identity->key))
			continue;
		if (i) /* keys of a keystore have nothing but seals */
			return cli_error(cli, CLI_DENIED, "ask who made it",
					 "input %zu spends a seal, which ends its object for good",
					 i);
		bytes = malloc(size);
		if (!bytes)
			return cli_error(cli, CLI_FAILED, NULL, "out of memory");
		writer_init(&w, bytes, size);
		if (!psbtsign_input(&view->file.psbt, &view->file.tx, i, cli->id, identity, &w) ||
		    w.failed) {
			free(bytes);
			return cli_error(cli, CLI_DENIED, NULL,
					 "input %zu asks for another kind of signature than of the "
					 "whole transaction",
					 i);
		}
		r = psbt_file_set(cli, &view->file, bytes, writer_len(&w));
		if (r)
			return r;
		(*signatures)++;
	}
	return 0;
}

static int sign_all(struct view *view, const struct keystore *keystore, bool only_look,
		    size_t *signatures)
{
	struct cli *cli = view->cli;
	int r = 0;

	for (size_t i = 0; !r && i < keystore->count; i++) {
		const struct keystore_entry *entry = &keystore->entries[i];
		struct identity identity;

		if (strcmp(entry->chain, cli->params->name) != 0 ||
		    id_from_secret(cli->id, &entry->secret, &identity))
			continue;
		for (size_t j = 0; only_look && j < view->file.tx.input_count; j++)
			*signatures += psbtsign_wants(&view->file.psbt, j, &identity.key);
		if (!only_look)
			r = sign_with(view, &identity, signatures);
		secret_wipe(&identity, sizeof(identity));
	}
	return r;
}

static int finish_output(struct view *view, const struct args *args)
{
	const char *path = args_get(args, "out");
	int r;

	path = path ? path : args->words[0];
	r = psbt_file_write(view->cli, path, view->file.bytes, view->file.len);
	if (r || !strcmp(path, "-"))
		return r;
	if (view->cli->json)
		out_json(view_json(view, path));
	else
		printf("written to %s\n", path);
	return 0;
}

static int run_sign(struct cli *cli, const struct args *args)
{
	struct keystore keystore = {0};
	size_t wanted = 0, signatures = 0;
	struct view *view;
	int r = open_view(cli, args->words[0], &view);

	if (!r)
		r = keys_load(cli, &keystore);
	if (!r)
		r = sign_all(view, &keystore, true, &wanted);
	if (!r && !wanted)
		r = cli_error(cli, CLI_DENIED,
			      "use the keystore of an owner that has not signed: --keystore FILE",
			      "no key of %s has anything to sign in it", cli->conf.keystore);
	if (!r && view->trap[0])
		r = cli_error(cli, CLI_DENIED,
			      "ask who made it; dnet transfer and dnet close say what they do",
			      "%s", view->trap);
	if (!r)
		r = ask(view, "sign it");
	if (!r)
		r = sign_all(view, &keystore, false, &signatures);
	if (!r)
		r = finish_output(view, args);
	keystore_done(&keystore);
	if (view)
		view_done(view);
	return r;
}

static int combine(struct view *view, const char *path)
{
	struct psbt_file *other = calloc(1, sizeof(*other));
	struct cli *cli = view->cli;
	uint8_t *bytes = NULL;
	struct writer w;
	int r = other ? psbt_file_read(cli, path, other) : CLI_FAILED;

	if (!r && !psbt_same(&view->file.psbt, &other->psbt))
		r = cli_error(cli, CLI_USAGE, "dnet psbt show says what each is",
			      "%s is of another transaction", path);
	if (!r) {
		size_t size = view->file.len + other->len;

		bytes = malloc(size);
		if (bytes) {
			writer_init(&w, bytes, size);
			psbt_combine(&w, &view->file.psbt, &other->psbt);
			r = psbt_file_set(cli, &view->file, bytes, writer_len(&w));
		} else {
			r = cli_error(cli, CLI_FAILED, NULL, "out of memory");
		}
	}
	if (other)
		psbt_file_done(other);
	free(other);
	return r;
}

static int run_combine(struct cli *cli, const struct args *args)
{
	struct view *view;
	int r = open_view(cli, args->words[0], &view);

	for (size_t i = 1; !r && i < args->count; i++)
		r = combine(view, args->words[i]);
	if (!r)
		r = refresh(view);
	if (!r)
		r = finish_output(view, args);
	if (view)
		view_done(view);
	return r;
}

static int run_finish(struct cli *cli, const struct args *args)
{
	struct view *view;
	int r = open_view(cli, args->words[0], &view);

	if (!r)
		r = wallet_check(cli);
	if (!r)
		r = psbt_file_process(cli, &view->file, true);
	if (!r)
		r = refresh(view);
	if (!r)
		r = finish_output(view, args);
	if (view)
		view_done(view);
	return r;
}

/* What made the same sequence of the object before (dnet bump --psbt). */
static int mark_replaced(struct cli *cli, const struct outbox *outbox,
			 const struct outbox_item *item)
{
	char txid[HASH_TEXT_SIZE];
	int r = 0;

	hash_format(&item->txid, txid);
	for (size_t i = 0; !r && i < outbox->count; i++) {
		const struct outbox_item *other = &outbox->items[i];

		if (other->state != OUTBOX_GONE && other->sequence == item->sequence &&
		    !strcmp(other->chain, item->chain) && object_id_equal(&other->id, &item->id) &&
		    memcmp(&other->txid, &item->txid, HASH_LEN) != 0)
			r = journal_mark(cli, &other->txid, OUTBOX_GONE, txid);
	}
	return r;
}

/* All inputs but a seal are the wallet's. */
static void unlock_coins(const struct view *view)
{
	wallet_unlock(view->cli, &view->file.tx,
		      view->draft.spends ? &view->file.tx.inputs[0].prev : NULL);
}

static int run_drop(struct cli *cli, const struct args *args)
{
	struct view *view;
	int r = open_view(cli, args->words[0], &view);

	if (!r)
		r = wallet_check(cli);
	if (!r)
		unlock_coins(view);
	if (!r && cli->json)
		out_json(json_pack("{s:s, s:I}", "psbt", args->words[0], "inputs",
				   (json_int_t)view->file.tx.input_count));
	else if (!r)
		printf("the wallet may spend its coins in %s again; remove the file\n",
		       args->words[0]);
	if (view)
		view_done(view);
	return r;
}

static int keep_and_send(struct view *view, char *hex)
{
	const struct record *last =
		view->record_count ? &view->records[view->record_count - 1] : NULL;
	struct cli *cli = view->cli;
	struct outbox_item item = {.kind = view->object.kind,
				   .id = view->object.id,
				   .raw = hex,
				   .txid = view->draft.txid,
				   .fee = view->draft.fee,
				   .sequence = view->creates ? 0 : view->sequence + 1,
				   .close = last && last->type == RECORD_CLOSE,
				   .foreign = true};
	struct known_seal known = {.kind = item.kind,
				   .id = item.id,
				   .outpoint = {.txid = item.txid, .vout = 1},
				   .value = view->file.tx.outputs[1].value,
				   .sequence = item.sequence,
				   .closed = item.close};
	struct outbox outbox;
	char why[128];
	int r = keys_lock(cli);

	snprintf(item.chain, sizeof(item.chain), "%s", cli->params->name);
	snprintf(item.label, sizeof(item.label), "%.32s", view->object.label);
	snprintf(item.what, sizeof(item.what), "send a PSBT for %.60s", view->object.label);
	memcpy(known.label, item.label, sizeof(known.label));
	if (!r)
		r = journal_load(cli, &outbox);
	if (r)
		return r;
	r = wallet_height(cli, &item.height);
	if (!r)
		r = journal_add(cli, &item);
	if (!r)
		r = wallet_send_hex(cli, hex, why);
	if (!r && *why) {
		journal_mark(cli, &item.txid, OUTBOX_GONE, "refused");
		r = wallet_refused(cli, why);
	}
	if (!r)
		r = known_put(cli, &known);
	if (!r)
		r = journal_mark(cli, &item.txid, OUTBOX_SENT, "");
	if (!r)
		r = mark_replaced(cli, &outbox, &item);
	if (!r)
		unlock_coins(view);
	outbox_done(&outbox);
	keys_unlock(cli);
	return r;
}

static int run_send(struct cli *cli, const struct args *args)
{
	char txid[HASH_TEXT_SIZE], why[128];
	char *hex = NULL;
	bool seen = false;
	struct view *view;
	int r = open_view(cli, args->words[0], &view);

	if (!r && !view->object.kind)
		r = cli_error(cli, CLI_NOT_FOUND, "is chainwatch up to date? See dnet chain",
			      "it spends no seal that is known here");
	if (!r)
		r = wallet_check(cli);
	if (!r)
		r = psbt_file_process(cli, &view->file, true);
	if (!r)
		r = refresh(view);
	if (!r)
		r = psbt_file_extract(cli, &view->file, &hex);
	if (!r)
		r = wallet_test_hex(cli, hex, why);
	if (!r && *why)
		r = wallet_refused(cli, why);
	if (!r)
		r = ask(view, "send it");
	if (!r)
		r = keep_and_send(view, hex);
	if (!r) {
		r = watch_seen(cli, &view->draft.txid, &seen);
		hash_format(&view->draft.txid, txid);
		if (cli->json)
			out_json(json_pack("{s:s, s:s, s:I, s:b}", "id", view->object.text, "txid",
					   txid, "fee", (json_int_t)view->draft.fee, "seen",
					   (int)seen));
		else
			printf("sent%s: %s\n", seen ? ", and seen by chainwatch" : "", txid);
	}
	free(hex);
	if (view)
		view_done(view);
	return r;
}

const struct cli_command cli_commands_psbt[] = {
	{"psbt show", "FILE", "says what a PSBT would write, pay and spend", NULL, 1, 1, false,
	 run_show},
	{"psbt sign", "FILE", "signs what the keystore has keys for", sign_options, 1, 1, false,
	 run_sign},
	{"psbt combine", "FILE FILE...", "puts the signatures of several into the first",
	 sign_options, 2, ARGS_MAX, false, run_combine},
	{"psbt finish", "FILE", "lets the node's wallet sign its inputs", sign_options, 1, 1, false,
	 run_finish},
	{"psbt drop", "FILE", "gives one up: the wallet may spend its coins again", NULL, 1, 1,
	 false, run_drop},
	{"psbt send", "FILE", "sends it when all signatures are there", NULL, 1, 1, false,
	 run_send},
	{0},
};
