#include "sim/parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What the owner and the operators wrote. A record that is written again stands in place of the one
 * before, and so does a revocation: a day of changes is not longer than the dnet is large. */

struct dnet *dnet_new(struct world *w, uint8_t fill)
{
	struct dnet *d = calloc(1, sizeof(*d));
	struct record_row row = {.kind = OBJECT_DNET,
				 .from_height = 1,
				 .to_height = UINT32_MAX,
				 .record.type = RECORD_DNET_CREATE};

	assert(d);
	d->w = w;
	memset(&d->id, fill, sizeof(d->id));
	row.object = d->id;
	strcpy(row.record.dnet_create.name, "sim");
	assert(prefix_parse("10.99.0.0/16", &row.record.dnet_create.ipv4));
	dnet_put_row(d, &row);
	return d;
}

void dnet_free(struct dnet *d)
{
	free(d->rows);
	free(d->revocations);
	free(d);
}

const struct object_id *dnet_id(const struct dnet *d)
{
	return &d->id;
}

static bool same_record(const struct record_row *a, const struct record_row *b)
{
	uint8_t key_a[RECORD_KEY_MAX], key_b[RECORD_KEY_MAX];
	size_t len = record_key(&a->record, key_a);

	return a->record.type == b->record.type && object_id_equal(&a->object, &b->object) &&
	       len == record_key(&b->record, key_b) && !memcmp(key_a, key_b, len);
}

void dnet_put_row(struct dnet *d, const struct record_row *row)
{
	size_t i = 0;

	while (i < d->row_count && !same_record(&d->rows[i], row))
		i++;
	if (i == d->row_size) {
		d->row_size = d->row_size ? 2 * d->row_size : 64;
		d->rows = reallocarray(d->rows, d->row_size, sizeof(*d->rows));
		assert(d->rows);
	}
	if (i == d->row_count)
		d->row_count++;
	d->rows[i] = *row;
	d->rows[i].sequence = ++d->w->sequence;
	d->rows[i].pos = (uint32_t)i;
}

static struct record_row row_of(const struct object_id *object, uint8_t kind, uint8_t type)
{
	return (struct record_row){.object = *object,
				   .kind = kind,
				   .from_height = 2,
				   .to_height = UINT32_MAX,
				   .record.type = type};
}

static void revoke(struct dnet *d, const struct object_id *object, uint8_t type,
		   const struct record *of)
{
	struct netmap_revocation r = {.object = *object, .type = type};
	size_t i = 0;

	r.subject_len = record_key(of, r.subject);
	r.sequence = ++d->w->sequence;
	while (i < d->revocation_count &&
	       (d->revocations[i].type != type ||
		!object_id_equal(&d->revocations[i].object, object) ||
		d->revocations[i].subject_len != r.subject_len ||
		memcmp(d->revocations[i].subject, r.subject, r.subject_len)))
		i++;
	if (i == d->revocation_size) {
		d->revocation_size = d->revocation_size ? 2 * d->revocation_size : 16;
		d->revocations =
			reallocarray(d->revocations, d->revocation_size, sizeof(*d->revocations));
		assert(d->revocations);
	}
	if (i == d->revocation_count)
		d->revocation_count++;
	d->revocations[i] = r;
}

void world_revoke(struct world *w, struct member *m)
{
	revoke(m->dnet, &m->dnet->id, RECORD_NODE_DEL, &m->row.record);
	m->revoked_since = m->dnet->revision + 1;
}

void world_unrevoke(struct world *w, struct member *m)
{
	dnet_put_row(m->dnet, &m->row);
	m->revoked_since = 0;
}

bool member_is_revoked(const struct member *m)
{
	return m->revoked_since;
}

static struct record_row link_row(const struct dnet *d, const struct server *s)
{
	struct record_row row = row_of(&d->id, OBJECT_DNET, RECORD_LINK);

	row.record.link.kind = (uint8_t)server_kind(s);
	row.record.link.id = *server_object(s);
	return row;
}

static struct record_row grant_row(const struct dnet *d, const struct server *s)
{
	struct record_row row = row_of(server_object(s), (uint8_t)server_kind(s), RECORD_GRANT);

	row.record.grant.dnet = d->id;
	return row;
}

void dnet_grant(struct dnet *d, const struct server *s, uint32_t rate_kbit)
{
	struct record_row row = grant_row(d, s);

	row.record.grant.rate_kbit = rate_kbit;
	dnet_put_row(d, &row);
}

void world_link(struct dnet *d, struct server *s)
{
	enum realm_kind kind = server_kind(s);
	struct record_row row = row_of(server_object(s), (uint8_t)kind,
				       kind == REALM_OVC ? RECORD_OVC_CREATE : RECORD_OVR_CREATE);
	struct endpoint at = sim_host_endpoint(server_host(s));

	row.record.service_create.service_key = *server_key(s);
	strcpy(row.record.service_create.name, "helper");
	dnet_put_row(d, &row);
	row = row_of(server_object(s), (uint8_t)kind, RECORD_ENDPOINT_PUT);
	row.record.endpoint.transport = TRANSPORT_UDP;
	row.record.endpoint.address = at.addr;
	row.record.endpoint.port = at.port;
	dnet_put_row(d, &row);
	row = grant_row(d, s);
	dnet_put_row(d, &row);
	row = link_row(d, s);
	dnet_put_row(d, &row);
}

void world_unlink(struct dnet *d, struct server *s)
{
	struct record_row row = link_row(d, s);

	revoke(d, &d->id, RECORD_UNLINK, &row.record);
}

void dnet_revoke_grant(struct dnet *d, const struct server *s)
{
	struct record_row row = grant_row(d, s);

	revoke(d, server_object(s), RECORD_REVOKE, &row.record);
}

void world_revoke_grant(struct world *w, const struct server *s)
{
	dnet_revoke_grant(w->dnets[0], s);
}

struct netmap *dnet_netmap(const struct dnet *d, const struct member *who)
{
	struct record_row *rows = reallocarray(NULL, d->row_count + 1, sizeof(*rows));
	struct netmap_input in = {.id = d->id,
				  .rows = rows,
				  .row_count = d->row_count,
				  .revocations = d->revocations,
				  .revocation_count = d->revocation_count,
				  .tip_height = 10,
				  .confirm = 1};
	struct netmap *map = NULL;

	assert(rows);
	memcpy(rows, d->rows, d->row_count * sizeof(*rows));
	if (who && who->stranger)
		rows[in.row_count++] = who->row;
	assert(!netmap_build(&in, &map));
	free(rows);
	return map;
}

void dnet_publish(struct dnet *d, const struct member *unaware)
{
	struct world *w = d->w;

	d->revision++;
	for (size_t i = 0; i < w->member_count; i++)
		if (w->members[i]->dnet == d && w->members[i] != unaware &&
		    !w->members[i]->machine->asleep)
			member_publish(w->members[i]);
	for (size_t i = 0; i < w->server_count; i++)
		server_publish(w->servers[i], d);
}

void world_publish_except(struct world *w, const struct member *unaware)
{
	for (size_t i = 0; i < w->dnet_count; i++)
		dnet_publish(w->dnets[i], unaware);
}

void world_publish(struct world *w)
{
	world_publish_except(w, NULL);
}
