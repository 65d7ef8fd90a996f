#include "wire/roster.h"

#include "wire/hash.h"
#include "wire/ip.h"

#include <string.h>

static const uint32_t list_max[ROSTER_LISTS] = {
	[ROSTER_GROUPS] = ROSTER_GROUPS_MAX, [ROSTER_NODES] = ROSTER_NODES_MAX,
	[ROSTER_ROUTES] = ROSTER_ROUTES_MAX, [ROSTER_RULES] = ROSTER_RULES_MAX,
	[ROSTER_NAMES] = ROSTER_NAMES_MAX,
};

/* Each reader of an entry fails its reader for what is malformed, so that reading and checking are
 * one. */

static void fail(struct reader *r)
{
	r->failed = true;
}

static void read_text(struct reader *r, bool may_be_empty, char ret[static RECORD_NAME_MAX + 1])
{
	size_t len = reader_u8(r);
	const uint8_t *text = len <= RECORD_NAME_MAX ? reader_bytes(r, len) : NULL;

	memset(ret, 0, RECORD_NAME_MAX + 1);
	if (!text || memchr(text, 0, len)) {
		fail(r);
		return;
	}
	memcpy(ret, text, len);
	if (!(len == 0 && may_be_empty) && !record_name_ok(ret))
		fail(r);
}

static void read_key(struct reader *r, struct node_key *ret)
{
	reader_copy(r, ret->bytes, PUBKEY_LEN);
	if (!node_key_well_formed(ret))
		fail(r);
}

static void read_address(struct reader *r, uint8_t family, struct address *ret)
{
	*ret = (struct address){.family = family};
	reader_copy(r, ret->bytes, family == ADDR_V4 ? 4 : 16);
}

static void read_prefix(struct reader *r, struct prefix *ret)
{
	uint8_t family = reader_u8(r), bits = reader_u8(r);
	struct prefix masked;

	*ret = (struct prefix){0};
	if ((family != ADDR_V4 && family != ADDR_V6) || bits > (family == ADDR_V4 ? 32 : 128)) {
		fail(r);
		return;
	}
	read_address(r, family, &ret->addr);
	ret->bits = bits;
	masked = *ret;
	prefix_mask(&masked);
	if (!prefix_equal(&masked, ret))
		fail(r);
}

static void read_subject(struct reader *r, struct roster_subject *ret)
{
	*ret = (struct roster_subject){.kind = reader_u8(r)};
	switch (ret->kind) {
	case ROSTER_ALL:
		return;
	case ROSTER_NODE:
		read_key(r, &ret->node);
		return;
	case ROSTER_GROUP:
		ret->group = reader_u16(r);
		return;
	case ROSTER_PREFIX:
		read_prefix(r, &ret->prefix);
		return;
	}
	fail(r);
}

static void read_group(struct reader *r, char ret[static RECORD_NAME_MAX + 1])
{
	read_text(r, false, ret);
}

static void read_node(struct reader *r, struct roster_node *ret)
{
	memset(ret, 0, sizeof(*ret));
	read_key(r, &ret->key);
	ret->flags = reader_u8(r);
	if (ret->flags & ~(NODE_FLAG_GATEWAY | NODE_FLAG_RELAY | ROSTER_FLAG_EXPIRES |
			   NODE_FLAG_IPV4 | NODE_FLAG_IPV6))
		fail(r);
	if (ret->flags & NODE_FLAG_IPV4)
		read_address(r, ADDR_V4, &ret->ipv4);
	if (ret->flags & NODE_FLAG_IPV6)
		read_address(r, ADDR_V6, &ret->ipv6);
	if ((ret->flags & NODE_FLAG_IPV6) && ret->ipv6.bytes[0] != 0xfd)
		fail(r);
	if (ret->flags & ROSTER_FLAG_EXPIRES)
		ret->expires = reader_u64(r);
	if ((ret->flags & ROSTER_FLAG_EXPIRES) && !ret->expires)
		fail(r);
	read_text(r, true, ret->name);
	ret->group_count = reader_u8(r);
	if (ret->group_count > ROSTER_NODE_GROUPS_MAX) {
		ret->group_count = 0;
		fail(r);
	}
	for (unsigned i = 0; i < ret->group_count; i++) {
		ret->groups[i] = reader_u16(r);
		if (i && ret->groups[i] <= ret->groups[i - 1])
			fail(r);
	}
}

static void read_route(struct reader *r, struct roster_route *ret)
{
	memset(ret, 0, sizeof(*ret));
	read_prefix(r, &ret->prefix);
	ret->priority = reader_u16(r);
	read_key(r, &ret->gateway);
}

static bool has_ports(uint16_t protocol)
{
	return protocol == IP_PROTO_TCP || protocol == IP_PROTO_UDP ||
	       protocol == ROSTER_ANY_PROTOCOL;
}

static void read_rule(struct reader *r, struct roster_rule *ret)
{
	memset(ret, 0, sizeof(*ret));
	read_text(r, false, ret->name);
	read_subject(r, &ret->src);
	read_subject(r, &ret->dst);
	ret->protocol = reader_u16(r);
	ret->port_low = reader_u16(r);
	ret->port_high = reader_u16(r);
	if (ret->protocol > ROSTER_ANY_PROTOCOL || ret->port_low > ret->port_high)
		fail(r);
	if (!has_ports(ret->protocol) && (ret->port_low != 0 || ret->port_high != UINT16_MAX))
		fail(r);
}

static void read_name(struct reader *r, struct roster_name *ret)
{
	memset(ret, 0, sizeof(*ret));
	read_text(r, false, ret->name);
	ret->form = reader_u8(r);
	switch (ret->form) {
	case ROSTER_NAME_OF_NODE:
		read_key(r, &ret->node);
		return;
	case ROSTER_NAME_IPV4:
	case ROSTER_NAME_IPV6:
		read_address(r, ret->form, &ret->address);
		return;
	}
	fail(r);
}

/* ---- The whole ---- */

union entry {
	char group[RECORD_NAME_MAX + 1];
	struct roster_node node;
	struct roster_route route;
	struct roster_rule rule;
	struct roster_name name;
};

static void read_entry(struct reader *r, enum roster_list list, union entry *ret)
{
	switch (list) {
	case ROSTER_GROUPS:
		read_group(r, ret->group);
		return;
	case ROSTER_NODES:
		read_node(r, &ret->node);
		return;
	case ROSTER_ROUTES:
		read_route(r, &ret->route);
		return;
	case ROSTER_RULES:
		read_rule(r, &ret->rule);
		return;
	case ROSTER_NAMES:
		read_name(r, &ret->name);
		return;
	case ROSTER_LISTS:
		break;
	}
	fail(r);
}

/* Every group that it names is there. */
static bool groups_known(enum roster_list list, const union entry *e, uint32_t groups)
{
	if (list == ROSTER_NODES)
		return !e->node.group_count || e->node.groups[e->node.group_count - 1] < groups;
	if (list != ROSTER_RULES)
		return true;
	return (e->rule.src.kind != ROSTER_GROUP || e->rule.src.group < groups) &&
	       (e->rule.dst.kind != ROSTER_GROUP || e->rule.dst.group < groups);
}

static int compare_spans(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	size_t len = a_len < b_len ? a_len : b_len;
	int c = memcmp(a, b, len);

	return c ? c : (a_len > b_len) - (a_len < b_len);
}

static const char *read_list(struct reader *r, enum roster_list list, struct roster *ret)
{
	const uint8_t *start, *last = NULL;
	size_t last_len = 0;
	union entry e;
	uint32_t count = list == ROSTER_NODES ? reader_u32(r) : reader_u16(r);

	if (count > list_max[list])
		return "a list has more entries than there may be";
	start = r->pos;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *entry = r->pos;
		size_t len;

		read_entry(r, list, &e);
		if (r->failed)
			return "an entry is malformed";
		len = (size_t)(r->pos - entry);
		if (!groups_known(list, &e, ret->counts[ROSTER_GROUPS]))
			return "a group is named that is not in the list";
		if (last && compare_spans(last, last_len, entry, len) >= 0)
			return "a list is not in rising order";
		if (last && list == ROSTER_NODES && !memcmp(last, entry, PUBKEY_LEN))
			return "a node is there twice";
		last = entry;
		last_len = len;
	}
	ret->lists[list] = (struct span){start, r->failed ? 0 : (size_t)(r->pos - start)};
	ret->counts[list] = count;
	return NULL;
}

static bool is_zero(const struct secret *secret)
{
	static const struct secret zeros;

	return secret_bytes_equal(secret, &zeros, sizeof(zeros));
}

static bool header_ok(const struct roster_header *h)
{
	if (!h->sequence || (h->expires && h->expires <= h->issued))
		return false;
	if (!h->epoch.number)
		return !h->before.number;
	return h->before.number < h->epoch.number && !is_zero(&h->epoch.psk) &&
	       is_zero(&h->before.psk) == !h->before.number;
}

static void read_epochs(struct reader *r, struct roster_header *h)
{
	h->epoch.number = reader_u32(r);
	if (!h->epoch.number)
		return;
	h->epoch_since = reader_u64(r);
	reader_copy(r, h->epoch.psk.bytes, SECRET_LEN);
	h->before.number = reader_u32(r);
	reader_copy(r, h->before.psk.bytes, SECRET_LEN);
}

const char *roster_parse(const void *data, size_t len, struct roster *ret)
{
	struct roster roster = {0};
	struct roster_header *h = &roster.header;
	struct reader r;

	if (len > ROSTER_BODY_MAX)
		return "it is longer than 8 MiB";
	reader_init(&r, data, len);
	reader_copy(&r, h->dnet.bytes, OBJECT_ID_LEN);
	h->sequence = reader_u32(&r);
	reader_copy(&r, h->previous.bytes, HASH_LEN);
	h->issued = reader_u64(&r);
	h->expires = reader_u64(&r);
	read_epochs(&r, h);
	reader_copy(&r, h->salt, ROSTER_SALT_LEN);
	if (r.failed || !header_ok(h))
		return "the header is malformed";
	for (int i = 0; i < ROSTER_LISTS; i++) {
		const char *why = read_list(&r, (enum roster_list)i, &roster);

		if (why)
			return why;
	}
	if (!reader_done(&r))
		return "it is too short, or something stands behind it";
	*ret = roster;
	secret_wipe(&roster, sizeof(roster)); /* it may have a PSK */
	return NULL;
}

bool roster_next_group(struct reader *r, char ret_name[static RECORD_NAME_MAX + 1])
{
	if (reader_left(r))
		read_group(r, ret_name);
	else
		fail(r);
	return !r->failed;
}

#define NEXT(what)                                                                                 \
	bool roster_next_##what(struct reader *r, struct roster_##what *ret)                       \
	{                                                                                          \
		if (reader_left(r))                                                                \
			read_##what(r, ret);                                                       \
		else                                                                               \
			fail(r);                                                                   \
		return !r->failed;                                                                 \
	}
NEXT(node)
NEXT(route)
NEXT(rule)
NEXT(name)
#undef NEXT

/* ---- Writing ---- */

static void write_text(struct writer *w, const char *text)
{
	size_t len = strnlen(text, RECORD_NAME_MAX + 1);

	writer_u8(w, (uint8_t)len);
	writer_copy(w, text, len);
}

static void write_address(struct writer *w, const struct address *a)
{
	writer_copy(w, a->bytes, a->family == ADDR_V4 ? 4 : 16);
}

static void write_prefix(struct writer *w, const struct prefix *p)
{
	writer_u8(w, p->addr.family);
	writer_u8(w, p->bits);
	write_address(w, &p->addr);
}

static void write_subject(struct writer *w, const struct roster_subject *s)
{
	writer_u8(w, s->kind);
	switch (s->kind) {
	case ROSTER_NODE:
		writer_copy(w, s->node.bytes, PUBKEY_LEN);
		return;
	case ROSTER_GROUP:
		writer_u16(w, s->group);
		return;
	case ROSTER_PREFIX:
		write_prefix(w, &s->prefix);
		return;
	}
}

/* What was written since start is an entry that reads back. */
static void check_entry(struct writer *w, size_t start, enum roster_list list)
{
	struct reader r;
	union entry e;

	if (w->failed)
		return;
	reader_init(&r, w->start + start, writer_len(w) - start);
	read_entry(&r, list, &e);
	w->failed = !reader_done(&r);
}

static void write_epochs(struct writer *w, const struct roster_header *h)
{
	writer_u32(w, h->epoch.number);
	if (!h->epoch.number)
		return;
	writer_u64(w, h->epoch_since);
	writer_copy(w, h->epoch.psk.bytes, SECRET_LEN);
	writer_u32(w, h->before.number);
	writer_copy(w, h->before.psk.bytes, SECRET_LEN);
}

void roster_write_header(struct writer *w, const struct roster_header *h)
{
	if (!header_ok(h))
		w->failed = true;
	writer_copy(w, h->dnet.bytes, OBJECT_ID_LEN);
	writer_u32(w, h->sequence);
	writer_copy(w, h->previous.bytes, HASH_LEN);
	writer_u64(w, h->issued);
	writer_u64(w, h->expires);
	write_epochs(w, h);
	writer_copy(w, h->salt, ROSTER_SALT_LEN);
}

void roster_write_group(struct writer *w, const char *name)
{
	size_t start = writer_len(w);

	write_text(w, name);
	check_entry(w, start, ROSTER_GROUPS);
}

void roster_write_node(struct writer *w, const struct roster_node *node)
{
	size_t start = writer_len(w);

	writer_copy(w, node->key.bytes, PUBKEY_LEN);
	writer_u8(w, node->flags);
	if (node->flags & NODE_FLAG_IPV4)
		writer_copy(w, node->ipv4.bytes, 4);
	if (node->flags & NODE_FLAG_IPV6)
		writer_copy(w, node->ipv6.bytes, 16);
	if (node->flags & ROSTER_FLAG_EXPIRES)
		writer_u64(w, node->expires);
	write_text(w, node->name);
	writer_u8(w, node->group_count);
	for (unsigned i = 0; i < node->group_count && i < ROSTER_NODE_GROUPS_MAX; i++)
		writer_u16(w, node->groups[i]);
	check_entry(w, start, ROSTER_NODES);
}

void roster_write_route(struct writer *w, const struct roster_route *route)
{
	size_t start = writer_len(w);

	write_prefix(w, &route->prefix);
	writer_u16(w, route->priority);
	writer_copy(w, route->gateway.bytes, PUBKEY_LEN);
	check_entry(w, start, ROSTER_ROUTES);
}

void roster_write_rule(struct writer *w, const struct roster_rule *rule)
{
	size_t start = writer_len(w);

	write_text(w, rule->name);
	write_subject(w, &rule->src);
	write_subject(w, &rule->dst);
	writer_u16(w, rule->protocol);
	writer_u16(w, rule->port_low);
	writer_u16(w, rule->port_high);
	check_entry(w, start, ROSTER_RULES);
}

void roster_write_name(struct writer *w, const struct roster_name *name)
{
	size_t start = writer_len(w);

	write_text(w, name->name);
	writer_u8(w, name->form);
	if (name->form == ROSTER_NAME_OF_NODE)
		writer_copy(w, name->node.bytes, PUBKEY_LEN);
	else
		write_address(w, &name->address);
	check_entry(w, start, ROSTER_NAMES);
}

void roster_write_count(struct writer *w, enum roster_list list, size_t count)
{
	if (count > list_max[list])
		w->failed = true;
	if (list == ROSTER_NODES)
		writer_u32(w, (uint32_t)count);
	else
		writer_u16(w, (uint16_t)count);
}

void roster_root(const void *body, size_t len, struct hash256 *ret)
{
	hash_tagged("dnet/roster/1", body, len, ret);
}
