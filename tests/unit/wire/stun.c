#include "fixture/test.h"

#include "wire/hex.h"
#include "wire/stun.h"

#include <stdbool.h>
#include <string.h>

/* RFC 5769, 2.1 to 2.3 */
#define ID "b7e7a701bc34d686fa87dfae"
static const char request[] =
	"000100582112a442" ID "80220010"
	"5354554e207465737420636c69656e74"
	"002400046e0001ff80290008932ff9b151263b36"
	"00060009"
	"6576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
	"80280004e57a3bcf";
static const char response_ipv4[] = "0101003c2112a442" ID "8022000b7465737420766563746f7220"
				    "002000080001a147e112a643"
				    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
				    "80280004c07d4c96";
static const char response_ipv6[] = "010100482112a442" ID "8022000b7465737420766563746f7220"
				    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
				    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
				    "80280004c8fb0b4c";

static size_t bytes_of(const char *text, uint8_t mem[256])
{
	size_t len;

	assert_true(hex_parse_any(text, mem, 256, &len));
	return len;
}

static void the_requests_of_rfc_5769_are_understood(void **state)
{
	uint8_t mem[256], id[STUN_ID_LEN], want[STUN_ID_LEN];
	size_t len = bytes_of(request, mem);

	assert_true(hex_parse(ID, want, sizeof(want)));
	assert_true(stun_is(mem, len));
	assert_true(stun_request_parse(mem, len, id));
	assert_memory_equal(id, want, sizeof(id));
}

static void the_responses_of_rfc_5769_are_understood(void **state)
{
	static const struct {
		const char *text, *endpoint;
	} table[] = {
		{response_ipv4, "192.0.2.1:32853"},
		{response_ipv6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"},
	};
	uint8_t mem[256], id[STUN_ID_LEN];
	char text[ENDPOINT_TEXT_MAX];
	struct endpoint mapped;

	assert_true(hex_parse(ID, id, sizeof(id)));
	for (size_t i = 0; i < 2; i++) {
		size_t len = bytes_of(table[i].text, mem);

		assert_true(stun_response_parse(mem, len, id, &mapped));
		assert_string_equal(endpoint_format(&mapped, text), table[i].endpoint);
		id[0] ^= 1;
		assert_false(stun_response_parse(mem, len, id, &mapped));
		id[0] ^= 1;
	}
}

static void one_flipped_bit_breaks_the_fingerprint(void **state)
{
	/* where attributes begin: a flipped type or length may hide the fingerprint as such */
	static const uint8_t headers[] = {20, 40, 48, 60, 76, 100};
	uint8_t mem[256], id[STUN_ID_LEN];
	size_t len = bytes_of(request, mem);

	for (size_t bit = 0; bit < 8 * len; bit++) {
		bool header = false;

		for (size_t i = 0; i < sizeof(headers); i++)
			header |= bit / 8 >= headers[i] && bit / 8 < headers[i] + 4u;
		if (header)
			continue;
		mem[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(stun_request_parse(mem, len, id));
		mem[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(stun_request_parse(mem, len, id));
}

static void cut_messages_are_refused(void **state)
{
	uint8_t mem[256], id[STUN_ID_LEN];
	struct endpoint mapped;
	size_t len = bytes_of(response_ipv4, mem);

	assert_true(hex_parse(ID, id, sizeof(id)));
	for (size_t cut = 0; cut < len; cut++) {
		assert_false(stun_response_parse(mem, cut, id, &mapped));
		assert_false(stun_request_parse(mem, cut, id));
	}
}

static void a_written_request_and_answer_are_read_back(void **state)
{
	static const uint8_t id[STUN_ID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	static const char *const table[] = {"198.51.100.7:1", "[fd00::1]:65535"};
	uint8_t mem[STUN_RESPONSE_MAX], got[STUN_ID_LEN];
	struct endpoint endpoint, back;
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	stun_request_write(&w, id);
	assert_int_equal(writer_len(&w), STUN_REQUEST_LEN);
	assert_true(stun_request_parse(mem, writer_len(&w), got));
	assert_memory_equal(got, id, sizeof(id));
	for (size_t i = 0; i < 2; i++) {
		assert_true(endpoint_parse(table[i], &endpoint));
		writer_init(&w, mem, sizeof(mem));
		stun_response_write(&w, id, &endpoint);
		assert_false(w.failed);
		assert_true(stun_response_parse(mem, writer_len(&w), id, &back));
		assert_true(endpoint_equal(&endpoint, &back));
		/* a response is no request */
		assert_false(stun_request_parse(mem, writer_len(&w), got));
	}
	assert_int_equal(writer_len(&w), STUN_RESPONSE_MAX);
	writer_init(&w, mem, STUN_RESPONSE_MAX - 1);
	stun_response_write(&w, id, &endpoint);
	assert_true(w.failed);
}

static void an_unknown_attribute_that_must_be_understood_is_refused(void **state)
{
	uint8_t mem[256], id[STUN_ID_LEN];

	/* CHANGE-REQUEST (0003), then an optional one */
	assert_false(stun_request_parse(
		mem, bytes_of("000100082112a442" ID "0003000400000006", mem), id));
	assert_true(stun_request_parse(mem, bytes_of("000100082112a442" ID "8003000400000006", mem),
				       id));
	/* a length that runs out of the message */
	assert_false(stun_request_parse(
		mem, bytes_of("000100082112a442" ID "8003000500000006", mem), id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_requests_of_rfc_5769_are_understood),
		cmocka_unit_test(the_responses_of_rfc_5769_are_understood),
		cmocka_unit_test(one_flipped_bit_breaks_the_fingerprint),
		cmocka_unit_test(cut_messages_are_refused),
		cmocka_unit_test(a_written_request_and_answer_are_read_back),
		cmocka_unit_test(an_unknown_attribute_that_must_be_understood_is_refused),
	};

	return cmocka_run_group_tests_name("wire/stun", tests, NULL, NULL);
}
