#include "core/keystore.h"

#include "core/error.h"
#include "core/secret.h"
#include "wire/buf.h"
#include "wire/hash.h"
#include "wire/hex.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
	VERSION_1 = 1,
	SUM_LEN = 4,
	HEAD_LEN = SECRET_LEN + 4,
	ENTRY_MIN_1 = 1 + OBJECT_ID_LEN + SECRET_LEN + 1 + 1,
	ENTRY_MIN = ENTRY_MIN_1 + 4,
	ENTRY_MAX = ENTRY_MIN + 2 * (KEYSTORE_TEXT_SIZE - 1),
};

static const uint8_t magic[8] = {'d', 'n', 'e', 't', 'k', 'e', 'y', 's'};

static_assert(KEYSTORE_SALT_LEN == crypto_pwhash_SALTBYTES, "salt");
static_assert(KEYSTORE_NONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
static_assert(KEYSTORE_TAG_LEN == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
static_assert(KEYSTORE_FILE_MAX >= KEYSTORE_HEADER_LEN + HEAD_LEN +
					   KEYSTORE_ENTRIES_MAX * ENTRY_MAX + KEYSTORE_TAG_LEN,
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
	keystore->has_seed = false;
	secret_wipe(&keystore->seed, sizeof(keystore->seed));
}

static bool text_ok(const char *text)
{
	size_t len = strnlen(text, KEYSTORE_TEXT_SIZE);

	return len < KEYSTORE_TEXT_SIZE &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static bool is_of(const struct keystore_entry *entry, const char *chain, const struct object_id *id)
{
	return object_id_equal(&entry->id, id) && !strcmp(entry->chain, chain);
}

static struct keystore_entry *find_same(const struct keystore *keystore,
					const struct keystore_entry *other)
{
	for (size_t i = 0; i < keystore->count; i++) {
		struct keystore_entry *entry = &keystore->entries[i];

		if (is_of(entry, other->chain, &other->id) &&
		    secret_bytes_equal(&entry->secret, &other->secret, SECRET_LEN))
			return entry;
	}
	return NULL;
}

const struct keystore_entry *keystore_find(const struct keystore *keystore, const char *chain,
					   const struct object_id *id)
{
	for (size_t i = keystore->count; i > 0; i--) {
		if (is_of(&keystore->entries[i - 1], chain, id))
			return &keystore->entries[i - 1];
	}
	return NULL;
}

void keystore_derive(const struct keystore *keystore, const struct id *id, const char *chain,
		     int32_t number, struct secret *ret_secret)
{
	uint8_t context[KEYSTORE_TEXT_SIZE + 4] = {0};
	size_t len = strnlen(chain, KEYSTORE_TEXT_SIZE - 1) + 1;

	assert(keystore->has_seed && number >= 0);
	memcpy(context, chain, len - 1);
	store_u32(context + len, (uint32_t)number);
	id_derive(id, &keystore->seed, "dnet/owner/1", context, len + 4, ret_secret);
}

int32_t keystore_next_number(const struct keystore *keystore, const char *chain)
{
	int32_t next = 0;

	for (size_t i = 0; i < keystore->count; i++) {
		const struct keystore_entry *entry = &keystore->entries[i];

		if (!strcmp(entry->chain, chain) && entry->number >= next &&
		    entry->number < INT32_MAX)
			next = entry->number + 1;
	}
	return next;
}

int keystore_merge(struct keystore *keystore, const struct keystore *from)
{
	int r = 0;

	if (keystore->has_seed && from->has_seed &&
	    !secret_bytes_equal(&keystore->seed, &from->seed, SECRET_LEN))
		return -EEXIST;
	if (from->has_seed) {
		keystore->has_seed = true;
		keystore->seed = from->seed;
	}
	for (size_t i = 0; !r && i < from->count; i++)
		r = keystore_put(keystore, &from->entries[i]);
	return r;
}

int keystore_put(struct keystore *keystore, const struct keystore_entry *entry)
{
	size_t size = keystore->count * sizeof(*entry);
	struct keystore_entry *entries;
	struct keystore_entry *old;

	if (!text_ok(entry->chain) || !text_ok(entry->label))
		return -EINVAL;
	old = find_same(keystore, entry);
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
	writer_copy(&w, keystore->seed.bytes, SECRET_LEN);
	writer_u32(&w, (uint32_t)keystore->count);
	for (size_t i = 0; i < keystore->count; i++) {
		const struct keystore_entry *entry = &keystore->entries[i];

		writer_u8(&w, (uint8_t)entry->kind);
		writer_copy(&w, entry->id.bytes, OBJECT_ID_LEN);
		writer_u32(&w, (uint32_t)entry->number);
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

static void read_entry(struct reader *r, uint8_t version, struct keystore_entry *ret_entry)
{
	uint8_t kind = reader_u8(r);

	if (kind != OBJECT_DNET && kind != OBJECT_OVC && kind != OBJECT_OVR)
		r->failed = true;
	ret_entry->kind = kind;
	reader_copy(r, ret_entry->id.bytes, OBJECT_ID_LEN);
	ret_entry->number = version == VERSION_1 ? KEYSTORE_NUMBER_NONE : (int32_t)reader_u32(r);
	if (ret_entry->number < KEYSTORE_NUMBER_NONE)
		r->failed = true;
	reader_copy(r, ret_entry->secret.bytes, SECRET_LEN);
	read_text(r, ret_entry->chain);
	read_text(r, ret_entry->label);
}

/* A seed of zeros is none. */
static void read_seed(struct reader *r, struct keystore *keystore)
{
	static const struct secret none;

	reader_copy(r, keystore->seed.bytes, SECRET_LEN);
	keystore->has_seed = !secret_bytes_equal(&keystore->seed, &none, SECRET_LEN);
}

int keystore_read_entries(const uint8_t *plain, size_t len, uint8_t version,
			  struct keystore *ret_keystore)
{
	size_t least = version == VERSION_1 ? ENTRY_MIN_1 : ENTRY_MIN;
	struct keystore keystore = {0};
	struct reader r;
	uint32_t count;

	reader_init(&r, plain, len);
	if (version != VERSION_1)
		read_seed(&r, &keystore);
	count = reader_u32(&r);
	if (r.failed || count > KEYSTORE_ENTRIES_MAX || count > reader_left(&r) / least) {
		keystore_done(&keystore);
		return -DNET_EFORMAT;
	}
	keystore.entries = calloc(count ? count : 1, sizeof(*keystore.entries));
	if (!keystore.entries) {
		keystore_done(&keystore);
		return -ENOMEM;
	}
	secret_lock(keystore.entries, (count ? count : 1) * sizeof(*keystore.entries));
	for (keystore.count = 0; keystore.count < count && !r.failed; keystore.count++) {
		struct keystore_entry *entry = &keystore.entries[keystore.count];

		read_entry(&r, version, entry);
		if (find_same(&keystore, entry) ||
		    (entry->number != KEYSTORE_NUMBER_NONE && !keystore.has_seed))
			r.failed = true;
	}
	if (!reader_done(&r)) {
		keystore_done(&keystore);
		return -DNET_EFORMAT;
	}
	*ret_keystore = keystore;
	return 0;
}

static void copy_sum(const uint8_t *plain, size_t len, uint8_t ret_sum[static SUM_LEN])
{
	struct hash256 hash;

	hash_tagged("dnet/copy/1", plain, len, &hash);
	memcpy(ret_sum, hash.bytes, SUM_LEN);
}

int keystore_format_copy(const struct keystore *keystore, char *ret_text)
{
	uint8_t *plain = new_secret(KEYSTORE_FILE_MAX);
	size_t len;

	if (!plain)
		return -ENOMEM;
	plain[0] = KEYSTORE_VERSION;
	len = keystore_write_entries(keystore, plain + 1, KEYSTORE_FILE_MAX / 2);
	if (len) {
		copy_sum(plain, len + 1, plain + len + 1);
		hex_format(plain, len + 1 + SUM_LEN, ret_text);
	}
	wipe_free(plain, KEYSTORE_FILE_MAX);
	return len ? 0 : -ENOSPC;
}

/* The digits without white space; the caller's (free). NULL: no memory, or too many. */
static char *copy_digits(const char *text)
{
	size_t len = 0;
	char *digits = new_secret(KEYSTORE_COPY_MAX);

	for (; digits && *text; text++) {
		if (strchr(" \t\r\n", *text))
			continue;
		if (len + 1 == KEYSTORE_COPY_MAX) {
			wipe_free(digits, KEYSTORE_COPY_MAX);
			return NULL;
		}
		digits[len++] = *text;
	}
	if (digits)
		digits[len] = '\0';
	return digits;
}

int keystore_parse_copy(const char *text, struct keystore *ret_keystore)
{
	uint8_t *plain = new_secret(KEYSTORE_FILE_MAX), sum[SUM_LEN];
	char *digits = copy_digits(text);
	int r = -DNET_EFORMAT;
	size_t len;

	if (!plain) {
		r = -ENOMEM;
	} else if (digits && hex_parse_any(digits, plain, KEYSTORE_FILE_MAX, &len) &&
		   len > SUM_LEN && plain[0] == KEYSTORE_VERSION) {
		copy_sum(plain, len - SUM_LEN, sum);
		if (!memcmp(sum, plain + len - SUM_LEN, SUM_LEN))
			r = keystore_read_entries(plain + 1, len - 1 - SUM_LEN, plain[0],
						  ret_keystore);
	}
	wipe_free(plain, KEYSTORE_FILE_MAX);
	wipe_free(digits, KEYSTORE_COPY_MAX);
	return r;
}

static bool cost_ok(const struct keystore_cost *cost)
{
	return cost->ops >= 1 && cost->ops <= KEYSTORE_OPS_MAX &&
	       cost->memory_kib >= KEYSTORE_MEMORY_KIB_MIN &&
	       cost->memory_kib <= KEYSTORE_MEMORY_KIB_MAX;
}

int keystore_read_header(const uint8_t *file, size_t len, struct keystore_cost *ret_cost,
			 uint8_t *ret_version)
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
	if (!r.failed && version != VERSION_1 && version != KEYSTORE_VERSION)
		return -ENOTSUP;
	cost.ops = reader_u32(&r);
	cost.memory_kib = reader_u32(&r);
	reader_bytes(&r, KEYSTORE_RANDOM_LEN);
	if (r.failed || reader_left(&r) < 4 + KEYSTORE_TAG_LEN)
		return -DNET_EFORMAT;
	if (!cost_ok(&cost))
		return -E2BIG;
	*ret_cost = cost;
	*ret_version = version;
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
	writer_u8(&w, KEYSTORE_VERSION);
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
	size_t size = HEAD_LEN + keystore->count * ENTRY_MAX, len;
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
	uint8_t key[32], *plain, version;
	int r;

	r = keystore_read_header(file, len, &cost, &version);
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
	r = keystore_read_entries(plain, (size_t)plain_len, version, ret_keystore);
out:
	secret_wipe(key, sizeof(key));
	wipe_free(plain, len);
	return r;
}
