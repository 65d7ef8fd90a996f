#ifndef CHAINWATCH_SOURCE_SWITCH_H
#define CHAINWATCH_SOURCE_SWITCH_H

/* Several sources as one: the best that works is asked, the others stand by. Sources for history
 * (bulk) come first while the reader is far behind, once. */

#include "chainwatch/source.h"

struct switch_member {
	struct source *source; /* owned by the switch once it is made */
	const char *shown;     /* borrowed, outlives the switch */
};

struct switch_config {
	const struct chainparams *params; /* borrowed */
	const struct switch_member *members;
	size_t count;	    /* 1 to SOURCE_PARTS_MAX */
	uint64_t return_ms; /* so long a better one has to answer well before it is asked again */
	uint64_t (*now)(void); /* ns; NULL: the monotonic clock */
};

/* 0 or -ENOMEM; then the members are still the caller's. */
int source_switch_new(const struct switch_config *config, struct source **ret_source);

#endif
