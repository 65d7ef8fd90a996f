#ifndef SIM_SERVER_H
#define SIM_SERVER_H

/* What an OVC or OVR of the simulation is made of; shared by world.c and server.c. */

#include "core/hub.h"
#include "core/id.h"
#include "sim/world.h"

struct server *server_new(struct sim_net *net, const struct id *id, enum realm_kind kind,
			  const struct object_id *object, const struct object_id *dnet);
void server_free(struct server *s);
const struct node_key *server_key(const struct server *s);
const struct object_id *server_object(const struct server *s);
/* Takes over the netmap. */
void server_set_netmap(struct server *s, struct netmap *netmap);
uint64_t server_deadline(const struct server *s);
void server_tick(struct server *s);

#endif
