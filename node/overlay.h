#ifndef NODE_OVERLAY_H
#define NODE_OVERLAY_H

/* One joined dnet: its netmap, its mesh, its backends with their interfaces.
 *
 *	DOWN      the user took it down
 *	WAITING   nothing is known of the dnet yet, or this node's key is not in it
 *	CLOSED    the owner has closed it
 *	STARTING  a member; the interface is not there yet
 *	UP        a member, the first backend carries packets
 *
 * overlay_refresh() is the only place that moves between them: after each change on the chain, of
 * the interface, or by the user. */

#include "core/engine.h"
#include "core/id.h"
#include "core/netmap.h"
#include "node/slot.h"
#include "service/lastgood.h"
#include "wire/bech32.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct carriers;
struct chain;
struct datapath;
struct datapath_port;
struct dnetd_config;
struct loop;
struct mesh;
struct names;
struct netlink;
struct netlink_event;
struct overlay;
struct pings;
struct priv;
struct rosters;
struct spawn;
struct state;

/* What all overlays of a node share; borrowed. */
struct overlay_env {
	const struct dnetd_config *config;
	struct loop *loop;
	struct priv *priv;
	struct spawn *spawn; /* NULL: none */
	struct netlink *nl;
	struct state *state;
	struct chain *chain;
	struct engine *engine;
	const struct engine_io *engine_io;
	struct datapath *datapath;
	struct pings *pings;
	const struct id *id;
	/* A peer's or helper's path changed (key is not NULL), or the state of the dnet. */
	void (*event)(void *arg, struct overlay *overlay, const struct node_key *key,
		      const char *text);
	void *arg;
};

enum { OVERLAY_TEXT_MAX = 256 };

enum overlay_state { OVERLAY_DOWN, OVERLAY_WAITING, OVERLAY_CLOSED, OVERLAY_STARTING, OVERLAY_UP };

struct overlay {
	TAILQ_ENTRY(overlay) entry;
	const struct overlay_env *env; /* borrowed */
	struct object_id id;
	char id_text[OBJECT_ID_TEXT_SIZE];
	uint32_t number;
	struct identity identity;
	enum overlay_state state;
	struct lastgood lastgood;
	struct rosters *rosters; /* owned */
	/* Newest, NULL: none; the mesh's when mesh_has_netmap, else owned. */
	struct netmap *netmap;
	bool mesh_has_netmap;
	char ipv4_error[256];	       /* why the dnet's IPv4 is left out; "": it is not */
	struct mesh *mesh;	       /* owned; NULL: this node is no member */
	struct slot *slots[SLOTS_MAX]; /* owned; in the order of the configuration */
	size_t slot_count;
	struct carriers *carriers;     /* owned */
	struct loop_timer *plan_timer; /* owned; who carries whom is to be looked at again */
	struct datapath_port *port;    /* owned */
	struct names *names;	       /* owned; resolves helpers' host names */
	struct loop_timer *timer;      /* owned; next pass of netcfg */
	struct loop_timer *look_timer; /* owned; NETCFG_LOOK_MS */
	bool drifted;		       /* the timer waits for the end of a burst of changes */
	struct endpoint local[8];      /* last given */
	size_t local_count;
};

struct overlay *overlay_new(const struct overlay_env *env, const struct object_id *id,
			    uint32_t number);
void overlay_free(struct overlay *o); /* takes everything back */
/* The same for good: keys of backends go too. */
void overlay_leave(struct overlay *o);

/* Reads the chain again and makes it so. */
void overlay_refresh(struct overlay *o);
void overlay_on_netlink(struct overlay *o, const struct netlink_event *event);
void overlay_set_local(struct overlay *o, const struct endpoint *endpoints, size_t count,
		       bool changed);

/* Of the first backend: the one that people know it by. */
const char *overlay_interface(const struct overlay *o);
/* Whether this is one of its interfaces. */
bool overlay_has_interface(const struct overlay *o, uint32_t index);
/* The parts of its interfaces are all as wanted. */
bool overlay_is_good(const struct overlay *o);
/* Text of the state for people, with the next step. */
const char *overlay_state_text(const struct overlay *o, char text[static OVERLAY_TEXT_MAX]);

#endif
