#include "core/netmap.h"

#include "core/secret.h"
#include "wire/roster.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ROSTER 4: what the roster says joins what the records say. Both are sorted by key, so nodes are
 * merged in one pass; then names and addresses that several want go to one of them. */
struct merge {
	struct netmap *map;
	const struct netmap_input *in;
	const struct roster *roster;
	uint64_t now_s;
	struct node_key *revoked; /* sorted */
	size_t revoked_count;
	struct netmap_node *nodes;
	size_t node_count;
	uint16_t *memberships;
	size_t membership_count;
	struct acl_rule *rules;
	struct want *wants;
	size_t want_count;
	uint64_t next_expiry;
};

enum { ROLL_OVER_S = 86400 };

enum want_field { WANT_NAME, WANT_IPV4, WANT_IPV6, WANT_EXTRA_IPV6 };

struct want {
	uint8_t space; /* 0 names, 4, 6 */
	uint8_t bytes[RECORD_NAME_MAX];
	bool of_roster; /* what the records gave comes first */
	enum want_field field;
	struct netmap_node *node;
};

static int compare_keys(const void *a, const void *b)
{
	return node_key_compare(a, b);
}

static int find_revoked(struct merge *m)
{
	m->revoked = calloc(m->in->revocation_count + 1, sizeof(*m->revoked));
	if (!m->revoked)
		return -ENOMEM;
	for (size_t i = 0; i < m->in->revocation_count; i++) {
		const struct netmap_revocation *r = &m->in->revocations[i];

		if (r->type == RECORD_NODE_DEL && r->subject_len == PUBKEY_LEN &&
		    object_id_equal(&r->object, &m->in->id))
			memcpy(m->revoked[m->revoked_count++].bytes, r->subject, PUBKEY_LEN);
	}
	qsort(m->revoked, m->revoked_count, sizeof(*m->revoked), compare_keys);
	return 0;
}

static bool is_revoked(const struct merge *m, const struct node_key *key)
{
	return m->revoked_count &&
	       bsearch(key, m->revoked, m->revoked_count, sizeof(*m->revoked), compare_keys);
}

static void want(struct merge *m, struct netmap_node *node, enum want_field field, uint8_t space,
		 const void *bytes, size_t len, bool of_roster)
{
	struct want *w = &m->wants[m->want_count++];

	w->space = space;
	w->field = field;
	w->node = node;
	w->of_roster = of_roster;
	memcpy(w->bytes, bytes, len);
}

/* RECORDS 4.5: An IPv4 […] outside the prefix of its dnet, its network or broadcast address */
static bool ipv4_fits(const struct prefix *p, const struct address *a)
{
	uint32_t mask = p->bits ? UINT32_MAX << (32 - p->bits) : 0;
	uint32_t host = load_u32be(a->bytes) & ~mask;

	return p->addr.family == ADDR_V4 && prefix_contains(p, a) && host && host != ~mask;
}

static void take_addresses(struct merge *m, struct netmap_node *node, const struct roster_node *r)
{
	if (r->ipv4.family && !node->ipv4.family) {
		if (ipv4_fits(&m->map->ipv4_prefix, &r->ipv4)) {
			node->ipv4 = r->ipv4;
			want(m, node, WANT_IPV4, 4, r->ipv4.bytes, 4, true);
		} else {
			node->remark = "its IPv4 address in the roster is no host of the dnet's "
				       "prefix";
		}
	}
	if (r->ipv6.family && !node->extra_ipv6.family) {
		if (prefix_contains(&m->map->ipv6_prefix, &r->ipv6)) {
			node->remark = "its IPv6 address in the roster is inside the dnet's own "
				       "prefix";
		} else {
			node->extra_ipv6 = r->ipv6;
			want(m, node, WANT_EXTRA_IPV6, 6, r->ipv6.bytes, 16, true);
		}
	}
}

/* The entry beside the record, or alone. */
static void take_entry(struct merge *m, struct netmap_node *node, const struct roster_node *r)
{
	take_addresses(m, node, r);
	if (r->name[0] && !node->name[0]) {
		memcpy(node->name, r->name, sizeof(node->name));
		want(m, node, WANT_NAME, 0, node->name, strlen(node->name), true);
	}
	node->groups = m->memberships + m->membership_count;
	node->group_count = r->group_count;
	for (unsigned i = 0; i < r->group_count; i++)
		m->memberships[m->membership_count++] = r->groups[i];
}

/* What the records gave is held before any entry is looked at. */
static struct netmap_node *add_recorded(struct merge *m, const struct netmap_node *old)
{
	struct netmap_node *node = &m->nodes[m->node_count++];

	*node = *old;
	if (node->ipv6.family)
		want(m, node, WANT_IPV6, 6, node->ipv6.bytes, 16, false);
	if (node->extra_ipv6.family)
		want(m, node, WANT_EXTRA_IPV6, 6, node->extra_ipv6.bytes, 16, false);
	if (node->ipv4.family)
		want(m, node, WANT_IPV4, 4, node->ipv4.bytes, 4, false);
	if (node->name[0])
		want(m, node, WANT_NAME, 0, node->name, strlen(node->name), false);
	return node;
}

static void add_entry(struct merge *m, const struct roster_node *r)
{
	struct netmap_node *node;

	if (is_revoked(m, &r->key))
		return;
	node = &m->nodes[m->node_count++];
	node->key = r->key;
	node->by_roster = true;
	node->flags = r->flags & (NODE_FLAG_GATEWAY | NODE_FLAG_RELAY);
	node_address_derive(&m->in->id, &node->key, &node->ipv6);
	want(m, node, WANT_IPV6, 6, node->ipv6.bytes, 16, true);
	take_entry(m, node, r);
}

/* Whether the time has come; it is looked at again when it does. */
static bool is_over(struct merge *m, uint64_t end_s)
{
	if (end_s <= m->now_s)
		return true;
	if (!m->next_expiry || end_s < m->next_expiry)
		m->next_expiry = end_s;
	return false;
}

static bool has_expired(struct merge *m, const struct roster_node *r)
{
	return r->expires && is_over(m, r->expires);
}

/* PROTOCOL 3.8: for 86,400 s from its *since* on the epoch before counts too */
static bool rolls_over(struct merge *m)
{
	const struct roster_header *h = &m->roster->header;
	uint64_t end_s = h->epoch_since + ROLL_OVER_S;

	return h->epoch.number && end_s >= ROLL_OVER_S && !is_over(m, end_s);
}

static size_t count_memberships(const struct span *list)
{
	struct roster_node r;
	struct reader reader;
	size_t count = 0;

	reader_init(&reader, list->data, list->len);
	while (roster_next_node(&reader, &r))
		count += r.group_count;
	return count;
}

static int merge_nodes(struct merge *m)
{
	const struct span *list = &m->roster->lists[ROSTER_NODES];
	size_t most = m->map->node_count + m->roster->counts[ROSTER_NODES], old = 0;
	struct roster_node r;
	struct reader reader;
	bool more;

	m->nodes = calloc(most + 1, sizeof(*m->nodes));
	m->wants = calloc(4 * most + 1, sizeof(*m->wants));
	m->memberships = calloc(count_memberships(list) + 1, sizeof(*m->memberships));
	if (!m->nodes || !m->wants || !m->memberships)
		return -ENOMEM;
	reader_init(&reader, list->data, list->len);
	more = roster_next_node(&reader, &r);
	while (more || old < m->map->node_count) {
		const struct netmap_node *record =
			old < m->map->node_count ? &m->map->nodes[old] : NULL;
		int c = !more ? -1 : !record ? 1 : node_key_compare(&record->key, &r.key);

		if (c <= 0) {
			struct netmap_node *node = add_recorded(m, record);

			old++;
			if (c == 0 && !has_expired(m, &r))
				take_entry(m, node, &r);
		} else if (!has_expired(m, &r)) {
			add_entry(m, &r);
		}
		if (c >= 0)
			more = roster_next_node(&reader, &r);
	}
	return 0;
}

static int compare_wants(const void *a, const void *b)
{
	const struct want *x = a, *y = b;
	int c = (int)x->space - (int)y->space;

	if (!c)
		c = memcmp(x->bytes, y->bytes, sizeof(x->bytes));
	if (!c)
		c = (int)x->of_roster - (int)y->of_roster;
	return c ? c : node_key_compare(&x->node->key, &y->node->key);
}

static void lose(const struct want *w)
{
	switch (w->field) {
	case WANT_NAME:
		memset(w->node->name, 0, sizeof(w->node->name));
		w->node->remark = "its name in the roster is held by another node";
		return;
	case WANT_IPV4:
		w->node->ipv4 = (struct address){0};
		w->node->remark = "its IPv4 address in the roster is held by another node";
		return;
	case WANT_IPV6:
		w->node->ipv6 = (struct address){0};
		w->node->remark = "the IPv6 address of its key is held by another node";
		return;
	case WANT_EXTRA_IPV6:
		w->node->extra_ipv6 = (struct address){0};
		w->node->remark = "its IPv6 address in the roster is held by another node";
		return;
	}
}

static void settle_wants(struct merge *m)
{
	qsort(m->wants, m->want_count, sizeof(*m->wants), compare_wants);
	for (size_t i = 1; i < m->want_count; i++) {
		const struct want *w = &m->wants[i];

		if (w->space == w[-1].space && !memcmp(w->bytes, w[-1].bytes, sizeof(w->bytes)))
			lose(w);
	}
}

static void convert_subject(const struct roster_subject *from, struct acl_subject *to)
{
	static const enum acl_subject_kind kinds[] = {
		[ROSTER_ALL] = ACL_ANY,
		[ROSTER_NODE] = ACL_NODE,
		[ROSTER_GROUP] = ACL_GROUP,
		[ROSTER_PREFIX] = ACL_PREFIX,
	};

	to->kind = kinds[from->kind];
	to->node = from->node;
	to->group = from->group;
	to->prefix = from->prefix;
}

static int convert_rules(struct merge *m)
{
	const struct span *list = &m->roster->lists[ROSTER_RULES];
	struct roster_rule rule;
	struct reader r;

	static_assert((int)ROSTER_ANY_PROTOCOL == (int)ACL_ALL_PROTOCOLS, "the same number");
	m->rules = calloc(m->roster->counts[ROSTER_RULES] + 1, sizeof(*m->rules));
	if (!m->rules)
		return -ENOMEM;
	reader_init(&r, list->data, list->len);
	for (struct acl_rule *to = m->rules; roster_next_rule(&r, &rule); to++) {
		convert_subject(&rule.src, &to->src);
		convert_subject(&rule.dst, &to->dst);
		to->protocol = rule.protocol;
		to->port_low = rule.port_low;
		to->port_high = rule.port_high;
		memcpy(to->label, rule.name, sizeof(rule.name));
	}
	return 0;
}

static void put(struct merge *m)
{
	struct netmap *map = m->map;

	free(map->nodes);
	free(map->memberships);
	free(map->rules);
	map->nodes = m->nodes;
	map->node_count = m->node_count;
	map->memberships = m->memberships;
	map->rules = m->rules;
	map->rule_count = m->roster->counts[ROSTER_RULES];
	map->has_policy = true;
	if (m->roster->header.epoch.number)
		secret_lock(map, sizeof(*map));
	map->rolls_over = rolls_over(m);
	map->epoch = m->roster->header.epoch;
	if (map->rolls_over)
		map->before = m->roster->header.before;
	map->next_expiry = m->next_expiry;
}

int netmap_add_roster(struct netmap *map, const struct netmap_input *input,
		      const struct roster *roster, uint64_t now_s)
{
	struct merge m = {.map = map, .in = input, .roster = roster, .now_s = now_s};
	int r = 0;

	/* RECORDS 4.4: After CLOSE nothing counts for the object any more. */
	if (!map->exists)
		return 0;
	r = find_revoked(&m);
	if (!r)
		r = merge_nodes(&m);
	if (!r)
		r = convert_rules(&m);
	if (r) {
		free(m.nodes);
		free(m.memberships);
		free(m.rules);
	} else {
		settle_wants(&m);
		put(&m);
	}
	free(m.wants);
	free(m.revoked);
	return r;
}

int netmap_close_policy(struct netmap *map)
{
	/* A rule about keys that nobody can have: so there is a policy, and it allows nothing. */
	struct acl_rule *rule = calloc(1, sizeof(*rule));

	if (!rule)
		return -ENOMEM;
	*rule = (struct acl_rule){.src = {.kind = ACL_NODE},
				  .dst = {.kind = ACL_NODE},
				  .protocol = ACL_ALL_PROTOCOLS,
				  .port_high = UINT16_MAX};
	free(map->rules);
	map->rules = rule;
	map->rule_count = 1;
	map->has_policy = true;
	return 0;
}
