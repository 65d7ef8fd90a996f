#ifndef OS_CLOCK_H
#define OS_CLOCK_H

/* The clocks of the machine. */

#include "wire/units.h"

#include <stdint.h>

enum { CLOCK_TAI64N_LEN = 12 };

/* Stops while the machine sleeps; for measuring and for timers of the loop. */
uint64_t clock_monotonic_ns(void);
/* Goes on while the machine sleeps; the `now` of the engine: sessions age in a suspended laptop. */
uint64_t clock_boottime_ns(void);
/* Since 1970, UTC; may jump. */
uint64_t clock_wall_ns(void);
uint64_t clock_wall_s(void);
/* TAI64N of a time of the wall clock, big-endian: 8 bytes 2^62 + 10 + seconds, 4 bytes nanoseconds.
 */
void clock_tai64n(uint64_t wall_ns, uint8_t ret_stamp[static CLOCK_TAI64N_LEN]);

#endif
