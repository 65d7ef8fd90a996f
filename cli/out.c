#include "cli/out.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void out_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(value);
}

void out_clean_text(char *text)
{
	for (uint8_t *c = (uint8_t *)text; *c; c++) {
		/* U+0080 to U+009F: as ESC and one more */
		bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;

		if (c1)
			c[1] = '?';
		if (c1 || *c < ' ' || *c == 0x7f)
			*c = '?';
	}
}

static char *clean_copy(const char *text)
{
	char *copy = xstrdup(text);

	out_clean_text(copy);
	return copy;
}

static json_t *clean_value(const json_t *value)
{
	_cleanup_(freep) char *text = NULL;
	const char *name;
	json_t *result, *each;
	size_t i;

	if (json_is_string(value)) {
		text = clean_copy(json_string_value(value));
		return json_string(text);
	}
	if (json_is_array(value)) {
		result = json_array();
		json_array_foreach(value, i, each) json_array_append_new(result, clean_value(each));
		return result;
	}
	if (!json_is_object(value))
		return json_copy((json_t *)value);
	result = json_object();
	for (void *at = json_object_iter((json_t *)value); at;
	     at = json_object_iter_next((json_t *)value, at)) {
		_cleanup_(freep) char *key = NULL;

		name = json_object_iter_key(at);
		key = clean_copy(name);
		json_object_set_new(result, key, clean_value(json_object_iter_value(at)));
	}
	return result;
}

json_t *out_clean(json_t *value)
{
	json_t *result = clean_value(value);

	json_decref(value);
	return result;
}

static const char *const codes[] = {
	[OUT_PLAIN] = "",	[OUT_BOLD] = "\033[1m",	  [OUT_DIM] = "\033[2m",
	[OUT_RED] = "\033[31m", [OUT_GREEN] = "\033[32m", [OUT_YELLOW] = "\033[33m",
};

const char *out_on(const struct cli *cli, enum out_color color)
{
	return cli->color_out ? codes[color] : "";
}

const char *out_off(const struct cli *cli)
{
	return cli->color_out ? "\033[0m" : "";
}

static void *checked(void *mem)
{
	if (!mem) {
		fputs("dnet: out of memory\n", stderr);
		exit(CLI_FAILED);
	}
	return mem;
}

static void add_row(struct table *table, const char *first, va_list cells)
{
	size_t base = table->rows * table->columns;

	table->cells =
		checked(realloc(table->cells, (base + table->columns) * sizeof(*table->cells)));
	for (size_t i = 0; i < table->columns; i++) {
		const char *text = i ? va_arg(cells, const char *) : first;

		table->cells[base + i] = checked(strdup(text && *text ? text : "-"));
	}
	table->rows++;
}

void table_init(struct table *table, ...)
{
	const char *first;
	va_list cells;

	memset(table, 0, sizeof(*table));
	va_start(cells, table);
	while (va_arg(cells, const char *))
		table->columns++;
	va_end(cells);
	assert(table->columns <= TABLE_COLUMNS_MAX);
	va_start(cells, table);
	first = va_arg(cells, const char *);
	add_row(table, first, cells);
	va_end(cells);
}

void table_row(struct table *table, ...)
{
	const char *first;
	va_list cells;

	va_start(cells, table);
	first = va_arg(cells, const char *);
	add_row(table, first, cells);
	va_end(cells);
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t width = 0;

	for (size_t row = 0; row < table->rows; row++) {
		size_t len = strlen(table->cells[row * table->columns + column]);

		width = len > width ? len : width;
	}
	return width;
}

void table_print(const struct cli *cli, struct table *table, const char *indent)
{
	size_t widths[TABLE_COLUMNS_MAX];

	for (size_t i = 0; i < table->columns; i++)
		widths[i] = column_width(table, i);
	for (size_t row = 0; row < table->rows; row++) {
		fputs(indent, stdout);
		fputs(row ? "" : out_on(cli, OUT_BOLD), stdout);
		for (size_t i = 0; i < table->columns; i++) {
			const char *text = table->cells[row * table->columns + i];
			bool last = i + 1 == table->columns;

			printf("%-*s%s", last ? 0 : (int)widths[i], text, last ? "" : "  ");
		}
		printf("%s\n", row ? "" : out_off(cli));
	}
}

void table_done(struct table *table)
{
	for (size_t i = 0; i < table->rows * table->columns; i++)
		free(table->cells[i]);
	free(table->cells);
	memset(table, 0, sizeof(*table));
}

const char *out_age(uint64_t seconds, char ret[static OUT_AGE_MAX])
{
	if (seconds < 120)
		snprintf(ret, OUT_AGE_MAX, "%u s", (unsigned)seconds);
	else if (seconds < 2 * 3600)
		snprintf(ret, OUT_AGE_MAX, "%u min", (unsigned)(seconds / 60));
	else if (seconds < 2 * 86400)
		snprintf(ret, OUT_AGE_MAX, "%u h", (unsigned)(seconds / 3600));
	else
		snprintf(ret, OUT_AGE_MAX, "%llu d", (unsigned long long)(seconds / 86400));
	return ret;
}

const char *out_time(uint32_t seconds, char ret[static OUT_TIME_MAX])
{
	time_t when = seconds;
	struct tm tm;

	if (!gmtime_r(&when, &tm) || !strftime(ret, OUT_TIME_MAX, "%Y-%m-%d %H:%M UTC", &tm))
		ret[0] = '\0';
	return ret;
}

const char *out_bytes(uint64_t bytes, char ret[static OUT_BYTES_MAX])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	uint64_t tenths = bytes * 10;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(ret, OUT_BYTES_MAX, "%u B", (unsigned)bytes);
		return ret;
	}
	if (bytes > UINT64_MAX / 10)
		tenths = UINT64_MAX;
	for (; tenths >= 10240 && unit + 1 < ARRAY_SIZE(units); unit++)
		tenths /= 1024;
	snprintf(ret, OUT_BYTES_MAX, "%llu.%llu %s", (unsigned long long)(tenths / 10),
		 (unsigned long long)(tenths % 10), units[unit]);
	return ret;
}
