#include "fixture/test.h"

#include "wire/buf.h"
#include "wire/hex.h"
#include "wire/ip.h"

#include <stdbool.h>
#include <string.h>

enum { IP_PROTO_IPIP = 4, IP_PROTO_GRE = 47, IP_PROTO_SCTP = 132 };

/* Packets are put together piece by piece. */
struct packet {
	uint8_t mem[4096];
	struct writer w;
};

static void begin_ipv4(struct packet *p, uint8_t protocol, uint16_t fragment)
{
	writer_init(&p->w, p->mem, sizeof(p->mem));
	writer_u8(&p->w, 0x45);
	writer_zero(&p->w, 5);
	writer_u16be(&p->w, fragment);
	writer_u8(&p->w, 64);
	writer_u8(&p->w, protocol);
	writer_zero(&p->w, 2);
	writer_copy(&p->w, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
}

static void begin_ipv6(struct packet *p, uint8_t next)
{
	writer_init(&p->w, p->mem, sizeof(p->mem));
	writer_u32be(&p->w, 0x60000000);
	writer_u16be(&p->w, 0);
	writer_u8(&p->w, next);
	writer_u8(&p->w, 64);
	writer_zero(&p->w, 15);
	writer_u8(&p->w, 1);
	writer_zero(&p->w, 15);
	writer_u8(&p->w, 2);
}

/* An extension header of 8 bytes, all of whose other bytes look like port 22 to port 22. */
static void extension(struct packet *p, uint8_t next)
{
	writer_u8(&p->w, next);
	writer_u8(&p->w, 0);
	writer_copy(&p->w, "\x01\x00\x16\x00\x16\x00", 6);
}

static void fragment_header(struct packet *p, uint8_t next, uint16_t offset, bool more)
{
	writer_u8(&p->w, next);
	writer_u8(&p->w, 0);
	writer_u16be(&p->w, (uint16_t)(offset << 3 | more));
	writer_u32be(&p->w, 7);
}

/* Ports 40000 to 22, the header of TCP, 4 bytes of data. */
static void tcp(struct packet *p)
{
	writer_u16be(&p->w, 40000);
	writer_u16be(&p->w, 22);
	writer_zero(&p->w, 8);
	writer_u8(&p->w, 0x50);
	writer_u8(&p->w, 0x02);
	writer_zero(&p->w, 6);
	writer_copy(&p->w, "data", 4);
}

static void udp(struct packet *p, uint16_t len)
{
	writer_u16be(&p->w, 40000);
	writer_u16be(&p->w, 53);
	writer_u16be(&p->w, len);
	writer_zero(&p->w, len > 8 ? len - 6 : 2);
}

static enum ip_reason parse(struct packet *p, struct ip_view *v)
{
	size_t len = writer_len(&p->w);

	assert_false(p->w.failed);
	if (p->mem[0] >> 4 == 4)
		store_u16be(p->mem + 2, (uint16_t)len);
	else
		store_u16be(p->mem + 4, (uint16_t)(len - IPV6_HEADER_LEN));
	return ip_parse(p->mem, len, v);
}

static void assert_port_22(struct packet *p, size_t upper)
{
	struct ip_view v;

	assert_int_equal(parse(p, &v), IP_OK);
	assert_int_equal(v.protocol, IP_PROTO_TCP);
	assert_true(v.has_ports);
	assert_int_equal(v.src_port, 40000);
	assert_int_equal(v.dst_port, 22);
	assert_int_equal(v.tcp_flags, 2);
	assert_int_equal(v.upper, upper);
	assert_int_equal(v.payload, upper + 20);
	assert_int_equal(v.total_len, upper + 24);
}

static void assert_no_ports(struct packet *p, uint8_t protocol)
{
	struct ip_view v;

	assert_int_equal(parse(p, &v), IP_OK);
	assert_int_equal(v.protocol, protocol);
	assert_false(v.has_ports);
	assert_int_equal(v.src_port, 0);
	assert_int_equal(v.dst_port, 0);
}

static void ports_are_read_behind_plain_headers(void **state)
{
	struct packet p;
	struct ip_view v;

	begin_ipv4(&p, IP_PROTO_TCP, 0);
	tcp(&p);
	assert_port_22(&p, 20);
	begin_ipv6(&p, IP_PROTO_TCP);
	tcp(&p);
	assert_port_22(&p, 40);
	begin_ipv4(&p, IP_PROTO_UDP, 0x4000); /* don't fragment */
	udp(&p, 8);
	assert_int_equal(parse(&p, &v), IP_OK);
	assert_int_equal(v.dst_port, 53);
	assert_int_equal(v.payload, 28);
}

/* nebula #1840: a next header that is not parsed was read as TCP or UDP. */
static void protocols_that_are_not_parsed_have_no_ports(void **state)
{
	static const uint8_t protocols[] = {
		IP_PROTO_SCTP, IP_PROTO_GRE, IP_PROTO_IPIP, IP_PROTO_ESP, IP_PROTO_NONE, 41, 135,
		139,	       140,	     253,	    255};
	struct packet p;

	for (size_t i = 0; i < sizeof(protocols); i++) {
		begin_ipv6(&p, protocols[i]);
		tcp(&p);
		assert_no_ports(&p, protocols[i]);
		begin_ipv4(&p, protocols[i], 0);
		tcp(&p);
		assert_no_ports(&p, protocols[i]);
		begin_ipv6(&p, IP_PROTO_HOPOPTS);
		extension(&p, IP_PROTO_DSTOPTS);
		extension(&p, protocols[i]);
		tcp(&p);
		assert_no_ports(&p, protocols[i]);
	}
	/* the other family's ICMP, and IPv6 extension headers in IPv4, are just numbers */
	begin_ipv6(&p, IP_PROTO_ICMP);
	tcp(&p);
	assert_no_ports(&p, IP_PROTO_ICMP);
	begin_ipv4(&p, IP_PROTO_ICMPV6, 0);
	tcp(&p);
	assert_no_ports(&p, IP_PROTO_ICMPV6);
	begin_ipv4(&p, IP_PROTO_DSTOPTS, 0);
	extension(&p, IP_PROTO_TCP);
	tcp(&p);
	assert_no_ports(&p, IP_PROTO_DSTOPTS);
}

static void ports_are_read_behind_every_extension_header(void **state)
{
	struct packet p;

	begin_ipv6(&p, IP_PROTO_HOPOPTS);
	extension(&p, IP_PROTO_DSTOPTS);
	extension(&p, IP_PROTO_ROUTING);
	extension(&p, IP_PROTO_DSTOPTS);
	extension(&p, IP_PROTO_AH);
	writer_u8(&p.w, IP_PROTO_TCP); /* AH of (4 + 2) * 4 bytes */
	writer_u8(&p.w, 4);
	writer_zero(&p.w, 22);
	tcp(&p);
	assert_port_22(&p, 40 + 4 * 8 + 24);

	begin_ipv4(&p, IP_PROTO_AH, 0);
	writer_u8(&p.w, IP_PROTO_TCP);
	writer_u8(&p.w, 4);
	writer_zero(&p.w, 22);
	tcp(&p);
	assert_port_22(&p, 20 + 24);

	/* an atomic fragment is whole (RFC 6946) */
	begin_ipv6(&p, IP_PROTO_FRAGMENT);
	fragment_header(&p, IP_PROTO_TCP, 0, false);
	tcp(&p);
	assert_port_22(&p, 48);
}

static void chains_end_at_their_limit(void **state)
{
	struct packet p;
	struct ip_view v;

	for (unsigned n = IPV6_EXTENSIONS_MAX; n <= IPV6_EXTENSIONS_MAX + 1; n++) {
		begin_ipv6(&p, IP_PROTO_DSTOPTS);
		for (unsigned i = 0; i + 1 < n; i++)
			extension(&p, IP_PROTO_DSTOPTS);
		extension(&p, IP_PROTO_TCP);
		tcp(&p);
		if (n == IPV6_EXTENSIONS_MAX)
			assert_port_22(&p, 40 + 8 * n);
		else
			assert_int_equal(parse(&p, &v), IP_CHAIN);
	}
	/* hop-by-hop options stand first or not at all */
	begin_ipv6(&p, IP_PROTO_DSTOPTS);
	extension(&p, IP_PROTO_HOPOPTS);
	extension(&p, IP_PROTO_TCP);
	tcp(&p);
	assert_int_equal(parse(&p, &v), IP_CHAIN);
	/* one fragment header, also if the first one is atomic (RFC 6946) */
	for (int more = 0; more < 2; more++) {
		begin_ipv6(&p, IP_PROTO_FRAGMENT);
		fragment_header(&p, IP_PROTO_FRAGMENT, 0, more);
		fragment_header(&p, IP_PROTO_TCP, 0, true);
		tcp(&p);
		assert_int_equal(parse(&p, &v), IP_CHAIN);
	}
	/* a routing header of type 0 */
	begin_ipv6(&p, IP_PROTO_ROUTING);
	extension(&p, IP_PROTO_TCP);
	p.mem[42] = 0;
	tcp(&p);
	assert_int_equal(parse(&p, &v), IP_ROUTING);
	/* an extension header that is longer than the packet */
	begin_ipv6(&p, IP_PROTO_DSTOPTS);
	extension(&p, IP_PROTO_TCP);
	p.mem[41] = 4;
	tcp(&p);
	assert_int_equal(parse(&p, &v), IP_TRUNCATED);
}

static void first_fragments_have_ports_and_later_ones_have_not(void **state)
{
	struct packet p;
	struct ip_view v;

	begin_ipv4(&p, IP_PROTO_TCP, 0x2000);
	tcp(&p);
	assert_int_equal(parse(&p, &v), IP_OK);
	assert_int_equal(v.fragment, IP_FRAGMENT_FIRST);
	assert_int_equal(v.dst_port, 22);
	begin_ipv4(&p, IP_PROTO_TCP, 100);
	tcp(&p);
	assert_no_ports(&p, IP_PROTO_TCP);
	assert_int_equal(parse(&p, &v), IP_OK);
	assert_int_equal(v.fragment, IP_FRAGMENT_LATER);

	begin_ipv6(&p, IP_PROTO_FRAGMENT);
	fragment_header(&p, IP_PROTO_UDP, 0, true);
	udp(&p, 1000); /* the datagram goes on in the next fragment */
	p.w.pos -= 1000 - 16;
	assert_int_equal(parse(&p, &v), IP_OK);
	assert_int_equal(v.fragment, IP_FRAGMENT_FIRST);
	assert_int_equal(v.dst_port, 53);
	begin_ipv6(&p, IP_PROTO_FRAGMENT);
	fragment_header(&p, IP_PROTO_TCP, 100, false);
	tcp(&p);
	assert_no_ports(&p, IP_PROTO_TCP);
	/* what looks like an extension header in a later fragment is data */
	begin_ipv6(&p, IP_PROTO_FRAGMENT);
	fragment_header(&p, IP_PROTO_DSTOPTS, 100, false);
	extension(&p, IP_PROTO_TCP);
	tcp(&p);
	assert_no_ports(&p, IP_PROTO_DSTOPTS);
}

static void fragments_that_hide_the_header_are_refused(void **state)
{
	struct packet p;
	struct ip_view v;

	/* the first ends inside the header of TCP (RFC 1858) */
	begin_ipv4(&p, IP_PROTO_TCP, 0x2000);
	tcp(&p);
	p.w.pos -= 8;
	assert_int_equal(parse(&p, &v), IP_FRAGMENT);
	/* later ones that overwrite it (RFC 3128): offsets of 8 and 16 bytes; 24 is behind it */
	for (uint16_t offset = 1; offset <= 3; offset++) {
		begin_ipv4(&p, IP_PROTO_TCP, offset);
		tcp(&p);
		assert_int_equal(parse(&p, &v), offset < 3 ? IP_FRAGMENT : IP_OK);
		begin_ipv6(&p, IP_PROTO_FRAGMENT);
		fragment_header(&p, IP_PROTO_TCP, offset, false);
		tcp(&p);
		assert_int_equal(parse(&p, &v), offset < 3 ? IP_FRAGMENT : IP_OK);
	}
	/* the header chain is not whole in the first (RFC 7112) */
	begin_ipv6(&p, IP_PROTO_FRAGMENT);
	fragment_header(&p, IP_PROTO_DSTOPTS, 0, true);
	extension(&p, IP_PROTO_DSTOPTS);
	assert_int_equal(parse(&p, &v), IP_FRAGMENT);
	/* not a multiple of 8 and more to come; past 65535; empty */
	begin_ipv4(&p, IP_PROTO_UDP, 0x2000);
	udp(&p, 12);
	assert_int_equal(parse(&p, &v), IP_FRAGMENT);
	begin_ipv4(&p, IP_PROTO_UDP, 8191);
	writer_zero(&p.w, 7);
	assert_int_equal(parse(&p, &v), IP_OK);
	writer_zero(&p.w, 1);
	assert_int_equal(parse(&p, &v), IP_FRAGMENT);
	begin_ipv4(&p, IP_PROTO_UDP, 8);
	assert_int_equal(parse(&p, &v), IP_FRAGMENT);
}

static void lengths_that_lie_are_refused(void **state)
{
	struct packet p;
	struct ip_view v;
	size_t len;

	for (int version = 4; version <= 6; version += 2) {
		if (version == 4)
			begin_ipv4(&p, IP_PROTO_TCP, 0);
		else
			begin_ipv6(&p, IP_PROTO_TCP);
		tcp(&p);
		assert_int_equal(parse(&p, &v), IP_OK);
		len = writer_len(&p.w);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(ip_parse(p.mem, cut, &v), IP_TRUNCATED);
		/* bytes behind the packet are no part of it */
		assert_int_equal(ip_parse(p.mem, len + 9, &v), IP_OK);
		assert_int_equal(v.total_len, len);
	}
	begin_ipv4(&p, IP_PROTO_TCP, 0);
	tcp(&p);
	p.mem[0] = 0x44;
	assert_int_equal(parse(&p, &v), IP_HEADER);
	p.mem[0] = 0x55;
	assert_int_equal(ip_parse(p.mem, 44, &v), IP_VERSION);
	begin_ipv4(&p, IP_PROTO_TCP, 0);
	tcp(&p);
	p.mem[20 + 12] = 0x40;
	assert_int_equal(parse(&p, &v), IP_UPPER);
	p.mem[20 + 12] = 0x60;
	assert_int_equal(parse(&p, &v), IP_OK);
	p.mem[20 + 12] = 0x70;
	assert_int_equal(parse(&p, &v), IP_TRUNCATED);
	begin_ipv4(&p, IP_PROTO_UDP, 0);
	udp(&p, 7);
	assert_int_equal(parse(&p, &v), IP_UPPER);
	begin_ipv4(&p, IP_PROTO_UDP, 0);
	udp(&p, 9);
	p.w.pos--;
	assert_int_equal(parse(&p, &v), IP_TRUNCATED);
	begin_ipv6(&p, IP_PROTO_HOPOPTS);
	assert_int_equal(parse(&p, &v), IP_JUMBO);
	begin_ipv6(&p, IP_PROTO_NONE);
	assert_int_equal(parse(&p, &v), IP_OK);
}

static void source_routes_and_broken_options_are_refused(void **state)
{
	static const struct {
		const char *options;
		enum ip_reason want;
	} table[] = {
		{"\x01\x01\x01\x00", IP_OK},	  {"\x94\x04\x00\x00", IP_OK}, /* router alert */
		{"\x83\x04\x04\x00", IP_ROUTING}, {"\x01\x89\x03\x04", IP_ROUTING},
		{"\x07\x05\x04\x00", IP_HEADER},  {"\x07\x01\x04\x00", IP_HEADER},
		{"\x01\x01\x01\x07", IP_HEADER},  {"\x00\x83\x04\x04", IP_OK},
	};
	struct packet p;
	struct ip_view v;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		begin_ipv4(&p, IP_PROTO_TCP, 0);
		p.mem[0] = 0x46;
		writer_copy(&p.w, table[i].options, 4);
		tcp(&p);
		assert_int_equal(parse(&p, &v), table[i].want);
		if (table[i].want == IP_OK)
			assert_port_22(&p, 24);
	}
}

static void icmp_types_and_echo_identifiers_are_read(void **state)
{
	struct packet p;
	struct ip_view v;
	struct ip_flow flow, back;

	begin_ipv6(&p, IP_PROTO_DSTOPTS);
	extension(&p, IP_PROTO_ICMPV6);
	writer_copy(&p.w, "\x80\x00\x00\x00\x12\x34\x00\x01", 8);
	assert_int_equal(parse(&p, &v), IP_OK);
	assert_int_equal(v.icmp_type, 128);
	assert_false(v.has_ports);
	ip_flow_of(&v, &flow);
	assert_int_equal(flow.src_port, 0x1234);
	ip_flow_reverse(&flow, &back);
	assert_memory_equal(back.dst, v.src, 16);
	ip_flow_reverse(&back, &back);
	assert_memory_equal(&back, &flow, sizeof(flow));

	begin_ipv4(&p, IP_PROTO_ICMP, 0);
	writer_copy(&p.w, "\x03\x04\x00\x00\x00\x00\x05\xdc", 8);
	assert_int_equal(parse(&p, &v), IP_OK);
	assert_int_equal(v.icmp_type, 3);
	assert_int_equal(v.icmp_code, 4);
	assert_int_equal(v.src_port, 0);
	p.w.pos--;
	assert_int_equal(parse(&p, &v), IP_TRUNCATED);
}

/* The examples of RFC 1071, section 3, and RFC 1624, section 4. */
static void checksums_agree_with_what_is_published(void **state)
{
	static const uint8_t sample[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	uint8_t header[20];
	uint64_t sum;

	assert_int_equal(checksum_fold(checksum_add(0, sample, 8)), 0xffff & ~0xddf2);
	for (size_t cut = 0; cut <= 8; cut += 2) {
		sum = checksum_add(checksum_add(0, sample, cut), sample + cut, 8 - cut);
		assert_int_equal(checksum_fold(sum), 0xffff & ~0xddf2);
	}
	assert_int_equal(checksum_fold(checksum_add(0, sample + 1, 1)), 0xffff & ~0x0100);
	assert_true(hex_parse("45000073000040004011b861c0a80001c0a800c7", header, 20));
	assert_int_equal(ipv4_header_checksum(header, 20), 0xb861);
	assert_int_equal(checksum_update(0xdd2f, 0x5555, 0x3285), 0x0000); /* RFC 1624, 4 */
}

static void upper_checksums_come_out_zero_when_right(void **state)
{
	struct packet p;
	struct ip_view v;
	uint16_t sum, again;

	for (int version = 4; version <= 6; version += 2) {
		if (version == 4)
			begin_ipv4(&p, IP_PROTO_TCP, 0);
		else
			begin_ipv6(&p, IP_PROTO_TCP);
		tcp(&p);
		assert_int_equal(parse(&p, &v), IP_OK);
		sum = ip_upper_checksum(p.mem, &v);
		store_u16be(p.mem + v.upper + 16, sum);
		assert_int_equal(ip_upper_checksum(p.mem, &v), 0);
		/* a changed port, once worked out anew and once incrementally */
		again = checksum_update(sum, 22, 8022);
		store_u16be(p.mem + v.upper + 2, 8022);
		store_u16be(p.mem + v.upper + 16, again);
		assert_int_equal(ip_upper_checksum(p.mem, &v), 0);
		p.mem[v.payload] ^= 1;
		assert_int_not_equal(ip_upper_checksum(p.mem, &v), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_are_read_behind_plain_headers),
		cmocka_unit_test(protocols_that_are_not_parsed_have_no_ports),
		cmocka_unit_test(ports_are_read_behind_every_extension_header),
		cmocka_unit_test(chains_end_at_their_limit),
		cmocka_unit_test(first_fragments_have_ports_and_later_ones_have_not),
		cmocka_unit_test(fragments_that_hide_the_header_are_refused),
		cmocka_unit_test(lengths_that_lie_are_refused),
		cmocka_unit_test(source_routes_and_broken_options_are_refused),
		cmocka_unit_test(icmp_types_and_echo_identifiers_are_read),
		cmocka_unit_test(checksums_agree_with_what_is_published),
		cmocka_unit_test(upper_checksums_come_out_zero_when_right),
	};

	return cmocka_run_group_tests_name("wire/ip", tests, NULL, NULL);
}
