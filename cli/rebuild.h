#ifndef CLI_REBUILD_H
#define CLI_REBUILD_H

/* Transactions of the journal once more: sent again as they are, or built again with the same
 * records when what they were built upon was replaced. Under keys_lock(); exit codes after the
 * error was printed. */

#include "cli/draft.h"
#include "cli/journal.h"
#include "cli/keys.h"

struct rebuild {
	struct cli *cli;
	struct outbox outbox;	  /* owned */
	struct keystore keystore; /* owned; opened when first needed */
	bool opened;
	uint64_t rate, max_fee;
	uint32_t height;
};

/* Reads the journal; rate and max_fee are of the configuration. */
int rebuild_open(struct cli *cli, struct rebuild *ret_rebuild);
void rebuild_done(struct rebuild *rebuild);
int rebuild_keys(struct rebuild *rebuild);

/* Of the chain in use, and not settled. */
bool rebuild_waits(const struct rebuild *rebuild, const struct outbox_item *item);
/* By its txid or at least 6 digits of its beginning. NULL after the error was printed. */
struct outbox_item *rebuild_find(struct rebuild *rebuild, const char *text);

/* The transaction of an item; ret_raw (TXBUILD_RAW_MAX bytes) holds what it borrows. */
int rebuild_parse(struct cli *cli, const struct outbox_item *item, uint8_t *ret_raw,
		  struct txbuild *ret_tx);
/* The records that a transaction carries; at most size of them, and how many there are. */
size_t rebuild_records(const struct txbuild *tx, struct record *ret_records, size_t size);
/* The script and value of what an item's input 0 spends: by the journal, else by the node. False:
 * neither knows. */
bool rebuild_seal(struct rebuild *rebuild, const struct txbuild *tx, struct txbuild_output *ret);

/* A new item in place of old: in the journal, sent, and known as the newest seal where it is that.
 * *ret_why: the node refused it. */
int rebuild_replace(struct rebuild *rebuild, const struct outbox_item *old, struct draft *draft,
		    char ret_why[static 128]);
/* One that is OUTBOX_AGAIN. */
int rebuild_item(struct rebuild *rebuild, const struct outbox_item *old);
/* All that are OUTBOX_AGAIN, in their order. */
int rebuild_all(struct rebuild *rebuild, size_t *ret_count);
/* The item once more as it is. */
int rebuild_send(struct rebuild *rebuild, struct outbox_item *item, char ret_why[static 128]);

#endif
