#ifndef CORE_NOISE_H
#define CORE_NOISE_H

/* The handshake: Noise_IKpsk2_…_ChaChaPoly_SHA256, generic over the Diffie-Hellman function,
 * without the framing of messages (wire/message) and without random numbers, which are handed in.
 * PROTOCOL 3; noiseprotocol.org rev. 34. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id;

enum {
	NOISE_HASH_LEN = 32,
	NOISE_KEY_LEN = 32, /* secrets, psk and cipher keys */
	NOISE_TAG_LEN = 16,
	NOISE_PUB_MAX = 33,
	NOISE_PAYLOAD_MAX = 512,
};

/* One Diffie-Hellman function. ctx is borrowed for as long as the handshakes that use it. */
struct noise_dh {
	const char *name; /* as in the protocol's name */
	size_t pub_len;
	const void *ctx;
	/* False: secret is no valid secret key. */
	bool (*pubkey)(const void *ctx, const uint8_t secret[static NOISE_KEY_LEN],
		       uint8_t *ret_pub);
	/* False: pub is no valid public key; ret_shared is then not to be used. */
	bool (*agree)(const void *ctx, const uint8_t secret[static NOISE_KEY_LEN],
		      const uint8_t *pub, uint8_t ret_shared[static NOISE_HASH_LEN]);
};

/* PROTOCOL 3.1, secp256k1, the shared secret being the SHA-256 of the compressed point. id is
 * borrowed. */
struct noise_dh noise_dh_secp256k1(const struct id *id);

enum noise_state {
	NOISE_STATE_NONE,
	NOISE_STATE_CREATED_INITIATION,	 /* waits for the response */
	NOISE_STATE_CONSUMED_INITIATION, /* may answer */
	NOISE_STATE_DONE,		 /* noise_split() may be called, once */
};

/* One handshake under way. Holds secrets: end it with noise_wipe(). Plain memory, may be copied
 * whole. */
struct noise {
	const struct noise_dh *dh; /* borrowed */
	enum noise_state state;
	bool initiator;
	uint8_t hash[NOISE_HASH_LEN];
	uint8_t chaining_key[NOISE_HASH_LEN];
	uint8_t local_static[NOISE_KEY_LEN];
	uint8_t ephemeral[NOISE_KEY_LEN];
	uint8_t remote_static[NOISE_PUB_MAX];
	uint8_t remote_ephemeral[NOISE_PUB_MAX];
};

/* What this side is in one realm; borrowed only during the calls that take it. */
struct noise_local {
	const struct noise_dh *dh;
	const uint8_t *secret; /* NOISE_KEY_LEN */
	const uint8_t *pub;    /* its public key, dh->pub_len */
	const void *prologue;
	size_t prologue_len;
};

/* Lengths of the messages with a payload of len bytes: ephemeral, [static and tag,] payload and
 * tag. */
size_t noise_initiation_len(const struct noise_dh *dh, size_t payload_len);
size_t noise_response_len(const struct noise_dh *dh, size_t payload_len);

/* The functions below return 0, -DNET_EAUTH (a tag is wrong: altered, or not meant for this key or
 * realm), -DNET_EFORMAT (wrong length, a point that is none). After an error noise and outputs are
 * as before. payload_len is at most NOISE_PAYLOAD_MAX; when consuming it is what the format says it
 * must be. */

/* MixHash of what stands in the open beside the next message: its tag then vouches for that too. */
void noise_add_data(struct noise *noise, const void *data, size_t len);

/* Initiator. -> e, es, s, ss, {payload}. ephemeral: 32 fresh random bytes; -DNET_EFORMAT when they
 * are no secret key (chance 2^-127: draw again). remote_static: the responder's key from the
 * records. out has room for noise_initiation_len(). */
int noise_create_initiation(struct noise *noise, const struct noise_local *local,
			    const uint8_t *remote_static,
			    const uint8_t ephemeral[static NOISE_KEY_LEN], const void *payload,
			    size_t payload_len, uint8_t *out);
/* Responder. Afterwards the initiator's key is in noise->remote_static; that the sender holds it is
 * proven. */
int noise_consume_initiation(struct noise *noise, const struct noise_local *local,
			     const uint8_t *msg, size_t len, uint8_t *ret_payload,
			     size_t payload_len);
/* Responder. <- e, ee, se, psk, {payload}. */
int noise_create_response(struct noise *noise, const uint8_t psk[static NOISE_KEY_LEN],
			  const uint8_t ephemeral[static NOISE_KEY_LEN], const void *payload,
			  size_t payload_len, uint8_t *out);
/* Initiator. A wrong response leaves the handshake waiting for the right one. */
int noise_consume_response(struct noise *noise, const uint8_t psk[static NOISE_KEY_LEN],
			   const uint8_t *msg, size_t len, uint8_t *ret_payload,
			   size_t payload_len);
/* PROTOCOL 3.5, the two data keys, already in this side's order. Wipes the handshake. */
void noise_split(struct noise *noise, uint8_t ret_send[static NOISE_KEY_LEN],
		 uint8_t ret_receive[static NOISE_KEY_LEN]);
void noise_wipe(struct noise *noise);

/* HMAC-SHA256 as in RFC 2104, and Noise's HKDF; ret_3 may be NULL (two outputs). Public for their
 * vectors. */
void noise_hkdf(const uint8_t chaining_key[static NOISE_HASH_LEN], const void *input, size_t len,
		uint8_t ret_1[static NOISE_HASH_LEN], uint8_t ret_2[static NOISE_HASH_LEN],
		uint8_t *ret_3);

#endif
