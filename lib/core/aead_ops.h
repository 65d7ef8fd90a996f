#ifndef CORE_AEAD_OPS_H
#define CORE_AEAD_OPS_H

/* What core/aead asks of a library; private to aead*.c. */

#include "core/aead.h"

/* The head of each provider's own struct. */
struct aead_key {
	const struct aead_ops *ops;
	enum aead_kind kind;
	const char *name; /* static */
};

struct aead_ops {
	/* Built in, and for this CPU. */
	bool (*usable)(enum aead_kind kind);
	/* NULL: no memory. The caller fills the head. */
	struct aead_key *(*key_new)(enum aead_kind kind, const uint8_t key[static AEAD_KEY_LEN]);
	void (*key_free)(struct aead_key *key);
	void (*seal)(struct aead_key *key, const uint8_t nonce[static AEAD_NONCE_LEN],
		     const uint8_t *aad, size_t aad_len, const uint8_t *plain, size_t len,
		     uint8_t *out);
	/* len is the plain text's; the tag follows it. */
	bool (*open)(struct aead_key *key, const uint8_t nonce[static AEAD_NONCE_LEN],
		     const uint8_t *aad, size_t aad_len, const uint8_t *sealed, size_t len,
		     uint8_t *out);
	const char *(*name)(enum aead_kind kind);
};

extern const struct aead_ops aead_ops_ipsec_mb, aead_ops_libcrypto, aead_ops_libsodium;

#endif
