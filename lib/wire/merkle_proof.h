#ifndef WIRE_MERKLE_PROOF_H
#define WIRE_MERKLE_PROOF_H

/* Proofs that a transaction is in a block, against the merkle root of its header. Two forms: what
 * `gettxoutproof` gives (BIP37's partial tree), and a plain branch from a leaf to the root, beside
 * which goes that of the coinbase.
 *
 * The tree says neither where it ends nor whether 64 bytes are two hashes or a transaction
 * (CVE-2017-12842), and a last node stands for itself twice (CVE-2012-2459). Hence: no transaction
 * of 64 bytes, a coinbase at the same depth, no node beside its equal but the last of a level.
 */

#include "wire/buf.h"
#include "wire/key.h"

enum {
	/* Of 4,000,000 units; the smallest transaction has 60 bytes of 4 units each. */
	MERKLE_TXS_MAX = 16666,
	MERKLE_DEPTH_MAX = 15,
	MERKLE_TX_AMBIGUOUS = 64, /* bytes without witness: as long as two hashes */
};

#define MERKLE_REASONS(X)                                                                          \
	X(MERKLE_OK, "in the block")                                                               \
	X(MERKLE_FORM, "not a proof: cut, too long, or with bytes behind it")                      \
	X(MERKLE_COUNT, "a number of transactions or hashes that no block has")                    \
	X(MERKLE_DEEP, "a branch deeper than any block's")                                         \
	X(MERKLE_DUPLICATE, "two equal nodes side by side")                                        \
	X(MERKLE_UNUSED, "hashes or bits that the tree has no place for")                          \
	X(MERKLE_ROOT, "the hashes lead to another root")                                          \
	X(MERKLE_TX, "its transaction is malformed")                                               \
	X(MERKLE_TX_64, "a transaction as long as two hashes")                                     \
	X(MERKLE_COINBASE, "its coinbase is none, or stands at another depth")

enum merkle_reason {
#define X(name, text) name,
	MERKLE_REASONS(X)
#undef X
};

const char *merkle_reason_text(enum merkle_reason reason);

/* As gettxoutproof gives it; borrowed. */
struct merkle_block {
	const uint8_t *header;	      /* BLOCK_HEADER_LEN */
	uint32_t tx_count;	      /* as it claims: 1 to MERKLE_TXS_MAX */
	const struct hash256 *hashes; /* depth first */
	uint32_t hash_count;
	struct span flags; /* a bit for each node visited, lowest first */
};

struct merkle_match {
	struct hash256 txid;
	uint32_t index; /* in the block */
};

/* The whole of data. ret is untouched unless MERKLE_OK. */
enum merkle_reason merkle_block_parse(const void *data, size_t len, struct merkle_block *ret);
void merkle_block_write(struct writer *w, const struct merkle_block *m);
/* Whether the hashes lead to the header's root, and which transactions are marked: the first max
 * of them go to ret, *ret_count says how many there are. Does not say whether they are
 * transactions: see merkle_proof_check(). */
enum merkle_reason merkle_block_check(const struct merkle_block *m, struct merkle_match *ret,
				      size_t max, size_t *ret_count);

/* From a leaf to the root: the hash beside one's own on each level, lowest first. */
struct merkle_branch {
	const struct hash256 *hashes; /* borrowed */
	uint32_t depth;		      /* 0 to MERKLE_DEPTH_MAX */
	uint32_t index;		      /* of the leaf: below 2^depth */
};

/* u32 index, u8 depth, hashes. */
bool merkle_branch_read(struct reader *r, struct merkle_branch *ret);
void merkle_branch_write(struct writer *w, const struct merkle_branch *branch);
/* MERKLE_DEEP (or an index beyond the depth), MERKLE_DUPLICATE, or the root. */
enum merkle_reason merkle_branch_root(const struct merkle_branch *branch,
				      const struct hash256 *leaf, struct hash256 *ret);
/* The branch of leaf number index among count, which is 1 to MERKLE_TXS_MAX. leaves is used up. Its
 * hashes go to ret_hashes, from where the branch borrows them. */
struct merkle_branch merkle_branch_make(struct hash256 *leaves, uint32_t count, uint32_t index,
					struct hash256 ret_hashes[static MERKLE_DEPTH_MAX]);

/* Raw transactions and their branches. Where the transaction is the coinbase itself, both are
 * the same. */
struct merkle_proof {
	struct span tx;
	struct merkle_branch branch;
	struct span coinbase;
	struct merkle_branch coinbase_branch;
};

/* Whether the transaction is the one at branch.index of the block with that root, as sure as the
 * work of its header. */
enum merkle_reason merkle_proof_check(const struct merkle_proof *proof, const struct hash256 *root);

#endif
