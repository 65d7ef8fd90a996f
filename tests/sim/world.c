#include "sim/parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Time goes from one event to the next: a datagram that arrives, or the turn of a machine or flow,
 * which stand in a heap. Servers are few and are asked each time. */

enum { AGENDA_ROUNDS = 1000, FIRST_DNET = 0xd1, FIRST_SERVER = 0x30 };

void *sim_grow(void *array, size_t count, size_t size)
{
	/* Room for one more is missing at powers of two. */
	if (count & (count - 1))
		return array;
	array = reallocarray(array, count ? 2 * count : 1, size);
	assert(array);
	return array;
}

struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *text = getenv("DNET_SIM_SEED");
	uint8_t context[ID_SEED_LEN] = {1};

	assert(w);
	/* A test that failed may have left something. */
	heap_charge(NULL);
	if (text)
		seed = strtoull(text, NULL, 0);
	printf("# seed %" PRIu64 "\n", seed);
	w->net = sim_net_new(seed);
	w->id = id_new(context);
	world_add_dnet(w);
	return w;
}

void world_free(struct world *w)
{
	/* What taps a server may know members. */
	for (size_t i = 0; i < w->server_count; i++)
		server_free(w->servers[i]);
	member_free_all(w);
	for (size_t i = 0; i < w->flow_count; i++)
		flow_free(w->flows[i]);
	for (size_t i = 0; i < w->dnet_count; i++)
		dnet_free(w->dnets[i]);
	free(w->servers);
	free(w->flows);
	free(w->dnets);
	timer_heap_done(&w->agenda);
	sim_net_free(w->net);
	id_free(w->id);
	free(w);
}

struct sim_net *world_net(struct world *w)
{
	return w->net;
}

uint64_t world_now(const struct world *w)
{
	return sim_now(w->net);
}

const struct object_id *world_dnet(const struct world *w)
{
	return &w->dnets[0]->id;
}

uint64_t world_stray(const struct world *w)
{
	return w->stray;
}

uint64_t world_events(const struct world *w)
{
	return w->turns + sim_delivered(w->net);
}

struct dnet *world_add_dnet(struct world *w)
{
	w->dnets = sim_grow(w->dnets, w->dnet_count, sizeof(*w->dnets));
	w->dnets[w->dnet_count] = dnet_new(w, (uint8_t)(FIRST_DNET + w->dnet_count));
	return w->dnets[w->dnet_count++];
}

struct dnet *world_first_dnet(struct world *w)
{
	return w->dnets[0];
}

struct server *world_add_server(struct world *w, enum realm_kind kind)
{
	struct object_id object;
	struct server *s;

	memset(&object, FIRST_SERVER + (int)w->server_count, sizeof(object));
	s = server_new(w->net, w->id, kind, &object);
	w->servers = sim_grow(w->servers, w->server_count, sizeof(*w->servers));
	w->servers[w->server_count++] = s;
	world_link(w->dnets[0], s);
	return s;
}

void world_add_turn(struct world *w, struct turn *turn, void (*run)(struct turn *turn))
{
	turn->run = run;
	assert(!timer_heap_reserve(&w->agenda, ++w->turn_count));
}

void world_set_turn(struct world *w, struct turn *turn, uint64_t at)
{
	timer_heap_set(&w->agenda, &turn->timer, at);
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static struct turn *next_turn(const struct world *w)
{
	return (struct turn *)timer_heap_first(&w->agenda);
}

static uint64_t next_event(const struct world *w)
{
	const struct turn *turn = next_turn(w);
	uint64_t next = sim_next(w->net);

	if (turn)
		next = min(next, turn->timer.deadline);
	for (size_t i = 0; i < w->server_count; i++)
		next = min(next, server_deadline(w->servers[i]));
	return next;
}

static void take_turns(struct world *w, uint64_t now)
{
	struct turn *turn;

	while ((turn = next_turn(w)) && turn->timer.deadline <= now) {
		w->turns++;
		turn->run(turn);
	}
}

/* Goes to the next event, at most to end. */
static void step(struct world *w, uint64_t end)
{
	uint64_t now = min(next_event(w), end);
	unsigned rounds = 0;

	if (now > sim_now(w->net))
		sim_advance(w->net, now);
	now = sim_now(w->net);
	do {
		assert(rounds++ < AGENDA_ROUNDS);
		sim_deliver(w->net);
		take_turns(w, now);
		for (size_t i = 0; i < w->server_count; i++)
			if (server_deadline(w->servers[i]) <= now)
				server_tick(w->servers[i]);
	} while (next_event(w) <= now && now < end);
}

/* Tests talk to meshes and engines behind our back. */
static void look_around(struct world *w)
{
	for (size_t i = 0; i < w->member_count; i++)
		machine_schedule(w->members[i]->machine);
}

void world_run(struct world *w, uint64_t ns)
{
	uint64_t end = sim_now(w->net) + ns;

	look_around(w);
	while (sim_now(w->net) < end)
		step(w, end);
}

uint64_t world_run_until(struct world *w, world_fact *fact, void *ctx, uint64_t limit)
{
	uint64_t began = sim_now(w->net), end = began + limit;

	look_around(w);
	while (!fact(w, ctx)) {
		if (sim_now(w->net) >= end)
			return UINT64_MAX;
		step(w, end);
	}
	return sim_now(w->net) - began;
}
