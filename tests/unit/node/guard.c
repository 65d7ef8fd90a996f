#include "fixture/test.h"

#include "core/filter.h"
#include "core/netmap.h"
#include "node/guard.h"
#include "node/privops.h"
#include "os/netlink.h"
#include "wire/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A filter in a real kernel: a root helper in a network namespace of its own makes the table, and
 * packets come through a plain TUN that stands for a backend's interface. Without the right to make
 * a namespace, or on a kernel without nftables, these are skipped.
 *
 * Node 0 is ourselves: 10.99.0.1, fd99::1; node n has 10.99.0.(n + 1) and fd99::(n + 1). */

enum { TABLE_BASE = 41000, WAIT_MS = 20000, PORT = 5000, MANY = 10000 };
enum { OURS, ALICE, BOB, MALLORY, NODES };

static struct priv *priv;
static struct netmap_node nodes[NODES];
static const struct netmap_node *const alice_and_bob[] = {&nodes[ALICE], &nodes[BOB]};
static int tun = -1;
static uint32_t link_index;
static uint16_t next_port = 40000; /* each flow has its own */

static void make_node(struct netmap_node *node, unsigned n)
{
	*node = (struct netmap_node){
		.key = {.bytes = {2, (uint8_t)(n >> 8), (uint8_t)n}},
		.ipv4 = {ADDR_V4, {10, 99, (uint8_t)((n + 1) >> 8), (uint8_t)(n + 1)}},
		.ipv6 = {ADDR_V6, {0xfd, 0x99}}};
	node->ipv6.bytes[14] = (uint8_t)((n + 1) >> 8);
	node->ipv6.bytes[15] = (uint8_t)(n + 1);
}

static int start(void **state)
{
	static const struct priv_config config = {
		.prefix = "dflt", .table_base = TABLE_BASE, .filter = true, .sandbox = true};
	char error[TUN_ERROR_MAX];

	for (unsigned n = 0; n < NODES; n++)
		make_node(&nodes[n], n);
	if (unshare(CLONE_NEWNET) < 0 || tun_check(error) < 0)
		return 0;
	return priv_start(&config, &priv);
}

static int stop(void **state)
{
	priv_stop(priv);
	return 0;
}

static int bound(uint16_t port)
{
	const struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int s = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(s, (const struct sockaddr *)&any, sizeof(any)), 0);
	return s;
}

/* What the machine sends now: 0, or the errno that its sender gets. */
static int send_to(int s, const struct address *dst, uint16_t port)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (dst->family == ADDR_V4) {
		to.sin6_addr.s6_addr[10] = to.sin6_addr.s6_addr[11] = 0xff;
		memcpy(to.sin6_addr.s6_addr + 12, dst->bytes, 4);
	} else
		memcpy(to.sin6_addr.s6_addr, dst->bytes, 16);
	return sendto(s, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) == 1 ? 0 : errno;
}

/* The kernel makes the route to an IPv6 address of its own a moment after the address. */
static void wait_for_address(void)
{
	int s = bound(PORT - 1);
	char byte;

	for (int i = 0; recv(s, &byte, 1, MSG_DONTWAIT) != 1; i++) {
		assert_true(i < WAIT_MS);
		(void)send_to(s, &nodes[OURS].ipv6, PORT - 1);
		poll(NULL, 0, 1);
	}
	close(s);
}

static void raise_loopback(void)
{
	struct netlink *nl;

	assert_int_equal(netlink_open(&nl), 0);
	assert_int_equal(netlink_link_set_up(nl, 1, true), 0);
	netlink_free(nl);
}

/* The interface with addresses, routes and the filter; skips where this cannot be. */
static void open_link(const struct filter *filter)
{
	const struct prefix ipv4 = {{ADDR_V4, {10, 99}}, 16}, ipv6 = {{ADDR_V6, {0xfd, 0x99}}, 64};
	const struct address none = {0};
	int r;

	if (!priv)
		skip();
	raise_loopback();
	assert_int_equal(priv_tun_open_plain(priv, "dflt0", &ipv4, &tun, &link_index), 0);
	r = priv_filter_set(priv, link_index, NULL, filter);
	if (r == -EPROTONOSUPPORT || r == -EOPNOTSUPP) {
		close(tun);
		priv_tun_close(priv, link_index);
		skip();
	}
	if (r < 0)
		print_message("# %s\n", priv_error(priv));
	assert_int_equal(r, 0);
	assert_int_equal(priv_link_up(priv, link_index), 0);
	assert_int_equal(priv_address_add(priv, link_index, &nodes[OURS].ipv4, 32), 0);
	assert_int_equal(priv_address_add(priv, link_index, &nodes[OURS].ipv6, 128), 0);
	assert_int_equal(priv_route_add(priv, link_index, NETLINK_TABLE_MAIN, &ipv4, 512, &none),
			 0);
	assert_int_equal(priv_route_add(priv, link_index, NETLINK_TABLE_MAIN, &ipv6, 512, &none),
			 0);
	wait_for_address();
}

static void close_link(void)
{
	close(tun);
	assert_int_equal(priv_tun_close(priv, link_index), 0);
}

static struct filter *filter_of(const struct acl_rule *rules, size_t count)
{
	struct filter *f;

	assert_int_equal(filter_new(rules, count, &nodes[OURS], alice_and_bob, 2, true, &f), 0);
	return f;
}

static struct acl_subject node(unsigned n)
{
	return (struct acl_subject){.kind = ACL_NODE, .node = nodes[n].key};
}

/* ---- Packets ---- */

static uint64_t counter(enum filter_counter which)
{
	uint64_t packets[FILTER_COUNTER_COUNT];

	assert_int_equal(priv_filter_get(priv, link_index, packets), 0);
	return packets[which];
}

static void assert_counts(enum filter_counter which, uint64_t wanted)
{

	for (int i = 0; i < WAIT_MS && counter(which) < wanted; i++)
		poll(NULL, 0, 1);
	if ((int)which >= (int)FILTER_COUNTERS_OF_DIRECTION)
		assert_true(counter(which) >= wanted); /* the kernel sends of its own too */
	else
		assert_int_equal(counter(which), wanted);
}

static uint16_t checksum(uint32_t sum, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *at, unsigned n)
{
	at[0] = (uint8_t)(n >> 8);
	at[1] = (uint8_t)n;
}

static size_t header4(uint8_t *p, const struct address *src, const struct address *dst,
		      uint8_t protocol, size_t payload, unsigned fragment)
{
	static const uint8_t start_of_it[] = {0x45, 0};

	memset(p, 0, 20);
	memcpy(p, start_of_it, sizeof(start_of_it));
	put16(p + 2, (unsigned)(20 + payload));
	put16(p + 4, 77);
	put16(p + 6, fragment);
	p[8] = 64;
	p[9] = protocol;
	memcpy(p + 12, src->bytes, 4);
	memcpy(p + 16, dst->bytes, 4);
	put16(p + 10, checksum(0, p, 20));
	return 20;
}

static size_t header6(uint8_t *p, const struct address *src, const struct address *dst,
		      uint8_t protocol, size_t payload)
{
	memset(p, 0, 40);
	p[0] = 0x60;
	put16(p + 4, (unsigned)payload);
	p[6] = protocol;
	p[7] = 64;
	memcpy(p + 8, src->bytes, 16);
	memcpy(p + 24, dst->bytes, 16);
	return 40;
}

/* Behind the struct tun_pi that a plain TUN has. */
static void write_packet(const uint8_t *p, size_t len)
{
	uint8_t bytes[256] = {0};

	put16(bytes + 2, p[0] >> 4 == 4 ? 0x0800 : 0x86dd);
	memcpy(bytes + 4, p, len);
	assert_int_equal(write(tun, bytes, 4 + len), (ssize_t)(4 + len));
}

/* One UDP datagram with a byte, into the machine. */
static void come(const struct address *src, const struct address *dst, uint16_t src_port,
		 uint16_t dst_port)
{
	uint8_t p[128], *udp;
	size_t header = src->family == ADDR_V4 ? header4(p, src, dst, IP_PROTO_UDP, 9, 0)
					       : header6(p, src, dst, IP_PROTO_UDP, 9);

	udp = p + header;
	memset(udp, 0, 9);
	put16(udp, src_port);
	put16(udp + 2, dst_port);
	put16(udp + 4, 9);
	udp[8] = 'x';
	if (src->family == ADDR_V6)
		put16(udp + 6,
		      checksum(IP_PROTO_UDP + 9 + (uint32_t)(uint16_t)~checksum(0, p + 8, 32), udp,
			       9));
	write_packet(p, header + 9);
}

static void assert_arrives(int s, struct sockaddr_in6 *ret_from)
{
	struct pollfd ready = {.fd = s, .events = POLLIN};
	socklen_t len = sizeof(*ret_from);
	char byte;

	assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
	assert_int_equal(recvfrom(s, &byte, 1, 0, (struct sockaddr *)ret_from, &len), 1);
}

static void assert_leaves(const struct address *dst)
{
	struct pollfd ready = {.fd = tun, .events = POLLIN};
	uint8_t bytes[1504];
	const uint8_t *p = bytes + 4;

	for (;;) {
		assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
		assert_true(read(tun, bytes, sizeof(bytes)) > 24);
		if (dst->family == ADDR_V4 && p[0] >> 4 == 4 && memcmp(p + 16, dst->bytes, 4) == 0)
			return;
		if (dst->family == ADDR_V6 && p[0] >> 4 == 6 && memcmp(p + 24, dst->bytes, 16) == 0)
			return;
	}
}

/* ---- Tests ---- */

static void only_members_come_in_and_only_to_us(void **state)
{
	struct address spoofed6 = nodes[MALLORY].ipv6;
	struct sockaddr_in6 from;
	struct filter *f = filter_of(NULL, 0);
	int s;

	open_link(f);
	s = bound(PORT);
	come(&nodes[ALICE].ipv4, &nodes[OURS].ipv4, next_port++, PORT);
	assert_arrives(s, &from);
	come(&nodes[BOB].ipv6, &nodes[OURS].ipv6, next_port++, PORT);
	assert_arrives(s, &from);
	come(&nodes[MALLORY].ipv4, &nodes[OURS].ipv4, next_port++, PORT);
	assert_counts(FILTER_in_source_not_peers, 1);
	come(&spoofed6, &nodes[OURS].ipv6, next_port++, PORT);
	assert_counts(FILTER_in_source_not_peers, 2);
	come(&nodes[OURS].ipv4, &nodes[OURS].ipv4, next_port++, PORT); /* our own, from outside */
	assert_counts(FILTER_in_source_not_peers, 3);
	come(&nodes[ALICE].ipv4, &nodes[BOB].ipv4, next_port++, PORT);
	assert_counts(FILTER_in_not_for_us, 1);
	come(&nodes[ALICE].ipv6, &nodes[BOB].ipv6, next_port++, PORT);
	assert_counts(FILTER_in_not_for_us, 2);
	assert_int_equal(recv(s, &from, 1, MSG_DONTWAIT), -1);
	close(s);
	close_link();
	filter_free(f);
}

static void only_to_members_and_only_from_us_goes_out(void **state)
{
	struct sockaddr_in6 strange = {.sin6_family = AF_INET6};
	const struct address other = {ADDR_V6, {0xfd, 0x98, [15] = 1}};
	struct filter *f = filter_of(NULL, 0);
	struct netlink *nl;
	int s;

	open_link(f);
	s = bound(PORT);
	assert_int_equal(send_to(s, &nodes[ALICE].ipv4, 9), 0);
	assert_leaves(&nodes[ALICE].ipv4);
	assert_int_equal(send_to(s, &nodes[BOB].ipv6, 9), 0);
	assert_leaves(&nodes[BOB].ipv6);
	assert_int_equal(send_to(s, &nodes[MALLORY].ipv4, 9), EPERM);
	assert_int_equal(send_to(s, &nodes[MALLORY].ipv6, 9), EPERM);
	assert_counts(FILTER_out_no_peer, 2);
	close(s);
	/* From another address of this machine. */
	assert_int_equal(netlink_open(&nl), 0);
	assert_int_equal(
		netlink_address_add(
			nl, &(struct netlink_address){.index = 1, .address = other, .bits = 128}),
		0);
	s = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(&strange.sin6_addr, other.bytes, 16);
	assert_int_equal(bind(s, (struct sockaddr *)&strange, sizeof(strange)), 0);
	assert_int_equal(send_to(s, &nodes[ALICE].ipv6, 9), EPERM);
	assert_counts(FILTER_out_source_not_ours, 1);
	netlink_free(nl);
	close(s);
	close_link();
	filter_free(f);
}

static void a_rule_is_one_way_to_its_ports_and_replies_pass(void **state)
{
	struct acl_rule rule = {node(ALICE), node(OURS), IP_PROTO_UDP,
				PORT,	     PORT + 1,	 "a \"rule\""};
	struct filter *f = filter_of(&rule, 1);
	struct sockaddr_in6 from;
	int low, high;

	open_link(f);
	low = bound(PORT);
	high = bound(PORT + 1);
	come(&nodes[ALICE].ipv4, &nodes[OURS].ipv4, next_port++, PORT);
	assert_arrives(low, &from);
	come(&nodes[ALICE].ipv6, &nodes[OURS].ipv6, next_port++, PORT + 1);
	assert_arrives(high, &from);
	assert_int_equal(send_to(high, &nodes[ALICE].ipv6, ntohs(from.sin6_port)), 0);
	assert_leaves(&nodes[ALICE].ipv6);
	/* One below, one above, and another node. */
	come(&nodes[ALICE].ipv4, &nodes[OURS].ipv4, next_port++, PORT - 1);
	come(&nodes[ALICE].ipv6, &nodes[OURS].ipv6, next_port++, PORT + 2);
	come(&nodes[BOB].ipv4, &nodes[OURS].ipv4, next_port++, PORT);
	assert_counts(FILTER_in_policy, 3);
	/* A flow that begins here is none of a reply. */
	assert_int_equal(send_to(low, &nodes[ALICE].ipv4, 9), EPERM);
	assert_int_equal(send_to(low, &nodes[BOB].ipv6, 9), EPERM);
	assert_counts(FILTER_out_policy, 2);
	close(low);
	close(high);
	close_link();
	filter_free(f);
}

static void a_rule_for_what_we_begin_lets_replies_in(void **state)
{
	struct acl_rule rule = {
		.src = node(OURS), .protocol = IP_PROTO_UDP, .port_low = 53, .port_high = 53};
	struct sockaddr_in6 from;
	struct filter *f;
	int s;

	rule.dst =
		(struct acl_subject){.kind = ACL_PREFIX, .prefix = {{ADDR_V4, {10, 99, 0, 2}}, 31}};
	f = filter_of(&rule, 1);
	open_link(f);
	s = bound(PORT);
	assert_int_equal(send_to(s, &nodes[ALICE].ipv4, 53), 0); /* 10.99.0.2 */
	assert_leaves(&nodes[ALICE].ipv4);
	come(&nodes[ALICE].ipv4, &nodes[OURS].ipv4, 53, PORT);
	assert_arrives(s, &from);
	come(&nodes[ALICE].ipv4, &nodes[OURS].ipv4, 54, PORT);
	assert_counts(FILTER_in_policy, 1);
	assert_int_equal(send_to(s, &nodes[ALICE].ipv6, 53), EPERM);
	assert_int_equal(send_to(s, &nodes[ALICE].ipv4, 54), EPERM);
	assert_counts(FILTER_out_policy, 2);
	close(s);
	close_link();
	filter_free(f);
}

static void another_policy_cuts_flows_and_keeps_counts(void **state)
{
	struct acl_rule rule = {node(ALICE), node(OURS), IP_PROTO_UDP, PORT, PORT, ""};
	struct acl_rule other = {node(BOB), node(OURS), IP_PROTO_UDP, PORT, PORT, ""};
	struct filter *f = filter_of(&rule, 1), *g = filter_of(&other, 1);
	struct sockaddr_in6 from;
	uint16_t port = next_port++;
	int s;

	open_link(f);
	s = bound(PORT);
	come(&nodes[BOB].ipv4, &nodes[OURS].ipv4, next_port++, PORT);
	assert_counts(FILTER_in_policy, 1);
	come(&nodes[ALICE].ipv4, &nodes[OURS].ipv4, port, PORT);
	assert_arrives(s, &from);
	assert_int_equal(send_to(s, &nodes[ALICE].ipv4, port), 0);
	assert_int_equal(priv_filter_set(priv, link_index, f, g), 0);
	come(&nodes[ALICE].ipv4, &nodes[OURS].ipv4, port, PORT);
	assert_counts(FILTER_in_policy, 2);
	assert_int_equal(send_to(s, &nodes[ALICE].ipv4, port), EPERM);
	come(&nodes[BOB].ipv4, &nodes[OURS].ipv4, port, PORT);
	assert_arrives(s, &from);
	close(s);
	close_link();
	filter_free(f);
	filter_free(g);
}

static void who_is_removed_is_refused_at_once_and_others_go_on(void **state)
{
	struct filter *f = filter_of(NULL, 0), *g;
	struct sockaddr_in6 from;
	uint16_t port = next_port++;
	int s;

	assert_int_equal(filter_new(NULL, 0, &nodes[OURS], alice_and_bob + 1, 1, true, &g), 0);
	open_link(f);
	s = bound(PORT);
	come(&nodes[ALICE].ipv4, &nodes[OURS].ipv4, port, PORT);
	assert_arrives(s, &from);
	assert_int_equal(send_to(s, &nodes[ALICE].ipv4, port), 0);
	assert_int_equal(priv_filter_set(priv, link_index, f, g), 0);
	come(&nodes[ALICE].ipv4, &nodes[OURS].ipv4, port, PORT);
	assert_counts(FILTER_in_source_not_peers, 1);
	assert_int_equal(send_to(s, &nodes[ALICE].ipv4, port), EPERM);
	assert_counts(FILTER_out_no_peer, 1);
	come(&nodes[BOB].ipv4, &nodes[OURS].ipv4, port, PORT);
	assert_arrives(s, &from);
	close(s);
	close_link();
	filter_free(f);
	filter_free(g);
}

/* An error that quotes a packet of ours, and one that quotes nothing that was sent. */
static void icmp_errors_pass_only_about_our_packets(void **state)
{
	uint8_t p[128], *icmp = p + 20;
	struct filter *f = filter_of(NULL, 0);
	struct pollfd refused;
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	int s, error = 0;
	socklen_t len = sizeof(error);

	open_link(f);
	s = bound(PORT);
	to.sin6_addr.s6_addr[10] = to.sin6_addr.s6_addr[11] = 0xff;
	memcpy(to.sin6_addr.s6_addr + 12, nodes[ALICE].ipv4.bytes, 4);
	assert_int_equal(connect(s, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(s, "x", 1, 0), 1);
	assert_leaves(&nodes[ALICE].ipv4);
	for (uint16_t port = PORT + 7; port >= PORT; port = (uint16_t)(port - 7)) {
		memset(p, 0, sizeof(p));
		header4(p, &nodes[ALICE].ipv4, &nodes[OURS].ipv4, IP_PROTO_ICMP, 8 + 28, 0);
		icmp[0] = 3;
		icmp[1] = 3;
		header4(icmp + 8, &nodes[OURS].ipv4, &nodes[ALICE].ipv4, IP_PROTO_UDP, 9, 0);
		put16(icmp + 28, port);
		put16(icmp + 30, 9);
		put16(icmp + 32, 9);
		put16(icmp + 2, checksum(0, icmp, 36));
		write_packet(p, 56);
		assert_counts(FILTER_in_icmp_foreign, 1);
	}
	refused = (struct pollfd){.fd = s, .events = POLLIN};
	assert_int_equal(poll(&refused, 1, WAIT_MS), 1);
	assert_int_equal(getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	assert_int_equal(error, ECONNREFUSED);
	/* A redirect, also about our own. */
	icmp[0] = 5;
	icmp[2] = icmp[3] = 0;
	put16(icmp + 2, checksum(0, icmp, 36));
	write_packet(p, 56);
	assert_counts(FILTER_in_icmp_foreign, 2);
	close(s);
	close_link();
	filter_free(f);
}

/* Both halves of a datagram are judged as the datagram that they are; the second half alone never
 * comes through. */
static void a_fragmented_datagram_is_judged_as_a_whole(void **state)
{
	struct acl_rule rule = {node(ALICE), node(OURS), IP_PROTO_UDP, PORT, PORT, ""};
	struct filter *f = filter_of(&rule, 1);
	const uint16_t ports[] = {PORT + 1, PORT};
	struct sockaddr_in6 from;
	uint8_t p[128];
	int s, other;

	open_link(f);
	s = bound(PORT);
	other = bound(PORT + 1);
	for (unsigned i = 0; i < 2; i++) {
		memset(p, 'x', sizeof(p));
		header4(p, &nodes[ALICE].ipv4, &nodes[OURS].ipv4, IP_PROTO_UDP, 16, 0x2000);
		put16(p + 20, next_port++);
		put16(p + 22, ports[i]);
		put16(p + 24, 24);
		put16(p + 26, 0);
		write_packet(p, 36);
		header4(p, &nodes[ALICE].ipv4, &nodes[OURS].ipv4, IP_PROTO_UDP, 8, 2);
		write_packet(p, 28);
		assert_counts(FILTER_in_policy, 1);
	}
	assert_arrives(s, &from);
	assert_int_equal(recv(other, p, 1, MSG_DONTWAIT), -1);
	close(s);
	close(other);
	close_link();
	filter_free(f);
}

static void without_members_nothing_passes(void **state)
{
	const struct filter nobody = {0};
	int s;

	open_link(&nobody);
	s = bound(PORT);
	come(&nodes[ALICE].ipv4, &nodes[OURS].ipv4, next_port++, PORT);
	come(&nodes[ALICE].ipv6, &nodes[OURS].ipv6, next_port++, PORT);
	assert_counts(FILTER_in_source_not_peers, 2);
	assert_int_equal(send_to(s, &nodes[ALICE].ipv4, 9), EPERM);
	close(s);
	close_link();
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void ten_thousand_members_are_one_look_up_and_one_more_is_one_element(void **state)
{
	struct netmap_node *many = calloc(MANY, sizeof(*many));
	const struct netmap_node **pointers = calloc(MANY, sizeof(const struct netmap_node *));
	struct sockaddr_in6 from;
	struct filter *all, *fewer;
	double t0, t1, t2;
	int s;

	assert_non_null(many);
	assert_non_null(pointers);
	for (unsigned n = 0; n < MANY; n++) {
		make_node(&many[n], n + 1);
		pointers[n] = &many[n];
	}
	assert_int_equal(filter_new(NULL, 0, &nodes[OURS], pointers, MANY, true, &all), 0);
	assert_int_equal(filter_new(NULL, 0, &nodes[OURS], pointers, MANY - 1, true, &fewer), 0);
	t0 = seconds();
	open_link(all);
	t1 = seconds();
	s = bound(PORT);
	come(&many[MANY - 1].ipv4, &nodes[OURS].ipv4, next_port++, PORT);
	assert_arrives(s, &from);
	t1 = seconds();
	assert_int_equal(priv_filter_set(priv, link_index, all, fewer), 0);
	t2 = seconds();
	come(&many[MANY - 1].ipv4, &nodes[OURS].ipv4, next_port++, PORT);
	assert_counts(FILTER_in_source_not_peers, 1);
	come(&many[MANY - 2].ipv6, &nodes[OURS].ipv6, next_port++, PORT);
	assert_arrives(s, &from);
	print_message("# %d members: %.1f ms, one of them removed: %.2f ms\n", MANY,
		      (t1 - t0) * 1e3, (t2 - t1) * 1e3);
	close(s);
	close_link();
	filter_free(all);
	filter_free(fewer);
	free(pointers);
	free(many);
}

static void what_does_not_fit_is_refused_by_the_helper(void **state)
{
	struct filter_service service = {.direction = FILTER_IN,
					 .family = ADDR_V4,
					 .protocol = IP_PROTO_TCP,
					 .port_low = 1,
					 .port_high = 1};
	struct filter_element element = {.address = {ADDR_V4, {10, 99, 0, 9}}};
	struct filter wrong = {.services = &service, .elements = &element};
	struct filter *f = filter_of(NULL, 0);
	struct sockaddr_in6 from;
	int s;

	open_link(f);
	wrong.element_count = 1;
	element.address = (struct address){ADDR_V4, {11, 0, 0, 1}}; /* no private range */
	assert_int_equal(priv_filter_set(priv, link_index, NULL, &wrong), -EPERM);
	element.address = (struct address){ADDR_V6, {0xfc}};
	assert_int_equal(priv_filter_set(priv, link_index, NULL, &wrong), -EPERM);
	element.address = (struct address){ADDR_V6, {0xfd}};
	element.set = FILTER_SET_SERVICES; /* there is none */
	assert_int_equal(priv_filter_set(priv, link_index, NULL, &wrong), -EPERM);
	element.set = FILTER_SETS_MAX;
	assert_int_equal(priv_filter_set(priv, link_index, NULL, &wrong), -EPERM);
	wrong.element_count = 0;
	wrong.service_count = 1;
	assert_int_equal(priv_filter_set(priv, link_index, NULL, &wrong), 0);
	assert_int_equal(priv_filter_set(priv, link_index, NULL, f), 0);
	service.direction = FILTER_OUT + 1;
	assert_int_equal(priv_filter_set(priv, link_index, NULL, &wrong), -EPERM);
	service.direction = FILTER_OUT;
	service.protocol = IP_PROTO_ICMP; /* with ports */
	assert_int_equal(priv_filter_set(priv, link_index, NULL, &wrong), -EPERM);
	service.protocol = IP_PROTO_UDP;
	service.peer = (struct prefix){{ADDR_V6, {0xfd}}, 8};
	assert_int_equal(priv_filter_set(priv, link_index, NULL, &wrong), -EPERM);
	service.peer = (struct prefix){{ADDR_V4, {10, 1}}, 8};
	assert_int_equal(priv_filter_set(priv, link_index, NULL, &wrong), -EPERM);
	service.peer = (struct prefix){{ADDR_V4, {10}}, 33};
	assert_int_equal(priv_filter_set(priv, link_index, NULL, &wrong), -EPERM);
	assert_memory_equal(priv_error(priv), "refused: ", 9);
	assert_int_equal(priv_filter_set(priv, link_index + 100, NULL, f), -EPERM);
	/* The one that was in force is so still. */
	s = bound(PORT);
	come(&nodes[ALICE].ipv4, &nodes[OURS].ipv4, next_port++, PORT);
	assert_arrives(s, &from);
	close(s);
	close_link();
	filter_free(f);
}

static void a_guard_puts_back_what_went(void **state)
{
	struct guard *g;
	uint64_t packets[FILTER_COUNTER_COUNT];
	struct filter *f = filter_of(NULL, 0);

	open_link(f);
	filter_free(f);
	assert_int_equal(priv_filter_clear(priv, link_index), 0);
	assert_int_equal(priv_filter_get(priv, link_index, packets), -ENOENT);
	g = guard_new(priv, "dflt0");
	guard_set_index(g, link_index);
	guard_set_wanted(g, filter_of(NULL, 0));
	assert_false(guard_is_good(g));
	guard_pass(g, 0);
	assert_true(guard_is_good(g));
	assert_true(guard_counters(g, packets));
	assert_int_equal(priv_filter_clear(priv, link_index), 0);
	assert_false(guard_counters(g, packets));
	guard_pass(g, 0);
	assert_true(guard_counters(g, packets));
	guard_set_wanted(g, NULL);
	guard_pass(g, 0);
	assert_int_equal(priv_filter_get(priv, link_index, packets), -ENOENT);
	guard_free(g);
	close_link();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_members_come_in_and_only_to_us),
		cmocka_unit_test(only_to_members_and_only_from_us_goes_out),
		cmocka_unit_test(a_rule_is_one_way_to_its_ports_and_replies_pass),
		cmocka_unit_test(a_rule_for_what_we_begin_lets_replies_in),
		cmocka_unit_test(another_policy_cuts_flows_and_keeps_counts),
		cmocka_unit_test(who_is_removed_is_refused_at_once_and_others_go_on),
		cmocka_unit_test(icmp_errors_pass_only_about_our_packets),
		cmocka_unit_test(a_fragmented_datagram_is_judged_as_a_whole),
		cmocka_unit_test(without_members_nothing_passes),
		cmocka_unit_test(ten_thousand_members_are_one_look_up_and_one_more_is_one_element),
		cmocka_unit_test(what_does_not_fit_is_refused_by_the_helper),
		cmocka_unit_test(a_guard_puts_back_what_went),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
