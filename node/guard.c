#include "node/guard.h"

#include "node/netcfg.h"
#include "node/privops.h"
#include "os/base.h"
#include "os/log.h"

#include <stdio.h>
#include <string.h>

enum { RETRY_FIRST_MS = 200, RETRY_MAX_MS = 30000, LINES_A_MINUTE = 60 };

struct guard {
	struct priv *priv;     /* borrowed */
	const char *interface; /* borrowed */
	uint32_t index;	       /* 0: not there */
	struct filter *wanted; /* owned; NULL: none */
	struct filter *actual; /* what the kernel has; owned, or the wanted one; NULL: none */
	char error[PRIV_ERROR_MAX];
	uint64_t retry_ms, next_ms;
	struct log_limit limit;
};

struct guard *guard_new(struct priv *priv, const char *interface)
{
	struct guard *g = xcalloc(1, sizeof(*g));
	g->priv = priv;
	g->interface = interface;
	return g;
}

static void set_actual(struct guard *g, struct filter *filter)
{
	if (g->actual != g->wanted && g->actual != filter)
		filter_free(g->actual);
	g->actual = filter;
}

bool guard_set_wanted(struct guard *g, struct filter *filter)
{
	if (filter && g->wanted && filter_equal(filter, g->wanted)) {
		filter_free(filter);
		return false;
	}
	if (g->wanted != g->actual)
		filter_free(g->wanted);
	g->wanted = filter;
	g->next_ms = 0;
	if (!filter)
		g->error[0] = '\0';
	return true;
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	set_actual(g, NULL);
	guard_set_wanted(g, NULL);
	free(g);
}

void guard_set_index(struct guard *g, uint32_t index)
{
	if (g->index == index)
		return;
	set_actual(g, NULL);
	g->index = index;
	g->next_ms = 0;
}

static uint64_t fail(struct guard *g, uint64_t now_ms)
{
	const char *error = priv_error(g->priv);
	if (strcmp(g->error, error) != 0)
		log_warn("%s: filter: %s", g->interface, error);
	snprintf(g->error, sizeof(g->error), "%s", error);
	g->retry_ms = g->retry_ms ? MIN(2 * g->retry_ms, RETRY_MAX_MS) : RETRY_FIRST_MS;
	g->next_ms = now_ms + g->retry_ms;
	return g->retry_ms;
}

/* Whether what was put in force is there. */
static void look(struct guard *g)
{
	uint64_t packets[FILTER_COUNTER_COUNT];
	unsigned left_out;
	if (!g->actual || priv_filter_get(g->priv, g->index, packets) == 0)
		return;
	set_actual(g, NULL);
	if (log_limit_pass(&g->limit, LINES_A_MINUTE, &left_out))
		log_notice("%s: filter was changed from outside: %s", g->interface,
			   priv_error(g->priv));
}

uint64_t guard_pass(struct guard *g, uint64_t now_ms)
{
	if (g->index == 0 || (!g->wanted && !g->actual))
		return NETCFG_FULL_PASS_MS;
	if (now_ms < g->next_ms)
		return g->next_ms - now_ms;
	look(g);
	int r = 0;
	if (!g->wanted)
		r = priv_filter_clear(g->priv, g->index);
	else if (g->wanted != g->actual)
		r = priv_filter_set(g->priv, g->index, g->actual, g->wanted);
	if (r < 0)
		return fail(g, now_ms);
	set_actual(g, g->wanted);
	g->error[0] = '\0';
	g->retry_ms = g->next_ms = 0;
	return NETCFG_FULL_PASS_MS;
}

bool guard_is_good(const struct guard *g)
{
	return g->wanted == g->actual;
}

bool guard_is_wanted(const struct guard *g)
{
	return g->wanted != NULL;
}

const char *guard_error(const struct guard *g)
{
	return g->error[0] ? g->error : NULL;
}

bool guard_counters(struct guard *g, uint64_t ret_packets[FILTER_COUNTER_COUNT])
{
	return g->index != 0 && g->actual && priv_filter_get(g->priv, g->index, ret_packets) == 0;
}
