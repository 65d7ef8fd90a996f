#ifndef NODE_PRIVOPS_H
#define NODE_PRIVOPS_H

/* The root helper: a process with a closed list of operations on interfaces that it made itself. It
 * holds no key and reads nothing from the network; each operation checks its arguments again, so
 * whoever takes over the engine process gets no more than these. Calls block until the helper has
 * answered. */

#include "node/tun.h"
#include "wire/addr.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	PRIV_ERROR_MAX = 256,
	PRIV_INTERFACES_MAX = 64,
	PRIV_TIMEOUT_MS = 10000,
	PRIV_MTU_MIN = 1280, /* RFC 8200, 5 */
};

struct priv;

/* Forks the helper: before the first thread and loop. prefix: beginning of the interfaces' names, 1
 * to 10 characters of a-z 0-9 -; a number follows. sandbox: seccomp. 0 or -errno, logged. */
int priv_start(const char *prefix, bool sandbox, struct priv **ret_priv);
/* Ends the helper; interfaces go with the descriptors that the caller has. */
void priv_stop(struct priv *priv);
/* Readable when the helper has died. */
int priv_fd(const struct priv *priv);

/* All return 0 or -errno; priv_error() then has a text. -EPERM with "refused: …" is the helper's
 * own refusal. */
const char *priv_error(const struct priv *priv);

/* Makes the interface (tun_open()). ipv4: the prefix that its IPv4 addresses and routes have to be
 * inside; ADDR_NONE: it gets none. Only private ranges are taken: an owner may not draw public
 * addresses or the loopback to itself. */
int priv_tun_open(struct priv *priv, const char *name, const struct prefix *ipv4,
		  enum tun_offload offload, int *ret_fd, uint32_t *ret_index,
		  enum tun_offload *ret_offload);
/* The caller has closed the descriptor, or wants the interface gone anyway. */
int priv_tun_close(struct priv *priv, uint32_t index);

int priv_link_up(struct priv *priv, uint32_t index);
/* Gives it back the name that it was made with. */
int priv_link_rename(struct priv *priv, uint32_t index);
int priv_link_mtu(struct priv *priv, uint32_t index, uint32_t mtu);
int priv_link_txqlen(struct priv *priv, uint32_t index, uint32_t txqlen);
int priv_address_add(struct priv *priv, uint32_t index, const struct address *address,
		     uint8_t bits);
int priv_address_delete(struct priv *priv, uint32_t index, const struct address *address,
			uint8_t bits);
/* Routes on the link, in the main table, with our protocol number. source: preferred, or ADDR_NONE.
 * -EEXIST: there is one of that destination and metric, which may be of somebody else: it stays. */
int priv_route_add(struct priv *priv, uint32_t index, const struct prefix *destination,
		   uint32_t metric, const struct address *source);
int priv_route_delete(struct priv *priv, uint32_t index, const struct prefix *destination,
		      uint32_t metric);

/* The ranges that overlay prefixes may come from. */
bool priv_ipv4_prefix_ok(const struct prefix *prefix);

#endif
