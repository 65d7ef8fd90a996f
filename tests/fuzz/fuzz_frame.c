#include "fuzz/fuzz.h"
#include "wire/frame.h"
#include "wire/ovc.h"
#include "wire/ovr.h"

#include <string.h>

/* There is one way to write a frame: what was parsed is written as the same bytes. */
static void check_same(const struct writer *w, const uint8_t *data, size_t len)
{
	FUZZ_CHECK(!w->failed && writer_len(w) == len && !memcmp(w->start, data, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t mem[FRAME_CARRY_HEADER_LEN + FRAME_CARRY_MAX];
	struct ovc_frame ovc;
	struct ovr_frame ovr;
	struct frame frame;
	unsigned takers = 0;
	struct writer w;

	if (frame_parse(data, len, &frame)) {
		writer_init(&w, mem, sizeof(mem));
		frame_write(&w, &frame);
		check_same(&w, data, len);
		takers++;
	}
	if (ovc_frame_parse(data, len, &ovc)) {
		writer_init(&w, mem, sizeof(mem));
		ovc_frame_write(&w, &ovc);
		check_same(&w, data, len);
		takers++;
	}
	if (ovr_frame_parse(data, len, &ovr)) {
		writer_init(&w, mem, sizeof(mem));
		ovr_frame_write(&w, &ovr);
		check_same(&w, data, len);
		takers++;
	}
	FUZZ_CHECK(takers <= 1);
	return 0;
}
