#include "fixture/test.h"

#include "core/icmp.h"
#include "wire/buf.h"
#include "wire/ip.h"

#include <string.h>

static uint8_t packet[2000], out[ICMP_ERROR_MAX];

static size_t ipv4(uint8_t protocol, size_t len)
{
	memset(packet, 0, sizeof(packet));
	packet[0] = 0x45;
	store_u16be(packet + 2, (uint16_t)len);
	packet[8] = 64;
	packet[9] = protocol;
	memcpy(packet + 12, (uint8_t[]){10, 0, 0, 1, 10, 0, 0, 2}, 8);
	if (protocol == IP_PROTO_UDP)
		store_u16be(packet + 24, (uint16_t)(len - 20));
	return len;
}

static size_t ipv6(uint8_t protocol, size_t len)
{
	memset(packet, 0, sizeof(packet));
	packet[0] = 0x60;
	store_u16be(packet + 4, (uint16_t)(len - 40));
	packet[6] = protocol;
	packet[8] = packet[24] = 0xfd;
	packet[23] = 1;
	packet[39] = 2;
	if (protocol == IP_PROTO_UDP)
		store_u16be(packet + 44, (uint16_t)(len - 40));
	return len;
}

static void an_error_is_right_in_all_its_fields(void **state)
{
	static const struct {
		enum icmp_problem problem;
		uint8_t type4, code4, type6, code6;
	} table[] = {
		{ICMP_NO_ROUTE, 3, 0, 1, 0},
		{ICMP_PROHIBITED, 3, 13, 1, 1},
		{ICMP_UNREACHABLE, 3, 1, 1, 3},
		{ICMP_TOO_BIG, 3, 4, 2, 0},
	};
	struct ip_view ip;
	size_t len;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		len = icmp_error(table[i].problem, 1420, packet, ipv4(IP_PROTO_UDP, 100), out);
		assert_int_equal(len, 128);
		assert_int_equal(ip_parse(out, len, &ip), IP_OK);
		assert_int_equal(ipv4_header_checksum(out, 20), load_u16be(out + 10));
		assert_int_equal(ip_upper_checksum(out, &ip), 0);
		assert_int_equal(ip.icmp_type, table[i].type4);
		assert_int_equal(ip.icmp_code, table[i].code4);
		assert_memory_equal(ip.src, packet + 16, 4);
		assert_memory_equal(ip.dst, packet + 12, 4);
		assert_memory_equal(out + 28, packet, 100);
		assert_int_equal(load_u16be(out + 26), table[i].problem == ICMP_TOO_BIG ? 1420 : 0);
		len = icmp_error(table[i].problem, 1420, packet, ipv6(IP_PROTO_UDP, 100), out);
		assert_int_equal(len, 148);
		assert_int_equal(ip_parse(out, len, &ip), IP_OK);
		assert_int_equal(ip_upper_checksum(out, &ip), 0);
		assert_int_equal(ip.icmp_type, table[i].type6);
		assert_int_equal(ip.icmp_code, table[i].code6);
		assert_memory_equal(ip.src, packet + 24, 16);
		assert_memory_equal(ip.dst, packet + 8, 16);
		assert_memory_equal(out + 48, packet, 100);
		assert_int_equal(load_u32be(out + 44), table[i].problem == ICMP_TOO_BIG ? 1420 : 0);
	}
}

static void the_quote_ends_where_the_rfcs_say(void **state)
{
	assert_int_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, ipv4(IP_PROTO_UDP, 548), out), 576);
	assert_int_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, ipv4(IP_PROTO_UDP, 549), out), 576);
	assert_int_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, ipv6(IP_PROTO_UDP, 1232), out), 1280);
	assert_int_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, ipv6(IP_PROTO_UDP, 1233), out), 1280);
}

static void about_errors_fragments_and_multicast_nothing_is_said(void **state)
{
	size_t len = ipv4(IP_PROTO_ICMP, 100);

	packet[20] = 8;
	assert_int_not_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, len, out), 0);
	packet[20] = 3;
	assert_int_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, len, out), 0);
	len = ipv6(IP_PROTO_ICMPV6, 100);
	packet[40] = 128;
	assert_int_not_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, len, out), 0);
	packet[40] = 1;
	assert_int_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, len, out), 0);
	len = ipv4(IP_PROTO_UDP, 100);
	store_u16be(packet + 6, 100);
	assert_int_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, len, out), 0);
	len = ipv4(IP_PROTO_UDP, 100);
	packet[16] = 224;
	assert_int_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, len, out), 0);
	len = ipv6(IP_PROTO_UDP, 100);
	packet[24] = 0xff;
	assert_int_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, len, out), 0);
	len = ipv6(IP_PROTO_UDP, 100);
	memset(packet + 8, 0, 16);
	assert_int_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, len, out), 0);
	assert_int_equal(icmp_error(ICMP_NO_ROUTE, 0, packet, 10, out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_is_right_in_all_its_fields),
		cmocka_unit_test(the_quote_ends_where_the_rfcs_say),
		cmocka_unit_test(about_errors_fragments_and_multicast_nothing_is_said),
	};

	return cmocka_run_group_tests_name("core/icmp", tests, NULL, NULL);
}
