#ifndef CHAINWATCH_P2P_NET_H
#define CHAINWATCH_P2P_NET_H

/* The light source's peers: which ones, the handshake, pings, time-outs, bans. It runs when it is
 * told to, in the thread of the source; what peers send about the chain goes to a handler. */

#include "chainwatch/p2p_conn.h"

#include "core/chainparams.h"
#include "core/peerbook.h"
#include "wire/p2p.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct p2p_net;

enum {
	P2P_PEERS_MAX = 16,
	P2P_FIXED_MAX = 16,
	P2P_AGENT_SIZE = 64, /* shown, with its NUL */
	P2P_EVENTS_MAX = 16,
	P2P_BAN_S = 24 * 3600,
};

/* What a peer was asked for and has to answer in time; one of a kind at once. */
enum p2p_wait {
	P2P_WAIT_HANDSHAKE,
	P2P_WAIT_PONG,
	P2P_WAIT_HEADERS,
	P2P_WAIT_CFHEADERS,
	P2P_WAIT_CFILTERS,
	P2P_WAIT_BLOCK,
	P2P_WAITS,
};

struct p2p_peer {
	TAILQ_ENTRY(p2p_peer) next;
	char name[PEERBOOK_NAME_SIZE]; /* HOST:PORT */
	uint64_t serial;	       /* no other peer has or had it */
	struct p2p_target target;
	struct p2p_conn *conn; /* owned */
	int fixed;	       /* number in the configuration; -1: found */
	bool greeted;	       /* version was sent */
	bool has_version;
	bool ready; /* the handshake is done */
	bool gone;  /* is taken down at the end of the round; say nothing to it */
	uint64_t services;
	int32_t height; /* its claim at the handshake */
	uint32_t version;
	char agent[P2P_AGENT_SIZE];
	uint64_t connected_s, heard_ns, ping_ns, ping_nonce, rtt_ns;
	uint64_t deadline_ns[P2P_WAITS]; /* 0: nothing is waited for */
	void *user;			 /* the handler's */
};

struct p2p_net_config {
	const struct chainparams *params; /* borrowed */
	struct p2p_target fixed[P2P_FIXED_MAX];
	size_t fixed_count;    /* more than 0: only these are used */
	struct endpoint proxy; /* SOCKS5; family ADDR_NONE: none */
	unsigned wanted;       /* connections */
	unsigned filters;      /* of them that must serve block filters */
	uint64_t timeout_ms;   /* for an answer */
	bool relay;	       /* peers shall announce transactions */
	const char *file;      /* of the address book; borrowed */
};

/* None of them may free a peer; p2p_net_drop() and p2p_net_ban() may be called. */
struct p2p_handler {
	void *arg;
	void (*on_ready)(void *arg, struct p2p_peer *peer);
	void (*on_message)(void *arg, struct p2p_peer *peer, const struct p2p_message *message);
	void (*on_gone)(void *arg, struct p2p_peer *peer); /* was ready */
};

/* Something that a peer did, for people. */
struct p2p_event {
	char name[PEERBOOK_NAME_SIZE];
	char what[PEERBOOK_REASON_SIZE];
	uint64_t time_s;
	bool banned;
};

struct p2p_counts {
	size_t connected, ready, filters;
	uint64_t dials, lies, stalls, lost; /* since the start */
	uint64_t bytes_in;
	struct peerbook_counts book;
};

/* config is copied. NULL: no memory. */
struct p2p_net *p2p_net_new(const struct p2p_net_config *config, const struct p2p_handler *handler);
/* Saves the book. */
void p2p_net_free(struct p2p_net *net);

/* Waits for something to happen, at most timeout_ms, and handles all that has. */
void p2p_net_run(struct p2p_net *net, uint64_t timeout_ms);

/* Those that are ready and not gone, one after the other; NULL begins and ends. */
struct p2p_peer *p2p_net_next(struct p2p_net *net, const struct p2p_peer *peer);
bool p2p_peer_has_filters(const struct p2p_peer *peer);

/* False: it reads nothing and is dropped. */
bool p2p_net_send(struct p2p_net *net, struct p2p_peer *peer, enum p2p_type type,
		  const void *payload, size_t len);
/* Begins to wait; times: of the configured time-out. The peer is dropped when nothing comes. */
void p2p_net_expect(struct p2p_net *net, struct p2p_peer *peer, enum p2p_wait what, unsigned times);
void p2p_peer_got(struct p2p_peer *peer, enum p2p_wait what);
bool p2p_peer_is_asked(const struct p2p_peer *peer, enum p2p_wait what);

/* It is of no use, or too slow. what: "it did …". */
void p2p_net_drop(struct p2p_net *net, struct p2p_peer *peer, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* It provably lied. */
void p2p_net_ban(struct p2p_net *net, struct p2p_peer *peer, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void p2p_net_count(const struct p2p_net *net, struct p2p_counts *ret_counts);
/* The latest first; NULL past the last. */
const struct p2p_event *p2p_net_event_at(const struct p2p_net *net, size_t index);
const struct peerbook *p2p_net_book(const struct p2p_net *net);

/* HOST:PORT, [V6]:PORT or HOST with the port of params; false: malformed. */
bool p2p_target_parse(const char *text, uint16_t port, struct p2p_target *ret_target);

#endif
