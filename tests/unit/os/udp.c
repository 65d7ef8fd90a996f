#include "fixture/test.h"

#include "os/log.h"

#include <sys/socket.h>

/* The kernel between us and the wire, when a test wants it to refuse. */
static int refuse_super; /* errno for a send with UDP_SEGMENT; 0: none */
static unsigned super_calls, single_calls, receive_calls;
static unsigned singles_until_full; /* 0: never full */

static ssize_t test_sendmsg(int fd, const struct msghdr *header, int flags);
static int test_sendmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags);
static int test_recvmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags,
			 struct timespec *timeout);
#define sendmsg	      test_sendmsg
#define sendmmsg(...) test_sendmmsg(__VA_ARGS__)
#define recvmmsg(...) test_recvmmsg(__VA_ARGS__)
#include "os/udp.c"
#undef sendmsg
#undef sendmmsg
#undef recvmmsg

#include <poll.h>

static ssize_t test_sendmsg(int fd, const struct msghdr *header, int flags)
{
	if (header->msg_controllen) {
		super_calls++;
		if (refuse_super) {
			errno = refuse_super;
			return -1;
		}
	}
	return sendmsg(fd, header, flags);
}

static int test_sendmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags)
{
	single_calls++;
	if (singles_until_full) {
		count = MIN(count, singles_until_full - 1);
		singles_until_full -= count;
		if (!count) {
			errno = EAGAIN;
			return -1;
		}
	}
	return sendmmsg(fd, headers, count, flags);
}

static int test_recvmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags,
			 struct timespec *timeout)
{
	receive_calls++;
	return recvmmsg(fd, headers, count, flags, timeout);
}

enum { SEGMENT = 1000, MESSAGES = 80 };

struct pair {
	struct udp_socket a, b;
	struct endpoint to_b, from_a;
};

static uint8_t memory[MESSAGES][UDP_RECEIVE_SIZE];
static struct udp_message messages[MESSAGES];

static void open_pair(struct pair *p, const char *at, const struct udp_options *options)
{
	struct endpoint any;

	refuse_super = 0;
	super_calls = single_calls = receive_calls = singles_until_full = 0;
	assert_true(endpoint_parse(at, &any));
	if (udp_open(&any, options, &p->a))
		skip();
	assert_int_equal(udp_open(&any, options, &p->b), 0);
	assert_int_equal(udp_local_endpoint(&p->b, &p->to_b), 0);
	assert_int_equal(udp_local_endpoint(&p->a, &p->from_a), 0);
	for (int i = 0; i < MESSAGES; i++)
		messages[i] = (struct udp_message){.data = memory[i], .size = sizeof(memory[i])};
}

static void close_pair(struct pair *p)
{
	udp_close(&p->a);
	udp_close(&p->b);
}

static void wait_for_datagram(const struct udp_socket *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 5000), 1);
}

/* Receives into one run of bytes until there are total; checks source and segment sizes. */
static void receive_all(struct pair *p, uint8_t *dst, size_t total, size_t segment)
{
	size_t got = 0;

	while (got < total) {
		int n;

		wait_for_datagram(&p->b);
		n = udp_receive_batch(&p->b, messages, MESSAGES);
		assert_true(n > 0 && n <= UDP_BATCH_MAX);
		for (int i = 0; i < n; i++) {
			assert_true(endpoint_equal(&messages[i].source, &p->from_a));
			assert_true(messages[i].segment_size == segment ||
				    got + messages[i].len == total);
			assert_true(got + messages[i].len <= total);
			memcpy(dst + got, messages[i].data, messages[i].len);
			got += messages[i].len;
		}
	}
	assert_int_equal(udp_receive_batch(&p->b, messages, MESSAGES), 0);
	assert_int_equal(p->b.received_bytes, total);
	assert_int_equal(p->b.received_datagrams, (total + segment - 1) / segment);
}

static void fill(uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
}

/* Sends len bytes as segments and expects all of them. */
static void send_and_check(struct pair *p, size_t len, size_t segment)
{
	static uint8_t sent[200000], got[200000];

	assert_true(len <= sizeof(sent));
	fill(sent, len);
	assert_int_equal(udp_send_segments(&p->a, &p->to_b, sent, len, segment), len);
	assert_int_equal(p->a.sent_bytes, len);
	assert_int_equal(p->a.sent_datagrams, (len + segment - 1) / segment);
	receive_all(p, got, len, segment);
	assert_memory_equal(sent, got, len);
}

static const char *const places[] = {"127.0.0.1:0", "[::1]:0"};

static void super_datagrams_arrive_whole_with_their_segment_size(void **state)
{
	struct pair p;

	for (int i = 0; i < 2; i++) {
		open_pair(&p, places[i], NULL);
		send_and_check(&p, 40 * SEGMENT + 1, SEGMENT);
		if (p.a.gso) {
			assert_int_equal(super_calls, 1);
			assert_int_equal(single_calls, 0);
		}
		close_pair(&p);
	}
}

static void more_than_one_call_takes_is_cut_at_segments(void **state)
{
	struct pair p;

	open_pair(&p, places[0], NULL);
	send_and_check(&p, 150 * SEGMENT + 10, SEGMENT);
	close_pair(&p);
	/* One segment past what any kernel takes in a call. */
	open_pair(&p, places[0], NULL);
	send_and_check(&p, (UDP_SEGMENTS_MAX + 1) * 10, 10);
	assert_true(p.a.segments_max == 64 || p.a.segments_max == UDP_SEGMENTS_MAX);
	close_pair(&p);
}

static void every_fallback_carries_the_same_bytes(void **state)
{
	static const struct udp_options table[] = {
		{.no_gso = true},
		{.no_gro = true},
		{.no_recvmmsg = true},
		{.no_gso = true, .no_gro = true, .no_recvmmsg = true},
	};
	struct pair p;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		open_pair(&p, places[i % 2], &table[i]);
		assert_true(!table[i].no_gso || !p.a.gso);
		assert_true(!table[i].no_gro || !p.a.gro);
		send_and_check(&p, 100 * SEGMENT, SEGMENT);
		assert_true(!table[i].no_gso || !super_calls);
		assert_true(!table[i].no_recvmmsg || !receive_calls);
		close_pair(&p);
	}
}

static void the_environment_forces_fallbacks_too(void **state)
{
	struct pair p;

	setenv("DNET_UDP", "nogso,norecvmmsg", 1);
	open_pair(&p, places[0], NULL);
	unsetenv("DNET_UDP");
	assert_false(p.a.gso);
	assert_false(p.a.recvmmsg);
	close_pair(&p);
}

static void a_path_without_offload_is_learned_once_and_nothing_is_lost(void **state)
{
	struct pair p;

	open_pair(&p, places[0], NULL);
	if (!p.a.gso)
		skip();
	refuse_super = EIO;
	send_and_check(&p, 10 * SEGMENT, SEGMENT);
	assert_int_equal(super_calls, 1);
	assert_false(p.a.gso);
	assert_int_equal(udp_send_segments(&p.a, &p.to_b, memory[0], 2 * SEGMENT, SEGMENT),
			 2 * SEGMENT);
	assert_int_equal(super_calls, 1);
	close_pair(&p);
}

static void a_refusal_of_this_size_does_not_turn_offload_off(void **state)
{
	struct pair p;

	open_pair(&p, places[0], NULL);
	if (!p.a.gso)
		skip();
	refuse_super = EMSGSIZE;
	send_and_check(&p, 10 * SEGMENT, SEGMENT);
	assert_true(p.a.gso);
	assert_int_equal(single_calls, 1);
	close_pair(&p);
}

static void an_old_kernel_takes_sixty_four_segments(void **state)
{
	struct pair p;

	open_pair(&p, places[0], NULL);
	if (!p.a.gso)
		skip();
	refuse_super = EINVAL;
	send_and_check(&p, 100 * 10, 10);
	assert_int_equal(p.a.segments_max, 64);
	assert_true(p.a.gso);
	close_pair(&p);
}

static void a_full_socket_takes_whole_segments_and_then_says_so(void **state)
{
	static const struct udp_options singles = {.no_gso = true};
	struct pair p;

	open_pair(&p, places[0], &singles);
	singles_until_full = 4;
	assert_int_equal(udp_send_segments(&p.a, &p.to_b, memory[0], 10 * SEGMENT, SEGMENT),
			 3 * SEGMENT);
	singles_until_full = 1;
	assert_int_equal(udp_send_segments(&p.a, &p.to_b, memory[0], 10 * SEGMENT, SEGMENT),
			 -EAGAIN);
	assert_int_equal(p.a.send_errors, 0);
	close_pair(&p);
}

/* Parts that lie apart arrive as if they were one run of bytes. */
static void send_parts_and_check(struct pair *p, const struct iovec *parts, unsigned count)
{
	static uint8_t sent[200000], got[200000];
	size_t len = 0;

	for (unsigned i = 0; i < count; i++) {
		fill(parts[i].iov_base, parts[i].iov_len);
		memcpy(sent + len, parts[i].iov_base, parts[i].iov_len);
		len += parts[i].iov_len;
	}
	assert_int_equal(udp_send_parts(&p->a, &p->to_b, parts, count, SEGMENT), len);
	assert_int_equal(p->a.sent_datagrams, (len + SEGMENT - 1) / SEGMENT);
	receive_all(p, got, len, SEGMENT);
	assert_memory_equal(sent, got, len);
}

static void parts_leave_in_one_send(void **state)
{
	static uint8_t bytes[UDP_PARTS_MAX][9 * SEGMENT];
	static const size_t lens[] = {SEGMENT, 3 * SEGMENT, SEGMENT, 9 * SEGMENT, 1};
	static const struct udp_options table[] = {{0}, {.no_gso = true}, {.no_gro = true}};
	struct iovec parts[UDP_PARTS_MAX];
	struct pair p;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		open_pair(&p, places[i % 2], &table[i]);
		for (size_t n = 0; n < ARRAY_SIZE(lens); n++)
			parts[n] = (struct iovec){bytes[n], lens[n]};
		send_parts_and_check(&p, parts, ARRAY_SIZE(lens));
		assert_int_equal(super_calls + single_calls, 1);
		close_pair(&p);
		/* As many parts as may be, in several calls. */
		open_pair(&p, places[i % 2], &table[i]);
		for (size_t n = 0; n < UDP_PARTS_MAX; n++)
			parts[n] = (struct iovec){bytes[n], n == 1 ? 9 * SEGMENT : SEGMENT};
		send_parts_and_check(&p, parts, UDP_PARTS_MAX);
		assert_true(super_calls + single_calls >= 2);
		close_pair(&p);
	}
}

static void what_a_full_socket_took_of_parts_is_said(void **state)
{
	static const struct udp_options singles = {.no_gso = true};
	static uint8_t bytes[3][2 * SEGMENT];
	const struct iovec parts[] = {
		{bytes[0], 2 * SEGMENT}, {bytes[1], 2 * SEGMENT}, {bytes[2], 1}};
	struct pair p;

	open_pair(&p, places[0], &singles);
	singles_until_full = 4;
	assert_int_equal(udp_send_parts(&p.a, &p.to_b, parts, 3, SEGMENT), 3 * SEGMENT);
	close_pair(&p);
}

static void the_longest_datagram_passes_and_one_more_byte_does_not(void **state)
{
	static uint8_t big[UDP_DATAGRAM_MAX + 1];
	struct pair p;

	open_pair(&p, places[0], NULL);
	assert_int_equal(udp_send(&p.a, &p.to_b, big, UDP_DATAGRAM_MAX), 0);
	wait_for_datagram(&p.b);
	assert_int_equal(udp_receive_batch(&p.b, messages, 1), 1);
	assert_int_equal(messages[0].len, UDP_DATAGRAM_MAX);
	assert_int_equal(udp_send(&p.a, &p.to_b, big, UDP_DATAGRAM_MAX + 1), -EMSGSIZE);
	assert_int_equal(p.a.send_errors, 1);
	close_pair(&p);
}

static void a_datagram_that_does_not_fit_is_counted_and_empty(void **state)
{
	struct pair p;

	open_pair(&p, places[0], NULL);
	assert_int_equal(udp_send(&p.a, &p.to_b, memory[0], 101), 0);
	messages[0].size = 100;
	wait_for_datagram(&p.b);
	assert_int_equal(udp_receive_batch(&p.b, messages, 1), 1);
	assert_int_equal(messages[0].len, 0);
	assert_int_equal(p.b.truncated, 1);
	assert_int_equal(p.b.received_datagrams, 0);
	close_pair(&p);
}

static void a_closed_port_does_not_disturb_the_socket(void **state)
{
	struct pair p;

	open_pair(&p, places[0], NULL);
	udp_close(&p.b);
	for (int i = 0; i < 3; i++)
		assert_int_equal(udp_send(&p.a, &p.to_b, "x", 1), 0);
	assert_int_equal(udp_receive_batch(&p.a, messages, 4), 0);
	close_pair(&p);
}

static void the_local_address_is_told_when_wanted(void **state)
{
	static const struct udp_options local = {.want_local = true};
	struct pair p;

	for (int i = 0; i < 2; i++) {
		open_pair(&p, places[i], &local);
		assert_int_equal(udp_send(&p.a, &p.to_b, "x", 1), 0);
		wait_for_datagram(&p.b);
		assert_int_equal(udp_receive_batch(&p.b, messages, 4), 1);
		assert_true(address_equal(&messages[0].local, &p.to_b.addr));
		close_pair(&p);
	}
}

static void both_families_get_the_same_port(void **state)
{
	struct udp_socket v4, v6;
	struct endpoint e4, e6;

	assert_int_equal(udp_open_pair(0, NULL, &v4, &v6), 0);
	if (v6.fd < 0)
		skip();
	assert_int_equal(udp_local_endpoint(&v4, &e4), 0);
	assert_int_equal(udp_local_endpoint(&v6, &e6), 0);
	assert_int_equal(e4.port, e6.port);
	assert_int_not_equal(e4.port, 0);
	assert_int_equal(udp_open_pair(e4.port, NULL, &v4, &v6), -EADDRINUSE);
	udp_close(&v4);
	udp_close(&v6);
}

static void the_mtu_of_a_path_is_that_of_its_interface(void **state)
{
	struct endpoint to;

	assert_true(endpoint_parse("127.0.0.1:9", &to));
	assert_int_equal(udp_path_mtu(&to), UINT16_MAX); /* of 65,536 */
	assert_true(endpoint_parse("255.255.255.255:9", &to));
	assert_int_equal(udp_path_mtu(&to), 0);
}

static void a_socket_of_another_process_can_be_taken_over(void **state)
{
	struct udp_socket adopted;
	struct pair p;
	int pipe_fds[2];

	open_pair(&p, places[1], NULL);
	assert_int_equal(udp_adopt(p.b.fd, NULL, &adopted), 0);
	assert_int_equal(adopted.family, ADDR_V6);
	p.b = adopted;
	send_and_check(&p, 3 * SEGMENT, SEGMENT);
	close_pair(&p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pipe_fds), 0);
	assert_int_equal(udp_adopt(pipe_fds[0], NULL, &adopted), -EPROTOTYPE);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(super_datagrams_arrive_whole_with_their_segment_size),
		cmocka_unit_test(more_than_one_call_takes_is_cut_at_segments),
		cmocka_unit_test(every_fallback_carries_the_same_bytes),
		cmocka_unit_test(the_environment_forces_fallbacks_too),
		cmocka_unit_test(a_path_without_offload_is_learned_once_and_nothing_is_lost),
		cmocka_unit_test(a_refusal_of_this_size_does_not_turn_offload_off),
		cmocka_unit_test(an_old_kernel_takes_sixty_four_segments),
		cmocka_unit_test(a_full_socket_takes_whole_segments_and_then_says_so),
		cmocka_unit_test(parts_leave_in_one_send),
		cmocka_unit_test(what_a_full_socket_took_of_parts_is_said),
		cmocka_unit_test(the_longest_datagram_passes_and_one_more_byte_does_not),
		cmocka_unit_test(a_datagram_that_does_not_fit_is_counted_and_empty),
		cmocka_unit_test(a_closed_port_does_not_disturb_the_socket),
		cmocka_unit_test(the_local_address_is_told_when_wanted),
		cmocka_unit_test(both_families_get_the_same_port),
		cmocka_unit_test(the_mtu_of_a_path_is_that_of_its_interface),
		cmocka_unit_test(a_socket_of_another_process_can_be_taken_over),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("os/udp", tests, NULL, NULL);
}
