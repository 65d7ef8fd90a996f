#ifndef CORE_PATH_H
#define CORE_PATH_H

/* The ways to one peer (PROTOCOL 6, 7): endpoints and lanes, PINGs over them, and which one data
 * takes. A state machine in handed-in time; what it wants sent is asked of it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/packet.h"

enum {
	PATH_ENDPOINTS = 16,
	PATH_LANES = 4,
	PATH_ENTRIES = PATH_ENDPOINTS + PATH_LANES,
	PATH_PINGS = 4,
};

enum path_origin {
	PATH_INTRODUCED, /* by an OVC, or by the peer's CANDIDATES */
	PATH_HEARD,	 /* an authenticated message came from there */
};

/* One way. Times are ns, 0: never. */
struct path {
	struct via via; /* lane 0: direct */
	bool used;
	enum path_origin origin;
	bool confirmed; /* a PING was answered, and it was not lost since */
	bool wanted;	/* a PING is due whatever the interval */
	uint64_t added; /* or last named again */
	uint64_t last_heard;
	uint64_t last_pong;
	uint64_t last_ping;
	uint64_t rtt_ns;     /* smoothed */
	unsigned unanswered; /* PINGs since the last PONG, while confirmed */
	uint64_t first_unanswered;
	unsigned tries; /* PINGs since it was added, named again, or lost */
	unsigned sent;
	struct {
		uint64_t id, sent;
		bool pending;
	} pings[PATH_PINGS]; /* the last ones, for their PONGs */
};

struct path_set {
	struct path list[PATH_ENTRIES]; /* endpoints, then lanes */
	int current;			/* index into list of the confirmed path in use, -1: none */
	int last;			/* of the last authenticated message, -1: none */
	bool up;			/* a session lives: PINGs can be sealed */
	uint64_t up_since;
	uint64_t unproven_since; /* no path is confirmed since then, while up */
	uint64_t last_flow;	 /* a packet of data went either way */
	uint64_t relayed_since;	 /* the path is a lane (or none) since then while packets flow */
	uint64_t changes;	 /* of the path in use */
	bool kept;		 /* path_keep() */
};

void path_set_init(struct path_set *set);
/* A session came or went. */
void path_set_up(struct path_set *set, bool up, uint64_t now);
/* The session is kept for ever: its path is looked after also when nothing flows. */
void path_keep(struct path_set *set, bool on);
/* A candidate; at the limit the one least worth goes. Nothing happens for family ADDR_NONE, port 0,
 * or when all others are better. */
void path_add_endpoint(struct path_set *set, const struct endpoint *endpoint,
		       enum path_origin origin, uint64_t now);
void path_add_lane(struct path_set *set, const struct via *lane, uint64_t now);
void path_remove_lane(struct path_set *set, const struct via *lane, uint64_t now);
/* An authenticated message came by this way: PROTOCOL 7.2 starts a PING there when it is new.
 * Returns whether path_deadline() may have come nearer. */
bool path_heard(struct path_set *set, const struct via *via, uint64_t now);
/* A packet of data went in or out. */
void path_flow(struct path_set *set, uint64_t now);
bool path_flows(const struct path_set *set, uint64_t now);
/* The PONG to this id came. False: no PING of ours. */
bool path_pong(struct path_set *set, uint64_t id, uint64_t now);
/* The host's network changed: every path has to prove itself again. */
void path_doubt(struct path_set *set, uint64_t now);

/* Who is there has answered a PING over it, not long ago. */
bool path_is_proven(const struct path *path, uint64_t now);

/* The next PING that is due now: true, with where to and its entry; path_sent() has to follow with
 * an id that nobody can guess (a PONG with a guessed one would draw traffic to an address of the
 * guesser's choice). */
bool path_due(struct path_set *set, uint64_t now, struct path **ret_path);
void path_sent(struct path_set *set, struct path *path, uint64_t id, uint64_t now);
/* When path_due() may say something new, or a path may be lost. UINT64_MAX: nothing to do. */
uint64_t path_deadline(const struct path_set *set, uint64_t now);

/* What data takes: the path in use; without one the last way heard, then any lane; NULL: none. */
const struct path *path_current(const struct path_set *set);
/* The path in use is a lane or has not answered for a while, or there is none: worth asking the
 * helpers. */
bool path_wanting(const struct path_set *set);

/* Why it is what it is; static text. */
const char *path_reason(const struct path_set *set);

#endif
