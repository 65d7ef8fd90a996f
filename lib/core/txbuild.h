#ifndef CORE_TXBUILD_H
#define CORE_TXBUILD_H

/* Building and signing the transactions that carry records. Carrier (a) of RECORDS 2: the payload
 * in an OP_RETURN at vout[0], the new seal at vout[1], the seal that is spent at vin[0]. Amounts
 * are integers in the chain's smallest unit ("sat") everywhere. */

#include "core/id.h"
#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TXBUILD_INPUTS_MAX = 64,
	TXBUILD_PAYLOADS_MAX = 256,			/* OP_RETURNs of one transaction */
	TXBUILD_OUTPUTS_MAX = TXBUILD_PAYLOADS_MAX + 2, /* the seal, and the change */
	TXBUILD_SCRIPT_MAX = 83,			/* OP_RETURN, OP_PUSHDATA1, 80 bytes */
	TXBUILD_PAYLOAD_MAX = 80,			/* RECORDS 1.1 */
	TXBUILD_RAW_MAX = 100000,			/* largest standard transaction, bytes */
	TXBUILD_WITNESS_MAX = 1 + 1 + ECDSA_DER_MAX + 1 + 1 + PUBKEY_LEN,
	TXBUILD_SEAL_INPUT_VSIZE = 68, /* a P2WPKH input with its witness, rounded up */
	P2WPKH_LEN = 22,
};

struct txbuild_input {
	struct outpoint prev;
	uint32_t sequence;
	const uint8_t *script; /* borrowed from the parsed bytes */
	size_t script_len;
	const uint8_t *witness; /* borrowed; the count of items and the items; NULL: none */
	size_t witness_len;
};

struct txbuild_output {
	uint64_t value;
	uint8_t script[TXBUILD_SCRIPT_MAX];
	size_t script_len;
};

struct txbuild {
	uint32_t version;
	uint32_t locktime;
	size_t input_count;
	size_t output_count;
	struct txbuild_input inputs[TXBUILD_INPUTS_MAX];
	struct txbuild_output outputs[TXBUILD_OUTPUTS_MAX];
};

/* A raw transaction as a node gives it, with or without witness. ret_tx borrows from raw. 0;
 * -DNET_EFORMAT; -E2BIG: more inputs, outputs or longer scripts than we build; -EOPNOTSUPP: an
 * extension block (Litecoin's MWEB), whose inputs cannot be shown to others. */
int txbuild_parse(const uint8_t *raw, size_t len, struct txbuild *ret_tx);
/* The length, or 0 when it does not fit into size. Without witness it is what the txid hashes. */
size_t txbuild_write(const struct txbuild *tx, bool with_witness, uint8_t *dst, size_t size);
void txbuild_txid(const struct txbuild *tx, struct hash256 *ret_txid);
/* Virtual bytes as it stands (with the witnesses that are there), rounded up. */
size_t txbuild_vsize(const struct txbuild *tx);
uint64_t txbuild_output_sum(const struct txbuild *tx);

/* Version 2, no inputs, the OP_RETURN and one output (the new seal) of value. payload_len is 1 to
 * TXBUILD_PAYLOAD_MAX, script_len 1 to TXBUILD_SCRIPT_MAX. */
void txbuild_carrier(struct txbuild *tx, const uint8_t *payload, size_t payload_len,
		     const uint8_t *script, size_t script_len, uint64_t value);
/* A further OP_RETURN behind the outputs that are there (RECORDS 2.1). False: TXBUILD_PAYLOADS_MAX
 * are there. */
bool txbuild_add_payload(struct txbuild *tx, const uint8_t *payload, size_t payload_len);
/* True when tx has the outputs of carrier in their order, and at most one more, as vout[2] (the
 * change): a node that funds a transaction must not have changed what it says. */
bool txbuild_carries(const struct txbuild *tx, const struct txbuild *carrier);
/* The number of the output that is neither OP_RETURN nor one of the first two; 0 when there is
 * none. */
size_t txbuild_change(const struct txbuild *tx);
/* The payload of output number index, when that is an OP_RETURN with one push; borrowed. */
bool txbuild_payload(const struct txbuild *tx, size_t index, const uint8_t **ret_payload,
		     size_t *ret_len);
/* Puts the old seal before all inputs and gives its value, minus the fee of its own input (of
 * vsize virtual bytes), to the wallet's change, or to the new seal where there is none.
 * fee_rate: sat per 1000 virtual bytes. 0; -ENOSPC: no room for an input; -ERANGE: the output
 * would fall below least (what a node still relays). */
int txbuild_splice_seal(struct txbuild *tx, const struct outpoint *seal, uint64_t value,
			size_t vsize, uint64_t fee_rate, uint64_t least);

/* OP_0 HASH160(key): the script of a seal that one key owns. */
void txbuild_p2wpkh(const struct node_key *key, uint8_t ret_script[static P2WPKH_LEN]);
/* BIP143, SIGHASH_ALL. script_code is without its length. */
void txbuild_sighash(const struct txbuild *tx, size_t index, const uint8_t *script_code,
		     size_t script_code_len, uint64_t value, struct hash256 *ret_hash);
/* Signs input index as P2WPKH of identity with value. The witness is written to mem, which the
 * transaction borrows from then on. False: the secret is not a scalar. */
bool txbuild_sign(struct txbuild *tx, size_t index, const struct id *id,
		  const struct identity *identity, uint64_t value,
		  uint8_t mem[static TXBUILD_WITNESS_MAX]);

#endif
