#ifndef CLI_SEALS_H
#define CLI_SEALS_H

/* The text of a keystore's sidecar FILE.seals: JSON, chain → id → newest seal that dnet made. */

#include "core/keystore.h"
#include "wire/bech32.h"
#include "wire/key.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct known_seal {
	enum object_kind kind;
	struct object_id id;
	char label[KEYSTORE_TEXT_SIZE];
	struct outpoint outpoint;
	uint64_t value;
	uint32_t sequence;
	bool closed;
};

/* The object of chains, the caller's; NULL: not as dnet writes it. */
json_t *seals_parse(const char *text, size_t len);
/* One of a chain. False: a field is missing or out of its limits; ret_known is untouched. */
bool seals_read(const json_t *value, struct known_seal *ret_known);
/* Into the chain's part, over what is there of the same id. False: no memory. */
bool seals_put(json_t *all, const char *chain, const struct known_seal *known);

/* Beside the objects, under "scripts": the witness script that a seal of several owners has by its
 * script (P2WSH). Both in hex. */
bool seals_put_script(json_t *all, const char *script, const char *witness_script);
/* Beside them, under "denied": keys (hex) that the owner does not want in a dnet (its id). */
bool seals_put_denied(json_t *all, const char *dnet, const char *key, bool denied);
bool seals_is_denied(const json_t *all, const char *dnet, const char *key);
/* Borrowed; NULL. */
const char *seals_find_script(const json_t *all, const char *script);

#endif
