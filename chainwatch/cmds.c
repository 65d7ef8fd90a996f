#include "chainwatch/watch.h"

#include "os/base.h"
#include "wire/hex.h"

#include <string.h>

static json_t *mempool_json(const struct chain_report *r)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "size", (json_int_t)r->pool.size, "watched",
			 (json_int_t)r->pool.watched, "pending", (json_int_t)r->counts.pending,
			 "left_out", (json_int_t)r->pool.left_out);
}

static json_t *counters_json(const struct chain_report *r)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "blocks",
			 (json_int_t)r->blocks_read, "bytes", (json_int_t)r->bytes_read, "reorgs",
			 (json_int_t)r->reorgs, "blocks_undone", (json_int_t)r->blocks_undone,
			 "records", (json_int_t)r->counts.records, "refused",
			 (json_int_t)r->counts.refused, "revocations",
			 (json_int_t)r->counts.revocations, "requests", (json_int_t)r->requests,
			 "failures", (json_int_t)r->failures);
}

static json_t *feed_json(const struct watch *w)
{
	struct feed_counts counts;

	if (!w->feed)
		return json_null();
	feed_count(w->feed, &counts);
	return json_pack("{s:I, s:I, s:I, s:b}", "messages", (json_int_t)counts.messages, "lost",
			 (json_int_t)counts.lost, "odd", (json_int_t)counts.odd, "transactions",
			 feed_tells_transactions(w->feed));
}

static json_t *error_json(const struct watch *w)
{
	if (!w->last_error[0])
		return json_null();
	return json_pack("{s:s, s:I}", "text", w->last_error, "time", (json_int_t)w->last_error_s);
}

static json_t *how_json(const char *how)
{
	return how[0] ? json_string(how) : json_null();
}

/* The sources in the order of the list. */
static json_t *sources_json(const struct watch *w)
{
	const struct chain_report *r = &w->report;
	json_t *list = json_array();

	if (r->parts_count == 0)
		json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "url",
						      w->config->sources.urls[0].shown, "state",
						      "in use", "fetch", how_json(r->how)));
	for (size_t i = 0; i < r->parts_count; i++) {
		const struct source_part *part = &r->parts[i];
		json_t *item =
			json_pack("{s:s, s:s, s:s, s:b, s:b, s:o}", "url", part->shown, "state",
				  part->state, "why", part->why, "syncing", part->syncing, "pruned",
				  part->pruned, "fetch", how_json(part->how));

		if (part->height)
			json_object_set_new(item, "height", json_integer(part->height));
		json_array_append_new(list, item);
	}
	return list;
}

static const char *source_shown(const struct watch *w)
{
	for (size_t i = 0; i < w->report.parts_count; i++)
		if (w->report.parts[i].in_use)
			return w->report.parts[i].shown;
	return w->config->sources.urls[0].shown;
}

/* Part of the way from the birth height to the node's tip. */
static double progress(const struct watch *w)
{
	const struct chain_report *r = &w->report;
	double first = (double)w->config->birth_height - 1;

	if (!r->has_tip || r->source_height == 0)
		return 0.0;
	if (r->tip.height >= r->source_height)
		return 1.0;
	return (r->tip.height - first) / (r->source_height - first);
}

static void cmd_status(struct ctl_request *request, json_t *params, void *arg)
{
	const struct watch *w = arg;
	const struct chain_report *r = &w->report;
	char hash[HASH_TEXT_SIZE] = "";
	json_t *status;

	if (r->has_tip)
		hash_format(&r->tip.hash, hash);
	status = json_pack("{s:s, s:s, s:s, s:s, s:s}", "state", chain_state_name(r->state),
			   "chain", w->config->chain, "source", source_shown(w), "db",
			   w->config->db, "trouble", source_trouble_name(r->trouble));
	json_object_set_new(status, "error", r->error[0] ? json_string(r->error) : json_null());
	json_object_set_new(status, "sources", sources_json(w));
	json_object_set_new(status, "doing", r->doing[0] ? json_string(r->doing) : json_null());
	json_object_set_new(status, "height",
			    r->has_tip ? json_integer(r->tip.height) : json_null());
	json_object_set_new(status, "hash", r->has_tip ? json_string(hash) : json_null());
	json_object_set_new(status, "time", r->has_tip ? json_integer(r->tip.time) : json_null());
	json_object_set_new(status, "node_height",
			    r->source_height ? json_integer(r->source_height) : json_null());
	json_object_set_new(status, "imported",
			    r->imported ? json_integer(r->imported) : json_null());
	json_object_set_new(status, "progress", json_real(progress(w)));
	json_object_set_new(status, "mempool", mempool_json(r));
	json_object_set_new(status, "counters", counters_json(r));
	json_object_set_new(status, "live",
			    json_pack("{s:I, s:I, s:I}", "objects", (json_int_t)r->live.objects,
				      "seals", (json_int_t)r->live.seals, "rows",
				      (json_int_t)r->live.rows));
	json_object_set_new(status, "zmq", feed_json(w));
	json_object_set_new(status, "last_error", error_json(w));
	json_object_set_new(status, "light",
			    w->source_status ? json_deep_copy(w->source_status) : json_null());
	ctl_reply(request, status);
}

static void cmd_submit(struct ctl_request *request, json_t *params, void *arg)
{
	struct watch *w = arg;
	const char *hex = ctl_param_string(params, "tx");
	size_t len = hex ? strlen(hex) / 2 : 0;
	struct watch_submit *submit;

	if (!hex || len == 0 || len > WATCH_SUBMIT_BYTES_MAX) {
		ctl_reply_error(request, CTL_EPARAMS, "give the signed transaction in hexadecimal",
				"tx is missing, empty or longer than %d bytes",
				WATCH_SUBMIT_BYTES_MAX);
		return;
	}
	if (w->submit_count >= WATCH_SUBMITS_MAX) {
		ctl_reply_error(request, CTL_EBUSY, "try again", "%d transactions are waiting",
				WATCH_SUBMITS_MAX);
		return;
	}
	submit = xcalloc(1, sizeof(*submit));
	submit->raw = xmalloc(len);
	submit->len = len;
	submit->request = request;
	if (!hex_parse(hex, submit->raw, len)) {
		free(submit->raw);
		free(submit);
		ctl_reply_error(request, CTL_EPARAMS, NULL, "tx is not hexadecimal");
		return;
	}
	TAILQ_INSERT_TAIL(&w->submits, submit, next);
	w->submit_count++;
	watch_look(w);
}

/* Numbers and names: a height that a link carries, an id that a person has. */
static void cmd_follow(struct ctl_request *request, json_t *params, void *arg)
{
	struct watch *w = arg;
	const char *id = ctl_param_string(params, "id");
	const json_t *height = json_object_get(params, "height");
	_cleanup_(freep) char *text = NULL;
	struct light_follow follow;
	const char *wrong;
	bool is_new = false;
	int result;

	if (!id || !json_is_integer(height)) {
		ctl_reply_error(request, CTL_EPARAMS, NULL,
				"give id, and height: that of the block that made it");
		return;
	}
	text = xasprintf("%s@%lld", id, (long long)json_integer_value(height));
	wrong = light_follow_parse(text, &follow);
	if (wrong) {
		ctl_reply_error(request, CTL_EPARAMS, NULL, "%s", wrong);
		return;
	}
	if (!w->light) {
		/* who reads everything follows everything */
		ctl_reply(request, json_pack("{s:b}", "new", false));
		return;
	}
	if (follow.height < (uint32_t)w->config->birth_height) {
		ctl_reply_error(request, CTL_EPARAMS, "check the height, or lower birth-height",
				"block %u is before birth-height %u, where this chain.db begins",
				follow.height, (unsigned)w->config->birth_height);
		return;
	}
	result = light_settings_follow(w->light, &follow, w->config->daemon.state_folder, &is_new);
	if (result) {
		ctl_reply_error(request, CTL_EFAILED,
				result == -ENOSPC ? "remove lines of `follow` from the state folder"
						  : "see to the disk of the state folder",
				"it cannot be followed: %s", strerror(-result));
		return;
	}
	w->follows_new |= is_new;
	ctl_reply(request, json_pack("{s:b}", "new", is_new));
	if (is_new)
		watch_look(w);
}

const struct ctl_command watch_commands[] = {
	{"status", NULL, "what is followed, how far, and what is wrong", CTL_READ, cmd_status},
	{"follow", "ID HEIGHT", "reads the block that made it, and what concerns it from there on",
	 CTL_WRITE, cmd_follow},
	{"submit", "TX", "hands a signed transaction to the chain node", CTL_WRITE, cmd_submit},
};
const size_t watch_commands_count = ARRAY_SIZE(watch_commands);
const char *const watch_topics[] = {"height", "trouble", NULL};
