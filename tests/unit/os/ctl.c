#include "fixture/test.h"

#include "fixture/temp.h"
#include "os/clock.h"
#include "os/ctl.h"
#include "os/log.h"
#include "os/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct temp folder;
static char path[256];
static struct loop *loop;
static struct ctl_server *server;
static struct ctl_request *kept; /* a request that is answered later */

static void serve_echo(struct ctl_request *request, json_t *params, void *arg)
{
	ctl_reply(request, params ? json_incref(params) : NULL);
}

static void serve_fail(struct ctl_request *request, json_t *params, void *arg)
{
	ctl_reply_error(request, CTL_ENOTFOUND, "look elsewhere", "there is no %s",
			ctl_param_string(params, "what"));
}

static void serve_change(struct ctl_request *request, json_t *params, void *arg)
{
	ctl_reply(request, NULL);
}

static void serve_later(struct ctl_request *request, json_t *params, void *arg)
{
	kept = request;
}

static void serve_huge(struct ctl_request *request, json_t *params, void *arg)
{
	char *text = xmalloc(CTL_LINE_MAX + 1);
	int64_t size = 0;

	ctl_param_int(params, "size", &size);
	memset(text, 'x', (size_t)size);
	ctl_reply(request, json_stringn(text, (size_t)size));
	free(text);
}

static const struct ctl_command commands[] = {
	{"echo", "anything", "give it back", CTL_READ, serve_echo},
	{"fail", "what", "fail", CTL_READ, serve_fail},
	{"change", NULL, "change something", CTL_WRITE, serve_change},
	{"later", NULL, "answer later", CTL_READ, serve_later},
	{"huge", "size", "a long answer", CTL_READ, serve_huge},
};
static const char *const topics[] = {"height", "other", NULL};

enum { HALF_LINE_MS = 400 }; /* a busy machine may stand still for a while */

static struct ctl_config make_config(void)
{
	return (struct ctl_config){
		.program = "testd",
		.version = "1",
		.path = path,
		.commands = commands,
		.commands_count = ARRAY_SIZE(commands),
		.topics = topics,
		.clients_max = 4,
		.queue_max = 2 << 20,
		.half_line_ms = HALF_LINE_MS,
	};
}

static int start(void **state)
{
	struct ctl_config config = make_config();

	kept = NULL;
	loop = loop_new();
	return ctl_server_new(loop, &config, &server);
}

static int start_in_folder(void **state)
{
	temp_make(&folder);
	temp_file(&folder, "run/testd.sock", path);
	return start(state);
}

static int stop(void **state)
{
	ctl_server_free(server);
	server = NULL;
	loop_free(loop);
	temp_remove(&folder);
	return 0;
}

static int connect_raw(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(to.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Turns the loop until the server has answered with a line, or closed ("" then). */
static char *read_answer(int fd)
{
	static char line[CTL_LINE_MAX + 1];
	size_t len = 0;

	for (;;) {
		ssize_t n = recv(fd, line + len, 1, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET)) {
			line[0] = 0;
			return line;
		}
		if (n < 0) {
			loop_step(loop, true);
			continue;
		}
		if (line[len] == '\n') {
			line[len] = 0;
			return line;
		}
		len++;
		assert_true(len < sizeof(line));
	}
}

static void send_text(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			loop_step(loop, true);
			continue;
		}
		text += n;
		len -= (size_t)n;
	}
}

static void check_call(int fd, const char *request, const char *answer)
{
	send_text(fd, request);
	assert_string_equal(read_answer(fd), answer);
}

static void a_request_is_answered_with_its_id(void **state)
{
	int fd = connect_raw();

	check_call(fd, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"echo\",\"params\":{\"a\":1}}\n",
		   "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":1}}");
	check_call(fd, "\n{\"id\":\"x\",\"method\":\"echo\"}\n",
		   "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{}}");
	check_call(fd, "{\"id\":1,\"method\":\"fail\",\"params\":{\"what\":\"cat\"}}\n",
		   "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32003,\"message\":\"there "
		   "is no cat\",\"data\":{\"next\":\"look elsewhere\"}}}");
	check_call(fd, "{\"id\":1,\"method\":\"version\"}\n",
		   "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"program\":\"testd\",\"version\":"
		   "\"1\"}}");
	close(fd);
}

static void bad_lines_get_an_error_and_the_next_one_is_served(void **state)
{
	static const struct {
		const char *line;
		int code;
	} table[] = {
		{"hello\n", CTL_EPARSE},
		{"{\"id\":1\n", CTL_EPARSE},
		{"[]\n", CTL_EPARSE},
		{"1\n", CTL_EPARSE},
		{"{\"id\":1,\"id\":2,\"method\":\"echo\"}\n", CTL_EPARSE},
		{"{\"method\":\"echo\\u0000\",\"id\":1}\n", CTL_EPARSE},
		{"{\"id\":1,\"method\":\"\xff\"}\n", CTL_EPARSE},
		{"{}\n", CTL_EREQUEST},
		{"{\"id\":1,\"method\":7}\n", CTL_EREQUEST},
		{"{\"id\":{},\"method\":\"echo\"}\n", CTL_EREQUEST},
		{"{\"id\":1,\"method\":\"nothing\"}\n", CTL_EMETHOD},
		{"{\"id\":1,\"method\":\"echo\",\"params\":[1]}\n", CTL_EPARAMS},
		{"{\"id\":1,\"method\":\"subscribe\"}\n", CTL_EPARAMS},
		{"{\"id\":1,\"method\":\"subscribe\",\"params\":{\"topic\":\"x\"}}\n",
		 CTL_ENOTFOUND},
	};
	int fd = connect_raw();

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		json_t *answer;

		send_text(fd, table[i].line);
		answer = json_loads(read_answer(fd), 0, NULL);
		assert_int_equal(json_integer_value(
					 json_object_get(json_object_get(answer, "error"), "code")),
				 table[i].code);
		json_decref(answer);
	}
	check_call(fd, "{\"id\":2,\"method\":\"echo\"}\n",
		   "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
	close(fd);
}

/* A request whose params nest this deep in all. */
static void send_nested(int fd, unsigned depth)
{
	char line[256] = "{\"id\":1,\"method\":\"echo\",\"params\":{\"a\":";

	for (unsigned i = 2; i < depth; i++)
		strcat(line, "[");
	for (unsigned i = 2; i < depth; i++)
		strcat(line, "]");
	if (depth == 2)
		strcat(line, "1");
	strcat(line, "}}\n");
	send_text(fd, line);
}

static void nesting_has_a_limit(void **state)
{
	int fd = connect_raw();

	send_nested(fd, CTL_NESTING_MAX);
	assert_non_null(strstr(read_answer(fd), "result"));
	send_nested(fd, CTL_NESTING_MAX + 1);
	assert_non_null(strstr(read_answer(fd), "nested too deep"));
	close(fd);
}

/* A line of len bytes, the newline included, that asks for an echo of nothing. */
static void send_long_line(int fd, size_t len)
{
	static const char head[] = "{\"id\":1,\"method\":\"echo\",\"x\":\"", tail[] = "\"}\n";
	char *line = xmalloc(len + 1);

	memset(line, 'x', len);
	memcpy(line, head, strlen(head));
	strcpy(line + len - strlen(tail), tail);
	send_text(fd, line);
	free(line);
}

static void a_line_may_be_a_mebibyte_and_not_a_byte_more(void **state)
{
	int fd = connect_raw();

	send_long_line(fd, CTL_LINE_MAX);
	assert_string_equal(read_answer(fd), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	send_long_line(fd, CTL_LINE_MAX + 1);
	assert_non_null(strstr(read_answer(fd), "too long"));
	assert_string_equal(read_answer(fd), "");
	assert_int_equal(ctl_server_clients(server), 0);
	close(fd);
}

static void an_answer_that_is_too_long_says_so(void **state)
{
	static const char frame[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\"}\n";
	char request[128];
	int fd = connect_raw();

	for (size_t extra = 0; extra < 2; extra++) {
		snprintf(request, sizeof(request),
			 "{\"id\":1,\"method\":\"huge\",\"params\":{\"size\":%zu}}\n",
			 (size_t)CTL_LINE_MAX - strlen(frame) + extra);
		send_text(fd, request);
		assert_int_equal(!!strstr(read_answer(fd), "the answer is too long"), extra);
	}
	close(fd);
}

static void a_line_that_is_not_ended_closes_the_client(void **state)
{
	int fd = connect_raw();

	send_text(fd, "{\"id\":1,\"method\":\"echo\"}\n{\"id\":2,");
	assert_non_null(strstr(read_answer(fd), "result"));
	assert_string_equal(read_answer(fd), "");
	close(fd);
}

static void one_client_too_many_is_told_so(void **state)
{
	int fds[5];

	for (int i = 0; i < 5; i++)
		fds[i] = connect_raw();
	assert_non_null(strstr(read_answer(fds[4]), "too many clients"));
	assert_string_equal(read_answer(fds[4]), "");
	assert_int_equal(ctl_server_clients(server), 4);
	check_call(fds[3], "{\"id\":2,\"method\":\"echo\"}\n",
		   "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
	for (int i = 0; i < 5; i++)
		close(fds[i]);
}

static void an_answer_may_come_later_or_too_late(void **state)
{
	int fd = connect_raw();

	send_text(fd, "{\"id\":1,\"method\":\"later\"}\n");
	while (!kept)
		loop_step(loop, true);
	ctl_reply(kept, json_string("done"));
	assert_string_equal(read_answer(fd), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"done\"}");
	kept = NULL;
	/* A half-closed client still gets its answer. */
	send_text(fd, "{\"id\":2,\"method\":\"later\"}\n");
	shutdown(fd, SHUT_WR);
	while (!kept)
		loop_step(loop, true);
	assert_false(ctl_request_gone(kept));
	ctl_reply(kept, NULL);
	assert_non_null(strstr(read_answer(fd), "\"id\":2"));
	assert_string_equal(read_answer(fd), "");
	close(fd);
	/* And one that has gone does not hurt, nor does a server that has. */
	fd = connect_raw();
	kept = NULL;
	send_text(fd, "{\"id\":3,\"method\":\"later\"}\n");
	while (!kept)
		loop_step(loop, true);
	close(fd);
	ctl_server_free(server);
	server = NULL;
	assert_true(ctl_request_gone(kept));
	ctl_reply_error(kept, CTL_EFAILED, NULL, "nobody reads this");
}

static void too_many_open_requests_are_refused(void **state)
{
	struct ctl_request *open[CTL_PENDING_MAX];
	int fd = connect_raw();

	for (int i = 0; i < CTL_PENDING_MAX; i++) {
		kept = NULL;
		send_text(fd, "{\"id\":1,\"method\":\"later\"}\n");
		while (!kept)
			loop_step(loop, true);
		open[i] = kept;
	}
	send_text(fd, "{\"id\":2,\"method\":\"later\"}\n");
	assert_non_null(strstr(read_answer(fd), "-32002"));
	for (int i = 0; i < CTL_PENDING_MAX; i++)
		ctl_reply(open[i], NULL);
	close(fd);
}

static void subscribers_get_what_is_published_and_the_last_value_first(void **state)
{
	int fd = connect_raw(), other = connect_raw();

	ctl_publish(server, "height", json_pack("{s:i}", "height", 1));
	check_call(fd, "{\"id\":1,\"method\":\"subscribe\",\"params\":{\"topic\":\"height\"}}\n",
		   "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"topic\":\"height\",\"last\":{"
		   "\"height\":1}}}");
	check_call(other, "{\"id\":1,\"method\":\"subscribe\",\"params\":{\"topic\":\"other\"}}\n",
		   "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"topic\":\"other\",\"last\":null}}");
	ctl_publish(server, "height", json_pack("{s:i}", "height", 2));
	assert_string_equal(read_answer(fd), "{\"jsonrpc\":\"2.0\",\"method\":\"height\","
					     "\"params\":{\"height\":2}}");
	send_text(fd, "{\"id\":2,\"method\":\"unsubscribe\",\"params\":{\"topic\":\"height\"}}\n");
	assert_non_null(strstr(read_answer(fd), "\"id\":2"));
	ctl_publish(server, "height", json_pack("{s:i}", "height", 3));
	check_call(fd, "{\"id\":3,\"method\":\"echo\"}\n",
		   "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}");
	check_call(other, "{\"id\":3,\"method\":\"echo\"}\n",
		   "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}");
	close(fd);
	close(other);
}

static void a_subscriber_that_does_not_read_is_dropped(void **state)
{
	char *text = xmalloc(1 << 19);
	int fd = connect_raw();

	send_text(fd, "{\"id\":1,\"method\":\"subscribe\",\"params\":{\"topic\":\"height\"}}\n");
	assert_non_null(strstr(read_answer(fd), "result"));
	memset(text, 'x', 1 << 19);
	for (int i = 0; i < 3; i++)
		ctl_publish(server, "height", json_stringn(text, 1 << 19));
	assert_int_equal(ctl_server_clients(server), 1);
	for (int i = 0; i < 3; i++)
		ctl_publish(server, "height", json_stringn(text, 1 << 19));
	assert_int_equal(ctl_server_clients(server), 0);
	free(text);
	close(fd);
}

static void each_line_has_its_own_time(void **state)
{
	/* Reads that always end inside a line, for longer than one line may take. */
	uint64_t end = clock_monotonic_ns() + 3 * HALF_LINE_MS * NS_PER_MS;
	int fd = connect_raw();

	send_text(fd, "{\"id\":1,");
	while (clock_monotonic_ns() < end) {
		send_text(fd, "\"method\":\"echo\"}\n{\"id\":1,");
		assert_non_null(strstr(read_answer(fd), "\"result\":{}"));
	}
	assert_int_equal(ctl_server_clients(server), 1);
	close(fd);
}

static void many_requests_at_once_are_all_answered_to_a_slow_reader(void **state)
{
	enum { REQUESTS = 3000 };
	char *line = xmalloc(300), *all = xmalloc(REQUESTS * 300);
	size_t len = 0, sent = 0;
	int fd = connect_raw(), answers = 0;

	memset(line, 'y', 200);
	line[200] = 0;
	for (int i = 0; i < REQUESTS; i++)
		len += (size_t)sprintf(
			all + len, "{\"id\":%d,\"method\":\"echo\",\"params\":{\"a\":\"%s\"}}\n", i,
			line);
	while (answers < REQUESTS) {
		char buffer[4096];
		ssize_t n = sent < len ? send(fd, all + sent, len - sent, MSG_NOSIGNAL) : 0;

		if (n > 0)
			sent += (size_t)n;
		loop_step(loop, false);
		n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		for (ssize_t i = 0; i < n; i++)
			answers += buffer[i] == '\n';
	}
	assert_int_equal(ctl_server_clients(server), 1);
	free(line);
	free(all);
	close(fd);
}

static void a_socket_that_is_served_is_left_and_a_stale_one_replaced(void **state)
{
	struct ctl_config config = make_config();
	struct ctl_server *second;
	struct stat st;
	pid_t pid;
	int status;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(ctl_server_new(loop, &config, &second), -EADDRINUSE);
	ctl_server_free(server);
	server = NULL;
	assert_int_equal(access(path, F_OK), -1);
	/* A process that dies leaves its socket. */
	pid = fork();
	if (!pid)
		_exit(ctl_server_new(loop_new(), &config, &second) ? 1 : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(ctl_server_new(loop, &config, &server), 0);
	ctl_server_free(server);
	server = NULL;
	/* What is no socket stays. */
	close(open(path, O_WRONLY | O_CREAT, 0600));
	assert_int_equal(ctl_server_new(loop, &config, &server), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
}

static void a_socket_that_was_removed_is_made_again(void **state)
{
	int fd;

	assert_int_equal(unlink(path), 0);
	assert_int_equal(ctl_server_rebind(server), 0);
	fd = connect_raw();
	check_call(fd, "{\"id\":2,\"method\":\"echo\"}\n",
		   "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
	close(fd);
}

static void note_status(void *arg, pid_t pid, int status)
{
	*(int *)arg = status;
}

static void strangers_may_look_and_not_change(void **state)
{
	int status = -1;
	pid_t pid;

	if (geteuid())
		skip();
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(folder.path, 0755), 0);
	pid = fork();
	if (!pid) {
		struct ctl_error error;
		bool ok = !setgid(65534) && !setuid(65534);

		ok = ok && ctl_client_call(path, "change", NULL, 5000, NULL, &error) &&
		     error.code == CTL_EDENIED && !strcmp(error.next, "run this as root");
		ok = ok && !ctl_client_call(path, "echo", NULL, 5000, NULL, &error);
		_exit(ok ? 0 : 1);
	}
	loop_child_new(loop, pid, note_status, &status);
	while (status == -1)
		loop_step(loop, true);
	assert_int_equal(status, 0);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, start_in_folder, stop)
	const struct CMUnitTest tests[] = {
		test(a_request_is_answered_with_its_id),
		test(bad_lines_get_an_error_and_the_next_one_is_served),
		test(nesting_has_a_limit),
		test(a_line_may_be_a_mebibyte_and_not_a_byte_more),
		test(an_answer_that_is_too_long_says_so),
		test(a_line_that_is_not_ended_closes_the_client),
		test(one_client_too_many_is_told_so),
		test(an_answer_may_come_later_or_too_late),
		test(too_many_open_requests_are_refused),
		test(subscribers_get_what_is_published_and_the_last_value_first),
		test(a_subscriber_that_does_not_read_is_dropped),
		test(each_line_has_its_own_time),
		test(many_requests_at_once_are_all_answered_to_a_slow_reader),
		test(a_socket_that_is_served_is_left_and_a_stale_one_replaced),
		test(a_socket_that_was_removed_is_made_again),
		test(strangers_may_look_and_not_change),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("os/ctl", tests, NULL, NULL);
}
