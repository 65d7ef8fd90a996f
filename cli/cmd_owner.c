#include "cli/batch.h"
#include "cli/keys.h"
#include "cli/names.h"
#include "cli/out.h"
#include "cli/publish.h"
#include "cli/seal.h"
#include "cli/wallet.h"
#include "core/chainparams.h"
#include "core/id.h"
#include "os/base.h"
#include "os/chaindb.h"
#include "wire/hash.h"
#include "wire/hex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The owner of a dnet: members, helpers, and what goes for every object: transfer and close. */

enum {
	NODE_KEY_TEXT_LEN = 2 * PUBKEY_LEN,
	LINK_WEIGHT = 1,
	KEYS_LOOKED_AT = 1000, /* of a keystore, for one of a multisig */
};

static const struct arg_option create_options[] = {
	{"ipv4", '4', "PREFIX", "IPv4 network of the members, 10.77.0.0/24"},
	{0},
};

static const struct arg_option add_options[] = {
	{"name", 0, "NAME", "what the node is called in the dnet"},
	{"ipv4", '4', "ADDRESS", "IPv4 address of the node, inside the dnet's network"},
	{"ipv6", '6', "ADDRESS", "a further IPv6 address, inside fd00::/8"},
	{"gateway", 0, NULL, "other networks may be reached through it"},
	{"from", 0, "FILE",
	 "members of a table (CSV) with the columns key, name, ipv4, ipv6, gateway"},
	{0},
};

static const struct arg_option link_options[] = {
	{"priority", 0, "N", "0 to 255, lower is used first (0)"},
	{"weight", 0, "N", "0 to 255, share among equal priorities (1)"},
	{0},
};

static int bad_name(struct cli *cli, const char *name)
{
	return cli_error(cli, CLI_USAGE, "1 to 32 of a-z, 0-9 and -, with no - at an end",
			 "\"%s\" is not a name", name);
}

static int run_create(struct cli *cli, const struct args *args)
{
	const char *name = args->words[0], *ipv4 = args_get(args, "ipv4");
	_cleanup_(freep) struct publish *publish = publish_new(cli, "create dnet %s", name);
	struct record *record;

	if (!publish)
		return CLI_FAILED;
	if (!record_name_ok(name))
		return bad_name(cli, name);
	publish->create = true;
	publish->object.kind = OBJECT_DNET;
	snprintf(publish->object.label, sizeof(publish->object.label), "%s", name);
	record = publish_add(publish, RECORD_DNET_CREATE);
	snprintf(record->dnet_create.name, sizeof(record->dnet_create.name), "%s", name);
	if (ipv4 && (!prefix_parse(ipv4, &record->dnet_create.ipv4) ||
		     record->dnet_create.ipv4.addr.family != ADDR_V4 ||
		     record->dnet_create.ipv4.bits < 8 || record->dnet_create.ipv4.bits > 30))
		return cli_error(cli, CLI_USAGE, "for example --ipv4 10.77.0.0/24",
				 "\"%s\" is not an IPv4 network of 8 to 30 bits", ipv4);
	return publish_run(cli, args, publish);
}

static int parse_address(struct cli *cli, const char *text, enum addr_family family,
			 struct address *ret)
{
	struct address address;

	if (!text)
		return 0;
	if (!address_parse(text, &address) || address.family != family)
		return cli_error(cli, CLI_USAGE,
				 family == ADDR_V4 ? "for example --ipv4 10.77.0.2"
						   : "for example --ipv6 fd00:77::2",
				 "\"%s\" is not an IPv%d address", text, family == ADDR_V4 ? 4 : 6);
	if (family == ADDR_V6 && address.bytes[0] != 0xfd)
		return cli_error(cli, CLI_USAGE, "an address of private use begins with fd",
				 "%s is not inside fd00::/8", text);
	*ret = address;
	return 0;
}

/* "KEY" or "KEY=NAME". */
static int parse_node(struct cli *cli, const char *word, struct record *record)
{
	char key[NODE_KEY_TEXT_LEN + 1];
	const char *name = strchr(word, '=');
	size_t len = name ? (size_t)(name - word) : strlen(word);
	int r;

	if (len >= sizeof(key))
		return names_key(cli, word, &record->node_put.key);
	memcpy(key, word, len);
	key[len] = '\0';
	r = names_key(cli, key, &record->node_put.key);
	if (r || !name)
		return r;
	if (!record_name_ok(name + 1))
		return bad_name(cli, name + 1);
	snprintf(record->node_put.name, sizeof(record->node_put.name), "%s", name + 1);
	return 0;
}

/* Of the options; they go for one node, the flag for all. */
static int parse_add_options(struct cli *cli, const struct args *args, struct record *record)
{
	const char *name = args_get(args, "name"), *ipv4 = args_get(args, "ipv4");
	const char *ipv6 = args_get(args, "ipv6");
	int r;

	if (args->count > 2 && (name || ipv4 || ipv6))
		return cli_error(cli, CLI_USAGE, "add them one by one, or as KEY=NAME",
				 "--name, --ipv4 and --ipv6 go for one node");
	if (name && !record_name_ok(name))
		return bad_name(cli, name);
	if (name)
		snprintf(record->node_put.name, sizeof(record->node_put.name), "%s", name);
	r = parse_address(cli, ipv4, ADDR_V4, &record->node_put.ipv4);
	if (!r)
		r = parse_address(cli, ipv6, ADDR_V6, &record->node_put.ipv6);
	if (args_has(args, "gateway"))
		record->node_put.flags |= NODE_FLAG_GATEWAY;
	if (ipv4)
		record->node_put.flags |= NODE_FLAG_IPV4;
	if (ipv6)
		record->node_put.flags |= NODE_FLAG_IPV6;
	return r;
}

static int too_many(struct cli *cli)
{
	return cli_error(cli, CLI_USAGE, "give fewer at once", "more than %d nodes",
			 PUBLISH_RECORDS_MAX);
}

static int add_words(struct cli *cli, const struct args *args)
{
	_cleanup_(freep) struct publish *publish =
		publish_new(cli, "add %zu node%s to %s", args->count - 1,
			    args->count > 2 ? "s" : "", args->words[0]);
	int r = publish ? names_resolve(cli, OBJECT_DNET, args->words[0], &publish->object)
			: CLI_FAILED;

	for (size_t i = 1; !r && i < args->count; i++) {
		struct record *record = publish_add(publish, RECORD_NODE_PUT);

		r = record ? parse_node(cli, args->words[i], record) : too_many(cli);
		if (!r)
			r = parse_add_options(cli, args, record);
	}
	return r ? r : publish_run(cli, args, publish);
}

static int add_from(struct cli *cli, const struct args *args, const char *path)
{
	_cleanup_(freep) struct publish *publish = NULL;
	struct cli_object object = {0};
	int r = names_resolve(cli, OBJECT_DNET, args->words[0], &object);

	if (r)
		return r;
	if (args->count > 1 || args->option_count > (args_has(args, "dry-run") ? 2 : 1))
		return cli_error(cli, CLI_USAGE, "put all of it into the file",
				 "--from stands alone, without keys or other options");
	publish = batch_read(cli, path);
	if (!publish)
		return CLI_USAGE;
	publish->object = object;
	snprintf(publish->what, sizeof(publish->what), "add %zu nodes to %.40s", publish->count,
		 args->words[0]);
	return publish_run(cli, args, publish);
}

static int run_node_add(struct cli *cli, const struct args *args)
{
	if (args_has(args, "from"))
		return add_from(cli, args, args_get(args, "from"));
	if (args->count < 2)
		return cli_error(cli, CLI_USAGE, "dnet node add --help", "too few words");
	return add_words(cli, args);
}

struct find_node {
	const char *name;
	struct node_key key;
	bool found;
};

static int on_node(void *arg, const struct record_row *row)
{
	struct find_node *find = arg;

	if (row->record.type == RECORD_NODE_PUT && row->to_height == UINT32_MAX &&
	    !strcmp(row->record.node_put.name, find->name)) {
		find->key = row->record.node_put.key;
		find->found = true;
	}
	return 0;
}

/* A key, or the name of a node that is in a block. */
static int find_node(struct cli *cli, const struct cli_object *dnet, const char *text,
		     struct node_key *ret_key)
{
	struct find_node find = {.name = text};
	int r;

	if (strlen(text) == NODE_KEY_TEXT_LEN)
		return names_key(cli, text, ret_key);
	r = cli_db(cli);
	if (r)
		return r;
	if (chaindb_visit_object(cli->db, &dnet->id, on_node, &find))
		return cli_error(cli, CLI_FAILED, NULL, "%s", chaindb_error(cli->db));
	if (!find.found)
		return cli_error(cli, CLI_NOT_FOUND,
				 "dnet show lists the nodes; give the key of one that no block has "
				 "yet",
				 "no node of %s is called \"%s\"", dnet->text, text);
	*ret_key = find.key;
	return 0;
}

static int run_node_del(struct cli *cli, const struct args *args)
{
	_cleanup_(freep) struct publish *publish =
		publish_new(cli, "remove %zu node%s from %s", args->count - 1,
			    args->count > 2 ? "s" : "", args->words[0]);
	int r = publish ? names_resolve(cli, OBJECT_DNET, args->words[0], &publish->object)
			: CLI_FAILED;

	for (size_t i = 1; !r && i < args->count; i++) {
		struct record *record = publish_add(publish, RECORD_NODE_DEL);

		r = record ? find_node(cli, &publish->object, args->words[i], &record->node_del.key)
			   : too_many(cli);
	}
	return r ? r : publish_run(cli, args, publish);
}

static int parse_byte(struct cli *cli, const struct args *args, const char *name, uint8_t fallback,
		      uint8_t *ret)
{
	const char *text = args_get(args, name);
	char *end;
	long value;

	*ret = fallback;
	if (!text)
		return 0;
	value = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
	if (value < 0 || value > UINT8_MAX || *end)
		return cli_error(cli, CLI_USAGE, NULL, "--%s is 0 to 255, not \"%s\"", name, text);
	*ret = (uint8_t)value;
	return 0;
}

/* detail: RECORD_LINK or RECORD_UNLINK. */
static int change_link(struct cli *cli, const struct args *args, enum record_type type)
{
	_cleanup_(freep) struct publish *publish =
		publish_new(cli, "%s %s and %s", type == RECORD_LINK ? "link" : "unlink",
			    args->words[0], args->words[1]);
	struct cli_object helper = {0};
	struct record *record;
	int r = publish ? names_resolve(cli, OBJECT_DNET, args->words[0], &publish->object)
			: CLI_FAILED;

	if (!r)
		r = names_resolve(cli, 0, args->words[1], &helper);
	if (r)
		return r;
	if (helper.kind == OBJECT_DNET)
		return cli_error(cli, CLI_USAGE, "dnet link DNET OVC|OVR",
				 "%s is a dnet, not an OVC or OVR", helper.text);
	record = publish_add(publish, type);
	record->link.kind = (uint8_t)helper.kind;
	record->link.id = helper.id;
	if (type == RECORD_LINK) {
		r = parse_byte(cli, args, "priority", 0, &record->link.priority);
		if (!r)
			r = parse_byte(cli, args, "weight", LINK_WEIGHT, &record->link.weight);
	}
	return r ? r : publish_run(cli, args, publish);
}

static int run_link(struct cli *cli, const struct args *args)
{
	return change_link(cli, args, RECORD_LINK);
}

static int run_unlink(struct cli *cli, const struct args *args)
{
	return change_link(cli, args, RECORD_UNLINK);
}

static const struct arg_option transfer_options[] = {
	{"admin-key", 0, "KEY",
	 "of a dnet: the new owner's, as dnet receive --admin-key prints it"},
	{0},
};

static const struct arg_option rotate_options[] = {
	{"admin-key", 0, "KEY", "of a dnet: only its admin key changes, to this one"},
	{0},
};

/* Of --admin-key; without it the record says nothing of it. */
static int parse_admin_key(struct cli *cli, const struct args *args,
			   const struct cli_object *object, struct record *record)
{
	const char *text = args_get(args, "admin-key");
	int r = text ? cli_id(cli) : 0;

	if (r || !text)
		return r;
	if (object->kind != OBJECT_DNET)
		return cli_error(cli, CLI_USAGE, "leave --admin-key out",
				 "%s is no dnet: only dnets have an admin key", object->text);
	if (!hex_parse(text, record->transfer.admin_key, XONLY_LEN) ||
	    !id_xonly_valid(cli->id, record->transfer.admin_key))
		return cli_error(cli, CLI_USAGE,
				 "64 hex digits; dnet receive --admin-key prints it",
				 "\"%s\" is not an admin key", text);
	record->transfer.has_admin_key = true;
	return 0;
}

static int run_transfer(struct cli *cli, const struct args *args)
{
	_cleanup_(freep) struct publish *publish =
		publish_new(cli, "transfer %s to %s", args->words[0], args->words[1]);
	int r = publish ? names_resolve(cli, 0, args->words[0], &publish->object) : CLI_FAILED;

	if (!r)
		r = wallet_check(cli);
	if (!r)
		r = wallet_address_script(cli, args->words[1], publish->seal_script,
					  &publish->seal_script_len);
	if (!r)
		r = parse_admin_key(cli, args, &publish->object,
				    publish_add(publish, RECORD_TRANSFER));
	if (r)
		return r;
	if (publish->object.kind == OBJECT_DNET && !args_has(args, "admin-key"))
		cli_note(cli, "the admin key stays yours until the new owner runs dnet rotate");
	return publish_run(cli, args, publish);
}

/* The key that an object's seal goes to next: one that an attempt before left unused, or a new one.
 * What is only shown (dry) is kept nowhere. */
static int next_key(struct cli *cli, const struct cli_object *object, bool dry,
		    struct identity *ret_owner)
{
	struct keystore keystore = {0};
	struct keystore_entry entry = {.kind = object->kind, .id = object->id};
	const struct keystore_entry *newest;
	struct identity owner = {0};
	struct seal seal;
	int r = keys_lock(cli);

	if (!r)
		r = keys_load(cli, &keystore);
	newest = r ? NULL : keystore_find(&keystore, cli->params->name, &object->id);
	if (!r && !newest)
		r = seal_not_owner(cli, object);
	if (!r)
		r = seal_choose(cli, object, &seal);
	if (!r && !seal_owner(cli, &keystore, &object->id, seal.script, seal.script_len, &owner))
		r = seal_of_another(cli, object);
	if (!r && !id_from_secret(cli->id, &newest->secret, ret_owner) &&
	    node_key_equal(&owner.key, &ret_owner->key)) {
		memcpy(entry.label, newest->label, sizeof(entry.label));
		r = keys_add(cli, &keystore, &entry);
		if (!r && !dry)
			r = keys_save(cli, &keystore);
		if (!r && id_from_secret(cli->id, &entry.secret, ret_owner))
			r = CLI_FAILED;
	}
	keys_unlock(cli);
	keystore_done(&keystore);
	secret_wipe(&entry.secret, sizeof(entry.secret));
	secret_wipe(&owner, sizeof(owner));
	return r;
}

static int run_rotate(struct cli *cli, const struct args *args)
{
	_cleanup_(freep) struct publish *publish = publish_new(cli, "rotate %s", args->words[0]);
	struct identity owner = {0}, admin = {0};
	struct record *record;
	int r = publish ? names_resolve(cli, 0, args->words[0], &publish->object) : CLI_FAILED;

	if (!r)
		r = cli_id(cli);
	if (!r)
		r = wallet_check(cli);
	if (r)
		return r;
	record = publish_add(publish, RECORD_TRANSFER);
	r = parse_admin_key(cli, args, &publish->object, record);
	if (r || args_has(args, "admin-key"))
		return r ? r : publish_run(cli, args, publish);
	r = next_key(cli, &publish->object, args_has(args, "dry-run"), &owner);
	if (!r) {
		txbuild_p2wpkh(&owner.key, publish->seal_script);
		publish->seal_script_len = P2WPKH_LEN;
	}
	if (!r && publish->object.kind == OBJECT_DNET) {
		id_admin_identity(cli->id, &owner.secret, &admin);
		id_xonly(&admin.key, record->transfer.admin_key);
		record->transfer.has_admin_key = true;
	}
	secret_wipe(&owner, sizeof(owner));
	secret_wipe(&admin, sizeof(admin));
	return r ? r : publish_run(cli, args, publish);
}

static int run_close(struct cli *cli, const struct args *args)
{
	_cleanup_(freep) struct publish *publish = publish_new(cli, "close %s", args->words[0]);
	int r = publish ? names_resolve(cli, 0, args->words[0], &publish->object) : CLI_FAILED;

	if (r)
		return r;
	publish->close = true;
	publish_add(publish, RECORD_CLOSE);
	return publish_run(cli, args, publish);
}

/* Puts a fresh key for an object that is to come into the keystore. */
static int new_key(struct cli *cli, const struct cli_object *object, struct keystore *keystore,
		   struct identity *ret_owner)
{
	struct keystore_entry entry = {.kind = object->kind, .id = object->id};
	const struct keystore_entry *have = keystore_find(keystore, cli->params->name, &object->id);
	int r;

	/* The same address again: a key that somebody has paid to is never thrown away. */
	if (have)
		return id_from_secret(cli->id, &have->secret, ret_owner) ? CLI_FAILED : 0;
	snprintf(entry.label, sizeof(entry.label), "%s", object->label);
	r = keys_add(cli, keystore, &entry);
	if (!r && id_from_secret(cli->id, &entry.secret, ret_owner))
		r = CLI_FAILED;
	secret_wipe(&entry.secret, sizeof(entry.secret));
	if (r)
		return r;
	return keys_save(cli, keystore);
}

static const struct arg_option receive_options[] = {
	{"key", 0, NULL, "prints the public key, for an address of several owners"},
	{"admin-key", 0, NULL, "prints the admin key for a dnet"},
	{"multisig", 0, "M", "the address of which M of the keys behind ID have to sign"},
	{0},
};

/* The keys of several owners, one of whom has this keystore perhaps. */
static int parse_multisig(struct cli *cli, const struct args *args, struct multisig *ret)
{
	uint8_t script[MULTISIG_SCRIPT_MAX];
	uint64_t need = 0;
	int r = 0;

	*ret = (struct multisig){.count = args->count - 1};
	if (ret->count > MULTISIG_KEYS_MAX)
		return cli_error(cli, CLI_USAGE, NULL, "more than %d keys", MULTISIG_KEYS_MAX);
	for (const char *c = args_get(args, "multisig"); *c; c++)
		need = *c < '0' || *c > '9' || need > 100 ? 1000 : 10 * need + (uint64_t)(*c - '0');
	ret->need = (unsigned)need;
	for (size_t i = 0; !r && i < ret->count; i++)
		r = names_key(cli, args->words[1 + i], &ret->keys[i]);
	if (!r && !multisig_write(ret, script))
		r = cli_error(cli, CLI_USAGE,
			      "for example --multisig 2 behind three different keys",
			      "%s of %zu keys is no multisig, or a key stands there twice",
			      args_get(args, "multisig"), ret->count);
	return r;
}

/* own may be NULL, and is taken. */
static int print_address(struct cli *cli, const struct cli_object *object, const uint8_t *script,
			 size_t script_len, const char *key, const char *admin_key, json_t *own)
{
	char address[BECH32_TEXT_SIZE];

	if (!segwit_format(cli->params->hrp, 0, script + 2, script_len - 2, address)) {
		json_decref(own);
		return cli_error(cli, CLI_FAILED, NULL, "the chain has no addresses of this form");
	}
	if (!cli->json) {
		json_decref(own);
		printf("%s\n", address);
		return 0;
	}
	out_json(json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:o*}", "id", object->text, "kind",
			   object_kind_name(object->kind), "address", address, "key", key,
			   "admin_key", admin_key, "own", own));
	return 0;
}

/* A keystore that came back from its words has no list of its keys: that which is one of these is
 * noted again. */
static int find_own_key(struct cli *cli, const struct cli_object *object,
			const struct multisig *multisig, bool *ret_own)
{
	struct keystore_entry entry = {.kind = object->kind, .id = object->id};
	struct keystore keystore = {0};
	struct identity owner = {0};
	bool found = false;
	int r = keys_load(cli, &keystore);

	*ret_own = false;
	for (size_t i = 0; !r && i < keystore.count; i++)
		*ret_own |= !id_from_secret(cli->id, &keystore.entries[i].secret, &owner) &&
			    multisig_has(multisig, &owner.key);
	snprintf(entry.chain, sizeof(entry.chain), "%s", cli->params->name);
	snprintf(entry.label, sizeof(entry.label), "%s", object->label);
	for (entry.number = 0; !r && keystore.has_seed && !found && entry.number < KEYS_LOOKED_AT;
	     entry.number++) {
		keystore_derive(&keystore, cli->id, entry.chain, entry.number, &entry.secret);
		found = !id_from_secret(cli->id, &entry.secret, &owner) &&
			multisig_has(multisig, &owner.key);
		if (found) {
			r = keystore_put(&keystore, &entry) ? CLI_FAILED
							    : keys_save(cli, &keystore);
			break;
		}
	}
	*ret_own |= found;
	keystore_done(&keystore);
	secret_wipe(&owner, sizeof(owner));
	secret_wipe(&entry.secret, sizeof(entry.secret));
	return r;
}

static int receive_multisig(struct cli *cli, const struct args *args,
			    const struct cli_object *object)
{
	uint8_t witness[MULTISIG_SCRIPT_MAX], script[P2WSH_LEN];
	struct multisig multisig;
	bool own = false;
	int r = parse_multisig(cli, args, &multisig);

	if (!r)
		r = keys_lock(cli);
	if (!r)
		r = find_own_key(cli, object, &multisig, &own);
	if (!r)
		r = known_put_multisig(cli, &multisig);
	keys_unlock(cli);
	if (r)
		return r;
	multisig_p2wsh(witness, multisig_write(&multisig, witness), script);
	if (!own)
		cli_note(cli,
			 "none of the keys is of %s: others own what is sent there (dnet receive "
			 "%s --key prints the one that you have for it)",
			 cli->conf.keystore, object->text);
	return print_address(cli, object, script, sizeof(script), NULL, NULL, json_boolean(own));
}

static int receive_key(struct cli *cli, const struct args *args, const struct cli_object *object)
{
	char key[2 * PUBKEY_LEN + 1], admin_key[2 * XONLY_LEN + 1] = "";
	uint8_t script[P2WPKH_LEN], xonly[XONLY_LEN];
	struct keystore keystore = {0};
	struct identity owner = {0}, admin;
	int r = keys_lock(cli);

	if (!r)
		r = keys_load(cli, &keystore);
	if (!r)
		r = new_key(cli, object, &keystore, &owner);
	keys_unlock(cli);
	keystore_done(&keystore);
	if (!r) {
		id_admin_identity(cli->id, &owner.secret, &admin);
		id_xonly(&admin.key, xonly);
		secret_wipe(&admin, sizeof(admin));
	}
	secret_wipe(&owner.secret, sizeof(owner.secret));
	if (r)
		return r;
	if (object->kind == OBJECT_DNET)
		hex_format(xonly, XONLY_LEN, admin_key);
	hex_format(owner.key.bytes, PUBKEY_LEN, key);
	txbuild_p2wpkh(&owner.key, script);
	if (cli->json || (!args_has(args, "key") && !args_has(args, "admin-key")))
		return print_address(cli, object, script, sizeof(script), key,
				     *admin_key ? admin_key : NULL, NULL);
	puts(args_has(args, "key") ? key : admin_key);
	return 0;
}

static int run_receive(struct cli *cli, const struct args *args)
{
	struct cli_object object;
	int r = names_resolve(cli, 0, args->words[0], &object);

	if (!r)
		r = cli_id(cli);
	if (r)
		return r;
	if (args_has(args, "multisig"))
		return receive_multisig(cli, args, &object);
	if (args->count > 1)
		return cli_error(cli, CLI_USAGE, "--multisig M says how many of them have to sign",
				 "keys without --multisig");
	return receive_key(cli, args, &object);
}

const struct cli_command cli_commands_owner[] = {
	{"create", "NAME", "makes a dnet", create_options, 1, 1, true, run_create},
	{"node add", "DNET KEY[=NAME]...|--from FILE",
	 "lets nodes in, or changes what is said of one", add_options, 1, ARGS_MAX, true,
	 run_node_add},
	{"node del", "DNET KEY|NAME...", "shuts nodes out", NULL, 2, ARGS_MAX, true, run_node_del},
	{"link", "DNET OVC|OVR", "lets the dnet use an OVC or OVR", link_options, 2, 2, true,
	 run_link},
	{"unlink", "DNET OVC|OVR", "takes a link back", NULL, 2, 2, true, run_unlink},
	{"receive", "ID [KEY...]",
	 "makes a key for an object of another owner; prints the address for its transfer",
	 receive_options, 1, 1 + MULTISIG_KEYS_MAX, false, run_receive},
	{"transfer", "ID ADDRESS", "gives an object to another owner", transfer_options, 2, 2, true,
	 run_transfer},
	{"rotate", "ID", "moves an object to a new key of the same keystore", rotate_options, 1, 1,
	 true, run_rotate},
	{"close", "ID", "ends an object for good", NULL, 1, 1, true, run_close},
	{0},
};
