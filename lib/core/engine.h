#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

/* Secure associations without I/O: datagrams in, datagrams out, sessions with the peers of one or
 * more realms (PROTOCOL 1 to 6). It does not choose paths, routes or policy: that is core/mesh for
 * members, and the daemons' own logic for OVC and OVR. Time, randomness and sending are handed in;
 * all times are ns of one monotonic clock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/packet.h"
#include "wire/key.h"

struct engine;
struct id;	 /* core/id.h: the curve */
struct identity; /* core/id.h */
struct peer;	 /* core/peer.h: one remote key in one realm */
struct realm;
struct session; /* core/session.h: one pair of data keys; seals and opens batches */

enum realm_kind { REALM_DNET = 1, REALM_OVC = 2, REALM_OVR = 3 };

/* The world of an engine. ctx is the engine's user. */
struct engine_io {
	void *ctx;
	/* Sends len bytes to via: when segment < len they are datagrams of segment bytes each, the
	 * last may be shorter (UDP_SEGMENT). A lane via's header is already in the bytes. The bytes
	 * are the callee's only during the call. */
	void (*send)(void *ctx, const struct endpoint *dst, const uint8_t *bytes, size_t len,
		     size_t segment);
	void (*random)(void *ctx, void *dst, size_t len);
	/* Wall clock for handshake timestamps: 12 bytes TAI64N. */
	void (*timestamp)(void *ctx, uint8_t dst[12]);
	/* The longest IP packet that goes to dst in one piece, as far as the machine knows; 0: it
	 * does not. NULL op: likewise. */
	uint16_t (*path_mtu)(void *ctx, const struct endpoint *dst);
};

/* What the owner of a realm is asked and told. ctx is the one of the realm. Peers may be removed
 * from inside. */
struct realm_ops {
	/* A key without a peer in this realm sent a right initiation in the name of dnet: make a
	 * peer with realm_add_peer() if the records give the key, else return NULL (counted, no
	 * answer). NULL op: refuse. */
	struct peer *(*authorize)(void *ctx, struct realm *realm, const struct node_key *key,
				  const struct object_id *dnet);
	/* Send this handshake message wherever the peer may be reached: engine_send_via() for each
	 * way. NULL op: to the last way an authenticated message came, or the one set by
	 * peer_set_via(). */
	void (*transmit_handshake)(void *ctx, struct peer *peer, const uint8_t *msg, size_t len);
	/* up: data can be sealed now. !up: the last session is gone (expired, BYE), or nobody
	 * answered for GIVE_UP; also for one that never was up (an initiation that nothing
	 * followed). */
	void (*session_changed)(void *ctx, struct peer *peer, bool up);
	/* One authenticated frame (type and body). PING, PONG and BYE come here too, after the
	 * engine answered PING. */
	void (*frame)(void *ctx, struct peer *peer, const struct via *via, const uint8_t *frame,
		      size_t len);
	/* One authenticated IP packet, in place, not yet checked against anything but its length.
	 * NULL op: drop, counted. */
	void (*packet)(void *ctx, struct peer *peer, const struct via *via, uint8_t flags,
		       uint8_t *bytes, size_t len);
	/* Any authenticated message came by this way (roaming, liveness). */
	void (*heard)(void *ctx, struct peer *peer, const struct via *via);
};

/* Returns NULL when out of memory. io is copied; id is borrowed; aead_mask is what the machine
 * offers (core/aead.h). */
struct engine *engine_new(const struct engine_io *io, const struct id *id, uint8_t aead_mask,
			  uint64_t now);
void engine_free(struct engine *engine);

/* One datagram as it came, without lane header (the caller strips it and says the lane in via).
 * Decrypts in place. */
void engine_input(struct engine *engine, const struct via *via, uint8_t *bytes, size_t len,
		  uint64_t now);
/* Runs what is due; returns when to call again (absolute ns, UINT64_MAX: nothing). */
uint64_t engine_tick(struct engine *engine, uint64_t now);
/* The next deadline without running anything. */
uint64_t engine_deadline(const struct engine *engine);
/* What engine_new() was given. */
const struct id *engine_curve(const struct engine *engine);
/* The time of the call under way, for what is called back from it. */
uint64_t engine_now(const struct engine *engine);

/* A local key pair in a realm. pair and ops are borrowed until realm_remove(). NULL: out of memory.
 * The pair may be in several realms (a member's, in its dnet's and in its helpers'). */
struct realm *engine_add_realm(struct engine *engine, enum realm_kind kind,
			       const struct object_id *id, const struct identity *pair,
			       const struct realm_ops *ops, void *ctx);
/* The public key of its pair. */
const struct node_key *realm_key(const struct realm *realm);
/* And all of its peers; BYE 1 is sent to those with a session. Not from inside an operation of the
 * realm. */
void realm_remove(struct realm *realm);
/* Mixed into every handshake from now on (PROTOCOL 3.8); copied. before counts too; NULL: none
 * does.
 */
void realm_set_epoch(struct realm *realm, const struct epoch *epoch, const struct epoch *before);
/* The largest inner packet that we take, told in handshakes. 65,535 until set. */
void realm_set_mtu(struct realm *realm, uint16_t mtu);

/* dnet: in whose name we speak (NULL: the realm's id, as in a dnet's realm). Returns the existing
 * peer when there is one; NULL: out of memory. A key may come to a helper in the name of several
 * dnets: these are several peers. */
struct peer *realm_add_peer(struct realm *realm, const struct node_key *key,
			    const struct object_id *dnet);
struct peer *realm_find_peer(struct realm *realm, const struct node_key *key,
			     const struct object_id *dnet);
/* Wipes its sessions at once. bye: send BYE reason first (0: none). */
void peer_remove(struct peer *peer, uint8_t bye);

/* The owner's pointer; then what realm_add_peer() was given. */
void peer_set_ctx(struct peer *peer, void *ctx);
void *peer_ctx(const struct peer *peer);
const struct node_key *peer_key(const struct peer *peer);
const struct object_id *peer_dnet(const struct peer *peer);
/* For ever: keep a session up without traffic (helpers). */
void peer_set_persistent(struct peer *peer, bool on);
/* Where messages go when the realm has no transmit_handshake. */
void peer_set_via(struct peer *peer, const struct via *via);
const struct via *peer_via(const struct peer *peer);

/* Begins a handshake unless one is under way or a session is good. Within 30 s after the last one
 * was given up it waits until these are over: call it for every packet that waits. */
void peer_connect(struct peer *peer, uint64_t now);
/* Begins a handshake, or tries again the one under way, at once (but 50 ms after the last try) and
 * whatever session there is: a new way to the peer was learnt, or it seems to have forgotten the
 * session. */
void peer_reconnect(struct peer *peer, uint64_t now);
/* The session to seal with, or NULL (then call peer_connect()). Borrowed until the next engine
 * call. */
struct session *peer_session(struct peer *peer, uint64_t now);
/* The owner sealed and sent data messages by itself (session_seal_packet): keeps timers and
 * statistics true. bytes counts whole data messages. */
void peer_data_sent(struct peer *peer, size_t packets, size_t bytes, uint64_t now);
/* Seals one frame (at most ENGINE_FRAME_MAX bytes; len 0: an empty message) and sends it by via. 0,
 * -DNET_ENOSESSION, -EMSGSIZE. */
int peer_send_frame(struct peer *peer, const struct via *via, const uint8_t *frame, size_t len,
		    uint64_t now);
/* Sends one datagram by via, pushing the lane header where it is a lane. */
void engine_send_via(struct engine *engine, const struct via *via, const uint8_t *msg, size_t len);

enum { ENGINE_FRAME_MAX = 1502 }; /* CARRY is the longest */

struct peer_stats {
	uint64_t rx_bytes, tx_bytes;	 /* of datagrams, both handshake and data */
	uint64_t rx_packets, tx_packets; /* data messages */
	uint64_t last_handshake;	 /* ns, 0: never */
	uint64_t last_heard;		 /* ns, 0: never */
	uint16_t mtu;			 /* what the other side takes */
	uint8_t aead;			 /* enum aead_kind in use */
	bool up;
};
void peer_get_stats(const struct peer *peer, struct peer_stats *ret_stats);

/* Named counters of refusals and events, one row each: engine_counter_name(i), engine_counter(i).
 */
#define ENGINE_COUNTERS(X)                                                                         \
	X(datagram_unknown)                                                                        \
	X(datagram_truncated)                                                                      \
	X(handshake_initiation_in)                                                                 \
	X(handshake_response_in)                                                                   \
	X(handshake_initiation_out)                                                                \
	X(handshake_response_out)                                                                  \
	X(handshake_mac1_wrong)                                                                    \
	X(handshake_invalid)                                                                       \
	X(handshake_not_member)                                                                    \
	X(handshake_replayed)                                                                      \
	X(handshake_too_often)                                                                     \
	X(cookie_sent)                                                                             \
	X(cookie_received)                                                                         \
	X(cookie_invalid)                                                                          \
	X(data_no_session)                                                                         \
	X(data_invalid)                                                                            \
	X(data_replayed)                                                                           \
	X(data_malformed)                                                                          \
	X(data_unexpected)

enum engine_counter {
#define X(name) ENGINE_##name,
	ENGINE_COUNTERS(X)
#undef X
		ENGINE_COUNTER_COUNT
};
uint64_t engine_counter(const struct engine *engine, enum engine_counter counter);
const char *engine_counter_name(enum engine_counter counter);

#endif
