#ifndef ADAPTERS_ADAPTER_H
#define ADAPTERS_ADAPTER_H

/* Backends: what carries the packets between this node and other members of a dnet. The node
 * decides what is wanted and keeps interface, addresses and routes; a backend makes the peers that
 * it is given reachable. The mesh on the native engine is there whatever the backend: helpers,
 * paths, revocation and what members tell each other go through it. The same promises hold for each
 * backend, or its status says which do not. */

#include "core/netmap.h"
#include "os/wglink.h"
#include "wire/statement.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct acl_rule;
struct adapter; /* one backend in use for one dnet; each backend has its own inside */
struct conf_list;
struct identity;
struct loop;
struct mesh;

enum {
	ADAPTER_ERROR_MAX = 256,
	ADAPTER_KEY_MAX = 800,	    /* bytes of a backend's public key */
	ADAPTER_ENDPOINTS_MAX = 16, /* of a peer */
	ADAPTER_HUBS_MAX = 16,
};

/* Who makes the interface. */
enum adapter_device {
	ADAPTER_DEVICE_MESH, /* a TUN of the node's data path: native */
	ADAPTER_DEVICE_TUN,  /* a plain TUN (struct tun_pi, no virtio header) that device() gets */
	ADAPTER_DEVICE_WIREGUARD, /* the kernel's, made by the node */
	ADAPTER_DEVICE_PROGRAM,	  /* made by the adapter's program, under the name it is given */
	ADAPTER_DEVICE_NONE,	  /* the program keeps interface, addresses and routes itself */
};

/* Programs that run beside dnetd: as the configuration names them, so that whoever takes over
 * dnetd's engine starts nothing else. */
enum adapter_program { PROGRAM_WIREGUARD_GO, PROGRAM_TINCD, PROGRAM_EXEC, PROGRAM_COUNT };

enum { ADAPTER_CHILD_FDS = 4 };

/* What the node does for adapters with rights that they have not. Every argument is checked again
 * where it is done. 0 or -errno, error() then has a text. */
struct adapter_os {
	void *ctx;
	const char *(*error)(void *ctx);
	/* Starts a program for the interface of this adapter, in the adapter's folder.
	 *   PROGRAM_WIREGUARD_GO  fds: the TUN, its output. It serves /var/run/wireguard/IF.sock.
	 *   PROGRAM_TINCD         fds: its output. Configuration: the adapter's folder.
	 *   PROGRAM_EXEC          fds: stdin, stdout, stderr.
	 * The caller keeps its descriptors. *ret_pidfd is the caller's, readable when it has ended;
	 * then child_reap(). All end with dnetd, however it ends. */
	int (*child_start)(void *ctx, enum adapter_program program, const int *fds,
			   size_t fds_count, int *ret_pidfd, int *ret_pid);
	int (*child_signal)(void *ctx, int pid, int signal); /* TERM KILL HUP INT USR1 USR2 ALRM */
	int (*child_reap)(void *ctx, int pid, int *ret_status); /* as waitpid(); -EAGAIN: it runs */
	/* A socket for rawudp_init(), to probe from the backend's own port; family: ADDR_V4 or
	 * ADDR_V6. The caller's. wireguard alone. */
	int (*raw_open)(void *ctx, uint8_t family, uint16_t port, int *ret_fd);
	/* Of ADAPTER_DEVICE_WIREGUARD, as os/wglink.h has them. */
	int (*wireguard_set)(void *ctx, uint32_t index, const uint8_t *private_key, uint16_t port,
			     const struct wglink_peer *peers, size_t count);
	int (*wireguard_get)(void *ctx, uint32_t index, struct wglink_device *ret_device,
			     wglink_visit_peer *visit, void *visit_ctx);
	/* Of these three, in place of error(). */
	const char *(*helper_error)(void *ctx);
};

/* What the node gives. All borrowed until teardown(). */
struct adapter_host {
	void *ctx; /* of event, carry and changed */
	struct loop *loop;
	const struct adapter_os *os;
	const struct identity *identity; /* of this node in the dnet */
	struct object_id dnet;
	const char *interface; /* its name */
	const char *folder;    /* in the state folder: of this interface alone; 0700 */
	struct mesh *mesh;
	uint16_t mtu;  /* of the interface */
	bool use_hubs; /* the configuration lets OVCs' hubs read what goes through them */
	/* For log and subscribers. key: whom it is about, NULL: the backend itself. */
	void (*event)(void *ctx, const struct node_key *key, const char *text);
	/* One datagram to the same backend of a peer through the control plane's session, direct or
	 * relayed. False: no way to it now. */
	bool (*carry)(void *ctx, const struct node_key *key, const void *bytes, size_t len);
	/* What offer() says has changed. */
	void (*changed)(void *ctx);
};

/* One member that this backend is to carry. */
struct adapter_peer {
	const struct netmap_node *node;
	/* Of its backend, from a statement that its node key signed; NULL: not known yet, nothing
	 * may be sent to it. */
	const uint8_t *key;
	size_t key_len;
	const struct endpoint *endpoints; /* of its backend, best first */
	size_t endpoint_count;
	bool reachable; /* carry() reaches it now */
};

/* A rendezvous server's own node of this backend (tinc: the hub that members connect to). */
struct adapter_hub {
	struct object_id ovc;
	const uint8_t *key;
	size_t key_len;
	const struct endpoint *endpoints;
	size_t endpoint_count;
};

/* All that is wanted of one backend at a time. Borrowed during apply(). */
/* The native backend gets netmap and self alone. */
struct adapter_plan {
	const struct netmap *netmap;
	const struct netmap_node *self;
	const struct adapter_peer *peers; /* sorted by node key */
	size_t peer_count;
	const struct adapter_hub *hubs;
	size_t hub_count;
	/* None: members may talk to members. No groups are in them. */
	const struct acl_rule *rules;
	size_t rule_count;
};

/* What peers are told of us. Borrowed until the next call. */
struct adapter_offer {
	const uint8_t *key; /* NULL: this backend needs none */
	size_t key_len;
	uint16_t port;			  /* UDP or TCP, 0: none */
	const struct endpoint *endpoints; /* beside this machine's addresses with that port */
	size_t endpoint_count;
};

struct adapter_status {
	bool applied;	     /* the plan in force is what apply() got last */
	const char *error;   /* NULL: none; static or borrowed until the next call */
	const char *limits;  /* promises that this backend does not keep; NULL: keeps all */
	const char *program; /* version or state of the program beside us; NULL: none */
};

struct adapter_peer_status {
	struct node_key key;
	uint64_t rx_bytes, tx_bytes; /* UINT64_MAX: it does not count them */
	uint64_t last_handshake_s;   /* seconds ago; UINT64_MAX: never */
	struct endpoint endpoint;    /* family ADDR_NONE: none */
	bool connected;
	bool bridged;	    /* through the control plane */
	const char *reason; /* why it is as it is; static or borrowed during the visit; not NULL */
};
typedef void adapter_visit_peer(void *ctx, const struct adapter_peer_status *status);

struct adapter_ops {
	const char *name; /* as in the configuration */
	const char *summary;
	enum backend backend;
	enum adapter_program program; /* PROGRAM_COUNT: none */
	/* Whether this machine can run it, and with which device: 0, or -errno and a text that
	 * names the next step. program: path of its program. */
	int (*probe)(const char *program, enum adapter_device *ret_device,
		     char error[static ADAPTER_ERROR_MAX]);
	/* A backend without a plan yet: carries nothing. 0 or -errno. */
	int (*start)(const struct adapter_host *host, struct adapter **ret_adapter);
	/* The interface is there (fd: ADAPTER_DEVICE_TUN's, the node's, else -1), or has gone
	 * (index 0). NULL op: it does not matter. */
	void (*device)(struct adapter *adapter, uint32_t index, int fd);
	/* Makes it so; what was carried and is no longer in the plan is cut before it returns, and
	 * what did not change is not touched. 0; else -errno and the one before stays in force but
	 * for peers that went, which are cut all the same. */
	int (*apply)(struct adapter *adapter, const struct adapter_plan *plan, uint64_t now);
	/* NULL op: nothing is offered but the name. */
	void (*offer)(const struct adapter *adapter, struct adapter_offer *ret_offer);
	/* A datagram that a peer's carry() sent. NULL op: dropped. */
	void (*carried)(struct adapter *adapter, const struct node_key *key, const uint8_t *bytes,
			size_t len);
	void (*status)(const struct adapter *adapter, struct adapter_status *ret_status);
	/* NULL op: the mesh knows. */
	void (*visit_peers)(const struct adapter *adapter, adapter_visit_peer *visit, void *ctx);
	/* Takes everything back; frees. */
	void (*teardown)(struct adapter *adapter);
};

extern const struct adapter_ops adapter_native;
extern const struct adapter_ops adapter_tinc;
extern const struct adapter_ops adapter_exec;

/* NULL: no such backend. */
const struct adapter_ops *adapter_find(const char *name);
/* NULL: no such number. */
const struct adapter_ops *adapter_find_backend(enum backend backend);
/* What the backend wireguard runs on: "auto", "kernel", "go"; NULL: none of them. */
const struct adapter_ops *adapter_choose_wireguard(const char *choice);
/* "native, …": for errors and help. Static. */
const char *adapter_names(void);

#endif
