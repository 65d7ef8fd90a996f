#include "core/multisig.h"

#include "wire/buf.h"
#include "wire/hash.h"
#include "wire/tx.h"

#include <stdlib.h>
#include <string.h>

enum {
	OP_CHECKMULTISIG = 0xae,
	INPUT_LEN = 41, /* outpoint, an empty script, sequence */
};

static int by_bytes(const void *a, const void *b)
{
	return node_key_compare(a, b);
}

static bool is_sorted(const struct multisig *multisig)
{
	for (size_t i = 1; i < multisig->count; i++) {
		if (node_key_compare(&multisig->keys[i - 1], &multisig->keys[i]) >= 0)
			return false;
	}
	return true;
}

size_t multisig_write(struct multisig *multisig, uint8_t ret_script[static MULTISIG_SCRIPT_MAX])
{
	struct writer w;

	if (!multisig->count || multisig->count > MULTISIG_KEYS_MAX || !multisig->need ||
	    multisig->need > multisig->count)
		return 0;
	qsort(multisig->keys, multisig->count, sizeof(multisig->keys[0]), by_bytes);
	if (!is_sorted(multisig))
		return 0;
	writer_init(&w, ret_script, MULTISIG_SCRIPT_MAX);
	writer_u8(&w, (uint8_t)(OP_1 - 1 + multisig->need));
	for (size_t i = 0; i < multisig->count; i++) {
		writer_u8(&w, PUBKEY_LEN);
		writer_copy(&w, multisig->keys[i].bytes, PUBKEY_LEN);
	}
	writer_u8(&w, (uint8_t)(OP_1 - 1 + multisig->count));
	writer_u8(&w, OP_CHECKMULTISIG);
	return w.failed ? 0 : writer_len(&w);
}

bool multisig_parse(const uint8_t *script, size_t len, struct multisig *ret_multisig)
{
	struct multisig multisig = {0};
	struct reader r;

	if (len < 3 + 1 + PUBKEY_LEN || (len - 3) % (1 + PUBKEY_LEN) || len > MULTISIG_SCRIPT_MAX)
		return false;
	reader_init(&r, script, len);
	multisig.count = (len - 3) / (1 + PUBKEY_LEN);
	multisig.need = (unsigned)reader_u8(&r) - (OP_1 - 1);
	for (size_t i = 0; i < multisig.count; i++) {
		if (reader_u8(&r) != PUBKEY_LEN)
			return false;
		reader_copy(&r, multisig.keys[i].bytes, PUBKEY_LEN);
		if (!node_key_well_formed(&multisig.keys[i]))
			return false;
	}
	if (reader_u8(&r) != OP_1 - 1 + multisig.count || reader_u8(&r) != OP_CHECKMULTISIG ||
	    !multisig.need || multisig.need > multisig.count || !is_sorted(&multisig))
		return false;
	*ret_multisig = multisig;
	return true;
}

bool multisig_has(const struct multisig *multisig, const struct node_key *key)
{
	for (size_t i = 0; i < multisig->count; i++) {
		if (node_key_equal(&multisig->keys[i], key))
			return true;
	}
	return false;
}

void multisig_p2wsh(const uint8_t *script, size_t len, uint8_t ret_script[static P2WSH_LEN])
{
	struct hash256 hash;

	hash_sha256(script, len, &hash);
	ret_script[0] = OP_0;
	ret_script[1] = HASH_LEN;
	memcpy(ret_script + 2, hash.bytes, HASH_LEN);
}

size_t multisig_input_vsize(const struct multisig *multisig)
{
	size_t script = 3 + multisig->count * (1 + PUBKEY_LEN);
	/* The count of items, an empty one, a signature each, the script with its length of up to
	 * three bytes. */
	size_t witness = 1 + 1 + multisig->need * (1 + ECDSA_DER_MAX + 1) + 3 + script;

	return INPUT_LEN + (witness + 3) / 4;
}
