#include "fuzz/fuzz.h"
#include "wire/record.h"

#include <string.h>

/* What was parsed is written as the same bytes. */
static void check_again(const struct payload_item *item)
{
	uint8_t mem[PAYLOAD_MAX], key[RECORD_KEY_MAX];
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	record_write(&w, &item->record);
	FUZZ_CHECK(!w.failed && writer_len(&w) == item->raw.len);
	FUZZ_CHECK(!memcmp(mem, item->raw.data, item->raw.len));
	FUZZ_CHECK(record_key(&item->record, key) <= sizeof(key));
	FUZZ_CHECK(record_type_name(item->type));
	FUZZ_CHECK(record_fits_kind(&item->record, OBJECT_DNET) ||
		   record_fits_kind(&item->record, OBJECT_OVC) ||
		   record_fits_kind(&item->record, OBJECT_OVR));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct payload_item item;
	struct payload payload;
	size_t total = 0;

	payload_open(&payload, data, len);
	while (payload_next(&payload, &item)) {
		total += item.raw.len;
		FUZZ_CHECK(record_reason_text(item.reason));
		if (item.reason == RECORD_OK)
			check_again(&item);
	}
	/* every byte is in one item */
	FUZZ_CHECK(total == (payload.reason == RECORD_OK ? len - PAYLOAD_HEADER_LEN : len));
	return 0;
}
