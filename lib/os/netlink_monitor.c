#include "os/netlink.h"

#include "os/base.h"
#include "os/netlink_parse.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

enum { EVENTS_MAX = 65536 };

struct netlink_monitor {
	struct mnl_socket *socket;
	netlink_event_cb cb;
	void *arg;
	char events[EVENTS_MAX];
};

static int join_groups(struct mnl_socket *s)
{
	static const int groups[] = {RTNLGRP_LINK,	 RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
				     RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,
				     RTNLGRP_IPV6_RULE};

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(s, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return -errno;
	}
	return 0;
}

int netlink_monitor_new(netlink_event_cb cb, void *arg, struct netlink_monitor **ret_monitor)
{
	struct netlink_monitor *m = xcalloc(1, sizeof(*m));
	int result = 0;

	m->cb = cb;
	m->arg = arg;
	m->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!m->socket || mnl_socket_bind(m->socket, 0, MNL_SOCKET_AUTOPID))
		result = -errno;
	if (!result)
		result = join_groups(m->socket);
	if (result)
		netlink_monitor_free(m);
	else
		*ret_monitor = m;
	return result;
}

int netlink_monitor_fd(const struct netlink_monitor *m)
{
	return mnl_socket_get_fd(m->socket);
}

static int on_message(const struct nlmsghdr *h, void *data)
{
	struct netlink_monitor *m = data;
	struct netlink_event event;

	if (netlink_parse_event(h, &event))
		m->cb(m->arg, &event);
	return MNL_CB_OK;
}

int netlink_monitor_read(struct netlink_monitor *m)
{
	const struct netlink_event lost = {.kind = NETLINK_EVENT_LOST};

	for (;;) {
		ssize_t n = mnl_socket_recvfrom(m->socket, m->events, sizeof(m->events));

		if (n > 0 && netlink_datagram_ok(m->events, (size_t)n))
			mnl_cb_run(m->events, (size_t)n, 0, 0, on_message, m);
		else if (n < 0 && (errno == ENOBUFS || errno == ENOSPC))
			m->cb(m->arg, &lost);
		else if (n == 0 || (n < 0 && errno == EAGAIN))
			return 0;
		else if (n < 0 && errno != EINTR)
			return -errno;
	}
}

void netlink_monitor_free(struct netlink_monitor *m)
{
	if (!m)
		return;
	if (m->socket)
		mnl_socket_close(m->socket);
	free(m);
}
