#include "os/rpc.h"

#include "os/base.h"
#include "os/file.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	CONNECT_TIMEOUT_MS = 5000,
	ANSWER_MAX = 64 << 20,
	COOKIE_MAX = 512,
	QUOTE_MAX = 40, /* of an answer that is not understood, in an error text */
	HTTP_OK = 200,
	HTTP_UNAUTHORIZED = 401,
	HTTP_FORBIDDEN = 403,
	HTTP_UNAVAILABLE = 503,
};

struct rpc {
	CURL *curl; /* owned */
	struct curl_slist *headers;
	char *url, *user, *password, *cookie_file; /* owned; NULL when not given */
	char *shown;				   /* the url without credentials */
	char cookie[COOKIE_MAX + 1];		   /* as it was read last; "" before */
	uint32_t timeout_ms;
	size_t max_answer;
	const atomic_bool *cancel; /* borrowed */
	char *answer;		   /* owned; of the call that runs */
	size_t answer_len, answer_size;
	bool too_long;
	uint64_t calls;
	uint64_t id;
	char curl_text[CURL_ERROR_SIZE];
	struct rpc_error error;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int result_of(enum rpc_error_kind kind)
{
	switch (kind) {
	case RPC_OK:
		return 0;
	case RPC_DOWN:
		return -ECONNREFUSED;
	case RPC_TIMEOUT:
		return -ETIMEDOUT;
	case RPC_AUTH:
		return -EACCES;
	case RPC_GARBAGE:
		return -EPROTO;
	case RPC_WARMUP:
		return -EAGAIN;
	case RPC_NODE:
		return -EREMOTEIO;
	case RPC_CANCELLED:
		return -ECANCELED;
	case RPC_CONFIG:
		return -EINVAL;
	}
	return -EINVAL;
}

_printf_(3, 4) static int fail(struct rpc *rpc, enum rpc_error_kind kind, const char *format, ...)
{
	va_list args;

	rpc->error.kind = kind;
	va_start(args, format);
	vsnprintf(rpc->error.text, sizeof(rpc->error.text), format, args);
	va_end(args);
	return result_of(kind);
}

static size_t on_answer(char *data, size_t size, size_t count, void *arg)
{
	struct rpc *rpc = arg;
	size_t len = size * count, want = rpc->answer_len + len + 1;
	char *grown;

	if (len > rpc->max_answer || rpc->answer_len > rpc->max_answer - len) {
		rpc->too_long = true;
		return 0;
	}
	if (want > rpc->answer_size) {
		want = want < 4096 ? 4096 : want + want / 2;
		grown = realloc(rpc->answer, want);
		if (!grown)
			return 0;
		rpc->answer = grown;
		rpc->answer_size = want;
	}
	memcpy(rpc->answer + rpc->answer_len, data, len);
	rpc->answer_len += len;
	rpc->answer[rpc->answer_len] = '\0';
	return len;
}

static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
		       curl_off_t ulnow)
{
	const struct rpc *rpc = arg;

	(void)dltotal, (void)dlnow, (void)ultotal, (void)ulnow;
	return rpc->cancel && atomic_load(rpc->cancel);
}

/* NULL stays NULL, and so does "". */
static bool copy(char **dst, const char *text)
{
	if (text && *text)
		*dst = strdup(text);
	return !text || !*text || *dst;
}

/* A URL may have "user:password@" in it; errors and logs must not. */
static bool show_url(struct rpc *rpc)
{
	const char *host = strstr(rpc->url, "://");
	const char *at;

	host = host ? host + 3 : rpc->url;
	at = strchr(host, '@');
	if (!at || at > host + strcspn(host, "/?#"))
		return copy(&rpc->shown, rpc->url);
	return asprintf(&rpc->shown, "%.*s%s", (int)(host - rpc->url), rpc->url, at + 1) >= 0;
}

static bool setup_curl(struct rpc *rpc)
{
	CURL *curl = rpc->curl;

	rpc->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!rpc->headers)
		return false;
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, rpc->headers);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	/* no proxy from the environment: credentials go to the node or nowhere */
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)rpc->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, rpc->curl_text);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, rpc);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, rpc);
	return true;
}

int rpc_new(const struct rpc_config *config, struct rpc **ret_rpc)
{
	struct rpc *rpc;

	if (!config->url || !*config->url)
		return -EINVAL;
	pthread_once(&curl_once, init_curl);
	rpc = calloc(1, sizeof(*rpc));
	if (!rpc)
		return -ENOMEM;
	rpc->timeout_ms = config->timeout_ms ? config->timeout_ms : RPC_TIMEOUT_MS;
	rpc->max_answer = config->max_answer ? config->max_answer : ANSWER_MAX;
	rpc->cancel = config->cancel;
	rpc->curl = curl_easy_init();
	if (!rpc->curl || !copy(&rpc->url, config->url) || !show_url(rpc) ||
	    !copy(&rpc->user, config->user) || !copy(&rpc->password, config->password) ||
	    !copy(&rpc->cookie_file, config->cookie_file) || !setup_curl(rpc)) {
		rpc_free(rpc);
		return -ENOMEM;
	}
	*ret_rpc = rpc;
	return 0;
}

void rpc_set_timeout(struct rpc *rpc, uint32_t timeout_ms)
{
	rpc->timeout_ms = timeout_ms;
	curl_easy_setopt(rpc->curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
}

static void free_secret(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void rpc_free(struct rpc *rpc)
{
	if (!rpc)
		return;
	curl_easy_cleanup(rpc->curl);
	curl_slist_free_all(rpc->headers);
	free(rpc->answer);
	free_secret(rpc->url);
	free(rpc->shown);
	free(rpc->user);
	free_secret(rpc->password);
	free(rpc->cookie_file);
	explicit_bzero(rpc->cookie, sizeof(rpc->cookie));
	free(rpc);
}

/* The cookie as it is now; *ret_changed: not what was read before. */
static int read_cookie(struct rpc *rpc, bool *ret_changed)
{
	_cleanup_(freep) char *text = NULL;
	int result = file_read(rpc->cookie_file, COOKIE_MAX, &text, NULL);

	if (result == -ENOENT)
		return fail(
			rpc, RPC_CONFIG,
			"cookie file %s is not there: start the chain node, or check rpc-cookie",
			rpc->cookie_file);
	if (result)
		return fail(rpc, RPC_CONFIG,
			    "cannot read cookie file %s: %s: let our user read it, or use rpc-user "
			    "and rpc-password",
			    rpc->cookie_file, strerror(-result));
	text[strcspn(text, "\r\n")] = '\0';
	if (!strchr(text, ':'))
		return fail(rpc, RPC_CONFIG,
			    "cookie file %s is not \"user:password\": check rpc-cookie",
			    rpc->cookie_file);
	*ret_changed = strcmp(text, rpc->cookie) != 0;
	snprintf(rpc->cookie, sizeof(rpc->cookie), "%s", text);
	explicit_bzero(text, strlen(text));
	return 0;
}

static int set_credentials(struct rpc *rpc)
{
	bool changed;
	int result;

	if (rpc->user || !rpc->cookie_file) {
		curl_easy_setopt(rpc->curl, CURLOPT_USERNAME, rpc->user ? rpc->user : "");
		curl_easy_setopt(rpc->curl, CURLOPT_PASSWORD, rpc->password ? rpc->password : "");
		return 0;
	}
	if (!rpc->cookie[0]) {
		result = read_cookie(rpc, &changed);
		if (result)
			return result;
	}
	curl_easy_setopt(rpc->curl, CURLOPT_USERPWD, rpc->cookie);
	return 0;
}

static int fail_transport(struct rpc *rpc, CURLcode code)
{
	const char *cause = rpc->curl_text[0] ? rpc->curl_text : curl_easy_strerror(code);
	const char *peer = NULL;

	/* the same code is said of a URL and of an answer without HTTP's first line */
	curl_easy_getinfo(rpc->curl, CURLINFO_PRIMARY_IP, &peer);
	if (code == CURLE_UNSUPPORTED_PROTOCOL && peer && *peer)
		code = CURLE_WEIRD_SERVER_REPLY;

	if (rpc->too_long)
		return fail(rpc, RPC_GARBAGE,
			    "%s answers with more than %zu bytes, as no chain node does: check "
			    "that rpc-url, or source, names the RPC port of one",
			    rpc->shown, rpc->max_answer);
	switch ((int)code) {
	case CURLE_ABORTED_BY_CALLBACK:
		return fail(rpc, RPC_CANCELLED, "cancelled");
	case CURLE_OPERATION_TIMEDOUT:
		return fail(rpc, RPC_TIMEOUT,
			    "no answer from the chain node at %s: %s (is it overloaded? "
			    "rpc-timeout can be raised)",
			    rpc->shown, cause);
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return fail(rpc, RPC_CONFIG, "%s is not an http URL: %s: check rpc-url", rpc->shown,
			    cause);
	case CURLE_WRITE_ERROR:
		fail(rpc, RPC_DOWN, "out of memory");
		return -ENOMEM;
	case CURLE_WEIRD_SERVER_REPLY:
		return fail(rpc, RPC_GARBAGE,
			    "%s does not speak HTTP: %s: check the port, or use rpcs:// if it "
			    "speaks TLS",
			    rpc->shown, cause);
	}
	return fail(rpc, RPC_DOWN, "cannot reach the chain node at %s: %s (is it running?)",
		    rpc->shown, cause);
}

/* What is sent: a body by POST, or a GET. All of it borrowed. */
struct request {
	const char *url;
	const char *body; /* NULL: a GET */
	size_t len;
};

static int set_request(struct rpc *rpc, const struct request *request)
{
	CURL *curl = rpc->curl;

	if (curl_easy_setopt(curl, CURLOPT_URL, request->url) != CURLE_OK) {
		fail(rpc, RPC_CONFIG, "out of memory");
		return -ENOMEM;
	}
	curl_easy_setopt(curl, request->body ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
	if (request->body) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->len);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
	}
	return 0;
}

static int send_once(struct rpc *rpc, const struct request *request)
{
	CURLcode code;
	int result = set_credentials(rpc);

	if (!result)
		result = set_request(rpc, request);
	if (result)
		return result;
	rpc->answer_len = 0;
	rpc->too_long = false;
	rpc->curl_text[0] = '\0';
	rpc->calls++;
	code = curl_easy_perform(rpc->curl);
	if (code != CURLE_OK)
		return fail_transport(rpc, code);
	curl_easy_getinfo(rpc->curl, CURLINFO_RESPONSE_CODE, &rpc->error.http_status);
	return 0;
}

/* The node makes a new cookie at each start: after a 401 the file is read again, once. */
static int send_request(struct rpc *rpc, const struct request *request)
{
	bool changed = false;
	int result = send_once(rpc, request);

	if (result == 0 && rpc->error.http_status == HTTP_UNAUTHORIZED && !rpc->user &&
	    rpc->cookie_file) {
		result = read_cookie(rpc, &changed);
		if (!result && changed)
			result = send_once(rpc, request);
	}
	if (result)
		return result;
	if (rpc->error.http_status == HTTP_UNAUTHORIZED)
		return fail(rpc, RPC_AUTH,
			    "the chain node at %s refuses the credentials (HTTP 401): check %s",
			    rpc->shown,
			    !rpc->user && rpc->cookie_file ? "rpc-cookie"
							   : "rpc-user and rpc-password");
	if (rpc->error.http_status == HTTP_FORBIDDEN)
		return fail(rpc, RPC_AUTH,
			    "the chain node at %s does not let this machine in (HTTP 403): check "
			    "its rpcallowip",
			    rpc->shown);
	if (rpc->error.http_status == HTTP_UNAVAILABLE)
		return fail(rpc, RPC_DOWN,
			    "the chain node at %s is stopping, or has more to do than it takes "
			    "(HTTP 503): if it stays so, raise its rpcworkqueue",
			    rpc->shown);
	return 0;
}

static int fail_garbage(struct rpc *rpc, const char *what)
{
	char quote[QUOTE_MAX + 1];
	size_t len = 0;

	while (len < QUOTE_MAX && len < rpc->answer_len) {
		char c = rpc->answer[len];

		quote[len++] = c >= ' ' && c <= '~' ? c : '.';
	}
	quote[len] = '\0';
	return fail(rpc, RPC_GARBAGE,
		    "%s does not answer as a chain node does: %s (HTTP %ld, \"%s\"): check rpc-url",
		    rpc->shown, what, rpc->error.http_status, quote);
}

/* One answer object: its result, borrowed, or the error that it says. Errors of 1.x and 2.0 differ
 * only in the HTTP status, which nobody needs once the body is understood. */
static int read_answer(struct rpc *rpc, json_t *answer, json_t **ret_result)
{
	json_t *error = json_object_get(answer, "error");
	json_t *result = json_object_get(answer, "result");
	const char *text;

	if (!json_is_object(answer) || (!error && !result))
		return fail_garbage(rpc, "neither result nor error");
	if (!error || json_is_null(error)) {
		if (rpc->error.http_status != HTTP_OK)
			return fail_garbage(rpc, "a result with an error status");
		if (!result)
			return fail_garbage(rpc, "no result");
		*ret_result = result;
		return 0;
	}
	if (!json_is_object(error))
		return fail_garbage(rpc, "an error that is no object");
	rpc->error.code = (int)json_integer_value(json_object_get(error, "code"));
	text = json_string_value(json_object_get(error, "message"));
	if (rpc->error.code == RPC_CODE_WARMUP)
		return fail(rpc, RPC_WARMUP, "the chain node is starting: %s", text ? text : "");
	return fail(rpc, RPC_NODE, "the chain node says: %s (%d)", text ? text : "no reason",
		    rpc->error.code);
}

static json_t *request_new(struct rpc *rpc, const char *method, json_t *params)
{
	if (!params)
		params = json_array();
	return json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", (json_int_t)rpc->id++,
			 "method", method, "params", params);
}

/* Sends request (stolen), reads the JSON of the answer. */
static int exchange(struct rpc *rpc, json_t *request, json_t **ret_answer)
{
	_cleanup_(freep) char *body = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_error_t error;
	json_t *answer;
	int result;

	json_decref(request);
	memset(&rpc->error, 0, sizeof(rpc->error));
	if (!body) {
		fail(rpc, RPC_CONFIG, "out of memory");
		return -ENOMEM;
	}
	result = send_request(rpc, &(struct request){rpc->url, body, strlen(body)});
	explicit_bzero(body, strlen(body));
	if (result)
		return result;
	answer = rpc->answer_len ? json_loadb(rpc->answer, rpc->answer_len, 0, &error) : NULL;
	if (!answer)
		return fail_garbage(rpc, rpc->answer_len ? "no JSON" : "an empty answer");
	*ret_answer = answer;
	return 0;
}

int rpc_call(struct rpc *rpc, const char *method, json_t *params, json_t **ret_result)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	uint64_t id = rpc->id;
	json_t *value;
	int result = exchange(rpc, request_new(rpc, method, params), &answer);

	if (!result)
		result = read_answer(rpc, answer, &value);
	if (result)
		return result;
	if (json_integer_value(json_object_get(answer, "id")) != (json_int_t)id)
		return fail_garbage(rpc, "the answer to another request");
	*ret_result = json_incref(value);
	return 0;
}

int rpc_callf(struct rpc *rpc, json_t **ret_result, const char *method, const char *format, ...)
{
	json_error_t error;
	json_t *params;
	va_list args;

	va_start(args, format);
	params = json_vpack_ex(&error, 0, format, args);
	va_end(args);
	if (!params) {
		memset(&rpc->error, 0, sizeof(rpc->error));
		return fail(rpc, RPC_CONFIG, "parameters of %s: %s", method, error.text);
	}
	return rpc_call(rpc, method, params, ret_result);
}

/* Puts each answer in its place by its id. */
static int sort_answers(struct rpc *rpc, json_t *answers, uint64_t first, size_t count,
			json_t **ret_results)
{
	json_t *answer, *value;
	json_int_t id;
	size_t i;
	int result;

	if (!json_is_array(answers) || json_array_size(answers) != count)
		return fail_garbage(rpc, "not one answer for each request");
	json_array_foreach(answers, i, answer)
	{
		id = json_integer_value(json_object_get(answer, "id"));
		if (id < (json_int_t)first || (uint64_t)id - first >= count ||
		    ret_results[(uint64_t)id - first])
			return fail_garbage(rpc, "the answer to another request");
		result = read_answer(rpc, answer, &value);
		if (result && result != -EREMOTEIO)
			return result;
		if (!result)
			ret_results[(uint64_t)id - first] = json_incref(value);
	}
	rpc->error.kind = RPC_OK;
	rpc->error.code = 0;
	return 0;
}

int rpc_batch(struct rpc *rpc, const char *method, json_t **params, size_t count,
	      json_t **ret_results)
{
	_cleanup_(json_decrefp) json_t *answers = NULL;
	json_t *requests = json_array(), *value;
	uint64_t first = rpc->id;
	int result;

	assert(count > 0);
	memset(ret_results, 0, count * sizeof(ret_results[0]));
	for (size_t i = 0; i < count; i++)
		json_array_append_new(requests, request_new(rpc, method, params[i]));
	result = exchange(rpc, requests, &answers);
	/* a node that is starting, or refuses the whole, answers with one object */
	if (!result && json_is_object(answers))
		result = read_answer(rpc, answers, &value);
	if (!result)
		result = sort_answers(rpc, answers, first, count, ret_results);
	for (size_t i = 0; result && i < count; i++) {
		json_decref(ret_results[i]);
		ret_results[i] = NULL;
	}
	return result;
}

int rpc_get(struct rpc *rpc, const char *path, const uint8_t **ret_data, size_t *ret_len)
{
	const char *host = strstr(rpc->url, "://");
	_cleanup_(freep) char *url = NULL;
	int result;

	memset(&rpc->error, 0, sizeof(rpc->error));
	host = host ? host + 3 : rpc->url;
	if (asprintf(&url, "%.*s%s", (int)(host - rpc->url + strcspn(host, "/?#")), rpc->url,
		     path) < 0) {
		url = NULL;
		fail(rpc, RPC_CONFIG, "out of memory");
		return -ENOMEM;
	}
	result = send_request(rpc, &(struct request){.url = url});
	explicit_bzero(url, strlen(url));
	if (result)
		return result;
	if (rpc->error.http_status != HTTP_OK)
		return fail_garbage(rpc, "it does not have what was asked for");
	*ret_data = (const uint8_t *)rpc->answer;
	*ret_len = rpc->answer_len;
	return 0;
}

void rpc_forget_error(struct rpc *rpc)
{
	memset(&rpc->error, 0, sizeof(rpc->error));
}

const struct rpc_error *rpc_error(const struct rpc *rpc)
{
	return &rpc->error;
}

uint64_t rpc_calls(const struct rpc *rpc)
{
	return rpc->calls;
}
