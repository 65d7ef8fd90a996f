#ifndef CLI_MEMBERS_H
#define CLI_MEMBERS_H

/* A list of members as a table of text (CSV): the first line names the columns, of which key has to
 * be there and name, ipv4, ipv6 and gateway may be, in any order; then a member a line. Values are
 * separated by commas and may stand in double quotes; white space around them, empty lines and
 * lines that begin with # do not count. */

#include "wire/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMBERS_REASONS(X)                                                                         \
	X(MEMBERS_OK, "well formed")                                                               \
	X(MEMBERS_LONG, "a line of more than 1000 bytes")                                          \
	X(MEMBERS_NUL, "a byte 0: this is no text")                                                \
	X(MEMBERS_QUOTE, "a double quote that does not begin or end a value")                      \
	X(MEMBERS_COLUMN, "the first line has a column that is none of key, name, ipv4, ipv6 and " \
			  "gateway")                                                               \
	X(MEMBERS_TWICE, "the first line has a column twice")                                      \
	X(MEMBERS_NO_KEY, "the first line has no column key")                                      \
	X(MEMBERS_FIELDS, "more values than columns")                                              \
	X(MEMBERS_KEY, "the key is not 66 hex digits beginning with 02 or 03")                     \
	X(MEMBERS_NAME, "a name is 1 to 32 of a-z, 0-9 and -, with no - at an end")                \
	X(MEMBERS_IPV4, "the IPv4 address is none")                                                \
	X(MEMBERS_IPV6, "the IPv6 address is none inside fd00::/8")                                \
	X(MEMBERS_GATEWAY, "gateway is yes, no or empty")

enum members_reason {
#define X(name, text) name,
	MEMBERS_REASONS(X)
#undef X
};

enum {
	MEMBERS_LINE_MAX = 1000,
	MEMBERS_COLUMNS = 5,
	MEMBERS_FILE_MAX = 16 << 20,
};

struct members {
	const char *pos, *end;
	uint32_t line; /* of what was read last, from 1 */
	uint8_t columns[MEMBERS_COLUMNS];
	size_t column_count; /* 0: the first line is not read yet */
};

const char *members_reason_text(enum members_reason reason);
/* text is borrowed. */
void members_open(struct members *members, const char *text, size_t len);
/* The next member as NODE_PUT, or what is wrong with its line (members->line). False: no more; also
 * behind a first line that is wrong. Whether the key is a point of the curve is not looked at. */
bool members_next(struct members *members, struct record *ret_record,
		  enum members_reason *ret_reason);

#endif
