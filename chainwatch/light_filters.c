#include "chainwatch/light.h"

#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/rand.h"

#include <errno.h>
#include <string.h>

enum {
	ROUND_MS = 50,
	ROUNDS_MAX = 8,	  /* of asking all peers, after one of them lied */
	FILTER_TIMES = 3, /* time-outs that a peer has for a window of filters */
};

void light_filters_forget(struct light *l)
{
	struct light_window *w = &l->window;

	for (size_t i = 0; i < LIGHT_WINDOW; i++) {
		free((void *)w->filters[i].data);
		w->filters[i] = (struct span){.data = NULL};
	}
	w->count = 0;
	w->has_filters = false;
}

void light_filters_on_gone(struct light *l, const struct p2p_peer *peer)
{
	if (l->asking == peer)
		l->asking = NULL;
	if (l->fetch.peer == peer) {
		l->fetch.peer = NULL;
		l->fetch.failed = true;
	}
}

/* The best chain still has this block there. */
static bool is_there(const struct light *l, uint32_t height, const struct hash256 *hash)
{
	struct headers_block block;

	return headers_at(l->headers, height, &block) &&
	       memcmp(&block.hash, hash, sizeof(*hash)) == 0;
}

static int moved(struct light *l)
{
	return light_fail(l, -ESTALE, SOURCE_FINE,
			  "the chain was reorganised meanwhile: reading on");
}

/* ------------------------------------------------------------------ filter headers */

void light_filters_on_cfheaders(struct light *l, struct p2p_peer *peer, struct span payload)
{
	struct light_peer *lp = light_peer(peer);
	struct p2p_cfheaders m;

	if (!p2p_peer_is_asked(peer, P2P_WAIT_CFHEADERS))
		return;
	p2p_peer_got(peer, P2P_WAIT_CFHEADERS);
	if (!p2p_cfheaders_parse(payload.data, payload.len, &m) || m.type != P2P_FILTER_BASIC ||
	    memcmp(&m.stop, &lp->claim_stop, sizeof(m.stop)) != 0 || m.count != lp->claim_count) {
		p2p_net_ban(l->net, peer, "it sent other filter headers than it was asked for");
		return;
	}
	memcpy(lp->claims, m.hashes, m.count * sizeof(*m.hashes));
	lp->claim_prev = m.prev;
	lp->answered = true;
}

static bool send_getcfheaders(struct light *l, struct p2p_peer *peer, uint32_t start,
			      const struct hash256 *stop, size_t count)
{
	const struct p2p_filter_range range = {
		.type = P2P_FILTER_BASIC, .start = start, .stop = *stop};
	struct light_peer *lp = light_peer(peer);
	uint8_t mem[1 + 4 + HASH_LEN];
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	p2p_filter_range_write(&w, &range);
	lp->answered = false;
	lp->claim_stop = *stop;
	lp->claim_count = count;
	free(lp->claims);
	lp->claims = xcalloc(count, sizeof(*lp->claims));
	l->counts.requests++;
	if (!p2p_net_send(l->net, peer, P2P_GETCFHEADERS, mem, writer_len(&w)))
		return false;
	p2p_net_expect(l->net, peer, P2P_WAIT_CFHEADERS, 1);
	return true;
}

int light_ask_cfheaders(struct light *l, struct p2p_peer *peer, uint32_t start,
			const struct hash256 *stop, size_t count)
{
	int result = 0;

	if (!send_getcfheaders(l, peer, start, stop, count))
		return -EAGAIN;
	l->asking = peer;
	while (!result && l->asking && !peer->gone && !light_peer(peer)->answered)
		result = light_run(l, ROUND_MS);
	if (!result && !l->asking)
		result = -EAGAIN;
	if (!result && peer->gone)
		result = -EAGAIN;
	l->asking = NULL;
	return result;
}

/* It serves filters, and has told a chain that goes so far. */
static bool can_serve(const struct p2p_peer *peer, uint32_t end)
{
	return p2p_peer_has_filters(peer) && light_peer(peer)->synced &&
	       light_peer(peer)->best >= end;
}

/* Waits until there are enough that can tell of the block at end. */
static int wait_for_peers(struct light *l, uint32_t end)
{
	uint64_t until = clock_monotonic_ns() + l->config.timeout_ms * NS_PER_MS;
	size_t count;
	int result = 0;

	for (;;) {
		count = 0;
		for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p;
		     p = p2p_net_next(l->net, p)) {
			count += can_serve(p, end);
			if (p2p_peer_has_filters(p) && !can_serve(p, end))
				light_headers_probe(l, p);
		}
		if (result || count >= l->config.filters)
			return result;
		if (clock_monotonic_ns() > until) {
			const struct p2p_event *event = p2p_net_event_at(l->net, 0);

			return light_fail(l, -ENOTCONN, SOURCE_DOWN,
					  "%zu of %u peers that serve block filters know block "
					  "%u: waiting for more%s%s%s%s",
					  count, l->config.filters, end,
					  event ? "; the last one that left was " : "",
					  event ? event->name : "", event ? ": " : "",
					  event ? event->what : "");
		}
		result = light_run(l, ROUND_MS);
	}
}

static bool is_pending(struct light *l)
{
	for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p))
		if (p2p_peer_is_asked(p, P2P_WAIT_CFHEADERS))
			return true;
	return false;
}

static bool has_claim(const struct p2p_peer *peer, const struct hash256 *stop, size_t count)
{
	const struct light_peer *lp = light_peer(peer);

	return lp->answered && lp->claim_count == count &&
	       memcmp(&lp->claim_stop, stop, sizeof(*stop)) == 0;
}

/* Asks all that can serve, at once. */
static int ask_all(struct light *l, uint32_t start, const struct hash256 *stop, size_t count)
{
	int result = 0;

	for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p)) {
		light_peer(p)->answered = false;
		if (can_serve(p, start + (uint32_t)count - 1))
			send_getcfheaders(l, p, start, stop, count);
	}
	while (!result && is_pending(l))
		result = light_run(l, ROUND_MS);
	return result;
}

/* The next peer after p that has claimed the same range. */
static struct p2p_peer *next_claim(struct light *l, const struct p2p_peer *p,
				   const struct hash256 *stop, size_t count)
{
	struct p2p_peer *next = p2p_net_next(l->net, p);

	while (next && !has_claim(next, stop, count))
		next = p2p_net_next(l->net, next);
	return next;
}

/* Compares the claims: 0: they agree but for what is in ret_whole; 1: somebody had to go, ask
 * again. */
static int compare(struct light *l, uint32_t start, const struct hash256 *stop, size_t count,
		   bool *ret_whole)
{
	struct p2p_peer *first = next_claim(l, NULL, stop, count), *p;
	struct p2p_counts before, after;
	bool undecided = false;
	int result;

	for (p = first; p; p = next_claim(l, p, stop, count)) {
		const struct light_peer *a = light_peer(first), *b = light_peer(p);

		for (size_t i = 0; i < count; i++) {
			if (ret_whole[i] || memcmp(&a->claims[i], &b->claims[i], HASH_LEN) == 0)
				continue;
			p2p_net_count(l->net, &before);
			result = light_dispute(l, start + (uint32_t)i, i, &undecided);
			p2p_net_count(l->net, &after);
			ret_whole[i] = undecided;
			if (result || before.lies != after.lies)
				return result ? result : 1;
			/* peers may have gone while it was looked into */
			return 1;
		}
		if (memcmp(&a->claim_prev, &b->claim_prev, HASH_LEN) != 0 && !l->past_undecided) {
			result = light_dispute_past(l, first->serial, p->serial, start,
						    &l->past_undecided);
			return result ? result : 1;
		}
	}
	return 0;
}

static size_t count_claims(struct light *l, const struct hash256 *stop, size_t count)
{
	size_t n = 0;

	for (struct p2p_peer *p = next_claim(l, NULL, stop, count); p;
	     p = next_claim(l, p, stop, count))
		n++;
	return n;
}

static void take_claims(struct light *l, uint32_t start, const struct hash256 *stop, size_t count,
			const bool *whole)
{
	const struct light_peer *lp = light_peer(next_claim(l, NULL, stop, count));
	struct light_window *w = &l->window;

	light_filters_forget(l);
	w->start = start;
	w->stop = *stop;
	memcpy(w->hashes, lp->claims, count * sizeof(*w->hashes));
	memcpy(w->whole, whole, count * sizeof(*w->whole));
	w->count = count;
}

/* The hashes of the filters from start on, as enough peers say them. */
static int load_window(struct light *l, uint32_t start)
{
	bool whole[LIGHT_WINDOW] = {false};
	struct headers_block stop;
	uint32_t end = headers_height(l->headers);
	size_t count;
	int result;

	if (start > end)
		return moved(l);
	end = MIN(end, start + LIGHT_WINDOW - 1);
	count = end - start + 1;
	headers_at(l->headers, end, &stop);
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		result = wait_for_peers(l, end);
		if (!result && !is_there(l, end, &stop.hash))
			result = moved(l);
		if (!result)
			result = ask_all(l, start, &stop.hash, count);
		if (!result && !is_there(l, end, &stop.hash))
			result = moved(l);
		if (result)
			return result;
		if (count_claims(l, &stop.hash, count) < l->config.filters)
			continue;
		result = compare(l, start, &stop.hash, count, whole);
		if (result < 0 && result != -EAGAIN)
			return result;
		if (result == 0 && count_claims(l, &stop.hash, count) >= l->config.filters) {
			take_claims(l, start, &stop.hash, count, whole);
			return 0;
		}
	}
	return light_fail(l, -EAGAIN, SOURCE_GARBAGE,
			  "peers do not agree on the filters of blocks %u to %u: asking others",
			  start, end);
}

/* ------------------------------------------------------------------ filters */

void light_filters_on_cfilter(struct light *l, struct p2p_peer *peer, struct span payload)
{
	struct light_fetch *f = &l->fetch;
	struct p2p_cfilter m;
	uint8_t *copy;

	if (f->peer != peer || f->got == f->count)
		return;
	if (!p2p_cfilter_parse(payload.data, payload.len, &m) || m.type != P2P_FILTER_BASIC ||
	    !is_there(l, f->start + (uint32_t)f->got, &m.block)) {
		f->failed = true;
		p2p_peer_got(peer, P2P_WAIT_CFILTERS);
		/* not its fault when the chain has changed since */
		if (is_there(l, f->start + (uint32_t)f->count - 1, &f->stop))
			p2p_net_ban(l->net, peer, "it sent another filter than it was asked for");
		return;
	}
	l->counts.filters++;
	if (f->bytes + m.filter.len <= LIGHT_WINDOW_BYTES) {
		copy = xmalloc(m.filter.len + 1);
		memcpy(copy, m.filter.data, m.filter.len);
		f->filters[f->got] = (struct span){.data = copy, .len = m.filter.len};
		f->bytes += m.filter.len;
	}
	if (++f->got == f->count)
		p2p_peer_got(peer, P2P_WAIT_CFILTERS);
}

int light_ask_filters(struct light *l, struct p2p_peer *peer, uint32_t start,
		      const struct hash256 *stop, size_t count, struct span *ret_filters)
{
	const struct p2p_filter_range range = {
		.type = P2P_FILTER_BASIC, .start = start, .stop = *stop};
	struct light_fetch *f = &l->fetch;
	uint8_t mem[1 + 4 + HASH_LEN];
	struct writer w;
	int result = 0;

	writer_init(&w, mem, sizeof(mem));
	p2p_filter_range_write(&w, &range);
	l->counts.requests++;
	if (!p2p_net_send(l->net, peer, P2P_GETCFILTERS, mem, writer_len(&w)))
		return -EAGAIN;
	p2p_net_expect(l->net, peer, P2P_WAIT_CFILTERS, FILTER_TIMES);
	*f = (struct light_fetch){.peer = peer,
				  .start = start,
				  .stop = *stop,
				  .count = count,
				  .filters = ret_filters};
	while (!result && !f->failed && f->got < f->count)
		result = light_run(l, ROUND_MS);
	if (!result && f->failed)
		result = -EAGAIN;
	*f = (struct light_fetch){.peer = NULL};
	return result;
}

/* They are what the filter headers say: otherwise the peer that sent them lied. */
static bool check_filters(struct light *l, struct p2p_peer *peer)
{
	struct light_window *w = &l->window;
	struct hash256 hash;

	for (size_t i = 0; i < w->count; i++) {
		if (!w->filters[i].data || w->whole[i])
			continue;
		gcs_hash(w->filters[i].data, w->filters[i].len, &hash);
		if (memcmp(&hash, &w->hashes[i], sizeof(hash)) == 0)
			continue;
		p2p_net_ban(l->net, peer,
			    "its filter of block %u is not the one of its filter header",
			    w->start + (uint32_t)i);
		return false;
	}
	return true;
}

static void free_filters(struct light_window *w)
{
	for (size_t i = 0; i < LIGHT_WINDOW; i++) {
		free((void *)w->filters[i].data);
		w->filters[i] = (struct span){.data = NULL};
	}
}

static int load_filters(struct light *l)
{
	struct light_window *w = &l->window;
	struct p2p_peer *p;
	size_t peers = 0;
	int result;

	for (p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p))
		peers += can_serve(p, w->start + (uint32_t)w->count - 1);
	if (peers == 0)
		return light_fail(l, -ENOTCONN, SOURCE_DOWN,
				  "the peers that serve filters are gone: waiting for others");
	/* not always the same one */
	peers = rand_below((uint32_t)peers);
	for (p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p))
		if (can_serve(p, w->start + (uint32_t)w->count - 1) && peers-- == 0)
			break;
	result = light_ask_filters(l, p, w->start, &w->stop, w->count, w->filters);
	if (w->count == 0) {
		free_filters(w);
		return result ? result : moved(l);
	}
	if (!result && check_filters(l, p)) {
		w->has_filters = true;
		return 0;
	}
	free_filters(w);
	return result ? result : -EAGAIN;
}

/* ------------------------------------------------------------------ matching */

static bool matches(struct light *l, size_t index)
{
	const struct light_window *w = &l->window;
	const struct light_script *script;
	struct headers_block block;
	struct gcs gcs;
	size_t count = 0;

	if (w->whole[index] || !w->filters[index].data ||
	    !headers_at(l->headers, w->start + (uint32_t)index, &block) ||
	    !gcs_open(&gcs, &block.hash, w->filters[index].data, w->filters[index].len))
		return true;
	for (script = l->scripts; script; script = script->hh.next)
		l->values[count++] =
			gcs_value(&gcs, (struct span){.data = script->data, .len = script->len});
	/* a filter that cannot be read is as none: the block is */
	return gcs_match(&gcs, l->values, count) != GCS_NONE;
}

int light_filters_match(struct light *l, uint32_t height, bool *ret_match)
{
	struct light_window *w = &l->window;
	int result = 0;

	if (w->count == 0 || height < w->start || height - w->start >= w->count ||
	    !is_there(l, w->start + (uint32_t)w->count - 1, &w->stop))
		result = load_window(l, height);
	for (unsigned round = 0; !result && !w->has_filters && round < ROUNDS_MAX; round++) {
		result = load_filters(l);
		if (result == -EAGAIN && w->count > 0)
			result = 0;
	}
	if (!result && !w->has_filters)
		return light_fail(l, -EAGAIN, SOURCE_DOWN,
				  "no peer gives the filters of blocks %u to %u: asking others",
				  w->start, w->start + (uint32_t)w->count - 1);
	if (result)
		return result;
	*ret_match = matches(l, height - w->start);
	l->counts.matches += *ret_match;
	return 0;
}
