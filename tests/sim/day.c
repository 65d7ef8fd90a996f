#include "fixture/test.h"

#include "ovc/ovc.h"
#include "ovr/ovr.h"
#include "sim/search.h"
#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A dnet as it lives: 50 members behind NATs of every kind, for half an hour (DNET_SIM_MINUTES, for
 * contrib/long a day). They talk, roam, sleep, are killed, removed and added again; NATs forget,
 * helpers are restarted, unplugged, unlinked and lose their grants; datagrams are lost, doubled,
 * delayed and overtaken; no clock is right. One OVC and one OVR are never away for longer than a
 * restart.
 *
 * For each datagram at a helper: nothing in it is in the open. For each packet out of a TUN
 * (sim/flow.c): one author, once, unaltered, from nobody whose removal is known. For each machine
 * that ends (sim/member.c): all its memory comes back. Every few seconds, for all: is_well(). */

enum {
	MEMBERS = 50,
	TALKS = 40, /* at once, each both ways */
	NATS = 40,
	HELPERS = 2, /* of each kind */
};

/* What doc/architecture.md promises. */
#define CONNECTED_WITHIN (30 * SIM_SECOND)
#define DIRECT_WITHIN	 (60 * SIM_SECOND)
#define CALM		 (400 * SIM_SECOND)

enum {
	TURNS_PER_SECOND = 100, /* of a member */
	SENT_PER_SECOND = 500,
	HEAP_PEAK = 8 << 20,
	HEAP_GROWTH = 64 << 10, /* of a member, after the day against before it */
};

struct person {
	struct member *m;
	struct sim_nat *nat;
	enum nat_kind kind;
	uint64_t disturbed; /* when something happened to it last */
	uint64_t wakes;	    /* 0: it is awake */
	uint64_t reads;	    /* when it reads the chain after it woke up; 0: it has */
	uint64_t returns;   /* when it is added again; 0: it is a member */
	size_t heap;	    /* before all began */
};

struct talk {
	struct person *a, *b;
	struct flow *there, *back;  /* NULL: none now */
	uint64_t ends, blocked;	    /* blocked: until then; 0: it is not */
	uint64_t disturbed, direct; /* direct: when it was last, or could not be */
};

struct day {
	struct world *w;
	struct dnet *dnet;
	struct server *ovcs[HELPERS], *ovrs[HELPERS];
	uint64_t helpers_back; /* when the second ones are there again; 0: they are */
	struct sim_nat *nats[NATS];
	struct person *people;
	size_t count;
	struct talk talks[TALKS];
	struct search secrets;
	uint64_t events[10], checks, listened, talked, judged_direct;
	uint64_t longest; /* silence */
	struct member_load worst;
};

static uint64_t chance(struct day *d, uint64_t n)
{
	return sim_random(world_net(d->w)) % n;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static bool listen(void *ctx, bool in, const struct endpoint *other, uint8_t *bytes, size_t len)
{
	struct day *d = ctx;

	d->listened++;
	assert_false(search_counts_up(bytes, len));
	assert_false(search_finds(&d->secrets, bytes, len));
	return false;
}

/* ---- What happens ---- */

static void disturb(struct day *d, struct person *p)
{
	p->disturbed = world_now(d->w);
}

static bool is_here(const struct person *p)
{
	return !p->wakes && !p->returns;
}

/* One in five has a public address. */
static void settle(struct day *d, struct person *p)
{
	size_t n = chance(d, NATS * 5 / 4);

	p->nat = n < NATS ? d->nats[n] : NULL;
	p->kind = (enum nat_kind)(n % 4);
}

static void roam(struct day *d, struct person *p)
{
	settle(d, p);
	member_move(p->m, p->nat);
	disturb(d, p);
}

static void fall_asleep(struct day *d, struct person *p)
{
	static const uint64_t lasts[] = {20, 200, 1000, 4 * 3600};

	if (p->wakes)
		return;
	member_sleep(p->m, true);
	p->wakes = world_now(d->w) + (1 + chance(d, lasts[chance(d, 4)])) * SIM_SECOND;
}

/* Somewhere else, or where it was; and sometimes its host does not notice. What it missed of the
 * chain it reads a little later. */
static void wake_up(struct day *d, struct person *p)
{
	p->wakes = 0;
	member_sleep(p->m, false);
	switch (chance(d, 3)) {
	case 0:
		roam(d, p);
		break;
	case 1:
		member_network_changed(p->m);
		break;
	}
	p->reads = world_now(d->w) + chance(d, 10) * SIM_SECOND + 1;
	disturb(d, p);
}

static void remove_member(struct day *d, struct person *p)
{
	if (p->returns)
		return;
	world_revoke(d->w, p->m);
	/* One in two does not hear of it, and goes on as before. */
	dnet_publish(d->dnet, chance(d, 2) ? p->m : NULL);
	p->returns = world_now(d->w) + (30 + chance(d, 1800)) * SIM_SECOND;
}

static void add_again(struct day *d, struct person *p)
{
	p->returns = 0;
	world_unrevoke(d->w, p->m);
	dnet_publish(d->dnet, NULL);
	disturb(d, p);
}

static void restart(struct day *d, struct person *p)
{
	if (p->wakes)
		return;
	member_restart(p->m);
	member_set_drift(p->m, (int)chance(d, 401) - 200);
	disturb(d, p);
}

static void forget_mappings(struct day *d)
{
	struct sim_nat *nat = d->nats[chance(d, NATS)];

	sim_nat_reset(nat);
	for (size_t i = 0; i < d->count; i++)
		if (d->people[i].nat == nat)
			disturb(d, &d->people[i]);
}

static void trouble_helpers(struct day *d)
{
	size_t k = chance(d, HELPERS);

	server_restart(chance(d, 2) ? d->ovcs[k] : d->ovrs[k]);
	if (d->helpers_back || chance(d, 2))
		return;
	d->helpers_back = world_now(d->w) + (5 + chance(d, 600)) * SIM_SECOND;
	switch (chance(d, 3)) {
	case 0:
		server_set_off(d->ovcs[1], true);
		server_set_off(d->ovrs[1], true);
		break;
	case 1:
		world_unlink(d->dnet, d->ovcs[1]);
		world_unlink(d->dnet, d->ovrs[1]);
		dnet_publish(d->dnet, NULL);
		break;
	case 2:
		dnet_revoke_grant(d->dnet, d->ovcs[1]);
		dnet_revoke_grant(d->dnet, d->ovrs[1]);
		dnet_publish(d->dnet, NULL);
		break;
	}
}

static void bring_helpers_back(struct day *d)
{
	d->helpers_back = 0;
	server_set_off(d->ovcs[1], false);
	server_set_off(d->ovrs[1], false);
	world_link(d->dnet, d->ovcs[1]);
	world_link(d->dnet, d->ovrs[1]);
	dnet_publish(d->dnet, NULL);
}

static void change_weather(struct day *d)
{
	sim_set_faults(world_net(d->w), (unsigned)chance(d, 50), (unsigned)chance(d, 30),
		       (5 + chance(d, 60)) * SIM_MS, chance(d, 40) * SIM_MS);
}

static void block(struct day *d, struct talk *t, bool on)
{
	sim_block(world_net(d->w), member_host(t->a->m), member_host(t->b->m), on);
	t->disturbed = world_now(d->w);
	t->blocked = on ? t->disturbed + (1 + chance(d, 300)) * SIM_SECOND : 0;
}

static void end_talk(struct day *d, struct talk *t)
{
	flow_stop(t->there);
	flow_stop(t->back);
	if (t->blocked)
		block(d, t, false);
	t->there = t->back = NULL;
}

static bool talk_already(const struct day *d, const struct person *a, const struct person *b)
{
	for (size_t i = 0; i < TALKS; i++)
		if (d->talks[i].there && ((d->talks[i].a == a && d->talks[i].b == b) ||
					  (d->talks[i].a == b && d->talks[i].b == a)))
			return true;
	return false;
}

static void begin_talk(struct day *d, struct talk *t)
{
	struct person *a = &d->people[chance(d, d->count)], *b = &d->people[chance(d, d->count)];
	uint64_t now = world_now(d->w), interval = (200 + chance(d, 1800)) * SIM_MS;

	if (a == b || talk_already(d, a, b))
		return;
	*t = (struct talk){.a = a,
			   .b = b,
			   .ends = now + (10 + chance(d, 1200)) * SIM_SECOND,
			   .disturbed = now};
	t->there = world_add_flow(d->w, a->m, b->m, interval, 100 + chance(d, 1100));
	t->back = world_add_flow(d->w, b->m, a->m, interval, 100 + chance(d, 1100));
	d->talked++;
}

static void something_happens(struct day *d)
{
	struct person *p = &d->people[chance(d, d->count)];
	struct talk *t = &d->talks[chance(d, TALKS)];
	size_t what = chance(d, 10);

	d->events[what]++;
	switch (what) {
	case 0:
	case 1:
		if (!p->wakes)
			roam(d, p);
		return;
	case 2:
		fall_asleep(d, p);
		return;
	case 3:
		restart(d, p);
		return;
	case 4:
		remove_member(d, p);
		return;
	case 5:
		forget_mappings(d);
		return;
	case 6:
		trouble_helpers(d);
		return;
	case 7:
		change_weather(d);
		return;
	case 8:
		if (!p->wakes)
			member_set_drift(p->m, (int)chance(d, 401) - 200);
		return;
	case 9:
		if (t->there && !t->blocked)
			block(d, t, true);
		return;
	}
}

/* What was begun before and is over now. */
static void go_on(struct day *d)
{
	uint64_t now = world_now(d->w);

	for (size_t i = 0; i < d->count; i++) {
		struct person *p = &d->people[i];

		if (p->wakes && p->wakes <= now)
			wake_up(d, p);
		if (p->reads && p->reads <= now && !p->wakes) {
			p->reads = 0;
			member_publish(p->m);
			disturb(d, p);
		}
		if (p->returns && p->returns <= now)
			add_again(d, p);
	}
	if (d->helpers_back && d->helpers_back <= now)
		bring_helpers_back(d);
	for (size_t i = 0; i < TALKS; i++) {
		struct talk *t = &d->talks[i];

		if (t->there && t->ends <= now)
			end_talk(d, t);
		if (t->there && t->blocked && t->blocked <= now)
			block(d, t, false);
		if (!t->there)
			begin_talk(d, t);
	}
}

/* ---- What has to hold ---- */

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static const char *nat_name(const struct person *p)
{
	static const char *const names[] = {"full cone", "restricted", "port restricted",
					    "symmetric"};

	return p->nat ? names[p->kind] : "public";
}

static bool can_be_direct(const struct talk *t)
{
	bool a_hard = t->a->nat && t->a->kind >= NAT_PORT_RESTRICTED;
	bool b_hard = t->b->nat && t->b->kind >= NAT_PORT_RESTRICTED;
	bool symmetric = (t->a->nat && t->a->kind == NAT_SYMMETRIC) ||
			 (t->b->nat && t->b->kind == NAT_SYMMETRIC);

	return !t->blocked && !(a_hard && b_hard && symmetric);
}

/* A pair that has any path is connected, and directly where there is a direct one. */
static void talk_is_well(struct day *d, struct talk *t)
{
	uint64_t quiet, silent;

	if (!t->there || !is_here(t->a) || !is_here(t->b) || t->a->reads || t->b->reads) {
		t->direct = world_now(d->w);
		return;
	}
	quiet = world_now(d->w) - max(max(t->a->disturbed, t->b->disturbed), t->disturbed);
	silent = max(flow_silent(t->there), flow_silent(t->back));
	if (silent > quiet)
		silent = quiet;
	d->longest = max(d->longest, silent);
	if (silent > CONNECTED_WITHIN) {
		printf("# %s to %s: %u s silent, %s; %s\n", nat_name(t->a), nat_name(t->b),
		       (unsigned)(silent / SIM_SECOND), reason_between(t->a->m, t->b->m),
		       reason_between(t->b->m, t->a->m));
		fail();
	}
	if (quiet >= DIRECT_WITHIN && can_be_direct(t))
		d->judged_direct++;
	if (quiet < DIRECT_WITHIN || !can_be_direct(t) || both_direct(t->a->m, t->b->m))
		t->direct = world_now(d->w);
	/* Bad weather may take it away for a while. */
	if (world_now(d->w) - t->direct > DIRECT_WITHIN) {
		printf("# %s to %s: not direct after %u s, %s; %s\n", nat_name(t->a),
		       nat_name(t->b), (unsigned)(quiet / SIM_SECOND),
		       reason_between(t->a->m, t->b->m), reason_between(t->b->m, t->a->m));
		fail();
	}
}

/* What nobody does here. */
static void counters_are_well(const struct member *m)
{
	static const enum engine_counter engine[] = {
		ENGINE_datagram_unknown, ENGINE_datagram_truncated, ENGINE_handshake_mac1_wrong,
		ENGINE_data_malformed,	 ENGINE_data_unexpected,    ENGINE_data_invalid,
	};
	static const enum mesh_counter mesh[] = {
		MESH_out_malformed,	     MESH_out_source_not_ours, MESH_out_policy,
		MESH_in_malformed,	     MESH_in_source_foreign,   MESH_in_policy,
		MESH_in_destination_foreign, MESH_in_icmp_foreign,     MESH_frame_malformed,
	};

	for (size_t i = 0; i < sizeof(engine) / sizeof(engine[0]); i++)
		assert_int_equal(engine_counter(member_engine((struct member *)m), engine[i]), 0);
	for (size_t i = 0; i < sizeof(mesh) / sizeof(mesh[0]); i++)
		assert_int_equal(mesh_counter(member_mesh((struct member *)m), mesh[i]), 0);
	assert_int_equal(mesh_counter(member_mesh((struct member *)m), MESH_in_packets),
			 member_delivered(m));
}

static void load_is_well(struct day *d, const struct member *m)
{
	struct member_load load = member_load(m);

	d->worst.turns += load.turns;
	d->worst.sent += load.sent;
	d->worst.turns_per_second = max(d->worst.turns_per_second, load.turns_per_second);
	d->worst.sent_per_second = max(d->worst.sent_per_second, load.sent_per_second);
	d->worst.heap = max(d->worst.heap, load.heap);
	d->worst.heap_peak = max(d->worst.heap_peak, load.heap_peak);
	assert_true(load.turns_per_second <= TURNS_PER_SECOND);
	assert_true(load.sent_per_second <= SENT_PER_SECOND);
	assert_true(load.heap_peak <= HEAP_PEAK);
}

static void helpers_are_well(struct day *d)
{
	for (size_t k = 0; k < HELPERS; k++) {
		const struct ovr *ovr = server_ovr(d->ovrs[k]);
		struct ovr_usage usage = ovr_usage(ovr, dnet_id(d->dnet));

		assert_true(ovc_registered(server_ovc(d->ovcs[k]), dnet_id(d->dnet),
					   world_now(d->w)) <= d->count);
		assert_true(usage.members <= d->count);
		assert_true(usage.lanes <= d->count * (d->count - 1) / 2);
		assert_int_equal(ovr_counter(ovr, OVR_frame_malformed), 0);
		assert_int_equal(ovr_counter(ovr, OVR_lane_refused_too_many), 0);
		assert_int_equal(ovc_counter(server_ovc(d->ovcs[k]), OVC_frame_malformed), 0);
	}
}

static void is_well(struct day *d)
{
	d->checks++;
	d->worst.turns = d->worst.sent = 0;
	for (size_t i = 0; i < TALKS; i++)
		talk_is_well(d, &d->talks[i]);
	for (size_t i = 0; i < d->count; i++) {
		counters_are_well(d->people[i].m);
		load_is_well(d, d->people[i].m);
	}
	helpers_are_well(d);
}

/* ---- The day ---- */

static void begin(struct day *d, uint64_t seed)
{
	*d = (struct day){.w = world_new(seed), .count = number_of("DNET_SIM_MEMBERS", MEMBERS)};
	d->dnet = world_first_dnet(d->w);
	d->people = calloc(d->count, sizeof(*d->people));
	assert_non_null(d->people);
	for (size_t k = 0; k < HELPERS; k++) {
		d->ovcs[k] = world_add_server(d->w, REALM_OVC);
		d->ovrs[k] = world_add_server(d->w, REALM_OVR);
		server_set_tap(d->ovcs[k], listen, d);
		server_set_tap(d->ovrs[k], listen, d);
	}
	for (size_t i = 0; i < NATS; i++)
		d->nats[i] = sim_add_nat(world_net(d->w), (enum nat_kind)(i % 4));
	for (size_t i = 0; i < d->count; i++) {
		struct person *p = &d->people[i];

		settle(d, p);
		p->m = world_add_member(d->w, p->nat);
		search_add_member(&d->secrets, p->m);
	}
	world_publish(d->w);
	world_run(d->w, CALM);
	for (size_t i = 0; i < d->count; i++) {
		d->people[i].heap = member_load(d->people[i].m).heap;
		member_set_drift(d->people[i].m, (int)chance(d, 401) - 200);
	}
}

static void calm_down(struct day *d)
{
	for (size_t i = 0; i < TALKS; i++)
		if (d->talks[i].there)
			end_talk(d, &d->talks[i]);
	for (size_t i = 0; i < d->count; i++) {
		struct person *p = &d->people[i];

		if (p->wakes)
			wake_up(d, p);
		if (p->returns)
			add_again(d, p);
		p->reads = 0;
	}
	bring_helpers_back(d);
	sim_set_faults(world_net(d->w), 0, 0, 10 * SIM_MS, 0);
}

/* Nobody talked for a while: the memory of each member is what it was before. */
static void memory_is_back(struct day *d)
{
	world_run(d->w, CALM);
	for (size_t i = 0; i < d->count; i++) {
		struct member_load load = member_load(d->people[i].m);

		d->worst.heap = max(d->worst.heap, load.heap - d->people[i].heap);
		if (load.heap > d->people[i].heap + HEAP_GROWTH)
			printf("# %zu bytes before, %zu after\n", d->people[i].heap, load.heap);
		assert_true(load.heap <= d->people[i].heap + HEAP_GROWTH);
	}
}

static void report(const struct day *d, uint64_t minutes, const struct timespec *began)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("# %u min with %zu members: %u events in %u s, %u talks, %u datagrams at helpers, "
	       "%u checks\n",
	       (unsigned)minutes, d->count, (unsigned)world_events(d->w),
	       (unsigned)(now.tv_sec - began->tv_sec), (unsigned)d->talked, (unsigned)d->listened,
	       (unsigned)d->checks);
	printf("# happened:");
	for (size_t i = 0; i < sizeof(d->events) / sizeof(d->events[0]); i++)
		printf(" %u", (unsigned)d->events[i]);
	printf("\n# longest silence %u ms; worst second of a member: %u turns, %u datagrams; heap "
	       "of one: %zu bytes at most; judged direct %u\n",
	       (unsigned)(d->longest / SIM_MS), (unsigned)d->worst.turns_per_second,
	       (unsigned)d->worst.sent_per_second, d->worst.heap_peak, (unsigned)d->judged_direct);
}

static void every_promise_holds_all_day(void **state)
{
	uint64_t minutes = number_of("DNET_SIM_MINUTES", 30), end;
	struct timespec began;
	struct day d;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &began);
	begin(&d, 1);
	end = world_now(d.w) + minutes * 60 * SIM_SECOND;
	while (world_now(d.w) < end) {
		something_happens(&d);
		go_on(&d);
		world_run(d.w, (1 + chance(&d, 8000)) * SIM_MS);
		is_well(&d);
	}
	report(&d, minutes, &began);
	calm_down(&d);
	memory_is_back(&d);
	search_done(&d.secrets);
	free(d.people);
	world_free(d.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_promise_holds_all_day),
	};

	return cmocka_run_group_tests_name("sim/day", tests, NULL, NULL);
}
