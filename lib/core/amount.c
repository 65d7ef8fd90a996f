#include "core/amount.h"

#include <assert.h>
#include <stdio.h>

enum {
	PLACES = 8,
	WHOLE_DIGITS_MAX = 8,
};

bool amount_parse(const char *text, uint64_t *ret_sat)
{
	uint64_t sat = 0;
	int whole = 0, places = 0;

	for (; *text >= '0' && *text <= '9' && whole < WHOLE_DIGITS_MAX; text++, whole++)
		sat = sat * 10 + (uint64_t)(*text - '0');
	if (!whole)
		return false;
	if (*text == '.') {
		for (text++; *text >= '0' && *text <= '9' && places < PLACES; text++, places++)
			sat = sat * 10 + (uint64_t)(*text - '0');
		if (!places)
			return false;
	}
	if (*text)
		return false;
	for (; places < PLACES; places++)
		sat *= 10;
	if (sat > AMOUNT_MAX)
		return false;
	*ret_sat = sat;
	return true;
}

void amount_format(uint64_t sat, char ret_text[static AMOUNT_TEXT_MAX])
{
	assert(sat <= AMOUNT_MAX);
	snprintf(ret_text, AMOUNT_TEXT_MAX, "%llu.%08llu", (unsigned long long)(sat / AMOUNT_COIN),
		 (unsigned long long)(sat % AMOUNT_COIN));
}

uint64_t amount_fee(uint64_t vsize, uint64_t rate)
{
	assert(rate <= AMOUNT_COIN && vsize <= 4000000);
	return (vsize * rate + 999) / 1000;
}
