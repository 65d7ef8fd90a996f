#include "fixture/test.h"

#include "cli/records.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *text, *again; /* again NULL: the same */
	uint8_t transport;
	uint16_t port;
	enum addr_family family;
} good[] = {
	{"udp://192.0.2.1:4242", NULL, TRANSPORT_UDP, 4242, ADDR_V4},
	{"udp://[2001:db8::1]:4242", NULL, TRANSPORT_UDP, 4242, ADDR_V6},
	{"udp://[2001:0db8:0:0:0:0:0:1]:1", "udp://[2001:db8::1]:1", TRANSPORT_UDP, 1, ADDR_V6},
	{"tcp://relay.example.org:65535", NULL, TRANSPORT_TCP, 65535, ADDR_NONE},
	{"tls://a:1", NULL, TRANSPORT_TLS, 1, ADDR_NONE},
	{"ws://a:80", NULL, TRANSPORT_WS, 80, ADDR_NONE},
	{"wss://a:443", NULL, TRANSPORT_WSS, 443, ADDR_NONE},
	{"quic://a:443", NULL, TRANSPORT_QUIC, 443, ADDR_NONE},
};

static void urls_are_read_and_written_back(void **state)
{
	char text[ENDPOINT_URL_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct record_endpoint endpoint;

		assert_true(endpoint_url_parse(good[i].text, &endpoint));
		assert_int_equal(endpoint.transport, good[i].transport);
		assert_int_equal(endpoint.port, good[i].port);
		assert_int_equal(endpoint.address.family, good[i].family);
		endpoint_url(&endpoint, text);
		assert_string_equal(text, good[i].again ? good[i].again : good[i].text);
	}
}

static void what_is_no_url_is_refused_and_leaves_the_result_alone(void **state)
{
	static const char *const bad[] = {
		"",
		"udp",
		"udp://",
		"udp://:1",
		"udp://a",
		"udp://a:",
		"udp://a:0",
		"udp://a:01",
		"udp://a:65536",
		"udp://a:99999999999999999999",
		"udp://a:+1",
		"udp://a:-1",
		"udp://a: 1",
		"udp://a:1 ",
		"udp://a:1x",
		"udp://a:1/",
		"UDP://a:1",
		"sctp://a:1",
		"://a:1",
		" udp://a:1",
		"udp://A:1",
		"udp://a_b:1",
		"udp://[192.0.2.1]:1",
		"udp://[2001:db8::1:1",
		"udp://2001:db8::1]:1",
		"udp://2001:db8::1:1",
		"udp://[]:1",
		"udp://[:1",
		"udp://[a]:1",
		"udp://[fe80::1%eth0]:1",
		"udp://b\xc3\xbcro:1",
	};
	struct record_endpoint endpoint, before;

	(void)state;
	memset(&endpoint, 0x5a, sizeof(endpoint));
	before = endpoint;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (endpoint_url_parse(bad[i], &endpoint))
			fail_msg("taken: \"%s\"", bad[i]);
		assert_memory_equal(&endpoint, &before, sizeof(before));
	}
}

static void a_host_has_at_most_64_letters(void **state)
{
	char text[128];
	struct record_endpoint endpoint;

	(void)state;
	snprintf(text, sizeof(text), "udp://%.32s.%.31s:1", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
	assert_true(endpoint_url_parse(text, &endpoint));
	assert_int_equal(strlen(endpoint.host), RECORD_HOST_MAX);
	snprintf(text, sizeof(text), "udp://%.32s.%.32s:1", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
	assert_false(endpoint_url_parse(text, &endpoint));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_read_and_written_back),
		cmocka_unit_test(what_is_no_url_is_refused_and_leaves_the_result_alone),
		cmocka_unit_test(a_host_has_at_most_64_letters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
