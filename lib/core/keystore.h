#ifndef CORE_KEYSTORE_H
#define CORE_KEYSTORE_H

/* The owner's keys as a file: sealed with a passphrase by Argon2id and XChaCha20-Poly1305.
 *
 *	magic    8  "dnetkeys"
 *	version  1  02
 *	ops      4  of Argon2id
 *	memory   4  of Argon2id, KiB
 *	salt    16
 *	nonce   24
 *	sealed  ..  the entries and a tag of 16 bytes; all fields above are authenticated
 *
 * Entries: seed 32, count 4, then each: kind 1, id 20, number 4, secret 32, chain (length 1, text),
 * label (length 1, text). All secrets with a number come from the seed, so that the seed alone is a
 * copy of them; a keystore of version 1 has neither seed nor numbers, and each secret stands for
 * itself. An object has several entries when its seal went to another key: the newest is the last.
 */

#include "core/id.h"
#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	KEYSTORE_VERSION = 2,
	KEYSTORE_ENTRIES_MAX = 1024,
	KEYSTORE_NUMBER_NONE = -1, /* the secret is not from the seed */
	KEYSTORE_TEXT_SIZE = 33,   /* chain and label, with the NUL; a-z 0-9 - */
	KEYSTORE_SALT_LEN = 16,
	KEYSTORE_NONCE_LEN = 24,
	KEYSTORE_RANDOM_LEN = KEYSTORE_SALT_LEN + KEYSTORE_NONCE_LEN,
	KEYSTORE_HEADER_LEN = 8 + 1 + 4 + 4 + KEYSTORE_RANDOM_LEN,
	KEYSTORE_TAG_LEN = 16,
	KEYSTORE_FILE_MAX = 256 * 1024,
	KEYSTORE_COPY_MAX = 2 * KEYSTORE_FILE_MAX, /* keystore_format_copy(), with its NUL */
	/* What is made; what is still opened: a file may not ask for more than a small machine has.
	 */
	KEYSTORE_OPS = 2,
	KEYSTORE_OPS_MAX = 16,
	KEYSTORE_MEMORY_KIB = 64 * 1024,
	KEYSTORE_MEMORY_KIB_MIN = 8,
	KEYSTORE_MEMORY_KIB_MAX = 1024 * 1024,
};

struct keystore_entry {
	enum object_kind kind;
	struct object_id id;
	int32_t number;			/* KEYSTORE_NUMBER_NONE, or from 0 in each chain */
	struct secret secret;		/* of the key that the object's seal pays to */
	char chain[KEYSTORE_TEXT_SIZE]; /* profile, "litecoin" */
	char label[KEYSTORE_TEXT_SIZE];
};

struct keystore {
	bool has_seed;
	struct secret seed;
	struct keystore_entry *entries; /* owned */
	size_t count;
};

struct keystore_cost {
	uint32_t ops;
	uint32_t memory_kib;
};

/* Wipes and frees the entries. */
void keystore_done(struct keystore *keystore);
/* Copies entry behind the others; over the one of the same id, chain and secret. 0, -ENOMEM,
 * -ENOSPC, or -EINVAL: a text that is not a label. */
int keystore_put(struct keystore *keystore, const struct keystore_entry *entry);
/* The newest; NULL when there is none; borrowed until the next put. */
const struct keystore_entry *keystore_find(const struct keystore *keystore, const char *chain,
					   const struct object_id *id);
/* The secret with this number in a chain; the keystore has a seed, number is not negative. */
void keystore_derive(const struct keystore *keystore, const struct id *id, const char *chain,
		     int32_t number, struct secret *ret_secret);
/* The first number behind those of a chain that were given out. */
int32_t keystore_next_number(const struct keystore *keystore, const char *chain);
/* Takes the entries of from, and its seed where there is none. -EEXIST: another seed is there, and
 * nothing was changed; else as keystore_put(). */
int keystore_merge(struct keystore *keystore, const struct keystore *from);

/* All of it as hexadecimal text, with a checksum of 4 bytes behind: not sealed. ret_text has
 * KEYSTORE_COPY_MAX chars. -ENOSPC. */
int keystore_format_copy(const struct keystore *keystore, char *ret_text);
/* White space in it does not count. 0; -DNET_EFORMAT: no such text, or the checksum is another;
 * -ENOMEM. */
int keystore_parse_copy(const char *text, struct keystore *ret_keystore);

/* random: KEYSTORE_RANDOM_LEN fresh bytes. cost NULL: KEYSTORE_OPS, KEYSTORE_MEMORY_KIB. *ret_file
 * is the caller's (free). 0, -ENOMEM (also when Argon2id gets no memory), -EINVAL (cost). */
int keystore_seal(const struct keystore *keystore, const void *passphrase, size_t passphrase_len,
		  const struct keystore_cost *cost,
		  const uint8_t random[static KEYSTORE_RANDOM_LEN], uint8_t **ret_file,
		  size_t *ret_len);
/* ret_keystore is the caller's (keystore_done()). 0; -DNET_EAUTH: wrong passphrase, or changed
 * after it was sealed; -DNET_EFORMAT: no keystore; -ENOTSUP: a later version; -E2BIG: asks for more
 * work than we do; -ENOMEM. */
int keystore_open(const uint8_t *file, size_t len, const void *passphrase, size_t passphrase_len,
		  struct keystore *ret_keystore);

/* The two layers of the file, without the cryptography between them. */
int keystore_read_header(const uint8_t *file, size_t len, struct keystore_cost *ret_cost,
			 uint8_t *ret_version);
int keystore_read_entries(const uint8_t *plain, size_t len, uint8_t version,
			  struct keystore *ret_keystore);
/* Length written, 0 when it does not fit. */
size_t keystore_write_entries(const struct keystore *keystore, uint8_t *dst, size_t size);

#endif
