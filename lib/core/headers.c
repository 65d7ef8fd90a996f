#include "core/headers.h"

#include "core/headers_rules.h"
#include "wire/buf.h"
#include "wire/tx.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
	MARK_EVERY = 1024, /* heights whose work is kept */
	MAIN_FIRST = 4096,
	BRANCH_FIRST = 16,
	PREV_AT = 4,
	TIME_AT = 68,
	BITS_AT = 72,
};

/* Headers beside the best chain. */
struct branch {
	struct header_entry *entries; /* from fork + 1 on */
	struct u256 work;	      /* of the whole chain up to the last of them */
	uint32_t fork;		      /* height on the best chain of the parent of the first */
	uint32_t count;
	uint32_t cap;
};

struct headers {
	struct chainparams params;
	struct header_entry *main; /* the best chain, by height */
	struct u256 *marks;	   /* work up to height i * MARK_EVERY */
	uint32_t *index;	   /* height + 1 by hash, open addressing; 0: free */
	uint32_t count;		   /* at least 1 */
	uint32_t cap;
	uint32_t index_mask;
	struct u256 work;
	struct branch *branches[HEADERS_BRANCHES_MAX]; /* owned */
	uint32_t branch_count;
	uint32_t side;	    /* headers in all branches */
	uint32_t pow_every; /* as configured; 1: of each */
	uint8_t seed[crypto_shorthash_KEYBYTES];
	struct header_memo memo;
	uint64_t dropped;
	uint64_t refused[HEADER_FULL + 1];
};

static_assert(crypto_shorthash_KEYBYTES == sizeof(((struct headers_config *)0)->seed), "seed");

/* A header that is held: on a branch, or on the best chain. */
struct place {
	struct branch *branch; /* NULL: the best chain; borrowed */
	uint32_t height;
};

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

static uint32_t slot_of(const struct headers *h, const struct hash256 *hash)
{
	/* Hashes of headers are random but for their last bytes. */
	return (uint32_t)(load_u64(hash->bytes) ^ load_u64(h->seed)) & h->index_mask;
}

static void index_put(struct headers *h, uint32_t height)
{
	uint32_t i = slot_of(h, &h->main[height].hash);

	while (h->index[i])
		i = (i + 1) & h->index_mask;
	h->index[i] = height + 1;
}

static bool index_get(const struct headers *h, const struct hash256 *hash, uint32_t *ret_slot)
{
	uint32_t i = slot_of(h, hash);

	for (; h->index[i]; i = (i + 1) & h->index_mask) {
		if (memcmp(&h->main[h->index[i] - 1].hash, hash, sizeof(*hash)) == 0) {
			*ret_slot = i;
			return true;
		}
	}
	return false;
}

/* Entries behind the freed slot move up, so that no walk ends too soon. */
static void index_remove(struct headers *h, uint32_t height)
{
	uint32_t gap = 0, i;

	if (!index_get(h, &h->main[height].hash, &gap))
		return;
	for (i = (gap + 1) & h->index_mask; h->index[i]; i = (i + 1) & h->index_mask) {
		uint32_t home = slot_of(h, &h->main[h->index[i] - 1].hash);

		if (((i - home) & h->index_mask) < ((i - gap) & h->index_mask))
			continue;
		h->index[gap] = h->index[i];
		gap = i;
	}
	h->index[gap] = 0;
}

static int reserve_index(struct headers *h, uint32_t count)
{
	uint64_t slots = MAIN_FIRST;
	uint32_t *index;

	while (slots / 4 * 3 < count)
		slots *= 2;
	if (h->index && slots <= (uint64_t)h->index_mask + 1)
		return 0;
	index = calloc(slots, sizeof(*index));
	if (!index)
		return -ENOMEM;
	free(h->index);
	h->index = index;
	h->index_mask = (uint32_t)slots - 1;
	for (uint32_t i = 0; i < h->count; i++)
		index_put(h, i);
	return 0;
}

/* Room for a best chain of count headers. */
static int reserve_main(struct headers *h, uint32_t count)
{
	struct header_entry *main;
	struct u256 *marks;
	uint32_t cap = h->cap ? h->cap : MAIN_FIRST;

	if (count > h->cap) {
		while (cap < count)
			cap += cap / 2;
		main = reallocarray(h->main, cap, sizeof(*main));
		if (!main)
			return -ENOMEM;
		h->main = main;
		marks = reallocarray(h->marks, cap / MARK_EVERY + 1, sizeof(*marks));
		if (!marks)
			return -ENOMEM;
		h->marks = marks;
		h->cap = cap;
	}
	return reserve_index(h, count);
}

/* There is room. */
static void push_main(struct headers *h, const struct header_entry *entry)
{
	uint32_t height = h->count++;

	h->main[height] = *entry;
	index_put(h, height);
	h->work = u256_add(&h->work, header_work(&h->memo, entry->bits));
	if (height % MARK_EVERY == 0)
		h->marks[height / MARK_EVERY] = h->work;
}

/* Of the best chain up to height. */
static struct u256 work_at(struct headers *h, uint32_t height)
{
	struct u256 work = h->marks[height / MARK_EVERY];

	for (uint32_t i = height / MARK_EVERY * MARK_EVERY + 1; i <= height; i++)
		work = u256_add(&work, header_work(&h->memo, h->main[i].bits));
	return work;
}

static void branch_free(struct branch *b)
{
	if (!b)
		return;
	free(b->entries);
	free(b);
}

static int branch_reserve(struct branch *b, uint32_t count)
{
	uint32_t cap = b->cap ? b->cap : BRANCH_FIRST;
	struct header_entry *entries;

	if (count <= b->cap)
		return 0;
	while (cap < count)
		cap *= 2;
	entries = reallocarray(b->entries, cap, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	b->entries = entries;
	b->cap = cap;
	return 0;
}

/* One of no branch list yet; NULL without memory. */
static struct branch *branch_new(uint32_t fork, uint32_t room)
{
	struct branch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->fork = fork;
	if (branch_reserve(b, room) < 0) {
		branch_free(b);
		return NULL;
	}
	return b;
}

static void forget(struct headers *h, uint32_t i)
{
	struct branch *b = h->branches[i];

	h->side -= b->count;
	h->branches[i] = h->branches[--h->branch_count];
	branch_free(b);
}

static void drop(struct headers *h, uint32_t i)
{
	h->dropped += h->branches[i]->count;
	forget(h, i);
}

/* Room for `more` headers in at most `branches` branches: the branches with the least work go, but
 * not keep. False: there is none left to go. */
static bool make_room(struct headers *h, uint32_t more, uint32_t branches,
		      const struct branch *keep)
{
	while (h->side + more > HEADERS_SIDE_MAX || h->branch_count > branches) {
		uint32_t least = h->branch_count;

		for (uint32_t i = 0; i < h->branch_count; i++) {
			if (h->branches[i] == keep)
				continue;
			if (least == h->branch_count ||
			    u256_compare(&h->branches[i]->work, &h->branches[least]->work) < 0)
				least = i;
		}
		if (least == h->branch_count)
			return false;
		drop(h, least);
	}
	return true;
}

static struct header_line line_to(const struct headers *h, const struct place *at)
{
	struct header_line line = {h->main, NULL, at->height, at->height};

	if (at->branch) {
		line.side = at->branch->entries;
		line.fork = at->branch->fork;
	}
	return line;
}

static const struct header_entry *entry_at(const struct headers *h, const struct place *at)
{
	struct header_line line = line_to(h, at);

	return header_line_at(&line, at->height);
}

static bool find_side(const struct headers *h, const struct hash256 *hash, struct place *ret)
{
	for (uint32_t i = 0; i < h->branch_count; i++) {
		const struct branch *b = h->branches[i];

		/* from the end: that is where one goes on */
		for (uint32_t k = b->count; k-- > 0;) {
			if (memcmp(&b->entries[k].hash, hash, sizeof(*hash)) != 0)
				continue;
			*ret = (struct place){h->branches[i], b->fork + 1 + k};
			return true;
		}
	}
	return false;
}

static bool find(const struct headers *h, const struct hash256 *hash, struct place *ret)
{
	uint32_t slot;

	if (!index_get(h, hash, &slot))
		return find_side(h, hash, ret);
	*ret = (struct place){NULL, h->index[slot] - 1};
	return true;
}

/* The child of `at` with that hash, if it is held. */
static bool find_child(const struct headers *h, const struct place *at, const struct hash256 *hash,
		       struct place *ret)
{
	uint32_t height = at->height + 1;

	if (!at->branch && height < h->count && !memcmp(&h->main[height].hash, hash, HASH_LEN)) {
		*ret = (struct place){NULL, height};
		return true;
	}
	for (uint32_t i = 0; i < h->branch_count; i++) {
		const struct branch *b = h->branches[i];

		/* Equal hashes have equal ancestors: the parent needs no look. */
		if (height <= b->fork || height > b->fork + b->count ||
		    memcmp(&b->entries[height - b->fork - 1].hash, hash, HASH_LEN) != 0)
			continue;
		*ret = (struct place){h->branches[i], height};
		return true;
	}
	return false;
}

/* Height of the last of the profile's checkpoints that the best chain has; 0: none. */
static uint32_t last_checkpoint(const struct headers *h)
{
	for (uint32_t i = h->params.checkpoint_count; i-- > 0;)
		if (h->params.checkpoints[i].height < h->count)
			return h->params.checkpoints[i].height;
	return 0;
}

/* Nothing leaves the chain below a checkpoint, so what has is of no use. */
static void drop_below(struct headers *h, uint32_t height)
{
	for (uint32_t i = h->branch_count; i-- > 0;)
		if (h->branches[i]->fork < height)
			drop(h, i);
}

/* The branch with what was the best chain above fork; NULL when there is nothing, or too much. */
static struct branch *take_old(struct headers *h, uint32_t fork)
{
	uint32_t count = h->count - 1 - fork;
	struct branch *old;

	if (!count || count > HEADERS_SIDE_MAX / 2)
		return NULL;
	old = branch_new(fork, count);
	if (!old)
		return NULL;
	memcpy(old->entries, h->main + fork + 1, count * sizeof(*old->entries));
	old->count = count;
	old->work = h->work;
	return old;
}

/* Branches that left the old part of the best chain begin where that does. */
static void reroot(struct headers *h, uint32_t fork)
{
	for (uint32_t i = h->branch_count; i-- > 0;) {
		struct branch *b = h->branches[i];
		uint32_t more = b->fork > fork ? b->fork - fork : 0;

		if (!more)
			continue;
		if (h->side + more > HEADERS_SIDE_MAX || branch_reserve(b, b->count + more) < 0) {
			drop(h, i);
			continue;
		}
		memmove(b->entries + more, b->entries, b->count * sizeof(*b->entries));
		memcpy(b->entries, h->main + fork + 1, more * sizeof(*b->entries));
		b->count += more;
		b->fork = fork;
		h->side += more;
	}
}

/* What branches begin with in common with the best chain is of that. */
static void trim(struct headers *h)
{
	for (uint32_t i = h->branch_count; i-- > 0;) {
		struct branch *b = h->branches[i];
		uint32_t same = 0;

		while (same < b->count && b->fork + 1 + same < h->count &&
		       !memcmp(&b->entries[same].hash, &h->main[b->fork + 1 + same].hash, HASH_LEN))
			same++;
		memmove(b->entries, b->entries + same, (b->count - same) * sizeof(*b->entries));
		b->fork += same;
		b->count -= same;
		h->side -= same;
		if (!b->count)
			forget(h, i);
	}
}

/* The best chain from now on is the one that ends with branch. 0, or -ENOMEM with nothing
 * changed. */
static int activate(struct headers *h, struct branch *branch)
{
	uint32_t fork = branch->fork, checkpoint = last_checkpoint(h), i = 0;
	struct branch *old;

	if (reserve_main(h, fork + 1 + branch->count) < 0)
		return -ENOMEM;
	old = take_old(h, fork);
	while (h->branches[i] != branch)
		i++;
	h->branches[i] = h->branches[--h->branch_count];
	h->side -= branch->count;
	reroot(h, fork);
	h->work = work_at(h, fork);
	while (h->count > fork + 1) {
		index_remove(h, h->count - 1);
		h->count--;
	}
	for (uint32_t k = 0; k < branch->count; k++)
		push_main(h, &branch->entries[k]);
	branch_free(branch);
	trim(h);
	if (old) {
		make_room(h, old->count, HEADERS_BRANCHES_MAX - 1, NULL);
		h->branches[h->branch_count++] = old;
		h->side += old->count;
	}
	if (last_checkpoint(h) != checkpoint)
		drop_below(h, last_checkpoint(h));
	return 0;
}

static int extend_main(struct headers *h, const struct header_entry *entry)
{
	uint32_t checkpoint = last_checkpoint(h);

	if (reserve_main(h, h->count + 1) < 0)
		return -ENOMEM;
	push_main(h, entry);
	if (last_checkpoint(h) != checkpoint)
		drop_below(h, last_checkpoint(h));
	return 0;
}

/* A branch that ends with at, which has other children. NULL without memory. */
static struct branch *branch_off(struct headers *h, const struct place *at)
{
	uint32_t fork = at->branch ? at->branch->fork : at->height, count = at->height - fork;
	struct branch *b = branch_new(fork, count + 1);

	if (!b)
		return NULL;
	b->work = work_at(h, fork);
	for (uint32_t i = 0; i < count; i++) {
		b->entries[i] = at->branch->entries[i];
		b->work = u256_add(&b->work, header_work(&h->memo, b->entries[i].bits));
	}
	b->count = count;
	h->branches[h->branch_count++] = b;
	h->side += count;
	return b;
}

/* A header that was checked, behind *at, which moves to it. 0 with a reason, or -ENOMEM. */
static int append(struct headers *h, struct place *at, const struct header_entry *entry,
		  uint32_t *fork, enum header_reason *reason)
{
	struct branch *b = at->branch;
	uint32_t copied;

	*reason = HEADER_OK;
	if (at->height + 1 >= HEADERS_MAX) {
		*reason = HEADER_FULL;
		return 0;
	}
	if (!b && at->height == h->count - 1) {
		at->height++;
		return extend_main(h, entry);
	}
	if (!b || at->height != b->fork + b->count) {
		copied = b ? at->height - b->fork : 0;
		if (!make_room(h, copied + 1, HEADERS_BRANCHES_MAX - 1, b)) {
			*reason = HEADER_FULL;
			return 0;
		}
		b = branch_off(h, at);
		if (!b)
			return -ENOMEM;
		at->branch = b;
	} else if (!make_room(h, 1, HEADERS_BRANCHES_MAX, b)) {
		*reason = HEADER_FULL;
		return 0;
	}
	if (branch_reserve(b, b->count + 1) < 0)
		return -ENOMEM;
	b->entries[b->count++] = *entry;
	b->work = u256_add(&b->work, header_work(&h->memo, entry->bits));
	h->side++;
	at->height++;
	if (u256_compare(&b->work, &h->work) <= 0)
		return 0;
	if (b->fork < *fork)
		*fork = b->fork;
	at->branch = NULL;
	return activate(h, b);
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
static int check(struct headers *h, const struct place *at, const uint8_t *raw,
		 const struct hash256 *hash, uint32_t now, bool own, enum header_reason *reason)
{
	struct header_line line = line_to(h, at);
	uint32_t fork = at->branch ? at->branch->fork : at->height;
	struct hash256 pow;

	*reason = HEADER_FORK;
	if (fork < last_checkpoint(h))
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
		       struct place *ret, bool *ret_known)
{
	struct hash256 prev;

	memcpy(prev.bytes, raw + PREV_AT, HASH_LEN);
	*ret_known = false;
	if (find(h, &prev, ret))
		return true;
	*ret_known = !memcmp(hash, &h->params.genesis, sizeof(*hash));
	*ret = (struct place){NULL, 0};
	return *ret_known;
}

struct run {
	struct headers *h;
	struct headers_added *ret;
	struct place at; /* of the last header */
	uint32_t now;
	bool own;
};

/* One header behind run->at. 0 with ret->reason, or -ENOMEM. */
static int take(struct run *run, const uint8_t *raw, const struct hash256 *hash)
{
	struct headers_added *ret = run->ret;
	struct header_entry entry = {*hash, load_u32(raw + TIME_AT), load_u32(raw + BITS_AT)};
	struct headers *h = run->h;
	struct place child;
	int r;

	if (!(run->at.branch == NULL && run->at.height == h->count - 1) &&
	    find_child(h, &run->at, hash, &child)) {
		run->at = child;
		ret->known++;
		return 0;
	}
	r = check(h, &run->at, raw, hash, run->now, run->own, &ret->reason);
	if (r == 0 && ret->reason == HEADER_OK)
		r = append(h, &run->at, &entry, &ret->fork, &ret->reason);
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
	if (reserve_main(h, 1) < 0) {
		headers_free(h);
		return -ENOMEM;
	}
	genesis.time = load_u32(h->params.genesis_header + TIME_AT);
	genesis.bits = load_u32(h->params.genesis_header + BITS_AT);
	push_main(h, &genesis);
	*ret = h;
	return 0;
}

void headers_free(struct headers *h)
{
	if (!h)
		return;
	for (uint32_t i = 0; i < h->branch_count; i++)
		branch_free(h->branches[i]);
	free(h->main);
	free(h->marks);
	free(h->index);
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
	const struct place at = {NULL, height};
	struct header_line line = line_to(h, &at);

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
	struct place at;

	if (!find(h, hash, &at))
		return false;
	ret->height = at.height;
	ret->active = !at.branch;
	ret->fork = at.branch ? at.branch->fork : at.height;
	return true;
}

bool headers_fork(const struct headers *h, const struct hash256 *a, const struct hash256 *b,
		  uint32_t *ret_height, struct hash256 *ret_hash)
{
	struct place one, two;
	uint32_t height;

	if (!find(h, a, &one) || !find(h, b, &two))
		return false;
	height = one.height < two.height ? one.height : two.height;
	one.height = two.height = height;
	/* what is on the best chain has no branch */
	for (;; one.height--, two.height--) {
		if (!memcmp(&entry_at(h, &one)->hash, &entry_at(h, &two)->hash, HASH_LEN))
			break;
	}
	*ret_height = one.height;
	*ret_hash = entry_at(h, &one)->hash;
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
