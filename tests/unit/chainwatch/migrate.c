#include "fixture/test.h"

#include "chainwatch/store.h"
#include "core/registry.h"
#include "fixture/bad_vfs.h"
#include "fixture/temp.h"
#include "os/chaindb.h"
#include "wire/hex.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

/* chain.db of the schema before: made by a chainwatch of that time on a litecoind, and kept as SQL
 * (tests/vectors/chaindb-1.sql). */

#define GENESIS "530827f38f93b43ed12af0b3ad25a288dc02ed74d6d7857862df51fc56c416f9"
#define OLD	"chaindb-1.sql"

static const char *const tables[] = {
	"block",    "record_log", "object",   "seal",	    "node",    "link",	      "roster",
	"endpoint", "grant_",	  "transfer", "revocation", "pending", "pending_log",
};

struct bench {
	struct temp folder;
	char path[256];
};

static void run(sqlite3 *db, const char *sql)
{
	char *error = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql, error);
}

static sqlite3 *open_file(const struct bench *b)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(b->path, &db), SQLITE_OK);
	return db;
}

static void load_old(struct bench *b, const char *name)
{
	const char *top = getenv("top_srcdir");
	char path[4096];
	sqlite3 *db;
	char *text;
	long len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/vectors/" OLD, top ? top : ".");
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s is not there; set top_srcdir to the source tree", path);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	len = ftell(f);
	rewind(f);
	text = calloc(1, (size_t)len + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)len, f), len);
	fclose(f);
	temp_file(&b->folder, name, b->path);
	db = open_file(b);
	run(db, "PRAGMA journal_mode = WAL");
	run(db, text);
	sqlite3_close(db);
	free(text);
}

/* All rows of a query as text; the caller's. */
static char *ask(const struct bench *b, const char *sql)
{
	char *all = NULL, *more;
	sqlite3 *db = open_file(b);
	sqlite3_stmt *statement;

	all = sqlite3_mprintf("");
	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	while (sqlite3_step(statement) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(statement); i++) {
			more = sqlite3_mprintf("%z%s|", all, sqlite3_column_text(statement, i));
			all = more;
		}
		more = sqlite3_mprintf("%z\n", all);
		all = more;
	}
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return all;
}

static void same(const struct bench *b, const char *sql, const char *want)
{
	char *have = ask(b, sql);

	assert_string_equal(have, want);
	sqlite3_free(have);
}

static int open_store(const struct bench *b, struct store **ret_store,
		      char error[static STORE_ERROR_MAX])
{
	struct store_config config = {
		.path = b->path, .chain = "litecoin-regtest", .birth_height = 1, .keep = 12};

	assert_true(hash_parse(GENESIS, &config.genesis));
	return store_open(&config, ret_store, error);
}

static void migrate(const struct bench *b)
{
	char error[STORE_ERROR_MAX] = "";
	struct store *store = NULL;
	int result = open_store(b, &store, error);
	static const atomic_bool stop;

	assert_string_equal(error, "");
	assert_int_equal(result, 0);
	while (!store_is_indexed(store))
		assert_int_equal(store_index(store, &stop), 0);
	store_close(store);
}

static int begin(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	temp_make(&b->folder);
	load_old(b, "chain.db");
	*state = b;
	return 0;
}

static int end(void **state)
{
	struct bench *b = *state;

	temp_remove(&b->folder);
	free(b);
	return 0;
}

static char *all_rows(const struct bench *b)
{
	char sql[64], *all = sqlite3_mprintf(""), *rows;

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		snprintf(sql, sizeof(sql), "SELECT * FROM %s ORDER BY 1, 2, 3", tables[i]);
		rows = ask(b, sql);
		all = sqlite3_mprintf("%z%s:\n%z", all, tables[i], rows);
	}
	return all;
}

#define SCHEMA	"SELECT value FROM meta WHERE name = 'schema'"
#define IN_VIEW "SELECT name FROM node_in_force ORDER BY name"

static void an_old_database_has_the_new_schema_and_all_its_rows(void **state)
{
	struct bench *b = *state, fresh = {.folder = b->folder};
	char *before = all_rows(b), *after, *want, *have;

	/* The old views show a member of a dnet that another branch closed. */
	same(b, IN_VIEW, "renamed|\nten|\n");
	same(b, SCHEMA, "1|\n");
	migrate(b);
	same(b, SCHEMA, "2|\n");
	same(b, IN_VIEW, "renamed|\n");
	after = all_rows(b);
	assert_string_equal(after, before);
	temp_file(&fresh.folder, "fresh.db", fresh.path);
	migrate(&fresh);
/* The outpoint was the primary key of `seal`; now only live ones are in an index. */
#define MASTER                                                                                     \
	"SELECT type, name, sql FROM sqlite_master WHERE name NOT IN"                              \
	" ('seal', 'sqlite_autoindex_seal_1') UNION ALL"                                           \
	" SELECT type, name, \"notnull\" FROM pragma_table_info('seal') ORDER BY 2"
	want = ask(&fresh, MASTER);
	have = ask(b, MASTER);
	assert_string_equal(have, want);
	migrate(b);
	same(b, SCHEMA, "2|\n");
	sqlite3_free(before);
	sqlite3_free(after);
	sqlite3_free(want);
	sqlite3_free(have);
}

static void what_was_migrated_goes_on_and_can_be_undone(void **state)
{
	static const uint8_t seed[16] = {1};
	struct bench *b = *state;
	char error[STORE_ERROR_MAX] = "";
	struct registry_counts counts;
	struct registry *registry;
	struct store_tip tip;
	struct store *store;

	assert_int_equal(open_store(b, &store, error), 0);
	assert_int_equal(registry_new(0, seed, &registry), 0);
	assert_int_equal(store_load(store, registry), 0);
	registry_count(registry, &counts);
	assert_int_equal(counts.objects, 3);
	assert_int_equal(counts.seals, 3);
	assert_true(store_tip(store, &tip));
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_undo(store, tip.height - 5), 0);
	assert_int_equal(store_commit(store), 0);
	registry_undo(registry, tip.height - 5);
	registry_free(registry);
	store_close(store);
	same(b, IN_VIEW, "n1|\n");
}

static int on_row(void *arg, const struct record_row *row)
{
	(void)row;
	++*(int *)arg;
	return 0;
}

static void readers_read_the_schema_before_and_say_what_they_do_not(void **state)
{
	struct bench *b = *state;
	char error[CHAINDB_ERROR_MAX] = "";
	struct chaindb_object office;
	struct chaindb_tip tip;
	struct chaindb *db;
	sqlite3 *file;
	int rows = 0;

	assert_int_equal(chaindb_open(b->path, 0, &db, error), 0);
	assert_int_equal(chaindb_tip(db, &tip), 0);
	assert_int_equal(tip.schema, 1);
	assert_int_equal(chaindb_resolve(db, OBJECT_DNET, "office", &office), 0);
	assert_int_equal(chaindb_visit_dnet(db, &office.id, on_row, &rows), 0);
	assert_true(rows > 4);
	migrate(b);
	assert_int_equal(chaindb_tip(db, &tip), 0);
	assert_int_equal(tip.schema, CHAINDB_SCHEMA);
	chaindb_close(db);
	file = open_file(b);
	run(file, "UPDATE meta SET value = 3 WHERE name = 'schema'");
	assert_int_equal(chaindb_open(b->path, 0, &db, error), -EPROTONOSUPPORT);
	assert_non_null(strstr(error, "has schema 3, this program knows up to 2: update dnet"));
	run(file, "UPDATE meta SET value = 0 WHERE name = 'schema'");
	assert_int_equal(chaindb_open(b->path, 0, &db, error), -EBADMSG);
	sqlite3_close(file);
}

static void what_is_no_schema_is_refused(void **state)
{
	static const char *const values[] = {"0", "-1", "'none'", "''", "x'00'"};
	struct bench *b = *state;
	char error[STORE_ERROR_MAX] = "", sql[96];
	struct store *store;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		sqlite3 *db = open_file(b);

		snprintf(sql, sizeof(sql), "UPDATE meta SET value = %s WHERE name = 'schema'",
			 values[i]);
		run(db, sql);
		sqlite3_close(db);
		assert_int_equal(open_store(b, &store, error), -EBADMSG);
		assert_non_null(strstr(error, "is not a chain.db"));
	}
}

/* In a child: it ends by SIGKILL at the nth change of the files, or has migrated. */
static bool migrate_killed_at(const struct bench *b, unsigned long nth)
{
	char error[STORE_ERROR_MAX];
	struct store *store;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		bad_vfs_install();
		bad_vfs_set(BAD_VFS_KILLED, nth, 1);
		if (open_store(b, &store, error))
			_exit(1);
		store_close(store);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return true;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

static void killed_half_way_it_is_the_old_or_the_new_one(void **state)
{
	struct bench *b = *state;
	unsigned long nth, old = 0, new = 0;
	char name[32], *before = all_rows(b), *schema, *rows;
	bool killed = true;

	for (nth = 1; killed; nth++) {
		snprintf(name, sizeof(name), "%lu.db", nth);
		load_old(b, name);
		killed = migrate_killed_at(b, nth);
		same(b, "PRAGMA integrity_check", "ok|\n");
		schema = ask(b, SCHEMA);
		if (strcmp(schema, "1|\n") == 0) {
			same(b, IN_VIEW, "renamed|\nten|\n");
			old++;
		} else {
			same(b, IN_VIEW, "renamed|\n");
			new ++;
		}
		sqlite3_free(schema);
		migrate(b);
		same(b, SCHEMA, "2|\n");
		same(b, IN_VIEW, "renamed|\n");
		rows = all_rows(b);
		assert_string_equal(rows, before);
		sqlite3_free(rows);
		assert_true(nth < 1000);
	}
	printf("# killed at each of %lu changes: %lu times the old one, %lu the new\n", nth - 2,
	       old, new);
	assert_true(old > 2 && new > 0);
	sqlite3_free(before);
}

#define IN_BENCH(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BENCH(an_old_database_has_the_new_schema_and_all_its_rows),
		IN_BENCH(what_was_migrated_goes_on_and_can_be_undone),
		IN_BENCH(readers_read_the_schema_before_and_say_what_they_do_not),
		IN_BENCH(what_is_no_schema_is_refused),
		IN_BENCH(killed_half_way_it_is_the_old_or_the_new_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
