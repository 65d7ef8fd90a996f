#ifndef CORE_HEADERS_H
#define CORE_HEADERS_H

/* The chain of headers of one network: every rule that can be checked without blocks, and the
 * choice of the chain with the most work. No I/O: the clock is handed in, the caller stores what
 * was accepted (chainwatch/headerfile.h).
 *
 * The best chain is held whole, about 50 bytes a header. Chains beside it are held as far as
 * HEADERS_SIDE_MAX headers of HEADERS_BRANCHES_MAX branches; the one with the least work makes
 * room. Nothing is taken that leaves the best chain below the profile's last checkpoint that it
 * has. Until headers_enough_work() nothing here is to be believed.
 */

#include "core/chainparams.h"
#include "core/u256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HEADERS_MAX = 8 << 20,	      /* of the best chain */
	HEADERS_SIDE_MAX = 256 << 10, /* beside it, in all branches */
	HEADERS_BRANCHES_MAX = 16,
	HEADERS_FUTURE_MAX =
		2 * 60 * 60,	    /* seconds that a header's time may be ahead of the clock */
	HEADERS_MEDIAN = 11,	    /* headers whose median time the next has to pass */
	HEADERS_TIMEWARP_MAX = 600, /* BIP94: seconds back at a change of difficulty */
	HEADERS_LOCATOR_MAX = 40,
};

#define HEADER_REASONS(X)                                                                          \
	X(HEADER_OK, "follows the rules")                                                          \
	X(HEADER_ORPHAN, "its parent is not known")                                                \
	X(HEADER_UNLINKED, "not the child of the header before it")                                \
	X(HEADER_TARGET, "a target that is negative, zero, or easier than the chain allows")       \
	X(HEADER_BITS, "another difficulty than the chain's rules give")                           \
	X(HEADER_POW, "its hash is not below its target: no work was done for it")                 \
	X(HEADER_TIME_OLD, "not later than the median of the eleven before it")                    \
	X(HEADER_TIME_NEW, "more than two hours ahead of our clock")                               \
	X(HEADER_TIMEWARP, "back in time at a change of difficulty")                               \
	X(HEADER_VERSION, "a version that the chain no longer takes")                              \
	X(HEADER_CHECKPOINT, "another block than the checkpoint of its height")                    \
	X(HEADER_FORK, "leaves the chain below the last checkpoint")                               \
	X(HEADER_FULL, "no room for a chain as long")

enum header_reason {
#define X(name, text) name,
	HEADER_REASONS(X)
#undef X
};

const char *header_reason_text(enum header_reason reason);

struct headers;

struct headers_config {
	const struct chainparams *params; /* copied */
	/* Of headers below the profile's last checkpoint, the PoW of one in so many is checked; 0
	 * and 1: of each. What is left out is only for chains whose PoW is slow (scrypt): the
	 * checkpoint's hash commits to all headers before it, and headers_enough_work() waits for
	 * it. Which ones is chosen by the seed. */
	uint32_t pow_every;
	uint8_t seed[16]; /* random */
};

/* Holds the profile's genesis header. 0, -EINVAL (the profile's genesis header is not one of its
 * genesis hash, or its numbers make no chain) or -ENOMEM. */
int headers_new(const struct headers_config *config, struct headers **ret);
void headers_free(struct headers *h);

/* What headers_add() did. */
struct headers_added {
	size_t known;	 /* headers that were held before, in front of the new ones */
	size_t accepted; /* new and held now: raw[known] to raw[known + accepted - 1] */
	/* Of the header after these, which was not taken; HEADER_OK: there is none. HEADER_TIME_NEW
	 * may be right later, HEADER_ORPHAN is no fault: ask for what is before it. */
	enum header_reason reason;
	bool moved;	     /* the best chain has another tip than before */
	uint32_t fork;	     /* height of the last block of both chains, when moved */
	struct hash256 last; /* the last header of the message that is held; zeros: none */
	uint32_t last_height;
	bool last_active; /* it is on the best chain */
};

/* count headers, each the parent of the next; header i is at raw + i * stride (80, or
 * P2P_HEADERS_STRIDE). now: seconds since 1970. 0 or -ENOMEM, and then ret says what was done
 * before. */
int headers_add(struct headers *h, const uint8_t *raw, size_t stride, size_t count, uint32_t now,
		struct headers_added *ret);
/* The same for headers from one's own store, where they were accepted before: scrypt and the
 * clock are left out. */
int headers_restore(struct headers *h, const uint8_t *raw, size_t stride, size_t count,
		    struct headers_added *ret);

/* Of the best chain. */
struct headers_block {
	struct hash256 hash;
	uint32_t time;
	uint32_t bits;
};

uint32_t headers_height(const struct headers *h);
struct hash256 headers_tip(const struct headers *h);
/* False above the tip. */
bool headers_at(const struct headers *h, uint32_t height, struct headers_block *ret);
/* Median time of the eleven blocks up to height; 0 above the tip. */
uint32_t headers_median_time(const struct headers *h, uint32_t height);
/* Of the whole chain, genesis included. */
struct u256 headers_work(const struct headers *h);
/* The best chain has the profile's last checkpoint and its least work. */
bool headers_enough_work(const struct headers *h);

/* Where a header is, on the best chain or beside it. */
struct headers_place {
	uint32_t height;
	bool active;   /* on the best chain */
	uint32_t fork; /* height of its last ancestor on the best chain: itself when active */
};

/* False: not known. */
bool headers_find(const struct headers *h, const struct hash256 *hash, struct headers_place *ret);
/* The last common ancestor of two headers; false when one is not known. */
bool headers_fork(const struct headers *h, const struct hash256 *a, const struct hash256 *b,
		  uint32_t *ret_height, struct hash256 *ret_hash);
/* Hashes of the best chain from the tip down, ever farther apart, the genesis last: what
 * getheaders asks with. Their number. */
size_t headers_locator(const struct headers *h, struct hash256 ret[static HEADERS_LOCATOR_MAX]);

struct headers_counts {
	uint32_t active;		   /* the best chain, genesis included */
	uint32_t side;			   /* headers beside it */
	uint32_t branches;		   /* chains beside it */
	uint64_t dropped;		   /* headers that were held beside it and made room */
	uint64_t refused[HEADER_FULL + 1]; /* by reason */
};

void headers_counts(const struct headers *h, struct headers_counts *ret);

#endif
