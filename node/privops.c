#include "node/privops.h"

#include "node/ifname.h"
#include "node/privops_parts.h"
#include "os/base.h"
#include "os/log.h"
#include "os/netlink.h"
#include "os/proc.h"
#include "os/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { PREFIX_MAX = 10 };

/* ---- The privileged side ---- */

_printf_(2, 3) int priv_refuse(struct priv_reply *reply, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = snprintf(reply->error, sizeof(reply->error), "refused: ");
	vsnprintf(reply->error + n, sizeof(reply->error) - (size_t)n, format, args);
	va_end(args);
	return -EPERM;
}

static int kernel_result(struct helper *h, struct priv_reply *reply, int result)
{
	if (result < 0)
		snprintf(reply->error, sizeof(reply->error), "%s", netlink_error_text(h->nl));
	return result;
}

static struct interface *find_interface(struct helper *h, uint32_t index)
{
	if (index == 0)
		return NULL;
	for (size_t i = 0; i < PRIV_INTERFACES_MAX; i++) {
		if (h->interfaces[i].index == index)
			return &h->interfaces[i];
	}
	return NULL;
}

bool priv_ipv4_prefix_ok(const struct prefix *prefix)
{
	static const struct prefix ranges[] = {
		{{ADDR_V4, {10}}, 8},	    {{ADDR_V4, {172, 16}}, 12}, {{ADDR_V4, {192, 168}}, 16},
		{{ADDR_V4, {100, 64}}, 10}, {{ADDR_V4, {198, 18}}, 15},
	};
	if (prefix->addr.family != ADDR_V4 || prefix->bits > 32)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (prefix->bits >= ranges[i].bits && prefix_contains(&ranges[i], &prefix->addr))
			return true;
	}
	return false;
}

/* Inside fd00::/8, at least a /16, or inside the interface's IPv4 prefix. */
bool priv_range_is_ours(const struct interface *i, const struct prefix *range)
{
	if (range->addr.family == ADDR_V6)
		return range->addr.bytes[0] == 0xfd && range->bits >= 16 && range->bits <= 128;
	if (range->addr.family != ADDR_V4 || i->ipv4.addr.family != ADDR_V4)
		return false;
	return range->bits >= i->ipv4.bits && range->bits <= 32 &&
	       prefix_contains(&i->ipv4, &range->addr);
}

/* ---- Rules ---- */

/* More come in the next round. */
enum { RULES_AT_ONCE = 64, RULE_ROUNDS_MAX = 256 };

struct rule_search {
	const struct helper *h;
	uint32_t table; /* 0: those of our numbers that are not in use */
	bool in_use[PRIV_NUMBER_MAX + 1];
	struct netlink_rule found[RULES_AT_ONCE];
	size_t count;
};

static bool table_number(const struct helper *h, uint32_t table, uint32_t *ret_number)
{
	if (table < h->table_base || table - h->table_base > PRIV_NUMBER_MAX)
		return false;
	*ret_number = table - h->table_base;
	return true;
}

static void mark_table(void *arg, const struct netlink_route *route)
{
	struct rule_search *s = arg;
	uint32_t number;
	if (table_number(s->h, route->table, &number))
		s->in_use[number] = true;
}

static void collect_rule(void *arg, const struct netlink_rule *rule)
{
	struct rule_search *s = arg;
	uint32_t number;
	if (s->count == RULES_AT_ONCE || !table_number(s->h, rule->table, &number))
		return;
	if (s->table ? rule->table == s->table : !s->in_use[number])
		s->found[s->count++] = *rule;
}

static int remove_rules(struct helper *h, struct rule_search *s)
{
	int r = 0;
	for (int round = 0; round < RULE_ROUNDS_MAX; round++) {
		s->count = 0;
		r = netlink_rule_list(h->nl, DNET_RTPROT, collect_rule, s);
		if (r == -EINTR)
			continue; /* somebody changes rules just now */
		for (size_t i = 0; i < s->count && r == 0; i++) {
			r = netlink_rule_delete(h->nl, &s->found[i]);
			if (r == -ENOENT)
				r = 0;
		}
		if (r < 0 || s->count < RULES_AT_ONCE)
			break;
	}
	return r;
}

static int remove_table_rules(struct helper *h, uint32_t table)
{
	struct rule_search s = {.h = h, .table = table};
	return remove_rules(h, &s);
}

static int do_sweep(struct helper *h, struct priv_reply *reply)
{
	struct rule_search s = {.h = h};
	for (size_t i = 0; i < PRIV_INTERFACES_MAX; i++) {
		uint32_t number;
		if (h->interfaces[i].index && table_number(h, h->interfaces[i].table, &number))
			s.in_use[number] = true;
	}
	/* A table with routes is another dnetd's that runs. */
	int r = netlink_route_list(h->nl, 0, 0, mark_table, &s);
	return kernel_result(h, reply, r < 0 ? r : remove_rules(h, &s));
}

static int do_rule_add(struct helper *h, const struct interface *i,
		       const struct priv_request *request, struct priv_reply *reply)
{
	char text[PREFIX_TEXT_MAX];
	const struct prefix *from = &request->prefix;
	if (!priv_range_is_ours(i, from) || from->bits != address_bits(&from->addr))
		return priv_refuse(reply, "rule from %s: not an address of the ranges of %s",
				   prefix_format(from, text), i->name);
	if (request->number > PRIV_RULE_PRIORITY ||
	    request->number <= PRIV_RULE_PRIORITY - PRIV_RULE_RANKS)
		return priv_refuse(reply, "a rule of priority %u", request->number);
	struct netlink_rule rule = {.family = from->addr.family,
				    .priority = request->number,
				    .table = i->table,
				    .from = *from};
	return kernel_result(h, reply, netlink_rule_add(h->nl, &rule));
}

static int do_rule_delete(struct helper *h, const struct interface *i,
			  const struct priv_request *request, struct priv_reply *reply)
{
	const struct prefix *from = &request->prefix;
	struct netlink_rule rule = {
		.family = from->addr.family, .priority = request->number, .table = i->table};
	if ((from->addr.family != ADDR_V4 && from->addr.family != ADDR_V6) ||
	    from->bits > address_bits(&from->addr))
		return priv_refuse(reply, "a rule of no address family");
	if (from->bits > 0)
		rule.from = *from;
	return kernel_result(h, reply, netlink_rule_delete(h->nl, &rule));
}

/* ---- Interfaces, addresses, routes ---- */

#define SYSCTL_FOLDER "/proc/sys/net/ipv6/conf"

static void write_sysctl(const char *name, const char *key, const char *value)
{
	char path[96];
	snprintf(path, sizeof(path), SYSCTL_FOLDER "/%s/%s", name, key);
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		log_debug("cannot write %s: %s", path, strerror(errno));
}

/* No link-local address, no router solicitations: only what the records give is on this link. Where
 * /proc/sys is read-only these stay as they are, and their packets are refused by source address.
 */
static void quieten(const char *name)
{
	write_sysctl(name, "disable_ipv6", "0"); /* some containers make it 1 by default */
	write_sysctl(name, "addr_gen_mode", "1");
	write_sysctl(name, "accept_ra", "0");
	write_sysctl(name, "router_solicitations", "0");
}

/* Makes the device that was asked for; -1: it is another process's. */
static int make_device(struct helper *h, const struct priv_request *request,
		       struct priv_reply *reply, int *ret_fd)
{
	enum tun_offload offload = (enum tun_offload)request->number;
	if (request->op == PRIV_LINK_ADOPT) {
		struct netlink_link link;
		if (!h->adopt)
			return priv_refuse(reply, "no program makes interfaces here");
		int r = kernel_result(h, reply, netlink_link_find(h->nl, request->name, &link));
		if (r == 0 && (strcmp(link.kind, "tun") != 0 || find_interface(h, link.index)))
			r = priv_refuse(reply, "%s is no TUN of a program", request->name);
		return r;
	}
	if (request->op == PRIV_LINK_WIREGUARD)
		return kernel_result(h, reply, privwg_link_make(h, request, reply));
	int fd = request->op == PRIV_TUN_OPEN_PLAIN
			 ? tun_open_plain(request->name, reply->error)
			 : tun_open(request->name, &offload, reply->error);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	reply->offload = offload;
	return 0;
}

/* Only for speed. */
static void fit_bursts(struct helper *h, const struct interface *i, uint32_t mtu)
{
	if (strcmp(i->kind, "tun") == 0)
		(void)netlink_link_set_gso_max(h->nl, i->index, tun_gso_max(mtu));
}

static int do_open(struct helper *h, const struct priv_request *request, struct priv_reply *reply,
		   int *ret_fd)
{
	uint32_t number;
	if (!ifname_parse(request->name, h->prefix, &number))
		return priv_refuse(reply, "interface names are %s and a number", h->prefix);
	if (request->prefix.addr.family != ADDR_NONE && !priv_ipv4_prefix_ok(&request->prefix)) {
		char text[PREFIX_TEXT_MAX];
		return priv_refuse(reply, "%s is not inside a private IPv4 range",
				   prefix_format(&request->prefix, text));
	}
	if (request->number > TUN_OFFLOAD_USO)
		return priv_refuse(reply, "no such offload");
	struct interface *slot = NULL;
	for (size_t i = 0; i < PRIV_INTERFACES_MAX && !slot; i++)
		slot = h->interfaces[i].index == 0 ? &h->interfaces[i] : NULL;
	if (!slot)
		return priv_refuse(reply, "at most %d interfaces", PRIV_INTERFACES_MAX);
	_cleanup_(closep) int fd = -1;
	int r = make_device(h, request, reply, &fd);
	if (r < 0)
		return r;
	struct netlink_link link;
	r = kernel_result(h, reply, netlink_link_find(h->nl, request->name, &link));
	if (r < 0)
		return r;
	quieten(request->name);
	*slot = (struct interface){
		.index = link.index, .ipv4 = request->prefix, .table = h->table_base + number};
	memcpy(slot->name, request->name, strlen(request->name) + 1);
	memcpy(slot->kind, link.kind, sizeof(slot->kind));
	fit_bursts(h, slot, link.mtu);
	reply->index = link.index;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static int do_close(struct helper *h, struct interface *i)
{
	/* Only what is still the device that was made here. */
	struct netlink_link link;
	int r = remove_table_rules(h, i->table);
	if (r < 0)
		log_warn("%s: rules of table %u stay: %s", i->name, i->table,
			 netlink_error_text(h->nl));
	if (netlink_link_get(h->nl, i->index, &link) == 0 && strcmp(link.kind, i->kind) == 0)
		(void)netlink_link_delete(h->nl, i->index);
	privfilter_forget(h->filter, i->name);
	*i = (struct interface){0};
	return 0;
}

static int do_address(struct helper *h, const struct interface *i,
		      const struct priv_request *request, struct priv_reply *reply)
{
	char text[PREFIX_TEXT_MAX];
	/* Taking away may be anything: the interface is ours, and others put addresses on it. */
	if (request->op == PRIV_ADDRESS_ADD && !priv_range_is_ours(i, &request->prefix))
		return priv_refuse(reply, "address %s is outside the ranges of %s",
				   prefix_format(&request->prefix, text), i->name);
	struct netlink_address address = {
		.index = i->index, .address = request->prefix.addr, .bits = request->prefix.bits};
	int r = request->op == PRIV_ADDRESS_ADD ? netlink_address_add(h->nl, &address)
						: netlink_address_delete(h->nl, &address);
	return kernel_result(h, reply, r);
}

static int do_route(struct helper *h, const struct interface *i, const struct priv_request *request,
		    struct priv_reply *reply)
{
	char text[PREFIX_TEXT_MAX];
	if (!priv_range_is_ours(i, &request->prefix))
		return priv_refuse(reply, "route %s is outside the ranges of %s",
				   prefix_format(&request->prefix, text), i->name);
	if (request->table != NETLINK_TABLE_MAIN && request->table != i->table)
		return priv_refuse(reply, "routing table %u is not one of %s", request->table,
				   i->name);
	struct netlink_route route = {.destination = request->prefix,
				      .source = request->address,
				      .index = i->index,
				      .table = request->table,
				      .metric = request->number};
	int r = request->op == PRIV_ROUTE_ADD ? netlink_route_add(h->nl, &route)
					      : netlink_route_delete(h->nl, &route);
	return kernel_result(h, reply, r);
}

static int do_number(struct helper *h, const struct interface *i,
		     const struct priv_request *request, struct priv_reply *reply)
{
	if (request->op == PRIV_LINK_TXQLEN) {
		if (request->number < 1 || request->number > 10000)
			return priv_refuse(reply, "a queue of %u packets", request->number);
		return kernel_result(h, reply,
				     netlink_link_set_txqlen(h->nl, i->index, request->number));
	}
	if (request->number < PRIV_MTU_MIN || request->number > TUN_PACKET_MAX)
		return priv_refuse(reply, "an MTU of %u", request->number);
	int r = netlink_link_set_mtu(h->nl, i->index, request->number);
	if (r == 0) {
		quieten(i->name); /* below 1280 the kernel had forgotten all IPv6 settings */
		fit_bursts(h, i, request->number);
	}
	return kernel_result(h, reply, r);
}

static int do_up(struct helper *h, const struct interface *i, struct priv_reply *reply)
{
	int r = netlink_link_set_flags(h->nl, i->index, PRIV_LINK_FLAGS, PRIV_LINK_FLAGS_MASK);
	if (r == 0)
		r = netlink_link_set_carrier(h->nl, i->index, true);
	if (r == -EOPNOTSUPP)
		r = 0; /* a kernel on which nobody can take it away either */
	return kernel_result(h, reply, r);
}

/* By the name that was made here: another interface's settings are not written. */
static int do_quieten(struct helper *h, const struct interface *i, struct priv_reply *reply)
{
	struct netlink_link link;
	int r = kernel_result(h, reply, netlink_link_get(h->nl, i->index, &link));
	if (r < 0)
		return r;
	if (strcmp(link.name, i->name) != 0)
		return priv_refuse(reply, "%s has another name now", i->name);
	quieten(i->name);
	return 0;
}

/* Older kernels rename only what is down; the engine sees that it is and brings it up. */
static int do_rename(struct helper *h, const struct interface *i, struct priv_reply *reply)
{
	int r = netlink_link_set_name(h->nl, i->index, i->name);
	if (r == -EBUSY) {
		r = netlink_link_set_up(h->nl, i->index, false);
		if (r == 0)
			r = netlink_link_set_name(h->nl, i->index, i->name);
	}
	return kernel_result(h, reply, r);
}

/* When ours went, its number may have gone to a link of somebody else. */
static bool went_to_another(struct helper *h, const struct interface *i)
{
	struct netlink_link link;
	return netlink_link_get(h->nl, i->index, &link) == 0 && strcmp(link.kind, i->kind) != 0;
}

static int serve_interface(struct helper *h, const struct priv_message *m, size_t more,
			   struct priv_reply *reply)
{
	const struct priv_request *request = &m->request;
	struct interface *i = find_interface(h, request->index);
	if (!i)
		return priv_refuse(reply, "interface number %u was not made here", request->index);
	if (request->op != PRIV_TUN_CLOSE && went_to_another(h, i))
		return priv_refuse(reply, "interface number %u is another one now", request->index);
	switch ((enum priv_op)request->op) {
	case PRIV_TUN_OPEN:
	case PRIV_TUN_OPEN_PLAIN:
	case PRIV_LINK_ADOPT:
	case PRIV_RULES_SWEEP:
	case PRIV_RAW_OPEN:
	case PRIV_LINK_WIREGUARD:
		break;
	case PRIV_WIREGUARD_SET:
		return privwg_set(h, i, request, reply);
	case PRIV_WIREGUARD_GET:
		return privwg_get(h, i, request, reply);
	case PRIV_TUN_CLOSE:
		return do_close(h, i);
	case PRIV_LINK_UP:
		return do_up(h, i, reply);
	case PRIV_LINK_QUIETEN:
		return do_quieten(h, i, reply);
	case PRIV_LINK_RENAME:
		return do_rename(h, i, reply);
	case PRIV_LINK_MTU:
	case PRIV_LINK_TXQLEN:
		return do_number(h, i, request, reply);
	case PRIV_ADDRESS_ADD:
	case PRIV_ADDRESS_DELETE:
		return do_address(h, i, request, reply);
	case PRIV_ROUTE_ADD:
	case PRIV_ROUTE_DELETE:
		return do_route(h, i, request, reply);
	case PRIV_RULE_ADD:
		return do_rule_add(h, i, request, reply);
	case PRIV_RULE_DELETE:
		return do_rule_delete(h, i, request, reply);
	case PRIV_FILTER_SERVICES:
	case PRIV_FILTER_ELEMENTS:
	case PRIV_FILTER_COMMIT:
	case PRIV_FILTER_GET:
	case PRIV_FILTER_CLEAR:
		return privfilter_serve(h->filter, m, more, i->name, reply);
	}
	return priv_refuse(reply, "no operation %u", request->op);
}

/* more: bytes beside the request. */
static int serve(struct helper *h, const struct priv_message *m, size_t more,
		 struct priv_reply *reply, int *ret_fd)
{
	const struct priv_request *request = &m->request;
	if (more > 0 && request->op != PRIV_FILTER_SERVICES && request->op != PRIV_FILTER_ELEMENTS)
		return priv_refuse(reply, "a request of another form");
	if (request->op == PRIV_TUN_OPEN || request->op == PRIV_TUN_OPEN_PLAIN ||
	    request->op == PRIV_LINK_ADOPT || request->op == PRIV_LINK_WIREGUARD)
		return do_open(h, request, reply, ret_fd);
	if (request->op == PRIV_RULES_SWEEP)
		return do_sweep(h, reply);
	if (request->op == PRIV_RAW_OPEN && !h->wireguard)
		return priv_refuse(reply, "no backend here needs a raw socket");
	if (request->op == PRIV_RAW_OPEN)
		return privwg_raw_open(request, reply, ret_fd);
	return serve_interface(h, m, more, reply);
}

struct start {
	struct priv_config config;
	struct priv_shared *shared;
};

static bool serve_one(struct helper *h)
{
	struct priv_message message;
	struct priv_request *request = &message.request;
	ssize_t n = proc_receive(h->fd, &message, sizeof(message), NULL, 0, &(size_t){0});
	if (n == 0)
		return false; /* the engine has gone */
	if (n == -EINTR)
		return true;
	struct priv_reply reply = {0};
	int fd = -1;
	if (n < (ssize_t)sizeof(*request))
		reply.result = priv_refuse(&reply, "a request of another form");
	else {
		request->name[IF_NAMESIZE - 1] = '\0';
		reply.result = serve(h, &message, (size_t)n - sizeof(*request), &reply, &fd);
	}
	int r = proc_send(h->fd, &reply, sizeof(reply), &fd, fd >= 0 ? 1 : 0);
	closep(&fd);
	return r == 0;
}

static int helper_main(int fd, void *arg)
{
	const struct start *start = arg;
	const struct priv_config *config = &start->config;
	struct helper h = {.fd = fd,
			   .prefix = config->prefix,
			   .table_base = config->table_base,
			   .adopt = config->adopt,
			   .wireguard = config->wireguard,
			   .shared = start->shared};
	log_set_prefix("dnetd[root]: ");
	/* Not killed with the engine: the closed socket says the same, and there are rules to take
	 * back. */
	prctl(PR_SET_PDEATHSIG, 0);
	/* The terminal's Ctrl-C reaches both; the engine says when it is over. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	int r = netlink_open(&h.nl);
	if (r < 0) {
		log_error("cannot open netlink: %s", strerror(-r));
		return 1;
	}
	if (h.wireguard && wglink_open(&h.wglink) < 0)
		log_debug("the kernel has no WireGuard");
	if (config->filter)
		h.filter = privfilter_open();
	/* Kept open: what the rules of the sandbox are about must stay in the kernel's memory. */
	_cleanup_(closep) int sysctl = open(SYSCTL_FOLDER, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct sandbox sandbox = {
		.role = &sandbox_roles[config->wireguard ? SANDBOX_ROOT_HELPER_WIREGUARD
							 : SANDBOX_ROOT_HELPER],
		.no_filters = !config->sandbox,
	};
	(void)sysctl;
	if (sandbox_enter(&sandbox) < 0)
		return 1;
	while (serve_one(&h))
		;
	for (size_t i = 0; i < PRIV_INTERFACES_MAX; i++) {
		if (h.interfaces[i].index && privwg_is_kernel(&h.interfaces[i]))
			(void)do_close(&h, &h.interfaces[i]); /* no descriptor takes it along */
		else if (h.interfaces[i].index)
			(void)remove_table_rules(&h, h.interfaces[i].table);
	}
	privwg_done(&h);
	privfilter_close(h.filter);
	netlink_free(h.nl);
	return 0;
}

/* ---- The engine's side ---- */

int priv_start(const struct priv_config *config, struct priv **ret_priv)
{
	assert(strlen(config->prefix) >= 1 && strlen(config->prefix) <= PREFIX_MAX);
	assert(config->table_base >= PRIV_TABLE_MIN && config->table_base <= PRIV_TABLE_MAX);
	struct priv *priv = xcalloc(1, sizeof(*priv));
	struct start start = {.config = *config};
	int r = privwg_share(&start.shared);
	priv->shared = start.shared;
	if (r == 0)
		r = proc_fork("dnetd-root", helper_main, &start, NULL, &priv->child);
	if (r < 0) {
		log_error("cannot start the root helper: %s", strerror(-r));
		privwg_unshare(priv->shared);
		free(priv);
		return r;
	}
	*ret_priv = priv;
	return 0;
}

void priv_stop(struct priv *priv)
{
	if (!priv)
		return;
	close(priv->child.fd);
	int status;
	(void)proc_wait(priv->child.pid, &status);
	privwg_unshare(priv->shared);
	free(priv);
}

int priv_fd(const struct priv *priv)
{
	return priv->child.fd;
}

const char *priv_error(const struct priv *priv)
{
	return priv->error;
}

int priv_call_bytes(struct priv *priv, const void *message, size_t len,
		    struct priv_reply *ret_reply, int *ret_fd)
{
	if (!priv->lost)
		priv->lost = proc_ask(priv->child.fd, message, len, NULL, 0, ret_reply,
				      sizeof(*ret_reply), PRIV_TIMEOUT_MS, ret_fd) < 0;
	if (priv->lost) {
		snprintf(priv->error, sizeof(priv->error),
			 "the root helper does not answer: restart dnetd");
		return -EPIPE;
	}
	if (ret_reply->result < 0)
		memcpy(priv->error, ret_reply->error, sizeof(priv->error));
	return ret_reply->result;
}

int priv_call(struct priv *priv, const struct priv_request *request, struct priv_reply *ret_reply,
	      int *ret_fd)
{
	return priv_call_bytes(priv, request, sizeof(*request), ret_reply, ret_fd);
}

static int call_simple(struct priv *priv, const struct priv_request *request)
{
	struct priv_reply reply;
	return priv_call(priv, request, &reply, NULL);
}

static int call_open(struct priv *priv, enum priv_op op, const char *name,
		     const struct prefix *ipv4, enum tun_offload offload,
		     struct priv_reply *ret_reply, int *ret_fd)
{
	struct priv_request request = {.op = op, .number = offload, .prefix = *ipv4};
	snprintf(request.name, sizeof(request.name), "%s", name);
	return priv_call(priv, &request, ret_reply, ret_fd);
}

int priv_tun_open(struct priv *priv, const char *name, const struct prefix *ipv4,
		  enum tun_offload offload, int *ret_fd, uint32_t *ret_index,
		  enum tun_offload *ret_offload)
{
	struct priv_reply reply;
	int r = call_open(priv, PRIV_TUN_OPEN, name, ipv4, offload, &reply, ret_fd);
	if (r < 0)
		return r;
	*ret_index = reply.index;
	*ret_offload = (enum tun_offload)reply.offload;
	return 0;
}

static int open_without_offload(struct priv *priv, enum priv_op op, const char *name,
				const struct prefix *ipv4, int *ret_fd, uint32_t *ret_index)
{
	struct priv_reply reply;
	int r = call_open(priv, op, name, ipv4, TUN_OFFLOAD_NONE, &reply, ret_fd);
	if (r == 0)
		*ret_index = reply.index;
	return r;
}

int priv_tun_open_plain(struct priv *priv, const char *name, const struct prefix *ipv4, int *ret_fd,
			uint32_t *ret_index)
{
	return open_without_offload(priv, PRIV_TUN_OPEN_PLAIN, name, ipv4, ret_fd, ret_index);
}

int priv_link_adopt(struct priv *priv, const char *name, const struct prefix *ipv4,
		    uint32_t *ret_index)
{
	return open_without_offload(priv, PRIV_LINK_ADOPT, name, ipv4, NULL, ret_index);
}

int priv_link_wireguard(struct priv *priv, const char *name, const struct prefix *ipv4,
			uint32_t *ret_index)
{
	return open_without_offload(priv, PRIV_LINK_WIREGUARD, name, ipv4, NULL, ret_index);
}

int priv_tun_close(struct priv *priv, uint32_t index)
{
	return call_simple(priv, &(struct priv_request){.op = PRIV_TUN_CLOSE, .index = index});
}

int priv_link_quieten(struct priv *priv, uint32_t index)
{
	return call_simple(priv, &(struct priv_request){.op = PRIV_LINK_QUIETEN, .index = index});
}

int priv_link_up(struct priv *priv, uint32_t index)
{
	return call_simple(priv, &(struct priv_request){.op = PRIV_LINK_UP, .index = index});
}

int priv_link_rename(struct priv *priv, uint32_t index)
{
	return call_simple(priv, &(struct priv_request){.op = PRIV_LINK_RENAME, .index = index});
}

int priv_link_mtu(struct priv *priv, uint32_t index, uint32_t mtu)
{
	return call_simple(
		priv, &(struct priv_request){.op = PRIV_LINK_MTU, .index = index, .number = mtu});
}

int priv_link_txqlen(struct priv *priv, uint32_t index, uint32_t txqlen)
{
	return call_simple(priv, &(struct priv_request){
					 .op = PRIV_LINK_TXQLEN, .index = index, .number = txqlen});
}

static int call_address(struct priv *priv, enum priv_op op, uint32_t index,
			const struct address *address, uint8_t bits)
{
	return call_simple(
		priv, &(struct priv_request){.op = op, .index = index, .prefix = {*address, bits}});
}

int priv_address_add(struct priv *priv, uint32_t index, const struct address *address, uint8_t bits)
{
	return call_address(priv, PRIV_ADDRESS_ADD, index, address, bits);
}

int priv_address_delete(struct priv *priv, uint32_t index, const struct address *address,
			uint8_t bits)
{
	return call_address(priv, PRIV_ADDRESS_DELETE, index, address, bits);
}

int priv_route_add(struct priv *priv, uint32_t index, uint32_t table,
		   const struct prefix *destination, uint32_t metric, const struct address *source)
{
	return call_simple(priv, &(struct priv_request){.op = PRIV_ROUTE_ADD,
							.index = index,
							.number = metric,
							.table = table,
							.prefix = *destination,
							.address = *source});
}

int priv_route_delete(struct priv *priv, uint32_t index, uint32_t table,
		      const struct prefix *destination, uint32_t metric)
{
	return call_simple(priv, &(struct priv_request){.op = PRIV_ROUTE_DELETE,
							.index = index,
							.number = metric,
							.table = table,
							.prefix = *destination});
}

int priv_rule_add(struct priv *priv, uint32_t index, const struct address *from, uint32_t priority)
{
	return call_simple(priv,
			   &(struct priv_request){.op = PRIV_RULE_ADD,
						  .index = index,
						  .number = priority,
						  .prefix = {*from, (uint8_t)address_bits(from)}});
}

int priv_rule_delete(struct priv *priv, uint32_t index, const struct prefix *from,
		     uint32_t priority)
{
	return call_simple(priv, &(struct priv_request){.op = PRIV_RULE_DELETE,
							.index = index,
							.number = priority,
							.prefix = *from});
}

int priv_rules_sweep(struct priv *priv)
{
	return call_simple(priv, &(struct priv_request){.op = PRIV_RULES_SWEEP});
}
