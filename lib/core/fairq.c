#include "core/fairq.h"

#include "wire/buf.h"
#include "wire/ip.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>
#include <sys/queue.h>

/* Memory is a ring in order of arrival, as is that of the entries: what was popped out of turn is
 * free when all older ones are. When nothing waits both begin anew, so that a queue that is emptied
 * each time stays within the few lines of cache that it needs.
 *
 * A flow is idle, or in one of two lists (RFC 8290, 4.2): of new flows, which just began to send,
 * or of old ones. It leaves the old ones when it has nothing to send and its turn comes. */

enum { FLOWS = 1024, FRAGMENTS = 64, ALIGN = 64, NONE = FAIRQ_PACKETS };
enum { ECN_BITS = 3, ECN_NOT_ECT = 0, ECN_CE = 3 };

struct entry {
	struct packet packet;
	void *owner;
	uint64_t came;
	size_t start;  /* of its bytes in the memory */
	uint16_t next; /* of the same flow; NONE: it is the last */
	uint16_t flow;
	bool gone; /* its bytes are free as soon as it is the oldest */
};

struct flow {
	STAILQ_ENTRY(flow) entry;
	int32_t deficit;
	uint16_t first, last; /* of its entries; NONE: it has nothing to send */
	bool listed, is_new;
	/* CoDel, with the names of RFC 8289, appendix A */
	bool dropping;
	uint32_t count, last_count;
	uint64_t first_above, drop_next;
};

/* The flow of the last first fragment between two addresses. */
struct fragment {
	uint64_t addresses; /* a hash */
	uint16_t flow;
};

STAILQ_HEAD(flow_list, flow);

struct fairq {
	size_t size;
	size_t head;		      /* where the next packet goes */
	unsigned oldest, entry_count; /* of the ring of entries */
	uint64_t seed;
	struct flow_list new_flows, old_flows;
	struct fairq_stats stats;
	struct fragment fragments[FRAGMENTS];
	struct flow flows[FLOWS];
	struct entry entries[FAIRQ_PACKETS];
	uint8_t bytes[];
};

size_t fairq_size(size_t bytes)
{
	return sizeof(struct fairq) + bytes;
}

struct fairq *fairq_init(void *memory, size_t bytes, uint64_t seed)
{
	struct fairq *q = memory;

	assert(bytes >= FAIRQ_BYTES_MIN);
	memset(q, 0, sizeof(*q));
	q->size = bytes;
	q->seed = seed;
	STAILQ_INIT(&q->new_flows);
	STAILQ_INIT(&q->old_flows);
	for (size_t i = 0; i < FLOWS; i++)
		q->flows[i].first = q->flows[i].last = NONE;
	return q;
}

const struct fairq_stats *fairq_stats(const struct fairq *q)
{
	return &q->stats;
}

/* ---- Whose is it? ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

/* Datagrams of a flow stay in order where some of them are fragments: those without ports go with
 * the last first one between the same addresses. What is malformed is a flow, too. */
static uint16_t flow_of(struct fairq *q, const struct packet *packet, const void *owner)
{
	uint64_t hash = mix(q->seed, (uintptr_t)owner), addresses, words[5];
	struct fragment *fragment;
	struct ip_flow flow;
	struct ip_view ip;

	static_assert(sizeof(words) == sizeof(flow) && offsetof(struct ip_flow, src_port) == 32,
		      "addresses come first, and no byte is left out");
	if (ip_parse(packet->data, packet->len, &ip) != IP_OK)
		return hash % FLOWS;
	ip_flow_of(&ip, &flow);
	memcpy(words, &flow, sizeof(words));
	for (size_t i = 0; i < 4; i++)
		hash = mix(hash, words[i]);
	addresses = hash;
	fragment = &q->fragments[addresses % FRAGMENTS];
	if (ip.fragment == IP_FRAGMENT_LATER && fragment->addresses == addresses)
		return fragment->flow;
	hash = mix(hash, words[4]);
	if (ip.fragment == IP_FRAGMENT_FIRST)
		*fragment = (struct fragment){addresses, hash % FLOWS};
	return hash % FLOWS;
}

/* ---- Memory ---- */

static struct entry *oldest_entry(struct fairq *q)
{
	return &q->entries[q->oldest];
}

static void reclaim(struct fairq *q)
{
	while (q->entry_count && oldest_entry(q)->gone) {
		q->oldest = (q->oldest + 1) % FAIRQ_PACKETS;
		q->entry_count--;
	}
	if (q->entry_count)
		return;
	q->oldest = 0;
	q->head = 0;
}

/* One byte at least stays free between the newest and the oldest. */
static bool find_room(struct fairq *q)
{
	size_t tail = q->entry_count ? oldest_entry(q)->start : 0;

	if (q->entry_count == FAIRQ_PACKETS)
		return false;
	if (q->entry_count && q->head <= tail)
		return tail - q->head > FAIRQ_ROOM;
	if (q->size - q->head >= FAIRQ_ROOM)
		return true;
	if (tail <= FAIRQ_ROOM)
		return false;
	q->head = 0;
	return true;
}

/* Of a flow that has one. */
static struct entry *flow_shift(struct fairq *q, struct flow *f)
{
	struct entry *e = &q->entries[f->first];

	f->first = e->next;
	if (f->first == NONE)
		f->last = NONE;
	e->gone = true;
	q->stats.packets--;
	return e;
}

uint8_t *fairq_room(struct fairq *q)
{
	for (reclaim(q); !find_room(q); reclaim(q)) {
		struct flow *f = &q->flows[oldest_entry(q)->flow];

		assert(&q->entries[f->first] == oldest_entry(q));
		flow_shift(q, f);
		q->stats.overflowed++;
	}
	return q->bytes + q->head;
}

static void append(struct fairq *q, struct flow *f, uint16_t index)
{
	if (f->last == NONE)
		f->first = index;
	else
		q->entries[f->last].next = index;
	f->last = index;
	if (f->listed)
		return;
	f->listed = f->is_new = true;
	f->deficit = FAIRQ_QUANTUM;
	STAILQ_INSERT_TAIL(&q->new_flows, f, entry);
}

void fairq_push(struct fairq *q, const struct packet *packet, void *owner, uint64_t now)
{
	uint16_t index = (uint16_t)((q->oldest + q->entry_count) % FAIRQ_PACKETS);
	size_t end = (size_t)(packet->data - q->bytes) + packet->len;
	struct entry *e = &q->entries[index];

	assert(packet->data >= q->bytes + q->head && end <= q->head + FAIRQ_ROOM);
	*e = (struct entry){.packet = *packet,
			    .owner = owner,
			    .came = now,
			    .start = q->head,
			    .next = NONE,
			    .flow = flow_of(q, packet, owner)};
	q->head = (end + ALIGN - 1) / ALIGN * ALIGN;
	q->entry_count++;
	q->stats.packets++;
	append(q, &q->flows[e->flow], index);
}

/* ---- CoDel ---- */

/* RFC 3168, 5 and 23.1: of a flow that does ECN, the mark takes the place of a loss. */
static bool mark(const struct packet *packet)
{
	uint8_t *ip = packet->data;
	uint16_t before = load_u16be(ip), after;
	bool v4 = ip[0] >> 4 == 4;
	unsigned shift = v4 ? 0 : 4;

	if ((!v4 && ip[0] >> 4 != 6) || packet->len < (v4 ? IPV4_HEADER_MIN : IPV6_HEADER_LEN) ||
	    (before >> shift & ECN_BITS) == ECN_NOT_ECT)
		return false;
	after = (uint16_t)(before | ECN_CE << shift);
	store_u16be(ip, after);
	if (v4)
		store_u16be(ip + 10, checksum_update(load_u16be(ip + 10), before, after));
	return true;
}

static uint64_t square_root(uint64_t n)
{
	uint64_t root = n, next = (n + 1) / 2;

	while (next < root) {
		root = next;
		next = (root + n / root) / 2;
	}
	return root;
}

/* The interval divided by the square root of count. */
static uint64_t control_law(uint64_t at, uint32_t count)
{
	return at + square_root(FAIRQ_INTERVAL_NS * FAIRQ_INTERVAL_NS / count);
}

/* Has all that was sent for an interval waited for longer than the target? The last packet of a
 * flow is nobody's obstacle. */
static bool ok_to_drop(struct flow *f, const struct entry *e, uint64_t now)
{
	if (now - e->came < FAIRQ_TARGET_NS || f->first == NONE) {
		f->first_above = 0;
		return false;
	}
	if (!f->first_above) {
		f->first_above = now + FAIRQ_INTERVAL_NS;
		return false;
	}
	return now >= f->first_above;
}

/* Marks e, or takes the next one in its place. */
static struct entry *mark_or_drop(struct fairq *q, struct flow *f, struct entry *e)
{
	if (mark(&e->packet)) {
		q->stats.marked++;
		return e;
	}
	q->stats.dropped++;
	return flow_shift(q, f);
}

static void start_dropping(struct flow *f, uint64_t now)
{
	uint32_t delta = f->count - f->last_count;

	f->dropping = true;
	/* RFC 8289, 5.4: when it was left only a moment ago, the rate that helped then is where to
	 * begin. */
	f->count = delta > 1 && now < f->drop_next + 16 * FAIRQ_INTERVAL_NS ? delta : 1;
	f->last_count = f->count;
	f->drop_next = control_law(now, f->count);
}

/* The first packet of a flow that has one, or one behind it. */
static struct entry *codel_shift(struct fairq *q, struct flow *f, uint64_t now)
{
	struct entry *e = flow_shift(q, f);
	bool drop = ok_to_drop(f, e, now);

	if (!f->dropping && drop) {
		e = mark_or_drop(q, f, e);
		ok_to_drop(f, e, now);
		start_dropping(f, now);
		return e;
	}
	while (f->dropping && drop && now >= f->drop_next) {
		struct entry *next = mark_or_drop(q, f, e);

		f->count++;
		f->drop_next = control_law(f->drop_next, f->count);
		if (next == e)
			return e;
		e = next;
		drop = ok_to_drop(f, e, now);
	}
	f->dropping = f->dropping && drop;
	return e;
}

/* ---- Turns ---- */

static void leave_list(struct fairq *q, struct flow *f)
{
	if (f->is_new)
		STAILQ_REMOVE_HEAD(&q->new_flows, entry);
	else
		STAILQ_REMOVE_HEAD(&q->old_flows, entry);
}

static void become_last(struct fairq *q, struct flow *f)
{
	leave_list(q, f);
	f->is_new = false;
	STAILQ_INSERT_TAIL(&q->old_flows, f, entry);
}

/* RFC 8290, 4.2: a new flow without packets becomes an old one first, or it would be new with each
 * packet and always before the others. */
static void pass(struct fairq *q, struct flow *f)
{
	if (f->is_new && !STAILQ_EMPTY(&q->old_flows)) {
		become_last(q, f);
		return;
	}
	leave_list(q, f);
	f->listed = f->dropping = false;
	f->first_above = 0;
}

bool fairq_pop(struct fairq *q, uint64_t now, struct packet *ret_packet, void **ret_owner)
{
	struct flow *f;
	struct entry *e;

	for (;;) {
		f = STAILQ_FIRST(&q->new_flows);
		if (!f)
			f = STAILQ_FIRST(&q->old_flows);
		if (!f)
			return false;
		if (f->first == NONE) {
			pass(q, f);
		} else if (f->deficit <= 0) {
			f->deficit += FAIRQ_QUANTUM;
			become_last(q, f);
		} else {
			break;
		}
	}
	e = codel_shift(q, f, now);
	f->deficit -= (int32_t)e->packet.len;
	*ret_packet = e->packet;
	*ret_owner = e->owner;
	return true;
}

void fairq_forget(struct fairq *q, const void *owner)
{
	for (size_t i = 0; i < FLOWS; i++) {
		struct flow *f = &q->flows[i];
		uint16_t at = f->first, next;

		f->first = f->last = NONE;
		for (; at != NONE; at = next) {
			struct entry *e = &q->entries[at];

			next = e->next;
			e->next = NONE;
			if (e->owner != owner) {
				append(q, f, at);
				continue;
			}
			e->gone = true;
			q->stats.packets--;
		}
	}
}
