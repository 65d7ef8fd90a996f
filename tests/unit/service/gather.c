#include "fixture/test.h"

#include "fixture/rng.h"
#include "service/gather.h"

#include <string.h>

enum { SENDS = 64, DESTINATIONS = 12 };

static struct gather gather;
static struct {
	struct endpoint to;
	struct iovec parts[GATHER_PARTS];
	unsigned count;
	size_t segment, len;
} sends[SENDS];
static unsigned send_count;
static uint8_t bytes[65536];

static void note(void *ctx, const struct endpoint *to, const struct iovec *parts, unsigned count,
		 size_t segment)
{
	assert_ptr_equal(ctx, &gather);
	assert_true(send_count < SENDS && count && count <= GATHER_PARTS && segment);
	sends[send_count].to = *to;
	memcpy(sends[send_count].parts, parts, count * sizeof(*parts));
	sends[send_count].count = count;
	sends[send_count].segment = segment;
	sends[send_count].len = 0;
	for (unsigned i = 0; i < count; i++) {
		assert_true(parts[i].iov_len && (i + 1 == count || !(parts[i].iov_len % segment)));
		sends[send_count].len += parts[i].iov_len;
	}
	assert_true(count == 1 || sends[send_count].len <= GATHER_BYTES);
	send_count++;
}

static int setup(void **state)
{
	(void)state;
	gather_init(&gather, note, &gather);
	send_count = 0;
	return 0;
}

static struct endpoint to(uint16_t number)
{
	return (struct endpoint){.addr = {.family = ADDR_V4, .bytes = {192, 0, 2, 1}},
				 .port = (uint16_t)(number + 1)};
}

static void add(uint16_t number, const void *at, size_t len, size_t segment)
{
	const struct endpoint destination = to(number);

	gather_add(&gather, &destination, at, len, segment);
}

struct piece {
	size_t len, segment;
};

/* How many sends they take, one after the other to one destination. */
static unsigned sends_of(const struct piece *pieces, size_t count)
{
	setup(NULL);
	for (size_t i = 0; i < count; i++)
		add(0, bytes, pieces[i].len, pieces[i].segment);
	gather_flush(&gather);
	return send_count;
}

static void what_fits_together_leaves_together(void **state)
{
	static const struct {
		struct piece pieces[4];
		size_t count;
		unsigned sends;
	} rows[] = {
		{{{100, 100}}, 1, 1},
		{{{100, 100}, {100, 100}, {100, 100}}, 3, 1},
		/* A burst and what follows it. */
		{{{500, 100}, {100, 100}, {300, 100}}, 3, 1},
		/* A shorter one ends it, alone or behind others. */
		{{{100, 100}, {60, 60}, {100, 100}}, 3, 2},
		{{{100, 100}, {60, 60}, {60, 60}}, 3, 2},
		{{{100, 100}, {60, 100}, {100, 100}}, 3, 2},
		{{{100, 100}, {160, 100}, {100, 100}}, 3, 2},
		/* A longer one, or several shorter ones, do not follow. */
		{{{100, 100}, {101, 101}}, 2, 2},
		{{{100, 100}, {120, 60}}, 2, 2},
		{{{60, 100}, {100, 100}}, 2, 2},
		/* 65,000 bytes, and one more. */
		{{{60000, 1000}, {5000, 1000}}, 2, 1},
		{{{60000, 1000}, {5001, 1000}}, 2, 2},
		{{{65500, 1000}, {1000, 1000}}, 2, 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(sends_of(rows[i].pieces, rows[i].count), rows[i].sends);
}

static void a_send_has_so_many_parts_at_most(void **state)
{
	(void)state;
	for (unsigned i = 0; i < GATHER_PARTS; i++)
		add(0, bytes + i * 10, 10, 10);
	assert_int_equal(send_count, 0);
	add(0, bytes + GATHER_PARTS * 10, 10, 10);
	assert_int_equal(send_count, 1);
	assert_int_equal(sends[0].count, GATHER_PARTS);
	gather_flush(&gather);
	assert_int_equal(send_count, 2);
	assert_ptr_equal(sends[1].parts[0].iov_base, bytes + GATHER_PARTS * 10);
	gather_flush(&gather);
	assert_int_equal(send_count, 2);
}

static void one_destination_too_many_sends_what_is_oldest(void **state)
{
	const struct endpoint first = to(0);

	(void)state;
	for (uint16_t i = 0; i < GATHER_HEAPS; i++)
		add(i, bytes, 10, 10);
	assert_int_equal(send_count, 0);
	add(GATHER_HEAPS, bytes, 10, 10);
	assert_int_equal(send_count, 1);
	assert_true(endpoint_equal(&sends[0].to, &first));
	gather_flush(&gather);
	assert_int_equal(send_count, GATHER_HEAPS + 1);
}

/* What was added for each destination, as a row of datagrams: where, how long. */
struct row {
	struct iovec list[2000];
	unsigned count;
};

static void append(struct row *row, const uint8_t *at, size_t len, size_t segment)
{
	for (size_t done = 0; done < len; done += segment) {
		size_t n = len - done < segment ? len - done : segment;

		assert_true(row->count < sizeof(row->list) / sizeof(row->list[0]));
		row->list[row->count++] = (struct iovec){(void *)(at + done), n};
	}
}

static void each_destination_gets_its_datagrams_in_their_order(void **state)
{
	static struct row added[DESTINATIONS], sent[DESTINATIONS];
	struct rng rng = rng_new("gather");

	(void)state;
	for (unsigned turn = 0; turn < 200; turn++) {
		memset(added, 0, sizeof(added));
		memset(sent, 0, sizeof(sent));
		setup(NULL);
		for (unsigned i = 0; i < 32; i++) {
			uint16_t who = (uint16_t)rng_below(&rng, 1 + turn % DESTINATIONS);
			size_t segment = 50 + 10 * rng_below(&rng, 2), len;
			const uint8_t *at = bytes + 1500 * i;

			len = rng_below(&rng, 3) ? segment : 1 + rng_below(&rng, 1400);
			append(&added[who], at, len, segment);
			add(who, at, len, segment);
		}
		gather_flush(&gather);
		for (unsigned i = 0; i < send_count; i++)
			for (unsigned n = 0; n < sends[i].count; n++)
				append(&sent[sends[i].to.port - 1], sends[i].parts[n].iov_base,
				       sends[i].parts[n].iov_len, sends[i].segment);
		assert_memory_equal(added, sent, sizeof(added));
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(what_fits_together_leaves_together),
		TEST(a_send_has_so_many_parts_at_most),
		TEST(one_destination_too_many_sends_what_is_oldest),
		TEST(each_destination_gets_its_datagrams_in_their_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
