#include "core/timers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* PROTOCOL 6, RETRY: an unanswered initiation is made anew. */
static uint64_t rule_try(const struct timers *t)
{
	return t->trying ? t->try_at : TIMERS_NEVER;
}

/* PROTOCOL 6, GIVE_UP. A persistent peer is given up once and tried on. */
static uint64_t rule_give_up(const struct timers *t)
{
	if (!t->trying || t->began == TIMERS_NEVER || (t->persistent && t->gave_up))
		return TIMERS_NEVER;
	return t->began + TIMERS_GIVE_UP;
}

/* PROTOCOL 6, KEEPALIVE: data was received and nothing sent. */
static uint64_t rule_keepalive(const struct timers *t)
{
	return t->has_current ? t->keepalive_at : TIMERS_NEVER;
}

/* PROTOCOL 6, REKEY_AFTER: the initiator, when it sends or receives after this. */
static uint64_t rule_rekey(const struct timers *t)
{
	uint64_t at = t->current_since + TIMERS_REKEY_AFTER;

	if (t->trying || !t->has_current || !t->current_ours)
		return TIMERS_NEVER;
	if (t->persistent)
		return at;
	return t->any_traffic && t->traffic >= at ? at : TIMERS_NEVER;
}

/* PROTOCOL 6, UNANSWERED: the other side may have forgotten the session. */
static uint64_t rule_unanswered(const struct timers *t)
{
	return t->trying || !t->has_current ? TIMERS_NEVER : t->answer_by;
}

static uint64_t rule_persistent(const struct timers *t)
{
	return t->persistent && !t->trying && !t->has_current ? 0 : TIMERS_NEVER;
}

/* PROTOCOL 6, REJECT_AFTER. */
static uint64_t rule_expire(const struct timers *t)
{
	return t->has_session ? t->expire_at : TIMERS_NEVER;
}

/* PROTOCOL 6, GIVE_UP: nobody has to wait any more. */
static uint64_t rule_forget(const struct timers *t)
{
	return t->gave_up && !t->trying && !t->persistent ? t->gave_up_at + TIMERS_TRY_AGAIN
							  : TIMERS_NEVER;
}

static const struct {
	enum timers_action action;
	uint64_t (*deadline)(const struct timers *t);
} rules[] = {
	{TIMERS_ACTION_TRY, rule_try},
	{TIMERS_ACTION_GIVE_UP, rule_give_up},
	{TIMERS_ACTION_KEEPALIVE, rule_keepalive},
	{TIMERS_ACTION_CONNECT, rule_rekey},
	{TIMERS_ACTION_CONNECT, rule_unanswered},
	{TIMERS_ACTION_CONNECT, rule_persistent},
	{TIMERS_ACTION_EXPIRE, rule_expire},
	{TIMERS_ACTION_FORGET, rule_forget},
};

enum { RULES = sizeof(rules) / sizeof(rules[0]) };

void timers_init(struct timers *t)
{
	*t = (struct timers){.keepalive_at = TIMERS_NEVER, .answer_by = TIMERS_NEVER};
}

void timers_set_persistent(struct timers *t, bool on)
{
	t->persistent = on;
}

static void begin(struct timers *t, uint64_t at)
{
	t->trying = true;
	t->tries = 0;
	/* GIVE_UP counts from the first try, not from the wish. */
	t->began = TIMERS_NEVER;
	t->try_at = at;
	t->answer_by = TIMERS_NEVER;
}

void timers_connect(struct timers *t, uint64_t now)
{
	uint64_t at = now;

	if (t->trying)
		return;
	if (t->gave_up && !t->persistent && t->gave_up_at + TIMERS_TRY_AGAIN > now)
		at = t->gave_up_at + TIMERS_TRY_AGAIN;
	begin(t, at);
}

void timers_retry(struct timers *t, uint64_t now)
{
	uint64_t at = now;

	if (t->tries && t->last_try + TIMERS_RETRY_SPACING > now)
		at = t->last_try + TIMERS_RETRY_SPACING;
	/* GIVE_UP goes on counting: a peer that is only talked about is not there. */
	if (!t->trying || t->began == TIMERS_NEVER || now >= t->began + TIMERS_GIVE_UP) {
		begin(t, at);
		return;
	}
	t->tries = 1;
	t->try_at = min(t->try_at, at);
}

void timers_tried(struct timers *t, uint32_t jitter, uint64_t now)
{
	uint64_t wait = TIMERS_RETRY_MAX;

	assert(t->trying);
	if (t->tries < 5) /* 0.3, 0.6, 1.2, 2.4, 4.8 s */
		wait = TIMERS_RETRY_FIRST << t->tries;
	/* From 80 % to 120 %. */
	wait = wait / 10 * 8 + ((wait / 10 * 4 >> 16) * (jitter >> 16));
	t->tries++;
	if (t->began == TIMERS_NEVER)
		t->began = now;
	t->last_try = now;
	t->try_at = now + wait;
}

void timers_stop_trying(struct timers *t)
{
	t->trying = false;
	t->gave_up = false;
	t->tries = 0;
}

bool timers_silent(const struct timers *t)
{
	return !t->any_heard || t->heard < t->began;
}

void timers_gave_up(struct timers *t, uint64_t now)
{
	/* Somebody who is heard is not gone: the next packet may try again. */
	t->gave_up = timers_silent(t) || t->persistent;
	t->gave_up_at = now;
	if (!t->persistent)
		t->trying = false;
}

void timers_forget(struct timers *t)
{
	t->gave_up = false;
}

bool timers_idle(const struct timers *t)
{
	return !t->trying && !t->gave_up && !t->persistent && !t->has_session;
}

void timers_set_sessions(struct timers *t, bool any, uint64_t oldest, bool current, bool ours,
			 uint64_t since)
{
	t->has_session = any;
	t->expire_at = oldest + TIMERS_REJECT_AFTER;
	t->has_current = current;
	t->current_ours = ours;
	t->current_since = since;
	if (!current) {
		t->keepalive_at = TIMERS_NEVER;
		t->answer_by = TIMERS_NEVER;
	}
}

void timers_sent(struct timers *t, enum timers_content content, uint64_t now)
{
	uint64_t by = TIMERS_NEVER;

	t->any_traffic = true;
	t->traffic = now;
	t->keepalive_at = TIMERS_NEVER;
	switch (content) {
	case TIMERS_EMPTY:
	case TIMERS_FRAME:
		break;
	case TIMERS_ASK:
		by = now + TIMERS_UNANSWERED_ASK;
		break;
	case TIMERS_PACKET:
		by = now + TIMERS_UNANSWERED;
		break;
	}
	t->answer_by = min(t->answer_by, by);
}

void timers_received(struct timers *t, enum timers_content content, uint64_t now)
{
	t->any_traffic = true;
	t->traffic = now;
	timers_heard(t, now);
	if (content == TIMERS_PACKET && t->keepalive_at == TIMERS_NEVER)
		t->keepalive_at = now + TIMERS_KEEPALIVE;
}

void timers_heard(struct timers *t, uint64_t now)
{
	t->any_heard = true;
	t->heard = now;
	t->answer_by = TIMERS_NEVER;
}

uint64_t timers_deadline(const struct timers *t)
{
	uint64_t first = TIMERS_NEVER;

	for (unsigned i = 0; i < RULES; i++)
		first = min(first, rules[i].deadline(t));
	return first;
}

unsigned timers_due(const struct timers *t, uint64_t now)
{
	unsigned due = 0;

	for (unsigned i = 0; i < RULES; i++)
		if (rules[i].deadline(t) <= now)
			due |= rules[i].action;
	return due;
}

int timer_heap_reserve(struct timer_heap *heap, size_t count)
{
	size_t size = heap->size ? heap->size : 8;
	struct timer **more;

	if (count <= heap->size)
		return 0;
	while (size < count)
		size *= 2;
	more = reallocarray(heap->timers, size, sizeof(struct timer *));
	if (!more)
		return -ENOMEM;
	heap->timers = more;
	heap->size = size;
	return 0;
}

void timer_heap_done(struct timer_heap *heap)
{
	free(heap->timers);
	*heap = (struct timer_heap){0};
}

static void put(struct timer_heap *heap, size_t i, struct timer *timer)
{
	heap->timers[i] = timer;
	timer->position = i + 1;
}

static void sift_up(struct timer_heap *heap, size_t i, struct timer *timer)
{
	while (i > 0 && heap->timers[(i - 1) / 2]->deadline > timer->deadline) {
		put(heap, i, heap->timers[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(heap, i, timer);
}

static void sift_down(struct timer_heap *heap, size_t i, struct timer *timer)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < heap->count &&
		    heap->timers[child + 1]->deadline < heap->timers[child]->deadline)
			child++;
		if (child >= heap->count || heap->timers[child]->deadline >= timer->deadline)
			break;
		put(heap, i, heap->timers[child]);
		i = child;
	}
	put(heap, i, timer);
}

static void settle(struct timer_heap *heap, size_t i, struct timer *timer)
{
	if (i > 0 && heap->timers[(i - 1) / 2]->deadline > timer->deadline)
		sift_up(heap, i, timer);
	else
		sift_down(heap, i, timer);
}

void timer_heap_set(struct timer_heap *heap, struct timer *timer, uint64_t deadline)
{
	size_t i = timer->position - 1;

	timer->deadline = deadline;
	if (deadline == TIMERS_NEVER) {
		if (!timer->position)
			return;
		timer->position = 0;
		heap->count--;
		if (i < heap->count)
			settle(heap, i, heap->timers[heap->count]);
		return;
	}
	if (!timer->position) {
		assert(heap->count < heap->size);
		i = heap->count++;
	}
	settle(heap, i, timer);
}

struct timer *timer_heap_first(const struct timer_heap *heap)
{
	return heap->count ? heap->timers[0] : NULL;
}
