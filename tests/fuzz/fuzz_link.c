#include "fuzz/fuzz.h"
#include "wire/link.h"
#include "wire/request.h"

#include <stdlib.h>
#include <string.h>

/* A link that is taken is written as one that says the same; a request as the same bytes, and the
 * same text. */

static void check_link(const char *text)
{
	static char written[LINK_TEXT_MAX + 1];
	struct link link, again;
	const char *why = link_parse(text, &link);

	if (why) {
		FUZZ_CHECK(*why);
		return;
	}
	FUZZ_CHECK(strlen(text) <= LINK_TEXT_MAX && link.helper_count <= LINK_HELPERS_MAX);
	FUZZ_CHECK(!link.roster[0] || !strncmp(link.roster, "http", 4));
	if (!link_format(&link, written))
		return; /* %XX for each byte of a URL can be too long */
	FUZZ_CHECK(!link_parse(written, &again));
	link.unknown = 0;
	memset(link.first_unknown, 0, sizeof(link.first_unknown));
	FUZZ_CHECK(!memcmp(&link, &again, sizeof(link)));
}

static void check_request(const struct request *request)
{
	char text[REQUEST_TEXT_SIZE];
	struct hash256 digest;
	struct request back;

	FUZZ_CHECK(request_format_text(request, text));
	FUZZ_CHECK(request_parse_text(text, &back));
	FUZZ_CHECK(!memcmp(request, &back, sizeof(back)));
	request_digest(request, &digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t bytes[REQUEST_MAX];
	struct request request;
	struct writer w;
	char *text = malloc(len + 1);

	FUZZ_CHECK(text);
	memcpy(text, data, len);
	text[len] = '\0';
	check_link(text);
	if (request_parse_text(text, &request))
		check_request(&request);
	free(text);
	if (!request_parse(data, len, &request))
		return 0;
	writer_init(&w, bytes, sizeof(bytes));
	request_write(&w, &request);
	FUZZ_CHECK(!w.failed && writer_len(&w) == len && !memcmp(bytes, data, len));
	check_request(&request);
	return 0;
}
