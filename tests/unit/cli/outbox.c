#include "fixture/test.h"

#include "cli/outbox.h"

#include <stdlib.h>
#include <string.h>

static struct outbox_item item(uint8_t n)
{
	static char raw[] = "0200";
	struct outbox_item made = {.kind = OBJECT_DNET,
				   .id = {{n}},
				   .raw = raw,
				   .txid = {{n}},
				   .fee = 330,
				   .value = 10000,
				   .sequence = n,
				   .height = UINT32_MAX,
				   .first = 1,
				   .count = 2,
				   .of = 3};

	strcpy(made.chain, "litecoin");
	strcpy(made.what, "add \"x\" to office");
	return made;
}

/* Two items and a mark for the first; the caller's. */
static char *journal(void)
{
	struct outbox_item one = item(1), two = item(2);
	char *a = outbox_format(&one), *b = outbox_format(&two), *text = calloc(1, 4096);

	assert_true(a && b && text);
	strcat(text, a);
	strcat(text, b);
	strcat(text, "{\"mark\":\"00000000000000000000000000000000000000000000000000000000000000"
		     "01\",\"state\":\"gone\",\"why\":\"confirmed\"}\n");
	free(a);
	free(b);
	return text;
}

static void what_is_written_is_read(void **state)
{
	struct hash256 second = {{2}}, none = {{3}};
	char *text = journal();
	struct outbox outbox;
	size_t used;

	assert_int_equal(outbox_parse(text, strlen(text), &outbox, &used), 0);
	assert_int_equal(used, strlen(text));
	assert_int_equal(outbox.count, 2);
	assert_int_equal(outbox.items[0].state, OUTBOX_GONE);
	assert_string_equal(outbox.items[0].why, "confirmed");
	assert_int_equal(outbox.items[1].state, OUTBOX_SIGNED);
	assert_string_equal(outbox.items[1].what, "add \"x\" to office");
	assert_int_equal(outbox.items[1].height, UINT32_MAX);
	assert_ptr_equal(outbox_find(&outbox, &second), &outbox.items[1]);
	assert_null(outbox_find(&outbox, &none));
	outbox_done(&outbox);
	free(text);
}

static void at_every_byte_a_cut_leaves_the_lines_before(void **state)
{
	char *text = journal();
	size_t len = strlen(text), lines = 0, whole = 0;

	for (size_t cut = 0; cut <= len; cut++) {
		struct outbox outbox;
		size_t used;

		if (cut && text[cut - 1] == '\n') {
			lines++;
			whole = cut;
		}
		assert_int_equal(outbox_parse(text, cut, &outbox, &used), 0);
		assert_int_equal(used, whole);
		assert_int_equal(outbox.count, lines < 2 ? lines : 2);
		outbox_done(&outbox);
	}
	free(text);
}

static void a_line_of_others_ends_it(void **state)
{
	static const char *const lines[] = {
		"{}\n",
		"[]\n",
		"\n",
		"{\"tx\":{}}\n",
		"{\"mark\":\"01\",\"state\":\"sent\",\"why\":\"\"}\n",
		/* of what is not there */
		"{\"mark\":\"0000000000000000000000000000000000000000000000000000000000000009\","
		"\"state\":\"sent\",\"why\":\"\"}\n",
		"{\"mark\":\"0000000000000000000000000000000000000000000000000000000000000002\","
		"\"state\":\"lost\",\"why\":\"\"}\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char *text = journal();
		size_t len = strlen(text), used;
		struct outbox outbox;

		strcat(text, lines[i]);
		assert_int_equal(outbox_parse(text, strlen(text), &outbox, &used), 0);
		assert_int_equal(used, len);
		outbox_done(&outbox);
		free(text);
	}
}

static void ranges_of_a_batch_are_inside_it(void **state)
{
	struct outbox_item made = item(1);
	struct outbox outbox;
	size_t used;
	char *text;

	made.count = 3;
	text = outbox_format(&made);
	assert_int_equal(outbox_parse(text, strlen(text), &outbox, &used), 0);
	assert_int_equal(outbox.count, 0);
	outbox_done(&outbox);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(at_every_byte_a_cut_leaves_the_lines_before),
		cmocka_unit_test(a_line_of_others_ends_it),
		cmocka_unit_test(ranges_of_a_batch_are_inside_it),
	};

	return cmocka_run_group_tests_name("cli/outbox", tests, NULL, NULL);
}
