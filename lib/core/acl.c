#include "core/acl.h"

#include "core/netmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The nodes of one group that rules name, a bit each. */
struct group {
	uint16_t number;
	uint8_t *bits; /* owned */
};

/* A rule lies in the bucket of its (source node, destination node); subjects that are no single
 * node count as ACL_NO_NODE there. A flow looks into four buckets, so rules about other nodes cost
 * nothing. */
struct entry {
	uint32_t src_node, dst_node;
	size_t number;
	const struct acl_rule *rule;
};

struct acl {
	struct acl_rule *rules;
	size_t rule_count;
	struct entry *entries; /* sorted by entry_compare() */
	size_t entry_count;
	struct group *groups; /* sorted by number, none twice */
	size_t group_count;
	size_t node_count;
};

static int compare_size(size_t a, size_t b)
{
	return (a > b) - (a < b);
}

static int bucket_compare(const struct entry *a, const struct entry *b)
{
	int c = compare_size(a->src_node, b->src_node);

	return c ? c : compare_size(a->dst_node, b->dst_node);
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int c = bucket_compare(x, y);

	return c ? c : compare_size(x->number, y->number);
}

/* False: it means a key that is no member now. */
static bool resolve(const struct acl_subject *s, const struct netmap *netmap, uint32_t *ret_node)
{
	const struct netmap_node *node;

	*ret_node = ACL_NO_NODE;
	if (s->kind != ACL_NODE)
		return true;
	node = netmap_find_node(netmap, &s->node);
	if (!node)
		return false;
	*ret_node = (uint32_t)(node - netmap->nodes);
	return true;
}

/* ---- Groups ---- */

static int compare_groups(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static const struct group *find_group(const struct acl *acl, uint16_t number)
{
	const struct group wanted = {.number = number};

	return acl->group_count ? bsearch(&wanted, acl->groups, acl->group_count, sizeof(wanted),
					  compare_groups)
				: NULL;
}

static void name_groups(struct acl *acl)
{
	size_t kept = 0;

	for (size_t i = 0; i < acl->rule_count; i++) {
		const struct acl_rule *r = &acl->rules[i];

		if (r->src.kind == ACL_GROUP)
			acl->groups[acl->group_count++].number = r->src.group;
		if (r->dst.kind == ACL_GROUP)
			acl->groups[acl->group_count++].number = r->dst.group;
	}
	qsort(acl->groups, acl->group_count, sizeof(*acl->groups), compare_groups);
	for (size_t i = 0; i < acl->group_count; i++)
		if (!kept || acl->groups[kept - 1].number != acl->groups[i].number)
			acl->groups[kept++].number = acl->groups[i].number;
	acl->group_count = kept;
}

/* Only those that rules name take memory. */
static int fill_groups(struct acl *acl, const struct netmap *netmap)
{
	acl->groups = calloc(2 * acl->rule_count + 1, sizeof(*acl->groups));
	if (!acl->groups)
		return -ENOMEM;
	name_groups(acl);
	acl->node_count = netmap->node_count;
	for (size_t i = 0; i < acl->group_count; i++) {
		acl->groups[i].bits = calloc(1, netmap->node_count / 8 + 1);
		if (!acl->groups[i].bits)
			return -ENOMEM;
	}
	for (size_t i = 0; acl->group_count && i < netmap->node_count; i++) {
		const struct netmap_node *node = &netmap->nodes[i];

		for (size_t j = 0; j < node->group_count; j++) {
			const struct group *g = find_group(acl, node->groups[j]);

			if (g)
				g->bits[i / 8] |= (uint8_t)(1 << i % 8);
		}
	}
	return 0;
}

static bool in_group(const struct acl *acl, uint16_t number, uint32_t node)
{
	const struct group *g = find_group(acl, number);

	return g && node < acl->node_count && (g->bits[node / 8] >> node % 8 & 1);
}

int acl_new(const struct acl_rule *rules, size_t count, const struct netmap *netmap,
	    struct acl **ret_acl)
{
	struct acl *acl;

	for (size_t i = 0; i < count; i++)
		if (rules[i].protocol > ACL_ALL_PROTOCOLS || rules[i].port_low > rules[i].port_high)
			return -EINVAL;
	acl = calloc(1, sizeof(*acl));
	if (!acl)
		return -ENOMEM;
	acl->rules = calloc(count + 1, sizeof(*acl->rules));
	acl->entries = calloc(count + 1, sizeof(*acl->entries));
	if (!acl->rules || !acl->entries) {
		acl_free(acl);
		return -ENOMEM;
	}
	if (count)
		memcpy(acl->rules, rules, count * sizeof(*rules));
	acl->rule_count = count;
	if (fill_groups(acl, netmap)) {
		acl_free(acl);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		struct entry *e = &acl->entries[acl->entry_count];

		*e = (struct entry){.number = i, .rule = &acl->rules[i]};
		if (resolve(&rules[i].src, netmap, &e->src_node) &&
		    resolve(&rules[i].dst, netmap, &e->dst_node))
			acl->entry_count++;
	}
	qsort(acl->entries, acl->entry_count, sizeof(*acl->entries), entry_compare);
	*ret_acl = acl;
	return 0;
}

void acl_free(struct acl *acl)
{
	if (!acl)
		return;
	for (size_t i = 0; acl->groups && i < acl->group_count; i++)
		free(acl->groups[i].bits);
	free(acl->groups);
	free(acl->rules);
	free(acl->entries);
	free(acl);
}

bool acl_allows_all(const struct acl *acl)
{
	return !acl->rule_count;
}

static bool subject_matches(const struct acl *acl, const struct acl_subject *s, uint32_t node,
			    uint8_t version, const uint8_t *bytes)
{
	struct address a = {.family = version};

	if (s->kind == ACL_GROUP)
		return in_group(acl, s->group, node);
	if (s->kind != ACL_PREFIX)
		return true;
	memcpy(a.bytes, bytes, version == ADDR_V4 ? 4 : 16);
	return prefix_contains(&s->prefix, &a);
}

static bool for_all_ports(const struct acl_rule *r)
{
	return r->port_low == 0 && r->port_high == UINT16_MAX;
}

/* A protocol that is not parsed never has ports, so it never matches a rule about them. */
static bool service_matches(const struct acl_rule *r, const struct ip_flow *flow)
{
	if (r->protocol != ACL_ALL_PROTOCOLS && r->protocol != flow->protocol)
		return false;
	if (for_all_ports(r))
		return true;
	if (flow->protocol != IP_PROTO_TCP && flow->protocol != IP_PROTO_UDP)
		return false;
	return flow->dst_port >= r->port_low && flow->dst_port <= r->port_high;
}

/* Who the flow is of. */
struct ends {
	uint32_t src, dst;
};

static bool rule_matches(const struct acl *acl, const struct acl_rule *r, const struct ends *ends,
			 const struct ip_flow *flow, bool blindly)
{
	if (blindly ? r->protocol != ACL_ALL_PROTOCOLS || !for_all_ports(r)
		    : !service_matches(r, flow))
		return false;
	return subject_matches(acl, &r->src, ends->src, flow->version, flow->src) &&
	       subject_matches(acl, &r->dst, ends->dst, flow->version, flow->dst);
}

/* The number of the first rule of one bucket that matches, if it is lower than best. */
static size_t search(const struct acl *acl, uint32_t src, uint32_t dst, const struct ends *ends,
		     const struct ip_flow *flow, bool blindly, size_t best)
{
	struct entry wanted = {.src_node = src, .dst_node = dst};
	size_t low = 0, high = acl->entry_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (bucket_compare(&acl->entries[mid], &wanted) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < acl->entry_count; low++) {
		const struct entry *e = &acl->entries[low];

		if (bucket_compare(e, &wanted) || e->number >= best)
			break;
		if (rule_matches(acl, e->rule, ends, flow, blindly))
			return e->number;
	}
	return best;
}

static size_t first_match(const struct acl *acl, uint32_t src, uint32_t dst,
			  const struct ip_flow *flow, bool blindly)
{
	const struct ends ends = {src, dst};
	size_t best = search(acl, ACL_NO_NODE, ACL_NO_NODE, &ends, flow, blindly, SIZE_MAX);

	if (src != ACL_NO_NODE)
		best = search(acl, src, ACL_NO_NODE, &ends, flow, blindly, best);
	if (dst != ACL_NO_NODE)
		best = search(acl, ACL_NO_NODE, dst, &ends, flow, blindly, best);
	if (src != ACL_NO_NODE && dst != ACL_NO_NODE)
		best = search(acl, src, dst, &ends, flow, blindly, best);
	return best;
}

static const char *explain(const struct acl *acl, size_t rule)
{
	if (acl_allows_all(acl))
		return "no policy is published: members may talk to members";
	if (rule == SIZE_MAX)
		return "no rule allows it";
	return acl->rules[rule].label[0] ? acl->rules[rule].label : "a rule without a label";
}

bool acl_allows(const struct acl *acl, uint32_t src_node, uint32_t dst_node,
		const struct ip_flow *flow, struct acl_verdict *ret_verdict)
{
	size_t rule = first_match(acl, src_node, dst_node, flow, false);
	bool allowed = acl_allows_all(acl) || rule != SIZE_MAX;

	if (ret_verdict)
		*ret_verdict = (struct acl_verdict){allowed, rule, explain(acl, rule)};
	return allowed;
}

bool acl_allows_blindly(const struct acl *acl, uint32_t src_node, uint32_t dst_node,
			const struct ip_flow *flow)
{
	return acl_allows_all(acl) || first_match(acl, src_node, dst_node, flow, true) != SIZE_MAX;
}

/* ---- Without groups ---- */

struct expansion {
	const struct netmap_node *self;
	const struct netmap_node *const *peers;
	size_t peer_count;
	struct acl_rule *rules;
	size_t count, room;
};

static bool node_in_group(const struct netmap_node *node, uint16_t group)
{
	for (size_t i = 0; i < node->group_count; i++)
		if (node->groups[i] == group)
			return true;
	return false;
}

static int append(struct expansion *e, const struct acl_rule *rule)
{
	if (e->count == e->room) {
		size_t room = e->room ? e->room * 2 : 16;
		struct acl_rule *grown = realloc(e->rules, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		e->rules = grown;
		e->room = room;
	}
	e->rules[e->count++] = *rule;
	return 0;
}

/* The rule for each peer that the group at one end has, the other end being as it is. */
static int append_peers(struct expansion *e, const struct acl_rule *rule, bool at_src)
{
	const uint16_t group = at_src ? rule->src.group : rule->dst.group;
	struct acl_rule one = *rule;
	struct acl_subject *end = at_src ? &one.src : &one.dst;
	int r = 0;

	end->kind = ACL_NODE;
	for (size_t i = 0; !r && i < e->peer_count; i++) {
		if (!node_in_group(e->peers[i], group))
			continue;
		end->node = e->peers[i]->key;
		r = append(e, &one);
	}
	return r;
}

/* With self in the place of a group that has it at one end. */
static int append_self(struct expansion *e, const struct acl_rule *rule, bool at_src)
{
	struct acl_rule one = *rule;
	struct acl_subject *own = at_src ? &one.src : &one.dst;
	const struct acl_subject *other = at_src ? &one.dst : &one.src;

	if (own->kind == ACL_GROUP && !node_in_group(e->self, own->group))
		return 0;
	if (own->kind == ACL_GROUP) {
		own->kind = ACL_NODE;
		own->node = e->self->key;
	}
	return other->kind == ACL_GROUP ? append_peers(e, &one, !at_src) : append(e, &one);
}

int acl_without_groups(const struct acl_rule *rules, size_t count, const struct netmap_node *self,
		       const struct netmap_node *const *peers, size_t peer_count,
		       struct acl_rule **ret_rules, size_t *ret_count)
{
	struct expansion e = {.self = self, .peers = peers, .peer_count = peer_count};
	/* A key that nobody can have. */
	const struct acl_rule nothing = {.src = {.kind = ACL_NODE},
					 .dst = {.kind = ACL_NODE},
					 .protocol = ACL_ALL_PROTOCOLS,
					 .port_high = UINT16_MAX};
	int r = 0;

	for (size_t i = 0; !r && i < count; i++) {
		const struct acl_rule *rule = &rules[i];

		if (rule->src.kind != ACL_GROUP && rule->dst.kind != ACL_GROUP) {
			r = append(&e, rule);
			continue;
		}
		r = append_self(&e, rule, true);
		if (!r)
			r = append_self(&e, rule, false);
	}
	if (!r && count && !e.count)
		r = append(&e, &nothing);
	if (r) {
		free(e.rules);
		return r;
	}
	*ret_rules = e.rules;
	*ret_count = e.count;
	return 0;
}
