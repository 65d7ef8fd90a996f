#include "fuzz/fuzz.h"
#include "wire/record.h"
#include "wire/tx.h"

static void check_scripts(const struct tx_view *tx)
{
	struct tx_iter it = tx_outputs(tx);
	struct tx_output out;
	struct script_op op;
	struct span hash;
	struct reader r;

	while (tx_next_output(&it, &out)) {
		FUZZ_CHECK(out.script.data + out.script.len <= tx->raw.data + tx->raw.len);
		reader_init(&r, out.script.data, out.script.len);
		while (script_next(&r, &op))
			FUZZ_CHECK(op.push.len <= out.script.len);
		script_classify(out.script, &hash);
		FUZZ_CHECK(hash.len <= out.script.len);
	}
	FUZZ_CHECK(it.pos == tx->body.data + tx->body.len);
}

static void check_carriers(const struct tx_view *tx)
{
	struct payload_item item;
	struct payload payload;
	struct carrier c;

	if (!carrier_find(tx, 0xb9, &c))
		return;
	do {
		FUZZ_CHECK(c.out_index < tx->output_count);
		FUZZ_CHECK(c.seal_index < tx->output_count || c.seal_index == CARRIER_NO_SEAL);
		FUZZ_CHECK(c.len <= sizeof(c.payload) && payload_has_magic(c.payload, c.len));
		payload_open(&payload, c.payload, c.len);
		while (payload_next(&payload, &item))
			FUZZ_CHECK(item.raw.len > 0);
	} while (carrier_next(tx, &c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tx_input input;
	struct tx_view tx;
	struct hash256 id;
	struct tx_iter it;

	if (tx_parse(data, len, &tx) != TX_OK)
		return 0;
	FUZZ_CHECK(tx.raw.len == len);
	it = tx_inputs(&tx);
	while (tx_next_input(&it, &input))
		tx_input_outpoint(&input);
	FUZZ_CHECK(tx_stripped_size(&tx) <= len);
	FUZZ_CHECK(tx.flags || tx_stripped_size(&tx) == len);
	tx_txid(&tx, &id);
	check_scripts(&tx);
	check_carriers(&tx);
	return 0;
}
