#ifndef NODE_PING_H
#define NODE_PING_H

/* Overlay pings that wait for their answer, each on behalf of one control request. */

#include <stdint.h>

struct ctl_request;
struct netmap_node;
struct overlay;
struct pings;

enum { PINGS_MAX = 256 };

struct pings *pings_new(void);
void pings_free(struct pings *pings); /* all overlays are down */
/* Takes over the request: it is answered in any case. */
void pings_begin(struct pings *pings, struct overlay *overlay, const struct netmap_node *node,
		 uint64_t timeout_ms, struct ctl_request *request);
/* The dnet's mesh is about to be freed: answers what waits for it. Then, when it was freed:
 * forgets. */
void pings_abort(struct pings *pings, const struct overlay *overlay);
void pings_forget(struct pings *pings, const struct overlay *overlay);

#endif
