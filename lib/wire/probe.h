#ifndef WIRE_PROBE_H
#define WIRE_PROBE_H

/* Probes between the WireGuard ports of two members (PROTOCOL 9.8): whether a datagram gets there,
 * and back. Nothing that WireGuard itself, or STUN, would take. */

#include "wire/buf.h"
#include "wire/key.h"

enum {
	PROBE_LEN = 48, /* question and answer: an answer is never longer */
	PROBE_KEY_LEN = 32,
	PROBE_LABEL_LEN = 8,
	PROBE_NONCE_LEN = 16,
	PROBE_MAC_LEN = 16,
};
#define PROBE_MAGIC 0x646e7770u /* its first four bytes, as a big-endian number */

enum probe_kind { PROBE_QUESTION = 1, PROBE_ANSWER = 2 };

struct probe {
	uint8_t kind;			/* enum probe_kind */
	uint8_t label[PROBE_LABEL_LEN]; /* who sends it to whom, to these two alone */
	uint8_t nonce[PROBE_NONCE_LEN]; /* of the question */
};

/* What the two have in common, for both directions. Wipe it after use. */
struct probe_keys {
	uint8_t mac[HASH_LEN];
	uint8_t label_out[PROBE_LABEL_LEN], label_in[PROBE_LABEL_LEN];
	uint8_t own[PROBE_KEY_LEN], peer[PROBE_KEY_LEN]; /* public keys */
};

/* own_secret: of own, a Curve25519 key as WireGuard has it. False: the peer's key is none that two
 * could have a secret by. */
bool probe_keys_make(struct probe_keys *ret_keys, const uint8_t own_secret[static PROBE_KEY_LEN],
		     const uint8_t peer[static PROBE_KEY_LEN]);
/* The form alone: who it is from is known by its label, whether it is by probe_verify(). */
bool probe_parse(const void *data, size_t len, struct probe *ret_probe);
/* Constant time in what the mac says. data: PROBE_LEN bytes that were parsed. */
bool probe_verify(const struct probe_keys *keys, const uint8_t data[static PROBE_LEN]);
void probe_write(struct writer *w, const struct probe_keys *keys, enum probe_kind kind,
		 const uint8_t nonce[static PROBE_NONCE_LEN]);

#endif
