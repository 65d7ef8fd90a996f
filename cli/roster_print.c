#include "cli/roster_ini.h"

#include "os/base.h"
#include "wire/bech32.h"
#include "wire/hex.h"
#include "wire/ip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A roster as text. Nodes without a name get one from their key. */

enum { KEY_TEXT_SIZE = 2 * PUBKEY_LEN + 1, SUBJECT_TEXT_SIZE = 80 };

struct known_node {
	struct node_key key;
	char name[RECORD_NAME_MAX + 1];
};

struct print {
	FILE *out;
	const struct roster *roster;
	char (*groups)[RECORD_NAME_MAX + 1]; /* owned */
	struct known_node *nodes;	     /* owned; sorted by key as the roster has them */
};

static const char *time_text(uint64_t seconds, char ret[static 32])
{
	time_t when = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&when, &tm) || !strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(ret, 32, "%" PRIu64, seconds);
	return ret;
}

const char *roster_service_text(const struct roster_rule *rule,
				char ret[static ROSTER_SERVICE_TEXT_MAX])
{
	char protocol[8];
	bool ports = rule->port_low != 0 || rule->port_high != UINT16_MAX;

	if (rule->protocol == ROSTER_ANY_PROTOCOL)
		snprintf(protocol, sizeof(protocol), "all");
	else if (rule->protocol == IP_PROTO_TCP)
		snprintf(protocol, sizeof(protocol), "tcp");
	else if (rule->protocol == IP_PROTO_UDP)
		snprintf(protocol, sizeof(protocol), "udp");
	else
		snprintf(protocol, sizeof(protocol), "%u", rule->protocol & 0x1ffu);
	if (!ports)
		snprintf(ret, ROSTER_SERVICE_TEXT_MAX, "%s", protocol);
	else if (rule->port_low == rule->port_high)
		snprintf(ret, ROSTER_SERVICE_TEXT_MAX, "%s/%u", protocol, rule->port_low);
	else
		snprintf(ret, ROSTER_SERVICE_TEXT_MAX, "%s/%u-%u", protocol, rule->port_low,
			 rule->port_high);
	return ret;
}

static int compare_known(const void *a, const void *b)
{
	return node_key_compare(&((const struct known_node *)a)->key,
				&((const struct known_node *)b)->key);
}

static const char *node_text(const struct print *p, const struct node_key *key,
			     char ret[static SUBJECT_TEXT_SIZE])
{
	const struct known_node wanted = {.key = *key}, *found = NULL;
	uint32_t count = p->roster->counts[ROSTER_NODES];

	if (count)
		found = bsearch(&wanted, p->nodes, count, sizeof(wanted), compare_known);
	if (found)
		snprintf(ret, SUBJECT_TEXT_SIZE, "%s", found->name);
	else
		hex_format(key->bytes, PUBKEY_LEN, ret);
	return ret;
}

static const char *subject_text(const struct print *p, const struct roster_subject *s,
				char ret[static SUBJECT_TEXT_SIZE])
{
	switch ((enum roster_subject_kind)s->kind) {
	case ROSTER_ALL:
		break;
	case ROSTER_NODE:
		return node_text(p, &s->node, ret);
	case ROSTER_GROUP:
		snprintf(ret, SUBJECT_TEXT_SIZE, "@%s", p->groups[s->group]);
		return ret;
	case ROSTER_PREFIX:
		prefix_format(&s->prefix, ret);
		return ret;
	}
	snprintf(ret, SUBJECT_TEXT_SIZE, "all");
	return ret;
}

static void load_lists(struct print *p)
{
	struct roster_node node;
	struct reader r;
	size_t i = 0;

	p->groups = xcalloc(p->roster->counts[ROSTER_GROUPS], sizeof(*p->groups));
	p->nodes = xcalloc(p->roster->counts[ROSTER_NODES], sizeof(*p->nodes));
	reader_init(&r, p->roster->lists[ROSTER_GROUPS].data, p->roster->lists[ROSTER_GROUPS].len);
	while (i < p->roster->counts[ROSTER_GROUPS] && roster_next_group(&r, p->groups[i]))
		i++;
	reader_init(&r, p->roster->lists[ROSTER_NODES].data, p->roster->lists[ROSTER_NODES].len);
	for (i = 0; i < p->roster->counts[ROSTER_NODES] && roster_next_node(&r, &node); i++) {
		char hex[KEY_TEXT_SIZE];

		p->nodes[i].key = node.key;
		hex_format(node.key.bytes, PUBKEY_LEN, hex);
		if (node.name[0])
			memcpy(p->nodes[i].name, node.name, sizeof(node.name));
		else
			snprintf(p->nodes[i].name, sizeof(p->nodes[i].name), "n-%.20s", hex + 2);
	}
}

static void print_node(struct print *p, const struct roster_node *node, const char *name)
{
	char text[KEY_TEXT_SIZE], address[ADDRESS_TEXT_MAX], when[32];

	hex_format(node->key.bytes, PUBKEY_LEN, text);
	fprintf(p->out, "\n[node %s]\nkey = %s\n", name, text);
	if (node->flags & NODE_FLAG_IPV4)
		fprintf(p->out, "ipv4 = %s\n", address_format(&node->ipv4, address));
	if (node->flags & NODE_FLAG_IPV6)
		fprintf(p->out, "ipv6 = %s\n", address_format(&node->ipv6, address));
	if (node->expires)
		fprintf(p->out, "expires = %s\n", time_text(node->expires, when));
	for (unsigned i = 0; i < node->group_count; i++)
		fprintf(p->out, "groups = %s\n", p->groups[node->groups[i]]);
	if (node->flags & NODE_FLAG_GATEWAY)
		fprintf(p->out, "flags = gateway\n");
	if (node->flags & NODE_FLAG_RELAY)
		fprintf(p->out, "flags = relay\n");
}

static void print_nodes(struct print *p)
{
	struct roster_node node;
	struct reader r;

	reader_init(&r, p->roster->lists[ROSTER_NODES].data, p->roster->lists[ROSTER_NODES].len);
	for (size_t i = 0; i < p->roster->counts[ROSTER_NODES] && roster_next_node(&r, &node); i++)
		print_node(p, &node, p->nodes[i].name);
}

/* A section for each name; from begins another pair of ends. */
static void print_rules(struct print *p)
{
	const struct span *list = &p->roster->lists[ROSTER_RULES];
	struct roster_rule rule, last = {.name = ""};
	struct reader r;

	reader_init(&r, list->data, list->len);
	while (roster_next_rule(&r, &rule)) {
		char text[SUBJECT_TEXT_SIZE], service[ROSTER_SERVICE_TEXT_MAX];
		bool same_name = !strcmp(rule.name, last.name);

		if (!same_name || memcmp(&rule.src, &last.src, sizeof(rule.src)) != 0 ||
		    memcmp(&rule.dst, &last.dst, sizeof(rule.dst)) != 0) {
			if (!same_name)
				fprintf(p->out, "\n[policy %s]\n", rule.name);
			fprintf(p->out, "from = %s\n", subject_text(p, &rule.src, text));
			fprintf(p->out, "to = %s\n", subject_text(p, &rule.dst, text));
		}
		fprintf(p->out, "allow = %s\n", roster_service_text(&rule, service));
		last = rule;
	}
}

static void print_others(struct print *p)
{
	struct roster_route route;
	struct roster_name name, last = {.name = ""};
	char text[SUBJECT_TEXT_SIZE];
	struct reader r;

	reader_init(&r, p->roster->lists[ROSTER_ROUTES].data, p->roster->lists[ROSTER_ROUTES].len);
	while (roster_next_route(&r, &route)) {
		fprintf(p->out, "\n[route %s]\n", prefix_format(&route.prefix, text));
		fprintf(p->out, "via = %s\npriority = %u\n", node_text(p, &route.gateway, text),
			route.priority);
	}
	reader_init(&r, p->roster->lists[ROSTER_NAMES].data, p->roster->lists[ROSTER_NAMES].len);
	while (roster_next_name(&r, &name)) {
		if (strcmp(name.name, last.name) != 0)
			fprintf(p->out, "\n[name %s]\n", name.name);
		if (name.form == ROSTER_NAME_OF_NODE)
			node_text(p, &name.node, text);
		else
			address_format(&name.address, text);
		fprintf(p->out, "to = %s\n", text);
		last = name;
	}
}

void roster_ini_print(const struct roster *roster, FILE *out)
{
	struct print p = {.out = out, .roster = roster};
	char id[OBJECT_ID_TEXT_SIZE], when[32];

	load_lists(&p);
	object_id_format(OBJECT_DNET, &roster->header.dnet, id);
	fprintf(out, "# sequence %" PRIu32 ", issued %s\n[dnet]\nid = %s\n",
		roster->header.sequence, time_text(roster->header.issued, when), id);
	if (roster->header.expires)
		fprintf(out, "expires = %s\n", time_text(roster->header.expires, when));
	print_nodes(&p);
	print_rules(&p);
	print_others(&p);
	free(p.groups);
	free(p.nodes);
}
