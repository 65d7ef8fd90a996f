#ifndef CORE_CHAINPARAMS_H
#define CORE_CHAINPARAMS_H

/* What differs from chain to chain of the Bitcoin family: a row each. A chain that is not in the
 * table is a copy of the nearest row and a few chainparams_set(). */

#include "core/u256.h"
#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum chain_pow {
	CHAIN_POW_SHA256D,
	CHAIN_POW_SCRYPT, /* scrypt 1024,1,1 over the header; the block's id stays sha256d */
};

/* How the target changes after each timespan / spacing blocks. */
enum chain_retarget {
	CHAIN_RETARGET_NONE,	 /* it does not */
	CHAIN_RETARGET_BITCOIN,	 /* by the time of a period's blocks less one: Bitcoin's off-by-one
				  */
	CHAIN_RETARGET_BIP94,	 /* the same from the period's first target; no step back in time */
	CHAIN_RETARGET_LITECOIN, /* by the time of a whole period, but for the first */
};

enum {
	CHAIN_NAME_SIZE = 32,
	CHAIN_HRP_SIZE = 16,
	CHAIN_HEADER_LEN = 80,
	CHAIN_CHECKPOINTS_MAX = 16,
	CHAIN_SEEDS_SIZE = 512,
};

struct chain_checkpoint {
	uint32_t height;
	struct hash256 hash;
};

struct chainparams {
	char name[CHAIN_NAME_SIZE]; /* "bitcoin", "litecoin-regtest", … */
	uint8_t magic[4];	    /* of P2P messages, as sent */
	uint16_t p2p_port;
	uint16_t rpc_port;
	struct hash256 genesis;	  /* wire order */
	char hrp[CHAIN_HRP_SIZE]; /* of segwit addresses */
	uint8_t pubkey_prefix;	  /* base58check version of P2PKH */
	uint8_t script_prefix;	  /* of P2SH */
	uint8_t script_prefix2; /* of P2SH, a second form that is read too; same as the first: none
				 */
	uint8_t secret_prefix;	/* of WIF keys */
	enum chain_pow pow;
	bool has_mweb;	       /* blocks may have an MWEB extension */
	uint8_t op_node;       /* opcode byte of carrier (b'), RECORDS 2; 0: none */
	uint64_t dust;	       /* base units; a P2WSH or P2TR output below is not relayed */
	uint64_t seal;	       /* base units; what a new seal output gets */
	uint32_t confirm;      /* default depth of additions, RECORDS 5.1 */
	uint32_t birth_height; /* no record is older: following starts here */

	/* For those who check headers themselves. */
	uint8_t genesis_header[CHAIN_HEADER_LEN];
	struct u256 pow_limit; /* the easiest target */
	struct u256 min_work;  /* a chain with less work than this is not the real one */
	uint32_t spacing;      /* seconds from block to block, as wanted */
	uint32_t timespan;     /* seconds between changes of the target, as wanted */
	enum chain_retarget retarget;
	bool min_difficulty;	     /* a block later than twice spacing may have pow_limit */
	uint32_t bip34_height;	     /* from here on no versions below 2… */
	uint32_t bip66_height;	     /* …3… */
	uint32_t bip65_height;	     /* …4… */
	uint32_t versionbits_height; /* …and 0x20000000; 0: the chain has no such rule */
	uint32_t checkpoint_count;
	struct chain_checkpoint checkpoints[CHAIN_CHECKPOINTS_MAX]; /* by height */
	char dns_seeds[CHAIN_SEEDS_SIZE]; /* host names, a blank between two */
	char peers[CHAIN_SEEDS_SIZE];	  /* HOST or HOST:PORT, a blank between two */
};

/* NULL when there is none of that name. */
const struct chainparams *chainparams_find(const char *name);
/* Rows in order; NULL past the last. */
const struct chainparams *chainparams_at(size_t index);

/* One field by its name as text, for the override file: name, magic, p2p-port, rpc-port, genesis
 * (as nodes show it), hrp, pubkey-prefix, script-prefix, script-prefix2, secret-prefix, pow
 * (sha256d, scrypt), mweb (yes, no), op-node (1 to 255, or none), dust, seal, confirm,
 * birth-height; genesis-header (hex), pow-limit and min-work (hex), spacing, timespan, retarget
 * (none, bitcoin, bip94, litecoin), min-difficulty (yes, no), bip34-height, bip65-height,
 * bip66-height, versionbits-height, checkpoints (HEIGHT:HASH, a blank between two, by height; or
 * none), checkpoint (one more, HEIGHT:HASH, above the others), dns-seeds and peers (names, a blank
 * between two; or none). 0, -ENOENT (no such field) or -EINVAL (bad value), and then params is
 * untouched. */
int chainparams_set(struct chainparams *params, const char *field, const char *value);

#endif
