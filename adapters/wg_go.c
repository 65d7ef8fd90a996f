#include "adapters/child.h"
#include "adapters/wg_uapi.h"
#include "adapters/wireguard.h"
#include "os/base.h"
#include "os/log.h"
#include "os/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A device of wireguard-go: the program works on the TUN that the node keeps, so that interface,
 * addresses and routes stay when it ends, and is started again. One connection to its socket has
 * all requests one after the other.
 *
 *   no interface → child_start → connected (ready) → … → connection lost or refused (gone)
 *   → connected again, or the program is started again. */

enum {
	CONNECT_AGAIN_MS = 100,
	REFUSED_AGAIN_MS = 1000,
	ANSWER_MS = 20000, /* a set of thousands of peers takes it seconds */
	READ_SIZE = 16384,
	STOP_MS = 500,
};

struct request {
	TAILQ_ENTRY(request) entry;
	bool get;
	char *text; /* owned, wiped */
	size_t len, sent;
};

struct wg_device {
	const struct adapter_host *host;
	struct wg_device_io io;
	struct child *child;
	int tun; /* the node's; -1: none */
	int fd;	 /* of the program's socket; -1: not connected */
	struct loop_fd *watch;
	struct loop_timer *again, *late;
	TAILQ_HEAD(, request) requests; /* the first one is under way */
	struct wg_uapi_answer answer;
	bool ready; /* and told so */
};

static void connect_in(struct wg_device *d, unsigned ms)
{
	if (child_is_running(d->child))
		loop_timer_start(d->again, ms);
}

static void connect_soon(struct wg_device *d)
{
	connect_in(d, CONNECT_AGAIN_MS);
}

/* ---- The connection ---- */

static void free_first(struct wg_device *d)
{
	struct request *r = TAILQ_FIRST(&d->requests);
	TAILQ_REMOVE(&d->requests, r, entry);
	secret_wipe(r->text, r->len);
	free(r->text);
	free(r);
}

static void close_socket(struct wg_device *d)
{
	closep(&d->fd);
	d->fd = -1;
}

static void disconnect(struct wg_device *d, const char *why)
{
	loop_timer_stop(d->again);
	loop_timer_stop(d->late);
	loop_fd_free(steal(d->watch));
	close_socket(d);
	while (!TAILQ_EMPTY(&d->requests))
		free_first(d);
	wg_uapi_answer_done(&d->answer);
	if (!d->ready)
		return;
	d->ready = false;
	d->io.gone(d->io.ctx, why);
}

static void send_requests(struct wg_device *d)
{
	struct request *r = TAILQ_FIRST(&d->requests);
	unsigned events = LOOP_READ;
	while (r && r->sent < r->len) {
		ssize_t n = send(d->fd, r->text + r->sent, r->len - r->sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			break; /* full, or broken: reading says which */
		r->sent += (size_t)n;
	}
	if (r && r->sent < r->len)
		events |= LOOP_WRITE;
	loop_fd_set(d->watch, events);
}

static void begin_request(struct wg_device *d)
{
	wg_uapi_answer_done(&d->answer);
	wg_uapi_answer_init(&d->answer);
	if (TAILQ_EMPTY(&d->requests)) {
		loop_timer_stop(d->late);
		loop_fd_set(d->watch, LOOP_READ);
		return;
	}
	loop_timer_start(d->late, ANSWER_MS);
	send_requests(d);
}

/* Whether the connection is still there. */
static bool end_request(struct wg_device *d)
{
	bool get = TAILQ_FIRST(&d->requests)->get;
	if (d->answer.error != 0) {
		char why[64];
		snprintf(why, sizeof(why), "wireguard-go refuses: %s", strerror(d->answer.error));
		/* It has not read the rest of the request, which would be taken for others. */
		disconnect(d, why);
		d->io.refused(d->io.ctx, why);
		connect_in(d, REFUSED_AGAIN_MS);
		return false;
	}
	free_first(d);
	if (get) {
		struct wg_uapi_answer answer = d->answer;
		memset(&d->answer, 0, sizeof(d->answer));
		d->io.got(d->io.ctx, &answer.config);
		wg_uapi_answer_done(&answer);
	}
	if (!d->watch)
		return false;
	begin_request(d);
	return true;
}

static bool take(struct wg_device *d, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t used = 0;
		enum wg_uapi_result result = WG_UAPI_MALFORMED;
		if (!TAILQ_EMPTY(&d->requests))
			result = wg_uapi_read(&d->answer, bytes, len, &used);
		if (result == WG_UAPI_MALFORMED) {
			disconnect(d, "wireguard-go answers nothing that can be read");
			connect_soon(d);
			return false;
		}
		if (result == WG_UAPI_DONE && !end_request(d))
			return false;
		bytes += used;
		len -= used;
	}
	return true;
}

static void on_socket(void *arg, int fd, unsigned events)
{
	struct wg_device *d = arg;
	char bytes[READ_SIZE];
	if (events & LOOP_WRITE)
		send_requests(d);
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		(void)take(d, bytes, (size_t)n);
		secret_wipe(bytes, (size_t)n); /* its answers have the private key */
		return;
	}
	disconnect(d, "wireguard-go closed its socket");
	connect_soon(d);
}

/* The node made the socket: it listens before the program runs. */
static void connect_now(struct wg_device *d)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (d->fd >= 0)
		return;
	snprintf(address.sun_path, sizeof(address.sun_path), "/var/run/wireguard/%s.sock",
		 d->host->interface);
	d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd >= 0 && connect(d->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		d->watch = loop_fd_new(d->host->loop, d->fd, LOOP_READ, on_socket, d);
	if (!d->watch) {
		log_limited(LOG_LEVEL_WARN, 6, "%s: cannot connect to %s: %s", d->host->interface,
			    address.sun_path, strerror(errno));
		close_socket(d);
		connect_soon(d);
		return;
	}
	d->ready = true;
	d->io.ready(d->io.ctx);
}

static void on_again(void *arg)
{
	connect_now(arg);
}

static void on_late(void *arg)
{
	struct wg_device *d = arg;
	disconnect(d, "wireguard-go does not answer");
	child_kill(d->child, "it does not answer");
}

/* ---- The program ---- */

static int on_descriptors(void *ctx, int output, int fds[static ADAPTER_CHILD_FDS])
{
	const struct wg_device *d = ctx;
	if (d->tun < 0)
		return -ENODEV;
	fds[0] = d->tun;
	fds[1] = output;
	return 2;
}

static void on_started(void *ctx, bool running)
{
	struct wg_device *d = ctx;
	if (running)
		loop_timer_start(d->again, 0);
}

static void on_ended(void *ctx, int status)
{
	(void)status; /* child_text() says it */
	disconnect(ctx, "wireguard-go ended");
}

/* ---- Operations ---- */

static int go_probe(const char *program, char error[static ADAPTER_ERROR_MAX])
{
	struct stat st;
	if (!program) {
		snprintf(error, ADAPTER_ERROR_MAX, "no wireguard-go is configured");
		return -ENOENT;
	}
	if (stat(program, &st) == 0 || errno == EACCES)
		return 0; /* what cannot be seen from here the start says */
	int r = -errno;
	snprintf(error, ADAPTER_ERROR_MAX,
		 "cannot find %s: install it (apt install wireguard-go), or set wireguard-go to "
		 "where it is",
		 program);
	return r;
}

static int go_open(const struct adapter_host *host, const struct wg_device_io *io,
		   struct wg_device **ret_device)
{
	struct wg_device *d = xcalloc(1, sizeof(*d));
	struct child_io child_io = {
		.ctx = d, .descriptors = on_descriptors, .started = on_started, .ended = on_ended};
	_cleanup_(freep) char *name = xasprintf("%s: wireguard-go", host->interface);
	struct child_config config = {
		.loop = host->loop, .os = host->os, .program = PROGRAM_WIREGUARD_GO, .name = name};
	d->host = host;
	d->io = *io;
	d->tun = -1;
	d->fd = -1;
	TAILQ_INIT(&d->requests);
	d->again = loop_timer_new(host->loop, on_again, d);
	d->late = loop_timer_new(host->loop, on_late, d);
	d->child = child_new(&config, &child_io);
	*ret_device = d;
	return 0;
}

static void go_interface(struct wg_device *d, uint32_t index, int fd)
{
	if (index == 0) {
		child_stop(d->child, 0);
		disconnect(d, "the interface is not there");
		d->tun = -1;
		return;
	}
	d->tun = fd;
	(void)child_start(d->child);
}

static int put_request(struct wg_device *d, bool get, char *text, size_t len)
{
	struct request *r = xcalloc(1, sizeof(*r));
	bool idle = TAILQ_EMPTY(&d->requests);
	*r = (struct request){.get = get, .text = text, .len = len};
	TAILQ_INSERT_TAIL(&d->requests, r, entry);
	if (idle)
		begin_request(d);
	return 0;
}

static int go_set(struct wg_device *d, const struct wg_set *set)
{
	size_t len;
	if (!d->ready)
		return -ENOTCONN;
	char *text = wg_uapi_set_request(set, &len);
	return put_request(d, false, text, len);
}

static int go_get(struct wg_device *d)
{
	size_t len;
	if (!d->ready)
		return -ENOTCONN;
	char *text = wg_uapi_get_request(&len);
	return put_request(d, true, text, len);
}

static const char *go_text(struct wg_device *d)
{
	return child_text(d->child);
}

static void go_close(struct wg_device *d)
{
	child_stop(d->child, STOP_MS);
	d->ready = false; /* nobody is told any more */
	disconnect(d, "");
	child_free(d->child);
	loop_timer_free(d->again);
	loop_timer_free(d->late);
	free(d);
}

const struct wg_device_ops wg_device_go = {
	.name = "wireguard-go",
	.device = ADAPTER_DEVICE_TUN,
	.probe = go_probe,
	.open = go_open,
	.interface = go_interface,
	.set = go_set,
	.get = go_get,
	.text = go_text,
	.close = go_close,
};
