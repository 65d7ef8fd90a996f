#include "chainwatch/sources.h"

#include "chainwatch/p2p_net.h"
#include "chainwatch/source.h"
#include "chainwatch/source_switch.h"
#include "os/base.h"
#include "os/file.h"
#include "os/rpc.h"
#include "wire/hex.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ the schemes */

static int open_rpc(const struct source_url *url, const struct source_env *env,
		    struct source **ret_source, char ret_error[static SOURCE_ERROR_MAX])
{
	const char *cookie = source_url_option(url, "cookie");
	bool own = url->user || cookie;
	_cleanup_(freep) char *http = NULL;
	const struct rpc_config config = {
		.url = http = xasprintf("%s://%s%s",
					strcmp(url->scheme->name, "rpcs") == 0 ? "https" : "http",
					url->place, strchr(url->place, '/') ? "" : "/"),
		.user = own ? url->user : env->user,
		.password = own ? url->password : env->password,
		.cookie_file = own ? cookie : env->cookie,
		.timeout_ms = (uint32_t)env->timeout_ms,
		.cancel = env->stop,
	};
	int result = source_rpc_new(&config, ret_source);

	if (result)
		snprintf(ret_error, SOURCE_ERROR_MAX, "%s: %s", url->shown, strerror(-result));
	return result;
}

/* The cookie is made anew at each start of the chain node, and so is the folder of its network when
 * somebody begins that chain again. */
static size_t rpc_paths(const struct source_url *url,
			struct sandbox_path ret_paths[SOURCE_PATHS_MAX])
{
	const char *cookie = source_url_option(url, "cookie");
	_cleanup_(freep) char *network = cookie ? file_folder_of(cookie) : NULL;

	if (!cookie)
		return 0;
	ret_paths[0] = (struct sandbox_path){file_folder_of(network), SANDBOX_READ};
	return 1;
}

static int open_blocks(const struct source_url *url, const struct source_env *env,
		       struct source **ret_source, char ret_error[static SOURCE_ERROR_MAX])
{
	int result = source_blocks_new(url->place, env->params, env->stop, ret_source);

	if (result)
		snprintf(ret_error, SOURCE_ERROR_MAX, "%s: %s", url->shown, strerror(-result));
	return result;
}

static size_t blocks_paths(const struct source_url *url,
			   struct sandbox_path ret_paths[SOURCE_PATHS_MAX])
{
	ret_paths[0] = (struct sandbox_path){xstrdup(url->place), SANDBOX_READ | SANDBOX_LIST};
	return 1;
}

static int open_light(const struct source_url *url, const struct source_env *env,
		      struct source **ret_source, char ret_error[static SOURCE_ERROR_MAX])
{
	struct light_config config = *env->light;

	config.params = env->params;
	config.state_folder = env->state_folder;
	config.stop = env->stop;
	return source_light_new(&config, ret_source, ret_error, SOURCE_ERROR_MAX);
}

static const char *const rpc_options[] = {"cookie", NULL};

static const struct source_scheme schemes[] = {
	{.name = "rpc",
	 .form = "rpc://[USER:PASSWORD@]HOST:PORT[?cookie=FILE]",
	 .options = rpc_options,
	 .takes_user = true,
	 .takes_host = true,
	 .paths = rpc_paths,
	 .open = open_rpc},
	{.name = "rpcs",
	 .form = "rpcs://[USER:PASSWORD@]HOST:PORT[?cookie=FILE]",
	 .options = rpc_options,
	 .takes_user = true,
	 .takes_host = true,
	 .paths = rpc_paths,
	 .open = open_rpc},
	{.name = "blocks",
	 .form = "blocks:/FOLDER",
	 .place_is_path = true,
	 .paths = blocks_paths,
	 .open = open_blocks},
	{.name = "light", .form = "light", .alone = true, .open = open_light},
};

/* ------------------------------------------------------------------ parsing */

_printf_(2, 3) static bool refuse(char error[static SOURCE_ERROR_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, SOURCE_ERROR_MAX, format, args);
	va_end(args);
	return false;
}

static const struct source_scheme *find_scheme(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strlen(schemes[i].name) == len && strncasecmp(schemes[i].name, text, len) == 0)
			return &schemes[i];
	return NULL;
}

static char *known_schemes(void)
{
	char *list = xstrdup("");

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		char *longer = xasprintf("%s%s%s", list, i ? ", " : "", schemes[i].form);

		free(list);
		list = longer;
	}
	return list;
}

/* %XX as bytes; NULL when that is malformed, or a NUL. */
static char *decode(const char *text, size_t len)
{
	char *plain = xmalloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char digits[3] = "", byte = text[i];

		if (byte == '%') {
			snprintf(digits, sizeof(digits), "%.*s", (int)(len - i - 1), text + i + 1);
			if (strlen(digits) != 2 || !hex_parse(digits, &byte, 1) || !byte) {
				free(plain);
				return NULL;
			}
			i += 2;
		}
		plain[n++] = byte;
	}
	plain[n] = '\0';
	return plain;
}

static bool takes_option(const struct source_scheme *scheme, const char *name, size_t len)
{
	for (const char *const *known = scheme->options; known && *known; known++)
		if (strlen(*known) == len && strncmp(*known, name, len) == 0)
			return true;
	return false;
}

static bool parse_options(struct source_url *url, const char *text, size_t len, char *error)
{
	const char *end = text + len;

	while (text < end) {
		struct source_option *option = &url->options[url->options_count];
		size_t part = strcspn(text, "&"), name;

		part = MIN(part, (size_t)(end - text));
		name = strcspn(text, "=&");
		if (name >= part || !takes_option(url->scheme, text, name))
			return refuse(error, "source %s has no option '%.*s': it looks like %s",
				      url->shown, (int)MIN(name, part), text, url->scheme->form);
		if (url->options_count == SOURCE_OPTIONS_MAX)
			return refuse(error, "source %s has more than %d options", url->shown,
				      SOURCE_OPTIONS_MAX);
		url->options_count++;
		option->name = xasprintf("%.*s", (int)name, text);
		option->value = decode(text + name + 1, part - name - 1);
		if (!option->value || !option->value[0])
			return refuse(error, "source %s: %s has no value, or a %%XX that is none",
				      url->shown, option->name);
		text += part + (text + part < end);
	}
	return true;
}

/* What is before '@' in [text, end); returns where the place begins, NULL when it is malformed. */
static const char *parse_user(struct source_url *url, const char *text, const char *end)
{
	const char *at = memchr(text, '@', strcspn(text, "/?"));
	const char *colon;

	if (!at || at >= end || !url->scheme->takes_user)
		return text;
	colon = memchr(text, ':', (size_t)(at - text));
	url->user = decode(text, (size_t)((colon ? colon : at) - text));
	url->password = colon ? decode(colon + 1, (size_t)(at - colon - 1)) : xstrdup("");
	return url->user && url->user[0] && url->password ? at + 1 : NULL;
}

/* A kind of source that has no place. */
static bool is_word(const char *text, size_t len)
{
	const struct source_scheme *scheme = find_scheme(text, len);

	return scheme && !strchr(scheme->form, ':');
}

/* HOST:PORT[/…], with an IPv6 address in brackets; no port is that of every chain. */
static bool is_host_and_port(const char *place)
{
	_cleanup_(freep) char *name = xasprintf("%.*s", (int)strcspn(place, "/"), place);
	struct p2p_target target;

	return p2p_target_parse(name, 0, &target) && target.port;
}

static bool parse_url(struct source_url *url, const char *text, size_t len, char *error)
{
	size_t scheme = strcspn(text, ":/,? ");
	const char *end = text + len, *rest = text + scheme + 1, *place, *query;

	url->scheme = scheme < len && text[scheme] == ':' ? find_scheme(text, scheme) : NULL;
	if (is_word(text, len)) {
		url->scheme = find_scheme(text, len);
		url->shown = xasprintf("%.*s", (int)len, text);
		url->place = xstrdup("");
		return true;
	}
	if (!url->scheme) {
		_cleanup_(freep) char *known = known_schemes();

		return refuse(error, "source '%.*s' has no scheme that is known: %s",
			      (int)MIN(scheme, len), text, known);
	}
	if (end - rest >= 2 && strncmp(rest, "//", 2) == 0)
		rest += 2;
	place = parse_user(url, rest, end);
	if (!place) /* it may be a password that is malformed: it is not repeated */
		return refuse(error, "source %s: USER:PASSWORD is malformed (%%XX is a byte)",
			      url->scheme->form);
	url->shown = xasprintf("%.*s%.*s", (int)(rest - text), text, (int)(end - place), place);
	query = memchr(place, '?', (size_t)(end - place));
	if (url->scheme->place_is_path)
		url->place = decode(place, (size_t)((query ? query : end) - place));
	else
		url->place = xasprintf("%.*s", (int)((query ? query : end) - place), place);
	if (!url->place || (url->scheme->place_is_path && url->place[0] != '/') ||
	    (url->scheme->takes_host && !is_host_and_port(url->place)))
		return refuse(error, "source %s does not look like %s", url->shown,
			      url->scheme->form);
	return !query || parse_options(url, query + 1, (size_t)(end - query - 1), error);
}

bool source_list_add(struct source_list *list, const char *text,
		     char ret_error[static SOURCE_ERROR_MAX])
{
	for (;;) {
		size_t len = strcspn(text, ","), used = len;

		while (used > 0 && isspace((unsigned char)*text))
			text++, used--, len--;
		while (used > 0 && isspace((unsigned char)text[used - 1]))
			used--;
		if (used == 0)
			return refuse(ret_error, "source has an empty place in its list");
		if (list->count == SOURCE_URLS_MAX)
			return refuse(ret_error, "source names more than %d", SOURCE_URLS_MAX);
		if (!parse_url(&list->urls[list->count++], text, used, ret_error))
			return false;
		if (!text[len])
			return true;
		text += len + 1;
	}
}

bool source_list_add_http(struct source_list *list, const char *text,
			  char ret_error[static SOURCE_ERROR_MAX])
{
	bool tls = strncasecmp(text, "https://", 8) == 0;
	struct source_url *url = &list->urls[list->count];

	if (strchr(text, '@'))
		return refuse(ret_error,
			      "rpc-url must not hold credentials: use rpc-user and rpc-password, "
			      "or rpc-cookie");
	if (!tls && strncasecmp(text, "http://", 7) != 0)
		return refuse(ret_error, "rpc-url '%s' does not begin with http:// or https://",
			      text);
	if (list->count == SOURCE_URLS_MAX)
		return refuse(ret_error, "source names more than %d", SOURCE_URLS_MAX);
	list->count++;
	url->scheme = find_scheme(tls ? "rpcs" : "rpc", tls ? 4 : 3);
	url->shown = xstrdup(text);
	url->place = xstrdup(text + (tls ? 8 : 7));
	return true;
}

static void free_secret(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void source_list_done(struct source_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct source_url *url = &list->urls[i];

		free(url->shown);
		free(url->place);
		free(url->user);
		free_secret(url->password);
		for (size_t k = 0; k < url->options_count; k++) {
			free(url->options[k].name);
			free(url->options[k].value);
		}
	}
	memset(list, 0, sizeof(*list));
}

const char *source_url_option(const struct source_url *url, const char *name)
{
	for (size_t i = 0; i < url->options_count; i++)
		if (strcmp(url->options[i].name, name) == 0)
			return url->options[i].value;
	return NULL;
}

int source_list_open(const struct source_list *list, const struct source_env *env,
		     struct source **ret_source, char ret_error[static SOURCE_ERROR_MAX])
{
	struct switch_member members[SOURCE_URLS_MAX];
	const struct switch_config config = {.params = env->params,
					     .members = members,
					     .count = list->count,
					     .return_ms = env->return_ms};
	size_t opened = 0;
	int result = 0;

	static_assert((int)SOURCE_URLS_MAX <= (int)SOURCE_PARTS_MAX, "each URL is a part");
	if (list->count == 1)
		return list->urls[0].scheme->open(&list->urls[0], env, ret_source, ret_error);
	while (!result && opened < list->count) {
		const struct source_url *url = &list->urls[opened];

		members[opened].shown = url->shown;
		if (url->scheme->alone) {
			refuse(ret_error, "source %s takes no other beside it", url->shown);
			result = -EINVAL;
			break;
		}
		result = url->scheme->open(url, env, &members[opened].source, ret_error);
		opened += result == 0;
	}
	if (!result) {
		result = source_switch_new(&config, ret_source);
		if (result)
			refuse(ret_error, "out of memory");
	}
	for (size_t i = 0; result && i < opened; i++)
		members[i].source->ops->free(members[i].source);
	return result;
}
