#ifndef CLI_SEAL_H
#define CLI_SEAL_H

/* What the next transaction of an object spends, and who may. */

#include "cli/cli.h"
#include "cli/names.h"
#include "core/id.h"
#include "core/keystore.h"
#include "core/txbuild.h"

struct seal {
	struct outpoint outpoint;
	uint64_t value;
	uint32_t sequence; /* of the transaction that made it */
	uint8_t script[TXBUILD_SCRIPT_MAX];
	size_t script_len;
};

/* The newest one that the chain node has unspent, mempool included: that which we made last, or
 * chain.db's. Exit code after the error was printed. */
int seal_choose(struct cli *cli, const struct cli_object *object, struct seal *ret_seal);
/* The key of keystore that a seal with this script pays to. False: none. ret_owner is secret. */
bool seal_owner(struct cli *cli, const struct keystore *keystore, const struct object_id *id,
		const uint8_t *script, size_t script_len, struct identity *ret_owner);
/* The identity that signs rosters under this admin key of a dnet: of whichever key of the dnet it
 * was derived. False: none. ret_admin is secret. */
bool seal_admin(struct cli *cli, const struct keystore *keystore, const struct object_id *id,
		const uint8_t admin_key[static XONLY_LEN], struct identity *ret_admin);
/* Prints that the keystore has no key of the object; CLI_DENIED. */
int seal_not_owner(struct cli *cli, const struct cli_object *object);
/* The same when it has one, and the seal went to another. */
int seal_of_another(struct cli *cli, const struct cli_object *object);

#endif
