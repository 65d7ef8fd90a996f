#include "chainwatch/cover.h"

#include "os/base.h"
#include "os/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct cover {
	char *path;		  /* owned */
	struct store *store;	  /* owned; beside chain.db */
	struct chain *chain;	  /* owned; fills it */
	struct store *into;	  /* borrowed; chain.db */
	struct source *source;	  /* borrowed */
	struct light_follow *own; /* owned; those that it was made for */
	size_t own_count;
	uint32_t from;
	char doing[128];
};

char *cover_path(const char *db)
{
	char *path = NULL;

	return asprintf(&path, "%s-follow", db) < 0 ? NULL : path;
}

void cover_remove(const char *path)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
	char name[4096];

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if ((size_t)snprintf(name, sizeof(name), "%s%s", path, ends[i]) < sizeof(name))
			unlink(name);
}

void cover_free(struct cover *cover)
{
	if (!cover)
		return;
	if (cover->chain)
		cover->source->ops->watch(cover->source, SOURCE_READER_BESIDE, NULL, 0);
	chain_free(cover->chain);
	store_close(cover->store);
	free(cover->own);
	free(cover->path);
	free(cover);
}

/* Those of follows that a store has covered, or not, and that are not above a height. */
static int pick(struct cover *cover, struct store *store, bool covered,
		const struct light_follow *follows, size_t count, uint32_t height)
{
	uint32_t lowest;
	int result;

	cover->own_count = 0;
	cover->from = UINT32_MAX;
	for (size_t i = 0; i < count; i++) {
		result = store_find_uncovered(store, &follows[i], 1, &lowest);
		if (result)
			return result;
		if ((lowest == UINT32_MAX) != covered || follows[i].height > height)
			continue;
		cover->own[cover->own_count++] = follows[i];
		cover->from = MIN(cover->from, follows[i].height);
	}
	return 0;
}

static int open_store(struct cover *cover, const struct chain_config *config, uint32_t birth_height,
		      char error[static STORE_ERROR_MAX])
{
	const struct store_config wanted = {
		.path = cover->path,
		.chain = config->params.name,
		.genesis = config->params.genesis,
		.birth_height = birth_height,
		.keep = config->keep,
	};

	return store_open(&wanted, &cover->store, error);
}

/* Of a former run; false: there is none that is of use. */
static bool resume(struct cover *cover, const struct chain_config *config,
		   const struct light_follow *follows, size_t count)
{
	char error[STORE_ERROR_MAX];

	if (access(cover->path, F_OK) == 0 && open_store(cover, config, UINT32_MAX, error) == 0 &&
	    pick(cover, cover->store, true, follows, count, UINT32_MAX) == 0 &&
	    cover->own_count > 0)
		return true;
	store_close(cover->store);
	cover->store = NULL;
	cover_remove(cover->path);
	return false;
}

static int begin(struct cover *cover, const struct chain_config *config,
		 const struct light_follow *follows, size_t count, uint32_t height,
		 char error[static STORE_ERROR_MAX])
{
	int result = pick(cover, config->store, false, follows, count, height);

	if (result) {
		snprintf(error, STORE_ERROR_MAX, "%s", store_error(config->store));
		return result;
	}
	result = open_store(cover, config, cover->from, error);
	if (!result) {
		result = store_note_coverage(cover->store, cover->own, cover->own_count);
		if (result)
			snprintf(error, STORE_ERROR_MAX, "%s", store_error(cover->store));
	}
	return result;
}

int cover_note_ahead(const struct chain_config *config, const struct light_follow *follows,
		     size_t count, bool *ret_behind)
{
	struct store_tip tip = {.height = 0};
	bool behind = false;
	uint32_t height;
	int result = 0;

	store_tip(config->store, &tip);
	for (size_t i = 0; !result && i < count; i++) {
		result = store_find_uncovered(config->store, &follows[i], 1, &height);
		if (!result && height <= tip.height)
			behind = true;
		else if (!result && height < UINT32_MAX)
			result = store_note_coverage(config->store, &follows[i], 1);
	}
	if (!result && !behind && config->cover_path)
		cover_remove(config->cover_path);
	*ret_behind = behind || result;
	return result;
}

int cover_new(const struct chain_config *config, const struct light_follow *follows, size_t count,
	      struct cover **ret_cover, char ret_error[static STORE_ERROR_MAX])
{
	struct cover *cover = calloc(1, sizeof(*cover));
	struct chain_config beside = *config;
	struct store_tip tip = {.height = 0};
	int result = -ENOMEM;

	store_tip(config->store, &tip);
	snprintf(ret_error, STORE_ERROR_MAX, "out of memory");
	if (cover) {
		cover->into = config->store;
		cover->source = config->source;
		cover->path = strdup(config->cover_path);
		cover->own = calloc(count, sizeof(*cover->own));
	}
	if (cover && cover->path && cover->own)
		result = resume(cover, config, follows, count)
				 ? 0
				 : begin(cover, config, follows, count, tip.height, ret_error);
	if (!result) {
		beside.store = cover->store;
		beside.birth_height = MAX(cover->from, config->birth_height);
		beside.beside = true;
		beside.cover_path = NULL;
		beside.follow_count = 0;
		result = chain_new(&beside, &cover->chain, ret_error);
	}
	if (result) {
		cover_free(cover);
		return result;
	}
	log_notice("chain: blocks from %u on are read again for what is followed now",
		   beside.birth_height);
	*ret_cover = cover;
	return 0;
}

/* 1: both are at the same block, and chain.db has the rows. */
static int merge(struct cover *cover, const struct chain_report *report, char error[static 512])
{
	struct store_tip tip;
	int result;

	if (!report->has_tip || !store_tip(cover->into, &tip) || tip.height != report->tip.height ||
	    memcmp(&tip.hash, &report->tip.hash, sizeof(tip.hash)) != 0)
		return 0;
	result = store_merge(cover->into, cover->path, cover->own, cover->own_count);
	if (result) {
		snprintf(error, 512, "%s", store_error(cover->into));
		return result;
	}
	cover_remove(cover->path);
	log_notice("chain: what is followed now is in chain.db");
	return 1;
}

int cover_step(struct cover *cover, uint64_t budget_ms, struct chain_report *ret_report,
	       bool *ret_done)
{
	int result;

	chain_step(cover->chain, budget_ms, ret_report);
	if (ret_report->state == CHAIN_STOPPED)
		cover_remove(cover->path);
	if (ret_report->error[0])
		return -EAGAIN;
	snprintf(cover->doing, sizeof(cover->doing),
		 "reading what is followed since block %u again: at height %u of %u", cover->from,
		 ret_report->has_tip ? ret_report->tip.height : cover->from,
		 ret_report->source_height);
	result = merge(cover, ret_report, ret_report->error);
	*ret_done = result == 1;
	return MIN(result, 0);
}

const char *cover_doing(const struct cover *cover)
{
	return cover->doing;
}
