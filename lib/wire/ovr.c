#include "wire/ovr.h"

bool ovr_frame_parse(const void *data, size_t len, struct ovr_frame *ret)
{
	struct ovr_frame frame = {0};
	uint8_t reason_max = 0;
	struct reader r;

	reader_init(&r, data, len);
	frame.type = reader_u8(&r);
	if (frame.type < FRAME_LANE_OPEN || frame.type > FRAME_LANE_CLOSED)
		return false;
	if (frame.type != FRAME_LANE_CLOSED)
		frame_read_key(&r, &frame.key);
	if (frame.type == FRAME_LANE || frame.type == FRAME_LANE_CLOSED)
		frame.lane = reader_u64(&r);
	if (frame.type == FRAME_LANE_REFUSED)
		reason_max = LANE_REFUSED_QUOTA;
	else if (frame.type == FRAME_LANE_CLOSED)
		reason_max = LANE_CLOSED_REPLACED;
	if (reason_max) {
		frame.reason = reader_u8(&r);
		if (!frame.reason || frame.reason > reason_max)
			return false;
	}
	if (!reader_done(&r))
		return false;
	*ret = frame;
	return true;
}

void ovr_frame_write(struct writer *w, const struct ovr_frame *frame)
{
	if (frame->type < FRAME_LANE_OPEN || frame->type > FRAME_LANE_CLOSED)
		w->failed = true;
	writer_u8(w, frame->type);
	if (frame->type != FRAME_LANE_CLOSED)
		writer_copy(w, frame->key.bytes, PUBKEY_LEN);
	if (frame->type == FRAME_LANE || frame->type == FRAME_LANE_CLOSED)
		writer_u64(w, frame->lane);
	if (frame->type == FRAME_LANE_REFUSED || frame->type == FRAME_LANE_CLOSED)
		writer_u8(w, frame->reason);
}
