#ifndef CORE_REGISTRY_STATE_H
#define CORE_REGISTRY_STATE_H

/* What the registry knows: live objects, seals and rows, and the changes that can be undone. Only
 * core/registry looks inside; what may change is decided there. */

#include "core/hashtable.h"
#include "core/registry.h"
#include "core/slab.h"

/* An object, a seal or a row in force lives from from_height to to_height. While it is live it is
 * in its table; when it ended it stays in the log of changes until registry_prune(), so that
 * registry_undo() can bring it back. Several of one key may be there, one at most is live. There
 * may be a million of each: they are kept small. */

struct object {
	struct hash_link link; /* while it is live */
	struct row *rows;      /* live ones */
	struct object_id id;
	uint32_t from_height, to_height;
	uint8_t kind; /* enum object_kind */
};

struct seal {
	struct hash_link link;
	struct object *object; /* borrowed: outlives it, see prune */
	uint64_t ref;	       /* the sink's */
	struct outpoint outpoint;
	uint32_t sequence;
	uint32_t from_height, to_height;
};

/* What a row is found by; its first ROW_KEY_HEAD + len bytes are compared and hashed. */
struct row_key {
	struct object_id object;
	uint8_t type;
	uint8_t len;
	uint8_t bytes[RECORD_KEY_MAX];
};

enum { ROW_KEY_HEAD = offsetof(struct row_key, bytes) };

struct row {
	struct hash_link link;
	struct object *object;	 /* borrowed */
	struct row *prev, *next; /* of object->rows */
	uint64_t ref;		 /* the sink's */
	uint32_t roster_sequence;
	uint32_t from_height, to_height;
	uint8_t type;
	uint8_t len;
	uint8_t bytes[]; /* of the key */
};

enum change_kind {
	CHANGE_OBJECT,
	CHANGE_SEAL,
	CHANGE_ROW,
};

/* One beginning or one end. The end owns the thing. */
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
	struct hashtable objects, seals, rows; /* live ones */
	struct slab object_slab, seal_slab;    /* own all objects and seals */
	/* A bit for each live seal, and for some that were live: nearly every input of a block
	 * spends none, and is told apart without a look at the hash. NULL: there is no room. */
	uint64_t *seal_bits;
	unsigned seal_bits_log2;
	size_t seals_removed;	/* whose bits are still set */
	struct change *changes; /* by height, as long as they can be undone */
	size_t change_count, change_size;
	size_t ended_until; /* ends of objects stand before this in changes */
	uint32_t floor;	    /* what happened at this height or below cannot be undone */
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

/* A beginning or an end at a height. 0 or -ENOMEM, and then nothing changed. */
int registry_begin_object(struct registry *registry, enum object_kind kind,
			  const struct object_id *id, uint32_t height, struct object **ret_object);
int registry_begin_seal(struct registry *registry, struct object *object,
			const struct outpoint *outpoint, uint32_t sequence, uint32_t height,
			struct seal **ret_seal);
int registry_begin_row(struct registry *registry, struct object *object, const struct row_key *key,
		       uint32_t roster_sequence, uint32_t height, struct row **ret_row);
int registry_end_seal(struct registry *registry, struct seal *seal, uint32_t height);
int registry_end_row(struct registry *registry, struct row *row, uint32_t height);
/* It has nothing in force any more; its seal is another matter. */
int registry_end_object(struct registry *registry, struct object *object, uint32_t height);

#endif
