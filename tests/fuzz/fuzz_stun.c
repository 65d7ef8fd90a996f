#include "fuzz/fuzz.h"
#include "wire/stun.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t id[STUN_ID_LEN], mem[STUN_RESPONSE_MAX];
	struct endpoint mapped, again;
	struct writer w;

	if (stun_request_parse(data, len, id))
		FUZZ_CHECK(stun_is(data, len) && !memcmp(id, data + 8, sizeof(id)));
	if (len < STUN_HEADER_LEN || !stun_response_parse(data, len, data + 8, &mapped))
		return 0;
	writer_init(&w, mem, sizeof(mem));
	stun_response_write(&w, data + 8, &mapped);
	FUZZ_CHECK(!w.failed);
	FUZZ_CHECK(stun_response_parse(mem, writer_len(&w), data + 8, &again));
	FUZZ_CHECK(endpoint_equal(&mapped, &again));
	return 0;
}
