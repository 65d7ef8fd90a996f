#ifndef CHAINWATCH_SOURCE_H
#define CHAINWATCH_SOURCE_H

/* Where blocks come from: one vtable for every kind of chain node. Calls block; they are made by
 * the one thread that steps. */

#include "wire/key.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source;
struct chainparams;
struct rpc_config;

struct source_header {
	uint32_t height;
	bool active; /* on the chain that the source holds best */
};

/* What is wrong when a call fails, for status. */
enum source_trouble {
	SOURCE_FINE,
	SOURCE_DOWN,	/* cannot be reached, or is silent */
	SOURCE_DENIED,	/* wrong credentials */
	SOURCE_GARBAGE, /* answers what nobody asked for */
	SOURCE_WARMUP,	/* says that it is starting */
	SOURCE_ERROR,	/* says an error */
	SOURCE_CONFIG,	/* our own settings */
};

/* raw is borrowed for the call. A return other than 0 ends the walk with it. */
typedef int (*source_bytes_cb)(void *arg, size_t index, const uint8_t *raw, size_t len);

/* All return 0 or a negative errno; -ENOENT is "the source does not have that". */
struct source_ops {
	const char *name;
	bool bulk; /* made for history: another one follows better */
	int (*genesis)(struct source *source, struct hash256 *ret_hash);
	/* -EINPROGRESS: it has to prepare first; step again at once. */
	int (*tip)(struct source *source, struct hash256 *ret_hash);
	int (*header)(struct source *source, const struct hash256 *hash,
		      struct source_header *ret_header);
	/* Of the best chain, from a height on; fewer than count at its end. */
	int (*hashes)(struct source *source, uint32_t height, size_t count,
		      struct hash256 *ret_hashes, size_t *ret_count);
	int (*blocks)(struct source *source, const struct hash256 *hashes, size_t count,
		      source_bytes_cb cb, void *arg);
	/* Parents before children as far as the source knows them. *ret_txids: caller frees. */
	int (*mempool)(struct source *source, struct hash256 **ret_txids, size_t *ret_count);
	/* Those that have left the mempool are not called back. */
	int (*transactions)(struct source *source, const struct hash256 *txids, size_t count,
			    source_bytes_cb cb, void *arg);
	int (*submit)(struct source *source, const uint8_t *raw, size_t len,
		      struct hash256 *ret_txid);
	enum source_trouble (*trouble)(const struct source *source);
	/* Cause and next step of the last failure; borrowed. */
	const char *(*error)(const struct source *source);
	/* What it prepares, for status; borrowed; "": nothing. NULL: never */
	const char *(*doing)(const struct source *source);
	uint64_t (*requests)(const struct source *source);
	/* Nobody wants anything for a while: memory and files are given back. NULL: there are none
	 */
	void (*rest)(struct source *source);
	void (*free)(struct source *source);
};

struct source {
	const struct source_ops *ops;
};

const char *source_trouble_name(enum source_trouble trouble);

/* A bitcoind, litecoind or one that speaks as they do. 0, -EINVAL (no URL) or -ENOMEM. */
int source_rpc_new(const struct rpc_config *config, struct source **ret_source);
/* The block files of a chain node. params and stop are borrowed and outlive it. 0 or -ENOMEM. */
int source_blocks_new(const char *folder, const struct chainparams *params, const atomic_bool *stop,
		      struct source **ret_source);

#endif
