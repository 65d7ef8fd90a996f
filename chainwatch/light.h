#ifndef CHAINWATCH_LIGHT_H
#define CHAINWATCH_LIGHT_H

/* The parts of the light source (source_light.c), which share one state:
 *
 *	source_light.c   the vtable; what a block is: fetched, or passed by its header
 *	light_headers.c  header chains of all peers; who stays behind, who has less work
 *	light_filters.c  filter headers of several peers, compared; filters, matched
 *	light_dispute.c  peers say different things of one filter: who lies
 *	light_blocks.c   blocks that are fetched and checked
 *	light_pool.c     transactions that peers announce and that spend a seal
 *	light_status.c   what people see of it
 */

#include "chainwatch/headerfile.h"
#include "chainwatch/p2p_net.h"
#include "chainwatch/source.h"

#include "core/headers.h"
#include "core/id.h"
#include "wire/gcs.h"
#include "wire/tx.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

enum {
	LIGHT_WINDOW = 256,	       /* blocks whose filters are asked for at once */
	LIGHT_WINDOW_BYTES = 32 << 20, /* of their filters; the blocks of the rest are fetched */
	LIGHT_SCRIPTS_MAX = 100000,
	LIGHT_CLAIMS_MAX = P2P_PEERS_MAX,
	LIGHT_BLOCK_TRIES = 8,
	LIGHT_POOL_MAX = 1000,
	LIGHT_POOL_BYTES = 8 << 20,
	LIGHT_SEEN = 1 << 16, /* announced transactions that are remembered */
};

struct light;
struct light_pool;

/* What the source knows of a peer; p2p_peer.user. */
struct light_peer {
	bool synced;	       /* it has told all headers that it has */
	bool behind_probe;     /* the next answer shows whether it has our tip */
	uint32_t best;	       /* the highest header of the best chain that it told */
	uint64_t probed_ns;    /* when it was asked last */
	uint64_t announced_ns; /* when it told a header last */
	unsigned orphans;      /* headers without a parent, one after the other */
	/* its last answer to getcfheaders */
	bool answered;
	struct hash256 claim_prev, claim_stop; /* stop: as asked */
	struct hash256 *claims;		       /* owned */
	size_t claim_count;
	/* transactions that it was asked for, not yet come */
	unsigned asked_txs;
};

/* A script that filters are matched against. */
struct light_script {
	uint8_t *data; /* owned */
	size_t len;
	bool live; /* of a seal that is; else of one that was, and may be again after a reorg */
	UT_hash_handle hh;
};

/* The live seals of a reader. */
struct light_seals {
	struct source_seal *list; /* owned, the scripts too; sorted by outpoint */
	size_t count;
};

/* Filters that are asked of one peer: of the window, or one in a dispute. */
struct light_fetch {
	struct p2p_peer *peer; /* borrowed; NULL: nothing is asked */
	uint32_t start;
	struct hash256 stop;
	size_t count, got;
	bool failed;
	struct span *filters; /* borrowed; filters[i].data is owned, NULL: not taken */
	size_t bytes;
};

struct light_window {
	uint32_t start;
	size_t count; /* 0: there is none */
	struct hash256 stop;
	struct hash256 hashes[LIGHT_WINDOW]; /* of the filters, as agreed */
	bool whole[LIGHT_WINDOW];	     /* no agreement: the block is fetched */
	struct span filters[LIGHT_WINDOW];   /* data owned */
	bool has_filters;
};

struct light_block {
	struct p2p_peer *peer; /* borrowed; who was asked; NULL: nobody */
	struct hash256 hash;
	uint8_t *raw; /* owned; NULL: not come */
	size_t len;
	bool failed;
};

struct light_counts {
	uint64_t requests;
	uint64_t filters, matches, misses; /* misses: nothing of ours was in the block */
	uint64_t blocks, passed;
	uint64_t disputes, undecided;
	uint64_t transactions, forged;
};

struct light {
	struct source source; /* first: the vtable */
	struct light_config config;
	struct light_follow *follows; /* owned copy */
	struct p2p_net *net;	      /* owned */
	struct headers *headers;      /* owned */
	struct headerfile *file;      /* owned */
	struct id *id;		      /* owned */
	struct light_pool *pool;      /* owned */
	struct light_script *scripts; /* owned; by their bytes */
	size_t script_count;
	uint64_t *values; /* owned; room for script_room */
	size_t script_room;
	struct light_seals seals[SOURCE_READERS];
	struct light_window window;
	struct light_fetch fetch;
	struct light_block block;
	struct light_counts counts;
	const struct p2p_peer *asking; /* who is asked for filter headers; NULL once it is gone */
	bool past_undecided; /* filter headers before the window differ, and nobody provably lies */
	bool started;	     /* headers of enough peers are there */
	uint64_t moved_ns;   /* when the tip did */
	enum source_trouble trouble;
	char error[512];
	char doing[64];
};

/* Sets the text; returns result. */
int light_fail(struct light *light, int result, enum source_trouble trouble, const char *format,
	       ...) __attribute__((format(printf, 4, 5)));
/* A round of the network. -ECANCELED when the process stops. */
int light_run(struct light *light, uint64_t timeout_ms);
static inline struct light_peer *light_peer(const struct p2p_peer *peer)
{
	return peer->user;
}

/* light_headers.c */
void light_headers_on_ready(struct light *light, struct p2p_peer *peer);
void light_headers_on_message(struct light *light, struct p2p_peer *peer, struct span payload);
/* It tells of a block by its hash only. */
void light_headers_on_block_inv(struct light *light, struct p2p_peer *peer,
				const struct hash256 *hash);
/* Asks those that are silent whether they have our tip. */
void light_headers_check(struct light *light);
/* Asks whether it has our tip, unless it just was. */
void light_headers_probe(struct light *light, struct p2p_peer *peer);
/* Peers that have told all their headers. */
size_t light_headers_synced(struct light *light, bool with_filters);

/* light_filters.c */
void light_filters_on_cfheaders(struct light *light, struct p2p_peer *peer, struct span payload);
void light_filters_on_cfilter(struct light *light, struct p2p_peer *peer, struct span payload);
/* Whether the block of the best chain at height may hold something of ours. 0 or as the vtable. */
int light_filters_match(struct light *light, uint32_t height, bool *ret_match);
void light_filters_forget(struct light *light);
/* A peer is gone. */
void light_filters_on_gone(struct light *light, const struct p2p_peer *peer);
/* Asks one peer for cfheaders of a range and waits. 0, or -EAGAIN: it is gone. */
int light_ask_cfheaders(struct light *light, struct p2p_peer *peer, uint32_t start,
			const struct hash256 *stop, size_t count);
/* Asks one peer for filters and waits; the data of ret_filters is the caller's. 0 or -EAGAIN. */
int light_ask_filters(struct light *light, struct p2p_peer *peer, uint32_t start,
		      const struct hash256 *stop, size_t count, struct span *ret_filters);

/* light_dispute.c: the claims of the peers (light_peer.claims) about the block at height differ at
 * index. Bans who lies. 0: decided, or *ret_undecided; or as the vtable. */
int light_dispute(struct light *light, uint32_t height, size_t index, bool *ret_undecided);
/* Filter headers of two peers, by their serials, differ somewhere before start: finds where, and
 * who lies; *ret_undecided as above. */
int light_dispute_past(struct light *light, uint64_t a, uint64_t b, uint32_t start,
		       bool *ret_undecided);

/* light_blocks.c */
void light_blocks_on_message(struct light *light, struct p2p_peer *peer, struct span payload);
void light_blocks_on_notfound(struct light *light, struct p2p_peer *peer, struct span payload);
void light_blocks_on_gone(struct light *light, const struct p2p_peer *peer);
/* The block, checked; borrowed until the next call. 0 or as the vtable. */
int light_blocks_fetch(struct light *light, const struct hash256 *hash, struct span *ret_raw);

/* light_pool.c */
struct light_pool *light_pool_new(struct light *light);
void light_pool_free(struct light_pool *pool);
void light_pool_on_inv(struct light_pool *pool, struct p2p_peer *peer, struct span payload);
void light_pool_on_tx(struct light_pool *pool, struct p2p_peer *peer, struct span payload);
void light_pool_on_getdata(struct light_pool *pool, struct p2p_peer *peer, struct span payload);
void light_pool_on_ready(struct light_pool *pool, struct p2p_peer *peer);
/* Seals changed: what spends none any more goes. */
void light_pool_check(struct light_pool *pool);
int light_pool_list(struct light_pool *pool, struct hash256 **ret_txids, size_t *ret_count);
int light_pool_visit(struct light_pool *pool, const struct hash256 *txids, size_t count,
		     source_bytes_cb cb, void *arg);
int light_pool_submit(struct light_pool *pool, const uint8_t *raw, size_t len,
		      struct hash256 *ret_txid);
size_t light_pool_size(const struct light_pool *pool);

/* light_status.c */
json_t *light_status(struct source *source);

/* source_light.c: the seal that this outpoint is; NULL: none. */
const struct source_seal *light_find_seal(const struct light *light,
					  const uint8_t outpoint[OUTPOINT_LEN]);

#endif
