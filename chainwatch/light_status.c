#include "chainwatch/light.h"

#include "os/base.h"
#include "os/clock.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <string.h>

enum { SHOWN_MAX = 32 };

static json_t *peer_json(const struct p2p_peer *p)
{
	const struct light_peer *lp = p->user;

	return json_pack("{s:s, s:s, s:I, s:b, s:b, s:I, s:I, s:f}", "peer", p->name, "agent",
			 p->agent, "version", (json_int_t)p->version, "filters",
			 p2p_peer_has_filters(p), "synced", lp->synced, "height",
			 (json_int_t)lp->best, "since", (json_int_t)p->connected_s, "rtt_ms",
			 (double)p->rtt_ns / NS_PER_MS);
}

static json_t *peers_json(struct light *l)
{
	json_t *list = json_array();

	for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p))
		json_array_append_new(list, peer_json(p));
	return list;
}

static json_t *events_json(struct light *l)
{
	json_t *list = json_array();
	const struct p2p_event *e;

	for (size_t i = 0; (e = p2p_net_event_at(l->net, i)); i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:b}", "peer", e->name,
						      "what", e->what, "time",
						      (json_int_t)e->time_s, "banned", e->banned));
	return list;
}

static json_t *bans_json(struct light *l)
{
	const struct peerbook *book = p2p_net_book(l->net);
	const struct peerbook_ban *ban;
	uint64_t now_s = clock_wall_s();
	json_t *list = json_array();

	for (size_t i = 0; (ban = peerbook_ban_at(book, i)) && json_array_size(list) < SHOWN_MAX;
	     i++)
		if (ban->until_s > now_s)
			json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "peer",
							      ban->name, "reason", ban->reason,
							      "since", (json_int_t)ban->since_s,
							      "until", (json_int_t)ban->until_s));
	return list;
}

static json_t *follows_json(const struct light *l)
{
	char text[OBJECT_ID_TEXT_SIZE];
	json_t *list = json_array();

	for (size_t i = 0; i < l->config.follow_count; i++) {
		object_id_format(l->follows[i].kind, &l->follows[i].object, text);
		json_array_append_new(list, json_pack("{s:s, s:I}", "id", text, "height",
						      (json_int_t)l->follows[i].height));
	}
	return list;
}

static json_t *counters_json(const struct light *l, const struct p2p_counts *net)
{
	const struct light_counts *c = &l->counts;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "filters", (json_int_t)c->filters, "matches", (json_int_t)c->matches,
			 "blocks", (json_int_t)c->blocks, "passed", (json_int_t)c->passed,
			 "disputes", (json_int_t)c->disputes, "undecided", (json_int_t)c->undecided,
			 "transactions", (json_int_t)c->transactions, "forged",
			 (json_int_t)c->forged, "dials", (json_int_t)net->dials, "lies",
			 (json_int_t)net->lies, "stalls", (json_int_t)net->stalls, "lost",
			 (json_int_t)net->lost, "bytes", (json_int_t)net->bytes_in);
}

json_t *light_status(struct source *source)
{
	struct light *l = (struct light *)source;
	struct headers_block tip = {.time = 0};
	uint64_t now_s = clock_wall_s();
	struct p2p_counts counts;
	json_t *status;

	p2p_net_count(l->net, &counts);
	headers_at(l->headers, headers_height(l->headers), &tip);
	status = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "headers",
			   (json_int_t)headers_height(l->headers), "tip_age",
			   (json_int_t)(now_s > tip.time ? now_s - tip.time : 0), "ready",
			   (json_int_t)counts.ready, "with_filters", (json_int_t)counts.filters,
			   "scripts", (json_int_t)l->script_count, "known_tried",
			   (json_int_t)counts.book.tried, "known_new",
			   (json_int_t)counts.book.fresh);
	json_object_set_new(status, "peers", peers_json(l));
	json_object_set_new(status, "left", events_json(l));
	json_object_set_new(status, "bans", bans_json(l));
	json_object_set_new(status, "follow", follows_json(l));
	json_object_set_new(status, "counters", counters_json(l, &counts));
	return status;
}
