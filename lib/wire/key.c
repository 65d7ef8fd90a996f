#include "wire/key.h"

#include <openssl/crypto.h>
#include <sodium.h>
#include <string.h>

bool node_key_equal(const struct node_key *a, const struct node_key *b)
{
	return !memcmp(a->bytes, b->bytes, PUBKEY_LEN);
}

int node_key_compare(const struct node_key *a, const struct node_key *b)
{
	return memcmp(a->bytes, b->bytes, PUBKEY_LEN);
}

/* RECORDS 1.5: A public key of 33 bytes begins with 02 or 03, and is otherwise malformed. */
bool node_key_well_formed(const struct node_key *key)
{
	return (key->bytes[0] | 1) == 3;
}

bool object_id_equal(const struct object_id *a, const struct object_id *b)
{
	return !memcmp(a->bytes, b->bytes, OBJECT_ID_LEN);
}

bool outpoint_equal(const struct outpoint *a, const struct outpoint *b)
{
	return a->vout == b->vout && !memcmp(a->txid.bytes, b->txid.bytes, HASH_LEN);
}

bool secret_bytes_equal(const void *a, const void *b, size_t len)
{
	/* Constant time too, and several times as fast as sodium_memcmp(): it stands behind every
	 * packet. */
	return !CRYPTO_memcmp(a, b, len);
}

void secret_wipe(void *secret, size_t len)
{
	sodium_memzero(secret, len);
}
