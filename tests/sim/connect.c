#include "sim/pair.h"

#include <string.h>

/* How members find each other, and which way their packets take. */

static void two_members_behind_nats_connect_directly_within_two_seconds(void **state)
{
	static const int kinds[][2] = {
		{NO_NAT, NO_NAT},
		{NAT_FULL_CONE, NO_NAT},
		{NO_NAT, NAT_PORT_RESTRICTED},
		{NAT_FULL_CONE, NAT_FULL_CONE},
		{NAT_RESTRICTED, NAT_RESTRICTED},
		{NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED},
		{NAT_RESTRICTED, NAT_SYMMETRIC},
		{NAT_SYMMETRIC, NAT_FULL_CONE},
		{NAT_SYMMETRIC, NO_NAT},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct flow *there, *back;
		struct pair p;

		pair_make(&p, 100 + i, kinds[i][0], kinds[i][1]);
		pair_flows(&p, &there, &back);
		assert_true(world_run_until(p.w, pair_is_direct, &p, 2 * SIM_SECOND) != UINT64_MAX);
		world_run(p.w, 20 * SIM_SECOND);
		assert_true(flow_stats(there).first_arrival < SIM_SECOND);
		assert_true(flow_stats(back).first_arrival < SIM_SECOND);
		assert_true(pair_is_direct(p.w, &p));
		flow_stop(there);
		flow_stop(back);
		world_run(p.w, SIM_SECOND);
		assert_int_equal(flow_stats(there).arrived, flow_stats(there).sent);
		assert_int_equal(flow_stats(back).arrived, flow_stats(back).sent);
		assert_string_equal(reason_between(p.alice, p.bob), "direct: confirmed");
		world_free(p.w);
	}
}

static void members_that_no_punch_can_join_are_relayed(void **state)
{
	static const int kinds[][2] = {{NAT_SYMMETRIC, NAT_SYMMETRIC},
				       {NAT_SYMMETRIC, NAT_PORT_RESTRICTED}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct flow *there, *back;
		struct pair p;

		pair_make(&p, 200 + i, kinds[i][0], kinds[i][1]);
		pair_flows(&p, &there, &back);
		assert_true(world_run_until(p.w, pair_is_relayed, &p, 2 * SIM_SECOND) !=
			    UINT64_MAX);
		world_run(p.w, 60 * SIM_SECOND);
		assert_true(pair_is_relayed(p.w, &p));
		assert_string_equal(reason_between(p.alice, p.bob),
				    "relayed: no answer from any direct candidate");
		assert_true(flow_stats(there).longest_gap < 100 * SIM_MS);
		assert_true(flow_stats(back).longest_gap < 100 * SIM_MS);
		world_free(p.w);
	}
}

static void two_members_of_one_local_network_use_it(void **state)
{
	struct pair p = {.w = world_new(300)};
	struct sim_nat *nat = sim_add_nat(world_net(p.w), NAT_PORT_RESTRICTED);
	struct flow *there, *back;

	world_add_server(p.w, REALM_OVC);
	p.alice = world_add_member(p.w, nat);
	p.bob = world_add_member(p.w, nat);
	world_publish(p.w);
	world_run(p.w, SIM_SECOND);
	pair_flows(&p, &there, &back);
	assert_true(world_run_until(p.w, pair_is_direct, &p, 2 * SIM_SECOND) != UINT64_MAX);
	world_free(p.w);
}

static void without_a_relay_what_cannot_be_punched_is_unreachable_and_says_so(void **state)
{
	struct pair p = {.w = world_new(301)};
	struct flow *f;

	world_add_server(p.w, REALM_OVC);
	p.alice = world_add_member(p.w, sim_add_nat(world_net(p.w), NAT_SYMMETRIC));
	p.bob = world_add_member(p.w, sim_add_nat(world_net(p.w), NAT_SYMMETRIC));
	world_publish(p.w);
	world_run(p.w, SIM_SECOND);
	f = world_add_flow(p.w, p.alice, p.bob, 500 * SIM_MS, 100);
	world_run(p.w, 10 * SIM_SECOND);
	assert_int_equal(flow_stats(f).arrived, 0);
	assert_string_equal(reason_between(p.alice, p.bob), "no answer from any candidate or lane");
	world_run(p.w, 15 * SIM_SECOND);
	/* Given up: what waited is dropped and counted, and the host is told. */
	assert_true(mesh_counter(member_mesh(p.alice), MESH_out_unreachable) > 0);
	assert_true(mesh_counter(member_mesh(p.alice), MESH_icmp_sent) > 0);
	world_free(p.w);
}

static void who_is_not_there_yet_is_reached_once_he_comes(void **state)
{
	struct flow *there;
	struct pair p;

	pair_make(&p, 302, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	sim_set_host_off(member_host(p.bob), true);
	member_restart(p.bob); /* he is forgotten by nobody, but says nothing */
	sim_set_host_off(member_host(p.bob), true);
	there = world_add_flow(p.w, p.alice, p.bob, 100 * SIM_MS, 100);
	world_run(p.w, 8 * SIM_SECOND);
	assert_int_equal(flow_stats(there).arrived, 0);
	sim_set_host_off(member_host(p.bob), false);
	world_run(p.w, 12 * SIM_SECOND);
	assert_true(flow_stats(there).arrived > 0);
	assert_true(pair_is_direct(p.w, &p));
	world_free(p.w);
}

static void a_fifth_of_all_lost_and_overtaken_still_connects(void **state)
{
	for (uint64_t seed = 400; seed < 410; seed++) {
		struct flow *there, *back;
		struct flow_stats s;
		struct pair p;

		pair_make(&p, seed, NAT_PORT_RESTRICTED, NAT_RESTRICTED);
		sim_set_faults(world_net(p.w), 200, 100, 20 * SIM_MS, 60 * SIM_MS);
		pair_flows(&p, &there, &back);
		assert_true(world_run_until(p.w, pair_is_direct, &p, 10 * SIM_SECOND) !=
			    UINT64_MAX);
		flow_mark(there);
		flow_mark(back);
		world_run(p.w, 60 * SIM_SECOND);
		s = flow_stats(there);
		assert_true(s.arrived * 100 > s.sent * 70);
		assert_true(s.longest_gap < 4 * SIM_SECOND);
		s = flow_stats(back);
		assert_true(s.arrived * 100 > s.sent * 70);
		world_free(p.w);
	}
}

static void a_way_that_is_open_in_one_direction_only_is_no_trap(void **state)
{
	struct flow *there, *back;
	struct pair p;

	/* Alice's handshakes arrive first by the direct way, and the answers do not. */
	pair_make(&p, 304, NO_NAT, NO_NAT);
	sim_block_way(world_net(p.w), member_host(p.bob), member_host(p.alice), true);
	there = world_add_flow(p.w, p.alice, p.bob, 100 * SIM_MS, 100);
	world_run(p.w, 10 * SIM_SECOND);
	assert_true(flow_stats(there).first_arrival < 5 * SIM_SECOND);
	back = world_add_flow(p.w, p.bob, p.alice, 100 * SIM_MS, 100);
	world_run(p.w, 5 * SIM_SECOND);
	assert_true(flow_stats(back).first_arrival < SIM_SECOND);
	assert_true(pair_is_relayed(p.w, &p));
	world_free(p.w);
}

struct answer {
	unsigned calls;
	struct mesh_pong pong;
};

static void on_pong(void *ctx, const struct mesh_pong *pong)
{
	struct answer *a = ctx;

	a->calls++;
	a->pong = *pong;
}

static void an_overlay_ping_names_the_path(void **state)
{
	struct answer a = {0}, none = {0}, self = {0};
	struct node_key stranger = {.bytes = {2, 9}};
	struct pair p;

	pair_make(&p, 303, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	member_ping(p.alice, member_key(p.bob), 5 * SIM_SECOND, on_pong, &a);
	member_ping(p.alice, &stranger, 5 * SIM_SECOND, on_pong, &none);
	member_ping(p.alice, member_key(p.alice), 5 * SIM_SECOND, on_pong, &self);
	assert_int_equal(none.calls, 1);
	assert_false(none.pong.found);
	assert_non_null(strstr(none.pong.reason, "not a member"));
	assert_int_equal(self.calls, 1);
	assert_false(self.pong.found);
	world_run(p.w, 3 * SIM_SECOND);
	assert_int_equal(a.calls, 1);
	assert_true(a.pong.found);
	assert_in_range(a.pong.rtt_ns, 20 * SIM_MS, 21 * SIM_MS);
	/* Over a path on which nothing flows it does not wait for the next probe. */
	memset(&a, 0, sizeof(a));
	member_ping(p.alice, member_key(p.bob), 5 * SIM_SECOND, on_pong, &a);
	world_run(p.w, 100 * SIM_MS);
	assert_int_equal(a.calls, 1);
	assert_true(a.pong.found);
	/* Nobody there: an answer at the deadline, with the reason. */
	sim_set_host_off(member_host(p.bob), true);
	memset(&a, 0, sizeof(a));
	member_ping(p.alice, member_key(p.bob), 3 * SIM_SECOND, on_pong, &a);
	world_run(p.w, 2 * SIM_SECOND);
	assert_int_equal(a.calls, 0);
	world_run(p.w, 2 * SIM_SECOND);
	assert_int_equal(a.calls, 1);
	assert_false(a.pong.found);
	assert_non_null(a.pong.reason);
	world_free(p.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_members_behind_nats_connect_directly_within_two_seconds),
		cmocka_unit_test(members_that_no_punch_can_join_are_relayed),
		cmocka_unit_test(two_members_of_one_local_network_use_it),
		cmocka_unit_test(without_a_relay_what_cannot_be_punched_is_unreachable_and_says_so),
		cmocka_unit_test(who_is_not_there_yet_is_reached_once_he_comes),
		cmocka_unit_test(a_fifth_of_all_lost_and_overtaken_still_connects),
		cmocka_unit_test(a_way_that_is_open_in_one_direction_only_is_no_trap),
		cmocka_unit_test(an_overlay_ping_names_the_path),
	};

	return cmocka_run_group_tests_name("sim/connect", tests, NULL, NULL);
}
