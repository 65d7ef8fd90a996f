#ifndef SERVICE_INPUTCOPY_H
#define SERVICE_INPUTCOPY_H

/* The input of netmap_build() as JSON and back: the copy that a node starts from when chain.db
 * cannot be read. */

#include "core/netmap.h"

#include <jansson.h>

/* NULL: a row cannot be written, or out of memory. */
json_t *input_to_json(const struct netmap_input *input);
/* False when anything is not as input_to_json() writes it. Rows and revocations are the caller's:
 * input_free(). */
bool input_from_json(const json_t *json, struct netmap_input *ret_input);

#endif
