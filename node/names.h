#ifndef NODE_NAMES_H
#define NODE_NAMES_H

/* Host names in the endpoints of a dnet's OVCs and OVRs: resolved one after another, and again now
 * and then. */

struct loop;
struct mesh;
struct names;
struct netmap;

/* No timer and no thread as long as there are no names. */
struct names *names_new(struct loop *loop);
void names_free(struct names *names);
/* The mesh that is to be told (borrowed; NULL: stop), and its netmap (copied from). */
void names_set(struct names *names, struct mesh *mesh, const struct netmap *netmap);
/* The network changed: ask again soon. */
void names_refresh(struct names *names);

#endif
