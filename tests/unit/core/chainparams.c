#include "fixture/test.h"

#include "core/chainparams.h"
#include "wire/hash.h"
#include "wire/hex.h"
#include "wire/tx.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The genesis header of each chain: what its chainparams.cpp makes it from. */
static const struct {
	const char *name;
	const char *root; /* merkle root as nodes show it */
	uint32_t time, bits, nonce;
} genesis[] = {
#define BITCOIN	 "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
#define TESTNET4 "7aa0a7ae1e223414cb807e40cd57e667b718e42aaf9306db9102fe28912b7b4e"
#define LITECOIN "97ddfbbae6be97fd6cdf3e7ca13232a3afff2353e29badfab7f73011edd4ced9"
	{"bitcoin", BITCOIN, 1231006505, 0x1d00ffff, 2083236893},
	{"bitcoin-testnet4", TESTNET4, 1714777860, 0x1d00ffff, 393743547},
	{"bitcoin-signet", BITCOIN, 1598918400, 0x1e0377ae, 52613770},
	{"bitcoin-regtest", BITCOIN, 1296688602, 0x207fffff, 2},
	{"litecoin", LITECOIN, 1317972665, 0x1e0ffff0, 2084524493},
	{"litecoin-testnet", LITECOIN, 1486949366, 0x1e0ffff0, 293345},
	{"litecoin-regtest", LITECOIN, 1296688602, 0x207fffff, 0},
};

enum { PROFILES = sizeof(genesis) / sizeof(genesis[0]) };

static void each_genesis_is_the_hash_of_its_header(void **state)
{
	for (size_t i = 0; i < PROFILES; i++) {
		const struct chainparams *params = chainparams_find(genesis[i].name);
		struct block_header header = {.version = 1,
					      .time = genesis[i].time,
					      .bits = genesis[i].bits,
					      .nonce = genesis[i].nonce};
		uint8_t raw[BLOCK_HEADER_LEN];
		struct hash256 hash;

		assert_non_null(params);
		assert_true(hash_parse(genesis[i].root, &header.merkle_root));
		block_header_write(&header, raw);
		block_hash(raw, &hash);
		assert_memory_equal(&hash, &params->genesis, sizeof(hash));
		assert_memory_equal(raw, params->genesis_header, sizeof(raw));
	}
}

static void every_row_is_whole_and_its_name_is_its_own(void **state)
{
	size_t count = 0;

	for (; chainparams_at(count); count++) {
		const struct chainparams *p = chainparams_at(count);

		assert_ptr_equal(chainparams_find(p->name), p);
		assert_true(p->p2p_port && p->rpc_port && p->p2p_port != p->rpc_port);
		assert_true(p->hrp[0] && p->seal > p->dust && p->confirm && p->birth_height);
		assert_true(p->spacing && p->timespan % p->spacing == 0);
		for (uint32_t i = 1; i < p->checkpoint_count; i++)
			assert_true(p->checkpoints[i - 1].height < p->checkpoints[i].height);
	}
	assert_int_equal(count, PROFILES);
	assert_null(chainparams_find("dogecoin"));
	assert_null(chainparams_find(""));
}

#define HASH "0000000069e244f73d78e8fd29ba2fd2ed618bd6fa2ee92559f542fdb26e7c1d"
#define EIGHT(d)                                                                                   \
	d "0:" HASH " " d "1:" HASH " " d "2:" HASH " " d "3:" HASH " " d "4:" HASH " " d          \
	  "5:" HASH " " d "6:" HASH " " d "7:" HASH
#define MANY(d) EIGHT(d) " " EIGHT(d "2")

static void a_field_is_set_or_refused_whole(void **state)
{
	static const struct {
		const char *field, *value;
		int result;
	} cases[] = {
		{"name", "mine", 0},
		{"name", "", -EINVAL},
		{"name", "1234567890123456789012345678901", 0},
		{"name", "12345678901234567890123456789012", -EINVAL},
		{"hrp", "abcdefghijklmno", 0},
		{"hrp", "abcdefghijklmnop", -EINVAL},
		{"magic", "0a0b0c0d", 0},
		{"magic", "0a0b0c", -EINVAL},
		{"magic", "0a0b0c0d0e", -EINVAL},
		{"p2p-port", "1", 0},
		{"p2p-port", "0", -EINVAL},
		{"rpc-port", "65535", 0},
		{"rpc-port", "65536", -EINVAL},
		{"pubkey-prefix", "0", 0},
		{"pubkey-prefix", "255", 0},
		{"pubkey-prefix", "256", -EINVAL},
		{"script-prefix", "-1", -EINVAL},
		{"script-prefix2", " 1", -EINVAL},
		{"secret-prefix", "1x", -EINVAL},
		{"genesis", BITCOIN, 0},
		{"genesis", "00", -EINVAL},
		{"pow", "scrypt", 0},
		{"pow", "sha256d", 0},
		{"pow", "sha3", -EINVAL},
		{"mweb", "yes", 0},
		{"mweb", "maybe", -EINVAL},
		{"op-node", "none", 0},
		{"op-node", "1", 0},
		{"op-node", "255", 0},
		{"op-node", "0", -EINVAL},
		{"op-node", "256", -EINVAL},
		{"dust", "4294967295", 0},
		{"dust", "4294967296", -EINVAL},
		{"seal", "0", -EINVAL},
		{"confirm", "1", 0},
		{"confirm", "1000", 0},
		{"confirm", "0", -EINVAL},
		{"confirm", "1001", -EINVAL},
		{"birth-height", "2147483647", 0},
		{"birth-height", "2147483648", -EINVAL},
		{"birth-height", "99999999999999999999999", -EINVAL},
		{"genesis-header", "00", -EINVAL},
		{"pow-limit", "7fffff", 0},
		{"pow-limit", "x", -EINVAL},
		{"min-work", "0", 0},
		{"min-work", "", -EINVAL},
		{"spacing", "1", 0},
		{"spacing", "0", -EINVAL},
		{"timespan", "31622400", 0},
		{"timespan", "31622401", -EINVAL},
		{"retarget", "none", 0},
		{"retarget", "bip94", 0},
		{"retarget", "dark", -EINVAL},
		{"min-difficulty", "yes", 0},
		{"min-difficulty", "1", -EINVAL},
		{"bip34-height", "0", 0},
		{"versionbits-height", "2147483648", -EINVAL},
		{"checkpoints", "none", 0},
		{"checkpoints", "11111:" HASH, 0},
		{"checkpoints", "11111:" HASH " 22222:" HASH, 0},
		{"checkpoints", "11111:" HASH " 11111:" HASH, -EINVAL},
		{"checkpoints", "11111", -EINVAL},
		{"checkpoints", "x:" HASH, -EINVAL},
		{"checkpoints", "11111:00", -EINVAL},
		{"checkpoints", MANY("1"), 0},
		{"checkpoints", MANY("1") " 300:" HASH, -EINVAL},
		{"checkpoint", "2772731:" HASH, 0},
		{"checkpoint", "2772730:" HASH, -EINVAL},
		{"checkpoint", "none", -EINVAL},
		{"dns-seeds", "a.example b.example", 0},
		{"dns-seeds", "none", 0},
		{"peers", "", -EINVAL},
		{"colour", "red", -ENOENT},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct chainparams params = *chainparams_find("litecoin"), before = params;

		assert_int_equal(chainparams_set(&params, cases[i].field, cases[i].value),
				 cases[i].result);
		if (cases[i].result)
			assert_memory_equal(&params, &before, sizeof(params));
	}
}

static void checkpoints_are_added_up_to_their_number(void **state)
{
	struct chainparams params = *chainparams_find("bitcoin-regtest");
	char text[128];

	for (int i = 1; i <= CHAIN_CHECKPOINTS_MAX + 1; i++) {
		snprintf(text, sizeof(text), "%d:" HASH, i);
		assert_int_equal(chainparams_set(&params, "checkpoint", text),
				 i <= CHAIN_CHECKPOINTS_MAX ? 0 : -EINVAL);
	}
	assert_int_equal(params.checkpoint_count, CHAIN_CHECKPOINTS_MAX);
	assert_int_equal(chainparams_set(&params, "checkpoints", "none"), 0);
	assert_int_equal(params.checkpoint_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_genesis_is_the_hash_of_its_header),
		cmocka_unit_test(every_row_is_whole_and_its_name_is_its_own),
		cmocka_unit_test(a_field_is_set_or_refused_whole),
		cmocka_unit_test(checkpoints_are_added_up_to_their_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
