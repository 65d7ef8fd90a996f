#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

/* Datagrams of the native protocol (doc/protocol.md section 2): types, lengths, offsets, and
 * their fields. Sealed parts are opaque here. */

#include "wire/buf.h"
#include "wire/key.h"

#include <assert.h>

enum message_type {
	MESSAGE_NONE = 0, /* not one of ours */
	MESSAGE_INITIATION = 0xd1,
	MESSAGE_RESPONSE = 0xd2,
	MESSAGE_COOKIE = 0xd3,
	MESSAGE_DATA = 0xd4,
	MESSAGE_LANE = 0xd5,
	MESSAGE_PUNCH = 0xd6,
	MESSAGE_STUN = 0x100, /* begins as STUN does: wire/stun.h */
};

enum {
	MESSAGE_MAX = 65507,
	MESSAGE_VERSION = 1,
	MESSAGE_TAG_LEN = 16,
	MESSAGE_MAC_LEN = 16,
	TIMESTAMP_LEN = 12, /* TAI64N, big-endian */

	INITIATION_PAYLOAD_LEN = TIMESTAMP_LEN + 4 + OBJECT_ID_LEN,
	INITIATION_SENDER_AT = 4,
	INITIATION_EPHEMERAL_AT = 8,
	INITIATION_STATIC_AT = INITIATION_EPHEMERAL_AT + PUBKEY_LEN,
	INITIATION_PAYLOAD_AT = INITIATION_STATIC_AT + PUBKEY_LEN + MESSAGE_TAG_LEN,
	INITIATION_MAC1_AT = INITIATION_PAYLOAD_AT + INITIATION_PAYLOAD_LEN + MESSAGE_TAG_LEN,
	INITIATION_MAC2_AT = INITIATION_MAC1_AT + MESSAGE_MAC_LEN,
	INITIATION_LEN = INITIATION_MAC2_AT + MESSAGE_MAC_LEN,

	RESPONSE_PAYLOAD_LEN = 4,
	RESPONSE_SENDER_AT = 4,
	RESPONSE_RECEIVER_AT = 8,
	RESPONSE_EPHEMERAL_AT = 12,
	RESPONSE_PAYLOAD_AT = RESPONSE_EPHEMERAL_AT + PUBKEY_LEN,
	RESPONSE_MAC1_AT = RESPONSE_PAYLOAD_AT + RESPONSE_PAYLOAD_LEN + MESSAGE_TAG_LEN,
	RESPONSE_MAC2_AT = RESPONSE_MAC1_AT + MESSAGE_MAC_LEN,
	RESPONSE_LEN = RESPONSE_MAC2_AT + MESSAGE_MAC_LEN,

	COOKIE_NONCE_LEN = 24,
	COOKIE_VALUE_LEN = 16,
	COOKIE_RECEIVER_AT = 4,
	COOKIE_NONCE_AT = 8,
	COOKIE_SEALED_AT = COOKIE_NONCE_AT + COOKIE_NONCE_LEN,
	COOKIE_REPLY_LEN = COOKIE_SEALED_AT + COOKIE_VALUE_LEN + MESSAGE_TAG_LEN,

	DATA_FLAGS_AT = 1,
	DATA_RECEIVER_AT = 4,
	DATA_COUNTER_AT = 8,
	DATA_HEADER_LEN = 16,
	DATA_MIN = DATA_HEADER_LEN + MESSAGE_TAG_LEN,
	DATA_FLAG_PARTIAL = 0x01, /* PROTOCOL 5.2 */

	LANE_ID_AT = 4,
	LANE_HEADER_LEN = 12,
	PUNCH_LEN = 4,
};

static_assert(INITIATION_LEN == 174, "PROTOCOL 2");
static_assert(RESPONSE_LEN == 97, "PROTOCOL 2");
static_assert(COOKIE_REPLY_LEN == 64, "PROTOCOL 2");
static_assert(DATA_MIN == 32, "PROTOCOL 2");
static_assert(INITIATION_PAYLOAD_LEN == 36, "PROTOCOL 2");

/* The type of a datagram whose length, version, reserved bytes and flags are right for it;
 * MESSAGE_NONE otherwise. What a lane holds is not looked at. */
enum message_type message_classify(const void *data, size_t len);

/* Fields are borrowed from the message. */
struct message_initiation {
	uint32_t sender;
	const uint8_t *ephemeral;      /* PUBKEY_LEN */
	const uint8_t *static_sealed;  /* PUBKEY_LEN + MESSAGE_TAG_LEN */
	const uint8_t *payload_sealed; /* INITIATION_PAYLOAD_LEN + MESSAGE_TAG_LEN */
	const uint8_t *mac1;	       /* MESSAGE_MAC_LEN each */
	const uint8_t *mac2;
};

struct message_response {
	uint32_t sender;
	uint32_t receiver;
	const uint8_t *ephemeral;      /* PUBKEY_LEN */
	const uint8_t *payload_sealed; /* RESPONSE_PAYLOAD_LEN + MESSAGE_TAG_LEN */
	const uint8_t *mac1;
	const uint8_t *mac2;
};

struct message_cookie {
	uint32_t receiver;
	const uint8_t *nonce;  /* COOKIE_NONCE_LEN */
	const uint8_t *sealed; /* COOKIE_VALUE_LEN + MESSAGE_TAG_LEN */
};

struct message_data {
	uint8_t flags;
	uint32_t receiver;
	uint64_t counter;
};

/* Each parser takes the whole datagram and checks all that message_classify() does; ret is
 * untouched when false. The writers write the whole message, message_data_write() the header. */
bool message_initiation_parse(const void *data, size_t len, struct message_initiation *ret);
void message_initiation_write(struct writer *w, const struct message_initiation *m);
bool message_response_parse(const void *data, size_t len, struct message_response *ret);
void message_response_write(struct writer *w, const struct message_response *m);
bool message_cookie_parse(const void *data, size_t len, struct message_cookie *ret);
void message_cookie_write(struct writer *w, const struct message_cookie *m);
bool message_data_parse(const void *data, size_t len, struct message_data *ret);
void message_data_write(struct writer *w, const struct message_data *m);
/* ret_inner: the datagram in the lane, of type d1, d2, d3 or d4 by its first byte; not looked at
 * further. Borrowed. */
bool message_lane_parse(const void *data, size_t len, uint64_t *ret_lane, struct span *ret_inner);
/* The header; the inner datagram follows. */
void message_lane_write(struct writer *w, uint64_t lane);
void message_punch_write(struct writer *w);

/* Plaintext payloads of the handshake. */
struct initiation_payload {
	uint8_t timestamp[TIMESTAMP_LEN];
	uint8_t aead; /* bits offered, PROTOCOL 3.3 */
	uint16_t mtu; /* largest inner packet that the sender takes */
	struct object_id dnet;
};

struct response_payload {
	uint8_t aead; /* the bit chosen */
	uint16_t mtu;
};

bool initiation_payload_parse(const uint8_t data[INITIATION_PAYLOAD_LEN],
			      struct initiation_payload *ret);
void initiation_payload_write(struct writer *w, const struct initiation_payload *p);
bool response_payload_parse(const uint8_t data[RESPONSE_PAYLOAD_LEN], struct response_payload *ret);
void response_payload_write(struct writer *w, const struct response_payload *p);

#endif
