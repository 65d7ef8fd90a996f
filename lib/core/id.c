#include "core/id.h"

#include "core/error.h"

#include <assert.h>
#include <secp256k1.h>
#include <secp256k1_ecdh.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct id {
	secp256k1_context *secp; /* owned */
};

struct id *id_new(const uint8_t seed[static ID_SEED_LEN])
{
	struct id *id = malloc(sizeof(*id));

	if (!id)
		return NULL;
	id->secp = secp256k1_context_create(SECP256K1_CONTEXT_SIGN | SECP256K1_CONTEXT_VERIFY);
	if (!id->secp || !secp256k1_context_randomize(id->secp, seed)) {
		id_free(id);
		return NULL;
	}
	return id;
}

void id_free(struct id *id)
{
	if (!id)
		return;
	if (id->secp)
		secp256k1_context_destroy(id->secp);
	free(id);
}

int id_from_secret(const struct id *id, const struct secret *secret, struct identity *ret_identity)
{
	secp256k1_pubkey point;
	size_t len = PUBKEY_LEN;

	if (!secp256k1_ec_pubkey_create(id->secp, &point, secret->bytes))
		return -DNET_EFORMAT;
	if (secret != &ret_identity->secret)
		ret_identity->secret = *secret;
	secp256k1_ec_pubkey_serialize(id->secp, ret_identity->key.bytes, &len, &point,
				      SECP256K1_EC_COMPRESSED);
	return 0;
}

bool id_key_valid(const struct id *id, const struct node_key *key)
{
	secp256k1_pubkey point;

	return secp256k1_ec_pubkey_parse(id->secp, &point, key->bytes, PUBKEY_LEN);
}

bool id_xonly_valid(const struct id *id, const uint8_t xonly[static XONLY_LEN])
{
	secp256k1_xonly_pubkey point;

	return secp256k1_xonly_pubkey_parse(id->secp, &point, xonly);
}

void id_xonly(const struct node_key *key, uint8_t ret_xonly[static XONLY_LEN])
{
	memcpy(ret_xonly, key->bytes + 1, XONLY_LEN);
}

void id_derive(const struct id *id, const struct secret *from, const char *label,
	       const void *context, size_t context_len, struct secret *ret_secret)
{
	crypto_auth_hmacsha256_state hmac;
	struct secret derived;
	uint8_t n = 0;

	/* That the loop goes round a second time has a chance of 2^-127. */
	do {
		crypto_auth_hmacsha256_init(&hmac, from->bytes, SECRET_LEN);
		crypto_auth_hmacsha256_update(&hmac, (const uint8_t *)label, strlen(label));
		if (context_len)
			crypto_auth_hmacsha256_update(&hmac, context, context_len);
		crypto_auth_hmacsha256_update(&hmac, &n, 1);
		crypto_auth_hmacsha256_final(&hmac, derived.bytes);
		n++;
	} while (!secp256k1_ec_seckey_verify(id->secp, derived.bytes));
	*ret_secret = derived;
	secret_wipe(&derived, sizeof(derived));
	secret_wipe(&hmac, sizeof(hmac));
}

static void derive_identity(const struct id *id, const struct secret *from, const char *label,
			    const void *context, size_t context_len, struct identity *ret_identity)
{
	int r;

	id_derive(id, from, label, context, context_len, &ret_identity->secret);
	r = id_from_secret(id, &ret_identity->secret, ret_identity);
	assert(!r);
}

void id_node_identity(const struct id *id, const struct secret *master,
		      const struct object_id *dnet, struct identity *ret_identity)
{
	derive_identity(id, master, "dnet/node/1", dnet->bytes, OBJECT_ID_LEN, ret_identity);
}

void id_admin_identity(const struct id *id, const struct secret *owner,
		       struct identity *ret_identity)
{
	derive_identity(id, owner, "dnet/admin/1", NULL, 0, ret_identity);
}

bool id_sign(const struct id *id, const struct secret *secret, const uint8_t msg[static HASH_LEN],
	     const uint8_t aux[static HASH_LEN], uint8_t ret_sig[static SCHNORR_LEN])
{
	secp256k1_keypair pair;
	bool ok = secp256k1_keypair_create(id->secp, &pair, secret->bytes) &&
		  secp256k1_schnorrsig_sign32(id->secp, ret_sig, msg, &pair, aux);

	secret_wipe(&pair, sizeof(pair));
	return ok;
}

bool id_verify(const struct id *id, const uint8_t xonly[static XONLY_LEN], const void *msg,
	       size_t len, const uint8_t sig[static SCHNORR_LEN])
{
	secp256k1_xonly_pubkey point;

	return secp256k1_xonly_pubkey_parse(id->secp, &point, xonly) &&
	       secp256k1_schnorrsig_verify(id->secp, sig, msg, len, &point);
}

bool id_sign_ecdsa(const struct id *id, const struct secret *secret,
		   const uint8_t hash[static HASH_LEN], uint8_t ret_der[static ECDSA_DER_MAX],
		   size_t *ret_len)
{
	secp256k1_ecdsa_signature sig;
	size_t len = ECDSA_DER_MAX;

	/* Nonce by RFC 6979 and low S are what the library makes by default. */
	if (!secp256k1_ecdsa_sign(id->secp, &sig, hash, secret->bytes, NULL, NULL))
		return false;
	if (!secp256k1_ecdsa_signature_serialize_der(id->secp, ret_der, &len, &sig))
		return false;
	*ret_len = len;
	return true;
}

bool id_verify_ecdsa(const struct id *id, const struct node_key *key,
		     const uint8_t hash[static HASH_LEN], const uint8_t *der, size_t len)
{
	secp256k1_ecdsa_signature sig;
	secp256k1_pubkey point;

	return secp256k1_ec_pubkey_parse(id->secp, &point, key->bytes, PUBKEY_LEN) &&
	       secp256k1_ecdsa_signature_parse_der(id->secp, &sig, der, len) &&
	       secp256k1_ecdsa_verify(id->secp, &sig, hash, &point);
}

bool id_ecdh(const struct id *id, const struct secret *secret, const struct node_key *key,
	     uint8_t ret_shared[static ID_SHARED_LEN])
{
	secp256k1_pubkey point;

	return secp256k1_ec_pubkey_parse(id->secp, &point, key->bytes, PUBKEY_LEN) &&
	       secp256k1_ecdh(id->secp, ret_shared, &point, secret->bytes,
			      secp256k1_ecdh_hash_function_sha256, NULL);
}
