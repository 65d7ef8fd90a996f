#include "fixture/test.h"

#include "fixture/vectors.h"
#include "wire/describe.h"
#include "wire/hex.h"

#include <stdbool.h>

/* Payloads of the vectors, in order; each record in one line that begins with its type. */
static void every_record_of_the_vectors_has_one_line(void **state)
{
	static const char *const wanted[] = {
		"DNET_CREATE o IPv4 10.1.0.0/16 admin key "
		"6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283",
		"NODE_PUT alice 02000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f "
		"IPv4 10.1.0.2 gateway relay expires long",
		"LINK ovc1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnh2hf3w priority 1 weight 100",
		"ENDPOINT_PUT quic [fd11:2233:4455::7]:443",
		"ENDPOINT_PUT tcp a:1",
		"GRANT dnet1qqqsyqcyq5rqwzqfpg9scrgwpugpzysng3kup6 until height 1 2 kbit/s "
		"4294967295 MiB",
		"TRANSFER",
		"CLOSE",
	};
	FILE *f = vectors_open("records.txt");
	char line[2048], text[RECORD_TEXT_SIZE];
	struct payload payload;
	struct payload_item item;
	uint8_t bytes[256];
	unsigned checked = 0, seen = 0;
	size_t len;

	while (vectors_line(f, line, sizeof(line))) {
		if (strncmp(line, "payload ", 8))
			continue;
		assert_true(hex_parse_any(line + 8, bytes, sizeof(bytes), &len));
		payload_open(&payload, bytes, len);
		while (payload_next(&payload, &item)) {
			const char *name = record_type_name(item.type);

			if (item.reason != RECORD_OK)
				continue;
			memset(text, '#', sizeof(text));
			assert_ptr_equal(record_describe(&item.record, text), text);
			assert_non_null(memchr(text, '\0', sizeof(text)));
			assert_null(strpbrk(text, "\n\r\t#"));
			assert_int_equal(strncmp(text, name, strlen(name)), 0);
			for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
				seen |= !strcmp(text, wanted[i]) ? 1u << i : 0;
			checked++;
		}
	}
	assert_true(checked > 20);
	assert_int_equal(seen, (1u << sizeof(wanted) / sizeof(wanted[0])) - 1);
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_record_of_the_vectors_has_one_line),
	};

	return cmocka_run_group_tests_name("wire/describe", tests, NULL, NULL);
}
