#ifndef OS_FETCH_H
#define OS_FETCH_H

/* One file from where it is served, a path or an http or https URL, read in a thread of its own
 * that ends with the answer. Asks only whether there is a newer one (If-None-Match,
 * If-Modified-Since). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetch;
struct loop;

enum {
	FETCH_TAG_MAX =
		256, /* of an ETag or Last-Modified, with the NUL; longer ones are not kept */
	FETCH_ERROR_MAX = 256,
	FETCH_LOCATION_MAX = 1024,
	FETCH_REDIRECTS_MAX = 3, /* from https to https only */
	FETCH_TIMEOUT_MS = 60000,
};

struct fetch_request {
	const char *location; /* fetch_location_ok() */
	size_t max;	      /* bytes */
	const char *ca_file;  /* authorities in place of the system's; "": these */
	const char *etag;     /* of the last answer, "": none */
	const char *modified;
};

struct fetch_result {
	bool unchanged; /* the server says that there is none newer; there are no bytes */
	uint8_t *bytes; /* the caller's from now on (free()); NULL: unchanged, or an error */
	size_t len;
	char etag[FETCH_TAG_MAX];
	char modified[FETCH_TAG_MAX];
	char error[FETCH_ERROR_MAX]; /* "": none */
};

/* An absolute path, or a URL with http:// or https://. */
bool fetch_location_ok(const char *location);

/* Called once, from the loop. */
typedef void (*fetch_cb)(void *arg, struct fetch_result *result);

/* Strings are copied. NULL: no thread or socket can be had now. */
struct fetch *fetch_start(struct loop *loop, const struct fetch_request *request, fetch_cb cb,
			  void *arg);
/* It is not called back any more; not needed, and not allowed, after it was. The thread ends when
 * its server lets it, in a minute at the latest. */
void fetch_cancel(struct fetch *fetch);
/* The same, here and now. */
void fetch_now(const struct fetch_request *request, struct fetch_result *ret);

#endif
