#include "fuzz/fuzz.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A daemon that answers anything to those who ask at its control socket: the one blocking call, and
 * the connection on the loop. The connection is played here: the input comes out of it, in pieces,
 * then it is closed. Of an answer and an error there is always exactly one. */

static int fake_connect(const char *path, unsigned timeout_ms, int *ret_fd);

#define ctl_connect fake_connect
#include "os/ctl_client.c"

static const uint8_t *input;
static size_t input_len;
static unsigned connected;

static int fake_connect(const char *path, unsigned timeout_ms, int *ret_fd)
{
	int fds[2];

	if (connected++)
		return -ECONNREFUSED;
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
	/* What is too long for the socket's buffer is left out. */
	for (size_t sent = 0; sent < input_len;) {
		ssize_t n = write(fds[1], input + sent, MIN(input_len - sent, (size_t)977));

		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	shutdown(fds[1], SHUT_WR);
	/* It stays open for what is sent to it, until the end of the process's turn. */
	*ret_fd = fds[0];
	close(fds[1]);
	return 0;
}

static void check_error(const struct ctl_error *error)
{
	FUZZ_CHECK(memchr(error->message, '\0', sizeof(error->message)) && error->message[0]);
	FUZZ_CHECK(memchr(error->next, '\0', sizeof(error->next)));
}

static void ask_once(void)
{
	struct ctl_error error = {.code = 1};
	json_t *result = NULL;

	connected = 0;
	if (ctl_client_call("/socket", "status", NULL, 1000, &result, &error)) {
		FUZZ_CHECK(!result);
		check_error(&error);
	} else {
		FUZZ_CHECK(result);
		json_decref(result);
	}
}

struct asking {
	struct loop *loop;
	struct ctl_client *client;
	unsigned answers, losses, events;
	bool free_early;
};

static void on_answer_of(void *arg, json_t *result, const struct ctl_error *error)
{
	struct asking *a = arg;

	FUZZ_CHECK(!result != !error);
	if (error)
		check_error(error);
	a->answers++;
}

static void on_state_of(void *arg, bool up, const struct ctl_error *error)
{
	struct asking *a = arg;

	FUZZ_CHECK(up == !error);
	if (up) {
		ctl_client_request(a->client, "status", NULL, 1000, on_answer_of, a);
		return;
	}
	check_error(error);
	FUZZ_CHECK(!a->losses++);
	loop_stop(a->loop);
}

static void on_event_of(void *arg, const char *topic, json_t *value)
{
	struct asking *a = arg;

	FUZZ_CHECK(topic);
	a->events++;
	if (!a->free_early || !a->client)
		return;
	ctl_client_free(a->client);
	a->client = NULL;
	loop_stop(a->loop);
}

static void ask_on_the_loop(bool free_early)
{
	static const struct ctl_client_events events = {on_state_of, on_event_of};
	struct asking a = {.free_early = free_early};

	connected = 0;
	a.loop = loop_new();
	FUZZ_CHECK(a.loop);
	a.client = ctl_client_new(a.loop, "/socket", &events, &a);
	ctl_client_subscribe(a.client, "height");
	loop_run(a.loop);
	FUZZ_CHECK(a.answers <= 1);
	ctl_client_free(a.client);
	loop_free(a.loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	input = data + 1;
	input_len = len - 1;
	log_set_level(LOG_LEVEL_ERROR);
	if (data[0] & 1)
		ask_once();
	else
		ask_on_the_loop(data[0] & 2);
	return 0;
}
