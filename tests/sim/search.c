#include "sim/search.h"

#include "sim/world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static unsigned two(const uint8_t *bytes)
{
	return bytes[0] | (unsigned)bytes[1] << 8;
}

void search_add(struct search *s, const uint8_t *bytes, size_t len)
{
	assert(len >= SEARCH_MIN && len <= SEARCH_MAX);
	s->needles = reallocarray(s->needles, s->count + 1, sizeof(*s->needles));
	assert(s->needles);
	memcpy(s->needles[s->count].bytes, bytes, len);
	s->needles[s->count++].len = len;
	s->first[two(bytes) / 8] |= (uint8_t)(1 << two(bytes) % 8);
}

void search_done(struct search *s)
{
	free(s->needles);
	*s = (struct search){0};
}

static bool any_at(const struct search *s, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->needles[i].len <= len &&
		    !memcmp(s->needles[i].bytes, bytes, s->needles[i].len))
			return true;
	return false;
}

bool search_finds(const struct search *s, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i + SEARCH_MIN <= len; i++)
		if (s->first[two(bytes + i) / 8] >> two(bytes + i) % 8 & 1 &&
		    any_at(s, bytes + i, len - i))
			return true;
	return false;
}

bool search_counts_up(const uint8_t *bytes, size_t len)
{
	size_t run = 1;

	for (size_t i = 1; i < len; i++) {
		run = bytes[i] == (uint8_t)(bytes[i - 1] + 1) ? run + 1 : 1;
		if (run >= SEARCH_RUN)
			return true;
	}
	return false;
}

void search_add_member(struct search *s, const struct member *m)
{
	struct address a = member_address(m);

	/* All keys begin with 2 or 3. */
	search_add(s, member_key(m)->bytes + 1, PUBKEY_LEN - 1);
	search_add(s, a.bytes, 16);
}
