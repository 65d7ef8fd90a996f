#include "fixture/test.h"

#include "core/headers.h"
#include "core/headers_rules.h"
#include "fixture/vectors.h"
#include "wire/buf.h"
#include "wire/hex.h"
#include "wire/tx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Linked with --wrap: the allocation after so many more fails. */
static size_t allocations = SIZE_MAX;

void *__wrap_calloc(size_t count, size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	return allocations && allocations-- ? __real_calloc(count, size) : NULL;
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
	return allocations && allocations-- ? __real_reallocarray(old, count, size) : NULL;
}

enum {
	RAW = BLOCK_HEADER_LEN,
	NOW = 1700000000,
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

/* Bits and work of each period of the main chain; headers of some. */
static void every_change_of_the_main_chain_comes_out(void **state)
{
	static struct header_entry line[2016];
	static char text[2048], hex[3][2 * RAW + 1], work_text[U256_TEXT_SIZE];
	const struct chainparams *p = chainparams_find("bitcoin");
	const struct header_line at = {line, NULL, 2015, 2015};
	uint32_t height, first, last, bits, next;
	FILE *f = vectors_open("retargets.txt");
	struct u256 work = {{0}}, want;
	struct header_memo memo = {0};
	unsigned changes = 0, real = 0;

	while (vectors_line(f, text, sizeof(text))) {
		uint8_t raw[3][RAW];
		struct hash256 hash;

		if (sscanf(text, "headers %u %160s %160s %160s", &height, hex[0], hex[1], hex[2]) ==
		    4) {
			for (int i = 0; i < 3; i++) {
				assert_true(hex_parse(hex[i], raw[i], RAW));
				block_hash(raw[i], &hash);
				assert_true(header_pow_ok(&memo, load_u32(raw[i] + 72), &hash));
				if (i < 2)
					line[i * 2015] = (struct header_entry){
						hash, load_u32(raw[i] + 68), load_u32(raw[i] + 72)};
			}
			assert_memory_equal(raw[2] + 4, line[2015].hash.bytes, HASH_LEN);
			assert_int_equal(header_next_bits(p, &at, load_u32(raw[2] + 68)),
					 load_u32(raw[2] + 72));
			real++;
			continue;
		}
		assert_int_equal(sscanf(text, "%u %u %u %x %x %64s", &height, &first, &last, &bits,
					&next, work_text),
				 6);
		line[0].time = first;
		line[0].bits = line[2015].bits = bits;
		line[2015].time = last;
		assert_int_equal(header_next_bits(p, &at, last + 600), next);
		for (int i = 0; i < 2016; i++)
			work = u256_add(&work, header_work(&memo, bits));
		assert_true(u256_parse(work_text, &want));
		assert_int_equal(u256_compare(&work, &want), 0);
		changes++;
	}
	assert_true(changes == 413 && real >= 10);
}

/* The headers message that tests/vectors/p2p.txt recorded: 108 blocks, scrypt. */
static void the_chain_of_a_real_litecoind_is_taken(void **state)
{
	static char text[40000], hex[40000];
	static uint8_t raw[20000];
	struct headers *h = start("litecoin-regtest");
	FILE *f = vectors_open("p2p.txt");
	struct headers_added added;
	char tip_text[HASH_TEXT_SIZE];
	struct hash256 tip;
	size_t len = 0;

	while (vectors_line(f, text, sizeof(text)))
		if (sscanf(text, "node headers %39999s", hex) == 1)
			assert_true(hex_parse_any(hex, raw, sizeof(raw), &len));
	assert_int_equal(len, 1 + 108 * 81);
	assert_int_equal(headers_add(h, raw + 1, 81, 108, UINT32_MAX - HEADERS_FUTURE_MAX, &added),
			 0);
	assert_true(added.reason == HEADER_OK && added.accepted == 108);
	tip = headers_tip(h);
	hash_format(&tip, tip_text);
	assert_string_equal(tip_text,
			    "ae272f7db4823797556bde4a5db9bb02dcc2aded34d6fdafb6c31dd1b832c32c");
	/* the same with a nonce that does no work */
	headers_free(h);
	h = start("litecoin-regtest");
	for (uint32_t i = 0; i < 64 && added.reason != HEADER_POW; i++) {
		store_u32(raw + 1 + 76, i);
		assert_int_equal(headers_add(h, raw + 1, 81, 1, UINT32_MAX, &added), 0);
	}
	assert_int_equal(added.reason, HEADER_POW);
	headers_free(h);
}

static void a_step_back_in_time_at_a_change_is_bounded_by_bip94(void **state)
{
	static struct header_entry line[2016];
	const struct chainparams *p = chainparams_find("bitcoin-testnet4");
	struct header_line at = {line, NULL, 2015, 2015};
	struct block_header header = {.version = 4};
	struct header_memo memo = {0};
	const struct hash256 hash = {{0}};
	uint8_t raw[RAW];

	for (uint32_t i = 0; i < 2016; i++)
		line[i] = (struct header_entry){.time = 1000000 + i * 600, .bits = 0x1d00ffff};
	line[2015].time += 10000;
	for (uint32_t back = 600; back <= 601; back++) {
		header.time = line[2015].time - back;
		header.bits = header_next_bits(p, &at, header.time);
		block_header_write(&header, raw);
		assert_int_equal(header_check(p, &at, raw, &hash, 0, &memo),
				 back == 600 ? HEADER_OK : HEADER_TIMEWARP);
	}
	/* elsewhere, and on chains without the rule, only the median counts */
	at.height = at.fork = 2014;
	line[2014].time += 10000;
	header.time = line[2014].time - 601;
	header.bits = header_next_bits(p, &at, header.time);
	block_header_write(&header, raw);
	assert_int_equal(header_check(p, &at, raw, &hash, 0, &memo), HEADER_OK);
}

static void versions_go_out_of_use_at_their_heights(void **state)
{
	static const struct {
		uint32_t height;
		uint32_t version;
		enum header_reason want;
	} cases[] = {
		{709999, 1, HEADER_OK},		  {710000, 1, HEADER_VERSION},
		{710000, 2, HEADER_OK},		  {811879, 2, HEADER_VERSION},
		{811879, 3, HEADER_OK},		  {918684, 3, HEADER_VERSION},
		{918684, 4, HEADER_OK},		  {1201535, 0x1fffffff, HEADER_OK},
		{1201536, 4, HEADER_VERSION},	  {1201536, 0x1fffffff, HEADER_VERSION},
		{1201536, 0x20000000, HEADER_OK}, {1201536, 0x80000000, HEADER_VERSION},
	};
	struct header_entry *line = calloc(1300000, sizeof(*line));
	struct chainparams p = *chainparams_find("litecoin");
	const struct hash256 hash = {{0}};
	struct header_memo memo = {0};
	uint8_t raw[RAW];

	p.checkpoint_count = 0;
	p.retarget = CHAIN_RETARGET_NONE;
	for (uint32_t i = 0; i < 1300000; i++)
		line[i] = (struct header_entry){.time = i + 1, .bits = 0x1e0ffff0};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t height = cases[i].height;
		const struct header_line at = {line, NULL, height - 1, height - 1};
		const struct block_header header = {
			.version = cases[i].version, .time = height + 1, .bits = 0x1e0ffff0};

		block_header_write(&header, raw);
		assert_int_equal(header_check(&p, &at, raw, &hash, 0, &memo), cases[i].want);
	}
	free(line);
}

static void the_branch_with_the_least_work_makes_room(void **state)
{
	static uint8_t chain[60 * RAW],
		side[HEADERS_BRANCHES_MAX + 1][(HEADERS_BRANCHES_MAX + 3) * RAW];
	struct headers *h = start("bitcoin-regtest");
	struct headers_counts counts;
	struct headers_place place;
	struct hash256 hash;

	mine_chain(genesis_of("bitcoin-regtest"), 60, 0, chain);
	assert_int_equal(add(h, chain, 60).accepted, 60);
	/* branch i has i + 2 headers; one with more work than all, then as many as are held */
	for (uint32_t i = 0; i <= HEADERS_BRANCHES_MAX; i++) {
		mine_chain(genesis_of("bitcoin-regtest"), i + 2, i + 1, side[i]);
		headers_counts(h, &counts);
		assert_int_equal(counts.branches, i);
		assert_int_equal(add(h, side[i], i + 2).accepted, i + 2);
	}
	headers_counts(h, &counts);
	assert_int_equal(counts.branches, HEADERS_BRANCHES_MAX);
	assert_int_equal(counts.dropped, 2);
	for (uint32_t i = 0; i <= HEADERS_BRANCHES_MAX; i++) {
		block_hash(side[i] + RAW, &hash);
		assert_int_equal(headers_find(h, &hash, &place), i > 0);
	}
	headers_free(h);
}

static void headers_beside_the_chain_are_bounded(void **state)
{
	enum { LONG = HEADERS_SIDE_MAX + 2 };
	uint8_t *chain = malloc((size_t)LONG * RAW), *side = malloc((size_t)LONG * RAW);
	struct headers *h = start("bitcoin-regtest");
	struct headers_counts counts;
	struct headers_added added;
	uint8_t other[2 * RAW];

	mine_chain(genesis_of("bitcoin-regtest"), LONG, 0, chain);
	mine_chain(genesis_of("bitcoin-regtest"), LONG, 1, side);
	mine_chain(chain, 2, 2, other);
	assert_int_equal(add(h, chain, LONG).accepted, LONG);
	assert_int_equal(add(h, other, 2).accepted, 2);
	/* the other branch goes, and then there is none left to go */
	added = add(h, side, LONG);
	assert_int_equal(added.reason, HEADER_FULL);
	assert_int_equal(added.accepted, HEADERS_SIDE_MAX);
	headers_counts(h, &counts);
	assert_true(counts.side == HEADERS_SIDE_MAX && counts.branches == 1 && counts.dropped == 2);
	assert_tip(h, chain + (size_t)(LONG - 1) * RAW, LONG);
	/* a reorg of that depth drops what it leaves */
	headers_free(h);
	h = start("bitcoin-regtest");
	assert_int_equal(add(h, chain, HEADERS_SIDE_MAX - 1).reason, HEADER_OK);
	added = add(h, side, HEADERS_SIDE_MAX + 1);
	assert_true(added.reason == HEADER_OK && added.moved && added.fork == 0);
	assert_tip(h, side + (size_t)HEADERS_SIDE_MAX * RAW, HEADERS_SIDE_MAX + 1);
	headers_counts(h, &counts);
	assert_int_equal(counts.side, 0);
	headers_free(h);
	free(chain);
	free(side);
}

/* Half a minute: of the long form. */
static void the_best_chain_is_bounded(void **state)
{
	enum { PART = 4096 };
	static uint8_t raw[(PART + 1) * RAW];
	struct headers_added added;
	struct headers *h;

	h = start("bitcoin-regtest");
	memcpy(raw + PART * RAW, genesis_of("bitcoin-regtest"), RAW);
	for (uint32_t i = 0; i < HEADERS_MAX / PART; i++) {
		memcpy(raw, raw + PART * RAW, RAW);
		for (uint32_t k = 0; k < PART; k++)
			mine(raw + k * RAW, load_u32(raw + k * RAW + 68) + 1, 0x207fffff, 0,
			     raw + (k + 1) * RAW);
		added = add(h, raw + RAW, PART);
		assert_int_equal(added.reason,
				 i + 1 < HEADERS_MAX / PART ? HEADER_OK : HEADER_FULL);
	}
	/* the genesis is one of them */
	assert_int_equal(added.accepted, PART - 1);
	assert_int_equal(headers_height(h), HEADERS_MAX - 1);
	headers_free(h);
}

static void without_memory_nothing_is_lost(void **state)
{
	static uint8_t a[5000 * RAW], b[5001 * RAW];
	struct headers_config config = {.params = chainparams_find("bitcoin-regtest")};
	struct headers_added added;
	struct headers *h = NULL;
	bool failed = true;

	mine_chain(genesis_of("bitcoin-regtest"), 5000, 1, a);
	memcpy(b, a, 100 * RAW);
	mine_chain(b + 99 * RAW, 4901, 2, b + 100 * RAW);
	for (size_t fail = 0; failed; fail++) {
		failed = false;
		allocations = fail;
		if (headers_new(&config, &h) < 0) {
			failed = true;
			continue;
		}
		if (headers_add(h, a, RAW, 5000, NOW, &added) < 0) {
			failed = true;
			allocations = SIZE_MAX;
			assert_int_equal(add(h, a, 5000).reason, HEADER_OK);
			allocations = 0;
		}
		assert_tip(h, a + 4999 * RAW, 5000);
		if (headers_add(h, b, RAW, 5001, NOW, &added) < 0) {
			failed = true;
			allocations = SIZE_MAX;
			assert_int_equal(add(h, b, 5001).reason, HEADER_OK);
		}
		assert_tip(h, b + 5000 * RAW, 5001);
		allocations = SIZE_MAX;
		headers_free(h);
	}
	headers_free(NULL);
}

/* Of a chain that leads to the checkpoint only some headers have to show their work… */
static void below_the_last_checkpoint_some_scrypt_is_enough(void **state)
{
	static uint8_t chain[64 * RAW];
	struct chainparams params = *chainparams_find("litecoin-regtest");
	struct headers_config config = {.params = &params, .pow_every = 16};
	struct headers_added added;
	struct headers *h = NULL;
	uint32_t stopped = 0;

	/* no work is done for these */
	for (size_t i = 0; i < 64; i++) {
		const uint8_t *prev = i ? chain + (i - 1) * RAW : params.genesis_header;
		struct block_header header = {.version = 0x20000000,
					      .time = load_u32(prev + 68) + 150,
					      .bits = 0x207fffff,
					      .nonce = 7};

		block_hash(prev, &header.prev);
		block_header_write(&header, chain + i * RAW);
	}
	params.checkpoint_count = 1;
	params.checkpoints[0] = (struct chain_checkpoint){1000, {{1}}};
	for (uint8_t seed = 0; seed < 64; seed++) {
		config.seed[0] = seed;
		assert_int_equal(headers_new(&config, &h), 0);
		added = add(h, chain, 64);
		assert_true(added.reason == HEADER_OK || added.reason == HEADER_POW);
		stopped += added.reason == HEADER_POW;
		/* …and nothing is believed before it is there */
		assert_false(headers_enough_work(h));
		headers_free(h);
	}
	/* 64 / 16 are looked at, half of which do no work by chance: all pass in 1 of 8 cases */
	assert_true(stopped >= 32);
	config.pow_every = 0;
	assert_int_equal(headers_new(&config, &h), 0);
	added = add(h, chain, 64);
	assert_true(added.reason == HEADER_POW && added.accepted < 20);
	headers_free(h);
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
		cmocka_unit_test(every_change_of_the_main_chain_comes_out),
		cmocka_unit_test(the_chain_of_a_real_litecoind_is_taken),
		cmocka_unit_test(a_step_back_in_time_at_a_change_is_bounded_by_bip94),
		cmocka_unit_test(versions_go_out_of_use_at_their_heights),
		cmocka_unit_test(the_branch_with_the_least_work_makes_room),
		cmocka_unit_test(headers_beside_the_chain_are_bounded),
		cmocka_unit_test(without_memory_nothing_is_lost),
		cmocka_unit_test(below_the_last_checkpoint_some_scrypt_is_enough),
	};
	const struct CMUnitTest longer[] = {
		cmocka_unit_test(the_best_chain_is_bounded),
	};

	return getenv("DNET_LONG") ? cmocka_run_group_tests(longer, NULL, NULL)
				   : cmocka_run_group_tests(tests, NULL, NULL);
}
