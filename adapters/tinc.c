#include "adapters/adapter.h"
#include "adapters/tinc_files.h"
#include "adapters/tinc_key.h"
#include "adapters/tincd.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The tinc backend: one tincd beside us (tincd.h), whose folder says what the plan says. tincd
 * makes the interface; dnetd gives it its addresses and routes. Members connect directly; with
 * tinc-hub = yes also through the hub of an OVC, whose subnets are all members' with a weight that
 * makes them the last choice. */

enum {
	CHECK_MS = 10000, /* files that something else changed are written again */
	HUB_WEIGHT = 100,
	STATUS_MAX = 512,
};

#define LIMITS                                                                                     \
	"tincd looks at no packet's author: a member can send in another one's name, and so "      \
	"within what rules allow that one; tinc 1.0 has no forward secrecy"
static const char limits[] = LIMITS;
static const char limits_with_hub[] =
	LIMITS "; THE OPERATOR OF THE OVC CAN READ AND CHANGE what goes through its hub "
	       "(tinc-hub = yes)";

/* A node of the VPN: a member, or a hub. */
struct member {
	struct node_key node;
	char name[TINC_NAME_SIZE];
	char key[TINC_PUBLIC_MAX]; /* "": not known, or not fit */
	bool stated;		   /* it has said a key, fit or not */
	struct address subnets[TINC_SUBNETS_MAX];
	size_t subnet_count;
	struct endpoint endpoints[ADAPTER_ENDPOINTS_MAX];
	size_t endpoint_count;
	bool up;
	struct endpoint at; /* where tincd has it; family ADDR_NONE: unknown */
	uint64_t up_since_ns;
};

struct members {
	struct member *list; /* owned; sorted by name */
	size_t count;
};

struct adapter {
	struct adapter_host host;
	struct tincd *tincd;
	struct loop_timer *check;
	bool planned; /* a plan is there */
	int result;   /* of the last time that files were written */
	struct member self;
	struct members members, hubs;
	struct address *hub_subnets; /* owned: of all members */
	size_t hub_subnet_count;
	char error[ADAPTER_ERROR_MAX];
	char program[STATUS_MAX];
};

/* ---- From the plan ---- */

static int compare_members(const void *a, const void *b)
{
	return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static int compare_name(const void *name, const void *member)
{
	return strcmp(name, ((const struct member *)member)->name);
}

static struct member *find(const struct members *m, const char *name)
{
	return m->count ? bsearch(name, m->list, m->count, sizeof(*m->list), compare_name) : NULL;
}

static void add_subnet(struct member *m, const struct address *address)
{
	if (address->family != ADDR_NONE)
		m->subnets[m->subnet_count++] = *address;
}

static void fill_node(struct member *m, const struct netmap_node *node)
{
	m->node = node->key;
	tinc_node_name(&node->key, m->name);
	m->subnet_count = 0;
	add_subnet(m, &node->ipv6);
	add_subnet(m, &node->ipv4);
	add_subnet(m, &node->extra_ipv6);
}

static void fill_key(struct member *m, const uint8_t *key, size_t len)
{
	m->stated = key != NULL;
	if (!key || !tinc_key_format(key, len, m->key))
		m->key[0] = '\0';
}

/* The inside of the dnet is no way to its members. */
static void fill_endpoints(struct member *m, const struct netmap *netmap,
			   const struct endpoint *endpoints, size_t count)
{
	m->endpoint_count = 0;
	for (size_t i = 0; i < count && m->endpoint_count < ADAPTER_ENDPOINTS_MAX; i++) {
		const struct endpoint *e = &endpoints[i];
		if (e->addr.family != ADDR_NONE && e->port != 0 &&
		    !prefix_contains(&netmap->ipv6_prefix, &e->addr) &&
		    !prefix_contains(&netmap->ipv4_prefix, &e->addr))
			m->endpoints[m->endpoint_count++] = *e;
	}
}

/* Where it was found once it may be found again: nothing new to say is no reason to forget. */
static void keep_state(struct member *m, const struct member *before)
{
	if (!before || strcmp(before->key, m->key) != 0)
		return;
	m->up = before->up;
	m->at = before->at;
	m->up_since_ns = before->up_since_ns;
	if (m->endpoint_count == 0) {
		memcpy(m->endpoints, before->endpoints, sizeof(m->endpoints));
		m->endpoint_count = before->endpoint_count;
	}
}

static void replace_members(struct members *m, struct members *by)
{
	qsort(by->list, by->count, sizeof(*by->list), compare_members);
	for (size_t i = 0; i < by->count; i++)
		keep_state(&by->list[i], find(m, by->list[i].name));
	free(m->list);
	*m = *by;
}

static void take_members(struct adapter *a, const struct adapter_plan *plan)
{
	struct members members = {xcalloc(plan->peer_count + 1, sizeof(*members.list)), 0};
	for (size_t i = 0; i < plan->peer_count; i++) {
		const struct adapter_peer *peer = &plan->peers[i];
		struct member *m = &members.list[members.count++];
		fill_node(m, peer->node);
		fill_key(m, peer->key, peer->key_len);
		fill_endpoints(m, plan->netmap, peer->endpoints, peer->endpoint_count);
	}
	replace_members(&a->members, &members);
}

static void take_hubs(struct adapter *a, const struct adapter_plan *plan)
{
	struct members hubs = {xcalloc(plan->hub_count + 1, sizeof(*hubs.list)), 0};
	for (size_t i = 0; a->host.use_hubs && i < plan->hub_count; i++) {
		const struct adapter_hub *hub = &plan->hubs[i];
		struct member *m = &hubs.list[hubs.count++];
		tinc_hub_name(&hub->ovc, m->name);
		fill_key(m, hub->key, hub->key_len);
		fill_endpoints(m, plan->netmap, hub->endpoints, hub->endpoint_count);
	}
	replace_members(&a->hubs, &hubs);
	a->hub_subnets = xrealloc(a->hub_subnets, (TINC_SUBNETS_MAX * a->members.count + 1) *
							  sizeof(*a->hub_subnets));
	a->hub_subnet_count = 0;
	for (size_t i = 0; i < a->members.count; i++) {
		const struct member *m = &a->members.list[i];
		for (size_t j = 0; m->key[0] && j < m->subnet_count; j++)
			a->hub_subnets[a->hub_subnet_count++] = m->subnets[j];
	}
}

/* ---- To tincd ---- */

static void add_host(struct tinc_net *net, struct tinc_host *hosts, const struct member *m)
{
	struct tinc_host *host = &hosts[net->host_count];
	if (!m->key[0])
		return; /* nobody may connect as one whose key is not known */
	*host = (struct tinc_host){.key = m->key,
				   .subnets = m->subnets,
				   .subnet_count = m->subnet_count,
				   .endpoints = m->endpoints,
				   .endpoint_count = m->endpoint_count,
				   .connected = m->up};
	memcpy(host->name, m->name, sizeof(host->name));
	net->host_count++;
}

static void write_all(struct adapter *a, bool look)
{
	struct tinc_net net = {.interface = a->host.interface};
	struct tinc_host *hosts = xcalloc(1 + a->members.count + a->hubs.count, sizeof(*hosts));
	if (!a->planned) {
		free(hosts);
		return;
	}
	memcpy(net.name, a->self.name, sizeof(net.name));
	snprintf(a->self.key, sizeof(a->self.key), "%s", tincd_key_text(a->tincd));
	net.hosts = hosts;
	add_host(&net, hosts, &a->self);
	for (size_t i = 0; i < a->members.count; i++)
		add_host(&net, hosts, &a->members.list[i]);
	for (size_t i = 0; i < a->hubs.count; i++) {
		size_t before = net.host_count;
		add_host(&net, hosts, &a->hubs.list[i]);
		if (net.host_count == before)
			continue;
		hosts[before].subnets = a->hub_subnets;
		hosts[before].subnet_count = a->hub_subnet_count;
		hosts[before].weight = HUB_WEIGHT;
	}
	a->result = tincd_apply(a->tincd, &net, look);
	free(hosts);
}

static void on_check(void *arg)
{
	write_all(arg, true);
}

static void on_ready(void *ctx)
{
	struct adapter *a = ctx;
	write_all(a, false);
	a->host.changed(a->host.ctx);
}

static void set_up(struct adapter *a, struct member *m, bool up, const struct endpoint *at)
{
	static const struct node_key nobody;
	char text[ENDPOINT_TEXT_MAX + 64], where[ENDPOINT_TEXT_MAX];
	bool is_hub = node_key_equal(&m->node, &nobody);
	if (m->up == up)
		return;
	m->up = up;
	m->at = *at;
	m->up_since_ns = clock_monotonic_ns();
	snprintf(text, sizeof(text), "%s by tinc%s%s%s", up ? "connected" : "no longer connected",
		 is_hub ? ", hub" : "", up ? ", " : "", up ? endpoint_format(at, where) : "");
	a->host.event(a->host.ctx, is_hub ? NULL : &m->node, text);
}

static void on_tinc_event(void *ctx, const struct tinc_event *event)
{
	struct adapter *a = ctx;
	struct member *m = find(&a->members, event->name);
	if (!m)
		m = find(&a->hubs, event->name);
	if (m)
		set_up(a, m, event->up, &event->endpoint);
}

static void on_ended(void *ctx)
{
	static const struct endpoint nowhere;
	struct adapter *a = ctx;
	for (size_t i = 0; i < a->members.count; i++)
		set_up(a, &a->members.list[i], false, &nowhere);
	for (size_t i = 0; i < a->hubs.count; i++)
		set_up(a, &a->hubs.list[i], false, &nowhere);
}

/* ---- The backend ---- */

static int tinc_probe(const char *program, enum adapter_device *ret_device,
		      char error[static ADAPTER_ERROR_MAX])
{
	if (!program || !program[0]) {
		snprintf(error, ADAPTER_ERROR_MAX, "the option tincd does not say where tincd is");
		return -ENOENT;
	}
	if (access(program, X_OK)) {
		int r = -errno;
		snprintf(error, ADAPTER_ERROR_MAX, "%s: %s: install it (apt install tinc)", program,
			 strerror(-r));
		return r;
	}
	*ret_device = ADAPTER_DEVICE_PROGRAM;
	return 0;
}

static void tinc_teardown(struct adapter *a)
{
	tincd_free(a->tincd);
	loop_timer_free(a->check);
	free(a->members.list);
	free(a->hubs.list);
	free(a->hub_subnets);
	free(a);
}

static int tinc_start(const struct adapter_host *host, struct adapter **ret_adapter)
{
	struct adapter *a = xcalloc(1, sizeof(*a));
	char name[64];
	a->host = *host;
	snprintf(name, sizeof(name), "%s: tincd", host->interface);
	int r = tincd_new(
		&(struct tincd_config){
			.loop = host->loop, .os = host->os, .folder = host->folder, .name = name},
		&(struct tincd_io){a, on_ready, on_tinc_event, on_ended}, &a->tincd);
	if (r < 0) {
		free(a);
		return r;
	}
	a->check = loop_timer_new(host->loop, on_check, a);
	loop_timer_every(a->check, CHECK_MS);
	*ret_adapter = a;
	return 0;
}

static void tinc_device(struct adapter *a, uint32_t index, int fd)
{
	(void)fd;
	tincd_set_interface(a->tincd, index);
}

static int tinc_apply(struct adapter *a, const struct adapter_plan *plan, uint64_t now)
{
	(void)now;
	fill_node(&a->self, plan->self);
	take_members(a, plan);
	take_hubs(a, plan);
	a->planned = true;
	write_all(a, false);
	return a->result;
}

static void tinc_offer(const struct adapter *a, struct adapter_offer *ret_offer)
{
	*ret_offer = (struct adapter_offer){.port = tincd_port(a->tincd)};
	ret_offer->key = tincd_key(a->tincd, &ret_offer->key_len);
}

/* ---- Views ---- */

static size_t count_up(const struct members *m)
{
	size_t up = 0;
	for (size_t i = 0; i < m->count; i++)
		up += m->list[i].up;
	return up;
}

static void tinc_status(const struct adapter *adapter, struct adapter_status *ret_status)
{
	struct adapter *a = (struct adapter *)adapter; /* its texts */
	*ret_status = (struct adapter_status){
		.applied = a->planned && a->result == 0 && tincd_is_running(a->tincd),
		.limits = a->hubs.count > 0 ? limits_with_hub : limits,
		.program = a->program};
	snprintf(a->program, sizeof(a->program), "%s, port %u, %zu of %zu members connected",
		 tincd_text(a->tincd), tincd_port(a->tincd), count_up(&a->members),
		 a->members.count);
	if (a->result < 0)
		snprintf(a->error, sizeof(a->error), "cannot write the files of tincd in %s: %s",
			 a->host.folder, strerror(-a->result));
	else if (a->planned && !tincd_is_running(a->tincd))
		snprintf(a->error, sizeof(a->error), "%s", tincd_text(a->tincd));
	else
		return;
	ret_status->error = a->error;
}

static const char *reason_of(const struct adapter *a, const struct member *m)
{
	if (m->up)
		return "connected by tinc";
	if (!m->stated)
		return "it has not said its key of tinc yet";
	if (!m->key[0])
		return "its key of tinc is no RSA key of 2048 bits or more";
	if (!tincd_is_running(a->tincd))
		return "tincd does not run here";
	if (count_up(&a->hubs) > 0)
		return "through the hub, if it is connected there too";
	return m->endpoint_count > 0 ? "tincd tries to connect to it"
				     : "no address of it is known: it has to connect";
}

static void tinc_visit_peers(const struct adapter *a, adapter_visit_peer *visit, void *ctx)
{
	uint64_t now = clock_monotonic_ns();
	for (size_t i = 0; i < a->members.count; i++) {
		const struct member *m = &a->members.list[i];
		struct adapter_peer_status s = {
			.key = m->node,
			.rx_bytes = UINT64_MAX, /* tinc 1.0 has no count of a node */
			.tx_bytes = UINT64_MAX,
			.last_handshake_s = m->up ? (now - m->up_since_ns) / NS_PER_S : UINT64_MAX,
			.endpoint = m->at,
			.connected = m->up,
			.reason = reason_of(a, m)};
		visit(ctx, &s);
	}
}

const struct adapter_ops adapter_tinc = {
	.name = "tinc",
	.summary = "tincd, started and kept by dnetd",
	.backend = BACKEND_TINC,
	.program = PROGRAM_TINCD,
	.probe = tinc_probe,
	.start = tinc_start,
	.device = tinc_device,
	.apply = tinc_apply,
	.offer = tinc_offer,
	.status = tinc_status,
	.visit_peers = tinc_visit_peers,
	.teardown = tinc_teardown,
};
