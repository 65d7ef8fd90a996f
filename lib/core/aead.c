#include "core/aead.h"

#include "core/aead_ops.h"
#include "wire/buf.h"

#include <sodium.h>
#include <string.h>

#ifdef __aarch64__
#include <sys/auxv.h>
#endif

/* In the order of preference, which is the order of measured speed (doc/decisions.md): with AVX-512
 * at 1,420 bytes 113 : 27 : 18 Gbit/s for AES-256-GCM and 23 : 15 : 7.5 for ChaCha20-Poly1305. */
static const struct aead_ops *const providers[AEAD_PROVIDERS] = {
	[AEAD_IPSEC_MB] = &aead_ops_ipsec_mb,
	[AEAD_LIBCRYPTO] = &aead_ops_libcrypto,
	[AEAD_LIBSODIUM] = &aead_ops_libsodium,
};

static bool cpu_has_aes(void)
{
#ifdef __aarch64__
	return (getauxval(AT_HWCAP) & HWCAP_AES) && (getauxval(AT_HWCAP) & HWCAP_PMULL);
#else
	/* Without it libsodium picks its portable code and sees no AES. */
	return sodium_init() >= 0 && crypto_aead_aes256gcm_is_available();
#endif
}

/* PROTOCOL 3.3: bit 0 ChaCha20-Poly1305, always set; bit 1 AES-256-GCM, set where the CPU has
 * instructions for it */
uint8_t aead_supported(void)
{
	return (uint8_t)(AEAD_CHACHA20_POLY1305 | (cpu_has_aes() ? AEAD_AES256_GCM : 0));
}

const char *aead_kind_name(enum aead_kind kind)
{
	switch (kind) {
	case AEAD_CHACHA20_POLY1305:
		return "ChaCha20-Poly1305";
	case AEAD_AES256_GCM:
		return "AES-256-GCM";
	}
	return "none";
}

const char *aead_provider_name(enum aead_provider_id provider)
{
	static const char *const names[AEAD_PROVIDERS] = {
		[AEAD_IPSEC_MB] = "libipsec-mb",
		[AEAD_LIBCRYPTO] = "libcrypto",
		[AEAD_LIBSODIUM] = "libsodium",
	};

	return names[provider];
}

bool aead_usable(enum aead_provider_id provider, enum aead_kind kind)
{
	return sodium_init() >= 0 && providers[provider]->usable(kind);
}

struct aead_key *aead_key_new_by(enum aead_provider_id provider, enum aead_kind kind,
				 const uint8_t key[static AEAD_KEY_LEN])
{
	const struct aead_ops *ops = providers[provider];
	struct aead_key *prepared;

	if (!aead_usable(provider, kind))
		return NULL;
	prepared = ops->key_new(kind, key);
	if (!prepared)
		return NULL;
	prepared->ops = ops;
	prepared->kind = kind;
	prepared->name = ops->name(kind);
	return prepared;
}

/* Set at the start of the process, read only afterwards; AEAD_PROVIDERS: none is preferred. By
 * kind.
 */
static enum aead_provider_id preferred[] = {
	[AEAD_CHACHA20_POLY1305] = AEAD_PROVIDERS,
	[AEAD_AES256_GCM] = AEAD_PROVIDERS,
};

void aead_prefer(enum aead_provider_id provider, enum aead_kind kind)
{
	preferred[kind] = provider;
}

struct aead_key *aead_key_new(enum aead_kind kind, const uint8_t key[static AEAD_KEY_LEN])
{
	struct aead_key *prepared = NULL;

	if (preferred[kind] != AEAD_PROVIDERS)
		prepared = aead_key_new_by(preferred[kind], kind, key);
	for (int i = 0; i < AEAD_PROVIDERS && !prepared; i++)
		prepared = aead_key_new_by((enum aead_provider_id)i, kind, key);
	return prepared;
}

void aead_key_free(struct aead_key *key)
{
	if (key)
		key->ops->key_free(key);
}

/* PROTOCOL 5.1: the nonce is 4 zero bytes and the counter */
static void make_nonce(uint64_t counter, uint8_t nonce[static AEAD_NONCE_LEN])
{
	store_u32(nonce, 0);
	store_u64(nonce + 4, counter);
}

void aead_seal(struct aead_key *key, uint64_t counter, const uint8_t *aad, size_t aad_len,
	       const uint8_t *plain, size_t len, uint8_t *out)
{
	uint8_t nonce[AEAD_NONCE_LEN];

	make_nonce(counter, nonce);
	key->ops->seal(key, nonce, aad, aad_len, plain, len, out);
}

bool aead_open(struct aead_key *key, uint64_t counter, const uint8_t *aad, size_t aad_len,
	       const uint8_t *sealed, size_t len, uint8_t *out)
{
	uint8_t nonce[AEAD_NONCE_LEN];

	if (len < AEAD_TAG_LEN)
		return false;
	make_nonce(counter, nonce);
	if (key->ops->open(key, nonce, aad, aad_len, sealed, len - AEAD_TAG_LEN, out))
		return true;
	/* What was worked out of a forged message is nobody's to see. */
	memset(out, 0, len - AEAD_TAG_LEN);
	return false;
}

const char *aead_provider(const struct aead_key *key)
{
	return key->name;
}
