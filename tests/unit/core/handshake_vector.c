#include "fixture/test.h"

#include "core/cookie.h"
#include "core/error.h"
#include "core/id.h"
#include "core/noise.h"
#include "core/session.h"
#include "fixture/hex.h"
#include "fixture/vectors.h"
#include "wire/message.h"

#include <sodium.h>

/* tests/vectors/handshake*.txt, which another implementation wrote from doc/protocol.md. */
static struct field {
	char name[32];
	uint8_t bytes[256];
	size_t len;
} fields[32];

static void read_fields(const char *name)
{
	FILE *f = vectors_open(name);
	size_t count = 0, n;
	char line[1024];

	memset(fields, 0, sizeof(fields));
	while (vectors_line(f, line, sizeof(line))) {
		n = strcspn(line, " ");
		assert_true(count < 32 && line[n] && n < sizeof(fields[0].name));
		memcpy(fields[count].name, line, n);
		fields[count].len = unhex(line + n + 1, fields[count].bytes, 256);
		count++;
	}
}

static int read_bare(void **state)
{
	(void)state;
	read_fields("handshake.txt");
	return 0;
}

static int read_with_psk(void **state)
{
	(void)state;
	read_fields("handshake_psk.txt");
	return 0;
}

static const struct field *field(const char *name)
{
	for (size_t i = 0; i < 32; i++) {
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	}
	fail_msg("no field %s", name);
	return NULL;
}

static const uint8_t *bytes_of(const char *name, size_t len)
{
	assert_int_equal(field(name)->len, len);
	return field(name)->bytes;
}

static void assert_field(const char *name, const void *bytes, size_t len)
{
	assert_memory_equal(bytes, bytes_of(name, len), len);
}

static uint32_t index_of(const char *name)
{
	return load_u32(bytes_of(name, 4));
}

static struct noise_local local_of(const struct noise_dh *dh, const char *secret, const char *pub)
{
	return (struct noise_local){
		.dh = dh,
		.secret = bytes_of(secret, NOISE_KEY_LEN),
		.pub = bytes_of(pub, PUBKEY_LEN),
		.prologue = bytes_of("prologue", 39),
		.prologue_len = 39,
	};
}

static struct cookie_keys cookie_keys_of(const char *pub)
{
	struct cookie_keys keys;
	struct node_key key;

	memcpy(key.bytes, bytes_of(pub, PUBKEY_LEN), PUBKEY_LEN);
	cookie_keys_init(&keys, &key);
	return keys;
}

/* The initiation without its macs; leaves the handshake in noise. */
static void write_initiation(struct noise *noise, const struct noise_local *local,
			     uint8_t msg[static INITIATION_LEN])
{
	const uint8_t *offered = bytes_of("offered_aead_mtu", 3);
	struct initiation_payload payload = {.aead = offered[0], .mtu = load_u16(offered + 1)};
	struct message_initiation m = {.sender = index_of("initiator_index")};
	uint8_t plain[INITIATION_PAYLOAD_LEN], sealed[INITIATION_LEN] = {0};
	struct writer w;

	memcpy(payload.timestamp, bytes_of("timestamp", TIMESTAMP_LEN), TIMESTAMP_LEN);
	memcpy(payload.dnet.bytes, bytes_of("dnet", OBJECT_ID_LEN), OBJECT_ID_LEN);
	writer_init(&w, plain, sizeof(plain));
	initiation_payload_write(&w, &payload);
	assert_false(w.failed);
	assert_int_equal(noise_create_initiation(
				 noise, local, bytes_of("responder_key", PUBKEY_LEN),
				 bytes_of("initiator_ephemeral", 32), plain, sizeof(plain), sealed),
			 0);
	m.ephemeral = sealed;
	m.static_sealed = sealed + PUBKEY_LEN;
	m.payload_sealed = sealed + 2 * PUBKEY_LEN + MESSAGE_TAG_LEN;
	m.mac1 = m.mac2 = sealed + INITIATION_LEN - MESSAGE_MAC_LEN;
	writer_init(&w, msg, INITIATION_LEN);
	message_initiation_write(&w, &m);
	assert_false(w.failed);
	assert_int_equal(writer_len(&w), INITIATION_LEN);
}

static void read_initiation(struct noise *noise, const struct noise_local *local)
{
	const struct field *f = field("initiation");
	const uint8_t *offered = bytes_of("offered_aead_mtu", 3);
	uint8_t plain[INITIATION_PAYLOAD_LEN];
	struct initiation_payload payload;
	struct message_initiation m;

	assert_true(message_initiation_parse(f->bytes, f->len, &m));
	assert_int_equal(m.sender, index_of("initiator_index"));
	assert_int_equal(noise_consume_initiation(noise, local, m.ephemeral,
						  INITIATION_MAC1_AT - INITIATION_EPHEMERAL_AT,
						  plain, sizeof(plain)),
			 0);
	assert_field("initiator_key", noise->remote_static, PUBKEY_LEN);
	assert_true(initiation_payload_parse(plain, &payload));
	assert_field("timestamp", payload.timestamp, TIMESTAMP_LEN);
	assert_field("dnet", payload.dnet.bytes, OBJECT_ID_LEN);
	assert_int_equal(payload.aead, offered[0]);
	assert_int_equal(payload.mtu, load_u16(offered + 1));
}

static void write_response(struct noise *noise, uint8_t msg[static RESPONSE_LEN])
{
	const uint8_t *chosen = bytes_of("chosen_aead_mtu", 3);
	struct response_payload payload = {.aead = chosen[0], .mtu = load_u16(chosen + 1)};
	struct message_response m = {
		.sender = index_of("responder_index"),
		.receiver = index_of("initiator_index"),
	};
	static const uint8_t no_body[RESPONSE_LEN];
	uint8_t plain[RESPONSE_PAYLOAD_LEN];
	struct writer w;

	writer_init(&w, plain, sizeof(plain));
	response_payload_write(&w, &payload);
	m.ephemeral = m.payload_sealed = m.mac1 = m.mac2 = no_body;
	writer_init(&w, msg, RESPONSE_LEN);
	message_response_write(&w, &m);
	assert_false(w.failed);
	assert_int_equal(writer_len(&w), RESPONSE_LEN);
	noise_add_data(noise, msg, RESPONSE_EPHEMERAL_AT);
	assert_int_equal(noise_create_response(noise, bytes_of("psk", 32),
					       bytes_of("responder_ephemeral", 32), plain,
					       sizeof(plain), msg + RESPONSE_EPHEMERAL_AT),
			 0);
}

static void read_response(struct noise *noise)
{
	const struct field *f = field("response");
	const uint8_t *chosen = bytes_of("chosen_aead_mtu", 3);
	uint8_t plain[RESPONSE_PAYLOAD_LEN];
	struct response_payload payload;
	struct message_response m;

	assert_true(message_response_parse(f->bytes, f->len, &m));
	assert_int_equal(m.sender, index_of("responder_index"));
	assert_int_equal(m.receiver, index_of("initiator_index"));
	noise_add_data(noise, f->bytes, RESPONSE_EPHEMERAL_AT);
	assert_int_equal(noise_consume_response(noise, bytes_of("psk", 32), m.ephemeral,
						RESPONSE_MAC1_AT - RESPONSE_EPHEMERAL_AT, plain,
						sizeof(plain)),
			 0);
	assert_true(response_payload_parse(plain, &payload));
	assert_int_equal(payload.aead, chosen[0]);
	assert_int_equal(payload.mtu, load_u16(chosen + 1));
}

/* The responder is under load and wants to see that the address is real. */
static void check_cookie(struct cookie_jar *jar, uint8_t msg[static INITIATION_LEN])
{
	struct cookie_keys responder = cookie_keys_of("responder_key");
	const struct field *reply = field("cookie_reply");
	struct endpoint src = {.addr = {.family = ADDR_V4}};
	uint8_t sealed[COOKIE_SEALED_LEN];
	struct cookie_baker baker;
	struct message_cookie m;

	memcpy(src.addr.bytes, bytes_of("initiator_address", 4), 4);
	src.port = load_u16(bytes_of("initiator_port", 2));
	cookie_baker_init(&baker, bytes_of("cookie_secret", COOKIE_SECRET_LEN), 0);
	assert_true(cookie_mac1_valid(&responder, msg, INITIATION_LEN));
	assert_false(cookie_mac2_valid(&baker, &src, msg, INITIATION_LEN, 1));
	cookie_make_reply(&baker, &responder, &src, msg, INITIATION_LEN,
			  bytes_of("cookie_nonce", COOKIE_NONCE_LEN), sealed);
	assert_true(message_cookie_parse(reply->bytes, reply->len, &m));
	assert_int_equal(m.receiver, index_of("initiator_index"));
	assert_field("cookie_nonce", m.nonce, COOKIE_NONCE_LEN);
	assert_memory_equal(m.sealed, sealed, sizeof(sealed));
	assert_true(cookie_consume_reply(jar, &responder, m.nonce, m.sealed, 1));
	cookie_add_macs(jar, &responder, msg, INITIATION_LEN, 2);
	assert_field("initiation_with_cookie", msg, INITIATION_LEN);
	assert_true(cookie_mac2_valid(&baker, &src, msg, INITIATION_LEN, 2));
}

static void check_data(const uint8_t keys[static 2 * NOISE_KEY_LEN])
{
	enum aead_kind kind = bytes_of("chosen_aead_mtu", 3)[0];
	const struct field *packet = field("packet"), *data = field("initiator_data");
	uint32_t ours = index_of("initiator_index"), theirs = index_of("responder_index");
	struct session *i = session_new(kind, keys, keys + 32, ours, theirs, true, 0);
	struct session *r = session_new(kind, keys + 32, keys, theirs, ours, false, 0);
	uint8_t msg[256], *content;
	size_t len;

	len = session_seal(i, 0, packet->bytes, packet->len, msg, sizeof(msg));
	assert_field("initiator_data", msg, len);
	assert_int_equal(session_open(r, msg, data->len, &content), packet->len);
	assert_field("packet", content, packet->len);
	len = session_seal(r, 0, NULL, 0, msg, sizeof(msg));
	assert_field("responder_keepalive", msg, len);
	assert_int_equal(session_open(i, msg, len, &content), 0);
	session_free(i);
	session_free(r);
}

static void the_handshake_of_the_vectors_comes_out_to_the_byte(void **state)
{
	static const uint8_t seed[ID_SEED_LEN];
	struct id *id = id_new(seed);
	struct noise_dh dh = noise_dh_secp256k1(id);
	struct noise_local i = local_of(&dh, "initiator_secret", "initiator_key");
	struct noise_local r = local_of(&dh, "responder_secret", "responder_key");
	struct cookie_keys to_r = cookie_keys_of("responder_key");
	struct cookie_keys to_i = cookie_keys_of("initiator_key");
	struct cookie_jar jar_i = {0}, jar_r = {0};
	uint8_t initiation[INITIATION_LEN], response[RESPONSE_LEN], keys[64];
	struct noise ni, nr;

	write_initiation(&ni, &i, initiation);
	cookie_add_macs(&jar_i, &to_r, initiation, INITIATION_LEN, 0);
	assert_field("initiation", initiation, INITIATION_LEN);
	check_cookie(&jar_i, initiation);
	read_initiation(&nr, &r);
	write_response(&nr, response);
	cookie_add_macs(&jar_r, &to_i, response, RESPONSE_LEN, 0);
	assert_field("response", response, RESPONSE_LEN);
	read_response(&ni);
	assert_field("handshake_hash", ni.hash, NOISE_HASH_LEN);
	noise_split(&nr, keys, keys + 32);
	assert_field("responder_data_key", keys, 32);
	assert_field("initiator_data_key", keys + 32, 32);
	noise_split(&ni, keys, keys + 32);
	assert_field("initiator_data_key", keys, 32);
	assert_field("responder_data_key", keys + 32, 32);
	check_data(keys);
	id_free(id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name, read) {#name " with " #read, name, read, NULL, NULL}
		T(the_handshake_of_the_vectors_comes_out_to_the_byte, read_bare),
		T(the_handshake_of_the_vectors_comes_out_to_the_byte, read_with_psk),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("core/handshake_vector", tests, NULL, NULL);
}
