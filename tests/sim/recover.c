#include "sim/pair.h"

#include "core/mesh_parts.h"
#include "wire/buf.h"
#include "wire/message.h"
#include "wire/ovc.h"
#include "wire/ovr.h"

/* What breaks, and how soon packets flow again. */

static void a_blocked_direct_path_gives_way_to_the_relay_and_comes_back(void **state)
{
	for (uint64_t seed = 500; seed < 505; seed++) {
		struct flow *there, *back;
		struct pair p;

		pair_make(&p, seed, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
		pair_flows(&p, &there, &back);
		assert_true(world_run_until(p.w, pair_is_direct, &p, 2 * SIM_SECOND) != UINT64_MAX);
		world_run(p.w, (seed % 5) * 230 * SIM_MS + 5 * SIM_SECOND);
		flow_mark(there);
		flow_mark(back);
		sim_block(world_net(p.w), member_host(p.alice), member_host(p.bob), true);
		assert_true(world_run_until(p.w, pair_is_relayed, &p, 4 * SIM_SECOND) !=
			    UINT64_MAX);
		world_run(p.w, 20 * SIM_SECOND);
		assert_true(flow_stats(there).longest_gap < 4 * SIM_SECOND);
		assert_true(flow_stats(back).longest_gap < 4 * SIM_SECOND);
		flow_mark(there);
		flow_mark(back);
		sim_block(world_net(p.w), member_host(p.alice), member_host(p.bob), false);
		assert_true(world_run_until(p.w, pair_is_direct, &p, 6 * SIM_SECOND) != UINT64_MAX);
		world_run(p.w, 5 * SIM_SECOND);
		/* The way back loses nothing. */
		flow_stop(there);
		flow_stop(back);
		world_run(p.w, SIM_SECOND);
		assert_int_equal(flow_stats(there).arrived, flow_stats(there).sent);
		assert_int_equal(flow_stats(back).arrived, flow_stats(back).sent);
		world_free(p.w);
	}
}

/* At a moment when the last thing that both did was to send. */
static void a_path_is_watched_on_when_a_helper_goes(void **state)
{
	struct flow *there, *back;
	struct server *other;
	struct pair p;

	pair_make(&p, 511, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	other = world_add_server(p.w, REALM_OVR);
	world_publish(p.w);
	world_run(p.w, 2 * SIM_SECOND);
	pair_flows(&p, &there, &back);
	world_run(p.w, 20 * SIM_SECOND + 5 * SIM_MS);
	assert_true(pair_is_direct(p.w, &p));
	world_unlink(world_first_dnet(p.w), other);
	world_publish(p.w);
	world_run(p.w, 5 * SIM_SECOND);
	flow_mark(there);
	flow_mark(back);
	sim_block(world_net(p.w), member_host(p.alice), member_host(p.bob), true);
	world_run(p.w, 20 * SIM_SECOND);
	assert_true(pair_is_relayed(p.w, &p));
	assert_true(flow_stats(there).longest_gap < 4 * SIM_SECOND);
	assert_true(flow_stats(back).longest_gap < 4 * SIM_SECOND);
	world_free(p.w);
}

static void a_long_block_is_left_within_seconds_too(void **state)
{
	struct flow *there, *back;
	struct pair p;

	pair_make(&p, 510, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	sim_block(world_net(p.w), member_host(p.alice), member_host(p.bob), true);
	pair_flows(&p, &there, &back);
	world_run(p.w, 200 * SIM_SECOND);
	assert_true(pair_is_relayed(p.w, &p));
	assert_true(flow_stats(there).longest_gap < SIM_SECOND);
	sim_block(world_net(p.w), member_host(p.alice), member_host(p.bob), false);
	assert_true(world_run_until(p.w, pair_is_direct, &p, 6 * SIM_SECOND) != UINT64_MAX);
	world_free(p.w);
}

static void a_restarted_ovr_gets_its_lanes_again(void **state)
{
	struct flow *there, *back;
	struct pair p;

	pair_make(&p, 520, NAT_SYMMETRIC, NAT_SYMMETRIC);
	pair_flows(&p, &there, &back);
	world_run(p.w, 30 * SIM_SECOND);
	assert_true(pair_is_relayed(p.w, &p));
	server_restart(p.ovr);
	world_run(p.w, 30 * SIM_SECOND);
	assert_true(pair_is_relayed(p.w, &p));
	assert_true(flow_stats(there).longest_gap < 8 * SIM_SECOND);
	assert_true(flow_stats(back).longest_gap < 8 * SIM_SECOND);
	world_free(p.w);
}

static void a_restarted_ovc_introduces_again(void **state)
{
	struct flow *there, *back;
	struct pair p;

	pair_make(&p, 530, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	server_restart(p.ovc);
	world_run(p.w, 25 * SIM_SECOND);
	pair_flows(&p, &there, &back);
	assert_true(world_run_until(p.w, pair_is_direct, &p, 2 * SIM_SECOND) != UINT64_MAX);
	world_free(p.w);
	/* And when it is asked at once after it was started. */
	pair_make(&p, 531, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	server_restart(p.ovc);
	pair_flows(&p, &there, &back);
	assert_true(world_run_until(p.w, pair_is_direct, &p, 8 * SIM_SECOND) != UINT64_MAX);
	assert_true(flow_stats(there).first_arrival < SIM_SECOND); /* by the relay meanwhile */
	world_free(p.w);
}

static void without_its_helpers_a_direct_flow_goes_on(void **state)
{
	struct flow *there, *back;
	struct pair p;

	pair_make(&p, 540, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	pair_flows(&p, &there, &back);
	world_run(p.w, 5 * SIM_SECOND);
	server_set_off(p.ovc, true);
	server_set_off(p.ovr, true);
	flow_mark(there);
	flow_mark(back);
	world_run(p.w, 300 * SIM_SECOND);
	assert_true(pair_is_direct(p.w, &p));
	assert_true(flow_stats(there).longest_gap < 100 * SIM_MS);
	assert_true(flow_stats(back).longest_gap < 100 * SIM_MS);
	world_free(p.w);
}

static void who_moves_to_another_network_stays_connected(void **state)
{
	for (uint64_t seed = 550; seed < 555; seed++) {
		struct flow *there, *back;
		struct sim_nat *other;
		struct pair p;

		pair_make(&p, seed, NAT_PORT_RESTRICTED, NAT_RESTRICTED);
		pair_flows(&p, &there, &back);
		world_run(p.w, 10 * SIM_SECOND + seed % 5 * 170 * SIM_MS);
		other = sim_add_nat(world_net(p.w), NAT_PORT_RESTRICTED);
		flow_mark(there);
		flow_mark(back);
		member_move(p.alice, other);
		world_run(p.w, 10 * SIM_SECOND);
		assert_true(pair_is_direct(p.w, &p));
		assert_true(flow_stats(there).longest_gap < 2 * SIM_SECOND);
		assert_true(flow_stats(back).longest_gap < 4 * SIM_SECOND);
		world_free(p.w);
	}
}

static void who_moves_while_he_is_relayed_stays_connected(void **state)
{
	struct flow *there, *back;
	struct pair p;

	pair_make(&p, 556, NAT_SYMMETRIC, NAT_SYMMETRIC);
	pair_flows(&p, &there, &back);
	world_run(p.w, 10 * SIM_SECOND);
	flow_mark(there);
	flow_mark(back);
	member_move(p.alice, sim_add_nat(world_net(p.w), NAT_SYMMETRIC));
	world_run(p.w, 20 * SIM_SECOND);
	assert_true(pair_is_relayed(p.w, &p));
	assert_true(flow_stats(there).longest_gap < 2 * SIM_SECOND);
	assert_true(flow_stats(back).longest_gap < 2 * SIM_SECOND);
	world_free(p.w);
}

static void a_nat_that_forgets_its_mappings_is_survived(void **state)
{
	struct flow *there, *back;
	struct sim_nat *nat;
	struct pair p = {.w = world_new(560)};

	world_add_server(p.w, REALM_OVC);
	world_add_server(p.w, REALM_OVR);
	nat = sim_add_nat(world_net(p.w), NAT_PORT_RESTRICTED);
	p.alice = world_add_member(p.w, nat);
	p.bob = world_add_member(p.w, sim_add_nat(world_net(p.w), NAT_PORT_RESTRICTED));
	world_publish(p.w);
	world_run(p.w, 2 * SIM_SECOND);
	pair_flows(&p, &there, &back);
	world_run(p.w, 10 * SIM_SECOND);
	flow_mark(there);
	flow_mark(back);
	sim_nat_reset(nat);
	world_run(p.w, 30 * SIM_SECOND);
	assert_true(pair_is_direct(p.w, &p));
	assert_true(flow_stats(there).longest_gap < 10 * SIM_SECOND);
	assert_true(flow_stats(back).longest_gap < 10 * SIM_SECOND);
	world_free(p.w);
}

static void a_killed_member_is_back_within_seconds_of_its_start(void **state)
{
	struct flow *there, *back;
	struct pair p;

	pair_make(&p, 570, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	pair_flows(&p, &there, &back);
	world_run(p.w, 10 * SIM_SECOND);
	flow_mark(there);
	flow_mark(back);
	member_restart(p.bob);
	world_run(p.w, 20 * SIM_SECOND);
	assert_true(pair_is_direct(p.w, &p));
	assert_true(flow_stats(there).longest_gap < 4 * SIM_SECOND);
	assert_true(flow_stats(back).longest_gap < 4 * SIM_SECOND);
	world_free(p.w);
	/* Also when only the other one sends: he has to notice. */
	pair_make(&p, 571, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	there = world_add_flow(p.w, p.alice, p.bob, 20 * SIM_MS, 300);
	world_run(p.w, 10 * SIM_SECOND);
	flow_mark(there);
	member_restart(p.bob);
	world_run(p.w, 30 * SIM_SECOND);
	assert_true(flow_stats(there).longest_gap < 10 * SIM_SECOND);
	world_free(p.w);
}

static void ten_minutes_of_rekeying_lose_no_packet(void **state)
{
	struct flow *there, *back;
	struct pair p;

	pair_make(&p, 580, NAT_PORT_RESTRICTED, NAT_RESTRICTED);
	there = world_add_flow(p.w, p.alice, p.bob, 50 * SIM_MS, 300);
	back = world_add_flow(p.w, p.bob, p.alice, 70 * SIM_MS, 1280);
	world_run(p.w, 600 * SIM_SECOND);
	flow_stop(there);
	flow_stop(back);
	world_run(p.w, SIM_SECOND);
	assert_true(flow_stats(there).sent >= 12000);
	assert_int_equal(flow_stats(there).arrived, flow_stats(there).sent);
	assert_int_equal(flow_stats(back).arrived, flow_stats(back).sent);
	assert_true(engine_counter(member_engine(p.alice), ENGINE_handshake_response_in) +
			    engine_counter(member_engine(p.bob), ENGINE_handshake_response_in) >=
		    4);
	assert_int_equal(mesh_counter(member_mesh(p.alice), MESH_path_changed), 1);
	world_free(p.w);
}

static void a_flow_that_rested_for_long_goes_on_at_once(void **state)
{
	struct flow *there, *again;
	struct pair p;

	pair_make(&p, 590, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	there = world_add_flow(p.w, p.alice, p.bob, 20 * SIM_MS, 300);
	world_run(p.w, 10 * SIM_SECOND);
	flow_stop(there);
	for (unsigned i = 0; i < 3; i++) {
		static const uint64_t rests[] = {100 * SIM_SECOND, 400 * SIM_SECOND,
						 1000 * SIM_SECOND};

		world_run(p.w, rests[i]);
		again = world_add_flow(p.w, p.alice, p.bob, 20 * SIM_MS, 300);
		world_run(p.w, 8 * SIM_SECOND);
		assert_true(pair_is_direct(p.w, &p));
		assert_true(flow_stats(again).first_arrival < SIM_SECOND);
		assert_true(flow_stats(again).longest_gap < SIM_SECOND);
		flow_stop(again);
	}
	world_free(p.w);
}

static void an_hour_without_helpers_changes_nothing_between_members(void **state)
{
	struct flow *there, *back;
	struct pair p;

	pair_make(&p, 580, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	world_run(p.w, 20 * SIM_SECOND);
	there = world_add_flow(p.w, p.alice, p.bob, 200 * SIM_MS, 300);
	back = world_add_flow(p.w, p.bob, p.alice, 200 * SIM_MS, 300);
	world_run(p.w, 20 * SIM_SECOND);
	assert_true(pair_is_direct(p.w, &p));
	server_set_off(p.ovc, true);
	server_set_off(p.ovr, true);
	flow_mark(there);
	flow_mark(back);
	world_run(p.w, 3600 * SIM_SECOND);
	assert_true(flow_stats(there).longest_gap < 300 * SIM_MS);
	assert_true(flow_stats(back).longest_gap < 300 * SIM_MS);
	world_free(p.w);
}

/* Nobody tells the members: their own hosts see no change, it is the way between that is gone. */
static void after_an_hour_without_the_network_all_goes_on(void **state)
{
	static const enum nat_kind kinds[] = {NAT_PORT_RESTRICTED, NAT_SYMMETRIC};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct flow *there, *back;
		struct pair p;

		pair_make(&p, 590 + i, kinds[i], kinds[i]);
		there = world_add_flow(p.w, p.alice, p.bob, 200 * SIM_MS, 300);
		back = world_add_flow(p.w, p.bob, p.alice, 200 * SIM_MS, 300);
		world_run(p.w, 30 * SIM_SECOND);
		assert_true(flow_stats(there).arrived > 0 && flow_stats(back).arrived > 0);
		sim_set_host_off(member_host(p.alice), true);
		world_run(p.w, 3600 * SIM_SECOND);
		sim_set_host_off(member_host(p.alice), false);
		uint64_t arrived = flow_stats(there).arrived, answered = flow_stats(back).arrived;
		world_run(p.w, 15 * SIM_SECOND);
		assert_true(flow_stats(there).arrived > arrived);
		assert_true(flow_stats(back).arrived > answered);
		flow_mark(there);
		flow_mark(back);
		world_run(p.w, 20 * SIM_SECOND);
		assert_true(flow_stats(there).longest_gap < SIM_SECOND);
		assert_true(flow_stats(back).longest_gap < SIM_SECOND);
		world_free(p.w);
	}
}

/* INTRODUCE and LANE_OPEN for alice by bob, past all limits of his own. */
static void ask_for_alice(struct pair *p)
{
	struct ovc_frame introduce = {.type = FRAME_INTRODUCE};
	struct ovr_frame open = {.type = FRAME_LANE_OPEN};
	uint8_t bytes[FRAME_MAX];
	struct helper *h;
	struct writer w;

	introduce.introduce = open.key = *member_key(p->alice);
	LIST_FOREACH(h, &member_mesh(p->bob)->helpers, entry)
	{
		writer_init(&w, bytes, sizeof(bytes));
		if (h->row.kind == OBJECT_OVC)
			ovc_frame_write(&w, &introduce);
		else
			ovr_frame_write(&w, &open);
		peer_send_frame(h->peer, peer_via(h->peer), bytes, writer_len(&w),
				member_now(p->bob));
	}
}

/* What somebody else made a helper say is no answer to what we asked, however often it comes. */
static void who_is_heard_but_does_not_answer_has_stopped_answering(void **state)
{
	struct flow *there, *back;
	struct pair p;

	pair_make(&p, 990, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	sim_block(world_net(p.w), member_host(p.alice), member_host(p.bob), true);
	pair_flows(&p, &there, &back);
	world_run(p.w, 5 * SIM_SECOND);
	assert_string_equal(trouble_with(p.alice, p.ovc), "");
	assert_string_equal(trouble_with(p.alice, p.ovr), "");
	sim_block_way(world_net(p.w), member_host(p.alice), server_host(p.ovc), true);
	sim_block_way(world_net(p.w), member_host(p.alice), server_host(p.ovr), true);
	for (unsigned ms = 0; ms < 33000; ms += 100) {
		ask_for_alice(&p);
		world_run(p.w, 100 * SIM_MS);
		if (ms < 17000) /* the next question is asked after 15 s at most */
			continue;
		assert_string_not_equal(trouble_with(p.alice, p.ovc), "");
		assert_string_not_equal(trouble_with(p.alice, p.ovr), "");
	}
	sim_block_way(world_net(p.w), member_host(p.alice), server_host(p.ovc), false);
	sim_block_way(world_net(p.w), member_host(p.alice), server_host(p.ovr), false);
	world_run(p.w, 10 * SIM_SECOND);
	assert_string_equal(trouble_with(p.alice, p.ovc), "");
	assert_string_equal(trouble_with(p.alice, p.ovr), "");
	world_free(p.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_blocked_direct_path_gives_way_to_the_relay_and_comes_back),
		cmocka_unit_test(a_path_is_watched_on_when_a_helper_goes),
		cmocka_unit_test(a_long_block_is_left_within_seconds_too),
		cmocka_unit_test(a_restarted_ovr_gets_its_lanes_again),
		cmocka_unit_test(a_restarted_ovc_introduces_again),
		cmocka_unit_test(who_is_heard_but_does_not_answer_has_stopped_answering),
		cmocka_unit_test(without_its_helpers_a_direct_flow_goes_on),
		cmocka_unit_test(who_moves_to_another_network_stays_connected),
		cmocka_unit_test(who_moves_while_he_is_relayed_stays_connected),
		cmocka_unit_test(a_nat_that_forgets_its_mappings_is_survived),
		cmocka_unit_test(a_killed_member_is_back_within_seconds_of_its_start),
		cmocka_unit_test(ten_minutes_of_rekeying_lose_no_packet),
		cmocka_unit_test(a_flow_that_rested_for_long_goes_on_at_once),
		cmocka_unit_test(an_hour_without_helpers_changes_nothing_between_members),
		cmocka_unit_test(after_an_hour_without_the_network_all_goes_on),
	};

	return cmocka_run_group_tests_name("sim/recover", tests, NULL, NULL);
}
