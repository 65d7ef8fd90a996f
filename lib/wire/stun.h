#ifndef WIRE_STUN_H
#define WIRE_STUN_H

/* STUN Binding (RFC 8489): the question "where do I come from" and its answer. */

#include "wire/addr.h"
#include "wire/buf.h"

enum {
	STUN_ID_LEN = 12, /* transaction id */
	STUN_HEADER_LEN = 20,
	STUN_REQUEST_LEN = STUN_HEADER_LEN,
	STUN_RESPONSE_MAX = STUN_HEADER_LEN + 24,
};

/* Begins as STUN does: two zero bits, and the cookie at offset 4. */
bool stun_is(const void *data, size_t len);
/* A Binding request. Attributes are walked; unknown ones that have to be understood, a wrong length
 * or a wrong FINGERPRINT refuse it. */
bool stun_request_parse(const void *data, size_t len, uint8_t ret_id[STUN_ID_LEN]);
void stun_request_write(struct writer *w, const uint8_t id[STUN_ID_LEN]);
/* A Binding success response to the request with that id. XOR-MAPPED-ADDRESS is taken, else
 * MAPPED-ADDRESS. MESSAGE-INTEGRITY is skipped: there is no shared password. */
bool stun_response_parse(const void *data, size_t len, const uint8_t id[STUN_ID_LEN],
			 struct endpoint *ret_mapped);
/* mapped: IPv4 or IPv6. */
void stun_response_write(struct writer *w, const uint8_t id[STUN_ID_LEN],
			 const struct endpoint *mapped);

#endif
