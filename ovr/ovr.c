#include "ovr/ovr.h"

#include "ovr/quota.h"
#include "wire/message.h"
#include "wire/ovr.h"
#include "wire/units.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* Out of memory refuses one member or lane. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* A lane has two sides, one for each member, each with a random id of its own. It lives while both
 * members are in force; a member that goes away (restart, roaming) comes back to the same lane. */

enum { LANE_IDLE_S = 120 };

struct lane;

struct side {
	uint64_t id; /* key of ovr->sides */
	struct lane *lane;
	struct node_key key;
	struct peer *peer;	/* borrowed; NULL: no session here now */
	LIST_ENTRY(side) entry; /* of its member, when it has a peer */
	UT_hash_handle hh;
};

struct pair {
	struct object_id dnet;
	struct node_key low, high;
};

struct lane {
	struct pair pair;     /* key of ovr->lanes */
	struct side sides[2]; /* of low and high */
	struct tenant *tenant;
	LIST_ENTRY(lane) entry;
	uint64_t used_at;
	UT_hash_handle hh;
};

struct tenant {
	struct object_id dnet; /* key of ovr->tenants */
	struct quota quota;
	size_t lane_count, members;
	LIST_HEAD(, lane) lanes; /* owned by the ovr */
	UT_hash_handle hh;
};

struct member {
	LIST_ENTRY(member) entry;
	struct peer *peer; /* borrowed: the engine's; its ctx is this */
	struct tenant *tenant;
	LIST_HEAD(, side) sides; /* borrowed: of the lanes that it is attached to */
	size_t lanes;		 /* their number */
};

struct ovr {
	struct engine *engine; /* borrowed */
	const struct hub *hub; /* borrowed */
	struct realm *realm;   /* borrowed */
	struct engine_io io;
	struct side *sides;	/* by id; inside the lanes */
	struct lane *lanes;	/* owned */
	struct tenant *tenants; /* owned */
	uint64_t counters[OVR_COUNTER_COUNT];
	LIST_HEAD(, member) members; /* owned */
};

struct ovr *ovr_new(struct engine *engine, const struct hub *hub, const struct engine_io *io)
{
	struct ovr *ovr = calloc(1, sizeof(*ovr));

	if (!ovr)
		return NULL;
	ovr->engine = engine;
	ovr->hub = hub;
	ovr->io = *io;
	return ovr;
}

void ovr_set_realm(struct ovr *ovr, struct realm *realm)
{
	ovr->realm = realm;
}

static void count(struct ovr *ovr, enum ovr_counter counter, uint64_t n)
{
	ovr->counters[counter] += n;
}

static struct tenant *find_tenant(const struct ovr *ovr, const struct object_id *dnet)
{
	struct tenant *tenant;

	HASH_FIND(hh, ovr->tenants, dnet, sizeof(*dnet), tenant);
	return tenant;
}

static struct tenant *want_tenant(struct ovr *ovr, const struct object_id *dnet)
{
	struct tenant *tenant = find_tenant(ovr, dnet);

	if (tenant)
		return tenant;
	tenant = calloc(1, sizeof(*tenant));
	if (!tenant)
		return NULL;
	tenant->dnet = *dnet;
	HASH_ADD(hh, ovr->tenants, dnet, sizeof(tenant->dnet), tenant);
	if (!tenant->hh.tbl) {
		free(tenant);
		return NULL;
	}
	return tenant;
}

/* ---- Lanes ---- */

static void make_pair(struct pair *pair, const struct object_id *dnet, const struct node_key *a,
		      const struct node_key *b)
{
	bool first = node_key_compare(a, b) < 0;

	pair->dnet = *dnet;
	pair->low = first ? *a : *b;
	pair->high = first ? *b : *a;
}

static struct side *side_of(struct lane *lane, const struct node_key *key)
{
	return &lane->sides[node_key_equal(&lane->sides[0].key, key) ? 0 : 1];
}

static struct side *other_side(struct side *side)
{
	return &side->lane->sides[side == &side->lane->sides[0] ? 1 : 0];
}

static void detach_side(struct side *side)
{
	struct member *member;

	if (!side->peer)
		return;
	member = peer_ctx(side->peer);
	LIST_REMOVE(side, entry);
	member->lanes--;
	side->peer = NULL;
}

static void lane_free(struct ovr *ovr, struct lane *lane)
{
	for (int i = 0; i < 2; i++) {
		HASH_DELETE(hh, ovr->sides, &lane->sides[i]);
		detach_side(&lane->sides[i]);
	}
	HASH_DELETE(hh, ovr->lanes, lane);
	LIST_REMOVE(lane, entry);
	lane->tenant->lane_count--;
	free(lane);
}

static void send_frame(struct peer *peer, const struct ovr_frame *frame, uint64_t now)
{
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	ovr_frame_write(&w, frame);
	assert(!w.failed);
	peer_send_frame(peer, peer_via(peer), bytes, writer_len(&w), now);
}

static void lane_close(struct ovr *ovr, struct lane *lane, enum lane_closed_reason reason,
		       uint64_t now)
{
	for (int i = 0; i < 2; i++) {
		struct ovr_frame frame = {.type = FRAME_LANE_CLOSED,
					  .lane = lane->sides[i].id,
					  .reason = (uint8_t)reason};

		if (lane->sides[i].peer)
			send_frame(lane->sides[i].peer, &frame, now);
	}
	lane_free(ovr, lane);
}

static bool add_side(struct ovr *ovr, struct lane *lane, int i, const struct node_key *key)
{
	struct side *side = &lane->sides[i], *taken;

	side->lane = lane;
	side->key = *key;
	do {
		ovr->io.random(ovr->io.ctx, &side->id, sizeof(side->id));
		HASH_FIND(hh, ovr->sides, &side->id, sizeof(side->id), taken);
	} while (!side->id || taken);
	HASH_ADD(hh, ovr->sides, id, sizeof(side->id), side);
	return side->hh.tbl;
}

static struct lane *lane_new(struct ovr *ovr, const struct pair *pair, struct tenant *tenant)
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return NULL;
	lane->pair = *pair;
	lane->tenant = tenant;
	HASH_ADD(hh, ovr->lanes, pair, sizeof(lane->pair), lane);
	if (!lane->hh.tbl) {
		free(lane);
		return NULL;
	}
	if (!add_side(ovr, lane, 0, &pair->low)) {
		HASH_DELETE(hh, ovr->lanes, lane);
		free(lane);
		return NULL;
	}
	if (!add_side(ovr, lane, 1, &pair->high)) {
		HASH_DELETE(hh, ovr->sides, &lane->sides[0]);
		HASH_DELETE(hh, ovr->lanes, lane);
		free(lane);
		return NULL;
	}
	LIST_INSERT_HEAD(&tenant->lanes, lane, entry);
	tenant->lane_count++;
	count(ovr, OVR_lane_made, 1);
	return lane;
}

/* ---- Members ---- */

static struct peer *authorize(void *ctx, struct realm *realm, const struct node_key *key,
			      const struct object_id *dnet)
{
	struct ovr *ovr = ctx;
	struct tenant *tenant;
	struct member *member;
	struct peer *peer = NULL;

	if (!hub_is_member(ovr->hub, dnet, key))
		return NULL;
	member = calloc(1, sizeof(*member));
	tenant = want_tenant(ovr, dnet);
	if (member && tenant)
		peer = realm_add_peer(realm, key, dnet);
	if (!peer) {
		free(member);
		return NULL;
	}
	member->peer = peer;
	member->tenant = tenant;
	tenant->members++;
	LIST_INSERT_HEAD(&ovr->members, member, entry);
	peer_set_ctx(peer, member);
	return peer;
}

/* Its lanes stay for a while: it may come back. */
static void detach(struct member *member)
{
	while (!LIST_EMPTY(&member->sides))
		detach_side(LIST_FIRST(&member->sides));
}

static void forget(struct peer *peer, uint8_t bye)
{
	struct member *member = peer_ctx(peer);

	if (member) {
		detach(member);
		member->tenant->members--;
		peer_set_ctx(peer, NULL);
		LIST_REMOVE(member, entry);
		free(member);
	}
	peer_remove(peer, bye);
}

static void session_changed(void *ctx, struct peer *peer, bool up)
{
	(void)ctx;
	if (!up)
		forget(peer, 0);
}

static bool is_side(const struct lane *lane, const struct node_key *key)
{
	return node_key_equal(&lane->pair.low, key) || node_key_equal(&lane->pair.high, key);
}

/* Without a grant all lanes of the dnet go with its first member. */
void ovr_member_removed(void *ctx, const struct object_id *dnet, const struct node_key *key)
{
	struct ovr *ovr = ctx;
	struct peer *peer = realm_find_peer(ovr->realm, key, dnet);
	struct tenant *tenant = find_tenant(ovr, dnet);
	bool granted = hub_grant(ovr->hub, dnet);
	struct lane *lane = tenant ? LIST_FIRST(&tenant->lanes) : NULL, *next;

	for (; lane; lane = next) {
		next = LIST_NEXT(lane, entry);
		if (!granted || is_side(lane, key))
			lane_close(ovr, lane,
				   granted ? LANE_CLOSED_OTHER_GONE : LANE_CLOSED_GRANT_ENDED,
				   engine_now(ovr->engine));
	}
	if (peer)
		forget(peer, BYE_REMOVED);
}

void ovr_free(struct ovr *ovr)
{
	struct lane *lane, *next_lane;
	struct tenant *tenant, *next_tenant;

	if (!ovr)
		return;
	while (!LIST_EMPTY(&ovr->members)) {
		struct member *member = LIST_FIRST(&ovr->members);

		LIST_REMOVE(member, entry);
		free(member);
	}
	HASH_CLEAR(hh, ovr->sides);
	HASH_ITER(hh, ovr->lanes, lane, next_lane)
	{
		HASH_DELETE(hh, ovr->lanes, lane);
		free(lane);
	}
	HASH_ITER(hh, ovr->tenants, tenant, next_tenant)
	{
		HASH_DELETE(hh, ovr->tenants, tenant);
		free(tenant);
	}
	free(ovr);
}

/* ---- Opening ---- */

static void refuse(struct ovr *ovr, struct peer *peer, const struct node_key *key,
		   enum lane_refused_reason reason, enum ovr_counter counter)
{
	struct ovr_frame frame = {
		.type = FRAME_LANE_REFUSED, .key = *key, .reason = (uint8_t)reason};

	count(ovr, counter, 1);
	send_frame(peer, &frame, engine_now(ovr->engine));
}

/* Both are told each time: who asks again may do so because a LANE was lost. */
static void attach(struct ovr *ovr, struct lane *lane, struct peer *peer)
{
	struct side *side = side_of(lane, peer_key(peer));
	struct ovr_frame frame = {.type = FRAME_LANE, .lane = side->id};
	struct member *member = peer_ctx(peer);

	if (side->peer != peer) {
		detach_side(side);
		side->peer = peer;
		LIST_INSERT_HEAD(&member->sides, side, entry);
		member->lanes++;
	}
	frame.key = other_side(side)->key;
	send_frame(peer, &frame, engine_now(ovr->engine));
}

/* Who has only begun a handshake is not here: anybody may replay an initiation from anywhere. */
static struct member *find_here(const struct ovr *ovr, const struct object_id *dnet,
				const struct node_key *key)
{
	struct peer *peer = realm_find_peer(ovr->realm, key, dnet);
	struct peer_stats stats;

	if (!peer)
		return NULL;
	peer_get_stats(peer, &stats);
	return stats.up ? peer_ctx(peer) : NULL;
}

static void open_lane(struct ovr *ovr, struct member *member, const struct node_key *key)
{
	const struct object_id *dnet = peer_dnet(member->peer);
	const struct netmap_helper *grant = hub_grant(ovr->hub, dnet);
	struct member *other = find_here(ovr, dnet, key);
	struct lane *lane;
	struct pair pair;

	count(ovr, OVR_lane_open_in, 1);
	if (!grant || !hub_is_member(ovr->hub, dnet, key) ||
	    node_key_equal(key, peer_key(member->peer))) {
		refuse(ovr, member->peer, key, LANE_REFUSED_NOT_MEMBER,
		       OVR_lane_refused_not_member);
		return;
	}
	if (quota_used_up(&member->tenant->quota, grant->volume_mib)) {
		refuse(ovr, member->peer, key, LANE_REFUSED_QUOTA, OVR_lane_refused_quota);
		return;
	}
	if (!other) {
		refuse(ovr, member->peer, key, LANE_REFUSED_NOT_HERE, OVR_lane_refused_not_here);
		return;
	}
	make_pair(&pair, dnet, peer_key(member->peer), key);
	HASH_FIND(hh, ovr->lanes, &pair, sizeof(pair), lane);
	if (!lane && member->lanes < OVR_MEMBER_LANES && other->lanes < OVR_MEMBER_LANES &&
	    HASH_COUNT(ovr->lanes) < OVR_LANES)
		lane = lane_new(ovr, &pair, member->tenant);
	if (!lane) {
		refuse(ovr, member->peer, key, LANE_REFUSED_TOO_MANY, OVR_lane_refused_too_many);
		return;
	}
	lane->used_at = engine_now(ovr->engine);
	attach(ovr, lane, other->peer);
	attach(ovr, lane, member->peer);
}

static void take_frame(void *ctx, struct peer *peer, const struct via *via, const uint8_t *bytes,
		       size_t len)
{
	struct ovr *ovr = ctx;
	struct member *member = peer_ctx(peer);
	struct ovr_frame frame;

	(void)via;
	if (!member || bytes[0] == FRAME_PING || bytes[0] == FRAME_PONG || bytes[0] == FRAME_BYE)
		return;
	if (bytes[0] != FRAME_LANE_OPEN)
		count(ovr, OVR_frame_unexpected, 1);
	else if (!ovr_frame_parse(bytes, len, &frame))
		count(ovr, OVR_frame_malformed, 1);
	else
		open_lane(ovr, member, &frame.key);
}

const struct realm_ops ovr_realm_ops = {
	.authorize = authorize,
	.session_changed = session_changed,
	.frame = take_frame,
};

/* ---- Forwarding ---- */

static bool is_lane(const uint8_t *bytes, size_t len)
{
	return len && bytes[0] == MESSAGE_LANE;
}

static size_t datagrams_in(size_t len, size_t segment)
{
	return (len + segment - 1) / segment;
}

/* Bytes of the datagrams from the beginning that carry the same lane id as the first. */
static size_t run_len(const uint8_t *bytes, size_t len, size_t segment)
{
	size_t at = segment;

	while (at < len && len - at > LANE_HEADER_LEN &&
	       !memcmp(bytes, bytes + at, LANE_HEADER_LEN))
		at += segment;
	return at < len ? at : len;
}

/* From a side whose datagrams they are to the other one. */
static void relay(struct ovr *ovr, const struct side *to, uint8_t *bytes, size_t len,
		  size_t segment)
{
	for (size_t at = 0; at < len; at += segment)
		store_u64(bytes + at + LANE_ID_AT, to->id);
	count(ovr, OVR_forwarded_datagrams, datagrams_in(len, segment));
	count(ovr, OVR_forwarded_bytes, len);
	ovr->io.send(ovr->io.ctx, &peer_via(to->peer)->endpoint, bytes, len, segment);
}

/* As much of a run as the grant of its dnet has room for. */
static void relay_within_grant(struct ovr *ovr, struct side *from, uint8_t *bytes, size_t len,
			       size_t segment, uint64_t now)
{
	struct lane *lane = from->lane;
	const struct netmap_helper *grant = hub_grant(ovr->hub, &lane->pair.dnet);
	enum quota_verdict verdict;
	size_t passed;

	if (!grant) {
		count(ovr, OVR_dropped_unknown_lane, datagrams_in(len, segment));
		return;
	}
	verdict = quota_take(&lane->tenant->quota, grant->rate_kbit, grant->volume_mib, len,
			     segment, now, &passed);
	if (passed) {
		lane->used_at = now;
		relay(ovr, other_side(from), bytes, passed, segment);
	}
	switch (verdict) {
	case QUOTA_PASS:
		break;
	case QUOTA_RATE:
		count(ovr, OVR_dropped_rate, datagrams_in(len - passed, segment));
		break;
	case QUOTA_VOLUME:
		count(ovr, OVR_dropped_volume, datagrams_in(len - passed, segment));
		lane_close(ovr, lane, LANE_CLOSED_GRANT_ENDED, now);
		break;
	}
}

/* One run of one lane. */
static void forward(struct ovr *ovr, const struct endpoint *source, uint8_t *bytes, size_t len,
		    size_t segment, uint64_t now)
{
	size_t datagrams = datagrams_in(len, segment);
	struct side *side;
	uint64_t id;

	if (load_u32(bytes) != MESSAGE_LANE) {
		count(ovr, OVR_dropped_malformed, datagrams);
		return;
	}
	id = load_u64(bytes + LANE_ID_AT);
	HASH_FIND(hh, ovr->sides, &id, sizeof(id), side);
	if (!side || !side->peer || !other_side(side)->peer) {
		count(ovr, OVR_dropped_unknown_lane, datagrams);
		return;
	}
	/* PROTOCOL 8.3: only if it comes from the address of the session that the lane belongs to
	 */
	if (!endpoint_equal(&peer_via(side->peer)->endpoint, source)) {
		count(ovr, OVR_dropped_wrong_source, datagrams);
		return;
	}
	relay_within_grant(ovr, side, bytes, len, segment, now);
}

size_t ovr_input_lanes(struct ovr *ovr, const struct endpoint *source, uint8_t *bytes, size_t len,
		       size_t segment, uint64_t now)
{
	size_t done = 0;

	while (is_lane(bytes + done, len - done)) {
		size_t left = len - done, n = left < segment ? left : segment;

		if (n <= LANE_HEADER_LEN) { /* nothing inside */
			count(ovr, OVR_dropped_malformed, 1);
			done += n;
			continue;
		}
		if (left > segment)
			n = run_len(bytes + done, left, segment);
		forward(ovr, source, bytes + done, n, n < segment ? n : segment, now);
		done += n;
	}
	return done;
}

void ovr_tick(struct ovr *ovr, uint64_t now)
{
	struct lane *lane, *next;

	HASH_ITER(hh, ovr->lanes, lane, next)
	{
		if (!lane->sides[0].peer && !lane->sides[1].peer &&
		    now - lane->used_at >= LANE_IDLE_S * NS_PER_S)
			lane_free(ovr, lane);
	}
}

struct ovr_usage ovr_usage(const struct ovr *ovr, const struct object_id *dnet)
{
	const struct tenant *tenant = find_tenant(ovr, dnet);

	if (!tenant)
		return (struct ovr_usage){0};
	return (struct ovr_usage){.bytes = tenant->quota.used,
				  .dropped = tenant->quota.dropped,
				  .lanes = tenant->lane_count,
				  .members = tenant->members};
}

int ovr_set_used(struct ovr *ovr, const struct object_id *dnet, uint64_t bytes)
{
	struct tenant *tenant = want_tenant(ovr, dnet);

	if (!tenant)
		return -ENOMEM;
	tenant->quota.used = bytes;
	return 0;
}

uint64_t ovr_counter(const struct ovr *ovr, enum ovr_counter counter)
{
	assert(counter < OVR_COUNTER_COUNT);
	return ovr->counters[counter];
}

const char *ovr_counter_name(enum ovr_counter counter)
{
	static const char *const names[] = {
#define X(name) #name,
		OVR_COUNTERS(X)
#undef X
	};

	assert(counter < OVR_COUNTER_COUNT);
	return names[counter];
}
