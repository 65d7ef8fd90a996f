#ifndef CORE_PEER_H
#define CORE_PEER_H

/* The inside of the engine, shared by engine.c, handshake.c and peer.c: realms, peers, their
 * sessions and the table of session indices. Users of the engine include core/engine.h only. */

#include <sys/queue.h>

#include "core/cookie.h"
#include "core/engine.h"
#include "core/id.h"
#include "core/noise.h"
#include "core/ratelimit.h"
#include "core/session.h"
#include "core/timers.h"
#include "wire/message.h"

/* Out of memory is an error of the caller's, not the end of the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* A session of a peer goes: HANDSHAKE (we wait for the response) → CURRENT, or NEXT (we sent a
 * response, and wait for data under it) → CURRENT; then → PREVIOUS, which only opens; then it is
 * wiped. Each role is held by at most one. */
enum slot_role { SLOT_FREE, SLOT_HANDSHAKE, SLOT_NEXT, SLOT_CURRENT, SLOT_PREVIOUS };

/* One local session index in use. */
struct slot {
	enum slot_role role;
	uint32_t index;
	struct peer *peer;
	struct session *session; /* owned; NULL in HANDSHAKE and FREE */
};

enum { PEER_SLOTS = 4 };

struct peer_id {
	struct node_key key;
	struct object_id dnet;
};

/* What a peer needs while it has a session or wants one: most members of a large dnet never talk to
 * each other. */
struct active {
	struct peer *peer;
	struct slot slots[PEER_SLOTS];
	struct noise noise; /* of SLOT_HANDSHAKE */
	uint8_t epoch;	    /* that it is in, index in those of the realm */
	struct cookie_keys keys;
	struct cookie_jar jar;
	uint64_t last_initiation; /* ns, 0: none since it is active */
	bool has_via;
	bool idle;	/* in engine->idle */
	struct via via; /* last authenticated one, or as set */
	struct timers timers;
	struct timer timer;
	LIST_ENTRY(active) entry; /* in engine->idle */
};

struct peer {
	struct realm *realm;
	struct peer_id id;
	uint8_t last_timestamp[TIMESTAMP_LEN]; /* PROTOCOL 3.4, accepted from it */
	bool has_initiation;
	bool up; /* as the owner was told */
	bool dead;
	void *ctx;	       /* the owner's */
	struct active *active; /* owned; NULL: not in use */
	struct peer_stats stats;
	UT_hash_handle hh; /* realm->peers, by id */
	SLIST_ENTRY(peer) grave;
};

enum { PROLOGUE_LEN = 6 + 1 + OBJECT_ID_LEN + 4 };

struct realm_epoch {
	uint8_t prologue[PROLOGUE_LEN];
	struct secret psk;
};

struct realm {
	struct engine *engine;
	enum realm_kind kind;
	struct object_id id;
	const struct identity *pair;
	const struct realm_ops *ops;
	void *ctx;
	struct cookie_keys keys;      /* of pair */
	struct realm_epoch epochs[2]; /* the one in force, the one before */
	unsigned epoch_count;
	uint16_t mtu;
	struct peer *peers; /* owned */
	LIST_ENTRY(realm) entry;
};

/* Session indices: open addressing. They are random and our own choice, so the index is its own
 * hash. */
struct index_table {
	struct slot **cells; /* owned array, borrowed items */
	size_t size;	     /* a power of two, at least twice what may be in it; or 0 */
};

struct engine {
	struct engine_io io;
	const struct id *curve; /* borrowed */
	struct noise_dh dh;
	uint8_t aead_mask;
	uint64_t now;
	unsigned depth; /* calls of ours on the stack: the dead are buried when it is 0 */
	size_t active_count;
	LIST_HEAD(, realm) realms; /* owned */
	SLIST_HEAD(, peer) graves;
	LIST_HEAD(, active) idle; /* to be taken from their peers when depth is 0 */
	struct index_table index;
	struct timer_heap heap;
	struct cookie_baker baker;
	struct cookie_load load;
	struct ratelimit *limit; /* owned */
	uint8_t hash_key[16];
	uint8_t last_timestamp[TIMESTAMP_LEN]; /* sent */
	uint64_t counters[ENGINE_COUNTER_COUNT];
	uint8_t scratch[MESSAGE_MAX]; /* for a lane header before a datagram */
};

static inline void engine_count(struct engine *engine, enum engine_counter counter)
{
	engine->counters[counter]++;
}

/* Every public function that may call the owner back stands between these two. */
void engine_enter(struct engine *engine, uint64_t now);
void engine_leave(struct engine *engine);

/* peer_index.c. Room for count slots in all, so that index_add() never fails. 0 or -ENOMEM. */
int index_reserve(struct index_table *table, size_t count);
void index_add(struct index_table *table, struct slot *slot);
void index_remove(struct index_table *table, const struct slot *slot);
/* NULL: not ours. */
struct slot *index_find(const struct index_table *table, uint32_t index);
/* A random index that is free. */
uint32_t index_draw(struct engine *engine);

/* Gives it what it needs to be used; taken back when it falls idle, not before engine_leave().
 * False: out of memory. */
bool peer_activate(struct peer *peer);
/* NULL: the peer has none in that role. */
struct slot *peer_slot(struct peer *peer, enum slot_role role);
/* Puts a new session (owned from now on; NULL for HANDSHAKE) in place of the one in that role,
 * under a drawn index. */
struct slot *peer_take_slot(struct peer *peer, enum slot_role role, uint32_t index,
			    struct session *session);
/* Wipes and frees what is in it. NULL: nothing. */
void peer_drop_slot(struct peer *peer, struct slot *slot);
/* Makes a session (role NEXT, or HANDSHAKE with its session set) the one to seal with. Ends the
 * handshake under way. */
void peer_promote(struct peer *peer, struct slot *slot);
/* After sessions changed: timers, and session_changed() when up has. May leave the peer dead. */
void peer_sessions_changed(struct peer *peer);
/* After facts changed; also when it may have fallen idle. */
void peer_schedule(struct peer *peer);
/* Does what is due of an active one. */
void peer_run(struct peer *peer);
/* Seals and sends by via; 0, -DNET_ENOSESSION. */
int peer_send_content(struct peer *peer, const struct via *via, const uint8_t *content, size_t len,
		      enum timers_content kind);
/* Frees without a word. */
void peer_bury(struct peer *peer);

#endif
