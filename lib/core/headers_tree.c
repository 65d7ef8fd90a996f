#include "core/headers_tree.h"

#include "wire/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	MARK_EVERY = 1024, /* heights whose work is kept */
	MAIN_FIRST = 4096,
	BRANCH_FIRST = 16,
};

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

int headers_tree_reserve(struct headers *h, uint32_t count)
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

void headers_tree_push(struct headers *h, const struct header_entry *entry)
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

static void branch_free(struct headers_branch *b)
{
	if (!b)
		return;
	free(b->entries);
	free(b);
}

static int branch_reserve(struct headers_branch *b, uint32_t count)
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
static struct headers_branch *branch_new(uint32_t fork, uint32_t room)
{
	struct headers_branch *b = calloc(1, sizeof(*b));

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
	struct headers_branch *b = h->branches[i];

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
		      const struct headers_branch *keep)
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

struct header_line headers_tree_line(const struct headers *h, const struct header_place *at)
{
	struct header_line line = {h->main, NULL, at->height, at->height};

	if (at->branch) {
		line.side = at->branch->entries;
		line.fork = at->branch->fork;
	}
	return line;
}

const struct header_entry *headers_tree_entry(const struct headers *h,
					      const struct header_place *at)
{
	struct header_line line = headers_tree_line(h, at);

	return header_line_at(&line, at->height);
}

static bool find_side(const struct headers *h, const struct hash256 *hash, struct header_place *ret)
{
	for (uint32_t i = 0; i < h->branch_count; i++) {
		const struct headers_branch *b = h->branches[i];

		/* from the end: that is where one goes on */
		for (uint32_t k = b->count; k-- > 0;) {
			if (memcmp(&b->entries[k].hash, hash, sizeof(*hash)) != 0)
				continue;
			*ret = (struct header_place){h->branches[i], b->fork + 1 + k};
			return true;
		}
	}
	return false;
}

bool headers_tree_find(const struct headers *h, const struct hash256 *hash,
		       struct header_place *ret)
{
	uint32_t slot;

	if (!index_get(h, hash, &slot))
		return find_side(h, hash, ret);
	*ret = (struct header_place){NULL, h->index[slot] - 1};
	return true;
}

bool headers_tree_find_child(const struct headers *h, const struct header_place *at,
			     const struct hash256 *hash, struct header_place *ret)
{
	uint32_t height = at->height + 1;

	if (!at->branch && height < h->count && !memcmp(&h->main[height].hash, hash, HASH_LEN)) {
		*ret = (struct header_place){NULL, height};
		return true;
	}
	for (uint32_t i = 0; i < h->branch_count; i++) {
		const struct headers_branch *b = h->branches[i];

		/* Equal hashes have equal ancestors: the parent needs no look. */
		if (height <= b->fork || height > b->fork + b->count ||
		    memcmp(&b->entries[height - b->fork - 1].hash, hash, HASH_LEN) != 0)
			continue;
		*ret = (struct header_place){h->branches[i], height};
		return true;
	}
	return false;
}

uint32_t headers_tree_checkpoint(const struct headers *h)
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
static struct headers_branch *take_old(struct headers *h, uint32_t fork)
{
	uint32_t count = h->count - 1 - fork;
	struct headers_branch *old;

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
		struct headers_branch *b = h->branches[i];
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
		struct headers_branch *b = h->branches[i];
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
static int activate(struct headers *h, struct headers_branch *branch)
{
	uint32_t fork = branch->fork, checkpoint = headers_tree_checkpoint(h), i = 0;
	struct headers_branch *old;

	if (headers_tree_reserve(h, fork + 1 + branch->count) < 0)
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
		headers_tree_push(h, &branch->entries[k]);
	branch_free(branch);
	trim(h);
	if (old) {
		make_room(h, old->count, HEADERS_BRANCHES_MAX - 1, NULL);
		h->branches[h->branch_count++] = old;
		h->side += old->count;
	}
	if (headers_tree_checkpoint(h) != checkpoint)
		drop_below(h, headers_tree_checkpoint(h));
	return 0;
}

static int extend_main(struct headers *h, const struct header_entry *entry)
{
	uint32_t checkpoint = headers_tree_checkpoint(h);

	if (headers_tree_reserve(h, h->count + 1) < 0)
		return -ENOMEM;
	headers_tree_push(h, entry);
	if (headers_tree_checkpoint(h) != checkpoint)
		drop_below(h, headers_tree_checkpoint(h));
	return 0;
}

/* A branch that ends with at, which has other children. NULL without memory. */
static struct headers_branch *branch_off(struct headers *h, const struct header_place *at)
{
	uint32_t fork = at->branch ? at->branch->fork : at->height, count = at->height - fork;
	struct headers_branch *b = branch_new(fork, count + 1);

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

int headers_tree_append(struct headers *h, struct header_place *at,
			const struct header_entry *entry, uint32_t *fork,
			enum header_reason *reason)
{
	struct headers_branch *b = at->branch;
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

void headers_tree_done(struct headers *h)
{
	for (uint32_t i = 0; i < h->branch_count; i++)
		branch_free(h->branches[i]);
	free(h->main);
	free(h->marks);
	free(h->index);
}
