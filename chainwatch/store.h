#ifndef CHAINWATCH_STORE_H
#define CHAINWATCH_STORE_H

/* chain.db as its only writer sees it: what the registry says becomes rows, one SQLite transaction
 * a block, the cursor (the newest row of `block`) included. */

#include "core/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

enum { STORE_ERROR_MAX = 512 };

struct store_config {
	const char *path;
	const char *chain; /* profile name */
	struct hash256 genesis;
	uint32_t birth_height; /* following starts there; a database that began later is refused */
	uint32_t keep;	       /* headers that are kept, so as many blocks can be undone */
};

/* Opens or makes the database. 0, or with a text in error: -EPROTONOSUPPORT (newer schema), -EINVAL
 * (of another chain or birth height), -EBADMSG (damaged, or something else), -EBUSY (another
 * chainwatch has it), -ENOMEM, -EIO. */
int store_open(const struct store_config *config, struct store **ret_store,
	       char error[static STORE_ERROR_MAX]);
void store_close(struct store *store);
/* For the last failure; borrowed. All functions return 0, -EIO, -EBADMSG, -ENOSPC or -ENOMEM. */
/* The file is still the one that was opened; -ESTALE when it was taken away or replaced, and what
 * is written would be seen by nobody. */
int store_check_file(struct store *store);
const char *store_error(const struct store *store);

struct store_tip {
	uint32_t height;
	struct hash256 hash;
	uint32_t time;
};

/* False while there is none: store_set_base() comes first. */
bool store_tip(const struct store *store, struct store_tip *ret_tip);
/* -ENOENT: that header is not kept. */
int store_hash_at(struct store *store, uint32_t height, struct hash256 *ret_hash);
/* The lowest header that is kept. */
int store_lowest(struct store *store, uint32_t *ret_height);
/* Everything that is live, and what can be undone, into an empty registry. */
int store_load(struct store *store, struct registry *registry);

/* The block below the first one that is read. */
int store_set_base(struct store *store, const struct store_tip *base);

/* A transaction; until store_commit() nothing is visible to others. */
int store_begin(struct store *store);
int store_commit(struct store *store);
/* Also after a failure; the tip is again the committed one. */
void store_rollback(struct store *store);

/* Inside a transaction: the block on top of the tip, then its transactions by the sink. */
int store_add_block(struct store *store, const struct store_tip *block);
/* Inside a transaction: takes back everything above height, which becomes the tip. Revocations
 * stay. */
int store_undo(struct store *store, uint32_t height);
/* Inside a transaction: forgets what is pending; then what the mempool holds now by the sink. */
int store_clear_pending(struct store *store);
/* Writes at place->height; REGISTRY_PENDING: revocations and what is pending only. */
const struct registry_sink *store_sink(struct store *store);
/* Wall clock for what is seen from now on, seconds since 1970. */
void store_set_now(struct store *store, uint64_t now_s);

struct store_counts {
	uint64_t records, refused, revocations, pending; /* since the start; pending: now */
};

void store_count(const struct store *store, struct store_counts *ret_counts);

#endif
