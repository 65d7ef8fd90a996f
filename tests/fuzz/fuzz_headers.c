#include "core/headers.h"
#include "core/headers_rules.h"
#include "fuzz/fuzz.h"
#include "wire/buf.h"
#include "wire/tx.h"

#include <string.h>

/* A story of header messages on regtest, 4 bytes each: which header is the parent, how many
 * children it gets and how many known ones go before them, seconds between them, and what is wrong
 * with the last. After each message the chain is whole; at the end a second one that restores what
 * was accepted has the same tip. A first byte of ff: the rest are raw headers. */

enum {
	RAW = BLOCK_HEADER_LEN,
	HELD_MAX = 600,
	MESSAGE_MAX = 16,
	STEPS_MAX = 64,
	NOW = 1700000000,
};

struct story {
	struct headers *h;
	struct headers *copy; /* restores what h accepted */
	uint8_t held[HELD_MAX][RAW];
	size_t count;
	uint32_t salt;
};

static struct headers *start(void)
{
	struct headers_config config = {.params = chainparams_find("bitcoin-regtest")};
	struct headers *h = NULL;

	FUZZ_CHECK(headers_new(&config, &h) == 0);
	return h;
}

static void mine(const uint8_t *prev, uint32_t time, uint32_t salt, uint8_t *ret)
{
	struct block_header header = {.version = 4, .time = time, .bits = 0x207fffff};
	struct hash256 hash;

	block_hash(prev, &header.prev);
	store_u32(header.merkle_root.bytes, salt);
	do {
		block_header_write(&header, ret);
		block_hash(ret, &hash);
		header.nonce++;
	} while (hash.bytes[31] & 0x80);
}

/* What is asked of a chain holds together. */
static void check_whole(const struct headers *h)
{
	struct hash256 locator[HEADERS_LOCATOR_MAX], tip = headers_tip(h), common;
	size_t count = headers_locator(h, locator);
	uint32_t height = headers_height(h), at;
	struct headers_counts counts;
	struct headers_place place;
	struct headers_block block;

	for (at = 0; at <= height; at++) {
		FUZZ_CHECK(headers_at(h, at, &block));
		FUZZ_CHECK(headers_find(h, &block.hash, &place));
		FUZZ_CHECK(place.active && place.height == at && place.fork == at);
	}
	FUZZ_CHECK(!headers_at(h, at, &block));
	FUZZ_CHECK(count >= 1 && count <= HEADERS_LOCATOR_MAX);
	FUZZ_CHECK(!memcmp(&locator[0], &tip, sizeof(tip)));
	for (size_t i = 0; i < count; i++) {
		FUZZ_CHECK(headers_fork(h, &locator[i], &tip, &at, &common));
		FUZZ_CHECK(!memcmp(&common, &locator[i], sizeof(common)));
	}
	headers_counts(h, &counts);
	FUZZ_CHECK(counts.active == height + 1 && counts.branches <= HEADERS_BRANCHES_MAX);
	FUZZ_CHECK(counts.side <= HEADERS_SIDE_MAX && counts.side >= counts.branches);
}

static void keep(struct story *s, const uint8_t *raw, const struct headers_added *added)
{
	struct headers_added again;

	for (size_t i = added->known; i < added->known + added->accepted; i++)
		if (s->count < HELD_MAX)
			memcpy(s->held[s->count++], raw + i * RAW, RAW);
	FUZZ_CHECK(headers_restore(s->copy, raw + added->known * RAW, RAW, added->accepted,
				   &again) == 0);
	FUZZ_CHECK(again.reason == HEADER_OK);
}

static void say(struct story *s, const uint8_t *raw, size_t count)
{
	struct u256 before = headers_work(s->h), after;
	struct headers_added added;
	struct headers_place place;

	FUZZ_CHECK(headers_add(s->h, raw, RAW, count, NOW, &added) == 0);
	after = headers_work(s->h);
	FUZZ_CHECK(added.known + added.accepted <= count);
	FUZZ_CHECK((added.reason == HEADER_OK) == (added.known + added.accepted == count));
	FUZZ_CHECK(u256_compare(&before, &after) == (added.moved ? -1 : 0));
	if (added.known + added.accepted) {
		FUZZ_CHECK(headers_find(s->h, &added.last, &place));
		FUZZ_CHECK(place.height == added.last_height && place.active == added.last_active);
	}
	keep(s, raw, &added);
	check_whole(s->h);
}

static void step(struct story *s, const uint8_t what[4])
{
	const uint8_t *parent = s->held[what[0] * s->count / 256];
	size_t count = 1 + what[1] % 8, lead = what[1] / 8 % 4;
	uint8_t raw[MESSAGE_MAX][RAW];

	/* the last known ones, which may not be each other's children */
	if (lead > s->count)
		lead = 0;
	for (size_t i = 0; i < lead; i++)
		memcpy(raw[i], s->held[s->count - lead + i], RAW);
	if (lead)
		parent = raw[lead - 1];
	for (size_t i = lead; i < lead + count; parent = raw[i++])
		mine(parent, load_u32(parent + 68) + what[2], s->salt++, raw[i]);
	if (what[3] & 0x80)
		raw[lead + count - 1][what[3] % RAW] ^= 1;
	say(s, raw[0], lead + count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct story s;
	struct hash256 tip, copy;

	s = (struct story){.h = start(), .copy = start(), .count = 1};
	memcpy(s.held[0], chainparams_find("bitcoin-regtest")->genesis_header, RAW);
	if (len && data[0] == 0xff) {
		for (data++, len--; len >= RAW; data += RAW, len -= RAW)
			say(&s, data, 1);
	} else {
		for (size_t i = 0; i < STEPS_MAX && 4 * (i + 1) <= len; i++)
			step(&s, data + 4 * i);
	}
	tip = headers_tip(s.h);
	copy = headers_tip(s.copy);
	FUZZ_CHECK(!memcmp(&tip, &copy, sizeof(tip)));
	headers_free(s.h);
	headers_free(s.copy);
	return 0;
}
