#ifndef CORE_COOKIE_H
#define CORE_COOKIE_H

/* mac1 and mac2 of handshake messages, and the cookies that make a sender prove its address under
 * load: no state and no public-key work for strangers (PROTOCOL 4). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/addr.h"
#include "wire/key.h"
#include "wire/message.h" /* COOKIE_NONCE_LEN */

enum {
	COOKIE_MAC_LEN = 16,
	COOKIE_LEN = 16,
	COOKIE_SEALED_LEN = COOKIE_LEN + 16,
	COOKIE_SECRET_LEN = 32,
};

/* What follows from one public key: worked out once per key. */
struct cookie_keys {
	uint8_t mac1[HASH_LEN];	 /* of messages to that key */
	uint8_t reply[HASH_LEN]; /* seals the cookie replies that come from that key */
};

void cookie_keys_init(struct cookie_keys *keys, const struct node_key *key);

/* Sender's side, one per peer; zeroed memory is a fresh one. */
struct cookie_jar {
	uint8_t cookie[COOKIE_LEN];
	uint64_t received; /* ns; valid with has_cookie */
	uint8_t last_mac1[COOKIE_MAC_LEN];
	bool has_cookie, has_mac1;
};

/* Fills the last 32 bytes of msg: mac1 and mac2. receiver: keys of the one it goes to. */
void cookie_add_macs(struct cookie_jar *jar, const struct cookie_keys *receiver, uint8_t *msg,
		     size_t len, uint64_t now);
/* A cookie reply came from the holder of replier. False: not the answer to the last message sent,
 * or not authentic; nothing changed. */
bool cookie_consume_reply(struct cookie_jar *jar, const struct cookie_keys *replier,
			  const uint8_t nonce[static COOKIE_NONCE_LEN],
			  const uint8_t sealed[static COOKIE_SEALED_LEN], uint64_t now);

/* Receiver's side. msg ends in mac1 and mac2; len counts both. */
bool cookie_mac1_valid(const struct cookie_keys *own, const uint8_t *msg, size_t len);

/* The secrets that cookies are made with; one per engine. */
struct cookie_baker {
	uint8_t secret[2][COOKIE_SECRET_LEN]; /* now, and before */
	uint64_t changed;		      /* ns, when secret[0] came */
	bool has_before;
};

void cookie_baker_init(struct cookie_baker *baker, const uint8_t secret[static COOKIE_SECRET_LEN],
		       uint64_t now);
/* True when a new secret is due: then cookie_baker_renew() with fresh random bytes. */
bool cookie_baker_due(const struct cookie_baker *baker, uint64_t now);
void cookie_baker_renew(struct cookie_baker *baker, const uint8_t secret[static COOKIE_SECRET_LEN],
			uint64_t now);
void cookie_baker_wipe(struct cookie_baker *baker);

bool cookie_mac2_valid(const struct cookie_baker *baker, const struct endpoint *src,
		       const uint8_t *msg, size_t len, uint64_t now);
/* The cookie for the sender of msg, sealed. nonce: fresh random bytes. */
void cookie_make_reply(const struct cookie_baker *baker, const struct cookie_keys *own,
		       const struct endpoint *src, const uint8_t *msg, size_t len,
		       const uint8_t nonce[static COOKIE_NONCE_LEN],
		       uint8_t ret_sealed[static COOKIE_SEALED_LEN]);

/* PROTOCOL 4.2: more than 64 initiations in 100 ms, until 1 s after the last such moment. */
enum { COOKIE_LOAD_INITIATIONS = 64 };

/* Zeroed memory is a fresh one. */
struct cookie_load {
	uint64_t came[COOKIE_LOAD_INITIATIONS]; /* when the last ones came, a ring */
	unsigned next, count;
	uint64_t until;
};

/* Counts an initiation that came at now (mac1 already found right); returns cookie_load_high(). */
bool cookie_load_add(struct cookie_load *load, uint64_t now);
bool cookie_load_high(const struct cookie_load *load, uint64_t now);

#endif
