#include "fixture/test.h"

#include "core/coalesce.h"
#include "core/session.h"
#include "fixture/packet.h"
#include "fixture/rng.h"
#include "wire/message.h"

#include <sodium.h>
#include <stdlib.h>

enum {
	ALL_KINDS = 1 << GSO_TCP4 | 1 << GSO_TCP6 | 1 << GSO_UDP,
	BIG = 70000,
	DELIVERED_MAX = 200,
};

/* A coalescer and what came out of it. */
struct sink {
	struct coalescer c;
	uint8_t *bytes;
	unsigned count;
	struct delivered {
		struct packet packet; /* data is owned */
	} got[DELIVERED_MAX];
};

static void deliver(void *ctx, struct packet *packet)
{
	struct sink *s = ctx;
	struct delivered *d = &s->got[s->count++];

	assert_true(s->count <= DELIVERED_MAX);
	d->packet = *packet;
	d->packet.data = malloc(packet->len);
	assert_non_null(d->packet.data);
	memcpy(d->packet.data, packet->data, packet->len);
}

static void sink_init(struct sink *s)
{
	memset(s, 0, sizeof(*s));
	s->bytes = malloc(COALESCE_ROOM);
	assert_non_null(s->bytes);
	coalesce_init(&s->c, s->bytes);
}

static void sink_clear(struct sink *s)
{
	for (unsigned i = 0; i < s->count; i++)
		free(s->got[i].packet.data);
	s->count = 0;
}

static void sink_done(struct sink *s)
{
	sink_clear(s);
	free(s->bytes);
}

/* In memory of exactly that size, so that a sanitizer sees a read past the end. */
static bool add_of(struct sink *s, const uint8_t *bytes, size_t len, bool partial, unsigned usable)
{
	uint8_t *copy = malloc(len ? len : 1);
	bool ok;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	ok = coalesce_add(&s->c, copy, len, partial, usable, deliver, s);
	free(copy);
	return ok;
}

static void add(struct sink *s, const uint8_t *bytes, size_t len, bool partial)
{
	assert_true(add_of(s, bytes, len, partial, ALL_KINDS));
}

static void flush(struct sink *s)
{
	coalesce_flush(&s->c, deliver, s);
}

static void assert_got(const struct sink *s, unsigned n, const uint8_t *bytes, size_t len)
{
	assert_true(n < s->count);
	assert_int_equal(s->got[n].packet.len, len);
	assert_memory_equal(s->got[n].packet.data, bytes, len);
}

static const struct packet_spec kinds[] = {
	{.version = 4, .flags = PACKET_ACK, .seq = 0xfffffe00, .id = 0xffff, .window = 77},
	{.version = 4, .flags = PACKET_ACK | PACKET_PSH, .df = true, .options = 12},
	{.version = 6, .flags = PACKET_ACK, .options = 12, .seq = 5, .ack = 6},
	{.version = 4, .udp = true, .src_port = 1, .dst_port = 2, .id = 9},
	{.version = 6, .udp = true, .src_port = 3, .dst_port = 4},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static uint8_t payload[BIG], one[BIG], whole[BIG];

static void segments_become_the_super_packet_that_they_were(void **state)
{
	static const size_t lens[] = {1, 2, 999, 1000, 1001, 2000, 5500, 60000};
	struct packet want;
	struct sink s;
	size_t n;

	sink_init(&s);
	for (size_t i = 0; i < 8 * KINDS; i++) {
		const struct packet_spec *spec = &kinds[i / 8];
		size_t len = lens[i % 8], step = 1000;

		for (size_t k = 0; k * step < len; k++) {
			n = packet_segment(spec, payload, len, step, k, one);
			add(&s, one, n, true);
		}
		flush(&s);
		assert_int_equal(s.count, 1);
		want = packet_of(spec, whole, packet_build(spec, payload, len, whole),
				 len > step ? step : 0);
		assert_got(&s, 0, whole, want.len);
		assert_int_equal(s.got[0].packet.gso, want.gso);
		assert_int_equal(s.got[0].packet.gso_size, want.gso_size);
		assert_true(s.got[0].packet.partial_checksum);
		assert_int_equal(s.got[0].packet.csum_start, want.csum_start);
		assert_int_equal(s.got[0].packet.csum_offset, want.csum_offset);
		sink_clear(&s);
	}
	sink_done(&s);
}

static void nothing_comes_out_of_an_empty_one(void **state)
{
	struct sink s;

	sink_init(&s);
	flush(&s);
	add(&s, one, packet_segment(&kinds[0], payload, 10, 10, 0, one), true);
	flush(&s);
	flush(&s);
	assert_int_equal(s.count, 1);
	sink_done(&s);
}

/* The sender's kernel may leave the field as it likes, the receiver's wants the pseudo header. */
static void the_pseudo_headers_sum_is_written_into_a_partial_packet(void **state)
{
	struct sink s;
	size_t n;

	sink_init(&s);
	for (size_t i = 0; i < KINDS; i++) {
		n = packet_segment(&kinds[i], payload, 100, 100, 0, whole);
		memcpy(one, whole, n);
		one[packet_ip_len(&kinds[i]) + (kinds[i].udp ? 6 : 16)] ^= 0x55;
		add(&s, one, n, true);
		flush(&s);
		assert_got(&s, 0, whole, n);
		sink_clear(&s);
	}
	sink_done(&s);
}

/* The second packet differs from what would follow in one byte. */
static void a_packet_that_differs_does_not_join(void **state)
{
	static const struct {
		unsigned kind; /* of kinds[] */
		size_t at;
		uint8_t flip;
		bool keep_ipv4; /* do not mend the header's checksum */
	} table[] = {
		{0, 1, 4, false},			   /* DSCP */
		{0, 1, 1, false},			   /* ECN */
		{0, 4, 1, false},			   /* id */
		{0, 5, 1, false},     {0, 6, 0x40, false}, /* DF */
		{0, 6, 0x80, false},			   /* the reserved bit */
		{0, 8, 1, false},			   /* TTL */
		{0, 10, 1, true},			   /* header checksum */
		{0, 15, 1, false},			   /* addresses */
		{0, 19, 1, false},    {0, 21, 1, false},   /* ports */
		{0, 23, 1, false},    {0, 27, 1, false},   /* sequence */
		{0, 24, 1, false},    {0, 31, 1, false},   /* acknowledgement */
		{0, 32, 1, false},			   /* reserved bits */
		{0, 33, 0x01, false},			   /* FIN, SYN, RST, ACK, URG, ECE, CWR */
		{0, 33, 0x02, false}, {0, 33, 0x04, false}, {0, 33, 0x10, false},
		{0, 33, 0x20, false}, {0, 33, 0x40, false}, {0, 33, 0x80, false},
		{0, 35, 1, false},			 /* window */
		{0, 39, 1, false},			 /* urgent pointer */
		{2, 0, 0x01, false},			 /* traffic class */
		{2, 1, 0x10, false},  {2, 3, 1, false},	 /* flow label */
		{2, 7, 1, false},			 /* hop limit */
		{2, 23, 1, false},			 /* addresses */
		{2, 39, 1, false},    {2, 41, 1, false}, /* port */
		{2, 60, 1, false},			 /* options */
		{2, 71, 1, false},    {3, 21, 1, false}, /* ports */
		{3, 23, 1, false},    {3, 25, 4, false}, /* length */
		{4, 41, 1, false},
	};
	struct sink s;
	size_t n;

	sink_init(&s);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct packet_spec *spec = &kinds[table[i].kind];

		for (int flip = 0; flip < 2; flip++) {
			n = packet_segment(spec, payload, 300, 100, 0, one);
			add(&s, one, n, true);
			n = packet_segment(spec, payload, 300, 100, 1, one);
			one[table[i].at] ^= flip ? table[i].flip : 0;
			if (spec->version == 4 && !table[i].keep_ipv4)
				packet_fix_ipv4(one);
			add(&s, one, n, true);
			flush(&s);
			if (s.count != (flip ? 2 : 1))
				fail_msg("row %zu: %u", i, s.count);
			sink_clear(&s);
		}
	}
	sink_done(&s);
}

static void the_id_of_packets_that_may_not_be_fragmented_may_stand_still(void **state)
{
	struct packet_spec spec = kinds[1];
	struct sink s;

	spec.flags = PACKET_ACK;
	sink_init(&s);
	for (int df = 1; df >= 0; df--) {
		spec.df = df;
		spec.seq = 0;
		add(&s, one, packet_build(&spec, payload, 100, one), true);
		spec.seq = 100;
		add(&s, one, packet_build(&spec, payload, 100, one), true);
		flush(&s);
		assert_int_equal(s.count, df ? 1 : 2);
		sink_clear(&s);
	}
	sink_done(&s);
}

static void a_longer_segment_does_not_join_and_a_shorter_one_ends(void **state)
{
	static const size_t lens[] = {100, 101, 101, 100, 100, 1};
	/* Joined: 100 | 101 101 100 | 100 1 */
	static const size_t want[] = {100, 302, 101};
	struct packet_spec spec = kinds[2];
	struct sink s;

	sink_init(&s);
	for (size_t i = 0; i < 6; i++) {
		add(&s, one, packet_build(&spec, payload, lens[i], one), true);
		spec.seq += (uint32_t)lens[i];
	}
	flush(&s);
	assert_int_equal(s.count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(s.got[i].packet.len, packet_header_len(&spec) + want[i]);
	sink_done(&s);
}

static void nothing_follows_a_push(void **state)
{
	struct packet_spec spec = kinds[0];
	struct sink s;

	sink_init(&s);
	for (int i = 0; i < 4; i++) {
		spec.flags = i == 1 ? PACKET_ACK | PACKET_PSH : PACKET_ACK;
		add(&s, one, packet_build(&spec, payload, 100, one), true);
		spec.seq += 100;
		spec.id++;
	}
	flush(&s);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.got[0].packet.data[33], PACKET_ACK | PACKET_PSH);
	assert_int_equal(s.got[1].packet.data[33], PACKET_ACK);
	sink_done(&s);
}

static void a_super_packet_has_at_most_65535_bytes(void **state)
{
	struct packet_spec spec = kinds[2]; /* 72 bytes of headers */
	struct sink s;

	sink_init(&s);
	/* 65,463 is 3 * 21,821: three fill it to the byte, with one more each only two fit. */
	for (size_t more = 0; more < 2; more++) {
		spec.seq = 0;
		for (int i = 0; i < 3; i++) {
			add(&s, one, packet_build(&spec, payload, 21821 + more, one), true);
			spec.seq += (uint32_t)(21821 + more);
		}
		flush(&s);
		assert_int_equal(s.count, 1 + more);
		assert_int_equal(s.got[0].packet.len, more ? 72 + 2 * 21822 : 65535);
		sink_clear(&s);
	}
	sink_done(&s);
}

static void a_super_packet_of_udp_has_at_most_64_segments(void **state)
{
	struct sink s;

	sink_init(&s);
	for (int i = 0; i < 65; i++)
		add(&s, one, packet_build(&kinds[4], payload, 10, one), true);
	flush(&s);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.got[0].packet.len, 48 + 640);
	assert_int_equal(s.got[1].packet.len, 48 + 10);
	sink_done(&s);
}

static void full_checksums_pass_alone_and_unchanged(void **state)
{
	static uint8_t sent[3][2000];
	struct sink s;
	size_t n = 0;

	sink_init(&s);
	for (size_t i = 0; i < KINDS; i++) {
		struct packet_spec spec = kinds[i];

		spec.full = true;
		for (size_t k = 0; k < 3; k++) {
			n = packet_segment(&spec, payload, 300, 100, k, sent[k]);
			/* Also wrong ones: that is for the receiver's kernel to see. */
			sent[k][n - 1] ^= k == 1;
			add(&s, sent[k], n, false);
		}
		assert_int_equal(s.count, 3);
		for (unsigned k = 0; k < 3; k++) {
			assert_got(&s, k, sent[k], n);
			assert_false(s.got[k].packet.partial_checksum);
			assert_int_equal(s.got[k].packet.gso, GSO_NONE);
		}
		sink_clear(&s);
	}
	/* What is no IP packet either. */
	add(&s, (const uint8_t *)"\x45 no packet", 12, false);
	assert_got(&s, 0, (const uint8_t *)"\x45 no packet", 12);
	sink_done(&s);
}

static void the_partial_flag_is_refused_where_nothing_can_be_finished(void **state)
{
	static const struct {
		const char *what;
		uint8_t kind;
		size_t at;
		uint8_t value;
	} table[] = {
		{"first fragment", 0, 6, 0x20},
		{"later fragment", 0, 7, 9},
		{"ICMP", 0, 9, 1},
		{"SCTP", 0, 9, 132},
		{"IP in IP", 3, 9, 4},
		{"wrong length", 0, 3, 7},
		{"short IPv4 header", 0, 0, 0x44},
		{"version 5", 0, 0, 0x50},
		{"short TCP header", 0, 32, 0x40},
		{"long TCP header", 0, 32, 0xf0},
		{"IPv6 fragment", 4, 6, 44},
		{"no next header", 4, 6, 59},
	};
	struct sink s;
	size_t n;

	sink_init(&s);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		for (int bad = 0; bad < 2; bad++) {
			n = packet_build(&kinds[table[i].kind], payload, 20, one);
			if (bad)
				one[table[i].at] = table[i].value;
			if (add_of(&s, one, n, true, ALL_KINDS) == bad)
				fail_msg("%s: %d", table[i].what, bad);
			flush(&s);
			assert_int_equal(s.count, !bad);
			sink_clear(&s);
		}
	}
	n = packet_build(&kinds[0], payload, 0, one);
	for (size_t len = 0; len < n; len++)
		assert_false(add_of(&s, one, len, true, ALL_KINDS));
	assert_int_equal(s.count, 0);
	sink_done(&s);
}

static void a_refusal_leaves_what_is_under_way(void **state)
{
	struct sink s;

	sink_init(&s);
	add(&s, one, packet_segment(&kinds[0], payload, 300, 100, 0, one), true);
	assert_false(add_of(&s, (const uint8_t *)"no packet", 9, true, ALL_KINDS));
	add(&s, one, packet_segment(&kinds[0], payload, 300, 100, 1, one), true);
	add(&s, one, packet_segment(&kinds[0], payload, 300, 100, 2, one), true);
	flush(&s);
	assert_int_equal(s.count, 1);
	assert_got(&s, 0, whole, packet_build(&kinds[0], payload, 300, whole));
	sink_done(&s);
}

static void what_the_tun_does_not_take_is_not_made(void **state)
{
	static const unsigned bits[KINDS] = {1 << GSO_TCP4, 1 << GSO_TCP4, 1 << GSO_TCP6,
					     1 << GSO_UDP, 1 << GSO_UDP};
	struct sink s;
	size_t n;

	sink_init(&s);
	for (size_t i = 0; i < KINDS; i++) {
		for (size_t k = 0; k < 3; k++) {
			n = packet_segment(&kinds[i], payload, 300, 100, k, one);
			assert_true(add_of(&s, one, n, true, ALL_KINDS & ~bits[i]));
			assert_int_equal(s.count, k + 1);
			assert_got(&s, (unsigned)k, one, n);
			assert_true(s.got[k].packet.partial_checksum);
			assert_int_equal(s.got[k].packet.csum_start, packet_ip_len(&kinds[i]));
			assert_int_equal(s.got[k].packet.csum_offset, kinds[i].udp ? 6 : 16);
		}
		sink_clear(&s);
	}
	sink_done(&s);
}

/* Packets without data, with options of IP, and fragments come between two that would join. */
static void a_flow_stays_in_order(void **state)
{
	struct packet_spec spec = kinds[0], ack = kinds[0], other = kinds[0];
	static uint8_t fragment[200];
	struct sink s;
	size_t n, ack_len, fragment_len;

	sink_init(&s);
	ack.full = true;
	ack_len = packet_build(&ack, payload, 0, whole);
	other.full = true;
	other.src_port = 9;
	fragment_len = packet_build(&spec, payload, 80, fragment);
	packet_put16(fragment + 6, 3);
	packet_fix_ipv4(fragment);
	for (int what = 0; what < 3; what++) {
		n = packet_segment(&spec, payload, 300, 100, 0, one);
		add(&s, one, n, true);
		if (what == 0)
			add(&s, whole, ack_len, false);
		else if (what == 1)
			add(&s, fragment, fragment_len, false);
		else
			add(&s, one + 100, packet_build(&other, payload, 5, one + 100), false);
		n = packet_segment(&spec, payload, 300, 100, 1, one);
		add(&s, one, n, true);
		flush(&s);
		if (what < 2) {
			assert_int_equal(s.count, 3);
			assert_int_equal(s.got[0].packet.len, 140);
			assert_int_equal(s.got[1].packet.len, what ? fragment_len : ack_len);
		} else {
			/* Of another flow: may pass by. */
			assert_int_equal(s.count, 2);
			assert_int_equal(s.got[1].packet.len, 240);
		}
		sink_clear(&s);
	}
	sink_done(&s);
}

/* ---- random flows, all the way ---- */

enum { FLOWS = 12, STREAM_MAX = 1 << 21, SUPER_PACKETS = 60, WIRE_MAX = 4000 };

/* Bytes of one flow at three places: what the application wrote, the packets that came out of the
 * tunnel, and those packets again after joining and cutting. */
struct stream {
	uint8_t *bytes;
	size_t len;
};

struct flow {
	struct packet_spec spec;
	struct stream written, read, opened, again;
};

struct run {
	struct flow flows[FLOWS];
	struct session *a, *b;
	struct outbox box;
	struct rng rng;
	struct {
		uint8_t *bytes;
		size_t len;
	} wire[WIRE_MAX];
	size_t wire_count;
};

static void stream_add(struct stream *s, const uint8_t *bytes, size_t len)
{
	assert_true(s->len + len <= STREAM_MAX);
	memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
}

static void run_init(struct run *r, struct rng rng)
{
	static const uint8_t keys[2][AEAD_KEY_LEN] = {{5}, {6}};

	memset(r, 0, sizeof(*r));
	r->rng = rng;
	r->a = session_new(AEAD_AES256_GCM, keys[0], keys[1], 1, 2, true, 0);
	r->b = session_new(AEAD_AES256_GCM, keys[1], keys[0], 2, 1, false, 0);
	r->box.bytes = malloc(OUTBOX_SIZE);
	assert_true(r->a && r->b && r->box.bytes);
	for (unsigned i = 0; i < FLOWS; i++) {
		struct flow *f = &r->flows[i];
		struct stream *streams[] = {&f->written, &f->read, &f->opened, &f->again};

		f->spec = (struct packet_spec){
			.version = i % 2 ? 6 : 4,
			.udp = i % 6 >= 4,
			.host = (uint8_t)i,
			.flags = PACKET_ACK,
			.src_port = (uint16_t)rng_next(&r->rng),
			.seq = (uint32_t)rng_next(&r->rng),
			.id = (uint16_t)rng_next(&r->rng),
			.options = i & 2 ? 12 : 0,
			.df = i & 2,
			.tos = (uint8_t)rng_next(&r->rng),
			.ip_options = i >= 6 ? 8 * (1 + i % 4) : 0,
		};
		for (int k = 0; k < 4; k++) {
			streams[k]->bytes = malloc(STREAM_MAX);
			assert_non_null(streams[k]->bytes);
		}
	}
}

static void run_done(struct run *r)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		free(r->flows[i].written.bytes);
		free(r->flows[i].read.bytes);
		free(r->flows[i].opened.bytes);
		free(r->flows[i].again.bytes);
	}
	for (size_t i = 0; i < r->wire_count; i++)
		free(r->wire[i].bytes);
	session_free(r->a);
	session_free(r->b);
	free(r->box.bytes);
}

static struct flow *flow_of(struct run *r, const uint8_t *ip)
{
	return &r->flows[ip[0] >> 4 == 4 ? ip[15] : ip[23]];
}

/* Takes the datagrams out of the box onto the wire. */
static void box_to_wire(struct run *r)
{
	for (size_t at = 0; at < r->box.len; at += r->box.segment) {
		size_t left = r->box.len - at, i = r->wire_count++;

		assert_true(r->wire_count <= WIRE_MAX);
		r->wire[i].len = left < r->box.segment ? left : r->box.segment;
		r->wire[i].bytes = malloc(r->wire[i].len);
		assert_non_null(r->wire[i].bytes);
		memcpy(r->wire[i].bytes, r->box.bytes + at, r->wire[i].len);
	}
	outbox_clear(&r->box);
}

static void seal_packet(struct run *r, const struct packet *packet)
{
	size_t offset = 0;
	int err;

	while (!session_seal_packet(r->a, packet, &offset, &r->box, &err))
		box_to_wire(r);
	assert_int_equal(err, 0);
}

/* A flow writes something: a super-packet, a packet of its own, or an acknowledgement. */
static void write_something(struct run *r)
{
	struct flow *f = &r->flows[rng_below(&r->rng, FLOWS)];
	size_t step = 1 + rng_below(&r->rng, rng_below(&r->rng, 2) ? 1400 : 100);
	size_t len = 1 + rng_below(&r->rng, 60 * step < 60000 ? 60 * step : 60000);
	size_t n, count = (len + step - 1) / step;
	struct packet packet;

	f->spec.full = !rng_below(&r->rng, 5);
	f->spec.flags = rng_below(&r->rng, 4) ? PACKET_ACK : PACKET_ACK | PACKET_PSH;
	if (f->spec.full || !rng_below(&r->rng, 4)) {
		len = f->spec.udp ? 1 + len % 1400 : len % 1400;
		step = 0;
		count = 1;
	}
	rng_fill(&r->rng, payload, len);
	n = packet_build(&f->spec, payload, len, whole);
	packet = packet_of(&f->spec, whole, n, step);
	seal_packet(r, &packet);
	stream_add(&f->written, payload, len);
	f->spec.seq += (uint32_t)len;
	f->spec.id = (uint16_t)(f->spec.id + count);
}

/* Loses one in ten, moves others to later places. */
static void spoil_wire(struct run *r)
{
	for (size_t i = 0; i < r->wire_count; i++) {
		size_t j = i + rng_below(&r->rng, 8);

		if (!rng_below(&r->rng, 10)) {
			free(r->wire[i].bytes);
			r->wire[i].bytes = NULL;
		} else if (!rng_below(&r->rng, 10) && j < r->wire_count) {
			uint8_t *bytes = r->wire[i].bytes;
			size_t len = r->wire[i].len;

			r->wire[i] = r->wire[j];
			r->wire[j].bytes = bytes;
			r->wire[j].len = len;
		}
	}
}

/* What came out of the coalescer: read as the application does, and cut again. */
static void take_delivered(struct run *r, struct sink *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		struct packet *p = &s->got[i].packet;
		struct flow *f = flow_of(r, p->data);
		size_t at = packet_header_len(&f->spec), ip_len = packet_ip_len(&f->spec);
		size_t gso = p->gso_size ? p->gso_size : p->len, segments = 0, first;
		uint8_t *content, protocol = f->spec.udp ? 17 : 6;

		stream_add(&f->read, p->data + at, p->len - at);
		if (p->partial_checksum)
			assert_int_equal(load_u16be(p->data + p->csum_start + p->csum_offset),
					 packet_pseudo_sum(p->data, protocol, p->len - ip_len));
		if (f->spec.version == 4)
			assert_int_equal(packet_sum(p->data, ip_len, 0), 0xffff);
		first = r->wire_count;
		seal_packet(r, p);
		box_to_wire(r);
		for (; first + segments < r->wire_count; segments++) {
			uint8_t *msg = r->wire[first + segments].bytes;
			size_t len = r->wire[first + segments].len;
			int n = session_open(r->b, msg, len, &content);

			assert_true(n > 0);
			stream_add(&f->again, content, (size_t)n);
			free(msg);
		}
		assert_int_equal(segments, p->len == at ? 1 : (p->len - at + gso - 1) / gso);
		r->wire_count = first;
	}
	sink_clear(s);
}

static void read_wire(struct run *r, struct sink *s)
{
	size_t count = r->wire_count;

	for (size_t i = 0; i < count; i++) {
		uint8_t *content, *msg = r->wire[i].bytes;
		bool partial;
		int n;

		if (!msg)
			continue;
		partial = msg[DATA_FLAGS_AT] & DATA_FLAG_PARTIAL;
		n = session_open(r->b, msg, r->wire[i].len, &content);
		assert_true(n > 0);
		stream_add(&flow_of(r, content)->opened, content, (size_t)n);
		assert_true(
			coalesce_add(&s->c, content, (size_t)n, partial, ALL_KINDS, deliver, s));
		if (!rng_below(&r->rng, 40))
			flush(s);
		take_delivered(r, s);
	}
	flush(s);
	take_delivered(r, s);
	for (size_t i = 0; i < count; i++)
		free(r->wire[i].bytes);
	r->wire_count = 0;
}

static void run_flows(const char *name, bool spoiled)
{
	static struct run r;
	struct rng rng = rng_new(name);
	struct sink s;

	for (int round = 0; round < 10; round++) {
		run_init(&r, rng);
		sink_init(&s);
		for (int i = 0; i < SUPER_PACKETS; i++)
			write_something(&r);
		box_to_wire(&r);
		if (spoiled)
			spoil_wire(&r);
		read_wire(&r, &s);
		for (int i = 0; i < FLOWS; i++) {
			struct flow *f = &r.flows[i];

			assert_int_equal(f->again.len, f->opened.len);
			assert_memory_equal(f->again.bytes, f->opened.bytes, f->opened.len);
			if (spoiled)
				continue;
			assert_int_equal(f->read.len, f->written.len);
			assert_memory_equal(f->read.bytes, f->written.bytes, f->written.len);
		}
		rng = r.rng;
		sink_done(&s);
		run_done(&r);
	}
}

static void every_flow_reads_what_was_written(void **state)
{
	run_flows("every_flow_reads_what_was_written", false);
}

static void joined_packets_cut_again_are_the_same_also_after_loss_and_reordering(void **state)
{
	run_flows("joined_packets_cut_again", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_become_the_super_packet_that_they_were),
		cmocka_unit_test(nothing_comes_out_of_an_empty_one),
		cmocka_unit_test(the_pseudo_headers_sum_is_written_into_a_partial_packet),
		cmocka_unit_test(a_packet_that_differs_does_not_join),
		cmocka_unit_test(the_id_of_packets_that_may_not_be_fragmented_may_stand_still),
		cmocka_unit_test(a_longer_segment_does_not_join_and_a_shorter_one_ends),
		cmocka_unit_test(nothing_follows_a_push),
		cmocka_unit_test(a_super_packet_has_at_most_65535_bytes),
		cmocka_unit_test(a_super_packet_of_udp_has_at_most_64_segments),
		cmocka_unit_test(full_checksums_pass_alone_and_unchanged),
		cmocka_unit_test(the_partial_flag_is_refused_where_nothing_can_be_finished),
		cmocka_unit_test(a_refusal_leaves_what_is_under_way),
		cmocka_unit_test(what_the_tun_does_not_take_is_not_made),
		cmocka_unit_test(a_flow_stays_in_order),
		cmocka_unit_test(every_flow_reads_what_was_written),
		cmocka_unit_test(
			joined_packets_cut_again_are_the_same_also_after_loss_and_reordering),
	};
	struct rng rng = rng_new("payload");

	if (sodium_init() < 0)
		return 1;
	rng_fill(&rng, payload, sizeof(payload));
	return cmocka_run_group_tests_name("core/coalesce", tests, NULL, NULL);
}
