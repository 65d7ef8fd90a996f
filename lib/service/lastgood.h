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
	bool have;		   /* input is set */
	struct netmap_input input; /* owned: what the newest netmap was built from */
	uint64_t saved_change;	  /* chain_change() of the copy in the state folder; 0: none written
				     yet */
	size_t saved_revocations; /* as many are in that copy */
	uint32_t behind;	  /* height of a chain.db that is behind input; 0: it is not */
	bool from_copy;		  /* input came from the state folder */
	bool loaded;		  /* the state folder was looked at */
};

/* folder: the daemon's state folder, borrowed for l's life. */
void lastgood_init(struct lastgood *l, const struct object_id *id, const char *folder);
void lastgood_done(struct lastgood *l);

/* Reads and builds. 0 and a netmap (the caller's); -ENOENT: nothing is known yet; -ENOMEM. Saves a
 * copy when rows changed or a revocation is new. */
int lastgood_build(struct lastgood *l, struct chain *chain, struct netmap **ret_netmap);

/* Decides between the input in force (owned by l) and a newer reading (taken over), for tests. */
void lastgood_take(struct lastgood *l, struct netmap_input *newer);

/* What the state folder has, for the first build: the copy, and the revocations that are kept a
 * second time, so that no damage to one file lets in again who was removed. */
void lastgood_load(struct lastgood *l);

/* The copy in a state folder: copy-HEX.json, the hex digits are the dnet's id; before it
 * revoked-HEX.json, which has its revocations alone. 0 or -errno; -ENOENT: none; -EBADMSG: damaged.
 * Rows and revocations are the caller's: input_free(). */
int lastgood_save_copy(const char *folder, const struct netmap_input *input);
int lastgood_load_copy(const char *folder, const struct object_id *id,
		       struct netmap_input *ret_input);
void lastgood_remove_copy(const char *folder, const struct object_id *id);
/* The dnets that the folder has a copy of: the caller's (free()). 0 or -errno. */
int lastgood_list_copies(const char *folder, struct object_id **ret_ids, size_t *ret_count);

#endif
