#include "wire/tx.h"

#include <assert.h>

bool script_next(struct reader *r, struct script_op *ret)
{
	size_t len = 0;

	if (!reader_left(r))
		return false;
	ret->opcode = reader_u8(r);
	ret->is_push = ret->opcode <= OP_PUSHDATA4;
	if (ret->opcode <= SCRIPT_PUSH_DIRECT_MAX)
		len = ret->opcode;
	else if (ret->opcode == OP_PUSHDATA1)
		len = reader_u8(r);
	else if (ret->opcode == OP_PUSHDATA2)
		len = reader_u16(r);
	else if (ret->opcode == OP_PUSHDATA4)
		len = reader_u32(r);
	ret->push.data = reader_bytes(r, len);
	ret->push.len = len;
	return !r->failed;
}

enum script_kind script_classify(struct span script, struct span *ret_hash)
{
	const uint8_t *s = script.data;
	enum script_kind kind = SCRIPT_OTHER;
	struct span hash = {s, 0};

	if (script.len == 25 && s[0] == OP_DUP && s[1] == OP_HASH160 && s[2] == 20 &&
	    s[23] == OP_EQUALVERIFY && s[24] == OP_CHECKSIG) {
		kind = SCRIPT_P2PKH;
		hash = (struct span){s + 3, 20};
	} else if (script.len == 23 && s[0] == OP_HASH160 && s[1] == 20 && s[22] == OP_EQUAL) {
		kind = SCRIPT_P2SH;
		hash = (struct span){s + 2, 20};
	} else if (script.len == 22 && s[0] == OP_0 && s[1] == 20) {
		kind = SCRIPT_P2WPKH;
		hash = (struct span){s + 2, 20};
	} else if (script.len == 34 && (s[0] == OP_0 || s[0] == OP_1) && s[1] == 32) {
		kind = s[0] == OP_0 ? SCRIPT_P2WSH : SCRIPT_P2TR;
		hash = (struct span){s + 2, 32};
	} else if (script.len && s[0] == OP_RETURN) {
		kind = SCRIPT_OP_RETURN;
	}
	if (ret_hash)
		*ret_hash = hash;
	return kind;
}

void script_write(struct writer *w, enum script_kind kind, const uint8_t *hash)
{
	switch (kind) {
	case SCRIPT_P2PKH:
		writer_u8(w, OP_DUP);
		writer_u8(w, OP_HASH160);
		script_write_push(w, hash, 20);
		writer_u8(w, OP_EQUALVERIFY);
		writer_u8(w, OP_CHECKSIG);
		return;
	case SCRIPT_P2SH:
		writer_u8(w, OP_HASH160);
		script_write_push(w, hash, 20);
		writer_u8(w, OP_EQUAL);
		return;
	case SCRIPT_P2WPKH:
		writer_u8(w, OP_0);
		script_write_push(w, hash, 20);
		return;
	case SCRIPT_P2WSH:
	case SCRIPT_P2TR:
		writer_u8(w, kind == SCRIPT_P2WSH ? OP_0 : OP_1);
		script_write_push(w, hash, 32);
		return;
	case SCRIPT_OTHER:
	case SCRIPT_OP_RETURN:
		break;
	}
	w->failed = true;
}

void script_write_push(struct writer *w, const void *data, size_t len)
{
	if (len <= SCRIPT_PUSH_DIRECT_MAX) {
		writer_u8(w, (uint8_t)len);
	} else if (len <= UINT8_MAX) {
		writer_u8(w, OP_PUSHDATA1);
		writer_u8(w, (uint8_t)len);
	} else if (len <= UINT16_MAX) {
		writer_u8(w, OP_PUSHDATA2);
		writer_u16(w, (uint16_t)len);
	} else {
		w->failed = true;
	}
	writer_copy(w, data, len);
}
