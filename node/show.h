#ifndef NODE_SHOW_H
#define NODE_SHOW_H

/* What the control socket shows, as JSON (doc/dnetd.8.md). Results are the caller's. */

#include <jansson.h>
#include <stdint.h>

struct endpoint;
struct netmap_node;
struct node;
struct overlay;

json_t *show_status(const struct node *node);
json_t *show_peers(const struct overlay *overlay); /* an array */
/* overlay NULL: all. */
json_t *show_counters(const struct node *node, const struct overlay *overlay);

/* Parts of these. */
json_t *show_endpoint(const struct endpoint *endpoint); /* null: none */
json_t *show_milliseconds(uint64_t ns);			/* null: 0 */
json_t *show_addresses(const struct netmap_node *node); /* node NULL: an empty list */
json_t *show_helpers(const struct overlay *overlay);

#endif
