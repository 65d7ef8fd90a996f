#include "core/keystore.h"

#include "core/error.h"
#include "core/secret.h"
#include "wire/buf.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
	VERSION = 1,
	ENTRY_MIN = 1 + OBJECT_ID_LEN + SECRET_LEN + 1 + 1,
	ENTRY_MAX = ENTRY_MIN + 2 * (KEYSTORE_TEXT_SIZE - 1),
};

static const uint8_t magic[8] = {'d', 'n', 'e', 't', 'k', 'e', 'y', 's'};

static_assert(KEYSTORE_SALT_LEN == crypto_pwhash_SALTBYTES, "salt");
static_assert(KEYSTORE_NONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
static_assert(KEYSTORE_TAG_LEN == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
static_assert(KEYSTORE_FILE_MAX >=
		      KEYSTORE_HEADER_LEN + 4 + KEYSTORE_ENTRIES_MAX * ENTRY_MAX + KEYSTORE_TAG_LEN,
	      "a full keystore fits");

static void *new_secret(size_t size)
{
	void *mem = malloc(size);

	if (mem)
		secret_lock(mem, size);
	return mem;
}

static void wipe_free(void *mem, size_t len)
{
	if (mem && len)
		secret_wipe(mem, len);
	free(mem);
}

void keystore_done(struct keystore *keystore)
{
	wipe_free(keystore->entries, keystore->count * sizeof(*keystore->entries));
	keystore->entries = NULL;
	keystore->count = 0;
}

static bool text_ok(const char *text)
{
	size_t len = strnlen(text, KEYSTORE_TEXT_SIZE);

	return len < KEYSTORE_TEXT_SIZE &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static struct keystore_entry *find(const struct keystore *keystore, const char *chain,
				   const struct object_id *id)
{
	for (size_t i = 0; i < keystore->count; i++) {
		struct keystore_entry *entry = &keystore->entries[i];

		if (object_id_equal(&entry->id, id) && !strcmp(entry->chain, chain))
			return entry;
	}
	return NULL;
}

const struct keystore_entry *keystore_find(const struct keystore *keystore, const char *chain,
					   const struct object_id *id)
{
	return find(keystore, chain, id);
}

int keystore_put(struct keystore *keystore, const struct keystore_entry *entry)
{
	size_t size = keystore->count * sizeof(*entry);
	struct keystore_entry *entries;
	struct keystore_entry *old;

	if (!text_ok(entry->chain) || !text_ok(entry->label))
		return -EINVAL;
	old = find(keystore, entry->chain, &entry->id);
	if (old) {
		*old = *entry;
		return 0;
	}
	if (keystore->count >= KEYSTORE_ENTRIES_MAX)
		return -ENOSPC;
	/* Not realloc(): it may leave a copy of the secrets behind. */
	entries = new_secret(size + sizeof(*entry));
	if (!entries)
		return -ENOMEM;
	if (size)
		memcpy(entries, keystore->entries, size);
	wipe_free(keystore->entries, size);
	entries[keystore->count++] = *entry;
	keystore->entries = entries;
	return 0;
}

static void write_text(struct writer *w, const char *text)
{
	writer_u8(w, (uint8_t)strlen(text));
	writer_copy(w, text, strlen(text));
}

size_t keystore_write_entries(const struct keystore *keystore, uint8_t *dst, size_t size)
{
	struct writer w;

	writer_init(&w, dst, size);
	writer_u32(&w, (uint32_t)keystore->count);
	for (size_t i = 0; i < keystore->count; i++) {
		const struct keystore_entry *entry = &keystore->entries[i];

		writer_u8(&w, (uint8_t)entry->kind);
		writer_copy(&w, entry->id.bytes, OBJECT_ID_LEN);
		writer_copy(&w, entry->secret.bytes, SECRET_LEN);
		write_text(&w, entry->chain);
		write_text(&w, entry->label);
	}
	return w.failed ? 0 : writer_len(&w);
}

static void read_text(struct reader *r, char ret[static KEYSTORE_TEXT_SIZE])
{
	size_t len = reader_u8(r);

	memset(ret, 0, KEYSTORE_TEXT_SIZE);
	if (len >= KEYSTORE_TEXT_SIZE)
		r->failed = true;
	reader_copy(r, ret, r->failed ? 0 : len);
	if (strlen(ret) != len || !text_ok(ret))
		r->failed = true;
}

static void read_entry(struct reader *r, struct keystore_entry *ret_entry)
{
	uint8_t kind = reader_u8(r);

	if (kind != OBJECT_DNET && kind != OBJECT_OVC && kind != OBJECT_OVR)
		r->failed = true;
	ret_entry->kind = kind;
	reader_copy(r, ret_entry->id.bytes, OBJECT_ID_LEN);
	reader_copy(r, ret_entry->secret.bytes, SECRET_LEN);
	read_text(r, ret_entry->chain);
	read_text(r, ret_entry->label);
}

int keystore_read_entries(const uint8_t *plain, size_t len, struct keystore *ret_keystore)
{
	struct keystore keystore = {0};
	struct reader r;
	uint32_t count;

	reader_init(&r, plain, len);
	count = reader_u32(&r);
	if (r.failed || count > KEYSTORE_ENTRIES_MAX || count > reader_left(&r) / ENTRY_MIN)
		return -DNET_EFORMAT;
	keystore.entries = calloc(count ? count : 1, sizeof(*keystore.entries));
	if (!keystore.entries)
		return -ENOMEM;
	secret_lock(keystore.entries, (count ? count : 1) * sizeof(*keystore.entries));
	for (keystore.count = 0; keystore.count < count && !r.failed; keystore.count++) {
		struct keystore_entry *entry = &keystore.entries[keystore.count];

		read_entry(&r, entry);
		if (find(&keystore, entry->chain, &entry->id))
			r.failed = true;
	}
	if (!reader_done(&r)) {
		keystore_done(&keystore);
		return -DNET_EFORMAT;
	}
	*ret_keystore = keystore;
	return 0;
}

static bool cost_ok(const struct keystore_cost *cost)
{
	return cost->ops >= 1 && cost->ops <= KEYSTORE_OPS_MAX &&
	       cost->memory_kib >= KEYSTORE_MEMORY_KIB_MIN &&
	       cost->memory_kib <= KEYSTORE_MEMORY_KIB_MAX;
}

int keystore_read_header(const uint8_t *file, size_t len, struct keystore_cost *ret_cost)
{
	struct keystore_cost cost;
	const uint8_t *got;
	struct reader r;
	uint8_t version;

	if (len > KEYSTORE_FILE_MAX)
		return -DNET_EFORMAT;
	reader_init(&r, file, len);
	got = reader_bytes(&r, sizeof(magic));
	if (!got || memcmp(got, magic, sizeof(magic)))
		return -DNET_EFORMAT;
	version = reader_u8(&r);
	if (!r.failed && version != VERSION)
		return -ENOTSUP;
	cost.ops = reader_u32(&r);
	cost.memory_kib = reader_u32(&r);
	reader_bytes(&r, KEYSTORE_RANDOM_LEN);
	if (r.failed || reader_left(&r) < 4 + KEYSTORE_TAG_LEN)
		return -DNET_EFORMAT;
	if (!cost_ok(&cost))
		return -E2BIG;
	*ret_cost = cost;
	return 0;
}

static bool derive(const void *passphrase, size_t len, const struct keystore_cost *cost,
		   const uint8_t *salt, uint8_t ret_key[static 32])
{
	return !crypto_pwhash(ret_key, 32, passphrase, len, salt, cost->ops,
			      (size_t)cost->memory_kib * 1024, crypto_pwhash_ALG_ARGON2ID13);
}

static void write_header(uint8_t *dst, const struct keystore_cost *cost, const uint8_t *random)
{
	struct writer w;

	writer_init(&w, dst, KEYSTORE_HEADER_LEN);
	writer_copy(&w, magic, sizeof(magic));
	writer_u8(&w, VERSION);
	writer_u32(&w, cost->ops);
	writer_u32(&w, cost->memory_kib);
	writer_copy(&w, random, KEYSTORE_RANDOM_LEN);
	assert(!w.failed && writer_len(&w) == KEYSTORE_HEADER_LEN);
}

int keystore_seal(const struct keystore *keystore, const void *passphrase, size_t passphrase_len,
		  const struct keystore_cost *cost,
		  const uint8_t random[static KEYSTORE_RANDOM_LEN], uint8_t **ret_file,
		  size_t *ret_len)
{
	static const struct keystore_cost standard = {KEYSTORE_OPS, KEYSTORE_MEMORY_KIB};
	size_t size = 4 + keystore->count * ENTRY_MAX, len;
	uint8_t *plain = NULL, *file = NULL;
	unsigned long long sealed_len;
	uint8_t key[32];
	int r = -ENOMEM;

	if (!cost)
		cost = &standard;
	if (!cost_ok(cost))
		return -EINVAL;
	plain = new_secret(size);
	file = malloc(KEYSTORE_HEADER_LEN + size + KEYSTORE_TAG_LEN);
	if (!plain || !file || !derive(passphrase, passphrase_len, cost, random, key))
		goto out;
	len = keystore_write_entries(keystore, plain, size);
	assert(len);
	write_header(file, cost, random);
	crypto_aead_xchacha20poly1305_ietf_encrypt(file + KEYSTORE_HEADER_LEN, &sealed_len, plain,
						   len, file, KEYSTORE_HEADER_LEN, NULL,
						   random + KEYSTORE_SALT_LEN, key);
	*ret_file = file;
	*ret_len = KEYSTORE_HEADER_LEN + (size_t)sealed_len;
	file = NULL;
	r = 0;
out:
	secret_wipe(key, sizeof(key));
	wipe_free(plain, size);
	free(file);
	return r;
}

int keystore_open(const uint8_t *file, size_t len, const void *passphrase, size_t passphrase_len,
		  struct keystore *ret_keystore)
{
	const uint8_t *random = file + KEYSTORE_HEADER_LEN - KEYSTORE_RANDOM_LEN;
	struct keystore_cost cost;
	unsigned long long plain_len;
	uint8_t key[32], *plain;
	int r;

	r = keystore_read_header(file, len, &cost);
	if (r)
		return r;
	plain = new_secret(len);
	if (!plain)
		return -ENOMEM;
	if (!derive(passphrase, passphrase_len, &cost, random, key)) {
		r = -ENOMEM;
		goto out;
	}
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    plain, &plain_len, NULL, file + KEYSTORE_HEADER_LEN, len - KEYSTORE_HEADER_LEN,
		    file, KEYSTORE_HEADER_LEN, random + KEYSTORE_SALT_LEN, key)) {
		r = -DNET_EAUTH;
		goto out;
	}
	r = keystore_read_entries(plain, (size_t)plain_len, ret_keystore);
out:
	secret_wipe(key, sizeof(key));
	wipe_free(plain, len);
	return r;
}
