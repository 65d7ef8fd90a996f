#ifndef CHAINWATCH_TASK_H
#define CHAINWATCH_TASK_H

/* What chainwatch does once, in place of following the chain: --verify, --export FILE, --import
 * FILE; and --rescan FROM, after which it follows. */

#include "core/chainparams.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct chaindb;
struct source;
struct store;

enum task_kind {
	TASK_NONE,
	TASK_VERIFY,
	TASK_RESCAN,
	TASK_EXPORT,
	TASK_IMPORT,
};

enum {
	TASK_DONE = 0,
	TASK_FAILED = 1,
	TASK_USAGE = 2,
	TASK_DIFFERS = 3, /* chain.db is not what the source says */
};

struct task {
	enum task_kind kind;
	const char *file; /* borrowed from argv */
	uint32_t from;
};

/* Takes the task out of the command line; what is left is the daemon's. False after a usage error,
 * which was said. */
bool task_take(int *argc, char **argv, struct task *ret_task);
/* Lines for --help. */
extern const char task_help[];

/* What a task works with; all borrowed. */
struct light_follow;

struct task_world {
	const struct chainparams *params;
	struct source *source;
	const char *db;
	uint32_t birth_height;
	uint32_t keep;
	const atomic_bool *stop;
};

/* Reads the chain from the source into memory and compares chain.db with it, also while a daemon
 * writes it. Differences go to stdout. TASK_DONE, TASK_FAILED or TASK_DIFFERS. */
int task_verify(const struct task_world *world);
/* The state of chain.db, with the transactions that prove it from the source, into fd, which is an
 * empty file. TASK_DONE or TASK_FAILED. */
int task_export(const struct task_world *world, int fd);
/* The state from these bytes into an empty store, each block compared with the source. TASK_DONE,
 * or TASK_FAILED and then the store is as it was. */
int task_import(const struct task_world *world, struct store *store, const void *data, size_t len);

/* chain.db, inside chaindb_begin(), and the height of the first block that it has read. Logs why
 * not. One that holds only what was followed is refused unless ret_follows is given; the caller
 * frees these. */
bool task_open_db(const struct task_world *world, struct chaindb **ret_db,
		  uint32_t *ret_birth_height, struct light_follow **ret_follows, size_t *ret_count);
/* The source's tip, which is asked before anything else: a source that has to prepare itself does
 * so then. As source_ops.tip(). */
int task_tip(const struct task_world *world, struct hash256 *ret_hash);
/* The source is on the network of params. Logs why not. */
bool task_check_network(const struct task_world *world);

#endif
