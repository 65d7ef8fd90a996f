#ifndef CHAINWATCH_AGREEMENT_H
#define CHAINWATCH_AGREEMENT_H

/* The last block of ours that a source held best, who that was, and the work up to it: what another
 * source says is measured by it. All zero at first. It is kept in chain.db (store_put_agreement()),
 * so that a restart does not forget it. */

#include "chainwatch/source.h"

enum { AGREEMENT_WHO_SIZE = 160 };

struct agreement {
	struct hash256 tip;
	uint8_t work[HASH_LEN]; /* big-endian; zeros: not known */
	char who[AGREEMENT_WHO_SIZE];
};

/* The source holds our tip best. True: that was not noted yet. */
bool agreement_note(struct agreement *a, struct source *source, const struct hash256 *tip);
/* The source's best block is no reason to leave our tip. The node that our tip is of may take it
 * back as it likes: it has seen why. Another one, or one that does not know our tip, has to show
 * more work. */
bool agreement_stands(const struct agreement *a, const struct source *source,
		      const struct source_header *best, const struct hash256 *tip,
		      bool tip_is_known);

#endif
