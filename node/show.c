#include "node/show.h"

#include "adapters/adapter.h"
#include "core/aead.h"
#include "core/mesh.h"
#include "node/carriers.h"
#include "node/datapath.h"
#include "node/guard.h"
#include "node/names.h"
#include "node/netcfg.h"
#include "node/node.h"
#include "node/rosters.h"
#include "node/settings.h"
#include "node/slot.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/ctl_value.h"
#include "os/udp.h"
#include "service/chain.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

json_t *show_endpoint(const struct endpoint *endpoint)
{
	char text[ENDPOINT_TEXT_MAX];
	if (endpoint->addr.family == ADDR_NONE)
		return json_null();
	return json_string(endpoint_format(endpoint, text));
}

json_t *show_milliseconds(uint64_t ns)
{
	return ns ? json_real((double)ns / NS_PER_MS) : json_null();
}

json_t *show_addresses(const struct netmap_node *node)
{
	json_t *array = json_array();
	if (!node)
		return array;
	ctl_append_address(array, &node->ipv4);
	ctl_append_address(array, &node->ipv6);
	ctl_append_address(array, &node->extra_ipv6);
	return array;
}

/* ---- status ---- */

static void append_part(json_t *parts, const char *part, bool applied, const char *error)
{
	json_array_append_new(parts, json_pack("{s:s, s:b, s:o}", "part", part, "applied",
					       (int)applied, "error", text_or_null(error)));
}

/* Of another backend than the first, its interface stands before the part. */
static void append_slot(json_t *parts, const struct slot *slot, bool named)
{
	char part[64];
	struct adapter_status status;
	for (int i = 0; i < NETCFG_PART_COUNT && slot_has_interface(slot); i++) {
		struct netcfg_status s = netcfg_status(slot_netcfg(slot), (enum netcfg_part)i);
		snprintf(part, sizeof(part), "%s%s%s", named ? slot_interface(slot) : "",
			 named ? " " : "", s.part);
		append_part(parts, part, s.applied, s.error);
	}
	if (slot_guard(slot) && slot_has_interface(slot)) {
		const char *error;
		bool good = slot_filter_is_good(slot, &error);
		snprintf(part, sizeof(part), "%s%sfilter", named ? slot_interface(slot) : "",
			 named ? " " : "");
		append_part(parts, part, good, error);
	}
	slot_status(slot, &status);
	append_part(parts, slot_ops(slot)->name, status.applied && !status.error, status.error);
}

static json_t *backends_of(const struct overlay *o)
{
	json_t *backends = json_array();
	for (size_t i = 0; i < o->slot_count; i++) {
		struct adapter_status s;
		slot_status(o->slots[i], &s);
		json_array_append_new(backends,
				      json_pack("{s:s, s:s, s:b, s:o, s:o, s:o}", "name",
						slot_ops(o->slots[i])->name, "interface",
						slot_interface(o->slots[i]), "applied",
						(int)s.applied, "error", text_or_null(s.error),
						"limits", text_or_null(s.limits), "program",
						text_or_null(s.program)));
	}
	return backends;
}

static json_t *parts_of(const struct overlay *o)
{
	json_t *parts = json_array();
	for (size_t i = 0; i < o->slot_count; i++)
		append_slot(parts, o->slots[i], i > 0);
	if (o->ipv4_error[0])
		append_part(parts, "ipv4", false, o->ipv4_error);
	return parts;
}

struct helpers_arg {
	const struct overlay *overlay;
	json_t *array;
};

static void visit_helper(void *ctx, const struct mesh_helper_status *s)
{
	struct helpers_arg *arg = ctx;
	char id[OBJECT_ID_TEXT_SIZE];
	enum object_kind kind = (enum object_kind)s->helper->kind;
	object_id_format(kind, &s->helper->id, id);
	json_array_append_new(
		arg->array,
		json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "kind",
			  object_kind_name(kind), "id", id, "name", s->helper->name, "endpoint",
			  show_endpoint(&s->endpoint), "state", s->state, "reason",
			  text_or_null(s->reason), "rtt_ms", show_milliseconds(s->rtt_ns),
			  "observed", show_endpoint(&s->observed), "refused",
			  text_or_null(s->refused), "error",
			  text_or_null(names_error(arg->overlay->names, &s->helper->id))));
}

json_t *show_helpers(const struct overlay *o)
{
	struct helpers_arg arg = {o, json_array()};
	struct mesh *mesh = o->mesh;
	if (mesh)
		mesh_visit_helpers(mesh, visit_helper, &arg);
	return arg.array;
}

static void count_connected(void *ctx, const struct mesh_peer_status *s)
{
	json_int_t *connected = ctx;
	if (strcmp(s->state, "connected") == 0)
		(*connected)++;
}

static bool only_native(const struct overlay *o)
{
	return o->slot_count == 1 && slot_ops(o->slots[0])->backend == BACKEND_NATIVE;
}

static json_int_t count_carried(const struct overlay *o)
{
	json_t *peers = show_peers(o);
	const json_t *peer;
	json_int_t connected = 0;
	size_t i;
	json_array_foreach(peers, i, peer)
	{
		const char *state = json_string_value(json_object_get(peer, "state"));
		connected += state && strcmp(state, "connected") == 0;
	}
	json_decref(peers);
	return connected;
}

/* Members that no backend carries. */
static json_t *unreachable_of(const struct overlay *o)
{
	json_t *array = json_array();
	char reason[CARRIERS_TEXT_MAX], hex[2 * PUBKEY_LEN + 1];
	for (size_t i = 0; o->mesh && o->netmap && i < o->netmap->node_count; i++) {
		const struct netmap_node *node = &o->netmap->nodes[i];
		if (node_key_equal(&node->key, &o->identity.key) ||
		    carriers_slot(o->carriers, node) >= 0)
			continue;
		hex_format(node->key.bytes, PUBKEY_LEN, hex);
		json_array_append_new(array, json_pack("{s:s, s:s}", "name",
						       node->name[0] ? node->name : hex, "reason",
						       carriers_reason(o->carriers, node, reason)));
	}
	return array;
}

static json_t *show_overlay(const struct overlay *o)
{
	char state[OVERLAY_TEXT_MAX], hex[2 * PUBKEY_LEN + 1];
	struct mesh *mesh = o->mesh;
	const struct netmap *map = o->netmap;
	const struct netmap_node *self = map ? netmap_find_node(map, &o->identity.key) : NULL;
	json_int_t connected = 0;
	json_int_t total = map ? (json_int_t)map->node_count - (self ? 1 : 0) : 0;
	if (mesh && only_native(o))
		mesh_visit_peers(mesh, count_connected, &connected);
	else if (mesh)
		connected = count_carried(o);
	hex_format(o->identity.key.bytes, PUBKEY_LEN, hex);
	json_t *json = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:o, s:I, s:o, s:o, s:I, s:I}", "id", o->id_text, "name",
		map ? map->name : "", "interface", overlay_interface(o), "state",
		overlay_state_text(o, state), "key", hex, "addresses", show_addresses(self),
		"height", (json_int_t)(map ? map->height : 0), "parts", parts_of(o), "helpers",
		show_helpers(o), "peers_total", total, "peers_connected", connected);
	json_object_set_new(json, "backend", json_string(slot_ops(o->slots[0])->name));
	if (only_native(o))
		json_object_set_new(json, "tun_offload",
				    json_string(tun_offload_name(slot_offload(o->slots[0]))));
	json_object_set_new(json, "backends", backends_of(o));
	json_object_set_new(json, "unreachable", unreachable_of(o));
	json_object_set_new(json, "remark", text_or_null(self ? self->remark : NULL));
	json_object_set_new(json, "roster", rosters_show(o->rosters));
	json_object_set_new(json, "from_copy", json_boolean(o->lastgood.from_copy));
	if (o->lastgood.behind)
		json_object_set_new(json, "behind", json_integer(o->lastgood.behind));
	return json;
}

static json_t *show_chain(const struct node *n)
{
	struct chain_status s = chain_status(n->chain);
	uint64_t now_s = clock_wall_s();
	json_t *age = s.time_s ? json_integer(now_s > s.time_s ? (json_int_t)(now_s - s.time_s) : 0)
			       : json_null();
	return json_pack("{s:I, s:o, s:o}", "height", (json_int_t)s.height, "age_s", age, "error",
			 text_or_null(s.error));
}

static const char *node_state(const struct node *n)
{
	const struct overlay *o;
	if (TAILQ_EMPTY(&n->overlays))
		return "no dnet is joined";
	if (n->local_count == 0)
		return "no network: no other interface is up with an address";
	TAILQ_FOREACH(o, &n->overlays, entry)
	{
		bool active = o->state == OVERLAY_UP || o->state == OVERLAY_STARTING;
		if (active && !overlay_is_good(o))
			return "not as wanted: see parts";
	}
	return "ok";
}

/* Who seals, and with what. */
static json_t *show_ciphers(const struct node *n)
{
	static const enum aead_kind kinds[] = {AEAD_AES256_GCM, AEAD_CHACHA20_POLY1305};
	static const uint8_t zeros[AEAD_KEY_LEN];
	json_t *array = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct aead_key *key = NULL;
		if (settings_ciphers(n->config) & kinds[i])
			key = aead_key_new(kinds[i], zeros);
		if (key)
			json_array_append_new(array, json_pack("{s:s, s:s}", "name",
							       aead_kind_name(kinds[i]), "by",
							       aead_provider(key)));
		aead_key_free(key);
	}
	return array;
}

static json_t *show_datapath(const struct node *n)
{
	const struct udp_socket *s = n->udp4.fd >= 0 ? &n->udp4 : &n->udp6;
	return json_pack("{s:o, s:b, s:o, s:b, s:o}", "ciphers", show_ciphers(n), "udp_gso",
			 (int)s->gso, "udp_gso_off", text_or_null(s->gso_off), "udp_gro",
			 (int)s->gro, "udp_gro_off", text_or_null(s->gro_off));
}

json_t *show_status(const struct node *n)
{
	const struct overlay *o;
	json_t *dnets = json_array();
	TAILQ_FOREACH(o, &n->overlays, entry)
	json_array_append_new(dnets, show_overlay(o));
	struct endpoint bound = {0};
	(void)udp_local_endpoint(n->udp4.fd >= 0 ? &n->udp4 : &n->udp6, &bound);
	return json_pack("{s:s, s:s, s:i, s:i, s:o, s:o, s:o}", "version", dnetd_program.version,
			 "state", node_state(n), "pid", (int)getpid(), "port", (int)bound.port,
			 "dnets", dnets, "chain", show_chain(n), "datapath", show_datapath(n));
}

/* ---- peers ---- */

static const char *path_name(enum path_kind path)
{
	switch (path) {
	case PATH_NONE:
		return "none";
	case PATH_DIRECT:
		return "direct";
	case PATH_RELAY:
		return "relay";
	}
	return "";
}

struct peers_arg {
	const struct overlay *overlay;
	json_t *array;
	json_t *carried; /* of other backends than the mesh: what they say of a peer, by key */
	uint64_t now;
};

static json_t *show_count(uint64_t count)
{
	return count == UINT64_MAX ? json_null() : json_integer((json_int_t)count);
}

/* The same fields as of the mesh, which stand for the control plane there. */
static void visit_carried(void *ctx, const struct adapter_peer_status *s)
{
	struct peers_arg *arg = ctx;
	char hex[2 * PUBKEY_LEN + 1];
	const char *path = s->bridged ? "bridge" : s->connected ? "direct" : "none";
	hex_format(s->key.bytes, PUBKEY_LEN, hex);
	json_t *age = s->last_handshake_s == UINT64_MAX
			      ? json_null()
			      : json_integer((json_int_t)s->last_handshake_s);
	json_object_set_new(arg->carried, hex,
			    json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s}", "state",
				      s->connected ? "connected" : "connecting", "path", path,
				      "endpoint", show_endpoint(&s->endpoint), "rx_bytes",
				      show_count(s->rx_bytes), "tx_bytes", show_count(s->tx_bytes),
				      "last_handshake_s", age, "reason", s->reason));
}

/* Which backend carries it, and what that one knows. */
static void add_backend(const struct peers_arg *arg, const struct mesh_peer_status *s,
			const char *hex, json_t *peer)
{
	const struct overlay *o = arg->overlay;
	char reason[CARRIERS_TEXT_MAX];
	int slot = carriers_slot(o->carriers, s->node);
	json_object_set_new(peer, "backend",
			    slot < 0 ? json_null() : json_string(slot_ops(o->slots[slot])->name));
	if (slot < 0) {
		json_object_set_new(peer, "reason",
				    json_string(carriers_reason(o->carriers, s->node, reason)));
		json_object_set_new(peer, "state", json_string("unreachable"));
	} else if (slot_ops(o->slots[slot])->backend != BACKEND_NATIVE) {
		json_object_set_new(peer, "control", json_string(path_name(s->path)));
		json_object_update(peer, json_object_get(arg->carried, hex));
	}
	if (s->refused)
		json_object_set_new(peer, "refused", json_string(s->refused));
}

static void visit_peer(void *ctx, const struct mesh_peer_status *s)
{
	struct peers_arg *arg = ctx;
	char hex[2 * PUBKEY_LEN + 1], relay[OBJECT_ID_TEXT_SIZE];
	uint64_t handshake = s->stats.last_handshake;
	hex_format(s->node->key.bytes, PUBKEY_LEN, hex);
	object_id_format(OBJECT_OVR, &s->relay, relay);
	json_t *age = handshake && arg->now >= handshake
			      ? json_integer((json_int_t)((arg->now - handshake) / NS_PER_S))
			      : json_null();
	json_t *peer = json_pack(
		"{s:s, s:s, s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:o, s:s}", "dnet",
		arg->overlay->id_text, "name", s->node->name, "key", hex, "addresses",
		show_addresses(s->node), "state", s->state, "path", path_name(s->path), "endpoint",
		show_endpoint(&s->endpoint), "relay",
		s->path == PATH_RELAY ? json_string(relay) : json_null(), "rtt_ms",
		show_milliseconds(s->rtt_ns), "rx_bytes", (json_int_t)s->stats.rx_bytes, "tx_bytes",
		(json_int_t)s->stats.tx_bytes, "last_handshake_s", age, "reason", s->reason);
	bool sealed = s->stats.aead && strcmp(s->state, "connected") == 0;
	json_object_set_new(peer, "cipher",
			    sealed ? json_string(aead_kind_name((enum aead_kind)s->stats.aead))
				   : json_null());
	json_object_set_new(peer, "mtu", sealed ? json_integer(s->mtu) : json_null());
	add_backend(arg, s, hex, peer);
	json_array_append_new(arg->array, peer);
}

json_t *show_peers(const struct overlay *o)
{
	struct peers_arg arg = {o, json_array(), json_object(), clock_boottime_ns()};
	for (size_t i = 0; i < o->slot_count; i++)
		(void)slot_visit_peers(o->slots[i], visit_carried, &arg);
	if (o->mesh)
		mesh_visit_peers(o->mesh, visit_peer, &arg);
	json_decref(arg.carried);
	return arg.array;
}

/* ---- counters ---- */

static void add(json_t *counters, const char *name, uint64_t value)
{
	json_int_t before = json_integer_value(json_object_get(counters, name));
	json_object_set_new(counters, name, json_integer(before + (json_int_t)value));
}

/* What the kernel refused on interfaces of other backends than native. */
static void add_filters(json_t *counters, const struct overlay *o)
{
	uint64_t packets[FILTER_COUNTER_COUNT];
	char name[64];
	for (size_t i = 0; i < o->slot_count; i++) {
		struct guard *guard = slot_guard(o->slots[i]);
		if (!guard || !guard_counters(guard, packets))
			continue;
		for (int c = 0; c < FILTER_COUNTER_COUNT; c++) {
			snprintf(name, sizeof(name), "filter_%s",
				 filter_counter_name((enum filter_counter)c));
			add(counters, name, packets[c]);
		}
	}
}

json_t *show_counters(const struct node *n, const struct overlay *only)
{
	json_t *counters = json_object();
	const struct overlay *o;
	for (int i = 0; i < DATAPATH_COUNTER_COUNT; i++)
		add(counters, datapath_counter_name((enum datapath_counter)i),
		    datapath_counter(n->datapath, (enum datapath_counter)i));
	for (int i = 0; i < ENGINE_COUNTER_COUNT; i++)
		add(counters, engine_counter_name((enum engine_counter)i),
		    engine_counter(n->engine, (enum engine_counter)i));
	TAILQ_FOREACH(o, &n->overlays, entry)
	{
		struct mesh *mesh = o->mesh;
		if (!mesh || (only && o != only))
			continue;
		for (int i = 0; i < MESH_COUNTER_COUNT; i++)
			add(counters, mesh_counter_name((enum mesh_counter)i),
			    mesh_counter(mesh, (enum mesh_counter)i));
		add_filters(counters, o);
	}
	return counters;
}
