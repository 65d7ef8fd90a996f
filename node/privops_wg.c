#include "node/privops_parts.h"
#include "os/rawudp.h"

#include <stdio.h>
#include <string.h>

/* ---- The privileged side ---- */

int privwg_raw_open(const struct priv_request *request, struct priv_reply *reply, int *ret_fd)
{
	uint8_t family = request->prefix.addr.family;
	if (request->number < RAWUDP_PORT_MIN || request->number > UINT16_MAX)
		return priv_refuse(reply, "a raw socket for port %u", request->number);
	if (family != ADDR_V4 && family != ADDR_V6)
		return priv_refuse(reply, "a raw socket of no address family");
	int r = rawudp_open(family, (uint16_t)request->number, ret_fd);
	if (r < 0)
		snprintf(reply->error, sizeof(reply->error), "no raw socket for port %u: %s",
			 request->number, strerror(-r));
	return r;
}

/* ---- The engine's side ---- */

int priv_raw_open(struct priv *priv, uint8_t family, uint16_t port, int *ret_fd)
{
	struct priv_reply reply;
	const struct priv_request request = {
		.op = PRIV_RAW_OPEN, .number = port, .prefix = {.addr = {.family = family}}};
	return priv_call(priv, &request, &reply, ret_fd);
}
