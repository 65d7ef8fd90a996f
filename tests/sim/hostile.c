#include "sim/pair.h"

#include "core/mesh_parts.h"
#include "wire/buf.h"

#include <string.h>

/* Members that do what they may not, strangers, and members that are no longer. That nothing of
 * theirs comes out of a TUN is asserted for every packet by sim/world. */

/* Seals a packet for the other one past all checks of one's own. */
static void send_unchecked(struct member *from, const struct member *to, const uint8_t *bytes,
			   size_t len, uint64_t now)
{
	struct mesh_peer *p = member_peer(from, to);
	const struct path *path = path_current(&p->paths);

	assert_non_null(path);
	assert_int_equal(peer_send_frame(p->peer, &path->via, bytes, len, now), 0);
}

static size_t build(uint8_t bytes[static 100], struct address src, struct address dst)
{
	memset(bytes, 0, 100);
	bytes[0] = 0x60;
	store_u16be(bytes + 4, 60);
	bytes[6] = 17;
	bytes[7] = 64;
	memcpy(bytes + 8, src.bytes, 16);
	memcpy(bytes + 24, dst.bytes, 16);
	store_u16be(bytes + 42, 9);
	store_u16be(bytes + 44, 60);
	return 100;
}

static uint64_t count(const struct member *m, enum mesh_counter counter)
{
	return mesh_counter(member_mesh((struct member *)m), counter);
}

static void foreign_addresses_are_refused_at_both_ends(void **state)
{
	uint8_t bytes[100];
	struct member *carol;
	struct flow *there;
	struct pair p;

	pair_make(&p, 600, NO_NAT, NO_NAT);
	carol = world_add_member(p.w, NULL);
	world_publish(p.w);
	there = world_add_flow(p.w, p.bob, p.alice, 100 * SIM_MS, 100);
	world_run(p.w, 2 * SIM_SECOND);
	flow_stop(there);
	/* At the sender. */
	member_send_raw(p.bob, bytes, build(bytes, member_address(carol), member_address(p.alice)));
	assert_int_equal(count(p.bob, MESH_out_source_not_ours), 1);
	/* At the receiver, from one whose checks are off. */
	build(bytes, member_address(carol), member_address(p.alice));
	send_unchecked(p.bob, p.alice, bytes, 100, world_now(p.w));
	build(bytes, member_address(p.alice), member_address(p.alice));
	send_unchecked(p.bob, p.alice, bytes, 100, world_now(p.w));
	build(bytes, (struct address){ADDR_V6, {0xfd, 1}}, member_address(p.alice));
	send_unchecked(p.bob, p.alice, bytes, 100, world_now(p.w));
	world_run(p.w, SIM_SECOND);
	assert_int_equal(count(p.alice, MESH_in_source_foreign), 3);
	build(bytes, member_address(p.bob), member_address(carol));
	send_unchecked(p.bob, p.alice, bytes, 100, world_now(p.w));
	build(bytes, member_address(p.bob), (struct address){ADDR_V6, {0xff, 2}});
	send_unchecked(p.bob, p.alice, bytes, 100, world_now(p.w));
	world_run(p.w, SIM_SECOND);
	assert_int_equal(count(p.alice, MESH_in_destination_foreign), 2);
	assert_int_equal(world_stray(p.w), 0);
	/* And a right one. */
	build(bytes, member_address(p.bob), member_address(p.alice));
	send_unchecked(p.bob, p.alice, bytes, 100, world_now(p.w));
	world_run(p.w, SIM_SECOND);
	assert_int_equal(world_stray(p.w), 1);
	world_free(p.w);
}

static void malformed_packets_are_refused_at_both_ends(void **state)
{
	uint8_t bytes[100];
	struct flow *there;
	struct pair p;

	pair_make(&p, 601, NO_NAT, NO_NAT);
	there = world_add_flow(p.w, p.bob, p.alice, 100 * SIM_MS, 100);
	world_run(p.w, 2 * SIM_SECOND);
	flow_stop(there);
	build(bytes, member_address(p.bob), member_address(p.alice));
	member_send_raw(p.bob, bytes, 99);
	member_send_raw(p.bob, bytes, 39);
	member_send_raw(p.bob, bytes, 0);
	bytes[0] = 0x50;
	member_send_raw(p.bob, bytes, 100);
	bytes[0] = 0x60;
	bytes[6] = 43; /* routing header of type 0 */
	bytes[40] = 17;
	bytes[41] = 2;
	bytes[43] = 1;
	member_send_raw(p.bob, bytes, 100);
	assert_int_equal(count(p.bob, MESH_out_malformed), 5);
	send_unchecked(p.bob, p.alice, bytes, 100, world_now(p.w));
	world_run(p.w, SIM_SECOND);
	assert_int_equal(count(p.alice, MESH_in_malformed), 1);
	assert_int_equal(world_stray(p.w), 0);
	world_free(p.w);
}

static void from_a_removed_member_nothing_is_delivered_any_more(void **state)
{
	static const int kinds[] = {NAT_PORT_RESTRICTED, NAT_SYMMETRIC};

	for (size_t i = 0; i < 2; i++) {
		struct flow *there, *back, *third;
		struct member *carol;
		struct pair p;

		/* Direct, and by the relay. */
		pair_make(&p, 610 + i, kinds[i], kinds[i]);
		carol = world_add_member(p.w, NULL);
		world_publish(p.w);
		world_run(p.w, SIM_SECOND);
		pair_flows(&p, &there, &back);
		third = world_add_flow(p.w, p.alice, carol, 20 * SIM_MS, 100);
		world_run(p.w, 10 * SIM_SECOND);
		flow_mark(back);
		flow_mark(there);
		flow_mark(third);
		/* He has not heard of it, and goes on; datagrams of his are under way. */
		world_revoke(p.w, p.bob);
		world_publish_except(p.w, p.bob);
		world_run(p.w, 60 * SIM_SECOND);
		assert_true(flow_stats(back).sent > 1000);
		assert_int_equal(flow_stats(back).arrived, 0);
		assert_int_equal(flow_stats(there).arrived, 0);
		assert_true(flow_stats(third).longest_gap < 100 * SIM_MS);
		assert_true(count(p.alice, MESH_out_no_route) > 1000);
		/* When he hears of it he is alone. */
		world_publish(p.w);
		assert_string_equal(reason_between(p.bob, p.alice), "not a peer");
		world_run(p.w, 5 * SIM_SECOND);
		world_free(p.w);
	}
}

static void a_member_that_was_added_again_is_connected_again(void **state)
{
	struct flow *there;
	struct pair p;

	pair_make(&p, 620, NO_NAT, NO_NAT);
	there = world_add_flow(p.w, p.alice, p.bob, 20 * SIM_MS, 100);
	world_run(p.w, 2 * SIM_SECOND);
	world_revoke(p.w, p.bob);
	world_publish(p.w);
	world_run(p.w, 5 * SIM_SECOND);
	world_unrevoke(p.w, p.bob);
	world_publish(p.w);
	flow_mark(there);
	world_run(p.w, 5 * SIM_SECOND);
	assert_true(flow_stats(there).arrived > 150);
	world_free(p.w);
}

static void a_stranger_gets_no_answer(void **state)
{
	struct member *mallory;
	struct mesh_peer *alice;
	struct endpoint at;
	struct flow *f;
	struct pair p;

	pair_make(&p, 630, NO_NAT, NO_NAT);
	mallory = world_add_stranger(p.w);
	world_publish(p.w);
	at = sim_host_endpoint(member_host(p.alice));
	alice = member_peer(mallory, p.alice);
	path_add_endpoint(&alice->paths, &at, PATH_INTRODUCED, world_now(p.w));
	f = world_add_flow(p.w, mallory, p.alice, 100 * SIM_MS, 100);
	world_run(p.w, 30 * SIM_SECOND);
	assert_int_equal(flow_stats(f).arrived, 0);
	assert_true(engine_counter(member_engine(p.alice), ENGINE_handshake_not_member) > 3);
	assert_int_equal(engine_counter(member_engine(p.alice), ENGINE_handshake_response_out), 0);
	assert_false(alice->up);
	world_free(p.w);
}

static void a_one_way_policy_holds_at_both_ends(void **state)
{
	struct acl_rule rule = {.src = {.kind = ACL_NODE},
				.dst = {.kind = ACL_NODE},
				.protocol = 17,
				.port_low = 4242,
				.port_high = 4242};
	struct acl_verdict verdict;
	struct flow *there, *back;
	struct ip_flow flow = {.version = 6, .protocol = 17, .dst_port = 4242};
	uint8_t bytes[100];
	struct pair p;

	pair_make(&p, 640, NO_NAT, NO_NAT);
	rule.src.node = *member_key(p.alice);
	rule.dst.node = *member_key(p.bob);
	assert_int_equal(member_set_policy(p.alice, &rule, 1), 0);
	assert_int_equal(member_set_policy(p.bob, &rule, 1), 0);
	pair_flows(&p, &there, &back);
	world_run(p.w, 5 * SIM_SECOND);
	assert_true(flow_stats(there).arrived > 200);
	assert_int_equal(flow_stats(back).arrived, 0);
	assert_true(count(p.bob, MESH_out_policy) > 200);
	/* Replies pass, in both tables; what looks like one and is none does not. */
	build(bytes, member_address(p.bob), member_address(p.alice));
	store_u16be(bytes + 40, 4242);
	store_u16be(bytes + 42, 1000);
	member_send_raw(p.bob, bytes, 100);
	world_run(p.w, 100 * SIM_MS);
	assert_int_equal(count(p.alice, MESH_in_packets), 1);
	store_u16be(bytes + 42, 1001);
	member_send_raw(p.bob, bytes, 100);
	world_run(p.w, 100 * SIM_MS);
	assert_int_equal(count(p.alice, MESH_in_packets), 1);
	/* His own side allows it now; hers does not. */
	assert_int_equal(member_set_policy(p.bob, NULL, 0), 0);
	world_run(p.w, 5 * SIM_SECOND);
	assert_int_equal(flow_stats(back).arrived, 0);
	assert_true(count(p.alice, MESH_in_policy) > 200);
	memcpy(flow.src, member_address(p.alice).bytes, 16);
	memcpy(flow.dst, member_address(p.bob).bytes, 16);
	assert_int_equal(mesh_explain(member_mesh(p.alice), &flow, &verdict), 0);
	assert_true(verdict.allowed);
	assert_int_equal(verdict.rule, 0);
	flow.dst[15] ^= 1;
	assert_true(mesh_explain(member_mesh(p.alice), &flow, &verdict) < 0);
	world_free(p.w);
}

static void a_helper_whose_grant_was_revoked_is_left(void **state)
{
	struct flow *there, *back;
	struct pair p;

	pair_make(&p, 650, NAT_SYMMETRIC, NAT_SYMMETRIC);
	pair_flows(&p, &there, &back);
	world_run(p.w, 5 * SIM_SECOND);
	assert_true(pair_is_relayed(p.w, &p));
	world_revoke_grant(p.w, p.ovr);
	world_publish(p.w);
	flow_mark(there);
	world_run(p.w, 5 * SIM_SECOND);
	assert_int_equal(flow_stats(there).arrived, 0);
	assert_int_equal(path_between(p.alice, p.bob), PATH_NONE);
	world_free(p.w);
}

static void endpoints_of_no_use_are_not_tried(void **state)
{
	static const struct endpoint bad[] = {
		{{ADDR_V4, {127, 0, 0, 1}}, 7000}, {{ADDR_V4, {0, 0, 0, 0}}, 7000},
		{{ADDR_V4, {224, 0, 0, 1}}, 7000}, {{ADDR_V4, {255, 255, 255, 255}}, 7000},
		{{ADDR_V4, {10, 99, 0, 1}}, 7000}, /* alice in the overlay */
		{{ADDR_V6, {[15] = 1}}, 7000},	   {{ADDR_V6, {0xfe, 0x80, [15] = 1}}, 7000},
		{{ADDR_V6, {0xff, 2}}, 7000},	   {{ADDR_V6, {0}}, 7000},
	};
	static const struct endpoint good = {{ADDR_V4, {198, 51, 100, 77}}, 7000};
	struct frame_endpoints list = {0};
	struct mesh_peer *bob;
	unsigned used = 0;
	struct pair p;

	pair_make(&p, 660, NO_NAT, NO_NAT);
	bob = member_peer(p.alice, p.bob);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		list.count = 1;
		list.list[0] = bad[i];
		mesh_peer_add_candidates(bob, &list, world_now(p.w));
	}
	list.list[0] = good;
	mesh_peer_add_candidates(bob, &list, world_now(p.w));
	for (unsigned i = 0; i < PATH_ENTRIES; i++)
		used += bob->paths.list[i].used;
	assert_int_equal(used, 1);
	world_free(p.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(foreign_addresses_are_refused_at_both_ends),
		cmocka_unit_test(malformed_packets_are_refused_at_both_ends),
		cmocka_unit_test(from_a_removed_member_nothing_is_delivered_any_more),
		cmocka_unit_test(a_member_that_was_added_again_is_connected_again),
		cmocka_unit_test(a_stranger_gets_no_answer),
		cmocka_unit_test(a_one_way_policy_holds_at_both_ends),
		cmocka_unit_test(a_helper_whose_grant_was_revoked_is_left),
		cmocka_unit_test(endpoints_of_no_use_are_not_tried),
	};

	return cmocka_run_group_tests_name("sim/hostile", tests, NULL, NULL);
}
