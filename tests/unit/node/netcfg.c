#include "fixture/test.h"

#include "node/netcfg.h"
#include "node/privops.h"
#include "os/base.h"
#include "os/netlink.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The reconciler on a real interface in a network namespace of its own. What others do to it is
 * done through netlink as root. */

enum { TABLE_BASE = 41000 };

struct fixture {
	struct priv *priv;
	struct netlink *nl;
	struct netcfg *netcfg;
	int opened, closed;
	uint64_t now_ms;
};

static struct fixture f;

static bool on_opened(void *ctx, int fd, enum tun_offload offload)
{
	(void)ctx;
	(void)offload;
	assert_true(fd >= 0);
	f.opened++;
	return true;
}

static void on_closed(void *ctx)
{
	(void)ctx;
	f.closed++;
}

static int start(void **state)
{
	(void)state;
	char error[TUN_ERROR_MAX];
	if (unshare(CLONE_NEWNET) < 0 || tun_check(error) < 0)
		return 0;
	static const struct priv_config config = {
		.prefix = "dtst", .table_base = TABLE_BASE, .adopt = true, .sandbox = true};
	int r = priv_start(&config, &f.priv);
	return r < 0 ? r : netlink_open(&f.nl);
}

static int stop(void **state)
{
	(void)state;
	netlink_free(f.nl);
	priv_stop(f.priv);
	return 0;
}

static void parse_prefix(const char *text, struct prefix *ret)
{
	memset(ret, 0, sizeof(*ret));
	assert_true(prefix_parse(text, ret));
}

static void want_with_metric(const char *name, size_t routes, uint32_t metric)
{
	static struct netcfg_route route[2];
	struct netcfg_wanted w;
	memset(&w, 0, sizeof(w));
	memset(route, 0, sizeof(route));
	snprintf(w.name, sizeof(w.name), "%s", name);
	w.offload = TUN_OFFLOAD_USO;
	w.mtu = 1400;
	w.txqlen = 32;
	w.metric = metric;
	w.table = TABLE_BASE;
	parse_prefix("10.9.0.0/24", &w.ipv4);
	parse_prefix("10.9.0.1/32", &w.addresses[0]);
	parse_prefix("fd12::1/128", &w.addresses[1]);
	w.address_count = 2;
	parse_prefix("fd12::/64", &route[0].destination);
	route[0].source = w.addresses[1].addr;
	parse_prefix("10.9.0.0/24", &route[1].destination);
	route[1].source = w.addresses[0].addr;
	w.routes = route;
	w.route_count = routes;
	netcfg_set_wanted(f.netcfg, &w);
}

static void want(const char *name, size_t routes)
{
	want_with_metric(name, routes, 600);
}

static void begin(const char *name)
{
	struct netcfg_io io = {.opened = on_opened, .closed = on_closed};
	f.opened = f.closed = 0;
	f.netcfg = netcfg_new(f.priv, f.nl, &io);
	want(name, 2);
	netcfg_pass(f.netcfg, f.now_ms);
}

static void end(void)
{
	netcfg_free(f.netcfg);
	f.netcfg = NULL;
}

struct counts {
	unsigned addresses, routes, rules;
};

static void count_address(void *arg, const struct netlink_address *address)
{
	(void)address;
	((struct counts *)arg)->addresses++;
}

static void count_route(void *arg, const struct netlink_route *route)
{
	if (route->index == netcfg_index(f.netcfg))
		((struct counts *)arg)->routes++;
}

static void count_rule(void *arg, const struct netlink_rule *rule)
{
	if (rule->table >= TABLE_BASE && rule->table <= TABLE_BASE + PRIV_NUMBER_MAX)
		((struct counts *)arg)->rules++;
}

/* Wherever they lead. */
static unsigned count_rules(uint8_t protocol)
{
	struct counts c = {0};
	assert_int_equal(netlink_rule_list(f.nl, protocol, count_rule, &c), 0);
	return c.rules;
}

static struct netlink_rule own_rule(const char *from)
{
	struct netlink_rule rule = {.priority = PRIV_RULE_PRIORITY, .table = TABLE_BASE};
	parse_prefix(from, &rule.from);
	rule.family = rule.from.addr.family;
	return rule;
}

static void expect_all_there(void)
{
	struct counts c = {0};
	struct netlink_link link;
	for (int i = 0; i < NETCFG_PART_COUNT; i++) {
		struct netcfg_status s = netcfg_status(f.netcfg, (enum netcfg_part)i);
		assert_null(s.error);
		assert_true(s.applied);
	}
	assert_true(netcfg_good(f.netcfg));
	assert_int_equal(netlink_link_get(f.nl, netcfg_index(f.netcfg), &link), 0);
	assert_int_equal(link.mtu, 1400);
	assert_int_equal(link.txqlen, 32);
	assert_true(link.flags & IFF_UP);
	netlink_address_list(f.nl, netcfg_index(f.netcfg), count_address, &c);
	netlink_route_list(f.nl, NETLINK_TABLE_MAIN, DNET_RTPROT, count_route, &c);
	assert_int_equal(c.addresses, 2);
	assert_int_equal(c.routes, 2);
	netlink_route_list(f.nl, TABLE_BASE, DNET_RTPROT, count_route, &c);
	assert_int_equal(c.routes, 4);
	assert_int_equal(count_rules(DNET_RTPROT), 2);
}

static void everything_wanted_is_made(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	assert_int_equal(f.opened, 1);
	expect_all_there();
	end();
	assert_int_equal(f.closed, 1);
}

static void a_second_pass_changes_nothing(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	assert_int_equal(netcfg_pass(f.netcfg, f.now_ms), NETCFG_FULL_PASS_MS);
	assert_int_equal(f.opened, 1);
	assert_int_equal(f.closed, 0);
	expect_all_there();
	end();
}

static void a_deleted_address_comes_back(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	struct netlink_address a = {.index = netcfg_index(f.netcfg), .bits = 128};
	assert_true(address_parse("fd12::1", &a.address));
	assert_int_equal(netlink_address_delete(f.nl, &a), 0);
	netcfg_pass(f.netcfg, f.now_ms);
	expect_all_there();
	end();
}

static void a_strange_address_goes(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	struct netlink_address a = {.index = netcfg_index(f.netcfg), .bits = 32};
	assert_true(address_parse("10.9.0.77", &a.address));
	assert_int_equal(netlink_address_add(f.nl, &a), 0);
	netcfg_pass(f.netcfg, f.now_ms);
	expect_all_there();
	end();
}

static void a_deleted_route_comes_back(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	struct netlink_route r = {.index = netcfg_index(f.netcfg), .metric = 600};
	parse_prefix("10.9.0.0/24", &r.destination);
	assert_int_equal(netlink_route_delete(f.nl, &r), 0);
	netcfg_pass(f.netcfg, f.now_ms);
	expect_all_there();
	end();
}

static void a_route_that_is_not_wanted_any_more_goes(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	struct counts c = {0};
	want("dtst0", 1);
	netcfg_pass(f.netcfg, f.now_ms);
	netlink_route_list(f.nl, NETLINK_TABLE_MAIN, DNET_RTPROT, count_route, &c);
	assert_int_equal(c.routes, 1);
	assert_int_equal(f.opened, 1);
	end();
}

static void a_deleted_rule_comes_back(void **state)
{
	static const char *const from[] = {"10.9.0.1/32", "fd12::1/128"};
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		struct netlink_rule rule = own_rule(from[i]);
		struct netlink_event event = {.kind = NETLINK_EVENT_RULE, .gone = true};
		event.rule = rule;
		assert_true(netcfg_concerns(f.netcfg, &event));
		event.rule.table++;
		assert_false(netcfg_concerns(f.netcfg, &event));
		assert_int_equal(netlink_rule_delete(f.nl, &rule), 0);
		netcfg_pass(f.netcfg, f.now_ms);
		expect_all_there();
	}
	end();
}

static void a_rule_that_is_not_wanted_goes(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	struct netlink_rule table[] = {own_rule("10.9.0.77/32"), own_rule("10.9.0.0/24"),
				       own_rule("10.9.0.1/32")};
	table[2].priority = 15;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_int_equal(netlink_rule_add(f.nl, &table[i]), 0);
		netcfg_pass(f.netcfg, f.now_ms);
		expect_all_there();
	}
	end();
}

static void a_route_deleted_in_the_own_table_comes_back(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	struct netlink_route r = {
		.index = netcfg_index(f.netcfg), .metric = 600, .table = TABLE_BASE};
	parse_prefix("fd12::/64", &r.destination);
	assert_int_equal(netlink_route_delete(f.nl, &r), 0);
	netcfg_pass(f.netcfg, f.now_ms);
	expect_all_there();
	end();
}

/* A second dnetd with the same table-base must say so, and not fight for the rules. */
static void a_table_with_routes_of_others_is_an_error(void **state)
{
	struct netcfg_io io = {.opened = on_opened, .closed = on_closed};
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	struct netcfg *holder = f.netcfg;
	f.netcfg = netcfg_new(f.priv, f.nl, &io);
	want_with_metric("dtst1", 2, 601);
	netcfg_pass(f.netcfg, f.now_ms);
	struct netcfg_status s = netcfg_status(f.netcfg, NETCFG_RULES);
	assert_false(s.applied);
	assert_non_null(strstr(s.error, "table-base"));
	assert_true(netcfg_status(f.netcfg, NETCFG_ROUTES).applied);
	struct netcfg *second = f.netcfg;
	f.netcfg = holder;
	assert_int_equal(netcfg_pass(f.netcfg, f.now_ms), NETCFG_FULL_PASS_MS);
	assert_true(netcfg_good(f.netcfg));
	assert_int_equal(count_rules(DNET_RTPROT), 2);
	end();
	netcfg_free(second);
}

static void a_link_that_is_down_comes_up_with_its_routes(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	assert_int_equal(netlink_link_set_up(f.nl, netcfg_index(f.netcfg), false), 0);
	netcfg_pass(f.netcfg, f.now_ms);
	expect_all_there();
	end();
}

static void a_changed_mtu_and_queue_are_set_back(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	/* Below 1280 the kernel takes IPv6 away with all addresses. */
	assert_int_equal(netlink_link_set_mtu(f.nl, netcfg_index(f.netcfg), 1000), 0);
	assert_int_equal(netlink_link_set_txqlen(f.nl, netcfg_index(f.netcfg), 500), 0);
	netcfg_pass(f.netcfg, f.now_ms);
	expect_all_there();
	end();
}

static void a_deleted_interface_is_made_anew(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	begin("dtst0");
	assert_int_equal(netlink_link_delete(f.nl, netcfg_index(f.netcfg)), 0);
	netcfg_pass(f.netcfg, f.now_ms);
	assert_int_equal(f.closed, 1);
	assert_int_equal(f.opened, 2);
	expect_all_there();
	end();
}

static void a_name_that_is_taken_is_an_error_with_back_off(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	struct netcfg_io io = {.opened = on_opened, .closed = on_closed};
	begin("dtst0");
	struct netcfg *holder = f.netcfg;
	f.netcfg = netcfg_new(f.priv, f.nl, &io);
	f.opened = 0;
	want("dtst0", 2);
	uint64_t wait1 = netcfg_pass(f.netcfg, f.now_ms);
	struct netcfg_status s = netcfg_status(f.netcfg, NETCFG_LINK);
	assert_false(s.applied);
	assert_non_null(strstr(s.error, "another program"));
	assert_int_equal(f.opened, 0);
	f.now_ms += wait1;
	uint64_t wait2 = netcfg_pass(f.netcfg, f.now_ms);
	assert_true(wait2 > wait1);
	netcfg_free(holder);
	assert_int_equal(netcfg_pass(f.netcfg, f.now_ms), wait2); /* not before its time */
	assert_int_equal(f.opened, 0);
	f.now_ms += wait2;
	netcfg_pass(f.netcfg, f.now_ms);
	expect_all_there();
	end();
}

static void count_link(void *arg, const struct netlink_link *link)
{
	if (strcmp(link->kind, "tun") == 0)
		++*(int *)arg;
}

static void nothing_wanted_leaves_nothing(void **state)
{
	(void)state;
	if (!f.priv)
		skip();
	struct counts c = {0};
	int links = 0;
	begin("dtst0");
	netcfg_set_wanted(f.netcfg, NULL);
	netcfg_pass(f.netcfg, f.now_ms);
	assert_int_equal(netcfg_index(f.netcfg), 0);
	netlink_link_list(f.nl, count_link, &links);
	assert_int_equal(links, 0);
	netlink_route_list(f.nl, 0, DNET_RTPROT, count_route, &c);
	assert_int_equal(c.routes, 0);
	assert_int_equal(count_rules(0), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_wanted_is_made),
		cmocka_unit_test(a_second_pass_changes_nothing),
		cmocka_unit_test(a_deleted_address_comes_back),
		cmocka_unit_test(a_strange_address_goes),
		cmocka_unit_test(a_deleted_route_comes_back),
		cmocka_unit_test(a_route_that_is_not_wanted_any_more_goes),
		cmocka_unit_test(a_deleted_rule_comes_back),
		cmocka_unit_test(a_rule_that_is_not_wanted_goes),
		cmocka_unit_test(a_route_deleted_in_the_own_table_comes_back),
		cmocka_unit_test(a_table_with_routes_of_others_is_an_error),
		cmocka_unit_test(a_link_that_is_down_comes_up_with_its_routes),
		cmocka_unit_test(a_changed_mtu_and_queue_are_set_back),
		cmocka_unit_test(a_deleted_interface_is_made_anew),
		cmocka_unit_test(a_name_that_is_taken_is_an_error_with_back_off),
		cmocka_unit_test(nothing_wanted_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
