#include "core/filter.h"

#include "core/netmap.h"
#include "wire/ip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const counter_names[FILTER_COUNTER_COUNT] = {
#define X(name) [FILTER_##name] = #name,
	FILTER_COUNTERS(X)
#undef X
};

const char *filter_counter_name(enum filter_counter counter)
{
	return counter_names[counter];
}

/* ---- Order ---- */

static int compare_number(unsigned a, unsigned b)
{
	return (a > b) - (a < b);
}

/* But for the label: that is for people. */
static int compare_service(const void *a, const void *b)
{
	const struct filter_service *x = a, *y = b;
	int c = compare_number(x->direction, y->direction);

	c = c ? c : compare_number(x->family, y->family);
	c = c ? c : compare_number(x->nodes, y->nodes);
	c = c ? c : compare_number(x->protocol, y->protocol);
	c = c ? c : compare_number(x->port_low, y->port_low);
	c = c ? c : compare_number(x->port_high, y->port_high);
	c = c ? c : prefix_compare(&x->peer, &y->peer);
	return c ? c : prefix_compare(&x->own, &y->own);
}

static int compare_element(const void *a, const void *b)
{
	const struct filter_element *x = a, *y = b;
	int c = compare_number(x->set, y->set);

	c = c ? c : compare_number(x->address.family, y->address.family);
	return c ? c : memcmp(x->address.bytes, y->address.bytes, sizeof(x->address.bytes));
}

/* ---- Lists that grow ---- */

struct builder {
	const struct netmap_node *self;
	const struct netmap_node **peers; /* sorted by key */
	size_t peer_count;
	bool ipv4;
	struct filter *filter;
	size_t service_room, element_room;
};

static int make_room(void **items, size_t *room, size_t count, size_t size, size_t max)
{
	size_t wanted = *room ? *room * 2 : 16;
	void *grown;

	if (count < *room)
		return 0;
	if (count >= max)
		return -E2BIG;
	grown = realloc(*items, wanted * size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*room = wanted;
	return 0;
}

/* Once only: rules are many, services few. */
static int add_service(struct builder *b, const struct filter_service *service)
{
	struct filter *f = b->filter;
	int r;

	for (size_t i = 0; i < f->service_count; i++)
		if (compare_service(&f->services[i], service) == 0)
			return 0;
	r = make_room((void **)&f->services, &b->service_room, f->service_count,
		      sizeof(*f->services), FILTER_SERVICES_MAX);
	if (r == 0)
		f->services[f->service_count++] = *service;
	return r;
}

static int add_address(struct builder *b, uint16_t set, const struct address *address)
{
	struct filter *f = b->filter;
	struct filter_element *e;
	int r;

	if (address->family == ADDR_NONE)
		return 0;
	/* Twice the number: what two rules say of one node goes when all are sorted. */
	r = make_room((void **)&f->elements, &b->element_room, f->element_count,
		      sizeof(*f->elements), 2 * FILTER_ELEMENTS_MAX);
	if (r < 0)
		return r;
	e = &f->elements[f->element_count++];
	memset(e, 0, sizeof(*e));
	e->set = set;
	e->address.family = address->family;
	memcpy(e->address.bytes, address->bytes, address_bits(address) / 8);
	return 0;
}

static int add_node(struct builder *b, uint16_t set, uint8_t family, const struct netmap_node *node)
{
	int r = 0;

	if (family != ADDR_V6 && b->ipv4)
		r = add_address(b, set, &node->ipv4);
	if (r == 0 && family != ADDR_V4)
		r = add_address(b, set, &node->ipv6);
	if (r == 0 && family != ADDR_V4)
		r = add_address(b, set, &node->extra_ipv6);
	return r;
}

/* ---- Rules ---- */

static int compare_peer(const void *a, const void *b)
{
	const struct netmap_node *const *x = a, *const *y = b;

	return memcmp((*x)->key.bytes, (*y)->key.bytes, sizeof((*x)->key.bytes));
}

static const struct netmap_node *find_peer(const struct builder *b, const struct node_key *key)
{
	struct netmap_node wanted = {.key = *key};
	const struct netmap_node *pointer = &wanted, **found;

	found = b->peer_count ? bsearch(&pointer, b->peers, b->peer_count, sizeof(*b->peers),
					compare_peer)
			      : NULL;
	return found ? *found : NULL;
}

/* A prefix without bits says nothing of addresses but their family. */
static bool has_family(const struct acl_subject *s, uint8_t family)
{
	return s->kind != ACL_PREFIX || s->prefix.addr.family == family;
}

static void set_prefix(struct prefix *dst, const struct acl_subject *s)
{
	if (s->kind != ACL_PREFIX || s->prefix.bits == 0)
		return;
	dst->addr.family = s->prefix.addr.family;
	memcpy(dst->addr.bytes, s->prefix.addr.bytes, address_bits(&s->prefix.addr) / 8);
	dst->bits = s->prefix.bits;
	prefix_mask(dst);
}

static bool for_all_ports(const struct acl_rule *r)
{
	return r->port_low == 0 && r->port_high == UINT16_MAX;
}

/* Only TCP and UDP have ports: a rule about ports of all protocols is two services. */
static int add_protocols(struct builder *b, const struct acl_rule *rule,
			 struct filter_service *service)
{
	int r;

	service->port_low = rule->port_low;
	service->port_high = rule->port_high;
	service->protocol = rule->protocol;
	if (for_all_ports(rule) || rule->protocol == IP_PROTO_TCP || rule->protocol == IP_PROTO_UDP)
		return add_service(b, service);
	if (rule->protocol != ACL_ALL_PROTOCOLS)
		return 0;
	service->protocol = IP_PROTO_TCP;
	r = add_service(b, service);
	service->protocol = IP_PROTO_UDP;
	return r ? r : add_service(b, service);
}

static bool is_self(const struct builder *b, const struct acl_subject *s)
{
	return s->kind != ACL_NODE || node_key_equal(&s->node, &b->self->key);
}

static int add_rule(struct builder *b, const struct acl_rule *rule, uint8_t direction,
		    uint8_t family)
{
	const struct acl_subject *peer = direction == FILTER_IN ? &rule->src : &rule->dst;
	const struct acl_subject *own = direction == FILTER_IN ? &rule->dst : &rule->src;
	struct filter_service service;

	if (!is_self(b, own) || !has_family(peer, family) || !has_family(own, family))
		return 0;
	if (peer->kind == ACL_NODE && is_self(b, peer))
		return 0; /* never comes by */
	memset(&service, 0, sizeof(service));
	service.direction = direction;
	service.family = family;
	service.nodes = peer->kind == ACL_NODE;
	set_prefix(&service.peer, peer);
	set_prefix(&service.own, own);
	memcpy(service.label, rule->label, sizeof(service.label));
	service.label[ACL_LABEL_MAX] = '\0';
	return add_protocols(b, rule, &service);
}

static int add_services(struct builder *b, const struct acl_rule *rules, size_t count)
{
	static const uint8_t families[] = {ADDR_V4, ADDR_V6};
	int r = 0;

	for (size_t i = 0; i < 4 * count && r == 0; i++) {
		const struct acl_rule *rule = &rules[i / 4];

		if (rule->protocol > ACL_ALL_PROTOCOLS || rule->port_low > rule->port_high)
			return -EINVAL;
		r = add_rule(b, rule, i & 1 ? FILTER_OUT : FILTER_IN, families[i / 2 % 2]);
	}
	if (b->filter->service_count)
		qsort(b->filter->services, b->filter->service_count, sizeof(*b->filter->services),
		      compare_service);
	return r;
}

static bool protocol_matches(const struct filter_service *s, const struct acl_rule *rule)
{
	return s->protocol == rule->protocol ||
	       (rule->protocol == ACL_ALL_PROTOCOLS && !for_all_ports(rule));
}

/* The node of this rule into the sets of the services that came of it. */
static int add_node_of_rule(struct builder *b, const struct acl_rule *rule)
{
	const struct filter *f = b->filter;
	int r = 0;

	for (size_t i = 0; i < f->service_count && r == 0; i++) {
		const struct filter_service *s = &f->services[i];
		const struct acl_subject *peer =
			s->direction == FILTER_IN ? &rule->src : &rule->dst;
		const struct acl_subject *own = s->direction == FILTER_IN ? &rule->dst : &rule->src;
		const struct netmap_node *node;
		struct prefix prefix = {0};

		if (!s->nodes || peer->kind != ACL_NODE || !is_self(b, own) ||
		    !has_family(own, s->family) || !protocol_matches(s, rule) ||
		    s->port_low != rule->port_low || s->port_high != rule->port_high)
			continue;
		set_prefix(&prefix, own);
		node = find_peer(b, &peer->node);
		if (node && prefix_compare(&prefix, &s->own) == 0)
			r = add_node(b, (uint16_t)(FILTER_SET_SERVICES + i), s->family, node);
	}
	return r;
}

/* ---- The whole ---- */

static int sort_elements(struct filter *f)
{
	size_t kept = 0;

	if (f->element_count)
		qsort(f->elements, f->element_count, sizeof(*f->elements), compare_element);
	for (size_t i = 0; i < f->element_count; i++)
		if (kept == 0 || compare_element(&f->elements[kept - 1], &f->elements[i]) != 0)
			f->elements[kept++] = f->elements[i];
	f->element_count = kept;
	return kept > FILTER_ELEMENTS_MAX ? -E2BIG : 0;
}

static int build(struct builder *b, const struct acl_rule *rules, size_t rule_count)
{
	int r = add_node(b, FILTER_SET_OURS, ADDR_NONE, b->self);

	for (size_t i = 0; i < b->peer_count && r == 0; i++)
		r = add_node(b, FILTER_SET_PEERS, ADDR_NONE, b->peers[i]);
	if (r == 0)
		r = add_services(b, rules, rule_count);
	for (size_t i = 0; i < rule_count && r == 0; i++)
		r = add_node_of_rule(b, &rules[i]);
	return r ? r : sort_elements(b->filter);
}

int filter_new(const struct acl_rule *rules, size_t rule_count, const struct netmap_node *self,
	       const struct netmap_node *const *peers, size_t peer_count, bool ipv4,
	       struct filter **ret_filter)
{
	struct builder b = {.self = self, .peer_count = peer_count, .ipv4 = ipv4};
	int r = -ENOMEM;

	b.filter = calloc(1, sizeof(*b.filter));
	b.peers = calloc(peer_count + 1, sizeof(*b.peers));
	if (b.filter && b.peers) {
		b.filter->open = rule_count == 0;
		if (peer_count)
			memcpy(b.peers, peers, peer_count * sizeof(*peers));
		qsort(b.peers, peer_count, sizeof(*b.peers), compare_peer);
		r = build(&b, rules, rule_count);
	}
	free(b.peers);
	if (r < 0)
		filter_free(b.filter);
	else
		*ret_filter = b.filter;
	return r;
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	free(f->services);
	free(f->elements);
	free(f);
}

bool filter_same_services(const struct filter *a, const struct filter *b)
{
	if (a->open != b->open || a->service_count != b->service_count)
		return false;
	for (size_t i = 0; i < a->service_count; i++)
		if (compare_service(&a->services[i], &b->services[i]) != 0 ||
		    strcmp(a->services[i].label, b->services[i].label) != 0)
			return false;
	return true;
}

bool filter_equal(const struct filter *a, const struct filter *b)
{
	return filter_same_services(a, b) && a->element_count == b->element_count &&
	       (a->element_count == 0 ||
		memcmp(a->elements, b->elements, a->element_count * sizeof(*a->elements)) == 0);
}

/* What a has and b has not. */
static void visit_missing(const struct filter *a, const struct filter *b, bool removed,
			  filter_visit *visit, void *ctx)
{
	size_t j = 0;

	for (size_t i = 0; i < a->element_count; i++) {
		struct filter_element e = a->elements[i];

		while (j < b->element_count && compare_element(&b->elements[j], &e) < 0)
			j++;
		if (j < b->element_count && compare_element(&b->elements[j], &e) == 0)
			continue;
		e.removed = removed;
		visit(ctx, &e);
	}
}

void filter_diff(const struct filter *old, const struct filter *new, filter_visit *visit, void *ctx)
{
	visit_missing(old, new, true, visit, ctx);
	visit_missing(new, old, false, visit, ctx);
}
