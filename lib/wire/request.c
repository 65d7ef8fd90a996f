#include "wire/request.h"

#include "wire/hash.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static const char armour[] = "dnet-request:";

static_assert(sizeof(armour) - 1 == 13, "REQUEST_TEXT_SIZE");

static bool is_right(const struct request *r)
{
	return node_key_well_formed(&r->key) && (!r->name[0] || record_name_ok(r->name));
}

bool request_parse(const void *data, size_t len, struct request *ret)
{
	struct request request = {0};
	struct reader r;
	size_t name;

	reader_init(&r, data, len);
	if (reader_u8(&r) != REQUEST_VERSION)
		return false;
	reader_copy(&r, request.dnet.bytes, OBJECT_ID_LEN);
	reader_copy(&r, request.key.bytes, PUBKEY_LEN);
	request.date = reader_u64(&r);
	name = reader_u8(&r);
	if (r.failed || name > RECORD_NAME_MAX)
		return false;
	reader_copy(&r, request.name, name);
	if (strlen(request.name) != name || !is_right(&request))
		return false;
	reader_copy(&r, request.signature, REQUEST_SIGNATURE_LEN);
	if (!reader_done(&r))
		return false;
	*ret = request;
	return true;
}

static void write_signed(struct writer *w, const struct request *r)
{
	size_t name = strnlen(r->name, RECORD_NAME_MAX + 1);

	if (name > RECORD_NAME_MAX || !is_right(r)) {
		w->failed = true;
		return;
	}
	writer_u8(w, REQUEST_VERSION);
	writer_copy(w, r->dnet.bytes, OBJECT_ID_LEN);
	writer_copy(w, r->key.bytes, PUBKEY_LEN);
	writer_u64(w, r->date);
	writer_u8(w, (uint8_t)name);
	writer_copy(w, r->name, name);
}

void request_write(struct writer *w, const struct request *request)
{
	write_signed(w, request);
	writer_copy(w, request->signature, REQUEST_SIGNATURE_LEN);
}

void request_digest(const struct request *request, struct hash256 *ret)
{
	uint8_t bytes[REQUEST_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	write_signed(&w, request);
	hash_tagged_written("dnet/request/1", &w, ret);
}

bool request_parse_text(const char *text, struct request *ret)
{
	uint8_t bytes[REQUEST_MAX];
	const char *end;
	size_t len;

	if (strncmp(text, armour, strlen(armour)) != 0)
		return false;
	text += strlen(armour);
	if (strnlen(text, REQUEST_TEXT_SIZE) >= REQUEST_TEXT_SIZE ||
	    sodium_base642bin(bytes, sizeof(bytes), text, strlen(text), NULL, &len, &end,
			      sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
	    *end)
		return false;
	return request_parse(bytes, len, ret);
}

bool request_format_text(const struct request *request, char ret[static REQUEST_TEXT_SIZE])
{
	uint8_t bytes[REQUEST_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	request_write(&w, request);
	if (w.failed)
		return false;
	memcpy(ret, armour, strlen(armour));
	sodium_bin2base64(ret + strlen(armour), REQUEST_TEXT_SIZE - strlen(armour), bytes,
			  writer_len(&w), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return true;
}
