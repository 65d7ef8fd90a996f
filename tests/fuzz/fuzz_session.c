#include "core/error.h"
#include "core/session.h"
#include "fuzz/fuzz.h"
#include "wire/buf.h"
#include "wire/message.h"

#include <string.h>

/* A message as it comes, which nobody without the key can have made; or one that is sealed here
 * and then changed in one place: byte 1 says where, byte 2 how. */

enum { A = 0x0a, B = 0x0b };

static void open_raw(struct session *b, const uint8_t *data, size_t len)
{
	uint8_t *msg = malloc(len ? len : 1), *content = NULL;
	int r;

	if (!msg)
		abort();
	memcpy(msg, data, len);
	r = session_open(b, msg, len, &content);
	FUZZ_CHECK(r == -DNET_EFORMAT || r == -DNET_EAUTH || r == -DNET_EREPLAY);
	FUZZ_CHECK(!content);
	/* Both parsers say the same of a header. */
	FUZZ_CHECK(message_classify(data, len) == MESSAGE_DATA || r == -DNET_EFORMAT);
	free(msg);
}

static void open_changed(struct session *a, struct session *b, const uint8_t *data, size_t len)
{
	size_t size = len - 2 + SESSION_OVERHEAD, at = data[0] * size / 256;
	uint8_t *msg = malloc(size), *content = NULL;
	int r;

	if (!msg)
		abort();
	FUZZ_CHECK(session_seal(a, 0, data + 2, len - 2, msg, size) == size);
	msg[at] ^= data[1];
	r = session_open(b, msg, size, &content);
	if (data[1]) {
		FUZZ_CHECK(r < 0 && !content);
	} else {
		FUZZ_CHECK(r == (int)len - 2 && content == msg + SESSION_HEADER_LEN);
		FUZZ_CHECK(!memcmp(content, data + 2, len - 2));
		FUZZ_CHECK(session_open(b, msg, size, &content) < 0);
	}
	free(msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t keys[2][AEAD_KEY_LEN] = {{1}, {2}};
	struct session *a, *b;
	enum aead_kind kind;

	if (!len || len > MESSAGE_MAX - SESSION_OVERHEAD)
		return 0;
	kind = data[0] & 1 ? AEAD_AES256_GCM : AEAD_CHACHA20_POLY1305;
	a = session_new(kind, keys[0], keys[1], A, B, true, 0);
	b = session_new(kind, keys[1], keys[0], B, A, false, 0);
	if (!a || !b)
		abort();
	if (!(data[0] & 2))
		open_raw(b, data + 1, len - 1);
	else if (len > 2)
		open_changed(a, b, data + 1, len - 1);
	session_free(a);
	session_free(b);
	return 0;
}
