#ifndef WIRE_ADDR_H
#define WIRE_ADDR_H

/* IP addresses, endpoints and prefixes, and their text forms both ways. */

#include <stdbool.h>
#include <stdint.h>

enum addr_family { ADDR_NONE = 0, ADDR_V4 = 4, ADDR_V6 = 6 };

struct address {
	uint8_t family;
	uint8_t bytes[16]; /* network order; first 4 for IPv4 */
};

struct endpoint {
	struct address addr;
	uint16_t port; /* host order */
};

struct prefix {
	struct address addr;
	uint8_t bits;
};

/* Buffers for the text forms, the final NUL included. */
enum {
	ADDRESS_TEXT_MAX = 46,
	ENDPOINT_TEXT_MAX = ADDRESS_TEXT_MAX + 8, /* "[" "]:65535" */
	PREFIX_TEXT_MAX = ADDRESS_TEXT_MAX + 4,	  /* "/128" */
};

/* 32, 128, or 0 when the family is ADDR_NONE. */
unsigned address_bits(const struct address *a);
/* Only the bytes that the family uses count. */
bool address_equal(const struct address *a, const struct address *b);
/* One machine's, and not this one's: no group, loopback or unspecified address. */
bool address_is_host(const struct address *a);
/* Means something on one link alone: 169.254.0.0/16, fe80::/10. */
bool address_is_link_local(const struct address *a);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
/* Same address, host bits included, and same length. */
bool prefix_equal(const struct prefix *a, const struct prefix *b);
/* An order; 0: they are equal. */
int prefix_compare(const struct prefix *a, const struct prefix *b);
/* Host bits of the prefix do not matter. False between families. */
bool prefix_contains(const struct prefix *p, const struct address *a);
/* Clears the host bits. */
void prefix_mask(struct prefix *p);

/* The parsers take one spelling of a thing and nothing around it: decimal without leading zeros, no
 * scope, no IPv4 inside IPv6 ("::ffff:1.2.3.4" would be a second name of an IPv4 address). On false
 * the output is untouched. */
bool address_parse(const char *text, struct address *ret_address);
/* "1.2.3.4:5", "[::1]:5"; port 0 to 65535. */
bool port_parse(const char *text, uint16_t *ret_port); /* 1 to 65535 */
bool endpoint_parse(const char *text, struct endpoint *ret_endpoint);
/* "10.0.0.0/8", "fd00::/8"; the length is required, and host bits must be zero. */
bool prefix_parse(const char *text, struct prefix *ret_prefix);

/* Writes the text form and returns it; "none" for ADDR_NONE. */
char *address_format(const struct address *a, char text[static ADDRESS_TEXT_MAX]);
char *endpoint_format(const struct endpoint *e, char text[static ENDPOINT_TEXT_MAX]);
char *prefix_format(const struct prefix *p, char text[static PREFIX_TEXT_MAX]);

#endif
