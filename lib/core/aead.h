#ifndef CORE_AEAD_H
#define CORE_AEAD_H

/* The AEADs of the data path behind one small interface; the fastest maintained implementation that
 * this machine runs: libipsec-mb (VAES), libcrypto, libsodium. All give the same bytes. RFC 8439,
 * NIST SP 800-38D. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum aead_kind {
	AEAD_CHACHA20_POLY1305 = 1,
	AEAD_AES256_GCM = 2
}; /* also the bits of PROTOCOL 3.3 */

enum { AEAD_KEY_LEN = 32, AEAD_TAG_LEN = 16, AEAD_NONCE_LEN = 12 };

/* Who works it out, best first. */
enum aead_provider_id { AEAD_IPSEC_MB, AEAD_LIBCRYPTO, AEAD_LIBSODIUM, AEAD_PROVIDERS };

const char *aead_kind_name(enum aead_kind kind);		/* "AES-256-GCM", … */
const char *aead_provider_name(enum aead_provider_id provider); /* "libcrypto", … */
/* Whether it is built in, and for this CPU. */
bool aead_usable(enum aead_provider_id provider, enum aead_kind kind);
/* Keys of this kind are made by that provider from now on, while it is usable. For the whole
 * process: to be called at its start, before there are other threads. */
void aead_prefer(enum aead_provider_id provider, enum aead_kind kind);

/* One direction's key, prepared. Opaque; holds key material: freed only by aead_key_free(), which
 * wipes. For one thread at a time. */
struct aead_key;

/* Ciphers to offer: ChaCha20-Poly1305 always, AES-256-GCM where it is fast here. */
uint8_t aead_supported(void);
/* By the preferred provider, or else the best that is usable. Allocates (handshake time, not the
 * data path). NULL: out of memory. */
struct aead_key *aead_key_new(enum aead_kind kind, const uint8_t key[static AEAD_KEY_LEN]);
/* The same by one provider, for tests and measurements; also NULL where it is not built in or not
 * for this CPU. */
struct aead_key *aead_key_new_by(enum aead_provider_id provider, enum aead_kind kind,
				 const uint8_t key[static AEAD_KEY_LEN]);
void aead_key_free(struct aead_key *key);
/* In place or not; out has room for len + AEAD_TAG_LEN. counter makes the nonce as in PROTOCOL 5.1.
 */
void aead_seal(struct aead_key *key, uint64_t counter, const uint8_t *aad, size_t aad_len,
	       const uint8_t *plain, size_t len, uint8_t *out);
/* len counts the tag. False: the tag is wrong, and out is not to be used. */
bool aead_open(struct aead_key *key, uint64_t counter, const uint8_t *aad, size_t aad_len,
	       const uint8_t *sealed, size_t len, uint8_t *out);
/* "libipsec-mb (vaes-avx512)", … for status. */
const char *aead_provider(const struct aead_key *key);

#endif
