#include "fixture/test.h"

#include "adapters/wg_uapi.h"
#include "adapters/wireguard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_A "0101010101010101010101010101010101010101010101010101010101010101"
#define KEY_B "abababababababababababababababababababababababababababababababab"

static enum wg_uapi_result read_text(struct wg_uapi_answer *a, const char *text, size_t *ret_used)
{
	wg_uapi_answer_init(a);
	return wg_uapi_read(a, text, strlen(text), ret_used);
}

static void request_is(const struct wg_set *set, const char *wanted)
{
	size_t len;
	char *text = wg_uapi_set_request(set, &len);
	assert_string_equal(text, wanted);
	assert_int_equal(len, strlen(wanted));
	free(text);
}

static void requests_are_as_the_protocol_has_them(void **state)
{
	(void)state;
	uint8_t key[WG_KEY_LEN];
	struct wg_peer peer = {.allowed_count = 2,
			       .endpoint = {{ADDR_V6, {0xfd, [15] = 1}}, 51820},
			       .keepalive_s = 25};
	struct wg_change changes[] = {
		{.remove = true, .peer = &peer},
		{.peer = &peer, .add = true, .allowed = true, .keepalive = true, .endpoint = true},
		{.peer = &peer, .endpoint = true},
	};
	size_t len;
	char *text = wg_uapi_get_request(&len);
	assert_string_equal(text, "get=1\n\n");
	assert_int_equal(len, 7);
	free(text);
	memset(key, 0xab, sizeof(key));
	memset(peer.key, 1, sizeof(peer.key));
	peer.allowed[0] = (struct prefix){{ADDR_V4, {10, 0, 0, 1}}, 32};
	peer.allowed[1] = (struct prefix){{ADDR_V6, {0xfd, [15] = 2}}, 128};
	request_is(&(struct wg_set){.private_key = key, .port = 7},
		   "set=1\nprivate_key=" KEY_B "\nlisten_port=7\n\n");
	request_is(&(struct wg_set){.changes = changes, .count = 1},
		   "set=1\npublic_key=" KEY_A "\nremove=true\n\n");
	request_is(&(struct wg_set){.changes = changes + 1, .count = 1},
		   "set=1\npublic_key=" KEY_A "\nendpoint=[fd00::1]:51820\n"
		   "persistent_keepalive_interval=25\nreplace_allowed_ips=true\n"
		   "allowed_ip=10.0.0.1/32\nallowed_ip=fd00::2/128\n\n");
	request_is(&(struct wg_set){.changes = changes + 2, .count = 1},
		   "set=1\npublic_key=" KEY_A "\nupdate_only=true\nendpoint=[fd00::1]:51820\n\n");
}

static const char answer_text[] =
	"private_key=" KEY_B "\nlisten_port=51820\nfwmark=3\nsomething_new=1\n"
	"public_key=" KEY_B "\npreshared_key=" KEY_A "\nprotocol_version=1\n"
	"endpoint=127.0.0.1:4000\nlast_handshake_time_sec=1700000000\n"
	"last_handshake_time_nsec=5\ntx_bytes=148\nrx_bytes=92\n"
	"persistent_keepalive_interval=25\nallowed_ip=10.77.0.2/32\nallowed_ip=fd00::1/128\n"
	"public_key=" KEY_A "\nendpoint=[fe80::1%eth0]:5\nallowed_ip=1.2.3.4/32\n"
	"allowed_ip=1.2.3.5/32\nallowed_ip=1.2.3.6/32\nallowed_ip=1.2.3.7/32\nerrno=0\n\n";

static void check_answer(const struct wg_uapi_answer *a)
{
	const struct wg_peer *peer = &a->config.peers[1];
	char text[ENDPOINT_TEXT_MAX];
	assert_int_equal(a->error, 0);
	assert_int_equal(a->config.port, 51820);
	assert_int_equal(a->config.private_key[31], 0xab);
	assert_int_equal(a->config.peer_count, 2);
	assert_int_equal(a->config.peers[0].key[0], 1); /* sorted */
	assert_int_equal(a->config.peers[0].endpoint.addr.family, ADDR_NONE);
	assert_int_equal(a->config.peers[0].allowed_count, WG_ALLOWED_MAX + 1);
	assert_string_equal(endpoint_format(&peer->endpoint, text), "127.0.0.1:4000");
	assert_true(peer->handshake_s == 1700000000 && peer->tx_bytes == 148);
	assert_true(peer->rx_bytes == 92 && peer->keepalive_s == 25 && peer->allowed_count == 2);
}

static void an_answer_is_read_whole_and_byte_by_byte(void **state)
{
	(void)state;
	struct wg_uapi_answer a;
	size_t used;
	assert_int_equal(read_text(&a, answer_text, &used), WG_UAPI_DONE);
	assert_int_equal(used, strlen(answer_text));
	check_answer(&a);
	wg_uapi_answer_done(&a);
	wg_uapi_answer_init(&a);
	for (size_t i = 0; i < strlen(answer_text); i++) {
		assert_int_equal(wg_uapi_read(&a, answer_text + i, 1, &used),
				 i + 1 < strlen(answer_text) ? WG_UAPI_MORE : WG_UAPI_DONE);
		assert_int_equal(used, 1);
	}
	check_answer(&a);
	wg_uapi_answer_done(&a);
}

static void a_refusal_is_its_errno(void **state)
{
	(void)state;
	struct wg_uapi_answer a;
	size_t used;
	assert_int_equal(read_text(&a, "errno=-98\n\nmore", &used), WG_UAPI_DONE);
	assert_int_equal(a.error, EADDRINUSE);
	assert_int_equal(used, 11);
	wg_uapi_answer_done(&a);
}

static void what_is_no_answer_is_malformed(void **state)
{
	static const char *const bad[] = {
		"\n",
		"errno\n",
		"errno=\n",
		"errno=x\n",
		"errno=99999999999\n",
		"errno=0\nerrno=0\n",
		"errno=0\ntx_bytes=1\n",
		"private_key=12\n",
		"listen_port=65536\n",
		"listen_port=-1\n",
		"public_key=" KEY_A "a\n",
		"public_key=" KEY_A "\ntx_bytes=1 \n",
		"public_key=" KEY_A "\nrx_bytes=18446744073709551616\n",
		"public_key=" KEY_A "\npersistent_keepalive_interval=65536\n",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct wg_uapi_answer a;
		size_t used;
		if (read_text(&a, bad[i], &used) != WG_UAPI_MALFORMED)
			fail_msg("taken: %s", bad[i]);
		wg_uapi_answer_done(&a);
	}
}

static void a_line_is_as_long_as_the_limit_and_no_longer(void **state)
{
	(void)state;
	char line[WG_UAPI_LINE_MAX + 3];
	struct wg_uapi_answer a;
	size_t used;
	memset(line, 'x', sizeof(line));
	line[1] = '=';
	line[WG_UAPI_LINE_MAX] = '\n';
	line[WG_UAPI_LINE_MAX + 1] = '\0';
	assert_int_equal(read_text(&a, line, &used), WG_UAPI_MORE);
	wg_uapi_answer_done(&a);
	line[WG_UAPI_LINE_MAX] = 'x';
	assert_int_equal(read_text(&a, line, &used), WG_UAPI_MALFORMED);
	assert_int_equal(used, WG_UAPI_LINE_MAX + 1);
	wg_uapi_answer_done(&a);
}

static void peers_are_as_many_as_the_limit_and_no_more(void **state)
{
	static const char peer[] = "public_key=" KEY_A "\n";
	(void)state;
	struct wg_uapi_answer a;
	size_t used;
	wg_uapi_answer_init(&a);
	for (size_t i = 0; i < WG_UAPI_PEERS_MAX; i++)
		assert_int_equal(wg_uapi_read(&a, peer, strlen(peer), &used), WG_UAPI_MORE);
	assert_int_equal(wg_uapi_read(&a, "errno=0\n\n", 9, &used), WG_UAPI_DONE);
	assert_int_equal(a.config.peer_count, WG_UAPI_PEERS_MAX);
	wg_uapi_answer_done(&a);
	wg_uapi_answer_init(&a);
	for (size_t i = 0; i <= WG_UAPI_PEERS_MAX; i++)
		assert_int_equal(wg_uapi_read(&a, peer, strlen(peer), &used), WG_UAPI_MORE);
	assert_int_equal(wg_uapi_read(&a, "errno=0\n\n", 9, &used), WG_UAPI_MALFORMED);
	wg_uapi_answer_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_as_the_protocol_has_them),
		cmocka_unit_test(an_answer_is_read_whole_and_byte_by_byte),
		cmocka_unit_test(a_refusal_is_its_errno),
		cmocka_unit_test(what_is_no_answer_is_malformed),
		cmocka_unit_test(a_line_is_as_long_as_the_limit_and_no_longer),
		cmocka_unit_test(peers_are_as_many_as_the_limit_and_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
