#include "fixture/test.h"

#include "os/base.h"
#include "os/log.h"
#include "os/netlink.h"
#include "os/netlink_parse.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The kernel's part is played in a network namespace of the test's own, with a TUN device. */
static const char *missing; /* why there is none; NULL: there is */
static struct netlink *nl;
static int tun = -1;
static uint32_t tun_index;

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		missing = "the user cannot be mapped in a user namespace";
	close(fd);
}

static void enter_namespace(void)
{
	char map[64];

	snprintf(map, sizeof(map), "0 %u 1", (unsigned)geteuid());
	if (!geteuid() && !unshare(CLONE_NEWNET))
		return;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		missing = "neither root nor user namespaces";
		return;
	}
	write_file("/proc/self/uid_map", map);
}

static int make_tun(void **state)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	struct netlink_link link;

	enter_namespace();
	if (missing)
		return 0;
	strcpy(request.ifr_name, "dnettest0");
	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &request)) {
		missing = "/dev/net/tun cannot be used";
		return 0;
	}
	if (netlink_open(&nl) || netlink_link_find(nl, "dnettest0", &link))
		return -1;
	tun_index = link.index;
	return 0;
}

static int remove_tun(void **state)
{
	netlink_free(nl);
	if (tun >= 0)
		close(tun);
	return 0;
}

#define need_namespace()                                                                           \
	do {                                                                                       \
		if (missing) {                                                                     \
			print_message("%s\n", missing);                                            \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static struct address ip(const char *text)
{
	struct address a = {0};

	assert_true(address_parse(text, &a));
	return a;
}

static struct prefix net(const char *text)
{
	struct prefix p = {0};

	assert_true(prefix_parse(text, &p));
	return p;
}

static void a_link_is_found_by_name_and_changed(void **state)
{
	struct netlink_link link;

	need_namespace();
	assert_int_equal(netlink_link_find(nl, "dnettest0", &link), 0);
	assert_string_equal(link.kind, "tun");
	assert_false(link.flags & IFF_UP);
	assert_int_equal(netlink_link_set_mtu(nl, tun_index, 1333), 0);
	assert_int_equal(netlink_link_set_txqlen(nl, tun_index, 77), 0);
	assert_int_equal(netlink_link_set_gso_max(nl, tun_index, 60000), 0);
	assert_int_equal(netlink_link_set_up(nl, tun_index, true), 0);
	assert_int_equal(netlink_link_get(nl, tun_index, &link), 0);
	assert_string_equal(link.name, "dnettest0");
	assert_int_equal(link.mtu, 1333);
	assert_int_equal(link.txqlen, 77);
	assert_int_equal(link.gso_max, 60000);
	assert_true(link.flags & IFF_UP);
	assert_int_equal(netlink_link_find(nl, "nothere", &link), -ENODEV);
	assert_int_equal(netlink_link_find(nl, "a-name-of-16-bytes", &link), -ENODEV);
	assert_int_equal(netlink_link_find(nl, "", &link), -ENODEV);
}

static void the_kernel_says_why_it_refuses(void **state)
{
	need_namespace();
	assert_int_equal(netlink_link_set_mtu(nl, tun_index, 1), -EINVAL);
	assert_non_null(strstr(netlink_error_text(nl), "mtu less than device minimum"));
	assert_int_equal(netlink_link_delete(nl, 9999), -ENODEV);
	assert_true(netlink_error_text(nl)[0]);
}

struct found {
	const struct netlink_address *address;
	const struct netlink_route *route;
	const struct netlink_rule *rule;
	unsigned count;
};

static void find_address(void *arg, const struct netlink_address *address)
{
	struct found *f = arg;

	f->count += address_equal(&address->address, &f->address->address) &&
		    address->bits == f->address->bits && address->index == f->address->index;
}

static unsigned count_address(const struct netlink_address *address)
{
	struct found f = {.address = address};

	assert_int_equal(netlink_address_list(nl, tun_index, find_address, &f), 0);
	return f.count;
}

static void addresses_come_and_go(void **state)
{
	need_namespace();
	const struct netlink_address table[] = {{tun_index, ip("10.77.0.1"), 24},
						{tun_index, ip("fd77::1"), 64}};

	assert_int_equal(netlink_link_set_up(nl, tun_index, true), 0);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_int_equal(netlink_address_add(nl, &table[i]), 0);
		assert_int_equal(netlink_address_add(nl, &table[i]), 0);
		assert_int_equal(count_address(&table[i]), 1);
		assert_int_equal(netlink_address_delete(nl, &table[i]), 0);
		assert_int_equal(netlink_address_delete(nl, &table[i]), -EADDRNOTAVAIL);
		assert_int_equal(count_address(&table[i]), 0);
	}
}

static void find_route(void *arg, const struct netlink_route *r)
{
	struct found *f = arg;

	f->count += prefix_equal(&r->destination, &f->route->destination) &&
		    r->table == f->route->table && r->index == f->route->index &&
		    r->metric == f->route->metric && r->unreachable == f->route->unreachable &&
		    r->protocol == DNET_RTPROT;
}

static unsigned count_route(const struct netlink_route *route, uint32_t table)
{
	struct found f = {.route = route};

	assert_int_equal(netlink_route_list(nl, table, DNET_RTPROT, find_route, &f), 0);
	return f.count;
}

static void routes_are_ours_come_again_and_go(void **state)
{
	need_namespace();
	const struct netlink_route table[] = {
		{.destination = net("10.78.0.0/16"), .index = tun_index, .table = 254, .metric = 5},
		{.destination = net("fd78::/32"), .index = tun_index, .table = 254, .metric = 7},
		{.destination = net("10.79.0.0/16"),
		 .table = 1000,
		 .metric = 9,
		 .unreachable = true},
		{.destination = net("::/0"), .index = tun_index, .table = 1000, .metric = 9},
		{.destination = net("fd79::/32"), .table = 254, .metric = 9, .unreachable = true},
	};

	assert_int_equal(netlink_link_set_up(nl, tun_index, true), 0);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_int_equal(netlink_route_add(nl, &table[i]), 0);
		assert_int_equal(netlink_route_add(nl, &table[i]), -EEXIST);
		assert_int_equal(count_route(&table[i], 0), 1);
		assert_int_equal(count_route(&table[i], table[i].table), 1);
		assert_int_equal(count_route(&table[i], 77), 0);
		assert_int_equal(netlink_route_delete(nl, &table[i]), 0);
		assert_int_equal(netlink_route_delete(nl, &table[i]), -ESRCH);
		assert_int_equal(count_route(&table[i], 0), 0);
	}
}

static void find_rule(void *arg, const struct netlink_rule *r)
{
	struct found *f = arg;

	f->count += r->family == f->rule->family && r->priority == f->rule->priority &&
		    r->table == f->rule->table && r->mark == f->rule->mark &&
		    r->mask == f->rule->mask && r->invert == f->rule->invert &&
		    prefix_equal(&r->to, &f->rule->to) &&
		    r->suppress_default == f->rule->suppress_default;
}

static unsigned count_rule(const struct netlink_rule *rule)
{
	struct found f = {.rule = rule};

	assert_int_equal(netlink_rule_list(nl, DNET_RTPROT, find_rule, &f), 0);
	return f.count;
}

static void rules_come_and_go(void **state)
{
	need_namespace();
	const struct netlink_rule table[] = {
		{.family = ADDR_V4, .priority = 700, .table = 1000, .to = net("10.0.0.0/8")},
		{.family = ADDR_V6, .priority = 701, .table = 254, .suppress_default = true},
		{.family = ADDR_V4,
		 .priority = 702,
		 .table = 100,
		 .mark = 0xd,
		 .mask = 0xff,
		 .invert = true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_int_equal(netlink_rule_add(nl, &table[i]), 0);
		assert_int_equal(netlink_rule_add(nl, &table[i]), -EEXIST);
		assert_int_equal(count_rule(&table[i]), 1);
		assert_int_equal(netlink_rule_delete(nl, &table[i]), 0);
		assert_int_equal(netlink_rule_delete(nl, &table[i]), -ENOENT);
		assert_int_equal(count_rule(&table[i]), 0);
	}
}

static void note_event(void *arg, const struct netlink_event *event)
{
	struct netlink_event *wanted = arg;

	if (event->kind == wanted->kind && event->index == wanted->index)
		wanted->gone = event->gone;
}

static void wait_for_event(struct netlink_monitor *monitor, struct netlink_event *wanted, bool gone)
{
	wanted->gone = !gone;
	while (wanted->gone != gone) {
		struct pollfd p = {.fd = netlink_monitor_fd(monitor), .events = POLLIN};

		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(netlink_monitor_read(monitor), 0);
	}
}

static void changes_are_reported(void **state)
{
	struct netlink_event wanted = {.kind = NETLINK_EVENT_ADDRESS};
	struct netlink_monitor *monitor;
	struct netlink_address address;

	need_namespace();
	address = (struct netlink_address){tun_index, ip("10.80.0.1"), 24};
	wanted.index = tun_index;
	assert_int_equal(netlink_monitor_new(note_event, &wanted, &monitor), 0);
	assert_int_equal(netlink_address_add(nl, &address), 0);
	wait_for_event(monitor, &wanted, false);
	assert_int_equal(netlink_address_delete(nl, &address), 0);
	wait_for_event(monitor, &wanted, true);
	netlink_monitor_free(monitor);
}

static void a_deleted_link_is_gone(void **state)
{
	struct netlink_link link;

	need_namespace();
	assert_int_equal(netlink_link_delete(nl, tun_index), 0);
	assert_int_equal(netlink_link_get(nl, tun_index, &link), -ENODEV);
}

/* A route message with one attribute of a length of our choice. */
static bool parse_route_with(uint16_t attribute, uint16_t payload, uint8_t dst_len)
{
	union {
		struct nlmsghdr header;
		char bytes[256];
	} m = {0};
	static const char zeros[64];
	struct netlink_route route;
	struct rtmsg *rt;

	mnl_nlmsg_put_header(m.bytes);
	m.header.nlmsg_type = RTM_NEWROUTE;
	rt = mnl_nlmsg_put_extra_header(&m.header, sizeof(*rt));
	rt->rtm_family = AF_INET;
	rt->rtm_type = RTN_UNICAST;
	rt->rtm_dst_len = dst_len;
	mnl_attr_put(&m.header, attribute, payload, zeros);
	return netlink_parse_route(&m.header, &route);
}

static void attributes_of_a_wrong_length_are_refused(void **state)
{
	assert_true(parse_route_with(RTA_DST, 4, 32));
	assert_false(parse_route_with(RTA_DST, 4, 33));
	assert_false(parse_route_with(RTA_DST, 3, 8));
	assert_false(parse_route_with(RTA_DST, 16, 8));
	assert_false(parse_route_with(RTA_GATEWAY, 5, 0));
	assert_true(parse_route_with(RTA_OIF, 2, 0)); /* as if it were not there */
}

static void a_cut_message_is_refused(void **state)
{
	union {
		struct nlmsghdr header;
		char bytes[64];
	} m = {.header = {.nlmsg_type = RTM_NEWLINK}};
	struct netlink_event event;
	char text[16];
	int result;

	for (unsigned len = 0; len < sizeof(struct ifinfomsg); len++) {
		m.header.nlmsg_len = NLMSG_HDRLEN + len;
		assert_false(netlink_parse_event(&m.header, &event));
	}
	m.header.nlmsg_len = NLMSG_HDRLEN + sizeof(struct nlmsgerr) - 1;
	assert_false(netlink_parse_error(&m.header, &result, text, sizeof(text)));
	m.header.nlmsg_len++;
	m.header.nlmsg_flags = NLM_F_ACK_TLVS;
	((struct nlmsgerr *)mnl_nlmsg_get_payload(&m.header))->error = -EPERM;
	((struct nlmsgerr *)mnl_nlmsg_get_payload(&m.header))->msg.nlmsg_len = 0xfffffff0;
	assert_true(netlink_parse_error(&m.header, &result, text, sizeof(text)));
	assert_int_equal(result, -EPERM);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attributes_of_a_wrong_length_are_refused),
		cmocka_unit_test(a_cut_message_is_refused),
		cmocka_unit_test(a_link_is_found_by_name_and_changed),
		cmocka_unit_test(the_kernel_says_why_it_refuses),
		cmocka_unit_test(addresses_come_and_go),
		cmocka_unit_test(routes_are_ours_come_again_and_go),
		cmocka_unit_test(rules_come_and_go),
		cmocka_unit_test(changes_are_reported),
		cmocka_unit_test(a_deleted_link_is_gone),
	};

	return cmocka_run_group_tests_name("os/netlink", tests, make_tun, remove_tun);
}
