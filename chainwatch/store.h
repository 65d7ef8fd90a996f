#ifndef CHAINWATCH_STORE_H
#define CHAINWATCH_STORE_H

/* chain.db as its only writer sees it: what the registry says becomes rows, one SQLite transaction
 * a block, the cursor (the newest row of `block`) included. */

#include "core/registry.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

enum { STORE_ERROR_MAX = 512, STORE_ROW_TEXT_MAX = 2048 };

#define STORE_IN_MEMORY ":memory:"

struct store_config {
	const char *path;  /* STORE_IN_MEMORY: of no file, gone with the store */
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

/* While the chain is first read the tables have no indexes but those of their keys: nothing is
 * looked up in them, and made at the end each costs a fraction. Readers get the same answers, more
 * slowly. store_index() makes one that is missing, or removes one that an older chainwatch had,
 * each in a transaction of its own: whatever is killed goes on with the next. -ECANCELED: *stop was
 * set meanwhile. */
bool store_is_indexed(const struct store *store);
int store_index(struct store *store, const atomic_bool *stop);

/* Takes back every block from this height on, or all of them when it is birth_height or below;
 * revocations stay. -EINVAL: there is nothing to take back; -ERANGE: those headers are not kept. */
int store_rescan(struct store *store, uint32_t from, uint32_t birth_height);

/* Filling an empty store from a file, in one transaction: the block whose records come next, which
 * is not kept; then store_add_block() for those that are, and the end, which commits. */
void store_stand_on(struct store *store, const struct store_tip *block);
int store_end_import(struct store *store);
/* The height up to which the state was read from a file; 0: it was not. */
int store_imported(struct store *store, uint32_t *ret_height);

/* Another chain.db beside this store, read-only; once. */
int store_attach(struct store *store, const char *path);
/* -ENOENT: it has no block yet. */
int store_other_tip(struct store *store, struct store_tip *ret_tip);

struct store_comparison {
	size_t rows;	    /* of this store */
	size_t differences; /* that were told */
	size_t unproven;    /* revocations of the other that no block here has */
};

/* missing: the other has no such row; else it has one that is not here. */
typedef void (*store_difference_cb)(void *arg, const char *table, bool missing, const char *row);
/* Inside a transaction, which makes it one state of each: tells every row in which the attached one
 * differs. Both are at the same tip. */
int store_compare(struct store *store, store_difference_cb cb, void *arg,
		  struct store_comparison *ret_comparison);

struct agreement;
struct light_follow;
struct source;

/* In a transaction of its own. */
int store_put_agreement(struct store *store, const struct agreement *agreement);
/* As it was kept; untouched when none was. */
int store_read_agreement(struct store *store, struct agreement *ret_agreement);

/* Tells a source that has watch() all seals that are live, as they are written and perhaps not
 * committed. beside: this is not chain.db, but read beside it (cover.h). */
int store_tell_seals(struct store *store, struct source *source, bool beside);
/* The database holds only what was followed (source = light). */
int store_is_partial(struct store *store, bool *ret_partial);
/* The lowest height that is still to be read for one of these; UINT32_MAX: none. */
int store_find_uncovered(struct store *store, const struct light_follow *follows, size_t count,
			 uint32_t *ret_height);
/* Logs those whose blocks were read, the last of them above height `above` and not above `height`,
 * and that none of these made: with a wrong height nothing is ever found, and nothing else would
 * say so. */
int store_tell_unmade(struct store *store, const struct light_follow *follows, size_t count,
		      uint32_t above, uint32_t height);
/* Inside a transaction: partial, and these have been read or lie ahead. */
int store_put_coverage(struct store *store, const struct light_follow *follows, size_t count);
/* The same in a transaction of its own. */
int store_note_coverage(struct store *store, const struct light_follow *follows, size_t count);

/* The objects that the chain.db at this path knows and this one does not, and all that is of them,
 * in one transaction, after which these are covered. Both have the same tip. */
int store_merge(struct store *store, const char *path, const struct light_follow *follows,
		size_t count);

struct store_counts {
	uint64_t records, refused, revocations, pending; /* since the start; pending: now */
};

void store_count(const struct store *store, struct store_counts *ret_counts);

#endif
