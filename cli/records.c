#include "cli/records.h"

#include "wire/bech32.h"
#include "wire/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t transports[] = {TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_TLS,
				     TRANSPORT_WS,  TRANSPORT_WSS, TRANSPORT_QUIC};

void endpoint_url(const struct record_endpoint *endpoint, char ret[static ENDPOINT_URL_MAX])
{
	const char *name = record_transport_name(endpoint->transport);
	char text[ADDRESS_TEXT_MAX];

	if (endpoint->address.family == ADDR_NONE)
		snprintf(ret, ENDPOINT_URL_MAX, "%s://%s:%u", name, endpoint->host, endpoint->port);
	else
		snprintf(ret, ENDPOINT_URL_MAX,
			 endpoint->address.family == ADDR_V6 ? "%s://[%s]:%u" : "%s://%s:%u", name,
			 address_format(&endpoint->address, text), endpoint->port);
}

static bool parse_transport(const char *text, size_t len, uint8_t *ret)
{
	for (size_t i = 0; i < sizeof(transports); i++) {
		const char *name = record_transport_name(transports[i]);

		if (strlen(name) == len && !strncmp(name, text, len)) {
			*ret = transports[i];
			return true;
		}
	}
	return false;
}

bool endpoint_url_parse(const char *text, struct record_endpoint *ret_endpoint)
{
	struct record_endpoint endpoint = {0};
	const char *host = strstr(text, "://"), *colon;
	char name[RECORD_HOST_MAX + 1];
	size_t len;

	if (!host || !parse_transport(text, (size_t)(host - text), &endpoint.transport))
		return false;
	host += 3;
	colon = strrchr(host, ':');
	if (!colon || !port_parse(colon + 1, &endpoint.port))
		return false;
	len = (size_t)(colon - host);
	if (!len || len >= sizeof(name))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	if (name[0] == '[' && name[len - 1] == ']') {
		name[len - 1] = '\0';
		if (!address_parse(name + 1, &endpoint.address) ||
		    endpoint.address.family != ADDR_V6)
			return false;
	} else if (!address_parse(name, &endpoint.address)) {
		if (!record_host_ok(name))
			return false;
		snprintf(endpoint.host, sizeof(endpoint.host), "%s", name);
	} else if (endpoint.address.family != ADDR_V4) {
		return false;
	}
	*ret_endpoint = endpoint;
	return true;
}

static void put(json_t *object, const char *name, const char *text)
{
	if (text && *text)
		json_object_set_new(object, name, json_string(text));
}

static void put_bytes(json_t *object, const char *name, const void *bytes, size_t len)
{
	char text[2 * 64 + 1];

	hex_format(bytes, len, text);
	put(object, name, text);
}

static void put_address(json_t *object, const char *name, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX];

	if (address->family != ADDR_NONE)
		put(object, name, address_format(address, text));
}

static void put_id(json_t *object, const char *name, enum object_kind kind,
		   const struct object_id *id)
{
	char text[OBJECT_ID_TEXT_SIZE];

	object_id_format(kind, id, text);
	put(object, name, text);
}

static void node_json(json_t *object, const struct record *record)
{
	static const char *const expiry[] = {NULL, "short", "medium", "long"};
	uint8_t flags = record->node_put.flags;

	put_bytes(object, "key", record->node_put.key.bytes, PUBKEY_LEN);
	put(object, "name", record->node_put.name);
	put_address(object, "ipv4", &record->node_put.ipv4);
	put_address(object, "ipv6", &record->node_put.ipv6);
	json_object_set_new(object, "gateway", json_boolean(flags & NODE_FLAG_GATEWAY));
	json_object_set_new(object, "relay", json_boolean(flags & NODE_FLAG_RELAY));
	put(object, "expiry", expiry[(flags & NODE_FLAG_EXPIRY) >> 2]);
}

static void create_json(json_t *object, const struct record *record)
{
	char text[PREFIX_TEXT_MAX];

	put(object, "name", record->dnet_create.name);
	put_bytes(object, "admin_key", record->dnet_create.admin_key, XONLY_LEN);
	if (record->dnet_create.ipv4.addr.family != ADDR_NONE)
		put(object, "ipv4", prefix_format(&record->dnet_create.ipv4, text));
}

static void grant_json(json_t *object, const struct record *record)
{
	put_id(object, "dnet", OBJECT_DNET, &record->grant.dnet);
	if (record->type != RECORD_GRANT)
		return;
	json_object_set_new(object, "expires", json_integer(record->grant.expiry));
	json_object_set_new(object, "rate_kbit", json_integer(record->grant.rate_kbit));
	json_object_set_new(object, "volume_mib", json_integer(record->grant.volume_mib));
}

static void link_json(json_t *object, const struct record *record)
{
	put_id(object, "id", record->link.kind, &record->link.id);
	if (record->type != RECORD_LINK)
		return;
	json_object_set_new(object, "priority", json_integer(record->link.priority));
	json_object_set_new(object, "weight", json_integer(record->link.weight));
}

json_t *record_json(const struct record *record)
{
	const char *type = record_type_name(record->type);
	json_t *object = json_object();
	char text[ENDPOINT_URL_MAX];

	put(object, "type", type ? type : "unknown");
	switch ((enum record_type)record->type) {
	case RECORD_DNET_CREATE:
		create_json(object, record);
		break;
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
		put(object, "name", record->service_create.name);
		put_bytes(object, "key", record->service_create.service_key.bytes, PUBKEY_LEN);
		break;
	case RECORD_NODE_PUT:
		node_json(object, record);
		break;
	case RECORD_NODE_DEL:
		put_bytes(object, "key", record->node_del.key.bytes, PUBKEY_LEN);
		break;
	case RECORD_LINK:
	case RECORD_UNLINK:
		link_json(object, record);
		break;
	case RECORD_ROSTER:
		json_object_set_new(object, "sequence", json_integer(record->roster.sequence));
		put_bytes(object, "root", record->roster.root.bytes, HASH_LEN);
		break;
	case RECORD_ENDPOINT_PUT:
	case RECORD_ENDPOINT_DEL:
		endpoint_url(&record->endpoint, text);
		put(object, "endpoint", text);
		break;
	case RECORD_GRANT:
	case RECORD_REVOKE:
		grant_json(object, record);
		break;
	case RECORD_TRANSFER:
		if (record->transfer.has_admin_key)
			put_bytes(object, "admin_key", record->transfer.admin_key, XONLY_LEN);
		break;
	case RECORD_CLOSE:
		break;
	}
	return object;
}
