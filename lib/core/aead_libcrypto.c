#include "core/aead_ops.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>

/* The key schedule is worked out once; a message only sets the nonce. The contexts wipe themselves
 * when freed. */
struct evp_key {
	struct aead_key head;
	EVP_CIPHER_CTX *seal; /* owned */
	EVP_CIPHER_CTX *open; /* owned */
};

static bool usable(enum aead_kind kind)
{
	return true;
}

static void key_free(struct aead_key *key)
{
	struct evp_key *evp = (struct evp_key *)key;

	EVP_CIPHER_CTX_free(evp->seal);
	EVP_CIPHER_CTX_free(evp->open);
	free(evp);
}

static struct aead_key *key_new(enum aead_kind kind, const uint8_t key[static AEAD_KEY_LEN])
{
	const EVP_CIPHER *cipher =
		kind == AEAD_AES256_GCM ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
	struct evp_key *evp = calloc(1, sizeof(*evp));

	if (!evp)
		return NULL;
	evp->seal = EVP_CIPHER_CTX_new();
	evp->open = EVP_CIPHER_CTX_new();
	if (!evp->seal || !evp->open || !EVP_EncryptInit_ex(evp->seal, cipher, NULL, key, NULL) ||
	    !EVP_DecryptInit_ex(evp->open, cipher, NULL, key, NULL)) {
		key_free(&evp->head);
		return NULL;
	}
	return &evp->head;
}

static void seal(struct aead_key *key, const uint8_t nonce[static AEAD_NONCE_LEN],
		 const uint8_t *aad, size_t aad_len, const uint8_t *plain, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = ((struct evp_key *)key)->seal;
	int n, ok;

	ok = EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, nonce) == 1;
	ok = ok && EVP_EncryptUpdate(ctx, NULL, &n, aad, (int)aad_len) == 1;
	/* An update without bytes is an error to some of libcrypto's ciphers. */
	ok = ok && (!len || EVP_EncryptUpdate(ctx, out, &n, plain, (int)len) == 1);
	ok = ok && EVP_EncryptFinal_ex(ctx, out + len, &n) == 1;
	ok = ok && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, out + len) == 1;
	/* Nothing here can fail but by our mistake, and then nothing may leave unsealed. */
	assert(ok);
}

static bool open(struct aead_key *key, const uint8_t nonce[static AEAD_NONCE_LEN],
		 const uint8_t *aad, size_t aad_len, const uint8_t *sealed, size_t len,
		 uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = ((struct evp_key *)key)->open;
	uint8_t none[AEAD_TAG_LEN];
	int n;

	return EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, nonce) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN,
				   (void *)(sealed + len)) == 1 &&
	       EVP_DecryptUpdate(ctx, NULL, &n, aad, (int)aad_len) == 1 &&
	       (!len || EVP_DecryptUpdate(ctx, out, &n, sealed, (int)len) == 1) &&
	       EVP_DecryptFinal_ex(ctx, none, &n) == 1;
}

static const char *name(enum aead_kind kind)
{
	return "libcrypto";
}

const struct aead_ops aead_ops_libcrypto = {
	.usable = usable,
	.key_new = key_new,
	.key_free = key_free,
	.seal = seal,
	.open = open,
	.name = name,
};
