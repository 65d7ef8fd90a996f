#ifndef NODE_ROSTERS_H
#define NODE_ROSTERS_H

/* Where the roster of one joined dnet comes from: looks there again and again, at once when the
 * records want another one than is in force, and hands files to service/rosterkeep. */

#include "service/rosterkeep.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct rosters;

struct rosters_env {
	struct loop *loop;
	const struct id *id;
	const struct identity *node;
	struct object_id dnet;
	const char *state_folder;
	const char *location; /* path or URL; "": none is known */
	const char *ca_file;  /* "": the system's authorities */
	uint64_t poll_ms;
	/* Another roster is in force, or an entry has expired: build the map anew. */
	void (*changed)(void *arg);
	void *arg;
};

/* Strings of env are borrowed, but for location. */
struct rosters *rosters_new(const struct rosters_env *env);
void rosters_free(struct rosters *rosters);

/* Puts the roster in force into the map (rosterkeep_apply()), and fetches what the map wants. Then
 * the map may be given away: what is needed of it is copied. 0 or -ENOMEM. */
int rosters_apply(struct rosters *rosters, struct netmap *map, const struct netmap_input *input);
/* Nothing is fetched until the next rosters_apply(). */
void rosters_stop(struct rosters *rosters);

/* For dnet status. */
json_t *rosters_show(const struct rosters *rosters);

#endif
