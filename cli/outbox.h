#ifndef CLI_OUTBOX_H
#define CLI_OUTBOX_H

/* The journal beside the keystore (FILE.outbox): what was signed, before it is sent, and what
 *became of it. Text, a line of JSON each, only ever appended to until all of it is settled:
 *
 *	{"tx": {chain, kind, id, label, what, raw, txid, fee, value, sequence, …}}
 *	{"mark": txid, "state": "sent"|"again"|"gone", "why": text}
 *
 * A last line that was cut off by a kill is as if it had not been begun. */

#include "core/keystore.h"
#include "wire/bech32.h"
#include "wire/hex.h"
#include "wire/key.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum outbox_state {
	OUTBOX_SIGNED, /* perhaps sent */
	OUTBOX_SENT,
	OUTBOX_AGAIN, /* what it was built upon is replaced: to be built again */
	OUTBOX_GONE,  /* confirmed, replaced or given up: not of interest any more */
};

enum {
	OUTBOX_WHAT_SIZE = 96,
	OUTBOX_BATCH_SIZE = 33,
	OUTBOX_FILE_MAX = 256 << 20,
	OUTBOX_ITEMS_MAX = 1 << 20,
	OUTBOX_SMALL = 256 << 10, /* a file of more bytes is written anew when all is gone */
};

struct outbox_item {
	char chain[KEYSTORE_TEXT_SIZE];
	enum object_kind kind;
	struct object_id id;
	char label[KEYSTORE_TEXT_SIZE];
	char what[OUTBOX_WHAT_SIZE];
	char *raw; /* owned; hex */
	struct hash256 txid;
	uint64_t fee;
	uint64_t value;	   /* of the seal that it spends */
	uint32_t sequence; /* that it makes; 0: a CREATE */
	uint32_t height;   /* when it was signed */
	bool close;	   /* vout[1] is no seal */
	bool foreign;	   /* the seal was not signed by this keystore alone */
	/* Of a batch, "" where it is none: which of its records are in here. */
	char batch[OUTBOX_BATCH_SIZE];
	uint32_t first, count, of;
	enum outbox_state state;
	char why[OUTBOX_WHAT_SIZE];
};

struct outbox {
	struct outbox_item *items; /* owned; in the order of signing */
	size_t count, size;
};

void outbox_done(struct outbox *outbox);
/* Lines up to the first that is not as written; *ret_used is where that begins. 0 or -ENOMEM. */
int outbox_parse(const char *text, size_t len, struct outbox *ret_outbox, size_t *ret_used);
/* The caller's (free), with its newline; NULL: no memory. */
char *outbox_format(const struct outbox_item *item);
/* The newest of this txid; NULL. */
struct outbox_item *outbox_find(const struct outbox *outbox, const struct hash256 *txid);
const char *outbox_state_name(enum outbox_state state);

#endif
