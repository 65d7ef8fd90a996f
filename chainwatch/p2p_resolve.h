#ifndef CHAINWATCH_P2P_RESOLVE_H
#define CHAINWATCH_P2P_RESOLVE_H

/* Names of peers and of DNS seeds to addresses, in a thread of its own: a resolver that does not
 * answer keeps nobody waiting, not even the end of the process. */

#include "wire/addr.h"

#include <stddef.h>

struct p2p_resolve;

enum { P2P_RESOLVE_MAX = 64 };

/* NULL: no memory or no thread. */
struct p2p_resolve *p2p_resolve_start(const char *host, uint16_t port);
/* Gives it up, done or not. */
void p2p_resolve_free(struct p2p_resolve *resolve);
bool p2p_resolve_is_done(const struct p2p_resolve *resolve);
/* Once it is done: up to P2P_RESOLVE_MAX endpoints, 0 when the name has none. */
size_t p2p_resolve_result(const struct p2p_resolve *resolve, const struct endpoint **ret_list);

#endif
