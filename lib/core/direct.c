#include "core/direct.h"

#include "core/ratelimit.h"
#include "core/timers.h"
#include "wire/stun.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum { CANDIDATES = DIRECT_TOLD_MAX + DIRECT_SEEN_MAX, NONE = -1 };

#define NEVER UINT64_MAX
/* What the backend said before it took our choice is old. */
#define SETTLES (NS_PER_S / 2)
/* Between two questions to one endpoint that came up by a question from there. */
#define PUNCH_GAP (NS_PER_S / 5)
/* New endpoints beside a path that works get so many. */
#define BESIDE_TRIES 5
/* A mapping that no server confirmed for that many questions is forgotten. */
#define MAPPED_LOST 8

/* One question that waits for its answer, and when the next one is due. */
struct asking {
	uint8_t nonce[PROBE_NONCE_LEN];
	bool waiting;
	uint64_t asked, next;
	uint64_t lost_since; /* when the first of the lost ones was asked */
	unsigned lost;	     /* asked since the last answer */
};

struct candidate {
	struct endpoint endpoint;
	bool told;
	struct asking asking;
	uint64_t rtt; /* 0: never answered */
};

struct direct_peer {
	struct node_key key;
	struct probe_keys keys;
	struct candidate candidates[CANDIDATES];
	size_t count;
	int current; /* NONE: the bridge */
	uint64_t chosen_at, learned_at;
	uint64_t answers_since; /* the second in which */
	unsigned answers;	/* so many were given */
	struct timer timer;	/* in direct->timers: the first of all candidates */
	UT_hash_handle hh, hh_label;
};

struct server {
	struct endpoint endpoint, mapped;
	struct asking asking; /* its nonce begins with the transaction id */
};

struct direct {
	struct direct_io io;
	uint8_t secret[PROBE_KEY_LEN];
	struct direct_peer *by_key, *by_label;
	struct timer_heap timers; /* of the peers: who waits longest comes first */
	struct server servers[DIRECT_SERVERS_MAX];
	size_t server_count;
	uint64_t tokens;	/* of probes that nobody asked for: a bucket of ratelimit.h */
	uint64_t limited_until; /* there were no more tokens */
	uint64_t deadline;	/* of the servers */
	uint64_t counters[DIRECT_COUNTER_COUNT];
};

static_assert((int)STUN_ID_LEN <= (int)PROBE_NONCE_LEN, "asking.nonce holds both");

static void count(struct direct *d, enum direct_counter counter)
{
	d->counters[counter]++;
}

/* ---- Questions ---- */

static void ask_soon(struct asking *a, uint64_t now)
{
	*a = (struct asking){.next = now};
}

static void begin_question(struct direct *d, struct asking *a, uint64_t now)
{
	d->io.random(d->io.ctx, a->nonce, sizeof(a->nonce));
	if (!a->lost++)
		a->lost_since = now;
	a->waiting = true;
	a->asked = now;
	count(d, DIRECT_question_out);
}

static void end_question(struct asking *a)
{
	a->waiting = false;
	a->lost = 0;
}

static void send_probe(struct direct *d, const struct direct_peer *p, enum probe_kind kind,
		       const struct endpoint *to, const uint8_t nonce[static PROBE_NONCE_LEN])
{
	uint8_t bytes[PROBE_LEN];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	probe_write(&w, &p->keys, kind, nonce);
	assert(!w.failed && writer_len(&w) == PROBE_LEN);
	d->io.send(d->io.ctx, to, bytes, sizeof(bytes));
}

/* ---- Peers ---- */

static struct direct_peer *find(const struct direct *d, const struct node_key *key)
{
	struct direct_peer *p;

	HASH_FIND(hh, d->by_key, key, sizeof(*key), p);
	return p;
}

static void wake(struct direct *d, struct direct_peer *p, uint64_t at)
{
	if (at < p->timer.deadline)
		timer_heap_set(&d->timers, &p->timer, at);
}

static void ask_all(struct direct *d, struct direct_peer *p, uint64_t now)
{
	for (size_t i = 0; i < p->count; i++)
		ask_soon(&p->candidates[i].asking, now);
	wake(d, p, now);
}

static int find_candidate(const struct direct_peer *p, const struct endpoint *endpoint)
{
	for (size_t i = 0; i < p->count; i++) {
		if (endpoint_equal(&p->candidates[i].endpoint, endpoint))
			return (int)i;
	}
	return NONE;
}

/* Where a probe could be somebody's: no groups, no loopback, nothing of the link alone. */
static bool usable(const struct direct *d, const struct endpoint *e)
{
	return e->port && address_is_host(&e->addr) && !address_is_link_local(&e->addr) &&
	       (!d->io.allowed || d->io.allowed(d->io.ctx, e));
}

static void take_out(struct direct_peer *p, size_t i)
{
	memmove(&p->candidates[i], &p->candidates[i + 1],
		(p->count - i - 1) * sizeof(p->candidates[0]));
	p->count--;
	if (p->current > (int)i)
		p->current--;
}

/* An endpoint that nobody told: the oldest such one that is not in use makes place. */
static int add_seen(struct direct *d, struct direct_peer *p, const struct endpoint *endpoint,
		    uint64_t now)
{
	size_t seen = 0;
	int oldest = NONE;

	if (!usable(d, endpoint))
		return NONE;
	for (size_t i = 0; i < p->count; i++) {
		seen += !p->candidates[i].told;
		if (!p->candidates[i].told && (int)i != p->current && oldest == NONE)
			oldest = (int)i;
	}
	if (seen == DIRECT_SEEN_MAX && oldest != NONE)
		take_out(p, (size_t)oldest);
	else if (seen >= DIRECT_SEEN_MAX || p->count == CANDIDATES)
		return NONE;
	p->candidates[p->count] = (struct candidate){.endpoint = *endpoint};
	ask_soon(&p->candidates[p->count].asking, now);
	wake(d, p, now);
	return (int)p->count++;
}

static void drop_path(struct direct *d, struct direct_peer *p, bool tell, uint64_t now)
{
	p->current = NONE;
	p->chosen_at = now;
	ask_all(d, p, now);
	if (tell)
		d->io.choose(d->io.ctx, &p->key, NULL);
}

static void choose(struct direct *d, struct direct_peer *p, int candidate, uint64_t now)
{
	p->current = candidate;
	p->chosen_at = now;
	d->io.choose(d->io.ctx, &p->key, &p->candidates[candidate].endpoint);
}

static void remove_peer(struct direct *d, struct direct_peer *p)
{
	HASH_DELETE(hh, d->by_key, p);
	HASH_DELETE(hh_label, d->by_label, p);
	timer_heap_set(&d->timers, &p->timer, NEVER);
	secret_wipe(p, sizeof(*p));
	free(p);
}

static struct direct_peer *add_peer(struct direct *d, const struct node_key *key,
				    const uint8_t public_key[static PROBE_KEY_LEN])
{
	struct direct_peer *p = calloc(1, sizeof(*p)), *same;

	if (!p || timer_heap_reserve(&d->timers, HASH_COUNT(d->by_key) + 1) ||
	    !probe_keys_make(&p->keys, d->secret, public_key)) {
		free(p);
		return NULL;
	}
	p->key = *key;
	p->current = NONE;
	p->timer.deadline = NEVER;
	/* Two nodes with one key of the backend: the first has it. */
	HASH_FIND(hh_label, d->by_label, p->keys.label_in, PROBE_LABEL_LEN, same);
	if (same) {
		secret_wipe(p, sizeof(*p));
		free(p);
		return NULL;
	}
	HASH_ADD(hh, d->by_key, key, sizeof(p->key), p);
	HASH_ADD(hh_label, d->by_label, keys.label_in, PROBE_LABEL_LEN, p);
	return p;
}

static bool is_told(const struct endpoint *endpoints, size_t n, const struct endpoint *endpoint)
{
	for (size_t i = 0; i < n; i++) {
		if (endpoint_equal(&endpoints[i], endpoint))
			return true;
	}
	return false;
}

/* What is no longer told goes, but for the path in use: that its questions say. */
static void take_endpoints(struct direct *d, struct direct_peer *p,
			   const struct endpoint *endpoints, size_t n, uint64_t now)
{
	for (size_t i = p->count; i-- > 0;) {
		struct candidate *c = &p->candidates[i];

		if (!c->told || is_told(endpoints, n, &c->endpoint))
			continue;
		if ((int)i == p->current)
			c->told = false;
		else
			take_out(p, i);
	}
	for (size_t i = 0; i < n; i++) {
		int known = find_candidate(p, &endpoints[i]);

		if (known != NONE) {
			p->candidates[known].told = true;
			continue;
		}
		if (p->count == CANDIDATES || !usable(d, &endpoints[i]))
			continue;
		p->candidates[p->count] =
			(struct candidate){.endpoint = endpoints[i], .told = true};
		ask_soon(&p->candidates[p->count++].asking, now);
		wake(d, p, now);
	}
}

int direct_set_peer(struct direct *d, const struct node_key *key,
		    const uint8_t public_key[static PROBE_KEY_LEN],
		    const struct endpoint *endpoints, size_t n, uint64_t now)
{
	struct direct_peer *p = find(d, key);

	if (p && memcmp(p->keys.peer, public_key, PROBE_KEY_LEN)) {
		remove_peer(d, p);
		p = NULL;
	}
	if (!p)
		p = add_peer(d, key, public_key);
	if (!p)
		return -EINVAL;
	take_endpoints(d, p, endpoints, n < DIRECT_TOLD_MAX ? n : DIRECT_TOLD_MAX, now);
	return 0;
}

void direct_remove_peer(struct direct *d, const struct node_key *key)
{
	struct direct_peer *p = find(d, key);

	if (p)
		remove_peer(d, p);
}

/* ---- What comes ---- */

/* Somebody with the right key asks from there: the way back may be open just now. */
static void punch(struct direct *d, struct direct_peer *p, const struct endpoint *source,
		  uint64_t now)
{
	int i = find_candidate(p, source);
	struct asking *a;

	if (i == NONE && (!p->learned_at || now - p->learned_at >= PUNCH_GAP)) {
		p->learned_at = now;
		add_seen(d, p, source, now);
		return;
	}
	if (i == NONE || p->current != NONE)
		return;
	a = &p->candidates[i].asking;
	if (a->asked && now - a->asked < PUNCH_GAP)
		return;
	a->next = now;
	wake(d, p, now);
}

static void answer(struct direct *d, struct direct_peer *p, const struct endpoint *source,
		   const struct probe *probe, uint64_t now)
{
	count(d, DIRECT_question_in);
	if (now - p->answers_since >= NS_PER_S) {
		p->answers_since = now;
		p->answers = 0;
	}
	if (p->answers >= DIRECT_ANSWERS || !usable(d, source)) {
		count(d, DIRECT_limited);
		return;
	}
	p->answers++;
	count(d, DIRECT_answer_out);
	send_probe(d, p, PROBE_ANSWER, source, probe->nonce);
	punch(d, p, source, now);
}

/* Much shorter than what is in use: the same network, against the way around the world. */
static bool is_better(const struct direct_peer *p, int candidate)
{
	uint64_t rtt = p->candidates[candidate].rtt, now = p->candidates[p->current].rtt;

	return now && rtt < now / 2 && now - rtt > 2 * NS_PER_MS;
}

static void take_answer(struct direct *d, struct direct_peer *p, const struct endpoint *source,
			const struct probe *probe, uint64_t now)
{
	int i = find_candidate(p, source);
	struct candidate *c = i == NONE ? NULL : &p->candidates[i];

	if (!c || !c->asking.waiting ||
	    !secret_bytes_equal(c->asking.nonce, probe->nonce, PROBE_NONCE_LEN)) {
		count(d, DIRECT_unexpected);
		return;
	}
	count(d, DIRECT_answer_in);
	end_question(&c->asking);
	c->rtt = now > c->asking.asked ? now - c->asking.asked : 1;
	c->asking.next = i == p->current || p->current == NONE ? now + DIRECT_CHECK : NEVER;
	wake(d, p, c->asking.next);
	if (p->current == NONE || (i != p->current && is_better(p, i))) {
		choose(d, p, i, now);
		c->asking.next = now + DIRECT_CHECK;
		wake(d, p, c->asking.next);
	}
}

static bool take_stun(struct direct *d, const struct endpoint *source, const void *data, size_t len,
		      uint64_t now)
{
	for (size_t i = 0; i < d->server_count; i++) {
		struct server *s = &d->servers[i];
		struct endpoint mapped;

		if (!s->asking.waiting || !endpoint_equal(&s->endpoint, source) ||
		    !stun_response_parse(data, len, s->asking.nonce, &mapped))
			continue;
		count(d, DIRECT_stun_in);
		end_question(&s->asking);
		s->asking.next = now + DIRECT_STUN;
		if (usable(d, &mapped) && mapped.addr.family == source->addr.family &&
		    !endpoint_equal(&mapped, &s->mapped)) {
			s->mapped = mapped;
			d->io.mapped(d->io.ctx);
		}
		return true;
	}
	count(d, DIRECT_unexpected);
	return false;
}

bool direct_input(struct direct *d, const struct endpoint *source, const void *data, size_t len,
		  uint64_t now)
{
	struct direct_peer *p;
	struct probe probe;

	if (stun_is(data, len))
		return take_stun(d, source, data, len, now);
	if (!probe_parse(data, len, &probe)) {
		count(d, DIRECT_malformed);
		return false;
	}
	HASH_FIND(hh_label, d->by_label, probe.label, PROBE_LABEL_LEN, p);
	if (!p || !probe_verify(&p->keys, data)) {
		count(d, DIRECT_unknown);
		return false;
	}
	if (probe.kind == PROBE_QUESTION)
		answer(d, p, source, &probe, now);
	else
		take_answer(d, p, source, &probe, now);
	return true;
}

void direct_observe(struct direct *d, const struct node_key *key, const struct endpoint *endpoint,
		    uint64_t handshake, uint64_t now)
{
	struct direct_peer *p = find(d, key);
	int i;

	if (!p)
		return;
	if (p->current != NONE) {
		struct asking *a = &p->candidates[p->current].asking;

		/* A handshake is a round trip, too. */
		if (a->lost && handshake > a->lost_since)
			a->lost = 0;
	}
	if (now - p->chosen_at < SETTLES)
		return;
	if (!endpoint) {
		if (p->current != NONE)
			drop_path(d, p, false, now);
		return;
	}
	i = find_candidate(p, endpoint);
	if (i == NONE)
		i = add_seen(d, p, endpoint, now);
	if (i == NONE || i == p->current)
		return;
	p->current = i;
	ask_soon(&p->candidates[i].asking, now);
	wake(d, p, now);
}

void direct_doubt(struct direct *d, const struct node_key *key, uint64_t now)
{
	struct direct_peer *p = find(d, key);
	struct asking *a;

	if (!p || p->current == NONE)
		return;
	a = &p->candidates[p->current].asking;
	if (a->lost || now - a->asked < DIRECT_RETRY)
		return;
	a->next = now;
	wake(d, p, now);
}

void direct_network_changed(struct direct *d, uint64_t now)
{
	struct direct_peer *p, *next;

	HASH_ITER(hh, d->by_key, p, next)
	ask_all(d, p, now);
	for (size_t i = 0; i < d->server_count; i++)
		ask_soon(&d->servers[i].asking, now);
	d->deadline = now;
}

/* ---- Servers ---- */

void direct_set_servers(struct direct *d, const struct endpoint *servers, size_t n, uint64_t now)
{
	struct server next[DIRECT_SERVERS_MAX];
	size_t taken = 0;
	bool lost_mapping = false;

	for (size_t i = 0; i < n && taken < DIRECT_SERVERS_MAX; i++) {
		struct server *s = &next[taken];

		if (!usable(d, &servers[i]) || is_told(servers, i, &servers[i]))
			continue;
		taken++;
		*s = (struct server){.endpoint = servers[i]};
		ask_soon(&s->asking, now);
		for (size_t k = 0; k < d->server_count; k++) {
			if (endpoint_equal(&d->servers[k].endpoint, &servers[i]))
				*s = d->servers[k];
		}
		if (s->asking.next < d->deadline)
			d->deadline = s->asking.next;
	}
	for (size_t k = 0; k < d->server_count; k++)
		lost_mapping = lost_mapping || (d->servers[k].mapped.port &&
						!is_told(servers, n, &d->servers[k].endpoint));
	memcpy(d->servers, next, taken * sizeof(next[0]));
	d->server_count = taken;
	if (lost_mapping)
		d->io.mapped(d->io.ctx);
}

size_t direct_mapped(const struct direct *d, struct endpoint ret_mapped[static DIRECT_MAPPED_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < d->server_count && n < DIRECT_MAPPED_MAX; i++) {
		const struct endpoint *e = &d->servers[i].mapped;

		if (e->port && !is_told(ret_mapped, n, e))
			ret_mapped[n++] = *e;
	}
	return n;
}

/* ---- Time ---- */

static void tick_servers(struct direct *d, uint64_t now)
{
	for (size_t i = 0; i < d->server_count; i++) {
		struct server *s = &d->servers[i];
		uint8_t bytes[STUN_REQUEST_LEN];
		struct writer w;

		if (now >= s->asking.next) {
			if (s->asking.lost == MAPPED_LOST && s->mapped.port) {
				s->mapped = (struct endpoint){0};
				d->io.mapped(d->io.ctx);
			}
			begin_question(d, &s->asking, now);
			s->asking.next = now + (s->asking.lost < DIRECT_RETRIES ? DIRECT_RETRY
										: DIRECT_STUN);
			writer_init(&w, bytes, sizeof(bytes));
			stun_request_write(&w, s->asking.nonce);
			d->io.send(d->io.ctx, &s->endpoint, bytes, writer_len(&w));
		}
		if (s->asking.next < d->deadline)
			d->deadline = s->asking.next;
	}
}

static uint64_t wait_after(const struct direct_peer *p, size_t i)
{
	const struct asking *a = &p->candidates[i].asking;

	if ((int)i == p->current)
		return DIRECT_RETRY;
	if (p->current != NONE)
		return a->lost < BESIDE_TRIES ? DIRECT_RETRY : 0;
	return a->lost < DIRECT_RETRIES ? DIRECT_RETRY : DIRECT_CHECK;
}

/* False: no more for now. */
static bool tick_candidate(struct direct *d, struct direct_peer *p, size_t i, uint64_t now)
{
	struct candidate *c = &p->candidates[i];
	uint64_t wait;

	/* Anybody's address may be told as that of a member. */
	if ((int)i != p->current &&
	    !ratelimit_take_one(&d->tokens, DIRECT_RATE, DIRECT_RATE, now)) {
		count(d, DIRECT_limited);
		return false;
	}
	begin_question(d, &c->asking, now);
	send_probe(d, p, PROBE_QUESTION, &c->endpoint, c->asking.nonce);
	wait = wait_after(p, i);
	c->asking.next = wait ? now + wait : NEVER;
	return true;
}

static bool tick_peer(struct direct *d, struct direct_peer *p, uint64_t now)
{
	uint64_t next = NEVER;
	bool more = true;

	if (p->current != NONE) {
		const struct asking *a = &p->candidates[p->current].asking;

		if (a->waiting && a->lost >= DIRECT_LOST && now >= a->next)
			drop_path(d, p, true, now);
	}
	for (size_t i = 0; i < p->count; i++) {
		struct asking *a = &p->candidates[i].asking;

		if (now >= a->next && more)
			more = tick_candidate(d, p, i, now);
		if (a->next < next)
			next = a->next;
	}
	timer_heap_set(&d->timers, &p->timer, next);
	return more;
}

static struct direct_peer *peer_of(const struct timer *timer)
{
	return (struct direct_peer *)((char *)timer - offsetof(struct direct_peer, timer));
}

uint64_t direct_tick(struct direct *d, uint64_t now)
{
	const struct timer *first;
	bool more = true;

	d->deadline = NEVER;
	tick_servers(d, now);
	while (more && (first = timer_heap_first(&d->timers)) && first->deadline <= now)
		more = tick_peer(d, peer_of(first), now);
	if (!more)
		d->limited_until = now + NS_PER_S / 10;
	return direct_deadline(d);
}

uint64_t direct_deadline(const struct direct *d)
{
	const struct timer *first = timer_heap_first(&d->timers);
	uint64_t at = first ? first->deadline : NEVER;

	if (at < d->limited_until)
		at = d->limited_until;
	return at < d->deadline ? at : d->deadline;
}

/* ---- Views ---- */

bool direct_status(const struct direct *d, const struct node_key *key,
		   struct direct_status *ret_status)
{
	const struct direct_peer *p = find(d, key);
	const struct candidate *c;

	if (!p)
		return false;
	*ret_status = (struct direct_status){
		.reason = "through the control plane, as its endpoints do not answer"};
	if (!p->count)
		ret_status->reason = "through the control plane, as it told no endpoint of its own";
	if (p->current == NONE)
		return true;
	c = &p->candidates[p->current];
	*ret_status = (struct direct_status){
		.direct = true,
		.endpoint = c->endpoint,
		.rtt_ns = c->rtt,
		.reason = !c->rtt	       ? "it roamed there; not confirmed yet"
			  : c->asking.lost > 1 ? "probes are lost"
					       : "a probe was answered",
	};
	return true;
}

uint64_t direct_counter(const struct direct *d, enum direct_counter counter)
{
	return d->counters[counter];
}

struct direct *direct_new(const struct direct_io *io, const uint8_t secret[static PROBE_KEY_LEN])
{
	struct direct *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->io = *io;
	memcpy(d->secret, secret, PROBE_KEY_LEN);
	d->deadline = NEVER;
	return d;
}

void direct_free(struct direct *d)
{
	struct direct_peer *p, *next;

	if (!d)
		return;
	HASH_ITER(hh, d->by_key, p, next)
	remove_peer(d, p);
	timer_heap_done(&d->timers);
	secret_wipe(d, sizeof(*d));
	free(d);
}
