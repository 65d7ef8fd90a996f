#ifndef WIRE_STATEFILE_H
#define WIRE_STATEFILE_H

/* The state of chainwatch as a file (doc/chain-db.md, "The state as a file"): the transactions that
 * it follows from, each with the proof that its block holds it. Nothing is copied and nothing
 * allocated; all pointers are borrowed from the caller's bytes. What a file cannot prove is that
 * nothing was left out. */

#include "wire/buf.h"
#include "wire/key.h"
#include "wire/tx.h"

enum {
	STATEFILE_VERSION = 1,
	STATEFILE_CHAIN_MAX = 31,      /* characters of a profile's name */
	STATEFILE_TIMES_MAX = 100001,  /* blocks that are kept */
	STATEFILE_DEPTH_MAX = 24,      /* of a merkle tree */
	STATEFILE_TX_MAX = 4000000,    /* bytes, without witness */
	STATEFILE_BYTES_MAX = 1 << 30, /* of a file */
	STATEFILE_MAGIC_LEN = 8,
};

#define STATEFILE_REASONS(X)                                                                       \
	X(STATEFILE_OK, "well formed")                                                             \
	X(STATEFILE_MAGIC, "it is no exported state")                                              \
	X(STATEFILE_NEWER, "it has a version that this program does not know: update dnet")        \
	X(STATEFILE_CHECKSUM, "its checksum is wrong: it was cut or changed on the way")           \
	X(STATEFILE_SHORT, "it ends before its last field, or goes on after it")                   \
	X(STATEFILE_HEAD, "its head says what cannot be")                                          \
	X(STATEFILE_ORDER, "its blocks or transactions are not in order")                          \
	X(STATEFILE_DEPTH, "transactions of one block have proofs of different depth")             \
	X(STATEFILE_TX, "a transaction in it cannot be read, or has a witness")                    \
	X(STATEFILE_PROOF, "a proof in it does not lead from the transaction to its block")        \
	X(STATEFILE_COINBASE, "a block in it does not begin with the coinbase")

enum statefile_reason {
#define X(name, text) name,
	STATEFILE_REASONS(X)
#undef X
};

const char *statefile_reason_text(enum statefile_reason reason);

struct statefile {
	char chain[STATEFILE_CHAIN_MAX + 1]; /* profile */
	struct hash256 genesis;
	uint8_t op_node; /* RECORDS 2, of the profile */
	uint32_t birth_height;
	uint32_t height; /* of the tip */
	struct hash256 hash;
	/* Of the blocks that end with the tip, oldest first; 4 bytes each, see statefile_time(). */
	const uint8_t *times;
	uint32_t time_count; /* 1 to height + 1 */
	uint32_t block_count;
	/* private */
	struct reader r;
	uint32_t blocks_read;
	uint32_t last_height;
	enum statefile_reason reason; /* of the last failure */
};

struct statefile_block {
	uint32_t height;
	struct hash256 hash;
	struct block_header header;
	uint32_t tx_count;
	/* private */
	uint32_t txs_read;
	uint32_t last_index;
	uint8_t depth;
};

struct statefile_tx {
	uint32_t index; /* in its block */
	struct tx_view tx;
};

/* The whole file, its checksum first. */
enum statefile_reason statefile_open(struct statefile *ret, const void *data, size_t len);
/* Of the block number i of those that are kept. */
uint32_t statefile_time(const struct statefile *file, uint32_t i);
/* One block after the other, in order of height, and all transactions of one before the next. False
 * after the last and at the first thing that is wrong: ask file->reason. */
bool statefile_next_block(struct statefile *file, struct statefile_block *ret);
/* Its place in the block is proven when this is true; the first one is the coinbase. */
bool statefile_next_tx(struct statefile *file, struct statefile_block *block,
		       struct statefile_tx *ret);

/* Writing: the head up to the number of blocks, then each block and its transactions, then the
 * checksum over all that (32 bytes of SHA-256). */
void statefile_write_head(struct writer *w, const struct statefile *head);
void statefile_write_block(struct writer *w, uint32_t height,
			   const uint8_t header[BLOCK_HEADER_LEN], uint32_t tx_count);
/* branch: `depth` hashes of statefile_branch(). */
void statefile_write_tx(struct writer *w, uint32_t index, const struct hash256 *branch,
			uint8_t depth, const struct tx_view *tx);
/* Bytes that statefile_write_tx() needs. */
size_t statefile_tx_size(uint8_t depth, const struct tx_view *tx);
/* The siblings from leaf `index` of `count` up to the root; txids is destroyed. Returns how many;
 * count is at least 1 and at most 2^STATEFILE_DEPTH_MAX. */
uint8_t statefile_branch(struct hash256 *txids, size_t count, size_t index,
			 struct hash256 ret_branch[STATEFILE_DEPTH_MAX]);

enum {
	STATEFILE_BLOCK_LEN = 4 + BLOCK_HEADER_LEN + 4,
	/* of a head, the times not counted */
	STATEFILE_HEAD_MAX = STATEFILE_MAGIC_LEN + 2 + 1 + STATEFILE_CHAIN_MAX + HASH_LEN + 1 + 4 +
			     4 + HASH_LEN + 4 + 4,
};

#endif
