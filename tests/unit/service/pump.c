#include "fixture/test.h"

#include "core/aead.h"
#include "core/engine.h"
#include "core/id.h"
#include "os/clock.h"
#include "os/loop.h"
#include "os/udp.h"
#include "service/pump.h"

#include <string.h>

/* A pump with an engine on a real loopback socket, and a second socket that talks to it. */

struct bench {
	struct loop *loop;
	struct udp_socket v4, v6, other;
	struct endpoint here, there;
	struct id *curve;
	struct engine_io io;
	struct engine *engine;
	struct pump *pump;
	struct loop_timer *limit;
	unsigned calls;
	size_t bytes, wanted;
	uint8_t first;
};

static struct bench bench;

static void on_limit(void *arg)
{
	(void)arg;
	fail_msg("nothing came within 5 s");
}

static size_t intercept(void *ctx, const struct endpoint *source, uint8_t *bytes, size_t len,
			size_t segment, uint64_t now)
{
	struct bench *b = ctx;
	size_t n = len < segment ? len : segment;

	(void)now;
	assert_true(endpoint_equal(source, &b->there));
	b->calls++;
	if (bytes[0] != b->first)
		return 0;
	b->bytes += n;
	if (b->bytes >= b->wanted)
		loop_stop(b->loop);
	return n;
}

static int setup(void **state)
{
	uint8_t seed[ID_SEED_LEN] = {0};
	struct endpoint any = {.addr = {.family = ADDR_V4, .bytes = {127, 0, 0, 1}}};

	(void)state;
	memset(&bench, 0, sizeof(bench));
	bench.v6.fd = -1;
	bench.loop = loop_new();
	assert_int_equal(udp_open(&any, NULL, &bench.v4), 0);
	assert_int_equal(udp_open(&any, NULL, &bench.other), 0);
	assert_int_equal(udp_local_endpoint(&bench.v4, &bench.here), 0);
	assert_int_equal(udp_local_endpoint(&bench.other, &bench.there), 0);
	bench.curve = id_new(seed);
	bench.pump = pump_new(bench.loop, &bench.v4, &bench.v6);
	pump_engine_io(bench.pump, &bench.io);
	bench.engine =
		engine_new(&bench.io, bench.curve, AEAD_CHACHA20_POLY1305, clock_boottime_ns());
	assert_non_null(bench.engine);
	bench.limit = loop_timer_new(bench.loop, on_limit, NULL);
	loop_timer_start(bench.limit, 5000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	engine_free(bench.engine);
	pump_free(bench.pump);
	loop_timer_free(bench.limit);
	udp_close(&bench.v4);
	udp_close(&bench.other);
	id_free(bench.curve);
	loop_free(bench.loop);
	return 0;
}

static void send_to_pump(const void *bytes, size_t len, size_t segment)
{
	assert_int_equal(udp_send_segments(&bench.other, &bench.here, bytes, len, segment), len);
}

static void what_the_interceptor_leaves_goes_to_the_engine(void **state)
{
	static const uint8_t foreign[] = {0x17, 1, 2}, ours[] = {0xaa, 1, 2, 3};

	(void)state;
	bench.first = 0xaa;
	bench.wanted = sizeof(ours);
	pump_start(bench.pump, bench.engine, intercept, &bench);
	send_to_pump(foreign, sizeof(foreign), sizeof(foreign));
	send_to_pump(ours, sizeof(ours), sizeof(ours));
	loop_run(bench.loop);
	assert_int_equal(bench.calls, 2);
	assert_int_equal(bench.bytes, sizeof(ours));
	assert_int_equal(engine_counter(bench.engine, ENGINE_datagram_unknown), 1);
	assert_int_equal(pump_counter(bench.pump, PUMP_udp_read_datagrams), 2);
	assert_int_equal(pump_counter(bench.pump, PUMP_udp_read_bytes),
			 sizeof(foreign) + sizeof(ours));
}

/* However the kernel joins them, each is seen once, the short one at the end too. */
static void a_batch_of_segments_is_cut_as_it_was_sent(void **state)
{
	uint8_t bytes[10 * 100 + 30];

	(void)state;
	memset(bytes, 0xaa, sizeof(bytes));
	bytes[300] = 0x17; /* the fourth is not for the interceptor */
	bench.first = 0xaa;
	bench.wanted = sizeof(bytes) - 100;
	pump_start(bench.pump, bench.engine, intercept, &bench);
	send_to_pump(bytes, sizeof(bytes), 100);
	loop_run(bench.loop);
	assert_int_equal(bench.calls, 11);
	assert_int_equal(bench.bytes, sizeof(bytes) - 100);
	assert_int_equal(engine_counter(bench.engine, ENGINE_datagram_unknown), 1);
	assert_int_equal(pump_counter(bench.pump, PUMP_udp_read_datagrams), 11);
}

/* Forwards in place to the other socket; what begins with 0xee is answered from memory of its own.
 */
static size_t forward(void *ctx, const struct endpoint *source, uint8_t *bytes, size_t len,
		      size_t segment, uint64_t now)
{
	static const uint8_t answer[] = {0xee, 0xee};
	struct bench *b = ctx;

	(void)now;
	(void)segment;
	if (bytes[0] == 0xee)
		b->io.send(b->io.ctx, source, answer, sizeof(answer), sizeof(answer));
	else
		b->io.send(b->io.ctx, source, bytes, len, segment);
	b->bytes += len;
	if (b->bytes >= b->wanted)
		loop_stop(b->loop);
	return len;
}

/* Sends one by one what has to come back in this order; returns the pump's sends. */
static uint64_t there_and_back(uint8_t (*datagrams)[100], const size_t *lens, unsigned count)
{
	static uint8_t memory[16][UDP_RECEIVE_SIZE];
	struct udp_message messages[16];
	unsigned got = 0;

	bench.wanted = 0;
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(udp_send(&bench.other, &bench.here, datagrams[i], lens[i]), 0);
		bench.wanted += lens[i];
	}
	pump_start(bench.pump, bench.engine, forward, &bench);
	loop_run(bench.loop);
	for (unsigned i = 0; i < 16; i++)
		messages[i] = (struct udp_message){.data = memory[i], .size = sizeof(memory[i])};
	while (got < count) {
		/* On the loopback it is there when it was sent. */
		int n = udp_receive_batch(&bench.other, messages, 16);

		assert_true(n > 0);
		for (int i = 0; i < n; i++) {
			for (size_t at = 0; at < messages[i].len; at += lens[got++]) {
				size_t len = datagrams[got][0] == 0xee ? 2 : lens[got];

				assert_true(got < count && messages[i].len - at >= len);
				assert_memory_equal(messages[i].data + at, datagrams[got], len);
			}
		}
	}
	assert_int_equal(got, count);
	return pump_counter(bench.pump, PUMP_udp_sends);
}

static void what_is_forwarded_in_place_leaves_together(void **state)
{
	static const struct {
		size_t lens[8];
		unsigned count;
		int answer; /* number of the one that is answered, -1: none */
		uint64_t sends;
	} rows[] = {
		{{100, 100, 100, 100, 100, 100, 100, 100}, 8, -1, 1},
		{{100, 100, 100, 30, 100, 100}, 6, -1, 2},
		{{100, 90, 80, 70}, 4, -1, 2},
		/* Nothing overtakes it, and it overtakes nothing. */
		{{100, 100, 100, 100, 100}, 5, 2, 3},
	};
	uint8_t datagrams[8][100];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (i) {
			teardown(NULL);
			setup(NULL);
		}
		for (unsigned n = 0; n < rows[i].count; n++)
			memset(datagrams[n], (int)n + 1, sizeof(datagrams[n]));
		if (rows[i].answer >= 0)
			memset(datagrams[rows[i].answer], 0xee, sizeof(datagrams[0]));
		assert_int_equal(there_and_back(datagrams, rows[i].lens, rows[i].count),
				 rows[i].sends);
	}
}

static void a_missing_family_is_counted_and_dropped(void **state)
{
	static const uint8_t bytes[250];
	struct endpoint v6 = {.addr = {.family = ADDR_V6, .bytes = {[15] = 1}}, .port = 9};

	(void)state;
	bench.io.send(bench.io.ctx, &v6, bytes, sizeof(bytes), 100);
	assert_int_equal(pump_counter(bench.pump, PUMP_udp_send_failed), 3);
	assert_int_equal(pump_counter(bench.pump, PUMP_udp_sends), 0);
	bench.io.send(bench.io.ctx, &bench.there, bytes, sizeof(bytes), 100);
	assert_int_equal(pump_counter(bench.pump, PUMP_udp_send_bytes), sizeof(bytes));
}

static void nothing_is_read_before_the_start_and_after_the_stop(void **state)
{
	static const uint8_t ours[] = {0xaa, 1};

	(void)state;
	bench.first = 0xaa;
	bench.wanted = sizeof(ours);
	pump_wake(bench.pump); /* without an engine: nothing */
	send_to_pump(ours, sizeof(ours), sizeof(ours));
	assert_int_equal(bench.calls, 0);
	pump_start(bench.pump, bench.engine, intercept, &bench);
	loop_run(bench.loop); /* what waited comes now */
	assert_int_equal(bench.calls, 1);
	pump_start(bench.pump, NULL, NULL, NULL);
	pump_wake(bench.pump);
	assert_int_equal(pump_counter(bench.pump, PUMP_udp_reads), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_the_interceptor_leaves_goes_to_the_engine),
		TEST(a_batch_of_segments_is_cut_as_it_was_sent),
		TEST(what_is_forwarded_in_place_leaves_together),
		TEST(a_missing_family_is_counted_and_dropped),
		TEST(nothing_is_read_before_the_start_and_after_the_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
