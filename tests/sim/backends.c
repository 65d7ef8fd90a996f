#include "sim/pair.h"

#include "core/book.h"
#include "ovc/ovc.h"
#include "wire/buf.h"
#include "wire/message.h"
#include "wire/ovc.h"

#include <stdio.h>
#include <string.h>

/* Members with other backends than native: what they offer reaches each other, a wrong key that an
 * OVC gives is refused and said, and datagrams of backends pass through sessions. */

static struct statement make(struct pair *p, const struct member *m, uint8_t backend, uint64_t date,
			     uint8_t fill)
{
	struct statement s = {.backend = backend,
			      .kind = OBJECT_DNET,
			      .object = *world_dnet(p->w),
			      .date = date,
			      .key_len = 32};

	memset(s.key, fill, s.key_len);
	member_sign(m, &s);
	return s;
}

/* First this backend, then native. */
static void offer_at(struct member *m, const struct statement *s, uint16_t port)
{
	struct mesh_offer o = {.count = 2};

	o.list[0].backend = s->backend;
	o.list[0].port = port;
	o.list[0].statement = s;
	o.list[0].endpoint_count = 1;
	o.list[0].endpoints[0] = (struct endpoint){{ADDR_V4, {192, 0, 2, 7}}, 51820};
	o.list[1].backend = BACKEND_NATIVE;
	member_set_offer(m, &o);
}

static void offer(struct member *m, const struct statement *s)
{
	offer_at(m, s, 51820);
}

static struct mesh_offer seen(const struct member *by, const struct member *of)
{
	struct mesh_offer o = {0};

	mesh_peer_offer(member_mesh((struct member *)by), member_key(of), &o);
	return o;
}

/* The first key byte of the first backend that it sees of the other, 0: none. */
static uint8_t seen_key(const struct member *by, const struct member *of)
{
	struct mesh_offer o = seen(by, of);

	return o.count && o.list[0].statement ? o.list[0].statement->key[0] : 0;
}

static uint64_t refused(const struct member *m)
{
	return mesh_counter(member_mesh((struct member *)m), MESH_statement_refused);
}

struct reason {
	uint8_t kind;
	char text[200];
};

static void find_reason(void *ctx, const struct mesh_helper_status *s)
{
	struct reason *r = ctx;

	if (s->helper->kind == r->kind)
		snprintf(r->text, sizeof(r->text), "%s", s->refused);
}

/* What `dnet status` says of the OVC. */
static struct reason status_of_ovc(struct member *m)
{
	struct reason r = {.kind = OBJECT_OVC};

	mesh_visit_helpers(member_mesh(m), find_reason, &r);
	return r;
}

static bool have_met(struct world *w, void *ctx)
{
	const struct pair *p = ctx;

	return seen(p->alice, p->bob).count == 2 && seen(p->bob, p->alice).count == 2;
}

static void two_members_learn_what_the_other_offers(void **state)
{
	static const int nats[] = {NO_NAT, NAT_PORT_RESTRICTED, NAT_SYMMETRIC};

	for (size_t i = 0; i < 3; i++) {
		struct statement a, b;
		struct mesh_offer of_a, of_b;
		struct pair p;

		pair_make(&p, 800 + i, nats[i], nats[i]);
		a = make(&p, p.alice, BACKEND_WIREGUARD, 1, 11);
		b = make(&p, p.bob, BACKEND_WIREGUARD, 2, 22);
		offer(p.alice, &a);
		offer(p.bob, &b);
		member_set_control_persistent(p.alice, true);
		assert_true(world_run_until(p.w, have_met, &p, 10 * SIM_SECOND) != UINT64_MAX);
		of_b = seen(p.alice, p.bob);
		of_a = seen(p.bob, p.alice);
		assert_int_equal(seen_key(p.alice, p.bob), 22);
		assert_int_equal(seen_key(p.bob, p.alice), 11);
		assert_int_equal(of_b.list[0].port, 51820);
		assert_int_equal(of_b.list[0].endpoint_count, 1);
		assert_int_equal(of_b.list[1].backend, BACKEND_NATIVE);
		assert_null(of_b.list[1].statement);
		assert_int_equal(
			mesh_choose_backend(member_key(p.alice), &of_a, member_key(p.bob), &of_b),
			BACKEND_WIREGUARD);
		assert_true(member_news(p.alice)->offers > 0);
		assert_memory_equal(member_news(p.alice)->statement.signature, b.signature, 64);
		assert_int_equal(refused(p.alice) + refused(p.bob), 0);
		/* Nothing is said again without need. */
		world_run(p.w, 30 * SIM_SECOND);
		assert_int_equal(member_news(p.alice)->statements, 1);
		world_free(p.w);
	}
}

/* Before there is any session between the two. */
static void an_ovc_brings_statements_with_introductions(void **state)
{
	struct statement a, b;
	struct pair p;

	pair_make(&p, 810, NAT_SYMMETRIC, NAT_SYMMETRIC);
	server_set_off(p.ovr, true);
	a = make(&p, p.alice, BACKEND_TINC, 1, 11);
	b = make(&p, p.bob, BACKEND_WIREGUARD, 2, 22);
	offer(p.alice, &a);
	offer(p.bob, &b);
	world_run(p.w, SIM_SECOND);
	member_set_control_persistent(p.alice, true);
	world_run(p.w, 5 * SIM_SECOND);
	assert_int_equal(path_between(p.alice, p.bob), PATH_NONE);
	assert_int_equal(member_news(p.alice)->statements, 1);
	assert_int_equal(member_news(p.bob)->statements, 1);
	assert_memory_equal(member_news(p.alice)->statement.key, b.key, 32);
	assert_memory_equal(member_news(p.bob)->statement.key, a.key, 32);
	assert_true(ovc_counter(server_ovc(p.ovc), OVC_publish_in) >= 2);
	assert_int_equal(ovc_counter(server_ovc(p.ovc), OVC_publish_refused), 0);
	world_free(p.w);
}

/* As an OVC with its own key can say it. */
static void say_statement(struct pair *p, const struct node_key *whose, const struct statement *s)
{
	struct ovc_frame frame = {.type = FRAME_STATEMENT};
	struct peer *peer = server_peer(p->ovc, p->alice);
	uint8_t bytes[FRAME_STATEMENT_MAX], statement[STATEMENT_MAX];
	struct writer w;

	assert_non_null(peer);
	writer_init(&w, statement, sizeof(statement));
	statement_write(&w, s);
	frame.statement.key = *whose;
	frame.statement.statement = (struct span){statement, writer_len(&w)};
	writer_init(&w, bytes, sizeof(bytes));
	ovc_frame_write(&w, &frame);
	assert_false(w.failed);
	assert_int_equal(
		peer_send_frame(peer, peer_via(peer), bytes, writer_len(&w), world_now(p->w)), 0);
	world_run(p->w, SIM_SECOND);
}

static void assert_refused(struct pair *p, uint64_t times, const char *why)
{
	struct reason reason = status_of_ovc(p->alice);

	assert_int_equal(refused(p->alice), times);
	assert_non_null(strstr(reason.text, why));
	assert_non_null(strstr(reason.text, "gave a wrong key for node "));
	assert_string_equal(member_news(p->alice)->refused, reason.text);
	assert_memory_equal(&member_news(p->alice)->refused_by, server_key(p->ovc), PUBKEY_LEN);
	assert_int_equal(seen_key(p->alice, p->bob), 22);
}

static void a_wrong_key_from_an_ovc_is_refused_and_said(void **state)
{
	struct statement good, old, swapped, of_alice, elsewhere, conflict, far;
	struct pair p;

	pair_make(&p, 820, NO_NAT, NO_NAT);
	old = make(&p, p.bob, BACKEND_WIREGUARD, 1, 21);
	good = make(&p, p.bob, BACKEND_WIREGUARD, 2, 22);
	offer(p.bob, &good);
	member_set_control_persistent(p.alice, true);
	world_run(p.w, 5 * SIM_SECOND);
	assert_int_equal(seen_key(p.alice, p.bob), 22);
	assert_string_equal(status_of_ovc(p.alice).text, "");
	/* Another key under his signature. */
	swapped = good;
	swapped.key[0] ^= 1;
	swapped.date = 3;
	say_statement(&p, member_key(p.bob), &swapped);
	assert_refused(&p, 1, "its signature is wrong");
	/* One of the time before. */
	say_statement(&p, member_key(p.bob), &old);
	assert_refused(&p, 2, "it is older than the one that is known");
	/* Somebody else's. */
	of_alice = make(&p, p.alice, BACKEND_WIREGUARD, 9, 99);
	say_statement(&p, member_key(p.bob), &of_alice);
	assert_refused(&p, 3, "it is signed with another key than the records give");
	/* His own of another dnet. */
	elsewhere = good;
	elsewhere.object.bytes[0] ^= 1;
	elsewhere.date = 9;
	member_sign(p.bob, &elsewhere);
	say_statement(&p, member_key(p.bob), &elsewhere);
	assert_refused(&p, 4, "it is for another dnet or service");
	/* What he signed twice, with one date. */
	conflict = make(&p, p.bob, BACKEND_WIREGUARD, 2, 23);
	say_statement(&p, member_key(p.bob), &conflict);
	assert_refused(&p, 5, "it has the date of another one");
	far = make(&p, p.bob, BACKEND_WIREGUARD, 2 * 86400, 24);
	say_statement(&p, member_key(p.bob), &far);
	assert_refused(&p, 6, "its date is more than a day ahead");
	/* What is right is taken from it too. */
	good = make(&p, p.bob, BACKEND_WIREGUARD, 10, 33);
	say_statement(&p, member_key(p.bob), &good);
	assert_int_equal(seen_key(p.alice, p.bob), 33);
	assert_int_equal(refused(p.alice), 6);
	world_free(p.w);
}

static void an_older_statement_stays_refused_after_a_restart(void **state)
{
	struct statement old, good;
	struct pair p;

	pair_make(&p, 830, NO_NAT, NO_NAT);
	old = make(&p, p.bob, BACKEND_WIREGUARD, 1, 21);
	good = make(&p, p.bob, BACKEND_WIREGUARD, 2, 22);
	member_restart(p.alice);
	assert_true(member_load_statement(p.alice, &good));
	assert_false(member_load_statement(p.alice, &old));
	world_run(p.w, 5 * SIM_SECOND);
	say_statement(&p, member_key(p.bob), &old);
	assert_int_equal(refused(p.alice), 1);
	good = make(&p, p.bob, BACKEND_TINC, 2, 22);
	good.key[0] ^= 1;
	assert_false(member_load_statement(p.alice, &good));
	world_free(p.w);
}

static void a_member_that_gives_a_wrong_key_of_its_own_is_named(void **state)
{
	struct statement s;
	struct pair p;

	pair_make(&p, 840, NO_NAT, NO_NAT);
	s = make(&p, p.alice, BACKEND_WIREGUARD, 5, 77);
	offer(p.bob, &s);
	member_set_control_persistent(p.alice, true);
	world_run(p.w, 5 * SIM_SECOND);
	assert_int_equal(seen(p.alice, p.bob).count, 2);
	assert_int_equal(seen_key(p.alice, p.bob), 0);
	assert_true(refused(p.alice) >= 1);
	assert_memory_equal(&member_news(p.alice)->refused_by, member_key(p.bob), PUBKEY_LEN);
	assert_int_equal(ovc_counter(server_ovc(p.ovc), OVC_statement_out), 0);
	assert_true(ovc_counter(server_ovc(p.ovc), OVC_publish_refused) >= 1);
	world_free(p.w);
}

static void with_the_node_its_statements_are_gone(void **state)
{
	struct statement b, old;
	struct pair p;

	pair_make(&p, 850, NO_NAT, NO_NAT);
	b = make(&p, p.bob, BACKEND_WIREGUARD, 2, 22);
	old = make(&p, p.bob, BACKEND_WIREGUARD, 1, 21);
	offer(p.bob, &b);
	member_set_control_persistent(p.alice, true);
	world_run(p.w, 5 * SIM_SECOND);
	assert_int_equal(seen_key(p.alice, p.bob), 22);
	world_revoke(p.w, p.bob);
	world_publish(p.w);
	assert_int_equal(seen(p.alice, p.bob).count, 0);
	say_statement(&p, member_key(p.bob), &b);
	assert_int_equal(member_news(p.alice)->statements, 1);
	assert_false(member_load_statement(p.alice, &b));
	/* Added again he begins anew, and says it again. */
	world_unrevoke(p.w, p.bob);
	world_publish(p.w);
	assert_int_equal(seen_key(p.alice, p.bob), 0);
	assert_true(member_load_statement(p.alice, &old));
	world_run(p.w, 20 * SIM_SECOND);
	assert_int_equal(seen_key(p.alice, p.bob), 22);
	world_free(p.w);
}

static void a_changed_offer_is_told_also_over_bad_lines(void **state)
{
	for (uint64_t seed = 860; seed < 866; seed++) {
		struct statement b;
		struct pair p;

		pair_make(&p, seed, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
		b = make(&p, p.bob, BACKEND_WIREGUARD, 2, 22);
		offer(p.bob, &b);
		member_set_control_persistent(p.alice, true);
		world_run(p.w, 30 * SIM_SECOND);
		assert_int_equal(seen_key(p.alice, p.bob), 22);
		sim_set_faults(world_net(p.w), 300, 100, 30 * SIM_MS, 50 * SIM_MS);
		b = make(&p, p.bob, BACKEND_WIREGUARD, 3, 23);
		offer_at(p.bob, &b, 4);
		world_run(p.w, 33 * SIM_SECOND);
		assert_int_equal(seen_key(p.alice, p.bob), 23);
		assert_int_equal(seen(p.alice, p.bob).list[0].port, 4);
		world_free(p.w);
	}
}

static void who_says_no_offer_is_native(void **state)
{
	struct mesh_offer of_b, of_a = {.count = 1, .list[0].backend = BACKEND_WIREGUARD};
	struct flow *there, *back;
	struct statement a;
	struct pair p;

	pair_make(&p, 870, NO_NAT, NO_NAT);
	a = make(&p, p.alice, BACKEND_WIREGUARD, 2, 22);
	offer(p.alice, &a);
	pair_flows(&p, &there, &back);
	world_run(p.w, 20 * SIM_SECOND);
	of_b = seen(p.alice, p.bob);
	assert_int_equal(of_b.count, 1);
	assert_int_equal(of_b.list[0].backend, BACKEND_NATIVE);
	assert_null(of_b.list[0].statement);
	assert_true(flow_stats(there).arrived > 900 && flow_stats(back).arrived > 900);
	assert_int_equal(mesh_choose_backend(member_key(p.alice), &of_a, member_key(p.bob), &of_b),
			 0);
	world_free(p.w);
}

static void an_older_version_in_the_place_of_a_newer_one_is_native_again(void **state)
{
	struct statement b;
	struct pair p;

	pair_make(&p, 875, NO_NAT, NO_NAT);
	b = make(&p, p.bob, BACKEND_WIREGUARD, 2, 22);
	offer(p.bob, &b);
	member_set_control_persistent(p.alice, true);
	world_run(p.w, 5 * SIM_SECOND);
	assert_int_equal(seen(p.alice, p.bob).count, 2);
	/* Away long enough for its session to end, and without an offer from then on. */
	sim_set_host_off(member_host(p.bob), true);
	world_run(p.w, 200 * SIM_SECOND);
	member_restart(p.bob);
	world_run(p.w, 30 * SIM_SECOND);
	assert_int_equal(path_between(p.alice, p.bob), PATH_DIRECT);
	assert_int_equal(seen(p.alice, p.bob).count, 1);
	assert_int_equal(seen(p.alice, p.bob).list[0].backend, BACKEND_NATIVE);
	world_free(p.w);
}

static void a_restarted_member_learns_the_offers_of_the_others_again(void **state)
{
	struct statement a, b;
	struct pair p;

	pair_make(&p, 880, NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
	a = make(&p, p.alice, BACKEND_WIREGUARD, 1, 11);
	b = make(&p, p.bob, BACKEND_WIREGUARD, 2, 22);
	offer(p.alice, &a);
	offer(p.bob, &b);
	member_set_control_persistent(p.alice, true);
	member_set_control_persistent(p.bob, true);
	world_run(p.w, 10 * SIM_SECOND);
	assert_true(have_met(p.w, &p));
	member_restart(p.bob);
	offer(p.bob, &b);
	member_set_control_persistent(p.bob, true);
	assert_true(world_run_until(p.w, have_met, &p, 10 * SIM_SECOND) != UINT64_MAX);
	assert_int_equal(seen_key(p.bob, p.alice), 11);
	world_free(p.w);
}

static void datagrams_of_backends_pass_directly_and_by_lanes(void **state)
{
	static const int nats[] = {NO_NAT, NAT_SYMMETRIC};

	for (size_t i = 0; i < 2; i++) {
		uint8_t bytes[MESH_CARRY_MAX + 1];
		struct pair p;

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)(k * 7);
		pair_make(&p, 890 + i, nats[i], nats[i]);
		/* The first one says that somebody wants to be reached. */
		assert_false(member_carry(p.alice, p.bob, BACKEND_WIREGUARD, bytes, 148));
		world_run(p.w, 5 * SIM_SECOND);
		assert_int_equal(path_between(p.alice, p.bob), i ? PATH_RELAY : PATH_DIRECT);
		assert_true(member_carry(p.alice, p.bob, BACKEND_WIREGUARD, bytes, MESH_CARRY_MAX));
		world_run(p.w, SIM_SECOND);
		assert_int_equal(member_news(p.bob)->carried, 1);
		assert_int_equal(member_news(p.bob)->carried_backend, BACKEND_WIREGUARD);
		assert_int_equal(member_news(p.bob)->carried_len, MESH_CARRY_MAX);
		assert_memory_equal(member_news(p.bob)->carried_bytes, bytes, MESH_CARRY_MAX);
		assert_true(member_carry(p.bob, p.alice, BACKEND_TINC, bytes, 1));
		world_run(p.w, SIM_SECOND);
		assert_int_equal(member_news(p.alice)->carried_backend, BACKEND_TINC);
		assert_false(member_carry(p.alice, p.bob, BACKEND_TINC, bytes, sizeof(bytes)));
		assert_false(member_carry(p.alice, p.bob, BACKEND_TINC, bytes, 0));
		assert_int_equal(mesh_counter(member_mesh(p.bob), MESH_carry_in), 1);
		world_free(p.w);
	}
}

static void packets_of_another_backends_pair_are_refused_both_ways(void **state)
{
	struct flow *there, *back;
	struct pair p;

	pair_make(&p, 900, NO_NAT, NO_NAT);
	pair_flows(&p, &there, &back);
	world_run(p.w, 5 * SIM_SECOND);
	assert_true(flow_stats(there).arrived > 200 && flow_stats(back).arrived > 200);
	/* Alice goes over first: what Bob still sends natively is refused by her. */
	member_set_carrier(p.alice, p.bob, false);
	flow_mark(there);
	flow_mark(back);
	world_run(p.w, 5 * SIM_SECOND);
	assert_int_equal(flow_stats(there).arrived + flow_stats(back).arrived, 0);
	assert_true(mesh_counter(member_mesh(p.alice), MESH_out_other_backend) > 200);
	assert_true(mesh_counter(member_mesh(p.alice), MESH_in_other_backend) > 200);
	assert_int_equal(mesh_counter(member_mesh(p.bob), MESH_in_other_backend), 0);
	member_set_carrier(p.alice, p.bob, true);
	world_run(p.w, 5 * SIM_SECOND);
	assert_true(flow_stats(there).arrived > 200 && flow_stats(back).arrived > 200);
	world_free(p.w);
}

struct hub {
	uint16_t port;
	uint8_t key;
};

static void find_hub(void *ctx, const struct mesh_helper_status *s)
{
	struct hub *hub = ctx;

	if (s->helper->kind == OBJECT_OVC)
		*hub = (struct hub){s->hub_port, s->hub ? s->hub->key[0] : 0};
}

static void an_ovc_tells_of_its_hub(void **state)
{
	struct statement s = {
		.backend = BACKEND_TINC, .kind = OBJECT_OVC, .date = 3, .key_len = 270};
	struct object_id other = {{9}};
	struct hub hub = {0};
	struct pair p;

	pair_make(&p, 910, NO_NAT, NO_NAT);
	s.object = *server_object(p.ovc);
	memset(s.key, 0x48, s.key_len);
	server_sign(p.ovc, &s);
	server_add_hub(p.ovc, world_dnet(p.w), 1655, &s);
	s.date = 4;
	server_sign(p.ovc, &s);
	server_add_hub(p.ovc, &other, 1656, &s);
	world_run(p.w, 20 * SIM_SECOND);
	mesh_visit_helpers(member_mesh(p.alice), find_hub, &hub);
	assert_int_equal(hub.port, 1655);
	assert_int_equal(hub.key, 0x48);
	assert_int_equal(member_news(p.alice)->statement.date, 3);
	assert_int_equal(member_news(p.alice)->statements, 1);
	assert_int_equal(refused(p.alice), 0);
	/* A node's statement is none of the OVC's, whoever says it. */
	s = make(&p, p.bob, BACKEND_TINC, 5, 1);
	say_statement(&p, server_key(p.ovc), &s);
	assert_int_equal(refused(p.alice), 1);
	assert_non_null(strstr(status_of_ovc(p.alice).text, "gave a wrong key for itself"));
	world_free(p.w);
}

enum { MANY = 16 };

static unsigned sessions(struct member *const *members)
{
	unsigned n = 0;

	for (unsigned a = 0; a < MANY; a++)
		for (unsigned b = 0; b < MANY; b++)
			n += a != b && path_between(members[a], members[b]) != PATH_NONE;
	return n;
}

static void all_who_are_online_have_sessions_without_a_storm(void **state)
{
	struct world *w = world_new(920);
	struct member *members[MANY];
	struct server *ovc = world_add_server(w, REALM_OVC);

	for (unsigned i = 0; i < MANY; i++) {
		members[i] = world_add_member(w, sim_add_nat(world_net(w), NAT_PORT_RESTRICTED));
		member_set_control_persistent(members[i], true);
	}
	world_publish(w);
	world_run(w, 40 * SIM_SECOND);
	assert_int_equal(sessions(members), MANY * (MANY - 1));
	assert_int_equal(ovc_counter(server_ovc(ovc), OVC_introduce_too_often), 0);
	/* Quiet: half an hour later they are there, for little. */
	world_run(w, 400 * SIM_SECOND);
	member_clear_load(members[0]);
	world_run(w, 1800 * SIM_SECOND);
	assert_int_equal(sessions(members), MANY * (MANY - 1));
	printf("# %u members: %.2f datagrams a second and peer\n", MANY,
	       (double)member_load(members[0]).sent / 1800 / (MANY - 1));
	assert_true(member_load(members[0]).sent < 1800 * (MANY - 1) / 5);
	/* Who comes back is found. */
	sim_set_host_off(member_host(members[3]), true);
	world_run(w, 400 * SIM_SECOND);
	assert_int_equal(sessions(members), (MANY - 1) * (MANY - 2));
	sim_set_host_off(member_host(members[3]), false);
	world_run(w, 60 * SIM_SECOND);
	assert_int_equal(sessions(members), MANY * (MANY - 1));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_members_learn_what_the_other_offers),
		cmocka_unit_test(an_ovc_brings_statements_with_introductions),
		cmocka_unit_test(a_wrong_key_from_an_ovc_is_refused_and_said),
		cmocka_unit_test(an_older_statement_stays_refused_after_a_restart),
		cmocka_unit_test(a_member_that_gives_a_wrong_key_of_its_own_is_named),
		cmocka_unit_test(with_the_node_its_statements_are_gone),
		cmocka_unit_test(a_changed_offer_is_told_also_over_bad_lines),
		cmocka_unit_test(who_says_no_offer_is_native),
		cmocka_unit_test(an_older_version_in_the_place_of_a_newer_one_is_native_again),
		cmocka_unit_test(a_restarted_member_learns_the_offers_of_the_others_again),
		cmocka_unit_test(datagrams_of_backends_pass_directly_and_by_lanes),
		cmocka_unit_test(packets_of_another_backends_pair_are_refused_both_ways),
		cmocka_unit_test(an_ovc_tells_of_its_hub),
		cmocka_unit_test(all_who_are_online_have_sessions_without_a_storm),
	};

	return cmocka_run_group_tests_name("sim/backends", tests, NULL, NULL);
}
