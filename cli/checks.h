#ifndef CLI_CHECKS_H
#define CLI_CHECKS_H

/* What would be written and mean nothing: an address outside the dnet's network, a name that
 * another node has, the removal of what is not there. */

#include "cli/publish.h"

/* As far as chain.db shows; without a chain.db only what the records themselves show. What others
 * hold is looked at only while no update of the object waits for a block. 0, or an exit code after
 * the error was printed. */
int checks_run(struct cli *cli, const struct publish *publish);

#endif
