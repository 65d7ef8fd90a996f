#include "core/chainparams.h"

#include "wire/hex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Genesis hashes in wire order: the text that nodes show, reversed; tests/unit/core/chainparams
 * hashes the headers. Ports, prefixes and magics are those of each chain's chainparams.cpp. */
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
	if (strcmp(field, "pow") == 0)
		return set_pow(&params->pow, value) ? 0 : -EINVAL;
	if (strcmp(field, "mweb") == 0)
		return set_yes_no(&params->has_mweb, value) ? 0 : -EINVAL;
	if (strcmp(field, "op-node") == 0)
		return set_op_node(&params->op_node, value) ? 0 : -EINVAL;
	return -ENOENT;
}
