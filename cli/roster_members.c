#include "cli/roster_members.h"

#include "os/chaindb.h"
#include "wire/roster.h"

#include <stdlib.h>
#include <string.h>

static int compare_members(const void *a, const void *b)
{
	return node_key_compare(&((const struct member *)a)->key, &((const struct member *)b)->key);
}

static int compare_keys(const void *a, const void *b)
{
	return node_key_compare(a, b);
}

static void add_member(struct roster_members *m, const struct record *record)
{
	if (m->count == m->room) {
		m->room = m->room ? 2 * m->room : 16;
		m->list = xrealloc(m->list, m->room * sizeof(*m->list));
	}
	struct member *to = &m->list[m->count++];
	to->key = record->node_put.key;
	memcpy(to->name, record->node_put.name, sizeof(to->name));
}

static int on_row(void *arg, const struct record_row *row)
{
	const struct record *r = &row->record;
	struct roster_members *m = arg;

	if (r->type == RECORD_ROSTER && r->roster.sequence > m->roster_sequence) {
		m->roster_sequence = r->roster.sequence;
		m->roster_root = r->roster.root;
	}
	if (row->to_height != UINT32_MAX)
		return 0;
	if (r->type == RECORD_NODE_PUT) {
		add_member(m, r);
	} else if (r->type == RECORD_DNET_CREATE) {
		if (!m->has_admin) /* a TRANSFER may stand before it in the rows */
			memcpy(m->admin_key, r->dnet_create.admin_key, XONLY_LEN);
		m->has_admin = true;
		m->ipv4 = r->dnet_create.ipv4;
	} else if (r->type == RECORD_TRANSFER && r->transfer.has_admin_key) {
		memcpy(m->admin_key, r->transfer.admin_key, XONLY_LEN);
		m->has_admin = true;
	}
	return 0;
}

static int on_revocation(void *arg, const struct chaindb_revocation *revocation)
{
	struct roster_members *m = arg;

	if (revocation->type != RECORD_NODE_DEL || revocation->subject_len != PUBKEY_LEN)
		return 0;
	if (m->revoked_count == m->revoked_room) {
		m->revoked_room = m->revoked_room ? 2 * m->revoked_room : 16;
		m->revoked = xrealloc(m->revoked, m->revoked_room * sizeof(*m->revoked));
	}
	memcpy(m->revoked[m->revoked_count++].bytes, revocation->subject, PUBKEY_LEN);
	return 0;
}

int roster_members_load(struct cli *cli, const struct object_id *dnet, struct roster_members *ret)
{
	int r = cli_db(cli);

	if (r)
		return r;
	if (chaindb_visit_object(cli->db, dnet, on_row, ret) ||
	    chaindb_visit_object_revocations(cli->db, dnet, on_revocation, ret))
		return cli_error(cli, CLI_FAILED, NULL, "%s", chaindb_error(cli->db));
	if (ret->count)
		qsort(ret->list, ret->count, sizeof(*ret->list), compare_members);
	if (ret->revoked_count)
		qsort(ret->revoked, ret->revoked_count, sizeof(*ret->revoked), compare_keys);
	return 0;
}

void roster_members_done(struct roster_members *m)
{
	free(m->list);
	free(m->revoked);
	*m = (struct roster_members){0};
}

const struct member *roster_members_find(const struct roster_members *m, const struct node_key *key)
{
	const struct member wanted = {.key = *key};

	return m->count ? bsearch(&wanted, m->list, m->count, sizeof(wanted), compare_members)
			: NULL;
}

const struct member *roster_members_find_name(const struct roster_members *m, const char *name)
{
	for (size_t i = 0; *name && i < m->count; i++)
		if (!strcmp(m->list[i].name, name))
			return &m->list[i];
	return NULL;
}

bool roster_members_revoked(const struct roster_members *m, const struct node_key *key)
{
	return m->revoked_count &&
	       bsearch(key, m->revoked, m->revoked_count, sizeof(*m->revoked), compare_keys);
}

static bool overlap(const struct prefix *a, const struct prefix *b)
{
	return a->addr.family &&
	       (a->bits <= b->bits ? prefix_contains(a, &b->addr) : prefix_contains(b, &a->addr));
}

bool roster_members_in_prefix(const struct roster_members *m, const struct roster *roster,
			      const struct object_id *dnet, const struct prefix *prefix)
{
	struct prefix own;
	struct roster_route route;
	struct roster_node node;
	struct reader r;

	dnet_prefix_derive(dnet, &own);
	if (overlap(&own, prefix) || overlap(&m->ipv4, prefix))
		return true;
	reader_init(&r, roster->lists[ROSTER_ROUTES].data, roster->lists[ROSTER_ROUTES].len);
	while (roster_next_route(&r, &route))
		if (overlap(&route.prefix, prefix))
			return true;
	reader_init(&r, roster->lists[ROSTER_NODES].data, roster->lists[ROSTER_NODES].len);
	while (roster_next_node(&r, &node))
		if (node.ipv6.family && prefix_contains(prefix, &node.ipv6))
			return true;
	return false;
}
