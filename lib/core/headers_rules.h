#ifndef CORE_HEADERS_RULES_H
#define CORE_HEADERS_RULES_H

/* The rules of one header in its place; private to lib/core/headers*.c. */

#include "core/headers.h"

struct header_entry {
	struct hash256 hash;
	uint32_t time;
	uint32_t bits;
};

/* A chain from the genesis to height: `main` up to fork, and `side` from fork + 1 on. */
struct header_line {
	const struct header_entry *main;
	const struct header_entry *side;
	uint32_t fork;
	uint32_t height;
};

static inline const struct header_entry *header_line_at(const struct header_line *line,
							uint32_t height)
{
	return height <= line->fork ? &line->main[height] : &line->side[height - line->fork - 1];
}

/* Targets and work of the compact numbers seen last: they change rarely, and need divisions. */
struct header_memo {
	struct {
		uint32_t bits;
		bool set;
		struct u256 target;
		struct u256 work;
	} slots[8];
};

/* The work of a header that was accepted. */
const struct u256 *header_work(struct header_memo *memo, uint32_t bits);
/* Median time of the HEADERS_MEDIAN headers up to height. */
uint32_t header_median_time(const struct header_line *line, uint32_t height);
/* The compact target that a child of the line's end with that time has. */
uint32_t header_next_bits(const struct chainparams *params, const struct header_line *line,
			  uint32_t time);
/* Whether raw may follow the line's end; its hash is given. now 0: not compared. The PoW is not
 * looked at. */
enum header_reason header_check(const struct chainparams *params, const struct header_line *line,
				const uint8_t *raw, const struct hash256 *hash, uint32_t now,
				struct header_memo *memo);
/* The hash that has to be below the target. 0 or -ENOMEM. */
int header_pow_hash(enum chain_pow pow, const uint8_t *raw, const struct hash256 *hash,
		    struct hash256 *ret);
bool header_pow_ok(struct header_memo *memo, uint32_t bits, const struct hash256 *pow_hash);

#endif
