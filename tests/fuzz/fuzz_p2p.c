#include "fuzz/fuzz.h"
#include "wire/p2p.h"
#include "wire/tx.h"

#include <string.h>

/* First byte: which message the rest is the payload of; P2P_OTHER: whole messages. What was parsed
 * is written as the same bytes. */

static const uint8_t magic[P2P_MAGIC_LEN] = {0xfa, 0xbf, 0xb5, 0xda};
static uint8_t out[P2P_MESSAGE_MAX + P2P_HEADER_LEN];

static void check_same(const struct writer *w, const uint8_t *data, size_t len)
{
	FUZZ_CHECK(!w->failed && writer_len(w) == len && !memcmp(w->start, data, len));
}

static void frames(const uint8_t *data, size_t len)
{
	struct p2p_message m;
	struct writer w;
	size_t need;

	while (len) {
		enum p2p_reason reason = p2p_open(magic, data, len, &m, &need);

		FUZZ_CHECK(reason != P2P_SHORT || need > len);
		if (reason != P2P_OK)
			return;
		FUZZ_CHECK(m.size <= len && m.payload.len <= p2p_type_max(m.type));
		if (m.type != P2P_OTHER) {
			writer_init(&w, out, sizeof(out));
			p2p_write(&w, magic, m.type, m.payload.data, m.payload.len);
			check_same(&w, data, m.size);
		}
		data += m.size;
		len -= m.size;
	}
}

static void version(const uint8_t *data, size_t len)
{
	struct p2p_version m, again;
	struct writer w;

	if (!p2p_version_parse(data, len, &m))
		return;
	writer_init(&w, out, sizeof(out));
	p2p_version_write(&w, &m);
	FUZZ_CHECK(!w.failed && p2p_version_parse(out, writer_len(&w), &again));
	FUZZ_CHECK(again.version == m.version && again.services == m.services &&
		   again.time == m.time && again.nonce == m.nonce && again.height == m.height &&
		   again.relay == m.relay && again.agent.len == m.agent.len);
	FUZZ_CHECK(endpoint_equal(&again.sender.endpoint, &m.sender.endpoint));
	FUZZ_CHECK(endpoint_equal(&again.receiver.endpoint, &m.receiver.endpoint));
}

static void getheaders(const uint8_t *data, size_t len)
{
	struct p2p_getheaders m;
	struct writer w;

	if (!p2p_getheaders_parse(data, len, &m))
		return;
	writer_init(&w, out, sizeof(out));
	p2p_getheaders_write(&w, &m);
	check_same(&w, data, len);
}

static void headers(const uint8_t *data, size_t len)
{
	static uint8_t raw[P2P_HEADERS_MAX * BLOCK_HEADER_LEN];
	struct p2p_headers m;
	struct writer w;

	if (!p2p_headers_parse(data, len, &m))
		return;
	for (uint32_t i = 0; i < m.count; i++)
		memcpy(raw + (size_t)i * BLOCK_HEADER_LEN, p2p_headers_at(&m, i), BLOCK_HEADER_LEN);
	writer_init(&w, out, sizeof(out));
	p2p_headers_write(&w, raw, m.count);
	check_same(&w, data, len);
}

static void invs(const uint8_t *data, size_t len)
{
	static struct p2p_inv items[P2P_INVS_MAX];
	struct p2p_invs m;
	struct writer w;

	if (!p2p_invs_parse(data, len, &m))
		return;
	for (uint32_t i = 0; i < m.count; i++)
		items[i] = p2p_invs_at(&m, i);
	writer_init(&w, out, sizeof(out));
	p2p_invs_write(&w, items, m.count);
	check_same(&w, data, len);
}

static void addrs(enum p2p_type type, const uint8_t *data, size_t len)
{
	static struct p2p_addr items[P2P_ADDRS_MAX];
	struct p2p_addrs it;
	struct endpoint e;
	uint32_t count = 0;
	struct writer w;

	if (!p2p_addrs_parse(type, data, len, &it))
		return;
	for (; p2p_addr_next(&it, &items[count]); count++)
		if (p2p_addr_endpoint(&items[count], &e))
			FUZZ_CHECK(e.addr.family == ADDR_V4 || e.addr.family == ADDR_V6);
	FUZZ_CHECK(it.pos == it.end);
	writer_init(&w, out, sizeof(out));
	p2p_addrs_write(&w, type, items, count);
	check_same(&w, data, len);
}

static void checkpoints(enum p2p_type type, const uint8_t *data, size_t len)
{
	struct p2p_getcfcheckpt get;
	struct p2p_cfcheckpt m;
	struct writer w;

	writer_init(&w, out, sizeof(out));
	if (type == P2P_GETCFCHECKPT) {
		if (!p2p_getcfcheckpt_parse(data, len, &get))
			return;
		p2p_getcfcheckpt_write(&w, &get);
	} else {
		if (!p2p_cfcheckpt_parse(data, len, &m))
			return;
		p2p_cfcheckpt_write(&w, &m);
	}
	check_same(&w, data, len);
}

static void filters(enum p2p_type type, const uint8_t *data, size_t len)
{
	struct p2p_filter_range range;
	struct p2p_cfheaders m;
	struct p2p_cfilter f;
	struct writer w;

	writer_init(&w, out, sizeof(out));
	if (type == P2P_CFHEADERS) {
		if (!p2p_cfheaders_parse(data, len, &m))
			return;
		p2p_cfheaders_write(&w, &m);
	} else if (type == P2P_CFILTER) {
		if (!p2p_cfilter_parse(data, len, &f))
			return;
		p2p_cfilter_write(&w, &f);
	} else {
		if (!p2p_filter_range_parse(data, len, &range))
			return;
		p2p_filter_range_write(&w, &range);
	}
	check_same(&w, data, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum p2p_type type;
	uint64_t nonce;

	if (!len || data[0] > P2P_CFILTER)
		return 0;
	type = (enum p2p_type)data[0];
	data++;
	len--;
	switch (type) {
	case P2P_OTHER:
		frames(data, len);
		break;
	case P2P_VERSION:
		version(data, len);
		break;
	case P2P_PING:
	case P2P_PONG:
		FUZZ_CHECK(p2p_ping_parse(data, len, &nonce) == (len == P2P_PING_LEN));
		break;
	case P2P_GETHEADERS:
		getheaders(data, len);
		break;
	case P2P_HEADERS:
		headers(data, len);
		break;
	case P2P_INV:
	case P2P_GETDATA:
	case P2P_NOTFOUND:
		invs(data, len);
		break;
	case P2P_ADDR:
	case P2P_ADDRV2:
		addrs(type, data, len);
		break;
	case P2P_GETCFCHECKPT:
	case P2P_CFCHECKPT:
		checkpoints(type, data, len);
		break;
	case P2P_GETCFHEADERS:
	case P2P_CFHEADERS:
	case P2P_GETCFILTERS:
	case P2P_CFILTER:
		filters(type, data, len);
		break;
	case P2P_VERACK:
	case P2P_SENDHEADERS:
	case P2P_BLOCK:
	case P2P_TX:
	case P2P_GETADDR:
	case P2P_SENDADDRV2:
		break;
	}
	return 0;
}
