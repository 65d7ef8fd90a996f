#ifndef NODE_NAMES_H
#define NODE_NAMES_H

/* Host names in the endpoints of a dnet's OVCs and OVRs: resolved one after another, and again now
 * and then. */

struct loop;
struct mesh;
struct names;
struct netmap;
struct object_id;

/* No timer and no thread as long as there are no names. */
struct names *names_new(struct loop *loop);
void names_free(struct names *names);
/* The mesh that is to be told (borrowed; NULL: stop), and its netmap (copied from). */
/* Why a host name of this helper could not be resolved last; NULL: all could. Borrowed until the
 * loop runs again. */
const char *names_error(const struct names *names, const struct object_id *helper);
void names_set(struct names *names, struct mesh *mesh, const struct netmap *netmap);
/* The network changed: ask again soon. */
void names_refresh(struct names *names);

#endif
