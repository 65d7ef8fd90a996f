#include "fixture/test.h"

#include "fixture/lab.h"
#include "ovr/ovr.h"
#include "wire/buf.h"
#include "wire/message.h"
#include "wire/ovr.h"

#include <stdlib.h>
#include <string.h>

static struct lab lab;
static struct ovr *ovr;

static int setup(void **state)
{
	(void)state;
	lab_init(&lab, REALM_OVR);
	ovr = ovr_new(lab.engine, lab.hub, &lab.io);
	lab_serve(&lab, &ovr_realm_ops, ovr, ovr_member_removed);
	ovr_set_realm(ovr, lab.realm);
	for (unsigned i = 0; i < LAB_MEMBERS; i++)
		lab_connect(&lab, i);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lab_stop(&lab);
	ovr_free(ovr);
	lab_done(&lab);
	return 0;
}

static const struct node_key *key(unsigned member)
{
	return &lab.members[member].identity.key;
}

static void ask(unsigned member, const struct node_key *other)
{
	struct ovr_frame frame = {.type = FRAME_LANE_OPEN, .key = *other};
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	ovr_frame_write(&w, &frame);
	assert_false(w.failed);
	lab_ask(&lab, member, bytes, writer_len(&w));
}

static struct ovr_frame last(unsigned member, uint8_t type)
{
	const struct lab_frame *bytes = lab_last(&lab, member, type);
	struct ovr_frame frame;

	assert_non_null(bytes);
	assert_true(ovr_frame_parse(bytes->bytes, bytes->len, &frame));
	return frame;
}

/* The lane id that member was told last. */
static uint64_t lane(unsigned member)
{
	return last(member, FRAME_LANE).lane;
}

static void assert_refused(unsigned member, enum lane_refused_reason reason)
{
	assert_int_equal(last(member, FRAME_LANE_REFUSED).reason, reason);
	lab.members[member].frame_count = 0;
}

static void write_header(uint8_t *bytes, uint64_t id)
{
	struct writer w;

	writer_init(&w, bytes, LANE_HEADER_LEN);
	message_lane_write(&w, id);
	assert_false(w.failed);
}

/* count data messages of len bytes each, the last of last_len, into a super-datagram; returns its
 * length. */
static size_t fill(uint8_t *bytes, uint64_t id, size_t count, size_t len, size_t last_len)
{
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		size_t n = i + 1 == count ? last_len : len;

		memset(bytes + at, (int)i, n);
		write_header(bytes + at, id);
		bytes[at + LANE_HEADER_LEN] = MESSAGE_DATA;
		at += n;
	}
	return at;
}

static uint8_t batch[65536], expected[65536];

static void a_lane_has_an_id_for_each_side(void **state)
{
	(void)state;
	ask(0, key(1));
	assert_memory_equal(last(0, FRAME_LANE).key.bytes, key(1), PUBKEY_LEN);
	assert_memory_equal(last(1, FRAME_LANE).key.bytes, key(0), PUBKEY_LEN);
	assert_true(lane(0) && lane(1) && lane(0) != lane(1));
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).lanes, 1);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).members, 3);
}

static void the_same_pair_gets_the_same_lane_and_both_are_told(void **state)
{
	uint64_t a, b;

	(void)state;
	ask(0, key(1));
	a = lane(0);
	b = lane(1);
	ask(1, key(0));
	assert_true(lane(0) == a && lane(1) == b);
	assert_int_equal(lab_count(&lab, 0, FRAME_LANE), 2);
	assert_int_equal(lab_count(&lab, 1, FRAME_LANE), 2);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).lanes, 1);
	assert_int_equal(ovr_counter(ovr, OVR_lane_made), 1);
}

static void a_super_datagram_leaves_whole_with_only_the_ids_changed(void **state)
{
	size_t len;

	(void)state;
	ask(0, key(1));
	len = fill(batch, lane(0), 40, 1440, 700);
	assert_int_equal(fill(expected, lane(1), 40, 1440, 700), len);
	assert_int_equal(ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, 1440, lab.now),
			 len);
	assert_int_equal(lab.lane_sends, 1);
	assert_int_equal(lab.lane_len, len);
	assert_int_equal(lab.lane_segment, 1440);
	assert_memory_equal(lab.lane_bytes, expected, len);
	assert_true(endpoint_equal(&lab.lane_dst, &lab.members[1].endpoint));
	assert_int_equal(ovr_counter(ovr, OVR_forwarded_datagrams), 40);
	assert_int_equal(ovr_counter(ovr, OVR_forwarded_bytes), len);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).bytes, len);
	/* And back. */
	len = fill(batch, lane(1), 1, 100, 100);
	assert_int_equal(ovr_input_lanes(ovr, &lab.members[1].endpoint, batch, len, len, lab.now),
			 len);
	assert_true(endpoint_equal(&lab.lane_dst, &lab.members[0].endpoint));
	assert_true(load_u64(lab.lane_bytes + LANE_ID_AT) == lane(0));
}

static void runs_of_two_lanes_leave_in_two_sends(void **state)
{
	uint64_t to_1, to_2;
	size_t len;

	(void)state;
	ask(0, key(1));
	to_1 = lane(0);
	ask(0, key(2));
	to_2 = lane(0);
	len = fill(batch, to_1, 3, 500, 500);
	len += fill(batch + len, to_2, 2, 500, 200);
	assert_int_equal(ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, 500, lab.now),
			 len);
	assert_int_equal(lab.lane_sends, 2);
	assert_int_equal(lab.lane_len, 700);
	assert_true(endpoint_equal(&lab.lane_dst, &lab.members[2].endpoint));
	assert_int_equal(ovr_counter(ovr, OVR_forwarded_datagrams), 5);
}

static void what_is_no_lane_is_left_to_the_engine(void **state)
{
	size_t len;

	(void)state;
	ask(0, key(1));
	memset(batch, MESSAGE_DATA, 100);
	assert_int_equal(ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, 100, 100, lab.now),
			 0);
	/* A handshake message behind lane datagrams in one batch of the kernel's. */
	len = fill(batch, lane(0), 2, 100, 100);
	memset(batch + len, MESSAGE_DATA, 100);
	assert_int_equal(
		ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len + 100, 100, lab.now),
		len);
	assert_int_equal(lab.lane_len, len);
}

static void only_the_address_of_the_session_may_use_its_lane(void **state)
{
	struct endpoint elsewhere = lab.members[0].endpoint;
	size_t len;

	(void)state;
	ask(0, key(1));
	elsewhere.port++;
	len = fill(batch, lane(0), 5, 100, 100);
	assert_int_equal(ovr_input_lanes(ovr, &elsewhere, batch, len, 100, lab.now), len);
	assert_int_equal(ovr_input_lanes(ovr, &lab.members[1].endpoint, batch, len, 100, lab.now),
			 len);
	assert_int_equal(lab.lane_sends, 0);
	assert_int_equal(ovr_counter(ovr, OVR_dropped_wrong_source), 10);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).bytes, 0);
}

static void unknown_and_malformed_lanes_are_dropped_without_an_answer(void **state)
{
	uint64_t sent, id;
	size_t len;

	(void)state;
	ask(0, key(1));
	id = lane(0);
	sent = lab.helper_bytes;
	len = fill(batch, id + 1, 1, 100, 100);
	ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, len, lab.now);
	assert_int_equal(ovr_counter(ovr, OVR_dropped_unknown_lane), 1);
	len = fill(batch, id, 1, 100, 100);
	batch[1] = 1; /* a reserved byte */
	ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, len, lab.now);
	for (size_t n = 1; n <= LANE_HEADER_LEN; n++) {
		fill(batch, id, 1, 100, 100);
		assert_int_equal(
			ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, n, n, lab.now), n);
	}
	assert_int_equal(ovr_counter(ovr, OVR_dropped_malformed), 1 + LANE_HEADER_LEN);
	assert_int_equal(lab.helper_bytes, sent);
}

static void lanes_are_refused_with_the_reason(void **state)
{
	struct node_key nobody = *key(1);

	(void)state;
	nobody.bytes[5] ^= 1;
	ask(0, &nobody);
	assert_refused(0, LANE_REFUSED_NOT_MEMBER);
	ask(0, key(3)); /* of another dnet */
	assert_refused(0, LANE_REFUSED_NOT_MEMBER);
	assert_int_equal(lab.members[3].frame_count, 0);
	ask(0, key(0));
	assert_refused(0, LANE_REFUSED_NOT_MEMBER);
	peer_remove(lab.members[1].helper, BYE_SHUTDOWN);
	lab_run_until(&lab, lab.now + 1);
	ask(0, key(1));
	assert_refused(0, LANE_REFUSED_NOT_HERE);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).lanes, 0);
}

/* An initiation that was caught on its way and is sent on from elsewhere makes a member of nobody.
 */
static void who_only_began_a_handshake_is_not_here(void **state)
{
	uint8_t initiation[INITIATION_LEN];
	struct via elsewhere = {.endpoint = lab.members[3].endpoint};
	struct lab_datagram *datagram;

	(void)state;
	peer_remove(lab.members[1].helper, BYE_SHUTDOWN);
	lab_run_until(&lab, lab.now + LAB_S);
	lab_restart_member(&lab, 1);
	peer_connect(lab.members[1].helper, lab.now);
	datagram = TAILQ_FIRST(&lab.wire);
	assert_int_equal(datagram->len, INITIATION_LEN);
	memcpy(initiation, datagram->bytes, INITIATION_LEN);
	TAILQ_REMOVE(&lab.wire, datagram, entry);
	free(datagram);
	engine_input(lab.engine, &elsewhere, initiation, sizeof(initiation), lab.now);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).members, 3);
	ask(0, key(1));
	assert_refused(0, LANE_REFUSED_NOT_HERE);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).lanes, 0);
}

static void over_the_rate_the_rest_is_dropped(void **state)
{
	size_t len;

	(void)state;
	ask(0, key(1));
	lab_set_members(&lab, 0, ~0u, 1, 0); /* 125 bytes a second, at once 65,536 */
	len = fill(batch, lane(0), 40, 1440, 1440);
	ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, 1440, lab.now);
	assert_int_equal(lab.lane_sends, 1);
	/* 7,936 bytes are left: five datagrams. */
	fill(batch, lane(0), 40, 1440, 1440);
	fill(expected, lane(1), 5, 1440, 1440);
	assert_int_equal(ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, 1440, lab.now),
			 len);
	assert_int_equal(lab.lane_sends, 2);
	assert_int_equal(lab.lane_len, 5 * 1440);
	assert_memory_equal(lab.lane_bytes, expected, lab.lane_len);
	assert_int_equal(ovr_counter(ovr, OVR_forwarded_datagrams), 45);
	assert_int_equal(ovr_counter(ovr, OVR_dropped_rate), 35);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).bytes, 45 * 1440);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).dropped, 35 * 1440);
	/* Another tenant does not feel it. */
	ask(3, key(4));
	len = fill(batch, lane(3), 45, 1440, 1440);
	ovr_input_lanes(ovr, &lab.members[3].endpoint, batch, len, 1440, lab.now);
	assert_int_equal(lab.lane_sends, 3);
}

static void over_the_volume_lanes_are_closed_and_refused(void **state)
{
	size_t len;

	(void)state;
	assert_int_equal(ovr_set_used(ovr, &lab.dnets[0], (1 << 20) - 100), 0);
	lab_set_members(&lab, 0, ~0u, 0, 1);
	ask(0, key(1));
	len = fill(batch, lane(0), 1, 100, 100);
	ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, len, lab.now);
	assert_int_equal(lab.lane_sends, 1);
	fill(batch, lane(0), 1, 100, 100);
	ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, len, lab.now);
	assert_int_equal(lab.lane_sends, 1);
	lab_run_until(&lab, lab.now + 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(last(i, FRAME_LANE_CLOSED).reason, LANE_CLOSED_GRANT_ENDED);
		assert_true(last(i, FRAME_LANE_CLOSED).lane == lane(i));
	}
	ask(0, key(1));
	assert_refused(0, LANE_REFUSED_QUOTA);
}

static void the_volume_ends_in_the_middle_of_a_batch(void **state)
{
	size_t len;

	(void)state;
	assert_int_equal(ovr_set_used(ovr, &lab.dnets[0], (1 << 20) - 250), 0);
	lab_set_members(&lab, 0, ~0u, 0, 1);
	ask(0, key(1));
	len = fill(batch, lane(0), 10, 100, 60);
	assert_int_equal(ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, 100, lab.now),
			 len);
	assert_int_equal(lab.lane_len, 300);
	assert_int_equal(ovr_counter(ovr, OVR_forwarded_datagrams), 3);
	assert_int_equal(ovr_counter(ovr, OVR_dropped_volume), 7);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).bytes, (1 << 20) + 50);
	lab_run_until(&lab, lab.now + 1);
	assert_int_equal(last(1, FRAME_LANE_CLOSED).reason, LANE_CLOSED_GRANT_ENDED);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).lanes, 0);
}

static void a_removed_member_has_no_lanes_from_then_on(void **state)
{
	size_t len;

	(void)state;
	ask(0, key(1));
	ask(0, key(2));
	lab_set_members(&lab, 0, 5, 0, 0);
	assert_int_equal(lab_last(&lab, 1, FRAME_BYE)->bytes[1], BYE_REMOVED);
	assert_int_equal(last(0, FRAME_LANE_CLOSED).reason, LANE_CLOSED_OTHER_GONE);
	assert_int_equal(lab_count(&lab, 0, FRAME_LANE_CLOSED), 1);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).lanes, 1);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).members, 2);
	len = fill(batch, lane(1), 1, 100, 100);
	ovr_input_lanes(ovr, &lab.members[1].endpoint, batch, len, len, lab.now);
	assert_int_equal(lab.lane_sends, 0);
	ask(0, key(1));
	assert_refused(0, LANE_REFUSED_NOT_MEMBER);
}

static void a_grant_that_ended_ends_all(void **state)
{
	(void)state;
	ask(0, key(1));
	hub_drop_dnet(lab.hub, &lab.dnets[0], ovr_member_removed, ovr);
	lab_run_until(&lab, lab.now + 1);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(last(i, FRAME_LANE_CLOSED).reason, LANE_CLOSED_GRANT_ENDED);
	assert_int_equal(lab.members[2].downs, 1);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).lanes, 0);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).members, 0);
	assert_int_equal(lab.members[3].downs, 0);
}

static void a_member_comes_back_to_its_lane(void **state)
{
	uint64_t a, b;
	size_t len;

	(void)state;
	ask(0, key(1));
	a = lane(0);
	b = lane(1);
	/* Gone in good order: the lane waits. */
	peer_remove(lab.members[1].helper, BYE_SHUTDOWN);
	lab_run_until(&lab, lab.now + LAB_S);
	len = fill(batch, a, 1, 100, 100);
	ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, len, lab.now);
	assert_int_equal(ovr_counter(ovr, OVR_dropped_unknown_lane), 1);
	lab_restart_member(&lab, 1);
	lab_connect(&lab, 1);
	ask(1, key(0));
	assert_true(lane(0) == a && lane(1) == b);
	/* Killed: it has forgotten, and is told again. */
	lab.now += LAB_S;
	lab_restart_member(&lab, 1);
	lab_connect(&lab, 1);
	ask(1, key(0));
	assert_true(lane(1) == b);
	fill(batch, a, 1, 100, 100);
	ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, len, lab.now);
	assert_int_equal(lab.lane_sends, 1);
}

static void a_lane_that_nobody_uses_is_freed_after_120_s(void **state)
{
	uint64_t start = lab.now;

	(void)state;
	ask(0, key(1));
	peer_remove(lab.members[0].helper, BYE_SHUTDOWN);
	lab_run_until(&lab, start + 1);
	ovr_tick(ovr, start + 500 * LAB_S);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).lanes, 1); /* one side is there */
	peer_remove(lab.members[1].helper, BYE_SHUTDOWN);
	lab_run_until(&lab, start + 2);
	ovr_tick(ovr, start + 120 * LAB_S - 1);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).lanes, 1);
	ovr_tick(ovr, start + 120 * LAB_S);
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).lanes, 0);
}

static void the_helper_never_answers_more_than_it_got(void **state)
{
	uint64_t sent;
	size_t len;

	(void)state;
	ask(0, key(1));
	sent = lab.helper_bytes;
	len = fill(batch, lane(0), 10, 1000, 400);
	ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, 1000, lab.now);
	assert_int_equal(lab.helper_bytes - sent, len);
}

static void whatever_comes_it_sends_no_more_than_that(void **state)
{
	uint64_t got = 0, sent, random = 7;

	(void)state;
	ask(0, key(1));
	sent = lab.helper_bytes;
	for (unsigned i = 0; i < 2000; i++) {
		size_t len, segment;

		for (size_t at = 0; at < 2000; at++)
			batch[at] = (uint8_t)((random = random * 6364136223846793005 + 1) >> 56);
		len = 1 + (random >> 40) % 2000;
		segment = 1 + (random >> 20) % len;
		for (size_t at = 0; at + LANE_HEADER_LEN <= len; at += segment)
			if (batch[at] & 7)
				write_header(batch + at, lane(batch[at] >> 3 & 1));
		/* The engine gets what is no lane: nothing of it is a handshake. */
		got += ovr_input_lanes(ovr, &lab.members[i & 1].endpoint, batch, len, segment,
				       lab.now);
		assert_true(lab.helper_bytes - sent <= got);
	}
	assert_true(ovr_counter(ovr, OVR_forwarded_datagrams) > 300);
}

static void a_short_one_at_the_end_of_a_batch_is_dropped_alone(void **state)
{
	size_t len;

	(void)state;
	ask(0, key(1));
	len = fill(batch, lane(0), 3, 100, LANE_HEADER_LEN + 1);
	ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, 100, lab.now);
	assert_int_equal(lab.lane_len, 200 + LANE_HEADER_LEN + 1);
	fill(batch, lane(0), 3, 100, LANE_HEADER_LEN + 1);
	ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len - 1, 100, lab.now);
	assert_int_equal(lab.lane_len, 200);
	assert_int_equal(ovr_counter(ovr, OVR_dropped_malformed), 1);
}

/* 20 datagrams of 100 bytes, of which number 7 is altered: only that one is refused, and counted as
 * what it is. */
static void of_a_batch_only_the_unwanted_one_is_refused(void **state)
{
	enum { OTHER_ID, OTHER_LANE, RESERVED_BYTE, HELD, CASES };
	static const enum ovr_counter counters[] = {
		OVR_dropped_unknown_lane, OVR_dropped_wrong_source, OVR_dropped_malformed};
	uint64_t ours, of_others;

	(void)state;
	ask(0, key(1));
	ours = lane(0);
	ask(1, key(2));
	of_others = lane(2); /* not of the address that sends */
	for (int i = 0; i < CASES; i++) {
		uint64_t before = ovr_counter(ovr, OVR_forwarded_datagrams);
		size_t len = fill(batch, ours, 20, 100, 40), done;
		unsigned sends = lab.lane_sends;
		uint8_t *bad = batch + 700;

		if (i == OTHER_ID)
			write_header(bad, ours + 1);
		else if (i == OTHER_LANE)
			write_header(bad, of_others);
		else if (i == RESERVED_BYTE)
			bad[2] = 1;
		else
			bad[0] = MESSAGE_DATA; /* for the engine: not taken */
		done = ovr_input_lanes(ovr, &lab.members[0].endpoint, batch, len, 100, lab.now);
		if (i == HELD) {
			assert_int_equal(done, 700);
			done = 800 + ovr_input_lanes(ovr, &lab.members[0].endpoint, batch + 800,
						     len - 800, 100, lab.now);
		} else {
			assert_int_equal(ovr_counter(ovr, counters[i]), 1);
		}
		assert_int_equal(done, len);
		assert_int_equal(ovr_counter(ovr, OVR_forwarded_datagrams) - before, 19);
		assert_int_equal(lab.lane_sends - sends, 2);
		assert_int_equal(lab.lane_len, 11 * 100 + 40);
	}
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).bytes, CASES * (19 * 100 - 60));
	assert_int_equal(ovr_usage(ovr, &lab.dnets[0]).dropped, 0);
}

struct outcome {
	uint64_t counters[OVR_COUNTER_COUNT], usage, dropped, bytes;
};

static struct outcome outcome(void)
{
	struct outcome o = {.usage = ovr_usage(ovr, &lab.dnets[0]).bytes,
			    .dropped = ovr_usage(ovr, &lab.dnets[0]).dropped,
			    .bytes = lab.helper_bytes};

	for (int i = 0; i < OVR_COUNTER_COUNT; i++)
		o.counters[i] = ovr_counter(ovr, i);
	return o;
}

static void assert_same_step(const struct outcome *a, const struct outcome *b,
			     const struct outcome *c)
{
	const uint64_t *x = a->counters, *y = b->counters, *z = c->counters;

	for (size_t i = 0; i < sizeof(*a) / sizeof(*x); i++)
		assert_int_equal(y[i] - x[i], z[i] - y[i]);
}

/* Whatever is in it: the same counters, the same usage, as many bytes sent. */
static void a_batch_does_what_its_datagrams_do_one_by_one(void **state)
{
	static uint8_t copy[sizeof(batch)];
	uint64_t random = 11, lanes[3];

	(void)state;
	ask(0, key(1));
	lanes[0] = lane(0);
	lanes[1] = lane(1);
	ask(0, key(2));
	lanes[2] = lane(0);
	for (unsigned i = 0; i < 1000; i++) {
		const struct endpoint *from = &lab.members[i & 1].endpoint;
		struct outcome before = outcome(), together, alone;
		size_t len = 0, segment = 13 + i % 90;

		for (unsigned n = 0; n < 30; n++) {
			random = random * 6364136223846793005 + 1;
			len += fill(batch + len, lanes[(random >> 60) % 3] + !(random >> 40 & 15),
				    1, segment, segment);
			batch[len - segment + 1] = !(random >> 30 & 15);
		}
		len -= random >> 20 & 1 ? (random >> 50) % segment : 0;
		memcpy(copy, batch, len);
		assert_int_equal(ovr_input_lanes(ovr, from, batch, len, segment, lab.now), len);
		together = outcome();
		for (size_t at = 0; at < len; at += segment) {
			size_t n = len - at < segment ? len - at : segment;

			ovr_input_lanes(ovr, from, copy + at, n, n, lab.now);
		}
		alone = outcome();
		assert_same_step(&before, &together, &alone);
	}
	assert_true(ovr_counter(ovr, OVR_forwarded_datagrams) > 10000);
	assert_true(ovr_counter(ovr, OVR_dropped_malformed) > 1000);
	assert_true(ovr_counter(ovr, OVR_dropped_unknown_lane) > 1000);
	assert_true(ovr_counter(ovr, OVR_dropped_wrong_source) > 1000);
}

static void other_frames_are_counted(void **state)
{
	static const struct {
		uint8_t bytes[64];
		size_t len;
		enum ovr_counter counter;
	} rows[] = {
		{{FRAME_REGISTER, 0}, 2, OVR_frame_unexpected},
		{{FRAME_LANE, 2}, 42, OVR_frame_unexpected},
		{{0x3f}, 1, OVR_frame_unexpected},
		{{FRAME_LANE_OPEN, 2}, 33, OVR_frame_malformed},
		{{FRAME_LANE_OPEN, 2}, 35, OVR_frame_malformed},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = ovr_counter(ovr, rows[i].counter);

		lab_ask(&lab, 0, rows[i].bytes, rows[i].len);
		assert_int_equal(ovr_counter(ovr, rows[i].counter), before + 1);
	}
	assert_int_equal(lab.members[0].frame_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_lane_has_an_id_for_each_side),
		T(the_same_pair_gets_the_same_lane_and_both_are_told),
		T(a_super_datagram_leaves_whole_with_only_the_ids_changed),
		T(runs_of_two_lanes_leave_in_two_sends),
		T(what_is_no_lane_is_left_to_the_engine),
		T(only_the_address_of_the_session_may_use_its_lane),
		T(unknown_and_malformed_lanes_are_dropped_without_an_answer),
		T(lanes_are_refused_with_the_reason),
		T(who_only_began_a_handshake_is_not_here),
		T(over_the_rate_the_rest_is_dropped),
		T(over_the_volume_lanes_are_closed_and_refused),
		T(the_volume_ends_in_the_middle_of_a_batch),
		T(of_a_batch_only_the_unwanted_one_is_refused),
		T(a_batch_does_what_its_datagrams_do_one_by_one),
		T(a_removed_member_has_no_lanes_from_then_on),
		T(a_grant_that_ended_ends_all),
		T(a_member_comes_back_to_its_lane),
		T(a_lane_that_nobody_uses_is_freed_after_120_s),
		T(the_helper_never_answers_more_than_it_got),
		T(whatever_comes_it_sends_no_more_than_that),
		T(a_short_one_at_the_end_of_a_batch_is_dropped_alone),
		T(other_frames_are_counted),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
