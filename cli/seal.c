#include "cli/seal.h"

#include "cli/keys.h"
#include "cli/wallet.h"
#include "core/chainparams.h"
#include "os/chaindb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct candidate {
	struct outpoint outpoint;
	uint32_t sequence;
};

int seal_not_owner(struct cli *cli, const struct cli_object *object)
{
	return cli_error(cli, CLI_DENIED,
			 "use the keystore of its owner: --keystore FILE; or --psbt FILE, for who "
			 "has the key",
			 "the keystore %s has no key for %s %s", cli->conf.keystore,
			 names_kind(object->kind), object->text);
}

int seal_of_another(struct cli *cli, const struct cli_object *object)
{
	return cli_error(cli, CLI_DENIED, "it has been transferred",
			 "the seal of %s belongs to another key than the one in %s", object->text,
			 cli->conf.keystore);
}

static int closed_already(struct cli *cli, const struct cli_object *object)
{
	return cli_error(cli, CLI_FAILED, "create a new one", "%s %s is closed",
			 names_kind(object->kind), object->text);
}

/* The newest seal by chain.db. 0, -ENOENT (also without a chain.db, when we know one ourselves),
 * -ENOLINK, or an exit code. */
static int seal_in_db(struct cli *cli, const struct cli_object *object, bool have_known,
		      struct candidate *ret)
{
	_cleanup_(freep) struct chaindb_seal *seal = malloc(sizeof(*seal));
	int r;

	if (!seal)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	if (have_known && access(cli->conf.chain_db, F_OK))
		return -ENOENT;
	r = cli_db(cli);
	if (r)
		return r;
	r = chaindb_find_seal(cli->db, &object->id, true, seal);
	if (r == -ENOENT || r == -ENOLINK)
		return r;
	if (r)
		return cli_error(cli, CLI_FAILED, NULL, "%s", chaindb_error(cli->db));
	*ret = (struct candidate){seal->outpoint, seal->sequence};
	return 0;
}

/* What may be the newest seal, the likelier first: the one that we made last, which chainwatch may
 * not have seen yet, and chain.db's, in case that ours went from the mempool. */
static int find_candidates(struct cli *cli, const struct cli_object *object,
			   struct candidate ret[static 2], size_t *ret_count)
{
	struct known_seal known;
	bool have_known = known_find(cli, &object->id, &known);
	struct candidate in_db;
	size_t count = 0;
	int r = seal_in_db(cli, object, have_known, &in_db);

	if (r > 0)
		return r;
	if (r == -ENOLINK)
		return closed_already(cli, object);
	if (have_known && !known.closed && (r || known.sequence > in_db.sequence))
		ret[count++] = (struct candidate){known.outpoint, known.sequence};
	if (!r)
		ret[count++] = in_db;
	if (!count && have_known)
		return closed_already(cli, object);
	if (!count)
		return cli_error(cli, CLI_NOT_FOUND, "is chainwatch up to date? See dnet chain",
				 "no seal of %s is known", object->text);
	*ret_count = count;
	return 0;
}

/* The node has the last word on whether the seal is there, what it holds and whose it is. */
int seal_choose(struct cli *cli, const struct cli_object *object, struct seal *ret_seal)
{
	struct wallet_coin coin = {0};
	struct candidate seals[2];
	size_t count = 0, i;
	int r = find_candidates(cli, object, seals, &count);

	for (i = 0; !r && i < count; i++) {
		r = wallet_coin(cli, &seals[i].outpoint, &coin);
		if (coin.unspent)
			break;
	}
	if (r)
		return r;
	if (!coin.unspent)
		return cli_error(
			cli, CLI_FAILED,
			"wait until chainwatch has caught up (dnet chain), look at dnet pending, "
			"and run it again",
			"the seal of %s has been spent already, or its transaction is gone",
			object->text);
	*ret_seal = (struct seal){.outpoint = seals[i].outpoint,
				  .value = coin.value,
				  .sequence = seals[i].sequence,
				  .script_len = coin.script_len};
	memcpy(ret_seal->script, coin.script, coin.script_len);
	return 0;
}

bool seal_owner(struct cli *cli, const struct keystore *keystore, const struct object_id *id,
		const uint8_t *script, size_t script_len, struct identity *ret_owner)
{
	uint8_t own[P2WPKH_LEN];

	for (size_t i = keystore->count; script_len == P2WPKH_LEN && i > 0; i--) {
		const struct keystore_entry *entry = &keystore->entries[i - 1];

		if (strcmp(entry->chain, cli->params->name) != 0 ||
		    !object_id_equal(&entry->id, id) ||
		    id_from_secret(cli->id, &entry->secret, ret_owner))
			continue;
		txbuild_p2wpkh(&ret_owner->key, own);
		if (!memcmp(own, script, P2WPKH_LEN))
			return true;
	}
	secret_wipe(ret_owner, sizeof(*ret_owner));
	return false;
}

bool seal_admin(struct cli *cli, const struct keystore *keystore, const struct object_id *id,
		const uint8_t admin_key[static XONLY_LEN], struct identity *ret_admin)
{
	uint8_t xonly[XONLY_LEN];

	for (size_t i = keystore->count; i > 0; i--) {
		const struct keystore_entry *entry = &keystore->entries[i - 1];

		if (strcmp(entry->chain, cli->params->name) != 0 ||
		    !object_id_equal(&entry->id, id))
			continue;
		id_admin_identity(cli->id, &entry->secret, ret_admin);
		id_xonly(&ret_admin->key, xonly);
		if (!memcmp(xonly, admin_key, XONLY_LEN))
			return true;
	}
	secret_wipe(ret_admin, sizeof(*ret_admin));
	return false;
}
