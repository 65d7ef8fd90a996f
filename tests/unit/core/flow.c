#include "fixture/test.h"

#include "core/flow.h"
#include "wire/buf.h"

#include <string.h>

#define SECOND 1000000000ull

static const uint8_t seed[FLOW_SEED_LEN] = {1, 2, 3};

enum { SYN = 2, FIN = 1, RST = 4, ACK = 16 };

struct built {
	uint8_t bytes[256];
	size_t len;
};

/* IPv4 from 10.0.0.src to 10.0.0.dst with payload_len bytes after the header. */
static struct built ipv4(uint8_t src, uint8_t dst, uint8_t protocol, size_t payload_len)
{
	struct built p = {.len = 20 + payload_len};

	p.bytes[0] = 0x45;
	store_u16be(p.bytes + 2, (uint16_t)p.len);
	p.bytes[8] = 64;
	p.bytes[9] = protocol;
	memcpy(p.bytes + 12, (uint8_t[]){10, 0, 0, src}, 4);
	memcpy(p.bytes + 16, (uint8_t[]){10, 0, 0, dst}, 4);
	return p;
}

static struct built tcp(uint8_t src, uint8_t dst, uint16_t sport, uint16_t dport, uint8_t flags)
{
	struct built p = ipv4(src, dst, IP_PROTO_TCP, 20);

	store_u16be(p.bytes + 20, sport);
	store_u16be(p.bytes + 22, dport);
	p.bytes[32] = 0x50;
	p.bytes[33] = flags;
	return p;
}

static struct built udp(uint8_t src, uint8_t dst, uint16_t sport, uint16_t dport)
{
	struct built p = ipv4(src, dst, IP_PROTO_UDP, 16);

	store_u16be(p.bytes + 20, sport);
	store_u16be(p.bytes + 22, dport);
	store_u16be(p.bytes + 24, 16);
	return p;
}

static struct built echo(uint8_t src, uint8_t dst, uint8_t type, uint16_t id)
{
	struct built p = ipv4(src, dst, IP_PROTO_ICMP, 16);

	p.bytes[20] = type;
	store_u16be(p.bytes + 24, id);
	return p;
}

/* An ICMP error that quotes the first `quoted` bytes of another packet. */
static struct built error_about(uint8_t src, uint8_t dst, uint8_t type, const struct built *about,
				size_t quoted)
{
	struct built p = ipv4(src, dst, IP_PROTO_ICMP, 8 + quoted);

	p.bytes[20] = type;
	memcpy(p.bytes + 28, about->bytes, quoted);
	return p;
}

static bool passes(struct flow_table *t, struct built p, uint64_t now)
{
	struct ip_view ip;

	assert_int_equal(ip_parse(p.bytes, p.len, &ip), IP_OK);
	return flow_passes(t, p.bytes, &ip, now);
}

static void note(struct flow_table *t, struct built p, uint64_t now)
{
	struct ip_view ip;

	assert_int_equal(ip_parse(p.bytes, p.len, &ip), IP_OK);
	flow_note(t, p.bytes, &ip, now);
}

static int setup(void **state)
{
	*state = flow_table_new(8, seed);
	return !*state;
}

static int teardown(void **state)
{
	flow_table_free(*state);
	return 0;
}

static void only_replies_of_a_known_flow_pass(void **state)
{
	struct flow_table *t = *state;

	assert_false(passes(t, tcp(2, 1, 22, 5000, SYN | ACK), 1));
	note(t, tcp(1, 2, 5000, 22, SYN), 1);
	assert_true(passes(t, tcp(2, 1, 22, 5000, SYN | ACK), 2));
	assert_true(passes(t, tcp(2, 1, 22, 5000, ACK), 3));
	assert_false(passes(t, tcp(2, 1, 22, 5001, ACK), 3));
	assert_false(passes(t, tcp(2, 1, 23, 5000, ACK), 3));
	assert_false(passes(t, tcp(3, 1, 22, 5000, ACK), 3));
	assert_false(passes(t, udp(2, 1, 22, 5000), 3));
	assert_false(passes(t, tcp(1, 2, 5000, 22, ACK), 3));
}

static void a_reply_that_begins_a_connection_is_none(void **state)
{
	struct flow_table *t = *state;

	note(t, tcp(1, 2, 5000, 22, SYN), 1);
	assert_false(passes(t, tcp(2, 1, 22, 5000, SYN), 2));
	note(t, echo(1, 2, 8, 77), 2);
	assert_false(passes(t, echo(2, 1, 8, 77), 3));
	assert_true(passes(t, echo(2, 1, 0, 77), 3));
	assert_false(passes(t, echo(2, 1, 0, 78), 3));
}

static void what_answers_nothing_begins_nothing(void **state)
{
	struct flow_table *t = *state;

	note(t, tcp(1, 2, 5000, 22, RST), 1);
	note(t, echo(1, 2, 0, 77), 1);
	note(t, echo(1, 2, 13, 77), 1);
	assert_int_equal(flow_count(t), 0);
}

static void flows_end_after_their_time(void **state)
{
	struct flow_table *t = *state;
	uint64_t at = SECOND;

	note(t, udp(1, 2, 1, 2), at);
	assert_true(passes(t, udp(2, 1, 2, 1), at + 30 * SECOND - 1));
	at += 30 * SECOND - 1;
	assert_true(passes(t, udp(2, 1, 2, 1), at + 180 * SECOND - 1));
	at += 180 * SECOND - 1;
	assert_false(passes(t, udp(2, 1, 2, 1), at + 180 * SECOND));
	assert_int_equal(flow_count(t), 0);
	note(t, udp(1, 2, 1, 2), at);
	assert_false(passes(t, udp(2, 1, 2, 1), at + 30 * SECOND));
	note(t, tcp(1, 2, 1, 2, SYN), at);
	assert_false(passes(t, tcp(2, 1, 2, 1, ACK), at + 120 * SECOND));
	note(t, tcp(1, 2, 1, 2, SYN), at);
	assert_true(passes(t, tcp(2, 1, 2, 1, ACK), at));
	assert_true(passes(t, tcp(2, 1, 2, 1, ACK), at + 7200 * SECOND - 1));
	at += 7200 * SECOND;
	assert_true(passes(t, tcp(2, 1, 2, 1, FIN | ACK), at));
	assert_true(passes(t, tcp(2, 1, 2, 1, ACK), at + 120 * SECOND - 1));
	assert_false(passes(t, tcp(2, 1, 2, 1, ACK), at + 240 * SECOND));
	note(t, echo(1, 2, 8, 7), at);
	assert_false(passes(t, echo(2, 1, 0, 7), at + 30 * SECOND));
}

static void icmp_errors_pass_when_they_quote_a_known_flow(void **state)
{
	static const struct {
		uint8_t type;
		bool pass;
	} table[] = {{3, true}, {11, true}, {12, true}, {5, false}, {4, false}};
	struct flow_table *t = *state;
	struct built there = udp(1, 2, 5000, 53), back = udp(2, 1, 53, 5000),
		     unknown = udp(1, 2, 5001, 53), early;

	note(t, there, 1);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(passes(t, error_about(2, 1, table[i].type, &there, 28), 2),
				 table[i].pass);
	/* About a reply, to who sent it. */
	assert_true(passes(t, error_about(1, 2, 3, &back, 28), 2));
	/* Of another flow, to somebody else, cut too short. */
	assert_false(passes(t, error_about(2, 1, 3, &unknown, 28), 2));
	assert_false(passes(t, error_about(2, 3, 3, &there, 28), 2));
	early = error_about(2, 1, 3, &there, 27);
	assert_false(passes(t, early, 2));
	early = error_about(2, 1, 3, &there, 0);
	assert_false(passes(t, early, 2));
}

static bool about(struct built p, struct ip_flow *ret)
{
	struct ip_view ip;

	assert_int_equal(ip_parse(p.bytes, p.len, &ip), IP_OK);
	return flow_icmp_about(p.bytes, &ip, ret);
}

static void errors_say_which_packet_they_are_about(void **state)
{
	struct built there = udp(1, 9, 5000, 53), other = ipv4(2, 1, IP_PROTO_ICMPV6, 8);
	struct ip_flow flow;

	for (unsigned type = 0; type < 256; type++) {
		bool error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;

		assert_int_equal(about(error_about(2, 1, (uint8_t)type, &there, 28), &flow), error);
		if (!error)
			continue;
		assert_memory_equal(flow.src, ((uint8_t[]){10, 0, 0, 1}), 4);
		assert_memory_equal(flow.dst, ((uint8_t[]){10, 0, 0, 9}), 4);
		assert_int_equal(flow.version, 4);
	}
	/* The addresses are enough; a byte less is nothing. */
	assert_true(about(error_about(2, 1, 3, &there, 20), &flow));
	assert_int_equal(flow.version, 4);
	assert_true(about(error_about(2, 1, 3, &there, 19), &flow));
	assert_int_equal(flow.version, 0);
	there.bytes[0] = 0x65;
	assert_true(about(error_about(2, 1, 3, &there, 28), &flow));
	assert_int_equal(flow.version, 0);
	/* ICMPv6 in IPv4 is nothing that the kernel believes. */
	assert_false(about(other, &flow));
}

static void messages_of_a_link_are_about_nothing_that_was_sent(void **state)
{
	struct built p = {.len = 48 + 40};
	struct ip_flow flow;

	for (unsigned type = 0; type < 256; type++) {
		bool error = type < 128, link = (type >= 130 && type <= 137) || type == 143;

		memset(p.bytes, 0, sizeof(p.bytes));
		p.bytes[0] = p.bytes[48] = 0x60;
		p.bytes[5] = 48;
		p.bytes[6] = IP_PROTO_ICMPV6;
		p.bytes[40] = (uint8_t)type;
		p.bytes[48 + 39] = 7;
		p.bytes[48 + 6] = IP_PROTO_NONE;
		assert_int_equal(about(p, &flow), error || link);
		if (error || link)
			assert_int_equal(flow.version, error ? 6 : 0);
		if (error)
			assert_int_equal(flow.dst[15], 7);
	}
}

static void icmpv6_errors_look_behind_extension_headers(void **state)
{
	struct flow_table *t = *state;
	struct built p = {.len = 56}, e = {.len = 48 + 64};
	uint8_t *quote = e.bytes + 48;

	p.bytes[0] = 0x60;
	p.bytes[5] = 16;
	p.bytes[6] = IP_PROTO_UDP;
	p.bytes[23] = 1;
	p.bytes[39] = 2;
	store_u16be(p.bytes + 40, 5000);
	store_u16be(p.bytes + 42, 53);
	p.bytes[45] = 16;
	note(t, p, 1);
	memcpy(e.bytes, p.bytes, 40);
	e.bytes[5] = 8 + 64;
	e.bytes[6] = IP_PROTO_ICMPV6;
	e.bytes[23] = 2;
	e.bytes[39] = 1;
	e.bytes[40] = 1;
	memcpy(quote, p.bytes, 40);
	quote[6] = IP_PROTO_DSTOPTS;
	quote[40] = IP_PROTO_UDP;
	memcpy(quote + 48, p.bytes + 40, 16);
	assert_true(passes(t, e, 2));
	store_u16be(quote + 48, 5001);
	assert_false(passes(t, e, 2));
}

/* The id is that of the header; offset in units of 8 bytes. */
static struct built fragment(uint16_t id, uint16_t offset, bool more)
{
	struct built p = ipv4(1, 2, IP_PROTO_UDP, 16);

	store_u16be(p.bytes + 4, id);
	store_u16be(p.bytes + 6, (uint16_t)(offset | (more ? 0x2000 : 0)));
	store_u16be(p.bytes + 20, 5000);
	store_u16be(p.bytes + 22, 53);
	store_u16be(p.bytes + 24, 1000);
	return p;
}

static void later_fragments_follow_their_first(void **state)
{
	struct flow_table *t = *state;

	assert_false(passes(t, fragment(7, 2, true), 1));
	note(t, fragment(7, 0, true), 1);
	assert_true(passes(t, fragment(7, 2, true), 1));
	assert_true(passes(t, fragment(7, 4, false), 29 * SECOND));
	assert_false(passes(t, fragment(8, 2, true), 1));
	assert_false(passes(t, fragment(7, 2, true), 32 * SECOND));
}

static struct built fragment6(uint32_t id, uint16_t offset, uint8_t next)
{
	struct built p = {.len = 40 + 8 + 8 + 16};

	p.bytes[0] = 0x60;
	p.bytes[5] = (uint8_t)(p.len - 40);
	p.bytes[6] = IP_PROTO_DSTOPTS;
	p.bytes[23] = 1;
	p.bytes[39] = 2;
	p.bytes[40] = IP_PROTO_FRAGMENT;
	p.bytes[48] = next;
	store_u16be(p.bytes + 50, (uint16_t)(offset << 3 | 1));
	store_u32be(p.bytes + 52, id);
	p.bytes[61] = 16;
	return p;
}

static void later_fragments_of_ipv6_follow_their_first(void **state)
{
	struct flow_table *t = *state;

	note(t, fragment6(0x12345678, 0, IP_PROTO_UDP), 1);
	assert_int_equal(flow_count(t), 2);
	assert_true(passes(t, fragment6(0x12345678, 2, IP_PROTO_UDP), 1));
	assert_true(passes(t, fragment6(0x12345678, 4, IP_PROTO_TCP), 1));
	assert_false(passes(t, fragment6(0x12345679, 2, IP_PROTO_UDP), 1));
	assert_false(passes(t, fragment6(0x02345678, 2, IP_PROTO_UDP), 1));
}

static void at_the_limit_the_quietest_goes(void **state)
{
	struct flow_table *t = *state;

	for (uint16_t i = 0; i < 8; i++)
		note(t, udp(1, 2, i, 9), i + 1);
	assert_int_equal(flow_count(t), 8);
	assert_int_equal(flow_evicted(t), 0);
	note(t, udp(1, 2, 0, 9), 20);
	note(t, udp(1, 2, 8, 9), 21);
	assert_int_equal(flow_count(t), 8);
	assert_int_equal(flow_evicted(t), 1);
	assert_true(passes(t, udp(2, 1, 9, 0), 22));
	assert_false(passes(t, udp(2, 1, 9, 1), 22));
	assert_true(passes(t, udp(2, 1, 9, 2), 22));
	for (uint16_t i = 0; i < 1000; i++)
		note(t, udp(1, 2, i, 10), 30);
	assert_int_equal(flow_count(t), 8);
}

static bool keep_port_9(void *ctx, const struct ip_flow *flow)
{
	return flow->dst_port == 9;
}

static void a_filter_cuts_flows_and_forgets_fragments(void **state)
{
	struct flow_table *t = *state;

	note(t, udp(1, 2, 1, 9), 1);
	note(t, udp(1, 2, 1, 10), 1);
	note(t, fragment(7, 0, true), 1);
	flow_filter(t, keep_port_9, NULL);
	assert_int_equal(flow_count(t), 1);
	assert_true(passes(t, udp(2, 1, 9, 1), 2));
	assert_false(passes(t, udp(2, 1, 10, 1), 2));
	assert_false(passes(t, fragment(7, 2, true), 2));
}

static bool only_even_ports(void *ctx, const struct ip_flow *flow)
{
	return flow->src_port % 2 == 0;
}

static bool goes_on(struct flow_table *t, struct built p, uint64_t now)
{
	struct ip_view ip;

	assert_int_equal(ip_parse(p.bytes, p.len, &ip), IP_OK);
	return flow_goes_on(t, p.bytes, &ip, now);
}

static void what_was_noted_goes_on_in_its_direction_until_it_ends(void **state)
{
	struct flow_table *t = *state;

	assert_false(goes_on(t, udp(1, 2, 7, 8), 0));
	assert_int_equal(flow_count(t), 0);
	note(t, udp(1, 2, 7, 8), 0);
	assert_true(goes_on(t, udp(1, 2, 7, 8), 29 * SECOND));
	assert_false(goes_on(t, udp(2, 1, 8, 7), 29 * SECOND));
	assert_false(goes_on(t, udp(1, 2, 7, 9), 29 * SECOND));
	/* Each packet keeps it, and each reply. */
	assert_true(goes_on(t, udp(1, 2, 7, 8), 58 * SECOND));
	assert_true(passes(t, udp(2, 1, 8, 7), 60 * SECOND));
	assert_true(goes_on(t, udp(1, 2, 7, 8), 239 * SECOND));
	assert_false(goes_on(t, udp(1, 2, 7, 8), 419 * SECOND));
	assert_int_equal(flow_count(t), 0);
}

/* More flows than are remembered as recent, and some that go in between. */
static void what_was_found_last_is_forgotten_with_its_flow(void **state)
{
	struct flow_table *t = flow_table_new(128, seed);

	for (unsigned round = 0; round < 3; round++) {
		for (uint16_t i = 0; i < 64; i++)
			note(t, udp(1, 2, i, 9), 0);
		for (uint16_t i = 0; i < 64; i++)
			assert_true(goes_on(t, udp(1, 2, i, 9), SECOND));
		flow_filter(t, only_even_ports, NULL);
		for (uint16_t i = 0; i < 64; i++)
			assert_int_equal(goes_on(t, udp(1, 2, i, 9), SECOND), i % 2 == 0);
		/* The places of those that went are taken by others. */
		for (uint16_t i = 100; i < 132; i++)
			note(t, udp(3, 4, i, 9), 0);
		for (uint16_t i = 0; i < 64; i++)
			assert_int_equal(goes_on(t, udp(1, 2, i, 9), SECOND), i % 2 == 0);
	}
	flow_table_free(t);
}

static void a_table_for_nothing_holds_nothing(void **state)
{
	struct flow_table *t = flow_table_new(0, seed);

	note(t, udp(1, 2, 1, 9), 1);
	assert_int_equal(flow_count(t), 0);
	assert_false(passes(t, udp(2, 1, 9, 1), 2));
	flow_table_free(t);
	flow_table_free(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(only_replies_of_a_known_flow_pass),
		T(a_reply_that_begins_a_connection_is_none),
		T(what_answers_nothing_begins_nothing),
		T(flows_end_after_their_time),
		T(icmp_errors_pass_when_they_quote_a_known_flow),
		T(icmpv6_errors_look_behind_extension_headers),
		cmocka_unit_test(errors_say_which_packet_they_are_about),
		cmocka_unit_test(messages_of_a_link_are_about_nothing_that_was_sent),
		T(later_fragments_follow_their_first),
		T(later_fragments_of_ipv6_follow_their_first),
		T(at_the_limit_the_quietest_goes),
		T(a_filter_cuts_flows_and_forgets_fragments),
		T(what_was_noted_goes_on_in_its_direction_until_it_ends),
		T(what_was_found_last_is_forgotten_with_its_flow),
		cmocka_unit_test(a_table_for_nothing_holds_nothing),
	};

	return cmocka_run_group_tests_name("core/flow", tests, NULL, NULL);
}
