#include "fixture/test.h"

#include "core/id.h"
#include "core/spend.h"
#include "fixture/hex.h"
#include "wire/hash.h"

#include <string.h>

/* BIP143, "Native P2WPKH": the signed transaction, the second output that it spends */
static const char signed_tx[] =
	"01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00"
	"000000494830450221008b9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd"
	"30be022040529b194ba3f9281a99f2b1c0a19c0489bc22ede944ccf4ecbab4cc618ef3ed01eeffff"
	"ffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffff"
	"ffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac909351"
	"0d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac000247304402203609"
	"e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c45183315"
	"61406f90300e8f3358f51928d43c212a8caed02de67eebee0121025476c2e83188368da1ff3e292e"
	"7acafcdb3566bb0ad253f62fc70f07aeee635711000000";
#define PROGRAM "00141d0f172a0ecb48aee1be1f2687d2963ae33f71a1"
#define SIGHASH "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"
enum { VALUE = 600000000, RAW_MAX = 2048, OP_CHECKMULTISIG = 0xae };

static struct id *id;

static int make_id(void **state)
{
	static const uint8_t seed[ID_SEED_LEN] = {1};

	id = id_new(seed);
	return !id;
}

static int drop_id(void **state)
{
	id_free(id);
	return 0;
}

static struct span span_of(const void *data, size_t len)
{
	return (struct span){.data = data, .len = len};
}

static void the_example_of_bip_143_is_signed(void **state)
{
	uint8_t raw[RAW_MAX], program[64], code[64], want[HASH_LEN];
	size_t len = unhex(signed_tx, raw, sizeof(raw)), program_len;
	struct hash256 hash;
	struct span key_hash;
	struct tx_view tx;
	struct writer w;

	program_len = unhex(PROGRAM, program, sizeof(program));
	unhex(SIGHASH, want, sizeof(want));
	assert_int_equal(tx_parse(raw, len, &tx), TX_OK);
	assert_int_equal(script_classify(span_of(program, program_len), &key_hash), SCRIPT_P2WPKH);
	writer_init(&w, code, sizeof(code));
	script_write(&w, SCRIPT_P2PKH, key_hash.data);
	spend_sighash(&tx, 1, span_of(code, writer_len(&w)), VALUE, &hash);
	assert_memory_equal(hash.bytes, want, sizeof(want));
	assert_int_equal(spend_check(id, &tx, 1, span_of(program, program_len), VALUE),
			 SPEND_VALID);
	/* another amount, another input, another key's output, an input that is not there */
	assert_int_equal(spend_check(id, &tx, 1, span_of(program, program_len), VALUE + 1),
			 SPEND_INVALID);
	assert_int_equal(spend_check(id, &tx, 0, span_of(program, program_len), VALUE),
			 SPEND_INVALID);
	assert_int_equal(spend_check(id, &tx, 2, span_of(program, program_len), VALUE),
			 SPEND_INVALID);
	program[5] ^= 1;
	assert_int_equal(spend_check(id, &tx, 1, span_of(program, program_len), VALUE),
			 SPEND_INVALID);
}

static void no_changed_byte_leaves_it_signed(void **state)
{
	uint8_t raw[RAW_MAX], program[64];
	size_t len = unhex(signed_tx, raw, sizeof(raw)), program_len;
	struct tx_view tx;
	unsigned tried = 0;

	program_len = unhex(PROGRAM, program, sizeof(program));
	for (size_t bit = 0; bit < 8 * len; bit++) {
		struct tx_input input;
		struct tx_iter it;
		bool is_first_script;

		raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (tx_parse(raw, len, &tx) == TX_OK) {
			it = tx_inputs(&tx);
			tx_next_input(&it, &input);
			/* the other input's own signature is not what this one signs */
			is_first_script = raw + bit / 8 >= input.script.data &&
					  raw + bit / 8 < input.script.data + input.script.len;
			if (!is_first_script) {
				tried++;
				assert_int_not_equal(spend_check(id, &tx, 1,
								 span_of(program, program_len),
								 VALUE),
						     SPEND_VALID);
			}
		}
		raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(tried > 1000);
}

struct multisig {
	struct identity keys[3];
	uint8_t script[128], program[34];
	size_t script_len;
};

static void make_multisig(struct multisig *m, unsigned needed)
{
	struct secret secret = {{0}};
	struct hash256 hash;
	struct writer w;

	writer_init(&w, m->script, sizeof(m->script));
	writer_u8(&w, (uint8_t)(OP_1 + needed - 1));
	for (size_t i = 0; i < 3; i++) {
		secret.bytes[31] = (uint8_t)(i + 1);
		assert_int_equal(id_from_secret(id, &secret, &m->keys[i]), 0);
		script_write_push(&w, m->keys[i].key.bytes, PUBKEY_LEN);
	}
	writer_u8(&w, OP_1 + 2);
	writer_u8(&w, OP_CHECKMULTISIG);
	m->script_len = writer_len(&w);
	hash_sha256(m->script, m->script_len, &hash);
	writer_init(&w, m->program, sizeof(m->program));
	script_write(&w, SCRIPT_P2WSH, hash.bytes);
	assert_false(w.failed);
}

/* One input, one output; signers: numbers of keys, '-' a wrong signature, 'x' another sighash. */
static size_t make_spend(const struct multisig *m, const char *signers, uint8_t *raw)
{
	uint8_t der[ECDSA_DER_MAX + 1];
	struct hash256 hash = {{0}};
	struct tx_view tx;
	struct writer w;
	size_t len, unsigned_len;

	writer_init(&w, raw, RAW_MAX);
	writer_u32(&w, 2);
	writer_u8(&w, 1);
	writer_zero(&w, 36);
	writer_u8(&w, 0);
	writer_u32(&w, 0xfffffffd);
	writer_u8(&w, 1);
	writer_u64(&w, 1000);
	writer_u8(&w, sizeof(m->program));
	writer_copy(&w, m->program, sizeof(m->program));
	writer_u32(&w, 0);
	unsigned_len = writer_len(&w);
	/* a null outpoint is a coinbase's */
	raw[5] = 7;
	assert_int_equal(tx_parse(raw, unsigned_len, &tx), TX_OK);
	spend_sighash(&tx, 0, span_of(m->script, m->script_len), VALUE, &hash);
	memmove(raw + 6, raw + 4, unsigned_len - 8);
	raw[4] = 0;
	raw[5] = TX_FLAG_WITNESS;
	writer_init(&w, raw + unsigned_len - 2, RAW_MAX - unsigned_len);
	writer_compact(&w, strlen(signers) + 2);
	writer_u8(&w, 0);
	for (const char *s = signers; *s; s++) {
		const struct identity *key = &m->keys[*s >= '0' && *s <= '2' ? *s - '0' : 0];

		assert_true(id_sign_ecdsa(id, &key->secret, hash.bytes, der, &len));
		if (*s == '-')
			der[len - 3] ^= 1;
		der[len] = *s == 'x' ? 3 : 1;
		writer_compact(&w, len + 1);
		writer_copy(&w, der, len + 1);
	}
	writer_compact(&w, m->script_len);
	writer_copy(&w, m->script, m->script_len);
	writer_u32(&w, 0);
	assert_false(w.failed);
	return unsigned_len - 2 + writer_len(&w);
}

static void a_multisig_needs_its_signatures_in_order(void **state)
{
	static const struct {
		const char *signers;
		enum spend_verdict want;
	} table[] = {
		{"01", SPEND_VALID},	{"02", SPEND_VALID},   {"12", SPEND_VALID},
		{"10", SPEND_INVALID},	{"00", SPEND_INVALID}, {"0", SPEND_INVALID},
		{"012", SPEND_INVALID}, {"0-", SPEND_INVALID}, {"x1", SPEND_UNKNOWN},
		{"", SPEND_INVALID},
	};
	uint8_t raw[RAW_MAX];
	struct multisig m;
	struct tx_view tx;

	make_multisig(&m, 2);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t len = make_spend(&m, table[i].signers, raw);

		assert_int_equal(tx_parse(raw, len, &tx), TX_OK);
		if (spend_check(id, &tx, 0, span_of(m.program, sizeof(m.program)), VALUE) !=
		    table[i].want)
			fail_msg("signers %s", table[i].signers);
		assert_int_not_equal(
			spend_check(id, &tx, 0, span_of(m.program, sizeof(m.program)), VALUE - 1),
			SPEND_VALID);
	}
}

static void other_scripts_are_not_judged(void **state)
{
	static const uint8_t anyone[] = {OP_1}, taproot[34] = {OP_1, 32};
	uint8_t raw[RAW_MAX];
	size_t len = unhex(signed_tx, raw, sizeof(raw));
	struct tx_view tx;

	assert_int_equal(tx_parse(raw, len, &tx), TX_OK);
	assert_int_equal(spend_check(id, &tx, 1, span_of(anyone, sizeof(anyone)), VALUE),
			 SPEND_UNKNOWN);
	assert_int_equal(spend_check(id, &tx, 1, span_of(taproot, sizeof(taproot)), VALUE),
			 SPEND_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_bip_143_is_signed),
		cmocka_unit_test(no_changed_byte_leaves_it_signed),
		cmocka_unit_test(a_multisig_needs_its_signatures_in_order),
		cmocka_unit_test(other_scripts_are_not_judged),
	};

	return cmocka_run_group_tests(tests, make_id, drop_id);
}
