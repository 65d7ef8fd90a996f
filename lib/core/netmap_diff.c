#include "core/netmap.h"

#include <string.h>

static const struct netmap nothing;

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool node_equal(const struct netmap_node *a, const struct netmap_node *b)
{
	return !strcmp(a->name, b->name) && address_equal(&a->ipv6, &b->ipv6) &&
	       address_equal(&a->ipv4, &b->ipv4) && address_equal(&a->extra_ipv6, &b->extra_ipv6) &&
	       a->flags == b->flags && text_equal(a->remark, b->remark);
}

static bool endpoint_record_equal(const struct record_endpoint *a, const struct record_endpoint *b)
{
	return a->transport == b->transport && a->port == b->port &&
	       address_equal(&a->address, &b->address) && !strcmp(a->host, b->host);
}

static bool helper_equal(const struct netmap_helper *a, const struct netmap_helper *b)
{
	if (!node_key_equal(&a->key, &b->key) || strcmp(a->name, b->name) ||
	    a->priority != b->priority || a->weight != b->weight ||
	    a->grant_expiry != b->grant_expiry || a->rate_kbit != b->rate_kbit ||
	    a->volume_mib != b->volume_mib || a->endpoint_count != b->endpoint_count)
		return false;
	for (size_t i = 0; i < a->endpoint_count; i++)
		if (!endpoint_record_equal(&a->endpoints[i], &b->endpoints[i]))
			return false;
	return true;
}

static bool dnet_equal(const struct netmap *a, const struct netmap *b)
{
	return a->exists == b->exists && !strcmp(a->name, b->name) &&
	       !memcmp(a->admin_key, b->admin_key, XONLY_LEN) &&
	       prefix_equal(&a->ipv4_prefix, &b->ipv4_prefix) && a->has_roster == b->has_roster &&
	       a->roster_sequence == b->roster_sequence &&
	       !memcmp(&a->roster_root, &b->roster_root, sizeof(a->roster_root));
}

static const struct netmap_helper *find_helper(const struct netmap *map,
					       const struct netmap_helper *like)
{
	for (size_t i = 0; i < map->helper_count; i++)
		if (map->helpers[i].kind == like->kind &&
		    object_id_equal(&map->helpers[i].id, &like->id))
			return &map->helpers[i];
	return NULL;
}

static void visit_removed(const struct netmap *old, const struct netmap *new, netmap_visit *visit,
			  void *ctx)
{
	size_t at = 0;

	for (size_t i = 0; i < old->node_count; i++)
		if (!netmap_next_node(new, &at, &old->nodes[i].key))
			visit(ctx, &(struct netmap_step){.kind = NODE_REMOVED,
							 .node_old = &old->nodes[i]});
	for (size_t i = 0; i < old->helper_count; i++)
		if (!find_helper(new, &old->helpers[i]))
			visit(ctx, &(struct netmap_step){.kind = HELPER_REMOVED,
							 .helper_old = &old->helpers[i]});
}

void netmap_diff(const struct netmap *old, const struct netmap *new, netmap_visit *visit, void *ctx)
{
	size_t at = 0;

	if (!old)
		old = &nothing;
	visit_removed(old, new, visit, ctx);
	if (!dnet_equal(old, new))
		visit(ctx, &(struct netmap_step){.kind = DNET_CHANGED});
	for (size_t i = 0; i < new->helper_count; i++) {
		struct netmap_step step = {.helper_new = &new->helpers[i],
					   .helper_old = find_helper(old, &new->helpers[i])};

		step.kind = step.helper_old ? HELPER_CHANGED : HELPER_ADDED;
		if (!step.helper_old || !helper_equal(step.helper_old, step.helper_new))
			visit(ctx, &step);
	}
	for (size_t i = 0; i < new->node_count; i++) {
		struct netmap_step step = {.node_new = &new->nodes[i],
					   .node_old =
						   netmap_next_node(old, &at, &new->nodes[i].key)};

		step.kind = step.node_old ? NODE_CHANGED : NODE_ADDED;
		if (!step.node_old || !node_equal(step.node_old, step.node_new))
			visit(ctx, &step);
	}
}
