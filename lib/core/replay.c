#include "core/replay.h"

/* The ring has one word more than the window: the word of the greatest counter is only partly in
 * use, and a counter REPLAY_WINDOW - 1 behind it still has bits of its own. */
bool replay_accept(struct replay *replay, uint64_t counter)
{
	uint64_t word = counter / 64, bit = UINT64_C(1) << counter % 64, top;

	if (counter >= REPLAY_LIMIT)
		return false;
	if (counter >= replay->next) {
		/* Clears the words between the greatest so far and this one, all of them at most
		 * once. */
		top = replay->next ? (replay->next - 1) / 64 : 0;
		if (word - top > REPLAY_WORDS)
			top = word - REPLAY_WORDS;
		while (top < word)
			replay->seen[++top % REPLAY_WORDS] = 0;
		replay->next = counter + 1;
	} else if (replay->next - counter > REPLAY_WINDOW) {
		return false;
	}
	if (replay->seen[word % REPLAY_WORDS] & bit)
		return false;
	replay->seen[word % REPLAY_WORDS] |= bit;
	return true;
}
