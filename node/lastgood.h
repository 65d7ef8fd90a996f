#ifndef NODE_LASTGOOD_H
#define NODE_LASTGOOD_H

/* The newest netmap of a dnet that can be built: from chain.db; when that cannot be read, or is
 * behind what was seen already (chainwatch begins afresh), from the rows that were last known, with
 * every revocation that is known. */

#include "core/netmap.h"

#include <stdbool.h>
#include <stdint.h>

struct chain;
struct state;

struct lastgood {
	struct object_id id;
	bool have;		   /* input is set */
	struct netmap_input input; /* owned: what the newest netmap was built from */
	uint64_t saved_change; /* chain_change() of the copy in the state folder; 0: none written
				  yet */
	uint32_t behind;       /* height of a chain.db that is behind input; 0: it is not */
	bool from_copy;	       /* input came from the state folder */
};

void lastgood_init(struct lastgood *l, const struct object_id *id);
void lastgood_done(struct lastgood *l);

/* Reads and builds. 0 and a netmap (the caller's); -ENOENT: nothing is known yet; -ENOMEM. Saves a
 * copy when rows changed. */
int lastgood_build(struct lastgood *l, struct chain *chain, struct state *state,
		   struct netmap **ret_netmap);

/* Decides between the input in force (owned by l) and a newer reading (taken over), for tests. */
void lastgood_take(struct lastgood *l, struct netmap_input *newer);

#endif
