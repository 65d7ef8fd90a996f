#include "core/cookie.h"

#include "wire/buf.h"
#include "wire/units.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* PROTOCOL 4.1 and 4.3. */
#define COOKIE_USE     (115 * NS_PER_S)
#define SECRET_LIFE    (120 * NS_PER_S)
#define LOAD_WINDOW    (NS_PER_S / 10)
#define LOAD_AFTERMATH NS_PER_S

static_assert(COOKIE_NONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
static_assert(COOKIE_SEALED_LEN == COOKIE_LEN + crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");

static void labelled_hash(const char *label, const struct node_key *key,
			  uint8_t ret[static HASH_LEN])
{
	crypto_hash_sha256_state sha;

	crypto_hash_sha256_init(&sha);
	crypto_hash_sha256_update(&sha, (const uint8_t *)label, strlen(label));
	crypto_hash_sha256_update(&sha, key->bytes, PUBKEY_LEN);
	crypto_hash_sha256_final(&sha, ret);
}

void cookie_keys_init(struct cookie_keys *keys, const struct node_key *key)
{
	labelled_hash("dnet/mac1/1", key, keys->mac1);
	labelled_hash("dnet/cookie/1", key, keys->reply);
}

static void mac(const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		uint8_t ret[static COOKIE_MAC_LEN])
{
	crypto_generichash(ret, COOKIE_MAC_LEN, msg, len, key, key_len);
}

void cookie_add_macs(struct cookie_jar *jar, const struct cookie_keys *receiver, uint8_t *msg,
		     size_t len, uint64_t now)
{
	uint8_t *mac2 = msg + len - COOKIE_MAC_LEN, *mac1 = mac2 - COOKIE_MAC_LEN;

	assert(len >= 2 * COOKIE_MAC_LEN);
	mac(receiver->mac1, HASH_LEN, msg, (size_t)(mac1 - msg), mac1);
	memcpy(jar->last_mac1, mac1, COOKIE_MAC_LEN);
	jar->has_mac1 = true;
	if (jar->has_cookie && now - jar->received < COOKIE_USE)
		mac(jar->cookie, COOKIE_LEN, msg, (size_t)(mac2 - msg), mac2);
	else
		memset(mac2, 0, COOKIE_MAC_LEN);
}

bool cookie_consume_reply(struct cookie_jar *jar, const struct cookie_keys *replier,
			  const uint8_t nonce[static COOKIE_NONCE_LEN],
			  const uint8_t sealed[static COOKIE_SEALED_LEN], uint64_t now)
{
	uint8_t cookie[COOKIE_LEN];

	/* PROTOCOL 4.3: A cookie counts only if that mac1 is the last one sent. */
	if (!jar->has_mac1 || crypto_aead_xchacha20poly1305_ietf_decrypt(
				      cookie, NULL, NULL, sealed, COOKIE_SEALED_LEN, jar->last_mac1,
				      COOKIE_MAC_LEN, nonce, replier->reply))
		return false;
	memcpy(jar->cookie, cookie, COOKIE_LEN);
	jar->received = now;
	jar->has_cookie = true;
	/* One answer a message: a reply that is seen twice cannot make the cookie look younger. */
	jar->has_mac1 = false;
	secret_wipe(cookie, sizeof(cookie));
	return true;
}

bool cookie_mac1_valid(const struct cookie_keys *own, const uint8_t *msg, size_t len)
{
	uint8_t right[COOKIE_MAC_LEN];

	if (len < 2 * COOKIE_MAC_LEN)
		return false;
	len -= 2 * COOKIE_MAC_LEN;
	mac(own->mac1, HASH_LEN, msg, len, right);
	return secret_bytes_equal(right, msg + len, COOKIE_MAC_LEN);
}

void cookie_baker_init(struct cookie_baker *baker, const uint8_t secret[static COOKIE_SECRET_LEN],
		       uint64_t now)
{
	memset(baker, 0, sizeof(*baker));
	memcpy(baker->secret[0], secret, COOKIE_SECRET_LEN);
	baker->changed = now;
}

bool cookie_baker_due(const struct cookie_baker *baker, uint64_t now)
{
	return now - baker->changed >= SECRET_LIFE;
}

void cookie_baker_renew(struct cookie_baker *baker, const uint8_t secret[static COOKIE_SECRET_LEN],
			uint64_t now)
{
	/* After a long pause nothing sealed with the old one may still count. */
	baker->has_before = now - baker->changed < 2 * SECRET_LIFE;
	memcpy(baker->secret[1], baker->secret[0], COOKIE_SECRET_LEN);
	memcpy(baker->secret[0], secret, COOKIE_SECRET_LEN);
	baker->changed = now;
}

void cookie_baker_wipe(struct cookie_baker *baker)
{
	secret_wipe(baker, sizeof(*baker));
}

/* PROTOCOL 4.3: over the source address, 16 bytes (IPv4 mapped), and port, 2 bytes */
static void bake(const uint8_t secret[static COOKIE_SECRET_LEN], const struct endpoint *src,
		 uint8_t ret_cookie[static COOKIE_LEN])
{
	uint8_t where[18] = {0};

	if (src->addr.family == ADDR_V4) {
		memset(where + 10, 0xff, 2);
		memcpy(where + 12, src->addr.bytes, 4);
	} else {
		memcpy(where, src->addr.bytes, 16);
	}
	store_u16(where + 16, src->port);
	crypto_generichash(ret_cookie, COOKIE_LEN, where, sizeof(where), secret, COOKIE_SECRET_LEN);
}

bool cookie_mac2_valid(const struct cookie_baker *baker, const struct endpoint *src,
		       const uint8_t *msg, size_t len, uint64_t now)
{
	uint8_t cookie[COOKIE_LEN], right[COOKIE_MAC_LEN];
	bool valid = false;

	if (len < 2 * COOKIE_MAC_LEN)
		return false;
	len -= COOKIE_MAC_LEN;
	for (int i = 0; i < 2 && !valid; i++) {
		/* The one before is good for one life more, counted from the change. */
		if (i ? !baker->has_before || now - baker->changed >= SECRET_LIFE
		      : now - baker->changed >= 2 * SECRET_LIFE)
			continue;
		bake(baker->secret[i], src, cookie);
		mac(cookie, COOKIE_LEN, msg, len, right);
		valid = secret_bytes_equal(right, msg + len, COOKIE_MAC_LEN);
	}
	secret_wipe(cookie, sizeof(cookie));
	return valid;
}

void cookie_make_reply(const struct cookie_baker *baker, const struct cookie_keys *own,
		       const struct endpoint *src, const uint8_t *msg, size_t len,
		       const uint8_t nonce[static COOKIE_NONCE_LEN],
		       uint8_t ret_sealed[static COOKIE_SEALED_LEN])
{
	uint8_t cookie[COOKIE_LEN];

	assert(len >= 2 * COOKIE_MAC_LEN);
	bake(baker->secret[0], src, cookie);
	crypto_aead_xchacha20poly1305_ietf_encrypt(ret_sealed, NULL, cookie, COOKIE_LEN,
						   msg + len - 2 * COOKIE_MAC_LEN, COOKIE_MAC_LEN,
						   NULL, nonce, own->reply);
	secret_wipe(cookie, sizeof(cookie));
}

bool cookie_load_high(const struct cookie_load *load, uint64_t now)
{
	return now < load->until;
}

bool cookie_load_add(struct cookie_load *load, uint64_t now)
{
	/* came[next] is the one that came COOKIE_LOAD_INITIATIONS ago. */
	if (load->count == COOKIE_LOAD_INITIATIONS && now - load->came[load->next] < LOAD_WINDOW)
		load->until = now + LOAD_AFTERMATH;
	else if (load->count < COOKIE_LOAD_INITIATIONS)
		load->count++;
	load->came[load->next] = now;
	load->next = (load->next + 1) % COOKIE_LOAD_INITIATIONS;
	return cookie_load_high(load, now);
}
