#include "node/cmds.h"

#include "core/error.h"
#include "core/mesh.h"
#include "node/datapath.h"
#include "node/node.h"
#include "node/ping.h"
#include "node/settings.h"
#include "node/show.h"
#include "node/state.h"
#include "node/why.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/ctl.h"
#include "os/log.h"
#include "os/rand.h"
#include "wire/bech32.h"
#include "wire/hex.h"
#include "wire/ip.h"
#include "wire/link.h"
#include "wire/request.h"

#include <errno.h>
#include <string.h>

enum { PING_TIMEOUT_MS = 5000, PING_TIMEOUT_MAX_MS = 60000 };

bool cmds_parse_dnet(const char *text, struct object_id *ret_id)
{
	struct link link;
	if (link_parse(text, &link))
		return false;
	*ret_id = link.dnet;
	return true;
}

static void reply_bad_id(struct ctl_request *request, const char *text)
{
	if (!text)
		ctl_reply_error(request, CTL_EPARAMS, "dnet join dnet1…",
				"which dnet? id is missing");
	else
		ctl_reply_error(request, CTL_EPARAMS,
				"an id begins with dnet1 and has 43 characters",
				"'%s' is not the id of a dnet", text);
}

/* The dnet that a parameter names, or the only one. NULL: answered. */
static struct overlay *want_overlay(struct ctl_request *request, const json_t *params,
				    const char *name)
{
	const struct node *n = ctl_request_arg(request);
	const char *text = ctl_param_string(params, name);
	struct overlay *o = node_find(n, text);
	if (o)
		return o;
	if (text)
		ctl_reply_error(request, CTL_ENOTFOUND, "dnet status lists those joined",
				"'%s' is not a dnet that this node has joined, or names several",
				text);
	else
		ctl_reply_error(request, CTL_EPARAMS, "dnet status lists those joined",
				TAILQ_EMPTY(&n->overlays) ? "no dnet is joined"
							  : "several dnets are joined: say which");
	return NULL;
}

static json_t *show_identity(const struct object_id *id, const struct node_key *key)
{
	char text[OBJECT_ID_TEXT_SIZE], hex[2 * PUBKEY_LEN + 1], ipv6[ADDRESS_TEXT_MAX];
	struct address address;
	object_id_format(OBJECT_DNET, id, text);
	hex_format(key->bytes, PUBKEY_LEN, hex);
	node_address_derive(id, key, &address);
	return json_pack("{s:s, s:s, s:s}", "dnet", text, "key", hex, "ipv6",
			 address_format(&address, ipv6));
}

static void cmd_join(struct ctl_request *request, json_t *params, void *arg)
{
	struct node *n = arg;
	struct link link;
	struct overlay *o;
	const char *text = ctl_param_string(params, "id");
	const char *why = text ? link_parse(text, &link) : NULL;
	if (why && strncmp(text, "dnet:", 5) == 0) {
		ctl_reply_error(request, CTL_EPARAMS, "copy the whole link, in quotes",
				"this is not a join link: %s", why);
		return;
	}
	if (!text || why) {
		reply_bad_id(request, text);
		return;
	}
	struct object_id id = link.dnet;
	int r = node_join(n, &id, link.roster, &o);
	if (r == -EEXIST) {
		ctl_reply_error(request, CTL_ECONFLICT, "dnet status shows it",
				"this dnet is joined already");
		return;
	}
	if (r < 0) {
		ctl_reply_error(request, CTL_EFAILED, NULL, "cannot join: %s",
				r == -EUSERS ? "too many dnets" : error_text(r));
		return;
	}
	char state[OVERLAY_TEXT_MAX];
	json_t *result = show_identity(&id, &o->identity.key);
	json_object_set_new(result, "interface", json_string(overlay_interface(o)));
	json_object_set_new(result, "state", json_string(overlay_state_text(o, state)));
	ctl_reply(request, result);
}

static void cmd_leave(struct ctl_request *request, json_t *params, void *arg)
{
	struct overlay *o = want_overlay(request, params, "id");
	if (!o)
		return;
	int r = node_leave(arg, o);
	if (r < 0)
		ctl_reply_error(request, CTL_EFAILED, NULL, "cannot leave: %s", error_text(r));
	else
		ctl_reply(request, NULL);
}

static void set_down(struct ctl_request *request, json_t *params, struct node *n, bool down)
{
	struct overlay *only = NULL, *o;
	if (ctl_param_string(params, "id")) {
		only = want_overlay(request, params, "id");
		if (!only)
			return;
	}
	json_t *done = json_array();
	int r = 0;
	TAILQ_FOREACH(o, &n->overlays, entry)
	{
		if (only && o != only)
			continue;
		r = node_set_down(n, o, down);
		if (r < 0)
			break;
		json_array_append_new(done, json_string(o->id_text));
	}
	if (r < 0) {
		json_decref(done);
		ctl_reply_error(request, CTL_EFAILED, NULL, "cannot keep that: %s", error_text(r));
		return;
	}
	ctl_reply(request, json_pack("{s:o}", "dnets", done));
}

static void cmd_up(struct ctl_request *request, json_t *params, void *arg)
{
	set_down(request, params, arg, false);
}

static void cmd_down(struct ctl_request *request, json_t *params, void *arg)
{
	set_down(request, params, arg, true);
}

static void cmd_id(struct ctl_request *request, json_t *params, void *arg)
{
	struct node *n = arg;
	struct object_id id;
	const char *text = ctl_param_string(params, "dnet");
	struct overlay *o = node_find(n, text);
	if (o) {
		ctl_reply(request, show_identity(&o->id, &o->identity.key));
		return;
	}
	if (!text || !cmds_parse_dnet(text, &id)) {
		reply_bad_id(request, text);
		return;
	}
	struct identity identity;
	id_node_identity(n->id, state_master(n->state), &id, &identity);
	ctl_reply(request, show_identity(&id, &identity.key));
	secret_wipe(&identity, sizeof(identity));
}

/* Signed with the node's key in that dnet, so that nobody asks for the key of another. */
static void cmd_request(struct ctl_request *request, json_t *params, void *arg)
{
	struct node *n = arg;
	const char *text = ctl_param_string(params, "dnet");
	const char *name = ctl_param_string(params, "name");
	struct request made = {.date = clock_wall_s()};
	const struct overlay *o = node_find(n, text);
	if (o)
		made.dnet = o->id;
	else if (!text || !cmds_parse_dnet(text, &made.dnet)) {
		reply_bad_id(request, text);
		return;
	}
	if (name && !record_name_ok(name)) {
		ctl_reply_error(request, CTL_EPARAMS,
				"1 to 32 of a-z, 0-9 and -, with no - at an end",
				"'%s' is not a name", name);
		return;
	}
	snprintf(made.name, sizeof(made.name), "%s", name ? name : "");
	struct identity identity;
	struct hash256 digest, chance;
	char line[REQUEST_TEXT_SIZE];
	id_node_identity(n->id, state_master(n->state), &made.dnet, &identity);
	made.key = identity.key;
	request_digest(&made, &digest);
	rand_bytes(chance.bytes, sizeof(chance.bytes));
	bool good = id_sign(n->id, &identity.secret, digest.bytes, chance.bytes, made.signature) &&
		    request_format_text(&made, line);
	secret_wipe(&identity, sizeof(identity));
	if (!good) {
		ctl_reply_error(request, CTL_EFAILED, NULL, "cannot sign the request");
		return;
	}
	json_t *result = show_identity(&made.dnet, &made.key);
	json_object_set_new(result, "name", json_string(made.name));
	json_object_set_new(result, "request", json_string(line));
	ctl_reply(request, result);
}

static void cmd_status(struct ctl_request *request, json_t *params, void *arg)
{
	(void)params;
	ctl_reply(request, show_status(arg));
}

static void cmd_peers(struct ctl_request *request, json_t *params, void *arg)
{
	struct node *n = arg;
	struct overlay *only = NULL, *o;
	if (ctl_param_string(params, "dnet")) {
		only = want_overlay(request, params, "dnet");
		if (!only)
			return;
	}
	json_t *all = json_array();
	TAILQ_FOREACH(o, &n->overlays, entry)
	{
		if (only && o != only)
			continue;
		json_t *peers = show_peers(o);
		json_array_extend(all, peers);
		json_decref(peers);
	}
	ctl_reply(request, all);
}

static void cmd_counters(struct ctl_request *request, json_t *params, void *arg)
{
	struct overlay *only = NULL;
	if (ctl_param_string(params, "dnet")) {
		only = want_overlay(request, params, "dnet");
		if (!only)
			return;
	}
	ctl_reply(request, show_counters(arg, only));
}

/* By name, key, or an address of the overlay. */
static const struct netmap_node *find_node(const struct netmap *map, const char *text)
{
	struct node_key key;
	struct address address;
	if (!map)
		return NULL;
	const struct netmap_node *named = netmap_find_name(map, text);
	if (named)
		return named;
	if (hex_parse(text, key.bytes, PUBKEY_LEN))
		return netmap_find_node(map, &key);
	if (!address_parse(text, &address))
		return NULL;
	for (size_t i = 0; i < map->node_count; i++) {
		const struct netmap_node *node = &map->nodes[i];
		if (address_equal(&node->ipv6, &address) || address_equal(&node->ipv4, &address) ||
		    address_equal(&node->extra_ipv6, &address))
			return node;
	}
	return NULL;
}

/* The dnet of the parameter, and it has a map. NULL: answered. */
static struct overlay *want_map(struct ctl_request *request, const json_t *params)
{
	struct overlay *o = want_overlay(request, params, "dnet");
	if (!o || o->netmap)
		return o;
	ctl_reply_error(request, CTL_ECONFLICT, "dnet status says why", "this dnet is not up");
	return NULL;
}

static const struct netmap_node *want_node(struct ctl_request *request, const struct overlay *o,
					   const char *text)
{
	const struct netmap_node *node = find_node(o->netmap, text);
	if (!node)
		ctl_reply_error(request, CTL_ENOTFOUND, "dnet peers lists them",
				"'%s' is no node of this dnet", text);
	return node;
}

static const struct netmap_node *want_other(struct ctl_request *request, const struct overlay *o,
					    const char *text)
{
	const struct netmap_node *node = want_node(request, o, text);
	if (!node || !node_key_equal(&node->key, &o->identity.key))
		return node;
	ctl_reply_error(request, CTL_EPARAMS, NULL, "'%s' is this node itself", text);
	return NULL;
}

static void cmd_ping(struct ctl_request *request, json_t *params, void *arg)
{
	struct node *n = arg;
	const char *text = ctl_param_string(params, "node");
	int64_t timeout_ms = PING_TIMEOUT_MS;
	if (!text) {
		ctl_reply_error(request, CTL_EPARAMS, "dnet peers lists them",
				"which node? node is missing");
		return;
	}
	if (ctl_param_int(params, "timeout_ms", &timeout_ms) &&
	    (timeout_ms < 1 || timeout_ms > PING_TIMEOUT_MAX_MS)) {
		ctl_reply_error(request, CTL_EPARAMS, NULL, "timeout_ms is 1 to %d",
				PING_TIMEOUT_MAX_MS);
		return;
	}
	struct overlay *o = want_map(request, params);
	const struct netmap_node *node = o ? want_other(request, o, text) : NULL;
	if (!node)
		return;
	pings_begin(n->pings, o, node, (uint64_t)timeout_ms, request);
	datapath_wake(n->datapath);
}

/* An address as it is, or that of a node: its IPv4 one when family says so. */
static bool want_address(struct ctl_request *request, const struct overlay *o, const char *text,
			 enum addr_family family, struct address *ret)
{
	if (address_parse(text, ret))
		return true;
	const struct netmap_node *node = want_node(request, o, text);
	if (!node)
		return false;
	*ret = family == ADDR_V4 ? node->ipv4 : node->ipv6;
	if (ret->family == ADDR_NONE)
		ctl_reply_error(request, CTL_EPARAMS, "give IPv6 addresses, or names",
				"'%s' has no IPv4 address", text);
	return ret->family != ADDR_NONE;
}

static bool want_ends(struct ctl_request *request, const struct overlay *o, const char *src,
		      const char *dst, struct why_flow *flow)
{
	struct address given;
	enum addr_family family = ADDR_V6;
	if (address_parse(src, &given) || address_parse(dst, &given))
		family = given.family;
	if (!want_address(request, o, src, family, &flow->src) ||
	    !want_address(request, o, dst, family, &flow->dst))
		return false;
	if (flow->src.family == flow->dst.family)
		return true;
	ctl_reply_error(request, CTL_EPARAMS, "give two of the same family",
			"'%s' and '%s' are not both IPv4 or both IPv6", src, dst);
	return false;
}

static void why_of_flow(struct ctl_request *request, const json_t *params, const char *src)
{
	const char *dst = ctl_param_string(params, "dst");
	const char *protocol = ctl_param_string(params, "protocol");
	struct why_flow flow = {0};
	int64_t port = 0;
	bool has_port = ctl_param_int(params, "port", &port);
	if (!dst || !protocol) {
		ctl_reply_error(request, CTL_EPARAMS, "dnet why SRC DST PROTO [PORT]",
				"dst or protocol is missing");
		return;
	}
	struct overlay *o = want_map(request, params);
	if (!o || !want_ends(request, o, src, dst, &flow))
		return;
	if (!why_parse_protocol(protocol, flow.src.family, &flow.protocol)) {
		ctl_reply_error(request, CTL_EPARAMS, "tcp, udp, icmp, or a number up to 255",
				"'%s' is not a protocol", protocol);
		return;
	}
	bool with_port = flow.protocol == IP_PROTO_TCP || flow.protocol == IP_PROTO_UDP;
	if (has_port != with_port || (with_port && (port < 1 || port > UINT16_MAX))) {
		ctl_reply_error(request, CTL_EPARAMS, NULL,
				with_port ? "tcp and udp need a port, 1 to 65535"
					  : "'%s' has no ports",
				protocol);
		return;
	}
	flow.port = (uint16_t)port;
	ctl_reply(request, why_flow(o, &flow));
}

static void cmd_why(struct ctl_request *request, json_t *params, void *arg)
{
	const char *text = ctl_param_string(params, "node"), *src = ctl_param_string(params, "src");
	(void)arg;
	if (src) {
		why_of_flow(request, params, src);
		return;
	}
	if (!text) {
		ctl_reply_error(request, CTL_EPARAMS, "dnet peers lists them",
				"which node? node is missing");
		return;
	}
	struct overlay *o = want_map(request, params);
	const struct netmap_node *node = o ? want_other(request, o, text) : NULL;
	if (node)
		ctl_reply(request, why_node(o, node));
}

static const struct ctl_command commands[] = {
	{"join", "ID", "Joins a dnet: by its id or a join link.", CTL_WRITE, cmd_join},
	{"leave", "ID", "Leaves a dnet and takes everything of it back.", CTL_WRITE, cmd_leave},
	{"up", "[ID]", "Brings a dnet up that was taken down.", CTL_WRITE, cmd_up},
	{"down", "[ID]", "Takes a dnet down without leaving it.", CTL_WRITE, cmd_down},
	{"id", "[DNET]", "This node's key and address in a dnet, joined or not.", CTL_READ, cmd_id},
	{"request", "DNET [NAME]", "A signed request to be let into a dnet, for its owner.",
	 CTL_WRITE, cmd_request},
	{"status", NULL, "What is joined, and how it is.", CTL_READ, cmd_status},
	{"peers", "[DNET]", "The other nodes, and how they are reached.", CTL_READ, cmd_peers},
	{"ping", "NODE [DNET] [TIMEOUT_MS]", "Asks a node for an answer through the overlay.",
	 CTL_READ, cmd_ping},
	{"why", "NODE | SRC DST PROTOCOL [PORT]",
	 "Why a path is what it is; what the policy says of a flow.", CTL_READ, cmd_why},
	{"counters", "[DNET]", "Named counters of packets and refusals.", CTL_READ, cmd_counters},
};

int cmds_start(struct node *n)
{
	static const char *const topics[] = {"events", NULL};
	unsigned mode = 0;
	(void)daemon_control_mode(&n->config->daemon, &mode);
	struct ctl_config config = {
		.program = dnetd_program.name,
		.version = dnetd_program.version,
		.path = n->config->daemon.control,
		.mode = mode,
		.group = n->config->daemon.control_group,
		.user = n->config->daemon.user,
		.commands = commands,
		.commands_count = ARRAY_SIZE(commands),
		.topics = topics,
		.arg = n,
	};
	int r = ctl_server_new(n->loop, &config, &n->ctl);
	if (r < 0)
		log_error("cannot open the control socket %s: %s", config.path,
			  r == -EADDRINUSE ? "another dnetd serves it: choose another (--control)"
					   : strerror(-r));
	return r;
}
