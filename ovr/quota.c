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

enum quota_verdict quota_take(struct quota *quota, uint32_t rate_kbit, uint32_t volume_mib,
			      size_t bytes, uint64_t now)
{
	if (quota_used_up(quota, volume_mib)) {
		quota->dropped += bytes;
		return QUOTA_VOLUME;
	}
	if (rate_kbit) {
		fill(quota, rate_kbit, now);
		if (quota->tokens < bytes) {
			quota->dropped += bytes;
			return QUOTA_RATE;
		}
		quota->tokens -= bytes;
	}
	quota->used += bytes;
	return QUOTA_PASS;
}
