#include "core/direct.h"
#include "fuzz/fuzz.h"
#include "wire/probe.h"

#include <string.h>

/* What comes to the port of WireGuard: two members, of whom one is given the bytes, as they are
 * and with the right mac. Never more is sent back than came. */

enum { HEADER = 1 };

static size_t sent;

static void on_send(void *ctx, const struct endpoint *to, const void *bytes, size_t len)
{
	(void)ctx;
	FUZZ_CHECK(to->port != 0);
	(void)bytes;
	sent += len;
}

static void on_choose(void *ctx, const struct node_key *key, const struct endpoint *endpoint)
{
	(void)ctx;
	(void)key;
	(void)endpoint;
}

static void on_mapped(void *ctx)
{
	(void)ctx;
}

static void on_random(void *ctx, void *dst, size_t len)
{
	(void)ctx;
	memset(dst, 0x5a, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t own[PROBE_KEY_LEN] = {1, 1}, other[PROBE_KEY_LEN] = {1, 2},
			     base[PROBE_KEY_LEN] = {9};
	static const struct direct_io io = {
		.send = on_send, .choose = on_choose, .mapped = on_mapped, .random = on_random};
	const struct endpoint source = {{ADDR_V4, {192, 0, 2, 1}}, 3478};
	const struct node_key key = {.bytes = {2, 1}};
	struct probe_keys mine, theirs;
	struct direct *d;
	uint64_t now = 100 * NS_PER_S;
	struct probe probe;

	if (len < HEADER)
		return 0;
	if (!probe_keys_make(&mine, own, base) || !probe_keys_make(&theirs, other, mine.own))
		return 0;
	d = direct_new(&io, own);
	if (!d)
		return 0;
	FUZZ_CHECK(direct_set_peer(d, &key, theirs.own, &source, 1, now) == 0);
	direct_set_servers(d, &source, 1, now);
	direct_tick(d, now);
	sent = 0;
	if (probe_parse(data + HEADER, len - HEADER, &probe) && data[0] & 1) {
		uint8_t right[PROBE_LEN];
		struct writer w;

		writer_init(&w, right, sizeof(right));
		probe_write(&w, &theirs, (enum probe_kind)probe.kind, probe.nonce);
		FUZZ_CHECK(direct_input(d, &source, right, sizeof(right), now));
	} else {
		direct_input(d, &source, data + HEADER, len - HEADER, now);
	}
	FUZZ_CHECK(sent <= len - HEADER);
	direct_tick(d, now + NS_PER_S);
	direct_free(d);
	return 0;
}
