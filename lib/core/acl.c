#include "core/acl.h"

#include "core/netmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	free(acl->rules);
	free(acl->entries);
	free(acl);
}

bool acl_allows_all(const struct acl *acl)
{
	return !acl->rule_count;
}

static bool subject_matches(const struct acl_subject *s, uint8_t version, const uint8_t *bytes)
{
	struct address a = {.family = version};

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

static bool rule_matches(const struct acl_rule *r, const struct ip_flow *flow, bool blindly)
{
	if (blindly ? r->protocol != ACL_ALL_PROTOCOLS || !for_all_ports(r)
		    : !service_matches(r, flow))
		return false;
	return subject_matches(&r->src, flow->version, flow->src) &&
	       subject_matches(&r->dst, flow->version, flow->dst);
}

/* The number of the first rule of one bucket that matches, if it is lower than best. */
static size_t search(const struct acl *acl, uint32_t src, uint32_t dst, const struct ip_flow *flow,
		     bool blindly, size_t best)
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
		if (rule_matches(e->rule, flow, blindly))
			return e->number;
	}
	return best;
}

static size_t first_match(const struct acl *acl, uint32_t src, uint32_t dst,
			  const struct ip_flow *flow, bool blindly)
{
	size_t best = search(acl, ACL_NO_NODE, ACL_NO_NODE, flow, blindly, SIZE_MAX);

	if (src != ACL_NO_NODE)
		best = search(acl, src, ACL_NO_NODE, flow, blindly, best);
	if (dst != ACL_NO_NODE)
		best = search(acl, ACL_NO_NODE, dst, flow, blindly, best);
	if (src != ACL_NO_NODE && dst != ACL_NO_NODE)
		best = search(acl, src, dst, flow, blindly, best);
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
