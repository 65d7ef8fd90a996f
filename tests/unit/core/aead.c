#include "fixture/test.h"

#include "core/aead_ops.h"
#include "fixture/hex.h"
#include "fixture/rng.h"

#include <malloc.h>
#include <string.h>

static const enum aead_kind kinds[] = {AEAD_CHACHA20_POLY1305, AEAD_AES256_GCM};

/* RFC 8439, 2.8.2 and A.5; NIST's GCM test cases 13 to 16 (McGrew and Viega, appendix B). */
static const struct {
	enum aead_kind kind;
	const char *key, *nonce, *aad, *plain, *sealed;
} vectors[] = {
	{AEAD_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	 "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
	 "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a2049662"
	 "0"
	 "4920636f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f72207468652066757475726"
	 "5"
	 "2c2073756e73637265656e20776f756c642062652069742e",
	 "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69d"
	 "a"
	 "92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad67594558"
	 "5"
	 "808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"},
	{AEAD_AES256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
	 "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	{AEAD_AES256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
	 "000000000000000000000000", "", "00000000000000000000000000000000",
	 "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
	{AEAD_AES256_GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	 "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e244"
	 "9"
	 "a6b525b16aedf5aa0de657ba637b39",
	 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b105"
	 "6"
	 "828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"},
};

static void published_vectors_come_out_of_every_provider(void **state)
{
	uint8_t bytes[32], nonce[12], aad[32], plain[256], sealed[256], out[256];
	size_t aad_len, len;
	struct aead_key *key;

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		unhex(vectors[i].key, bytes, sizeof(bytes));
		unhex(vectors[i].nonce, nonce, sizeof(nonce));
		aad_len = unhex(vectors[i].aad, aad, sizeof(aad));
		len = unhex(vectors[i].plain, plain, sizeof(plain));
		assert_int_equal(unhex(vectors[i].sealed, sealed, sizeof(sealed)),
				 len + AEAD_TAG_LEN);
		for (int by = 0; by < AEAD_PROVIDERS; by++) {
			key = aead_key_new_by((enum aead_provider_id)by, vectors[i].kind, bytes);
			if (!key)
				continue;
			key->ops->seal(key, nonce, aad, aad_len, plain, len, out);
			assert_memory_equal(out, sealed, len + AEAD_TAG_LEN);
			assert_true(key->ops->open(key, nonce, aad, aad_len, sealed, len, out));
			assert_memory_equal(out, plain, len);
			aead_key_free(key);
		}
	}
}

/* BOLT-8, appendix A, act three: nonce 1. */
static void the_counter_makes_the_nonce_as_in_bolt_8(void **state)
{
	uint8_t bytes[32], aad[32], plain[33], want[49], out[49];
	struct aead_key *key;

	unhex("908b166535c01a935cf1e130a5fe895ab4e6f3ef8855d87e9b7581c4ab663ddc", bytes, 32);
	unhex("90578e247e98674e661013da3c5c1ca6a8c8f48c90b485c0dfa1494e23d56d72", aad, 32);
	unhex("034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa", plain, 33);
	unhex("b9e3a702e93e3a9948c2ed6e5fd7590a6e1c3a0344cfc9d5b57357049aa22355361aa02e55a8fc28fef5"
	      "bd6d71ad0c3822",
	      want, sizeof(want));
	key = aead_key_new(AEAD_CHACHA20_POLY1305, bytes);
	assert_non_null(key);
	aead_seal(key, 1, aad, sizeof(aad), plain, sizeof(plain), out);
	assert_memory_equal(out, want, sizeof(want));
	aead_key_free(key);
}

/* Each provider seals, and each opens what each sealed; in place and not. */
static void all_providers_give_the_same_bytes(void **state)
{
	enum { LONGEST = 65536 };
	static uint8_t plain[LONGEST], sealed[AEAD_PROVIDERS][LONGEST + AEAD_TAG_LEN],
		out[LONGEST + AEAD_TAG_LEN];
	struct rng rng = rng_new("all_providers_give_the_same_bytes");
	struct aead_key *keys[AEAD_PROVIDERS];
	uint8_t bytes[AEAD_KEY_LEN], aad[64];
	int first;

	for (int round = 0; round < 2 * 2004; round++) {
		enum aead_kind kind = kinds[round % 2];
		size_t len = round < 2 * 2001 ? (size_t)round / 2
					      : LONGEST - 2003 + (size_t)round / 2,
		       aad_len = rng_below(&rng, 64);
		uint64_t counter = rng_next(&rng) >> rng_below(&rng, 64);

		rng_fill(&rng, bytes, sizeof(bytes));
		rng_fill(&rng, plain, len);
		rng_fill(&rng, aad, aad_len);
		first = -1;
		for (int i = 0; i < AEAD_PROVIDERS; i++) {
			keys[i] = aead_key_new_by((enum aead_provider_id)i, kind, bytes);
			if (!keys[i])
				continue;
			memcpy(sealed[i], plain, len);
			aead_seal(keys[i], counter, aad, aad_len, i % 2 ? sealed[i] : plain, len,
				  sealed[i]);
			if (first < 0)
				first = i;
			assert_memory_equal(sealed[i], sealed[first], len + AEAD_TAG_LEN);
		}
		assert_true(first >= 0);
		for (int i = 0; i < AEAD_PROVIDERS; i++) {
			if (!keys[i])
				continue;
			memcpy(out, sealed[first], len + AEAD_TAG_LEN);
			assert_true(aead_open(keys[i], counter, aad, aad_len, out,
					      len + AEAD_TAG_LEN, out));
			assert_memory_equal(out, plain, len);
			aead_key_free(keys[i]);
		}
	}
}

static void a_wrong_tag_is_refused_and_leaves_no_plain_text(void **state)
{
	uint8_t bytes[AEAD_KEY_LEN] = {3}, plain[100], sealed[116], out[116];
	static const uint8_t zeros[100];
	struct aead_key *key;

	memset(plain, 0xaa, sizeof(plain));
	for (int i = 0; i < 2 * AEAD_PROVIDERS; i++) {
		key = aead_key_new_by((enum aead_provider_id)(i / 2), kinds[i % 2], bytes);
		if (!key)
			continue;
		aead_seal(key, 5, plain, 16, plain, sizeof(plain), sealed);
		for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
			memcpy(out, sealed, sizeof(out));
			out[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_false(aead_open(key, 5, plain, 16, out, sizeof(out), out));
			assert_memory_equal(out, zeros, sizeof(zeros));
		}
		assert_false(aead_open(key, 6, plain, 16, sealed, sizeof(sealed), out));
		assert_false(aead_open(key, 5, plain, 15, sealed, sizeof(sealed), out));
		assert_false(aead_open(key, 5, plain, 16, sealed, sizeof(sealed) - 1, out));
		assert_false(aead_open(key, 5, plain, 16, sealed, AEAD_TAG_LEN - 1, out));
		assert_true(aead_open(key, 5, plain, 16, sealed, sizeof(sealed), out));
		assert_memory_equal(out, plain, sizeof(plain));
		aead_key_free(key);
	}
}

/* Whatever a provider allocates for a key is handed back with nothing of the key in it. */
static uint8_t *watched;
static size_t watched_len;
static bool wiped;

void __real_free(void *p);
void __wrap_free(void *p);

void __wrap_free(void *p)
{
	if (p && p == watched) {
		wiped = true;
		for (size_t i = 0; i < watched_len; i++)
			wiped &= !watched[i];
	}
	__real_free(p);
}

static void a_key_is_wiped_before_its_memory_goes_back(void **state)
{
	static const uint8_t text[100] = {1};
	uint8_t bytes[AEAD_KEY_LEN], out[sizeof(text) + AEAD_TAG_LEN];
	struct aead_key *key;

	memset(bytes, 0xa5, sizeof(bytes));
	for (int i = 0; i < 2 * AEAD_PROVIDERS; i++) {
		/* Of libcrypto the contexts are its own to wipe (EVP_CIPHER_CTX_free()). */
		if (i / 2 == AEAD_LIBCRYPTO)
			continue;
		key = aead_key_new_by((enum aead_provider_id)(i / 2), kinds[i % 2], bytes);
		if (!key)
			continue;
		aead_seal(key, 0, text, 5, text, sizeof(text), out);
		watched = (uint8_t *)key;
		/* All but what fills it up to a cache line. */
		watched_len = malloc_usable_size(key) / 64 * 64 - 63;
		wiped = false;
		aead_key_free(key);
		assert_true(wiped);
		watched = NULL;
	}
}

static void a_preferred_provider_is_taken_where_it_can(void **state)
{
	static const uint8_t bytes[AEAD_KEY_LEN];
	struct aead_key *key;

	for (int i = 0; i < 2 * AEAD_PROVIDERS; i++) {
		enum aead_provider_id by = (enum aead_provider_id)(i / 2);
		enum aead_kind kind = kinds[i % 2];
		const char *name = aead_provider_name(by);

		aead_prefer(by, kind);
		key = aead_key_new(kind, bytes);
		assert_non_null(key);
		assert_int_equal(aead_usable(by, kind),
				 !strncmp(aead_provider(key), name, strlen(name)));
		aead_key_free(key);
		aead_prefer(AEAD_PROVIDERS, kind);
	}
}

static void there_is_always_a_provider_for_what_is_offered(void **state)
{
	static const uint8_t bytes[AEAD_KEY_LEN];
	struct aead_key *key;

	assert_true(aead_supported() & AEAD_CHACHA20_POLY1305);
	assert_false(aead_supported() & ~(AEAD_CHACHA20_POLY1305 | AEAD_AES256_GCM));
	for (int i = 0; i < 2; i++) {
		key = aead_key_new(kinds[i], bytes);
		assert_non_null(key);
		assert_non_null(aead_provider(key));
		printf("# kind %d: %s\n", kinds[i], aead_provider(key));
		aead_key_free(key);
	}
	aead_key_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors_come_out_of_every_provider),
		cmocka_unit_test(the_counter_makes_the_nonce_as_in_bolt_8),
		cmocka_unit_test(all_providers_give_the_same_bytes),
		cmocka_unit_test(a_wrong_tag_is_refused_and_leaves_no_plain_text),
		cmocka_unit_test(a_key_is_wiped_before_its_memory_goes_back),
		cmocka_unit_test(a_preferred_provider_is_taken_where_it_can),
		cmocka_unit_test(there_is_always_a_provider_for_what_is_offered),
	};

	return cmocka_run_group_tests_name("core/aead", tests, NULL, NULL);
}
