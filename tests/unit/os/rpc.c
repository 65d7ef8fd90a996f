#include "fixture/test.h"

#include "fixture/temp.h"
#include "os/rpc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A server of one thread that gives prepared answers, one a request, and keeps what it was asked.
 * Each answer is a whole HTTP message; NULL is the end. */
enum { REQUEST_MAX = 8192, ANSWERS_MAX = 8 };

struct server {
	pthread_t thread;
	int listener;
	char url[64];
	const char *answers[ANSWERS_MAX];
	size_t served;
	char requests[ANSWERS_MAX][REQUEST_MAX];
	int hold; /* read from it before answering; -1: answer at once */
};

/* Headers and a body of Content-Length, if any. */
static bool read_request(int fd, char *text)
{
	size_t len = 0, want = REQUEST_MAX;
	const char *body, *length;
	ssize_t n;

	memset(text, 0, REQUEST_MAX);
	while (len < want && len < REQUEST_MAX - 1) {
		n = read(fd, text + len, REQUEST_MAX - 1 - len);
		if (n <= 0)
			return false;
		len += (size_t)n;
		body = strstr(text, "\r\n\r\n");
		length = strstr(text, "Content-Length: ");
		if (body)
			want = (size_t)(body + 4 - text) +
			       (length ? strtoul(length + 16, NULL, 10) : 0);
	}
	return true;
}

/* One request a connection: the answers have no length but its end. */
static void serve_connection(struct server *s, int fd)
{
	const char *answer;
	char byte;

	if (!read_request(fd, s->requests[s->served]))
		return;
	answer = s->answers[s->served++];
	if (s->hold >= 0 && read(s->hold, &byte, 1) != 1)
		return;
	if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
		print_message("# the client has gone\n");
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int fd;

	while (s->answers[s->served] && (fd = accept(s->listener, NULL, NULL)) >= 0) {
		serve_connection(s, fd);
		close(fd);
	}
	return NULL;
}

static void start(struct server *s)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);

	s->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(s->listener >= 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(s->listener, 8), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&at, &len), 0);
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u/", ntohs(at.sin_port));
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
}

static struct rpc *client(const struct server *s, struct rpc_config config)
{
	struct rpc *rpc = NULL;

	config.url = s->url;
	assert_int_equal(rpc_new(&config, &rpc), 0);
	return rpc;
}

#define HTTP(status, body) "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n" body

static const struct rpc_config plain = {.user = "u", .password = "p"};

static void the_result_comes_back_and_the_request_is_as_agreed(void **state)
{
	struct server s = {.hold = -1, .answers = {HTTP("200 OK", "{\"result\":7,\"id\":0}")}};
	json_t *result = NULL;
	struct rpc *rpc;

	start(&s);
	rpc = client(&s, plain);
	assert_int_equal(rpc_callf(rpc, &result, "getblock", "[si]", "ab", 0), 0);
	assert_int_equal(json_integer_value(result), 7);
	assert_int_equal(rpc_error(rpc)->kind, RPC_OK);
	assert_int_equal(rpc_calls(rpc), 1);
	json_decref(result);
	rpc_free(rpc);
	stop(&s);
	/* u:p in base64 */
	assert_non_null(strstr(s.requests[0], "Authorization: Basic dTpw\r\n"));
	assert_non_null(strstr(s.requests[0], "\"method\":\"getblock\""));
	assert_non_null(strstr(s.requests[0], "\"params\":[\"ab\",0]"));
}

static void errors_of_both_kinds_are_read(void **state)
{
	static const struct {
		const char *answer;
		int result;
		enum rpc_error_kind kind;
		int code;
	} cases[] = {
		{HTTP("500 x",
		      "{\"result\":null,\"error\":{\"code\":-5,\"message\":\"m\"},\"id\":0}"),
		 -EREMOTEIO, RPC_NODE, -5},
		{HTTP("200 x", "{\"error\":{\"code\":-8,\"message\":\"m\"},\"id\":0}"), -EREMOTEIO,
		 RPC_NODE, -8},
		{HTTP("404 x", "{\"error\":{\"code\":-32601,\"message\":\"m\"},\"id\":0}"),
		 -EREMOTEIO, RPC_NODE, RPC_CODE_NO_METHOD},
		{HTTP("500 x", "{\"error\":{\"code\":-28,\"message\":\"m\"},\"id\":0}"), -EAGAIN,
		 RPC_WARMUP, -28},
		{HTTP("401 x", ""), -EACCES, RPC_AUTH, 0},
		{HTTP("403 x", ""), -EACCES, RPC_AUTH, 0},
		{HTTP("503 x", "<html>"), -ECONNREFUSED, RPC_DOWN, 0},
		{HTTP("200 x", ""), -EPROTO, RPC_GARBAGE, 0},
		{HTTP("200 x", "nonsense"), -EPROTO, RPC_GARBAGE, 0},
		{HTTP("200 x", "{\"result\":1"), -EPROTO, RPC_GARBAGE, 0},
		{HTTP("200 x", "{\"result\":1,\"id\":5}"), -EPROTO, RPC_GARBAGE, 0},
		{HTTP("200 x", "{\"result\":1,\"error\":\"text\",\"id\":0}"), -EPROTO, RPC_GARBAGE,
		 0},
		{HTTP("502 x", "{\"result\":1,\"id\":0}"), -EPROTO, RPC_GARBAGE, 0},
		{"SSH-2.0-x\r\n", -EPROTO, RPC_GARBAGE, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct server s = {.hold = -1, .answers = {cases[i].answer}};
		json_t *result = NULL;
		struct rpc *rpc;

		start(&s);
		rpc = client(&s, plain);
		print_message("# %.30s\n", cases[i].answer + 9);
		assert_int_equal(rpc_call(rpc, "m", NULL, &result), cases[i].result);
		assert_int_equal(rpc_error(rpc)->kind, cases[i].kind);
		assert_int_equal(rpc_error(rpc)->code, cases[i].code);
		assert_true(strlen(rpc_error(rpc)->text) > 5);
		assert_null(result);
		rpc_free(rpc);
		stop(&s);
	}
}

static void an_answer_may_be_as_long_as_the_limit_and_not_longer(void **state)
{
	const char *answer = HTTP("200 OK", "{\"result\":7,\"id\":0}");
	size_t len = strlen("{\"result\":7,\"id\":0}");

	for (size_t limit = len - 1; limit <= len; limit++) {
		struct server s = {.hold = -1, .answers = {answer}};
		struct rpc_config config = plain;
		json_t *result = NULL;
		struct rpc *rpc;

		config.max_answer = limit;
		start(&s);
		rpc = client(&s, config);
		assert_int_equal(rpc_call(rpc, "m", NULL, &result), limit < len ? -EPROTO : 0);
		json_decref(result);
		rpc_free(rpc);
		stop(&s);
	}
}

static void a_batch_is_sorted_by_its_ids(void **state)
{
	struct server s = {
		.hold = -1,
		.answers = {
			HTTP("200 OK", "[{\"result\":\"b\",\"id\":1},"
				       "{\"error\":{\"code\":-5,\"message\":\"no\"},\"id\":2},"
				       "{\"result\":\"a\",\"id\":0}]"),
			HTTP("200 OK", "[{\"result\":1,\"id\":3},{\"result\":1,\"id\":3}]"),
			HTTP("200 OK", "[{\"result\":1,\"id\":5}]"),
			HTTP("500 x", "{\"error\":{\"code\":-28,\"message\":\"m\"},\"id\":7}")}};
	json_t *params[3], *results[3];
	struct rpc *rpc;

	start(&s);
	rpc = client(&s, plain);
	for (size_t i = 0; i < 3; i++)
		params[i] = json_array();
	assert_int_equal(rpc_batch(rpc, "m", params, 3, results), 0);
	assert_string_equal(json_string_value(results[0]), "a");
	assert_string_equal(json_string_value(results[1]), "b");
	assert_null(results[2]);
	json_decref(results[0]);
	json_decref(results[1]);
	/* an id twice, too few, and one object for all */
	for (size_t i = 0; i < 3; i++) {
		params[0] = json_array();
		params[1] = json_array();
		assert_int_equal(rpc_batch(rpc, "m", params, 2, results),
				 i < 2 ? -EPROTO : -EAGAIN);
		assert_null(results[0]);
		assert_null(results[1]);
	}
	rpc_free(rpc);
	stop(&s);
}

static void write_cookie(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void a_cookie_is_read_again_when_the_node_refuses_it(void **state)
{
	struct server s = {.hold = -1,
			   .answers = {HTTP("200 OK", "{\"result\":1,\"id\":0}"), HTTP("401 x", ""),
				       HTTP("200 OK", "{\"result\":2,\"id\":1}"),
				       HTTP("401 x", "")}};
	struct rpc_config config = {.cookie_file = NULL};
	struct temp folder;
	json_t *result = NULL;
	struct rpc *rpc;
	char path[256];

	temp_make(&folder);
	config.cookie_file = temp_file(&folder, ".cookie", path);
	start(&s);
	rpc = client(&s, config);
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), -EINVAL);
	assert_int_equal(rpc_error(rpc)->kind, RPC_CONFIG);
	write_cookie(path, "no separator");
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), -EINVAL);
	rpc_free(rpc);
	rpc = client(&s, config);
	write_cookie(path, "c:old\n");
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), 0);
	json_decref(result);
	write_cookie(path, "c:new");
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), 0);
	assert_int_equal(json_integer_value(result), 2);
	json_decref(result);
	/* the same cookie again is not tried twice */
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), -EACCES);
	assert_null(strstr(rpc_error(rpc)->text, "new"));
	rpc_free(rpc);
	stop(&s);
	assert_int_equal(s.served, 4);
	assert_non_null(strstr(s.requests[1], "Basic Yzpvb"));	/* c:ol… */
	assert_non_null(strstr(s.requests[2], "Basic YzpuZX")); /* c:ne… */
	temp_remove(&folder);
}

static void nobody_there_is_said(void **state)
{
	struct server s = {.hold = -1, .answers = {NULL}};
	json_t *result = NULL;
	struct rpc *rpc;

	start(&s);
	rpc = client(&s, plain);
	stop(&s);
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), -ECONNREFUSED);
	assert_int_equal(rpc_error(rpc)->kind, RPC_DOWN);
	assert_non_null(strstr(rpc_error(rpc)->text, "is it running?"));
	rpc_free(rpc);
}

static void a_silent_node_is_given_up_or_cancelled(void **state)
{
	struct server s = {.answers = {HTTP("200 OK", "{}"), HTTP("200 OK", "{}")}};
	struct rpc_config config = plain;
	atomic_bool cancel = true;
	json_t *result = NULL;
	struct rpc *rpc;
	int gate[2];

	assert_int_equal(pipe(gate), 0);
	s.hold = gate[0];
	config.timeout_ms = 50;
	start(&s);
	rpc = client(&s, config);
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), -ETIMEDOUT);
	assert_int_equal(rpc_error(rpc)->kind, RPC_TIMEOUT);
	rpc_free(rpc);
	config.timeout_ms = 60000;
	config.cancel = &cancel;
	rpc = client(&s, config);
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), -ECANCELED);
	rpc_free(rpc);
	close(gate[1]);
	stop(&s);
	close(gate[0]);
}

static void a_url_is_needed_and_its_credentials_are_not_shown(void **state)
{
	struct rpc_config config = {.url = ""};
	json_t *result = NULL;
	struct rpc *rpc = NULL;

	assert_int_equal(rpc_new(&config, &rpc), -EINVAL);
	config.url = "http://name:hidden@127.0.0.1:1/";
	assert_int_equal(rpc_new(&config, &rpc), 0);
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), -ECONNREFUSED);
	assert_null(strstr(rpc_error(rpc)->text, "hidden"));
	rpc_free(rpc);
	config.url = "ftp://127.0.0.1/";
	assert_int_equal(rpc_new(&config, &rpc), 0);
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), -EINVAL);
	rpc_free(rpc);
}

static void a_get_goes_to_the_same_place_and_its_bytes_come_back(void **state)
{
	struct server s = {.hold = -1,
			   .answers = {HTTP("200 OK", "{\"result\":7,\"id\":0}"),
				       HTTP("200 OK", "\xff\x01z"), HTTP("200 OK", ""),
				       HTTP("404 Not Found", "no"), HTTP("503 Busy", ""),
				       HTTP("200 OK", "{\"result\":8,\"id\":1}")}};
	char url[sizeof(s.url) + 8];
	struct rpc_config config = {.user = "u", .password = "p", .url = url};
	const uint8_t *data = NULL;
	json_t *result = NULL;
	struct rpc *rpc;
	size_t len = 0;

	start(&s);
	/* of a URL with a path, the host and port */
	snprintf(url, sizeof(url), "%swallet/x", s.url);
	assert_int_equal(rpc_new(&config, &rpc), 0);
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), 0);
	json_decref(result);
	assert_int_equal(rpc_get(rpc, "/rest/x.bin", &data, &len), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(data, "\xff\x01z", 3);
	assert_int_equal(rpc_get(rpc, "/rest/y", &data, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(rpc_get(rpc, "/rest/z", &data, &len), -EPROTO);
	assert_int_equal(rpc_error(rpc)->http_status, 404);
	assert_int_equal(rpc_get(rpc, "/rest/z", &data, &len), -ECONNREFUSED);
	assert_int_equal(rpc_error(rpc)->http_status, 503);
	rpc_forget_error(rpc);
	assert_int_equal(rpc_error(rpc)->kind, RPC_OK);
	/* and back */
	assert_int_equal(rpc_call(rpc, "m", NULL, &result), 0);
	assert_int_equal(json_integer_value(result), 8);
	json_decref(result);
	assert_int_equal(rpc_calls(rpc), 6);
	rpc_free(rpc);
	stop(&s);
	assert_non_null(strstr(s.requests[0], "POST /wallet/x HTTP"));
	assert_non_null(strstr(s.requests[1], "GET /rest/x.bin HTTP"));
	assert_non_null(strstr(s.requests[1], "Authorization: Basic dTpw\r\n"));
	assert_null(strstr(s.requests[1], "method"));
	assert_non_null(strstr(s.requests[5], "POST /wallet/x HTTP"));
}

static void a_get_has_the_same_limit(void **state)
{
	struct server s = {.hold = -1,
			   .answers = {HTTP("200 OK", "12345"), HTTP("200 OK", "123456")}};
	const uint8_t *data = NULL;
	struct rpc *rpc;
	size_t len = 0;

	start(&s);
	rpc = client(&s, (struct rpc_config){.user = "u", .password = "p", .max_answer = 5});
	assert_int_equal(rpc_get(rpc, "/x", &data, &len), 0);
	assert_int_equal(len, 5);
	assert_int_equal(rpc_get(rpc, "/x", &data, &len), -EPROTO);
	assert_int_equal(rpc_error(rpc)->kind, RPC_GARBAGE);
	rpc_free(rpc);
	stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_result_comes_back_and_the_request_is_as_agreed),
		cmocka_unit_test(errors_of_both_kinds_are_read),
		cmocka_unit_test(an_answer_may_be_as_long_as_the_limit_and_not_longer),
		cmocka_unit_test(a_batch_is_sorted_by_its_ids),
		cmocka_unit_test(a_cookie_is_read_again_when_the_node_refuses_it),
		cmocka_unit_test(nobody_there_is_said),
		cmocka_unit_test(a_silent_node_is_given_up_or_cancelled),
		cmocka_unit_test(a_url_is_needed_and_its_credentials_are_not_shown),
		cmocka_unit_test(a_get_goes_to_the_same_place_and_its_bytes_come_back),
		cmocka_unit_test(a_get_has_the_same_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
