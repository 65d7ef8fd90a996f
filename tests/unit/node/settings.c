#include "fixture/test.h"

#include "node/local.h"
#include "node/settings.h"
#include "wire/bech32.h"

#include <string.h>

static struct dnetd_config config;
static char error[CONF_ERROR_MAX];

static int defaults(void **state)
{
	(void)state;
	memset(&config, 0, sizeof(config));
	return conf_set_defaults(&dnetd_program, &config);
}

static int release(void **state)
{
	(void)state;
	conf_free(&dnetd_program, &config);
	return 0;
}

static bool good_with(const char *name, const char *value)
{
	return conf_set(&dnetd_program, name, value, &config, error) == 0 &&
	       settings_check(&config, error);
}

static void the_defaults_are_good(void **state)
{
	(void)state;
	assert_true(settings_check(&config, error));
	assert_int_equal(config.mtu, 1400);
	assert_int_equal(settings_offload(&config), TUN_OFFLOAD_USO);
}

static void an_unknown_backend_is_named_with_those_there_are(void **state)
{
	(void)state;
	assert_false(good_with("backend", "wireguard2"));
	assert_non_null(strstr(error, "'wireguard2'"));
	assert_non_null(strstr(error, "native"));
}

static void exec_needs_a_program_by_its_path(void **state)
{
	(void)state;
	assert_false(good_with("backend", "exec"));
	assert_false(good_with("exec-program", "program"));
	assert_true(good_with("exec-program", "/usr/bin/program with arguments"));
}

static void a_dnet_may_have_its_own_backend(void **state)
{
	struct object_id id = {{7}}, other = {{8}};
	const struct adapter_ops *backends[SETTINGS_BACKENDS_MAX];
	char line[OBJECT_ID_TEXT_SIZE + 16];
	(void)state;
	object_id_format(OBJECT_DNET, &id, line);
	strcat(line, " native");
	assert_true(good_with("dnet-backend", line));
	assert_int_equal(settings_backends(&config, &id, backends), 1);
	assert_ptr_equal(backends[0], &adapter_native);
	assert_int_equal(settings_backends(&config, &other, backends), 1);
	assert_false(good_with("dnet-backend", "dnet1nonsense native"));
	assert_non_null(strstr(error, "DNET-ID NAME"));
}

static void ciphers_are_checked(void **state)
{
	(void)state;
	assert_true(good_with("cipher", "auto"));
	assert_int_equal(settings_ciphers(&config), aead_supported());
	assert_true(good_with("cipher", "chacha20-poly1305"));
	assert_int_equal(settings_ciphers(&config), AEAD_CHACHA20_POLY1305);
	assert_false(good_with("cipher", "aes-256-gcm")); /* not everybody has it */
	assert_non_null(strstr(error, "chacha20-poly1305"));
	assert_true(good_with("cipher", "auto"));
	assert_true(good_with("cipher-library", "auto"));
	assert_int_equal(settings_aead(&config), AEAD_PROVIDERS);
	for (int i = 0; i < AEAD_PROVIDERS; i++) {
		assert_true(
			good_with("cipher-library", aead_provider_name((enum aead_provider_id)i)));
		assert_int_equal(settings_aead(&config), i);
	}
	assert_false(good_with("cipher-library", "libtomcrypt"));
}

static void words_and_prefixes_are_checked(void **state)
{
	(void)state;
	assert_false(good_with("priority", "low"));
	assert_true(good_with("priority", "realtime"));
	assert_int_equal(settings_priority(&config), PRIORITY_REALTIME);
	assert_false(good_with("tun-offload", "all"));
	assert_true(good_with("tun-offload", "checksum"));
	assert_false(good_with("interface-prefix", "dnet0"));
	assert_false(good_with("interface-prefix", "d net"));
	assert_false(good_with("interface-prefix", "../x"));
	assert_false(good_with("interface-prefix", "elevenchars"));
	assert_true(good_with("interface-prefix", "tencharsxx"));
}

static void numbers_have_their_bounds(void **state)
{
	(void)state;
	assert_true(good_with("mtu", "1280"));
	assert_false(good_with("mtu", "1279"));
	assert_true(good_with("mtu", "65535"));
	assert_false(good_with("mtu", "65536"));
	assert_false(good_with("txqueuelen", "0"));
	assert_true(good_with("table-base", "1000"));
	assert_false(good_with("table-base", "999"));
	assert_true(good_with("table-base", "2000000000"));
	assert_false(good_with("table-base", "2000000001"));
	assert_false(good_with("port", "65536"));
}

static void addresses_nobody_else_can_use_do_not_count(void **state)
{
	static const struct {
		const char *text;
		bool usable;
	} table[] = {
		{"198.51.100.1", true}, {"10.0.0.1", true},   {"127.0.0.1", false},
		{"169.254.1.1", false}, {"224.0.0.1", false}, {"0.0.0.0", false},
		{"2001:db8::1", true},	{"fd00::1", true},    {"fe80::1", false},
		{"::1", false},		{"ff02::1", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct address a;
		assert_true(address_parse(table[i].text, &a));
		assert_int_equal(local_address_usable(&a), table[i].usable);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_defaults_are_good, defaults, release),
		cmocka_unit_test_setup_teardown(an_unknown_backend_is_named_with_those_there_are,
						defaults, release),
		cmocka_unit_test_setup_teardown(exec_needs_a_program_by_its_path, defaults,
						release),
		cmocka_unit_test_setup_teardown(a_dnet_may_have_its_own_backend, defaults, release),
		cmocka_unit_test_setup_teardown(ciphers_are_checked, defaults, release),
		cmocka_unit_test_setup_teardown(words_and_prefixes_are_checked, defaults, release),
		cmocka_unit_test_setup_teardown(numbers_have_their_bounds, defaults, release),
		cmocka_unit_test(addresses_nobody_else_can_use_do_not_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
