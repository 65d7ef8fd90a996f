#include "core/cookie.h"
#include "core/error.h"
#include "core/id.h"
#include "core/noise.h"
#include "fuzz/fuzz.h"
#include "wire/message.h"

#include <sodium.h>
#include <string.h>

/* The corpus has the messages of tests/vectors/handshake.txt, and the keys here are those: only
 * they themselves are accepted. */

static const char prologue[] = "dnet/1\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d"
			       "\x0e\x0f\x10\x11\x12\x13\0\0\0\0"
			       "\xd1\x01\0\0\x04\x03\x02\x01";

static struct {
	struct id *id;
	struct noise_dh dh;
	uint8_t secret[2][NOISE_KEY_LEN], pub[2][PUBKEY_LEN], psk[NOISE_KEY_LEN];
	struct noise_local local[2];
	struct noise waiting; /* the initiator, for the response */
	struct cookie_keys cookie[2];
} world;

static void world_init(void)
{
	static const uint8_t seed[ID_SEED_LEN], fills[2] = {0x11, 0x21};
	static const uint8_t payload[INITIATION_PAYLOAD_LEN] = {
		0x40, 0, 0,    0,  0x65, 0x9e, 0x1f, 0x0a, 7,  0x5b, 0xcd, 0x15,
		3,    0, 0x8c, 5,  0,	 1,    2,    3,	   4,  5,    6,	   7,
		8,    9, 10,   11, 12,	 13,   14,   15,   16, 17,   18,   19};
	uint8_t ephemeral[NOISE_KEY_LEN], msg[INITIATION_LEN];
	struct node_key key;

	if (sodium_init() < 0 || !(world.id = id_new(seed)))
		abort();
	world.dh = noise_dh_secp256k1(world.id);
	for (int i = 0; i < 2; i++) {
		memset(world.secret[i], fills[i], NOISE_KEY_LEN);
		FUZZ_CHECK(world.dh.pubkey(world.id, world.secret[i], world.pub[i]));
		memcpy(key.bytes, world.pub[i], PUBKEY_LEN);
		cookie_keys_init(&world.cookie[i], &key);
		world.local[i] = (struct noise_local){
			.dh = &world.dh,
			.secret = world.secret[i],
			.pub = world.pub[i],
			.prologue = prologue,
			.prologue_len = sizeof(prologue) - 1,
		};
	}
	memset(ephemeral, 0x12, sizeof(ephemeral));
	FUZZ_CHECK(!noise_create_initiation(&world.waiting, &world.local[0], world.pub[1],
					    ephemeral, payload, sizeof(payload), msg));
}

static void try_initiation(const struct message_initiation *m)
{
	uint8_t payload[INITIATION_PAYLOAD_LEN], out[RESPONSE_LEN], ephemeral[NOISE_KEY_LEN];
	static const struct noise before;
	struct noise noise = before;
	int r;

	r = noise_consume_initiation(&noise, &world.local[1], m->ephemeral,
				     INITIATION_MAC1_AT - INITIATION_EPHEMERAL_AT, payload,
				     sizeof(payload));
	if (r) {
		FUZZ_CHECK(r == -DNET_EAUTH || r == -DNET_EFORMAT);
		FUZZ_CHECK(!memcmp(&noise, &before, sizeof(noise)));
		return;
	}
	FUZZ_CHECK(!memcmp(noise.remote_static, world.pub[0], PUBKEY_LEN));
	memset(ephemeral, 0x22, sizeof(ephemeral));
	noise_add_data(&noise, "header", 6);
	FUZZ_CHECK(!noise_create_response(&noise, world.psk, ephemeral, "four", 4, out));
	noise_wipe(&noise);
}

static void try_response(const struct message_response *m, const uint8_t *header)
{
	uint8_t payload[RESPONSE_PAYLOAD_LEN], keys[2][NOISE_KEY_LEN];
	struct noise noise = world.waiting, before;
	int r;

	noise_add_data(&noise, header, RESPONSE_EPHEMERAL_AT);
	before = noise;
	r = noise_consume_response(&noise, world.psk, m->ephemeral,
				   RESPONSE_MAC1_AT - RESPONSE_EPHEMERAL_AT, payload,
				   sizeof(payload));
	if (r) {
		FUZZ_CHECK(r == -DNET_EAUTH || r == -DNET_EFORMAT);
		FUZZ_CHECK(!memcmp(&noise, &before, sizeof(noise)));
		return;
	}
	noise_split(&noise, keys[0], keys[1]);
}

static void try_cookie(const struct message_cookie *m)
{
	static const struct cookie_jar before = {.has_mac1 = true};
	struct cookie_jar jar = before;

	/* No reply of the corpus answers a mac1 of zeros. */
	FUZZ_CHECK(!cookie_consume_reply(&jar, &world.cookie[1], m->nonce, m->sealed, 1));
	FUZZ_CHECK(!memcmp(&jar, &before, sizeof(jar)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t secret[COOKIE_SECRET_LEN] = {9};
	struct message_initiation initiation;
	struct message_response response;
	struct cookie_baker baker;
	struct message_cookie cookie;
	struct endpoint src = {.port = 1};

	if (!world.id)
		world_init();
	cookie_baker_init(&baker, secret, 0);
	FUZZ_CHECK(!cookie_mac2_valid(&baker, &src, data, len, 1));
	cookie_mac1_valid(&world.cookie[1], data, len);
	if (message_initiation_parse(data, len, &initiation))
		try_initiation(&initiation);
	if (message_response_parse(data, len, &response))
		try_response(&response, data);
	if (message_cookie_parse(data, len, &cookie))
		try_cookie(&cookie);
	return 0;
}
