#include "core/netmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Rows that count by depth and that no revocation hides are sorted by object and order; the dnet's
 * own become nodes and links, a link's object its helper. Addresses and names are given last, in
 * the order of the records. */
struct builder {
	const struct netmap_input *in;
	const struct netmap_revocation **revocations; /* sorted by revocation_compare() */
	const struct record_row **rows;		      /* in force; sorted by object, then order */
	size_t row_count;
	struct claim *claims;
	size_t claim_count;
	struct netmap *map;
};

enum claim_field { CLAIM_NAME, CLAIM_IPV4, CLAIM_IPV6, CLAIM_EXTRA_IPV6 };

/* What a node wants for itself alone. */
struct claim {
	uint8_t space; /* 0 names, 4, 6 */
	uint8_t bytes[RECORD_NAME_MAX];
	enum claim_field field;
	const struct record_row *row;
	struct netmap_node *node;
};

static int compare_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

/* RECORDS 3.5: Order is (height, index of the transaction in its block, index of the output,
 * position in the payload). */
static int row_order(const struct record_row *a, const struct record_row *b)
{
	int c = compare_u32(a->from_height, b->from_height);

	if (!c)
		c = compare_u32(a->tx_index, b->tx_index);
	if (!c)
		c = compare_u32(a->out_index, b->out_index);
	return c ? c : compare_u32(a->pos, b->pos);
}

static int row_compare(const void *a, const void *b)
{
	const struct record_row *const *x = a, *const *y = b;
	int c = memcmp((*x)->object.bytes, (*y)->object.bytes, OBJECT_ID_LEN);

	return c ? c : row_order(*x, *y);
}

/* Only what the match needs; the two are equal when they revoke the same thing. */
static int revocation_match(const struct netmap_revocation *a, const struct netmap_revocation *b)
{
	int c = memcmp(a->object.bytes, b->object.bytes, OBJECT_ID_LEN);

	if (!c)
		c = (int)a->type - (int)b->type;
	if (!c)
		c = compare_u32((uint32_t)a->subject_len, (uint32_t)b->subject_len);
	return c ? c : memcmp(a->subject, b->subject, a->subject_len);
}

static int revocation_compare(const void *a, const void *b)
{
	return revocation_match(*(const struct netmap_revocation *const *)a,
				*(const struct netmap_revocation *const *)b);
}

/* What takes back a record of this type; 0: only CLOSE does. */
static uint8_t revoked_by(uint8_t type)
{
	switch (type) {
	case RECORD_NODE_PUT:
		return RECORD_NODE_DEL;
	case RECORD_LINK:
		return RECORD_UNLINK;
	case RECORD_ENDPOINT_PUT:
		return RECORD_ENDPOINT_DEL;
	case RECORD_GRANT:
		return RECORD_REVOKE;
	}
	return 0;
}

/* RECORDS 5.3: A revocation seen in a transaction that makes sequence `s` of its object hides every
 * matching addition of a sequence lower than `s`, and within the same transaction those before it.
 */
static bool revocation_hides(const struct netmap_revocation *r, const struct record_row *row)
{
	if (row->sequence != r->sequence)
		return row->sequence < r->sequence;
	return netmap_position(row->out_index, row->pos) < r->position;
}

static bool any_hides(const struct builder *b, const struct netmap_revocation *wanted,
		      const struct record_row *row)
{
	size_t low = 0, high = b->in->revocation_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (revocation_match(b->revocations[mid], wanted) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < b->in->revocation_count; low++) {
		if (revocation_match(b->revocations[low], wanted))
			return false;
		if (revocation_hides(b->revocations[low], row))
			return true;
	}
	return false;
}

static bool is_hidden(const struct builder *b, const struct record_row *row)
{
	struct netmap_revocation wanted = {.object = row->object, .type = RECORD_CLOSE};

	if (any_hides(b, &wanted, row))
		return true;
	wanted.type = revoked_by(row->record.type);
	if (!wanted.type)
		return false;
	wanted.subject_len = record_key(&row->record, wanted.subject);
	return any_hides(b, &wanted, row);
}

/* RECORDS 5.1: Additions (CREATE, NODE_PUT, LINK, ROSTER, ENDPOINT_PUT, GRANT, TRANSFER) count at
 * depth `confirm` (1 = in the tip block). What one replaces counts until then. */
static bool counts_at_depth(const struct netmap_input *in, const struct record_row *row)
{
	uint32_t height;

	if (in->confirm > in->tip_height)
		return false;
	height = in->tip_height - (in->confirm ? in->confirm - 1 : 0);
	return row->from_height && row->from_height <= height && height < row->to_height;
}

static int collect_rows(struct builder *b)
{
	const struct netmap_input *in = b->in;

	b->revocations = calloc(in->revocation_count + 1, sizeof(*b->revocations));
	b->rows = calloc(in->row_count + 1, sizeof(*b->rows));
	if (!b->revocations || !b->rows)
		return -ENOMEM;
	for (size_t i = 0; i < in->revocation_count; i++)
		b->revocations[i] = &in->revocations[i];
	qsort(b->revocations, in->revocation_count, sizeof(*b->revocations), revocation_compare);
	for (size_t i = 0; i < in->row_count; i++)
		if (counts_at_depth(in, &in->rows[i]) && !is_hidden(b, &in->rows[i]))
			b->rows[b->row_count++] = &in->rows[i];
	qsort(b->rows, b->row_count, sizeof(*b->rows), row_compare);
	return 0;
}

/* The rows of one object. */
static size_t rows_of(const struct builder *b, const struct object_id *object,
		      const struct record_row *const **ret_first)
{
	size_t low = 0, high = b->row_count, end;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(b->rows[mid]->object.bytes, object->bytes, OBJECT_ID_LEN) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (end = low; end < b->row_count && object_id_equal(&b->rows[end]->object, object);)
		end++;
	*ret_first = (const struct record_row *const *)b->rows + low;
	return end - low;
}

/* Create, transfers and roster; RECORDS 4.1, the last one counts. */
static void read_dnet(struct netmap *map, const struct record *r)
{
	switch ((enum record_type)r->type) {
	case RECORD_DNET_CREATE:
		map->exists = true;
		memcpy(map->name, r->dnet_create.name, sizeof(map->name));
		memcpy(map->admin_key, r->dnet_create.admin_key, XONLY_LEN);
		map->ipv4_prefix = r->dnet_create.ipv4;
		break;
	case RECORD_TRANSFER:
		if (r->transfer.has_admin_key)
			memcpy(map->admin_key, r->transfer.admin_key, XONLY_LEN);
		break;
	case RECORD_ROSTER:
		map->has_roster = true;
		map->roster_sequence = r->roster.sequence;
		map->roster_root = r->roster.root;
		break;
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
	case RECORD_NODE_PUT:
	case RECORD_NODE_DEL:
	case RECORD_LINK:
	case RECORD_UNLINK:
	case RECORD_ENDPOINT_PUT:
	case RECORD_ENDPOINT_DEL:
	case RECORD_GRANT:
	case RECORD_REVOKE:
	case RECORD_CLOSE:
		break;
	}
}

static int put_compare(const void *a, const void *b)
{
	const struct record_row *const *x = a, *const *y = b;
	int c = node_key_compare(&(*x)->record.node_put.key, &(*y)->record.node_put.key);

	return c ? c : row_order(*x, *y);
}

static bool ipv4_is_host_of(const struct prefix *p, const struct address *a)
{
	uint32_t mask = p->bits ? UINT32_MAX << (32 - p->bits) : 0;
	uint32_t host = load_u32be(a->bytes) & ~mask;

	return prefix_contains(p, a) && host && host != ~mask;
}

static void claim(struct builder *b, struct netmap_node *node, const struct record_row *row,
		  enum claim_field field, uint8_t space, const void *bytes, size_t len)
{
	struct claim *c = &b->claims[b->claim_count++];

	c->space = space;
	c->field = field;
	c->row = row;
	c->node = node;
	memcpy(c->bytes, bytes, len);
}

/* RECORDS 4.5: An IPv4 of a NODE_PUT outside the prefix of its dnet, its network or broadcast
 * address, […] the record counts */
static void fill_node(struct builder *b, struct netmap_node *node, const struct record_row *row)
{
	const struct record *r = &row->record;

	node->key = r->node_put.key;
	node->flags = r->node_put.flags;
	node->from_height = row->from_height;
	node_address_derive(&b->in->id, &node->key, &node->ipv6);
	claim(b, node, row, CLAIM_IPV6, 6, node->ipv6.bytes, 16);
	if (r->node_put.name[0]) {
		memcpy(node->name, r->node_put.name, sizeof(node->name));
		claim(b, node, row, CLAIM_NAME, 0, node->name, strlen(node->name));
	}
	if (r->node_put.ipv6.family) {
		if (prefix_contains(&b->map->ipv6_prefix, &r->node_put.ipv6)) {
			node->remark = "its IPv6 address is inside the dnet's own prefix";
		} else {
			node->extra_ipv6 = r->node_put.ipv6;
			claim(b, node, row, CLAIM_EXTRA_IPV6, 6, node->extra_ipv6.bytes, 16);
		}
	}
	if (!r->node_put.ipv4.family)
		return;
	if (!b->map->ipv4_prefix.addr.family) {
		node->remark = "its IPv4 address is not given: the dnet has no IPv4 prefix";
	} else if (!ipv4_is_host_of(&b->map->ipv4_prefix, &r->node_put.ipv4)) {
		node->remark = "its IPv4 address is no host of the dnet's prefix";
	} else {
		node->ipv4 = r->node_put.ipv4;
		claim(b, node, row, CLAIM_IPV4, 4, node->ipv4.bytes, 4);
	}
}

static int build_nodes(struct builder *b, const struct record_row *const *rows, size_t count)
{
	const struct record_row **puts = calloc(count + 1, sizeof(*puts));
	struct netmap *map = b->map;
	size_t n = 0;

	if (!puts)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (rows[i]->record.type == RECORD_NODE_PUT)
			puts[n++] = rows[i];
	map->nodes = calloc(n + 1, sizeof(*map->nodes));
	b->claims = calloc(4 * n + 1, sizeof(*b->claims));
	if (!map->nodes || !b->claims) {
		free(puts);
		return -ENOMEM;
	}
	qsort(puts, n, sizeof(*puts), put_compare);
	for (size_t i = 0; i < n; i++) {
		const struct node_key *key = &puts[i]->record.node_put.key;

		if (i + 1 == n || !node_key_equal(key, &puts[i + 1]->record.node_put.key))
			fill_node(b, &map->nodes[map->node_count++], puts[i]);
	}
	free(puts);
	return 0;
}

static int claim_compare(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int c = (int)x->space - (int)y->space;

	if (!c)
		c = memcmp(x->bytes, y->bytes, sizeof(x->bytes));
	return c ? c : row_order(x->row, y->row);
}

static void lose_claim(const struct claim *c)
{
	static const struct address none;

	switch (c->field) {
	case CLAIM_NAME:
		c->node->name[0] = 0;
		c->node->remark = "its name is held by an earlier node";
		break;
	case CLAIM_IPV4:
		c->node->ipv4 = none;
		c->node->remark = "its IPv4 address is held by an earlier node";
		break;
	case CLAIM_IPV6:
		c->node->ipv6 = none;
		c->node->remark = "the IPv6 address of its key is held by an earlier node";
		break;
	case CLAIM_EXTRA_IPV6:
		c->node->extra_ipv6 = none;
		c->node->remark = "its IPv6 address is held by an earlier node";
		break;
	}
}

/* RECORDS 4.5: the address or name belongs to the earlier holder as long as that one is in force.
 */
static void settle_claims(struct builder *b)
{
	qsort(b->claims, b->claim_count, sizeof(*b->claims), claim_compare);
	for (size_t i = 1; i < b->claim_count; i++) {
		const struct claim *c = &b->claims[i];

		if (c->space == c[-1].space && !memcmp(c->bytes, c[-1].bytes, sizeof(c->bytes)))
			lose_claim(c);
	}
}

/* RECORDS 5.5: Of the ENDPOINT_PUTs of an OVC or OVR that are in force readers use the earliest
 * eight. */
static void add_endpoint(struct netmap_helper *h, const struct record_endpoint *e)
{
	if (h->endpoint_count < NETMAP_ENDPOINTS)
		h->endpoints[h->endpoint_count++] = *e;
}

/* RECORDS 5.4: A dnet uses an OVC or OVR only if its LINK and the GRANT by the OVC or OVR are both
 * in force, the grant is not expired (expiry height 0 or not below the tip height) and neither
 * object is closed. A CLOSE hides the CREATE, so a closed one is not there. */
static bool fill_helper(const struct builder *b, const struct record *link, struct netmap_helper *h)
{
	uint8_t create = link->link.kind == OBJECT_OVC ? RECORD_OVC_CREATE : RECORD_OVR_CREATE;
	const struct record_row *const *rows;
	size_t count = rows_of(b, &link->link.id, &rows);
	bool created = false, granted = false;

	*h = (struct netmap_helper){.kind = link->link.kind,
				    .id = link->link.id,
				    .priority = link->link.priority,
				    .weight = link->link.weight};
	for (size_t i = 0; i < count; i++) {
		const struct record *r = &rows[i]->record;

		if (r->type == create) {
			created = true;
			h->key = r->service_create.service_key;
			memcpy(h->name, r->service_create.name, sizeof(h->name));
		} else if (r->type == RECORD_ENDPOINT_PUT) {
			add_endpoint(h, &r->endpoint);
		} else if (r->type == RECORD_GRANT && object_id_equal(&r->grant.dnet, &b->in->id)) {
			granted = true;
			h->grant_expiry = r->grant.expiry;
			h->rate_kbit = r->grant.rate_kbit;
			h->volume_mib = r->grant.volume_mib;
		}
	}
	return created && granted && (!h->grant_expiry || h->grant_expiry >= b->in->tip_height);
}

static int helper_compare(const void *a, const void *b)
{
	const struct netmap_helper *x = a, *y = b;
	int c = (int)x->kind - (int)y->kind;

	if (!c)
		c = (int)x->priority - (int)y->priority;
	return c ? c : memcmp(x->id.bytes, y->id.bytes, OBJECT_ID_LEN);
}

static int build_helpers(struct builder *b, const struct record_row *const *rows, size_t count)
{
	struct netmap *map = b->map;
	size_t links = 0;

	for (size_t i = 0; i < count; i++)
		links += rows[i]->record.type == RECORD_LINK;
	map->helpers = calloc(links + 1, sizeof(*map->helpers));
	if (!map->helpers)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (rows[i]->record.type == RECORD_LINK &&
		    fill_helper(b, &rows[i]->record, &map->helpers[map->helper_count]))
			map->helper_count++;
	qsort(map->helpers, map->helper_count, sizeof(*map->helpers), helper_compare);
	return 0;
}

static int build(struct builder *b)
{
	struct netmap *map = b->map;
	const struct record_row *const *rows;
	size_t count;
	int err = collect_rows(b);

	if (err)
		return err;
	count = rows_of(b, &b->in->id, &rows);
	for (size_t i = 0; i < count; i++)
		read_dnet(map, &rows[i]->record);
	/* RECORDS 4.4: After CLOSE nothing counts for the object any more. */
	if (!map->exists)
		count = 0;
	err = build_nodes(b, rows, count);
	if (!err)
		err = build_helpers(b, rows, count);
	if (!err)
		settle_claims(b);
	return err;
}

int netmap_build(const struct netmap_input *input, struct netmap **ret_netmap)
{
	struct builder b = {.in = input};
	int err;

	b.map = calloc(1, sizeof(*b.map));
	if (!b.map)
		return -ENOMEM;
	b.map->id = input->id;
	b.map->height = input->tip_height;
	dnet_prefix_derive(&input->id, &b.map->ipv6_prefix);
	err = build(&b);
	free(b.claims);
	free(b.rows);
	free(b.revocations);
	if (err)
		netmap_free(b.map);
	else
		*ret_netmap = b.map;
	return err;
}

void netmap_free(struct netmap *netmap)
{
	if (!netmap)
		return;
	free(netmap->nodes);
	free(netmap->helpers);
	free(netmap->rules);
	free(netmap->memberships);
	secret_wipe(netmap, sizeof(*netmap));
	free(netmap);
}

static int find_compare(const void *key, const void *node)
{
	return node_key_compare(key, &((const struct netmap_node *)node)->key);
}

/* Whose key it is, when it is the one of a node of this very netmap. */
static const struct netmap_node *node_of_key(const struct netmap *netmap,
					     const struct node_key *key)
{
	uintptr_t at = (uintptr_t)key - offsetof(struct netmap_node, key);
	uintptr_t first = (uintptr_t)netmap->nodes;

	if (!netmap->node_count || at < first ||
	    (at - first) / sizeof(struct netmap_node) >= netmap->node_count ||
	    (at - first) % sizeof(struct netmap_node))
		return NULL;
	return &netmap->nodes[(at - first) / sizeof(struct netmap_node)];
}

const struct netmap_node *netmap_find_node(const struct netmap *netmap, const struct node_key *key)
{
	const struct netmap_node *own = node_of_key(netmap, key);

	if (own)
		return own;
	return netmap->node_count ? bsearch(key, netmap->nodes, netmap->node_count,
					    sizeof(*netmap->nodes), find_compare)
				  : NULL;
}

const struct netmap_node *netmap_next_node(const struct netmap *netmap, size_t *at,
					   const struct node_key *key)
{
	int c = -1;

	while (*at < netmap->node_count) {
		c = node_key_compare(&netmap->nodes[*at].key, key);
		if (c >= 0)
			break;
		++*at;
	}
	return c ? NULL : &netmap->nodes[*at];
}

const struct netmap_node *netmap_find_name(const struct netmap *netmap, const char *name)
{
	for (size_t i = 0; *name && i < netmap->node_count; i++)
		if (!strcmp(netmap->nodes[i].name, name))
			return &netmap->nodes[i];
	return NULL;
}
