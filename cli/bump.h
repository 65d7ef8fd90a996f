#ifndef CLI_BUMP_H
#define CLI_BUMP_H

#include "cli/cli.h"

/* dnet bump TXID: the same records and the same first input, so the same id and order, at a higher
 * fee (BIP125). */
int bump_run(struct cli *cli, const struct args *args);

#endif
