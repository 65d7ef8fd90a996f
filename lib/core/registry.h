#ifndef CORE_REGISTRY_H
#define CORE_REGISTRY_H

/* The rules of records (doc/records.md 3 and 4): which transaction may change what. It knows live
 * seals, open objects and what they have in force, reads one transaction after the other, and tells
 * a sink what changes. Confirmed state only: the mempool is applied above it and taken back. */

#include "wire/key.h"
#include "wire/record.h"
#include "wire/tx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct registry;

enum {
	REGISTRY_PENDING = UINT32_MAX - 1, /* the height of transactions in the mempool */
	REGISTRY_LIVE = UINT32_MAX,	   /* to_height of what has not ended */
};

struct registry_place {
	uint32_t height;
	uint32_t tx_index;
	struct hash256 txid;
};

struct registry_seal {
	struct outpoint outpoint;
	struct object_id object;
	enum object_kind kind;
	uint32_t sequence;  /* RECORDS 3.5, of the transaction that made it */
	uint64_t value;	    /* base units; 0 when loaded */
	struct span script; /* borrowed; empty when loaded */
	uint64_t ref;	    /* what the sink noted for it */
};

/* A row that ended; pointers are borrowed. */
struct registry_row_end {
	const struct object_id *object;
	enum object_kind kind; /* of object */
	uint8_t type;	       /* of the addition */
	const uint8_t *key;    /* its record_key() */
	size_t key_len;
	uint64_t ref; /* what the sink noted for it */
};

/* Something with our magic, or the loss of a seal. */
struct registry_event {
	bool has_object;
	enum object_kind kind;
	struct object_id object;
	uint32_t sequence;
	uint32_t out_index;
	uint32_t pos;
	uint8_t type;		     /* as written, 0: a payload that says nothing */
	bool seal_lost;		     /* spent without a record: no bytes */
	struct span raw;	     /* type, length, body; or the whole payload; borrowed */
	const struct record *record; /* NULL when it could not be read; borrowed */
	enum record_reason reason;   /* RECORD_OK: it counts */
};

/* RECORDS 5.2, stays, whatever happens to its transaction. */
struct registry_revocation {
	struct object_id object;
	enum object_kind kind;
	uint8_t type; /* RECORD_CLOSE also for a lost seal */
	uint8_t key[RECORD_KEY_MAX];
	size_t key_len;
	uint32_t sequence;
	uint32_t out_index;
	uint32_t pos;
};

/* Told in the order of RECORDS 3.5; all pointers are borrowed for the call. A return other than 0
 * ends registry_apply_tx() with it. In *ref, 0 before, a sink notes by what it will find a seal or
 * row again. */
struct registry_sink {
	void *arg;
	/* row->record is the CREATE. */
	int (*on_object)(void *arg, const struct registry_place *place,
			 const struct record_row *row);
	/* The object ended at place->height; each row that it had in force was told before. */
	int (*on_object_end)(void *arg, const struct registry_place *place, enum object_kind kind,
			     const struct object_id *object);
	int (*on_seal)(void *arg, const struct registry_place *place,
		       const struct registry_seal *seal, uint64_t *ref);
	int (*on_seal_spent)(void *arg, const struct registry_place *place,
			     const struct registry_seal *seal);
	/* In force from now on (additions but CREATE; TRANSFER only with an admin key). */
	int (*on_row)(void *arg, const struct registry_place *place, const struct record_row *row,
		      uint64_t *ref);
	/* Replaced or removed, or its object ended. */
	int (*on_row_end)(void *arg, const struct registry_place *place,
			  const struct registry_row_end *end);
	int (*on_event)(void *arg, const struct registry_place *place,
			const struct registry_event *event);
	int (*on_revocation)(void *arg, const struct registry_place *place,
			     const struct registry_revocation *revocation);
};

/* op_node: of the chain's profile, 0 for none. seed: random, against chosen hash collisions. 0 or
 * -ENOMEM. */
int registry_new(uint8_t op_node, const uint8_t seed[static 16], struct registry **ret_registry);
void registry_free(struct registry *registry);
uint8_t registry_op_node(const struct registry *registry);

/* One transaction; heights never go down but by registry_undo(). A transaction that neither spends
 * a live seal nor has our magic costs a lookup an input and a look at its outputs. 0, -ENOMEM, or
 * what the sink returned; after a failure the block has to be taken back by registry_undo(). */
int registry_apply_tx(struct registry *registry, uint32_t height, uint32_t tx_index,
		      const struct tx_view *tx, const struct registry_sink *sink);
/* All transactions of an open block, one after the other. 0, or the first failure. The caller asks
 * block->reason afterwards: of a malformed block some were applied. */
int registry_apply_block(struct registry *registry, uint32_t height, struct block_view *block,
			 const struct registry_sink *sink);

/* Takes back everything above height, which is not below what was pruned. */
void registry_undo(struct registry *registry, uint32_t height);

/* Forgets what ended at height or below: it cannot be undone any more. Before loading: what began
 * there need not be remembered for it. */
void registry_prune(struct registry *registry, uint32_t height);

/* Forgets so much more, the lowest heights first, that at most `changes` beginnings and ends are
 * remembered; but never those above height. */
void registry_bound(struct registry *registry, size_t changes, uint32_t height);
/* Up to which height it has forgotten: further down registry_undo() cannot go. */
uint32_t registry_floor(const struct registry *registry);

/* State of a former run: all objects, then seals, then rows; of each, what ended first, then what
 * is live (to_height REGISTRY_LIVE). 0, -ENOMEM, or -EINVAL for what contradicts what is there. */
int registry_load_object(struct registry *registry, enum object_kind kind,
			 const struct object_id *id, uint32_t from_height, uint32_t to_height);
int registry_load_seal(struct registry *registry, const struct registry_seal *seal,
		       uint32_t from_height, uint32_t to_height);
int registry_load_row(struct registry *registry, const struct record_row *row, uint64_t ref);

/* Whether a transaction is worth keeping: it spends a live seal, or has our magic. */
bool registry_spends_seal(const struct registry *registry, const struct tx_view *tx);

struct registry_counts {
	size_t objects, seals, rows; /* live */
};

void registry_count(const struct registry *registry, struct registry_counts *ret_counts);

#endif
