#ifndef OS_CHAINDB_H
#define OS_CHAINDB_H

/* Reading chain.db (doc/chain-db.md): what chainwatch found on the chain. Read-only, beside the
 * running chainwatch; a handle belongs to one thread at a time. What is in force is not decided
 * here: depth and revocations are the netmap's (RECORDS 5), which gets the raw facts. */

#include "os/base.h"
#include "wire/key.h"
#include "wire/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chaindb;

/* Where chainwatch puts it when nothing else is said. */
#define CHAINDB_PATH DNET_STATEDIR "/chain/chain.db"

enum {
	CHAINDB_SCHEMA = 2, /* of this program; a database with a higher number is refused */
	/* The oldest one that this program reads; chainwatch brings such a database to the newest.
	 */
	CHAINDB_SCHEMA_OLDEST = 1,
	CHAINDB_ERROR_MAX = 512,
	CHAINDB_NAME_SIZE = RECORD_NAME_MAX + 1,
	CHAINDB_CHAIN_MAX = 32,
	CHAINDB_SCRIPT_MAX = 10000, /* a longer one cannot be spent on any chain */
	CHAINDB_WAIT_MS = 2000,	    /* for who has nothing else to do; a loop must not wait */
	/* Rows that ended are visited for this many blocks more, because a reader that wants depth
	 * looks at the state of some blocks ago. */
	CHAINDB_DEPTH_MAX = 1000,
};

/* Opens read-only. While another process has it to itself each call below, and this one, tries
 * again for wait_ms and then fails with -EBUSY. 0, or with a text that names file, cause and next
 * step in error: -ENOENT (not there yet: chainwatch has not run), -EACCES (also when -wal and -shm
 * are missing and cannot be made), -EBUSY (locked), -EPROTONOSUPPORT (a schema that
 * is not CHAINDB_SCHEMA_OLDEST to CHAINDB_SCHEMA), -EBADMSG (damaged, or not a chain.db), -ENOMEM.
 */
int chaindb_open(const char *path, unsigned wait_ms, struct chaindb **ret_db,
		 char error[static CHAINDB_ERROR_MAX]);
void chaindb_close(struct chaindb *db);

/* Text for the last failure of a function below: names file and cause; borrowed. They return 0,
 * -ENOENT where said, -EBUSY, -EBADMSG (damaged), -EIO or -ENOMEM; or what a callback returned
 * other than 0, which ends the visit. */
const char *chaindb_error(const struct chaindb *db);

/* All reads until chaindb_end() see one state. Without them each call sees the newest. Not nested.
 */
int chaindb_begin(struct chaindb *db);
void chaindb_end(struct chaindb *db);

struct chaindb_tip {
	char chain[CHAINDB_CHAIN_MAX]; /* profile: "litecoin-regtest" */
	uint32_t schema;	       /* of the database */
	uint32_t height;
	struct hash256 hash;
	uint32_t time;	 /* of the block, seconds since 1970 */
	uint64_t change; /* grows with every commit that changed anything but the tip, the mempool's
			    included: rows need reading again only when this or height moved */
};

/* -ENOENT when no block has been read yet. */
int chaindb_tip(struct chaindb *db, struct chaindb_tip *ret_tip);

struct chaindb_object {
	enum object_kind kind;
	struct object_id id;
	char name[CHAINDB_NAME_SIZE];
	uint8_t key[PUBKEY_LEN]; /* service key, 33 bytes; of a dnet the newest admin key, 32 */
	size_t key_len;
	uint32_t sequence;    /* of its newest confirmed transaction */
	uint32_t from_height; /* 0: its CREATE is in the mempool only */
	uint32_t to_height;   /* closed there; UINT32_MAX: open */
	bool closed;	      /* there, or by a CLOSE that was seen, whatever became of it */
};

/* -ENOENT. Also an object whose CREATE is still in the mempool. */
int chaindb_find_object(struct chaindb *db, const struct object_id *id,
			struct chaindb_object *ret_object);

typedef int (*chaindb_object_cb)(void *arg, const struct chaindb_object *object);
/* Objects whose id or name begins with text, exact names first; kind 0 means any, text "" all. */
int chaindb_search(struct chaindb *db, enum object_kind kind, const char *text,
		   chaindb_object_cb cb, void *arg);
/* The one open object that text means: its id, else its name, else a beginning of the id (at least
 * 4 characters after the "1") that only it has. -ENOENT, or -ENOTUNIQ when several match;
 * chaindb_error() lists them. */
int chaindb_resolve(struct chaindb *db, enum object_kind kind, const char *text,
		    struct chaindb_object *ret_object);

typedef int (*chaindb_row_cb)(void *arg, const struct record_row *row);
/* Every row that can matter for one dnet, in the order of RECORDS 3.5, its DNET_CREATE, TRANSFERs
 * with an admin key, NODE_PUTs, LINKs, ROSTERs, CLOSE; of each OVC and OVR that it links or linked:
 * CREATE, ENDPOINT_PUTs, CLOSE, and GRANTs to this dnet. Rows that ended (to_height) come for
 * CHAINDB_DEPTH_MAX blocks more. A dnet that does not exist has no rows. */
int chaindb_visit_dnet(struct chaindb *db, const struct object_id *dnet, chaindb_row_cb cb,
		       void *arg);
/* GRANTs made by an OVC or OVR, to any dnet; for ovcd and ovrd. */
int chaindb_visit_grants(struct chaindb *db, const struct object_id *ovx, chaindb_row_cb cb,
			 void *arg);
/* All rows of one object. */
int chaindb_visit_object(struct chaindb *db, const struct object_id *object, chaindb_row_cb cb,
			 void *arg);

/* A revocation that was seen, in a block or only in the mempool (RECORDS 5.2): it stays. */
struct chaindb_revocation {
	struct object_id object; /* whose seal */
	uint8_t type;		 /* of the revoking record; RECORD_CLOSE also for a seal that was
				    spent without a record */
	/* What is revoked, record_key() of the addition; nothing for CLOSE. */
	uint8_t subject[RECORD_KEY_MAX];
	size_t subject_len;
	uint32_t sequence; /* that its transaction makes: rows of a lower one are hidden */
	/* Rows of the same sequence are hidden when out_index * 64 + pos of the row is lower:
	 * UINT32_MAX when another transaction than this one was mined with that sequence. */
	uint32_t position;
	struct hash256 txid;
	uint32_t height; /* of the block where it was first seen; 0: in the mempool */
	uint64_t seen_s; /* wall clock */
};

typedef int (*chaindb_revocation_cb)(void *arg, const struct chaindb_revocation *revocation);
/* Those of the dnet and of each OVC and OVR that it links or linked. */
int chaindb_visit_revocations(struct chaindb *db, const struct object_id *dnet,
			      chaindb_revocation_cb cb, void *arg);
/* Those of one object. */
int chaindb_visit_object_revocations(struct chaindb *db, const struct object_id *object,
				     chaindb_revocation_cb cb, void *arg);

struct chaindb_seal {
	struct outpoint outpoint;
	uint64_t value; /* base units */
	uint8_t script[CHAINDB_SCRIPT_MAX];
	size_t script_len;
	uint32_t sequence; /* of the transaction that made it */
	uint32_t height;   /* 0: in the mempool only */
	uint32_t pending;  /* unconfirmed transactions of the object up to this one */
};

/* What the next transaction of the object has to spend: the newest seal, with follow_pending also
 * from the mempool. -ENOENT: no such object; -ENOLINK: it is closed or its seal was spent (or is
 * being spent) without a record. */
int chaindb_find_seal(struct chaindb *db, const struct object_id *object, bool follow_pending,
		      struct chaindb_seal *ret_seal);
typedef int (*chaindb_seal_cb)(void *arg, const struct chaindb_seal *seal);
/* All seals that the object had, oldest first, then those in the mempool. A script that is longer
 * than CHAINDB_SCRIPT_MAX comes empty. */
int chaindb_visit_seals(struct chaindb *db, const struct object_id *object, chaindb_seal_cb cb,
			void *arg);
/* The object whose confirmed or pending seal this is. -ENOENT. */
int chaindb_find_seal_owner(struct chaindb *db, const struct outpoint *outpoint,
			    struct object_id *ret_object);

struct chaindb_event {
	uint32_t height; /* 0: in the mempool */
	uint32_t time;	 /* of the block; with height 0 when it was seen */
	uint32_t tx_index;
	uint32_t out_index;
	uint32_t pos; /* in the payload */
	uint32_t sequence;
	struct hash256 txid;
	const char *type;    /* "NODE_PUT", "SEAL_LOST", … borrowed */
	const char *text;    /* decoded, for people; borrowed */
	const char *refused; /* NULL: it counts; else why not; borrowed */
	/* The record, or a whole payload that says nothing; borrowed. */
	const uint8_t *raw;
	size_t raw_len;
};

typedef int (*chaindb_event_cb)(void *arg, const struct chaindb_event *event);
/* Everything that was seen of an object, refused claims by its owner included, oldest first; then
 * what waits in the mempool. */
int chaindb_visit_history(struct chaindb *db, const struct object_id *object, chaindb_event_cb cb,
			  void *arg);
/* Where a transaction of ours is: its events (height 0 in the mempool). -ENOENT: not seen. */
int chaindb_visit_transaction(struct chaindb *db, const struct hash256 *txid, chaindb_event_cb cb,
			      void *arg);

#endif
