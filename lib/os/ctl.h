#ifndef OS_CTL_H
#define OS_CTL_H

/* Control sockets: JSON-RPC 2.0 over a UNIX stream socket, one object a line. The server is a table
 * of commands on the loop; the client is one blocking call, or a connection on the loop that
 * comes back by itself. */

#include "os/base.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct ctl_server;
struct ctl_request;
struct ctl_client;

enum {
	CTL_LINE_MAX = 1 << 20,	  /* bytes of a request or a reply, the newline included */
	CTL_CLIENTS_MAX = 256,	  /* connections of a server; one more is closed at once */
	CTL_QUEUE_MAX = 4 << 20,  /* bytes that wait for a slow client; then it is closed */
	CTL_PENDING_MAX = 64,	  /* unanswered requests of a client; one more is CTL_EBUSY */
	CTL_HALF_LINE_MS = 10000, /* a line that is begun must end within this time */
	CTL_NESTING_MAX = 32,	  /* of arrays and objects in a request */
};

/* Codes of JSON-RPC, and ours. A number never changes its meaning. */
enum ctl_code {
	CTL_EPARSE = -32700,
	CTL_EREQUEST = -32600,
	CTL_EMETHOD = -32601,
	CTL_EPARAMS = -32602,
	CTL_EINTERNAL = -32603,
	CTL_EDENIED = -32001,	/* the caller may not do this */
	CTL_EBUSY = -32002,	/* too much at once, or not now; again later */
	CTL_ENOTFOUND = -32003, /* the thing named does not exist */
	CTL_ECONFLICT = -32004, /* it is there already, or in a state that forbids this */
	CTL_EFAILED = -32005,	/* tried, and it did not work */
	CTL_ETIMEOUT = -32006,	/* no answer in time (also made by the client) */
	CTL_ECONNECT = -32007,	/* made by the client: no server */
};

enum ctl_access {
	CTL_READ,  /* whoever the socket's mode lets connect */
	CTL_WRITE, /* root, the server's own user, or a member of the server's group */
};

/* Answers now or later, once, by ctl_reply() or ctl_reply_error(). params is an object or NULL,
 * borrowed until the request is answered. */
typedef void (*ctl_handler)(struct ctl_request *request, json_t *params, void *arg);

struct ctl_command {
	const char *name;
	const char *params; /* for people: "DNET [NODE]"; NULL when it takes none */
	const char *help;   /* one sentence */
	enum ctl_access access;
	ctl_handler handler;
};

struct ctl_config {
	const char *program; /* answered by the built-in `version` */
	const char *version;
	const char *path;
	mode_t mode;	   /* of the socket; 0: 0660 */
	const char *group; /* name; gets the socket and may write. NULL or "": none */
	/* name; when root makes the socket it is his, so that he may remove it from a sticky
	 * folder. NULL or "": it stays root's. */
	const char *user;
	const struct ctl_command *commands;
	size_t commands_count;
	const char *const *topics; /* NULL-terminated; what may be subscribed. NULL: none */
	void *arg;		   /* of the handlers */
	uint64_t half_line_ms;	   /* 0: CTL_HALF_LINE_MS */
	unsigned clients_max;	   /* 0: CTL_CLIENTS_MAX */
	size_t queue_max;	   /* 0: CTL_QUEUE_MAX */
};

/* Binds and listens. A socket file that nobody serves is replaced; one that is served is
 * -EADDRINUSE; something else at the path is -EEXIST and stays. The configuration's strings and
 * tables are borrowed for the server's life. Built in: help, version, subscribe {topic},
 * unsubscribe {topic}. */
int ctl_server_new(struct loop *loop, const struct ctl_config *config, struct ctl_server **ret);
/* Closes all clients and removes the socket file, if this process still may. Requests that are not
 * answered stay valid; answering them does nothing. */
void ctl_server_free(struct ctl_server *server);
/* The socket file was unlinked from outside: binds it anew. */
int ctl_server_rebind(struct ctl_server *server);
unsigned ctl_server_clients(const struct ctl_server *server);
/* Sends {"method": topic, "params": value} to the subscribers, and keeps it: who subscribes later
 * gets the last value in the reply ("last"). Takes value. */
void ctl_publish(struct ctl_server *server, const char *topic, json_t *value);

/* Both end the request; fine when the client has gone. ctl_reply() takes result; NULL is {}. */
void ctl_reply(struct ctl_request *request, json_t *result);
/* next is the next step for a person, or NULL; it goes to error.data.next. */
void ctl_reply_error(struct ctl_request *request, enum ctl_code code, const char *next,
		     const char *format, ...) _printf_(4, 5);
/* The client has closed: an answer will reach nobody. */
bool ctl_request_gone(const struct ctl_request *request);
/* For a handler that answers later. */
void *ctl_request_arg(const struct ctl_request *request);

/* Parameters of a handler: NULL or false when missing or of another type. Strings are borrowed. */
const char *ctl_param_string(const json_t *params, const char *name);
bool ctl_param_int(const json_t *params, const char *name, int64_t *ret_value);

struct ctl_error {
	int code; /* enum ctl_code, or the server's own */
	char message[512];
	char next[256]; /* "": no hint */
};

/* One call, blocking up to timeout_ms. params is borrowed and may be NULL. 0 and *ret_result (the
 * caller's; may be NULL when not wanted), or -1 and *ret_error. */
int ctl_client_call(const char *path, const char *method, json_t *params, unsigned timeout_ms,
		    json_t **ret_result, struct ctl_error *ret_error);

/* result is borrowed; exactly one of result and error is not NULL. */
typedef void (*ctl_answer_cb)(void *arg, json_t *result, const struct ctl_error *error);

struct ctl_client_events {
	/* Connected, also again: subscriptions have been asked for. error is NULL. Or lost (or
	 * never there): error says why, once, until it comes back. */
	void (*on_state)(void *arg, bool connected, const struct ctl_error *error);
	/* A published value, or the last one at the time of (re)subscribing; borrowed. */
	void (*on_event)(void *arg, const char *topic, json_t *value);
};

enum { CTL_RECONNECT_FIRST_MS = 100, CTL_RECONNECT_MAX_MS = 5000 };

/* Connects in the background and for ever: 100 ms after the first failure, doubling up to 5 s. path
 * and events are copied. */
struct ctl_client *ctl_client_new(struct loop *loop, const char *path,
				  const struct ctl_client_events *events, void *arg);
/* Open requests are not called back. */
void ctl_client_free(struct ctl_client *client);
bool ctl_client_connected(const struct ctl_client *client);
/* Remembered over reconnects. */
void ctl_client_subscribe(struct ctl_client *client, const char *topic);
/* The callback comes once, never from within this call; an error when not connected, lost, or after
 * timeout_ms. params is borrowed and may be NULL. */
void ctl_client_request(struct ctl_client *client, const char *method, json_t *params,
			unsigned timeout_ms, ctl_answer_cb cb, void *arg);

#endif
