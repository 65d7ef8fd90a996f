#include "fixture/test.h"

#include "core/ratelimit.h"

#include <sodium.h>
#include <string.h>

/* PROTOCOL 4.2: 20 a second, burst 5. */
enum { RATE = 20, BURST = 5 };

#define MS    UINT64_C(1000000)
#define START (UINT64_C(1000) * MS)

static const uint8_t seed[RATELIMIT_SEED_LEN] = {3};

static struct address v4(uint32_t n)
{
	return (struct address){.family = ADDR_V4,
				.bytes = {n >> 24, n >> 16 & 255, n >> 8 & 255, n & 255}};
}

static struct ratelimit *new_limit(size_t buckets)
{
	struct ratelimit *limit = ratelimit_new(buckets, RATE, BURST, seed);

	assert_non_null(limit);
	return limit;
}

static unsigned take_all(struct ratelimit *limit, const struct address *src, uint64_t now)
{
	unsigned taken = 0;

	while (ratelimit_take(limit, src, now))
		taken++;
	return taken;
}

static void a_burst_passes_and_the_one_past_it_does_not(void **state)
{
	struct ratelimit *limit = new_limit(64);
	struct address a = v4(0x0a000001);

	for (int i = 0; i < BURST; i++)
		assert_true(ratelimit_take(limit, &a, START));
	assert_false(ratelimit_take(limit, &a, START));
	ratelimit_free(limit);
}

static void a_token_comes_back_after_its_time_and_not_before(void **state)
{
	struct ratelimit *limit = new_limit(64);
	struct address a = v4(0x0a000001);

	assert_int_equal(take_all(limit, &a, START), BURST);
	assert_false(ratelimit_take(limit, &a, START + 50 * MS - 1));
	assert_true(ratelimit_take(limit, &a, START + 50 * MS));
	assert_false(ratelimit_take(limit, &a, START + 50 * MS));
	/* A long rest fills the bucket and no more. */
	assert_int_equal(take_all(limit, &a, START + 3600 * 1000 * MS), BURST);
	ratelimit_free(limit);
}

static void twenty_a_second_pass_in_the_long_run(void **state)
{
	struct ratelimit *limit = new_limit(64);
	struct address a = v4(0x0a000001);
	unsigned taken = 0;

	for (uint64_t ms = 0; ms < 10000; ms++)
		taken += ratelimit_take(limit, &a, START + ms * MS);
	assert_int_equal(taken, BURST + RATE * 10 - 1);
	ratelimit_free(limit);
}

static void an_ipv4_address_has_a_bucket_of_its_own(void **state)
{
	struct ratelimit *limit = new_limit(64);
	struct address a = v4(0x0a000001), b = v4(0x0a000002);

	assert_int_equal(take_all(limit, &a, START), BURST);
	assert_int_equal(take_all(limit, &b, START), BURST);
	/* Bytes after the address do not make another source. */
	memset(a.bytes + 4, 0xff, 12);
	assert_false(ratelimit_take(limit, &a, START));
	ratelimit_free(limit);
}

static void an_ipv6_64_has_one_bucket(void **state)
{
	struct ratelimit *limit = new_limit(64);
	struct address a = {.family = ADDR_V6, .bytes = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1}};
	struct address same = a, next = a;

	memset(same.bytes + 8, 0xaa, 8);
	next.bytes[7]++;
	assert_int_equal(take_all(limit, &a, START), BURST);
	assert_false(ratelimit_take(limit, &same, START));
	assert_int_equal(take_all(limit, &next, START), BURST);
	ratelimit_free(limit);
}

static void ipv4_is_not_the_ipv6_prefix_of_the_same_bytes(void **state)
{
	struct ratelimit *limit = new_limit(64);
	struct address a = v4(0x20010db8), b = {.family = ADDR_V6, .bytes = {0x20, 1, 0xd, 0xb8}};

	assert_int_equal(take_all(limit, &a, START), BURST);
	assert_int_equal(take_all(limit, &b, START), BURST);
	ratelimit_free(limit);
}

/* Four places are all there are: the fifth source takes the place of the one nearest to full. */
static void a_full_table_forgets_the_one_that_waited_longest(void **state)
{
	struct ratelimit *limit = new_limit(4);
	struct address a;

	for (uint32_t i = 0; i < 4; i++) {
		a = v4(i);
		assert_int_equal(take_all(limit, &a, START + i * MS), BURST);
	}
	a = v4(4);
	assert_true(ratelimit_take(limit, &a, START + 4 * MS));
	for (uint32_t i = 1; i < 4; i++) {
		a = v4(i);
		assert_false(ratelimit_take(limit, &a, START + 4 * MS));
	}
	ratelimit_free(limit);
}

static void strangers_in_masses_do_not_free_a_source_under_watch(void **state)
{
	struct ratelimit *limit = new_limit(1024);
	struct address busy = v4(1), other;
	unsigned taken = 0;

	for (uint32_t i = 0; i < 100000; i++) {
		other = v4(i + 2);
		ratelimit_take(limit, &other, START);
		taken += ratelimit_take(limit, &busy, START);
	}
	/* One token each makes a stranger fuller than the busy one, who so keeps his place. */
	assert_int_equal(taken, BURST);
	ratelimit_free(limit);
}

static void null_is_freed(void **state)
{
	ratelimit_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_passes_and_the_one_past_it_does_not),
		cmocka_unit_test(a_token_comes_back_after_its_time_and_not_before),
		cmocka_unit_test(twenty_a_second_pass_in_the_long_run),
		cmocka_unit_test(an_ipv4_address_has_a_bucket_of_its_own),
		cmocka_unit_test(an_ipv6_64_has_one_bucket),
		cmocka_unit_test(ipv4_is_not_the_ipv6_prefix_of_the_same_bytes),
		cmocka_unit_test(a_full_table_forgets_the_one_that_waited_longest),
		cmocka_unit_test(strangers_in_masses_do_not_free_a_source_under_watch),
		cmocka_unit_test(null_is_freed),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("core/ratelimit", tests, NULL, NULL);
}
