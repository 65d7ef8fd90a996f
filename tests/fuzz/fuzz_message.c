#include "fuzz/fuzz.h"
#include "wire/message.h"

#include <string.h>

/* What was written from the parsed fields is the message again. */
static void check_same(const struct writer *w, const uint8_t *data, size_t len)
{
	FUZZ_CHECK(!w->failed && writer_len(w) == len && !memcmp(w->start, data, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum message_type type = message_classify(data, len);
	struct message_initiation initiation;
	struct message_response response;
	struct message_cookie cookie;
	struct message_data message;
	uint8_t mem[INITIATION_LEN];
	struct span inner;
	struct writer w;
	uint64_t lane;

	writer_init(&w, mem, sizeof(mem));
	if (message_initiation_parse(data, len, &initiation)) {
		FUZZ_CHECK(type == MESSAGE_INITIATION);
		message_initiation_write(&w, &initiation);
		check_same(&w, data, len);
	} else if (message_response_parse(data, len, &response)) {
		FUZZ_CHECK(type == MESSAGE_RESPONSE);
		message_response_write(&w, &response);
		check_same(&w, data, len);
	} else if (message_cookie_parse(data, len, &cookie)) {
		FUZZ_CHECK(type == MESSAGE_COOKIE);
		message_cookie_write(&w, &cookie);
		check_same(&w, data, len);
	} else if (message_data_parse(data, len, &message)) {
		FUZZ_CHECK(type == MESSAGE_DATA);
		message_data_write(&w, &message);
		check_same(&w, data, DATA_HEADER_LEN);
	} else if (message_lane_parse(data, len, &lane, &inner)) {
		FUZZ_CHECK(type == MESSAGE_LANE && inner.data + inner.len == data + len);
		message_lane_write(&w, lane);
		check_same(&w, data, LANE_HEADER_LEN);
	}
	return 0;
}
