#ifndef WIRE_TX_H
#define WIRE_TX_H

/* Views of raw blocks, transactions and scripts of Bitcoin's family: nothing is copied and nothing
 * allocated; all pointers are borrowed from the caller's bytes. Litecoin's MWEB is known as far as
 * it has to be skipped: transaction flag 0x08 and the extension block after the last transaction.
 */

#include "wire/buf.h"
#include "wire/key.h"

enum {
	BLOCK_HEADER_LEN = 80,
	OUTPOINT_LEN = 36,
	SCRIPT_PUSH_DIRECT_MAX = 75,
	OP_0 = 0x00,
	OP_PUSHDATA1 = 0x4c,
	OP_PUSHDATA2 = 0x4d,
	OP_PUSHDATA4 = 0x4e,
	OP_1 = 0x51,
	OP_16 = 0x60,
	OP_RETURN = 0x6a,
	OP_2DROP = 0x6d,
	OP_DROP = 0x75,
	OP_DUP = 0x76,
	OP_EQUAL = 0x87,
	OP_EQUALVERIFY = 0x88,
	OP_HASH160 = 0xa9,
	OP_CHECKSIG = 0xac,
};

#define TX_REASONS(X)                                                                              \
	X(TX_OK, "well formed")                                                                    \
	X(TX_TRUNCATED, "ends before its last field")                                              \
	X(TX_TRAILING, "bytes after its last field")                                               \
	X(TX_COUNT, "a count or length that is not canonical or larger than what is there")        \
	X(TX_NO_INPUTS, "a transaction without inputs")                                            \
	X(TX_NO_OUTPUTS, "a transaction without outputs")                                          \
	X(TX_FLAGS, "transaction flags that are not known")                                        \
	X(TX_EMPTY_WITNESS, "the witness flag without a witness")                                  \
	X(TX_MWEB, "MWEB data inside a block's transaction")                                       \
	X(TX_NO_TXS, "a block without transactions")                                               \
	X(TX_COINBASE, "the first transaction is not a coinbase, or another one is")

enum tx_reason {
#define X(name, text) name,
	TX_REASONS(X)
#undef X
};

const char *tx_reason_text(enum tx_reason reason);

enum tx_flag {
	TX_FLAG_WITNESS = 0x01,
	TX_FLAG_MWEB = 0x08,
};

struct tx_view {
	struct span raw; /* the whole serialization */
	struct span
		body; /* counts, inputs and outputs: what is hashed between version and locktime */
	struct span witness;	/* of all inputs; empty without TX_FLAG_WITNESS */
	const uint8_t *inputs;	/* first input, past the count */
	const uint8_t *outputs; /* first output, past the count */
	uint32_t version;
	uint32_t locktime;
	uint32_t input_count;
	uint32_t output_count;
	uint8_t flags; /* enum tx_flag; 0: the form without marker */
};

struct tx_input {
	const uint8_t *outpoint; /* OUTPOINT_LEN bytes: txid, vout */
	struct span script;
	uint32_t sequence;
};

struct tx_output {
	uint64_t value; /* base units */
	struct span script;
};

/* Walks inputs or outputs of a tx_view, which was checked when it was made: no failure. */
struct tx_iter {
	const uint8_t *pos;
	uint32_t left;
};

/* The bytes of one transaction, all of them. */
enum tx_reason tx_parse(const void *data, size_t len, struct tx_view *ret);
struct tx_iter tx_inputs(const struct tx_view *tx);
struct tx_iter tx_outputs(const struct tx_view *tx);
/* False after the last. */
bool tx_next_input(struct tx_iter *it, struct tx_input *ret);
bool tx_next_output(struct tx_iter *it, struct tx_output *ret);
/* Output number index; false when there are fewer. */
bool tx_output_at(const struct tx_view *tx, uint32_t index, struct tx_output *ret);
/* What vin[0] spends. */
struct outpoint tx_first_outpoint(const struct tx_view *tx);
struct outpoint tx_input_outpoint(const struct tx_input *input);
bool tx_is_coinbase(const struct tx_view *tx);
/* Size without marker, flags, witness and MWEB; weight is 3 times this and raw.len. */
size_t tx_stripped_size(const struct tx_view *tx);
/* Hash without the witness. */
void tx_txid(const struct tx_view *tx, struct hash256 *ret);
/* BIP141: hash with the witness, without MWEB; the txid where there is no witness. */
void tx_wtxid(const struct tx_view *tx, struct hash256 *ret);

struct block_header {
	uint32_t version;
	struct hash256 prev;
	struct hash256 merkle_root;
	uint32_t time; /* seconds since 1970 */
	uint32_t bits; /* compact target */
	uint32_t nonce;
};

void block_header_parse(const uint8_t raw[BLOCK_HEADER_LEN], struct block_header *ret);
void block_header_write(const struct block_header *header, uint8_t ret[BLOCK_HEADER_LEN]);
/* sha256d of the 80 bytes: the block's id on every chain of the family (not always its work). */
void block_hash(const uint8_t raw[BLOCK_HEADER_LEN], struct hash256 *ret);

/* A raw block, one transaction after the other:
 *
 *	reason = block_open(&block, data, len);
 *	while (block_next(&block, &tx))
 *		...
 *	if (block.reason != TX_OK) ...the block is malformed; what was visited before may be used
 *				      only if it can be taken back
 */
struct block_view {
	struct span raw;
	struct block_header header;
	struct span extension; /* MWEB extension block; set by the last block_next() */
	const uint8_t *pos;
	uint32_t tx_count;
	uint32_t tx_index; /* of the transaction that block_next() gave */
	uint32_t visited;
	bool last_is_mweb;
	enum tx_reason reason;
};

enum tx_reason block_open(struct block_view *ret, const void *data, size_t len);
/* False after the last transaction and at the first malformed byte: ask block->reason. */
bool block_next(struct block_view *block, struct tx_view *ret);

/* Merkle root, one txid after the other. */
struct merkle {
	struct hash256
		level[32]; /* level[i]: a finished subtree of 2^i leaves, if bit i of count */
	uint32_t count;
	bool mutated; /* two equal siblings: CVE-2012-2459, the same root for other leaves */
};

void merkle_init(struct merkle *m);
void merkle_add(struct merkle *m, const struct hash256 *leaf);
/* count is at least 1. Ends the use of m. */
void merkle_root(struct merkle *m, struct hash256 *ret);
/* The txids of the whole block against its header; false also for a mutated or malformed block. */
bool block_merkle_ok(const void *data, size_t len);
/* BIP141: the witnesses of a block whose txids are right are those that its coinbase commits to; a
 * block that commits to nothing has none. Without this a peer could send other witnesses. */
bool block_witness_ok(const void *data, size_t len);

struct script_op {
	uint8_t opcode;
	bool is_push;	  /* OP_0 (empty), direct, PUSHDATA1, 2, 4; not OP_1 to OP_16 */
	struct span push; /* its data */
};

/* The next opcode of a script in r. False at the end, and when a push runs past it (r->failed). */
bool script_next(struct reader *r, struct script_op *ret);

enum script_kind {
	SCRIPT_OTHER,
	SCRIPT_P2PKH,  /* hash: 20 */
	SCRIPT_P2SH,   /* hash: 20 */
	SCRIPT_P2WPKH, /* hash: 20 */
	SCRIPT_P2WSH,  /* hash: 32 */
	SCRIPT_P2TR,   /* hash: x-only key, 32 */
	SCRIPT_OP_RETURN,
};

/* ret_hash (may be NULL) is borrowed from the script; empty for OTHER and OP_RETURN. */
enum script_kind script_classify(struct span script, struct span *ret_hash);
/* Standard scripts from their hash, key hash or key; false when it does not fit. */
void script_write(struct writer *w, enum script_kind kind, const uint8_t *hash);
/* The shortest push of data (without OP_1 to OP_16). */
void script_write_push(struct writer *w, const void *data, size_t len);

#endif
