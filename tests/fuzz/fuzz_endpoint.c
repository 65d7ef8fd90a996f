#include "cli/records.h"
#include "fuzz/fuzz.h"

#include <string.h>

/* What is taken as a URL is written in a form that means the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct record_endpoint endpoint, again;
	char text[ENDPOINT_URL_MAX], twice[ENDPOINT_URL_MAX];
	char *input = malloc(len + 1);

	FUZZ_CHECK(input);
	memcpy(input, data, len);
	input[len] = '\0';
	if (endpoint_url_parse(input, &endpoint)) {
		endpoint_url(&endpoint, text);
		FUZZ_CHECK(endpoint_url_parse(text, &again));
		endpoint_url(&again, twice);
		FUZZ_CHECK(!strcmp(text, twice));
		FUZZ_CHECK(endpoint.port && endpoint.port == again.port);
	}
	free(input);
	return 0;
}
