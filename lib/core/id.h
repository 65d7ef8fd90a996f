#ifndef CORE_ID_H
#define CORE_ID_H

/* Identity: secp256k1 key pairs, the key of a node in each of its dnets, signatures and
 * ECDH. */

#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SCHNORR_LEN = 64,   /* BIP340 signature */
	ECDSA_DER_MAX = 72, /* strict DER, low S, without the sighash byte */
	ID_SEED_LEN = 32,   /* randomises the context */
	ID_SHARED_LEN = 32, /* ECDH result */
};

/* Tables of libsecp256k1; one per process, read-only after id_new() and so shared by threads. */
struct id;

/* A key pair: who a node, a service or an owner is. Wipe it after use. */
struct identity {
	struct secret secret;
	struct node_key key;
};

/* seed: fresh random bytes against side channels. NULL: no memory. Freed by id_free(). */
struct id *id_new(const uint8_t seed[static ID_SEED_LEN]);
void id_free(struct id *id);

/* 0, or -DNET_EFORMAT when the secret is zero or not below the order of the curve. */
int id_from_secret(const struct id *id, const struct secret *secret, struct identity *ret_identity);
/* A point of the curve in compressed form. */
bool id_key_valid(const struct id *id, const struct node_key *key);
bool id_xonly_valid(const struct id *id, const uint8_t xonly[static XONLY_LEN]);
/* The x coordinate: BIP340 public key of it. */
void id_xonly(const struct node_key *key, uint8_t ret_xonly[static XONLY_LEN]);

/* PROTOCOL 1.2, A derived secret is the first of HMAC-SHA256(key = parent secret, label || context
 * || n) that is a scalar. label is text without its NUL; context may be NULL when context_len is
 * 0. */
void id_derive(const struct id *id, const struct secret *from, const char *label,
	       const void *context, size_t context_len, struct secret *ret_secret);
/* The identity of this machine in one dnet. */
void id_node_identity(const struct id *id, const struct secret *master,
		      const struct object_id *dnet, struct identity *ret_identity);
/* The identity whose x-only key a DNET_CREATE names as admin key. */
void id_admin_identity(const struct id *id, const struct secret *owner,
		       struct identity *ret_identity);

/* BIP340. aux: fresh random bytes, or zeros. False only when the secret is not a scalar. */
bool id_sign(const struct id *id, const struct secret *secret, const uint8_t msg[static HASH_LEN],
	     const uint8_t aux[static HASH_LEN], uint8_t ret_sig[static SCHNORR_LEN]);
bool id_verify(const struct id *id, const uint8_t xonly[static XONLY_LEN], const void *msg,
	       size_t len, const uint8_t sig[static SCHNORR_LEN]);

/* ECDSA as transactions need it: RFC 6979 nonce, low S, DER. False as id_sign(). */
bool id_sign_ecdsa(const struct id *id, const struct secret *secret,
		   const uint8_t hash[static HASH_LEN], uint8_t ret_der[static ECDSA_DER_MAX],
		   size_t *ret_len);
bool id_verify_ecdsa(const struct id *id, const struct node_key *key,
		     const uint8_t hash[static HASH_LEN], const uint8_t *der, size_t len);

/* SHA256 of the compressed shared point, as BOLT-8. False when key is no point or secret no
 * scalar. */
bool id_ecdh(const struct id *id, const struct secret *secret, const struct node_key *key,
	     uint8_t ret_shared[static ID_SHARED_LEN]);

#endif
