#ifndef CHAINWATCH_BLOCKINDEX_H
#define CHAINWATCH_BLOCKINDEX_H

/* Which block lies where in a node's block files, and which of them are the best chain. Blocks come
 * in any order, with branches that lost among them. The chain with the most work by what its
 * headers say is the best; that the work was done is the node's affair, who wrote the files.
 * About 76 bytes a block. */

#include "wire/tx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blockindex;

enum { BLOCKINDEX_NONE = UINT32_MAX };

struct blockindex_entry {
	struct hash256 hash;
	/* From the root on. Of 2^96, which a chain of today has, a double tells 2^43 apart, and a
	 * block has 2^80. */
	double work;
	uint32_t parent; /* number of its entry; BLOCKINDEX_NONE: none */
	uint32_t height; /* BLOCKINDEX_NONE: no way to a root is known */
	uint32_t file;
	uint32_t offset; /* of the block in its file */
	uint32_t len;	 /* 0: some block names it as its parent, and nothing else is known */
};

/* The genesis is a root at height 0, whether it is added or not. 0 or -ENOMEM. */
int blockindex_new(const struct hash256 *genesis, struct blockindex **ret_index);
void blockindex_free(struct blockindex *index);
/* 1, 0 (known already; the first place counts) or -ENOMEM. */
int blockindex_add(struct blockindex *index, const uint8_t header[BLOCK_HEADER_LEN], uint32_t file,
		   uint32_t offset, uint32_t len);
/* Blocks that are there. */
uint32_t blockindex_count(const struct blockindex *index);
/* A block that is there and whose parent is not, from entry *number on, which is moved behind it;
 * NULL: no more. */
const struct blockindex_entry *blockindex_next_root(const struct blockindex *index,
						    uint32_t *number);
/* It has this height; work is counted from it on. */
void blockindex_anchor(struct blockindex *index, const struct hash256 *hash, uint32_t height);
/* Finds the best chain anew where that is needed. 0 or -ENOMEM. */
int blockindex_link(struct blockindex *index);
/* Of the best chain as of the last link; NULL: no block is linked to a root. */
const struct blockindex_entry *blockindex_tip(const struct blockindex *index);
const struct blockindex_entry *blockindex_at(const struct blockindex *index, uint32_t height);
/* NULL: not there. */
const struct blockindex_entry *blockindex_find(const struct blockindex *index,
					       const struct hash256 *hash);
bool blockindex_is_best(const struct blockindex *index, const struct blockindex_entry *entry);

/* Expected number of hashes for the compact target of a header; 0 when it is none. */
double block_work(uint32_t bits);

#endif
