#include "os/ctl.h"

#include "os/ctl_stream.h"
#include "os/file.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	TOPICS_MAX = 64,	/* bits in connection.topics */
	GROUPS_MAX = 256,	/* of a caller; more are not looked at */
	QUEUE_HIGH = 64 * 1024, /* a client that does not read its answers is not read from */
	ACCEPT_RETRY_MS = 200,	/* when the process has no descriptor left */
};

TAILQ_HEAD(connection_list, connection);
TAILQ_HEAD(request_list, ctl_request);

struct ctl_server {
	struct loop *loop;
	struct ctl_config config;
	int fd; /* listening */
	struct loop_fd *watch;
	struct loop_timer *retry;
	uid_t user;   /* (uid_t)-1: as it is */
	gid_t group;  /* (gid_t)-1: none */
	dev_t device; /* of our socket file, so that no other is removed */
	ino_t inode;
	struct connection_list connections; /* owned */
	unsigned connections_count;
	json_t *last[TOPICS_MAX]; /* owned; NULL: never published */
	unsigned topics_count;
};

struct connection {
	TAILQ_ENTRY(connection) entry;
	struct ctl_server *server;
	struct ctl_stream stream;
	struct loop_fd *watch;
	struct loop_timer *half_line;
	struct request_list requests; /* unanswered; owned by their handlers */
	unsigned requests_count;
	uint64_t topics; /* subscribed: bit i is config.topics[i] */
	uid_t uid;
	bool may_write;
	bool busy;    /* lines are being served: free it later */
	bool dead;    /* closed */
	bool closing; /* close when all is sent; nothing is read any more */
};

struct ctl_request {
	TAILQ_ENTRY(ctl_request) entry;
	struct connection *connection; /* borrowed; NULL: the client has gone */
	json_t *message;	       /* owned; params are in it */
	json_t *id;		       /* borrowed from message; NULL: no answer is wanted */
	void *arg;
};

static void connection_free(struct connection *c)
{
	free(c);
}

/* Closes at once. While its lines are served the memory stays until that is over. */
static void connection_kill(struct connection *c)
{
	struct ctl_request *request, *next;

	if (c->dead)
		return;
	c->dead = true;
	TAILQ_FOREACH_SAFE(request, &c->requests, entry, next)
	{
		TAILQ_REMOVE(&c->requests, request, entry);
		request->connection = NULL;
	}
	TAILQ_REMOVE(&c->server->connections, c, entry);
	c->server->connections_count--;
	loop_fd_free(c->watch);
	loop_timer_free(c->half_line);
	ctl_stream_done(&c->stream);
	if (!c->busy)
		connection_free(c);
}

static void connection_update(struct connection *c)
{
	size_t queued = ctl_stream_queued(&c->stream);
	bool reads = !c->closing && !c->stream.eof && queued < QUEUE_HIGH;
	/* Lines that wait because the queue was high are served when there is room to answer. */
	bool writes = queued || (!c->closing && ctl_stream_unserved(&c->stream));

	loop_fd_set(c->watch, (reads ? LOOP_READ : 0) | (writes ? LOOP_WRITE : 0));
}

/* Sends what it can now; closes what is broken, too slow, or done. */
static void connection_flush(struct connection *c)
{
	int result = ctl_stream_flush(&c->stream);
	size_t queued = ctl_stream_queued(&c->stream);
	bool over = c->closing || (c->stream.eof && !c->requests_count && !c->busy);

	if (result && result != -EAGAIN) {
		connection_kill(c);
	} else if (queued > c->server->config.queue_max) {
		log_limited(LOG_LEVEL_WARN, 6, "control client of uid %u does not read; closed",
			    (unsigned)c->uid);
		connection_kill(c);
	} else if (!queued && over) {
		connection_kill(c);
	} else {
		connection_update(c);
	}
}

static json_t *error_object(int code, const char *next, const char *message)
{
	json_t *error = json_object();

	json_object_set_new(error, "code", json_integer(code));
	/* A text with bytes that are no UTF-8 is no JSON string. */
	if (json_object_set_new(error, "message", json_string(message)))
		json_object_set_new(error, "message", json_string("(a text that is not UTF-8)"));
	if (next)
		json_object_set_new(error, "data", json_pack("{s:s}", "next", next));
	return error;
}

/* A refusal of a line from which no request came. */
static void send_refusal(struct connection *c, json_t *id, int code, const char *message)
{
	json_t *reply = ctl_message_new(id ? id : json_null());

	json_object_set_new(reply, "error", error_object(code, NULL, message));
	ctl_stream_put(&c->stream, reply);
	json_decref(reply);
	connection_flush(c);
}

static void request_free(struct ctl_request *request)
{
	json_decref(request->message);
	free(request);
}

/* Ends the request with this member of the reply; takes value. */
static void finish_request(struct ctl_request *request, const char *member, json_t *value)
{
	struct connection *c = request->connection;
	json_t *reply;

	if (!c) {
		json_decref(value);
		request_free(request);
		return;
	}
	TAILQ_REMOVE(&c->requests, request, entry);
	c->requests_count--;
	if (request->id) {
		reply = ctl_message_new(json_incref(request->id));
		json_object_set_new(reply, member, value);
		if (ctl_stream_put(&c->stream, reply)) {
			json_object_del(reply, member);
			json_object_set_new(reply, "error",
					    error_object(CTL_EINTERNAL, "ask for less",
							 "the answer is too long"));
			ctl_stream_put(&c->stream, reply);
		}
		json_decref(reply);
	} else {
		json_decref(value);
	}
	request_free(request);
	connection_flush(c);
}

void ctl_reply(struct ctl_request *request, json_t *result)
{
	finish_request(request, "result", result ? result : json_object());
}

void ctl_reply_error(struct ctl_request *request, enum ctl_code code, const char *next,
		     const char *format, ...)
{
	char message[512];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	finish_request(request, "error", error_object(code, next, message));
}

bool ctl_request_gone(const struct ctl_request *request)
{
	return !request->connection;
}

void *ctl_request_arg(const struct ctl_request *request)
{
	return request->arg;
}

const char *ctl_param_string(const json_t *params, const char *name)
{
	return json_string_value(json_object_get(params, name));
}

bool ctl_param_int(const json_t *params, const char *name, int64_t *ret_value)
{
	const json_t *value = json_object_get(params, name);

	if (!json_is_integer(value))
		return false;
	*ret_value = json_integer_value(value);
	return true;
}

static json_t *describe_command(const struct ctl_command *command)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "name", command->name, "params",
			 command->params ? command->params : "", "help", command->help, "access",
			 command->access == CTL_WRITE ? "write" : "read");
}

static void serve_help(struct ctl_request *request, json_t *params, void *arg);
static void serve_version(struct ctl_request *request, json_t *params, void *arg);
static void serve_subscribe(struct ctl_request *request, json_t *params, void *arg);
static void serve_unsubscribe(struct ctl_request *request, json_t *params, void *arg);

/* The table and its first row know each other. */
static const struct ctl_command built_in[] = {
	{"help", NULL, "list the commands", CTL_READ, serve_help},
	{"version", NULL, "name and version of this program", CTL_READ, serve_version},
	{"subscribe", "topic", "send what is published under a topic", CTL_READ, serve_subscribe},
	{"unsubscribe", "topic", "stop that", CTL_READ, serve_unsubscribe},
};

static void serve_help(struct ctl_request *request, json_t *params, void *arg)
{
	const struct ctl_config *config = &request->connection->server->config;
	json_t *list = json_array(), *topics = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++)
		json_array_append_new(list, describe_command(&built_in[i]));
	for (size_t i = 0; i < config->commands_count; i++)
		json_array_append_new(list, describe_command(&config->commands[i]));
	for (size_t i = 0; config->topics && config->topics[i]; i++)
		json_array_append_new(topics, json_string(config->topics[i]));
	ctl_reply(request, json_pack("{s:o, s:o}", "commands", list, "topics", topics));
}

static void serve_version(struct ctl_request *request, json_t *params, void *arg)
{
	const struct ctl_config *config = &request->connection->server->config;

	ctl_reply(request,
		  json_pack("{s:s, s:s}", "program", config->program, "version", config->version));
}

static int find_topic(const struct ctl_server *server, const char *topic)
{
	for (unsigned i = 0; topic && i < server->topics_count; i++) {
		if (!strcmp(server->config.topics[i], topic))
			return (int)i;
	}
	return -1;
}

static void set_subscription(struct ctl_request *request, json_t *params, bool on)
{
	struct connection *c = request->connection;
	const char *topic = ctl_param_string(params, "topic");
	int i = find_topic(c->server, topic);
	json_t *last;

	if (i < 0) {
		ctl_reply_error(request, topic ? CTL_ENOTFOUND : CTL_EPARAMS,
				"'help' lists the topics", "there is no topic '%s'",
				topic ? topic : "");
		return;
	}
	if (on)
		c->topics |= 1ULL << i;
	else
		c->topics &= ~(1ULL << i);
	last = on ? c->server->last[i] : NULL;
	ctl_reply(request, json_pack("{s:s, s:o}", "topic", topic, "last",
				     last ? json_incref(last) : json_null()));
}

static void serve_subscribe(struct ctl_request *request, json_t *params, void *arg)
{
	set_subscription(request, params, true);
}

static void serve_unsubscribe(struct ctl_request *request, json_t *params, void *arg)
{
	set_subscription(request, params, false);
}

static const struct ctl_command *find_command(const struct ctl_server *server, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++) {
		if (!strcmp(built_in[i].name, name))
			return &built_in[i];
	}
	for (size_t i = 0; i < server->config.commands_count; i++) {
		if (!strcmp(server->config.commands[i].name, name))
			return &server->config.commands[i];
	}
	return NULL;
}

/* Takes message. */
static struct ctl_request *request_new(struct connection *c, json_t *message)
{
	struct ctl_request *request = xcalloc(1, sizeof(*request));

	request->connection = c;
	request->message = message;
	request->id = json_object_get(message, "id");
	request->arg = c->server->config.arg;
	TAILQ_INSERT_TAIL(&c->requests, request, entry);
	c->requests_count++;
	return request;
}

static void run_command(struct ctl_request *request, const char *method)
{
	struct connection *c = request->connection;
	const struct ctl_command *command = find_command(c->server, method);
	json_t *params = json_object_get(request->message, "params");
	const char *group = c->server->config.group;
	char next[128] = "run this as root";

	if (!command) {
		ctl_reply_error(request, CTL_EMETHOD, "'help' lists the commands",
				"there is no command '%.64s'", method);
	} else if (params && !json_is_object(params)) {
		ctl_reply_error(request, CTL_EPARAMS, NULL, "params must be an object");
	} else if (command->access == CTL_WRITE && !c->may_write) {
		if (group && group[0])
			snprintf(next, sizeof(next), "run this as root, or join the group '%s'",
				 group);
		ctl_reply_error(request, CTL_EDENIED, next,
				"'%s' changes things, and you may only "
				"look",
				command->name);
	} else if (c->requests_count > CTL_PENDING_MAX) {
		ctl_reply_error(request, CTL_EBUSY, "wait for some answers",
				"%d requests are not answered yet", CTL_PENDING_MAX);
	} else {
		command->handler(request, params, request->arg);
	}
}

static void serve_line(struct connection *c, const char *line, size_t len)
{
	const char *why = "", *method;
	json_t *message, *id;

	if (!len)
		return;
	message = ctl_line_parse(line, len, &why);
	if (!message) {
		send_refusal(c, NULL, CTL_EPARSE, why);
		return;
	}
	id = json_object_get(message, "id");
	method = json_string_value(json_object_get(message, "method"));
	if (!method || (id && !json_is_string(id) && !json_is_integer(id) && !json_is_null(id))) {
		send_refusal(c, NULL, CTL_EREQUEST, "not a request: method (and id) are wanted");
		json_decref(message);
		return;
	}
	run_command(request_new(c, message), method);
}

static void serve_lines(struct connection *c)
{
	const char *line;
	bool ended = false;
	size_t len;

	c->busy = true;
	while (!c->dead && !c->closing && ctl_stream_queued(&c->stream) < QUEUE_HIGH &&
	       (line = ctl_stream_line(&c->stream, &len))) {
		serve_line(c, line, len);
		ended = true;
	}
	c->busy = false;
	if (c->dead) {
		connection_free(c);
		return;
	}
	/* The time is that of one line: what begins behind a line that ended has all of it. */
	if (!ctl_stream_half_line(&c->stream))
		loop_timer_stop(c->half_line);
	else if (ended || !loop_timer_active(c->half_line))
		loop_timer_start(c->half_line, c->server->config.half_line_ms);
	connection_flush(c);
}

static void on_half_line(void *arg)
{
	struct connection *c = arg;

	/* Whole lines may be waiting because the client does not read: that is another limit. */
	if (ctl_stream_queued(&c->stream) >= QUEUE_HIGH)
		return;
	log_limited(LOG_LEVEL_INFO, 6, "control client of uid %u began a line and did not end it",
		    (unsigned)c->uid);
	connection_kill(c);
}

static void on_client(void *arg, int fd, unsigned events)
{
	struct connection *c = arg;
	int result = 0;

	if (events & LOOP_READ)
		result = ctl_stream_fill(&c->stream);
	if (result == -EMSGSIZE) {
		c->closing = true;
		send_refusal(c, NULL, CTL_EREQUEST, "the line is too long");
	} else if (result && result != -EAGAIN) {
		connection_kill(c);
	} else {
		ctl_stream_flush(&c->stream);
		serve_lines(c);
	}
}

/* Root, the server's own user, and the members of the group may write. */
static bool peer_may_write(const struct ctl_server *server, int fd, const struct ucred *peer)
{
	gid_t groups[GROUPS_MAX];
	socklen_t size = sizeof(groups);

	if (peer->uid == 0 || peer->uid == geteuid())
		return true;
	if (server->group == (gid_t)-1)
		return false;
	if (peer->gid == server->group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size))
		return false;
	for (size_t i = 0; i < size / sizeof(groups[0]); i++) {
		if (groups[i] == server->group)
			return true;
	}
	return false;
}

static void connection_new(struct ctl_server *server, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	struct connection *c;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size)) {
		close(fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->server = server;
	c->uid = peer.uid;
	c->may_write = peer_may_write(server, fd, &peer);
	TAILQ_INIT(&c->requests);
	ctl_stream_init(&c->stream, fd);
	c->half_line = loop_timer_new(server->loop, on_half_line, c);
	TAILQ_INSERT_TAIL(&server->connections, c, entry);
	server->connections_count++;
	c->watch = loop_fd_new(server->loop, fd, LOOP_READ, on_client, c);
	if (!c->watch)
		connection_kill(c);
	else if (server->connections_count > server->config.clients_max) {
		c->closing = true;
		send_refusal(c, NULL, CTL_EBUSY, "too many clients");
	}
}

static void on_retry(void *arg)
{
	struct ctl_server *server = arg;

	if (server->watch)
		loop_fd_set(server->watch, LOOP_READ);
}

static void on_listen(void *arg, int unused, unsigned events)
{
	struct ctl_server *server = arg;
	int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		connection_new(server, fd);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		log_limited(LOG_LEVEL_WARN, 2, "cannot take a control client: %s", strerror(errno));
		loop_fd_set(server->watch, 0);
		loop_timer_start(server->retry, ACCEPT_RETRY_MS);
	}
}

/* Removes a socket that nobody serves. */
static int remove_stale(const char *path)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;
	int result;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	result = ctl_connect(path, 0, &fd);
	if (!result || result == -EAGAIN)
		return -EADDRINUSE;
	if (result != -ECONNREFUSED)
		return result;
	return unlink(path) ? -errno : 0;
}

static int set_owner(struct ctl_server *server, const char *path)
{
	mode_t mode = server->config.mode ? server->config.mode : 0660;
	struct stat st;

	if ((server->user != (uid_t)-1 || server->group != (gid_t)-1) &&
	    lchown(path, server->user, server->group))
		return -errno;
	if (chmod(path, mode) || lstat(path, &st))
		return -errno;
	server->device = st.st_dev;
	server->inode = st.st_ino;
	return 0;
}

static int bind_to_path(struct ctl_server *server, int fd)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *path = server->config.path;
	mode_t mask;
	int result;

	if (strlen(path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	memcpy(to.sun_path, path, strlen(path) + 1);
	/* Nobody else connects before owner and mode are what they should be. */
	mask = umask(0177);
	result = bind(fd, (struct sockaddr *)&to, sizeof(to)) ? -errno : 0;
	umask(mask);
	if (result)
		return result;
	result = set_owner(server, path);
	if (!result && listen(fd, 128))
		result = -errno;
	if (result)
		unlink(path);
	return result;
}

static int make_folder_of(const char *path)
{
	_cleanup_(freep) char *folder = xstrdup(path);
	char *slash = strrchr(folder, '/');

	if (!slash || slash == folder)
		return 0;
	*slash = 0;
	return file_make_folder(folder, 0755);
}

static int start_listening(struct ctl_server *server)
{
	_cleanup_(closep) int fd = -1;
	int result = make_folder_of(server->config.path);

	if (!result)
		result = remove_stale(server->config.path);
	if (result)
		return result;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	result = bind_to_path(server, fd);
	if (result)
		return result;
	server->watch = loop_fd_new(server->loop, fd, LOOP_READ, on_listen, server);
	if (!server->watch)
		return -errno;
	server->fd = fd;
	fd = -1;
	return 0;
}

static void stop_listening(struct ctl_server *server)
{
	struct stat st;

	loop_fd_free(server->watch);
	server->watch = NULL;
	if (server->fd < 0)
		return;
	close(server->fd);
	server->fd = -1;
	if (!lstat(server->config.path, &st) && st.st_dev == server->device &&
	    st.st_ino == server->inode)
		unlink(server->config.path);
}

static int find_owner(struct ctl_server *server)
{
	const char *name = server->config.group, *user = server->config.user;
	unsigned uid, gid;
	struct group *group;

	server->user = (uid_t)-1;
	server->group = (gid_t)-1;
	if (user && user[0] && geteuid() == 0 && sandbox_user_possible(user) == 0 &&
	    sandbox_user_find(user, &uid, &gid) == 0)
		server->user = uid;
	if (!name || !name[0])
		return 0;
	errno = 0;
	group = getgrnam(name);
	if (!group) {
		log_error("there is no group '%s'; addgroup --system %s makes it", name, name);
		return -ENOENT;
	}
	server->group = group->gr_gid;
	return 0;
}

static int complain(const struct ctl_server *server, int result)
{
	const char *path = server->config.path;

	switch (-result) {
	case EADDRINUSE:
		log_error("control socket %s is served by another process", path);
		break;
	case EEXIST:
		log_error("control socket %s: there is something else with this name", path);
		break;
	case EACCES:
	case EPERM:
		log_error("control socket %s: %s; choose another path (--control) or run as root",
			  path, strerror(-result));
		break;
	default:
		log_error("control socket %s: %s", path, strerror(-result));
		break;
	}
	return result;
}

int ctl_server_new(struct loop *loop, const struct ctl_config *config, struct ctl_server **ret)
{
	struct ctl_server *server = xcalloc(1, sizeof(*server));
	int result;

	server->loop = loop;
	server->fd = -1;
	server->config = *config;
	if (!server->config.half_line_ms)
		server->config.half_line_ms = CTL_HALF_LINE_MS;
	if (!server->config.clients_max)
		server->config.clients_max = CTL_CLIENTS_MAX;
	if (!server->config.queue_max)
		server->config.queue_max = CTL_QUEUE_MAX;
	while (config->topics && config->topics[server->topics_count])
		server->topics_count++;
	assert(server->topics_count <= TOPICS_MAX);
	TAILQ_INIT(&server->connections);
	server->retry = loop_timer_new(loop, on_retry, server);
	result = find_owner(server);
	if (!result) {
		result = start_listening(server);
		if (result)
			complain(server, result);
	}
	if (result)
		ctl_server_free(server);
	else
		*ret = server;
	return result;
}

void ctl_server_free(struct ctl_server *server)
{
	struct connection *c;

	if (!server)
		return;
	while ((c = TAILQ_FIRST(&server->connections)))
		connection_kill(c);
	stop_listening(server);
	loop_timer_free(server->retry);
	for (unsigned i = 0; i < server->topics_count; i++)
		json_decref(server->last[i]);
	free(server);
}

int ctl_server_rebind(struct ctl_server *server)
{
	int result;

	stop_listening(server);
	result = start_listening(server);
	return result ? complain(server, result) : 0;
}

unsigned ctl_server_clients(const struct ctl_server *server)
{
	return server->connections_count;
}

void ctl_publish(struct ctl_server *server, const char *topic, json_t *value)
{
	int i = find_topic(server, topic);
	struct connection *c, *next;
	json_t *message;

	assert(i >= 0);
	json_decref(server->last[i]);
	server->last[i] = value;
	message = ctl_message_new(NULL);
	json_object_set_new(message, "method", json_string(topic));
	json_object_set(message, "params", value);
	TAILQ_FOREACH_SAFE(c, &server->connections, entry, next)
	{
		if (!(c->topics & 1ULL << i))
			continue;
		ctl_stream_put(&c->stream, message);
		connection_flush(c);
	}
	json_decref(message);
}
