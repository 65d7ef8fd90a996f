#ifndef OS_NETLINK_PARSE_H
#define OS_NETLINK_PARSE_H

/* rtnetlink messages to our structs. False when a message is not of use here, or not well formed:
 * every attribute's length is checked before it is read. Inside of netlink only. */

#include "os/netlink.h"

#include <linux/netlink.h>

/* Whether every message of a datagram lies within it, with the padding that the kernel gives also
 * to the last one. libmnl takes lengths from 2 GiB on for negative, reads attributes up to the end
 * of the padding whether it is there or not, and walks out of the buffer: ask this before it. */
bool netlink_datagram_ok(const void *datagram, size_t len);
bool netlink_parse_link(const struct nlmsghdr *h, struct netlink_link *ret_link);
bool netlink_parse_address(const struct nlmsghdr *h, struct netlink_address *ret_address);
bool netlink_parse_route(const struct nlmsghdr *h, struct netlink_route *ret_route);
bool netlink_parse_rule(const struct nlmsghdr *h, struct netlink_rule *ret_rule);
/* An event from a message of the monitor. */
bool netlink_parse_event(const struct nlmsghdr *h, struct netlink_event *ret_event);
/* An acknowledgement: *ret_result 0 or -errno; text gets what the kernel says, or "". */
bool netlink_parse_error(const struct nlmsghdr *h, int *ret_result, char *text, size_t text_size);

#endif
