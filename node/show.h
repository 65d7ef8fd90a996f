#ifndef NODE_SHOW_H
#define NODE_SHOW_H

/* What the control socket shows, as JSON (doc/dnetd.8.md). Results are the caller's. */

#include <jansson.h>

struct node;
struct overlay;

json_t *show_status(const struct node *node);
json_t *show_peers(const struct overlay *overlay); /* an array */
/* overlay NULL: all. */
json_t *show_counters(const struct node *node, const struct overlay *overlay);

#endif
