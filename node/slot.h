#ifndef NODE_SLOT_H
#define NODE_SLOT_H

/* One backend of one dnet at work on this machine: its adapter and its interface. A dnet has one
 * for each backend of its list (settings_backends()); the first one's interface has the dnet's
 * addresses and prefixes, that of another one routes to just the members that it carries. */

#include "adapters/adapter.h"
#include "node/netcfg.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard;
struct mesh;
struct netlink;
struct priv;
struct spawn;

enum {
	SLOTS_MAX = 4,		 /* of a dnet */
	SLOT_NUMBER_STEP = 1000, /* between the interfaces of one dnet: dnet0, dnet1000, … */
};

/* What a slot needs; borrowed until slot_free(). */
struct slot_env {
	struct loop *loop;
	struct priv *priv;
	struct netlink *nl;
	struct spawn *spawn; /* NULL: none */
	const char *state_folder;
	const char *programs[PROGRAM_COUNT]; /* paths; NULL: not configured */
	uint16_t mtu;
	bool use_hubs;
	const struct identity *identity;
	struct object_id dnet;
};

struct slot_io {
	void *ctx;
	/* ADAPTER_DEVICE_MESH: the TUN of the data path is there; fd -1: it is going. */
	void (*tun)(void *ctx, int fd, enum tun_offload offload);
	void (*event)(void *ctx, const struct node_key *key, const char *text);
	bool (*carry)(void *ctx, enum backend backend, const struct node_key *key,
		      const void *bytes, size_t len);
	void (*changed)(void *ctx); /* the slot's offer */
};

struct slot;

/* number: of the interface. Nothing happens yet. */
struct slot *slot_new(const struct slot_env *env, const struct slot_io *io,
		      const struct adapter_ops *ops, const char *interface_prefix, uint32_t number);
void slot_free(struct slot *slot); /* takes everything back */

/* At the start: removes what backends keep in the state folder, their keys too, for interfaces of
 * no joined dnet. A process that was killed while it left one has not, and the next dnet must not
 * begin with the keys of another. is_joined: asked with the number of the dnet's first interface.
 */
void slot_sweep(const char *state_folder, const char *interface_prefix,
		bool (*is_joined)(void *ctx, uint32_t number), void *ctx);

/* Starts the adapter if it is not running; what it cannot is in slot_status(), and is tried again
 * with the next call. */
void slot_start(struct slot *slot, struct mesh *mesh);
void slot_stop(struct slot *slot);
/* The dnet is being left: stops it, and what its program kept goes, keys too. */
void slot_leave(struct slot *slot);
/* Only while it runs; else nothing happens. */
void slot_apply(struct slot *slot, const struct adapter_plan *plan, uint64_t now);
void slot_carried(struct slot *slot, const struct node_key *key, const uint8_t *bytes, size_t len);
/* The interface as wanted: filled in but for name, device, table and metric; NULL: none. */
void slot_set_wanted(struct slot *slot, const struct netcfg_wanted *wanted, uint32_t table_base);

const struct adapter_ops *slot_ops(const struct slot *slot);
struct netcfg *slot_netcfg(const struct slot *slot);
const char *slot_interface(const struct slot *slot);
/* The adapter runs. */
bool slot_runs(const struct slot *slot);
/* It carries packets: the adapter runs and its interface is there. */
bool slot_is_up(const struct slot *slot);
/* Compares the interface and its filter with what is wanted, and repairs. Returns in how many ms to
 * call again at the latest. */
uint64_t slot_pass(struct slot *slot, uint64_t now_ms);
/* All that is wanted of it is there. */
bool slot_is_good(const struct slot *slot);
/* What its TUN leaves to the data path; TUN_OFFLOAD_BARE too where there is none. */
enum tun_offload slot_offload(const struct slot *slot);
/* NULL: packets of this backend pass the data path, or its program keeps the interface. */
struct guard *slot_guard(const struct slot *slot);
/* Of a slot with a guard: packets are refused and let through as the policy says. ret_error: why
 * not, NULL: it will be soon; borrowed. */
bool slot_filter_is_good(const struct slot *slot, const char **ret_error);
/* Of the adapter's interface when the node keeps it. */
bool slot_has_interface(const struct slot *slot);
void slot_status(const struct slot *slot, struct adapter_status *ret_status);
/* False: it has no peers of its own to tell of (native: the mesh knows). */
bool slot_visit_peers(const struct slot *slot, adapter_visit_peer *visit, void *ctx);
void slot_offer(const struct slot *slot, struct adapter_offer *ret_offer);

#endif
