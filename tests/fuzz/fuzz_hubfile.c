#include "fuzz/fuzz.h"

#include "fixture/signed_text.h"
#include "wire/bech32.h"

#include <string.h>

/* The file that programs beside ovcd write (hub-statement): all of its lines are taken, or none and
 * the number of a wrong one is said. What is taken is this OVC's own, and signed by it. `%0` to
 * `%9` are right statements by this OVC and by others, `$` is the id of a dnet. */

#include "ovc/hubs.c"

static const struct object_id self = {{9}}, dnet = {{7}};
static struct node_key own_key;
static size_t taken;
static unsigned cleared;

const struct id *ovc_curve(const struct ovc *ovc)
{
	return signed_curve();
}

const struct node_key *ovc_key(const struct ovc *ovc)
{
	return &own_key;
}

void ovc_clear_hubs(struct ovc *ovc)
{
	FUZZ_CHECK(!taken);
	cleared++;
}

int ovc_add_hub(struct ovc *ovc, const struct object_id *id, uint16_t port,
		const struct statement *statement)
{
	FUZZ_CHECK(cleared == 1 && port > 0 && taken < OVC_HUBS_MAX);
	FUZZ_CHECK(statement->kind == OBJECT_OVC && object_id_equal(&statement->object, &self));
	FUZZ_CHECK(node_key_equal(&statement->signer, &own_key));
	FUZZ_CHECK(book_is_signed(signed_curve(), statement));
	taken++;
	return 0;
}

/* Each `$` becomes the id. */
static char *with_ids(const char *text)
{
	char id[OBJECT_ID_TEXT_SIZE], *out = calloc(2 * SIGNED_TEXT_MAX, 1);
	size_t at = 0;

	if (!out)
		abort();
	object_id_format(OBJECT_DNET, &dnet, id);
	for (; *text && at + sizeof(id) < 2 * SIGNED_TEXT_MAX; text++) {
		if (*text != '$') {
			out[at++] = *text;
			continue;
		}
		memcpy(out + at, id, strlen(id));
		at += strlen(id);
	}
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct statement like = {
		.backend = BACKEND_TINC, .kind = OBJECT_OVC, .object = self, .key_len = 32};
	char *plain = signed_text(data, len, &like), *text = with_ids(plain);
	const char *why = NULL;
	unsigned line = 0;
	int r;

	own_key = signed_identity(0).key;
	taken = cleared = 0;
	r = ovc_read_hubs(NULL, text, &self, &line, &why);
	FUZZ_CHECK(r == 0 || r == -EBADMSG);
	if (r == 0)
		FUZZ_CHECK(cleared == 1 && !why);
	else
		FUZZ_CHECK(!cleared && !taken && why && line > 0 && line <= len);
	free(text);
	free(plain);
	return 0;
}
