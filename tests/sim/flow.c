#include "sim/parts.h"

#include "wire/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Flows with an odd number are IPv4. */

enum { FLOW_PORT = 4242, FLOW_HEADER = 12 };

static size_t headers_of(const uint8_t *b)
{
	return (b[0] >> 4 == 4 ? 20 : 40) + 8;
}

static void write_headers(const struct flow *f, uint8_t *b)
{
	struct address src = member_address(f->from), dst = member_address(f->to);
	uint8_t *udp = b + (f->number % 2 ? 20 : 40);

	if (f->number % 2) {
		b[0] = 0x45;
		store_u16be(b + 2, (uint16_t)f->len);
		b[8] = 64;
		b[9] = 17;
		memcpy(b + 12, f->from->row.record.node_put.ipv4.bytes, 4);
		memcpy(b + 16, f->to->row.record.node_put.ipv4.bytes, 4);
	} else {
		b[0] = 0x60;
		store_u16be(b + 4, (uint16_t)(f->len - 40));
		b[6] = 17;
		b[7] = 64;
		memcpy(b + 8, src.bytes, 16);
		memcpy(b + 24, dst.bytes, 16);
	}
	store_u16be(udp, 1000);
	store_u16be(udp + 2, FLOW_PORT);
	store_u16be(udp + 4, (uint16_t)(b + f->len - udp));
}

static void remember(struct flow *f, uint64_t sequence)
{
	if (sequence / 8 >= f->seen_size) {
		uint64_t size = f->seen_size ? 2 * f->seen_size : 64;

		f->seen = realloc(f->seen, size);
		assert(f->seen);
		memset(f->seen + f->seen_size, 0, size - f->seen_size);
		f->seen_size = size;
	}
	assert(sequence / 8 < f->seen_size);
}

static void send_next(struct turn *turn)
{
	struct flow *f = (struct flow *)turn;
	uint8_t bytes[2048] = {0};
	size_t headers;

	if (f->stopped)
		return;
	write_headers(f, bytes);
	headers = headers_of(bytes);
	store_u32(bytes + headers, f->number);
	store_u64(bytes + headers + 4, f->sequence);
	for (size_t i = headers + FLOW_HEADER; i < f->len; i++)
		bytes[i] = (uint8_t)(f->sequence + i);
	remember(f, f->sequence);
	f->sequence++;
	f->sent++;
	world_set_turn(f->w, turn, turn->timer.deadline + f->interval);
	/* Who sleeps says nothing. */
	if (!f->from->machine->asleep)
		member_send_raw(f->from, bytes, f->len);
}

struct flow *world_add_flow(struct world *w, struct member *from, struct member *to,
			    uint64_t interval, size_t len)
{
	struct flow *f = calloc(1, sizeof(*f));
	uint64_t now = sim_now(w->net);

	assert(f && len >= 48 + FLOW_HEADER && from->dnet == to->dnet);
	*f = (struct flow){.w = w,
			   .number = (uint32_t)w->flow_count,
			   .from = from,
			   .to = to,
			   .interval = interval,
			   .began = now,
			   .first = UINT64_MAX,
			   .len = len};
	w->flows = sim_grow(w->flows, w->flow_count, sizeof(*w->flows));
	w->flows[w->flow_count++] = f;
	world_add_turn(w, &f->turn, send_next);
	world_set_turn(w, &f->turn, now);
	return f;
}

void flow_free(struct flow *f)
{
	free(f->seen);
	free(f);
}

void flow_stop(struct flow *f)
{
	f->stopped = true;
	world_set_turn(f->w, &f->turn, TIMERS_NEVER);
}

struct flow_stats flow_stats(const struct flow *f)
{
	struct flow_stats s = {f->sent, f->arrived, f->first, f->gap};
	uint64_t since = sim_now(f->w->net) - f->last;

	if (f->first != UINT64_MAX && !f->stopped && since > s.longest_gap)
		s.longest_gap = since;
	return s;
}

void flow_mark(struct flow *f)
{
	f->sent = f->arrived = f->gap = 0;
	f->mark = f->sequence;
	f->began = f->last = sim_now(f->w->net);
}

uint64_t flow_silent(const struct flow *f)
{
	return sim_now(f->w->net) - (f->last > f->began ? f->last : f->began);
}

/* A packet has one author: of a flow, for this member, from one that he knows as a member, and the
 * first of its number. */
void flow_arrived(struct member *m, const uint8_t *b, size_t len)
{
	struct world *w = m->machine->w;
	size_t headers = headers_of(b);
	uint64_t now = sim_now(w->net), sequence;
	struct flow *f;

	if (len < headers + FLOW_HEADER || b[b[0] >> 4 == 4 ? 9 : 6] != 17 ||
	    load_u16be(b + headers - 6) != FLOW_PORT) {
		w->stray++;
		return;
	}
	assert(load_u32(b + headers) < w->flow_count);
	f = w->flows[load_u32(b + headers)];
	sequence = load_u64(b + headers + 4);
	assert(f->to == m && len == f->len);
	/* Whose removal this member has heard of is not heard any more. */
	assert(!f->from->revoked_since || m->revision < f->from->revoked_since);
	assert(!m->revoked_since || m->revision < m->revoked_since);
	assert(!f->from->stranger && !m->stranger);
	assert(sequence < f->sequence && !(f->seen[sequence / 8] & 1 << sequence % 8));
	f->seen[sequence / 8] |= (uint8_t)(1 << sequence % 8);
	for (size_t i = headers + FLOW_HEADER; i < len; i++)
		assert(b[i] == (uint8_t)(sequence + i));
	m->delivered++;
	f->arrived += sequence >= f->mark;
	if (f->first == UINT64_MAX)
		f->first = now - f->began;
	else if (now - f->last > f->gap)
		f->gap = now - f->last;
	f->last = now;
}
