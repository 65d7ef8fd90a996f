#ifndef CORE_SPEND_H
#define CORE_SPEND_H

/* Whether an input is signed by who may spend the output: what a light member asks of a transaction
 * that no block has yet, since no node of its own has checked it. */

#include "wire/buf.h"
#include "wire/tx.h"

#include <stdint.h>

struct id;

enum { SPEND_KEYS_MAX = 16 }; /* OP_1 to OP_16 of a multisig */

enum spend_verdict {
	SPEND_VALID,
	SPEND_INVALID, /* no node takes it */
	SPEND_UNKNOWN, /* a script, or a kind of signature, that is not checked here */
};

/* Input number index of tx against the output that it spends. Checked are P2WPKH, and P2WSH of
 * m-of-n keys, with signatures of SIGHASH_ALL (BIP143). */
enum spend_verdict spend_check(const struct id *id, const struct tx_view *tx, uint32_t index,
			       struct span script, uint64_t value);

/* BIP143 for SIGHASH_ALL; script_code without its length. */
void spend_sighash(const struct tx_view *tx, uint32_t index, struct span script_code,
		   uint64_t value, struct hash256 *ret_hash);

/* The items of one input's witness; false: there is none, or more than max. Borrowed. */
bool spend_witness(const struct tx_view *tx, uint32_t index, struct span *ret_items, size_t max,
		   size_t *ret_count);

#endif
