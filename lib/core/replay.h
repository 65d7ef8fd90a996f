#ifndef CORE_REPLAY_H
#define CORE_REPLAY_H

/* Sliding window of counters, as RFC 6479 does it: no shifting, a ring of words of which the oldest
 * is cleared. */

#include <stdbool.h>
#include <stdint.h>

enum { REPLAY_WINDOW = 8192, REPLAY_WORDS = REPLAY_WINDOW / 64 + 1 };

/* Counters from here on are refused: PROTOCOL 6, REJECT_AFTER. */
#define REPLAY_LIMIT (UINT64_C(1) << 60)

/* Zeroed memory is a fresh one. */
struct replay {
	uint64_t next; /* one more than the greatest counter seen */
	uint64_t seen[REPLAY_WORDS];
};

/* Marks counter as seen. False: seen before, 8,192 or more behind the greatest, or past
 * REPLAY_LIMIT. Only after its tag was found right. */
bool replay_accept(struct replay *replay, uint64_t counter);

#endif
