#include "os/netlink.h"

#include "os/base.h"
#include "os/netlink_parse.h"
#include "os/netlink_talk.h"
#include "wire/key.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

enum { ANSWER_MAX = 65536, ANSWER_TIMEOUT_S = 10 };

struct netlink {
	struct mnl_socket *socket;
	uint32_t sequence;
	int result; /* of the last acknowledgement */
	char text[256];
	char answer[ANSWER_MAX];
};

struct asking {
	struct netlink *nl;
	mnl_cb_t cb;
	void *arg;
};

int netlink_open_protocol(int protocol, struct netlink **ret_netlink)
{
	struct netlink *nl = xcalloc(1, sizeof(*nl));
	struct timeval wait = {.tv_sec = ANSWER_TIMEOUT_S};
	int on = 1, result;

	nl->sequence = (uint32_t)time(NULL);
	nl->socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	if (!nl->socket || mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID)) {
		result = -errno;
		netlink_free(nl);
		return result;
	}
	/* Old kernels give no texts; and capped acknowledgements only save bytes. */
	mnl_socket_setsockopt(nl->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(nl->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(mnl_socket_get_fd(nl->socket), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	*ret_netlink = nl;
	return 0;
}

int netlink_open(struct netlink **ret_netlink)
{
	return netlink_open_protocol(NETLINK_ROUTE, ret_netlink);
}

void netlink_free(struct netlink *nl)
{
	if (!nl)
		return;
	if (nl->socket)
		mnl_socket_close(nl->socket);
	/* Answers may have keys in them. */
	secret_wipe(nl->answer, sizeof(nl->answer));
	free(nl);
}

const char *netlink_error_text(const struct netlink *nl)
{
	return nl->text[0] ? nl->text : strerror(-nl->result);
}

void *netlink_begin(union netlink_request *r, uint16_t type, uint16_t flags, size_t size)
{
	struct nlmsghdr *h;

	memset(r, 0, sizeof(*r));
	h = mnl_nlmsg_put_header(r->bytes);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	return mnl_nlmsg_put_extra_header(h, size);
}

static int on_acknowledgement(const struct nlmsghdr *h, void *data)
{
	struct asking *asking = data;
	struct netlink *nl = asking->nl;
	int result;

	if (!netlink_parse_error(h, &result, nl->text, sizeof(nl->text))) {
		errno = EBADMSG;
		return MNL_CB_ERROR;
	}
	errno = -result;
	return result ? MNL_CB_ERROR : MNL_CB_STOP;
}

/* The end of a list, with an error when it is not a whole one. */
static int on_done(const struct nlmsghdr *h, void *data)
{
	int32_t result = 0;

	(void)data;
	if (h->nlmsg_len >= mnl_nlmsg_size(sizeof(result)))
		memcpy(&result, mnl_nlmsg_get_payload(h), sizeof(result));
	if (result >= 0)
		return MNL_CB_STOP;
	errno = result >= -4095 ? -result : EBADMSG;
	return MNL_CB_ERROR;
}

static int on_message(const struct nlmsghdr *h, void *data)
{
	struct asking *asking = data;

	return asking->cb ? asking->cb(h, asking->arg) : MNL_CB_OK;
}

static int ask(struct netlink *nl, struct nlmsghdr *message, struct asking *asking)
{
	/* libmnl keeps its own for those without. */
	mnl_cb_t control[NLMSG_DONE + 1] = {
		[NLMSG_ERROR] = on_acknowledgement, [NLMSG_DONE] = on_done};
	unsigned port = mnl_socket_get_portid(nl->socket);
	int run = MNL_CB_OK;

	message->nlmsg_seq = ++nl->sequence;
	if (mnl_socket_sendto(nl->socket, message, message->nlmsg_len) < 0)
		return -errno;
	while (run > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(nl->socket, nl->answer, sizeof(nl->answer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (!netlink_datagram_ok(nl->answer, (size_t)n))
			return -EBADMSG;
		run = mnl_cb_run2(nl->answer, (size_t)n, nl->sequence, port, on_message, asking,
				  control, ARRAY_SIZE(control));
		/* The late answer of an earlier request that was given up. */
		if (run < 0 && errno == EPROTO)
			run = MNL_CB_OK;
	}
	return run < 0 ? -errno : 0;
}

int netlink_ask_message(struct netlink *nl, struct nlmsghdr *message, mnl_cb_t cb, void *arg)
{
	struct asking asking = {nl, cb, arg};

	nl->text[0] = 0;
	nl->result = ask(nl, message, &asking);
	return nl->result;
}

int netlink_ask(struct netlink *nl, union netlink_request *r, mnl_cb_t cb, void *arg)
{
	return netlink_ask_message(nl, &r->header, cb, arg);
}

int netlink_do(struct netlink *nl, union netlink_request *r)
{
	r->header.nlmsg_flags |= NLM_F_ACK;
	return netlink_ask(nl, r, NULL, NULL);
}

void netlink_put_address(union netlink_request *r, uint16_t type, const struct address *a)
{
	mnl_attr_put(&r->header, type, address_bits(a) / 8, a->bytes);
}

uint8_t netlink_kernel_family(uint8_t family)
{
	return family == ADDR_V6 ? AF_INET6 : AF_INET;
}

static int take_link(const struct nlmsghdr *h, void *arg)
{
	struct netlink_link *link = arg;

	if (h->nlmsg_type == RTM_NEWLINK)
		netlink_parse_link(h, link);
	return MNL_CB_OK;
}

static int get_link(struct netlink *nl, union netlink_request *r, struct netlink_link *ret_link)
{
	struct netlink_link link = {0};
	int result;

	r->header.nlmsg_flags |= NLM_F_ACK;
	result = netlink_ask(nl, r, take_link, &link);
	if (!result && !link.index)
		result = -EBADMSG;
	if (!result)
		*ret_link = link;
	return result;
}

int netlink_link_find(struct netlink *nl, const char *name, struct netlink_link *ret_link)
{
	union netlink_request r;

	if (!name[0] || strlen(name) >= IF_NAMESIZE)
		return -ENODEV;
	netlink_begin(&r, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(&r.header, IFLA_IFNAME, name);
	return get_link(nl, &r, ret_link);
}

static struct ifinfomsg *begin_link(union netlink_request *r, uint16_t type, uint32_t index)
{
	struct ifinfomsg *m = netlink_begin(r, type, 0, sizeof(*m));

	m->ifi_index = (int)index;
	return m;
}

int netlink_link_get(struct netlink *nl, uint32_t index, struct netlink_link *ret_link)
{
	union netlink_request r;

	begin_link(&r, RTM_GETLINK, index);
	return get_link(nl, &r, ret_link);
}

int netlink_link_set_flags(struct netlink *nl, uint32_t index, uint32_t flags, uint32_t mask)
{
	union netlink_request r;
	struct ifinfomsg *m = begin_link(&r, RTM_NEWLINK, index);

	m->ifi_change = mask;
	m->ifi_flags = flags & mask;
	return netlink_do(nl, &r);
}

int netlink_link_set_up(struct netlink *nl, uint32_t index, bool up)
{
	return netlink_link_set_flags(nl, index, up ? IFF_UP : 0, IFF_UP);
}

int netlink_link_set_carrier(struct netlink *nl, uint32_t index, bool carrier)
{
	union netlink_request r;

	begin_link(&r, RTM_NEWLINK, index);
	mnl_attr_put_u8(&r.header, IFLA_CARRIER, carrier);
	return netlink_do(nl, &r);
}

int netlink_link_set_name(struct netlink *nl, uint32_t index, const char *name)
{
	union netlink_request r;

	begin_link(&r, RTM_NEWLINK, index);
	mnl_attr_put_strz(&r.header, IFLA_IFNAME, name);
	return netlink_do(nl, &r);
}

int netlink_link_set_mtu(struct netlink *nl, uint32_t index, uint32_t mtu)
{
	union netlink_request r;

	begin_link(&r, RTM_NEWLINK, index);
	mnl_attr_put_u32(&r.header, IFLA_MTU, mtu);
	return netlink_do(nl, &r);
}

int netlink_link_set_txqlen(struct netlink *nl, uint32_t index, uint32_t txqlen)
{
	union netlink_request r;

	begin_link(&r, RTM_NEWLINK, index);
	mnl_attr_put_u32(&r.header, IFLA_TXQLEN, txqlen);
	return netlink_do(nl, &r);
}

int netlink_link_set_gso_max(struct netlink *nl, uint32_t index, uint32_t bytes)
{
	union netlink_request r;

	begin_link(&r, RTM_NEWLINK, index);
	mnl_attr_put_u32(&r.header, IFLA_GSO_MAX_SIZE, bytes);
	return netlink_do(nl, &r);
}

int netlink_link_add(struct netlink *nl, const char *name, const char *kind, const char *alias)
{
	struct netlink_link link;
	union netlink_request r;
	struct nlattr *info;
	int result;

	netlink_begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(&r.header, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(&r.header, IFLA_LINKINFO);
	mnl_attr_put_strz(&r.header, IFLA_INFO_KIND, kind);
	mnl_attr_nest_end(&r.header, info);
	result = netlink_do(nl, &r);
	if (!result)
		result = netlink_link_find(nl, name, &link);
	if (result)
		return result;
	/* A new link takes none. */
	begin_link(&r, RTM_NEWLINK, link.index);
	mnl_attr_put_strz(&r.header, IFLA_IFALIAS, alias);
	return netlink_do(nl, &r);
}

int netlink_link_delete(struct netlink *nl, uint32_t index)
{
	union netlink_request r;

	begin_link(&r, RTM_DELLINK, index);
	return netlink_do(nl, &r);
}

static int change_address(struct netlink *nl, uint16_t type, uint16_t flags,
			  const struct netlink_address *a)
{
	union netlink_request r;
	struct ifaddrmsg *m = netlink_begin(&r, type, flags, sizeof(*m));

	if (a->address.family == ADDR_NONE || a->bits > address_bits(&a->address))
		return -EINVAL;
	m->ifa_family = netlink_kernel_family(a->address.family);
	m->ifa_prefixlen = a->bits;
	m->ifa_index = a->index;
	if (a->address.family == ADDR_V6)
		m->ifa_flags = IFA_F_NODAD;
	netlink_put_address(&r, IFA_LOCAL, &a->address);
	netlink_put_address(&r, IFA_ADDRESS, &a->address);
	return netlink_do(nl, &r);
}

int netlink_address_add(struct netlink *nl, const struct netlink_address *address)
{
	return change_address(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address);
}

int netlink_address_delete(struct netlink *nl, const struct netlink_address *address)
{
	return change_address(nl, RTM_DELADDR, 0, address);
}

struct link_walk {
	netlink_link_cb cb;
	void *arg;
};

static int visit_link(const struct nlmsghdr *h, void *arg)
{
	const struct link_walk *walk = arg;
	struct netlink_link link;

	if (h->nlmsg_type == RTM_NEWLINK && netlink_parse_link(h, &link))
		walk->cb(walk->arg, &link);
	return MNL_CB_OK;
}

int netlink_link_list(struct netlink *nl, netlink_link_cb cb, void *arg)
{
	struct link_walk walk = {cb, arg};
	union netlink_request r;

	netlink_begin(&r, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	return netlink_ask(nl, &r, visit_link, &walk);
}

struct address_walk {
	netlink_address_cb cb;
	void *arg;
	uint32_t index;
};

static int visit_address(const struct nlmsghdr *h, void *arg)
{
	const struct address_walk *walk = arg;
	struct netlink_address address;

	if (h->nlmsg_type == RTM_NEWADDR && netlink_parse_address(h, &address) &&
	    (!walk->index || walk->index == address.index))
		walk->cb(walk->arg, &address);
	return MNL_CB_OK;
}

int netlink_address_list(struct netlink *nl, uint32_t index, netlink_address_cb cb, void *arg)
{
	struct address_walk walk = {cb, arg, index};
	union netlink_request r;

	netlink_begin(&r, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
	return netlink_ask(nl, &r, visit_address, &walk);
}
