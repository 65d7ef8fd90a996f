#ifndef ADAPTERS_TINC_KEY_H
#define ADAPTERS_TINC_KEY_H

/* Keys of tinc. In a key statement: the DER form of an RSA key's SubjectPublicKeyInfo (tinc 1.0);
 * behind it, from a node that runs tinc 1.1, that of an Ed25519 key. */

#include "adapters/adapter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TINC_RSA_BITS = 3072,	  /* of keys that are made here */
	TINC_RSA_BITS_MIN = 2048, /* of keys of others */
	TINC_PRIVATE_MAX = 8192,  /* bytes of a private key's file */
	TINC_PUBLIC_MAX = 1600,	  /* bytes of a public key's text, with its NUL */
};

/* A new RSA key as the text of rsa_key.priv; takes some 100 ms to seconds. The caller wipes and
 * frees it. NULL: libcrypto could not. */
char *tinc_key_make(void);
/* The public part of rsa_key.priv's text, as a statement has it. False: no such text, or a key
 * shorter than TINC_RSA_BITS_MIN. */
bool tinc_key_public(const char *text, uint8_t ret_key[static ADAPTER_KEY_MAX], size_t *ret_len);
/* The key of a statement as lines for hosts/NAME, written anew from what was understood: nothing of
 * the input gets there as it is. False: not fit for tinc; ret_text is untouched. */
bool tinc_key_format(const uint8_t *key, size_t len, char ret_text[static TINC_PUBLIC_MAX]);

#endif
