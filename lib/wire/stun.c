#include "wire/stun.h"

#include <string.h>

enum {
	COOKIE = 0x2112a442,
	BINDING_REQUEST = 0x0001,
	BINDING_SUCCESS = 0x0101,
	ATTR_MAPPED_ADDRESS = 0x0001,
	ATTR_USERNAME = 0x0006,
	ATTR_MESSAGE_INTEGRITY = 0x0008,
	ATTR_REALM = 0x0014,
	ATTR_NONCE = 0x0015,
	ATTR_MESSAGE_INTEGRITY_SHA256 = 0x001c,
	ATTR_USERHASH = 0x001e,
	ATTR_XOR_MAPPED_ADDRESS = 0x0020,
	ATTR_PRIORITY = 0x0024,
	ATTR_USE_CANDIDATE = 0x0025,
	ATTR_OPTIONAL = 0x8000, /* from here on: may be ignored */
	ATTR_FINGERPRINT = 0x8028,
	FINGERPRINT_LEN = 4,
	FINGERPRINT_XOR = 0x5354554e,
	FAMILY_IPV4 = 1,
	FAMILY_IPV6 = 2,
};

static uint32_t crc32_of(const uint8_t *data, size_t len)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

bool stun_is(const void *data, size_t len)
{
	const uint8_t *m = data;

	return len >= STUN_HEADER_LEN && m[0] < 0x40 && load_u32be(m + 4) == COOKIE;
}

static bool header_ok(const uint8_t *m, size_t len, uint16_t type)
{
	return stun_is(m, len) && load_u16be(m) == type && load_u16be(m + 2) % 4 == 0 &&
	       load_u16be(m + 2) == len - STUN_HEADER_LEN;
}

struct attribute {
	uint16_t type;
	struct span value;
};

/* False at the end, and for one that runs past it (r->failed). */
static bool next_attribute(struct reader *r, struct attribute *ret)
{
	if (!reader_left(r))
		return false;
	ret->type = reader_u16be(r);
	ret->value.len = reader_u16be(r);
	ret->value.data = reader_bytes(r, ret->value.len);
	reader_bytes(r, -ret->value.len & 3);
	return !r->failed;
}

/* It is the last attribute, over all before it. */
static bool fingerprint_ok(const uint8_t *m, const struct reader *r, const struct attribute *a)
{
	return a->value.len == FINGERPRINT_LEN && !reader_left(r) &&
	       load_u32be(a->value.data) ==
		       (crc32_of(m, (size_t)(a->value.data - 4 - m)) ^ FINGERPRINT_XOR);
}

/* Attributes that say nothing to us although they must be understood. */
static bool skippable(uint16_t type)
{
	switch (type) {
	case ATTR_USERNAME:
	case ATTR_MESSAGE_INTEGRITY:
	case ATTR_REALM:
	case ATTR_NONCE:
	case ATTR_MESSAGE_INTEGRITY_SHA256:
	case ATTR_USERHASH:
	case ATTR_PRIORITY:
	case ATTR_USE_CANDIDATE:
		return true;
	default:
		return type >= ATTR_OPTIONAL;
	}
}

bool stun_request_parse(const void *data, size_t len, uint8_t ret_id[STUN_ID_LEN])
{
	const uint8_t *m = data;
	struct attribute a;
	struct reader r;

	if (!header_ok(m, len, BINDING_REQUEST))
		return false;
	reader_init(&r, m + STUN_HEADER_LEN, len - STUN_HEADER_LEN);
	while (next_attribute(&r, &a)) {
		if (a.type == ATTR_FINGERPRINT && !fingerprint_ok(m, &r, &a))
			return false;
		if (!skippable(a.type))
			return false;
	}
	if (r.failed)
		return false;
	memcpy(ret_id, m + 8, STUN_ID_LEN);
	return true;
}

static void write_header(struct writer *w, uint16_t type, uint16_t len,
			 const uint8_t id[STUN_ID_LEN])
{
	writer_u16be(w, type);
	writer_u16be(w, len);
	writer_u32be(w, COOKIE);
	writer_copy(w, id, STUN_ID_LEN);
}

void stun_request_write(struct writer *w, const uint8_t id[STUN_ID_LEN])
{
	write_header(w, BINDING_REQUEST, 0, id);
}

/* The 16 bytes that addresses are masked with: cookie and transaction id. */
static void mask_address(struct endpoint *e, const uint8_t *mask)
{
	for (unsigned i = 0; i < address_bits(&e->addr) / 8; i++)
		e->addr.bytes[i] ^= mask[i];
	e->port ^= load_u16be(mask);
}

static bool parse_address(const struct span *value, struct endpoint *ret)
{
	const uint8_t *v = value->data;
	struct endpoint e = {0};

	if (value->len == 8 && v[1] == FAMILY_IPV4)
		e.addr.family = ADDR_V4;
	else if (value->len == 20 && v[1] == FAMILY_IPV6)
		e.addr.family = ADDR_V6;
	else
		return false;
	e.port = load_u16be(v + 2);
	memcpy(e.addr.bytes, v + 4, value->len - 4);
	*ret = e;
	return true;
}

bool stun_response_parse(const void *data, size_t len, const uint8_t id[STUN_ID_LEN],
			 struct endpoint *ret_mapped)
{
	const uint8_t *m = data;
	bool plain = false, masked = false;
	struct endpoint mapped;
	struct attribute a;
	struct reader r;

	if (!header_ok(m, len, BINDING_SUCCESS) || memcmp(m + 8, id, STUN_ID_LEN))
		return false;
	reader_init(&r, m + STUN_HEADER_LEN, len - STUN_HEADER_LEN);
	while (next_attribute(&r, &a)) {
		if (a.type == ATTR_FINGERPRINT && !fingerprint_ok(m, &r, &a))
			return false;
		if (a.type == ATTR_XOR_MAPPED_ADDRESS && !masked) {
			if (!parse_address(&a.value, &mapped))
				return false;
			mask_address(&mapped, m + 4);
			masked = true;
		} else if (a.type == ATTR_MAPPED_ADDRESS && !masked && !plain) {
			if (!parse_address(&a.value, &mapped))
				return false;
			plain = true;
		} else if (a.type != ATTR_XOR_MAPPED_ADDRESS && a.type != ATTR_MAPPED_ADDRESS &&
			   !skippable(a.type)) {
			return false;
		}
	}
	if (r.failed || (!plain && !masked))
		return false;
	*ret_mapped = mapped;
	return true;
}

void stun_response_write(struct writer *w, const uint8_t id[STUN_ID_LEN],
			 const struct endpoint *mapped)
{
	size_t addr_len = address_bits(&mapped->addr) / 8;
	struct endpoint masked = *mapped;
	uint8_t mask[16];

	if (!addr_len) {
		w->failed = true;
		return;
	}
	store_u32be(mask, COOKIE);
	memcpy(mask + 4, id, STUN_ID_LEN);
	mask_address(&masked, mask);
	write_header(w, BINDING_SUCCESS, (uint16_t)(4 + 4 + addr_len), id);
	writer_u16be(w, ATTR_XOR_MAPPED_ADDRESS);
	writer_u16be(w, (uint16_t)(4 + addr_len));
	writer_u8(w, 0);
	writer_u8(w, addr_len == 4 ? FAMILY_IPV4 : FAMILY_IPV6);
	writer_u16be(w, masked.port);
	writer_copy(w, masked.addr.bytes, addr_len);
}
