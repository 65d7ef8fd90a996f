#include "core/aead_ops.h"
#include "core/secret.h"
#include "wire/key.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct sodium_key {
	struct aead_key head;
	union {
		crypto_aead_aes256gcm_state gcm;
		uint8_t chacha[AEAD_KEY_LEN];
	} u;
};

static bool usable(enum aead_kind kind)
{
	return kind == AEAD_CHACHA20_POLY1305 || crypto_aead_aes256gcm_is_available();
}

static struct aead_key *key_new(enum aead_kind kind, const uint8_t key[static AEAD_KEY_LEN])
{
	size_t size = (sizeof(struct sodium_key) + 63) / 64 * 64;
	struct sodium_key *sodium = aligned_alloc(64, size);

	if (!sodium)
		return NULL;
	secret_lock(sodium, sizeof(*sodium));
	if (kind == AEAD_AES256_GCM)
		crypto_aead_aes256gcm_beforenm(&sodium->u.gcm, key);
	else
		memcpy(sodium->u.chacha, key, AEAD_KEY_LEN);
	return &sodium->head;
}

static void key_free(struct aead_key *key)
{
	secret_wipe(key, sizeof(struct sodium_key));
	free(key);
}

static void seal(struct aead_key *key, const uint8_t nonce[static AEAD_NONCE_LEN],
		 const uint8_t *aad, size_t aad_len, const uint8_t *plain, size_t len, uint8_t *out)
{
	struct sodium_key *sodium = (struct sodium_key *)key;

	if (key->kind == AEAD_AES256_GCM)
		crypto_aead_aes256gcm_encrypt_afternm(out, NULL, plain, len, aad, aad_len, NULL,
						      nonce, &sodium->u.gcm);
	else
		crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, aad, aad_len, NULL,
							  nonce, sodium->u.chacha);
}

static bool open(struct aead_key *key, const uint8_t nonce[static AEAD_NONCE_LEN],
		 const uint8_t *aad, size_t aad_len, const uint8_t *sealed, size_t len,
		 uint8_t *out)
{
	struct sodium_key *sodium = (struct sodium_key *)key;

	len += AEAD_TAG_LEN;
	if (key->kind == AEAD_AES256_GCM)
		return !crypto_aead_aes256gcm_decrypt_afternm(out, NULL, NULL, sealed, len, aad,
							      aad_len, nonce, &sodium->u.gcm);
	return !crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, len, aad,
							  aad_len, nonce, sodium->u.chacha);
}

static const char *name(enum aead_kind kind)
{
	return "libsodium";
}

const struct aead_ops aead_ops_libsodium = {
	.usable = usable,
	.key_new = key_new,
	.key_free = key_free,
	.seal = seal,
	.open = open,
	.name = name,
};
