#ifndef NODE_PRIVOPS_PARTS_H
#define NODE_PRIVOPS_PARTS_H

/* What the two sides of the root helper say to each other. Inside of privops only. */

#include "core/filter.h"
#include "node/privops.h"
#include "os/base.h"
#include "os/proc.h"
#include "os/wglink.h"

/* The closed list. Numbers are between two processes of one build. */
enum priv_op {
	PRIV_TUN_OPEN = 1,
	PRIV_TUN_OPEN_PLAIN,
	PRIV_LINK_ADOPT,
	PRIV_TUN_CLOSE,
	PRIV_LINK_UP,
	PRIV_LINK_QUIETEN,
	PRIV_LINK_RENAME,
	PRIV_LINK_MTU,
	PRIV_LINK_TXQLEN,
	PRIV_ADDRESS_ADD,
	PRIV_ADDRESS_DELETE,
	PRIV_ROUTE_ADD,
	PRIV_ROUTE_DELETE,
	PRIV_RULE_ADD,
	PRIV_RULE_DELETE,
	PRIV_RULES_SWEEP,
	PRIV_RAW_OPEN,
	PRIV_LINK_WIREGUARD,
	PRIV_WIREGUARD_SET,
	PRIV_WIREGUARD_GET,
	PRIV_FILTER_SERVICES,
	PRIV_FILTER_ELEMENTS,
	PRIV_FILTER_COMMIT,
	PRIV_FILTER_GET,
	PRIV_FILTER_CLEAR,
};

struct priv_request {
	uint32_t op; /* enum priv_op */
	uint32_t index;
	uint32_t number; /* MTU, queue length, metric, offload, priority, port,
			    peers or the first of them */
	uint32_t table;
	char name[IF_NAMESIZE];
	struct prefix prefix;	/* address and bits; destination; IPv4 prefix of the interface;
				   family */
	struct address address; /* preferred source */
};

struct priv_reply {
	int32_t result;
	uint32_t index;
	uint32_t offload;
	uint32_t count, total; /* of peers */
	char error[PRIV_ERROR_MAX];
	uint64_t counters[FILTER_COUNTER_COUNT]; /* of PRIV_FILTER_GET */
};

/* A request with what PRIV_FILTER_SERVICES and PRIV_FILTER_ELEMENTS bring beside it. */
struct priv_message {
	struct priv_request request;
	union {
		struct filter_service services[64];
		struct filter_element elements[1024];
	};
};

/* Memory of both: what goes with PRIV_WIREGUARD_SET, and comes with PRIV_WIREGUARD_GET. The helper
 * copies before it looks. */
enum { PRIV_PEERS_AT_ONCE = 64 };

struct priv_shared {
	uint32_t set_key; /* private_key is to be set */
	uint16_t port;	  /* 0: stays */
	uint8_t private_key[WGLINK_KEY_LEN];
	struct wglink_peer peers[PRIV_PEERS_AT_ONCE];
};

/* ---- The privileged side ---- */

struct interface {
	uint32_t index; /* 0: free */
	char name[IF_NAMESIZE];
	char kind[16];
	struct prefix ipv4;
	uint32_t table; /* its own */
};

struct helper {
	int fd;
	const char *prefix; /* borrowed */
	uint32_t table_base;
	bool adopt, wireguard;
	struct netlink *nl;	   /* owned */
	struct wglink *wglink;	   /* owned; NULL: wireguard is not configured */
	struct privfilter *filter; /* owned; NULL: nobody needs one */
	struct priv_shared *shared;
	struct wglink_peer *peers; /* owned; of the last PRIV_WIREGUARD_GET from 0 on */
	size_t peer_count, peer_room;
	struct interface interfaces[PRIV_INTERFACES_MAX];
};

/* Inside fd00::/8, at least a /16, or inside the interface's IPv4 prefix. */
bool priv_range_is_ours(const struct interface *i, const struct prefix *range);

/* ---- The engine's side ---- */
struct priv {
	struct proc_child child;
	bool lost; /* an answer did not come: a later one may not be taken for it */
	char error[PRIV_ERROR_MAX];
	struct priv_shared *shared;
};

/* Asks and waits: 0 or -errno, and priv_error(). ret_fd may be NULL. */
int priv_call(struct priv *priv, const struct priv_request *request, struct priv_reply *ret_reply,
	      int *ret_fd);
/* The same with a struct priv_message, as far as it is filled. */
int priv_call_bytes(struct priv *priv, const void *message, size_t len,
		    struct priv_reply *ret_reply, int *ret_fd);
/* -EPERM, and why. */
_printf_(2, 3) int priv_refuse(struct priv_reply *reply, const char *format, ...);

/* The privileged side of what WireGuard needs. */
int privwg_raw_open(const struct priv_request *request, struct priv_reply *reply, int *ret_fd);
int privwg_link_make(struct helper *h, const struct priv_request *request,
		     struct priv_reply *reply);
bool privwg_is_kernel(const struct interface *i);
int privwg_set(struct helper *h, const struct interface *i, const struct priv_request *request,
	       struct priv_reply *reply);
int privwg_get(struct helper *h, const struct interface *i, const struct priv_request *request,
	       struct priv_reply *reply);
void privwg_done(struct helper *h);
/* Before the fork. 0 or -errno. */
int privwg_share(struct priv_shared **ret_shared);
void privwg_unshare(struct priv_shared *shared); /* wipes; NULL: nothing */

/* How PRIV_FILTER_COMMIT puts in force what came. */
enum privfilter_commit {
	PRIVFILTER_CHANGE, /* elements of the one that is there */
	PRIVFILTER_WHOLE,
	PRIVFILTER_WHOLE_OPEN, /* without policy */
};

/* The privileged side of packet filters. Never NULL; what failed is said when it is asked for. */
struct privfilter *privfilter_open(void);
/* All filters go. */
void privfilter_close(struct privfilter *filter);
/* The interface of that name goes. NULL: nothing happens. */
void privfilter_forget(struct privfilter *filter, const char *name);
/* len: of what came beside the request. name: of its interface. NULL: refused. */
int privfilter_serve(struct privfilter *filter, const struct priv_message *message, size_t len,
		     const char *name, struct priv_reply *reply);

#endif
