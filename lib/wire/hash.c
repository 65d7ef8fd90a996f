#include "wire/hash.h"

#include "wire/buf.h"

/* The plain functions and not EVP: they cannot fail, allocate nothing and read no configuration
 * file, so they also work behind the sandbox. OpenSSL 3 calls them deprecated, hence the level. */
#define OPENSSL_API_COMPAT 10100
#include <assert.h>
#include <openssl/ripemd.h>
#include <openssl/sha.h>
#include <string.h>

void sha256_init(struct sha256 *h)
{
	crypto_hash_sha256_init(&h->state);
}

void sha256_update(struct sha256 *h, const void *data, size_t len)
{
	crypto_hash_sha256_update(&h->state, data, len);
}

void sha256_update_u32(struct sha256 *h, uint32_t v)
{
	uint8_t mem[4];

	store_u32(mem, v);
	sha256_update(h, mem, sizeof(mem));
}

void sha256_update_u64(struct sha256 *h, uint64_t v)
{
	uint8_t mem[8];

	store_u64(mem, v);
	sha256_update(h, mem, sizeof(mem));
}

void sha256_update_compact(struct sha256 *h, uint64_t n)
{
	uint8_t mem[9];
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	writer_compact(&w, n);
	sha256_update(h, mem, writer_len(&w));
}

void sha256_final(struct sha256 *h, struct hash256 *ret)
{
	crypto_hash_sha256_final(&h->state, ret->bytes);
}

void sha256_final_double(struct sha256 *h, struct hash256 *ret)
{
	struct hash256 once;

	sha256_final(h, &once);
	hash_sha256(once.bytes, HASH_LEN, ret);
}

void hash_sha256(const void *data, size_t len, struct hash256 *ret)
{
	/* with the CPU's SHA instructions, which libsodium does not use */
	SHA256_CTX ctx;

	SHA256_Init(&ctx);
	SHA256_Update(&ctx, data, len);
	SHA256_Final(ret->bytes, &ctx);
	secret_wipe(&ctx, sizeof(ctx));
}

void hash_sha256d(const void *data, size_t len, struct hash256 *ret)
{
	struct hash256 once;

	hash_sha256(data, len, &once);
	hash_sha256(once.bytes, HASH_LEN, ret);
}

void hash_ripemd160(const void *data, size_t len, uint8_t ret[HASH160_LEN])
{
	RIPEMD160(data, len, ret);
}

void hash_hash160(const void *data, size_t len, uint8_t ret[HASH160_LEN])
{
	struct hash256 inner;

	hash_sha256(data, len, &inner);
	hash_ripemd160(inner.bytes, HASH_LEN, ret);
}

void tagged_hash_init(struct sha256 *h, const char *tag)
{
	struct hash256 tag_hash;

	hash_sha256(tag, strlen(tag), &tag_hash);
	sha256_init(h);
	sha256_update(h, tag_hash.bytes, HASH_LEN);
	sha256_update(h, tag_hash.bytes, HASH_LEN);
}

void hash_tagged(const char *tag, const void *data, size_t len, struct hash256 *ret)
{
	struct sha256 h;

	tagged_hash_init(&h, tag);
	sha256_update(&h, data, len);
	sha256_final(&h, ret);
}

void hash_tagged_written(const char *tag, const struct writer *w, struct hash256 *ret)
{
	assert(!w->failed);
	hash_tagged(tag, w->start, writer_len(w), ret);
}
