#ifndef CORE_REGISTRY_STATE_H
#define CORE_REGISTRY_STATE_H

/* What the registry knows: live objects, seals and rows, and the changes that can be undone. Only
 * core/registry looks inside; what may change is decided there. */

#include "core/registry.h"

/* A bucket table that cannot grow is an error of the call, not the end of the process. */
#define HASH_NONFATAL_OOM	 1
#define uthash_nonfatal_oom(elt) ((elt)->hashed = false)
#include <uthash.h>

/* An object, a seal or a row in force lives from from_height to to_height. While it is live it is
 * in its hash; when it ended it stays in the log of changes until registry_prune(), so that
 * registry_undo() can bring it back. Several of one key may be there, one at most is live. */

struct object {
	struct object_id id;
	enum object_kind kind;
	uint32_t from_height, to_height;
	struct row *rows; /* live ones */
	bool hashed;
	UT_hash_handle hh;
};

struct seal {
	struct outpoint outpoint;
	struct object *object; /* borrowed: outlives it, see prune */
	uint32_t sequence;
	uint32_t from_height, to_height;
	bool hashed;
	UT_hash_handle hh;
};

/* What a row is found by. Zeroed before it is filled: it is compared as bytes. */
struct row_key {
	struct object_id object;
	uint8_t type;
	uint8_t len;
	uint8_t bytes[RECORD_KEY_MAX];
};

struct row {
	struct row_key key;
	struct object *object; /* borrowed */
	uint32_t roster_sequence;
	uint32_t from_height, to_height;
	struct row *prev, *next; /* of object->rows */
	bool hashed;
	UT_hash_handle hh;
};

enum change_kind {
	CHANGE_OBJECT,
	CHANGE_SEAL,
	CHANGE_ROW,
};

/* One beginning or one end. The beginning owns the thing once it is not live. */
struct change {
	uint32_t height;
	uint8_t kind; /* enum change_kind */
	bool end;
	union {
		struct object *object;
		struct seal *seal;
		struct row *row;
		void *any;
	};
};

struct registry {
	uint8_t seed[16];
	uint8_t op_node;
	struct object *objects; /* live; owns them */
	struct seal *seals;
	/* A bit for each live seal, and for some that were live: nearly every input of a block
	 * spends none, and is told apart without a look at the hash. NULL: there is no room. */
	uint64_t *seal_bits;
	unsigned seal_bits_log2;
	size_t seals_removed; /* whose bits are still set */
	struct row *rows;
	struct change *changes; /* by height, as long as they can be undone */
	size_t change_count, change_size;
	size_t ended_until; /* ends of objects stand before this in changes */
	bool unsorted;	    /* after loading */
};

/* The key by which the record's addition is found; type 0: it has none. */
void registry_row_key(const struct object_id *object, const struct record *record,
		      struct row_key *ret_key);

/* A live one, or NULL. outpoint in wire form. */
struct seal *registry_find_seal(const struct registry *registry,
				const uint8_t outpoint[OUTPOINT_LEN]);
/* What it spends will be looked up soon. */
void registry_prefetch(const struct registry *registry, const struct tx_view *tx);
struct object *registry_find_object(const struct registry *registry, const struct object_id *id);
struct row *registry_find_row(const struct registry *registry, const struct row_key *key);

/* A beginning or an end at a height. 0 or -ENOMEM, and then nothing changed; but an object may have
 * ended in part. */
int registry_begin_object(struct registry *registry, enum object_kind kind,
			  const struct object_id *id, uint32_t height, struct object **ret_object);
int registry_begin_seal(struct registry *registry, struct object *object,
			const struct outpoint *outpoint, uint32_t sequence, uint32_t height);
int registry_begin_row(struct registry *registry, struct object *object, const struct row_key *key,
		       uint32_t roster_sequence, uint32_t height);
int registry_end_seal(struct registry *registry, struct seal *seal, uint32_t height);
int registry_end_row(struct registry *registry, struct row *row, uint32_t height);
/* With everything that it has in force, but not its seal. */
int registry_end_object(struct registry *registry, struct object *object, uint32_t height);

#endif
