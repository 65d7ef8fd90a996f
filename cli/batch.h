#ifndef CLI_BATCH_H
#define CLI_BATCH_H

/* Many records of one command: read from a file, and gone on with after an interruption. */

#include "cli/publish.h"

/* NODE_PUTs of a file of members.h, "-": standard input. Every line is checked, and every one that
 * is wrong is named. NULL after the errors were printed; the caller's (free). */
struct publish *batch_read(struct cli *cli, const char *path);

/* Looks through the journal before anything is built: what settled is marked, what of a batch was
 * signed is sent again, and its records are done. dry: only looks. Exit code. */
int batch_resume(struct cli *cli, struct publish *publish, bool dry);

#endif
