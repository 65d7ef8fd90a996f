#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "cli/cli.h"

/* Waits until chain.db has a transaction that was sent, as long as the configuration says; without
 * chainwatch it does not. *ret_seen: it has. 0 or CLI_TIMEOUT. */
int watch_seen(struct cli *cli, const struct hash256 *txid, bool *ret_seen);

#endif
