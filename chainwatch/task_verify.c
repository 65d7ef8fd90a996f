#include "chainwatch/chain.h"
#include "chainwatch/source.h"
#include "chainwatch/store.h"
#include "chainwatch/task.h"
#include "os/chaindb.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/rand.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum {
	STEP_MS = 1000,
	PAUSE_MS = 200,
	MEET_S = 120, /* so long both may take to be at one block of one chain */
	SHOWN_MAX = 200,
};

struct verify {
	const struct task_world *world;
	struct store *store;	      /* owned; in memory */
	struct chain *chain;	      /* owned */
	uint32_t birth_height;	      /* of the file that is checked */
	struct light_follow *follows; /* owned; that it covers, where it does not hold everything */
	size_t follow_count;
	size_t shown;
};

static int open_own(struct verify *v)
{
	struct store_config wanted = {
		.path = STORE_IN_MEMORY,
		.chain = v->world->params->name,
		.genesis = v->world->params->genesis,
		.birth_height = v->birth_height,
		.keep = v->world->keep,
	};
	struct chain_config config = {
		.params = *v->world->params,
		.source = v->world->source,
		.stop = v->world->stop,
		.birth_height = v->birth_height,
		.keep = v->world->keep,
		.follows = v->follows,
		.follow_count = v->follow_count,
	};
	char error[STORE_ERROR_MAX] = "";
	int result = store_open(&wanted, &v->store, error);

	if (!result) {
		config.store = v->store;
		rand_bytes(config.seed, sizeof(config.seed));
		result = chain_new(&config, &v->chain, error);
	}
	if (!result && store_attach(v->store, v->world->db)) {
		snprintf(error, sizeof(error), "%s", store_error(v->store));
		result = -EIO;
	}
	if (result)
		log_error("%s", error);
	return result;
}

/* Says what is wrong with the file better than SQLite does. */
static bool check_file(struct verify *v)
{
	struct chaindb *db;

	if (!task_open_db(v->world, &db, &v->birth_height, &v->follows, &v->follow_count))
		return false;
	chaindb_end(db);
	chaindb_close(db);
	return true;
}

/* Peers have to be found first, and one that leaves is replaced. */
static bool may_wait(const struct verify *v, const struct chain_report *report, uint64_t since_ns)
{
	return v->world->source->ops->watch && report->state == CHAIN_WAITING &&
	       clock_monotonic_ns() - since_ns < MEET_S * NS_PER_S;
}

/* Until it is at the tip of the source. */
static bool read_on(struct verify *v)
{
	uint64_t since_ns = clock_monotonic_ns();
	struct chain_report report;

	for (;;) {
		chain_step(v->chain, STEP_MS, &report);
		if (atomic_load(v->world->stop))
			return false;
		if (report.error[0] && may_wait(v, &report, since_ns)) {
			poll(NULL, 0, PAUSE_MS);
			continue;
		}
		since_ns = clock_monotonic_ns();
		if (report.error[0] && !report.more) { /* else another source goes on */
			log_error("%s", report.error);
			return false;
		}
		if (report.state == CHAIN_FOLLOWING && !report.more)
			return true;
	}
}

static void on_difference(void *arg, const char *table, bool missing, const char *row)
{
	struct verify *v = arg;

	if (v->shown++ < SHOWN_MAX)
		printf("%s %s: %s\n", missing ? "missing" : "not on the chain", table, row);
}

/* Takes the own state back to the tip of the other one, if that is on this chain, and compares.
 * -EAGAIN: it is not. What was taken back is there again afterwards. */
static int compare_at_tip(struct verify *v, struct store_comparison *ret, struct store_tip *ret_tip)
{
	struct store_tip own, other;
	struct hash256 hash;
	int result = store_begin(v->store);

	if (!result)
		result = store_other_tip(v->store, &other);
	if (!result && !store_tip(v->store, &own))
		result = -EAGAIN;
	if (!result && (other.height > own.height || store_hash_at(v->store, other.height, &hash) ||
			memcmp(&hash, &other.hash, sizeof(hash)) != 0))
		result = -EAGAIN;
	if (!result)
		result = store_undo(v->store, other.height);
	if (!result)
		result = store_compare(v->store, on_difference, v, ret);
	store_rollback(v->store);
	if (!result)
		*ret_tip = other;
	return result;
}

static int compare(struct verify *v)
{
	uint64_t end = clock_monotonic_ns() + MEET_S * NS_PER_S;
	struct store_comparison found;
	struct store_tip tip;
	int result;

	while ((result = compare_at_tip(v, &found, &tip)) == -EAGAIN) {
		if (clock_monotonic_ns() > end) {
			log_error("chain.db and the chain node were at no block of one chain for "
				  "%d s: does chainwatch follow another node?",
				  MEET_S);
			return TASK_FAILED;
		}
		poll(NULL, 0, PAUSE_MS);
		if (!read_on(v))
			return TASK_FAILED;
	}
	if (result) {
		log_error("%s", store_error(v->store));
		return TASK_FAILED;
	}
	if (v->shown > SHOWN_MAX)
		printf("… and %zu more\n", v->shown - SHOWN_MAX);
	if (found.unproven > 0)
		printf("%zu revocations were seen in the mempool or on another branch; no block "
		       "has them, so they cannot be checked\n",
		       found.unproven);
	printf("%s at height %u: %zu rows from the chain, %zu differences\n", v->world->db,
	       tip.height, found.rows, found.differences);
	if (found.differences > 0)
		printf("to read them anew: stop chainwatch, chainwatch --rescan %u\n",
		       v->birth_height);
	return found.differences > 0 ? TASK_DIFFERS : TASK_DONE;
}

int task_verify(const struct task_world *world)
{
	struct verify v = {.world = world};
	int status = TASK_FAILED;

	if (check_file(&v) && task_check_network(world) && !open_own(&v) && read_on(&v))
		status = compare(&v);
	chain_free(v.chain);
	store_close(v.store);
	free(v.follows);
	return status;
}
