#ifndef OS_NETLINK_TALK_H
#define OS_NETLINK_TALK_H

/* One request and its answer. Inside of netlink only. */

#include "os/netlink.h"

#include <libmnl/libmnl.h>

enum { NETLINK_REQUEST_MAX = 1024 };

union netlink_request {
	struct nlmsghdr header;
	char bytes[NETLINK_REQUEST_MAX];
};

int netlink_open_protocol(int protocol, struct netlink **ret_netlink);
/* As netlink_ask(), of a message of any length. */
int netlink_ask_message(struct netlink *nl, struct nlmsghdr *message, mnl_cb_t cb, void *arg);
/* Starts a request with this family header (zeros, size bytes), and returns that. */
void *netlink_begin(union netlink_request *r, uint16_t type, uint16_t flags, size_t size);
/* Sends it and waits for the acknowledgement: 0 or -errno. */
int netlink_do(struct netlink *nl, union netlink_request *r);
/* Sends it and calls back for each message of the answer until its end: 0 or -errno. With
 * NLM_F_DUMP -EINTR says that the tables changed meanwhile: the list may lack something. */
int netlink_ask(struct netlink *nl, union netlink_request *r, mnl_cb_t cb, void *arg);
void netlink_put_address(union netlink_request *r, uint16_t type, const struct address *a);
/* AF_INET or AF_INET6. */
uint8_t netlink_kernel_family(uint8_t family);

#endif
