#include "fixture/test.h"

#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>

/* The power comes back: all members of a dnet start at the same instant, and all want to talk at
 * once. They share one OVC and one OVR, whose limits meet the whole crowd. */

enum { TALKS_EACH = 10, SENT_EACH = 500 };

/* What doc/architecture.md promises. */
#define SETTLED_WITHIN (5 * SIM_SECOND)

struct storm {
	struct world *w;
	struct server *ovc, *ovr;
	struct member **members;
	size_t count, flow_count;
	struct flow **flows;
};

static void add_members(struct storm *s)
{
	for (size_t i = 0; i < s->count; i++) {
		size_t kind = sim_random(world_net(s->w)) % 5;

		s->members[i] = world_add_member(
			s->w, kind < 4 ? sim_add_nat(world_net(s->w), (enum nat_kind)kind) : NULL);
	}
}

/* Each with the next ones in the circle, both ways. */
static void add_flows(struct storm *s)
{
	for (size_t i = 0; i < s->count; i++) {
		for (size_t k = 1; k <= TALKS_EACH / 2; k++) {
			struct member *other = s->members[(i + k) % s->count];

			s->flows[s->flow_count++] =
				world_add_flow(s->w, s->members[i], other, SIM_SECOND, 200);
			s->flows[s->flow_count++] =
				world_add_flow(s->w, other, s->members[i], SIM_SECOND, 200);
		}
	}
}

static void begin(struct storm *s, uint64_t seed, size_t count)
{
	*s = (struct storm){.w = world_new(seed), .count = count};
	s->members = calloc(count, sizeof(struct member *));
	s->flows = calloc(count * TALKS_EACH, sizeof(struct flow *));
	assert_true(s->members && s->flows);
	s->ovc = world_add_server(s->w, REALM_OVC);
	s->ovr = world_add_server(s->w, REALM_OVR);
	add_members(s);
	add_flows(s);
	world_publish(s->w);
	world_run(s->w, 10 * SIM_SECOND);
}

static void end(struct storm *s)
{
	free(s->members);
	free(s->flows);
	world_free(s->w);
}

/* A packet of each flow has arrived since the power came back. */
static bool all_talk(struct world *w, void *ctx)
{
	const struct storm *s = ctx;

	(void)w;
	for (size_t i = 0; i < s->flow_count; i++)
		if (!flow_stats(s->flows[i]).arrived)
			return false;
	return true;
}

static void restart_all(struct storm *s, bool helpers)
{
	if (helpers) {
		server_restart(s->ovc);
		server_restart(s->ovr);
	}
	for (size_t i = 0; i < s->count; i++) {
		member_restart(s->members[i]);
		member_clear_load(s->members[i]);
	}
	for (size_t i = 0; i < s->flow_count; i++)
		flow_mark(s->flows[i]);
}

static struct member_load worst_load(const struct storm *s)
{
	struct member_load worst = {0};

	for (size_t i = 0; i < s->count; i++) {
		struct member_load load = member_load(s->members[i]);

		if (load.sent > worst.sent)
			worst.sent = load.sent;
		if (load.sent_per_second > worst.sent_per_second)
			worst.sent_per_second = load.sent_per_second;
		if (load.turns_per_second > worst.turns_per_second)
			worst.turns_per_second = load.turns_per_second;
	}
	return worst;
}

static void all_start_at_once_and_settle(void **state)
{
	static const struct {
		size_t members;
		bool helpers;
	} table[] = {{50, false}, {50, true}, {200, true}};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct member_load storm, calm;
		struct storm s;
		uint64_t took;

		begin(&s, 900 + i, table[i].members);
		restart_all(&s, table[i].helpers);
		took = world_run_until(s.w, all_talk, &s, SETTLED_WITHIN);
		storm = worst_load(&s);
		world_run(s.w, 30 * SIM_SECOND);
		for (size_t k = 0; k < s.count; k++)
			member_clear_load(s.members[k]);
		world_run(s.w, 5 * SIM_SECOND);
		calm = worst_load(&s);
		printf("# %zu members%s: %d ms; of one: %u datagrams, %u in the worst second, "
		       "later "
		       "%u\n",
		       s.count, table[i].helpers ? " and their helpers" : "",
		       took == UINT64_MAX ? -1 : (int)(took / SIM_MS), (unsigned)storm.sent,
		       (unsigned)storm.sent_per_second, (unsigned)calm.sent_per_second);
		assert_true(took != UINT64_MAX);
		assert_true(storm.sent <= SENT_EACH);
		/* Nobody calls for help any more. */
		assert_true(calm.sent_per_second <= 200);
		end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_start_at_once_and_settle),
	};

	return cmocka_run_group_tests_name("sim/storm", tests, NULL, NULL);
}
