#include "core/book.h"
#include "ovc/ovc.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The file that programs beside ovcd write (dnet-tinc-hub): one line for each hub,
 *
 *	DNET-ID PORT STATEMENT-IN-HEX
 *
 * Empty lines, and those that begin with #, are passed over. */

enum { LINE_MAX_LEN = OBJECT_ID_TEXT_SIZE + 8 + 2 * STATEMENT_MAX };

struct line {
	struct object_id dnet;
	uint16_t port;
	struct statement statement;
};

/* NULL: it is right; else why not. */
static const char *parse_line(const char *text, const struct id *curve,
			      const struct object_id *self, const struct node_key *key,
			      struct line *ret)
{
	char id[OBJECT_ID_TEXT_SIZE + 1], hex[2 * STATEMENT_MAX + 2], port[7], more;
	uint8_t bytes[STATEMENT_MAX];
	enum object_kind kind;
	char format[48];
	size_t len;

	snprintf(format, sizeof(format), "%%%ds %%6s %%%ds %%c", OBJECT_ID_TEXT_SIZE,
		 2 * STATEMENT_MAX + 1);
	if (sscanf(text, format, id, port, hex, &more) != 3)
		return "it is not: dnet id, port, statement in hexadecimal digits";
	if (!object_id_parse(id, &kind, &ret->dnet) || kind != OBJECT_DNET)
		return "its first word is not the id of a dnet";
	if (!port_parse(port, &ret->port))
		return "its port is not a number from 1 to 65535";
	if (!hex_parse_any(hex, bytes, sizeof(bytes), &len) ||
	    !statement_parse(bytes, len, &ret->statement))
		return "its statement is malformed";
	if (ret->statement.kind != OBJECT_OVC || !object_id_equal(&ret->statement.object, self) ||
	    !node_key_equal(&ret->statement.signer, key))
		return "its statement is not this OVC's own";
	if (!book_is_signed(curve, &ret->statement))
		return "the signature of its statement is wrong";
	return NULL;
}

/* The next line into buf, without its newline; false: there is none. A longer one than any right
 * one is cut. */
static bool next_line(const char **text, char buf[static LINE_MAX_LEN + 1])
{
	size_t len = strcspn(*text, "\n"), kept = len < LINE_MAX_LEN ? len : LINE_MAX_LEN;

	if (!**text)
		return false;
	memcpy(buf, *text, kept);
	buf[kept] = '\0';
	*text += len + ((*text)[len] == '\n');
	return true;
}

int ovc_read_hubs(struct ovc *ovc, const char *text, const struct object_id *self,
		  unsigned *ret_line, const char **ret_why)
{
	char buf[LINE_MAX_LEN + 1];
	struct line line;

	/* All are looked at before any is taken. */
	for (int pass = 0; pass < 2; pass++) {
		const char *rest = text;
		size_t count = 0;

		*ret_line = 0;
		if (pass)
			ovc_clear_hubs(ovc);
		while (next_line(&rest, buf)) {
			++*ret_line;
			if (!buf[strspn(buf, " \t\r")] || buf[0] == '#')
				continue;
			*ret_why = parse_line(buf, ovc_curve(ovc), self, ovc_key(ovc), &line);
			if (!*ret_why && ++count > OVC_HUBS_MAX)
				*ret_why = "there are too many";
			if (*ret_why)
				return -EBADMSG;
			if (pass && ovc_add_hub(ovc, &line.dnet, line.port, &line.statement) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}
