#include "fixture/test.h"

#include "wire/buf.h"

#include <string.h>

static void integers_come_back_as_written(void **state)
{
	uint8_t mem[64];
	struct writer w;
	struct reader r;

	writer_init(&w, mem, sizeof(mem));
	writer_u8(&w, 0x12);
	writer_u16(&w, 0x3456);
	writer_u32(&w, 0x789abcde);
	writer_u64(&w, 0x0123456789abcdef);
	writer_u16be(&w, 0x1122);
	writer_u32be(&w, 0x33445566);
	assert_false(w.failed);
	assert_memory_equal(mem + 1, "\x56\x34", 2);
	assert_memory_equal(mem + 15, "\x11\x22\x33\x44\x55\x66", 6);

	reader_init(&r, mem, writer_len(&w));
	assert_int_equal(reader_u8(&r), 0x12);
	assert_int_equal(reader_u16(&r), 0x3456);
	assert_int_equal(reader_u32(&r), 0x789abcde);
	assert_true(reader_u64(&r) == 0x0123456789abcdef);
	assert_int_equal(reader_u16be(&r), 0x1122);
	assert_int_equal(reader_u32be(&r), 0x33445566);
	assert_true(reader_done(&r));
}

static void a_read_past_the_end_sticks(void **state)
{
	struct reader r;

	reader_init(&r, "\x01\x02\x03", 3);
	assert_int_equal(reader_u16(&r), 0x0201);
	assert_int_equal(reader_u16(&r), 0);
	assert_true(r.failed);
	assert_int_equal(reader_u8(&r), 0);
	assert_null(reader_bytes(&r, 0));
	assert_false(reader_done(&r));
}

static void a_write_past_the_end_sticks_and_writes_nothing(void **state)
{
	uint8_t mem[4] = {9, 9, 9, 9};
	struct writer w;

	writer_init(&w, mem, 3);
	writer_u32(&w, 1);
	assert_true(w.failed);
	writer_u8(&w, 1);
	assert_int_equal(writer_len(&w), 0);
	assert_memory_equal(mem, "\x09\x09\x09\x09", 4);
}

static void compact_sizes_are_canonical(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool ok;
		uint64_t value;
	} table[] = {
		{"\x00", 1, true, 0},
		{"\xfc", 1, true, 0xfc},
		{"\xfd\xfd\x00", 3, true, 0xfd},
		{"\xfd\xfc\x00", 3, false, 0},
		{"\xfd\xff\xff", 3, true, 0xffff},
		{"\xfe\x00\x00\x01\x00", 5, true, 0x10000},
		{"\xfe\xff\xff\x00\x00", 5, false, 0},
		{"\xff\x00\x00\x00\x00\x01\x00\x00\x00", 9, true, 0x100000000},
		{"\xff\xff\xff\xff\xff\x00\x00\x00\x00", 9, false, 0},
		{"\xff\x00\x00\x00\x00\x01\x00\x00", 8, false, 0},
	};
	uint8_t mem[9];
	struct writer w;
	struct reader r;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		reader_init(&r, table[i].bytes, table[i].len);
		assert_true(reader_compact(&r) == table[i].value);
		assert_int_equal(reader_done(&r), table[i].ok);
		if (!table[i].ok)
			continue;
		writer_init(&w, mem, sizeof(mem));
		writer_compact(&w, table[i].value);
		assert_int_equal(writer_len(&w), table[i].len);
		assert_memory_equal(mem, table[i].bytes, table[i].len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_come_back_as_written),
		cmocka_unit_test(a_read_past_the_end_sticks),
		cmocka_unit_test(a_write_past_the_end_sticks_and_writes_nothing),
		cmocka_unit_test(compact_sizes_are_canonical),
	};

	return cmocka_run_group_tests_name("wire/buf", tests, NULL, NULL);
}
