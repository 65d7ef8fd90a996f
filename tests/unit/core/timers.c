#include "fixture/test.h"

#include "core/timers.h"

#include <stdio.h>
#include <stdlib.h>

static const uint64_t T0 = 1000 * NS_PER_S;

static void fresh(struct timers *t)
{
	timers_init(t);
	timers_set_sessions(t, true, T0, true, true, T0);
}

static void nothing_is_due_for_a_fresh_peer(void **state)
{
	struct timers t;

	(void)state;
	timers_init(&t);
	assert_true(timers_deadline(&t) == TIMERS_NEVER);
	assert_int_equal(timers_due(&t, UINT64_MAX - 1), 0);
}

static void retries_double_from_300_ms_to_5_s(void **state)
{
	static const unsigned ms[] = {300, 600, 1200, 2400, 4800, 5000, 5000};
	struct timers t;
	uint64_t now = T0;

	(void)state;
	timers_init(&t);
	timers_connect(&t, now);
	for (unsigned i = 0; i < 7; i++) {
		assert_true(timers_due(&t, now) & TIMERS_ACTION_TRY);
		timers_tried(&t, UINT32_C(1) << 31, now);
		assert_in_range(t.try_at, now + ms[i] * NS_PER_MS * 999 / 1000,
				now + ms[i] * NS_PER_MS * 1001 / 1000);
		assert_false(timers_due(&t, t.try_at - 1) & TIMERS_ACTION_TRY);
		now = t.try_at;
	}
}

static void jitter_is_20_percent_at_most(void **state)
{
	struct timers t;

	(void)state;
	timers_init(&t);
	timers_connect(&t, T0);
	timers_tried(&t, 0, T0);
	assert_true(t.try_at == T0 + 240 * NS_PER_MS);
	timers_init(&t);
	timers_connect(&t, T0);
	timers_tried(&t, UINT32_MAX, T0);
	assert_in_range(t.try_at, T0 + 359 * NS_PER_MS, T0 + 360 * NS_PER_MS);
}

static void giving_up_comes_20_s_after_the_first_try(void **state)
{
	struct timers t;

	(void)state;
	timers_init(&t);
	timers_connect(&t, T0);
	timers_tried(&t, 0, T0 + 5);
	assert_false(timers_due(&t, T0 + 4 + TIMERS_GIVE_UP) & TIMERS_ACTION_GIVE_UP);
	assert_true(timers_due(&t, T0 + 5 + TIMERS_GIVE_UP) & TIMERS_ACTION_GIVE_UP);
	assert_true(timers_silent(&t));
	timers_gave_up(&t, T0 + 5 + TIMERS_GIVE_UP);
	assert_true(timers_deadline(&t) == T0 + 5 + TIMERS_GIVE_UP + TIMERS_TRY_AGAIN);
	/* A packet comes: it waits until 30 s have passed. */
	timers_connect(&t, T0 + 6 + TIMERS_GIVE_UP);
	assert_true(timers_deadline(&t) == T0 + 5 + TIMERS_GIVE_UP + TIMERS_TRY_AGAIN);
	/* News of it do not. */
	timers_retry(&t, T0 + 7 + TIMERS_GIVE_UP);
	assert_true(timers_deadline(&t) == T0 + 7 + TIMERS_GIVE_UP);
}

static void one_that_was_given_up_is_idle_after_30_s(void **state)
{
	const uint64_t at = T0 + TIMERS_GIVE_UP;
	struct timers t;

	(void)state;
	timers_init(&t);
	assert_true(timers_idle(&t));
	timers_connect(&t, T0);
	timers_tried(&t, 0, T0);
	assert_false(timers_idle(&t));
	timers_gave_up(&t, at);
	assert_false(timers_idle(&t));
	assert_int_equal(timers_due(&t, at + TIMERS_TRY_AGAIN - 1), 0);
	assert_int_equal(timers_due(&t, at + TIMERS_TRY_AGAIN), TIMERS_ACTION_FORGET);
	timers_forget(&t);
	assert_true(timers_idle(&t));
	assert_true(timers_deadline(&t) == TIMERS_NEVER);
	timers_set_sessions(&t, true, at, false, false, 0);
	assert_false(timers_idle(&t));
	timers_set_sessions(&t, false, 0, false, false, 0);
	timers_set_persistent(&t, true);
	assert_false(timers_idle(&t));
}

static void a_persistent_peer_is_given_up_once_and_tried_on(void **state)
{
	struct timers t;
	uint64_t now = T0;
	unsigned gave_up = 0;

	(void)state;
	timers_init(&t);
	timers_set_persistent(&t, true);
	assert_int_equal(timers_due(&t, now), TIMERS_ACTION_CONNECT);
	timers_connect(&t, now);
	while (now < T0 + 600 * NS_PER_S) {
		unsigned due = timers_due(&t, now);

		if (due & TIMERS_ACTION_GIVE_UP) {
			gave_up++;
			timers_gave_up(&t, now);
		}
		if (due & TIMERS_ACTION_TRY)
			timers_tried(&t, UINT32_MAX, now);
		assert_true(timers_deadline(&t) > now && timers_deadline(&t) <= now + 6 * NS_PER_S);
		now = timers_deadline(&t);
	}
	assert_int_equal(gave_up, 1);
}

static void a_retry_keeps_50_ms_from_the_last_try(void **state)
{
	struct timers t;

	(void)state;
	timers_init(&t);
	timers_connect(&t, T0);
	timers_tried(&t, 0, T0);
	timers_retry(&t, T0 + 10 * NS_PER_MS);
	assert_true(timers_deadline(&t) == T0 + 50 * NS_PER_MS);
	timers_tried(&t, 0, T0 + 50 * NS_PER_MS);
	timers_retry(&t, T0 + 100 * NS_PER_MS);
	assert_true(timers_deadline(&t) == T0 + 100 * NS_PER_MS);
}

static void news_of_one_that_was_given_up_long_ago_try_it_at_once(void **state)
{
	struct timers t;

	(void)state;
	timers_init(&t);
	timers_set_persistent(&t, true);
	timers_connect(&t, T0);
	timers_tried(&t, 0, T0);
	timers_gave_up(&t, T0 + TIMERS_GIVE_UP);
	timers_set_persistent(&t, false);
	timers_retry(&t, T0 + 100 * NS_PER_S);
	assert_int_equal(timers_due(&t, T0 + 100 * NS_PER_S), TIMERS_ACTION_TRY);
}

static void the_initiator_rekeys_at_120_s_when_it_sends_or_receives(void **state)
{
	struct timers t;

	(void)state;
	fresh(&t);
	timers_sent(&t, TIMERS_FRAME, T0 + TIMERS_REKEY_AFTER - 1);
	assert_int_equal(timers_due(&t, T0 + TIMERS_REKEY_AFTER - 1), 0);
	assert_int_equal(timers_due(&t, T0 + TIMERS_REJECT_AFTER - 1), 0);
	timers_sent(&t, TIMERS_FRAME, T0 + TIMERS_REKEY_AFTER);
	assert_int_equal(timers_due(&t, T0 + TIMERS_REKEY_AFTER), TIMERS_ACTION_CONNECT);
	fresh(&t);
	timers_received(&t, TIMERS_EMPTY, T0 + TIMERS_REKEY_AFTER);
	assert_int_equal(timers_due(&t, T0 + TIMERS_REKEY_AFTER), TIMERS_ACTION_CONNECT);
	/* The responder does not. */
	timers_set_sessions(&t, true, T0, true, false, T0);
	assert_int_equal(timers_due(&t, T0 + TIMERS_REKEY_AFTER), 0);
}

static void sessions_end_at_180_s(void **state)
{
	struct timers t;

	(void)state;
	fresh(&t);
	assert_int_equal(timers_due(&t, T0 + TIMERS_REJECT_AFTER - 1), 0);
	assert_int_equal(timers_due(&t, T0 + TIMERS_REJECT_AFTER), TIMERS_ACTION_EXPIRE);
	timers_set_sessions(&t, false, 0, false, false, 0);
	assert_true(timers_deadline(&t) == TIMERS_NEVER);
}

static void a_keepalive_comes_10_s_after_a_packet_that_got_nothing_back(void **state)
{
	struct timers t;

	(void)state;
	fresh(&t);
	timers_received(&t, TIMERS_PACKET, T0 + 1);
	timers_received(&t, TIMERS_PACKET, T0 + 5 * NS_PER_S);
	assert_true(timers_deadline(&t) == T0 + 1 + TIMERS_KEEPALIVE);
	timers_sent(&t, TIMERS_FRAME, T0 + 6 * NS_PER_S);
	assert_int_equal(timers_due(&t, T0 + 1 + TIMERS_KEEPALIVE), 0);
	timers_received(&t, TIMERS_EMPTY, T0 + 20 * NS_PER_S);
	assert_int_equal(timers_due(&t, T0 + 40 * NS_PER_S), 0);
}

static void silence_after_data_asks_for_a_new_handshake(void **state)
{
	struct timers t;

	(void)state;
	fresh(&t);
	timers_sent(&t, TIMERS_PACKET, T0);
	timers_sent(&t, TIMERS_PACKET, T0 + NS_PER_S);
	assert_int_equal(timers_due(&t, T0 + TIMERS_UNANSWERED - 1), 0);
	assert_int_equal(timers_due(&t, T0 + TIMERS_UNANSWERED), TIMERS_ACTION_CONNECT);
	timers_sent(&t, TIMERS_ASK, T0 + NS_PER_S);
	assert_int_equal(timers_due(&t, T0 + NS_PER_S + TIMERS_UNANSWERED_ASK),
			 TIMERS_ACTION_CONNECT);
	timers_received(&t, TIMERS_EMPTY, T0 + 2 * NS_PER_S);
	assert_int_equal(timers_due(&t, T0 + 60 * NS_PER_S), 0);
	timers_sent(&t, TIMERS_FRAME, T0 + 3 * NS_PER_S);
	timers_sent(&t, TIMERS_EMPTY, T0 + 3 * NS_PER_S);
	assert_int_equal(timers_due(&t, T0 + 60 * NS_PER_S), 0);
}

enum { HEAP_TIMERS = 500 };

static void the_heap_gives_the_earliest_after_random_changes(void **state)
{
	static struct timer timers[HEAP_TIMERS];
	struct timer_heap heap = {0};
	unsigned seed = 20250101;

	(void)state;
	printf("# seed %u\n", seed);
	srandom(seed);
	assert_int_equal(timer_heap_reserve(&heap, HEAP_TIMERS), 0);
	assert_null(timer_heap_first(&heap));
	for (unsigned i = 0; i < 20000; i++) {
		struct timer *timer = &timers[random() % HEAP_TIMERS];
		uint64_t least = TIMERS_NEVER;

		timer_heap_set(&heap, timer,
			       random() % 4 ? (uint64_t)random() % 1000 : TIMERS_NEVER);
		if (i % 20)
			continue;
		for (unsigned j = 0; j < HEAP_TIMERS; j++)
			if (timers[j].position && timers[j].deadline < least)
				least = timers[j].deadline;
		assert_true(timer_heap_first(&heap) ? timer_heap_first(&heap)->deadline == least
						    : least == TIMERS_NEVER);
	}
	while (timer_heap_first(&heap)) {
		uint64_t before = timer_heap_first(&heap)->deadline;

		timer_heap_set(&heap, timer_heap_first(&heap), TIMERS_NEVER);
		assert_true(!timer_heap_first(&heap) ||
			    timer_heap_first(&heap)->deadline >= before);
	}
	timer_heap_done(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_due_for_a_fresh_peer),
		cmocka_unit_test(retries_double_from_300_ms_to_5_s),
		cmocka_unit_test(jitter_is_20_percent_at_most),
		cmocka_unit_test(giving_up_comes_20_s_after_the_first_try),
		cmocka_unit_test(one_that_was_given_up_is_idle_after_30_s),
		cmocka_unit_test(a_persistent_peer_is_given_up_once_and_tried_on),
		cmocka_unit_test(a_retry_keeps_50_ms_from_the_last_try),
		cmocka_unit_test(news_of_one_that_was_given_up_long_ago_try_it_at_once),
		cmocka_unit_test(the_initiator_rekeys_at_120_s_when_it_sends_or_receives),
		cmocka_unit_test(sessions_end_at_180_s),
		cmocka_unit_test(a_keepalive_comes_10_s_after_a_packet_that_got_nothing_back),
		cmocka_unit_test(silence_after_data_asks_for_a_new_handshake),
		cmocka_unit_test(the_heap_gives_the_earliest_after_random_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
