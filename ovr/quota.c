#include "ovr/quota.h"

#include "wire/units.h"

enum { BUCKET_MIN = 65536 };

bool quota_used_up(const struct quota *quota, uint32_t volume_mib)
{
	return volume_mib && quota->used >= (uint64_t)volume_mib << 20;
}

static void fill(struct quota *quota, uint32_t rate_kbit, uint64_t now)
{
	uint64_t rate = (uint64_t)rate_kbit * 125; /* bytes a second */
	uint64_t full = rate / 4 > BUCKET_MIN ? rate / 4 : BUCKET_MIN;
	uint64_t waited = now - quota->filled, won;

	/* A slow one needs longer, and a new one begins full. */
	if (!quota->is_filled || waited >= NS_PER_S * (full / rate + 1)) {
		quota->is_filled = true;
		quota->tokens = full;
		quota->filled = now;
		return;
	}
	won = (uint64_t)((__uint128_t)rate * waited / NS_PER_S);
	/* What is less than a byte stays in the time. */
	quota->filled += (uint64_t)((__uint128_t)won * NS_PER_S / rate);
	quota->tokens += won;
	if (quota->tokens > full)
		quota->tokens = full;
}

/* What passes of len bytes when there is room for so many: whole datagrams. */
static size_t whole(size_t len, size_t segment, uint64_t room)
{
	return room >= len ? len : (size_t)(room / segment) * segment;
}

enum quota_verdict quota_take(struct quota *quota, uint32_t rate_kbit, uint32_t volume_mib,
			      size_t len, size_t segment, uint64_t now, size_t *ret_passed)
{
	uint64_t volume = (uint64_t)volume_mib << 20;
	enum quota_verdict verdict = QUOTA_PASS;
	size_t passed = len;

	if (volume_mib) {
		uint64_t room = volume > quota->used ? volume - quota->used : 0;

		/* Up to the end of the one that reaches it. */
		passed = whole(len, segment, (room + segment - 1) / segment * segment);
		verdict = passed < len ? QUOTA_VOLUME : QUOTA_PASS;
	}
	if (rate_kbit && passed) {
		fill(quota, rate_kbit, now);
		if (quota->tokens < passed) {
			passed = whole(passed, segment, quota->tokens);
			verdict = QUOTA_RATE;
		}
		quota->tokens -= passed;
	}
	quota->used += passed;
	quota->dropped += len - passed;
	*ret_passed = passed;
	return verdict;
}
