#include "fixture/test.h"

#include "fixture/vectors.h"
#include "wire/hash.h"
#include "wire/hex.h"
#include "wire/p2p.h"
#include "wire/tx.h"

#include <stdio.h>
#include <string.h>

static const uint8_t magic[P2P_MAGIC_LEN] = {0xf9, 0xbe, 0xb4, 0xd9};

/* A whole message, taken apart; its payload stays in data. */
static struct p2p_message opened(const void *data, size_t len)
{
	struct p2p_message m = {0};
	size_t need = 0;

	assert_int_equal(p2p_open(magic, data, len, &m, &need), P2P_OK);
	assert_int_equal(m.size, len);
	return m;
}

static void a_frame_is_read_as_soon_as_its_last_byte_is_there(void **state)
{
	uint8_t mem[64];
	struct p2p_message m;
	struct writer w;
	uint64_t nonce = 0;
	size_t need, mark;

	writer_init(&w, mem, sizeof(mem));
	mark = p2p_begin(&w, magic, P2P_PING);
	p2p_ping_write(&w, 0x0102030405060708);
	p2p_end(&w, mark);
	assert_false(w.failed);
	assert_int_equal(writer_len(&w), 32);
	for (size_t len = 0; len < 32; len++) {
		assert_int_equal(p2p_open(magic, mem, len, &m, &need), P2P_SHORT);
		assert_int_equal(need, len < P2P_HEADER_LEN ? P2P_HEADER_LEN : 32);
	}
	/* and what follows is left alone */
	assert_int_equal(p2p_open(magic, mem, 64, &m, &need), P2P_OK);
	assert_int_equal(m.size, 32);
	assert_int_equal(m.type, P2P_PING);
	assert_true(p2p_ping_parse(m.payload.data, m.payload.len, &nonce));
	assert_true(nonce == 0x0102030405060708);
	assert_false(p2p_ping_parse(m.payload.data, 7, &nonce));
}

/* developer.bitcoin.org, reference/p2p_networking: verack. */
static void the_documented_verack_is_what_is_written(void **state)
{
	static const uint8_t want[] = "\xf9\xbe\xb4\xd9verack\0\0\0\0\0\0\0\0\0\0\x5d\xf6\xe0\xe2";
	uint8_t mem[P2P_HEADER_LEN];
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	p2p_write(&w, magic, P2P_VERACK, NULL, 0);
	assert_false(w.failed);
	assert_memory_equal(mem, want, P2P_HEADER_LEN);
	assert_int_equal(opened(mem, sizeof(mem)).type, P2P_VERACK);
}

/* Bitcoin Wiki, Protocol documentation: version of /Satoshi:0.7.2/. */
static void the_documented_version_is_read(void **state)
{
	static const char hex[] =
		"F9BEB4D976657273696F6E0000000000640000003B648D5A"
		"62EA0000010000000000000011B2D050000000000100000000000000"
		"00000000000000000000FFFF000000000000010000000000000000000000000000"
		"000000FFFF0000000000003B2EB35D8CE617650F2F5361746F7368693A302E372E322FC03E0300";
	uint8_t raw[124];
	struct p2p_version v;
	struct p2p_message m;

	assert_true(hex_parse(hex, raw, sizeof(raw)));
	m = opened(raw, sizeof(raw));
	assert_int_equal(m.type, P2P_VERSION);
	assert_true(p2p_version_parse(m.payload.data, m.payload.len, &v));
	assert_int_equal(v.version, 60002);
	assert_int_equal(v.services, P2P_NODE_NETWORK);
	assert_int_equal(v.time, 1355854353);
	assert_int_equal(v.receiver.services, P2P_NODE_NETWORK);
	assert_int_equal(v.receiver.endpoint.addr.family, ADDR_V4);
	assert_true(v.nonce == 0x6517e68c5db32e3b);
	assert_int_equal(v.agent.len, 15);
	assert_memory_equal(v.agent.data, "/Satoshi:0.7.2/", 15);
	assert_int_equal(v.height, 212672);
	assert_true(v.relay);
	assert_false(p2p_version_parse(m.payload.data, m.payload.len - 1, &v));
}

/* Bitcoin Core's src/test/net_tests.cpp: three addresses in both forms. */
static void addresses_are_read_as_nodes_write_them(void **state)
{
	static const char v1_hex[] = "03"
				     "61bc66490000000000000000000000000000000000000000000000010000"
				     "7962768301000000000000000000000000000000000000000000000100f1"
				     "ffffffff480400000000000000000000000000000000000000000001f1f2";
	static const char v2_hex[] = "03"
				     "61bc6649000210000000000000000000000000000000010000"
				     "796276830102100000000000000000000000000000000100f1"
				     "fffffffffd4804021000000000000000000000000000000001f1f2";
	static const struct {
		uint32_t time;
		uint64_t services;
		uint16_t port;
	} want[] = {{0x4966bc61, 0, 0}, {0x83766279, 1, 0xf1}, {0xffffffff, 0x448, 0xf1f2}};
	uint8_t v1[91], v2[78], back[91];
	struct p2p_addr items[3];
	struct endpoint e;
	struct p2p_addrs it;
	struct writer w;

	assert_true(hex_parse(v1_hex, v1, sizeof(v1)));
	assert_true(hex_parse(v2_hex, v2, sizeof(v2)));
	for (int form = 0; form < 2; form++) {
		enum p2p_type type = form ? P2P_ADDRV2 : P2P_ADDR;
		const uint8_t *raw = form ? v2 : v1;
		size_t len = form ? sizeof(v2) : sizeof(v1);

		assert_true(p2p_addrs_parse(type, raw, len, &it));
		for (size_t i = 0; i < 3; i++) {
			assert_true(p2p_addr_next(&it, &items[i]));
			assert_true(items[i].time == want[i].time &&
				    items[i].services == want[i].services &&
				    items[i].port == want[i].port);
			assert_int_equal(items[i].network, P2P_NET_IPV6);
			assert_true(p2p_addr_endpoint(&items[i], &e));
			assert_int_equal(e.addr.family, ADDR_V6);
			assert_int_equal(e.addr.bytes[15], 1);
		}
		assert_false(p2p_addr_next(&it, &items[0]));
		writer_init(&w, back, sizeof(back));
		p2p_addrs_write(&w, type, items, 3);
		assert_true(!w.failed && writer_len(&w) == len);
		assert_memory_equal(back, raw, len);
	}
}

/* One addrv2 entry of a network with a host of so many bytes. */
static bool takes(uint8_t network, size_t len, struct p2p_addr *ret)
{
	static uint8_t mem[1024];
	struct p2p_addrs it;
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	writer_u8(&w, 1);
	writer_u32(&w, 5);
	writer_u8(&w, 9);
	writer_u8(&w, network);
	writer_compact(&w, len);
	for (size_t i = 0; i < len; i++)
		writer_u8(&w, (uint8_t)(i + 1));
	writer_u16be(&w, 8333);
	assert_false(w.failed);
	return p2p_addrs_parse(P2P_ADDRV2, mem, writer_len(&w), &it) && p2p_addr_next(&it, ret);
}

static void each_network_has_its_length_and_unknown_ones_any(void **state)
{
	static const struct {
		uint8_t network;
		size_t len;
	} lens[] = {{P2P_NET_IPV4, 4},	 {P2P_NET_IPV6, 16}, {P2P_NET_TORV2, 10},
		    {P2P_NET_TORV3, 32}, {P2P_NET_I2P, 32},  {P2P_NET_CJDNS, 16}};
	struct p2p_addr a;
	struct endpoint e;

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		assert_true(takes(lens[i].network, lens[i].len, &a));
		assert_int_equal(a.host.len, lens[i].len);
		assert_int_equal(p2p_addr_endpoint(&a, &e), lens[i].network <= P2P_NET_IPV6);
		assert_false(takes(lens[i].network, lens[i].len - 1, &a));
		assert_false(takes(lens[i].network, lens[i].len + 1, &a));
	}
	assert_true(takes(99, 0, &a));
	assert_true(takes(99, P2P_ADDR_HOST_MAX, &a));
	assert_false(p2p_addr_endpoint(&a, &e));
	assert_false(takes(99, P2P_ADDR_HOST_MAX + 1, &a));
}

static void an_ipv6_address_that_is_another_network_is_no_endpoint(void **state)
{
	static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 1, 2, 3, 4};
	static const uint8_t onion[16] = {0xfd, 0x87, 0xd8, 0x7e, 0xeb, 0x43, 1};
	struct p2p_addr a = {.network = P2P_NET_IPV6, .host = {mapped, 16}, .port = 1}, back;
	struct p2p_addrs it;
	struct endpoint e;
	uint8_t mem[64];
	struct writer w;

	assert_false(p2p_addr_endpoint(&a, &e));
	a.host.data = onion;
	assert_false(p2p_addr_endpoint(&a, &e));
	/* in the old form these are how IPv4 and Tor v2 are written */
	writer_init(&w, mem, sizeof(mem));
	a.host.data = mapped;
	p2p_addrs_write(&w, P2P_ADDR, &a, 1);
	assert_true(p2p_addrs_parse(P2P_ADDR, mem, writer_len(&w), &it));
	assert_true(p2p_addr_next(&it, &back));
	assert_int_equal(back.network, P2P_NET_IPV4);
	assert_true(p2p_addr_endpoint(&back, &e));
	assert_int_equal(e.addr.family, ADDR_V4);
	assert_memory_equal(e.addr.bytes, "\1\2\3\4", 4);
	/* which has no room for others */
	a.network = P2P_NET_CJDNS;
	writer_init(&w, mem, sizeof(mem));
	p2p_addrs_write(&w, P2P_ADDR, &a, 1);
	assert_true(w.failed);
}

static void a_frame_of_another_kind_is_named(void **state)
{
	uint8_t mem[P2P_HEADER_LEN + 8], copy[sizeof(mem)];
	struct p2p_message m;
	struct writer w;
	size_t need, mark;

	writer_init(&w, mem, sizeof(mem));
	mark = p2p_begin(&w, magic, P2P_PING);
	p2p_ping_write(&w, 7);
	p2p_end(&w, mark);
	for (size_t bit = 0; bit < 8 * sizeof(mem); bit++) {
		enum p2p_reason reason;

		memcpy(copy, mem, sizeof(mem));
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		reason = p2p_open(magic, copy, sizeof(copy), &m, &need);
		if (bit / 8 < 4)
			assert_int_equal(reason, P2P_BAD_MAGIC);
		else if (bit / 8 < 16)
			assert_true(reason == P2P_BAD_COMMAND ||
				    (reason == P2P_OK && m.type != P2P_PING));
		else if (bit / 8 < 20) /* shorter has another checksum; a ping has 8 bytes */
			assert_true(reason == P2P_BAD_LENGTH || reason == P2P_BAD_CHECKSUM);
		else
			assert_int_equal(reason, P2P_BAD_CHECKSUM);
	}
	memcpy(mem + 4, "two words\0\0\0", 12);
	assert_int_equal(p2p_open(magic, mem, sizeof(mem), &m, &need), P2P_OK);
	assert_int_equal(m.type, P2P_OTHER);
	memcpy(mem + 4, "ping\0ping\0\0\0", 12);
	assert_int_equal(p2p_open(magic, mem, sizeof(mem), &m, &need), P2P_BAD_COMMAND);
	memset(mem + 4, 0, 12);
	assert_int_equal(p2p_open(magic, mem, sizeof(mem), &m, &need), P2P_BAD_COMMAND);
}

static void each_command_is_as_long_as_it_may_be_and_no_longer(void **state)
{
	static uint8_t mem[P2P_HEADER_LEN + P2P_MESSAGE_MAX + 1];
	struct p2p_message m;
	struct writer w;
	size_t need;

	for (int type = P2P_VERSION; type <= P2P_CFILTER; type++) {
		uint32_t max = p2p_type_max((enum p2p_type)type);

		memset(mem, 0, sizeof(mem));
		writer_init(&w, mem, sizeof(mem));
		p2p_write(&w, magic, (enum p2p_type)type, mem + P2P_HEADER_LEN, max);
		assert_false(w.failed);
		assert_int_equal(p2p_open(magic, mem, P2P_HEADER_LEN + (size_t)max, &m, &need),
				 P2P_OK);
		assert_int_equal(m.type, type);
		store_u32(mem + 16, max + 1);
		assert_int_equal(p2p_open(magic, mem, P2P_HEADER_LEN, &m, &need), P2P_BAD_LENGTH);
		memset(mem, 0, P2P_HEADER_LEN);
		writer_init(&w, mem, sizeof(mem));
		p2p_write(&w, magic, (enum p2p_type)type, mem + P2P_HEADER_LEN, (size_t)max + 1);
		assert_true(w.failed);
	}
	writer_init(&w, mem, 12);
	p2p_write(&w, magic, P2P_VERACK, NULL, 0);
	assert_true(w.failed);
}

typedef bool (*parse_count)(const uint8_t *data, size_t len);

static bool parses_getheaders(const uint8_t *data, size_t len)
{
	struct p2p_getheaders m;

	return p2p_getheaders_parse(data, len, &m);
}

static bool parses_headers(const uint8_t *data, size_t len)
{
	struct p2p_headers m;

	return p2p_headers_parse(data, len, &m);
}

static bool parses_invs(const uint8_t *data, size_t len)
{
	struct p2p_invs m;

	return p2p_invs_parse(data, len, &m);
}

static bool parses_addrs(const uint8_t *data, size_t len)
{
	struct p2p_addrs m;

	return p2p_addrs_parse(P2P_ADDR, data, len, &m);
}

static bool parses_cfcheckpt(const uint8_t *data, size_t len)
{
	struct p2p_cfcheckpt m;

	return p2p_cfcheckpt_parse(data, len, &m);
}

static bool parses_cfheaders(const uint8_t *data, size_t len)
{
	struct p2p_cfheaders m;

	return p2p_cfheaders_parse(data, len, &m);
}

static bool parses_cfilter(const uint8_t *data, size_t len)
{
	struct p2p_cfilter m;

	return p2p_cfilter_parse(data, len, &m);
}

static void each_list_has_as_many_as_it_may_and_no_more(void **state)
{
	static const struct {
		parse_count parse;
		size_t before, size, after;
		uint32_t max;
	} lists[] = {
		{parses_getheaders, 4, HASH_LEN, HASH_LEN, P2P_LOCATOR_MAX},
		{parses_headers, 0, P2P_HEADERS_STRIDE, 0, P2P_HEADERS_MAX},
		{parses_invs, 0, P2P_INV_LEN, 0, P2P_INVS_MAX},
		{parses_addrs, 0, 30, 0, P2P_ADDRS_MAX},
		{parses_cfcheckpt, 33, HASH_LEN, 0, P2P_CFCHECKPT_MAX},
		{parses_cfheaders, 65, HASH_LEN, 0, P2P_CFHEADERS_MAX},
		{parses_cfilter, 33, 1, 0, P2P_FILTER_MAX},
	};
	static uint8_t mem[2 << 20];
	struct writer w;
	size_t len;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		for (uint32_t more = 0; more < 2; more++) {
			memset(mem, 0, sizeof(mem));
			writer_init(&w, mem + lists[i].before, sizeof(mem) - lists[i].before);
			writer_compact(&w, lists[i].max + more);
			len = lists[i].before + writer_len(&w) +
			      (lists[i].max + more) * lists[i].size + lists[i].after;
			assert_true(len <= sizeof(mem));
			assert_int_equal(lists[i].parse(mem, len), !more);
		}
		/* one that is not there, and one byte behind */
		memset(mem, 0, sizeof(mem));
		mem[lists[i].before] = 3;
		len = lists[i].before + 1 + 3 * lists[i].size + lists[i].after;
		assert_true(lists[i].parse(mem, len));
		assert_false(lists[i].parse(mem, len - 1));
		assert_false(lists[i].parse(mem, len + 1));
		/* a count that is not the shortest */
		memset(mem, 0, sizeof(mem));
		mem[lists[i].before] = 0xfd;
		assert_false(lists[i].parse(mem, lists[i].before + 3 + lists[i].after));
	}
}

static void a_header_with_transactions_is_refused(void **state)
{
	uint8_t raw[2 * BLOCK_HEADER_LEN] = {1}, mem[200];
	struct p2p_headers m;
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	p2p_headers_write(&w, raw, 2);
	assert_int_equal(writer_len(&w), 163);
	assert_true(p2p_headers_parse(mem, 163, &m));
	assert_int_equal(m.count, 2);
	assert_memory_equal(p2p_headers_at(&m, 0), raw, BLOCK_HEADER_LEN);
	mem[162] = 1;
	assert_false(p2p_headers_parse(mem, 163, &m));
}

static void a_version_is_written_and_read_whole(void **state)
{
	struct p2p_version v = {
		.version = 70016,
		.services = 0x409,
		.time = -5,
		.receiver = {1, {{ADDR_V4, {1, 2, 3, 4}}, 8333}},
		.sender = {2, {{ADDR_V6, {0xfd, 1}}, 9}},
		.nonce = 77,
		.agent = {(const uint8_t *)"/dnet/", 6},
		.height = -1,
		.relay = false,
	};
	static uint8_t agent[P2P_AGENT_MAX + 1];
	struct p2p_version back;
	uint8_t mem[512];
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	p2p_version_write(&w, &v);
	assert_true(p2p_version_parse(mem, writer_len(&w), &back));
	assert_true(back.version == v.version && back.services == v.services &&
		    back.time == v.time && back.nonce == v.nonce && back.height == v.height &&
		    !back.relay);
	assert_true(endpoint_equal(&back.receiver.endpoint, &v.receiver.endpoint));
	assert_true(endpoint_equal(&back.sender.endpoint, &v.sender.endpoint));
	/* bytes of versions to come */
	mem[writer_len(&w)] = 42;
	assert_true(p2p_version_parse(mem, writer_len(&w) + 1, &back));
	/* the relay byte is of BIP37, and may be missing */
	assert_true(p2p_version_parse(mem, writer_len(&w) - 1, &back));
	assert_true(back.relay);
	v.agent = (struct span){agent, P2P_AGENT_MAX};
	writer_init(&w, mem, sizeof(mem));
	p2p_version_write(&w, &v);
	assert_true(!w.failed && p2p_version_parse(mem, writer_len(&w), &back));
	v.agent.len++;
	writer_init(&w, mem, sizeof(mem));
	p2p_version_write(&w, &v);
	assert_true(w.failed);
}

struct recorded {
	uint8_t payload[16384];
	char hex[2 * 16384 + 1];
	char line[2 * 16384 + 100];
	size_t len;
};

static bool parse_any(enum p2p_type type, const uint8_t *data, size_t len)
{
	struct p2p_filter_range range;
	struct p2p_getcfcheckpt checkpt;
	struct p2p_version version;
	struct block_view block;
	uint64_t nonce;

	switch (type) {
	case P2P_VERSION:
		return p2p_version_parse(data, len, &version) &&
		       version.services & P2P_NODE_COMPACT_FILTERS;
	case P2P_PING:
	case P2P_PONG:
		return p2p_ping_parse(data, len, &nonce);
	case P2P_GETHEADERS:
		return parses_getheaders(data, len);
	case P2P_HEADERS:
		return parses_headers(data, len);
	case P2P_INV:
	case P2P_GETDATA:
	case P2P_NOTFOUND:
		return parses_invs(data, len);
	case P2P_BLOCK:
		return block_open(&block, data, len) == TX_OK && block_merkle_ok(data, len) &&
		       block_witness_ok(data, len);
	case P2P_GETCFCHECKPT:
		return p2p_getcfcheckpt_parse(data, len, &checkpt);
	case P2P_CFCHECKPT:
		return parses_cfcheckpt(data, len);
	case P2P_GETCFHEADERS:
	case P2P_GETCFILTERS:
		return p2p_filter_range_parse(data, len, &range);
	case P2P_CFHEADERS:
		return parses_cfheaders(data, len);
	case P2P_CFILTER:
		return parses_cfilter(data, len);
	case P2P_VERACK:
	case P2P_SENDHEADERS:
	case P2P_SENDADDRV2:
		return !len;
	case P2P_OTHER:
		return true;
	case P2P_TX:
	case P2P_GETADDR:
	case P2P_ADDR:
	case P2P_ADDRV2:
		break;
	}
	return false;
}

static void what_a_real_node_says_is_read(void **state)
{
	static uint8_t frame[16384 + P2P_HEADER_LEN];
	static struct recorded rec;
	FILE *f = vectors_open("p2p.txt");
	unsigned known = 0, other = 0;
	char who[8], command[16], sum[9], got[9];

	while (vectors_line(f, rec.line, sizeof(rec.line))) {
		struct p2p_message m;
		enum p2p_type type = P2P_OTHER;
		struct writer w;

		assert_int_equal(
			sscanf(rec.line, "%7s %15s %32768s %8s", who, command, rec.hex, sum), 4);
		rec.len = 0;
		if (strcmp(rec.hex, "-") != 0)
			assert_true(
				hex_parse_any(rec.hex, rec.payload, sizeof(rec.payload), &rec.len));
		for (int i = P2P_VERSION; i <= P2P_CFILTER; i++)
			if (strcmp(p2p_type_command((enum p2p_type)i), command) == 0)
				type = (enum p2p_type)i;
		if (strcmp(who, "node") == 0)
			assert_true(parse_any(type, rec.payload, rec.len));
		if (type == P2P_OTHER) {
			other++;
			continue;
		}
		known++;
		writer_init(&w, frame, sizeof(frame));
		p2p_write(&w, magic, type, rec.payload, rec.len);
		hex_format(frame + 20, 4, got);
		assert_string_equal(got, sum);
		m = opened(frame, writer_len(&w));
		assert_int_equal(m.type, type);
	}
	assert_true(known >= 20 && other >= 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_read_as_soon_as_its_last_byte_is_there),
		cmocka_unit_test(the_documented_verack_is_what_is_written),
		cmocka_unit_test(the_documented_version_is_read),
		cmocka_unit_test(addresses_are_read_as_nodes_write_them),
		cmocka_unit_test(each_network_has_its_length_and_unknown_ones_any),
		cmocka_unit_test(an_ipv6_address_that_is_another_network_is_no_endpoint),
		cmocka_unit_test(a_frame_of_another_kind_is_named),
		cmocka_unit_test(each_command_is_as_long_as_it_may_be_and_no_longer),
		cmocka_unit_test(each_list_has_as_many_as_it_may_and_no_more),
		cmocka_unit_test(a_header_with_transactions_is_refused),
		cmocka_unit_test(a_version_is_written_and_read_whole),
		cmocka_unit_test(what_a_real_node_says_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
