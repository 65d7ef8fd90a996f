#ifndef SERVICE_USAGE_H
#define SERVICE_USAGE_H

/* How much each tenant has used, in a file of the state folder, so that a limit in all holds over
 * restarts. What was used since the last usage_save() is lost with a killed process. */

#include "wire/key.h"

#include <stdint.h>

struct usage;

/* get and set ask and tell the one who counts; arg is theirs. A file that is damaged is said in the
 * log, kept aside, and counting begins anew. One that cannot be read now (an I/O error, no
 * descriptors) is said, too, read at a later usage_save(), and not written before that. */
struct usage *usage_open(const char *folder,
			 uint64_t (*get)(void *arg, const struct object_id *dnet),
			 int (*set)(void *arg, const struct object_id *dnet, uint64_t bytes),
			 void *arg);
void usage_close(struct usage *usage);
/* A tenant is served: at the first time the one who counts is told what the file has. */
void usage_load(struct usage *usage, const struct object_id *dnet);
/* Writes the file when a number changed. */
void usage_save(struct usage *usage);

#endif
