#include "chainwatch/blockindex.h"

#include "os/base.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	CHUNK_BITS = 14, /* entries that are allocated at once: 1 MiB, nothing is ever moved */
	CHUNK = 1 << CHUNK_BITS,
	SLOTS_MIN = 1 << 15,
	NO_WAY = UINT32_MAX - 1, /* as a height, within one link: known to lead to no root */
};

static_assert(sizeof(struct blockindex_entry) == 64, "a million of them has to be small");

struct blockindex {
	struct blockindex_entry **chunks; /* owned, each */
	uint32_t count;			  /* entries */
	uint32_t blocks;		  /* of them there */
	uint32_t *slots; /* owned; open addressing: entry + 1, 0: free; at most half full */
	uint32_t slots_count;
	uint32_t tip;	 /* best of those that are linked */
	bool linked;	 /* nothing that is there waits for blockindex_link() */
	uint32_t *chain; /* owned; entry at height base + i; up to chain_tip */
	uint32_t base, chain_len, chain_size;
	uint32_t chain_tip;
};

double block_work(uint32_t bits)
{
	uint32_t mantissa = bits & 0x7fffff;
	int exponent = (int)(bits >> 24);
	double work;

	if (!mantissa || bits & 0x800000 || exponent > 32)
		return 0;
	/* 2^256 / (mantissa * 256^(exponent - 3)) */
	work = 1.0 / mantissa;
	for (; exponent < 32 + 3; exponent++)
		work *= 256;
	return work;
}

static struct blockindex_entry *entry_at(const struct blockindex *x, uint32_t number)
{
	return &x->chunks[number >> CHUNK_BITS][number & (CHUNK - 1)];
}

/* The slot of the hash, or the free one where it belongs. A block's id begins with bytes that work
 * does not bend. */
static uint32_t *slot_of(const struct blockindex *x, const struct hash256 *hash)
{
	uint32_t at = (uint32_t)load_u64(hash->bytes);

	for (;; at++) {
		uint32_t *slot = &x->slots[at & (x->slots_count - 1)];

		if (!*slot || memcmp(&entry_at(x, *slot - 1)->hash, hash, sizeof(*hash)) == 0)
			return slot;
	}
}

static int grow_slots(struct blockindex *x)
{
	uint32_t *old = x->slots, old_count = x->slots_count;
	uint32_t *slots = calloc(2 * (size_t)old_count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	x->slots = slots;
	x->slots_count = 2 * old_count;
	for (uint32_t i = 0; i < old_count; i++)
		if (old[i])
			*slot_of(x, &entry_at(x, old[i] - 1)->hash) = old[i];
	free(old);
	return 0;
}

/* The number of the hash's entry, which is made when there is none. */
static int take(struct blockindex *x, const struct hash256 *hash, uint32_t *ret_number)
{
	struct blockindex_entry **chunks, *entry;
	uint32_t *slot = slot_of(x, hash);

	if (*slot) {
		*ret_number = *slot - 1;
		return 0;
	}
	if (2 * (x->count + 1) > x->slots_count) {
		if (grow_slots(x))
			return -ENOMEM;
		slot = slot_of(x, hash);
	}
	if ((x->count & (CHUNK - 1)) == 0) {
		uint32_t number = x->count >> CHUNK_BITS;

		chunks = realloc(x->chunks, (number + 1) * sizeof(*chunks));
		if (!chunks)
			return -ENOMEM;
		x->chunks = chunks;
		chunks[number] = malloc(CHUNK * sizeof(**chunks));
		if (!chunks[number])
			return -ENOMEM;
	}
	*ret_number = x->count++;
	*slot = x->count;
	entry = entry_at(x, *ret_number);
	*entry = (struct blockindex_entry){
		.hash = *hash, .parent = BLOCKINDEX_NONE, .height = BLOCKINDEX_NONE};
	return 0;
}

int blockindex_new(const struct hash256 *genesis, struct blockindex **ret_index)
{
	struct blockindex *x = calloc(1, sizeof(*x));
	uint32_t number;

	if (!x)
		return -ENOMEM;
	x->tip = x->chain_tip = BLOCKINDEX_NONE;
	x->linked = true;
	x->slots_count = SLOTS_MIN;
	x->slots = calloc(x->slots_count, sizeof(*x->slots));
	if (!x->slots || take(x, genesis, &number)) {
		blockindex_free(x);
		return -ENOMEM;
	}
	entry_at(x, number)->height = 0;
	*ret_index = x;
	return 0;
}

void blockindex_free(struct blockindex *x)
{
	if (!x)
		return;
	for (uint32_t i = 0; i < x->count; i += CHUNK)
		free(x->chunks[i >> CHUNK_BITS]);
	free(x->chunks);
	free(x->slots);
	free(x->chain);
	free(x);
}

static bool is_zero(const struct hash256 *hash)
{
	static const struct hash256 zero;

	return memcmp(hash, &zero, sizeof(zero)) == 0;
}

/* Of two with the same work the one that was there first is best, as for the node. */
static void consider(struct blockindex *x, uint32_t number)
{
	const struct blockindex_entry *entry = entry_at(x, number);

	if (entry->len && (x->tip == BLOCKINDEX_NONE || entry->work > entry_at(x, x->tip)->work))
		x->tip = number;
}

/* Until blockindex_link() the entry's own work stands in it. */
static void stand_on(struct blockindex_entry *entry, const struct blockindex_entry *parent)
{
	entry->height = parent->height + 1;
	entry->work += parent->work;
}

int blockindex_add(struct blockindex *x, const uint8_t raw[BLOCK_HEADER_LEN], uint32_t file,
		   uint32_t offset, uint32_t len)
{
	struct blockindex_entry *entry, *up;
	uint32_t number, parent = BLOCKINDEX_NONE, known = x->count;
	struct block_header header;
	struct hash256 hash;

	block_header_parse(raw, &header);
	block_hash(raw, &hash);
	if (take(x, &hash, &number))
		return -ENOMEM;
	entry = entry_at(x, number);
	if (entry->len)
		return 0;
	if (!is_zero(&header.prev) && take(x, &header.prev, &parent))
		return -ENOMEM;
	entry->parent = parent;
	entry->file = file;
	entry->offset = offset;
	entry->len = len;
	x->blocks++;
	if (entry->height == 0) { /* the genesis */
		consider(x, number);
		return 1;
	}
	entry->work = block_work(header.bits);
	up = parent == BLOCKINDEX_NONE ? NULL : entry_at(x, parent);
	if (up && up->height != BLOCKINDEX_NONE) {
		stand_on(entry, up);
		consider(x, number);
	}
	/* others named it before: they may have a way to a root now */
	if (number < known)
		x->linked = false;
	return 1;
}

uint32_t blockindex_count(const struct blockindex *x)
{
	return x->blocks;
}

const struct blockindex_entry *blockindex_next_root(const struct blockindex *x, uint32_t *number)
{
	while (*number < x->count) {
		const struct blockindex_entry *entry = entry_at(x, (*number)++);

		if (entry->len && entry->height == BLOCKINDEX_NONE &&
		    (entry->parent == BLOCKINDEX_NONE || !entry_at(x, entry->parent)->len))
			return entry;
	}
	return NULL;
}

void blockindex_anchor(struct blockindex *x, const struct hash256 *hash, uint32_t height)
{
	uint32_t *slot = slot_of(x, hash);
	struct blockindex_entry *entry;

	assert(*slot && height < NO_WAY);
	entry = entry_at(x, *slot - 1);
	if (entry->height != BLOCKINDEX_NONE)
		return;
	entry->height = height;
	consider(x, *slot - 1);
	x->linked = false;
}

/* The heights of all that has a way to a root. */
static int link_all(struct blockindex *x)
{
	_cleanup_(freep) uint32_t *path = malloc(x->count * sizeof(*path));

	if (!path)
		return -ENOMEM;
	for (uint32_t i = 0; i < x->count; i++) {
		uint32_t at = i, len = 0;
		bool way;

		while (at != BLOCKINDEX_NONE && entry_at(x, at)->height == BLOCKINDEX_NONE) {
			path[len++] = at;
			at = entry_at(x, at)->parent;
		}
		way = at != BLOCKINDEX_NONE && entry_at(x, at)->height < NO_WAY;
		for (; len > 0; len--) {
			struct blockindex_entry *entry = entry_at(x, path[len - 1]);

			if (!way) {
				entry->height = NO_WAY;
				continue;
			}
			stand_on(entry, entry_at(x, entry->parent));
			consider(x, path[len - 1]);
		}
	}
	for (uint32_t i = 0; i < x->count; i++)
		if (entry_at(x, i)->height == NO_WAY)
			entry_at(x, i)->height = BLOCKINDEX_NONE;
	x->linked = true;
	return 0;
}

/* The lowest block that is there on the way down from the tip. */
static uint32_t bottom(const struct blockindex *x)
{
	const struct blockindex_entry *entry = entry_at(x, x->tip);

	while (entry->parent != BLOCKINDEX_NONE && entry_at(x, entry->parent)->len &&
	       entry_at(x, entry->parent)->height < entry->height)
		entry = entry_at(x, entry->parent);
	return entry->height;
}

static int lay_chain(struct blockindex *x)
{
	const struct blockindex_entry *tip = entry_at(x, x->tip);
	bool extends = x->chain_tip != BLOCKINDEX_NONE;
	uint32_t base = extends ? x->base : bottom(x), len, at, *chain;

	/* one that is rooted elsewhere */
	if (tip->height < base)
		base = bottom(x);
	len = tip->height - base + 1;
	if (len > x->chain_size) {
		uint32_t size = len + len / 8 + 1024;

		chain = realloc(x->chain, size * sizeof(*chain));
		if (!chain)
			return -ENOMEM;
		x->chain = chain;
		x->chain_size = size;
	}
	if (base != x->base || !extends)
		x->chain_len = 0;
	at = x->tip;
	for (uint32_t i = len; i-- > 0;) {
		if (i < x->chain_len && x->chain[i] == at)
			break;
		/* below lies nothing that is there: the old base was another root's */
		if (at == BLOCKINDEX_NONE || !entry_at(x, at)->len) {
			x->chain_tip = BLOCKINDEX_NONE;
			return lay_chain(x);
		}
		x->chain[i] = at;
		at = entry_at(x, at)->parent;
	}
	x->base = base;
	x->chain_len = len;
	x->chain_tip = x->tip;
	return 0;
}

int blockindex_link(struct blockindex *x)
{
	int result = x->linked ? 0 : link_all(x);

	if (!result && x->tip != BLOCKINDEX_NONE && x->tip != x->chain_tip)
		result = lay_chain(x);
	return result;
}

const struct blockindex_entry *blockindex_tip(const struct blockindex *x)
{
	return x->chain_tip == BLOCKINDEX_NONE ? NULL : entry_at(x, x->chain_tip);
}

const struct blockindex_entry *blockindex_at(const struct blockindex *x, uint32_t height)
{
	if (x->chain_tip == BLOCKINDEX_NONE || height < x->base || height - x->base >= x->chain_len)
		return NULL;
	return entry_at(x, x->chain[height - x->base]);
}

const struct blockindex_entry *blockindex_find(const struct blockindex *x,
					       const struct hash256 *hash)
{
	uint32_t slot = *slot_of(x, hash);
	const struct blockindex_entry *entry = slot ? entry_at(x, slot - 1) : NULL;

	return entry && entry->len ? entry : NULL;
}

bool blockindex_is_best(const struct blockindex *x, const struct blockindex_entry *entry)
{
	return entry->height != BLOCKINDEX_NONE && blockindex_at(x, entry->height) == entry;
}
