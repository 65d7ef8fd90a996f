#include "chainwatch/task.h"

#include "chainwatch/light_settings.h"

#include "chainwatch/source.h"
#include "os/chaindb_private.h"
#include "os/log.h"
#include "wire/hex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char task_help[] =
	"\nOnce, in place of following the chain:\n"
	"  --verify                         recompute chain.db from the source and compare\n"
	"  --export FILE                    write the state as a file that others can check\n"
	"  --import FILE                    fill an empty chain.db from such a file\n"
	"And before following it:\n"
	"  --rescan HEIGHT                  take back all from that height on\n";

static const struct {
	const char *name;
	enum task_kind kind;
	bool has_value;
} switches[] = {
	{"--verify", TASK_VERIFY, false},
	{"--rescan", TASK_RESCAN, true},
	{"--export", TASK_EXPORT, true},
	{"--import", TASK_IMPORT, true},
};

enum { SWITCHES = sizeof(switches) / sizeof(switches[0]) };

static bool usage(const char *text, const char *name)
{
	fprintf(stderr, "chainwatch: %s %s (--help lists the options)\n", name, text);
	return false;
}

static bool set_value(struct task *task, const char *name, const char *value)
{
	unsigned long number;
	char *end;

	if (!value || !*value)
		return usage(task->kind == TASK_RESCAN ? "needs a height" : "needs a file", name);
	task->file = value;
	if (task->kind != TASK_RESCAN)
		return true;
	number = strtoul(value, &end, 10);
	if (*end || value[0] < '0' || value[0] > '9' || number > INT32_MAX)
		return usage("needs a height, as 1000", name);
	task->from = (uint32_t)number;
	return true;
}

/* -1: it is none. */
static int find_switch(const char *word, size_t *ret_len)
{
	for (int i = 0; i < SWITCHES; i++) {
		*ret_len = strlen(switches[i].name);
		if (strncmp(word, switches[i].name, *ret_len) == 0 &&
		    (word[*ret_len] == '\0' || word[*ret_len] == '='))
			return i;
	}
	return -1;
}

bool task_take(int *argc, char **argv, struct task *ret_task)
{
	struct task task = {.kind = TASK_NONE};
	int kept = 1;

	for (int i = 1; i < *argc; i++) {
		const char *value = NULL;
		size_t len = 0;
		int found = find_switch(argv[i], &len);

		if (found < 0) {
			argv[kept++] = argv[i];
			continue;
		}
		if (task.kind != TASK_NONE)
			return usage("is one too many: one thing at a time", switches[found].name);
		task.kind = switches[found].kind;
		if (argv[i][len] == '=')
			value = argv[i] + len + 1;
		if (!switches[found].has_value && value)
			return usage("takes no value", switches[found].name);
		if (switches[found].has_value && !value && i + 1 < *argc)
			value = argv[++i];
		if (switches[found].has_value && !set_value(&task, switches[found].name, value))
			return false;
	}
	argv[kept] = NULL;
	*argc = kept;
	*ret_task = task;
	return true;
}

int task_tip(const struct task_world *world, struct hash256 *ret_hash)
{
	int result;

	do
		result = world->source->ops->tip(world->source, ret_hash);
	while (result == -EINPROGRESS && !atomic_load(world->stop));
	return result;
}

bool task_check_network(const struct task_world *world)
{
	struct source *source = world->source;
	char theirs[HASH_TEXT_SIZE], ours[HASH_TEXT_SIZE];
	struct hash256 genesis;

	if (source->ops->genesis(source, &genesis)) {
		log_error("%s", source->ops->error(source));
		return false;
	}
	if (memcmp(&genesis, &world->params->genesis, sizeof(genesis)) == 0)
		return true;
	hash_format(&genesis, theirs);
	hash_format(&world->params->genesis, ours);
	log_error("the chain node is on another network: its genesis block is %.16s…, that of %s "
		  "is %.16s…: check chain and source",
		  theirs, world->params->name, ours);
	return false;
}

static bool is_partial(struct chaindb *db)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement =
		chaindb_prepare(db, "SELECT 1 FROM meta WHERE name = 'partial'");

	return statement && sqlite3_step(statement) == SQLITE_ROW;
}

/* What chain.db says that it covers; those of a former version that cannot be read are left out. */
static void read_follows(struct chaindb *db, struct light_follow **ret_follows, size_t *ret_count)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement =
		chaindb_prepare(db, "SELECT substr(name, 8) FROM meta WHERE name LIKE 'follow %'");
	struct light_follow *follows = xcalloc(LIGHT_FOLLOWS_MAX, sizeof(*follows));
	size_t count = 0;

	while (statement && count < LIGHT_FOLLOWS_MAX && sqlite3_step(statement) == SQLITE_ROW)
		if (!light_follow_parse((const char *)sqlite3_column_text(statement, 0),
					&follows[count]))
			count++;
	*ret_follows = follows;
	*ret_count = count;
}

/* Whether a source may compare itself with a chain.db that holds only what was followed. */
static bool fits(const struct task_world *world, bool partial, bool may)
{
	if (partial && !may)
		log_error("%s was filled by source = light: it holds only what was followed, which "
			  "is no state to hand on",
			  world->db);
	else if (partial && !world->source->ops->watch)
		log_error("%s was filled by source = light and holds only what was followed: "
			  "compare it with source = light",
			  world->db);
	else if (!partial && world->source->ops->watch)
		log_error("%s holds every record, and source = light knows only what it follows: "
			  "compare it with a source of whole blocks, rpc or blocks",
			  world->db);
	else
		return true;
	return false;
}

bool task_open_db(const struct task_world *world, struct chaindb **ret_db,
		  uint32_t *ret_birth_height, struct light_follow **ret_follows, size_t *ret_count)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = NULL;
	char error[CHAINDB_ERROR_MAX] = "";
	struct chaindb_tip tip;
	struct chaindb *db;

	if (chaindb_open(world->db, CHAINDB_WAIT_MS, &db, error)) {
		log_error("%s", error);
		return false;
	}
	if (chaindb_begin(db) || chaindb_tip(db, &tip)) {
		log_error("%s", chaindb_error(db));
		goto out;
	}
	if (strcmp(tip.chain, world->params->name) != 0) {
		log_error("%s is of the chain %s, not of %s: check chain and db", world->db,
			  tip.chain, world->params->name);
		goto out;
	}
	if (!fits(world, is_partial(db), ret_follows != NULL))
		goto out;
	statement = chaindb_prepare(
		db, "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'birth_height'");
	if (!statement || sqlite3_step(statement) != SQLITE_ROW ||
	    !chaindb_read_u32(statement, 0, ret_birth_height)) {
		log_error("%s does not say where it begins", world->db);
		goto out;
	}
	if (ret_follows)
		read_follows(db, ret_follows, ret_count);
	*ret_db = db;
	return true;
out:
	chaindb_end(db);
	sqlite3_finalize(steal(statement));
	chaindb_close(db);
	return false;
}
