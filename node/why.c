#include "node/why.h"

#include "core/acl.h"
#include "core/mesh.h"
#include "core/netmap.h"
#include "node/carriers.h"
#include "node/node.h"
#include "node/show.h"
#include "os/clock.h"
#include "wire/bech32.h"
#include "wire/hex.h"
#include "wire/ip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RESULT_SIZE = 64 };

static json_t *seconds_since(uint64_t then, uint64_t now)
{
	if (!then || then > now)
		return json_null();
	return json_integer((json_int_t)((now - then) / NS_PER_S));
}

static const char *describe(const struct mesh_path_status *s, char ret[static RESULT_SIZE])
{
	if (!s->last_ping)
		return "not tried yet";
	if (s->confirmed && !s->unanswered)
		return "answers";
	snprintf(ret, RESULT_SIZE, "%s to %u ping%s",
		 s->last_pong ? "answered before; no answer" : "no answer", s->unanswered,
		 s->unanswered == 1 ? "" : "s");
	return ret;
}

struct paths_arg {
	json_t *array;
	uint64_t now;
};

static void visit_path(void *ctx, const struct mesh_path_status *s)
{
	struct paths_arg *arg = ctx;
	char result[RESULT_SIZE], relay[OBJECT_ID_TEXT_SIZE];
	object_id_format(OBJECT_OVR, &s->relay, relay);
	json_array_append_new(arg->array,
			      json_pack("{s:s, s:o, s:o, s:s, s:b, s:b, s:s, s:o, s:i, s:o, s:o}",
					"kind", s->via.lane ? "relay" : "direct", "endpoint",
					show_endpoint(&s->via.endpoint), "relay",
					s->via.lane ? json_string(relay) : json_null(), "origin",
					s->introduced ? "told" : "heard", "current",
					(int)s->current, "confirmed", (int)s->confirmed, "result",
					describe(s, result), "rtt_ms", show_milliseconds(s->rtt_ns),
					"unanswered", (int)s->unanswered, "last_ping_s",
					seconds_since(s->last_ping, arg->now), "last_answer_s",
					seconds_since(s->last_pong, arg->now)));
}

/* show_peers() has the node's row: the same fields, the same words. */
static json_t *row_of(const struct overlay *o, const struct netmap_node *node)
{
	char hex[2 * PUBKEY_LEN + 1];
	json_t *peers = show_peers(o), *value, *row = NULL;
	size_t i;
	hex_format(node->key.bytes, PUBKEY_LEN, hex);
	json_array_foreach(peers, i, value)
	{
		if (strcmp(json_string_value(json_object_get(value, "key")), hex) == 0)
			row = json_incref(value);
	}
	json_decref(peers);
	return row ? row : json_object();
}

static json_t *own_endpoints(const struct mesh *mesh)
{
	size_t count;
	const struct endpoint *local = mesh_local_endpoints(mesh, &count);
	json_t *array = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, show_endpoint(&local[i]));
	return array;
}

static json_t *ping_verdict(const struct overlay *o, const struct netmap_node *from,
			    const struct netmap_node *to)
{
	struct why_flow flow = {.src = from->ipv6, .dst = to->ipv6, .protocol = IP_PROTO_ICMPV6};
	return why_flow(o, &flow);
}

json_t *why_node(const struct overlay *o, const struct netmap_node *node)
{
	struct mesh *mesh = o->mesh;
	struct paths_arg arg = {json_array(), clock_boottime_ns()};
	const struct netmap_node *self = netmap_find_node(o->netmap, &o->identity.key);
	char choice[CARRIERS_TEXT_MAX];
	json_t *row = row_of(o, node);
	if (mesh) {
		(void)mesh_visit_paths(mesh, &node->key, visit_path, &arg);
		json_object_set_new(row, "own", own_endpoints(mesh));
		json_object_set_new(row, "helpers", show_helpers(o));
	}
	json_object_set_new(row, "candidates", arg.array);
	json_object_set_new(row, "choice", json_string(carriers_choice(o->carriers, node, choice)));
	if (mesh && self)
		json_object_set_new(row, "policy",
				    json_pack("{s:o, s:o}", "ping_to", ping_verdict(o, self, node),
					      "ping_from", ping_verdict(o, node, self)));
	return row;
}

static const struct netmap_node *holder_of(const struct netmap *map, const struct address *address)
{
	for (size_t i = 0; i < map->node_count; i++) {
		const struct netmap_node *node = &map->nodes[i];
		if (address_equal(&node->ipv6, address) || address_equal(&node->ipv4, address) ||
		    address_equal(&node->extra_ipv6, address))
			return node;
	}
	return NULL;
}

static json_t *end_json(const struct netmap *map, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX], hex[2 * PUBKEY_LEN + 1];
	const struct netmap_node *node = holder_of(map, address);
	json_t *end = json_pack("{s:s}", "address", address_format(address, text));
	if (!node)
		return end;
	hex_format(node->key.bytes, PUBKEY_LEN, hex);
	json_object_set_new(end, "name", json_string(node->name));
	json_object_set_new(end, "key", json_string(hex));
	return end;
}

json_t *why_flow(const struct overlay *o, const struct why_flow *flow)
{
	struct ip_flow ip = {.version = flow->src.family == ADDR_V4 ? 4 : 6,
			     .protocol = flow->protocol,
			     .dst_port = flow->port};
	struct acl_verdict verdict = {.rule = SIZE_MAX};
	struct mesh *mesh = o->mesh;
	size_t len = flow->src.family == ADDR_V4 ? 4 : 16;
	memcpy(ip.src, flow->src.bytes, len);
	memcpy(ip.dst, flow->dst.bytes, len);
	if (!mesh)
		verdict.explanation = "this dnet is not up";
	else if (mesh_explain(mesh, &ip, &verdict))
		verdict.explanation = holder_of(o->netmap, &flow->src)
					      ? "no member has the destination address"
					      : "no member has the source address";
	return json_pack(
		"{s:o, s:o, s:i, s:i, s:b, s:o, s:s}", "src", end_json(o->netmap, &flow->src),
		"dst", end_json(o->netmap, &flow->dst), "protocol", (int)flow->protocol, "port",
		(int)flow->port, "allowed", (int)verdict.allowed, "rule",
		verdict.rule == SIZE_MAX ? json_null() : json_integer((json_int_t)verdict.rule),
		"explanation", verdict.explanation);
}

bool why_parse_protocol(const char *text, enum addr_family family, uint8_t *ret_protocol)
{
	char *end;
	long number;
	if (!strcmp(text, "tcp"))
		number = IP_PROTO_TCP;
	else if (!strcmp(text, "udp"))
		number = IP_PROTO_UDP;
	else if (!strcmp(text, "icmp"))
		number = family == ADDR_V4 ? IP_PROTO_ICMP : IP_PROTO_ICMPV6;
	else if (*text < '0' || *text > '9' || (number = strtol(text, &end, 10)) > UINT8_MAX ||
		 *end)
		return false;
	*ret_protocol = (uint8_t)number;
	return true;
}
