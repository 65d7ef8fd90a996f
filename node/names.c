#include "node/names.h"

#include "core/mesh.h"
#include "node/resolve.h"
#include "os/base.h"
#include "os/log.h"
#include "os/loop.h"

#include <stdio.h>
#include <string.h>

/* A round asks for one job after another; jobs of one helper stand together. At the end of each
 * helper's jobs its mesh is told what was found; a helper of which nothing was found keeps what it
 * had. */

enum {
	REFRESH_MS = 5 * 60 * 1000,
	RETRY_MS = 10 * 1000, /* something was not found */
	SOON_MS = 500,
	ERROR_MAX = RECORD_HOST_MAX + 128,
};

struct job {
	struct object_id helper;
	char host[RECORD_HOST_MAX + 1];
	uint16_t port;
	char error[ERROR_MAX]; /* of the last round; "": none */
};

struct names {
	struct loop *loop;
	struct loop_timer *timer;
	struct mesh *mesh; /* borrowed; NULL: stopped */
	struct job *jobs;
	size_t count;
	size_t at; /* of the round; == count: none is under way */
	struct endpoint found[RESOLVE_ADDRESSES_MAX];
	size_t found_count;
	bool failed; /* in this round */
	struct resolve *resolve;
};

static void stop_round(struct names *n)
{
	resolve_cancel(n->resolve);
	n->resolve = NULL;
	n->at = n->count;
	n->found_count = 0;
	loop_timer_stop(n->timer);
}

static void step(struct names *n);

static void on_resolved(void *arg, const struct address *addresses, size_t count, const char *error)
{
	struct names *n = arg;
	struct job *job = &n->jobs[n->at];
	n->resolve = NULL;
	job->error[0] = '\0';
	if (error) {
		snprintf(job->error, sizeof(job->error), "cannot resolve %s: %s", job->host, error);
		log_limited(LOG_LEVEL_WARN, 6, "%s", job->error);
	}
	if (count == 0)
		n->failed = true;
	for (size_t i = 0; i < count && n->found_count < ARRAY_SIZE(n->found); i++)
		n->found[n->found_count++] = (struct endpoint){addresses[i], job->port};
	n->at++;
	bool last = n->at == n->count || !object_id_equal(&n->jobs[n->at].helper, &job->helper);
	if (last && n->found_count > 0)
		mesh_set_helper_endpoints(n->mesh, &job->helper, n->found, n->found_count);
	if (last)
		n->found_count = 0;
	step(n);
}

/* The next job, or the end of the round. Recursion with on_resolved() goes through the loop. */
static void step(struct names *n)
{
	if (n->at == n->count) {
		loop_timer_start(n->timer, n->failed ? RETRY_MS : REFRESH_MS);
		return;
	}
	n->resolve = resolve_start(n->loop, n->jobs[n->at].host, on_resolved, n);
	if (!n->resolve) {
		stop_round(n);
		loop_timer_start(n->timer, RETRY_MS);
	}
}

static void begin_round(struct names *n)
{
	stop_round(n);
	if (!n->mesh || n->count == 0)
		return;
	n->at = 0;
	n->failed = false;
	step(n);
}

static void on_timer(void *arg)
{
	begin_round(arg);
}

struct names *names_new(struct loop *loop)
{
	struct names *n = xcalloc(1, sizeof(*n));
	n->loop = loop;
	n->timer = loop_timer_new(loop, on_timer, n);
	return n;
}

void names_free(struct names *n)
{
	if (!n)
		return;
	stop_round(n);
	loop_timer_free(n->timer);
	free(n->jobs);
	free(n);
}

static size_t list_jobs(const struct netmap *map, struct job *ret_jobs)
{
	size_t count = 0;
	for (size_t i = 0; i < map->helper_count; i++) {
		const struct netmap_helper *h = &map->helpers[i];
		for (size_t j = 0; j < h->endpoint_count; j++) {
			const struct record_endpoint *e = &h->endpoints[j];
			if (e->transport != TRANSPORT_UDP || e->address.family != ADDR_NONE)
				continue;
			struct job *job = &ret_jobs[count++];
			memset(job, 0, sizeof(*job));
			job->helper = h->id;
			job->port = e->port;
			snprintf(job->host, sizeof(job->host), "%s", e->host);
		}
	}
	return count;
}

static bool is_same_job(const struct job *a, const struct job *b)
{
	return object_id_equal(&a->helper, &b->helper) && a->port == b->port &&
	       strcmp(a->host, b->host) == 0;
}

const char *names_error(const struct names *n, const struct object_id *helper)
{
	for (size_t i = 0; i < n->count; i++) {
		if (n->jobs[i].error[0] && object_id_equal(&n->jobs[i].helper, helper))
			return n->jobs[i].error;
	}
	return NULL;
}

void names_set(struct names *n, struct mesh *mesh, const struct netmap *netmap)
{
	struct job *jobs = NULL;
	size_t count = 0;
	if (mesh) {
		jobs = xcalloc(netmap->helper_count * NETMAP_ENDPOINTS, sizeof(*jobs));
		count = list_jobs(netmap, jobs);
	}
	bool same = mesh == n->mesh && count == n->count;
	for (size_t i = 0; i < count && same; i++)
		same = is_same_job(&jobs[i], &n->jobs[i]);
	if (same) {
		free(jobs);
		return;
	}
	stop_round(n);
	free(n->jobs);
	n->jobs = jobs;
	n->count = n->at = count;
	n->mesh = mesh;
	begin_round(n);
}

void names_refresh(struct names *n)
{
	if (n->mesh && n->count > 0 && n->at == n->count)
		loop_timer_start(n->timer, SOON_MS);
}
