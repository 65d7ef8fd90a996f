#include "wire/probe.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

enum { SIGNED_LEN = PROBE_LEN - PROBE_MAC_LEN };

static_assert(8 + PROBE_LABEL_LEN + PROBE_NONCE_LEN == SIGNED_LEN, "PROTOCOL 9.8");

/* HMAC-SHA256(key, text || sender || receiver || bytes) */
static void keyed_hash(const uint8_t key[static HASH_LEN], const char *text, const uint8_t *sender,
		       const uint8_t *receiver, const void *bytes, size_t len,
		       uint8_t ret[static HASH_LEN])
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, HASH_LEN);
	crypto_auth_hmacsha256_update(&state, (const uint8_t *)text, strlen(text));
	crypto_auth_hmacsha256_update(&state, sender, PROBE_KEY_LEN);
	crypto_auth_hmacsha256_update(&state, receiver, PROBE_KEY_LEN);
	crypto_auth_hmacsha256_update(&state, bytes, len);
	crypto_auth_hmacsha256_final(&state, ret);
	secret_wipe(&state, sizeof(state));
}

bool probe_keys_make(struct probe_keys *ret_keys, const uint8_t own_secret[static PROBE_KEY_LEN],
		     const uint8_t peer[static PROBE_KEY_LEN])
{
	struct probe_keys k;
	uint8_t shared[crypto_scalarmult_BYTES], hash[HASH_LEN];

	if (crypto_scalarmult_base(k.own, own_secret) ||
	    crypto_scalarmult(shared, own_secret, peer))
		return false;
	memcpy(k.peer, peer, PROBE_KEY_LEN);
	/* The secret that WireGuard makes its own keys of has no other use than this hash. */
	crypto_auth_hmacsha256(k.mac, (const uint8_t *)"dnet/probe/1", strlen("dnet/probe/1"),
			       shared);
	keyed_hash(k.mac, "label", k.own, k.peer, NULL, 0, hash);
	memcpy(k.label_out, hash, PROBE_LABEL_LEN);
	keyed_hash(k.mac, "label", k.peer, k.own, NULL, 0, hash);
	memcpy(k.label_in, hash, PROBE_LABEL_LEN);
	secret_wipe(shared, sizeof(shared));
	secret_wipe(hash, sizeof(hash));
	*ret_keys = k;
	secret_wipe(&k, sizeof(k));
	return true;
}

bool probe_parse(const void *data, size_t len, struct probe *ret_probe)
{
	struct probe p;
	struct reader r;

	if (len != PROBE_LEN)
		return false;
	reader_init(&r, data, len);
	if (reader_u32be(&r) != PROBE_MAGIC)
		return false;
	p.kind = reader_u8(&r);
	if (p.kind != PROBE_QUESTION && p.kind != PROBE_ANSWER)
		return false;
	if (reader_u8(&r) | reader_u16(&r))
		return false;
	reader_copy(&r, p.label, PROBE_LABEL_LEN);
	reader_copy(&r, p.nonce, PROBE_NONCE_LEN);
	*ret_probe = p;
	return true;
}

bool probe_verify(const struct probe_keys *keys, const uint8_t data[static PROBE_LEN])
{
	uint8_t mac[HASH_LEN];

	keyed_hash(keys->mac, "probe", keys->peer, keys->own, data, SIGNED_LEN, mac);
	return secret_bytes_equal(data + 8, keys->label_in, PROBE_LABEL_LEN) &&
	       secret_bytes_equal(data + SIGNED_LEN, mac, PROBE_MAC_LEN);
}

void probe_write(struct writer *w, const struct probe_keys *keys, enum probe_kind kind,
		 const uint8_t nonce[static PROBE_NONCE_LEN])
{
	uint8_t bytes[SIGNED_LEN], mac[HASH_LEN];
	struct writer part;

	writer_init(&part, bytes, sizeof(bytes));
	writer_u32be(&part, PROBE_MAGIC);
	writer_u8(&part, (uint8_t)kind);
	writer_zero(&part, 3);
	writer_copy(&part, keys->label_out, PROBE_LABEL_LEN);
	writer_copy(&part, nonce, PROBE_NONCE_LEN);
	keyed_hash(keys->mac, "probe", keys->own, keys->peer, bytes, sizeof(bytes), mac);
	writer_copy(w, bytes, sizeof(bytes));
	writer_copy(w, mac, PROBE_MAC_LEN);
}
