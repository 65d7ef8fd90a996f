#include "fuzz/fuzz.h"

#include "os/conf.h"
#include "wire/addr.h"

#include <stdlib.h>
#include <string.h>

struct config {
	char *text, *path;
	int64_t number;
	bool flag;
	uint64_t duration;
	struct endpoint endpoint;
	struct conf_list list;
};

#define AT(field) offsetof(struct config, field)
static const struct conf_option options[] = {
	{"", "text", CONF_STRING, "x", 0, 20, AT(text), "t"},
	{"", "path", CONF_PATH, NULL, 0, 0, AT(path), "p"},
	{"a", "number", CONF_INT, "1", -5, 70000, AT(number), "n"},
	{"a", "flag", CONF_BOOL, "no", 0, 0, AT(flag), "f"},
	{"b", "duration", CONF_DURATION, "1s", 0, 0, AT(duration), "d"},
	{"b", "endpoint", CONF_ENDPOINT, NULL, 0, 0, AT(endpoint), "e"},
	{"b", "list", CONF_LIST, NULL, 0, 9, AT(list), "l"},
};
static const struct conf_program program = {"fuzz", "1", "f", NULL, options, ARRAY_SIZE(options)};

static char *print(const struct config *config, size_t *ret_len)
{
	char *text;
	FILE *out = open_memstream(&text, ret_len);

	conf_print(&program, config, out);
	fclose(out);
	return text;
}

/* What is accepted, printed and read again prints the same; what is refused has a place and a text.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config one = {0}, two = {0};
	char error[CONF_ERROR_MAX] = "";
	char *first, *second;
	size_t first_len, second_len;

	if (conf_set_defaults(&program, &one) || conf_set_defaults(&program, &two))
		abort();
	if (conf_read_text(&program, "f", (const char *)data, size, &one, error)) {
		if (strncmp(error, "f:", 2))
			abort();
	} else {
		first = print(&one, &first_len);
		if (conf_read_text(&program, "f", first, first_len, &two, error))
			abort();
		second = print(&two, &second_len);
		if (first_len != second_len || memcmp(first, second, first_len))
			abort();
		free(first);
		free(second);
	}
	conf_free(&program, &one);
	conf_free(&program, &two);
	return 0;
}
