#include "fixture/test.h"

#include "core/multisig.h"
#include "core/psbtsign.h"
#include "wire/hex.h"

#include <string.h>

/* BIP67's third vector: the keys as given, sorted, and the script of 2 of 2. */
static const char *const given[] = {
	"030000000000000000000000000000000000004141414141414141414141414141",
	"020000000000000000000000000000000000004141414141414141414141414141",
	"020000000000000000000000000000000000004141414141414141414141414140",
	"030000000000000000000000000000000000004141414141414141414141414140",
};
static const char sorted_script[] =
	"52210200000000000000000000000000000000000041414141414141414141414141402102000000"
	"00000000000000000000000000000041414141414141414141414141412103000000000000000000"
	"00000000000000000041414141414141414141414141402103000000000000000000000000000000"
	"000000414141414141414141414141414154ae";

static struct multisig four(unsigned need)
{
	struct multisig multisig = {.need = need, .count = 4};

	for (size_t i = 0; i < 4; i++)
		assert_true(hex_parse(given[i], multisig.keys[i].bytes, PUBKEY_LEN));
	return multisig;
}

static void keys_are_sorted_as_bip67_does(void **state)
{
	struct multisig multisig = four(2), back;
	uint8_t script[MULTISIG_SCRIPT_MAX];
	char text[2 * MULTISIG_SCRIPT_MAX + 1];
	size_t len = multisig_write(&multisig, script);

	hex_format(script, len, text);
	assert_string_equal(text, sorted_script);
	assert_true(multisig_parse(script, len, &back));
	assert_int_equal(back.need, 2);
	assert_int_equal(back.count, 4);
	assert_true(multisig_has(&back, &multisig.keys[3]));
	multisig.keys[3].bytes[32] ^= 0x10;
	assert_false(multisig_has(&back, &multisig.keys[3]));
	for (size_t i = 0; i < len; i++) {
		assert_false(multisig_parse(script, i, &back));
		if (!i || i % 34 == 1 || i > len - 3) {
			script[i] ^= 0x08;
			assert_false(multisig_parse(script, len, &back));
			script[i] ^= 0x08;
		}
	}
}

static void what_is_no_multisig_is_not_written(void **state)
{
	uint8_t script[MULTISIG_SCRIPT_MAX];
	struct multisig multisig = four(4);

	assert_true(multisig_write(&multisig, script));
	multisig.need = 5;
	assert_false(multisig_write(&multisig, script));
	multisig.need = 0;
	assert_false(multisig_write(&multisig, script));
	multisig = four(1);
	multisig.keys[0] = multisig.keys[1];
	assert_false(multisig_write(&multisig, script));
	multisig.count = 0;
	assert_false(multisig_write(&multisig, script));
	memset(&multisig, 2, sizeof(multisig));
	multisig.need = 15;
	for (multisig.count = 0; multisig.count < MULTISIG_KEYS_MAX; multisig.count++)
		multisig.keys[multisig.count].bytes[5] = (uint8_t)multisig.count;
	assert_int_equal(multisig_write(&multisig, script), MULTISIG_SCRIPT_MAX);
	multisig.count++;
	assert_false(multisig_write(&multisig, script));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_sorted_as_bip67_does),
		cmocka_unit_test(what_is_no_multisig_is_not_written),
	};

	return cmocka_run_group_tests_name("core/multisig", tests, NULL, NULL);
}
