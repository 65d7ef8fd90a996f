#include "fixture/test.h"

#include "adapters/tinc_key.h"
#include "os/base.h"

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static size_t public_of(EVP_PKEY *key, uint8_t *dst)
{
	uint8_t *at = dst;
	int len = i2d_PUBKEY(key, NULL);
	assert_true(len > 0 && len <= ADAPTER_KEY_MAX);
	return (size_t)i2d_PUBKEY(key, &at);
}

static size_t rsa(unsigned bits, unsigned long exponent, uint8_t *dst)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;
	BIGNUM *e = BN_new();
	assert_true(BN_set_word(e, exponent));
	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits), 1);
	assert_int_equal(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e), 1);
	assert_int_equal(EVP_PKEY_generate(ctx, &key), 1);
	size_t len = public_of(key, dst);
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(ctx);
	BN_free(e);
	return len;
}

static void a_key_that_was_made_is_read_and_said(void **state)
{
	uint8_t key[ADAPTER_KEY_MAX];
	char lines[TINC_PUBLIC_MAX];
	size_t len = 0;
	char *text = tinc_key_make();
	(void)state;
	assert_non_null(text);
	assert_true(strlen(text) < TINC_PRIVATE_MAX);
	assert_int_equal(strncmp(text, "-----BEGIN RSA PRIVATE KEY-----\n", 32), 0);
	assert_true(tinc_key_public(text, key, &len));
	assert_true(tinc_key_format(key, len, lines));
	assert_int_equal(strncmp(lines, "-----BEGIN PUBLIC KEY-----\n", 27), 0);
	assert_string_equal(lines + strlen(lines) - 25, "-----END PUBLIC KEY-----\n");
	free(text);
}

static void no_other_text_is_a_private_key(void **state)
{
	uint8_t key[ADAPTER_KEY_MAX];
	size_t len = 77;
	(void)state;
	assert_false(tinc_key_public("", key, &len));
	assert_false(tinc_key_public(
		"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", key,
		&len));
	assert_int_equal(len, 77);
}

static void short_and_strange_keys_are_refused(void **state)
{
	uint8_t key[ADAPTER_KEY_MAX + 8] = {0};
	char lines[TINC_PUBLIC_MAX] = "untouched";
	(void)state;
	assert_false(tinc_key_format(key, 0, lines));
	assert_false(tinc_key_format(key, 100, lines));
	assert_false(tinc_key_format(key, ADAPTER_KEY_MAX + 1, lines));
	size_t len = rsa(1024, 65537, key);
	assert_false(tinc_key_format(key, len, lines));
	/* Slow to check on purpose. */
	len = rsa(2048, (1UL << 40) + 15, key);
	assert_false(tinc_key_format(key, len, lines));
	EVP_PKEY *other = EVP_EC_gen("P-256");
	len = public_of(other, key);
	EVP_PKEY_free(other);
	assert_false(tinc_key_format(key, len, lines));
	assert_string_equal(lines, "untouched");
}

/* What stands behind a key would be another line, were it taken as it is. */
static void nothing_stands_behind_a_key_but_another(void **state)
{
	uint8_t key[ADAPTER_KEY_MAX];
	char lines[TINC_PUBLIC_MAX];
	(void)state;
	size_t len = rsa(2048, 65537, key);
	assert_true(tinc_key_format(key, len, lines));
	assert_false(tinc_key_format(key, len - 1, lines));
	key[len] = '\n';
	assert_false(tinc_key_format(key, len + 1, lines));
	memcpy(key + len, "\nSubnet = 0.0.0.0/0\n", 20);
	assert_false(tinc_key_format(key, len + 20, lines));
	memcpy(key + len, key, MIN(len, sizeof(key) - len));
	assert_false(tinc_key_format(key, 2 * len, lines));
}

/* RFC 8032, 7.1, TEST 1: the public key. The text is what tinc's own base 64 makes of it: made with
 * an independent implementation in Python. */
static void the_key_of_tinc_1_1_stands_behind_that_of_1_0(void **state)
{
	static const uint8_t ed[32] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7,
				       0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
				       0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25,
				       0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
	uint8_t key[ADAPTER_KEY_MAX];
	char lines[TINC_PUBLIC_MAX];
	(void)state;
	size_t len = rsa(3072, 65537, key);
	EVP_PKEY *second = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, ed, sizeof(ed));
	len += public_of(second, key + len);
	EVP_PKEY_free(second);
	assert_true(tinc_key_format(key, len, lines));
	assert_non_null(strstr(lines, "-----END PUBLIC KEY-----\nEd25519PublicKey = "
				      "XrFmBIYsKcb1L5/0JT2B64Q4yNv2mOSJvKgGod/BRpB\n"));
	assert_false(tinc_key_format(key, len - 1, lines));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_that_was_made_is_read_and_said),
		cmocka_unit_test(no_other_text_is_a_private_key),
		cmocka_unit_test(short_and_strange_keys_are_refused),
		cmocka_unit_test(nothing_stands_behind_a_key_but_another),
		cmocka_unit_test(the_key_of_tinc_1_1_stands_behind_that_of_1_0),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
