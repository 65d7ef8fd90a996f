#ifndef CLI_OUT_H
#define CLI_OUT_H

/* Results: one JSON object, or tables and lines for people, with colour only on a terminal. */

#include "cli/cli.h"

enum {
	TABLE_COLUMNS_MAX = 12,
	OUT_AGE_MAX = 24,
	OUT_BYTES_MAX = 24,
	OUT_TIME_MAX = 32,
};

enum out_color { OUT_PLAIN, OUT_BOLD, OUT_DIM, OUT_RED, OUT_GREEN, OUT_YELLOW };

/* Prints and releases value. */
void out_json(json_t *value);
/* Text of others for the terminal: control characters, which it would obey, become '?'. In place.
 */
void out_clean_text(char *text);
/* A value with all its texts and names cleaned; value is released, the result is the caller's. */
json_t *out_clean(json_t *value);
/* "\033[1m" or "". */
const char *out_on(const struct cli *cli, enum out_color color);
const char *out_off(const struct cli *cli);

/* Rows are kept until the end, because the widths depend on all of them. */
struct table {
	size_t columns;
	size_t rows;
	char **cells; /* owned; the first row is the header */
};

/* The names of the columns, then NULL. */
void table_init(struct table *table, ...) __attribute__((sentinel));
/* Copies as many texts as there are columns; NULL is "-". */
void table_row(struct table *table, ...);
void table_print(const struct cli *cli, struct table *table, const char *indent);
void table_done(struct table *table);

/* "3 s", "5 min", "2 h", "4 d". */
const char *out_age(uint64_t seconds, char ret[static OUT_AGE_MAX]);
/* "2026-11-21 08:00 UTC". */
const char *out_time(uint32_t seconds, char ret[static OUT_TIME_MAX]);
/* "1.2 MiB". */
const char *out_bytes(uint64_t bytes, char ret[static OUT_BYTES_MAX]);

#endif
