#include "core/registry_state.h"

#include "wire/tx.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static uint64_t hash(const struct registry *registry, const void *data, size_t len)
{
	uint8_t out[crypto_shorthash_BYTES];

	crypto_shorthash(out, data, len, registry->seed);
	return load_u64(out);
}

/* The wire form of an outpoint is what it is hashed and compared by. */
static void outpoint_bytes(const struct outpoint *o, uint8_t ret[OUTPOINT_LEN])
{
	memcpy(ret, o->txid.bytes, HASH_LEN);
	store_u32(ret + HASH_LEN, o->vout);
}

static uint64_t hash_object(const struct registry *registry, const struct object_id *id)
{
	return hash(registry, id, sizeof(*id));
}

static uint64_t hash_seal(const struct registry *registry, const struct outpoint *outpoint)
{
	uint8_t bytes[OUTPOINT_LEN];

	outpoint_bytes(outpoint, bytes);
	return hash(registry, bytes, sizeof(bytes));
}

static uint64_t hash_row(const struct registry *registry, const struct row *row)
{
	struct row_key key = {.object = row->object->id, .type = row->type, .len = row->len};

	memcpy(key.bytes, row->bytes, row->len);
	return hash(registry, &key, ROW_KEY_HEAD + (size_t)row->len);
}

/* For tables, which ask when they grow. */
static uint64_t hash_object_link(const void *registry, const struct hash_link *link)
{
	return hash_object(registry, &((const struct object *)link)->id);
}

static uint64_t hash_seal_link(const void *registry, const struct hash_link *link)
{
	return hash_seal(registry, &((const struct seal *)link)->outpoint);
}

static uint64_t hash_row_link(const void *registry, const struct hash_link *link)
{
	return hash_row(registry, (const struct row *)link);
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
	size_t wanted = 2 * SEAL_BITS_EACH * registry->seals.count;
	unsigned log2 = SEAL_BITS_MIN_LOG2;
	struct hashtable_walk walk = {.bucket = 0};
	struct hash_link *link;
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
	while ((link = hashtable_next(&registry->seals, &walk)))
		set_seal_bit(registry, (struct seal *)link);
}

static bool is_seal(const struct seal *seal, const uint8_t outpoint[OUTPOINT_LEN])
{
	return memcmp(seal->outpoint.txid.bytes, outpoint, HASH_LEN) == 0 &&
	       seal->outpoint.vout == load_u32(outpoint + HASH_LEN);
}

struct seal *registry_find_seal(const struct registry *registry,
				const uint8_t outpoint[OUTPOINT_LEN])
{
	struct hash_link *link;

	if (!registry->seals.count)
		return NULL;
	if (registry->seal_bits) {
		uint64_t bit = seal_bit(registry, outpoint, load_u32(outpoint + HASH_LEN));

		if (!(registry->seal_bits[bit / 64] >> (bit % 64) & 1))
			return NULL;
	}
	link = hashtable_first(&registry->seals, hash(registry, outpoint, OUTPOINT_LEN));
	while (link && !is_seal((struct seal *)link, outpoint))
		link = link->next;
	return (struct seal *)link;
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
	struct hash_link *link = hashtable_first(&registry->objects, hash_object(registry, id));

	while (link && !object_id_equal(&((struct object *)link)->id, id))
		link = link->next;
	return (struct object *)link;
}

static bool is_row(const struct row *row, const struct row_key *key)
{
	return row->type == key->type && row->len == key->len &&
	       memcmp(row->bytes, key->bytes, key->len) == 0 &&
	       object_id_equal(&row->object->id, &key->object);
}

struct row *registry_find_row(const struct registry *registry, const struct row_key *key)
{
	struct hash_link *link = hashtable_first(
		&registry->rows, hash(registry, key, ROW_KEY_HEAD + (size_t)key->len));

	while (link && !is_row((struct row *)link, key))
		link = link->next;
	return (struct row *)link;
}

static void add_object(struct registry *registry, struct object *object)
{
	object->to_height = REGISTRY_LIVE;
	hashtable_add(&registry->objects, &object->link, hash_object(registry, &object->id));
}

static void add_seal(struct registry *registry, struct seal *seal)
{
	seal->to_height = REGISTRY_LIVE;
	hashtable_add(&registry->seals, &seal->link, hash_seal(registry, &seal->outpoint));
	if (!registry->seal_bits ||
	    (size_t)1 << registry->seal_bits_log2 < SEAL_BITS_EACH * registry->seals.count)
		lay_seal_bits(registry);
	if (registry->seal_bits)
		set_seal_bit(registry, seal);
}

static void add_row(struct registry *registry, struct row *row)
{
	row->to_height = REGISTRY_LIVE;
	hashtable_add(&registry->rows, &row->link, hash_row(registry, row));
	DL_APPEND(row->object->rows, row);
}

static void remove_object(struct registry *registry, struct object *object)
{
	if (object->to_height == REGISTRY_LIVE)
		hashtable_remove(&registry->objects, &object->link,
				 hash_object(registry, &object->id));
}

static void remove_seal(struct registry *registry, struct seal *seal)
{
	if (seal->to_height != REGISTRY_LIVE)
		return;
	hashtable_remove(&registry->seals, &seal->link, hash_seal(registry, &seal->outpoint));
	if (++registry->seals_removed > 1024 + registry->seals.count / 2)
		lay_seal_bits(registry);
}

static void remove_row(struct registry *registry, struct row *row)
{
	if (row->to_height != REGISTRY_LIVE)
		return;
	hashtable_remove(&registry->rows, &row->link, hash_row(registry, row));
	DL_DELETE(row->object->rows, row);
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
	if (!end && height <= registry->floor)
		return;
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
	object = slab_take(&registry->object_slab);
	if (!object)
		return -ENOMEM;
	object->id = *id;
	object->kind = (uint8_t)kind;
	object->from_height = height;
	add_object(registry, object);
	note(registry, height, CHANGE_OBJECT, false, object);
	*ret_object = object;
	return 0;
}

int registry_begin_seal(struct registry *registry, struct object *object,
			const struct outpoint *outpoint, uint32_t sequence, uint32_t height,
			struct seal **ret_seal)
{
	struct seal *seal;
	int result = reserve(registry);

	if (result)
		return result;
	seal = slab_take(&registry->seal_slab);
	if (!seal)
		return -ENOMEM;
	seal->outpoint = *outpoint;
	seal->object = object;
	seal->sequence = sequence;
	seal->from_height = height;
	add_seal(registry, seal);
	note(registry, height, CHANGE_SEAL, false, seal);
	*ret_seal = seal;
	return 0;
}

int registry_begin_row(struct registry *registry, struct object *object, const struct row_key *key,
		       uint32_t roster_sequence, uint32_t height, struct row **ret_row)
{
	struct row *row;
	int result = reserve(registry);

	if (result)
		return result;
	row = calloc(1, sizeof(*row) + key->len);
	if (!row)
		return -ENOMEM;
	row->type = key->type;
	row->len = key->len;
	memcpy(row->bytes, key->bytes, key->len);
	row->object = object;
	row->roster_sequence = roster_sequence;
	row->from_height = height;
	add_row(registry, row);
	note(registry, height, CHANGE_ROW, false, row);
	*ret_row = row;
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
	int result = reserve(registry);

	assert(!object->rows);
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
	hashtable_init(&registry->objects, hash_object_link, registry);
	hashtable_init(&registry->seals, hash_seal_link, registry);
	hashtable_init(&registry->rows, hash_row_link, registry);
	slab_init(&registry->object_slab, sizeof(struct object));
	slab_init(&registry->seal_slab, sizeof(struct seal));
	*ret_registry = registry;
	return 0;
}

static void free_thing(struct registry *registry, const struct change *change)
{
	switch ((enum change_kind)change->kind) {
	case CHANGE_OBJECT:
		slab_give(&registry->object_slab, change->object);
		break;
	case CHANGE_SEAL:
		slab_give(&registry->seal_slab, change->seal);
		break;
	case CHANGE_ROW:
		free(change->row);
		break;
	}
}

void registry_free(struct registry *registry)
{
	struct hashtable_walk walk = {.bucket = 0};
	struct hash_link *link;

	if (!registry)
		return;
	/* rows that have ended are owned by the change that says so, live ones by their table */
	for (size_t i = 0; i < registry->change_count; i++)
		if (registry->changes[i].end && registry->changes[i].kind == CHANGE_ROW)
			free(registry->changes[i].row);
	while ((link = hashtable_next(&registry->rows, &walk)))
		free(link);
	hashtable_done(&registry->rows);
	hashtable_done(&registry->seals);
	hashtable_done(&registry->objects);
	slab_done(&registry->seal_slab);
	slab_done(&registry->object_slab);
	free(registry->seal_bits);
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
static void revive(struct registry *registry, const struct change *change, uint32_t height)
{
	switch ((enum change_kind)change->kind) {
	case CHANGE_OBJECT:
		if (change->object->from_height <= height)
			add_object(registry, change->object);
		break;
	case CHANGE_SEAL:
		if (change->seal->from_height <= height)
			add_seal(registry, change->seal);
		break;
	case CHANGE_ROW:
		if (change->row->from_height <= height)
			add_row(registry, change->row);
		break;
	}
}

/* In three passes, so that the order of changes within a height does not matter: what began above
 * height goes from the tables, what ended above it comes back, what began above it is freed. */
void registry_undo(struct registry *registry, uint32_t height)
{
	size_t keep;

	sort_changes(registry);
	keep = registry->change_count;
	while (keep > 0 && registry->changes[keep - 1].height > height) {
		keep--;
		if (!registry->changes[keep].end)
			take_out(registry, &registry->changes[keep]);
	}
	for (size_t i = keep; i < registry->change_count; i++)
		if (registry->changes[i].end)
			revive(registry, &registry->changes[i], height);
	for (size_t i = keep; i < registry->change_count; i++)
		if (!registry->changes[i].end)
			free_thing(registry, &registry->changes[i]);
	registry->change_count = keep;
}

void registry_prune(struct registry *registry, uint32_t height)
{
	size_t gone = 0;

	if (height > registry->floor)
		registry->floor = height;
	sort_changes(registry);
	while (gone < registry->change_count && registry->changes[gone].height <= height) {
		if (registry->changes[gone].end)
			free_thing(registry, &registry->changes[gone]);
		gone++;
	}
	if (gone == 0)
		return;
	registry->change_count -= gone;
	memmove(registry->changes, registry->changes + gone,
		registry->change_count * sizeof(registry->changes[0]));
}

void registry_bound(struct registry *registry, size_t changes, uint32_t height)
{
	uint32_t until;

	if (registry->change_count <= changes)
		return;
	sort_changes(registry);
	until = registry->changes[registry->change_count - changes - 1].height;
	registry_prune(registry, until < height ? until : height);
}

uint32_t registry_floor(const struct registry *registry)
{
	return registry->floor;
}

uint8_t registry_op_node(const struct registry *registry)
{
	return registry->op_node;
}

void registry_count(const struct registry *registry, struct registry_counts *ret_counts)
{
	ret_counts->objects = registry->objects.count;
	ret_counts->seals = registry->seals.count;
	ret_counts->rows = registry->rows.count;
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
	struct seal *begun;
	int result;

	outpoint_bytes(&seal->outpoint, bytes);
	if (!object || !lives_within(from_height, to_height, object) ||
	    registry_find_seal(registry, bytes))
		return -EINVAL;
	result = registry_begin_seal(registry, object, &seal->outpoint, seal->sequence, from_height,
				     &begun);
	if (result)
		return result;
	begun->ref = seal->ref;
	return to_height == REGISTRY_LIVE ? 0 : registry_end_seal(registry, begun, to_height);
}

int registry_load_row(struct registry *registry, const struct record_row *row, uint64_t ref)
{
	struct object *object = known_object(registry, &row->object);
	uint32_t roster_sequence =
		row->record.type == RECORD_ROSTER ? row->record.roster.sequence : 0;
	struct row_key key;
	struct row *begun;
	int result;

	registry_row_key(&row->object, &row->record, &key);
	if (!object || !lives_within(row->from_height, row->to_height, object) || key.type == 0 ||
	    registry_find_row(registry, &key))
		return -EINVAL;
	result = registry_begin_row(registry, object, &key, roster_sequence, row->from_height,
				    &begun);
	if (result)
		return result;
	begun->ref = ref;
	if (row->to_height == REGISTRY_LIVE)
		return 0;
	return registry_end_row(registry, begun, row->to_height);
}
