#include "core/noise.h"

#include "core/error.h"
#include "core/id.h"
#include "wire/key.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* Every cipher key of this pattern seals one message part only, so the nonce is always 0. */
static const uint8_t nonce_zero[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];

static_assert(NOISE_TAG_LEN == crypto_aead_chacha20poly1305_IETF_ABYTES, "tag");
static_assert(NOISE_KEY_LEN == crypto_aead_chacha20poly1305_IETF_KEYBYTES, "key");
static_assert((int)NOISE_PUB_MAX == (int)PUBKEY_LEN, "secp256k1");
static_assert((int)NOISE_KEY_LEN == (int)SECRET_LEN, "secp256k1");

/* The handshake as it will be if all goes well, and the cipher key of the moment. */
struct work {
	struct noise noise;
	uint8_t key[NOISE_KEY_LEN];
	uint8_t shared[NOISE_HASH_LEN];
};

static bool secp256k1_pub(const void *ctx, const uint8_t secret[static NOISE_KEY_LEN],
			  uint8_t *ret_pub)
{
	struct identity pair;
	struct secret s;
	bool ok;

	memcpy(s.bytes, secret, SECRET_LEN);
	ok = !id_from_secret(ctx, &s, &pair);
	if (ok)
		memcpy(ret_pub, pair.key.bytes, PUBKEY_LEN);
	secret_wipe(&s, sizeof(s));
	secret_wipe(&pair, sizeof(pair));
	return ok;
}

static bool secp256k1_agree(const void *ctx, const uint8_t secret[static NOISE_KEY_LEN],
			    const uint8_t *pub, uint8_t ret_shared[static NOISE_HASH_LEN])
{
	struct node_key key;
	struct secret s;
	bool ok;

	memcpy(s.bytes, secret, SECRET_LEN);
	memcpy(key.bytes, pub, PUBKEY_LEN);
	ok = id_ecdh(ctx, &s, &key, ret_shared);
	secret_wipe(&s, sizeof(s));
	return ok;
}

struct noise_dh noise_dh_secp256k1(const struct id *id)
{
	return (struct noise_dh){
		.name = "secp256k1",
		.pub_len = PUBKEY_LEN,
		.ctx = id,
		.pubkey = secp256k1_pub,
		.agree = secp256k1_agree,
	};
}

static void hmac(const uint8_t key[static NOISE_HASH_LEN], const void *a, size_t a_len,
		 const void *b, size_t b_len, uint8_t ret[static NOISE_HASH_LEN])
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, NOISE_HASH_LEN);
	if (a_len)
		crypto_auth_hmacsha256_update(&state, a, a_len);
	if (b_len)
		crypto_auth_hmacsha256_update(&state, b, b_len);
	crypto_auth_hmacsha256_final(&state, ret);
	secret_wipe(&state, sizeof(state));
}

void noise_hkdf(const uint8_t chaining_key[static NOISE_HASH_LEN], const void *input, size_t len,
		uint8_t ret_1[static NOISE_HASH_LEN], uint8_t ret_2[static NOISE_HASH_LEN],
		uint8_t *ret_3)
{
	uint8_t temp[NOISE_HASH_LEN], out[3][NOISE_HASH_LEN];

	hmac(chaining_key, input, len, NULL, 0, temp);
	hmac(temp, NULL, 0, "\x01", 1, out[0]);
	hmac(temp, out[0], NOISE_HASH_LEN, "\x02", 1, out[1]);
	hmac(temp, out[1], NOISE_HASH_LEN, "\x03", 1, out[2]);
	memcpy(ret_1, out[0], NOISE_HASH_LEN);
	memcpy(ret_2, out[1], NOISE_HASH_LEN);
	if (ret_3)
		memcpy(ret_3, out[2], NOISE_HASH_LEN);
	secret_wipe(temp, sizeof(temp));
	secret_wipe(out, sizeof(out));
}

static void mix_hash(struct noise *noise, const void *data, size_t len)
{
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, noise->hash, NOISE_HASH_LEN);
	if (len)
		crypto_hash_sha256_update(&state, data, len);
	crypto_hash_sha256_final(&state, noise->hash);
}

void noise_add_data(struct noise *noise, const void *data, size_t len)
{
	assert(noise->state == NOISE_STATE_CREATED_INITIATION ||
	       noise->state == NOISE_STATE_CONSUMED_INITIATION);
	mix_hash(noise, data, len);
}

static void mix_key(struct work *w, const void *input, size_t len)
{
	noise_hkdf(w->noise.chaining_key, input, len, w->noise.chaining_key, w->key, NULL);
}

static bool mix_dh(struct work *w, const uint8_t secret[static NOISE_KEY_LEN], const uint8_t *pub)
{
	const struct noise_dh *dh = w->noise.dh;

	if (!dh->agree(dh->ctx, secret, pub, w->shared))
		return false;
	mix_key(w, w->shared, sizeof(w->shared));
	return true;
}

/* With a psk in the pattern an ephemeral key is mixed into the chaining key too (Noise 9.2). */
static void mix_ephemeral(struct work *w, const uint8_t *pub)
{
	mix_hash(&w->noise, pub, w->noise.dh->pub_len);
	mix_key(w, pub, w->noise.dh->pub_len);
}

static void mix_psk(struct work *w, const uint8_t psk[static NOISE_KEY_LEN])
{
	uint8_t hash[NOISE_HASH_LEN];

	noise_hkdf(w->noise.chaining_key, psk, NOISE_KEY_LEN, w->noise.chaining_key, hash, w->key);
	mix_hash(&w->noise, hash, sizeof(hash));
	secret_wipe(hash, sizeof(hash));
}

/* Returns the end of what was written. */
static uint8_t *encrypt(struct work *w, const void *plain, size_t len, uint8_t *out)
{
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, w->noise.hash,
						  NOISE_HASH_LEN, NULL, nonce_zero, w->key);
	mix_hash(&w->noise, out, len + NOISE_TAG_LEN);
	return out + len + NOISE_TAG_LEN;
}

/* len is the plain text's. */
static bool decrypt(struct work *w, const uint8_t *sealed, size_t len, uint8_t *out)
{
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, len + NOISE_TAG_LEN,
						      w->noise.hash, NOISE_HASH_LEN, nonce_zero,
						      w->key))
		return false;
	mix_hash(&w->noise, sealed, len + NOISE_TAG_LEN);
	return true;
}

static void begin(struct work *w, const struct noise_local *local, const uint8_t *responder)
{
	char name[64];
	int len =
		snprintf(name, sizeof(name), "Noise_IKpsk2_%s_ChaChaPoly_SHA256", local->dh->name);

	assert(len > NOISE_HASH_LEN && (size_t)len < sizeof(name));
	assert(local->dh->pub_len <= NOISE_PUB_MAX);
	memset(w, 0, sizeof(*w));
	w->noise.dh = local->dh;
	memcpy(w->noise.local_static, local->secret, NOISE_KEY_LEN);
	crypto_hash_sha256(w->noise.hash, (const uint8_t *)name, (size_t)len);
	memcpy(w->noise.chaining_key, w->noise.hash, NOISE_HASH_LEN);
	mix_hash(&w->noise, local->prologue, local->prologue_len);
	mix_hash(&w->noise, responder, local->dh->pub_len);
}

size_t noise_initiation_len(const struct noise_dh *dh, size_t payload_len)
{
	return 2 * dh->pub_len + NOISE_TAG_LEN + payload_len + NOISE_TAG_LEN;
}

size_t noise_response_len(const struct noise_dh *dh, size_t payload_len)
{
	return dh->pub_len + payload_len + NOISE_TAG_LEN;
}

int noise_create_initiation(struct noise *noise, const struct noise_local *local,
			    const uint8_t *remote_static,
			    const uint8_t ephemeral[static NOISE_KEY_LEN], const void *payload,
			    size_t payload_len, uint8_t *out)
{
	const struct noise_dh *dh = local->dh;
	uint8_t pub[NOISE_PUB_MAX];
	struct work w;
	int r = -DNET_EFORMAT;

	assert(payload_len <= NOISE_PAYLOAD_MAX);
	begin(&w, local, remote_static);
	w.noise.initiator = true;
	memcpy(w.noise.remote_static, remote_static, dh->pub_len);
	memcpy(w.noise.ephemeral, ephemeral, NOISE_KEY_LEN);
	/* e */
	if (!dh->pubkey(dh->ctx, ephemeral, pub))
		goto out;
	mix_ephemeral(&w, pub);
	/* es; ss is worked out before out is touched, its result waits */
	if (!mix_dh(&w, ephemeral, remote_static) ||
	    !dh->agree(dh->ctx, local->secret, remote_static, w.shared))
		goto out;
	memcpy(out, pub, dh->pub_len);
	out += dh->pub_len;
	/* s */
	out = encrypt(&w, local->pub, dh->pub_len, out);
	/* ss */
	mix_key(&w, w.shared, sizeof(w.shared));
	encrypt(&w, payload, payload_len, out);
	w.noise.state = NOISE_STATE_CREATED_INITIATION;
	*noise = w.noise;
	r = 0;
out:
	secret_wipe(&w, sizeof(w));
	return r;
}

int noise_consume_initiation(struct noise *noise, const struct noise_local *local,
			     const uint8_t *msg, size_t len, uint8_t *ret_payload,
			     size_t payload_len)
{
	size_t pub_len = local->dh->pub_len;
	uint8_t plain[NOISE_PAYLOAD_MAX];
	struct work w;
	int r = -DNET_EFORMAT;

	assert(payload_len <= NOISE_PAYLOAD_MAX);
	if (len != noise_initiation_len(local->dh, payload_len))
		return -DNET_EFORMAT;
	begin(&w, local, local->pub);
	/* e */
	memcpy(w.noise.remote_ephemeral, msg, pub_len);
	mix_ephemeral(&w, msg);
	msg += pub_len;
	/* es */
	if (!mix_dh(&w, local->secret, w.noise.remote_ephemeral))
		goto out;
	/* s */
	r = -DNET_EAUTH;
	if (!decrypt(&w, msg, pub_len, w.noise.remote_static))
		goto out;
	msg += pub_len + NOISE_TAG_LEN;
	/* ss */
	r = -DNET_EFORMAT;
	if (!mix_dh(&w, local->secret, w.noise.remote_static))
		goto out;
	r = -DNET_EAUTH;
	if (!decrypt(&w, msg, payload_len, plain))
		goto out;
	w.noise.state = NOISE_STATE_CONSUMED_INITIATION;
	*noise = w.noise;
	memcpy(ret_payload, plain, payload_len);
	r = 0;
out:
	secret_wipe(&w, sizeof(w));
	secret_wipe(plain, sizeof(plain));
	return r;
}

int noise_create_response(struct noise *noise, const uint8_t psk[static NOISE_KEY_LEN],
			  const uint8_t ephemeral[static NOISE_KEY_LEN], const void *payload,
			  size_t payload_len, uint8_t *out)
{
	const struct noise_dh *dh = noise->dh;
	struct work w = {.noise = *noise};
	uint8_t pub[NOISE_PUB_MAX];
	int r = -DNET_EFORMAT;

	assert(noise->state == NOISE_STATE_CONSUMED_INITIATION);
	assert(payload_len <= NOISE_PAYLOAD_MAX);
	/* e */
	if (!dh->pubkey(dh->ctx, ephemeral, pub))
		goto out;
	mix_ephemeral(&w, pub);
	/* ee, se */
	if (!mix_dh(&w, ephemeral, w.noise.remote_ephemeral) ||
	    !mix_dh(&w, ephemeral, w.noise.remote_static))
		goto out;
	/* psk */
	mix_psk(&w, psk);
	memcpy(out, pub, dh->pub_len);
	encrypt(&w, payload, payload_len, out + dh->pub_len);
	w.noise.state = NOISE_STATE_DONE;
	*noise = w.noise;
	r = 0;
out:
	secret_wipe(&w, sizeof(w));
	return r;
}

int noise_consume_response(struct noise *noise, const uint8_t psk[static NOISE_KEY_LEN],
			   const uint8_t *msg, size_t len, uint8_t *ret_payload, size_t payload_len)
{
	uint8_t plain[NOISE_PAYLOAD_MAX];
	struct work w = {.noise = *noise};
	int r = -DNET_EFORMAT;

	assert(noise->state == NOISE_STATE_CREATED_INITIATION);
	assert(payload_len <= NOISE_PAYLOAD_MAX);
	if (len != noise_response_len(noise->dh, payload_len))
		goto out;
	/* e */
	memcpy(w.noise.remote_ephemeral, msg, noise->dh->pub_len);
	mix_ephemeral(&w, msg);
	/* ee, se */
	if (!mix_dh(&w, w.noise.ephemeral, w.noise.remote_ephemeral) ||
	    !mix_dh(&w, w.noise.local_static, w.noise.remote_ephemeral))
		goto out;
	/* psk */
	mix_psk(&w, psk);
	r = -DNET_EAUTH;
	if (!decrypt(&w, msg + noise->dh->pub_len, payload_len, plain))
		goto out;
	w.noise.state = NOISE_STATE_DONE;
	*noise = w.noise;
	memcpy(ret_payload, plain, payload_len);
	r = 0;
out:
	secret_wipe(&w, sizeof(w));
	secret_wipe(plain, sizeof(plain));
	return r;
}

/* PROTOCOL 3.5: After the response both derive two data keys by Noise's Split: the first seals
 * initiator to responder. */
void noise_split(struct noise *noise, uint8_t ret_send[static NOISE_KEY_LEN],
		 uint8_t ret_receive[static NOISE_KEY_LEN])
{
	assert(noise->state == NOISE_STATE_DONE);
	if (noise->initiator)
		noise_hkdf(noise->chaining_key, NULL, 0, ret_send, ret_receive, NULL);
	else
		noise_hkdf(noise->chaining_key, NULL, 0, ret_receive, ret_send, NULL);
	noise_wipe(noise);
}

void noise_wipe(struct noise *noise)
{
	secret_wipe(noise, sizeof(*noise));
}
