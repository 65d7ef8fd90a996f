#include "core/spend.h"

#include "core/id.h"
#include "wire/hash.h"

#include <string.h>

enum {
	SIGHASH_ALL = 1,
	ITEMS_MAX = SPEND_KEYS_MAX + 2, /* the empty one, signatures, the script */
	OP_CHECKMULTISIG = 0xae,
};

static bool input_at(const struct tx_view *tx, uint32_t index, struct tx_input *ret)
{
	struct tx_iter it = tx_inputs(tx);

	for (uint32_t i = 0; tx_next_input(&it, ret); i++)
		if (i == index)
			return true;
	return false;
}

void spend_sighash(const struct tx_view *tx, uint32_t index, struct span code, uint64_t value,
		   struct hash256 *ret_hash)
{
	struct hash256 prevouts, sequences, outputs;
	struct tx_iter it = tx_inputs(tx);
	struct tx_input input, own = {.outpoint = NULL};
	struct tx_output output;
	struct sha256 a, b, h;

	sha256_init(&a);
	sha256_init(&b);
	for (uint32_t i = 0; tx_next_input(&it, &input); i++) {
		sha256_update(&a, input.outpoint, OUTPOINT_LEN);
		sha256_update_u32(&b, input.sequence);
		if (i == index)
			own = input;
	}
	sha256_final_double(&a, &prevouts);
	sha256_final_double(&b, &sequences);
	sha256_init(&a);
	it = tx_outputs(tx);
	while (tx_next_output(&it, &output)) {
		sha256_update_u64(&a, output.value);
		sha256_update_compact(&a, output.script.len);
		sha256_update(&a, output.script.data, output.script.len);
	}
	sha256_final_double(&a, &outputs);
	sha256_init(&h);
	sha256_update_u32(&h, tx->version);
	sha256_update(&h, prevouts.bytes, HASH_LEN);
	sha256_update(&h, sequences.bytes, HASH_LEN);
	if (own.outpoint)
		sha256_update(&h, own.outpoint, OUTPOINT_LEN);
	sha256_update_compact(&h, code.len);
	sha256_update(&h, code.data, code.len);
	sha256_update_u64(&h, value);
	sha256_update_u32(&h, own.sequence);
	sha256_update(&h, outputs.bytes, HASH_LEN);
	sha256_update_u32(&h, tx->locktime);
	sha256_update_u32(&h, SIGHASH_ALL);
	sha256_final_double(&h, ret_hash);
}

bool spend_witness(const struct tx_view *tx, uint32_t index, struct span *ret_items, size_t max,
		   size_t *ret_count)
{
	struct reader r;
	uint64_t count, len;

	if (!(tx->flags & TX_FLAG_WITNESS) || index >= tx->input_count)
		return false;
	reader_init(&r, tx->witness.data, tx->witness.len);
	for (uint32_t i = 0; i <= index && !r.failed; i++) {
		count = reader_compact(&r);
		if (i == index && count > max)
			return false;
		for (uint64_t k = 0; k < count && !r.failed; k++) {
			len = reader_compact(&r);
			if (len > reader_left(&r))
				return false;
			if (i == index)
				ret_items[k].len = (size_t)len;
			if (i == index)
				ret_items[k].data = r.pos;
			reader_bytes(&r, (size_t)len);
		}
		*ret_count = (size_t)count;
	}
	return !r.failed;
}

/* A signature with its sighash byte. UNKNOWN: valid perhaps, over something else than all. */
static enum spend_verdict check_signature(const struct id *id, struct span signature,
					  const struct node_key *key, const struct hash256 *hash)
{
	if (signature.len < 9 || signature.len > ECDSA_DER_MAX + 1)
		return SPEND_INVALID;
	if (signature.data[signature.len - 1] != SIGHASH_ALL)
		return SPEND_UNKNOWN;
	return id_key_valid(id, key) && id_verify_ecdsa(id, key, hash->bytes, signature.data,
							signature.len - 1)
		       ? SPEND_VALID
		       : SPEND_INVALID;
}

static enum spend_verdict check_key_hash(const struct id *id, const struct tx_view *tx,
					 uint32_t index, struct span program, uint64_t value,
					 const struct span *items, size_t count)
{
	uint8_t hash[HASH160_LEN], mem[3 + HASH160_LEN + 2];
	struct hash256 sighash;
	struct node_key key;
	struct writer w;

	if (count != 2 || items[1].len != PUBKEY_LEN)
		return SPEND_INVALID;
	hash_hash160(items[1].data, items[1].len, hash);
	if (memcmp(hash, program.data, HASH160_LEN) != 0)
		return SPEND_INVALID;
	memcpy(key.bytes, items[1].data, PUBKEY_LEN);
	writer_init(&w, mem, sizeof(mem));
	script_write(&w, SCRIPT_P2PKH, hash);
	spend_sighash(tx, index, (struct span){.data = mem, .len = writer_len(&w)}, value,
		      &sighash);
	return check_signature(id, items[0], &key, &sighash);
}

/* m keys… n OP_CHECKMULTISIG */
static bool parse_multisig(struct span script, struct node_key *keys, unsigned *ret_needed,
			   unsigned *ret_count)
{
	struct script_op op;
	unsigned needed, count = 0;
	struct reader r;

	reader_init(&r, script.data, script.len);
	if (!script_next(&r, &op) || op.opcode < OP_1 || op.opcode > OP_16)
		return false;
	needed = op.opcode - OP_1 + 1u;
	while (script_next(&r, &op) && op.is_push) {
		if (count == SPEND_KEYS_MAX || op.push.len != PUBKEY_LEN)
			return false;
		memcpy(keys[count++].bytes, op.push.data, PUBKEY_LEN);
	}
	if (r.failed || op.is_push || op.opcode != OP_1 + count - 1 || count == 0 || needed > count)
		return false;
	*ret_needed = needed;
	*ret_count = count;
	return script_next(&r, &op) && op.opcode == OP_CHECKMULTISIG && reader_done(&r);
}

static enum spend_verdict check_script_hash(const struct id *id, const struct tx_view *tx,
					    uint32_t index, struct span program, uint64_t value,
					    const struct span *items, size_t count)
{
	struct span script = count > 0 ? items[count - 1] : (struct span){.len = 0};
	struct node_key keys[SPEND_KEYS_MAX];
	enum spend_verdict verdict;
	struct hash256 hash;
	unsigned needed, total, key = 0;

	if (count == 0)
		return SPEND_INVALID;
	hash_sha256(script.data, script.len, &hash);
	if (memcmp(hash.bytes, program.data, HASH_LEN) != 0)
		return SPEND_INVALID;
	if (!parse_multisig(script, keys, &needed, &total))
		return SPEND_UNKNOWN;
	/* OP_CHECKMULTISIG takes one item too many, which has to be empty (BIP147) */
	if (count != needed + 2 || items[0].len != 0)
		return SPEND_INVALID;
	spend_sighash(tx, index, script, value, &hash);
	/* signatures come in the order of their keys */
	for (unsigned i = 0; i < needed; i++) {
		do {
			if (key == total)
				return SPEND_INVALID;
			verdict = check_signature(id, items[1 + i], &keys[key++], &hash);
			if (verdict == SPEND_UNKNOWN)
				return SPEND_UNKNOWN;
		} while (verdict != SPEND_VALID);
	}
	return SPEND_VALID;
}

enum spend_verdict spend_check(const struct id *id, const struct tx_view *tx, uint32_t index,
			       struct span script, uint64_t value)
{
	struct span items[ITEMS_MAX], program;
	enum script_kind kind = script_classify(script, &program);
	struct tx_input input;
	size_t count = 0;

	if (kind != SCRIPT_P2WPKH && kind != SCRIPT_P2WSH)
		return SPEND_UNKNOWN;
	/* what native witness programs want besides: nothing in scriptSig */
	if (!input_at(tx, index, &input) || input.script.len != 0)
		return SPEND_INVALID;
	if (!spend_witness(tx, index, items, ITEMS_MAX, &count))
		return kind == SCRIPT_P2WSH && tx->flags & TX_FLAG_WITNESS ? SPEND_UNKNOWN
									   : SPEND_INVALID;
	if (kind == SCRIPT_P2WPKH)
		return check_key_hash(id, tx, index, program, value, items, count);
	return check_script_hash(id, tx, index, program, value, items, count);
}
