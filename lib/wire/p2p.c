#include "wire/p2p.h"

#include "wire/hash.h"
#include "wire/tx.h"

#include <assert.h>
#include <string.h>

enum {
	LEN_AT = P2P_MAGIC_LEN + P2P_COMMAND_LEN,
	CHECKSUM_AT = LEN_AT + 4,
	CHECKSUM_LEN = 4,
	ADDR_V1_LEN = 4 + 8 + 16 + 2,
	ADDR_V2_MIN = 4 + 1 + 1 + 1 + 2,
	ONION_PREFIX_LEN = 6,
};

static_assert(CHECKSUM_AT + CHECKSUM_LEN == P2P_HEADER_LEN, "the header's fields");
static_assert(P2P_HEADERS_STRIDE == BLOCK_HEADER_LEN + 1, "a header and a zero");
static_assert(sizeof(struct hash256) == HASH_LEN, "hashes on the wire are seen as an array");

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};
/* OnionCat, which carried Tor v2 names in IPv6 */
static const uint8_t onion_prefix[ONION_PREFIX_LEN] = {0xfd, 0x87, 0xd8, 0x7e, 0xeb, 0x43};

static const struct kind {
	const char *command;
	uint32_t max;
} kinds[] = {
#define X(name, command, max) [name] = {command, max},
	P2P_TYPES(X)
#undef X
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

const char *p2p_reason_text(enum p2p_reason reason)
{
	switch (reason) {
#define X(name, text)                                                                              \
	case name:                                                                                 \
		return text;
		P2P_REASONS(X)
#undef X
	}
	return "unknown reason";
}

const char *p2p_type_command(enum p2p_type type)
{
	assert((unsigned)type < KINDS);
	return kinds[type].command;
}

uint32_t p2p_type_max(enum p2p_type type)
{
	assert((unsigned)type < KINDS);
	return kinds[type].max;
}

/* Printable text, then zeros to the end. */
static bool command_ok(const uint8_t raw[P2P_COMMAND_LEN])
{
	size_t i = 0;

	while (i < P2P_COMMAND_LEN && raw[i] >= 0x20 && raw[i] <= 0x7e)
		i++;
	while (i < P2P_COMMAND_LEN && !raw[i])
		i++;
	return i == P2P_COMMAND_LEN && raw[0];
}

static enum p2p_type command_find(const char *command)
{
	for (size_t i = P2P_OTHER + 1; i < KINDS; i++)
		if (strcmp(kinds[i].command, command) == 0)
			return (enum p2p_type)i;
	return P2P_OTHER;
}

enum p2p_reason p2p_header_parse(const uint8_t magic[P2P_MAGIC_LEN],
				 const uint8_t raw[P2P_HEADER_LEN], struct p2p_header *ret)
{
	struct p2p_header header = {.len = load_u32(raw + LEN_AT)};

	if (memcmp(raw, magic, P2P_MAGIC_LEN) != 0)
		return P2P_BAD_MAGIC;
	if (!command_ok(raw + P2P_MAGIC_LEN))
		return P2P_BAD_COMMAND;
	memcpy(header.command, raw + P2P_MAGIC_LEN, P2P_COMMAND_LEN);
	memcpy(header.checksum, raw + CHECKSUM_AT, CHECKSUM_LEN);
	header.type = command_find(header.command);
	if (header.len > p2p_type_max(header.type))
		return P2P_BAD_LENGTH;
	*ret = header;
	return P2P_OK;
}

enum p2p_reason p2p_open(const uint8_t magic[P2P_MAGIC_LEN], const void *data, size_t len,
			 struct p2p_message *ret, size_t *ret_need)
{
	const uint8_t *raw = data;
	struct p2p_header header;
	struct hash256 hash;
	enum p2p_reason reason;

	if (len < P2P_HEADER_LEN) {
		*ret_need = P2P_HEADER_LEN;
		return P2P_SHORT;
	}
	reason = p2p_header_parse(magic, raw, &header);
	if (reason != P2P_OK)
		return reason;
	if (len - P2P_HEADER_LEN < header.len) {
		*ret_need = P2P_HEADER_LEN + (size_t)header.len;
		return P2P_SHORT;
	}
	hash_sha256d(raw + P2P_HEADER_LEN, header.len, &hash);
	if (memcmp(hash.bytes, header.checksum, CHECKSUM_LEN) != 0)
		return P2P_BAD_CHECKSUM;
	*ret = (struct p2p_message){
		.type = header.type,
		.payload = {raw + P2P_HEADER_LEN, header.len},
		.size = P2P_HEADER_LEN + (size_t)header.len,
	};
	return P2P_OK;
}

size_t p2p_begin(struct writer *w, const uint8_t magic[P2P_MAGIC_LEN], enum p2p_type type)
{
	size_t mark = writer_len(w);
	char command[P2P_COMMAND_LEN + 1] = {0};

	assert(type != P2P_OTHER);
	strncpy(command, p2p_type_command(type), P2P_COMMAND_LEN);
	writer_copy(w, magic, P2P_MAGIC_LEN);
	writer_copy(w, command, P2P_COMMAND_LEN);
	writer_zero(w, P2P_HEADER_LEN - LEN_AT);
	return mark;
}

void p2p_end(struct writer *w, size_t mark)
{
	char command[P2P_COMMAND_LEN + 1] = {0};
	uint8_t *header = w->start + mark;
	struct hash256 hash;
	size_t len;

	if (w->failed)
		return;
	len = writer_len(w) - mark - P2P_HEADER_LEN;
	memcpy(command, header + P2P_MAGIC_LEN, P2P_COMMAND_LEN);
	if (len > p2p_type_max(command_find(command))) {
		w->failed = true;
		return;
	}
	hash_sha256d(header + P2P_HEADER_LEN, len, &hash);
	store_u32(header + LEN_AT, (uint32_t)len);
	memcpy(header + CHECKSUM_AT, hash.bytes, CHECKSUM_LEN);
}

void p2p_write(struct writer *w, const uint8_t magic[P2P_MAGIC_LEN], enum p2p_type type,
	       const void *payload, size_t len)
{
	size_t mark = p2p_begin(w, magic, type);

	writer_copy(w, payload, len);
	p2p_end(w, mark);
}

/* A count of at most max items of size bytes each, all of which are there. */
static uint32_t read_count(struct reader *r, size_t size, uint32_t max)
{
	uint64_t count = reader_compact(r);

	if (count > max || count > reader_left(r) / size)
		r->failed = true;
	return r->failed ? 0 : (uint32_t)count;
}

static void write_count(struct writer *w, size_t count, uint32_t max)
{
	if (count > max)
		w->failed = true;
	writer_compact(w, count);
}

static const struct hash256 *read_hashes(struct reader *r, uint32_t max, uint32_t *ret_count)
{
	*ret_count = read_count(r, HASH_LEN, max);
	return (const struct hash256 *)reader_bytes(r, (size_t)*ret_count * HASH_LEN);
}

static void write_hashes(struct writer *w, const struct hash256 *hashes, uint32_t count,
			 uint32_t max)
{
	write_count(w, count, max);
	writer_copy(w, hashes, (size_t)count * HASH_LEN);
}

static struct endpoint read_endpoint(struct reader *r)
{
	struct endpoint ret = {.addr = {.family = ADDR_V6}};

	reader_copy(r, ret.addr.bytes, sizeof(ret.addr.bytes));
	ret.port = reader_u16be(r);
	if (memcmp(ret.addr.bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		ret.addr.family = ADDR_V4;
		memmove(ret.addr.bytes, ret.addr.bytes + sizeof(mapped_prefix), 4);
		memset(ret.addr.bytes + 4, 0, sizeof(ret.addr.bytes) - 4);
	}
	return ret;
}

/* ADDR_NONE is written as the IPv6 address of zeros. */
static void write_endpoint(struct writer *w, const struct endpoint *e)
{
	switch ((enum addr_family)e->addr.family) {
	case ADDR_NONE:
		writer_zero(w, 16);
		break;
	case ADDR_V4:
		writer_copy(w, mapped_prefix, sizeof(mapped_prefix));
		writer_copy(w, e->addr.bytes, 4);
		break;
	case ADDR_V6:
		writer_copy(w, e->addr.bytes, 16);
		break;
	}
	writer_u16be(w, e->port);
}

static struct p2p_node read_node(struct reader *r)
{
	struct p2p_node ret = {.services = reader_u64(r)};

	ret.endpoint = read_endpoint(r);
	return ret;
}

static void write_node(struct writer *w, const struct p2p_node *node)
{
	writer_u64(w, node->services);
	write_endpoint(w, &node->endpoint);
}

bool p2p_version_parse(const void *data, size_t len, struct p2p_version *ret)
{
	struct p2p_version m = {.relay = true};
	struct reader r;

	reader_init(&r, data, len);
	m.version = reader_u32(&r);
	m.services = reader_u64(&r);
	m.time = (int64_t)reader_u64(&r);
	m.receiver = read_node(&r);
	m.sender = read_node(&r);
	m.nonce = reader_u64(&r);
	m.agent.len = read_count(&r, 1, P2P_AGENT_MAX);
	m.agent.data = reader_bytes(&r, m.agent.len);
	m.height = (int32_t)reader_u32(&r);
	if (reader_left(&r))
		m.relay = reader_u8(&r) != 0;
	if (r.failed)
		return false;
	*ret = m;
	return true;
}

void p2p_version_write(struct writer *w, const struct p2p_version *m)
{
	writer_u32(w, m->version);
	writer_u64(w, m->services);
	writer_u64(w, (uint64_t)m->time);
	write_node(w, &m->receiver);
	write_node(w, &m->sender);
	writer_u64(w, m->nonce);
	write_count(w, m->agent.len, P2P_AGENT_MAX);
	writer_copy(w, m->agent.data, m->agent.len);
	writer_u32(w, (uint32_t)m->height);
	writer_u8(w, m->relay);
}

bool p2p_ping_parse(const void *data, size_t len, uint64_t *ret_nonce)
{
	if (len != P2P_PING_LEN)
		return false;
	*ret_nonce = load_u64(data);
	return true;
}

void p2p_ping_write(struct writer *w, uint64_t nonce)
{
	writer_u64(w, nonce);
}

bool p2p_getheaders_parse(const void *data, size_t len, struct p2p_getheaders *ret)
{
	struct p2p_getheaders m;
	struct reader r;

	reader_init(&r, data, len);
	m.version = reader_u32(&r);
	m.locator = read_hashes(&r, P2P_LOCATOR_MAX, &m.count);
	reader_copy(&r, m.stop.bytes, HASH_LEN);
	if (!reader_done(&r))
		return false;
	*ret = m;
	return true;
}

void p2p_getheaders_write(struct writer *w, const struct p2p_getheaders *m)
{
	writer_u32(w, m->version);
	write_hashes(w, m->locator, m->count, P2P_LOCATOR_MAX);
	writer_copy(w, m->stop.bytes, HASH_LEN);
}

bool p2p_headers_parse(const void *data, size_t len, struct p2p_headers *ret)
{
	struct p2p_headers m;
	struct reader r;

	reader_init(&r, data, len);
	m.count = read_count(&r, P2P_HEADERS_STRIDE, P2P_HEADERS_MAX);
	m.items = reader_bytes(&r, (size_t)m.count * P2P_HEADERS_STRIDE);
	if (!reader_done(&r))
		return false;
	for (uint32_t i = 0; i < m.count; i++)
		if (p2p_headers_at(&m, i)[BLOCK_HEADER_LEN])
			return false;
	*ret = m;
	return true;
}

const uint8_t *p2p_headers_at(const struct p2p_headers *m, uint32_t index)
{
	assert(index < m->count);
	return m->items + (size_t)index * P2P_HEADERS_STRIDE;
}

void p2p_headers_write(struct writer *w, const uint8_t *raw, uint32_t count)
{
	write_count(w, count, P2P_HEADERS_MAX);
	for (uint32_t i = 0; i < count && !w->failed; i++) {
		writer_copy(w, raw + (size_t)i * BLOCK_HEADER_LEN, BLOCK_HEADER_LEN);
		writer_u8(w, 0);
	}
}

bool p2p_invs_parse(const void *data, size_t len, struct p2p_invs *ret)
{
	struct p2p_invs m;
	struct reader r;

	reader_init(&r, data, len);
	m.count = read_count(&r, P2P_INV_LEN, P2P_INVS_MAX);
	m.items = reader_bytes(&r, (size_t)m.count * P2P_INV_LEN);
	if (!reader_done(&r))
		return false;
	*ret = m;
	return true;
}

struct p2p_inv p2p_invs_at(const struct p2p_invs *m, uint32_t index)
{
	const uint8_t *raw = m->items + (size_t)index * P2P_INV_LEN;
	struct p2p_inv ret = {.type = load_u32(raw)};

	assert(index < m->count);
	memcpy(ret.hash.bytes, raw + 4, HASH_LEN);
	return ret;
}

void p2p_invs_write(struct writer *w, const struct p2p_inv *items, uint32_t count)
{
	write_count(w, count, P2P_INVS_MAX);
	for (uint32_t i = 0; i < count && !w->failed; i++) {
		writer_u32(w, items[i].type);
		writer_copy(w, items[i].hash.bytes, HASH_LEN);
	}
}

/* What addr calls an IPv6 address. */
static void split_host(const uint8_t raw[16], struct p2p_addr *ret)
{
	if (memcmp(raw, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		ret->network = P2P_NET_IPV4;
		ret->host = (struct span){raw + sizeof(mapped_prefix), 4};
	} else if (memcmp(raw, onion_prefix, sizeof(onion_prefix)) == 0) {
		ret->network = P2P_NET_TORV2;
		ret->host = (struct span){raw + sizeof(onion_prefix), 10};
	} else {
		ret->network = P2P_NET_IPV6;
		ret->host = (struct span){raw, 16};
	}
}

/* 0: any up to P2P_ADDR_HOST_MAX. */
static size_t host_len(uint8_t network)
{
	switch (network) {
	case P2P_NET_IPV4:
		return 4;
	case P2P_NET_IPV6:
	case P2P_NET_CJDNS:
		return 16;
	case P2P_NET_TORV2:
		return 10;
	case P2P_NET_TORV3:
	case P2P_NET_I2P:
		return 32;
	}
	return 0;
}

static void read_addr(struct reader *r, bool v2, struct p2p_addr *ret)
{
	const uint8_t *raw;
	size_t want;

	ret->time = reader_u32(r);
	if (v2) {
		ret->services = reader_compact(r);
		ret->network = reader_u8(r);
		ret->host.len = read_count(r, 1, P2P_ADDR_HOST_MAX);
		ret->host.data = reader_bytes(r, ret->host.len);
		want = host_len(ret->network);
		if (want && ret->host.len != want)
			r->failed = true;
	} else {
		ret->services = reader_u64(r);
		raw = reader_bytes(r, 16);
		if (raw)
			split_host(raw, ret);
	}
	ret->port = reader_u16be(r);
}

bool p2p_addrs_parse(enum p2p_type type, const void *data, size_t len, struct p2p_addrs *ret)
{
	struct p2p_addrs m = {.v2 = type == P2P_ADDRV2};
	struct p2p_addr addr;
	struct reader r;

	assert(type == P2P_ADDR || type == P2P_ADDRV2);
	reader_init(&r, data, len);
	m.left = read_count(&r, m.v2 ? ADDR_V2_MIN : ADDR_V1_LEN, P2P_ADDRS_MAX);
	m.pos = r.pos;
	m.end = r.end;
	for (uint32_t i = 0; i < m.left && !r.failed; i++)
		read_addr(&r, m.v2, &addr);
	if (!reader_done(&r))
		return false;
	*ret = m;
	return true;
}

bool p2p_addr_next(struct p2p_addrs *it, struct p2p_addr *ret)
{
	struct reader r;

	if (!it->left)
		return false;
	it->left--;
	reader_init(&r, it->pos, (size_t)(it->end - it->pos));
	read_addr(&r, it->v2, ret);
	it->pos = r.pos;
	return true;
}

static void write_host_v1(struct writer *w, const struct p2p_addr *a)
{
	if (a->network == P2P_NET_IPV4)
		writer_copy(w, mapped_prefix, sizeof(mapped_prefix));
	else if (a->network == P2P_NET_TORV2)
		writer_copy(w, onion_prefix, sizeof(onion_prefix));
	else if (a->network != P2P_NET_IPV6)
		w->failed = true;
	writer_copy(w, a->host.data, a->host.len);
}

void p2p_addrs_write(struct writer *w, enum p2p_type type, const struct p2p_addr *items,
		     uint32_t count)
{
	assert(type == P2P_ADDR || type == P2P_ADDRV2);
	write_count(w, count, P2P_ADDRS_MAX);
	for (uint32_t i = 0; i < count && !w->failed; i++) {
		const struct p2p_addr *a = &items[i];
		size_t want = host_len(a->network);

		if (want && a->host.len != want)
			w->failed = true;
		writer_u32(w, a->time);
		if (type == P2P_ADDRV2) {
			writer_compact(w, a->services);
			writer_u8(w, a->network);
			write_count(w, a->host.len, P2P_ADDR_HOST_MAX);
			writer_copy(w, a->host.data, a->host.len);
		} else {
			writer_u64(w, a->services);
			write_host_v1(w, a);
		}
		writer_u16be(w, a->port);
	}
}

bool p2p_addr_endpoint(const struct p2p_addr *a, struct endpoint *ret)
{
	struct endpoint e = {.port = a->port};

	if (a->network != P2P_NET_IPV4 && a->network != P2P_NET_IPV6)
		return false;
	if (a->network == P2P_NET_IPV6 &&
	    (memcmp(a->host.data, mapped_prefix, sizeof(mapped_prefix)) == 0 ||
	     memcmp(a->host.data, onion_prefix, sizeof(onion_prefix)) == 0))
		return false;
	e.addr.family = a->network == P2P_NET_IPV4 ? ADDR_V4 : ADDR_V6;
	memcpy(e.addr.bytes, a->host.data, a->host.len);
	*ret = e;
	return true;
}

bool p2p_filter_range_parse(const void *data, size_t len, struct p2p_filter_range *ret)
{
	struct p2p_filter_range m;
	struct reader r;

	reader_init(&r, data, len);
	m.type = reader_u8(&r);
	m.start = reader_u32(&r);
	reader_copy(&r, m.stop.bytes, HASH_LEN);
	if (!reader_done(&r))
		return false;
	*ret = m;
	return true;
}

void p2p_filter_range_write(struct writer *w, const struct p2p_filter_range *m)
{
	writer_u8(w, m->type);
	writer_u32(w, m->start);
	writer_copy(w, m->stop.bytes, HASH_LEN);
}

bool p2p_getcfcheckpt_parse(const void *data, size_t len, struct p2p_getcfcheckpt *ret)
{
	struct p2p_getcfcheckpt m;
	struct reader r;

	reader_init(&r, data, len);
	m.type = reader_u8(&r);
	reader_copy(&r, m.stop.bytes, HASH_LEN);
	if (!reader_done(&r))
		return false;
	*ret = m;
	return true;
}

void p2p_getcfcheckpt_write(struct writer *w, const struct p2p_getcfcheckpt *m)
{
	writer_u8(w, m->type);
	writer_copy(w, m->stop.bytes, HASH_LEN);
}

bool p2p_cfcheckpt_parse(const void *data, size_t len, struct p2p_cfcheckpt *ret)
{
	struct p2p_cfcheckpt m;
	struct reader r;

	reader_init(&r, data, len);
	m.type = reader_u8(&r);
	reader_copy(&r, m.stop.bytes, HASH_LEN);
	m.headers = read_hashes(&r, P2P_CFCHECKPT_MAX, &m.count);
	if (!reader_done(&r))
		return false;
	*ret = m;
	return true;
}

void p2p_cfcheckpt_write(struct writer *w, const struct p2p_cfcheckpt *m)
{
	writer_u8(w, m->type);
	writer_copy(w, m->stop.bytes, HASH_LEN);
	write_hashes(w, m->headers, m->count, P2P_CFCHECKPT_MAX);
}

bool p2p_cfheaders_parse(const void *data, size_t len, struct p2p_cfheaders *ret)
{
	struct p2p_cfheaders m;
	struct reader r;

	reader_init(&r, data, len);
	m.type = reader_u8(&r);
	reader_copy(&r, m.stop.bytes, HASH_LEN);
	reader_copy(&r, m.prev.bytes, HASH_LEN);
	m.hashes = read_hashes(&r, P2P_CFHEADERS_MAX, &m.count);
	if (!reader_done(&r))
		return false;
	*ret = m;
	return true;
}

void p2p_cfheaders_write(struct writer *w, const struct p2p_cfheaders *m)
{
	writer_u8(w, m->type);
	writer_copy(w, m->stop.bytes, HASH_LEN);
	writer_copy(w, m->prev.bytes, HASH_LEN);
	write_hashes(w, m->hashes, m->count, P2P_CFHEADERS_MAX);
}

bool p2p_cfilter_parse(const void *data, size_t len, struct p2p_cfilter *ret)
{
	struct p2p_cfilter m;
	struct reader r;

	reader_init(&r, data, len);
	m.type = reader_u8(&r);
	reader_copy(&r, m.block.bytes, HASH_LEN);
	m.filter.len = read_count(&r, 1, P2P_FILTER_MAX);
	m.filter.data = reader_bytes(&r, m.filter.len);
	if (!reader_done(&r))
		return false;
	*ret = m;
	return true;
}

void p2p_cfilter_write(struct writer *w, const struct p2p_cfilter *m)
{
	writer_u8(w, m->type);
	writer_copy(w, m->block.bytes, HASH_LEN);
	write_count(w, m->filter.len, P2P_FILTER_MAX);
	writer_copy(w, m->filter.data, m->filter.len);
}
