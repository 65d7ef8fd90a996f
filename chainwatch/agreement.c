#include "chainwatch/agreement.h"

#include <string.h>

static unsigned turn_of(const struct source *source)
{
	return source->ops->turn ? source->ops->turn(source) : 0;
}

static bool is_known(const uint8_t work[HASH_LEN])
{
	static const uint8_t zeros[HASH_LEN];

	return memcmp(work, zeros, sizeof(zeros)) != 0;
}

void agreement_note(struct agreement *a, struct source *source, const struct hash256 *tip)
{
	struct source_header header = {.height = 0};

	if (memcmp(&a->tip, tip, sizeof(*tip)) == 0 && a->turn == turn_of(source))
		return;
	if (source->ops->header(source, tip, &header))
		return;
	a->tip = *tip;
	a->turn = turn_of(source);
	memcpy(a->work, header.work, sizeof(a->work));
}

bool agreement_stands(const struct agreement *a, const struct source *source,
		      const struct source_header *best, const struct hash256 *tip,
		      bool tip_is_known)
{
	if (tip_is_known && a->turn == turn_of(source))
		return false;
	return memcmp(&a->tip, tip, sizeof(*tip)) == 0 && is_known(a->work) &&
	       is_known(best->work) && memcmp(best->work, a->work, sizeof(a->work)) <= 0;
}
