#ifndef CHAINWATCH_SOURCES_H
#define CHAINWATCH_SOURCES_H

/* `source = URL, URL…`: where blocks come from, in the order of preference. Each scheme is a row of
 * one table:
 *
 *	SCHEME:[//][USER[:PASSWORD]@]PLACE[?NAME=VALUE[&NAME=VALUE…]]
 *
 * %XX stands for a byte in USER, PASSWORD, VALUE, and in a PLACE that is a path. */

#include "os/sandbox_roles.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chainparams;
struct conf_list;
struct light_config;
struct source;
struct source_scheme;

enum {
	SOURCE_URLS_MAX = 8,
	SOURCE_OPTIONS_MAX = 4, /* of a URL */
	SOURCE_PATHS_MAX = 2,	/* that a URL makes readable */
	SOURCE_ERROR_MAX = 512,
};

struct source_option {
	char *name, *value; /* owned */
};

struct source_url {
	const struct source_scheme *scheme; /* borrowed; a row of the table */
	char *shown;			    /* owned; as given, without USER:PASSWORD@ */
	char *place;			    /* owned; may be "" */
	char *user, *password;		    /* owned; NULL: none given */
	struct source_option options[SOURCE_OPTIONS_MAX];
	size_t options_count;
};

struct source_list {
	struct source_url urls[SOURCE_URLS_MAX];
	size_t count;
};

/* What a source has beside its URL. */
struct source_env {
	const struct chainparams *params; /* borrowed, outlives the source */
	const char *state_folder;	  /* private to chainwatch; borrowed, outlives the source */
	const char *user, *password, *cookie; /* for a URL without its own; NULL or "": none */
	uint64_t timeout_ms;
	uint64_t return_ms; /* until a better one that works again is asked again */
	uint32_t birth_height;
	const atomic_bool *stop;	  /* borrowed, outlives the source; true: come back soon */
	const struct light_config *light; /* of `light`, without what is above; borrowed */
};

struct source_scheme {
	const char *name;
	const char *form;	    /* how a URL of it looks, for errors */
	const char *const *options; /* NULL ends them; NULL: none */
	bool takes_user;
	bool takes_host;    /* the place is HOST:PORT, and perhaps a path */
	bool place_is_path; /* absolute; %XX is decoded */
	bool alone;	    /* takes no other one beside it */
	/* Which files and folders it reads once chainwatch has given up all others; returns how
	 * many. Their paths are the caller's (free). NULL: none */
	size_t (*paths)(const struct source_url *url,
			struct sandbox_path ret_paths[SOURCE_PATHS_MAX]);
	/* 0, or a negative errno with the cause in ret_error. Connects with the first call. */
	int (*open)(const struct source_url *url, const struct source_env *env,
		    struct source **ret_source, char ret_error[static SOURCE_ERROR_MAX]);
};

/* Adds the URLs of one setting, split at commas. False with the cause in ret_error. The list is
 * released by source_list_done() after any outcome. */
bool source_list_add(struct source_list *list, const char *text,
		     char ret_error[static SOURCE_ERROR_MAX]);
/* http://HOST:PORT/ as an rpc, https:// as an rpcs; credentials are refused. */
bool source_list_add_http(struct source_list *list, const char *url,
			  char ret_error[static SOURCE_ERROR_MAX]);
void source_list_done(struct source_list *list);
/* Its value; NULL when the URL does not give it. */
const char *source_url_option(const struct source_url *url, const char *name);
/* The source that the list describes. As source_scheme.open(). */
int source_list_open(const struct source_list *list, const struct source_env *env,
		     struct source **ret_source, char ret_error[static SOURCE_ERROR_MAX]);

#endif
