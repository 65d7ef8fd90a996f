#ifndef WIRE_KEY_H
#define WIRE_KEY_H

/* Fixed-size keys, ids and hashes; comparing and wiping them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PUBKEY_LEN = 33,  /* secp256k1, compressed: 02 or 03, then x big-endian (SEC 1, 2.3.3) */
	XONLY_LEN = 32,	  /* BIP340 public key */
	SECRET_LEN = 32,  /* scalar, big-endian */
	HASH_LEN = 32,	  /* SHA-256 */
	HASH160_LEN = 20, /* RIPEMD-160 of SHA-256 */
	OBJECT_ID_LEN = 20,
};

/* The public key of a node, an OVC or an OVR: who it is. */
struct node_key {
	uint8_t bytes[PUBKEY_LEN];
};

/* A dnet, an OVC or an OVR: HASH160 over the outpoint that made it (RECORDS 3). */
struct object_id {
	uint8_t bytes[OBJECT_ID_LEN];
};

/* What an object_id is the id of; the numbers are on the chain (RECORDS 3.1). */
enum object_kind {
	OBJECT_DNET = 1,
	OBJECT_OVC = 2,
	OBJECT_OVR = 3,
};

/* Bytes that are wiped after use, never logged, and compared only in constant time. */
struct secret {
	uint8_t bytes[SECRET_LEN];
};

/* What a dnet mixes into its handshakes (PROTOCOL 3.8). */
struct epoch {
	uint32_t number; /* 0: none, and the secret is zeros */
	struct secret psk;
};

struct hash256 {
	uint8_t bytes[HASH_LEN]; /* wire order; chain nodes show it reversed */
};

struct outpoint {
	struct hash256 txid;
	uint32_t vout;
};

bool node_key_equal(const struct node_key *a, const struct node_key *b);
int node_key_compare(const struct node_key *a, const struct node_key *b);
/* Begins as a compressed one does; whether it is on the curve is another question (core/id). */
bool node_key_well_formed(const struct node_key *key);
bool object_id_equal(const struct object_id *a, const struct object_id *b);
bool outpoint_equal(const struct outpoint *a, const struct outpoint *b);
/* Constant time in len. */
bool secret_bytes_equal(const void *a, const void *b, size_t len);
void secret_wipe(void *secret, size_t len);

#endif
