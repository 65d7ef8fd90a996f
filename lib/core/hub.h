#ifndef CORE_HUB_H
#define CORE_HUB_H

/* What ovcd and ovrd share: the members that may come in (nodes in force of the dnets that link us
 * and that we granted). Built from netmaps; a removed member's session is cut at once (RECORDS 5.4,
 * PROTOCOL 1.1). */

#include "core/engine.h"
#include "core/netmap.h"

struct hub;

/* Called for each key that may no longer be here; hub_is_member() says so already. Both are
 * borrowed for the call. */
typedef void hub_removed(void *ctx, const struct object_id *dnet, const struct node_key *key);

/* kind: REALM_OVC or REALM_OVR; id: our own object. NULL: out of memory. */
struct hub *hub_new(enum realm_kind kind, const struct object_id *id);
void hub_free(struct hub *hub);
/* Takes over the netmap of one dnet (replaces the one before). It counts only if it exists and we
 * are among its helpers; otherwise this is hub_drop_dnet(). 0, or -ENOMEM: nothing changed, the
 * netmap stays the caller's. */
int hub_set_netmap(struct hub *hub, struct netmap *netmap, hub_removed *removed, void *ctx);
/* No netmap of this dnet any more. */
void hub_drop_dnet(struct hub *hub, const struct object_id *dnet, hub_removed *removed, void *ctx);
bool hub_is_member(const struct hub *hub, const struct object_id *dnet, const struct node_key *key);
/* Our helper row in that dnet's netmap: the grant. NULL: not served. Borrowed until that netmap is
 * replaced. */
const struct netmap_helper *hub_grant(const struct hub *hub, const struct object_id *dnet);

/* The dnets that are served, in order of their ids: 0 to hub_count() - 1. Borrowed as hub_grant().
 */
size_t hub_count(const struct hub *hub);
const struct netmap *hub_netmap(const struct hub *hub, size_t i);
/* Another number, and a higher one, for each netmap that was taken over; 0: not served. */
uint64_t hub_change(const struct hub *hub, const struct object_id *dnet);

#endif
