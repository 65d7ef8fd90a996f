#ifndef SERVICE_LASTGOOD_H
#define SERVICE_LASTGOOD_H

/* The newest netmap of a dnet that can be built: from chain.db; when that cannot be read, or is
 * behind what was seen already (chainwatch begins afresh), from the rows that were last known, with
 * every revocation that was ever seen: RECORDS 5.2 goes for the reader too, whatever becomes of
 * chain.db. */

#include "core/netmap.h"

#include <stdbool.h>
#include <stdint.h>

struct chain;

struct lastgood {
	struct object_id id;
	const char *folder;	   /* for the copy; borrowed */
	bool loaded;		   /* what the folder had is in input, nothing of it waits */
	bool have;		   /* input has rows; without them it may have revocations */
	struct netmap_input input; /* owned: what the newest netmap was built from */
	uint64_t change;	   /* chain_change() of its rows; 0: not from chain.db */
	bool rows_unsaved;	   /* the copy has other rows, or other revocations, or is none */
	size_t saved_revocations;  /* as many are in the second file */
	uint32_t behind;	   /* height of a chain.db that is behind input; 0: it is not */
	bool from_copy;		   /* input came from the state folder */
};

/* folder: the daemon's state folder, borrowed for l's life. */
void lastgood_init(struct lastgood *l, const struct object_id *id, const char *folder);
void lastgood_done(struct lastgood *l);

/* Reads and builds. 0 and a netmap (the caller's); -ENOENT: nothing is known yet; -ENOMEM. Saves
 * what is new. What cannot be read or written in the folder makes the chain tell of a change again
 * (chain_look_again()). */
int lastgood_build(struct lastgood *l, struct chain *chain, struct netmap **ret_netmap);

/* Writes into the state folder what is not there yet; a failure is logged. Two files:
 * copy-HEX.json, rows and revocations, and revoked-HEX.json, revocations alone, written first; the
 * hex digits are the dnet's id. For tests; lastgood_build() does it. */
void lastgood_save(struct lastgood *l);

/* Reads both files: rows from the first if it is whole, revocations from each that is. For tests;
 * lastgood_build() does it once. */
void lastgood_load(struct lastgood *l);
/* Decides between the input in force (owned by l) and a newer reading (taken over), for tests. */
void lastgood_take(struct lastgood *l, struct netmap_input *newer);

void lastgood_remove_copy(const char *folder, const struct object_id *id);
/* The dnets that the folder has a copy of: the caller's (free()). 0 or -errno. */
int lastgood_list_copies(const char *folder, struct object_id **ret_ids, size_t *ret_count);

#endif
