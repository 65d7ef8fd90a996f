#ifndef CHAINWATCH_BLOCKWALK_H
#define CHAINWATCH_BLOCKWALK_H

/* Walks the records of one block file of a node of the Bitcoin family: magic 4, length u32 LE, the
 * block. Between records may lie anything: zeros that the node has allocated ahead, what an unclean
 * stop left behind. Since Bitcoin Core 28 all bytes are XORed with the 8 bytes of xor.dat, by the
 * position in the file. Only the 88 first bytes of a record are read. */

#include "wire/tx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	BLOCKWALK_KEY_LEN = 8,
	BLOCKWALK_HEAD_LEN = 8,
	/* of a block; twice what any chain of the family allows */
	BLOCKWALK_BLOCK_MAX = 32 << 20,
	BLOCKWALK_WINDOW = 64 << 10,
};

struct blockwalk {
	uint8_t magic[4];
	uint8_t key[BLOCKWALK_KEY_LEN]; /* zeros: none */
	/* As pread(2): fewer bytes only at the end of the file, -errno on failure. */
	ssize_t (*read)(void *arg, void *buffer, size_t len, uint64_t pos);
	/* Whether a header that was found by looking for the magic, and not right behind another
	 * record, can be one: inside old garbage may lie what somebody put in a transaction. */
	bool (*plausible)(void *arg, const uint8_t header[BLOCK_HEADER_LEN]);
	void *arg;
	uint64_t pos;	  /* what is looked at next; at first 0 */
	uint64_t good;	  /* behind the last record */
	uint64_t skipped; /* bytes so far that were none of a record */
	bool grows; /* the node may be writing it: zeros, or a record that is not whole, end it */
	uint8_t window[BLOCKWALK_WINDOW];
	uint64_t window_pos;
	size_t window_len;
	size_t window_want; /* bytes to read at once */
};

struct blockwalk_record {
	uint64_t offset; /* of the block in the file */
	uint32_t len;
	uint8_t header[BLOCK_HEADER_LEN];
};

/* The next record: 1; 0 at the end; or read's -errno. At the end pos is where to go on once the
 * file has grown; call blockwalk_forget() then. */
int blockwalk_next(struct blockwalk *walk, struct blockwalk_record *ret);
/* What was read may have changed. */
void blockwalk_forget(struct blockwalk *walk);
/* Takes the key off, or puts it on: data begins at pos in its file. */
void blockwalk_xor(const uint8_t key[BLOCKWALK_KEY_LEN], uint64_t pos, uint8_t *data, size_t len);

#endif
