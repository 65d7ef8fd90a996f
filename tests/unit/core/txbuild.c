#include "fixture/test.h"

#include "core/error.h"
#include "core/txbuild.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

/* BIP143, "Native P2WPKH". */
static const char bip143_unsigned[] =
	"0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffff"
	"ffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202c"
	"b206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143b"
	"de42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000";
static const char bip143_signed[] =
	"01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f000000004948"
	"30450221008b9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3"
	"f9281a99f2b1c0a19c0489bc22ede944ccf4ecbab4cc618ef3ed01eeffffffef51e1b804cc89d182d279655c3a"
	"a89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df3"
	"78db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f016"
	"7faa815988ac000247304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a"
	"0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee0121025476c2e83188368d"
	"a1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee635711000000";

enum { MEM = 1024 };

static size_t unhex(const char *hex, void *dst, size_t size)
{
	size_t len;

	assert_int_equal(sodium_hex2bin(dst, size, hex, strlen(hex), NULL, &len, NULL), 0);
	return len;
}

static struct identity from_hex(const struct id *id, const char *hex)
{
	struct identity self;
	struct secret secret;

	unhex(hex, secret.bytes, SECRET_LEN);
	assert_int_equal(id_from_secret(id, &secret, &self), 0);
	return self;
}

static void a_p2wpkh_input_is_signed_as_in_bip143(void **state)
{
	static const uint8_t seed[ID_SEED_LEN];
	struct id *id = id_new(seed);
	struct identity self =
		from_hex(id, "619c335025c7f4012e556c2a58b2506e30b8511b53ade95ea316fd8c3286feb9");
	uint8_t raw[MEM], want[MEM], got[MEM], script[P2WPKH_LEN], witness[TXBUILD_WITNESS_MAX];
	uint8_t first_script[MEM];
	struct txbuild tx;
	size_t len;

	len = unhex(bip143_unsigned, raw, sizeof(raw));
	assert_int_equal(txbuild_parse(raw, len, &tx), 0);
	txbuild_p2wpkh(&self.key, script);
	unhex("00141d0f172a0ecb48aee1be1f2687d2963ae33f71a1", want, sizeof(want));
	assert_memory_equal(script, want, P2WPKH_LEN);

	assert_true(txbuild_sign(&tx, 1, id, &self, 600000000, witness));
	/* The first input is P2PK: its scriptSig comes from the vector. */
	tx.inputs[0].script_len = unhex(
		"4830450221008b9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040"
		"529b194ba3f9281a99f2b1c0a19c0489bc22ede944ccf4ecbab4cc618ef3ed01",
		first_script, sizeof(first_script));
	tx.inputs[0].script = first_script;
	len = unhex(bip143_signed, want, sizeof(want));
	assert_int_equal(txbuild_write(&tx, true, got, sizeof(got)), len);
	assert_memory_equal(got, want, len);
	id_free(id);
}

static void the_signature_hash_is_that_of_bip143(void **state)
{
	uint8_t raw[MEM], code[MEM], want[HASH_LEN];
	struct hash256 hash;
	struct txbuild tx;
	size_t len, code_len;

	len = unhex(bip143_unsigned, raw, sizeof(raw));
	assert_int_equal(txbuild_parse(raw, len, &tx), 0);
	code_len = unhex("76a9141d0f172a0ecb48aee1be1f2687d2963ae33f71a188ac", code, sizeof(code));
	txbuild_sighash(&tx, 1, code, code_len, 600000000, &hash);
	unhex("c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670", want,
	      sizeof(want));
	assert_memory_equal(hash.bytes, want, sizeof(want));
}

static void a_transaction_comes_back_as_parsed(void **state)
{
	static const char *const table[] = {bip143_unsigned, bip143_signed};

	for (size_t i = 0; i < 2; i++) {
		uint8_t raw[MEM], again[MEM], sha[HASH_LEN];
		struct hash256 txid;
		struct txbuild tx;
		size_t len = unhex(table[i], raw, sizeof(raw)), base;

		assert_int_equal(txbuild_parse(raw, len, &tx), 0);
		assert_int_equal(txbuild_write(&tx, true, again, sizeof(again)), len);
		assert_memory_equal(again, raw, len);
		assert_int_equal(txbuild_write(&tx, true, again, len - 1), 0);

		base = txbuild_write(&tx, false, again, sizeof(again));
		crypto_hash_sha256(sha, again, base);
		crypto_hash_sha256(sha, sha, sizeof(sha));
		txbuild_txid(&tx, &txid);
		assert_memory_equal(txid.bytes, sha, HASH_LEN);
		/* BIP141: a quarter of (three times the base size and the whole size). */
		assert_int_equal(txbuild_vsize(&tx), (3 * base + len + 3) / 4);
	}
}

static void what_is_cut_or_longer_is_no_transaction(void **state)
{
	uint8_t raw[MEM];
	struct txbuild tx;
	size_t len = unhex(bip143_signed, raw, sizeof(raw) - 1);

	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(txbuild_parse(raw, cut, &tx), -DNET_EFORMAT);
	raw[len] = 0;
	assert_int_equal(txbuild_parse(raw, len + 1, &tx), -DNET_EFORMAT);
	raw[5] = 9; /* witness and MWEB */
	assert_int_equal(txbuild_parse(raw, len, &tx), -EOPNOTSUPP);
	raw[5] = 2;
	assert_int_equal(txbuild_parse(raw, len, &tx), -DNET_EFORMAT);
}

static void payloads_up_to_the_limit_are_pushed_in_the_shortest_form(void **state)
{
	static const struct {
		size_t len, script_len;
		const char *head;
		size_t head_len;
	} table[] = {
		{1, 3, "\x6a\x01", 2},
		{75, 77, "\x6a\x4b", 2},
		{76, 79, "\x6a\x4c\x4c", 3},
		{TXBUILD_PAYLOAD_MAX, TXBUILD_SCRIPT_MAX, "\x6a\x4c\x50", 3},
	};
	uint8_t payload[TXBUILD_PAYLOAD_MAX];
	struct txbuild tx;

	memset(payload, 0xaa, sizeof(payload));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		txbuild_carrier(&tx, payload, table[i].len, (const uint8_t *)"\x51", 1, 5000);
		assert_int_equal(tx.outputs[0].script_len, table[i].script_len);
		assert_memory_equal(tx.outputs[0].script, table[i].head, table[i].head_len);
		assert_memory_equal(tx.outputs[0].script + table[i].head_len, payload,
				    table[i].len);
		assert_true(tx.outputs[0].value == 0);
		assert_true(tx.outputs[1].value == 5000);
		assert_true(txbuild_carries(&tx, &tx));
	}
}

/* One wallet input and, with change, a third output of 1000000. */
static void funded(struct txbuild *tx, bool with_change)
{
	static const struct outpoint wallet = {.txid = {{7}}, .vout = 3};

	txbuild_carrier(tx, (const uint8_t *)"DN\x01\x31", 5, (const uint8_t *)"\x51", 1, 5000);
	tx->inputs[tx->input_count++] = (struct txbuild_input){.prev = wallet};
	if (with_change) {
		tx->outputs[2] = tx->outputs[1];
		tx->outputs[2].value = 1000000;
		tx->output_count = 3;
	}
}

static void the_old_seal_goes_first_and_its_value_to_the_change(void **state)
{
	const struct outpoint seal = {.txid = {{9}}, .vout = 1};
	struct txbuild tx, carrier;

	funded(&carrier, false);
	funded(&tx, true);
	assert_int_equal(
		txbuild_splice_seal(&tx, &seal, 5000, TXBUILD_SEAL_INPUT_VSIZE, 1000, 3000), 0);
	assert_int_equal(tx.input_count, 2);
	assert_true(outpoint_equal(&tx.inputs[0].prev, &seal));
	assert_int_equal(tx.inputs[1].prev.vout, 3);
	assert_true(tx.outputs[2].value == 1000000 + 5000 - TXBUILD_SEAL_INPUT_VSIZE);
	assert_true(txbuild_carries(&tx, &carrier));

	/* Without change nothing is given away either: the new seal gets it. */
	funded(&tx, false);
	assert_int_equal(
		txbuild_splice_seal(&tx, &seal, 5000, TXBUILD_SEAL_INPUT_VSIZE, 1000, 3000), 0);
	assert_true(tx.outputs[1].value == 5000 + 5000 - TXBUILD_SEAL_INPUT_VSIZE);
	assert_false(txbuild_carries(&tx, &carrier));
}

static void a_splice_that_cannot_be_paid_is_refused(void **state)
{
	const struct outpoint seal = {.txid = {{9}}, .vout = 1};
	uint64_t fee = TXBUILD_SEAL_INPUT_VSIZE * 1000ULL;
	struct txbuild tx;

	funded(&tx, false); /* 5000 for the seal at rate 1000000: 68 sat a byte more than it has */
	assert_int_equal(txbuild_splice_seal(&tx, &seal, 3000 + fee - 5000,
					     TXBUILD_SEAL_INPUT_VSIZE, 1000000, 3000),
			 0);
	funded(&tx, false);
	assert_int_equal(txbuild_splice_seal(&tx, &seal, 2999 + fee - 5000,
					     TXBUILD_SEAL_INPUT_VSIZE, 1000000, 3000),
			 -ERANGE);
	assert_int_equal(tx.input_count, 1);
	tx.input_count = TXBUILD_INPUTS_MAX;
	assert_int_equal(
		txbuild_splice_seal(&tx, &seal, 5000, TXBUILD_SEAL_INPUT_VSIZE, 1000, 3000),
		-ENOSPC);
	tx.input_count = TXBUILD_INPUTS_MAX - 1;
	assert_int_equal(
		txbuild_splice_seal(&tx, &seal, 5000, TXBUILD_SEAL_INPUT_VSIZE, 1000, 3000), 0);
}

static void an_output_that_a_node_changed_is_seen(void **state)
{
	struct txbuild tx, carrier;

	funded(&carrier, false);
	funded(&tx, true);
	tx.outputs[0].script[5] ^= 1;
	assert_false(txbuild_carries(&tx, &carrier));
	funded(&tx, true);
	tx.outputs[1].value--;
	assert_false(txbuild_carries(&tx, &carrier));
	funded(&tx, true);
	tx.output_count = 1;
	assert_false(txbuild_carries(&tx, &carrier));
}

static void further_payloads_stand_behind_the_change(void **state)
{
	static const uint8_t bytes[TXBUILD_PAYLOAD_MAX] = {7};
	struct txbuild tx, carrier;
	const uint8_t *payload;
	size_t len;

	funded(&carrier, false);
	for (size_t i = 1; i < TXBUILD_PAYLOADS_MAX; i++)
		assert_true(txbuild_add_payload(&carrier, bytes, i % 2 ? 80 : 75));
	assert_false(txbuild_add_payload(&carrier, bytes, 1));
	assert_int_equal(carrier.output_count, TXBUILD_OUTPUTS_MAX - 1);
	assert_int_equal(txbuild_change(&carrier), 0);
	assert_true(txbuild_payload(&carrier, 2, &payload, &len));
	assert_int_equal(len, 80);
	assert_memory_equal(payload, bytes, len);
	assert_true(txbuild_payload(&carrier, 3, &payload, &len));
	assert_int_equal(len, 75);
	assert_false(txbuild_payload(&carrier, 1, &payload, &len));
	assert_false(txbuild_payload(&carrier, carrier.output_count, &payload, &len));
	assert_true(txbuild_carries(&carrier, &carrier));
	/* The wallet's change comes before them. */
	tx = carrier;
	memmove(&tx.outputs[3], &tx.outputs[2], (tx.output_count - 2) * sizeof(tx.outputs[0]));
	tx.output_count++;
	tx.outputs[2] = tx.outputs[1];
	assert_true(txbuild_carries(&tx, &carrier));
	assert_int_equal(txbuild_change(&tx), 2);
	tx.outputs[200].script[5] ^= 1;
	assert_false(txbuild_carries(&tx, &carrier));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_p2wpkh_input_is_signed_as_in_bip143),
		cmocka_unit_test(the_signature_hash_is_that_of_bip143),
		cmocka_unit_test(a_transaction_comes_back_as_parsed),
		cmocka_unit_test(what_is_cut_or_longer_is_no_transaction),
		cmocka_unit_test(payloads_up_to_the_limit_are_pushed_in_the_shortest_form),
		cmocka_unit_test(the_old_seal_goes_first_and_its_value_to_the_change),
		cmocka_unit_test(a_splice_that_cannot_be_paid_is_refused),
		cmocka_unit_test(an_output_that_a_node_changed_is_seen),
		cmocka_unit_test(further_payloads_stand_behind_the_change),
	};

	return cmocka_run_group_tests_name("core/txbuild", tests, NULL, NULL);
}
