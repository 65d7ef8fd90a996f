#include "chainwatch/source_switch.h"

#include "core/chainparams.h"
#include "core/error.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "wire/hex.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*	A member that follows (not bulk):
 *
 *	UNKNOWN ──► IN USE ──► FAILED ──► IN USE       when none before it in the list works
 *	                        (also: still reading its own chain, or left behind by another)
 *	               ▲          │ answers, and is not behind the one in use
 *	               └─ READY ◄─┘                    READY for return_ms: it is asked again
 *
 *	A bulk member is asked from far behind until the reader stands at its tip: DONE, for good.
 *	Or it fails: the others go on from where it was.
 *
 * Which one is asked changes at tip() only, which begins each step of the reader, or after a
 * failure, which ends the step: within a step all answers are of one source. */

enum {
	RETRY_MS = 250, /* after the first failure, doubling… */
	RETRY_MAX_MS = 5000,
	INFO_MS = 30000,
	PROBE_MS = 2000,  /* between looks at those that are better and not in use */
	LOST_MS = 300000, /* after one at those behind it, if nobody answers there */
	BULK_MIN = 500,	  /* blocks behind that make block files worth their index */
	BEHIND_MAX = 10,  /* blocks that one may be behind another and still be preferred */
	RETURN_FACTOR_MAX = 64,
};

enum member_state {
	MEMBER_UNKNOWN,
	MEMBER_READY,
	MEMBER_IN_USE,
	MEMBER_FAILED,
	MEMBER_DONE,
};

struct member {
	struct source *source; /* owned */
	const char *shown;     /* borrowed */
	enum member_state state;
	bool network_ok;    /* its genesis was compared since it last failed */
	unsigned failures;  /* in a row */
	int result;	    /* of the last failure */
	uint64_t retry_ns;  /* not before */
	uint64_t ready_ns;  /* READY since */
	uint64_t in_use_ns; /* IN_USE since */
	uint64_t ahead_ns;  /* it is looked at whether it is far ahead of the one in use */
	uint64_t factor;    /* of return_ms: doubles when it fails soon after it was taken back */
	uint32_t height;
	bool has_height;
	bool syncing; /* it says that it is still reading its own chain */
	bool pruned;
	uint8_t work[HASH_LEN]; /* of its chain when it was last looked at; zeros: not known */
	uint64_t probe_ns;	/* syncing and pruned are asked anew */
	enum source_trouble trouble;
	char error[400];
};

struct source_switch {
	struct source source; /* first: the vtable */
	struct chainparams params;
	uint64_t return_ms;
	uint64_t (*now)(void);
	struct member members[SOURCE_PARTS_MAX];
	size_t count;
	size_t current; /* index */
	unsigned turn;
	uint64_t probe_ns; /* next */
	bool has_tip;	   /* of the reader */
	struct hash256 tip;
	uint32_t height;
	int result; /* 0, or of the last call, with error and trouble of the switch itself */
	enum source_trouble trouble;
	char error[512];
	char why[200];
};

static const char *state_name(enum member_state state)
{
	switch (state) {
	case MEMBER_UNKNOWN:
		return "not asked";
	case MEMBER_READY:
		return "ready";
	case MEMBER_IN_USE:
		return "in use";
	case MEMBER_FAILED:
		return "failed";
	case MEMBER_DONE:
		return "read";
	}
	return "?";
}

static struct source *current(struct source_switch *s)
{
	return s->members[s->current].source;
}

static void note_failure(struct source_switch *s, struct member *m, int result,
			 enum source_trouble trouble, const char *text)
{
	uint64_t now = s->now(), wait_ms = RETRY_MAX_MS;

	if (m->failures < 5)
		wait_ms = MIN((uint64_t)RETRY_MS << m->failures, RETRY_MAX_MS);
	if (m->state == MEMBER_IN_USE && s->turn > 1 && m->factor < RETURN_FACTOR_MAX &&
	    now - m->in_use_ns < 10 * m->factor * s->return_ms * NS_PER_MS)
		m->factor *= 2;
	m->state = MEMBER_FAILED;
	m->failures++;
	m->network_ok = false;
	m->result = result;
	m->trouble = trouble;
	m->retry_ns = now + wait_ms * NS_PER_MS;
	snprintf(m->error, sizeof(m->error), "%s", text);
}

static void note_source_failure(struct source_switch *s, struct member *m, int result)
{
	note_failure(s, m, result, m->source->ops->trouble(m->source),
		     m->source->ops->error(m->source));
}

/* False: it is of another network, or does not say. */
static bool check_network(struct source_switch *s, struct member *m)
{
	char theirs[HASH_TEXT_SIZE], text[300];
	struct hash256 genesis;
	int result;

	if (m->network_ok)
		return true;
	result = m->source->ops->genesis(m->source, &genesis);
	if (result) {
		note_source_failure(s, m, result);
		return false;
	}
	if (memcmp(&genesis, &s->params.genesis, sizeof(genesis)) != 0) {
		hash_format(&genesis, theirs);
		snprintf(text, sizeof(text),
			 "the chain node is on another network: its genesis block is %.16s…, not "
			 "that of %s",
			 theirs, s->params.name);
		note_failure(s, m, -DNET_ENETWORK, SOURCE_ERROR, text);
		return false;
	}
	m->network_ok = true;
	return true;
}

static void use(struct source_switch *s, size_t index, const char *why)
{
	struct member *m = &s->members[index], *before = &s->members[s->current];
	bool other = index != s->current || s->turn == 0;

	if (before != m && before->state == MEMBER_IN_USE)
		before->state = MEMBER_READY;
	if (other || m->state != MEMBER_IN_USE)
		m->in_use_ns = s->now();
	m->state = MEMBER_IN_USE;
	s->current = index;
	if (!other)
		return;
	s->turn++;
	snprintf(s->why, sizeof(s->why), "%s", why);
	log_notice("source: %s is asked: %s", m->shown, why);
}

/* ------------------------------------------------------------------ who is asked */

/* The first that may be tried now; count: none. */
static size_t first_usable(const struct source_switch *s, bool bulk)
{
	uint64_t now = s->now();
	size_t i;

	for (i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];

		if (m->source->ops->bulk == bulk && m->state != MEMBER_DONE &&
		    (m->state != MEMBER_FAILED || now >= m->retry_ns))
			break;
	}
	return i;
}

/* 0, or what its probe() returned. */
static int look_at(struct member *m)
{
	struct source_probe probe;
	int result = m->source->ops->probe(m->source, &probe);

	if (result)
		return result;
	m->has_height = true;
	m->height = probe.height;
	m->syncing = probe.syncing;
	m->pruned = probe.pruned;
	memcpy(m->work, probe.work, sizeof(m->work));
	return 0;
}

/* Looks at those before the one in use; one that has answered well for long takes its place. */
static void look_back(struct source_switch *s)
{
	const struct member *now_used = &s->members[s->current];
	uint64_t now = s->now();

	if (now_used->state != MEMBER_IN_USE || now_used->source->ops->bulk || now < s->probe_ns)
		return;
	s->probe_ns = now + PROBE_MS * NS_PER_MS;
	if (s->return_ms < PROBE_MS)
		s->probe_ns = now + s->return_ms * NS_PER_MS / 4;
	for (size_t i = 0; i < s->current; i++) {
		struct member *m = &s->members[i];
		int result;

		if (!m->source->ops->probe || m->source->ops->bulk)
			continue;
		result = look_at(m);
		if (result) {
			note_source_failure(s, m, result);
			continue;
		}
		/* one that is behind would only make the reader wait; its chain is judged by its
		 * work when it is asked */
		if (!check_network(s, m) || m->height < s->height ||
		    (m->syncing && !now_used->syncing)) {
			m->ready_ns = 0;
			if (m->network_ok)
				note_failure(s, m, -EAGAIN, SOURCE_WARMUP,
					     m->height < s->height
						     ? "it is behind the one in use"
						     : "it is still reading its own chain");
			continue;
		}
		if (m->state != MEMBER_READY) {
			m->state = MEMBER_READY;
			m->ready_ns = now;
		}
		if (now - m->ready_ns >= m->factor * s->return_ms * NS_PER_MS) {
			m->failures = 0;
			use(s, i, "it is before the others in the list, and answers again");
			return;
		}
	}
}

/* It has come so much further than the one in use that waiting for that one would be wrong. */
static bool is_far_ahead(const struct member *m, const struct member *used)
{
	bool far = m->height > used->height && m->height - used->height > BEHIND_MAX;

	return memcmp(m->work, used->work, sizeof(m->work)) > 0 &&
	       (far || (used->syncing && !m->syncing));
}

/* Looks at the others, less often than at those that are better: one that is in sync takes the
 * place of one that is still reading its own chain, or was left behind. True: another is in use. */
static bool look_ahead(struct source_switch *s)
{
	struct member *used = &s->members[s->current];
	uint64_t now = s->now();
	char why[sizeof(s->why)];

	if (used->source->ops->bulk || !used->source->ops->probe)
		return false;
	for (size_t i = 0; i < s->count; i++) {
		struct member *m = &s->members[i];

		if (m == used || m->source->ops->bulk || !m->source->ops->probe ||
		    now < m->ahead_ns || (m->state == MEMBER_FAILED && now < m->retry_ns))
			continue;
		m->ahead_ns = now + (used->syncing ? PROBE_MS : INFO_MS) * NS_PER_MS;
		if (look_at(m)) {
			m->ahead_ns = now + LOST_MS * NS_PER_MS;
			continue;
		}
		/* what is known of the one in use may be older */
		if (!is_far_ahead(m, used) || look_at(used) || !is_far_ahead(m, used) ||
		    !check_network(s, m))
			continue;
		snprintf(why, sizeof(why), "%.60s is %s, at height %u", used->shown,
			 used->syncing ? "still reading its own chain" : "behind", used->height);
		note_failure(s, used, -EAGAIN, SOURCE_WARMUP,
			     used->syncing ? "it is still reading its own chain"
					   : "it is behind another one");
		use(s, i, why);
		return true;
	}
	return false;
}

/* All have failed: what the first of them says, and that the others are no better. */
static int fail_all(struct source_switch *s)
{
	const struct member *first = NULL;
	size_t failed = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];

		failed += m->state == MEMBER_FAILED;
		if (m->state == MEMBER_FAILED &&
		    (!first || (first->source->ops->bulk && !m->source->ops->bulk)))
			first = m;
	}
	if (!first) { /* only block files, and they are read */
		s->trouble = SOURCE_ERROR;
		snprintf(s->error, sizeof(s->error), "no source is left");
		return s->result = -ENODATA;
	}
	s->trouble = first->trouble;
	if (failed > 1)
		snprintf(s->error, sizeof(s->error),
			 "none of %zu sources can be used; %.100s: %.300s", failed, first->shown,
			 first->error);
	else
		snprintf(s->error, sizeof(s->error), "%s", first->error);
	return s->result = first->result;
}

/* The reader is so far behind that member that block files are worth their index. */
static bool is_far(const struct source_switch *s, const struct member *m)
{
	return m->has_height && m->height > s->height && m->height - s->height > BULK_MIN;
}

/* tip() of one, with what is known of it afterwards. */
static int ask_tip(struct source_switch *s, struct member *m, struct hash256 *ret_hash)
{
	struct source_header header = {.height = 0};
	struct hash256 hash;
	int result;

	if (!check_network(s, m))
		return m->result;
	if (m->source->ops->probe && s->now() >= m->probe_ns) {
		look_at(m);
		m->probe_ns = s->now() + (m->syncing ? PROBE_MS : INFO_MS) * NS_PER_MS;
	}
	result = m->source->ops->tip(m->source, &hash);
	if (!result && !(s->has_tip && memcmp(&hash, &s->tip, sizeof(hash)) == 0)) {
		result = m->source->ops->header(m->source, &hash, &header);
		if (result == -ENOENT) /* it moved meanwhile */
			return -EINPROGRESS;
		if (!result) {
			m->height = header.height;
			m->has_height = true;
		}
	} else if (!result) {
		m->height = s->height;
		m->has_height = true;
	}
	if (result && result != -EINPROGRESS)
		note_source_failure(s, m, result);
	if (!result) {
		m->failures = 0;
		*ret_hash = hash;
	}
	return result;
}

/* Block files: until the reader stands where they end. */
static bool bulk_is_read(const struct source_switch *s, const struct hash256 *tip)
{
	return s->has_tip && memcmp(tip, &s->tip, sizeof(*tip)) == 0;
}

static void end_bulk(struct source_switch *s, struct member *m)
{
	log_notice("source: %s is read, up to height %u", m->shown, s->height);
	m->state = MEMBER_DONE;
	if (m->source->ops->rest)
		m->source->ops->rest(m->source);
}

static int switch_tip(struct source *source, struct hash256 *ret_hash)
{
	struct source_switch *s = (struct source_switch *)source;
	char why[sizeof(s->why)] = "it is the first to be asked";
	bool only_bulk = true;
	int result;

	s->result = 0;
	for (size_t i = 0; i < s->count; i++)
		only_bulk &= s->members[i].source->ops->bulk;
	look_back(s);
	for (size_t tries = 0; tries < 3 * s->count; tries++) {
		struct member *m = &s->members[s->current];
		size_t next = s->current;

		if (s->turn == 0 || m->state != MEMBER_IN_USE) {
			if (s->turn > 0)
				snprintf(why, sizeof(why), "%.60s %s%.100s", m->shown,
					 m->state == MEMBER_DONE ? "is read" : "failed: ",
					 m->state == MEMBER_DONE ? "" : m->error);
			next = first_usable(s, false);
			if (next == s->count)
				next = first_usable(s, true);
			if (next == s->count)
				return fail_all(s);
			m = &s->members[next];
		}
		result = ask_tip(s, m, ret_hash);
		if (result == -EINPROGRESS) {
			use(s, next, why);
			return result;
		}
		if (result)
			continue;
		use(s, next, why);
		if (m->source->ops->bulk && !only_bulk && bulk_is_read(s, ret_hash)) {
			end_bulk(s, m);
			continue;
		}
		if (look_ahead(s))
			continue;
		next = first_usable(s, true);
		if (!m->source->ops->bulk && next < s->count && is_far(s, m)) {
			snprintf(why, sizeof(why), "%u blocks are to be read",
				 m->height - s->height);
			use(s, next, why);
			continue;
		}
		return 0;
	}
	return fail_all(s);
}

/* ------------------------------------------------------------------ the rest of the vtable */

/* After a call within a step: a failure ends the step, and the next one may ask another. */
static int done(struct source_switch *s, int result)
{
	struct member *m = &s->members[s->current];
	bool another;

	s->result = 0;
	/* 1: the reader has had enough; -ENOENT is an answer; the rest is of the reader's making */
	if (result >= 0 || result == -ENOENT || result == -EINPROGRESS ||
	    m->source->ops->trouble(m->source) == SOURCE_FINE)
		return result;
	note_source_failure(s, m, result);
	another = first_usable(s, false) < s->count || first_usable(s, true) < s->count;
	s->trouble = m->trouble;
	snprintf(s->error, sizeof(s->error), "%s", m->error);
	s->result = another ? -EINPROGRESS : result;
	return s->result;
}

static int switch_genesis(struct source *source, struct hash256 *ret_hash)
{
	/* each is compared before it is asked for anything */
	*ret_hash = ((struct source_switch *)source)->params.genesis;
	return 0;
}

static int switch_header(struct source *source, const struct hash256 *hash,
			 struct source_header *ret_header)
{
	struct source_switch *s = (struct source_switch *)source;

	return done(s, current(s)->ops->header(current(s), hash, ret_header));
}

static int switch_hashes(struct source *source, uint32_t height, size_t count,
			 struct hash256 *ret_hashes, size_t *ret_count)
{
	struct source_switch *s = (struct source_switch *)source;

	return done(s, current(s)->ops->hashes(current(s), height, count, ret_hashes, ret_count));
}

static int switch_blocks(struct source *source, const struct hash256 *hashes, size_t count,
			 source_bytes_cb cb, void *arg)
{
	struct source_switch *s = (struct source_switch *)source;

	return done(s, current(s)->ops->blocks(current(s), hashes, count, cb, arg));
}

static int switch_mempool(struct source *source, struct hash256 **ret_txids, size_t *ret_count)
{
	struct source_switch *s = (struct source_switch *)source;

	return done(s, current(s)->ops->mempool(current(s), ret_txids, ret_count));
}

static int switch_transactions(struct source *source, const struct hash256 *txids, size_t count,
			       source_bytes_cb cb, void *arg)
{
	struct source_switch *s = (struct source_switch *)source;

	return done(s, current(s)->ops->transactions(current(s), txids, count, cb, arg));
}

/* What a node refuses is not sent by another one behind its back; one that is away sends nothing.
 */
static int switch_submit(struct source *source, const uint8_t *raw, size_t len,
			 struct hash256 *ret_txid)
{
	struct source_switch *s = (struct source_switch *)source;
	int result = -ENOTSUP;

	s->result = 0;
	for (size_t n = 0; n <= s->count; n++) {
		struct member *m = &s->members[n ? n - 1 : s->current];

		if (m->source->ops->bulk || (n && m->state == MEMBER_FAILED))
			continue;
		result = m->source->ops->submit(m->source, raw, len, ret_txid);
		if (!result)
			return 0;
		s->trouble = m->source->ops->trouble(m->source);
		snprintf(s->error, sizeof(s->error), "%s", m->source->ops->error(m->source));
		s->result = result;
		if (s->trouble == SOURCE_ERROR)
			return result;
	}
	if (result == -ENOTSUP) {
		s->trouble = SOURCE_ERROR;
		snprintf(s->error, sizeof(s->error), "no source that sends transactions answers");
		s->result = result;
	}
	return result;
}

static enum source_trouble switch_trouble(const struct source *source)
{
	const struct source_switch *s = (const struct source_switch *)source;
	const struct source *m = s->members[s->current].source;

	return s->result ? s->trouble : m->ops->trouble(m);
}

static const char *switch_error(const struct source *source)
{
	const struct source_switch *s = (const struct source_switch *)source;
	const struct source *m = s->members[s->current].source;

	return s->result ? s->error : m->ops->error(m);
}

static const char *switch_doing(const struct source *source)
{
	const struct source_switch *s = (const struct source_switch *)source;
	const struct source *m = s->members[s->current].source;

	return m->ops->doing ? m->ops->doing(m) : "";
}

static uint64_t switch_requests(const struct source *source)
{
	const struct source_switch *s = (const struct source_switch *)source;
	uint64_t sum = 0;

	for (size_t i = 0; i < s->count; i++)
		sum += s->members[i].source->ops->requests(s->members[i].source);
	return sum;
}

static void switch_stands(struct source *source, const struct hash256 *tip, uint32_t height)
{
	struct source_switch *s = (struct source_switch *)source;

	s->has_tip = tip != NULL;
	if (tip)
		s->tip = *tip;
	s->height = height;
}

static bool switch_reject(struct source *source, int result, const char *text)
{
	struct source_switch *s = (struct source_switch *)source;
	struct member *m = &s->members[s->current];

	/* block files that lead nowhere will not lead somewhere later */
	if (m->source->ops->bulk)
		end_bulk(s, m);
	else if (m->state == MEMBER_IN_USE)
		note_failure(s, m, result, SOURCE_ERROR, text);
	return first_usable(s, false) < s->count || first_usable(s, true) < s->count;
}

static const char *switch_who(const struct source *source)
{
	const struct source_switch *s = (const struct source_switch *)source;

	return s->members[s->current].shown;
}

static size_t switch_parts(const struct source *source,
			   struct source_part ret_parts[SOURCE_PARTS_MAX])
{
	const struct source_switch *s = (const struct source_switch *)source;

	for (size_t i = 0; i < s->count; i++) {
		const struct member *m = &s->members[i];
		bool failed = m->state == MEMBER_FAILED;

		ret_parts[i] = (struct source_part){.state = state_name(m->state),
						    .in_use = m->state == MEMBER_IN_USE,
						    .syncing = m->syncing,
						    .pruned = m->pruned,
						    .height = m->has_height ? m->height : 0};
		snprintf(ret_parts[i].shown, sizeof(ret_parts[i].shown), "%s", m->shown);
		snprintf(ret_parts[i].why, sizeof(ret_parts[i].why), "%s",
			 failed			     ? m->error
			 : m->state == MEMBER_IN_USE ? s->why
						     : "");
		snprintf(ret_parts[i].how, sizeof(ret_parts[i].how), "%s",
			 m->source->ops->how ? m->source->ops->how(m->source) : "");
	}
	return s->count;
}

static void switch_free(struct source *source)
{
	struct source_switch *s = (struct source_switch *)source;

	for (size_t i = 0; i < s->count; i++)
		s->members[i].source->ops->free(s->members[i].source);
	free(s);
}

static const struct source_ops switch_ops = {
	.name = "switch",
	.genesis = switch_genesis,
	.tip = switch_tip,
	.header = switch_header,
	.hashes = switch_hashes,
	.blocks = switch_blocks,
	.mempool = switch_mempool,
	.transactions = switch_transactions,
	.submit = switch_submit,
	.trouble = switch_trouble,
	.error = switch_error,
	.doing = switch_doing,
	.requests = switch_requests,
	.stands = switch_stands,
	.reject = switch_reject,
	.who = switch_who,
	.parts = switch_parts,
	.free = switch_free,
};

int source_switch_new(const struct switch_config *config, struct source **ret_source)
{
	struct source_switch *s = calloc(1, sizeof(*s));

	assert(config->count > 0 && config->count <= SOURCE_PARTS_MAX);
	if (!s)
		return -ENOMEM;
	s->source.ops = &switch_ops;
	s->params = *config->params;
	s->return_ms = config->return_ms;
	s->now = config->now ? config->now : clock_monotonic_ns;
	s->count = config->count;
	for (size_t i = 0; i < config->count; i++)
		s->members[i] = (struct member){.source = config->members[i].source,
						.shown = config->members[i].shown,
						.factor = 1};
	*ret_source = &s->source;
	return 0;
}
