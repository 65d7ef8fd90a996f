#include "core/hub.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tenant {
	struct netmap *netmap;		   /* owned */
	const struct netmap_helper *grant; /* in netmap */
	uint64_t change;
};

struct hub {
	enum realm_kind kind;
	struct object_id id;
	struct tenant *tenants; /* owned; sorted by the dnet's id */
	size_t count, size;
	uint64_t change; /* the last one given */
};

struct hub *hub_new(enum realm_kind kind, const struct object_id *id)
{
	struct hub *hub = calloc(1, sizeof(*hub));

	assert(kind == REALM_OVC || kind == REALM_OVR);
	if (!hub)
		return NULL;
	hub->kind = kind;
	hub->id = *id;
	return hub;
}

void hub_free(struct hub *hub)
{
	if (!hub)
		return;
	for (size_t i = 0; i < hub->count; i++)
		netmap_free(hub->tenants[i].netmap);
	free(hub->tenants);
	free(hub);
}

/* Where dnet stands, or would have to. */
static size_t tenant_position(const struct hub *hub, const struct object_id *dnet, bool *ret_found)
{
	size_t low = 0, high = hub->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = memcmp(hub->tenants[mid].netmap->id.bytes, dnet->bytes, OBJECT_ID_LEN);

		if (order == 0) {
			*ret_found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_found = false;
	return low;
}

static struct tenant *tenant_find(const struct hub *hub, const struct object_id *dnet)
{
	bool found;
	size_t at = tenant_position(hub, dnet, &found);

	return found ? &hub->tenants[at] : NULL;
}

/* RECORDS 5.4 is netmap_build()'s: a helper that stands there is linked and granted. */
static const struct netmap_helper *own_row(const struct hub *hub, const struct netmap *netmap)
{
	if (!netmap->exists)
		return NULL;
	for (size_t i = 0; i < netmap->helper_count; i++) {
		const struct netmap_helper *helper = &netmap->helpers[i];

		if (helper->kind == hub->kind && object_id_equal(&helper->id, &hub->id))
			return helper;
	}
	return NULL;
}

/* new NULL: all of old go. */
static void tell_removed(const struct netmap *old, const struct netmap *new, hub_removed *removed,
			 void *ctx)
{
	for (size_t i = 0; removed && i < old->node_count; i++)
		if (!new || !netmap_find_node(new, &old->nodes[i].key))
			removed(ctx, &old->id, &old->nodes[i].key);
}

int hub_set_netmap(struct hub *hub, struct netmap *netmap, hub_removed *removed, void *ctx)
{
	const struct netmap_helper *grant = own_row(hub, netmap);
	bool found;
	size_t at = tenant_position(hub, &netmap->id, &found);
	struct netmap *old = NULL;

	if (!grant) {
		hub_drop_dnet(hub, &netmap->id, removed, ctx);
		netmap_free(netmap);
		return 0;
	}
	if (!found && hub->count == hub->size) {
		size_t size = hub->size ? hub->size * 2 : 8;
		struct tenant *more = reallocarray(hub->tenants, size, sizeof(*more));

		if (!more)
			return -ENOMEM;
		hub->tenants = more;
		hub->size = size;
	}
	if (found) {
		old = hub->tenants[at].netmap;
	} else {
		memmove(hub->tenants + at + 1, hub->tenants + at,
			(hub->count - at) * sizeof(*hub->tenants));
		hub->count++;
	}
	hub->tenants[at] = (struct tenant){netmap, grant, ++hub->change};
	if (old)
		tell_removed(old, netmap, removed, ctx);
	netmap_free(old);
	return 0;
}

void hub_drop_dnet(struct hub *hub, const struct object_id *dnet, hub_removed *removed, void *ctx)
{
	bool found;
	size_t at = tenant_position(hub, dnet, &found);
	struct netmap *old;

	if (!found)
		return;
	old = hub->tenants[at].netmap;
	hub->count--;
	memmove(hub->tenants + at, hub->tenants + at + 1,
		(hub->count - at) * sizeof(*hub->tenants));
	tell_removed(old, NULL, removed, ctx);
	netmap_free(old);
}

bool hub_is_member(const struct hub *hub, const struct object_id *dnet, const struct node_key *key)
{
	const struct tenant *tenant = tenant_find(hub, dnet);

	return tenant && netmap_find_node(tenant->netmap, key);
}

const struct netmap_helper *hub_grant(const struct hub *hub, const struct object_id *dnet)
{
	const struct tenant *tenant = tenant_find(hub, dnet);

	return tenant ? tenant->grant : NULL;
}

size_t hub_count(const struct hub *hub)
{
	return hub->count;
}

const struct netmap *hub_netmap(const struct hub *hub, size_t i)
{
	assert(i < hub->count);
	return hub->tenants[i].netmap;
}

uint64_t hub_change(const struct hub *hub, const struct object_id *dnet)
{
	const struct tenant *tenant = tenant_find(hub, dnet);

	return tenant ? tenant->change : 0;
}
