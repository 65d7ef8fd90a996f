#ifndef OS_CTL_VALUE_H
#define OS_CTL_VALUE_H

/* Values of ours in JSON that daemons and programs exchange. */

#include <jansson.h>

struct address;

/* Its text at the end of the array; nothing for none. */
void ctl_append_address(json_t *array, const struct address *address);

#endif
