#ifndef ADAPTERS_WG_UAPI_H
#define ADAPTERS_WG_UAPI_H

/* The text protocol that userspace implementations of WireGuard are configured with
 * (www.wireguard.com/xplatform, "Configuration Protocol"): lines "key=value", keys in hexadecimal,
 * an empty line at the end of a request and, after "errno=N", of an answer. */

#include "adapters/wg_config.h"

#include <stdbool.h>
#include <stddef.h>

struct wg_set;

enum {
	WG_UAPI_LINE_MAX = 200,	    /* bytes; ours need 90 */
	WG_UAPI_PEERS_MAX = 100000, /* of an answer */
};

/* A request with its NUL; the caller's, who wipes it: it may have the private key. */
char *wg_uapi_get_request(size_t *ret_len);
char *wg_uapi_set_request(const struct wg_set *set, size_t *ret_len);

/* One answer, read as it comes. */
struct wg_uapi_answer {
	struct wg_config config; /* owned; sorted once it is complete */
	int error;		 /* errno of the other side; 0: done */
	bool has_peer, has_error;
	struct wg_peer peer; /* in the making */
	char line[WG_UAPI_LINE_MAX + 1];
	size_t line_len;
};

enum wg_uapi_result { WG_UAPI_MORE, WG_UAPI_DONE, WG_UAPI_MALFORMED };

void wg_uapi_answer_init(struct wg_uapi_answer *answer);
void wg_uapi_answer_done(struct wg_uapi_answer *answer); /* wipes */
/* Takes bytes up to the end of the answer; *ret_used says how many. Lines of unknown keys are left
 * out, as newer versions may have them. After MALFORMED nothing can be read any more. */
enum wg_uapi_result wg_uapi_read(struct wg_uapi_answer *answer, const char *bytes, size_t len,
				 size_t *ret_used);

#endif
