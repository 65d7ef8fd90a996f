#ifndef WIRE_OVC_H
#define WIRE_OVC_H

/* Frames between a member and an OVC (doc/protocol.md sections 5 and 8). */

#include "wire/frame.h"
#include "wire/key.h"

enum introduction_role {
	INTRODUCTION_INITIATE = 1,
	INTRODUCTION_ANSWER = 2,
};

enum not_here_reason {
	NOT_HERE_NOT_MEMBER = 1,
	NOT_HERE_NOT_REGISTERED = 2,
	NOT_HERE_TOO_OFTEN = 3,
};

struct ovc_frame {
	uint8_t type; /* FRAME_REGISTER to FRAME_STATEMENT */
	union {
		struct frame_endpoints local; /* REGISTER: at most 8 */
		struct {
			struct endpoint observed;
			uint16_t members; /* registered here, of the same dnet */
		} registered;
		struct node_key introduce; /* INTRODUCE */
		struct {
			struct node_key key;
			uint8_t role; /* enum introduction_role */
			struct frame_endpoints endpoints;
		} introduction;
		struct {
			struct node_key key;
			uint8_t reason; /* enum not_here_reason */
		} not_here;
		struct span publish; /* a statement, opaque but for its length; borrowed */
		struct {
			struct node_key key;   /* whose */
			uint16_t port;	       /* of the backend, at the OVC's own; 0: not said */
			struct span statement; /* as publish */
		} statement;
	};
};

/* As frame_parse() and frame_write(). */
bool ovc_frame_parse(const void *data, size_t len, struct ovc_frame *ret);
void ovc_frame_write(struct writer *w, const struct ovc_frame *frame);

#endif
