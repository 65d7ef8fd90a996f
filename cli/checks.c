#include "cli/checks.h"

#include "cli/batch.h"
#include "cli/keys.h"
#include "cli/records.h"
#include "os/chaindb.h"
#include "wire/hex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct checks {
	struct cli *cli;
	const struct publish *publish;
	struct record *rows; /* owned; in force by chain.db */
	size_t count, size;
	bool created; /* create is there: the object is in a block */
	struct record create;
	bool settled; /* nothing of the object waits for a block */
};

static int on_row(void *arg, const struct record_row *row)
{
	struct checks *c = arg;
	struct record *grown;

	if (row->record.type == RECORD_DNET_CREATE) {
		c->create = row->record;
		c->created = true;
	}
	if (row->to_height != UINT32_MAX)
		return 0;
	if (c->count == c->size) {
		grown = realloc(c->rows, (2 * c->size + 64) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		c->rows = grown;
		c->size = 2 * c->size + 64;
	}
	c->rows[c->count++] = row->record;
	return 0;
}

static int read_rows(struct checks *c)
{
	const struct object_id *id = &c->publish->object.id;
	_cleanup_(freep) struct chaindb_seal *seal = malloc(sizeof(*seal));
	struct known_seal known;
	int r = seal ? chaindb_visit_object(c->cli->db, id, on_row, c) : -ENOMEM;

	if (r)
		return cli_error(c->cli, CLI_FAILED, NULL, "%s", chaindb_error(c->cli->db));
	c->settled = !chaindb_find_seal(c->cli->db, id, true, seal) && !seal->pending &&
		     (!known_find(c->cli, id, &known) || known.sequence <= seal->sequence);
	return 0;
}

static int check_ipv4(struct checks *c, const struct address *address)
{
	const struct prefix *net = &c->create.dnet_create.ipv4;
	char text[ADDRESS_TEXT_MAX], prefix[PREFIX_TEXT_MAX];
	uint32_t bits = 0, hosts;

	if (!c->created)
		return 0;
	address_format(address, text);
	if (net->addr.family != ADDR_V4)
		return cli_error(c->cli, CLI_USAGE,
				 "leave --ipv4 out: every node has an IPv6 address",
				 "%s was created without an IPv4 network", c->publish->object.text);
	prefix_format(net, prefix);
	if (!prefix_contains(net, address))
		return cli_error(c->cli, CLI_USAGE, "give an address inside it",
				 "%s is outside the dnet's network %s", text, prefix);
	for (int i = 0; i < 4; i++)
		bits = bits << 8 | address->bytes[i];
	hosts = UINT32_MAX >> net->bits;
	if (!(bits & hosts) || (bits & hosts) == hosts)
		return cli_error(c->cli, CLI_USAGE, "give an address between the two",
				 "%s is the %s address of %s, not a node's", text,
				 bits & hosts ? "broadcast" : "network", prefix);
	return 0;
}

static int taken(struct checks *c, const char *what, const struct record *by)
{
	char key[2 * PUBKEY_LEN + 1];

	hex_format(by->node_put.key.bytes, PUBKEY_LEN, key);
	return cli_error(c->cli, CLI_USAGE, "choose another, or remove that node first (node del)",
			 "%s belongs to the node %s already", what,
			 *by->node_put.name ? by->node_put.name : key);
}

static int check_pair(struct checks *c, const struct record *record, const struct record *other)
{
	char text[ADDRESS_TEXT_MAX];

	if (other->type != RECORD_NODE_PUT ||
	    node_key_equal(&record->node_put.key, &other->node_put.key))
		return 0;
	if (*record->node_put.name && !strcmp(record->node_put.name, other->node_put.name))
		return taken(c, record->node_put.name, other);
	if (record->node_put.ipv4.family != ADDR_NONE &&
	    address_equal(&record->node_put.ipv4, &other->node_put.ipv4))
		return taken(c, address_format(&record->node_put.ipv4, text), other);
	if (record->node_put.ipv6.family != ADDR_NONE &&
	    address_equal(&record->node_put.ipv6, &other->node_put.ipv6))
		return taken(c, address_format(&record->node_put.ipv6, text), other);
	return 0;
}

static int check_node(struct checks *c, size_t number)
{
	const struct record *record = &c->publish->records[number];
	int r = record->node_put.ipv4.family == ADDR_NONE ? 0
							  : check_ipv4(c, &record->node_put.ipv4);

	for (size_t i = 0; !r && i < number; i++) {
		const struct record *before = &c->publish->records[i];

		if (before->type == RECORD_NODE_PUT &&
		    node_key_equal(&record->node_put.key, &before->node_put.key))
			r = cli_error(c->cli, CLI_USAGE, "give each key once",
				      "the same key stands there twice");
		else
			r = check_pair(c, record, before);
	}
	for (size_t i = 0; !r && c->settled && i < c->count; i++)
		r = check_pair(c, record, &c->rows[i]);
	return r;
}

/* What a removal removes; its type is that of the addition and 1. */
static int check_there(struct checks *c, const struct record *record, const char *what)
{
	uint8_t key[RECORD_KEY_MAX], other[RECORD_KEY_MAX];
	size_t len = record_key(record, key);

	if (!c->settled)
		return 0;
	for (size_t i = 0; i < c->count; i++) {
		if (c->rows[i].type + 1 == record->type && record_key(&c->rows[i], other) == len &&
		    !memcmp(key, other, len))
			return 0;
	}
	return cli_error(c->cli, CLI_NOT_FOUND, "dnet show lists what is there", "%s %s has no %s",
			 names_kind(c->publish->object.kind), c->publish->object.text, what);
}

static int check_open(struct checks *c, const struct object_id *id)
{
	struct chaindb_object object;
	char text[OBJECT_ID_TEXT_SIZE], since[32] = "";

	if (!c->cli->db || chaindb_find_object(c->cli->db, id, &object) || !object.closed)
		return 0;
	object_id_format(object.kind, id, text);
	if (object.to_height != UINT32_MAX)
		snprintf(since, sizeof(since), ", since height %u", object.to_height);
	return cli_error(c->cli, CLI_FAILED, "nothing can be done with it any more: name another",
			 "%s %s is closed%s", names_kind(object.kind), text, since);
}

static int check_grant(struct checks *c, const struct record *record)
{
	struct chaindb_tip tip;

	if (record->grant.expiry && c->cli->db && !chaindb_tip(c->cli->db, &tip) &&
	    record->grant.expiry <= tip.height)
		return cli_error(c->cli, CLI_USAGE, "give a later height, or 0 for no end",
				 "--expires %u is over: the chain is at height %u",
				 record->grant.expiry, tip.height);
	return check_open(c, &record->grant.dnet);
}

static int check_record(struct checks *c, size_t number)
{
	const struct record *record = &c->publish->records[number];

	switch ((enum record_type)record->type) {
	case RECORD_NODE_PUT:
		return check_node(c, number);
	case RECORD_NODE_DEL:
		return check_there(c, record, "node with that key");
	case RECORD_LINK:
		return check_open(c, &record->link.id);
	case RECORD_UNLINK:
		return check_there(c, record, "such link");
	case RECORD_ENDPOINT_DEL:
		return check_there(c, record, "such endpoint");
	case RECORD_GRANT:
		return check_grant(c, record);
	case RECORD_REVOKE:
		return check_there(c, record, "grant to that dnet");
	case RECORD_DNET_CREATE:
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
	case RECORD_ROSTER:
	case RECORD_ENDPOINT_PUT:
	case RECORD_TRANSFER:
	case RECORD_CLOSE:
		break;
	}
	return 0;
}

static int on_revocation(void *arg, const struct chaindb_revocation *revocation)
{
	struct checks *c = arg;
	uint8_t key[RECORD_KEY_MAX];

	if (revocation->type != RECORD_NODE_DEL)
		return 0;
	/* What was shut out once is written again, whatever its row says. */
	for (size_t i = 0; i < c->publish->count; i++) {
		if (record_key(&c->publish->records[i], key) == revocation->subject_len &&
		    !memcmp(key, revocation->subject, revocation->subject_len))
			c->publish->done[i] = false;
	}
	return 0;
}

/* Of a list: what the chain says already. */
static int skip_those_in_force(struct checks *c)
{
	for (size_t i = 0; i < c->publish->count; i++) {
		for (size_t j = 0; j < c->count && !c->publish->done[i]; j++)
			c->publish->done[i] =
				!memcmp(&c->publish->records[i], &c->rows[j], sizeof(c->rows[j]));
	}
	if (chaindb_visit_object_revocations(c->cli->db, &c->publish->object.id, on_revocation, c))
		return cli_error(c->cli, CLI_FAILED, NULL, "%s", chaindb_error(c->cli->db));
	return 0;
}

static int check_records(struct checks *c)
{
	int r = 0;

	for (size_t i = 0; !r && i < c->publish->count; i++)
		r = check_record(c, i);
	return r;
}

/* All that is wrong with a list is said at once. */
static int check_list(struct checks *c)
{
	struct errors errors = {
		.cli = c->cli, .source = c->publish->source, .quiet = c->cli->quiet};

	for (size_t i = 0; i < c->publish->count; i++) {
		errors_at(&errors, c->publish->lines[i]);
		errors_count(&errors, check_record(c, i));
	}
	return errors_end(&errors);
}

int checks_run(struct cli *cli, const struct publish *publish)
{
	struct checks c = {.cli = cli, .publish = publish};
	int r = 0;

	if (publish->create)
		return 0;
	if (!access(cli->conf.chain_db, F_OK)) {
		r = cli_db(cli);
		if (!r)
			r = read_rows(&c);
	}
	if (!r && publish->source && c.cli->db)
		r = skip_those_in_force(&c);
	if (!r)
		r = publish->source ? check_list(&c) : check_records(&c);
	free(c.rows);
	return r;
}
