#include "fixture/owner_world.h"

#include "chainwatch/chain.h"
#include "chainwatch/store.h"
#include "chainwatch/task.h"
#include "fixture/bad_vfs.h"
#include "fixture/block_tree.h"
#include "fixture/temp.h"
#include "fixture/world_db.h"
#include "os/chaindb.h"
#include "os/file.h"
#include "os/log.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* chainwatch's chain.c and mempool.c over a tree of blocks in memory, with the random histories of
 * tests/unit/core/registry_random.c in its branches: reorganisations of 1 to 100 blocks, a source
 * that fails at any call or changes its mind in the middle of a question, a disk that fails at any
 * write, a process that is killed at any write. After each step chain.db is what the model makes of
 * the best branch from the first block on: rows, seals, revocations, networks. DNET_STEPS says how
 * many steps, DNET_TEST_SEED which. */

enum {
	STEPS = 1500,
	HISTORY = 120, /* steps of one chain.db */
	KEEP = 110,
	DEEPEST = 100,
	MEMPOOL = 6,
	STEPS_TO_SETTLE = 400,
};

struct totals {
	unsigned long steps, reorgs, swaps, rescans, undone, killed, failed_disk, failed_source,
		moves, restarts, rows, revocations, pending;
	uint32_t deepest;
};

/* The branch that was the best one before. */
struct branch {
	uint32_t height;
	size_t best[BLOCKS + 1];
	size_t tx[BLOCKS][BLOCK_TXS], count[BLOCKS];
};

struct bench {
	struct world w;
	struct branch other; /* height 0: none */
	struct block_tree tree;
	struct temp folder;
	char path[256];
	struct chainparams params;
	struct store *store;
	struct chain *chain;
	atomic_bool stop;
	uint8_t raw[TXS][RAW_MAX]; /* of the transactions of the world */
	size_t raw_len[TXS];
	size_t mempool[MEMPOOL], mempool_count;
	/* What another best branch said that was there for a moment: seen, or not. */
	struct model_revocation maybe[ROWS];
	size_t maybe_count;
	unsigned move_percent;
	struct totals total;
};

/* ---- The chain ---- */

static struct tree_tx tree_tx_of(struct bench *b, size_t number)
{
	struct world *w = &b->w;
	struct tree_tx tx;
	struct tx_view view;

	if (b->raw_len[number] == 0) {
		world_view_tx(&w->txs[number], b->raw[number], &view);
		b->raw_len[number] = view.raw.len;
	}
	memcpy(tx.txid.bytes, w->txs[number].txid, HASH_LEN);
	tx.raw = b->raw[number];
	tx.len = b->raw_len[number];
	return tx;
}

/* The model of the best branch; the coinbase has index 0. */
static void read_model(struct bench *b)
{
	struct world *w = &b->w;

	w->model.object_count = w->model.row_count = w->model.revocation_count = 0;
	for (uint32_t at = 0; at < w->height; at++)
		for (size_t i = 0; i < w->blocks[at].count; i++)
			model_apply(&w->model, at + 1, (uint32_t)i + 1,
				    &w->txs[w->blocks[at].tx[i]]);
}

static void grow(struct bench *b)
{
	struct world *w = &b->w;
	struct tree_tx txs[BLOCK_TXS];
	struct order order;
	uint32_t at = w->height;
	size_t want = world_chance(w, 70) ? rng_below(&w->rng, 4) : 0, number, first = 0;

	assert_true(at < BLOCKS);
	world_order(w, &order);
	w->blocks[at].count = 0;
	/* What waits is mined first, as far as it is. */
	if (world_chance(w, 60))
		first = rng_below(&w->rng, b->mempool_count + 1);
	for (size_t i = 0; i < first + want && w->blocks[at].count < BLOCK_TXS; i++) {
		if (i < first)
			number = b->mempool[i];
		else
			number = world_next_tx(w, &order);
		if (number == TXS || !world_can_mine(w, &order, number))
			continue;
		order.tx[order.count++] = number;
		txs[w->blocks[at].count] = tree_tx_of(b, number);
		w->blocks[at].tx[w->blocks[at].count++] = number;
		if (i >= first) {
			w->height++;
			read_model(b);
			w->height--;
		}
	}
	tree_grow(&b->tree, txs, w->blocks[at].count);
	w->height++;
	read_model(b);
}

/* What can still be mined stays, in its order, parents first. */
static void sort_out_mempool(struct bench *b)
{
	struct world *w = &b->w;
	struct order order;
	size_t kept = 0;

	world_order(w, &order);
	for (size_t i = 0; i < b->mempool_count; i++) {
		if (!world_can_mine(w, &order, b->mempool[i]))
			continue;
		order.tx[order.count++] = b->mempool[i];
		b->tree.mempool[kept] = tree_tx_of(b, b->mempool[i]);
		b->mempool[kept++] = b->mempool[i];
	}
	b->tree.mempool_count = b->mempool_count = kept;
}

static void add_to_mempool(struct bench *b)
{
	struct world *w = &b->w;
	struct order order;
	size_t number;

	if (b->mempool_count == MEMPOOL)
		return;
	world_order(w, &order);
	for (size_t i = 0; i < b->mempool_count; i++)
		order.tx[order.count++] = b->mempool[i];
	number = world_next_tx(w, &order);
	if (number != TXS)
		b->mempool[b->mempool_count++] = number;
	sort_out_mempool(b);
}

static void drop_from_mempool(struct bench *b)
{
	if (b->mempool_count == 0)
		return;
	b->mempool[rng_below(&b->w.rng, b->mempool_count)] = b->mempool[b->mempool_count - 1];
	b->mempool_count--;
	sort_out_mempool(b);
}

static void mine(struct bench *b, size_t count)
{
	while (count-- > 0 && b->w.height < BLOCKS)
		grow(b);
	sort_out_mempool(b);
}

static void save_branch(const struct bench *b, struct branch *to)
{
	to->height = b->w.height;
	memcpy(to->best, b->tree.best, sizeof(to->best));
	for (size_t i = 0; i < BLOCKS; i++) {
		memcpy(to->tx[i], b->w.blocks[i].tx, sizeof(to->tx[i]));
		to->count[i] = b->w.blocks[i].count;
	}
}

/* Back to the branch that was left last: its blocks are known. */
static void swap_branches(struct bench *b)
{
	struct branch *kept = malloc(sizeof(*kept));

	assert_non_null(kept);
	*kept = b->other;
	if (kept->height > 0) {
		save_branch(b, &b->other);
		b->w.height = b->tree.height = kept->height;
		memcpy(b->tree.best, kept->best, sizeof(kept->best));
		for (size_t i = 0; i < BLOCKS; i++) {
			memcpy(b->w.blocks[i].tx, kept->tx[i], sizeof(kept->tx[i]));
			b->w.blocks[i].count = kept->count[i];
		}
		read_model(b);
		sort_out_mempool(b);
		b->total.swaps++;
	}
	free(kept);
}

static void reorganise(struct bench *b, uint32_t most)
{
	struct world *w = &b->w;
	uint32_t depth, before = w->height;
	size_t back[MEMPOOL], back_count = 0;

	most = most < before ? most : before;
	if (most == 0)
		return;
	if (most > 8 && world_chance(w, 85))
		most = most > 40 && world_chance(w, 20) ? 40 : 8;
	depth = 1 + (uint32_t)rng_below(&w->rng, most);
	save_branch(b, &b->other);
	/* Some of the transactions wait again. */
	for (uint32_t at = before - depth; at < before; at++)
		for (size_t i = 0; i < w->blocks[at].count && back_count < MEMPOOL; i++)
			if (world_chance(w, 50))
				back[back_count++] = w->blocks[at].tx[i];
	w->height -= depth;
	tree_cut(&b->tree, w->height);
	read_model(b);
	b->mempool_count = 0;
	for (size_t i = 0; i < back_count; i++)
		b->mempool[b->mempool_count++] = back[i];
	sort_out_mempool(b);
	/* The other branch is as long, longer, or shorter: what the source says is the best one. */
	mine(b, depth > 3 ? depth - 2 + rng_below(&w->rng, 5) : rng_below(&w->rng, depth + 3));
	b->total.reorgs++;
	b->total.undone += depth;
	if (depth > b->total.deepest)
		b->total.deepest = depth;
}

/* ---- What was seen ---- */

static void add_maybe(struct bench *b)
{
	struct world *w = &b->w;

	for (size_t i = 0; i < w->model.revocation_count; i++) {
		size_t at = 0;

		while (at < b->maybe_count &&
		       memcmp(&b->maybe[at], &w->model.revocations[i], sizeof(b->maybe[at])) != 0)
			at++;
		assert_true(at < ROWS);
		if (at == b->maybe_count)
			b->maybe[b->maybe_count++] = w->model.revocations[i];
	}
}

/* The blocks and the mempool, as the model has them. */
static void with_mempool(struct bench *b, void (*tell)(struct bench *))
{
	tell(b);
	for (size_t i = 0; i < b->mempool_count; i++)
		model_apply(&b->w.model, REGISTRY_PENDING, (uint32_t)i, &b->w.txs[b->mempool[i]]);
	tell(b);
	read_model(b);
}

static void remember(struct bench *b)
{
	world_remember(&b->w, &b->w.model);
}

static void change_back(struct bench *b)
{
	with_mempool(b, add_maybe);
	swap_branches(b);
	with_mempool(b, add_maybe);
}

/* In the middle of a question. */
static void move(void *arg)
{
	struct bench *b = arg;
	struct world *w = &b->w;

	/* Right after a call that failed, when much is half done. */
	if (b->tree.fail_at && b->tree.calls == b->tree.fail_at && world_chance(w, 60)) {
		change_back(b);
		return;
	}
	if (b->move_percent == 0 || !world_chance(w, b->move_percent))
		return;
	b->total.moves++;
	with_mempool(b, add_maybe);
	if (world_chance(w, 50) && w->height < BLOCKS - 20)
		mine(b, 1 + rng_below(&w->rng, 2));
	else if (world_chance(w, 40))
		reorganise(b, 12);
	else if (world_chance(w, 40))
		swap_branches(b);
	else if (world_chance(w, 50))
		add_to_mempool(b);
	else
		drop_from_mempool(b);
	with_mempool(b, add_maybe);
}

/* ---- chainwatch ---- */

static int try_open(struct bench *b)
{
	struct store_config config = {.path = b->path,
				      .chain = "litecoin-regtest",
				      .genesis = b->params.genesis,
				      .birth_height = 1,
				      .keep = KEEP};
	struct chain_config wanted = {.params = b->params,
				      .source = &b->tree.source,
				      .stop = &b->stop,
				      .birth_height = 1,
				      .keep = KEEP,
				      .changes_max = world_chance(&b->w, 50) ? 20 : 0};
	char error[STORE_ERROR_MAX] = "";
	int result = store_open(&config, &b->store, error);

	if (result)
		return result;
	wanted.store = b->store;
	rng_fill(&b->w.rng, wanted.seed, sizeof(wanted.seed));
	result = chain_new(&wanted, &b->chain, error);
	if (result) {
		store_close(b->store);
		b->store = NULL;
	}
	return result;
}

static void open_chain(struct bench *b)
{
	assert_int_equal(try_open(b), 0);
}

static void close_chain(struct bench *b)
{
	chain_free(b->chain);
	store_close(b->store);
	b->chain = NULL;
	b->store = NULL;
}

/* Steps until there is nothing left to do. False when it does not come there. */
static bool steps(struct bench *b, unsigned most, struct chain_report *report)
{
	memset(report, 0, sizeof(*report));
	for (unsigned i = 0; i < most; i++) {
		chain_step(b->chain, world_chance(&b->w, 30) ? 0 : 1000, report);
		if (!report->error[0] && report->state == CHAIN_FOLLOWING && !report->more &&
		    report->tip.height == b->w.height)
			return true;
	}
	return false;
}

static void settle(struct bench *b)
{
	struct chain_report report;

	b->move_percent = 0;
	b->tree.fail_at = 0;
	if (!steps(b, STEPS_TO_SETTLE, &report) && report.state == CHAIN_STOPPED) {
		/* Several changes together went past what is kept: begin anew, as a person does. */
		assert_non_null(strstr(report.error, "--rescan 1"));
		assert_int_equal(store_rescan(b->store, 1, 1), 0);
		close_chain(b);
		open_chain(b);
		b->total.rescans++;
		steps(b, STEPS_TO_SETTLE, &report);
	}
	if (report.error[0] || report.tip.height != b->w.height)
		fail_msg("it does not come to height %u; at %u: %s", b->w.height, report.tip.height,
			 report.error);
	with_mempool(b, remember);
}

/* ---- Comparing ---- */

static bool is_this(const struct model_revocation *m, const struct netmap_revocation *r)
{
	return memcmp(m->object, r->object.bytes, 20) == 0 && m->type == r->type &&
	       memcmp(m->txid, r->txid.bytes, 32) == 0 && m->sequence == r->sequence &&
	       netmap_position(m->out, m->pos) == r->position && m->len == r->subject_len &&
	       memcmp(m->key, r->subject, m->len) == 0;
}

/* What was there for a moment was seen or not: from here on it is known which. */
static void settle_maybe(struct bench *b)
{
	struct world *w = &b->w;

	for (size_t i = 0; i < b->maybe_count; i++) {
		bool known = false;

		for (size_t k = 0; k < w->seen_count; k++)
			known |= memcmp(&w->seen[k], &b->maybe[i], sizeof(b->maybe[i])) == 0;
		for (size_t k = 0; !known && k < w->revocation_count; k++) {
			if (!is_this(&b->maybe[i], &w->revocations[k]))
				continue;
			assert_true(w->seen_count < ROWS);
			w->seen[w->seen_count++] = b->maybe[i];
			known = true;
		}
	}
	b->maybe_count = 0;
}

/* Each kept header is that of the best branch, and there are as many as can be. */
static void compare_headers(struct bench *b, sqlite3 *db)
{
	sqlite3_stmt *statement =
		world_query(db, "SELECT height, hash, time FROM block ORDER BY height DESC");
	uint32_t height = b->w.height, rows = 0;

	while (sqlite3_step(statement) == SQLITE_ROW) {
		struct hash256 hash;

		assert_int_equal(sqlite3_column_int(statement, 0), height);
		assert_true(hash_parse((const char *)sqlite3_column_text(statement, 1), &hash));
		assert_memory_equal(&hash, &b->tree.blocks[b->tree.best[height]].hash, HASH_LEN);
		assert_int_equal(sqlite3_column_int(statement, 2), height ? 1000 + height : 0);
		height--;
		rows++;
	}
	sqlite3_finalize(statement);
	assert_true(rows > 0 && rows <= KEEP + 1u);
}

static int64_t ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement = world_query(db, sql);
	int64_t value;

	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return value;
}

/* Each seal that a waiting transaction makes is there. */
static void compare_pending_seals(struct bench *b, sqlite3 *db)
{
	char text[OBJECT_ID_TEXT_SIZE], txid[HASH_TEXT_SIZE], sql[512];
	struct world *w = &b->w;
	struct object_id id;
	struct hash256 hash;

	for (size_t i = 0; i < b->mempool_count; i++)
		model_apply(&w->model, REGISTRY_PENDING, (uint32_t)i, &w->txs[b->mempool[i]]);
	for (size_t i = 0; i < w->model.object_count; i++) {
		const struct model_object *o = &w->model.objects[i];
		bool waits = false;

		for (size_t k = 0; k < b->mempool_count; k++)
			waits |= memcmp(w->txs[b->mempool[k]].txid, o->seal, HASH_LEN) == 0;
		if (!waits || !o->has_seal)
			continue;
		memcpy(id.bytes, o->id, OBJECT_ID_LEN);
		memcpy(hash.bytes, o->seal, HASH_LEN);
		object_id_format(o->kind, &id, text);
		hash_format(&hash, txid);
		snprintf(sql, sizeof(sql),
			 "SELECT count(*) FROM pending WHERE object = '%s' AND seal_txid = '%s'"
			 " AND seal_vout = %u AND sequence = %u",
			 text, txid, o->seal[HASH_LEN], o->sequence);
		if (ask(db, sql) != 1)
			fail_msg("%s", sql);
		b->total.pending++;
	}
	read_model(b);
}

/* The transactions of ours that wait, each a row an object that it touches. */
static void compare_pending(struct bench *b, sqlite3 *db)
{
	sqlite3_stmt *statement =
		world_query(db, "SELECT txid FROM pending UNION SELECT txid FROM pending_log");

	while (sqlite3_step(statement) == SQLITE_ROW) {
		struct hash256 txid;
		bool waits = false;

		assert_true(hash_parse((const char *)sqlite3_column_text(statement, 0), &txid));
		for (size_t i = 0; i < b->mempool_count; i++)
			waits |= memcmp(b->w.txs[b->mempool[i]].txid, txid.bytes, HASH_LEN) == 0;
		assert_true(waits);
	}
	sqlite3_finalize(statement);
}

static void compare(struct bench *b)
{
	struct world *w = &b->w;
	uint8_t seed[16];
	sqlite3 *db;

	assert_int_equal(sqlite3_open_v2(b->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	compare_headers(b, db);
	world_read_db(w, db);
	settle_maybe(b);
	compare_pending(b, db);
	compare_pending_seals(b, db);
	assert_int_equal(ask(db, "SELECT count(*) FROM record_log WHERE height >"
				 " (SELECT max(height) FROM block)"),
			 0);
	sqlite3_close(db);
	rng_fill(&w->rng, seed, sizeof(seed));
	registry_free(w->registry);
	assert_int_equal(registry_new(MODEL_OP_NODE, seed, &w->registry), 0);
	assert_int_equal(store_load(b->store, w->registry), 0);
	world_compare(w);
	b->total.rows += w->object_count + w->row_count;
	b->total.revocations += w->revocation_count;
}

/* ---- What happens to it ---- */

/* A call of the source fails, or it changes its mind between two. */
static void with_a_bad_source(struct bench *b)
{
	struct chain_report report;

	if (world_chance(&b->w, 50)) {
		b->tree.fail_at = b->tree.calls + 1 + rng_below(&b->w.rng, 20);
		b->total.failed_source++;
	} else {
		b->move_percent = 20 + 40 * world_chance(&b->w, 20);
	}
	steps(b, 1 + (unsigned)rng_below(&b->w.rng, 10), &report);
}

/* Writes, syncs or reads of the disk fail, one or many; then all is well again. */
static void with_a_bad_disk(struct bench *b)
{
	static const enum bad_vfs_kind kinds[] = {BAD_VFS_FULL, BAD_VFS_ERROR, BAD_VFS_SYNC,
						  BAD_VFS_READ};
	enum bad_vfs_kind kind = kinds[rng_below(&b->w.rng, 4)];
	struct chain_report report;
	unsigned long failed;

	bad_vfs_set(kind, 1 + rng_below(&b->w.rng, 40),
		    world_chance(&b->w, 50) ? 1 : 1 + rng_below(&b->w.rng, 50));
	steps(b, 1 + (unsigned)rng_below(&b->w.rng, 10), &report);
	bad_vfs_heal(&failed);
	b->total.failed_disk += failed > 0;
	if (failed > 0 && world_chance(&b->w, 40))
		change_back(b);
	if (failed > 0 && world_chance(&b->w, 30)) {
		close_chain(b);
		open_chain(b);
	}
}

/* Another process does it, and is killed in the middle of a write. */
static void with_a_kill(struct bench *b)
{
	struct chain_report report;
	int status;
	pid_t pid;

	close_chain(b);
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		bad_vfs_set(BAD_VFS_KILLED, 1 + rng_below(&b->w.rng, 60), 1);
		if (try_open(b) == 0)
			steps(b, 20, &report);
		_exit(0);
	}
	rng_next(&b->w.rng);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) || WTERMSIG(status) == SIGKILL);
	b->total.killed += WIFSIGNALED(status) != 0;
	open_chain(b);
}

static void one_step(struct bench *b)
{
	struct world *w = &b->w;
	size_t what = rng_below(&w->rng, 100);

	if (what < 30 && w->height < BLOCKS - 30)
		mine(b, 1 + rng_below(&w->rng, 3));
	else if (what < 35 && w->height < BLOCKS - 60)
		mine(b, 30);
	else if (what < 50)
		reorganise(b, DEEPEST);
	else if (what < 60)
		swap_branches(b);
	else if (what < 75)
		add_to_mempool(b);
	else if (what < 80)
		drop_from_mempool(b);
	what = rng_below(&w->rng, 100);
	if (what < 20) {
		with_a_bad_source(b);
	} else if (what < 40) {
		with_a_bad_disk(b);
	} else if (what < 55) {
		with_a_kill(b);
	} else if (what < 60) {
		close_chain(b);
		open_chain(b);
		b->total.restarts++;
	}
	settle(b);
	compare(b);
	b->total.steps++;
}

/* An import that fails at any write, or any call of the source, leaves nothing. */
static void import_badly(struct bench *b, const struct task_world *world, struct store *store,
			 const char *data, size_t len)
{
	struct store_tip tip;
	unsigned long failed;
	int status;

	for (unsigned i = 0; i < 6; i++) {
		if (i < 3)
			bad_vfs_set(i ? BAD_VFS_FULL : BAD_VFS_ERROR, 1 + rng_below(&b->w.rng, 10),
				    1000);
		else
			b->tree.fail_at = b->tree.calls + 1 + rng_below(&b->w.rng, 4);
		status = task_import(world, store, data, len);
		bad_vfs_heal(&failed);
		if (status == TASK_DONE) { /* the fault came after its last write */
			assert_int_equal(store_rescan(store, 1, 1), 0);
			continue;
		}
		assert_int_equal(status, TASK_FAILED);
		assert_false(store_tip(store, &tip));
	}
	b->tree.fail_at = 0;
}

/* The whole state, read once more, and taken to another chain.db through a file. */
static void take_elsewhere(struct bench *b)
{
	struct task_world world = {.params = &b->params,
				   .source = &b->tree.source,
				   .db = b->path,
				   .birth_height = 1,
				   .keep = KEEP,
				   .stop = &b->stop};
	struct store_config config = {.chain = "litecoin-regtest",
				      .genesis = b->params.genesis,
				      .birth_height = 1,
				      .keep = KEEP};
	char file[256], db[256], error[STORE_ERROR_MAX] = "", *data;
	struct store *store;
	size_t len;
	int fd;

	assert_int_equal(task_verify(&world), TASK_DONE);
	/* What comes above its tip is no difference, removals neither. */
	mine(b, 15);
	assert_int_equal(task_verify(&world), TASK_DONE);
	fd = open("/dev/full", O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(task_export(&world, fd), TASK_FAILED);
	close(fd);
	fd = open(temp_file(&b->folder, "state", file), O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(task_export(&world, fd), TASK_DONE);
	close(fd);
	assert_int_equal(file_read(file, 1 << 24, &data, &len), 0);
	world.db = config.path = temp_file(&b->folder, "other.db", db);
	assert_int_equal(store_open(&config, &store, error), 0);
	import_badly(b, &world, store, data, len);
	assert_int_equal(task_import(&world, store, data, len), TASK_DONE);
	assert_int_equal(task_verify(&world), TASK_DONE);
	store_close(store);
	free(data);
}

static void one_history(struct bench *b, uint64_t seed, unsigned long count)
{
	struct totals total = b->total;

	memset(b, 0, sizeof(*b));
	b->total = total;
	b->w.seed = seed;
	b->w.rng = (struct rng){seed};
	b->params = *chainparams_find("litecoin-regtest");
	b->params.op_node = MODEL_OP_NODE;
	tree_init(&b->tree);
	b->tree.before = move;
	b->tree.arg = b;
	b->params.genesis = b->tree.blocks[0].hash;
	temp_make(&b->folder);
	temp_file(&b->folder, "chain.db", b->path);
	open_chain(b);
	mine(b, rng_below(&b->w.rng, 120));
	for (unsigned long i = 0; i < count; i++)
		one_step(b);
	take_elsewhere(b);
	close_chain(b);
	registry_free(b->w.registry);
	tree_done(&b->tree);
	temp_remove(&b->folder);
}

static void chain_db_is_what_the_best_branch_says(void **state)
{
	struct rng first = rng_new("chain_random");
	const char *text = getenv("DNET_STEPS");
	unsigned long want = text ? strtoul(text, NULL, 0) : STEPS, left = want;
	struct bench *b = calloc(1, sizeof(*b));

	(void)state;
	assert_non_null(b);
	log_set_level(LOG_LEVEL_ERROR);
	bad_vfs_install();
	for (unsigned long i = 0; left > 0; i++) {
		unsigned long count = left < HISTORY ? left : HISTORY;

		one_history(b, first.state + i, count);
		left -= count;
	}
	printf("# %lu steps: %lu reorganisations of %lu blocks, the deepest of %u; %lu kills, %lu "
	       "times a "
	       "bad disk, %lu a bad source, %lu changes of its mind, %lu restarts\n",
	       b->total.steps, b->total.reorgs, b->total.undone, b->total.deepest, b->total.killed,
	       b->total.failed_disk, b->total.failed_source, b->total.moves, b->total.restarts);
	printf("# %lu rows, %lu revocations, %lu seals that wait, %lu nodes and %lu helpers "
	       "compared; %lu "
	       "times back to the branch before, %lu times anew\n",
	       b->total.rows, b->total.revocations, b->total.pending, world_total.nodes,
	       world_total.helpers, b->total.swaps, b->total.rescans);
	if (want >= STEPS) {
		assert_true(b->total.deepest > 80 && b->total.killed > 50);
		assert_true(b->total.failed_disk > 50 && b->total.moves > 50);
	}
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chain_db_is_what_the_best_branch_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
