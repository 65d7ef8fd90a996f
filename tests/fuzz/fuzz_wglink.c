#include "fuzz/fuzz.h"

#include "os/netlink_parse.h"
#include "os/wglink.h"

#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

static void take_peer(void *ctx, const struct wglink_peer *peer)
{
	unsigned *count = ctx;

	(*count)++;
	for (size_t i = 0; i < peer->allowed_count && i < WGLINK_ALLOWED_MAX; i++)
		FUZZ_CHECK(peer->allowed[i].bits <= address_bits(&peer->allowed[i].addr) &&
			   address_bits(&peer->allowed[i].addr) > 0);
}

static int take(const struct nlmsghdr *h, void *arg)
{
	return wglink_parse(h, arg) ? MNL_CB_OK : MNL_CB_ERROR;
}

/* What the kernel answers: one datagram with any number of messages. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as long as the datagram, so that reading past it shows; and aligned. */
	uint8_t *copy = malloc(size ? size : 1);
	unsigned count = 0;
	struct wglink_answer answer = {.visit = take_peer, .ctx = &count};

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	if (netlink_datagram_ok(copy, size))
		mnl_cb_run(copy, size, 0, 0, take, &answer);
	wglink_finish(&answer);
	FUZZ_CHECK(!answer.has_peer && count <= size / WGLINK_KEY_LEN);
	free(copy);
	return 0;
}
