#include "fixture/test.h"

#include "node/privops.h"
#include "os/netlink.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A real helper in a network namespace of its own; without the right to make one these are skipped.
 */

enum { TABLE_BASE = 41000 };

static struct priv *priv;
static const struct prefix no_ipv4 = {{.family = ADDR_NONE}, 0};

static int start(void **state)
{
	(void)state;
	char error[TUN_ERROR_MAX];
	if (unshare(CLONE_NEWNET) < 0 || tun_check(error) < 0)
		return 0;
	static const struct priv_config config = {.prefix = "dtst",
						  .table_base = TABLE_BASE,
						  .adopt = true,
						  .wireguard = true,
						  .sandbox = true};
	return priv_start(&config, &priv);
}

static int stop(void **state)
{
	(void)state;
	priv_stop(priv);
	return 0;
}

static int open_tun(const char *name, const struct prefix *ipv4, uint32_t *ret_index)
{
	int fd;
	enum tun_offload offload;
	int r = priv_tun_open(priv, name, ipv4, TUN_OFFLOAD_USO, &fd, ret_index, &offload);
	return r < 0 ? r : fd;
}

static struct prefix prefix_of(const char *text)
{
	struct prefix p;
	assert_true(prefix_parse(text, &p));
	return p;
}

static struct address address_of(const char *text)
{
	struct address a;
	assert_true(address_parse(text, &a));
	return a;
}

static void an_interface_is_made_and_goes_with_its_descriptor(void **state)
{
	(void)state;
	if (!priv)
		skip();
	struct netlink *nl;
	struct netlink_link link;
	uint32_t index;
	int fd = open_tun("dtst0", &no_ipv4, &index);
	assert_true(fd >= 0);
	assert_int_equal(netlink_open(&nl), 0);
	assert_int_equal(netlink_link_find(nl, "dtst0", &link), 0);
	assert_int_equal(link.index, index);
	assert_string_equal(link.kind, "tun");
	close(fd);
	assert_int_equal(priv_tun_close(priv, index), 0);
	assert_int_equal(netlink_link_find(nl, "dtst0", &link), -ENODEV);
	netlink_free(nl);
}

static void a_raw_socket_is_given_out_for_a_port_and_no_other(void **state)
{
	uint8_t families[] = {ADDR_V4, ADDR_V6};
	int fd = -1;
	(void)state;
	if (!priv)
		skip();
	for (size_t i = 0; i < 2; i++) {
		int on = 1, protocol = 0;
		socklen_t size = sizeof(protocol);
		assert_int_equal(priv_raw_open(priv, families[i], 51820, &fd), 0);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size), 0);
		assert_int_equal(protocol, IPPROTO_UDP);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof(on)), -1);
		close(fd);
		assert_int_equal(priv_raw_open(priv, families[i], 0, &fd), -EPERM);
		assert_int_equal(priv_raw_open(priv, families[i], 53, &fd), -EPERM);
		assert_int_equal(priv_raw_open(priv, families[i], 1023, &fd), -EPERM);
		assert_memory_equal(priv_error(priv), "refused: ", 9);
	}
	assert_int_equal(priv_raw_open(priv, ADDR_NONE, 51820, &fd), -EPERM);
	assert_int_equal(priv_raw_open(priv, 17, 51820, &fd), -EPERM);
}

struct kernel_peers {
	struct wglink_peer peers[200];
	size_t count;
};

static void take_kernel_peer(void *ctx, const struct wglink_peer *peer)
{
	struct kernel_peers *list = ctx;
	assert_true(list->count < sizeof(list->peers) / sizeof(list->peers[0]));
	list->peers[list->count++] = *peer;
}

/* Skipped where the kernel has no WireGuard (contrib/long --only kernel). */
static void a_wireguard_of_the_kernel_takes_only_peers_of_its_ranges(void **state)
{
	static struct kernel_peers list;
	struct wglink_peer peers[150];
	struct wglink_device device;
	uint8_t key[WGLINK_KEY_LEN] = {0, 1, 2, [31] = 64};
	uint32_t index, tun;
	(void)state;
	if (!priv)
		skip();
	assert_int_equal(priv_link_wireguard(priv, "eth7", &no_ipv4, &index), -EPERM);
	if (priv_link_wireguard(priv, "dtst7", &no_ipv4, &index) < 0)
		skip();
	for (size_t i = 0; i < 150; i++) {
		peers[i] = (struct wglink_peer){.key = {1, (uint8_t)i},
						.flags = WGLINK_REPLACE_ALLOWED | WGLINK_ENDPOINT,
						.allowed_count = 1,
						.allowed = {prefix_of("fd00::/128")}};
		peers[i].allowed[0].addr.bytes[15] = (uint8_t)i;
		assert_true(endpoint_parse("192.0.2.1:4711", &peers[i].endpoint));
	}
	assert_int_equal(priv_wireguard_set(priv, index, key, 51820, peers, 150), 0);
	assert_int_equal(priv_wireguard_get(priv, index, &device, take_kernel_peer, &list), 0);
	assert_int_equal(list.count, 150);
	assert_int_equal(device.port, 51820);
	assert_memory_equal(device.private_key, key, sizeof(key));
	/* Not the whole world, no other's port, no other kind of link. */
	peers[0].allowed[0] = prefix_of("0.0.0.0/0");
	assert_int_equal(priv_wireguard_set(priv, index, NULL, 0, peers, 1), -EPERM);
	peers[0].allowed[0] = prefix_of("2000::/3");
	assert_int_equal(priv_wireguard_set(priv, index, NULL, 0, peers, 1), -EPERM);
	peers[0].allowed[0] = prefix_of("fd00::/128");
	peers[0].endpoint.port = 0;
	assert_int_equal(priv_wireguard_set(priv, index, NULL, 0, peers, 1), -EPERM);
	assert_int_equal(priv_wireguard_set(priv, index, NULL, 53, NULL, 0), -EPERM);
	int fd = open_tun("dtst8", &no_ipv4, &tun);
	assert_int_equal(priv_wireguard_set(priv, tun, NULL, 0, NULL, 0), -EPERM);
	assert_int_equal(priv_wireguard_get(priv, tun, &device, take_kernel_peer, &list), -EPERM);
	close(fd);
	assert_int_equal(priv_tun_close(priv, tun), 0);
	assert_int_equal(priv_tun_close(priv, index), 0);
}

static void names_of_others_are_refused(void **state)
{
	static const char *const names[] = {"eth0",   "dtst", "dtst0x", "dtst00000",
					    "xdtst0", "lo",   ""};
	(void)state;
	if (!priv)
		skip();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint32_t index;
		assert_int_equal(open_tun(names[i], &no_ipv4, &index), -EPERM);
		assert_memory_equal(priv_error(priv), "refused: ", 9);
	}
}

static void interfaces_that_were_not_made_here_are_refused(void **state)
{
	struct address a = address_of("fd00::1");
	struct prefix p = prefix_of("fd00::/64");
	(void)state;
	if (!priv)
		skip();
	for (uint32_t index = 0; index < 3; index++) { /* 1 is the loopback */
		assert_int_equal(priv_link_up(priv, index), -EPERM);
		assert_int_equal(priv_link_mtu(priv, index, 1400), -EPERM);
		assert_int_equal(priv_link_txqlen(priv, index, 100), -EPERM);
		assert_int_equal(priv_address_add(priv, index, &a, 128), -EPERM);
		assert_int_equal(priv_route_add(priv, index, NETLINK_TABLE_MAIN, &p, 512, &a),
				 -EPERM);
		assert_int_equal(priv_rule_add(priv, index, &a, PRIV_RULE_PRIORITY), -EPERM);
		assert_int_equal(priv_rule_delete(priv, index, &p, 32766), -EPERM);
		assert_int_equal(priv_tun_close(priv, index), -EPERM);
	}
}

static void a_plain_tun_gives_packets_with_their_protocol(void **state)
{
	uint8_t packet[256];
	struct address a = address_of("fd00::1");
	uint32_t index;
	int fd;
	(void)state;
	if (!priv)
		skip();
	assert_int_equal(priv_tun_open_plain(priv, "dtst3", &no_ipv4, &fd, &index), 0);
	assert_int_equal(priv_link_up(priv, index), 0);
	assert_int_equal(priv_address_add(priv, index, &a, 128), 0);
	struct prefix p = prefix_of("fd00:1::/64");
	assert_int_equal(priv_route_add(priv, index, NETLINK_TABLE_MAIN, &p, 512, &a), 0);
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = 9};
	memcpy(&to.sin6_addr, address_of("fd00:1::1").bytes, 16);
	int s = socket(AF_INET6, SOCK_DGRAM, 0);
	assert_int_equal(sendto(s, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&ready, 1, 20000), 1);
	assert_int_equal(read(fd, packet, sizeof(packet)), 4 + 40 + 8 + 1);
	assert_memory_equal(packet, ((uint8_t[]){0, 0, 0x86, 0xdd}), 4);
	assert_int_equal(packet[4] >> 4, 6);
	close(s);
	close(fd);
	assert_int_equal(priv_tun_close(priv, index), 0);
}

static void only_a_tun_of_our_names_is_adopted_and_once(void **state)
{
	char error[TUN_ERROR_MAX];
	uint32_t index, again;
	(void)state;
	if (!priv)
		skip();
	assert_int_equal(priv_link_adopt(priv, "lo", &no_ipv4, &index), -EPERM);
	assert_int_equal(priv_link_adopt(priv, "dtst4", &no_ipv4, &index), -ENODEV);
	int fd = tun_open_plain("dtst4", error); /* the program's */
	assert_true(fd >= 0);
	assert_int_equal(priv_link_adopt(priv, "dtst4", &no_ipv4, &index), 0);
	assert_int_equal(priv_link_adopt(priv, "dtst4", &no_ipv4, &again), -EPERM);
	assert_int_equal(priv_link_up(priv, index), 0);
	assert_int_equal(priv_tun_close(priv, index), 0);
	close(fd);
}

static void routes_in_tables_of_others_are_refused(void **state)
{
	static const struct {
		uint32_t table;
		int result;
	} table[] = {
		{NETLINK_TABLE_MAIN, 0},
		{0, -EPERM},
		{253, -EPERM},
		{255, -EPERM},
		{TABLE_BASE + 6, -EPERM},
		{TABLE_BASE + 7, 0},
		{TABLE_BASE + 8, -EPERM},
	};
	struct prefix p = prefix_of("fd12::/64");
	uint32_t index;
	(void)state;
	if (!priv)
		skip();
	int fd = open_tun("dtst7", &no_ipv4, &index);
	assert_true(fd >= 0);
	assert_int_equal(priv_link_up(priv, index), 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int r = priv_route_add(priv, index, table[i].table, &p, 512, &no_ipv4.addr);
		assert_int_equal(r, table[i].result);
		r = priv_route_delete(priv, index, table[i].table, &p, 512);
		assert_int_equal(r, table[i].result);
	}
	close(fd);
	priv_tun_close(priv, index);
}

struct rules {
	struct netlink_rule last;
	unsigned count;
};

static void take_rule(void *arg, const struct netlink_rule *rule)
{
	struct rules *rules = arg;
	if (rule->table < 1000)
		return; /* the kernel's own */
	rules->last = *rule;
	rules->count++;
}

static struct rules all_rules(struct netlink *nl)
{
	struct rules rules = {0};
	assert_int_equal(netlink_rule_list(nl, 0, take_rule, &rules), 0);
	return rules;
}

static void a_rule_leads_from_an_own_address_to_the_own_table_only(void **state)
{
	static const struct {
		const char *from;
		int result;
	} table[] = {
		{"fd12::1", 0},		 {"10.9.0.1", 0},	{"10.9.1.1", -EPERM},
		{"2001:db8::1", -EPERM}, {"127.0.0.1", -EPERM}, {"::", -EPERM},
	};
	struct prefix ipv4 = prefix_of("10.9.0.0/24");
	struct netlink *nl;
	uint32_t index;
	(void)state;
	if (!priv)
		skip();
	assert_int_equal(netlink_open(&nl), 0);
	int fd = open_tun("dtst8", &ipv4, &index);
	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct address a = address_of(table[i].from);
		struct prefix from = {a, (uint8_t)address_bits(&a)};
		assert_int_equal(priv_rule_add(priv, index, &a, PRIV_RULE_PRIORITY),
				 table[i].result);
		struct rules rules = all_rules(nl);
		assert_int_equal(rules.count, table[i].result == 0);
		if (table[i].result < 0)
			continue;
		assert_int_equal(rules.last.table, TABLE_BASE + 8);
		assert_int_equal(rules.last.priority, PRIV_RULE_PRIORITY);
		assert_int_equal(rules.last.protocol, DNET_RTPROT);
		assert_true(prefix_equal(&rules.last.from, &from));
		assert_int_equal(priv_rule_add(priv, index, &a, PRIV_RULE_PRIORITY), -EEXIST);
		assert_int_equal(all_rules(nl).count, 1);
		assert_int_equal(priv_rule_delete(priv, index, &from, PRIV_RULE_PRIORITY), 0);
		assert_int_equal(priv_rule_delete(priv, index, &from, PRIV_RULE_PRIORITY), -ENOENT);
	}
	struct prefix none = {.addr.family = ADDR_NONE};
	assert_int_equal(priv_rule_delete(priv, index, &none, 0), -EPERM);
	/* Not the kernel's own: it has another protocol number and another table. */
	struct prefix any = {.addr.family = ADDR_V4};
	assert_int_equal(priv_rule_delete(priv, index, &any, 32766), -ENOENT);
	close(fd);
	priv_tun_close(priv, index);
	netlink_free(nl);
}

static void an_interface_takes_its_rules_along(void **state)
{
	struct address a = address_of("fd12::1"), b = address_of("fd12::2");
	struct netlink *nl;
	uint32_t index;
	(void)state;
	if (!priv)
		skip();
	assert_int_equal(netlink_open(&nl), 0);
	int fd = open_tun("dtst9", &no_ipv4, &index);
	assert_true(fd >= 0);
	assert_int_equal(priv_rule_add(priv, index, &a, PRIV_RULE_PRIORITY), 0);
	assert_int_equal(priv_rule_add(priv, index, &b, PRIV_RULE_PRIORITY), 0);
	assert_int_equal(all_rules(nl).count, 2);
	close(fd);
	assert_int_equal(priv_tun_close(priv, index), 0);
	assert_int_equal(all_rules(nl).count, 0);
	netlink_free(nl);
}

/* At the ends of our numbers and one past them; of a table that is in use; of other priority. */
static void a_sweep_takes_what_an_earlier_helper_left_and_nothing_else(void **state)
{
	static const struct {
		uint32_t table;
		bool goes;
	} table[] = {
		{TABLE_BASE - 1, false},
		{TABLE_BASE, true},
		{TABLE_BASE + 9, false}, /* has an interface */
		{TABLE_BASE + 20, true},
		{TABLE_BASE + 21, false}, /* has a route */
		{TABLE_BASE + PRIV_NUMBER_MAX, true},
		{TABLE_BASE + PRIV_NUMBER_MAX + 1, false},
	};
	struct netlink_route route = {.destination = prefix_of("fd13::/64"),
				      .table = TABLE_BASE + 21,
				      .unreachable = true};
	struct netlink *nl;
	uint32_t index;
	(void)state;
	if (!priv)
		skip();
	assert_int_equal(netlink_open(&nl), 0);
	int fd = open_tun("dtst9", &no_ipv4, &index);
	assert_true(fd >= 0);
	assert_int_equal(netlink_route_add(nl, &route), 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct netlink_rule rule = {.family = i % 2 ? ADDR_V6 : ADDR_V4,
					    .priority = 15700 + (uint32_t)i,
					    .table = table[i].table};
		assert_int_equal(netlink_rule_add(nl, &rule), 0);
		assert_int_equal(priv_rules_sweep(priv), 0);
		assert_int_equal(all_rules(nl).count, !table[i].goes);
		assert_int_equal(netlink_rule_delete(nl, &rule), table[i].goes ? -ENOENT : 0);
	}
	assert_int_equal(netlink_route_delete(nl, &route), 0);
	close(fd);
	priv_tun_close(priv, index);
	netlink_free(nl);
}

static void an_existing_interface_is_not_taken_over(void **state)
{
	(void)state;
	if (!priv)
		skip();
	uint32_t index, other;
	int fd = open_tun("dtst1", &no_ipv4, &index);
	assert_true(fd >= 0);
	assert_int_equal(open_tun("dtst1", &no_ipv4, &other), -EBUSY);
	assert_non_null(strstr(priv_error(priv), "another program"));
	close(fd);
	priv_tun_close(priv, index);
}

static void addresses_outside_the_ranges_are_refused(void **state)
{
	static const struct {
		const char *address;
		uint8_t bits;
		int result;
	} table[] = {
		{"fd12::1", 128, 0},	      {"fd12::1", 8, -EPERM},	 {"fe80::1", 64, -EPERM},
		{"2001:db8::1", 64, -EPERM},  {"::1", 128, -EPERM},	 {"10.9.0.1", 32, 0},
		{"10.9.0.2", 24, 0},	      {"10.9.0.1", 23, -EPERM},	 {"10.9.1.1", 32, -EPERM},
		{"10.8.255.255", 32, -EPERM}, {"127.0.0.1", 32, -EPERM},
	};
	(void)state;
	if (!priv)
		skip();
	struct prefix ipv4 = prefix_of("10.9.0.0/24");
	uint32_t index;
	int fd = open_tun("dtst2", &ipv4, &index);
	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct address a = address_of(table[i].address);
		assert_int_equal(priv_address_add(priv, index, &a, table[i].bits), table[i].result);
		struct prefix p = {a, table[i].bits};
		if (table[i].result < 0) {
			prefix_mask(&p);
			assert_int_equal(priv_route_add(priv, index, NETLINK_TABLE_MAIN, &p, 512,
							&no_ipv4.addr),
					 -EPERM);
		}
	}
	close(fd);
	priv_tun_close(priv, index);
}

static void an_interface_without_ipv4_takes_none(void **state)
{
	(void)state;
	if (!priv)
		skip();
	uint32_t index;
	int fd = open_tun("dtst3", &no_ipv4, &index);
	struct address a = address_of("10.9.0.1");
	assert_true(fd >= 0);
	assert_int_equal(priv_address_add(priv, index, &a, 32), -EPERM);
	close(fd);
	priv_tun_close(priv, index);
}

static void only_private_ipv4_prefixes_are_taken(void **state)
{
	static const struct {
		const char *prefix;
		bool good;
	} table[] = {
		{"10.0.0.0/8", true},	   {"10.1.2.0/24", true},     {"8.0.0.0/7", false},
		{"172.16.0.0/12", true},   {"172.32.0.0/16", false},  {"192.168.0.0/16", true},
		{"192.168.0.0/15", false}, {"192.169.0.0/16", false}, {"100.64.0.0/10", true},
		{"100.128.0.0/10", false}, {"198.18.0.0/15", true},   {"127.0.0.0/8", false},
		{"0.0.0.0/0", false},	   {"8.8.8.0/24", false},     {"224.0.0.0/4", false},
		{"169.254.0.0/16", false}, {"fd00::/8", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct prefix p = prefix_of(table[i].prefix);
		uint32_t index;
		assert_int_equal(priv_ipv4_prefix_ok(&p), table[i].good);
		if (!table[i].good && priv)
			assert_int_equal(open_tun("dtst4", &p, &index), -EPERM);
	}
}

static void numbers_at_their_limits_are_taken_and_past_them_refused(void **state)
{
	(void)state;
	if (!priv)
		skip();
	uint32_t index;
	int fd = open_tun("dtst5", &no_ipv4, &index);
	assert_true(fd >= 0);
	assert_int_equal(priv_link_mtu(priv, index, 1280), 0);
	assert_int_equal(priv_link_mtu(priv, index, 1279), -EPERM);
	assert_int_equal(priv_link_mtu(priv, index, 65535), 0);
	assert_int_equal(priv_link_mtu(priv, index, 65536), -EPERM);
	assert_int_equal(priv_link_txqlen(priv, index, 1), 0);
	assert_int_equal(priv_link_txqlen(priv, index, 0), -EPERM);
	assert_int_equal(priv_link_txqlen(priv, index, 10000), 0);
	assert_int_equal(priv_link_txqlen(priv, index, 10001), -EPERM);
	close(fd);
	priv_tun_close(priv, index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interface_is_made_and_goes_with_its_descriptor),
		cmocka_unit_test(a_raw_socket_is_given_out_for_a_port_and_no_other),
		cmocka_unit_test(a_wireguard_of_the_kernel_takes_only_peers_of_its_ranges),
		cmocka_unit_test(names_of_others_are_refused),
		cmocka_unit_test(interfaces_that_were_not_made_here_are_refused),
		cmocka_unit_test(a_plain_tun_gives_packets_with_their_protocol),
		cmocka_unit_test(only_a_tun_of_our_names_is_adopted_and_once),
		cmocka_unit_test(routes_in_tables_of_others_are_refused),
		cmocka_unit_test(a_rule_leads_from_an_own_address_to_the_own_table_only),
		cmocka_unit_test(an_interface_takes_its_rules_along),
		cmocka_unit_test(a_sweep_takes_what_an_earlier_helper_left_and_nothing_else),
		cmocka_unit_test(an_existing_interface_is_not_taken_over),
		cmocka_unit_test(addresses_outside_the_ranges_are_refused),
		cmocka_unit_test(an_interface_without_ipv4_takes_none),
		cmocka_unit_test(only_private_ipv4_prefixes_are_taken),
		cmocka_unit_test(numbers_at_their_limits_are_taken_and_past_them_refused),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
