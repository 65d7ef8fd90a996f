#ifndef CLI_SUMMARY_H
#define CLI_SUMMARY_H

/* A transaction as people and programs see it before they say yes. */

#include "cli/draft.h"

/* first and count: the records of all that is in it. The caller's. */
json_t *summary_json(const struct draft *draft, const struct record *records, size_t first,
		     size_t count);
/* One that is built when the one before it is sent: only its records are known. */
json_t *summary_later_json(const struct record *records, size_t first, size_t count);
/* close: vout[1] goes back to the wallet. */
void summary_print(const struct cli *cli, const struct draft *draft, const struct record *records,
		   size_t first, size_t count, bool close);
void summary_later_print(const struct cli *cli, const struct record *records, size_t first,
			 size_t count);

#endif
