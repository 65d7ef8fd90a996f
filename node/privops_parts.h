#ifndef NODE_PRIVOPS_PARTS_H
#define NODE_PRIVOPS_PARTS_H

/* What the two sides of the root helper say to each other. Inside of privops only. */

#include "node/privops.h"
#include "os/base.h"
#include "os/proc.h"

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
};

struct priv_request {
	uint32_t op; /* enum priv_op */
	uint32_t index;
	uint32_t number; /* MTU, queue length, metric, offload, priority, port */
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
	char error[PRIV_ERROR_MAX];
};

/* The engine's side. */
struct priv {
	struct proc_child child;
	bool lost; /* an answer did not come: a later one may not be taken for it */
	char error[PRIV_ERROR_MAX];
};

/* Asks and waits: 0 or -errno, and priv_error(). ret_fd may be NULL. */
int priv_call(struct priv *priv, const struct priv_request *request, struct priv_reply *ret_reply,
	      int *ret_fd);
/* -EPERM, and why. */
_printf_(2, 3) int priv_refuse(struct priv_reply *reply, const char *format, ...);

/* The privileged side of what WireGuard needs. */
int privwg_raw_open(const struct priv_request *request, struct priv_reply *reply, int *ret_fd);

#endif
