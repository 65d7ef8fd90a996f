#ifndef WIRE_LINK_H
#define WIRE_LINK_H

/* A join link: the id of a dnet, and hints that whoever joins may use. Nothing in it is trusted: a
 * wrong hint finds nothing.
 *
 *	dnet:ID?chain=PROFILE&h=HEIGHT&ovc=ID@HEIGHT&ovr=ID@HEIGHT&roster=URL
 *
 * Each of them once at most, but for ovc and ovr; @HEIGHT may be left out. Bytes that are none of
 * A-Z a-z 0-9 - . _ ~ : / @ stand as %XX in a value. */

#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LINK_TEXT_MAX = 2048, /* without the NUL */
	LINK_CHAIN_MAX = 32,
	LINK_ROSTER_MAX = 511,
	LINK_HELPERS_MAX = 16,
	LINK_NAME_MAX = 32,
};

struct link_helper {
	uint8_t kind; /* OBJECT_OVC, OBJECT_OVR */
	struct object_id id;
	uint32_t height; /* 0: not said */
};

struct link {
	struct object_id dnet;
	char chain[LINK_CHAIN_MAX + 1]; /* a-z 0-9 -; "": not said */
	uint32_t height;		/* no record of the dnet is in a block below; 0: not said */
	struct link_helper helpers[LINK_HELPERS_MAX];
	size_t helper_count;
	char roster[LINK_ROSTER_MAX + 1]; /* http:// or https://; "": not said */
	size_t unknown;			  /* parameters of later versions, which were passed over */
	char first_unknown[LINK_NAME_MAX + 1];
};

/* Also an id alone, and one behind "dnet:". NULL, or what is wrong with it, static text. */
const char *link_parse(const char *text, struct link *ret);
/* False when a field is none that link_parse() gives, or the text would be too long. */
bool link_format(const struct link *link, char ret[static LINK_TEXT_MAX + 1]);

#endif
