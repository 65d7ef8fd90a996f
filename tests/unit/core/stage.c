#include "fixture/test.h"

#include "core/stage.h"

#include <stdlib.h>
#include <string.h>

static uint8_t bytes[STAGE_PACKET_MAX + 1], out[STAGE_PACKET_MAX];

static struct packet packet(size_t len, uint8_t fill)
{
	memset(bytes, fill, len);
	return (struct packet){.data = bytes, .len = len, .gso = GSO_UDP, .gso_size = fill};
}

static unsigned push(struct stage_pool *pool, struct stage *s, size_t len, uint8_t fill)
{
	struct packet p = packet(len, fill);

	return stage_push(pool, s, &p);
}

static void pop_is(struct stage_pool *pool, struct stage *s, size_t len, uint8_t fill)
{
	struct packet p;

	assert_true(stage_pop(pool, s, out, &p));
	assert_ptr_equal(p.data, out);
	assert_int_equal(p.len, len);
	assert_int_equal(p.gso, GSO_UDP);
	assert_int_equal(p.gso_size, fill);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(out[i], fill);
}

static void packets_come_out_as_they_went_in(void **state)
{
	static const size_t sizes[] = {0, 1, 20, 1280, 1992, 2000, 2031, 2032, 2033, 4064, 65535};
	enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
	struct stage_pool *pool = stage_pool_new(1 << 20);
	struct stage s = {0}, other = {0};
	struct packet p;

	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < COUNT; i++) {
			assert_int_equal(push(pool, &s, sizes[i], (uint8_t)i), 0);
			assert_int_equal(push(pool, &other, 100, (uint8_t)(100 + i)), 0);
		}
		for (size_t i = 0; i < COUNT; i++) {
			pop_is(pool, &s, sizes[i], (uint8_t)i);
			pop_is(pool, &other, 100, (uint8_t)(100 + i));
		}
		assert_false(stage_pop(pool, &s, out, &p));
		assert_int_equal(s.packets, 0);
		assert_int_equal(s.bytes, 0);
	}
	stage_pool_free(pool);
	stage_pool_free(NULL);
}

static void at_the_packet_limit_the_oldest_gives_way(void **state)
{
	struct stage_pool *pool = stage_pool_new(1 << 20);
	struct stage s = {0};

	for (unsigned i = 0; i < STAGE_PACKETS; i++)
		assert_int_equal(push(pool, &s, 10, (uint8_t)i), 0);
	assert_int_equal(push(pool, &s, 10, STAGE_PACKETS), 1);
	assert_int_equal(s.packets, STAGE_PACKETS);
	pop_is(pool, &s, 10, 1);
	assert_int_equal(stage_clear(pool, &s), STAGE_PACKETS - 1);
	stage_pool_free(pool);
}

static void at_the_byte_limit_as_many_as_needed_give_way(void **state)
{
	struct stage_pool *pool = stage_pool_new(1 << 20);
	struct stage s = {0};

	for (uint8_t i = 0; i < 4; i++)
		assert_int_equal(push(pool, &s, STAGE_BYTES / 4 - 1, i), 0);
	assert_int_equal(push(pool, &s, 4, 4), 0);
	assert_int_equal(s.bytes, STAGE_BYTES);
	assert_int_equal(push(pool, &s, 1, 5), 1);
	assert_int_equal(push(pool, &s, 65534, 6), 0);
	assert_int_equal(push(pool, &s, 65535, 7), 1);
	assert_true(s.bytes <= STAGE_BYTES);
	pop_is(pool, &s, STAGE_BYTES / 4 - 1, 2);
	stage_pool_free(pool);
}

static void an_empty_pool_takes_from_the_same_queue_only(void **state)
{
	struct stage_pool *pool = stage_pool_new(10 * 2048);
	struct stage s = {0}, other = {0};

	for (uint8_t i = 0; i < 9; i++)
		assert_int_equal(push(pool, &other, 100, i), 0);
	assert_int_equal(push(pool, &s, 100, 20), 0);
	assert_int_equal(push(pool, &s, 100, 21), 1);
	pop_is(pool, &s, 100, 21);
	assert_int_equal(push(pool, &s, 100, 22), 0);
	assert_int_equal(push(pool, &s, 5000, 23), 2);
	assert_int_equal(s.packets, 0);
	assert_int_equal(other.packets, 9);
	pop_is(pool, &other, 100, 0);
	stage_clear(pool, &other);
	assert_int_equal(push(pool, &s, 20000, 24), 0);
	pop_is(pool, &s, 20000, 24);
	stage_pool_free(pool);
}

static void a_packet_that_is_too_long_is_refused(void **state)
{
	struct stage_pool *pool = stage_pool_new(1 << 20);
	struct stage s = {0};

	assert_int_equal(push(pool, &s, STAGE_PACKET_MAX + 1, 1), 1);
	assert_int_equal(s.packets, 0);
	assert_int_equal(push(pool, &s, STAGE_PACKET_MAX, 1), 0);
	stage_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_come_out_as_they_went_in),
		cmocka_unit_test(at_the_packet_limit_the_oldest_gives_way),
		cmocka_unit_test(at_the_byte_limit_as_many_as_needed_give_way),
		cmocka_unit_test(an_empty_pool_takes_from_the_same_queue_only),
		cmocka_unit_test(a_packet_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests_name("core/stage", tests, NULL, NULL);
}
