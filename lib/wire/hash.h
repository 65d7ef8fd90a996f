#ifndef WIRE_HASH_H
#define WIRE_HASH_H

/* Hashes of the chain: SHA-256 and what Bitcoin makes of it. None of them can fail. */

#include "wire/key.h"

#include <sodium.h>

struct writer;

/* SHA-256 over parts: init, update as often as wanted, then one final. */
struct sha256 {
	crypto_hash_sha256_state state;
};

void sha256_init(struct sha256 *h);
void sha256_update(struct sha256 *h, const void *data, size_t len);
/* Little-endian, and Bitcoin's compact size: as transactions are serialized. */
void sha256_update_u32(struct sha256 *h, uint32_t v);
void sha256_update_u64(struct sha256 *h, uint64_t v);
void sha256_update_compact(struct sha256 *h, uint64_t n);
void sha256_final(struct sha256 *h, struct hash256 *ret);
/* SHA256(SHA256(all parts)) */
void sha256_final_double(struct sha256 *h, struct hash256 *ret);

void hash_sha256(const void *data, size_t len, struct hash256 *ret);
/* SHA256(SHA256(data)): block hashes, txids */
void hash_sha256d(const void *data, size_t len, struct hash256 *ret);
/* RIPEMD160(SHA256(data)) */
void hash_hash160(const void *data, size_t len, uint8_t ret[HASH160_LEN]);
void hash_ripemd160(const void *data, size_t len, uint8_t ret[HASH160_LEN]);

/* BIP340: SHA256(SHA256(tag) || SHA256(tag) || data); the init form takes the data in parts. */
void tagged_hash_init(struct sha256 *h, const char *tag);
void hash_tagged(const char *tag, const void *data, size_t len, struct hash256 *ret);
/* Of what was written, all of which had room. */
void hash_tagged_written(const char *tag, const struct writer *w, struct hash256 *ret);

#endif
