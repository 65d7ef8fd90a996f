#ifndef CORE_CHAINPARAMS_H
#define CORE_CHAINPARAMS_H

/* What differs from chain to chain of the Bitcoin family: a row each. A chain that is not in the
 * table is a copy of the nearest row and a few chainparams_set(). */

#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum chain_pow {
	CHAIN_POW_SHA256D,
	CHAIN_POW_SCRYPT, /* scrypt 1024,1,1 over the header; the block's id stays sha256d */
};

enum {
	CHAIN_NAME_SIZE = 32,
	CHAIN_HRP_SIZE = 16,
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
};

/* NULL when there is none of that name. */
const struct chainparams *chainparams_find(const char *name);
/* Rows in order; NULL past the last. */
const struct chainparams *chainparams_at(size_t index);

/* One field by its name as text, for the override file: name, magic, p2p-port, rpc-port, genesis
 * (as nodes show it), hrp, pubkey-prefix, script-prefix, script-prefix2, secret-prefix, pow
 * (sha256d, scrypt), mweb (yes, no), op-node (1 to 255, or none), dust, seal, confirm,
 * birth-height. 0, -ENOENT (no such field) or -EINVAL (bad value), and then params is untouched. */
int chainparams_set(struct chainparams *params, const char *field, const char *value);

#endif
