#include "core/registry_state.h"

#include "wire/tx.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static unsigned hash(const struct registry *registry, const void *data, size_t len)
{
	uint8_t out[crypto_shorthash_BYTES];

	crypto_shorthash(out, data, len, registry->seed);
	return load_u32(out);
}

/* The wire form of an outpoint is what it is hashed and compared by. */
static void outpoint_bytes(const struct outpoint *o, uint8_t ret[OUTPOINT_LEN])
{
	memcpy(ret, o->txid.bytes, HASH_LEN);
	store_u32(ret + HASH_LEN, o->vout);
}

enum {
	SEAL_BITS_EACH = 16, /* at least: one foreign input in 16 or fewer is looked up */
	SEAL_BITS_MIN_LOG2 = 12,
};

/* Multiplied by a secret, so that nobody makes txids that all fall on set bits. */
static inline uint64_t seal_bit(const struct registry *registry, const uint8_t *txid, uint32_t vout)
{
	uint64_t key = load_u64(registry->seed) | 1;

	return (load_u64(txid) + vout) * key >> (64 - registry->seal_bits_log2);
}

static void set_seal_bit(struct registry *registry, const struct seal *seal)
{
	uint64_t bit = seal_bit(registry, seal->outpoint.txid.bytes, seal->outpoint.vout);

	registry->seal_bits[bit / 64] |= 1ULL << (bit % 64);
}

/* Of the right size and without those that are gone. Without memory the old ones, which are less
 * sharp and not wrong, stay. */
static void lay_seal_bits(struct registry *registry)
{
	size_t wanted = 2 * SEAL_BITS_EACH * (size_t)HASH_COUNT(registry->seals);
	unsigned log2 = SEAL_BITS_MIN_LOG2;
	struct seal *seal, *next;
	uint64_t *bits;

	while ((size_t)1 << log2 < wanted)
		log2++;
	bits = calloc((size_t)1 << log2 >> 6, sizeof(*bits));
	if (!bits)
		return;
	free(registry->seal_bits);
	registry->seal_bits = bits;
	registry->seal_bits_log2 = log2;
	registry->seals_removed = 0;
	HASH_ITER(hh, registry->seals, seal, next)
	{
		set_seal_bit(registry, seal);
	}
}

struct seal *registry_find_seal(const struct registry *registry,
				const uint8_t outpoint[OUTPOINT_LEN])
{
	struct outpoint key;
	struct seal *seal;

	if (!registry->seals)
		return NULL;
	if (registry->seal_bits) {
		uint64_t bit = seal_bit(registry, outpoint, load_u32(outpoint + HASH_LEN));

		if (!(registry->seal_bits[bit / 64] >> (bit % 64) & 1))
			return NULL;
	}
	memset(&key, 0, sizeof(key));
	memcpy(key.txid.bytes, outpoint, HASH_LEN);
	key.vout = load_u32(outpoint + HASH_LEN);
	HASH_FIND_BYHASHVALUE(hh, registry->seals, &key, sizeof(key),
			      hash(registry, outpoint, OUTPOINT_LEN), seal);
	return seal;
}

void registry_prefetch(const struct registry *registry, const struct tx_view *tx)
{
	struct tx_iter it = tx_inputs(tx);
	struct tx_input input;

	while (registry->seal_bits && tx_next_input(&it, &input)) {
		uint64_t bit =
			seal_bit(registry, input.outpoint, load_u32(input.outpoint + HASH_LEN));

		__builtin_prefetch(&registry->seal_bits[bit / 64]);
	}
}

struct object *registry_find_object(const struct registry *registry, const struct object_id *id)
{
	struct object *object;

	HASH_FIND_BYHASHVALUE(hh, registry->objects, id, sizeof(*id),
			      hash(registry, id, sizeof(*id)), object);
	return object;
}

struct row *registry_find_row(const struct registry *registry, const struct row_key *key)
{
	struct row *row;

	HASH_FIND_BYHASHVALUE(hh, registry->rows, key, sizeof(*key),
			      hash(registry, key, sizeof(*key)), row);
	return row;
}

static int add_object(struct registry *registry, struct object *object)
{
	object->hashed = true;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, registry->objects, &object->id, sizeof(object->id),
				    hash(registry, &object->id, sizeof(object->id)), object);
	return object->hashed ? 0 : -ENOMEM;
}

static int add_seal(struct registry *registry, struct seal *seal)
{
	uint8_t bytes[OUTPOINT_LEN];

	outpoint_bytes(&seal->outpoint, bytes);
	seal->hashed = true;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, registry->seals, &seal->outpoint, sizeof(seal->outpoint),
				    hash(registry, bytes, sizeof(bytes)), seal);
	if (!seal->hashed)
		return -ENOMEM;
	if (!registry->seal_bits || (size_t)1 << registry->seal_bits_log2 <
					    SEAL_BITS_EACH * (size_t)HASH_COUNT(registry->seals))
		lay_seal_bits(registry);
	if (registry->seal_bits)
		set_seal_bit(registry, seal);
	return 0;
}

static int add_row(struct registry *registry, struct row *row)
{
	row->hashed = true;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, registry->rows, &row->key, sizeof(row->key),
				    hash(registry, &row->key, sizeof(row->key)), row);
	if (!row->hashed)
		return -ENOMEM;
	DL_APPEND(row->object->rows, row);
	return 0;
}

static void remove_object(struct registry *registry, struct object *object)
{
	if (!object->hashed)
		return;
	HASH_DEL(registry->objects, object);
	object->hashed = false;
}

static void remove_seal(struct registry *registry, struct seal *seal)
{
	if (!seal->hashed)
		return;
	HASH_DEL(registry->seals, seal);
	seal->hashed = false;
	if (++registry->seals_removed > 1024 + HASH_COUNT(registry->seals) / 2)
		lay_seal_bits(registry);
}

static void remove_row(struct registry *registry, struct row *row)
{
	if (!row->hashed)
		return;
	HASH_DEL(registry->rows, row);
	DL_DELETE(row->object->rows, row);
	row->hashed = false;
}

/* Room for one more change, so that noting it cannot fail half way. */
static int reserve(struct registry *registry)
{
	struct change *changes;
	size_t size = registry->change_size ? 2 * registry->change_size : 64;

	if (registry->change_count < registry->change_size)
		return 0;
	changes = realloc(registry->changes, size * sizeof(*changes));
	if (!changes)
		return -ENOMEM;
	registry->changes = changes;
	registry->change_size = size;
	return 0;
}

static void note(struct registry *registry, uint32_t height, enum change_kind kind, bool end,
		 void *thing)
{
	assert(registry->change_count < registry->change_size);
	if (registry->change_count > 0 &&
	    registry->changes[registry->change_count - 1].height > height)
		registry->unsorted = true;
	registry->changes[registry->change_count++] =
		(struct change){.height = height, .kind = (uint8_t)kind, .end = end, .any = thing};
	if (kind == CHANGE_OBJECT && end)
		registry->ended_until = registry->change_count;
}

int registry_begin_object(struct registry *registry, enum object_kind kind,
			  const struct object_id *id, uint32_t height, struct object **ret_object)
{
	struct object *object;
	int result = reserve(registry);

	if (result)
		return result;
	object = calloc(1, sizeof(*object));
	if (!object)
		return -ENOMEM;
	object->id = *id;
	object->kind = kind;
	object->from_height = height;
	object->to_height = REGISTRY_LIVE;
	if (add_object(registry, object)) {
		free(object);
		return -ENOMEM;
	}
	note(registry, height, CHANGE_OBJECT, false, object);
	*ret_object = object;
	return 0;
}

int registry_begin_seal(struct registry *registry, struct object *object,
			const struct outpoint *outpoint, uint32_t sequence, uint32_t height)
{
	struct seal *seal;
	int result = reserve(registry);

	if (result)
		return result;
	seal = calloc(1, sizeof(*seal));
	if (!seal)
		return -ENOMEM;
	seal->outpoint = *outpoint;
	seal->object = object;
	seal->sequence = sequence;
	seal->from_height = height;
	seal->to_height = REGISTRY_LIVE;
	if (add_seal(registry, seal)) {
		free(seal);
		return -ENOMEM;
	}
	note(registry, height, CHANGE_SEAL, false, seal);
	return 0;
}

int registry_begin_row(struct registry *registry, struct object *object, const struct row_key *key,
		       uint32_t roster_sequence, uint32_t height)
{
	struct row *row;
	int result = reserve(registry);

	if (result)
		return result;
	row = calloc(1, sizeof(*row));
	if (!row)
		return -ENOMEM;
	row->key = *key;
	row->object = object;
	row->roster_sequence = roster_sequence;
	row->from_height = height;
	row->to_height = REGISTRY_LIVE;
	if (add_row(registry, row)) {
		free(row);
		return -ENOMEM;
	}
	note(registry, height, CHANGE_ROW, false, row);
	return 0;
}

int registry_end_seal(struct registry *registry, struct seal *seal, uint32_t height)
{
	int result = reserve(registry);

	if (result)
		return result;
	remove_seal(registry, seal);
	seal->to_height = height;
	note(registry, height, CHANGE_SEAL, true, seal);
	return 0;
}

int registry_end_row(struct registry *registry, struct row *row, uint32_t height)
{
	int result = reserve(registry);

	if (result)
		return result;
	remove_row(registry, row);
	row->to_height = height;
	note(registry, height, CHANGE_ROW, true, row);
	return 0;
}

int registry_end_object(struct registry *registry, struct object *object, uint32_t height)
{
	struct row *row, *next;
	int result;

	DL_FOREACH_SAFE(object->rows, row, next)
	{
		result = registry_end_row(registry, row, height);
		if (result)
			return result;
	}
	result = reserve(registry);
	if (result)
		return result;
	remove_object(registry, object);
	object->to_height = height;
	note(registry, height, CHANGE_OBJECT, true, object);
	return 0;
}

int registry_new(uint8_t op_node, const uint8_t seed[static 16], struct registry **ret_registry)
{
	struct registry *registry = calloc(1, sizeof(*registry));

	if (!registry)
		return -ENOMEM;
	registry->op_node = op_node;
	memcpy(registry->seed, seed, sizeof(registry->seed));
	*ret_registry = registry;
	return 0;
}

static void free_thing(const struct change *change)
{
	free(change->any);
}

/* What has ended is owned by the change that says so, everything else by its hash. */
void registry_free(struct registry *registry)
{
	struct object *object, *next_object;
	struct seal *seal, *next_seal;
	struct row *row, *next_row;

	if (!registry)
		return;
	for (size_t i = 0; i < registry->change_count; i++)
		if (registry->changes[i].end)
			free_thing(&registry->changes[i]);
	free(registry->seal_bits);
	HASH_ITER(hh, registry->rows, row, next_row)
	{
		HASH_DEL(registry->rows, row);
		free(row);
	}
	HASH_ITER(hh, registry->seals, seal, next_seal)
	{
		HASH_DEL(registry->seals, seal);
		free(seal);
	}
	HASH_ITER(hh, registry->objects, object, next_object)
	{
		HASH_DEL(registry->objects, object);
		free(object);
	}
	free(registry->changes);
	free(registry);
}

static int compare_changes(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	return x->height < y->height ? -1 : x->height > y->height;
}

/* Loading notes changes in any order. */
static void sort_changes(struct registry *registry)
{
	if (registry->unsorted) {
		qsort(registry->changes, registry->change_count, sizeof(registry->changes[0]),
		      compare_changes);
		registry->ended_until = registry->change_count;
	}
	registry->unsorted = false;
}

static void take_out(struct registry *registry, const struct change *change)
{
	switch ((enum change_kind)change->kind) {
	case CHANGE_OBJECT:
		remove_object(registry, change->object);
		break;
	case CHANGE_SEAL:
		remove_seal(registry, change->seal);
		break;
	case CHANGE_ROW:
		remove_row(registry, change->row);
		break;
	}
}

/* Live again, if it began at height or below. */
static int revive(struct registry *registry, const struct change *change, uint32_t height)
{
	switch ((enum change_kind)change->kind) {
	case CHANGE_OBJECT:
		if (change->object->from_height > height)
			return 0;
		change->object->to_height = REGISTRY_LIVE;
		return add_object(registry, change->object);
	case CHANGE_SEAL:
		if (change->seal->from_height > height)
			return 0;
		change->seal->to_height = REGISTRY_LIVE;
		return add_seal(registry, change->seal);
	case CHANGE_ROW:
		if (change->row->from_height > height)
			return 0;
		change->row->to_height = REGISTRY_LIVE;
		return add_row(registry, change->row);
	}
	return 0;
}

/* In three passes, so that the order of changes within a height does not matter: what began above
 * height goes from the hashes, what ended above it comes back, what began above it is freed. */
int registry_undo(struct registry *registry, uint32_t height)
{
	size_t keep;
	int result = 0;

	sort_changes(registry);
	keep = registry->change_count;
	while (keep > 0 && registry->changes[keep - 1].height > height) {
		keep--;
		if (!registry->changes[keep].end)
			take_out(registry, &registry->changes[keep]);
	}
	for (size_t i = keep; i < registry->change_count; i++) {
		struct change *change = &registry->changes[i];

		if (change->end && revive(registry, change, height)) {
			change->end = false; /* freed below; others may still point to it */
			result = -ENOMEM;
		}
	}
	for (size_t i = keep; i < registry->change_count; i++)
		if (!registry->changes[i].end)
			free_thing(&registry->changes[i]);
	registry->change_count = keep;
	return result;
}

void registry_prune(struct registry *registry, uint32_t height)
{
	size_t gone = 0;

	sort_changes(registry);
	while (gone < registry->change_count && registry->changes[gone].height <= height) {
		if (registry->changes[gone].end)
			free_thing(&registry->changes[gone]);
		gone++;
	}
	if (gone == 0)
		return;
	registry->change_count -= gone;
	memmove(registry->changes, registry->changes + gone,
		registry->change_count * sizeof(registry->changes[0]));
}

uint8_t registry_op_node(const struct registry *registry)
{
	return registry->op_node;
}

void registry_count(const struct registry *registry, struct registry_counts *ret_counts)
{
	ret_counts->objects = HASH_COUNT(registry->objects);
	ret_counts->seals = HASH_COUNT(registry->seals);
	ret_counts->rows = HASH_COUNT(registry->rows);
}

/* Also one that has ended, as long as that can be undone. What is loaded ended comes first: what is
 * live is found without a look at all that was loaded before. */
static struct object *known_object(const struct registry *registry, const struct object_id *id)
{
	struct object *object = registry_find_object(registry, id);

	for (size_t i = 0; !object && i < registry->ended_until && i < registry->change_count;
	     i++) {
		const struct change *change = &registry->changes[i];

		if (change->kind == CHANGE_OBJECT && object_id_equal(&change->object->id, id))
			object = change->object;
	}
	return object;
}

/* Everything that an object has lives within it: undoing and pruning rely on it. */
static bool lives_within(uint32_t from_height, uint32_t to_height, const struct object *object)
{
	uint32_t first = object ? object->from_height : 0;
	uint32_t last = object ? object->to_height : REGISTRY_LIVE;

	return from_height >= first && from_height <= to_height && to_height <= last &&
	       from_height < REGISTRY_PENDING && to_height != REGISTRY_PENDING;
}

int registry_load_object(struct registry *registry, enum object_kind kind,
			 const struct object_id *id, uint32_t from_height, uint32_t to_height)
{
	struct object *object;
	int result;

	if (known_object(registry, id) || !lives_within(from_height, to_height, NULL))
		return -EINVAL;
	result = registry_begin_object(registry, kind, id, from_height, &object);
	if (!result && to_height != REGISTRY_LIVE)
		result = registry_end_object(registry, object, to_height);
	return result;
}

int registry_load_seal(struct registry *registry, const struct registry_seal *seal,
		       uint32_t from_height, uint32_t to_height)
{
	struct object *object = known_object(registry, &seal->object);
	uint8_t bytes[OUTPOINT_LEN];
	int result;

	outpoint_bytes(&seal->outpoint, bytes);
	if (!object || !lives_within(from_height, to_height, object) ||
	    registry_find_seal(registry, bytes))
		return -EINVAL;
	result =
		registry_begin_seal(registry, object, &seal->outpoint, seal->sequence, from_height);
	if (!result && to_height != REGISTRY_LIVE)
		result =
			registry_end_seal(registry, registry_find_seal(registry, bytes), to_height);
	return result;
}

int registry_load_row(struct registry *registry, const struct record_row *row)
{
	struct object *object = known_object(registry, &row->object);
	uint32_t roster_sequence =
		row->record.type == RECORD_ROSTER ? row->record.roster.sequence : 0;
	struct row_key key;
	int result;

	registry_row_key(&row->object, &row->record, &key);
	if (!object || !lives_within(row->from_height, row->to_height, object) || key.type == 0 ||
	    registry_find_row(registry, &key))
		return -EINVAL;
	result = registry_begin_row(registry, object, &key, roster_sequence, row->from_height);
	if (!result && row->to_height != REGISTRY_LIVE)
		result = registry_end_row(registry, registry_find_row(registry, &key),
					  row->to_height);
	return result;
}
