#include "wire/message.h"

#include <string.h>

static bool zero(const uint8_t *bytes, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= bytes[i];
	return !any;
}

static bool stun_like(const uint8_t *m, size_t len)
{
	return len >= 20 && m[0] < 0x40 && load_u32be(m + 4) == 0x2112a442;
}

enum message_type message_classify(const void *data, size_t len)
{
	const uint8_t *m = data;
	bool ok = false;

	if (len < PUNCH_LEN || len > MESSAGE_MAX)
		return MESSAGE_NONE;
	switch (m[0]) {
	case MESSAGE_INITIATION:
		ok = len == INITIATION_LEN && m[1] == MESSAGE_VERSION && zero(m + 2, 2);
		break;
	case MESSAGE_RESPONSE:
		ok = len == RESPONSE_LEN && m[1] == MESSAGE_VERSION && zero(m + 2, 2);
		break;
	case MESSAGE_COOKIE:
		ok = len == COOKIE_REPLY_LEN && zero(m + 1, 3);
		break;
	case MESSAGE_DATA:
		/* PROTOCOL 5.2: Other bits are zero. */
		ok = len >= DATA_MIN && !(m[DATA_FLAGS_AT] & ~DATA_FLAG_PARTIAL) && zero(m + 2, 2);
		break;
	case MESSAGE_LANE:
		ok = len >= LANE_HEADER_LEN && zero(m + 1, 3);
		break;
	case MESSAGE_PUNCH:
		ok = len == PUNCH_LEN && zero(m + 1, 3);
		break;
	}
	if (ok)
		return (enum message_type)m[0];
	return stun_like(m, len) ? MESSAGE_STUN : MESSAGE_NONE;
}

bool message_initiation_parse(const void *data, size_t len, struct message_initiation *ret)
{
	const uint8_t *m = data;

	if (message_classify(data, len) != MESSAGE_INITIATION)
		return false;
	*ret = (struct message_initiation){
		.sender = load_u32(m + INITIATION_SENDER_AT),
		.ephemeral = m + INITIATION_EPHEMERAL_AT,
		.static_sealed = m + INITIATION_STATIC_AT,
		.payload_sealed = m + INITIATION_PAYLOAD_AT,
		.mac1 = m + INITIATION_MAC1_AT,
		.mac2 = m + INITIATION_MAC2_AT,
	};
	return true;
}

void message_initiation_write(struct writer *w, const struct message_initiation *m)
{
	writer_u8(w, MESSAGE_INITIATION);
	writer_u8(w, MESSAGE_VERSION);
	writer_zero(w, 2);
	writer_u32(w, m->sender);
	writer_copy(w, m->ephemeral, PUBKEY_LEN);
	writer_copy(w, m->static_sealed, PUBKEY_LEN + MESSAGE_TAG_LEN);
	writer_copy(w, m->payload_sealed, INITIATION_PAYLOAD_LEN + MESSAGE_TAG_LEN);
	writer_copy(w, m->mac1, MESSAGE_MAC_LEN);
	writer_copy(w, m->mac2, MESSAGE_MAC_LEN);
}

bool message_response_parse(const void *data, size_t len, struct message_response *ret)
{
	const uint8_t *m = data;

	if (message_classify(data, len) != MESSAGE_RESPONSE)
		return false;
	*ret = (struct message_response){
		.sender = load_u32(m + RESPONSE_SENDER_AT),
		.receiver = load_u32(m + RESPONSE_RECEIVER_AT),
		.ephemeral = m + RESPONSE_EPHEMERAL_AT,
		.payload_sealed = m + RESPONSE_PAYLOAD_AT,
		.mac1 = m + RESPONSE_MAC1_AT,
		.mac2 = m + RESPONSE_MAC2_AT,
	};
	return true;
}

void message_response_write(struct writer *w, const struct message_response *m)
{
	writer_u8(w, MESSAGE_RESPONSE);
	writer_u8(w, MESSAGE_VERSION);
	writer_zero(w, 2);
	writer_u32(w, m->sender);
	writer_u32(w, m->receiver);
	writer_copy(w, m->ephemeral, PUBKEY_LEN);
	writer_copy(w, m->payload_sealed, RESPONSE_PAYLOAD_LEN + MESSAGE_TAG_LEN);
	writer_copy(w, m->mac1, MESSAGE_MAC_LEN);
	writer_copy(w, m->mac2, MESSAGE_MAC_LEN);
}

bool message_cookie_parse(const void *data, size_t len, struct message_cookie *ret)
{
	const uint8_t *m = data;

	if (message_classify(data, len) != MESSAGE_COOKIE)
		return false;
	*ret = (struct message_cookie){
		.receiver = load_u32(m + COOKIE_RECEIVER_AT),
		.nonce = m + COOKIE_NONCE_AT,
		.sealed = m + COOKIE_SEALED_AT,
	};
	return true;
}

void message_cookie_write(struct writer *w, const struct message_cookie *m)
{
	writer_u8(w, MESSAGE_COOKIE);
	writer_zero(w, 3);
	writer_u32(w, m->receiver);
	writer_copy(w, m->nonce, COOKIE_NONCE_LEN);
	writer_copy(w, m->sealed, COOKIE_VALUE_LEN + MESSAGE_TAG_LEN);
}

bool message_data_parse(const void *data, size_t len, struct message_data *ret)
{
	const uint8_t *m = data;

	if (message_classify(data, len) != MESSAGE_DATA)
		return false;
	*ret = (struct message_data){
		.flags = m[DATA_FLAGS_AT],
		.receiver = load_u32(m + DATA_RECEIVER_AT),
		.counter = load_u64(m + DATA_COUNTER_AT),
	};
	return true;
}

void message_data_write(struct writer *w, const struct message_data *m)
{
	writer_u8(w, MESSAGE_DATA);
	writer_u8(w, m->flags);
	writer_zero(w, 2);
	writer_u32(w, m->receiver);
	writer_u64(w, m->counter);
}

bool message_lane_parse(const void *data, size_t len, uint64_t *ret_lane, struct span *ret_inner)
{
	const uint8_t *m = data;

	if (message_classify(data, len) != MESSAGE_LANE || len == LANE_HEADER_LEN ||
	    m[LANE_HEADER_LEN] < MESSAGE_INITIATION || m[LANE_HEADER_LEN] > MESSAGE_DATA)
		return false;
	*ret_lane = load_u64(m + LANE_ID_AT);
	*ret_inner = (struct span){m + LANE_HEADER_LEN, len - LANE_HEADER_LEN};
	return true;
}

void message_lane_write(struct writer *w, uint64_t lane)
{
	writer_u8(w, MESSAGE_LANE);
	writer_zero(w, 3);
	writer_u64(w, lane);
}

void message_punch_write(struct writer *w)
{
	writer_u8(w, MESSAGE_PUNCH);
	writer_zero(w, 3);
}

bool initiation_payload_parse(const uint8_t data[INITIATION_PAYLOAD_LEN],
			      struct initiation_payload *ret)
{
	const uint8_t *rest = data + TIMESTAMP_LEN; /* aead, flags, mtu, dnet id */

	/* PROTOCOL 3.3: (bit 0 ChaCha20-Poly1305, always set */
	if (rest[1] || !(rest[0] & 1))
		return false;
	memcpy(ret->timestamp, data, TIMESTAMP_LEN);
	ret->aead = rest[0];
	ret->mtu = load_u16(rest + 2);
	memcpy(ret->dnet.bytes, rest + 4, OBJECT_ID_LEN);
	return true;
}

void initiation_payload_write(struct writer *w, const struct initiation_payload *p)
{
	writer_copy(w, p->timestamp, TIMESTAMP_LEN);
	writer_u8(w, p->aead);
	writer_u8(w, 0);
	writer_u16(w, p->mtu);
	writer_copy(w, p->dnet.bytes, OBJECT_ID_LEN);
}

bool response_payload_parse(const uint8_t data[RESPONSE_PAYLOAD_LEN], struct response_payload *ret)
{
	if (data[1])
		return false;
	ret->aead = data[0];
	ret->mtu = load_u16(data + 2);
	return true;
}

void response_payload_write(struct writer *w, const struct response_payload *p)
{
	writer_u8(w, p->aead);
	writer_u8(w, 0);
	writer_u16(w, p->mtu);
}
