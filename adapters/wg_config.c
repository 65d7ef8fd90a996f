#include "adapters/wg_config.h"

#include "adapters/adapter.h"
#include "os/base.h"

#include <string.h>

void wg_config_done(struct wg_config *config)
{
	free(config->peers);
	secret_wipe(config, sizeof(*config));
}

void wg_config_add(struct wg_config *config, const struct wg_peer *peer)
{
	if (config->peer_count == config->room) {
		config->room = MAX(2 * config->room, (size_t)16);
		config->peers = xrealloc(config->peers, config->room * sizeof(*config->peers));
	}
	config->peers[config->peer_count++] = *peer;
}

static int compare_keys(const void *a, const void *b)
{
	const struct wg_peer *x = a, *y = b;
	return memcmp(x->key, y->key, WG_KEY_LEN); /* public */
}

void wg_config_sort(struct wg_config *config)
{
	if (config->peer_count > 0)
		qsort(config->peers, config->peer_count, sizeof(*config->peers), compare_keys);
}

void wg_config_copy(struct wg_config *dst, const struct wg_config *src)
{
	*dst = *src;
	dst->room = src->peer_count;
	dst->peers = NULL;
	if (src->peer_count == 0)
		return;
	dst->peers = xmalloc(src->peer_count * sizeof(*src->peers));
	memcpy(dst->peers, src->peers, src->peer_count * sizeof(*src->peers));
}

struct wg_peer *wg_config_find(const struct wg_config *config, const uint8_t key[WG_KEY_LEN])
{
	struct wg_peer wanted;
	memcpy(wanted.key, key, WG_KEY_LEN);
	if (config->peer_count == 0)
		return NULL;
	return bsearch(&wanted, config->peers, config->peer_count, sizeof(*config->peers),
		       compare_keys);
}

static void allow(struct wg_peer *peer, const struct address *address)
{
	if (address->family == ADDR_NONE)
		return;
	peer->allowed[peer->allowed_count].addr = *address;
	peer->allowed[peer->allowed_count++].bits = (uint8_t)address_bits(address);
}

bool wg_peer_of(const struct adapter_peer *member, struct wg_peer *ret_peer)
{
	static const uint8_t none[WG_KEY_LEN];
	if (!member->key || member->key_len != WG_KEY_LEN ||
	    memcmp(member->key, none, WG_KEY_LEN) == 0)
		return false;
	memset(ret_peer, 0, sizeof(*ret_peer));
	memcpy(ret_peer->key, member->key, WG_KEY_LEN);
	allow(ret_peer, &member->node->ipv6);
	allow(ret_peer, &member->node->ipv4);
	allow(ret_peer, &member->node->extra_ipv6);
	return true;
}

/* ---- Difference ---- */

static bool allows(const struct wg_peer *peer, const struct prefix *prefix)
{
	for (size_t i = 0; i < peer->allowed_count; i++) {
		if (prefix_equal(&peer->allowed[i], prefix))
			return true;
	}
	return false;
}

/* As sets: a device has an order of its own. */
static bool same_allowed(const struct wg_peer *a, const struct wg_peer *b)
{
	if (a->allowed_count != b->allowed_count || a->allowed_count > WG_ALLOWED_MAX)
		return false;
	for (size_t i = 0; i < a->allowed_count; i++) {
		if (!allows(b, &a->allowed[i]))
			return false;
	}
	return true;
}

static bool differs(const struct wg_peer *have, const struct wg_peer *want,
		    struct wg_change *ret_change)
{
	static const struct wg_peer nothing;
	const struct wg_peer *h = have ? have : &nothing;
	*ret_change = (struct wg_change){
		.peer = want,
		.add = !have,
		.allowed = !same_allowed(h, want),
		.keepalive = h->keepalive_s != want->keepalive_s,
		.endpoint = want->endpoint.addr.family != ADDR_NONE &&
			    !endpoint_equal(&h->endpoint, &want->endpoint),
	};
	return ret_change->add || ret_change->allowed || ret_change->keepalive ||
	       ret_change->endpoint;
}

size_t wg_config_diff(const struct wg_config *have, const struct wg_config *want,
		      wg_visit_change *visit, void *ctx)
{
	size_t count = 0;
	for (size_t i = 0; i < have->peer_count; i++) {
		struct wg_change change = {.remove = true, .peer = &have->peers[i]};
		if (wg_config_find(want, have->peers[i].key))
			continue;
		count++;
		if (visit)
			visit(ctx, &change);
	}
	for (size_t i = 0; i < want->peer_count; i++) {
		const struct wg_peer *peer = &want->peers[i];
		struct wg_change change;
		if (!differs(wg_config_find(have, peer->key), peer, &change))
			continue;
		count++;
		if (visit)
			visit(ctx, &change);
	}
	return count;
}
