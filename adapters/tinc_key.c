#include "adapters/tinc_key.h"

#include "os/base.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

enum {
	EXPONENT_BITS_MAX = 32, /* a long one makes each handshake slow for whoever checks it */
	ED25519_LEN = 32,
	ED25519_TEXT = 43, /* 6 bits a character, no padding */
};

/* What libcrypto says of a wrong input is ours to say. */
static bool refuse(EVP_PKEY *key)
{
	EVP_PKEY_free(key);
	ERR_clear_error();
	return false;
}

static bool rsa_is_fit(const EVP_PKEY *key)
{
	BIGNUM *exponent = NULL;
	bool fit = EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= TINC_RSA_BITS_MIN &&
		   EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 &&
		   BN_is_odd(exponent) && !BN_is_one(exponent) &&
		   BN_num_bits(exponent) <= EXPONENT_BITS_MAX;
	BN_free(exponent);
	return fit;
}

/* As PEM, without NUL. False: it does not fit. */
static bool write_pem(EVP_PKEY *key, char *dst, size_t size, size_t *ret_len)
{
	char *text;
	BIO *bio = BIO_new(BIO_s_mem());
	bool good = bio && PEM_write_bio_PUBKEY(bio, key) == 1;
	long len = good ? BIO_get_mem_data(bio, &text) : 0;
	good = len > 0 && (size_t)len < size;
	if (good) {
		memcpy(dst, text, (size_t)len);
		*ret_len = (size_t)len;
	}
	BIO_free(bio);
	return good;
}

/* tinc's own base 64: the usual alphabet, but bits from the lowest byte's lowest bit up. */
static void format_ed25519(const uint8_t key[static ED25519_LEN], char ret[static ED25519_TEXT + 1])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < ED25519_TEXT; i++) {
		unsigned value = 0;
		for (size_t bit = 0; bit < 6 && 6 * i + bit < 8 * ED25519_LEN; bit++)
			value |= (key[(6 * i + bit) / 8] >> (6 * i + bit) % 8 & 1U) << bit;
		ret[i] = digits[value];
	}
	ret[ED25519_TEXT] = '\0';
}

bool tinc_key_format(const uint8_t *key, size_t len, char ret_text[static TINC_PUBLIC_MAX])
{
	const uint8_t *at = key;
	char text[TINC_PUBLIC_MAX], ed_text[ED25519_TEXT + 1];
	uint8_t ed[ED25519_LEN];
	size_t text_len = 0, ed_len = sizeof(ed);
	if (len > ADAPTER_KEY_MAX)
		return false;
	EVP_PKEY *rsa = d2i_PUBKEY(NULL, &at, (long)len);
	if (!rsa || !rsa_is_fit(rsa) || !write_pem(rsa, text, sizeof(text), &text_len))
		return refuse(rsa);
	EVP_PKEY_free(rsa);
	text[text_len] = '\0';
	if (at < key + len) {
		EVP_PKEY *second = d2i_PUBKEY(NULL, &at, (long)(key + len - at));
		if (!second || !EVP_PKEY_is_a(second, "ED25519") || at != key + len ||
		    EVP_PKEY_get_raw_public_key(second, ed, &ed_len) != 1)
			return refuse(second);
		EVP_PKEY_free(second);
		format_ed25519(ed, ed_text);
		int n = snprintf(text + text_len, sizeof(text) - text_len,
				 "Ed25519PublicKey = %s\n", ed_text);
		if (n < 0 || (size_t)n >= sizeof(text) - text_len)
			return false;
		text_len += (size_t)n;
	}
	memcpy(ret_text, text, text_len + 1);
	return true;
}

char *tinc_key_make(void)
{
	char *data, *text = NULL;
	EVP_PKEY *key = EVP_RSA_gen(TINC_RSA_BITS);
	BIO *bio = BIO_new(BIO_s_secmem());
	if (key && bio &&
	    PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
		long len = BIO_get_mem_data(bio, &data);
		text = xcalloc(1, (size_t)len + 1);
		memcpy(text, data, (size_t)len);
	}
	BIO_free(bio); /* wipes its memory */
	(void)refuse(key);
	return text;
}

bool tinc_key_public(const char *text, uint8_t ret_key[static ADAPTER_KEY_MAX], size_t *ret_len)
{
	uint8_t *der = NULL;
	BIO *bio = BIO_new_mem_buf(text, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, "") : NULL;
	int len = key && rsa_is_fit(key) ? i2d_PUBKEY(key, &der) : 0;
	bool good = len > 0 && len <= ADAPTER_KEY_MAX;
	if (good) {
		memcpy(ret_key, der, (size_t)len);
		*ret_len = (size_t)len;
	}
	OPENSSL_free(der);
	BIO_free(bio);
	(void)refuse(key);
	return good;
}
