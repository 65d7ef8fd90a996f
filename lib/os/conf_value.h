#ifndef OS_CONF_VALUE_H
#define OS_CONF_VALUE_H

/* The values of conf: text to field and back, by type. Inside of conf only. */

#include "os/conf.h"

enum { CONF_WHY_MAX = 256 };

/* Sets the option's field from text; a list gets one item more. On false the field is as it was,
 * and why says what is wrong with the value. */
bool conf_value_set(const struct conf_option *option, void *config, const char *text,
		    char why[static CONF_WHY_MAX]);
/* Frees what the field owns and zeroes it. */
void conf_value_clear(const struct conf_option *option, void *config);
/* The text form of the field, or of item i of a list; the caller frees it. NULL when a list has no
 * such item, or i > 0 for the rest. */
char *conf_value_text(const struct conf_option *option, const void *config, size_t i);
/* For people: "a duration from 1s to 1d"; the caller frees it. */
char *conf_value_describe(const struct conf_option *option);
/* Placeholder in help: "SECONDS", "yes|no". */
const char *conf_value_placeholder(enum conf_type type);
/* "90000" ms → "90s"; the caller frees it. */
char *conf_duration_text(uint64_t ms);

#endif
