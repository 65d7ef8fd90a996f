#include "fixture/test.h"

#include "core/error.h"
#include "core/id.h"
#include "core/noise.h"
#include "fixture/hex.h"

#include <sodium.h>
#include <string.h>

/* X25519, so that published vectors of the pattern can be checked. */
static bool x25519_pub(const void *ctx, const uint8_t secret[static NOISE_KEY_LEN],
		       uint8_t *ret_pub)
{
	return !crypto_scalarmult_base(ret_pub, secret);
}

static bool x25519_agree(const void *ctx, const uint8_t secret[static NOISE_KEY_LEN],
			 const uint8_t *pub, uint8_t ret_shared[static NOISE_HASH_LEN])
{
	return !crypto_scalarmult(ret_shared, secret, pub);
}

static const struct noise_dh x25519 = {
	.name = "25519",
	.pub_len = 32,
	.pubkey = x25519_pub,
	.agree = x25519_agree,
};

/* Both sides of a handshake with keys of our choice. */
struct pair {
	struct noise_dh dh;
	uint8_t secrets[4][NOISE_KEY_LEN]; /* static of both, ephemeral of both */
	uint8_t pubs[2][NOISE_PUB_MAX];
	uint8_t psk[NOISE_KEY_LEN];
	const char *prologue;
	struct noise_local local[2];
	struct noise noise[2];
	uint8_t initiation[256], response[256];
	size_t initiation_len, response_len;
};

static void pair_init(struct pair *p, const struct noise_dh *dh, const char *prologue)
{
	p->dh = *dh;
	p->prologue = prologue;
	for (int i = 0; i < 2; i++) {
		assert_true(dh->pubkey(dh->ctx, p->secrets[i], p->pubs[i]));
		p->local[i] = (struct noise_local){
			.dh = &p->dh,
			.secret = p->secrets[i],
			.pub = p->pubs[i],
			.prologue = prologue,
			.prologue_len = strlen(prologue),
		};
	}
}

static int pair_initiate(struct pair *p, const char *payload)
{
	p->initiation_len = noise_initiation_len(&p->dh, strlen(payload));
	return noise_create_initiation(&p->noise[0], &p->local[0], p->pubs[1], p->secrets[2],
				       payload, strlen(payload), p->initiation);
}

static int pair_respond(struct pair *p, const char *payload)
{
	p->response_len = noise_response_len(&p->dh, strlen(payload));
	return noise_create_response(&p->noise[1], p->psk, p->secrets[3], payload, strlen(payload),
				     p->response);
}

static struct id *new_id(void)
{
	static const uint8_t seed[ID_SEED_LEN] = {1};
	struct id *id = id_new(seed);

	assert_non_null(id);
	return id;
}

static void pair_secp256k1(struct pair *p, const struct id *id)
{
	struct noise_dh dh = noise_dh_secp256k1(id);

	memset(p, 0, sizeof(*p));
	for (int i = 0; i < 4; i++)
		memset(p->secrets[i], 0x11 * (i + 1), NOISE_KEY_LEN);
	pair_init(p, &dh, "dnet/1 and so on");
}

/* Noise_IKpsk2_25519_ChaChaPoly_SHA256 of the cacophony vectors, as printed in snow's
 * tests/vectors/cacophony.txt. */
static void the_published_vector_of_the_pattern_comes_out(void **state)
{
	struct pair p = {0};
	uint8_t want[256], got[64], keys[4][NOISE_KEY_LEN];
	size_t len;

	unhex("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1", p.secrets[0], 32);
	unhex("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893", p.secrets[1], 32);
	unhex("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a", p.secrets[2], 32);
	unhex("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b", p.secrets[3], 32);
	unhex("54686973206973206d7920417573747269616e20706572737065637469766521", p.psk, 32);
	pair_init(&p, &x25519, "John Galt");
	unhex("31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62", want, 32);
	assert_memory_equal(p.pubs[1], want, 32);

	assert_int_equal(pair_initiate(&p, "Ludwig von Mises"), 0);
	len = unhex("ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79442ec9b09893d0f5"
		    "10791784c10cbc959f25b1766e0def6e301d14fbca1c7790ac829b8b3674f5f649a5f0e9847966"
		    "2cbfbf2b2c47cd4b09fcd266cd29d7cb675f1808849707847840f6d178ec4d3733aa",
		    want, sizeof(want));
	assert_int_equal(p.initiation_len, len);
	assert_memory_equal(p.initiation, want, len);
	assert_int_equal(
		noise_consume_initiation(&p.noise[1], &p.local[1], p.initiation, len, got, 16), 0);
	assert_memory_equal(got, "Ludwig von Mises", 16);
	assert_memory_equal(p.noise[1].remote_static, p.pubs[0], 32);

	assert_int_equal(pair_respond(&p, "Murray Rothbard"), 0);
	len = unhex("95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088439a1b3cebf680b2"
		    "c74217fcb5eba4ff58a9468cd90c4aca6194f57479b379a7",
		    want, sizeof(want));
	assert_int_equal(p.response_len, len);
	assert_memory_equal(p.response, want, len);
	assert_int_equal(noise_consume_response(&p.noise[0], p.psk, p.response, len, got, 15), 0);
	assert_memory_equal(got, "Murray Rothbard", 15);
	unhex("8310f86394dc0dabb40beb8210031556db4403ab1202db7034c526232147a700", want, 32);
	assert_memory_equal(p.noise[0].hash, want, 32);
	assert_memory_equal(p.noise[1].hash, want, 32);

	noise_split(&p.noise[0], keys[0], keys[1]);
	noise_split(&p.noise[1], keys[2], keys[3]);
	assert_memory_equal(keys[0], keys[3], 32);
	assert_memory_equal(keys[1], keys[2], 32);
	/* Its first transport messages, nonce 0 under each key. */
	unhex("a8fde7a0accec190cd306c5950d4fd8e04a205ec288aa747d8b347", want, sizeof(want));
	crypto_aead_chacha20poly1305_ietf_encrypt(got, NULL, (const uint8_t *)"F. A. Hayek", 11,
						  NULL, 0, NULL, (const uint8_t[12]){0}, keys[0]);
	assert_memory_equal(got, want, 27);
	unhex("59caddd9984a3bbe24c4fb31a2bd455b7eba3fa0980674b1a3a5f9", want, sizeof(want));
	crypto_aead_chacha20poly1305_ietf_encrypt(got, NULL, (const uint8_t *)"Carl Menger", 11,
						  NULL, 0, NULL, (const uint8_t[12]){0}, keys[1]);
	assert_memory_equal(got, want, 27);
}

/* BOLT-8, appendix A: "transport-initiator successful handshake". */
static void the_primitives_agree_with_bolt_8(void **state)
{
	static const struct {
		const char *secret, *pub, *chaining_key, *shared, *ck, *key;
	} table[] = {
		{"1212121212121212121212121212121212121212121212121212121212121212",
		 "028d7500dd4c12685d1f568b4c2b5048e8534b873319f3a8daa612b469132ec7f7",
		 "2640f52eebcd9e882958951c794250eedb28002c05d7dc2ea0f195406042caf1",
		 "1e2fb3c8fe8fb9f262f649f64d26ecf0f2c0a805a767cf02dc2d77a6ef1fdcc3",
		 "b61ec1191326fa240decc9564369dbb3ae2b34341d1e11ad64ed89f89180582f",
		 "e68f69b7f096d7917245f5e5cf8ae1595febe4d4644333c99f9c4a1282031c9f"},
		{"1212121212121212121212121212121212121212121212121212121212121212",
		 "02466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f27",
		 "b61ec1191326fa240decc9564369dbb3ae2b34341d1e11ad64ed89f89180582f",
		 "c06363d6cc549bcb7913dbb9ac1c33fc1158680c89e972000ecd06b36c472e47",
		 "e89d31033a1b6bf68c07d22e08ea4d7884646c4b60a9528598ccb4ee2c8f56ba",
		 "908b166535c01a935cf1e130a5fe895ab4e6f3ef8855d87e9b7581c4ab663ddc"},
		{"1111111111111111111111111111111111111111111111111111111111111111",
		 "02466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f27",
		 "e89d31033a1b6bf68c07d22e08ea4d7884646c4b60a9528598ccb4ee2c8f56ba",
		 "b36b6d195982c5be874d6d542dc268234379e1ae4ff1709402135b7de5cf0766",
		 "919219dbb2920afa8db80f9a51787a840bcf111ed8d588caf9ab4be716e42b01",
		 "981a46c820fb7a241bc8184ba4bb1f01bcdfafb00dde80098cb8c38db9141520"},
	};
	struct id *id = new_id();
	struct noise_dh dh = noise_dh_secp256k1(id);
	uint8_t secret[32], pub[33], ck[32], want[32], shared[32], out[2][32];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		unhex(table[i].secret, secret, 32);
		unhex(table[i].pub, pub, 33);
		unhex(table[i].shared, want, 32);
		assert_true(dh.agree(dh.ctx, secret, pub, shared));
		assert_memory_equal(shared, want, 32);
		unhex(table[i].chaining_key, ck, 32);
		noise_hkdf(ck, shared, 32, out[0], out[1], NULL);
		unhex(table[i].ck, want, 32);
		assert_memory_equal(out[0], want, 32);
		unhex(table[i].key, want, 32);
		assert_memory_equal(out[1], want, 32);
	}
	/* HKDF(ck, zero) at the end. */
	noise_hkdf(out[0], NULL, 0, shared, out[1], NULL);
	unhex("969ab31b4d288cedf6218839b27a3e2140827047f2c0f01bf5c04435d43511a9", want, 32);
	assert_memory_equal(shared, want, 32);
	unhex("bb9020b8965f4df047e07f955f3c4b88418984aadc5cdb35096b9ea8fa5c3442", want, 32);
	assert_memory_equal(out[1], want, 32);
	/* ls.pub */
	unhex("1111111111111111111111111111111111111111111111111111111111111111", secret, 32);
	assert_true(dh.pubkey(dh.ctx, secret, pub));
	unhex("4f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa", want, 32);
	assert_memory_equal(pub + 1, want, 32);
	id_free(id);
}

/* RFC 5869, A.1 has an info field, so the third output is checked against its definition. */
static void the_third_output_of_hkdf_follows_from_the_second(void **state)
{
	uint8_t ck[32] = {7}, out[3][32], temp[32], want[32], again[2][32];
	crypto_auth_hmacsha256_state hmac;

	noise_hkdf(ck, "input", 5, out[0], out[1], out[2]);
	noise_hkdf(ck, "input", 5, again[0], again[1], NULL);
	assert_memory_equal(out[0], again[0], 32);
	assert_memory_equal(out[1], again[1], 32);
	crypto_auth_hmacsha256(temp, (const uint8_t *)"input", 5, ck);
	crypto_auth_hmacsha256_init(&hmac, temp, 32);
	crypto_auth_hmacsha256_update(&hmac, out[1], 32);
	crypto_auth_hmacsha256_update(&hmac, (const uint8_t *)"\x03", 1);
	crypto_auth_hmacsha256_final(&hmac, want);
	assert_memory_equal(out[2], want, 32);
}

static void any_flipped_bit_of_a_message_fails(void **state)
{
	struct id *id = new_id();
	struct pair p;
	struct noise before;
	uint8_t payload[64], keys[4][NOISE_KEY_LEN];

	pair_secp256k1(&p, id);
	assert_int_equal(pair_initiate(&p, "36 bytes in the real one"), 0);
	memset(payload, 0x55, sizeof(payload));
	for (size_t bit = 0; bit < p.initiation_len * 8; bit++) {
		p.initiation[bit / 8] ^= (uint8_t)(1 << bit % 8);
		before = p.noise[1];
		assert_int_not_equal(noise_consume_initiation(&p.noise[1], &p.local[1],
							      p.initiation, p.initiation_len,
							      payload, 24),
				     0);
		assert_memory_equal(&before, &p.noise[1], sizeof(before));
		assert_int_equal(payload[0], 0x55);
		p.initiation[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(noise_consume_initiation(&p.noise[1], &p.local[1], p.initiation,
						  p.initiation_len, payload, 24),
			 0);
	assert_memory_equal(payload, "36 bytes in the real one", 24);
	assert_int_equal(pair_respond(&p, "four"), 0);
	for (size_t bit = 0; bit < p.response_len * 8; bit++) {
		p.response[bit / 8] ^= (uint8_t)(1 << bit % 8);
		before = p.noise[0];
		assert_int_not_equal(noise_consume_response(&p.noise[0], p.psk, p.response,
							    p.response_len, payload, 4),
				     0);
		assert_memory_equal(&before, &p.noise[0], sizeof(before));
		p.response[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	/* The waiting initiator still takes the right one. */
	assert_int_equal(
		noise_consume_response(&p.noise[0], p.psk, p.response, p.response_len, payload, 4),
		0);
	assert_memory_equal(payload, "four", 4);
	noise_split(&p.noise[0], keys[0], keys[1]);
	noise_split(&p.noise[1], keys[2], keys[3]);
	assert_memory_equal(keys[0], keys[3], NOISE_KEY_LEN);
	assert_memory_equal(keys[1], keys[2], NOISE_KEY_LEN);
	assert_memory_not_equal(keys[0], keys[1], NOISE_KEY_LEN);
	id_free(id);
}

static void a_message_of_another_length_is_refused(void **state)
{
	struct id *id = new_id();
	struct pair p;
	uint8_t payload[64];

	pair_secp256k1(&p, id);
	assert_int_equal(pair_initiate(&p, "four"), 0);
	for (size_t len = 0; len <= p.initiation_len + 1; len++)
		assert_int_equal(noise_consume_initiation(&p.noise[1], &p.local[1], p.initiation,
							  len, payload, 4),
				 len == p.initiation_len ? 0 : -DNET_EFORMAT);
	assert_int_equal(pair_respond(&p, "four"), 0);
	for (size_t len = 0; len < p.response_len; len++)
		assert_int_equal(
			noise_consume_response(&p.noise[0], p.psk, p.response, len, payload, 4),
			-DNET_EFORMAT);
	id_free(id);
}

static void another_realm_key_or_psk_does_not_open(void **state)
{
	struct id *id = new_id();
	struct pair p, other;
	uint8_t payload[64], psk[NOISE_KEY_LEN] = {1};

	pair_secp256k1(&p, id);
	assert_int_equal(pair_initiate(&p, "four"), 0);
	other = p;
	other.local[1].prologue = "dnet/1 and so off";
	other.local[1].prologue_len = strlen("dnet/1 and so off");
	assert_int_equal(noise_consume_initiation(&other.noise[1], &other.local[1], p.initiation,
						  p.initiation_len, payload, 4),
			 -DNET_EAUTH);
	/* To a key that it was not meant for. */
	other = p;
	other.local[1] = p.local[0];
	assert_int_equal(noise_consume_initiation(&other.noise[1], &other.local[1], p.initiation,
						  p.initiation_len, payload, 4),
			 -DNET_EAUTH);
	assert_int_equal(noise_consume_initiation(&p.noise[1], &p.local[1], p.initiation,
						  p.initiation_len, payload, 4),
			 0);
	assert_int_equal(pair_respond(&p, "four"), 0);
	assert_int_equal(
		noise_consume_response(&p.noise[0], psk, p.response, p.response_len, payload, 4),
		-DNET_EAUTH);
	id_free(id);
}

static void a_key_that_is_no_point_is_refused(void **state)
{
	static const char *const bad[] = {
		/* no such x on the curve; the field's order; uncompressed prefix; all zero */
		"020000000000000000000000000000000000000000000000000000000000000005",
		"02fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f",
		"0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
		"000000000000000000000000000000000000000000000000000000000000000000",
	};
	struct id *id = new_id();
	struct pair p;
	uint8_t payload[64];

	pair_secp256k1(&p, id);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pair_initiate(&p, "four"), 0);
		unhex(bad[i], p.initiation, PUBKEY_LEN);
		assert_int_equal(noise_consume_initiation(&p.noise[1], &p.local[1], p.initiation,
							  p.initiation_len, payload, 4),
				 -DNET_EFORMAT);
		unhex(bad[i], p.response, PUBKEY_LEN);
		assert_int_equal(noise_consume_response(&p.noise[0], p.psk, p.response,
							noise_response_len(&p.dh, 4), payload, 4),
				 -DNET_EFORMAT);
		unhex(bad[i], payload, PUBKEY_LEN);
		assert_int_equal(noise_create_initiation(&p.noise[0], &p.local[0], payload,
							 p.secrets[2], "four", 4, p.initiation),
				 -DNET_EFORMAT);
	}
	/* Ephemeral secrets that are no scalars. */
	memset(p.secrets[2], 0, NOISE_KEY_LEN);
	assert_int_equal(pair_initiate(&p, "four"), -DNET_EFORMAT);
	memset(p.secrets[2], 0xff, NOISE_KEY_LEN);
	assert_int_equal(pair_initiate(&p, "four"), -DNET_EFORMAT);
	id_free(id);
}

/* X25519 with a point of small order gives zeros, which libsodium refuses. */
static void a_point_of_small_order_is_refused(void **state)
{
	struct pair p = {0};
	uint8_t payload[64];

	for (int i = 0; i < 4; i++)
		memset(p.secrets[i], i + 1, NOISE_KEY_LEN);
	pair_init(&p, &x25519, "p");
	assert_int_equal(pair_initiate(&p, "four"), 0);
	memset(p.initiation, 0, 32);
	assert_int_equal(noise_consume_initiation(&p.noise[1], &p.local[1], p.initiation,
						  p.initiation_len, payload, 4),
			 -DNET_EFORMAT);
}

static void a_finished_handshake_leaves_no_secret(void **state)
{
	struct id *id = new_id();
	static const struct noise none;
	struct pair p;
	uint8_t payload[64], keys[2][NOISE_KEY_LEN];

	pair_secp256k1(&p, id);
	assert_int_equal(pair_initiate(&p, "four"), 0);
	assert_int_equal(noise_consume_initiation(&p.noise[1], &p.local[1], p.initiation,
						  p.initiation_len, payload, 4),
			 0);
	assert_int_equal(pair_respond(&p, "four"), 0);
	noise_split(&p.noise[1], keys[0], keys[1]);
	assert_memory_equal(&p.noise[1], &none, sizeof(none));
	noise_wipe(&p.noise[0]);
	assert_memory_equal(&p.noise[0], &none, sizeof(none));
	id_free(id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_vector_of_the_pattern_comes_out),
		cmocka_unit_test(the_primitives_agree_with_bolt_8),
		cmocka_unit_test(the_third_output_of_hkdf_follows_from_the_second),
		cmocka_unit_test(any_flipped_bit_of_a_message_fails),
		cmocka_unit_test(a_message_of_another_length_is_refused),
		cmocka_unit_test(another_realm_key_or_psk_does_not_open),
		cmocka_unit_test(a_key_that_is_no_point_is_refused),
		cmocka_unit_test(a_point_of_small_order_is_refused),
		cmocka_unit_test(a_finished_handshake_leaves_no_secret),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("core/noise", tests, NULL, NULL);
}
