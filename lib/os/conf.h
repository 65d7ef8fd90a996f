#ifndef OS_CONF_H
#define OS_CONF_H

/* Configuration of a program: one table of options drives the file (INI), the command line, --help,
 * the man page and what is printed as effective. */

#include "os/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum conf_type {
	CONF_STRING,   /* char *, never NULL after loading; min and max bound its length */
	CONF_PATH,     /* char *; absolute, or empty */
	CONF_INT,      /* int64_t, min to max */
	CONF_BOOL,     /* bool: yes, no, true, false, on, off, 1, 0 */
	CONF_DURATION, /* uint64_t milliseconds; "500ms", "10s", "5m", "2h", "1d"; min, max in ms */
	CONF_ENDPOINT, /* struct endpoint; "" is family ADDR_NONE */
	CONF_LIST,     /* struct conf_list; repeated lines add up; max bounds their number */
};

struct conf_list {
	char **items;
	size_t count;
};

struct conf_option {
	const char *section; /* "" is the part of the file before the first section */
	const char *name; /* lower case, words joined by '-'; also --name, so unique in the table */
	enum conf_type type;
	const char *fallback; /* the default, as text; NULL is "" or no items */
	int64_t min, max;     /* both 0: no bounds */
	size_t offset;	      /* of the field, in the program's configuration struct */
	const char *help;     /* one sentence, no full stop */
};

struct conf_program {
	const char *name;
	const char *version;
	const char *summary; /* one line for --help and the man page */
	const char *path;    /* of the file when -c is not given; it may be missing. NULL: none */
	const struct conf_option *options;
	size_t options_count;
	const char *more_help; /* lines for --help, in front of the options; NULL: none */
};

enum conf_action {
	CONF_RUN,    /* loaded; go on */
	CONF_CHECK,  /* -n: loaded and good; check what else can be checked, then exit 0 */
	CONF_EXIT,   /* --help, --version, --print-config or --print-man has been served: exit 0 */
	CONF_FAILED, /* said on stderr; exit 2 */
};

enum { CONF_ERROR_MAX = 512, CONF_FILE_MAX = 1 << 20, CONF_LIST_MAX = 4096 };

/* Defaults, then the file, then the command line: -c FILE, -n, --help, --version, --print-config,
 * --print-man, and --NAME VALUE or --NAME=VALUE for each row (a bool may stand alone, or be
 * --NAME=no). config is the program's struct, all zero; after any outcome conf_free() releases what
 * is in it. */
enum conf_action conf_load(const struct conf_program *program, int argc, char **argv, void *config);
/* The steps of conf_load(), for a reload and for tests. error says FILE:LINE, what is wrong and the
 * nearest name that exists. 0, -EINVAL, or -errno of the file. */
int conf_set_defaults(const struct conf_program *program, void *config);
int conf_read_file(const struct conf_program *program, const char *path, void *config,
		   char error[static CONF_ERROR_MAX]);
/* file is only the name in errors. */
int conf_read_text(const struct conf_program *program, const char *file, const char *text,
		   size_t len, void *config, char error[static CONF_ERROR_MAX]);
/* One option by its name, as the command line does it. */
int conf_set(const struct conf_program *program, const char *name, const char *value, void *config,
	     char error[static CONF_ERROR_MAX]);
void conf_free(const struct conf_program *program, void *config);

/* Any INI text: calls back for each "name = value" with its section and line; a return other than
 * NULL is an error text for that line and ends it. '#' and ';' start comment lines, and " ;" a
 * comment behind a value; names may stand indented. Lines have at most 198 bytes. */
typedef const char *(*conf_visit_cb)(void *arg, unsigned line, const char *section,
				     const char *name, const char *value);
int conf_visit_text(const char *file, const char *text, size_t len, conf_visit_cb cb, void *arg,
		    char error[static CONF_ERROR_MAX]);

/* The effective configuration as a file that loads to the same. */
void conf_print(const struct conf_program *program, const void *config, FILE *out);
void conf_print_help(const struct conf_program *program, FILE *out);
/* The options with type, default and bounds, as markdown for a man page's OPTIONS. */
void conf_print_man(const struct conf_program *program, FILE *out);

/* "5m" → milliseconds; a number alone is seconds. */
bool conf_parse_duration(const char *text, uint64_t *ret_ms);
bool conf_parse_bool(const char *text, bool *ret_value);

#endif
