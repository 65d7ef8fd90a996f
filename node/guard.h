#ifndef NODE_GUARD_H
#define NODE_GUARD_H

/* The packet filter of one interface as wanted and as it is in force: one more part beside those of
 * netcfg.h. The table is the root helper's, so others cannot change it; that it is there is looked
 * at all the same. */

#include "core/filter.h"

#include <stdbool.h>
#include <stdint.h>

struct guard;
struct priv;

/* priv, interface: borrowed until guard_free(). */
struct guard *guard_new(struct priv *priv, const char *interface);
void guard_free(struct guard *guard);
/* Takes the filter; NULL: none is wanted. False: it is as before. */
bool guard_set_wanted(struct guard *guard, struct filter *filter);
/* The interface is there; 0: it has gone, and its filter with it. */
void guard_set_index(struct guard *guard, uint32_t index);
/* Compares and repairs now. Returns in how many ms to call again at the latest. */
uint64_t guard_pass(struct guard *guard, uint64_t now_ms);

/* None is wanted, or it is in force. */
bool guard_is_good(const struct guard *guard);
bool guard_is_wanted(const struct guard *guard);
/* NULL: none; borrowed. */
const char *guard_error(const struct guard *guard);
/* Packets refused since the interface is there. False: there is no filter. */
bool guard_counters(struct guard *guard, uint64_t ret_packets[FILTER_COUNTER_COUNT]);

#endif
