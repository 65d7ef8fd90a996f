#include "fixture/test.h"

#include "wire/message.h"
#include "wire/ovc.h"
#include "wire/ovr.h"

#include <string.h>

static uint8_t bytes[256]; /* each is its index */

static void fill(void)
{
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
}

static void handshake_messages_come_back_as_written(void **state)
{
	struct message_initiation i, i_back;
	struct message_response r, r_back;
	struct message_cookie c, c_back;
	uint8_t mem[INITIATION_LEN];
	struct writer w;

	fill();
	i = (struct message_initiation){0x01020304, bytes,     bytes + 1,
					bytes + 2,  bytes + 3, bytes + 4};
	writer_init(&w, mem, sizeof(mem));
	message_initiation_write(&w, &i);
	assert_int_equal(writer_len(&w), INITIATION_LEN);
	assert_memory_equal(mem, "\xd1\x01\x00\x00\x04\x03\x02\x01", 8);
	assert_true(message_initiation_parse(mem, INITIATION_LEN, &i_back));
	assert_int_equal(i_back.sender, i.sender);
	assert_memory_equal(i_back.ephemeral, i.ephemeral, PUBKEY_LEN);
	assert_memory_equal(i_back.static_sealed, i.static_sealed, 49);
	assert_memory_equal(i_back.payload_sealed, i.payload_sealed, 52);
	assert_memory_equal(i_back.mac1, i.mac1, 16);
	assert_memory_equal(i_back.mac2, i.mac2, 16);

	r = (struct message_response){1, 2, bytes, bytes + 1, bytes + 2, bytes + 3};
	writer_init(&w, mem, sizeof(mem));
	message_response_write(&w, &r);
	assert_int_equal(writer_len(&w), RESPONSE_LEN);
	assert_true(message_response_parse(mem, RESPONSE_LEN, &r_back));
	assert_true(r_back.sender == 1 && r_back.receiver == 2);
	assert_memory_equal(r_back.ephemeral, r.ephemeral, PUBKEY_LEN);
	assert_memory_equal(r_back.payload_sealed, r.payload_sealed, 20);
	assert_memory_equal(r_back.mac1, r.mac1, 16);
	assert_memory_equal(r_back.mac2, r.mac2, 16);

	c = (struct message_cookie){9, bytes, bytes + 1};
	writer_init(&w, mem, sizeof(mem));
	message_cookie_write(&w, &c);
	assert_int_equal(writer_len(&w), COOKIE_REPLY_LEN);
	assert_true(message_cookie_parse(mem, COOKIE_REPLY_LEN, &c_back));
	assert_int_equal(c_back.receiver, 9);
	assert_memory_equal(c_back.nonce, c.nonce, 24);
	assert_memory_equal(c_back.sealed, c.sealed, 32);
}

static void data_lanes_and_punches_come_back_as_written(void **state)
{
	const struct message_data d = {DATA_FLAG_PARTIAL, 7, 0x0102030405060708};
	struct message_data d_back;
	uint8_t mem[LANE_HEADER_LEN + DATA_MIN] = {0};
	struct span inner;
	struct writer w;
	uint64_t lane;

	writer_init(&w, mem, sizeof(mem));
	message_lane_write(&w, 42);
	message_data_write(&w, &d);
	assert_int_equal(writer_len(&w), LANE_HEADER_LEN + DATA_HEADER_LEN);
	assert_true(message_lane_parse(mem, sizeof(mem), &lane, &inner));
	assert_int_equal(lane, 42);
	assert_true(message_data_parse(inner.data, inner.len, &d_back));
	assert_true(d_back.flags == d.flags && d_back.receiver == d.receiver);
	assert_true(d_back.counter == d.counter);
	/* a lane holds d1 to d4 */
	mem[LANE_HEADER_LEN] = MESSAGE_LANE;
	assert_false(message_lane_parse(mem, sizeof(mem), &lane, &inner));
	mem[LANE_HEADER_LEN] = 0xd0;
	assert_false(message_lane_parse(mem, sizeof(mem), &lane, &inner));
	assert_false(message_lane_parse(mem, LANE_HEADER_LEN, &lane, &inner));
	writer_init(&w, mem, sizeof(mem));
	message_punch_write(&w);
	assert_int_equal(message_classify(mem, writer_len(&w)), MESSAGE_PUNCH);
}

static void datagrams_are_known_by_type_length_and_zeros(void **state)
{
	static const struct {
		enum message_type type;
		size_t least, most;
		size_t zero_from, zero_to; /* bytes that have to be zero */
		uint8_t second;
	} table[] = {
		{MESSAGE_INITIATION, 174, 174, 2, 4, 1}, {MESSAGE_RESPONSE, 97, 97, 2, 4, 1},
		{MESSAGE_COOKIE, 64, 64, 1, 4, 0},	 {MESSAGE_DATA, 32, 65507, 2, 4, 0},
		{MESSAGE_LANE, 12, 65507, 1, 4, 0},	 {MESSAGE_PUNCH, 4, 4, 1, 4, 0},
	};
	static uint8_t mem[MESSAGE_MAX + 1];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memset(mem, 0, sizeof(mem));
		mem[0] = (uint8_t)table[i].type;
		mem[1] = table[i].second;
		assert_int_equal(message_classify(mem, table[i].least), table[i].type);
		assert_int_equal(message_classify(mem, table[i].most), table[i].type);
		assert_int_equal(message_classify(mem, table[i].least - 1), MESSAGE_NONE);
		assert_int_equal(message_classify(mem, table[i].most + 1), MESSAGE_NONE);
		for (size_t k = table[i].zero_from; k < table[i].zero_to; k++) {
			mem[k] = 0x80;
			assert_int_equal(message_classify(mem, table[i].least), MESSAGE_NONE);
			mem[k] = 0;
		}
		mem[1] ^= 2; /* another version, a flag that is not known */
		assert_int_equal(message_classify(mem, table[i].least), MESSAGE_NONE);
	}
	memset(mem, 0, sizeof(mem));
	memcpy(mem, "\x00\x01\x00\x00\x21\x12\xa4\x42", 8);
	assert_int_equal(message_classify(mem, 20), MESSAGE_STUN);
	assert_int_equal(message_classify(mem, 19), MESSAGE_NONE);
	mem[0] = 0x40;
	assert_int_equal(message_classify(mem, 20), MESSAGE_NONE);
	assert_int_equal(message_classify(mem, 0), MESSAGE_NONE);
}

static void handshake_payloads_come_back_and_flags_are_zero(void **state)
{
	struct initiation_payload i = {{1, 2, 3}, 3, 1420, {{9}}}, i_back = {{0}};
	struct response_payload r = {2, 65535}, r_back = {0};
	uint8_t mem[INITIATION_PAYLOAD_LEN];
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	initiation_payload_write(&w, &i);
	assert_int_equal(writer_len(&w), INITIATION_PAYLOAD_LEN);
	assert_true(initiation_payload_parse(mem, &i_back));
	assert_memory_equal(i.timestamp, i_back.timestamp, TIMESTAMP_LEN);
	assert_true(i_back.aead == 3 && i_back.mtu == 1420);
	assert_true(object_id_equal(&i.dnet, &i_back.dnet));
	mem[TIMESTAMP_LEN + 1] = 1;
	assert_false(initiation_payload_parse(mem, &i_back));
	/* ChaCha20-Poly1305 is always offered. */
	mem[TIMESTAMP_LEN + 1] = 0;
	mem[TIMESTAMP_LEN] = 2;
	assert_false(initiation_payload_parse(mem, &i_back));
	writer_init(&w, mem, sizeof(mem));
	response_payload_write(&w, &r);
	assert_int_equal(writer_len(&w), RESPONSE_PAYLOAD_LEN);
	assert_true(response_payload_parse(mem, &r_back));
	assert_true(r_back.aead == 2 && r_back.mtu == 65535);
	mem[1] = 1;
	assert_false(response_payload_parse(mem, &r_back));
}

static struct frame_endpoints endpoints(uint8_t count)
{
	struct frame_endpoints list = {.count = count};

	for (uint8_t i = 0; i < count && i < FRAME_INTRODUCED_MAX; i++) {
		list.list[i].addr.family = i % 2 ? ADDR_V6 : ADDR_V4;
		list.list[i].addr.bytes[0] = 10;
		list.list[i].port = (uint16_t)(1000 + i);
	}
	return list;
}

static void frames_come_back_as_written_and_at_their_length_only(void **state)
{
	static const struct endpoint unknown;
	struct frame frames[] = {
		{.type = FRAME_PING, .ping = {0x0102030405060708, unknown}},
		{.type = FRAME_PONG, .ping = {1, endpoints(2).list[1]}},
		{.type = FRAME_PONG, .ping = {1, unknown}},
		{.type = FRAME_CANDIDATES, .candidates = endpoints(0)},
		{.type = FRAME_CANDIDATES, .candidates = endpoints(FRAME_CANDIDATES_MAX)},
		{.type = FRAME_BYE, .bye = BYE_MOVED},
	};
	static const size_t lengths[] = {9, 28, 28, 2, 154, 2};
	uint8_t mem[FRAME_MAX + 1] = {0}, again[FRAME_MAX];
	struct writer w;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct frame back;

		writer_init(&w, mem, FRAME_MAX);
		frame_write(&w, &frames[i]);
		assert_false(w.failed);
		assert_int_equal(writer_len(&w), lengths[i]);
		assert_true(frame_parse(mem, lengths[i], &back));
		memset(again, 0xff, sizeof(again));
		writer_init(&w, again, FRAME_MAX);
		frame_write(&w, &back);
		assert_memory_equal(mem, again, lengths[i]);
		assert_false(frame_parse(mem, lengths[i] - 1, &back));
		mem[lengths[i]] = 0;
		assert_false(frame_parse(mem, lengths[i] + 1, &back));
	}
}

static void helper_frames_come_back_as_written_and_at_their_length_only(void **state)
{
	static const struct node_key key = {{2, 1, 2, 3}};
	const struct ovc_frame ovc[] = {
		{.type = FRAME_REGISTER, .local = endpoints(FRAME_CANDIDATES_MAX)},
		{.type = FRAME_REGISTERED, .registered = {endpoints(1).list[0], 300}},
		{.type = FRAME_INTRODUCE, .introduce = key},
		{.type = FRAME_INTRODUCTION,
		 .introduction = {key, INTRODUCTION_ANSWER, endpoints(FRAME_INTRODUCED_MAX)}},
		{.type = FRAME_NOT_HERE, .not_here = {key, NOT_HERE_TOO_OFTEN}},
	};
	const struct ovr_frame ovr[] = {
		{FRAME_LANE_OPEN, key, 0, 0},
		{FRAME_LANE, key, 77, 0},
		{FRAME_LANE_REFUSED, key, 0, LANE_REFUSED_QUOTA},
		{FRAME_LANE_CLOSED, {{0}}, 78, LANE_CLOSED_REPLACED},
	};
	static const size_t ovc_lengths[] = {154, 22, 34, FRAME_MAX, 35};
	static const size_t ovr_lengths[] = {34, 42, 35, 10};
	uint8_t mem[FRAME_MAX + 1] = {0}, again[FRAME_MAX];
	struct ovc_frame ovc_back;
	struct ovr_frame ovr_back;
	struct writer w;

	for (size_t i = 0; i < sizeof(ovc) / sizeof(ovc[0]); i++) {
		writer_init(&w, mem, FRAME_MAX);
		ovc_frame_write(&w, &ovc[i]);
		assert_int_equal(writer_len(&w), ovc_lengths[i]);
		assert_true(ovc_frame_parse(mem, ovc_lengths[i], &ovc_back));
		memset(again, 0xff, sizeof(again));
		writer_init(&w, again, FRAME_MAX);
		ovc_frame_write(&w, &ovc_back);
		assert_memory_equal(mem, again, ovc_lengths[i]);
		assert_false(ovc_frame_parse(mem, ovc_lengths[i] - 1, &ovc_back));
		assert_false(ovc_frame_parse(mem, ovc_lengths[i] + 1, &ovc_back));
		assert_false(ovr_frame_parse(mem, ovc_lengths[i], &ovr_back));
	}
	for (size_t i = 0; i < sizeof(ovr) / sizeof(ovr[0]); i++) {
		writer_init(&w, mem, FRAME_MAX);
		ovr_frame_write(&w, &ovr[i]);
		assert_int_equal(writer_len(&w), ovr_lengths[i]);
		assert_true(ovr_frame_parse(mem, ovr_lengths[i], &ovr_back));
		memset(again, 0xff, sizeof(again));
		writer_init(&w, again, FRAME_MAX);
		ovr_frame_write(&w, &ovr_back);
		assert_memory_equal(mem, again, ovr_lengths[i]);
		assert_false(ovr_frame_parse(mem, ovr_lengths[i] - 1, &ovr_back));
		assert_false(ovr_frame_parse(mem, ovr_lengths[i] + 1, &ovr_back));
		assert_false(ovc_frame_parse(mem, ovr_lengths[i], &ovc_back));
	}
}

static const uint8_t statement[STATEMENT_MAX + 1] = {1, 2, 3};

static struct frame offer(uint8_t index, uint8_t count, uint8_t endpoint_count, size_t len)
{
	struct frame frame = {.type = FRAME_OFFER};

	memset(frame.offer.digest, 0x77, FRAME_DIGEST_LEN);
	frame.offer.index = index;
	frame.offer.count = count;
	frame.offer.backend = BACKEND_TINC;
	frame.offer.port = 655;
	frame.offer.endpoints = endpoints(endpoint_count);
	frame.offer.statement = (struct span){statement, len};
	return frame;
}

static size_t write_frame(const struct frame *frame, uint8_t *mem, size_t size)
{
	struct writer w;

	writer_init(&w, mem, size);
	frame_write(&w, frame);
	return w.failed ? 0 : writer_len(&w);
}

static void offers_come_back_as_written_and_at_their_length_only(void **state)
{
	struct frame frames[] = {offer(0, 1, 0, 0),
				 offer(3, 4, 8, STATEMENT_MAX),
				 offer(0, 4, 2, 131),
				 {.type = FRAME_OFFER_ACK, .offer_ack = {1, 2, 3, 4, 5, 6, 7, 8}}};
	static const size_t lengths[] = {17, FRAME_OFFER_MAX, 17 + 2 * 19 + 131, 9};
	uint8_t mem[FRAME_OFFER_MAX + 1] = {0}, again[FRAME_OFFER_MAX];

	assert_int_equal(FRAME_OFFER_MAX, 1099);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct frame back;
		struct span part;

		assert_int_equal(write_frame(&frames[i], mem, sizeof(mem)), lengths[i]);
		assert_true(frame_parse(mem, lengths[i], &back));
		assert_int_equal(write_frame(&back, again, sizeof(again)), lengths[i]);
		assert_memory_equal(mem, again, lengths[i]);
		for (size_t len = 0; len < lengths[i]; len++)
			assert_false(frame_parse(mem, len, &back));
		mem[lengths[i]] = 0;
		assert_false(frame_parse(mem, lengths[i] + 1, &back));
		if (back.type != FRAME_OFFER)
			continue;
		part = frame_offer_part(mem, lengths[i]);
		assert_int_equal(part.data[0], BACKEND_TINC);
		assert_ptr_equal(part.data + part.len, mem + lengths[i]);
	}
}

/* PROTOCOL 9.3 */
static void offers_keep_to_their_limits(void **state)
{
	uint8_t mem[FRAME_OFFER_MAX + 64];
	struct frame frame, back;

	static const struct {
		uint8_t index, count, endpoints;
		uint16_t len;
	} bad[] = {{0, 0, 0, 0}, {1, 1, 0, 0}, {0, 5, 0, 0},
		   {4, 4, 0, 0}, {0, 1, 9, 0}, {0, 1, 0, STATEMENT_MAX + 1}};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		frame = offer(bad[i].index, bad[i].count, bad[i].endpoints, bad[i].len);
		assert_int_equal(write_frame(&frame, mem, sizeof(mem)), 0);
	}
	frame = offer(0, 1, 0, 0);
	frame.offer.backend = 0;
	assert_int_equal(write_frame(&frame, mem, sizeof(mem)), 0);
	frame = offer(2, 3, 0, 0);
	assert_int_equal(write_frame(&frame, mem, sizeof(mem)), 17);
	assert_true(frame_parse(mem, 17, &back));
	for (unsigned count = 0; count < 256; count++) {
		mem[10] = (uint8_t)count;
		assert_int_equal(frame_parse(mem, 17, &back), count == 3 || count == 4);
	}
	mem[10] = 3;
	mem[11] = 0; /* backend */
	assert_false(frame_parse(mem, 17, &back));
	mem[11] = 255; /* of a newer version */
	assert_true(frame_parse(mem, 17, &back));
}

static void carried_datagrams_have_1_to_1500_bytes(void **state)
{
	static const uint8_t datagram[FRAME_CARRY_MAX + 1] = {0x45};
	static const size_t lengths[] = {1, 2, 1312, FRAME_CARRY_MAX};
	uint8_t mem[FRAME_CARRY_HEADER_LEN + FRAME_CARRY_MAX + 1] = {0};
	struct frame frame = {.type = FRAME_CARRY}, back;

	frame.carry.backend = BACKEND_WIREGUARD;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		frame.carry.datagram = (struct span){datagram, lengths[i]};
		assert_int_equal(write_frame(&frame, mem, sizeof(mem)), 2 + lengths[i]);
		assert_true(frame_parse(mem, 2 + lengths[i], &back));
		assert_int_equal(back.carry.backend, BACKEND_WIREGUARD);
		assert_int_equal(back.carry.datagram.len, lengths[i]);
		assert_memory_equal(back.carry.datagram.data, datagram, lengths[i]);
	}
	assert_false(frame_parse(mem, sizeof(mem), &back));
	assert_false(frame_parse(mem, 2, &back));
	mem[1] = 0;
	assert_false(frame_parse(mem, 3, &back));
	frame.carry.datagram = (struct span){datagram, FRAME_CARRY_MAX + 1};
	assert_int_equal(write_frame(&frame, mem, sizeof(mem)), 0);
	frame.carry.datagram.len = 0;
	assert_int_equal(write_frame(&frame, mem, sizeof(mem)), 0);
}

static void statements_to_and_from_an_ovc_have_their_limits(void **state)
{
	static const size_t lengths[] = {STATEMENT_MIN - 1, STATEMENT_MIN, STATEMENT_MAX,
					 STATEMENT_MAX + 1};
	uint8_t mem[FRAME_STATEMENT_MAX + 1];

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		bool good = i == 1 || i == 2;
		struct ovc_frame frame = {.type = FRAME_PUBLISH}, back;
		struct writer w;

		frame.publish = (struct span){statement, lengths[i]};
		writer_init(&w, mem, sizeof(mem));
		ovc_frame_write(&w, &frame);
		assert_int_equal(!w.failed, good);
		assert_int_equal(ovc_frame_parse(mem, 1 + lengths[i], &back), good);
		if (good)
			assert_memory_equal(back.publish.data, statement, lengths[i]);
		frame = (struct ovc_frame){.type = FRAME_STATEMENT};
		frame.statement.key.bytes[0] = 3;
		frame.statement.port = 655;
		frame.statement.statement = (struct span){statement, lengths[i]};
		writer_init(&w, mem, sizeof(mem));
		ovc_frame_write(&w, &frame);
		assert_int_equal(!w.failed, good);
		if (!good)
			continue;
		assert_int_equal(writer_len(&w), 36 + lengths[i]);
		assert_true(ovc_frame_parse(mem, 36 + lengths[i], &back));
		assert_int_equal(back.statement.port, 655);
		assert_memory_equal(back.statement.statement.data, statement, lengths[i]);
		mem[1] = 4;
		assert_false(ovc_frame_parse(mem, 36 + lengths[i], &back));
	}
}

/* PROTOCOL 5.5 */
static void lists_hold_at_most_their_limit_of_usable_endpoints(void **state)
{
	struct frame frame = {.type = FRAME_CANDIDATES, .candidates = endpoints(9)};
	uint8_t mem[FRAME_MAX] = {0};
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	frame_write(&w, &frame);
	assert_true(w.failed);
	frame.candidates = endpoints(2);
	frame.candidates.list[1].port = 0;
	writer_init(&w, mem, sizeof(mem));
	frame_write(&w, &frame);
	assert_true(w.failed);

	frame.candidates = endpoints(2);
	writer_init(&w, mem, sizeof(mem));
	frame_write(&w, &frame);
	assert_true(frame_parse(mem, 40, &frame));
	mem[2] = 5; /* family */
	assert_false(frame_parse(mem, 40, &frame));
	mem[2] = 4;
	mem[2 + 5] = 1; /* behind the four bytes of IPv4 */
	assert_false(frame_parse(mem, 40, &frame));
	mem[2 + 5] = 0;
	memset(mem + 2, 0, 19); /* unknown */
	assert_false(frame_parse(mem, 40, &frame));
}

static void frames_with_other_reasons_roles_and_keys_are_refused(void **state)
{
	uint8_t mem[64] = {0};
	struct frame frame;
	struct ovc_frame ovc;
	struct ovr_frame ovr;

	for (unsigned reason = 0; reason <= 5; reason++) {
		mem[0] = FRAME_BYE;
		mem[1] = (uint8_t)reason;
		assert_int_equal(frame_parse(mem, 2, &frame), reason >= 1 && reason <= 3);
		mem[0] = FRAME_NOT_HERE;
		mem[1] = 3;
		mem[34] = (uint8_t)reason;
		assert_int_equal(ovc_frame_parse(mem, 35, &ovc), reason >= 1 && reason <= 3);
		mem[0] = FRAME_INTRODUCTION;
		assert_int_equal(ovc_frame_parse(mem, 36, &ovc), reason >= 1 && reason <= 2);
		mem[0] = FRAME_LANE_REFUSED;
		assert_int_equal(ovr_frame_parse(mem, 35, &ovr), reason >= 1 && reason <= 4);
		mem[0] = FRAME_LANE_CLOSED;
		mem[9] = (uint8_t)reason;
		assert_int_equal(ovr_frame_parse(mem, 10, &ovr), reason >= 1 && reason <= 3);
	}
	mem[0] = FRAME_INTRODUCE;
	mem[1] = 4;
	assert_false(ovc_frame_parse(mem, 34, &ovc));
	mem[0] = FRAME_LANE_OPEN;
	assert_false(ovr_frame_parse(mem, 34, &ovr));
	for (unsigned type = 0; type < 256; type++) {
		mem[0] = (uint8_t)type;
		assert_false(frame_parse(mem, 1, &frame));
		assert_false(ovc_frame_parse(mem, 1, &ovc));
		assert_false(ovr_frame_parse(mem, 1, &ovr));
	}
	assert_false(frame_parse(mem, 0, &frame));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake_messages_come_back_as_written),
		cmocka_unit_test(data_lanes_and_punches_come_back_as_written),
		cmocka_unit_test(datagrams_are_known_by_type_length_and_zeros),
		cmocka_unit_test(handshake_payloads_come_back_and_flags_are_zero),
		cmocka_unit_test(frames_come_back_as_written_and_at_their_length_only),
		cmocka_unit_test(helper_frames_come_back_as_written_and_at_their_length_only),
		cmocka_unit_test(offers_come_back_as_written_and_at_their_length_only),
		cmocka_unit_test(offers_keep_to_their_limits),
		cmocka_unit_test(carried_datagrams_have_1_to_1500_bytes),
		cmocka_unit_test(statements_to_and_from_an_ovc_have_their_limits),
		cmocka_unit_test(lists_hold_at_most_their_limit_of_usable_endpoints),
		cmocka_unit_test(frames_with_other_reasons_roles_and_keys_are_refused),
	};

	return cmocka_run_group_tests_name("wire/message", tests, NULL, NULL);
}
