#include "core/headers.h"

#include "core/headers_rules.h"
#include "core/headers_tree.h"
#include "wire/buf.h"
#include "wire/tx.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
	PREV_AT = 4,
	TIME_AT = 68,
	BITS_AT = 72,
};

static_assert(crypto_shorthash_KEYBYTES == sizeof(((struct headers_config *)0)->seed), "seed");

const char *header_reason_text(enum header_reason reason)
{
	switch (reason) {
#define X(name, text)                                                                              \
	case name:                                                                                 \
		return text;
		HEADER_REASONS(X)
#undef X
	}
	return "unknown reason";
}

/* Whether this header's PoW is one of those that are looked at. */
static bool pow_wanted(const struct headers *h, uint32_t height, const struct hash256 *hash)
{
	const struct chainparams *p = &h->params;
	uint8_t pick[crypto_shorthash_BYTES];

	if (h->pow_every <= 1 || p->pow != CHAIN_POW_SCRYPT || !p->checkpoint_count ||
	    height > p->checkpoints[p->checkpoint_count - 1].height)
		return true;
	crypto_shorthash(pick, hash->bytes, sizeof(hash->bytes), h->seed);
	return load_u64(pick) % h->pow_every == 0;
}

/* own: from our own store. */
static int check(struct headers *h, const struct header_place *at, const uint8_t *raw,
		 const struct hash256 *hash, uint32_t now, bool own, enum header_reason *reason)
{
	struct header_line line = headers_tree_line(h, at);
	uint32_t fork = at->branch ? at->branch->fork : at->height;
	struct hash256 pow;

	*reason = HEADER_FORK;
	if (fork < headers_tree_checkpoint(h))
		return 0;
	*reason = header_check(&h->params, &line, raw, hash, own ? 0 : now, &h->memo);
	if (*reason != HEADER_OK)
		return 0;
	if (own ? h->params.pow == CHAIN_POW_SCRYPT : !pow_wanted(h, at->height + 1, hash))
		return 0;
	if (header_pow_hash(h->params.pow, raw, hash, &pow) < 0)
		return -ENOMEM;
	if (!header_pow_ok(&h->memo, load_u32(raw + BITS_AT), &pow))
		*reason = HEADER_POW;
	return 0;
}

/* Where the first header goes: *ret is its parent; or itself when it is held and its parent is
 * not, as it is with the genesis. */
static bool find_start(const struct headers *h, const uint8_t *raw, const struct hash256 *hash,
		       struct header_place *ret, bool *ret_known)
{
	struct hash256 prev;

	memcpy(prev.bytes, raw + PREV_AT, HASH_LEN);
	*ret_known = false;
	if (headers_tree_find(h, &prev, ret))
		return true;
	*ret_known = !memcmp(hash, &h->params.genesis, sizeof(*hash));
	*ret = (struct header_place){NULL, 0};
	return *ret_known;
}

struct run {
	struct headers *h;
	struct headers_added *ret;
	struct header_place at; /* of the last header */
	uint32_t now;
	bool own;
};

/* One header behind run->at. 0 with ret->reason, or -ENOMEM. */
static int take(struct run *run, const uint8_t *raw, const struct hash256 *hash)
{
	struct headers_added *ret = run->ret;
	struct header_entry entry = {*hash, load_u32(raw + TIME_AT), load_u32(raw + BITS_AT)};
	struct headers *h = run->h;
	struct header_place child;
	int r;

	if (!(run->at.branch == NULL && run->at.height == h->count - 1) &&
	    headers_tree_find_child(h, &run->at, hash, &child)) {
		run->at = child;
		ret->known++;
		return 0;
	}
	r = check(h, &run->at, raw, hash, run->now, run->own, &ret->reason);
	if (r == 0 && ret->reason == HEADER_OK)
		r = headers_tree_append(h, &run->at, &entry, &ret->fork, &ret->reason);
	if (r == 0 && ret->reason == HEADER_OK)
		ret->accepted++;
	return r;
}

static int add(struct run *run, const uint8_t *raw, size_t stride, size_t count)
{
	struct headers_added *ret = run->ret;
	struct hash256 hash, last = {{0}};
	bool known, linked;
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++, raw += stride) {
		block_hash(raw, &hash);
		if (!i) {
			if (!find_start(run->h, raw, &hash, &run->at, &known)) {
				ret->reason = HEADER_ORPHAN;
				return 0;
			}
			ret->known += known;
		} else {
			known = false;
			linked = !memcmp(raw + PREV_AT, &last, HASH_LEN);
			if (!linked) {
				ret->reason = HEADER_UNLINKED;
				return 0;
			}
		}
		if (!known)
			r = take(run, raw, &hash);
		if (r < 0 || ret->reason != HEADER_OK)
			return r;
		last = hash;
		ret->last = hash;
		ret->last_height = run->at.height;
		ret->last_active = !run->at.branch;
	}
	return r;
}

static int add_all(struct headers *h, const uint8_t *raw, size_t stride, size_t count, uint32_t now,
		   bool own, struct headers_added *ret)
{
	struct hash256 tip = headers_tip(h), after;
	struct run run = {.h = h, .ret = ret, .now = now, .own = own};
	int r;

	assert(stride >= BLOCK_HEADER_LEN);
	memset(ret, 0, sizeof(*ret));
	ret->fork = h->count - 1;
	r = add(&run, raw, stride, count);
	after = headers_tip(h);
	ret->moved = memcmp(&tip, &after, sizeof(tip)) != 0;
	h->refused[ret->reason]++;
	return r;
}

int headers_add(struct headers *h, const uint8_t *raw, size_t stride, size_t count, uint32_t now,
		struct headers_added *ret)
{
	return add_all(h, raw, stride, count, now, false, ret);
}

int headers_restore(struct headers *h, const uint8_t *raw, size_t stride, size_t count,
		    struct headers_added *ret)
{
	return add_all(h, raw, stride, count, 0, true, ret);
}

static bool params_ok(const struct chainparams *p)
{
	struct hash256 hash;
	struct u256 target;

	block_hash(p->genesis_header, &hash);
	return memcmp(&hash, &p->genesis, sizeof(hash)) == 0 && p->spacing &&
	       p->timespan / p->spacing >= 1 && !u256_is_zero(&p->pow_limit) &&
	       u256_from_compact(load_u32(p->genesis_header + BITS_AT), &target);
}

int headers_new(const struct headers_config *config, struct headers **ret)
{
	struct header_entry genesis = {.hash = config->params->genesis};
	struct headers *h;

	if (!params_ok(config->params))
		return -EINVAL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->params = *config->params;
	h->pow_every = config->pow_every;
	memcpy(h->seed, config->seed, sizeof(h->seed));
	if (headers_tree_reserve(h, 1) < 0) {
		headers_free(h);
		return -ENOMEM;
	}
	genesis.time = load_u32(h->params.genesis_header + TIME_AT);
	genesis.bits = load_u32(h->params.genesis_header + BITS_AT);
	headers_tree_push(h, &genesis);
	*ret = h;
	return 0;
}

void headers_free(struct headers *h)
{
	if (!h)
		return;
	headers_tree_done(h);
	free(h);
}

uint32_t headers_height(const struct headers *h)
{
	return h->count - 1;
}

struct hash256 headers_tip(const struct headers *h)
{
	return h->main[h->count - 1].hash;
}

bool headers_at(const struct headers *h, uint32_t height, struct headers_block *ret)
{
	if (height >= h->count)
		return false;
	*ret = (struct headers_block){h->main[height].hash, h->main[height].time,
				      h->main[height].bits};
	return true;
}

uint32_t headers_median_time(const struct headers *h, uint32_t height)
{
	const struct header_place at = {NULL, height};
	struct header_line line = headers_tree_line(h, &at);

	return height < h->count ? header_median_time(&line, height) : 0;
}

struct u256 headers_work(const struct headers *h)
{
	return h->work;
}

bool headers_enough_work(const struct headers *h)
{
	const struct chainparams *p = &h->params;

	if (p->checkpoint_count && p->checkpoints[p->checkpoint_count - 1].height >= h->count)
		return false;
	return u256_compare(&h->work, &p->min_work) >= 0;
}

bool headers_find(const struct headers *h, const struct hash256 *hash, struct headers_place *ret)
{
	struct header_place at;

	if (!headers_tree_find(h, hash, &at))
		return false;
	ret->height = at.height;
	ret->active = !at.branch;
	ret->fork = at.branch ? at.branch->fork : at.height;
	return true;
}

bool headers_fork(const struct headers *h, const struct hash256 *a, const struct hash256 *b,
		  uint32_t *ret_height, struct hash256 *ret_hash)
{
	struct header_place one, two;
	uint32_t height;

	if (!headers_tree_find(h, a, &one) || !headers_tree_find(h, b, &two))
		return false;
	height = one.height < two.height ? one.height : two.height;
	one.height = two.height = height;
	/* what is on the best chain has no branch */
	for (;; one.height--, two.height--) {
		if (!memcmp(&headers_tree_entry(h, &one)->hash, &headers_tree_entry(h, &two)->hash,
			    HASH_LEN))
			break;
	}
	*ret_height = one.height;
	*ret_hash = headers_tree_entry(h, &one)->hash;
	return true;
}

size_t headers_locator(const struct headers *h, struct hash256 ret[static HEADERS_LOCATOR_MAX])
{
	uint32_t height = h->count - 1, step = 1;
	size_t count = 0;

	/* ten in a row, then twice as far each time: 10 + 23 for HEADERS_MAX */
	for (; height && count<HEADERS_LOCATOR_MAX - 1; height = height> step ? height - step : 0) {
		ret[count++] = h->main[height].hash;
		if (count >= 10)
			step *= 2;
	}
	ret[count++] = h->main[0].hash;
	return count;
}

void headers_counts(const struct headers *h, struct headers_counts *ret)
{
	ret->active = h->count;
	ret->side = h->side;
	ret->branches = h->branch_count;
	ret->dropped = h->dropped;
	memcpy(ret->refused, h->refused, sizeof(h->refused));
}
