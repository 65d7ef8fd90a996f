/* Bulk datagrams through a relay, from one socket to another of the same process, so that the next
 * burst leaves when an earlier one has arrived: as fast as the relay forwards, and nothing is lost
 * for want of a pause.
 *
 *	relayload load SEND-FD RECEIVE-FD IN OUT SIZE BURST WINDOW SECONDS
 *	relayload floor FD ADDRESS PORT
 *
 * `load`: both sockets are connected to the relay and handed over by the caller. Each datagram that
 * is sent has SIZE bytes and begins with the bytes IN (hexadecimal), each that arrives has to begin
 * with OUT and to be as long as SIZE less IN and with OUT. BURST of them leave in one send (1: each
 * alone), and at most WINDOW are on their way. Prints how many were sent, have arrived, did not
 * within 50 ms, or were others, and the seconds that it took.
 *
 * `floor` forwards what comes in at FD to ADDRESS, bursts as bursts, and looks at nothing: what the
 * kernel alone costs. It ends when it is killed. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO	    104
#endif

enum {
	HEADER_MAX = 16,
	SIZE_MAX_BYTES = 1472,
	BURST_MAX = 44,
	SLOTS = 32,
	SLOT = 65536,
	BUFFER = 4 << 20, /* of a socket */
	LOST_MS = 50,
};

struct header {
	uint8_t bytes[HEADER_MAX];
	size_t len;
};

struct load {
	int out, in;
	struct header header, expected;
	size_t size, burst;
	uint64_t window, sent, arrived, lost, others;
};

union segment_control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

static uint8_t slots[SLOTS][SLOT];

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void set_up(int fd)
{
	int size = BUFFER, on = 1;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)))
		fail("UDP_GRO");
}

static bool parse_header(const char *text, struct header *ret)
{
	ret->len = strlen(text) / 2;
	if (ret->len > HEADER_MAX || strlen(text) % 2)
		return false;
	for (size_t i = 0; i < ret->len; i++)
		if (sscanf(text + 2 * i, "%2hhx", &ret->bytes[i]) != 1)
			return false;
	return true;
}

/* Says in how long pieces the kernel has to cut what is sent. */
static void ask_segments(struct msghdr *message, union segment_control *control, uint16_t size)
{
	struct cmsghdr *c;

	message->msg_control = control;
	message->msg_controllen = CMSG_SPACE(sizeof(size));
	c = CMSG_FIRSTHDR(message);
	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(c), &size, sizeof(size));
}

/* What the kernel says of how it joined them; whole when it did not. */
static size_t joined_size(struct msghdr *message, size_t whole)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		int size;

		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		return (size_t)size;
	}
	return whole;
}

/* ---- Load ---- */

static void send_burst(struct load *l, uint8_t *bytes)
{
	struct iovec part = {bytes, l->size * l->burst};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	union segment_control control;

	if (l->burst > 1)
		ask_segments(&message, &control, (uint16_t)l->size);
	while (sendmsg(l->out, &message, 0) < 0)
		if (errno != EINTR && errno != ECONNREFUSED && errno != ENOBUFS)
			fail("sendmsg");
	l->sent += l->burst;
}

static void send_singles(struct load *l, uint8_t *bytes)
{
	struct iovec part = {bytes, l->size};
	struct mmsghdr messages[SLOTS];
	uint64_t room = l->window - (l->sent - l->arrived - l->lost);
	unsigned count = room < SLOTS ? (unsigned)room : SLOTS;
	int n;

	for (unsigned i = 0; i < count; i++)
		messages[i] = (struct mmsghdr){{.msg_iov = &part, .msg_iovlen = 1}};
	n = sendmmsg(l->out, messages, count, 0);
	if (n < 0 && errno != EINTR && errno != ECONNREFUSED && errno != ENOBUFS)
		fail("sendmmsg");
	l->sent += n > 0 ? (uint64_t)n : 0;
}

static void take(struct load *l, const uint8_t *bytes, size_t len, size_t size)
{
	const size_t want = l->size - l->header.len + l->expected.len;

	for (size_t at = 0; at < len; at += size) {
		size_t n = len - at < size ? len - at : size;

		if (n != want || memcmp(bytes + at, l->expected.bytes, l->expected.len))
			l->others++;
		else
			l->arrived++;
	}
}

/* Everything that is there; false: nothing was. */
static bool receive(struct load *l)
{
	union segment_control controls[SLOTS];
	struct mmsghdr messages[SLOTS];
	struct iovec parts[SLOTS];
	int n;

	for (int i = 0; i < SLOTS; i++) {
		parts[i] = (struct iovec){slots[i], SLOT};
		messages[i] = (struct mmsghdr){{.msg_iov = &parts[i],
						.msg_iovlen = 1,
						.msg_control = &controls[i],
						.msg_controllen = sizeof(controls[i])}};
	}
	n = recvmmsg(l->in, messages, SLOTS, MSG_DONTWAIT, NULL);
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
		fail("recvmmsg");
	for (int i = 0; i < n; i++)
		take(l, slots[i], messages[i].msg_len,
		     joined_size(&messages[i].msg_hdr, messages[i].msg_len));
	return n > 0;
}

static void run(struct load *l, double seconds)
{
	static uint8_t bytes[BURST_MAX * SIZE_MAX_BYTES];
	struct pollfd p = {l->in, POLLIN, 0};
	uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9);

	for (size_t i = 0; i < l->burst; i++)
		memcpy(bytes + i * l->size, l->header.bytes, l->header.len);
	while (now_ns() < end) {
		while (l->sent - l->arrived - l->lost + l->burst <= l->window)
			(l->burst > 1 ? send_burst : send_singles)(l, bytes);
		if (!receive(l) && poll(&p, 1, LOST_MS) == 0)
			l->lost = l->sent - l->arrived;
	}
	while (l->sent - l->arrived - l->lost && poll(&p, 1, LOST_MS) > 0)
		receive(l);
	l->lost = l->sent - l->arrived;
	printf("%llu %llu %llu %llu %.6f\n", (unsigned long long)l->sent,
	       (unsigned long long)l->arrived, (unsigned long long)l->lost,
	       (unsigned long long)l->others, (double)(now_ns() - begin) / 1e9);
}

static int load(char **argv)
{
	struct load l = {.out = atoi(argv[0]), .in = atoi(argv[1])};

	l.size = (size_t)atoi(argv[4]);
	l.burst = (size_t)atoi(argv[5]);
	l.window = (uint64_t)atoll(argv[6]);
	if (!parse_header(argv[2], &l.header) || !parse_header(argv[3], &l.expected) ||
	    l.size < l.header.len || l.size > SIZE_MAX_BYTES || !l.burst || l.burst > BURST_MAX ||
	    l.window < l.burst) {
		fputs("relayload: these arguments cannot be\n", stderr);
		return 2;
	}
	set_up(l.out);
	set_up(l.in);
	run(&l, atof(argv[7]));
	return 0;
}

/* ---- Floor ---- */

static int forward(int fd, const char *address, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		return 2;
	set_up(fd);
	for (;;) {
		union segment_control control;
		struct iovec part = {slots[0], SLOT};
		struct msghdr message = {.msg_iov = &part,
					 .msg_iovlen = 1,
					 .msg_control = &control,
					 .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(fd, &message, 0);
		size_t size;

		if (n < 0 && errno != EINTR && errno != ECONNREFUSED)
			fail("recvmsg");
		if (n < 0)
			continue;
		size = joined_size(&message, (size_t)n);
		part.iov_len = (size_t)n;
		message = (struct msghdr){.msg_name = &to,
					  .msg_namelen = sizeof(to),
					  .msg_iov = &part,
					  .msg_iovlen = 1};
		if ((size_t)n > size)
			ask_segments(&message, &control, (uint16_t)size);
		(void)!sendmsg(fd, &message, 0);
	}
}

int main(int argc, char **argv)
{
	if (argc == 10 && strcmp(argv[1], "load") == 0)
		return load(argv + 2);
	if (argc == 5 && strcmp(argv[1], "floor") == 0)
		return forward(atoi(argv[2]), argv[3], (uint16_t)atoi(argv[4]));
	fputs("usage: relayload load SEND-FD RECEIVE-FD IN OUT SIZE BURST WINDOW SECONDS\n"
	      "       relayload floor FD ADDRESS PORT\n",
	      stderr);
	return 2;
}
