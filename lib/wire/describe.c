#include "wire/describe.h"

#include "wire/bech32.h"
#include "wire/hex.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Appends; what does not fit is cut. */
__attribute__((format(printf, 2, 3))) static void put(char *text, const char *format, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + len, RECORD_TEXT_SIZE - len, format, args);
	va_end(args);
}

static void put_key(char *text, const struct node_key *key)
{
	char hex[2 * PUBKEY_LEN + 1];

	hex_format(key->bytes, sizeof(key->bytes), hex);
	put(text, " %s", hex);
}

static void put_xonly(char *text, const uint8_t key[XONLY_LEN])
{
	char hex[2 * XONLY_LEN + 1];

	hex_format(key, XONLY_LEN, hex);
	put(text, " admin key %s", hex);
}

static void put_id(char *text, enum object_kind kind, const struct object_id *id)
{
	char shown[OBJECT_ID_TEXT_SIZE];

	object_id_format(kind, id, shown);
	put(text, " %s", shown);
}

char *record_endpoint_describe(const struct record_endpoint *endpoint,
			       char ret[static RECORD_TEXT_SIZE])
{
	struct endpoint at = {.addr = endpoint->address, .port = endpoint->port};
	const char *transport = record_transport_name(endpoint->transport);
	char shown[ENDPOINT_TEXT_MAX];

	ret[0] = '\0';
	put(ret, "%s ", transport ? transport : "?");
	if (endpoint->address.family == ADDR_NONE)
		put(ret, "%s:%u", endpoint->host, endpoint->port);
	else
		put(ret, "%s", endpoint_format(&at, shown));
	return ret;
}

static void put_node(char *text, const struct record *record)
{
	static const char *const expiry[] = {"", " expires short", " expires medium",
					     " expires long"};
	char shown[ADDRESS_TEXT_MAX];

	if (record->node_put.name[0])
		put(text, " %s", record->node_put.name);
	put_key(text, &record->node_put.key);
	if (record->node_put.ipv4.family != ADDR_NONE)
		put(text, " IPv4 %s", address_format(&record->node_put.ipv4, shown));
	if (record->node_put.ipv6.family != ADDR_NONE)
		put(text, " IPv6 %s", address_format(&record->node_put.ipv6, shown));
	if (record->node_put.flags & NODE_FLAG_GATEWAY)
		put(text, " gateway");
	if (record->node_put.flags & NODE_FLAG_RELAY)
		put(text, " relay");
	put(text, "%s", expiry[(record->node_put.flags & NODE_FLAG_EXPIRY) >> 2]);
}

static void put_grant(char *text, const struct record *record)
{
	put_id(text, OBJECT_DNET, &record->grant.dnet);
	if (record->grant.expiry)
		put(text, " until height %u", record->grant.expiry);
	if (record->grant.rate_kbit)
		put(text, " %u kbit/s", record->grant.rate_kbit);
	if (record->grant.volume_mib)
		put(text, " %u MiB", record->grant.volume_mib);
}

static void put_create(char *text, const struct record *record)
{
	char shown[PREFIX_TEXT_MAX];

	if (record->type != RECORD_DNET_CREATE) {
		put(text, " %s", record->service_create.name);
		put_key(text, &record->service_create.service_key);
		return;
	}
	put(text, " %s", record->dnet_create.name);
	if (record->dnet_create.ipv4.addr.family != ADDR_NONE)
		put(text, " IPv4 %s", prefix_format(&record->dnet_create.ipv4, shown));
	put_xonly(text, record->dnet_create.admin_key);
}

static void put_roster(char *text, const struct record *record)
{
	char hex[2 * HASH_LEN + 1];

	hex_format(record->roster.root.bytes, HASH_LEN, hex);
	put(text, " %u root %s", record->roster.sequence, hex);
}

static void put_endpoint(char *text, const struct record *record)
{
	char shown[RECORD_TEXT_SIZE];

	put(text, " %s", record_endpoint_describe(&record->endpoint, shown));
}

char *record_describe(const struct record *record, char ret[static RECORD_TEXT_SIZE])
{
	const char *name = record_type_name(record->type);

	ret[0] = '\0';
	put(ret, "%s", name ? name : "?");
	switch ((enum record_type)record->type) {
	case RECORD_DNET_CREATE:
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
		put_create(ret, record);
		break;
	case RECORD_NODE_PUT:
		put_node(ret, record);
		break;
	case RECORD_NODE_DEL:
		put_key(ret, &record->node_del.key);
		break;
	case RECORD_LINK:
	case RECORD_UNLINK:
		put_id(ret, (enum object_kind)record->link.kind, &record->link.id);
		if (record->type == RECORD_LINK)
			put(ret, " priority %u weight %u", record->link.priority,
			    record->link.weight);
		break;
	case RECORD_ROSTER:
		put_roster(ret, record);
		break;
	case RECORD_ENDPOINT_PUT:
	case RECORD_ENDPOINT_DEL:
		put_endpoint(ret, record);
		break;
	case RECORD_GRANT:
	case RECORD_REVOKE:
		put_grant(ret, record);
		break;
	case RECORD_TRANSFER:
		if (record->transfer.has_admin_key)
			put_xonly(ret, record->transfer.admin_key);
		break;
	case RECORD_CLOSE:
		break;
	}
	return ret;
}
