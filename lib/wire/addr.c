#include "wire/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

unsigned address_bits(const struct address *a)
{
	switch ((enum addr_family)a->family) {
	case ADDR_V4:
		return 32;
	case ADDR_V6:
		return 128;
	case ADDR_NONE:
		break;
	}
	return 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, address_bits(a) / 8);
}

bool address_is_host(const struct address *a)
{
	static const uint8_t zeros[15];

	switch (a->family) {
	case ADDR_V4:
		return a->bytes[0] != 0 && a->bytes[0] != 127 && a->bytes[0] < 224;
	case ADDR_V6:
		return a->bytes[0] != 0xff && memcmp(a->bytes, zeros, sizeof(zeros)) != 0;
	}
	return false;
}

bool address_is_link_local(const struct address *a)
{
	static const struct prefix v4 = {{ADDR_V4, {169, 254}}, 16},
				   v6 = {{ADDR_V6, {0xfe, 0x80}}, 10};

	return prefix_contains(&v4, a) || prefix_contains(&v6, a);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && address_equal(&a->addr, &b->addr);
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->bits == b->bits && address_equal(&a->addr, &b->addr);
}

int prefix_compare(const struct prefix *a, const struct prefix *b)
{
	if (a->addr.family != b->addr.family)
		return a->addr.family - b->addr.family;
	if (a->bits != b->bits)
		return a->bits - b->bits;
	return memcmp(a->addr.bytes, b->addr.bytes, address_bits(&a->addr) / 8);
}

bool prefix_contains(const struct prefix *p, const struct address *a)
{
	unsigned whole = p->bits / 8, rest = p->bits % 8;

	if (p->addr.family != a->family || p->bits > address_bits(a))
		return false;
	if (memcmp(p->addr.bytes, a->bytes, whole))
		return false;
	return !rest || !((p->addr.bytes[whole] ^ a->bytes[whole]) >> (8 - rest));
}

void prefix_mask(struct prefix *p)
{
	unsigned total = address_bits(&p->addr);

	assert(p->bits <= total);
	for (unsigned i = p->bits; i < total; i++)
		p->addr.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
}

/* Decimal of 1 to 5 digits up to max, no sign, no leading zero, nothing after it. */
static bool parse_number(const char *text, unsigned max, unsigned *ret_number)
{
	unsigned number = 0;
	size_t len = strlen(text);

	if (len < 1 || len > 5 || (len > 1 && text[0] == '0'))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		number = number * 10 + (unsigned)(*text - '0');
	}
	if (number > max)
		return false;
	*ret_number = number;
	return true;
}

/* Copies [from, to) as a string; false when it does not fit. */
static bool copy_part(char *dst, size_t size, const char *from, const char *to)
{
	size_t len = (size_t)(to - from);

	if (len >= size)
		return false;
	memcpy(dst, from, len);
	dst[len] = 0;
	return true;
}

bool address_parse(const char *text, struct address *ret_address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct address a = {0};

	if (inet_pton(AF_INET, text, a.bytes) == 1) {
		a.family = ADDR_V4;
	} else if (inet_pton(AF_INET6, text, a.bytes) == 1) {
		if (!memcmp(a.bytes, mapped, sizeof(mapped)))
			return false;
		a.family = ADDR_V6;
	} else {
		return false;
	}
	*ret_address = a;
	return true;
}

bool port_parse(const char *text, uint16_t *ret_port)
{
	unsigned port;

	if (!parse_number(text, UINT16_MAX, &port) || port == 0)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

bool endpoint_parse(const char *text, struct endpoint *ret_endpoint)
{
	const char *colon = strrchr(text, ':');
	char part[ADDRESS_TEXT_MAX];
	struct endpoint e = {0};
	unsigned port;
	bool bracket = text[0] == '[';

	if (!colon || !parse_number(colon + 1, 65535, &port))
		return false;
	if (bracket && (colon - text < 2 || colon[-1] != ']'))
		return false;
	if (!copy_part(part, sizeof(part), text + bracket, colon - bracket))
		return false;
	if (!address_parse(part, &e.addr) || bracket != (e.addr.family == ADDR_V6))
		return false;
	e.port = (uint16_t)port;
	*ret_endpoint = e;
	return true;
}

bool prefix_parse(const char *text, struct prefix *ret_prefix)
{
	const char *slash = strchr(text, '/');
	char part[ADDRESS_TEXT_MAX];
	struct prefix p = {0}, masked;
	unsigned bits;

	if (!slash || !copy_part(part, sizeof(part), text, slash) || !address_parse(part, &p.addr))
		return false;
	if (!parse_number(slash + 1, address_bits(&p.addr), &bits))
		return false;
	p.bits = (uint8_t)bits;
	masked = p;
	prefix_mask(&masked);
	if (!prefix_equal(&p, &masked))
		return false;
	*ret_prefix = p;
	return true;
}

char *address_format(const struct address *a, char text[static ADDRESS_TEXT_MAX])
{
	switch ((enum addr_family)a->family) {
	case ADDR_V4:
		inet_ntop(AF_INET, a->bytes, text, ADDRESS_TEXT_MAX);
		return text;
	case ADDR_V6:
		inet_ntop(AF_INET6, a->bytes, text, ADDRESS_TEXT_MAX);
		return text;
	case ADDR_NONE:
		break;
	}
	return memcpy(text, "none", sizeof("none"));
}

char *endpoint_format(const struct endpoint *e, char text[static ENDPOINT_TEXT_MAX])
{
	char part[ADDRESS_TEXT_MAX];

	address_format(&e->addr, part);
	snprintf(text, ENDPOINT_TEXT_MAX, e->addr.family == ADDR_V6 ? "[%s]:%u" : "%s:%u", part,
		 e->port);
	return text;
}

char *prefix_format(const struct prefix *p, char text[static PREFIX_TEXT_MAX])
{
	char part[ADDRESS_TEXT_MAX];

	address_format(&p->addr, part);
	snprintf(text, PREFIX_TEXT_MAX, "%s/%u", part, p->bits);
	return text;
}
