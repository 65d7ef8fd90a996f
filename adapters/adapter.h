#ifndef ADAPTERS_ADAPTER_H
#define ADAPTERS_ADAPTER_H

/* Backends: what carries the packets of one dnet. The node decides what is wanted (a netmap) and
 * keeps interface, addresses and routes; a backend makes the peers reachable. The same promises
 * hold for each, or its status says which do not. */

#include "core/engine.h"
#include "core/netmap.h"
#include "core/packet.h"

#include <stdbool.h>
#include <stdint.h>

struct adapter; /* one backend in use for one dnet; each backend has its own inside */
struct identity;
struct mesh;

/* What the node gives. All borrowed until teardown(). */
struct adapter_host {
	void *ctx; /* of deliver and event */
	struct engine *engine;
	const struct engine_io *engine_io;
	const struct identity *identity; /* of this node in the dnet */
	struct object_id dnet;
	unsigned gso_usable; /* super-packets that the TUN takes: bit per enum gso_type */
	/* As mesh_io. */
	void (*deliver)(void *ctx, struct packet *packet);
	void (*event)(void *ctx, const struct node_key *key, const char *text);
};

enum { ADAPTER_ERROR_MAX = 256 };

struct adapter_status {
	bool applied;	    /* the netmap in force is what apply() got last */
	const char *error;  /* NULL: none; static or borrowed until the next call */
	const char *limits; /* promises that this backend does not keep; NULL: keeps all */
};

struct adapter_ops {
	const char *name; /* as in the configuration */
	const char *summary;
	/* Whether this machine can run it: 0, or -errno and a text that names the next step. */
	int (*probe)(char error[static ADAPTER_ERROR_MAX]);
	/* A backend without a netmap yet: carries nothing. 0 or -errno. */
	int (*start)(const struct adapter_host *host, struct adapter **ret_adapter);
	/* Makes it so; removed nodes are cut before it returns. Takes over netmap when 0; else
	 * -errno, nothing changed, and netmap stays the caller's. What changed against the one
	 * before: netmap_diff(). */
	int (*apply)(struct adapter *adapter, struct netmap *netmap, uint64_t now);
	void (*status)(const struct adapter *adapter, struct adapter_status *ret_status);
	/* Takes everything back; frees. */
	void (*teardown)(struct adapter *adapter);
	/* The mesh that TUN and UDP are to be wired to; NULL op: the backend has its own device. */
	struct mesh *(*mesh)(struct adapter *adapter);
};

extern const struct adapter_ops adapter_native;

/* NULL: no such backend. */
const struct adapter_ops *adapter_find(const char *name);
/* "native, …": for errors and help. Static. */
const char *adapter_names(void);

#endif
