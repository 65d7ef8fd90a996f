#ifndef CORE_MESH_PARTS_H
#define CORE_MESH_PARTS_H

/* The inside of the mesh, shared by mesh*.c and helper_client.c. Users include core/mesh.h only. */

#include <sys/queue.h>

#include "core/book.h"
#include "core/coalesce.h"
#include "core/flow.h"
#include "core/id.h"
#include "core/mesh.h"
#include "core/path.h"
#include "core/ratelimit.h"
#include "core/route.h"
#include "core/stage.h"
#include "core/timers.h"
#include "wire/frame.h"
#include "wire/units.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum {
	MESH_LOCAL = 7,	      /* endpoints of our own that are told */
	MESH_BOXES = 4,	      /* bursts to so many peers at once */
	MESH_STAGE = 4 << 20, /* bytes for packets that wait, of all peers */
	PUNCH_ROUNDS = 3,
};

/* PROTOCOL 7.5 */
enum { UNPROVEN_ADDRESSES = 1024, UNPROVEN_RATE = 20, UNPROVEN_BURST = 100 };

/* An offer as its frames come in (PROTOCOL 9.3). */
struct peer_offer {
	uint8_t digest[FRAME_DIGEST_LEN];
	uint8_t count;
	uint8_t have; /* bits of those that are here */
	struct hash256 hashes[FRAME_OFFERS];
	struct {
		uint8_t backend;
		uint16_t port;
		struct frame_endpoints endpoints;
	} parts[FRAME_OFFERS];
};

/* Our own, as it is sent. */
struct own_offer {
	uint8_t digest[FRAME_DIGEST_LEN];
	size_t count;
	struct {
		uint8_t bytes[FRAME_OFFER_MAX];
		size_t len;
		struct span statement; /* in bytes; len 0: none */
	} frames[FRAME_OFFERS];
};

/* A lane that an OVR opened to a peer. */
struct mesh_lane {
	uint64_t id; /* 0: none */
	struct via via;
	const struct helper *helper;
	struct mesh_peer *peer;
	UT_hash_handle hh; /* mesh->lanes, by id */
};

/* Where a member was found that is idle now. */
struct known_places {
	size_t count;
	struct {
		struct endpoint endpoint;
		uint8_t origin; /* enum path_origin */
	} list[];
};

/* Another node of the dnet; also what our own addresses lead to (mesh->self, with peer NULL). There
 * may be very many, and with most of them nobody talks: what one needs to be reached is in
 * `active`.
 */
struct mesh_member {
	struct mesh *mesh;
	struct peer *peer;		 /* the engine's; we decide when it goes */
	const struct netmap_node *node;	 /* in mesh->netmap */
	struct mesh_peer *active;	 /* owned; NULL: it is idle, and has no session */
	struct known_places *known;	 /* owned; NULL: none, or it is active */
	struct peer_offer *theirs;	 /* owned; NULL: it said none */
	const struct helper *introducer; /* the last one; NULL: none */
	const char *refused;		 /* of the last statement that it gave; NULL: none was */
	uint32_t index;			 /* of node */
	bool foreign;			 /* its packets take another backend than native */
	bool gave_up;			 /* nobody answered, last time */
	uint64_t seek_at, seek_wait; /* when it is looked for, and how long that waits next time */
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets; /* IP */
};

/* A member that is in use: somebody wants to reach it, it has a session or had one lately. */
struct mesh_peer {
	struct mesh_member *member;
	struct mesh *mesh; /* the member's, as peer */
	struct peer *peer;
	uint64_t idle_since; /* 0: it is not */
	bool up;
	uint16_t takes;	 /* the longest packet that it takes, as it said */
	uint16_t mtu;	 /* the longest that is sent to it: what it takes, as far as the path
			    does; 0: any */
	uint64_t mtu_at; /* when the path was looked at last */
	struct path_set paths;
	uint64_t changes; /* of paths that were told */
	struct mesh_lane lanes[PATH_LANES];
	struct stage stage;
	unsigned pings;		/* mesh_ping() calls that wait */
	struct timer timer;	/* in mesh->timers: when mesh_peer_tick() has something to do */
	uint64_t next_ask;	/* of the helpers; 0: at once */
	uint64_t candidates_at; /* accepted last */
	uint64_t introductions; /* that are believed: a bucket of ratelimit.h */
	uint64_t told_at;	/* our candidates, last */
	unsigned tries;		/* initiations sent without a path */
	uint8_t not_here, lane_refused; /* the last reasons, 0: none */
	/* PROTOCOL 8.2, punches under way */
	struct frame_endpoints punches;
	unsigned punch_round; /* PUNCH_ROUNDS: none */
	uint64_t punch_at;
	/* Addresses of the last packet that was found right, so that the next one of the flow need
	 * not be looked up. */
	uint8_t in_version; /* 0: none */
	uint8_t in_addresses[32];
	/* mesh_offer.c */
	struct peer_offer *pending; /* owned; not all of it is here; NULL: none */
	uint64_t pending_at;	    /* when it began, 0: never */
	uint64_t unsaid_at;	    /* when theirs is no longer believed, UINT64_MAX: never */
	uint64_t offer_at;	    /* when ours is sent next, UINT64_MAX: it need not be */
	unsigned offer_tries;	    /* in this session */
	uint64_t offered_handshake; /* of the session that it was sent in last */
	uint64_t wanted_until;	    /* somebody had a datagram to carry to it; 0: nobody */
	uint64_t seek_until;	    /* it is looked for; 0: it is not */
};

struct mesh_box {
	struct outbox box;
	struct mesh_peer *peer; /* NULL: empty */
	struct via via;
	uint64_t used; /* turn of the last use */
};

struct ping {
	LIST_ENTRY(ping) entry;
	struct mesh_peer *peer;
	uint64_t id, sent, deadline; /* sent 0: not yet */
	struct via via;
	mesh_ping_done *done;
	void *ctx;
};

enum { HELPER_ENDPOINTS = 8, HELPER_REFUSED_MAX = 160 };

/* An OVC or OVR that we are a client of. */
struct helper {
	LIST_ENTRY(helper) entry;
	struct mesh *mesh;
	struct netmap_helper row; /* a copy */
	struct realm *realm;	  /* owned */
	struct peer *peer;
	struct endpoint resolved[HELPER_ENDPOINTS]; /* of host names */
	size_t resolved_count;
	bool up, registered;
	bool refresh;	      /* a new session: say everything again */
	bool wake;	      /* when it answers, peers that wait may ask it */
	bool silent;	      /* the last question was not answered */
	bool garbled;	      /* something could not be read since it answered */
	uint8_t lane_refused; /* the last reason, 0: it gave a lane since */
	uint64_t last_handshake;
	uint64_t asked;	  /* the first question without an answer, 0: none */
	uint64_t doubted; /* when it was last reconnected for that */
	uint64_t next_at; /* HELPER_KEEPALIVE */
	uint64_t ping_id, ping_sent;
	uint64_t rtt_ns;
	struct endpoint observed; /* ADDR_NONE: not told */
	uint16_t members;
	/* mesh_offer.c */
	uint8_t hub_backend; /* of its own statement that came last; 0: none */
	uint16_t hub_port;
	uint64_t statements; /* that may be looked at: a bucket of ratelimit.h */
	char refused[HELPER_REFUSED_MAX];
	uint64_t refused_at; /* when that was told last */
};

struct mesh {
	struct engine *engine;
	struct engine_io io;
	struct mesh_io out;
	struct object_id dnet;
	const struct identity *pair;
	unsigned gso_usable;
	struct realm *realm;	      /* owned */
	struct netmap *netmap;	      /* owned; NULL before the first */
	struct mesh_member **members; /* owned, by index in netmap; NULL for ourselves */
	size_t member_count;	      /* of the array */
	size_t active_count;
	struct timer_heap timers; /* of those that are active */
	struct mesh_member self;
	bool member;		    /* we are in the netmap */
	struct route_table *routes; /* owned; targets are mesh_members */
	struct acl *acl;	    /* owned */
	struct acl_rule *rules;	    /* owned; as given by mesh_set_policy() */
	size_t rule_count;
	struct flow_table *flows; /* owned */
	struct endpoint local[MESH_LOCAL];
	size_t local_count;
	LIST_HEAD(, helper) helpers; /* owned */
	LIST_HEAD(, ping) pings;     /* owned */
	struct mesh_lane *lanes;     /* hash; the lanes are their peers' */
	struct ratelimit *unproven;  /* owned; by address that something is sent to */
	struct mesh_box boxes[MESH_BOXES];
	uint64_t turn;
	struct coalescer coalescer;
	struct stage_pool *pool; /* owned */
	uint8_t *buffer;	 /* owned; boxes, coalescer, and one packet being unstaged */
	uint8_t *unstaged;
	uint64_t deadline; /* of all but the peers */
	uint64_t icmp_tokens, icmp_at;
	struct book *book; /* owned */
	struct own_offer own;
	bool persistent;	     /* sessions with all members */
	size_t seek_next;	     /* index of the member to look at next */
	uint64_t seek_at, sought_at; /* the next time, the last time */
	uint64_t counters[MESH_COUNTER_COUNT];
};

static inline void mesh_count(struct mesh *mesh, enum mesh_counter counter)
{
	mesh->counters[counter]++;
}

/* mesh.c */
void mesh_tell(struct mesh *mesh, const struct node_key *key, const char *text);
/* There is something to do at that time at the latest. Peers have timers of their own. */
void mesh_wake(struct mesh *mesh, uint64_t at);

/* mesh_member.c */
struct mesh_member *mesh_member_find(const struct mesh *mesh, const struct node_key *key);
/* NULL: out of memory. */
struct mesh_member *mesh_member_new(struct mesh *mesh, const struct node_key *key);
/* Cuts it: nothing is sealed for it or opened from it any more. */
void mesh_member_free(struct mesh_member *m, uint8_t bye, uint64_t now);
/* Gives it what it takes to be reached, taken back MESH_PEER_LASTS after it was last in use.
 * Borrowed until mesh_peer_tick() of it. NULL: out of memory. */
struct mesh_peer *mesh_member_activate(struct mesh_member *m, uint64_t now);
/* Takes it back if its time is over. The peer may be gone then. */
void mesh_peer_rest(struct mesh_peer *p, uint64_t now);
/* When mesh_peer_rest() has something to do; UINT64_MAX: it is in use. */
uint64_t mesh_peer_rests_at(struct mesh_peer *p, uint64_t now);

/* mesh_data.c */
/* Sends what is sealed for this peer (NULL: for all). */
void data_flush_boxes(struct mesh *mesh, const struct mesh_peer *only, uint64_t now);
/* Forgets what is sealed for it. */
void data_drop_boxes(struct mesh *mesh, const struct mesh_peer *peer);
/* Sends what waited for a session or a path. */
void data_unstage(struct mesh_peer *p, uint64_t now);
/* It waited for nothing. */
void data_drop_staged(struct mesh_peer *p, uint64_t now);
void data_on_packet(void *ctx, struct peer *peer, const struct via *via, uint8_t flags,
		    uint8_t *bytes, size_t len);
/* A packet goes to or comes from it, on whatever backend: its paths are watched. */
void data_note_flow(struct mesh_peer *p, uint64_t now);
/* Flows that the policy no longer allows. */
void data_filter_flows(struct mesh *mesh);

/* mesh_peer.c */
extern const struct realm_ops mesh_peer_ops;
void mesh_peer_tick(struct mesh_peer *p, uint64_t now);
/* Its deadline may have come nearer. */
void mesh_peer_schedule(struct mesh_peer *p, uint64_t now);
/* Somebody waits for it: a session is begun, helpers are asked. */
void mesh_peer_want(struct mesh_peer *p, uint64_t now);
/* The pings of the user that wait go over the path in use, if there is one. */
void mesh_peer_ping(struct mesh_peer *p, uint64_t now);
/* The helpers have news, or are there again. */
void mesh_peer_on_helper(struct mesh_member *m, uint64_t now);
void mesh_peer_add_candidates(struct mesh_peer *p, const struct frame_endpoints *list,
			      uint64_t now);
/* One more introduction to it may be believed. */
bool mesh_peer_take_introduction(struct mesh_peer *p, uint64_t now);
/* Somebody's packets, or pings of the user, wait for it. */
bool mesh_peer_is_awaited(const struct mesh_peer *p);
void mesh_peer_punch(struct mesh_peer *p, const struct frame_endpoints *list, uint64_t now);
void mesh_peer_add_lane(struct mesh_peer *p, const struct helper *helper, uint64_t id,
			uint64_t now);
void mesh_peer_drop_lane(struct mesh_peer *p, struct mesh_lane *lane, uint64_t now);
/* Tells it our candidates. */
void mesh_peer_tell_candidates(struct mesh_peer *p, uint64_t now);
/* Why there is no session. */
const char *mesh_peer_waiting_reason(const struct mesh_member *m);

/* mesh_offer.c */
void offer_on_session(struct mesh_peer *p, bool up, uint64_t now);
/* OFFER, OFFER_ACK or CARRY; bytes: the frame itself. */
void offer_on_frame(struct mesh_peer *p, const struct frame *frame, const uint8_t *bytes,
		    size_t len, uint64_t now);
/* A STATEMENT of an OVC. */
void offer_on_statement(struct helper *h, const struct node_key *key, uint16_t port,
			const struct span *bytes, uint64_t now);
void offer_tick(struct mesh_peer *p, uint64_t now);
uint64_t offer_deadline(const struct mesh_peer *p);
/* The peer goes, and what it said. */
void offer_forget(struct mesh_member *m);
/* Looks for the next member when its time has come (mesh_set_control_persistent()). */
void offer_seek(struct mesh *mesh, uint64_t now);
/* It may be looked for at once: it is new, or a helper came that may know it. */
void offer_seek_soon(struct mesh_member *m);

/* helper_client.c */
/* Our statements changed. */
void helpers_publish(struct mesh *mesh, uint64_t now);
/* NULL: out of memory. */
struct helper *helper_new(struct mesh *mesh, const struct netmap_helper *row);
/* Not from inside a callback of the engine; engine_now() is over by then. */
void helper_free(struct helper *helper, uint64_t now);
/* The row changed; it keeps its key. */
void helper_update(struct helper *helper, const struct netmap_helper *row, uint64_t now);
struct helper *helper_find(const struct mesh *mesh, uint8_t kind, const struct object_id *id);
void helper_tick(struct helper *helper, uint64_t now);
uint64_t helper_deadline(const struct helper *helper);
/* INTRODUCE to each OVC and LANE_OPEN to each OVR that is there. Returns whether any is. */
bool helpers_ask(struct mesh *mesh, const struct node_key *key, uint64_t now);
/* Our endpoints changed. */
void helpers_refresh(struct mesh *mesh, uint64_t now);
size_t helper_endpoints(const struct helper *helper,
			struct endpoint ret[static 2 * HELPER_ENDPOINTS]);

#endif
