#include "node/ciphers.h"

#include "os/clock.h"
#include "os/log.h"

enum { PACKET = 1420, CALLS = 16, ROUNDS = 6, BETTER_PERCENT = 10 };

/* ns for a few packets, the least of some rounds: whatever else runs here only adds to it.
 * UINT64_MAX: it cannot. */
static uint64_t measure(enum aead_provider_id provider, enum aead_kind kind)
{
	static const uint8_t bytes[AEAD_KEY_LEN];
	uint8_t packet[PACKET + AEAD_TAG_LEN] = {0};
	uint64_t best = UINT64_MAX, counter = 0;
	struct aead_key *key = aead_key_new_by(provider, kind, bytes);
	if (!key)
		return UINT64_MAX;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = clock_monotonic_ns(), took;
		for (int i = 0; i < CALLS; i++)
			aead_seal(key, counter++, packet, 16, packet, PACKET, packet);
		took = clock_monotonic_ns() - start;
		best = took < best ? took : best;
	}
	aead_key_free(key);
	return best;
}

/* The order of core/aead.h counts, unless a later one is clearly faster: runs differ a little. */
static enum aead_provider_id fastest(enum aead_kind kind)
{
	enum aead_provider_id best = AEAD_PROVIDERS;
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < AEAD_PROVIDERS; i++) {
		uint64_t took = measure((enum aead_provider_id)i, kind);
		if (took < least - least / (100 / BETTER_PERCENT)) {
			least = took;
			best = (enum aead_provider_id)i;
		}
	}
	return best;
}

static void choose(enum aead_provider_id provider, enum aead_kind kind)
{
	enum aead_provider_id by = provider;
	if (by == AEAD_PROVIDERS || !aead_usable(by, kind))
		by = fastest(kind);
	if (by == AEAD_PROVIDERS)
		return;
	if (provider != AEAD_PROVIDERS && by != provider)
		log_notice("%s cannot do %s here: %s does", aead_provider_name(provider),
			   aead_kind_name(kind), aead_provider_name(by));
	aead_prefer(by, kind);
}

void ciphers_choose(enum aead_provider_id provider)
{
	choose(provider, AEAD_CHACHA20_POLY1305);
	if (aead_supported() & AEAD_AES256_GCM)
		choose(provider, AEAD_AES256_GCM);
}
