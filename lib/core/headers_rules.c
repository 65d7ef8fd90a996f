#include "core/headers_rules.h"

#include "wire/buf.h"
#include "wire/tx.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

enum {
	TIME_AT = 68,
	BITS_AT = 72,
	MEMO_SLOTS = 8,
	VERSION_BITS = 0x20000000, /* BIP9 */
	SCRYPT_N = 1024,
};

static_assert((int)CHAIN_HEADER_LEN == (int)BLOCK_HEADER_LEN, "one length of headers");

/* The slot of bits; NULL when they are no target. */
static const struct u256 *recall(struct header_memo *memo, uint32_t bits, bool want_work)
{
	size_t slot = (bits ^ bits >> 8 ^ bits >> 16) % MEMO_SLOTS;
	struct u256 target;

	if (!memo->slots[slot].set || memo->slots[slot].bits != bits) {
		if (!u256_from_compact(bits, &target))
			return NULL;
		memo->slots[slot].bits = bits;
		memo->slots[slot].set = true;
		memo->slots[slot].target = target;
		memo->slots[slot].work = u256_work(&target);
	}
	return want_work ? &memo->slots[slot].work : &memo->slots[slot].target;
}

const struct u256 *header_work(struct header_memo *memo, uint32_t bits)
{
	const struct u256 *work = recall(memo, bits, true);

	assert(work);
	return work;
}

uint32_t header_median_time(const struct header_line *line, uint32_t height)
{
	uint32_t times[HEADERS_MEDIAN];
	uint32_t count = height + 1 < HEADERS_MEDIAN ? height + 1 : HEADERS_MEDIAN;

	/* the oldest first: most are in order */
	for (uint32_t i = 0; i < count; i++) {
		uint32_t time = header_line_at(line, height + 1 + i - count)->time, at = i;

		for (; at && times[at - 1] > time; at--)
			times[at] = times[at - 1];
		times[at] = time;
	}
	return times[count / 2];
}

/* The target after a period of blocks, the last of which is the line's end. */
static uint32_t retarget(const struct chainparams *params, const struct header_line *line,
			 uint32_t interval)
{
	const struct header_entry *last = header_line_at(line, line->height), *first;
	int64_t least = params->timespan / 4, most = (int64_t)params->timespan * 4, took;
	const struct u256 timespan = u256_from(params->timespan);
	uint32_t back = interval - 1;
	struct u256 target = params->pow_limit;
	bool shift;

	/* Litecoin counts the time from the last block of the period before, so that no second is
	 * left out; its first period has none before it. */
	if (params->retarget == CHAIN_RETARGET_LITECOIN && line->height + 1 != interval)
		back = interval;
	first = header_line_at(line, line->height - back);
	took = (int64_t)last->time - first->time;
	if (took < least)
		took = least;
	if (took > most)
		took = most;
	/* BIP94: the period's first block cannot have the 20-minute rule's target. */
	u256_from_compact(params->retarget == CHAIN_RETARGET_BIP94 ? first->bits : last->bits,
			  &target);
	/* With Litecoin's limit the product may need 257 bits. Its nodes give up the lowest. */
	shift = params->retarget == CHAIN_RETARGET_LITECOIN &&
		u256_bits(&target) >= u256_bits(&params->pow_limit);
	if (shift)
		target = u256_shift_right(&target, 1);
	target = u256_mul32(&target, (uint32_t)took);
	target = u256_div(&target, &timespan);
	if (shift)
		target = u256_shift_left(&target, 1);
	if (u256_compare(&target, &params->pow_limit) > 0)
		target = params->pow_limit;
	return u256_to_compact(&target);
}

uint32_t header_next_bits(const struct chainparams *params, const struct header_line *line,
			  uint32_t time)
{
	const struct header_entry *last = header_line_at(line, line->height);
	uint32_t interval = params->timespan / params->spacing, height = line->height, limit;

	if ((line->height + 1) % interval == 0)
		return params->retarget == CHAIN_RETARGET_NONE ? last->bits
							       : retarget(params, line, interval);
	if (!params->min_difficulty)
		return last->bits;
	limit = u256_to_compact(&params->pow_limit);
	if (time > (uint64_t)last->time + 2 * (uint64_t)params->spacing)
		return limit;
	/* Else as the last block that did not make use of this. */
	while (height && height % interval && header_line_at(line, height)->bits == limit)
		height--;
	return header_line_at(line, height)->bits;
}

static bool version_ok(const struct chainparams *params, uint32_t height, int32_t version)
{
	if (version < 2 && height >= params->bip34_height)
		return false;
	if (version < 3 && height >= params->bip66_height)
		return false;
	if (version < 4 && height >= params->bip65_height)
		return false;
	return version >= VERSION_BITS || !params->versionbits_height ||
	       height < params->versionbits_height;
}

static bool checkpoint_ok(const struct chainparams *params, uint32_t height,
			  const struct hash256 *hash)
{
	for (uint32_t i = params->checkpoint_count; i-- > 0;) {
		if (params->checkpoints[i].height > height)
			continue;
		return params->checkpoints[i].height < height ||
		       !memcmp(&params->checkpoints[i].hash, hash, sizeof(*hash));
	}
	return true;
}

enum header_reason header_check(const struct chainparams *params, const struct header_line *line,
				const uint8_t *raw, const struct hash256 *hash, uint32_t now,
				struct header_memo *memo)
{
	const struct header_entry *last = header_line_at(line, line->height);
	uint32_t time = load_u32(raw + TIME_AT), bits = load_u32(raw + BITS_AT);
	uint32_t height = line->height + 1;
	const struct u256 *target = recall(memo, bits, false);

	if (!target || u256_compare(target, &params->pow_limit) > 0)
		return HEADER_TARGET;
	if (bits != header_next_bits(params, line, time))
		return HEADER_BITS;
	if (time <= header_median_time(line, line->height))
		return HEADER_TIME_OLD;
	if (params->retarget == CHAIN_RETARGET_BIP94 &&
	    height % (params->timespan / params->spacing) == 0 &&
	    (uint64_t)time + HEADERS_TIMEWARP_MAX < last->time)
		return HEADER_TIMEWARP;
	if (now && time > (uint64_t)now + HEADERS_FUTURE_MAX)
		return HEADER_TIME_NEW;
	if (!version_ok(params, height, (int32_t)load_u32(raw)))
		return HEADER_VERSION;
	return checkpoint_ok(params, height, hash) ? HEADER_OK : HEADER_CHECKPOINT;
}

int header_pow_hash(enum chain_pow pow, const uint8_t *raw, const struct hash256 *hash,
		    struct hash256 *ret)
{
	switch (pow) {
	case CHAIN_POW_SHA256D:
		*ret = *hash;
		return 0;
	case CHAIN_POW_SCRYPT:
		/* fails only where memory does */
		return crypto_pwhash_scryptsalsa208sha256_ll(raw, BLOCK_HEADER_LEN, raw,
							     BLOCK_HEADER_LEN, SCRYPT_N, 1, 1,
							     ret->bytes, sizeof(ret->bytes))
			       ? -ENOMEM
			       : 0;
	}
	return -EINVAL;
}

bool header_pow_ok(struct header_memo *memo, uint32_t bits, const struct hash256 *pow_hash)
{
	const struct u256 *target = recall(memo, bits, false);
	struct u256 value = u256_from_hash(pow_hash);

	return target && u256_compare(&value, target) <= 0;
}
