/* Paced UDP through a tunnel: how many packets a second pass without loss.
 *
 *	udpload receive PORT
 *	udpload find ADDRESS PORT SIZE [SECONDS]
 *	udpload first ADDRESS PORT MS
 *
 * `find` doubles the rate until more than one packet in a thousand is lost, then halves
 * the interval between the two, and prints the highest rate that passed, in packets a
 * second. The receiver counts by trial and tells the count when asked; questions and
 * answers go through the same tunnel.
 *
 * `first` asks each millisecond, for MS at most, whether there is a way yet or not; prints a line
 * when it begins, and the monotonic time in ns of the first answer. */

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
	MAGIC = 0x646e6c64,
	BURST_MAX = 32,
	SIZE_MAX_BYTES = 1400,
	BUFFER = 1 << 20, /* of a socket */
	FIRST = 5000,	  /* packets a second */
	LAST = 4000000,
	STEPS = 5,
	LOSS = 1000, /* one packet in so many may be lost */
	ASKS = 50,
	ASK_MS = 20,
	SPIN_NS = 60000,
};

struct message {
	uint32_t magic;
	uint32_t trial;
	uint32_t asks; /* 1: a question; 2: its answer */
	uint32_t count;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* For IPv6, and for IPv4 as mapped addresses. */
static int open_socket(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), size = BUFFER, off = 0;

	if (fd < 0) {
		perror("socket");
		exit(1);
	}
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return fd;
}

static struct sockaddr_in6 address_of(const char *text, const char *port)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6,
				       .sin6_port = htons((uint16_t)atoi(port))};
	char mapped[INET6_ADDRSTRLEN + 8];

	snprintf(mapped, sizeof(mapped), "%s%s", strchr(text, ':') ? "" : "::ffff:", text);
	if (inet_pton(AF_INET6, mapped, &address.sin6_addr) != 1) {
		fprintf(stderr, "udpload: no address: %s\n", text);
		exit(2);
	}
	return address;
}

static int receive(const char *port)
{
	struct sockaddr_in6 self = address_of("::", port), peer;
	static uint8_t bytes[BURST_MAX][SIZE_MAX_BYTES];
	struct sockaddr_in6 from[BURST_MAX];
	struct mmsghdr slots[BURST_MAX];
	struct iovec parts[BURST_MAX];
	uint32_t trial = 0, count = 0;
	int fd = open_socket();

	if (bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0) {
		perror("bind");
		return 1;
	}
	for (;;) {
		int n;

		for (int i = 0; i < BURST_MAX; i++) {
			parts[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
			slots[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
							   .msg_iovlen = 1,
							   .msg_name = &from[i],
							   .msg_namelen = sizeof(from[i])};
		}
		n = recvmmsg(fd, slots, BURST_MAX, MSG_WAITFORONE, NULL);
		if (n < 0 && errno != EINTR && errno != ECONNREFUSED) {
			perror("recvmmsg");
			return 1;
		}
		for (int i = 0; i < n; i++) {
			struct message m;

			memcpy(&m, bytes[i], sizeof(m));
			if (slots[i].msg_len < sizeof(m) || m.magic != MAGIC)
				continue;
			if (m.trial != trial)
				count = 0;
			trial = m.trial;
			if (!m.asks) {
				count++;
				continue;
			}
			m.asks = 2;
			m.count = count;
			peer = from[i];
			sendto(fd, &m, sizeof(m), 0, (struct sockaddr *)&peer, sizeof(peer));
		}
	}
}

/* What of the trial arrived; UINT32_MAX: no answer. Until two answers in a row say the same. */
static uint32_t ask(int fd, uint32_t trial)
{
	struct message question = {MAGIC, trial, 1, 0}, answer;
	uint32_t last = UINT32_MAX;

	for (int i = 0; i < ASKS; i++) {
		struct pollfd p = {fd, POLLIN, 0};

		(void)!send(fd, &question, sizeof(question), 0);
		if (poll(&p, 1, ASK_MS) <= 0 ||
		    recv(fd, &answer, sizeof(answer), 0) != sizeof(answer))
			continue;
		if (answer.magic != MAGIC || answer.asks != 2 || answer.trial != trial)
			continue;
		if (answer.count == last)
			return last;
		last = answer.count;
		poll(NULL, 0, 5);
	}
	return last;
}

static void wait_until(uint64_t at)
{
	uint64_t now = now_ns();

	if (at > now + SPIN_NS) {
		struct timespec t = {(time_t)((at - SPIN_NS) / 1000000000),
				     (long)((at - SPIN_NS) % 1000000000)};

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
	}
	while (now_ns() < at)
		;
}

/* True: passed, and was sent at the rate that was asked for (within 5 %). */
static bool try_rate(int fd, uint32_t rate, size_t size, double seconds)
{
	static uint32_t trial;
	static uint8_t bytes[SIZE_MAX_BYTES];
	struct iovec part = {bytes, size};
	struct mmsghdr slots[BURST_MAX] = {0};
	uint32_t total = (uint32_t)(rate * seconds), sent = 0, came;
	uint32_t burst = rate / 20000 < 1 ? 1 : rate / 20000 > BURST_MAX ? BURST_MAX : rate / 20000;
	uint64_t begin;
	double took;

	trial = trial ? trial + 1 : (uint32_t)now_ns() | 1;
	memcpy(bytes, &(struct message){MAGIC, trial, 0, 0}, sizeof(struct message));
	for (uint32_t i = 0; i < BURST_MAX; i++)
		slots[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
	begin = now_ns();
	while (sent < total) {
		uint32_t n = total - sent < burst ? total - sent : burst;
		int done;

		wait_until(begin + (uint64_t)(sent * 1e9 / rate));
		done = sendmmsg(fd, slots, n, 0);
		if (done < 0 && errno != ENOBUFS && errno != ECONNREFUSED && errno != EAGAIN) {
			perror("sendmmsg");
			exit(1);
		}
		sent += done > 0 ? (uint32_t)done : n;
	}
	took = (double)(now_ns() - begin) / 1e9;
	came = ask(fd, trial);
	if (came == UINT32_MAX)
		came = 0;
	return took < seconds * 1.05 && came <= total && total - came <= total / LOSS;
}

/* Twice at most: a moment in which the machine did something else is no loss of the tunnel. */
static bool passes(int fd, uint32_t rate, size_t size, double seconds)
{
	return try_rate(fd, rate, size, seconds) || try_rate(fd, rate, size, seconds);
}

static int find(const struct sockaddr_in6 *peer, size_t size, double seconds)
{
	uint32_t good = 0, bad = FIRST;
	int fd = open_socket();

	if (size < sizeof(struct message) || size > SIZE_MAX_BYTES ||
	    connect(fd, (const struct sockaddr *)peer, sizeof(*peer)) < 0) {
		fprintf(stderr, "udpload: %zu bytes: %s\n", size, strerror(errno));
		return 1;
	}
	while (bad < LAST && passes(fd, bad, size, seconds)) {
		good = bad;
		bad *= 2;
	}
	for (int i = 0; i < STEPS; i++) {
		uint32_t middle = good + (bad - good) / 2;

		if (passes(fd, middle, size, seconds))
			good = middle;
		else
			bad = middle;
	}
	printf("%u\n", good);
	return 0;
}

static int first(const struct sockaddr_in6 *peer, long tries)
{
	struct message question = {MAGIC, (uint32_t)now_ns() | 1, 1, 0}, answer;
	int fd = open_socket();

	puts("asking");
	fflush(stdout);
	for (long i = 0; i < tries; i++) {
		struct pollfd p = {fd, POLLIN, 0};

		(void)!sendto(fd, &question, sizeof(question), 0, (const struct sockaddr *)peer,
			      sizeof(*peer));
		if (poll(&p, 1, 1) <= 0 || recv(fd, &answer, sizeof(answer), 0) != sizeof(answer) ||
		    answer.magic != MAGIC || answer.asks != 2 || answer.trial != question.trial)
			continue;
		printf("%llu\n", (unsigned long long)now_ns());
		return 0;
	}
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 peer;

	if (argc == 3 && strcmp(argv[1], "receive") == 0)
		return receive(argv[2]);
	if (argc >= 5)
		peer = address_of(argv[2], argv[3]);
	if ((argc == 5 || argc == 6) && strcmp(argv[1], "find") == 0)
		return find(&peer, (size_t)atoi(argv[4]), argc == 6 ? atof(argv[5]) : 0.3);
	if (argc == 5 && strcmp(argv[1], "first") == 0)
		return first(&peer, atol(argv[4]));
	fputs("usage: udpload receive PORT | find ADDRESS PORT SIZE [SECONDS] |"
	      " first ADDRESS PORT MS\n",
	      stderr);
	return 2;
}
