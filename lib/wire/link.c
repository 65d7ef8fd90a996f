#include "wire/link.h"

#include "wire/bech32.h"
#include "wire/hex.h"

#include <stdio.h>
#include <string.h>

static const char scheme[] = "dnet:";
static const char letters[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/@";

/* ---- Values ---- */

/* size: of ret, with its NUL. */
static bool decode(const char *value, size_t len, char *ret, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)value[i];

		if (value[i] == '%') {
			char hex[3] = {0};

			if (len - i < 3)
				return false;
			memcpy(hex, value + i + 1, 2);
			if (!hex_parse(hex, &byte, 1))
				return false;
			i += 2;
		} else if (!strchr(letters, value[i])) {
			return false;
		}
		if (byte <= ' ' || byte >= 0x7f || n + 1 >= size)
			return false;
		ret[n++] = (char)byte;
	}
	ret[n] = '\0';
	return n > 0;
}

static bool parse_height(const char *text, uint32_t *ret)
{
	uint64_t n = 0;

	if (*text < '1' || *text > '9')
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = 10 * n + (uint64_t)(*text - '0');
		if (n > UINT32_MAX)
			return false;
	}
	*ret = (uint32_t)n;
	return true;
}

static bool chain_ok(const char *text)
{
	size_t len = strlen(text);

	return len && len <= LINK_CHAIN_MAX &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static bool roster_ok(const char *text)
{
	const char *host = strstr(text, "://");

	if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
		return false;
	return host[3] && host[3] != '/';
}

static const char *take_helper(struct link *link, enum object_kind kind, char *value)
{
	struct link_helper *h = &link->helpers[link->helper_count];
	enum object_kind found;
	char *at = strchr(value, '@');

	if (link->helper_count == LINK_HELPERS_MAX)
		return "it names more than 16 helpers";
	if (at)
		*at = '\0';
	if (!object_id_parse(value, &found, &h->id) || found != kind)
		return "a helper in it is not the id of an OVC or OVR";
	h->kind = (uint8_t)kind;
	h->height = 0;
	if (at && !parse_height(at + 1, &h->height))
		return "the height of a helper in it is no number of a block";
	link->helper_count++;
	return NULL;
}

static const char *take_roster(struct link *link, const char *value)
{
	if (link->roster[0])
		return "roster is in it twice";
	if (strlen(value) > LINK_ROSTER_MAX || !roster_ok(value))
		return "its roster is not an http or https URL of at most 511 bytes";
	memcpy(link->roster, value, strlen(value) + 1);
	return NULL;
}

static const char *take_height(struct link *link, const char *value)
{
	if (link->height)
		return "h is in it twice";
	return parse_height(value, &link->height) ? NULL : "its h is no number of a block";
}

static const char *take_chain(struct link *link, const char *value)
{
	if (link->chain[0])
		return "chain is in it twice";
	if (!chain_ok(value))
		return "its chain is not the name of one";
	memcpy(link->chain, value, strlen(value) + 1);
	return NULL;
}

static bool is(const char *name, size_t len, const char *known)
{
	return strlen(known) == len && !memcmp(name, known, len);
}

static const char *take_parameter(struct link *link, const char *text, size_t len)
{
	const char *equals = memchr(text, '=', len);
	size_t name = equals ? (size_t)(equals - text) : 0;
	char value[LINK_ROSTER_MAX + 2];

	if (!name || name > LINK_NAME_MAX ||
	    strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") < name)
		return "a parameter in it is not name=value";
	if (!is(text, name, "chain") && !is(text, name, "h") && !is(text, name, "ovc") &&
	    !is(text, name, "ovr") && !is(text, name, "roster")) {
		if (!link->unknown++)
			memcpy(link->first_unknown, text, name);
		return NULL;
	}
	if (!decode(equals + 1, len - name - 1, value, sizeof(value)))
		return "a value in it is empty, too long, or has bytes that have to stand as %XX";
	if (is(text, name, "chain"))
		return take_chain(link, value);
	if (is(text, name, "h"))
		return take_height(link, value);
	if (is(text, name, "roster"))
		return take_roster(link, value);
	return take_helper(link, is(text, name, "ovc") ? OBJECT_OVC : OBJECT_OVR, value);
}

const char *link_parse(const char *text, struct link *ret)
{
	struct link link = {0};
	char id[OBJECT_ID_TEXT_SIZE];
	enum object_kind kind;
	size_t len;

	if (strnlen(text, LINK_TEXT_MAX + 1) > LINK_TEXT_MAX)
		return "it is longer than a link can be (2048 bytes)";
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return "it has a blank, or a byte that is no plain ASCII";
	if (!strncmp(text, scheme, strlen(scheme)))
		text += strlen(scheme);
	len = strcspn(text, "?");
	if (len >= sizeof(id))
		return "it does not begin with the id of a dnet";
	memcpy(id, text, len);
	id[len] = '\0';
	if (!object_id_parse(id, &kind, &link.dnet) || kind != OBJECT_DNET)
		return "it does not begin with the id of a dnet";
	for (text += len; *text;) {
		const char *why;

		text++;
		len = strcspn(text, "&");
		why = take_parameter(&link, text, len);
		if (why)
			return why;
		text += len;
	}
	*ret = link;
	return NULL;
}

/* ---- Writing ---- */

struct text {
	char *start, *pos, *end;
	bool failed;
};

static void put(struct text *t, const char *text)
{
	size_t len = strlen(text);

	if (len > (size_t)(t->end - t->pos)) {
		t->failed = true;
		return;
	}
	memcpy(t->pos, text, len + 1);
	t->pos += len;
}

static void put_encoded(struct text *t, const char *text)
{
	for (; *text; text++) {
		char bytes[4] = {*text};

		if (!strchr(letters, *text))
			snprintf(bytes, sizeof(bytes), "%%%02X", (uint8_t)*text);
		put(t, bytes);
	}
}

static void put_parameter(struct text *t, const char *name, const char *value, bool *first)
{
	put(t, *first ? "?" : "&");
	*first = false;
	put(t, name);
	put(t, "=");
	put_encoded(t, value);
}

bool link_format(const struct link *link, char ret[static LINK_TEXT_MAX + 1])
{
	struct text t = {.start = ret, .pos = ret, .end = ret + LINK_TEXT_MAX};
	char value[OBJECT_ID_TEXT_SIZE + 16];
	bool first = true;
	struct link back;

	object_id_format(OBJECT_DNET, &link->dnet, value);
	put(&t, scheme);
	put(&t, value);
	if (link->chain[0])
		put_parameter(&t, "chain", link->chain, &first);
	if (link->height) {
		snprintf(value, sizeof(value), "%u", link->height);
		put_parameter(&t, "h", value, &first);
	}
	for (size_t i = 0; i < link->helper_count && i < LINK_HELPERS_MAX; i++) {
		const struct link_helper *h = &link->helpers[i];
		size_t len;

		object_id_format((enum object_kind)h->kind, &h->id, value);
		len = strlen(value);
		if (h->height)
			snprintf(value + len, sizeof(value) - len, "@%u", h->height);
		put_parameter(&t, h->kind == OBJECT_OVC ? "ovc" : "ovr", value, &first);
	}
	if (link->roster[0])
		put_parameter(&t, "roster", link->roster, &first);
	return !t.failed && link->helper_count <= LINK_HELPERS_MAX && !link_parse(ret, &back);
}
