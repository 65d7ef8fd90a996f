#include "core/chainparams.h"
#include "fuzz/fuzz.h"

#include <curl/curl.h>
#include <string.h>

/* A chain node that answers anything: the JSON-RPC and REST clients above a connection that is
 * played here, and what chainwatch makes of the answers. The input is a walk of questions: a byte
 * that chooses one, a byte of count; then for each request a byte of HTTP status, a byte of length
 * (times 4) and the body. Each '#' in a body becomes the next number of a request, so that answers
 * may fit. */

enum { PIECE = 37, ANSWER_LIMIT = 1000 }; /* bytes that come at once; that are taken */

static CURLcode fake_perform(CURL *curl);
static CURLcode fake_getinfo(CURL *curl, CURLINFO info, void *ret);

#undef curl_easy_getinfo
#define curl_easy_perform		     fake_perform
#define curl_easy_getinfo(curl, info, value) fake_getinfo(curl, info, (void *)(value))
#include "chainwatch/rest.c"
#include "chainwatch/source_rpc.c"
#include "os/rpc.c"

static const uint8_t *input;
static size_t input_left;
static struct source_rpc *asking; /* borrowed */
static uint64_t first;		  /* number of the request that runs, or of the first of many */
static long status;

static uint8_t take_byte(void)
{
	if (!input_left)
		return 0;
	input_left--;
	return *input++;
}

static bool answer(const char *text, size_t len)
{
	for (size_t done = 0, part; done < len; done += part) {
		part = MIN(len - done, (size_t)PIECE);
		if (on_answer((char *)text + done, 1, part, asking->rpc) != part)
			return false;
	}
	return true;
}

static CURLcode fake_perform(CURL *curl)
{
	static const long statuses[] = {200, 500, 404, 401, 403, 503, 0, 302};
	size_t len, plain;
	char number[24];
	bool good = true;

	status = statuses[take_byte() % ARRAY_SIZE(statuses)];
	len = 4 * (size_t)take_byte();
	len = MIN(len, input_left);
	input_left -= len;
	for (; len && good; len -= plain) {
		const uint8_t *hash = memchr(input, '#', len);

		plain = hash ? (size_t)(hash - input) : len;
		good = answer((const char *)input, plain);
		if (hash && good) {
			snprintf(number, sizeof(number), "%llu", (unsigned long long)first++);
			good = answer(number, strlen(number));
			plain++;
		}
		input += plain;
	}
	input += len;
	first = asking->rpc->id;
	return good ? CURLE_OK : CURLE_WRITE_ERROR;
}

static CURLcode fake_getinfo(CURL *curl, CURLINFO info, void *ret)
{
	if (info == CURLINFO_RESPONSE_CODE)
		*(long *)ret = status;
	else
		*(const char **)ret = NULL;
	return CURLE_OK;
}

/* The bytes are looked at, so that a sanitizer sees their length. */
static int on_bytes(void *arg, size_t index, const uint8_t *raw, size_t len)
{
	const size_t *count = arg;
	uint8_t sum = 0;

	FUZZ_CHECK(index < *count);
	for (size_t i = 0; i < len; i++)
		sum ^= raw[i];
	return sum == 0xa5 && len == 1 ? -ECANCELED : 0;
}

/* From where the hashes end that were told last, which is how REST can give more. */
static uint32_t next_height(void)
{
	return asking->rest.has_last ? asking->rest.last_height + 1 : 1000;
}

static int ask(struct source *source, uint8_t question, size_t count)
{
	struct hash256 hashes[256] = {0}, *txids = NULL;
	struct source_header header;
	size_t found = 0;
	int result;

	if (question & 8) { /* blocks were large enough for REST, and one is of the genesis */
		asking->block_len = REST_BLOCK_MIN;
		hashes[0] = chainparams_find("bitcoin")->genesis;
	}
	switch (question % 8) {
	case 0:
		return source->ops->genesis(source, hashes);
	case 1:
		return source->ops->tip(source, hashes);
	case 2:
		result = source->ops->header(source, hashes, &header);
		FUZZ_CHECK(result || header.height <= INT32_MAX);
		return result;
	case 3:
		result = source->ops->hashes(source, next_height(), count, hashes, &found);
		FUZZ_CHECK(found <= count);
		return result;
	case 4:
		return source->ops->blocks(source, hashes, count, on_bytes, &count);
	case 5:
		result = source->ops->mempool(source, &txids, &found);
		FUZZ_CHECK(!result || (!txids && !found));
		free(txids);
		return result;
	case 6:
		return source->ops->transactions(source, hashes, count, on_bytes, &count);
	}
	return source->ops->submit(source, hashes[0].bytes, count, hashes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct rpc_config config = {.url = "http://user:secret@127.0.0.1:1/",
					  .max_answer = ANSWER_LIMIT};
	struct source *source;
	int result;

	if (source_rpc_new(&config, &source))
		abort();
	asking = (struct source_rpc *)source;
	input = data;
	input_left = len;
	first = 0;
	while (input_left) {
		uint8_t question = take_byte();

		result = ask(source, question, 1 + take_byte() % 200);
		FUZZ_CHECK(result <= 0);
		if (result && result != -ECANCELED) {
			FUZZ_CHECK(source->ops->error(source)[0]);
			FUZZ_CHECK(source->ops->trouble(source) != SOURCE_FINE);
		}
		/* unless the node says it itself */
		FUZZ_CHECK(!strstr(source->ops->error(source), "secret") ||
			   memmem(data, len, "secret", 6));
		FUZZ_CHECK(source->ops->how(source)[0]);
		FUZZ_CHECK(asking->rpc->answer_len <= ANSWER_LIMIT);
	}
	source->ops->free(source);
	return 0;
}
