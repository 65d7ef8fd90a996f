#ifndef CORE_PSBTSIGN_H
#define CORE_PSBTSIGN_H

/* Signing inputs of a PSBT whose seal a key owns, alone (P2WPKH) or with others (multisig.h). */

#include "core/multisig.h"
#include "wire/psbt.h"

struct psbt_coin {
	uint64_t value;
	struct span script; /* borrowed */
};

/* What input index spends, by the PSBT. False: it does not say, or says two things: where the whole
 * transaction is there, its id and its output have to be those that are spent. */
bool psbtsign_coin(const struct psbt *psbt, size_t index, struct psbt_coin *ret_coin);
/* The multisig that input index spends of; false: none, or its script is not there. */
bool psbtsign_multisig(const struct psbt *psbt, size_t index, struct multisig *ret_multisig);
/* Signatures of a multisig that are there. They are not verified: the node does. */
size_t psbtsign_count(const struct psbt *psbt, size_t index);
/* Input index is one that this key may sign, and has not yet. */
bool psbtsign_wants(const struct psbt *psbt, size_t index, const struct node_key *key);
/* Writes the PSBT with the signature to w. tx: its unsigned transaction. False: not one that it
 * wants, or another kind of signature than SIGHASH_ALL is asked for. */
bool psbtsign_input(const struct psbt *psbt, const struct txbuild *tx, size_t index,
		    const struct id *id, const struct identity *identity, struct writer *w);

#endif
