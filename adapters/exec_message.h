#ifndef ADAPTERS_EXEC_MESSAGE_H
#define ADAPTERS_EXEC_MESSAGE_H

/* The messages between dnetd and the program of the exec backend, one JSON object a line
 * (doc/porting.md). */

#include "adapters/adapter.h"
#include "os/log.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	EXEC_VERSION = 1,
	EXEC_LINE_MAX = 1 << 20, /* of the program, bytes */
	EXEC_TEXT_MAX = 200,	 /* of texts for people; longer ones are cut */
	EXEC_BYTES_MAX = 1500,	 /* of a carried datagram */
	EXEC_ENDPOINTS_MAX = 8,
	EXEC_PEERS_MAX = 16384, /* of a status */
};

/* ---- From the program ---- */

enum exec_type {
	EXEC_OTHER, /* of a later version: nothing to do */
	EXEC_HELLO,
	EXEC_KEY,
	EXEC_OFFER,
	EXEC_STATUS,
	EXEC_EVENT,
	EXEC_LOG,
	EXEC_DATAGRAM,
};

struct exec_peer {
	struct node_key key;
	bool connected, bridged;
	uint64_t rx_bytes, tx_bytes; /* UINT64_MAX: not said */
	uint64_t last_handshake_s;   /* UINT64_MAX: not said */
	struct endpoint endpoint;    /* ADDR_NONE: not said */
	char reason[EXEC_TEXT_MAX];
};

struct exec_message {
	enum exec_type type;
	uint64_t version;	       /* HELLO */
	bool enforces_rules;	       /* HELLO */
	char text[EXEC_TEXT_MAX];      /* HELLO: its name; STATUS: error; EVENT, LOG */
	enum log_level level;	       /* LOG */
	bool has_node;		       /* EVENT */
	struct node_key node;	       /* EVENT, DATAGRAM */
	uint8_t bytes[EXEC_BYTES_MAX]; /* KEY: 1 to ADAPTER_KEY_MAX; DATAGRAM: 1 to all */
	size_t bytes_len;
	uint16_t port; /* OFFER */
	struct endpoint endpoints[EXEC_ENDPOINTS_MAX];
	size_t endpoint_count;
	uint64_t serial;	 /* STATUS */
	struct exec_peer *peers; /* STATUS; sorted by key; exec_message_done() */
	size_t peer_count;
};

/* False: *ret_why is static, and there is nothing to free. Texts are made printable. */
bool exec_message_parse(const char *line, size_t len, struct exec_message *ret,
			const char **ret_why);
void exec_message_done(struct exec_message *message);

/* ---- To the program; the caller's ---- */

json_t *exec_hello(const struct adapter_host *host, const struct adapter_plan *plan);
/* Without its serial number. Peers whose key is not known are left out. */
json_t *exec_wanted(const struct adapter_plan *plan);
json_t *exec_datagram(const struct node_key *from, const uint8_t *bytes, size_t len);
json_t *exec_stop(void);
/* Whether something that the one before allowed is not allowed by the new one: a peer that went or
 * has another key or other addresses, other rules. */
bool exec_wanted_takes_away(const json_t *before, const json_t *wanted);
/* Among the peers that it names. */
bool exec_wanted_has(const json_t *wanted, const struct node_key *key);

#endif
