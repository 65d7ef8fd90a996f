#include "os/wglink.h"

#include "os/base.h"
#include "os/netlink_talk.h"
#include "wire/key.h"

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <string.h>

static_assert(WGLINK_KEY_LEN == WG_KEY_LEN, "linux/wireguard.h");

/* A peer at its largest in a message, and what closes it. */
enum { PEER_MAX = 512 };

struct wglink {
	struct netlink *nl; /* owned */
	uint16_t family;    /* 0: not known */
	alignas(struct nlmsghdr) uint8_t message[WGLINK_MESSAGE_MAX];
};

/* ---- Writing ---- */

static struct nlmsghdr *begin(void *message, uint16_t family, uint8_t command, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(message);
	struct genlmsghdr *g;

	h->nlmsg_type = family;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->cmd = command;
	g->version = WG_GENL_VERSION;
	return h;
}

static void put_endpoint(struct nlmsghdr *h, const struct endpoint *e)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(e->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};

	memcpy(&v4.sin_addr, e->addr.bytes, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, e->addr.bytes, sizeof(v6.sin6_addr));
	if (e->addr.family == ADDR_V4)
		mnl_attr_put(h, WGPEER_A_ENDPOINT, sizeof(v4), &v4);
	else if (e->addr.family == ADDR_V6)
		mnl_attr_put(h, WGPEER_A_ENDPOINT, sizeof(v6), &v6);
}

static void put_allowed(struct nlmsghdr *h, const struct wglink_peer *peer)
{
	struct nlattr *all = mnl_attr_nest_start(h, WGPEER_A_ALLOWEDIPS);

	for (size_t i = 0; i < peer->allowed_count && i < WGLINK_ALLOWED_MAX; i++) {
		const struct prefix *p = &peer->allowed[i];
		struct nlattr *one = mnl_attr_nest_start(h, 0);

		mnl_attr_put_u16(h, WGALLOWEDIP_A_FAMILY,
				 p->addr.family == ADDR_V6 ? AF_INET6 : AF_INET);
		mnl_attr_put(h, WGALLOWEDIP_A_IPADDR, address_bits(&p->addr) / 8, p->addr.bytes);
		mnl_attr_put_u8(h, WGALLOWEDIP_A_CIDR_MASK, p->bits);
		mnl_attr_nest_end(h, one);
	}
	mnl_attr_nest_end(h, all);
}

static void put_peer(struct nlmsghdr *h, const struct wglink_peer *peer)
{
	struct nlattr *nest = mnl_attr_nest_start(h, 0);
	uint32_t flags = 0;

	if (peer->flags & WGLINK_REMOVE)
		flags |= WGPEER_F_REMOVE_ME;
	else if (peer->flags & WGLINK_REPLACE_ALLOWED)
		flags |= WGPEER_F_REPLACE_ALLOWEDIPS;
	mnl_attr_put(h, WGPEER_A_PUBLIC_KEY, WG_KEY_LEN, peer->key);
	mnl_attr_put_u32(h, WGPEER_A_FLAGS, flags);
	if (!(peer->flags & WGLINK_REMOVE)) {
		if (peer->flags & WGLINK_ENDPOINT)
			put_endpoint(h, &peer->endpoint);
		if (peer->flags & WGLINK_KEEPALIVE)
			mnl_attr_put_u16(h, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL,
					 peer->keepalive_s);
		if (peer->flags & WGLINK_REPLACE_ALLOWED)
			put_allowed(h, peer);
	}
	mnl_attr_nest_end(h, nest);
}

size_t wglink_encode(void *message, uint16_t family, uint32_t index, const uint8_t *private_key,
		     uint16_t port, const struct wglink_peer *peers, size_t count)
{
	struct nlmsghdr *h = begin(message, family, WG_CMD_SET_DEVICE, NLM_F_ACK);
	struct nlattr *nest;
	size_t i = 0;

	mnl_attr_put_u32(h, WGDEVICE_A_IFINDEX, index);
	if (private_key)
		mnl_attr_put(h, WGDEVICE_A_PRIVATE_KEY, WG_KEY_LEN, private_key);
	if (port)
		mnl_attr_put_u16(h, WGDEVICE_A_LISTEN_PORT, port);
	if (!count)
		return 0;
	nest = mnl_attr_nest_start(h, WGDEVICE_A_PEERS);
	for (; i < count && h->nlmsg_len + PEER_MAX <= WGLINK_MESSAGE_MAX; i++)
		put_peer(h, &peers[i]);
	mnl_attr_nest_end(h, nest);
	return i;
}

/* ---- Reading ---- */

enum { ATTRIBUTES = 16 };

struct attributes {
	const struct nlattr *at[ATTRIBUTES]; /* NULL: not there */
};

static_assert((int)WGDEVICE_A_MAX < (int)ATTRIBUTES && (int)WGPEER_A_MAX < (int)ATTRIBUTES, "room");

static int take_attribute(const struct nlattr *attr, void *data)
{
	struct attributes *a = data;
	unsigned type = mnl_attr_get_type(attr);

	if (type < ATTRIBUTES)
		a->at[type] = attr;
	return MNL_CB_OK;
}

static size_t length_of(const struct attributes *a, unsigned type)
{
	return a->at[type] ? mnl_attr_get_payload_len(a->at[type]) : 0;
}

/* Zeros when it has another length. */
static bool copy(const struct attributes *a, unsigned type, void *dst, size_t len)
{
	memset(dst, 0, len);
	if (length_of(a, type) != len)
		return false;
	memcpy(dst, mnl_attr_get_payload(a->at[type]), len);
	return true;
}

static void take_endpoint(const struct attributes *a, struct endpoint *ret)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (copy(a, WGPEER_A_ENDPOINT, &v4, sizeof(v4)) && v4.sin_family == AF_INET) {
		ret->addr.family = ADDR_V4;
		memcpy(ret->addr.bytes, &v4.sin_addr, sizeof(v4.sin_addr));
		ret->port = ntohs(v4.sin_port);
	} else if (copy(a, WGPEER_A_ENDPOINT, &v6, sizeof(v6)) && v6.sin6_family == AF_INET6) {
		ret->addr.family = ADDR_V6;
		memcpy(ret->addr.bytes, &v6.sin6_addr, sizeof(v6.sin6_addr));
		ret->port = ntohs(v6.sin6_port);
	}
}

static int take_allowed(const struct nlattr *attr, void *data)
{
	struct wglink_peer *peer = data;
	struct attributes a = {{0}};
	struct prefix p = {0};
	uint16_t family;

	mnl_attr_parse_nested(attr, take_attribute, &a);
	if (!copy(&a, WGALLOWEDIP_A_FAMILY, &family, sizeof(family)) ||
	    !copy(&a, WGALLOWEDIP_A_CIDR_MASK, &p.bits, sizeof(p.bits)))
		return MNL_CB_ERROR;
	if (family == AF_INET && copy(&a, WGALLOWEDIP_A_IPADDR, p.addr.bytes, 4))
		p.addr.family = ADDR_V4;
	else if (family == AF_INET6 && copy(&a, WGALLOWEDIP_A_IPADDR, p.addr.bytes, 16))
		p.addr.family = ADDR_V6;
	if (p.addr.family == ADDR_NONE || p.bits > address_bits(&p.addr))
		return MNL_CB_ERROR;
	if (peer->allowed_count < WGLINK_ALLOWED_MAX)
		peer->allowed[peer->allowed_count] = p;
	if (peer->allowed_count < UINT32_MAX)
		peer->allowed_count++;
	return MNL_CB_OK;
}

void wglink_finish(struct wglink_answer *answer)
{
	if (answer->has_peer)
		answer->visit(answer->ctx, &answer->peer);
	answer->has_peer = false;
}

static int take_peer(const struct nlattr *attr, void *data)
{
	struct wglink_answer *answer = data;
	struct attributes a = {{0}};
	struct wglink_peer peer = {0};
	struct {
		int64_t seconds, nanoseconds;
	} handshake;

	mnl_attr_parse_nested(attr, take_attribute, &a);
	if (!copy(&a, WGPEER_A_PUBLIC_KEY, peer.key, WG_KEY_LEN))
		return MNL_CB_ERROR;
	if (answer->has_peer && memcmp(peer.key, answer->peer.key, WG_KEY_LEN) == 0) {
		/* The rest of its AllowedIPs. */
		if (a.at[WGPEER_A_ALLOWEDIPS])
			return mnl_attr_parse_nested(a.at[WGPEER_A_ALLOWEDIPS], take_allowed,
						     &answer->peer);
		return MNL_CB_OK;
	}
	wglink_finish(answer);
	take_endpoint(&a, &peer.endpoint);
	copy(&a, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, &peer.keepalive_s,
	     sizeof(peer.keepalive_s));
	copy(&a, WGPEER_A_RX_BYTES, &peer.rx_bytes, sizeof(peer.rx_bytes));
	copy(&a, WGPEER_A_TX_BYTES, &peer.tx_bytes, sizeof(peer.tx_bytes));
	if (copy(&a, WGPEER_A_LAST_HANDSHAKE_TIME, &handshake, sizeof(handshake)) &&
	    handshake.seconds > 0)
		peer.handshake_s = (uint64_t)handshake.seconds;
	if (a.at[WGPEER_A_ALLOWEDIPS] &&
	    mnl_attr_parse_nested(a.at[WGPEER_A_ALLOWEDIPS], take_allowed, &peer) < 0)
		return MNL_CB_ERROR;
	answer->peer = peer;
	answer->has_peer = true;
	return MNL_CB_OK;
}

bool wglink_parse(const struct nlmsghdr *h, struct wglink_answer *answer)
{
	struct attributes a = {{0}};

	if (h->nlmsg_len < mnl_nlmsg_size(sizeof(struct genlmsghdr)))
		return false;
	mnl_attr_parse(h, sizeof(struct genlmsghdr), take_attribute, &a);
	/* Only the first message has them. */
	if (length_of(&a, WGDEVICE_A_LISTEN_PORT) == sizeof(uint16_t)) {
		copy(&a, WGDEVICE_A_IFINDEX, &answer->device.index, sizeof(uint32_t));
		copy(&a, WGDEVICE_A_LISTEN_PORT, &answer->device.port, sizeof(uint16_t));
		copy(&a, WGDEVICE_A_PRIVATE_KEY, answer->device.private_key, WG_KEY_LEN);
	}
	return !a.at[WGDEVICE_A_PEERS] ||
	       mnl_attr_parse_nested(a.at[WGDEVICE_A_PEERS], take_peer, answer) >= 0;
}

/* ---- Asking ---- */

static int take_family(const struct nlmsghdr *h, void *arg)
{
	struct wglink *wl = arg;
	struct attributes a = {{0}};

	if (h->nlmsg_len < mnl_nlmsg_size(sizeof(struct genlmsghdr)))
		return MNL_CB_OK;
	mnl_attr_parse(h, sizeof(struct genlmsghdr), take_attribute, &a);
	copy(&a, CTRL_ATTR_FAMILY_ID, &wl->family, sizeof(wl->family));
	return MNL_CB_OK;
}

int wglink_find_family(struct wglink *wl)
{
	struct nlmsghdr *h = begin(wl->message, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK);
	int r;

	if (wl->family)
		return 0;
	((struct genlmsghdr *)mnl_nlmsg_get_payload(h))->version = 1;
	mnl_attr_put_strz(h, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
	r = netlink_ask_message(wl->nl, h, take_family, wl);
	return r == 0 && !wl->family ? -ENOENT : r;
}

int wglink_open(struct wglink **ret_wglink)
{
	struct wglink *wl = xcalloc(1, sizeof(*wl));
	int r = netlink_open_protocol(NETLINK_GENERIC, &wl->nl);

	if (r < 0) {
		free(wl);
		return r;
	}
	*ret_wglink = wl;
	return wglink_find_family(wl);
}

void wglink_free(struct wglink *wl)
{
	if (!wl)
		return;
	netlink_free(wl->nl);
	secret_wipe(wl->message, sizeof(wl->message));
	free(wl);
}

const char *wglink_error_text(const struct wglink *wl)
{
	return wl->family ? netlink_error_text(wl->nl) : "the kernel has no WireGuard";
}

int wglink_set(struct wglink *wl, uint32_t index, const uint8_t *private_key, uint16_t port,
	       const struct wglink_peer *peers, size_t count)
{
	int r = wglink_find_family(wl);

	while (r == 0) {
		size_t taken = wglink_encode(wl->message, wl->family, index, private_key, port,
					     peers, count);

		r = netlink_ask_message(wl->nl, (struct nlmsghdr *)wl->message, NULL, NULL);
		peers += taken;
		count -= taken;
		private_key = NULL;
		port = 0;
		if (!count)
			break;
	}
	secret_wipe(wl->message, sizeof(wl->message));
	return r;
}

static int take_answer(const struct nlmsghdr *h, void *arg)
{
	if (wglink_parse(h, arg))
		return MNL_CB_OK;
	errno = EBADMSG;
	return MNL_CB_ERROR;
}

int wglink_get(struct wglink *wl, uint32_t index, struct wglink_device *ret_device,
	       wglink_visit_peer *visit, void *ctx)
{
	struct wglink_answer answer = {.visit = visit, .ctx = ctx};
	int r = wglink_find_family(wl);
	struct nlmsghdr *h;

	if (r < 0)
		return r;
	h = begin(wl->message, wl->family, WG_CMD_GET_DEVICE, NLM_F_DUMP);
	mnl_attr_put_u32(h, WGDEVICE_A_IFINDEX, index);
	r = netlink_ask_message(wl->nl, h, take_answer, &answer);
	wglink_finish(&answer);
	if (r == 0)
		*ret_device = answer.device;
	secret_wipe(&answer.device, sizeof(answer.device));
	return r;
}
