#include "fuzz/fuzz.h"

#include "core/filter.h"
#include "node/nft.h"
#include "node/privops.h"
#include "node/tun.h"
#include "os/netlink.h"
#include "os/proc.h"
#include "os/rawudp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the root helper asks of the kernel when any bytes come from the engine's side: only what
 * node/privops.h allows. The kernel and the engine are played here; of the machine nothing is
 * touched. The input: messages, each a byte of length before it. */

enum { DEVICES = 80, DEVICE_FIRST = 100, DEVICE_FD = 1 << 30, TABLE_BASE = 5000 };

static struct device {
	bool made;
	bool has_ipv4;
	struct prefix ipv4;
	char name[IF_NAMESIZE];
	const char *kind;
} devices[DEVICES];
static uint32_t device_count;
static struct prefix asked; /* by the request that runs */
static const char *asked_kind;
static const uint8_t *input;
static size_t input_left;
static bool answered;

static struct device *device(uint32_t index)
{
	FUZZ_CHECK(index >= DEVICE_FIRST && index < DEVICE_FIRST + device_count &&
		   devices[index - DEVICE_FIRST].made);
	return &devices[index - DEVICE_FIRST];
}

static void check_range(uint32_t index, const struct address *address, uint8_t bits)
{
	const struct device *d = device(index);

	FUZZ_CHECK(address->family == ADDR_V4 || address->family == ADDR_V6);
	FUZZ_CHECK(bits <= address_bits(address));
	if (address->family == ADDR_V6)
		FUZZ_CHECK(address->bytes[0] == 0xfd && bits >= 16);
	else
		FUZZ_CHECK(d->has_ipv4 && bits >= d->ipv4.bits &&
			   prefix_contains(&d->ipv4, address));
}

static void check_name(const char *name)
{
	FUZZ_CHECK(!strncmp(name, "fuzz", 4) && strlen(name) > 4 && strlen(name) <= 8);
	FUZZ_CHECK(strspn(name + 4, "0123456789") == strlen(name + 4));
}

static int fake_tun_open(const char *name, enum tun_offload *offload, char *error)
{
	check_name(name);
	FUZZ_CHECK(*offload <= TUN_OFFLOAD_USO);
	if (device_count == DEVICES) {
		snprintf(error, TUN_ERROR_MAX, "no more devices");
		return -ENOSPC;
	}
	return DEVICE_FD;
}

static int fake_tun_open_plain(const char *name, char *error)
{
	enum tun_offload offload = TUN_OFFLOAD_NONE;

	return fake_tun_open(name, &offload, error);
}

static int fake_link_add(struct netlink *nl, const char *name, const char *kind, const char *alias)
{
	check_name(name);
	FUZZ_CHECK(!strcmp(kind, "wireguard") && !strcmp(alias, "dnetd"));
	return device_count == DEVICES ? -ENOSPC : 0;
}

static int fake_wglink_set(struct wglink *wl, uint32_t index, const uint8_t *private_key,
			   uint16_t port, const struct wglink_peer *peers, size_t count)
{
	FUZZ_CHECK(port == 0 || port >= 1024);
	FUZZ_CHECK(!strcmp(device(index)->kind, "wireguard"));
	for (size_t i = 0; i < count; i++) {
		FUZZ_CHECK(peers[i].allowed_count <= WGLINK_ALLOWED_MAX);
		for (size_t k = 0; k < peers[i].allowed_count; k++)
			check_range(index, &peers[i].allowed[k].addr, peers[i].allowed[k].bits);
	}
	return 0;
}

static int fake_wglink_get(struct wglink *wl, uint32_t index, struct wglink_device *ret_device,
			   wglink_visit_peer *visit, void *ctx)
{
	const struct wglink_peer peer = {.key = {1}};

	FUZZ_CHECK(!strcmp(device(index)->kind, "wireguard"));
	for (int i = 0; i < 100; i++)
		visit(ctx, &peer);
	*ret_device = (struct wglink_device){.index = index, .port = 51820};
	return 0;
}

static int fake_rawudp_open(uint8_t family, uint16_t port, int *ret_fd)
{
	FUZZ_CHECK(port >= 1024 && (family == ADDR_V4 || family == ADDR_V6));
	*ret_fd = DEVICE_FD;
	return 0;
}

static int fake_link_find(struct netlink *nl, const char *name, struct netlink_link *ret_link)
{
	FUZZ_CHECK(asked.addr.family == ADDR_NONE ||
		   (asked.addr.family == ADDR_V4 && asked.bits >= 8 && asked.bits <= 32));
	devices[device_count] = (struct device){true, asked.addr.family == ADDR_V4, asked};
	snprintf(devices[device_count].name, IF_NAMESIZE, "%s", name);
	devices[device_count].kind = asked_kind;
	*ret_link = (struct netlink_link){.index = DEVICE_FIRST + device_count++};
	snprintf(ret_link->kind, sizeof(ret_link->kind), "%s", asked_kind);
	return 0;
}

static int fake_link_get(struct netlink *nl, uint32_t index, struct netlink_link *ret_link)
{
	*ret_link = (struct netlink_link){.index = index};
	snprintf(ret_link->kind, sizeof(ret_link->kind), "%s", device(index)->kind);
	memcpy(ret_link->name, device(index)->name, IF_NAMESIZE);
	return 0;
}

static int fake_link_delete(struct netlink *nl, uint32_t index)
{
	device(index)->made = false;
	return 0;
}

static int fake_link_set_flags(struct netlink *nl, uint32_t index, uint32_t flags, uint32_t mask)
{
	device(index);
	FUZZ_CHECK(flags == PRIV_LINK_FLAGS && mask == PRIV_LINK_FLAGS_MASK);
	return 0;
}

static int fake_link_set_carrier(struct netlink *nl, uint32_t index, bool carrier)
{
	device(index);
	return carrier ? 0 : -EPERM;
}

static int fake_link_set_up(struct netlink *nl, uint32_t index, bool up)
{
	device(index);
	return up ? 0 : -EPERM;
}

static int fake_link_set_name(struct netlink *nl, uint32_t index, const char *name)
{
	device(index);
	check_name(name);
	return -EBUSY;
}

static int fake_link_set_mtu(struct netlink *nl, uint32_t index, uint32_t mtu)
{
	device(index);
	FUZZ_CHECK(mtu >= 1280 && mtu <= 65535);
	return 0;
}

static int fake_link_set_txqlen(struct netlink *nl, uint32_t index, uint32_t txqlen)
{
	device(index);
	FUZZ_CHECK(txqlen >= 1 && txqlen <= 10000);
	return 0;
}

static int fake_link_set_gso_max(struct netlink *nl, uint32_t index, uint32_t bytes)
{
	device(index);
	FUZZ_CHECK(bytes > 0 && bytes <= 65536);
	return 0;
}

static int fake_address_add(struct netlink *nl, const struct netlink_address *address)
{
	check_range(address->index, &address->address, address->bits);
	return 0;
}

/* Others put addresses on an interface: any may be taken away from it. */
static int fake_address_delete(struct netlink *nl, const struct netlink_address *address)
{
	device(address->index);
	return 0;
}

static int fake_route(struct netlink *nl, const struct netlink_route *route)
{
	check_range(route->index, &route->destination.addr, route->destination.bits);
	FUZZ_CHECK(route->gateway.family == ADDR_NONE && !route->unreachable);
	FUZZ_CHECK(!route->table || route->table == NETLINK_TABLE_MAIN ||
		   (route->table >= TABLE_BASE && route->table <= TABLE_BASE + 9999));
	return 0;
}

/* A table of ours; a rule that is added is for one address. */
static void check_table(const struct netlink_rule *rule)
{
	FUZZ_CHECK(rule->table >= TABLE_BASE && rule->table <= TABLE_BASE + 9999);
}

static int fake_rule_add(struct netlink *nl, const struct netlink_rule *rule)
{
	check_table(rule);
	FUZZ_CHECK(rule->from.bits == address_bits(&rule->from.addr) && rule->from.bits);
	FUZZ_CHECK(rule->family == rule->from.addr.family && rule->to.addr.family == ADDR_NONE);
	FUZZ_CHECK(!rule->invert && !rule->mask && rule->priority <= PRIV_RULE_PRIORITY &&
		   rule->priority > PRIV_RULE_PRIORITY - PRIV_RULE_RANKS);
	return 0;
}

static int fake_rule_delete(struct netlink *nl, const struct netlink_rule *rule)
{
	check_table(rule);
	FUZZ_CHECK(rule->family == ADDR_V4 || rule->family == ADDR_V6);
	return 0;
}

/* One rule to a table of ours, one to another. */
static int fake_rule_list(struct netlink *nl, uint8_t protocol, netlink_rule_cb cb, void *arg)
{
	const struct netlink_rule ours = {.family = ADDR_V4, .table = TABLE_BASE + 1};
	const struct netlink_rule other = {.family = ADDR_V4, .table = TABLE_BASE - 1};

	FUZZ_CHECK(protocol == DNET_RTPROT);
	cb(arg, &ours);
	cb(arg, &other);
	return 0;
}

static int fake_route_list(struct netlink *nl, uint32_t table, uint8_t protocol,
			   netlink_route_cb cb, void *arg)
{
	return 0;
}

static const char *fake_error_text(const struct netlink *nl)
{
	return "the kernel refuses";
}

static int fake_open(const char *path, int flags)
{
	FUZZ_CHECK(!strncmp(path, "/proc/sys/net/ipv6/conf/fuzz", 28) && !strchr(path, '.'));
	return -1;
}

static int fake_close(int fd)
{
	FUZZ_CHECK(fd == DEVICE_FD);
	return 0;
}

static ssize_t fake_receive(int fd, void *data, size_t size, int *fds, size_t fds_size,
			    size_t *ret_fds_count);

static int fake_send(int fd, const void *data, size_t len, const int *fds, size_t fds_count)
{
	FUZZ_CHECK(!answered && (fds_count == 0 || *fds == DEVICE_FD));
	answered = true;
	return 0;
}

/* A filter is of an interface that was made, and of addresses that overlays have. */
static int fake_nft_open(struct nft **ret_nft)
{
	*ret_nft = (struct nft *)devices; /* not looked into */
	return 0;
}

static void fake_nft_free(struct nft *nft)
{
	FUZZ_CHECK(nft);
}

static void check_elements(const struct filter_element *elements, size_t count)
{
	static const struct prefix private = {{ADDR_V4, {10}}, 8};

	FUZZ_CHECK(count <= FILTER_ELEMENTS_MAX);
	for (size_t i = 0; i < count; i++) {
		const struct address *a = &elements[i].address;

		FUZZ_CHECK(elements[i].set < FILTER_SETS_MAX && elements[i].removed <= 1);
		if (a->family == ADDR_V6)
			FUZZ_CHECK(a->bytes[0] == 0xfd);
		else
			FUZZ_CHECK(a->family == ADDR_V4 &&
				   (prefix_contains(&private, a) ||
				    priv_ipv4_prefix_ok(&(struct prefix){*a, 32})));
	}
}

static int fake_nft_replace(struct nft *nft, const char *name, uint32_t index,
			    const struct filter *filter)
{
	check_name(name);
	(void)device(index);
	FUZZ_CHECK(filter->service_count <= FILTER_SERVICES_MAX);
	for (size_t i = 0; i < filter->service_count; i++) {
		const struct filter_service *s = &filter->services[i];

		FUZZ_CHECK(s->direction <= FILTER_OUT && s->nodes <= 1);
		FUZZ_CHECK(s->family == ADDR_V4 || s->family == ADDR_V6);
		FUZZ_CHECK(s->peer.bits <= 128 && s->own.bits <= 128);
		FUZZ_CHECK(s->protocol <= ACL_ALL_PROTOCOLS && s->port_low <= s->port_high);
		FUZZ_CHECK(memchr(s->label, 0, sizeof(s->label)));
	}
	check_elements(filter->elements, filter->element_count);
	return 0;
}

static int fake_nft_change(struct nft *nft, const char *name, const struct filter_element *elements,
			   size_t count)
{
	check_name(name);
	check_elements(elements, count);
	return 0;
}

static int fake_nft_counters(struct nft *nft, const char *name,
			     uint64_t ret_packets[FILTER_COUNTER_COUNT])
{
	check_name(name);
	memset(ret_packets, 0, FILTER_COUNTER_COUNT * sizeof(*ret_packets));
	return 0;
}

static int fake_nft_delete(struct nft *nft, const char *name)
{
	check_name(name);
	return 0;
}

static const char *fake_nft_error_text(const struct nft *nft)
{
	return "played";
}

#define nft_open		 fake_nft_open
#define nft_free		 fake_nft_free
#define nft_replace		 fake_nft_replace
#define nft_change		 fake_nft_change
#define nft_counters		 fake_nft_counters
#define nft_delete		 fake_nft_delete
#define nft_error_text		 fake_nft_error_text
#define tun_open		 fake_tun_open
#define tun_open_plain		 fake_tun_open_plain
#define rawudp_open		 fake_rawudp_open
#define netlink_link_add	 fake_link_add
#define wglink_set		 fake_wglink_set
#define wglink_get		 fake_wglink_get
#define netlink_link_find	 fake_link_find
#define netlink_link_get	 fake_link_get
#define netlink_link_delete	 fake_link_delete
#define netlink_link_set_up	 fake_link_set_up
#define netlink_link_set_flags	 fake_link_set_flags
#define netlink_link_set_carrier fake_link_set_carrier
#define netlink_link_set_name	 fake_link_set_name
#define netlink_link_set_mtu	 fake_link_set_mtu
#define netlink_link_set_txqlen	 fake_link_set_txqlen
#define netlink_link_set_gso_max fake_link_set_gso_max
#define netlink_address_add	 fake_address_add
#define netlink_address_delete	 fake_address_delete
#define netlink_route_add	 fake_route
#define netlink_route_delete	 fake_route
#define netlink_error_text	 fake_error_text
#define netlink_route_list	 fake_route_list
#define netlink_rule_add	 fake_rule_add
#define netlink_rule_delete	 fake_rule_delete
#define netlink_rule_list	 fake_rule_list
#define proc_receive		 fake_receive
#define proc_send		 fake_send
#define open			 fake_open
#define close			 fake_close
#include "node/privops.c"
#include "node/privops_wg.c"
#undef open
#undef close
#include "node/privops_filter.c"

static ssize_t fake_receive(int fd, void *data, size_t size, int *fds, size_t fds_size,
			    size_t *ret_fds_count)
{
	size_t len;

	FUZZ_CHECK(size == sizeof(struct priv_message) && answered);
	if (!input_left)
		return 0;
	len = *input++;
	input_left--;
	len = len < size ? len : size;
	len = len < input_left ? len : input_left;
	if (len == 0)
		return -EINTR;
	answered = false;
	memcpy(data, input, len);
	input += len;
	input_left -= len;
	if (len < sizeof(struct priv_request))
		return (ssize_t)len;
	asked = ((const struct priv_request *)data)->prefix;
	asked_kind = ((const struct priv_request *)data)->op == PRIV_LINK_WIREGUARD ? "wireguard"
										    : "tun";
	return (ssize_t)len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct priv_shared shared;
	struct helper helper = {.prefix = "fuzz",
				.table_base = TABLE_BASE,
				.wireguard = true,
				.wglink = (struct wglink *)&shared, /* never looked into */
				.shared = &shared};

	memset(devices, 0, sizeof(devices));
	helper.filter = privfilter_open();
	device_count = 0;
	answered = true;
	input = data;
	input_left = len;
	/* What the engine has put there: the same bytes, wherever its fields lie. */
	for (size_t i = 0; i < sizeof(shared) && len > 0; i++)
		((uint8_t *)&shared)[i] = data[i % len];
	/* Every other one near to what is good, or nothing else is ever seen. */
	for (size_t i = 0; i < PRIV_PEERS_AT_ONCE && len > 0 && len % 2; i++) {
		struct wglink_peer *peer = &shared.peers[i];

		shared.port = 51820;
		peer->flags = data[0] & WGLINK_REPLACE_ALLOWED;
		peer->allowed_count = data[i % len] % 3;
		for (size_t k = 0; k < WGLINK_ALLOWED_MAX; k++) {
			peer->allowed[k].addr.family = ADDR_V6;
			peer->allowed[k].bits = 128;
		}
	}
	while (serve_one(&helper))
		FUZZ_CHECK(answered);
	free(helper.peers);
	privfilter_close(helper.filter);
	return 0;
}
