#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H

/* Prefix to whatever owns it, longest match, both families. Built whole; to change it, build
 * another and swap. */

#include <stddef.h>
#include <stdint.h>

#include "wire/addr.h"

struct route {
	struct prefix prefix; /* host bits do not matter */
	void *target;	      /* borrowed; not NULL */
};

struct route_table;

/* Of equal prefixes the first one counts. NULL: out of memory. */
struct route_table *route_table_new(const struct route *routes, size_t count);
void route_table_free(struct route_table *table);

/* version: 4 or 6; address: 4 or 16 bytes. NULL: no route. */
void *route_lookup(const struct route_table *table, uint8_t version, const uint8_t *address);

#endif
