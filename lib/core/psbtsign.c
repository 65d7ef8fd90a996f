#include "core/psbtsign.h"

#include "wire/hash.h"

#include <string.h>

enum {
	SIGHASH_ALL = 1,
	CODE_LEN = 25,
};

static struct outpoint spent(const struct psbt *psbt, size_t index)
{
	struct tx_iter it = tx_inputs(&psbt->tx);
	struct tx_input input = {0};

	for (size_t i = 0; i <= index; i++)
		tx_next_input(&it, &input);
	return tx_input_outpoint(&input);
}

/* The output that is spent, from the whole transaction. */
static bool coin_of_tx(const struct psbt *psbt, size_t index, struct span raw,
		       struct psbt_coin *ret_coin)
{
	struct outpoint prev = spent(psbt, index);
	struct tx_output output;
	struct hash256 txid;
	struct tx_view tx;

	if (tx_parse(raw.data, raw.len, &tx) != TX_OK)
		return false;
	tx_txid(&tx, &txid);
	if (memcmp(txid.bytes, prev.txid.bytes, HASH_LEN) != 0 ||
	    !tx_output_at(&tx, prev.vout, &output))
		return false;
	ret_coin->value = output.value;
	ret_coin->script = output.script;
	return true;
}

static bool coin_of_output(struct span raw, struct psbt_coin *ret_coin)
{
	struct reader r;
	uint64_t len;

	reader_init(&r, raw.data, raw.len);
	ret_coin->value = reader_u64(&r);
	len = reader_compact(&r);
	if (r.failed || len != reader_left(&r))
		return false;
	ret_coin->script = (struct span){r.pos, (size_t)len};
	return true;
}

bool psbtsign_coin(const struct psbt *psbt, size_t index, struct psbt_coin *ret_coin)
{
	size_t map = psbt_input(index);
	struct psbt_coin whole;
	struct span value;
	bool has_output = psbt_find(psbt, map, PSBT_IN_OUTPUT, NULL, 0, &value);

	if (has_output && !coin_of_output(value, ret_coin))
		return false;
	if (!psbt_find(psbt, map, PSBT_IN_TX, NULL, 0, &value))
		return has_output;
	if (!coin_of_tx(psbt, index, value, &whole))
		return false;
	if (has_output &&
	    (whole.value != ret_coin->value || whole.script.len != ret_coin->script.len ||
	     memcmp(whole.script.data, ret_coin->script.data, whole.script.len) != 0))
		return false;
	*ret_coin = whole;
	return true;
}

bool psbtsign_multisig(const struct psbt *psbt, size_t index, struct multisig *ret_multisig)
{
	uint8_t script[P2WSH_LEN];
	struct psbt_coin coin;
	struct span witness;

	if (!psbtsign_coin(psbt, index, &coin) || coin.script.len != P2WSH_LEN ||
	    !psbt_find(psbt, psbt_input(index), PSBT_IN_WITNESS, NULL, 0, &witness))
		return false;
	multisig_p2wsh(witness.data, witness.len, script);
	return !memcmp(script, coin.script.data, P2WSH_LEN) &&
	       multisig_parse(witness.data, witness.len, ret_multisig);
}

size_t psbtsign_count(const struct psbt *psbt, size_t index)
{
	struct multisig multisig;
	struct span value;
	size_t count = 0;

	if (!psbtsign_multisig(psbt, index, &multisig))
		return 0;
	for (size_t i = 0; i < multisig.count; i++)
		count += psbt_find(psbt, psbt_input(index), PSBT_IN_SIGNATURE,
				   multisig.keys[i].bytes, PUBKEY_LEN, &value);
	return count;
}

static bool is_finished(const struct psbt *psbt, size_t index)
{
	struct span value;

	return psbt_find(psbt, psbt_input(index), PSBT_IN_FINAL_WITNESS, NULL, 0, &value) ||
	       psbt_find(psbt, psbt_input(index), PSBT_IN_FINAL_SCRIPT, NULL, 0, &value);
}

static bool pays_to(const struct psbt_coin *coin, const struct node_key *key)
{
	uint8_t script[P2WPKH_LEN];

	txbuild_p2wpkh(key, script);
	return coin->script.len == P2WPKH_LEN && !memcmp(script, coin->script.data, P2WPKH_LEN);
}

bool psbtsign_wants(const struct psbt *psbt, size_t index, const struct node_key *key)
{
	struct multisig multisig;
	struct psbt_coin coin;
	struct span value;

	if (is_finished(psbt, index) || !psbtsign_coin(psbt, index, &coin) ||
	    psbt_find(psbt, psbt_input(index), PSBT_IN_SIGNATURE, key->bytes, PUBKEY_LEN, &value))
		return false;
	return pays_to(&coin, key) ||
	       (psbtsign_multisig(psbt, index, &multisig) && multisig_has(&multisig, key));
}

bool psbtsign_input(const struct psbt *psbt, const struct txbuild *tx, size_t index,
		    const struct id *id, const struct identity *identity, struct writer *w)
{
	static const uint8_t all[4] = {SIGHASH_ALL};
	uint8_t code[CODE_LEN] = {0x76, 0xa9, HASH160_LEN, [23] = 0x88, [24] = 0xac};
	struct span script_code = {code, sizeof(code)}, kind;
	uint8_t signature[ECDSA_DER_MAX + 1];
	size_t map = psbt_input(index), len;
	struct psbt_coin coin;
	struct hash256 hash;

	if (!psbtsign_wants(psbt, index, &identity->key) || !psbtsign_coin(psbt, index, &coin))
		return false;
	if (psbt_find(psbt, map, PSBT_IN_SIGHASH, NULL, 0, &kind) &&
	    memcmp(kind.data, all, sizeof(all)) != 0)
		return false;
	if (pays_to(&coin, &identity->key))
		hash_hash160(identity->key.bytes, PUBKEY_LEN, code + 3);
	else
		psbt_find(psbt, map, PSBT_IN_WITNESS, NULL, 0, &script_code);
	txbuild_sighash(tx, index, script_code.data, script_code.len, coin.value, &hash);
	if (!id_sign_ecdsa(id, &identity->secret, hash.bytes, signature, &len))
		return false;
	signature[len] = SIGHASH_ALL;
	psbt_put(w, psbt, map, PSBT_IN_SIGNATURE, identity->key.bytes, PUBKEY_LEN, signature,
		 len + 1);
	return true;
}
