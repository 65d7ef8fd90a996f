#ifndef NODE_CARRIERS_H
#define NODE_CARRIERS_H

/* Which backend carries the packets between this node and each other member of one dnet
 * (PROTOCOL 9): what this node offers, whose key statements count, and the plan of each backend. */

#include "adapters/adapter.h"
#include "node/netcfg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct carriers;
struct id;
struct identity;
struct slot;

enum { CARRIERS_TEXT_MAX = 256 };

/* Borrowed until carriers_free(). */
struct carriers_env {
	const struct id *curve;
	const struct identity *identity; /* of this node in the dnet */
	struct object_id dnet;
	const char *state_folder;
	struct slot *const *slots; /* in the order of preference */
	size_t slot_count;
};

struct carriers *carriers_new(const struct carriers_env *env);
void carriers_free(struct carriers *c);

/* The mesh to work with, after its first netmap; NULL: it is about to go. */
void carriers_set_mesh(struct carriers *c, struct mesh *mesh, uint64_t now);
/* mesh_io.statement */
void carriers_take_statement(struct carriers *c, const struct statement *statement);
/* Tells members what this node offers, chooses for each of them, and hands each backend its plan.
 * After each new netmap, offer of a member, path, and when a backend has started or says that its
 * offer changed. False: a key could not be stored and is not used until it can; again soon. */
bool carriers_apply(struct carriers *c, const struct netmap *netmap, uint64_t now);

/* The number of the slot that carries the pair, -1: none. */
int carriers_slot(const struct carriers *c, const struct netmap_node *node);
/* Why none does; "" when one does. */
const char *carriers_reason(const struct carriers *c, const struct netmap_node *node,
			    char text[static CARRIERS_TEXT_MAX]);
/* Which one carries, by whose order of preference; as carriers_reason() when none does. */
const char *carriers_choice(const struct carriers *c, const struct netmap_node *node,
			    char text[static CARRIERS_TEXT_MAX]);
/* The host routes to the members that a slot carries; self has our addresses that may be used.
 * Returns how many, room at most. */
size_t carriers_routes(const struct carriers *c, const struct netmap *netmap,
		       const struct netmap_node *self, int slot, struct netcfg_route *routes,
		       size_t room);

#endif
