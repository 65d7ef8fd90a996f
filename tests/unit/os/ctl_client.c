#include "fixture/test.h"

#include "fixture/temp.h"
#include "os/ctl.h"
#include "os/log.h"
#include "os/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static struct temp folder;
static char path[256];
static struct loop *loop;
static struct ctl_server *server;
static struct ctl_request *kept;
static struct ctl_client *client;

static struct {
	unsigned connected, lost, answers, errors, events;
	int code;
	json_int_t height;
	bool free_on_event;
} seen;

static void serve_echo(struct ctl_request *request, json_t *params, void *arg)
{
	ctl_reply(request, params ? json_incref(params) : NULL);
}

static void serve_later(struct ctl_request *request, json_t *params, void *arg)
{
	kept = request;
}

static const struct ctl_command commands[] = {
	{"echo", NULL, "give it back", CTL_READ, serve_echo},
	{"later", NULL, "answer later", CTL_READ, serve_later},
};
static const char *const topics[] = {"height", NULL};

static void start_server(struct loop *on)
{
	struct ctl_config config = {.program = "testd",
				    .version = "1",
				    .path = path,
				    .commands = commands,
				    .commands_count = ARRAY_SIZE(commands),
				    .topics = topics};

	assert_int_equal(ctl_server_new(on, &config, &server), 0);
}

static void stop_server(void)
{
	ctl_server_free(server);
	server = NULL;
}

static void on_state(void *arg, bool connected, const struct ctl_error *error)
{
	seen.connected += connected;
	seen.lost += !connected;
	assert_int_equal(connected, !error);
	if (error)
		seen.code = error->code;
}

static void on_event(void *arg, const char *topic, json_t *value)
{
	seen.events++;
	assert_string_equal(topic, "height");
	seen.height = json_integer_value(value);
	if (seen.free_on_event) {
		ctl_client_free(client);
		client = NULL;
	}
}

static const struct ctl_client_events events = {on_state, on_event};

static void on_answer(void *arg, json_t *result, const struct ctl_error *error)
{
	seen.answers += !error;
	seen.errors += !!error;
	if (error)
		seen.code = error->code;
}

static int start(void **state)
{
	temp_make(&folder);
	temp_file(&folder, "testd.sock", path);
	memset(&seen, 0, sizeof(seen));
	kept = NULL;
	loop = loop_new();
	return 0;
}

static int stop(void **state)
{
	ctl_client_free(client);
	client = NULL;
	stop_server();
	loop_free(loop);
	temp_remove(&folder);
	return 0;
}

#define run_until(fact)                                                                            \
	while (!(fact))                                                                            \
	assert_true(loop_step(loop, true))

static void without_a_server_the_error_says_what_to_look_at(void **state)
{
	struct ctl_error error;
	json_t *result = NULL;

	assert_int_equal(ctl_client_call(path, "echo", NULL, 1000, &result, &error), -1);
	assert_int_equal(error.code, CTL_ECONNECT);
	assert_non_null(strstr(error.message, "is testd running?"));
	assert_string_equal(error.next, "systemctl status testd");
	assert_null(result);
}

/* A server of its own process, so that a blocking call has one. */
static pid_t fork_server(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct loop *own = loop_new();

		start_server(own);
		if (write(ready[1], "x", 1) == 1)
			loop_run(own);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void a_blocking_call_gets_its_result_or_times_out(void **state)
{
	pid_t pid = fork_server();
	json_t *params = json_pack("{s:s}", "a", "b"), *result = NULL;
	struct ctl_error error;

	assert_int_equal(ctl_client_call(path, "echo", params, 5000, &result, &error), 0);
	assert_true(json_equal(params, result));
	json_decref(params);
	json_decref(result);
	assert_int_equal(ctl_client_call(path, "what", NULL, 5000, NULL, &error), -1);
	assert_int_equal(error.code, CTL_EMETHOD);
	assert_int_equal(ctl_client_call(path, "later", NULL, 20, NULL, &error), -1);
	assert_int_equal(error.code, CTL_ETIMEOUT);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(ctl_client_call(path, "echo", NULL, 1000, NULL, &error), -1);
	assert_non_null(strstr(error.message, "nobody serves"));
}

static void requests_on_the_loop_are_answered_and_values_arrive(void **state)
{
	start_server(loop);
	ctl_publish(server, "height", json_integer(5));
	client = ctl_client_new(loop, path, &events, NULL);
	ctl_client_subscribe(client, "height");
	assert_false(ctl_client_connected(client));
	run_until(seen.events == 1);
	assert_int_equal(seen.connected, 1);
	assert_int_equal(seen.height, 5);
	ctl_publish(server, "height", json_integer(6));
	ctl_client_request(client, "echo", NULL, 5000, on_answer, NULL);
	run_until(seen.events == 2 && seen.answers == 1);
	assert_int_equal(seen.height, 6);
	ctl_client_request(client, "nothing", NULL, 5000, on_answer, NULL);
	run_until(seen.errors == 1);
	assert_int_equal(seen.code, CTL_EMETHOD);
}

static void a_lost_server_is_found_again_with_its_subscriptions(void **state)
{
	client = ctl_client_new(loop, path, &events, NULL);
	ctl_client_subscribe(client, "height");
	run_until(seen.lost == 1);
	assert_int_equal(seen.code, CTL_ECONNECT);
	start_server(loop);
	run_until(seen.connected == 1);
	ctl_client_request(client, "later", NULL, 5000, on_answer, NULL);
	run_until(kept);
	stop_server();
	run_until(seen.lost == 2 && seen.errors == 1);
	ctl_reply(kept, NULL);
	start_server(loop);
	ctl_publish(server, "height", json_integer(9));
	run_until(seen.connected == 2 && seen.events == 1);
	assert_int_equal(seen.height, 9);
}

static void a_request_without_a_connection_fails_later_not_now(void **state)
{
	client = ctl_client_new(loop, path, NULL, NULL);
	ctl_client_request(client, "echo", NULL, 5000, on_answer, NULL);
	assert_int_equal(seen.errors, 0);
	run_until(seen.errors == 1);
	assert_int_equal(seen.code, CTL_ECONNECT);
}

static void a_request_ends_after_its_time(void **state)
{
	start_server(loop);
	client = ctl_client_new(loop, path, &events, NULL);
	run_until(seen.connected == 1);
	ctl_client_request(client, "later", NULL, 10, on_answer, NULL);
	run_until(seen.errors == 1);
	assert_int_equal(seen.code, CTL_ETIMEOUT);
	/* The answer comes too late, and the next request is served. */
	ctl_reply(kept, NULL);
	ctl_client_request(client, "echo", NULL, 5000, on_answer, NULL);
	run_until(seen.answers == 1);
	assert_int_equal(seen.errors, 1);
}

static void a_callback_may_free_the_client(void **state)
{
	start_server(loop);
	ctl_publish(server, "height", json_integer(1));
	seen.free_on_event = true;
	client = ctl_client_new(loop, path, &events, NULL);
	ctl_client_subscribe(client, "height");
	run_until(!client);
	assert_int_equal(seen.events, 1);
	run_until(!ctl_server_clients(server));
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		test(without_a_server_the_error_says_what_to_look_at),
		test(a_blocking_call_gets_its_result_or_times_out),
		test(requests_on_the_loop_are_answered_and_values_arrive),
		test(a_lost_server_is_found_again_with_its_subscriptions),
		test(a_request_without_a_connection_fails_later_not_now),
		test(a_request_ends_after_its_time),
		test(a_callback_may_free_the_client),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("os/ctl_client", tests, NULL, NULL);
}
