#ifndef WIRE_OVR_H
#define WIRE_OVR_H

/* Frames between a member and an OVR (doc/protocol.md sections 5 and 8). */

#include "wire/frame.h"
#include "wire/key.h"

enum lane_refused_reason {
	LANE_REFUSED_NOT_MEMBER = 1,
	LANE_REFUSED_NOT_HERE = 2,
	LANE_REFUSED_TOO_MANY = 3,
	LANE_REFUSED_QUOTA = 4,
};

enum lane_closed_reason {
	LANE_CLOSED_OTHER_GONE = 1,
	LANE_CLOSED_GRANT_ENDED = 2,
	LANE_CLOSED_REPLACED = 3,
};

struct ovr_frame {
	uint8_t type;	     /* FRAME_LANE_OPEN to FRAME_LANE_CLOSED */
	struct node_key key; /* of the other side; not in LANE_CLOSED */
	uint64_t lane;	     /* LANE, LANE_CLOSED */
	uint8_t reason;	     /* LANE_REFUSED, LANE_CLOSED */
};

/* As frame_parse() and frame_write(). */
bool ovr_frame_parse(const void *data, size_t len, struct ovr_frame *ret);
void ovr_frame_write(struct writer *w, const struct ovr_frame *frame);

#endif
