#ifndef CHAINWATCH_SOURCE_H
#define CHAINWATCH_SOURCE_H

/* Where blocks come from: one vtable for every kind of chain node. Calls block; they are made by
 * the one thread that steps. */

#include "core/chainparams.h"
#include "wire/buf.h"
#include "wire/key.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source;
struct chainparams;
struct rpc_config;

struct source_header {
	uint32_t height;
	bool active;		/* on the chain that the source holds best */
	uint8_t work[HASH_LEN]; /* of the chain up to it, big-endian; zeros: the source does not say
				 */
	/* Only of a source that has watch(), and only when active: */
	uint32_t time;
	struct hash256 prev;
};

/* A seal that is live. */
struct source_seal {
	struct outpoint outpoint;
	uint64_t value;	    /* base units */
	struct span script; /* borrowed */
};

enum source_reader {
	SOURCE_READER,	      /* the chain of chain.db */
	SOURCE_READER_BESIDE, /* what is read beside it (cover.h) */
	SOURCE_READERS
};

/* A quick look at a source that is not in use. */
struct source_probe {
	uint32_t height;	/* of its best block */
	uint8_t work[HASH_LEN]; /* of its best chain, big-endian; zeros: the source does not say */
	bool syncing;		/* it says that it is still reading its own chain */
	bool pruned;		/* it does not keep old blocks */
};

/* One of several sources, for status. */
enum { SOURCE_PARTS_MAX = 8 };

struct source_part {
	char shown[160];
	const char *state; /* static */
	bool in_use;
	bool syncing, pruned;
	uint32_t height; /* 0: not known */
	char why[400];	 /* it is in use, or has failed */
	char how[160];	 /* as source_ops.how() */
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

/* raw is borrowed for the call; NULL from blocks() of a source that has watch(): nothing in the
 * block concerns us. A return other than 0 ends the walk with it. */
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
	/* How blocks are fetched, where there is more than one way, and why not the other;
	 * borrowed. NULL: there is one */
	const char *(*how)(const struct source *source);
	uint64_t (*requests)(const struct source *source);
	/* Nobody wants anything for a while: memory and files are given back. NULL: there are none
	 */
	void (*rest)(struct source *source);
	void (*free)(struct source *source);
	/* NULL: it gives whole blocks. Else it looks for these seals only, all that are live, from
	 * the next block on, and within blocks() too. Two may read with it: each tells its own
	 * seals. 0 or -ENOMEM. */
	int (*watch)(struct source *source, enum source_reader reader,
		     const struct source_seal *seals, size_t count);
	/* NULL: nothing to say. A new object for people. */
	json_t *(*status)(struct source *source);

	/* The rest may be NULL. A short time-out, no change of what other calls see. */
	int (*probe)(struct source *source, struct source_probe *ret_probe);
	/* Where the reader stands, before each step; tip NULL: before the block at height + 1,
	 * which is the first that it wants. */
	void (*stands)(struct source *source, const struct hash256 *tip, uint32_t height);
	/* What it says leads nowhere for the reader. True: another source takes its place. */
	bool (*reject)(struct source *source, int result, const char *text);
	/* The name of the one of several that is asked now, without secrets; borrowed. */
	const char *(*who)(const struct source *source);
	/* How many. */
	size_t (*parts)(const struct source *source,
			struct source_part ret_parts[SOURCE_PARTS_MAX]);
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

enum { LIGHT_TARGETS_MAX = 16, LIGHT_FOLLOW_SPAN = 6 };

/* The block at this height made an object that is followed; it and the next LIGHT_FOLLOW_SPAN - 1
 * are read whole, since no filter finds what has no script yet. */
struct light_follow {
	enum object_kind kind;
	struct object_id object;
	uint32_t height;
};

struct light_config {
	const struct chainparams *params;   /* borrowed */
	const char *state_folder;	    /* borrowed */
	const char *const *targets;	    /* HOST[:PORT]; none: those that are found */
	size_t target_count;		    /* at most LIGHT_TARGETS_MAX */
	const char *proxy;		    /* SOCKS5, ADDRESS:PORT; NULL or "": none */
	unsigned peers;			    /* connections */
	unsigned filters;		    /* of them with filters, to compare */
	bool mempool;			    /* look at transactions before their block */
	uint64_t timeout_ms;		    /* for an answer of a peer */
	const atomic_bool *stop;	    /* borrowed */
	const struct light_follow *follows; /* copied */
	size_t follow_count;
};

/* No node: light peers (doc/architecture.md). 0, -EINVAL (a setting; see error) or -ENOMEM. */
int source_light_new(const struct light_config *config, struct source **ret_source, char *error,
		     size_t error_size);
/* Follows these from now on. 0 or -ENOMEM. */
int source_light_follow(struct source *source, const struct light_follow *follows, size_t count);

#endif
