#include "fixture/test.h"

#include "chainwatch/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_list_keeps_its_order_and_its_parts(void **state)
{
	struct source_list list = {.count = 0};
	char error[SOURCE_ERROR_MAX] = "";

	assert_true(source_list_add(
		&list, " rpc://127.0.0.1:9332 ,RPC:[::1]:1/wallet/x , rpcs://host:2?cookie=/a%2cb",
		error));
	assert_true(source_list_add(&list, "rpc://me:p%40ss:w@host:2/", error));
	assert_string_equal(error, "");
	assert_int_equal(list.count, 4);
	assert_string_equal(list.urls[0].place, "127.0.0.1:9332");
	assert_null(list.urls[0].user);
	assert_string_equal(list.urls[1].place, "[::1]:1/wallet/x");
	assert_string_equal(list.urls[1].scheme->name, "rpc");
	assert_string_equal(list.urls[2].scheme->name, "rpcs");
	assert_string_equal(source_url_option(&list.urls[2], "cookie"), "/a,b");
	assert_null(source_url_option(&list.urls[2], "cooki"));
	assert_string_equal(list.urls[3].user, "me");
	assert_string_equal(list.urls[3].password, "p@ss:w");
	assert_string_equal(list.urls[3].place, "host:2/");
	assert_string_equal(list.urls[3].shown, "rpc://host:2/");
	source_list_done(&list);
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "empty place"},
		{"rpc://a:1,", "empty place"},
		{",rpc://a:1", "empty place"},
		{"rpc", "no scheme"},
		{"127.0.0.1:9332", "no scheme"},
		{"http://127.0.0.1:9332", "no scheme"},
		{"rpc:", "does not look like"},
		{"rpc://", "does not look like"},
		{"rpc://?cookie=/a", "does not look like"},
		{"rpc://a", "does not look like rpc://[USER:PASSWORD@]HOST:PORT"},
		{"rpc://a?cookie=/a", "does not look like"},
		{"rpc://a/", "does not look like"},
		{"rpc://a:", "does not look like"},
		{"rpc://a:0", "does not look like"},
		{"rpc://a:65536", "does not look like"},
		{"rpc://a:1x", "does not look like"},
		{"rpc://:1", "does not look like"},
		{"rpc://a b:1", "does not look like"},
		{"rpc://[::1:1", "does not look like"},
		{"rpc://[::1]", "does not look like"},
		{"rpc://::1", "does not look like"},
		{"rpcs://1.2.3.4", "does not look like"},
		{"rpc://a:1?cookie", "no option 'cookie'"},
		{"rpc://a:1?cookie=", "has no value"},
		{"rpc://a:1?cookie=%", "has no value"},
		{"rpc://a:1?cookie=%0", "has no value"},
		{"rpc://a:1?cookie=/%00", "has no value"},
		{"rpc://a:1?cooki=/a", "no option 'cooki'"},
		{"rpc://a:1?cookie=/a&&", "no option ''"},
		{"rpc://a:1?cookie=/a&cookie=/a&cookie=/a&cookie=/a&cookie=/a", "more than 4"},
		{"rpc://u:%zz@a:1", "USER:PASSWORD is malformed"},
		{"rpc://:p@a:1", "USER:PASSWORD is malformed"},
		{"rpc://a:1,rpc://a:1,rpc://a:1,rpc://a:1,rpc://a:1,rpc://a:1,rpc://a:1,rpc://"
		 "a:1,rpc://a:1",
		 "more than 8"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct source_list list = {.count = 0};
		char error[SOURCE_ERROR_MAX] = "";

		if (source_list_add(&list, cases[i].text, error) || !strstr(error, cases[i].says))
			fail_msg("\"%s\": \"%s\" has no \"%s\"", cases[i].text, error,
				 cases[i].says);
		assert_null(strstr(error, "secret"));
		source_list_done(&list);
	}
}

static void a_password_is_not_shown(void **state)
{
	static const char *const bad[] = {"rpc://u:secret%@a:1", "rpc://u:secret@a:1?x=1",
					  "rpc://u:secret@"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct source_list list = {.count = 0};
		char error[SOURCE_ERROR_MAX] = "";

		assert_false(source_list_add(&list, bad[i], error));
		assert_null(strstr(error, "secret"));
		source_list_done(&list);
	}
}

static void light_is_a_word(void **state)
{
	struct source_list list = {.count = 0};
	char error[SOURCE_ERROR_MAX] = "";

	assert_true(source_list_add(&list, " light ", error));
	assert_string_equal(list.urls[0].scheme->name, "light");
	assert_string_equal(list.urls[0].shown, "light");
	assert_false(source_list_add(&list, "rpc", error));
	source_list_done(&list);
}

static void an_http_url_is_an_rpc(void **state)
{
	struct source_list list = {.count = 0};
	char error[SOURCE_ERROR_MAX] = "";

	assert_true(source_list_add_http(&list, "http://127.0.0.1:1/", error));
	assert_true(source_list_add_http(&list, "https://h/wallet/a", error));
	assert_string_equal(list.urls[0].scheme->name, "rpc");
	assert_string_equal(list.urls[0].place, "127.0.0.1:1/");
	assert_string_equal(list.urls[1].scheme->name, "rpcs");
	assert_string_equal(list.urls[1].shown, "https://h/wallet/a");
	assert_false(source_list_add_http(&list, "ftp://h/", error));
	assert_non_null(strstr(error, "http://"));
	assert_false(source_list_add_http(&list, "http://a:secret@h/", error));
	assert_null(strstr(error, "secret"));
	source_list_done(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_keeps_its_order_and_its_parts),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(a_password_is_not_shown),
		cmocka_unit_test(light_is_a_word),
		cmocka_unit_test(an_http_url_is_an_rpc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
