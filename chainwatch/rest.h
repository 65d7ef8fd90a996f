#ifndef CHAINWATCH_REST_H
#define CHAINWATCH_REST_H

/* Blocks and headers as bytes, by the REST interface that a chain node has on its RPC port when it
 * was started with -rest (Bitcoin Core, doc/REST-interface.md). It is asked once whether it has; a
 * node without it, or whose answer is not what was asked for, is asked by JSON-RPC. */

#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc;

enum {
	REST_HEADERS_MAX = 500, /* in one answer */
	REST_PROBE_MS = 2000,
};

struct rest {
	struct rpc *rpc; /* borrowed */
	bool on;
	char how[160]; /* for status: "JSON-RPC" and why, or "REST" */
	/* The highest of the hashes that were told last, by REST or not: headers are asked for from
	 * there. */
	struct hash256 last;
	uint32_t last_height;
	bool has_last;
};

/* Whether the node has it, by the header of its genesis block. timeout_ms: of the calls after. */
void rest_probe(struct rest *rest, const struct hash256 *genesis, uint32_t timeout_ms);
/* For people; borrowed. */
const char *rest_how(const struct rest *rest);
/* The hash of the best chain that was told for this height. */
void rest_note(struct rest *rest, uint32_t height, const struct hash256 *hash);

/* All return 1, or 0: ask by JSON-RPC; or the negative errno of rpc_get() when nobody answers. */

/* Hashes of the best chain from height on, count or REST_HEADERS_MAX, fewer at its end. */
int rest_hashes(struct rest *rest, uint32_t height, size_t count, struct hash256 *ret_hashes,
		size_t *ret_count);
/* *ret_raw begins with the header of this hash; borrowed until the next call to the node. */
int rest_block(struct rest *rest, const struct hash256 *hash, const uint8_t **ret_raw,
	       size_t *ret_len);

#endif
