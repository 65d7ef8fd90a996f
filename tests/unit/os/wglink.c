#include "fixture/test.h"

#include "os/base.h"
#include "os/netlink.h"
#include "os/netlink_parse.h"
#include "os/wglink.h"
#include "wire/hex.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <sched.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The messages against what linux/wireguard.h says; and where the kernel has WireGuard
 * (contrib/long
 * --only kernel boots one that has) the same with a device, in a network namespace of our own. */

enum { PEERS = 1000 };

/* Made from linux/wireguard.h by another program: a private key, a port, a peer with endpoint,
 * keepalive and two AllowedIPs, one to be removed. */
static const char document[] =
	"100100001f0005000000000000000000010100000800010007000000240003000001020304050607"
	"08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f060006006dca0000c800088094000080"
	"24000100202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f08000300"
	"02000000140004000200ca6cc000020700000000000000000600050019000000480009801c000080"
	"0600010002000000080002000a4d0002050003002000000028000080060001000a00000014000200"
	"fd000000000000000000000000000002050003008000000030000080240001004041424344454647"
	"48494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f0800030001000000";

static struct wglink_peer first = {.flags = WGLINK_REPLACE_ALLOWED | WGLINK_ENDPOINT |
					    WGLINK_KEEPALIVE,
				   .keepalive_s = 25,
				   .allowed_count = 2};
static struct wglink_peer second = {.flags = WGLINK_REMOVE};
static uint8_t private_key[WGLINK_KEY_LEN];

static int setup(void **state)
{
	for (size_t i = 0; i < WGLINK_KEY_LEN; i++) {
		private_key[i] = (uint8_t)i;
		first.key[i] = (uint8_t)(32 + i);
		second.key[i] = (uint8_t)(64 + i);
	}
	assert_true(endpoint_parse("192.0.2.7:51820", &first.endpoint));
	assert_true(prefix_parse("10.77.0.2/32", &first.allowed[0]));
	assert_true(prefix_parse("fd00::2/128", &first.allowed[1]));
	return 0;
}

static void a_request_is_as_documented(void **state)
{
	alignas(struct nlmsghdr) static uint8_t message[WGLINK_MESSAGE_MAX],
		want[WGLINK_MESSAGE_MAX];
	struct wglink_peer peers[] = {first, second};
	size_t len;

	assert_true(hex_parse_any(document, want, sizeof(want), &len));
	assert_int_equal(wglink_encode(message, 0x1f, 7, private_key, 51821, peers, 2), 2);
	assert_int_equal(((struct nlmsghdr *)message)->nlmsg_len, len);
	assert_memory_equal(message, want, len);
}

struct list {
	struct wglink_peer peers[PEERS + 8];
	size_t count;
};

static void take(void *ctx, const struct wglink_peer *peer)
{
	struct list *list = ctx;

	assert_true(list->count < ARRAY_SIZE(list->peers));
	list->peers[list->count++] = *peer;
}

static struct wglink_peer numbered(unsigned n)
{
	struct wglink_peer peer = first;

	memset(peer.key, 0, sizeof(peer.key));
	peer.key[0] = (uint8_t)(n >> 8);
	peer.key[1] = (uint8_t)n;
	peer.key[2] = 1;
	peer.endpoint.port = (uint16_t)(1000 + n);
	peer.allowed[0].addr.bytes[2] = (uint8_t)(n >> 8);
	peer.allowed[0].addr.bytes[3] = (uint8_t)n;
	peer.allowed[1].addr.bytes[14] = (uint8_t)(n >> 8);
	peer.allowed[1].addr.bytes[15] = (uint8_t)n;
	return peer;
}

static void assert_same(const struct wglink_peer *a, const struct wglink_peer *b)
{
	assert_memory_equal(a->key, b->key, sizeof(a->key));
	assert_int_equal(a->keepalive_s, b->keepalive_s);
	assert_true(endpoint_equal(&a->endpoint, &b->endpoint));
	assert_int_equal(a->allowed_count, b->allowed_count);
	for (size_t i = 0; i < a->allowed_count; i++)
		assert_true(prefix_equal(&a->allowed[i], &b->allowed[i]) ||
			    prefix_equal(&a->allowed[i], &b->allowed[a->allowed_count - 1 - i]));
}

/* What is set and what is told have one form. */
static void a_thousand_peers_in_many_messages_are_read_back(void **state)
{
	alignas(struct nlmsghdr) static uint8_t message[WGLINK_MESSAGE_MAX];
	static struct wglink_peer peers[PEERS];
	static struct list list;
	struct wglink_answer answer = {.visit = take, .ctx = &list};
	unsigned messages = 0;

	for (unsigned i = 0; i < PEERS; i++)
		peers[i] = numbered(i);
	for (size_t done = 0; done < PEERS; messages++) {
		size_t taken = wglink_encode(message, 0x1f, 7, messages ? NULL : private_key,
					     messages ? 0 : 51821, peers + done, PEERS - done);

		assert_true(taken > 0);
		assert_true(netlink_datagram_ok(message, ((struct nlmsghdr *)message)->nlmsg_len));
		assert_true(wglink_parse((struct nlmsghdr *)message, &answer));
		done += taken;
	}
	wglink_finish(&answer);
	assert_in_range(messages, 5, 30);
	assert_int_equal(answer.device.index, 7);
	assert_int_equal(answer.device.port, 51821);
	assert_memory_equal(answer.device.private_key, private_key, sizeof(private_key));
	assert_int_equal(list.count, PEERS);
	for (unsigned i = 0; i < PEERS; i++)
		assert_same(&list.peers[i], &peers[i]);
}

static void a_peer_in_two_messages_is_one(void **state)
{
	alignas(struct nlmsghdr) static uint8_t message[WGLINK_MESSAGE_MAX];
	static struct list list;
	struct wglink_answer answer = {.visit = take, .ctx = &list};

	for (int part = 0; part < 3; part++) {
		assert_int_equal(wglink_encode(message, 1, 7, NULL, 0, &first, 1), 1);
		assert_true(wglink_parse((struct nlmsghdr *)message, &answer));
		assert_int_equal(list.count, 0);
	}
	wglink_finish(&answer);
	wglink_finish(&answer);
	assert_int_equal(list.count, 1);
	/* More than there is room for: it is to be seen that they are others. */
	assert_int_equal(list.peers[0].allowed_count, 6);
	assert_true(prefix_equal(&list.peers[0].allowed[3], &first.allowed[1]));
}

/* ---- With a kernel that has it ---- */

static struct wglink *wl;
static struct netlink *nl;
static uint32_t device;

#define need_kernel()                                                                              \
	do {                                                                                       \
		if (!device)                                                                       \
			skip();                                                                    \
	} while (0)

static int make_device(void **state)
{
	struct netlink_link link;

	setup(state);
	if (unshare(CLONE_NEWNET) || netlink_open(&nl) ||
	    netlink_link_add(nl, "dtstwg0", "wireguard", "dnetd") ||
	    netlink_link_find(nl, "dtstwg0", &link))
		return 0;
	assert_string_equal(link.kind, "wireguard");
	assert_string_equal(link.alias, "dnetd");
	assert_int_equal(wglink_open(&wl), 0);
	device = link.index;
	return 0;
}

static int remove_device(void **state)
{
	if (device)
		assert_int_equal(netlink_link_delete(nl, device), 0);
	wglink_free(wl);
	netlink_free(nl);
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return memcmp(((const struct wglink_peer *)a)->key, ((const struct wglink_peer *)b)->key,
		      WGLINK_KEY_LEN);
}

static void get(struct list *list, struct wglink_device *ret_device)
{
	memset(list, 0, sizeof(*list));
	assert_int_equal(wglink_get(wl, device, ret_device, take, list), 0);
	qsort(list->peers, list->count, sizeof(list->peers[0]), by_key);
}

static void the_kernel_has_what_was_set(void **state)
{
	static struct wglink_peer peers[PEERS];
	static struct list list;
	struct wglink_device got;
	struct wglink_peer change;

	need_kernel();
	for (unsigned i = 0; i < PEERS; i++)
		peers[i] = numbered(i);
	assert_int_equal(wglink_set(wl, device, private_key, 51821, peers, PEERS), 0);
	get(&list, &got);
	assert_int_equal(got.index, device);
	assert_int_equal(got.port, 51821);
	/* Clamped, as Curve25519 wants it. */
	assert_memory_equal(got.private_key + 1, private_key + 1, WGLINK_KEY_LEN - 2);
	assert_int_equal(list.count, PEERS);
	for (unsigned i = 0; i < PEERS; i++)
		assert_same(&list.peers[i], &peers[i]);

	/* One gets another endpoint, and keeps the rest; one goes. */
	change = (struct wglink_peer){.flags = WGLINK_ENDPOINT};
	memcpy(change.key, peers[500].key, sizeof(change.key));
	assert_true(endpoint_parse("[2001:db8::5]:777", &change.endpoint));
	assert_int_equal(wglink_set(wl, device, NULL, 0, &change, 1), 0);
	peers[500].endpoint = change.endpoint;
	change = (struct wglink_peer){.flags = WGLINK_REMOVE};
	memcpy(change.key, peers[999].key, sizeof(change.key));
	assert_int_equal(wglink_set(wl, device, NULL, 0, &change, 1), 0);
	get(&list, &got);
	assert_int_equal(got.port, 51821);
	assert_int_equal(list.count, PEERS - 1);
	for (unsigned i = 0; i < PEERS - 1; i++)
		assert_same(&list.peers[i], &peers[i]);
}

static void what_is_no_device_of_it_is_an_error(void **state)
{
	struct list *list = calloc(1, sizeof(*list));
	struct wglink_device got;

	assert_non_null(list);
	if (device) {
		assert_true(wglink_set(wl, 1, private_key, 0, NULL, 0) < 0);
		assert_true(wglink_get(wl, 1, &got, take, list) < 0);
		assert_true(wglink_get(wl, 4711, &got, take, list) < 0);
		assert_int_equal(list->count, 0);
	}
	free(list);
	need_kernel();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_as_documented),
		cmocka_unit_test(a_thousand_peers_in_many_messages_are_read_back),
		cmocka_unit_test(a_peer_in_two_messages_is_one),
		cmocka_unit_test(the_kernel_has_what_was_set),
		cmocka_unit_test(what_is_no_device_of_it_is_an_error),
	};

	return cmocka_run_group_tests(tests, make_device, remove_device);
}
