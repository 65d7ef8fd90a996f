#include "node/ping.h"

#include "core/error.h"
#include "core/mesh.h"
#include "node/overlay.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/ctl.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <assert.h>
#include <stdio.h>

struct ping {
	TAILQ_ENTRY(ping) entry;
	struct pings *pings;
	const struct overlay *overlay; /* borrowed */
	struct ctl_request *request;   /* NULL: answered already, the mesh may still call back */
	struct node_key key;
	char name[33];
};

struct pings {
	TAILQ_HEAD(, ping) list;
	unsigned count;
};

struct pings *pings_new(void)
{
	struct pings *p = xcalloc(1, sizeof(*p));
	TAILQ_INIT(&p->list);
	return p;
}

void pings_free(struct pings *p)
{
	if (!p)
		return;
	assert(TAILQ_EMPTY(&p->list));
	free(p);
}

static void drop(struct ping *ping)
{
	TAILQ_REMOVE(&ping->pings->list, ping, entry);
	ping->pings->count--;
	free(ping);
}

static void answer(struct ping *ping, const struct mesh_pong *pong)
{
	char hex[2 * PUBKEY_LEN + 1], endpoint[ENDPOINT_TEXT_MAX], relay[OBJECT_ID_TEXT_SIZE];
	bool relayed = pong->via.lane != 0;
	hex_format(ping->key.bytes, PUBKEY_LEN, hex);
	object_id_format(OBJECT_OVR, &pong->relay, relay);
	json_t *result =
		json_pack("{s:s, s:s, s:f, s:s, s:s, s:o}", "node",
			  ping->name[0] ? ping->name : hex, "key", hex, "rtt_ms",
			  (double)pong->rtt_ns / NS_PER_MS, "path", relayed ? "relay" : "direct",
			  "endpoint", endpoint_format(&pong->via.endpoint, endpoint), "relay",
			  relayed ? json_string(relay) : json_null());
	ctl_reply(ping->request, result);
}

static void on_pong(void *ctx, const struct mesh_pong *pong)
{
	struct ping *ping = ctx;
	if (pong->found && ping->request)
		answer(ping, pong);
	else if (ping->request)
		ctl_reply_error(ping->request, CTL_ETIMEOUT, "dnet peers shows its state",
				"no answer: %s", pong->reason);
	drop(ping);
}

void pings_begin(struct pings *p, struct overlay *o, const struct netmap_node *node,
		 uint64_t timeout_ms, struct ctl_request *request)
{
	struct mesh *mesh = o->mesh;
	if (!mesh) {
		ctl_reply_error(request, CTL_ECONFLICT, "dnet status says why",
				"this dnet is not up");
		return;
	}
	if (p->count == PINGS_MAX) {
		ctl_reply_error(request, CTL_EBUSY, "try again later", "%d pings are under way",
				PINGS_MAX);
		return;
	}
	struct ping *ping = xcalloc(1, sizeof(*ping));
	ping->pings = p;
	ping->overlay = o;
	ping->request = request;
	ping->key = node->key;
	snprintf(ping->name, sizeof(ping->name), "%s", node->name);
	TAILQ_INSERT_TAIL(&p->list, ping, entry);
	p->count++;
	uint64_t now = clock_boottime_ns();
	int r = mesh_ping(mesh, &ping->key, now, now + timeout_ms * NS_PER_MS, on_pong, ping);
	if (r < 0) {
		ctl_reply_error(request, CTL_EFAILED, NULL, "cannot ping: %s", error_text(r));
		drop(ping);
	}
}

void pings_abort(struct pings *p, const struct overlay *o)
{
	struct ping *ping;
	TAILQ_FOREACH(ping, &p->list, entry)
	{
		if (ping->overlay != o || !ping->request)
			continue;
		ctl_reply_error(ping->request, CTL_EFAILED, NULL,
				"the dnet was left or taken down");
		ping->request = NULL;
	}
}

void pings_forget(struct pings *p, const struct overlay *o)
{
	struct ping *ping, *next;
	TAILQ_FOREACH_SAFE(ping, &p->list, entry, next)
	{
		if (ping->overlay == o && !ping->request)
			drop(ping);
	}
}
