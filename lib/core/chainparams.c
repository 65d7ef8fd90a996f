#include "core/chainparams.h"

#include "wire/hex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Genesis hashes in wire order: the text that nodes show, reversed; tests/unit/core/chainparams
 * hashes the headers. Ports, prefixes and magics are those of each chain's chainparams.cpp, as are
 * the rules of headers; checkpoints are also the blocks that their releases assume to be valid. */
static const struct chainparams table[] = {
	{
		.name = "bitcoin",
		.magic = {0xf9, 0xbe, 0xb4, 0xd9},
		.p2p_port = 8333,
		.rpc_port = 8332,
		.genesis = {"\x6f\xe2\x8c\x0a\xb6\xf1\xb3\x72\xc1\xa6\xa2\x46\xae\x63\xf7\x4f"
			    "\x93\x1e\x83\x65\xe1\x5a\x08\x9c\x68\xd6\x19\x00\x00\x00\x00\x00"},
		.hrp = "bc",
		.pubkey_prefix = 0,
		.script_prefix = 5,
		.script_prefix2 = 5,
		.secret_prefix = 128,
		.pow = CHAIN_POW_SHA256D,
		.dust = 330,
		.seal = 1000,
		.confirm = 2,
		.birth_height = 970000,
		.genesis_header =
			"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\x3b\xa3\xed\xfd\x7a\x7b\x12\xb2\x7a\xc7\x2c\x3e"
			"\x67\x76\x8f\x61\x7f\xc8\x1b\xc3\x88\x8a\x51\x32\x3a\x9f\xb8\xaa"
			"\x4b\x1e\x5e\x4a\x29\xab\x5f\x49\xff\xff\x00\x1d\x1d\xac\x2b\x7c",
		.pow_limit = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, 0xffffffff}},
		.min_work = {{0x2f4c366153a3a030, 0x1128750f8}},
		.spacing = 600,
		.timespan = 1209600,
		.retarget = CHAIN_RETARGET_BITCOIN,
		.bip34_height = 227931,
		.bip66_height = 363725,
		.bip65_height = 388381,
		.checkpoint_count = 12,
		.checkpoints =
			{
				{11111,
				 {"\x1d\x7c\x6e\xb2\xfd\x42\xf5\x59\x25\xe9\x2e\xfa\xd6\x8b\x61\xed"
				  "\xd2\x2f\xba\x29\xfd\xe8\x78\x3d\xf7\x44\xe2\x69\x00\x00\x00"
				  "\x00"}},
				{33333,
				 {"\xa6\xd0\xb5\xdf\x7d\x0d\xf0\x69\xce\xb1\xe7\x36\xa2\x16\xad\x18"
				  "\x7a\x50\xb0\x7a\xaa\x4e\x78\x74\x8a\x58\xd5\x2d\x00\x00\x00"
				  "\x00"}},
				{74000,
				 {"\x20\x1a\x66\xb8\x53\xf9\xe7\x81\x4a\x82\x0e\x2a\xf5\xf5\xdc\x79"
				  "\xc0\x71\x44\xe3\x1c\xe4\xc9\xa3\x93\x39\x57\x00\x00\x00\x00"
				  "\x00"}},
				{105000,
				 {"\x97\xdc\x6b\x1d\x15\xfb\xee\xf3\x73\xa7\x44\xfe\xe0\xb2\x54\xb0"
				  "\xd2\xc8\x20\xa3\xae\x7f\x02\x28\xce\x91\x02\x00\x00\x00\x00"
				  "\x00"}},
				{134444,
				 {"\xfe\xb0\xd2\x42\x0d\x4a\x18\x91\x4c\x81\xac\x30\xf4\x94\xa5\xd4"
				  "\xff\x34\xcd\x15\xd3\x4c\xfd\x2f\xb1\x05\x00\x00\x00\x00\x00"
				  "\x00"}},
				{168000,
				 {"\x63\xb7\x03\x83\x5c\xb7\x35\xcb\x9a\x89\xd7\x33\xcb\xe6\x6f\x21"
				  "\x2f\x63\x79\x5e\x01\x72\xea\x61\x9e\x09\x00\x00\x00\x00\x00"
				  "\x00"}},
				{193000,
				 {"\x17\x13\x8b\xca\x83\xbd\xc3\xe6\xf6\x0f\x01\x17\x7c\x38\x77\xa9"
				  "\x82\x66\xde\x40\x73\x5f\x2a\x45\x9f\x05\x00\x00\x00\x00\x00"
				  "\x00"}},
				{210000,
				 {"\x2e\x34\x71\xa1\x9b\x8e\x22\xb7\xf9\x39\xc6\x36\x63\x07\x66\x03"
				  "\xcf\x69\x2f\x19\x83\x7e\x34\x95\x8b\x04\x00\x00\x00\x00\x00"
				  "\x00"}},
				{250000,
				 {"\x14\xd2\xf2\x4d\x29\xbe\xd7\x53\x54\xf3\xf8\x8a\x5f\xb5\x00\x22"
				  "\xfc\x06\x4b\x02\x29\x1f\xdf\x87\x38\x00\x00\x00\x00\x00\x00"
				  "\x00"}},
				{295000,
				 {"\x83\xa9\x32\x46\xc6\x70\x03\x10\x5a\xf3\x3a\xe0\xb2\x9d\xd6\x6f"
				  "\x68\x9d\x0f\x0f\xf5\x4e\x9b\x4d\x00\x00\x00\x00\x00\x00\x00"
				  "\x00"}},
				{824000,
				 {"\x9a\xaf\x64\xa4\xe1\x10\x0a\x9a\x43\x4f\xf6\xb3\xc5\x5e\x99\x61"
				  "\xd2\xd4\x49\xd1\x11\x68\x02\x00\x00\x00\x00\x00\x00\x00\x00"
				  "\x00"}},
				{938343,
				 {"\xac\xa5\x1b\xd5\xfa\x4b\x09\x8e\x47\x7c\x17\x1d\xdc\xdc\xd8\x94"
				  "\x91\x4d\xd7\xd6\xeb\xcc\x00\x00\x00\x00\x00\x00\x00\x00\x00"
				  "\x00"}},
			},
		.dns_seeds = "seed.bitcoin.sipa.be "
			     "dnsseed.bluematt.me "
			     "seed.bitcoin.jonasschnelli.ch "
			     "seed.btc.petertodd.net "
			     "seed.bitcoin.sprovoost.nl "
			     "dnsseed.emzy.de "
			     "seed.bitcoin.wiz.biz "
			     "seed.mainnet.achownodes.xyz",
	},
	{
		.name = "bitcoin-testnet4",
		.magic = {0x1c, 0x16, 0x3f, 0x28},
		.p2p_port = 48333,
		.rpc_port = 48332,
		.genesis = {"\x43\xf0\x8b\xda\xb0\x50\xe3\x5b\x56\x7c\x86\x4b\x91\xf4\x7f\x50"
			    "\xae\x72\x5a\xe2\xde\x53\xbc\xfb\xba\xf2\x84\xda\x00\x00\x00\x00"},
		.hrp = "tb",
		.pubkey_prefix = 111,
		.script_prefix = 196,
		.script_prefix2 = 196,
		.secret_prefix = 239,
		.pow = CHAIN_POW_SHA256D,
		.dust = 330,
		.seal = 1000,
		.confirm = 2,
		.birth_height = 100000,
		.genesis_header =
			"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\x4e\x7b\x2b\x91\x28\xfe\x02\x91\xdb\x06\x93\xaf"
			"\x2a\xe4\x18\xb7\x67\xe6\x57\xcd\x40\x7e\x80\xcb\x14\x34\x22\x1e"
			"\xae\xa7\xa0\x7a\x04\x6f\x35\x66\xff\xff\x00\x1d\xbb\x0c\x78\x17",
		.pow_limit = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, 0xffffffff}},
		.min_work = {{0xfe15d0177d086304, 0x9a0}},
		.spacing = 600,
		.timespan = 1209600,
		.retarget = CHAIN_RETARGET_BIP94,
		.min_difficulty = true,
		.bip34_height = 1,
		.bip66_height = 1,
		.bip65_height = 1,
		.checkpoint_count = 1,
		.checkpoints =
			{
				{123613,
				 {"\x8a\xcf\xf7\x0b\x17\x2c\xa8\xe9\x93\x90\xb2\x79\x95\xe6\xf9\xf9"
				  "\xe6\x6a\x67\x85\x2e\x7e\xe2\x4e\x1e\x8b\x36\x02\x00\x00\x00"
				  "\x00"}},
			},
		.dns_seeds = "seed.testnet4.bitcoin.sprovoost.nl "
			     "seed.testnet4.wiz.biz",
	},
	{
		.name = "bitcoin-signet",
		.magic = {0x0a, 0x03, 0xcf, 0x40},
		.p2p_port = 38333,
		.rpc_port = 38332,
		.genesis = {"\xf6\x1e\xee\x3b\x63\xa3\x80\xa4\x77\xa0\x63\xaf\x32\xb2\xbb\xc9"
			    "\x7c\x9f\xf9\xf0\x1f\x2c\x42\x25\xe9\x73\x98\x81\x08\x00\x00\x00"},
		.hrp = "tb",
		.pubkey_prefix = 111,
		.script_prefix = 196,
		.script_prefix2 = 196,
		.secret_prefix = 239,
		.pow = CHAIN_POW_SHA256D,
		.dust = 330,
		.seal = 1000,
		.confirm = 2,
		.birth_height = 300000,
		.genesis_header =
			"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\x3b\xa3\xed\xfd\x7a\x7b\x12\xb2\x7a\xc7\x2c\x3e"
			"\x67\x76\x8f\x61\x7f\xc8\x1b\xc3\x88\x8a\x51\x32\x3a\x9f\xb8\xaa"
			"\x4b\x1e\x5e\x4a\x00\x8f\x4d\x5f\xae\x77\x03\x1e\x8a\xd2\x22\x03",
		.pow_limit = {{0, 0, 0, 0x377ae000000}},
		.min_work = {{0xb463ea0a4b8}},
		.spacing = 600,
		.timespan = 1209600,
		.retarget = CHAIN_RETARGET_BITCOIN,
		.bip34_height = 1,
		.bip66_height = 1,
		.bip65_height = 1,
		.checkpoint_count = 1,
		.checkpoints =
			{
				{293175,
				 {"\x29\xc3\xf5\x1f\xa0\x08\xb9\x93\xd4\xda\x9d\xf2\x6a\xf1\xe9\xf9"
				  "\x4c\xc5\xac\x1a\x3f\xf9\x2e\x09\x61\xab\x4a\x41\x08\x00\x00"
				  "\x00"}},
			},
		.dns_seeds = "seed.signet.bitcoin.sprovoost.nl "
			     "seed.signet.achownodes.xyz",
	},
	{
		.name = "bitcoin-regtest",
		.magic = {0xfa, 0xbf, 0xb5, 0xda},
		.p2p_port = 18444,
		.rpc_port = 18443,
		.genesis = {"\x06\x22\x6e\x46\x11\x1a\x0b\x59\xca\xaf\x12\x60\x43\xeb\x5b\xbf"
			    "\x28\xc3\x4f\x3a\x5e\x33\x2a\x1f\xc7\xb2\xb7\x3c\xf1\x88\x91\x0f"},
		.hrp = "bcrt",
		.pubkey_prefix = 111,
		.script_prefix = 196,
		.script_prefix2 = 196,
		.secret_prefix = 239,
		.pow = CHAIN_POW_SHA256D,
		.dust = 330,
		.seal = 1000,
		.confirm = 1,
		.birth_height = 1,
		.genesis_header =
			"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\x3b\xa3\xed\xfd\x7a\x7b\x12\xb2\x7a\xc7\x2c\x3e"
			"\x67\x76\x8f\x61\x7f\xc8\x1b\xc3\x88\x8a\x51\x32\x3a\x9f\xb8\xaa"
			"\x4b\x1e\x5e\x4a\xda\xe5\x49\x4d\xff\xff\x7f\x20\x02\x00\x00\x00",
		.pow_limit = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, 0x7fffffffffffffff}},
		.spacing = 600,
		.timespan = 86400,
		.retarget = CHAIN_RETARGET_NONE,
		.min_difficulty = true,
		.bip34_height = 1,
		.bip66_height = 1,
		.bip65_height = 1,
		.peers = "127.0.0.1:18444",
	},
	{
		.name = "litecoin",
		.magic = {0xfb, 0xc0, 0xb6, 0xdb},
		.p2p_port = 9333,
		.rpc_port = 9332,
		.genesis = {"\xe2\xbf\x04\x7e\x7e\x5a\x19\x1a\xa4\xef\x34\xd3\x14\x97\x9d\xc9"
			    "\x98\x6e\x0f\x19\x25\x1e\xda\xba\x59\x40\xfd\x1f\xe3\x65\xa7\x12"},
		.hrp = "ltc",
		.pubkey_prefix = 48,
		.script_prefix = 50,
		.script_prefix2 = 5,
		.secret_prefix = 176,
		.pow = CHAIN_POW_SCRYPT,
		.has_mweb = true,
		.dust = 3300,
		.seal = 10000,
		.confirm = 4,
		.birth_height = 3150000,
		.genesis_header =
			"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\xd9\xce\xd4\xed\x11\x30\xf7\xb7\xfa\xad\x9b\xe2"
			"\x53\x23\xff\xaf\xa3\x32\x32\xa1\x7c\x3e\xdf\x6c\xfd\x97\xbe\xe6"
			"\xba\xfb\xdd\x97\xb9\xaa\x8e\x4e\xf0\xff\x0f\x1e\xcd\x51\x3f\x7c",
		.pow_limit = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, 0xfffffffffff}},
		.min_work = {{0x78abee06fa883e0a, 0x1468}},
		.spacing = 150,
		.timespan = 302400,
		.retarget = CHAIN_RETARGET_LITECOIN,
		.bip34_height = 710000,
		.bip66_height = 811879,
		.bip65_height = 918684,
		.versionbits_height = 1201536,
		.checkpoint_count = 12,
		.checkpoints =
			{
				{1500,
				 {"\x67\x29\x9a\xb5\xa2\x02\x44\xaf\xc9\x5e\x83\x76\xd4\x8b\x5f\xe4"
				  "\x54\x5a\xd0\x55\xa7\x07\xa7\xcf\x88\xd2\x5d\x95\x65\x29\x1a"
				  "\x84"}},
				{4032,
				 {"\x46\x08\xcf\xd9\xe3\xd7\x5f\x96\x87\xa9\x35\xfd\x6a\xe2\x80\x5b"
				  "\x72\x03\x35\xce\x05\x59\x5e\xf0\x0e\xfc\x98\x71\x42\x0e\xe9"
				  "\x9c"}},
				{16128,
				 {"\x3d\x15\xcd\x1c\x2a\xe1\x03\xec\x4b\x7a\xcd\x9d\x4d\x1d\xdc\x6f"
				  "\xb6\x6c\x0e\x9b\x1d\x9f\x80\xaf\xa6\xf9\xb7\x59\x18\xdf\x2e"
				  "\x60"}},
				{50000,
				 {"\xa6\x20\x7a\xd0\x71\x3e\x2b\x2b\x88\x32\x3a\x4f\xdb\x2a\x67\x27"
				  "\xc1\x19\x04\xcc\x2d\x01\xa5\x75\xf0\x68\x9b\x02\xeb\x37\xdc"
				  "\x69"}},
				{120000,
				 {"\x31\x61\xac\x52\x35\x7a\x6a\x02\x1b\x12\xe7\xe9\xce\x29\x8e\x9e"
				  "\xc8\x8e\x82\x32\x5f\x15\xf0\xa7\xda\xf6\x05\x4f\x92\x26\x9d"
				  "\xbd"}},
				{179620,
				 {"\x09\xf7\xb9\x78\x2b\x0b\xa5\x58\x83\xb2\xdc\xa7\xe9\x69\xfa\x2f"
				  "\xbe\xd7\x0f\x6e\x44\x8e\xd1\x26\x04\xc0\x0a\x99\x5c\xc6\xd9"
				  "\x2a"}},
				{240000,
				 {"\xaa\x88\x50\x55\xa1\x3e\x2e\xab\x6e\x4e\x0c\x59\xc4\x39\xdb\x73"
				  "\x9c\x4c\xf2\x36\x76\xee\x17\xa2\x7c\x15\xc2\xb4\xc4\xd1\x40"
				  "\x71"}},
				{383640,
				 {"\x64\xf3\xc6\x26\xf1\xc3\x96\xa0\x90\x05\x7d\x4b\xe9\x4b\xa3\x27"
				  "\x51\xa3\x10\xf1\xb3\x5e\xc6\xaf\x5b\x21\xa9\x94\xf0\x09\x68"
				  "\x2b"}},
				{456000,
				 {"\x04\x20\x37\x56\x24\xe3\x1b\x40\x7d\xac\x01\x05\xa4\xa6\x4c\xe3"
				  "\x97\xf8\x22\xbe\x06\x0d\x93\x87\xd4\x6c\x36\xc6\x1c\xf7\x34"
				  "\xbf"}},
				{638902,
				 {"\x38\x4f\xc7\xae\x3b\xc5\xec\x5c\xc4\x9c\xcd\x3d\x95\xfc\x9a\x81"
				  "\xa5\xf3\xfc\x75\x8c\x9a\xe2\x8d\xd2\x63\xec\xe8\x56\x86\x23"
				  "\x15"}},
				{721000,
				 {"\xe5\x40\x98\x9a\x75\x8a\xdc\x41\x16\x74\x3e\xe6\xa2\x35\xb2\xea"
				  "\x14\xb7\x75\x9d\xd9\x3b\x46\xe2\x78\x94\xdf\xe1\x4d\x7b\x8a"
				  "\x19"}},
				{2772730,
				 {"\xe5\x86\xf2\x9f\x36\xeb\xe9\x96\xf5\xc0\x5b\x76\x05\x34\x4d\x69"
				  "\xc4\xe3\xfd\x11\xb3\x84\xf3\x5b\xdf\x84\x04\x08\x5c\xb3\xcd"
				  "\x80"}},
			},
		.dns_seeds = "seed-a.litecoin.loshan.co.uk "
			     "dnsseed.thrasher.io "
			     "dnsseed.litecointools.com "
			     "dnsseed.litecoinpool.org "
			     "dnsseed.koin-project.com",
	},
	{
		.name = "litecoin-testnet",
		.magic = {0xfd, 0xd2, 0xc8, 0xf1},
		.p2p_port = 19335,
		.rpc_port = 19332,
		.genesis = {"\xa0\x29\x3e\x4e\xeb\x3d\xa6\xe6\xf5\x6f\x81\xed\x59\x5f\x57\x88"
			    "\x0d\x1a\x21\x56\x9e\x13\xee\xfd\xd9\x51\x28\x4b\x5a\x62\x66\x49"},
		.hrp = "tltc",
		.pubkey_prefix = 111,
		.script_prefix = 58,
		.script_prefix2 = 196,
		.secret_prefix = 239,
		.pow = CHAIN_POW_SCRYPT,
		.has_mweb = true,
		.dust = 3300,
		.seal = 10000,
		.confirm = 4,
		.birth_height = 3500000,
		.genesis_header =
			"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\xd9\xce\xd4\xed\x11\x30\xf7\xb7\xfa\xad\x9b\xe2"
			"\x53\x23\xff\xaf\xa3\x32\x32\xa1\x7c\x3e\xdf\x6c\xfd\x97\xbe\xe6"
			"\xba\xfb\xdd\x97\xf6\x0b\xa1\x58\xf0\xff\x0f\x1e\xe1\x79\x04\x00",
		.pow_limit = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, 0xfffffffffff}},
		.min_work = {{0x4260a1758f04aa}},
		.spacing = 150,
		.timespan = 302400,
		.retarget = CHAIN_RETARGET_LITECOIN,
		.min_difficulty = true,
		.bip34_height = 76,
		.bip66_height = 76,
		.bip65_height = 76,
		.versionbits_height = 6048,
		.checkpoint_count = 3,
		.checkpoints =
			{
				{300,
				 {"\x40\x97\x76\x17\xe3\x94\xa0\xd9\x7f\xb3\xf5\xf8\x5a\xdc\x94\xad"
				  "\x20\x79\x5a\x24\xc9\x04\x4e\x57\xd6\x58\xe6\xff\x5a\x07\xe6"
				  "\x54"}},
				{2056,
				 {"\x89\x32\xa8\x78\x9c\x96\xc5\x16\xd8\xa1\x08\x0a\x29\xc7\xe7\xe3"
				  "\x87\xd2\x39\x7a\x83\x86\x4f\x9a\xdc\xaf\x97\xba\x31\x8a\x74"
				  "\x17"}},
				{2352616,
				 {"\xc2\xf3\x99\x92\x4d\x93\xef\x5d\x6f\x1b\x20\x4c\xb0\xdb\xe5\xa1"
				  "\x51\x59\xe8\xfa\x8c\xba\x72\xa8\x1f\x83\xf7\x7b\x7e\x43\x40"
				  "\x75"}},
			},
		.dns_seeds = "testnet-seed.litecointools.com "
			     "seed-b.litecoin.loshan.co.uk "
			     "dnsseed-testnet.thrasher.io",
	},
	{
		.name = "litecoin-regtest",
		.magic = {0xfa, 0xbf, 0xb5, 0xda},
		.p2p_port = 19444,
		.rpc_port = 19443,
		.genesis = {"\xf9\x16\xc4\x56\xfc\x51\xdf\x62\x78\x85\xd7\xd6\x74\xed\x02\xdc"
			    "\x88\xa2\x25\xad\xb3\xf0\x2a\xd1\x3e\xb4\x93\x8f\xf3\x27\x08\x53"},
		.hrp = "rltc",
		.pubkey_prefix = 111,
		.script_prefix = 58,
		.script_prefix2 = 196,
		.secret_prefix = 239,
		.pow = CHAIN_POW_SCRYPT,
		.has_mweb = true,
		.dust = 3300,
		.seal = 10000,
		.confirm = 1,
		.birth_height = 1,
		.genesis_header =
			"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			"\x00\x00\x00\x00\xd9\xce\xd4\xed\x11\x30\xf7\xb7\xfa\xad\x9b\xe2"
			"\x53\x23\xff\xaf\xa3\x32\x32\xa1\x7c\x3e\xdf\x6c\xfd\x97\xbe\xe6"
			"\xba\xfb\xdd\x97\xda\xe5\x49\x4d\xff\xff\x7f\x20\x00\x00\x00\x00",
		.pow_limit = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, 0x7fffffffffffffff}},
		.spacing = 150,
		.timespan = 302400,
		.retarget = CHAIN_RETARGET_NONE,
		.min_difficulty = true,
		.bip34_height = 500,
		.bip66_height = 1251,
		.bip65_height = 1351,
		.versionbits_height = 1,
		.peers = "127.0.0.1:19444",
	},
};

enum { TABLE_SIZE = sizeof(table) / sizeof(table[0]) };

const struct chainparams *chainparams_at(size_t index)
{
	return index < TABLE_SIZE ? &table[index] : NULL;
}

const struct chainparams *chainparams_find(const char *name)
{
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

static bool number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;
	unsigned long long v;

	/* strtoull() takes signs and blanks */
	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || v > max)
		return false;
	*ret = v;
	return true;
}

static bool set_text(char *dst, size_t size, const char *value)
{
	size_t len = strlen(value);

	if (len == 0 || len >= size)
		return false;
	memset(dst, 0, size);
	memcpy(dst, value, len);
	return true;
}

static bool set_yes_no(bool *dst, const char *value)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return false;
	*dst = value[0] == 'y';
	return true;
}

static bool set_pow(enum chain_pow *dst, const char *value)
{
	if (strcmp(value, "sha256d") == 0)
		*dst = CHAIN_POW_SHA256D;
	else if (strcmp(value, "scrypt") == 0)
		*dst = CHAIN_POW_SCRYPT;
	else
		return false;
	return true;
}

static bool set_retarget(enum chain_retarget *dst, const char *value)
{
	static const char *const names[] = {
		[CHAIN_RETARGET_NONE] = "none",
		[CHAIN_RETARGET_BITCOIN] = "bitcoin",
		[CHAIN_RETARGET_BIP94] = "bip94",
		[CHAIN_RETARGET_LITECOIN] = "litecoin",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) != 0)
			continue;
		*dst = (enum chain_retarget)i;
		return true;
	}
	return false;
}

/* "HEIGHT:HASH" */
static bool checkpoint(const char *text, struct chain_checkpoint *ret)
{
	const char *colon = strchr(text, ':');
	char digits[16] = "";
	uint64_t height;

	if (!colon || (size_t)(colon - text) >= sizeof(digits))
		return false;
	memcpy(digits, text, (size_t)(colon - text));
	if (!number(digits, INT32_MAX, &height) || !hash_parse(colon + 1, &ret->hash))
		return false;
	ret->height = (uint32_t)height;
	return true;
}

static bool set_checkpoints(struct chainparams *params, const char *value)
{
	struct chain_checkpoint list[CHAIN_CHECKPOINTS_MAX] = {0};
	char word[HASH_TEXT_SIZE + 16];
	uint32_t count = 0;

	for (size_t len; strcmp(value, "none") != 0 && *value; value += len) {
		len = strcspn(value, " ");
		if (!len) {
			len = 1;
			continue;
		}
		if (count == CHAIN_CHECKPOINTS_MAX || len >= sizeof(word))
			return false;
		memcpy(word, value, len);
		word[len] = '\0';
		if (!checkpoint(word, &list[count]) ||
		    (count && list[count].height <= list[count - 1].height))
			return false;
		count++;
	}
	memcpy(params->checkpoints, list, sizeof(list));
	params->checkpoint_count = count;
	return true;
}

/* One more, above those that are there: lines of a file are not long enough for many. */
static bool add_checkpoint(struct chainparams *params, const char *value)
{
	struct chain_checkpoint point;
	uint32_t count = params->checkpoint_count;

	if (count == CHAIN_CHECKPOINTS_MAX || !checkpoint(value, &point) ||
	    (count && point.height <= params->checkpoints[count - 1].height))
		return false;
	params->checkpoints[params->checkpoint_count++] = point;
	return true;
}

static bool set_list(char *dst, const char *value)
{
	return set_text(dst, CHAIN_SEEDS_SIZE, strcmp(value, "none") == 0 ? " " : value);
}

static bool set_op_node(uint8_t *dst, const char *value)
{
	uint64_t v;

	if (strcmp(value, "none") == 0) {
		*dst = 0;
		return true;
	}
	if (!number(value, UINT8_MAX, &v) || v == 0)
		return false;
	*dst = (uint8_t)v;
	return true;
}

static const struct number_field {
	const char *name;
	size_t offset;
	size_t size;
	uint64_t min, max;
} number_fields[] = {
#define FIELD(name, member, min, max)                                                              \
	{                                                                                          \
		name, offsetof(struct chainparams, member),                                        \
			sizeof(((struct chainparams *)0)->member), min, max                        \
	}
	FIELD("p2p-port", p2p_port, 1, UINT16_MAX),
	FIELD("rpc-port", rpc_port, 1, UINT16_MAX),
	FIELD("pubkey-prefix", pubkey_prefix, 0, UINT8_MAX),
	FIELD("script-prefix", script_prefix, 0, UINT8_MAX),
	FIELD("script-prefix2", script_prefix2, 0, UINT8_MAX),
	FIELD("secret-prefix", secret_prefix, 0, UINT8_MAX),
	FIELD("dust", dust, 0, UINT32_MAX),
	FIELD("seal", seal, 1, UINT32_MAX),
	FIELD("confirm", confirm, 1, 1000),
	FIELD("birth-height", birth_height, 1, INT32_MAX),
	FIELD("spacing", spacing, 1, 86400),
	FIELD("timespan", timespan, 1, 366 * 86400),
	FIELD("bip34-height", bip34_height, 0, INT32_MAX),
	FIELD("bip65-height", bip65_height, 0, INT32_MAX),
	FIELD("bip66-height", bip66_height, 0, INT32_MAX),
	FIELD("versionbits-height", versionbits_height, 0, INT32_MAX),
#undef FIELD
};

static bool set_number(struct chainparams *params, const struct number_field *f, const char *value)
{
	uint8_t *dst = (uint8_t *)params + f->offset;
	uint64_t v;

	if (!number(value, f->max, &v) || v < f->min)
		return false;
	if (f->size == 1)
		*dst = (uint8_t)v;
	else if (f->size == 2)
		*(uint16_t *)(void *)dst = (uint16_t)v;
	else if (f->size == 4)
		*(uint32_t *)(void *)dst = (uint32_t)v;
	else
		*(uint64_t *)(void *)dst = v;
	return true;
}

int chainparams_set(struct chainparams *params, const char *field, const char *value)
{
	for (size_t i = 0; i < sizeof(number_fields) / sizeof(number_fields[0]); i++)
		if (strcmp(number_fields[i].name, field) == 0)
			return set_number(params, &number_fields[i], value) ? 0 : -EINVAL;
	if (strcmp(field, "name") == 0)
		return set_text(params->name, sizeof(params->name), value) ? 0 : -EINVAL;
	if (strcmp(field, "hrp") == 0)
		return set_text(params->hrp, sizeof(params->hrp), value) ? 0 : -EINVAL;
	if (strcmp(field, "magic") == 0)
		return hex_parse(value, params->magic, sizeof(params->magic)) ? 0 : -EINVAL;
	if (strcmp(field, "genesis") == 0)
		return hash_parse(value, &params->genesis) ? 0 : -EINVAL;
	if (strcmp(field, "genesis-header") == 0)
		return hex_parse(value, params->genesis_header, CHAIN_HEADER_LEN) ? 0 : -EINVAL;
	if (strcmp(field, "pow-limit") == 0)
		return u256_parse(value, &params->pow_limit) ? 0 : -EINVAL;
	if (strcmp(field, "min-work") == 0)
		return u256_parse(value, &params->min_work) ? 0 : -EINVAL;
	if (strcmp(field, "retarget") == 0)
		return set_retarget(&params->retarget, value) ? 0 : -EINVAL;
	if (strcmp(field, "min-difficulty") == 0)
		return set_yes_no(&params->min_difficulty, value) ? 0 : -EINVAL;
	if (strcmp(field, "checkpoints") == 0)
		return set_checkpoints(params, value) ? 0 : -EINVAL;
	if (strcmp(field, "checkpoint") == 0)
		return add_checkpoint(params, value) ? 0 : -EINVAL;
	if (strcmp(field, "dns-seeds") == 0)
		return set_list(params->dns_seeds, value) ? 0 : -EINVAL;
	if (strcmp(field, "peers") == 0)
		return set_list(params->peers, value) ? 0 : -EINVAL;
	if (strcmp(field, "pow") == 0)
		return set_pow(&params->pow, value) ? 0 : -EINVAL;
	if (strcmp(field, "mweb") == 0)
		return set_yes_no(&params->has_mweb, value) ? 0 : -EINVAL;
	if (strcmp(field, "op-node") == 0)
		return set_op_node(&params->op_node, value) ? 0 : -EINVAL;
	return -ENOENT;
}
