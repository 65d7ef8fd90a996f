#include "fixture/test.h"

#include "wire/bech32.h"
#include "wire/link.h"
#include "wire/request.h"

#include <stdio.h>
#include <string.h>

static struct link full(void)
{
	struct link link = {.dnet = {{1, 2, 3}}, .height = 123456, .helper_count = 2};

	strcpy(link.chain, "litecoin");
	strcpy(link.roster, "https://example.org/office.roster?x=1&y=%");
	link.helpers[0] = (struct link_helper){OBJECT_OVC, {{4}}, 99};
	link.helpers[1] = (struct link_helper){OBJECT_OVR, {{5}}, 0};
	return link;
}

static void a_link_says_again_what_was_written(void **state)
{
	struct link link = full(), back;
	char text[LINK_TEXT_MAX + 1];

	assert_true(link_format(&link, text));
	assert_non_null(
		strstr(text, "&roster=https://example.org/office.roster%3Fx%3D1%26y%3D%25"));
	assert_non_null(strstr(text, "?chain=litecoin&h=123456&ovc=ovc1"));
	assert_null(link_parse(text, &back));
	assert_memory_equal(&link, &back, sizeof(link));
}

static void an_id_alone_is_a_link_and_unknown_parameters_are_passed_over(void **state)
{
	char id[OBJECT_ID_TEXT_SIZE], text[256];
	const struct object_id dnet = {{1, 2, 3}};
	struct link link;

	object_id_format(OBJECT_DNET, &dnet, id);
	assert_null(link_parse(id, &link));
	assert_memory_equal(&link.dnet, &dnet, sizeof(dnet));
	snprintf(text, sizeof(text), "dnet:%s", id);
	assert_null(link_parse(text, &link));
	snprintf(text, sizeof(text), "dnet:%s?later=what+ever&h=7&more=", id);
	assert_null(link_parse(text, &link));
	assert_int_equal(link.unknown, 2);
	assert_string_equal(link.first_unknown, "later");
	assert_int_equal(link.height, 7);
}

static void what_is_malformed_is_said(void **state)
{
	static const char *const tails[] = {
		"?",
		"?h",
		"?h=",
		"?h=0",
		"?h=01",
		"?h=4294967296",
		"?h=1&h=1",
		"?h=1&",
		"?=1",
		"?chain=A",
		"?chain=a&chain=a",
		"?ovc=nobody",
		"?roster=/etc/x",
		"?roster=http://",
		"?roster=ftp://a/",
		"?roster=http://a/%4",
		"?roster=http://a/%zz",
		"?roster=http://a/%00",
		"?roster=http://a/<",
		"?H=1",
		"?h=1?",
		" ",
		"x",
		"?ovc=dnet1",
		"?h=%2031",
	};
	const struct object_id dnet = {{1}};
	char id[OBJECT_ID_TEXT_SIZE], text[LINK_TEXT_MAX + 64];
	struct link link;

	object_id_format(OBJECT_DNET, &dnet, id);
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		snprintf(text, sizeof(text), "dnet:%s%s", id, tails[i]);
		if (!link_parse(text, &link))
			fail_msg("taken: %s", text);
	}
	assert_non_null(link_parse("dnet:", &link));
	assert_non_null(link_parse("", &link));
}

static void limits_hold(void **state)
{
	struct link link = full(), back;
	char text[LINK_TEXT_MAX + 2], id[OBJECT_ID_TEXT_SIZE];
	size_t len;

	link.helper_count = LINK_HELPERS_MAX;
	for (size_t i = 0; i < LINK_HELPERS_MAX; i++)
		link.helpers[i] = (struct link_helper){OBJECT_OVC, {{(uint8_t)i}}, UINT32_MAX};
	assert_true(link_format(&link, text));
	object_id_format(OBJECT_OVC, &link.helpers[0].id, id);
	strcat(text, "&ovc=");
	strcat(text, id);
	assert_non_null(link_parse(text, &back));
	link.helper_count++;
	assert_false(link_format(&link, text));
	link.helper_count = 0;
	memset(link.roster + 8, 'a', LINK_ROSTER_MAX - 8);
	assert_true(link_format(&link, text));
	strcat(text, "a");
	assert_non_null(link_parse(text, &back));
	/* 2048 bytes in all, and one more */
	object_id_format(OBJECT_DNET, &link.dnet, id);
	len = (size_t)snprintf(text, sizeof(text), "dnet:%s?later=", id);
	memset(text + len, 'x', LINK_TEXT_MAX - len);
	text[LINK_TEXT_MAX] = '\0';
	assert_null(link_parse(text, &back));
	text[LINK_TEXT_MAX] = 'x';
	text[LINK_TEXT_MAX + 1] = '\0';
	assert_non_null(link_parse(text, &back));
}

static void a_request_says_again_what_was_written(void **state)
{
	for (size_t len = 0; len <= RECORD_NAME_MAX; len++) {
		struct request request = {.dnet = {{1}}, .key = {{3, 9}}, .date = 1700000000}, back;
		char text[REQUEST_TEXT_SIZE + 1];

		memset(request.name, 'n', len);
		memset(request.signature, 0x5a, sizeof(request.signature));
		assert_true(request_format_text(&request, text));
		assert_true(request_parse_text(text, &back));
		assert_memory_equal(&request, &back, sizeof(back));
		/* a letter more, less, or another one */
		text[strlen(text) - 1] = '\0';
		assert_false(request_parse_text(text, &back));
		strcat(text, "AA");
		assert_false(request_parse_text(text, &back));
	}
	struct request bad = {.key = {{2}}, .name = "Capital"};
	char text[REQUEST_TEXT_SIZE];
	assert_false(request_format_text(&bad, text));
	bad.name[0] = '\0';
	assert_true(request_format_text(&bad, text));
	bad.key.bytes[0] = 4;
	assert_false(request_format_text(&bad, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_says_again_what_was_written),
		cmocka_unit_test(an_id_alone_is_a_link_and_unknown_parameters_are_passed_over),
		cmocka_unit_test(what_is_malformed_is_said),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(a_request_says_again_what_was_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
