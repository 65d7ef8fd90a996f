#include "fixture/test.h"

#include "cli/members.h"

#include <stdio.h>
#include <string.h>

#define KEY "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"

static enum members_reason read_one(const char *text, size_t len, struct record *ret_record,
				    uint32_t *ret_line)
{
	enum members_reason reason = MEMBERS_OK;
	struct members members;

	members_open(&members, text, len);
	assert_true(members_next(&members, ret_record, &reason));
	*ret_line = members.line;
	return reason;
}

static void lines_are_members_or_say_why_not(void **state)
{
	static const struct {
		const char *text;
		enum members_reason reason;
		uint32_t line;
	} table[] = {
		{"key\n" KEY, MEMBERS_OK, 2},
		{"\xef\xbb\xbfkey\r\n\r\n# x\r\n" KEY "\r\n", MEMBERS_OK, 4},
		{"\"name\",\"key\"\n\"a\", \"" KEY "\" ", MEMBERS_OK, 2},
		{"key,name\n" KEY ",", MEMBERS_OK, 2},
		{"key,name\n" KEY ",a,", MEMBERS_OK, 2},
		{"key,name\n" KEY ",a,b", MEMBERS_FIELDS, 2},
		{"key,name\n" KEY ",a,,", MEMBERS_FIELDS, 2},
		{"key,name\n,a", MEMBERS_KEY, 2},
		{"name,key\na", MEMBERS_KEY, 2},
		{"key\n05" KEY, MEMBERS_KEY, 2},
		{"key,name\n" KEY ",\"a", MEMBERS_QUOTE, 2},
		{"key,name\n" KEY ",a\"b", MEMBERS_QUOTE, 2},
		{"key,name\n" KEY ",-a", MEMBERS_NAME, 2},
		{"key,name\n" KEY ",abcdefghijklmnopqrstuvwxyz012345", MEMBERS_OK, 2},
		{"key,name\n" KEY ",abcdefghijklmnopqrstuvwxyz0123456", MEMBERS_NAME, 2},
		{"key,ipv4\n" KEY ",10.0.0.256", MEMBERS_IPV4, 2},
		{"key,ipv4\n" KEY ",fd00::1", MEMBERS_IPV4, 2},
		{"key,ipv6\n" KEY ",fd00::1", MEMBERS_OK, 2},
		{"key,ipv6\n" KEY ",fe80::1", MEMBERS_IPV6, 2},
		{"key,gateway\n" KEY ",no", MEMBERS_OK, 2},
		{"key,gateway\n" KEY ",Yes", MEMBERS_GATEWAY, 2},
		{"Key\n", MEMBERS_COLUMN, 1},
		{"key,\n", MEMBERS_COLUMN, 1},
		{"key,name,key\n", MEMBERS_TWICE, 1},
		{"name\n", MEMBERS_NO_KEY, 1},
	};
	struct record record;
	uint32_t line;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(read_one(table[i].text, strlen(table[i].text), &record, &line),
				 table[i].reason);
		assert_int_equal(line, table[i].line);
	}
}

static void a_member_is_a_record(void **state)
{
	static const char text[] = "gateway,ipv6,ipv4,name,key\nyes,fd00::2,10.1.2.3,alice," KEY;
	struct record record;
	uint32_t line;

	assert_int_equal(read_one(text, strlen(text), &record, &line), MEMBERS_OK);
	assert_int_equal(record.type, RECORD_NODE_PUT);
	assert_string_equal(record.node_put.name, "alice");
	assert_int_equal(record.node_put.key.bytes[1], 0x79);
	assert_int_equal(record.node_put.flags,
			 NODE_FLAG_GATEWAY | NODE_FLAG_IPV4 | NODE_FLAG_IPV6);
	assert_int_equal(record.node_put.ipv4.bytes[3], 3);
	assert_int_equal(record.node_put.ipv6.bytes[15], 2);
}

static void what_is_no_text_or_too_long_is_refused(void **state)
{
	static const char nul[] = "key\n\0" KEY;
	char text[MEMBERS_LINE_MAX + 8] = "key\n";
	struct record record;
	uint32_t line;

	assert_int_equal(read_one(nul, sizeof(nul) - 1, &record, &line), MEMBERS_NUL);
	memset(text + 4, 'x', MEMBERS_LINE_MAX + 1);
	assert_int_equal(read_one(text, 4 + MEMBERS_LINE_MAX, &record, &line), MEMBERS_KEY);
	assert_int_equal(read_one(text, 4 + MEMBERS_LINE_MAX + 1, &record, &line), MEMBERS_LONG);
}

static void behind_a_wrong_line_it_goes_on_and_behind_a_wrong_head_not(void **state)
{
	static const char text[] = "key\nzz\n" KEY "\n", head[] = "kex\n" KEY "\n";
	enum members_reason reason;
	struct members members;
	struct record record;

	members_open(&members, text, strlen(text));
	assert_true(members_next(&members, &record, &reason));
	assert_int_equal(reason, MEMBERS_KEY);
	assert_true(members_next(&members, &record, &reason));
	assert_int_equal(reason, MEMBERS_OK);
	assert_false(members_next(&members, &record, &reason));
	members_open(&members, head, strlen(head));
	assert_true(members_next(&members, &record, &reason));
	assert_int_equal(reason, MEMBERS_COLUMN);
	assert_false(members_next(&members, &record, &reason));
	members_open(&members, "", 0);
	assert_false(members_next(&members, &record, &reason));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_members_or_say_why_not),
		cmocka_unit_test(a_member_is_a_record),
		cmocka_unit_test(what_is_no_text_or_too_long_is_refused),
		cmocka_unit_test(behind_a_wrong_line_it_goes_on_and_behind_a_wrong_head_not),
	};

	return cmocka_run_group_tests_name("cli/members", tests, NULL, NULL);
}
