#ifndef CHAINWATCH_AGREEMENT_H
#define CHAINWATCH_AGREEMENT_H

/* The last block of ours that a source held best, whose turn it was, and the work up to it: what
 * another source says is measured by it. All zero at first. */

#include "chainwatch/source.h"

struct agreement {
	struct hash256 tip;
	unsigned turn;
	uint8_t work[HASH_LEN]; /* big-endian; zeros: not known */
};

/* The source holds our tip best. */
void agreement_note(struct agreement *a, struct source *source, const struct hash256 *tip);
/* The source's best block is no reason to leave our tip. The node that our tip is of may take it
 * back as it likes: it has seen why. Another one, or one that does not know our tip, has to show
 * more work. */
bool agreement_stands(const struct agreement *a, const struct source *source,
		      const struct source_header *best, const struct hash256 *tip,
		      bool tip_is_known);

#endif
