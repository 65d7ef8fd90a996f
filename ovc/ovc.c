#include "ovc/ovc.h"

#include "core/ratelimit.h"
#include "wire/ovc.h"
#include "wire/stun.h"
#include "wire/units.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* Out of memory refuses one member. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* A member is registered while it has a session and its last REGISTER is younger than LIFETIME; a
 * member without a session is forgotten. All state is in memory: after a restart members register
 * again within seconds. */

enum {
	LIFETIME_S = 40,     /* PROTOCOL 8.1: A registration lives 40 s. */
	INTRODUCE_RATE = 10, /* PROTOCOL 8.2: At most 10 a second per member, burst 20. */
	INTRODUCE_BURST = 20,
	KEPT_MAX = 4, /* PROTOCOL 9.7: an OVC keeps one for each backend, 4 at most */
	STUN_SOURCES = 4096,
	STUN_RATE = 5,
	STUN_BURST = 10,
};

/* A key statement, as it came. */
struct kept {
	uint8_t backend;
	size_t len;
	uint8_t bytes[]; /* len */
};

/* A hub of ours in one dnet. */
struct hub_statement {
	struct object_id dnet;
	uint16_t port;
	struct kept *kept; /* owned */
};

/* A dnet with members here. */
struct tenant {
	struct object_id dnet; /* key of ovc->tenants */
	size_t members;
	TAILQ_HEAD(, member) registered; /* borrowed; who registered first stands first */
	size_t registered_count;
	uint64_t change; /* when a statement was other than before */
	UT_hash_handle hh;
};

struct member {
	LIST_ENTRY(member) entry;
	struct tenant *tenant; /* borrowed */
	struct peer *peer;     /* borrowed: the engine's; its ctx is this */
	TAILQ_ENTRY(member) registered_entry;
	bool registered;
	uint64_t registered_at;
	struct frame_endpoints endpoints; /* as it said, then as we saw it */
	uint64_t tokens;		  /* of INTRODUCE: a bucket of ratelimit.h */
	struct kept *kept[KEPT_MAX];	  /* owned; NULL: free */
};

struct ovc {
	struct engine *engine; /* borrowed */
	const struct hub *hub; /* borrowed */
	struct realm *realm;   /* borrowed */
	struct engine_io io;
	struct ratelimit *stun;	     /* owned */
	struct tenant *tenants;	     /* owned; those with members */
	LIST_HEAD(, member) members; /* owned */
	struct hub_statement *hubs;  /* owned array */
	size_t hub_count;
	uint64_t change;      /* the last one; begins at random, so that no restart repeats one */
	uint64_t hubs_change; /* when the hubs were cleared */
	uint64_t counters[OVC_COUNTER_COUNT];
};

struct ovc *ovc_new(struct engine *engine, const struct hub *hub, const struct engine_io *io)
{
	struct ovc *ovc = calloc(1, sizeof(*ovc));
	uint8_t seed[RATELIMIT_SEED_LEN];

	if (!ovc)
		return NULL;
	ovc->engine = engine;
	ovc->hub = hub;
	ovc->io = *io;
	LIST_INIT(&ovc->members);
	io->random(io->ctx, &ovc->change, sizeof(ovc->change));
	ovc->change >>= 1; /* it never ends */
	ovc->hubs_change = ovc->change;
	io->random(io->ctx, seed, sizeof(seed));
	ovc->stun = ratelimit_new(STUN_SOURCES, STUN_RATE, STUN_BURST, seed);
	if (!ovc->stun) {
		ovc_free(ovc);
		return NULL;
	}
	return ovc;
}

void ovc_set_realm(struct ovc *ovc, struct realm *realm)
{
	ovc->realm = realm;
}

static void count(struct ovc *ovc, enum ovc_counter counter)
{
	ovc->counters[counter]++;
}

static struct tenant *find_tenant(const struct ovc *ovc, const struct object_id *dnet)
{
	struct tenant *tenant;

	HASH_FIND(hh, ovc->tenants, dnet, sizeof(*dnet), tenant);
	return tenant;
}

static struct tenant *want_tenant(struct ovc *ovc, const struct object_id *dnet)
{
	struct tenant *tenant = find_tenant(ovc, dnet);

	if (tenant)
		return tenant;
	tenant = calloc(1, sizeof(*tenant));
	if (!tenant)
		return NULL;
	tenant->dnet = *dnet;
	TAILQ_INIT(&tenant->registered);
	HASH_ADD(hh, ovc->tenants, dnet, sizeof(tenant->dnet), tenant);
	if (!tenant->hh.tbl) {
		free(tenant);
		return NULL;
	}
	return tenant;
}

static void drop_empty_tenant(struct ovc *ovc, struct tenant *tenant)
{
	if (tenant->members)
		return;
	HASH_DELETE(hh, ovc->tenants, tenant);
	free(tenant);
}

static void unregister(struct member *member)
{
	if (!member->registered)
		return;
	TAILQ_REMOVE(&member->tenant->registered, member, registered_entry);
	member->tenant->registered_count--;
	member->registered = false;
}

static void member_free(struct ovc *ovc, struct member *member)
{
	unregister(member);
	for (unsigned i = 0; i < KEPT_MAX; i++)
		free(member->kept[i]);
	LIST_REMOVE(member, entry);
	member->tenant->members--;
	drop_empty_tenant(ovc, member->tenant);
	free(member);
}

/* NULL: out of memory. */
static struct kept *kept_new(uint8_t backend, const void *bytes, size_t len)
{
	struct kept *kept = malloc(sizeof(*kept) + len);

	if (!kept)
		return NULL;
	kept->backend = backend;
	kept->len = len;
	memcpy(kept->bytes, bytes, len);
	return kept;
}

const struct id *ovc_curve(const struct ovc *ovc)
{
	return engine_curve(ovc->engine);
}

const struct node_key *ovc_key(const struct ovc *ovc)
{
	return realm_key(ovc->realm);
}

void ovc_clear_hubs(struct ovc *ovc)
{
	for (size_t i = 0; i < ovc->hub_count; i++)
		free(ovc->hubs[i].kept);
	free(ovc->hubs);
	ovc->hubs = NULL;
	ovc->hub_count = 0;
	ovc->hubs_change = ++ovc->change;
}

int ovc_add_hub(struct ovc *ovc, const struct object_id *dnet, uint16_t port,
		const struct statement *statement)
{
	uint8_t bytes[STATEMENT_MAX];
	struct hub_statement *more;
	struct kept *kept;
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	statement_write(&w, statement);
	if (w.failed || ovc->hub_count == OVC_HUBS_MAX)
		return -EINVAL;
	more = reallocarray(ovc->hubs, ovc->hub_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	ovc->hubs = more;
	kept = kept_new(statement->backend, bytes, writer_len(&w));
	if (!kept)
		return -ENOMEM;
	more[ovc->hub_count++] = (struct hub_statement){*dnet, port, kept};
	return 0;
}

static struct hub_statement *find_hub(const struct ovc *ovc, const struct object_id *dnet,
				      uint8_t backend)
{
	for (size_t i = 0; i < ovc->hub_count; i++) {
		if (object_id_equal(&ovc->hubs[i].dnet, dnet) &&
		    ovc->hubs[i].kept->backend == backend)
			return &ovc->hubs[i];
	}
	return NULL;
}

int ovc_set_hub(struct ovc *ovc, const struct object_id *dnet, uint16_t port,
		const struct statement *statement)
{
	struct hub_statement *before = find_hub(ovc, dnet, statement->backend);

	if (before) {
		free(before->kept);
		*before = ovc->hubs[--ovc->hub_count];
	}
	return ovc_add_hub(ovc, dnet, port, statement);
}

const uint8_t *ovc_hub(const struct ovc *ovc, const struct object_id *dnet, uint8_t backend,
		       uint16_t *ret_port, size_t *ret_len)
{
	const struct hub_statement *hub = find_hub(ovc, dnet, backend);

	if (!hub)
		return NULL;
	*ret_port = hub->port;
	*ret_len = hub->kept->len;
	return hub->kept->bytes;
}

void ovc_change(const struct ovc *ovc, const struct object_id *dnet,
		char ret_text[static OVC_CHANGE_SIZE])
{
	const struct tenant *tenant = find_tenant(ovc, dnet);
	uint64_t change =
		tenant && tenant->change > ovc->hubs_change ? tenant->change : ovc->hubs_change;

	snprintf(ret_text, OVC_CHANGE_SIZE, "%" PRIx64 "-%" PRIx64, change,
		 hub_change(ovc->hub, dnet));
}

void ovc_visit_statements(const struct ovc *ovc, const struct object_id *dnet, uint8_t backend,
			  ovc_visit_statement *visit, void *ctx)
{
	const struct member *member;

	LIST_FOREACH(member, &ovc->members, entry)
	{
		if (!object_id_equal(&member->tenant->dnet, dnet))
			continue;
		for (unsigned i = 0; i < KEPT_MAX; i++) {
			if (member->kept[i] && member->kept[i]->backend == backend)
				visit(ctx, peer_key(member->peer), member->kept[i]->bytes,
				      member->kept[i]->len);
		}
	}
}

void ovc_free(struct ovc *ovc)
{
	if (!ovc)
		return;
	while (!LIST_EMPTY(&ovc->members))
		member_free(ovc, LIST_FIRST(&ovc->members));
	ovc_clear_hubs(ovc);
	ratelimit_free(ovc->stun);
	free(ovc);
}

static struct peer *authorize(void *ctx, struct realm *realm, const struct node_key *key,
			      const struct object_id *dnet)
{
	struct ovc *ovc = ctx;
	struct tenant *tenant;
	struct member *member;
	struct peer *peer;

	if (!hub_is_member(ovc->hub, dnet, key))
		return NULL;
	tenant = want_tenant(ovc, dnet);
	if (!tenant)
		return NULL;
	member = calloc(1, sizeof(*member));
	peer = member ? realm_add_peer(realm, key, dnet) : NULL;
	if (!peer) {
		free(member);
		drop_empty_tenant(ovc, tenant);
		return NULL;
	}
	tenant->members++;
	member->tenant = tenant;
	member->peer = peer;
	peer_set_ctx(peer, member);
	LIST_INSERT_HEAD(&ovc->members, member, entry);
	return peer;
}

static void forget(struct ovc *ovc, struct peer *peer, uint8_t bye)
{
	struct member *member = peer_ctx(peer);

	if (member)
		member_free(ovc, member);
	peer_set_ctx(peer, NULL);
	peer_remove(peer, bye);
}

static void session_changed(void *ctx, struct peer *peer, bool up)
{
	if (!up)
		forget(ctx, peer, 0);
}

void ovc_member_removed(void *ctx, const struct object_id *dnet, const struct node_key *key)
{
	struct ovc *ovc = ctx;
	struct peer *peer = realm_find_peer(ovc->realm, key, dnet);

	if (peer)
		forget(ovc, peer, BYE_REMOVED);
}

static void expire(struct tenant *tenant, uint64_t now)
{
	struct member *first;

	while ((first = TAILQ_FIRST(&tenant->registered)) &&
	       now - first->registered_at >= LIFETIME_S * NS_PER_S)
		unregister(first);
}

size_t ovc_registered(const struct ovc *ovc, const struct object_id *dnet, uint64_t now)
{
	struct tenant *tenant = find_tenant(ovc, dnet);

	if (!tenant)
		return 0;
	expire(tenant, now);
	return tenant->registered_count;
}

static void send_frame(struct ovc *ovc, struct peer *peer, const struct ovc_frame *frame)
{
	uint8_t bytes[FRAME_STATEMENT_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	ovc_frame_write(&w, frame);
	assert(!w.failed);
	peer_send_frame(peer, peer_via(peer), bytes, writer_len(&w), engine_now(ovc->engine));
}

static void send_statement(struct ovc *ovc, struct peer *peer, const struct node_key *whose,
			   uint16_t port, const struct kept *kept)
{
	struct ovc_frame frame = {.type = FRAME_STATEMENT};

	frame.statement.key = *whose;
	frame.statement.port = port;
	frame.statement.statement = (struct span){kept->bytes, kept->len};
	send_frame(ovc, peer, &frame);
	count(ovc, OVC_statement_out);
}

static void send_hubs(struct ovc *ovc, const struct member *to)
{
	for (size_t i = 0; i < ovc->hub_count; i++)
		if (object_id_equal(&ovc->hubs[i].dnet, &to->tenant->dnet))
			send_statement(ovc, to->peer, ovc_key(ovc), ovc->hubs[i].port,
				       ovc->hubs[i].kept);
}

static void answer_not_here(struct ovc *ovc, struct peer *peer, const struct node_key *key,
			    enum not_here_reason reason)
{
	struct ovc_frame frame = {.type = FRAME_NOT_HERE};

	frame.not_here.key = *key;
	frame.not_here.reason = (uint8_t)reason;
	send_frame(ovc, peer, &frame);
}

/* PROTOCOL 8.1: the OVC adds the endpoint that it sees. */
static void register_member(struct ovc *ovc, struct member *member, const struct via *via,
			    const struct frame_endpoints *local)
{
	struct frame_endpoints *to = &member->endpoints;
	struct tenant *tenant = member->tenant;
	struct ovc_frame frame = {.type = FRAME_REGISTERED};
	uint64_t now = engine_now(ovc->engine);
	bool known = false;
	size_t members;

	count(ovc, OVC_register_in);
	*to = *local;
	for (size_t i = 0; i < to->count; i++)
		known |= endpoint_equal(&to->list[i], &via->endpoint);
	if (!known)
		to->list[to->count++] = via->endpoint;
	unregister(member);
	member->registered = true;
	member->registered_at = now;
	TAILQ_INSERT_TAIL(&tenant->registered, member, registered_entry);
	tenant->registered_count++;
	expire(tenant, now);
	members = tenant->registered_count;
	frame.registered.observed = via->endpoint;
	frame.registered.members = members < UINT16_MAX ? (uint16_t)members : UINT16_MAX;
	send_frame(ovc, member->peer, &frame);
	send_hubs(ovc, member);
}

/* PROTOCOL 9.7: only if the signer in it is the member and the object the dnet. That it is signed
 * at all is looked at by those who get it. */
static void publish(struct ovc *ovc, struct member *member, const struct span *bytes)
{
	struct kept **place = NULL, *kept;
	struct statement s;

	count(ovc, OVC_publish_in);
	if (!statement_parse(bytes->data, bytes->len, &s) || s.kind != OBJECT_DNET ||
	    !node_key_equal(&s.signer, peer_key(member->peer)) ||
	    !object_id_equal(&s.object, peer_dnet(member->peer))) {
		count(ovc, OVC_publish_refused);
		return;
	}
	for (unsigned i = 0; i < KEPT_MAX; i++) {
		struct kept **here = &member->kept[i];

		if (*here && (*here)->backend == s.backend) {
			place = here;
			break;
		}
		if (!*here && !place)
			place = here;
	}
	kept = place ? kept_new(s.backend, bytes->data, bytes->len) : NULL;
	if (!kept) {
		count(ovc, OVC_publish_refused);
		return;
	}
	if (!*place || (*place)->len != kept->len ||
	    memcmp((*place)->bytes, kept->bytes, kept->len) != 0)
		member->tenant->change = ++ovc->change;
	free(*place);
	*place = kept;
}

static void send_introduction(struct ovc *ovc, struct member *to, const struct member *other,
			      enum introduction_role role)
{
	struct ovc_frame frame = {.type = FRAME_INTRODUCTION};

	frame.introduction.key = *peer_key(other->peer);
	frame.introduction.role = (uint8_t)role;
	frame.introduction.endpoints = other->endpoints;
	send_frame(ovc, to->peer, &frame);
	for (unsigned i = 0; i < KEPT_MAX; i++)
		if (other->kept[i])
			send_statement(ovc, to->peer, peer_key(other->peer), 0, other->kept[i]);
}

static void introduce(struct ovc *ovc, struct member *member, const struct node_key *key)
{
	const struct object_id *dnet = peer_dnet(member->peer);
	uint64_t now = engine_now(ovc->engine);
	struct member *other = NULL;
	struct peer *peer;

	count(ovc, OVC_introduce_in);
	if (!ratelimit_take_one(&member->tokens, INTRODUCE_RATE, INTRODUCE_BURST, now)) {
		count(ovc, OVC_introduce_too_often);
		answer_not_here(ovc, member->peer, key, NOT_HERE_TOO_OFTEN);
		return;
	}
	/* Whoever asks for a key of another tenant learns no more than for one that nobody has. */
	if (!hub_is_member(ovc->hub, dnet, key)) {
		count(ovc, OVC_introduce_not_member);
		answer_not_here(ovc, member->peer, key, NOT_HERE_NOT_MEMBER);
		return;
	}
	peer = realm_find_peer(ovc->realm, key, dnet);
	if (peer)
		other = peer_ctx(peer);
	expire(member->tenant, now);
	if (!other || other == member || !other->registered || !member->registered) {
		count(ovc, OVC_introduce_not_registered);
		answer_not_here(ovc, member->peer, key, NOT_HERE_NOT_REGISTERED);
		return;
	}
	count(ovc, OVC_introduced);
	send_introduction(ovc, other, member, INTRODUCTION_ANSWER);
	send_introduction(ovc, member, other, INTRODUCTION_INITIATE);
}

static void take_frame(void *ctx, struct peer *peer, const struct via *via, const uint8_t *bytes,
		       size_t len)
{
	struct ovc *ovc = ctx;
	struct member *member = peer_ctx(peer);
	struct ovc_frame frame;

	if (!member || bytes[0] == FRAME_PING || bytes[0] == FRAME_PONG || bytes[0] == FRAME_BYE)
		return;
	if (bytes[0] != FRAME_REGISTER && bytes[0] != FRAME_INTRODUCE &&
	    bytes[0] != FRAME_PUBLISH) {
		count(ovc, OVC_frame_unexpected);
		return;
	}
	if (!ovc_frame_parse(bytes, len, &frame)) {
		count(ovc, OVC_frame_malformed);
		return;
	}
	if (frame.type == FRAME_REGISTER)
		register_member(ovc, member, via, &frame.local);
	else if (frame.type == FRAME_PUBLISH)
		publish(ovc, member, &frame.publish);
	else
		introduce(ovc, member, &frame.introduce);
}

const struct realm_ops ovc_realm_ops = {
	.authorize = authorize,
	.session_changed = session_changed,
	.frame = take_frame,
};

bool ovc_input_stun(struct ovc *ovc, const struct endpoint *source, const uint8_t *bytes,
		    size_t len, uint64_t now)
{
	uint8_t id[STUN_ID_LEN], answer[STUN_RESPONSE_MAX];
	struct writer w;

	if (!stun_is(bytes, len))
		return false;
	if (!ratelimit_take(ovc->stun, &source->addr, now) || !stun_request_parse(bytes, len, id)) {
		count(ovc, OVC_stun_refused);
		return true;
	}
	writer_init(&w, answer, sizeof(answer));
	stun_response_write(&w, id, source);
	assert(!w.failed);
	ovc->io.send(ovc->io.ctx, source, answer, writer_len(&w), writer_len(&w));
	count(ovc, OVC_stun_answered);
	return true;
}

uint64_t ovc_counter(const struct ovc *ovc, enum ovc_counter counter)
{
	assert(counter < OVC_COUNTER_COUNT);
	return ovc->counters[counter];
}

const char *ovc_counter_name(enum ovc_counter counter)
{
	static const char *const names[] = {
#define X(name) #name,
		OVC_COUNTERS(X)
#undef X
	};

	assert(counter < OVC_COUNTER_COUNT);
	return names[counter];
}
