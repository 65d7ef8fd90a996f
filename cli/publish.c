#include "cli/publish.h"

#include "cli/checks.h"
#include "cli/keys.h"
#include "cli/out.h"
#include "cli/records.h"
#include "cli/wallet.h"
#include "core/amount.h"
#include "core/chainparams.h"
#include "core/txbuild.h"
#include "os/chaindb.h"
#include "os/clock.h"
#include "os/ctl.h"
#include "os/rand.h"
#include "wire/describe.h"
#include "wire/hex.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One command may need several transactions: payloads hold 80 bytes. Each spends the seal that the
 * one before made, and may be paid from its change, so each is built when the one before is sent;
 * their records are split and shown before the first. */

enum {
	TRANSACTIONS_MAX = 16,
	POLL_MS = 50,
	CALL_MS = 1000,
};

const struct arg_option publish_options[] = {
	{"dry-run", 'n', NULL, "show records, inputs, outputs, fee and size, and send nothing"},
	{0},
};

struct publish *publish_new(struct cli *cli, const char *format, ...)
{
	struct publish *publish = calloc(1, sizeof(*publish));
	va_list args;

	if (!publish) {
		cli_error(cli, CLI_FAILED, NULL, "out of memory");
		return NULL;
	}
	va_start(args, format);
	vsnprintf(publish->what, sizeof(publish->what), format, args);
	va_end(args);
	return publish;
}

struct record *publish_add(struct publish *publish, enum record_type type)
{
	struct record *record;

	if (publish->count == PUBLISH_RECORDS_MAX)
		return NULL;
	record = &publish->records[publish->count++];
	record->type = (uint8_t)type;
	return record;
}

struct plan_tx {
	uint8_t payload[PAYLOAD_MAX];
	size_t payload_len;
	size_t first_record, record_count;
	struct txbuild tx;
	uint8_t *raw; /* owned; what tx borrows */
	uint8_t witness[TXBUILD_WITNESS_MAX];
	uint64_t fee;
	struct hash256 txid;
};

struct plan {
	struct cli *cli;
	struct publish *publish;
	bool dry;
	struct identity owner;	     /* key of the current seal */
	struct keystore_entry entry; /* of a CREATE: its new key */
	struct keystore keystore;
	struct outpoint seal; /* what the next transaction spends */
	uint64_t seal_value;
	uint32_t sequence; /* that the next transaction makes */
	uint64_t rate, max_fee;
	struct plan_tx *txs; /* owned */
	size_t tx_count;
};

static void plan_done(struct plan *plan)
{
	for (size_t i = 0; i < plan->tx_count; i++)
		free(plan->txs[i].raw);
	free(plan->txs);
	keystore_done(&plan->keystore);
	secret_wipe(&plan->owner, sizeof(plan->owner));
	secret_wipe(&plan->entry, sizeof(plan->entry));
}

/* As many records as fit go into one payload. */
static int split_records(struct plan *plan)
{
	const struct publish *publish = plan->publish;
	size_t next = 0;

	plan->txs = calloc(TRANSACTIONS_MAX, sizeof(*plan->txs));
	if (!plan->txs)
		return cli_error(plan->cli, CLI_FAILED, NULL, "out of memory");
	while (next < publish->count) {
		struct plan_tx *tx = &plan->txs[plan->tx_count];
		struct writer w;

		if (plan->tx_count == TRANSACTIONS_MAX)
			return cli_error(plan->cli, CLI_USAGE, "give fewer at once",
					 "that would be more than %d transactions",
					 TRANSACTIONS_MAX);
		tx->first_record = next;
		payload_begin(&w, tx->payload);
		while (next < publish->count) {
			struct writer before = w;

			record_write(&w, &publish->records[next]);
			if (w.failed) {
				w = before;
				break;
			}
			next++;
		}
		tx->record_count = next - tx->first_record;
		tx->payload_len = payload_finish(&w);
		if (!tx->record_count || !tx->payload_len)
			return cli_error(plan->cli, CLI_FAILED, NULL,
					 "a record that cannot be written (%s)",
					 record_type_name(publish->records[next].type));
		plan->tx_count++;
	}
	return 0;
}

static int not_owner(struct plan *plan)
{
	return cli_error(plan->cli, CLI_DENIED, "use the keystore of its owner: --keystore FILE",
			 "the keystore %s has no "
			 "key for %s %s",
			 plan->cli->conf.keystore, names_kind(plan->publish->object.kind),
			 plan->publish->object.text);
}

static int load_owner(struct plan *plan)
{
	struct cli *cli = plan->cli;
	const struct keystore_entry *entry;
	int r = keys_load(cli, &plan->keystore);

	if (r)
		return r;
	entry = keystore_find(&plan->keystore, cli->params->name, &plan->publish->object.id);
	if (!entry)
		return not_owner(plan);
	return id_from_secret(cli->id, &entry->secret, &plan->owner) ? not_owner(plan) : 0;
}

struct candidate {
	struct outpoint outpoint;
	uint32_t sequence;
};

static int closed_already(struct plan *plan)
{
	return cli_error(plan->cli, CLI_FAILED, "create a new one", "%s %s is closed",
			 names_kind(plan->publish->object.kind), plan->publish->object.text);
}

/* The newest seal by chain.db. 0, -ENOENT (also without a chain.db, when we know one ourselves),
 * -ENOLINK, or an exit code. */
static int seal_in_db(struct plan *plan, bool have_known, struct candidate *ret)
{
	_cleanup_(freep) struct chaindb_seal *seal = malloc(sizeof(*seal));
	struct cli *cli = plan->cli;
	int r;

	if (!seal)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	if (have_known && access(cli->conf.chain_db, F_OK))
		return -ENOENT;
	r = cli_db(cli);
	if (r)
		return r;
	r = chaindb_find_seal(cli->db, &plan->publish->object.id, true, seal);
	if (r == -ENOENT || r == -ENOLINK)
		return r;
	if (r)
		return cli_error(cli, CLI_FAILED, NULL, "%s", chaindb_error(cli->db));
	*ret = (struct candidate){seal->outpoint, seal->sequence};
	return 0;
}

/* What may be the newest seal, the likelier first: the one that we made last, which chainwatch may
 * not have seen yet, and chain.db's, in case that ours went from the mempool. */
static int find_candidates(struct plan *plan, struct candidate ret[static 2], size_t *ret_count)
{
	struct known_seal known;
	bool have_known = known_find(plan->cli, &plan->publish->object.id, &known);
	struct candidate in_db;
	size_t count = 0;
	int r = seal_in_db(plan, have_known, &in_db);

	if (r > 0)
		return r;
	if (r == -ENOLINK)
		return closed_already(plan);
	if (have_known && !known.closed && (r || known.sequence > in_db.sequence))
		ret[count++] = (struct candidate){known.outpoint, known.sequence};
	if (!r)
		ret[count++] = in_db;
	if (!count && have_known)
		return closed_already(plan);
	if (!count)
		return cli_error(plan->cli, CLI_NOT_FOUND,
				 "is chainwatch up to date? See dnet chain",
				 "no seal of %s is known", plan->publish->object.text);
	*ret_count = count;
	return 0;
}

/* The node has the last word on whether the seal is there, what it holds and whose it is. */
static int choose_seal(struct plan *plan)
{
	struct wallet_coin coin = {0};
	struct candidate seals[2];
	uint8_t script[P2WPKH_LEN];
	size_t count = 0, i;
	int r = find_candidates(plan, seals, &count);

	for (i = 0; !r && i < count; i++) {
		r = wallet_coin(plan->cli, &seals[i].outpoint, &coin);
		if (coin.unspent)
			break;
	}
	if (r)
		return r;
	if (!coin.unspent)
		return cli_error(
			plan->cli, CLI_FAILED,
			"wait until chainwatch has caught up (dnet chain), and run it again",
			"the seal of %s has been spent already, or its transaction is gone",
			plan->publish->object.text);
	txbuild_p2wpkh(&plan->owner.key, script);
	if (coin.script_len != sizeof(script) || memcmp(coin.script, script, sizeof(script)) != 0)
		return cli_error(plan->cli, CLI_DENIED, "it has been transferred",
				 "the seal of %s belongs to another key than the one in %s",
				 plan->publish->object.text, plan->cli->conf.keystore);
	plan->seal = seals[i].outpoint;
	plan->seal_value = coin.value;
	plan->sequence = seals[i].sequence + 1;
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
	if (!r && (!amount_parse(cli->conf.max_fee, &plan->max_fee)))
		r = cli_error(cli, CLI_USAGE, "for example --max-fee 0.001",
			      "\"%s\" is not an amount in coins", cli->conf.max_fee);
	if (!r)
		r = wallet_fee_rate(cli, &plan->rate);
	if (r)
		return r;
	if (plan->publish->create) {
		r = new_owner(plan);
	} else {
		r = load_owner(plan);
		if (!r)
			r = choose_seal(plan);
	}
	return r ? r : split_records(plan);
}

static int new_seal_script(struct plan *plan, bool last, uint8_t ret_script[static 34],
			   size_t *ret_len)
{
	const struct publish *publish = plan->publish;

	if (last && publish->close)
		return wallet_new_script(plan->cli, ret_script, ret_len);
	if (last && publish->seal_script_len) {
		memcpy(ret_script, publish->seal_script, publish->seal_script_len);
		*ret_len = publish->seal_script_len;
		return 0;
	}
	txbuild_p2wpkh(&plan->owner.key, ret_script);
	*ret_len = P2WPKH_LEN;
	return 0;
}

static int splice(struct plan *plan, struct plan_tx *planned)
{
	uint64_t before = txbuild_output_sum(&planned->tx);

	if (txbuild_splice_seal(&planned->tx, &plan->seal, plan->seal_value, plan->rate,
				plan->cli->params->dust))
		return cli_error(plan->cli, CLI_FUNDS,
				 "join the wallet's coins, or lower "
				 "--fee-rate",
				 "the seal's input cannot be paid");
	planned->fee += before + plan->seal_value - txbuild_output_sum(&planned->tx);
	return 0;
}

static int check_fee(struct plan *plan, const struct plan_tx *planned)
{
	char fee[AMOUNT_TEXT_MAX];

	if (planned->fee <= plan->max_fee)
		return 0;
	amount_format(planned->fee, fee);
	return cli_error(plan->cli, CLI_FUNDS, "raise --max-fee, or lower --fee-rate",
			 "the fee of %s coins is over the cap of %s", fee, plan->cli->conf.max_fee);
}

static int build(struct plan *plan, struct plan_tx *planned, bool last)
{
	bool spends = !plan->publish->create || planned != plan->txs;
	_cleanup_(freep) uint8_t *funded = malloc(TXBUILD_RAW_MAX);
	struct cli *cli = plan->cli;
	struct txbuild carrier;
	uint8_t script[34];
	size_t script_len;
	int r;

	planned->raw = malloc(TXBUILD_RAW_MAX);
	if (!funded || !planned->raw)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	r = new_seal_script(plan, last, script, &script_len);
	if (r)
		return r;
	txbuild_carrier(&carrier, planned->payload, planned->payload_len, script, script_len,
			cli->params->seal);
	r = wallet_fund(cli, &carrier, plan->rate, funded, &planned->tx, &planned->fee);
	if (!r && spends)
		r = splice(plan, planned);
	if (!r)
		r = check_fee(plan, planned);
	if (!r)
		r = wallet_sign(cli, &planned->tx, spends ? 0 : SIZE_MAX, planned->raw);
	if (r)
		return r;
	if (spends && !txbuild_sign(&planned->tx, 0, cli->id, &plan->owner, plan->seal_value,
				    planned->witness))
		return cli_error(cli, CLI_FAILED, NULL, "cannot sign the seal");
	txbuild_txid(&planned->tx, &planned->txid);
	return 0;
}

/* From a built transaction to what the next one spends. */
static void advance(struct plan *plan, const struct plan_tx *planned)
{
	struct cli_object *object = &plan->publish->object;

	if (plan->publish->create && planned == plan->txs) {
		object_id_derive(object->kind, &planned->tx.inputs[0].prev, &object->id);
		names_fill_text(object);
		plan->sequence = 0;
	}
	plan->seal = (struct outpoint){.txid = planned->txid, .vout = 1};
	plan->seal_value = planned->tx.outputs[1].value;
}

static json_t *transaction_json(const struct plan *plan, const struct plan_tx *planned)
{
	json_t *records = json_array(), *inputs = json_array(), *outputs = json_array();
	char txid[HASH_TEXT_SIZE], script[2 * TXBUILD_SCRIPT_MAX + 1];
	const struct txbuild *tx = &planned->tx;

	for (size_t i = 0; i < planned->record_count; i++)
		json_array_append_new(
			records, record_json(&plan->publish->records[planned->first_record + i]));
	if (!planned->raw) {
		json_decref(inputs);
		json_decref(outputs);
		return json_pack("{s:o}", "records", records);
	}
	for (size_t i = 0; i < tx->input_count; i++) {
		hash_format(&tx->inputs[i].prev.txid, txid);
		json_array_append_new(inputs, json_pack("{s:s, s:I}", "txid", txid, "vout",
							(json_int_t)tx->inputs[i].prev.vout));
	}
	for (size_t i = 0; i < tx->output_count; i++) {
		hex_format(tx->outputs[i].script, tx->outputs[i].script_len, script);
		json_array_append_new(outputs, json_pack("{s:I, s:s}", "value",
							 (json_int_t)tx->outputs[i].value, "script",
							 script));
	}
	hash_format(&planned->txid, txid);
	return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "txid", txid, "fee",
			 (json_int_t)planned->fee, "vsize", (json_int_t)txbuild_vsize(tx),
			 "records", records, "inputs", inputs, "outputs", outputs);
}

static void print_transaction(const struct plan *plan, const struct plan_tx *planned)
{
	static const char *const roles[] = {"record", "seal", "change"};
	const struct txbuild *tx = &planned->tx;
	const struct cli *cli = plan->cli;
	bool spends = !plan->publish->create || planned != plan->txs;
	char txid[HASH_TEXT_SIZE], amount[AMOUNT_TEXT_MAX], line[RECORD_TEXT_SIZE];

	hash_format(&planned->txid, txid);
	printf("%stransaction %s%s\n", out_on(cli, OUT_BOLD),
	       planned->raw ? txid : "after that, paid from its change", out_off(cli));
	for (size_t i = 0; i < planned->record_count; i++) {
		record_describe(&plan->publish->records[planned->first_record + i], line);
		printf("  record  %s\n", line);
	}
	if (!planned->raw)
		return;
	for (size_t i = 0; i < tx->input_count; i++) {
		hash_format(&tx->inputs[i].prev.txid, txid);
		printf("  input   %s:%u%s\n", txid, tx->inputs[i].prev.vout,
		       spends && !i ? "  the seal" : "");
	}
	for (size_t i = 0; i < tx->output_count; i++) {
		amount_format(tx->outputs[i].value, amount);
		printf("  output  %s  %s\n", amount,
		       i == 1 && plan->publish->close ? "back to the wallet"
						      : roles[i < 2 ? i : 2]);
	}
	amount_format(planned->fee, amount);
	printf("  fee     %s coins for %zu virtual bytes\n", amount, txbuild_vsize(tx));
}

static int dry_run(struct plan *plan)
{
	json_t *transactions;
	char why[128];
	int r;

	r = wallet_test(plan->cli, &plan->txs[0].tx, why);
	if (r)
		return r;
	if (*why)
		return cli_error(plan->cli, CLI_FAILED, NULL,
				 "the chain node would refuse the transaction: %s", why);
	if (!plan->cli->json) {
		for (size_t i = 0; i < plan->tx_count; i++)
			print_transaction(plan, &plan->txs[i]);
		puts("dry run: nothing was sent");
		return 0;
	}
	transactions = json_array();
	for (size_t i = 0; i < plan->tx_count; i++)
		json_array_append_new(transactions, transaction_json(plan, &plan->txs[i]));
	out_json(json_pack("{s:s, s:s, s:b, s:o}", "id", plan->publish->object.text, "kind",
			   object_kind_name(plan->publish->object.kind), "dry_run", 1,
			   "transactions", transactions));
	return 0;
}

static int ask(struct plan *plan)
{
	char line[16];

	if (plan->cli->yes)
		return 0;
	if (!isatty(STDIN_FILENO))
		return cli_error(plan->cli, CLI_ABORTED, "give --yes, or --dry-run to look first",
				 "there is no terminal to ask on; nothing was sent");
	for (size_t i = 0; i < plan->tx_count; i++)
		print_transaction(plan, &plan->txs[i]);
	printf("%s? [y/N] ", plan->publish->what);
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y'))
		return 0;
	return cli_error(plan->cli, CLI_ABORTED, NULL, "nothing was sent");
}

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

static int send_one(struct plan *plan, struct plan_tx *planned, bool last)
{
	const struct publish *publish = plan->publish;
	struct known_seal known = {
		.kind = publish->object.kind,
		.id = publish->object.id,
		.outpoint = {.txid = planned->txid, .vout = 1},
		.value = planned->tx.outputs[1].value,
		.sequence = plan->sequence,
		.closed = publish->close && last,
	};
	int r = wallet_send(plan->cli, &planned->tx);

	snprintf(known.label, sizeof(known.label), "%s", publish->object.label);
	plan->sequence++;
	return r ? r : known_put(plan->cli, &known);
}

/* The first one is built already. */
static int send_all(struct plan *plan)
{
	int r = 0;

	for (size_t i = 0; !r && i < plan->tx_count; i++) {
		bool last = i + 1 == plan->tx_count;

		if (i)
			r = build(plan, &plan->txs[i], last);
		if (!r && i)
			advance(plan, &plan->txs[i]);
		if (!r)
			r = send_one(plan, &plan->txs[i], last);
		if (r && i)
			cli_note(plan->cli, "%zu of %zu transactions were sent", i, plan->tx_count);
	}
	return r;
}

static int any_event(void *arg, const struct chaindb_event *event)
{
	*(bool *)arg = true;
	return 0;
}

/* Somebody serves chainwatch's socket and chain.db is there. Errors are not the command's: the
 * transaction is sent. */
static bool can_watch(struct cli *cli)
{
	char text[CHAINDB_ERROR_MAX];
	struct ctl_error error;

	return !ctl_client_call(cli->conf.chainwatch, "version", NULL, CALL_MS, NULL, &error) &&
	       (cli->db || !chaindb_open(cli->conf.chain_db, CHAINDB_WAIT_MS, &cli->db, text));
}

/* Until chain.db has the last transaction. *ret_seen: it has. Without chainwatch it does not wait.
 */
static int wait_seen(struct plan *plan, bool *ret_seen)
{
	const struct hash256 *txid = &plan->txs[plan->tx_count - 1].txid;
	uint64_t deadline = clock_boottime_ns() + plan->cli->conf.wait_ms * 1000000;
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
	struct cli *cli = plan->cli;
	bool seen = false;

	if (!cli->conf.wait_ms)
		return 0;
	if (!can_watch(cli)) {
		cli_note(cli, "chainwatch does not run here (%s): not waited",
			 cli->conf.chainwatch);
		return 0;
	}
	for (;;) {
		chaindb_visit_transaction(cli->db, txid, any_event, &seen);
		if (seen || clock_boottime_ns() >= deadline)
			break;
		nanosleep(&pause, NULL);
	}
	*ret_seen = seen;
	return seen ? 0 : CLI_TIMEOUT;
}

static void print_result(struct plan *plan, bool seen)
{
	const struct publish *publish = plan->publish;
	json_t *transactions, *txids;
	char txid[HASH_TEXT_SIZE], amount[AMOUNT_TEXT_MAX];
	uint64_t fee = 0;

	for (size_t i = 0; i < plan->tx_count; i++)
		fee += plan->txs[i].fee;
	hash_format(&plan->txs[plan->tx_count - 1].txid, txid);
	if (!plan->cli->json) {
		amount_format(fee, amount);
		printf("%s%s%s: sent%s\n", out_on(plan->cli, OUT_GREEN), publish->what,
		       out_off(plan->cli), seen ? ", and seen by chainwatch" : "");
		printf("  id    %s\n  txid  %s\n  fee   %s\n", publish->object.text, txid, amount);
		return;
	}
	transactions = json_array();
	txids = json_array();
	for (size_t i = 0; i < plan->tx_count; i++) {
		char text[HASH_TEXT_SIZE];

		hash_format(&plan->txs[i].txid, text);
		json_array_append_new(txids, json_string(text));
		json_array_append_new(transactions, transaction_json(plan, &plan->txs[i]));
	}
	out_json(json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:b, s:b, s:o}", "id",
			   publish->object.text, "kind", object_kind_name(publish->object.kind),
			   "name", publish->object.label, "txid", txid, "txids", txids, "fee",
			   (json_int_t)fee, "dry_run", 0, "seen", seen, "transactions",
			   transactions));
}

static int send_and_wait(struct plan *plan)
{
	bool seen = false;
	int r = ask(plan);

	if (!r)
		r = known_check(plan->cli);
	if (!r && plan->publish->create)
		r = save_new_key(plan);
	if (!r)
		r = send_all(plan);
	keys_unlock(plan->cli);
	if (r)
		return r;
	r = wait_seen(plan, &seen);
	print_result(plan, seen);
	if (r && !plan->cli->json)
		cli_error(plan->cli, r,
			  "it stays in the node's mempool; look with dnet chain and dnet "
			  "history",
			  "chainwatch has not seen the transaction in time");
	return r;
}

int publish_run(struct cli *cli, const struct args *args, struct publish *publish)
{
	bool dry = args_has(args, "dry-run");
	struct plan plan = {.cli = cli, .publish = publish, .dry = dry};
	int r = checks_run(cli, publish);

	if (!r && !dry)
		r = keys_lock(cli);

	if (!r)
		r = prepare(&plan);
	if (!r)
		r = build(&plan, &plan.txs[0], plan.tx_count == 1);
	if (!r) {
		advance(&plan, &plan.txs[0]);
		r = dry ? dry_run(&plan) : send_and_wait(&plan);
	}
	plan_done(&plan);
	return r;
}
