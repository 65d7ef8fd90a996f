#include "core/path.h"

#include "wire/units.h"

#include <string.h>

/* Each entry is UNCONFIRMED until a PONG comes, then CONFIRMED until it is lost; the path in use is
 * the best of the confirmed ones.
 *
 *	add, heard  → a PING is due at once
 *	PONG        → confirmed; choose again
 *	lost        → unconfirmed; choose again
 *	doubt       → all unconfirmed, PINGs due at once
 *
 * When a PING is due follows from what the path is to us now (interval_of()), not from stored
 * timers, so a change of state needs no bookkeeping. */

/* PROTOCOL 6 */
#define PROBE_ACTIVE (1 * NS_PER_S)
#define PROBE_IDLE   (10 * NS_PER_S)
#define PROBE_END    (300 * NS_PER_S) /* without flow for this long nothing is probed any more */
#define PROBE_KEPT   (25 * NS_PER_S)
#define FLOW_LASTS   (5 * NS_PER_S)
#define LOST_AFTER   (2500 * NS_PER_MS)
#define BELIEVED_FOR (5 * NS_PER_S)  /* PROTOCOL 7.5 */
#define EAGER_FOR    (30 * NS_PER_S) /* PROTOCOL 7.4 */
#define KEPT_AFTER   (60 * NS_PER_S)
#define EAGER_AFTER  (5 * NS_PER_S)
#define SPACING	     (200 * NS_PER_MS) /* between PINGs on one path, whatever asks for them */

enum { LOST_COUNT = 3, DOUBT_COUNT = 2, FIRST_TRIES = 5, NONE = -1 };

void path_set_init(struct path_set *set)
{
	memset(set, 0, sizeof(*set));
	set->current = NONE;
	set->last = NONE;
}

static bool is_lane(const struct path *p)
{
	return p->via.lane != 0;
}

static bool via_equal(const struct via *a, const struct via *b)
{
	return a->lane == b->lane && endpoint_equal(&a->endpoint, &b->endpoint);
}

static int find(const struct path_set *set, const struct via *via)
{
	for (int i = 0; i < PATH_ENTRIES; i++)
		if (set->list[i].used && via_equal(&set->list[i].via, via))
			return i;
	return NONE;
}

static const struct path *entry(const struct path_set *set, int i)
{
	return i == NONE ? NULL : &set->list[i];
}

bool path_flows(const struct path_set *set, uint64_t now)
{
	return set->last_flow && now - set->last_flow < FLOW_LASTS;
}

/* It has not answered for longer than a lost datagram explains. */
static bool is_doubted(const struct path *p)
{
	return p->unanswered >= DOUBT_COUNT;
}

/* PROTOCOL 7.3: direct before lane; among direct ones the lower round trip, changed only for one
 * that is better by 10 % and 2 ms. A path in use that is doubted gives way to any of its kind that
 * answered since. */
static bool is_better(const struct path *a, const struct path *than, bool than_in_use)
{
	if (is_lane(a) != is_lane(than))
		return !is_lane(a);
	if (than_in_use && is_doubted(than) && !is_doubted(a) &&
	    a->last_pong > than->first_unanswered)
		return true;
	if (!than_in_use)
		return a->rtt_ns < than->rtt_ns;
	return a->rtt_ns * 10 <= than->rtt_ns * 9 && a->rtt_ns + 2 * NS_PER_MS <= than->rtt_ns;
}

static void choose(struct path_set *set, uint64_t now)
{
	int best = set->current;

	if (best != NONE && !set->list[best].confirmed)
		best = NONE;
	for (int i = 0; i < PATH_ENTRIES; i++) {
		const struct path *p = &set->list[i];

		if (!p->used || !p->confirmed || i == best)
			continue;
		if (best == NONE || is_better(p, &set->list[best], best == set->current))
			best = i;
	}
	if (best == set->current)
		return;
	/* PROTOCOL 7.4 counts from when there is no direct path any more. */
	if (set->current == NONE || !is_lane(&set->list[set->current]))
		set->relayed_since = now;
	if (best == NONE)
		set->unproven_since = now;
	set->current = best;
	set->changes++;
}

static void unconfirm(struct path *p)
{
	p->confirmed = false;
	p->unanswered = 0;
	p->first_unanswered = 0;
	p->rtt_ns = 0;
	memset(p->pings, 0, sizeof(p->pings));
}

static void ask_ping(struct path *p)
{
	p->wanted = true;
}

void path_set_up(struct path_set *set, bool up, uint64_t now)
{
	bool was_up = set->up;

	set->up = up;
	if (up == was_up)
		return;
	if (up) {
		set->up_since = now;
		set->unproven_since = now;
		set->relayed_since = now;
	}
	/* PROTOCOL 7.3: while no path has been confirmed, handshakes go to every candidate and lane
	 * at once. */
	for (int i = 0; i < PATH_ENTRIES; i++) {
		unconfirm(&set->list[i]);
		set->list[i].tries = 0;
		set->list[i].wanted = up && set->list[i].used;
	}
	choose(set, now);
}

void path_keep(struct path_set *set, bool on)
{
	set->kept = on;
}

bool path_is_proven(const struct path *p, uint64_t now)
{
	return is_lane(p) || p->confirmed || (p->last_pong && now - p->last_pong < PROBE_END);
}

/* How much it would be missed. */
static uint64_t worth(const struct path_set *set, int i)
{
	const struct path *p = &set->list[i];

	if (i == set->current || i == set->last)
		return UINT64_MAX;
	if (p->confirmed)
		return UINT64_MAX / 2 + p->last_pong;
	return p->last_heard > p->added ? p->last_heard : p->added;
}

/* A free entry, or that of the least worth; NONE: all are worth more than a new one. */
static int make_room(struct path_set *set, int from, int to)
{
	int least = from;

	for (int i = from; i < to; i++) {
		if (!set->list[i].used)
			return i;
		if (worth(set, i) < worth(set, least))
			least = i;
	}
	return set->list[least].confirmed || worth(set, least) == UINT64_MAX ? NONE : least;
}

static struct path *add(struct path_set *set, const struct via *via, enum path_origin origin,
			uint64_t now)
{
	int i = find(set, via);
	struct path *p;

	if (i == NONE) {
		i = via->lane ? make_room(set, PATH_ENDPOINTS, PATH_ENTRIES)
			      : make_room(set, 0, PATH_ENDPOINTS);
		if (i == NONE)
			return NULL;
		set->list[i] = (struct path){.used = true, .via = *via, .origin = origin};
		ask_ping(&set->list[i]);
	}
	p = &set->list[i];
	/* Named anew: tried anew, but not as often as somebody may name it. */
	if (origin == PATH_INTRODUCED && now - p->added >= EAGER_AFTER) {
		p->tries = 0;
		if (!p->confirmed)
			ask_ping(p);
	}
	p->added = now;
	return p;
}

void path_add_endpoint(struct path_set *set, const struct endpoint *endpoint,
		       enum path_origin origin, uint64_t now)
{
	if (endpoint->addr.family != ADDR_NONE && endpoint->port)
		add(set, &(struct via){.endpoint = *endpoint}, origin, now);
}

void path_add_lane(struct path_set *set, const struct via *lane, uint64_t now)
{
	if (lane->lane)
		add(set, lane, PATH_INTRODUCED, now);
}

void path_remove_lane(struct path_set *set, const struct via *lane, uint64_t now)
{
	int i = find(set, lane);

	if (i == NONE)
		return;
	memset(&set->list[i], 0, sizeof(set->list[i]));
	if (set->last == i)
		set->last = NONE;
	if (set->current == i) {
		set->list[i].confirmed = false;
		choose(set, now);
	}
}

/* PROTOCOL 7.5: where a message came from is its sender's word. While no path is confirmed it is
 * believed for 5 s, or else a member could lead its streams to anybody. */
static bool is_believed(const struct path_set *set, uint64_t now)
{
	return !set->up || set->current != NONE || now - set->unproven_since < BELIEVED_FOR;
}

static uint64_t disbelieved_at(const struct path_set *set)
{
	if (!set->up || set->current != NONE || set->last == NONE || is_lane(&set->list[set->last]))
		return UINT64_MAX;
	return set->unproven_since + BELIEVED_FOR;
}

bool path_heard(struct path_set *set, const struct via *via, uint64_t now)
{
	int i = set->last;
	struct path *p;

	if (i == NONE || !via_equal(&set->list[i].via, via))
		i = find(set, via);
	if (i == NONE) {
		if (!add(set, via, PATH_HEARD, now))
			return false;
		i = find(set, via);
	}
	p = &set->list[i];
	p->last_heard = now;
	if (is_lane(p) || is_believed(set, now))
		set->last = i;
	/* PROTOCOL 7.2: A handshake message or data received on a new path starts a PING there. */
	if (p->confirmed || (p->last_ping && now - p->last_ping < PROBE_ACTIVE))
		return false;
	ask_ping(p);
	return true;
}

static bool any_lane(const struct path_set *set)
{
	for (int i = PATH_ENDPOINTS; i < PATH_ENTRIES; i++)
		if (set->list[i].used)
			return true;
	return false;
}

/* What was not asked for a while says nothing about now. */
static void doubt_stale(struct path_set *set, uint64_t now)
{
	for (int i = 0; i < PATH_ENTRIES; i++) {
		struct path *p = &set->list[i];

		if (!p->used || !p->confirmed || now - p->last_pong < 3 * PROBE_IDLE)
			continue;
		unconfirm(p);
		ask_ping(p);
	}
	choose(set, now);
	/* A lane is where it was; an address may be somebody else's by now. */
	if (set->current == NONE && any_lane(set) && set->last != NONE &&
	    now - set->list[set->last].last_heard >= 3 * PROBE_IDLE)
		set->last = NONE;
}

void path_flow(struct path_set *set, uint64_t now)
{
	if (!path_flows(set, now)) {
		doubt_stale(set, now);
		set->relayed_since = now;
	}
	set->last_flow = now;
}

bool path_pong(struct path_set *set, uint64_t id, uint64_t now)
{
	for (int i = 0; i < PATH_ENTRIES; i++) {
		struct path *p = &set->list[i];

		for (unsigned k = 0; p->used && k < PATH_PINGS; k++) {
			uint64_t rtt = now - p->pings[k].sent;

			if (!p->pings[k].pending || p->pings[k].id != id)
				continue;
			p->pings[k].pending = false;
			p->rtt_ns = p->confirmed ? (p->rtt_ns * 7 + rtt) / 8 : rtt;
			p->confirmed = true;
			p->last_pong = now;
			p->unanswered = 0;
			p->first_unanswered = 0;
			choose(set, now);
			return true;
		}
	}
	return false;
}

void path_doubt(struct path_set *set, uint64_t now)
{
	for (int i = 0; i < PATH_ENTRIES; i++) {
		struct path *p = &set->list[i];

		if (!p->used)
			continue;
		unconfirm(p);
		p->tries = 0;
		p->last_ping = 0;
		ask_ping(p);
	}
	choose(set, now);
	set->relayed_since = now;
}

/* PROTOCOL 6, PROBE_KEPT: the path alone, or every way when there is none. */
static uint64_t interval_kept(const struct path *current, const struct path *p)
{
	if (p->unanswered && p->confirmed)
		return PROBE_ACTIVE;
	return !current || p == current ? PROBE_KEPT : 0;
}

/* PROTOCOL 6: PROBE_ACTIVE on the current path and on each better candidate while packets flow,
 * PROBE_IDLE while a session lives without flow. PROTOCOL 7.4: while the path is a lane and packets
 * flow, every direct candidate gets a PING every second for 30 s, then every 5 s. */
static uint64_t interval_of(const struct path_set *set, const struct path *p, uint64_t now)
{
	const struct path *current = entry(set, set->current);
	bool flows = path_flows(set, now), in_need = !current || is_doubted(current);
	uint64_t quiet_since = set->last_flow > set->up_since ? set->last_flow : set->up_since;

	if (!flows && set->kept && now - quiet_since >= KEPT_AFTER)
		return interval_kept(current, p);
	if (!flows && now - quiet_since >= PROBE_END)
		return 0;
	/* Whether it is there still is asked quickly, also when nothing flows. */
	if (p->unanswered && p->confirmed)
		return PROBE_ACTIVE;
	if (p == current)
		return flows ? PROBE_ACTIVE : PROBE_IDLE;
	if (p->tries < FIRST_TRIES && (in_need || is_lane(current) || !is_lane(p)))
		return PROBE_ACTIVE;
	if (is_lane(p))
		return !in_need ? 0 : flows ? PROBE_ACTIVE : PROBE_IDLE;
	if (!flows || (!in_need && !is_lane(current)))
		return PROBE_IDLE;
	return now - set->relayed_since < EAGER_FOR ? PROBE_ACTIVE : EAGER_AFTER;
}

static uint64_t lost_at(const struct path *p)
{
	if (!p->used || !p->confirmed || p->unanswered < LOST_COUNT)
		return UINT64_MAX;
	return p->first_unanswered + LOST_AFTER;
}

static uint64_t due_at(const struct path_set *set, const struct path *p, uint64_t now)
{
	uint64_t interval;

	if (!set->up || !p->used)
		return UINT64_MAX;
	if (p->wanted)
		return p->last_ping ? p->last_ping + SPACING : 0;
	interval = interval_of(set, p, now);
	if (!interval)
		return UINT64_MAX;
	return p->last_ping ? p->last_ping + interval : 0;
}

/* PROTOCOL 6, PATH_LOST: 3 PINGs unanswered, and 2.5 s. */
static void lose_paths(struct path_set *set, uint64_t now)
{
	bool any = false;

	if (disbelieved_at(set) <= now)
		set->last = NONE;
	for (int i = 0; i < PATH_ENTRIES; i++) {
		if (lost_at(&set->list[i]) > now)
			continue;
		unconfirm(&set->list[i]);
		set->list[i].tries = 0;
		if (set->last == i)
			set->last = NONE;
		any = true;
	}
	if (any)
		choose(set, now);
}

bool path_due(struct path_set *set, uint64_t now, struct path **ret_path)
{
	lose_paths(set, now);
	for (int i = 0; i < PATH_ENTRIES; i++) {
		if (due_at(set, &set->list[i], now) > now)
			continue;
		*ret_path = &set->list[i];
		return true;
	}
	return false;
}

void path_sent(struct path_set *set, struct path *path, uint64_t id, uint64_t now)
{
	unsigned slot = path->sent++ % PATH_PINGS;

	path->pings[slot].id = id;
	path->pings[slot].sent = now;
	path->pings[slot].pending = true;
	path->last_ping = now;
	path->wanted = false;
	path->tries++;
	if (path->confirmed && !path->unanswered++)
		path->first_unanswered = now;
}

uint64_t path_deadline(const struct path_set *set, uint64_t now)
{
	uint64_t deadline = disbelieved_at(set);

	for (int i = 0; i < PATH_ENTRIES; i++) {
		uint64_t due = due_at(set, &set->list[i], now), lost = lost_at(&set->list[i]);

		if (due < deadline)
			deadline = due;
		if (lost < deadline)
			deadline = lost;
	}
	return deadline;
}

const struct path *path_current(const struct path_set *set)
{
	const struct path *last = entry(set, set->last);

	if (set->current != NONE)
		return &set->list[set->current];
	/* PROTOCOL 7.3: data follows the path of the last authenticated message. */
	if (last)
		return last;
	for (int i = PATH_ENDPOINTS; i < PATH_ENTRIES; i++)
		if (set->list[i].used)
			return &set->list[i];
	return NULL;
}

bool path_wanting(const struct path_set *set)
{
	const struct path *current = entry(set, set->current);

	return !current || is_lane(current) || is_doubted(current);
}

static bool any_direct(const struct path_set *set)
{
	for (int i = 0; i < PATH_ENDPOINTS; i++)
		if (set->list[i].used)
			return true;
	return false;
}

const char *path_reason(const struct path_set *set)
{
	const struct path *current = entry(set, set->current);

	if (current && is_doubted(current))
		return is_lane(current) ? "relayed: the last PINGs were not answered"
					: "direct: the last PINGs were not answered";
	if (current && !is_lane(current))
		return "direct: confirmed";
	if (current)
		return any_direct(set) ? "relayed: no answer from any direct candidate"
				       : "relayed: no direct candidate is known";
	return set->up ? "no path is confirmed yet" : "no session";
}
