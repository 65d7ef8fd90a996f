#ifndef CORE_MESH_H
#define CORE_MESH_H

/* One member's view of one dnet at work: peers and helpers of the netmap, routes, policy, paths
 * (PROTOCOL 5.4, 7, 8). Packets of the TUN and datagrams of the network go in; sealed batches and
 * opened super-packets come out. No I/O. */

#include "core/acl.h"
#include "core/engine.h"
#include "core/netmap.h"
#include "core/session.h"
#include "wire/statement.h"

struct mesh;

struct mesh_io {
	void *ctx;
	/* An opened packet or super-packet for the TUN; at least 16 writable bytes before data. */
	void (*deliver)(void *ctx, struct packet *packet);
	/* A peer's or helper's state or path changed, for log and subscribers. text is borrowed. */
	void (*event)(void *ctx, const struct node_key *key, const char *text);
	/* The offer of a member, or a statement of a member or of an OVC (then its service key),
	 * is another one now: mesh_peer_offer(), mesh_visit_helpers(). NULL op: not told. From
	 * inside mesh and engine calls: note it, and act when the call is over. */
	void (*offer_changed)(void *ctx, const struct node_key *key);
	/* A verified statement that was not known: to be stored before it is used. As above. */
	void (*statement)(void *ctx, const struct statement *statement);
	/* One datagram that mesh_carry() of a member sent. NULL op: dropped. */
	void (*carried)(void *ctx, const struct node_key *key, uint8_t backend,
			const uint8_t *bytes, size_t len);
};

/* engine and pair are borrowed until mesh_free(). gso_usable: kinds the TUN takes (bit per enum
 * gso_type). NULL: out of memory. */
struct mesh *mesh_new(struct engine *engine, const struct engine_io *engine_io,
		      const struct mesh_io *io, const struct object_id *dnet,
		      const struct identity *pair, unsigned gso_usable);
/* The TUN takes other ones from now on. */
void mesh_set_gso_usable(struct mesh *mesh, unsigned gso_usable);
/* The longest packet that our TUN takes; peers are told it with each handshake from now on. Until
 * then: any. */
void mesh_set_mtu(struct mesh *mesh, uint16_t mtu);
void mesh_free(struct mesh *mesh); /* BYE to all, wipes */

/* Takes over the netmap (owned by the mesh from now on). Removed nodes are cut before it returns;
 * when we are removed ourselves, all are. Its policy takes the place of ours if it has one. Not
 * from inside a callback. 0, or -ENOMEM: nothing changed, and the netmap stays the caller's. */
int mesh_set_netmap(struct mesh *mesh, struct netmap *netmap, uint64_t now);
const struct netmap *mesh_netmap(const struct mesh *mesh);
/* Our own addresses that others may reach us at (interfaces' addresses with the UDP port); at most
 * 7 are used. */
void mesh_set_local_endpoints(struct mesh *mesh, const struct endpoint *endpoints, size_t count,
			      uint64_t now);
/* What the host names among the endpoints of a helper resolve to (UDP ports of its records);
 * replaces what was given before for it; at most 8 are used. Survives mesh_set_netmap(). False: no
 * such helper. */
bool mesh_set_helper_endpoints(struct mesh *mesh, const struct object_id *helper,
			       const struct endpoint *endpoints, size_t count);

/* An endpoint of a member that is known without an OVC (configuration); one more candidate of its
 * paths, so name it again after mesh_set_netmap(). False: no such member, or it is ourselves. */
bool mesh_add_endpoint(struct mesh *mesh, const struct node_key *key,
		       const struct endpoint *endpoint, uint64_t now);

/* The owner's policy; no rules (count 0): members may talk to members. Flows that it no longer
 * allows are cut. 0 or -ENOMEM (then nothing changed). Rules are copied. */
int mesh_set_policy(struct mesh *mesh, const struct acl_rule *rules, size_t count, uint64_t now);
/* The rules, borrowed until the next mesh_set_policy(). */
const struct acl_rule *mesh_policy(const struct mesh *mesh, size_t *ret_count);
/* What the policy says about the first packet of a flow between any two members, and the rule that
 * says so (core/acl.h). -DNET_ENOROUTE: source or destination belongs to no member. */
int mesh_explain(const struct mesh *mesh, const struct ip_flow *flow,
		 struct acl_verdict *ret_verdict);

/* One packet or super-packet from the TUN. Sealed datagrams gather until mesh_flush(); call it at
 * the end of a burst. */
void mesh_input_packet(struct mesh *mesh, struct packet *packet, uint64_t now);
void mesh_flush(struct mesh *mesh, uint64_t now);
/* Only what is being coalesced towards the TUN. */
void mesh_flush_in(struct mesh *mesh);

/* Whether a lane datagram from this OVR endpoint with this lane id is one of ours. Datagrams
 * themselves go to engine_input(). */
bool mesh_owns_lane(const struct mesh *mesh, const struct endpoint *relay, uint64_t lane);

/* Timers of paths and helpers (the engine has its own). Returns when to call again. */
uint64_t mesh_tick(struct mesh *mesh, uint64_t now);
uint64_t mesh_deadline(const struct mesh *mesh);

/* The host changed networks (address, route, wake-up): all paths are doubted and tried at once. */
void mesh_network_changed(struct mesh *mesh, uint64_t now);

/* ---- Other backends than native (PROTOCOL 9) ---- */

enum { MESH_BACKENDS = 4, MESH_BACKEND_ENDPOINTS = 8, MESH_CARRY_MAX = 1500 };

struct mesh_backend {
	uint8_t backend; /* enum backend, or one of a newer version; none twice */
	uint16_t port;	 /* of its own, UDP or TCP; 0: none */
	struct endpoint endpoints[MESH_BACKEND_ENDPOINTS]; /* its own, whose port is not 0 */
	size_t endpoint_count;
	const struct statement *statement; /* verified; NULL: none */
};

/* In the order of preference. */
struct mesh_offer {
	struct mesh_backend list[MESH_BACKENDS];
	size_t count;
};

/* What this node offers, told to every member and, as far as statements go, to every OVC. Copied.
 * None before the first call. */
void mesh_set_offer(struct mesh *mesh, const struct mesh_offer *offer, uint64_t now);
/* What a member offers; one that said nothing offers native (PROTOCOL 9.4). Statements are borrowed
 * until the next mesh or engine call. False: no such member. */
bool mesh_peer_offer(const struct mesh *mesh, const struct node_key *key,
		     struct mesh_offer *ret_offer);
/* What a pair takes (PROTOCOL 9.5), by key and offer of both; 0: they have none in common. */
uint8_t mesh_choose_backend(const struct node_key *a, const struct mesh_offer *of_a,
			    const struct node_key *b, const struct mesh_offer *of_b);
/* A statement of a former run, for the refusal of older ones: verified like any other. To be called
 * after the first mesh_set_netmap(). False: it does not count (any more). */
bool mesh_load_statement(struct mesh *mesh, const struct statement *statement);
/* Whether a session with every member that is online is kept without traffic: for backends that
 * need its news. At most 5 members a second are looked for. */
void mesh_set_control_persistent(struct mesh *mesh, bool on, uint64_t now);
/* One datagram of a backend to a member, 1 to MESH_CARRY_MAX bytes. False: there is no session or
 * path now (it is looked for). */
bool mesh_carry(struct mesh *mesh, const struct node_key *key, uint8_t backend, const void *bytes,
		size_t len, uint64_t now);
/* Whether IP packets of the pair travel natively (until said otherwise they do); when not, those
 * that come are refused, and those for it too. Kept as long as the member stays. */
void mesh_set_carrier(struct mesh *mesh, const struct node_key *key, bool native);

/* Overlay ping: connects if need be; done is called once, also with found = false at deadline_ns or
 * when the node is unknown. */
struct mesh_pong {
	bool found;
	struct via via;
	struct object_id relay; /* of the OVR when via.lane is not 0 */
	uint64_t rtt_ns;
	const char *reason; /* why not, static text */
};
typedef void mesh_ping_done(void *ctx, const struct mesh_pong *pong);
int mesh_ping(struct mesh *mesh, const struct node_key *key, uint64_t now, uint64_t deadline_ns,
	      mesh_ping_done *done, void *ctx);

enum path_kind { PATH_NONE, PATH_DIRECT, PATH_RELAY };

struct mesh_peer_status {
	const struct netmap_node *node;
	struct peer_stats stats; /* bytes and packets of IP payload count in rx/tx */
	enum path_kind path;
	struct endpoint endpoint; /* of the path; the OVR's when relayed */
	struct object_id relay;
	uint64_t rtt_ns;    /* 0: unknown */
	uint16_t mtu;	    /* the longest packet that is sent to it; 0: any */
	const char *state;  /* "idle", "connecting", "connected", static */
	const char *reason; /* why the path is what it is; static text; never NULL */
	bool native;	    /* mesh_set_carrier() */
	/* Why its last statement was refused that it gave itself; static; NULL: none was. */
	const char *refused;
};
typedef void mesh_visit_peer(void *ctx, const struct mesh_peer_status *status);
void mesh_visit_peers(const struct mesh *mesh, mesh_visit_peer *visit, void *ctx);

/* One way to a peer that is known, in use or not. Times are ns, 0: never. */
struct mesh_path_status {
	struct via via;
	struct object_id relay; /* of the OVR when via.lane is not 0 */
	bool current;		/* data takes it */
	bool confirmed;		/* a ping was answered, and it was not lost since */
	bool introduced;	/* told by an OVC or by the peer; else heard from there */
	unsigned unanswered;	/* pings since the last answer, or since it was told */
	uint64_t last_ping;
	uint64_t last_pong;
	uint64_t rtt_ns;
};
typedef void mesh_visit_path(void *ctx, const struct mesh_path_status *status);
/* False: it is no other node of the dnet. */
bool mesh_visit_paths(const struct mesh *mesh, const struct node_key *key, mesh_visit_path *visit,
		      void *ctx);
/* Our own endpoints that peers are told: borrowed until the next mesh call. */
const struct endpoint *mesh_local_endpoints(const struct mesh *mesh, size_t *ret_count);

struct mesh_helper_status {
	const struct netmap_helper *helper;
	struct endpoint endpoint;
	struct endpoint observed; /* our address as it sees it (OVC) */
	bool up;
	uint64_t rtt_ns;
	const char *state;  /* "registered", "connected", "connecting", "no endpoint", static */
	const char *reason; /* what is wrong with it; static text; "": nothing that we know of */
	/* Its own statement of a backend (a hub) that came last, with the port that it has for
	 * this dnet; NULL: none. Borrowed as in mesh_peer_offer(). */
	const struct statement *hub;
	uint16_t hub_port;
	/* The last statement that it gave and that was refused: whose, and why; "": none was. */
	const char *refused;
};
typedef void mesh_visit_helper(void *ctx, const struct mesh_helper_status *status);
void mesh_visit_helpers(const struct mesh *mesh, mesh_visit_helper *visit, void *ctx);

/* Named counters, as in engine.h; every refusal of a packet is one of them. */
#define MESH_COUNTERS(X)                                                                           \
	X(out_packets)                                                                             \
	X(out_bytes)                                                                               \
	X(in_packets)                                                                              \
	X(in_bytes)                                                                                \
	X(out_malformed)                                                                           \
	X(out_no_route)                                                                            \
	X(out_source_not_ours)                                                                     \
	X(out_policy)                                                                              \
	X(out_fragment_policy)                                                                     \
	X(out_icmp_foreign)                                                                        \
	X(out_too_big)                                                                             \
	X(out_stage_full)                                                                          \
	X(out_unreachable)                                                                         \
	X(in_malformed)                                                                            \
	X(in_source_foreign)                                                                       \
	X(in_destination_foreign)                                                                  \
	X(in_policy)                                                                               \
	X(in_fragment_policy)                                                                      \
	X(in_icmp_foreign)                                                                         \
	X(in_other_backend)                                                                        \
	X(out_other_backend)                                                                       \
	X(icmp_sent)                                                                               \
	X(icmp_limited)                                                                            \
	X(flow_evicted)                                                                            \
	X(path_changed)                                                                            \
	X(path_limited)                                                                            \
	X(statement_refused)                                                                       \
	X(carry_in)                                                                                \
	X(carry_out)                                                                               \
	X(frame_malformed)                                                                         \
	X(frame_unexpected)                                                                        \
	X(frame_too_often)

enum mesh_counter {
#define X(name) MESH_##name,
	MESH_COUNTERS(X)
#undef X
		MESH_COUNTER_COUNT
};
uint64_t mesh_counter(const struct mesh *mesh, enum mesh_counter counter);
const char *mesh_counter_name(enum mesh_counter counter);

#endif
