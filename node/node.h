#ifndef NODE_NODE_H
#define NODE_NODE_H

/* The engine process of dnetd: engine, sockets, chain and all joined dnets on one loop. */

#include "core/id.h"
#include "node/local.h"
#include "node/overlay.h"
#include "os/udp.h"

#include <stdint.h>
#include <sys/queue.h>

struct ctl_server;
struct dnetd_config;
struct loop;
struct netlink_monitor;
struct pings;
struct priv;
struct spawn;

struct node {
	const struct dnetd_config *config; /* borrowed */
	struct loop *loop;		   /* borrowed */
	struct priv *priv;		   /* borrowed */
	struct spawn *spawn;		   /* borrowed; NULL: none */
	struct id *id;			   /* these and all below are owned */
	struct state *state;
	struct netlink *nl;
	struct netlink_monitor *monitor;
	struct udp_socket udp4, udp6;
	struct datapath *datapath;
	struct engine_io engine_io;
	struct engine *engine;
	struct chain *chain;
	struct ctl_server *ctl;
	struct pings *pings;
	struct overlay_env env;
	TAILQ_HEAD(overlay_list, overlay) overlays;
	struct loop_fd *monitor_watch, *priv_watch, *spawn_watch;
	uint64_t time_used_s; /* no timestamp of this run or a former one is later */
	struct loop_timer *time_timer;
	struct loop_timer *local_timer;
	bool look_waits;  /* local_timer runs */
	bool events_lost; /* since it last did */
	struct endpoint local[LOCAL_ENDPOINTS_MAX];
	size_t local_count;
	bool failed; /* stopped because it cannot go on: exit status 1 */
};

/* Opens state, sockets and control socket, and brings up what was joined. 0, or -errno and it has
 * been said; then node_stop() frees what there is. The process may have more rights now than later:
 * node_run() does not need them. */
int node_start(struct node *node, const struct dnetd_config *config, struct loop *loop,
	       struct priv *priv, struct spawn *spawn);
/* Reads the chain and brings up the dnets; after the sandbox is entered. */
void node_run(struct node *node);
void node_stop(struct node *node);

/* By id text ("dnet1…", or a join link "dnet:dnet1…?…"), interface or name; NULL text: the only one
 * there is. NULL: none. */
struct overlay *node_find(const struct node *node, const char *text);
/* roster: where the join link says that it is, or "". 0, -EEXIST, -EUSERS (too many), or -errno of
 * the state folder. */
int node_join(struct node *node, const struct object_id *id, const char *roster,
	      struct overlay **ret_overlay);
int node_leave(struct node *node, struct overlay *overlay);
int node_set_down(struct node *node, struct overlay *overlay, bool down);

#endif
