#include "fixture/test.h"

#include "core/fairq.h"
#include "fixture/packet.h"
#include "fixture/rng.h"

#include <stdlib.h>
#include <string.h>

enum { MEMORY = 1 << 20, HEADROOM = 10, HEADER = 28, BIG = 60000, MS = 1000000 };

static struct fairq *make(size_t bytes)
{
	void *memory = malloc(fairq_size(bytes));

	assert_non_null(memory);
	return fairq_init(memory, bytes, 7);
}

/* A UDP packet of a flow, which is its source port, with a number in its payload. */
static struct packet put(uint8_t *room, uint16_t flow, uint32_t number, size_t len)
{
	static uint8_t payload[65536];
	struct packet_spec spec = {
		.version = flow & 1 ? 6 : 4, .udp = true, .src_port = flow, .dst_port = 9};
	size_t header = packet_header_len(&spec);

	assert_true(len >= header + 4);
	memset(payload, (int)(number & 0xff), len - header);
	packet_put32(payload, number);
	return packet_of(&spec, room + HEADROOM,
			 packet_build(&spec, payload, len - header, room + HEADROOM), 0);
}

static void push_of(struct fairq *q, uint16_t flow, uint32_t number, size_t len, void *owner,
		    uint64_t now)
{
	struct packet p = put(fairq_room(q), flow, number, len);

	fairq_push(q, &p, owner, now);
}

static void push(struct fairq *q, uint16_t flow, uint32_t number, size_t len, uint64_t now)
{
	push_of(q, flow, number, len, NULL, now);
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint16_t flow_of(const struct packet *p)
{
	return get16(p->data + p->csum_start);
}

static uint32_t number_of(const struct packet *p)
{
	const uint8_t *payload = p->data + p->csum_start + 8;

	/* Nothing wrote over it. */
	for (size_t i = 4; i < p->len - p->csum_start - 8u; i++)
		assert_int_equal(payload[i], payload[3]);
	return (uint32_t)get16(payload) << 16 | get16(payload + 2);
}

static void pop_is(struct fairq *q, uint16_t flow, uint32_t number, uint64_t now)
{
	struct packet p;
	void *owner;

	assert_true(fairq_pop(q, now, &p, &owner));
	assert_int_equal(flow_of(&p), flow);
	assert_int_equal(number_of(&p), number);
}

static void is_empty(struct fairq *q)
{
	struct packet p;
	void *owner;

	assert_false(fairq_pop(q, 0, &p, &owner));
	assert_int_equal(fairq_stats(q)->packets, 0);
}

static void packets_of_one_flow_come_out_as_they_went_in(void **state)
{
	struct fairq *q = make(MEMORY);
	struct packet p;
	int owner;
	void *got;

	is_empty(q);
	for (uint32_t i = 0; i < 10; i++)
		push_of(q, 4, i, 100 + i * 6000, &owner, i);
	assert_int_equal(fairq_stats(q)->packets, 10);
	for (uint32_t i = 0; i < 10; i++) {
		assert_true(fairq_pop(q, 20, &p, &got));
		assert_ptr_equal(got, &owner);
		assert_int_equal(p.len, 100 + i * 6000);
		assert_true(p.partial_checksum);
		assert_int_equal(number_of(&p), i);
	}
	is_empty(q);
	free(q);
}

static void who_begins_to_speak_is_served_before_those_who_always_do(void **state)
{
	struct fairq *q = make(MEMORY);

	for (uint32_t i = 0; i < 5; i++)
		push(q, 2, i, BIG, 0);
	pop_is(q, 2, 0, 0); /* it has used up its turn, and is an old flow now */
	push(q, 3, 0, 100, 0);
	push(q, 4, 0, 100, 0);
	pop_is(q, 3, 0, 0);
	pop_is(q, 4, 0, 0);
	for (uint32_t i = 1; i < 5; i++)
		pop_is(q, 2, i, 0);
	is_empty(q);
	free(q);
}

/* RFC 8290, 4.2: else it would pass before the others for ever. */
static void a_flow_is_not_new_again_because_it_was_empty_for_a_moment(void **state)
{
	struct fairq *q = make(MEMORY);

	push(q, 2, 0, BIG, 0);
	push(q, 2, 1, BIG, 0);
	pop_is(q, 2, 0, 0);
	push(q, 3, 0, 1514 + 100, 0);
	pop_is(q, 3, 0, 0); /* empty, and still listed */
	push(q, 3, 1, 100, 0);
	push(q, 4, 0, 100, 0);
	pop_is(q, 4, 0, 0);
	pop_is(q, 3, 1, 0);
	pop_is(q, 2, 1, 0);
	is_empty(q);
	free(q);
}

static void flows_that_always_speak_get_equal_bytes(void **state)
{
	static const size_t lens[] = {100, 1400, BIG};
	struct fairq *q = make(8 * MEMORY);
	uint64_t sent[3] = {0};
	uint32_t next[3] = {0};
	struct packet p;
	void *owner;

	for (unsigned i = 0; i < 20000; i++) {
		for (unsigned k = 0; k < 3; k++) {
			for (; next[k] * lens[k] < sent[k] + 2 * BIG; next[k]++)
				push(q, (uint16_t)(10 + k), next[k], lens[k], 0);
		}
		assert_true(fairq_pop(q, 0, &p, &owner));
		sent[flow_of(&p) - 10] += p.len;
	}
	assert_int_equal(fairq_stats(q)->overflowed, 0);
	for (unsigned k = 0; k < 3; k++)
		assert_in_range(sent[k], sent[2] - 2 * BIG, sent[2] + 2 * BIG);
	free(q);
}

static void when_memory_ends_the_oldest_of_who_sends_most_gives_way(void **state)
{
	struct fairq *q = make(MEMORY);
	uint32_t next = 0, lost;

	while (next < 4)
		push(q, 2, next++, BIG, 0);
	pop_is(q, 2, 0, 0); /* now an old flow */
	push(q, 3, 0, 200, 0);
	while (fairq_stats(q)->packets < MEMORY / BIG - 1)
		push(q, 2, next++, BIG, 0);
	assert_int_equal(fairq_stats(q)->overflowed, 0);
	while (!fairq_stats(q)->overflowed)
		push(q, 2, next++, BIG, 0);
	lost = (uint32_t)fairq_stats(q)->overflowed;
	assert_in_range(lost, 1, 2); /* as many as have the room of one */
	pop_is(q, 3, 0, 0);
	for (uint32_t i = 1 + lost; i < next; i++)
		pop_is(q, 2, i, 0);
	is_empty(q);
	free(q);
}

static void so_many_packets_wait_and_no_more(void **state)
{
	struct fairq *q = make(MEMORY);

	for (uint32_t i = 0; i < FAIRQ_PACKETS; i++)
		push(q, 2, i, 60, 0);
	assert_int_equal(fairq_stats(q)->overflowed, 0);
	assert_int_equal(fairq_stats(q)->packets, FAIRQ_PACKETS);
	push(q, 2, FAIRQ_PACKETS, 60, 0);
	assert_int_equal(fairq_stats(q)->overflowed, 1);
	for (uint32_t i = 1; i <= FAIRQ_PACKETS; i++)
		pop_is(q, 2, i, 0);
	is_empty(q);
	free(q);
}

static void malformed_packets_are_a_flow(void **state)
{
	static const uint8_t odd[] = {0x00, 0x45, 0x6f, 0xff};
	struct fairq *q = make(MEMORY);
	struct packet p;
	void *owner;

	for (size_t i = 0; i < sizeof(odd); i++) {
		p = (struct packet){.data = fairq_room(q) + HEADROOM, .len = i + 1};
		memset(p.data, odd[i], p.len);
		fairq_push(q, &p, NULL, 0);
	}
	for (size_t i = 0; i < sizeof(odd); i++) {
		assert_true(fairq_pop(q, 0, &p, &owner));
		assert_int_equal(p.len, i + 1);
		assert_int_equal(p.data[0], odd[i]);
	}
	free(q);
}

/* Fragments of IPv4, the later ones without ports, between whole datagrams of the same flow. */
static void fragments_stay_in_order_with_their_flow(void **state)
{
	enum { WHOLE, FIRST, LATER };
	static const uint8_t kinds[] = {WHOLE, FIRST, LATER, LATER, WHOLE, LATER, FIRST, WHOLE};
	struct fairq *q = make(MEMORY);

	for (uint32_t i = 0; i < sizeof(kinds); i++) {
		struct packet p = put(fairq_room(q), 2, i, 3020);

		if (kinds[i] == FIRST)
			p.data[6] = 0x20;
		if (kinds[i] == LATER)
			p.data[7] = (uint8_t)(i * 8);
		fairq_push(q, &p, NULL, 0);
		push(q, 4, i, 3020, 0);
	}
	for (uint32_t i = 0; i < sizeof(kinds); i++) {
		pop_is(q, 2, i, 0);
		pop_is(q, 4, i, 0);
	}
	is_empty(q);
	free(q);
}

static void what_an_owner_left_is_forgotten(void **state)
{
	struct fairq *q = make(MEMORY);
	struct packet p;
	int a, b;
	void *owner;

	for (uint32_t i = 0; i < 20; i++)
		push_of(q, (uint16_t)(2 + i % 3), i, 1000, i % 2 ? &a : &b, 0);
	fairq_forget(q, &a);
	assert_int_equal(fairq_stats(q)->packets, 10);
	for (uint32_t i = 0; i < 10; i++) {
		assert_true(fairq_pop(q, 0, &p, &owner));
		assert_ptr_equal(owner, &b);
	}
	is_empty(q);
	push_of(q, 2, 0, 1000, &a, 0);
	fairq_forget(q, &a);
	is_empty(q);
	push_of(q, 2, 1, 1000, &b, 0);
	pop_is(q, 2, 1, 0);
	free(q);
}

/* ---- CoDel ---- */

/* Packets of 1000 bytes come every ms for so long, of which each waits for wait_ms. Returns the
 * stats. */
static struct fairq_stats stand(uint8_t ecn, unsigned wait_ms, unsigned for_ms)
{
	struct fairq *q = make(MEMORY);
	struct fairq_stats stats;
	uint64_t now = MS;

	for (unsigned i = 0; i < for_ms; i++, now += MS) {
		struct packet p = put(fairq_room(q), (uint16_t)(2 + i % 2), i, 1000);
		void *owner;

		if (i % 2)
			p.data[1] |= (uint8_t)(ecn << 4);
		else
			p.data[1] |= ecn;
		if (!(i % 2))
			packet_fix_ipv4(p.data);
		fairq_push(q, &p, NULL, now);
		if (i < wait_ms || !fairq_pop(q, now, &p, &owner))
			continue;
		if (p.data[0] >> 4 == 4)
			assert_int_equal(packet_sum(p.data, 20, 0), 0xffff);
	}
	stats = *fairq_stats(q);
	free(q);
	return stats;
}

static void a_queue_that_stands_loses_packets_after_an_interval(void **state)
{
	assert_int_equal(stand(0, 3, 1000).dropped, 0);
	assert_int_equal(stand(0, 20, 115).dropped, 0);
	assert_int_equal(stand(0, 20, 140).dropped, 2); /* one of each flow */
	assert_in_range(stand(0, 40, 1000).dropped, 4, 40);
}

static void flows_that_know_ecn_are_marked_instead(void **state)
{
	for (uint8_t ecn = 1; ecn <= 2; ecn++) {
		struct fairq_stats stats = stand(ecn, 20, 140);

		assert_int_equal(stats.marked, 2);
		assert_int_equal(stats.dropped, 0);
		assert_true(stand(ecn, 20, 1000).marked > 10);
		assert_int_equal(stand(ecn, 3, 1000).marked, 0);
	}
}

static void the_only_packet_of_a_flow_is_never_dropped(void **state)
{
	struct fairq *q = make(MEMORY);

	for (uint32_t i = 0; i < 1000; i++) {
		push(q, 2, i, 1000, i * UINT64_C(20) * MS);
		pop_is(q, 2, i, (i + 1) * UINT64_C(20) * MS);
	}
	assert_int_equal(fairq_stats(q)->dropped, 0);
	free(q);
}

/* ---- At random, against what must hold ---- */

enum { MODEL_FLOWS = 40, MODEL_STEPS = 60000 };

static void whatever_comes_order_and_bytes_are_kept(void **state)
{
	struct rng rng = rng_new("fairq");
	struct fairq *q = make(FAIRQ_BYTES_MIN + rng_below(&rng, MEMORY));
	uint32_t pushed[MODEL_FLOWS] = {0}, expect[MODEL_FLOWS] = {0};
	uint64_t now = 0, in = 0, out = 0, lost = 0;
	const struct fairq_stats *stats = fairq_stats(q);

	for (unsigned i = 0; i < MODEL_STEPS; i++) {
		uint16_t flow = (uint16_t)rng_below(&rng, MODEL_FLOWS);
		/* Some flows send much, others little; at times more comes than goes. */
		size_t len = flow < 4 ? 60 + rng_below(&rng, 65000) : 60 + rng_below(&rng, 1400);
		struct packet p;
		void *owner;

		now += rng_below(&rng, 200000);
		if (rng_below(&rng, 100) < (i / 5000 % 2 ? 45u : 60u)) {
			push(q, flow, pushed[flow]++, len, now);
			in++;
		} else if (fairq_pop(q, now, &p, &owner)) {
			uint32_t number = number_of(&p);

			flow = flow_of(&p);
			assert_in_range(number, expect[flow], pushed[flow] - 1);
			lost += number - expect[flow];
			expect[flow] = number + 1;
			out++;
		} else {
			assert_int_equal(stats->packets, 0);
		}
		assert_int_equal(in, out + stats->packets + stats->dropped + stats->overflowed);
	}
	for (struct packet p; fairq_pop(q, now, &p, &(void *){NULL}); out++) {
		lost += number_of(&p) - expect[flow_of(&p)];
		expect[flow_of(&p)] = number_of(&p) + 1;
	}
	for (unsigned i = 0; i < MODEL_FLOWS; i++)
		lost += pushed[i] - expect[i];
	assert_int_equal(lost, stats->dropped + stats->overflowed);
	assert_int_equal(in, out + lost);
	free(q);
}

/* A link that is asked for twice what it carries by four flows: a fifth one, which sends a packet
 * now and then, waits for one packet of each at most; and what the four leave waiting falls. */
static void a_sparse_flow_does_not_notice_the_others(void **state)
{
	enum { PER_PACKET = 100000, LEN = 1250 }; /* 100 Mbit/s */
	struct fairq *q = make(MEMORY);
	uint64_t now = 0, sent_at = 0, worst = 0;
	uint32_t number = 0;

	for (unsigned i = 0; i < 20000; i++, now += PER_PACKET) {
		struct packet p;
		void *owner;

		for (unsigned k = 0; k < 2; k++)
			push(q, (uint16_t)(10 + (2 * i + k) % 4), number++, LEN, now);
		if (i % 100 == 0) {
			push(q, 20, i, 100, now);
			sent_at = now;
		}
		assert_true(fairq_pop(q, now, &p, &owner));
		if (flow_of(&p) == 20)
			worst = now - sent_at > worst ? now - sent_at : worst;
	}
	assert_true(worst <= 4 * PER_PACKET);
	assert_true(fairq_stats(q)->dropped > 100);
	free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_one_flow_come_out_as_they_went_in),
		cmocka_unit_test(who_begins_to_speak_is_served_before_those_who_always_do),
		cmocka_unit_test(a_flow_is_not_new_again_because_it_was_empty_for_a_moment),
		cmocka_unit_test(flows_that_always_speak_get_equal_bytes),
		cmocka_unit_test(when_memory_ends_the_oldest_of_who_sends_most_gives_way),
		cmocka_unit_test(so_many_packets_wait_and_no_more),
		cmocka_unit_test(malformed_packets_are_a_flow),
		cmocka_unit_test(fragments_stay_in_order_with_their_flow),
		cmocka_unit_test(what_an_owner_left_is_forgotten),
		cmocka_unit_test(a_queue_that_stands_loses_packets_after_an_interval),
		cmocka_unit_test(flows_that_know_ecn_are_marked_instead),
		cmocka_unit_test(the_only_packet_of_a_flow_is_never_dropped),
		cmocka_unit_test(whatever_comes_order_and_bytes_are_kept),
		cmocka_unit_test(a_sparse_flow_does_not_notice_the_others),
	};

	return cmocka_run_group_tests_name("core/fairq", tests, NULL, NULL);
}
