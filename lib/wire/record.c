#include "wire/record.h"

#include "wire/hash.h"

#include <assert.h>
#include <string.h>

enum {
	MAGIC_0 = 0x44,
	MAGIC_1 = 0x4e,
	CREATE_FLAG_IPV4 = 0x01,
	NODE_FLAGS_KNOWN = NODE_FLAG_GATEWAY | NODE_FLAG_RELAY | NODE_FLAG_EXPIRY | NODE_FLAG_IPV4 |
			   NODE_FLAG_IPV6,
	FORM_IPV4 = 4,
	FORM_IPV6 = 6,
	FORM_HOST = 'h',
	PREFIX_BITS_MIN = 8,
	PREFIX_BITS_MAX = 30,
};

/* RECORDS 1.1: A payload is at most 80 bytes. */
static_assert(PAYLOAD_HEADER_LEN + RECORD_HEADER_LEN + RECORD_BODY_MAX == PAYLOAD_MAX,
	      "one longest record fills a payload");
static_assert(RECORD_KEY_MAX == 1 + 2 + 1 + RECORD_HOST_MAX, "an endpoint with a host name");

const char *record_reason_text(enum record_reason reason)
{
	switch (reason) {
#define X(name, value, text)                                                                       \
	case name:                                                                                 \
		return text;
		RECORD_REASONS(X)
#undef X
	}
	return "unknown reason";
}

const char *record_type_name(uint8_t type)
{
	switch ((enum record_type)type) {
	case RECORD_DNET_CREATE:
		return "DNET_CREATE";
	case RECORD_OVC_CREATE:
		return "OVC_CREATE";
	case RECORD_OVR_CREATE:
		return "OVR_CREATE";
	case RECORD_NODE_PUT:
		return "NODE_PUT";
	case RECORD_NODE_DEL:
		return "NODE_DEL";
	case RECORD_LINK:
		return "LINK";
	case RECORD_UNLINK:
		return "UNLINK";
	case RECORD_ROSTER:
		return "ROSTER";
	case RECORD_ENDPOINT_PUT:
		return "ENDPOINT_PUT";
	case RECORD_ENDPOINT_DEL:
		return "ENDPOINT_DEL";
	case RECORD_GRANT:
		return "GRANT";
	case RECORD_REVOKE:
		return "REVOKE";
	case RECORD_TRANSFER:
		return "TRANSFER";
	case RECORD_CLOSE:
		return "CLOSE";
	}
	return NULL;
}

const char *record_transport_name(uint8_t transport)
{
	static const char *const names[] = {NULL, "udp", "tcp", "tls", "ws", "wss", "quic"};

	return transport <= TRANSPORT_QUIC ? names[transport] : NULL;
}

bool record_is_create(uint8_t type)
{
	return record_creates(type) != 0;
}

enum object_kind record_creates(uint8_t type)
{
	static_assert((int)RECORD_DNET_CREATE == OBJECT_DNET &&
			      (int)RECORD_OVC_CREATE == OBJECT_OVC &&
			      (int)RECORD_OVR_CREATE == OBJECT_OVR,
		      "same numbers");
	return type <= RECORD_OVR_CREATE ? (enum object_kind)type : (enum object_kind)0;
}

bool record_is_revocation(uint8_t type)
{
	return type == RECORD_NODE_DEL || type == RECORD_UNLINK || type == RECORD_ENDPOINT_DEL ||
	       type == RECORD_REVOKE || type == RECORD_CLOSE;
}

bool record_fits_kind(const struct record *record, enum object_kind kind)
{
	switch ((enum record_type)record->type) {
	case RECORD_DNET_CREATE:
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
		return record_creates(record->type) == kind;
	case RECORD_NODE_PUT:
	case RECORD_NODE_DEL:
	case RECORD_LINK:
	case RECORD_UNLINK:
	case RECORD_ROSTER:
		return kind == OBJECT_DNET;
	case RECORD_ENDPOINT_PUT:
	case RECORD_ENDPOINT_DEL:
	case RECORD_GRANT:
	case RECORD_REVOKE:
		return kind == OBJECT_OVC || kind == OBJECT_OVR;
	case RECORD_TRANSFER:
		return kind == OBJECT_DNET || !record->transfer.has_admin_key;
	case RECORD_CLOSE:
		return true;
	}
	return false;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static bool name_ok(const char *name, size_t len)
{
	if (!len || len > RECORD_NAME_MAX || name[0] == '-' || name[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!name_char(name[i]))
			return false;
	}
	return true;
}

bool record_name_ok(const char *name)
{
	return name_ok(name, strnlen(name, RECORD_NAME_MAX + 1));
}

static bool host_ok(const char *host, size_t len)
{
	if (!len || len > RECORD_HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!name_char(host[i]) && host[i] != '.')
			return false;
	}
	return true;
}

bool record_host_ok(const char *host)
{
	return host_ok(host, strnlen(host, RECORD_HOST_MAX + 1));
}

/* What is left of the body, into ret of RECORD_NAME_MAX + 1 zeros. */
static enum record_reason read_name(struct reader *r, bool may_be_empty, char *ret)
{
	size_t len = reader_left(r);
	const char *name = (const char *)reader_bytes(r, len);

	if (r->failed)
		return RECORD_LENGTH;
	if (!len && may_be_empty)
		return RECORD_OK;
	if (!name_ok(name, len))
		return RECORD_NAME;
	memcpy(ret, name, len);
	return RECORD_OK;
}

static void read_address(struct reader *r, enum addr_family family, struct address *ret)
{
	ret->family = (uint8_t)family;
	reader_copy(r, ret->bytes, family == ADDR_V6 ? 16 : 4);
}

/* Fixed fields come first; then the body has its length or has it not. */
static enum record_reason checked_length(const struct reader *r)
{
	return reader_done(r) ? RECORD_OK : RECORD_LENGTH;
}

static enum record_reason parse_dnet_create(struct reader *r, struct record *ret)
{
	uint8_t flags;

	reader_copy(r, ret->dnet_create.admin_key, XONLY_LEN);
	flags = reader_u8(r);
	if (r->failed)
		return RECORD_LENGTH;
	if (flags & ~CREATE_FLAG_IPV4)
		return RECORD_RESERVED;
	if (flags & CREATE_FLAG_IPV4) {
		struct prefix *ipv4 = &ret->dnet_create.ipv4, masked;

		read_address(r, ADDR_V4, &ipv4->addr);
		ipv4->bits = reader_u8(r);
		if (r->failed)
			return RECORD_LENGTH;
		if (ipv4->bits < PREFIX_BITS_MIN || ipv4->bits > PREFIX_BITS_MAX)
			return RECORD_PREFIX;
		masked = *ipv4;
		prefix_mask(&masked);
		if (!prefix_equal(&masked, ipv4))
			return RECORD_PREFIX;
	}
	return read_name(r, false, ret->dnet_create.name);
}

static enum record_reason parse_service_create(struct reader *r, struct record *ret)
{
	uint8_t flags;

	reader_copy(r, ret->service_create.service_key.bytes, PUBKEY_LEN);
	flags = reader_u8(r);
	if (r->failed)
		return RECORD_LENGTH;
	if (!node_key_well_formed(&ret->service_create.service_key))
		return RECORD_PUBKEY;
	if (flags)
		return RECORD_RESERVED;
	return read_name(r, false, ret->service_create.name);
}

static enum record_reason parse_node_put(struct reader *r, struct record *ret)
{
	uint8_t flags;

	reader_copy(r, ret->node_put.key.bytes, PUBKEY_LEN);
	flags = ret->node_put.flags = reader_u8(r);
	if (r->failed)
		return RECORD_LENGTH;
	if (!node_key_well_formed(&ret->node_put.key))
		return RECORD_PUBKEY;
	if (flags & ~NODE_FLAGS_KNOWN)
		return RECORD_RESERVED;
	if (flags & NODE_FLAG_IPV4)
		read_address(r, ADDR_V4, &ret->node_put.ipv4);
	if (flags & NODE_FLAG_IPV6)
		read_address(r, ADDR_V6, &ret->node_put.ipv6);
	if (r->failed)
		return RECORD_LENGTH;
	if (flags & NODE_FLAG_IPV6 && ret->node_put.ipv6.bytes[0] != 0xfd)
		return RECORD_IPV6;
	return read_name(r, true, ret->node_put.name);
}

static enum record_reason parse_node_del(struct reader *r, struct record *ret)
{
	reader_copy(r, ret->node_del.key.bytes, PUBKEY_LEN);
	if (!reader_done(r))
		return RECORD_LENGTH;
	return node_key_well_formed(&ret->node_del.key) ? RECORD_OK : RECORD_PUBKEY;
}

static enum record_reason parse_link(struct reader *r, struct record *ret)
{
	ret->link.kind = reader_u8(r);
	reader_copy(r, ret->link.id.bytes, OBJECT_ID_LEN);
	if (ret->type == RECORD_LINK) {
		ret->link.priority = reader_u8(r);
		ret->link.weight = reader_u8(r);
	}
	if (!reader_done(r))
		return RECORD_LENGTH;
	return ret->link.kind == OBJECT_OVC || ret->link.kind == OBJECT_OVR ? RECORD_OK
									    : RECORD_KIND;
}

static enum record_reason parse_roster(struct reader *r, struct record *ret)
{
	ret->roster.sequence = reader_u32(r);
	reader_copy(r, ret->roster.root.bytes, HASH_LEN);
	return checked_length(r);
}

static enum record_reason parse_endpoint(struct reader *r, struct record *ret)
{
	struct record_endpoint *e = &ret->endpoint;
	const char *host;
	uint8_t form;
	size_t len;

	e->transport = reader_u8(r);
	e->port = reader_u16(r);
	form = reader_u8(r);
	if (r->failed)
		return RECORD_LENGTH;
	if (!record_transport_name(e->transport))
		return RECORD_TRANSPORT;
	if (!e->port)
		return RECORD_PORT;
	switch (form) {
	case FORM_IPV4:
		read_address(r, ADDR_V4, &e->address);
		return checked_length(r);
	case FORM_IPV6:
		read_address(r, ADDR_V6, &e->address);
		return checked_length(r);
	case FORM_HOST:
		len = reader_left(r);
		host = (const char *)reader_bytes(r, len);
		if (!host_ok(host, len))
			return RECORD_HOST;
		memcpy(e->host, host, len);
		return RECORD_OK;
	default:
		return RECORD_FORM;
	}
}

static enum record_reason parse_grant(struct reader *r, struct record *ret)
{
	reader_copy(r, ret->grant.dnet.bytes, OBJECT_ID_LEN);
	if (ret->type == RECORD_GRANT) {
		ret->grant.expiry = reader_u32(r);
		ret->grant.rate_kbit = reader_u32(r);
		ret->grant.volume_mib = reader_u32(r);
	}
	return checked_length(r);
}

static enum record_reason parse_transfer(struct reader *r, struct record *ret)
{
	ret->transfer.has_admin_key = reader_left(r) != 0;
	if (ret->transfer.has_admin_key)
		reader_copy(r, ret->transfer.admin_key, XONLY_LEN);
	return checked_length(r);
}

enum record_reason record_parse(uint8_t type, const void *body, size_t len, struct record *ret)
{
	enum record_reason reason = RECORD_UNKNOWN_TYPE;
	struct record record;
	struct reader r;

	memset(&record, 0, sizeof(record));
	record.type = type;
	reader_init(&r, body, len);
	if (len > RECORD_BODY_MAX)
		return RECORD_LENGTH;
	switch ((enum record_type)type) {
	case RECORD_DNET_CREATE:
		reason = parse_dnet_create(&r, &record);
		break;
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
		reason = parse_service_create(&r, &record);
		break;
	case RECORD_NODE_PUT:
		reason = parse_node_put(&r, &record);
		break;
	case RECORD_NODE_DEL:
		reason = parse_node_del(&r, &record);
		break;
	case RECORD_LINK:
	case RECORD_UNLINK:
		reason = parse_link(&r, &record);
		break;
	case RECORD_ROSTER:
		reason = parse_roster(&r, &record);
		break;
	case RECORD_ENDPOINT_PUT:
	case RECORD_ENDPOINT_DEL:
		reason = parse_endpoint(&r, &record);
		break;
	case RECORD_GRANT:
	case RECORD_REVOKE:
		reason = parse_grant(&r, &record);
		break;
	case RECORD_TRANSFER:
		reason = parse_transfer(&r, &record);
		break;
	case RECORD_CLOSE:
		reason = checked_length(&r);
		break;
	}
	if (reason == RECORD_OK)
		memcpy(ret, &record, sizeof(record));
	return reason;
}

static void write_address(struct writer *w, const struct address *a)
{
	writer_copy(w, a->bytes, address_bits(a) / 8);
}

static void write_name(struct writer *w, const char *name)
{
	writer_copy(w, name, strnlen(name, RECORD_NAME_MAX + 1));
}

static void write_endpoint(struct writer *w, const struct record_endpoint *e)
{
	writer_u8(w, e->transport);
	writer_u16(w, e->port);
	if (e->address.family == ADDR_NONE) {
		writer_u8(w, FORM_HOST);
		writer_copy(w, e->host, strnlen(e->host, RECORD_HOST_MAX + 1));
	} else {
		writer_u8(w, e->address.family == ADDR_V4 ? FORM_IPV4 : FORM_IPV6);
		write_address(w, &e->address);
	}
}

static void write_dnet_create(struct writer *w, const struct record *record)
{
	const struct prefix *ipv4 = &record->dnet_create.ipv4;

	writer_copy(w, record->dnet_create.admin_key, XONLY_LEN);
	writer_u8(w, ipv4->addr.family == ADDR_V4 ? CREATE_FLAG_IPV4 : 0);
	if (ipv4->addr.family == ADDR_V4) {
		write_address(w, &ipv4->addr);
		writer_u8(w, ipv4->bits);
	}
	write_name(w, record->dnet_create.name);
}

static void write_node_put(struct writer *w, const struct record *record)
{
	const struct address *ipv4 = &record->node_put.ipv4, *ipv6 = &record->node_put.ipv6;
	uint8_t flags = record->node_put.flags & (uint8_t) ~(NODE_FLAG_IPV4 | NODE_FLAG_IPV6);

	if (ipv4->family == ADDR_V4)
		flags |= NODE_FLAG_IPV4;
	if (ipv6->family == ADDR_V6)
		flags |= NODE_FLAG_IPV6;
	writer_copy(w, record->node_put.key.bytes, PUBKEY_LEN);
	writer_u8(w, flags);
	if (flags & NODE_FLAG_IPV4)
		write_address(w, ipv4);
	if (flags & NODE_FLAG_IPV6)
		write_address(w, ipv6);
	write_name(w, record->node_put.name);
}

static void write_body(struct writer *w, const struct record *record)
{
	switch ((enum record_type)record->type) {
	case RECORD_DNET_CREATE:
		write_dnet_create(w, record);
		break;
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
		writer_copy(w, record->service_create.service_key.bytes, PUBKEY_LEN);
		writer_u8(w, 0);
		write_name(w, record->service_create.name);
		break;
	case RECORD_NODE_PUT:
		write_node_put(w, record);
		break;
	case RECORD_NODE_DEL:
		writer_copy(w, record->node_del.key.bytes, PUBKEY_LEN);
		break;
	case RECORD_LINK:
	case RECORD_UNLINK:
		writer_u8(w, record->link.kind);
		writer_copy(w, record->link.id.bytes, OBJECT_ID_LEN);
		if (record->type == RECORD_LINK) {
			writer_u8(w, record->link.priority);
			writer_u8(w, record->link.weight);
		}
		break;
	case RECORD_ROSTER:
		writer_u32(w, record->roster.sequence);
		writer_copy(w, record->roster.root.bytes, HASH_LEN);
		break;
	case RECORD_ENDPOINT_PUT:
	case RECORD_ENDPOINT_DEL:
		write_endpoint(w, &record->endpoint);
		break;
	case RECORD_GRANT:
	case RECORD_REVOKE:
		writer_copy(w, record->grant.dnet.bytes, OBJECT_ID_LEN);
		if (record->type == RECORD_GRANT) {
			writer_u32(w, record->grant.expiry);
			writer_u32(w, record->grant.rate_kbit);
			writer_u32(w, record->grant.volume_mib);
		}
		break;
	case RECORD_TRANSFER:
		if (record->transfer.has_admin_key)
			writer_copy(w, record->transfer.admin_key, XONLY_LEN);
		break;
	case RECORD_CLOSE:
		break;
	}
}

void record_write(struct writer *w, const struct record *record)
{
	uint8_t body[RECORD_BODY_MAX];
	struct record again;
	struct writer b;

	writer_init(&b, body, sizeof(body));
	write_body(&b, record);
	/* What a reader would refuse is not written. */
	if (b.failed || record_parse(record->type, body, writer_len(&b), &again) != RECORD_OK) {
		w->failed = true;
		return;
	}
	writer_u8(w, record->type);
	writer_u8(w, (uint8_t)writer_len(&b));
	writer_copy(w, body, writer_len(&b));
}

size_t record_key(const struct record *record, uint8_t ret[RECORD_KEY_MAX])
{
	struct writer w;

	writer_init(&w, ret, RECORD_KEY_MAX);
	switch ((enum record_type)record->type) {
	case RECORD_NODE_PUT:
		writer_copy(&w, record->node_put.key.bytes, PUBKEY_LEN);
		break;
	case RECORD_NODE_DEL:
		writer_copy(&w, record->node_del.key.bytes, PUBKEY_LEN);
		break;
	case RECORD_LINK:
	case RECORD_UNLINK:
		writer_u8(&w, record->link.kind);
		writer_copy(&w, record->link.id.bytes, OBJECT_ID_LEN);
		break;
	case RECORD_ENDPOINT_PUT:
	case RECORD_ENDPOINT_DEL:
		write_endpoint(&w, &record->endpoint);
		break;
	case RECORD_GRANT:
	case RECORD_REVOKE:
		writer_copy(&w, record->grant.dnet.bytes, OBJECT_ID_LEN);
		break;
	case RECORD_DNET_CREATE:
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
	case RECORD_ROSTER:
	case RECORD_TRANSFER:
	case RECORD_CLOSE:
		break;
	}
	return writer_len(&w);
}

bool payload_has_magic(const void *data, size_t len)
{
	const uint8_t *bytes = data;

	return len >= 2 && bytes[0] == MAGIC_0 && bytes[1] == MAGIC_1;
}

void payload_open(struct payload *ret, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	ret->raw = (struct span){data, len};
	ret->pos = 0;
	ret->reason = RECORD_OK;
	if (!payload_has_magic(data, len))
		ret->reason = RECORD_NO_MAGIC;
	else if (len < PAYLOAD_HEADER_LEN || len > PAYLOAD_MAX)
		ret->reason = RECORD_PAYLOAD_LENGTH;
	else if (bytes[2] != PAYLOAD_VERSION)
		ret->reason = RECORD_VERSION;
	else if (len == PAYLOAD_HEADER_LEN)
		ret->reason = RECORD_TRUNCATED;
	reader_init(&ret->reader, data, len);
	if (ret->reason == RECORD_OK)
		reader_bytes(&ret->reader, PAYLOAD_HEADER_LEN);
}

bool payload_next(struct payload *payload, struct payload_item *ret)
{
	struct reader *r = &payload->reader;
	const uint8_t *start = r->pos, *body;
	size_t left = reader_left(r);
	uint8_t len;

	if (!left)
		return false;
	ret->pos = payload->pos++;
	ret->raw = (struct span){start, left};
	ret->type = 0;
	ret->reason = payload->reason;
	if (payload->reason != RECORD_OK) {
		reader_bytes(r, left);
		return true;
	}
	ret->type = reader_u8(r);
	len = reader_u8(r);
	body = reader_bytes(r, len);
	if (!body) {
		/* RECORDS 1.4: A `len` that runs past the payload makes the rest of the payload one
		 * malformed record. */
		ret->reason = RECORD_TRUNCATED;
		return true;
	}
	ret->raw.len = (size_t)(r->pos - start);
	ret->reason = record_parse(ret->type, body, len, &ret->record);
	return true;
}

void payload_begin(struct writer *w, uint8_t mem[PAYLOAD_MAX])
{
	writer_init(w, mem, PAYLOAD_MAX);
	writer_u8(w, MAGIC_0);
	writer_u8(w, MAGIC_1);
	writer_u8(w, PAYLOAD_VERSION);
}

size_t payload_finish(const struct writer *w)
{
	return w->failed || writer_len(w) == PAYLOAD_HEADER_LEN ? 0 : writer_len(w);
}

void object_id_derive(enum object_kind kind, const struct outpoint *first, struct object_id *ret)
{
	static const char tag[] = "dnet/id/1";
	uint8_t mem[sizeof(tag) - 1 + 1 + HASH_LEN + 4];
	struct writer w;

	/* RECORDS 3.1: `id = HASH160("dnet/id/1" || kind || txid || vout)` over the outpoint that
	 * `vin[0]` spends */
	writer_init(&w, mem, sizeof(mem));
	writer_copy(&w, tag, sizeof(tag) - 1);
	writer_u8(&w, (uint8_t)kind);
	writer_copy(&w, first->txid.bytes, HASH_LEN);
	writer_u32(&w, first->vout);
	assert(!w.failed && w.pos == w.end);
	hash_hash160(mem, sizeof(mem), ret->bytes);
}

void dnet_prefix_derive(const struct object_id *dnet, struct prefix *ret)
{
	static const char tag[] = "dnet/prefix/1";
	struct hash256 hash;
	struct sha256 h;

	/* RECORDS 6.1: The IPv6 prefix of a dnet is `fd` and the first 5 bytes of
	 * SHA256("dnet/prefix/1" || dnet id), then 16 zero bits: a /64. */
	sha256_init(&h);
	sha256_update(&h, tag, sizeof(tag) - 1);
	sha256_update(&h, dnet->bytes, OBJECT_ID_LEN);
	sha256_final(&h, &hash);
	memset(ret, 0, sizeof(*ret));
	ret->addr.family = ADDR_V6;
	ret->bits = 64;
	ret->addr.bytes[0] = 0xfd;
	memcpy(ret->addr.bytes + 1, hash.bytes, 5);
}

void node_address_derive(const struct object_id *dnet, const struct node_key *key,
			 struct address *ret)
{
	static const char tag[] = "dnet/addr/1";
	struct prefix prefix;
	struct hash256 hash;
	struct sha256 h;

	/* RECORDS 6.2: A node's IPv6 address is that prefix and the first 8 bytes of
	 * SHA256("dnet/addr/1" || dnet id || node key). */
	dnet_prefix_derive(dnet, &prefix);
	sha256_init(&h);
	sha256_update(&h, tag, sizeof(tag) - 1);
	sha256_update(&h, dnet->bytes, OBJECT_ID_LEN);
	sha256_update(&h, key->bytes, PUBKEY_LEN);
	sha256_final(&h, &hash);
	*ret = prefix.addr;
	memcpy(ret->bytes + 8, hash.bytes, 8);
}
