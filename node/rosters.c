#include "node/rosters.h"

#include "os/base.h"
#include "os/clock.h"
#include "os/fetch.h"
#include "os/log.h"
#include "os/loop.h"
#include "wire/hex.h"

#include <string.h>

enum {
	FIRST_AGAIN_MS = 1000, /* doubled up to the time of the poll while one is wanted */
	EXPIRY_LOOK_MS = 60000,
};

struct rosters {
	struct rosters_env env;
	char *location; /* owned */
	struct rosterkeep keep;
	struct loop_timer *timer;  /* owned: when to fetch */
	struct loop_timer *expiry; /* owned: an entry or the roster expires */
	struct fetch *fetch;	   /* owned; NULL: none runs */
	/* Of the records as they were last: only what a file is judged by. */
	struct netmap map;
	bool have_map;
	uint64_t next_expiry;
	uint64_t again_ms;
	char etag[FETCH_TAG_MAX], modified[FETCH_TAG_MAX];
	char error[FETCH_ERROR_MAX];
	uint64_t fetches, unchanged, failures;
	uint64_t last_ns; /* of the last answer; 0: none */
};

static bool is_wanting(const struct rosters *r)
{
	return r->have_map && rosterkeep_is_wanting(&r->keep, &r->map);
}

static void schedule(struct rosters *r)
{
	uint64_t wait_ms = r->env.poll_ms;
	if (!*r->location || !r->have_map)
		return;
	if (is_wanting(r)) {
		wait_ms = MIN(r->again_ms, r->env.poll_ms);
		r->again_ms = MIN(2 * r->again_ms, r->env.poll_ms);
	}
	loop_timer_start(r->timer, wait_ms);
}

static void on_fetched(void *arg, struct fetch_result *result)
{
	struct rosters *r = arg;
	r->fetch = NULL;
	r->last_ns = clock_boottime_ns();
	if (result->error[0] && strcmp(result->error, r->error) != 0)
		log_warn("%s", result->error);
	memcpy(r->error, result->error, sizeof(r->error));
	bool changed = false;
	if (result->error[0]) {
		r->failures++;
	} else if (result->unchanged) {
		r->unchanged++;
	} else {
		memcpy(r->etag, result->etag, sizeof(r->etag));
		memcpy(r->modified, result->modified, sizeof(r->modified));
		changed = r->have_map && rosterkeep_offer(&r->keep, &r->map, result->bytes,
							  result->len, clock_wall_s());
		free(result->bytes);
		result->bytes = NULL;
	}
	schedule(r);
	if (changed)
		r->env.changed(r->env.arg);
}

static void fetch(struct rosters *r)
{
	struct fetch_request request = {.location = r->location,
					.max = ROSTERFILE_MAX,
					.ca_file = r->env.ca_file,
					.etag = r->etag,
					.modified = r->modified};
	if (r->fetch || !*r->location || !r->have_map)
		return;
	r->fetches++;
	r->fetch = fetch_start(r->env.loop, &request, on_fetched, r);
	if (!r->fetch)
		schedule(r);
}

static void on_timer(void *arg)
{
	fetch(arg);
}

static void on_expiry(void *arg)
{
	struct rosters *r = arg;
	rosterkeep_save(&r->keep);
	if (r->next_expiry && r->next_expiry <= clock_wall_s())
		r->env.changed(r->env.arg);
}

/* Where the machine's clock may be set, a long wait is looked at again and again. */
static void wait_for_expiry(struct rosters *r, uint64_t next)
{
	uint64_t now_s = clock_wall_s(), wait_ms = EXPIRY_LOOK_MS;
	r->next_expiry = next;
	if (next > now_s && next - now_s < EXPIRY_LOOK_MS / 1000)
		wait_ms = (next - now_s) * 1000;
	loop_timer_every(r->expiry, wait_ms);
}

int rosters_apply(struct rosters *r, struct netmap *map, const struct netmap_input *input)
{
	bool moved =
		!r->have_map || r->map.has_roster != map->has_roster ||
		memcmp(&r->map.roster_root, &map->roster_root, sizeof(map->roster_root)) != 0 ||
		memcmp(r->map.admin_key, map->admin_key, XONLY_LEN) != 0;
	r->map = *map;
	/* what the copy must not point to */
	r->map.nodes = NULL;
	r->map.helpers = NULL;
	r->map.rules = NULL;
	r->map.memberships = NULL;
	r->have_map = true;
	int result = rosterkeep_apply(&r->keep, map, input, clock_wall_s());
	wait_for_expiry(r, map->next_expiry);
	if (!moved)
		return result;
	r->again_ms = FIRST_AGAIN_MS;
	if (is_wanting(r) || !r->last_ns) {
		/* what was refused before may be the right one now */
		r->etag[0] = r->modified[0] = '\0';
		fetch(r);
	}
	return result;
}

void rosters_stop(struct rosters *r)
{
	loop_timer_stop(r->timer);
	loop_timer_stop(r->expiry);
	fetch_cancel(steal(r->fetch));
	r->have_map = false;
	r->last_ns = 0;
}

struct rosters *rosters_new(const struct rosters_env *env)
{
	struct rosters *r = xcalloc(1, sizeof(*r));
	r->env = *env;
	r->location = xstrdup(env->location);
	r->again_ms = FIRST_AGAIN_MS;
	rosterkeep_init(&r->keep, env->state_folder, env->id, env->node, &env->dnet);
	r->timer = loop_timer_new(env->loop, on_timer, r);
	r->expiry = loop_timer_new(env->loop, on_expiry, r);
	return r;
}

void rosters_free(struct rosters *r)
{
	if (!r)
		return;
	fetch_cancel(r->fetch);
	loop_timer_free(r->timer);
	loop_timer_free(r->expiry);
	rosterkeep_done(&r->keep);
	free(r->location);
	free(r);
}

/* ---- For people ---- */

static json_t *counts_of(const struct rosters *r)
{
	json_t *counts =
		json_pack("{s:I, s:I, s:I}", "fetches", (json_int_t)r->fetches, "unchanged",
			  (json_int_t)r->unchanged, "failed", (json_int_t)r->failures);
	for (int i = 0; i < ROSTER_VERDICT_COUNT; i++)
		json_object_set_new(counts, roster_verdict_name((enum roster_verdict)i),
				    json_integer((json_int_t)r->keep.counts[i]));
	return counts;
}

static json_t *in_force_of(const struct rosters *r)
{
	const struct roster *roster = &r->keep.in_force.roster;
	char root[2 * HASH_LEN + 1];
	if (!r->keep.have)
		return json_null();
	hex_format(r->keep.in_force.root.bytes, HASH_LEN, root);
	return json_pack("{s:I, s:s, s:I, s:o, s:b, s:I, s:I, s:I}", "sequence",
			 (json_int_t)roster->header.sequence, "root", root, "issued",
			 (json_int_t)roster->header.issued, "expires",
			 roster->header.expires ? json_integer((json_int_t)roster->header.expires)
						: json_null(),
			 "encrypted", (int)r->keep.in_force.encrypted, "nodes",
			 (json_int_t)roster->counts[ROSTER_NODES], "rules",
			 (json_int_t)roster->counts[ROSTER_RULES], "psk_epoch",
			 (json_int_t)roster->header.epoch.number);
}

json_t *rosters_show(const struct rosters *r)
{
	char trouble[ROSTERKEEP_TEXT_MAX] = "";
	if (r->have_map)
		rosterkeep_trouble(&r->keep, &r->map, r->location, r->error, clock_wall_s(),
				   trouble);
	json_t *wanted = r->have_map && r->map.has_roster
				 ? json_integer((json_int_t)r->map.roster_sequence)
				 : json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "in_force", in_force_of(r), "anchored",
			 wanted, "location", *r->location ? json_string(r->location) : json_null(),
			 "error", trouble[0] ? json_string(trouble) : json_null(), "counters",
			 counts_of(r));
}
