#include "core/ratelimit.h"

#include "wire/units.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* A source has its bucket in one of WAYS places, found by a keyed hash. Tokens are kept as the time
 * at which the bucket will be full again: one number, and a bucket whose time has passed is as good
 * as none. */
enum { WAYS = 4 };

struct bucket {
	uint8_t source[9]; /* family, then IPv4 address or first half of IPv6 */
	uint64_t full_at;  /* ns; 0: free */
};

struct ratelimit {
	unsigned rate, burst;
	size_t sets;
	uint8_t seed[RATELIMIT_SEED_LEN];
	struct bucket buckets[];
};

static_assert(RATELIMIT_SEED_LEN == crypto_shorthash_KEYBYTES, "seed");

struct ratelimit *ratelimit_new(size_t buckets, unsigned rate, unsigned burst,
				const uint8_t seed[static RATELIMIT_SEED_LEN])
{
	struct ratelimit *limit;
	size_t sets = 1;

	assert(rate && burst && buckets <= SIZE_MAX / 2 / sizeof(struct bucket));
	while (sets * WAYS < buckets)
		sets *= 2;
	limit = calloc(1, sizeof(*limit) + sets * WAYS * sizeof(limit->buckets[0]));
	if (!limit)
		return NULL;
	limit->rate = rate;
	limit->burst = burst;
	limit->sets = sets;
	memcpy(limit->seed, seed, RATELIMIT_SEED_LEN);
	return limit;
}

void ratelimit_free(struct ratelimit *limit)
{
	free(limit);
}

/* The bucket of source, or the one that it takes over: the nearest to full. */
static struct bucket *find(struct ratelimit *limit, const uint8_t source[static 9])
{
	struct bucket *set, *best = NULL;
	uint64_t hash = 0;

	crypto_shorthash((uint8_t *)&hash, source, 9, limit->seed);
	set = &limit->buckets[hash % limit->sets * WAYS];
	for (int i = 0; i < WAYS; i++) {
		if (set[i].full_at && !memcmp(set[i].source, source, 9))
			return &set[i];
		if (!best || set[i].full_at < best->full_at)
			best = &set[i];
	}
	memcpy(best->source, source, 9);
	best->full_at = 0;
	return best;
}

bool ratelimit_take_one(uint64_t *full_at, unsigned rate, unsigned burst, uint64_t now)
{
	uint64_t cost = NS_PER_S / rate; /* so long one token takes to come back */
	uint64_t from = *full_at > now ? *full_at : now;

	if (from + cost - now > cost * burst)
		return false;
	*full_at = from + cost;
	return true;
}

bool ratelimit_take(struct ratelimit *limit, const struct address *src, uint64_t now)
{
	uint8_t source[9] = {src->family};

	memcpy(source + 1, src->bytes, src->family == ADDR_V4 ? 4 : 8);
	return ratelimit_take_one(&find(limit, source)->full_at, limit->rate, limit->burst, now);
}
