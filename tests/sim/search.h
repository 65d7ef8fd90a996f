#ifndef SIM_SEARCH_H
#define SIM_SEARCH_H

/* Looks for many byte strings at once, in every datagram of a day: a table of the first two bytes
 * says where it is worth to compare. And for what flows carry (sim/flow.c): bytes that count up. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEARCH_MIN = 4, SEARCH_MAX = 32, SEARCH_RUN = 12 };

struct search {
	struct search_needle {
		uint8_t bytes[SEARCH_MAX];
		size_t len;
	} * needles; /* owned */
	size_t count;
	uint8_t first[1 << 13]; /* a bit for each two bytes */
};

/* SEARCH_MIN to SEARCH_MAX bytes; zeroed memory is an empty search. */
void search_add(struct search *s, const uint8_t *bytes, size_t len);
void search_done(struct search *s);
bool search_finds(const struct search *s, const uint8_t *bytes, size_t len);
/* SEARCH_RUN bytes, each one more than the one before. */
bool search_counts_up(const uint8_t *bytes, size_t len);

struct member;
/* Its key and its IPv6 address. */
void search_add_member(struct search *s, const struct member *m);

#endif
