#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

/* Control frames inside data messages (doc/protocol.md section 5) that all may send; those of OVC
 * and OVR are in wire/ovc.h and wire/ovr.h. */

#include "wire/addr.h"
#include "wire/buf.h"
#include "wire/key.h"
#include "wire/statement.h"

enum frame_type {
	FRAME_PING = 0x01,
	FRAME_PONG = 0x02,
	FRAME_CANDIDATES = 0x03,
	FRAME_BYE = 0x04,
	FRAME_OFFER = 0x05,
	FRAME_OFFER_ACK = 0x06,
	FRAME_CARRY = 0x07,
	FRAME_REGISTER = 0x10,
	FRAME_REGISTERED = 0x11,
	FRAME_INTRODUCE = 0x12,
	FRAME_INTRODUCTION = 0x13,
	FRAME_NOT_HERE = 0x14,
	FRAME_PUBLISH = 0x15,
	FRAME_STATEMENT = 0x16,
	FRAME_LANE_OPEN = 0x20,
	FRAME_LANE = 0x21,
	FRAME_LANE_REFUSED = 0x22,
	FRAME_LANE_CLOSED = 0x23,
};

enum {
	FRAME_ENDPOINT_LEN = 19,
	FRAME_CANDIDATES_MAX = 8,
	FRAME_INTRODUCED_MAX = FRAME_CANDIDATES_MAX + 1,
	/* INTRODUCTION is the longest of those without a statement or a datagram: type, key, role,
	 * n, endpoints */
	FRAME_MAX = 1 + PUBKEY_LEN + 1 + 1 + FRAME_INTRODUCED_MAX * FRAME_ENDPOINT_LEN,
	FRAME_OFFERS = 4, /* backends in one offer */
	FRAME_DIGEST_LEN = 8,
	/* type, digest, index, count, backend, port, n, endpoints, statement length, statement */
	FRAME_OFFER_MAX = 1 + FRAME_DIGEST_LEN + 1 + 1 + 1 + 2 + 1 +
			  FRAME_CANDIDATES_MAX * FRAME_ENDPOINT_LEN + 2 + STATEMENT_MAX,
	FRAME_STATEMENT_MAX = 1 + PUBKEY_LEN + 2 + STATEMENT_MAX,
	FRAME_CARRY_HEADER_LEN = 2,
	FRAME_CARRY_MAX = 1500, /* the datagram of the backend */
};

enum bye_reason {
	BYE_SHUTDOWN = 1,
	BYE_REMOVED = 2,
	BYE_MOVED = 3,
};

/* Endpoints to try: none is unknown, no port is 0. */
struct frame_endpoints {
	uint8_t count;
	struct endpoint list[FRAME_INTRODUCED_MAX];
};

/* One backend of an offer. */
struct frame_offer {
	uint8_t digest[FRAME_DIGEST_LEN]; /* of the whole offer, as its sender says */
	uint8_t index;			  /* its place in the order of the offer, from 0 */
	uint8_t count;
	uint8_t backend;		  /* enum backend, or a newer one */
	uint16_t port;			  /* of its own; 0: none */
	struct frame_endpoints endpoints; /* its own, at most FRAME_CANDIDATES_MAX */
	struct span statement;		  /* opaque here; len 0: none. Borrowed from the frame */
};

struct frame_carry {
	uint8_t backend;
	struct span datagram; /* 1 to FRAME_CARRY_MAX bytes; borrowed from the frame */
};

struct frame {
	uint8_t type; /* FRAME_PING to FRAME_CARRY */
	union {
		struct {
			uint64_t id;
			struct endpoint observed; /* PONG only; ADDR_NONE: unknown */
		} ping;				  /* PING, PONG */
		struct frame_endpoints candidates;
		uint8_t bye; /* enum bye_reason */
		struct frame_offer offer;
		uint8_t offer_ack[FRAME_DIGEST_LEN];
		struct frame_carry carry;
	};
};

/* A frame whole: type and body. False for another type and for a malformed one; ret is untouched
 * then. */
bool frame_parse(const void *data, size_t len, struct frame *ret);
void frame_write(struct writer *w, const struct frame *frame);

/* What an offer's digest is made of, for one of its backends: bytes of an OFFER frame from
 * `backend` on. Borrowed from the frame, which frame_parse() has taken. */
struct span frame_offer_part(const void *data, size_t len);

/* Pieces of frames, for wire/ovc and wire/ovr. A reader that meets a malformed one fails. */
void frame_read_key(struct reader *r, struct node_key *ret);
void frame_read_endpoint(struct reader *r, struct endpoint *ret);
void frame_write_endpoint(struct writer *w, const struct endpoint *e);
/* At most max of them. */
void frame_read_endpoints(struct reader *r, unsigned max, struct frame_endpoints *ret);
void frame_write_endpoints(struct writer *w, unsigned max, const struct frame_endpoints *list);

#endif
