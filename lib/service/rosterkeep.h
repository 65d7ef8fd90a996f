#ifndef SERVICE_ROSTERKEEP_H
#define SERVICE_ROSTERKEEP_H

/* The roster in force of one dnet (ROSTER 4): judges files against the anchor on the chain, keeps
 * the last good one over restarts, and says what is wrong. */

#include "core/netmap.h"
#include "core/rosterfile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id;
struct identity;

enum { ROSTERKEEP_TEXT_MAX = 320 };

struct rosterkeep {
	const char *folder; /* state folder; borrowed */
	const struct id *id;
	const struct identity *node;
	struct object_id dnet;
	bool loaded;
	bool have; /* in_force is one */
	struct rosterfile in_force;
	bool unsaved; /* the folder has another one */
	/* Of in_force, to be written; owned. */
	uint8_t *file;
	size_t file_len;
	uint8_t admin_key[XONLY_LEN]; /* that its signature was checked with */
	/* A good file whose record is not in force yet; owned, NULL: none. */
	uint8_t *early;
	size_t early_len;
	uint32_t early_sequence;
	/* What came last that was not taken, and what came of files in all. */
	enum roster_verdict last;
	const char *why; /* static; more about a malformed one */
	uint32_t last_sequence;
	uint64_t counts[ROSTER_VERDICT_COUNT];
};

/* id and node are borrowed for k's life, as folder. */
void rosterkeep_init(struct rosterkeep *k, const char *folder, const struct id *id,
		     const struct identity *node, const struct object_id *dnet);
void rosterkeep_done(struct rosterkeep *k);

/* A file that came, beside the map as the records have it. True: it is in force now, and the map
 * has to be built anew. */
bool rosterkeep_offer(struct rosterkeep *k, const struct netmap *map, const uint8_t *file,
		      size_t len, uint64_t now_s);
/* The records or the time have changed: a file that was early may be in force. Then puts the roster
 * into the map, which netmap_build() made of input: members, groups, policy; without a roster where
 * the records want one, no policy but "nobody". 0 or -ENOMEM. */
int rosterkeep_apply(struct rosterkeep *k, struct netmap *map, const struct netmap_input *input,
		     uint64_t now_s);
/* What is in force is not what the records anchor. */
bool rosterkeep_is_wanting(const struct rosterkeep *k, const struct netmap *map);
/* Tries again to write what could not be written. */
void rosterkeep_save(struct rosterkeep *k);

/* What is wrong, with the next step; "" when nothing is. location: where it is fetched from, "":
 * nowhere. fetch_error: of the last try, "": none. */
const char *rosterkeep_trouble(const struct rosterkeep *k, const struct netmap *map,
			       const char *location, const char *fetch_error, uint64_t now_s,
			       char text[static ROSTERKEEP_TEXT_MAX]);

void rosterkeep_remove(const char *folder, const struct object_id *dnet);

#endif
