#ifndef SIM_PAIR_H
#define SIM_PAIR_H

/* The usual start: an OVC, an OVR, and two members that have registered. */

#include "fixture/test.h"

#include "sim/world.h"

struct pair {
	struct world *w;
	struct server *ovc, *ovr;
	struct member *alice, *bob;
};

enum { NO_NAT = -1 };

/* kinds of enum nat_kind, or NO_NAT. */
static inline void pair_make(struct pair *p, uint64_t seed, int alice_nat, int bob_nat)
{
	struct sim_nat *a = NULL, *b = NULL;

	p->w = world_new(seed);
	p->ovc = world_add_server(p->w, REALM_OVC);
	p->ovr = world_add_server(p->w, REALM_OVR);
	if (alice_nat != NO_NAT)
		a = sim_add_nat(world_net(p->w), (enum nat_kind)alice_nat);
	if (bob_nat != NO_NAT)
		b = sim_add_nat(world_net(p->w), (enum nat_kind)bob_nat);
	p->alice = world_add_member(p->w, a);
	p->bob = world_add_member(p->w, b);
	world_publish(p->w);
	world_run(p->w, 2 * SIM_SECOND);
}

static inline bool pair_is_direct(struct world *w, void *ctx)
{
	const struct pair *p = ctx;

	return both_direct(p->alice, p->bob);
}

static inline bool pair_is_relayed(struct world *w, void *ctx)
{
	const struct pair *p = ctx;

	return path_between(p->alice, p->bob) == PATH_RELAY &&
	       path_between(p->bob, p->alice) == PATH_RELAY;
}

/* Both ways at once: a packet each 20 ms. */
static inline void pair_flows(struct pair *p, struct flow **ret_there, struct flow **ret_back)
{
	*ret_there = world_add_flow(p->w, p->alice, p->bob, 20 * SIM_MS, 300);
	*ret_back = world_add_flow(p->w, p->bob, p->alice, 20 * SIM_MS, 1280);
}

#endif
