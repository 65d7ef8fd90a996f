#ifndef HUB_TENANT_H
#define HUB_TENANT_H

/* The dnets of a tinc hub: each has a tincd of its own, with a folder, a key and a port that no
 * other one sees. */

#include "wire/key.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Folders are backend/PREFIX and a number, as those of dnetd's interfaces. */
#define TENANT_PREFIX "tenant"
enum { TENANTS_MAX = 64 };

struct id;
struct loop;
struct spawn;
struct tenant;
struct tenants;
struct tincd;

/* All borrowed but the path, which is copied. */
struct tenants *tenants_new(struct loop *loop, struct spawn *spawn, const char *state_folder);
void tenants_free(struct tenants *all); /* stops them; their folders stay */
/* Whom the OVC serves: an array of objects with "dnet". One that is not in it is stopped at once,
 * and its folder goes; a new one starts. */
void tenants_set(struct tenants *all, const struct object_id *ovc, const json_t *list);
size_t tenants_count(const struct tenants *all);
struct tenant *tenants_at(struct tenants *all, size_t i);
struct tenant *tenants_find(struct tenants *all, const struct object_id *dnet); /* NULL: none */

/* A new list of nodes begins; false: one is under way already, or ovcd says that nothing is other
 * than in the last one that ended with tenant_told(). Then its parts, as ovcd's "statements" has
 * them (false: of another form; the list is dropped), and apply: who is not in it is cut. */
bool tenant_begin(struct tenant *t);
bool tenant_take(struct tenant *t, const struct id *curve, const json_t *nodes);
void tenant_apply(struct tenant *t);
void tenant_abort(struct tenant *t);
/* ovcd knows our key. */
void tenant_told(struct tenant *t);
/* The last list again, for what could not be done, or happened, since. */
void tenant_keep(struct tenant *t);

const struct object_id *tenant_dnet(const struct tenant *t);
const char *tenant_id(const struct tenant *t); /* its text */
struct tincd *tenant_tincd(struct tenant *t);
json_t *tenant_describe(struct tenant *t);

#endif
