#include "os/rand.h"

#include "os/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void rand_bytes(void *dst, size_t len)
{
	uint8_t *pos = dst;

	while (len) {
		ssize_t n = getrandom(pos, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			log_error("getrandom: %s: no randomness, so no keys", strerror(errno));
			abort();
		}
		pos += n;
		len -= (size_t)n;
	}
}

uint32_t rand_u32(void)
{
	uint32_t v;

	rand_bytes(&v, sizeof(v));
	return v;
}

uint64_t rand_u64(void)
{
	uint64_t v;

	rand_bytes(&v, sizeof(v));
	return v;
}

uint32_t rand_below(uint32_t bound)
{
	uint32_t first, v;

	assert(bound);
	/* Values below 2^32 mod bound are drawn again: the rest is a whole number of bounds. */
	first = -bound % bound;
	do
		v = rand_u32();
	while (v < first);
	return v % bound;
}
