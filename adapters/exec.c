#include "adapters/adapter.h"
#include "adapters/child.h"
#include "adapters/exec_message.h"
#include "adapters/lines.h"
#include "os/base.h"
#include "os/log.h"
#include "os/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Any program as a backend: it is told the whole of what is wanted as a line of JSON on its stdin,
 * and tells on its stdout what it has made of it (doc/porting.md). It makes the interface; the node
 * keeps addresses and routes on it.
 *
 * A program that does not say within CUT_MS that a peer has gone is ended: that cuts them all, and
 * the next one is not told of the removed peer. */

enum {
	CUT_MS = 1000,
	GONE_MS = 100,		/* without an interface, before the program is started anew */
	STOP_MS = 1000,		/* from "stop" and TERM to KILL */
	QUEUE_MAX = 256 * 1024, /* bytes that wait for a program that does not read: then no
				   datagram is added */
	LINES_PER_MINUTE = 120, /* of its in the log */
	EVENTS_PER_MINUTE = 120,
};

struct adapter {
	struct adapter_host host;
	struct child *child;
	int program_fds[2]; /* while it is started: its stdin and stdout */

	struct lines *in;
	int out_fd; /* -1: it does not run, or reads no more */
	struct loop_fd *out_watch;
	char *out; /* [out_at, out_len) is not written */
	size_t out_at, out_len, out_size;
	bool wanted_waits; /* to be queued when all before it is written: the newest counts */

	json_t *hello, *wanted; /* NULL before the first plan */
	uint64_t serial;	/* of wanted */
	uint64_t applied;	/* what the program says */
	uint64_t cut_serial;	/* the last one that took something away */
	uint64_t cut_waits_for; /* what the timer is for */
	struct loop_timer *cut_timer;

	uint8_t key[ADAPTER_KEY_MAX];
	size_t key_len; /* 0: it has not said one */
	uint16_t port;
	struct endpoint endpoints[EXEC_ENDPOINTS_MAX];
	size_t endpoint_count;

	struct exec_peer *peers; /* of its last status */
	size_t peer_count;
	char name[EXEC_TEXT_MAX]; /* of the program; "": not said */
	bool enforces_rules;
	char error[EXEC_TEXT_MAX];
	uint64_t not_understood;
	const char *why; /* the last one was not */
	char text[EXEC_TEXT_MAX + CHILD_TEXT_MAX + 128];
	struct log_limit log_limit, event_limit;
};

/* ---- To the program ---- */

static void stop_writing(struct adapter *a)
{
	loop_fd_free(steal(a->out_watch));
	closep(&a->out_fd);
	a->out_at = a->out_len = 0;
	a->wanted_waits = false;
}

static size_t queued(const struct adapter *a)
{
	return a->out_len - a->out_at;
}

/* What was written makes room first: a program that is always behind never leaves it empty. */
static void make_room(struct adapter *a, size_t len)
{
	size_t waits = queued(a);
	if (a->out_len + len <= a->out_size)
		return;
	if (a->out_at > 0)
		memmove(a->out, &a->out[a->out_at], waits);
	a->out_at = 0;
	a->out_len = waits;
	if (a->out_size < 2 * (waits + len)) {
		a->out_size = 2 * (waits + len);
		a->out = xrealloc(a->out, a->out_size);
	}
}

static void queue_line(struct adapter *a, const json_t *json)
{
	_cleanup_(freep) char *text = json_dumps(json, JSON_COMPACT);
	if (!text)
		return; /* no memory: as if the program had not read it */
	size_t len = strlen(text);
	make_room(a, len + 1);
	memcpy(&a->out[a->out_len], text, len);
	a->out[a->out_len + len] = '\n';
	a->out_len += len + 1;
}

static bool rules_are_in_vain(const struct adapter *a)
{
	return json_array_size(json_object_get(a->wanted, "rules")) > 0 && !a->enforces_rules;
}

/* Policy that a program does not enforce would let everything through: it gets no peers. */
static void queue_wanted(struct adapter *a)
{
	json_t *json = json_copy(a->wanted);
	json_object_set_new(json, "serial", json_integer((json_int_t)a->serial));
	if (rules_are_in_vain(a))
		json_object_set_new(json, "peers", json_array());
	queue_line(a, json);
	json_decref(json);
	a->wanted_waits = false;
}

/* What does not go out now goes when the program reads. */
static void flush(struct adapter *a)
{
	for (;;) {
		if (queued(a) == 0) {
			a->out_at = a->out_len = 0;
			if (!a->wanted_waits)
				break;
			queue_wanted(a);
		}
		ssize_t n = write(a->out_fd, &a->out[a->out_at], queued(a));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			stop_writing(a);
			return;
		}
		if (n < 0)
			break;
		a->out_at += (size_t)n;
	}
	loop_fd_set(a->out_watch, queued(a) > 0 ? LOOP_WRITE : 0);
}

static void on_writable(void *arg, int fd, unsigned events)
{
	(void)fd;
	(void)events;
	flush(arg);
}

static void send_wanted(struct adapter *a)
{
	if (a->out_fd < 0)
		return;
	a->wanted_waits = true;
	flush(a);
}

/* ---- What is taken away has to be gone in time ---- */

static void expect_cut(struct adapter *a)
{
	a->cut_waits_for = a->cut_serial;
	loop_timer_start(a->cut_timer, CUT_MS);
}

static void on_cut_late(void *arg)
{
	struct adapter *a = arg;
	child_kill(a->child, "it has not taken a member out within a second");
}

static void exec_device(struct adapter *a, uint32_t index, int fd)
{
	(void)fd;
	child_set_interface(a->child, index);
}

static void on_applied(struct adapter *a, uint64_t serial)
{
	a->applied = MIN(serial, a->serial);
	if (!loop_timer_active(a->cut_timer) || a->applied < a->cut_waits_for)
		return;
	loop_timer_stop(a->cut_timer);
	if (a->applied < a->cut_serial)
		expect_cut(a);
}

/* ---- From the program ---- */

static void on_hello(struct adapter *a, const struct exec_message *m)
{
	memcpy(a->name, m->text, sizeof(a->name));
	if (m->version != EXEC_VERSION) {
		snprintf(a->error, sizeof(a->error),
			 "the program speaks version %llu of the protocol, dnetd speaks %d",
			 (unsigned long long)m->version, EXEC_VERSION);
		log_error("%s: %s", a->host.interface, a->error);
	}
	if (m->enforces_rules == a->enforces_rules)
		return;
	bool in_vain = rules_are_in_vain(a);
	a->enforces_rules = m->enforces_rules;
	if (in_vain != rules_are_in_vain(a)) {
		a->serial++;
		send_wanted(a);
	}
}

static void on_key(struct adapter *a, const struct exec_message *m)
{
	if (m->bytes_len == a->key_len && memcmp(m->bytes, a->key, a->key_len) == 0)
		return;
	memcpy(a->key, m->bytes, m->bytes_len);
	a->key_len = m->bytes_len;
	a->host.changed(a->host.ctx);
}

static void on_offer(struct adapter *a, const struct exec_message *m)
{
	bool same = m->port == a->port && m->endpoint_count == a->endpoint_count;
	for (size_t i = 0; i < m->endpoint_count && same; i++)
		same = endpoint_equal(&m->endpoints[i], &a->endpoints[i]);
	if (same)
		return;
	a->port = m->port;
	a->endpoint_count = m->endpoint_count;
	memcpy(a->endpoints, m->endpoints, sizeof(a->endpoints));
	a->host.changed(a->host.ctx);
}

static void on_status(struct adapter *a, struct exec_message *m)
{
	free(a->peers);
	a->peers = steal(m->peers);
	a->peer_count = m->peer_count;
	memcpy(a->error, m->text, sizeof(a->error));
	on_applied(a, m->serial);
}

static void on_program_event(struct adapter *a, const struct exec_message *m)
{
	unsigned left_out;
	if (log_limit_pass(&a->event_limit, EVENTS_PER_MINUTE, &left_out))
		a->host.event(a->host.ctx, m->has_node ? &m->node : NULL, m->text);
}

static void on_log(struct adapter *a, const struct exec_message *m)
{
	unsigned left_out = 0;
	if (log_enabled(m->level) && log_limit_pass(&a->log_limit, LINES_PER_MINUTE, &left_out))
		log_write(m->level, "%s: %s", a->host.interface, m->text);
}

static void on_message(struct adapter *a, struct exec_message *m)
{
	switch (m->type) {
	case EXEC_OTHER:
		break;
	case EXEC_HELLO:
		on_hello(a, m);
		break;
	case EXEC_KEY:
		on_key(a, m);
		break;
	case EXEC_OFFER:
		on_offer(a, m);
		break;
	case EXEC_STATUS:
		on_status(a, m);
		break;
	case EXEC_EVENT:
		on_program_event(a, m);
		break;
	case EXEC_LOG:
		on_log(a, m);
		break;
	case EXEC_DATAGRAM:
		if (exec_wanted_has(a->wanted, &m->node))
			(void)a->host.carry(a->host.ctx, &m->node, m->bytes, m->bytes_len);
		break;
	}
}

static void on_line(void *ctx, char *line, size_t len, bool cut)
{
	struct adapter *a = ctx;
	struct exec_message m;
	const char *why = "longer than 1 MiB";
	if (!cut && exec_message_parse(line, len, &m, &why)) {
		on_message(a, &m);
		exec_message_done(&m);
		return;
	}
	a->why = why;
	a->not_understood++;
	log_limited(LOG_LEVEL_WARN, 10, "%s: a line of the program is not understood: %s",
		    a->host.interface, a->why);
}

/* ---- Its life ---- */

static int give_descriptors(void *ctx, int output, int fds[static ADAPTER_CHILD_FDS])
{
	struct adapter *a = ctx;
	const struct lines_io io = {a, on_line};
	int in[2], out[2];
	if (pipe2(in, O_CLOEXEC))
		return -errno;
	if (pipe2(out, O_CLOEXEC)) {
		int error = errno;
		close(in[0]);
		close(in[1]);
		return -error;
	}
	a->program_fds[0] = fds[0] = in[0];
	a->program_fds[1] = fds[1] = out[1];
	fds[2] = output;
	a->out_fd = in[1];
	a->out_watch = loop_fd_new(a->host.loop, a->out_fd, LOOP_WRITE, on_writable, a);
	a->in = lines_new(a->host.loop, out[0], EXEC_LINE_MAX, &io);
	return 3;
}

static void forget_program(struct adapter *a)
{
	stop_writing(a);
	loop_timer_stop(a->cut_timer);
	free(a->peers);
	a->peers = NULL;
	a->peer_count = 0;
	a->applied = 0;
	a->enforces_rules = false;
	a->error[0] = '\0';
	a->name[0] = '\0';
}

static void on_started(void *ctx, bool running)
{
	struct adapter *a = ctx;
	closep(&a->program_fds[0]);
	closep(&a->program_fds[1]);
	if (!running || !a->out_watch || !a->in) {
		stop_writing(a);
		lines_free(steal(a->in));
		child_kill(a->child, "too many open files");
		return;
	}
	queue_line(a, a->hello);
	send_wanted(a);
}

static void on_ended(void *ctx, int status)
{
	struct adapter *a = ctx;
	(void)status;
	if (a->in)
		lines_drain(a->in);
	lines_free(steal(a->in));
	forget_program(a);
}

static int exec_probe(const char *program, enum adapter_device *ret_device,
		      char error[static ADAPTER_ERROR_MAX])
{
	*ret_device = ADAPTER_DEVICE_PROGRAM;
	if (program)
		return 0;
	snprintf(error, ADAPTER_ERROR_MAX,
		 "no program is named: put 'exec-program = /PATH ARGUMENTS' into dnetd.conf");
	return -ENOENT;
}

static int exec_start(const struct adapter_host *host, struct adapter **ret_adapter)
{
	struct adapter *a = xcalloc(1, sizeof(*a));
	char name[64];
	snprintf(name, sizeof(name), "%s: program", host->interface);
	const struct child_io io = {.ctx = a,
				    .descriptors = give_descriptors,
				    .started = on_started,
				    .ended = on_ended};
	const struct child_config config = {.loop = host->loop,
					    .os = host->os,
					    .program = PROGRAM_EXEC,
					    .name = name,
					    .gone_ms = GONE_MS};
	a->host = *host;
	a->program_fds[0] = a->program_fds[1] = a->out_fd = -1;
	a->cut_timer = loop_timer_new(host->loop, on_cut_late, a);
	a->child = child_new(&config, &io);
	*ret_adapter = a;
	return 0;
}

static int exec_apply(struct adapter *a, const struct adapter_plan *plan, uint64_t now)
{
	json_t *wanted = exec_wanted(plan);
	(void)now;
	json_decref(a->hello);
	a->hello = exec_hello(&a->host, plan);
	if (json_equal(a->wanted, wanted)) {
		json_decref(wanted);
		return 0;
	}
	bool cut = exec_wanted_takes_away(a->wanted, wanted);
	json_decref(a->wanted);
	a->wanted = wanted;
	a->serial++;
	if (cut)
		a->cut_serial = a->serial;
	send_wanted(a);
	if (cut && child_is_running(a->child) && !loop_timer_active(a->cut_timer))
		expect_cut(a);
	(void)child_start(a->child); /* what it cannot is in the status, and tried again */
	return 0;
}

static void exec_offer(const struct adapter *a, struct adapter_offer *ret_offer)
{
	*ret_offer = (struct adapter_offer){.key = a->key_len ? a->key : NULL,
					    .key_len = a->key_len,
					    .port = a->port,
					    .endpoints = a->endpoints,
					    .endpoint_count = a->endpoint_count};
}

static void exec_carried(struct adapter *a, const struct node_key *key, const uint8_t *bytes,
			 size_t len)
{
	if (a->out_fd < 0 || queued(a) > QUEUE_MAX || !exec_wanted_has(a->wanted, key))
		return;
	json_t *json = exec_datagram(key, bytes, len);
	queue_line(a, json);
	json_decref(json);
	flush(a);
}

/* ---- Views ---- */

static const char *describe_program(struct adapter *a)
{
	size_t n = (size_t)snprintf(a->text, sizeof(a->text), "%s%s%s", a->name,
				    a->name[0] ? ": " : "", child_text(a->child));
	if (a->not_understood > 0)
		snprintf(a->text + n, sizeof(a->text) - n,
			 "; %llu of its lines were not understood, the last: %s",
			 (unsigned long long)a->not_understood, a->why);
	return a->text;
}

static const char *describe_error(struct adapter *a)
{
	if (!child_is_running(a->child))
		return child_text(a->child);
	if (rules_are_in_vain(a))
		return "the program does not enforce policy rules, and so is given no members";
	if (a->error[0])
		return a->error;
	return a->applied < a->serial ? "the program has not applied what is wanted yet" : NULL;
}

static void exec_status(const struct adapter *adapter, struct adapter_status *ret_status)
{
	struct adapter *a = (struct adapter *)adapter; /* for the texts */
	*ret_status = (struct adapter_status){
		.applied = child_is_running(a->child) && a->applied == a->serial,
		.error = describe_error(a),
		.limits = "the program cuts a removed member; it is ended if it takes more than a "
			  "second",
		.program = describe_program(a)};
}

static void exec_visit_peers(const struct adapter *a, adapter_visit_peer *visit, void *ctx)
{
	for (size_t i = 0; i < a->peer_count; i++) {
		const struct exec_peer *p = &a->peers[i];
		const struct adapter_peer_status status = {
			.key = p->key,
			.rx_bytes = p->rx_bytes,
			.tx_bytes = p->tx_bytes,
			.last_handshake_s = p->last_handshake_s,
			.endpoint = p->endpoint,
			.connected = p->connected,
			.bridged = p->bridged,
			.reason = p->reason[0] ? p->reason : "the program says nothing of why"};
		if (exec_wanted_has(a->wanted, &p->key))
			visit(ctx, &status);
	}
}

static void exec_teardown(struct adapter *a)
{
	if (a->out_fd >= 0) {
		json_t *stop = exec_stop();
		a->wanted_waits = false;
		queue_line(a, stop);
		json_decref(stop);
		flush(a);
	}
	stop_writing(a);
	child_stop(a->child, STOP_MS);
	child_free(a->child);
	lines_free(a->in);
	forget_program(a);
	loop_timer_free(a->cut_timer);
	json_decref(a->hello);
	json_decref(a->wanted);
	free(a->out);
	free(a);
}

const struct adapter_ops adapter_exec = {
	.name = "exec",
	.summary = "a program of yours, told what is wanted as lines of JSON",
	.backend = BACKEND_EXEC,
	.program = PROGRAM_EXEC,
	.probe = exec_probe,
	.start = exec_start,
	.device = exec_device,
	.apply = exec_apply,
	.offer = exec_offer,
	.carried = exec_carried,
	.status = exec_status,
	.visit_peers = exec_visit_peers,
	.teardown = exec_teardown,
};
