#include "cli/input.h"
#include "cli/keys.h"
#include "cli/names.h"
#include "cli/out.h"
#include "core/chainparams.h"
#include "core/error.h"
#include "core/id.h"
#include "core/secret.h"
#include "core/txbuild.h"
#include "os/chaindb.h"
#include "os/file.h"
#include "wire/hash.h"
#include "wire/hex.h"
#include "wire/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The keystore itself: copies of it on paper, its way back from them, what is in it. */

enum {
	SCAN_GAP = 100, /* so many keys in a row that own nothing end the search */
};

static const struct arg_option backup_options[] = {
	{"hex", 0, NULL, "everything as hex, also keys that are not from the words"},
	{"out", 'o', "FILE", "into a new file that only you can read, not to the terminal"},
	{0},
};

static const struct arg_option restore_options[] = {
	{"from", 0, "FILE", "read the words or the hex from a file; - is standard input"},
	{0},
};

static const struct arg_option passwd_options[] = {
	{"new-keyfile", 0, "FILE", "file with the new passphrase; without it it is asked for"},
	{0},
};

static bool exists(const struct cli *cli)
{
	return !access(cli->conf.keystore, F_OK);
}

static int need_keystore(struct cli *cli)
{
	if (exists(cli))
		return 0;
	return cli_error(cli, CLI_NOT_FOUND,
			 "dnet keystore restore makes it from its words; dnet create makes a new "
			 "one",
			 "there is no keystore %s", cli->conf.keystore);
}

static int open_existing(struct cli *cli, struct keystore *ret_keystore)
{
	int r = cli_params(cli);

	if (!r)
		r = need_keystore(cli);
	if (!r)
		r = cli_id(cli);
	return r ? r : keys_load(cli, ret_keystore);
}

/* ---- backup */

static int ask_backup(struct cli *cli)
{
	char line[16];

	if (cli->yes)
		return 0;
	fprintf(stderr, "Whoever reads what comes now owns everything in %s.\n",
		cli->conf.keystore);
	if (!keys_ask("Show it here? [y/N]", true, line, sizeof(line)))
		return cli_error(cli, CLI_ABORTED, "give --yes, or --out FILE",
				 "there is no terminal to ask on; nothing was shown");
	if (line[0] == 'y' || line[0] == 'Y')
		return 0;
	return cli_error(cli, CLI_ABORTED, NULL, "nothing was shown");
}

/* Keys that the words do not bring back. */
static size_t count_alone(const struct keystore *keystore)
{
	size_t count = 0;

	for (size_t i = 0; i < keystore->count; i++)
		count += keystore->entries[i].number == KEYSTORE_NUMBER_NONE;
	return count;
}

static int write_new_file(struct cli *cli, const char *path, char *text)
{
	size_t len = strlen(text);
	int r;

	if (!access(path, F_OK))
		return cli_error(cli, CLI_USAGE, "give another name", "%s is there already", path);
	text[len] = '\n';
	r = file_replace(path, text, len + 1, 0600);
	text[len] = '\0';
	if (r)
		return cli_error(cli, CLI_FAILED, "give another name", "cannot write %s: %s", path,
				 error_text(r));
	if (cli->json)
		out_json(json_pack("{s:s}", "file", path));
	else
		printf("written to %s\n", path);
	return 0;
}

/* Six words a line with their numbers, as they go on paper. */
static void print_words(const char *text)
{
	for (int n = 1; *text; n++) {
		size_t len = strcspn(text, " ");

		printf("%3d %.*s%*s", n, (int)len, text, n % 6 ? 10 - (int)len : 1,
		       n % 6 ? "" : "\n");
		text += len;
		text += *text == ' ';
	}
}

static int show_backup(struct cli *cli, const char *text, bool words)
{
	int r = ask_backup(cli);

	if (r)
		return r;
	if (cli->json)
		out_json(json_pack("{s:s}", words ? "words" : "hex", text));
	else if (words && isatty(STDOUT_FILENO))
		print_words(text);
	else
		puts(text);
	return 0;
}

static int no_words(struct cli *cli)
{
	return cli_error(cli, CLI_FAILED, "dnet keystore backup --hex has them all",
			 "no key in %s is from words: a version before made them",
			 cli->conf.keystore);
}

static int run_backup(struct cli *cli, const struct args *args)
{
	bool words = !args_has(args, "hex");
	struct keystore keystore = {0};
	/* One more for the end of the line in a file. */
	char *text = calloc(1, KEYSTORE_COPY_MAX + 1);
	const char *path = args_get(args, "out");
	size_t alone;
	int r = text ? open_existing(cli, &keystore) : CLI_FAILED;

	if (text)
		secret_lock(text, KEYSTORE_COPY_MAX + 1);
	alone = count_alone(&keystore);
	if (!r && words && !keystore.has_seed)
		r = no_words(cli);
	if (!r && words)
		words_format(keystore.seed.bytes, SECRET_LEN, text);
	else if (!r && keystore_format_copy(&keystore, text))
		r = cli_error(cli, CLI_FAILED, NULL, "out of memory");
	if (!r && words && alone)
		cli_note(cli,
			 "%zu of %zu keys were made by a version before and are not in the words; "
			 "dnet keystore backup --hex has them too",
			 alone, keystore.count);
	if (!r)
		r = path ? write_new_file(cli, path, text) : show_backup(cli, text, words);
	keystore_done(&keystore);
	if (text)
		secret_wipe(text, KEYSTORE_COPY_MAX + 1);
	free(text);
	return r;
}

/* ---- restore */

/* The chain's seals that one key owns. */
struct found_seal {
	struct cli_object object;
	uint8_t script[P2WPKH_LEN];   /* zeros: not of one key */
	uint8_t admin_key[XONLY_LEN]; /* of a dnet */
	struct known_seal known;
};

struct scan {
	struct cli *cli;
	struct chaindb_seal *seal;
	struct found_seal *seals; /* owned */
	size_t count, size;
	size_t found;
	int error;
};

static int on_object(void *arg, const struct chaindb_object *object)
{
	struct scan *scan = arg;
	struct found_seal *seals;
	struct found_seal *at;

	if (object->closed || chaindb_find_seal(scan->cli->db, &object->id, true, scan->seal))
		return 0;
	if (scan->count == scan->size) {
		scan->size = scan->size ? 2 * scan->size : 64;
		seals = realloc(scan->seals, scan->size * sizeof(*seals));
		if (!seals)
			return -ENOMEM;
		scan->seals = seals;
	}
	at = &scan->seals[scan->count++];
	*at = (struct found_seal){
		.object = {.kind = object->kind, .id = object->id},
		.known = {.kind = object->kind,
			  .id = object->id,
			  .outpoint = scan->seal->outpoint,
			  .value = scan->seal->value,
			  .sequence = scan->seal->sequence},
	};
	snprintf(at->object.label, sizeof(at->object.label), "%s", object->name);
	snprintf(at->known.label, sizeof(at->known.label), "%s", object->name);
	names_fill_text(&at->object);
	if (scan->seal->script_len == P2WPKH_LEN)
		memcpy(at->script, scan->seal->script, P2WPKH_LEN);
	if (object->kind == OBJECT_DNET)
		memcpy(at->admin_key, object->key, XONLY_LEN);
	return 0;
}

/* Puts an entry for each seal of the key. *ret_any: there was one. */
static int claim(struct scan *scan, struct keystore *keystore, int32_t number,
		 const struct secret *secret, bool *ret_any)
{
	struct cli *cli = scan->cli;
	uint8_t script[P2WPKH_LEN], xonly[XONLY_LEN];
	struct identity owner, admin;
	int r = id_from_secret(cli->id, secret, &owner);

	txbuild_p2wpkh(&owner.key, script);
	id_admin_identity(cli->id, secret, &admin);
	id_xonly(&admin.key, xonly);
	secret_wipe(&owner.secret, sizeof(owner.secret));
	secret_wipe(&admin.secret, sizeof(admin.secret));
	for (size_t i = 0; !r && i < scan->count; i++) {
		const struct found_seal *seal = &scan->seals[i];
		struct keystore_entry entry = {.kind = seal->object.kind,
					       .id = seal->object.id,
					       .number = number,
					       .secret = *secret};

		if (memcmp(seal->script, script, P2WPKH_LEN) != 0 &&
		    memcmp(seal->admin_key, xonly, XONLY_LEN) != 0)
			continue;
		*ret_any = true;
		snprintf(entry.chain, sizeof(entry.chain), "%s", cli->params->name);
		snprintf(entry.label, sizeof(entry.label), "%s", seal->object.label);
		r = keystore_put(keystore, &entry);
		secret_wipe(&entry.secret, sizeof(entry.secret));
		if (!r)
			r = known_put(cli, &seal->known);
		scan->found++;
	}
	return r;
}

/* The objects on the chain that a key of the seed owns, into the keystore. Exit code. */
static int scan_chain(struct cli *cli, struct keystore *keystore, size_t *ret_found)
{
	struct scan scan = {.cli = cli, .seal = malloc(sizeof(*scan.seal))};
	struct secret secret;
	int r = cli_db(cli);

	if (!r && (!scan.seal || chaindb_search(cli->db, 0, "", on_object, &scan)))
		r = cli_error(cli, CLI_FAILED, "try again", "cannot read the objects of %s",
			      cli->conf.chain_db);
	for (int32_t number = 0, empty = 0; !r && empty < SCAN_GAP; number++) {
		bool any = false;

		keystore_derive(keystore, cli->id, cli->params->name, number, &secret);
		r = claim(&scan, keystore, number, &secret, &any);
		empty = any || number < keystore_next_number(keystore, cli->params->name)
				? 0
				: empty + 1;
	}
	secret_wipe(&secret, sizeof(secret));
	free(scan.seal);
	free(scan.seals);
	*ret_found = scan.found;
	return r;
}

static int read_text(struct cli *cli, const char *from, char *text)
{
	if (from)
		return input_read(cli, from, "give another file with --from", text,
				  KEYSTORE_COPY_MAX, NULL);
	if (keys_ask("The words, or the hex", false, text, KEYSTORE_COPY_MAX))
		return 0;
	return cli_error(cli, CLI_ABORTED, "give --from FILE, or --from - for standard input",
			 "there is no terminal to ask on");
}

static int parse_words(struct cli *cli, const char *text, struct keystore *ret_keystore)
{
	uint8_t bytes[WORDS_BYTES_MAX];
	size_t len = 0, bad = 0;
	int r = 0;

	switch (words_parse(text, bytes, &len, &bad)) {
	case WORDS_OK:
		break;
	case WORDS_UNKNOWN:
		return cli_error(cli, CLI_USAGE, "look at it again; nothing was changed",
				 "word %zu is not in the list (BIP39, English)", bad);
	case WORDS_COUNT:
		return cli_error(cli, CLI_USAGE, "there are 24; nothing was changed",
				 "these are %zu words", bad);
	case WORDS_CHECKSUM:
		return cli_error(cli, CLI_USAGE, "look at each again; nothing was changed",
				 "the words do not fit each other: one is wrong, or two are "
				 "swapped");
	}
	if (len != SECRET_LEN) {
		r = cli_error(cli, CLI_USAGE, "there are 24; nothing was changed",
			      "these words are no copy of a keystore: too few");
	} else {
		ret_keystore->has_seed = true;
		memcpy(ret_keystore->seed.bytes, bytes, SECRET_LEN);
	}
	secret_wipe(bytes, sizeof(bytes));
	return r;
}

static int parse_copy(struct cli *cli, const char *text, struct keystore *ret_keystore)
{
	size_t digits = strspn(text, "0123456789abcdefABCDEF \t\r\n");

	if (text[digits] || !digits)
		return parse_words(cli, text, ret_keystore);
	if (keystore_parse_copy(text, ret_keystore))
		return cli_error(cli, CLI_USAGE, "look at each digit again; nothing was changed",
				 "this is not what dnet keystore backup --hex prints");
	return 0;
}

static void print_restored(struct cli *cli, const struct keystore *keystore, size_t found,
			   bool scanned)
{
	if (cli->json) {
		out_json(json_pack("{s:s, s:I, s:I, s:b}", "keystore", cli->conf.keystore, "keys",
				   (json_int_t)keystore->count, "found", (json_int_t)found,
				   "scanned", (int)scanned));
		return;
	}
	printf("%s has %zu key%s now\n", cli->conf.keystore, keystore->count,
	       keystore->count == 1 ? "" : "s");
	if (scanned)
		printf("%zu object%s on %s %s its\n", found, found == 1 ? "" : "s",
		       cli->params->name, found == 1 ? "is" : "are");
	else
		puts("the chain was not looked through: dnet keystore scan does it when chainwatch "
		     "runs");
}

/* Into what is there; from is NULL where only the chain is to be looked through again. */
static int take_in(struct cli *cli, const struct keystore *from)
{
	struct keystore keystore = {0};
	bool scan = !from || !access(cli->conf.chain_db, F_OK);
	size_t found = 0;
	int r = keys_lock(cli);

	if (!r)
		r = keys_load(cli, &keystore);
	if (!r && from && keystore_merge(&keystore, from))
		r = cli_error(cli, CLI_FAILED,
			      "restore into another file: --keystore FILE; nothing was changed",
			      "the keystore %s has other words already", cli->conf.keystore);
	if (!r && !keystore.has_seed)
		scan = false;
	/* What was read is kept before the chain is looked at. */
	if (!r && from)
		r = keys_save(cli, &keystore);
	if (!r && scan) {
		r = scan_chain(cli, &keystore, &found);
		if (!r && found)
			r = keys_save(cli, &keystore);
	}
	keys_unlock(cli);
	if (!r)
		print_restored(cli, &keystore, found, scan);
	keystore_done(&keystore);
	return r;
}

static int run_restore(struct cli *cli, const struct args *args)
{
	struct keystore from = {0};
	char *text = calloc(1, KEYSTORE_COPY_MAX);
	int r = text ? cli_params(cli) : CLI_FAILED;

	if (text)
		secret_lock(text, KEYSTORE_COPY_MAX);
	if (!r)
		r = cli_id(cli);
	if (!r)
		r = read_text(cli, args_get(args, "from"), text);
	if (!r)
		r = parse_copy(cli, text, &from);
	if (text)
		secret_wipe(text, KEYSTORE_COPY_MAX);
	free(text);
	if (!r)
		r = take_in(cli, &from);
	keystore_done(&from);
	return r;
}

static int run_scan(struct cli *cli, const struct args *args)
{
	int r = cli_params(cli);

	(void)args;
	if (!r)
		r = need_keystore(cli);
	if (!r)
		r = cli_id(cli);
	if (!r)
		r = cli_db(cli);
	return r ? r : take_in(cli, NULL);
}

/* ---- show, passwd, lock-state, watch */

static json_t *entry_json(struct cli *cli, const struct keystore_entry *entry)
{
	char id[OBJECT_ID_TEXT_SIZE], key[2 * PUBKEY_LEN + 1], address[BECH32_TEXT_SIZE] = "";
	const struct chainparams *params = chainparams_find(entry->chain);
	uint8_t program[HASH160_LEN];
	struct identity owner;

	object_id_format(entry->kind, &entry->id, id);
	if (id_from_secret(cli->id, &entry->secret, &owner))
		return NULL;
	hex_format(owner.key.bytes, PUBKEY_LEN, key);
	hash_hash160(owner.key.bytes, PUBKEY_LEN, program);
	if (params)
		segwit_format(params->hrp, 0, program, sizeof(program), address);
	secret_wipe(&owner, sizeof(owner));
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:b}", "chain", entry->chain, "kind",
			 object_kind_name(entry->kind), "id", id, "label", entry->label, "number",
			 (json_int_t)entry->number, "key", key, "address", address, "in_words",
			 entry->number != KEYSTORE_NUMBER_NONE);
}

struct watched {
	struct cli *cli;
	const struct keystore *keystore;
	json_t *keys;
};

/* Objects without a key here. */
static bool on_known(void *arg, const struct known_seal *known)
{
	struct watched *watched = arg;
	const char *chain = watched->cli->params->name;
	char id[OBJECT_ID_TEXT_SIZE];

	if (known->closed || keystore_find(watched->keystore, chain, &known->id))
		return false;
	object_id_format(known->kind, &known->id, id);
	json_array_append_new(watched->keys, json_pack("{s:s, s:s, s:s, s:s, s:b}", "chain", chain,
						       "kind", object_kind_name(known->kind), "id",
						       id, "label", known->label, "watch_only", 1));
	return false;
}

static int run_show(struct cli *cli, const struct args *args)
{
	struct keystore keystore = {0};
	json_t *keys = json_array(), *row;
	struct table table;
	size_t i;
	int r = cli_params(cli);

	(void)args;
	/* Without a keystore there is what is watched. */
	if (!r && exists(cli))
		r = open_existing(cli, &keystore);
	for (i = 0; !r && i < keystore.count; i++)
		json_array_append_new(keys, entry_json(cli, &keystore.entries[i]));
	if (!r)
		r = known_visit(cli, on_known, &(struct watched){cli, &keystore, keys});
	keystore_done(&keystore);
	if (r || cli->json) {
		if (r)
			json_decref(keys);
		else
			out_json(json_pack("{s:s, s:o}", "keystore", cli->conf.keystore, "keys",
					   keys));
		return r;
	}
	table_init(&table, "CHAIN", "KIND", "LABEL", "ID", "ADDRESS", NULL);
	json_array_foreach(keys, i, row)
	{
		const char *address = json_string_value(json_object_get(row, "address"));

		table_row(&table, json_string_value(json_object_get(row, "chain")),
			  json_string_value(json_object_get(row, "kind")),
			  json_string_value(json_object_get(row, "label")),
			  json_string_value(json_object_get(row, "id")),
			  address ? address : "watch only");
	}
	table_print(cli, &table, "");
	table_done(&table);
	json_decref(keys);
	return 0;
}

static int run_passwd(struct cli *cli, const struct args *args)
{
	struct keystore keystore = {0};
	int r = need_keystore(cli);

	if (!r)
		r = keys_lock(cli);
	if (!r)
		r = keys_load(cli, &keystore);
	if (!r)
		r = keys_change_passphrase(cli, args_get(args, "new-keyfile"));
	if (!r)
		r = keys_save(cli, &keystore);
	keys_unlock(cli);
	keystore_done(&keystore);
	if (r)
		return r;
	if (cli->json)
		out_json(json_pack("{s:s, s:b}", "keystore", cli->conf.keystore, "changed", 1));
	else
		printf("%s has a new passphrase; copies of the file have the old one\n",
		       cli->conf.keystore);
	return 0;
}

static int run_lock_state(struct cli *cli, const struct args *args)
{
	struct keystore_cost cost = {0};
	uint8_t version = 0;
	char *file = NULL;
	size_t len = 0;
	pid_t pid = keys_lock_holder(cli);
	int r = file_read(cli->conf.keystore, KEYSTORE_FILE_MAX, &file, &len);
	bool there = r != -ENOENT;

	(void)args;
	if (!r)
		r = keystore_read_header((const uint8_t *)file, len, &cost, &version);
	free(file);
	if (r && there)
		return cli_error(cli, CLI_FAILED, "name the right file with --keystore",
				 "%s is no keystore that this dnet opens: %s", cli->conf.keystore,
				 error_text(r));
	if (cli->json) {
		out_json(json_pack("{s:s, s:b, s:i, s:i, s:i, s:b, s:i}", "keystore",
				   cli->conf.keystore, "exists", (int)there, "version", version,
				   "argon2id_ops", (int)cost.ops, "argon2id_kib",
				   (int)cost.memory_kib, "keyfile", *cli->conf.keyfile != '\0',
				   "used_by", (int)pid));
		return 0;
	}
	if (!there)
		printf("%s: not there\n", cli->conf.keystore);
	else
		printf("%s: sealed with a passphrase (version %u, Argon2id %u passes, %u MiB)\n",
		       cli->conf.keystore, version, cost.ops, cost.memory_kib / 1024);
	if (*cli->conf.keyfile)
		printf("  opened with the keyfile %s\n", cli->conf.keyfile);
	else
		puts("  opened with a passphrase from the terminal, for one command");
	if (pid)
		printf("  in use by process %d\n", (int)pid);
	return 0;
}

static int run_watch(struct cli *cli, const struct args *args)
{
	_cleanup_(freep) struct chaindb_seal *seal = malloc(sizeof(*seal));
	struct chaindb_object found;
	struct known_seal known = {0};
	struct cli_object object;
	int r = seal ? names_resolve(cli, 0, args->words[0], &object) : CLI_FAILED;

	if (!r)
		r = cli_db(cli);
	if (!r && chaindb_find_seal(cli->db, &object.id, true, seal))
		r = cli_error(cli, CLI_NOT_FOUND, "dnet list shows what is open",
			      "no seal of %s is known", object.text);
	if (!r)
		r = keys_lock(cli);
	if (r)
		return r;
	known.kind = object.kind;
	known.id = object.id;
	known.outpoint = seal->outpoint;
	known.value = seal->value;
	known.sequence = seal->sequence;
	if (!*object.label && !chaindb_find_object(cli->db, &object.id, &found))
		snprintf(object.label, sizeof(object.label), "%s", found.name);
	snprintf(known.label, sizeof(known.label), "%s", object.label);
	r = known_put(cli, &known);
	keys_unlock(cli);
	if (r)
		return r;
	if (cli->json)
		out_json(json_pack("{s:s, s:s, s:s}", "id", object.text, "kind",
				   object_kind_name(object.kind), "label", object.label));
	else
		printf("%s %s is listed as own; without its key it is changed with --psbt\n",
		       object_kind_name(object.kind), object.text);
	return 0;
}

const struct cli_command cli_commands_keystore[] = {
	{"keystore backup", "", "shows the words that all keys come back from", backup_options, 0,
	 0, false, run_backup},
	{"keystore restore", "", "makes the keys anew from words or hex", restore_options, 0, 0,
	 false, run_restore},
	{"keystore scan", "", "looks on the chain for what the keys own", NULL, 0, 0, false,
	 run_scan},
	{"keystore show", "", "lists keys and addresses, no secrets", NULL, 0, 0, false, run_show},
	{"keystore passwd", "", "changes the passphrase", passwd_options, 0, 0, false, run_passwd},
	{"keystore lock-state", "", "says how the keystore is sealed and who uses it", NULL, 0, 0,
	 false, run_lock_state},
	{"keystore watch", "ID", "lists an object as own without having its key", NULL, 1, 1, false,
	 run_watch},
	{0},
};
