#ifndef CORE_TIMERS_H
#define CORE_TIMERS_H

/* When a peer has to do something (PROTOCOL 6): facts in, deadlines out. All rules stand in one
 * list. And the heap that says which peer is next. Times are ns of the engine's clock. */

#include "wire/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMERS_REKEY_AFTER    (120 * NS_PER_S)
#define TIMERS_REJECT_AFTER   (180 * NS_PER_S)
#define TIMERS_RETRY_FIRST    (300 * NS_PER_MS)
#define TIMERS_RETRY_MAX      (5 * NS_PER_S)
#define TIMERS_RETRY_SPACING  (50 * NS_PER_MS) /* timers_retry() */
#define TIMERS_GIVE_UP	      (20 * NS_PER_S)
#define TIMERS_TRY_AGAIN      (30 * NS_PER_S)
#define TIMERS_KEEPALIVE      (10 * NS_PER_S)
#define TIMERS_UNANSWERED     (15 * NS_PER_S) /* data */
#define TIMERS_UNANSWERED_ASK (5 * NS_PER_S)  /* a frame that is answered at once */
#define TIMERS_NEVER	      UINT64_MAX

/* What is due, as bits. */
enum timers_action {
	TIMERS_ACTION_TRY = 1,	     /* make and send an initiation, then timers_tried() */
	TIMERS_ACTION_GIVE_UP = 2,   /* then timers_gave_up() */
	TIMERS_ACTION_KEEPALIVE = 4, /* send an empty message, then timers_sent() */
	TIMERS_ACTION_CONNECT = 8,   /* timers_connect(): rekey, no answer, or persistent */
	/* wipe sessions that are REJECT_AFTER old, then timers_set_sessions() */
	TIMERS_ACTION_EXPIRE = 16,
	TIMERS_ACTION_FORGET = 32, /* timers_forget(): nobody has to wait any more to try again */
};

/* Zeroed memory is a fresh one, apart from the deadlines: timers_init(). */
struct timers {
	bool persistent;
	/* The handshake that we began. */
	bool trying;
	bool gave_up; /* the last thing it came to; with persistent it goes on */
	uint64_t began, last_try, try_at;
	unsigned tries;
	uint64_t gave_up_at;
	/* Sessions. */
	bool has_session;  /* any, also one that may not seal yet */
	bool has_current;  /* one that may seal */
	bool current_ours; /* ours to rekey */
	uint64_t current_since;
	uint64_t expire_at; /* of the oldest */
	/* Traffic. */
	uint64_t traffic; /* last data message, either way */
	bool any_traffic;
	uint64_t heard; /* last authenticated message */
	bool any_heard;
	uint64_t keepalive_at, answer_by; /* TIMERS_NEVER: not waiting */
};

/* What was sent or came in one data message. */
enum timers_content {
	TIMERS_EMPTY,  /* a keepalive */
	TIMERS_FRAME,  /* a frame that nobody answers, and all that are received */
	TIMERS_ASK,    /* a frame that is answered at once (PING, REGISTER, …) */
	TIMERS_PACKET, /* an IP packet */
};

void timers_init(struct timers *t);
void timers_set_persistent(struct timers *t, bool on);

/* A session is wanted, see peer_connect(). */
void timers_connect(struct timers *t, uint64_t now);
/* It is wanted now, see peer_reconnect(). */
void timers_retry(struct timers *t, uint64_t now);
/* An initiation was sent; jitter: 32 random bits. */
void timers_tried(struct timers *t, uint32_t jitter, uint64_t now);
/* The handshake is over: a session came of it, or of one that the other side began. */
void timers_stop_trying(struct timers *t);
void timers_gave_up(struct timers *t, uint64_t now);
void timers_forget(struct timers *t);
/* Nothing is under way and nothing is kept: a fresh one would do as well. */
bool timers_idle(const struct timers *t);
/* Whether GIVE_UP means that the other side is gone: nothing came since the handshake began. */
bool timers_silent(const struct timers *t);
/* Sessions came or went. oldest: when the oldest of them began; any: there is one; current: there
 * is one to seal with, which began at since. */
void timers_set_sessions(struct timers *t, bool any, uint64_t oldest, bool current, bool ours,
			 uint64_t since);
void timers_sent(struct timers *t, enum timers_content content, uint64_t now);
void timers_received(struct timers *t, enum timers_content content, uint64_t now);
/* A handshake message was authentic. */
void timers_heard(struct timers *t, uint64_t now);

/* The earliest time at which timers_due() is not 0; TIMERS_NEVER. */
uint64_t timers_deadline(const struct timers *t);
/* Bits of enum timers_action. */
unsigned timers_due(const struct timers *t, uint64_t now);

/* A binary heap of deadlines, each inside what it belongs to. */
struct timer {
	uint64_t deadline;
	size_t position; /* in the heap, plus 1; 0: not in it */
};

struct timer_heap {
	struct timer **timers; /* owned array, borrowed items */
	size_t count, size;
};

/* Room for count timers in all, so that timer_heap_set() never fails. 0 or -ENOMEM. */
int timer_heap_reserve(struct timer_heap *heap, size_t count);
void timer_heap_done(struct timer_heap *heap);
/* Puts it in, moves it, or with TIMERS_NEVER takes it out. */
void timer_heap_set(struct timer_heap *heap, struct timer *timer, uint64_t deadline);
/* The earliest; NULL: none. */
struct timer *timer_heap_first(const struct timer_heap *heap);

#endif
