#ifndef CORE_RATELIMIT_H
#define CORE_RATELIMIT_H

/* Token buckets by IPv4 address or IPv6 /64, in a table of fixed size: strangers cost no memory. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/addr.h"

struct ratelimit;

enum { RATELIMIT_SEED_LEN = 16 };

/* buckets: how many sources are told apart, rounded up to a power of two, at least 4. A bucket
 * holds at most burst tokens and wins rate of them a second; both at least 1. seed: random bytes,
 * so that nobody can aim at a bucket. NULL: no memory. */
struct ratelimit *ratelimit_new(size_t buckets, unsigned rate, unsigned burst,
				const uint8_t seed[static RATELIMIT_SEED_LEN]);
void ratelimit_free(struct ratelimit *limit);
/* Takes a token of src. False: there is none. When more sources than buckets come, the one that has
 * waited longest is forgotten. */
bool ratelimit_take(struct ratelimit *limit, const struct address *src, uint64_t now);

/* One bucket alone, as the time at which it will be full again; 0: it is full now. As above. */
bool ratelimit_take_one(uint64_t *full_at, unsigned rate, unsigned burst, uint64_t now);

#endif
