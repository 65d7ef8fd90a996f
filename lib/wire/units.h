#ifndef WIRE_UNITS_H
#define WIRE_UNITS_H

/* Times are nanoseconds in a uint64_t, unless their name says another unit. */

#include <stdint.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

#endif
