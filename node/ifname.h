#ifndef NODE_IFNAME_H
#define NODE_IFNAME_H

/* Names of the interfaces that are ours: the prefix of the configuration and a number. */

#include <stdbool.h>
#include <stdint.h>

enum { IFNAME_DIGITS_MAX = 4 };

/* False: another's. ret_number: NULL, when only that is asked. */
bool ifname_parse(const char *name, const char *prefix, uint32_t *ret_number);

#endif
