#include "sim/pair.h"

#include "ovc/ovc.h"
#include "ovr/ovr.h"
#include "wire/buf.h"
#include "wire/message.h"
#include "wire/ovc.h"
#include "wire/ovr.h"

#include <stdio.h>
#include <string.h>

/* An OVC and an OVR that lie, with the very keys that the records name: they can deny, and nothing
 * else. That whatever comes out of a TUN was sent by a member, to this one, once, unaltered, is
 * asserted for every packet by sim/world; that no packet passes a helper in the open, by listen()
 * for every datagram here. */

enum { MEMBERS = 3, KEPT = 64, RUN = 12 };

struct evil {
	struct world *w;
	struct server *ovc, *ovr;
	struct member *members[MEMBERS], *mallory;
	struct flow *flows[MEMBERS * MEMBERS];
	unsigned flow_count;
	bool reflect, drop, twice, swap, alter, late, inject;
	bool frames_lie, frames_nonsense, frames_flood;
	struct {
		struct endpoint to;
		uint8_t bytes[2048];
		size_t len;
	} kept[KEPT]; /* datagrams of the past */
	uint64_t passed, next;
	uint64_t bytes_in, bytes_out, lane_bytes_in, lane_bytes_out;
};

static uint64_t chance(struct evil *e, uint64_t n)
{
	return sim_random(world_net(e->w)) % n;
}

/* What flows carry counts up from byte to byte (sim/world); and no header in the open either. */
static bool is_open(const struct evil *e, const uint8_t *bytes, size_t len)
{
	size_t run = 1;

	for (size_t i = 1; i < len; i++) {
		run = bytes[i] == (uint8_t)(bytes[i - 1] + 1) ? run + 1 : 1;
		if (run >= RUN)
			return true;
	}
	for (unsigned i = 0; i < MEMBERS; i++) {
		struct address a = member_address(e->members[i]);

		if (memmem(bytes, len, a.bytes, 16) ||
		    memmem(bytes, len, member_key(e->members[i])->bytes, PUBKEY_LEN))
			return true;
	}
	return false;
}

static void keep(struct evil *e, const struct endpoint *to, const uint8_t *bytes, size_t len)
{
	size_t i = e->next++ % KEPT;

	assert_true(len <= sizeof(e->kept[i].bytes));
	e->kept[i].to = *to;
	e->kept[i].len = len;
	memcpy(e->kept[i].bytes, bytes, len);
}

static bool listen(void *ctx, bool in, const struct endpoint *other, uint8_t *bytes, size_t len)
{
	struct evil *e = ctx;
	bool lane = message_classify(bytes, len) == MESSAGE_LANE;

	assert_false(is_open(e, bytes, len));
	e->passed++;
	*(in ? &e->bytes_in : &e->bytes_out) += len;
	if (lane)
		*(in ? &e->lane_bytes_in : &e->lane_bytes_out) += len;
	if (!in)
		keep(e, other, bytes, len);
	return false;
}

static void replay_some(struct evil *e, struct server *s)
{
	size_t n = e->next < KEPT ? e->next : KEPT;

	for (unsigned i = 0; n && i < 4; i++) {
		size_t k = chance(e, n);

		sim_send(server_host(s), &e->kept[k].to, e->kept[k].bytes, e->kept[k].len);
	}
}

/* Random bytes, or those of the past, in a lane or outside, to a member. */
static void send_junk(struct evil *e, const struct endpoint *to)
{
	uint8_t bytes[256];
	size_t len = chance(e, sizeof(bytes)) + 1;

	sim_random_bytes(world_net(e->w), bytes, len);
	bytes[0] = (uint8_t)(MESSAGE_INITIATION - 1 + chance(e, 8));
	if (len >= 4 && chance(e, 4))
		memset(bytes + 1, 0, 3);
	if (e->next && len > 12 && chance(e, 2))
		memcpy(bytes, e->kept[chance(e, e->next < KEPT ? e->next : KEPT)].bytes, 12);
	sim_send(server_host(e->ovr), to, bytes, len);
}

/* The lane of some other datagram for the same member, so that it is one of his. */
static void swap_lane(struct evil *e, const struct endpoint *to, uint8_t *bytes)
{
	for (size_t i = 0; i < KEPT && i < e->next; i++) {
		if (endpoint_equal(&e->kept[i].to, to) && e->kept[i].bytes[0] == bytes[0] &&
		    e->kept[i].len > 12 && load_u64(e->kept[i].bytes + 4) != load_u64(bytes + 4)) {
			memcpy(bytes + 4, e->kept[i].bytes + 4, 8);
			return;
		}
	}
}

static bool relay_badly(void *ctx, bool in, const struct endpoint *other, uint8_t *bytes,
			size_t len)
{
	struct evil *e = ctx;
	struct sim_host *host = server_host(e->ovr);

	listen(ctx, in, other, bytes, len);
	if (message_classify(bytes, len) != MESSAGE_LANE)
		return false;
	if (in && e->reflect)
		sim_send(host, other, bytes, len);
	if (in)
		return false;
	if (e->twice)
		sim_send(host, other, bytes, len);
	if (e->late && chance(e, 3) == 0) {
		replay_some(e, e->ovr);
		return true;
	}
	if (e->inject)
		send_junk(e, other);
	if (e->swap && chance(e, 2))
		swap_lane(e, other, bytes);
	if (e->alter && chance(e, 2))
		bytes[chance(e, len)] ^= (uint8_t)(1 << chance(e, 8));
	return e->drop;
}

/* ---- An OVC of one's own ---- */

static void say_bytes(struct evil *e, struct peer *peer, const uint8_t *bytes, size_t len)
{
	if (peer_via(peer))
		peer_send_frame(peer, peer_via(peer), bytes, len, world_now(e->w));
}

static void say(struct evil *e, struct peer *peer, const struct ovc_frame *frame)
{
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	ovc_frame_write(&w, frame);
	assert_false(w.failed);
	say_bytes(e, peer, bytes, writer_len(&w));
}

static struct endpoint anywhere(struct evil *e, const struct member *not_his)
{
	for (;;) {
		struct member *m = chance(e, 3) ? e->members[chance(e, MEMBERS)] : e->mallory;

		if (m != not_his)
			return sim_host_endpoint(member_host(m));
	}
}

/* A member is said to be where another one is, or where a stranger waits; a stranger to be a
 * member. */
static void lie_about(struct evil *e, struct peer *peer, struct member *about)
{
	struct ovc_frame f = {.type = FRAME_INTRODUCTION};

	f.introduction.key = *member_key(about);
	f.introduction.role = (uint8_t)(1 + chance(e, 2));
	f.introduction.endpoints.count = (uint8_t)(1 + chance(e, FRAME_INTRODUCED_MAX));
	for (unsigned i = 0; i < f.introduction.endpoints.count; i++)
		f.introduction.endpoints.list[i] = anywhere(e, about);
	say(e, peer, &f);
}

static void lie(struct evil *e, struct peer *peer)
{
	struct ovc_frame f = {.type = FRAME_REGISTERED};

	f.registered.observed = anywhere(e, NULL);
	f.registered.members = (uint16_t)chance(e, 65536);
	say(e, peer, &f);
	for (unsigned i = 0; i < MEMBERS; i++)
		if (!node_key_equal(member_key(e->members[i]), peer_key(peer)))
			lie_about(e, peer, e->members[i]);
	lie_about(e, peer, e->mallory);
	f = (struct ovc_frame){.type = FRAME_NOT_HERE};
	f.not_here.key = *member_key(e->members[chance(e, MEMBERS)]);
	f.not_here.reason = (uint8_t)(1 + chance(e, 3));
	say(e, peer, &f);
}

static void talk_nonsense(struct evil *e, struct peer *peer)
{
	static const uint8_t types[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x10, 0x11, 0x12, 0x13,
					0x14, 0x20, 0x21, 0x22, 0x23, 0x45, 0x60, 0xff};
	uint8_t bytes[ENGINE_FRAME_MAX];

	for (unsigned i = 0; i < sizeof(types); i++) {
		size_t len = 1 + chance(e, chance(e, 2) ? 60 : sizeof(bytes));

		if (types[i] == 0x04)
			continue; /* BYE is a right that it has */
		sim_random_bytes(world_net(e->w), bytes, len);
		bytes[0] = types[i];
		say_bytes(e, peer, bytes, len);
	}
}

static struct peer *let_in_anybody(void *ctx, struct realm *realm, const struct node_key *key,
				   const struct object_id *dnet)
{
	return realm_add_peer(realm, key, dnet);
}

static void answer_with_lies(void *ctx, struct peer *peer, const struct via *via,
			     const uint8_t *bytes, size_t len)
{
	struct evil *e = ctx;

	if (e->frames_lie)
		lie(e, peer);
	if (e->frames_nonsense)
		talk_nonsense(e, peer);
	for (unsigned i = 0; e->frames_flood && i < 300; i++)
		lie_about(e, peer, e->members[chance(e, MEMBERS)]);
	if (e->late)
		replay_some(e, e->ovc);
}

static const struct realm_ops lying_ops = {
	.authorize = let_in_anybody,
	.frame = answer_with_lies,
};

/* ---- The scenes ---- */

static void begin(struct evil *e, uint64_t seed, int nat)
{
	*e = (struct evil){.w = world_new(seed)};
	e->ovc = world_add_server(e->w, REALM_OVC);
	e->ovr = world_add_server(e->w, REALM_OVR);
	for (unsigned i = 0; i < MEMBERS; i++)
		e->members[i] = world_add_member(
			e->w,
			nat == NO_NAT ? NULL : sim_add_nat(world_net(e->w), (enum nat_kind)nat));
	e->mallory = world_add_stranger(e->w);
	server_set_tap(e->ovc, listen, e);
	server_set_tap(e->ovr, listen, e);
	world_publish(e->w);
}

static void talk(struct evil *e)
{
	for (unsigned a = 0; a < MEMBERS; a++)
		for (unsigned b = 0; b < MEMBERS; b++)
			if (a != b)
				e->flows[e->flow_count++] =
					world_add_flow(e->w, e->members[a], e->members[b],
						       50 * SIM_MS, 200 + 100 * a);
}

static void mark(struct evil *e)
{
	for (unsigned i = 0; i < e->flow_count; i++)
		flow_mark(e->flows[i]);
}

static uint64_t arrived(const struct evil *e)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < e->flow_count; i++)
		n += flow_stats(e->flows[i]).arrived;
	return n;
}

static uint64_t sent(const struct evil *e)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < e->flow_count; i++)
		n += flow_stats(e->flows[i]).sent;
	return n;
}

/* ICMP that a member's own mesh tells its TUN: unreachable. */
static uint64_t own_errors(const struct evil *e)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < MEMBERS; i++)
		n += mesh_counter(member_mesh(e->members[i]), MESH_icmp_sent);
	return n;
}

static void what_passes_in_the_open_would_be_seen(void **state)
{
	uint8_t bytes[64] = {0};
	struct address a;
	struct evil e;

	begin(&e, 700, NO_NAT);
	assert_false(is_open(&e, bytes, sizeof(bytes)));
	for (uint8_t i = 0; i < RUN; i++)
		bytes[20 + i] = (uint8_t)(250 + i);
	assert_true(is_open(&e, bytes, sizeof(bytes)));
	assert_false(is_open(&e, bytes, 20 + RUN - 1));
	memset(bytes, 0, sizeof(bytes));
	a = member_address(e.members[1]);
	memcpy(bytes + 40, a.bytes, 16);
	assert_true(is_open(&e, bytes, sizeof(bytes)));
	world_free(e.w);
}

static void honest_helpers_see_no_plaintext(void **state)
{
	struct evil e;

	begin(&e, 701, NAT_SYMMETRIC);
	talk(&e);
	world_run(e.w, 10 * SIM_SECOND);
	mark(&e);
	world_run(e.w, 10 * SIM_SECOND);
	assert_true(arrived(&e) > sent(&e) * 99 / 100);
	/* It went past them: all was relayed. */
	assert_true(e.lane_bytes_in > 6 * 300 * 200);
	assert_true(e.lane_bytes_out <= e.lane_bytes_in);
	world_free(e.w);
}

static void a_lying_relay_can_only_deny(void **state)
{
	static const struct {
		const char *what;
		struct evil e;
		unsigned least; /* percent that arrives nevertheless */
	} table[] = {
		{"drops", {.drop = true}, 0},
		{"sends twice", {.twice = true}, 99},
		{"reflects", {.reflect = true}, 99},
		{"swaps lanes", {.swap = true}, 0},
		{"alters bytes", {.alter = true}, 20},
		{"holds back and sends again", {.late = true}, 40},
		{"injects", {.inject = true}, 99},
		{"all of it",
		 {.reflect = true, .swap = true, .alter = true, .late = true, .inject = true},
		 0},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct evil *kind = &table[i].e;
		struct evil e;

		begin(&e, 710 + i, NAT_SYMMETRIC);
		talk(&e);
		world_run(e.w, 5 * SIM_SECOND);
		e.drop = kind->drop;
		e.twice = kind->twice;
		e.reflect = kind->reflect;
		e.swap = kind->swap;
		e.alter = kind->alter;
		e.late = kind->late;
		e.inject = kind->inject;
		server_set_tap(e.ovr, relay_badly, &e);
		mark(&e);
		world_run(e.w, 30 * SIM_SECOND);
		printf("# a relay that %s: %u of %u arrive; %s; %s\n", table[i].what,
		       (unsigned)arrived(&e), (unsigned)sent(&e),
		       reason_between(e.members[0], e.members[1]),
		       trouble_with(e.members[0], e.ovr));
		assert_true(arrived(&e) * 100 >= sent(&e) * table[i].least);
		if (kind->drop) {
			assert_int_equal(arrived(&e), 0);
			assert_string_equal(reason_between(e.members[0], e.members[1]),
					    "no answer from any candidate or lane");
			assert_string_equal(trouble_with(e.members[0], e.ovr),
					    "nothing comes through its lanes");
		}
		/* And nothing stays of it once the relay is honest. */
		server_set_tap(e.ovr, listen, &e);
		world_run(e.w, 30 * SIM_SECOND);
		mark(&e);
		world_run(e.w, 5 * SIM_SECOND);
		assert_true(arrived(&e) > sent(&e) * 98 / 100);
		assert_string_equal(trouble_with(e.members[0], e.ovr), "");
		assert_int_equal(world_stray(e.w), own_errors(&e));
		world_free(e.w);
	}
}

static void a_lying_ovc_can_only_deny(void **state)
{
	static const char silent[] = "it answers handshakes and nothing else";
	static const char nowhere[] = "nobody answers where it says that members are";
	static const char garbled[] = "what it says cannot be read";
	static const struct {
		const char *what;
		struct evil e;
		const char *trouble; /* what status says */
	} table[] = {
		{"says nothing", {.frames_lie = false}, silent},
		{"swaps keys and endpoints", {.frames_lie = true}, nowhere},
		{"speaks nonsense", {.frames_nonsense = true}, garbled},
		{"floods", {.frames_flood = true}, silent},
		{"replays", {.late = true, .frames_lie = true}, nowhere},
		{"all of it",
		 {.late = true, .frames_lie = true, .frames_nonsense = true, .frames_flood = true},
		 garbled},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct evil e;

		begin(&e, 730 + i, NAT_PORT_RESTRICTED);
		e.frames_lie = table[i].e.frames_lie;
		e.frames_nonsense = table[i].e.frames_nonsense;
		e.frames_flood = table[i].e.frames_flood;
		e.late = table[i].e.late;
		server_become(e.ovc, &lying_ops, &e);
		/* Without the relay nothing else leads to the others. */
		server_set_off(e.ovr, true);
		talk(&e);
		world_run(e.w, 30 * SIM_SECOND);
		printf("# an OVC that %s: %u of %u arrive; %s; %s; %s\n", table[i].what,
		       (unsigned)arrived(&e), (unsigned)sent(&e),
		       reason_between(e.members[0], e.members[1]),
		       trouble_with(e.members[0], e.ovc), trouble_with(e.members[0], e.ovr));
		assert_true(e.passed > 10);
		assert_int_equal(arrived(&e), 0);
		/* What it says last about the other one is its choice, too. */
		if (e.frames_lie)
			assert_string_not_equal(reason_between(e.members[0], e.members[1]),
						"no packets to or from it");
		else
			assert_string_equal(reason_between(e.members[0], e.members[1]),
					    "not registered at any OVC");
		assert_string_equal(reason_between(e.members[0], e.mallory), "not a peer");
		assert_string_equal(trouble_with(e.members[0], e.ovc), table[i].trouble);
		assert_string_equal(trouble_with(e.members[0], e.ovr),
				    "it does not answer handshakes");
		/* With it all are connected, whatever the OVC says. */
		server_set_off(e.ovr, false);
		world_run(e.w, 30 * SIM_SECOND);
		mark(&e);
		world_run(e.w, 10 * SIM_SECOND);
		assert_true(arrived(&e) > sent(&e) * 98 / 100);
		assert_string_equal(trouble_with(e.members[0], e.ovr), "");
		assert_int_equal(world_stray(e.w), own_errors(&e));
		world_free(e.w);
	}
}

static void established_sessions_do_not_care_about_a_lying_ovc(void **state)
{
	struct evil e;

	begin(&e, 740, NO_NAT);
	talk(&e);
	world_run(e.w, 5 * SIM_SECOND);
	e.frames_lie = e.frames_nonsense = e.frames_flood = e.late = true;
	server_set_off(e.ovr, true);
	server_become(e.ovc, &lying_ops, &e);
	mark(&e);
	world_run(e.w, 60 * SIM_SECOND);
	for (unsigned i = 0; i < e.flow_count; i++) {
		assert_true(flow_stats(e.flows[i]).arrived >=
			    flow_stats(e.flows[i]).sent * 99 / 100);
		assert_true(flow_stats(e.flows[i]).longest_gap < SIM_SECOND);
	}
	assert_true(both_direct(e.members[0], e.members[1]));
	world_free(e.w);
}

/* Lanes from the right OVR that lead nowhere, for members and strangers, and lanes that are said to
 * be closed or refused. */
static void say_lanes(struct evil *e)
{
	static const uint8_t types[] = {FRAME_LANE, FRAME_LANE, FRAME_LANE_REFUSED,
					FRAME_LANE_CLOSED};

	for (unsigned i = 0; i < MEMBERS; i++) {
		struct peer *peer = server_peer(e->ovr, e->members[i]);
		struct ovr_frame f = {.type = types[chance(e, 4)]};
		uint8_t bytes[FRAME_MAX];
		struct writer w;

		if (!peer)
			continue;
		f.lane = sim_random(world_net(e->w));
		f.reason = (uint8_t)(1 + chance(e, 3));
		f.key = *member_key(chance(e, 4) ? e->members[chance(e, MEMBERS)] : e->mallory);
		writer_init(&w, bytes, sizeof(bytes));
		ovr_frame_write(&w, &f);
		say_bytes(e, peer, bytes, writer_len(&w));
		talk_nonsense(e, peer);
	}
}

static void lanes_that_nobody_asked_for_lead_to_nobody(void **state)
{
	struct evil e;

	begin(&e, 750, NAT_SYMMETRIC);
	talk(&e);
	world_run(e.w, 5 * SIM_SECOND);
	for (unsigned i = 0; i < 500; i++) {
		say_lanes(&e);
		world_run(e.w, 20 * SIM_MS);
	}
	assert_true(mesh_counter(member_mesh(e.members[0]), MESH_frame_malformed) > 100);
	assert_true(mesh_counter(member_mesh(e.members[0]), MESH_frame_unexpected) > 10);
	world_run(e.w, 30 * SIM_SECOND);
	mark(&e);
	world_run(e.w, 5 * SIM_SECOND);
	assert_true(arrived(&e) > sent(&e) * 98 / 100);
	world_free(e.w);
}

/* ---- What others may make an honest OVR send ---- */

struct victim {
	uint64_t bytes;
};

static void suffer(void *ctx, const struct endpoint *src, uint8_t *bytes, size_t len)
{
	((struct victim *)ctx)->bytes += len;
}

static bool keep_what_comes(void *ctx, bool in, const struct endpoint *other, uint8_t *bytes,
			    size_t len)
{
	struct evil *e = ctx;

	unsigned alike = 0;

	for (size_t i = 0; i < e->next; i++)
		alike += e->kept[i].bytes[0] == bytes[0];
	if (in && len <= 600 && e->next < KEPT && alike < KEPT / 4)
		keep(e, other, bytes, len);
	*(in ? &e->bytes_in : &e->bytes_out) += len;
	if (message_classify(bytes, len) == MESSAGE_LANE)
		*(in ? &e->lane_bytes_in : &e->lane_bytes_out) += len;
	return false;
}

/* Something that came before, altered or not, or random bytes. */
static size_t make_input(struct evil *e, uint8_t bytes[static 600])
{
	size_t i = chance(e, e->next < KEPT ? e->next : KEPT), len = e->kept[i].len;

	if (chance(e, 4) == 0) {
		len = 1 + chance(e, 600);
		sim_random_bytes(world_net(e->w), bytes, len);
		memset(bytes, 0, len < 4 ? len : 4);
		bytes[0] = (uint8_t)(MESSAGE_INITIATION - 1 + chance(e, 8));
		return len;
	}
	memcpy(bytes, e->kept[i].bytes, len);
	for (uint64_t n = chance(e, 3); n; n--)
		bytes[chance(e, len)] ^= (uint8_t)(1 << chance(e, 8));
	return chance(e, 8) ? len : 1 + chance(e, len);
}

static void a_relay_sends_nobody_more_than_it_got_in_his_name(void **state)
{
	struct sim_host *attacker, *target;
	struct victim victim = {0};
	uint64_t in_his_name = 0;
	struct endpoint ovr, who;
	uint8_t bytes[600];
	struct evil e;

	begin(&e, 760, NAT_SYMMETRIC);
	server_set_tap(e.ovc, NULL, NULL);
	server_set_tap(e.ovr, keep_what_comes, &e);
	attacker = sim_add_host(world_net(e.w), NULL, suffer, &victim);
	target = sim_add_host(world_net(e.w), NULL, suffer, &victim);
	ovr = sim_host_endpoint(server_host(e.ovr));
	talk(&e);
	world_run(e.w, 10 * SIM_SECOND);
	assert_true(e.lane_bytes_out > 100000 && e.lane_bytes_out <= e.lane_bytes_in);
	for (unsigned i = 0; i < 20000; i++) {
		size_t len = make_input(&e, bytes);

		who = sim_host_endpoint(chance(&e, 2) ? attacker : target);
		sim_send_as(attacker, &who, &ovr, bytes, len);
		in_his_name += len;
		if (i % 20 == 0)
			world_run(e.w, SIM_MS);
	}
	/* Old initiations in masses: cookies are what it answers with. */
	for (unsigned i = 0; i < 20000; i++) {
		size_t k = i % e.next;

		if (e.kept[k].bytes[0] != MESSAGE_INITIATION)
			continue;
		who = sim_host_endpoint(target);
		sim_send_as(attacker, &who, &ovr, e.kept[k].bytes, e.kept[k].len);
		in_his_name += e.kept[k].len;
	}
	world_run(e.w, SIM_SECOND);
	assert_true(victim.bytes > 1000);
	printf("# %u bytes in, %u answered\n", (unsigned)in_his_name, (unsigned)victim.bytes);
	assert_true(in_his_name > 1000000);
	assert_true(victim.bytes <= in_his_name);
	assert_true(e.lane_bytes_out <= e.lane_bytes_in);
	assert_true(e.bytes_out <= e.bytes_in);
	/* In a member's own name too, lane by lane. */
	assert_true(ovr_counter(server_ovr(e.ovr), OVR_dropped_wrong_source) > 100);
	assert_true(ovr_counter(server_ovr(e.ovr), OVR_dropped_unknown_lane) > 100);
	assert_true(ovr_counter(server_ovr(e.ovr), OVR_forwarded_bytes) == e.lane_bytes_out);
	/* Without the grant nothing is forwarded at all. */
	world_revoke_grant(e.w, e.ovr);
	world_publish_except(e.w, e.members[0]);
	e.lane_bytes_out = 0;
	world_run(e.w, 30 * SIM_SECOND);
	assert_int_equal(e.lane_bytes_out, 0);
	world_free(e.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_passes_in_the_open_would_be_seen),
		cmocka_unit_test(honest_helpers_see_no_plaintext),
		cmocka_unit_test(a_lying_relay_can_only_deny),
		cmocka_unit_test(a_lying_ovc_can_only_deny),
		cmocka_unit_test(lanes_that_nobody_asked_for_lead_to_nobody),
		cmocka_unit_test(a_relay_sends_nobody_more_than_it_got_in_his_name),
		cmocka_unit_test(established_sessions_do_not_care_about_a_lying_ovc),
	};

	return cmocka_run_group_tests_name("sim/helpers", tests, NULL, NULL);
}
