#include "cli/members.h"
#include "fuzz/fuzz.h"

#include <string.h>

/* What is read as a member is a record that can be written, and read again as it was. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum members_reason reason;
	struct members members;
	struct record record;
	uint32_t line = 0;

	members_open(&members, (const char *)data, len);
	while (members_next(&members, &record, &reason)) {
		uint8_t mem[PAYLOAD_MAX];
		struct payload_item item;
		struct payload payload;
		struct writer w;
		size_t size;

		FUZZ_CHECK(members.line > line);
		line = members.line;
		FUZZ_CHECK(*members_reason_text(reason));
		if (reason != MEMBERS_OK)
			continue;
		payload_begin(&w, mem);
		record_write(&w, &record);
		size = payload_finish(&w);
		if (!size)
			continue;
		payload_open(&payload, mem, size);
		FUZZ_CHECK(payload_next(&payload, &item) && item.reason == RECORD_OK);
		FUZZ_CHECK(!memcmp(&item.record, &record, sizeof(record)));
	}
	return 0;
}
