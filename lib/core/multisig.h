#ifndef CORE_MULTISIG_H
#define CORE_MULTISIG_H

/* Seals of several owners: M of N keys, in the order of their bytes (BIP67), as the witness script
 * of P2WSH. What others call wsh(sortedmulti(M,…)). */

#include "core/id.h"
#include "core/txbuild.h"

enum {
	MULTISIG_KEYS_MAX = 15,
	MULTISIG_SCRIPT_MAX = 3 + MULTISIG_KEYS_MAX * (1 + PUBKEY_LEN),
	P2WSH_LEN = 34,
};

struct multisig {
	unsigned need;
	size_t count;
	struct node_key keys[MULTISIG_KEYS_MAX];
};

/* Sorts the keys. The length; 0: need is not 1 to count, there are too many keys, or one twice. */
size_t multisig_write(struct multisig *multisig, uint8_t ret_script[static MULTISIG_SCRIPT_MAX]);
/* Only what multisig_write() writes. */
bool multisig_parse(const uint8_t *script, size_t len, struct multisig *ret_multisig);
bool multisig_has(const struct multisig *multisig, const struct node_key *key);
/* OP_0 SHA256(witness script). */
void multisig_p2wsh(const uint8_t *script, size_t len, uint8_t ret_script[static P2WSH_LEN]);
/* Virtual bytes of an input that spends it. */
size_t multisig_input_vsize(const struct multisig *multisig);

#endif
