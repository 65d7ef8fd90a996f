#include "config.h"

#include "core/aead_ops.h"
#include "core/secret.h"
#include "wire/key.h"

#include <stdlib.h>

#ifdef HAVE_IPSEC_MB

#include <intel-ipsec-mb.h>
#include <threads.h>

/* The table of the functions for this CPU: made once, read-only afterwards, kept until exit. NULL:
 * no memory, or the library's own self-test failed. */
static IMB_MGR *manager;
static once_flag manager_once = ONCE_FLAG_INIT;

struct mb_gcm {
	struct aead_key head;
	struct gcm_context_data context; /* of the message under way; here so that it is wiped */
	struct gcm_key_data key;
};

struct mb_chacha {
	struct aead_key head;
	uint8_t key[AEAD_KEY_LEN]; /* not last: the library loads some bytes behind it, too */
	struct chacha20_poly1305_context_data context;
};

static void make_manager(void)
{
	IMB_MGR *made = alloc_mb_mgr(0);

	if (!made)
		return;
	init_mb_mgr_auto(made, NULL);
	if (imb_get_errno(made) || ((made->features & IMB_FEATURE_SELF_TEST) &&
				    !(made->features & IMB_FEATURE_SELF_TEST_PASS)))
		free_mb_mgr(made);
	else
		manager = made;
}

static bool has(uint64_t features)
{
	return (manager->features & features) == features;
}

static bool usable(enum aead_kind kind)
{
	call_once(&manager_once, make_manager);
	if (!manager)
		return false;
	switch (kind) {
	case AEAD_AES256_GCM:
		return has(IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ);
	case AEAD_CHACHA20_POLY1305:
		return has(IMB_FEATURE_AVX2);
	}
	return false;
}

static void *new_aligned(size_t size)
{
	void *p = aligned_alloc(64, (size + 63) / 64 * 64);

	if (p)
		secret_lock(p, size);
	return p;
}

static struct aead_key *key_new(enum aead_kind kind, const uint8_t key[static AEAD_KEY_LEN])
{
	struct mb_chacha *chacha;
	struct mb_gcm *gcm;

	switch (kind) {
	case AEAD_AES256_GCM:
		gcm = new_aligned(sizeof(*gcm));
		if (!gcm)
			return NULL;
		IMB_AES256_GCM_PRE(manager, key, &gcm->key);
		return &gcm->head;
	case AEAD_CHACHA20_POLY1305:
		chacha = new_aligned(sizeof(*chacha));
		if (!chacha)
			return NULL;
		for (int i = 0; i < AEAD_KEY_LEN; i++)
			chacha->key[i] = key[i];
		return &chacha->head;
	}
	return NULL;
}

static void key_free(struct aead_key *key)
{
	if (key->kind == AEAD_AES256_GCM)
		secret_wipe(key, sizeof(struct mb_gcm));
	else
		secret_wipe(key, sizeof(struct mb_chacha));
	free(key);
}

static void seal(struct aead_key *key, const uint8_t nonce[static AEAD_NONCE_LEN],
		 const uint8_t *aad, size_t aad_len, const uint8_t *plain, size_t len, uint8_t *out)
{
	struct mb_gcm *gcm = (struct mb_gcm *)key;
	struct mb_chacha *chacha = (struct mb_chacha *)key;

	if (key->kind == AEAD_AES256_GCM) {
		IMB_AES256_GCM_ENC(manager, &gcm->key, &gcm->context, out, plain, len, nonce, aad,
				   aad_len, out + len, AEAD_TAG_LEN);
		return;
	}
	IMB_CHACHA20_POLY1305_INIT(manager, chacha->key, &chacha->context, nonce, aad, aad_len);
	IMB_CHACHA20_POLY1305_ENC_UPDATE(manager, chacha->key, &chacha->context, out, plain, len);
	IMB_CHACHA20_POLY1305_ENC_FINALIZE(manager, &chacha->context, out + len, AEAD_TAG_LEN);
}

static bool open(struct aead_key *key, const uint8_t nonce[static AEAD_NONCE_LEN],
		 const uint8_t *aad, size_t aad_len, const uint8_t *sealed, size_t len,
		 uint8_t *out)
{
	struct mb_gcm *gcm = (struct mb_gcm *)key;
	struct mb_chacha *chacha = (struct mb_chacha *)key;
	uint8_t tag[AEAD_TAG_LEN];

	if (key->kind == AEAD_AES256_GCM) {
		IMB_AES256_GCM_DEC(manager, &gcm->key, &gcm->context, out, sealed, len, nonce, aad,
				   aad_len, tag, AEAD_TAG_LEN);
	} else {
		IMB_CHACHA20_POLY1305_INIT(manager, chacha->key, &chacha->context, nonce, aad,
					   aad_len);
		IMB_CHACHA20_POLY1305_DEC_UPDATE(manager, chacha->key, &chacha->context, out,
						 sealed, len);
		IMB_CHACHA20_POLY1305_DEC_FINALIZE(manager, &chacha->context, tag, AEAD_TAG_LEN);
	}
	return secret_bytes_equal(tag, sealed + len, AEAD_TAG_LEN);
}

static const char *name(enum aead_kind kind)
{
	if (kind == AEAD_CHACHA20_POLY1305)
		return has(IMB_FEATURE_AVX512_SKX) ? "libipsec-mb (avx512)" : "libipsec-mb (avx2)";
	if (has(IMB_CPUFLAGS_AVX512_T2))
		return "libipsec-mb (vaes-avx512)";
	return has(IMB_FEATURE_AVX512_SKX) ? "libipsec-mb (aes-ni, avx512)"
					   : "libipsec-mb (aes-ni)";
}

#else

static bool usable(enum aead_kind kind)
{
	return false;
}

#endif

const struct aead_ops aead_ops_ipsec_mb = {
	.usable = usable,
#ifdef HAVE_IPSEC_MB
	.key_new = key_new,
	.key_free = key_free,
	.seal = seal,
	.open = open,
	.name = name,
#endif
};
