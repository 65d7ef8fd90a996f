#include "cli/roster_ini.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* A text that is taken is one body, the same each time; what it is printed as is taken too, and is
 * printed the same again. */

static bool find_member(void *arg, const char *name, struct node_key *ret_key)
{
	(void)arg;
	memset(ret_key, 7, sizeof(*ret_key));
	ret_key->bytes[0] = 3;
	return name[0] == 'm';
}

static bool key_valid(void *arg, const struct node_key *key)
{
	(void)arg;
	return key->bytes[1] != 0;
}

static const struct roster_ini_env env = {.header = {.dnet = {{1}}, .sequence = 4, .issued = 1000},
					  .find_member = find_member,
					  .key_valid = key_valid};

static char *print(const uint8_t *body, size_t len)
{
	struct roster roster;
	char *text = NULL;
	size_t size;
	FILE *f;

	FUZZ_CHECK(!roster_parse(body, len, &roster));
	f = open_memstream(&text, &size);
	FUZZ_CHECK(f);
	roster_ini_print(&roster, f);
	fclose(f);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char error[CONF_ERROR_MAX] = "", *text, *again;
	uint8_t *body, *other;
	size_t body_len, other_len;

	if (roster_ini_compile(&env, "f", (const char *)data, len, &body, &body_len, error)) {
		FUZZ_CHECK(error[0]);
		return 0;
	}
	text = print(body, body_len);
	if (!roster_ini_compile(&env, "f", text, strlen(text), &other, &other_len, error)) {
		again = print(other, other_len);
		FUZZ_CHECK(!strcmp(text, again));
		free(again);
		free(other);
	} else {
		/* a time so late that it cannot be written as a date, and nothing else */
		FUZZ_CHECK(strstr(error, "is no time") || strstr(error, "has passed"));
	}
	free(text);
	free(body);
	return 0;
}
