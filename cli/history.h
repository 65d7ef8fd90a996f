#ifndef CLI_HISTORY_H
#define CLI_HISTORY_H

/* `dnet history`: what the owner of an object wrote, a transaction a paragraph, with what it
 * changed. */

#include "cli/cli.h"

extern const struct arg_option history_options[];

int run_history(struct cli *cli, const struct args *args);

#endif
