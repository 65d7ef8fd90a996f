#ifndef WIRE_PSBT_H
#define WIRE_PSBT_H

/* Partially signed transactions, BIP174 version 0: a view of the bytes, and copies of them with a
 * pair more, with the pairs of another one, or with an input finished. What is not known here is
 * carried on as it is. Nothing is allocated; all pointers are borrowed from the caller's bytes. */

#include "wire/tx.h"

#define PSBT_REASONS(X)                                                                            \
	X(PSBT_OK, "well formed")                                                                  \
	X(PSBT_MAGIC, "does not begin as a PSBT does")                                             \
	X(PSBT_TRUNCATED, "ends before its last map")                                              \
	X(PSBT_TRAILING, "bytes after its last map")                                               \
	X(PSBT_DUPLICATE, "a key twice in one map")                                                \
	X(PSBT_KEY, "a key of a known type with a wrong length")                                   \
	X(PSBT_VALUE, "a value of a known type with a wrong length")                               \
	X(PSBT_VERSION, "a version of the format that is not known")                               \
	X(PSBT_NO_TX, "no unsigned transaction in it")                                             \
	X(PSBT_TX, "what should be the unsigned transaction is none")                              \
	X(PSBT_SIGNED, "its unsigned transaction has signatures")                                  \
	X(PSBT_LARGE, "more inputs or outputs than dnet reads")

enum psbt_reason {
#define X(name, text) name,
	PSBT_REASONS(X)
#undef X
};

enum {
	PSBT_INPUTS_MAX = 64,
	PSBT_OUTPUTS_MAX = 258,
	PSBT_MAPS_MAX = 1 + PSBT_INPUTS_MAX + PSBT_OUTPUTS_MAX,
	PSBT_PAIRS_MAX = 256, /* of one map */
	PSBT_SIZE_MAX = 4 << 20,

	PSBT_GLOBAL_TX = 0x00,
	PSBT_GLOBAL_XPUB = 0x01,
	PSBT_GLOBAL_VERSION = 0xfb,
	PSBT_IN_TX = 0x00,	      /* the whole transaction that it spends of */
	PSBT_IN_OUTPUT = 0x01,	      /* value and script that it spends, of a segwit input */
	PSBT_IN_SIGNATURE = 0x02,     /* key: the public key; DER and the sighash byte */
	PSBT_IN_SIGHASH = 0x03,	      /* u32 */
	PSBT_IN_REDEEM = 0x04,	      /* script of P2SH */
	PSBT_IN_WITNESS = 0x05,	      /* script of P2WSH */
	PSBT_IN_KEY = 0x06,	      /* key: a public key; fingerprint and path */
	PSBT_IN_FINAL_SCRIPT = 0x07,  /* finished: scriptSig */
	PSBT_IN_FINAL_WITNESS = 0x08, /* finished: count of items and the items */
	PSBT_OUT_REDEEM = 0x00,
	PSBT_OUT_WITNESS = 0x01,
	PSBT_OUT_KEY = 0x02,
};

struct psbt {
	struct span raw;
	struct tx_view tx; /* unsigned */
	uint32_t input_count, output_count;
	/* Pairs without the 00 behind them: the global map, the inputs', the outputs'. */
	struct span maps[PSBT_MAPS_MAX];
};

struct psbt_pair {
	uint8_t type;
	struct span key; /* behind the type */
	struct span value;
};

const char *psbt_reason_text(enum psbt_reason reason);
enum psbt_reason psbt_parse(const void *data, size_t len, struct psbt *ret_psbt);

/* The map of an input; that of an output. */
size_t psbt_input(size_t index);
size_t psbt_output(const struct psbt *psbt, size_t index);
/* Walks a map of a parsed one: begin with reader_init(r, map.data, map.len). False after the last.
 */
bool psbt_next(struct reader *r, struct psbt_pair *ret_pair);
/* The pair with this key; false: there is none. */
bool psbt_find(const struct psbt *psbt, size_t map, uint8_t type, const void *key, size_t key_len,
	       struct span *ret_value);
/* Both are of the same unsigned transaction. */
bool psbt_same(const struct psbt *a, const struct psbt *b);

/* All write the whole PSBT to w, and fail as the writer does. */

/* A new one of an unsigned transaction, with empty maps. */
void psbt_create(struct writer *w, const void *tx, size_t tx_len, size_t inputs, size_t outputs);
/* A copy with a pair in the place of the one with the same key, or behind the others. */
void psbt_put(struct writer *w, const struct psbt *psbt, size_t map, uint8_t type, const void *key,
	      size_t key_len, const void *value, size_t value_len);
/* A copy of a with those pairs of b that a has not: psbt_same(a, b). */
void psbt_combine(struct writer *w, const struct psbt *a, const struct psbt *b);

#endif
