#include "core/txbuild.h"

#include "core/amount.h"
#include "core/error.h"
#include "wire/buf.h"
#include "wire/hash.h"
#include "wire/tx.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	SIGHASH_ALL = 1,
	WITNESS_ITEMS_MAX = 100, /* what nodes relay at most */
};

static int parse_inputs(struct reader *r, struct txbuild *tx)
{
	uint64_t count = reader_compact(r);

	if (r->failed || !count)
		return -DNET_EFORMAT;
	if (count > TXBUILD_INPUTS_MAX)
		return -E2BIG;
	tx->input_count = (size_t)count;
	for (size_t i = 0; i < tx->input_count; i++) {
		struct txbuild_input *in = &tx->inputs[i];

		reader_copy(r, in->prev.txid.bytes, HASH_LEN);
		in->prev.vout = reader_u32(r);
		in->script_len = (size_t)reader_compact(r);
		in->script = reader_bytes(r, in->script_len);
		in->sequence = reader_u32(r);
	}
	return r->failed ? -DNET_EFORMAT : 0;
}

static int parse_outputs(struct reader *r, struct txbuild *tx)
{
	uint64_t count = reader_compact(r);

	if (r->failed || !count)
		return -DNET_EFORMAT;
	if (count > TXBUILD_OUTPUTS_MAX)
		return -E2BIG;
	tx->output_count = (size_t)count;
	for (size_t i = 0; i < tx->output_count; i++) {
		struct txbuild_output *out = &tx->outputs[i];
		uint64_t len;

		out->value = reader_u64(r);
		len = reader_compact(r);
		if (r->failed || out->value > AMOUNT_MAX)
			return -DNET_EFORMAT;
		if (len > TXBUILD_SCRIPT_MAX)
			return -E2BIG;
		out->script_len = (size_t)len;
		reader_copy(r, out->script, out->script_len);
	}
	return r->failed ? -DNET_EFORMAT : 0;
}

static void parse_witness(struct reader *r, struct txbuild_input *in)
{
	const uint8_t *start = r->pos;
	uint64_t items = reader_compact(r);

	if (items > WITNESS_ITEMS_MAX)
		r->failed = true;
	for (uint64_t i = 0; i < items && !r->failed; i++)
		reader_bytes(r, (size_t)reader_compact(r));
	if (!items || r->failed)
		return;
	in->witness = start;
	in->witness_len = (size_t)(r->pos - start);
}

int txbuild_parse(const uint8_t *raw, size_t len, struct txbuild *ret_tx)
{
	struct txbuild tx = {0};
	struct reader r;
	uint8_t flag = 0;
	int err;

	reader_init(&r, raw, len);
	tx.version = reader_u32(&r);
	if (reader_left(&r) >= 2 && r.pos[0] == 0) {
		reader_u8(&r);
		flag = reader_u8(&r);
		if (flag & TX_FLAG_MWEB)
			return -EOPNOTSUPP;
		if (flag != TX_FLAG_WITNESS)
			return -DNET_EFORMAT;
	}
	err = parse_inputs(&r, &tx);
	if (!err)
		err = parse_outputs(&r, &tx);
	if (err)
		return err;
	for (size_t i = 0; flag && i < tx.input_count; i++)
		parse_witness(&r, &tx.inputs[i]);
	tx.locktime = reader_u32(&r);
	if (!reader_done(&r))
		return -DNET_EFORMAT;
	*ret_tx = tx;
	return 0;
}

static bool has_witness(const struct txbuild *tx)
{
	for (size_t i = 0; i < tx->input_count; i++) {
		if (tx->inputs[i].witness)
			return true;
	}
	return false;
}

static void write_script(struct writer *w, const uint8_t *script, size_t len)
{
	writer_compact(w, len);
	writer_copy(w, script, len);
}

static void write_outpoint(struct writer *w, const struct outpoint *prev)
{
	writer_copy(w, prev->txid.bytes, HASH_LEN);
	writer_u32(w, prev->vout);
}

static void write_output(struct writer *w, const struct txbuild_output *out)
{
	writer_u64(w, out->value);
	write_script(w, out->script, out->script_len);
}

size_t txbuild_write(const struct txbuild *tx, bool with_witness, uint8_t *dst, size_t size)
{
	bool witness = with_witness && has_witness(tx);
	struct writer w;

	writer_init(&w, dst, size);
	writer_u32(&w, tx->version);
	if (witness) {
		writer_u8(&w, 0);
		writer_u8(&w, TX_FLAG_WITNESS);
	}
	writer_compact(&w, tx->input_count);
	for (size_t i = 0; i < tx->input_count; i++) {
		write_outpoint(&w, &tx->inputs[i].prev);
		write_script(&w, tx->inputs[i].script, tx->inputs[i].script_len);
		writer_u32(&w, tx->inputs[i].sequence);
	}
	writer_compact(&w, tx->output_count);
	for (size_t i = 0; i < tx->output_count; i++)
		write_output(&w, &tx->outputs[i]);
	for (size_t i = 0; witness && i < tx->input_count; i++) {
		if (tx->inputs[i].witness)
			writer_copy(&w, tx->inputs[i].witness, tx->inputs[i].witness_len);
		else
			writer_u8(&w, 0);
	}
	writer_u32(&w, tx->locktime);
	return w.failed ? 0 : writer_len(&w);
}

static size_t compact_len(size_t n)
{
	return n < 0xfd ? 1 : n <= 0xffff ? 3 : 5;
}

/* Bytes without witness. */
static size_t base_size(const struct txbuild *tx)
{
	size_t size = 4 + compact_len(tx->input_count) + compact_len(tx->output_count) + 4;

	for (size_t i = 0; i < tx->input_count; i++)
		size += 40 + compact_len(tx->inputs[i].script_len) + tx->inputs[i].script_len;
	for (size_t i = 0; i < tx->output_count; i++)
		size += 8 + compact_len(tx->outputs[i].script_len) + tx->outputs[i].script_len;
	return size;
}

size_t txbuild_vsize(const struct txbuild *tx)
{
	size_t witness = 0;

	if (has_witness(tx)) {
		witness = 2;
		for (size_t i = 0; i < tx->input_count; i++)
			witness += tx->inputs[i].witness ? tx->inputs[i].witness_len : 1;
	}
	return base_size(tx) + (witness + 3) / 4;
}

static void sha_bytes(struct sha256 *sha, const void *data, size_t len)
{
	if (len)
		sha256_update(sha, data, len);
}

static void sha_outpoint(struct sha256 *sha, const struct outpoint *prev)
{
	sha_bytes(sha, prev->txid.bytes, HASH_LEN);
	sha256_update_u32(sha, prev->vout);
}

static void sha_output(struct sha256 *sha, const struct txbuild_output *out)
{
	sha256_update_u64(sha, out->value);
	sha256_update_compact(sha, out->script_len);
	sha_bytes(sha, out->script, out->script_len);
}

void txbuild_txid(const struct txbuild *tx, struct hash256 *ret_txid)
{
	struct sha256 sha;

	sha256_init(&sha);
	sha256_update_u32(&sha, tx->version);
	sha256_update_compact(&sha, tx->input_count);
	for (size_t i = 0; i < tx->input_count; i++) {
		sha_outpoint(&sha, &tx->inputs[i].prev);
		sha256_update_compact(&sha, tx->inputs[i].script_len);
		sha_bytes(&sha, tx->inputs[i].script, tx->inputs[i].script_len);
		sha256_update_u32(&sha, tx->inputs[i].sequence);
	}
	sha256_update_compact(&sha, tx->output_count);
	for (size_t i = 0; i < tx->output_count; i++)
		sha_output(&sha, &tx->outputs[i]);
	sha256_update_u32(&sha, tx->locktime);
	sha256_final_double(&sha, ret_txid);
}

uint64_t txbuild_output_sum(const struct txbuild *tx)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < tx->output_count; i++)
		sum += tx->outputs[i].value;
	return sum;
}

static void set_payload(struct txbuild_output *output, const uint8_t *payload, size_t payload_len)
{
	struct writer w;

	assert(payload_len > 0 && payload_len <= TXBUILD_PAYLOAD_MAX);
	memset(output, 0, sizeof(*output));
	writer_init(&w, output->script, sizeof(output->script));
	writer_u8(&w, OP_RETURN);
	if (payload_len >= OP_PUSHDATA1)
		writer_u8(&w, OP_PUSHDATA1);
	writer_u8(&w, (uint8_t)payload_len);
	writer_copy(&w, payload, payload_len);
	assert(!w.failed);
	output->script_len = writer_len(&w);
}

void txbuild_carrier(struct txbuild *tx, const uint8_t *payload, size_t payload_len,
		     const uint8_t *script, size_t script_len, uint64_t value)
{
	struct txbuild_output *seal = &tx->outputs[1];

	assert(script_len > 0 && script_len <= TXBUILD_SCRIPT_MAX);
	memset(tx, 0, sizeof(*tx));
	tx->version = 2;
	tx->output_count = 2;
	set_payload(&tx->outputs[0], payload, payload_len);
	seal->value = value;
	seal->script_len = script_len;
	memcpy(seal->script, script, script_len);
}

bool txbuild_add_payload(struct txbuild *tx, const uint8_t *payload, size_t payload_len)
{
	assert(tx->output_count >= 2);
	/* The seal is no payload, and there is room for the change. */
	if (tx->output_count > TXBUILD_PAYLOADS_MAX)
		return false;
	set_payload(&tx->outputs[tx->output_count++], payload, payload_len);
	return true;
}

bool txbuild_payload(const struct txbuild *tx, size_t index, const uint8_t **ret_payload,
		     size_t *ret_len)
{
	const struct txbuild_output *output = &tx->outputs[index];
	size_t head = 2;

	if (index >= tx->output_count || output->script_len < 3 || output->script[0] != OP_RETURN)
		return false;
	if (output->script[1] == OP_PUSHDATA1)
		head = 3;
	else if (output->script[1] > SCRIPT_PUSH_DIRECT_MAX)
		return false;
	if (output->script_len <= head || output->script[head - 1] != output->script_len - head)
		return false;
	*ret_payload = output->script + head;
	*ret_len = output->script_len - head;
	return true;
}

static bool output_equal(const struct txbuild_output *a, const struct txbuild_output *b)
{
	return a->value == b->value && a->script_len == b->script_len &&
	       !memcmp(a->script, b->script, a->script_len);
}

bool txbuild_carries(const struct txbuild *tx, const struct txbuild *carrier)
{
	size_t more = tx->output_count - carrier->output_count;

	assert(carrier->output_count >= 2);
	if (tx->output_count < carrier->output_count || more > 1)
		return false;
	for (size_t i = 0; i < carrier->output_count; i++) {
		if (!output_equal(&tx->outputs[i < 2 ? i : i + more], &carrier->outputs[i]))
			return false;
	}
	return true;
}

size_t txbuild_change(const struct txbuild *tx)
{
	for (size_t i = 2; i < tx->output_count; i++) {
		if (!tx->outputs[i].script_len || tx->outputs[i].script[0] != OP_RETURN)
			return i;
	}
	return 0;
}

int txbuild_splice_seal(struct txbuild *tx, const struct outpoint *seal, uint64_t value,
			size_t vsize, uint64_t fee_rate, uint64_t least)
{
	size_t index = txbuild_change(tx);
	struct txbuild_output *change = &tx->outputs[index ? index : 1];
	uint64_t fee = amount_fee(vsize, fee_rate);

	assert(tx->output_count >= 2 && value <= AMOUNT_MAX);
	if (tx->input_count >= TXBUILD_INPUTS_MAX)
		return -ENOSPC;
	if (change->value + value < fee || change->value + value - fee < least)
		return -ERANGE;
	change->value = change->value + value - fee;
	memmove(tx->inputs + 1, tx->inputs, tx->input_count * sizeof(tx->inputs[0]));
	tx->input_count++;
	tx->inputs[0] = (struct txbuild_input){
		.prev = *seal, .sequence = 0xfffffffd, /* BIP125: the fee may be raised later */
	};
	return 0;
}

void txbuild_p2wpkh(const struct node_key *key, uint8_t ret_script[static P2WPKH_LEN])
{
	ret_script[0] = 0;
	ret_script[1] = HASH160_LEN;
	hash_hash160(key->bytes, PUBKEY_LEN, ret_script + 2);
}

void txbuild_sighash(const struct txbuild *tx, size_t index, const uint8_t *script_code,
		     size_t script_code_len, uint64_t value, struct hash256 *ret_hash)
{
	struct hash256 prevouts, sequences, outputs;
	struct sha256 sha;

	assert(index < tx->input_count);
	sha256_init(&sha);
	for (size_t i = 0; i < tx->input_count; i++)
		sha_outpoint(&sha, &tx->inputs[i].prev);
	sha256_final_double(&sha, &prevouts);
	sha256_init(&sha);
	for (size_t i = 0; i < tx->input_count; i++)
		sha256_update_u32(&sha, tx->inputs[i].sequence);
	sha256_final_double(&sha, &sequences);
	sha256_init(&sha);
	for (size_t i = 0; i < tx->output_count; i++)
		sha_output(&sha, &tx->outputs[i]);
	sha256_final_double(&sha, &outputs);

	sha256_init(&sha);
	sha256_update_u32(&sha, tx->version);
	sha_bytes(&sha, prevouts.bytes, HASH_LEN);
	sha_bytes(&sha, sequences.bytes, HASH_LEN);
	sha_outpoint(&sha, &tx->inputs[index].prev);
	sha256_update_compact(&sha, script_code_len);
	sha_bytes(&sha, script_code, script_code_len);
	sha256_update_u64(&sha, value);
	sha256_update_u32(&sha, tx->inputs[index].sequence);
	sha_bytes(&sha, outputs.bytes, HASH_LEN);
	sha256_update_u32(&sha, tx->locktime);
	sha256_update_u32(&sha, SIGHASH_ALL);
	sha256_final_double(&sha, ret_hash);
}

bool txbuild_sign(struct txbuild *tx, size_t index, const struct id *id,
		  const struct identity *identity, uint64_t value,
		  uint8_t mem[static TXBUILD_WITNESS_MAX])
{
	/* BIP143: the script code of P2WPKH is OP_DUP OP_HASH160 <hash> OP_EQUALVERIFY OP_CHECKSIG.
	 */
	uint8_t code[25] = {0x76, 0xa9, HASH160_LEN, [23] = 0x88, [24] = 0xac};
	uint8_t der[ECDSA_DER_MAX];
	struct hash256 hash;
	struct writer w;
	size_t der_len;

	hash_hash160(identity->key.bytes, PUBKEY_LEN, code + 3);
	txbuild_sighash(tx, index, code, sizeof(code), value, &hash);
	if (!id_sign_ecdsa(id, &identity->secret, hash.bytes, der, &der_len))
		return false;
	writer_init(&w, mem, TXBUILD_WITNESS_MAX);
	writer_u8(&w, 2);
	writer_u8(&w, (uint8_t)(der_len + 1));
	writer_copy(&w, der, der_len);
	writer_u8(&w, SIGHASH_ALL);
	writer_u8(&w, PUBKEY_LEN);
	writer_copy(&w, identity->key.bytes, PUBKEY_LEN);
	assert(!w.failed);
	tx->inputs[index].witness = mem;
	tx->inputs[index].witness_len = writer_len(&w);
	return true;
}
