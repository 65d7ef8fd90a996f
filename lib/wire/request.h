#ifndef WIRE_REQUEST_H
#define WIRE_REQUEST_H

/* A request of a node to be let into a dnet: its key, the name that it wishes, and its signature,
 *so that nobody asks for the key of another.
 *
 *	version    1  01
 *	dnet id   20
 *	node key  33
 *	date       8  seconds since 1970, UTC
 *	name       1 + 0 to 32
 *	signature 64  BIP340 over TAGGED("dnet/request/1", all before it), by the x coordinate of
 *the key
 *
 * As text it is "dnet-request:" and base64url without padding (RFC 4648, 5), on one line. */

#include "wire/buf.h"
#include "wire/key.h"
#include "wire/record.h"

enum {
	REQUEST_VERSION = 1,
	REQUEST_SIGNATURE_LEN = 64,
	REQUEST_MIN = 1 + OBJECT_ID_LEN + PUBKEY_LEN + 8 + 1 + REQUEST_SIGNATURE_LEN,
	REQUEST_MAX = REQUEST_MIN + RECORD_NAME_MAX,
	REQUEST_TEXT_SIZE = 13 + (REQUEST_MAX * 4 + 2) / 3 + 1,
};

struct request {
	struct object_id dnet;
	struct node_key key;
	uint64_t date;
	char name[RECORD_NAME_MAX + 1]; /* "": none is wished */
	uint8_t signature[REQUEST_SIGNATURE_LEN];
};

/* The signature is not looked at. False: malformed, ret is untouched. */
bool request_parse(const void *data, size_t len, struct request *ret);
/* Fails the writer for what request_parse() would not take. */
void request_write(struct writer *w, const struct request *request);
/* What is signed. The request is one that request_write() takes. */
void request_digest(const struct request *request, struct hash256 *ret);

bool request_parse_text(const char *text, struct request *ret);
bool request_format_text(const struct request *request, char ret[static REQUEST_TEXT_SIZE]);

#endif
