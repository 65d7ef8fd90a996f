#include "cli/roster_ini_private.h"

#include "wire/hex.h"
#include "wire/ip.h"

#include <stdlib.h>
#include <string.h>

/* Nodes, groups and rules of a roster's text: resolved, encoded, sorted and put together. */

/* Of the text, or a member by the records, which then gets an entry if it has to be in a group. */
static struct node *know_node(struct compile *c, unsigned line, const char *name)
{
	struct node *n = ini_find_node(c, name);
	struct node_key key;

	if (n)
		return n;
	if (!record_name_ok(name) || !c->env->find_member ||
	    !c->env->find_member(c->env->arg, name, &key)) {
		ini_fail(c, line, "there is no node \"%.40s\": add [node NAME] with its key", name);
		return NULL;
	}
	n = ini_add_node(c, name, line);
	n->has_key = true;
	n->entry.key = key;
	return n;
}

static bool find_keys(struct compile *c)
{
	for (struct node *n = c->nodes; n; n = n->hh.next) {
		if (n->has_key)
			continue;
		if (!c->env->find_member ||
		    !c->env->find_member(c->env->arg, n->entry.name, &n->entry.key))
			return ini_fail(
				c, n->line,
				"node \"%s\" has no key, and no NODE record has this name: add "
				"key = …",
				n->entry.name);
		n->has_key = true;
	}
	return true;
}

static int compare_group_names(const void *a, const void *b)
{
	const char *x = a, *y = b;
	size_t x_len = strlen(x), y_len = strlen(y);

	return x_len != y_len ? (x_len > y_len ? 1 : -1) : strcmp(x, y);
}

/* All names of groups, as their order in the roster is. */
struct group_names {
	char (*list)[RECORD_NAME_MAX + 1]; /* owned */
	size_t count, room;
};

static bool add_group_name(struct compile *c, struct group_names *names, unsigned line,
			   const char *name)
{
	char(*to)[RECORD_NAME_MAX + 1];

	if (!record_name_ok(name))
		return ini_fail(c, line, "\"%.40s\" is not a name of a group", name);
	to = GROW(names->list, names->count, names->room);
	snprintf(*to, sizeof(*to), "%s", name);
	return true;
}

static bool collect_groups(struct compile *c, struct group_names *names)
{
	size_t kept = 0;

	for (struct node *n = c->nodes; n; n = n->hh.next)
		for (size_t i = 0; i < n->groups.count; i++)
			if (!add_group_name(c, names, n->groups.list[i].line,
					    n->groups.list[i].text))
				return false;
	for (size_t i = 0; i < c->group_count; i++)
		if (!add_group_name(c, names, c->groups[i].line, c->groups[i].name))
			return false;
	if (!names->count)
		return true;
	qsort(names->list, names->count, sizeof(*names->list), compare_group_names);
	for (size_t i = 0; i < names->count; i++)
		if (!kept || strcmp(names->list[kept - 1], names->list[i]) != 0)
			memmove(names->list[kept++], names->list[i], sizeof(*names->list));
	names->count = kept;
	return true;
}

static bool group_number(struct compile *c, const struct group_names *names, unsigned line,
			 const char *name, uint16_t *ret)
{
	char wanted[RECORD_NAME_MAX + 1] = "";
	char(*found)[RECORD_NAME_MAX + 1] = NULL;

	snprintf(wanted, sizeof(wanted), "%s", name);
	if (names->count && strlen(name) <= RECORD_NAME_MAX)
		found = bsearch(wanted, names->list, names->count, sizeof(*names->list),
				compare_group_names);
	if (!found)
		return ini_fail(
			c, line,
			"there is no group \"%.40s\": add [group NAME] with its members, or "
			"groups = … to nodes",
			name);
	*ret = (uint16_t)(found - names->list);
	return true;
}

static bool put_in_group(struct compile *c, struct node *n, unsigned line, uint16_t group)
{
	struct roster_node *e = &n->entry;
	unsigned at = 0;

	while (at < e->group_count && e->groups[at] < group)
		at++;
	if (at < e->group_count && e->groups[at] == group)
		return true;
	if (e->group_count == ROSTER_NODE_GROUPS_MAX)
		return ini_fail(c, line, "node \"%s\" is in more than %d groups", e->name,
				ROSTER_NODE_GROUPS_MAX);
	memmove(&e->groups[at + 1], &e->groups[at], (e->group_count - at) * sizeof(e->groups[0]));
	e->groups[at] = group;
	e->group_count++;
	return true;
}

static bool fill_groups(struct compile *c, const struct group_names *names)
{
	uint16_t number;

	for (struct node *n = c->nodes; n; n = n->hh.next)
		for (size_t i = 0; i < n->groups.count; i++) {
			const struct word *w = &n->groups.list[i];

			if (!group_number(c, names, w->line, w->text, &number) ||
			    !put_in_group(c, n, w->line, number))
				return false;
		}
	for (size_t g = 0; g < c->group_count; g++)
		for (size_t i = 0; i < c->groups[g].members.count; i++) {
			const struct word *w = &c->groups[g].members.list[i];
			struct node *n = know_node(c, w->line, w->text);

			if (!n || !group_number(c, names, w->line, c->groups[g].name, &number) ||
			    !put_in_group(c, n, w->line, number))
				return false;
		}
	return true;
}

/* A node's name, or a key. */
static bool resolve_node(struct compile *c, unsigned line, const char *text, struct node_key *ret)
{
	const struct node *n;

	if (strlen(text) == 2 * PUBKEY_LEN)
		return ini_parse_key(c, line, text, ret);
	n = ini_find_node(c, text);
	if (n) {
		*ret = n->entry.key;
		return true;
	}
	if (record_name_ok(text) && c->env->find_member &&
	    c->env->find_member(c->env->arg, text, ret))
		return true;
	return ini_fail(c, line, "there is no node \"%.40s\": add [node NAME] with its key", text);
}

static bool resolve_subject(struct compile *c, const struct group_names *names,
			    const struct word *w, struct roster_subject *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!strcmp(w->text, "all"))
		return true;
	if (w->text[0] == '@') {
		ret->kind = ROSTER_GROUP;
		return group_number(c, names, w->line, w->text + 1, &ret->group);
	}
	if (strpbrk(w->text, "./:")) {
		ret->kind = ROSTER_PREFIX;
		return ini_parse_prefix(w->text, &ret->prefix) ||
		       ini_fail(c, w->line,
				"\"%.60s\" is neither address nor prefix (host bits zero)",
				w->text);
	}
	ret->kind = ROSTER_NODE;
	return resolve_node(c, w->line, w->text, &ret->node);
}

/* ---- Services ---- */

static bool parse_ports(const char *text, uint16_t *ret_low, uint16_t *ret_high)
{
	char low[8];
	const char *dash = strchr(text, '-');
	size_t len = dash ? (size_t)(dash - text) : strlen(text);

	if (len >= sizeof(low))
		return false;
	memcpy(low, text, len);
	low[len] = '\0';
	if (!ini_parse_number(low, UINT16_MAX, ret_low))
		return false;
	*ret_high = *ret_low;
	return (!dash || ini_parse_number(dash + 1, UINT16_MAX, ret_high)) && *ret_low <= *ret_high;
}

/* One or two rules' protocol and ports: icmp is of both families. */
static bool parse_service(struct compile *c, const struct word *w, struct roster_rule ret[static 2],
			  unsigned *ret_count)
{
	char protocol[8];
	const char *slash = strchr(w->text, '/');
	size_t len = slash ? (size_t)(slash - w->text) : strlen(w->text);

	*ret_count = 1;
	ret->port_low = 0;
	ret->port_high = UINT16_MAX;
	if (len >= sizeof(protocol))
		len = sizeof(protocol) - 1;
	memcpy(protocol, w->text, len);
	protocol[len] = '\0';
	if (!strcmp(protocol, "all"))
		ret->protocol = ROSTER_ANY_PROTOCOL;
	else if (!strcmp(protocol, "tcp"))
		ret->protocol = IP_PROTO_TCP;
	else if (!strcmp(protocol, "udp"))
		ret->protocol = IP_PROTO_UDP;
	else if (!strcmp(protocol, "icmp"))
		ret->protocol = IP_PROTO_ICMP;
	else if (!ini_parse_number(protocol, UINT8_MAX, &ret->protocol))
		return ini_fail(
			c, w->line,
			"\"%.40s\" is no service: all, tcp, udp, icmp, a number, or tcp/80, "
			"udp/1-9",
			w->text);
	if (slash && ret->protocol != IP_PROTO_TCP && ret->protocol != IP_PROTO_UDP &&
	    ret->protocol != ROSTER_ANY_PROTOCOL)
		return ini_fail(c, w->line, "\"%.40s\": only tcp, udp and all have ports", w->text);
	if (slash && !parse_ports(slash + 1, &ret->port_low, &ret->port_high))
		return ini_fail(c, w->line, "\"%.40s\": ports are 80 or 8000-8080, up to 65535",
				w->text);
	if (!strcmp(protocol, "icmp")) {
		ret[1] = ret[0];
		ret[1].protocol = IP_PROTO_ICMPV6;
		*ret_count = 2;
	}
	return true;
}

/* ---- Encoding ---- */

static struct writer begin_item(struct compile *c, enum roster_list list, struct item **ret_item)
{
	struct items *items = &c->items[list];
	struct writer w;

	*ret_item = GROW(items->list, items->count, items->room);
	writer_init(&w, (*ret_item)->bytes, sizeof((*ret_item)->bytes));
	return w;
}

static bool end_item(struct compile *c, unsigned line, struct item *item, const struct writer *w)
{
	item->len = (uint16_t)writer_len(w);
	return !w->failed || ini_fail(c, line, "this cannot be written into a roster");
}

static bool encode_rules_of(struct compile *c, const struct group_names *names,
			    const struct policy *p, struct roster_rule *rule)
{
	struct roster_rule services[2];
	unsigned count;

	for (size_t i = 0; i < p->allow.count; i++) {
		if (!parse_service(c, &p->allow.list[i], services, &count))
			return false;
		for (unsigned s = 0; s < count; s++) {
			struct item *item;
			struct writer w = begin_item(c, ROSTER_RULES, &item);

			rule->protocol = services[s].protocol;
			rule->port_low = services[s].port_low;
			rule->port_high = services[s].port_high;
			roster_write_rule(&w, rule);
			if (!end_item(c, p->line, item, &w))
				return false;
		}
		if (c->items[ROSTER_RULES].count > ROSTER_RULES_MAX)
			return ini_fail(c, p->line,
					"the policies are more than %d rules: use groups",
					ROSTER_RULES_MAX);
	}
	return true;
}

static bool encode_policies(struct compile *c, const struct group_names *names)
{
	for (size_t i = 0; i < c->policy_count; i++) {
		const struct policy *p = &c->policies[i];
		struct roster_rule rule = {0};

		if (!p->from.count || !p->to.count || !p->allow.count)
			return ini_fail(c, p->line, "policy \"%s\" needs from, to and allow",
					p->name);
		memcpy(rule.name, p->name, sizeof(rule.name));
		for (size_t f = 0; f < p->from.count; f++)
			for (size_t t = 0; t < p->to.count; t++)
				if (!resolve_subject(c, names, &p->from.list[f], &rule.src) ||
				    !resolve_subject(c, names, &p->to.list[t], &rule.dst) ||
				    !encode_rules_of(c, names, p, &rule))
					return false;
	}
	return true;
}

static bool encode_others(struct compile *c)
{
	for (size_t i = 0; i < c->route_count; i++) {
		const struct route *r = &c->routes[i];
		struct roster_route entry = {.prefix = r->prefix, .priority = r->priority};
		struct item *item;
		struct writer w;

		if (!r->via)
			return ini_fail(c, r->line, "this route needs via = NODE");
		if (!resolve_node(c, r->line, r->via, &entry.gateway))
			return false;
		w = begin_item(c, ROSTER_ROUTES, &item);
		roster_write_route(&w, &entry);
		if (!end_item(c, r->line, item, &w))
			return false;
	}
	for (size_t i = 0; i < c->name_count; i++)
		for (size_t t = 0; t < c->names[i].to.count; t++) {
			const struct word *to = &c->names[i].to.list[t];
			struct roster_name entry = {.form = ROSTER_NAME_OF_NODE};
			struct item *item;
			struct writer w;

			memcpy(entry.name, c->names[i].name, sizeof(entry.name));
			if (address_parse(to->text, &entry.address))
				entry.form = entry.address.family;
			else if (!resolve_node(c, to->line, to->text, &entry.node))
				return false;
			w = begin_item(c, ROSTER_NAMES, &item);
			roster_write_name(&w, &entry);
			if (!end_item(c, to->line, item, &w))
				return false;
		}
	return true;
}

static bool encode_nodes(struct compile *c)
{
	for (struct node *n = c->nodes; n; n = n->hh.next) {
		struct item *item;
		struct writer w = begin_item(c, ROSTER_NODES, &item);

		roster_write_node(&w, &n->entry);
		if (!end_item(c, n->line, item, &w))
			return false;
	}
	return true;
}

static int compare_items(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int c = memcmp(x->bytes, y->bytes, MIN(x->len, y->len));

	return c ? c : (int)x->len - (int)y->len;
}

/* Sorted, none twice; of nodes no key twice. */
static bool sort_items(struct compile *c, enum roster_list list)
{
	struct items *items = &c->items[list];
	size_t kept = 0;

	if (items->count)
		qsort(items->list, items->count, sizeof(*items->list), compare_items);
	for (size_t i = 0; i < items->count; i++) {
		if (kept && list == ROSTER_NODES &&
		    !memcmp(items->list[kept - 1].bytes, items->list[i].bytes, PUBKEY_LEN)) {
			char hex[2 * PUBKEY_LEN + 1];

			hex_format(items->list[i].bytes, PUBKEY_LEN, hex);
			return ini_fail(c, 0, "two nodes have the key %s", hex);
		}
		if (!kept || compare_items(&items->list[kept - 1], &items->list[i]) != 0)
			items->list[kept++] = items->list[i];
	}
	items->count = kept;
	return true;
}

static bool put_together(struct compile *c, uint8_t **ret_body, size_t *ret_len)
{
	size_t size = ROSTER_HEADER_MAX + 16;
	struct roster roster;
	const char *why;
	struct writer w;
	uint8_t *body;

	for (int i = 0; i < ROSTER_LISTS; i++) {
		if (!sort_items(c, (enum roster_list)i))
			return false;
		for (size_t j = 0; j < c->items[i].count; j++)
			size += c->items[i].list[j].len;
	}
	body = xmalloc(size);
	writer_init(&w, body, size);
	roster_write_header(&w, &c->header);
	for (int i = 0; i < ROSTER_LISTS; i++) {
		roster_write_count(&w, (enum roster_list)i, c->items[i].count);
		for (size_t j = 0; j < c->items[i].count; j++)
			writer_copy(&w, c->items[i].list[j].bytes, c->items[i].list[j].len);
	}
	why = w.failed ? "there are more entries than a roster holds"
		       : roster_parse(body, writer_len(&w), &roster);
	if (why) {
		free(body);
		return ini_fail(c, 0, "%s", why);
	}
	*ret_body = body;
	*ret_len = writer_len(&w);
	return true;
}

bool ini_resolve(struct compile *c, uint8_t **ret_body, size_t *ret_len)
{
	struct group_names names = {0};
	bool ok = collect_groups(c, &names) && fill_groups(c, &names) && find_keys(c);

	for (size_t i = 0; ok && i < names.count; i++) {
		struct item *item;
		struct writer w = begin_item(c, ROSTER_GROUPS, &item);

		roster_write_group(&w, names.list[i]);
		ok = end_item(c, 0, item, &w);
	}
	ok = ok && encode_nodes(c) && encode_policies(c, &names) && encode_others(c) &&
	     put_together(c, ret_body, ret_len);
	free(names.list);
	return ok;
}
