#include "fixture/test.h"

#include "core/mesh_parts.h"
#include "ovc/ovc.h"
#include "ovr/ovr.h"
#include "sim/search.h"
#include "sim/world.h"
#include "wire/buf.h"
#include "wire/message.h"
#include "wire/ovc.h"
#include "wire/ovr.h"

#include <stdio.h>
#include <string.h>

/* Two dnets with one OVC, one OVR and the same addresses, and one machine that is in both. What a
 * helper says to a member of the one is read before it is sealed (peer_send_frame() is wrapped) and
 * as it leaves, and holds no key, address, endpoint or id of the other. */

enum { DNETS = 2, MEMBERS = 3, BOTH = MEMBERS, ALL = MEMBERS + 1, FLOWS = ALL * (ALL - 1) };

struct tenant {
	struct dnet *dnet;
	struct member *members[ALL]; /* the last one's machine is in both dnets */
	struct flow *flows[FLOWS];
	unsigned flow_count;
	struct search said;   /* what only its own may hear in a frame */
	struct search passed; /* or see in a datagram */
	uint8_t lane[LANE_HEADER_LEN];
	bool has_lane;
};

static struct house {
	struct world *w;
	struct server *ovc, *ovr;
	struct tenant tenants[DNETS];
	uint64_t frames, datagrams;
	struct ovc_frame heard; /* the last NOT_HERE */
} house;

int __real_peer_send_frame(struct peer *peer, const struct via *via, const uint8_t *frame,
			   size_t len, uint64_t now);
int __wrap_peer_send_frame(struct peer *peer, const struct via *via, const uint8_t *frame,
			   size_t len, uint64_t now);

static bool is_of(const struct tenant *t, const struct object_id *dnet)
{
	return t->dnet && object_id_equal(dnet_id(t->dnet), dnet);
}

int __wrap_peer_send_frame(struct peer *peer, const struct via *via, const uint8_t *frame,
			   size_t len, uint64_t now)
{
	struct ovc_frame f;

	for (unsigned i = 0; i < DNETS; i++)
		if (!is_of(&house.tenants[i], peer_dnet(peer)))
			assert_false(search_finds(&house.tenants[i].said, frame, len));
	house.frames++;
	if (ovc_frame_parse(frame, len, &f) && f.type == FRAME_NOT_HERE)
		house.heard = f;
	if (ovc_frame_parse(frame, len, &f) && f.type == FRAME_REGISTERED)
		assert_true(f.registered.members <= ALL);
	return __real_peer_send_frame(peer, via, frame, len, now);
}

/* Whose host that is; DNETS: nobody's alone. */
static unsigned owner_of(const struct endpoint *e)
{
	for (unsigned i = 0; i < DNETS; i++)
		for (unsigned k = 0; k < MEMBERS; k++) {
			struct endpoint at =
				sim_host_endpoint(member_host(house.tenants[i].members[k]));

			if (endpoint_equal(&at, e))
				return i;
		}
	return DNETS;
}

static bool watch(void *ctx, bool in, const struct endpoint *other, uint8_t *bytes, size_t len)
{
	unsigned owner = owner_of(other);

	(void)ctx;
	house.datagrams++;
	if (in || owner == DNETS)
		return false;
	assert_false(search_finds(&house.tenants[1 - owner].passed, bytes, len));
	if (message_classify(bytes, len) == MESSAGE_LANE) {
		memcpy(house.tenants[owner].lane, bytes, LANE_HEADER_LEN);
		house.tenants[owner].has_lane = true;
	}
	return false;
}

/* The machine that is in both has one endpoint, which both may know. */
static void learn(struct tenant *t)
{
	for (unsigned i = 0; i < ALL; i++) {
		struct endpoint at = sim_host_endpoint(member_host(t->members[i]));

		search_add_member(&t->said, t->members[i]);
		search_add_member(&t->passed, t->members[i]);
		if (i != BOTH)
			search_add(&t->said, at.addr.bytes, 4);
	}
	search_add(&t->said, dnet_id(t->dnet)->bytes, OBJECT_ID_LEN);
	search_add(&t->passed, dnet_id(t->dnet)->bytes, OBJECT_ID_LEN);
}

static void begin(uint64_t seed)
{
	memset(&house, 0, sizeof(house));
	house.w = world_new(seed);
	house.ovc = world_add_server(house.w, REALM_OVC);
	house.ovr = world_add_server(house.w, REALM_OVR);
	house.tenants[0].dnet = world_first_dnet(house.w);
	house.tenants[1].dnet = world_add_dnet(house.w);
	world_link(house.tenants[1].dnet, house.ovc);
	world_link(house.tenants[1].dnet, house.ovr);
	for (unsigned i = 0; i < DNETS; i++)
		for (unsigned k = 0; k < MEMBERS; k++)
			house.tenants[i].members[k] = dnet_add_member(house.tenants[i].dnet, NULL);
	house.tenants[0].members[BOTH] = dnet_add_member(house.tenants[0].dnet, NULL);
	house.tenants[1].members[BOTH] =
		dnet_add_member_at(house.tenants[1].dnet, house.tenants[0].members[BOTH]);
	learn(&house.tenants[0]);
	learn(&house.tenants[1]);
	server_set_tap(house.ovc, watch, NULL);
	server_set_tap(house.ovr, watch, NULL);
	world_publish(house.w);
	world_run(house.w, 3 * SIM_SECOND);
}

static void finish(void)
{
	world_free(house.w);
	for (unsigned i = 0; i < DNETS; i++) {
		search_done(&house.tenants[i].said);
		search_done(&house.tenants[i].passed);
	}
}

static void talk(struct tenant *t)
{
	for (unsigned a = 0; a < ALL; a++)
		for (unsigned b = 0; b < ALL; b++)
			if (a != b)
				t->flows[t->flow_count++] = world_add_flow(
					house.w, t->members[a], t->members[b], 100 * SIM_MS, 200);
}

static void mark(struct tenant *t)
{
	for (unsigned i = 0; i < t->flow_count; i++)
		flow_mark(t->flows[i]);
}

static void assert_is_well(const struct tenant *t)
{
	for (unsigned i = 0; i < t->flow_count; i++) {
		struct flow_stats s = flow_stats(t->flows[i]);

		assert_true((s.arrived + 2) * 100 >= s.sent * 99);
		assert_true(s.longest_gap < SIM_SECOND);
	}
}

/* Everybody of the one and the other cannot reach each other directly. */
static void only_by_relay(void)
{
	for (unsigned i = 0; i < DNETS; i++)
		for (unsigned a = 0; a < ALL; a++)
			for (unsigned b = 0; b < a; b++)
				sim_block(world_net(house.w),
					  member_host(house.tenants[i].members[a]),
					  member_host(house.tenants[i].members[b]), true);
}

static void two_dnets_at_one_helper_never_learn_of_each_other(void **state)
{
	(void)state;
	for (unsigned relayed = 0; relayed < 2; relayed++) {
		begin(1000 + relayed);
		if (relayed)
			only_by_relay();
		talk(&house.tenants[0]);
		talk(&house.tenants[1]);
		world_run(house.w, 10 * SIM_SECOND);
		mark(&house.tenants[0]);
		mark(&house.tenants[1]);
		world_run(house.w, 300 * SIM_SECOND);
		assert_is_well(&house.tenants[0]);
		assert_is_well(&house.tenants[1]);
		assert_true(house.frames > 1000 && house.datagrams > 500);
		assert_int_equal(ovc_registered(server_ovc(house.ovc),
						dnet_id(house.tenants[0].dnet), world_now(house.w)),
				 ALL);
		assert_int_equal(world_stray(house.w), 0);
		finish();
	}
}

static struct helper *helper_of(struct member *m, uint8_t kind)
{
	struct helper *h;

	LIST_FOREACH(h, &member_mesh(m)->helpers, entry)
	if (h->row.kind == kind)
		return h;
	return NULL;
}

/* Past all limits of one's own. */
static void ask_for(struct member *from, uint8_t kind, const struct node_key *key)
{
	struct helper *h = helper_of(from, kind);
	struct ovc_frame introduce = {.type = FRAME_INTRODUCE, .introduce = *key};
	struct ovr_frame open = {.type = FRAME_LANE_OPEN, .key = *key};
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	assert_true(h && h->up);
	writer_init(&w, bytes, sizeof(bytes));
	if (kind == OBJECT_OVC)
		ovc_frame_write(&w, &introduce);
	else
		ovr_frame_write(&w, &open);
	__real_peer_send_frame(h->peer, peer_via(h->peer), bytes, writer_len(&w), member_now(from));
}

static void what_belongs_to_the_other_is_as_if_nobody_had_it(void **state)
{
	struct node_key nobody = {.bytes = {2, 1, 2, 3}};
	struct member *alice;

	(void)state;
	begin(1010);
	alice = house.tenants[0].members[0];
	for (unsigned i = 0; i < ALL; i++) {
		const struct node_key *his = member_key(house.tenants[1].members[i]);
		uint8_t reason;

		/* Of what only the second may hear, this is asked for. */
		ask_for(alice, OBJECT_OVC, &nobody);
		world_run(house.w, SIM_SECOND);
		reason = house.heard.not_here.reason;
		search_done(&house.tenants[1].said);
		ask_for(alice, OBJECT_OVC, his);
		world_run(house.w, SIM_SECOND);
		assert_true(node_key_equal(&house.heard.not_here.key, his));
		assert_int_equal(house.heard.not_here.reason, reason);
		assert_int_equal(ovc_counter(server_ovc(house.ovc), OVC_introduce_not_member),
				 2 * i + 2);
		ask_for(alice, OBJECT_OVR, his);
		world_run(house.w, SIM_SECOND);
		assert_int_equal(ovr_counter(server_ovr(house.ovr), OVR_lane_refused_not_member),
				 i + 1);
	}
	assert_int_equal(ovc_counter(server_ovc(house.ovc), OVC_introduced), 0);
	assert_int_equal(ovr_counter(server_ovr(house.ovr), OVR_lane_made), 0);
	finish();
}

static void a_lane_of_the_other_is_not_to_be_used(void **state)
{
	struct endpoint ovr;
	uint8_t bytes[200] = {0};
	uint64_t before;

	(void)state;
	begin(1020);
	only_by_relay();
	talk(&house.tenants[1]);
	world_run(house.w, 10 * SIM_SECOND);
	assert_true(house.tenants[1].has_lane);
	for (unsigned i = 0; i < house.tenants[1].flow_count; i++)
		flow_stop(house.tenants[1].flows[i]);
	world_run(house.w, SIM_SECOND);
	memcpy(bytes, house.tenants[1].lane, LANE_HEADER_LEN);
	ovr = sim_host_endpoint(server_host(house.ovr));
	before = ovr_counter(server_ovr(house.ovr), OVR_dropped_wrong_source);
	for (unsigned i = 0; i < 100; i++)
		sim_send(member_host(house.tenants[0].members[0]), &ovr, bytes, sizeof(bytes));
	world_run(house.w, SIM_SECOND);
	assert_int_equal(ovr_counter(server_ovr(house.ovr), OVR_dropped_wrong_source),
			 before + 100);
	finish();
}

/* All members of the one ask both helpers 400 times a second, and one sends nonsense as fast. */
static void flood(unsigned ms)
{
	struct tenant *t = &house.tenants[0];
	uint8_t junk[200];

	for (unsigned i = 0; i < ms; i += 5) {
		for (unsigned k = 0; k < MEMBERS; k++) {
			const struct node_key *key = member_key(t->members[(k + 1) % MEMBERS]);
			struct endpoint at = sim_host_endpoint(server_host(house.ovc));

			ask_for(t->members[k], OBJECT_OVC, key);
			ask_for(t->members[k], OBJECT_OVC, key);
			ask_for(t->members[k], OBJECT_OVR, key);
			ask_for(t->members[k], OBJECT_OVR, key);
			sim_random_bytes(world_net(house.w), junk, sizeof(junk));
			sim_send(member_host(t->members[k]), &at, junk, sizeof(junk));
		}
		world_run(house.w, 5 * SIM_MS);
	}
}

static void one_that_floods_does_not_starve_the_other(void **state)
{
	(void)state;
	begin(1030);
	flood(3000);
	/* They meet for the first time now. */
	talk(&house.tenants[1]);
	flood(2000);
	mark(&house.tenants[1]);
	flood(5000);
	assert_is_well(&house.tenants[1]);
	assert_true(both_direct(house.tenants[1].members[0], house.tenants[1].members[1]));
	assert_true(ovc_counter(server_ovc(house.ovc), OVC_introduce_too_often) > 1000);
	finish();
}

static uint64_t forwarded(const struct tenant *t)
{
	return ovr_usage(server_ovr(house.ovr), dnet_id(t->dnet)).bytes;
}

/* Twelve times the rate of its grant, for 30 s; the other sends what its own of the same size lets
 * pass. The bucket holds 64 KiB. */
static void a_flood_under_one_grant_takes_nothing_of_the_other(void **state)
{
	enum { RATE_KBIT = 800, SECONDS = 30, BUCKET = 65536 };
	struct tenant *full = &house.tenants[0], *other = &house.tenants[1];
	uint64_t before;

	(void)state;
	begin(1060);
	only_by_relay();
	dnet_grant(full->dnet, house.ovr, RATE_KBIT);
	dnet_grant(other->dnet, house.ovr, RATE_KBIT);
	world_publish(house.w);
	talk(other);
	world_add_flow(house.w, full->members[0], full->members[1], SIM_MS, 1200);
	world_run(house.w, 10 * SIM_SECOND);
	mark(other);
	before = forwarded(full);
	world_run(house.w, SECONDS * SIM_SECOND);
	assert_is_well(other);
	assert_int_equal(ovr_usage(server_ovr(house.ovr), dnet_id(other->dnet)).dropped, 0);
	/* What its own grant gives it, no less and no more. */
	before = forwarded(full) - before;
	printf("# %u bytes in %u s at %u kbit/s\n", (unsigned)before, SECONDS, RATE_KBIT);
	assert_true(before <= RATE_KBIT * 125 * SECONDS + BUCKET);
	assert_true(before >= RATE_KBIT * 125 * SECONDS * 95 / 100);
	assert_true(ovr_counter(server_ovr(house.ovr), OVR_dropped_rate) > SECONDS * 500);
	finish();
}

static void who_leaves_one_stays_in_the_other(void **state)
{
	struct tenant *left = &house.tenants[0], *kept = &house.tenants[1];

	(void)state;
	begin(1040);
	talk(left);
	talk(kept);
	world_run(house.w, 10 * SIM_SECOND);
	world_revoke(house.w, left->members[BOTH]);
	world_publish(house.w);
	world_run(house.w, SIM_SECOND);
	mark(left);
	mark(kept);
	world_run(house.w, 60 * SIM_SECOND);
	assert_is_well(kept);
	for (unsigned i = 0; i < left->flow_count; i++) {
		unsigned a = i / (ALL - 1), b = i % (ALL - 1);

		b += b >= a;
		if (a == BOTH || b == BOTH)
			assert_int_equal(flow_stats(left->flows[i]).arrived, 0);
	}
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_dnets_at_one_helper_never_learn_of_each_other),
		cmocka_unit_test(what_belongs_to_the_other_is_as_if_nobody_had_it),
		cmocka_unit_test(a_lane_of_the_other_is_not_to_be_used),
		cmocka_unit_test(one_that_floods_does_not_starve_the_other),
		cmocka_unit_test(a_flood_under_one_grant_takes_nothing_of_the_other),
		cmocka_unit_test(who_leaves_one_stays_in_the_other),
	};

	return cmocka_run_group_tests_name("sim/tenants", tests, NULL, NULL);
}
