#include "fixture/test.h"

#include "ovr/quota.h"

static const uint64_t S = 1000000000;

/* One datagram. */
static enum quota_verdict take(struct quota *q, uint32_t rate_kbit, uint32_t volume_mib,
			       size_t bytes, uint64_t now)
{
	size_t passed;
	enum quota_verdict verdict =
		quota_take(q, rate_kbit, volume_mib, bytes, bytes, now, &passed);

	assert_int_equal(passed, verdict == QUOTA_PASS ? bytes : 0);
	return verdict;
}

static void without_limits_all_passes(void **state)
{
	struct quota q = {0};

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(take(&q, 0, 0, 65507, 1), QUOTA_PASS);
	assert_true(q.used == 1000 * UINT64_C(65507));
	assert_false(quota_used_up(&q, 0));
}

static void the_volume_ends_when_it_is_reached(void **state)
{
	struct quota q = {0};

	(void)state;
	q.used = (1 << 20) - 1;
	assert_false(quota_used_up(&q, 1));
	assert_int_equal(take(&q, 0, 1, 1, 1), QUOTA_PASS);
	assert_true(quota_used_up(&q, 1));
	assert_int_equal(take(&q, 0, 1, 1, 1), QUOTA_VOLUME);
	assert_int_equal(q.dropped, 1);
	/* A larger grant lets it go on. */
	assert_int_equal(take(&q, 0, 2, 1, 1), QUOTA_PASS);
}

static void a_new_bucket_is_full_and_holds_no_more(void **state)
{
	struct quota q = {0};
	const uint32_t rate = 8000; /* 1,000,000 bytes a second: the bucket holds 250,000 */

	(void)state;
	assert_int_equal(take(&q, rate, 0, 250000, 0), QUOTA_PASS);
	assert_int_equal(take(&q, rate, 0, 1, 0), QUOTA_RATE);
	assert_int_equal(take(&q, rate, 0, 1001, S / 1000), QUOTA_RATE);
	assert_int_equal(take(&q, rate, 0, 1000, S / 1000), QUOTA_PASS);
	assert_int_equal(take(&q, rate, 0, 250001, 100 * S), QUOTA_RATE);
	assert_int_equal(take(&q, rate, 0, 250000, 100 * S), QUOTA_PASS);
	assert_int_equal(q.used, 501000);
}

/* The figures of the fastest and the slowest grant stay in range. */
static void the_rate_holds_over_many_small_steps(void **state)
{
	static const uint32_t rates[] = {1, 7, 1000, 8000, 1000000, UINT32_MAX};

	(void)state;
	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct quota q = {0};
		uint64_t rate = (uint64_t)rates[i] * 125, full, start = 5 * S, now = start;

		full = rate / 4 > 65536 ? rate / 4 : 65536;
		for (unsigned n = 0; n < 20000; n++) {
			now = start + n * (4 * S / 20000);
			take(&q, rates[i], 0, rate / 5000 + 1, now);
		}
		assert_true(q.used <= full + 4 * rate);
		assert_true(q.used >= (full + 4 * rate) / 10 * 9 || q.dropped == 0);
	}
}

static void the_slowest_bucket_fills_again(void **state)
{
	struct quota q = {0};

	(void)state;
	assert_int_equal(take(&q, 1, 0, 65536, S), QUOTA_PASS);
	assert_int_equal(take(&q, 1, 0, 1250, 11 * S - 1), QUOTA_RATE);
	assert_int_equal(take(&q, 1, 0, 1250, 11 * S), QUOTA_PASS);
	assert_int_equal(take(&q, 1, 0, 65536, 600 * S), QUOTA_PASS);
}

/* A batch ends where its datagrams would have ended one by one. */
static void of_a_batch_the_first_ones_pass(void **state)
{
	static const struct {
		uint32_t rate_kbit, volume_mib;
		uint64_t used;
		size_t len, passed; /* of datagrams of 1,000 bytes */
		enum quota_verdict verdict;
	} rows[] = {
		/* The bucket of 1 kbit/s holds 65,536 bytes. */
		{1, 0, 0, 65000, 65000, QUOTA_PASS},
		{1, 0, 0, 65536, 65536, QUOTA_PASS},
		{1, 0, 0, 65537, 65000, QUOTA_RATE},
		{1, 0, 0, 70000, 65000, QUOTA_RATE},
		/* The volume of 1 MiB is reached in the middle of one, or at its end. */
		{0, 1, (1 << 20) - 2001, 5000, 3000, QUOTA_VOLUME},
		{0, 1, (1 << 20) - 2000, 5000, 2000, QUOTA_VOLUME},
		{0, 1, (1 << 20) - 1, 1000, 1000, QUOTA_PASS},
		{0, 1, (1 << 20) - 1, 1001, 1000, QUOTA_VOLUME},
		{0, 1, (1 << 20) - 2001, 2500, 2500, QUOTA_PASS},
		{0, 1, 1 << 20, 5000, 0, QUOTA_VOLUME},
		{0, 1, (1 << 20) + 700, 5000, 0, QUOTA_VOLUME},
		/* Both: who has less room decides. */
		{1, 1, (1 << 20) - 2000, 70000, 2000, QUOTA_VOLUME},
		{1, 1, (1 << 20) - 66000, 67000, 65000, QUOTA_RATE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct quota q = {.used = rows[i].used};
		size_t passed;

		assert_int_equal(quota_take(&q, rows[i].rate_kbit, rows[i].volume_mib, rows[i].len,
					    1000, S, &passed),
				 rows[i].verdict);
		assert_int_equal(passed, rows[i].passed);
		assert_int_equal(q.used, rows[i].used + passed);
		assert_int_equal(q.dropped, rows[i].len - passed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_limits_all_passes),
		cmocka_unit_test(the_volume_ends_when_it_is_reached),
		cmocka_unit_test(a_new_bucket_is_full_and_holds_no_more),
		cmocka_unit_test(the_rate_holds_over_many_small_steps),
		cmocka_unit_test(the_slowest_bucket_fills_again),
		cmocka_unit_test(of_a_batch_the_first_ones_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
