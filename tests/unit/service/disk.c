#include "fixture/test.h"

#include "core/book.h"
#include "core/id.h"
#include "fixture/disk.h"
#include "fixture/reading.h"
#include "node/state.h"
#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "service/lastgood.h"
#include "service/statements.h"
#include "service/usage.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* Each file that the daemons keep (fixture/disk.h). */

enum { NOW_S = 1700000000, BYTES_BEFORE = 1000, BYTES_AFTER = 2000 };

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
	usage = usage_open(disk_folder.path, get_used, set_used, NULL);
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

static enum disk_look look_usage(void)
{
	count_usage(0);
	return used == BYTES_BEFORE ? DISK_BEFORE : used == BYTES_AFTER ? DISK_AFTER : DISK_OTHER;
}

/* ---- Copy of the last known state ---- */

static bool save_reading(uint32_t height, unsigned revocations)
{
	struct netmap_input input = reading_of(&dnet, height, 0, revocations);
	struct lastgood l;

	lastgood_init(&l, &dnet, disk_folder.path);
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
static enum disk_look look_copy(void)
{
	struct lastgood l;
	uint32_t height;
	size_t revocations;

	lastgood_init(&l, &dnet, disk_folder.path);
	lastgood_load(&l);
	assert_true(l.loaded && l.have);
	height = l.input.tip_height;
	revocations = l.input.revocation_count;
	lastgood_done(&l);
	if (height == 10)
		return revocations == 2 || revocations == 3 ? DISK_BEFORE : DISK_OTHER;
	return height == 11 && revocations == 3 ? DISK_AFTER : DISK_OTHER;
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
	struct statements *s = statements_open(disk_folder.path, &dnet);
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

static enum disk_look look_statements(void)
{
	struct statements *s = statements_open(disk_folder.path, &dnet);
	enum disk_look look = DISK_OTHER;

	if (statements_count(s) == 1) {
		const struct statement *own = statements_at(s, 0);

		assert_true(book_is_signed(curve, own));
		if (own->date == NOW_S && own->key[0] == 1)
			look = DISK_BEFORE;
		else if (own->date == NOW_S + 1 && own->key[0] == 2)
			look = DISK_AFTER;
	}
	statements_close(s);
	return look;
}

/* ---- node.json and the master secret of dnetd ---- */

static void begin_node(void)
{
	char error[STATE_ERROR_MAX];
	struct state *s;

	assert_int_equal(state_open(disk_folder.path, &s, error), 0);
	assert_int_equal(state_add(s, &dnet, ""), 0);
	state_close(s);
}

static bool change_node(bool again)
{
	char error[STATE_ERROR_MAX];
	struct state *s;
	int r;

	if (state_open(disk_folder.path, &s, error) < 0) {
		assert_non_null(strstr(error, disk_folder.path));
		return false;
	}
	r = state_add(s, &other, "");
	state_close(s);
	return r == 0 || r == -EEXIST;
}

static enum disk_look look_node(void)
{
	char error[STATE_ERROR_MAX];
	enum disk_look look = DISK_OTHER;
	struct state *s;

	assert_int_equal(state_open(disk_folder.path, &s, error), 0);
	if (state_find(s, &dnet))
		look = state_find(s, &other) ? DISK_AFTER : DISK_BEFORE;
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

	if (state_open(disk_folder.path, &s, error) < 0)
		return false;
	*master = *state_master(s);
	state_close(s);
	return true;
}

static enum disk_look look_master(void)
{
	static const struct secret none;
	char error[STATE_ERROR_MAX], path[256];
	struct state *s;
	bool same;

	if (access(temp_file(&disk_folder, "master.key", path), F_OK))
		return memcmp(master, &none, sizeof(none)) ? DISK_OTHER : DISK_BEFORE;
	assert_int_equal(state_open(disk_folder.path, &s, error), 0);
	same = !memcmp(master, &none, sizeof(none)) ||
	       !memcmp(master, state_master(s), sizeof(*master));
	state_close(s);
	return same ? DISK_AFTER : DISK_OTHER;
}

static const struct disk_store stores[] = {
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

int main(void)
{
	return disk_run(stores, ARRAY_SIZE(stores), setup, teardown);
}
