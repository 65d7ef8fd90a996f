#include "fixture/test.h"

#include "core/headers.h"
#include "core/headers_rules.h"
#include "wire/buf.h"
#include "wire/hex.h"
#include "wire/tx.h"

#include <errno.h>
#include <string.h>

enum {
	RAW = BLOCK_HEADER_LEN,
	NOW = 1700000000,
	MANY = 4096,
};

static const uint8_t *genesis_of(const char *profile)
{
	return chainparams_find(profile)->genesis_header;
}

static struct headers *start(const char *profile)
{
	struct headers_config config = {.params = chainparams_find(profile)};
	struct headers *h = NULL;

	assert_int_equal(headers_new(&config, &h), 0);
	return h;
}

/* A child of prev on regtest, with its work done; salt tells siblings apart. */
static void mine(const uint8_t *prev, uint32_t time, uint32_t bits, uint32_t salt, uint8_t *ret)
{
	struct block_header header = {.version = 0x20000000, .time = time, .bits = bits};
	struct header_memo memo = {0};
	struct hash256 hash;

	block_hash(prev, &header.prev);
	store_u32(header.merkle_root.bytes, salt);
	do {
		block_header_write(&header, ret);
		block_hash(ret, &hash);
		header.nonce++;
	} while (!header_pow_ok(&memo, bits, &hash));
}

/* count children of prev, ten minutes apart. */
static void mine_chain(const uint8_t *prev, size_t count, uint32_t salt, uint8_t *ret)
{
	for (size_t i = 0; i < count; i++, prev = ret, ret += RAW)
		mine(prev, load_u32(prev + 68) + 600, 0x207fffff, salt, ret);
}

static struct headers_added add(struct headers *h, const uint8_t *raw, size_t count)
{
	struct headers_added ret;

	assert_int_equal(headers_add(h, raw, RAW, count, NOW, &ret), 0);
	return ret;
}

static void assert_tip(const struct headers *h, const uint8_t *raw, uint32_t height)
{
	struct hash256 want, tip = headers_tip(h);

	block_hash(raw, &want);
	assert_int_equal(headers_height(h), height);
	assert_memory_equal(&tip, &want, sizeof(tip));
}

static void every_profile_begins_with_its_genesis(void **state)
{
	for (size_t i = 0; chainparams_at(i); i++) {
		const struct chainparams *p = chainparams_at(i);
		struct headers *h = start(p->name);
		struct headers_block at;
		struct headers_added added;
		struct header_memo memo = {0};
		struct hash256 pow;

		assert_int_equal(headers_height(h), 0);
		assert_true(headers_at(h, 0, &at));
		assert_memory_equal(&at.hash, &p->genesis, sizeof(at.hash));
		/* and its work is what it says */
		assert_int_equal(header_pow_hash(p->pow, p->genesis_header, &p->genesis, &pow), 0);
		assert_true(header_pow_ok(&memo, at.bits, &pow));
		added = add(h, p->genesis_header, 1);
		assert_true(added.reason == HEADER_OK && added.known == 1 && !added.accepted);
		assert_int_equal(headers_enough_work(h), u256_is_zero(&p->min_work));
		headers_free(h);
	}
}

static void a_profile_of_which_the_genesis_is_another_is_refused(void **state)
{
	struct chainparams params = *chainparams_find("bitcoin-regtest");
	struct headers_config config = {.params = &params};
	struct headers *h = NULL;

	params.genesis_header[79] ^= 1;
	assert_int_equal(headers_new(&config, &h), -EINVAL);
	params = *chainparams_find("bitcoin-regtest");
	params.timespan = params.spacing - 1;
	assert_int_equal(headers_new(&config, &h), -EINVAL);
	assert_null(h);
}

static void the_chain_with_more_work_wins_and_the_first_of_two_equals(void **state)
{
	static uint8_t a[5 * RAW], b[6 * RAW];
	struct headers *h = start("bitcoin-regtest");
	struct headers_added added;
	struct headers_place place;
	struct hash256 hash, other, common;
	uint32_t height;

	mine_chain(genesis_of("bitcoin-regtest"), 5, 1, a);
	memcpy(b, a, 2 * RAW);
	mine_chain(b + RAW, 4, 2, b + 2 * RAW);
	added = add(h, a, 5);
	assert_true(added.accepted == 5 && added.moved && added.fork == 0);
	added = add(h, b, 5);
	assert_true(added.known == 2 && added.accepted == 3 && !added.moved && !added.last_active);
	assert_int_equal(added.last_height, 5);
	assert_tip(h, a + 4 * RAW, 5);
	block_hash(b + 4 * RAW, &hash);
	assert_true(headers_find(h, &hash, &place));
	assert_true(place.height == 5 && !place.active && place.fork == 2);
	added = add(h, b + 5 * RAW, 1);
	assert_true(added.accepted == 1 && added.moved && added.fork == 2 && added.last_active);
	assert_tip(h, b + 5 * RAW, 6);
	block_hash(a + 4 * RAW, &other);
	assert_true(headers_find(h, &other, &place));
	assert_true(place.height == 5 && !place.active && place.fork == 2);
	assert_true(headers_fork(h, &other, &hash, &height, &common));
	assert_int_equal(height, 2);
	block_hash(a + RAW, &other);
	assert_memory_equal(&common, &other, sizeof(common));
	/* told again: nothing new */
	added = add(h, a, 5);
	assert_true(added.known == 5 && !added.accepted && !added.moved);
	headers_free(h);
}

static void each_broken_rule_is_named(void **state)
{
	static uint8_t chain[12 * RAW], bad[RAW];
	struct headers *h = start("bitcoin-regtest");
	uint32_t last;

	mine_chain(genesis_of("bitcoin-regtest"), 12, 0, chain);
	assert_int_equal(add(h, chain + RAW, 1).reason, HEADER_ORPHAN);
	assert_int_equal(add(h, chain, 12).reason, HEADER_OK);
	last = load_u32(chain + 11 * RAW + 68);

	memcpy(bad, chain, RAW);
	assert_int_equal(headers_height(h), 12);
	/* target: zero, negative, too large, easier than the limit */
	for (size_t i = 0; i < 4; i++) {
		static const uint32_t targets[] = {0, 0x20ffffff, 0x2200ffff, 0x20800000};

		mine(chain + 11 * RAW, last + 600, 0x207fffff, 9, bad);
		store_u32(bad + 72, targets[i]);
		assert_int_equal(add(h, bad, 1).reason, HEADER_TARGET);
	}
	mine(chain + 11 * RAW, last + 600, 0x207ffffe, 9, bad);
	assert_int_equal(add(h, bad, 1).reason, HEADER_BITS);
	mine(chain + 11 * RAW, last + 600, 0x207fffff, 9, bad);
	do {
		struct header_memo memo = {0};
		struct hash256 hash;

		store_u32(bad + 76, load_u32(bad + 76) + 1);
		block_hash(bad, &hash);
		if (!header_pow_ok(&memo, 0x207fffff, &hash))
			break;
	} while (true);
	assert_int_equal(add(h, bad, 1).reason, HEADER_POW);
	/* the median of heights 2 to 12 is the time of 7 */
	mine(chain + 11 * RAW, load_u32(chain + 6 * RAW + 68), 0x207fffff, 9, bad);
	assert_int_equal(add(h, bad, 1).reason, HEADER_TIME_OLD);
	mine(chain + 11 * RAW, load_u32(chain + 6 * RAW + 68) + 1, 0x207fffff, 9, bad);
	assert_int_equal(add(h, bad, 1).reason, HEADER_OK);
	mine(bad, NOW + HEADERS_FUTURE_MAX + 1, 0x207fffff, 9, bad);
	assert_int_equal(add(h, bad, 1).reason, HEADER_TIME_NEW);
	headers_free(h);
}

static void a_gap_inside_a_message_keeps_what_is_before_it(void **state)
{
	static uint8_t chain[6 * RAW];
	struct headers *h = start("bitcoin-regtest");
	struct headers_added added;

	mine_chain(genesis_of("bitcoin-regtest"), 6, 0, chain);
	memmove(chain + 3 * RAW, chain + 4 * RAW, 2 * RAW);
	added = add(h, chain, 5);
	assert_int_equal(added.reason, HEADER_UNLINKED);
	assert_int_equal(added.accepted, 3);
	assert_tip(h, chain + 2 * RAW, 3);
	headers_free(h);
}

/* Bitcoin's src/test/pow_tests.cpp: blocks of the main chain before a change of difficulty. */
static const struct {
	const char *profile;
	uint32_t height, first_time, time, bits, want;
} retargets[] = {
	{"bitcoin", 32255, 1261130161, 1262152739, 0x1d00ffff, 0x1d00d86a},
	{"bitcoin", 2015, 1231006505, 1233061996, 0x1d00ffff, 0x1d00ffff},
	{"bitcoin", 68543, 1279008237, 1279297671, 0x1c05a3f4, 0x1c0168fd},
	{"bitcoin", 46367, 1263163443, 1269211443, 0x1c387f6f, 0x1d00e1fd},
};

static void targets_change_as_they_did_on_the_main_chain(void **state)
{
	static struct header_entry line[70000];

	for (size_t i = 0; i < sizeof(retargets) / sizeof(retargets[0]); i++) {
		uint32_t height = retargets[i].height;
		const struct header_line at = {line, NULL, height, height};

		memset(line, 0, sizeof(line));
		line[height - 2015].time = retargets[i].first_time;
		line[height].time = retargets[i].time;
		line[height].bits = retargets[i].bits;
		assert_int_equal(header_next_bits(chainparams_find(retargets[i].profile), &at,
						  retargets[i].time + 600),
				 retargets[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_profile_begins_with_its_genesis),
		cmocka_unit_test(a_profile_of_which_the_genesis_is_another_is_refused),
		cmocka_unit_test(the_chain_with_more_work_wins_and_the_first_of_two_equals),
		cmocka_unit_test(each_broken_rule_is_named),
		cmocka_unit_test(a_gap_inside_a_message_keeps_what_is_before_it),
		cmocka_unit_test(targets_change_as_they_did_on_the_main_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
