#include "sim/pair.h"

/* Everything at once, by chance: members behind all kinds of NATs talk each to each while paths are
 * blocked, hosts move, members and helpers are killed or unplugged, and datagrams get lost.
 * Afterwards it is quiet, and everybody has to reach everybody again. That nothing is delivered
 * twice, damaged, or from who may not is asserted by sim/world for every packet. */

enum { COUNT = 5, PAIRS = COUNT * (COUNT - 1) };

struct chaos {
	struct world *w;
	struct server *ovc, *ovr;
	struct member *members[COUNT];
	struct flow *flows[PAIRS];
	unsigned moves;
	bool off[COUNT], ovc_off, ovr_off, blocked[COUNT][COUNT];
};

static uint64_t chance(struct chaos *c, uint64_t n)
{
	return sim_random(world_net(c->w)) % n;
}

static struct sim_nat *any_nat(struct chaos *c)
{
	uint64_t kind = chance(c, 5);

	return kind < 4 ? sim_add_nat(world_net(c->w), (enum nat_kind)kind) : NULL;
}

static void set_block(struct chaos *c, size_t a, size_t b, bool on)
{
	if (c->blocked[a][b] == on)
		return;
	c->blocked[a][b] = on;
	sim_block(world_net(c->w), member_host(c->members[a]), member_host(c->members[b]), on);
}

static void something_happens(struct chaos *c)
{
	size_t a = chance(c, COUNT), b = chance(c, COUNT);

	switch (chance(c, 9)) {
	case 0:
	case 1:
		if (a < b)
			set_block(c, a, b, !c->blocked[a][b]);
		break;
	case 2:
		if (c->moves++ < 6)
			member_move(c->members[a], any_nat(c));
		break;
	case 3:
		member_restart(c->members[a]);
		c->off[a] = false;
		break;
	case 4:
		c->off[a] = !c->off[a];
		sim_set_host_off(member_host(c->members[a]), c->off[a]);
		break;
	case 5:
		server_restart(chance(c, 2) ? c->ovc : c->ovr);
		break;
	case 6:
		c->ovc_off = !c->ovc_off;
		server_set_off(c->ovc, c->ovc_off);
		break;
	case 7:
		c->ovr_off = !c->ovr_off;
		server_set_off(c->ovr, c->ovr_off);
		break;
	case 8:
		sim_set_faults(world_net(c->w), (unsigned)chance(c, 200), (unsigned)chance(c, 50),
			       (5 + chance(c, 50)) * SIM_MS, chance(c, 30) * SIM_MS);
		break;
	}
}

static void calm_down(struct chaos *c)
{
	for (size_t a = 0; a < COUNT; a++) {
		sim_set_host_off(member_host(c->members[a]), false);
		for (size_t b = a + 1; b < COUNT; b++)
			set_block(c, a, b, false);
	}
	server_set_off(c->ovc, false);
	server_set_off(c->ovr, false);
	sim_set_faults(world_net(c->w), 0, 0, 10 * SIM_MS, 0);
}

static void begin(struct chaos *c, uint64_t seed)
{
	size_t n = 0;

	*c = (struct chaos){.w = world_new(seed)};
	c->ovc = world_add_server(c->w, REALM_OVC);
	c->ovr = world_add_server(c->w, REALM_OVR);
	for (size_t i = 0; i < COUNT; i++)
		c->members[i] = world_add_member(c->w, any_nat(c));
	world_publish(c->w);
	world_run(c->w, SIM_SECOND);
	for (size_t a = 0; a < COUNT; a++)
		for (size_t b = 0; b < COUNT; b++)
			if (a != b)
				c->flows[n++] = world_add_flow(c->w, c->members[a], c->members[b],
							       200 * SIM_MS, 200);
}

static void after_any_mess_everybody_reaches_everybody(void **state)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct chaos c;

		begin(&c, seed);
		for (unsigned i = 0; i < 90; i++) {
			something_happens(&c);
			world_run(c.w, (200 + chance(&c, 3000)) * SIM_MS);
		}
		calm_down(&c);
		world_run(c.w, 45 * SIM_SECOND);
		for (size_t i = 0; i < PAIRS; i++)
			flow_mark(c.flows[i]);
		world_run(c.w, 10 * SIM_SECOND);
		for (size_t i = 0; i < PAIRS; i++) {
			flow_stop(c.flows[i]);
			assert_true(flow_stats(c.flows[i]).longest_gap < SIM_SECOND);
		}
		world_run(c.w, SIM_SECOND);
		for (size_t i = 0; i < PAIRS; i++)
			assert_int_equal(flow_stats(c.flows[i]).arrived,
					 flow_stats(c.flows[i]).sent);
		world_free(c.w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_any_mess_everybody_reaches_everybody),
	};

	return cmocka_run_group_tests_name("sim/chaos", tests, NULL, NULL);
}
