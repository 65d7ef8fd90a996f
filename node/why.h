#ifndef NODE_WHY_H
#define NODE_WHY_H

/* `why` of the control socket: why a path is what it is, and what the policy says of a flow. */

#include "wire/addr.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct netmap_node;
struct overlay;

/* What is known of the ways to another node; of a dnet that is up. */
json_t *why_node(const struct overlay *overlay, const struct netmap_node *node);

/* The first packet of a flow. port 0 where the protocol has none. */
struct why_flow {
	struct address src, dst; /* of one family */
	uint8_t protocol;
	uint16_t port;
};
json_t *why_flow(const struct overlay *overlay, const struct why_flow *flow);

/* "tcp", "udp", "icmp" (of either family) or a number. */
bool why_parse_protocol(const char *text, enum addr_family family, uint8_t *ret_protocol);

#endif
