#include "cli/members.h"

#include "wire/addr.h"
#include "wire/hex.h"

#include <stdio.h>
#include <string.h>

enum column { COLUMN_KEY, COLUMN_NAME, COLUMN_IPV4, COLUMN_IPV6, COLUMN_GATEWAY };

static const char *const names[MEMBERS_COLUMNS] = {
	[COLUMN_KEY] = "key",	[COLUMN_NAME] = "name",	      [COLUMN_IPV4] = "ipv4",
	[COLUMN_IPV6] = "ipv6", [COLUMN_GATEWAY] = "gateway",
};

const char *members_reason_text(enum members_reason reason)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		MEMBERS_REASONS(X)
#undef X
	};

	return texts[reason];
}

void members_open(struct members *members, const char *text, size_t len)
{
	static const char mark[] = "\xef\xbb\xbf"; /* some write it before UTF-8 */

	*members = (struct members){.pos = text, .end = text + len};
	if (len >= 3 && !memcmp(text, mark, 3))
		members->pos += 3;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next line that says something, without white space around it. */
static bool next_line(struct members *members, char *line, enum members_reason *ret_reason)
{
	while (members->pos < members->end) {
		const char *from = members->pos, *to;
		size_t len = (size_t)(members->end - from);
		const char *newline = memchr(from, '\n', len);

		to = newline ? newline : members->end;
		members->pos = newline ? newline + 1 : members->end;
		members->line++;
		while (from < to && is_space(*from))
			from++;
		while (from < to && is_space(to[-1]))
			to--;
		len = (size_t)(to - from);
		if (!len || *from == '#')
			continue;
		*ret_reason = len > MEMBERS_LINE_MAX	? MEMBERS_LONG
			      : memchr(from, '\0', len) ? MEMBERS_NUL
							: MEMBERS_OK;
		if (*ret_reason == MEMBERS_OK) {
			memcpy(line, from, len);
			line[len] = '\0';
		}
		return true;
	}
	return false;
}

/* Cuts the next value off *line, in place. NULL: no more. "\"" is a value with odd quotes. */
static char *next_value(char **line)
{
	char *value = *line, *end;
	size_t len;

	if (!value)
		return NULL;
	end = strchr(value, ',');
	*line = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	while (is_space(*value))
		value++;
	len = strlen(value);
	while (len && is_space(value[len - 1]))
		value[--len] = '\0';
	if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
		value[len - 1] = '\0';
		value++;
	}
	return value;
}

static enum members_reason read_header(struct members *members, char *line)
{
	bool seen[MEMBERS_COLUMNS] = {0};
	char *value;

	while ((value = next_value(&line))) {
		uint8_t column = 0;

		while (column < MEMBERS_COLUMNS && strcmp(value, names[column]) != 0)
			column++;
		if (column == MEMBERS_COLUMNS)
			return MEMBERS_COLUMN;
		if (seen[column])
			return MEMBERS_TWICE;
		seen[column] = true;
		members->columns[members->column_count++] = column;
	}
	return seen[COLUMN_KEY] ? MEMBERS_OK : MEMBERS_NO_KEY;
}

static enum members_reason read_value(enum column column, const char *value, struct record *record)
{
	bool empty = !*value;

	if (strchr(value, '"'))
		return MEMBERS_QUOTE;
	switch (column) {
	case COLUMN_KEY:
		if (!hex_parse(value, record->node_put.key.bytes, PUBKEY_LEN) ||
		    !node_key_well_formed(&record->node_put.key))
			return MEMBERS_KEY;
		break;
	case COLUMN_NAME:
		if (!empty && !record_name_ok(value))
			return MEMBERS_NAME;
		snprintf(record->node_put.name, sizeof(record->node_put.name), "%s", value);
		break;
	case COLUMN_IPV4:
		if (!empty && (!address_parse(value, &record->node_put.ipv4) ||
			       record->node_put.ipv4.family != ADDR_V4))
			return MEMBERS_IPV4;
		record->node_put.flags |= empty ? 0 : NODE_FLAG_IPV4;
		break;
	case COLUMN_IPV6:
		if (!empty && (!address_parse(value, &record->node_put.ipv6) ||
			       record->node_put.ipv6.family != ADDR_V6 ||
			       record->node_put.ipv6.bytes[0] != 0xfd))
			return MEMBERS_IPV6;
		record->node_put.flags |= empty ? 0 : NODE_FLAG_IPV6;
		break;
	case COLUMN_GATEWAY:
		if (!strcmp(value, "yes"))
			record->node_put.flags |= NODE_FLAG_GATEWAY;
		else if (!empty && strcmp(value, "no") != 0)
			return MEMBERS_GATEWAY;
		break;
	}
	return MEMBERS_OK;
}

static enum members_reason read_member(const struct members *members, char *line,
				       struct record *ret_record)
{
	enum members_reason reason = MEMBERS_OK;
	struct record record;
	size_t count = 0;
	char *value;

	memset(&record, 0, sizeof(record));
	record.type = RECORD_NODE_PUT;
	while (reason == MEMBERS_OK && (value = next_value(&line))) {
		if (count == members->column_count)
			return *value || line ? MEMBERS_FIELDS : MEMBERS_OK;
		reason = read_value(members->columns[count++], value, &record);
	}
	/* Fewer values than columns: the others are empty, which the key must not be. */
	for (; reason == MEMBERS_OK && count < members->column_count; count++)
		reason = read_value(members->columns[count], "", &record);
	*ret_record = record;
	return reason;
}

bool members_next(struct members *members, struct record *ret_record,
		  enum members_reason *ret_reason)
{
	char line[MEMBERS_LINE_MAX + 1];

	if (!members->column_count) {
		if (!next_line(members, line, ret_reason))
			return false;
		if (*ret_reason == MEMBERS_OK)
			*ret_reason = read_header(members, line);
		if (*ret_reason != MEMBERS_OK) {
			members->pos = members->end;
			members->column_count = 1;
			return true;
		}
	}
	if (!next_line(members, line, ret_reason))
		return false;
	if (*ret_reason == MEMBERS_OK)
		*ret_reason = read_member(members, line, ret_record);
	return true;
}
