#include "chainwatch/light.h"

#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"

#include <string.h>

enum {
	PROTOCOL = 70016,
	ORPHANS_MAX = 10,   /* announcements without a parent, after each of which it is asked */
	BEHIND_MAX = 6,	    /* a branch that is so much deeper is no race of two blocks */
	PROBE_EVERY_S = 30, /* so long after the tip came a peer may not have it */
	PROBE_AGAIN_MS = 500,
};

/* Asks for what comes after the best chain, or after these headers first. */
static void ask(struct light *l, struct p2p_peer *peer, const struct hash256 *after)
{
	struct hash256 locator[1 + HEADERS_LOCATOR_MAX];
	uint8_t mem[4 + 3 + sizeof(locator) + HASH_LEN];
	size_t count = 0;
	struct writer w;

	if (after)
		locator[count++] = *after;
	count += headers_locator(l->headers, &locator[count]);
	writer_init(&w, mem, sizeof(mem));
	p2p_getheaders_write(&w, &(struct p2p_getheaders){.version = PROTOCOL,
							  .locator = locator,
							  .count = (uint32_t)count});
	if (p2p_net_send(l->net, peer, P2P_GETHEADERS, mem, writer_len(&w)))
		p2p_net_expect(l->net, peer, P2P_WAIT_HEADERS, 1);
	light_peer(peer)->probed_ns = clock_monotonic_ns();
	l->counts.requests++;
}

void light_headers_on_ready(struct light *l, struct p2p_peer *peer)
{
	light_peer(peer)->announced_ns = clock_monotonic_ns();
	ask(l, peer, NULL);
}

void light_headers_on_block_inv(struct light *l, struct p2p_peer *peer, const struct hash256 *hash)
{
	struct headers_place place;

	if (headers_find(l->headers, hash, &place)) {
		if (place.active && place.height > light_peer(peer)->best)
			light_peer(peer)->best = place.height;
		light_peer(peer)->announced_ns = clock_monotonic_ns();
	} else if (!p2p_peer_is_asked(peer, P2P_WAIT_HEADERS)) {
		ask(l, peer, NULL);
	}
}

/* Its headers are valid and not the best: a race, or another chain. */
static void judge_branch(struct light *l, struct p2p_peer *peer, const struct headers_added *added)
{
	struct headers_place place;
	uint32_t height = headers_height(l->headers);

	if (!headers_find(l->headers, &added->last, &place) || place.active)
		return;
	if (height - place.fork >= BEHIND_MAX)
		p2p_net_ban(l->net, peer,
			    "it offers a chain with less work: it leaves ours after block %u, %u "
			    "blocks ago",
			    place.fork, height - place.fork);
}

static void note_best(struct light_peer *lp, const struct headers_added *added)
{
	if (added->last_active && added->last_height > lp->best)
		lp->best = added->last_height;
}

/* What was wrong with the header after those that were taken. */
static void refuse(struct light *l, struct p2p_peer *peer, const struct headers_added *added)
{
	struct light_peer *lp = light_peer(peer);

	switch (added->reason) {
	case HEADER_OK:
		return;
	case HEADER_ORPHAN:
		/* a block of which we have not heard what is before it */
		if (++lp->orphans > ORPHANS_MAX)
			p2p_net_ban(l->net, peer, "it tells headers that lead nowhere");
		else
			ask(l, peer, NULL);
		return;
	case HEADER_TIME_NEW:
	case HEADER_FULL:
		p2p_net_drop(l->net, peer, "a header of it: %s", header_reason_text(added->reason));
		return;
	case HEADER_UNLINKED:
	case HEADER_TARGET:
	case HEADER_BITS:
	case HEADER_POW:
	case HEADER_TIME_OLD:
	case HEADER_TIMEWARP:
	case HEADER_VERSION:
	case HEADER_CHECKPOINT:
	case HEADER_FORK:
		p2p_net_ban(l->net, peer, "a header of it is false: %s",
			    header_reason_text(added->reason));
		return;
	}
}

static void on_moved(struct light *l, const struct headers_added *added)
{
	const struct light_window *w = &l->window;

	l->moved_ns = clock_monotonic_ns();
	/* filters of blocks that are no longer there */
	if (w->count > 0 && added->fork + 1 < w->start + w->count)
		light_filters_forget(l);
}

static void log_progress(struct light *l, const struct headers_added *added)
{
	uint32_t height = headers_height(l->headers);

	if (added->accepted >= P2P_HEADERS_MAX / 2)
		log_limited(LOG_LEVEL_INFO, 6, "light: %u headers", height);
}

/* As soon as time-outs are short, as in tests, so is this. */
static uint64_t probe_every(const struct light *l)
{
	return MIN((uint64_t)PROBE_EVERY_S * NS_PER_S, l->config.timeout_ms * NS_PER_MS / 2);
}

/* It is asked for what comes after the block before our tip: who has the tip tells it. */
static void probe(struct light *l, struct p2p_peer *peer)
{
	uint32_t height = headers_height(l->headers);
	struct headers_block before;

	if (height == 0 || !headers_at(l->headers, height - 1, &before))
		return;
	light_peer(peer)->behind_probe = clock_monotonic_ns() - l->moved_ns >= probe_every(l);
	ask(l, peer, &before.hash);
}

void light_headers_on_message(struct light *l, struct p2p_peer *peer, struct span payload)
{
	struct light_peer *lp = light_peer(peer);
	bool asked = p2p_peer_is_asked(peer, P2P_WAIT_HEADERS);
	struct headers_added added;
	struct p2p_headers headers;
	int result;

	if (!p2p_headers_parse(payload.data, payload.len, &headers)) {
		p2p_net_ban(l->net, peer, "it sent malformed headers");
		return;
	}
	p2p_peer_got(peer, P2P_WAIT_HEADERS);
	if (headers.count == 0) {
		if (lp->behind_probe)
			p2p_net_drop(l->net, peer, "it stays behind: it has not block %u",
				     headers_height(l->headers));
		lp->behind_probe = false;
		/* it has nothing that we have not, and perhaps not all that we have */
		if (asked && !lp->synced && !peer->gone)
			probe(l, peer);
		lp->synced |= asked;
		return;
	}
	lp->behind_probe = false;
	lp->announced_ns = clock_monotonic_ns();
	result = headers_add(l->headers, p2p_headers_at(&headers, 0), P2P_HEADERS_STRIDE,
			     headers.count, (uint32_t)clock_wall_s(), &added);
	if (result == 0 && added.accepted > 0)
		result = headerfile_keep(l->file, p2p_headers_at(&headers, (uint32_t)added.known),
					 P2P_HEADERS_STRIDE, added.accepted);
	if (result)
		log_limited(LOG_LEVEL_WARN, 1,
			    "light: headers cannot be kept: %s: make room on the disk of the state "
			    "folder; they are tried again with the next",
			    strerror(-result));
	if (added.moved)
		on_moved(l, &added);
	log_progress(l, &added);
	note_best(lp, &added);
	if (added.reason != HEADER_OK) {
		refuse(l, peer, &added);
		return;
	}
	lp->orphans = 0;
	if (headers.count == P2P_HEADERS_MAX) {
		ask(l, peer, &added.last);
		return;
	}
	lp->synced |= asked;
	judge_branch(l, peer, &added);
}

size_t light_headers_synced(struct light *l, bool with_filters)
{
	size_t count = 0;

	for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p))
		count += light_peer(p)->synced && (!with_filters || p2p_peer_has_filters(p));
	return count;
}

void light_headers_probe(struct light *l, struct p2p_peer *peer)
{
	struct light_peer *lp = light_peer(peer);

	if (!p2p_peer_is_asked(peer, P2P_WAIT_HEADERS) &&
	    clock_monotonic_ns() - lp->probed_ns >= PROBE_AGAIN_MS * NS_PER_MS)
		probe(l, peer);
}

/* A peer that has not told our tip for a while: either it has it now, or it is of no use. */
void light_headers_check(struct light *l)
{
	uint64_t now = clock_monotonic_ns();

	if (now - l->moved_ns < probe_every(l))
		return;
	for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p)) {
		struct light_peer *lp = light_peer(p);

		if (lp->synced && !p2p_peer_is_asked(p, P2P_WAIT_HEADERS) &&
		    lp->best < headers_height(l->headers) && now - lp->probed_ns >= probe_every(l))
			probe(l, p);
	}
}
