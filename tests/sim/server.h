#ifndef SIM_SERVER_H
#define SIM_SERVER_H

/* What an OVC or OVR of the simulation is made of; shared by world.c, records.c and server.c. */

#include "core/hub.h"
#include "core/id.h"
#include "sim/world.h"

struct server *server_new(struct sim_net *net, const struct id *id, enum realm_kind kind,
			  const struct object_id *object);
void server_free(struct server *s);
enum realm_kind server_kind(const struct server *s);
/* What the records of that dnet say now. */
void server_publish(struct server *s, const struct dnet *d);
uint64_t server_deadline(const struct server *s);
void server_tick(struct server *s);

#endif
