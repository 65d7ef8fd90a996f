#include "chainwatch/p2p_net.h"

#include "chainwatch/p2p_resolve.h"
#include "config.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"
#include "os/rand.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	PROTOCOL = 70016,
	PROTOCOL_LEAST = 70012, /* sendheaders, BIP130 */
	PAYLOAD_MAX = 1024,	/* of what is written here */
	PING_EVERY_S = 60,
	DIALS_AT_ONCE = 4,
	RETRY_MS = 1000, /* a fixed peer, after the first failure, doubling… */
	RETRY_SHIFTS = 6,
	SEEDS_EVERY_S = 60,
	SAVE_EVERY_S = 600,
	WAIT_MS = 100, /* a round is not longer: the owner may have to stop */
};

struct fixed {
	struct p2p_target target;
	struct p2p_peer *peer;	     /* borrowed; NULL: not connected */
	struct p2p_resolve *resolve; /* owned; a name that is looked up */
	unsigned failures;
	uint64_t retry_ns;
};

TAILQ_HEAD(peers, p2p_peer);

struct p2p_net {
	struct p2p_net_config config;
	struct p2p_handler handler;
	char *file; /* owned */
	struct peerbook *book;
	bool book_changed;
	uint64_t saved_ns;
	struct peers peers;
	size_t peer_count;
	struct fixed fixed[P2P_FIXED_MAX];
	struct p2p_resolve *seed; /* owned; the one that is asked */
	char *seeds;		  /* owned; host names of the profile, a blank between two */
	const char *seed_next;	  /* in it */
	uint8_t seed_number;
	uint64_t seeds_ns; /* not before */
	struct p2p_event events[P2P_EVENTS_MAX];
	size_t event_count;
	struct p2p_counts counts;
};

/* ------------------------------------------------------------------ names and settings */

bool p2p_target_parse(const char *text, uint16_t port, struct p2p_target *ret)
{
	struct p2p_target target = {.port = port};
	const char *colon = strrchr(text, ':');
	size_t len = strlen(text);
	unsigned long number;
	char *end;

	if (endpoint_parse(text, &target.endpoint)) {
		target.port = target.endpoint.port;
		*ret = target;
		return target.port != 0;
	}
	if (address_parse(text, &target.endpoint.addr)) {
		target.endpoint.port = port;
		*ret = target;
		return true;
	}
	if (colon) {
		number = strtoul(colon + 1, &end, 10);
		if (colon[1] < '1' || colon[1] > '9' || *end || number > UINT16_MAX)
			return false;
		target.port = (uint16_t)number;
		len = (size_t)(colon - text);
	}
	if (len == 0 || len >= sizeof(target.host) || strcspn(text, "[]/@ \t") < strlen(text) ||
	    memchr(text, ':', len))
		return false;
	memcpy(target.host, text, len);
	*ret = target;
	return true;
}

static void name_of(const struct p2p_target *target, char name[static PEERBOOK_NAME_SIZE])
{
	char text[ENDPOINT_TEXT_MAX];

	if (target->host[0])
		snprintf(name, PEERBOOK_NAME_SIZE, "%s:%u", target->host, target->port);
	else
		snprintf(name, PEERBOOK_NAME_SIZE, "%s", endpoint_format(&target->endpoint, text));
}

/* ------------------------------------------------------------------ the book */

static void load_book(struct p2p_net *net)
{
	_cleanup_(freep) char *data = NULL;
	size_t len = 0;
	int result = file_read(net->file, PEERBOOK_FILE_MAX, &data, &len);

	if (result == -ENOENT)
		return;
	if (result || !peerbook_read(net->book, data, len))
		log_warn("peers: %s is not used: %s; peers are looked for anew", net->file,
			 result ? strerror(-result) : "it is damaged");
}

static void save_book(struct p2p_net *net)
{
	_cleanup_(freep) uint8_t *mem = NULL;
	struct writer w;
	int result;

	net->saved_ns = clock_monotonic_ns();
	if (!net->book_changed)
		return;
	mem = xmalloc(PEERBOOK_FILE_MAX);
	writer_init(&w, mem, PEERBOOK_FILE_MAX);
	peerbook_write(net->book, &w);
	result = w.failed ? -EFBIG : file_replace(net->file, mem, writer_len(&w), 0600);
	if (result)
		log_limited(LOG_LEVEL_WARN, 1, "peers: %s cannot be written: %s", net->file,
			    strerror(-result));
	else
		net->book_changed = false;
}

struct p2p_net *p2p_net_new(const struct p2p_net_config *config, const struct p2p_handler *handler)
{
	struct p2p_net *net = calloc(1, sizeof(*net));
	/* test networks are where somebody says, and often at home */
	bool any = config->fixed_count > 0 || !config->params->dns_seeds[0];

	if (!net)
		return NULL;
	net->config = *config;
	net->handler = *handler;
	TAILQ_INIT(&net->peers);
	net->file = xstrdup(config->file);
	net->seeds = xasprintf("%s %s", config->params->dns_seeds, config->params->peers);
	net->seed_next = net->seeds;
	net->book = peerbook_new(any);
	for (size_t i = 0; i < config->fixed_count; i++)
		net->fixed[i].target = config->fixed[i];
	if (!net->book) {
		p2p_net_free(net);
		return NULL;
	}
	load_book(net);
	net->saved_ns = clock_monotonic_ns();
	return net;
}

/* ------------------------------------------------------------------ going */

static void remember(struct p2p_net *net, const struct p2p_peer *peer, const char *what,
		     bool banned)
{
	struct p2p_event *last = &net->events[0];

	/* one that fails all the time does not push out what others did */
	if (net->event_count == 0 || strcmp(last->name, peer->name) != 0 ||
	    strncmp(last->what, what, sizeof(last->what) - 1) != 0) {
		net->event_count = MIN(net->event_count + 1, (size_t)P2P_EVENTS_MAX);
		memmove(&net->events[1], &net->events[0],
			(P2P_EVENTS_MAX - 1) * sizeof(*net->events));
	}
	snprintf(last->name, sizeof(last->name), "%s", peer->name);
	snprintf(last->what, sizeof(last->what), "%s", what);
	last->time_s = clock_wall_s();
	last->banned = banned;
}

static void on_failure(struct p2p_net *net, const struct p2p_peer *peer)
{
	struct fixed *fixed = peer->fixed >= 0 ? &net->fixed[peer->fixed] : NULL;

	if (fixed) {
		fixed->retry_ns =
			clock_monotonic_ns() + ((uint64_t)RETRY_MS << fixed->failures) * NS_PER_MS;
		fixed->failures = MIN(fixed->failures + 1, (unsigned)RETRY_SHIFTS);
		return;
	}
	peerbook_on_failure(net->book, &peer->target.endpoint, clock_wall_s());
	net->book_changed = true;
}

void p2p_net_drop(struct p2p_net *net, struct p2p_peer *peer, const char *format, ...)
{
	char what[PEERBOOK_REASON_SIZE];
	va_list args;

	if (peer->gone)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	peer->gone = true;
	net->counts.lost += peer->ready;
	remember(net, peer, what, false);
	on_failure(net, peer);
	log_debug("peer %s: %s", peer->name, what);
}

void p2p_net_ban(struct p2p_net *net, struct p2p_peer *peer, const char *format, ...)
{
	uint64_t now_s = clock_wall_s();
	char what[PEERBOOK_REASON_SIZE];
	va_list args;

	if (peer->gone)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	peer->gone = true;
	net->counts.lies++;
	net->counts.lost += peer->ready;
	remember(net, peer, what, true);
	on_failure(net, peer);
	peerbook_ban(net->book, peer->name, what, now_s, now_s + P2P_BAN_S);
	net->book_changed = true;
	save_book(net);
	log_limited(LOG_LEVEL_WARN, 20, "peer %s lied and is banned for a day: %s", peer->name,
		    what);
}

/* Those that are gone go. */
static void reap(struct p2p_net *net)
{
	struct p2p_peer *peer, *next;

	TAILQ_FOREACH_SAFE(peer, &net->peers, next, next)
	{
		if (!peer->gone)
			continue;
		if (peer->ready)
			net->handler.on_gone(net->handler.arg, peer);
		if (peer->fixed >= 0)
			net->fixed[peer->fixed].peer = NULL;
		TAILQ_REMOVE(&net->peers, peer, next);
		net->peer_count--;
		p2p_conn_free(peer->conn);
		free(peer);
	}
}

void p2p_net_free(struct p2p_net *net)
{
	struct p2p_peer *peer;

	if (!net)
		return;
	TAILQ_FOREACH(peer, &net->peers, next)
	{
		peer->gone = true;
	}
	reap(net);
	for (size_t i = 0; i < P2P_FIXED_MAX; i++)
		p2p_resolve_free(net->fixed[i].resolve);
	p2p_resolve_free(net->seed);
	if (net->book)
		save_book(net);
	peerbook_free(net->book);
	free(net->file);
	free(net->seeds);
	free(net);
}

/* ------------------------------------------------------------------ talking */

bool p2p_net_send(struct p2p_net *net, struct p2p_peer *peer, enum p2p_type type,
		  const void *payload, size_t len)
{
	if (peer->gone)
		return false;
	if (p2p_conn_send(peer->conn, type, payload, len))
		return true;
	p2p_net_drop(net, peer, "it reads nothing of what it is sent");
	return false;
}

void p2p_net_expect(struct p2p_net *net, struct p2p_peer *peer, enum p2p_wait what, unsigned times)
{
	peer->deadline_ns[what] = clock_monotonic_ns() + times * net->config.timeout_ms * NS_PER_MS;
}

void p2p_peer_got(struct p2p_peer *peer, enum p2p_wait what)
{
	peer->deadline_ns[what] = 0;
}

bool p2p_peer_is_asked(const struct p2p_peer *peer, enum p2p_wait what)
{
	return peer->deadline_ns[what] != 0;
}

bool p2p_peer_has_filters(const struct p2p_peer *peer)
{
	return peer->services & P2P_NODE_COMPACT_FILTERS;
}

struct p2p_peer *p2p_net_next(struct p2p_net *net, const struct p2p_peer *peer)
{
	struct p2p_peer *next = peer ? TAILQ_NEXT(peer, next) : TAILQ_FIRST(&net->peers);

	while (next && (!next->ready || next->gone))
		next = TAILQ_NEXT(next, next);
	return next;
}

static void greet(struct p2p_net *net, struct p2p_peer *peer)
{
	static const char agent[] = "/dnet:" PACKAGE_VERSION "/";
	const struct p2p_version version = {
		.version = PROTOCOL,
		.time = (int64_t)clock_wall_s(),
		.nonce = rand_u64(),
		.agent = {.data = (const uint8_t *)agent, .len = sizeof(agent) - 1},
		.relay = net->config.relay,
	};
	uint8_t mem[PAYLOAD_MAX];
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	p2p_version_write(&w, &version);
	p2p_net_send(net, peer, P2P_VERSION, mem, writer_len(&w));
	p2p_net_expect(net, peer, P2P_WAIT_HANDSHAKE, 1);
	peer->greeted = true;
}

static void copy_agent(struct p2p_peer *peer, struct span agent)
{
	size_t len = MIN(agent.len, sizeof(peer->agent) - 1);

	for (size_t i = 0; i < len; i++)
		peer->agent[i] =
			agent.data[i] >= 0x20 && agent.data[i] < 0x7f ? (char)agent.data[i] : '?';
	peer->agent[len] = '\0';
}

static void on_version(struct p2p_net *net, struct p2p_peer *peer, struct span payload)
{
	const uint64_t needed = P2P_NODE_WITNESS;
	const uint64_t one_of = P2P_NODE_NETWORK | P2P_NODE_NETWORK_LIMITED;
	struct p2p_version version;

	if (peer->has_version || !p2p_version_parse(payload.data, payload.len, &version)) {
		p2p_net_ban(net, peer, "it sent a version that is malformed, or a second one");
		return;
	}
	peer->has_version = true;
	peer->services = version.services;
	peer->height = version.height;
	peer->version = version.version;
	copy_agent(peer, version.agent);
	if (version.version < PROTOCOL_LEAST)
		p2p_net_drop(net, peer, "it speaks an old version: %u", version.version);
	else if ((version.services & needed) != needed || !(version.services & one_of))
		p2p_net_drop(net, peer, "it serves no blocks with witnesses (services %#llx)",
			     (unsigned long long)version.services);
	else if (version.version >= PROTOCOL)
		p2p_net_send(net, peer, P2P_SENDADDRV2, NULL, 0);
	p2p_net_send(net, peer, P2P_VERACK, NULL, 0);
}

/* Peers without filters leave room for those that have them. */
static bool is_welcome(const struct p2p_net *net, const struct p2p_peer *peer)
{
	const struct p2p_peer *other;
	size_t without = 0;

	if (peer->fixed >= 0 || p2p_peer_has_filters(peer))
		return true;
	TAILQ_FOREACH(other, &net->peers, next)
	{
		without += other->ready && !other->gone && !p2p_peer_has_filters(other);
	}
	return without + net->config.filters < net->config.wanted;
}

static void on_verack(struct p2p_net *net, struct p2p_peer *peer)
{
	if (!peer->has_version || peer->ready) {
		p2p_net_ban(net, peer, "it sent a verack before its version, or a second one");
		return;
	}
	p2p_peer_got(peer, P2P_WAIT_HANDSHAKE);
	if (!is_welcome(net, peer)) {
		p2p_net_drop(net, peer, "it serves no block filters");
		return;
	}
	peer->ready = true;
	peer->connected_s = clock_wall_s();
	if (peer->fixed >= 0)
		net->fixed[peer->fixed].failures = 0;
	else
		peerbook_on_success(net->book, &peer->target.endpoint, peer->services,
				    clock_wall_s());
	net->book_changed = true;
	p2p_net_send(net, peer, P2P_SENDHEADERS, NULL, 0);
	if (net->config.fixed_count == 0)
		p2p_net_send(net, peer, P2P_GETADDR, NULL, 0);
	log_info("peer %s: %s, height %d%s", peer->name, peer->agent, (int)peer->height,
		 p2p_peer_has_filters(peer) ? ", with filters" : "");
	net->handler.on_ready(net->handler.arg, peer);
}

static void on_ping(struct p2p_net *net, struct p2p_peer *peer, struct span payload)
{
	if (payload.len != P2P_PING_LEN)
		p2p_net_ban(net, peer, "it sent a malformed ping");
	else
		p2p_net_send(net, peer, P2P_PONG, payload.data, payload.len);
}

static void on_pong(struct p2p_net *net, struct p2p_peer *peer, struct span payload)
{
	uint64_t nonce;

	if (!p2p_ping_parse(payload.data, payload.len, &nonce) || nonce != peer->ping_nonce ||
	    !p2p_peer_is_asked(peer, P2P_WAIT_PONG))
		return;
	p2p_peer_got(peer, P2P_WAIT_PONG);
	peer->rtt_ns = clock_monotonic_ns() - peer->ping_ns;
}

static void on_addresses(struct p2p_net *net, struct p2p_peer *peer, enum p2p_type type,
			 struct span payload)
{
	struct p2p_addrs it;
	struct p2p_addr addr;
	struct endpoint e;

	if (!p2p_addrs_parse(type, payload.data, payload.len, &it)) {
		p2p_net_ban(net, peer, "it sent a malformed list of addresses");
		return;
	}
	if (net->config.fixed_count > 0)
		return;
	while (p2p_addr_next(&it, &addr))
		if (p2p_addr_endpoint(&addr, &e))
			net->book_changed |= peerbook_add(net->book, &e, addr.services,
							  &peer->target.endpoint.addr,
							  rand_u64()) == PEERBOOK_ADDED;
}

static void on_message(struct p2p_net *net, struct p2p_peer *peer, const struct p2p_message *m)
{
	peer->heard_ns = clock_monotonic_ns();
	if (m->type == P2P_VERSION)
		on_version(net, peer, m->payload);
	else if (m->type == P2P_VERACK)
		on_verack(net, peer);
	else if (m->type == P2P_PING)
		on_ping(net, peer, m->payload);
	else if (m->type == P2P_PONG)
		on_pong(net, peer, m->payload);
	else if (m->type == P2P_ADDR || m->type == P2P_ADDRV2)
		on_addresses(net, peer, m->type, m->payload);
	else if (peer->ready)
		net->handler.on_message(net->handler.arg, peer, m);
	/* before the handshake is done nothing else is listened to */
}

static void serve(struct p2p_net *net, struct p2p_peer *peer, short events)
{
	uint64_t before = p2p_conn_received(peer->conn);
	enum p2p_conn_result result;
	struct p2p_message message;
	bool ok = p2p_conn_step(peer->conn, events);

	net->counts.bytes_in += p2p_conn_received(peer->conn) - before;
	if (ok && p2p_conn_is_open(peer->conn) && !peer->greeted)
		greet(net, peer);
	while (!peer->gone && (result = p2p_conn_next(peer->conn, &message)) != P2P_CONN_NONE) {
		if (result == P2P_CONN_MESSAGE)
			on_message(net, peer, &message);
		else
			p2p_net_ban(net, peer, "%s", p2p_conn_error(peer->conn));
	}
	if (!ok)
		p2p_net_drop(net, peer, "%s", p2p_conn_error(peer->conn));
}

/* ------------------------------------------------------------------ time */

static const char *wait_text(enum p2p_wait what)
{
	switch (what) {
	case P2P_WAIT_HANDSHAKE:
		return "the handshake";
	case P2P_WAIT_PONG:
		return "a ping";
	case P2P_WAIT_HEADERS:
		return "a request for headers";
	case P2P_WAIT_CFHEADERS:
		return "a request for filter headers";
	case P2P_WAIT_CFILTERS:
		return "a request for filters";
	case P2P_WAIT_BLOCK:
		return "a request for a block";
	case P2P_WAITS:
		break;
	}
	return "?";
}

static void check_times(struct p2p_net *net, struct p2p_peer *peer)
{
	uint64_t now = clock_monotonic_ns();

	for (enum p2p_wait what = 0; what < P2P_WAITS && !peer->gone; what++) {
		if (peer->deadline_ns[what] == 0 || now < peer->deadline_ns[what])
			continue;
		net->counts.stalls += peer->ready;
		p2p_net_drop(net, peer, "it stalls: no answer to %s", wait_text(what));
	}
	if (!peer->ready || peer->gone || p2p_peer_is_asked(peer, P2P_WAIT_PONG) ||
	    now - peer->ping_ns < PING_EVERY_S * NS_PER_S)
		return;
	peer->ping_ns = now;
	peer->ping_nonce = rand_u64();
	p2p_net_expect(net, peer, P2P_WAIT_PONG, 1);
	p2p_net_send(net, peer, P2P_PING, &peer->ping_nonce, sizeof(peer->ping_nonce));
}

/* ------------------------------------------------------------------ dialling */

static void dial(struct p2p_net *net, const struct p2p_target *target, int fixed)
{
	bool proxied = net->config.proxy.addr.family != ADDR_NONE;
	struct p2p_peer *peer = xcalloc(1, sizeof(*peer));

	peer->target = *target;
	peer->fixed = fixed;
	/* the name that was given stays the peer's, whatever it is looked up to */
	name_of(fixed >= 0 ? &net->config.fixed[fixed] : target, peer->name);
	peer->conn = p2p_conn_open(net->config.params->magic, target,
				   proxied ? &net->config.proxy : NULL);
	peer->serial = ++net->counts.dials;
	if (!peer->conn) {
		on_failure(net, peer);
		remember(net, peer, strerror(errno), false);
		free(peer);
		return;
	}
	p2p_net_expect(net, peer, P2P_WAIT_HANDSHAKE, 1);
	peer->ping_ns = clock_monotonic_ns();
	TAILQ_INSERT_TAIL(&net->peers, peer, next);
	net->peer_count++;
	if (fixed >= 0)
		net->fixed[fixed].peer = peer;
}

/* False: the name is not known yet, or has no address. */
static bool look_up(struct p2p_net *net, struct fixed *fixed)
{
	const struct endpoint *list;
	size_t count;

	if (!fixed->target.host[0] || net->config.proxy.addr.family != ADDR_NONE)
		return true;
	if (!fixed->resolve)
		fixed->resolve = p2p_resolve_start(fixed->target.host, fixed->target.port);
	if (!fixed->resolve || !p2p_resolve_is_done(fixed->resolve))
		return false;
	count = p2p_resolve_result(fixed->resolve, &list);
	if (count == 0) {
		log_limited(LOG_LEVEL_WARN, 1, "peer %s: the name has no address",
			    fixed->target.host);
		fixed->retry_ns =
			clock_monotonic_ns() + ((uint64_t)RETRY_MS << RETRY_SHIFTS) * NS_PER_MS;
	} else {
		/* where one of them does not answer, the next one is tried */
		fixed->target.endpoint = list[fixed->failures % count];
	}
	p2p_resolve_free(fixed->resolve);
	fixed->resolve = NULL;
	return fixed->target.endpoint.addr.family != ADDR_NONE;
}

static void dial_fixed(struct p2p_net *net)
{
	char name[PEERBOOK_NAME_SIZE];

	for (size_t i = 0; i < net->config.fixed_count; i++) {
		struct fixed *fixed = &net->fixed[i];
		struct p2p_target target;

		name_of(&net->config.fixed[i], name);
		if (fixed->peer || clock_monotonic_ns() < fixed->retry_ns ||
		    peerbook_is_banned(net->book, name, clock_wall_s()) || !look_up(net, fixed))
			continue;
		target = fixed->target;
		if (target.endpoint.addr.family != ADDR_NONE)
			target.host[0] = '\0';
		dial(net, &target, (int)i);
		/* names are looked up again for the next attempt */
		fixed->target = net->config.fixed[i];
	}
}

static void take_seed(struct p2p_net *net)
{
	const struct address nobody = {.family = ADDR_NONE};
	const struct endpoint *list;
	size_t count = p2p_resolve_result(net->seed, &list);
	/* what all seeds told is not one teller's: each has its own */
	struct address teller = nobody;

	teller.bytes[0] = net->seed_number;
	for (size_t i = 0; i < count; i++)
		peerbook_add(net->book, &list[i], 0, &teller, rand_u64());
	net->book_changed |= count > 0;
	p2p_resolve_free(net->seed);
	net->seed = NULL;
}

/* The next of the profile's seeds and peers; false after the last, and then they come again. */
static bool next_seed(struct p2p_net *net, struct p2p_target *ret)
{
	char name[P2P_CONN_HOST_SIZE];
	size_t len;

	for (;;) {
		net->seed_next += strspn(net->seed_next, " ");
		len = strcspn(net->seed_next, " ");
		if (len == 0) {
			net->seed_next = net->seeds;
			net->seed_number = 0;
			return false;
		}
		snprintf(name, sizeof(name), "%.*s", (int)len, net->seed_next);
		net->seed_next += len;
		net->seed_number++;
		if (p2p_target_parse(name, net->config.params->p2p_port, ret))
			return true;
	}
}

static bool is_connected(const struct p2p_net *net, const struct p2p_target *target)
{
	const struct p2p_peer *peer;
	char name[PEERBOOK_NAME_SIZE];

	name_of(target, name);
	TAILQ_FOREACH(peer, &net->peers, next)
	{
		if (strcmp(peer->name, name) == 0)
			return true;
	}
	return peerbook_is_banned(net->book, name, clock_wall_s()) != NULL;
}

/* One after the other, until there are addresses to choose from. */
static void ask_seeds(struct p2p_net *net)
{
	uint64_t now = clock_monotonic_ns();
	struct p2p_target target;

	if (net->seed && p2p_resolve_is_done(net->seed))
		take_seed(net);
	if (net->seed || now < net->seeds_ns)
		return;
	if (!next_seed(net, &target)) {
		net->seeds_ns = now + SEEDS_EVERY_S * NS_PER_S;
		return;
	}
	if (is_connected(net, &target))
		return;
	/* a seed is a peer too, and the proxy knows its address */
	if (net->config.proxy.addr.family != ADDR_NONE || !target.host[0])
		dial(net, &target, -1);
	else
		net->seed = p2p_resolve_start(target.host, target.port);
}

static void dial_found(struct p2p_net *net)
{
	const uint64_t services = P2P_NODE_NETWORK | P2P_NODE_WITNESS | P2P_NODE_COMPACT_FILTERS;
	struct endpoint used[P2P_PEERS_MAX + DIALS_AT_ONCE];
	struct p2p_target target = {.host = ""};
	const struct p2p_peer *peer;
	size_t count = 0, ready = 0;

	TAILQ_FOREACH(peer, &net->peers, next)
	{
		ready += peer->ready;
		if (count < ARRAY_SIZE(used))
			used[count++] = peer->target.endpoint;
	}
	while (ready < net->config.wanted && net->peer_count - ready < DIALS_AT_ONCE &&
	       net->peer_count < P2P_PEERS_MAX && count < ARRAY_SIZE(used)) {
		if (!peerbook_pick(net->book, used, count, services, clock_wall_s(), rand_u64(),
				   &target.endpoint)) {
			ask_seeds(net);
			return;
		}
		target.port = target.endpoint.port;
		dial(net, &target, -1);
		used[count++] = target.endpoint;
	}
}

/* ------------------------------------------------------------------ a round */

void p2p_net_run(struct p2p_net *net, uint64_t timeout_ms)
{
	struct pollfd fds[P2P_PEERS_MAX + P2P_FIXED_MAX];
	struct p2p_peer *peers[P2P_PEERS_MAX + P2P_FIXED_MAX], *peer;
	size_t count = 0;

	if (net->config.fixed_count > 0)
		dial_fixed(net);
	else
		dial_found(net);
	TAILQ_FOREACH(peer, &net->peers, next)
	{
		if (count == ARRAY_SIZE(fds))
			break;
		fds[count] = (struct pollfd){.fd = p2p_conn_fd(peer->conn),
					     .events = p2p_conn_events(peer->conn)};
		peers[count++] = peer;
	}
	if (poll(fds, count, (int)MIN(timeout_ms, (uint64_t)WAIT_MS)) < 0)
		for (size_t i = 0; i < count; i++)
			fds[i].revents = 0;
	for (size_t i = 0; i < count; i++) {
		if (fds[i].revents)
			serve(net, peers[i], fds[i].revents);
	}
	/* what has come was read before: nobody is late because we were */
	TAILQ_FOREACH(peer, &net->peers, next)
	{
		check_times(net, peer);
	}
	reap(net);
	if (clock_monotonic_ns() - net->saved_ns > SAVE_EVERY_S * NS_PER_S)
		save_book(net);
}

void p2p_net_count(const struct p2p_net *net, struct p2p_counts *ret_counts)
{
	const struct p2p_peer *peer;

	*ret_counts = net->counts;
	TAILQ_FOREACH(peer, &net->peers, next)
	{
		ret_counts->connected++;
		ret_counts->ready += peer->ready && !peer->gone;
		ret_counts->filters += peer->ready && !peer->gone && p2p_peer_has_filters(peer);
	}
	peerbook_count(net->book, &ret_counts->book);
}

const struct p2p_event *p2p_net_event_at(const struct p2p_net *net, size_t index)
{
	return index < net->event_count ? &net->events[index] : NULL;
}

const struct peerbook *p2p_net_book(const struct p2p_net *net)
{
	return net->book;
}
