#include "fixture/test.h"

#include "os/base.h"
#include "os/rawudp.h"
#include "wire/probe.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Over the loopback of a network namespace of our own; without the right to make one these are
 * skipped. */

enum { PORT = 51820, OTHER = 51821, DEADLINE_MS = 5000 };

static bool ready;
static struct endpoint home4, home6;
static const uint8_t probe[PROBE_LEN] = {0x64, 0x6e, 0x77, 0x70, 1};
static const uint8_t stun[] = {1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2,
			       3, 4, 5, 6, 7,	 8,    9,    0,	   1, 2};

static int setup(void **state)
{
	if (unshare(CLONE_NEWNET) || system("ip link set lo up"))
		return 0;
	assert_true(endpoint_parse("127.0.0.1:51820", &home4));
	assert_true(endpoint_parse("[::1]:51820", &home6));
	ready = true;
	return 0;
}

static int plain_socket(uint8_t family, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(family == ADDR_V4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int on = 1;

	assert_true(fd >= 0);
	if (family == ADDR_V6)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
	assert_int_equal(family == ADDR_V4 ? bind(fd, (struct sockaddr *)&v4, sizeof(v4))
					   : bind(fd, (struct sockaddr *)&v6, sizeof(v6)),
			 0);
	return fd;
}

static void send_plain(int fd, const struct endpoint *to, const void *bytes, size_t len)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(to->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(to->port)};
	bool is4 = to->addr.family == ADDR_V4;
	ssize_t n;

	memcpy(&v4.sin_addr, to->addr.bytes, 4);
	memcpy(&v6.sin6_addr, to->addr.bytes, 16);
	n = is4 ? sendto(fd, bytes, len, 0, (struct sockaddr *)&v4, sizeof(v4))
		: sendto(fd, bytes, len, 0, (struct sockaddr *)&v6, sizeof(v6));
	assert_int_equal(n, len);
}

static void wait_for(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
}

static void open_pair(struct rawudp *raw)
{
	int fd4, fd6;

	assert_int_equal(rawudp_open(ADDR_V4, PORT, &fd4), 0);
	assert_int_equal(rawudp_open(ADDR_V6, PORT, &fd6), 0);
	assert_int_equal(rawudp_init(raw, PORT, fd4, fd6), 0);
}

/* The program that is bound to the port gets what is sent from it by the raw socket: with the right
 * source and checksum. */
static void it_sends_from_a_port_that_is_another_programs(void **state)
{
	struct rawudp raw;

	if (!ready)
		skip();
	open_pair(&raw);
	for (int v6 = 0; v6 < 2; v6++) {
		uint8_t family = v6 ? ADDR_V6 : ADDR_V4;
		int owner = plain_socket(family, PORT), peer = plain_socket(family, OTHER);
		struct endpoint to = v6 ? home6 : home4;
		struct sockaddr_in6 from;
		socklen_t size = sizeof(from);
		uint8_t bytes[64];

		to.port = OTHER;
		assert_int_equal(rawudp_send(&raw, &to, probe, sizeof(probe)), 0);
		assert_int_equal(rawudp_send(&raw, &to, probe, 5), 0); /* an odd length */
		wait_for(peer);
		assert_int_equal(
			recvfrom(peer, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size),
			sizeof(probe));
		assert_memory_equal(bytes, probe, sizeof(probe));
		assert_int_equal(ntohs(from.sin6_port), PORT); /* where sin_port is, too */
		wait_for(peer);
		assert_int_equal(recv(peer, bytes, sizeof(bytes), 0), 5);
		close(owner);
		close(peer);
	}
	rawudp_close(&raw);
}

static void probes_and_stun_come_and_nothing_else(void **state)
{
	struct rawudp raw;
	uint8_t bytes[RAWUDP_PAYLOAD_MAX], request[sizeof(stun)], other[PROBE_LEN] = {4};

	if (!ready)
		skip();
	memcpy(request, stun, sizeof(stun));
	request[0] = 0; /* a question: not for us */
	open_pair(&raw);
	for (int v6 = 0; v6 < 2; v6++) {
		uint8_t family = v6 ? ADDR_V6 : ADDR_V4;
		int owner = plain_socket(family, PORT), peer = plain_socket(family, OTHER);
		int fd = v6 ? raw.fd6 : raw.fd4;
		struct endpoint to = v6 ? home6 : home4, away = to, from;

		away.port = OTHER;
		send_plain(peer, &to, other, sizeof(other));
		send_plain(peer, &to, request, sizeof(request));
		send_plain(peer, &to, probe, 3);
		send_plain(owner, &away, probe, sizeof(probe)); /* for another port */
		send_plain(peer, &to, stun, sizeof(stun));
		send_plain(peer, &to, probe, sizeof(probe));
		wait_for(fd);
		assert_int_equal(rawudp_receive(&raw, fd, &from, bytes), sizeof(stun));
		assert_memory_equal(bytes, stun, sizeof(stun));
		wait_for(fd);
		assert_int_equal(rawudp_receive(&raw, fd, &from, bytes), sizeof(probe));
		assert_memory_equal(bytes, probe, sizeof(probe));
		assert_true(endpoint_equal(&from, &away));
		assert_int_equal(rawudp_receive(&raw, fd, &from, bytes), -EAGAIN);
		/* The port's own program got all of them. */
		for (int i = 0; i < 5; i++) {
			wait_for(owner);
			assert_true(recv(owner, bytes, sizeof(bytes), 0) > 0);
		}
		close(owner);
		close(peer);
	}
	rawudp_close(&raw);
}

static void the_filter_cannot_be_taken_off(void **state)
{
	struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, UINT16_MAX);
	struct sock_fprog program = {.len = 1, .filter = &all};
	int fd, off = 0;

	if (!ready)
		skip();
	assert_int_equal(rawudp_open(ADDR_V4, PORT, &fd), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof(off)), -1);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &off, sizeof(off)), -1);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)),
			 -1);
	assert_int_equal(errno, EPERM);
	close(fd);
}

static void ports_and_families_are_checked(void **state)
{
	int fd = 77;

	assert_int_equal(rawudp_open(ADDR_V4, 0, &fd), -EINVAL);
	assert_int_equal(rawudp_open(ADDR_V4, 53, &fd), -EINVAL);
	assert_int_equal(rawudp_open(ADDR_V6, RAWUDP_PORT_MIN - 1, &fd), -EINVAL);
	assert_int_equal(rawudp_open(ADDR_NONE, PORT, &fd), -EINVAL);
	assert_int_equal(fd, 77);
}

static void what_is_cut_or_of_a_wrong_length_is_refused(void **state)
{
	uint8_t good[20 + 8 + 4] = {0x45, [8] = 64,    17,   [12] = 192, 0,	     2,
				    1,	  [20] = 0x11, 0x22, PORT >> 8,	 PORT & 255, 0,
				    12,	  [28] = 1,    2,    3,		 4};
	struct endpoint source, want;
	struct span payload;

	assert_true(endpoint_parse("192.0.2.1:4386", &want));
	assert_true(rawudp_parse(ADDR_V4, PORT, good, sizeof(good), &source, &payload));
	assert_true(endpoint_equal(&source, &want));
	assert_int_equal(payload.len, 4);
	assert_memory_equal(payload.data, good + 28, 4);
	for (size_t len = 0; len < sizeof(good); len++) {
		uint8_t *cut = malloc(len + 1);

		assert_non_null(cut);
		memcpy(cut, good, len);
		assert_false(rawudp_parse(ADDR_V4, PORT, cut, len, &source, &payload));
		free(cut);
	}
	assert_false(rawudp_parse(ADDR_V4, OTHER, good, sizeof(good), &source, &payload));
	good[25] = 7;
	assert_false(rawudp_parse(ADDR_V4, PORT, good, sizeof(good), &source, &payload));
	good[25] = 12;
	good[0] = 0x44;
	assert_false(rawudp_parse(ADDR_V4, PORT, good, sizeof(good), &source, &payload));
	good[0] = 0x4f;
	assert_false(rawudp_parse(ADDR_V4, PORT, good, sizeof(good), &source, &payload));
	good[0] = 0x45;
	good[9] = 6;
	assert_false(rawudp_parse(ADDR_V4, PORT, good, sizeof(good), &source, &payload));
	assert_true(rawudp_parse(ADDR_V6, PORT, good + 20, 12, &source, &payload));
	assert_false(rawudp_parse(ADDR_V6, PORT, good + 20, 11, &source, &payload));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_sends_from_a_port_that_is_another_programs),
		cmocka_unit_test(probes_and_stun_come_and_nothing_else),
		cmocka_unit_test(the_filter_cannot_be_taken_off),
		cmocka_unit_test(ports_and_families_are_checked),
		cmocka_unit_test(what_is_cut_or_of_a_wrong_length_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
