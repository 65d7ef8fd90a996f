#include "fuzz/fuzz.h"

#include "os/netlink_parse.h"

#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

static int take(const struct nlmsghdr *h, void *arg)
{
	struct netlink_event event;
	struct netlink_rule rule;
	char text[64];
	int result;

	if (netlink_parse_event(h, &event) && event.kind == NETLINK_EVENT_ROUTE &&
	    event.route.destination.bits > address_bits(&event.route.destination.addr))
		abort();
	netlink_parse_rule(h, &rule);
	if (netlink_parse_error(h, &result, text, sizeof(text)) && result > 0)
		abort();
	return MNL_CB_OK;
}

/* As the monitor reads: one datagram with any number of messages. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as long as the datagram, so that reading past it shows; and aligned. */
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	if (netlink_datagram_ok(copy, size))
		mnl_cb_run(copy, size, 0, 0, take, NULL);
	free(copy);
	return 0;
}
