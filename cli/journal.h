#ifndef CLI_JOURNAL_H
#define CLI_JOURNAL_H

/* The outbox as a file. All under keys_lock(), and with exit codes after the error was printed. */

#include "cli/cli.h"
#include "cli/outbox.h"

/* All that was signed; the caller's (outbox_done()). A line that a kill cut off is taken away. */
int journal_load(struct cli *cli, struct outbox *ret_outbox);
/* On the disk when it returns 0. After a journal_load() under the same lock. */
int journal_add(struct cli *cli, const struct outbox_item *item);
int journal_mark(struct cli *cli, const struct hash256 *txid, enum outbox_state state,
		 const char *why);

#endif
