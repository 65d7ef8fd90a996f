#ifndef CORE_HUB_H
#define CORE_HUB_H

/* What ovcd and ovrd share: the members that may come in (nodes in force of the dnets that link us and that we granted).
 * Built from netmaps; a removed member's session is cut at once (RECORDS 5.4, PROTOCOL 1.1). */

#include "core/engine.h"
#include "core/netmap.h"

struct hub;

/* kind: REALM_OVC or REALM_OVR; id: our own object. */
struct hub *hub_new(enum realm_kind kind, const struct object_id *id);
void hub_free(struct hub *hub);
/* Takes over the netmap of one dnet (replaces the one before); it counts only if we are among its helpers. Calls removed() for
 * each key that may no longer be here. 0 or -ENOMEM. */
int hub_set_netmap(struct hub *hub, struct netmap *netmap,
		   void (*removed)(void *ctx, const struct object_id *dnet, const struct node_key *key), void *ctx);
/* No netmap of this dnet any more. */
void hub_drop_dnet(struct hub *hub, const struct object_id *dnet,
		   void (*removed)(void *ctx, const struct object_id *dnet, const struct node_key *key), void *ctx);
bool hub_is_member(const struct hub *hub, const struct object_id *dnet, const struct node_key *key);
/* Our helper row in that dnet's netmap: the grant. NULL: not served. */
const struct netmap_helper *hub_grant(const struct hub *hub, const struct object_id *dnet);

#endif
