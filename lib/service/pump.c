#include "service/pump.h"

#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/rand.h"
#include "os/udp.h"
#include "service/gather.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	/* Where the kernel joins datagrams, few large buffers stay in the cache; where they come
	 * one by one, many of them leave in one send. */
	BATCH_FEW = 4,
	BATCH_MANY = 32,
	JOINED = 4096, /* bytes of a message, on average, from which on they are few */
	/* Buffers a power of two apart would share their places in the cache. */
	BUFFER_STRIDE = UDP_RECEIVE_SIZE + 1536,
	BUDGET_BATCHES = 8,
};

struct pump {
	struct loop *loop;
	struct engine *engine;	       /* borrowed; NULL: not started */
	struct udp_socket *sockets[2]; /* borrowed; IPv4, IPv6 */
	struct loop_fd *watches[2];    /* owned */
	struct loop_timer *timer;      /* owned */
	uint64_t armed_ns;	       /* when the timer comes; UINT64_MAX: it does not */
	pump_intercept *intercept;
	void *ctx;
	uint8_t *buffers; /* owned */
	struct udp_message messages[BATCH_MANY];
	unsigned batch;	      /* messages to ask for */
	struct gather gather; /* of bytes in buffers; empty between batches */
	uint64_t counters[PUMP_COUNTER_COUNT];
};

/* The timer is never moved later: an early wake-up now and then is cheaper than setting it for each
 * datagram. */
static void arm(struct pump *pump, uint64_t now)
{
	uint64_t next = engine_deadline(pump->engine), wait_ns;

	if (next >= pump->armed_ns)
		return;
	pump->armed_ns = next;
	wait_ns = next > now ? next - now : 0;
	loop_timer_start(pump->timer, (wait_ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void on_timer(void *arg)
{
	struct pump *pump = arg;
	uint64_t now = clock_boottime_ns();

	pump->armed_ns = UINT64_MAX;
	if (!pump->engine)
		return;
	engine_tick(pump->engine, now);
	arm(pump, now);
}

void pump_wake(struct pump *pump)
{
	if (pump->engine)
		arm(pump, clock_boottime_ns());
}

/* A full socket drops: a helper that waits for one member would stall all. */
static void send_parts(void *ctx, const struct endpoint *dst, const struct iovec *parts,
		       unsigned count, size_t segment)
{
	struct pump *pump = ctx;
	struct udp_socket *socket = pump->sockets[dst->addr.family == ADDR_V6];
	ssize_t n =
		socket->fd < 0 ? -EAFNOSUPPORT : udp_send_parts(socket, dst, parts, count, segment);
	size_t left = 0;

	for (unsigned i = 0; i < count; i++)
		left += parts[i].iov_len;
	if (n > 0) {
		pump->counters[PUMP_udp_sends]++;
		pump->counters[PUMP_udp_send_bytes] += (uint64_t)n;
		left -= (size_t)n;
	}
	pump->counters[n > 0 || n == -EAGAIN ? PUMP_udp_send_dropped : PUMP_udp_send_failed] +=
		(left + segment - 1) / segment;
}

static bool is_received(const struct pump *pump, const uint8_t *bytes)
{
	return bytes >= pump->buffers && bytes < pump->buffers + BATCH_MANY * BUFFER_STRIDE;
}

static void send_datagrams(void *ctx, const struct endpoint *dst, const uint8_t *bytes, size_t len,
			   size_t segment)
{
	struct pump *pump = ctx;
	const struct iovec part = {(void *)bytes, len};

	if (is_received(pump, bytes)) {
		gather_add(&pump->gather, dst, bytes, len, segment);
		return;
	}
	gather_flush(&pump->gather); /* nothing overtakes */
	send_parts(pump, dst, &part, 1, segment);
}

static void take_message(struct pump *pump, struct udp_message *m, uint64_t now)
{
	/* An empty datagram is one too. */
	size_t segment = MAX(m->segment_size ? m->segment_size : m->len, 1), at = 0;
	const struct via via = {.endpoint = m->source};

	pump->counters[PUMP_udp_read_bytes] += m->len;
	do {
		size_t n = 0;

		if (pump->intercept)
			n = pump->intercept(pump->ctx, &m->source, m->data + at, m->len - at,
					    segment, now);
		if (!n) {
			n = MIN(segment, m->len - at);
			engine_input(pump->engine, &via, m->data + at, n, now);
		}
		n = MAX(n, 1);
		pump->counters[PUMP_udp_read_datagrams] += (n + segment - 1) / segment;
		at += n;
	} while (at < m->len);
}

static void on_udp(void *arg, int fd, unsigned events)
{
	struct pump *pump = arg;
	struct udp_socket *socket = pump->sockets[pump->sockets[0]->fd != fd];
	uint64_t now = clock_boottime_ns();

	(void)events;
	for (int batch = 0; batch < BUDGET_BATCHES; batch++) {
		unsigned room = pump->batch;
		int n = udp_receive_batch(socket, pump->messages, room);
		size_t bytes = 0;

		if (n < 0)
			log_limited(LOG_LEVEL_WARN, 6, "cannot receive: %s", strerror(-n));
		if (n <= 0)
			break;
		pump->counters[PUMP_udp_reads]++;
		for (int i = 0; i < n; i++) {
			take_message(pump, &pump->messages[i], now);
			bytes += pump->messages[i].len;
		}
		gather_flush(&pump->gather);
		pump->batch = bytes / (size_t)n < JOINED ? BATCH_MANY : BATCH_FEW;
		if ((unsigned)n < room)
			break;
	}
	arm(pump, now);
}

static void fill_random(void *ctx, void *dst, size_t len)
{
	(void)ctx;
	rand_bytes(dst, len);
}

static void fill_timestamp(void *ctx, uint8_t dst[12])
{
	(void)ctx;
	clock_tai64n(clock_wall_ns(), dst);
}

void pump_engine_io(struct pump *pump, struct engine_io *ret_io)
{
	*ret_io = (struct engine_io){.ctx = pump,
				     .send = send_datagrams,
				     .random = fill_random,
				     .timestamp = fill_timestamp};
}

struct pump *pump_new(struct loop *loop, struct udp_socket *v4, struct udp_socket *v6)
{
	struct pump *pump = xcalloc(1, sizeof(*pump));

	pump->loop = loop;
	pump->sockets[0] = v4;
	pump->sockets[1] = v6;
	pump->armed_ns = UINT64_MAX;
	pump->batch = BATCH_MANY;
	gather_init(&pump->gather, send_parts, pump);
	pump->buffers = xmalloc((size_t)BATCH_MANY * BUFFER_STRIDE);
	for (size_t i = 0; i < BATCH_MANY; i++) {
		pump->messages[i].data = pump->buffers + i * BUFFER_STRIDE;
		pump->messages[i].size = UDP_RECEIVE_SIZE;
	}
	pump->timer = loop_timer_new(loop, on_timer, pump);
	return pump;
}

void pump_start(struct pump *pump, struct engine *engine, pump_intercept *intercept, void *ctx)
{
	pump->engine = engine;
	pump->intercept = intercept;
	pump->ctx = ctx;
	for (size_t i = 0; i < ARRAY_SIZE(pump->sockets); i++) {
		loop_fd_free(pump->watches[i]);
		pump->watches[i] = NULL;
		if (engine && pump->sockets[i]->fd >= 0)
			pump->watches[i] = loop_fd_new(pump->loop, pump->sockets[i]->fd, LOOP_READ,
						       on_udp, pump);
	}
}

void pump_free(struct pump *pump)
{
	if (!pump)
		return;
	pump_start(pump, NULL, NULL, NULL);
	loop_timer_free(pump->timer);
	free(pump->buffers);
	free(pump);
}

uint64_t pump_counter(const struct pump *pump, enum pump_counter counter)
{
	assert(counter < PUMP_COUNTER_COUNT);
	return pump->counters[counter];
}

const char *pump_counter_name(enum pump_counter counter)
{
	static const char *const names[] = {
#define X(name) #name,
		PUMP_COUNTERS(X)
#undef X
	};

	assert(counter < PUMP_COUNTER_COUNT);
	return names[counter];
}
