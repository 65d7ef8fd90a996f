#include "sim/pair.h"

#include "core/mesh_parts.h"
#include "wire/message.h"
#include "wire/ovc.h"

#include <stdio.h>
#include <string.h>

/* Members that are told, by an OVC or by one of them, that others live at the address of somebody
 * who is in no dnet: what they send there is counted until they have stopped believing it. */

enum { MEMBERS = 5, LIES_EACH = 10, UDP_OVER_IP = 28 };

struct victim {
	uint64_t datagrams, bytes;	 /* with UDP and IP headers */
	uint64_t second, worst, in_this; /* the worst second of all, in bytes */
	const struct sim_net *net;
};

struct liar {
	struct world *w;
	struct server *ovc, *ovr;
	struct member *members[MEMBERS];
	unsigned count;
	struct sim_host *target;
	struct victim victim;
	uint8_t role;
	uint64_t bytes_said;
};

static void suffer(void *ctx, const struct endpoint *src, uint8_t *bytes, size_t len)
{
	struct victim *v = ctx;
	uint64_t second = sim_now(v->net) / SIM_SECOND;

	(void)src;
	(void)bytes;
	if (second != v->second)
		v->in_this = 0;
	v->second = second;
	v->datagrams++;
	v->bytes += len + UDP_OVER_IP;
	v->in_this += len + UDP_OVER_IP;
	if (v->in_this > v->worst)
		v->worst = v->in_this;
}

static struct peer *let_in_anybody(void *ctx, struct realm *realm, const struct node_key *key,
				   const struct object_id *dnet)
{
	(void)ctx;
	return realm_add_peer(realm, key, dnet);
}

static const struct realm_ops lying_ops = {.authorize = let_in_anybody};

/* A list at its limit; other ports each time, so that each of them is new. */
static void name_the_victim(struct liar *l, struct frame_endpoints *list, uint8_t limit)
{
	list->count = limit;
	for (uint8_t i = 0; i < limit; i++) {
		list->list[i] = sim_host_endpoint(l->target);
		list->list[i].port = (uint16_t)(1 + sim_random(world_net(l->w)) % 65535);
	}
}

static void lie_to(struct liar *l, struct member *to)
{
	struct peer *peer = server_peer(l->ovc, to);
	struct ovc_frame f = {.type = FRAME_INTRODUCTION};
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	for (unsigned i = 0; peer && i < l->count; i++) {
		if (l->members[i] == to)
			continue;
		f.introduction.key = *member_key(l->members[i]);
		f.introduction.role =
			l->role ? l->role : (uint8_t)(1 + sim_random(world_net(l->w)) % 2);
		name_the_victim(l, &f.introduction.endpoints, FRAME_INTRODUCED_MAX);
		writer_init(&w, bytes, sizeof(bytes));
		ovc_frame_write(&w, &f);
		assert_false(w.failed);
		if (!peer_send_frame(peer, peer_via(peer), bytes, writer_len(&w), world_now(l->w)))
			l->bytes_said += writer_len(&w) + UDP_OVER_IP + 32;
	}
}

/* All are told about all others, LIES_EACH times a second. */
static void lie_for(struct liar *l, uint64_t ns)
{
	for (uint64_t end = world_now(l->w) + ns; world_now(l->w) < end;) {
		for (unsigned i = 0; i < l->count; i++)
			lie_to(l, l->members[i]);
		world_run(l->w, SIM_SECOND / LIES_EACH);
	}
}

static void begin(struct liar *l, uint64_t seed, unsigned count, bool relay)
{
	*l = (struct liar){.w = world_new(seed), .count = count};
	l->ovc = world_add_server(l->w, REALM_OVC);
	l->ovr = world_add_server(l->w, REALM_OVR);
	server_set_off(l->ovr, !relay);
	/* They cannot reach each other: whatever is said of them is all there is. */
	for (unsigned i = 0; i < count; i++) {
		l->members[i] = world_add_member(l->w, NULL);
		for (unsigned k = 0; k < i; k++)
			sim_block(world_net(l->w), member_host(l->members[i]),
				  member_host(l->members[k]), true);
	}
	l->target = sim_add_host(world_net(l->w), NULL, suffer, &l->victim);
	l->victim.net = world_net(l->w);
	sim_host_take_every_port(l->target);
	server_become(l->ovc, &lying_ops, l);
	world_publish(l->w);
	world_run(l->w, 5 * SIM_SECOND);
}

/* Everybody talks to everybody. */
static void talk(struct liar *l)
{
	for (unsigned a = 0; a < l->count; a++)
		for (unsigned b = 0; b < l->count; b++)
			if (a != b)
				world_add_flow(l->w, l->members[a], l->members[b], 50 * SIM_MS,
					       100);
}

/* PROTOCOL 7.5: 20 datagrams a second, burst 100, of at most an initiation's size. */
static uint64_t most_in(uint64_t seconds)
{
	return (100 + 20 * seconds) * (INITIATION_LEN + UDP_OVER_IP);
}

static void an_ovc_that_names_a_victim_makes_nobody_a_reflector(void **state)
{
	static const struct {
		const char *what;
		unsigned members;
		uint8_t role;
		bool relay, flows;
	} table[] = {
		{"one of two is looked for", 2, 0, false, true},
		{"nobody is looked for: to be called", 2, INTRODUCTION_ANSWER, false, false},
		{"nobody is looked for: to call", 2, INTRODUCTION_INITIATE, false, false},
		{"connected by the relay", 2, 0, true, true},
		{"connected by the relay, quiet", 2, 0, true, false},
		{"five, all of whom are there", MEMBERS, 0, false, true},
		{"five, by the relay", MEMBERS, 0, true, true},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct liar l;

		begin(&l, 800 + i, table[i].members, table[i].relay);
		l.role = table[i].role;
		if (table[i].flows)
			talk(&l);
		lie_for(&l, 60 * SIM_SECOND);
		printf("# %s: %u datagrams, %u bytes in 60 s, %u in the worst; %u bytes of lies\n",
		       table[i].what, (unsigned)l.victim.datagrams, (unsigned)l.victim.bytes,
		       (unsigned)l.victim.worst, (unsigned)l.bytes_said);
		assert_true(l.victim.bytes <= l.count * most_in(60));
		assert_true(l.victim.worst <= l.count * most_in(1));
		/* Whoever waits for nobody calls nobody. */
		if (table[i].role == INTRODUCTION_INITIATE)
			assert_int_equal(l.victim.datagrams, 0);
		world_free(l.w);
	}
}

/* Seals a frame past all limits of one's own. */
static void tell_candidates(struct liar *l, struct member *from, struct member *to)
{
	struct mesh_peer *p = member_peer(from, to);
	const struct path *path = path_current(&p->paths);
	struct frame f = {.type = FRAME_CANDIDATES};
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	assert_non_null(path);
	name_the_victim(l, &f.candidates, FRAME_CANDIDATES_MAX);
	writer_init(&w, bytes, sizeof(bytes));
	frame_write(&w, &f);
	assert_int_equal(
		peer_send_frame(p->peer, &path->via, bytes, writer_len(&w), world_now(l->w)), 0);
}

static void a_member_that_names_a_victim_makes_nobody_a_reflector(void **state)
{
	struct liar l;

	(void)state;
	begin(&l, 820, 2, true);
	talk(&l);
	world_run(l.w, 5 * SIM_SECOND);
	for (unsigned i = 0; i < 600; i++) {
		tell_candidates(&l, l.members[1], l.members[0]);
		world_run(l.w, 100 * SIM_MS);
	}
	printf("# candidates: %u datagrams, %u bytes in 60 s\n", (unsigned)l.victim.datagrams,
	       (unsigned)l.victim.bytes);
	assert_true(l.victim.datagrams > 100);
	assert_true(l.victim.bytes <= most_in(60));
	assert_true(mesh_counter(member_mesh(l.members[0]), MESH_frame_too_often) > 500);
	world_free(l.w);
}

/* He has a session, asks for a stream, and claims to be where the victim is. */
static void a_stream_follows_nobody_who_does_not_answer_where_he_says_he_is(void **state)
{
	struct endpoint claimed;
	struct flow *there;
	struct liar l;
	uint64_t led_astray = 0;

	(void)state;
	l = (struct liar){.w = world_new(830), .count = 2};
	l.members[0] = world_add_member(l.w, NULL);
	l.members[1] = world_add_member(l.w, NULL);
	l.ovc = world_add_server(l.w, REALM_OVC);
	l.target = sim_add_host(world_net(l.w), NULL, suffer, &l.victim);
	l.victim.net = world_net(l.w);
	sim_host_take_every_port(l.target);
	world_publish(l.w);
	world_run(l.w, 2 * SIM_SECOND);
	there = world_add_flow(l.w, l.members[0], l.members[1], 2 * SIM_MS, 1200);
	world_add_flow(l.w, l.members[1], l.members[0], 20 * SIM_MS, 60);
	world_run(l.w, 5 * SIM_SECOND);
	assert_true(flow_stats(there).arrived > 2000);
	sim_block_way(world_net(l.w), member_host(l.members[0]), member_host(l.members[1]), true);
	for (unsigned i = 0; i < 60; i++) {
		claimed = sim_host_endpoint(l.target);
		claimed.port = (uint16_t)(2000 + i);
		sim_host_claim(member_host(l.members[1]), &claimed);
		world_run(l.w, SIM_SECOND);
		if (i == 15)
			led_astray = l.victim.bytes;
	}
	printf("# a stream of 0.6 Mbyte/s: %u bytes led astray, %u of them later than 15 s\n",
	       (unsigned)l.victim.bytes, (unsigned)(l.victim.bytes - led_astray));
	/* PROTOCOL 7.5: for 5 s at most, then no more than questions. */
	assert_true(led_astray < 6 * 500 * 1300);
	assert_true(l.victim.bytes - led_astray <= most_in(45));
	/* And back where he is he is served again. */
	sim_host_claim(member_host(l.members[1]), NULL);
	sim_block_way(world_net(l.w), member_host(l.members[0]), member_host(l.members[1]), false);
	world_run(l.w, 10 * SIM_SECOND);
	flow_mark(there);
	world_run(l.w, 5 * SIM_SECOND);
	assert_true(flow_stats(there).arrived > 2450);
	world_free(l.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ovc_that_names_a_victim_makes_nobody_a_reflector),
		cmocka_unit_test(a_member_that_names_a_victim_makes_nobody_a_reflector),
		cmocka_unit_test(a_stream_follows_nobody_who_does_not_answer_where_he_says_he_is),
	};

	return cmocka_run_group_tests_name("sim/reflect", tests, NULL, NULL);
}
