#include "node/netcfg.h"

#include "node/privops.h"
#include "os/base.h"
#include "os/log.h"
#include "os/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	RETRY_FIRST_MS = 200,
	RETRY_MAX_MS = 30000,
	RULES_MAX = 32,
	RANGES_MAX = 4,
	LINES_A_MINUTE = 60, /* of a part, whatever others do to it */
};

struct part {
	bool applied;
	bool was_applied; /* so a difference now is drift, not the first time */
	char error[NETCFG_ERROR_MAX];
	uint64_t retry_ms; /* wait after the next failure */
	uint64_t next_ms;  /* not before this, after a failure */
	struct log_limit limit;
};

struct netcfg {
	struct priv *priv;  /* borrowed */
	struct netlink *nl; /* borrowed; for reading only */
	struct netcfg_io io;
	bool enabled;
	struct netcfg_wanted wanted;
	struct netcfg_route *routes;	  /* of wanted, owned, sorted by destination */
	struct prefix ranges[RANGES_MAX]; /* of these, the dnet's prefixes */
	size_t range_count;
	int fd;		 /* the TUN, owned; -1: none, or a program has it */
	uint32_t index;	 /* 0: no interface */
	bool ipv6_stuck; /* the settings of this link cannot be written */
	struct part parts[NETCFG_PART_COUNT];
};

static const char *const part_names[NETCFG_PART_COUNT] = {
	[NETCFG_LINK] = "link",	    [NETCFG_MTU] = "mtu",     [NETCFG_ADDRESSES] = "addresses",
	[NETCFG_ROUTES] = "routes", [NETCFG_RULES] = "rules",
};

/* What the kernel has on our link. */
struct actual {
	const struct netcfg *netcfg;
	struct netlink_link link;
	struct netlink_address addresses[16];
	size_t address_count;
	struct netlink_route *routes; /* owned; of one table */
	size_t route_count, route_room;
	uint32_t stranger; /* a link of others that the table has a route to */
	bool overtaken;	   /* by this route of others */
	struct netlink_route rival;
	struct netlink_rule rules[RULES_MAX]; /* that lead to our table */
	size_t rule_count;
};

static void forget_parts(struct netcfg *n)
{
	memset(n->parts, 0, sizeof(n->parts));
}

static void set_applied(struct part *part)
{
	part->applied = part->was_applied = true;
	part->error[0] = '\0';
	part->retry_ms = 0;
	part->next_ms = 0;
}

static void set_failed(struct netcfg *n, enum netcfg_part which, uint64_t now_ms, const char *error)
{
	struct part *part = &n->parts[which];
	if (strcmp(part->error, error) != 0)
		log_warn("%s: %s: %s", n->wanted.name, part_names[which], error);
	snprintf(part->error, sizeof(part->error), "%s", error);
	part->applied = false;
	part->retry_ms = part->retry_ms ? MIN(part->retry_ms * 2, RETRY_MAX_MS) : RETRY_FIRST_MS;
	part->next_ms = now_ms + part->retry_ms;
}

/* The kernel could not give a list in one piece, as somebody changes it just now. */
static void set_list_failed(struct netcfg *n, enum netcfg_part which, uint64_t now_ms, int result)
{
	struct part *part = &n->parts[which];
	if (result != -EINTR) {
		set_failed(n, which, now_ms, netlink_error_text(n->nl));
		return;
	}
	part->applied = false;
	part->next_ms = now_ms + RETRY_FIRST_MS;
}

/* One line a repair: what was found and what was done. */
static _printf_(3, 4) void say_drift(struct netcfg *n, enum netcfg_part which, const char *format,
				     ...)
{
	char text[160], more[48] = "";
	unsigned left_out;
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!n->parts[which].was_applied) {
		log_debug("%s: %s", n->wanted.name, text);
		return;
	}
	if (!log_limit_pass(&n->parts[which].limit, LINES_A_MINUTE, &left_out))
		return;
	if (left_out)
		snprintf(more, sizeof(more), " (and %u more repairs)", left_out);
	log_notice("%s: %s was changed from outside, repaired: %s%s", n->wanted.name,
		   part_names[which], text, more);
}

static void close_device(struct netcfg *n)
{
	if (n->index == 0)
		return;
	n->io.closed(n->io.ctx);
	closep(&n->fd);
	n->fd = -1;
	(void)priv_tun_close(n->priv, n->index);
	n->index = 0;
}

struct netcfg *netcfg_new(struct priv *priv, struct netlink *nl, const struct netcfg_io *io)
{
	struct netcfg *n = xcalloc(1, sizeof(*n));
	n->priv = priv;
	n->nl = nl;
	n->io = *io;
	n->fd = -1;
	return n;
}

void netcfg_free(struct netcfg *n)
{
	if (!n)
		return;
	close_device(n);
	free(n->routes);
	free(n);
}

static int compare_routes(const void *a, const void *b)
{
	const struct netcfg_route *x = a, *y = b;
	return prefix_compare(&x->destination, &y->destination);
}

/* NULL: none leads there. */
static const struct netcfg_route *find_wanted(const struct netcfg *n,
					      const struct prefix *destination)
{
	const struct netcfg_route like = {.destination = *destination};
	return n->wanted.route_count ? bsearch(&like, n->routes, n->wanted.route_count,
					       sizeof(like), compare_routes)
				     : NULL;
}

static bool is_wanted_already(const struct netcfg *n, const struct netcfg_wanted *wanted)
{
	struct netcfg_wanted a = *wanted, b = n->wanted;
	a.routes = b.routes = NULL;
	if (!n->enabled || memcmp(&a, &b, sizeof(a)) != 0)
		return false;
	for (size_t i = 0; i < wanted->route_count; i++) {
		const struct netcfg_route *there = find_wanted(n, &wanted->routes[i].destination);
		if (!there || !address_equal(&there->source, &wanted->routes[i].source))
			return false;
	}
	return true;
}

static void take_wanted(struct netcfg *n, const struct netcfg_wanted *wanted)
{
	free(n->routes);
	n->routes = NULL;
	n->range_count = 0;
	if (!wanted) {
		memset(&n->wanted, 0, sizeof(n->wanted));
		return;
	}
	memcpy(&n->wanted, wanted, sizeof(n->wanted));
	size_t size = wanted->route_count * sizeof(*n->routes);
	n->routes = xmalloc(size);
	if (size)
		memcpy(n->routes, wanted->routes, size);
	n->wanted.routes = n->routes;
	qsort(n->routes, wanted->route_count, sizeof(*n->routes), compare_routes);
	for (size_t i = 0; i < wanted->route_count && n->range_count < RANGES_MAX; i++) {
		const struct prefix *range = &n->routes[i].destination;
		if (range->bits < address_bits(&range->addr))
			n->ranges[n->range_count++] = *range;
	}
}

void netcfg_set_wanted(struct netcfg *n, const struct netcfg_wanted *wanted)
{
	if (wanted && is_wanted_already(n, wanted))
		return;
	bool other_device = !wanted || strcmp(wanted->name, n->wanted.name) != 0 ||
			    wanted->device != n->wanted.device ||
			    wanted->table != n->wanted.table ||
			    !prefix_equal(&wanted->ipv4, &n->wanted.ipv4);
	if (n->enabled && other_device) {
		close_device(n);
		forget_parts(n);
	}
	n->enabled = wanted != NULL;
	take_wanted(n, wanted);
	for (size_t i = 0; i < NETCFG_PART_COUNT; i++) {
		/* What is wanted now was not there before: the first pass is no drift. */
		n->parts[i].was_applied = false;
		n->parts[i].next_ms = 0;
	}
}

void netcfg_device_lost(struct netcfg *n)
{
	if (n->index == 0)
		return;
	close_device(n);
	for (size_t i = 0; i < NETCFG_PART_COUNT; i++)
		n->parts[i].applied = false;
}

static bool due(const struct netcfg *n, enum netcfg_part which, uint64_t now_ms)
{
	return now_ms >= n->parts[which].next_ms;
}

static int open_by_kind(const struct netcfg *n, int *ret_fd, uint32_t *ret_index,
			enum tun_offload *ret_offload)
{
	const struct netcfg_wanted *w = &n->wanted;
	switch (w->device) {
	case NETCFG_DEVICE_MESH:
		return priv_tun_open(n->priv, w->name, &w->ipv4, w->offload, ret_fd, ret_index,
				     ret_offload);
	case NETCFG_DEVICE_PLAIN:
		return priv_tun_open_plain(n->priv, w->name, &w->ipv4, ret_fd, ret_index);
	case NETCFG_DEVICE_WIREGUARD:
		return priv_link_wireguard(n->priv, w->name, &w->ipv4, ret_index);
	case NETCFG_DEVICE_PROGRAM:
		return priv_link_adopt(n->priv, w->name, &w->ipv4, ret_index);
	}
	return -EINVAL;
}

static bool open_device(struct netcfg *n, uint64_t now_ms)
{
	enum tun_offload offload = TUN_OFFLOAD_NONE;
	int fd = -1;
	uint32_t index;
	int r = open_by_kind(n, &fd, &index, &offload);
	if (r < 0) {
		set_failed(n, NETCFG_LINK, now_ms,
			   r == -ENODEV && n->wanted.device == NETCFG_DEVICE_PROGRAM
				   ? "the backend's program has not made it yet"
				   : priv_error(n->priv));
		return false;
	}
	say_drift(n, NETCFG_LINK, "interface made");
	if (n->wanted.device == NETCFG_DEVICE_MESH && offload != n->wanted.offload)
		log_notice("%s: the TUN devices of this kernel leave us '%s' at most, not '%s'",
			   n->wanted.name, tun_offload_name(offload),
			   tun_offload_name(n->wanted.offload));
	/* One line for it: that a new one has nothing on it yet is no further drift. */
	for (size_t i = 0; i < NETCFG_PART_COUNT; i++)
		n->parts[i].was_applied = false;
	n->fd = fd;
	n->index = index;
	n->ipv6_stuck = false;
	if (n->io.opened(n->io.ctx, fd, offload))
		return true;
	close_device(n);
	set_failed(n, NETCFG_LINK, now_ms, "it stays down while it has no filter");
	return false;
}

static bool ipv6_is_quiet(const struct netcfg *n, const struct netlink_link *link)
{
	const struct netlink_ipv6 *v6 = &link->ipv6;
	return n->ipv6_stuck || !v6->known ||
	       (!v6->disabled && !v6->accept_ra && !v6->link_local && !v6->solicits_routers);
}

static bool flags_are_good(const struct netlink_link *link)
{
	return (link->flags & PRIV_LINK_FLAGS_MASK) == PRIV_LINK_FLAGS && link->carrier;
}

static int repair_flags(struct netcfg *n, const struct netlink_link *link)
{
	int r = priv_link_up(n->priv, n->index);
	if (r < 0)
		return r;
	if (!(link->flags & IFF_UP))
		say_drift(n, NETCFG_LINK, "interface up");
	else if (!link->carrier)
		say_drift(n, NETCFG_LINK, "carrier on");
	else
		say_drift(n, NETCFG_LINK, "flags %#x instead of %#x", (unsigned)PRIV_LINK_FLAGS,
			  (unsigned)(link->flags & PRIV_LINK_FLAGS_MASK));
	return 0;
}

/* Where /proc/sys is read-only that is how it is. */
static int repair_ipv6(struct netcfg *n)
{
	struct netlink_link link;
	int r = priv_link_quieten(n->priv, n->index);
	if (r == 0)
		r = netlink_link_get(n->nl, n->index, &link);
	if (r < 0)
		return r;
	if (ipv6_is_quiet(n, &link)) {
		say_drift(n, NETCFG_LINK, "IPv6 settings");
		return 0;
	}
	n->ipv6_stuck = true;
	log_info("%s: the IPv6 settings of the interface cannot be written", n->wanted.name);
	return 0;
}

/* The name first: renaming may take it down. */
static int repair_link(struct netcfg *n, struct actual *actual)
{
	int r = 0;
	if (strcmp(actual->link.name, n->wanted.name) != 0) {
		r = priv_link_rename(n->priv, n->index);
		if (r == 0) {
			say_drift(n, NETCFG_LINK, "name %s back from %s", n->wanted.name,
				  actual->link.name);
			r = netlink_link_get(n->nl, n->index, &actual->link);
		}
	}
	if (r == 0 && actual->link.txqlen != n->wanted.txqlen) {
		r = priv_link_txqlen(n->priv, n->index, n->wanted.txqlen);
		if (r == 0)
			say_drift(n, NETCFG_LINK, "queue length %u", n->wanted.txqlen);
	}
	if (r == 0 && !flags_are_good(&actual->link))
		r = repair_flags(n, &actual->link);
	/* With a low MTU there are none: they are written when it is set back. */
	if (r == 0 && !ipv6_is_quiet(n, &actual->link))
		r = repair_ipv6(n);
	return r;
}

/* The device is there, up, with our name and queue length. */
static bool apply_link(struct netcfg *n, struct actual *actual, uint64_t now_ms)
{
	if (n->index != 0 && netlink_link_get(n->nl, n->index, &actual->link) == -ENODEV)
		netcfg_device_lost(n);
	if (n->index == 0 && !open_device(n, now_ms))
		return false;
	int r = netlink_link_get(n->nl, n->index, &actual->link);
	if (r < 0) {
		set_failed(n, NETCFG_LINK, now_ms, netlink_error_text(n->nl));
		return false;
	}
	if (repair_link(n, actual) < 0) {
		set_failed(n, NETCFG_LINK, now_ms, priv_error(n->priv));
		return false;
	}
	set_applied(&n->parts[NETCFG_LINK]);
	return true;
}

static void apply_mtu(struct netcfg *n, const struct actual *actual, uint64_t now_ms)
{
	if (actual->link.mtu != n->wanted.mtu) {
		if (priv_link_mtu(n->priv, n->index, n->wanted.mtu) < 0) {
			set_failed(n, NETCFG_MTU, now_ms, priv_error(n->priv));
			return;
		}
		say_drift(n, NETCFG_MTU, "%u instead of %u", n->wanted.mtu, actual->link.mtu);
	}
	set_applied(&n->parts[NETCFG_MTU]);
}

static void collect_address(void *arg, const struct netlink_address *address)
{
	struct actual *actual = arg;
	if (address->index == actual->netcfg->index &&
	    actual->address_count < ARRAY_SIZE(actual->addresses))
		actual->addresses[actual->address_count++] = *address;
}

static bool address_is(const struct netlink_address *address, const struct prefix *wanted)
{
	return address->bits == wanted->bits && address_equal(&address->address, &wanted->addr);
}

static const struct netlink_address *find_address(const struct actual *actual,
						  const struct prefix *wanted)
{
	for (size_t i = 0; i < actual->address_count; i++) {
		if (address_is(&actual->addresses[i], wanted))
			return &actual->addresses[i];
	}
	return NULL;
}

/* Addresses that the records do not give go, the kernel's link-local one too. */
static int delete_strange_addresses(struct netcfg *n, const struct actual *actual)
{
	char text[PREFIX_TEXT_MAX];
	for (size_t i = 0; i < actual->address_count; i++) {
		const struct netlink_address *a = &actual->addresses[i];
		const struct prefix prefix = {a->address, a->bits};
		bool wanted = false;
		for (size_t j = 0; j < n->wanted.address_count && !wanted; j++)
			wanted = address_is(a, &n->wanted.addresses[j]);
		if (wanted)
			continue;
		int r = priv_address_delete(n->priv, n->index, &a->address, a->bits);
		if (r < 0 && r != -EADDRNOTAVAIL)
			return r;
		say_drift(n, NETCFG_ADDRESSES, "%s removed", prefix_format(&prefix, text));
	}
	return 0;
}

static void apply_addresses(struct netcfg *n, struct actual *actual, uint64_t now_ms)
{
	char text[PREFIX_TEXT_MAX];
	int r = netlink_address_list(n->nl, n->index, collect_address, actual);
	if (r < 0) {
		set_list_failed(n, NETCFG_ADDRESSES, now_ms, r);
		return;
	}
	r = delete_strange_addresses(n, actual);
	for (size_t i = 0; i < n->wanted.address_count && r == 0; i++) {
		const struct prefix *a = &n->wanted.addresses[i];
		const struct netlink_address *there = find_address(actual, a);
		if (there && !there->expires)
			continue;
		r = priv_address_add(n->priv, n->index, &a->addr, a->bits);
		if (r == 0)
			say_drift(n, NETCFG_ADDRESSES, "%s %s", prefix_format(a, text),
				  there ? "for ever again" : "added");
	}
	if (r < 0)
		set_failed(n, NETCFG_ADDRESSES, now_ms, priv_error(n->priv));
	else
		set_applied(&n->parts[NETCFG_ADDRESSES]);
}

/* Packets to the dnet's prefixes go there first. Not meant: the kernel's route to an address that
 * another link has. */
static bool overtakes(const struct netcfg *n, const struct netlink_route *route)
{
	if (route->protocol == RTPROT_KERNEL &&
	    route->destination.bits == address_bits(&route->destination.addr))
		return false;
	for (size_t i = 0; i < n->range_count; i++) {
		const struct prefix *range = &n->ranges[i];
		if (route->destination.bits >= range->bits &&
		    prefix_contains(range, &route->destination.addr))
			return route->destination.bits > range->bits ||
			       route->metric < n->wanted.metric;
	}
	return false;
}

static void collect_route(void *arg, const struct netlink_route *route)
{
	struct actual *actual = arg;
	const struct netcfg *n = actual->netcfg;
	if (route->protocol != DNET_RTPROT) {
		if (!actual->overtaken && route->index != n->index && overtakes(n, route)) {
			actual->overtaken = true;
			actual->rival = *route;
		}
		return;
	}
	if (route->index != n->index) {
		actual->stranger = route->index;
		return;
	}
	if (actual->route_count == actual->route_room) {
		actual->route_room = MAX(actual->route_room * 2, 16u);
		actual->routes =
			xrealloc(actual->routes, actual->route_room * sizeof(*actual->routes));
	}
	actual->routes[actual->route_count++] = *route;
}

/* Both lead to one destination. */
static bool route_is(const struct netcfg *n, const struct netlink_route *route,
		     const struct netcfg_route *wanted)
{
	return route->metric == n->wanted.metric &&
	       address_equal(&route->source, &wanted->source) &&
	       route->gateway.family == ADDR_NONE && !route->special;
}

/* What is strange goes, what is missing is added. */
static int repair_routes(struct netcfg *n, enum netcfg_part part, uint32_t table,
			 const struct actual *actual)
{
	_cleanup_(freep) bool *there = xcalloc(n->wanted.route_count + 1, sizeof(*there));
	char text[PREFIX_TEXT_MAX];
	for (size_t i = 0; i < actual->route_count; i++) {
		const struct netlink_route *route = &actual->routes[i];
		const struct netcfg_route *wanted = find_wanted(n, &route->destination);
		if (wanted && route_is(n, route, wanted)) {
			there[wanted - n->routes] = true;
			continue;
		}
		int r = priv_route_delete(n->priv, n->index, table, &route->destination,
					  route->metric);
		if (r < 0 && r != -ESRCH)
			return r;
		say_drift(n, part, "%s removed from table %u",
			  prefix_format(&route->destination, text), table);
	}
	for (size_t i = 0; i < n->wanted.route_count; i++) {
		const struct netcfg_route *w = &n->routes[i];
		if (there[i])
			continue;
		int r = priv_route_add(n->priv, n->index, table, &w->destination, n->wanted.metric,
				       &w->source);
		if (r < 0)
			return r;
		say_drift(n, part, "%s added to table %u", prefix_format(&w->destination, text),
			  table);
	}
	return 0;
}

static void set_overtaken(struct netcfg *n, enum netcfg_part part, uint64_t now_ms,
			  const struct netlink_route *rival)
{
	char error[NETCFG_ERROR_MAX], text[PREFIX_TEXT_MAX];
	struct netlink_link link = {.name = "no link"};
	(void)netlink_link_get(n->nl, rival->index, &link); /* it may have gone meanwhile */
	snprintf(error, sizeof(error),
		 "a route of another program comes before the dnet's: %s metric %u in table %u by "
		 "%s; remove it (ip route)",
		 prefix_format(&rival->destination, text), rival->metric, rival->table, link.name);
	set_failed(n, part, now_ms, error);
}

static void apply_routes(struct netcfg *n, struct actual *actual, uint64_t now_ms)
{
	int r = netlink_route_list(n->nl, NETLINK_TABLE_MAIN, 0, collect_route, actual);
	if (r < 0) {
		set_list_failed(n, NETCFG_ROUTES, now_ms, r);
		return;
	}
	r = repair_routes(n, NETCFG_ROUTES, NETLINK_TABLE_MAIN, actual);
	if (r == -EEXIST)
		set_failed(n, NETCFG_ROUTES, now_ms,
			   "another program has a route of the dnet's prefix and metric: remove "
			   "it (ip route)");
	else if (r < 0)
		set_failed(n, NETCFG_ROUTES, now_ms, priv_error(n->priv));
	else if (actual->overtaken)
		set_overtaken(n, NETCFG_ROUTES, now_ms, &actual->rival);
	else
		set_applied(&n->parts[NETCFG_ROUTES]);
}

static void collect_rule(void *arg, const struct netlink_rule *rule)
{
	struct actual *actual = arg;
	if (rule->table == actual->netcfg->wanted.table && actual->rule_count < RULES_MAX)
		actual->rules[actual->rule_count++] = *rule;
}

/* "from ADDRESS lookup TABLE", and nothing besides. */
static bool rule_is(const struct netcfg *n, const struct netlink_rule *rule,
		    const struct address *from)
{
	return rule->priority == PRIV_RULE_PRIORITY - n->wanted.rank &&
	       address_equal(&rule->from.addr, from) && rule->from.bits == address_bits(from) &&
	       rule->to.addr.family == ADDR_NONE && rule->mask == 0 && !rule->in_link[0] &&
	       !rule->invert && !rule->suppress_default;
}

/* The i-th address that there is to be a rule for, NULL behind the last. */
static const struct address *wanted_rule(const struct netcfg *n, size_t i)
{
	const struct netcfg_wanted *w = &n->wanted;
	if (i < w->address_count)
		return &w->addresses[i].addr;
	i -= w->address_count;
	return i < w->source_count ? &w->sources[i] : NULL;
}

static int delete_strange_rules(struct netcfg *n, struct actual *actual)
{
	char text[PREFIX_TEXT_MAX];
	for (size_t i = 0; i < actual->rule_count; i++) {
		struct netlink_rule *rule = &actual->rules[i];
		bool wanted = false;
		const struct address *from;
		for (size_t j = 0; (from = wanted_rule(n, j)) && !wanted; j++)
			wanted = rule_is(n, rule, from);
		if (wanted)
			continue;
		struct prefix strange = rule->from;
		strange.addr.family = rule->family;
		int r = priv_rule_delete(n->priv, n->index, &strange, rule->priority);
		if (r < 0 && r != -ENOENT)
			return r;
		say_drift(n, NETCFG_RULES, "the rule from %s removed",
			  prefix_format(&strange, text));
	}
	return 0;
}

static int add_missing_rules(struct netcfg *n, const struct actual *actual)
{
	char text[ADDRESS_TEXT_MAX];
	const struct address *from;
	for (size_t i = 0; (from = wanted_rule(n, i)); i++) {
		bool there = false;
		for (size_t j = 0; j < actual->rule_count && !there; j++)
			there = rule_is(n, &actual->rules[j], from);
		if (there)
			continue;
		int r = priv_rule_add(n->priv, n->index, from, PRIV_RULE_PRIORITY - n->wanted.rank);
		if (r == -EEXIST)
			continue; /* another program's, to the same end */
		if (r < 0)
			return r;
		say_drift(n, NETCFG_RULES, "the rule from %s added", address_format(from, text));
	}
	return 0;
}

/* What the kernel has of our table and of rules that lead there. */
static bool look_at_table(struct netcfg *n, struct actual *actual, uint64_t now_ms)
{
	char error[NETCFG_ERROR_MAX];
	actual->route_count = 0;
	actual->stranger = 0;
	actual->overtaken = false;
	int r = netlink_route_list(n->nl, n->wanted.table, 0, collect_route, actual);
	if (r == 0)
		r = netlink_rule_list(n->nl, DNET_RTPROT, collect_rule, actual);
	if (r < 0) {
		set_list_failed(n, NETCFG_RULES, now_ms, r);
		return false;
	}
	if (actual->stranger == 0)
		return true;
	snprintf(error, sizeof(error),
		 "routing table %u is another dnetd's (link %u): give one of them another "
		 "table-base",
		 n->wanted.table, actual->stranger);
	set_failed(n, NETCFG_RULES, now_ms, error);
	return false;
}

/* Routes first: a rule to an empty table is passed over, and the main table may lead elsewhere. */
static void apply_rules(struct netcfg *n, struct actual *actual, uint64_t now_ms)
{
	uint32_t table = n->wanted.table;
	if (!look_at_table(n, actual, now_ms))
		return;
	int r = repair_routes(n, NETCFG_RULES, table, actual);
	if (r == 0)
		r = delete_strange_rules(n, actual);
	if (r == 0)
		r = add_missing_rules(n, actual);
	if (r == -EEXIST)
		set_failed(n, NETCFG_RULES, now_ms,
			   "another program has a route of the dnet's prefix and metric in our "
			   "table: remove it (ip route), or set another table-base");
	else if (r < 0)
		set_failed(n, NETCFG_RULES, now_ms, priv_error(n->priv));
	else if (actual->overtaken)
		set_overtaken(n, NETCFG_RULES, now_ms, &actual->rival);
	else
		set_applied(&n->parts[NETCFG_RULES]);
}

/* When to look again: the full pass, or the first part that waits for another try. */
static uint64_t next_pass(const struct netcfg *n, uint64_t now_ms)
{
	uint64_t next = now_ms + NETCFG_FULL_PASS_MS;
	for (size_t i = 0; i < NETCFG_PART_COUNT; i++) {
		if (!n->parts[i].applied && n->parts[i].next_ms > now_ms)
			next = MIN(next, n->parts[i].next_ms);
	}
	return next - now_ms;
}

uint64_t netcfg_pass(struct netcfg *n, uint64_t now_ms)
{
	if (!n->enabled)
		return NETCFG_FULL_PASS_MS;
	struct actual actual = {.netcfg = n};
	if (!due(n, NETCFG_LINK, now_ms) || !apply_link(n, &actual, now_ms))
		return next_pass(n, now_ms);
	if (due(n, NETCFG_MTU, now_ms))
		apply_mtu(n, &actual, now_ms);
	if (due(n, NETCFG_ADDRESSES, now_ms))
		apply_addresses(n, &actual, now_ms);
	if (due(n, NETCFG_ROUTES, now_ms))
		apply_routes(n, &actual, now_ms);
	if (due(n, NETCFG_RULES, now_ms))
		apply_rules(n, &actual, now_ms);
	free(actual.routes);
	return next_pass(n, now_ms);
}

/* A route elsewhere may have taken the place of ours, or made place for it. */
static bool is_wanted_destination(const struct netcfg *n, const struct prefix *destination)
{
	for (size_t i = 0; i < n->range_count; i++) {
		if (prefix_contains(&n->ranges[i], &destination->addr))
			return true;
	}
	return find_wanted(n, destination) != NULL;
}

static bool may_be_ours(const struct netcfg *n, const struct netlink_event *event)
{
	if (n->index != 0 && event->index == n->index)
		return true;
	switch (event->kind) {
	case NETLINK_EVENT_LOST:
		return true;
	case NETLINK_EVENT_LINK:
		return strcmp(event->link.name, n->wanted.name) == 0;
	case NETLINK_EVENT_ROUTE:
		return is_wanted_destination(n, &event->route.destination);
	case NETLINK_EVENT_RULE:
		return event->rule.table == n->wanted.table;
	case NETLINK_EVENT_ADDRESS:
		return false;
	}
	return false;
}

bool netcfg_concerns(struct netcfg *n, const struct netlink_event *event)
{
	if (!n->enabled || !may_be_ours(n, event))
		return false;
	for (size_t i = 0; i < NETCFG_PART_COUNT; i++)
		n->parts[i].next_ms = 0;
	return true;
}

bool netcfg_link_good(const struct netcfg *n)
{
	struct netlink_link link;
	if (!n->enabled || n->index == 0 || !n->parts[NETCFG_LINK].applied)
		return true; /* its pass is due by itself */
	return netlink_link_get(n->nl, n->index, &link) == 0 &&
	       strcmp(link.name, n->wanted.name) == 0 && link.txqlen == n->wanted.txqlen &&
	       link.mtu == n->wanted.mtu && flags_are_good(&link) && ipv6_is_quiet(n, &link);
}

uint32_t netcfg_index(const struct netcfg *n)
{
	return n->index;
}

bool netcfg_good(const struct netcfg *n)
{
	for (size_t i = 0; i < NETCFG_PART_COUNT; i++) {
		if (!n->parts[i].applied)
			return false;
	}
	return n->enabled;
}

struct netcfg_status netcfg_status(const struct netcfg *n, enum netcfg_part part)
{
	const struct part *p = &n->parts[part];
	return (struct netcfg_status){
		.part = part_names[part],
		.applied = p->applied,
		.error = p->error[0] ? p->error : NULL,
	};
}
