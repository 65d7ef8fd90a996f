#ifndef OS_RAND_H
#define OS_RAND_H

/* Randomness from the kernel (getrandom). A machine that has none ends the process. */

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *dst, size_t len);
uint32_t rand_u32(void);
uint64_t rand_u64(void);
/* Uniform in [0, bound); bound > 0. */
uint32_t rand_below(uint32_t bound);

#endif
