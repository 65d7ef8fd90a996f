#include "adapters/wg_uapi.h"
#include "fuzz/fuzz.h"

#include <string.h>

/* An answer is the same however it is cut into pieces, is bounded, and what is taken is a
 * configuration that differs from itself in nothing. */

static enum wg_uapi_result read_all(struct wg_uapi_answer *a, const char *text, size_t len,
				    size_t piece, size_t *ret_used)
{
	enum wg_uapi_result result = WG_UAPI_MORE;
	size_t at = 0;

	wg_uapi_answer_init(a);
	while (at < len && result == WG_UAPI_MORE) {
		size_t n = len - at < piece ? len - at : piece;
		size_t used = 0;

		result = wg_uapi_read(a, text + at, n, &used);
		FUZZ_CHECK(used > 0 && used <= n);
		FUZZ_CHECK(result != WG_UAPI_MORE || used == n);
		at += used;
	}
	*ret_used = at;
	return result;
}

static bool too_much(const struct wg_config *config)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		FUZZ_CHECK(config->peers[i].allowed_count <= WG_ALLOWED_MAX + 1);
		if (config->peers[i].allowed_count > WG_ALLOWED_MAX)
			return true;
		if (i > 0 &&
		    memcmp(config->peers[i - 1].key, config->peers[i].key, WG_KEY_LEN) == 0)
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct wg_uapi_answer whole, pieces;
	size_t used_whole, used_pieces;
	enum wg_uapi_result result =
		read_all(&whole, (const char *)data, len, len ? len : 1, &used_whole);

	FUZZ_CHECK(read_all(&pieces, (const char *)data, len, 3, &used_pieces) == result);
	FUZZ_CHECK(used_whole == used_pieces);
	if (result == WG_UAPI_DONE) {
		FUZZ_CHECK(whole.error >= 0 && whole.config.peer_count <= len);
		FUZZ_CHECK(whole.config.peer_count == pieces.config.peer_count);
		FUZZ_CHECK(whole.config.port == pieces.config.port);
		if (!too_much(&whole.config))
			FUZZ_CHECK(wg_config_diff(&whole.config, &pieces.config, NULL, NULL) == 0);
	}
	wg_uapi_answer_done(&whole);
	wg_uapi_answer_done(&pieces);
	return 0;
}
