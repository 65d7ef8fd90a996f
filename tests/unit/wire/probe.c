#include "fixture/test.h"

#include "wire/hex.h"
#include "wire/probe.h"
#include "wire/stun.h"

#include <string.h>

/* Of Curve25519: any 32 bytes are a secret. */
static const uint8_t alice_secret[PROBE_KEY_LEN] = {1, 2, 3}, bob_secret[PROBE_KEY_LEN] = {4, 5, 6},
		     eve_secret[PROBE_KEY_LEN] = {7, 8, 9};
static const uint8_t nonce[PROBE_NONCE_LEN] = {0xa0, 0xa1, 0xa2};

static struct probe_keys alice, bob, eve; /* alice to bob, bob to alice, eve to bob */

static void public_of(const uint8_t *secret, uint8_t ret[PROBE_KEY_LEN])
{
	static const uint8_t base[PROBE_KEY_LEN] = {9};
	struct probe_keys keys;

	assert_true(probe_keys_make(&keys, secret, base));
	memcpy(ret, keys.own, PROBE_KEY_LEN);
}

static int make_keys(void **state)
{
	uint8_t a[PROBE_KEY_LEN], b[PROBE_KEY_LEN];

	public_of(alice_secret, a);
	public_of(bob_secret, b);
	assert_true(probe_keys_make(&alice, alice_secret, b));
	assert_true(probe_keys_make(&bob, bob_secret, a));
	assert_true(probe_keys_make(&eve, eve_secret, b));
	return 0;
}

static void write_one(const struct probe_keys *keys, enum probe_kind kind, uint8_t mem[PROBE_LEN])
{
	struct writer w;

	writer_init(&w, mem, PROBE_LEN);
	probe_write(&w, keys, kind, nonce);
	assert_false(w.failed);
	assert_int_equal(writer_len(&w), PROBE_LEN);
}

static void what_one_writes_the_other_verifies(void **state)
{
	static const enum probe_kind kinds[] = {PROBE_QUESTION, PROBE_ANSWER};
	uint8_t mem[PROBE_LEN];
	struct probe p;

	for (size_t i = 0; i < 2; i++) {
		write_one(&alice, kinds[i], mem);
		assert_true(probe_parse(mem, sizeof(mem), &p));
		assert_int_equal(p.kind, kinds[i]);
		assert_memory_equal(p.nonce, nonce, sizeof(nonce));
		assert_memory_equal(p.label, bob.label_in, PROBE_LABEL_LEN);
		assert_memory_equal(p.label, alice.label_out, PROBE_LABEL_LEN);
		assert_true(probe_verify(&bob, mem));
		/* Thrown back it is nobody's: each direction has a name and a mac of its own. */
		assert_false(probe_verify(&alice, mem));
	}
}

/* Computed from PROTOCOL 9.8 alone, by another implementation of X25519 and HMAC. */
static void the_bytes_are_those_of_the_document(void **state)
{
	static const char text[] = "646e7770010000000c7796242e5bf3a3a0a1a20000000000"
				   "0000000000000000fed4d096ba8570a286bf04fbc93c5af9";
	uint8_t mem[PROBE_LEN], want[PROBE_LEN];

	write_one(&alice, PROBE_QUESTION, mem);
	assert_true(hex_parse(text, want, sizeof(want)));
	assert_memory_equal(mem, want, sizeof(want));
}

static void any_changed_bit_is_found(void **state)
{
	uint8_t mem[PROBE_LEN];
	struct probe p;

	for (size_t bit = 0; bit < 8 * PROBE_LEN; bit++) {
		write_one(&alice, PROBE_QUESTION, mem);
		mem[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(probe_parse(mem, sizeof(mem), &p) && probe_verify(&bob, mem));
	}
}

static void other_lengths_and_other_keys_are_refused(void **state)
{
	uint8_t mem[PROBE_LEN + 1] = {0};
	struct probe p;

	write_one(&alice, PROBE_QUESTION, mem);
	for (size_t len = 0; len <= sizeof(mem); len++)
		assert_int_equal(probe_parse(mem, len, &p), len == PROBE_LEN);
	write_one(&eve, PROBE_QUESTION, mem);
	assert_false(probe_verify(&bob, mem));
}

/* WireGuard reads the first four bytes as a little-endian number from 1 to 4, STUN wants two zero
 * bits. */
static void neither_wireguard_nor_stun_would_take_it(void **state)
{
	uint8_t mem[PROBE_LEN];

	write_one(&alice, PROBE_QUESTION, mem);
	assert_true(load_u32(mem) > 4);
	assert_false(stun_is(mem, sizeof(mem)));
	assert_true(mem[0] & 0xc0);
}

static void keys_of_a_small_order_are_refused(void **state)
{
	static const uint8_t zero[PROBE_KEY_LEN], one[PROBE_KEY_LEN] = {1};
	struct probe_keys keys;

	assert_false(probe_keys_make(&keys, alice_secret, zero));
	assert_false(probe_keys_make(&keys, alice_secret, one));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_one_writes_the_other_verifies),
		cmocka_unit_test(the_bytes_are_those_of_the_document),
		cmocka_unit_test(any_changed_bit_is_found),
		cmocka_unit_test(other_lengths_and_other_keys_are_refused),
		cmocka_unit_test(neither_wireguard_nor_stun_would_take_it),
		cmocka_unit_test(keys_of_a_small_order_are_refused),
	};

	return cmocka_run_group_tests(tests, make_keys, NULL);
}
