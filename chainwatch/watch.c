#include "chainwatch/watch.h"

#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/loop.h"
#include "wire/hex.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	STEP_MS = 200,	   /* of blocks in one step: so long a stop or a submit may wait */
	HINT_MS = 20,	   /* steps that ZMQ asks for are at least so far apart */
	BACK_OFF_MS = 250, /* after the first failure, doubling… */
	BACK_OFF_MAX_MS = 5000,
	BUSY_SHARE = 4, /* a poll that took long comes again after so many times its length */
};

static void start_step(struct watch *w);

static void run_submits(struct watch *w)
{
	struct watch_submit *submit;

	TAILQ_FOREACH(submit, &w->running, next)
	{
		submit->result = chain_submit(w->chain, submit->raw, submit->len, &submit->txid,
					      submit->error);
	}
}

/* In the worker thread. */
static void on_work(uv_work_t *work)
{
	struct watch *w = work->data;

	if (w->running_follows)
		chain_follow(w->chain, w->told, w->told_count);
	run_submits(w);
	chain_step(w->chain, STEP_MS, &w->running_report);
	w->running_source_status = chain_source_status(w->chain);
}

static void answer_submits(struct watch *w)
{
	struct watch_submit *submit;
	char txid[HASH_TEXT_SIZE];

	while ((submit = TAILQ_FIRST(&w->running))) {
		TAILQ_REMOVE(&w->running, submit, next);
		w->submit_count--;
		hash_format(&submit->txid, txid);
		if (submit->result)
			ctl_reply_error(submit->request, CTL_EFAILED, NULL, "%s", submit->error);
		else
			ctl_reply(submit->request, json_pack("{s:s}", "txid", txid));
		free(submit->raw);
		free(submit);
	}
}

/* What is wrong, "" when it is over; who subscribes later is told, too. */
static void publish_trouble(struct watch *w, const struct chain_report *before)
{
	if (strcmp(w->report.error, before->error) != 0)
		ctl_publish(w->ctl, "trouble", json_pack("{s:s}", "text", w->report.error));
}

static void publish(struct watch *w)
{
	const struct chain_report *r = &w->report;
	const char *reason = r->reorg ? "reorg" : r->blocks ? "block" : "mempool";
	char hash[HASH_TEXT_SIZE];

	if (!r->has_tip || (!r->blocks && !r->reorg && !r->mempool))
		return;
	hash_format(&r->tip.hash, hash);
	ctl_publish(w->ctl, "height",
		    json_pack("{s:I, s:s, s:s}", "height", (json_int_t)r->tip.height, "hash", hash,
			      "reason", reason));
}

/* One line when something changes; the rest is in `status`. */
static void log_report(struct watch *w, const struct chain_report *before)
{
	const struct chain_report *r = &w->report;

	if (r->error[0] && strcmp(r->error, before->error) != 0) {
		if (r->state == CHAIN_STOPPED)
			log_error("%s", r->error);
		else
			log_warn("%s", r->error);
	}
	if (!r->error[0] && before->error[0])
		log_notice("the chain node answers again");
	if (r->state == CHAIN_FOLLOWING && before->state != CHAIN_FOLLOWING)
		log_notice("at the tip: height %u", r->tip.height);
	if (r->blocks)
		log_debug("height %u", r->tip.height);
}

static uint64_t poll_ms(const struct watch *w)
{
	uint64_t took_ms = w->step_ns / NS_PER_MS;
	uint64_t wished = w->feed && feed_tells_transactions(w->feed) ? w->config->poll_zmq_ms
								      : w->config->poll_ms;

	return MAX(wished, BUSY_SHARE * took_ms);
}

static void plan_next(struct watch *w)
{
	if (w->report.error[0]) {
		w->back_off_ms =
			w->back_off_ms ? MIN(2 * w->back_off_ms, BACK_OFF_MAX_MS) : BACK_OFF_MS;
		loop_timer_start(w->timer, w->back_off_ms);
		w->again = false;
		return;
	}
	w->back_off_ms = 0;
	if (w->report.more)
		loop_timer_start(w->timer, 0);
	else if (w->again)
		loop_timer_start(w->timer, HINT_MS);
	else
		loop_timer_start(w->timer, poll_ms(w));
	w->again = false;
}

static void on_work_done(uv_work_t *work, int status)
{
	struct watch *w = work->data;
	struct chain_report before = w->report;

	w->busy = false;
	w->step_ns = clock_monotonic_ns() - w->started_ns;
	w->report = w->running_report;
	json_decref(w->source_status);
	w->source_status = steal(w->running_source_status);
	answer_submits(w);
	if (atomic_load(&w->stop))
		return;
	if (w->report.error[0]) {
		snprintf(w->last_error, sizeof(w->last_error), "%s", w->report.error);
		w->last_error_s = clock_wall_s();
	}
	log_report(w, &before);
	publish_trouble(w, &before);
	publish(w);
	if (TAILQ_EMPTY(&w->submits))
		plan_next(w);
	else
		start_step(w);
}

static void start_step(struct watch *w)
{
	assert(!w->busy);
	loop_timer_stop(w->timer);
	w->busy = true;
	w->running_follows = w->follows_new;
	if (w->follows_new) {
		w->told_count = w->light->follow_count;
		memcpy(w->told, w->light->follows, w->told_count * sizeof(*w->told));
		w->follows_new = false;
	}
	w->started_ns = clock_monotonic_ns();
	TAILQ_CONCAT(&w->running, &w->submits, next);
	uv_queue_work(loop_uv(w->loop), &w->work, on_work, on_work_done);
}

static void on_timer(void *arg)
{
	struct watch *w = arg;

	if (!w->busy && !atomic_load(&w->stop))
		start_step(w);
}

void watch_look(void *arg)
{
	struct watch *w = arg;
	uint64_t since_ms;

	if (atomic_load(&w->stop))
		return;
	if (w->busy) {
		w->again = true;
		return;
	}
	/* hints do not shorten the wait after a failure */
	if (w->back_off_ms)
		return;
	since_ms = (clock_monotonic_ns() - w->started_ns) / NS_PER_MS;
	if (since_ms >= HINT_MS || !TAILQ_EMPTY(&w->submits))
		start_step(w);
	else
		loop_timer_start(w->timer, HINT_MS - since_ms);
}

void watch_init(struct watch *w, const struct chainwatch_config *config, struct loop *loop,
		struct chain *chain)
{
	w->config = config;
	w->loop = loop;
	w->chain = chain;
	w->work.data = w;
	TAILQ_INIT(&w->submits);
	TAILQ_INIT(&w->running);
	w->timer = loop_timer_new(loop, on_timer, w);
	loop_timer_start(w->timer, 0);
}

void watch_done(struct watch *w)
{
	atomic_store(&w->stop, true);
	while (w->busy)
		loop_step(w->loop, true);
	TAILQ_CONCAT(&w->running, &w->submits, next);
	for (struct watch_submit *s = TAILQ_FIRST(&w->running); s; s = TAILQ_NEXT(s, next)) {
		s->result = -ECANCELED;
		snprintf(s->error, sizeof(s->error), "chainwatch is stopping");
	}
	answer_submits(w);
	feed_free(w->feed);
	loop_timer_free(w->timer);
	ctl_server_free(w->ctl);
	json_decref(w->source_status);
	chain_free(w->chain);
}
