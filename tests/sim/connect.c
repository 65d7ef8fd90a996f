#include "fixture/test.h"

#include "sim/world.h"

#include <string.h>

/* How members find each other and which way their packets take. */

struct pair {
	struct world *w;
	struct server *ovc, *ovr;
	struct member *alice, *bob;
};

static void make_pair(struct pair *p, uint64_t seed,
		      struct sim_nat *(*nat)(struct world *w, int who))
{
	p->w = world_new(seed);
	p->ovc = world_add_server(p->w, REALM_OVC);
	p->ovr = world_add_server(p->w, REALM_OVR);
	p->alice = world_add_member(p->w, nat ? nat(p->w, 0) : NULL);
	p->bob = world_add_member(p->w, nat ? nat(p->w, 1) : NULL);
	world_publish(p->w);
	world_run(p->w, 2 * SIM_SECOND);
}

static bool is_direct(struct world *w, void *ctx)
{
	const struct pair *p = ctx;

	return both_direct(p->alice, p->bob);
}

static struct sim_nat *port_restricted(struct world *w, int who)
{
	return sim_add_nat(world_net(w), NAT_PORT_RESTRICTED);
}

static void two_members_behind_nats_connect_directly_within_two_seconds(void **state)
{
	struct pair p;
	struct flow *f, *back;
	uint64_t took;

	make_pair(&p, 1, port_restricted);
	f = world_add_flow(p.w, p.alice, p.bob, 50 * SIM_MS, 200);
	took = world_run_until(p.w, is_direct, &p, 2 * SIM_SECOND);
	assert_true(took < 2 * SIM_SECOND);
	back = world_add_flow(p.w, p.bob, p.alice, 50 * SIM_MS, 1200);
	world_run(p.w, 5 * SIM_SECOND);
	assert_true(flow_stats(f).first_arrival < SIM_SECOND);
	flow_stop(f);
	flow_stop(back);
	world_run(p.w, SIM_SECOND);
	assert_int_equal(flow_stats(f).arrived, flow_stats(f).sent);
	assert_int_equal(flow_stats(back).arrived, flow_stats(back).sent);
	assert_string_equal(reason_between(p.alice, p.bob), "direct: confirmed");
	world_free(p.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_members_behind_nats_connect_directly_within_two_seconds),
	};

	return cmocka_run_group_tests_name("sim/connect", tests, NULL, NULL);
}
