#include "fixture/test.h"

#include "wire/hash.h"
#include "wire/hex.h"
#include "wire/p2p.h"
#include "wire/tx.h"

#include <stdio.h>
#include <string.h>

static const uint8_t magic[P2P_MAGIC_LEN] = {0xf9, 0xbe, 0xb4, 0xd9};

/* A whole message, taken apart; its payload stays in data. */
static struct p2p_message opened(const void *data, size_t len)
{
	struct p2p_message m = {0};
	size_t need = 0;

	assert_int_equal(p2p_open(magic, data, len, &m, &need), P2P_OK);
	assert_int_equal(m.size, len);
	return m;
}

static void a_frame_is_read_as_soon_as_its_last_byte_is_there(void **state)
{
	uint8_t mem[64];
	struct p2p_message m;
	struct writer w;
	uint64_t nonce = 0;
	size_t need, mark;

	writer_init(&w, mem, sizeof(mem));
	mark = p2p_begin(&w, magic, P2P_PING);
	p2p_ping_write(&w, 0x0102030405060708);
	p2p_end(&w, mark);
	assert_false(w.failed);
	assert_int_equal(writer_len(&w), 32);
	for (size_t len = 0; len < 32; len++) {
		assert_int_equal(p2p_open(magic, mem, len, &m, &need), P2P_SHORT);
		assert_int_equal(need, len < P2P_HEADER_LEN ? P2P_HEADER_LEN : 32);
	}
	/* and what follows is left alone */
	assert_int_equal(p2p_open(magic, mem, 64, &m, &need), P2P_OK);
	assert_int_equal(m.size, 32);
	assert_int_equal(m.type, P2P_PING);
	assert_true(p2p_ping_parse(m.payload.data, m.payload.len, &nonce));
	assert_true(nonce == 0x0102030405060708);
	assert_false(p2p_ping_parse(m.payload.data, 7, &nonce));
}

/* developer.bitcoin.org, reference/p2p_networking: verack. */
static void the_documented_verack_is_what_is_written(void **state)
{
	static const uint8_t want[] = "\xf9\xbe\xb4\xd9verack\0\0\0\0\0\0\0\0\0\0\x5d\xf6\xe0\xe2";
	uint8_t mem[P2P_HEADER_LEN];
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	p2p_write(&w, magic, P2P_VERACK, NULL, 0);
	assert_false(w.failed);
	assert_memory_equal(mem, want, P2P_HEADER_LEN);
	assert_int_equal(opened(mem, sizeof(mem)).type, P2P_VERACK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_read_as_soon_as_its_last_byte_is_there),
		cmocka_unit_test(the_documented_verack_is_what_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
