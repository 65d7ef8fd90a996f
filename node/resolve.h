#ifndef NODE_RESOLVE_H
#define NODE_RESOLVE_H

/* A host name's addresses, asked for in a thread of its own, because libc's resolver blocks. */

#include "wire/addr.h"

#include <stddef.h>

struct loop;
struct resolve;

enum { RESOLVE_ADDRESSES_MAX = 8 };

/* count 0: there are none, or the resolver failed with this text (NULL: it did not). Called once,
 * from the loop. */
typedef void (*resolve_cb)(void *arg, const struct address *addresses, size_t count,
			   const char *error);

/* NULL: no thread or socket can be had now. */
struct resolve *resolve_start(struct loop *loop, const char *host, resolve_cb cb, void *arg);
/* It is not called back any more; not needed, and not allowed, after it was. */
void resolve_cancel(struct resolve *resolve);

#endif
