#include "fixture/test.h"

#include "core/path.h"

#include <string.h>

#define MS     1000000ull
#define SECOND (1000 * MS)

/* A path set, the time, and which ways answer after which round trip. */
struct world {
	struct path_set set;
	uint64_t now, next_id;
	struct way {
		struct via via;
		uint64_t rtt; /* 0: nothing comes back */
		unsigned pings;
	} ways[24];
	size_t way_count;
	struct answer {
		uint64_t id, at;
	} answers[64];
	size_t answer_count;
};

static struct endpoint endpoint(unsigned n)
{
	return (struct endpoint){{ADDR_V4, {192, 0, 2, (uint8_t)n}}, 7000};
}

static struct way *add_way(struct world *w, struct via via, uint64_t rtt)
{
	struct way *way = &w->ways[w->way_count++];

	way->via = via;
	way->rtt = rtt;
	return way;
}

static struct way *add_direct(struct world *w, unsigned n, uint64_t rtt)
{
	struct endpoint e = endpoint(n);

	path_add_endpoint(&w->set, &e, PATH_INTRODUCED, w->now);
	return add_way(w, (struct via){e, 0}, rtt);
}

static struct way *add_lane(struct world *w, uint64_t lane, uint64_t rtt)
{
	struct via via = {endpoint(200), lane};

	path_add_lane(&w->set, &via, w->now);
	return add_way(w, via, rtt);
}

static struct way *way_of(struct world *w, const struct via *via)
{
	for (size_t i = 0; i < w->way_count; i++)
		if (w->ways[i].via.lane == via->lane &&
		    endpoint_equal(&w->ways[i].via.endpoint, &via->endpoint))
			return &w->ways[i];
	return NULL;
}

static void send_due(struct world *w)
{
	struct path *path;

	while (path_due(&w->set, w->now, &path)) {
		struct way *way = way_of(w, &path->via);

		if (way) {
			way->pings++;
			if (way->rtt) {
				assert_true(w->answer_count < 64);
				w->answers[w->answer_count++] =
					(struct answer){w->next_id, w->now + way->rtt};
			}
		}
		path_sent(&w->set, path, w->next_id++, w->now);
	}
}

static void take_answers(struct world *w)
{
	for (size_t i = 0; i < w->answer_count;) {
		if (w->answers[i].at > w->now) {
			i++;
			continue;
		}
		path_pong(&w->set, w->answers[i].id, w->now);
		w->answers[i] = w->answers[--w->answer_count];
	}
}

/* Lets the time pass in steps of a millisecond; with flow a packet goes in each of them. */
static void pass(struct world *w, uint64_t ns, bool flow)
{
	uint64_t end = w->now + ns;

	while (w->now < end) {
		w->now += MS;
		take_answers(w);
		if (flow)
			path_flow(&w->set, w->now);
		send_due(w);
	}
}

static bool uses(const struct world *w, const struct way *way)
{
	const struct path *p = path_current(&w->set);

	return p && p->confirmed && p->via.lane == way->via.lane &&
	       endpoint_equal(&p->via.endpoint, &way->via.endpoint);
}

static int setup(void **state)
{
	static struct world world;

	memset(&world, 0, sizeof(world));
	path_set_init(&world.set);
	world.now = 1000 * SECOND;
	world.next_id = 1;
	*state = &world;
	return 0;
}

static void nothing_is_asked_without_a_session(void **state)
{
	struct world *w = *state;
	struct way *way = add_direct(w, 1, 10 * MS);

	pass(w, 5 * SECOND, true);
	assert_int_equal(way->pings, 0);
	assert_int_equal(path_deadline(&w->set, w->now), UINT64_MAX);
	assert_null(path_current(&w->set));
	assert_string_equal(path_reason(&w->set), "no session");
	path_set_up(&w->set, true, w->now);
	assert_true(path_deadline(&w->set, w->now) <= w->now);
	pass(w, 2 * MS, true);
	assert_int_equal(way->pings, 1);
}

static void a_path_counts_only_when_a_ping_was_answered(void **state)
{
	struct world *w = *state;
	struct way *way = add_direct(w, 1, 10 * MS);

	path_set_up(&w->set, true, w->now);
	pass(w, 9 * MS, true);
	assert_false(uses(w, way));
	pass(w, 4 * MS, true);
	assert_true(uses(w, way));
	assert_false(path_wanting(&w->set));
	assert_string_equal(path_reason(&w->set), "direct: confirmed");
	assert_in_range(path_current(&w->set)->rtt_ns, 9 * MS, 12 * MS);
}

static void an_answer_to_no_ping_of_ours_is_none(void **state)
{
	struct world *w = *state;
	struct way *way = add_direct(w, 1, 0);

	path_set_up(&w->set, true, w->now);
	pass(w, 10 * MS, true);
	assert_int_equal(way->pings, 1);
	assert_false(path_pong(&w->set, 999, w->now));
	assert_true(path_pong(&w->set, 1, w->now));
	assert_false(path_pong(&w->set, 1, w->now));
}

static void while_nothing_is_confirmed_data_follows_what_was_heard(void **state)
{
	struct world *w = *state;
	struct via heard = {endpoint(9), 0};

	add_direct(w, 1, 0);
	assert_null(path_current(&w->set));
	add_lane(w, 5, 0);
	assert_int_equal(path_current(&w->set)->via.lane, 5);
	path_set_up(&w->set, true, w->now);
	path_heard(&w->set, &heard, w->now);
	assert_true(endpoint_equal(&path_current(&w->set)->via.endpoint, &heard.endpoint));
	assert_false(path_current(&w->set)->confirmed);
}

/* PROTOCOL 7.5 */
static void who_answers_no_ping_is_followed_for_5_s(void **state)
{
	struct world *w = *state;
	struct via heard = {endpoint(9), 0}, another = {endpoint(10), 0};

	path_set_up(&w->set, true, w->now);
	path_heard(&w->set, &heard, w->now);
	add_way(w, heard, 0);
	pass(w, 4999 * MS, true);
	path_heard(&w->set, &heard, w->now);
	assert_non_null(path_current(&w->set));
	pass(w, 2 * MS, true);
	assert_null(path_current(&w->set));
	path_heard(&w->set, &heard, w->now);
	assert_null(path_current(&w->set));
	/* It answers from elsewhere. */
	add_way(w, another, 10 * MS);
	path_heard(&w->set, &another, w->now);
	assert_null(path_current(&w->set));
	pass(w, SECOND, true);
	assert_true(endpoint_equal(&path_current(&w->set)->via.endpoint, &another.endpoint));
}

static void a_new_way_that_is_heard_is_asked_at_once_but_not_followed(void **state)
{
	struct world *w = *state;
	struct way *old = add_direct(w, 1, 10 * MS);
	struct via via = {endpoint(9), 0};
	struct way *new;

	path_set_up(&w->set, true, w->now);
	pass(w, SECOND, true);
	assert_true(uses(w, old));
	new = add_way(w, via, 0);
	path_heard(&w->set, &via, w->now);
	pass(w, MS, true);
	assert_int_equal(new->pings, 1);
	pass(w, 20 * SECOND, true);
	assert_true(uses(w, old));
}

static void direct_goes_before_a_lane_however_slow(void **state)
{
	struct world *w = *state;
	struct way *lane = add_lane(w, 5, 2 * MS), *direct;

	path_set_up(&w->set, true, w->now);
	pass(w, 100 * MS, true);
	assert_true(uses(w, lane));
	assert_true(path_wanting(&w->set));
	assert_string_equal(path_reason(&w->set), "relayed: no direct candidate is known");
	direct = add_direct(w, 1, 90 * MS);
	pass(w, 50 * MS, true);
	assert_string_equal(path_reason(&w->set), "relayed: no answer from any direct candidate");
	pass(w, 50 * MS, true);
	assert_true(uses(w, direct));
}

static void only_a_clearly_faster_path_takes_over(void **state)
{
	static const struct {
		uint64_t old, new;
		bool change;
	} table[] = {
		{100 * MS, 90 * MS, true}, {100 * MS, 91 * MS, false}, {10 * MS, 8 * MS, true},
		{10 * MS, 9 * MS, false},  {20 * MS, 18 * MS, true},   {20 * MS, 19 * MS, false},
		{100 * MS, 10 * MS, true}, {10 * MS, 100 * MS, false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct world *w = *state;
		struct way *old, *new;

		setup(state);
		old = add_direct(w, 1, table[i].old);
		path_set_up(&w->set, true, w->now);
		pass(w, SECOND, true);
		assert_true(uses(w, old));
		new = add_direct(w, 2, table[i].new);
		pass(w, 3 * SECOND, true);
		assert_int_equal(uses(w, new), table[i].change);
		assert_int_equal(uses(w, old), !table[i].change);
	}
}

static void a_path_is_lost_after_three_pings_and_two_and_a_half_seconds(void **state)
{
	struct world *w = *state;
	struct way *direct = add_direct(w, 1, 10 * MS), *lane = add_lane(w, 5, 30 * MS);
	uint64_t blocked, lane_pings;

	path_set_up(&w->set, true, w->now);
	pass(w, 10 * SECOND, true);
	assert_true(uses(w, direct));
	lane_pings = lane->pings;
	assert_int_equal(lane_pings, 1);
	direct->rtt = 0;
	blocked = w->now;
	while (uses(w, direct))
		pass(w, MS, true);
	assert_in_range(w->now - blocked, 2500 * MS, 3520 * MS);
	assert_true(uses(w, lane));
	assert_true(lane->pings > lane_pings);
	assert_string_equal(path_reason(&w->set), "relayed: no answer from any direct candidate");
}

static void two_lost_pings_lose_no_path(void **state)
{
	struct world *w = *state;
	struct way *direct = add_direct(w, 1, 10 * MS);

	add_lane(w, 5, 30 * MS);
	path_set_up(&w->set, true, w->now);
	pass(w, 10 * SECOND, true);
	direct->rtt = 0;
	pass(w, 1990 * MS, true);
	direct->rtt = 10 * MS;
	pass(w, 10 * SECOND, true);
	assert_true(uses(w, direct));
	assert_int_equal(w->set.changes, 1);
}

static void it_comes_back_to_direct_within_seconds(void **state)
{
	struct world *w = *state;
	struct way *direct = add_direct(w, 1, 10 * MS);

	add_lane(w, 5, 30 * MS);
	path_set_up(&w->set, true, w->now);
	pass(w, SECOND, true);
	direct->rtt = 0;
	pass(w, 20 * SECOND, true);
	assert_false(uses(w, direct));
	direct->rtt = 10 * MS;
	pass(w, 1100 * MS, true);
	assert_true(uses(w, direct));
	/* Also after a long time, when it is asked less often. */
	direct->rtt = 0;
	pass(w, 100 * SECOND, true);
	direct->pings = 0;
	pass(w, 20 * SECOND, true);
	assert_in_range(direct->pings, 3, 5);
	direct->rtt = 10 * MS;
	pass(w, 5100 * MS, true);
	assert_true(uses(w, direct));
}

static void probes_are_few_when_nothing_flows_and_end(void **state)
{
	struct world *w = *state;
	struct way *direct = add_direct(w, 1, 10 * MS), *lane = add_lane(w, 5, 30 * MS);

	path_set_up(&w->set, true, w->now);
	pass(w, 10 * SECOND, true);
	assert_in_range(direct->pings, 9, 11);
	direct->pings = lane->pings = 0;
	pass(w, 105 * SECOND, false);
	assert_in_range(direct->pings, 13, 16); /* 5 more of active probing, then each 10 s */
	assert_int_equal(lane->pings, 0);
	pass(w, 200 * SECOND, false);
	direct->pings = 0;
	pass(w, 100 * SECOND, false);
	assert_int_equal(direct->pings, 0);
	assert_int_equal(path_deadline(&w->set, w->now), UINT64_MAX);
}

static void after_a_long_silence_the_path_has_to_prove_itself(void **state)
{
	struct world *w = *state;
	struct way *direct = add_direct(w, 1, 10 * MS), *lane = add_lane(w, 5, 30 * MS);

	path_set_up(&w->set, true, w->now);
	path_heard(&w->set, &direct->via, w->now);
	pass(w, SECOND, true);
	pass(w, 400 * SECOND, false);
	direct->rtt = 0;
	path_flow(&w->set, w->now);
	assert_int_equal(path_current(&w->set)->via.lane, 5);
	pass(w, 100 * MS, true);
	assert_true(uses(w, lane));
	direct->rtt = 10 * MS;
	pass(w, 2 * SECOND, true);
	assert_true(uses(w, direct));
}

static void a_changed_network_doubts_every_path(void **state)
{
	struct world *w = *state;
	struct way *direct = add_direct(w, 1, 10 * MS), *lane = add_lane(w, 5, 30 * MS);

	path_set_up(&w->set, true, w->now);
	pass(w, 10 * SECOND, true);
	direct->rtt = 0;
	path_doubt(&w->set, w->now);
	assert_true(path_wanting(&w->set));
	pass(w, 40 * MS, true);
	assert_true(uses(w, lane));
}

static void a_closed_lane_is_not_used(void **state)
{
	struct world *w = *state;
	struct way *one = add_lane(w, 5, 30 * MS), *two = add_lane(w, 6, 60 * MS);

	path_set_up(&w->set, true, w->now);
	pass(w, SECOND, true);
	assert_true(uses(w, one));
	path_remove_lane(&w->set, &one->via, w->now);
	assert_true(uses(w, two));
	path_remove_lane(&w->set, &two->via, w->now);
	assert_null(path_current(&w->set));
	path_remove_lane(&w->set, &two->via, w->now);
}

static void a_session_that_ends_leaves_candidates_to_try(void **state)
{
	struct world *w = *state;
	struct way *direct = add_direct(w, 1, 10 * MS);

	path_set_up(&w->set, true, w->now);
	pass(w, SECOND, true);
	path_set_up(&w->set, false, w->now);
	assert_false(uses(w, direct));
	direct->pings = 0;
	pass(w, SECOND, true);
	assert_int_equal(direct->pings, 0);
	path_set_up(&w->set, true, w->now);
	pass(w, 20 * MS, true);
	assert_true(uses(w, direct));
}

static void at_the_limit_the_least_worth_goes(void **state)
{
	struct world *w = *state;
	struct way *good = add_direct(w, 1, 10 * MS);
	struct endpoint e;

	path_set_up(&w->set, true, w->now);
	pass(w, SECOND, true);
	for (unsigned i = 2; i <= PATH_ENDPOINTS; i++) {
		e = endpoint(i);
		path_add_endpoint(&w->set, &e, PATH_INTRODUCED, w->now + i);
	}
	for (int i = 0; i < PATH_ENDPOINTS; i++)
		assert_true(w->set.list[i].used);
	assert_true(endpoint_equal(&w->set.list[1].via.endpoint,
				   &(struct endpoint){{ADDR_V4, {192, 0, 2, 2}}, 7000}));
	e = endpoint(100);
	path_add_endpoint(&w->set, &e, PATH_INTRODUCED, w->now + 100);
	assert_true(endpoint_equal(&w->set.list[1].via.endpoint, &e));
	for (unsigned i = 101; i < 150; i++) {
		e = endpoint(i);
		path_add_endpoint(&w->set, &e, PATH_INTRODUCED, w->now + i);
	}
	assert_true(uses(w, good));
	for (uint64_t lane = 1; lane < 9; lane++)
		add_lane(w, lane, 0);
	assert_true(uses(w, good));
}

static void unknown_endpoints_are_no_candidates(void **state)
{
	struct world *w = *state;
	struct endpoint none = {{ADDR_NONE, {0}}, 7000}, no_port = endpoint(1);

	no_port.port = 0;
	path_add_endpoint(&w->set, &none, PATH_INTRODUCED, w->now);
	path_add_endpoint(&w->set, &no_port, PATH_INTRODUCED, w->now);
	for (int i = 0; i < PATH_ENTRIES; i++)
		assert_false(w->set.list[i].used);
}

static void naming_it_again_does_not_make_more_pings(void **state)
{
	struct world *w = *state;
	struct way *way = add_direct(w, 1, 0);
	struct endpoint e = endpoint(1);

	path_set_up(&w->set, true, w->now);
	pass(w, 60 * SECOND, true);
	way->pings = 0;
	for (unsigned i = 0; i < 1000; i++) {
		path_add_endpoint(&w->set, &e, PATH_INTRODUCED, w->now);
		pass(w, 10 * MS, true);
	}
	assert_in_range(way->pings, 1, 12);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(nothing_is_asked_without_a_session),
		T(a_path_counts_only_when_a_ping_was_answered),
		T(an_answer_to_no_ping_of_ours_is_none),
		T(while_nothing_is_confirmed_data_follows_what_was_heard),
		T(who_answers_no_ping_is_followed_for_5_s),
		T(a_new_way_that_is_heard_is_asked_at_once_but_not_followed),
		T(direct_goes_before_a_lane_however_slow),
		T(only_a_clearly_faster_path_takes_over),
		T(a_path_is_lost_after_three_pings_and_two_and_a_half_seconds),
		T(two_lost_pings_lose_no_path),
		T(it_comes_back_to_direct_within_seconds),
		T(probes_are_few_when_nothing_flows_and_end),
		T(after_a_long_silence_the_path_has_to_prove_itself),
		T(a_changed_network_doubts_every_path),
		T(a_closed_lane_is_not_used),
		T(a_session_that_ends_leaves_candidates_to_try),
		T(at_the_limit_the_least_worth_goes),
		T(unknown_endpoints_are_no_candidates),
		T(naming_it_again_does_not_make_more_pings),
	};

	return cmocka_run_group_tests_name("core/path", tests, NULL, NULL);
}
