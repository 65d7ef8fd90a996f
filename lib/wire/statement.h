#ifndef WIRE_STATEMENT_H
#define WIRE_STATEMENT_H

/* Key statements (doc/protocol.md section 9): the key of a backend, bound to a node or to an OVC by
 * the signature of its own key. What counts is decided in core/book. */

#include "wire/buf.h"
#include "wire/key.h"

/* What carries the IP packets of a pair; the numbers are on the wire. Others than these may come
 * from newer versions. */
enum backend {
	BACKEND_NATIVE = 1,
	BACKEND_WIREGUARD = 2,
	BACKEND_TINC = 3,
	BACKEND_EXEC = 4,
	BACKEND_COUNT, /* those that this version knows are below it */
};

enum {
	STATEMENT_VERSION = 1,
	STATEMENT_KEY_MAX = 800,
	STATEMENT_SIGNATURE_LEN = 64,
	STATEMENT_HEADER_LEN = 1 + 1 + 1 + OBJECT_ID_LEN + PUBKEY_LEN + 8 + 2,
	STATEMENT_MIN = STATEMENT_HEADER_LEN + 1 + STATEMENT_SIGNATURE_LEN,
	STATEMENT_MAX = STATEMENT_HEADER_LEN + STATEMENT_KEY_MAX + STATEMENT_SIGNATURE_LEN,
	STATEMENT_WIREGUARD_LEN = 32, /* of a Curve25519 public key */
};

struct statement {
	uint8_t backend; /* enum backend, and not native */
	uint8_t kind;	 /* OBJECT_DNET: of a node of it; OBJECT_OVC: of that service */
	struct object_id object;
	struct node_key signer;
	uint64_t date; /* seconds since 1970, UTC */
	uint16_t key_len;
	uint8_t key[STATEMENT_KEY_MAX]; /* in the form that the backend gives it */
	uint8_t signature[STATEMENT_SIGNATURE_LEN];
};

/* A statement whole; what comes behind it makes it malformed. The signature is not looked at.
 * False: malformed, ret is untouched. */
bool statement_parse(const void *data, size_t len, struct statement *ret);
/* Fails the writer for what statement_parse() would not take. */
void statement_write(struct writer *w, const struct statement *statement);
/* What is signed. The statement is one that statement_write() takes. */
void statement_digest(const struct statement *statement, struct hash256 *ret);

#endif
