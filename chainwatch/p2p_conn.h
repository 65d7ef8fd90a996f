#ifndef CHAINWATCH_P2P_CONN_H
#define CHAINWATCH_P2P_CONN_H

/* One connection to a peer: dialled, through a SOCKS5 proxy or not, and then messages in and out.
 * Never blocks; who owns it polls its descriptor. */

#include "wire/addr.h"
#include "wire/p2p.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct p2p_conn;

enum {
	P2P_CONN_HOST_SIZE = 128, /* with its NUL */
	P2P_CONN_ERROR_SIZE = 160,
	P2P_CONN_OUT_MAX = 1 << 20, /* bytes that wait to be sent: who reads nothing is left */
};

/* Where to: an endpoint, or a name that the proxy resolves. */
struct p2p_target {
	struct endpoint endpoint;      /* family ADDR_NONE: host */
	char host[P2P_CONN_HOST_SIZE]; /* "" with an endpoint */
	uint16_t port;
};

/* Begins to connect. proxy: NULL for none. magic: of the chain. NULL with errno set. */
struct p2p_conn *p2p_conn_open(const uint8_t magic[static P2P_MAGIC_LEN],
			       const struct p2p_target *to, const struct endpoint *proxy);
void p2p_conn_free(struct p2p_conn *conn);

int p2p_conn_fd(const struct p2p_conn *conn);
/* What to poll for. */
short p2p_conn_events(const struct p2p_conn *conn);
/* Does what poll said is possible. False: it is over, p2p_conn_error() says why. */
bool p2p_conn_step(struct p2p_conn *conn, short events);
/* Messages can be exchanged: it is connected, through the proxy too. */
bool p2p_conn_is_open(const struct p2p_conn *conn);

enum p2p_conn_result {
	P2P_CONN_NONE,	  /* not yet */
	P2P_CONN_MESSAGE, /* valid until the next call about this connection */
	P2P_CONN_BROKEN, /* what it sends are no messages of our chain, p2p_conn_error() says how */
};

/* The next message that has come whole; those of other kinds than ours are skipped. */
enum p2p_conn_result p2p_conn_next(struct p2p_conn *conn, struct p2p_message *ret_message);
/* Queues a message. False: too much waits already, or no memory; the peer reads nothing. */
bool p2p_conn_send(struct p2p_conn *conn, enum p2p_type type, const void *payload, size_t len);

/* Of the last failure; borrowed. */
const char *p2p_conn_error(const struct p2p_conn *conn);
/* Bytes received since it was opened. */
uint64_t p2p_conn_received(const struct p2p_conn *conn);

#endif
