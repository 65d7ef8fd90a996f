#include "fixture/test.h"

#include "core/book.h"
#include "core/id.h"
#include "fixture/faults.h"
#include "fixture/reading.h"
#include "fixture/temp.h"
#include "node/state.h"
#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "service/lastgood.h"
#include "service/statements.h"
#include "service/usage.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each file that the daemons keep, on a disk that fails at each single call, or whose process ends
 * there: afterwards it is the one before or the one after. */

enum { NOW_S = 1700000000, BYTES_BEFORE = 1000, BYTES_AFTER = 2000 };

enum look { LOOK_OTHER, LOOK_BEFORE, LOOK_AFTER };

struct store {
	const char *name;
	const char *file;	    /* what the folder has then */
	void (*begin)(void);	    /* makes the first state */
	bool (*change)(bool again); /* to the second one, which lasts when it says so */
	enum look (*look)(void);    /* of a process that starts now */
};

static struct temp folder;
static const struct object_id dnet = {{1, 2, 3}}, other = {{4, 5, 6}};

/* ---- Usage accounts of ovrd ---- */

static uint64_t used;

static uint64_t get_used(void *arg, const struct object_id *id)
{
	return used;
}

static int set_used(void *arg, const struct object_id *id, uint64_t bytes)
{
	used = bytes;
	return 0;
}

static bool count_usage(uint64_t more)
{
	struct usage *usage;

	used = 0;
	usage = usage_open(folder.path, get_used, set_used, NULL);
	usage_load(usage, &dnet);
	used += more;
	usage_save(usage);
	usage_save(usage); /* five seconds later */
	usage_close(usage);
	return false; /* it is told to nobody */
}

static void begin_usage(void)
{
	count_usage(BYTES_BEFORE);
}

static bool change_usage(bool again)
{
	return count_usage(again ? 0 : BYTES_AFTER - BYTES_BEFORE);
}

static enum look look_usage(void)
{
	count_usage(0);
	return used == BYTES_BEFORE ? LOOK_BEFORE : used == BYTES_AFTER ? LOOK_AFTER : LOOK_OTHER;
}

/* ---- Copy of the last known state ---- */

static bool save_reading(uint32_t height, unsigned revocations)
{
	struct netmap_input input = reading_of(&dnet, height, 0, revocations);
	struct lastgood l;

	lastgood_init(&l, &dnet, folder.path);
	lastgood_load(&l);
	lastgood_take(&l, &input);
	l.rows_unsaved = true;
	lastgood_save(&l);
	/* as the next look at chain.db does */
	if (!l.loaded)
		lastgood_load(&l);
	lastgood_save(&l);
	lastgood_done(&l);
	return false;
}

static void begin_copy(void)
{
	save_reading(10, 2);
}

static bool change_copy(bool again)
{
	return save_reading(11, 3);
}

/* Two files: of a change whose rows are not there yet its revocations may count already, never the
 * other way round. */
static enum look look_copy(void)
{
	struct lastgood l;
	uint32_t height;
	size_t revocations;

	lastgood_init(&l, &dnet, folder.path);
	lastgood_load(&l);
	assert_true(l.loaded && l.have);
	height = l.input.tip_height;
	revocations = l.input.revocation_count;
	lastgood_done(&l);
	if (height == 10)
		return revocations == 2 || revocations == 3 ? LOOK_BEFORE : LOOK_OTHER;
	return height == 11 && revocations == 3 ? LOOK_AFTER : LOOK_OTHER;
}

/* ---- Key statements ---- */

static struct id *curve;
static struct identity alice;

static uint8_t *key_of(uint8_t n)
{
	static uint8_t key[32];

	memset(key, n, sizeof(key));
	return key;
}

static bool state_key(uint8_t n)
{
	struct statements *s = statements_open(folder.path, &dnet);
	struct statement own;
	int r = statements_own(s, curve, &alice, BACKEND_TINC, key_of(n), 32, NOW_S, &own);

	statements_close(s);
	return r == 0;
}

static void begin_statements(void)
{
	assert_true(state_key(1));
}

static bool change_statements(bool again)
{
	return state_key(2);
}

static enum look look_statements(void)
{
	struct statements *s = statements_open(folder.path, &dnet);
	enum look look = LOOK_OTHER;

	if (statements_count(s) == 1) {
		const struct statement *own = statements_at(s, 0);

		assert_true(book_is_signed(curve, own));
		if (own->date == NOW_S && own->key[0] == 1)
			look = LOOK_BEFORE;
		else if (own->date == NOW_S + 1 && own->key[0] == 2)
			look = LOOK_AFTER;
	}
	statements_close(s);
	return look;
}

/* ---- node.json and the master secret of dnetd ---- */

static void begin_node(void)
{
	char error[STATE_ERROR_MAX];
	struct state *s;

	assert_int_equal(state_open(folder.path, &s, error), 0);
	assert_int_equal(state_add(s, &dnet, ""), 0);
	state_close(s);
}

static bool change_node(bool again)
{
	char error[STATE_ERROR_MAX];
	struct state *s;
	int r;

	if (state_open(folder.path, &s, error) < 0) {
		assert_non_null(strstr(error, folder.path));
		return false;
	}
	r = state_add(s, &other, "");
	state_close(s);
	return r == 0 || r == -EEXIST;
}

static enum look look_node(void)
{
	char error[STATE_ERROR_MAX];
	enum look look = LOOK_OTHER;
	struct state *s;

	assert_int_equal(state_open(folder.path, &s, error), 0);
	if (state_find(s, &dnet))
		look = state_find(s, &other) ? LOOK_AFTER : LOOK_BEFORE;
	state_close(s);
	return look;
}

/* What was used once; shared with the children. */
static struct secret *master;

static void begin_master(void)
{
	memset(master, 0, sizeof(*master));
}

static bool change_master(bool again)
{
	char error[STATE_ERROR_MAX];
	struct state *s;

	if (state_open(folder.path, &s, error) < 0)
		return false;
	*master = *state_master(s);
	state_close(s);
	return true;
}

static enum look look_master(void)
{
	static const struct secret none;
	char error[STATE_ERROR_MAX], path[256];
	struct state *s;
	bool same;

	if (access(temp_file(&folder, "master.key", path), F_OK))
		return memcmp(master, &none, sizeof(none)) ? LOOK_OTHER : LOOK_BEFORE;
	assert_int_equal(state_open(folder.path, &s, error), 0);
	same = !memcmp(master, &none, sizeof(none)) ||
	       !memcmp(master, state_master(s), sizeof(*master));
	state_close(s);
	return same ? LOOK_AFTER : LOOK_OTHER;
}

/* ---- What may happen to them ---- */

static const struct store stores[] = {
	{"usage accounts", "usage.json", begin_usage, change_usage, look_usage},
	{"copy of the last known state", "copy- revoked-", begin_copy, change_copy, look_copy},
	{"key statements", "statements-", begin_statements, change_statements, look_statements},
	{"node.json", "master.key node.json", begin_node, change_node, look_node},
	{"master secret", "master.key", begin_master, change_master, look_master},
};

static int setup(void **state)
{
	static const uint8_t seed[ID_SEED_LEN] = {4};
	struct secret secret;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR); /* every failure is said */
	curve = id_new(seed);
	memset(&secret, 1, sizeof(secret));
	assert_int_equal(id_from_secret(curve, &secret, &alice), 0);
	master = mmap(NULL, sizeof(*master), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(master != MAP_FAILED);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	id_free(curve);
	munmap(master, sizeof(*master));
	return 0;
}

/* In a child: it changes, and does so again when the disk is good again. */
static _Noreturn void change_twice(const struct store *store, bool *ret_said)
{
	struct faults *faults = faults_plan();

	*ret_said = store->change(false);
	faults->folder[0] = '\0';
	store->change(true);
	_exit(0);
}

/* With these calls failing. The end of the child. */
static int change_with(const struct store *store, int kinds, int action, int64_t first,
		       bool *ret_said)
{
	struct faults *faults = faults_plan();
	int status;
	pid_t child;

	faults->kinds = kinds;
	faults->action = action;
	faults->first = faults->last = first;
	faults->count = faults->hits = 0;
	strcpy(faults->folder, folder.path);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		change_twice(store, ret_said);
	assert_int_equal(waitpid(child, &status, 0), child);
	faults->folder[0] = '\0';
	return status;
}

/* Nothing is there but the store's files. */
static void check_folder(const struct store *store)
{
	DIR *dir = opendir(folder.path);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char start[16] = "";
		size_t len = strcspn(entry->d_name, "-");

		if (entry->d_name[0] == '.')
			continue;
		len += entry->d_name[len] == '-';
		assert_true(len < sizeof(start));
		memcpy(start, entry->d_name, len);
		if (!strstr(store->file, start) || strstr(entry->d_name, ".bad"))
			fail_msg("%s: %s is there", store->name, entry->d_name);
	}
	closedir(dir);
}

/* One store, one kind of failure, at the n-th call. False: there is no such call. */
static bool fails_at(const struct store *store, int kinds, int action, int64_t n)
{
	bool *said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);
	struct faults *faults = faults_plan();
	const char *call = faults->entries[n - 1];
	enum look look;
	int status;
	bool hit;

	assert_true(said != MAP_FAILED);
	temp_make(&folder);
	store->begin();
	status = change_with(store, kinds, action, n, said);
	hit = faults->hits > 0;
	if (!hit || action > 0)
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	else
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(file_sweep(folder.path), 0);
	look = store->look();
	if (look == LOOK_OTHER || (look == LOOK_BEFORE && (*said || !WIFSIGNALED(status))))
		fail_msg("%s: %s after call %d, %s, was made to fail with %d", store->name,
			 look == LOOK_BEFORE ? "lost" : "a third state", (int)n, call, action);
	check_folder(store);
	temp_remove(&folder);
	munmap(said, sizeof(*said));
	return hit;
}

static void check_all(int kinds, int action, int64_t at_least)
{
	for (size_t i = 0; i < ARRAY_SIZE(stores); i++) {
		int64_t n = 1;

		while (fails_at(&stores[i], kinds, action, n))
			n++;
		if (n <= at_least)
			fail_msg("%s: %d calls only", stores[i].name, (int)n - 1);
	}
}

static void an_io_error_at_any_call_leaves_the_old_or_the_new_one(void **state)
{
	(void)state;
	check_all(FAULTS_WRITES, EIO, 5);
}

static void a_full_disk_at_any_call_leaves_the_old_or_the_new_one(void **state)
{
	(void)state;
	check_all(FAULTS_WRITES, ENOSPC, 5);
}

static void a_kill_at_any_call_leaves_the_old_or_the_new_one(void **state)
{
	(void)state;
	check_all(FAULTS_WRITES, FAULTS_KILL, 5);
}

static void half_a_write_and_then_a_kill_leaves_the_old_or_the_new_one(void **state)
{
	(void)state;
	check_all(FAULTS_WRITES, FAULTS_TEAR, 5);
}

/* Neither is damage: what is on the disk is not put aside, nor written over. */
static void what_cannot_be_read_for_a_moment_is_not_lost(void **state)
{
	(void)state;
	check_all(FAULTS_READS, EIO, 0);
	check_all(FAULTS_READS, EMFILE, 0);
}

/* ---- Order ---- */

static bool is_call(const char *entry, const char *call, const char *name)
{
	size_t len = strlen(call);

	return !strncmp(entry, call, len) && entry[len] == ' ' &&
	       !strncmp(entry + len + 1, name, strlen(name)) &&
	       (!entry[len + 1 + strlen(name)] || entry[len + 1 + strlen(name)] == ' ');
}

/* The rename at n: what it renames was written, then synced, and then the folder is. */
static void check_rename(const struct faults *faults, int64_t n, const char *store)
{
	char from[FAULTS_ENTRY_LEN] = "", to[FAULTS_ENTRY_LEN] = "";
	int64_t written = -1, synced = -1;

	assert_int_equal(sscanf(faults->entries[n], "rename %127s %127s", from, to), 2);
	for (int64_t i = 0; i < n; i++) {
		if (is_call(faults->entries[i], "write", from))
			written = i;
		if (is_call(faults->entries[i], "sync", from))
			synced = i;
	}
	if (written < 0 || synced < written || strncmp(from, to, strlen(to)) ||
	    n + 2 >= faults->count || !is_call(faults->entries[n + 1], "open", ".") ||
	    !is_call(faults->entries[n + 2], "sync", "."))
		fail_msg("%s: %s is renamed to %s: written at %d, synced at %d, then %s, %s", store,
			 from, to, (int)written, (int)synced, faults->entries[n + 1],
			 faults->entries[n + 2]);
}

static void a_file_is_written_synced_renamed_and_its_folder_synced(void **state)
{
	struct faults *faults = faults_plan();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stores); i++) {
		unsigned renames = 0;
		bool said;

		temp_make(&folder);
		stores[i].begin();
		memset(faults, 0, sizeof(*faults));
		change_with(&stores[i], FAULTS_WRITES, 0, 0, &said);
		assert_true(faults->count <= FAULTS_ENTRIES_MAX);
		for (int64_t n = 0; n < faults->count; n++) {
			if (strncmp(faults->entries[n], "rename ", 7))
				continue;
			renames++;
			check_rename(faults, n, stores[i].name);
		}
		assert_true(renames > 0);
		temp_remove(&folder);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_written_synced_renamed_and_its_folder_synced),
		cmocka_unit_test(an_io_error_at_any_call_leaves_the_old_or_the_new_one),
		cmocka_unit_test(a_full_disk_at_any_call_leaves_the_old_or_the_new_one),
		cmocka_unit_test(a_kill_at_any_call_leaves_the_old_or_the_new_one),
		cmocka_unit_test(half_a_write_and_then_a_kill_leaves_the_old_or_the_new_one),
		cmocka_unit_test(what_cannot_be_read_for_a_moment_is_not_lost),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
