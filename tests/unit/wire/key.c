#include "fixture/test.h"

#include "wire/key.h"

#include <stdbool.h>
#include <string.h>

static void keys_and_ids_differ_by_any_byte(void **state)
{
	struct node_key a = {{2}}, b = a;
	struct object_id c = {{0}}, d = c;

	for (size_t i = 0; i < PUBKEY_LEN; i++) {
		assert_true(node_key_equal(&a, &b));
		assert_int_equal(node_key_compare(&a, &b), 0);
		b.bytes[i]++;
		assert_false(node_key_equal(&a, &b));
		assert_true(node_key_compare(&a, &b) < 0 && node_key_compare(&b, &a) > 0);
		b.bytes[i]--;
	}
	for (size_t i = 0; i < OBJECT_ID_LEN; i++) {
		assert_true(object_id_equal(&c, &d));
		d.bytes[i] ^= 0x80;
		assert_false(object_id_equal(&c, &d));
		d.bytes[i] ^= 0x80;
	}
}

static void outpoints_differ_by_txid_and_by_index(void **state)
{
	struct outpoint a = {{{1}}, 1}, b = a;

	assert_true(outpoint_equal(&a, &b));
	b.vout = 2;
	assert_false(outpoint_equal(&a, &b));
	b = a;
	b.txid.bytes[HASH_LEN - 1] = 1;
	assert_false(outpoint_equal(&a, &b));
}

static void a_wiped_secret_is_zero_and_equals_no_other(void **state)
{
	struct secret a, b;

	memset(&a, 0x55, sizeof(a));
	b = a;
	assert_true(secret_bytes_equal(&a, &b, sizeof(a)));
	b.bytes[SECRET_LEN - 1] ^= 1;
	assert_false(secret_bytes_equal(&a, &b, sizeof(a)));
	secret_wipe(&a, sizeof(a));
	for (size_t i = 0; i < SECRET_LEN; i++)
		assert_int_equal(a.bytes[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_and_ids_differ_by_any_byte),
		cmocka_unit_test(outpoints_differ_by_txid_and_by_index),
		cmocka_unit_test(a_wiped_secret_is_zero_and_equals_no_other),
	};

	return cmocka_run_group_tests_name("wire/key", tests, NULL, NULL);
}
