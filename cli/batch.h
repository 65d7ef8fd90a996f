#ifndef CLI_BATCH_H
#define CLI_BATCH_H

/* Many records of one command: read from a file, and gone on with after an interruption. */

#include "cli/publish.h"

/* NODE_PUTs of a file of members.h, "-": standard input. Every line is checked, and every one that
 * is wrong is named. NULL after the errors were printed; the caller's (free). */
struct publish *batch_read(struct cli *cli, const char *path);

/* What is wrong with a list, each with its line: twenty are printed, and how many more there are;
 * with
 * --json the first alone. */
struct errors {
	struct cli *cli;
	const char *source; /* of the list, for people; borrowed */
	bool quiet;	    /* as it was in cli before */
	size_t count;
	int code; /* exit code of the first */
};

/* Around what may print one: it is about this line. */
void errors_at(struct errors *e, uint32_t line);
/* code 0: it printed none. */
void errors_count(struct errors *e, int code);
/* Exit code of them all; nothing was sent. */
int errors_end(struct errors *e);

/* Looks through the journal before anything is built: what settled is marked, what of a batch was
 * signed is sent again, and its records are done. dry: only looks. Exit code. */
int batch_resume(struct cli *cli, struct publish *publish, bool dry);

#endif
