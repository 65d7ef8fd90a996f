#include "cli/outbox.h"
#include "fuzz/fuzz.h"

#include <string.h>

/* What is read of a journal is written as lines that are read the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct outbox outbox, again;
	size_t used, again_used;

	if (outbox_parse((const char *)data, len, &outbox, &used))
		return 0;
	FUZZ_CHECK(used <= len);
	for (size_t i = 0; i < outbox.count; i++) {
		const struct outbox_item *item = &outbox.items[i];
		char *line = outbox_format(item);

		FUZZ_CHECK(line && outbox_find(&outbox, &item->txid));
		FUZZ_CHECK(!outbox_parse(line, strlen(line), &again, &again_used));
		FUZZ_CHECK(again.count == 1 && again_used == strlen(line));
		FUZZ_CHECK(!strcmp(again.items[0].raw, item->raw) &&
			   !strcmp(again.items[0].what, item->what) &&
			   again.items[0].fee == item->fee &&
			   again.items[0].sequence == item->sequence);
		outbox_done(&again);
		free(line);
	}
	outbox_done(&outbox);
	return 0;
}
