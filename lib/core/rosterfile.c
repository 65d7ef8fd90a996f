#include "core/rosterfile.h"

#include "core/id.h"
#include "core/secret.h"
#include "wire/buf.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t magic[8] = {'d', 'n', 'e', 't', 'r', 'o', 's', 't'};
static const char wrap_salt[] = "dnet/roster/wrap/1";

enum {
	VERSION = 1,
	FORM_PLAIN = 0,
	FORM_ENCRYPTED = 1,
	HEAD_LEN = 8 + 1 + 1,
	TAG_LEN = 8,
	KEY_LEN = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
	MAC_LEN = crypto_aead_xchacha20poly1305_ietf_ABYTES,
	INNER_LEN = SCHNORR_LEN + 4,
	WRAPS_STEP = 16,
	INNER_STEP = 1024,
};

/* Each key seals once. */
static const uint8_t no_nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];

const char *roster_verdict_name(enum roster_verdict verdict)
{
	static const char *const names[ROSTER_VERDICT_COUNT] = {
#define X(name, word, text) [name] = #word,
		ROSTER_VERDICTS(X)
#undef X
	};
	return names[verdict];
}

const char *roster_verdict_text(enum roster_verdict verdict)
{
	static const char *const texts[ROSTER_VERDICT_COUNT] = {
#define X(name, word, text) [name] = text,
		ROSTER_VERDICTS(X)
#undef X
	};
	return texts[verdict];
}

/* Both sizes are rounded: to the next multiple of max(step, 2^(floor(log2 n) - 3)). */
static size_t round_size(size_t n, size_t step)
{
	size_t power = 1;

	while (power <= n / 2)
		power *= 2;
	if (power / 8 > step)
		step = power / 8;
	return (n + step - 1) / step * step;
}

/* RFC 5869, HKDF-SHA256, the first 40 bytes. */
static void hkdf(const uint8_t shared[static ID_SHARED_LEN], const struct object_id *dnet,
		 const struct node_key *ephemeral, const struct node_key *node,
		 uint8_t ret_key[static KEY_LEN], uint8_t ret_tag[static TAG_LEN])
{
	uint8_t prk[HASH_LEN], out[HASH_LEN];

	for (uint8_t i = 1; i <= 2; i++) {
		crypto_auth_hmacsha256_state h;

		if (i == 1) {
			crypto_auth_hmacsha256_init(&h, (const uint8_t *)wrap_salt,
						    sizeof(wrap_salt) - 1);
			crypto_auth_hmacsha256_update(&h, shared, ID_SHARED_LEN);
			crypto_auth_hmacsha256_final(&h, prk);
		}
		crypto_auth_hmacsha256_init(&h, prk, sizeof(prk));
		if (i == 2)
			crypto_auth_hmacsha256_update(&h, out, sizeof(out));
		crypto_auth_hmacsha256_update(&h, dnet->bytes, OBJECT_ID_LEN);
		crypto_auth_hmacsha256_update(&h, ephemeral->bytes, PUBKEY_LEN);
		crypto_auth_hmacsha256_update(&h, node->bytes, PUBKEY_LEN);
		crypto_auth_hmacsha256_update(&h, &i, 1);
		crypto_auth_hmacsha256_final(&h, out);
		secret_wipe(&h, sizeof(h));
		if (i == 1)
			memcpy(ret_key, out, KEY_LEN);
	}
	memcpy(ret_tag, out, TAG_LEN);
	secret_wipe(prk, sizeof(prk));
	secret_wipe(out, sizeof(out));
}

/* ---- Opening ---- */

/* The content key, out of the wrap for this node. Wraps are sorted; a damaged order is malformed
 * for everybody, so it is looked at as a whole. */
static enum roster_verdict unwrap(const struct id *id, const struct identity *node,
				  const struct object_id *dnet, const struct node_key *ephemeral,
				  const uint8_t *wraps, size_t count,
				  uint8_t ret_key[static KEY_LEN])
{
	uint8_t shared[ID_SHARED_LEN], key[KEY_LEN], tag[TAG_LEN];
	enum roster_verdict verdict = ROSTER_NOT_OURS;

	for (size_t i = 1; i < count; i++)
		if (memcmp(wraps + (i - 1) * ROSTERFILE_WRAP_LEN, wraps + i * ROSTERFILE_WRAP_LEN,
			   ROSTERFILE_WRAP_LEN) >= 0)
			return ROSTER_MALFORMED;
	if (!node)
		return ROSTER_NOT_OURS;
	if (!id_ecdh(id, &node->secret, ephemeral, shared))
		return ROSTER_MALFORMED;
	hkdf(shared, dnet, ephemeral, &node->key, key, tag);
	for (size_t i = 0; i < count; i++) {
		const uint8_t *wrap = wraps + i * ROSTERFILE_WRAP_LEN;

		if (memcmp(wrap, tag, TAG_LEN) != 0)
			continue;
		if (crypto_aead_xchacha20poly1305_ietf_decrypt(ret_key, NULL, NULL, wrap + TAG_LEN,
							       KEY_LEN + MAC_LEN, NULL, 0, no_nonce,
							       key) == 0)
			verdict = ROSTER_GOOD;
	}
	secret_wipe(shared, sizeof(shared));
	secret_wipe(key, sizeof(key));
	return verdict;
}

/* *ret_plain: signature, length, body, zeros; the caller's. */
static enum roster_verdict decrypt(const struct id *id, const struct identity *node,
				   const struct object_id *dnet, const uint8_t *file, size_t len,
				   uint8_t **ret_plain, size_t *ret_len)
{
	struct node_key ephemeral;
	struct reader r;
	uint8_t key[KEY_LEN], *plain;
	enum roster_verdict verdict;
	const uint8_t *wraps;
	size_t count, sealed;

	reader_init(&r, file + HEAD_LEN, len - HEAD_LEN);
	reader_copy(&r, ephemeral.bytes, PUBKEY_LEN);
	count = reader_u32(&r);
	if (r.failed || !count || count > reader_left(&r) / ROSTERFILE_WRAP_LEN ||
	    round_size(count, WRAPS_STEP) != count)
		return ROSTER_MALFORMED;
	wraps = reader_bytes(&r, count * ROSTERFILE_WRAP_LEN);
	sealed = reader_left(&r);
	if (sealed < INNER_LEN + MAC_LEN)
		return ROSTER_MALFORMED;
	verdict = unwrap(id, node, dnet, &ephemeral, wraps, count, key);
	if (verdict != ROSTER_GOOD)
		return verdict;
	plain = malloc(sealed);
	if (plain &&
	    crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, r.pos, sealed, file,
						       len - sealed, no_nonce, key) == 0) {
		*ret_plain = plain;
		*ret_len = sealed - MAC_LEN;
	} else {
		free(plain);
		verdict = ROSTER_MALFORMED;
	}
	secret_wipe(key, sizeof(key));
	return verdict;
}

/* Signature and body out of what was sealed. */
static bool take_inner(const uint8_t *plain, size_t len, const uint8_t **ret_signature,
		       const uint8_t **ret_body, size_t *ret_len)
{
	size_t body = load_u32(plain + SCHNORR_LEN);

	if (body > len - INNER_LEN || round_size(INNER_LEN + body, INNER_STEP) != len ||
	    !sodium_is_zero(plain + INNER_LEN + body, len - INNER_LEN - body))
		return false;
	*ret_signature = plain;
	*ret_body = plain + INNER_LEN;
	*ret_len = body;
	return true;
}

static enum roster_verdict check(const struct id *id, const struct object_id *dnet,
				 const uint8_t admin_key[static XONLY_LEN],
				 const uint8_t *signature, struct rosterfile *file,
				 const char **ret_why)
{
	const char *why = roster_parse(file->body, file->len, &file->roster);

	/* ROSTER 2: A file that is not encrypted has no PSK epoch */
	if (!why && file->roster.header.epoch.number && !file->encrypted)
		why = "it shows the PSK of its members to everybody";
	if (why) {
		*ret_why = why;
		return ROSTER_MALFORMED;
	}
	if (!object_id_equal(&file->roster.header.dnet, dnet))
		return ROSTER_WRONG_DNET;
	if (file->roster.header.epoch.number)
		secret_lock(file->body, ROSTER_HEADER_MAX); /* which is as long, with a PSK */
	roster_root(file->body, file->len, &file->root);
	return id_verify(id, admin_key, file->root.bytes, HASH_LEN, signature) ? ROSTER_GOOD
									       : ROSTER_SIGNATURE;
}

enum roster_verdict rosterfile_open(const struct id *id, const struct identity *node,
				    const struct object_id *dnet,
				    const uint8_t admin_key[static XONLY_LEN], const void *data,
				    size_t len, struct rosterfile *ret, const char **ret_why)
{
	const uint8_t *file = data, *signature, *body;
	enum roster_verdict verdict;
	struct rosterfile opened = {0};
	uint8_t *plain = NULL;
	size_t plain_len = 0;

	*ret_why = "it does not have the form of a roster";
	if (len < HEAD_LEN + SCHNORR_LEN || len > ROSTERFILE_MAX ||
	    memcmp(file, magic, sizeof(magic)) != 0 || file[8] != VERSION ||
	    file[9] > FORM_ENCRYPTED)
		return ROSTER_MALFORMED;
	opened.encrypted = file[9] == FORM_ENCRYPTED;
	if (opened.encrypted) {
		verdict = decrypt(id, node, dnet, file, len, &plain, &plain_len);
		if (verdict != ROSTER_GOOD)
			return verdict;
		if (!take_inner(plain, plain_len, &signature, &body, &opened.len)) {
			free(plain);
			return ROSTER_MALFORMED;
		}
	} else {
		body = file + HEAD_LEN;
		opened.len = len - HEAD_LEN - SCHNORR_LEN;
		signature = body + opened.len;
	}
	opened.body = malloc(opened.len + 1);
	if (opened.body) {
		memcpy(opened.body, body, opened.len);
		verdict = check(id, dnet, admin_key, signature, &opened, ret_why);
	} else {
		verdict = ROSTER_MALFORMED;
	}
	if (plain)
		secret_wipe(plain, plain_len);
	free(plain);
	if (verdict == ROSTER_GOOD)
		*ret = opened;
	else
		rosterfile_done(&opened);
	secret_wipe(&opened, sizeof(opened));
	return verdict;
}

void rosterfile_done(struct rosterfile *file)
{
	if (file->body)
		secret_wipe(file->body, file->len); /* it may have a PSK */
	free(file->body);
	secret_wipe(file, sizeof(*file));
}

enum roster_verdict rosterfile_judge(const struct rosterfile *file, uint32_t anchored_sequence,
				     const struct hash256 *anchored_root, uint64_t now_s)
{
	const struct roster_header *h = &file->roster.header;

	if (h->sequence != anchored_sequence)
		return h->sequence < anchored_sequence ? ROSTER_REPLAY : ROSTER_EARLY;
	if (memcmp(file->root.bytes, anchored_root->bytes, HASH_LEN) != 0)
		return ROSTER_FORK;
	return h->expires && h->expires <= now_s ? ROSTER_EXPIRED : ROSTER_GOOD;
}

/* ---- Sealing ---- */

static int compare_wraps(const void *a, const void *b)
{
	return memcmp(a, b, ROSTERFILE_WRAP_LEN);
}

/* Part n of the chance that the seed gives. */
static void draw(const uint8_t seed[static ROSTERFILE_SEED_LEN], uint64_t n, void *ret, size_t len)
{
	uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];

	store_u64(nonce, n);
	crypto_stream_chacha20(ret, len, nonce, seed);
}

static int make_wraps(const struct id *id, const struct object_id *dnet,
		      const struct identity *ephemeral, const uint8_t content[static KEY_LEN],
		      const struct node_key *recipients, size_t count, size_t padded,
		      const uint8_t *seed, uint8_t *wraps)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t shared[ID_SHARED_LEN], key[KEY_LEN];
		uint8_t *wrap = wraps + i * ROSTERFILE_WRAP_LEN;

		if (!id_ecdh(id, &ephemeral->secret, &recipients[i], shared))
			return -EINVAL;
		hkdf(shared, dnet, &ephemeral->key, &recipients[i], key, wrap);
		crypto_aead_xchacha20poly1305_ietf_encrypt(wrap + TAG_LEN, NULL, content, KEY_LEN,
							   NULL, 0, NULL, no_nonce, key);
		secret_wipe(shared, sizeof(shared));
		secret_wipe(key, sizeof(key));
	}
	draw(seed, 2, wraps + count * ROSTERFILE_WRAP_LEN, (padded - count) * ROSTERFILE_WRAP_LEN);
	qsort(wraps, padded, ROSTERFILE_WRAP_LEN, compare_wraps);
	for (size_t i = 1; i < padded; i++)
		if (compare_wraps(wraps + (i - 1) * ROSTERFILE_WRAP_LEN,
				  wraps + i * ROSTERFILE_WRAP_LEN) == 0)
			return -EINVAL; /* a key is there twice */
	return 0;
}

/* The whole encrypted file into memory of `size` bytes, with inner already padded. */
static int encrypt(const struct id *id, const struct object_id *dnet,
		   const struct node_key *recipients, size_t count, const uint8_t *seed,
		   const uint8_t *inner, size_t inner_len, uint8_t *file, size_t size)
{
	size_t padded = round_size(count, WRAPS_STEP);
	struct identity ephemeral;
	uint8_t content[KEY_LEN];
	struct secret secret;
	struct writer w;
	size_t head;
	int r;

	draw(seed, 0, secret.bytes, SECRET_LEN);
	draw(seed, 1, content, sizeof(content));
	r = id_from_secret(id, &secret, &ephemeral);
	secret_wipe(&secret, sizeof(secret));
	if (r)
		return -EINVAL; /* another seed, once in 2^128 */
	writer_init(&w, file, size);
	writer_copy(&w, magic, sizeof(magic));
	writer_u8(&w, VERSION);
	writer_u8(&w, FORM_ENCRYPTED);
	writer_copy(&w, ephemeral.key.bytes, PUBKEY_LEN);
	writer_u32(&w, (uint32_t)padded);
	head = writer_len(&w) + padded * ROSTERFILE_WRAP_LEN;
	r = make_wraps(id, dnet, &ephemeral, content, recipients, count, padded, seed, w.pos);
	if (r == 0)
		crypto_aead_xchacha20poly1305_ietf_encrypt(file + head, NULL, inner, inner_len,
							   file, head, NULL, no_nonce, content);
	secret_wipe(&ephemeral, sizeof(ephemeral));
	secret_wipe(content, sizeof(content));
	return r;
}

static int seal_for(const struct id *id, const struct object_id *dnet, const uint8_t *signature,
		    const void *body, size_t len, const struct node_key *recipients, size_t count,
		    const uint8_t *seed, uint8_t **ret_file, size_t *ret_len)
{
	size_t inner_len = round_size(INNER_LEN + len, INNER_STEP);
	size_t size = HEAD_LEN + PUBKEY_LEN + 4 +
		      round_size(count, WRAPS_STEP) * ROSTERFILE_WRAP_LEN + inner_len + MAC_LEN;
	uint8_t *inner, *file;
	int r = -ENOMEM;

	if (size > ROSTERFILE_MAX)
		return -E2BIG;
	inner = calloc(1, inner_len);
	file = malloc(size);
	if (inner && file) {
		memcpy(inner, signature, SCHNORR_LEN);
		store_u32(inner + SCHNORR_LEN, (uint32_t)len);
		memcpy(inner + INNER_LEN, body, len);
		r = encrypt(id, dnet, recipients, count, seed, inner, inner_len, file, size);
	}
	free(inner);
	if (r < 0) {
		free(file);
		return r;
	}
	*ret_file = file;
	*ret_len = size;
	return 0;
}

int rosterfile_seal(const struct id *id, const struct secret *admin, const void *body, size_t len,
		    const struct node_key *recipients, size_t recipient_count,
		    const uint8_t seed[static ROSTERFILE_SEED_LEN], uint8_t **ret_file,
		    size_t *ret_len)
{
	uint8_t signature[SCHNORR_LEN], aux[HASH_LEN], *file;
	struct roster roster;
	struct hash256 root;

	if (roster_parse(body, len, &roster) ||
	    (recipients && (!recipient_count || recipient_count > ROSTERFILE_RECIPIENTS_MAX)) ||
	    (!recipients && roster.header.epoch.number))
		return -EINVAL;
	roster_root(body, len, &root);
	draw(seed, 3, aux, sizeof(aux));
	if (!id_sign(id, admin, root.bytes, aux, signature))
		return -EINVAL;
	if (recipients)
		return seal_for(id, &roster.header.dnet, signature, body, len, recipients,
				recipient_count, seed, ret_file, ret_len);
	file = malloc(HEAD_LEN + len + SCHNORR_LEN);
	if (!file)
		return -ENOMEM;
	memcpy(file, magic, sizeof(magic));
	file[8] = VERSION;
	file[9] = FORM_PLAIN;
	memcpy(file + HEAD_LEN, body, len);
	memcpy(file + HEAD_LEN + len, signature, SCHNORR_LEN);
	*ret_file = file;
	*ret_len = HEAD_LEN + len + SCHNORR_LEN;
	return 0;
}
