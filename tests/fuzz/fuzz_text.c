#include "fuzz/fuzz.h"
#include "wire/addr.h"
#include "wire/base58.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <ctype.h>
#include <string.h>

/* Equal but for upper case. */
static bool same_text(const char *a, const char *b)
{
	for (; *a && tolower((unsigned char)*a) == tolower((unsigned char)*b); a++, b++)
		;
	return !*a && !*b;
}

static void check_bech32(const char *text)
{
	char hrp[BECH32_HRP_SIZE], again[BECH32_TEXT_SIZE], id_text[OBJECT_ID_TEXT_SIZE];
	uint8_t values[BECH32_VALUES_MAX], program[SEGWIT_PROGRAM_MAX];
	enum bech32_form form;
	enum object_kind kind;
	struct object_id id;
	unsigned version;
	size_t count;

	if (bech32_decode(text, hrp, values, &count, &form)) {
		FUZZ_CHECK(bech32_encode(hrp, values, count, form, again));
		FUZZ_CHECK(same_text(again, text));
	}
	if (segwit_parse("bc", text, &version, program, &count)) {
		FUZZ_CHECK(segwit_format("bc", version, program, count, again));
		FUZZ_CHECK(same_text(again, text));
	}
	if (object_id_parse(text, &kind, &id)) {
		object_id_format(kind, &id, id_text);
		FUZZ_CHECK(same_text(id_text, text));
	}
}

static void check_addr(const char *text)
{
	char again[ENDPOINT_TEXT_MAX];
	struct endpoint endpoint, endpoint2;
	struct address address, address2;
	struct prefix prefix, prefix2;

	if (address_parse(text, &address)) {
		FUZZ_CHECK(address_parse(address_format(&address, again), &address2));
		FUZZ_CHECK(address_equal(&address, &address2));
	}
	if (endpoint_parse(text, &endpoint)) {
		FUZZ_CHECK(endpoint_parse(endpoint_format(&endpoint, again), &endpoint2));
		FUZZ_CHECK(endpoint_equal(&endpoint, &endpoint2));
	}
	if (prefix_parse(text, &prefix)) {
		FUZZ_CHECK(prefix_parse(prefix_format(&prefix, again), &prefix2));
		FUZZ_CHECK(prefix_equal(&prefix, &prefix2));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[512], again[512];
	uint8_t mem[256];
	size_t got;

	if (len >= sizeof(text))
		return 0;
	memcpy(text, data, len);
	text[len] = '\0';
	if (hex_parse_any(text, mem, sizeof(mem), &got)) {
		hex_format(mem, got, again);
		FUZZ_CHECK(same_text(text, again));
	}
	if (base58check_decode(text, mem, BASE58CHECK_MAX, &got)) {
		FUZZ_CHECK(base58check_encode(mem, got, again, sizeof(again)));
		FUZZ_CHECK(!strcmp(text, again));
	}
	/* any bytes come back */
	if (len <= BASE58CHECK_MAX) {
		FUZZ_CHECK(base58check_encode(data, len, again, sizeof(again)));
		FUZZ_CHECK(base58check_decode(again, mem, sizeof(mem), &got));
		FUZZ_CHECK(got == len && !memcmp(mem, data, len));
	}
	check_bech32(text);
	check_addr(text);
	return 0;
}
