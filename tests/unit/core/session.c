#include "fixture/test.h"

/* The counter of a session is nobody else's to set. */
#include "core/session.c"

#include "fixture/packet.h"
#include "fixture/rng.h"
#include "wire/message.h"

#include <sodium.h>

enum { A_INDEX = 0xa1a2a3a4, B_INDEX = 0xb1b2b3b4, BIG = 70000 };

static const uint8_t keys[2][AEAD_KEY_LEN] = {{1}, {2}};

struct pair {
	struct session *a, *b;
	uint8_t *box_bytes;
	struct outbox box;
};

static void pair_init(struct pair *p, enum aead_kind kind)
{
	p->a = session_new(kind, keys[0], keys[1], A_INDEX, B_INDEX, true, 77);
	p->b = session_new(kind, keys[1], keys[0], B_INDEX, A_INDEX, false, 77);
	p->box_bytes = malloc(OUTBOX_SIZE);
	assert_true(p->a && p->b && p->box_bytes);
	p->box = (struct outbox){.bytes = p->box_bytes};
}

static void pair_done(struct pair *p)
{
	session_free(p->a);
	session_free(p->b);
	free(p->box_bytes);
}

static const enum aead_kind kinds[] = {AEAD_CHACHA20_POLY1305, AEAD_AES256_GCM};

static void what_was_sealed_is_opened(void **state)
{
	static const size_t lens[] = {0, 1, 15, 16, 17, 64, 1400, 65000, UINT16_MAX - 32};
	static uint8_t content[BIG], msg[BIG], *opened;
	struct rng rng = rng_new("what_was_sealed_is_opened");
	struct pair p;
	size_t n;

	for (size_t k = 0; k < 2; k++) {
		pair_init(&p, kinds[k]);
		for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
			rng_fill(&rng, content, lens[i]);
			n = session_seal(p.a, DATA_FLAG_PARTIAL, content, lens[i], msg,
					 lens[i] + SESSION_OVERHEAD);
			assert_int_equal(n, lens[i] + SESSION_OVERHEAD);
			assert_int_equal(message_classify(msg, 40), MESSAGE_DATA);
			assert_int_equal(session_open(p.b, msg, n, &opened), lens[i]);
			assert_ptr_equal(opened, msg + SESSION_HEADER_LEN);
			assert_memory_equal(opened, content, lens[i]);
			assert_int_equal(msg[1], DATA_FLAG_PARTIAL);
			/* The other way has the other key. */
			n = session_seal(p.b, 0, content, lens[i], msg, sizeof(msg));
			assert_int_equal(session_open(p.a, msg, n, &opened), lens[i]);
			assert_memory_equal(opened, content, lens[i]);
		}
		assert_int_equal(session_sent(p.a), 9);
		pair_done(&p);
	}
}

static void a_session_says_what_it_is(void **state)
{
	struct pair p;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	assert_int_equal(session_local_index(p.a), A_INDEX);
	assert_int_equal(session_local_index(p.b), B_INDEX);
	assert_true(session_is_initiator(p.a));
	assert_false(session_is_initiator(p.b));
	assert_int_equal(session_created(p.a), 77);
	assert_true(strlen(session_provider(p.a)) > 0);
	pair_done(&p);
	session_free(NULL);
}

static void a_message_that_is_too_long_to_travel_is_refused(void **state)
{
	static uint8_t msg[BIG], *opened;
	struct pair p;
	size_t n;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	n = session_seal(p.a, 0, msg + 100, UINT16_MAX - 31, msg, sizeof(msg));
	assert_int_equal(n, UINT16_MAX + 1);
	assert_int_equal(session_open(p.b, msg, n, &opened), -DNET_EFORMAT);
	pair_done(&p);
}

static void room_is_kept_to_the_byte(void **state)
{
	uint8_t msg[100];
	struct pair p;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	for (size_t room = 0; room < SESSION_OVERHEAD + 10; room++)
		assert_int_equal(session_seal(p.a, 0, (uint8_t[10]){0}, 10, msg, room), 0);
	assert_int_equal(session_sent(p.a), 0);
	assert_int_equal(session_seal(p.a, 0, (uint8_t[10]){0}, 10, msg, SESSION_OVERHEAD + 10),
			 SESSION_OVERHEAD + 10);
	assert_int_equal(session_sent(p.a), 1);
	pair_done(&p);
}

static void any_flipped_bit_is_refused(void **state)
{
	uint8_t msg[64], copy[64], *opened = NULL;
	struct pair p;
	size_t n;
	int r;

	for (size_t k = 0; k < 2; k++) {
		pair_init(&p, kinds[k]);
		opened = NULL;
		n = session_seal(p.a, 0, (const uint8_t *)"a frame", 7, msg, sizeof(msg));
		for (size_t bit = 0; bit < 8 * n; bit++) {
			memcpy(copy, msg, n);
			copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
			r = session_open(p.b, copy, n, &opened);
			/* Type, unknown flags, reserved bytes and index are looked at first, then
			 * counters past the limit. */
			if (bit < 64 && bit != 8)
				assert_int_equal(r, -DNET_EFORMAT);
			else if (bit >= 64 + 60 && bit < 128)
				assert_int_equal(r, -DNET_EREPLAY);
			else
				assert_int_equal(r, -DNET_EAUTH);
			assert_null(opened);
		}
		assert_int_equal(session_open(p.b, msg, n, &opened), 7);
		pair_done(&p);
	}
}

static void a_truncated_or_longer_message_is_refused(void **state)
{
	uint8_t msg[64] = {0}, copy[64], *opened = NULL;
	struct pair p;
	size_t n;

	pair_init(&p, AEAD_AES256_GCM);
	n = session_seal(p.a, 0, (const uint8_t *)"a frame", 7, msg, sizeof(msg));
	for (size_t len = 0; len < n + 8; len++) {
		memcpy(copy, msg, sizeof(msg));
		if (len != n)
			assert_int_equal(session_open(p.b, copy, len, &opened),
					 len < SESSION_OVERHEAD ? -DNET_EFORMAT : -DNET_EAUTH);
	}
	assert_null(opened);
	assert_int_equal(session_open(p.b, msg, n, &opened), 7);
	pair_done(&p);
}

static void a_message_to_another_index_or_key_is_refused(void **state)
{
	uint8_t msg[64], copy[64], *opened = NULL;
	struct pair p, q;
	size_t n;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	pair_init(&q, AEAD_AES256_GCM);
	n = session_seal(p.a, 0, NULL, 0, msg, sizeof(msg));
	memcpy(copy, msg, n);
	/* Back to its sender. */
	assert_int_equal(session_open(p.a, copy, n, &opened), -DNET_EFORMAT);
	store_u32(copy + 4, A_INDEX);
	assert_int_equal(session_open(p.a, copy, n, &opened), -DNET_EAUTH);
	/* The same keys under the other cipher. */
	memcpy(copy, msg, n);
	assert_int_equal(session_open(q.b, copy, n, &opened), -DNET_EAUTH);
	assert_int_equal(session_open(p.b, msg, n, &opened), 0);
	pair_done(&p);
	pair_done(&q);
}

static void a_message_is_opened_once(void **state)
{
	uint8_t msg[3][40], copy[40], *opened;
	struct pair p;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	for (int i = 0; i < 3; i++)
		session_seal(p.a, 0, NULL, 0, msg[i], sizeof(msg[i]));
	for (int i = 2; i >= 0; i--) {
		memcpy(copy, msg[i], SESSION_OVERHEAD);
		assert_int_equal(session_open(p.b, copy, SESSION_OVERHEAD, &opened), 0);
		assert_int_equal(session_open(p.b, msg[i], SESSION_OVERHEAD, &opened),
				 -DNET_EREPLAY);
	}
	pair_done(&p);
}

/* A forged message with a high counter must not move the window. */
static void the_window_moves_only_for_a_right_tag(void **state)
{
	uint8_t msg[40], forged[40], *opened;
	struct pair p;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	session_seal(p.a, 0, NULL, 0, msg, sizeof(msg));
	memcpy(forged, msg, SESSION_OVERHEAD);
	store_u64(forged + 8, 1000000);
	assert_int_equal(session_open(p.b, forged, SESSION_OVERHEAD, &opened), -DNET_EAUTH);
	assert_int_equal(session_open(p.b, msg, SESSION_OVERHEAD, &opened), 0);
	pair_done(&p);
}

static void the_last_counter_is_used_and_none_past_it(void **state)
{
	static uint8_t payload[3000], ip[4000];
	struct packet_spec spec = {.version = 4, .flags = PACKET_ACK};
	struct packet packet;
	uint8_t msg[64], *opened;
	size_t n, offset = 0;
	struct pair p;
	int err;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	p.a->next = REPLAY_LIMIT - 1;
	n = session_seal(p.a, 0, NULL, 0, msg, sizeof(msg));
	assert_int_equal(session_open(p.b, msg, n, &opened), 0);
	assert_int_equal(session_sent(p.a), REPLAY_LIMIT);
	assert_int_equal(session_seal(p.a, 0, NULL, 0, msg, sizeof(msg)), 0);
	store_u64(msg + 8, REPLAY_LIMIT);
	assert_int_equal(session_open(p.b, msg, n, &opened), -DNET_EREPLAY);
	n = packet_build(&spec, payload, 3000, ip);
	packet = packet_of(&spec, ip, n, 0);
	assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
	assert_int_equal(err, -DNET_ENOSESSION);
	/* In the middle of a super-packet: one segment is still sealed. */
	p.a->next = REPLAY_LIMIT - 1;
	packet = packet_of(&spec, ip, n, 1000);
	assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
	assert_int_equal(err, -DNET_ENOSESSION);
	assert_int_equal(p.box.count, 1);
	pair_done(&p);
}

/* ---- session_seal_packet() ---- */

/* Opens the n-th datagram of the box, which has the lane's header where there is one. */
static size_t open_nth(struct pair *p, size_t n, uint8_t **ret_content, uint8_t *ret_flags)
{
	size_t at = n * p->box.segment, lane = p->box.lane ? LANE_HEADER_LEN : 0;
	size_t len = n + 1 < p->box.count ? p->box.segment : p->box.len - at;
	struct span inner = {p->box.bytes + at, len};
	uint64_t id;
	int r;

	if (lane) {
		assert_true(message_lane_parse(p->box.bytes + at, len, &id, &inner));
		assert_int_equal(id, p->box.lane);
	}
	assert_int_equal(inner.len, len - lane);
	*ret_flags = p->box.bytes[at + lane + 1];
	r = session_open(p->b, p->box.bytes + at + lane, len - lane, ret_content);
	assert_true(r >= 0);
	return (size_t)r;
}

static struct rng fill(uint8_t *payload, size_t len, const char *test)
{
	struct rng rng = rng_new(test);

	rng_fill(&rng, payload, len);
	return rng;
}

/* Every kind of super-packet, with and without what is special in its header. */
static const struct packet_spec specs[] = {
	{.version = 4,
	 .flags = PACKET_ACK,
	 .seq = 0xfffff000,
	 .ack = 9,
	 .window = 500,
	 .id = 0xfffe},
	{.version = 4, .flags = PACKET_ACK | PACKET_PSH | PACKET_FIN | PACKET_CWR, .df = true},
	{.version = 4, .flags = PACKET_ACK, .options = 12, .seq = 1000},
	{.version = 6, .flags = PACKET_ACK | PACKET_PSH, .seq = 0xfffff000, .options = 12},
	{.version = 6, .flags = PACKET_ACK | PACKET_FIN | PACKET_CWR, .window = 3},
	{.version = 4, .udp = true, .src_port = 53, .dst_port = 9999, .id = 7},
	{.version = 6, .udp = true, .src_port = 443, .dst_port = 65535},
};

static void a_super_packet_becomes_the_segments_that_a_card_would_send(void **state)
{
	static const size_t lens[] = {1, 999, 1000, 1001, 2000, 5500, 55000};
	static uint8_t payload[BIG], ip[BIG], want[BIG];
	uint8_t *content, flags;
	struct packet packet;
	size_t n, len, offset, step = 1000;
	struct pair p;
	int err;

	fill(payload, sizeof(payload), "segments");
	pair_init(&p, AEAD_AES256_GCM);
	for (size_t i = 0; i < 2 * sizeof(specs) / sizeof(specs[0]) * 7; i++) {
		const struct packet_spec *s = &specs[i / 14];

		p.box.lane = i % 2 ? 0x1122334455667788 : 0;
		len = lens[i / 2 % 7];
		packet = packet_of(s, ip, packet_build(s, payload, len, ip), step);
		offset = 0;
		outbox_clear(&p.box);
		assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
		assert_int_equal(err, 0);
		assert_int_equal(p.box.count, (len + step - 1) / step);
		for (size_t k = 0; k < p.box.count; k++) {
			n = packet_segment(s, payload, len, step, k, want);
			assert_int_equal(open_nth(&p, k, &content, &flags), n);
			assert_memory_equal(content, want, n);
			assert_int_equal(flags, DATA_FLAG_PARTIAL);
		}
	}
	pair_done(&p);
}

static void extension_headers_and_options_are_in_every_segment(void **state)
{
	static uint8_t payload[3000], ip[4000], plain[4000];
	struct packet_spec s4 = {.version = 4, .flags = PACKET_ACK};
	struct packet_spec s6 = {.version = 6, .udp = true};
	uint8_t *content, flags;
	struct packet packet;
	size_t n, offset = 0;
	struct pair p;
	int err;

	fill(payload, sizeof(payload), "extensions");
	pair_init(&p, AEAD_CHACHA20_POLY1305);
	/* Router alert (RFC 2113). */
	n = packet_build(&s4, payload, 3000, plain);
	memcpy(ip, plain, 20);
	memcpy(ip + 20, (uint8_t[]){0x94, 4, 0, 0}, 4);
	memcpy(ip + 24, plain + 20, n - 20);
	ip[0] = 0x46;
	packet_put16(ip + 2, n + 4);
	packet_fix_ipv4(ip);
	packet = packet_of(&s4, ip, n + 4, 1000);
	packet.csum_start = 24;
	assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
	assert_int_equal(err, 0);
	for (size_t k = 0; k < 3; k++) {
		assert_int_equal(open_nth(&p, k, &content, &flags), 24 + 20 + 1000);
		assert_int_equal(packet_sum(content, 24, 0), 0xffff);
		assert_memory_equal(content + 20, ip + 20, 4);
		assert_int_equal(load_u32be(content + 28), 1000 * k);
	}
	/* Destination options with padding (RFC 8200, 4.6). */
	n = packet_build(&s6, payload, 3000, plain);
	memcpy(ip, plain, 40);
	memcpy(ip + 40, (uint8_t[]){17, 0, 1, 4, 0, 0, 0, 0}, 8);
	memcpy(ip + 48, plain + 40, n - 40);
	ip[6] = 60;
	packet_put16(ip + 4, n + 8 - 40);
	packet = packet_of(&s6, ip, n + 8, 1000);
	packet.csum_start = 48;
	offset = 0;
	outbox_clear(&p.box);
	assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
	assert_int_equal(err, 0);
	for (size_t k = 0; k < 3; k++) {
		assert_int_equal(open_nth(&p, k, &content, &flags), 48 + 8 + 1000);
		assert_int_equal(load_u16be(content + 4), 8 + 8 + 1000);
		assert_memory_equal(content + 40, ip + 40, 8);
		assert_int_equal(load_u16be(content + 48 + 4), 1008);
		assert_int_equal(load_u16be(content + 48 + 6),
				 packet_pseudo_sum(content, 17, 1008));
	}
	pair_done(&p);
}

static void gso_fields_that_do_not_fit_the_packet_are_refused(void **state)
{
	static uint8_t payload[3000], ip[4000];
	enum change {
		NONE,
		SIZE_0,
		START_OFF,
		OFFSET_OFF,
		NOT_PARTIAL,
		OTHER_FAMILY,
		OTHER_PROTOCOL,
		NO_PAYLOAD,
		FRAGMENT,
		CUT_SHORT,
		LONGER,
		TCP_OFFSET_SHORT,
		TCP_OFFSET_LONG,
		VERSION_5,
		SOURCE_ROUTE,
		HEADER_SHORT,
		CHANGES,
	};
	struct packet_spec s = {.version = 4, .flags = PACKET_ACK, .options = 12};
	struct packet packet;
	struct pair p;
	size_t offset;
	int err;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	for (int change = NONE; change < CHANGES; change++) {
		packet = packet_of(&s, ip, packet_build(&s, payload, 3000, ip), 1000);
		packet.gso_size = change == SIZE_0 ? 0 : packet.gso_size;
		packet.csum_start += change == START_OFF;
		packet.csum_offset -= change == OFFSET_OFF;
		packet.partial_checksum = change != NOT_PARTIAL;
		packet.gso = change == OTHER_FAMILY	? GSO_TCP6
			     : change == OTHER_PROTOCOL ? GSO_UDP
							: GSO_TCP4;
		if (change == NO_PAYLOAD)
			packet.len = packet_build(&s, payload, 0, ip);
		ip[6] |= change == FRAGMENT ? 0x20 : 0;
		packet.len = packet.len - (change == CUT_SHORT) + (change == LONGER);
		if (change == TCP_OFFSET_SHORT)
			ip[32] = 4 << 4;
		if (change == TCP_OFFSET_LONG) {
			packet.len = packet_build(&s, payload, 20, ip);
			ip[32] = 15 << 4;
		}
		ip[0] = change == VERSION_5 ? 0x55 : change == HEADER_SHORT ? 0x44 : ip[0];
		if (change == SOURCE_ROUTE) {
			/* A loose source route in place of the first bytes of TCP's header. */
			memmove(ip + 28, ip + 20, 2900);
			memcpy(ip + 20, (uint8_t[]){131, 7, 4, 1, 2, 3, 4, 0}, 8);
			ip[0] = 0x47;
			packet.csum_start = 28;
			packet.len = 2920;
			packet_put16(ip + 2, packet.len);
		}
		offset = 0;
		outbox_clear(&p.box);
		assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
		if (err != (change ? -DNET_EFORMAT : 0) || p.box.count != (change ? 0 : 3))
			fail_msg("change %d: error %d, %u datagrams", change, err, p.box.count);
	}
	pair_done(&p);
}

static void a_box_takes_64_datagrams(void **state)
{
	static uint8_t payload[6500], ip[BIG];
	struct packet_spec s = {.version = 6, .udp = true};
	struct packet packet;
	size_t offset = 0;
	struct pair p;
	int err;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	packet = packet_of(&s, ip, packet_build(&s, payload, 6400, ip), 100);
	assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
	assert_int_equal(p.box.count, OUTBOX_MAX_SEGMENTS);
	/* Not one more, although there is room in bytes. */
	packet = packet_of(&s, ip, packet_build(&s, payload, 100, ip), 0);
	offset = 0;
	assert_false(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
	outbox_clear(&p.box);
	packet = packet_of(&s, ip, packet_build(&s, payload, 6401, ip), 100);
	assert_false(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
	assert_int_equal(offset, 6400);
	outbox_clear(&p.box);
	assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
	assert_int_equal(err, 0);
	assert_int_equal(p.box.count, 1);
	assert_int_equal(p.box.len, 48 + 1 + SESSION_OVERHEAD);
	pair_done(&p);
}

static void a_box_takes_65000_bytes(void **state)
{
	static uint8_t payload[BIG], ip[BIG];
	struct packet_spec s = {.version = 4, .flags = PACKET_ACK};
	struct packet packet;
	size_t offset;
	struct pair p;
	int err;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	/* 50 datagrams of 1,300 bytes are 65,000; of 1,301 only 49 are fewer. */
	for (size_t more = 0; more < 2; more++) {
		size_t step = 1300 - SESSION_OVERHEAD - 40 + more;

		packet = packet_of(&s, ip, packet_build(&s, payload, 51 * step, ip), step);
		offset = 0;
		outbox_clear(&p.box);
		assert_false(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
		assert_int_equal(p.box.count, 50 - more);
		assert_int_equal(offset, (50 - more) * step);
		assert_int_equal(p.box.len, (50 - more) * (1300 + more));
	}
	pair_done(&p);
}

static const struct packet_spec bulk = {.version = 4, .flags = PACKET_ACK, .options = 12};

/* Its datagrams of 1000 bytes of TCP each, whether all of them went into the box. */
static bool seal_run(struct pair *p, size_t count)
{
	static uint8_t payload[BIG], ip[BIG];
	struct packet packet = packet_of(&bulk, ip, packet_build(&bulk, payload, count * 1000, ip),
					 count > 1 ? 1000 : 0);
	size_t offset = 0;
	int err;
	bool whole = session_seal_packet(p->a, &packet, &offset, &p->box, &err);

	assert_int_equal(err, 0);
	return whole;
}

static void a_super_packet_that_fits_into_an_empty_box_is_not_cut(void **state)
{
	struct pair p;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	assert_true(seal_run(&p, 40));
	assert_true(seal_run(&p, 10));
	assert_int_equal(p.box.count, 50);
	assert_false(seal_run(&p, 20)); /* not the ten that there is room for */
	assert_int_equal(p.box.count, 50);
	outbox_clear(&p.box);
	assert_true(seal_run(&p, 20));
	/* What fits into none uses what is left. */
	assert_false(seal_run(&p, OUTBOX_MAX_BYTES / 1084 + 1));
	assert_int_equal(p.box.count, OUTBOX_MAX_BYTES / 1084);
	pair_done(&p);
}

static void a_packet_that_no_box_can_take_is_refused(void **state)
{
	static uint8_t payload[BIG], ip[BIG];
	struct packet_spec s = {.version = 4, .flags = PACKET_ACK};
	struct packet packet;
	size_t offset, fits;
	struct pair p;
	int err;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	for (unsigned lane = 0; lane < 2; lane++) {
		p.box.lane = lane;
		fits = OUTBOX_MAX_BYTES - SESSION_OVERHEAD - 40 - (lane ? LANE_HEADER_LEN : 0);
		for (size_t more = 0; more < 4; more++) {
			/* Whole, and as a super-packet of one segment. */
			packet = packet_of(&s, ip, packet_build(&s, payload, fits + more % 2, ip),
					   more / 2 ? UINT16_MAX : 0);
			offset = 0;
			outbox_clear(&p.box);
			assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
			assert_int_equal(err, more % 2 ? -DNET_EFORMAT : 0);
			assert_int_equal(p.box.count, 1 - more % 2);
		}
	}
	pair_done(&p);
}

static void a_box_takes_one_size_and_a_shorter_one_at_the_end(void **state)
{
	static const struct {
		size_t len;
		bool taken;
	} table[] = {{500, true}, {501, false}, {500, true}, {499, true}, {499, false}, {1, false}};
	static uint8_t payload[600], ip[700];
	struct packet_spec s = {.version = 4, .udp = true};
	struct packet packet;
	size_t offset;
	struct pair p;
	int err;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		packet = packet_of(&s, ip, packet_build(&s, payload, table[i].len, ip), 0);
		offset = 0;
		assert_int_equal(session_seal_packet(p.a, &packet, &offset, &p.box, &err),
				 table[i].taken);
		assert_int_equal(err, 0);
	}
	assert_int_equal(p.box.count, 3);
	assert_int_equal(p.box.segment, 500 + 28 + SESSION_OVERHEAD);
	assert_true(p.box.closed);
	pair_done(&p);
}

static void full_checksums_pass_as_they_are(void **state)
{
	static uint8_t payload[600], ip[700];
	uint8_t *content, flags;
	struct packet packet;
	size_t offset = 0, n;
	struct pair p;
	int err;

	pair_init(&p, AEAD_CHACHA20_POLY1305);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct packet_spec s = specs[i];

		s.full = true;
		n = packet_build(&s, payload, 600, ip);
		packet = packet_of(&s, ip, n, 0);
		outbox_clear(&p.box);
		offset = 0;
		assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
		assert_int_equal(open_nth(&p, 0, &content, &flags), n);
		assert_memory_equal(content, ip, n);
		assert_int_equal(flags, 0);
	}
	pair_done(&p);
}

/* A first fragment, and UDP in a protocol that is not parsed (IP in IP): the other side could not
 * find the field. */
static void a_checksum_that_the_other_side_cannot_finish_is_finished_here(void **state)
{
	static uint8_t payload[601], inner[700], ip[800], want[800];
	struct packet_spec s = {.version = 4, .udp = true, .src_port = 7, .dst_port = 8};
	uint8_t *content, flags;
	struct packet packet;
	size_t offset, n;
	struct pair p;
	int err;

	fill(payload, sizeof(payload), "tunnels");
	pair_init(&p, AEAD_CHACHA20_POLY1305);
	for (int tunnel = 0; tunnel < 2; tunnel++) {
		s.full = false;
		n = packet_build(&s, payload, 601, inner);
		packet_build_ip(&s, n + 20, ip);
		ip[9] = 4;
		memcpy(ip + 20, inner, n);
		packet = packet_of(&s, ip, n + 20, 0);
		packet.csum_start = 40;
		s.full = true;
		packet_build(&s, payload, 601, want);
		if (!tunnel) {
			/* More fragments, of a packet whose other part has no bytes that count. */
			memcpy(ip, inner, n);
			ip[6] |= 0x20;
			packet.len = n;
			packet.csum_start = 20;
		}
		offset = 0;
		outbox_clear(&p.box);
		assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
		assert_int_equal(err, 0);
		assert_int_equal(open_nth(&p, 0, &content, &flags), packet.len);
		assert_int_equal(flags, 0);
		assert_memory_equal(content + packet.csum_start, want + 20, n - 20);
	}
	/* A field outside of the packet. */
	packet.csum_offset = (uint16_t)(packet.len - packet.csum_start - 2);
	outbox_clear(&p.box);
	assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
	assert_int_equal(err, 0);
	packet.csum_offset++;
	assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
	assert_int_equal(err, -DNET_EFORMAT);
	packet.csum_start = (uint16_t)(packet.len + 1);
	assert_true(session_seal_packet(p.a, &packet, &offset, &p.box, &err));
	assert_int_equal(err, -DNET_EFORMAT);
	pair_done(&p);
}

/* RFC 768: a computed zero is sent as all ones. */
static void a_finished_checksum_is_never_zero(void **state)
{
	struct packet_spec s = {.version = 4, .udp = true, .full = true};
	uint8_t payload[2] = {0}, ip[64];
	uint16_t checksum;
	size_t n;

	n = packet_build(&s, payload, 2, ip);
	checksum = load_u16be(ip + 26);
	memcpy(payload, ip + 26, 2); /* now the sum is all ones */
	s.full = false;
	n = packet_build(&s, payload, 2, ip);
	assert_int_not_equal(checksum, 0);
	assert_true(checksum_finish(ip, n, 20, 6));
	assert_int_equal(load_u16be(ip + 26), 0xffff);
}

static void checksums_agree_with_a_textbook(void **state)
{
	static uint8_t payload[2000], ip[2100], want[2100];
	struct rng rng = rng_new("checksums_agree_with_a_textbook");
	struct packet_spec s;
	size_t n, len;

	for (int i = 0; i < 5000; i++) {
		s = specs[rng_below(&rng, sizeof(specs) / sizeof(specs[0]))];
		s.host = (uint8_t)rng_next(&rng);
		s.seq = (uint32_t)rng_next(&rng);
		len = rng_below(&rng, sizeof(payload));
		rng_fill(&rng, payload, len);
		s.full = true;
		n = packet_build(&s, payload, len, want);
		s.full = false;
		assert_int_equal(packet_build(&s, payload, len, ip), n);
		assert_true(checksum_finish(ip, n, packet_ip_len(&s), s.udp ? 6 : 16));
		assert_memory_equal(ip, want, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_sealed_is_opened),
		cmocka_unit_test(a_session_says_what_it_is),
		cmocka_unit_test(a_message_that_is_too_long_to_travel_is_refused),
		cmocka_unit_test(room_is_kept_to_the_byte),
		cmocka_unit_test(any_flipped_bit_is_refused),
		cmocka_unit_test(a_truncated_or_longer_message_is_refused),
		cmocka_unit_test(a_message_to_another_index_or_key_is_refused),
		cmocka_unit_test(a_message_is_opened_once),
		cmocka_unit_test(the_window_moves_only_for_a_right_tag),
		cmocka_unit_test(the_last_counter_is_used_and_none_past_it),
		cmocka_unit_test(a_super_packet_becomes_the_segments_that_a_card_would_send),
		cmocka_unit_test(extension_headers_and_options_are_in_every_segment),
		cmocka_unit_test(gso_fields_that_do_not_fit_the_packet_are_refused),
		cmocka_unit_test(a_box_takes_64_datagrams),
		cmocka_unit_test(a_box_takes_65000_bytes),
		cmocka_unit_test(a_super_packet_that_fits_into_an_empty_box_is_not_cut),
		cmocka_unit_test(a_packet_that_no_box_can_take_is_refused),
		cmocka_unit_test(a_box_takes_one_size_and_a_shorter_one_at_the_end),
		cmocka_unit_test(full_checksums_pass_as_they_are),
		cmocka_unit_test(a_checksum_that_the_other_side_cannot_finish_is_finished_here),
		cmocka_unit_test(a_finished_checksum_is_never_zero),
		cmocka_unit_test(checksums_agree_with_a_textbook),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("core/session", tests, NULL, NULL);
}
