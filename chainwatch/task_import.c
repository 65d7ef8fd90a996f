#include "chainwatch/source.h"
#include "chainwatch/store.h"
#include "chainwatch/task.h"
#include "core/registry.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/rand.h"
#include "wire/hex.h"
#include "wire/statefile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { HASHES = 500 /* asked for at once */ };

struct import {
	const struct task_world *world;
	struct store *store;
	struct registry *registry; /* owned */
	struct statefile file;
	/* Of the source, from a height on. */
	struct hash256 hashes[HASHES];
	uint32_t first;
	size_t count;
	size_t txs, blocks;
};

static bool refuse_file(const char *text)
{
	log_error("the file cannot be used: %s", text);
	return false;
}

static bool fits(const struct import *m)
{
	const struct task_world *world = m->world;
	const struct statefile *f = &m->file;
	struct store_tip tip;

	if (strcmp(f->chain, world->params->name) != 0 ||
	    memcmp(&f->genesis, &world->params->genesis, sizeof(f->genesis)) != 0 ||
	    f->op_node != world->params->op_node) {
		log_error("the file is of the chain %s, and this chainwatch follows %s, or another "
			  "profile of it: check chain and chain-file",
			  f->chain, world->params->name);
		return false;
	}
	if (f->birth_height != world->birth_height) {
		log_error("the file begins at height %u and this chainwatch at %u: set "
			  "birth-height = %u to use it",
			  f->birth_height, world->birth_height, f->birth_height);
		return false;
	}
	if (store_tip(m->store, &tip)) {
		log_error("%s has blocks up to height %u already: a file is read into an empty one "
			  "only; remove it, or give another db",
			  world->db, tip.height);
		return false;
	}
	return true;
}

static bool source_failed(const struct import *m)
{
	log_error("%s", m->world->source->ops->error(m->world->source));
	return false;
}

static bool knows_tip(const struct import *m)
{
	struct source *source = m->world->source;
	struct source_header header = {.active = false};
	char hash[HASH_TEXT_SIZE];
	struct hash256 best;
	int result = task_tip(m->world, &best);

	if (!result)
		result = source->ops->header(source, &m->file.hash, &header);
	if (result && result != -ENOENT)
		return source_failed(m);
	hash_format(&m->file.hash, hash);
	if (result)
		log_error("the chain node does not know block %s at height %u, where the file "
			  "ends: wait until it has come there, or the file is of another branch",
			  hash, m->file.height);
	else if (!header.active || header.height != m->file.height)
		log_error("block %s, where the file ends, is not on the best chain at height %u: "
			  "ask for a newer file",
			  hash, m->file.height);
	return !result && header.active && header.height == m->file.height;
}

/* NULL: logged. */
static const struct hash256 *hash_at(struct import *m, uint32_t height)
{
	struct source *source = m->world->source;

	if (height < m->first || height - m->first >= m->count) {
		m->first = height;
		m->count = 0;
		if (source->ops->hashes(source, height, HASHES, m->hashes, &m->count)) {
			source_failed(m);
			return NULL;
		}
		if (m->count == 0) {
			log_error("the chain node has no block at height %u any more: try again",
				  height);
			return NULL;
		}
	}
	return &m->hashes[height - m->first];
}

static bool read_block(struct import *m, struct statefile_block *block)
{
	const struct hash256 *hash = hash_at(m, block->height);
	const struct store_tip at = {
		.height = block->height, .hash = block->hash, .time = block->header.time};
	struct statefile_tx tx;
	int result = 0;

	if (!hash)
		return false;
	if (memcmp(hash, &block->hash, sizeof(*hash)) != 0) {
		log_error("the file has another block at height %u than the chain node",
			  block->height);
		return false;
	}
	store_stand_on(m->store, &at);
	while (!result && statefile_next_tx(&m->file, block, &tx)) {
		result = registry_apply_tx(m->registry, block->height, tx.index, &tx.tx,
					   store_sink(m->store));
		m->txs += tx.index > 0; /* the coinbase is there for its proof alone */
	}
	if (result)
		log_error("%s", result == -ENOMEM ? "out of memory" : store_error(m->store));
	/* nothing is taken back one by one here */
	registry_prune(m->registry, block->height);
	m->blocks++;
	return !result && m->file.reason == STATEFILE_OK;
}

static bool read_blocks(struct import *m)
{
	struct statefile_block block;

	while (statefile_next_block(&m->file, &block))
		if (!read_block(m, &block))
			break;
	if (m->file.reason != STATEFILE_OK)
		return refuse_file(statefile_reason_text(m->file.reason));
	return m->blocks == m->file.block_count;
}

/* Headers that can be undone: hashes of the source, times of the file. */
static bool keep_headers(struct import *m)
{
	const struct statefile *f = &m->file;
	uint32_t count = MIN(f->time_count, m->world->keep + 1);
	const struct hash256 *hash = NULL;

	for (uint32_t i = 0; i < count; i++) {
		struct store_tip block = {
			.height = f->height - count + 1 + i,
			.time = statefile_time(f, f->time_count - count + i),
		};

		hash = hash_at(m, block.height);
		if (!hash)
			return false;
		block.hash = *hash;
		if (store_add_block(m->store, &block)) {
			log_error("%s", store_error(m->store));
			return false;
		}
	}
	if (memcmp(hash, &f->hash, sizeof(f->hash)) == 0 && knows_tip(m))
		return true;
	log_error("the chain node changed its best chain meanwhile: try again");
	return false;
}

static bool fill(struct import *m)
{
	uint8_t seed[16];
	bool ok;

	rand_bytes(seed, sizeof(seed));
	if (registry_new(m->world->params->op_node, seed, &m->registry)) {
		log_error("out of memory");
		return false;
	}
	store_set_now(m->store, clock_wall_s());
	ok = store_begin(m->store) == 0;
	if (!ok)
		log_error("%s", store_error(m->store));
	ok = ok && read_blocks(m) && keep_headers(m);
	if (ok && store_end_import(m->store)) {
		log_error("%s", store_error(m->store));
		ok = false;
	}
	if (!ok)
		store_rollback(m->store);
	/* else chainwatch does it */
	while (ok && !store_is_indexed(m->store) && store_index(m->store, m->world->stop) == 0)
		;
	return ok;
}

int task_import(const struct task_world *world, struct store *store, const void *data, size_t len)
{
	struct import *m = xcalloc(1, sizeof(*m));
	bool ok;

	m->world = world;
	m->store = store;
	ok = statefile_open(&m->file, data, len) == STATEFILE_OK;
	if (!ok)
		refuse_file(statefile_reason_text(m->file.reason));
	ok = ok && fits(m) && task_check_network(world) && knows_tip(m) && fill(m);
	if (ok)
		printf("%s now has the state at height %u: %zu transactions of %zu blocks, each "
		       "in a block of the chain node's own chain.\nNothing in the file can show "
		       "that it leaves nothing out: chainwatch --verify can.\n",
		       world->db, m->file.height, m->txs, m->blocks);
	registry_free(m->registry);
	free(m);
	return ok ? TASK_DONE : TASK_FAILED;
}
