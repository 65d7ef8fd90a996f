#include "chainwatch/agreement.h"

#include <stdio.h>
#include <string.h>

/* One that stands alone has no name: it is the same, whatever its address is now. */
static bool is_same(const struct agreement *a, const struct source *source)
{
	const char *who = source->ops->who ? source->ops->who(source) : "";

	return strncmp(a->who, who, sizeof(a->who) - 1) == 0;
}

static bool is_known(const uint8_t work[HASH_LEN])
{
	static const uint8_t zeros[HASH_LEN];

	return memcmp(work, zeros, sizeof(zeros)) != 0;
}

bool agreement_note(struct agreement *a, struct source *source, const struct hash256 *tip)
{
	struct source_header header = {.height = 0};

	if (memcmp(&a->tip, tip, sizeof(*tip)) == 0 && is_same(a, source))
		return false;
	if (source->ops->header(source, tip, &header))
		return false;
	a->tip = *tip;
	memcpy(a->work, header.work, sizeof(a->work));
	snprintf(a->who, sizeof(a->who), "%s", source->ops->who ? source->ops->who(source) : "");
	return true;
}

bool agreement_stands(const struct agreement *a, const struct source *source,
		      const struct source_header *best, const struct hash256 *tip,
		      bool tip_is_known)
{
	if (tip_is_known && is_same(a, source))
		return false;
	return memcmp(&a->tip, tip, sizeof(*tip)) == 0 && is_known(a->work) &&
	       is_known(best->work) && memcmp(best->work, a->work, sizeof(a->work)) <= 0;
}
