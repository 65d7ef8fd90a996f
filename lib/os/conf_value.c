#include "os/conf_value.h"

#include "wire/addr.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const struct {
	const char *suffix;
	uint64_t ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

static bool bounded(const struct conf_option *option)
{
	return option->min || option->max;
}

static bool parse_digits(const char *text, const char **ret_end, uint64_t *ret_number)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	*ret_end = end;
	return !errno;
}

bool conf_parse_duration(const char *text, uint64_t *ret_ms)
{
	uint64_t number, unit = 0;
	const char *end;

	if (!parse_digits(text, &end, &number))
		return false;
	if (!*end)
		unit = 1000;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (!strcmp(end, units[i].suffix))
			unit = units[i].ms;
	}
	/* Up to INT64_MAX: bounds are signed, and adding a deadline must not wrap. */
	if (!unit || number > (uint64_t)INT64_MAX / unit)
		return false;
	*ret_ms = number * unit;
	return true;
}

bool conf_parse_bool(const char *text, bool *ret_value)
{
	static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i]))
			continue;
		*ret_value = i % 2;
		return true;
	}
	return false;
}

char *conf_duration_text(uint64_t ms)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (ms && !(ms % units[i].ms))
			return xasprintf("%" PRIu64 "%s", ms / units[i].ms, units[i].suffix);
	}
	return xstrdup("0s");
}

static char *describe_bounds(const struct conf_option *o)
{
	_cleanup_(freep) char *min = NULL, *max = NULL;

	if (!bounded(o))
		return xstrdup("");
	if (o->type == CONF_DURATION) {
		min = conf_duration_text((uint64_t)o->min);
		max = conf_duration_text((uint64_t)o->max);
	} else {
		min = xasprintf("%" PRId64, o->min);
		max = xasprintf("%" PRId64, o->max);
	}
	return xasprintf(" from %s to %s", min, max);
}

char *conf_value_describe(const struct conf_option *o)
{
	_cleanup_(freep) char *bounds = describe_bounds(o);

	switch (o->type) {
	case CONF_STRING:
		return bounded(o) ? xasprintf("a text of %" PRId64 " to %" PRId64 " bytes", o->min,
					      o->max)
				  : xstrdup("a text");
	case CONF_PATH:
		return bounded(o)
			       ? xasprintf("an absolute path of at most %" PRId64 " bytes", o->max)
			       : xstrdup("an absolute path");
	case CONF_INT:
		return xasprintf("a number%s", bounds);
	case CONF_BOOL:
		return xstrdup("yes or no");
	case CONF_DURATION:
		return xasprintf("a duration%s, as 500ms, 10s, 5m, 2h or 1d", bounds);
	case CONF_ENDPOINT:
		return xstrdup("an address with a port, as 192.0.2.1:655 or [2001:db8::1]:655");
	case CONF_LIST:
		return bounded(o) ? xasprintf("at most %" PRId64 " values, one each time", o->max)
				  : xstrdup("may be given several times");
	}
	return xstrdup("");
}

const char *conf_value_placeholder(enum conf_type type)
{
	switch (type) {
	case CONF_STRING:
		return "TEXT";
	case CONF_PATH:
		return "PATH";
	case CONF_INT:
		return "NUMBER";
	case CONF_BOOL:
		return "yes|no";
	case CONF_DURATION:
		return "DURATION";
	case CONF_ENDPOINT:
		return "ADDRESS:PORT";
	case CONF_LIST:
		return "VALUE";
	}
	return "";
}

static void *field(const struct conf_option *o, void *config)
{
	return (char *)config + o->offset;
}

static bool within(const struct conf_option *o, int64_t value)
{
	return !bounded(o) || (value >= o->min && value <= o->max);
}

static bool set_string(const struct conf_option *o, char **at, const char *text)
{
	if (o->type == CONF_PATH && text[0] && text[0] != '/')
		return false;
	if (!within(o, (int64_t)strlen(text)))
		return false;
	free(*at);
	*at = xstrdup(text);
	return true;
}

static bool set_int(const struct conf_option *o, int64_t *at, const char *text)
{
	bool negative = text[0] == '-';
	const char *end;
	uint64_t number;
	int64_t value;

	if (!parse_digits(text + negative, &end, &number) || *end || number > INT64_MAX)
		return false;
	value = negative ? -(int64_t)number : (int64_t)number;
	if (!within(o, value))
		return false;
	*at = value;
	return true;
}

static bool set_duration(const struct conf_option *o, uint64_t *at, const char *text)
{
	uint64_t ms;

	if (!conf_parse_duration(text, &ms) || !within(o, (int64_t)ms))
		return false;
	*at = ms;
	return true;
}

static bool set_endpoint(struct endpoint *at, const char *text)
{
	if (!text[0]) {
		*at = (struct endpoint){0};
		return true;
	}
	return endpoint_parse(text, at);
}

static bool add_item(const struct conf_option *o, struct conf_list *list, const char *text)
{
	size_t max = bounded(o) ? (size_t)o->max : CONF_LIST_MAX;

	if (list->count >= max || !text[0])
		return false;
	list->items = xrealloc(list->items, (list->count + 1) * sizeof(*list->items));
	list->items[list->count++] = xstrdup(text);
	return true;
}

static bool set_field(const struct conf_option *o, void *at, const char *text)
{
	switch (o->type) {
	case CONF_STRING:
	case CONF_PATH:
		return set_string(o, at, text);
	case CONF_INT:
		return set_int(o, at, text);
	case CONF_BOOL:
		return conf_parse_bool(text, at);
	case CONF_DURATION:
		return set_duration(o, at, text);
	case CONF_ENDPOINT:
		return set_endpoint(at, text);
	case CONF_LIST:
		return add_item(o, at, text);
	}
	return false;
}

bool conf_value_set(const struct conf_option *o, void *config, const char *text,
		    char why[static CONF_WHY_MAX])
{
	_cleanup_(freep) char *wanted = NULL;

	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p >= 32 && *p != 127)
			continue;
		snprintf(why, CONF_WHY_MAX, "'%s' has a control character", o->name);
		return false;
	}
	if (set_field(o, field(o, config), text))
		return true;
	wanted = conf_value_describe(o);
	snprintf(why, CONF_WHY_MAX, "'%s' is '%.80s'; it takes %s", o->name, text, wanted);
	return false;
}

void conf_value_clear(const struct conf_option *o, void *config)
{
	void *at = field(o, config);

	switch (o->type) {
	case CONF_STRING:
	case CONF_PATH:
		free(*(char **)at);
		*(char **)at = NULL;
		break;
	case CONF_INT:
		*(int64_t *)at = 0;
		break;
	case CONF_BOOL:
		*(bool *)at = false;
		break;
	case CONF_DURATION:
		*(uint64_t *)at = 0;
		break;
	case CONF_ENDPOINT:
		*(struct endpoint *)at = (struct endpoint){0};
		break;
	case CONF_LIST:
		for (size_t i = 0; i < ((struct conf_list *)at)->count; i++)
			free(((struct conf_list *)at)->items[i]);
		free(((struct conf_list *)at)->items);
		*(struct conf_list *)at = (struct conf_list){0};
		break;
	}
}

static char *endpoint_text(const struct endpoint *e)
{
	char text[ENDPOINT_TEXT_MAX];

	return xstrdup(e->addr.family == ADDR_NONE ? "" : endpoint_format(e, text));
}

char *conf_value_text(const struct conf_option *o, const void *config, size_t i)
{
	const void *at = (const char *)config + o->offset;
	const struct conf_list *list = at;

	if (o->type == CONF_LIST)
		return i < list->count ? xstrdup(list->items[i]) : NULL;
	if (i)
		return NULL;
	switch (o->type) {
	case CONF_STRING:
	case CONF_PATH:
		return xstrdup(*(char *const *)at ? *(char *const *)at : "");
	case CONF_INT:
		return xasprintf("%" PRId64, *(const int64_t *)at);
	case CONF_BOOL:
		return xstrdup(*(const bool *)at ? "yes" : "no");
	case CONF_DURATION:
		return conf_duration_text(*(const uint64_t *)at);
	case CONF_ENDPOINT:
		return endpoint_text(at);
	case CONF_LIST:
		break;
	}
	return NULL;
}
