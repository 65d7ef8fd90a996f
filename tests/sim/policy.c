#include "sim/pair.h"

#include "core/mesh_parts.h"
#include "wire/buf.h"
#include "wire/ip.h"

#include <string.h>

/* A policy that lets bob begin TCP to port 22 of alice and nothing else, against packets of every
 * shape, at the sender and, past the sender's checks, at the receiver.
 *
 * Bug table: an IPv6 packet with an unparsed next header was read as TCP/UDP (nebula #1840);
 * two-way evaluation of a one-way policy (drasyl); egress limits enforced at one side only
 * (netmaker #1762). */

enum { HEADERS = 5, UPPER = 20, CHAIN_MAX = 3 };

/* What each packet may become, at either end. */
enum fate { FATE_PASSED, FATE_POLICY, FATE_MALFORMED, FATE_ICMP, FATE_FRAGMENT, FATES };

static const enum mesh_counter counters[2][FATES] = {
	{MESH_out_packets, MESH_out_policy, MESH_out_malformed, MESH_out_icmp_foreign,
	 MESH_out_fragment_policy},
	{MESH_in_packets, MESH_in_policy, MESH_in_malformed, MESH_in_icmp_foreign,
	 MESH_in_fragment_policy},
};

static const uint8_t headers[HEADERS] = {IP_PROTO_HOPOPTS, IP_PROTO_ROUTING, IP_PROTO_FRAGMENT,
					 IP_PROTO_AH, IP_PROTO_DSTOPTS};

struct packet6 {
	uint8_t bytes[200];
	size_t len;
};

static struct packet6 begin(const struct pair *p)
{
	struct packet6 packet = {.bytes = {0x60, [7] = 64}, .len = IPV6_HEADER_LEN};

	memcpy(packet.bytes + 8, member_address(p->bob).bytes, 16);
	memcpy(packet.bytes + 24, member_address(p->alice).bytes, 16);
	return packet;
}

/* A header of that type, whole and harmless, that says that `next` follows. */
static void put_header(struct packet6 *packet, uint8_t type, uint8_t next)
{
	uint8_t *h = packet->bytes + packet->len;
	size_t len = type == IP_PROTO_AH ? 24 : 8;

	memset(h, 0, len);
	h[0] = next;
	if (type == IP_PROTO_AH)
		h[1] = 4;
	else if (type == IP_PROTO_ROUTING)
		h[2] = 2;
	else if (type != IP_PROTO_FRAGMENT)
		memcpy(h + 2, (uint8_t[]){1, 4}, 2); /* PadN */
	packet->len += len;
}

/* Reads as TCP to port 22, as UDP to port 22, and as ports wherever somebody looks for them. */
static void put_port_22(struct packet6 *packet)
{
	uint8_t *h = packet->bytes + packet->len;

	memset(h, 0, UPPER);
	store_u16be(h, 0x8000); /* as ICMPv6: an echo request */
	store_u16be(h + 2, 22);
	store_u16be(h + 4, UPPER);
	h[12] = 0x50;
	h[13] = 2;
	packet->len += UPPER;
}

static void finish(struct packet6 *packet)
{
	store_u16be(packet->bytes + 4, (uint16_t)(packet->len - IPV6_HEADER_LEN));
}

/* Chain number n of all chains of up to CHAIN_MAX headers; false: there are no more. *ret_ok: the
 * order is one that RFC 8200 has, with one fragment header at most. */
static bool build(const struct pair *p, unsigned n, uint8_t upper, struct packet6 *ret,
		  bool *ret_ok)
{
	unsigned count = 0, all = 1, fragments = 0, digits[CHAIN_MAX];

	for (; n >= all; count++) {
		n -= all;
		all *= HEADERS;
		if (count == CHAIN_MAX)
			return false;
	}
	*ret = begin(p);
	*ret_ok = true;
	for (unsigned i = 0; i < count; i++, n /= HEADERS) {
		digits[i] = n % HEADERS;
		*ret_ok &= !i || headers[digits[i]] != IP_PROTO_HOPOPTS;
		fragments += headers[digits[i]] == IP_PROTO_FRAGMENT;
	}
	*ret_ok &= fragments <= 1;
	ret->bytes[6] = count ? headers[digits[0]] : upper;
	for (unsigned i = 0; i < count; i++)
		put_header(ret, headers[digits[i]], i + 1 < count ? headers[digits[i + 1]] : upper);
	put_port_22(ret);
	finish(ret);
	return true;
}

static bool is_header(uint8_t protocol)
{
	return memchr(headers, protocol, HEADERS);
}

static void set_policy(struct pair *p)
{
	struct acl_rule rule = {.src = {.kind = ACL_NODE},
				.dst = {.kind = ACL_NODE},
				.protocol = IP_PROTO_TCP,
				.port_low = 22,
				.port_high = 22};

	rule.src.node = *member_key(p->bob);
	rule.dst.node = *member_key(p->alice);
	assert_int_equal(member_set_policy(p->alice, &rule, 1), 0);
	assert_int_equal(member_set_policy(p->bob, &rule, 1), 0);
}

static void make(struct pair *p, uint64_t seed)
{
	struct flow *there;

	pair_make(p, seed, NO_NAT, NO_NAT);
	there = world_add_flow(p->w, p->bob, p->alice, 100 * SIM_MS, 100);
	world_run(p->w, 2 * SIM_SECOND);
	flow_stop(there);
	world_run(p->w, 100 * SIM_MS);
	set_policy(p);
}

struct sums {
	uint64_t at[2][FATES];
};

static struct sums sums(const struct pair *p)
{
	struct sums s;

	for (unsigned i = 0; i < FATES; i++) {
		s.at[0][i] = mesh_counter(member_mesh(p->bob), counters[0][i]);
		s.at[1][i] = mesh_counter(member_mesh(p->alice), counters[1][i]);
	}
	return s;
}

/* The packet through both ends' checks, then past bob's. */
static void send_both(struct pair *p, const struct packet6 *packet)
{
	struct mesh_peer *to = member_peer(p->bob, p->alice);
	const struct path *path = path_current(&to->paths);

	member_send_raw(p->bob, packet->bytes, packet->len);
	assert_non_null(path);
	assert_int_equal(
		peer_send_frame(to->peer, &path->via, packet->bytes, packet->len, world_now(p->w)),
		0);
}

/* One more of that fate at the sender; at the receiver too, and again if the sender let it go. */
static void expect(struct sums *s, enum fate fate)
{
	s->at[0][fate]++;
	s->at[1][fate] += 1 + (fate == FATE_PASSED);
}

static void assert_sums(const struct pair *p, const struct sums *expected, unsigned number)
{
	struct sums now = sums(p);

	for (unsigned end = 0; end < 2; end++)
		for (unsigned i = 0; i < FATES; i++)
			if (now.at[end][i] != expected->at[end][i])
				fail_msg("chain %u: %s is %llu and not %llu", number,
					 mesh_counter_name(counters[end][i]),
					 (unsigned long long)now.at[end][i],
					 (unsigned long long)expected->at[end][i]);
}

static void only_what_is_tcp_behind_any_chain_passes_a_rule_for_tcp(void **state)
{
	struct packet6 packet;
	struct sums expected;
	bool in_order = true;
	struct pair p;
	unsigned n;

	make(&p, 700);
	expected = sums(&p);
	for (n = 0; build(&p, n, IP_PROTO_TCP, &packet, &in_order); n++) {
		for (unsigned upper = 0; upper < 256; upper++) {
			if (is_header((uint8_t)upper))
				continue;
			build(&p, n, (uint8_t)upper, &packet, &in_order);
			send_both(&p, &packet);
			expect(&expected, !in_order		  ? FATE_MALFORMED
					  : upper == IP_PROTO_TCP ? FATE_PASSED
								  : FATE_POLICY);
		}
		world_run(p.w, 100 * SIM_MS);
		assert_sums(&p, &expected, n);
	}
	assert_int_equal(n, 1 + 5 + 25 + 125);
	world_free(p.w);
}

static struct packet6 fragment(const struct pair *p, uint8_t upper, unsigned offset, bool more,
			       uint8_t id, size_t len)
{
	struct packet6 packet = begin(p);
	uint8_t *h = packet.bytes + IPV6_HEADER_LEN;

	packet.bytes[6] = IP_PROTO_FRAGMENT;
	put_header(&packet, IP_PROTO_FRAGMENT, upper);
	store_u16be(h + 2, (uint16_t)(offset * 8 | more));
	h[7] = id;
	put_port_22(&packet);
	packet.len += len - UPPER;
	finish(&packet);
	return packet;
}

static void fragments_do_not_get_round_a_rule(void **state)
{
	/* In this order: a later one passes when the first one of its datagram did. */
	static const struct {
		uint8_t upper;
		unsigned offset;
		bool more;
		uint8_t id;
		size_t len;
		enum fate fate;
	} table[] = {
		{IP_PROTO_TCP, 3, true, 1, 24, FATE_FRAGMENT},	    /* before its first */
		{IP_PROTO_TCP, 0, true, 1, 24, FATE_PASSED},	    /* the first */
		{IP_PROTO_TCP, 3, true, 1, 24, FATE_PASSED},	    /* a later one */
		{IP_PROTO_TCP, 6, false, 1, 20, FATE_PASSED},	    /* the last */
		{IP_PROTO_TCP, 3, true, 2, 24, FATE_FRAGMENT},	    /* of another datagram */
		{IP_PROTO_TCP, 1, true, 1, 24, FATE_MALFORMED},	    /* over the ports and flags */
		{IP_PROTO_TCP, 2, true, 1, 24, FATE_MALFORMED},	    /* over the flags */
		{IP_PROTO_TCP, 0, true, 3, 16, FATE_MALFORMED},	    /* tiny */
		{IP_PROTO_TCP, 0, true, 3, 21, FATE_MALFORMED},	    /* not in units of 8 */
		{IP_PROTO_TCP, 8191, false, 1, 24, FATE_MALFORMED}, /* past 65,535 */
		{IP_PROTO_UDP, 0, true, 4, 24, FATE_POLICY},	    /* what no rule allows */
		{IP_PROTO_UDP, 3, false, 4, 24, FATE_FRAGMENT},	    /* and its later one */
		{132, 0, true, 5, 24, FATE_POLICY},		    /* reads as port 22 */
		{132, 3, false, 5, 24, FATE_FRAGMENT},
		{IP_PROTO_HOPOPTS, 0, true, 6, 24, FATE_MALFORMED}, /* a chain out of order */
		{IP_PROTO_DSTOPTS, 0, true, 7, 24, FATE_POLICY},    /* protocol 128 behind it */
	};
	struct sums expected;
	struct pair p;

	make(&p, 710);
	expected = sums(&p);
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct packet6 packet = fragment(&p, table[i].upper, table[i].offset, table[i].more,
						 table[i].id, table[i].len);

		send_both(&p, &packet);
		world_run(p.w, 100 * SIM_MS);
		expect(&expected, table[i].fate);
		assert_sums(&p, &expected, i);
	}
	world_free(p.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_tcp_behind_any_chain_passes_a_rule_for_tcp),
		cmocka_unit_test(fragments_do_not_get_round_a_rule),
	};

	return cmocka_run_group_tests_name("sim/policy", tests, NULL, NULL);
}
