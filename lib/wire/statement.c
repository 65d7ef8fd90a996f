#include "wire/statement.h"

#include "wire/hash.h"

#include <assert.h>

static_assert(STATEMENT_HEADER_LEN == 66 && STATEMENT_MAX == 930, "PROTOCOL 9");

static bool is_right(const struct statement *s)
{
	/* PROTOCOL 9.1: Kind is 1 (signed by a node of that dnet) or 2 (signed by that OVC); … */
	if (s->kind != OBJECT_DNET && s->kind != OBJECT_OVC)
		return false;
	if (!node_key_well_formed(&s->signer))
		return false;
	if (s->backend <= BACKEND_NATIVE || !s->key_len || s->key_len > STATEMENT_KEY_MAX)
		return false;
	return s->backend != BACKEND_WIREGUARD || s->key_len == STATEMENT_WIREGUARD_LEN;
}

bool statement_parse(const void *data, size_t len, struct statement *ret)
{
	struct statement s = {0};
	struct reader r;

	reader_init(&r, data, len);
	if (reader_u8(&r) != STATEMENT_VERSION)
		return false;
	s.backend = reader_u8(&r);
	s.kind = reader_u8(&r);
	reader_copy(&r, s.object.bytes, OBJECT_ID_LEN);
	reader_copy(&r, s.signer.bytes, PUBKEY_LEN);
	s.date = reader_u64(&r);
	s.key_len = reader_u16(&r);
	if (r.failed || !is_right(&s))
		return false;
	reader_copy(&r, s.key, s.key_len);
	reader_copy(&r, s.signature, STATEMENT_SIGNATURE_LEN);
	if (!reader_done(&r))
		return false;
	*ret = s;
	return true;
}

static void write_signed(struct writer *w, const struct statement *s)
{
	if (!is_right(s)) {
		w->failed = true;
		return;
	}
	writer_u8(w, STATEMENT_VERSION);
	writer_u8(w, s->backend);
	writer_u8(w, s->kind);
	writer_copy(w, s->object.bytes, OBJECT_ID_LEN);
	writer_copy(w, s->signer.bytes, PUBKEY_LEN);
	writer_u64(w, s->date);
	writer_u16(w, s->key_len);
	writer_copy(w, s->key, s->key_len);
}

void statement_write(struct writer *w, const struct statement *statement)
{
	write_signed(w, statement);
	writer_copy(w, statement->signature, STATEMENT_SIGNATURE_LEN);
}

void statement_digest(const struct statement *statement, struct hash256 *ret)
{
	uint8_t bytes[STATEMENT_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	write_signed(&w, statement);
	hash_tagged_written("dnet/statement/1", &w, ret);
}
