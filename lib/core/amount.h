#ifndef CORE_AMOUNT_H
#define CORE_AMOUNT_H

/* Amounts of a chain of the Bitcoin family, in its smallest unit ("sat"), and their decimal form.
 */

#include <stdbool.h>
#include <stdint.h>

#define AMOUNT_COIN 100000000ULL
#define AMOUNT_MAX  (84000000ULL * AMOUNT_COIN) /* Litecoin's; Bitcoin's is a quarter */

enum {
	AMOUNT_TEXT_MAX = 24, /* amount_format() with its NUL */
};

/* Exact decimals of at most 8 places, no sign, no exponent, at most AMOUNT_MAX. */
bool amount_parse(const char *text, uint64_t *ret_sat);
/* "1.00000000": always 8 places, as nodes show it. */
void amount_format(uint64_t sat, char ret_text[static AMOUNT_TEXT_MAX]);
/* The fee of vsize (at most 4000000) at rate sat per 1000 virtual bytes (at most AMOUNT_COIN),
 * rounded up. */
uint64_t amount_fee(uint64_t vsize, uint64_t rate);

#endif
