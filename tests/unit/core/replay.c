#include "fixture/test.h"

#include "core/replay.h"
#include "fixture/rng.h"

#include <string.h>

/* One line a counter that arrives, and whether it is to be accepted; in the manner of WireGuard's
 * selftest/counter.c. */
static void the_window_accepts_each_counter_once(void **state)
{
	enum { W = REPLAY_WINDOW };
	static const struct {
		uint64_t n;
		bool ok;
	} table[] = {
#define T(n, ok) {n, ok}
		T(0, true),
		T(0, false),
		T(1, true),
		T(1, false),
		T(9, true),
		T(8, true),
		T(7, true),
		T(7, false),
		T(63, true),
		T(64, true),
		T(63, false),
		T(W - 1, true),
		T(2, true), /* just inside */
		T(W, true),
		T(W, false),
		T(1, false),
		T(3, true),
		T(W + 4, true),
		T(4, false), /* one past the window */
		T(5, true),
		T(5, false),
		T(W + 3, true),
		T(4 * W, true),
		T(3 * W, false),    /* W behind: one past */
		T(3 * W + 1, true), /* W - 1 behind */
		T(3 * W + 1, false),
		T(0, false),
		T(W + 4, false),
		T(4 * W - 1, true),
		T(4 * W + 1, true),
		T(3 * W + 1, false),
		T(3 * W + 2, true),
		/* A jump over more than the whole ring forgets all of it. */
		T(100 * W + 5, true),
		T(100 * W + 5, false),
		T(100 * W + 4, true),
		T(99 * W + 6, true),
		T(99 * W + 5, false),
		T(99 * W + 7, true),
		/* PROTOCOL 6: 2^60 messages. */
		T(REPLAY_LIMIT, false),
		T(REPLAY_LIMIT + 1, false),
		T(UINT64_MAX, false),
		T(REPLAY_LIMIT - 1, true),
		T(REPLAY_LIMIT - 1, false),
		T(REPLAY_LIMIT - 2, true),
		T(REPLAY_LIMIT - W, true),
		T(REPLAY_LIMIT - W - 1, false),
		T(REPLAY_LIMIT, false),
		T(100 * W + 6, false),
		T(0, false),
#undef T
	};
	struct replay replay = {0};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (replay_accept(&replay, table[i].n) != table[i].ok)
			fail_msg("row %zu: %llu", i, (unsigned long long)table[i].n);
	}
}

static void a_whole_window_fits_in_any_order(void **state)
{
	struct replay up = {0}, down = {0};

	for (uint64_t i = 0; i < REPLAY_WINDOW; i++) {
		assert_true(replay_accept(&up, i));
		assert_true(replay_accept(&down, REPLAY_WINDOW - 1 - i));
	}
	for (uint64_t i = 0; i < REPLAY_WINDOW; i++) {
		assert_false(replay_accept(&up, i));
		assert_false(replay_accept(&down, i));
	}
}

static void nothing_is_lost_when_messages_come_4096_late(void **state)
{
	enum { COUNT = 100000, LATE = 4096 };
	struct replay replay = {0};

	/* Blocks of that length come back to front. */
	for (uint64_t i = 0; i < COUNT; i++)
		assert_true(replay_accept(&replay, i / LATE * LATE + LATE - 1 - i % LATE));
	/* Every second one comes that much later. */
	memset(&replay, 0, sizeof(replay));
	for (uint64_t i = 0; i < COUNT; i += 2) {
		assert_true(replay_accept(&replay, i + LATE));
		assert_true(replay_accept(&replay, i + 1));
	}
}

/* Against the plainest thing that does the same: a list of all that came. */
static void any_order_gives_what_a_list_would_give(void **state)
{
	enum { COUNT = 60000 };
	struct rng rng = rng_new("any_order_gives_what_a_list_would_give");
	static bool seen[2 * COUNT + 4 * REPLAY_WINDOW];
	struct replay replay = {0};
	uint64_t top = 0, n, base = 0;
	bool any = false, ok;

	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; i < COUNT; i++) {
		base += rng_below(&rng, 3);
		n = base + rng_below(&rng, rng_below(&rng, 50) ? 300 : 2 * REPLAY_WINDOW);
		ok = (!any || n > top || top - n < REPLAY_WINDOW) && !seen[n];
		assert_int_equal(replay_accept(&replay, n), ok);
		seen[n] = seen[n] || ok;
		top = n > top ? n : top;
		any = true;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_window_accepts_each_counter_once),
		cmocka_unit_test(a_whole_window_fits_in_any_order),
		cmocka_unit_test(nothing_is_lost_when_messages_come_4096_late),
		cmocka_unit_test(any_order_gives_what_a_list_would_give),
	};

	return cmocka_run_group_tests_name("core/replay", tests, NULL, NULL);
}
