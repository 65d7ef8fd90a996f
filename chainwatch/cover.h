#ifndef CHAINWATCH_COVER_H
#define CHAINWATCH_COVER_H

/* What came to be followed after its block was passed (source = light) is read into a database
 * beside chain.db, block by block as everything is, from its block on: readers see none of it, a
 * kill takes back nothing, and chain.db goes on meanwhile. Where both have the same tip, what is
 * new goes into chain.db in one transaction and the file goes. */

#include "chainwatch/chain.h"

struct cover;

/* The file beside a chain.db; the caller frees it. NULL: no memory. */
char *cover_path(const char *db);
/* Removes what a kill left there. */
void cover_remove(const char *path);

/* Of follows, those whose blocks lie ahead of the tip are covered: they will be read as they come.
 * *ret_behind: there are others; else what a kill left of the file is removed. config is that of
 * the chain. 0 or an error of the store. */
int cover_note_ahead(const struct chain_config *config, const struct light_follow *follows,
		     size_t count, bool *ret_behind);
/* Goes on with the file, or makes it for those others, of which there is at least one. 0, or a
 * negative errno with the cause in ret_error. */
int cover_new(const struct chain_config *config, const struct light_follow *follows, size_t count,
	      struct cover **ret_cover, char ret_error[static STORE_ERROR_MAX]);
void cover_free(struct cover *cover);

/* A step of about budget_ms on the way to the tip of the chain; *ret_done: its rows are in
 * chain.db, which has to be loaded anew, and the file is gone. 0, or a negative errno with the
 * cause in ret_report->error; its state CHAIN_STOPPED: begin anew with another cover. */
int cover_step(struct cover *cover, uint64_t budget_ms, struct chain_report *ret_report,
	       bool *ret_done);
/* What it is at, for status; borrowed. */
const char *cover_doing(const struct cover *cover);

#endif
