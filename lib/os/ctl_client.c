#include "os/ctl.h"

#include "os/clock.h"
#include "os/ctl_stream.h"
#include "os/log.h"
#include "os/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The request as a line; takes nothing. */
static int put_request(struct ctl_stream *s, int64_t id, const char *method, json_t *params)
{
	json_t *message = ctl_message_new(json_integer(id));
	int result;

	json_object_set_new(message, "method", json_string(method));
	if (params)
		json_object_set(message, "params", params);
	result = ctl_stream_put(s, message);
	json_decref(message);
	return result;
}

/* ---- one blocking call ---- */

/* Waits until the deadline for the socket; false when it has passed. */
static bool wait_for(int fd, short events, uint64_t deadline_ns)
{
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		struct pollfd p = {.fd = fd, .events = events};
		int n, left_ms;

		if (now >= deadline_ns)
			return false;
		left_ms = (int)MIN((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS, 1000000ULL);
		n = poll(&p, 1, left_ms);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return true; /* reading will say what it is */
	}
}

static int send_all(struct ctl_stream *s, uint64_t deadline_ns)
{
	int result;

	while ((result = ctl_stream_flush(s)) == -EAGAIN) {
		if (!wait_for(s->fd, POLLOUT, deadline_ns))
			return -ETIMEDOUT;
	}
	return result;
}

/* The reply with this id; what is published meanwhile is not for us. */
static int receive_reply(struct ctl_stream *s, int64_t id, uint64_t deadline_ns, json_t **ret_reply)
{
	const char *line, *why;
	size_t len;
	int result;

	for (;;) {
		while ((line = ctl_stream_line(s, &len))) {
			json_t *reply = ctl_line_parse(line, len, &why);
			json_t *got = json_object_get(reply, "id");

			if (!reply)
				return -EBADMSG;
			if ((json_is_integer(got) && json_integer_value(got) == id) ||
			    json_is_null(got)) {
				*ret_reply = reply;
				return 0;
			}
			json_decref(reply);
		}
		if (s->eof)
			return -ECONNRESET;
		if (!wait_for(s->fd, POLLIN, deadline_ns))
			return -ETIMEDOUT;
		result = ctl_stream_fill(s);
		if (result && result != -EAGAIN)
			return result;
	}
}

static void explain(const char *path, const char *method, unsigned timeout_ms, int result,
		    struct ctl_error *ret_error)
{
	if (result == -ETIMEDOUT)
		ctl_error_set(ret_error, CTL_ETIMEOUT, "it may be busy; its log tells",
			      "no answer to '%s' from %s within %u ms", method, path, timeout_ms);
	else if (result == -EMSGSIZE)
		ctl_error_set(ret_error, CTL_EINTERNAL, NULL, "'%s' or its answer is too long",
			      method);
	else if (result == -EBADMSG)
		ctl_error_set(ret_error, CTL_EINTERNAL, "is it a dnet control socket?",
			      "%s does not answer in JSON", path);
	else
		ctl_error_set(ret_error, CTL_ECONNECT, "its log tells why",
			      "%s closed the connection: %s", path, strerror(-result));
}

static int finish_call(json_t *reply, json_t **ret_result, struct ctl_error *ret_error)
{
	json_t *result = json_object_get(reply, "result");

	if (!result) {
		ctl_error_from_json(json_object_get(reply, "error"), ret_error);
		json_decref(reply);
		return -1;
	}
	if (ret_result)
		*ret_result = json_incref(result);
	json_decref(reply);
	return 0;
}

int ctl_client_call(const char *path, const char *method, json_t *params, unsigned timeout_ms,
		    json_t **ret_result, struct ctl_error *ret_error)
{
	uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
	struct ctl_stream s;
	json_t *reply = NULL;
	int fd, result;

	result = ctl_connect(path, MAX(timeout_ms, 1u), &fd);
	if (result) {
		ctl_connect_error(path, result, ret_error);
		return -1;
	}
	ctl_stream_init(&s, fd);
	result = put_request(&s, 1, method, params);
	if (!result)
		result = send_all(&s, deadline_ns);
	/* A server that is full says so and closes before it reads. */
	if (!result || result == -EPIPE)
		result = receive_reply(&s, 1, deadline_ns, &reply);
	ctl_stream_done(&s);
	if (result) {
		explain(path, method, timeout_ms, result, ret_error);
		return -1;
	}
	return finish_call(reply, ret_result, ret_error);
}

/* ---- a connection on the loop ---- */

TAILQ_HEAD(call_list, call);
TAILQ_HEAD(topic_list, topic);

struct topic {
	TAILQ_ENTRY(topic) entry;
	struct ctl_client *client;
	char *name;
};

struct call {
	TAILQ_ENTRY(call) entry;
	struct ctl_client *client;
	int64_t id;
	struct loop_timer *timer; /* until when; or at once, when it has failed already */
	ctl_answer_cb cb;
	void *arg;
	struct ctl_error error; /* for when the timer fires */
};

struct ctl_client {
	struct loop *loop;
	char *path;
	struct ctl_client_events events;
	void *arg;
	struct ctl_stream stream; /* fd -1: not connected */
	struct loop_fd *watch;
	struct loop_timer *retry;
	uint64_t retry_ms;
	int64_t next_id;
	struct call_list calls;	  /* owned */
	struct topic_list topics; /* owned */
	bool told_lost;
	bool busy; /* lines are being served: free it later */
	bool dead; /* freed by a callback meanwhile */
};

static void call_free(struct call *call)
{
	TAILQ_REMOVE(&call->client->calls, call, entry);
	loop_timer_free(call->timer);
	free(call);
}

static void on_call_timer(void *arg)
{
	struct call *call = arg;
	struct ctl_error error = call->error;
	ctl_answer_cb cb = call->cb;
	void *cb_arg = call->arg;

	call_free(call);
	cb(cb_arg, NULL, &error);
}

static void update_watch(struct ctl_client *client)
{
	loop_fd_set(client->watch,
		    LOOP_READ | (ctl_stream_queued(&client->stream) ? LOOP_WRITE : 0));
}

static void disconnect(struct ctl_client *client)
{
	loop_fd_free(client->watch);
	client->watch = NULL;
	ctl_stream_done(&client->stream);
}

/* Open calls fail in the next round, each from its own timer: their callbacks may do anything. */
static void fail_calls(struct ctl_client *client, const struct ctl_error *error)
{
	struct call *call;

	TAILQ_FOREACH(call, &client->calls, entry)
	{
		call->id = 0;
		call->error = *error;
		loop_timer_start(call->timer, 0);
	}
}

/* Not connected (any more): again later, and the owner is told once. */
static void lose(struct ctl_client *client, const struct ctl_error *error)
{
	disconnect(client);
	fail_calls(client, error);
	loop_timer_start(client->retry, client->retry_ms);
	client->retry_ms = MIN(client->retry_ms * 2, (uint64_t)CTL_RECONNECT_MAX_MS);
	if (client->told_lost)
		return;
	client->told_lost = true;
	if (client->events.on_state)
		client->events.on_state(client->arg, false, error);
}

static void lose_by(struct ctl_client *client, int result)
{
	struct ctl_error error;

	ctl_error_set(&error, CTL_ECONNECT, "its log tells why", "%s closed the connection: %s",
		      client->path, strerror(-result));
	lose(client, &error);
}

static struct call *find_call(struct ctl_client *client, int64_t id)
{
	struct call *call;

	TAILQ_FOREACH(call, &client->calls, entry)
	{
		if (id && call->id == id)
			return call;
	}
	return NULL;
}

static void on_answer(struct ctl_client *client, json_t *message)
{
	struct call *call = find_call(client, json_integer_value(json_object_get(message, "id")));
	json_t *result = json_object_get(message, "result");
	struct ctl_error error;
	ctl_answer_cb cb;
	void *arg;

	if (!call)
		return; /* too late */
	cb = call->cb;
	arg = call->arg;
	call_free(call);
	if (!result)
		ctl_error_from_json(json_object_get(message, "error"), &error);
	cb(arg, result, result ? NULL : &error);
}

static void on_line(struct ctl_client *client, const char *line, size_t len)
{
	const char *why = "", *method;
	json_t *message = ctl_line_parse(line, len, &why);

	if (!message) {
		log_limited(LOG_LEVEL_WARN, 6, "%s sent a line that is %s", client->path, why);
		return;
	}
	method = json_string_value(json_object_get(message, "method"));
	if (!method)
		on_answer(client, message);
	else if (client->events.on_event)
		client->events.on_event(client->arg, method, json_object_get(message, "params"));
	json_decref(message);
}

static void serve_lines(struct ctl_client *client)
{
	const char *line;
	size_t len;

	client->busy = true;
	while (!client->dead && client->watch && (line = ctl_stream_line(&client->stream, &len)))
		on_line(client, line, len);
	client->busy = false;
	if (client->dead) {
		free(client);
		return;
	}
	if (!client->watch)
		return;
	if (client->stream.eof)
		lose_by(client, -ECONNRESET);
	else
		update_watch(client);
}

static void on_server(void *arg, int fd, unsigned events)
{
	struct ctl_client *client = arg;
	int result = 0;

	if (events & LOOP_READ)
		result = ctl_stream_fill(&client->stream);
	if (!result || result == -EAGAIN)
		result = ctl_stream_flush(&client->stream);
	if (result && result != -EAGAIN && result != -EPIPE)
		lose_by(client, result);
	else
		serve_lines(client);
}

static void on_subscribed(void *arg, json_t *result, const struct ctl_error *error)
{
	struct topic *topic = arg;
	struct ctl_client *client = topic->client;
	json_t *last = json_object_get(result, "last");

	if (error && error->code != CTL_ECONNECT)
		log_warn("cannot subscribe '%s' at %s: %s", topic->name, client->path,
			 error->message);
	else if (last && !json_is_null(last) && client->events.on_event)
		client->events.on_event(client->arg, topic->name, last);
}

static void connect_now(void *arg)
{
	struct ctl_client *client = arg;
	struct ctl_error error;
	struct topic *topic;
	int fd, result = ctl_connect(client->path, 0, &fd);

	if (!result) {
		client->watch = loop_fd_new(client->loop, fd, LOOP_READ, on_server, client);
		result = client->watch ? 0 : -errno;
		ctl_stream_init(&client->stream, fd);
	}
	if (result) {
		ctl_connect_error(client->path, result, &error);
		lose(client, &error);
		return;
	}
	client->retry_ms = CTL_RECONNECT_FIRST_MS;
	client->told_lost = false;
	TAILQ_FOREACH(topic, &client->topics, entry)
	ctl_client_subscribe(client, topic->name);
	if (client->events.on_state)
		client->events.on_state(client->arg, true, NULL);
}

struct ctl_client *ctl_client_new(struct loop *loop, const char *path,
				  const struct ctl_client_events *events, void *arg)
{
	struct ctl_client *client = xcalloc(1, sizeof(*client));

	client->loop = loop;
	client->path = xstrdup(path);
	if (events)
		client->events = *events;
	client->arg = arg;
	client->stream.fd = -1;
	client->retry_ms = CTL_RECONNECT_FIRST_MS;
	client->next_id = 1;
	TAILQ_INIT(&client->calls);
	TAILQ_INIT(&client->topics);
	client->retry = loop_timer_new(loop, connect_now, client);
	loop_timer_start(client->retry, 0);
	return client;
}

void ctl_client_free(struct ctl_client *client)
{
	struct topic *topic;
	struct call *call;

	if (!client)
		return;
	disconnect(client);
	while ((call = TAILQ_FIRST(&client->calls)))
		call_free(call);
	while ((topic = TAILQ_FIRST(&client->topics))) {
		TAILQ_REMOVE(&client->topics, topic, entry);
		free(topic->name);
		free(topic);
	}
	loop_timer_free(client->retry);
	free(client->path);
	client->dead = true;
	if (!client->busy)
		free(client);
}

bool ctl_client_connected(const struct ctl_client *client)
{
	return client->watch;
}

static struct topic *remember_topic(struct ctl_client *client, const char *name)
{
	struct topic *topic;

	TAILQ_FOREACH(topic, &client->topics, entry)
	{
		if (!strcmp(topic->name, name))
			return topic;
	}
	topic = xcalloc(1, sizeof(*topic));
	topic->client = client;
	topic->name = xstrdup(name);
	TAILQ_INSERT_TAIL(&client->topics, topic, entry);
	return topic;
}

enum { SUBSCRIBE_TIMEOUT_MS = 30000 };

void ctl_client_subscribe(struct ctl_client *client, const char *name)
{
	struct topic *topic = remember_topic(client, name);
	json_t *params;

	if (!client->watch)
		return;
	params = json_pack("{s:s}", "topic", name);
	ctl_client_request(client, "subscribe", params, SUBSCRIBE_TIMEOUT_MS, on_subscribed, topic);
	json_decref(params);
}

static struct call *call_new(struct ctl_client *client, ctl_answer_cb cb, void *arg)
{
	struct call *call = xcalloc(1, sizeof(*call));

	call->client = client;
	call->cb = cb;
	call->arg = arg;
	call->timer = loop_timer_new(client->loop, on_call_timer, call);
	TAILQ_INSERT_TAIL(&client->calls, call, entry);
	return call;
}

void ctl_client_request(struct ctl_client *client, const char *method, json_t *params,
			unsigned timeout_ms, ctl_answer_cb cb, void *arg)
{
	struct call *call = call_new(client, cb, arg);

	if (!client->watch) {
		ctl_error_set(&call->error, CTL_ECONNECT, NULL, "not connected to %s",
			      client->path);
		loop_timer_start(call->timer, 0);
		return;
	}
	if (ctl_stream_queued(&client->stream) > CTL_QUEUE_MAX ||
	    put_request(&client->stream, client->next_id, method, params)) {
		ctl_error_set(&call->error, CTL_EBUSY, NULL, "'%s' is too long, or too much waits",
			      method);
		loop_timer_start(call->timer, 0);
		return;
	}
	call->id = client->next_id++;
	ctl_error_set(&call->error, CTL_ETIMEOUT, "it may be busy; its log tells",
		      "no answer to '%s' from %s within %u ms", method, client->path, timeout_ms);
	loop_timer_start(call->timer, timeout_ms);
	/* Sent when the loop says that the socket takes it. */
	update_watch(client);
}
