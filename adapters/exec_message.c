#include "adapters/exec_message.h"

#include "adapters/lines.h"
#include "core/acl.h"
#include "os/base.h"
#include "os/ctl_value.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { BASE64 = sodium_base64_VARIANT_ORIGINAL };

/* ---- Parts of what the program says ---- */

/* A member that is not there is NULL: 0 and false and "" stand for it. */
static bool take_text(const json_t *json, char ret[static EXEC_TEXT_MAX])
{
	ret[0] = '\0';
	if (!json || json_is_null(json))
		return true;
	if (!json_is_string(json))
		return false;
	snprintf(ret, EXEC_TEXT_MAX, "%s", json_string_value(json));
	lines_make_printable(ret, strlen(ret));
	return true;
}

static bool take_number(const json_t *json, uint64_t *ret)
{
	*ret = 0;
	if (!json || json_is_null(json))
		return true;
	if (!json_is_integer(json) || json_integer_value(json) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(json);
	return true;
}

static bool take_bool(const json_t *json, bool *ret)
{
	*ret = json_is_true(json);
	return !json || json_is_boolean(json);
}

static bool take_node(const json_t *json, struct node_key *ret)
{
	const char *text = json_string_value(json);
	return text && strlen(text) == 2 * PUBKEY_LEN && hex_parse(text, ret->bytes, PUBKEY_LEN);
}

static bool take_bytes(const json_t *json, size_t max, struct exec_message *ret)
{
	if (!json_is_string(json))
		return false;
	return sodium_base642bin(ret->bytes, max, json_string_value(json), json_string_length(json),
				 NULL, &ret->bytes_len, NULL, BASE64) == 0 &&
	       ret->bytes_len > 0;
}

static bool take_endpoint(const json_t *json, struct endpoint *ret)
{
	*ret = (struct endpoint){0};
	if (!json || json_is_null(json))
		return true;
	return json_is_string(json) && endpoint_parse(json_string_value(json), ret);
}

static bool take_endpoints(const json_t *json, struct exec_message *ret)
{
	if (json && !json_is_array(json))
		return false;
	ret->endpoint_count = json_array_size(json);
	if (ret->endpoint_count > EXEC_ENDPOINTS_MAX)
		return false;
	for (size_t i = 0; i < ret->endpoint_count; i++) {
		if (!take_endpoint(json_array_get(json, i), &ret->endpoints[i]) ||
		    ret->endpoints[i].port == 0)
			return false;
	}
	return true;
}

/* UINT64_MAX when nothing is said. */
static bool take_count(const json_t *json, uint64_t *ret)
{
	if (!take_number(json, ret))
		return false;
	if (!json_is_integer(json))
		*ret = UINT64_MAX;
	return true;
}

static bool take_peer(const json_t *json, struct exec_peer *ret)
{
	return take_node(json_object_get(json, "key"), &ret->key) &&
	       take_bool(json_object_get(json, "connected"), &ret->connected) &&
	       take_bool(json_object_get(json, "bridged"), &ret->bridged) &&
	       take_count(json_object_get(json, "rx"), &ret->rx_bytes) &&
	       take_count(json_object_get(json, "tx"), &ret->tx_bytes) &&
	       take_count(json_object_get(json, "handshake_age"), &ret->last_handshake_s) &&
	       take_endpoint(json_object_get(json, "endpoint"), &ret->endpoint) &&
	       take_text(json_object_get(json, "reason"), ret->reason);
}

static int compare_peers(const void *a, const void *b)
{
	const struct exec_peer *left = a, *right = b;
	return node_key_compare(&left->key, &right->key);
}

static bool take_peers(const json_t *json, struct exec_message *ret)
{
	size_t count = json_array_size(json);
	if ((json && !json_is_array(json)) || count > EXEC_PEERS_MAX)
		return false;
	ret->peers = xcalloc(count + 1, sizeof(*ret->peers));
	ret->peer_count = count;
	for (size_t i = 0; i < count; i++) {
		if (!take_peer(json_array_get(json, i), &ret->peers[i]))
			return false;
	}
	qsort(ret->peers, count, sizeof(*ret->peers), compare_peers);
	return true;
}

/* ---- Messages of the program ---- */

static bool parse_hello(const json_t *json, struct exec_message *ret)
{
	return take_number(json_object_get(json, "version"), &ret->version) &&
	       take_bool(json_object_get(json, "rules"), &ret->enforces_rules) &&
	       take_text(json_object_get(json, "program"), ret->text);
}

static bool parse_key(const json_t *json, struct exec_message *ret)
{
	return take_bytes(json_object_get(json, "key"), ADAPTER_KEY_MAX, ret);
}

static bool parse_offer(const json_t *json, struct exec_message *ret)
{
	uint64_t port;
	if (!take_number(json_object_get(json, "port"), &port) || port > UINT16_MAX)
		return false;
	ret->port = (uint16_t)port;
	return take_endpoints(json_object_get(json, "endpoints"), ret);
}

static bool parse_status(const json_t *json, struct exec_message *ret)
{
	return take_number(json_object_get(json, "serial"), &ret->serial) &&
	       take_text(json_object_get(json, "error"), ret->text) &&
	       take_peers(json_object_get(json, "peers"), ret);
}

static bool parse_event(const json_t *json, struct exec_message *ret)
{
	const json_t *node = json_object_get(json, "key");
	ret->has_node = node && !json_is_null(node);
	return (!ret->has_node || take_node(node, &ret->node)) &&
	       json_is_string(json_object_get(json, "text")) &&
	       take_text(json_object_get(json, "text"), ret->text);
}

static bool parse_log(const json_t *json, struct exec_message *ret)
{
	const char *level = json_string_value(json_object_get(json, "level"));
	ret->level = LOG_LEVEL_INFO;
	return (!level || log_level_parse(level, &ret->level)) &&
	       json_is_string(json_object_get(json, "text")) &&
	       take_text(json_object_get(json, "text"), ret->text);
}

static bool parse_datagram(const json_t *json, struct exec_message *ret)
{
	return take_node(json_object_get(json, "key"), &ret->node) &&
	       take_bytes(json_object_get(json, "data"), EXEC_BYTES_MAX, ret);
}

static const struct {
	const char *name;
	enum exec_type type;
	bool (*parse)(const json_t *json, struct exec_message *ret);
	const char *why; /* it was not taken */
} types[] = {
	{"hello", EXEC_HELLO, parse_hello, "hello with a version, rules or name of a wrong type"},
	{"key", EXEC_KEY, parse_key, "key that is not base64 of 1 to 800 bytes"},
	{"offer", EXEC_OFFER, parse_offer, "offer with a port or endpoint that is none"},
	{"status", EXEC_STATUS, parse_status, "status with a member of a wrong type"},
	{"event", EXEC_EVENT, parse_event, "event without text, or with a key that is none"},
	{"log", EXEC_LOG, parse_log, "log without text, or with a level that is none"},
	{"datagram", EXEC_DATAGRAM, parse_datagram,
	 "datagram without key, or with data that is not base64 of 1 to 1500 bytes"},
};

static bool parse_object(const json_t *json, struct exec_message *ret, const char **ret_why)
{
	const char *name = json_string_value(json_object_get(json, "type"));
	if (!name) {
		*ret_why = "not an object with a type";
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i].name, name) != 0)
			continue;
		ret->type = types[i].type;
		*ret_why = types[i].why;
		return types[i].parse(json, ret);
	}
	return true;
}

bool exec_message_parse(const char *line, size_t len, struct exec_message *ret,
			const char **ret_why)
{
	json_error_t error;
	memset(ret, 0, sizeof(*ret));
	json_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	if (!json) {
		*ret_why = "not JSON";
		return false;
	}
	bool good = parse_object(json, ret, ret_why);
	json_decref(json);
	if (!good)
		exec_message_done(ret);
	return good;
}

void exec_message_done(struct exec_message *m)
{
	free(m->peers);
	m->peers = NULL;
	m->peer_count = 0;
}

/* ---- To the program ---- */

static json_t *node_text(const struct node_key *key)
{
	char text[2 * PUBKEY_LEN + 1];
	hex_format(key->bytes, PUBKEY_LEN, text);
	return json_string(text);
}

static json_t *base64(const uint8_t *bytes, size_t len)
{
	size_t size = sodium_base64_encoded_len(len, BASE64);
	_cleanup_(freep) char *text = xmalloc(size);
	return json_string(sodium_bin2base64(text, size, bytes, len, BASE64));
}

static void append_prefix(json_t *array, const struct prefix *prefix)
{
	char text[PREFIX_TEXT_MAX];
	if (prefix->addr.family != ADDR_NONE)
		json_array_append_new(array, json_string(prefix_format(prefix, text)));
}

static json_t *describe_node(const struct netmap_node *node)
{
	json_t *addresses = json_array();
	ctl_append_address(addresses, &node->ipv4);
	ctl_append_address(addresses, &node->ipv6);
	ctl_append_address(addresses, &node->extra_ipv6);
	return json_pack("{s:o, s:s, s:o}", "key", node_text(&node->key), "name", node->name,
			 "addresses", addresses);
}

static json_t *describe_peer(const struct adapter_peer *peer)
{
	json_t *json = describe_node(peer->node), *endpoints = json_array();
	char text[ENDPOINT_TEXT_MAX];
	for (size_t i = 0; i < peer->endpoint_count; i++)
		json_array_append_new(endpoints,
				      json_string(endpoint_format(&peer->endpoints[i], text)));
	json_object_set_new(json, "backend_key", base64(peer->key, peer->key_len));
	json_object_set_new(json, "endpoints", endpoints);
	json_object_set_new(json, "reachable", json_boolean(peer->reachable));
	return json;
}

static json_t *describe_subject(const struct acl_subject *subject)
{
	char text[PREFIX_TEXT_MAX];
	switch (subject->kind) {
	case ACL_ANY:
		return json_string("any");
	case ACL_NODE:
		return node_text(&subject->node);
	case ACL_PREFIX:
		return json_string(prefix_format(&subject->prefix, text));
	case ACL_GROUP: /* the node has put nodes in their places */
		break;
	}
	return json_null();
}

static json_t *describe_rule(const struct acl_rule *rule)
{
	json_t *protocol =
		rule->protocol == ACL_ALL_PROTOCOLS ? json_null() : json_integer(rule->protocol);
	return json_pack("{s:o, s:o, s:o, s:[i,i], s:s}", "from", describe_subject(&rule->src),
			 "to", describe_subject(&rule->dst), "protocol", protocol, "ports",
			 (int)rule->port_low, (int)rule->port_high, "label", rule->label);
}

json_t *exec_hello(const struct adapter_host *host, const struct adapter_plan *plan)
{
	char dnet[OBJECT_ID_TEXT_SIZE];
	json_t *json = describe_node(plan->self);
	object_id_format(OBJECT_DNET, &host->dnet, dnet);
	json_object_set_new(json, "type", json_string("hello"));
	json_object_set_new(json, "version", json_integer(EXEC_VERSION));
	json_object_set_new(json, "dnet", json_string(dnet));
	json_object_set_new(json, "dnet_name", json_string(plan->netmap->name));
	json_object_set_new(json, "interface", json_string(host->interface));
	json_object_set_new(json, "mtu", json_integer(host->mtu));
	json_object_set_new(json, "folder", json_string(host->folder));
	return json;
}

json_t *exec_wanted(const struct adapter_plan *plan)
{
	json_t *peers = json_array(), *rules = json_array(), *prefixes = json_array();
	append_prefix(prefixes, &plan->netmap->ipv4_prefix);
	append_prefix(prefixes, &plan->netmap->ipv6_prefix);
	for (size_t i = 0; i < plan->peer_count; i++) {
		if (plan->peers[i].key)
			json_array_append_new(peers, describe_peer(&plan->peers[i]));
	}
	for (size_t i = 0; i < plan->rule_count; i++)
		json_array_append_new(rules, describe_rule(&plan->rules[i]));
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "type", "wanted", "self",
			 describe_node(plan->self), "prefixes", prefixes, "peers", peers, "rules",
			 rules);
}

json_t *exec_datagram(const struct node_key *from, const uint8_t *bytes, size_t len)
{
	return json_pack("{s:s, s:o, s:o}", "type", "datagram", "key", node_text(from), "data",
			 base64(bytes, len));
}

json_t *exec_stop(void)
{
	return json_pack("{s:s}", "type", "stop");
}

/* ---- Views of what is wanted ---- */

/* NULL: it is not among them. They are sorted by key. */
static const json_t *find_peer(const json_t *wanted, const char *key)
{
	const json_t *peers = json_object_get(wanted, "peers");
	size_t low = 0, high = json_array_size(peers);
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const json_t *peer = json_array_get(peers, middle);
		int order = strcmp(json_string_value(json_object_get(peer, "key")), key);
		if (order == 0)
			return peer;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool exec_wanted_has(const json_t *wanted, const struct node_key *key)
{
	char text[2 * PUBKEY_LEN + 1];
	hex_format(key->bytes, PUBKEY_LEN, text);
	return find_peer(wanted, text) != NULL;
}

static bool same(const json_t *a, const json_t *b, const char *member)
{
	return json_equal(json_object_get(a, member), json_object_get(b, member));
}

bool exec_wanted_takes_away(const json_t *before, const json_t *wanted)
{
	const json_t *peers = json_object_get(before, "peers");
	if (!before)
		return false;
	for (size_t i = 0; i < json_array_size(peers); i++) {
		const json_t *old = json_array_get(peers, i);
		const json_t *peer =
			find_peer(wanted, json_string_value(json_object_get(old, "key")));
		if (!peer || !same(old, peer, "backend_key") || !same(old, peer, "addresses"))
			return true;
	}
	return !same(before, wanted, "rules");
}
